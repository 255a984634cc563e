//! A configured route: which deliveries are its sender's, and what they make stale. Pure: it reads
//! no clock, and does nothing about what it says.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, Method};
use data_encoding::HEXLOWER;
use secrecy::SecretString;

use crate::core::asset::Asset;
use crate::core::change::PipelineId;

use super::auth::headers::bearer;
use super::auth::refused::Refused;
use super::auth::secret::{SecretError, Secrets, sha256};
use super::auth::signature::Scheme;
use super::auth::verifier::{Authentic, Verifier, shows};
use super::kind::{DefaultPurge, Handshake, Kind};
use super::payload::content::Unreadable;
use super::payload::paths;
use super::payload::reading::{Ask, Events, Identity, Input, Reading};
use delivery::{Delivery, Wish};
use diagnosis::Diagnosis;
use scope::Scope;

pub(super) mod delivery;
pub(super) mod diagnosis;
mod scope;

/// The longest id of a sender that is taken for a delivery's name.
const MAX_EVENT_BYTES: usize = 128;

/// What the configuration says of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSettings {
    /// The path, `/hooks/www`.
    pub path: String,
    /// The pipeline that it speaks of.
    pub pipeline: PipelineId,
    /// What that serves.
    pub origins: Origins,
    /// Who sends.
    pub kind: Kind,
    /// The repositories (buckets, sites) that count; empty for all.
    pub repositories: Vec<String>,
    /// The events that count; `None` for the kind's own choice. A `*` at the end takes any ending.
    pub events: Option<Vec<String>>,
    /// The branches that count, and patterns of them; empty for all.
    pub branches: Vec<String>,
    /// The workflows, jobs and builds whose ends count, by name or file; empty for all.
    pub workflows: Vec<String>,
    /// The environments of deployments that count; empty for production.
    pub environments: Vec<String>,
    /// What is purged; `None` for the default.
    pub purge: Option<Purge>,
    /// The folder of the repository that is the origin's root: empty, or ends with `/`.
    pub files_root: String,
    /// Between a delivery and the change that it makes.
    pub delay: Duration,
    /// How long a repeated delivery is known for one, once the first is done.
    pub dedupe: Duration,
}

/// What a route purges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    /// What a scan of the origins finds.
    Scan,
    /// The files that the delivery lists; of `generic`, `standard` and `cloudevents`: what it asks for.
    Files,
    /// Everything.
    All,
    /// These, at least one.
    Assets(Vec<Asset>),
}

/// What a pipeline serves, and what could be scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origins {
    /// It has no origin.
    None,
    /// Directories.
    Directories,
    /// A bucket at least.
    Buckets,
}

impl Purge {
    /// What is purged where the configuration doesn't say.
    #[must_use]
    pub const fn default_of(kind: &Kind, origins: Origins) -> Self {
        match (kind.sender.purge, origins) {
            (DefaultPurge::Files, _)
            | (DefaultPurge::ScanOrFiles, Origins::None | Origins::Buckets) => Self::Files,
            (DefaultPurge::ScanOrAll, Origins::None) => Self::All,
            (DefaultPurge::ScanOrFiles | DefaultPurge::ScanOrAll, _) => Self::Scan,
        }
    }
}

/// One configured route: fixed kind, secrets, and what its deliveries mean.
#[derive(Clone, Debug)]
pub struct Route {
    settings: RouteSettings,
    scope: Scope,
    purge: Purge,
    secrets: Option<Secrets>,
}

impl Route {
    /// Makes a route. `secrets` are the texts of its secrets, any of which is good; there is none
    /// exactly where the route is open.
    ///
    /// # Errors
    /// A secret that is not fit for the kind.
    pub fn new(settings: RouteSettings, secrets: &[SecretString]) -> Result<Self, SecretError> {
        Self::with(settings, secrets, Secrets::new)
    }

    /// As [`Route::new`], with secrets that are too short, as published test vectors have them.
    #[cfg(test)]
    pub(super) fn of_any_secret(settings: RouteSettings, secret: &str) -> Self {
        Self::with(settings, &[secret.into()], Secrets::of_any_length).unwrap()
    }

