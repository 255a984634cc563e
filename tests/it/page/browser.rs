//! The page in Chromium, by playwright-core, and under axe-core. Each case is a function of
//! `tests/page/page.mjs`, which is told where everything is, and fails with what it saw.

use std::path::Path;
use std::process::{Output, Stdio};

use tokio::process::Command;
use tokio::sync::Semaphore;

use super::root;
use crate::admin::{TOKEN, with_token};
use crate::bench::{Bench, LIMIT, skip};
use crate::webhooks::{SECRET, address, with_route};

/// Where Debian puts it.
pub(super) const CHROMIUM: &str = "/usr/bin/chromium";

/// Where playwright-core is, where a browser can be tried.
pub(super) fn modules() -> Option<String> {
    let modules = std::env::var("EDGEPURGE_TEST_NODE_MODULES").unwrap_or_default();
    if !Path::new(&modules).join("playwright-core").is_dir() {
        skip("EDGEPURGE_TEST_NODE_MODULES has no playwright-core; tests/run does");
        return None;
    }
    if !Path::new(CHROMIUM).is_file() {
        skip("there is no /usr/bin/chromium; tests/run installs it");
        return None;
    }
    Some(modules)
}

/// Browsers at a time: more than the cores of a small machine slow each other beyond the limit.
static BROWSERS: Semaphore = Semaphore::const_new(2);

/// What a script has said that drives a browser, when it has ended.
pub(super) async fn ended(script: &mut Command) -> Output {
    let _one = BROWSERS.acquire().await.unwrap();
    let browser = script.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(LIMIT, browser).await;
    output.expect("the browser ends in time").unwrap()
}

/// Runs a case against a daemon with a token and a webhook.
async fn in_a_browser(case: &str) {
    let Some(modules) = modules() else {
        return;
    };
    let mut bench = Bench::new().await;
    with_token(&mut bench);
    with_route(&mut bench, "generic", "", "");
    bench.write("index.html", "first");
    bench.start().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page/page.mjs");
    let mut node = Command::new("node");
    node.arg(script)
        .arg(case)
        .env("NODE_MODULES", &modules)
        .env("CHROMIUM", CHROMIUM)
        .env("ROOT", root(&bench))
        .env("SITE", bench.site())
        .env("TOKEN", TOKEN)
        .env(
            "HOOK",
            format!("http://{}/hooks/www", address(&bench).await),
        )
        .env("SECRET", SECRET);
    let output = ended(&mut node).await;
    let (said, complaint) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{case}: {said}\n{complaint}\n{}",
        bench.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_has_its_row_within_a_second() {
    in_a_browser("live").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_comes_and_goes() {
    in_a_browser("alarm").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_delivery_says_since_when_from_whom_and_what_to_do() {
    in_a_browser("refused").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_from_files_senders_and_operators_are_text() {
    in_a_browser("hostile").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_there_without_script() {
    in_a_browser("scriptless").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_and_the_dark_show_all_of_it_and_axe_finds_nothing() {
    in_a_browser("looks").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_tab_closes_its_stream() {
    in_a_browser("hidden").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_logs_in_and_pauses_by_keyboard() {
    in_a_browser("operator").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_below_a_path_of_a_proxy() {
    in_a_browser("proxied").await;
}
