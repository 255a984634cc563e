//! The store: queue and history of changes and purge requests. What it has answered is on disk.
//!
//! The statements (`sql/`) are those of `PostgreSQL`, too; one set of functions (`calls/`) binds their
//! values and reads their rows, on whatever an engine has for a connection (`db.rs`). A [`Store`] runs
//! them on two threads with a file, or at once on the caller's thread with a database in memory
//! ([`InlineDatabase`]), where tests need many stores and no waits. One suite of tests holds both to
//! the same contract (`contract`).
//!
//! It never decides: it appends changes, applies the planner's decisions, and returns both again after
//! a restart. Decisions come from the leader, by its [`Desk`]. It knows nothing of the vendor's API.
//!
//! **The stages of a change**: `queued` → `taken` by a request → `done` or `failed`, or `queued`
//! again when the request came to nothing, or when a person retries it; a person may also drop it. **The stages of a request**: `submitting` → `accepted`
//! → one of [`Outcome`](crate::core::purge::Outcome)'s words.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::core::agreement::{Compared, Member};
use crate::core::asset::Asset;
use crate::core::change::{FileFact, NewChange, PipelineId, Seq};
use crate::core::delivery::{
    DeliveryProgress, DeliveryRecord, DeliveryState, DueDeliveries, NewDelivery, Taken,
};
use crate::core::lease::NodeId;
use crate::core::planner::Stands;
use crate::core::purge::Unsettled;
use crate::core::time::Time;
use crate::lineage::Lineage;
use crate::supervise::Supervisor;

mod asks;
mod calls;
mod commits;
#[cfg(test)]
mod contract;
mod db;
mod desk;
mod listing;
mod marks;
mod postgres;
mod record;
mod rounds;
mod servers;
mod sql;
mod sqlite;
mod written;

pub use asks::{ASKS_KEPT, Answering, Ask, AskId, AskState};
pub use desk::{Desk, Tenure};
pub use listing::{ChangeFilter, ChangeRecord, DeliveryFilter, Listed, ListedDelivery, Slice};
pub use postgres::{Database, Survey, UrlReader, begin_demo, end_demo, survey};
pub use record::{
    AssetHistory, AssetPurge, Cause, CommittedFact, DoneRequest, FactPage, Orphan, RequestFilter,
    RequestRecord, StageCounts,
};
pub use sql::listing::{SEARCHED_CHANGES, SEARCHED_REQUESTS};
pub use sqlite::{InlineDatabase, InlineNode, Snapshot, StoreSettings, history_of};

use calls::delivery_keys::DeliveryKeys;
use calls::queue::Pulled;
use calls::{agreement, asset, deliveries, history, listing as lists, operate, queue, recent};
pub use commits::CommitObserver;
use commits::{Commits, Counts};
use db::Db;
use sqlite::{DeliveryBatcher, Lane, announce};
use written::Lately;

/// What went wrong in a store, classed by what must be done about it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is another program's, or a newer version's: a person has to act.
    #[error(transparent)]
    Unusable(Why),
    /// The database is damaged: what it held is lost. It is set aside at the next start.
    #[error(transparent)]
    Damaged(Why),
    /// Another process holds the state directory.
    #[error(transparent)]
    Locked(Why),
    /// It could not read or write: disk full, I/O error. Nothing of the call was kept.
    #[error(transparent)]
    Failed(Why),
    /// Another term has begun: who asked for it leads no longer. Nothing of the call was kept.
    #[error("another node leads")]
    Superseded,
    /// It was withdrawn meanwhile, or done and answered. Nothing of the call was kept.
    #[error("what was asked is withdrawn")]
    Withdrawn,
    /// The database's server can't be reached, or does not work now. Nothing of the call was kept; it can be
    /// made again later.
    #[error(transparent)]
    Away(Why),
    /// The store's thread has ended.
    #[error("the store is closed")]
    Closed,
}

