//! Netlify: a signed token (JWS) that has the SHA-256 of the body. Only HS256 is taken, whatever
//! the token says of itself.

use axum::http::{HeaderMap, HeaderName};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::webhook::auth::headers::one;
use crate::webhook::auth::refused::Refused;
use crate::webhook::auth::secret::Form;
use crate::webhook::auth::signature::{Claim, Protocol, Scheme, Signed};
use crate::webhook::payload::branch::Ref;
use crate::webhook::payload::content::Unreadable;
use crate::webhook::payload::content::parse;
use crate::webhook::payload::environment::Environment;
use crate::webhook::payload::reading::{Ask, Identity, Input, Reading, matches};

use super::{Options, Sender, signature};

/// Netlify.
pub static SENDER: Sender = Sender {
    example: r#"# Netlify: a deploy notification by HTTP POST with a JWS secret. Events are the deploy's states; its context is the
# environment.
[[pipeline.webhook]]
route = "/hooks/netlify"
kind = "netlify"
credential = "netlify_secret"
#events = ["ready"]            # the default
"#,
    default_events: &DEFAULT_EVENTS,
    deployment_events: &STATES,
    known_by: &[HEADER],
    never_sends,
    lists_files: false,
    ..Sender::new(
        "netlify",
        &[signature(|| Scheme::Own(&PROTOCOL, None))],
        read,
    )
};

/// How Netlify signs.
pub static PROTOCOL: Protocol = Protocol {
    name: "netlify",
    form: Form::Text,
    signed: Signed::Digest,
    claim: |_, headers, _| claim(headers),
    reads: |_| vec![HeaderName::from_static(HEADER)],
    timestamp: None,
    written: "a token (JWS) of Netlify's, with HS256",
};

/// Where the token is.
const HEADER: &str = "x-webhook-signature";

/// The state of a deploy that visitors see.
const DEFAULT_EVENTS: [&str; 1] = ["ready"];

/// The context of deploys that visitors see; others are previews, and deploys of branches.
const PRODUCTION: &str = "production";

/// The states that a deploy can be in.
const STATES: [&str; 15] = [
    "new",
    "pending_review",
    "accepted",
    "rejected",
    "enqueued",
    "building",
    "uploading",
    "uploaded",
    "preparing",
    "prepared",
    "processing",
    "processed",
    "ready",
    "error",
    "retrying",
];

#[derive(Deserialize)]
struct Head {
    alg: String,
    /// What a receiver has to understand; we understand none.
    #[serde(default)]
    crit: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sha256: String,
}

fn claim(headers: &HeaderMap) -> Result<Claim, Refused> {
    let token = one(headers, &HeaderName::from_static(HEADER))?;
    let (signed, signature) = token.rsplit_once('.').ok_or(Refused::Malformed)?;
    let (head, claims) = signed.split_once('.').ok_or(Refused::Malformed)?;
    let decode = |text: &str| {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes());
        bytes.map_err(|_| Refused::Malformed)
    };
    let head: Head = object(&decode(head)?)?;
    if head.alg != "HS256" || head.crit.is_some() {
        return Err(Refused::Malformed);
    }
    let claims: Claims = object(&decode(claims)?)?;
    let digest = HEXLOWER.decode(claims.sha256.as_bytes());
    let digest = digest.ok().and_then(|digest| digest.try_into().ok());
    let signature = decode(signature)?;
    if claims.iss != "netlify" || signature.len() != 32 {
        return Err(Refused::Malformed);
    }
    Ok(Claim {
        before: signed.as_bytes().to_vec(),
        signatures: vec![signature],
        body: Some(digest.ok_or(Refused::Malformed)?),
        ..Claim::default()
    })
}

fn object<'b, T: Deserialize<'b>>(json: &'b [u8]) -> Result<T, Refused> {
    parse(json).map_err(|_| Refused::Malformed)
}

#[derive(Deserialize)]
struct Deploy {
    state: String,
    #[serde(default)]
    context: Option<String>,
    #[serde(default)]
    branch: Option<String>,
    #[serde(default)]
    site_id: Option<String>,
    #[serde(default)]
    name: Option<String>,
}

fn never_sends(event: &str) -> Option<String> {
    let known = STATES.iter().any(|state| matches(event, state));
    (!known).then(|| format!("a deploy's state, such as {}", DEFAULT_EVENTS.join(", ")))
}

fn read(input: &Input<'_>, _: &Options) -> Result<Reading, Unreadable> {
    let deploy: Deploy = parse(input.body)?;
    let mut reading = if input.events.want(&deploy.state) {
        Reading::of(&deploy.state, Ask::Unlisted("Netlify lists no files"))
    } else {
        Reading::unwanted(&deploy.state)
    };
    // A deploy has an id and the time of its last change.
    reading.identity = Identity::SignedBytes;
    reading
        .refs
        .extend(deploy.branch.map(|name| Ref::of(&name)));
    reading.environments = Some(Vec::from_iter(deploy.context.map(|context| Environment {
        production: context == PRODUCTION,
        name: context,
    })));
    reading.repository.extend(deploy.site_id);
    reading.repository.extend(deploy.name);
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
            &route(Kind::new(&SENDER), "netlify-secret"),
            &[(
                "x-webhook-signature",
                "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJuZXRsaWZ5Iiwic2hhMjU2IjoiMWI2ZGY2NWU5ZTFjMjUyYWIxM\
                 TU3YTQ1NTEwNWI0MGUxYzcxNjIzOWVkYjRiYTQyZWNiOWZhYjk1ZGU5ZGZmZiJ9.ZEHsmSK2LbBn-KAntXHWEa6LWFKM1u88Yn\
                 DP4Oyd1-0",
            )],
            r#"{"id":"1","state":"ready"}"#,
            NOW,
        );
    }
}
