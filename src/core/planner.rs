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

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::agreement::Compared;
use super::api_time::ApiTime;
use super::backoff::Backoff;
use super::budget::Budget;
use super::capacity::Queued;
use super::change::{Change, Kind, PipelineId, Seq, Source, Target};
use super::purge::{
    AllBy, AllReason, Decision, Learned, Limit, ListedPage, Outcome, Refusal, RemoteStatus,
    RequestId, Scope, Unsettled,
};
use super::queue::{Entry, PendingAll, Rank};
use super::time::Time;

mod circuit;
mod cooldown;
mod dispatch;
mod doubt;
mod drain_rate;
mod flight;
mod listing;
mod outcome;
mod parts;
mod pause;
mod pipeline;
mod purge_damper;
mod size;
mod view;
mod waits;
mod wire;

use circuit::{Asked, Circuit};
use flight::{Flight, Usual};
use listing::Lists;
use pipeline::Pipeline;
pub use view::{HotAsset, Oldest, PipelineView, Stands, View};
pub use waits::{Reason, Wait};
pub use wire::MOST_CALLS;
use wire::Wire;

/// The limits of the account, for all pipelines together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls a second.
    pub requests_per_second: u32,
    /// Calls at once, after a rest.
    pub burst: u32,
    /// Purge requests not yet settled.
    pub max_in_flight: usize,
    /// Calls on the wire at once, at most; fewer while the API answers slowly.
    pub max_calls: usize,
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
    /// So does a backlog that would need longer than this to drain; `None`: never.
    pub all_after: Option<Duration>,
    /// The time between two requests for `all`; doubles while they repeat.
    pub all_cooldown: Duration,
    /// An asset that changes all the time is purged at most this often; `None`: however often it
    /// changes.
    pub hot_interval: Option<Duration>,
    /// Whether something follows on its requests that are done: a look at the edge, another purge.
    pub follow_up: bool,
    /// How long a batch waits until every live node of the fleet has the files that changed; `None`: there is
    /// no fleet, or no batch waits.
    pub fleet_wait: Option<Duration>,
    /// How many assets are queued at most; past it one `all` takes their place. Where `all_above` is
    /// never, nothing more is to be queued until there is room ([`super::capacity`]).
    pub queue_cap: usize,
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
    /// How far the nodes of the fleet agree that live, by name, and have the pipeline's origins in view: all
    /// others are not waited for. The changes that were committed before have to be handed over first.
    Agreement {
        /// Whose files.
        pipeline: PipelineId,
        /// The nodes.
        nodes: BTreeMap<Arc<str>, Compared>,
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
    /// The reply to [`Command::List`].
    Listed {
        /// Which list.
        list: u64,
        /// The page, or why not.
        reply: Result<ListedPage, Refusal>,
    },
    /// What the API's clock showed in a reply. Comes before the reply itself.
    ApiTime {
        /// When the call was sent, by our clock.
        sent: Time,
        /// What the API's clock showed,
        shown: Time,
        /// cut down to whole ones of these.
        grain: Duration,
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
    /// Ask the API for a page of its list, newest first, [`PAGE`](super::purge::PAGE) requests.
    List {
        /// Which list.
        list: u64,
        /// Only of this pipeline; `None`: of all.
        pipeline: Option<PipelineId>,
        /// The page, from 1.
        page: u32,
    },
}

/// The outcome of one event: what to commit, then what to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// To be committed, in order, before anything is done.
    pub decisions: Vec<Decision>,
    /// To be done when they are.
    pub commands: Vec<Command>,
    /// How long batches waited for the nodes of the fleet that closed now.
    pub agreed: Vec<(PipelineId, Duration)>,
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
    wire: Wire,
    rng: fastrand::Rng,
    api_time: ApiTime,
    usual: Usual,
    lists: Lists,
    /// The API's ids of requests that settled, the newest last: none is one that is looked for.
    settled_ids: VecDeque<String>,
    /// Whose turn it was last.
    turn: Option<PipelineId>,
    /// Whose turn it was last among those that a person asked for.
    asked: Option<PipelineId>,
    /// Requests submitted since the last question for the status of others, which gets its turn when both
    /// are due,
    unasked: u32,
    /// and when that was asked.
    asked_at: Time,
    /// When the last event was handled.
    handled: Time,
    stopping: bool,
}

