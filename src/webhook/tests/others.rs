//! What senders do that is no platform: object keys as they are, tokens in headers of their own, SHA-1,
//! lists of events in one delivery.

use axum::http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

use super::bench::*;
use crate::webhook::kind::generic::Fields;
use crate::webhook::kind::s3::Keys;
use crate::webhook::*;

/// A record as Ceph's `rgw_pubsub_s3_event::dump` writes it (19.2), of another source.
fn record(source: &str, key: &str) -> Value {
    json!({
        "eventVersion": "2.2",
        "eventSource": source,
        "awsRegion": "default",
        "eventTime": "2026-04-21T10:03:18.419013Z",
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "deploy"},
        "requestParameters": {"sourceIPAddress": ""},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "site",
            "bucket": {"name": "site", "ownerIdentity": {"principalId": "deploy"},
                       "arn": "arn:aws:s3:default::site", "id": "5d4c"},
            "object": {"key": key, "size": 177, "eTag": "a60f", "versionId": "", "sequencer": "F6E2",
                       "metadata": [], "tags": []},
        },
        "eventId": "1713693798.433.a60f",
        "opaqueData": "",
    })
}

fn objects(keys: Keys, source: &str, key: &str) -> Wish {
    let mut kind = Kind::new(&kind::s3::SENDER);
    kind.options.keys = keys;
    let settings = RouteSettings {
        origins: Origins::None,
        ..settings(kind)
    };
    let body = json!({"Records": [record(source, key)]}).to_string();
    wish(settings, &[], &body)
}

#[test]
fn the_keys_of_ceph_are_read_as_they_are() {
    for key in [
        "1+1=2.html",
        "notes/c++/a.html",
        "half%20way.html",
        "100%.html",
        "%zz/a.html",
        "r\u{e9}sum\u{e9} +.pdf",
    ] {
        assert_eq!(
            objects(Keys::default(), "ceph:s3", key),
            files(&[key]),
            "{key}"
        );
    }
}

#[test]
fn a_key_of_a_sender_that_is_not_known_stands_for_both_of_its_readings() {
    let found = |key| objects(Keys::default(), "example:s3", key);
    assert_eq!(found("a/b.html"), files(&["a/b.html"]));
    assert_eq!(found("a+b%2Fc"), files(&["a b/c", "a+b%2Fc"]));
    // It is not encoded: that is one reading less, and no reason to purge everything.
    assert_eq!(found("100%"), files(&["100%"]));
    assert_eq!(objects(Keys::default(), "", "a+b"), files(&["a b", "a+b"]));
}

/// Scality's backbeat (`message.js` at 3f5e7ac7) and noobaa-core (`notifications_util.js` at 038ce848) write
/// keys as they are, `RustFS` (`event.rs` of 2026) as forms do, slashes too.
#[test]
fn every_sender_that_is_known_stands_for_one_reading() {
    for source in ["scality:s3", "noobaa:s3"] {
        for key in ["a+b.css", "25%2F.html", "5%.html", "folder+/"] {
            let found = objects(Keys::default(), source, key);
            assert_eq!(found, files(&[key]), "{source}");
        }
    }
    let found = objects(Keys::default(), "rustfs:s3", "blog%2Fa%2Bb+c%25.html");
    assert_eq!(found, files(&["blog/a+b c%.html"]));
}

#[test]
fn events_are_configured_as_records_or_as_buckets_have_them() {
    for configured in ["s3:ObjectCreated:*", "ObjectCreated:*", "ObjectCreated:Put"] {
        for sent in ["s3:ObjectCreated:Put", "ObjectCreated:Put"] {
            let mut record = record("ceph:s3", "a.html");
            record["eventName"] = sent.into();
            let settings = RouteSettings {
                origins: Origins::None,
                events: Some(vec![configured.to_owned()]),
                ..settings(Kind::new(&kind::s3::SENDER))
            };
            let body = json!({"Records": [record]}).to_string();
            assert_eq!(
                wish(settings, &[], &body),
                files(&["a.html"]),
                "{configured} {sent}"
            );
        }
    }
}

