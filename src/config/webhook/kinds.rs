//! The keys that only some kinds have.

use std::collections::BTreeSet;

use crate::config::reader::Reader;
use crate::config::section::{Held, Section};
use crate::config::shape::Shape;
use crate::config::syntax::{Syntax, list, scalar};
use crate::config::value::{Words, complain, line, quoted, text};
use crate::webhook::Kind;
use crate::webhook::kind::{generic, gitlab, s3, standard};

use super::{Refused, WebhookKeys, complete, fields, signature};

/// A kind by its name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Name {
    Github,
    Gitlab,
    Gitea,
    Forgejo,
    Bitbucket,
    Standard,
    S3,
    Cloudevents,
    Contentful,
    Sanity,
    Netlify,
    Vercel,
    Generic,
}

impl Words for Name {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("github", Self::Github),
        ("gitlab", Self::Gitlab),
        ("gitea", Self::Gitea),
        ("forgejo", Self::Forgejo),
        ("bitbucket", Self::Bitbucket),
        ("standard", Self::Standard),
        ("s3", Self::S3),
        ("cloudevents", Self::Cloudevents),
        ("contentful", Self::Contentful),
        ("sanity", Self::Sanity),
        ("netlify", Self::Netlify),
        ("vercel", Self::Vercel),
        ("generic", Self::Generic),
    ];
}

impl Words for s3::Keys {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Self::BySource),
        ("form", Self::Form),
        ("raw", Self::Raw),
    ];
}

impl Name {
    /// The ways to authenticate its deliveries, the default first.
    const fn auths(self) -> &'static [&'static str] {
        match self {
            Self::Gitlab => &["token", "signing_token", "none"],
            Self::Standard => &["hmac", "ed25519", "none"],
            Self::S3 | Self::Cloudevents => &["bearer", "token", "basic", "none"],
            Self::Generic => &["bearer", "token", "basic", "hmac", "none"],
            _ => &["signature", "none"],
        }
    }
}

impl Name {
    fn word(self) -> &'static str {
        let found = Self::WORDS.iter().find(|(_, name)| *name == self);
        found.map_or("", |(word, _)| word)
    }
}

/// Keys that only some kinds have, each with those.
fn others() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    let keys = WebhookKeys::table().keys.into_iter();
    keys.map(|key| (key.name, key.kinds))
        .filter(|(_, kinds)| !kinds.is_empty())
}

/// What to write for a kind.
pub(super) fn hint() -> String {
    let words: Vec<&str> = Name::WORDS.iter().map(|(word, _)| *word).collect();
    format!("write who sends: {}", quoted(&words))
}

/// Every way to authenticate that some kind has.
pub(super) fn every_auth() -> Vec<&'static str> {
    let auths = Name::WORDS.iter().flat_map(|(_, name)| name.auths());
    let auths: BTreeSet<&str> = auths.copied().collect();
    auths.into_iter().collect()
}

/// Each kind with the ways to authenticate its deliveries, the default first.
pub(in crate::config) fn auths() -> Vec<(&'static str, &'static [&'static str])> {
    let kinds = Name::WORDS.iter();
    kinds.map(|(word, name)| (*word, name.auths())).collect()
}

/// Reads `kind`, `auth`, and what belongs to them; `None` where there is a problem with them, and then
/// every key that only some kinds have is looked at all the same. Also tells whether the route is open.
pub(super) fn read(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Option<(Kind, bool)> {
    let name = WebhookKeys::kind(reader, section);
    let Some(name) = name.value else {
        of_unknown(reader, section);
        return None;
    };
    let auth = read_auth(reader, section, name.auths().to_vec());
    let kind = of_name(reader, section, name, &auth);
    match kind {
        Ok(kind) if !auth.refused => Some((kind, auth.value == "none")),
        _ => {
            foreign(reader, section, name.word(), auth.refused);
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
fn of_name(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
    name: Name,
    auth: &Held<&'static str>,
) -> Result<Kind, Refused> {
    Ok(match name {
        Name::Github => Kind::Github,
        Name::Gitlab => Kind::Gitlab {
            auth: if auth.value == "signing_token" {
                gitlab::Auth::SigningToken
            } else {
                gitlab::Auth::Token
            },
            assume_no_force_push: WebhookKeys::assume_no_force_push(reader, section).value,
        },
        Name::Gitea => Kind::Gitea {
            assume_no_force_push: WebhookKeys::assume_no_force_push(reader, section).value,
        },
        Name::Forgejo => Kind::Forgejo {
            assume_no_force_push: WebhookKeys::assume_no_force_push(reader, section).value,
        },
        Name::Bitbucket => Kind::Bitbucket,
        Name::Standard => Kind::Standard {
            auth: if auth.value == "ed25519" {
                standard::Auth::Ed25519
            } else {
                standard::Auth::Hmac
            },
            fields: fields::read(reader, section, true)?,
        },
        Name::S3 => {
            let auth = shown(reader, section, auth);
            let keys = WebhookKeys::key_encoding(reader, section).value;
            Kind::S3 { auth: auth?, keys }
        }
        Name::Cloudevents => {
            let auth = shown(reader, section, auth);
            let origins = read_origins(reader, section);
            let fields = fields::read(reader, section, false);
            Kind::Cloudevents {
                auth: auth?,
                allowed_origins: origins?,
                fields: fields?,
            }
        }
        Name::Contentful => Kind::Contentful {
            external_path: complete(WebhookKeys::external_path(reader, section))?,
        },
        Name::Sanity => Kind::Sanity,
        Name::Netlify => Kind::Netlify,
        Name::Vercel => Kind::Vercel,
        Name::Generic => {
            let auth = shown(reader, section, auth);
            let fields = fields::read(reader, section, true);
            Kind::Generic {
                auth: auth?,
                fields: fields?,
            }
        }
    })
}

/// How deliveries show that they know the secret. Where `auth` is refused, the keys tell what it was to
/// be.
fn shown(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
    auth: &Held<&'static str>,
) -> Result<generic::Auth, Refused> {
    let has = |key| auth.refused && section.has(key);
    if auth.value == "hmac" || has("signature_header") {
        return signature::read(reader, section).map(generic::Auth::Hmac);
    }
    if auth.value == "token" || has("token_header") {
        return signature::read_token(reader, section);
    }
    Ok(if auth.value == "basic" {
        generic::Auth::Basic
    } else {
        generic::Auth::Bearer
    })
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
                format!("remove the line; it belongs to {}", quoted(kinds)),
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
