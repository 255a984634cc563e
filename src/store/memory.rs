//! A store in memory: the contract in plain collections, easy to believe. For tests and the
//! simulation; nothing of it outlives the process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::{
    Appended, AssetHistory, ChangeFilter, ChangeRecord, DeliveryFilter, Listed, ListedDelivery,
    Orphan, RequestFilter, RequestRecord, StageCounts, Store, StoreError, StoreFuture,
};
use crate::core::asset::Asset;
use crate::core::change::{Change, FileFact, NewChange, PipelineId, Seq};
use crate::core::delivery::{DeliveryRecord, DueDeliveries, NewDelivery, ScanDone, Taken};
use crate::core::pause::{Holder, Pause, Retry};
use crate::core::purge::{AllReason, Decision, Limit, Outcome, REMEMBERED_IDS, Scope, Unsettled};
use crate::core::time::Time;
use crate::core::verify::{Check, FollowUp, FollowUps, FollowedUp, Follows, Known, Looked};
use history::count;

mod decide;
mod deliveries;
mod history;
mod operate;
mod verify;

/// Where a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Queued,
    Taken,
    Done,
    Failed,
    Dropped,
}

impl Stage {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Taken => "taken",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

#[derive(Clone, Debug)]
struct Row {
    change: NewChange,
    stage: Stage,
    attempt: u32,
    not_before: Time,
    overdue: bool,
    again: bool,
    request: Option<u64>,
}

impl Row {
    fn queued(&self, seq: u64) -> Change {
        Change {
            seq: Seq(seq),
            pipeline: self.change.pipeline.clone(),
            target: self.change.target.clone(),
            kind: self.change.kind,
            source: self.change.source,
            detail: self.change.detail.clone(),
            seen: self.change.seen,
            attempt: self.attempt,
            not_before: self.not_before,
            overdue: self.overdue,
            again: self.again,
        }
    }
}

#[derive(Clone, Debug)]
struct Request {
    pipeline: PipelineId,
    scope: Scope,
    remote_id: Option<String>,
    outcome: Option<Outcome>,
    attempt: u32,
    overdue: bool,
    first_seen: Time,
    api_since: Option<Time>,
    opened: Time,
    accepted: Option<Time>,
    settled: Option<Time>,
    why: String,
    follow: bool,
}

#[derive(Debug, Default)]
struct State {
    last_seq: u64,
    last_request: u64,
    changes: BTreeMap<u64, Row>,
    requests: BTreeMap<u64, Request>,
    all: BTreeMap<PipelineId, (AllReason, Time)>,
    last_all: BTreeMap<PipelineId, Time>,
    learned: BTreeMap<Limit, (u64, Time)>,
    pauses: BTreeMap<(PipelineId, Holder), Pause>,
    notes: BTreeMap<String, String>,
    last_delivery: u64,
    deliveries: BTreeMap<u64, deliveries::Kept>,
    keys: deliveries::Keys,
    after: verify::After,
    failures: u32,
    /// The last queued change that a planner was told.
    told: AtomicU64,
}

/// A store in memory.
#[derive(Debug)]
pub struct MemoryStore {
    state: Mutex<State>,
    last: watch::Sender<Seq>,
    waiting: watch::Sender<()>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            last: watch::Sender::new(Seq(0)),
            waiting: watch::Sender::new(()),
        }
    }
}

impl MemoryStore {
    /// The next `calls` calls that write fail, and keep nothing.
    pub fn fail_next(&self, calls: u32) {
        if let Ok(mut state) = self.state.lock() {
            state.failures = calls;
        }
    }

    fn read<T: Send + 'static>(&self, of: impl FnOnce(&State) -> T) -> StoreFuture<'static, T> {
        let result = self
            .state
            .lock()
            .map(|state| of(&state))
            .map_err(|_| StoreError::Closed);
        Box::pin(std::future::ready(result))
    }

    /// Tells those who wait for changes of the last one.
    fn announce(&self, appended: Seq) {
        self.last.send_if_modified(|last| {
            let grown = appended > *last;
            *last = appended.max(*last);
            grown
        });
    }

    fn write<T: Send + 'static>(
        &self,
        to: impl FnOnce(&mut State) -> Result<T, StoreError>,
    ) -> StoreFuture<'static, T> {
        let result = match self.state.lock() {
            Err(_) => Err(StoreError::Closed),
            Ok(mut state) if state.failures > 0 => {
                state.failures -= 1;
                Err(StoreError::Failed("told to fail".to_owned()))
            }
            Ok(mut state) => to(&mut state),
        };
        Box::pin(std::future::ready(result))
    }
}

