//! Reads `[[pipeline.webhook]]`: who may tell of deploys, where its secrets are, and what its
//! deliveries purge.

use secrecy::SecretString;

use crate::webhook::Route;

use super::environment::Environment;
use super::model::{SecretPlace, Webhook};
use super::problem::{Problem, Problems};
use super::secret;

impl Webhook {
    /// Reads the route's secrets, and makes the route. Reads no further than the first secret that
    /// is not fit.
    pub fn route(&self, environment: &Environment) -> Result<Route, Problems> {
        let key = |place: &SecretPlace| {
            let name = match place {
                SecretPlace::File(_) => "secret_file",
                SecretPlace::Credential(_) => "credential",
            };
            format!("{}.{name}", self.section)
        };
        let mut texts: Vec<SecretString> = Vec::new();
        for place in &self.secrets {
            texts.push(secret::of_webhook(place, &key(place), environment)?);
        }
        Route::new(self.settings.clone(), &texts).map_err(|error| {
            let key = self.secrets.first().map_or(self.section.clone(), key);
            let hint = "write what the sender shows or was given, the whole of it, one secret in each file";
            Problem::of(self.settings.path.clone(), &key, &error.to_string(), hint).into()
        })
    }
}
