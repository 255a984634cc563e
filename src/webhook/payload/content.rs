//! The body of an authentic delivery as JSON: what its headers must say for that, lists of bounded length,
//! and what a refusal says of it. A text of a sender is made [`printable`] before a log line or a response
//! repeats it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use axum::http::{HeaderMap, header};
use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::error::Category;

use crate::core::suggestion::nearest;

/// The most bytes of a text that are repeated.
const PRINTABLE_BYTES: usize = 128;
/// The most names of a list that are repeated.
const LISTED_NAMES: usize = 5;

/// Why an authentic delivery can't be read. Every message is printable and holds no payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Its media type or encoding: 415.
    #[error("{0}")]
    MediaType(&'static str),
    /// It is not JSON: 400.
    #[error("the body is not JSON, from line {line}, column {column} on")]
    NotJson {
        /// From 1.
        line: usize,
        /// From 1; 0 for the line's beginning.
        column: usize,
    },
    /// It is JSON, but not this kind's payload: 422.
    #[error("{field}: {problem}")]
    Payload {
        /// The field, such as `push.changes[0].new`, or `the body` as a whole.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// Refuses what is compressed, and what is not JSON by its own word. A missing `Content-Type` is
/// JSON.
pub(in crate::webhook) fn check(headers: &HeaderMap) -> Result<(), Unreadable> {
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
pub(in crate::webhook) fn parse<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, Unreadable> {
    // A struct would also be read from a list of its fields' values.
    if body.trim_ascii_start().first() != Some(&b'{') {
        let _: IgnoredAny = parse_any(body)?;
        return refuse("the body", "has to be an object");
    }
    parse_any(body)
}

/// Reads the whole body as one JSON value.
pub(in crate::webhook) fn parse_any<'b, T: Deserialize<'b>>(
    body: &'b [u8],
) -> Result<T, Unreadable> {
    // Keeping the path of the current value costs as much as the reading, so only a body that can't be
    // read is read with it. A text is checked faster as a whole than string by string.
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
pub(in crate::webhook) fn unreadable(path: &str, error: &serde_json::Error) -> Unreadable {
    if error.classify() != Category::Data {
        return Unreadable::NotJson {
            line: error.line(),
            column: error.column(),
        };
    }
    let field = if path == "." { "the body" } else { path };
    Unreadable::Payload {
        field: printable(field),
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

/// The first of these keys that a key of the body is a slip of. The payload's key is not repeated.
pub(in crate::webhook) fn near_key<const N: usize>(
    body: &[u8],
    keys: [&'static str; N],
) -> Option<&'static str> {
    let found: BTreeMap<Cow<'_, str>, Option<IgnoredAny>> = parse(body).ok()?;
    let mut slips = found.keys().filter(|key| !keys.contains(&&***key));
    slips.find_map(|key| nearest(key, keys))
}

/// A field that has to be there, or to be otherwise.
pub(in crate::webhook) fn refuse<T>(field: &str, problem: &str) -> Result<T, Unreadable> {
    Err(Unreadable::Payload {
        field: field.to_owned(),
        problem: problem.to_owned(),
    })
}

/// The first `N` items of a list, so that the length of a payload never decides how much memory its
/// reading takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::webhook) struct Bounded<T, const N: usize> {
    /// The items.
    pub(in crate::webhook) items: Vec<T>,
    /// Whether there were more, which are not kept.
    pub(in crate::webhook) more: bool,
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for Bounded<T, N> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_seq(Items(PhantomData))
    }
}

struct Items<T, const N: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for Items<T, N> {
    type Value = Bounded<T, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Bounded<T, N>, A::Error> {
        let mut items = Vec::new();
        while items.len() < N {
            match list.next_element()? {
                Some(item) => items.push(item),
                None => return Ok(Bounded { items, more: false }),
            }
        }
        let mut more = false;
        while list.next_element::<IgnoredAny>()?.is_some() {
            more = true;
        }
        Ok(Bounded { items, more })
    }
}

/// The text without control characters, on one line, and at most 128 bytes of it.
pub(in crate::webhook) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(PRINTABLE_BYTES));
    for c in text.chars() {
        let c = if c.is_control() || reorders(c) {
            '\u{fffd}'
        } else {
            c
        };
        if shown.len() + c.len_utf8() > PRINTABLE_BYTES {
            break;
        }
        shown.push(c);
    }
    shown
}

/// Characters that end a line, or make a terminal show something else than was written.
const fn reorders(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The first names of a list, printable.
pub(in crate::webhook) fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let mut names = names.map(printable);
    let mut shown: Vec<String> = names.by_ref().take(LISTED_NAMES).collect();
    let more = names.count();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown.join(", ")
}
