//! Where a route's secrets are, and the route that is made with them.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::config::environment::Environment;
use crate::config::model::{SecretPlace, Webhook};
use crate::config::problem::{Problem, Problems};
use crate::config::reader::Reader;
use crate::config::secret;
use crate::config::section::{Given, Section};
use crate::config::shape::Shape;
use crate::config::syntax::{Syntax, one_or_list, parsed};
use crate::config::value::{PATH, complain};
use crate::webhook::{MAX_SECRETS, Route};

use super::WebhookKeys;

/// Reads the places of a route's secrets; `None` where there is a problem with them.
pub(super) fn read(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
    kind_is_known: bool,
    open: bool,
) -> Option<Vec<SecretPlace>> {
    let files = WebhookKeys::secret_file(reader, section);
    let credentials = WebhookKeys::credential(reader, section);
    let mut refused = false;
    if open {
        for (key, given) in [("secret_file", &files), ("credential", &credentials)] {
            if let Some(span) = &given.span {
                let why = "is there, and auth = \"none\" says that no secret is needed";
                reader.report_key(&section.key(key), span, why, "remove one of the two");
                refused = true;
            }
        }
    } else if files.span.is_none() && credentials.span.is_none() {
        if kind_is_known {
            reader.missing(
                section,
                "secret_file",
                "without a secret anybody could purge: name a file (or a systemd credential, with credential) that \
                 holds it; for a listener that only this machine reaches, auth = \"none\" will do",
            );
        }
        refused = true;
    }
    let complete = |given: &Given<Vec<SecretPlace>>| given.value.is_some() || given.span.is_none();
    refused |= !complete(&files) || !complete(&credentials);
    let span = files.span.clone().or(credentials.span.clone());
    let mut places = files.value.unwrap_or_default();
    places.extend(credentials.value.unwrap_or_default());
    if let Some(span) = span.filter(|_| !refused && !open) {
        let key = section.key("secret_file");
        if places.is_empty() {
            reader.report_key(&key, &span, "names no secret", "name at least one");
            refused = true;
        } else if places.len() > MAX_SECRETS {
            let why = format!("names more than {MAX_SECRETS} secrets");
            reader.report_key(
                &key,
                &span,
                &why,
                "remove those that no sender uses any more",
            );
            refused = true;
        }
    }
    (!refused).then_some(places)
}

/// The files of secrets.
pub(super) fn files() -> Syntax<Vec<SecretPlace>> {
    const HINT: &str = "write the whole path of the secret's file, in quotes, or a list of them";
    let parse = |path: &str| {
        if !Path::new(path).is_absolute() || path.contains('\0') {
            return complain("is not an absolute path", "write the whole path, from / on");
        }
        Ok(SecretPlace::File(PathBuf::from(path)))
    };
    one_or_list(HINT, parsed(PATH, HINT, parse, written)).one_alone()
}

/// The names of systemd credentials.
pub(super) fn credentials() -> Syntax<Vec<SecretPlace>> {
    const HINT: &str = "write the name of the systemd credential, in quotes, or a list of them";
    let parse = |name: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
            return complain(
                "is not the name of a credential",
                "write the name that LoadCredential= has, of letters, digits, `.`, `_` and `-`",
            );
        }
        Ok(SecretPlace::Credential(name.to_owned()))
    };
    let shape = Shape::pattern("the name of a credential", "^[A-Za-z0-9_-][A-Za-z0-9._-]*$");
    one_or_list(HINT, parsed(shape, HINT, parse, written)).one_alone()
}

fn written(place: &SecretPlace) -> String {
    match place {
        SecretPlace::File(path) => path.display().to_string(),
        SecretPlace::Credential(name) => name.clone(),
    }
}

impl Webhook {
    /// Reads the route's secrets, and makes the route. Reports every secret that can't be read, or
    /// else of the first that is not fit.
    pub fn route(&self, environment: &Environment) -> Result<Route, Problems> {
        let mut problems = Vec::new();
        let mut texts: Vec<SecretString> = Vec::new();
        for place in &self.secrets {
            match secret::of_webhook(place, &self.key(place), environment) {
                Ok((text, _)) => texts.push(text),
                Err(found) => problems.extend(found.into_list()),
            }
        }
        if let Some(problems) = Problems::from_list(problems) {
            return Err(problems);
        }
        Route::new(self.settings.clone(), &texts).map_err(|error| {
            let place = self.secrets.first();
            let key = place.map_or_else(|| self.section.clone(), |place| self.key(place));
            let hint =
                "write the whole secret, one in each file, as the sender shows it or was given it";
            let of = format!("route {}", self.settings.path);
            Problem::of(of, &key, &error.to_string(), hint).into()
        })
    }

    /// What looks wrong with the route's secrets, as far as they can be read.
    pub(crate) fn secret_warnings(&self, environment: &Environment) -> Vec<Problem> {
        let read = |place| secret::of_webhook(place, &self.key(place), environment).ok();
        let read = self.secrets.iter().filter_map(read);
        read.flat_map(|(_, warnings)| warnings).collect()
    }

    fn key(&self, place: &SecretPlace) -> String {
        let name = match place {
            SecretPlace::File(_) => "secret_file",
            SecretPlace::Credential(_) => "credential",
        };
        format!("{}.{name}", self.section)
    }
}
