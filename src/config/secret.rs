//! Secrets: where each one is from, in which order, and whether it is fit for use. Called at start
//! and again whenever a secret may have been replaced; keeps nothing.

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};

use super::environment::Environment;
use super::model::{ApiUrl, Config, SecretPlace};
use super::origin::Origin;
use super::problem::{Problem, Problems};
use super::scaleway::Scaleway;
use super::scw_profile::{self, ProfileError, ScwProfile};
use super::secret_doubts::{self, Doubt};
use super::secret_file;
use super::state::{Admin, State};
use crate::database::DatabaseUrl;

/// The fewest bytes of a secret.
const MIN_BYTES: usize = 16;

/// The systemd credential of the API key.
const CREDENTIAL: &str = "scw_secret_key";

/// The systemd credential of the database's URL.
const DATABASE: &str = "database_url";
/// The key of the configuration that names its file.
const DATABASE_KEY: &str = "state.database_url_file";

/// The directory in which `LoadCredential=` looks up a credential by its name. Names of edgepurge begin
/// with `edgepurge.`.
const CREDSTORE: &str = "/etc/credstore";

/// The API key as an environment variable.
const VARIABLE: &str = "SCW_SECRET_KEY";

/// A secret, and where it is from.
#[derive(Clone, Debug)]
pub struct Secret {
    /// The secret.
    pub value: SecretString,
    /// Where it is from.
    pub source: SecretSource,
    /// What looks wrong with it.
    pub warnings: Vec<Problem>,
}

/// Where a secret is from, in words that may be logged: never a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// The systemd credential of this name: a copy that systemd makes when the unit starts.
    Credential(String),
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Variable(&'static str),
    /// A profile of the scw config file.
    Profile {
        /// The profile.
        name: String,
        /// The file.
        file: PathBuf,
    },
}

impl SecretSource {
    /// How it is replaced by a valid one, and whether that takes a restart.
    #[must_use]
    pub fn renewal(&self) -> String {
        const RESTART: &str = "then restart edgepurge: systemctl restart edgepurge";
        match self {
            Self::Credential(name) => format!(
                "write a valid key to where LoadCredential={name}: of the unit takes it from \
                 (/etc/credstore/edgepurge.{name}), {RESTART} (a credential is a copy that systemd makes at \
                 the start, a reload does not renew it)"
            ),
            Self::File(path) => format!(
                "write a valid key into {}, and it goes on by itself",
                path.display()
            ),
            Self::Variable(name) => format!("set {name} to a valid key, {RESTART}"),
            Self::Profile { name, file } => format!(
                "write a valid key into profile {name} of {}, and it goes on by itself",
                file.display()
            ),
        }
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(name) => write!(f, "systemd credential {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Profile { name, file } => write!(f, "profile {name} of {}", file.display()),
        }
    }
}

impl Scaleway {
    /// Reads the API's secret key from the first place that has one: the systemd credential
    /// `scw_secret_key`, `secret_key_file`, `SCW_SECRET_KEY`, the scw config file. A place that has
    /// an unfit one is an error, never passed over. The sandbox needs none, and takes the one of
    /// `secret_key_file` or `SCW_SECRET_KEY` for its own, so that other clients can speak to it.
    pub fn secret_key(&self, environment: &Environment) -> Result<Option<Secret>, Problems> {
        if self.api_url == ApiUrl::Sandbox {
            return self.given(&self.secret(), environment);
        }
        self.find(&self.secret(), environment)?.map_or_else(
            || {
                Err(Problem::of(
                    "secret key",
                    "scaleway.secret_key_file",
                    "there is no secret key: neither a systemd credential scw_secret_key, nor \
                     secret_key_file, nor SCW_SECRET_KEY, nor a key in the scw config file",
                    "for the systemd unit, write the key into /etc/credstore/edgepurge.scw_secret_key (mode \
                     0600, of root), then systemctl restart edgepurge; elsewhere write it into a file with mode \
                     0600 and name it in secret_key_file; to try edgepurge without an account, set api_url = \
                     \"sandbox\"",
                )
                .into())
            },
            |secret| Ok(Some(secret)),
        )
    }

    /// Reads the access key that belongs to the secret key, from the first place that has one, in the same
    /// order: the systemd credential `scw_access_key`, `access_key_file`, `SCW_ACCESS_KEY`, the scw config
    /// file. Only buckets need it.
    pub fn access_key(&self, environment: &Environment) -> Result<Secret, Problems> {
        self.find(&self.access(), environment)?.ok_or_else(|| {
            Problem::of(
                "access key",
                "scaleway.access_key_file",
                "there is no access key, which a bucket needs beside the secret key: neither a systemd credential \
                 scw_access_key, nor access_key_file, nor SCW_ACCESS_KEY, nor an access key in the scw config file",
                "write it into /etc/credstore/edgepurge.scw_access_key for the systemd unit; elsewhere into a file \
                 with mode 0600, and name that in access_key_file; it begins with SCW",
            )
            .into()
        })
    }

