//! The steps of docs/webhooks.md for CI jobs, run as they stand there.

use std::process::{Output, Stdio};

use tokio::process::Command;

use super::*;
use edgepurge::sandbox::{ErrorType, Fault, Operation};

/// The script of docs/webhooks.md's step that is named so: the block below its `run: |` or `script:`.
fn script(after: &str) -> String {
    let document = include_str!("../../../docs/webhooks.md");
    let from = document.find(after).expect("the document has that step");
    let block = document[from..].split("```").nth(1).unwrap();
    let mut lines = block
        .lines()
        .skip_while(|line| !line.trim_end().ends_with('|'));
    let depth = |line: &str| line.len() - line.trim_start().len();
    let above = depth(lines.next().unwrap());
    lines
        .take_while(|line| line.trim().is_empty() || depth(line) > above)
        .map(|line| line.trim_start_matches(' ').to_owned() + "\n")
        .collect()
}

async fn run(shell: &[&str], script: &str, at: &str) -> Output {
    let mut command = Command::new(shell[0]);
    command
        .args(&shell[1..])
        .arg(script)
        .env("EDGEPURGE_URL", format!("http://{at}/hooks/www"))
        .env("EDGEPURGE_TOKEN", SECRET)
        .env("GITHUB_RUN_ID", "1658821493")
        .env("GITHUB_RUN_ATTEMPT", "1")
        .env("CI_JOB_ID", "8107")
        .stdin(Stdio::null());
    let output = tokio::time::timeout(crate::bench::LIMIT, command.output());
    output.await.unwrap().unwrap()
}

async fn waits_until_the_edge_is_fresh(step: &str, shell: &[&str]) {
    let mut bench = Bench::new().await;
    "watch = \"off\"".clone_into(&mut bench.origin);
    with_route(&mut bench, "generic", "", "");
    bench.write("a.css", "one");
    bench.start().await;
    let at = address(&bench).await;
    bench.fetch("/a.css").await;
    bench.write("a.css", "two");
    let output = run(shell, &script(step), &at).await;
    assert!(output.status.success(), "{output:?}");
    let (_, _, body) = bench.fetch("/a.css").await;
    assert_eq!(body, "two", "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_step_for_github_actions_waits_until_the_edge_is_fresh() {
    // As GitHub runs it.
    let shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"];
    waits_until_the_edge_is_fresh("GitHub Actions", &shell).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_for_gitlab_waits_until_the_edge_is_fresh() {
    waits_until_the_edge_is_fresh("GitLab CI", &["sh", "-e", "-c"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_step_fails_when_the_purge_does_or_the_token_is_wrong() {
    let bench = started("generic", "purge = [\"/a.css\"]").await;
    let at = address(&bench).await;
    let bad = Fault::Typed(ErrorType::BAD_ASSETS);
    bench.sandbox.script(bad.on(Operation::Create));
    let shell = ["bash", "-eo", "pipefail", "-c"];
    let failed = run(&shell, &script("GitHub Actions"), &at).await;
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    let said = String::from_utf8_lossy(&failed.stdout).into_owned();
    // The log of the job says why, in the API's words, of what, and by which request.
    for word in [
        "\"failed\"",
        "assets constraint is refused",
        "/a.css",
        "\"request\":1",
    ] {
        assert!(said.contains(word), "{word}: {failed:?}");
    }
    let wrong = script("GitHub Actions").replace("$EDGEPURGE_TOKEN", "wrong");
    let wrong = run(&shell, &wrong, &at).await;
    assert!(!wrong.status.success(), "{wrong:?}");
}
