//! Where an origin's files lie in the URL space.

use std::fmt;
use std::sync::Arc;

use crate::core::asset::{Asset, AssetError, AssetProblem, push_path};

/// The URL path that an origin's root answers at: `/`, or `/docs/`. Canonical; starts and ends
/// with `/`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UrlPrefix(Arc<str>);

/// Why something is not a URL prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlPrefixError {
    /// It is not a URL path at all.
    #[error(transparent)]
    Path(#[from] AssetError),
    /// It has a query, and nothing can come below that.
    #[error("{0:?} has a `?query`: write only the path, such as `/docs/`")]
    Query(String),
}

impl UrlPrefix {
    /// Reads what a configuration has; a missing last `/` is added.
    ///
    /// # Errors
    /// What [`Asset::parse`] refuses, and a query.
    pub fn parse(text: &str) -> Result<Self, UrlPrefixError> {
        let path = Asset::parse(text)?.canonical();
        if path.as_str().contains('?') {
            return Err(UrlPrefixError::Query(text.to_owned()));
        }
        let mut prefix = path.as_str().to_owned();
        if !prefix.ends_with('/') {
            prefix.push('/');
        }
        Ok(Self(prefix.into()))
    }

    /// The prefix, with both slashes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The asset of a raw file path below the origin's root.
    ///
    /// # Errors
    /// What [`Asset::of_path`] refuses; also a path that starts with `/`.
    pub fn asset(&self, path: &[u8]) -> Result<Asset, AssetError> {
        if path.starts_with(b"/") {
            return Err(AssetProblem::EmptySegment.of(path));
        }
        let mut asset = self.0.to_string();
        push_path(&mut asset, path);
        Asset::checked(asset, path)
    }

    /// The asset of a directory without its last `/`; `None` for the root of all.
    pub(super) fn bare(&self, directory: &[u8]) -> Option<Result<Asset, AssetError>> {
        if directory.is_empty() {
            let bare = self.0.trim_end_matches('/');
            return (!bare.is_empty()).then(|| Asset::checked(bare.to_owned(), bare.as_bytes()));
        }
        Some(self.asset(directory.strip_suffix(b"/").unwrap_or(directory)))
    }
}

/// `/`: the root of all.
impl Default for UrlPrefix {
    fn default() -> Self {
        Self("/".into())
    }
}

impl fmt::Display for UrlPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