    fn with(
        settings: RouteSettings,
        texts: &[SecretString],
        make: impl FnOnce(
            &[SecretString],
            super::auth::secret::Form,
            ring::hmac::Algorithm,
        ) -> Result<Secrets, SecretError>,
    ) -> Result<Self, SecretError> {
        let scheme = &settings.kind.scheme;
        let secrets = match (settings.kind.is_open(), texts) {
            (true, []) => None,
            (true, _) => return Err(SecretError::Unused),
            _ => Some(make(texts, scheme.form(), scheme.digest().algorithm())?),
        };
        let purge = settings
            .purge
            .clone()
            .unwrap_or_else(|| Purge::default_of(&settings.kind, settings.origins));
        Ok(Self {
            scope: Scope::new(&settings),
            settings,
            purge,
            secrets,
        })
    }

    /// The path, `/hooks/www`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.settings.path
    }

    /// The pipeline that it speaks of.
    #[must_use]
    pub fn pipeline(&self) -> &PipelineId {
        &self.settings.pipeline
    }

    /// Between a delivery and the change that it makes.
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.settings.delay
    }

    /// How long a repeated delivery is known for one.
    #[must_use]
    pub fn dedupe(&self) -> Duration {
        self.settings.dedupe
    }

    /// Who sends.
    #[must_use]
    pub fn kind(&self) -> &Kind {
        &self.settings.kind
    }

    fn scheme(&self) -> &Scheme {
        &self.settings.kind.scheme
    }

    /// What it answers to besides `GET <route>/<event>`.
    #[must_use]
    pub fn methods(&self) -> &'static [Method] {
        self.settings.kind.sender.methods
    }

    /// The answer to a `HEAD` or `OPTIONS` that the kind has; it has no effect.
    #[must_use]
    pub fn handshake(&self, method: &Method, headers: &HeaderMap) -> Option<Handshake> {
        let sender = self.settings.kind.sender;
        let answer = sender.handshake?;
        let asked = *method != Method::POST && sender.methods.contains(method);
        asked.then(|| answer(&self.settings.kind.options, self.may_ask(headers), headers))
    }

    /// Begins to verify a delivery that came at `now_unix`, in seconds since 1970. An unusable
    /// header costs the same work as a wrong signature, and both end in the same place.
    #[must_use]
    pub fn verifier(&self, headers: &HeaderMap, now_unix: i64) -> Verifier<'_> {
        let secrets = self.secrets.as_ref();
        Verifier::new(self.scheme(), secrets, self.path(), headers, now_unix)
    }

    /// What is wrong with a delivery that was refused for this.
    pub(super) fn diagnosis(&self, why: Refused, headers: &HeaderMap, now_unix: i64) -> Diagnosis {
        diagnosis::of(self.scheme(), why, headers, now_unix)
    }

    /// Whether `Authorization: Bearer` has one of the route's secrets, as `GET <route>/<event>`
    /// needs it, or the headers have it as the route's deliveries do. An open route answers every client;
    /// a route whose key is public answers none.
    #[must_use]
    pub fn may_ask(&self, headers: &HeaderMap) -> bool {
        self.asks(headers).is_ok()
    }

    /// As [`Route::may_ask`]; or why not.
    pub(super) fn asks(&self, headers: &HeaderMap) -> Result<(), Refused> {
        match &self.secrets {
            Some(_) if self.scheme().has_public_key() => Err(Refused::Wrong),
            Some(secrets) => {
                let as_token = secrets.knows(bearer(headers));
                let as_sent = shows(self.scheme(), secrets, headers);
                let meant_as_token = self.scheme().signs() || as_token == Err(Refused::Wrong);
                if as_token.is_ok() || (meant_as_token && as_sent.is_err()) {
                    as_token
                } else {
                    as_sent
                }
            }
            None if self.settings.kind.is_open() => Ok(()),
            None => Err(Refused::Missing),
        }
    }

    /// What an authentic delivery asks for; `body` is `None` where it was too large to keep, which
    /// widens.
    ///
    /// # Errors
    /// What can't be read; none of it says anything about secrets.
    pub fn read(
        &self,
        headers: &HeaderMap,
        authentic: &Authentic,
        body: Option<&[u8]>,
    ) -> Result<Delivery, Unreadable> {
        let files = self.purge == Purge::Files;
        let Kind {
            sender, options, ..
        } = &self.settings.kind;
        (sender.check)(headers, files, options)?;
        let reading = match body {
            Some(body) => {
                let events = self.events();
                let input = Input {
                    headers,
                    body,
                    events,
                    files,
                };
                (sender.read)(&input, options)?
            }
            None => Reading::of("unread", Ask::Unlisted("the body is too large to read")),
        };
        let read = body.is_some();
        let wish = self.wish(&reading, read);
        // What asks for nothing must not make a duplicate of what does: its event may be named
        // by an unsigned header.
        let dedupe_key = match &wish {
            Wish::Nothing(_) => None,
            _ => self.dedupe_key(&reading.identity, authentic),
        };
        Ok(Delivery {
            event: event(&reading, authentic),
            dedupe_key,
            what: reading.what.into(),
            wish,
        })
    }

    fn events(&self) -> Events<'_> {
        Events {
            configured: self.settings.events.as_deref(),
            default: self.settings.kind.sender.default_events,
        }
    }

    fn wish(&self, reading: &Reading, read: bool) -> Wish {
        let elsewhere = match &reading.ask {
            Ask::Nothing(_) => None,
            _ if read => self.scope.elsewhere(reading),
            _ => None,
        };
        if let Some(why) = elsewhere {
            return Wish::Nothing(why);
        }
        match (&self.purge, &reading.ask) {
            (_, Ask::Nothing(why)) if reading.unwanted => {
                Wish::Nothing(format!("{why}, {}", self.events().shown()))
            }
            (_, Ask::Nothing(why)) => Wish::Nothing(why.to_string()),
            (Purge::Assets(assets), _) => Wish::Assets(assets.clone()),
            (Purge::All, _) | (Purge::Files, Ask::All) => Wish::All { because: None },
            (Purge::Scan, _) | (Purge::Files, Ask::Scan) => self.scan(None),
            (Purge::Files, Ask::Unlisted(why)) => self.scan(Some(why)),
            (Purge::Files, Ask::Files(files)) => self.files(files),
        }
    }

    /// The listed files that are below `files_root`.
    fn files(&self, files: &BTreeSet<String>) -> Wish {
        if files.is_empty() {
            return Wish::Nothing("it lists no files".to_owned());
        }
        let root = &self.settings.files_root;
        if paths::hold(files, root) {
            return self.scan(Some(
                "what holds files_root changed as a whole: it is a submodule, or a link",
            ));
        }
        let files = paths::below(root, files);
        if files.is_empty() {
            return Wish::Nothing("no file below files_root changed".to_owned());
        }
        Wish::Files(files)
    }

    fn scan(&self, because: Option<&'static str>) -> Wish {
        if self.settings.origins != Origins::None {
            return Wish::Scan { because };
        }
        Wish::All {
            because: because.or(Some("the pipeline has no origin to scan")),
        }
    }

    fn dedupe_key(&self, identity: &Identity, authentic: &Authentic) -> Option<[u8; 32]> {
        // Without a signature, nothing is covered by one.
        let signed = authentic.signed_digest()?;
        let (tag, id) = match identity {
            Identity::None => return None,
            Identity::SignedId => (1, authentic.signed_id()?.as_bytes()),
            Identity::SignedBytes => (2, &signed[..]),
            Identity::InBody(id) => (3, id.as_bytes()),
        };
        let mut key = self.settings.path.clone().into_bytes();
        key.extend_from_slice(&[0, tag]);
        key.extend_from_slice(id);
        Some(sha256(&key))
    }
}

/// The name under which the sender can ask what became of a delivery.
fn event(reading: &Reading, authentic: &Authentic) -> Arc<str> {
    let id = authentic.signed_id().or(reading.id.as_deref());
    let plain = |id: &&str| {
        (1..=MAX_EVENT_BYTES).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._:-".contains(&b))
    };
    id.filter(plain).map_or_else(
        || HEXLOWER.encode(authentic.body_digest()).into(),
        std::convert::Into::into,
    )
}
