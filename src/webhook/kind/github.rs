//! GitHub: HMAC-SHA256 of the body in `X-Hub-Signature-256`. The signature covers the body only, so
//! that the event's name in its header has to fit the payload, and no id in a header counts.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::webhook::auth::headers::hint;
use crate::webhook::auth::signature::{Mac, Scheme};
use crate::webhook::payload::branch::{Ref, is_commit, is_proposal};
use crate::webhook::payload::content::Bounded;
use crate::webhook::payload::content::Unreadable;
use crate::webhook::payload::content::{parse, refuse};
use crate::webhook::payload::environment::{Environment, is_called_production, is_production};
use crate::webhook::payload::pattern::file_of;
use crate::webhook::payload::push::{Files, Hides, Push, Repository, is_foreign};
use crate::webhook::payload::reading::{Ask, Identity, Input, Reading, Run};
use crate::webhook::payload::repository::{Forge, Groups};

use super::{Options, Sender, signature};

/// GitHub, and GitHub Enterprise Server.
pub static SENDER: Sender = Sender {
    example: r#"# GitHub: Settings, Webhooks; content type application/json. Events: workflow_run, deployment_status and page_build, which
# are the default; also push, status, check_run, check_suite, release, package, registry_package.
[[pipeline.webhook]]
route = "/hooks/github"
kind = "github"
credential = "github_secret"
repository = "example/site"    # or a list
events = ["workflow_run"]
branches = ["main"]            # or release/*
workflows = ["deploy.yml"]     # by file or name; left out: every workflow that succeeds
"#,
    known_by: &["x-hub-signature-256"],
    events: &EVENTS,
    push_events: &["push"],
    default_events: &DEFAULT_EVENTS,
    run_events: &RUNS,
    deployment_events: &DEPLOYMENTS,
    forge: Some(Forge {
        groups: Groups::Never,
        data_center: false,
    }),
    ..Sender::new(
        "github",
        &[signature(|| {
            Scheme::Mac(Mac::of_body("x-hub-signature-256", "sha256="))
        })],
        read,
    )
};

/// Sent after the deploy, not before it.
const DEFAULT_EVENTS: [&str; 3] = ["workflow_run", "deployment_status", "page_build"];

/// Every event that can be configured.
const EVENTS: [&str; 10] = [
    "push",
    "workflow_run",
    "deployment_status",
    "page_build",
    "status",
    "check_run",
    "check_suite",
    "release",
    "package",
    "registry_package",
];

/// Those of them that report the end of a run.
const RUNS: [&str; 4] = ["workflow_run", "status", "check_run", "check_suite"];

/// Those of them that report a deployment.
const DEPLOYMENTS: [&str; 1] = ["deployment_status"];

/// The commits that a push lists at most, and the files of each.
const MOST_COMMITS: usize = 2048;
const MOST_FILES: usize = 3000;

/// The branches that GitHub names of a status at most: where it names so many, there may be others.
const MOST_BRANCHES: usize = 10;

/// The environment that GitHub deploys pages to: it is not flagged as production.
const PAGES: &str = "github-pages";

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    repository: Option<Repository>,
    #[serde(default)]
    action: Option<String>,
    /// Also of the deployment that it makes.
    #[serde(default)]
    workflow_run: Option<WorkflowRun>,
    #[serde(default)]
    deployment_status: Option<DeploymentStatus>,
    #[serde(default)]
    deployment: Option<Deployment>,
    #[serde(default)]
    build: Option<Build>,
    #[serde(default)]
    check_run: Option<Check>,
    #[serde(default)]
    check_suite: Option<Check>,
    /// Of a status: its result, its name, and the branches that have the commit.
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    context: Option<String>,
    #[serde(default)]
    branches: Option<Bounded<Branch, MOST_BRANCHES>>,
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
    /// The workflow's name.
    #[serde(default)]
    name: Option<String>,
    /// Its file, and after an `@` the ref that it is from, where that is another one.
    #[serde(default)]
    path: Option<String>,
    /// What started it.
    #[serde(default)]
    event: Option<String>,
}

#[derive(Deserialize)]
struct DeploymentStatus {
    state: String,
    #[serde(default)]
    environment: Option<String>,
}

