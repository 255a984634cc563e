//! Deploys that swap whole trees, and origins that vanish: only what differs is purged, and what is
//! not there is no reason to purge.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::bench::{Bench, sh, until};
use crate::reported;

/// Longer than the default of `gone_after`.
const GONE_AFTER: Duration = Duration::from_millis(2_500);

/// A release of so many files; `differs` of them are its own.
fn release(root: &Path, files: usize, differs: usize, own: &str) {
    for number in 0..files {
        let path = root.join(format!("d{}/{number}.css", number % 20));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let content = if number % (files / differs) == 0 && number / (files / differs) < differs {
            own
        } else {
            "same"
        };
        fs::write(path, format!("{number} {content}")).unwrap();
    }
}

fn differing(files: usize, differs: usize) -> Vec<String> {
    let mut names: Vec<String> = (0..differs)
        .map(|n| n * (files / differs))
        .map(|number| format!("/d{}/{number}.css", number % 20))
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn swapping_current_between_releases_purges_what_differs() {
    let mut bench = Bench::new().await;
    fs::remove_dir(bench.site()).unwrap();
    for own in ["one", "two", "three"] {
        release(&bench.path("releases").join(own), 2_000, 7, own);
    }
    sh(&bench, "ln -s releases/one site");
    bench.start().await;
    sh(&bench, "ln -sfn releases/two site");
    until("the new release is noticed", async || {
        (bench.purges().len() >= 7).then_some(())
    })
    .await;
    bench.rested().await;
    assert_eq!(bench.purges(), differing(2_000, 7));

    // A new link renamed over the old one.
    let before = bench.purges().len();
    sh(&bench, "ln -s releases/three next; mv -T next site");
    until("the next release is noticed", async || {
        (bench.purges().len() >= before + 7).then_some(())
    })
    .await;
    bench.rested().await;
    assert_eq!(bench.purges().len(), 14);
    // The daemon watches the release that is served now.
    fs::write(bench.path("releases/three/d0/new.css"), "new").unwrap();
    bench.purged("/d0/new.css").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_moved_over_the_origin_purges_what_differs() {
    let mut bench = Bench::new().await;
    release(&bench.site(), 1_000, 5, "one");
    release(&bench.path("next"), 1_000, 5, "two");
    bench.start().await;
    sh(&bench, "mv site old; mv next site");
    until("the new tree is noticed", async || {
        (bench.purges().len() >= 5).then_some(())
    })
    .await;
    bench.rested().await;
    assert_eq!(bench.purges(), differing(1_000, 5));
    bench.no_alarm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_files_rewritten_in_five_ways_purge_nothing_and_twelve_changes_twelve() {
    let mut bench = Bench::new().await;
    release(&bench.site(), 5_000, 12, "one");
    release(&bench.path("next"), 5_000, 12, "two");
    // Longer than a loaded machine pauses in the middle of a copy, so that a copy is one batch.
    bench.pipeline = "debounce = \"5s\"\nmax_wait = \"1m\"".to_owned();
    bench.start().await;
    for rewrite in [
        "cp -a site copy; cp -rp copy/. site/",
        "cp -r copy/. site/",
        "rsync -r copy/ site/ || cp -r copy/. site/",
        "find site -name '*.css' -exec touch {} +",
        "rm -rf moved; cp -r copy moved; for d in moved/*; do mv -f $d/*.css site/${d#moved/}/; done",
    ] {
        sh(&bench, rewrite);
        bench.rested().await;
        assert_eq!(bench.purges(), Vec::<String>::new(), "{rewrite}");
    }
    sh(&bench, "cp -r next/. site/");
    bench.rested().await;
    assert_eq!(bench.purges(), differing(5_000, 12));
    let requests = bench.requests().len();
    assert!(requests <= 4, "12 assets in {requests} requests of 5");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_vanishes_is_an_alarm_and_no_purge() {
    let mut bench = Bench::new().await;
    release(&bench.site(), 300, 3, "one");
    bench.start().await;
    sh(&bench, "cp -a site kept");
    sh(&bench, "rm -rf site");
    bench.alarm("root_missing").await;
    assert_eq!(bench.purges(), Vec::<String>::new());
    let check = bench.run(&["status", "--check"]).await;
    assert_eq!(check.status.code(), Some(1));

    // Back, and empty: still no reason to believe it.
    sh(&bench, "mkdir site");
    bench.alarm("loss").await;
    until("all of them are held back", async || {
        let status = bench.status().await;
        (reported::origin(&status)["held"]["files"] == 300).then_some(())
    })
    .await;
    // Not a wait for something: what is back within `gone_after` is no change.
    tokio::time::sleep(GONE_AFTER).await;
    assert_eq!(bench.purges(), Vec::<String>::new());

    sh(&bench, "echo two > kept/d0/0.css; cp -a kept/. site/");
    bench.no_alarm().await;
    bench.rested().await;
    // A visitor may have seen each of them missing: all are purged, and each once.
    let mut purges = bench.purges();
    assert_eq!(purges.len(), 300);
    purges.dedup();
    assert_eq!(purges.len(), 300);
    // And it is watched again.
    fs::write(bench.site().join("d1/new.css"), "new").unwrap();
    bench.purged("/d1/new.css").await;
}

/// Swaps again and again by a script, and waits right after it. `$n` is a release with a file of
/// its own, which is what has to be purged by then; `$m` is the one before.
async fn swapped_and_waited(bench: &Bench, numbers: std::ops::Range<u32>, swap: &str) {
    for number in numbers {
        let release = format!(
            "n={number}; m={}; mkdir -p r$n; echo new > r$n/$n.css;",
            number - 1
        );
        sh(bench, &format!("{release} {swap}"));
        bench.rested().await;
        let (done, asset) = (bench.done(), format!("/{number}.css"));
        assert!(done.contains(&asset), "{asset} after {swap:?}: {done:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_right_after_a_swap_waits_for_its_purges() {
    let mut bench = Bench::new().await;
    fs::remove_dir(bench.site()).unwrap();
    sh(&bench, "mkdir r0; ln -s r0 site");
    bench.pipeline = "debounce = \"50ms\"".to_owned();
    bench.origin = "gone_after = \"200ms\"".to_owned();
    bench.start().await;
    let swaps = [
        "ln -sfn r$n site",
        "ln -s r$n next; mv -T next site",
        "rm site; ln -s r$n site",
        // Swapped twice.
        "mkdir -p other; ln -sfn other site; ln -sfn r$n site",
    ];
    for (first, swap) in (1..).step_by(4).zip(swaps) {
        swapped_and_waited(&bench, first..first + 4, swap).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_right_after_a_rename_of_the_root_waits_for_its_purges() {
    let mut bench = Bench::new().await;
    bench.pipeline = "debounce = \"50ms\"".to_owned();
    bench.origin = "gone_after = \"200ms\"".to_owned();
    bench.start().await;
    let swaps = [
        "mv site old; mv r$n site; rm -rf old",
        "rm -rf site; mv r$n site",
        "rm -rf site; mkdir site; mv r$n/$n.css site",
    ];
    for (first, swap) in (1..).step_by(4).zip(swaps) {
        swapped_and_waited(&bench, first..first + 4, swap).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_right_after_a_swap_on_the_way_to_the_root_waits_for_its_purges() {
    let mut bench = Bench::new().await;
    fs::remove_dir(bench.site()).unwrap();
    // The root is below a link to a link, each in a directory of its own.
    sh(
        &bench,
        "mkdir -p r0 x0; ln -s ../r0 x0/now; ln -s x0/now live; ln -s live/. site",
    );
    bench.pipeline = "debounce = \"50ms\"".to_owned();
    bench.origin = "gone_after = \"200ms\"".to_owned();
    bench.start().await;
    let swaps = [
        "ln -sfn ../r$n x0/now",
        "rm x0/now; ln -s ../r$n x0/now; ln -sfn x0/now live",
        // Another way, and at its end it is swapped once more, where nothing was watched.
        "mkdir x$n; ln -s ../r$m x$n/now; ln -sfn x$n/now live; ln -sfn ../r$n x$n/now",
    ];
    for (first, swap) in (1..).step_by(4).zip(swaps) {
        swapped_and_waited(&bench, first..first + 4, swap).await;
    }
}
