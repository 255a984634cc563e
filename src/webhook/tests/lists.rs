//! Deliveries that report several things at once: `*` in a pointer stands for each. Payloads are made as
//! Harbor's `src/pkg/notifier` makes them (`model/event.go` at 008ab643, `formats/default.go` at 3c85342a,
//! `formats/cloudevents.go` at 031ca18e), and as Backblaze B2's documentation describes them.

use serde_json::{Value, json};

use super::bench::*;
use crate::webhook::kind::generic::Fields;
use crate::webhook::*;

fn pointer(text: &str) -> Pointer {
    Pointer::parse(text).unwrap()
}

fn b2() -> RouteSettings {
    let fields = Fields {
        paths: vec![pointer("/events/*/objectName")],
        repository: Some(pointer("/events/*/bucketName")),
        event: Some(pointer("/events/*/eventType")),
        id: Some(pointer("/events/*/eventId")),
        ..Fields::default()
    };
    RouteSettings {
        events: Some(vec!["b2:ObjectCreated:*".to_owned()]),
        repositories: vec!["site".to_owned()],
        ..settings(Kind::new(&kind::generic::SENDER).reading(fields))
    }
}

fn uploaded(id: &str, kind: &str, name: &str) -> Value {
    json!({"accountId": "e85c", "bucketId": "b1", "bucketName": "site", "eventId": id, "eventType": kind,
        "eventTimestamp": 1_684_793_309_123_u64, "eventVersion": 1, "matchedRuleName": "site", "objectName": name})
}

#[track_caller]
fn told(settings: RouteSettings, events: &[Value]) -> Delivery {
    let body = json!({ "events": events }).to_string();
    read(settings, &[], &body).unwrap()
}

#[test]
fn several_events_in_one_delivery_count_where_one_of_them_does() {
    let (create, hide) = ("b2:ObjectCreated:Upload", "b2:HideMarkerCreated:Hide");
    let one = told(b2(), &[uploaded("e1", create, "a.html")]);
    assert_eq!((one.wish, &*one.event), (files(&["a.html"]), "e1"));
    let both = told(
        b2(),
        &[
            uploaded("e2", hide, "b.html"),
            uploaded("e3", create, "a.html"),
        ],
    );
    assert_eq!(both.wish, files(&["a.html", "b.html"]));
    assert_eq!(&*both.what, create);
    let none = told(
        b2(),
        &[
            uploaded("e4", hide, "b.html"),
            uploaded("e5", hide, "c.html"),
        ],
    );
    assert!(nothing(&none.wish, hide));
    assert!(nothing(&told(b2(), &[]).wish, "no events"));
    let mut other = b2();
    other.repositories = vec!["other".to_owned()];
    assert!(nothing(
        &told(other, &[uploaded("e6", create, "a.html")]).wish,
        "another"
    ));
}

#[test]
fn a_list_of_which_an_element_says_nothing_is_not_complete() {
    let create = "b2:ObjectCreated:Upload";
    let mut silent = uploaded("e2", create, "b.html");
    silent.as_object_mut().unwrap().remove("objectName");
    let found = told(b2(), &[uploaded("e1", create, "a.html"), silent]);
    assert!(widened(&found.wish, "an element"), "{found:?}");
    // What is not known of an event may be that it counts.
    let mut unnamed = uploaded("e2", create, "b.html");
    unnamed["eventType"] = Value::Null;
    let hide = uploaded("e1", "b2:HideMarkerCreated:Hide", "a.html");
    assert_eq!(
        told(b2(), &[hide, unnamed]).wish,
        files(&["a.html", "b.html"])
    );
}

#[test]
fn more_events_than_are_kept_are_all_believed_to_count() {
    let events: Vec<Value> = (0..1_100)
        .map(|at| uploaded(&at.to_string(), &format!("b2:Other:{at}"), "a.html"))
        .collect();
    let found = told(b2(), &events);
    assert_eq!(found.wish, files(&["a.html"]));
    assert!(nothing(&told(b2(), &events[..900]).wish, "not among"));
}

