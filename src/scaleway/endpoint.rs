//! Where the API is: which addresses may be given the secret key, and the paths below them.

use std::fmt;

use url::{Host, Url};

/// The address of the API, checked: `https`, or a loopback host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    url: Url,
}

/// Why a text is no address of an API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It does not parse.
    #[error("not a URL ({0}); write it like \"https://api.scaleway.com\"")]
    NotAUrl(#[from] url::ParseError),
    /// The secret key would cross the network in the clear.
    #[error(
        "the secret key would be sent unencrypted to {0}; use https (http is only for loopback)"
    )]
    NotEncrypted(String),
    /// A user, password, query or fragment has no meaning there, and might be a secret.
    #[error("only a scheme, a host, a port and a path may be given; remove the {0}")]
    Surplus(&'static str),
}

impl Endpoint {
    /// Reads an address. A slash at its end does no harm.
    ///
    /// # Errors
    /// When the address cannot be used, with what to write instead.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let mut url = Url::parse(text.trim())?;
        let surplus = [
            (!url.username().is_empty(), "user"),
            (url.password().is_some(), "password"),
            (url.query().is_some(), "query"),
            (url.fragment().is_some(), "fragment"),
        ];
        if let Some((_, what)) = surplus.into_iter().find(|(present, _)| *present) {
            return Err(EndpointError::Surplus(what));
        }
        let encrypted = match url.scheme() {
            "https" => true,
            "http" => is_loopback(&url),
            _ => false,
        };
        if !encrypted {
            return Err(EndpointError::NotEncrypted(url.as_str().to_owned()));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Ok(Self { url })
    }

    /// Whether the API is on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.url)
    }

    /// The address of something below the product's root. `path` consists of known words and
    /// checked ids.
    pub(super) fn below(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/edge-services/v1beta1/{path}"));
        url
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

/// Without a slash at its end, as the vendor's own clients want it.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn below(text: &str) -> String {
        Endpoint::parse(text)
            .unwrap()
            .below("purge-requests")
            .to_string()
    }

    #[test]
    fn a_slash_at_the_end_does_no_harm() {
        let expected = "https://api.scaleway.com/edge-services/v1beta1/purge-requests";
        assert_eq!(below("https://api.scaleway.com"), expected);
        assert_eq!(below("https://api.scaleway.com/"), expected);
        assert_eq!(below(" https://api.scaleway.com//\n"), expected);
        assert_eq!(
            below("http://127.0.0.1:8080/mock/"),
            "http://127.0.0.1:8080/mock/edge-services/v1beta1/purge-requests"
        );
        let endpoint = Endpoint::parse("https://api.scaleway.com/").unwrap();
        assert_eq!(endpoint.to_string(), "https://api.scaleway.com");
    }

    #[test]
    fn the_key_is_sent_in_the_clear_to_this_machine_only() {
        for text in [
            "http://localhost:1",
            "http://127.9.9.9:1",
            "http://[::1]:1",
            "https://example.com",
        ] {
            assert!(Endpoint::parse(text).is_ok(), "{text}");
        }
        for text in [
            "http://api.scaleway.com",
            "http://localhost.example.com",
            "http://0.0.0.0",
            "ftp://127.0.0.1",
        ] {
            assert!(
                matches!(Endpoint::parse(text), Err(EndpointError::NotEncrypted(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn what_has_no_meaning_there_is_refused_and_not_repeated() {
        let why = Endpoint::parse("https://me:hunter2hunter2@api.scaleway.com")
            .unwrap_err()
            .to_string();
        assert!(!why.contains("hunter2"), "{why}");
        for text in [
            "https://api.scaleway.com?a=b",
            "https://api.scaleway.com#a",
            "api.scaleway.com",
            "",
        ] {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
    }
}