    fn secret(&self) -> Wanted<'_> {
        Wanted {
            key: "scaleway.secret_key",
            credential: CREDENTIAL,
            file: self.secret_key_file.as_deref(),
            file_key: "scaleway.secret_key_file",
            variable: VARIABLE,
            of_profile: |profile| profile.secret_key.take(),
            read: Self::key,
        }
    }

    fn access(&self) -> Wanted<'_> {
        Wanted {
            key: "scaleway.access_key",
            credential: "scw_access_key",
            file: self.access_key_file.as_deref(),
            file_key: "scaleway.access_key_file",
            variable: "SCW_ACCESS_KEY",
            of_profile: |profile| profile.access_key.take(),
            read: |_, text, source, key| {
                let doubts = secret_doubts::of_secret(text);
                fit(text, source, key, doubts)
            },
        }
    }

    /// Looks in every place.
    fn find(
        &self,
        wanted: &Wanted<'_>,
        environment: &Environment,
    ) -> Result<Option<Secret>, Problems> {
        let found = credential(environment, wanted.credential);
        if let Some(found) = found.filter(|found| found.path.exists()) {
            let text = from_file(&found.path, wanted.key, !found.copied)?;
            return (wanted.read)(self, &text, found.source, wanted.key).map(Some);
        }
        match self.given(wanted, environment)? {
            Some(given) => Ok(Some(given)),
            None => self.of_profile(wanted, environment),
        }
    }

    /// Looks into the file that is named, and the environment.
    fn given(
        &self,
        wanted: &Wanted<'_>,
        environment: &Environment,
    ) -> Result<Option<Secret>, Problems> {
        if let Some(path) = wanted.file {
            let text = from_file(path, wanted.file_key, true)?;
            let source = SecretSource::File(path.to_owned());
            return (wanted.read)(self, &text, source, wanted.file_key).map(Some);
        }
        let given = environment.get(wanted.variable).map(|text| {
            let text = secret_doubts::unwrapped(text);
            let source = SecretSource::Variable(wanted.variable);
            (wanted.read)(self, text, source, wanted.key)
        });
        given.transpose()
    }

    fn of_profile(
        &self,
        wanted: &Wanted<'_>,
        environment: &Environment,
    ) -> Result<Option<Secret>, Problems> {
        const KEY: &str = "scaleway.profile";
        let profile = scw_profile::load(environment, self.profile.as_deref()).map_err(|error| {
            Problems::from(match error {
                ProfileError::NotThere { why, hint } => {
                    Problem::of("scw config file", KEY, &format!("the profile {why}"), &hint)
                }
                ProfileError::File(problem) => *problem,
            })
        })?;
        let Some(mut profile) = profile else {
            return Ok(None);
        };
        let Some(value) = (wanted.of_profile)(&mut profile) else {
            return Ok(None);
        };
        if let Some((why, hint)) = profile.exposed {
            return Err(Problem::of_file(&profile.file, KEY, &why, &hint).into());
        }
        let source = SecretSource::Profile {
            name: profile.name,
            file: profile.file,
        };
        let text = secret_doubts::unwrapped(value.expose_secret());
        (wanted.read)(self, text, source, KEY).map(Some)
    }

    /// An API key: a fit secret that also can stand in an HTTP header.
    fn key(&self, text: &str, source: SecretSource, key: &str) -> Result<Secret, Problems> {
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Problem::of(
                source.to_string(),
                key,
                "the secret key holds a space, a line break or another character that no key has",
                "write the key and nothing else",
            )
            .into());
        }
        let scaleway = match &self.api_url {
            ApiUrl::Server(url) => url
                .host_str()
                .is_some_and(|host| host.ends_with(".scaleway.com")),
            ApiUrl::Sandbox => false,
        };
        fit(text, source, key, secret_doubts::of_api_key(text, scaleway))
    }
}

/// A key of the API, and where it is looked for.
struct Wanted<'s> {
    key: &'static str,
    credential: &'static str,
    file: Option<&'s Path>,
    file_key: &'static str,
    variable: &'static str,
    of_profile: fn(&mut ScwProfile) -> Option<SecretString>,
    read: fn(&Scaleway, &str, SecretSource, &str) -> Result<Secret, Problems>,
}

