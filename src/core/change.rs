//! Changes: the facts that enter the queue, and where they came from.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::asset::Asset;
use super::time::Time;

/// The UUID of a Scaleway Edge Services pipeline, in the API's own spelling. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PipelineId(Arc<str>);

impl PipelineId {
    /// Wraps an id. Whether it is a UUID is checked by `config`, which can report it with its place.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The id as the API takes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PipelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The place of a change in the order of all changes of a state directory, from 1. Order is by
/// sequence, never by clock.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Hash,
)]
pub struct Seq(pub u64);

impl Seq {
    /// The number after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Where a change was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A file event led to a look.
    Watch,
    /// A scan of an origin found it: at start, after an overflow, in the background, on command.
    Scan,
    /// A deploy webhook asked for it.
    Webhook,
    /// A person asked for it.
    Manual,
}

impl Source {
    /// Every source, in the order of [`Source::as_str`]'s words.
    pub const ALL: [Self; 4] = [Self::Watch, Self::Scan, Self::Webhook, Self::Manual];

    /// The word for it in the database, metrics and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::Scan => "scan",
            Self::Webhook => "webhook",
            Self::Manual => "manual",
        }
    }

    /// Reads what [`Source::as_str`] wrote.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == word)
    }
}

/// What became of the bytes behind an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The file was not there before. It counts, because the edge may hold a cached 404.
    New,
    /// The file holds other bytes, or other people may read it.
    Changed,
    /// The file is no longer there.
    Gone,
    /// A purge was asked for by hand; nothing is said about bytes.
    Asked,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::New, Self::Changed, Self::Gone, Self::Asked];

    /// The word for it in the database and output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Gone => "gone",
            Self::Asked => "asked",
        }
    }

    /// Reads what [`Kind::as_str`] wrote.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// What a change makes stale: one asset, or everything of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// One asset.
    Asset(Asset),
    /// The whole pipeline.
    All,
}

/// The BLAKE3 hash of a file's content.
pub type ContentHash = [u8; 32];

/// The origin file behind a change, as it was when the change was noticed. The store keeps it so
/// that the index can be brought up to date after a crash, before the first look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFact {
    /// The origin's name in its pipeline.
    pub origin: Arc<str>,
    /// The path below the origin's root, as bytes, without a leading `/`.
    pub path: Vec<u8>,
    /// The hash of the new content; `None` when the file is gone or only metadata is compared.
    pub hash: Option<ContentHash>,
    /// The hash of the content before, where it is known: what the edge may still have.
    pub former: Option<ContentHash>,
}

/// A change before it is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewChange {
    /// The pipeline whose cache is stale.
    pub pipeline: PipelineId,
    /// What is stale.
    pub target: Target,
    /// What became of it.
    pub kind: Kind,
    /// Where it was noticed.
    pub source: Source,
    /// The cause in words for the history: a scan's reason, a rule, a user; may be empty.
    pub detail: Arc<str>,
    /// The file behind it, where there is one.
    pub file: Option<FileFact>,
    /// When it was noticed.
    pub seen: Time,
}

/// A change that is committed and still queued: what the planner needs of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its place in the order of changes.
    pub seq: Seq,
    /// The pipeline whose cache is stale.
    pub pipeline: PipelineId,
    /// What is stale.
    pub target: Target,
    /// What became of it.
    pub kind: Kind,
    /// Where it was noticed.
    pub source: Source,
    /// The cause in words: the reason of an `all`.
    pub detail: Arc<str>,
    /// When it was noticed.
    pub seen: Time,
    /// How many purge requests for it have already come to nothing.
    pub attempt: u32,
    /// Not to be sent again before this.
    pub not_before: Time,
    /// Whether a request for it was still pending after `track_timeout`.
    pub overdue: bool,
    /// Whether edgepurge itself asks: the same was purged before, and is purged again.
    pub again: bool,
}
