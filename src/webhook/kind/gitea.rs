//! Gitea and Forgejo: HMAC-SHA256 of the body in a header of their own, which is sent empty where
//! the hook has no secret. A push lists five commits by default, and never says that it was forced.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::webhook::branch::Ref;
use crate::webhook::content::{parse, refuse};
use crate::webhook::delivery::Unreadable;
use crate::webhook::headers::hint;
use crate::webhook::push::{Files, Push, Repository, is_foreign};
use crate::webhook::reading::{Ask, Input, Reading};

/// Sent after the deploy, not before it.
pub(in crate::webhook) const GITEA_DEFAULT_EVENTS: [&str; 1] = ["workflow_run"];
/// Sent after the deploy, not before it.
pub(in crate::webhook) const FORGEJO_DEFAULT_EVENTS: [&str; 2] =
    ["action_run_success", "action_run_recover"];

/// Every event that can be configured.
pub(crate) const GITEA_EVENTS: [&str; 4] = ["push", "workflow_run", "release", "package"];
/// Every event that can be configured.
pub(crate) const FORGEJO_EVENTS: [&str; 5] = [
    "push",
    "action_run_success",
    "action_run_recover",
    "release",
    "package",
];

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::webhook) enum Flavour {
    Gitea,
    Forgejo,
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    action: Option<String>,
    #[serde(default)]
    repository: Option<Repository>,
    #[serde(default)]
    workflow_run: Option<Run>,
    #[serde(default)]
    run: Option<Run>,
    #[serde(default)]
    release: Option<IgnoredAny>,
    #[serde(default)]
    package: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Run {
    #[serde(default)]
    conclusion: Option<String>,
    #[serde(default)]
    head_branch: Option<String>,
    /// Another repository for a pull request of a fork, whose branch may have any name.
    #[serde(default)]
    head_repository: Option<Repository>,
    /// Forgejo's word for that.
    #[serde(default)]
    is_fork_pull_request: bool,
    /// Forgejo's name of the branch.
    #[serde(default)]
    prettyref: Option<String>,
}

pub(in crate::webhook) fn read(
    input: &Input<'_>,
    flavour: Flavour,
    assume_no_force_push: bool,
) -> Result<Reading, Unreadable> {
    let (event, delivery) = match flavour {
        Flavour::Gitea => ("x-gitea-event", "x-gitea-delivery"),
        Flavour::Forgejo => ("x-forgejo-event", "x-forgejo-delivery"),
    };
    let Some(event) = hint(input.headers, event) else {
        return refuse(event, "the header is missing");
    };
    let mut reading = if event.starts_with("action_run") {
        action_run(input)?
    } else if !input.events.want(event) {
        Reading::unwanted(event)
    } else if event == "push" {
        push(input, assume_no_force_push)?
    } else {
        deployed(event, input)?
    };
    reading.id = hint(input.headers, delivery).map(str::to_owned);
    Ok(reading)
}

fn push(input: &Input<'_>, assume_no_force_push: bool) -> Result<Reading, Unreadable> {
    let push: Push<'_> = parse(input.body)?;
    let ask = push.ask(
        input.files,
        &Files {
            says_forced: !assume_no_force_push,
            says_count: true,
            listed_commits: usize::MAX,
            listed_paths: usize::MAX,
            gives_up: false,
        },
    )?;
    let mut reading = Reading::of("push", ask);
    reading.refs.push(Ref::parse(&push.reference));
    let name = push.repository.and_then(|repository| repository.full_name);
    reading.repository.extend(name);
    Ok(reading)
}

/// Forgejo's events of its Actions: the body says which.
fn action_run(input: &Input<'_>) -> Result<Reading, Unreadable> {
    let body: Event = parse(input.body)?;
    let Some(action) = &body.action else {
        return refuse("action", "is missing");
    };
    let Some(run) = &body.run else {
        return refuse("run", "is missing");
    };
    let event = format!("action_run_{action}");
    if !input.events.want(&event) {
        return Ok(Reading::unwanted(&event));
    }
    if run.is_fork_pull_request {
        return Ok(Reading::nothing(&event, "the run is about a fork"));
    }
    let mut reading = Reading::of(&event, Ask::Unlisted("this event lists no files"));
    let branch = run.head_branch.as_ref().or(run.prettyref.as_ref());
    reading.refs.extend(branch.map(|name| Ref::of(name)));
    let name = body.repository.and_then(|repository| repository.full_name);
    reading.repository.extend(name);
    Ok(reading)
}

fn deployed(event: &str, input: &Input<'_>) -> Result<Reading, Unreadable> {
    let body: Event = parse(input.body)?;
    let mut branch = None;
    let done = match (event, body.action.as_deref()) {
        ("workflow_run", action) => {
            let Some(run) = body.workflow_run else {
                return refuse("workflow_run", "is missing");
            };
            if is_foreign(run.head_repository.as_ref(), body.repository.as_ref()) {
                return Ok(Reading::nothing(event, "the run is about a fork"));
            }
            branch = run.head_branch;
            action == Some("completed") && run.conclusion.as_deref() == Some("success")
        }
        ("release", action) if body.release.is_some() => action == Some("published"),
        ("package", action) if body.package.is_some() => action == Some("created"),
        _ => return refuse(event, "is missing"),
    };
    let ask = if done {
        Ask::Unlisted("this event lists no files")
    } else {
        Ask::Nothing("it has not succeeded, or not yet".into())
    };
    let mut reading = Reading::of(event, ask);
    reading.refs.extend(branch.map(|name| Ref::of(&name)));
    let name = body.repository.and_then(|repository| repository.full_name);
    reading.repository.extend(name);
    Ok(reading)
}
