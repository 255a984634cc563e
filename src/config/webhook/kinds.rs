//! The keys that only some kinds have.

use toml::de::DeValue;

use crate::config::range;
use crate::config::reader::Reader;
use crate::config::section::{Held, Section};
use crate::config::value::{Complaint, Value, Words, complain, quoted, text, word_of};
use crate::webhook::kind::{How, SENDERS, Sender, s3};
use crate::webhook::{Kind, Scheme};

use super::{Refused, complete, fields, signature};

impl Value for &'static Sender {
    fn read(value: &DeValue<'_>) -> Result<Self, Complaint> {
        word_of(value, SENDERS.iter().map(|sender| (sender.name, *sender)))
    }

    fn written(&self) -> toml::Value {
        self.name.into()
    }
}

impl Words for s3::Keys {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Self::BySource),
        ("form", Self::Form),
        ("raw", Self::Raw),
    ];
}

/// How no delivery is authenticated.
const NONE: &str = "none";

/// The keys that only some kinds have, each with those.
fn others() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    let mut keys: Vec<&'static str> = Vec::new();
    for key in SENDERS.iter().flat_map(|sender| sender.keys) {
        if !keys.contains(key) {
            keys.push(key);
        }
    }
    keys.into_iter().map(|key| {
        let having = SENDERS.iter().filter(|sender| sender.keys.contains(&key));
        (key, having.map(|sender| sender.name).collect())
    })
}

