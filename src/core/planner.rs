//! The planner: decides when a batch closes, whether it escalates, what goes into which purge
//! request, when to ask for its status, and when to try again.
//!
//! A pure state machine: [`Planner::handle`] takes the time and an event and returns a [`Step`]:
//! decisions, to be committed first, and commands, to be carried out then. Replies to commands are
//! events. [`Planner::next_wake`] says when it wants to be called although nothing happened.
//! [`Planner::restore`] starts it from what the store knows; queued changes follow as events, as
//! they do in life.
//!
//! It is late to bind: a request is made of what is ready at the moment when a call may be made,
//! so that a backlog leaves in full requests, and a change that is still queued costs nothing more
//! when it happens again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::backoff::Backoff;
use super::budget::Budget;
use super::change::{Change, Kind, PipelineId, Seq, Source, Target};
use super::purge::{
    AllReason, Decision, Outcome, Refusal, RemoteStatus, RequestId, Scope, Unsettled,
};
use super::queue::{Entry, PendingAll, QUEUE_CAP};
use super::time::Time;

mod circuit;
mod flight;
mod pause;
mod pipeline;
mod view;

use circuit::Circuit;
use flight::{Flight, Stage};
use pipeline::Pipeline;
pub use view::{Alarm, PipelineView, View};

/// The limits of the account, for all pipelines together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls a second.
    pub requests_per_second: u32,
    /// Calls at once, after a rest.
    pub burst: u32,
    /// Purge requests not yet settled.
    pub max_in_flight: usize,
    /// A request that is still pending after this is sent once more.
    pub track_timeout: Duration,
}

/// What is configured of one pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineSettings {
    /// The pipeline.
    pub id: PipelineId,
    /// Assets in one purge request, at most; at least 1.
    pub max_assets: usize,
    /// A batch closes when no change came for so long,
    pub debounce: Duration,
    /// or so long after its first change.
    pub max_wait: Duration,
    /// More ready assets than this become one `all`; `None`: never.
    pub all_above: Option<usize>,
    /// The time between two requests for `all`; doubles while they repeat.
    pub all_cooldown: Duration,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Changes were committed. In order of sequence, none left out.
    Changes(Vec<Change>),
    /// A scan of the pipeline's origins began or ended: a batch stays open meanwhile.
    Scanning {
        /// Whose origins.
        pipeline: PipelineId,
        /// Whether it began.
        running: bool,
    },
    /// The reply to [`Command::Submit`].
    Submitted {
        /// The request.
        request: RequestId,
        /// The API's id for it and its status, or why not.
        reply: Result<(String, RemoteStatus), Refusal>,
    },
    /// The reply to [`Command::Poll`].
    Polled {
        /// The request.
        request: RequestId,
        /// Its status, or why not.
        reply: Result<RemoteStatus, Refusal>,
    },
    /// Time has passed.
    Wake,
}

/// What is to be done, once the decisions beside it are committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Create the purge request at the API.
    Submit {
        /// The request.
        request: RequestId,
        /// Whose cache.
        pipeline: PipelineId,
        /// What it purges.
        scope: Scope,
    },
    /// Ask the API for its status.
    Poll {
        /// The request.
        request: RequestId,
        /// The API's id for it.
        remote_id: String,
    },
}

/// The outcome of one event: what to commit, then what to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// To be committed, in order, before anything is done.
    pub decisions: Vec<Decision>,
    /// To be done when they are.
    pub commands: Vec<Command>,
}

/// The planner. One for all pipelines, since they share the account's limits.
#[derive(Clone, Debug)]
pub struct Planner {
    limits: Limits,
    pipelines: BTreeMap<PipelineId, Pipeline>,
    flights: BTreeMap<RequestId, Flight>,
    last_request: u64,
    /// The last change seen: what an `all` that opens now covers.
    cursor: Seq,
    budget: Budget,
    circuit: Circuit,
    rng: fastrand::Rng,
    /// Whose turn it was last.
    turn: Option<PipelineId>,
    /// Whether the last call was a poll: the two take turns when both are due.
    polled_last: bool,
    stopping: bool,
}

