//! Requests: what is unsettled, and the history, in plain collections.

use std::collections::{BTreeMap, BTreeSet};

use super::{Request, Row, Stage, State};
use crate::core::asset::Asset;
use crate::core::change::{PipelineId, Seq, Target};
use crate::core::purge::{Learned, OpenRequest, QueuedAll, RequestId, Scope, Unsettled};
use crate::core::time::Time;
use crate::store::{ChangeFilter, ChangeRecord, Listed, RequestFilter, RequestRecord, StageCounts};

impl State {
    pub(super) fn unsettled(&self) -> Unsettled {
        Unsettled {
            last_request: self.last_request,
            requests: self
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
            all: self
                .all
                .iter()
                .map(|(pipeline, (reason, since))| QueuedAll {
                    pipeline: pipeline.clone(),
                    reason: *reason,
                    since: *since,
                })
                .collect(),
            last_all: self.last_all.clone(),
            settled_remote_ids: self.settled_remote_ids(),
            learned: self
                .learned
                .iter()
                .map(|(limit, (value, at))| Learned {
                    limit: limit.clone(),
                    value: *value,
                    at: *at,
                })
                .collect(),
            pauses: self.pauses.values().cloned().collect(),
        }
    }

    pub(super) fn requests(&self, filter: &RequestFilter) -> Listed<RequestRecord> {
        let records = self.requests.iter();
        let records = records.map(|(id, request)| (*id, request.record(*id)));
        let found = records.filter(|(_, record)| wanted(filter, record));
        filter.slice.of(found.collect())
    }

    pub(super) fn list_changes(&self, filter: &ChangeFilter) -> Listed<ChangeRecord> {
        let asset = |row: &Row| match &row.change.target {
            Target::Asset(asset) => Some(asset.to_string()),
            Target::All => None,
        };
        let wanted = |seq: Seq, row: &Row| {
            filter.first.is_none_or(|first| seq >= first)
                && filter.last.is_none_or(|last| seq <= last)
                && (filter.pipeline.as_ref()).is_none_or(|one| *one == row.change.pipeline)
                && (filter.stage.as_ref()).is_none_or(|stage| stage == row.stage.as_str())
                && (filter.asset.is_none() || filter.asset == asset(row))
        };
        let rows = self.changes.iter();
        let rows = rows.filter(|(seq, row)| wanted(Seq(**seq), row));
        let records = rows.filter_map(|(seq, row)| {
            let record = ChangeRecord {
                pipeline_id: row.change.pipeline.clone(),
                asset: asset(row),
                request: row.request,
                cause: self.cause(*seq)?,
            };
            Some((*seq, record))
        });
        filter.slice.of(records.collect())
    }

    pub(super) fn requests_of(&self, first: Seq, last: Seq) -> Vec<u64> {
        let requests: BTreeSet<u64> = self
            .between(first, last)
            .filter_map(|row| row.request)
            .collect();
        requests.into_iter().collect()
    }

    pub(super) fn failed_assets(&self) -> BTreeMap<PipelineId, u64> {
        let failed: BTreeSet<(PipelineId, Target)> = self
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
    }

    pub(super) fn prune(&mut self, before: Time, limit: usize) -> u64 {
        let old = |request: Option<u64>| {
            request
                .and_then(|id| self.requests.get(&id))
                .is_none_or(|request| request.settled.is_some_and(|at| at < before))
        };
        let changes: Vec<u64> = self
            .changes
            .iter()
            .filter(|(_, row)| match row.stage {
                Stage::Done => old(row.request),
                Stage::Dropped => row.change.seen < before,
                Stage::Queued | Stage::Taken | Stage::Failed => false,
            })
            .map(|(seq, _)| *seq)
            .take(limit)
            .collect();
        for seq in &changes {
            self.changes.remove(seq);
        }
        let used: BTreeSet<u64> = self
            .changes
            .values()
            .filter_map(|row| row.request)
            .collect();
        let requests: Vec<u64> = self
            .requests
            .iter()
            .filter(|(id, request)| {
                request.settled.is_some_and(|at| at < before) && !used.contains(id)
            })
            .map(|(id, _)| *id)
            .take(limit - changes.len())
            .collect();
        for id in &requests {
            self.requests.remove(id);
            self.after.forget_request(*id);
        }
        (changes.len() + requests.len()) as u64
    }
}

impl Request {
    pub(super) fn record(&self, id: u64) -> RequestRecord {
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

pub(super) fn count<'a>(rows: impl Iterator<Item = &'a Row>) -> StageCounts {
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
