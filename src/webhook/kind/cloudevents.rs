//! `CloudEvents` 1.0 over HTTP: binary, structured and batched. Source and id
//! name an event, but nothing signs them. The data is read as `generic` reads its body.

use std::borrow::Cow;
use std::collections::BTreeSet;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use data_encoding::BASE64;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::webhook::auth::headers::{hint, one};
use crate::webhook::payload::content::Bounded;
use crate::webhook::payload::content::Unreadable;
use crate::webhook::payload::content::{self, parse, parse_any, refuse};
use crate::webhook::payload::paths::MAX_PATHS;
use crate::webhook::payload::reading::{Ask, Input, Reading};

use super::generic::{self, BASIC, BEARER, Fields, TOKEN};
use super::{Auth, DefaultPurge, Handshake, Named, Options, Sender};

/// `CloudEvents` over HTTP, with a token, or name and password.
pub static SENDER: Sender = Sender {
    example: r#"# CloudEvents 1.0, binary, structured or batched, by default with `Authorization: Bearer`; auth =
# "token" and "basic" are as in generic. The data is read as the body of generic. Senders that ask by
# OPTIONS first are let in from these origins only.
[[pipeline.webhook]]
route = "/hooks/events"
kind = "cloudevents"
credential = "events_token"
#allowed_origins = ["eventgrid.azure.net"]
#events = ["com.example.site.deployed"]
"#,
    keys: &[
        "allowed_origins",
        "token_header",
        "token_prefix",
        "paths",
        "repository_pointer",
        "branch",
        "id",
    ],
    branch: Named::AtPointer,
    purge: DefaultPurge::Files,
    methods: &[Method::POST, Method::OPTIONS],
    handshake: Some(handshake),
    check,
    ..Sender::new("cloudevents", &AUTHS, read)
};

const AUTHS: [Auth; 3] = [BEARER, TOKEN, BASIC];

/// The most events of one batch that are read one by one.
const MAX_BATCH: usize = 1000;

/// Answers a sender that asks whether it may send: only to the origins that are configured. The
/// callback that it may offer is never called.
fn handshake(options: &Options, _: bool, headers: &HeaderMap) -> Handshake {
    let allowed = &options.allowed_origins;
    let asked =
        one(headers, &HeaderName::from_static("webhook-request-origin")).unwrap_or_default();
    let known = allowed.iter().find(|one| one.eq_ignore_ascii_case(asked));
    let Some(origin) = known.and_then(|origin| HeaderValue::from_str(origin).ok()) else {
        return Handshake {
            status: StatusCode::FORBIDDEN,
            headers: Vec::new(),
        };
    };
    Handshake {
        status: StatusCode::OK,
        headers: vec![
            (header::ALLOW, HeaderValue::from_static("POST")),
            (HeaderName::from_static("webhook-allowed-origin"), origin),
            (
                HeaderName::from_static("webhook-allowed-rate"),
                HeaderValue::from_static("*"),
            ),
        ],
    }
}

/// An event in structured mode.
#[derive(Deserialize)]
struct Event<'b> {
    specversion: String,
    #[serde(rename = "type")]
    kind: String,
    source: String,
    id: String,
    #[serde(borrow, default)]
    data: Option<&'b RawValue>,
    #[serde(default)]
    data_base64: Option<String>,
}

/// Whether the data of events is looked at; otherwise it may be anything.
const fn reads_data(files: bool, fields: &Fields) -> bool {
    files || fields.repository.is_some() || fields.branch.is_some() || fields.id.is_some()
}

fn media(headers: &HeaderMap) -> String {
    let media = hint(headers, "content-type").unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    media.to_ascii_lowercase()
}

/// The data of an event in binary mode may be anything where it is not read.
fn check(headers: &HeaderMap, files: bool, options: &Options) -> Result<(), Unreadable> {
    let is_data = !media(headers).starts_with("application/cloudevents");
    if is_data && !reads_data(files, &options.fields) {
        return Ok(());
    }
    content::check(headers)
}

fn read(input: &Input<'_>, options: &Options) -> Result<Reading, Unreadable> {
    let fields = &options.fields;
    match media(input.headers).as_str() {
        "application/cloudevents+json" => {
            let event: Event<'_> = parse(input.body)?;
            structured(input, fields, &event)
        }
        "application/cloudevents-batch+json" => batch(input, fields),
        _ => binary(input, fields),
    }
}

