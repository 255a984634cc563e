//! Buckets, events, content and hosting: S3, `CloudEvents`, Contentful, Sanity, Netlify, Vercel.

use axum::http::{Method, StatusCode};
use data_encoding::BASE64;
use serde_json::{Value, json};

use super::bench::*;
use super::senders::Sender;
use crate::webhook::*;

const SCAN: Wish = Wish::Scan { because: None };

fn record(event: &str, bucket: &str, key: &str) -> Value {
    json!({"eventName": event, "eventSource": "minio:s3", "s3": {"bucket": {"name": bucket}, "object": {"key": key}}})
}

fn bucket(records: &[Value]) -> Wish {
    let settings = RouteSettings {
        origins: Origins::None,
        repositories: vec!["site".to_owned()],
        ..settings(Kind::new(&kind::s3::SENDER))
    };
    wish(
        settings,
        &[],
        &json!({"EventName": "x", "Key": "site/y", "Records": records}).to_string(),
    )
}

#[test]
fn a_buckets_objects_are_files() {
    let found = bucket(&[
        record("s3:ObjectCreated:Put", "site", "blog%2Fred+flower.html"),
        record("ObjectRemoved:Delete", "site", "blog/caf%C3%A9.html"),
        record("s3:ObjectAccessed:Get", "site", "not-changed.html"),
    ]);
    assert_eq!(
        found,
        files(&["blog/caf\u{e9}.html", "blog/red flower.html"])
    );
}

#[test]
fn a_key_that_is_no_path_makes_it_everything() {
    for key in [
        "..%2F..%2Fetc%2Fpasswd",
        "a%00b",
        "a%0Ab",
        "a%5Cb",
        "%2Fabsolute",
        "a%2F%2Fb",
        "%FF",
        "%",
        "%2",
        "https%3A%2F%2Fother%2Fa",
        "",
        "/",
        "a//",
        "../",
    ] {
        let found = bucket(&[
            record("s3:ObjectCreated:Put", "site", "good.html"),
            record("s3:ObjectCreated:Put", "site", key),
        ]);
        assert!(
            matches!(found, Wish::All { because: Some(_) }),
            "{key}: {found:?}"
        );
    }
    // A folder, as consoles make them, is an object with that URL, and no reason to purge everything.
    let found = bucket(&[record("s3:ObjectCreated:Put", "site", "photos%2F")]);
    assert_eq!(found, files(&["photos/"]));
    // One decode, not two: this is the name of a file.
    let found = bucket(&[record("s3:ObjectCreated:Put", "site", "%252e%252e/a")]);
    assert_eq!(found, files(&["%2e%2e/a"]));
}

#[test]
fn a_bucket_that_is_not_the_routes() {
    let found = bucket(&[record("s3:ObjectCreated:Put", "other", "a")]);
    assert!(nothing(&found, "another repository"));
    let found = bucket(&[
        record("s3:ObjectCreated:Put", "site", "a"),
        record("s3:ObjectCreated:Put", "other", "b"),
    ]);
    assert!(matches!(found, Wish::All { because: Some(_) }));
    assert!(nothing(&bucket(&[]), "no records"));
    let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "site"});
    assert!(nothing(
        &wish(
            settings(Kind::new(&kind::s3::SENDER)),
            &[],
            &test.to_string()
        ),
        "no records"
    ));
}

#[test]
fn more_objects_than_are_worth_a_list() {
    let records = vec![record("s3:ObjectCreated:Put", "site", "a"); 10_001];
    assert!(matches!(bucket(&records), Wish::All { because: Some(why) } if why.contains("10000")));
    assert_eq!(bucket(&records[1..]), files(&["a"]));
}

#[test]
fn minio_may_ask_whether_anybody_is_there() {
    let route = Sender::S3.route();
    let with = |token: &str| {
        let sent = headers(&[("authorization", token)]);
        route.handshake(&Method::HEAD, &sent).unwrap().status
    };
    let token = format!("Bearer {}", Sender::S3.secret(1));
    assert_eq!(with(&token), StatusCode::NO_CONTENT);
    assert_eq!(with("Bearer other"), StatusCode::UNAUTHORIZED);
    assert_eq!(route.handshake(&Method::OPTIONS, &headers(&[])), None);
    assert!(route.methods().contains(&Method::HEAD));
    assert_eq!(
        Sender::Github
            .route()
            .handshake(&Method::HEAD, &headers(&[])),
        None
    );
}