/// Why, in words for an operator, which name the error beneath; and that error, where there is one.
#[derive(Clone, Debug)]
pub struct Why {
    text: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl Why {
    fn because(text: String, source: impl Error + Send + Sync + 'static) -> Self {
        Self {
            text,
            source: Some(Arc::new(source)),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Why {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = self.source.as_deref()?;
        Some(source)
    }
}

impl From<String> for Why {
    fn from(text: String) -> Self {
        Self { text, source: None }
    }
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

/// What is noticed of the other nodes that share the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OtherNodes {
    /// Moves when one of them has committed or announced anything.
    pub news: u64,
    /// Whether no node leads, since the one that did has resigned.
    pub is_vacant: bool,
    /// Whether commits are found by looking, every two seconds, and are not announced: something
    /// between here and the server does not pass announcements on.
    pub is_deaf: bool,
}

/// Whether the database may have forgotten what it had: another server answers, or commits were missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Moves whenever that may be: what was read before may be gone, and what comes may have numbers that were
    /// read before. What goes on from a number begins anew.
    pub changes: u64,
    /// Commits of this node that were missing and are committed again.
    pub forgotten: u64,
    /// The changes in them.
    pub replayed: u64,
    /// When the last of them were missing, by [`Clock::since_boot`].
    pub at: Option<Time>,
}

/// Queue and history, durable. The threads of a store on disk, and the task that gives its answers,
/// end when it is dropped.
#[derive(Debug)]
pub struct Store {
    writer: Lane,
    /// What writes beside the writer: see [`Store::publish`].
    publisher: Lane,
    reader: Lane,
    last: Arc<watch::Sender<Seq>>,
    arrivals: DeliveryBatcher,
    keys: DeliveryKeys,
    commits: Arc<Commits>,
    pulled: Pulled,
    lineage: Lineage,
    node: NodeId,
    /// The process among those that run or ran as the node.
    instance: i64,
    others: Arc<watch::Sender<OtherNodes>>,
    /// The queues that the leader has found full.
    full: Arc<watch::Sender<BTreeSet<PipelineId>>>,
    history: Arc<watch::Sender<History>>,
    lately: Lately,
    is_on_server: bool,
}

impl Store {
    /// Opens the store, alone: makes it when it is missing, brings an older one up to date. One
    /// that is damaged, or of another API, is set aside, and a new one made; [`Store::lineage`]
    /// says so. Has to be called within the runtime.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it; [`StoreError::Unusable`] when the file is
    /// a newer version's or another program's, which is never touched; [`StoreError::Failed`] when
    /// the directory or the disk is in the way.
    pub fn open(settings: &StoreSettings, supervisor: &Supervisor) -> Result<Self, StoreError> {
        match &settings.database {
            None => sqlite::open(settings, supervisor),
            Some(database) => postgres::open(settings, database, supervisor),
        }
    }

    /// Whether the database is that of a server, which may be away for a while.
    #[must_use]
    pub const fn is_on_server(&self) -> bool {
        self.is_on_server
    }

    /// Changes when the database's server is away, or back; `None` where there is none.
    #[must_use]
    pub fn subscribe_away(&self) -> Option<watch::Receiver<Option<Arc<str>>>> {
        match &self.writer {
            Lane::Thread(_, away) if self.is_on_server => Some(away.clone()),
            _ => None,
        }
    }

    /// Why the database's server can't be reached; `None` while it can, and for `SQLite`.
    #[must_use]
    pub fn away(&self) -> Option<Arc<str>> {
        let mut lanes = [&self.writer, &self.publisher, &self.reader].into_iter();
        lanes.find_map(Lane::away)
    }

    /// The node that it is opened for.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// Changes when another node has committed or announced anything; never without a server.
    #[must_use]
    pub fn subscribe_others(&self) -> watch::Receiver<OtherNodes> {
        self.others.subscribe()
    }

    /// The queues that are full, as the leader on another node has said: see [`Desk::set_full`].
    #[must_use]
    pub fn subscribe_full(&self) -> watch::Receiver<BTreeSet<PipelineId>> {
        self.full.subscribe()
    }

    /// Changes when the database may have forgotten what it had; never without a server.
    #[must_use]
    pub fn subscribe_history(&self) -> watch::Receiver<History> {
        self.history.subscribe()
    }

    /// Whether the database may have forgotten what it had, as far as is known.
    #[must_use]
    pub fn history(&self) -> History {
        *self.history.borrow()
    }

    /// What it is the continuation of.
    #[must_use]
    pub const fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// How many transactions were committed: fewer than there were calls, when many came at once.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.commits.count()
    }

    /// From now on `observer` gets the time that each transaction takes that writes, from its begin until it is on
    /// disk, and the changes that it appends.
    pub fn observe_commits(&self, clock: Clock, observer: impl CommitObserver + 'static) {
        self.commits.observe(clock, Box::new(observer));
    }
}

#[expect(clippy::must_use_candidate, reason = "a future has to be used anyway")]
impl Store {
    /// Commits changes, gives them sequence numbers, and wakes the subscribers. All or none.
    pub fn append(&self, changes: Vec<NewChange>) -> StoreFuture<'_, Appended> {
        let (last, node) = (Arc::clone(&self.last), self.node);
        let (commits, counts) = (Arc::clone(&self.commits), Counts::of(&changes));
        let (changes, lately) = (Arc::new(changes), self.lately.clone());
        let written = Arc::clone(&changes);
        self.write(
            move |db| queue::append(db, Some(node), &changes),
            move |appended: &Appended| {
                lately.keep_changes(written);
                announce(&last, appended.last);
                commits.appended(&counts);
            },
        )
    }

