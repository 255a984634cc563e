//! What the planner shows of itself: counts, ages, and what an operator should act on.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Planner;
use super::flight::Flight;
use super::pipeline::Pipeline;
use super::waits::Wait;
use crate::core::alarm::{Alarm, AlarmKind};
use crate::core::asset::Asset;
use crate::core::change::PipelineId;
use crate::core::pause::Pause;
use crate::core::purge::{AllReason, RequestId, Unsettled};
use crate::core::time::Time;

/// How many hot assets are named.
const NAMED: usize = 10;

/// From how many fruitless requests on an alarm is raised.
const ALARMING_ATTEMPTS: u32 = 3;

/// One pipeline, as `status` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineView {
    /// Assets queued.
    pub queued_assets: usize,
    /// Whether a purge of everything is queued, and why.
    pub queued_all: Option<AllReason>,
    /// When the oldest queued change was noticed.
    pub oldest_queued: Option<Time>,
    /// Requests in flight.
    pub in_flight: usize,
    /// Assets in a request, where the API was found to take fewer than are configured.
    pub learned_max_assets: Option<usize>,
    /// The assets that change all the time and are purged less often; the slowest first.
    pub hot: Vec<HotAsset>,
    /// What holds it back.
    pub pauses: Vec<Pause>,
    /// Why what is queued is not sent yet, but for pauses.
    #[serde(skip)]
    pub waits: Vec<Wait>,
    /// The nodes whose files its batches wait for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<Arc<str>>,
    /// The nodes that have not got yet what is queued.
    #[serde(skip)]
    pub awaited: Vec<Arc<str>>,
    /// The oldest change that is not settled.
    #[serde(skip)]
    pub oldest: Option<Oldest>,
    /// What an operator should act on.
    #[serde(skip)]
    pub alarms: Vec<Alarm>,
}

/// The oldest change of a pipeline that is not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oldest {
    /// When it was noticed.
    pub seen: Time,
    /// Where it is.
    pub stands: Stands,
}

/// Where a change is that is not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stands {
    /// In the queue, as a change of this asset; `None`: of everything.
    Queued(Option<Asset>),
    /// In a request in flight.
    InFlight(RequestId),
}

impl PipelineView {
    /// Whether nothing is queued or in flight.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.queued_assets == 0 && self.queued_all.is_none() && self.in_flight == 0
    }
}

/// An asset that changes all the time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HotAsset {
    /// The asset.
    pub asset: String,
    /// Since when.
    #[serde(default)]
    pub since: Time,
    /// How long it waits between two purges, in seconds.
    pub every_seconds: u64,
}

impl fmt::Display for HotAsset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "changes all the time, purged every {} s (hot_interval), its last change always; to do: find what \
             writes it, or nothing",
            self.every_seconds
        )
    }
}

/// The planner, as `status` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Each pipeline.
    pub pipelines: BTreeMap<PipelineId, PipelineView>,
    /// The calls a second that the API is found to take, in thousandths; what is configured while
    /// it takes that.
    pub api_rate_limit: u64,
    /// The calls a second that are configured, in thousandths.
    pub api_rate_configured: u64,
    /// Since when the API is found to take fewer.
    pub api_limits_since: Option<Time>,
    /// How many calls may be on the wire at once, as fast as the API answers now.
    pub api_calls_at_once: usize,
    /// What an operator should act on that is about all pipelines.
    pub alarms: Vec<Alarm>,
}

impl View {
    /// What another node's planner does, as far as the store shows it: what is in flight, what is queued of each
    /// pipeline, and since when; and what holds a pipeline back by now.
    #[must_use]
    pub fn elsewhere(
        unsettled: Unsettled,
        queued: BTreeMap<PipelineId, (usize, Time)>,
        now: Time,
    ) -> Self {
        let mut pipelines: BTreeMap<PipelineId, PipelineView> = BTreeMap::new();
        for (id, (assets, oldest)) in queued {
            let view = pipelines.entry(id).or_default();
            view.queued_assets = assets;
            view.oldest_queued = Some(oldest);
        }
        for all in unsettled.all {
            let view = pipelines.entry(all.pipeline).or_default();
            view.queued_all = Some(all.reason);
        }
        for request in unsettled.requests {
            pipelines.entry(request.pipeline).or_default().in_flight += 1;
        }
        let pauses = unsettled.pauses.into_iter();
        for pause in pauses.filter(|pause| pause.holds(now)) {
            let view = pipelines.entry(pause.pipeline.clone()).or_default();
            view.pauses.push(pause);
        }
        Self {
            pipelines,
            ..Self::default()
        }
    }

    /// Whether everything is settled.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.pipelines.values().all(PipelineView::is_settled)
    }

    /// The alarms about all pipelines, then those of each.
    pub fn all_alarms(&self) -> impl Iterator<Item = &Alarm> {
        let pipelines = self.pipelines.values();
        self.alarms
            .iter()
            .chain(pipelines.flat_map(|one| &one.alarms))
    }
}

