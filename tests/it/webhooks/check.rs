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
            let place = format!("config.toml:{}:{column}", line_of(&bench, begins));
            // `check` shows each in several lines, the log in one.
            let (place, apart) = match command {
                "check" => (place + "\n", "\n\n"),
                _ => (place + ":", "\n"),
            };
            let line = said.split(apart).find(|line| line.contains(&place));
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

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_match_is_refused_with_what_would() {
    let refused = async |kind: &str, lines: &str| {
        let mut bench = Bench::new().await;
        with_route(&mut bench, kind, lines, "");
        bench.config();
        let output = bench.run(&["check"]).await;
        assert_eq!(output.status.code(), Some(78), "{kind} {lines} {output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    for (kind, line, word, hint) in [
        (
            "github",
            "branches = [\"refs/tags/v1\"]",
            "is a ref, but not of a branch",
            "main",
        ),
        (
            "github",
            "branches = [\"main\", \"re[lease\"]",
            "not a name that a branch can have",
            "release/*",
        ),
        (
            "gitea",
            "branches = [\"!dev\"]",
            "says what does not count",
            "list the branches",
        ),
        (
            "gitlab",
            "branches = [\"release**\"]",
            "beside something else",
            "release/**",
        ),
        (
            "github",
            "repository = \"site\"",
            "names no owner",
            "owner/name",
        ),
        (
            "github",
            "repository = [\"a/b\", \"acme/*\"]",
            "is a pattern",
            "list them",
        ),
        (
            "github",
            "repository = \"https://github.com/acme/site/tree/main\"",
            "is more than",
            "owner/name",
        ),
        ("github", "repository = []", "is empty", "list at least one"),
        ("github", "workflows = []", "is empty", "list at least one"),
        (
            "forgejo",
            "environments = [\"live\"]",
            "name no environment",
            "remove the line",
        ),
        (
            "bitbucket",
            "environments = [\"live\"]",
            "name no environment",
            "remove the line",
        ),
        (
            "s3",
            "workflows = [\"deploy\"]",
            "name no workflow",
            "remove the line",
        ),
        ("gitlab", "events = [\"job\"]", "is not an event", "build"),
        (
            "forgejo",
            "events = [\"workflow_run\"]",
            "is not an event",
            "action_run_success",
        ),
    ] {
        let said = refused(kind, line).await;
        let key = line.rsplit('\n').next().unwrap().split(' ').next().unwrap();
        let told = said
            .split("\n\n")
            .find(|said| said.contains(&format!("webhook[0].{key}")));
        let told = told.unwrap_or_else(|| panic!("{kind} {line}: {said}"));
        assert!(
            told.contains(word) && told.contains(hint),
            "{kind} {line}: {told}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_warns_of_what_is_never_looked_at() {
    for (kind, lines, key, word) in [
        ("gitlab", "workflows = [\"deploy\"]", "workflows", "build"),
        (
            "github",
            "events = [\"push\"]\nenvironments = [\"live\"]",
            "environments",
            "deployment_status",
        ),
        (
            "netlify",
            "events = [\"ready\", \"deploy_created\"]",
            "events",
            "deploy_created",
        ),
        (
            "contentful",
            "events = [\"Entry.publish\"]",
            "events",
            "ContentManagement.",
        ),
        (
            "github",
            "branches = [\"origin/main\"]",
            "branches",
            "origin/main",
        ),
    ] {
        let mut bench = Bench::new().await;
        with_route(&mut bench, kind, lines, "");
        // Contentful's secrets have a length of their own.
        fs::write(bench.path("webhook_secret"), "0123456789abcdef".repeat(4)).unwrap();
        bench.config();
        let output = bench.run(&["check"]).await;
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        let told = said
            .split("\n\n")
            .find(|one| one.contains(&format!("webhook[0].{key}")));
        assert!(
            told.is_some_and(|told| told.contains(word)),
            "{kind} {lines}: {said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_warns_of_runs_that_purge_though_nothing_was_deployed() {
    let warned = async |kind: &str, lines: &str| {
        let mut bench = Bench::new().await;
        with_route(&mut bench, kind, lines, "");
        bench.config();
        let output = bench.run(&["check"]).await;
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        said.split("\n\n")
            .any(|one| one.contains("every run that succeeds") && one.contains("workflows ="))
    };
    for (kind, lines) in [
        ("github", "purge = \"all\""),
        ("github", "events = [\"check_run\"]\npurge = [\"/\"]"),
        ("gitlab", "events = [\"build\"]\npurge = \"all\""),
        ("forgejo", "purge = \"all\""),
        ("bitbucket", "purge = \"all\""),
    ] {
        assert!(warned(kind, lines).await, "{kind} {lines}");
        assert!(
            !warned(kind, &format!("{lines}\nworkflows = [\"deploy.yml\"]")).await,
            "{kind} {lines}"
        );
    }
    assert!(!warned("github", "").await, "a scan purges what differs");
    assert!(
        !warned("gitlab", "purge = \"all\"").await,
        "deployments only"
    );
    assert!(
        !warned("github", "events = [\"release\"]\npurge = \"all\"").await,
        "no run"
    );
}
