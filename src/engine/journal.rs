//! What the engine reports of its steps: the log, the metrics, and notices for subscribers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;

use crate::core::asset::Asset;
use crate::core::change::{Change, PipelineId};
use crate::core::pause::Pause;
use crate::core::purge::{Decision, Learned, Limit, Outcome, Refusal, RequestId, Scope, Unsettled};
use crate::core::time::Time;
use crate::metrics::Metrics;
use crate::store::StoreError;

/// Something that happened, for those who watch.
#[derive(Clone, Debug)]
pub enum Notice {
    /// Changes were committed.
    Changed(Arc<[Change]>),
    /// A purge request was made and is being sent.
    Opened(Arc<RequestNotice>),
    /// The API took it.
    Accepted(Arc<RequestNotice>),
    /// It is over.
    Settled(Arc<RequestNotice>),
}

/// A purge request in a notice.
#[derive(Clone, Debug)]
pub struct RequestNotice {
    /// The local number.
    pub id: RequestId,
    /// Whose cache.
    pub pipeline: PipelineId,
    /// What it purges.
    pub scope: Scope,
    /// The API's id for it, once it took it.
    pub remote_id: Option<String>,
    /// When the first of its changes was noticed.
    pub first_seen: Time,
    /// When it was sent.
    pub opened: Time,
    /// How and when it ended, and why.
    pub end: Option<(Outcome, Time, String)>,
}

/// Keeps the log, the metrics and the notices.
#[derive(Debug)]
pub(super) struct Journal {
    names: BTreeMap<PipelineId, Arc<str>>,
    /// Whose purges are fresh only when they are verified.
    verified: BTreeSet<PipelineId>,
    /// Requests in flight.
    requests: BTreeMap<RequestId, RequestNotice>,
    metrics: Arc<Metrics>,
    notices: broadcast::Sender<Notice>,
    /// The class of the refusal that was logged, of each pipeline, or of all (`None`): a line when it
    /// begins, not for every call.
    trouble: BTreeMap<Option<PipelineId>, &'static str>,
    /// Why the store can't be used at the moment: a line when it changes.
    stuck: Option<String>,
}

impl Journal {
    pub(super) fn new(
        (names, verified): (BTreeMap<PipelineId, Arc<str>>, BTreeSet<PipelineId>),
        unsettled: &Unsettled,
        metrics: Arc<Metrics>,
        notices: broadcast::Sender<Notice>,
    ) -> Self {
        let requests = unsettled
            .requests
            .iter()
            .map(|request| {
                let notice = RequestNotice {
                    id: request.id,
                    pipeline: request.pipeline.clone(),
                    scope: request.scope.clone(),
                    remote_id: request.remote_id.clone(),
                    first_seen: request.first_seen,
                    opened: request.opened,
                    end: None,
                };
                (request.id, notice)
            })
            .collect();
        Self {
            names,
            verified,
            requests,
            metrics,
            notices,
            trouble: BTreeMap::new(),
            stuck: None,
        }
    }

    /// The store can't be used; it is tried again until it can.
    pub(super) fn stuck(&mut self, what: &str, error: &StoreError) {
        let why = format!("{what}: {error}; tried again until it works");
        if self.stuck.as_ref() != Some(&why) {
            tracing::error!("{why}");
            self.stuck = Some(why);
        }
    }

    /// It can be used.
    pub(super) fn unstuck(&mut self) {
        if self.stuck.take().is_some() {
            tracing::info!("the store takes what it is given again");
        }
    }

    fn name<'a>(&'a self, pipeline: &'a PipelineId) -> &'a str {
        self.names
            .get(pipeline)
            .map_or(pipeline.as_str(), |name| name)
    }

    /// A pause has begun.
    pub(super) fn paused(&self, pause: &Pause) {
        tracing::info!(pipeline = self.name(&pause.pipeline), "{pause}");
    }

    /// A pause has ended; these go on.
    pub(super) fn resumed(&self, pipeline: &PipelineId, ended: &Pause, left: &[Pause]) {
        let (pipeline, what) = (self.name(pipeline), ended.what());
        if left.is_empty() {
            tracing::info!(pipeline, "resumed: no longer {what}");
        } else {
            let left: Vec<String> = left.iter().map(Pause::to_string).collect();
            let left = left.join(", ");
            tracing::info!(pipeline, "no longer {what}; still {left}");
        }
    }

    fn tell(&self, notice: Notice) {
        // Usually there is no subscriber.
        drop(self.notices.send(notice));
    }

    pub(super) fn changed(&self, changes: &[Change]) {
        for change in changes {
            let name = self.name(&change.pipeline);
            tracing::debug!(
                pipeline = name,
                seq = change.seq.0,
                source = change.source.as_str(),
                kind = change.kind.as_str(),
                target = ?change.target,
                "change"
            );
        }
        self.tell(Notice::Changed(changes.into()));
    }

    /// Batches closed that had waited so long for the nodes of the fleet.
    pub(super) fn agreed(&self, waited: &[(PipelineId, Duration)]) {
        for (pipeline, waited) in waited {
            self.metrics.agreed(self.name(pipeline), *waited);
        }
    }

