//! Assets: the absolute URL paths that the purge API takes, and their canonical spelling.
//!
//! Caches key on the request as it was spelled, so `%7E` and `~` are two objects. This is the only
//! place in the program that percent-encodes a path, and it gives one spelling to each: per segment
//! every byte outside RFC 3986's unreserved characters, sub-delimiters, `:` and `@` is encoded, in
//! upper-case hex. It never looks at files, and never guesses what a URL serves.

use std::fmt;
use std::sync::Arc;

mod encoding;
#[cfg(test)]
mod tests;

pub(in crate::core) use encoding::{canonical_path, canonical_query, push_path, push_query_value};

/// The longest asset in bytes. Common servers refuse longer request lines, so nothing longer can be
/// in a cache.
pub const MAX_ASSET_BYTES: usize = 8 * 1024;

/// An absolute URL path as the purge API takes it: canonical, percent-encoded; may end in a
/// literal `?query`. Cheap to clone.
///
/// The one exception to *canonical* is what [`Asset::browser_form`] returns.
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
    /// In the path, a valid `%XX` stays one: its hex digits become upper-case, and where it stands
    /// for an unreserved character (`%7E`) it becomes that character. A `%` that starts no escape
    /// is itself encoded. The query is literal: it is kept as written, and only what no request
    /// line can carry is encoded.
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
        let mut asset = canonical_path(path);
        if let Some(query) = query {
            asset.push('?');
            asset.push_str(&canonical_query(query));
        }
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

    /// The spelling that browsers send when a link names this asset as freely as the URL standard
    /// lets it, where that differs from this one: they leave `[`, `]` and `|` alone in a path. It
    /// stands for the same bytes. Has itself no other browser form.
    #[must_use]
    pub fn browser_form(&self) -> Option<Self> {
        // Nothing else is ever spelled otherwise.
        if !self.0.bytes().any(|byte| matches!(byte, b'%' | b'\'')) {
            return None;
        }
        let (path, query) = split_query(&self.0);
        let mut form = encoding::browser_path(path);
        if let Some(query) = query {
            form.push('?');
            form.push_str(&encoding::browser_query(query));
        }
        (form != *self.0).then(|| Self(form.into()))
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
            match segment {
                "" if segments.peek().is_some() => return Err(AssetProblem::EmptySegment.of(given)),
                "." | ".." => return Err(AssetProblem::DotSegment.of(given)),
                _ => {}
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

fn split_query(text: &str) -> (&str, Option<&str>) {
    match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    }
}
