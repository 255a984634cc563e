//! Any other sender: a token, name and password, or a MAC in a header that the configuration describes. The body is
//! edgepurge's own, `{"paths": [..]}`, `{"all": true}` or `{"scan": true}`, or has its paths where
//! the configuration says.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::webhook::auth::headers::hint;
use crate::webhook::auth::signature::Scheme;
use crate::webhook::payload::branch::Ref;
use crate::webhook::payload::content::Unreadable;
use crate::webhook::payload::content::printable;
use crate::webhook::payload::content::{near_key, parse, parse_any, refuse};
use crate::webhook::payload::paths::{self, Listed};
use crate::webhook::payload::pointer::{Pointer, Texts, There};
use crate::webhook::payload::reading::{Ask, Events, Identity, Input, Reading};

use super::{Auth, DefaultPurge, How, Named, Options, Sender};

/// Any other sender: a token, name and password, or a MAC in a header.
pub static SENDER: Sender = Sender {
    example: r#"# Any other sender. edgepurge's own body is {"paths": ["a.html"]} (files below the origin's root),
# {"all": true} or {"scan": true}; where purge is left out or "files", it says what is purged:
#   curl --fail-with-body -H "Authorization: Bearer $TOKEN" --json '{"scan":true}' http://127.0.0.1:8787/hooks/ci
[[pipeline.webhook]]
route = "/hooks/ci"
kind = "generic"
#auth = "bearer"               # the default: Authorization: Bearer SECRET. Or token, basic, hmac
credential = "ci_token"
"#,
    keys: &KEYS,
    repository: Named::AtPointer,
    branch: Named::AtPointer,
    event: Named::AtPointer,
    purge: DefaultPurge::Files,
    ..Sender::new("generic", &AUTHS, read)
};

const AUTHS: [Auth; 4] = [BEARER, TOKEN, BASIC, MAC];

/// The secret, as `Authorization: Bearer`.
pub(super) const BEARER: Auth = Auth {
    name: "bearer",
    how: How::Fixed(|| Scheme::Bearer),
};

/// The secret, in a header of its own.
pub(super) const TOKEN: Auth = Auth {
    name: "token",
    how: How::Token,
};

/// The secret, `NAME:PASSWORD`, as `Authorization: Basic`.
pub(super) const BASIC: Auth = Auth {
    name: "basic",
    how: How::Fixed(|| Scheme::Basic),
};

/// A MAC in a header.
const MAC: Auth = Auth {
    name: "hmac",
    how: How::Mac,
};

const KEYS: [&str; 15] = [
    "token_header",
    "token_prefix",
    "signature_header",
    "signature_prefix",
    "signature_encoding",
    "signature_digest",
    "signed",
    "timestamp_header",
    "timestamp_field",
    "timestamp_unit",
    "paths",
    "repository_pointer",
    "branch",
    "event",
    "id",
];

/// Where a body says what it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// The paths: each a text or a list of texts. Empty for edgepurge's own body.
    pub paths: Vec<Pointer>,
    /// The names of the repository (bucket, project).
    pub repository: Option<Pointer>,
    /// The branch, or a full ref.
    pub branch: Option<Pointer>,
    /// The event's name.
    pub event: Option<Pointer>,
    /// The event's id, by which repeated deliveries are known where it is signed.
    pub id: Option<Pointer>,
}

/// edgepurge's own body.
#[derive(Deserialize)]
struct Own {
    #[serde(default)]
    scan: Option<bool>,
    #[serde(default)]
    all: Option<bool>,
    #[serde(default)]
    paths: Option<IgnoredAny>,
}

fn read(input: &Input<'_>, options: &Options) -> Result<Reading, Unreadable> {
    let fields = &options.fields;
    let mut reading = of_body(input, fields, input.body, None)?;
    reading.id = reading
        .id
        .or_else(|| hint(input.headers, "idempotency-key").map(str::to_owned));
    Ok(reading)
}

/// Reads `body`, of which `event` may be known already.
pub(in crate::webhook) fn of_body(
    input: &Input<'_>,
    fields: &Fields,
    body: &[u8],
    event: Option<&str>,
) -> Result<Reading, Unreadable> {
    // A place that is configured has to be there: else every event would pass unseen.
    let texts = |pointer: &Option<Pointer>| {
        let pointer = pointer.as_ref();
        pointer.map(|pointer| pointer.texts(body)).transpose()
    };
    // Another sender's body may have the names of ours with another meaning.
    let own: Option<Own> = if input.files && fields.paths.is_empty() {
        Some(parse(body)?)
    } else {
        let _: IgnoredAny = parse_any(body)?;
        None
    };
    let named = match event {
        Some(event) => Some(Texts {
            items: vec![event.to_owned()],
            more: false,
        }),
        None => texts(&fields.event)?,
    };
    let name = match &named {
        Some(named) => match wanted(input.events, named) {
            Some(name) => Some(name),
            None => return Ok(unwanted(named)),
        },
        None => None,
    };
    let ask = match own {
        Some(own) => own_ask(body, &own)?,
        None if input.files => listed_ask(fields, body)?,
        None => Ask::Unlisted("not asked for"),
    };
    let mut reading = Reading::of(name.unwrap_or(word(&ask)), ask);
    // Where not all is known of the branches, any may be among them.
    if let Some(branches) = texts(&fields.branch)?.filter(|branches| !branches.more) {
        let refs = branches.items.iter().map(|name| Ref::of(name));
        reading.refs.extend(refs);
    }
    if let Some(names) = texts(&fields.repository)? {
        reading.repository.extend(names.items);
    }
    if let Some(ids) = texts(&fields.id)?.filter(|ids| !ids.more && !ids.items.is_empty()) {
        let id = ids.items.join("\n");
        reading.identity = Identity::InBody(id.clone());
        reading.id = Some(id);
    }
    Ok(reading)
}

