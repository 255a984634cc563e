//! A page in somebody's browser changes nothing, whatever the browser knows.

use serde_json::json;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_page_changes_nothing_though_it_has_the_token() {
    let mut bench = Bench::new().await;
    with_token(&mut bench);
    bench.start().await;
    let tcp = Door::tcp(&bench);
    let Door::Tcp(address) = &tcp else {
        unreachable!()
    };
    let own = format!("http://{address}");
    let port = address.rsplit(':').next().unwrap();
    let change = |door: &Door, path: &str, more: &[(&'static str, &str)]| {
        door.request(&bench, "POST", path)
            .bearer_auth(TOKEN)
            .json(&json!({ "pipeline": "www", "all": true }))
            .headers(headers(more))
    };
    let https = own.replace("http:", "https:");
    let localhost = format!("http://localhost:{port}");
    for foreign in [
        &[("origin", "http://evil.example")][..],
        &[("origin", "null")],
        &[("origin", &https)],
        &[("origin", &localhost)],
        &[("origin", "http://127.0.0.1:1")],
        &[("origin", &own), ("sec-fetch-site", "cross-site")],
        &[("referer", "https://evil.example/page")],
    ] {
        for path in [
            "purge",
            "pause",
            "resume",
            "retry",
            "drop",
            "scan",
            "purge-requests",
        ] {
            for door in [&tcp, &Door::Socket] {
                let (status, document) =
                    json(change(door, &format!("/api/v1/{path}"), foreign)).await;
                assert_eq!(status, 403, "{path} with {foreign:?}: {document}");
                assert_eq!(document["class"], "forbidden");
            }
        }
    }
    assert!(bench.requests().is_empty(), "nothing was purged");
    // The daemon's own page may, and what is no browser.
    for ours in [
        &[][..],
        &[("origin", &*own), ("sec-fetch-site", "same-origin")],
    ] {
        let (status, document) = json(change(&tcp, "/api/v1/purge", ours)).await;
        assert_eq!(status, 202, "{ours:?}: {document}");
    }
    // No page can read an answer either: none says that another origin may.
    let read = tcp.request(&bench, "GET", "/api/v1/status");
    let read = read
        .header("origin", "http://evil.example")
        .send()
        .await
        .unwrap();
    assert!(!read.headers().contains_key("access-control-allow-origin"));
}
