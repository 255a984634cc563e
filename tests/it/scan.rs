//! `scan` and `wait`: what differs now, and when everything before now is dealt with.

use std::fs;

use crate::bench::{Bench, text, until};

#[tokio::test(flavor = "multi_thread")]
async fn scan_tells_what_differs_and_queues_nothing_unless_told_to() {
    let mut bench = Bench::new().await;
    // Nobody watches, so that only a scan finds anything.
    bench.origin = "watch = \"off\"".to_owned();
    for name in ["a.css", "b.css", "c.css"] {
        bench.write(name, "one");
    }
    bench.config();
    let early = bench.run(&["scan", "www"]).await;
    assert_eq!(early.status.code(), Some(75), "{early:?}");
    bench.start().await;
    bench.write("a.css", "two");
    fs::remove_file(bench.site().join("b.css")).unwrap();
    bench.write("new\u{1b}.css", "x");
    let output = bench.run(&["scan", "www"]).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        text(&output.stdout),
        "changed  a.css\ngone     b.css\nnew      new\\u{1b}.css\n\
         origin /: 3 files: 1 new, 1 changed, 1 gone; --apply queues that\n"
    );
    let found = bench.json(&["scan", "www"]).await;
    assert_eq!(found["origins"][0]["paths"][0]["path"], "a.css");
    assert_eq!(bench.purges(), Vec::<String>::new(), "nothing was queued");

    let applied = bench.json(&["scan", "www", "--apply"]).await;
    assert_eq!(applied["origins"][0]["changed"], 1, "{applied}");
    until("what was applied is purged", async || {
        (bench.purges().len() == 4).then_some(())
    })
    .await;
    assert_eq!(
        bench.purges(),
        ["/a.css", "/b.css", "/new%1B.css", "/new%1b.css"]
    );
    let again = bench.run(&["scan", "www"]).await;
    assert_eq!(
        text(&again.stdout),
        "origin /: 3 files: 0 new, 0 changed, 0 gone\n"
    );

    assert_eq!(bench.terminate().await, Some(0));
    bench.write("c.css", "two");
    let without = bench.run(&["scan", "www"]).await;
    assert!(text(&without.stdout).starts_with("changed  c.css\n"));
    let apply = bench.run(&["scan", "www", "--apply"]).await;
    assert_eq!(apply.status.code(), Some(75));
    let unknown = bench.run(&["scan", "nobody"]).await;
    assert_eq!(unknown.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_is_held_back_until_it_is_accepted() {
    let mut bench = Bench::new().await;
    for number in 0..100 {
        bench.write(&format!("{number}.css"), "x");
    }
    bench.start().await;
    for number in 0..80 {
        fs::remove_file(bench.site().join(format!("{number}.css"))).unwrap();
    }
    until("the loss is an alarm", async || {
        let status = bench.status().await;
        let alarms = status["alarms"].as_array().unwrap().clone();
        alarms
            .iter()
            .any(|alarm| alarm["reason"] == "loss")
            .then_some(())
    })
    .await;
    let held = bench.run(&["scan", "www", "--apply"]).await;
    assert_eq!(held.status.code(), Some(1), "{held:?}");
    assert!(text(&held.stderr).contains("--accept-loss"));
    assert_eq!(bench.purges(), Vec::<String>::new());

    let accepted = bench
        .run(&["scan", "www", "--apply", "--accept-loss"])
        .await;
    assert!(accepted.status.success(), "{accepted:?}");
    until("what is gone is purged", async || {
        let purges = bench.purges();
        (purges.len() == 80 || purges == ["*"]).then_some(())
    })
    .await;
    until("the alarm is over", async || {
        let status = bench.status().await;
        (status["alarms"] == serde_json::json!([])).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_returns_when_what_changed_before_is_fresh_at_the_edge() {
    for watch in ["auto", "off"] {
        let mut bench = Bench::new().await;
        bench.origin = format!("watch = \"{watch}\"");
        bench.write("a.css", "zero");
        bench.start().await;
        for round in 0..5 {
            bench.fetch("/a.css").await;
            bench.write("a.css", &format!("round {round}"));
            let waited = bench.run(&["wait", "www"]).await;
            assert!(waited.status.success(), "{waited:?}");
            let (_, _, body) = bench.fetch("/a.css").await;
            assert_eq!(body, format!("round {round}"), "watch = {watch}");
        }
        bench.sandbox.revoke_key();
        bench.write("a.css", "refused");
        let waited = bench.run(&["wait", "www", "--timeout", "3s"]).await;
        assert_eq!(waited.status.code(), Some(75), "{waited:?}");
        let cookies = fs::read_dir(bench.path("state/cookies")).unwrap().count();
        assert_eq!(cookies, 0, "no cookie stays behind");
    }
}