impl Planner {
    /// Starts from what was not settled. `seed` feeds the jitter of backoffs.
    ///
    /// A request whose outcome is unknown, since the process ended while it was being sent, is looked
    /// for in the API's list; where it could not be recognised, it goes back to the queue: in
    /// doubt send again. The step has to be committed like any other.
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
            wire: Wire::new(limits.max_calls, now),
            rng: fastrand::Rng::with_seed(seed),
            api_time: ApiTime::default(),
            usual: Usual::default(),
            lists: Lists::default(),
            settled_ids: unsettled.settled_remote_ids.into(),
            turn: None,
            asked: None,
            unasked: 0,
            asked_at: now,
            handled: now,
            stopping: false,
        };
        for settings in pipelines {
            let last_all = unsettled.last_all.get(&settings.id).map(|at| now.min(*at));
            let id = settings.id.clone();
            planner
                .pipelines
                .insert(id, Pipeline::new(settings, last_all, now));
        }
        for learned in unsettled.learned {
            planner.remember(learned, now);
        }
        for pause in unsettled.pauses {
            planner.pause(pause.restored(now));
        }
        for queued in unsettled.all {
            if let Some(pipeline) = planner.pipelines.get_mut(&queued.pipeline) {
                pipeline.add_all(
                    PendingAll {
                        reason: queued.reason,
                        since: now.min(queued.since),
                        attempt: 0,
                        not_before: Time::ZERO,
                        overdue: false,
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
            let mut flight = Flight::restored(request, now);
            let id = flight.id;
            let why = "the process ended while it was being sent";
            let lost = unsent && !flight.doubt(why);
            // It may have emptied the cache: the next `all` waits until it is known.
            if let Scope::All { reason, .. } = flight.scope
                && unsent
                && let Some(pipeline) = planner.pipelines.get_mut(&flight.pipeline)
            {
                pipeline.cooldown.sent(reason, flight.opened);
            }
            planner.flights.insert(id, flight);
            if lost {
                planner.settle(id, Outcome::Unsent, why.to_owned(), now, &mut step);
            }
        }
        (planner, step)
    }

    /// Takes an event, and says what to commit and then to do.
    pub fn handle(&mut self, now: Time, event: Event) -> Step {
        let mut step = Step::default();
        self.time_passed(now);
        match event {
            Event::Changes(changes) => {
                for change in changes {
                    self.change(change, now);
                }
            }
            Event::Scanning { pipeline, running } => {
                if let Some(pipeline) = self.pipelines.get_mut(&pipeline) {
                    pipeline.scanning(running);
                }
            }
            Event::Agreement { pipeline, nodes } => {
                if let Some(pipeline) = self.pipelines.get_mut(&pipeline) {
                    pipeline.agreement = Some(nodes);
                }
            }
            Event::Submitted { request, reply } => {
                let call = Asked::Create(request);
                self.wire.answered(call, reply.as_ref().err(), now);
                self.submitted(request, reply, now, &mut step);
            }
            Event::Polled { request, reply } => {
                let call = Asked::Get(request);
                self.wire.answered(call, reply.as_ref().err(), now);
                self.polled(request, reply, now, &mut step);
            }
            Event::Listed { list, reply } => {
                let call = Asked::List(list);
                self.wire.answered(call, reply.as_ref().err(), now);
                self.listed(list, reply, now, &mut step);
            }
            Event::ApiTime { sent, shown, grain } => {
                self.api_time.observed(sent.min(now), now, shown, grain);
            }
            Event::Wake => {}
        }
        for (id, pipeline) in &mut self.pipelines {
            let waited = pipeline.advance(now);
            step.agreed
                .extend(waited.map(|waited| (id.clone(), waited)));
        }
        self.dispatch(now, &mut step);
        step
    }

    /// The pipelines that have something to send now, whosever turn it is, and whether a person
    /// waits for it.
    #[must_use]
    pub fn waiting(&self, now: Time) -> BTreeMap<PipelineId, bool> {
        self.pipelines
            .iter()
            .filter(|(_, pipeline)| pipeline.sendable(now))
            .map(|(id, pipeline)| (id.clone(), pipeline.queue.manual_ready()))
            .collect()
    }

    /// The pipelines whose batch closes now, and what belongs to it: what happened before this time.
    #[must_use]
    pub fn closing(&self, now: Time) -> Vec<(PipelineId, Time)> {
        self.pipelines
            .iter()
            .filter_map(|(id, pipeline)| Some((id.clone(), pipeline.closing(now)?)))
            .collect()
    }

    /// Something that belongs to the open batch is still looked at: it stays open until then, but not
    /// longer than `max_wait`.
    pub fn hold(&mut self, pipeline: &PipelineId, until: Time) {
        if let Some(pipeline) = self.pipelines.get_mut(pipeline) {
            pipeline.hold(until);
        }
    }

    /// How many assets are queued of each pipeline that takes no more than it has room for, and the
    /// last change that is counted.
    #[must_use]
    pub fn queued(&self) -> Queued {
        Queued {
            through: self.cursor,
            assets: self
                .pipelines
                .iter()
                .filter(|(_, pipeline)| pipeline.settings.all_above.is_none())
                .map(|(id, pipeline)| (id.clone(), pipeline.queue.len()))
                .collect(),
        }
    }

    /// Makes no further calls; replies to those on their way are still taken.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Takes up what an earlier process learned. What is configured stays the limit.
    fn remember(&mut self, learned: Learned, now: Time) {
        match learned.limit {
            Limit::Rate => self.budget.remember(learned.value, learned.at, now),
            Limit::MaxAssets(pipeline) => {
                if let Some(pipeline) = self.pipelines.get_mut(&pipeline) {
                    let most = usize::try_from(learned.value).unwrap_or(usize::MAX);
                    pipeline.size.learn(most, learned.at.min(now));
                }
            }
        }
    }

    /// The time since the last event counts for the pace of those that had a backlog in it, and were
    /// free to send it.
    fn time_passed(&mut self, now: Time) {
        let (began, lasted) = (self.handled, now.since(self.handled));
        self.handled = self.handled.max(now);
        if self.circuit.is_closed() && !lasted.is_zero() {
            for pipeline in self.pipelines.values_mut() {
                let held = pipeline.pauses.iter().any(|pause| pause.holds(began));
                if pipeline.queue.ready() > 0 && pipeline.trouble.is_none() && !held {
                    pipeline.drain_rate.busy(lasted, now);
                }
            }
        }
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
            Target::Asset(asset) => {
                let entry = Entry {
                    seq: change.seq,
                    first_seen: since,
                    attempt: change.attempt,
                    not_before,
                    manual: change.source == Source::Manual && !change.again,
                    queued: now,
                    rank: Rank::of(&asset, change.kind),
                    overdue: change.overdue,
                    gated: pipeline.settings.fleet_wait.is_some()
                        && matches!(change.source, Source::Watch | Source::Scan)
                        && !change.again,
                };
                pipeline.add(asset, entry, now);
            }
            Target::All => {
                let reason = match (change.source, change.kind) {
                    _ if change.again => AllReason::Again,
                    (Source::Manual, _) => AllReason::Manual,
                    (Source::Webhook, _) => AllReason::Webhook,
                    // No file asked for it: what changed is not known.
                    (Source::Scan, Kind::Asked) => AllReason::Loss,
                    (Source::Watch | Source::Scan, _) => AllReason::Rule,
                };
                if reason.by() != AllBy::Edgepurge {
                    pipeline.cooldown.asked(change.detail, now);
                }
                let all = PendingAll {
                    reason,
                    since,
                    attempt: change.attempt,
                    not_before,
                    overdue: change.overdue,
                };
                pipeline.add_all(all, now);
            }
        }
        if pipeline.settings.all_above.is_some()
            && pipeline.queue.len() > pipeline.settings.queue_cap
        {
            // Who asked for everything already waits for that.
            let asked = pipeline.queue.all().copied();
            let since = pipeline.queue.take_all().unwrap_or(now);
            let full = PendingAll {
                reason: AllReason::QueueCap,
                since,
                attempt: 0,
                not_before: Time::ZERO,
                overdue: false,
            };
            pipeline.add_all(
                PendingAll {
                    since,
                    ..asked.unwrap_or(full)
                },
                now,
            );
        }
    }
}

#[cfg(test)]
mod tests;
