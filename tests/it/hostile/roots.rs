//! Roots that come and go, and the way to them.

use std::fs;

use super::machine::release;
use crate::bench::{Bench, sh};

/// How often the one file that differs between releases was purged, and the one that was written.
fn counts(bench: &Bench) -> [usize; 2] {
    let purges = bench.purges();
    ["/d0/0.css", "/d1/1.css"].map(|name| purges.iter().filter(|asset| *asset == name).count())
}

/// A file is written, and written back.
async fn there_and_back(bench: &Bench) {
    for content in ["other", "1 same"] {
        bench.write("d1/1.css", content);
        bench.rested().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_is_deleted_and_made_anew_is_watched_again() {
    let mut bench = Bench::new().await;
    // Nothing is missed for longer, however busy the machine is.
    bench.origin = "gone_after = \"1m\"".to_owned();
    release(&bench.site(), "zero");
    bench.start().await;
    for (nth, own) in ["one", "two"].into_iter().enumerate() {
        sh(&bench, "rm -rf site");
        bench.alarm("root_missing").await;
        assert_eq!(counts(&bench), [nth, 2 * nth]);
        release(&bench.path("next"), own);
        sh(&bench, "mv next site");
        bench.no_alarm().await;
        bench.rested().await;
        assert_eq!(counts(&bench), [nth + 1, 2 * nth]);
        there_and_back(&bench).await;
        assert_eq!(counts(&bench), [nth + 1, 2 * nth + 2]);
    }
    assert_eq!(bench.purges().len(), 6);
    assert_eq!(bench.of_origin().await["scans"]["rescan"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_behind_two_links_follows_whatever_is_replaced_on_the_way() {
    let mut bench = Bench::new().await;
    fs::remove_dir(bench.site()).unwrap();
    for own in ["1", "2"] {
        release(&bench.path(&format!("srv/releases/{own}/public")), own);
    }
    release(&bench.path("srv2/releases/1/public"), "other");
    sh(
        &bench,
        "ln -s releases/1 srv/current; ln -s releases/1 srv2/current; ln -s srv/current/public site",
    );
    bench.start().await;
    let steps = [
        // The second link.
        "ln -s releases/2 srv/next; mv -T srv/next srv/current",
        // An ancestor goes, and another comes in its place.
        "mv srv gone; mv srv2 srv",
        // And back.
        "mv srv srv2; mv gone srv",
        // The first link.
        "ln -s srv2/current/public next; mv -T next site",
    ];
    for (nth, step) in steps.into_iter().enumerate() {
        sh(&bench, step);
        // A deploy script that waits need not know how it is noticed.
        bench.rested().await;
        assert_eq!(counts(&bench), [nth + 1, 2 * nth], "{step}");
        there_and_back(&bench).await;
        assert_eq!(counts(&bench), [nth + 1, 2 * nth + 2], "{step}");
    }
    assert_eq!(bench.purges().len(), 12);
    bench.no_alarm().await;
    assert_eq!(bench.of_origin().await["scans"]["rescan"], 0);
    // What is written in each of these roots is noticed by its events.
    let log = bench.log();
    let watched = "source=\"watch\" kind=\"changed\" target=Asset(Asset(\"/d1/1.css\"))";
    assert_eq!(log.matches(watched).count(), 8, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_made_and_filled_at_once_are_complete() {
    let mut bench = Bench::new().await;
    release(&bench.path("tree"), "one");
    bench.pipeline = "all_above = 50".to_owned();
    bench.start().await;
    sh(
        &bench,
        "for n in $(seq 1 30); do
           mkdir -p site/$n/a/b; cp -r tree/. site/$n/a/b/; mv site/$n site/m$n
         done",
    );
    bench.rested().await;
    let origin = bench.of_origin().await;
    assert_eq!(origin["indexed_files"], 900, "{origin}");
    assert_eq!(origin["watched_directories"], 1 + 30 * 6, "{origin}");
    // Each of them is watched under its last name.
    let before = bench.purges();
    assert!(before.iter().all(|asset| asset == "*"), "{before:?}");
    for n in [1, 15, 30] {
        bench.write(&format!("m{n}/a/b/d2/2.css"), "other");
    }
    bench.rested().await;
    let expected = ["/m1/a/b/d2/2.css", "/m15/a/b/d2/2.css", "/m30/a/b/d2/2.css"];
    assert_eq!(
        bench.purges(),
        [before, expected.map(str::to_owned).to_vec()].concat()
    );
    assert_eq!(bench.of_origin().await["drift"], 0);
}