/// `EventData` of Harbor, with a resource for each tag of the artifact.
fn pushed(tags: &[&str]) -> Value {
    let digest = "sha256:dde8e930c7b6a490f728e66292bc9bce42efc9bbb5278bae40e4f30f6e00fe8c";
    let resources: Vec<Value> = tags
        .iter()
        .map(|tag| {
            json!({"digest": digest, "tag": tag, "resource_url": format!("harbor.example/web/site:{tag}")})
        })
        .collect();
    json!({"resources": resources, "repository": {"date_created": 1_677_053_165, "name": "site",
        "namespace": "web", "repo_full_name": "web/site", "repo_type": "private"}})
}

/// The routes of the example, for Harbor's two formats.
fn harbor(cloudevents: bool) -> RouteSettings {
    let at = |path: &str| {
        let place = if cloudevents { "" } else { "/event_data" };
        Some(pointer(&format!("{place}{path}")))
    };
    let scheme = Scheme::Token("authorization".parse().unwrap(), String::new());
    let fields = Fields {
        repository: at("/repository/repo_full_name"),
        branch: at("/resources/*/tag"),
        event: (!cloudevents).then(|| pointer("/type")),
        ..Fields::default()
    };
    let (sender, event) = if cloudevents {
        (&kind::cloudevents::SENDER, "harbor.artifact.pushed")
    } else {
        (&kind::generic::SENDER, "PUSH_ARTIFACT")
    };
    RouteSettings {
        events: Some(vec![event.to_owned()]),
        branches: vec!["latest".to_owned(), "v*".to_owned()],
        repositories: vec!["web/site".to_owned()],
        purge: Some(Purge::All),
        ..settings(Kind::new(sender).with(scheme).reading(fields))
    }
}

fn default_format(event: &str, data: &Value) -> Wish {
    let body =
        json!({"type": event, "occur_at": 1_678_082_303, "operator": "admin", "event_data": data});
    let sent = [("content-type", "application/json")];
    wish(harbor(false), &sent, &body.to_string())
}

fn cloudevents_format(event: &str, data: &Value) -> Wish {
    let body = json!({"specversion": "1.0", "id": "4b2f89a6-548d-4c12-9993-a1f5790b97d2",
        "requestid": "2eedfab8-61d3-4f3c-8ec3-8f82d1ec4c84", "source": "/projects/1/webhook/policies/3",
        "type": event, "datacontenttype": "application/json", "time": "2026-03-06T06:08:43Z", "data": data,
        "operator": "admin"});
    let sent = [("content-type", "application/cloudevents+json")];
    wish(harbor(true), &sent, &body.to_string())
}

#[test]
fn harbors_pushes_are_told_by_their_tags_in_both_of_its_formats() {
    type Format = fn(&str, &Value) -> Wish;
    let formats: [(Format, &str, &str); 2] = [
        (default_format, "PUSH_ARTIFACT", "PULL_ARTIFACT"),
        (
            cloudevents_format,
            "harbor.artifact.pushed",
            "harbor.artifact.pulled",
        ),
    ];
    for (of, push, pull) in formats {
        let all = |tags: &[&str]| of(push, &pushed(tags)) == Wish::All { because: None };
        assert!(all(&["latest"]));
        assert!(all(&["2026-11-29", "v3"]));
        assert!(nothing(
            &of(push, &pushed(&["2026-11-29", "nightly"])),
            "branch"
        ));
        // An artifact that is pushed by its digest has that for a tag.
        assert!(nothing(&of(push, &pushed(&["sha256:dde8"])), "sha256:dde8"));
        assert!(nothing(&of(pull, &pushed(&["latest"])), pull));
        let mut other = pushed(&["latest"]);
        other["repository"]["repo_full_name"] = "web/other".into();
        assert!(nothing(&of(push, &other), "web/other"));
    }
    // What has no artifact is no error either.
    let quota = json!({"repository": {"name": "site", "namespace": "web", "repo_full_name": "web/site",
        "repo_type": "private"}, "custom_attributes": {"Details": "adding 1 GiB"}});
    assert!(nothing(
        &default_format("QUOTA_EXCEED", &quota),
        "QUOTA_EXCEED"
    ));
}
