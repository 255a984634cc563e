//! Bodies of `generic`: edgepurge's own, and others' by JSON pointers; and what no kind reads.

use super::bench::*;
use super::senders::Sender;
use crate::core::asset::Asset;
use crate::webhook::kind::generic;
use crate::webhook::*;

fn own() -> RouteSettings {
    settings(Sender::GenericBearer.kind())
}

#[test]
fn edgepurges_own_body() {
    let of = |body: &str| wish(own(), &[], body);
    assert_eq!(of(r#"{"all":true}"#), Wish::All { because: None });
    assert_eq!(
        of(r#"{"scan":true, "all":false}"#),
        Wish::Scan { because: None }
    );
    assert_eq!(
        of(r#" {"sha":"1","paths":["b","a","/a"]} "#),
        files(&["a", "b"])
    );
    assert!(nothing(&of(r#"{"paths":[]}"#), "no file"));
    let mut without = own();
    without.origins = Origins::None;
    assert_eq!(
        wish(without, &[], r#"{"scan":true}"#),
        Wish::All {
            because: Some("the pipeline has no origin to scan")
        }
    );
}

#[test]
fn a_slip_of_a_key_is_met_with_the_key_that_may_be_meant() {
    let why = |body: &str| read(own(), &[], body).unwrap_err().to_string();
    for body in [r#"{"pathz":["a"]}"#, r#"{"Paths":["a"],"sha":"1"}"#] {
        let why = why(body);
        assert!(
            why.starts_with("the body: has to be {\"paths\": [..]}"),
            "{why}"
        );
        assert!(why.ends_with("nearly `paths`: did you mean that?"), "{why}");
    }
    for body in ["{}", r#"{"sha":"1"}"#, r#"{"scan":true,"all":true}"#] {
        let why = why(body);
        assert!(why.ends_with("set purge in the route"), "{why}");
    }
}

#[test]
fn a_body_that_does_not_ask_is_told_so() {
    for body in [
        "{}",
        r#"{"scan":false}"#,
        r#"{"path":["a"]}"#,
        r#"{"scan":true,"all":true}"#,
        r#"{"scan":true,"paths":["a"]}"#,
        r#"{"scan":"true"}"#,
        r#"{"scan":1}"#,
        r#"{"paths":"a","paths":["b"]}"#,
        r#"{"paths":{"a":1}}"#,
        r#"{"paths":[["a"]]}"#,
        r#"{"paths":[null]}"#,
        r#"{"paths":[1]}"#,
        r#"{"paths":1.5}"#,
        "[true]",
        "\"scan\"",
    ] {
        let found = read(own(), &[], body);
        assert!(
            matches!(found, Err(Unreadable::Payload { .. })),
            "{body}: {found:?}"
        );
    }
    for body in [
        "",
        "{",
        "scan",
        r#"{"scan":true}}"#,
        r#"{"scan":true}{}"#,
        "\u{feff}{}",
        "{'a':1}",
    ] {
        let found = read(own(), &[], body);
        assert!(
            matches!(found, Err(Unreadable::NotJson { .. })),
            "{body}: {found:?}"
        );
    }
}

#[test]
fn a_hostile_path_is_told_with_its_place() {
    for (path, problem) in [
        ("", "is empty"),
        ("/", "is empty"),
        ("..", "segment"),
        ("a/../../b", "segment"),
        ("a/./b", "segment"),
        ("a//b", "segment"),
        ("a/", "segment"),
        ("//evil.example/a", "URL"),
        ("https://evil.example/a", "URL"),
        ("file:///etc/passwd", "URL"),
        (r"a\\b", "backslash"),
        (r"..\\b", "backslash"),
        (r"a\u0000b", "control"),
        (r"a\r\nb", "control"),
        (r"a\u001bb", "control"),
        (r"a\u0085b", "control"),
        (&"x".repeat(2049), "longer than 2048"),
    ] {
        let body = format!(r#"{{"paths":["good.html","{path}"]}}"#);
        match read(own(), &[], &body) {
            Err(Unreadable::Payload {
                field,
                problem: found,
            }) => {
                assert_eq!(field, "paths[1]", "{path}");
                assert!(found.contains(problem), "{path}: {found}");
            }
            other => panic!("{path}: {other:?}"),
        }
    }
    // What looks encoded is a name: nothing decodes it a second time.
    let found = wish(
        own(),
        &[],
        r#"{"paths":["%2e%2e/a","a%2Fb","a?b","a#b","*"]}"#,
    );
    assert_eq!(found, files(&["%2e%2e/a", "*", "a#b", "a%2Fb", "a?b"]));
}

#[test]
fn too_many_paths_become_a_scan() {
    let paths: Vec<String> = (0..=10_000).map(|at| format!("f{at}")).collect();
    let body = serde_json::json!({"paths": paths}).to_string();
    assert!(widened(&wish(own(), &[], &body), "10000 files"));
    let body = serde_json::json!({"paths": paths[1..]}).to_string();
    assert!(matches!(wish(own(), &[], &body), Wish::Files(list) if list.len() == 10_000));
}

fn with_fields(fields: generic::Fields) -> RouteSettings {
    settings(Kind::new(&generic::SENDER).reading(fields))
}

fn pointer(text: &str) -> Pointer {
    Pointer::parse(text).unwrap()
}

#[test]
fn json_pointers_say_where_a_body_has_what() {
    let mut settings = with_fields(generic::Fields {
        paths: vec![pointer("/changed"), pointer("/items/1/a~1b")],
        branch: Some(pointer("/git/ref")),
        repository: None,
        event: Some(pointer("/type")),
        id: Some(pointer("/id")),
    });
    settings.branches = vec!["main".to_owned()];
    settings.events = Some(vec!["site.*".to_owned()]);
    let body = r#"{"id": 17, "type": "site.deployed", "git": {"ref": "refs/heads/main", "x": [[[]]]},
        "changed": ["a.html"], "items": [{"a/b": "no"}, {"a/b": "b.html"}, 5]}"#;
    let delivery = read(settings.clone(), &[], body).unwrap();
    assert_eq!(delivery.wish, files(&["a.html", "b.html"]));
    assert_eq!(&*delivery.what, "site.deployed");
    assert_eq!(&*delivery.event, "17");
    let of = |from: &str, to: &str| wish(settings.clone(), &[], &body.replace(from, to));
    assert!(nothing(&of("refs/heads/main", "refs/tags/main"), "branch"));
    assert!(nothing(&of("refs/heads/main", "dev"), "dev"));
    assert_eq!(of("refs/heads/main", "main"), files(&["a.html", "b.html"]));
    assert!(nothing(&of("site.deployed", "site"), "not among"));
    // One of the places is enough for paths, but each other has to be there.
    assert_eq!(of("\"changed\"", "\"other\""), files(&["b.html"]));
    let field = |from: &str, to: &str| match read(settings.clone(), &[], &body.replace(from, to)) {
        Err(Unreadable::Payload { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field("\"type\"", "\"kind\""), "/type");
    assert_eq!(field("\"site.deployed\"", "null"), "/type");
    assert_eq!(field("\"site.deployed\"", "{}"), "/type");
    assert_eq!(field("\"site.deployed\"", "[\"a\", \"b\"]"), "/type");
    assert_eq!(field("\"ref\"", "\"tag\""), "/git/ref");
    assert_eq!(field("\"id\": 17", "\"id\": 17, \"id\": 18"), "/id");
}

#[test]
fn what_is_not_a_json_pointer() {
    for bad in ["", "a", "#/a", "/a~", "/a~2", &"/a".repeat(17)] {
        assert!(Pointer::parse(bad).is_none(), "{bad}");
    }
    for good in ["/", "/a", "/a~0b~1c", "/0/1", "/ä b"] {
        assert_eq!(Pointer::parse(good).unwrap().as_str(), good);
    }
}

#[test]
fn a_deep_body_is_no_trouble() {
    let deep = "[".repeat(1 << 20);
    let body = format!(r#"{{"x":{deep}{},"scan":true}}"#, "]".repeat(1 << 20));
    assert_eq!(wish(own(), &[], &body), Wish::Scan { because: None });
    assert!(matches!(
        read(own(), &[], &deep),
        Err(Unreadable::NotJson { .. })
    ));
}

#[test]
fn configured_assets_are_purged_whatever_the_body_lists() {
    let mut settings = own();
    let assets = vec![
        Asset::parse("/").unwrap(),
        Asset::parse("/feed.xml").unwrap(),
    ];
    settings.purge = Some(Purge::Assets(assets.clone()));
    for body in [r#"{"x":1}"#, r#"{"all":"other","paths":5}"#, "[]"] {
        assert_eq!(
            wish(settings.clone(), &[], body),
            Wish::Assets(assets.clone())
        );
    }
    assert!(read(settings, &[], "{").is_err());
}

#[test]
fn a_body_that_was_too_large_to_keep_widens() {
    let find = |settings: RouteSettings| {
        let route = Route::new(opened(settings), &[]).unwrap();
        let sent = headers(&[]);
        let authentic = verify(&route, &sent, b"x", NOW).unwrap();
        route.read(&sent, &authentic, None).unwrap()
    };
    assert!(widened(&find(own()).wish, "too large"));
    let mut bucket = settings(Kind::new(&kind::s3::SENDER));
    bucket.origins = Origins::None;
    bucket.repositories = vec!["site".to_owned()];
    assert!(
        matches!(find(bucket).wish, Wish::All { because: Some(why) } if why.contains("too large"))
    );
    assert_eq!(
        find(settings(Kind::new(&kind::github::SENDER))).wish,
        Wish::Scan { because: None }
    );
}

#[test]
fn bodies_that_are_not_json_by_their_own_word() {
    let of = |sent: &[(&str, &str)]| read(own(), sent, r#"{"scan":true}"#);
    for good in [
        &[][..],
        &[("content-type", "application/json")],
        &[("content-type", "Application/JSON; charset=utf-8")],
        &[(
            "content-type",
            "application/vnd.docker.distribution.events.v1+json",
        )],
        &[("content-encoding", "identity")],
    ] {
        assert!(of(good).is_ok(), "{good:?}");
    }
    for (bad, word) in [
        (
            &[("content-type", "application/x-www-form-urlencoded")][..],
            "form",
        ),
        (
            &[("content-type", "multipart/form-data; boundary=x")],
            "form",
        ),
        (&[("content-type", "text/plain")], "JSON"),
        (&[("content-type", "")], "JSON"),
        (
            &[
                ("content-type", "application/json"),
                ("content-type", "text/plain"),
            ],
            "JSON",
        ),
        (&[("content-encoding", "gzip")], "compressed"),
        (
            &[("content-encoding", "identity"), ("content-encoding", "br")],
            "compressed",
        ),
    ] {
        match of(bad) {
            Err(Unreadable::MediaType(why)) => assert!(why.contains(word), "{why}"),
            other => panic!("{bad:?}: {other:?}"),
        }
    }
}
