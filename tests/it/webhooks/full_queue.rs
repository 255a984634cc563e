//! A queue at its cap whose pipeline may not be purged as a whole: what changes waits where it is.

use std::process::Stdio;

use tokio::process::Command;

use super::*;

/// So many assets of a pipeline are queued at most.
const CAP: usize = 100_000;

/// Has as many assets queued as may be, with one call.
async fn fill(bench: &Bench) {
    let assets: Vec<String> = (0..CAP).map(|number| format!("/{number}.css")).collect();
    let body = json!({ "pipeline": "www", "assets": assets }).to_string();
    fs::write(bench.path("body"), body).unwrap();
    let answer = Command::new("curl")
        .args(["-sS", "--unix-socket"])
        .arg(bench.path("admin.sock"))
        .args(["-H", "content-type: application/json", "--data-binary"])
        .arg(format!("@{}", bench.path("body").display()))
        .arg("http://localhost/api/v1/purge")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(answer["changes"], CAP, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_everything_is_never_purged_a_full_queue_loses_nothing() {
    let mut bench = Bench::new().await;
    bench.pipeline = "all_above = \"never\"\nall_after = \"never\"".to_owned();
    bench.log_level = "info".to_owned();
    with_route(&mut bench, "generic", "purge = \"files\"", "");
    bench.write("known.css", "one");
    bench.start().await;
    let paused = bench.run(&["pause", "www"]).await;
    assert!(paused.status.success(), "{paused:?}");
    fill(&bench).await;
    bench.alarm("queue_full").await;

    // A file waits where it is, and it is said why.
    bench.write("known.css", "two");
    let waits = bench.alarm("commit").await;
    assert!(waits.contains("is full: 100000 assets wait"), "{waits}");
    // A sender is to come again.
    let at = address(&bench).await;
    let request = reqwest::Client::new()
        .post(format!("http://{at}/hooks/www"))
        .bearer_auth(SECRET)
        .json(&json!({ "paths": ["more.css"] }));
    let refused = request.send().await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    // So is a person.
    let asked = bench.run(&["purge", "www", "/asked.css"]).await;
    assert_eq!(asked.status.code(), Some(75), "{asked:?}");
    let said = String::from_utf8(asked.stderr).unwrap();
    assert!(said.contains("is full: 100000 assets wait"), "{said}");

    // Nothing of it changes with a kill.
    bench.kill().await;
    bench.spawn();
    until("the daemon answers", async || {
        bench.run(&["status"]).await.status.success().then_some(())
    })
    .await;
    bench.alarm("queue_full").await;
    let pipeline = bench.status().await["pipelines"][0].clone();
    assert_eq!(pipeline["queued_assets"], CAP);
    assert_eq!(pipeline["queued_all"], Value::Null, "{pipeline}");

    // A person may say that everything is to be purged, which makes room.
    let asked = bench.run(&["purge", "www", "--all"]).await;
    assert!(asked.status.success(), "{asked:?}");
    let resumed = bench.run(&["resume", "www"]).await;
    assert!(resumed.status.success(), "{resumed:?}");
    bench.purged("/known.css").await;
    let at = address(&bench).await;
    let taken = until("there is room", async || {
        let answer = post(&at, &json!({ "paths": ["more.css"] })).await.unwrap();
        (answer.status == 202).then_some(answer)
    })
    .await;
    event(&taken);
    bench.purged("/more.css").await;
    bench.settle().await;
    bench.no_alarm().await;
    assert_eq!(bench.purges(), ["*", "/known.css", "/more.css"]);
}