impl Origin {
    /// Reads the access key and the secret key of a bucket: its own, or those of the API.
    pub fn keys(
        &self,
        scaleway: &Scaleway,
        environment: &Environment,
    ) -> Result<(Secret, Secret), Problems> {
        let own = |path: &Path, key: &str| {
            let text = from_file(path, key, true)?;
            let doubts = secret_doubts::of_secret(&text);
            fit(&text, SecretSource::File(path.to_owned()), key, doubts)
        };
        if let (Some(access), Some(secret)) = (&self.access_key_file, &self.secret_key_file) {
            return Ok((
                own(access, "pipeline.origin.access_key_file")?,
                own(secret, "pipeline.origin.secret_key_file")?,
            ));
        }
        let access = scaleway.access_key(environment)?;
        let secret = scaleway.secret_key(environment)?.ok_or_else(|| {
            Problem::of(
                "secret key",
                "scaleway.secret_key_file",
                "there is no secret key, which a bucket needs also where the API is the sandbox",
                "name the bucket's own in access_key_file and secret_key_file of the origin",
            )
        })?;
        Ok((access, secret))
    }
}

impl Admin {
    /// Reads the token of changing calls over TCP; `None` where no `token_file` is configured.
    pub fn token(&self) -> Result<Option<Secret>, Problems> {
        const KEY: &str = "admin.token_file";
        let Some(path) = &self.token_file else {
            return Ok(None);
        };
        let text = from_file(path, KEY, true)?;
        let (source, doubts) = (
            SecretSource::File(path.clone()),
            secret_doubts::of_secret(&text),
        );
        fit(&text, source, KEY, doubts).map(Some)
    }
}

impl State {
    /// Reads the URL of the database from the systemd credential `database_url`, or from `database_url_file`;
    /// `None` where there is neither, and the queue is in the state directory.
    pub fn database_url(
        &self,
        environment: &Environment,
    ) -> Result<Option<(DatabaseUrl, SecretSource)>, Problems> {
        // Not where a unit takes it from: a dry run of root's must not find it.
        let found =
            credential(environment, DATABASE).filter(|found| found.copied && found.path.exists());
        let (text, source) = match (found, &self.database_url_file) {
            (Some(found), _) => (from_file(&found.path, DATABASE_KEY, false)?, found.source),
            (None, Some(path)) => (
                from_file(path, DATABASE_KEY, true)?,
                SecretSource::File(path.clone()),
            ),
            (None, None) => return Ok(None),
        };
        let url = DatabaseUrl::parse(&text).map_err(|error| {
            let why = format!("what it holds {}", error.why);
            Problem::of(source.to_string(), DATABASE_KEY, &why, error.hint)
        })?;
        Ok(Some((url, source)))
    }

    /// What is wrong with the URL of the database, and with the files that it names.
    pub fn check_database(&self, environment: &Environment) -> Result<(), Problems> {
        let Some((url, source)) = self.database_url(environment)? else {
            return Ok(());
        };
        url.check_roots().map_err(|error| {
            let hint = "name a file with the certificates of the authorities to trust, in PEM";
            Problem::of(source.to_string(), DATABASE_KEY, &error.to_string(), hint).into()
        })
    }
}

impl Config {
    /// Reads every secret, and reports what looks wrong with it. One that can't be read or is not fit is left
    /// out: who uses it says so.
    #[must_use]
    pub fn secret_warnings(&self, environment: &Environment) -> Vec<Problem> {
        let key = self.scaleway.secret_key(environment).ok().flatten();
        let token = self.admin.token().ok().flatten();
        let origins = self.pipelines.iter().flat_map(|one| &one.origins);
        let buckets = origins.filter(|origin| origin.takes_keys());
        let of_buckets = buckets.filter_map(|one| one.keys(&self.scaleway, environment).ok());
        let of_buckets = of_buckets.map(|(access, _)| access);
        let own = key.into_iter().chain(token).chain(of_buckets);
        let webhooks = self.pipelines.iter().flat_map(|one| &one.webhooks);
        let database = self.state.database_url(environment).ok().flatten();
        let database = database.and_then(|(url, source)| {
            let why = url.warning()?;
            let hint = "write sslmode=verify-full";
            Some(Problem::of(source.to_string(), DATABASE_KEY, why, hint))
        });
        own.flat_map(|secret| secret.warnings)
            .chain(database)
            .chain(webhooks.flat_map(|webhook| webhook.secret_warnings(environment)))
            .collect()
    }

