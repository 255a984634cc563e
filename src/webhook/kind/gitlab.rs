//! GitLab: its secret token as it is in `X-Gitlab-Token`, or, from GitLab 19.0 on, a signing token
//! as Standard Webhooks has it. A push lists 20 commits at most, never says that it was forced, and
//! lists a renamed file by its new name only.

use axum::http::HeaderName;
use serde::Deserialize;

use crate::webhook::auth::headers::hint;
use crate::webhook::auth::signature::Scheme;
use crate::webhook::payload::branch::{Ref, is_proposal, is_proposed};
use crate::webhook::payload::content::Bounded;
use crate::webhook::payload::content::Unreadable;
use crate::webhook::payload::content::{parse, refuse};
use crate::webhook::payload::environment::{Environment, is_production};
use crate::webhook::payload::push::{Files, Hides, Project, Push};
use crate::webhook::payload::reading::{Ask, Identity, Input, Reading, Run};
use crate::webhook::payload::repository::{Forge, Groups};

use super::{ASSUME_NO_FORCE_PUSH, Auth, How, Options, Sender, standard};

/// GitLab.
pub static SENDER: Sender = Sender {
    example: r#"# GitLab: Settings, Webhooks; the secret token as it is, or (auth = "signing_token", GitLab 19.0 and later) the signing
# token, whsec_...; one never counts for the other. Events: push tag_push deployment pipeline build release.
[[pipeline.webhook]]
route = "/hooks/gitlab"
kind = "gitlab"
credential = "gitlab_token"
repository = "example/site"
#events = ["deployment"]       # the default
# GitLab, Gitea and Forgejo don't say that a push was forced, so that its list of files is not
# trusted; true where the branch is protected from that. For purge = "files". GitLab's lists with added files
# are never trusted: a renamed file is one of them, and its old name is not listed.
#assume_no_force_push = false
"#,
    known_by: &["x-gitlab-token"],
    keys: &[ASSUME_NO_FORCE_PUSH],
    events: &EVENTS,
    push_events: &["push", "tag_push"],
    default_events: &DEFAULT_EVENTS,
    run_events: &RUNS,
    deployment_events: &DEPLOYMENTS,
    forge: Some(Forge {
        groups: Groups::Always,
        data_center: false,
    }),
    ..Sender::new("gitlab", &AUTHS, read)
};

/// Never both, and never one in place of the other.
const AUTHS: [Auth; 2] = [
    // The secret token, as it is.
    Auth {
        name: "token",
        how: How::Fixed(|| Scheme::Token(HeaderName::from_static("x-gitlab-token"), String::new())),
    },
    // The signing token, `whsec_…`, of GitLab 19.0 and later.
    Auth {
        name: "signing_token",
        how: How::Fixed(|| Scheme::Own(&standard::HMAC, None)),
    },
];

/// Sent after the deploy, not before it.
const DEFAULT_EVENTS: [&str; 1] = ["deployment"];

/// Every event that can be configured, as `object_kind` has it.
const EVENTS: [&str; 6] = [
    "push",
    "tag_push",
    "deployment",
    "pipeline",
    "build",
    "release",
];

/// Those of them that report the end of a run.
const RUNS: [&str; 2] = ["pipeline", "build"];

/// Those of them that report a deployment.
const DEPLOYMENTS: [&str; 3] = ["deployment", "pipeline", "build"];

/// The jobs of a pipeline that are looked at.
const MOST_JOBS: usize = 2000;

const UNLISTED: Ask = Ask::Unlisted("this event lists no files");

