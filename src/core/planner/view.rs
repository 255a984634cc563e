//! What the planner shows of itself: counts, ages, and what an operator should act on.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Planner;
use super::pipeline::Pipeline;
use crate::core::change::PipelineId;
use crate::core::pause::Pause;
use crate::core::purge::Refusal;
use crate::core::time::Time;

/// How many hot assets are named.
const NAMED: usize = 10;

/// From how many fruitless requests on an alarm is raised.
const ALARMING_ATTEMPTS: u32 = 3;

/// The alarm for a secret key that the API does not accept.
pub const UNAUTHORIZED: &str = "unauthorized";

/// One thing an operator should act on, until it is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alarm {
    /// Whose; `None`: all pipelines'.
    pub pipeline: Option<PipelineId>,
    /// A short word, the label of the metric.
    pub reason: &'static str,
    /// What, why, and what to do.
    pub text: String,
}

impl Alarm {
    /// Every reason.
    pub const REASONS: [&str; 10] = [
        "all_repeats",
        "api",
        "forbidden",
        "fruitless",
        "overdue",
        "queue_full",
        "rate_limited",
        UNAUTHORIZED,
        "unready",
        "untracked",
    ];
}

/// One pipeline, as `status` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PipelineView {
    /// Assets queued.
    pub queued_assets: usize,
    /// Whether a purge of everything is queued, and why.
    pub queued_all: Option<&'static str>,
    /// When the oldest queued change was noticed.
    pub oldest_queued: Option<Time>,
    /// Requests in flight.
    pub in_flight: usize,
    /// Assets in a request, where the API was found to take fewer than are configured.
    pub learned_max_assets: Option<usize>,
    /// The assets that change all the time and are purged less often; the slowest first.
    pub hot: Vec<HotAsset>,
    /// Who holds it back.
    pub pauses: Vec<Pause>,
}

/// An asset that changes all the time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HotAsset {
    /// The asset.
    pub asset: String,
    /// How long it waits between two purges, in seconds.
    pub every_seconds: u64,
}

/// The planner, as `status` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct View {
    /// Each pipeline.
    pub pipelines: BTreeMap<PipelineId, PipelineView>,
    /// The calls a second that the API is found to take, in thousandths; what is configured while
    /// it takes that.
    pub api_rate_limit: u64,
    /// How many calls may be on the wire at once, as fast as the API answers now.
    pub api_calls_at_once: usize,
    /// What an operator should act on.
    pub alarms: Vec<Alarm>,
}

impl View {
    /// Whether everything is settled.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.pipelines.values().all(|pipeline| {
            pipeline.queued_assets == 0 && pipeline.queued_all.is_none() && pipeline.in_flight == 0
        })
    }
}

impl Planner {
    /// What is going on.
    #[must_use]
    pub fn view(&self, now: Time) -> View {
        let mut pipelines: BTreeMap<_, _> = self
            .pipelines
            .iter()
            .map(|(id, pipeline)| {
                let view = PipelineView {
                    queued_assets: pipeline.queue.len(),
                    queued_all: pipeline.queue.all().map(|all| all.reason.as_str()),
                    oldest_queued: pipeline.queue.oldest(),
                    in_flight: 0,
                    learned_max_assets: pipeline.size.learned(),
                    hot: hot(pipeline, now),
                    pauses: pipeline
                        .pauses
                        .iter()
                        .filter(|pause| pause.holds(now))
                        .cloned()
                        .collect(),
                };
                (id.clone(), view)
            })
            .collect();
        for flight in self.flights.values() {
            pipelines
                .entry(flight.pipeline.clone())
                .or_default()
                .in_flight += 1;
        }
        View {
            pipelines,
            api_rate_limit: self.budget.rate_at(now),
            api_calls_at_once: self.wire.places(),
            alarms: self.alarms(now),
        }
    }

