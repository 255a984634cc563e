//! What changes while the contents of a site were not all read yet.

use std::fs;

use super::{pages, purged_times, quick, sparse, stale, visit};
use crate::bench::{Bench, sh};
use crate::reported;

/// It takes longer to read than these tests last, and its name comes first.
const HUGE: u64 = 8 << 30;

/// A daemon that reads, and will for long.
async fn reading() -> Bench {
    let mut bench = quick("debounce = \"100ms\"", "").await;
    pages(&bench.site(), 0..6, "old");
    pages(&bench.path("build"), 0..6, "new");
    fs::rename(sparse(&bench, "huge", HUGE), bench.path("site/0.bin")).unwrap();
    // Builds that can be repeated have the time of their commit on every file.
    sh(
        &bench,
        "find site build -name '*.html' -exec touch -d @1700000000 {} +",
    );
    bench.spawn();
    bench.started(|_| true).await;
    let status = bench.status().await;
    assert!(reported::unread(&status) > 0, "it reads no more: {status}");
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_replaced_with_size_and_time_of_before_is_purged_while_contents_are_unread()
{
    let bench = reading().await;
    visit(&bench, &["/d2/page-2.html".to_owned()]).await;
    sh(&bench, "cp -a build/d2/page-2.html site/d2/page-2.html");
    purged_times(&bench, "/d2/page-2.html", 1).await;
    assert!(
        stale(&bench, &["/d2/page-2.html".to_owned()])
            .await
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn and_so_is_one_that_is_replaced_while_the_daemon_is_down() {
    let mut bench = reading().await;
    visit(&bench, &["/d3/page-3.html".to_owned()]).await;
    bench.kill().await;
    sh(&bench, "cp -a build/d3/page-3.html site/d3/page-3.html");
    bench.spawn();
    bench.started(|_| true).await;
    purged_times(&bench, "/d3/page-3.html", 1).await;
    assert!(
        stale(&bench, &["/d3/page-3.html".to_owned()])
            .await
            .is_empty()
    );
    assert_eq!(bench.purges(), ["/d3/page-3.html"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_unread_contents_purges_nothing_that_did_not_change() {
    let mut bench = reading().await;
    bench.kill().await;
    bench.spawn();
    bench.started(|_| true).await;
    bench.write("mark.html", "new");
    purged_times(&bench, "/mark.html", 1).await;
    assert_eq!(bench.purges(), ["/mark.html"]);
}
