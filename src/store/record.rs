//! The records of requests, changes and assets that the history returns.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Slice;
use crate::core::agreement::Fact;
use crate::core::asset::Asset;
use crate::core::change::{Kind, PipelineId, Seq, Source};
use crate::core::purge::AllReason;
use crate::core::time::Time;
use crate::core::verify::Seen;

/// Which requests of the history are asked for. Every field that is set narrows.
#[derive(Clone, Debug, Default)]
pub struct RequestFilter {
    /// Only this pipeline's.
    pub pipeline: Option<PipelineId>,
    /// Only with this status: a word of [`RequestRecord::status`].
    pub status: Option<String>,
    /// Only the one with this local number.
    pub id: Option<u64>,
    /// Only the one that the API knows by this id.
    pub remote_id: Option<String>,
    /// Only those that purged this asset; an `all` of the pipeline is not among them.
    pub asset: Option<Asset>,
    /// Only those that were opened at this time or later.
    pub from: Option<Time>,
    /// Only those that took a change from this source, among the last changes.
    pub source: Option<Source>,
    /// Only those, among the last, that purged an asset with this text in its name; the letters A to Z are
    /// a to z.
    pub text: Option<String>,
    /// Which part of the list.
    pub slice: Slice,
}

/// A change, with what a node noticed of the file behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedFact {
    /// The change.
    pub seq: Seq,
    /// Whose it is.
    pub pipeline: PipelineId,
    /// What was noticed; `None`: no node noticed it.
    pub fact: Option<Fact>,
}

/// Changes that follow each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FactPage {
    /// The changes.
    pub changes: Vec<CommittedFact>,
    /// The last change of all by then.
    pub last: Seq,
}

/// A purge request in the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// The local number.
    pub id: u64,
    /// The API's id, once it took the request.
    pub remote_id: Option<String>,
    /// Whose cache.
    pub pipeline_id: PipelineId,
    /// `submitting`, `accepted`, `done`, `error`, `vanished`, `overdue`, `unsent` or `failed`.
    pub status: String,
    /// Whether it purges everything.
    pub all: bool,
    /// Why it purges everything; `None` for assets.
    pub reason: Option<String>,
    /// The assets, in order; empty for `all`.
    pub assets: Vec<String>,
    /// How many requests for its changes came to nothing before it.
    pub attempt: u32,
    /// When the first of its changes was noticed.
    pub first_seen: Time,
    /// When it was opened, just before it was sent.
    pub created_at: Time,
    /// When the API took it.
    pub accepted_at: Option<Time>,
    /// When it settled.
    pub settled_at: Option<Time>,
    /// Why it came to nothing, in words; empty otherwise.
    pub why: String,
}

/// How many changes are in which stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageCounts {
    /// Waiting for a request.
    pub queued: u64,
    /// In a request that is not settled.
    pub taken: u64,
    /// Purged.
    pub done: u64,
    /// Given up; a person has to act.
    pub failed: u64,
    /// Given up by a person.
    #[serde(default)]
    pub dropped: u64,
}

impl StageCounts {
    /// How many changes there are.
    #[must_use]
    pub const fn all(&self) -> u64 {
        self.queued + self.taken + self.done + self.failed + self.dropped
    }
}

/// A pipeline that left the configuration with work undone. It is kept until the pipeline
/// returns, or a person drops it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orphan {
    /// Its id.
    pub id: PipelineId,
    /// Changes queued.
    pub queued_changes: u64,
    /// Why a purge of everything is queued, if one is.
    pub queued_all: Option<AllReason>,
    /// Changes failed.
    pub failed_changes: u64,
}

/// A purge request that is done, as far as the statistics need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoneRequest {
    /// Whose cache.
    pub pipeline: PipelineId,
    /// When it was done.
    pub at: Time,
    /// How long after its first change the edge was fresh: when it was done, or the last of its assets was
    /// verified.
    pub fresh: Duration,
    /// Its assets; none for a purge of everything.
    pub assets: u64,
    /// Whether it purged everything.
    pub all: bool,
}

/// Why an asset was to be purged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The change.
    pub seq: Seq,
    /// Where it was noticed.
    pub source: Source,
    /// What became of the bytes.
    pub kind: Kind,
    /// The cause in words; may be empty.
    pub detail: String,
    /// The origin and the path of the file behind it, where there is one.
    pub file: Option<(String, String)>,
    /// The route and the event of the delivery that led to it, where one did.
    pub delivery: Option<(String, String)>,
    /// When it was noticed.
    pub seen: Time,
    /// `queued`, `taken`, `done`, `failed` or `dropped`.
    pub stage: String,
}

/// A purge of an asset, and why it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetPurge {
    /// The request.
    pub request: RequestRecord,
    /// The last change of the asset that it covers; `None` where everything was purged for another
    /// reason, or where the change is no longer in the history.
    pub cause: Option<Cause>,
    /// What the edge had after it, where that was looked at.
    pub verified: Option<Seen>,
}

/// What the history knows of an asset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetHistory {
    /// Changes of it that are in no request: queued, failed or dropped; oldest first.
    pub waiting: Vec<Cause>,
    /// Its last purges, newest first.
    pub purges: Vec<AssetPurge>,
}
