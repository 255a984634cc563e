//! Gitea and Forgejo: HMAC-SHA256 of the body in a header of their own, which is sent empty where
//! the hook has no secret. A push lists five commits by default, and never says that it was forced.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::webhook::auth::headers::hint;
use crate::webhook::auth::signature::{Mac, Scheme};
use crate::webhook::payload::branch::{Ref, is_proposal, is_proposed};
use crate::webhook::payload::content::Unreadable;
use crate::webhook::payload::content::{parse, refuse};
use crate::webhook::payload::pattern::file_of;
use crate::webhook::payload::push::{Files, Hides, Push, Repository, is_foreign};
use crate::webhook::payload::reading::{Ask, Input, Reading, Run};
use crate::webhook::payload::repository::{Forge, Groups};

use super::{ASSUME_NO_FORCE_PUSH, Auth, Options, Sender, signature};

/// Gitea.
pub static GITEA: Sender = Sender {
    example: r#"# Gitea: Settings, Webhooks, Gitea; POST, application/json. Events: push workflow_run status release package.
[[pipeline.webhook]]
route = "/hooks/gitea"
kind = "gitea"
credential = "gitea_secret"
#events = ["workflow_run"]     # the default; Gitea 1.25 and later
branches = ["main"]
"#,
    known_by: &["x-gitea-signature"],
    events: &["push", "workflow_run", "status", "release", "package"],
    default_events: &["workflow_run"],
    run_events: &["workflow_run", "status"],
    ..both(
        "gitea",
        &[signature(|| {
            Scheme::Mac(Mac::of_body("x-gitea-signature", ""))
        })],
        |input, options| read(input, Flavour::Gitea, options.assume_no_force_push),
    )
};

