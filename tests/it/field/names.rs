//! Builds that give most of their files other names each time.

use std::fs;

use super::{fresh_after_wait, purged_times, quick};
use crate::bench::{Bench, sh, text};
use crate::hostile::machine::has;
use crate::reported;

/// A build: a few pages, and so many files whose names are new with each.
fn build(bench: &Bench, nth: usize, chunks: usize) {
    let build = bench.path("build");
    if build.exists() {
        fs::remove_dir_all(&build).unwrap();
    }
    fs::create_dir_all(build.join("assets")).unwrap();
    for page in ["index.html", "about.html", "leaked.html"] {
        fs::write(build.join(page), format!("{page}, build {nth}")).unwrap();
    }
    for chunk in 0..chunks {
        let name = format!("assets/{chunk}-{:06x}.js", (nth * 1_000 + chunk) * 7_919);
        fs::write(build.join(name), format!("chunk {chunk} of {nth}")).unwrap();
    }
}

async fn bench(chunks: usize) -> Bench {
    let mut bench = quick("debounce = \"200ms\"", "gone_after = \"500ms\"").await;
    build(&bench, 0, chunks);
    sh(&bench, "cp -r build/. site/");
    bench.start().await;
    bench
}

/// Everything is purged that came, changed or went, and no alarm is on.
async fn all_is_known(bench: &Bench) {
    let mut urls = Vec::new();
    for name in fs::read_dir(bench.path("build/assets")).unwrap() {
        let name = name.unwrap().file_name().into_string().unwrap();
        urls.push(format!("/assets/{name}"));
    }
    fresh_after_wait(bench, &urls).await;
    let status = bench.status().await;
    assert!(reported::alarms(&status).is_empty(), "{status}");
    assert!(reported::fresh(&status), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deploys_that_rename_nearly_everything_are_no_loss_however_soon_they_follow() {
    if !has("rsync") {
        return;
    }
    let bench = bench(44).await;
    for nth in 1..=4 {
        build(&bench, nth, 44);
        sh(&bench, "rsync -aI --delete build/ site/");
        all_is_known(&bench).await;
    }
    fs::remove_file(bench.path("site/leaked.html")).unwrap();
    purged_times(&bench, "/leaked.html", 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_the_deploy_command_too() {
    if !has("rsync") {
        return;
    }
    let bench = bench(44).await;
    for nth in 1..=3 {
        build(&bench, nth, 44);
        let rsync = ["deploy", "www", "--", "rsync", "-aI", "--delete"];
        let (from, to) = (bench.path("build/"), bench.path("site/"));
        let mut deploy = bench.command(&rsync);
        deploy.env("PATH", std::env::var("PATH").unwrap());
        let ended = deploy.args([from, to]).output().await.unwrap();
        assert_eq!(ended.status.code(), Some(0), "deploy {nth}: {ended:?}");
        all_is_known(&bench).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_with_fewer_and_other_files_is_no_loss_while_most_of_it_is_there() {
    if !has("rsync") {
        return;
    }
    let bench = bench(45).await;
    build(&bench, 1, 30);
    sh(&bench, "rsync -aI --delete build/ site/");
    all_is_known(&bench).await;
    assert_eq!(
        bench
            .purges()
            .iter()
            .filter(|one| one.starts_with("/assets"))
            .count(),
        75
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_that_is_held_back_is_named_by_every_command() {
    let bench = bench(50).await;
    sh(&bench, "rm site/assets/*");
    let alarm = bench.alarm("loss").await;
    assert!(alarm.contains("--accept-loss"), "{alarm}");
    let gone = fs::read_dir(bench.path("build/assets")).unwrap().next();
    let gone = gone.unwrap().unwrap().file_name().into_string().unwrap();
    let explained = bench.run(&["explain", &format!("/assets/{gone}")]).await;
    let said = text(&explained.stdout) + &text(&explained.stderr);
    assert!(said.contains("loss"), "explain: {said}");
    let waited = bench.run(&["wait", "www", "--timeout", "2s"]).await;
    assert_eq!(waited.status.code(), Some(1), "{waited:?}");
    let said = text(&waited.stdout) + &text(&waited.stderr);
    assert!(said.contains("loss"), "wait: {said}");
    assert!(!reported::fresh(&bench.status().await));
}
