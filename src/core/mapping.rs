//! The mapping: the only place in the program where a path becomes an asset.

use serde::{Deserialize, Serialize};

/// Which URLs an HTML file answers at, besides its own name. `interface.md`'s table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pages {
    /// Only the file's own path.
    Exact,
    /// `a/index.html` also answers at `/a/` and `/a`.
    #[default]
    Directory,
    /// As `directory`, and `a/b.html` also answers at `/a/b` and `/a/b/`.
    Clean,
}

/// Which spellings of a path are purged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// The canonical one.
    Canonical,
    /// Also the form that browsers send, where it differs.
    #[default]
    Both,
}