/// Ceph adds no header that could hold a token (`RGWPubSubHTTPEndpoint` in `rgw_pubsub_push.cc`): all that
/// it can show is name and password of the endpoint's URL, which curl sends as Basic.
#[test]
fn a_bucket_may_show_name_and_password() {
    let kind = Kind::new(&kind::s3::SENDER).with(Scheme::Basic);
    let route = route(kind, "ceph:rgw-password-1234");
    let status = |value: &str| {
        let handshake = route.handshake(&Method::HEAD, &headers(&[("authorization", value)]));
        handshake.unwrap().status
    };
    // `printf ceph:rgw-password-1234 | base64`, and of another password.
    let right = "Basic Y2VwaDpyZ3ctcGFzc3dvcmQtMTIzNA==";
    for (value, found) in [
        (right, Ok(())),
        (
            "Basic Y2VwaDpyZ3ctcGFzc3dvcmQtMTIzNQ==",
            Err(Refused::Wrong),
        ),
        ("Bearer ceph:rgw-password-1234", Err(Refused::Malformed)),
    ] {
        assert_eq!(
            sent(&route, &[("authorization", value)], "{}"),
            found,
            "{value}"
        );
    }
    assert_eq!(status(right), StatusCode::NO_CONTENT);
    assert_eq!(
        status("Basic Y2VwaDpyZ3ctcGFzc3dvcmQtMTIzNQ=="),
        StatusCode::UNAUTHORIZED
    );
    // A sender that waits for its delivery may show its secret in either way.
    for (value, may) in [
        (right, true),
        ("Bearer ceph:rgw-password-1234", true),
        ("Bearer rgw-password-1234", false),
    ] {
        assert_eq!(route.may_ask(&headers(&[("authorization", value)])), may);
    }
}

#[test]
fn the_configuration_says_how_keys_are_written() {
    for source in ["ceph:s3", "minio:s3", "other"] {
        assert_eq!(objects(Keys::Raw, source, "a+b"), files(&["a+b"]));
        assert_eq!(objects(Keys::Form, source, "a+b"), files(&["a b"]));
        let found = objects(Keys::Form, source, "100%");
        assert!(matches!(found, Wish::All { because: Some(_) }), "{found:?}");
    }
}

#[test]
fn objects_that_expire_or_are_copied_from_another_zone_are_changes() {
    for event in [
        "s3:LifecycleExpiration:Delete",
        "ObjectLifecycle:Expiration:Current",
        "ObjectSynced:Create",
    ] {
        let mut record = record("ceph:s3", "old.html");
        record["eventName"] = event.into();
        let settings = RouteSettings {
            origins: Origins::None,
            ..settings(Kind::new(&kind::s3::SENDER))
        };
        let body = json!({"Records": [record]}).to_string();
        assert_eq!(wish(settings, &[], &body), files(&["old.html"]), "{event}");
    }
}

fn generic(scheme: Scheme, fields: Fields) -> Kind {
    Kind::new(&kind::generic::SENDER)
        .with(scheme)
        .reading(fields)
}

fn sent(route: &Route, list: &[(&str, &str)], body: &str) -> Result<(), Refused> {
    verify(route, &headers(list), body.as_bytes(), 0).map(|_| ())
}

/// Storyblok's documentation: HMAC-SHA1 of the body in `webhook-signature`, in hexadecimal. The
/// signature is one of `openssl dgst -sha1 -hmac`.
#[test]
fn storyblok_signs_with_sha1() {
    const BODY: &str = r#"{"text":"The user test@domain.com published the Story Home (home)","action":"published","space_id":12345,"story_id":1,"full_slug":"home"}"#;
    let auth = Scheme::Mac(Mac {
        header: "webhook-signature".parse().unwrap(),
        prefix: String::new(),
        encoding: Encoding::Hex,
        digest: Digest::Sha1,
        stamp: None,
        around: (Vec::new(), Vec::new()),
    });
    let route = route(generic(auth, Fields::default()), "storyblok-webhook-secret");
    let signed = [(
        "webhook-signature",
        "4dd828baf55b59e764c9d195b0e78a6f5139dd37",
    )];
    assert_eq!(sent(&route, &signed, BODY), Ok(()));
    assert_eq!(sent(&route, &signed, "{}"), Err(Refused::Wrong));
    let short = [(
        "webhook-signature",
        "4dd828baf55b59e764c9d195b0e78a6f5139dd",
    )];
    assert_eq!(sent(&route, &short, BODY), Err(Refused::Malformed));
}

