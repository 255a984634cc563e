//! Speaks to a running daemon through its socket.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use serde::Serialize;
use serde_json::Value;

use super::Failure;

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

/// What the daemon answered.
#[derive(Debug)]
pub(super) enum Answer {
    /// It did it.
    Ok(Value),
    /// It did not: the class of the refusal, and why.
    Refused { class: String, why: String },
}

impl Answer {
    /// The document, or a failure that says why not.
    pub(super) fn into_value(self) -> Result<Value, Failure> {
        match self {
            Self::Ok(value) => Ok(value),
            Self::Refused { class, why } => Err(match class.as_str() {
                "invalid" => Failure::usage(why),
                "unavailable" | "rate_limited" | "transient" | "unknown_outcome" | "unready" => {
                    Failure::temporary(why)
                }
                _ => Failure::failed(why),
            }),
        }
    }
}

impl Daemon {
    /// The daemon behind a socket; `None` when nobody listens there.
    pub(super) async fn find(socket: &Path) -> Option<Self> {
        tokio::net::UnixStream::connect(socket).await.ok()?;
        let http = reqwest::Client::builder()
            .unix_socket(socket)
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()
            .ok()?;
        Some(Self {
            http,
            socket: socket.display().to_string(),
        })
    }

    /// The daemon behind a socket, or the failure of a command that needs it.
    pub(super) async fn need(socket: &Path) -> Result<Self, Failure> {
        Self::find(socket).await.ok_or_else(|| {
            Failure::temporary(format!(
                "no daemon answers at {}; start it with `systemctl start edgepurge`, or check \
                 admin.socket and your permission to open it",
                socket.display()
            ))
        })
    }

    pub(super) async fn get(&self, path: &str, query: &impl Serialize) -> Result<Answer, Failure> {
        let request = self.http.request(Method::GET, url(path)).query(query);
        self.send(request).await
    }

    pub(super) async fn post(&self, path: &str, body: &impl Serialize) -> Result<Answer, Failure> {
        let request = self.http.request(Method::POST, url(path)).json(body);
        self.send(request).await
    }

    /// As [`Daemon::post`], for what takes as long as it takes.
    pub(super) async fn post_and_wait(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Answer, Failure> {
        let request = self.http.request(Method::POST, url(path)).json(body);
        self.send(request.timeout(LONGEST)).await
    }

    /// As [`Daemon::get`], for what takes as long as it takes.
    pub(super) async fn get_and_wait(
        &self,
        path: &str,
        query: &impl Serialize,
    ) -> Result<Answer, Failure> {
        let request = self.http.request(Method::GET, url(path)).query(query);
        self.send(request.timeout(LONGEST)).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, Failure> {
        let broken = |error: reqwest::Error| {
            Failure::temporary(format!("the daemon at {} broke off: {error}", self.socket))
        };
        let response = request.send().await.map_err(broken)?;
        let status = response.status();
        let document: Value = response.json().await.map_err(broken)?;
        if status.is_success() {
            return Ok(Answer::Ok(document));
        }
        let text = |key: &str| document.get(key).and_then(Value::as_str).map(str::to_owned);
        Ok(Answer::Refused {
            class: text("class").unwrap_or_default(),
            why: text("error").unwrap_or_else(|| format!("the daemon answered {status}")),
        })
    }
}

fn url(path: &str) -> String {
    format!("http://localhost{path}")
}
