//! Every metric, in one table. Names and labels are the operator's interface: base units, `_total`
//! on counters, every label set present at zero, no path in a label.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::core::change::Source;
use crate::core::purge::{AllReason, Outcome};

/// Buckets for waits between a change and a fresh edge, in seconds: from a debounce to two hours.
const WAITS: [f64; 14] = [
    0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 7_200.0,
];
/// Buckets for calls to the API, in seconds, up to the default `request_timeout`.
const CALLS: [f64; 9] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// A label value: a configured name or a fixed word.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Word(Arc<str>);

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        encoder.write_str(&self.0)
    }
}

fn word(text: &str) -> Word {
    Word(text.into())
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PipelineLabel {
    pipeline: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabels {
    pipeline: Word,
    source: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    pipeline: Word,
    reason: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    pipeline: Word,
    scope: Word,
    outcome: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    operation: Word,
    class: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: Word,
    outcome: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    route: Word,
    reason: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VersionLabel {
    version: Word,
}

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
    /// Calls of webhooks that were not authentic by route and reason, ever since the start.
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

/// All metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    changes: Family<SourceLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    assets: Family<PipelineLabel, Counter>,
    escalations: Family<ReasonLabels, Counter>,
    calls: Family<CallLabels, Counter>,
    call_seconds: Histogram,
    /// 429s.
    pub rate_limited: Counter,
    wait: Family<PipelineLabel, Histogram>,
    settle: Family<PipelineLabel, Histogram>,
    fresh: Family<PipelineLabel, Histogram>,
    unverified: Family<PipelineLabel, Counter>,
    scan_seconds: Histogram,
    gauges: StateGauges,
}

fn waits() -> Histogram {
    Histogram::new(WAITS)
}

impl Metrics {
    /// The metrics of these pipelines, by name, all at zero.
    #[must_use]
    pub fn new<'a>(pipelines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut registry = Registry::with_prefix("edgepurge");
        let metrics = Self {
            changes: Family::default(),
            requests: Family::default(),
            assets: Family::default(),
            escalations: Family::default(),
            calls: Family::default(),
            call_seconds: Histogram::new(CALLS),
            rate_limited: Counter::default(),
            wait: Family::new_with_constructor(waits),
            settle: Family::new_with_constructor(waits),
            fresh: Family::new_with_constructor(waits),
            unverified: Family::default(),
            scan_seconds: Histogram::new(WAITS),
            gauges: StateGauges::default(),
            registry: Registry::default(),
        };
        registry.register(
            "changes",
            "Changes committed, by where they were noticed",
            metrics.changes.clone(),
        );
        registry.register(
            "purge_requests",
            "Purge requests settled, by how they ended",
            metrics.requests.clone(),
        );
        registry.register(
            "assets_purged",
            "Assets purged by requests that are done",
            metrics.assets.clone(),
        );
        registry.register(
            "escalations",
            "Purges of a whole cache, by reason",
            metrics.escalations.clone(),
        );
        registry.register("api_requests", "Calls to the API", metrics.calls.clone());
        registry.register(
            "api_request_duration_seconds",
            "How long calls to the API took",
            metrics.call_seconds.clone(),
        );
        registry.register(
            "rate_limited",
            "Calls that the API answered with 429",
            metrics.rate_limited.clone(),
        );
        registry.register(
            "wait_seconds",
            "From a change seen to its purge request submitted",
            metrics.wait.clone(),
        );
        registry.register(
            "settle_seconds",
            "From a purge request submitted to done",
            metrics.settle.clone(),
        );
        registry.register(
            "fresh_seconds",
            "From a change seen to its purge done; to each asset verified where verify is on",
            metrics.fresh.clone(),
        );
        registry.register(
            "unverified",
            "Purged assets of which the edge could not tell whether they are fresh",
            metrics.unverified.clone(),
        );
        registry.register(
            "scan_duration_seconds",
            "How long scans of an origin took",
            metrics.scan_seconds.clone(),
        );
        metrics.gauges.register(&mut registry);
        let build: Family<VersionLabel, Gauge> = Family::default();
        build
            .get_or_create(&VersionLabel {
                version: word(env!("CARGO_PKG_VERSION")),
            })
            .set(1);
        registry.register("build_info", "The version that runs", build);
        for pipeline in pipelines {
            metrics.prepare(pipeline);
        }
        Self {
            registry,
            ..metrics
        }
    }

    /// Makes every label set of a pipeline present at zero, where it is not there.
    pub fn prepare(&self, pipeline: &str) {
        let label = PipelineLabel {
            pipeline: word(pipeline),
        };
        for source in Source::ALL {
            drop(self.changes.get_or_create(&source_labels(pipeline, source)));
        }
        for scope in ["assets", "all"] {
            for outcome in Outcome::ALL {
                let labels = request_labels(pipeline, scope, outcome);
                drop(self.requests.get_or_create(&labels));
            }
        }
        for reason in AllReason::ALL {
            let labels = reason_labels(pipeline, reason.as_str());
            drop(self.escalations.get_or_create(&labels));
        }
        drop(self.assets.get_or_create(&label));
        drop(self.wait.get_or_create(&label));
        drop(self.settle.get_or_create(&label));
        drop(self.fresh.get_or_create(&label));
        drop(self.unverified.get_or_create(&label));
    }

    /// A change was committed.
    pub fn change(&self, pipeline: &str, source: Source) {
        self.changes
            .get_or_create(&source_labels(pipeline, source))
            .inc();
    }

    /// A purge request was submitted, so long after its first change was seen.
    pub fn opened(&self, pipeline: &str, wait: Duration) {
        let label = PipelineLabel {
            pipeline: word(pipeline),
        };
        self.wait.get_or_create(&label).observe(wait.as_secs_f64());
    }

    /// A whole cache is purged.
    pub fn escalated(&self, pipeline: &str, reason: AllReason) {
        self.escalations
            .get_or_create(&reason_labels(pipeline, reason.as_str()))
            .inc();
    }

    /// A purge request settled.
    pub fn settled(&self, pipeline: &str, scope: &str, outcome: Outcome, assets: usize) {
        self.requests
            .get_or_create(&request_labels(pipeline, scope, outcome))
            .inc();
        if outcome == Outcome::Done {
            let label = PipelineLabel {
                pipeline: word(pipeline),
            };
            self.assets
                .get_or_create(&label)
                .inc_by(assets.try_into().unwrap_or(u64::MAX));
        }
    }

    /// A purge request is done, so long after it was submitted.
    pub fn done(&self, pipeline: &str, settle: Duration) {
        let label = PipelineLabel {
            pipeline: word(pipeline),
        };
        self.settle
            .get_or_create(&label)
            .observe(settle.as_secs_f64());
    }

    /// The edge is fresh, as far as is known, so long after a change was seen.
    pub fn verified(&self, pipeline: &str, fresh: Duration) {
        let label = PipelineLabel {
            pipeline: word(pipeline),
        };
        self.fresh
            .get_or_create(&label)
            .observe(fresh.as_secs_f64());
    }

    /// So many purged assets could not be verified.
    pub fn unverified(&self, pipeline: &str, assets: u64) {
        let label = PipelineLabel {
            pipeline: word(pipeline),
        };
        self.unverified.get_or_create(&label).inc_by(assets);
    }

    /// A scan ended.
    pub fn scanned(&self, took: Duration) {
        self.scan_seconds.observe(took.as_secs_f64());
    }

    /// A call to the API was answered.
    pub fn call(&self, operation: &str, class: &str, took: Duration) {
        self.calls
            .get_or_create(&CallLabels {
                operation: word(operation),
                class: word(class),
            })
            .inc();
        self.call_seconds.observe(took.as_secs_f64());
    }

    /// All metrics in the `OpenMetrics` text format. `state` is the state of this moment.
    ///
    /// # Errors
    /// Never in practice: writing to a string does not fail.
    pub fn render(&self, state: &Gauges) -> Result<String, std::fmt::Error> {
        self.gauges.set(state);
        let mut text = String::with_capacity(16 * 1024);
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

type PipelineGauge = Family<PipelineLabel, Gauge<f64, AtomicU64>>;

/// What is read off the state at each scrape.
#[derive(Debug, Default)]
struct StateGauges {
    queued_assets: PipelineGauge,
    oldest_queued_age_seconds: PipelineGauge,
    in_flight: PipelineGauge,
    failed_assets: PipelineGauge,
    paused: PipelineGauge,
    indexed_files: PipelineGauge,
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

impl StateGauges {
    fn register(&self, registry: &mut Registry) {
        for (name, help, gauge) in [
            (
                "queued_assets",
                "Assets that wait for a purge request",
                &self.queued_assets,
            ),
            (
                "oldest_queued_age_seconds",
                "Age of the oldest queued change",
                &self.oldest_queued_age_seconds,
            ),
            (
                "in_flight",
                "Purge requests not yet settled",
                &self.in_flight,
            ),
            (
                "failed_assets",
                "Assets given up, until a later purge of them is done",
                &self.failed_assets,
            ),
            (
                "paused",
                "1 while nothing is sent since somebody holds it back",
                &self.paused,
            ),
            ("indexed_files", "Files in the index", &self.indexed_files),
            (
                "last_scan_timestamp_seconds",
                "End of the last scan",
                &self.last_scan_timestamp_seconds,
            ),
        ] {
            registry.register(name, help, gauge.clone());
        }
        for (name, help, counter) in [
            (
                "unchanged",
                "Files that looked changed and held the same bytes",
                &self.unchanged,
            ),
            (
                "drift",
                "Changes that only a background scan found",
                &self.drift,
            ),
            (
                "lost_events",
                "Times that file events were lost",
                &self.lost_events,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        registry.register("scans", "Scans of an origin, by reason", self.scans.clone());
        registry.register("alarms", "Things to act on, by reason", self.alarms.clone());
        registry.register(
            "webhooks",
            "Calls of webhook routes, by what they were answered",
            self.webhooks.clone(),
        );
        registry.register(
            "webhook_refusals",
            "Calls of webhook routes that were not authentic, by why",
            self.webhook_refusals.clone(),
        );
        registry.register(
            "api_rate_limit",
            "Calls a second that the API is found to take",
            self.api_rate_limit.clone(),
        );
        registry.register(
            "config_reload_success",
            "1 while the configuration that the file had last is at work",
            self.config_reload_success.clone(),
        );
        registry.register(
            "watched_directories",
            "Directories under watch",
            self.watched_directories.clone(),
        );
        registry.register(
            "unwatched_directories",
            "Directories that could not be watched, and are polled",
            self.unwatched_directories.clone(),
        );
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a count above 2^53 may lose its last digit in a gauge"
    )]
    fn set(&self, state: &Gauges) {
        for pipeline in &state.pipelines {
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

fn source_labels(pipeline: &str, source: Source) -> SourceLabels {
    SourceLabels {
        pipeline: word(pipeline),
        source: word(source.as_str()),
    }
}

fn reason_labels(pipeline: &str, reason: &str) -> ReasonLabels {
    ReasonLabels {
        pipeline: word(pipeline),
        reason: word(reason),
    }
}

fn request_labels(pipeline: &str, scope: &str, outcome: Outcome) -> RequestLabels {
    RequestLabels {
        pipeline: word(pipeline),
        scope: word(scope),
        outcome: word(outcome.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_set_is_there_at_zero_and_the_text_is_well_formed() {
        let metrics = Metrics::new(["www"]);
        let text = metrics.render(&Gauges::default()).unwrap();
        for line in [
            r#"edgepurge_changes_total{pipeline="www",source="webhook"} 0"#,
            r#"edgepurge_purge_requests_total{pipeline="www",scope="all",outcome="failed"} 0"#,
            r#"edgepurge_escalations_total{pipeline="www",reason="count"} 0"#,
            r#"edgepurge_fresh_seconds_count{pipeline="www"} 0"#,
            r#"edgepurge_unverified_total{pipeline="www"} 0"#,
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn the_state_of_the_moment_is_shown_and_returns_to_zero() {
        let metrics = Metrics::new(["www"]);
        let mut state = Gauges {
            pipelines: vec![PipelineGauges {
                name: "www".to_owned(),
                queued_assets: 7,
                drift: 2,
                alarms: vec![("api".to_owned(), 1)],
                ..PipelineGauges::default()
            }],
            ..Gauges::default()
        };
        let text = metrics.render(&state).unwrap();
        assert!(
            text.contains(r#"edgepurge_queued_assets{pipeline="www"} 7"#),
            "{text}"
        );
        assert!(text.contains(r#"edgepurge_drift_total{pipeline="www"} 2"#));
        assert!(text.contains(r#"edgepurge_alarms{pipeline="www",reason="api"} 1"#));
        state.pipelines[0].queued_assets = 0;
        let text = metrics.render(&state).unwrap();
        assert!(text.contains(r#"edgepurge_queued_assets{pipeline="www"} 0"#));
    }
}
