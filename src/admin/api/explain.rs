//! What a file's change purges, which files an asset stands for, and its last purges.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::explain::{AssetFiles, FileExplained};
use crate::store::AssetHistory;

/// How many purges of an asset are listed.
pub const PURGES: usize = 10;

/// What is to be explained: an asset or a file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainQuery {
    /// Only this pipeline, by name or id; left out: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// An absolute URL path, or a URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asset: Option<String>,
    /// A file: absolute, or below the root of an origin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Of an asset only the history: which files it stands for takes a look at all of them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub history_only: bool,
}

/// What is known.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExplainAnswer {
    /// The file, in each origin that it lies in; empty where an asset was asked for.
    pub files: Vec<FileExplained>,
    /// The asset, in each pipeline; empty where a file was asked for.
    pub assets: Vec<AssetExplained>,
}

/// What is known of an asset.
#[derive(Debug, Serialize, Deserialize)]
pub struct AssetExplained {
    /// The pipeline's name.
    pub pipeline: String,
    /// The asset, as it was spelled.
    pub asset: String,
    /// What is to be said where it was given as a URL of another host than the pipeline's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_host: Option<String>,
    /// The files that it stands for; `None` where only its history was asked for.
    pub stands_for: Option<AssetFiles>,
    /// What the history has; `None` where there is none.
    pub history: Option<AssetHistory>,
    /// The nodes of the fleet that have not got the files yet whose changes wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_yet_on: Vec<String>,
}

impl AssetExplained {
    /// Whether there is anything to say of it: a file, or a purge in the history.
    #[must_use]
    pub fn is_known(&self) -> bool {
        let files = self.stands_for.as_ref();
        let history = self.history.as_ref();
        files.is_some_and(|files| {
            !files.files.is_empty() || files.purged_as.is_some() || !files.ruled.is_empty()
        }) || history
            .is_some_and(|history| !history.purges.is_empty() || !history.waiting.is_empty())
    }
}
