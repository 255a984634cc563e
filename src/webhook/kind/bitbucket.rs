//! Bitbucket Cloud and Data Center: HMAC-SHA256 of the body, in the header in which others have
//! SHA-1. No event of theirs lists files.

use serde::Deserialize;

use crate::webhook::auth::headers::hint;
use crate::webhook::auth::signature::{Mac, Scheme};
use crate::webhook::payload::branch::Ref;
use crate::webhook::payload::content::Bounded;
use crate::webhook::payload::content::Unreadable;
use crate::webhook::payload::content::{parse, refuse};
use crate::webhook::payload::reading::{Ask, Input, Reading, Run};
use crate::webhook::payload::repository::{Forge, Groups};

use super::{Options, Sender, signature};

/// Bitbucket Cloud and Data Center.
pub static SENDER: Sender = Sender {
    example: r#"# Bitbucket: Repository settings, Webhooks. Cloud (repo:push repo:commit_status_created repo:commit_status_updated) and Data
# Center (repo:refs_changed, which is a push).
[[pipeline.webhook]]
route = "/hooks/bitbucket"
kind = "bitbucket"
credential = "bitbucket_secret"
events = ["repo:commit_status_updated"]
"#,
    known_by: &["x-hub-signature"],
    events: &EVENTS,
    push_events: &["repo:push", "repo:refs_changed"],
    default_events: &DEFAULT_EVENTS,
    run_events: &RUNS,
    forge: Some(Forge {
        groups: Groups::Never,
        data_center: true,
    }),
    lists_files: false,
    ..Sender::new(
        "bitbucket",
        &[signature(|| {
            Scheme::Mac(Mac::of_body("x-hub-signature", "sha256="))
        })],
        read,
    )
};

/// What the button "Test connection" of Data Center sends, without a signature.
pub(in crate::webhook) const CONNECTION_TEST: &str = "diagnostics:ping";

/// The status of a build, which Cloud has; Data Center has pushes only.
const DEFAULT_EVENTS: [&str; 3] = [
    "repo:commit_status_created",
    "repo:commit_status_updated",
    "repo:refs_changed",
];

/// Every event that can be configured.
const EVENTS: [&str; 4] = [
    "repo:push",
    "repo:commit_status_created",
    "repo:commit_status_updated",
    "repo:refs_changed",
];

/// Those of them that report the end of a run.
const RUNS: [&str; 2] = ["repo:commit_status_created", "repo:commit_status_updated"];

/// The most refs of one push that are looked at.
const MAX_CHANGES: usize = 1000;

const UNLISTED: Ask = Ask::Unlisted("Bitbucket lists no files");

#[derive(Deserialize)]
struct Repository {
    /// Cloud's name.
    #[serde(default)]
    full_name: Option<String>,
    /// Data Center's name, below its project's key.
    #[serde(default)]
    slug: Option<String>,
    #[serde(default)]
    project: Option<Project>,
}

#[derive(Deserialize)]
struct Project {
    #[serde(default)]
    key: Option<String>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    repository: Option<Repository>,
    #[serde(default)]
    push: Option<Push>,
    #[serde(default)]
    changes: Option<Bounded<RefChange, MAX_CHANGES>>,
    #[serde(default)]
    commit_status: Option<Status>,
}

#[derive(Deserialize)]
struct Push {
    changes: Bounded<Change, MAX_CHANGES>,
}

#[derive(Deserialize)]
struct Change {
    /// `null` where the branch was deleted.
    #[serde(default)]
    new: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    #[serde(rename = "type")]
    kind: String,
    name: String,
}

#[derive(Deserialize)]
struct RefChange {
    #[serde(rename = "ref")]
    reference: FullRef,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct FullRef {
    id: String,
}

#[derive(Deserialize)]
struct Status {
    state: String,
    /// What names the build to programs.
    #[serde(default)]
    key: Option<String>,
    /// What names it to people.
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    refname: Option<String>,
}

fn read(input: &Input<'_>, _: &Options) -> Result<Reading, Unreadable> {
    let Some(event) = hint(input.headers, "x-event-key") else {
        return refuse("X-Event-Key", "the header is missing");
    };
    let mut reading = if event == CONNECTION_TEST {
        Reading::nothing(event, "a ping")
    } else if input.events.want(event) {
        wanted(event, input)?
    } else {
        Reading::unwanted(event)
    };
    reading.id = hint(input.headers, "x-request-uuid")
        .or_else(|| hint(input.headers, "x-request-id"))
        .map(str::to_owned);
    Ok(reading)
}

fn wanted(event: &str, input: &Input<'_>) -> Result<Reading, Unreadable> {
    let body: Event = parse(input.body)?;
    let mut refs = Vec::new();
    let mut run = None;
    let ask = match event {
        "repo:push" => {
            let Some(push) = body.push else {
                return refuse("push", "is missing");
            };
            let more = push.changes.more;
            let targets = push
                .changes
                .items
                .into_iter()
                .filter_map(|change| change.new);
            refs.extend(targets.map(|new| {
                if new.kind == "branch" {
                    Ref::Branch(new.name)
                } else {
                    Ref::Other
                }
            }));
            pushed(&mut refs, more)
        }
        "repo:refs_changed" => {
            let Some(changes) = body.changes else {
                return refuse("changes", "is missing");
            };
            let kept = changes
                .items
                .iter()
                .filter(|change| change.kind != "DELETE");
            refs.extend(kept.map(|change| Ref::parse(&change.reference.id)));
            pushed(&mut refs, changes.more)
        }
        _ => {
            let Some(status) = body.commit_status else {
                return refuse("commit_status", "is missing");
            };
            refs.extend(status.refname.map(|name| Ref::of(&name)));
            run = Some(Run {
                names: status.key.into_iter().chain(status.name).collect(),
                proposed: false,
            });
            if status.state == "SUCCESSFUL" {
                UNLISTED
            } else {
                Ask::Nothing("it has not succeeded, or not yet".into())
            }
        }
    };
    let mut reading = Reading::of(event, ask);
    reading.refs = refs;
    reading.run = run;
    if let Some(repository) = body.repository {
        reading.repository.extend(repository.full_name);
        let key = repository.project.and_then(|project| project.key);
        if let (Some(key), Some(slug)) = (key, repository.slug) {
            reading.repository.push(format!("{key}/{slug}"));
        }
    }
    Ok(reading)
}

fn pushed(refs: &mut Vec<Ref>, more: bool) -> Ask {
    if more {
        // The one that counts may be among those that were not looked at.
        refs.clear();
        return UNLISTED;
    }
    if refs.is_empty() {
        return Ask::Nothing("a branch or tag was deleted".into());
    }
    UNLISTED
}
