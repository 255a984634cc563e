//! What holds for any bytes: a changed delivery is refused, and nothing panics.

use std::collections::BTreeSet;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use super::bench::*;
use super::senders::*;
use crate::webhook::*;

fn sender() -> impl Strategy<Value = Sender> {
    select(ALL.to_vec())
}

/// Texts that are nearly what the headers have.
pub(in crate::webhook) fn value() -> impl Strategy<Value = Vec<u8>> {
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
        "total_commits_count",
        "object_attributes",
        "status",
        "deployment",
        "deployment_status",
        "commit_status",
        "build",
        "run",
        "full_name",
        "sys",
        "space",
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

/// A push, and what is known of it.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each of which may be otherwise"
)]
struct Pushed {
    body: Value,
    deleted: bool,
    /// There was something before it.
    kept: bool,
    forced: Option<bool>,
    commits: usize,
    /// Every commit has its three lists.
    whole: bool,
    /// There is a commit without files.
    idle: bool,
    /// There is a file that was added, or has a new name.
    added: bool,
    /// It says how many commits it has, and that is true.
    counted: bool,
    files: BTreeSet<String>,
}

fn push() -> impl Strategy<Value = Pushed> {
    let file = select(vec!["a.html", "b/c.css", "d e.js", "é.png", "x/index.html"]);
    let list = prop::option::weighted(0.95, prop::collection::vec(file, 0..3));
    let commit = (list.clone(), list.clone(), list);
    let commits = prop::collection::vec(commit, 0..4);
    let often = || prop::bool::weighted(0.9);
    let said = prop::option::weighted(0.8, prop::bool::weighted(0.2));
    (
        commits,
        often(),
        often(),
        said,
        prop::option::weighted(0.9, 0_usize..5),
        often(),
    )
        .prop_map(|(commits, kept, exists, forced, count, honest)| {
            let commit = |id: bool| if id { "1f" } else { "00" }.repeat(20);
            let mut body = json!({
                "object_kind": "push",
                "ref": "refs/heads/main",
                "before": commit(kept),
                "after": commit(exists),
                "created": !kept,
                "deleted": !exists,
            });
            if let Some(forced) = forced {
                body["forced"] = forced.into();
            }
            let count = if honest { Some(commits.len()) } else { count };
            if let Some(count) = count {
                body["total_commits"] = count.into();
                body["total_commits_count"] = count.into();
            }
            let lists = |(added, modified, removed): &(_, _, _)| {
                let lists = [
                    ("added", added),
                    ("modified", modified),
                    ("removed", removed),
                ];
                lists.map(|(name, list): (_, &Option<Vec<&'static str>>)| (name, list.clone()))
            };
            let listed: Vec<_> = commits.iter().map(lists).collect();
            let all = listed.iter().map(|lists| {
                let there = lists
                    .iter()
                    .filter_map(|(name, list)| Some((*name, list.as_ref()?)));
                there
                    .map(|(name, list)| (name.to_owned(), json!(list)))
                    .collect::<Map<_, _>>()
            });
            body["commits"] = all.map(Value::Object).collect();
            let files = || {
                listed
                    .iter()
                    .map(|lists| lists.iter().filter_map(|(_, list)| list.as_ref()).flatten())
            };
            Pushed {
                deleted: !exists,
                kept,
                forced,
                commits: listed.len(),
                whole: listed.iter().flatten().all(|(_, list)| list.is_some()),
                idle: files().any(|mut files| files.next().is_none()),
                added: commits
                    .iter()
                    .any(|(added, _, _)| added.as_ref().is_some_and(|list| !list.is_empty())),
                counted: count == Some(listed.len()),
                files: files().flatten().map(|file| (*file).to_owned()).collect(),
                body,
            }
        })
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
                let scheme = ["Bearer ", "Basic "].into_iter().find(|scheme| value.starts_with(scheme));
                let start = scheme.map_or(0, str::len);
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
        media in select(vec![
            None,
            Some("application/json"),
            Some("application/cloudevents+json; charset=utf-8"),
            Some("application/cloudevents-batch+json"),
        ]),
    ) {
        let route = Route::new(RouteSettings {
            purge: files.then_some(Purge::Files),
            events: Some(vec!["*".to_owned()]),
            ..settings(sender.kind().with(Scheme::Open))
        }, &[]).unwrap();
        let mut headers = headers;
        headers.remove("content-type");
        if let Some(media) = media {
            headers.insert("content-type", HeaderValue::from_static(media));
        }
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
                            // Objects of buckets may end so.
                            let file = file.strip_suffix('/').unwrap_or(&file);
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
    fn in_whatever_pieces_a_body_comes_it_is_the_same(sender in sender(),
                                                      body in prop::collection::vec(any::<u8>(), 0..300),
                                                      cuts in prop::collection::vec(0_usize..40, 0..20)) {
        let sent = map(&sender.sign(&body));
        let route = sender.route();
        let whole = verify(&route, &sent, &body, NOW);
        prop_assert!(whole.is_ok());
        let mut verifier = route.verifier(&sent, NOW);
        let mut rest = &body[..];
        for cut in cuts {
            let (piece, more) = rest.split_at(cut.min(rest.len()));
            verifier.update(piece);
            rest = more;
        }
        verifier.update(rest);
        prop_assert_eq!(verifier.finish(), whole);
    }

    #[test]
    fn a_timestamp_counts_only_as_a_number_is_written_and_near_to_now(
        text in prop_oneof!["[0-9+. -]{0,22}", (NOW - 400..NOW + 400).prop_map(|t| t.to_string()),
                            any::<i128>().prop_map(|t| t.to_string()), ".*"],
        now in prop_oneof![Just(NOW), any::<i64>()],
    ) {
        let canonical = text.parse::<i64>().ok().filter(|number| number.to_string() == text && *number >= 0);
        let near = canonical.is_some_and(|then| (i128::from(then) - i128::from(now)).abs() <= 300);
        let found = crate::webhook::auth::timestamp::check(&text, Unit::Seconds, now);
        // What is longer than twelve digits is no time.
        prop_assert_eq!(found.is_ok(), near && text.len() <= 12);
    }

    #[test]
    fn what_a_push_lists_is_believed_exactly_when_the_sender_says_that_it_is_all(
        push in push(), sender in select(vec![Sender::Github, Sender::GitlabToken, Sender::Gitea, Sender::Forgejo]),
    ) {
        let settings = RouteSettings {
            purge: Some(Purge::Files),
            events: Some(vec!["push".to_owned()]),
            ..settings(trusting(sender.kind()))
        };
        let events = ["x-github-event", "x-gitea-event", "x-forgejo-event"].map(|name| (name, "push"));
        let found = read(settings, &events, &push.body.to_string()).unwrap().wish;
        let github = sender == Sender::Github;
        let complete = !push.deleted
            && push.kept
            && push.commits > 0
            && push.whole
            && (!github || !push.idle)
            && (sender != Sender::GitlabToken || !push.added)
            && (github || push.counted)
            && push.forced != Some(true)
            && (!github || push.forced.is_some());
        match found {
            Wish::Nothing(_) if push.deleted => {}
            Wish::Nothing(_) => prop_assert!(complete && push.files.is_empty()),
            Wish::Files(files) => {
                prop_assert!(complete, "{}", push.body);
                let files: BTreeSet<String> = files.into_iter().map(|f| String::from_utf8(f).unwrap()).collect();
                prop_assert_eq!(files, push.files);
            }
            Wish::Scan { because } => prop_assert!(!complete && because.is_some(), "{}", push.body),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn any_pointer_reads_any_body(text in "(/[a-z0-9~]{0,6}){1,4}", body in any_body()) {
        if let Some(pointer) = Pointer::parse(&text)
            && let Ok(found) = pointer.texts(&body) {
                let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
                let there = value.pointer(&text).unwrap();
                let there = there.get(0).unwrap_or(there);
                let there = there.as_str().map_or_else(|| there.to_string(), str::to_owned);
                prop_assert_eq!((found.items, found.more), (vec![there], false));
        }
    }
}

#[test]
fn every_sender_is_believed() {
    for sender in ALL {
        let route = sender.route();
        let long = vec![b'x'; 100_000];
        for body in [&b"{}"[..], b"", b"\xff\0", &long] {
            let sent = map(&sender.sign(body));
            let found = verify(&route, &sent, body, NOW);
            assert!(found.is_ok(), "{sender:?} {found:?}");
        }
    }
}
