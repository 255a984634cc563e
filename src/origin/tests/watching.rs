//! What is watched: no more than counts, and nothing less than what a file of the origin hangs on.

use std::os::unix::fs::symlink;
use std::time::Duration;

use super::harness::{Site, changed, gone, new, until};
use crate::origin::ScanReason;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ignored_costs_no_watch() {
    let mut site = Site::new();
    site.settings.ignore = vec!["cache/".to_owned()];
    site.write("a/b.html", "b");
    site.write("cache/1/2/3/x", "x");
    site.write(".git/objects/00/x", "x");
    site.start().await;
    site.rested().await;
    assert_eq!(site.status().watched_directories, 2);
    site.sh("mkdir -p cache/4/5 n/o; echo x > cache/4/5/x; echo x > n/o/x.html");
    assert_eq!(site.news().await, [new("n/o/x.html")]);
    assert_eq!(site.status().watched_directories, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_target_of_a_link_to_a_file_is_watched_wherever_it_is() {
    let mut site = Site::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("page.html");
    std::fs::write(&target, "one").unwrap();
    symlink(&target, site.path("page.html")).unwrap();
    site.write(".hidden/data.json", "1");
    symlink(".hidden/data.json", site.path("data.json")).unwrap();
    site.start().await;
    site.rested().await;
    std::fs::write(&target, "two").unwrap();
    until("it is reported", || {
        site.reported() == [changed("page.html")]
    })
    .await;
    site.take();
    let next = elsewhere.path().join("next");
    std::fs::write(&next, "three").unwrap();
    std::fs::rename(&next, &target).unwrap();
    until("it is reported", || {
        site.reported() == [changed("page.html")]
    })
    .await;
    site.take();
    site.write(".hidden/data.json", "2");
    until("it is reported", || {
        site.reported() == [changed("data.json")]
    })
    .await;
    // By the events: no background scan was made.
    assert_eq!(site.status().scans[&ScanReason::Rescan], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_target_of_a_link_is_watched_again_after_a_directory_above_it_was_replaced() {
    let mut site = Site::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let above = elsewhere.path().join("shared");
    let target = above.join("assets");
    std::fs::create_dir_all(&target).unwrap();
    std::fs::write(target.join("a.css"), "one").unwrap();
    symlink(&target, site.path("assets")).unwrap();
    site.start().await;
    site.rested().await;
    std::fs::rename(&above, elsewhere.path().join("before")).unwrap();
    std::fs::create_dir_all(&target).unwrap();
    std::fs::write(target.join("a.css"), "two").unwrap();
    until("the new target is noticed", || {
        site.reported() == [changed("assets/a.css")]
    })
    .await;
    site.take();
    std::fs::write(target.join("b.css"), "b").unwrap();
    until("its events are noticed", || {
        site.reported() == [new("assets/b.css")]
    })
    .await;
    // No background scan found them.
    assert_eq!(site.status().scans[&ScanReason::Rescan], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_watched_under_its_new_name_and_not_where_it_was() {
    let mut site = Site::new();
    site.write("a/b/c.html", "c");
    site.start().await;
    site.sh("mv a z");
    assert_eq!(site.news().await, [gone("a/b/c.html"), new("z/b/c.html")]);
    site.write("z/b/c.html", "other");
    assert_eq!(site.news().await, [changed("z/b/c.html")]);
    // Another takes the name; both are reported.
    site.sh("mkdir -p a/b; echo new > a/b/c.html; echo more > z/b/d.html");
    assert_eq!(site.news().await, [new("a/b/c.html"), new("z/b/d.html")]);
    site.sh("mv z ../away; mv a z; echo 3 > z/b/c.html; echo unseen > ../away/b/c.html");
    let expected = [
        gone("a/b/c.html"),
        changed("z/b/c.html"),
        gone("z/b/d.html"),
    ];
    assert_eq!(site.news().await, expected);
    assert_eq!(site.status().watched_directories, 3);
    site.sh("mv ../away back");
    assert_eq!(
        site.news().await,
        [new("back/b/c.html"), new("back/b/d.html")]
    );
    site.sh("echo 4 > back/b/d.html");
    assert_eq!(site.news().await, [changed("back/b/d.html")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_directories_change_places() {
    let mut site = Site::new();
    site.write("a/x.html", "ax");
    site.write("b/x.html", "bx");
    site.start().await;
    site.sh("mv a t; mv b a; mv t b");
    assert_eq!(
        site.news().await,
        [changed("a/x.html"), changed("b/x.html")]
    );
    site.sh("echo 1 > a/x.html; echo 2 > b/y.html");
    assert_eq!(site.news().await, [changed("a/x.html"), new("b/y.html")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_that_move_all_the_time_are_never_lost_sight_of() {
    let mut site = Site::new();
    site.start().await;
    site.sh("mkdir -p p/0 q
             for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
               mkdir -p p/$n/deep/er; mv p/$((n-1)) q/$n; mv q/$n/* p/ 2>/dev/null || true
               echo $n > q/$n/page.html; mv p/$n q/$n/inner; mkdir p/$n; echo $n > q/$n/inner/deep/er/low.html
             done");
    let reported = site.news().await;
    for n in 1..=20 {
        for page in [
            format!("q/{n}/page.html"),
            format!("q/{n}/inner/deep/er/low.html"),
        ] {
            assert!(reported.contains(&new(&page)), "{page}");
        }
    }
    site.sh("for f in $(find . -name '*.html'); do echo again > $f; done");
    let reported = site.news().await;
    assert_eq!(reported.len(), 41, "{reported:?}");
    assert_eq!(site.status().drift_total, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ancestor_that_is_renamed_is_noticed_at_once() {
    let mut site = Site::new();
    let (base, away) = (site.outside().join("srv"), site.outside().join("srv.old"));
    std::fs::create_dir_all(&base).unwrap();
    std::fs::rename(site.root(), base.join("www")).unwrap();
    symlink("srv/www", site.outside().join("link")).unwrap();
    site.settings.root = site.outside().join("link");
    // Later than this test ends: what is reported, an event reported.
    site.settings.rescan = Duration::from_hours(10);
    site.start().await;
    site.rested().await;
    std::fs::rename(&base, &away).unwrap();
    until("the alarm", || site.alarm("root_missing")).await;
    std::fs::create_dir_all(base.join("www")).unwrap();
    std::fs::write(base.join("www/index.html"), "home").unwrap();
    std::fs::write(base.join("www/a.html"), "a").unwrap();
    until("the alarm is over", || !site.alarm("root_missing")).await;
    until("it is reported", || site.reported() == [new("a.html")]).await;
    site.take();
    site.write("b.html", "b");
    assert_eq!(site.news().await, [new("b.html")]);
}
