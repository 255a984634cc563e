//! Why what is queued of a pipeline is not sent yet, and until when.

use serde::{Deserialize, Serialize};

use super::{Pipeline, Planner};
use crate::core::change::PipelineId;
use crate::core::purge::Refusal;
use crate::core::time::Time;

/// Why something that is queued is not sent yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reason {
    /// The batch is open: more changes may come (`debounce`, `max_wait`).
    Debounce,
    /// The batch is open while the pipeline's origins are scanned.
    Scan,
    /// The batch is open until the nodes of the fleet have its files (`fleet_wait`).
    Nodes,
    /// The API does not accept the key.
    Auth,
    /// The API refused the last call, or the last purge of this pipeline; it is tried again.
    Backoff,
    /// The time between two purges of everything (`all_cooldown`).
    Cooldown,
    /// The API takes so many calls a second (`requests_per_second`, or what is learned).
    Rate,
    /// As many requests are in flight as may be (`max_in_flight`), or calls on the wire.
    Room,
    /// Assets that change all the time (`hot_interval`).
    Hot,
}

/// A reason, and until when it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The reason.
    pub reason: Reason,
    /// `None`: until a reply, or a person.
    pub until: Option<Time>,
}

impl Planner {
    /// Why what is queued of a pipeline is not sent now. Pauses are not among it.
    pub(super) fn waits(&self, id: &PipelineId, pipeline: &Pipeline, now: Time) -> Vec<Wait> {
        let mut waits = pipeline.waits(now);
        let gated = pipeline.sendable(now).then(|| self.gate(id, now)).flatten();
        waits.extend(gated);
        waits
    }

    /// What all pipelines share holds back a request that could be sent.
    fn gate(&self, id: &PipelineId, now: Time) -> Option<Wait> {
        let wait = |reason, until| Some(Wait { reason, until });
        if !self.circuit.admits(now) {
            let refusal = self.circuit.trouble().map(|trouble| &trouble.refusal);
            let reason = match refusal {
                Some(Refusal::Unauthorized(_)) => Reason::Auth,
                Some(Refusal::RateLimited { .. }) => Reason::Rate,
                _ => Reason::Backoff,
            };
            return wait(reason, self.circuit.reopens().filter(|at| *at > now));
        }
        if !self.wire.has_room() || self.next_pipeline(now).as_ref() != Some(id) {
            let full = self.flights.len() >= self.limits.max_in_flight || !self.wire.has_room();
            // Where there is room, it is another pipeline's turn, which takes from the same rate.
            return wait(if full { Reason::Room } else { Reason::Rate }, None);
        }
        let next = self.budget.next(now);
        wait(Reason::Rate, (next > now).then_some(next))
    }
}

impl Pipeline {
    /// What of the pipeline itself holds back what is queued.
    fn waits(&self, now: Time) -> Vec<Wait> {
        let mut waits = Vec::new();
        let mut add = |reason, until: Option<Time>| {
            if until.is_none_or(|until| until > now) {
                waits.push(Wait { reason, until });
            }
        };
        if let Some(closes) = self.closes() {
            if self.scans > 0 {
                add(Reason::Scan, None);
            } else {
                add(Reason::Debounce, Some(closes));
            }
        } else {
            let ends = self.gate_ends().filter(|_| !self.agrees());
            if ends.is_some() {
                add(Reason::Nodes, ends);
            }
        }
        if let Some(trouble) = &self.trouble {
            add(Reason::Backoff, Some(trouble.retry_at));
        }
        if let Some(all) = self.queue.all() {
            add(Reason::Cooldown, Some(self.cooldown.ends(all.reason)));
            add(Reason::Backoff, Some(all.not_before));
        }
        let delayed = self.queue.delayed_until();
        for (until, reason) in delayed.into_iter().zip([Reason::Hot, Reason::Backoff]) {
            if until.is_some() {
                add(reason, until);
            }
        }
        waits
    }
}
