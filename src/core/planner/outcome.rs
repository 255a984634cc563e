//! What the API's replies mean for a purge request, and what becomes of its changes.

use std::collections::BTreeSet;

use super::circuit::Asked;
use super::flight::{Flight, Stage};
use super::parts::Part;
use super::{Planner, Step};
use crate::core::asset::Asset;
use crate::core::backoff::Backoff;
use crate::core::change::{Kind, PipelineId};
use crate::core::purge::{
    Decision, Learned, Limit, Outcome, REMEMBERED_IDS, Refusal, RemoteStatus, RequestId, Scope,
};
use crate::core::queue::{Entry, PendingAll, Rank};
use crate::core::time::Time;

impl Planner {
    pub(super) fn submitted(
        &mut self,
        id: RequestId,
        reply: Result<(String, RemoteStatus), Refusal>,
        now: Time,
        step: &mut Step,
    ) {
        let Some(flight) = self.flights.get(&id) else {
            return;
        };
        if flight.stage != Stage::Submitting {
            return;
        }
        self.answered(Asked::Create(id), reply.as_ref().err(), now, step);
        match reply {
            Ok((remote_id, status)) => self.accepted(id, remote_id, status, now, step),
            Err(refusal) => self.not_taken(id, refusal, now, step),
        }
    }

    /// The API did not take the request, as far as is known.
    fn not_taken(&mut self, id: RequestId, refusal: Refusal, now: Time, step: &mut Step) {
        let Some(flight) = self.flights.get_mut(&id) else {
            return;
        };
        let (pipeline, opened) = (flight.pipeline.clone(), flight.opened);
        let all = matches!(flight.scope, Scope::All { .. });
        let why = refusal.to_string();
        match refusal {
            Refusal::Invalid(_) if !all => {
                self.trust(&pipeline);
                self.refused(id, why, now, step);
            }
            // It may be about what is purged: others of the pipeline go on, and this one waits. It names
            // no asset, so that it neither fails one nor says how many are too many.
            Refusal::Unclear(_) | Refusal::Invalid(_) => {
                self.trust(&pipeline);
                self.forget_trial(id);
                self.settle(id, Outcome::Error, why, now, step);
            }
            // A 404 on create is classed as forbidden.
            Refusal::Forbidden(_) | Refusal::Unready(_) | Refusal::NotFound(_) => {
                if let Some(pipeline) = self.pipelines.get_mut(&pipeline) {
                    pipeline.refused(refusal, opened, now, &mut self.rng);
                }
                self.settle(id, Outcome::Unsent, why, now, step);
            }
            Refusal::UnknownOutcome(_) => {
                self.probe_again(&pipeline, now);
                let doubtful = self
                    .flights
                    .get_mut(&id)
                    .is_some_and(|flight| flight.doubt(&why));
                if !doubtful {
                    self.settle(id, Outcome::Unsent, why, now, step);
                }
            }
            Refusal::RateLimited { .. } | Refusal::Transient(_) | Refusal::Unauthorized(_) => {
                self.probe_again(&pipeline, now);
                self.settle(id, Outcome::Unsent, why, now, step);
            }
        }
    }

    /// The batch that this request is half of teaches nothing.
    fn forget_trial(&mut self, id: RequestId) {
        if let Some(flight) = self.flights.get_mut(&id)
            && let Some(trial) = flight.trial.take()
            && let Some(pipeline) = self.pipelines.get_mut(&flight.pipeline)
        {
            pipeline.parts.refused(trial);
        }
    }

    /// The API has the request: its own reply says so, or its list.
    pub(super) fn accepted(
        &mut self,
        id: RequestId,
        remote_id: String,
        status: RemoteStatus,
        now: Time,
        step: &mut Step,
    ) {
        let usual = self.usual;
        let Some(flight) = self.flights.get_mut(&id) else {
            return;
        };
        flight.accept(remote_id.clone(), usual, now);
        let (name, trial) = (flight.pipeline.clone(), flight.trial.take());
        let (assets, all) = match &flight.scope {
            Scope::Assets(assets) => (assets.len(), None),
            Scope::All { reason, .. } => (0, Some(*reason)),
        };
        step.decisions.push(Decision::Accepted {
            request: id,
            remote_id,
            at: now,
        });
        self.trust(&name);
        if let Some(pipeline) = self.pipelines.get_mut(&name) {
            if let Some(reason) = all {
                pipeline.cooldown.taken(reason, now);
            }
            pipeline.drain_rate.took(assets, now);
            let too_large = trial.and_then(|trial| pipeline.parts.passed(trial, assets));
            let learned = match too_large {
                Some(most) => pipeline.size.learn(most, now),
                None => pipeline.size.took(assets, now),
            };
            if let Some(most) = learned {
                step.decisions.push(Decision::Learn(Learned {
                    limit: Limit::MaxAssets(name),
                    value: u64::try_from(most).unwrap_or(u64::MAX),
                    at: now,
                }));
            }
        }
        self.observe(id, status, now, step);
    }

