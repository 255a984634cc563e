//! The kinds of senders. Each has one way or several to authenticate, its own words for events, and
//! its own payloads. Its file has all of that in one [`Sender`], and [`SENDERS`] lists them.

pub mod bitbucket;
pub mod cloudevents;
pub mod contentful;
pub mod generic;
pub mod gitea;
pub mod github;
pub mod gitlab;
pub mod netlify;
pub mod s3;
pub mod sanity;
pub mod standard;
pub mod vercel;

use std::fmt;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::auth::signature::Scheme;
use super::payload::content::{self, Unreadable};
use super::payload::pointer::Pointer;
use super::payload::reading::{Input, Reading};
use super::payload::repository::Forge;

/// Every kind, in the order in which messages name them.
pub static SENDERS: &[&Sender] = &[
    &github::SENDER,
    &gitlab::SENDER,
    &gitea::GITEA,
    &gitea::FORGEJO,
    &bitbucket::SENDER,
    &standard::SENDER,
    &s3::SENDER,
    &cloudevents::SENDER,
    &contentful::SENDER,
    &sanity::SENDER,
    &netlify::SENDER,
    &vercel::SENDER,
    &generic::SENDER,
];

/// What is the same for every route of a kind.
pub struct Sender {
    /// Its name in the configuration.
    pub name: &'static str,
    /// A commented route in TOML, for `config.example.toml` and `docs/webhooks.md`. What is a comment
    /// there is a key too: a default, or one that few need.
    pub example: &'static str,
    /// The ways to authenticate its deliveries, besides none at all; the default first.
    pub auths: &'static [Auth],
    /// The keys of a route that this kind has, and not every other.
    pub keys: &'static [&'static str],
    /// The events that can be configured; empty where the kind has no list of them.
    pub events: &'static [&'static str],
    /// Those of them that are sent when something is pushed, which is before it is deployed.
    pub push_events: &'static [&'static str],
    /// The events that count where the configuration names none: those after the deploy, where the
    /// kind has such. Empty for all.
    pub default_events: &'static [&'static str],
    /// Those of its events that report the end of a run, so that `workflows` may say which runs count.
    pub run_events: &'static [&'static str],
    /// Those of its events that name an environment, so that `environments` may say which count.
    pub deployment_events: &'static [&'static str],
    /// Headers that only its deliveries have, or those of kinds further up in [`SENDERS`].
    pub known_by: &'static [&'static str],
    /// What an event's name is like, where this is none that the kind could send.
    pub never_sends: fn(&str) -> Option<String>,
    /// How a forge writes the names of repositories; `None` where it is no forge.
    pub forge: Option<Forge>,
    /// Whether its deliveries name a repository (bucket, space, site, source).
    pub repository: Named,
    /// Whether its deliveries name a branch.
    pub branch: Named,
    /// Whether its deliveries name an event.
    pub event: Named,
    /// Whether some of its events list the files that changed.
    pub lists_files: bool,
    /// Whether what it lists are objects of a bucket, and never directories.
    pub names_objects: bool,
    /// What is purged where the configuration doesn't say.
    pub purge: DefaultPurge,
    /// What its routes answer to besides `GET <route>/<event>`.
    pub methods: &'static [Method],
    /// The answer to another method than `POST`; it has no effect. `true`: the headers show the route's
    /// secret.
    pub(super) handshake: Option<fn(&Options, bool, &HeaderMap) -> Handshake>,
    /// Refuses a body whose type or encoding can't be read. `true`: the files that it lists count.
    pub(super) check: fn(&HeaderMap, bool, &Options) -> Result<(), Unreadable>,
    /// What an authentic delivery says.
    pub(super) read: fn(&Input<'_>, &Options) -> Result<Reading, Unreadable>,
}

/// The answer to a `HEAD` or `OPTIONS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The status; 401 and 403 are refusals.
    pub status: StatusCode,
    /// Headers to answer with.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// A way to authenticate the deliveries of a kind.
pub struct Auth {
    /// Its name in the configuration.
    pub name: &'static str,
    /// What it does.
    pub how: How,
}

/// See [`Auth`].
pub enum How {
    /// Always the same.
    Fixed(fn() -> Scheme),
    /// The secret, in a header that the configuration names.
    Token,
    /// A MAC that the configuration describes.
    Mac,
}

/// The one way of a kind that signs.
const fn signature(scheme: fn() -> Scheme) -> Auth {
    Auth {
        name: "signature",
        how: How::Fixed(scheme),
    }
}

/// Whether deliveries name something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// They never do.
    Never,
    /// They always do.
    Always,
    /// They do where the configuration says where in the body it is.
    AtPointer,
}

