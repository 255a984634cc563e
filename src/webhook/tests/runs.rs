//! Which runs of workflows, builds and checks a route is for.

use serde_json::{Value, json};

use super::bench::*;
use super::payloads::*;
use super::senders::Sender;
use crate::webhook::*;

/// Forgejo's `ActionPayload`: the repository is in the run, and nowhere else.
fn action_run(workflow: &str, reference: &str, event: &str) -> Value {
    let pretty = reference.rsplit('/').next().unwrap();
    let started = json!({"ref": reference, "before": "1".repeat(40), "repository": repository()});
    json!({
        "action": "success",
        "run": {
            "id": 41, "title": "Say hello", "repository": repository(), "workflow_id": workflow,
            "index_in_repo": 12, "trigger_user": {"id": 2, "login": "ann"}, "ScheduleID": 0,
            "prettyref": pretty, "is_ref_deleted": false, "commit_sha": "2".repeat(40),
            "is_fork_pull_request": false, "need_approval": false, "approved_by": 0,
            "event": event, "event_payload": started.to_string(), "trigger_event": event,
            "status": "success", "started": "2026-03-01T10:00:00Z", "stopped": "2026-03-01T10:01:00Z",
            "created": "2026-03-01T10:00:00Z", "updated": "2026-03-01T10:01:00Z",
            "duration": 60_000_000_000_u64, "run_html_url": "https://forge.example.com/acme/site/actions/runs/12",
        },
        "prior_status": "running",
    })
}

fn forgejo(settings: RouteSettings, event: &str, kind: &str, body: &Value) -> Wish {
    let sent = [("x-forgejo-event", event), ("x-forgejo-event-type", kind)];
    wish(settings, &sent, &body.to_string())
}

#[test]
fn forgejos_runs_name_their_repository_inside_of_the_run() {
    let of = |repository: &str, body: &Value| {
        let settings = scoped(Sender::Forgejo.kind(), &[], |s| {
            s.repositories = names(&[repository]);
        });
        forgejo(settings, "action_run_success", "action_run_success", body)
    };
    let run = action_run("deploy.yml", "refs/heads/main", "push");
    assert_eq!(of("acme/site", &run), SCAN);
    assert_eq!(of("https://forge.example.com/Acme/Site.git", &run), SCAN);
    let other = of("acme/other", &run);
    assert!(
        nothing(&other, "acme/site; the route is for acme/other"),
        "{other:?}"
    );
    // Where it is nowhere, that is no error: forges switch off hooks that answer with errors.
    let mut without = run.clone();
    without["run"]["repository"] = Value::Null;
    let found = of("acme/site", &without);
    assert!(
        nothing(
            &found,
            "names no repository, and the route is for acme/site"
        ),
        "{found:?}"
    );
}

#[test]
fn a_package_that_belongs_to_no_repository_is_ignored_and_one_that_does_counts() {
    for (sender, header) in [(Sender::Forgejo, "x-forgejo"), (Sender::Gitea, "x-gitea")] {
        let of = |repositories: &[&str], repository: Value| {
            let settings = scoped(sender.kind(), &["package"], |s| {
                s.repositories = names(repositories);
            });
            let body = json!({
                "action": "created", "repository": repository,
                "package": {"id": 3, "type": "container", "name": "site", "version": "1.2", "repository": repository},
                "organization": null, "sender": {"id": 2, "login": "ann"},
            });
            // The event's own header is empty: `HookEventType.Event` has no word for packages.
            let (event, kind) = (format!("{header}-event"), format!("{header}-event-type"));
            let sent = [(event.as_str(), ""), (kind.as_str(), "package")];
            wish(settings, &sent, &body.to_string())
        };
        assert_eq!(of(&[], Value::Null), SCAN);
        assert_eq!(of(&["Acme/Site"], repository()), SCAN);
        let found = of(&["acme/site"], Value::Null);
        assert!(
            nothing(&found, "names no repository"),
            "{sender:?} {found:?}"
        );
    }
}