/// Forgejo.
pub static FORGEJO: Sender = Sender {
    example: r#"# Forgejo: Settings, Webhooks, Forgejo; POST, application/json. Events: push action_run_success action_run_recover release
# package.
[[pipeline.webhook]]
route = "/hooks/forgejo"
kind = "forgejo"
credential = "forgejo_secret"
#events = ["action_run_success", "action_run_recover"] # the default
branches = ["main"]
"#,
    known_by: &["x-forgejo-signature"],
    events: &[
        "push",
        "action_run_success",
        "action_run_recover",
        "release",
        "package",
    ],
    default_events: &["action_run_success", "action_run_recover"],
    run_events: &["action_run_success", "action_run_recover"],
    ..both(
        "forgejo",
        &[signature(|| {
            Scheme::Mac(Mac::of_body("x-forgejo-signature", ""))
        })],
        |input, options| read(input, Flavour::Forgejo, options.assume_no_force_push),
    )
};
/// What the two have in common.
const fn both(
    name: &'static str,
    auths: &'static [Auth],
    read: fn(&Input<'_>, &Options) -> Result<Reading, Unreadable>,
) -> Sender {
    Sender {
        keys: &[ASSUME_NO_FORCE_PUSH],
        push_events: &["push"],
        forge: Some(Forge {
            groups: Groups::InAddresses,
            data_center: false,
        }),
        ..Sender::new(name, auths, read)
    }
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flavour {
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
    workflow_run: Option<WorkflowRun>,
    #[serde(default)]
    run: Option<ActionRun>,
    /// Of a status: its result, and its name.
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    context: Option<String>,
    #[serde(default)]
    release: Option<IgnoredAny>,
    #[serde(default)]
    package: Option<IgnoredAny>,
}

/// Gitea's.
#[derive(Deserialize)]
struct WorkflowRun {
    #[serde(default)]
    conclusion: Option<String>,
    /// Left out where the run is about no branch.
    #[serde(default)]
    head_branch: Option<String>,
    /// Another repository for a pull request of a fork, whose branch may have any name.
    #[serde(default)]
    head_repository: Option<Repository>,
    /// The workflow's file, and after an `@` the full ref.
    #[serde(default)]
    path: Option<String>,
    /// What started it.
    #[serde(default)]
    event: Option<String>,
}

/// Forgejo's.
#[derive(Deserialize)]
struct ActionRun {
    /// The payload has it nowhere else.
    #[serde(default)]
    repository: Option<Repository>,
    /// The workflow's file.
    #[serde(default)]
    workflow_id: Option<String>,
    #[serde(default)]
    is_fork_pull_request: bool,
    /// The name of the branch or tag, or `#` and the number of a pull request.
    #[serde(default)]
    prettyref: Option<String>,
    /// What started it.
    #[serde(default)]
    event: Option<String>,
    #[serde(default)]
    trigger_event: Option<String>,
    /// The payload of that, as text.
    #[serde(default)]
    event_payload: Option<String>,
}

#[derive(Deserialize)]
struct Started {
    #[serde(default, rename = "ref")]
    reference: Option<String>,
}

fn read(
    input: &Input<'_>,
    flavour: Flavour,
    assume_no_force_push: bool,
) -> Result<Reading, Unreadable> {
    let (event, kind, delivery) = match flavour {
        Flavour::Gitea => ("x-gitea-event", "x-gitea-event-type", "x-gitea-delivery"),
        Flavour::Forgejo => (
            "x-forgejo-event",
            "x-forgejo-event-type",
            "x-forgejo-delivery",
        ),
    };
    // Of some events the first is sent empty.
    let Some(event) = hint(input.headers, event).or_else(|| hint(input.headers, kind)) else {
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
            hides: Hides::Nothing,
        },
    )?;
    let mut reading = Reading::of("push", ask);
    reading.refs.push(Ref::parse(&push.reference));
    reading.repository = push.repository.map(Repository::names).unwrap_or_default();
    Ok(reading)
}

/// Forgejo's events of its Actions: the body says which.
fn action_run(input: &Input<'_>) -> Result<Reading, Unreadable> {
    let body: Event = parse(input.body)?;
    let Some(action) = &body.action else {
        return refuse("action", "is missing");
    };
    let Some(run) = body.run else {
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
    reading.refs.extend(run.about());
    let started = [&run.event, &run.trigger_event].into_iter().flatten();
    reading.run = Some(Run {
        proposed: started.into_iter().any(|event| is_proposal(event)),
        names: Vec::from_iter(run.workflow_id),
    });
    let repository = body.repository.or(run.repository);
    reading.repository = repository.map(Repository::names).unwrap_or_default();
    Ok(reading)
}

impl ActionRun {
    /// The ref that it is about: a pretty one is the same for a tag and a branch, but what started the
    /// run says which it is.
    fn about(&self) -> Option<Ref> {
        let payload = self.event_payload.as_deref().unwrap_or_default();
        let started: Option<Started> = serde_json::from_str(payload).ok();
        let full = started.and_then(|started| started.reference);
        let full = full.filter(|reference| reference.starts_with("refs/"));
        full.as_ref()
            .or(self.prettyref.as_ref())
            .map(|name| Ref::of(name))
    }
}

fn deployed(event: &str, input: &Input<'_>) -> Result<Reading, Unreadable> {
    let body: Event = parse(input.body)?;
    let (mut refs, mut run) = (Vec::new(), None);
    let done = match (event, body.action.as_deref()) {
        ("workflow_run", action) => {
            let Some(of) = body.workflow_run else {
                return refuse("workflow_run", "is missing");
            };
            if is_foreign(of.head_repository.as_ref(), body.repository.as_ref()) {
                return Ok(Reading::nothing(event, "the run is about a fork"));
            }
            let path = of.path.as_deref().unwrap_or_default();
            let (file, full) = path.split_once('@').unwrap_or((path, ""));
            if !full.is_empty() {
                refs.push(Ref::parse(full));
            } else if let Some(branch) = of.head_branch.filter(|name| !name.is_empty()) {
                refs.push(Ref::of(&branch));
            }
            run = Some(Run {
                names: file_of(file).map(str::to_owned).into_iter().collect(),
                proposed: is_proposed(full) || of.event.as_deref().is_some_and(is_proposal),
            });
            action == Some("completed") && of.conclusion.as_deref() == Some("success")
        }
        ("status", _) => {
            let Some(state) = body.state else {
                return refuse("state", "is missing");
            };
            run = Some(Run {
                names: Vec::from_iter(body.context),
                proposed: false,
            });
            state == "success"
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
    (reading.refs, reading.run) = (refs, run);
    reading.repository = body.repository.map(Repository::names).unwrap_or_default();
    Ok(reading)
}
