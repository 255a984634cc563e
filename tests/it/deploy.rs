//! `deploy`: nothing is sent while a command replaces the files, whatever happens to it or to the
//! daemon.

use std::process::{Output, Stdio};

use edgepurge::sandbox::{ErrorType, Fault, Operation};
use serde_json::{Value, json};
use tokio::process::Child;

use crate::bench::{Bench, LIMIT, text, until};

/// Starts a deploy whose command is a shell script, run in the site.
pub(crate) fn start(bench: &Bench, options: &[&str], script: &str) -> Child {
    let mut arguments = vec!["deploy", "www"];
    arguments.extend_from_slice(options);
    arguments.extend_from_slice(&["--", "/bin/sh", "-c", script]);
    bench
        .command(&arguments)
        .env("PATH", "/usr/bin:/bin")
        .current_dir(bench.site())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

pub(crate) async fn end(deploy: Child) -> Output {
    let output = tokio::time::timeout(LIMIT, deploy.wait_with_output());
    output.await.expect("the deploy ends in time").unwrap()
}

async fn deploy(bench: &Bench, options: &[&str], script: &str) -> Output {
    end(start(bench, options, script)).await
}

pub(crate) async fn exists(bench: &Bench, name: &str) {
    let path = bench.path(name);
    until(&format!("{name} is there"), async || {
        path.exists().then_some(())
    })
    .await;
}

async fn pipeline(bench: &Bench) -> Value {
    bench.status().await["pipelines"][0].clone()
}

/// Writes a file, tells it, and writes another one when it may go on.
pub(crate) const IN_TWO_STEPS: &str = "echo two > a.css; echo > ../written; \
                            while [ ! -e ../go ]; do sleep 0.02; done; echo two > b.css";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_deploy_changes_leaves_in_one_batch_when_it_has_ended() {
    let mut bench = Bench::new().await;
    bench.write("a.css", "one");
    bench.write("b.css", "one");
    bench.start().await;
    bench.fetch("/a.css").await;
    let running = start(&bench, &[], IN_TWO_STEPS);
    exists(&bench, "written").await;
    let held = until("the first file is queued", async || {
        let pipeline = pipeline(&bench).await;
        (pipeline["queued_assets"] == 1).then_some(pipeline)
    })
    .await;
    assert_eq!(held["pauses"][0]["holder"], "deploy");
    assert_eq!(held["pauses"][0]["reason"], "deploy: /bin/sh");
    let resumed = bench.run(&["resume", "www"]).await;
    assert!(text(&resumed.stdout).contains("still paused by a deploy"));
    assert_eq!(bench.purges(), Vec::<String>::new());
    std::fs::write(bench.path("go"), "").unwrap();
    let ended = end(running).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(
        text(&ended.stderr).contains("www: 2 purged, 0 failed"),
        "{ended:?}"
    );
    assert_eq!(bench.requests().len(), 1, "one batch");
    assert_eq!(bench.purges(), ["/a.css", "/b.css"]);
    assert_eq!(bench.fetch("/a.css").await.2, "two\n");
    assert_eq!(pipeline(&bench).await["paused"], false);

    let removed = deploy(&bench, &[], "rm a.css; echo three > b.css").await;
    assert_eq!(removed.status.code(), Some(0), "{removed:?}");
    assert_eq!(
        bench.requests().len(),
        2,
        "what is gone is in the same batch"
    );
    assert_eq!(bench.fetch("/a.css").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_ends_as_its_command_did_and_what_it_changed_is_purged() {
    let mut bench = Bench::new().await;
    bench.start().await;
    let failed = deploy(&bench, &[], "echo to stdout; echo two > a.css; exit 7").await;
    assert_eq!(failed.status.code(), Some(7), "{failed:?}");
    assert_eq!(text(&failed.stdout), "to stdout\n");
    assert_eq!(bench.purges(), ["/a.css"]);
    let killed = deploy(&bench, &[], "kill -9 $$").await;
    assert_eq!(killed.status.code(), Some(137), "{killed:?}");

    let missing = bench
        .run(&["deploy", "www", "--", "/no/such/program"])
        .await;
    assert_eq!(missing.status.code(), Some(127), "{missing:?}");
    assert_eq!(pipeline(&bench).await["paused"], false);
    let none = bench.run(&["deploy", "www"]).await;
    assert_eq!(none.status.code(), Some(2), "{none:?}");
    let nobody = bench.run(&["deploy", "nobody", "--", "touch", "ran"]).await;
    assert_eq!(nobody.status.code(), Some(2), "{nobody:?}");
    assert!(!std::path::Path::new("ran").exists(), "it was not run");

    let refuse = Fault::Typed(ErrorType::BAD_ASSETS);
    bench.sandbox.script(refuse.on(Operation::Create));
    let refused = deploy(&bench, &[], "echo two > b.css").await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(
        text(&refused.stderr).contains("edgepurge retry www"),
        "{refused:?}"
    );
    assert!(
        text(&refused.stderr).contains("assets constraint is refused"),
        "{refused:?}"
    );
    // As long as an asset is given up, visitors may get old bytes: no deploy is well.
    let next = deploy(&bench, &[], "echo three > c.css").await;
    assert_eq!(next.status.code(), Some(1), "{next:?}");
    assert!(
        text(&next.stderr).contains("1 purged, 0 failed"),
        "{next:?}"
    );
    bench.run(&["retry", "www"]).await;
    let next = deploy(&bench, &[], "echo four > c.css").await;
    assert_eq!(next.status.code(), Some(0), "{next:?}");

    bench.sandbox.revoke_key();
    let late = deploy(&bench, &["--timeout", "2s"], "echo four > d.css").await;
    assert_eq!(late.status.code(), Some(75), "{late:?}");
    let both = deploy(&bench, &["--timeout", "1s"], "exit 9").await;
    assert_eq!(both.status.code(), Some(9), "{both:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_runs_into_its_timeout_ends_its_pause_and_does_not_name_it() {
    let mut bench = Bench::new().await;
    bench.start().await;
    let running = start(&bench, &["--timeout", "1s"], IN_TWO_STEPS);
    exists(&bench, "written").await;
    until("the first file is queued", async || {
        (pipeline(&bench).await["queued_assets"] == 1).then_some(())
    })
    .await;
    std::fs::rename(bench.site(), bench.path("away")).unwrap();
    bench.alarm("root_missing").await;
    std::fs::write(bench.path("go"), "").unwrap();
    let late = end(running).await;
    assert_eq!(late.status.code(), Some(75), "{late:?}");
    let said = text(&late.stderr);
    let last = said.lines().find(|line| line.contains("not settled"));
    let last = last.unwrap_or_else(|| panic!("{said}"));
    assert!(last.contains("within 1 s: origin /: "), "{said}");
    for wrong in ["paused by", "edgepurge resume"] {
        assert!(!last.contains(wrong), "{said}");
    }
    assert_eq!(pipeline(&bench).await["pauses"], json!([]));
    std::fs::rename(bench.path("away"), bench.site()).unwrap();
    bench.purged("/b.css").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_daemon_the_command_is_not_run() {
    let bench = Bench::new().await;
    bench.config();
    let output = deploy(&bench, &[], "echo > ../ran").await;
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    assert!(!bench.path("ran").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_outlives_a_daemon_that_is_killed_and_starts_again() {
    let mut bench = Bench::new().await;
    bench.write("a.css", "one");
    bench.start().await;
    let running = start(&bench, &[], IN_TWO_STEPS);
    exists(&bench, "written").await;
    bench.kill().await;
    bench.start().await;
    let held = until("the change is found again", async || {
        let pipeline = pipeline(&bench).await;
        (pipeline["queued_assets"] == 1).then_some(pipeline)
    })
    .await;
    assert_eq!(held["paused"], true, "the lease is in the store");
    // Renewed by the same deploy, which has found the new daemon.
    let until_then = held["pauses"][0]["until"].as_str().unwrap().to_owned();
    until("the lease is renewed", async || {
        let pipeline = pipeline(&bench).await;
        let now = pipeline["pauses"][0]["until"].as_str()?.to_owned();
        (now > until_then).then_some(())
    })
    .await;
    bench.kill().await;
    std::fs::write(bench.path("go"), "").unwrap();
    exists(&bench, "site/b.css").await;
    bench.start().await;
    let ended = end(running).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(bench.purges(), ["/a.css", "/b.css"]);
    assert_eq!(bench.requests().len(), 1, "one batch");
    assert_eq!(pipeline(&bench).await["paused"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_reach_the_command() {
    let mut bench = Bench::new().await;
    bench.start().await;
    for (signal, code) in [("TERM", 3), ("INT", 4), ("HUP", 5)] {
        let mark = format!("ready-{signal}");
        let script =
            format!("trap 'exit {code}' {signal}; echo > ../{mark}; while :; do sleep 0.02; done");
        let running = start(&bench, &[], &script);
        exists(&bench, &mark).await;
        let pid = running.id().unwrap().to_string();
        let sent = std::process::Command::new("kill")
            .args(["-s", signal, &pid])
            .status();
        assert!(sent.unwrap().success());
        let ended = end(running).await;
        assert_eq!(ended.status.code(), Some(code), "{signal}: {ended:?}");
    }
    assert_eq!(pipeline(&bench).await["paused"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lease_of_a_deploy_that_was_killed_ends_by_itself() {
    let mut bench = Bench::new().await;
    bench.start().await;
    let mut running = start(&bench, &[], "echo two > a.css; exec sleep 5");
    until("the file is queued", async || {
        let pipeline = pipeline(&bench).await;
        (pipeline["queued_assets"] == 1).then_some(())
    })
    .await;
    running.kill().await.unwrap();
    // It ends where that is written down, a minute after it was renewed for the last time; a kill of
    // the daemon is no end.
    bench.kill().await;
    bench.start().await;
    let status = bench.status().await;
    let pause = &status["pipelines"][0]["pauses"][0];
    let time = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let left = time(&pause["until"]).duration_since(time(&status["now"]));
    assert!((50..=60).contains(&left.as_secs()), "{status}");
    let stored = stored_lease(&bench);
    assert_eq!(stored.length, 60_000);

    // That minute is not waited for: the same lease, cut short, ends at its stored end.
    let body = json!({ "pipeline": "www", "lease": stored.holder, "seconds": 3 });
    let client = reqwest::Client::builder()
        .unix_socket(bench.path("admin.sock"))
        .build()
        .unwrap();
    let url = "http://localhost/api/v1/pause";
    let cut = client.post(url).json(&body).send().await.unwrap();
    let cut: Value = cut.json().await.unwrap();
    assert_eq!(cut["was_paused"], true, "it is the same: {cut}");
    let stored = stored_lease(&bench);
    assert_eq!(stored.length, 3_000);
    assert_eq!(bench.purges(), Vec::<String>::new(), "it still holds");
    until(
        "the lease has ended, and what is queued is purged",
        async || (!bench.purges().is_empty()).then_some(()),
    )
    .await;
    let sent = bench.sandbox.requests()[0].created.millis();
    // By the clocks of two processes.
    assert!(sent + 100 >= stored.until, "not before the lease ended");
    assert_eq!(pipeline(&bench).await["paused"], false);

    let long = json!({ "pipeline": "www", "lease": "x", "seconds": 61 });
    let refused = client.post(url).json(&long).send().await.unwrap();
    assert_eq!(refused.status(), 422);
}

struct StoredLease {
    holder: String,
    length: i64,
    until: u64,
}

/// The one lease that is in the database.
fn stored_lease(bench: &Bench) -> StoredLease {
    let queue = rusqlite::Connection::open(bench.path("state/queue.db")).unwrap();
    let read = |row: &rusqlite::Row<'_>| {
        Ok(StoredLease {
            holder: row.get("holder")?,
            length: row.get("length")?,
            until: row.get::<_, i64>("until")?.cast_unsigned(),
        })
    };
    let found = queue.query_row("SELECT * FROM pause", [], read);
    found.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_empties_the_site_purges_nothing_of_that_and_says_so() {
    let mut bench = Bench::new().await;
    for number in 0..100 {
        bench.write(&format!("{number}.css"), "x");
    }
    bench.start().await;
    let emptied = deploy(
        &bench,
        &[],
        "rm -f [0-9].css [0-8][0-9].css; echo new > new.css",
    )
    .await;
    assert_eq!(emptied.status.code(), Some(1), "{emptied:?}");
    assert!(
        text(&emptied.stderr).contains("--accept-loss"),
        "{emptied:?}"
    );
    assert_eq!(pipeline(&bench).await["paused"], false);
    assert_eq!(bench.purges(), ["/new.css"]);
}
