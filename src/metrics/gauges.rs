//! What is read off the state at each scrape, and is counted nowhere.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{
    Any, PipelineLabel, ReasonLabels, RefusalLabels, RouteLabels, any, reason_labels, word,
};

/// The state of one pipeline at the moment of a scrape.
#[derive(Clone, Debug, Default)]
pub struct PipelineGauges {
    /// The pipeline's name.
    pub name: String,
    /// Assets queued.
    pub queued_assets: usize,
    /// Seconds since the oldest queued change was noticed; 0 when nothing is queued.
    pub oldest_queued_age_seconds: f64,
    /// Requests in flight.
    pub in_flight: usize,
    /// Assets given up.
    pub failed_assets: u64,
    /// Whether nothing is sent, since somebody holds it back.
    pub paused: bool,
    /// Files in the index.
    pub indexed_files: u64,
    /// Directories that can't be listed.
    pub unreadable_directories: u64,
    /// Files whose bytes can't be read.
    pub unreadable_files: u64,
    /// The end of the last scan, in seconds since the epoch; 0 before the first.
    pub last_scan_seconds: f64,
    /// Files that looked changed and held the same bytes, ever since the start.
    pub unchanged: u64,
    /// Changes that only a background scan found, ever since the start.
    pub drift: u64,
    /// Times that file events were lost, ever since the start.
    pub lost_events: u64,
    /// Scans by reason, ever since the start.
    pub scans: Vec<(String, u64)>,
    /// Alarms by reason.
    pub alarms: Vec<(String, u64)>,
}