    /// The API will never take these assets. A request of several is halved: perhaps it is too
    /// large, perhaps one of them is bad, and the others must not fail with it.
    fn refused(&mut self, id: RequestId, why: String, now: Time, step: &mut Step) {
        let Some(flight) = self.flights.get_mut(&id) else {
            return;
        };
        let (name, trial) = (flight.pipeline.clone(), flight.trial.take());
        let assets: BTreeSet<Asset> = match &flight.scope {
            Scope::Assets(assets) => assets.keys().cloned().collect(),
            Scope::All { .. } => BTreeSet::new(),
        };
        let Some(pipeline) = self.pipelines.get_mut(&name) else {
            return self.settle(id, Outcome::Failed, why, now, step);
        };
        if let Some(trial) = trial {
            pipeline.parts.refused(trial);
        }
        if assets.len() < 2 {
            return self.settle(id, Outcome::Failed, why, now, step);
        }
        pipeline.parts.halve(assets);
        let why = format!("refused as a whole, sent in halves: {why}");
        self.settle(id, Outcome::Unsent, why, now, step);
    }

    pub(super) fn polled(
        &mut self,
        id: RequestId,
        reply: Result<RemoteStatus, Refusal>,
        now: Time,
        step: &mut Step,
    ) {
        let Some(flight) = self.flights.get_mut(&id) else {
            // It was given up meanwhile. Where it was the probe, others wait for its answer.
            if !self.circuit.is_closed() {
                self.answered(Asked::Get(id), reply.as_ref().err(), now, step);
            }
            return;
        };
        if !flight.poll_returned(now) {
            return;
        }
        flight.trouble = reply.as_ref().err().map(ToString::to_string);
        self.answered(Asked::Get(id), reply.as_ref().err(), now, step);
        match reply {
            Ok(status) => self.observe(id, status, now, step),
            Err(Refusal::NotFound(why) | Refusal::Invalid(why)) => {
                self.settle(id, Outcome::Vanished, why, now, step);
            }
            // Asked for again, and shown when it has gone on for too long.
            Err(
                Refusal::RateLimited { .. }
                | Refusal::Transient(_)
                | Refusal::UnknownOutcome(_)
                | Refusal::Forbidden(_)
                | Refusal::Unready(_)
                | Refusal::Unclear(_)
                | Refusal::Unauthorized(_),
            ) => {}
        }
    }

    pub(super) fn observe(
        &mut self,
        id: RequestId,
        status: RemoteStatus,
        now: Time,
        step: &mut Step,
    ) {
        match status {
            RemoteStatus::Done => {
                let took = self.flights.get(&id).and_then(|flight| flight.took(now));
                if let Some((least, most)) = took {
                    self.usual.took(least, most);
                }
                self.settle(id, Outcome::Done, String::new(), now, step);
            }
            RemoteStatus::Error => {
                let why = "the API says error, and not why".to_owned();
                self.settle(id, Outcome::Error, why, now, step);
            }
            // A word that is not known is never done: it is asked for again, like pending.
            RemoteStatus::Pending | RemoteStatus::Unknown => {
                let limit = self.limits.track_timeout;
                let Some(flight) = self.flights.get_mut(&id) else {
                    return;
                };
                flight.was_pending();
                if !flight.asked_after(limit) {
                    return;
                }
                if flight.overdue {
                    // It was sent twice; a third time would change nothing.
                    flight.stuck = true;
                    return;
                }
                let why = format!("still pending after {} s", limit.as_secs());
                self.settle(id, Outcome::Overdue, why, now, step);
            }
        }
    }

