//! What an operator does with a queue: pause, resume, retry, drop.

use std::time::Duration;

use edgepurge::sandbox::{ErrorType, Fault, Operation};
use serde_json::{Value, json};

use crate::bench::{Bench, text, until, user};

const OTHER: &str = "77777777-7777-4777-8777-777777777777";

async fn queued(bench: &Bench, count: u64) -> Value {
    until(&format!("{count} assets are queued"), async || {
        let status = bench.status().await;
        let pipeline = status["pipelines"][0].clone();
        (pipeline["queued_assets"] == count).then_some(pipeline)
    })
    .await
}

/// A person at a terminal, who answers.
async fn at_a_terminal(bench: &Bench, command: &str, answers: &str) -> (Option<i32>, String) {
    use tokio::io::AsyncWriteExt as _;
    let line = format!(
        "'{}' --config '{}' {command}",
        env!("CARGO_BIN_EXE_edgepurge"),
        bench.path("config.toml").display()
    );
    let mut child = tokio::process::Command::new("script")
        .args(["-qefc", &line, "/dev/null"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(answers.as_bytes()).await.unwrap();
    let output = tokio::time::timeout(crate::bench::LIMIT, child.wait_with_output());
    let output = output.await.expect("it ends in time").unwrap();
    drop(stdin);
    (output.status.code(), text(&output.stdout))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_survives_a_kill_and_sends_nothing_until_it_is_resumed() {
    let mut bench = Bench::new().await;
    bench.write("a.css", "one");
    bench.start().await;
    let paused = bench
        .run(&["pause", "www", "--reason", "a migration"])
        .await;
    assert!(paused.status.success(), "{paused:?}");
    let said = text(&paused.stdout);
    let begins = format!("www: paused by {} since 2", user());
    assert!(said.starts_with(&begins), "{said}");
    assert!(said.ends_with("until resumed: a migration\n"), "{said}");

    bench.write("a.css", "two");
    bench.write("b.css", "new");
    queued(&bench, 2).await;
    bench.kill().await;
    bench.write("c.css", "new");
    bench.start().await;
    let pipeline = queued(&bench, 3).await;
    assert_eq!(pipeline["paused"], true);
    assert_eq!(pipeline["pauses"][0]["reason"], "a migration");
    let shown = bench.run(&["status"]).await;
    assert!(text(&shown.stdout).contains("until resumed: a migration"));
    let waited = bench.run(&["wait", "www", "--timeout", "2s"]).await;
    assert_eq!(waited.status.code(), Some(75));
    assert!(
        text(&waited.stderr).contains("edgepurge resume www"),
        "{waited:?}"
    );
    assert!(
        metrics(&bench)
            .await
            .contains("edgepurge_paused{pipeline=\"www\"} 1")
    );
    assert_eq!(bench.purges(), Vec::<String>::new());

    let resumed = bench.run(&["resume", "www"]).await;
    assert_eq!(text(&resumed.stdout), "www: resumed\n");
    let waited = bench.run(&["wait", "www"]).await;
    assert!(waited.status.success(), "{waited:?}");
    assert_eq!(bench.requests().len(), 1, "one batch");
    assert_eq!(bench.purges(), ["/a.css", "/b.css", "/c.css"]);
    assert!(
        metrics(&bench)
            .await
            .contains("edgepurge_paused{pipeline=\"www\"} 0")
    );
    let again = bench.run(&["resume", "www"]).await;
    assert_eq!(text(&again.stdout), "www: was not paused\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_which_pause_has_ended_and_which_goes_on() {
    let mut bench = Bench::new().await;
    bench.start().await;
    bench
        .json(&["pause", "www", "--reason", "a migration"])
        .await;
    let deployed = bench.run(&["deploy", "www", "--", "/bin/true"]).await;
    assert!(deployed.status.success(), "{deployed:?}");
    bench.json(&["resume", "www"]).await;
    let (log, who) = (bench.log(), user());
    let line = |says: &str| {
        let found = log.lines().find(|line| line.contains(says));
        found.unwrap_or_else(|| panic!("{says}: {log}"))
    };
    let ended = line(&format!(
        "no longer paused by a deploy of {who}; still paused by {who} since "
    ));
    assert!(ended.contains("until resumed: a migration"), "{ended}");
    let resumed = line(&format!("resumed: no longer paused by {who}"));
    let begun = line(&format!(" paused by {who} since "));
    for line in [begun, ended, resumed] {
        assert!(line.contains("www"), "{line}");
    }
}

async fn metrics(bench: &Bench) -> String {
    get(bench, "/metrics").await
}

async fn get(bench: &Bench, path: &str) -> String {
    let client = reqwest::Client::builder()
        .unix_socket(bench.path("admin.sock"))
        .build()
        .unwrap();
    let request = client.get(format!("http://localhost{path}")).send();
    request.await.unwrap().text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_for_a_time_ends_by_itself() {
    let mut bench = Bench::new().await;
    bench.start().await;
    let paused = bench.json(&["pause", "www", "--for", "4s"]).await;
    assert_eq!(paused["paused"], true);
    let until = paused["pauses"][0]["until"].as_str().unwrap().to_owned();
    bench.write("a.css", "new");
    assert_eq!(bench.terminate().await, Some(0));
    bench.start().await;
    bench.purged("/a.css").await;
    let history = get(&bench, "/api/v1/requests").await;
    let history: Value = serde_json::from_str(&history).unwrap();
    let sent = history["purge_requests"][0]["created_at"].as_str().unwrap();
    assert!(*sent >= *until, "sent {sent}, and paused until {until}");
    let status = bench.status().await;
    assert_eq!(status["pipelines"][0]["paused"], false);

    for wrong in [
        &["pause", "www", "--for", "soon"][..],
        &["pause", "www", "--for", "0s"],
        &["pause", "www", "--for", "500d"],
        &["pause", "nobody"],
    ] {
        let refused = bench.run(wrong).await;
        let code = refused.status.code();
        assert!(matches!(code, Some(1 | 2)), "{wrong:?}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_failed_is_purged_when_a_person_retries_it() {
    let mut bench = Bench::new().await;
    bench.start().await;
    let refuse = || Fault::Typed(ErrorType::BAD_ASSETS).on(Operation::Create);
    let failed = async |bench: &Bench, name: &str| {
        bench.sandbox.script(refuse());
        bench.write(name, "x");
        until("it is failed", async || {
            let status = bench.status().await;
            (status["pipelines"][0]["failed_assets"] == 1).then_some(status)
        })
        .await
    };
    let status = failed(&bench, "a.css").await;
    let remedy = status["alarms"][0]["remedy"].as_str().unwrap();
    assert!(remedy.contains("edgepurge retry www"), "{remedy}");
    let retried = bench.run(&["retry", "www"]).await;
    assert_eq!(
        text(&retried.stdout),
        "www: 1 failed change is queued again\n"
    );
    bench.purged("/a.css").await;
    until("the failure is over", async || {
        let status = bench.status().await;
        (status["alarms"] == json!([]) && status["settled"] == true).then_some(())
    })
    .await;
    let again = bench.run(&["retry", "www"]).await;
    assert!(
        text(&again.stdout).contains("nothing is failed"),
        "{again:?}"
    );

    failed(&bench, "b.css").await;
    let done = bench.run(&["retry", "2"]).await;
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    assert!(text(&done.stderr).contains("request 2 is done"), "{done:?}");
    let retried = bench.json(&["retry", "3"]).await;
    assert_eq!(retried["changes"], 1, "{retried}");
    bench.purged("/b.css").await;
    for (unknown, code) in [("99", 1), (OTHER, 2), ("nobody", 2)] {
        let refused = bench.run(&["retry", unknown]).await;
        assert_eq!(refused.status.code(), Some(code), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn drop_asks_twice_and_only_at_a_terminal() {
    if std::process::Command::new("script")
        .arg("-V")
        .output()
        .is_err()
    {
        return crate::bench::skip("script is not installed");
    }
    let mut bench = Bench::new().await;
    bench.start().await;
    bench.run(&["pause", "www"]).await;
    bench.write("a.css", "new");
    queued(&bench, 1).await;
    let blind = bench.run(&["drop", "www"]).await;
    assert_eq!(blind.status.code(), Some(2), "{blind:?}");
    assert!(text(&blind.stderr).contains("no terminal"), "{blind:?}");
    let other = bench.run(&["drop", "www", "--confirm", "shop"]).await;
    assert_eq!(other.status.code(), Some(2), "{other:?}");
    let (code, said) = at_a_terminal(&bench, "drop www", "drop\nno\n").await;
    assert_eq!(code, Some(1), "{said}");
    queued(&bench, 1).await;

    let (code, said) = at_a_terminal(&bench, "drop www", "drop\nwww\n").await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1 queued, 0 failed of www"), "{said}");
    assert!(said.contains("www: 1 changes dropped"), "{said}");
    queued(&bench, 0).await;
    bench.run(&["resume", "www"]).await;
    bench.settle().await;
    assert_eq!(bench.purges(), Vec::<String>::new());
    // It is no longer waited for, and its next change counts as ever.
    bench.write("a.css", "newer");
    bench.purged("/a.css").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_whose_pipeline_left_the_config_is_kept_until_it_returns_or_is_dropped() {
    let mut bench = Bench::new().await;
    let site = bench.path("other");
    std::fs::create_dir(&site).unwrap();
    // The API does not know it, so that what changes stays queued.
    let both = format!(
        "[[pipeline]]\nname = \"other\"\nid = \"{OTHER}\"\n[[pipeline.origin]]\nroot = \"{}\"\n",
        site.display()
    );
    bench.origin.clone_from(&both);
    bench.start().await;
    std::fs::write(site.join("a.css"), "new").unwrap();
    let of_other = async |bench: &Bench| {
        until("the refused pipeline has a queue", async || {
            let status = bench.status().await;
            (status["pipelines"][1]["queued_assets"] == 1).then_some(())
        })
        .await;
    };
    of_other(&bench).await;
    assert_eq!(bench.terminate().await, Some(0));

    bench.origin.clear();
    bench.start().await;
    let status = bench.status().await;
    assert_eq!(status["orphaned"][0]["id"], OTHER, "{status}");
    assert_eq!(status["orphaned"][0]["queued_changes"], 1);
    let shown = bench.run(&["status"]).await;
    assert!(text(&shown.stdout).contains(&format!("edgepurge drop {OTHER}")));
    let retried = bench.run(&["retry", OTHER]).await;
    assert!(retried.status.success(), "{retried:?}");
    assert_eq!(bench.terminate().await, Some(0));

    bench.origin = both;
    bench.start().await;
    of_other(&bench).await;
    assert_eq!(bench.status().await["orphaned"], json!([]));
    assert_eq!(bench.terminate().await, Some(0));

    bench.origin.clear();
    bench.start().await;
    let client = reqwest::Client::builder()
        .unix_socket(bench.path("admin.sock"))
        .timeout(Duration::from_secs(10))
        .build()
        .unwrap();
    let drop = async |confirm: &str| {
        let body = json!({ "pipeline": OTHER, "confirm": confirm });
        let request = client.post("http://localhost/api/v1/drop").json(&body);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(drop("yes").await, 422);
    assert_eq!(bench.status().await["orphaned"][0]["queued_changes"], 1);
    assert_eq!(drop(OTHER).await, 200);
    assert_eq!(bench.status().await["orphaned"], json!([]));
    assert_eq!(drop(OTHER).await, 404, "there is nothing left of it");
}