#[test]
fn the_cloudevents_handshake_lets_in_who_is_configured() {
    let route = Sender::Cloudevents.route();
    let ask = |origin: &str| {
        let sent = headers(&[
            ("webhook-request-origin", origin),
            ("webhook-request-callback", "http://169.254.169.254/"),
            ("webhook-request-rate", "120"),
        ]);
        route.handshake(&Method::OPTIONS, &sent).unwrap()
    };
    let answer = ask("EventGrid.azure.net");
    assert_eq!(answer.status, StatusCode::OK);
    let answered: axum::http::HeaderMap = answer.headers.into_iter().collect();
    assert_eq!(answered["webhook-allowed-origin"], "eventgrid.azure.net");
    assert_eq!(answered["webhook-allowed-rate"], "*");
    assert_eq!(answered["allow"], "POST");
    for other in ["evil.example", "", "eventgrid.azure.net.evil.example", "*"] {
        let answer = ask(other);
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{other}");
        assert!(answer.headers.is_empty());
    }
    assert!(
        route
            .handshake(&Method::OPTIONS, &headers(&[]))
            .unwrap()
            .headers
            .is_empty()
    );
}

fn cloudevents(events: Option<&str>) -> RouteSettings {
    RouteSettings {
        events: events.map(|event| vec![event.to_owned()]),
        ..settings(Sender::Cloudevents.kind())
    }
}