#[test]
fn a_run_of_forgejo_is_about_the_ref_that_started_it() {
    let of = |branches: &[&str], body: &Value| {
        let settings = scoped(Sender::Forgejo.kind(), &[], |s| {
            s.branches = names(branches);
        });
        forgejo(settings, "action_run_success", "action_run_success", body)
    };
    assert_eq!(
        of(&["main"], &action_run("d.yml", "refs/heads/main", "push")),
        SCAN
    );
    let tag = of(&["main"], &action_run("d.yml", "refs/tags/main", "push"));
    assert!(nothing(&tag, "not about a branch"), "{tag:?}");
    let dev = of(&["main"], &action_run("d.yml", "refs/heads/dev", "push"));
    assert!(
        nothing(
            &dev,
            "the branch dev is not among the route's branches, main"
        ),
        "{dev:?}"
    );
    let mut pull = action_run("d.yml", "refs/heads/dev", "pull_request");
    pull["run"]["prettyref"] = json!("#17");
    pull["run"]["event_payload"] = json!("{\"action\":\"opened\",\"number\":17}");
    let found = of(&[], &pull);
    assert!(nothing(&found, "a pull request started it"), "{found:?}");
}

/// A kind, its header with the event, the event, and a body.
type Sent = (Kind, &'static str, &'static str, Value);

fn github(name: &str, file: &str) -> Sent {
    let run = json!({
        "id": 289_782_451, "name": name, "head_branch": "main", "path": file, "event": "push",
        "status": "completed", "conclusion": "success", "workflow_id": 3,
        "head_repository": {"full_name": "acme/site"},
    });
    let body = json!({"action": "completed", "workflow_run": run, "repository": repository()});
    (
        Kind::new(&kind::github::SENDER),
        "x-github-event",
        "workflow_run",
        body,
    )
}

fn gitea(file: &str) -> Sent {
    let run = json!({
        "id": 5, "display_title": "Say hello", "path": format!("{file}@refs/heads/main"),
        "event": "push", "run_attempt": 1, "head_branch": "main", "status": "completed",
        "conclusion": "success", "repository": repository(),
    });
    let body = json!({"action": "completed", "workflow": null, "workflow_run": run, "repository": repository()});
    (Sender::Gitea.kind(), "x-gitea-event", "workflow_run", body)
}

fn forgejos(file: &str) -> Sent {
    let body = action_run(file, "refs/heads/main", "push");
    (
        Sender::Forgejo.kind(),
        "x-forgejo-event",
        "action_run_success",
        body,
    )
}

fn bitbucket(key: &str, name: &str) -> Sent {
    let status = json!({
        "key": key, "type": "build", "state": "SUCCESSFUL", "name": name, "refname": "main",
        "url": "https://ci.example.com/1", "description": "", "created_on": "2026-03-01T10:00:00+00:00",
    });
    let body =
        json!({"commit_status": status, "repository": {"full_name": "acme/site"}, "actor": {}});
    (
        Kind::new(&kind::bitbucket::SENDER),
        "x-event-key",
        "repo:commit_status_updated",
        body,
    )
}

