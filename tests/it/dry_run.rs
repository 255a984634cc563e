//! `run --dry-run`: beside the real daemon, it says what it would send, and sends nothing.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use crate::bench::{Bench, LIMIT, until};

/// Waits until it watches.
async fn ready(dry: &mut Child) {
    let mut log = BufReader::new(dry.stderr.take().unwrap()).lines();
    let ready = async {
        while let Some(line) = log.next_line().await.unwrap() {
            assert!(!line.contains("webhooks are taken"), "{line}");
            if line.contains("ready: every origin is watched") {
                return;
            }
        }
        panic!("it ended before it was ready");
    };
    tokio::time::timeout(LIMIT, ready).await.expect("it starts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_of_a_node_asks_no_database() {
    let mut bench = Bench::new().await;
    bench.state = "database_url_file = \"/nowhere\"\nnode = \"web-1\"".to_owned();
    bench.config();
    let dry = bench
        .command(&["run", "--dry-run"])
        .stderr(Stdio::piped())
        .spawn();
    ready(&mut dry.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_it_would_send_and_sends_nothing() {
    let mut bench = Bench::new().await;
    bench.origin.push_str(
        "\n[[pipeline.webhook]]\nroute = \"/hooks/www\"\nkind = \"generic\"\nauth = \"none\"\n",
    );
    bench
        .scaleway
        .push_str("\n[webhooks]\nlisten = \"127.0.0.1:0\"\n");
    bench.write("a.css", "one");
    bench.start().await;
    bench.settle().await;
    // The real one is stopped halfway, so that all that reaches the API is the other's doing.
    let mut dry = bench
        .command(&["run", "--dry-run"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    ready(&mut dry).await;
    assert_eq!(bench.terminate().await, Some(0));
    let before = bench.requests().len();

    bench.write("a.css", "two");
    bench.write("b.css", "new");
    let mut said = BufReader::new(dry.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(LIMIT, said.next_line()).await;
    let line = line.expect("it says so in time").unwrap().unwrap();
    assert_eq!(line, "would purge www: /a.css /b.css");
    let pid = dry.id().unwrap().to_string();
    let sent = std::process::Command::new("kill").arg(pid).status();
    assert!(sent.unwrap().success());
    assert_eq!(dry.wait().await.unwrap().code(), Some(0));
    assert_eq!(bench.requests().len(), before, "nothing was sent");

    // What the real one knows was not touched: it finds the changes itself.
    bench.start().await;
    until("the real one purges", async || {
        (bench.purges() == ["/a.css", "/b.css"]).then_some(())
    })
    .await;
}