#[derive(Deserialize)]
struct Kind {
    #[serde(default)]
    object_kind: Option<String>,
    /// All that some events of the whole instance have. They are about nothing that is deployed, and
    /// GitLab switches a hook off that answers them with errors.
    #[serde(default)]
    event_name: Option<String>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    project: Option<Project>,
    /// Where a job of an older GitLab says what it is about.
    #[serde(default)]
    repository: Option<Homepage>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    build_status: Option<String>,
    #[serde(default)]
    build_name: Option<String>,
    #[serde(default)]
    action: Option<String>,
    #[serde(default)]
    object_attributes: Option<Attributes>,
    #[serde(default, rename = "ref")]
    reference: Option<String>,
    #[serde(default)]
    tag: Option<Tag>,
    #[serde(default)]
    environment: Option<Place>,
    /// Of a deployment.
    #[serde(default)]
    environment_tier: Option<String>,
    /// The jobs of a pipeline.
    #[serde(default)]
    builds: Option<Bounded<Job, MOST_JOBS>>,
}

#[derive(Deserialize)]
struct Homepage {
    #[serde(default)]
    homepage: Option<String>,
}

#[derive(Deserialize)]
struct Attributes {
    status: String,
    /// What the pipeline calls itself.
    #[serde(default)]
    name: Option<String>,
    /// What started it.
    #[serde(default)]
    source: Option<String>,
    #[serde(default, rename = "ref")]
    reference: Option<String>,
    #[serde(default)]
    tag: bool,
}

#[derive(Deserialize)]
struct Job {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    environment: Option<Place>,
}

/// An environment: by its name, or, of a job, with what the job does to it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Place {
    Named(String),
    OfJob {
        #[serde(default)]
        name: Option<String>,
        #[serde(default)]
        action: Option<String>,
        #[serde(default)]
        deployment_tier: Option<String>,
    },
}

