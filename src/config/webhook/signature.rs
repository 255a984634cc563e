//! A signature that the configuration describes, for `kind = "generic"`.

use axum::http::HeaderName;

use crate::config::reader::Reader;
use crate::config::section::{Held, Section};
use crate::config::shape::Shape;
use crate::config::syntax::{Syntax, parsed, scalar};
use crate::config::value::{Complaint, Words, complain, line, text};
use crate::webhook::{Digest, Encoding, Mac, Piece, Scheme, Stamp, StampPlace, Unit};

use super::{Refused, WebhookKeys, complete};

impl Words for Encoding {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("hex", Self::Hex),
        ("base64", Self::Base64),
        ("base64url", Self::Base64Url),
    ];
}

impl Words for Digest {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("sha256", Self::Sha256),
        ("sha512", Self::Sha512),
        ("sha1", Self::Sha1),
    ];
}

impl Words for Unit {
    const WORDS: &'static [(&'static str, Self)] =
        &[("s", Self::Seconds), ("ms", Self::Milliseconds)];
}

/// The name of a header.
pub(super) fn header() -> Syntax<HeaderName> {
    const HINT: &str = "write the name of a header, such as \"X-Signature\"";
    let shape = Shape::pattern("the name of a header", "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$");
    let parse = |name: &str| {
        HeaderName::from_bytes(name.as_bytes())
            .or_else(|_| complain("is not the name of a header", HINT))
    };
    parsed(shape, HINT, parse, HeaderName::to_string)
}

/// Reads the header of a token, and what stands before it there.
pub(super) fn read_token(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
) -> Result<Scheme, Refused> {
    let header = WebhookKeys::token_header(reader, section);
    let prefix = WebhookKeys::token_prefix(reader, section);
    if prefix.refused {
        return Err(Refused);
    }
    let header = header.value.ok_or(Refused)?;
    Ok(Scheme::Token(header, prefix.value))
}

/// Reads the signature's keys.
pub(super) fn read(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Result<Mac, Refused> {
    let header = WebhookKeys::signature_header(reader, section);
    let prefix = WebhookKeys::signature_prefix(reader, section);
    let encoding = WebhookKeys::signature_encoding(reader, section);
    let digest = WebhookKeys::signature_digest(reader, section);
    let stamp = read_stamp(reader, section, &prefix);
    // A timestamp that is refused is there all the same.
    let stamped = !matches!(stamp, Ok(None));
    let signed = read_signed(reader, section, stamped);
    if prefix.refused || encoding.refused || digest.refused {
        return Err(Refused);
    }
    Ok(Mac {
        header: header.value.ok_or(Refused)?,
        prefix: prefix.value,
        encoding: encoding.value,
        digest: digest.value,
        stamp: stamp?,
        around: signed?,
    })
}

/// What stands before a token in its header.
pub(super) fn token_prefix() -> Syntax<String> {
    let shape = Shape::pattern("a text", "^([!-~][ -~]*)?$");
    prefix(shape, "token", |b| b.is_ascii_graphic() || b == b' ')
}

/// What stands before a signature in its header.
pub(super) fn signature_prefix() -> Syntax<String> {
    let shape = Shape::pattern("a text", "^([!-+.-~-][ -+.-~-]*)?$");
    prefix(shape, "signature", |b| {
        (b.is_ascii_graphic() && b != b',') || b == b' '
    })
}

fn prefix(
    shape: Shape,
    of: &'static str,
    may_hold: impl Fn(u8) -> bool + 'static,
) -> Syntax<String> {
    let read = move |raw: &toml::de::DeValue<'_>| {
        let hint = format!("write what stands right before the {of}, in quotes");
        let prefix = text(raw, &hint)?;
        if !prefix.bytes().all(&may_hold) || prefix.starts_with(' ') {
            return complain("holds a character that can't stand there", hint);
        }
        Ok(prefix.to_owned())
    };
    scalar(shape, read, String::clone)
}

/// The name of a field.
pub(super) fn field() -> Syntax<String> {
    let shape = Shape::pattern("the name of a field", "^[A-Za-z0-9_-]+$");
    line().checked(shape, |field| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
        if field.bytes().all(plain) {
            return Ok(());
        }
        complain(
            "is not the name of a field",
            "write what stands before its =, such as \"t\"",
        )
    })
}

/// Reads where the timestamp is.
fn read_stamp(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
    prefix: &Held<String>,
) -> Result<Option<Stamp>, Refused> {
    let header = WebhookKeys::timestamp_header(reader, section);
    let field = WebhookKeys::timestamp_field(reader, section);
    let unit = WebhookKeys::timestamp_unit(reader, section);
    let contradiction = if header.span.is_some() && field.span.is_some() {
        Some((
            "timestamp_field",
            &field.span,
            "is there, and so is timestamp_header",
            "remove one of the two",
        ))
    } else if field.value.is_some() && prefix.value.is_empty() && !prefix.refused {
        Some((
            "timestamp_field",
            &field.span,
            "needs a signature_prefix: otherwise nothing tells the timestamp from the signature",
            "write it, such as signature_prefix = \"v1=\"",
        ))
    } else if unit.span.is_some() && header.span.is_none() && field.span.is_none() {
        Some((
            "timestamp_unit",
            &unit.span,
            "is there without timestamp_header or timestamp_field",
            "remove the line",
        ))
    } else {
        None
    };
    if let Some((key, Some(span), why, hint)) = contradiction {
        reader.report_key(&section.key(key), span, why, hint);
        // Whether there is a timestamp is clear, and that is what `signed` has to fit.
        return if key == "timestamp_unit" {
            Ok(None)
        } else {
            Err(Refused)
        };
    }
    let place = match (complete(header)?, complete(field)?) {
        (Some(header), _) => StampPlace::Header(header),
        (None, Some(field)) => StampPlace::Field(field),
        (None, None) => return Ok(None),
    };
    if unit.refused {
        return Err(Refused);
    }
    Ok(Some(Stamp {
        place,
        unit: unit.value,
    }))
}

/// What is signed before the body, and after it.
pub(super) type Around = (Vec<Piece>, Vec<Piece>);

/// As it is written, and what it means.
pub(super) type Signed = (String, Around);

fn read_signed(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
    stamped: bool,
) -> Result<Around, Refused> {
    let default = if stamped {
        "{timestamp}.{body}"
    } else {
        "{body}"
    };
    let given = reader.given(section, "signed", &signed(stamped));
    let from = reader.source(given.span.as_ref());
    let text = given.value.as_ref().map(|(text, _)| text.as_str());
    let written = text.unwrap_or(default).into();
    reader.record(section, "signed", Some(written), from);
    match complete(given)? {
        Some((_, pieces)) => Ok(pieces),
        None => around(default, stamped).map_err(|_| Refused),
    }
}

/// What is signed; `stamped` where there is a timestamp.
pub(super) fn signed(stamped: bool) -> Syntax<Signed> {
    let shape = Shape::pattern("a text with `{body}`", "\\{body\\}");
    let parse =
        move |template: &str| around(template, stamped).map(|pieces| (template.to_owned(), pieces));
    parsed(shape, SIGNED_HINT, parse, |(text, _)| text.clone())
}

const SIGNED_HINT: &str = "write what is signed, with {body} once and {timestamp} where there is one, such as \
                           \"{timestamp}.{body}\"";

/// What stands before `{body}`, and after it.
fn around(template: &str, stamped: bool) -> Result<Around, Complaint> {
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