    /// The names of the systemd credentials that are in use, each once.
    #[must_use]
    pub fn credentials(&self, environment: &Environment) -> Vec<String> {
        let key = self.scaleway.secret_key(environment).ok().flatten();
        let mut origins = self.pipelines.iter().flat_map(|one| &one.origins);
        let buckets = origins.any(|one| one.bucket.is_some() && one.access_key_file.is_none());
        let access = buckets.then(|| self.scaleway.access_key(environment).ok());
        let database = self.state.database_url(environment).ok().flatten();
        let mut names: Vec<String> = key
            .into_iter()
            .chain(access.flatten())
            .map(|key| key.source)
            .chain(database.map(|(_, source)| source))
            .filter_map(|source| match source {
                SecretSource::Credential(name) => Some(name),
                _ => None,
            })
            .collect();
        let webhooks = self.pipelines.iter().flat_map(|one| &one.webhooks);
        names.extend(webhooks.flat_map(|webhook| &webhook.secrets).filter_map(
            |place| match place {
                SecretPlace::Credential(name) => Some(name.clone()),
                SecretPlace::File(_) => None,
            },
        ));
        names.sort();
        names.dedup();
        names
    }
}

/// Reads a secret of a webhook, and warns of what looks wrong with it. The kind decides whether it is
/// fit.
pub(super) fn of_webhook(
    place: &SecretPlace,
    key: &str,
    environment: &Environment,
) -> Result<(SecretString, Vec<Problem>), Problems> {
    let (text, source) = match place {
        SecretPlace::File(path) => (
            from_file(path, key, true)?,
            SecretSource::File(path.clone()),
        ),
        SecretPlace::Credential(name) => {
            let Some(found) = credential(environment, name) else {
                let why = format!("there are no systemd credentials here, so not {name} either");
                let hint = format!(
                    "add LoadCredential={name}:edgepurge.{name} to the service and write it into \
                     /etc/credstore/edgepurge.{name}, or name a file in secret_file; a command finds it there \
                     as root"
                );
                return Err(Problem::of("systemd credential", key, &why, &hint).into());
            };
            (from_file(&found.path, key, !found.copied)?, found.source)
        }
    };
    let warnings = warnings(&source, key, secret_doubts::of_secret(&text));
    Ok((text.into(), warnings))
}

/// A systemd credential.
struct Credential {
    path: PathBuf,
    source: SecretSource,
    /// Whether it is systemd's copy, which is guarded by other means than its mode.
    copied: bool,
}

/// The credential of a name: systemd's copy in the unit; for a command that root runs, the file that the
/// unit takes it from.
fn credential(environment: &Environment, name: &str) -> Option<Credential> {
    if let Some(directory) = environment.path("CREDENTIALS_DIRECTORY") {
        return Some(Credential {
            path: directory.join(name),
            source: SecretSource::Credential(name.to_owned()),
            copied: true,
        });
    }
    let path = Path::new(CREDSTORE).join(format!("edgepurge.{name}"));
    path.exists().then(|| Credential {
        source: SecretSource::File(path.clone()),
        path,
        copied: false,
    })
}

/// Reads a secret that a command takes from a file.
///
/// # Errors
/// When the file can't be read, others may read it, or it has no text.
pub fn read_secret(path: &Path) -> Result<SecretString, Problems> {
    from_file(path, "--token-file", true).map(SecretString::from)
}

/// The text of a secret's file, without what an editor puts around it. With `private`, only the users that the
/// secret is for may be able to read the file.
pub(super) fn from_file(path: &Path, key: &str, private: bool) -> Result<String, Problems> {
    let refused =
        |(why, hint): (String, String)| Problems::from(Problem::of_file(path, key, &why, &hint));
    let content = secret_file::read(path).map_err(refused)?;
    if let Some(exposed) = content.exposed.filter(|_| private) {
        return Err(refused(exposed));
    }
    Ok(secret_doubts::unwrapped(&content.text).to_owned())
}

/// A secret that is long enough.
fn fit(
    text: &str,
    source: SecretSource,
    key: &str,
    doubts: Vec<Doubt>,
) -> Result<Secret, Problems> {
    if text.len() < MIN_BYTES {
        let why = format!("the secret is shorter than {MIN_BYTES} bytes");
        let hint = "write the whole secret, or make a longer one";
        return Err(Problem::of(source.to_string(), key, &why, hint).into());
    }
    Ok(Secret {
        value: SecretString::from(text),
        warnings: warnings(&source, key, doubts),
        source,
    })
}

fn warnings(source: &SecretSource, key: &str, doubts: Vec<Doubt>) -> Vec<Problem> {
    let doubts = doubts.into_iter();
    let warning = |(why, hint)| Problem::of(source.to_string(), key, why, hint);
    doubts.map(warning).collect()
}
