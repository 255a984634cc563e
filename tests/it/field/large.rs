//! Files that take long to read hold up nothing else.

use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use super::{SOON, count, purged_times, quick, sparse, stale, timed, urls, visit, within};
use crate::bench::{Bench, text};
use crate::reported;

/// Reading it takes longer than any of these tests.
const HUGE: u64 = 90 << 30;

/// A daemon that is at rest, and then has a huge file to read.
async fn arrived() -> Bench {
    let mut bench = quick("debounce = \"100ms\"", "write_wait = \"1s\"").await;
    bench.write("page.html", "old");
    bench.write("other.html", "old");
    bench.start().await;
    visit(&bench, &urls(&["page.html", "other.html"])).await;
    let huge = sparse(&bench, "huge", HUGE);
    fs::create_dir(bench.path("site/exports")).unwrap();
    fs::rename(huge, bench.path("site/exports/dump.bin")).unwrap();
    is_read(&bench).await;
    bench
}

/// Waits until the daemon is in the middle of something large.
async fn is_read(bench: &Bench) {
    let io = || {
        let io = fs::read_to_string(format!("/proc/{}/io", bench.pid())).unwrap();
        let read = io.lines().find_map(|line| line.strip_prefix("rchar: "));
        read.unwrap().parse::<u64>().unwrap()
    };
    let before = io();
    within(SOON, "it is read", async || {
        (io() - before > 1 << 28).then_some(())
    })
    .await;
}

/// Waits until a purge of an asset was asked for; that has to be long before the huge file is read.
async fn is_sent(bench: &Bench, asset: &str) {
    within(Duration::from_secs(10), asset, async || {
        let requests = bench.requests();
        let mut sent = requests.iter().flat_map(|request| &request.assets);
        sent.any(|sent| sent == asset).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_changes_while_a_huge_file_is_read_is_purged_at_once() {
    let bench = arrived().await;
    for page in ["page.html", "other.html", "new.html"] {
        bench.write(page, "new");
        is_sent(&bench, &format!("/{page}")).await;
    }
    purged_times(&bench, "/page.html", 1).await;
    let stale = stale(&bench, &urls(&["page.html"])).await;
    assert!(stale.is_empty(), "{stale:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_for_long_is_named_by_status_and_wait() {
    let bench = arrived().await;
    within(Duration::from_secs(10), "status names it", async || {
        let status = bench.run(&["--format", "json", "status"]).await;
        let status = serde_json::from_slice(&status.stdout).ok()?;
        let waiting = reported::waiting(&status);
        let named = waiting.iter().any(|(path, _)| path == "exports/dump.bin");
        (named && !reported::fresh(&status)).then_some(())
    })
    .await;
    let shown = bench.run(&["status"]).await;
    let shown = text(&shown.stdout);
    assert!(shown.contains("exports/dump.bin"), "{shown}");
    let waited = bench.run(&["wait", "www", "--timeout", "2s"]).await;
    assert_eq!(waited.status.code(), Some(75), "{waited:?}");
    let said = text(&waited.stderr);
    assert!(said.contains("exports/dump.bin"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_and_a_stop_wait_for_no_read() {
    let mut bench = arrived().await;
    "debounce = \"150ms\"".clone_into(&mut bench.pipeline);
    let ((), took) = timed(bench.reload()).await;
    assert!(took < Duration::from_secs(5), "reloaded after {took:?}");
    bench.write("page.html", "new");
    let ((), took) = timed(purged_times(&bench, "/page.html", 1)).await;
    assert!(took < Duration::from_secs(5), "purged after {took:?}");
    let (code, took) = timed(bench.terminate()).await;
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(3), "stopped after {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_grows_faster_than_it_is_read_is_purged_and_holds_up_no_page() {
    let bench = arrived().await;
    fs::remove_file(bench.path("site/exports/dump.bin")).unwrap();
    let export = bench.path("site/exports/all.csv");
    fs::rename(sparse(&bench, "all", 2 << 30), &export).unwrap();
    purged_times(&bench, "/exports/all.csv", 1).await;
    let began = Instant::now();
    let mut pages = 0;
    while count(&bench, "/exports/all.csv") == 1 || pages < 3 {
        let took = began.elapsed();
        assert!(
            took < Duration::from_secs(25),
            "{took:?}: {:?}",
            bench.done()
        );
        let mut file = fs::File::options().append(true).open(&export).unwrap();
        file.write_all(b"row\n").unwrap();
        drop(file);
        pages += 1;
        bench.write(&format!("page-{pages}.html"), "new");
        is_sent(&bench, &format!("/page-{pages}.html")).await;
    }
}
