//! A store in memory: the contract in plain collections, easy to believe. For tests and the
//! simulation; nothing of it outlives the process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::{
    Appended, AssetHistory, Orphan, RequestFilter, RequestPage, RequestRecord, StageCounts, Store,
    StoreError, StoreFuture,
};
use crate::core::asset::Asset;
use crate::core::change::{Change, FileFact, NewChange, PipelineId, Seq, Target};
use crate::core::delivery::{DeliveryRecord, DueDeliveries, NewDelivery, ScanDone, Taken};
use crate::core::pause::{Holder, Pause, Retry};
use crate::core::purge::{
    AllReason, Decision, Learned, Limit, OpenRequest, Outcome, QueuedAll, REMEMBERED_IDS,
    RequestId, Scope, Unsettled,
};
use crate::core::time::Time;
use crate::core::verify::{Check, FollowUp, FollowUps, FollowedUp, Follows, Known, Looked};

mod deliveries;
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
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            last: watch::Sender::new(Seq(0)),
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

fn count<'a>(rows: impl Iterator<Item = &'a Row>) -> StageCounts {
    let mut counts = StageCounts::default();
    for row in rows {
        match row.stage {
            Stage::Queued => counts.queued += 1,
            Stage::Taken => counts.taken += 1,
            Stage::Done => counts.done += 1,
            Stage::Failed => counts.failed += 1,
            Stage::Dropped => counts.dropped += 1,
        }
    }
    counts
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
        self.read(|state| Unsettled {
            last_request: state.last_request,
            requests: state
                .requests
                .iter()
                .filter(|(_, request)| request.outcome.is_none())
                .map(|(id, request)| OpenRequest {
                    id: RequestId(*id),
                    pipeline: request.pipeline.clone(),
                    scope: request.scope.clone(),
                    remote_id: request.remote_id.clone(),
                    first_seen: request.first_seen,
                    opened: request.opened,
                    attempt: request.attempt,
                    overdue: request.overdue,
                    api_since: request.api_since,
                })
                .collect(),
            all: state
                .all
                .iter()
                .map(|(pipeline, (reason, since))| QueuedAll {
                    pipeline: pipeline.clone(),
                    reason: *reason,
                    since: *since,
                })
                .collect(),
            last_all: state.last_all.clone(),
            settled_remote_ids: state.settled_remote_ids(),
            learned: state
                .learned
                .iter()
                .map(|(limit, (value, at))| Learned {
                    limit: limit.clone(),
                    value: *value,
                    at: *at,
                })
                .collect(),
            pauses: state.pauses.values().cloned().collect(),
        })
    }

    fn subscribe(&self) -> watch::Receiver<Seq> {
        self.last.subscribe()
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

    fn requests(&self, filter: RequestFilter) -> StoreFuture<'_, RequestPage> {
        self.read(|state| {
            let mut found: Vec<RequestRecord> = state
                .requests
                .iter()
                .map(|(id, request)| request.record(*id))
                .filter(|record| wanted(&filter, record))
                .collect();
            if !filter.ascending {
                found.reverse();
            }
            RequestPage {
                total_count: found.len() as u64,
                purge_requests: found
                    .into_iter()
                    .skip(filter.offset)
                    .take(filter.limit)
                    .collect(),
            }
        })
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
        self.read(|state| {
            let requests: BTreeSet<u64> = state
                .between(first, last)
                .filter_map(|row| row.request)
                .collect();
            requests.into_iter().collect()
        })
    }

    fn failed_assets(&self) -> StoreFuture<'_, BTreeMap<PipelineId, u64>> {
        self.read(|state| {
            let failed: BTreeSet<(PipelineId, Target)> = state
                .changes
                .values()
                .filter(|row| row.stage == Stage::Failed)
                .map(|row| (row.change.pipeline.clone(), row.change.target.clone()))
                .collect();
            let mut counts = BTreeMap::new();
            for (pipeline, _) in failed {
                *counts.entry(pipeline).or_default() += 1;
            }
            counts
        })
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
        self.write(|state| {
            let old = |request: Option<u64>, state: &State| {
                request
                    .and_then(|id| state.requests.get(&id))
                    .is_none_or(|request| request.settled.is_some_and(|at| at < before))
            };
            let changes: Vec<u64> = state
                .changes
                .iter()
                .filter(|(_, row)| match row.stage {
                    Stage::Done => old(row.request, state),
                    Stage::Dropped => row.change.seen < before,
                    Stage::Queued | Stage::Taken | Stage::Failed => false,
                })
                .map(|(seq, _)| *seq)
                .take(limit)
                .collect();
            for seq in &changes {
                state.changes.remove(seq);
            }
            let used: BTreeSet<u64> = state
                .changes
                .values()
                .filter_map(|row| row.request)
                .collect();
            let requests: Vec<u64> = state
                .requests
                .iter()
                .filter(|(id, request)| {
                    request.settled.is_some_and(|at| at < before) && !used.contains(id)
                })
                .map(|(id, _)| *id)
                .take(limit - changes.len())
                .collect();
            for id in &requests {
                state.requests.remove(id);
                state.after.forget_request(*id);
            }
            Ok((changes.len() + requests.len()) as u64)
        })
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

    /// Whether the decision is about a request that it can be about.
    fn check(&self, decision: &Decision, opened: &mut BTreeSet<u64>) -> Result<(), StoreError> {
        let unsettled = |id: RequestId, opened: &BTreeSet<u64>| {
            let known = self.requests.get(&id.0);
            if known.is_some_and(|known| known.outcome.is_none()) || opened.contains(&id.0) {
                return Ok(());
            }
            Err(StoreError::Failed(format!("request {id} is not in flight")))
        };
        match decision {
            Decision::Open { request, .. } => {
                if self.requests.contains_key(&request.0) || !opened.insert(request.0) {
                    return Err(StoreError::Failed(format!(
                        "request {request} is there already"
                    )));
                }
                Ok(())
            }
            Decision::Accepted { request, .. } | Decision::Settled { request, .. } => {
                unsettled(*request, opened)
            }
            Decision::Follow { request } => {
                if self.requests.contains_key(&request.0) || opened.contains(&request.0) {
                    return Ok(());
                }
                Err(StoreError::Failed(format!(
                    "request {request} is not there"
                )))
            }
            Decision::QueueAll { .. } | Decision::Learn(_) => Ok(()),
        }
    }

    fn apply(&mut self, decision: Decision) {
        match decision {
            Decision::Open {
                request,
                pipeline,
                scope,
                first_seen,
                api_since,
                at,
            } => self.open(request, pipeline, scope, (first_seen, at), api_since),
            Decision::Accepted {
                request,
                remote_id,
                at,
            } => {
                if let Some(request) = self.requests.get_mut(&request.0) {
                    request.remote_id = Some(remote_id);
                    request.accepted = Some(at);
                    // Only an `all` that the API took has emptied a cache.
                    if matches!(request.scope, Scope::All { .. }) {
                        self.last_all.insert(request.pipeline.clone(), at);
                    }
                }
            }
            Decision::Settled {
                request,
                outcome,
                why,
                attempt,
                not_before,
                at,
            } => {
                if let Some(row) = self.requests.get_mut(&request.0) {
                    row.outcome = Some(outcome);
                    row.settled = Some(at);
                    row.why = why;
                }
                self.release(request, outcome, attempt, not_before);
            }
            Decision::QueueAll {
                pipeline,
                reason,
                since,
            } => {
                self.all.insert(pipeline, (reason, since));
            }
            Decision::Follow { request } => {
                if let Some(request) = self.requests.get_mut(&request.0) {
                    request.follow = true;
                }
            }
            Decision::Learn(Learned { limit, value, at }) => {
                self.learned.insert(limit, (value, at));
            }
        }
    }

    fn open(
        &mut self,
        id: RequestId,
        pipeline: PipelineId,
        scope: Scope,
        (first_seen, at): (Time, Time),
        api_since: Option<Time>,
    ) {
        self.last_request = self.last_request.max(id.0);
        let (mut attempt, mut overdue) = (0, false);
        for (seq, row) in &mut self.changes {
            if row.stage != Stage::Queued || row.change.pipeline != pipeline {
                continue;
            }
            let covered = match (&scope, &row.change.target) {
                (Scope::Assets(assets), Target::Asset(asset)) => {
                    assets.get(asset).is_some_and(|last| *seq <= last.0)
                }
                (Scope::Assets(_), Target::All) => false,
                (Scope::All { through, .. }, _) => *seq <= through.0,
            };
            if covered {
                row.stage = Stage::Taken;
                row.request = Some(id.0);
                attempt = attempt.max(row.attempt);
                overdue |= row.overdue;
            }
        }
        if matches!(scope, Scope::All { .. }) {
            self.all.remove(&pipeline);
        }
        self.requests.insert(
            id.0,
            Request {
                pipeline,
                scope,
                remote_id: None,
                outcome: None,
                attempt,
                overdue,
                first_seen,
                api_since,
                opened: at,
                accepted: None,
                settled: None,
                why: String::new(),
                follow: false,
            },
        );
    }

    fn release(&mut self, id: RequestId, outcome: Outcome, attempt: u32, not_before: Time) {
        let Some(request) = self.requests.get(&id.0) else {
            return;
        };
        for (seq, row) in &mut self.changes {
            if row.stage == Stage::Taken && row.request == Some(id.0) {
                match outcome {
                    Outcome::Done => row.stage = Stage::Done,
                    Outcome::Failed => row.stage = Stage::Failed,
                    _ => {
                        row.stage = Stage::Queued;
                        row.attempt = attempt;
                        row.not_before = not_before;
                        row.overdue |= outcome == Outcome::Overdue;
                    }
                }
                continue;
            }
            // A later done that covers an asset clears its failure.
            let cleared = outcome == Outcome::Done
                && row.stage == Stage::Failed
                && row.change.pipeline == request.pipeline
                && match (&request.scope, &row.change.target) {
                    (Scope::Assets(assets), Target::Asset(asset)) => {
                        assets.get(asset).is_some_and(|last| *seq <= last.0)
                    }
                    (Scope::Assets(_), Target::All) => false,
                    (Scope::All { through, .. }, _) => *seq <= through.0,
                };
            if cleared {
                row.stage = Stage::Done;
                row.request = Some(id.0);
            }
        }
    }
}

