//! Speaks to a running daemon through its socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Serialize};
use serde_json::Value;

use super::Failure;
use crate::admin::api::{Refusal, Status};

/// How long an answer may take; the daemon itself waits up to 30 s for the API.
const TIMEOUT: Duration = Duration::from_mins(1);

/// The longest wait for what takes as long as it takes: a scan of very many files.
const LONGEST: Duration = Duration::from_hours(24);

/// A connection to the daemon.
#[derive(Debug)]
pub(super) struct Daemon {
    http: reqwest::Client,
    socket: String,
}

/// An answer of the daemon.
#[derive(Debug)]
pub(super) struct Reply<T> {
    /// What it says.
    pub(super) value: T,
    /// The document as it came: a daemon of another version may say more than `T` has.
    pub(super) document: Value,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal.class.as_str() {
            "invalid" | "unknown_pipeline" => Self::usage(refusal.error),
            "unavailable" | "rate_limited" | "transient" | "unknown_outcome" | "unready" => {
                Self::temporary(refusal.error)
            }
            _ => Self::failed(refusal.error),
        }
    }
}

impl Daemon {
    /// The daemon behind a socket; `None` when none listens there, or may be spoken to.
    pub(super) async fn find(socket: &Path) -> Option<Self> {
        Self::reach(socket).await.ok()?
    }

    /// The daemon behind a socket.
    async fn reach(socket: &Path) -> io::Result<Option<Self>> {
        tokio::net::UnixStream::connect(socket).await?;
        let http = reqwest::Client::builder()
            .unix_socket(socket)
            // There is no TLS here, and to read the system's certificates is most of what a command costs.
            .tls_certs_only([])
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()
            .ok();
        Ok(http.map(|http| Self {
            http,
            socket: socket.display().to_string(),
        }))
    }

    /// The daemon behind a socket, or the failure of a command that needs it.
    pub(super) async fn need(socket: &Path) -> Result<Self, Failure> {
        match Self::reach(socket).await {
            Ok(Some(daemon)) => Ok(daemon),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(refused(socket)),
            Ok(None) | Err(_) => Err(Failure::temporary(format!(
                "edgepurge is not running: no daemon answers at {}",
                socket.display()
            ))
            .help("sudo systemctl start edgepurge")
            .help("is it running with another configuration? edgepurge --config FILE status")),
        }
    }

    /// The whole status.
    pub(super) async fn status(&self) -> Result<Reply<Status>, Failure> {
        self.get("/api/v1/status", &()).await
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &impl Serialize,
    ) -> Result<Reply<T>, Failure> {
        let request = self.http.get(url(path)).query(query);
        Ok(self.send(request).await??)
    }

    /// As [`Daemon::get`]; `None` where the daemon knows no such thing.
    pub(super) async fn find_one<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &impl Serialize,
    ) -> Result<Option<Reply<T>>, Failure> {
        let request = self.http.get(url(path)).query(query);
        match self.send(request).await? {
            Err(refusal) if refusal.class == "not_found" => Ok(None),
            answer => Ok(Some(answer?)),
        }
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Reply<T>, Failure> {
        let request = self.http.post(url(path)).json(body);
        Ok(self.send(request).await??)
    }

    /// As [`Daemon::post`], for what takes as long as it takes.
    pub(super) async fn post_and_wait<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Reply<T>, Failure> {
        let request = self.http.post(url(path)).json(body).timeout(LONGEST);
        Ok(self.send(request).await??)
    }

    /// As [`Daemon::get`], for what takes as long as it takes.
    pub(super) async fn get_and_wait<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &impl Serialize,
    ) -> Result<Reply<T>, Failure> {
        let request = self.http.get(url(path)).query(query).timeout(LONGEST);
        Ok(self.send(request).await??)
    }

    async fn send<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<Result<Reply<T>, Refusal>, Failure> {
        let broken = |error: reqwest::Error| {
            Failure::temporary(format!("the daemon at {} broke off: {error}", self.socket))
        };
        let response = request.send().await.map_err(broken)?;
        let status = response.status();
        let body = response.bytes().await.map_err(broken)?;
        let document: Value = serde_json::from_slice(&body).map_err(|error| {
            Failure::failed(format!(
                "{} answered {status} with something other than JSON ({error}): is that edgepurge's socket?",
                self.socket
            ))
        })?;
        if !status.is_success() {
            let unclear = |_| Refusal {
                error: format!("the daemon answered {status}"),
                class: String::new(),
            };
            return Ok(Err(Refusal::deserialize(&document).unwrap_or_else(unclear)));
        }
        let value = serde_path_to_error::deserialize(&document).map_err(|error| {
            Failure::failed(format!(
                "the answer of the daemon at {} can't be read: {error}; it seems to be of another \
                 version than this command ({}): restart it (systemctl restart edgepurge)",
                self.socket,
                env!("CARGO_PKG_VERSION")
            ))
        })?;
        Ok(Ok(Reply { value, document }))
    }
}

/// What to say where a daemon is there that may not be spoken to.
pub(super) fn refused(socket: &Path) -> Failure {
    Failure::temporary(format!(
        "you may not open the daemon's socket {}: permission denied",
        socket.display()
    ))
    .help("sudo edgepurge ...")
    .help("or once: sudo adduser $USER edgepurge, and log in again")
}

fn url(path: &str) -> String {
    format!("http://localhost{path}")
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;

    use super::*;

    /// Why `status` fails where every request to the socket gets this body.
    async fn failure(body: &str) -> String {
        drop(rustls::crypto::ring::default_provider().install_default());
        let home = tempfile::tempdir().unwrap();
        let socket = home.path().join("admin.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let answers = async {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let length = body.len();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
                // The first connection only sees whether a daemon is there.
                if stream.read(&mut [0; 4096]).await.unwrap_or(0) > 0 {
                    let answer = head + body;
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        };
        let asked = async {
            let daemon = Daemon::need(&socket).await.unwrap();
            daemon.status().await.unwrap_err().to_string()
        };
        tokio::select! {
            failure = asked => failure,
            () = answers => unreachable!("it answers for ever"),
        }
    }

    #[tokio::test]
    async fn what_a_daemon_of_another_version_leaves_out_is_named_with_the_way_out() {
        let body = r#"{"version": "0.0.1", "now": "2026-01-01T00:00:00.000Z"}"#;
        let failure = failure(body).await;
        assert!(failure.contains("missing field `api_url`"), "{failure}");
        assert!(failure.contains("systemctl restart edgepurge"), "{failure}");
    }

    #[tokio::test]
    async fn an_answer_that_is_no_json_is_called_so_and_not_a_broken_connection() {
        let failure = failure("<html>").await;
        assert!(failure.contains("other than JSON"), "{failure}");
        assert!(!failure.contains("broke off"), "{failure}");
    }
}
