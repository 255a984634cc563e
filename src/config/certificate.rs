//! Reads the certificate of the webhook listener, and its key.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};

use super::problem::{Problem, Problems};
use super::secret;
use crate::core::time::Time;
use crate::webhook::Certificate;

const CERTIFICATE: &str = "webhooks.tls_certificate_file";
const KEY: &str = "webhooks.tls_key_file";

/// The files of the listener's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl CertificateFiles {
    /// Reads both.
    ///
    /// # Errors
    /// What is wrong with either; never what they hold.
    pub fn read(&self) -> Result<Certificate, Problems> {
        let chain = secret::from_file(&self.certificate, CERTIFICATE, false);
        let key = secret::from_file(&self.key, KEY, true).map(SecretString::from);
        let (chain, key) = match (chain, key) {
            (Ok(chain), Ok(key)) => (chain, key),
            (Err(mut problems), Err(more)) => {
                problems.extend(more);
                return Err(problems);
            }
            (Err(problems), _) | (_, Err(problems)) => return Err(problems),
        };
        Certificate::from_pem(&chain, key.expose_secret()).map_err(|error| {
            let (file, name) = if error.is_of_key() {
                (&self.key, KEY)
            } else {
                (&self.certificate, CERTIFICATE)
            };
            let why = format!("the file {error}");
            Problem::of_file(file, name, &why, error.hint()).into()
        })
    }

    /// A warning where senders refuse the certificate, or will soon.
    #[must_use]
    pub fn warning(&self, certificate: &Certificate, now: Time) -> Option<Problem> {
        let facts = &certificate.facts;
        facts.is_due(now).then(|| {
            let why = format!("the certificate is {}", facts.validity(now));
            let hint = "renew it: senders refuse one that is not valid";
            Problem::of_file(&self.certificate, CERTIFICATE, &why, hint)
        })
    }
}