/// The state of the process at the moment of a scrape.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    /// Each pipeline's.
    pub pipelines: Vec<PipelineGauges>,
    /// Answers to webhooks by route and outcome, ever since the start.
    pub webhooks: Vec<(String, BTreeMap<&'static str, u64>)>,
    /// Refused calls of webhooks by route and reason, ever since the start.
    pub webhook_refusals: Vec<(String, BTreeMap<&'static str, u64>)>,
    /// Whether the configuration file is refused, and an older one at work.
    pub config_reload_failed: bool,
    /// Directories under watch.
    pub watched_directories: u64,
    /// Calls a second that the API is found to take.
    pub api_rate_limit: f64,
    /// Directories that could not be watched and are polled.
    pub unwatched_directories: u64,
}

type PipelineGauge = Family<PipelineLabel, Gauge<f64, AtomicU64>>;

/// What is read off the state at each scrape.
#[derive(Debug, Default)]
pub(super) struct StateGauges {
    queued_assets: PipelineGauge,
    oldest_queued_age_seconds: PipelineGauge,
    in_flight: PipelineGauge,
    failed_assets: PipelineGauge,
    paused: PipelineGauge,
    indexed_files: PipelineGauge,
    unreadable_directories: PipelineGauge,
    unreadable_files: PipelineGauge,
    last_scan_timestamp_seconds: PipelineGauge,
    unchanged: Family<PipelineLabel, Counter>,
    drift: Family<PipelineLabel, Counter>,
    lost_events: Family<PipelineLabel, Counter>,
    scans: Family<ReasonLabels, Counter>,
    alarms: Family<ReasonLabels, Gauge>,
    webhooks: Family<RouteLabels, Counter>,
    webhook_refusals: Family<RefusalLabels, Counter>,
    api_rate_limit: Gauge<f64, AtomicU64>,
    config_reload_success: Gauge,
    watched_directories: Gauge,
    unwatched_directories: Gauge,
}

/// A metric with its name and what it tells.
type Row = (&'static str, &'static str, Any);

impl StateGauges {
    pub(super) fn register(&self, registry: &mut Registry) {
        for (name, help, metric) in self
            .of_pipelines()
            .into_iter()
            .chain(self.counted())
            .chain(self.of_all())
        {
            registry.register(name, help, metric);
        }
    }

    fn of_pipelines(&self) -> [Row; 9] {
        [
            (
                "queued_assets",
                "Assets that wait for a purge request",
                any(&self.queued_assets),
            ),
            (
                "oldest_queued_age_seconds",
                "Age of the oldest queued change",
                any(&self.oldest_queued_age_seconds),
            ),
            (
                "in_flight",
                "Purge requests not yet settled",
                any(&self.in_flight),
            ),
            (
                "failed_assets",
                "Assets given up, until a later purge of them is done",
                any(&self.failed_assets),
            ),
            (
                "paused",
                "1 while nothing is sent since somebody holds it back",
                any(&self.paused),
            ),
            (
                "indexed_files",
                "Files in the index",
                any(&self.indexed_files),
            ),
            (
                "unreadable_directories",
                "Directories below the roots that can't be listed, so that nothing new in them is noticed",
                any(&self.unreadable_directories),
            ),
            (
                "unreadable_files",
                "Files that can't be read, and are compared by size and times",
                any(&self.unreadable_files),
            ),
            (
                "last_scan_timestamp_seconds",
                "End of the last scan",
                any(&self.last_scan_timestamp_seconds),
            ),
        ]
    }

    fn counted(&self) -> [Row; 5] {
        [
            (
                "unchanged",
                "Files that looked changed and held the same bytes",
                any(&self.unchanged),
            ),
            (
                "drift",
                "Changes that only a background scan found",
                any(&self.drift),
            ),
            (
                "lost_events",
                "Times that file events were lost",
                any(&self.lost_events),
            ),
            ("scans", "Scans of an origin, by reason", any(&self.scans)),
            ("alarms", "Things to act on, by reason", any(&self.alarms)),
        ]
    }

    fn of_all(&self) -> [Row; 6] {
        [
            (
                "webhooks",
                "Calls of webhook routes, by what they were answered",
                any(&self.webhooks),
            ),
            (
                "webhook_refusals",
                "Calls that were refused, by route and why; of no route: `unknown`",
                any(&self.webhook_refusals),
            ),
            (
                "api_rate_limit",
                "Calls a second that the API is found to take",
                any(&self.api_rate_limit),
            ),
            (
                "config_reload_success",
                "1 while the configuration that the file had last is at work",
                any(&self.config_reload_success),
            ),
            (
                "watched_directories",
                "Directories under watch",
                any(&self.watched_directories),
            ),
            (
                "unwatched_directories",
                "Directories that could not be watched, and are polled",
                any(&self.unwatched_directories),
            ),
        ]
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a count above 2^53 may lose its last digit in a gauge"
    )]
    fn set_pipeline(&self, pipeline: &PipelineGauges) {
        let label = PipelineLabel {
            pipeline: word(&pipeline.name),
        };
        for (gauge, value) in [
            (&self.queued_assets, pipeline.queued_assets as f64),
            (
                &self.oldest_queued_age_seconds,
                pipeline.oldest_queued_age_seconds,
            ),
            (&self.in_flight, pipeline.in_flight as f64),
            (&self.failed_assets, pipeline.failed_assets as f64),
            (&self.paused, f64::from(u8::from(pipeline.paused))),
            (&self.indexed_files, pipeline.indexed_files as f64),
            (
                &self.unreadable_directories,
                pipeline.unreadable_directories as f64,
            ),
            (&self.unreadable_files, pipeline.unreadable_files as f64),
            (
                &self.last_scan_timestamp_seconds,
                pipeline.last_scan_seconds,
            ),
        ] {
            gauge.get_or_create(&label).set(value);
        }
        for (counter, value) in [
            (&self.unchanged, pipeline.unchanged),
            (&self.drift, pipeline.drift),
            (&self.lost_events, pipeline.lost_events),
        ] {
            // Counted elsewhere, where it can only grow.
            counter
                .get_or_create(&label)
                .inner()
                .store(value, Ordering::Relaxed);
        }
        for (reason, count) in &pipeline.scans {
            self.scans
                .get_or_create(&reason_labels(&pipeline.name, reason))
                .inner()
                .store(*count, Ordering::Relaxed);
        }
        for (reason, count) in &pipeline.alarms {
            self.alarms
                .get_or_create(&reason_labels(&pipeline.name, reason))
                .set(i64::try_from(*count).unwrap_or(i64::MAX));
        }
    }

    /// Takes over the state of this moment.
    pub(super) fn set(&self, state: &Gauges) {
        for pipeline in &state.pipelines {
            self.set_pipeline(pipeline);
        }
        for (route, answers) in &state.webhooks {
            for (outcome, count) in answers {
                let labels = RouteLabels {
                    route: word(route),
                    outcome: word(outcome),
                };
                let counter = self.webhooks.get_or_create(&labels);
                counter.inner().store(*count, Ordering::Relaxed);
            }
        }
        for (route, reasons) in &state.webhook_refusals {
            for (reason, count) in reasons {
                let labels = RefusalLabels {
                    route: word(route),
                    reason: word(reason),
                };
                let counter = self.webhook_refusals.get_or_create(&labels);
                counter.inner().store(*count, Ordering::Relaxed);
            }
        }
        self.api_rate_limit.set(state.api_rate_limit);
        self.config_reload_success
            .set(i64::from(!state.config_reload_failed));
        let directories = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.watched_directories
            .set(directories(state.watched_directories));
        self.unwatched_directories
            .set(directories(state.unwatched_directories));
    }
}