    pub(super) fn answered(&mut self, request: Option<RequestId>, refusal: Option<&Refusal>) {
        if matches!(refusal, Some(Refusal::RateLimited { .. })) {
            self.metrics.rate_limited.inc();
        }
        let Some(refusal) = refusal else {
            return self.recovered(None);
        };
        let notice = request.and_then(|request| self.requests.get(&request));
        let whose = notice.map(|notice| notice.pipeline.clone());
        let whose = whose.filter(|_| !refusal.concerns_all());
        let (request, class) = (request.map(|request| request.0), refusal.class());
        if self.trouble.insert(whose, class) == Some(class) {
            tracing::debug!(request, class, "the API refused a call again: {refusal}");
        } else {
            tracing::warn!(request, class, "the API refused a call: {refusal}");
        }
    }

    fn recovered(&mut self, whose: Option<&PipelineId>) {
        if self.trouble.remove(&whose.cloned()).is_some() {
            let pipeline = whose.map(|id| self.name(id));
            tracing::info!(pipeline, "the API takes calls again");
        }
    }

    pub(super) fn decided(&mut self, decisions: &[Decision]) {
        for decision in decisions {
            match decision {
                Decision::Open {
                    request,
                    pipeline,
                    scope,
                    first_seen,
                    at,
                    ..
                } => self.opened(RequestNotice {
                    id: *request,
                    pipeline: pipeline.clone(),
                    scope: scope.clone(),
                    remote_id: None,
                    first_seen: *first_seen,
                    opened: *at,
                    end: None,
                }),
                Decision::Accepted {
                    request, remote_id, ..
                } => {
                    if let Some(notice) = self.requests.get_mut(request) {
                        notice.remote_id = Some(remote_id.clone());
                        let notice = Arc::new(notice.clone());
                        self.recovered(Some(&notice.pipeline));
                        tracing::debug!(request = request.0, remote_id, "accepted");
                        self.tell(Notice::Accepted(notice));
                    }
                }
                Decision::Settled {
                    request,
                    outcome,
                    why,
                    at,
                    ..
                } => self.settled(*request, *outcome, why, *at),
                Decision::QueueAll { .. } | Decision::Follow { .. } => {}
                Decision::Learn(learned) => self.learned(learned),
            }
        }
    }

    fn learned(&self, learned: &Learned) {
        match &learned.limit {
            Limit::Rate => tracing::warn!(
                calls_in_1000_s = learned.value,
                "the API wants fewer calls: the rate is lowered, and grows again slowly"
            ),
            Limit::MaxAssets(pipeline) => tracing::warn!(
                pipeline = self.name(pipeline),
                max_assets = learned.value,
                "how many assets the API takes in a request was learned"
            ),
        }
    }

    fn opened(&mut self, notice: RequestNotice) {
        let name = self.name(&notice.pipeline);
        self.metrics
            .opened(name, notice.opened.since(notice.first_seen));
        match &notice.scope {
            Scope::Assets(assets) => tracing::info!(
                pipeline = name,
                request = notice.id.0,
                assets = assets.len(),
                first = assets.keys().next().map(Asset::as_str),
                "purging"
            ),
            Scope::All { reason, .. } => {
                self.metrics.escalated(name, *reason);
                tracing::warn!(
                    pipeline = name,
                    request = notice.id.0,
                    reason = reason.as_str(),
                    "purging the whole cache"
                );
            }
        }
        self.tell(Notice::Opened(Arc::new(notice.clone())));
        self.requests.insert(notice.id, notice);
    }

    fn settled(&mut self, request: RequestId, outcome: Outcome, why: &str, at: Time) {
        let Some(mut notice) = self.requests.remove(&request) else {
            return;
        };
        let name = self.name(&notice.pipeline);
        let assets = match &notice.scope {
            Scope::Assets(assets) => assets.len(),
            Scope::All { .. } => 0,
        };
        self.metrics
            .settled(name, notice.scope.as_str(), outcome, assets);
        let fresh = at.since(notice.first_seen);
        match outcome {
            Outcome::Done => {
                self.metrics.done(name, at.since(notice.opened));
                if !self.verified.contains(&notice.pipeline) {
                    self.metrics.fresh(name, fresh);
                }
                tracing::info!(
                    pipeline = name,
                    request = request.0,
                    remote_id = notice.remote_id,
                    fresh_ms = fresh.as_millis(),
                    "purged"
                );
            }
            Outcome::Failed => tracing::error!(
                pipeline = name,
                request = request.0,
                remote_id = notice.remote_id,
                "purge failed for good: {why}"
            ),
            // That the API refuses the calls was logged when it began.
            Outcome::Unsent => tracing::debug!(
                pipeline = name,
                request = request.0,
                "not sent, queued again: {why}"
            ),
            Outcome::Error | Outcome::Vanished | Outcome::Overdue => {
                tracing::warn!(
                    pipeline = name,
                    request = request.0,
                    remote_id = notice.remote_id,
                    outcome = outcome.as_str(),
                    "purge came to nothing, queued again: {why}"
                );
            }
        }
        notice.end = Some((outcome, at, why.to_owned()));
        self.tell(Notice::Settled(Arc::new(notice)));
    }
}
