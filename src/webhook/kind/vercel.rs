//! Vercel: HMAC-SHA1 of the body. The signed body names its event by an id.

use serde::{Deserialize, Deserializer};

use crate::webhook::auth::signature::{Digest, Mac, Scheme};
use crate::webhook::payload::branch::Ref;
use crate::webhook::payload::content::Unreadable;
use crate::webhook::payload::content::parse;
use crate::webhook::payload::reading::{Ask, Identity, Input, Reading};

use super::{Options, Sender, may_begin, signature};

/// Vercel.
pub static SENDER: Sender = Sender {
    example: r#"# Vercel: Team settings, Webhooks. Production only. A project.rolling-release.started changes nothing for most visitors,
# and is not in the default.
[[pipeline.webhook]]
route = "/hooks/vercel"
kind = "vercel"
credential = "vercel_secret"
#events = ["deployment.succeeded", "deployment.promoted", "deployment.rollback", "project.rolling-release.completed", "project.rolling-release.aborted"] # the default
"#,
    known_by: &["x-vercel-signature"],
    default_events: &DEFAULT_EVENTS,
    never_sends,
    lists_files: false,
    ..Sender::new(
        "vercel",
        &[signature(|| {
            Scheme::Mac(Mac {
                digest: Digest::Sha1,
                ..Mac::of_body("x-vercel-signature", "")
            })
        })],
        read,
    )
};

fn never_sends(event: &str) -> Option<String> {
    let known = FAMILIES.iter().any(|family| may_begin(event, family));
    (!known).then(|| format!("an event of Vercel, such as {}", DEFAULT_EVENTS.join(", ")))
}

/// Sent when visitors see the deployment, or another one again. While a release rolls, the edge may hold
/// either of two deployments.
const DEFAULT_EVENTS: [&str; 5] = [
    "deployment.succeeded",
    "deployment.promoted",
    "deployment.rollback",
    "project.rolling-release.completed",
    "project.rolling-release.aborted",
];

/// How the names of events begin (the API of October 2026); older ones have a `-` for the first dot.
const FAMILIES: [&str; 23] = [
    "ai-gateway.",
    "alerts.",
    "botid.",
    "budget.",
    "comment.",
    "deployment-",
    "deployment.",
    "domain-",
    "domain.",
    "edge-config.",
    "firewall.",
    "flag.",
    "function.",
    "integration-configuration-",
    "integration-configuration.",
    "integration-resource.",
    "marketplace.",
    "message.",
    "observability.",
    "project-",
    "project.",
    "test-webhook",
    "thread.",
];

/// Whether an event is about production, whatever target it names: a preview is not promoted.
fn is_of_production(event: &str) -> bool {
    matches!(event, "deployment.promoted" | "deployment.rollback")
        || event.starts_with("project.rolling-release.")
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
    #[serde(default)]
    target: Target,
    #[serde(default)]
    deployment: Option<Deployment>,
    #[serde(default)]
    project: Option<Project>,
    /// Rolling releases have these, no deployment, and not always a project.
    #[serde(default, rename = "projectId")]
    project_id: Option<String>,
    #[serde(default, rename = "projectName")]
    project_name: Option<String>,
}

#[derive(Deserialize)]
struct Deployment {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default, rename = "githubCommitRef")]
    github: Option<String>,
    #[serde(default, rename = "gitlabCommitRef")]
    gitlab: Option<String>,
    #[serde(default, rename = "bitbucketCommitRef")]
    bitbucket: Option<String>,
}

#[derive(Deserialize)]
struct Project {
    #[serde(default)]
    id: Option<String>,
}

/// What a deployment is for.
#[derive(Default, PartialEq, Eq)]
enum Target {
    /// Nothing is said.
    #[default]
    Unsaid,
    Production,
    /// A preview, which has `null` here, or something else.
    Other,
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        let target = Option::<String>::deserialize(json)?;
        if target.as_deref() == Some("production") {
            return Ok(Self::Production);
        }
        Ok(Self::Other)
    }
}

fn read(input: &Input<'_>, _: &Options) -> Result<Reading, Unreadable> {
    let event: Event = parse(input.body)?;
    let mut reading = if !input.events.want(&event.kind) {
        Reading::unwanted(&event.kind)
    } else if event.payload.target == Target::Other && !is_of_production(&event.kind) {
        Reading::nothing(&event.kind, "it is not about production")
    } else {
        Reading::of(&event.kind, Ask::Unlisted("Vercel lists no files"))
    };
    reading.identity = Identity::InBody(event.id.clone());
    reading.id = Some(event.id);
    let project = event.payload.project.and_then(|project| project.id);
    let names = [
        project,
        event.payload.project_id,
        event.payload.project_name,
    ];
    reading.repository.extend(names.into_iter().flatten());
    if let Some(deployment) = event.payload.deployment {
        reading.repository.extend(deployment.name);
        let branch = deployment
            .meta
            .and_then(|meta| meta.github.or(meta.gitlab).or(meta.bitbucket));
        reading.refs.extend(branch.map(|name| Ref::of(&name)));
    }
    Ok(reading)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::kind::Kind;
    use crate::webhook::tests::bench::{NOW, holds, route};

    #[test]
    fn what_it_signs_is_believed() {
        holds(
            &route(Kind::new(&SENDER), "vercel-secret"),
            &[(
                "x-vercel-signature",
                "40b5ad765c670167893cd8af15797cb2ea21227f",
            )],
            r#"{"id":"1"}"#,
            NOW,
        );
    }
}
