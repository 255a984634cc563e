//! Which deployments a route is for: those to production, or those to what it names.

use serde_json::{Value, json};

use super::bench::*;
use super::payloads::*;
use super::senders::Sender;
use crate::webhook::*;

/// GitHub's `deployment_status`, with this in its deployment.
fn deployment_status(environment: &str, more: &Value) -> String {
    let mut deployment = json!({
        "id": 145_988_746, "sha": "f95f852bd8fca8fcc58a9a2d6c842781e32a215e", "ref": "main", "task": "deploy",
        "payload": {}, "original_environment": environment, "environment": environment, "description": null,
    });
    deployment
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    json!({
        "action": "created",
        "deployment_status": {"id": 209_916_254, "state": "success", "description": "", "environment": environment},
        "deployment": deployment, "check_run": null, "workflow_run": null,
        "repository": {"full_name": "acme/site", "html_url": "https://github.com/acme/site"},
    })
    .to_string()
}

#[test]
fn a_preview_of_github_purges_nothing_unless_it_is_named() {
    let of = |environments: &[&str], branches: &[&str], body: &str| {
        let route = scoped(Kind::new(&kind::github::SENDER), &[], |s| {
            s.environments = names(environments);
            s.branches = names(branches);
        });
        wish(route, &[("x-github-event", "deployment_status")], body)
    };
    let flags = |production: Option<bool>, transient: Option<bool>| json!({"production_environment": production, "transient_environment": transient});
    for (environment, more, production) in [
        ("production", flags(Some(true), Some(false)), true),
        ("Production", flags(Some(true), Some(false)), true),
        ("www", flags(Some(true), Some(false)), true),
        ("github-pages", flags(Some(false), Some(false)), true),
        ("prod", flags(Some(false), Some(false)), true),
        ("production", flags(None, None), true),
        ("production", json!({}), true),
        ("Preview", flags(Some(false), Some(false)), false),
        ("Preview", flags(Some(false), Some(true)), false),
        ("pr-17", flags(Some(true), Some(true)), false),
        ("staging", flags(Some(false), Some(false)), false),
        ("staging", json!({}), false),
        ("pre-production", json!({}), false),
    ] {
        let body = deployment_status(environment, &more);
        let found = of(&[], &[], &body);
        if production {
            assert_eq!(found, SCAN, "{environment} {more}");
        } else {
            assert!(
                nothing(
                    &found,
                    &format!("the environment {environment} is not what")
                ),
                "{found:?}"
            );
        }
        assert_eq!(of(&[&environment.to_uppercase()], &[], &body), SCAN);
        let other = of(&["eu/*", "us"], &[], &body);
        assert!(
            nothing(
                &other,
                &format!("{environment} is not among the route's environments, eu/*, us")
            ),
            "{other:?}"
        );
    }
    // A preview by a commit: neither a branch nor the environment lets it pass.
    let sha = "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334";
    for reference in [sha, "f95f852", "f95f852bd8fca8fcc58a9a2d6c842781e32a215e"] {
        let mut more = flags(Some(false), Some(true));
        more["ref"] = json!(reference);
        let body = deployment_status("Preview", &more);
        assert!(
            nothing(&of(&[], &["main"], &body), "Preview"),
            "{reference}"
        );
        let mut more = flags(Some(true), Some(false));
        more["ref"] = json!(reference);
        assert_eq!(
            of(&[], &["main"], &deployment_status("Production", &more)),
            SCAN,
            "{reference}"
        );
    }
    // The run that deployed the commit says which branch it was.
    let mut body: Value =
        serde_json::from_str(&deployment_status("production", &json!({"ref": sha}))).unwrap();
    body["workflow_run"] =
        json!({"id": 1, "name": "Deploy", "head_branch": "topic", "event": "push"});
    assert!(nothing(&of(&[], &["main"], &body.to_string()), "topic"));
}

/// GitLab's `Gitlab::DataBuilder::Deployment`.
fn gitlab_deployment(environment: &str, tier: Option<&str>) -> Value {
    let mut body = json!({
        "object_kind": "deployment", "status": "success", "status_changed_at": "2026-03-01 10:00:00 +0000",
        "deployment_id": 15, "deployable_id": 796, "environment": environment, "environment_slug": "x",
        "environment_external_url": null, "project": gitlab_project(), "short_sha": "279484c0",
        "commit_title": "Add new file", "ref": "main",
    });
    if let Some(tier) = tier {
        body["environment_tier"] = json!(tier);
    }
    body
}

#[test]
fn of_gitlabs_deployments_production_counts_and_what_is_named() {
    let of = |environments: &[&str], body: &Value| {
        let route = scoped(Sender::GitlabToken.kind(), &[], |s| {
            s.environments = names(environments);
        });
        wish(route, &[], &body.to_string())
    };
    for (environment, tier, production) in [
        ("production", Some("production"), true),
        ("www", Some("production"), true),
        ("staging", Some("staging"), false),
        ("review/topic", Some("development"), false),
        ("production-like", Some("testing"), false),
        ("www", Some("other"), false),
        // Before the tier was sent.
        ("live", None, true),
        ("review/topic", None, false),
    ] {
        let body = gitlab_deployment(environment, tier);
        let found = of(&[], &body);
        assert_eq!(
            found == SCAN,
            production,
            "{environment} {tier:?} {found:?}"
        );
        assert!(production || nothing(&found, environment));
        assert_eq!(of(&["STAGING", environment], &body), SCAN);
        assert!(nothing(&of(&["eu"], &body), "the route's environments, eu"));
    }
    let mut review = gitlab_deployment("production", Some("production"));
    review["ref"] = json!("refs/merge-requests/4/head");
    assert!(nothing(&of(&[], &review), "merge request"));
}

