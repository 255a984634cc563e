//! Forges, from their deliveries to the fresh edge: what a list does not say, what a route is for, and
//! what is said about the rest.

use serde_json::json;

use super::*;

/// A delivery of this event, as GitHub signs it.
async fn github_event(address: &str, event: &str, body: &Value) -> Answer {
    let body = body.to_string();
    let mut headers = signed(&body);
    headers.insert("x-github-event", HeaderValue::from_str(event).unwrap());
    let request = reqwest::Client::new()
        .post(format!("http://{address}/hooks/www"))
        .headers(headers)
        .body(body);
    call(request).await.unwrap()
}

/// A push to `main` with one commit that modified these.
fn push(modified: &[&str]) -> Value {
    json!({
        "ref": "refs/heads/main", "before": "1".repeat(40), "after": "2".repeat(40),
        "created": false, "deleted": false, "forced": false,
        "repository": {"full_name": "acme/site", "pushed_at": 1_770_000_000},
        "commits": [{"id": "2", "added": [], "modified": modified, "removed": []}],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_in_a_list_of_files_is_scanned_whoever_names_it() {
    for kind in ["github", "generic"] {
        let mut bench = Bench::new().await;
        bench.origin = "watch = \"off\"".to_owned();
        let events = if kind == "github" {
            "events = [\"push\"]\ndelay = \"1ms\"\n"
        } else {
            ""
        };
        let lines = format!("{events}purge = \"files\"\nfiles_root = \"public/\"");
        with_route(&mut bench, kind, &lines, "");
        for name in ["theme/dark.css", "theme/img/x.svg", "themes.html", "a.html"] {
            bench.write(name, "one");
        }
        bench.start().await;
        let at = address(&bench).await;
        // The deploy moved the submodule: two of its files are others now.
        bench.write("theme/dark.css", "two");
        fs::remove_file(bench.site().join("theme/img/x.svg")).unwrap();
        bench.write("theme/img/y.svg", "new");
        let answer = if kind == "github" {
            github_event(&at, "push", &push(&["public/theme", "public/a.html"])).await
        } else {
            let paths = json!({ "paths": ["public/theme", "public/a.html"] });
            post(&at, &paths).await.unwrap()
        };
        becomes(&at, &event(&answer), "done").await;
        let purges = bench.purges();
        for asset in ["/theme/dark.css", "/theme/img/x.svg", "/theme/img/y.svg"] {
            assert!(
                purges.iter().any(|purged| purged == asset),
                "{kind}: {purges:?}"
            );
        }
        let needless = |purged: &String| purged == "/theme" || purged == "/themes.html";
        assert!(!purges.iter().any(needless), "{kind}: {purges:?}");
        let log = bench.log();
        assert!(log.contains("\"theme\", which is a directory"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_only_begin_like_a_directory_are_purged_as_files() {
    let mut bench = Bench::new().await;
    bench.origin = "watch = \"off\"".to_owned();
    with_route(&mut bench, "generic", "purge = \"files\"", "");
    for name in ["docs-old/a.html", "docs.d/b.html", "docs"] {
        bench.write(name, "one");
    }
    bench.start().await;
    let at = address(&bench).await;
    let answer = post(&at, &json!({ "paths": ["docs"] })).await.unwrap();
    assert_eq!(answer.body["changes"], 1, "{answer:?}");
    becomes(&at, &event(&answer), "done").await;
    assert_eq!(bench.purges(), ["/docs"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_about_something_else_is_ignored_with_both_names_in_answer_and_log() {
    let lines = "repository = [\"https://github.com/Acme/Site.git\", \"acme/docs\"]\n\
                 branches = [\"refs/heads/main\", \"release/*\"]\nworkflows = [\"deploy.yml\"]\n\
                 environments = [\"live\"]\nevents = [\"workflow_run\", \"deployment_status\"]\npurge = \"all\"";
    let bench = started("github", lines).await;
    let at = address(&bench).await;
    let run = |repository: &str, branch: &str, file: &str| {
        json!({
            "action": "completed", "repository": {"full_name": repository},
            "workflow_run": {
                "id": 1, "name": "x", "path": format!(".github/workflows/{file}"), "head_branch": branch,
                "event": "push", "conclusion": "success",
            },
        })
    };
    let preview = json!({
        "deployment_status": {"state": "success", "environment": "Preview"},
        "deployment": {"ref": "main", "sha": "1".repeat(40), "production_environment": false},
        "repository": {"full_name": "acme/site"},
    });
    for (event, body, came, wanted) in [
        (
            "workflow_run",
            run("acme/blog", "main", "deploy.yml"),
            "acme/blog",
            "https://github.com/Acme/Site.git, acme/docs",
        ),
        (
            "workflow_run",
            run("acme/site", "topic", "deploy.yml"),
            "topic",
            "main, release/*",
        ),
        (
            "workflow_run",
            run("acme/site", "main", "lint.yml"),
            "lint.yml",
            "deploy.yml",
        ),
        ("deployment_status", preview, "Preview", "live"),
        (
            "push",
            push(&["a"]),
            "push",
            "workflow_run, deployment_status",
        ),
    ] {
        let answer = github_event(&at, event, &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let why = answer.body["ignored"].as_str().unwrap();
        assert!(why.contains(came) && why.contains(wanted), "{why}");
        assert!(bench.log().contains(why), "{why} in\n{}", bench.log());
    }
    assert_eq!(bench.purges(), Vec::<String>::new());
    let answer = github_event(
        &at,
        "workflow_run",
        &run("ACME/docs", "release/2", "deploy.yml"),
    )
    .await;
    becomes(&at, &event(&answer), "done").await;
    assert_eq!(bench.purges(), ["*"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn forgejos_run_purges_on_a_route_for_its_repository() {
    let bench = started(
        "forgejo",
        "repository = \"Acme/Site\"\npurge = [\"/\"]\nworkflows = [\"deploy.yml\"]",
    )
    .await;
    let at = address(&bench).await;
    let deliver = async |event: (&'static str, &str), body: Value| {
        let body = body.to_string();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
        let mac = data_encoding::HEXLOWER.encode(ring::hmac::sign(&key, body.as_bytes()).as_ref());
        let request = reqwest::Client::new()
            .post(format!("http://{at}/hooks/www"))
            .header("content-type", "application/json")
            .header(event.0, event.1)
            .header("x-forgejo-signature", mac)
            .body(body);
        call(request).await.unwrap()
    };
    let package = json!({"action": "created", "repository": null, "package": {"id": 1}});
    let answer = deliver(("x-forgejo-event-type", "package"), package).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let run = json!({
        "action": "success", "prior_status": "running",
        "run": {"id": 3, "repository": {"full_name": "acme/site"}, "workflow_id": "deploy.yml", "prettyref": "main",
                "is_fork_pull_request": false, "event": "push", "event_payload": "{\"ref\":\"refs/heads/main\"}"},
    });
    let answer = deliver(("x-forgejo-event", "action_run_success"), run).await;
    becomes(&at, &event(&answer), "done").await;
    assert_eq!(bench.purges(), ["/"]);
}