#[derive(Deserialize)]
struct Deployment {
    /// A branch, a tag, or the commit itself, which says nothing of branches.
    #[serde(rename = "ref")]
    reference: String,
    #[serde(default)]
    sha: Option<String>,
    #[serde(default)]
    environment: Option<String>,
    /// False for every name but `production`, unless who deploys says otherwise.
    #[serde(default)]
    production_environment: Option<bool>,
    /// Whether it will not last.
    #[serde(default)]
    transient_environment: Option<bool>,
}

impl Deployment {
    /// Whether its ref is a commit, in full or shortened.
    fn is_of_commit(&self) -> bool {
        let (reference, sha) = (&self.reference, self.sha.as_deref());
        let shortened = |sha: &str| reference.len() >= 7 && sha.starts_with(reference);
        is_commit(reference) || sha.is_some_and(|sha| sha == reference || shortened(sha))
    }
}

#[derive(Deserialize)]
struct Build {
    #[serde(default)]
    status: Option<String>,
}

/// A run of checks, or a suite of such runs.
#[derive(Deserialize)]
struct Check {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    conclusion: Option<String>,
    /// Of a suite; `null` where the commit is another repository's.
    #[serde(default)]
    head_branch: Option<String>,
    /// The suite that a run belongs to.
    #[serde(default, rename = "check_suite")]
    suite: Option<Suite>,
    #[serde(default)]
    app: Option<App>,
}

#[derive(Deserialize)]
struct Suite {
    #[serde(default)]
    head_branch: Option<String>,
}

#[derive(Deserialize)]
struct App {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    slug: Option<String>,
}

#[derive(Deserialize)]
struct Branch {
    name: String,
}

fn read(input: &Input<'_>, _: &Options) -> Result<Reading, Unreadable> {
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
        deployed(event, parse(input.body)?)?
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
            hides: Hides::All,
        },
    )?;
    let mut reading = Reading::of("push", ask);
    reading.refs.push(Ref::parse(&push.reference));
    if let Some(repository) = push.repository {
        // Two pushes of the same commits differ in their time.
        if repository.pushed_at.is_some() {
            reading.identity = Identity::SignedBytes;
        }
        reading.repository = repository.names();
    }
    Ok(reading)
}

fn deployed(event: &str, body: Event) -> Result<Reading, Unreadable> {
    let mut reading = match event {
        "workflow_run" => workflow_run(&body)?,
        "deployment_status" => deployment_status(&body)?,
        "page_build" => {
            let Some(build) = &body.build else {
                return refuse("build", "is missing");
            };
            let done = build.status.as_deref() == Some("built");
            ended(event, done, "a finished build")
        }
        "status" => status(&body)?,
        "check_run" | "check_suite" => check(event, &body)?,
        _ => ended(event, published(event, &body)?, "a publication"),
    };
    // Runs, statuses, builds and releases have ids and times in their payloads.
    reading.identity = Identity::SignedBytes;
    reading.repository = body.repository.map(Repository::names).unwrap_or_default();
    Ok(reading)
}

fn ended(event: &str, done: bool, what: &str) -> Reading {
    let ask = if done {
        Ask::Unlisted("this event lists no files")
    } else {
        Ask::Nothing(format!("it is not {what}").into())
    };
    Reading::of(event, ask)
}

fn workflow_run(body: &Event) -> Result<Reading, Unreadable> {
    const EVENT: &str = "workflow_run";
    let Some(run) = &body.workflow_run else {
        return refuse(EVENT, "is missing");
    };
    if is_foreign(run.head_repository.as_ref(), body.repository.as_ref()) {
        return Ok(Reading::nothing(EVENT, "the run is about a fork"));
    }
    let completed = body.action.as_deref() == Some("completed");
    let done = completed && run.conclusion.as_deref() == Some("success");
    let mut reading = ended(EVENT, done, "a successful end of a run");
    let branch = run.head_branch.as_ref();
    reading.refs.extend(branch.map(|name| Ref::of(name)));
    let path = run
        .path
        .as_deref()
        .map(|path| path.split('@').next().unwrap_or(path));
    let file = path.and_then(file_of);
    reading.run = Some(Run {
        names: run
            .name
            .iter()
            .cloned()
            .chain(file.map(str::to_owned))
            .collect(),
        proposed: run.event.as_deref().is_some_and(is_proposal),
    });
    Ok(reading)
}

