//! Assets: the absolute URL paths that the purge API takes, and how they are spelled.
//!
//! Caches key on the request as it was spelled, so `%7E` and `~` are two objects. This is the only
//! place in the program that percent-encodes a path. The canonical spelling of one encodes per segment
//! every byte outside RFC 3986's unreserved characters, sub-delimiters, `:` and `@`, in upper-case hex;
//! a file's asset has it. What a person or a rule wrote stays as it is written. It never looks at
//! files, and never guesses what a URL serves.
//!
//! An asset is its string, in the queue, the history and the edge. `/%e6…/`, written by a person or a
//! rule, is that cache key alone; `/日/` and the canonical `/%E6…/` are the page, and get every
//! spelling. The list of spellings has one for each known encoder (`core/asset/encoding.rs`), not one
//! for each choice at each character, so that it stays short.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use icu_normalizer::ComposingNormalizerBorrowed;
use percent_encoding::percent_decode_str;

mod encoding;
#[cfg(test)]
mod tests;

pub(in crate::core) use encoding::{push_path, push_query_value, sent_path, sent_query};

/// The longest asset in bytes. Common servers refuse longer request lines, so nothing longer can be
/// in a cache.
pub const MAX_ASSET_BYTES: usize = 8 * 1024;

/// The most spellings that an asset has.
pub const MAX_SPELLINGS: usize = 12;

/// An absolute URL path as the purge API takes it: percent-encoded; may end in a literal `?query`.
/// Two that are spelled differently are two assets. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asset(Arc<str>);

/// Why something is not an asset: what was given, what is wrong with it, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} {problem}")]
pub struct AssetError {
    /// What was given, shortened where it is long, and readable where it was not text.
    pub given: String,
    /// What is wrong with it.
    pub problem: AssetProblem,
}

/// What can be wrong with an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssetProblem {
    /// There is nothing.
    #[error("is empty: write an absolute URL path such as `/blog/index.html`")]
    Empty,
    /// It is not absolute.
    #[error("does not start with `/`: write an absolute URL path such as `/blog/index.html`")]
    NotAbsolute,
    /// It has an empty segment.
    #[error("has `//` in its path: write a single `/`, since a file has no other spelling")]
    EmptySegment,
    /// It has a segment that a client resolves before it asks.
    #[error("has a `.` or `..` segment: write the path that is left when it is resolved")]
    DotSegment,
    /// It has a backslash, which browsers turn into a slash.
    #[error("has a backslash: write `/` between segments, or `%5C` for a backslash in a name")]
    Backslash,
    /// It has a byte that no request line can carry, or a NUL, which no file name can.
    #[error("has a control character: write it percent-encoded; NUL can't be in a path at all")]
    Control,
    /// It has a fragment, which clients keep to themselves.
    #[error("has a `#fragment`, which is never sent: leave it out, or write `%23` for a `#`")]
    Fragment,
    /// It is longer than [`MAX_ASSET_BYTES`].
    #[error("is longer than 8 KiB when percent-encoded: servers refuse such a request")]
    TooLong,
    /// It is not a URL that an edge serves.
    #[error("is not a URL that can be purged: write `http://` or `https://`, a host and a path")]
    NotHttpUrl,
}

impl AssetProblem {
    /// The error of this problem in `given`.
    pub(in crate::core) fn of(self, given: &[u8]) -> AssetError {
        const SHOWN: usize = 120;
        let shown = String::from_utf8_lossy(&given[..given.len().min(SHOWN)]);
        let given = match given.len() {
            0..=SHOWN => shown.into_owned(),
            _ => format!("{shown}…"),
        };
        AssetError {
            given,
            problem: self,
        }
    }
}

impl Asset {
    /// The asset of a raw file path without a leading `/`, as the file system has it: any bytes. A
    /// literal `%`, `?` or `#` in a name is encoded. The empty path is `/`; a trailing `/` stays.
    ///
    /// # Errors
    /// Empty or dot segments, a NUL, and more than [`MAX_ASSET_BYTES`].
    pub fn of_path(path: &[u8]) -> Result<Self, AssetError> {
        let mut asset = String::with_capacity(path.len() + 1);
        asset.push('/');
        push_path(&mut asset, path);
        Self::checked(asset, path)
    }

