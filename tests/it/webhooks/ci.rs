//! The steps of docs/webhooks.md for CI jobs, run as they stand there.

use std::process::{Output, Stdio};

use tokio::process::Command;

use super::*;
use edgepurge::sandbox::{ErrorType, Fault, Operation};

/// The script of docs/webhooks.md's example that follows on these words, for the route at this address.
fn script(after: &str, at: &str) -> String {
    let document = include_str!("../../../docs/webhooks.md");
    let from = document.find(after).expect("the document has that step");
    let block = document[from..].split("```").nth(1).unwrap();
    let line = |line: &str| {
        let line = line.trim_start();
        let command = line.strip_prefix("run: ").or(line.strip_prefix("script: "));
        command.map(str::to_owned)
    };
    let script = match block.strip_prefix("sh\n") {
        Some(script) => script.to_owned(),
        None => block.lines().find_map(line).expect("a step has a script"),
    };
    let route = "https://purge.example.com/hooks/www";
    assert!(script.contains(route), "{script}");
    script.replace(route, &format!("http://{at}/hooks/www"))
}

/// Runs a script where `edgepurge` is found.
async fn run(shell: &[&str], script: &str) -> Output {
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_edgepurge"));
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", binary.parent().unwrap().display());
    let mut command = Command::new(shell[0]);
    command
        .args(&shell[1..])
        .arg(script)
        .env("PATH", path)
        .env("EDGEPURGE_TOKEN", SECRET)
        .env("ID", "1658821493-1")
        .stdin(Stdio::null());
    let output = tokio::time::timeout(crate::bench::LIMIT, command.output());
    output.await.unwrap().unwrap()
}

/// As GitHub runs a step.
const GITHUB: [&str; 6] = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"];
/// As GitLab runs a job in a small image.
const SH: [&str; 3] = ["sh", "-e", "-c"];
const CURL: &str = "Without the binary";

async fn waits_until_the_edge_is_fresh(step: &str, shell: &[&str]) {
    let mut bench = Bench::new().await;
    "watch = \"off\"".clone_into(&mut bench.origin);
    with_route(&mut bench, "generic", "", "");
    bench.write("a.css", "one");
    bench.start().await;
    let at = address(&bench).await;
    bench.fetch("/a.css").await;
    bench.write("a.css", "two");
    let output = run(shell, &script(step, &at)).await;
    assert!(output.status.success(), "{output:?}");
    let (_, _, body) = bench.fetch("/a.css").await;
    assert_eq!(body, "two", "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_step_for_github_actions_waits_until_the_edge_is_fresh() {
    waits_until_the_edge_is_fresh("GitHub Actions", &GITHUB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_for_gitlab_waits_until_the_edge_is_fresh() {
    waits_until_the_edge_is_fresh("GitLab CI", &SH).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_without_the_binary_waits_until_the_edge_is_fresh() {
    waits_until_the_edge_is_fresh(CURL, &SH).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_fails_when_the_purge_does_or_the_token_is_wrong() {
    for (step, shell) in [("GitHub Actions", &GITHUB[..]), (CURL, &SH[..])] {
        let bench = started("generic", "purge = [\"/a.css\"]").await;
        let at = address(&bench).await;
        let bad = Fault::Typed(ErrorType::BAD_ASSETS);
        bench.sandbox.script(bad.on(Operation::Create));
        let failed = run(shell, &script(step, &at)).await;
        assert_eq!(failed.status.code(), Some(1), "{failed:?}");
        let said = [failed.stdout.clone(), failed.stderr.clone()].concat();
        let said = String::from_utf8(said).unwrap();
        // The log of the job says why, in the API's words, and of what.
        for word in ["failed", "assets constraint is refused", "/a.css"] {
            assert!(said.contains(word), "{word}: {failed:?}");
        }
        let wrong = format!(
            "EDGEPURGE_TOKEN=a-wrong-token-of-32-bytes-or-more\n{}",
            script(step, &at)
        );
        let wrong = run(shell, &wrong).await;
        assert!(!wrong.status.success(), "{wrong:?}");
    }
}