    /// A call was answered: the API as a whole is well, or it is not, or wants fewer calls.
    pub(super) fn answered(
        &mut self,
        call: Asked,
        refusal: Option<&Refusal>,
        now: Time,
        step: &mut Step,
    ) {
        let counts = self.circuit.reply(call, refusal, now, &mut self.rng);
        if counts && matches!(refusal, Some(Refusal::RateLimited { .. })) {
            self.budget.limited(now);
            step.decisions.push(Decision::Learn(Learned {
                limit: Limit::Rate,
                value: self.budget.rate(),
                at: now,
            }));
        }
    }

    /// The API has judged a purge of this pipeline: it is not forbidden.
    fn trust(&mut self, pipeline: &PipelineId) {
        if let Some(pipeline) = self.pipelines.get_mut(pipeline) {
            pipeline.trouble = None;
        }
    }

    fn probe_again(&mut self, pipeline: &PipelineId, now: Time) {
        if let Some(pipeline) = self.pipelines.get_mut(pipeline) {
            pipeline.probe_again(now);
        }
    }

    /// Ends a request; unless it is done or failed for good, its changes are queued again.
    pub(super) fn settle(
        &mut self,
        id: RequestId,
        outcome: Outcome,
        why: String,
        now: Time,
        step: &mut Step,
    ) {
        let Some(flight) = self.flights.remove(&id) else {
            return;
        };
        if let Some(remote_id) = flight.remote_id() {
            if self.settled_ids.len() >= REMEMBERED_IDS {
                self.settled_ids.pop_front();
            }
            self.settled_ids.push_back(remote_id.to_owned());
        }
        let pipeline = self.pipelines.get(&flight.pipeline);
        // Whether anything follows on what left the configuration is known when it returns.
        let followed = pipeline.is_none_or(|pipeline| pipeline.settings.follow_up);
        // What was never taken costs no attempt: the circuit, or the pipeline's trouble, does the waiting.
        let (attempt, not_before) = match outcome {
            Outcome::Done | Outcome::Failed => (flight.attempt, Time::ZERO),
            Outcome::Unsent => (flight.attempt, now),
            Outcome::Error | Outcome::Vanished | Outcome::Overdue => {
                let attempt = flight.attempt.saturating_add(1);
                (
                    attempt,
                    now.after(Backoff::API.wait(attempt, &mut self.rng)),
                )
            }
        };
        if attempt > flight.attempt
            && let Some(pipeline) = self.pipelines.get_mut(&flight.pipeline)
        {
            pipeline.fruitless.clone_from(&why);
        }
        step.decisions.push(Decision::Settled {
            request: id,
            outcome,
            why,
            attempt,
            not_before,
            all: matches!(flight.scope, Scope::All { .. }),
            at: now,
        });
        if !matches!(outcome, Outcome::Done | Outcome::Failed) {
            self.queue_again(flight, outcome, (attempt, not_before), now, step);
        }
        if followed && matches!(outcome, Outcome::Done | Outcome::Failed) {
            step.decisions.push(Decision::Follow { request: id });
        }
    }

    fn queue_again(
        &mut self,
        flight: Flight,
        outcome: Outcome,
        (attempt, not_before): (u32, Time),
        now: Time,
        step: &mut Step,
    ) {
        let Some(pipeline) = self.pipelines.get_mut(&flight.pipeline) else {
            return;
        };
        let overdue = flight.overdue || outcome == Outcome::Overdue;
        let taken = flight.remote_id().is_some();
        match flight.scope {
            Scope::Assets(assets) => {
                if let Some(trial) = flight.trial {
                    let assets = assets.keys().cloned().collect();
                    pipeline.parts.again(Part { assets, trial });
                }
                for (asset, seq) in assets {
                    let entry = Entry {
                        seq,
                        first_seen: flight.first_seen,
                        attempt: attempt.max(1),
                        not_before,
                        manual: false,
                        queued: now,
                        rank: Rank::of(&asset, Kind::Changed),
                        overdue,
                        gated: false,
                    };
                    pipeline.queue.add(asset, entry, now);
                }
            }
            Scope::All { reason, .. } => {
                let since = flight.first_seen;
                if !taken {
                    pipeline.cooldown.undo();
                }
                pipeline.add_all(
                    PendingAll {
                        reason,
                        since,
                        attempt: attempt.max(1),
                        not_before,
                        overdue,
                    },
                    now,
                );
                step.decisions.push(Decision::QueueAll {
                    pipeline: flight.pipeline,
                    reason,
                    since,
                });
            }
        }
    }
}
