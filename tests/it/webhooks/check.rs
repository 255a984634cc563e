//! What `check` says of webhooks, before anything runs.

use serde_json::json;

use super::*;

/// The number of the configuration's line that begins so, from 1.
fn line_of(bench: &Bench, begins: &str) -> usize {
    let config = fs::read_to_string(bench.path("config.toml")).unwrap();
    let at = config.lines().position(|line| line.starts_with(begins));
    at.unwrap_or_else(|| panic!("{begins} in\n{config}")) + 1
}

#[tokio::test(flavor = "multi_thread")]
async fn it_warns_of_a_push_whose_files_are_purged_before_they_are_deployed() {
    let warned = async |lines: &str| {
        let mut bench = Bench::new().await;
        with_route(&mut bench, "github", lines, "");
        bench.config();
        let output = bench.run(&["check"]).await;
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        let found = said.contains("the edge would cache the old bytes again");
        let document = bench.json(&["check"]).await;
        let told = document["warnings"].to_string();
        assert_eq!(
            told.contains("the edge would cache the old bytes again"),
            found,
            "{told}"
        );
        if found {
            let place = format!("config.toml:{}:", line_of(&bench, "events ="));
            let delay = said.lines().any(|line| line.contains("delay"));
            assert!(said.contains("webhook[0]") && delay, "{place} {said}");
        }
        found
    };
    let push = "events = [\"push\"]\npurge = \"files\"";
    assert!(warned(push).await);
    assert!(warned(&format!("{push}\ndelay = \"0s\"")).await);
    assert!(!warned(&format!("{push}\ndelay = \"2m\"")).await);
    assert!(
        !warned("events = [\"push\"]").await,
        "a scan purges what is there"
    );
    assert!(!warned("").await, "after the deploy");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_inside_of_a_webhook_has_its_line_and_column() {
    let mut bench = Bench::new().await;
    let lines = "events = [\"workflow_run\", \"workflow_rum\"]\nbranches = \"main\"\ndealy = \"1s\"\n\
                 dedupe = \"ten minutes\"\nassume_no_force_push = true";
    with_route(&mut bench, "github", lines, "");
    bench.config();
    for command in ["check", "run"] {
        let output = bench.run(&[command]).await;
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        for (begins, column, word) in [
            ("events =", 10, "workflow_rum"),
            ("branches =", 12, "main"),
            ("dealy =", 1, "delay"),
            ("dedupe =", 10, "ten minutes"),
            ("assume_no_force_push =", 24, "gitlab"),
        ] {
            let place = format!("config.toml:{}:{column}:", line_of(&bench, begins));
            let line = said.lines().find(|line| line.contains(&place));
            let line = line.unwrap_or_else(|| panic!("{place} in\n{said}"));
            assert!(line.contains(word), "{line}");
        }
    }
    let document = bench.run(&["--format", "json", "check"]).await;
    let document: Value = serde_json::from_slice(&document.stdout).unwrap();
    assert_eq!(document["ok"], json!(false));
    assert_eq!(
        document["problems"].as_array().unwrap().len(),
        5,
        "{document}"
    );
}