fn deployment_status(body: &Event) -> Result<Reading, Unreadable> {
    const EVENT: &str = "deployment_status";
    let Some(status) = &body.deployment_status else {
        return refuse(EVENT, "is missing");
    };
    let mut reading = ended(EVENT, status.state == "success", "a successful deployment");
    let deployment = body.deployment.as_ref();
    let named = deployment.filter(|of| !of.is_of_commit());
    let branch = match named {
        Some(deployment) => Some(&deployment.reference),
        // A commit says nothing of branches, but the run that deployed it may.
        None => body
            .workflow_run
            .as_ref()
            .and_then(|run| run.head_branch.as_ref()),
    };
    reading.refs.extend(branch.map(|name| Ref::of(name)));
    let name = status
        .environment
        .as_ref()
        .or_else(|| deployment.and_then(|of| of.environment.as_ref()));
    reading.environments = Some(Vec::from_iter(name.map(|name| Environment {
        name: name.clone(),
        production: calls_production(name, deployment),
    })));
    Ok(reading)
}

/// Whether GitHub, or who deployed, calls an environment production.
fn calls_production(name: &str, deployment: Option<&Deployment>) -> bool {
    let flag = |flag: fn(&Deployment) -> Option<bool>| deployment.and_then(flag);
    if flag(|of| of.transient_environment) == Some(true) {
        return false;
    }
    if name.eq_ignore_ascii_case(PAGES) {
        return true;
    }
    match flag(|of| of.production_environment) {
        Some(true) => true,
        // The flag is false for all names but one, of itself.
        Some(false) => is_called_production(name),
        None => is_production(name),
    }
}

fn status(body: &Event) -> Result<Reading, Unreadable> {
    let Some(state) = &body.state else {
        return refuse("state", "is missing");
    };
    let mut reading = ended("status", state == "success", "a success");
    if let Some(branches) = body.branches.as_ref().map(|branches| &branches.items) {
        reading.refs = match branches.len() {
            // GitHub says that no branch has the commit.
            0 => vec![Ref::Other],
            1..MOST_BRANCHES => branches.iter().map(|one| Ref::of(&one.name)).collect(),
            _ => Vec::new(),
        };
    }
    reading.run = Some(Run {
        names: body.context.iter().cloned().collect(),
        proposed: false,
    });
    Ok(reading)
}

fn check(event: &str, body: &Event) -> Result<Reading, Unreadable> {
    let check = if event == "check_run" {
        &body.check_run
    } else {
        &body.check_suite
    };
    let Some(check) = check else {
        return refuse(event, "is missing");
    };
    let branch = match (event, &check.suite) {
        ("check_suite", _) => check.head_branch.as_ref(),
        (_, Some(suite)) => suite.head_branch.as_ref(),
        (_, None) => return refuse("check_run.check_suite", "is missing"),
    };
    let Some(branch) = branch else {
        return Ok(Reading::nothing(event, "the check is about a fork"));
    };
    let completed = body.action.as_deref() == Some("completed");
    let done = completed && check.conclusion.as_deref() == Some("success");
    let mut reading = ended(event, done, "a successful end of a check");
    reading.refs.push(Ref::of(branch));
    let app = check.app.iter().flat_map(|app| [&app.name, &app.slug]);
    reading.run = Some(Run {
        names: [&check.name]
            .into_iter()
            .chain(app)
            .flatten()
            .cloned()
            .collect(),
        proposed: false,
    });
    Ok(reading)
}

/// Whether something was published; the payload has to have it, since the event's name is not signed.
fn published(event: &str, body: &Event) -> Result<bool, Unreadable> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::kind::Kind;
    use crate::webhook::tests::bench::{NOW, holds, route};

    #[test]
    fn what_github_documents_is_believed() {
        holds(
            &route(Kind::new(&SENDER), "It's a Secret to Everybody"),
            &[(
                "x-hub-signature-256",
                "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
            )],
            "Hello, World!",
            NOW,
        );
    }
}
