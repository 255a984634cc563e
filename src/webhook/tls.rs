//! The certificate that the listener shows, with its key: what TLS takes of them, and until when.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use serde::{Deserialize, Serialize};

use crate::core::time::Time;

mod fields;

/// So long before its end a certificate should have been renewed: certbot does it 30 days before. One that
/// lives for less than six weeks has a third of its life.
const NOTICE: Duration = Duration::from_hours(14 * 24);
const DAY: u64 = 24 * 60 * 60;

/// A certificate with its chain and its key, ready for TLS.
#[derive(Clone)]
pub struct Certificate {
    pub(in crate::webhook) server: Arc<ServerConfig>,
    /// What an operator wants to know of it.
    pub facts: CertificateFacts,
}

/// Without the key.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.facts.fmt(f)
    }
}

/// Whom a certificate is for, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFacts {
    /// The host names that it is for, then the addresses.
    pub names: Vec<String>,
    /// The first moment at which it is valid.
    pub valid_from: Time,
    /// The last one.
    pub valid_until: Time,
}

/// Why there is no certificate. Says nothing of what the files hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The file of the certificate has none.
    #[error("holds no certificate in PEM form")]
    NoCertificate,
    /// It has one that can't be used.
    #[error("holds a certificate that TLS can't use: {0}")]
    Certificate(String),
    /// The file of the key has none.
    #[error("holds no private key in PEM form, or one with a passphrase")]
    NoKey,
    /// It has one that can't be used.
    #[error("holds a private key that TLS can't use")]
    Key,
    /// It has that of another certificate.
    #[error("holds the key of another certificate")]
    OtherKey,
}

impl CertificateError {
    /// Whether it is about the file of the key.
    #[must_use]
    pub const fn is_of_key(&self) -> bool {
        matches!(self, Self::NoKey | Self::Key | Self::OtherKey)
    }

    /// What to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NoCertificate | Self::Certificate(_) => {
                "name the file with the certificate and then its chain (certbot: fullchain.pem)"
            }
            Self::NoKey => {
                "name the file that begins with BEGIN PRIVATE KEY (certbot: privkey.pem); openssl pkey takes off a \
                 passphrase"
            }
            Self::Key => "take an RSA key of 2048 bits or more, P-256, P-384 or Ed25519",
            Self::OtherKey => "name the two files that were made together",
        }
    }
}

impl Certificate {
    /// Reads a chain, its own certificate first, and the key (PKCS#8, PKCS#1 or SEC1), both in PEM form.
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, CertificateError> {
        // What the parser says of a file quotes it.
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|_| CertificateError::NoCertificate)?;
        let own = chain.first().ok_or(CertificateError::NoCertificate)?;
        let facts = CertificateFacts::of(own)?;
        let key =
            PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| CertificateError::NoKey)?;
        let mut server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| CertificateError::Certificate(error.to_string()))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => CertificateError::OtherKey,
                rustls::Error::InvalidCertificate(error) => {
                    CertificateError::Certificate(error.to_string())
                }
                _ => CertificateError::Key,
            })?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            server: Arc::new(server),
            facts,
        })
    }
}

impl CertificateFacts {
    fn of(certificate: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        let parsed = webpki::EndEntityCert::try_from(certificate)
            .map_err(|error| CertificateError::Certificate(error.to_string()))?;
        let fields = fields::of(certificate)
            .ok_or_else(|| CertificateError::Certificate("it has no validity".to_owned()))?;
        let hosts = parsed.valid_dns_names().map(str::to_owned);
        let addresses = fields.addresses.iter().map(ToString::to_string);
        Ok(Self {
            names: hosts.chain(addresses).collect(),
            valid_from: fields.valid_from,
            valid_until: fields.valid_until,
        })
    }

    /// Until when it is valid, as `valid until 2027-01-03, 35 days`.
    #[must_use]
    pub fn validity(&self, now: Time) -> String {
        let days = |long: Duration| match long.as_secs() / DAY {
            1 => "1 day".to_owned(),
            days => format!("{days} days"),
        };
        let date = |time: Time| time.to_string().chars().take(10).collect::<String>();
        let (from, until) = (self.valid_from, self.valid_until);
        if now > until {
            format!("expired on {}, {} ago", date(until), days(now.since(until)))
        } else if now < from {
            format!("not valid before {}", date(from))
        } else {
            format!("valid until {}, {}", date(until), days(until.since(now)))
        }
    }

    /// Whether senders refuse it, or will soon.
    #[must_use]
    pub fn is_due(&self, now: Time) -> bool {
        let life = self.valid_until.since(self.valid_from);
        let notice = NOTICE.min(life / 3);
        now < self.valid_from || now > self.valid_until.before(notice)
    }
}

/// The names that it is for.
impl fmt::Display for CertificateFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.names.as_slice() {
            [] => f.write_str("no host name and no address"),
            names => f.write_str(&names.join(", ")),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