#[test]
fn only_the_runs_of_the_routes_workflows_count() {
    for (workflows, ours, others) in [
        (
            &["Deploy"][..],
            vec![
                github("Deploy", ".github/workflows/x.yml"),
                github("deploy", ".github/workflows/x.yml"),
                bitbucket("DEPLOY", "Ship it"),
                bitbucket("b-1", "Deploy"),
            ],
            vec![
                github("Lint", ".github/workflows/deploy.yml"),
                github("Deploy docs", ".github/workflows/docs.yml"),
                gitea("deploy.yml"),
                forgejos("lint.yml"),
                bitbucket("lint", "Lint"),
            ],
        ),
        (
            &["ship.yaml", "deploy.yml"],
            vec![
                github("Anything", ".github/workflows/deploy.yml"),
                github("Anything", ".github/workflows/ship.yaml@refs/heads/main"),
                gitea("deploy.yml"),
                forgejos("ship.yaml"),
            ],
            vec![
                github("deploy", ".github/workflows/predeploy.yml"),
                gitea("lint.yml"),
                forgejos("deploy.yaml"),
            ],
        ),
        (
            &[".forgejo/workflows/deploy.yml", "Release *"],
            vec![
                forgejos("deploy.yml"),
                gitea("deploy.yml"),
                github("Release 2", "r.yml"),
            ],
            vec![forgejos("test.yml"), github("Release", "r.yml")],
        ),
    ] {
        for (all, counts) in [(ours, true), (others, false)] {
            for (kind, header, event, body) in all {
                let route = scoped(kind.clone(), &[event], |s| s.workflows = names(workflows));
                let found = wish(route, &[(header, event)], &body.to_string());
                if counts {
                    assert_eq!(found, SCAN, "{workflows:?} {body}");
                } else {
                    assert!(
                        nothing(&found, "is not among the route's workflows"),
                        "{found:?} {body}"
                    );
                    assert!(
                        nothing(&found, workflows[0].rsplit('/').next().unwrap()),
                        "{found:?}"
                    );
                }
                let any = scoped(kind, &[event], |_| {});
                assert_eq!(wish(any, &[(header, event)], &body.to_string()), SCAN);
            }
        }
    }
}

#[test]
fn a_run_that_a_pull_request_started_deploys_only_where_it_is_named() {
    for (event, path) in [
        ("pull_request", "ci.yml"),
        ("pull_request_target", "ci.yml"),
        ("merge_group", "ci.yml"),
    ] {
        let body = json!({
            "action": "completed", "repository": repository(),
            "workflow_run": {"name": "CI", "path": path, "event": event, "head_branch": "topic", "conclusion": "success"},
        });
        let of = |workflows: &[&str]| {
            let route = scoped(Kind::new(&kind::github::SENDER), &[], |s| {
                s.workflows = names(workflows);
            });
            wish(
                route,
                &[("x-github-event", "workflow_run")],
                &body.to_string(),
            )
        };
        assert!(nothing(&of(&[]), "a pull request started it"));
        assert_eq!(of(&["CI"]), SCAN);
    }
    // Gitea leaves the branch out, and has the ref in the path.
    let body = json!({
        "action": "completed", "repository": repository(),
        "workflow_run": {"path": "ci.yml@refs/pull/3/head", "event": "pull_request", "status": "completed", "conclusion": "success"},
    });
    for branches in [&[][..], &["main"]] {
        let route = scoped(Sender::Gitea.kind(), &[], |s| s.branches = names(branches));
        let found = wish(
            route,
            &[("x-gitea-event", "workflow_run")],
            &body.to_string(),
        );
        assert!(matches!(found, Wish::Nothing(_)), "{found:?}");
    }
}