impl Store for MemoryStore {
    fn append(&self, changes: Vec<NewChange>) -> StoreFuture<'_, Appended> {
        let appended = self.write(|state| {
            let (first, last) = state.append(changes);
            Ok(Appended { first, last })
        });
        Box::pin(async move {
            let appended = appended.await?;
            self.announce(appended.last);
            Ok(appended)
        })
    }

    fn take_delivery(&self, delivery: NewDelivery) -> StoreFuture<'_, Taken> {
        self.take_delivery(delivery)
    }

    fn delivery(&self, route: String, event: String) -> StoreFuture<'_, Option<DeliveryRecord>> {
        self.delivery(&route, &event)
    }

    fn begin_deliveries(
        &self,
        delays: BTreeMap<String, Duration>,
        now: Time,
    ) -> StoreFuture<'_, ()> {
        self.begin_deliveries(delays, now)
    }

    fn due_deliveries(&self) -> StoreFuture<'_, DueDeliveries> {
        self.due_deliveries()
    }

    fn release_deliveries(&self, now: Time, limit: usize) -> StoreFuture<'_, usize> {
        self.release_deliveries(now, limit)
    }

    fn scanned_for_deliveries(&self, scan: ScanDone) -> StoreFuture<'_, ()> {
        self.scanned_for_deliveries(&scan)
    }

    fn prune_deliveries(&self, before: Time, now: Time, limit: usize) -> StoreFuture<'_, u64> {
        self.prune_deliveries(before, now, limit)
    }

    fn decide(&self, decisions: Vec<Decision>) -> StoreFuture<'_, ()> {
        self.write(|state| {
            let mut opened = BTreeSet::new();
            for decision in &decisions {
                state.check(decision, &mut opened)?;
            }
            for decision in decisions {
                state.apply(decision);
            }
            Ok(())
        })
    }

    fn queued_after(&self, cursor: Seq, limit: usize) -> StoreFuture<'_, Vec<Change>> {
        self.read(|state| {
            let changes: Vec<Change> = state
                .changes
                .range(cursor.0.saturating_add(1)..)
                .filter(|(_, row)| row.stage == Stage::Queued)
                .take(limit)
                .map(|(seq, row)| row.queued(*seq))
                .collect();
            state.tell(&changes);
            changes
        })
    }

    fn unsettled(&self) -> StoreFuture<'_, Unsettled> {
        self.read(State::unsettled)
    }

    fn subscribe(&self) -> watch::Receiver<Seq> {
        self.last.subscribe()
    }

    fn subscribe_waiting(&self) -> watch::Receiver<()> {
        self.waiting.subscribe()
    }

    fn facts_after(
        &self,
        pipeline: PipelineId,
        origin: String,
        after: Seq,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(Seq, FileFact)>> {
        self.read(|state| {
            state
                .changes
                .range(after.0.saturating_add(1)..)
                .filter(|(_, row)| row.change.pipeline == pipeline)
                .filter_map(|(seq, row)| Some((Seq(*seq), row.change.file.clone()?)))
                .filter(|(_, fact)| *fact.origin == *origin)
                .take(limit)
                .collect()
        })
    }

    fn requests(&self, filter: RequestFilter) -> StoreFuture<'_, Listed<RequestRecord>> {
        self.read(move |state| state.requests(&filter))
    }

    fn changes(&self, filter: ChangeFilter) -> StoreFuture<'_, Listed<ChangeRecord>> {
        self.read(move |state| state.list_changes(&filter))
    }

    fn deliveries(&self, filter: DeliveryFilter) -> StoreFuture<'_, Listed<ListedDelivery>> {
        self.read(move |state| state.list_deliveries(&filter))
    }

    fn stages(&self, first: Seq, last: Seq) -> StoreFuture<'_, StageCounts> {
        self.read(|state| count(state.between(first, last)))
    }

    fn stages_of(
        &self,
        pipeline: PipelineId,
        first: Seq,
        last: Seq,
    ) -> StoreFuture<'_, StageCounts> {
        self.read(|state| {
            let rows = state.between(first, last);
            count(rows.filter(|row| row.change.pipeline == pipeline))
        })
    }

    fn pause(&self, pause: Pause) -> StoreFuture<'_, ()> {
        self.pause(pause)
    }

    fn resume(&self, pipeline: PipelineId, holder: Holder, now: Time) -> StoreFuture<'_, bool> {
        self.resume(pipeline, holder, now)
    }

    fn retry(&self, what: Retry, limit: usize) -> StoreFuture<'_, Vec<Change>> {
        self.retry(&what, limit)
    }

    fn drop_queue(&self, pipeline: PipelineId, limit: usize) -> StoreFuture<'_, u64> {
        self.drop_queue(&pipeline, limit)
    }

    fn queued_files(
        &self,
        pipeline: PipelineId,
        after: Seq,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(Seq, NewChange)>> {
        self.read(|state| {
            let rows = state.changes.range(after.0.saturating_add(1)..);
            rows.filter(|(_, row)| {
                matches!(row.stage, Stage::Queued | Stage::Taken)
                    && row.change.pipeline == pipeline
                    && row.change.file.is_some()
            })
            .take(limit)
            .map(|(seq, row)| (Seq(*seq), row.change.clone()))
            .collect()
        })
    }

    fn note(&self, key: String, word: String) -> StoreFuture<'_, Option<String>> {
        self.write(|state| Ok(state.notes.insert(key, word)))
    }

    fn noted(&self, key: String) -> StoreFuture<'_, Option<String>> {
        self.read(|state| state.notes.get(&key).cloned())
    }

    fn orphans(&self, known: Vec<PipelineId>) -> StoreFuture<'_, Vec<Orphan>> {
        self.orphans(&known)
    }

    fn purges_of(
        &self,
        pipeline: PipelineId,
        asset: Asset,
        limit: usize,
    ) -> StoreFuture<'_, AssetHistory> {
        self.purges_of(&pipeline, &asset, limit)
    }

    fn requests_of(&self, first: Seq, last: Seq) -> StoreFuture<'_, Vec<u64>> {
        self.read(move |state| state.requests_of(first, last))
    }

    fn failed_assets(&self) -> StoreFuture<'_, BTreeMap<PipelineId, u64>> {
        self.read(State::failed_assets)
    }

    fn begin_follow_ups(&self, follows: Vec<Follows>, now: Time) -> StoreFuture<'_, ()> {
        self.begin_follow_ups(&follows, now)
    }

    fn follow_up(&self, plan: FollowUp, limit: usize) -> StoreFuture<'_, FollowedUp> {
        self.follow_up(&plan, limit)
    }

    fn follow_ups(&self, of: Vec<PipelineId>, checks: usize) -> StoreFuture<'_, FollowUps> {
        self.follow_ups(&of, checks)
    }

    fn purge_again(&self, now: Time, limit: usize) -> StoreFuture<'_, usize> {
        self.purge_again(now, limit)
    }

    fn known(&self, check: Check) -> StoreFuture<'_, Known> {
        self.known(&check)
    }

    fn looked(&self, looked: Looked) -> StoreFuture<'_, bool> {
        self.looked(looked)
    }

    fn prune(&self, before: Time, limit: usize) -> StoreFuture<'_, u64> {
        self.write(|state| Ok(state.prune(before, limit)))
    }
}

impl State {
    fn between(&self, first: Seq, last: Seq) -> impl Iterator<Item = &Row> {
        let range = first.0..=last.0.max(first.0);
        let empty = last < first;
        self.changes
            .range(range)
            .filter(move |_| !empty)
            .map(|(_, row)| row)
    }

    /// A planner is about to hear of these.
    fn tell(&self, changes: &[Change]) {
        let last = changes.iter().map(|change| change.seq.0).max();
        self.told.fetch_max(last.unwrap_or(0), Ordering::Relaxed);
    }

    fn settled_remote_ids(&self) -> Vec<String> {
        let unsettled = |request: &&Request| request.outcome.is_none();
        let mut unsettled = self.requests.values().filter(unsettled);
        if unsettled.all(|request| request.remote_id.is_some()) {
            return Vec::new();
        }
        let settled = self.requests.values().rev();
        let settled = settled.filter(|request| request.outcome.is_some());
        let ids = settled.filter_map(|request| request.remote_id.clone());
        let mut newest: Vec<String> = ids.take(REMEMBERED_IDS).collect();
        newest.reverse();
        newest
    }
}