/// The ways to authenticate the deliveries of these kinds, each once.
fn auths(senders: &[&'static Sender]) -> Vec<&'static str> {
    let mut names = Vec::new();
    let all = senders.iter().flat_map(|sender| sender.auths);
    for name in all.map(|auth| auth.name).chain([NONE]) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Reads `kind`, `auth`, and what belongs to them; `None` where there is a problem with them, and then
/// every key that only some kinds have is looked at all the same.
pub(super) fn read(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Option<Kind> {
    let words: Vec<&str> = SENDERS.iter().map(|sender| sender.name).collect();
    let hint = format!("write who sends: {}", quoted(&words));
    let sender = reader.required::<&Sender>(section, "kind", &hint, range::any);
    let Some(sender) = sender.value else {
        of_unknown(reader, section);
        return None;
    };
    let auth = read_auth(reader, section, &auths(&[sender]));
    let kind = of_sender(reader, section, sender, &auth);
    match kind {
        Ok(kind) if !auth.refused => Some(kind),
        _ => {
            foreign(reader, section, sender.name, auth.refused);
            None
        }
    }
}

fn read_auth(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
    auths: &[&'static str],
) -> Held<&'static str> {
    let given = reader.given(section, "auth", |raw| {
        let hint = format!("write one of {}", quoted(auths));
        let word = text(raw, &hint)?;
        auths
            .iter()
            .find(|auth| **auth == word)
            .copied()
            .map_or_else(
                || complain("is not a way to authenticate this kind", hint),
                Ok,
            )
    });
    let auth = reader.held(given, auths.first().copied().unwrap_or_default());
    let from = reader.source(auth.span.as_ref());
    reader.record(section, "auth", Some(auth.value.into()), from);
    auth
}

/// Reads what a kind has of its own. All of it, also where something of it is refused.
fn of_sender(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
    sender: &'static Sender,
    auth: &Held<&'static str>,
) -> Result<Kind, Refused> {
    let has = |key| sender.keys.contains(&key);
    let scheme = scheme(reader, section, sender, auth);
    let mut kind = Kind::new(sender);
    let options = &mut kind.options;
    if has("assume_no_force_push") {
        options.assume_no_force_push = force_push(reader, section);
    }
    if has("key_encoding") {
        options.keys = keys(reader, section);
    }
    let origins = if has("allowed_origins") {
        origins(reader, section)
    } else {
        Ok(Vec::new())
    };
    let external = if has("external_path") {
        external_path(reader, section)
    } else {
        Ok(None)
    };
    if has("paths") {
        options.fields = fields::read(reader, section, has("event"))?;
    }
    options.allowed_origins = origins?;
    kind.scheme = match (scheme?, external?) {
        (Scheme::Contentful(_), external) => Scheme::Contentful(external),
        (scheme, _) => scheme,
    };
    Ok(kind)
}

/// How deliveries are authenticated. Where `auth` is refused, the keys tell what it was to be.
fn scheme(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
    sender: &Sender,
    auth: &Held<&'static str>,
) -> Result<Scheme, Refused> {
    let meant = |how: &How| match how {
        How::Fixed(_) => false,
        How::Token => section.has("token_header"),
        How::Mac => section.has("signature_header"),
    };
    let mut ways = sender.auths.iter().rev().map(|auth| (auth.name, &auth.how));
    let way = match ways.clone().find(|(_, how)| auth.refused && meant(how)) {
        Some((_, how)) => Some(how),
        None => ways
            .find(|(name, _)| *name == auth.value)
            .map(|(_, how)| how),
    };
    match way {
        Some(How::Fixed(scheme)) => Ok(scheme()),
        Some(How::Token) => signature::read_token(reader, section),
        Some(How::Mac) => signature::read(reader, section).map(Scheme::Mac),
        None => Ok(Scheme::Open),
    }
}

/// Looks at the keys that only some kinds have, where nobody knows which kind it is: none of them is
/// unknown, and a value that no kind takes is wrong.
fn of_unknown(reader: &mut Reader<'_>, section: &mut Section<'_>) {
    let mut known = auths(&SENDERS);
    known.sort_unstable();
    read_auth(reader, section, &known);
    force_push(reader, section);
    if section.has("signature_header") {
        drop(signature::read(reader, section));
    }
    if section.has("token_header") {
        drop(signature::read_token(reader, section));
    }
    keys(reader, section);
    drop(origins(reader, section));
    drop(external_path(reader, section));
    drop(fields::read(reader, section, true));
    for (key, _) in others() {
        section.known.insert(key);
    }
}

/// Reports the keys that belong to other kinds, or to another `auth`.
pub(super) fn refuse_others(reader: &mut Reader<'_>, section: &mut Section<'_>, kind: &Kind) {
    foreign(reader, section, kind.as_str(), false);
}

/// As [`refuse_others`]; where `auth` is refused, nothing is said of keys that another one may have.
fn foreign(reader: &mut Reader<'_>, section: &mut Section<'_>, name: &str, auth_refused: bool) {
    for (key, kinds) in others() {
        if section.known.contains(key) {
            continue;
        }
        let Some(raw) = Reader::raw(section, key) else {
            continue;
        };
        let (why, hint) = if !kinds.contains(&name) {
            (
                format!("is not a key of kind = \"{name}\""),
                format!("remove the line; it belongs to {}", quoted(&kinds)),
            )
        } else if auth_refused {
            continue;
        } else {
            let auth = if key.starts_with("token_") {
                "token"
            } else {
                "hmac"
            };
            (
                format!("belongs to auth = \"{auth}\", which the route does not have"),
                format!("write auth = \"{auth}\", or remove the line"),
            )
        };
        reader.report_key(&section.key(key), &raw.span(), &why, &hint);
    }
}

fn force_push(reader: &mut Reader<'_>, section: &mut Section<'_>) -> bool {
    let given = reader.given(section, "assume_no_force_push", |raw| {
        raw.as_bool().map_or_else(
            || complain("is neither true nor false", "write true or false"),
            Ok,
        )
    });
    let held = reader.held(given, false);
    let from = reader.source(held.span.as_ref());
    reader.record(
        section,
        "assume_no_force_push",
        Some(held.value.into()),
        from,
    );
    held.value
}

fn keys(reader: &mut Reader<'_>, section: &mut Section<'_>) -> s3::Keys {
    reader
        .setting(section, "key_encoding", s3::Keys::default(), range::any)
        .value
}

fn origins(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Result<Vec<String>, Refused> {
    let given = reader.list(
        section,
        "allowed_origins",
        "write a list of names, such as [\"eventgrid.azure.net\"]",
        |raw| {
            let origin = text(raw, "write each in quotes")?;
            if origin.is_empty() || !origin.bytes().all(|b| b.is_ascii_graphic()) {
                return complain("is not an origin", "write its DNS name");
            }
            Ok(origin.to_owned())
        },
    );
    let from = reader.source(given.span.as_ref());
    let origins = complete(given)?.unwrap_or_default();
    reader.record(
        section,
        "allowed_origins",
        Some(origins.clone().into()),
        from,
    );
    Ok(origins)
}

fn external_path(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
) -> Result<Option<String>, Refused> {
    let given = reader.optional(section, "external_path", |path: &String| {
        // Contentful signs other characters, and queries, in an encoding of its own.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._~-".contains(&b);
        if path.starts_with('/') && path.bytes().all(plain) {
            return Ok(());
        }
        complain(
            "is not a plain path",
            "write the path of the URL that Contentful sends to, of letters, digits, `/`, `.`, `_`, `~` and `-`",
        )
    });
    complete(given)
}
