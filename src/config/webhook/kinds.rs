//! The keys that only some kinds have.

use axum::http::HeaderName;

use crate::config::range;
use crate::config::reader::Reader;
use crate::config::section::{Given, Section};
use crate::config::value::{Complaint, Value, Words, complain, quoted, text};
use crate::webhook::kind::{generic, gitlab, standard};
use crate::webhook::{Digest, Encoding, Kind, Piece, Pointer, Unit};

use super::one_or_more;

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

impl Name {
    /// The ways to authenticate its deliveries, the default first.
    const fn auths(self) -> &'static [&'static str] {
        match self {
            Self::Gitlab => &["token", "signing_token", "none"],
            Self::Standard => &["hmac", "ed25519", "none"],
            Self::S3 | Self::Cloudevents => &["bearer", "none"],
            Self::Generic => &["bearer", "hmac", "none"],
            _ => &["signature", "none"],
        }
    }
}

/// Keys that only some kinds have, each with those.
const OTHERS: [(&str, &[&str]); 15] = [
    ("assume_no_force_push", &["gitlab", "gitea", "forgejo"]),
    ("allowed_origins", &["cloudevents"]),
    ("external_path", &["contentful"]),
    ("signature_header", &["generic"]),
    ("signature_prefix", &["generic"]),
    ("signature_encoding", &["generic"]),
    ("signature_digest", &["generic"]),
    ("signed", &["generic"]),
    ("timestamp_header", &["generic"]),
    ("timestamp_field", &["generic"]),
    ("timestamp_unit", &["generic"]),
    ("paths", &["generic", "standard", "cloudevents"]),
    ("branch", &["generic", "standard", "cloudevents"]),
    ("event", &["generic", "standard"]),
    ("id", &["generic", "standard", "cloudevents"]),
];

/// Reads `kind`, `auth`, and what belongs to them; `None` where there is a problem with them. Also
/// tells whether the route is open.
pub(super) fn read(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Option<(Kind, bool)> {
    let words: Vec<&str> = Name::WORDS.iter().map(|(word, _)| *word).collect();
    let hint = format!("write who sends: {}", quoted(&words));
    let name = reader
        .required::<Name>(section, "kind", &hint, range::any)
        .value?;
    let auths = name.auths();
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
    if auth.refused {
        return None;
    }
    let open = auth.value == "none";
    let kind = match name {
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
            fields: fields(reader, section, true)?,
        },
        Name::S3 => Kind::S3,
        Name::Cloudevents => Kind::Cloudevents {
            allowed_origins: origins(reader, section)?,
            fields: fields(reader, section, false)?,
        },
        Name::Contentful => Kind::Contentful {
            external_path: external_path(reader, section)?,
        },
        Name::Sanity => Kind::Sanity,
        Name::Netlify => Kind::Netlify,
        Name::Vercel => Kind::Vercel,
        Name::Generic => {
            let auth = if auth.value == "hmac" {
                hmac(reader, section).map(generic::Auth::Hmac)
            } else {
                Some(generic::Auth::Bearer)
            };
            let fields = fields(reader, section, true);
            Kind::Generic {
                auth: auth?,
                fields: fields?,
            }
        }
    };
    Some((kind, open))
}

