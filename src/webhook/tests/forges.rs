//! Pushes and deploys of GitHub, GitLab, Gitea, Forgejo and Bitbucket.

use serde_json::{Value, json};

use super::bench::*;
use super::senders::Sender;
use crate::webhook::*;

/// A push that lists all that it changed, in this forge's form.
fn push(sender: Sender) -> Value {
    // GitLab lists a renamed file as an added one, so that a list with such is not complete.
    let (added, modified) = match sender {
        Sender::GitlabToken => (
            vec![],
            vec!["public/new.html", "src/main.rs", "public/a/b.css"],
        ),
        _ => (
            vec!["public/new.html"],
            vec!["src/main.rs", "public/a/b.css"],
        ),
    };
    let commits = json!([
        {"id": "1", "added": added, "modified": modified, "removed": []},
        {"id": "2", "added": [], "modified": ["public/a/b.css"], "removed": ["public/caf\u{e9} x.html"]},
    ]);
    let mut push = json!({
        "ref": "refs/heads/main", "before": "1".repeat(40), "after": "2".repeat(40), "commits": commits,
    });
    let more = match sender {
        Sender::Github => json!({
            "created": false, "deleted": false, "forced": false,
            "repository": {"full_name": "example/site", "pushed_at": 1_700_000_000},
        }),
        Sender::GitlabToken => json!({
            "object_kind": "push", "total_commits_count": 2,
            "project": {"path_with_namespace": "example/site"}, "repository": {"name": "site"},
        }),
        _ => json!({"total_commits": 2, "repository": {"full_name": "example/site"}}),
    };
    let push_fields = push.as_object_mut().unwrap();
    push_fields.extend(more.as_object().unwrap().clone());
    push
}

fn event(sender: Sender) -> &'static str {
    match sender {
        Sender::Gitea => "x-gitea-event",
        Sender::Forgejo => "x-forgejo-event",
        _ => "x-github-event",
    }
}

const FORGES: [Sender; 4] = [
    Sender::Github,
    Sender::GitlabToken,
    Sender::Gitea,
    Sender::Forgejo,
];

/// A route that trusts lists, of a branch without forced pushes.
fn files_route(sender: Sender) -> RouteSettings {
    let kind = trusting(sender.kind());
    RouteSettings {
        events: Some(vec!["push".to_owned()]),
        purge: Some(Purge::Files),
        files_root: "public/".to_owned(),
        ..settings(kind)
    }
}

#[track_caller]
fn pushed(sender: Sender, settings: RouteSettings, change: impl Fn(&mut Value)) -> Wish {
    let mut body = push(sender);
    change(&mut body);
    wish(settings, &[(event(sender), "push")], &body.to_string())
}

#[test]
fn a_complete_list_is_the_union_of_its_commits_below_files_root() {
    for sender in FORGES {
        let found = pushed(sender, files_route(sender), |_| {});
        assert_eq!(
            found,
            files(&["a/b.css", "caf\u{e9} x.html", "new.html"]),
            "{sender:?}"
        );
        let mut all = files_route(sender);
        all.files_root = String::new();
        let Wish::Files(found) = pushed(sender, all, |_| {}) else {
            panic!("files");
        };
        assert_eq!(found.len(), 4);
        let mut elsewhere = files_route(sender);
        elsewhere.files_root = "docs/".to_owned();
        let found = pushed(sender, elsewhere, |_| {});
        assert!(nothing(&found, "files_root"), "{found:?}");
    }
}

#[test]
fn a_commit_that_github_could_not_list_in_time_is_not_one_without_files() {
    let empty = json!({"id": "3", "added": [], "modified": [], "removed": []});
    for sender in FORGES {
        let found = pushed(sender, files_route(sender), |body| {
            body["commits"][1] = empty.clone();
        });
        // The others always list what they found.
        let gives_up = sender == Sender::Github;
        assert_eq!(widened(&found, "no files"), gives_up, "{sender:?}");
    }
}