impl Planner {
    /// What is going on.
    #[must_use]
    pub fn view(&self, now: Time) -> View {
        let mut pipelines: BTreeMap<PipelineId, PipelineView> = BTreeMap::new();
        for flight in self.flights.values() {
            let view = pipelines.entry(flight.pipeline.clone()).or_default();
            view.in_flight += 1;
            if view
                .oldest
                .as_ref()
                .is_none_or(|oldest| flight.first_seen < oldest.seen)
            {
                view.oldest = Some(Oldest {
                    seen: flight.first_seen,
                    stands: Stands::InFlight(flight.id),
                });
            }
            view.alarms.extend(self.flight_alarms(flight, now));
        }
        for (id, pipeline) in &self.pipelines {
            let view = pipelines.entry(id.clone()).or_default();
            view.queued_assets = pipeline.queue.len();
            view.queued_all = pipeline.queue.all().map(|all| all.reason);
            let queued = oldest_queued(pipeline);
            view.oldest_queued = queued.as_ref().map(|oldest| oldest.seen);
            let oldest = [view.oldest.take(), queued];
            view.oldest = oldest.into_iter().flatten().min_by_key(|one| one.seen);
            view.waits = self.waits(id, pipeline, now);
            view.nodes = pipeline.nodes().cloned().collect();
            view.awaited = pipeline.awaited().cloned().collect();
            view.learned_max_assets = pipeline.size.learned();
            view.hot = hot(pipeline, now);
            let pauses = pipeline.pauses.iter();
            view.pauses = { pauses }.filter(|one| one.holds(now)).cloned().collect();
            self.pipeline_alarms(id, pipeline, now, &mut view.alarms);
        }
        View {
            pipelines,
            api_rate_limit: self.budget.rate_at(now),
            api_limits_since: self.budget.limited_since(now),
            api_rate_configured: u64::from(self.limits.requests_per_second) * 1_000,
            api_calls_at_once: self.wire.places(),
            alarms: self.api_alarm().into_iter().collect(),
        }
    }

    /// The alarm for an API that refuses calls, whatever they are about.
    fn api_alarm(&self) -> Option<Alarm> {
        let trouble = self.circuit.trouble()?;
        let kind = trouble.refusal.alarm();
        // While nothing waits for the API, it is not called, and whether it is back does not matter.
        let waits =
            !self.flights.is_empty() || self.pipelines.values().any(|one| !one.queue.is_empty());
        let raised =
            kind == AlarmKind::Unauthorized || (waits && trouble.failures >= ALARMING_ATTEMPTS);
        raised.then(|| {
            let text = format!("the API refuses calls: {}", trouble.refusal);
            Alarm::new(kind, text).since(trouble.since)
        })
    }

    fn flight_alarms(&self, flight: &Flight, now: Time) -> impl Iterator<Item = Alarm> {
        let overdue = flight.stuck.then(|| {
            let text = format!(
                "purge request {} is still pending, and so was the one before it",
                flight.id
            );
            Alarm::new(AlarmKind::Overdue, text).since(flight.opened)
        });
        let late = now.since(flight.opened) >= self.limits.track_timeout;
        let untracked = flight.trouble.as_ref().filter(|_| late).map(|why| {
            let text = format!(
                "the status of purge request {} can't be had: {why}",
                flight.id
            );
            Alarm::new(AlarmKind::Untracked, text).since(flight.opened)
        });
        overdue.into_iter().chain(untracked)
    }

    fn pipeline_alarms(
        &self,
        id: &PipelineId,
        pipeline: &Pipeline,
        now: Time,
        alarms: &mut Vec<Alarm>,
    ) {
        let flights = || {
            self.flights
                .values()
                .filter(|flight| flight.pipeline == *id)
        };
        let waits = !pipeline.queue.is_empty() || flights().next().is_some();
        if let Some(trouble) = &pipeline.trouble
            // What passes by itself is tried again only while something waits for it.
            && (waits || !trouble.refusal.passes())
        {
            let text = format!(
                "the API refuses purges of this pipeline: {}",
                trouble.refusal
            );
            alarms.push(Alarm::new(trouble.refusal.alarm(), text).since(trouble.since));
        }
        let mut raise = |kind, text| alarms.push(Alarm::new(kind, text));
        let attempts = flights()
            .map(|flight| flight.attempt)
            .fold(pipeline.queue.attempts(), u32::max);
        if attempts >= ALARMING_ATTEMPTS {
            let last = match pipeline.fruitless.as_str() {
                "" => String::new(),
                why => format!(", the last one with: {why}"),
            };
            raise(
                AlarmKind::Fruitless,
                format!("{attempts} purge requests in a row came to nothing{last}"),
            );
        }
        if pipeline.is_full() {
            raise(
                AlarmKind::QueueFull,
                format!(
                    "{} assets are queued, and all_above = \"never\" forbids to purge \
                     everything instead",
                    pipeline.queue.len()
                ),
            );
        }
        if let Some(text) = pipeline.cooldown.alarm(now) {
            raise(AlarmKind::AllRepeats, text);
        }
    }
}

fn oldest_queued(pipeline: &Pipeline) -> Option<Oldest> {
    let all = pipeline.queue.all().map(|all| (None, all.since));
    let asset = pipeline.queue.oldest_asset();
    let asset = asset.map(|(asset, seen)| (Some(asset.clone()), seen));
    let (asset, seen) = all.into_iter().chain(asset).min_by_key(|(_, seen)| *seen)?;
    Some(Oldest {
        seen,
        stands: Stands::Queued(asset),
    })
}

fn hot(pipeline: &Pipeline, now: Time) -> Vec<HotAsset> {
    let mut hot: Vec<HotAsset> = pipeline
        .damper
        .hot(now)
        .map(|(asset, since, wait)| HotAsset {
            asset: asset.to_string(),
            since,
            every_seconds: wait.as_secs(),
        })
        .collect();
    hot.sort_by(|a, b| (b.every_seconds, &a.asset).cmp(&(a.every_seconds, &b.asset)));
    hot.truncate(NAMED);
    hot
}
