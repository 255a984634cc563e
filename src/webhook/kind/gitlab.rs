//! GitLab: its secret token as it is in `X-Gitlab-Token`, or, from GitLab 19.0 on, a signing token
//! as Standard Webhooks has it. A push lists 20 commits at most, and never says that it was forced.

use axum::http::HeaderName;
use serde::Deserialize;

use crate::webhook::branch::Ref;
use crate::webhook::content::{parse, refuse};
use crate::webhook::delivery::Unreadable;
use crate::webhook::headers::hint;
use crate::webhook::push::{Files, Project, Push};
use crate::webhook::reading::{Ask, Identity, Input, Reading};
use crate::webhook::signature::Scheme;

/// How deliveries are authenticated. Never both, and never one in place of the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// The secret token, as it is, in `X-Gitlab-Token`.
    #[default]
    Token,
    /// The signing token, `whsec_…`, of GitLab 19.0 and later.
    SigningToken,
}

/// Sent after the deploy, not before it.
pub(in crate::webhook) const DEFAULT_EVENTS: [&str; 1] = ["deployment"];

/// Every event that can be configured, as `object_kind` has it.
pub(crate) const EVENTS: [&str; 6] = [
    "push",
    "tag_push",
    "deployment",
    "pipeline",
    "build",
    "release",
];

pub(in crate::webhook) const fn scheme(auth: Auth) -> Scheme {
    match auth {
        Auth::Token => Scheme::Token(HeaderName::from_static("x-gitlab-token")),
        Auth::SigningToken => Scheme::Standard,
    }
}

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
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    build_status: Option<String>,
    #[serde(default)]
    action: Option<String>,
    #[serde(default)]
    object_attributes: Option<Attributes>,
    #[serde(default, rename = "ref")]
    reference: Option<String>,
    #[serde(default)]
    tag: Option<Tag>,
}

#[derive(Deserialize)]
struct Attributes {
    status: String,
    /// What started it.
    #[serde(default)]
    source: Option<String>,
    #[serde(default, rename = "ref")]
    reference: Option<String>,
    #[serde(default)]
    tag: bool,
}

/// A job says whether its ref is a tag; a release names its tag.
#[derive(Deserialize)]
#[serde(untagged)]
enum Tag {
    Is(bool),
    Named(#[expect(dead_code, reason = "that it is a text is all that counts")] String),
}

pub(in crate::webhook) fn read(
    input: &Input<'_>,
    auth: Auth,
    assume_no_force_push: bool,
) -> Result<Reading, Unreadable> {
    let named: Kind = parse(input.body)?;
    let Some(object_kind) = named.object_kind.or(named.event_name) else {
        return refuse("object_kind", "is missing");
    };
    let mut reading = if !input.events.want(&object_kind) {
        Reading::unwanted(&object_kind)
    } else if matches!(object_kind.as_str(), "push" | "tag_push") {
        push(&object_kind, input, assume_no_force_push)?
    } else {
        deployed(&object_kind, input)?
    };
    reading.id = hint(input.headers, "idempotency-key").map(str::to_owned);
    if auth == Auth::SigningToken {
        reading.identity = Identity::SignedId;
    }
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
            gives_up: false,
        },
    )?;
    let mut reading = Reading::of(kind, ask);
    reading.refs.push(Ref::parse(&push.reference));
    let name = push.project.and_then(|project| project.path_with_namespace);
    reading.repository.extend(name);
    Ok(reading)
}

fn deployed(kind: &str, input: &Input<'_>) -> Result<Reading, Unreadable> {
    let event: Event = parse(input.body)?;
    let is_tag = matches!(event.tag, Some(Tag::Is(true)));
    let (status, reference, is_tag) = match kind {
        "deployment" => (event.status, event.reference, false),
        "build" => (event.build_status, event.reference, is_tag),
        "pipeline" => {
            let Some(attributes) = event.object_attributes else {
                return refuse("object_attributes", "is missing");
            };
            if attributes.source.as_deref() == Some("merge_request_event") {
                return Ok(Reading::nothing(
                    kind,
                    "the pipeline is about a merge request",
                ));
            }
            (
                Some(attributes.status),
                attributes.reference,
                attributes.tag,
            )
        }
        _ => {
            let ask = if event.action.as_deref() == Some("create") {
                Ask::Unlisted("this event lists no files")
            } else {
                Ask::Nothing("it is not a new release".into())
            };
            let mut reading = Reading::of(kind, ask);
            let name = event
                .project
                .and_then(|project| project.path_with_namespace);
            reading.repository.extend(name);
            return Ok(reading);
        }
    };
    let Some(status) = status else {
        return refuse("status", "is missing");
    };
    let ask = if status == "success" {
        Ask::Unlisted("this event lists no files")
    } else {
        Ask::Nothing("it has not succeeded, or not yet".into())
    };
    let mut reading = Reading::of(kind, ask);
    reading.refs.extend(match reference {
        _ if is_tag => Some(Ref::Other),
        Some(name) => Some(Ref::of(&name)),
        None => None,
    });
    let name = event
        .project
        .and_then(|project| project.path_with_namespace);
    reading.repository.extend(name);
    Ok(reading)
}
