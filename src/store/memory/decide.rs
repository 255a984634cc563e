//! The planner's decisions, in plain collections.

use std::collections::BTreeSet;

use super::{Request, Stage, State};
use crate::core::change::{PipelineId, Target};
use crate::core::purge::{Decision, Learned, Outcome, RequestId, Scope};
use crate::core::time::Time;
use crate::store::StoreError;

impl State {
    /// Whether the decision is about a request that it can be about.
    pub(super) fn check(
        &self,
        decision: &Decision,
        opened: &mut BTreeSet<u64>,
    ) -> Result<(), StoreError> {
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

    pub(super) fn apply(&mut self, decision: Decision) {
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
            if covers(&scope, &row.change.target, *seq) {
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
                && covers(&request.scope, &row.change.target, *seq);
            if cleared {
                row.stage = Stage::Done;
                row.request = Some(id.0);
            }
        }
    }
}

/// Whether a request covers a change.
fn covers(scope: &Scope, target: &Target, seq: u64) -> bool {
    match (scope, target) {
        (Scope::Assets(assets), Target::Asset(asset)) => {
            assets.get(asset).is_some_and(|last| seq <= last.0)
        }
        (Scope::Assets(_), Target::All) => false,
        (Scope::All { through, .. }, _) => seq <= through.0,
    }
}
