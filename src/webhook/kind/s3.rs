//! `MinIO`, Ceph, and other senders of S3's event records. AWS and `MinIO` encode the keys as forms
//! are encoded, Ceph sends them as they are: the record's source says which, or the configuration.
//! Where neither does, a key stands for both readings.

use axum::http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;

use crate::webhook::payload::content::Bounded;
use crate::webhook::payload::content::Unreadable;
use crate::webhook::payload::content::parse;
use crate::webhook::payload::paths::{Listed, MAX_PATHS};
use crate::webhook::payload::reading::{Ask, Input, Reading};

use super::generic::{BASIC, BEARER, TOKEN};
use super::{Auth, DefaultPurge, Handshake, Named, Options, Sender, may_begin};

/// `MinIO`, Ceph, and other senders of S3's event records, with a token, or name and password.
pub static SENDER: Sender = Sender {
    example: r#"# MinIO, Ceph, and others that send S3 event records, by default with `Authorization: Bearer`; MinIO:
# mc admin config set ALIAS notify_webhook:1 endpoint=URL auth_token=TOKEN. Where there is no origin, what is purged is
# the objects. Ceph can show no token, but name and password: write auth = "basic" (as for generic), and NAME:PASSWORD@
# before the host in its push-endpoint.
[[pipeline.webhook]]
route = "/hooks/bucket"
kind = "s3"
credential = "minio_token"     # a systemd credential: LoadCredential=minio_token:edgepurge.minio_token
repository = "bucket"
#events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:LifecycleExpiration:*", "s3:ObjectLifecycle:Expiration:*", "s3:ObjectSynced:*"] # the default
#key_encoding = "auto"         # by the record's eventSource (AWS, MinIO, RustFS: form; Ceph, NooBaa, Scality: raw; another: both) | form | raw
purge = "files"                # the objects
"#,
    keys: &["key_encoding", "token_header", "token_prefix"],
    default_events: &DEFAULT_EVENTS,
    never_sends,
    branch: Named::Never,
    names_objects: true,
    purge: DefaultPurge::ScanOrFiles,
    methods: &[Method::POST, Method::HEAD],
    handshake: Some(handshake),
    ..Sender::new("s3", &AUTHS, read)
};

const AUTHS: [Auth; 3] = [BEARER, TOKEN, BASIC];

/// What events' names begin with, in configurations of buckets and in some senders' records.
const PREFIX: &str = "s3:";

/// All come after the change. Objects that expire have events of their own, and so do those that Ceph
/// copies from another zone (`rgw_notify_event_type.cc`).
const DEFAULT_EVENTS: [&str; 5] = [
    "s3:ObjectCreated:*",
    "s3:ObjectRemoved:*",
    "s3:LifecycleExpiration:*",
    "s3:ObjectLifecycle:Expiration:*",
    "s3:ObjectSynced:*",
];

/// How the names of events begin, without [`PREFIX`], of AWS, `MinIO`, Ceph and others.
const FAMILIES: [&str; 14] = [
    "ObjectCreated:",
    "ObjectRemoved:",
    "ObjectAccessed:",
    "ObjectRestore:",
    "ObjectTagging:",
    "ObjectAcl:",
    "ObjectTransition:",
    "ObjectLifecycle:",
    "ObjectSynced:",
    "LifecycleExpiration:",
    "LifecycleTransition",
    "IntelligentTiering",
    "Replication:",
    "ReducedRedundancyLostObject",
];

/// How keys are written in the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keys {
    /// As the sender that a record names writes them; both ways where it is not known.
    #[default]
    BySource,
    /// As in forms: `+` is a space, `%XX` a byte.
    Form,
    /// As they are.
    Raw,
}

impl Keys {
    /// The way of a record's sender; `None` where it is not known.
    fn of(self, source: &str) -> Option<Self> {
        match (self, source) {
            // `url.QueryEscape` in MinIO's `event.go`; `byte_serialize` in RustFS's `event.rs`; "the object
            // key name value is URL encoded" in AWS's description of the event message.
            (Self::BySource, "minio:s3" | "rustfs:s3" | "aws:s3") => Some(Self::Form),
            // `rgw_pubsub_s3_event::dump` in Ceph's `rgw_pubsub.cc`; `transformToSpec` in Scality's
            // `message.js`; `compose_notification_req` in NooBaa's `notifications_util.js`.
            (Self::BySource, "ceph:s3" | "scality:s3" | "noobaa:s3") => Some(Self::Raw),
            (Self::BySource, _) => None,
            (keys, _) => Some(keys),
        }
    }
}

