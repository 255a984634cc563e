//! Directories that may not be entered: what nobody can see is not gone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::machine::{has, release};
use crate::bench::{Bench, until};

/// A daemon that permissions hold for. Root is given up by giving up what makes it pass them; files
/// are its own all the same.
async fn ordinary() -> Option<Bench> {
    let mut bench = Bench::new().await;
    if rustix::process::geteuid().is_root() {
        if !has("setpriv") {
            return None;
        }
        let without = "--bounding-set=-dac_override,-dac_read_search";
        bench.within = ["setpriv", without].map(str::to_owned).to_vec();
    }
    Some(bench)
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Everything is looked at, by the operator's order.
async fn scanned(bench: &Bench) {
    let scanned = bench.run(&["scan", "www", "--apply"]).await;
    assert!(scanned.status.success(), "{scanned:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_directory_that_is_closed_are_not_gone_and_are_compared_when_it_opens() {
    let Some(mut bench) = ordinary().await else {
        return;
    };
    release(&bench.site(), "one");
    release(&bench.path("site/most/deep"), "one");
    bench.start().await;
    let closed = bench.path("site/most");
    mode(&closed, 0o000);
    until("it is said", async || {
        bench.log().contains("can't be listed").then_some(())
    })
    .await;
    // More than once, and longer than what is gone has to stay so.
    scanned(&bench).await;
    scanned(&bench).await;
    bench.write("d1/1.css", "two");
    bench.settle().await;
    assert_eq!(bench.purges(), ["/d1/1.css"]);
    let said = bench.alarm("unreadable").await;
    assert!(
        said.contains("1 directory") && said.contains("`most`"),
        "{said}"
    );
    assert_eq!(bench.of_origin().await["unreadable_directories"], 1);
    // Also when it starts like that.
    assert_eq!(bench.terminate().await, Some(0));
    bench.start().await;
    scanned(&bench).await;
    assert_eq!(bench.purges(), ["/d1/1.css"]);

    let writable = bench.path("site/next");
    fs::create_dir(&writable).unwrap();
    mode(&closed, 0o700);
    fs::write(closed.join("deep/d0/0.css"), "two").unwrap();
    mode(&closed, 0o755);
    bench.purged("/most/deep/d0/0.css").await;
    bench.rested().await;
    assert_eq!(bench.purges(), ["/d1/1.css", "/most/deep/d0/0.css"]);
    // It is watched again.
    fs::write(closed.join("deep/d2/2.css"), "two").unwrap();
    bench.purged("/most/deep/d2/2.css").await;
    assert_eq!(bench.of_origin().await["polling"], false);
    bench.no_alarm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn known_files_of_a_directory_that_can_be_entered_and_not_listed_are_noticed() {
    let Some(mut bench) = ordinary().await else {
        return;
    };
    release(&bench.site(), "one");
    bench.write("d0/gone.css", "x");
    bench.start().await;
    let closed = bench.path("site/d0");
    mode(&closed, 0o311);
    until("it is polled", async || {
        (bench.of_origin().await["unwatched_directories"] == 1).then_some(())
    })
    .await;
    bench.alarm("unreadable").await;
    fs::write(closed.join("0.css"), "two").unwrap();
    fs::remove_file(closed.join("gone.css")).unwrap();
    until("both are noticed", async || {
        (bench.purges() == ["/d0/0.css", "/d0/gone.css"]).then_some(())
    })
    .await;
    mode(&closed, 0o755);
    bench.rested().await;
    assert_eq!(bench.purges(), ["/d0/0.css", "/d0/gone.css"]);
    assert_eq!(bench.of_origin().await["unwatched_directories"], 0);
    bench.no_alarm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_is_closed_is_an_alarm_and_no_purge() {
    let Some(mut bench) = ordinary().await else {
        return;
    };
    release(&bench.site(), "one");
    bench.start().await;
    mode(&bench.site(), 0o000);
    let said = bench.alarm("root_missing").await;
    assert!(said.contains("Permission denied"), "{said}");
    mode(&bench.site(), 0o755);
    bench.no_alarm().await;
    bench.write("d0/0.css", "two");
    bench.purged("/d0/0.css").await;
    bench.rested().await;
    assert_eq!(bench.purges(), ["/d0/0.css"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_behind_a_link_that_nobody_can_follow_are_not_gone() {
    let Some(mut bench) = ordinary().await else {
        return;
    };
    release(&bench.site(), "one");
    release(&bench.path("outside/kept/tree"), "one");
    fs::remove_dir_all(bench.path("outside/kept/tree/d2")).unwrap();
    std::os::unix::fs::symlink("../outside/kept/tree", bench.path("site/link")).unwrap();
    std::os::unix::fs::symlink("../outside/kept/tree/d1/1.css", bench.path("site/one.css"))
        .unwrap();
    bench.start().await;
    mode(&bench.path("outside/kept"), 0o000);
    scanned(&bench).await;
    scanned(&bench).await;
    bench.settle().await;
    assert_eq!(bench.purges(), Vec::<String>::new());
    let said = bench.alarm("unreadable").await;
    assert!(said.contains("`link`"), "{said}");
    mode(&bench.path("outside/kept"), 0o755);
    bench.no_alarm().await;
    fs::write(bench.path("outside/kept/tree/d1/1.css"), "two").unwrap();
    bench.purged("/link/d1/1.css").await;
    bench.purged("/one.css").await;
    bench.rested().await;
    assert_eq!(bench.purges(), ["/link/d1/1.css", "/one.css"]);
}
