//! Every refusal is the same document, whatever is wrong with a call.

use serde_json::json;

use super::*;

/// A call that is refused: method, path, content type, body; the status, and a part of what is said.
type Wrong<'w> = (&'w str, &'w str, &'w str, &'w str, u16, &'w str);

const JSON: &str = "application/json";

const WRONG: [Wrong<'_>; 22] = [
    ("GET", "/api/v1/nothing", "", "", 404, "/api/v1/pipelines"),
    ("GET", "/api/v2/status", "", "", 404, "/api/v1/status"),
    ("GET", "/favicon.ico", "", "", 404, "there is no such page"),
    ("POST", "/api/v1/status", JSON, "{}", 405, "Allow"),
    ("DELETE", "/api/v1/purge", "", "", 405, "Allow"),
    ("GET", "/api/v1/pipelines/shop", "", "", 404, "www"),
    (
        "GET",
        "/api/v1/requests?colour=red",
        "",
        "",
        400,
        "page_size",
    ),
    ("GET", "/api/v1/requests?page=two", "", "", 400, "page"),
    ("GET", "/api/v1/requests?page=1&page=2", "", "", 400, "page"),
    (
        "GET",
        "/api/v1/requests?order_by=size",
        "",
        "",
        400,
        "created_at_asc",
    ),
    (
        "GET",
        "/api/v1/requests?status=gone",
        "",
        "",
        422,
        "overdue",
    ),
    ("GET", "/api/v1/requests/seven", "", "", 400, "seven"),
    ("GET", "/api/v1/requests/4711", "", "", 404, "4711"),
    ("GET", "/api/v1/changes?first=-1", "", "", 400, "first"),
    (
        "GET",
        "/api/v1/changes?pipeline_id=shop",
        "",
        "",
        404,
        "www",
    ),
    ("GET", "/api/v1/wait", "", "", 400, "pipeline"),
    (
        "POST",
        "/api/v1/purge",
        JSON,
        "{\"pipeline\":",
        400,
        "line 1",
    ),
    (
        "POST",
        "/api/v1/purge",
        JSON,
        "{\"assets\":[\"/a\"]}",
        422,
        "pipeline",
    ),
    (
        "POST",
        "/api/v1/purge",
        JSON,
        "{\"pipeline\":\"www\",\"everything\":true}",
        422,
        "everything",
    ),
    (
        "POST",
        "/api/v1/purge",
        "text/plain",
        "{\"pipeline\":\"www\",\"all\":true}",
        415,
        "application/json",
    ),
    (
        "POST",
        "/api/v1/purge",
        "",
        "{\"pipeline\":\"www\",\"all\":true}",
        415,
        "application/json",
    ),
    (
        "POST",
        "/api/v1/pause",
        "application/x-www-form-urlencoded",
        "pipeline=www",
        415,
        "application/json",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_a_json_document_that_says_what_is_wrong() {
    let mut bench = Bench::new().await;
    with_token(&mut bench);
    bench.start().await;
    for door in [Door::tcp(&bench), Door::Socket] {
        let call = |method: &str, path: &str| door.request(&bench, method, path).bearer_auth(TOKEN);
        for (method, path, kind, body, status, says) in WRONG {
            let mut request = call(method, path).body(body);
            if !kind.is_empty() {
                request = request.header("content-type", kind);
            }
            let (answered, document) = json(request).await;
            assert_eq!(answered, status, "{method} {path}: {document}");
            let why = document["error"].as_str().unwrap();
            assert!(why.contains(says), "{method} {path}: {document}");
            let class = document["class"].as_str().unwrap();
            assert!(
                matches!(class, "invalid" | "not_found" | "unknown_pipeline"),
                "{document}"
            );
        }
        let long = "x".repeat(9 << 20);
        let large = call("POST", "/api/v1/purge").json(&json!({ "pipeline": long }));
        let (answered, document) = json(large).await;
        assert_eq!(answered, 413, "{document}");
        assert!(document["error"].as_str().unwrap().contains("8 MiB"));
        let allowed = call("DELETE", "/api/v1/pause").send().await.unwrap();
        assert_eq!(allowed.headers()["allow"], "POST");
    }
    assert!(bench.requests().is_empty(), "nothing was purged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_host_and_a_wrong_token_are_refused_like_everything_else() {
    let mut bench = Bench::new().await;
    with_token(&mut bench);
    bench.start().await;
    let tcp = Door::tcp(&bench);
    let body = json!({ "pipeline": "www", "all": true });
    let post = || tcp.request(&bench, "POST", "/api/v1/purge").json(&body);
    for (request, status, class) in [
        (post(), 401, "unauthorized"),
        (
            post().bearer_auth("not-the-admin-token"),
            401,
            "unauthorized",
        ),
        (post().basic_auth("admin", Some(TOKEN)), 401, "unauthorized"),
        (
            post().bearer_auth(TOKEN).header("host", "evil.example"),
            421,
            "forbidden",
        ),
        (
            tcp.request(&bench, "GET", "/api/v1/status")
                .header("host", "evil.example:80"),
            421,
            "forbidden",
        ),
    ] {
        let (answered, document) = json(request).await;
        assert_eq!(answered, status, "{document}");
        assert_eq!(document["class"], class, "{document}");
        assert!(!document["error"].as_str().unwrap().is_empty());
    }
    assert!(bench.requests().is_empty(), "nothing was purged");
}