/// GitLab's `Gitlab::DataBuilder::Build`.
fn gitlab_job(name: &str, environment: &Value) -> Value {
    json!({
        "object_kind": "build", "ref": "main", "tag": false, "build_id": 1977, "build_name": name,
        "build_stage": "deploy", "build_status": "success", "pipeline_id": 2366, "project_id": 380,
        "project_name": "Acme / web / site", "project": gitlab_project(), "environment": environment,
        "repository": {"name": "site", "homepage": "https://gitlab.example.com/Acme/web/site"},
    })
}

/// GitLab's `Gitlab::DataBuilder::Pipeline`.
fn gitlab_pipeline(name: &Value, builds: &Value) -> Value {
    json!({
        "object_kind": "pipeline", "project": gitlab_project(), "builds": builds,
        "object_attributes": {
            "id": 31, "name": name, "ref": "main", "tag": false, "source": "push", "status": "success",
        },
    })
}

/// A job of such a pipeline.
fn build(name: &str, status: &str, environment: &Value) -> Value {
    json!({"id": 1, "stage": "deploy", "name": name, "status": status, "environment": environment})
}

fn place(name: &str, action: &str, tier: &str) -> Value {
    json!({"name": name, "action": action, "deployment_tier": tier})
}

fn staging() -> Value {
    place("staging", "start", "staging")
}

fn gitlab(event: &str, workflows: &[&str], environments: &[&str], body: &Value) -> Wish {
    let route = scoped(Sender::GitlabToken.kind(), &[event], |s| {
        s.workflows = names(workflows);
        s.environments = names(environments);
    });
    wish(route, &[], &body.to_string())
}

#[test]
fn gitlabs_jobs_count_by_their_names_and_environments() {
    let of = |workflows: &[&str], environments: &[&str], body: &Value| {
        gitlab("build", workflows, environments, body)
    };
    let deploy = gitlab_job("deploy", &Value::Null);
    assert_eq!(of(&["deploy"], &[], &deploy), SCAN);
    let lint = of(&["deploy"], &[], &gitlab_job("lint", &Value::Null));
    assert!(nothing(&lint, "lint"), "{lint:?}");
    let to_staging = gitlab_job("deploy", &staging());
    assert!(nothing(&of(&["deploy"], &[], &to_staging), "staging"));
    assert_eq!(of(&["deploy"], &["staging"], &to_staging), SCAN);
    let found = of(&[], &["staging"], &deploy);
    assert!(nothing(&found, "names no environment"), "{found:?}");
    for action in ["stop", "prepare", "verify", "access"] {
        let job = gitlab_job(action, &place("production", action, "production"));
        assert!(nothing(&of(&[], &[], &job), "deploys nothing"), "{action}");
    }
    // A job of an older GitLab has no project.
    let mut old = deploy;
    old.as_object_mut().unwrap().remove("project");
    let route = scoped(Sender::GitlabToken.kind(), &["build"], |s| {
        s.repositories = names(&["acme/web/site"]);
    });
    assert_eq!(wish(route, &[], &old.to_string()), SCAN);
}

#[test]
fn gitlabs_pipelines_count_by_their_names_and_where_their_jobs_deployed_to() {
    let of = |workflows: &[&str], environments: &[&str], name: &Value, builds: &Value| {
        let body = gitlab_pipeline(name, builds);
        gitlab("pipeline", workflows, environments, &body)
    };
    let production = || place("www", "start", "production");
    let lint = || build("lint", "success", &Value::Null);
    let deployed = json!([lint(), build("deploy", "success", &production())]);
    assert_eq!(of(&[], &[], &Value::Null, &deployed), SCAN);
    assert_eq!(of(&["deploy"], &[], &Value::Null, &deployed), SCAN);
    assert_eq!(of(&["Ship *"], &[], &json!("Ship 1.2"), &deployed), SCAN);
    let other = of(&["ship"], &[], &Value::Null, &deployed);
    assert!(nothing(&other, "the route's workflows, ship"), "{other:?}");
    assert!(nothing(&of(&[], &["eu"], &Value::Null, &deployed), "www"));
    // Production waits for a person.
    let waits = || build("live", "manual", &production());
    let to_staging = json!([build("stage", "success", &staging()), waits()]);
    assert!(nothing(&of(&[], &[], &Value::Null, &to_staging), "staging"));
    assert!(nothing(
        &of(&["live"], &["staging"], &Value::Null, &to_staging),
        "live"
    ));
    assert_eq!(of(&[], &["staging"], &Value::Null, &to_staging), SCAN);
    let by_hand = json!([lint(), waits()]);
    assert!(nothing(&of(&[], &[], &Value::Null, &by_hand), "not yet"));
    // The job that deployed may be one of those that are too many to be looked at.
    let many = json!(vec![build("test", "success", &staging()); 2001]);
    assert_eq!(of(&["deploy"], &[], &Value::Null, &many), SCAN);
    // One that names no environment may deploy all the same.
    assert_eq!(of(&[], &[], &Value::Null, &json!([lint()])), SCAN);
}
