//! What a route answers to besides `POST`: probes, handshakes, questions.

use reqwest::Method;
use serde_json::json;

use super::*;

/// The status of an answer, and one of its headers.
async fn called(request: reqwest::RequestBuilder, header: &str) -> (u16, Option<String>) {
    let answer = request.send().await.unwrap();
    let value = answer.headers().get(header);
    let value = value.map(|value| value.to_str().unwrap().to_owned());
    (answer.status().as_u16(), value)
}

#[tokio::test(flavor = "multi_thread")]
async fn minios_probe_is_answered_to_who_shows_the_token() {
    let bench = started("s3", "purge = \"all\"").await;
    let url = format!("http://{}/hooks/www", address(&bench).await);
    let client = reqwest::Client::new();
    let asked = client.head(&url).bearer_auth(SECRET);
    assert_eq!(called(asked, "allow").await, (204, None));
    for stranger in [client.head(&url), client.head(&url).bearer_auth("wrong")] {
        assert_eq!(called(stranger, "allow").await, (401, None));
    }
    let other = client.request(Method::OPTIONS, &url);
    assert_eq!(
        called(other, "allow").await,
        (405, Some("POST, HEAD".to_owned()))
    );
    assert_eq!(bench.purges(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn cloudevents_may_ask_whether_they_may_send() {
    let lines = "purge = \"all\"\nallowed_origins = [\"eventgrid.azure.net\"]";
    let bench = started("cloudevents", lines).await;
    let url = format!("http://{}/hooks/www", address(&bench).await);
    let client = reqwest::Client::new();
    let from = |origin: &str| {
        let asked = client.request(Method::OPTIONS, &url);
        asked.header("webhook-request-origin", origin)
    };
    let allowed = "webhook-allowed-origin";
    let good = called(from("eventgrid.azure.net"), allowed).await;
    assert_eq!(good, (200, Some("eventgrid.azure.net".to_owned())));
    let (_, rate) = called(from("eventgrid.azure.net"), "webhook-allowed-rate").await;
    assert!(rate.is_some());
    for stranger in [
        from("evil.example"),
        from("*"),
        from(""),
        client.request(Method::OPTIONS, &url),
    ] {
        assert_eq!(called(stranger, allowed).await, (403, None));
    }
    let other = client.head(&url);
    assert_eq!(
        called(other, "allow").await,
        (405, Some("POST, OPTIONS".to_owned()))
    );
    assert_eq!(bench.purges(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn any_other_method_is_refused_with_those_that_there_are() {
    let bench = started("generic", "purge = \"all\"").await;
    let url = format!("http://{}/hooks/www", address(&bench).await);
    let client = reqwest::Client::new();
    let odd = Method::from_bytes(b"PURGE").unwrap();
    let methods = [
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::PUT,
        Method::PATCH,
    ];
    let methods = methods
        .into_iter()
        .chain([Method::DELETE, Method::TRACE, odd]);
    for method in methods {
        let asked = client.request(method.clone(), &url).bearer_auth(SECRET);
        let said = called(asked, "allow").await;
        assert_eq!(said, (405, Some("POST".to_owned())), "{method}");
    }
    assert_eq!(bench.purges(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sent_a_delivery_may_ask_what_became_of_it_and_nobody_else() {
    let bench = started("generic", "purge = [\"/a.css\"]").await;
    let at = address(&bench).await;
    bench.run(&["pause", "www"]).await;
    let request = reqwest::Client::new()
        .post(format!("http://{at}/hooks/www"))
        .bearer_auth(SECRET)
        .header("idempotency-key", "run-1:2")
        .json(&json!({ "scan": true }));
    let name = event(&call(request).await.unwrap());
    assert_eq!(name, "run-1:2");
    let answer = state(&at, &name).await;
    assert_eq!(answer.status, 200);
    for (key, value) in [
        ("event", json!(name)),
        ("pipeline", json!("www")),
        ("state", json!("queued")),
        ("queued", json!(1)),
        ("done", json!(0)),
    ] {
        assert_eq!(answer.body[key], value, "{answer:?}");
    }
    // The same name, written in another way.
    assert_eq!(state(&at, "run-1%3A2").await, answer);
    for other in [
        "run-1:3",
        "run-1",
        "",
        "%ff",
        "run-1:2%00",
        "..",
        "run-1:2/",
    ] {
        assert_eq!(state(&at, other).await.status, 404, "{other:?}");
    }
    let client = reqwest::Client::new();
    let url = format!("http://{at}/hooks/www/{name}");
    let strangers = [
        client.get(&url),
        client.get(&url).bearer_auth("wrong"),
        client.get(&url).basic_auth("edgepurge", Some(SECRET)),
        client.get(format!("{url}?access_token={SECRET}")),
        client.get(format!("http://{at}/hooks/www/no-such-event")),
    ];
    for stranger in strangers {
        let answer = call(stranger).await.unwrap();
        assert_eq!(
            (answer.status, answer.body),
            (401, json!({ "error": "not authentic" }))
        );
    }
    bench.run(&["resume", "www"]).await;
    becomes(&at, &name, "done").await;
}