#[test]
fn a_list_that_may_not_be_complete_becomes_a_scan_and_says_why() {
    let lists = ["added", "modified", "removed"];
    for sender in FORGES {
        let scan = |word: &str, change: &dyn Fn(&mut Value)| {
            let found = pushed(sender, files_route(sender), change);
            assert!(widened(&found, word), "{sender:?} {word}: {found:?}");
        };
        scan("new", &|b| b["before"] = json!("0".repeat(40)));
        scan("new", &|b| b["before"] = json!("0".repeat(64)));
        scan("not a push to a branch", &|b| {
            b["ref"] = json!("refs/tags/v1");
        });
        for list in lists {
            scan("does not list its files", &|b| {
                b["commits"][1].as_object_mut().unwrap().remove(list);
            });
            scan("does not list its files", &|b| {
                b["commits"][0][list] = Value::Null;
            });
        }
        scan("no commits", &|b| {
            b["commits"] = json!([]);
            b["total_commits"] = json!(0);
            b["total_commits_count"] = json!(0);
        });
        scan("no commits", &|b| {
            b.as_object_mut().unwrap().remove("commits");
        });
        for path in [
            "a\nb",
            "../../etc/passwd",
            "a\\b",
            "a//b",
            "",
            "/etc",
            "x\u{0}",
            "https://a/b",
            &"x".repeat(3000),
        ] {
            scan("refused", &|b| {
                b["commits"][0]["modified"] = json!(["ok.html", path]);
            });
        }
        let many: Vec<String> = (0..10_001).map(|at| format!("f{at}")).collect();
        let word = if sender == Sender::Github {
            "more files than are listed"
        } else {
            "10000 files"
        };
        if sender != Sender::Github {
            scan(word, &|b| b["commits"][0]["modified"] = json!(many));
        }
    }
    let github = |word: &str, change: &dyn Fn(&mut Value)| {
        let found = pushed(Sender::Github, files_route(Sender::Github), change);
        assert!(widened(&found, word), "{word}: {found:?}");
    };
    github("forced", &|b| b["forced"] = json!(true));
    github("does not say", &|b| {
        b.as_object_mut().unwrap().remove("forced");
    });
    github("new", &|b| b["created"] = json!(true));
    let files: Vec<String> = (0..3000).map(|at| format!("f{at}")).collect();
    github("more files than are listed", &|b| {
        b["commits"][0]["added"] = json!(files);
    });
    let commit = json!({"added": [], "modified": ["a"], "removed": []});
    let commits = vec![commit; 2048];
    github("more commits than are listed", &|b| {
        b["commits"] = json!(commits);
    });

    for sender in [Sender::GitlabToken, Sender::Gitea, Sender::Forgejo] {
        for count in [json!(3), json!(1), Value::Null] {
            let found = pushed(sender, files_route(sender), |b| {
                b["total_commits"] = count.clone();
                b["total_commits_count"] = count.clone();
            });
            assert!(widened(&found, "more commits"), "{sender:?} {found:?}");
        }
        // The configuration does not say that no push is forced.
        let mut settings = files_route(sender);
        settings.kind = sender.kind();
        let found = pushed(sender, settings, |_| {});
        assert!(widened(&found, "forced"), "{sender:?} {found:?}");
    }
}

#[test]
fn without_an_origin_a_doubtful_list_becomes_everything() {
    let mut settings = files_route(Sender::Github);
    settings.origins = Origins::None;
    let found = pushed(Sender::Github, settings, |b| b["forced"] = json!(true));
    assert!(matches!(found, Wish::All { because: Some(why) } if why.contains("forced")));
}

#[test]
fn a_deleted_branch_asks_for_nothing() {
    for sender in FORGES {
        for zeros in [40, 64] {
            let found = pushed(sender, files_route(sender), |b| {
                b["after"] = json!("0".repeat(zeros));
            });
            assert!(nothing(&found, "deleted"), "{sender:?} {found:?}");
        }
    }
    let found = pushed(Sender::Github, files_route(Sender::Github), |b| {
        b["deleted"] = json!(true);
    });
    assert!(nothing(&found, "deleted"));
}