    /// Commits a delivery together with the changes it makes, unless it came before and is done: one
    /// with the same route, pipeline and key, taken less than `dedupe` ago. Changes that are due
    /// later, and scans, are kept until then. What is queued already is not queued twice, unless a
    /// planner may have pulled it: it would not know that it has changed since. What
    /// repeats one that is not done is due with that, or at once where that was due before; where
    /// it asks for scans, what the first found and is not done is queued again besides.
    pub fn take_delivery(&self, delivery: NewDelivery) -> StoreFuture<'_, Taken> {
        self.arrivals.take(delivery, &self.writer)
    }

    /// What became of the last delivery of that name.
    pub fn delivery(
        &self,
        route: String,
        event: String,
    ) -> StoreFuture<'_, Option<DeliveryRecord>> {
        let keys = self.keys.clone();
        // By the thread that writes: the keys have what is not committed yet, which others can't see.
        self.alter(move |db| deliveries::find(db, &keys, &route, &event, deliveries::record))
    }

    /// How far the last delivery of that name is. It counts all changes of it, so that it takes longer
    /// than [`Store::delivery`].
    pub fn delivery_progress(
        &self,
        route: String,
        event: String,
    ) -> StoreFuture<'_, Option<DeliveryProgress>> {
        let keys = self.keys.clone();
        self.alter(move |db| deliveries::find(db, &keys, &route, &event, deliveries::progress))
    }

    /// What waits for its time, and until when.
    pub fn due_deliveries(&self) -> StoreFuture<'_, DueDeliveries> {
        self.read(deliveries::due)
    }

    /// Announces the last sequence number on disk, whenever it grows, by whichever node. Carries no data, so that
    /// nothing can be lost between a start and the first look.
    pub fn subscribe(&self) -> watch::Receiver<Seq> {
        self.last.subscribe()
    }

    /// Announces that a delivery is on disk that waits ([`NewDelivery::waits`]), also where nothing
    /// waits any more for what became of it. Carries no data, as [`Store::subscribe`].
    pub fn subscribe_waiting(&self) -> watch::Receiver<()> {
        self.arrivals.subscribe_waiting()
    }

    /// The file facts of an origin of this node after `after`, in order of sequence, whatever their stage,
    /// at most `limit`. A file that maps to several assets comes several times.
    pub fn facts_after(
        &self,
        pipeline: PipelineId,
        origin: String,
        after: Seq,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(Seq, FileFact)>> {
        let node = self.node;
        self.read(move |db| queue::facts_after(db, node, &pipeline, &origin, after, limit))
    }

    /// The changes of all nodes after `after`, in order, at most `limit`, with the files that were noticed.
    pub fn facts_of_all_after(&self, after: Seq, limit: usize) -> StoreFuture<'_, FactPage> {
        self.read(move |db| agreement::facts(db, after, limit))
    }

    /// The first queued change of each pipeline that has one, and the last change of all.
    pub fn first_queued(&self) -> StoreFuture<'_, (BTreeMap<PipelineId, Seq>, Seq)> {
        self.read(agreement::queued)
    }

    /// Says how far this node agrees with the others. `None`: it is not to be waited for.
    pub fn publish_agreement(
        &self,
        said: Vec<(PipelineId, Option<Compared>)>,
    ) -> StoreFuture<'_, ()> {
        let node = self.node;
        self.publish(move |db| {
            agreement::publish(db, node, &said)?;
            db.announce()
        })
    }

    /// Takes back whatever this node has said of its agreement.
    pub fn disarm(&self) -> StoreFuture<'_, ()> {
        let node = self.node;
        self.publish(move |db| {
            agreement::disarm(db, node)?;
            db.announce()
        })
    }

    /// How far the nodes agree that said it, whether they live or not; announces the changes that they speak of.
    pub fn members(&self) -> StoreFuture<'_, Vec<Member>> {
        let last = Arc::clone(&self.last);
        let read = self.reader.call(
            // The last change is read behind them, so that none is missing that they speak of.
            |db| Ok((agreement::members(db)?, queue::last_seq(db)?)),
            move |(_, appended): &(_, Seq)| announce(&last, *appended),
        );
        Box::pin(async move { Ok(read.await?.0) })
    }

    /// The history of requests.
    pub fn requests(&self, filter: RequestFilter) -> StoreFuture<'_, Listed<RequestRecord>> {
        self.read(move |db| history::requests(db, &filter))
    }

    /// The history of changes.
    pub fn changes(&self, filter: ChangeFilter) -> StoreFuture<'_, Listed<ChangeRecord>> {
        self.read(move |db| lists::changes(db, &filter))
    }

    /// The history of deliveries.
    pub fn deliveries(&self, filter: DeliveryFilter) -> StoreFuture<'_, Listed<ListedDelivery>> {
        self.read(move |db| lists::deliveries(db, &filter))
    }

    /// The changes that are the oldest of their pipelines, as far as they are in the history.
    pub fn oldest(&self, of: Vec<(PipelineId, Stands)>) -> StoreFuture<'_, Vec<ChangeRecord>> {
        self.read(move |db| recent::oldest(db, &of))
    }

    /// The requests that were done from `from` on and before `until`.
    pub fn done_between(&self, from: Time, until: Time) -> StoreFuture<'_, Vec<DoneRequest>> {
        self.read(move |db| recent::done_between(db, from, until))
    }

    /// When the last request of a pipeline was done, as far as the history goes.
    pub fn last_done(&self, pipeline: PipelineId) -> StoreFuture<'_, Option<Time>> {
        self.read(move |db| recent::last_done(db, &pipeline))
    }

    /// The last delivery of each route, of the last thousand.
    pub fn last_deliveries(&self) -> StoreFuture<'_, Vec<ListedDelivery>> {
        self.read(recent::last_deliveries)
    }

    /// The stages of the changes from `first` to `last`, both included.
    pub fn stages(&self, first: Seq, last: Seq) -> StoreFuture<'_, StageCounts> {
        self.read(move |db| history::stages(db, None, first, last))
    }

    /// As [`Store::stages`], of one pipeline's changes only.
    pub fn stages_of(
        &self,
        pipeline: PipelineId,
        first: Seq,
        last: Seq,
    ) -> StoreFuture<'_, StageCounts> {
        self.read(move |db| history::stages(db, Some(&pipeline), first, last))
    }

    /// The requests that last took the changes from `first` to `last`, in order of number.
    pub fn requests_of(&self, first: Seq, last: Seq) -> StoreFuture<'_, Vec<u64>> {
        self.read(move |db| history::requests_of(db, first, last))
    }

    /// Everything but queued changes that a planner has to know at start.
    pub fn unsettled(&self) -> StoreFuture<'_, Unsettled> {
        self.read(history::unsettled)
    }

    /// Whether something of a pipeline up to a change is neither purged nor given up.
    pub fn is_pending(&self, pipeline: PipelineId, last: Seq) -> StoreFuture<'_, bool> {
        self.read(move |db| queue::is_pending(db, &pipeline, last))
    }

    /// How many assets of each pipeline are queued, and when the oldest change of them was noticed.
    pub fn queued_assets(&self) -> StoreFuture<'_, BTreeMap<PipelineId, (usize, Time)>> {
        self.read(queue::queued_assets)
    }

    /// How many assets of each pipeline are failed.
    pub fn failed_assets(&self) -> StoreFuture<'_, BTreeMap<PipelineId, u64>> {
        self.read(history::failed_assets)
    }

    /// The files of this node behind what is queued or in flight of a pipeline, in order of sequence after
    /// `after`, at most `limit`; with the target of each.
    pub fn queued_files(
        &self,
        pipeline: PipelineId,
        after: Seq,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(Seq, NewChange)>> {
        let node = self.node;
        self.read(move |db| queue::queued_files(db, &pipeline, node, after, limit))
    }

    /// Remembers a word under a key. Returns the one that was there.
    pub fn note(&self, key: String, word: String) -> StoreFuture<'_, Option<String>> {
        self.alter(move |db| operate::note(db, &key, &word))
    }

    /// The word under a key.
    pub fn noted(&self, key: String) -> StoreFuture<'_, Option<String>> {
        self.read(move |db| operate::noted(db, &key))
    }

    /// Pipelines that are none of these, and of which something is queued or failed.
    pub fn orphans(&self, known: Vec<PipelineId>) -> StoreFuture<'_, Vec<Orphan>> {
        self.read(move |db| operate::orphans(db, &known))
    }

    /// The last purges of an asset, those of everything among them, newest first, at most `limit`.
    pub fn purges_of(
        &self,
        pipeline: PipelineId,
        asset: Asset,
        limit: usize,
    ) -> StoreFuture<'_, AssetHistory> {
        self.read(move |db| asset::history(db, &pipeline, &asset, limit))
    }

    fn write<T: Send + 'static>(
        &self,
        to: impl FnOnce(&dyn Db) -> Result<T, StoreError> + Send + 'static,
        committed: impl FnOnce(&T) + Send + 'static,
    ) -> StoreFuture<'_, T> {
        self.writer.call(to, committed)
    }

    /// Writes what appends no changes.
    fn alter<T: Send + 'static>(
        &self,
        to: impl FnOnce(&dyn Db) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        self.write(|db| to(db), |_| {})
    }

    /// Writes what may append changes, and announces them.
    fn write_and_announce<T: Send + 'static>(
        &self,
        to: impl FnOnce(&dyn Db) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        let last = Arc::clone(&self.last);
        let written = self.write(
            move |db| {
                let written = to(db)?;
                let last = queue::last_seq(db)?;
                Ok((written, last))
            },
            move |(_, appended): &(T, Seq)| announce(&last, *appended),
        );
        Box::pin(async move { Ok(written.await?.0) })
    }

    /// Writes what is this node's own, beside all else and at once: its row of `node`, its rows of `member`, or the
    /// lease, as long as that is of the term that was read. A long transaction of any node does not hold it up: it
    /// does not take the lock of the schema.
    ///
    /// So nothing may go this way that gives numbers or that a decision depends on. Each statement is kept by
    /// itself, whatever becomes of the next, and may be made again when its answer is lost. It is no commit of the
    /// node: it has no mark, and wakes no other, unless its work calls [`Db::announce`]. In a file, there is one
    /// way to write, and this is it.
    fn publish<T: Send + 'static>(
        &self,
        to: impl FnOnce(&dyn Db) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        self.publisher.call(|db| to(db), |_| {})
    }

    fn read<T: Send + 'static>(
        &self,
        of: impl FnOnce(&dyn Db) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        self.reader.call(|db| of(db), |_| {})
    }
}