#[test]
fn githubs_statuses_and_checks_count_once_they_succeed() {
    let of = |event: &str, workflows: &[&str], body: &Value| {
        let route = scoped(Kind::new(&kind::github::SENDER), &[event], |s| {
            s.workflows = names(workflows);
            s.branches = names(&["main"]);
        });
        wish(route, &[("x-github-event", event)], &body.to_string())
    };
    let status = |state: &str, context: &str, branches: &[&str]| {
        let branches: Vec<Value> = branches
            .iter()
            .map(|name| json!({"name": name, "commit": {"sha": "1"}, "protected": false}))
            .collect();
        json!({
            "id": 6_805_126_730_u64, "sha": "6113728f", "name": "acme/site", "context": context, "state": state,
            "description": null, "target_url": null, "branches": branches, "repository": repository(),
        })
    };
    assert_eq!(
        of(
            "status",
            &[],
            &status("success", "ci/deploy", &["topic", "main"])
        ),
        SCAN
    );
    assert_eq!(
        of(
            "status",
            &["ci/deploy"],
            &status("success", "ci/deploy", &["main"])
        ),
        SCAN
    );
    assert_eq!(
        of(
            "status",
            &["deploy/*"],
            &status("success", "deploy/eu", &["main"])
        ),
        SCAN
    );
    assert!(nothing(
        &of(
            "status",
            &["deploy/*"],
            &status("success", "ci/lint", &["main"])
        ),
        "ci/lint"
    ));
    assert!(nothing(
        &of("status", &[], &status("success", "ci/deploy", &["topic"])),
        "topic"
    ));
    assert!(nothing(
        &of("status", &[], &status("success", "ci/deploy", &[])),
        "not about a branch"
    ));
    // GitHub names ten branches at most: `main` may be another.
    let ten: Vec<String> = (0..10).map(|at| format!("topic-{at}")).collect();
    let ten: Vec<&str> = ten.iter().map(String::as_str).collect();
    let found = of("status", &[], &status("success", "ci/deploy", &ten));
    assert_eq!(found, SCAN);
    let found = of("status", &[], &status("success", "ci/deploy", &ten[1..]));
    assert!(nothing(&found, "topic-1"), "{found:?}");
    for state in ["pending", "failure", "error"] {
        assert!(nothing(
            &of("status", &[], &status(state, "ci/deploy", &["main"])),
            "not a success"
        ));
    }
    let app = json!({"id": 1, "slug": "acme-deployer", "name": "Acme Deployer"});
    let suite = |branch: Value| json!({"id": 2, "head_branch": branch, "status": "completed", "conclusion": "success", "app": app});
    let run = |action: &str, conclusion: Value, branch: Value| {
        json!({
            "action": action, "repository": repository(),
            "check_run": {"id": 3, "name": "Deploy to edge", "conclusion": conclusion, "check_suite": suite(branch), "app": app},
        })
    };
    let good = || json!("success");
    for workflows in [
        &[][..],
        &["deploy to edge"],
        &["acme-deployer"],
        &["Acme Deployer"],
    ] {
        assert_eq!(
            of(
                "check_run",
                workflows,
                &run("completed", good(), json!("main"))
            ),
            SCAN
        );
    }
    assert!(nothing(
        &of(
            "check_run",
            &["lint"],
            &run("completed", good(), json!("main"))
        ),
        "Deploy to edge"
    ));
    assert!(nothing(
        &of("check_run", &[], &run("completed", good(), json!("topic"))),
        "topic"
    ));
    assert!(nothing(
        &of("check_run", &[], &run("completed", good(), Value::Null)),
        "fork"
    ));
    assert!(nothing(
        &of(
            "check_run",
            &[],
            &run("created", Value::Null, json!("main"))
        ),
        "not"
    ));
    assert!(nothing(
        &of(
            "check_run",
            &[],
            &run("completed", json!("neutral"), json!("main"))
        ),
        "not"
    ));
    let whole = |action: &str, branch: Value| json!({"action": action, "check_suite": suite(branch), "repository": repository()});
    assert_eq!(
        of(
            "check_suite",
            &["acme-deployer"],
            &whole("completed", json!("main"))
        ),
        SCAN
    );
    assert!(nothing(
        &of("check_suite", &[], &whole("requested", json!("main"))),
        "not"
    ));
    assert!(nothing(
        &of("check_suite", &[], &whole("completed", Value::Null)),
        "fork"
    ));
    // The event is in an unsigned header, so it has to fit.
    for event in ["status", "check_run", "check_suite"] {
        let route = scoped(Kind::new(&kind::github::SENDER), &[event], |_| {});
        assert!(
            read(
                route,
                &[("x-github-event", event)],
                "{\"action\":\"completed\"}"
            )
            .is_err()
        );
    }
    // Gitea's status names no branch.
    let route = scoped(Sender::Gitea.kind(), &["status"], |s| {
        s.workflows = names(&["drone"]);
    });
    let body = json!({"commit": null, "context": "Drone", "state": "success", "sha": "1", "repository": repository()});
    assert_eq!(
        wish(route, &[("x-gitea-event", "status")], &body.to_string()),
        SCAN
    );
}