#[test]
fn cloudevents_in_every_mode() {
    let binary = [
        ("ce-id", "1"),
        ("ce-source", "/site"),
        ("ce-specversion", "1.0"),
        ("ce-type", "com.example.d%C3%A9ployed"),
        ("content-type", "application/json"),
    ];
    let delivery = read(cloudevents(None), &binary, r#"{"paths":["a.html"]}"#).unwrap();
    assert_eq!(delivery.wish, files(&["a.html"]));
    assert_eq!(&*delivery.what, "com.example.d\u{e9}ployed");
    assert_eq!(&*delivery.event, "1");
    assert_eq!(delivery.dedupe_key, None, "nothing signs it");

    let event = |data: Value| {
        let mut event = json!({"specversion": "1.0", "id": "1", "source": "/site", "type": "t"});
        event
            .as_object_mut()
            .unwrap()
            .extend(data.as_object().unwrap().clone());
        event
    };
    let structured = [(
        "content-type",
        "application/CloudEvents+json; charset=utf-8",
    )];
    let of = |body: &Value| read(cloudevents(None), &structured, &body.to_string());
    assert_eq!(
        of(&event(json!({"data": {"scan": true}}))).unwrap().wish,
        SCAN
    );
    let encoded = BASE64.encode(br#"{"all":true}"#);
    let found = of(&event(json!({"data_base64": encoded}))).unwrap().wish;
    assert_eq!(found, Wish::All { because: None });
    for bad in [
        event(json!({"data_base64": "%"})),
        event(json!({"data_base64": encoded, "data": {}})),
        event(json!({"data": {}})),
        event(json!({})),
        event(json!({"specversion": "0.3", "data": {"scan": true}})),
        json!({"data": {"scan": true}}),
        json!([]),
    ] {
        assert!(matches!(of(&bad), Err(Unreadable::Payload { .. })), "{bad}");
    }
    let unwanted = read(
        cloudevents(Some("other.*")),
        &structured,
        &event(json!({})).to_string(),
    );
    assert!(nothing(&unwanted.unwrap().wish, "not among"));

    let batch = [("content-type", "application/cloudevents-batch+json")];
    let of = |list: &[Value]| wish(cloudevents(None), &batch, &Value::from(list).to_string());
    let a = event(json!({"data": {"paths": ["a"]}}));
    let b = event(json!({"data": {"paths": ["b"]}}));
    assert_eq!(of(&[a.clone(), b.clone()]), files(&["a", "b"]));
    assert_eq!(
        of(&[a.clone(), event(json!({"data": {"scan": true}}))]),
        SCAN
    );
    let all = event(json!({"data": {"all": true}}));
    assert_eq!(of(&[a.clone(), all, b]), Wish::All { because: None });
    assert!(nothing(&of(&[]), "no events"));
    assert!(widened(&of(&vec![a; 1001]), "1000 events"));
}

#[test]
fn a_cloudevent_may_have_any_data_where_the_purge_is_configured() {
    let mut settings = cloudevents(Some("t"));
    settings.purge = Some(Purge::Scan);
    let sent = [
        ("ce-id", "1"),
        ("ce-source", "/s"),
        ("ce-specversion", "1.0"),
        ("ce-type", "t"),
    ];
    assert_eq!(wish(settings.clone(), &sent, ""), SCAN);
    assert_eq!(wish(settings.clone(), &sent, "[1, 2]"), SCAN);
    let typed = |media| [&sent[..], &[("content-type", media)]].concat();
    for media in [
        "application/xml",
        "text/plain; charset=utf-8",
        "application/avro",
    ] {
        assert_eq!(wish(settings.clone(), &typed(media), "<a/>"), SCAN);
        // Where it is looked at, it has to be JSON; and so has an event as a whole.
        let listing = cloudevents(Some("t"));
        let found = read(listing, &typed(media), "<a/>");
        assert!(matches!(found, Err(Unreadable::MediaType(_))), "{media}");
    }
    for media in [
        "application/cloudevents+avro",
        "application/cloudevents-batch+xml",
    ] {
        let found = read(settings.clone(), &typed(media), "<a/>");
        assert!(matches!(found, Err(Unreadable::MediaType(_))), "{media}");
    }
    settings.repositories = vec!["/other".to_owned()];
    assert!(nothing(&wish(settings, &sent, ""), "another"));
    let found = read(cloudevents(None), &sent[1..], "{}");
    assert!(matches!(found, Err(Unreadable::Payload { field, .. }) if field == "ce-id"));
}

#[test]
fn contentfuls_topics() {
    let sent = |topic: &'static str| {
        [
            ("x-contentful-topic", topic),
            (
                "content-type",
                "application/vnd.contentful.management.v1+json",
            ),
        ]
    };
    let body = r#"{"sys":{"id":"e","space":{"sys":{"id":"space1"}}}}"#;
    let mut settings = settings(Sender::Contentful.kind());
    settings.repositories = vec!["space1".to_owned()];
    let of = |topic| wish(settings.clone(), &sent(topic), body);
    assert_eq!(of("ContentManagement.Entry.publish"), SCAN);
    assert!(nothing(
        &of("ContentManagement.Entry.auto_save"),
        "not among"
    ));
    let mut other = settings.clone();
    other.repositories = vec!["space2".to_owned()];
    assert!(nothing(
        &wish(other, &sent("ContentManagement.Asset.publish"), body),
        "another"
    ));
}

#[test]
fn sanitys_projections() {
    assert_eq!(
        wish(
            settings(Kind::new(&kind::sanity::SENDER)),
            &[],
            r#"["anything"]"#
        ),
        SCAN
    );
    let mut list = settings(Kind::new(&kind::sanity::SENDER));
    list.purge = Some(Purge::Files);
    assert_eq!(
        wish(list, &[], r#"{"paths":["blog/a.html"]}"#),
        files(&["blog/a.html"])
    );
}

#[test]
fn netlifys_deploys() {
    let of = |environments: &[&str], state: &str, context: &str| {
        let body = json!({"id": "1", "state": state, "context": context, "branch": "main", "site_id": "s", "name": "n"});
        let mut settings = settings(Kind::new(&kind::netlify::SENDER));
        settings.environments = environments.iter().map(|name| (*name).to_owned()).collect();
        settings.repositories = vec!["n".to_owned()];
        wish(settings, &[], &body.to_string())
    };
    assert_eq!(of(&[], "ready", "production"), SCAN);
    assert!(nothing(&of(&[], "building", "production"), "building"));
    for context in ["deploy-preview", "branch-deploy"] {
        assert!(nothing(&of(&[], "ready", context), context));
        assert_eq!(of(&["branch-deploy", context], "ready", context), SCAN);
    }
    assert!(nothing(
        &of(&["branch-deploy"], "ready", "production"),
        "branch-deploy"
    ));
}

#[test]
fn vercels_deployments() {
    let of = |kind: &str, target: Value| {
        let body = json!({"id": "ev_1", "type": kind, "payload": {"target": target,
            "project": {"id": "prj"}, "deployment": {"name": "site", "meta": {"githubCommitRef": "main"}}}});
        wish(
            settings(Kind::new(&kind::vercel::SENDER)),
            &[],
            &body.to_string(),
        )
    };
    assert_eq!(of("deployment.succeeded", json!("production")), SCAN);
    assert_eq!(of("deployment.promoted", Value::Null), SCAN);
    assert!(nothing(
        &of("deployment.succeeded", Value::Null),
        "production"
    ));
    assert!(nothing(
        &of("deployment.succeeded", json!("staging")),
        "production"
    ));
    assert!(nothing(
        &of("deployment.created", json!("production")),
        "not among"
    ));
    assert_eq!(
        wish(
            settings(Kind::new(&kind::vercel::SENDER)),
            &[],
            r#"{"id":"1","type":"deployment.succeeded"}"#
        ),
        SCAN
    );
    assert!(
        read(
            settings(Kind::new(&kind::vercel::SENDER)),
            &[],
            r#"{"id":"1"}"#
        )
        .is_err()
    );
}

/// What visitors see changes, whatever the payload says of a target. The body is one of February 2026.
#[test]
fn vercels_rollbacks_and_rolling_releases() {
    let of = |kind: &str, repository: &str, more: Value| {
        let mut payload =
            json!({"user": {"id": "u"}, "team": {"id": "team_1"}, "project": {"id": "prj_1"}});
        payload
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let mut settings = settings(Kind::new(&kind::vercel::SENDER));
        settings.repositories = vec![repository.to_owned()];
        let body = json!({"id": "WwIX", "type": kind, "createdAt": 1_771_556_979_270_u64, "payload": payload});
        wish(settings, &[], &body.to_string())
    };
    for target in [
        json!({}),
        json!({"target": null}),
        json!({"target": "production"}),
    ] {
        assert_eq!(of("deployment.rollback", "prj_1", target), SCAN);
    }
    let rolling = || {
        json!({"projectId": "prj_1", "projectName": "rr-front", "rollingRelease": {
        "state": "COMPLETE", "config": {"target": "production"}, "writtenBy": "finalize-rolling-release"}})
    };
    for event in ["completed", "aborted"] {
        let event = format!("project.rolling-release.{event}");
        assert_eq!(of(&event, "rr-front", rolling()), SCAN);
        assert_eq!(of(&event, "prj_1", rolling()), SCAN);
        assert!(nothing(&of(&event, "other", rolling()), "another"));
    }
    // Receivers know the project by these two alone: another object may be missing.
    for repository in ["prj_1", "rr-front"] {
        let mut settings = settings(Kind::new(&kind::vercel::SENDER));
        settings.repositories = vec![repository.to_owned()];
        let body =
            json!({"id": "WwIY", "type": "project.rolling-release.aborted", "payload": rolling()});
        assert_eq!(wish(settings, &[], &body.to_string()), SCAN, "{repository}");
    }
    // Its first visitors get what is new, and the others still what was there.
    let started = of("project.rolling-release.started", "prj_1", rolling());
    assert!(nothing(&started, "not among"));
}

#[test]
fn the_default_is_a_scan_where_there_are_directories_and_looks_where_a_bucket_names_its_objects() {
    use Purge::{All, Files, Scan};
    for (kind, purges) in [
        (Kind::new(&kind::vercel::SENDER), [Scan, Scan, All]),
        (Kind::new(&kind::s3::SENDER), [Scan, Files, Files]),
        (Sender::GenericBearer.kind(), [Files, Files, Files]),
    ] {
        let served = [Origins::Directories, Origins::Buckets, Origins::None];
        for (origins, purge) in served.into_iter().zip(purges) {
            assert_eq!(Purge::default_of(&kind, origins), purge);
        }
    }
}