#[test]
fn another_branch_tag_or_repository_asks_for_nothing() {
    for sender in FORGES {
        let mut settings = files_route(sender);
        settings.branches = vec!["main".to_owned()];
        settings.repositories = vec!["example/site".to_owned()];
        let change = |change: &dyn Fn(&mut Value)| pushed(sender, settings.clone(), change);
        assert!(matches!(change(&|_| {}), Wish::Files(_)));
        assert!(nothing(
            &change(&|b| b["ref"] = json!("refs/heads/mainly")),
            "mainly"
        ));
        assert!(nothing(
            &change(&|b| b["ref"] = json!("refs/tags/main")),
            "not about a branch"
        ));
        assert!(nothing(
            &change(&|b| b["ref"] = json!("main")),
            "not about a branch"
        ));
        let other = change(&|b| {
            b["repository"]["full_name"] = json!("example/other");
            b["project"]["path_with_namespace"] = json!("example/other");
        });
        assert!(nothing(&other, "another repository"), "{other:?}");
        // What is pinned has to be there.
        let mut body = push(sender);
        body.as_object_mut().unwrap().remove("repository");
        body.as_object_mut().unwrap().remove("project");
        let found = wish(
            settings.clone(),
            &[(event(sender), "push")],
            &body.to_string(),
        );
        assert!(
            nothing(
                &found,
                "names no repository, and the route is for example/site"
            ),
            "{found:?}"
        );
    }
}

#[test]
fn nothing_of_a_branchs_name_reaches_a_log_as_it_is() {
    let mut settings = files_route(Sender::Github);
    settings.branches = vec!["main".to_owned()];
    let found = pushed(Sender::Github, settings, |b| {
        b["ref"] = json!(format!(
            "refs/heads/x\u{1b}[31m\n\u{202e}{}",
            "y".repeat(10_000)
        ));
    });
    let Wish::Nothing(why) = found else {
        panic!("{found:?}");
    };
    assert!(
        why.len() < 300 && !why.chars().any(char::is_control),
        "{why}"
    );
    assert!(!why.contains('\u{202e}'));
}

#[test]
fn a_push_is_not_what_counts_unless_it_is_chosen() {
    for sender in FORGES {
        let mut settings = files_route(sender);
        settings.events = None;
        let found = pushed(sender, settings, |_| {});
        assert!(nothing(&found, "not among the route's events"), "{found:?}");
    }
}

#[test]
fn a_push_with_another_purpose_is_not_read_for_its_files() {
    for (purge, expected) in [
        (None, Wish::Scan { because: None }),
        (Some(Purge::All), Wish::All { because: None }),
    ] {
        let mut settings = files_route(Sender::Github);
        settings.purge = purge;
        let found = pushed(Sender::Github, settings, |b| {
            b["commits"] = json!("no list");
        });
        assert_eq!(found, expected);
    }
}

#[test]
fn what_is_no_push_is_told_with_its_field() {
    let settings = || files_route(Sender::Github);
    let field = |body: &str| match read(settings(), &[("x-github-event", "push")], body) {
        Err(Unreadable::Payload { field, problem }) => (field, problem),
        other => panic!("{other:?}"),
    };
    assert_eq!(field("{}").1, "missing field `ref`");
    assert_eq!(field("[]").1, "has to be an object");
    assert_eq!(field("null").1, "has to be an object");
    let mut body = push(Sender::Github);
    body["before"] = json!({"evil\u{1b}": 1});
    assert_eq!(
        field(&body.to_string()),
        ("before".to_owned(), "has to be a string".to_owned())
    );
    let mut body = push(Sender::Github);
    body["repository"]["full_name"] = json!(5);
    assert_eq!(field(&body.to_string()).0, "repository.full_name");
    let mut body = push(Sender::Github);
    body["commits"] = json!([{"added": [1], "modified": [], "removed": []}]);
    assert_eq!(field(&body.to_string()).0, "commits");
    let twice = r#"{"ref":"refs/heads/a","ref":"refs/heads/b","before":"1","after":"2"}"#;
    assert!(field(twice).1.contains("duplicate"));
    // The event is in an unsigned header, so it has to fit.
    let found = read(files_route(Sender::Github), &[], "{}");
    assert!(matches!(found, Err(Unreadable::Payload { field, .. }) if field == "X-GitHub-Event"));
    let mut runs = files_route(Sender::Github);
    runs.events = None;
    let found = read(
        runs,
        &[("x-github-event", "workflow_run")],
        &push(Sender::Github).to_string(),
    );
    assert!(matches!(found, Err(Unreadable::Payload { field, .. }) if field == "workflow_run"));
}