    /// Reads what a person or a configuration wrote: an absolute URL path, encoded or not, perhaps
    /// with a `?query`.
    ///
    /// It is kept as it is written. Only what can't be sent so is encoded: spaces, what is not ASCII,
    /// what browsers always encode, and a `%` that starts no escape.
    ///
    /// A fragment is refused and not dropped: who writes `/a#b.html` may mean a file of that name.
    ///
    /// # Errors
    /// Everything in [`AssetProblem`] but `NotHttpUrl`.
    pub fn parse(text: &str) -> Result<Self, AssetError> {
        let refuse = |problem: AssetProblem| Err(problem.of(text.as_bytes()));
        if text.is_empty() {
            return refuse(AssetProblem::Empty);
        }
        if !text.starts_with('/') {
            return refuse(AssetProblem::NotAbsolute);
        }
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            return refuse(AssetProblem::Control);
        }
        if text.contains('#') {
            return refuse(AssetProblem::Fragment);
        }
        let (path, query) = split_query(text);
        if path.contains('\\') {
            return refuse(AssetProblem::Backslash);
        }
        let asset = with_query(&sent_path(path), query.map(sent_query).as_deref());
        Self::checked(asset, text.as_bytes())
    }

    /// Reads an absolute `http` or `https` URL, as copied from a browser, and keeps its path and
    /// query. Host and port say nothing: a purge concerns every host of its pipeline. Dot segments
    /// are resolved and the fragment is dropped, as the browser does before it asks.
    ///
    /// # Errors
    /// `NotHttpUrl`, and what [`Asset::parse`] refuses.
    pub fn parse_url(text: &str) -> Result<Self, AssetError> {
        let url = match url::Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => url,
            _ => return Err(AssetProblem::NotHttpUrl.of(text.as_bytes())),
        };
        Self::parse(&url[url::Position::BeforePath..url::Position::AfterQuery]).map_err(|error| {
            // The whole URL is what the person wrote and can find again.
            error.problem.of(text.as_bytes())
        })
    }

    /// The canonical spelling of the path, with the query as it is.
    #[must_use]
    pub fn canonical(&self) -> Self {
        let (path, query) = split_query(&self.0);
        Self(with_query(&encoding::canonical_path(path), query).into())
    }

    /// This asset, and the other spellings of the same bytes that links are known to have: those of
    /// the browser's own, and of what writes links (`encoding::written_paths`). A name of letters,
    /// digits, `-`, `.` and `_` has one, most others two or three, none more than [`MAX_SPELLINGS`].
    ///
    /// An asset whose path has an escape that the canonical spelling does not have so, such as `%e6` or
    /// `%2B`, was spelled out by a person or a rule, and stands for itself alone.
    #[must_use]
    pub fn spellings(&self) -> Vec<Self> {
        let mut spellings = vec![self.clone()];
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte);
        // Nothing else is ever spelled otherwise.
        if self.0.bytes().all(plain) {
            return spellings;
        }
        let (path, query) = split_query(&self.0);
        if encoding::has_own_escapes(path) {
            return spellings;
        }
        let mut add = |path: &str, query: Option<&str>| {
            let spelling = with_query(path, query);
            let known = spellings.iter().any(|one| *one.0 == *spelling);
            // No server takes a longer request line, so nothing is cached for one.
            if !known && spelling.len() <= MAX_ASSET_BYTES {
                spellings.push(Self(spelling.into()));
            }
        };
        let path = encoding::canonical_path(path);
        let canonical = query.map(encoding::canonical_query);
        add(&path, query);
        add(&path, canonical.as_deref());
        let browser = canonical.as_deref().map(encoding::browser_query);
        add(&encoding::browser_path(&path), browser.as_deref());
        for written in encoding::written_paths(&path) {
            add(&written, query);
        }
        spellings
    }

    /// The asset of the composed form (NFC) of the path, where that is other bytes: macOS keeps and
    /// uploads names that are decomposed, and links are written composed.
    #[must_use]
    pub fn composed(&self) -> Option<Self> {
        let (path, query) = split_query(&self.0);
        if !path.contains('%') || path.contains("%2F") || encoding::has_own_escapes(path) {
            return None;
        }
        let raw = percent_decode_str(path).decode_utf8().ok()?;
        let composed = ComposingNormalizerBorrowed::new_nfc().normalize(&raw);
        if composed == raw {
            return None;
        }
        let asset = Self::of_path(composed.strip_prefix('/')?.as_bytes()).ok()?;
        Some(Self(with_query(&asset.0, query).into()))
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

    /// Takes a string that is already encoded, after the checks that hold for every asset. `given`
    /// is what to show when it is refused.
    pub(in crate::core) fn checked(asset: String, given: &[u8]) -> Result<Self, AssetError> {
        let (path, _) = split_query(&asset);
        let mut segments = path.split('/').skip(1).peekable();
        while let Some(segment) = segments.next() {
            if segment.is_empty() && segments.peek().is_some() {
                return Err(AssetProblem::EmptySegment.of(given));
            }
            if is_dots(segment) {
                return Err(AssetProblem::DotSegment.of(given));
            }
        }
        if path.contains("%00") {
            return Err(AssetProblem::Control.of(given));
        }
        if asset.len() > MAX_ASSET_BYTES {
            return Err(AssetProblem::TooLong.of(given));
        }
        Ok(Self(asset.into()))
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether clients resolve a segment: however the dots are written, at most as `%2e%2e`.
fn is_dots(segment: &str) -> bool {
    let decoded = || Cow::from(percent_decode_str(segment));
    segment.len() <= 6 && matches!(&*decoded(), b"." | b"..")
}

fn with_query(path: &str, query: Option<&str>) -> String {
    query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
}

fn split_query(text: &str) -> (&str, Option<&str>) {
    match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    }
}
