//! What is not authentic gets the same response, to the byte: whatever the kind, and whatever is wrong.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;

use crate::clock::Clock;
use crate::core::delivery::{DeliveryProgress, DeliveryRecord, Intent, NewDelivery, Taken};
use crate::sink::{Deliveries, SinkError, SinkFuture};
use crate::webhook::http::body::BodyLimits;
use crate::webhook::http::connections::Connection;
use crate::webhook::http::server::Server;
use crate::webhook::tests::senders::*;
use crate::webhook::*;

const BODY: &[u8] = br#"{"ref": "refs/heads/main", "scan": true}"#;

/// Takes nothing.
struct Refusing;

impl Deliveries for Refusing {
    fn deliver(&self, _: NewDelivery<Intent>) -> SinkFuture<'_, Taken> {
        Box::pin(async { Err(SinkError::Stopping) })
    }

    fn delivery<'a>(&'a self, _: &'a str, _: &'a str) -> SinkFuture<'a, Option<DeliveryRecord>> {
        Box::pin(async { Ok(None) })
    }

    fn progress<'a>(&'a self, _: &'a str, _: &'a str) -> SinkFuture<'a, Option<DeliveryProgress>> {
        Box::pin(async { Ok(None) })
    }
}

/// All that an answer says: status, headers, body.
type Said = (u16, BTreeMap<String, String>, Bytes);

fn server(sender: Sender, clock: Clock) -> Arc<Server> {
    let hook = Hook {
        route: sender.route(),
        pipeline: "www".into(),
    };
    let settings = ServerSettings {
        body_limit: 1 << 20,
        trusted_proxies: Vec::new(),
        failed_auth_per_minute: NonZeroU32::MAX,
        certificate: None,
    };
    let limits = BodyLimits {
        bytes: settings.body_limit,
        allowance: Duration::from_secs(5),
        rate: 64 << 10,
        total: Duration::from_secs(10),
    };
    let tallies = Tallies::default();
    Server::new(
        vec![hook],
        &tallies,
        settings,
        limits,
        Arc::new(Refusing),
        tokio_util::sync::CancellationToken::new(),
        clock,
    )
    .into()
}

async fn said(server: &Arc<Server>, method: Method, headers: HeaderMap, body: &[u8]) -> Said {
    let mut request = Request::new(Full::from(Bytes::copy_from_slice(body)));
    *request.method_mut() = method;
    *request.uri_mut() = "/hooks/www".parse().unwrap();
    *request.headers_mut() = headers;
    let connection = Connection::local(Clock::start());
    let Ok(answer) = Arc::clone(server).answer(request, connection).await;
    let (head, body) = answer.into_parts();
    let headers = head.headers.iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()));
    (
        head.status.as_u16(),
        headers.collect(),
        body.collect().await.unwrap().to_bytes(),
    )
}

/// What real receivers once believed, and what is nearly right, with what is wrong with it.
fn corpus(sender: Sender, now: i64) -> Vec<(String, HeaderMap, Vec<u8>)> {
    let unit = sender.unit().unwrap_or(1);
    let stamp = (now * unit).to_string();
    let good = sender.sign_with(&sender.secret(1), &stamp, BODY);
    let with = |change: &dyn Fn(&str) -> String| {
        let mut sent = good.clone();
        for (_, value) in sent.iter_mut().filter(|(n, _)| *n == sender.header()) {
            *value = change(value);
        }
        map(&sent)
    };
    let mut corpus = vec![
        ("nothing".to_owned(), HeaderMap::new(), BODY.to_vec()),
        ("no body either".to_owned(), HeaderMap::new(), Vec::new()),
        (
            "only the old SHA-1".to_owned(),
            map(&vec![(
                "x-hub-signature",
                format!("sha1={}", "0".repeat(40)),
            )]),
            BODY.to_vec(),
        ),
    ];
    let mut add = |why: &str, headers: HeaderMap, body: &[u8]| {
        corpus.push((why.to_owned(), headers, body.to_vec()));
    };
    add("an empty header", with(&|_| String::new()), BODY);
    add("sha256=", with(&|_| "sha256=".to_owned()), BODY);
    add("v1,", with(&|_| "v1,".to_owned()), BODY);
    add("Bearer", with(&|_| "Bearer ".to_owned()), BODY);
    add("a digit less", with(&|v| v[..v.len() - 1].to_owned()), BODY);
    add("a digit more", with(&|v| format!("{v}0")), BODY);
    add(
        "another version",
        with(&|v| v.replace("v1", "v1a") + "!"),
        BODY,
    );
    add("zeros", with(&|v| "0".repeat(v.len())), BODY);
    let mut twice = with(&|v| v.to_owned());
    for value in ["x", ""] {
        twice.append(sender.header(), HeaderValue::from_static(value));
        add("two headers", twice.clone(), BODY);
    }
    let mut bytes = with(&|v| v.to_owned());
    bytes.insert(
        sender.header(),
        HeaderValue::from_bytes(b"\xff\xfe").unwrap(),
    );
    add("not text", bytes, BODY);
    let other = sender.sign_with(&sender.secret(2), &stamp, BODY);
    add("another hook's secret", map(&other), BODY);
    if sender.signs() {
        let good = map(&good);
        add("a newline more", good.clone(), &[BODY, b"\n"].concat());
        add(
            "encoded again",
            good.clone(),
            br#"{"ref":"refs/heads/main","scan":true}"#,
        );
        add("not UTF-8", good.clone(), b"\xff\xfe");
        add("not JSON", good.clone(), b"{");
        add("a large body", good, &vec![b' '; 300_000]);
    }
    if sender.unit().is_some() {
        for bad in [
            ((now - 600) * unit).to_string(),
            ((now + 600) * unit).to_string(),
            i64::MIN.to_string(),
            i64::MAX.to_string(),
            format!("+{stamp}"),
            format!("0{stamp}"),
            "9".repeat(20),
        ] {
            let sent = sender.sign_with(&sender.secret(1), &bad, BODY);
            add(&format!("the time {bad}"), map(&sent), BODY);
        }
    }
    // The response says nothing about the body of what is not authentic either.
    let mut typed = with(&|_| "x".to_owned());
    typed.insert("content-encoding", HeaderValue::from_static("gzip"));
    typed.insert("content-type", HeaderValue::from_static("text/html"));
    add("compressed HTML", typed, BODY);
    corpus
}

#[tokio::test]
async fn strangers_hear_the_same_of_every_kind_whatever_is_wrong() {
    let clock = Clock::start();
    let now = i64::try_from(clock.now().millis() / 1_000).unwrap();
    let mut heard: Option<Said> = None;
    for sender in ALL {
        let server = server(sender, clock);
        let stamp = (now * sender.unit().unwrap_or(1)).to_string();
        let good = map(&sender.sign_with(&sender.secret(1), &stamp, BODY));
        let (status, ..) = said(&server, Method::POST, good, BODY).await;
        assert!(![401, 404, 405].contains(&status), "{sender:?}: {status}");
        for (why, headers, body) in corpus(sender, now) {
            let found = said(&server, Method::POST, headers, &body).await;
            assert_eq!(found.0, 401, "{sender:?}: {why}");
            let first = heard.get_or_insert_with(|| found.clone());
            assert_eq!(&found, first, "{sender:?}: {why}");
        }
        let status = &server.status()[0];
        let refused: u64 = status.refusals.values().sum();
        // What is authentic, and can't be read, is refused for another reason.
        let unreadable = status.refusals["unreadable"];
        assert_eq!(refused - unreadable, status.answers["unauthorized"]);
    }
}