/// Harbor sends what its field "Auth Header" holds as `Authorization`, as it is (`auth_header` in
/// `http_handler.go` of 2.x).
#[test]
fn a_token_is_read_behind_its_prefix_and_nowhere_else() {
    let token = |prefix: &str| {
        let auth = Scheme::Token("authorization".parse().unwrap(), prefix.to_owned());
        route(generic(auth, Fields::default()), "a-secret-of-harbor")
    };
    let ok = Ok(());
    assert_eq!(
        sent(&token(""), &[("authorization", "a-secret-of-harbor")], "{}"),
        ok
    );
    assert_eq!(
        sent(
            &token("Secret "),
            &[("authorization", "Secret a-secret-of-harbor")],
            "{}"
        ),
        ok
    );
    for (prefix, value, why) in [
        ("", "Bearer a-secret-of-harbor", Refused::Wrong),
        ("Secret ", "a-secret-of-harbor", Refused::Malformed),
        ("Secret ", "secret a-secret-of-harbor", Refused::Malformed),
        ("Secret ", "Secret ", Refused::Malformed),
        ("Secret ", "Secret  a-secret-of-harbor", Refused::Wrong),
    ] {
        let found = sent(&token(prefix), &[("authorization", value)], "{}");
        assert_eq!(found, Err(why), "{prefix:?} {value:?}");
    }
    let elsewhere = [("x-token", "a-secret-of-harbor")];
    assert_eq!(sent(&token(""), &elsewhere, "{}"), Err(Refused::Missing));
}

#[test]
fn name_and_password_are_both_compared() {
    let route = route(
        generic(Scheme::Basic, Fields::default()),
        "azure:p\u{e4}ss:word",
    );
    // `printf 'azure:p\303\244ss:word' | base64`, and others.
    for (value, found) in [
        ("Basic YXp1cmU6cMOkc3M6d29yZA==", Ok(())),
        ("basic YXp1cmU6cMOkc3M6d29yZA==", Ok(())),
        ("Basic YXp1cmU6cMOkc3M6d29yZA", Err(Refused::Malformed)),
        ("Basic YXp1cmU6cMOkc3M=", Err(Refused::Wrong)),
        ("Basic OnDDpHNzOndvcmQ=", Err(Refused::Wrong)),
        ("Basic /w==", Err(Refused::Malformed)),
        ("Bearer azure:p\u{e4}ss:word", Err(Refused::Malformed)),
    ] {
        assert_eq!(
            sent(&route, &[("authorization", value)], "{}"),
            found,
            "{value}"
        );
    }
    assert_eq!(
        verify(&route, &HeaderMap::new(), b"{}", 0).map(|_| ()),
        Err(Refused::Missing)
    );
}

#[test]
fn a_secret_is_taken_as_senders_show_it() {
    let key = "whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1u";
    let kind = || Kind::new(&kind::standard::SENDER);
    let body = b"{}";
    let shown = super::senders::Sender::Standard;
    for written in [key.to_owned(), format!("v1,{key}")] {
        let route = route(kind(), &written);
        let sent = shown.sign_with(key, &NOW.to_string(), body);
        let found = verify(&route, &super::senders::map(&sent), body, NOW);
        assert!(found.is_ok(), "{written}");
    }
}

/// Event notifications of Backblaze B2, as its documentation has them.
#[test]
fn a_star_reads_every_event_of_a_list() {
    let pointer = Pointer::parse("/events/*/objectName").unwrap();
    let fields = Fields {
        paths: vec![pointer],
        ..Fields::default()
    };
    let found = |events: Value| {
        let body = json!({ "events": events }).to_string();
        read(
            settings(generic(Scheme::Bearer, fields.clone())),
            &[],
            &body,
        )
    };
    let event = |name: &str| {
        json!({"accountId": "e85c", "bucketName": "site", "eventType": "b2:ObjectCreated:Upload",
               "objectName": name, "objectSize": 10, "eventVersion": 1})
    };
    let list = found(json!([
        event("a.html"),
        event("b/c d.html"),
        event("a.html")
    ]));
    assert_eq!(list.unwrap().wish, files(&["a.html", "b/c d.html"]));
    assert!(nothing(&found(json!([])).unwrap().wish, "no files"));
    for wrong in [
        json!([{"bucketName": "site"}]),
        json!({"objectName": "a"}),
        json!("a"),
    ] {
        let refused = found(wrong.clone()).unwrap_err().to_string();
        assert!(
            refused.contains("/events/*/objectName"),
            "{wrong}: {refused}"
        );
    }
    let refused = found(json!([event("a.html"), {"objectName": {"a": 1}}]));
    assert!(refused.is_err());
}