#[derive(Deserialize)]
struct Message {
    #[serde(default, rename = "EventName")]
    event_name: Option<String>,
    /// What S3 sends when a notification is set up.
    #[serde(default, rename = "Event")]
    event: Option<String>,
    #[serde(default, rename = "Records")]
    records: Option<Bounded<Record, MAX_PATHS>>,
}

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "eventName")]
    event_name: String,
    #[serde(default, rename = "eventSource")]
    event_source: Option<String>,
    s3: Entity,
}

#[derive(Deserialize)]
struct Entity {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Object {
    key: String,
}

/// `MinIO` asks, with what it authenticates its deliveries with, whether the route is there before it
/// sends.
fn handshake(_: &Options, shows_secret: bool, _: &HeaderMap) -> Handshake {
    let status = if shows_secret {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::UNAUTHORIZED
    };
    Handshake {
        status,
        headers: Vec::new(),
    }
}

fn never_sends(event: &str) -> Option<String> {
    // Configurations of buckets have the prefix, and most records do not.
    let known = FAMILIES
        .iter()
        .any(|family| may_begin(event, family) || may_begin(event, &format!("{PREFIX}{family}")));
    (!known).then(|| format!("an event of S3, such as {}", DEFAULT_EVENTS.join(", ")))
}

fn read(input: &Input<'_>, options: &Options) -> Result<Reading, Unreadable> {
    let message: Message = parse(input.body)?;
    let named = message.event_name.or(message.event).unwrap_or_default();
    let Some(records) = message.records.filter(|records| !records.items.is_empty()) else {
        return Ok(Reading::nothing(
            if named.is_empty() { "s3" } else { &named },
            "it has no records",
        ));
    };
    let mut listed = Listed::default();
    if records.more {
        listed.cut("it lists more than 10000 files");
    }
    let mut first: Option<(String, String)> = None;
    for record in &records.items {
        let event = full_name(&record.event_name);
        // The configuration may have it as records do.
        if !input.events.want(&event) && !input.events.want(short_name(&event)) {
            continue;
        }
        let bucket = &record.s3.bucket.name;
        let (_, known) = first.get_or_insert_with(|| (event, bucket.clone()));
        if known != bucket {
            listed.cut("it is about several buckets");
        }
        let source = record.event_source.as_deref().unwrap_or_default();
        let key = &record.s3.object.key;
        match (options.keys.of(source), decoded(key)) {
            (Some(Keys::Raw), _) => listed.add_object(key),
            (None, decoded) => {
                listed.add_object(key);
                decoded
                    .iter()
                    .filter(|decoded| *decoded != key)
                    .for_each(|decoded| listed.add_object(decoded));
            }
            (Some(_), Some(decoded)) => listed.add_object(&decoded),
            (Some(_), None) => listed.cut("a key is not encoded as keys are"),
        }
    }
    let Some((event, bucket)) = first else {
        let event = records
            .items
            .first()
            .map_or(named, |r| full_name(&r.event_name));
        return Ok(Reading::unwanted(&event));
    };
    let mut reading = Reading::of(&event, Ask::listed(listed));
    reading.repository.push(bucket);
    Ok(reading)
}

/// S3 leaves out in a record what it has in the configuration; `MinIO` doesn't.
fn full_name(event: &str) -> String {
    format!("{PREFIX}{}", short_name(event))
}

fn short_name(event: &str) -> &str {
    event.strip_prefix(PREFIX).unwrap_or(event)
}

/// A key without its encoding: `+` is a space, `%XX` a byte; `None` for what is not encoded so, or
/// not UTF-8.
fn decoded(key: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let byte = digit()? * 16 + digit()?;
                u8::try_from(byte).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_key_is_read_as_it_was_before_it_was_encoded(key in ".*", text in any::<String>()) {
            let encode = |byte| match byte {
                b' ' => "+".to_owned(),
                b'a'..=b'z' | b'/' | b'-' => char::from(byte).to_string(),
                _ => format!("%{byte:02X}"),
            };
            let encoded: String = key.bytes().map(encode).collect();
            prop_assert_eq!(decoded(&encoded), Some(key));
            decoded(&text);
        }
    }

    #[test]
    fn a_key_is_decoded_once() {
        for (key, file) in [
            ("red+flower.jpg", Some("red flower.jpg")),
            ("a%2Fb.html", Some("a/b.html")),
            ("a/b.html", Some("a/b.html")),
            ("caf%C3%A9", Some("café")),
            ("100%25", Some("100%")),
            ("%252e%252e%2Fa", Some("%2e%2e/a")),
            ("a%2Bb", Some("a+b")),
            ("%", None),
            ("%4", None),
            ("%zz", None),
            ("%+1", None),
            ("%FF", None),
        ] {
            assert_eq!(decoded(key).as_deref(), file, "{key}");
        }
    }
}