/// The event that a delivery counts for, of those that it names.
fn wanted<'n>(events: Events<'_>, named: &'n Texts) -> Option<&'n str> {
    let wanted = named.items.iter().find(|name| events.want(name));
    // What is not known of the others may count.
    let any = named.items.first().filter(|_| named.more);
    wanted.or(any).map(String::as_str)
}

fn unwanted(named: &Texts) -> Reading {
    named.items.first().map_or_else(
        || Reading::nothing("none", "it lists no events"),
        |first| Reading::unwanted(first),
    )
}

fn word(ask: &Ask) -> &'static str {
    match ask {
        Ask::Scan => "scan",
        Ask::All => "all",
        Ask::Files(_) => "paths",
        Ask::Nothing(_) | Ask::Unlisted(_) => "deploy",
    }
}

/// The files at the places that the configuration names.
fn listed_ask(fields: &Fields, body: &[u8]) -> Result<Ask, Unreadable> {
    let mut any = false;
    let mut files = Collected::default();
    for pointer in &fields.paths {
        let name = printable(pointer.as_str());
        let there = pointer.each(body, |path| files.add(&name, path))?;
        any |= there != There::No;
        if there == There::Partly {
            files
                .listed
                .cut("an element of a list does not say which file it is about");
        }
    }
    if !any {
        let first = fields.paths.first().map_or("", Pointer::as_str);
        return refuse(&printable(first), "is missing");
    }
    files.ask()
}

/// What edgepurge's own body asks for.
fn own_ask(body: &[u8], own: &Own) -> Result<Ask, Unreadable> {
    match (own.all == Some(true), own.scan == Some(true), &own.paths) {
        (true, false, None) => Ok(Ask::All),
        (false, true, None) => Ok(Ask::Scan),
        (false, false, Some(_)) => {
            let mut files = Collected::default();
            if let Some(pointer) = Pointer::parse("/paths") {
                pointer.each(body, |path| files.add("paths", path))?;
            }
            files.ask()
        }
        _ => {
            let near = near_key(body, ["paths", "all", "scan"]);
            let near = near.map_or_else(String::new, |key| {
                format!("; it has a key that is nearly `{key}`: did you mean that?")
            });
            let hint = format!("{OWN_BODY}{near}");
            refuse("the body", &hint)
        }
    }
}

/// What edgepurge's own body may be.
const OWN_BODY: &str = "has to be {\"paths\": [..]}, {\"all\": true} or {\"scan\": true}, and only one of these; \
                        for another sender's body, set purge in the route";

/// Paths of edgepurge's own body: one that is refused makes the delivery unreadable.
#[derive(Default)]
struct Collected {
    listed: Listed,
    /// How many there were at the place that is read.
    seen: (String, usize),
    refused: Option<(String, paths::PathProblem)>,
}

impl Collected {
    fn add(&mut self, place: &str, path: &str) {
        if self.seen.0 != place {
            self.seen = (place.to_owned(), 0);
        }
        // `/a.html` is how an asset is written, and means the same file.
        let path = match path.strip_prefix('/') {
            Some(rest) if !rest.starts_with('/') => rest,
            _ => path,
        };
        if self.refused.is_none()
            && let Err(problem) = paths::check(path)
        {
            self.refused = Some((format!("{place}[{}]", self.seen.1), problem));
        }
        self.seen.1 += 1;
        self.listed.add(path);
    }

    fn ask(self) -> Result<Ask, Unreadable> {
        match self.refused {
            Some((field, problem)) => refuse(&field, &problem.to_string()),
            None => Ok(Ask::listed(self.listed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::kind::Kind;
    use crate::webhook::tests::bench::{NOW, holds, route};
    use crate::webhook::tests::senders::Sender as Example;
    use crate::webhook::{Digest, Encoding, Mac};

    #[test]
    fn what_stripes_library_signs_is_believed() {
        holds(
            &route(Example::Stripe.kind(), "whsec_test_secret"),
            &[(
                "stripe-signature",
                "t=1700000000,v1=13941114bb88ac44a76abcfddea5b92aa6182a4b63d8be3aae908a616083bd7e",
            )],
            r#"{"id":"evt_test"}"#,
            1_700_000_000,
        );
    }

    #[test]
    fn what_ghost_signs_is_believed() {
        holds(
            &route(Example::Ghost.kind(), "ghost-secret"),
            &[(
                "x-ghost-signature",
                "sha256=74e3696a7ff9a0e6c62a6760ca6a6fc6bcbdf9707ba1a8c04b85e5283c253fc1, t=1700000000000",
            )],
            r#"{"post":{}}"#,
            1_700_000_000,
        );
    }

    #[test]
    fn what_woocommerce_signs_is_believed() {
        let kind = Kind::new(&SENDER).with(Scheme::Mac(Mac {
            header: "x-wc-webhook-signature".parse().unwrap(),
            prefix: String::new(),
            encoding: Encoding::Base64,
            digest: Digest::Sha256,
            stamp: None,
            around: (Vec::new(), Vec::new()),
        }));
        holds(
            &route(kind, "woo-secret"),
            &[(
                "x-wc-webhook-signature",
                "ueUaS+FSLDeq3KPWOJMOOfNu3pvS2EPB2OSU538lwN0=",
            )],
            r#"{"id":1}"#,
            NOW,
        );
    }
}
