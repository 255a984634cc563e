//! What holds for any bytes: a changed delivery is refused, and nothing panics.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use proptest::sample::select;

use super::bench::*;
use super::senders::*;
use crate::webhook::*;

fn sender() -> impl Strategy<Value = Sender> {
    select(ALL.to_vec())
}

/// Texts that are nearly what the headers have.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let parts = select(vec![
        "v1",
        "v1a",
        "sha256",
        "t",
        "=",
        ",",
        " ",
        ".",
        "Bearer",
        "1700000000",
        "1700000000000",
        "AAAA",
        "eyJhbGciOiJIUzI1NiJ9",
        "0",
        "-",
        "+",
        "x-contentful-topic",
        "9223372036854775807",
        "\t",
    ]);
    let built = prop::collection::vec(parts, 0..12).prop_map(|parts| parts.concat().into_bytes());
    prop_oneof![built, prop::collection::vec(any::<u8>(), 0..200)]
}

const NAMES: [&str; 27] = [
    "x-hub-signature-256",
    "x-gitlab-token",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "svix-id",
    "svix-timestamp",
    "svix-signature",
    "x-gitea-signature",
    "x-forgejo-signature",
    "x-hub-signature",
    "authorization",
    "x-contentful-signature",
    "x-contentful-signed-headers",
    "x-contentful-timestamp",
    "x-contentful-topic",
    "sanity-webhook-signature",
    "x-webhook-signature",
    "x-vercel-signature",
    "x-signature",
    "x-timestamp",
    "stripe-signature",
    "x-ghost-signature",
    "x-github-event",
    "x-event-key",
    "content-type",
    "ce-type",
];

fn any_headers() -> impl Strategy<Value = HeaderMap> {
    prop::collection::vec((select(NAMES.to_vec()), value()), 0..8).prop_map(|list| {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
        headers
    })
}