fn structured(
    input: &Input<'_>,
    fields: &Fields,
    event: &Event<'_>,
) -> Result<Reading, Unreadable> {
    let data = match (&event.data, &event.data_base64) {
        (Some(_), Some(_)) => return refuse("data", "is there twice, also as data_base64"),
        (Some(data), None) => Cow::Borrowed(data.get().as_bytes()),
        (None, Some(encoded)) => match BASE64.decode(encoded.as_bytes()) {
            Ok(data) => Cow::Owned(data),
            Err(_) => return refuse("data_base64", "is not base64"),
        },
        (None, None) => Cow::Borrowed(&b""[..]),
    };
    let said = Said {
        version: &event.specversion,
        kind: &event.kind,
        source: &event.source,
        id: &event.id,
    };
    of(input, fields, &said, &data)
}

fn binary(input: &Input<'_>, fields: &Fields) -> Result<Reading, Unreadable> {
    let attribute = |name: &'static str| {
        let text = match hint(input.headers, name) {
            Some(text) => percent_decode_str(text).decode_utf8().ok(),
            None => None,
        };
        match text {
            Some(text) => Ok(text),
            None => refuse(name, "the header is missing, or is not text"),
        }
    };
    let (version, kind) = (attribute("ce-specversion")?, attribute("ce-type")?);
    let (source, id) = (attribute("ce-source")?, attribute("ce-id")?);
    let said = Said {
        version: &version,
        kind: &kind,
        source: &source,
        id: &id,
    };
    of(input, fields, &said, input.body)
}

/// The attributes of an event.
struct Said<'e> {
    version: &'e str,
    kind: &'e str,
    source: &'e str,
    id: &'e str,
}

fn of(
    input: &Input<'_>,
    fields: &Fields,
    said: &Said<'_>,
    data: &[u8],
) -> Result<Reading, Unreadable> {
    if said.version != "1.0" {
        return refuse("specversion", "has to be 1.0");
    }
    let mut reading = if !input.events.want(said.kind) {
        Reading::unwanted(said.kind)
    } else if !reads_data(input.files, fields) {
        // What is purged is configured.
        Reading::of(said.kind, Ask::Unlisted("not asked for"))
    } else {
        let data = if data.is_empty() { b"{}" } else { data };
        generic::of_body(input, fields, data, Some(said.kind))?
    };
    reading.id = Some(said.id.to_owned());
    reading.repository.push(said.source.to_owned());
    Ok(reading)
}

fn batch(input: &Input<'_>, fields: &Fields) -> Result<Reading, Unreadable> {
    let events: Bounded<&RawValue, MAX_BATCH> = parse_any(input.body)?;
    if events.more {
        return Ok(Reading::of(
            "batch",
            Ask::Unlisted("it has more than 1000 events"),
        ));
    }
    let mut all: Option<Reading> = None;
    for event in events.items {
        let event: Event<'_> = parse(event.get().as_bytes())?;
        let next = structured(input, fields, &event)?;
        all = Some(match all {
            None => next,
            Some(before) => joined(before, next),
        });
    }
    Ok(all.unwrap_or_else(|| Reading::nothing("batch", "it has no events")))
}

/// Two readings as one that asks for what both ask for.
fn joined(mut one: Reading, other: Reading) -> Reading {
    if matches!(other.ask, Ask::Nothing(_)) {
        return one;
    }
    if matches!(one.ask, Ask::Nothing(_)) {
        return other;
    }
    one.ask = match (one.ask, other.ask) {
        (Ask::All, _) | (_, Ask::All) => Ask::All,
        (Ask::Unlisted(why), _) | (_, Ask::Unlisted(why)) => Ask::Unlisted(why),
        (Ask::Files(files), Ask::Files(more)) => {
            let files: BTreeSet<String> = files.into_iter().chain(more).collect();
            if files.len() > MAX_PATHS {
                Ask::Unlisted("it lists more than 10000 files")
            } else {
                Ask::Files(files)
            }
        }
        _ => Ask::Scan,
    };
    "batch".clone_into(&mut one.what);
    one.id = None;
    one.repository.extend(other.repository);
    // An event that says nothing of branches may be about any.
    if one.refs.is_empty() || other.refs.is_empty() {
        one.refs = Vec::new();
    } else {
        one.refs.extend(other.refs);
    }
    one
}
