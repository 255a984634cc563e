//! The route as a whole.

use super::bench::*;
use crate::webhook::kind::generic;
use crate::webhook::*;

fn generic_bearer() -> Kind {
    Kind::new(&generic::SENDER)
}

#[test]
fn githubs_own_example_is_authentic() {
    let route = route(Kind::new(&kind::github::SENDER), SECRET);
    let signed = headers(&[(
        "x-hub-signature-256",
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    )]);
    assert!(verify(&route, &signed, b"Hello, World!", NOW).is_ok());
    assert_eq!(
        verify(&route, &signed, b"Hello, World?", NOW),
        Err(Refused::Wrong)
    );
}

#[test]
fn a_bearer_token_is_the_whole_secret() {
    let secret = "0123456789abcdef";
    let route = route(generic_bearer(), secret);
    let with = |value: &str| headers(&[("authorization", value)]);
    let good = with("Bearer 0123456789abcdef");
    assert!(verify(&route, &good, b"{}", NOW).is_ok());
    assert!(route.may_ask(&good));
    for bad in [
        "Bearer 0123456789abcde",
        "Bearer 0123456789abcdef0",
        "Bearer ",
        "Basic 0123456789abcdef",
        "0123456789abcdef",
    ] {
        assert!(verify(&route, &with(bad), b"{}", NOW).is_err(), "{bad}");
        assert!(!route.may_ask(&with(bad)), "{bad}");
    }
}

#[test]
fn an_open_route_takes_nothing_from_a_page_in_a_browser() {
    let open = opened(settings(generic_bearer()));
    let route = Route::new(open, &[]).unwrap();
    let found = |sent: &[(&str, &str)]| verify(&route, &headers(sent), b"{}", NOW).is_ok();
    assert!(found(&[]));
    assert!(found(&[("authorization", "Bearer whatever")]));
    for origin in ["https://evil.example", "http://127.0.0.1:8787", "null", ""] {
        assert!(!found(&[("origin", origin)]), "{origin}");
    }
}

#[test]
fn what_edgepurges_own_body_asks_for() {
    let route = route(generic_bearer(), "0123456789abcdef");
    let headers = headers(&[("authorization", "Bearer 0123456789abcdef")]);
    let read = |body: &str| {
        let authentic = verify(&route, &headers, body.as_bytes(), NOW).unwrap();
        route.read(&headers, &authentic, Some(body.as_bytes()))
    };
    assert_eq!(
        read(r#"{"all":true}"#).unwrap().wish,
        Wish::All { because: None }
    );
    assert_eq!(
        read(r#"{"paths":["/a.html","b/c.css"]}"#).unwrap().wish,
        Wish::Files(vec![b"a.html".to_vec(), b"b/c.css".to_vec()])
    );
    let scan = read(r#"{"scan":true}"#).unwrap();
    assert_eq!(scan.wish, Wish::Scan { because: None });
    assert_eq!(scan.dedupe_key, None);
    assert_eq!(scan.event.len(), 64);
}
