//! Deploy webhooks as the vendors' own libraries sign them are believed, and GitHub's own examples of
//! payloads are understood.

mod variants;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use edgepurge::core::change::PipelineId;
use edgepurge::webhook::{
    Authentic, Digest, Encoding, Kind, Mac, Origins, Piece, Purge, Refused, Route, RouteSettings,
    Scheme, Stamp, StampPlace, Unit, Wish, kind,
};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::bench::{LIMIT, PIPELINE, skip};

const NOW: i64 = 1_700_000_000;
const SECRET: &str = "It's a Secret to Everybody";
const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const BODY: &str = r#"{"scan": true, "title": "caf\u00e9 \ud83d\ude00 é"}"#;

/// Has each of these signed by its vendor's library; `None` where there are no libraries.
pub(crate) async fn signed(wanted: &[Value]) -> Option<Vec<Value>> {
    let Some(modules) = std::env::var_os("EDGEPURGE_TEST_NODE_MODULES") else {
        skip("EDGEPURGE_TEST_NODE_MODULES has none of the vendors' signers; tests/run does");
        return None;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/sign.mjs");
    let mut node = Command::new("node")
        .arg(script)
        .env("NODE_MODULES", modules)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let lines: Vec<String> = wanted.iter().map(Value::to_string).collect();
    let lines = lines.join("\n");
    let mut stdin = node.stdin.take().unwrap();
    stdin.write_all(lines.as_bytes()).await.unwrap();
    drop(stdin);
    let output = tokio::time::timeout(LIMIT, node.wait_with_output());
    let output = output.await.expect("the signers end in time").unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let text = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), wanted.len(), "{complaint}");
    Some(answers)
}

fn settings(kind: Kind) -> RouteSettings {
    RouteSettings {
        path: "/hooks/www".to_owned(),
        pipeline: PipelineId::new(PIPELINE),
        origins: Origins::Directories,
        kind,
        repositories: Vec::new(),
        workflows: Vec::new(),
        environments: Vec::new(),
        events: None,
        branches: Vec::new(),
        purge: None,
        files_root: String::new(),
        delay: Duration::ZERO,
        dedupe: Duration::ZERO,
    }
}

pub(crate) fn headers(answer: &Value) -> HeaderMap {
    let object = answer["headers"].as_object().unwrap();
    object
        .iter()
        .map(|(name, value)| {
            let name: HeaderName = name.parse().unwrap();
            (
                name,
                HeaderValue::from_str(value.as_str().unwrap()).unwrap(),
            )
        })
        .collect()
}

fn verify(route: &Route, headers: &HeaderMap, body: &[u8]) -> Result<Authentic, Refused> {
    let mut verifier = route.verifier(headers, NOW);
    verifier.update(body);
    verifier.finish()
}

/// A kind that signs a body and a timestamp, which is `t=` in the same header.
fn stamped(header: &str, prefix: &str, unit: Unit, signed: (Vec<Piece>, Vec<Piece>)) -> Kind {
    Kind::new(&kind::generic::SENDER).with(Scheme::Mac(Mac {
        header: header.parse().unwrap(),
        prefix: prefix.to_owned(),
        encoding: Encoding::Hex,
        digest: Digest::Sha256,
        stamp: Some(Stamp {
            place: StampPlace::Field("t".to_owned()),
            unit,
        }),
        around: signed,
    }))
}

fn stripe() -> Kind {
    let before = vec![Piece::Timestamp, Piece::Text(".".to_owned())];
    stamped(
        "stripe-signature",
        "v1=",
        Unit::Seconds,
        (before, Vec::new()),
    )
}

fn ghost() -> Kind {
    let after = vec![Piece::Timestamp];
    stamped(
        "x-ghost-signature",
        "sha256=",
        Unit::Milliseconds,
        (Vec::new(), after),
    )
}

