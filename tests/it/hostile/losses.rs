//! Events that never come, and kills at the worst moment.

use std::fs;

use super::machine::signal;
use crate::bench::{Bench, until};

/// Events that the kernel keeps for one who does not read them, where they are not too many to fill.
pub(crate) fn queue() -> Option<usize> {
    let queue = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let queue = queue.trim().parse().unwrap();
    if queue > 500_000 {
        crate::bench::skip(&format!(
            "fs.inotify.max_queued_events is {queue}: it takes too long to fill that"
        ));
        return None;
    }
    Some(queue)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overflow_loses_no_change_and_purges_nothing_else() {
    let Some(queue) = queue() else {
        return;
    };
    let mut bench = Bench::new().await;
    for number in 0..200 {
        bench.write(&format!("{}/{number}.css", number % 10), "same");
    }
    bench.start().await;
    // The daemon reads nothing while everything is written again and again, with the same bytes.
    signal(&bench, "-STOP");
    for event in 0..=queue {
        let number = event % 200;
        let path = bench.site().join(format!("{}/{number}.css", number % 10));
        fs::write(path, "same").unwrap();
    }
    bench.write("3/13.css", "other");
    bench.write("new/deep/1.css", "new");
    fs::remove_file(bench.path("site/4/4.css")).unwrap();
    signal(&bench, "-CONT");
    until("the overflow is noticed", async || {
        (bench.of_origin().await["lost_events"].as_u64() > Some(0)).then_some(())
    })
    .await;
    bench.rested().await;
    assert_eq!(bench.purges(), ["/3/13.css", "/4/4.css", "/new/deep/1.css"]);
    let origin = bench.of_origin().await;
    assert_eq!(origin["drift"], 0);
    assert!(origin["scans"]["overflow"].as_u64() > Some(0), "{origin}");
    // What was made while nobody read is watched.
    bench.write("new/deep/1.css", "newer");
    bench.settle().await;
    assert_eq!(bench.purges().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_event_tells_the_background_scan_finds_and_counts_as_drift() {
    let mut bench = Bench::new().await;
    bench.origin = "rescan = \"1s\"".to_owned();
    bench.write("a.css", "one");
    // Written through a name outside of the origin, the kernel tells nobody in it.
    fs::hard_link(bench.path("site/a.css"), bench.path("outside.css")).unwrap();
    bench.start().await;
    bench.settle().await;
    assert_eq!(bench.of_origin().await["drift"], 0);
    fs::write(bench.path("outside.css"), "two").unwrap();
    bench.purged("/a.css").await;
    until("it is counted", async || {
        (bench.of_origin().await["drift"] == 1).then_some(())
    })
    .await;
    // What an event tells is none.
    bench.write("b.css", "new");
    bench.settle().await;
    assert_eq!(bench.of_origin().await["drift"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_the_commits_of_queue_and_index_the_way_back_is_purged_too() {
    let mut bench = Bench::new().await;
    bench.write("a.css", "one");
    bench.start().await;
    bench.settle().await;
    // Nobody can write to the index: the queue has the change, the index has not.
    let index = rusqlite::Connection::open(bench.path("state/index.db")).unwrap();
    index.execute_batch("BEGIN IMMEDIATE").unwrap();
    bench.write("a.css", "two");
    bench.purged("/a.css").await;
    bench.kill().await;
    index.execute_batch("ROLLBACK").unwrap();
    drop(index);
    assert_eq!(bench.fetch("/a.css").await.2, "two");
    // As the index remembers it: without the queue's facts this would be no change.
    bench.write("a.css", "one");
    bench.start().await;
    bench.settle().await;
    assert_eq!(bench.purges(), ["/a.css", "/a.css"]);
    assert_eq!(bench.fetch("/a.css").await.2, "one");
}
