//! Scans: on request, in the background, and what they must not do.

use std::time::Duration;

use super::harness::{LIMIT, Site, changed, gone, new, until};
use crate::origin::{FollowSymlinks, ScanError, ScanReason, WatchMode};

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_on_request_answers_when_everything_is_told() {
    let mut site = Site::new();
    site.settings.watch = WatchMode::Off;
    site.write("old.html", "old");
    site.start().await;
    site.rested().await;
    site.write("index.html", "other");
    site.write("new.html", "new");
    std::fs::remove_file(site.path("old.html")).unwrap();
    let scan = site.handle().scan(ScanReason::Request, false);
    let summary = tokio::time::timeout(LIMIT, scan).await.unwrap().unwrap();
    assert_eq!((summary.new, summary.changed, summary.gone), (1, 1, 1));
    let expected = [changed("index.html"), new("new.html"), gone("old.html")];
    assert_eq!(site.take(), expected);
    assert_eq!(site.status().scans[&ScanReason::Request], 1);
    assert_eq!(site.status().drift_total, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_background_scan_finds_is_drift() {
    let mut site = Site::new();
    site.settings.rescan = Duration::from_millis(500);
    let outside = site.outside().join("twin.html");
    std::fs::write(&outside, "one").unwrap();
    std::fs::hard_link(&outside, site.path("twin.html")).unwrap();
    site.start().await;
    std::fs::write(&outside, "two").unwrap();
    until("the rescan tells", || {
        site.reported() == [changed("twin.html")]
    })
    .await;
    until("it counts as drift", || site.status().drift_total == 1).await;
    assert!(site.status().scans[&ScanReason::Rescan] > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_asked_for_when_it_stops_is_answered_too() {
    let mut site = Site::new();
    site.start().await;
    let handle = site.handle().clone();
    site.stop().await;
    let scan = tokio::time::timeout(LIMIT, handle.scan(ScanReason::Request, false));
    assert_eq!(scan.await.unwrap(), Err(ScanError::Stopping));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sudden_loss_is_an_alarm_and_ends_by_itself() {
    let mut site = Site::new();
    for n in 0..40 {
        site.write(&format!("d/{n}.html"), "x");
    }
    site.start().await;
    site.sh("mv d ../d");
    until("the alarm", || site.alarm("loss")).await;
    site.quiet().await;
    assert_eq!(site.take(), []);
    assert!(site.status().indexed_files >= 41);
    site.sh("mv ../d d");
    until("the alarm is over", || !site.alarm("loss")).await;
    // Visitors may have got 404s meanwhile.
    let mut back: Vec<_> = (0..40).map(|n| new(&format!("d/{n}.html"))).collect();
    back.sort();
    assert_eq!(site.news().await, back);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_that_is_meant_so_is_told() {
    let mut site = Site::new();
    site.settings.watch = WatchMode::Off;
    for n in 0..40 {
        site.write(&format!("d/{n}.html"), "x");
    }
    site.start().await;
    site.rested().await;
    site.sh("rm -rf d");
    let summary = site
        .handle()
        .scan(ScanReason::Request, false)
        .await
        .unwrap();
    assert!(summary.held);
    assert_eq!(site.take(), []);
    let summary = site.handle().scan(ScanReason::Request, true).await.unwrap();
    assert_eq!((summary.held, summary.gone), (false, 40));
    assert_eq!(site.take().len(), 40);
    until("the alarm is over", || !site.alarm("loss")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_listed_hides_nothing() {
    if rustix::process::geteuid().is_root() {
        // Nothing is unreadable for root; a file in the place of a mode does not exist either.
        println!("skipped: root may list every directory");
        return;
    }
    let mut site = Site::new();
    site.write("d/a.html", "a");
    site.start().await;
    site.sh("chmod 000 d");
    let reported = site.news().await;
    site.sh("chmod 755 d");
    let back = site.news().await;
    assert!(!reported.contains(&gone("d/a.html")), "{reported:?}");
    assert!(!back.contains(&new("d/a.html")), "{back:?}");
    site.write("d/b.html", "b");
    assert_eq!(site.news().await, [new("d/b.html")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_enters_or_leaves_by_a_change_of_the_configuration_is_not_purged() {
    let mut site = Site::new();
    site.settings.ignore = vec!["*.map".to_owned()];
    site.write("a.map", "map");
    site.write("a.css", "css");
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("o.css"), "o").unwrap();
    std::os::unix::fs::symlink(outside.path().join("o.css"), site.path("link.css")).unwrap();
    site.start().await;
    site.stop().await;

    site.settings.ignore = vec!["*.css".to_owned()];
    site.settings.follow_symlinks = FollowSymlinks::Root;
    site.start().await;
    assert_eq!(site.news().await, []);
    site.write("a.map", "other");
    site.write("a.css", "other");
    assert_eq!(site.news().await, [changed("a.map")]);
    site.stop().await;

    // What came while it was ignored is new all the same.
    site.settings.ignore = Vec::new();
    site.settings.follow_symlinks = FollowSymlinks::Any;
    site.write("late.html", "late");
    site.start().await;
    assert_eq!(site.news().await, [new("late.html")]);
    site.write("a.css", "third");
    assert_eq!(site.news().await, [changed("a.css")]);
}