#[test]
fn githubs_events_after_the_deploy() {
    let of = |event: &str, body: &Value| {
        wish(
            settings(Kind::new(&kind::github::SENDER)),
            &[("x-github-event", event)],
            &body.to_string(),
        )
    };
    let scan = Wish::Scan { because: None };
    let repository = json!({"full_name": "example/site"});
    let run = |action: &str, conclusion: Value| {
        json!({"action": action, "repository": repository,
            "workflow_run": {"conclusion": conclusion, "head_branch": "main"}})
    };
    assert_eq!(
        of("workflow_run", &run("completed", json!("success"))),
        scan
    );
    for other in [
        run("requested", Value::Null),
        run("completed", json!("failure")),
        run("in_progress", json!("success")),
    ] {
        assert!(
            nothing(&of("workflow_run", &other), "not a successful"),
            "{other}"
        );
    }
    let status =
        |state: &str| json!({"repository": repository, "deployment_status": {"state": state}});
    assert_eq!(of("deployment_status", &status("success")), scan);
    assert!(nothing(&of("deployment_status", &status("pending")), "not"));
    let mut of_commit = status("success");
    for (reference, counts) in [("main", true), ("0b3a", true), ("draft", false)] {
        of_commit["deployment"] = json!({"ref": reference, "sha": "0b3a"});
        let found = wish(
            RouteSettings {
                branches: vec!["main".to_owned()],
                ..settings(Kind::new(&kind::github::SENDER))
            },
            &[("x-github-event", "deployment_status")],
            &of_commit.to_string(),
        );
        assert_eq!(found == scan, counts, "{reference}: {found:?}");
    }
    let build = |status: &str| json!({"repository": repository, "build": {"status": status}});
    assert_eq!(of("page_build", &build("built")), scan);
    assert!(nothing(&of("page_build", &build("errored")), "not"));
    assert!(nothing(&of("ping", &json!({"zen": "."})), "ping"));
    assert!(nothing(&of("issues", &json!({})), "issues"));

    let mut settings = settings(Kind::new(&kind::github::SENDER));
    settings.branches = vec!["live".to_owned()];
    let found = wish(
        settings,
        &[("x-github-event", "workflow_run")],
        &run("completed", json!("success")).to_string(),
    );
    assert!(nothing(&found, "main"));
}

#[test]
fn gitlabs_events_after_the_deploy() {
    let kind = || Sender::GitlabToken.kind();
    let project = json!({"path_with_namespace": "example/site"});
    let of = |events: &[&str], body: Value| {
        let mut settings = settings(kind());
        settings.branches = vec!["main".to_owned()];
        if !events.is_empty() {
            settings.events = Some(events.iter().map(|e| (*e).to_owned()).collect());
        }
        wish(
            settings,
            &[("x-gitlab-event", "whatever")],
            &body.to_string(),
        )
    };
    let scan = Wish::Scan { because: None };
    let deployment = |status: &str, branch: &str| json!({"object_kind": "deployment", "status": status, "ref": branch, "project": project});
    assert_eq!(of(&[], deployment("success", "main")), scan);
    assert!(nothing(&of(&[], deployment("running", "main")), "not yet"));
    assert!(nothing(&of(&[], deployment("success", "other")), "other"));
    let pipeline = |status: &str, tag: bool| {
        json!({"object_kind": "pipeline", "project": project,
            "object_attributes": {"status": status, "ref": "main", "tag": tag}})
    };
    assert!(nothing(&of(&[], pipeline("success", false)), "pipeline"));
    assert_eq!(of(&["pipeline"], pipeline("success", false)), scan);
    assert!(nothing(
        &of(&["pipeline"], pipeline("failed", false)),
        "not yet"
    ));
    assert!(nothing(
        &of(&["pipeline"], pipeline("success", true)),
        "branch"
    ));
    let mut merge = pipeline("success", false);
    merge["object_attributes"]["source"] = json!("merge_request_event");
    assert!(nothing(&of(&["pipeline"], merge), "merge request"));
    let job = json!({"object_kind": "build", "build_status": "success", "ref": "main", "tag": false, "project": project});
    assert_eq!(of(&["build"], job), scan);
    let release =
        json!({"object_kind": "release", "action": "create", "tag": "v1", "project": project});
    assert_eq!(of(&["release"], release), scan);
    // Of a hook of the whole instance: an error would count against the hook.
    assert!(nothing(
        &of(&[], json!({"event_name": "user_create"})),
        "user_create"
    ));
    assert!(read(settings(kind()), &[], "{}").is_err());
}

