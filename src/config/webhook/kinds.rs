//! The keys that only some kinds have.

use std::collections::BTreeSet;

use crate::config::range;
use crate::config::reader::Reader;
use crate::config::section::{Held, Section};
use crate::config::value::{Words, complain, quoted, text};
use crate::webhook::Kind;
use crate::webhook::kind::{generic, gitlab, s3, standard};

use super::{Refused, complete, fields, signature};

/// A kind by its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
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
const OTHERS: [(&str, &[&str]); 19] = [
    ("key_encoding", &["s3"]),
    ("assume_no_force_push", &["gitlab", "gitea", "forgejo"]),
    ("allowed_origins", &["cloudevents"]),
    ("external_path", &["contentful"]),
    ("token_header", &["generic", "s3", "cloudevents"]),
    ("token_prefix", &["generic", "s3", "cloudevents"]),
    ("signature_header", &["generic"]),
    ("signature_prefix", &["generic"]),
    ("signature_encoding", &["generic"]),
    ("signature_digest", &["generic"]),
    ("signed", &["generic"]),
    ("timestamp_header", &["generic"]),
    ("timestamp_field", &["generic"]),
    ("timestamp_unit", &["generic"]),
    ("paths", &["generic", "standard", "cloudevents"]),
    (
        "repository_pointer",
        &["generic", "standard", "cloudevents"],
    ),
    ("branch", &["generic", "standard", "cloudevents"]),
    ("event", &["generic", "standard"]),
    ("id", &["generic", "standard", "cloudevents"]),
];

/// Reads `kind`, `auth`, and what belongs to them; `None` where there is a problem with them, and then
/// every key that only some kinds have is looked at all the same. Also tells whether the route is open.
pub(super) fn read(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Option<(Kind, bool)> {
    let words: Vec<&str> = Name::WORDS.iter().map(|(word, _)| *word).collect();
    let hint = format!("write who sends: {}", quoted(&words));
    let name = reader.required::<Name>(section, "kind", &hint, range::any);
    let Some(name) = name.value else {
        of_unknown(reader, section);
        return None;
    };
    let auth = read_auth(reader, section, name.auths());
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
            assume_no_force_push: force_push(reader, section),
        },
        Name::Gitea => Kind::Gitea {
            assume_no_force_push: force_push(reader, section),
        },
        Name::Forgejo => Kind::Forgejo {
            assume_no_force_push: force_push(reader, section),
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
            let keys = keys(reader, section);
            Kind::S3 { auth: auth?, keys }
        }
        Name::Cloudevents => {
            let auth = shown(reader, section, auth);
            let origins = origins(reader, section);
            let fields = fields::read(reader, section, false);
            Kind::Cloudevents {
                auth: auth?,
                allowed_origins: origins?,
                fields: fields?,
            }
        }
        Name::Contentful => Kind::Contentful {
            external_path: external_path(reader, section)?,
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

/// Looks at the keys that only some kinds have, where nobody knows which kind it is: none of them is
/// unknown, and a value that no kind takes is wrong.
fn of_unknown(reader: &mut Reader<'_>, section: &mut Section<'_>) {
    let auths: Vec<&str> = Name::WORDS
        .iter()
        .flat_map(|(_, name)| name.auths())
        .copied()
        .collect();
    let auths: BTreeSet<&str> = auths.into_iter().collect();
    read_auth(reader, section, &auths.into_iter().collect::<Vec<_>>());
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
    for (key, _) in OTHERS {
        section.known.insert(key);
    }
}

/// Reports the keys that belong to other kinds, or to another `auth`.
pub(super) fn refuse_others(reader: &mut Reader<'_>, section: &mut Section<'_>, kind: &Kind) {
    foreign(reader, section, kind.as_str(), false);
}

/// As [`refuse_others`]; where `auth` is refused, nothing is said of keys that another one may have.
fn foreign(reader: &mut Reader<'_>, section: &mut Section<'_>, name: &str, auth_refused: bool) {
    for (key, kinds) in OTHERS {
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
