//! The admin listener and socket, as a program, a monitoring system and a browser meet them.

mod lists;
mod origin;
mod refusals;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use crate::bench::{Bench, LIMIT};

/// The admin token.
pub(crate) const TOKEN: &str = "an-admin-token-of-many-bytes";

/// Gives the daemon a token, so that it can be changed over TCP.
pub(crate) fn with_token(bench: &mut Bench) {
    let path = bench.path("admin_token");
    fs::write(&path, TOKEN).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    bench.admin = format!("token_file = \"{}\"", path.display());
}

/// Where the admin side is.
pub(crate) enum Door {
    Tcp(String),
    Socket,
}

impl Door {
    /// The TCP address, as the log has it: its line comes after the first answer of the socket.
    pub(crate) fn tcp(bench: &Bench) -> Self {
        let since = Instant::now();
        loop {
            let log = bench.log();
            // Of the last start.
            let last = log.rsplit_once("admin=\"");
            let address = last.and_then(|(_, rest)| rest.split('"').next());
            if let Some(address) = address {
                return Self::Tcp(address.to_owned());
            }
            assert!(since.elapsed() < LIMIT, "the log names no address: {log}");
            std::thread::yield_now();
        }
    }

    fn request(&self, bench: &Bench, method: &str, path: &str) -> RequestBuilder {
        let method: Method = method.parse().unwrap();
        match self {
            Self::Tcp(address) => {
                reqwest::Client::new().request(method, format!("http://{address}{path}"))
            }
            Self::Socket => {
                let client = reqwest::Client::builder()
                    .unix_socket(bench.path("admin.sock"))
                    .build();
                client
                    .unwrap()
                    .request(method, format!("http://localhost{path}"))
            }
        }
    }
}

/// Headers, which take the place of those that a client sends by itself.
fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pairs = pairs.iter().map(|(name, value)| {
        let value = HeaderValue::from_str(value).unwrap();
        (HeaderName::from_static(name), value)
    });
    pairs.collect()
}

/// The status, and the document, which has to say that it is JSON.
async fn json(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let kind = response.headers().get("content-type").cloned();
    let text = response.text().await.unwrap();
    assert_eq!(kind.unwrap(), "application/json", "{status}: {text}");
    (status, serde_json::from_str(&text).unwrap())
}

/// A document of the socket that has to be there.
async fn get(bench: &Bench, path: &str) -> Value {
    let (status, document) = json(Door::Socket.request(bench, "GET", path)).await;
    assert_eq!(status, 200, "{path}: {document}");
    document
}
