//! Files that the web server may read as one of its group, and others may not: a 403 that the edge keeps
//! ends with the right to read. Needs root, which gives files to a group.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use crate::bench::{Bench, skip_unprivileged};

/// The web server's group: no user of this machine has to be in it.
const WEB: u32 = 54_321;

fn may_give() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip_unprivileged("only root may give a file to any group");
    }
    root
}

fn give(path: &Path, group: u32, mode: u32) {
    chown(path, None, Some(group)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

async fn served(group: Option<u32>) -> Bench {
    let mut bench = Bench::new().await;
    if let Some(group) = group {
        bench.origin = format!("web_group = {group}");
    }
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_the_web_servers_group_may_read_at_last_is_purged() {
    if !may_give() {
        return;
    }
    let mut bench = served(Some(WEB)).await;
    bench.write("open.html", "x");
    bench.write("members/a.html", "x");
    bench.write("members/b.html", "x");
    bench.start().await;
    // As a deploy with a strict umask does it: written, and then given.
    bench.write("page.html", "x");
    give(&bench.site().join("page.html"), 0, 0o600);
    bench.purged("/page.html").await;
    bench.rested().await;
    give(&bench.site().join("page.html"), WEB, 0o600);
    bench.rested().await;
    assert_eq!(bench.purges(), ["/page.html"], "nobody may read it yet");
    give(&bench.site().join("page.html"), WEB, 0o640);
    bench.rested().await;
    assert_eq!(bench.purges(), ["/page.html"; 2]);
    // The mode stays, the group is the one.
    give(&bench.site().join("open.html"), 0, 0o640);
    bench.rested().await;
    give(&bench.site().join("open.html"), WEB, 0o640);
    bench.rested().await;
    let both = ["/open.html", "/open.html", "/page.html", "/page.html"];
    assert_eq!(bench.purges(), both);
    // And a directory.
    give(&bench.site().join("members"), 0, 0o750);
    bench.rested().await;
    let members = ["/members/a.html", "/members/b.html"];
    let purged = |bench: &Bench, name| bench.purges().iter().filter(|one| *one == name).count();
    assert_eq!(members.map(|name| purged(&bench, name)), [1, 1]);
    give(&bench.site().join("members"), WEB, 0o750);
    bench.rested().await;
    assert_eq!(members.map(|name| purged(&bench, name)), [2, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_to_read_that_is_given_while_nobody_watches_is_found() {
    if !may_give() {
        return;
    }
    let mut bench = served(Some(WEB)).await;
    for name in ["a.html", "b.html", "sub/c.html"] {
        bench.write(name, "x");
    }
    give(&bench.site().join("a.html"), 0, 0o640);
    give(&bench.site().join("b.html"), WEB, 0o640);
    give(&bench.site().join("sub"), 0, 0o750);
    bench.start().await;
    assert_eq!(bench.terminate().await, Some(0));
    give(&bench.site().join("a.html"), WEB, 0o640);
    give(&bench.site().join("sub"), WEB, 0o750);
    bench.start().await;
    bench.rested().await;
    assert_eq!(bench.purges(), ["/a.html", "/sub/c.html"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_group_in_the_configuration_purges_nothing_by_itself() {
    if !may_give() {
        return;
    }
    let mut bench = served(None).await;
    for name in ["a.html", "b.html", "c.html"] {
        bench.write(name, "x");
        give(&bench.site().join(name), WEB, 0o640);
    }
    bench.start().await;
    give(&bench.site().join("a.html"), WEB, 0o660);
    bench.rested().await;
    assert_eq!(
        bench.purges(),
        Vec::<String>::new(),
        "everybody may as little as before"
    );
    bench.origin = format!("web_group = \"{WEB}\"");
    bench.reload().await;
    bench.rested().await;
    assert_eq!(bench.purges(), Vec::<String>::new());
    give(&bench.site().join("b.html"), WEB, 0o600);
    bench.rested().await;
    assert_eq!(bench.purges(), ["/b.html"]);
    bench.origin = String::new();
    bench.reload().await;
    bench.rested().await;
    assert_eq!(bench.purges(), ["/b.html"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_there_is_not_is_a_mistake_in_the_configuration() {
    let mut bench = Bench::new().await;
    bench.origin = "web_group = \"no-such-group\"".to_owned();
    bench.config();
    let checked = bench.run(&["check"]).await;
    assert_eq!(checked.status.code(), Some(78));
    let said = String::from_utf8(checked.stderr).unwrap();
    assert!(said.contains("is no group of this machine"), "{said}");
    assert!(said.contains("www-data"), "{said}");
}
