//! Secrets: where each one is from, in which order, and whether it is fit for use. Called at start
//! and again whenever a secret may have been replaced; keeps nothing.

use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};

use super::environment::Environment;
use super::model::{Admin, ApiUrl, Scaleway, SecretPlace};
use super::problem::{Problem, Problems};
use super::scw_profile::{self, ProfileError};
use super::secret_file;

/// The fewest bytes of a secret.
const MIN_BYTES: usize = 16;

/// The systemd credential of the API key.
const CREDENTIAL: &str = "scw_secret_key";

/// A secret, and where it is from.
#[derive(Clone, Debug)]
pub struct Secret {
    /// The secret.
    pub value: SecretString,
    /// Where it is from, in words that may be logged: a file or a variable, never a value.
    pub source: String,
}

impl Scaleway {
    /// Reads the API's secret key from the first place that has one: the systemd credential
    /// `scw_secret_key`, `secret_key_file`, `SCW_SECRET_KEY`, the scw config file. A place that has
    /// an unfit one is an error, never passed over. The sandbox needs none, and takes the one of
    /// `secret_key_file` or `SCW_SECRET_KEY` for its own, so that other clients can speak to it.
    pub fn secret_key(&self, environment: &Environment) -> Result<Option<Secret>, Problems> {
        if self.api_url == ApiUrl::Sandbox {
            return self.key_given(environment);
        }
        if let Some(directory) = environment.path("CREDENTIALS_DIRECTORY") {
            let path = directory.join(CREDENTIAL);
            if path.exists() {
                let source = format!("systemd credential {CREDENTIAL}");
                let text = from_file(&path, "scaleway.secret_key", false)?;
                return key(text, source, "scaleway.secret_key").map(Some);
            }
        }
        if let Some(given) = self.key_given(environment)? {
            return Ok(Some(given));
        }
        self.key_of_profile(environment)?.map_or_else(
            || {
                Err(Problem::of(
                    "secret key",
                    "scaleway.secret_key_file",
                    "there is no secret key: neither a systemd credential scw_secret_key, nor \
                     secret_key_file, nor SCW_SECRET_KEY, nor a key in the scw config file",
                    "write the key into a file with mode 0600 and name it in secret_key_file; to \
                     try edgepurge without an account, set api_url = \"sandbox\"",
                )
                .into())
            },
            |secret| Ok(Some(secret)),
        )
    }

    fn key_given(&self, environment: &Environment) -> Result<Option<Secret>, Problems> {
        if let Some(path) = &self.secret_key_file {
            let text = from_file(path, "scaleway.secret_key_file", true)?;
            let source = format!("file {}", path.display());
            return key(text, source, "scaleway.secret_key_file").map(Some);
        }
        let Some(text) = environment.get("SCW_SECRET_KEY") else {
            return Ok(None);
        };
        let source = "environment variable SCW_SECRET_KEY".to_owned();
        key(text.to_owned(), source, "scaleway.secret_key").map(Some)
    }

    fn key_of_profile(&self, environment: &Environment) -> Result<Option<Secret>, Problems> {
        const KEY: &str = "scaleway.profile";
        let profile = scw_profile::load(environment, self.profile.as_deref()).map_err(|error| {
            Problems::from(match error {
                ProfileError::NotThere { why, hint } => {
                    Problem::of("scw config file", KEY, &format!("the profile {why}"), &hint)
                }
                ProfileError::File(problem) => *problem,
            })
        })?;
        let Some(profile) = profile else {
            return Ok(None);
        };
        let Some(value) = profile.secret_key else {
            return Ok(None);
        };
        if profile.open_to_others {
            return Err(open_to_others(&profile.file, KEY));
        }
        let source = format!("profile {} of {}", profile.name, profile.file.display());
        key(value.expose_secret().to_owned(), source, KEY).map(Some)
    }
}

impl Admin {
    /// Reads the token of changing calls over TCP; `None` where no `token_file` is configured.
    pub fn token(&self) -> Result<Option<Secret>, Problems> {
        let Some(path) = &self.token_file else {
            return Ok(None);
        };
        let text = from_file(path, "admin.token_file", true)?;
        let source = format!("file {}", path.display());
        fit(text, source, "admin.token_file").map(Some)
    }
}

/// Reads a secret of a webhook. Whether it is fit is its kind's business.
pub(super) fn of_webhook(
    place: &SecretPlace,
    key: &str,
    environment: &Environment,
) -> Result<SecretString, Problems> {
    let text = match place {
        SecretPlace::File(path) => from_file(path, key, true)?,
        SecretPlace::Credential(name) => {
            let Some(directory) = environment.path("CREDENTIALS_DIRECTORY") else {
                let why = format!("there are no systemd credentials, so not {name} either");
                let hint = "add LoadCredential= to the service, or name a file in secret_file";
                return Err(Problem::of("systemd credential", key, &why, hint).into());
            };
            from_file(&directory.join(name), key, false)?
        }
    };
    Ok(text.into())
}

/// The text of a secret's file, without the newline at its end. With `private`, others than the
/// owner must not be able to read it.
fn from_file(path: &Path, key: &str, private: bool) -> Result<String, Problems> {
    let content = secret_file::read(path)
        .map_err(|(why, hint)| Problems::from(Problem::of_file(path, key, &why, &hint)))?;
    if private && content.open_to_others {
        return Err(open_to_others(path, key));
    }
    let mut text = content.text;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// An API key: a fit secret that also can stand in an HTTP header.
fn key(text: String, source: String, key: &str) -> Result<Secret, Problems> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Problem::of(
            source,
            key,
            "the secret key holds a space, a line break or another character that no key has",
            "write the key and nothing else",
        )
        .into());
    }
    fit(text, source, key)
}

/// A secret that is long enough.
fn fit(text: String, source: String, key: &str) -> Result<Secret, Problems> {
    if text.len() < MIN_BYTES {
        let why = format!("the secret is shorter than {MIN_BYTES} bytes");
        let hint = "write the whole secret, or make a longer one";
        return Err(Problem::of(source, key, &why, hint).into());
    }
    Ok(Secret {
        value: SecretString::from(text),
        source,
    })
}

fn open_to_others(path: &Path, key: &str) -> Problems {
    let hint = format!("chmod 600 {}", path.display());
    Problem::of_file(
        path,
        key,
        "others than the owner may read or write the file",
        &hint,
    )
    .into()
}
