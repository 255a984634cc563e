//! The store: queue and history of changes and purge requests. What it has answered is on disk.
//!
//! The trait is the meaning; `sqlite` is the implementation that runs, `memory` the one that is
//! easy to believe, and one suite of tests holds both to the same contract (`contract`).
//!
//! It never decides: it appends changes, applies the planner's [`Decision`]s, and tells both again
//! after a restart. It knows nothing of the vendor's API.
//!
//! **The stages of a change**: `queued` → `taken` by a request → `done` or `failed`, or `queued`
//! again when the request came to nothing, or when a person retries it; a person may also drop it. **The stages of a request**: `submitting` → `accepted`
//! → one of [`Outcome`](crate::core::purge::Outcome)'s words.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::core::asset::Asset;
use crate::core::change::{Change, FileFact, Kind, NewChange, PipelineId, Seq, Source};
use crate::core::delivery::{
    DeliveryRecord, DeliveryState, DueDeliveries, NewDelivery, ScanDone, Taken,
};
use crate::core::pause::{Holder, Pause, Retry};
use crate::core::purge::{AllReason, Decision, Unsettled};
use crate::core::time::Time;
use crate::core::verify::{Check, FollowUp, FollowUps, FollowedUp, Follows, Known, Looked, Seen};

#[cfg(test)]
mod contract;
mod listing;
pub mod memory;
pub mod sqlite;

pub use listing::{ChangeFilter, ChangeRecord, DeliveryFilter, Listed, ListedDelivery, Slice};

/// What went wrong in a store, classed by what must be done about it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is another program's, a newer version's, or damaged: a person has to act.
    #[error("{0}")]
    Unusable(String),
    /// The database is damaged: what it held is lost. It is set aside at the next start.
    #[error("{0}")]
    Damaged(String),
    /// Another process holds the state directory.
    #[error("{0}")]
    Locked(String),
    /// It could not read or write: disk full, I/O error. Nothing of the call was kept.
    #[error("{0}")]
    Failed(String),
    /// The store's thread has ended.
    #[error("the store is closed")]
    Closed,
}

/// What a store's calls return.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The sequence numbers given to appended changes: consecutive, in the order given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Appended {
    /// The first; for an empty append one past the last ever given.
    pub first: Seq,
    /// The last; for an empty append the last ever given.
    pub last: Seq,
}

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
    /// Which part of the list.
    pub slice: Slice,
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

/// How many deliveries are kept, whatever their age, in bounded space: enough to ask about, and to
/// recognise one that is repeated. A repetition of an older one is taken again, which purges too much
/// and never too little.
pub const DELIVERIES_KEPT: usize = 100_000;

/// How far a delivery is: `made` when its changes are all queued, or further.
fn delivery_state(made: bool, counts: StageCounts) -> DeliveryState {
    match counts {
        _ if !made => DeliveryState::Queued,
        StageCounts { failed: 1.., .. } | StageCounts { dropped: 1.., .. } => DeliveryState::Failed,
        StageCounts { queued: 1.., .. } => DeliveryState::Queued,
        StageCounts { taken: 1.., .. } => DeliveryState::Submitted,
        StageCounts { .. } => DeliveryState::Done,
    }
}