impl Named {
    const fn is_named(self, pointer: Option<&Pointer>) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::AtPointer => pointer.is_some(),
        }
    }
}

/// What is purged where the configuration doesn't say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultPurge {
    /// What the body says.
    Files,
    /// What a scan finds; with a bucket, or without an origin, the files, since their list is complete.
    ScanOrFiles,
    /// What a scan finds; without an origin everything.
    ScanOrAll,
}

impl Sender {
    /// A kind that names all it can, whose default is to scan, and that has nothing else of its own.
    const fn new(
        name: &'static str,
        auths: &'static [Auth],
        read: fn(&Input<'_>, &Options) -> Result<Reading, Unreadable>,
    ) -> Self {
        Self {
            name,
            example: "",
            auths,
            keys: &[],
            events: &[],
            push_events: &[],
            default_events: &[],
            run_events: &[],
            deployment_events: &[],
            known_by: &[],
            never_sends: |_| None,
            forge: None,
            repository: Named::Always,
            branch: Named::Always,
            event: Named::Always,
            lists_files: true,
            names_objects: false,
            purge: DefaultPurge::ScanOrAll,
            methods: &[Method::POST],
            handshake: None,
            check: |headers, _, _| content::check(headers),
            read,
        }
    }
}

/// What only some kinds have keys for; each kind reads what its [`Sender::keys`] name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether pushes never drop commits, where the sender doesn't say.
    pub assume_no_force_push: bool,
    /// How the keys of objects are written.
    pub keys: s3::Keys,
    /// The origins that may be sent from, where senders ask by `OPTIONS`.
    pub allowed_origins: Vec<String>,
    /// Where a body says what it is about.
    pub fields: generic::Fields,
}

/// Who sends to a route, and what the configuration says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// What is the same for every route of the kind.
    pub sender: &'static Sender,
    /// How deliveries are authenticated.
    pub scheme: Scheme,
    /// What the kind has keys for.
    pub options: Options,
}

impl PartialEq for Sender {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Sender {}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Kind {
    /// The kind with its defaults.
    #[must_use]
    pub fn new(sender: &'static Sender) -> Self {
        let scheme = match sender.auths.first().map(|auth| &auth.how) {
            Some(How::Fixed(scheme)) => scheme(),
            _ => Scheme::Bearer,
        };
        Self {
            sender,
            scheme,
            options: Options::default(),
        }
    }

    /// The kind with these deliveries authenticated so.
    #[must_use]
    pub fn with(self, scheme: Scheme) -> Self {
        Self { scheme, ..self }
    }

    /// The kind with these pointers into its bodies.
    #[must_use]
    pub fn reading(mut self, fields: generic::Fields) -> Self {
        self.options.fields = fields;
        self
    }

    /// The kind's name in the configuration.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        self.sender.name
    }

    /// Whether deliveries need no secret.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.scheme, Scheme::Open)
    }

    /// Whether none of its lists of files is ever trusted, since the sender does not say whether pushes
    /// are forced.
    #[must_use]
    pub fn distrusts_lists(&self) -> bool {
        self.sender.keys.contains(&ASSUME_NO_FORCE_PUSH) && !self.options.assume_no_force_push
    }

    /// Whether its deliveries name a repository (bucket, space, site, source).
    #[must_use]
    pub const fn names_repository(&self) -> bool {
        let pointer = self.options.fields.repository.as_ref();
        self.sender.repository.is_named(pointer)
    }

    /// Whether its deliveries name a branch.
    #[must_use]
    pub const fn names_branch(&self) -> bool {
        let pointer = self.options.fields.branch.as_ref();
        self.sender.branch.is_named(pointer)
    }

    /// Whether its deliveries name an event.
    #[must_use]
    pub const fn names_event(&self) -> bool {
        let pointer = self.options.fields.event.as_ref();
        self.sender.event.is_named(pointer)
    }
}

/// The key for the forges whose pushes do not say whether they are forced.
const ASSUME_NO_FORCE_PUSH: &str = "assume_no_force_push";

/// The key of [`Pointer`]s to what a body names, where its kind says none of it.
const POINTERS: [&str; 5] = ["paths", "repository_pointer", "branch", "event", "id"];

/// Whether an event, or a pattern of events with a `*` at its end, may begin with `start`.
fn may_begin(event: &str, start: &str) -> bool {
    match event.strip_suffix('*') {
        Some(pattern) => pattern.starts_with(start) || start.starts_with(pattern),
        None => event.starts_with(start),
    }
}
