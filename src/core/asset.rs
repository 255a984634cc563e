//! Assets: the absolute URL paths that the purge API takes, and the one canonicaliser for their
//! percent-encoding.
//!
//! Canonical is: every byte of a path outside RFC 3986's unreserved characters, sub-delimiters, `:`
//! and `@` is percent-encoded, with upper-case hex, and an unreserved character never is. A cache
//! may hold other spellings apart ([`Asset::browser_form`] is the common one); who writes one of
//! them gets it as written, as far as it means something.

use std::fmt;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// What stays as it is in a path: RFC 3986 `pchar` and `/`.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@')
    .remove(b'/');
/// What stays as it is in a query, besides valid escapes: `pchar`, `/` and `?`.
const QUERY: &AsciiSet = &PATH.remove(b'?').remove(b'[').remove(b']').remove(b'|');
/// The longest asset that a person or a template may ask for, in bytes. A file's is never refused.
const LONGEST: usize = 8 * 1024;

/// Why a text is no asset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssetError {
    /// It does not begin with `/`.
    #[error("`{0}` does not begin with `/`; an asset is an absolute URL path")]
    NotAbsolute(String),
    /// It has a segment `.` or `..`.
    #[error("`{0}` has a `.` or `..` segment; write the path that it stands for")]
    DotSegment(String),
    /// It has an empty segment.
    #[error("`{0}` has an empty segment (`//`)")]
    EmptySegment(String),
    /// It has a character that no URL path has.
    #[error("`{0}` has a {1}, which no URL path has")]
    Character(String, &'static str),
    /// It is longer than 8 KiB.
    #[error("an asset of {0} bytes is longer than 8 KiB")]
    TooLong(usize),
    /// It is no `http` or `https` URL.
    #[error("`{0}` is no http(s) URL: {1}")]
    NoUrl(String, String),
}

/// An absolute URL path as the purge API takes it: canonical, percent-encoded; may end in a
/// literal `?query`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asset(Arc<str>);

impl Asset {
    /// The asset of a path on disk, given as bytes and relative to what `/` stands for. Nothing in
    /// it is special: a file named `a%20b` is `/a%2520b`, and `?` and `#` are encoded. Empty
    /// segments fall away.
    #[must_use]
    pub fn of_path(path: &[u8]) -> Self {
        let mut text = String::with_capacity(path.len() + 1);
        for segment in path.split(|byte| *byte == b'/') {
            if !segment.is_empty() {
                text.push('/');
                text.extend(encoded(segment));
            }
        }
        if text.is_empty() || path.last() == Some(&b'/') {
            text.push('/');
        }
        Self(text.into())
    }

    /// Reads what a person or a template wrote: an absolute URL path, encoded or not, with or
    /// without `?query`. A valid escape stays one, but for unreserved characters, which are not
    /// escaped; a `%` that begins none is one itself.
    ///
    /// # Errors
    /// When it is none; the error says why, in the user's words.
    pub fn parse(text: &str) -> Result<Self, AssetError> {
        let shown = || text.escape_debug().to_string();
        if text.len() > LONGEST {
            return Err(AssetError::TooLong(text.len()));
        }
        if !text.starts_with('/') {
            return Err(AssetError::NotAbsolute(shown()));
        }
        for (what, found) in [
            ("control character", text.contains(char::is_control)),
            ("backslash", text.contains('\\')),
            ("fragment (`#`)", text.contains('#')),
        ] {
            if found {
                return Err(AssetError::Character(shown(), what));
            }
        }
        let (path, query) = match text.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (text, None),
        };
        let mut asset = canonical(path, PATH);
        if asset.contains("//") {
            return Err(AssetError::EmptySegment(shown()));
        }
        if asset
            .split('/')
            .any(|segment| segment == "." || segment == "..")
        {
            return Err(AssetError::DotSegment(shown()));
        }
        if let Some(query) = query {
            asset.push('?');
            asset.push_str(&canonical(query, QUERY));
        }
        if asset.len() > LONGEST {
            return Err(AssetError::TooLong(asset.len()));
        }
        Ok(Self(asset.into()))
    }

    /// The asset of an `http` or `https` URL: its path and query. Its host is not looked at: a purge
    /// addresses a pipeline, whatever its names are.
    ///
    /// # Errors
    /// When it is no such URL, or its path is no asset.
    pub fn parse_url(text: &str) -> Result<Self, AssetError> {
        let no_url = |why: &str| AssetError::NoUrl(text.escape_debug().to_string(), why.to_owned());
        let url = url::Url::parse(text).map_err(|error| no_url(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(no_url("another scheme"));
        }
        let query = url
            .query()
            .map_or_else(String::new, |query| format!("?{query}"));
        Self::parse(&format!("{}{query}", url.path()))
    }

    /// The spelling that browsers send for a link to this path that was written without escapes,
    /// where it differs: they leave `[`, `]`, `|` and `^` alone.
    #[must_use]
    pub fn browser_form(&self) -> Option<Self> {
        let (path, query) = self.0.split_at(self.0.find('?').unwrap_or(self.0.len()));
        let mut form = path.to_owned();
        for (escape, character) in [("%5B", "["), ("%5D", "]"), ("%7C", "|"), ("%5E", "^")] {
            form = form.replace(escape, character);
        }
        (form != path).then(|| Self((form + query).into()))
    }

    /// The asset as it is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Trusts a string that an `Asset` once was: a row of the store.
    #[must_use]
    pub fn from_stored(asset: &str) -> Self {
        Self(asset.into())
    }
}

/// Bytes of a path as they stand in an asset; `/` stays.
pub(super) fn encoded(path: &[u8]) -> percent_encoding::PercentEncode<'_> {
    percent_encode(path, PATH)
}

/// A part of a URL in its canonical form: `keep` names what needs no escape.
fn canonical(part: &str, keep: &'static AsciiSet) -> String {
    let bytes = part.as_bytes();
    let mut text = String::with_capacity(part.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(h, l)| h * 16 + l),
            _ => None,
        };
        let Some(byte) = escaped else {
            text.extend(percent_encode(&[*first], keep));
            continue;
        };
        rest = rest.get(2..).unwrap_or_default();
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