/// Queue and history, durable.
pub trait Store: Send + Sync + 'static {
    /// Commits changes, gives them sequence numbers, and wakes the subscribers. All or none.
    fn append(&self, changes: Vec<NewChange>) -> StoreFuture<'_, Appended>;

    /// Commits decisions, in order. All or none.
    fn decide(&self, decisions: Vec<Decision>) -> StoreFuture<'_, ()>;

    /// The queued changes after `cursor` in order of sequence, at most `limit`.
    fn queued_after(&self, cursor: Seq, limit: usize) -> StoreFuture<'_, Vec<Change>>;

    /// Everything but queued changes that a planner has to know at start.
    fn unsettled(&self) -> StoreFuture<'_, Unsettled>;

    /// Announces the last sequence number on disk, whenever it grows. Carries no data, so that
    /// nothing can be lost between a start and the first look.
    fn subscribe(&self) -> watch::Receiver<Seq>;

    /// Announces that a delivery is on disk that waits ([`NewDelivery::waits`]), also where nobody
    /// waits any more for what became of it. Carries no data, as [`Store::subscribe`].
    fn subscribe_waiting(&self) -> watch::Receiver<()>;

    /// The file facts of an origin after `after`, in order of sequence, whatever their stage, at
    /// most `limit`. A file that maps to several assets is told several times.
    fn facts_after(
        &self,
        pipeline: PipelineId,
        origin: String,
        after: Seq,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(Seq, FileFact)>>;

    /// The history of requests.
    fn requests(&self, filter: RequestFilter) -> StoreFuture<'_, Listed<RequestRecord>>;

    /// The history of changes.
    fn changes(&self, filter: ChangeFilter) -> StoreFuture<'_, Listed<ChangeRecord>>;

    /// The history of deliveries.
    fn deliveries(&self, filter: DeliveryFilter) -> StoreFuture<'_, Listed<ListedDelivery>>;

    /// The stages of the changes from `first` to `last`, both included.
    fn stages(&self, first: Seq, last: Seq) -> StoreFuture<'_, StageCounts>;

    /// As [`Store::stages`], of one pipeline's changes only.
    fn stages_of(
        &self,
        pipeline: PipelineId,
        first: Seq,
        last: Seq,
    ) -> StoreFuture<'_, StageCounts>;

    /// The requests that last took the changes from `first` to `last`, in order of number.
    fn requests_of(&self, first: Seq, last: Seq) -> StoreFuture<'_, Vec<u64>>;

    /// How many assets of each pipeline are failed.
    fn failed_assets(&self) -> StoreFuture<'_, BTreeMap<PipelineId, u64>>;

    /// Commits a delivery together with the changes it makes, unless it came before and is done: one
    /// with the same route, pipeline and key, taken less than `dedupe` ago. Changes that are due
    /// later, and scans, are kept until then. What is queued already is not queued twice, unless a
    /// planner was told of it: it would not know that it has changed since. What
    /// repeats one that is not done is due with that, or at once where that was due before; where
    /// it asks for scans, what the first found and is not done is queued again besides.
    fn take_delivery(&self, delivery: NewDelivery) -> StoreFuture<'_, Taken>;

    /// What became of the last delivery of that name.
    fn delivery(&self, route: String, event: String) -> StoreFuture<'_, Option<DeliveryRecord>>;

    /// At a start, with the delay of each route: no stored time stays further ahead of `now` than was
    /// asked for, nor than its route's delay is now. A clock that was set back, or a delay that was
    /// made smaller, leaves no wait that nobody asked for.
    fn begin_deliveries(
        &self,
        delays: BTreeMap<String, Duration>,
        now: Time,
    ) -> StoreFuture<'_, ()>;

    /// What waits for its time, and until when.
    fn due_deliveries(&self) -> StoreFuture<'_, DueDeliveries>;

    /// Queues the changes of deliveries that are due at `now`, at most `limit` deliveries, and
    /// tells how many it were.
    fn release_deliveries(&self, now: Time, limit: usize) -> StoreFuture<'_, usize>;

    /// The deliveries that waited for scans are made of what the pipeline's scans found.
    fn scanned_for_deliveries(&self, scan: ScanDone) -> StoreFuture<'_, ()>;

    /// Forgets deliveries that wait for nothing: those from before `before` that can't be repeated at
    /// `now`, and all but the last [`DELIVERIES_KEPT`]; at most `limit` a call. Returns how many.
    fn prune_deliveries(&self, before: Time, now: Time, limit: usize) -> StoreFuture<'_, u64>;

    /// Commits a pause, or renews the one that its holder has: its reason and beginning stay.
    fn pause(&self, pause: Pause) -> StoreFuture<'_, ()>;

    /// Ends a pause, and forgets those that are over at `now` ([`Pause::is_over`]). `false`: there was none.
    fn resume(&self, pipeline: PipelineId, holder: Holder, now: Time) -> StoreFuture<'_, bool>;

    /// Queues what is failed again, as if no request had been made for it: at most `limit` changes
    /// a call, which are told.
    fn retry(&self, what: Retry, limit: usize) -> StoreFuture<'_, Vec<Change>>;

    /// Drops what is queued or failed of a pipeline, and what deliveries would queue later: at most
    /// `limit` changes a call. Tells how many it were. A purge of everything that is queued goes
    /// with the first call.
    fn drop_queue(&self, pipeline: PipelineId, limit: usize) -> StoreFuture<'_, u64>;

    /// The files behind what is queued or in flight of a pipeline, in order of sequence after
    /// `after`, at most `limit`; with the target of each.
    fn queued_files(
        &self,
        pipeline: PipelineId,
        after: Seq,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(Seq, NewChange)>>;

    /// Remembers a word under a key, and tells the one that was there.
    fn note(&self, key: String, word: String) -> StoreFuture<'_, Option<String>>;

    /// The word under a key.
    fn noted(&self, key: String) -> StoreFuture<'_, Option<String>>;

    /// Pipelines that are none of these, and of which something is queued or failed.
    fn orphans(&self, known: Vec<PipelineId>) -> StoreFuture<'_, Vec<Orphan>>;

    /// The last purges of an asset, those of everything among them, newest first, at most `limit`.
    fn purges_of(
        &self,
        pipeline: PipelineId,
        asset: Asset,
        limit: usize,
    ) -> StoreFuture<'_, AssetHistory>;

    /// What is configured to follow on purges, at a start. What nobody wants any more is forgotten,
    /// and no stored time stays further ahead than it may be.
    fn begin_follow_ups(&self, follows: Vec<Follows>, now: Time) -> StoreFuture<'_, ()>;

    /// Plans what follows on the settled requests of a pipeline that were marked by
    /// [`Decision::Follow`]: at most `limit` requests a call. At most
    /// [`WAITING`](crate::core::verify::WAITING) looks wait; what does not fit is told.
    fn follow_up(&self, plan: FollowUp, limit: usize) -> StoreFuture<'_, FollowedUp>;

    /// What is to be done, with the next `checks` looks of these pipelines.
    fn follow_ups(&self, of: Vec<PipelineId>, checks: usize) -> StoreFuture<'_, FollowUps>;

    /// Queues again what is due at `now`: at most `limit` assets. Tells how many it were.
    fn purge_again(&self, now: Time, limit: usize) -> StoreFuture<'_, usize>;

    /// What is known of the bytes behind an asset that is looked at.
    fn known(&self, check: Check) -> StoreFuture<'_, Known>;

    /// Commits a look. `false`: it was no longer wanted, and nothing of it was kept.
    fn looked(&self, looked: Looked) -> StoreFuture<'_, bool>;

    /// Deletes what settled before `before`: at most `limit` rows a call, so that no call takes
    /// long. Returns how many it deleted. Never touches what is not settled, nor the last number
    /// of any sequence.
    fn prune(&self, before: Time, limit: usize) -> StoreFuture<'_, u64>;
}
