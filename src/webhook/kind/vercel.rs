//! Vercel: HMAC-SHA1 of the body, the only kind with it. The signed body names its event by an id.

use serde::{Deserialize, Deserializer};

use crate::webhook::branch::Ref;
use crate::webhook::content::parse;
use crate::webhook::delivery::Unreadable;
use crate::webhook::reading::{Ask, Identity, Input, Reading};
use crate::webhook::signature::{Digest, Mac};

/// Sent when visitors see the deployment.
pub(in crate::webhook) const DEFAULT_EVENTS: [&str; 2] =
    ["deployment.succeeded", "deployment.promoted"];

pub(in crate::webhook) fn mac() -> Mac {
    Mac {
        digest: Digest::Sha1,
        ..Mac::of_body("x-vercel-signature", "")
    }
}

#[derive(Deserialize)]
struct Event {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    payload: Payload,
}

#[derive(Default, Deserialize)]
struct Payload {
    /// `null` for a preview; `None` where nothing is said.
    #[serde(default, deserialize_with = "there")]
    target: Option<Option<String>>,
    #[serde(default)]
    deployment: Option<Deployment>,
    #[serde(default)]
    project: Option<Project>,
}

#[derive(Deserialize)]
struct Deployment {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    meta: Option<Meta>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    #[serde(default)]
    github_commit_ref: Option<String>,
    #[serde(default)]
    gitlab_commit_ref: Option<String>,
    #[serde(default)]
    bitbucket_commit_ref: Option<String>,
}

#[derive(Deserialize)]
struct Project {
    #[serde(default)]
    id: Option<String>,
}

fn there<'de, D: Deserializer<'de>>(json: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(json).map(Some)
}

pub(in crate::webhook) fn read(input: &Input<'_>) -> Result<Reading, Unreadable> {
    let event: Event = parse(input.body)?;
    let mut reading = if !input.events.want(&event.kind) {
        Reading::unwanted(&event.kind)
    } else if event.kind != "deployment.promoted"
        && matches!(&event.payload.target, Some(target) if target.as_deref() != Some("production"))
    {
        Reading::nothing(&event.kind, "it is not about production")
    } else {
        Reading::of(&event.kind, Ask::Unlisted("Vercel lists no files"))
    };
    reading.identity = Identity::InBody(event.id.clone());
    reading.id = Some(event.id);
    let project = event.payload.project.and_then(|project| project.id);
    reading.repository.extend(project);
    if let Some(deployment) = event.payload.deployment {
        reading.repository.extend(deployment.name);
        let branch = deployment.meta.and_then(|meta| {
            let Meta {
                github_commit_ref,
                gitlab_commit_ref,
                bitbucket_commit_ref,
            } = meta;
            github_commit_ref
                .or(gitlab_commit_ref)
                .or(bitbucket_commit_ref)
        });
        reading.refs.extend(branch.map(|name| Ref::of(&name)));
    }
    Ok(reading)
}