#[tokio::test]
async fn what_the_vendors_libraries_sign_is_believed() {
    let standard = || Kind::new(&kind::standard::SENDER);
    let contentful = Kind::new(&kind::contentful::SENDER).with(Scheme::Own(
        &kind::contentful::PROTOCOL,
        Some("/proxied/hooks/www".to_owned()),
    ));
    let gitlab = Kind::new(&kind::gitlab::SENDER).with(Scheme::Own(&kind::standard::HMAC, None));
    let long = "0123456789abcdef".repeat(4);
    let mut senders = vec![
        ("gitlab", gitlab, WHSEC),
        ("ghost", ghost(), SECRET),
        ("standard", standard(), WHSEC),
        ("svix", standard(), WHSEC),
        ("stripe", stripe(), WHSEC),
        ("contentful", contentful, &*long),
    ];
    // Every other kind that signs.
    for sender in kind::SENDERS {
        let kind = Kind::new(sender);
        let signs = matches!(kind.scheme, Scheme::Mac(_) | Scheme::Own(..));
        if signs && !senders.iter().any(|(name, ..)| *name == sender.name) {
            senders.push((sender.name, kind, SECRET));
        }
    }
    assert!(senders.len() >= 13, "{}", senders.len());
    let wanted: Vec<Value> = senders
        .iter()
        .map(|(kind, _, secret)| {
            json!({
                "kind": kind, "secret": secret, "body": BODY, "at": NOW,
                "path": "/proxied/hooks/www",
            })
        })
        .collect();
    let Some(answers) = signed(&wanted).await else {
        return;
    };
    for ((name, kind, secret), answer) in senders.into_iter().zip(answers) {
        let route = Route::new(settings(kind.clone()), &[secret.into()]).unwrap();
        let sent = headers(&answer);
        let authentic = verify(&route, &sent, BODY.as_bytes());
        assert!(authentic.is_ok(), "{name}: {authentic:?} {sent:?}");
        let other = BODY.replace("true", "TRUE");
        assert_eq!(
            verify(&route, &sent, other.as_bytes()),
            Err(Refused::Wrong),
            "{name}"
        );
        let other = secret.replace(['a', 'e'], "x");
        if let Ok(route) = Route::new(settings(kind), &[other.into()]) {
            let found = verify(&route, &sent, BODY.as_bytes());
            assert_eq!(found, Err(Refused::Wrong), "{name}");
        }
    }
}

#[tokio::test]
async fn cloudevents_of_the_official_sdk_are_understood() {
    let modes = ["binary", "structured", "batch"];
    let wanted = modes.map(|mode| {
        json!({"kind": "cloudevents", "secret": "a-token-of-events", "body": "{\"scan\":true}", "mode": mode})
    });
    let Some(answers) = signed(&wanted).await else {
        return;
    };
    let kind = Kind::new(&kind::cloudevents::SENDER);
    let route = Route::new(settings(kind), &["a-token-of-events".into()]).unwrap();
    for (mode, answer) in modes.into_iter().zip(answers) {
        let sent = headers(&answer);
        let body = answer["body"].as_str().unwrap().as_bytes();
        let authentic = verify(&route, &sent, body).unwrap();
        let delivery = route.read(&sent, &authentic, Some(body)).unwrap();
        assert_eq!(delivery.wish, Wish::Scan { because: None });
        if mode == "batch" {
            assert_eq!(&*delivery.what, "batch");
        } else {
            assert_eq!(&*delivery.what, "com.example.deployed");
            assert_eq!(&*delivery.event, "1");
        }
    }
}

#[tokio::test]
async fn githubs_own_examples_are_understood() {
    let events = [
        "ping",
        "push",
        "workflow_run",
        "deployment_status",
        "page_build",
        "release",
        "package",
        "status",
        "check_run",
        "check_suite",
        "issues",
    ];
    let wanted = events.map(|event| json!({"kind": "examples", "event": event}));
    let Some(answers) = signed(&wanted).await else {
        return;
    };
    let mut examples: Vec<(&str, String)> = Vec::new();
    for (event, answer) in events.iter().zip(&answers) {
        let list = answer["examples"].as_array().unwrap();
        examples.extend(list.iter().map(|example| (*event, example.to_string())));
    }
    let wanted: Vec<Value> = examples
        .iter()
        .map(|(_, body)| json!({"kind": "github", "secret": SECRET, "body": body}))
        .collect();
    let signatures = signed(&wanted).await.unwrap();
    let route = Route::new(
        RouteSettings {
            repositories: vec!["Codertocat/Hello-World".to_owned()],
            events: Some(
                events[1..10]
                    .iter()
                    .map(|&event| event.to_owned())
                    .collect(),
            ),
            purge: Some(Purge::Files),
            ..settings(Kind::new(&kind::github::SENDER))
        },
        &[SECRET.into()],
    )
    .unwrap();
    let mut scans = 0;
    for ((event, body), answer) in examples.iter().zip(&signatures) {
        let mut sent = headers(answer);
        sent.insert("x-github-event", HeaderValue::from_static(event));
        let authentic = verify(&route, &sent, body.as_bytes()).unwrap();
        let delivery = route.read(&sent, &authentic, Some(body.as_bytes()));
        let delivery = delivery.unwrap_or_else(|error| panic!("{event}: {error}"));
        assert_eq!(&*delivery.what, *event);
        match delivery.wish {
            Wish::Scan { because } => {
                // Every push among them makes or deletes its branch or tag.
                assert!(because.is_some(), "{event}");
                scans += 1;
            }
            Wish::Nothing(_) => {}
            other => panic!("{event}: {other:?}"),
        }
    }
    assert!(scans > 3, "{scans}");
}
