//! No command says that all is fresh before it is, and each says what it waits for.

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use super::{SOON, pages, quick, sparse, within};
use crate::bench::{Bench, sh, text};
use crate::reported;

/// `status` does not say so, and `wait` gives up, in words that name the cause.
async fn is_not_fresh(bench: &Bench, cause: &str) {
    waits_in_vain(bench, cause, 75).await;
}

async fn waits_in_vain(bench: &Bench, cause: &str, code: i32) {
    let status = bench.status().await;
    assert!(!reported::fresh(&status), "{status}");
    let waited = bench.run(&["wait", "www", "--timeout", "2s"]).await;
    assert_eq!(waited.status.code(), Some(code), "{waited:?}");
    let said = text(&waited.stderr);
    assert!(said.contains(cause), "no word of {cause}: {said}");
    let said = text(&bench.run(&["status"]).await.stdout);
    assert!(said.contains(cause), "no word of {cause}: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_contents_are_unread() {
    let mut bench = Bench::new().await;
    pages(&bench.site(), 0..5, "page");
    fs::rename(sparse(&bench, "huge", 10 << 30), bench.path("site/0.iso")).unwrap();
    bench.spawn();
    bench.started(|_| true).await;
    assert!(reported::unread(&bench.status().await) > 0);
    is_not_fresh(&bench, "0.iso").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_file_is_being_written() {
    let mut bench = quick("debounce = \"100ms\"", "").await;
    bench.write("data/feed.xml", "old");
    bench.start().await;
    let mut file = fs::File::create(bench.path("site/data/feed.xml")).unwrap();
    file.write_all(b"half of").unwrap();
    // Longer than a file takes to look as if nothing wrote it any more.
    within(Duration::from_secs(5), "it is known", async || {
        let status = bench.status().await;
        let waiting = reported::waiting(&status);
        let known =
            |(path, state): &(String, String)| path == "data/feed.xml" && state == "writing";
        waiting.iter().any(known).then_some(())
    })
    .await;
    is_not_fresh(&bench, "data/feed.xml").await;
    assert!(bench.purges().is_empty(), "half of it is no file");
    file.write_all(b" it").unwrap();
    drop(file);
    bench.rested().await;
    assert_eq!(bench.purges(), ["/data/feed.xml"]);
    assert!(reported::fresh(&bench.status().await));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_loss_is_held_back() {
    let mut bench = Bench::new().await;
    pages(&bench.site(), 0..50, "page");
    bench.start().await;
    sh(&bench, "rm -r site/d0 site/d1 site/d2");
    bench.alarm("loss").await;
    // No time ends it, so that `wait` fails at once.
    waits_in_vain(&bench, "loss", 1).await;
    let scan = ["scan", "www", "--apply", "--accept-loss"];
    assert!(bench.run(&scan).await.status.success());
    bench.rested().await;
    assert!(reported::fresh(&bench.status().await));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_root_is_missing_and_while_it_was_never_there() {
    let mut bench = Bench::new().await;
    pages(&bench.site(), 0..5, "page");
    bench.start().await;
    sh(&bench, "mv site away");
    bench.alarm("root_missing").await;
    let root = bench.site();
    is_not_fresh(&bench, root.to_str().unwrap()).await;
    bench.kill().await;
    bench.spawn();
    within(SOON, "it is said at a start too", async || {
        let status = bench.run(&["--format", "json", "status"]).await;
        let status = serde_json::from_slice(&status.stdout).ok()?;
        reported::alarms(&status)
            .contains(&"root_missing".to_owned())
            .then_some(())
    })
    .await;
    is_not_fresh(&bench, root.to_str().unwrap()).await;
    sh(&bench, "mv away site");
    bench.rested().await;
    assert!(reported::fresh(&bench.status().await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_does_not_end_well_while_what_it_wrote_is_still_being_written() {
    let mut bench = quick("debounce = \"100ms\"", "").await;
    bench.write("list.json", "old");
    bench.start().await;
    // A program that the deploy leaves behind goes on writing.
    let script = "exec 3>> site/list.json; (echo more >&3; exec sleep 30) > /dev/null 2>&1 &
                  echo $! > left; sleep 0.5";
    let words = [
        "deploy",
        "www",
        "--timeout",
        "4s",
        "--",
        "/bin/sh",
        "-ec",
        script,
    ];
    let mut deploy = bench.command(&words);
    deploy.env("PATH", std::env::var("PATH").unwrap());
    let ended = deploy.current_dir(bench.path("")).output().await.unwrap();
    assert_eq!(ended.status.code(), Some(75), "{ended:?}");
    assert!(text(&ended.stderr).contains("list.json"), "{ended:?}");
    sh(&bench, "kill $(cat left)");
    bench.rested().await;
    assert_eq!(bench.purges(), ["/list.json"]);
}
