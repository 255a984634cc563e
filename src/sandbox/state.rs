//! Everything that the API and the edges share, behind one lock, so that a request is `done` at
//! the very moment at which the edge forgets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::Uri;
use axum::response::Response;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use secrecy::SecretString;
use serde_json::Value;
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;

use super::bucket::Bucket;
use super::cache::Cache;
use super::event::{ApiCall, CallLog, Event};
use super::fault::{Faults, Operation};
use super::ledger::{Fate, Ledger, PurgeStatus, PurgeTarget};
use super::listener::Cut;
use super::origin::WebServer;
use super::{RateLimit, ServedBucket};
use crate::clock::Clock;
use crate::core::change::PipelineId;

/// The sandbox, as its tasks hold it.
pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) stopping: CancellationToken,
    /// Rung when a request is made: it may be the next that settles.
    made: Notify,
    state: Mutex<State>,
}

/// What changes.
pub(super) struct State {
    pub(super) secret_key: SecretString,
    pub(super) revoked: bool,
    pub(super) limiter: Option<DefaultDirectRateLimiter>,
    pub(super) faults: Faults,
    pub(super) ledger: Ledger,
    pub(super) calls: CallLog,
    pub(super) purge_delay: Duration,
    pub(super) max_assets: usize,
    pub(super) pipelines: BTreeMap<PipelineId, Pipeline>,
    pub(super) buckets: BTreeMap<String, Bucket>,
}

/// A pipeline and its edge.
pub(super) struct Pipeline {
    pub(super) name: String,
    pub(super) project_id: String,
    pub(super) organization_id: String,
    /// What it serves, where that is a bucket and not the servers.
    pub(super) bucket: Option<ServedBucket>,
    /// What the API says of its backends, where a test wants it to say something of its own.
    pub(super) backends: Option<Value>,
    pub(super) servers: Servers,
    pub(super) cache: Cache,
}

/// The web servers behind an edge, and which is asked next.
#[derive(Default)]
pub(super) struct Servers {
    all: Vec<Arc<WebServer>>,
    next: usize,
}

impl Servers {
    pub(super) fn new(servers: Vec<WebServer>) -> Self {
        let all = servers.into_iter().map(Arc::new).collect();
        Self { all, next: 0 }
    }

    /// The one whose turn it is.
    pub(super) fn take_turn(&mut self) -> Option<Arc<WebServer>> {
        let server = self.all.get(self.next % self.all.len().max(1))?;
        self.next = (self.next + 1) % self.all.len();
        Some(Arc::clone(server))
    }
}

impl Shared {
    pub(super) fn new(
        clock: Clock,
        events: broadcast::Sender<Event>,
        stopping: CancellationToken,
        state: State,
    ) -> Arc<Self> {
        Arc::new(Self {
            clock,
            events,
            stopping,
            made: Notify::new(),
            state: Mutex::new(state),
        })
    }

    /// Reads or changes the state. What is due is settled first.
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.settle(&mut state);
        look(&mut state)
    }

    /// Notes a call, and returns its number for [`Shared::answer`].
    pub(super) fn note(&self, operation: Option<Operation>, of: &Uri) -> usize {
        let path = of.path_and_query();
        self.with(|state| {
            state.calls.came(ApiCall {
                at: self.clock.now(),
                operation,
                path: path.map(ToString::to_string).unwrap_or_default(),
                status: None,
            })
        })
    }

    /// Ends a call: by its answer, or by cutting its connection where there is none.
    pub(super) fn answer(&self, number: usize, answer: Option<Response>, cut: &Cut) -> Response {
        let Some(answer) = answer else {
            cut.cut();
            return Response::default();
        };
        let status = answer.status().as_u16();
        self.with(|state| state.calls.answered(number, status));
        answer
    }

    /// Makes a purge request.
    pub(super) fn create(
        &self,
        state: &mut State,
        pipeline: &PipelineId,
        target: &PurgeTarget,
        fate: Fate,
    ) -> String {
        let id = state.ledger.create(
            pipeline.clone(),
            target.clone(),
            fate,
            state.purge_delay,
            self.clock.now(),
        );
        self.tell(Event::RequestCreated {
            id: id.clone(),
            pipeline: pipeline.clone(),
            target: target.clone(),
        });
        // Without a delay it is done before the answer to its creation is made.
        self.settle(state);
        self.made.notify_one();
        id
    }

    /// A subscriber is not needed.
    pub(super) fn tell(&self, event: Event) {
        drop(self.events.send(event));
    }

    fn settle(&self, state: &mut State) {
        for record in state.ledger.settle(self.clock.now()) {
            if let (PurgeStatus::Done, true, Some(pipeline)) = (
                record.status,
                record.forgets,
                state.pipelines.get_mut(&record.pipeline),
            ) {
                match &record.target {
                    PurgeTarget::Assets(assets) => pipeline.cache.purge(assets),
                    PurgeTarget::All => pipeline.cache.purge_all(),
                }
            }
            self.tell(Event::RequestDone {
                id: record.id,
                pipeline: record.pipeline,
                status: record.status,
            });
        }
    }

    /// Settles requests when they are due, also while no call comes; until the process stops.
    pub(super) async fn settle_in_time(self: Arc<Self>) {
        loop {
            let due = self.with(|state| state.ledger.next_due());
            let wait = async {
                match due {
                    Some(due) => tokio::time::sleep_until(self.clock.instant(due)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wait => {}
                () = self.made.notified() => {}
                () = self.stopping.cancelled() => return,
            }
        }
    }
}

/// The limiter of the API's gateway.
pub(super) fn limiter(limit: RateLimit) -> DefaultDirectRateLimiter {
    RateLimiter::direct(Quota::per_second(limit.per_second).allow_burst(limit.burst))
}
