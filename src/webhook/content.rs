//! The body of an authentic delivery as JSON: what its headers must say for that, and what is said
//! when it is something else.

use axum::http::{HeaderMap, header};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::error::Category;

use super::delivery::Unreadable;
use super::printable::printable;

/// Refuses what is compressed, and what is not JSON by its own word. A missing `Content-Type` is
/// JSON.
pub(super) fn check(headers: &HeaderMap) -> Result<(), Unreadable> {
    for encoding in headers.get_all(header::CONTENT_ENCODING) {
        if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") {
            return Err(Unreadable::MediaType(
                "the body is compressed: send it without a Content-Encoding",
            ));
        }
    }
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let Some(first) = types.next() else {
        return Ok(());
    };
    let media = first.to_str().unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    let alone = types.next().is_none();
    if media == "application/json" && alone {
        return Ok(());
    }
    let media = media.to_ascii_lowercase();
    if media == "application/x-www-form-urlencoded" || media == "multipart/form-data" {
        return Err(Unreadable::MediaType(
            "the body is a form: choose application/json in the sender's settings",
        ));
    }
    let json = media == "application/json"
        || media == "text/json"
        || (media.starts_with("application/") && media.ends_with("+json"));
    if json && alone {
        return Ok(());
    }
    Err(Unreadable::MediaType(
        "the body is not JSON: send it with Content-Type: application/json",
    ))
}

/// Reads the whole body as one JSON object.
pub(super) fn parse<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, Unreadable> {
    // A struct would also be read from a list of its fields' values.
    if body.trim_ascii_start().first() != Some(&b'{') {
        let _: IgnoredAny = parse_any(body)?;
        return refuse(".", "has to be an object");
    }
    parse_any(body)
}

/// Reads the whole body as one JSON value.
pub(super) fn parse_any<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, Unreadable> {
    // To know at every moment where one is costs as much as to read: that is done for those only who
    // have to be told. And a text is checked faster as a whole than string by string.
    let text = std::str::from_utf8(body).ok();
    let read = text.and_then(|text| serde_json::from_str(text).ok());
    read.map_or_else(|| parse_with_path(body), Ok)
}

fn parse_with_path<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, Unreadable> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        unreadable(&path, error.inner())
    })?;
    json.end().map_err(|error| unreadable(".", &error))?;
    Ok(value)
}

/// What to say of JSON that could not be read at `path`.
pub(super) fn unreadable(path: &str, error: &serde_json::Error) -> Unreadable {
    if error.classify() != Category::Data {
        return Unreadable::NotJson {
            line: error.line(),
            column: error.column(),
        };
    }
    Unreadable::Payload {
        field: printable(path),
        problem: problem(error),
    }
}

/// The error without what it quotes of the payload.
fn problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // `invalid type: string "…", expected a map at line 1 column 2`: the middle is the payload's.
    if text.starts_with("invalid ")
        && let Some((_, expected)) = text.rsplit_once(", expected ")
    {
        let expected = expected
            .rsplit_once(" at line ")
            .map_or(expected, |(e, _)| e);
        return format!("has to be {}", printable(expected));
    }
    let text = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(t, _)| t);
    printable(text)
}

/// A field that has to be there, or to be otherwise.
pub(super) fn refuse<T>(field: &str, problem: &str) -> Result<T, Unreadable> {
    Err(Unreadable::Payload {
        field: field.to_owned(),
        problem: problem.to_owned(),
    })
}