impl Planner {
    /// Starts from what was not settled. `seed` feeds the jitter of backoffs.
    ///
    /// A request whose outcome is unknown, since the process ended while it was being sent, goes
    /// back to the queue: in doubt send again. The step has to be committed like any other.
    #[must_use]
    pub fn restore(
        limits: Limits,
        pipelines: Vec<PipelineSettings>,
        unsettled: Unsettled,
        seed: u64,
        now: Time,
    ) -> (Self, Step) {
        let mut planner = Self {
            limits,
            pipelines: BTreeMap::new(),
            flights: BTreeMap::new(),
            last_request: unsettled.last_request,
            cursor: Seq(0),
            budget: Budget::new(limits.requests_per_second, limits.burst, now),
            circuit: Circuit::default(),
            rng: fastrand::Rng::with_seed(seed),
            turn: None,
            polled_last: false,
            stopping: false,
        };
        for settings in pipelines {
            let last_all = unsettled.last_all.get(&settings.id).map(|at| now.min(*at));
            let id = settings.id.clone();
            planner
                .pipelines
                .insert(id, Pipeline::new(settings, last_all));
        }
        for pause in unsettled.pauses {
            planner.pause(pause.restored(now));
        }
        for queued in unsettled.all {
            if let Some(pipeline) = planner.pipelines.get_mut(&queued.pipeline) {
                pipeline.queue.add_all(
                    PendingAll {
                        reason: queued.reason,
                        since: now.min(queued.since),
                        attempt: 0,
                        not_before: Time::ZERO,
                    },
                    now,
                );
            }
        }
        let mut step = Step::default();
        for request in unsettled.requests {
            let unsent = request.remote_id.is_none();
            // What comes back to the queue has to be covered by the next `all`.
            planner.cursor = planner.cursor.max(request.scope.last());
            let flight = Flight::restored(request, now);
            let id = flight.id;
            planner.flights.insert(id, flight);
            if unsent {
                let why = "the process ended while it was being sent".to_owned();
                planner.settle(id, Outcome::Unsent, why, now, &mut step);
            }
        }
        (planner, step)
    }

    /// Takes an event, and says what to commit and then to do.
    pub fn handle(&mut self, now: Time, event: Event) -> Step {
        let mut step = Step::default();
        match event {
            Event::Changes(changes) => {
                for change in changes {
                    self.change(change, now);
                }
            }
            Event::Scanning { pipeline, running } => {
                if let Some(pipeline) = self.pipelines.get_mut(&pipeline) {
                    pipeline.scanning(running, now);
                }
            }
            Event::Submitted { request, reply } => self.submitted(request, reply, now, &mut step),
            Event::Polled { request, reply } => self.polled(request, reply, now, &mut step),
            Event::Wake => {}
        }
        for pipeline in self.pipelines.values_mut() {
            pipeline.advance(now);
        }
        self.dispatch(now, &mut step);
        step
    }

