//! Assets: the absolute URL paths that the purge API takes.

use std::fmt;
use std::sync::Arc;

/// An absolute URL path as the purge API takes it: canonical, percent-encoded; may end in a
/// literal `?query`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asset(Arc<str>);

impl Asset {
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

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
