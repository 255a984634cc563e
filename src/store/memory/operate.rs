//! What a person does with the queue, and the history of one asset, in plain collections.

use super::{MemoryStore, Row, Stage, State};
use crate::core::asset::Asset;
use crate::core::change::{Change, PipelineId, Seq, Source, Target};
use crate::core::pause::{Holder, Pause, Retry};
use crate::core::purge::Scope;
use crate::core::time::Time;
use crate::store::{AssetHistory, AssetPurge, Cause, Orphan, StoreFuture};

impl State {
    fn retry(&mut self, what: &Retry, limit: usize) -> Vec<Change> {
        let mut retried = Vec::new();
        for (seq, row) in &mut self.changes {
            let meant = match what {
                Retry::Pipeline(pipeline) => row.change.pipeline == *pipeline,
                Retry::Request(request) => row.request == Some(*request),
            };
            if row.stage == Stage::Failed && meant && retried.len() < limit {
                (row.stage, row.attempt, row.not_before) = (Stage::Queued, 0, Time::ZERO);
                row.overdue = false;
                retried.push(row.queued(*seq));
            }
        }
        self.tell(&retried);
        retried
    }

    fn drop_queue(&mut self, pipeline: &PipelineId, limit: usize) -> u64 {
        let later = self.drop_later(pipeline);
        self.after.forget(pipeline);
        let everything = u64::from(self.all.remove(pipeline).is_some());
        let ours = self.changes.values_mut().filter(|row| {
            matches!(row.stage, Stage::Queued | Stage::Failed) && row.change.pipeline == *pipeline
        });
        let mut dropped = 0;
        for row in ours.take(limit) {
            row.stage = Stage::Dropped;
            dropped += 1;
        }
        later + everything + dropped
    }

    fn orphans(&self, known: &[PipelineId]) -> Vec<Orphan> {
        let undone = self.changes.values();
        let undone = undone.filter(|row| matches!(row.stage, Stage::Queued | Stage::Failed));
        let mut ids: Vec<PipelineId> = undone
            .map(|row| row.change.pipeline.clone())
            .chain(self.all.keys().cloned())
            .filter(|id| !known.contains(id))
            .collect();
        ids.sort();
        ids.dedup();
        let count = |id: &PipelineId, stage| {
            let rows = self.changes.values();
            rows.filter(|row| row.stage == stage && row.change.pipeline == *id)
                .count() as u64
        };
        ids.into_iter()
            .map(|id| Orphan {
                queued_changes: count(&id, Stage::Queued),
                failed_changes: count(&id, Stage::Failed),
                queued_all: self.all.get(&id).map(|(reason, _)| *reason),
                id,
            })
            .collect()
    }

    pub(super) fn cause(&self, seq: u64) -> Option<Cause> {
        let row = self.changes.get(&seq)?;
        let change = &row.change;
        let by_webhook = change.source == Source::Webhook
            || (change.source == Source::Scan && &*change.detail == "webhook");
        Some(Cause {
            seq: Seq(seq),
            source: change.source,
            kind: change.kind,
            detail: change.detail.to_string(),
            file: change.file.as_ref().map(|file| {
                let path = String::from_utf8_lossy(&file.path).into_owned();
                (file.origin.to_string(), path)
            }),
            delivery: by_webhook
                .then(|| self.delivery_of(&change.pipeline, Seq(seq)))
                .flatten(),
            seen: change.seen,
            stage: row.stage.as_str().to_owned(),
        })
    }

    fn history(&self, pipeline: &PipelineId, asset: &Asset, limit: usize) -> AssetHistory {
        let ours = |row: &Row| {
            row.change.pipeline == *pipeline && row.change.target == Target::Asset(asset.clone())
        };
        let waits = |row: &Row| {
            ours(row) && matches!(row.stage, Stage::Queued | Stage::Failed | Stage::Dropped)
        };
        let waiting = self.changes.iter().filter(|(_, row)| waits(row));
        let purges = self.requests.iter().rev().filter_map(|(id, request)| {
            let seq = match &request.scope {
                _ if request.pipeline != *pipeline => return None,
                Scope::Assets(assets) => Some(assets.get(asset)?.0),
                Scope::All { .. } => {
                    let of = |wanted: &dyn Fn(&Row) -> bool| {
                        let mut rows = self.changes.iter().rev();
                        rows.find(|(_, row)| row.request == Some(*id) && wanted(row))
                            .map(|(seq, _)| *seq)
                    };
                    of(&ours).or_else(|| of(&|row| row.change.target == Target::All))
                }
            };
            Some(AssetPurge {
                request: request.record(*id),
                cause: seq.and_then(|seq| self.cause(seq)),
                verified: self.after.seen(*id, asset),
            })
        });
        AssetHistory {
            waiting: waiting.filter_map(|(seq, _)| self.cause(*seq)).collect(),
            purges: purges.take(limit).collect(),
        }
    }
}

impl MemoryStore {
    pub(super) fn pause(&self, pause: Pause) -> StoreFuture<'_, ()> {
        self.write(|state| {
            let key = (pause.pipeline.clone(), pause.holder.clone());
            state.pauses.insert(key, pause);
            Ok(())
        })
    }

    pub(super) fn resume(
        &self,
        pipeline: PipelineId,
        holder: Holder,
        now: Time,
    ) -> StoreFuture<'_, bool> {
        self.write(|state| {
            state.pauses.retain(|_, pause| !pause.is_over(now));
            Ok(state.pauses.remove(&(pipeline, holder)).is_some())
        })
    }

    pub(super) fn retry(&self, what: &Retry, limit: usize) -> StoreFuture<'_, Vec<Change>> {
        self.write(|state| Ok(state.retry(what, limit)))
    }

    pub(super) fn drop_queue(&self, pipeline: &PipelineId, limit: usize) -> StoreFuture<'_, u64> {
        self.write_and_announce(|state| state.drop_queue(pipeline, limit))
    }

    pub(super) fn orphans(&self, known: &[PipelineId]) -> StoreFuture<'_, Vec<Orphan>> {
        self.read(|state| state.orphans(known))
    }

    pub(super) fn purges_of(
        &self,
        pipeline: &PipelineId,
        asset: &Asset,
        limit: usize,
    ) -> StoreFuture<'_, AssetHistory> {
        self.read(|state| state.history(pipeline, asset, limit))
    }
}
