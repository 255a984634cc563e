//! GitHub: HMAC-SHA256 of the body in `X-Hub-Signature-256`. The signature covers the body only, so
//! that the event's name in its header has to fit the payload, and no id in a header counts.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::webhook::branch::Ref;
use crate::webhook::content::{parse, refuse};
use crate::webhook::delivery::Unreadable;
use crate::webhook::headers::hint;
use crate::webhook::push::{Files, Push, Repository, is_foreign};
use crate::webhook::reading::{Ask, Identity, Input, Reading};
use crate::webhook::signature::Mac;

/// Sent after the deploy, not before it.
pub(in crate::webhook) const DEFAULT_EVENTS: [&str; 3] =
    ["workflow_run", "deployment_status", "page_build"];

/// Every event that can be configured.
pub(crate) const EVENTS: [&str; 7] = [
    "push",
    "workflow_run",
    "deployment_status",
    "page_build",
    "release",
    "package",
    "registry_package",
];

/// The commits that a push lists at most, and the files of each.
const MOST_COMMITS: usize = 2048;
const MOST_FILES: usize = 3000;

pub(in crate::webhook) fn mac() -> Mac {
    Mac::of_body("x-hub-signature-256", "sha256=")
}

#[derive(Deserialize)]
struct Common {
    #[serde(default)]
    repository: Option<Repository>,
    #[serde(default)]
    action: Option<String>,
    #[serde(default)]
    workflow_run: Option<WorkflowRun>,
    #[serde(default)]
    deployment_status: Option<DeploymentStatus>,
    #[serde(default)]
    deployment: Option<Deployment>,
    #[serde(default)]
    build: Option<Build>,
    #[serde(default)]
    release: Option<IgnoredAny>,
    #[serde(default)]
    package: Option<IgnoredAny>,
    #[serde(default)]
    registry_package: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct WorkflowRun {
    /// Where the commit is from: another repository for a pull request of a fork, whose branch may
    /// have any name.
    #[serde(default)]
    head_repository: Option<Repository>,
    #[serde(default)]
    conclusion: Option<String>,
    #[serde(default)]
    head_branch: Option<String>,
}

#[derive(Deserialize)]
struct DeploymentStatus {
    state: String,
}

#[derive(Deserialize)]
struct Deployment {
    /// A branch, a tag, or the commit itself, which says nothing of branches.
    #[serde(rename = "ref")]
    reference: String,
    #[serde(default)]
    sha: Option<String>,
}

#[derive(Deserialize)]
struct Build {
    #[serde(default)]
    status: Option<String>,
}

pub(in crate::webhook) fn read(input: &Input<'_>) -> Result<Reading, Unreadable> {
    let Some(event) = hint(input.headers, "x-github-event") else {
        return refuse("X-GitHub-Event", "the header is missing");
    };
    let id = hint(input.headers, "x-github-delivery").map(str::to_owned);
    let mut reading = if event == "ping" {
        Reading::nothing(event, "a ping")
    } else if !input.events.want(event) {
        Reading::unwanted(event)
    } else if event == "push" {
        push(input)?
    } else {
        deployed(event, input)?
    };
    reading.id = id;
    Ok(reading)
}

fn push(input: &Input<'_>) -> Result<Reading, Unreadable> {
    let push: Push<'_> = parse(input.body)?;
    let ask = push.ask(
        input.files,
        &Files {
            says_forced: true,
            says_count: false,
            listed_commits: MOST_COMMITS - 1,
            listed_paths: MOST_FILES - 1,
            gives_up: true,
        },
    )?;
    let mut reading = Reading::of("push", ask);
    reading.refs.push(Ref::parse(&push.reference));
    if let Some(repository) = push.repository {
        // Two pushes of the same commits differ in their time.
        if repository.pushed_at.is_some() {
            reading.identity = Identity::SignedBytes;
        }
        reading.repository.extend(repository.full_name);
    }
    Ok(reading)
}

fn deployed(event: &str, input: &Input<'_>) -> Result<Reading, Unreadable> {
    let body: Common = parse(input.body)?;
    let mut branch = None;
    let (done, found) = match event {
        "workflow_run" => {
            let Some(run) = body.workflow_run else {
                return refuse("workflow_run", "is missing");
            };
            if is_foreign(run.head_repository.as_ref(), body.repository.as_ref()) {
                return Ok(Reading::nothing(event, "the run is about a fork"));
            }
            branch = run.head_branch;
            let completed = body.action.as_deref() == Some("completed");
            (
                completed && run.conclusion.as_deref() == Some("success"),
                "a successful end of a run",
            )
        }
        "deployment_status" => {
            let Some(status) = body.deployment_status else {
                return refuse("deployment_status", "is missing");
            };
            branch = body
                .deployment
                .filter(|of| of.sha.as_ref() != Some(&of.reference))
                .map(|of| of.reference);
            (status.state == "success", "a successful deployment")
        }
        "page_build" => {
            let Some(build) = body.build else {
                return refuse("build", "is missing");
            };
            (build.status.as_deref() == Some("built"), "a finished build")
        }
        _ => (published(event, &body)?, "a publication"),
    };
    let ask = if done {
        Ask::Unlisted("this event lists no files")
    } else {
        Ask::Nothing(format!("it is not {found}").into())
    };
    let mut reading = Reading::of(event, ask);
    // Runs, statuses, builds and releases have ids and times in their payloads.
    reading.identity = Identity::SignedBytes;
    reading.refs.extend(branch.map(|name| Ref::of(&name)));
    let name = body.repository.and_then(|repository| repository.full_name);
    reading.repository.extend(name);
    Ok(reading)
}

/// Whether something was published; the payload has to have it, since the event's name is not signed.
fn published(event: &str, body: &Common) -> Result<bool, Unreadable> {
    let subject = match event {
        "release" => &body.release,
        "package" => &body.package,
        _ => &body.registry_package,
    };
    if subject.is_none() {
        return refuse(event, "is missing");
    }
    Ok(body.action.as_deref() == Some("published"))
}
