//! Mounts over an origin and in it: no event tells of them.

use std::fs;

use super::machine::{Mount, may_mount, release, released};
use crate::bench::{Bench, until};

/// Waits until the daemon has taken the root for another so many times.
async fn roots(bench: &Bench, times: usize) {
    until(&format!("{times} roots were found"), async || {
        let log = bench.log();
        (log.matches("the root is there").count() >= times).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_filesystem_over_the_origin_is_an_alarm_and_no_purge() {
    if !may_mount() {
        return;
    }
    let mut bench = Bench::new().await;
    release(&bench.site(), "one");
    bench.start().await;
    let over = Mount::tmpfs(&bench.site());
    bench.alarm("loss").await;
    assert_eq!(bench.purges(), [""; 0]);
    over.off().await;
    bench.no_alarm().await;
    // A visitor may have seen each of them missing.
    bench.rested().await;
    assert_eq!(bench.purges(), released("", &[]));
    // What is watched is what is seen now.
    bench.write("d0/0.css", "two");
    bench.rested().await;
    assert_eq!(bench.purges(), released("", &["/d0/0.css"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tree_bound_over_the_origin_purges_what_differs_and_again_when_it_goes() {
    if !may_mount() {
        return;
    }
    let mut bench = Bench::new().await;
    release(&bench.site(), "one");
    release(&bench.path("next"), "two");
    bench.start().await;
    let over = Mount::bind(&bench.path("next"), &bench.site());
    bench.purged("/d0/0.css").await;
    bench.write("d1/new.css", "seen");
    bench.purged("/d1/new.css").await;
    bench.rested().await;
    assert_eq!(bench.purges(), ["/d0/0.css", "/d1/new.css"]);
    over.off().await;
    let expected = ["/d0/0.css", "/d0/0.css", "/d1/new.css", "/d1/new.css"];
    until("what was before is back", async || {
        (bench.purges() == expected).then_some(())
    })
    .await;
    bench.write("d2/2.css", "two");
    bench.rested().await;
    assert_eq!(bench.purges().len(), 5);
    bench.no_alarm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_directory_mounted_once_more_is_recognised_and_purges_nothing() {
    if !may_mount() {
        return;
    }
    let mut bench = Bench::new().await;
    release(&bench.site(), "one");
    bench.start().await;
    roots(&bench, 1).await;
    // Device and inode are the same.
    let over = Mount::bind(&bench.site(), &bench.site());
    roots(&bench, 2).await;
    bench.write("d0/0.css", "two");
    bench.purged("/d0/0.css").await;
    over.off().await;
    roots(&bench, 3).await;
    bench.write("d1/1.css", "two");
    bench.purged("/d1/1.css").await;
    bench.rested().await;
    assert_eq!(bench.purges(), ["/d0/0.css", "/d1/1.css"]);
    bench.no_alarm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filesystem_that_is_replaced_by_one_with_the_same_numbers_is_compared_anew() {
    if !may_mount() {
        return;
    }
    let mut bench = Bench::new().await;
    let first = Mount::tmpfs(&bench.site());
    release(&bench.site(), "one");
    bench.start().await;
    first.off().await;
    let _second = Mount::tmpfs(&bench.site());
    release(&bench.site(), "two");
    bench.purged("/d0/0.css").await;
    bench.rested().await;
    assert_eq!(bench.purges(), ["/d0/0.css"]);
    bench.no_alarm().await;
    bench.write("d1/1.css", "two");
    bench.purged("/d1/1.css").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filesystem_over_a_directory_of_the_origin_hides_it_and_nothing_is_lost() {
    if !may_mount() {
        return;
    }
    let mut bench = Bench::new().await;
    release(&bench.path("site/most"), "one");
    bench.write("a.css", "one");
    bench.start().await;
    let over = Mount::tmpfs(&bench.path("site/most"));
    bench.alarm("loss").await;
    // It is watched itself.
    bench.write("most/new.css", "new");
    bench.purged("/most/new.css").await;
    bench.write("a.css", "two");
    bench.purged("/a.css").await;
    assert_eq!(bench.purges(), ["/a.css", "/most/new.css"]);
    over.off().await;
    bench.no_alarm().await;
    // What was hidden is purged, since a visitor may have seen it missing, and watched again.
    bench.rested().await;
    fs::write(bench.path("site/most/d0/0.css"), "two").unwrap();
    bench.rested().await;
    let others = ["/a.css", "/most/d0/0.css", "/most/new.css", "/most/new.css"];
    assert_eq!(bench.purges(), released("/most", &others));
    assert_eq!(bench.of_origin().await["drift"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_right_after_a_mount_waits_for_its_purges() {
    if !may_mount() {
        return;
    }
    let mut bench = Bench::new().await;
    release(&bench.site(), "one");
    bench.write("media/a.css", "one");
    release(&bench.path("next"), "two");
    fs::create_dir(bench.path("next/media")).unwrap();
    fs::write(bench.path("next/media/a.css"), "one").unwrap();
    fs::create_dir(bench.path("media")).unwrap();
    fs::write(bench.path("media/a.css"), "two").unwrap();
    bench.start().await;
    let over = Mount::bind(&bench.path("next"), &bench.site());
    bench.rested().await;
    assert_eq!(bench.done(), ["/d0/0.css"], "over the root");
    let below = Mount::bind(&bench.path("media"), &bench.path("site/media"));
    bench.rested().await;
    assert_eq!(bench.done(), ["/d0/0.css", "/media/a.css"], "in the root");
    below.off().await;
    bench.rested().await;
    over.off().await;
    bench.rested().await;
    let expected = ["/d0/0.css", "/media/a.css", "/media/a.css", "/d0/0.css"];
    assert_eq!(bench.done(), expected, "and when they go");
}