/// Bodies that are nearly what the kinds have.
fn any_body() -> impl Strategy<Value = Vec<u8>> {
    let key = select(vec![
        "ref",
        "before",
        "after",
        "commits",
        "added",
        "modified",
        "removed",
        "Records",
        "s3",
        "bucket",
        "object",
        "key",
        "name",
        "eventName",
        "type",
        "id",
        "data",
        "data_base64",
        "source",
        "specversion",
        "paths",
        "scan",
        "all",
        "object_kind",
        "push",
        "changes",
        "new",
        "state",
        "context",
        "payload",
        "target",
        "action",
        "workflow_run",
        "repository",
        "forced",
        "total_commits",
    ]);
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<f64>().prop_map(|n| n.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        select(vec![
            "push",
            "refs/heads/main",
            "1.0",
            "success",
            "a/b.html",
            "../x",
            "\u{1b}",
            "%zz",
            "deployment"
        ])
        .prop_map(|text| serde_json::Value::from(text).to_string()),
        ".*".prop_map(|text| serde_json::Value::from(text).to_string()),
    ];
    let json = leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5)
                .prop_map(|list| format!("[{}]", list.join(","))),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|map| {
                let fields: Vec<String> = map.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    });
    prop_oneof![
        4 => json.prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..200),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_other_body_is_refused(sender in sender(), body in prop::collection::vec(any::<u8>(), 0..300),
                                 at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        prop_assume!(sender.signs());
        let sent = map(&sender.sign(&body));
        let route = sender.route();
        prop_assert!(verify(&route, &sent, &body, NOW).is_ok());
        let mut other = body.clone();
        match byte {
            0 => { other.pop(); }
            1 => other.push(b'\n'),
            _ if body.is_empty() => other.push(byte),
            _ => other[at.index(body.len())] ^= byte,
        }
        prop_assert_eq!(verify(&route, &sent, &other, NOW).is_ok(), other == body);
    }

    #[test]
    fn any_other_signature_is_refused(sender in sender(), at in any::<prop::sample::Index>(), byte in 33_u8..127,
                                      cut in any::<bool>()) {
        let good = sender.sign(b"{}");
        let mut sent = good.clone();
        for (name, value) in &mut sent {
            if *name == sender.header() {
                // The scheme's word may be in any case, and the rest may not.
                let start = if value.starts_with("Bearer ") { 7 } else { 0 };
                let at = start + at.index(value.len() - start);
                if cut {
                    value.truncate(at);
                } else {
                    value.replace_range(at..=at, &char::from(byte).to_string());
                }
            }
        }
        prop_assume!(sent != good);
        // Two spellings of the same hexadecimal number.
        let lower = |sent: &Sent| sent.iter().map(|(_, v)| v.to_ascii_lowercase()).collect::<Vec<_>>();
        let either_case = matches!(sender, Sender::Stripe | Sender::Ghost);
        prop_assume!(!(either_case && lower(&sent) == lower(&good)));
        let found = verify(&sender.route(), &map(&sent), b"{}", NOW);
        prop_assert!(found.is_err(), "{:?} {:?}", sender, sent);
    }

    #[test]
    fn no_headers_and_no_body_make_it_panic_or_believe(sender in sender(), headers in any_headers(),
                                                      body in any_body(), now in any::<i64>()) {
        let route = sender.route();
        prop_assert!(verify(&route, &headers, &body, now).is_err());
        prop_assert!(!route.may_ask(&headers));
        for method in [axum::http::Method::HEAD, axum::http::Method::OPTIONS] {
            let answer = route.handshake(&method, &headers);
            prop_assert!(answer.is_none_or(|answer| answer.status.is_client_error()));
        }
    }

    #[test]
    fn whatever_is_read_is_printable_and_below_the_root(
        sender in sender(), headers in any_headers(), body in any_body(), files in any::<bool>(),
        event in select(vec!["push", "workflow_run", "repo:push", "action_run_success"]),
    ) {
        let route = Route::new(RouteSettings {
            open: true,
            purge: files.then_some(Purge::Files),
            events: Some(vec!["*".to_owned()]),
            ..settings(sender.kind())
        }, &[]).unwrap();
        let mut headers = headers;
        headers.remove("content-type");
        for name in ["x-github-event", "x-gitea-event", "x-forgejo-event", "x-event-key", "x-contentful-topic"] {
            headers.insert(name, HeaderValue::from_static(event));
        }
        for (name, value) in [("ce-id", "1"), ("ce-source", "/"), ("ce-specversion", "1.0"), ("ce-type", "t")] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let authentic = verify(&route, &headers, &body, NOW).unwrap();
        match route.read(&headers, &authentic, Some(&body)) {
            Ok(delivery) => {
                prop_assert!(!delivery.what.chars().any(char::is_control));
                prop_assert!(delivery.what.len() <= 128 && (1..=128).contains(&delivery.event.len()));
                match delivery.wish {
                    Wish::Files(list) => {
                        prop_assert!(!list.is_empty());
                        for file in list {
                            let file = String::from_utf8(file).unwrap();
                            prop_assert!(!file.starts_with('/') && !file.split('/').any(|p| p == ".." || p.is_empty()));
                            prop_assert!(!file.chars().any(char::is_control) && !file.contains('\\'));
                        }
                    }
                    Wish::Nothing(why) => prop_assert!(!why.chars().any(char::is_control)),
                    _ => {}
                }
            }
            Err(error) => {
                let text = error.to_string();
                prop_assert!(!text.chars().any(char::is_control) && text.len() < 600, "{}", text);
            }
        }
    }

    #[test]
    fn any_pointer_reads_any_body(text in "(/[a-z0-9~]{0,6}){1,4}", body in any_body()) {
        if let Some(pointer) = Pointer::parse(&text)
            && let Ok(Some(found)) = pointer.text(&body) {
                let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
                let there = value.pointer(&text).unwrap();
                let there = there.get(0).unwrap_or(there);
                let there = there.as_str().map_or_else(|| there.to_string(), str::to_owned);
                prop_assert_eq!(found, there);
        }
    }
}