impl Request {
    fn record(&self, id: u64) -> RequestRecord {
        let (reason, assets) = match &self.scope {
            Scope::Assets(assets) => (None, assets.keys().map(Asset::to_string).collect()),
            Scope::All { reason, .. } => (Some(reason.as_str().to_owned()), Vec::new()),
        };
        let status = match (self.outcome, &self.remote_id) {
            (Some(outcome), _) => outcome.as_str(),
            (None, Some(_)) => "accepted",
            (None, None) => "submitting",
        };
        RequestRecord {
            id,
            remote_id: self.remote_id.clone(),
            pipeline_id: self.pipeline.clone(),
            status: status.to_owned(),
            all: reason.is_some(),
            reason,
            assets,
            attempt: self.attempt,
            first_seen: self.first_seen,
            created_at: self.opened,
            accepted_at: self.accepted,
            settled_at: self.settled,
            why: self.why.clone(),
        }
    }
}

fn wanted(filter: &RequestFilter, record: &RequestRecord) -> bool {
    filter
        .pipeline
        .as_ref()
        .is_none_or(|pipeline| *pipeline == record.pipeline_id)
        && filter
            .status
            .as_ref()
            .is_none_or(|status| *status == record.status)
        && filter.id.is_none_or(|id| id == record.id)
        && (filter.remote_id.is_none() || filter.remote_id == record.remote_id)
        && filter
            .asset
            .as_ref()
            .is_none_or(|asset| record.assets.iter().any(|one| one == asset.as_str()))
}
