//! Published test vectors, and some that were made with the vendors' own libraries.

use super::bench::*;
use super::senders::*;
use crate::webhook::*;

/// Says that a delivery is authentic at `now`, and one of another body is not.
#[track_caller]
fn holds(route: &Route, sent: &[(&str, &str)], body: &str, now: i64) {
    let sent = headers(sent);
    assert!(verify(route, &sent, body.as_bytes(), now).is_ok());
    let other = format!("{body} ");
    assert_eq!(
        verify(route, &sent, other.as_bytes(), now),
        Err(Refused::Wrong)
    );
}

fn standard(scheme: Scheme) -> Kind {
    Kind::new(&kind::standard::SENDER).with(scheme)
}

#[test]
fn github() {
    holds(
        &route(
            Kind::new(&kind::github::SENDER),
            "It's a Secret to Everybody",
        ),
        &[(
            "x-hub-signature-256",
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        )],
        "Hello, World!",
        NOW,
    );
}

#[test]
fn standard_webhooks() {
    let route_of = |secret: &str| route(standard(Scheme::Own(&kind::standard::HMAC, None)), secret);
    holds(
        &route_of("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
        &[
            ("webhook-id", "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk"),
            ("webhook-timestamp", "1649367553"),
            (
                "webhook-signature",
                "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
            ),
        ],
        r#"{"email":"test@example.com","username":"test_user"}"#,
        1_649_367_553,
    );
    let other = route_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let sent = |signature: &'static str| {
        [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", signature),
        ]
    };
    let body = r#"{"test": 2432232314}"#;
    holds(
        &other,
        &sent("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        body,
        1_614_265_330,
    );
    // One character of it is another, and one bit too many is set in another way to write it.
    for wrong in [
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA=",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OF=",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE",
    ] {
        let found = verify(
            &other,
            &headers(&sent(wrong)),
            body.as_bytes(),
            1_614_265_330,
        );
        assert!(found.is_err(), "{wrong}");
    }
}

#[test]
fn stripe() {
    holds(
        &route(Sender::Stripe.kind(), "whsec_test_secret"),
        &[(
            "stripe-signature",
            "t=1700000000,v1=13941114bb88ac44a76abcfddea5b92aa6182a4b63d8be3aae908a616083bd7e",
        )],
        r#"{"id":"evt_test"}"#,
        1_700_000_000,
    );
}

#[test]
fn sanity() {
    holds(
        &route(Kind::new(&kind::sanity::SENDER), "test"),
        &[(
            "sanity-webhook-signature",
            "t=1633519811129,v1=tLa470fx7qkLLEcMOcEUFuBbRSkGujyskxrNXcoh0N0",
        )],
        r#"{"_id":"resume"}"#,
        1_633_519_811,
    );
}

#[test]
fn contentful() {
    let settings = RouteSettings {
        path: "/hook".to_owned(),
        ..settings(Sender::Contentful.kind())
    };
    holds(
        &Route::of_any_secret(settings, &"a".repeat(64)),
        &[
            (
                "content-type",
                "application/vnd.contentful.management.v1+json",
            ),
            ("x-contentful-topic", "ContentManagement.Entry.publish"),
            ("x-contentful-timestamp", "1700000000000"),
            (
                "x-contentful-signed-headers",
                "content-type,x-contentful-signed-headers,x-contentful-timestamp,x-contentful-topic",
            ),
            (
                "x-contentful-signature",
                "6e517cbbd189b475ba9e75b331752f2ca76dbc643a1c0f79ee81c86eb553b88e",
            ),
        ],
        r#"{"sys":{"id":"x"}}"#,
        1_700_000_000,
    );
}

#[test]
fn vercel() {
    holds(
        &route(Kind::new(&kind::vercel::SENDER), "vercel-secret"),
        &[(
            "x-vercel-signature",
            "40b5ad765c670167893cd8af15797cb2ea21227f",
        )],
        r#"{"id":"1"}"#,
        NOW,
    );
}

#[test]
fn ghost() {
    holds(
        &route(Sender::Ghost.kind(), "ghost-secret"),
        &[(
            "x-ghost-signature",
            "sha256=74e3696a7ff9a0e6c62a6760ca6a6fc6bcbdf9707ba1a8c04b85e5283c253fc1, t=1700000000000",
        )],
        r#"{"post":{}}"#,
        1_700_000_000,
    );
}

#[test]
fn woocommerce() {
    let kind = Kind::new(&kind::generic::SENDER).with(Scheme::Mac(Mac {
        header: "x-wc-webhook-signature".parse().unwrap(),
        prefix: String::new(),
        encoding: Encoding::Base64,
        digest: Digest::Sha256,
        stamp: None,
        around: (Vec::new(), Vec::new()),
    }));
    holds(
        &route(kind, "woo-secret"),
        &[(
            "x-wc-webhook-signature",
            "ueUaS+FSLDeq3KPWOJMOOfNu3pvS2EPB2OSU538lwN0=",
        )],
        r#"{"id":1}"#,
        NOW,
    );
}

#[test]
fn netlify() {
    holds(
        &route(Kind::new(&kind::netlify::SENDER), "netlify-secret"),
        &[(
            "x-webhook-signature",
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJuZXRsaWZ5Iiwic2hhMjU2IjoiMWI2ZGY2NWU5ZTFjMjUyYWIxM\
             TU3YTQ1NTEwNWI0MGUxYzcxNjIzOWVkYjRiYTQyZWNiOWZhYjk1ZGU5ZGZmZiJ9.ZEHsmSK2LbBn-KAntXHWEa6LWFKM1u88Yn\
             DP4Oyd1-0",
        )],
        r#"{"id":"1","state":"ready"}"#,
        NOW,
    );
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
