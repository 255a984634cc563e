//! A file changes, the edge is fresh: every way in which people change files.

use std::fs;
use std::process::Command;

use crate::bench::{Bench, skip};

/// Runs a tool in the bench's directory; `false`: the machine does not have it.
fn tool(bench: &Bench, line: &str) -> bool {
    let name = line.split(' ').next().unwrap();
    if Command::new(name).arg("--version").output().is_err() {
        skip(&format!("{name} is not installed"));
        return false;
    }
    let output = Command::new("sh")
        .args(["-ec", line])
        .current_dir(bench.path(""))
        .env("GIT_AUTHOR_NAME", "t")
        .env("GIT_AUTHOR_EMAIL", "t@example.com")
        .env("GIT_COMMITTER_NAME", "t")
        .env("GIT_COMMITTER_EMAIL", "t@example.com")
        .output()
        .unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    true
}

/// No request is empty, over `max_assets`, or names an asset twice.
fn requests_are_well_formed(bench: &Bench) {
    for request in bench.requests() {
        let mut assets = request.assets.clone();
        assets.sort();
        assets.dedup();
        assert!(!assets.is_empty() && assets.len() <= 5, "{request:?}");
        assert_eq!(assets.len(), request.assets.len(), "{request:?}");
    }
}

fn sorted(names: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn edit_create_delete_and_rename_reach_the_edge() {
    let mut bench = Bench::new().await;
    bench.write("index.html", "one");
    bench.write("page.html", "page");
    bench.write("old.txt", "old");
    bench.start().await;

    assert_eq!(bench.fetch("/").await.2, "one");
    assert_eq!(bench.fetch("/").await.1, "hit-fresh");
    bench.write("index.html", "two");
    bench.purged("/").await;
    assert_eq!(bench.fetch("/").await, (200, "miss".into(), "two".into()));

    assert_eq!(bench.fetch("/new.txt").await.0, 404);
    bench.write("new.txt", "new");
    bench.purged("/new.txt").await;
    assert_eq!(bench.fetch("/new.txt").await.2, "new");

    assert_eq!(bench.fetch("/page.html").await.0, 200);
    fs::remove_file(bench.site().join("page.html")).unwrap();
    bench.purged("/page.html").await;
    assert_eq!(bench.fetch("/page.html").await.0, 404);

    assert_eq!(bench.fetch("/old.txt").await.0, 200);
    assert_eq!(bench.fetch("/moved.txt").await.0, 404);
    fs::rename(bench.site().join("old.txt"), bench.site().join("moved.txt")).unwrap();
    bench.purged("/moved.txt").await;
    bench.purged("/old.txt").await;
    assert_eq!(bench.fetch("/old.txt").await.0, 404);
    assert_eq!(bench.fetch("/moved.txt").await.2, "old");

    bench.settle().await;
    assert_eq!(
        bench.purges(),
        sorted(&[
            "/",
            "/index.html",
            "/moved.txt",
            "/new.txt",
            "/old.txt",
            "/page.html"
        ]),
        "everything that changed, and nothing else"
    );
    requests_are_well_formed(&bench);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_files_by_rsync_leave_in_full_requests() {
    let mut bench = Bench::new().await;
    for number in 0..1_000 {
        bench.write(&format!("{}/{number}.css", number % 20), "old");
    }
    bench.start().await;
    if !tool(&bench, "rsync --version >/dev/null && cp -a site next") {
        return;
    }
    for number in 0..500 {
        let path = bench
            .path("next")
            .join(format!("{}/{number}.css", number % 20));
        fs::write(path, "new bytes").unwrap();
    }
    tool(&bench, "rsync -a --delete next/ site/");
    bench.settle().await;

    let names: Vec<String> = (0..500).map(|n| format!("/{}/{n}.css", n % 20)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(bench.purges(), sorted(&names));
    requests_are_well_formed(&bench);
    let requests = bench.requests().len();
    assert!(
        requests <= 126,
        "{requests} requests for 500 assets: less than 80 % full"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_git_checkout_purges_what_differs_between_the_commits() {
    let mut bench = Bench::new().await;
    for number in 0..50 {
        bench.write(&format!("{number}.css"), &format!("one {number}"));
    }
    let git = "cd site && git init -q -b main && git add . && git commit -qm one && git tag one";
    if !tool(&bench, &format!("git --version >/dev/null && {git}")) {
        return;
    }
    for number in 0..10 {
        bench.write(&format!("{number}.css"), &format!("two {number}"));
    }
    bench.write("added/deep/new.css", "new");
    fs::remove_file(bench.site().join("49.css")).unwrap();
    tool(
        &bench,
        "git -C site add -A && git -C site commit -qm two && git -C site checkout -q one",
    );
    bench.start().await;

    tool(&bench, "git -C site checkout -q main");
    bench.settle().await;
    let mut names: Vec<String> = (0..10).map(|n| format!("/{n}.css")).collect();
    names.push("/added/deep/new.css".to_owned());
    names.push("/49.css".to_owned());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(bench.purges(), sorted(&names));
    requests_are_well_formed(&bench);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tar_extract_over_the_site_purges_what_differs() {
    let mut bench = Bench::new().await;
    for number in 0..100 {
        bench.write(&format!("{}/{number}.css", number % 7), "same");
    }
    bench.start().await;
    tool(&bench, "cp -a site next");
    for number in 0..30 {
        let directory = bench.path("next").join(format!("fresh-{}", number % 5));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(format!("{number}.css")), "new").unwrap();
    }
    fs::write(bench.path("next/0/0.css"), "other").unwrap();
    if !tool(
        &bench,
        "tar -C next -cf next.tar . && tar -C site -xf next.tar",
    ) {
        return;
    }
    bench.settle().await;
    let mut names: Vec<String> = (0..30)
        .map(|n| format!("/fresh-{}/{n}.css", n % 5))
        .collect();
    names.push("/0/0.css".to_owned());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(bench.purges(), sorted(&names));
    requests_are_well_formed(&bench);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_in_directories_made_at_the_same_moment_are_not_missed() {
    let mut bench = Bench::new().await;
    bench.write("index.html", "home");
    bench.start().await;
    let mut names = Vec::new();
    for number in 0..40 {
        let directory = bench.site().join(format!("a{number}/b/c"));
        fs::create_dir_all(&directory).unwrap();
        for file in 0..3 {
            fs::write(directory.join(format!("{file}.css")), "x").unwrap();
            names.push(format!("/a{number}/b/c/{file}.css"));
        }
    }
    bench.settle().await;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(bench.purges(), sorted(&names));
    requests_are_well_formed(&bench);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_no_bytes_purges_nothing() {
    let mut bench = Bench::new().await;
    for number in 0..50 {
        bench.write(&format!("{number}.css"), "same");
    }
    bench.start().await;
    for number in 0..50 {
        bench.write(&format!("{number}.css"), "same");
    }
    tool(
        &bench,
        "touch site/1.css && cp site/2.css site/.2.tmp && mv site/.2.tmp site/2.css",
    );
    bench.settle().await;
    assert_eq!(bench.purges(), Vec::<String>::new());
}
