//! Which repositories, branches and events a route is for, and which lists of files are complete.

use serde_json::{Value, json};

use super::bench::*;
use super::payloads::*;
use super::senders::Sender;
use crate::webhook::*;

#[test]
fn a_route_may_be_for_several_repositories_in_any_form() {
    let body = |name: &str| {
        json!({"action": "published", "release": {}, "repository": {"full_name": name, "html_url": format!("https://github.com/{name}")}}).to_string()
    };
    let of = |name: &str| {
        let route = scoped(Kind::new(&kind::github::SENDER), &["release"], |s| {
            s.repositories = names(&[
                "Acme/Site",
                "git@github.com:acme/docs.git",
                "github.com/acme/blog",
            ]);
        });
        wish(route, &[("x-github-event", "release")], &body(name))
    };
    for name in ["acme/site", "ACME/Docs", "acme/blog"] {
        assert_eq!(of(name), SCAN, "{name}");
    }
    let found = of("acme/evil\u{1b}[31m");
    let Wish::Nothing(why) = found else {
        panic!("{found:?}")
    };
    assert!(
        why.contains("acme/evil") && why.contains("Acme/Site, git@github.com:acme/docs.git"),
        "{why}"
    );
    assert!(!why.chars().any(char::is_control), "{why}");
}

#[test]
fn an_answer_names_the_events_that_count() {
    let found = wish(
        scoped(Kind::new(&kind::github::SENDER), &["release"], |_| {}),
        &[("x-github-event", "push")],
        "{}",
    );
    assert!(
        nothing(
            &found,
            "the event push is not among the route's events, release"
        ),
        "{found:?}"
    );
    let found = wish(
        settings(Kind::new(&kind::github::SENDER)),
        &[("x-github-event", "push")],
        "{}",
    );
    assert!(
        nothing(&found, "workflow_run, deployment_status, page_build"),
        "{found:?}"
    );
}

/// A push of a branch without forced pushes, with one commit that lists this.
fn pushed(sender: Sender, root: &str, lists: &Value) -> Wish {
    let kind = trusting(sender.kind());
    let route = scoped(kind, &["push"], |s| {
        s.purge = Some(Purge::Files);
        s.files_root = root.to_owned();
    });
    let mut commit = json!({"id": "3", "message": "x", "added": [], "modified": [], "removed": []});
    commit
        .as_object_mut()
        .unwrap()
        .extend(lists.as_object().unwrap().clone());
    let body = json!({
        "object_kind": "push", "event_name": "push", "ref": "refs/heads/main", "before": "1".repeat(40),
        "after": "2".repeat(40), "created": false, "deleted": false, "forced": false, "commits": [commit],
        "total_commits": 1, "total_commits_count": 1, "project": gitlab_project(), "repository": repository(),
    });
    let sent = [("x-github-event", "push"), ("x-gitea-event", "push")];
    wish(route, &sent, &body.to_string())
}

#[test]
fn a_list_that_can_hide_a_rename_is_not_complete() {
    // `git mv old.html new.html`: GitLab lists the new name, as added.
    let renamed = json!({"added": ["public/new.html"]});
    let found = pushed(Sender::GitlabToken, "public/", &renamed);
    assert!(widened(&found, "renamed"), "{found:?}");
    // Out of the root, too.
    let found = pushed(
        Sender::GitlabToken,
        "public/",
        &json!({"added": ["attic/old.html"], "modified": ["public/a.html"]}),
    );
    assert!(widened(&found, "renamed"), "{found:?}");
    let modified = json!({"modified": ["public/a.html"], "removed": ["public/b.html"]});
    assert_eq!(
        pushed(Sender::GitlabToken, "public/", &modified),
        files(&["a.html", "b.html"])
    );
    // The others list both names.
    for sender in [Sender::Github, Sender::Gitea] {
        let renamed = json!({"added": ["public/new.html"], "removed": ["public/old.html"]});
        assert_eq!(
            pushed(sender, "public/", &renamed),
            files(&["new.html", "old.html"])
        );
    }
}

#[test]
fn a_submodule_that_holds_the_root_or_is_new_makes_a_list_incomplete() {
    for sender in [Sender::Github, Sender::Gitea] {
        for holder in ["web", "web/public"] {
            let moved = json!({"modified": [holder, "README.md"]});
            let found = pushed(sender, "web/public/", &moved);
            assert!(widened(&found, "submodule"), "{holder} {found:?}");
        }
        let other = json!({"modified": ["web/pub", "web/public/a.html"]});
        assert_eq!(pushed(sender, "web/public/", &other), files(&["a.html"]));
        let new = json!({"added": ["web/public/theme"], "modified": [".gitmodules"]});
        let found = pushed(sender, "web/public/", &new);
        assert!(widened(&found, "submodule"), "{found:?}");
    }
}
