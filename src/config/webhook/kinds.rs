//! The keys that only some kinds have.

use std::collections::BTreeSet;

use crate::config::reader::Reader;
use crate::config::section::{Held, Section};
use crate::config::shape::Shape;
use crate::config::syntax::{Syntax, list, scalar};
use crate::config::value::{Words, complain, line, quoted, text, word_of};
use crate::webhook::kind::{How, SENDERS, Sender, s3};
use crate::webhook::{Kind, Scheme};

use super::{Refused, WebhookKeys, complete, fields, signature};

/// A kind by its name.
pub(super) fn kind() -> Syntax<&'static Sender> {
    word_of(
        SENDERS
            .iter()
            .map(|sender| (sender.name, *sender))
            .collect(),
    )
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

/// The kinds that have a key which not every kind has.
pub(super) fn having(key: &str) -> Vec<&'static str> {
    let having = SENDERS.iter().filter(|sender| sender.keys.contains(&key));
    having.map(|sender| sender.name).collect()
}

/// The keys that only some kinds have, each once.
fn others() -> BTreeSet<&'static str> {
    let keys = SENDERS.iter().flat_map(|sender| sender.keys);
    keys.copied().collect()
}

/// What to write for a kind.
pub(super) fn hint() -> String {
    let words: Vec<&str> = SENDERS.iter().map(|sender| sender.name).collect();
    format!("write who sends: {}", quoted(&words))
}

/// Every way to authenticate that some kind has.
pub(super) fn every_auth() -> Vec<&'static str> {
    let auths: BTreeSet<&str> = SENDERS.iter().flat_map(|sender| auths(sender)).collect();
    auths.into_iter().collect()
}

/// The ways to authenticate a kind's deliveries, the default first.
pub(in crate::config) fn auths(sender: &Sender) -> Vec<&'static str> {
    let names = sender.auths.iter().map(|auth| auth.name);
    names.chain([NONE]).collect()
}

/// Reads `kind`, `auth`, and what belongs to them; `None` where there is a problem with them, and then
/// every key that only some kinds have is looked at all the same.
pub(super) fn read(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Option<Kind> {
    let sender = WebhookKeys::kind(reader, section);
    let Some(sender) = sender.value else {
        of_unknown(reader, section);
        return None;
    };
    let auth = read_auth(reader, section, auths(sender));
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
    auths: Vec<&'static str>,
) -> Held<&'static str> {
    let usual = auths.first().copied().unwrap_or_default();
    reader.setting(section, "auth", usual, &auth(auths))
}

/// One of these ways to authenticate.
pub(super) fn auth(auths: Vec<&'static str>) -> Syntax<&'static str> {
    let shape = Shape::Words(auths.clone());
    let read = move |raw: &toml::de::DeValue<'_>| {
        let hint = format!("write one of {}", quoted(&auths));
        let word = text(raw, &hint)?;
        auths
            .iter()
            .find(|auth| **auth == word)
            .copied()
            .map_or_else(
                || complain("is not a way to authenticate this kind", hint),
                Ok,
            )
    };
    scalar(shape, read, |auth| *auth)
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
        options.assume_no_force_push = WebhookKeys::assume_no_force_push(reader, section).value;
    }
    if has("key_encoding") {
        options.keys = WebhookKeys::key_encoding(reader, section).value;
    }
    let origins = if has("allowed_origins") {
        read_origins(reader, section)
    } else {
        Ok(Vec::new())
    };
    let external = if has("external_path") {
        complete(WebhookKeys::external_path(reader, section))
    } else {
        Ok(None)
    };
    if has("paths") {
        options.fields = fields::read(reader, section, has("event"))?;
    }
    options.allowed_origins = origins?;
    kind.scheme = match (scheme?, external?) {
        (Scheme::Own(protocol, _), external) => Scheme::Own(protocol, external),
        (scheme, _) => scheme,
    };
    Ok(kind)
}

/// How deliveries are authenticated. Where `auth` is refused, the keys show which was meant.
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
    let mut ways = sender.auths.iter().rev();
    let way = match ways.clone().find(|way| auth.refused && meant(&way.how)) {
        None => ways.find(|way| way.name == auth.value),
        meant => meant,
    };
    match way.map(|way| &way.how) {
        Some(How::Fixed(scheme)) => Ok(scheme()),
        Some(How::Token) => signature::read_token(reader, section),
        Some(How::Mac) => signature::read(reader, section).map(Scheme::Mac),
        None => Ok(Scheme::Open),
    }
}

/// Looks at the keys that only some kinds have, where the kind is unknown: none of them is
/// unknown, and a value that no kind takes is wrong.
fn of_unknown(reader: &mut Reader<'_>, section: &mut Section<'_>) {
    read_auth(reader, section, every_auth());
    WebhookKeys::assume_no_force_push(reader, section);
    if section.has("signature_header") {
        drop(signature::read(reader, section));
    }
    if section.has("token_header") {
        drop(signature::read_token(reader, section));
    }
    WebhookKeys::key_encoding(reader, section);
    drop(read_origins(reader, section));
    WebhookKeys::external_path(reader, section);
    drop(fields::read(reader, section, true));
    section.known.extend(others());
}

/// Reports the keys that belong to other kinds, or to another `auth`.
pub(super) fn refuse_others(reader: &mut Reader<'_>, section: &mut Section<'_>, kind: &Kind) {
    foreign(reader, section, kind.as_str(), false);
}

/// As [`refuse_others`]; where `auth` is refused, nothing is said of keys that another one may have.
fn foreign(reader: &mut Reader<'_>, section: &mut Section<'_>, name: &str, auth_refused: bool) {
    for key in others() {
        if section.known.contains(key) {
            continue;
        }
        let Some(raw) = Reader::raw(section, key) else {
            continue;
        };
        let kinds = having(key);
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

fn read_origins(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
) -> Result<Vec<String>, Refused> {
    let given = reader.given(section, "allowed_origins", &origins());
    let from = reader.source(given.span.as_ref());
    let named = complete(given)?.unwrap_or_default();
    let written = origins().written(&named);
    reader.record(section, "allowed_origins", Some(written), from);
    Ok(named)
}

/// The names of origins.
pub(super) fn origins() -> Syntax<Vec<String>> {
    let origin = scalar(
        Shape::pattern("a DNS name", "^[!-~]+$"),
        |raw| {
            let origin = text(raw, "write each in quotes")?;
            if origin.is_empty() || !origin.bytes().all(|b| b.is_ascii_graphic()) {
                return complain("is not an origin", "write its DNS name");
            }
            Ok(origin.to_owned())
        },
        String::clone,
    );
    list(
        "write a list of names, such as [\"eventgrid.azure.net\"]",
        origin,
    )
}

/// A path that Contentful signs as it is.
pub(super) fn external_path() -> Syntax<String> {
    let shape = Shape::pattern("a path", "^/[A-Za-z0-9/._~-]*$");
    line().checked(shape, |path| {
        // Contentful signs other characters, and queries, in an encoding of its own.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._~-".contains(&b);
        if path.starts_with('/') && path.bytes().all(plain) {
            return Ok(());
        }
        complain(
            "is not a plain path",
            "write the path of the URL that Contentful sends to, of letters, digits, `/`, `.`, `_`, `~` and `-`",
        )
    })
}