    /// Makes no further calls; replies to those on their way are still taken.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    fn change(&mut self, change: Change, now: Time) {
        self.cursor = self.cursor.max(change.seq);
        let Some(pipeline) = self.pipelines.get_mut(&change.pipeline) else {
            // Orphaned: its pipeline left the configuration. It stays queued in the store.
            return;
        };
        let not_before = change.not_before.within(now, Backoff::API.cap());
        let since = now.min(change.seen);
        match change.target {
            Target::Asset(asset) => pipeline.queue.add(
                asset,
                Entry {
                    seq: change.seq,
                    first_seen: since,
                    attempt: change.attempt,
                    not_before,
                    manual: change.source == Source::Manual,
                },
                now,
            ),
            Target::All => pipeline.queue.add_all(
                PendingAll {
                    reason: match (change.source, change.kind) {
                        (Source::Manual, _) => AllReason::Manual,
                        (Source::Webhook, _) => AllReason::Webhook,
                        // No file asked for it: what changed is not known.
                        (Source::Scan, Kind::Asked) => AllReason::Loss,
                        (Source::Watch | Source::Scan, _) => AllReason::Rule,
                    },
                    since,
                    attempt: change.attempt,
                    not_before,
                },
                now,
            ),
        }
        if pipeline.queue.len() > QUEUE_CAP {
            let since = pipeline.queue.take_all().unwrap_or(now);
            pipeline.queue.add_all(
                PendingAll {
                    reason: AllReason::QueueCap,
                    since,
                    attempt: 0,
                    not_before: Time::ZERO,
                },
                now,
            );
        }
    }

    fn submitted(
        &mut self,
        id: RequestId,
        reply: Result<(String, RemoteStatus), Refusal>,
        now: Time,
        step: &mut Step,
    ) {
        let Some(flight) = self.flights.get_mut(&id) else {
            return;
        };
        if flight.stage != Stage::Submitting {
            return;
        }
        let pipeline = flight.pipeline.clone();
        self.circuit
            .reply(id, reply.as_ref().err(), now, &mut self.rng);
        match reply {
            Ok((remote_id, status)) => {
                flight.accept(remote_id.clone(), now);
                step.decisions.push(Decision::Accepted {
                    request: id,
                    remote_id,
                    at: now,
                });
                self.trust(&pipeline);
                self.observe(id, status, now, step);
            }
            Err(refusal) => {
                let why = refusal.to_string();
                match &refusal {
                    Refusal::Invalid(_) => {
                        self.trust(&pipeline);
                        self.settle(id, Outcome::Failed, why, now, step);
                    }
                    Refusal::Forbidden(_) => {
                        if let Some(pipeline) = self.pipelines.get_mut(&pipeline) {
                            pipeline.forbid(why.clone(), now, &mut self.rng);
                        }
                        self.settle(id, Outcome::Unsent, why, now, step);
                    }
                    // A 404 on create is classed as forbidden; here it can't come, and is no reason to give up.
                    Refusal::NotFound(_)
                    | Refusal::RateLimited { .. }
                    | Refusal::Transient(_)
                    | Refusal::UnknownOutcome(_)
                    | Refusal::Unauthorized(_) => {
                        if let Some(pipeline) = self.pipelines.get_mut(&pipeline) {
                            pipeline.probe_again(now);
                        }
                        self.settle(id, Outcome::Unsent, why, now, step);
                    }
                }
            }
        }
    }

    fn polled(
        &mut self,
        id: RequestId,
        reply: Result<RemoteStatus, Refusal>,
        now: Time,
        step: &mut Step,
    ) {
        let Some(flight) = self.flights.get_mut(&id) else {
            return;
        };
        if !flight.poll_returned(now) {
            return;
        }
        flight.trouble = reply.as_ref().err().map(ToString::to_string);
        self.circuit
            .reply(id, reply.as_ref().err(), now, &mut self.rng);
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
                | Refusal::Unauthorized(_),
            ) => {}
        }
    }

    fn observe(&mut self, id: RequestId, status: RemoteStatus, now: Time, step: &mut Step) {
        match status {
            RemoteStatus::Done => self.settle(id, Outcome::Done, String::new(), now, step),
            RemoteStatus::Error => {
                let why = "the API says error, and not why".to_owned();
                self.settle(id, Outcome::Error, why, now, step);
            }
            // A word that is not known is never done: it is asked for again, like pending.
            RemoteStatus::Pending | RemoteStatus::Unknown => {
                let limit = self.limits.track_timeout;
                let overdue = self
                    .flights
                    .get(&id)
                    .is_some_and(|flight| now.since(flight.opened) >= limit);
                if overdue {
                    let why = format!("still pending after {} s", limit.as_secs());
                    self.settle(id, Outcome::Overdue, why, now, step);
                }
            }
        }
    }

    /// The API has judged a purge of this pipeline: it is not forbidden.
    fn trust(&mut self, pipeline: &PipelineId) {
        if let Some(pipeline) = self.pipelines.get_mut(pipeline) {
            pipeline.trouble = None;
        }
    }

    /// Ends a request; unless it is done or failed for good, its changes are queued again.
    fn settle(&mut self, id: RequestId, outcome: Outcome, why: String, now: Time, step: &mut Step) {
        let Some(flight) = self.flights.remove(&id) else {
            return;
        };
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
        let again = !matches!(outcome, Outcome::Done | Outcome::Failed);
        step.decisions.push(Decision::Settled {
            request: id,
            outcome,
            why,
            attempt,
            not_before,
            at: now,
        });
        let Some(pipeline) = self.pipelines.get_mut(&flight.pipeline) else {
            return;
        };
        match flight.scope {
            Scope::Assets(assets) if again => {
                for (asset, seq) in assets {
                    let entry = Entry {
                        seq,
                        first_seen: flight.first_seen,
                        attempt: attempt.max(1),
                        not_before,
                        manual: false,
                    };
                    pipeline.queue.add(asset, entry, now);
                }
            }
            Scope::All { reason, .. } if again => {
                let since = flight.first_seen;
                if outcome == Outcome::Unsent {
                    pipeline.forget_all();
                }
                pipeline.queue.add_all(
                    PendingAll {
                        reason,
                        since,
                        attempt: attempt.max(1),
                        not_before,
                    },
                    now,
                );
                step.decisions.push(Decision::QueueAll {
                    pipeline: flight.pipeline,
                    reason,
                    since,
                });
            }
            Scope::Assets(_) | Scope::All { .. } => {}
        }
    }

    /// Makes every call that may be made now.
    fn dispatch(&mut self, now: Time, step: &mut Step) {
        while let Some(call) = self.next_call(now) {
            if self.stopping || !self.circuit.admits(now) || !self.budget.take(now) {
                return;
            }
            self.polled_last = matches!(call, Call::Poll(_));
            let id = match call {
                Call::Poll(id) => self.poll(id, step),
                Call::Submit(pipeline) => self.submit(&pipeline, now, step),
            };
            if let Some(id) = id {
                self.circuit.called(id, now);
            }
        }
    }

    fn next_call(&self, now: Time) -> Option<Call> {
        let poll = self
            .flights
            .values()
            .filter_map(|flight| flight.poll_at().map(|at| (at, flight.id)))
            .min()
            .filter(|(at, _)| *at <= now)
            .map(|(_, id)| Call::Poll(id));
        let submit = self.next_pipeline(now).map(Call::Submit);
        if self.polled_last {
            submit.or(poll)
        } else {
            poll.or(submit)
        }
    }

    /// The pipeline whose turn it is to submit: manual first, then round robin.
    fn next_pipeline(&self, now: Time) -> Option<PipelineId> {
        if self.flights.len() >= self.limits.max_in_flight {
            return None;
        }
        let able = || {
            self.pipelines
                .iter()
                .filter(|(_, pipeline)| pipeline.sendable(now))
        };
        let manual = able().find(|(_, pipeline)| pipeline.queue.manual_ready());
        let after = || able().find(|(id, _)| self.turn.as_ref().is_none_or(|turn| *id > turn));
        let next = manual.or_else(after).or_else(|| able().next());
        next.map(|(id, _)| id.clone())
    }

    fn poll(&mut self, id: RequestId, step: &mut Step) -> Option<RequestId> {
        let remote_id = self.flights.get_mut(&id)?.poll()?;
        step.commands.push(Command::Poll {
            request: id,
            remote_id,
        });
        Some(id)
    }

    fn submit(&mut self, id: &PipelineId, now: Time, step: &mut Step) -> Option<RequestId> {
        let cursor = self.cursor;
        let (scope, first_seen, attempt) = self.pipelines.get_mut(id)?.take(now, cursor)?;
        self.turn = Some(id.clone());
        self.last_request += 1;
        let request = RequestId(self.last_request);
        self.flights.insert(
            request,
            Flight::submitting(
                request,
                id.clone(),
                scope.clone(),
                (first_seen, now),
                attempt,
            ),
        );
        step.decisions.push(Decision::Open {
            request,
            pipeline: id.clone(),
            scope: scope.clone(),
            first_seen,
            at: now,
        });
        step.commands.push(Command::Submit {
            request,
            pipeline: id.clone(),
            scope,
        });
        Some(request)
    }

    /// When [`Event::Wake`] is due, if nothing happens before. `None`: nothing is pending that
    /// time alone can move, and the engine may sleep for ever.
    #[must_use]
    pub fn next_wake(&self, now: Time) -> Option<Time> {
        let polls = self.flights.values().filter_map(Flight::poll_at);
        let full = self.flights.len() >= self.limits.max_in_flight;
        let submits = self
            .pipelines
            .values()
            .filter(|_| !full)
            .filter_map(|pipeline| pipeline.send_at(now));
        // A call is made when it is due and there is a token and the circuit lets it pass.
        let gate = self
            .circuit
            .reopens()
            .map(|at| at.max(self.budget.next(now)));
        let calls = gate.and_then(|gate| polls.chain(submits).min().map(|due| due.max(gate)));
        let batches = self.pipelines.values().filter_map(Pipeline::moves_at);
        batches.chain(calls).min()
    }
}

/// A call that may be made.
#[derive(Clone, Debug)]
enum Call {
    Poll(RequestId),
    Submit(PipelineId),
}

#[cfg(test)]
mod tests;
