//! Contentful: HMAC-SHA256 of method, path, the headers that a header lists, and the body. What is
//! believed of the headers has to be on that list.

use axum::http::{HeaderMap, HeaderName};
use serde::Deserialize;

use crate::webhook::auth::headers::{hint, one};
use crate::webhook::auth::refused::Refused;
use crate::webhook::auth::secret::Form;
use crate::webhook::auth::signature::{Claim, Encoding, Protocol, Scheme, Signed};
use crate::webhook::auth::timestamp::{self, Unit};
use crate::webhook::payload::content::Unreadable;
use crate::webhook::payload::content::{parse, refuse};
use crate::webhook::payload::reading::{Ask, Identity, Input, Reading};

use super::{Named, Options, Sender, may_begin, signature};

/// Contentful.
pub static SENDER: Sender = Sender {
    example: r#"# Contentful: the signing secret of 64 characters, for request verification. X-Contentful-Topic has to
# be signed. The path is signed too: external_path is what Contentful was given, where a proxy changes it.
[[pipeline.webhook]]
route = "/hooks/contentful"
kind = "contentful"
credential = "contentful_secret"
#external_path = "/edgepurge/hooks/contentful"
events = ["ContentManagement.Entry.publish", "ContentManagement.Entry.unpublish"] # default: also delete, and Asset.*
purge = ["/", "/blog/", "/feed.xml"]
"#,
    keys: &["external_path"],
    default_events: &DEFAULT_EVENTS,
    known_by: &[SIGNATURE],
    never_sends,
    branch: Named::Never,
    lists_files: false,
    ..Sender::new(
        "contentful",
        &[signature(|| Scheme::Own(&PROTOCOL, None))],
        read,
    )
};

/// How Contentful signs.
pub static PROTOCOL: Protocol = Protocol {
    name: "contentful",
    form: Form::Exactly(SECRET_LENGTH),
    signed: Signed::Body,
    claim,
    reads,
    timestamp: Some(|_| (HeaderName::from_static(TIMESTAMP), Unit::Milliseconds)),
    written: "32 bytes in lower-case hexadecimal",
};

/// Every secret has this many characters.
const SECRET_LENGTH: usize = 64;

/// The most headers that may be signed.
const MAX_HEADERS: usize = 64;

const SIGNATURE: &str = "x-contentful-signature";
const SIGNED_HEADERS: &str = "x-contentful-signed-headers";
const TIMESTAMP: &str = "x-contentful-timestamp";
const TOPIC: &str = "x-contentful-topic";
const KEY: &str = "x-contentful-idempotency-key";

/// What has to be there to know who sends, the signature first; then what a delivery itself lists.
fn reads(headers: &HeaderMap) -> Vec<HeaderName> {
    let own = [SIGNATURE, TIMESTAMP, SIGNED_HEADERS, TOPIC];
    let listed = hint(headers, SIGNED_HEADERS).unwrap_or_default();
    let listed = listed.split(',').take(MAX_HEADERS);
    let listed = listed.filter(|name| !own.contains(name));
    let listed = listed.filter_map(|name| name.parse().ok());
    own.map(HeaderName::from_static)
        .into_iter()
        .chain(listed)
        .collect()
}

/// What changes what visitors see.
const DEFAULT_EVENTS: [&str; 6] = [
    "ContentManagement.Entry.publish",
    "ContentManagement.Entry.unpublish",
    "ContentManagement.Entry.delete",
    "ContentManagement.Asset.publish",
    "ContentManagement.Asset.unpublish",
    "ContentManagement.Asset.delete",
];

fn claim(path: &str, headers: &HeaderMap, now_unix: i64) -> Result<Claim, Refused> {
    let header = |name: &'static str| one(headers, &HeaderName::from_static(name));
    let signature = Encoding::HexLower
        .decode(header(SIGNATURE)?, 32)
        .ok_or(Refused::Malformed)?;
    timestamp::check(header(TIMESTAMP)?, Unit::Milliseconds, now_unix)?;
    let mut names: Vec<&str> = header(SIGNED_HEADERS)?.split(',').collect();
    names.sort_unstable();
    let twice = names
        .windows(2)
        .any(|pair| matches!(pair, [a, b] if a == b));
    let signed = |name: &str| names.binary_search(&name).is_ok();
    if twice
        || names.len() > MAX_HEADERS
        || ![SIGNED_HEADERS, TIMESTAMP, TOPIC].into_iter().all(signed)
    {
        return Err(Refused::Malformed);
    }
    let mut before = format!("POST\n{path}\n");
    for (at, name) in names.iter().enumerate() {
        // Names are listed in lower case, and this takes any.
        let parsed: HeaderName = name.parse().map_err(|_| Refused::Malformed)?;
        if parsed.as_str() != *name {
            return Err(Refused::Malformed);
        }
        if at > 0 {
            before.push(';');
        }
        before.push_str(name);
        before.push(':');
        before.push_str(one(headers, &parsed)?.trim());
    }
    before.push('\n');
    let id = if signed(KEY) {
        Some(header(KEY)?.to_owned())
    } else {
        None
    };
    Ok(Claim {
        before: before.into_bytes(),
        signatures: vec![signature],
        id,
        ..Claim::default()
    })
}

/// What every topic begins with.
const TOPICS: &str = "ContentManagement.";

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    sys: Option<Sys>,
}

#[derive(Deserialize)]
struct Sys {
    #[serde(default)]
    space: Option<Link>,
}

#[derive(Deserialize)]
struct Link {
    sys: Id,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

fn never_sends(event: &str) -> Option<String> {
    (!may_begin(event, TOPICS)).then(|| format!("a topic such as {TOPICS}Entry.publish"))
}

fn read(input: &Input<'_>, _: &Options) -> Result<Reading, Unreadable> {
    let Some(topic) = hint(input.headers, TOPIC) else {
        return refuse("X-Contentful-Topic", "the header is missing");
    };
    if !input.events.want(topic) {
        return Ok(Reading::unwanted(topic));
    }
    let body: Body = parse(input.body)?;
    let mut reading = Reading::of(topic, Ask::Unlisted("Contentful lists no files"));
    reading.identity = Identity::SignedId;
    let space = body.sys.and_then(|sys| sys.space);
    reading.repository.extend(space.map(|space| space.sys.id));
    Ok(reading)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::tests::bench::{holds, settings};
    use crate::webhook::{Kind, Route, RouteSettings};

    #[test]
    fn what_its_library_signs_is_believed() {
        let settings = RouteSettings {
            path: "/hook".to_owned(),
            ..settings(Kind::new(&SENDER))
        };
        holds(
            &Route::of_any_secret(settings, &"a".repeat(64)),
            &[
                (
                    "content-type",
                    "application/vnd.contentful.management.v1+json",
                ),
                ("x-contentful-topic", "ContentManagement.Entry.publish"),
                ("x-contentful-timestamp", "1700000000000"),
                (
                    "x-contentful-signed-headers",
                    "content-type,x-contentful-signed-headers,x-contentful-timestamp,x-contentful-topic",
                ),
                (
                    "x-contentful-signature",
                    "6e517cbbd189b475ba9e75b331752f2ca76dbc643a1c0f79ee81c86eb553b88e",
                ),
            ],
            r#"{"sys":{"id":"x"}}"#,
            1_700_000_000,
        );
    }
}
