//! Deploy webhooks, from the sender's HTTP call to the fresh edge: the real process, and senders
//! that do everything wrong.

mod changes;
mod check;
mod ci;
mod crash;
mod forges;
mod full;
mod full_queue;
mod kinds;
mod limits;
mod methods;
mod notify;
mod one_core;
mod refused;
mod reload;
mod repeated;
mod senders;
mod sockets;
mod texts;
mod tls;
mod wire;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::LazyLock;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::bench::{Bench, until};
use crate::metrics::value as metric;

/// The secret of every route.
pub(crate) const SECRET: &str = "a-secret-for-the-tests-of-32-bytes";

/// Where the secret is.
fn secret_file(bench: &Bench) -> PathBuf {
    let path = bench.path("webhook_secret");
    fs::write(&path, SECRET).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// Adds a route, `/hooks/www`, of this kind, and lines for it and for `[webhooks]`.
pub(crate) fn with_route(bench: &mut Bench, kind: &str, lines: &str, listener: &str) {
    let listen = if listener.contains("listen =") {
        ""
    } else {
        "listen = \"127.0.0.1:0\""
    };
    let section = format!("\n[webhooks]\n{listen}\n{listener}\n");
    bench.scaleway.push_str(&section);
    let section = format!(
        "\n[[pipeline.webhook]]\nroute = \"/hooks/www\"\nkind = \"{kind}\"\n\
         secret_file = \"{}\"\n{lines}\n",
        secret_file(bench).display()
    );
    bench.origin.push_str(&section);
}

/// A running daemon with a route.
async fn started(kind: &str, lines: &str) -> Bench {
    let mut bench = Bench::new().await;
    with_route(&mut bench, kind, lines, "");
    bench.start().await;
    bench
}

/// An answer.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// Where the daemon takes webhooks.
pub(crate) async fn address(bench: &Bench) -> String {
    let status = bench.status().await;
    let listen = status["webhooks"]["listen"][0].as_str();
    listen.unwrap_or_else(|| panic!("{status}")).to_owned()
}

pub(crate) async fn call(request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let text = response.text().await?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Answer { status, body })
}

/// A client of plain HTTP, one for all: to make one reads the system's certificates, which takes long enough for
/// the head of another one's call to come too late. It keeps no connection, since each test has a runtime of its own.
static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
    let client = reqwest::Client::builder().pool_max_idle_per_host(0);
    client.build().unwrap()
});

/// A delivery with the secret as a token.
pub(crate) async fn post(address: &str, body: &Value) -> Result<Answer, reqwest::Error> {
    let request = CLIENT
        .post(format!("http://{address}/hooks/www"))
        .bearer_auth(SECRET)
        .json(body);
    call(request).await
}

/// A delivery as GitHub makes it after a workflow.
pub(crate) async fn github(address: &str, number: u64) -> Answer {
    let body = json!({
        "action": "completed",
        "workflow_run": { "id": number, "conclusion": "success", "head_branch": "main" },
        "repository": { "full_name": "example/site" },
    });
    let body = body.to_string();
    let request = CLIENT
        .post(format!("http://{address}/hooks/www"))
        .headers(signed(&body))
        .body(body);
    call(request).await.unwrap()
}

pub(crate) fn signed(body: &str) -> HeaderMap {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
    let mac = ring::hmac::sign(&key, body.as_bytes());
    let signature = format!("sha256={}", data_encoding::HEXLOWER.encode(mac.as_ref()));
    [
        ("content-type", "application/json"),
        ("x-github-event", "workflow_run"),
        ("x-hub-signature-256", &signature),
    ]
    .into_iter()
    .map(|(name, value)| {
        let value = HeaderValue::from_str(value).unwrap();
        (HeaderName::from_static(name), value)
    })
    .collect()
}

/// What became of a delivery.
async fn state(address: &str, event: &str) -> Answer {
    let request = CLIENT
        .get(format!("http://{address}/hooks/www/{event}"))
        .bearer_auth(SECRET);
    call(request).await.unwrap()
}

/// Waits until a delivery is in this state.
pub(crate) async fn becomes(address: &str, event: &str, wanted: &str) -> Value {
    until(&format!("{event} is {wanted}"), async || {
        let answer = state(address, event).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        (answer.body["state"] == wanted).then_some(answer.body)
    })
    .await
}

/// The event that a 202 names.
pub(crate) fn event(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.body["pipeline"], "www");
    answer.body["event"].as_str().unwrap().to_owned()
}
