//! Sites that are emptied and filled again, and roots that are away for a while.

use std::fs;
use std::process::Output;
use std::time::Duration;

use edgepurge::core::change::PipelineId;

use super::{fresh_after_wait, pages, quick, stale, visit};
use crate::bench::{Bench, PIPELINE, sh, text};

/// How long a site is empty: longer than what is gone has to be so.
const SECONDS: f32 = 5.5;

/// A site of 60 pages that were all visited, of which the next build has four others.
async fn bench(origin: &str) -> (Bench, Vec<String>) {
    let mut bench = quick("debounce = \"200ms\"", origin).await;
    let urls = pages(&bench.site(), 0..60, "old");
    pages(&bench.path("build"), 0..60, "old");
    pages(&bench.path("build"), 20..24, "new");
    bench.start().await;
    visit(&bench, &urls).await;
    (bench, urls)
}

async fn deploy(bench: &Bench, script: &str) -> Output {
    let words = ["deploy", "www", "--", "/bin/sh", "-ec", script];
    let path = std::env::var("PATH").unwrap();
    let mut deploy = bench.command(&words);
    let deploy = deploy.env("PATH", path).current_dir(bench.site());
    deploy.output().await.unwrap()
}

/// A deploy that empties the site, and has it full again after so long, is a deploy like any other.
async fn deployed(origin: &str, seconds: f32) {
    let (bench, urls) = bench(origin).await;
    let script = format!("rm -rf ./*; sleep {seconds}; cp -r ../build/. .");
    let ended = deploy(&bench, &script).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(!text(&ended.stderr).contains("accept-loss"), "{ended:?}");
    let stale = stale(&bench, &urls).await;
    assert!(stale.is_empty(), "stale after the deploy: {stale:?}");
    let mut purges = bench.purges();
    let all = purges.len();
    for changed in &urls[20..24] {
        assert!(purges.contains(changed), "{changed} was not purged");
    }
    purges.dedup();
    assert_eq!(purges.len(), all, "nothing is purged twice");
    bench.no_alarm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_empties_the_site_for_long_ends_well_when_all_is_back() {
    deployed("", SECONDS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_empties_the_site_for_a_moment_purges_what_differs() {
    let (bench, urls) = bench("").await;
    let ended = deploy(&bench, "rm -rf ./*; cp -r ../build/. .").await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(bench.purges(), urls_sorted(&urls[20..24]));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_any_loss_is_believed_a_deploy_purges_nothing_twice_either() {
    deployed("max_loss = \"100%\"", SECONDS).await;
}

fn urls_sorted(urls: &[String]) -> Vec<String> {
    let mut urls = urls.to_vec();
    urls.sort();
    urls
}

/// Every visitor gets a 404 meanwhile, and the edge keeps it.
async fn all_see_the_hole(bench: &Bench, urls: &[String]) {
    // Not a wait for something: how long it lasts, which is longer than `gone_after`.
    tokio::time::sleep(Duration::from_secs_f32(SECONDS)).await;
    bench.sandbox.flush(&PipelineId::new(PIPELINE));
    assert_eq!(visit(bench, urls).await, vec![404; urls.len()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_saw_an_empty_site_gets_the_same_pages_again_when_they_are_back() {
    let (bench, urls) = bench("").await;
    sh(&bench, "cp -r site kept; rm -rf site/*");
    all_see_the_hole(&bench, &urls).await;
    assert!(bench.purges().is_empty(), "so much is not believed");
    sh(&bench, "cp -r kept/. site/");
    fresh_after_wait(&bench, &urls).await;
    bench.no_alarm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_saw_a_missing_root_gets_the_same_pages_again_when_it_is_back() {
    let (bench, urls) = bench("").await;
    sh(&bench, "mv site away");
    bench.alarm("root_missing").await;
    all_see_the_hole(&bench, &urls).await;
    assert!(bench.purges().is_empty(), "it is missing and not empty");
    sh(&bench, "mv away site");
    fresh_after_wait(&bench, &urls).await;
    bench.no_alarm().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_saw_an_empty_site_is_not_forgotten_over_a_kill() {
    let (mut bench, urls) = bench("").await;
    sh(&bench, "cp -r site kept; rm -rf site/*");
    all_see_the_hole(&bench, &urls).await;
    bench.kill().await;
    sh(&bench, "cp -r kept/. site/");
    bench.start().await;
    fresh_after_wait(&bench, &urls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_are_away_for_a_moment_are_no_change() {
    let (bench, urls) = bench("").await;
    for url in &urls[..30] {
        let file = bench.site().join(&url[1..]);
        let kept = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        fs::write(&file, kept).unwrap();
    }
    fresh_after_wait(&bench, &urls).await;
    assert!(bench.purges().is_empty(), "{:?}", bench.purges());
}