/// A job says whether its ref is a tag; a release names its tag.
#[derive(Deserialize)]
#[serde(untagged)]
enum Tag {
    Is(bool),
    Named(#[expect(dead_code, reason = "that it is a text is all that counts")] String),
}

fn read(input: &Input<'_>, options: &Options) -> Result<Reading, Unreadable> {
    let named: Kind = parse(input.body)?;
    let Some(object_kind) = named.object_kind.or(named.event_name) else {
        return refuse("object_kind", "is missing");
    };
    let mut reading = if !input.events.want(&object_kind) {
        Reading::unwanted(&object_kind)
    } else if matches!(object_kind.as_str(), "push" | "tag_push") {
        push(&object_kind, input, options.assume_no_force_push)?
    } else {
        deployed(&object_kind, parse(input.body)?)?
    };
    reading.id = hint(input.headers, "idempotency-key").map(str::to_owned);
    // Where the deliveries are signed.
    reading.identity = Identity::SignedId;
    Ok(reading)
}

fn push(kind: &str, input: &Input<'_>, assume_no_force_push: bool) -> Result<Reading, Unreadable> {
    let push: Push<'_> = parse(input.body)?;
    let ask = push.ask(
        input.files,
        &Files {
            says_forced: !assume_no_force_push,
            says_count: true,
            listed_commits: usize::MAX,
            listed_paths: usize::MAX,
            hides: Hides::OldNames,
        },
    )?;
    let mut reading = Reading::of(kind, ask);
    reading.refs.push(Ref::parse(&push.reference));
    reading.repository = push.project.map(Project::names).unwrap_or_default();
    Ok(reading)
}

fn deployed(kind: &str, mut event: Event) -> Result<Reading, Unreadable> {
    let mut repository = event.project.take().map(Project::names).unwrap_or_default();
    repository.extend(event.repository.take().and_then(|of| of.homepage));
    let mut reading = match kind {
        "deployment" => deployment(event)?,
        "build" => job(event)?,
        "pipeline" => pipeline(event)?,
        _ => {
            let ask = if event.action.as_deref() == Some("create") {
                UNLISTED
            } else {
                Ask::Nothing("it is not a new release".into())
            };
            Reading::of(kind, ask)
        }
    };
    reading.repository = repository;
    Ok(reading)
}

/// What a status asks for, of something that is about this ref.
fn ended(
    kind: &str,
    status: Option<&str>,
    reference: Option<&str>,
    is_tag: bool,
) -> Result<Reading, Unreadable> {
    let Some(status) = status else {
        return refuse("status", "is missing");
    };
    if reference.is_some_and(is_proposed) {
        return Ok(Reading::nothing(kind, "it is about a merge request"));
    }
    let ask = if status == "success" {
        UNLISTED
    } else {
        Ask::Nothing("it has not succeeded, or not yet".into())
    };
    let mut reading = Reading::of(kind, ask);
    reading.refs.extend(match reference {
        _ if is_tag => Some(Ref::Other),
        Some(name) => Some(Ref::of(name)),
        None => None,
    });
    Ok(reading)
}

fn deployment(event: Event) -> Result<Reading, Unreadable> {
    let (status, reference) = (event.status.as_deref(), event.reference.as_deref());
    let mut reading = ended("deployment", status, reference, false)?;
    let place = event
        .environment
        .and_then(|place| place.found(event.environment_tier));
    reading.environments = Some(Vec::from_iter(place));
    Ok(reading)
}

fn job(event: Event) -> Result<Reading, Unreadable> {
    let (status, reference) = (event.build_status.as_deref(), event.reference.as_deref());
    let is_tag = matches!(event.tag, Some(Tag::Is(true)));
    if event
        .environment
        .as_ref()
        .is_some_and(|place| !place.is_deployed())
    {
        return Ok(Reading::nothing(
            "build",
            "it deploys nothing to its environment",
        ));
    }
    let mut reading = ended("build", status, reference, is_tag)?;
    reading.run = Some(Run {
        names: Vec::from_iter(event.build_name),
        proposed: false,
    });
    let place = event.environment.and_then(|place| place.found(None));
    reading.environments = Some(Vec::from_iter(place));
    Ok(reading)
}

fn pipeline(event: Event) -> Result<Reading, Unreadable> {
    let Some(attributes) = event.object_attributes else {
        return refuse("object_attributes", "is missing");
    };
    if attributes.source.as_deref().is_some_and(is_proposal) {
        let why = "the pipeline is about a merge request";
        return Ok(Reading::nothing("pipeline", why));
    }
    let (status, reference) = (
        Some(attributes.status.as_str()),
        attributes.reference.as_deref(),
    );
    let mut reading = ended("pipeline", status, reference, attributes.tag)?;
    let jobs = match event.builds {
        // The one that counts may be among those that were not looked at.
        Some(jobs) if jobs.more => return Ok(reading),
        jobs => jobs.map(|jobs| jobs.items).unwrap_or_default(),
    };
    let deploys = |job: &Job| job.environment.as_ref().is_some_and(Place::is_deployed);
    let deployed_any = jobs.iter().any(deploys);
    let done: Vec<Job> = jobs
        .into_iter()
        .filter(|job| job.status.as_deref() == Some("success"))
        .collect();
    if deployed_any && !done.iter().any(deploys) {
        let why = "none of its jobs that deploy has succeeded, or not yet";
        return Ok(Reading::nothing("pipeline", why));
    }
    let jobs = done.iter().filter_map(|job| job.name.clone());
    reading.run = Some(Run {
        names: attributes.name.into_iter().chain(jobs).collect(),
        proposed: false,
    });
    let places = done.into_iter().filter_map(|job| job.environment);
    reading.environments = Some(
        places
            .filter(Place::is_deployed)
            .filter_map(|place| place.found(None))
            .collect(),
    );
    Ok(reading)
}

impl Place {
    /// Whether the job deploys to it, and does not only prepare, look at or stop it.
    fn is_deployed(&self) -> bool {
        match self {
            Self::Named(_) => true,
            Self::OfJob { name, action, .. } => {
                name.is_some() && action.as_deref().is_none_or(|action| action == "start")
            }
        }
    }

    /// The environment, with the tier that GitLab has it in, where it says so.
    fn found(self, tier: Option<String>) -> Option<Environment> {
        let (name, tier) = match self {
            Self::Named(name) => (name, tier),
            Self::OfJob {
                name,
                deployment_tier,
                ..
            } => (name?, deployment_tier),
        };
        let production = match tier {
            Some(tier) => tier == "production",
            None => is_production(&name),
        };
        Some(Environment { name, production })
    }
}