/// Reports the keys that belong to other kinds, or to another `auth`.
pub(super) fn refuse_others(reader: &mut Reader<'_>, section: &mut Section<'_>, kind: &Kind) {
    let name = kind.as_str();
    for (key, kinds) in OTHERS {
        if section.known.contains(key) {
            continue;
        }
        let Some(raw) = Reader::raw(section, key) else {
            continue;
        };
        let (why, hint) = if kinds.contains(&name) {
            (
                "says something of a signature, and the route has none".to_owned(),
                "write auth = \"hmac\", or remove the line".to_owned(),
            )
        } else {
            (
                format!("is not a key of kind = \"{name}\""),
                format!("remove the line; it belongs to {}", quoted(kinds)),
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

fn origins(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Option<Vec<String>> {
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
    let refused = given.span.is_some() && given.value.is_none();
    let origins = given.value.unwrap_or_default();
    reader.record(
        section,
        "allowed_origins",
        Some(origins.clone().into()),
        from,
    );
    (!refused).then_some(origins)
}

fn external_path(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Option<Option<String>> {
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

/// Where a body says what it is about.
fn fields(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
    named: bool,
) -> Option<generic::Fields> {
    let paths = one_or_more(
        reader,
        section,
        "paths",
        "write a JSON pointer in quotes, such as \"/files\", or a list of them",
        pointer,
    );
    let texts = |paths: &Vec<Pointer>| -> toml::Value {
        let texts: Vec<String> = paths.iter().map(|path| path.as_str().to_owned()).collect();
        texts.into()
    };
    let from = reader.source(paths.span.as_ref());
    reader.record(section, "paths", paths.value.as_ref().map(texts), from);
    let mut paths = paths;
    if let (Some(list), Some(span)) = (&paths.value, &paths.span)
        && !(1..=8).contains(&list.len())
    {
        let why = "has to name one to eight places";
        reader.report_key(&section.key("paths"), span, why, "name at least one");
        paths.value = None;
    }
    let branch = one_pointer(reader, section, "branch");
    let event = if named {
        one_pointer(reader, section, "event")
    } else {
        Some(None)
    };
    let id = one_pointer(reader, section, "id");
    Some(generic::Fields {
        paths: complete(paths)?.unwrap_or_default(),
        branch: branch?,
        event: event?,
        id: id?,
    })
}

fn one_pointer(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
    key: &'static str,
) -> Option<Option<Pointer>> {
    let given = reader.given(section, key, |raw| pointer(text(raw, POINTER_HINT)?));
    let from = reader.source(given.span.as_ref());
    let written = given.value.as_ref().map(|pointer| pointer.as_str().into());
    reader.record(section, key, written, from);
    complete(given)
}

const POINTER_HINT: &str = "write a JSON pointer in quotes, such as \"/push/branch\"";

fn pointer(text: &str) -> Result<Pointer, Complaint> {
    if text.chars().any(char::is_control) {
        return complain("holds a control character", "remove it");
    }
    Pointer::parse(text).map_or_else(|| complain("is not a JSON pointer", POINTER_HINT), Ok)
}

/// The value, or nothing; `None` where it is refused.
fn complete<T>(given: Given<T>) -> Option<Option<T>> {
    let refused = given.value.is_none() && given.span.is_some();
    (!refused).then_some(given.value)
}

impl Words for Encoding {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("hex", Self::Hex),
        ("base64", Self::Base64),
        ("base64url", Self::Base64Url),
    ];
}

/// Not SHA-1: only Vercel has it.
impl Words for Digest {
    const WORDS: &'static [(&'static str, Self)] =
        &[("sha256", Self::Sha256), ("sha512", Self::Sha512)];
}

impl Words for Unit {
    const WORDS: &'static [(&'static str, Self)] =
        &[("s", Self::Seconds), ("ms", Self::Milliseconds)];
}

/// The name of a header.
struct Header(HeaderName);

impl Value for Header {
    fn read(value: &toml::de::DeValue<'_>) -> Result<Self, Complaint> {
        const HINT: &str = "write the name of a header, such as \"X-Signature\"";
        let name = text(value, HINT)?;
        HeaderName::from_bytes(name.as_bytes())
            .map(Self)
            .or_else(|_| complain("is not the name of a header", HINT))
    }

    fn written(&self) -> toml::Value {
        self.0.as_str().into()
    }
}

/// A signature that the configuration describes.
fn hmac(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Option<generic::Hmac> {
    let header = reader.required::<Header>(
        section,
        "signature_header",
        "name the header that has the signature, such as signature_header = \"X-Signature\"",
        range::any,
    );
    let prefix = reader.given(section, "signature_prefix", |raw| {
        let prefix = text(raw, "write what stands before the signature, in quotes")?;
        if !prefix.bytes().all(|b| b.is_ascii_graphic()) || prefix.contains(',') {
            return complain(
                "holds a space, a comma or a character that no header has",
                "write what stands right before the signature",
            );
        }
        Ok(prefix.to_owned())
    });
    let prefix = reader.held(prefix, String::new());
    let from = reader.source(prefix.span.as_ref());
    reader.record(
        section,
        "signature_prefix",
        Some(prefix.value.clone().into()),
        from,
    );
    let encoding = reader.setting(
        section,
        "signature_encoding",
        Encoding::default(),
        range::any,
    );
    let digest = reader.setting(section, "signature_digest", Digest::default(), range::any);
    let stamp_header = reader.optional::<Header>(section, "timestamp_header", range::any);
    let stamp_field = reader.optional(section, "timestamp_field", |field: &String| {
        if field
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        {
            return Ok(());
        }
        complain(
            "is not the name of a field",
            "write what stands before its =, such as \"t\"",
        )
    });
    let unit = reader.setting(section, "timestamp_unit", Unit::default(), range::any);
    let mut refused = prefix.refused || encoding.refused || digest.refused || unit.refused;
    let mut wrong =
        |reader: &mut Reader<'_>, key: &str, span: &Option<_>, why: &str, hint: &str| {
            if let Some(span) = span {
                reader.report_key(&section.key(key), span, why, hint);
                refused = true;
            }
        };
    if stamp_header.span.is_some() {
        let why = "is there, and so is timestamp_header";
        wrong(
            reader,
            "timestamp_field",
            &stamp_field.span,
            why,
            "remove one of the two",
        );
    }
    if prefix.value.is_empty() && !prefix.refused && stamp_field.value.is_some() {
        let why =
            "needs a signature_prefix: otherwise nothing tells the timestamp from the signature";
        let hint = "write it, such as signature_prefix = \"v1=\"";
        wrong(reader, "timestamp_field", &stamp_field.span, why, hint);
    }
    let stamped = stamp_header.span.is_some() || stamp_field.span.is_some();
    if unit.span.is_some() && !stamped {
        let why = "is there without timestamp_header or timestamp_field";
        wrong(reader, "timestamp_unit", &unit.span, why, "remove the line");
    }
    let default = if stamped {
        "{timestamp}.{body}"
    } else {
        "{body}"
    };
    let signed = reader.given(section, "signed", |raw| {
        let template = text(raw, SIGNED_HINT)?;
        around(template, stamped).map(|pieces| (template.to_owned(), pieces))
    });
    let from = reader.source(signed.span.as_ref());
    let written = signed
        .value
        .as_ref()
        .map_or(default, |(text, _)| text.as_str());
    reader.record(section, "signed", Some(written.into()), from);
    let signed = match complete(signed)? {
        Some((_, pieces)) => pieces,
        None => around(default, stamped).ok()?,
    };
    let place = match (complete(stamp_header)?, complete(stamp_field)?) {
        (Some(header), _) => Some(generic::Place::Header(header.0)),
        (None, Some(field)) => Some(generic::Place::Field(field)),
        (None, None) => None,
    };
    if refused {
        return None;
    }
    Some(generic::Hmac {
        header: header.value?.0,
        prefix: prefix.value,
        encoding: encoding.value,
        digest: digest.value,
        timestamp: place.map(|place| generic::Timestamp {
            place,
            unit: unit.value,
        }),
        signed,
    })
}

const SIGNED_HINT: &str = "write what is signed, with {body} once and {timestamp} where there is one, such as \
                           \"{timestamp}.{body}\"";

/// What stands before `{body}`, and after it.
fn around(template: &str, stamped: bool) -> Result<(Vec<Piece>, Vec<Piece>), Complaint> {
    let Some((before, after)) = template.split_once("{body}") else {
        return complain("does not have {body}", SIGNED_HINT);
    };
    let pieces = |part: &str| {
        let mut pieces = Vec::new();
        for (at, text) in part.split("{timestamp}").enumerate() {
            if at > 0 {
                pieces.push(Piece::Timestamp);
            }
            if text.contains(['{', '}']) {
                return complain(
                    "has a brace that stands for nothing, or {body} twice",
                    SIGNED_HINT,
                );
            }
            if !text.is_empty() {
                pieces.push(Piece::Text(text.to_owned()));
            }
        }
        Ok(pieces)
    };
    let (before, after) = (pieces(before)?, pieces(after)?);
    let has_stamp = before.contains(&Piece::Timestamp) || after.contains(&Piece::Timestamp);
    match (has_stamp, stamped) {
        (true, false) => complain(
            "has {timestamp}, and nothing says where that is",
            "write timestamp_header or timestamp_field",
        ),
        (false, true) => complain(
            "does not have {timestamp}, so that anybody could change it",
            SIGNED_HINT,
        ),
        _ => Ok((before, after)),
    }
}
