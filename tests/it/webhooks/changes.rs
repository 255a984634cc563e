//! What a delivery makes of the cache, by each style of `purge`; delays, repetitions, answers.

use serde_json::json;

use super::*;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_purges_the_assets_that_are_configured() {
    let bench = started("generic", "purge = [\"/a.css\", \"/b.css\"]").await;
    let at = address(&bench).await;
    let answer = post(&at, &json!({ "scan": true })).await.unwrap();
    assert_eq!(answer.body["changes"], 2);
    let done = becomes(&at, &event(&answer), "done").await;
    assert_eq!(done["done"], 2);
    assert_eq!(bench.purges(), ["/a.css", "/b.css"]);
    let history = bench.json(&["requests", "list"]).await;
    assert_eq!(history["total_count"], 1, "{history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_purges_everything() {
    let bench = started("generic", "purge = \"all\"").await;
    let at = address(&bench).await;
    let answer = post(&at, &json!({ "scan": true })).await.unwrap();
    becomes(&at, &event(&answer), "done").await;
    assert_eq!(bench.purges(), ["*"]);
    let line = "edgepurge_escalations_total{pipeline=\"www\",reason=\"webhook\"}";
    assert_eq!(metric(&bench, line).await, Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_delivery_pass_the_same_mapping_as_files_of_the_origin() {
    let mut bench = Bench::new().await;
    with_route(
        &mut bench,
        "generic",
        "purge = \"files\"\nfiles_root = \"public/\"",
        "",
    );
    bench.origin += "[[pipeline.rule]]\nmatch = [\"*.json\"]\npurge = [\"/feed/{stem}\"]\n";
    bench.start().await;
    let at = address(&bench).await;
    let paths = [
        "public/a b.css",
        "public/x/index.html",
        "public/n.json",
        "src/main.ts",
    ];
    let answer = post(&at, &json!({ "paths": paths })).await.unwrap();
    becomes(&at, &event(&answer), "done").await;
    assert_eq!(
        bench.purges(),
        ["/a%20b.css", "/feed/n", "/x", "/x/", "/x/index.html"]
    );
    let elsewhere = post(&at, &json!({ "paths": ["src/main.ts"] }))
        .await
        .unwrap();
    assert_eq!(elsewhere.status, 200, "{elsewhere:?}");
    assert!(elsewhere.body["ignored"].is_string(), "{elsewhere:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_a_bucket_are_purged_by_their_names() {
    let bench = started("s3", "purge = \"files\"").await;
    let at = address(&bench).await;
    let record = |event: &str, key: &str| {
        let object = json!({ "bucket": { "name": "site" }, "object": { "key": key } });
        json!({ "eventName": format!("s3:{event}"), "eventSource": "minio:s3", "s3": object })
    };
    let records = [
        record("ObjectCreated:Put", "red+flower.css"),
        record("ObjectCreated:Put", "photos%2F"),
        record("ObjectRemoved:Delete", "blog%2Findex.html"),
        record("ObjectAccessed:Get", "never.css"),
    ];
    let body = json!({ "EventName": "s3:ObjectCreated:Put", "Records": records });
    let answer = post(&at, &body).await.unwrap();
    becomes(&at, &event(&answer), "done").await;
    assert_eq!(
        bench.purges(),
        [
            "/blog",
            "/blog/",
            "/blog/index.html",
            "/photos/",
            "/red%20flower.css"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_purged_by_their_names_as_they_are_where_the_sender_does_not_encode_them() {
    let bench = started("s3", "purge = \"files\"").await;
    let at = address(&bench).await;
    let records: Vec<_> = ["c++/x.css", "a%20b.css", "5%.css"]
        .iter()
        .map(|key| {
            let object = json!({ "bucket": { "name": "site" }, "object": { "key": key } });
            json!({ "eventName": "ObjectCreated:Put", "eventSource": "ceph:s3", "s3": object })
        })
        .collect();
    let answer = post(&at, &json!({ "Records": records })).await.unwrap();
    becomes(&at, &event(&answer), "done").await;
    let purges = bench.purges();
    for asset in ["/c++/x.css", "/a%2520b.css", "/5%25.css"] {
        assert!(
            purges.iter().any(|purged| purged == asset),
            "{asset}: {purges:?}"
        );
    }
    let wrong = |asset: &&String| asset.contains("a%20b") || asset.contains("c%20");
    assert_eq!(purges.iter().find(wrong), None, "{purges:?}");
}

/// As Ceph does with `http://NAME:PASSWORD@host/` as its endpoint: curl makes Basic of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_shows_name_and_password_is_believed_and_may_ask_what_became_of_it() {
    let mut bench = Bench::new().await;
    with_route(&mut bench, "s3", "auth = \"basic\"\npurge = \"files\"", "");
    std::fs::write(secret_file(&bench), format!("ceph:{SECRET}")).unwrap();
    bench.start().await;
    let at = address(&bench).await;
    let object = json!({ "bucket": { "name": "site" }, "object": { "key": "a+b/50%.css" } });
    let record =
        json!({ "eventName": "ObjectCreated:Put", "eventSource": "ceph:s3", "s3": object });
    let body = json!({ "Records": [record] }).to_string();
    let curl = async |userinfo: &str, arguments: &[&str]| {
        let output = tokio::process::Command::new("curl")
            .args(["-sS", "-w", "\n%{http_code}"])
            .args(
                arguments
                    .iter()
                    .map(|argument| argument.replace("USER", userinfo)),
            )
            .output()
            .await
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.to_owned(), body.to_owned())
    };
    let url = format!("http://USER@{at}/hooks/www");
    let post = [
        "-H",
        "Content-Type: application/json",
        "--data-binary",
        &body,
        &url,
    ];
    let (right, wrong) = (format!("ceph:{SECRET}"), format!("ceph:{SECRET}x"));
    assert_eq!(curl(&wrong, &post).await.0, "401");
    let (status, answer) = curl(&right, &post).await;
    assert_eq!(status, "202", "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(curl(&wrong, &["-I", &url]).await.0, "401");
    assert_eq!(curl(&right, &["-I", &url]).await.0, "204");
    let asked = format!("{url}/{}", answer["event"].as_str().unwrap());
    assert_eq!(curl(&wrong, &[&asked]).await.0, "401");
    until("the delivery is done", async || {
        let (status, state) = curl(&right, &[&asked]).await;
        assert_eq!(status, "200", "{state}");
        let state: Value = serde_json::from_str(&state).unwrap();
        (state["state"] == "done").then_some(())
    })
    .await;
    let purges = bench.purges();
    let raw = purges.iter().any(|purged| purged == "/a+b/50%25.css");
    let decoded = purges.iter().any(|purged| purged.contains("a%20b"));
    assert!(raw && !decoded, "{purges:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn senders_without_a_signature_of_their_own_are_believed_and_no_other() {
    let mut bench = Bench::new().await;
    with_route(
        &mut bench,
        "generic",
        "auth = \"basic\"\npaths = \"/files/*/name\"",
        "",
    );
    std::fs::write(secret_file(&bench), format!("deploy:{SECRET}")).unwrap();
    bench.start().await;
    let at = address(&bench).await;
    let body = json!({ "files": [{ "name": "a.css" }, { "name": "d/b.css", "size": 1 }] });
    let deliver = async |name: &str, password: &str| {
        let request = reqwest::Client::new()
            .post(format!("http://{at}/hooks/www"))
            .basic_auth(name, Some(password))
            .json(&body);
        call(request).await.unwrap()
    };
    assert_eq!(
        deliver("deploy", "another-password-of-it").await.status,
        401
    );
    assert_eq!(deliver("other", SECRET).await.status, 401);
    assert_eq!(post(&at, &body).await.unwrap().status, 401);
    let answer = deliver("deploy", SECRET).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    until("both files are purged", async || {
        (bench.purges() == ["/a.css", "/d/b.css"]).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_scans_and_purges_only_what_differs() {
    let mut bench = Bench::new().await;
    // Only the webhook can have noticed.
    bench.origin = "watch = \"off\"".to_owned();
    with_route(&mut bench, "generic", "", "");
    for name in ["a.css", "b.css", "c.css"] {
        bench.write(name, "one");
    }
    bench.start().await;
    let at = address(&bench).await;
    bench.write("a.css", "two");
    bench.write("b.css", "one");
    let answer = post(&at, &json!({ "scan": true })).await.unwrap();
    let name = event(&answer);
    assert_eq!(state(&at, &name).await.body["state"], "queued");
    let done = becomes(&at, &name, "done").await;
    assert_eq!(done["done"], 1);
    assert_eq!(bench.purges(), ["/a.css"]);
    let status = bench.status().await;
    assert_eq!(status["settled"], true);
    let origin = &status["pipelines"][0]["origins"][0];
    assert_eq!(
        origin["scans"]["webhook"], 2,
        "and once more when it was calm"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guarded_scan_keeps_the_delivery_until_a_person_says_that_the_loss_is_meant() {
    let mut bench = Bench::new().await;
    bench.origin = "watch = \"off\"\ngone_after = \"100ms\"".to_owned();
    with_route(&mut bench, "generic", "", "");
    for number in 0..50 {
        bench.write(&format!("{number}.css"), "one");
    }
    bench.start().await;
    let at = address(&bench).await;
    for number in 0..40 {
        fs::remove_file(bench.site().join(format!("{number}.css"))).unwrap();
    }
    let answer = post(&at, &json!({ "scan": true })).await.unwrap();
    let name = event(&answer);
    until("the loss is an alarm", async || {
        let status = bench.status().await;
        (status["alarms"][0]["reason"] == "loss").then_some(())
    })
    .await;
    assert_eq!(state(&at, &name).await.body["state"], "queued");
    assert_eq!(bench.purges(), Vec::<String>::new());
    bench
        .json(&["scan", "www", "--apply", "--accept-loss"])
        .await;
    becomes(&at, &name, "done").await;
    assert_eq!(bench.purges().len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delay_passes_before_the_change_and_a_crash_in_it_loses_nothing() {
    let mut bench = started("generic", "purge = [\"/a.css\"]\ndelay = \"3s\"").await;
    let at = address(&bench).await;
    let answer = post(&at, &json!({ "scan": true })).await.unwrap();
    let name = event(&answer);
    bench.kill().await;
    bench.start().await;
    let at = address(&bench).await;
    assert_eq!(state(&at, &name).await.body["state"], "queued");
    becomes(&at, &name, "done").await;
    assert_eq!(bench.purges(), ["/a.css"]);
    let socket = bench.json(&["requests", "list"]).await;
    assert_eq!(socket["total_count"], 1, "{socket}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_say_what_is_wrong_and_to_strangers_nothing() {
    let bench = started("generic", "purge = \"files\"").await;
    let at = address(&bench).await;
    let client = reqwest::Client::new();
    let url = format!("http://{at}/hooks/www");
    let mine = || client.post(&url).bearer_auth(SECRET);
    let json = "application/json";
    let strangers = [
        client.post(&url),
        client.post(&url).bearer_auth("wrong"),
        client.post(&url).bearer_auth(&SECRET[1..]),
        client.post(&url).header("authorization", ""),
        client.post(&url).bearer_auth("wrong").body("not json"),
        client.get(format!("{url}/some-event")),
        client.get(format!("{url}/some-event")).bearer_auth("wrong"),
    ];
    let said = strangers.map(|request| async { call(request).await.unwrap() });
    for answer in futures_util::future::join_all(said).await {
        assert_eq!(answer.status, 401);
        assert_eq!(answer.body, json!({ "error": "not authentic" }));
    }
    for (reason, count) in [("missing", 3.0), ("wrong", 4.0), ("expired", 0.0)] {
        let line =
            format!("edgepurge_webhook_refusals_total{{route=\"/hooks/www\",reason=\"{reason}\"}}");
        assert_eq!(metric(&bench, &line).await, Some(count), "{reason}");
    }
    let wrong = [
        (405, client.put(&url)),
        (405, client.get(&url)),
        (404, client.post(format!("http://{at}/hooks/other"))),
        (404, client.get(format!("http://{at}/"))),
        (
            404,
            client.get(format!("{url}/some-event")).bearer_auth(SECRET),
        ),
        (400, mine().header("content-type", json).body("{\"paths\"")),
        (415, mine().header("content-type", "text/html").body("{}")),
        (
            422,
            mine().header("content-type", json).body("{\"else\":1}"),
        ),
    ];
    for (status, request) in wrong {
        let shown = format!("{request:?}");
        let answer = call(request).await.unwrap();
        assert_eq!(answer.status, status, "{shown}: {answer:?}");
        assert!(answer.body["error"].is_string(), "{answer:?}");
    }
    // Nothing of a secret is ever said, nor what a payload would do to a terminal.
    let nasty = "{\"paths\":[\"a\\u001b[31m\\n.css\"]}";
    call(mine().header("content-type", json).body(nasty))
        .await
        .unwrap();
    let log = bench.log();
    assert!(!log.contains(SECRET) && !log.contains('\u{1b}'));
    assert_eq!(bench.purges(), Vec::<String>::new());
    tokio::time::timeout(Duration::from_secs(30), bench.settle())
        .await
        .unwrap();
}