    fn alarms(&self, now: Time) -> Vec<Alarm> {
        let mut alarms = Vec::new();
        if let Some(trouble) = self.circuit.trouble() {
            let reason = trouble.refusal.alarm();
            let advice = match &trouble.refusal {
                // Where the key is from, and so how it is renewed, is said beside it.
                Refusal::Unauthorized(_) => "nothing is sent",
                Refusal::RateLimited { .. } => {
                    "lower requests_per_second if this repeats; it tries again by itself"
                }
                _ => "it tries again by itself",
            };
            // Where nothing waits for the API, nobody knows whether it is back, nor has to.
            let waits = !self.flights.is_empty()
                || self.pipelines.values().any(|one| !one.queue.is_empty());
            if reason == UNAUTHORIZED || (waits && trouble.failures >= ALARMING_ATTEMPTS) {
                alarms.push(Alarm {
                    pipeline: None,
                    reason,
                    text: format!(
                        "the API refuses calls since {}: {}; {advice}",
                        trouble.since, trouble.refusal
                    ),
                });
            }
        }
        for flight in self.flights.values().filter(|flight| flight.stuck) {
            alarms.push(Alarm {
                pipeline: Some(flight.pipeline.clone()),
                reason: "overdue",
                text: format!(
                    "purge request {} is still pending since {}, and so was the one before it; it \
                     is waited for and not sent again; ask the vendor, then purge its assets",
                    flight.id, flight.opened
                ),
            });
        }
        for flight in self.flights.values() {
            if let Some(why) = &flight.trouble
                && now.since(flight.opened) >= self.limits.track_timeout
            {
                alarms.push(Alarm {
                    pipeline: Some(flight.pipeline.clone()),
                    reason: "untracked",
                    text: format!(
                        "the status of purge request {} can't be had since {}: {why}; it goes on asking",
                        flight.id, flight.opened
                    ),
                });
            }
        }
        for (id, pipeline) in &self.pipelines {
            self.alarms_of(id, pipeline, now, &mut alarms);
        }
        alarms
    }

    fn alarms_of(&self, id: &PipelineId, pipeline: &Pipeline, now: Time, alarms: &mut Vec<Alarm>) {
        let mut raise = |reason, text| {
            alarms.push(Alarm {
                pipeline: Some(id.clone()),
                reason,
                text,
            });
        };
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
            raise(
                trouble.refusal.alarm(),
                format!(
                    "the API refuses purges of this pipeline since {}: {}; it tries again by \
                     itself",
                    trouble.since, trouble.refusal
                ),
            );
        }
        let attempts = flights()
            .map(|flight| flight.attempt)
            .fold(pipeline.queue.attempts(), u32::max);
        if attempts >= ALARMING_ATTEMPTS {
            let last = match pipeline.fruitless.as_str() {
                "" => String::new(),
                why => format!(", the last one with: {why}"),
            };
            raise(
                "fruitless",
                format!(
                    "{attempts} purge requests in a row came to nothing{last}; it goes on trying"
                ),
            );
        }
        if pipeline.is_full() {
            raise(
                "queue_full",
                format!(
                    "{} assets are queued, and all_above = \"never\" forbids to purge \
                     everything instead: what changes now waits, files where they are and \
                     webhooks at their senders, until there is room; nothing is lost; let \
                     the queue drain, drop it, or purge everything (edgepurge purge --all)",
                    pipeline.queue.len()
                ),
            );
        }
        if let Some(text) = pipeline.cooldown.alarm(now) {
            raise("all_repeats", text);
        }
    }
}

fn hot(pipeline: &Pipeline, now: Time) -> Vec<HotAsset> {
    let mut hot: Vec<HotAsset> = pipeline
        .heat
        .hot(now)
        .map(|(asset, wait)| HotAsset {
            asset: asset.to_string(),
            every_seconds: wait.as_secs(),
        })
        .collect();
    hot.sort_by(|a, b| (b.every_seconds, &a.asset).cmp(&(a.every_seconds, &b.asset)));
    hot.truncate(NAMED);
    hot
}