#[test]
fn giteas_and_forgejos_events_after_the_deploy() {
    let repository = json!({"full_name": "example/site"});
    let run = json!({"action": "completed", "repository": repository,
        "workflow_run": {"status": "completed", "conclusion": "success", "head_branch": "main"}});
    let found = wish(
        settings(Sender::Gitea.kind()),
        &[
            ("x-gitea-event", "workflow_run"),
            ("x-github-event", "ping"),
        ],
        &run.to_string(),
    );
    assert_eq!(found, Wish::Scan { because: None });
    for (event, action, expected) in [
        ("action_run_success", "success", true),
        ("action_run", "success", true),
        ("action_run_recover", "recover", true),
        ("action_run_failure", "failure", false),
        // The header is not signed: the body says what it is.
        ("action_run_success", "failure", false),
    ] {
        let body = json!({"action": action, "run": {"id": 1, "prettyref": "main"}, "repository": repository});
        let found = wish(
            settings(Sender::Forgejo.kind()),
            &[("x-forgejo-event", event)],
            &body.to_string(),
        );
        assert_eq!(
            found == Wish::Scan { because: None },
            expected,
            "{event} {action} {found:?}"
        );
    }
}

#[test]
fn bitbuckets_events() {
    let of = |events: &[&str], event: &str, body: Value| {
        let mut settings = settings(Kind::new(&kind::bitbucket::SENDER));
        settings.branches = vec!["main".to_owned()];
        if !events.is_empty() {
            settings.events = Some(events.iter().map(|e| (*e).to_owned()).collect());
        }
        wish(settings, &[("x-event-key", event)], &body.to_string())
    };
    let scan = Wish::Scan { because: None };
    let cloud = |kind: &str, name: &str| {
        json!({"repository": {"full_name": "example/site"},
            "push": {"changes": [{"new": null}, {"new": {"type": kind, "name": name}}]}})
    };
    assert!(nothing(
        &of(&[], "repo:push", cloud("branch", "main")),
        "repo:push"
    ));
    assert_eq!(
        of(&["repo:push"], "repo:push", cloud("branch", "main")),
        scan
    );
    assert!(nothing(
        &of(&["repo:push"], "repo:push", cloud("branch", "dev")),
        "dev"
    ));
    assert!(nothing(
        &of(&["repo:push"], "repo:push", cloud("tag", "main")),
        "branch"
    ));
    let gone = json!({"push": {"changes": [{"new": null}]}});
    assert!(nothing(&of(&["repo:push"], "repo:push", gone), "deleted"));
    // The branch that counts may be the one that was not looked at.
    let many = vec![json!({"new": {"type": "branch", "name": "dev"}}); 1001];
    let many = json!({"push": {"changes": many}});
    assert_eq!(of(&["repo:push"], "repo:push", many), scan);
    let status = |state: &str| json!({"commit_status": {"state": state, "refname": "main"}});
    assert_eq!(
        of(&[], "repo:commit_status_updated", status("SUCCESSFUL")),
        scan
    );
    assert!(nothing(
        &of(&[], "repo:commit_status_updated", status("FAILED")),
        "not yet"
    ));
    let center = |kind: &str| {
        json!({"repository": {"slug": "site", "project": {"key": "WEB"}},
            "changes": [{"ref": {"id": "refs/heads/main"}, "type": kind}]})
    };
    assert_eq!(of(&[], "repo:refs_changed", center("UPDATE")), scan);
    assert!(nothing(
        &of(&[], "repo:refs_changed", center("DELETE")),
        "deleted"
    ));
    assert!(nothing(
        &of(&[], "diagnostics:ping", json!({"test": true})),
        "ping"
    ));
    let mut pinned = settings(Kind::new(&kind::bitbucket::SENDER));
    pinned.repositories = vec!["WEB/site".to_owned()];
    let found = wish(
        pinned,
        &[("x-event-key", "repo:refs_changed")],
        &center("ADD").to_string(),
    );
    assert_eq!(found, scan);
}
