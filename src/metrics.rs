//! What counts events. The state of the moment is added to it at each scrape; its table is in
//! `admin/gauges.rs`. Names and labels are the operator's interface: base units, `_total`
//! on counters, every label set present at zero, no path in a label.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    EncodeLabelSet, EncodeLabelValue, EncodeMetric, LabelValueEncoder, MetricEncoder,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use crate::core::change::Source;
use crate::core::purge::{AllReason, Outcome};
use crate::scaleway::{CLASSES, OPERATIONS};

mod exposition;
mod recent;

pub use exposition::Exposition;
pub use recent::{DAY, Recent, RecentStatus, Settled};

/// What every name begins with.
const PREFIX: &str = "edgepurge";

/// Buckets for waits between a change and a fresh edge, in seconds: from a debounce to two hours.
const WAITS: [f64; 14] = [
    0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 7_200.0,
];
/// Buckets for the parts of such a wait: they tell which part is long, and `fresh_seconds` how long.
const PARTS: [f64; 8] = [0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0];
/// Buckets for calls to the API, in seconds, up to the default `request_timeout`.
const CALLS: [f64; 9] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Buckets for scans, in seconds, from a small site to millions of files on a slow disk.
const SCANS: [f64; 11] = [
    0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1_800.0, 7_200.0,
];

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
struct VersionLabel {
    version: Word,
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
    /// What was purged in the last day.
    pub recent: Recent,
}

fn waits() -> Histogram {
    Histogram::new(WAITS)
}

fn parts() -> Histogram {
    Histogram::new(PARTS)
}

/// A handle of a metric, whatever its type, for the tables of names.
#[derive(Debug)]
struct Any(Box<dyn Metric>);

impl EncodeMetric for Any {
    fn encode(&self, encoder: MetricEncoder<'_>) -> std::fmt::Result {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        self.0.metric_type()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn any<M: Metric + Clone>(metric: &M) -> Any {
    Any(Box::new(metric.clone()))
}

fn build() -> Family<VersionLabel, Gauge> {
    let build: Family<VersionLabel, Gauge> = Family::default();
    let version = word(env!("CARGO_PKG_VERSION"));
    build.get_or_create(&VersionLabel { version }).set(1);
    build
}

impl Metrics {
    /// The metrics of these pipelines, by name, all at zero.
    #[must_use]
    pub fn new<'a>(pipelines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut metrics = Self {
            changes: Family::default(),
            requests: Family::default(),
            assets: Family::default(),
            escalations: Family::default(),
            calls: Family::default(),
            call_seconds: Histogram::new(CALLS),
            rate_limited: Counter::default(),
            wait: Family::new_with_constructor(parts),
            settle: Family::new_with_constructor(parts),
            fresh: Family::new_with_constructor(waits),
            unverified: Family::default(),
            scan_seconds: Histogram::new(SCANS),
            recent: Recent::default(),
            registry: Registry::default(),
        };
        let mut registry = Registry::with_prefix(PREFIX);
        metrics.register(&mut registry);
        metrics.registry = registry;
        for operation in OPERATIONS {
            for class in CLASSES {
                drop(metrics.calls.get_or_create(&call_labels(operation, class)));
            }
        }
        for pipeline in pipelines {
            metrics.prepare(pipeline);
        }
        metrics
    }

    /// Names what is counted where it happens.
    fn register(&self, registry: &mut Registry) {
        for (name, help, metric) in [
            (
                "changes",
                "Changes committed, by the source that noticed them",
                any(&self.changes),
            ),
            (
                "purge_requests",
                "Purge requests settled, by scope and outcome",
                any(&self.requests),
            ),
            (
                "assets_purged",
                "Assets purged by requests that are done",
                any(&self.assets),
            ),
            (
                "escalations",
                "Purges of a whole cache, by reason",
                any(&self.escalations),
            ),
            ("api_requests", "Calls to the API", any(&self.calls)),
            (
                "api_request_duration_seconds",
                "Duration of calls to the API",
                any(&self.call_seconds),
            ),
            (
                "rate_limited",
                "Calls that the API answered with 429",
                any(&self.rate_limited),
            ),
            (
                "wait_seconds",
                "Time from noticing a change to submitting its purge request",
                any(&self.wait),
            ),
            (
                "settle_seconds",
                "Time from submitting a purge request until it is done",
                any(&self.settle),
            ),
            (
                "fresh_seconds",
                "Time from noticing a change until its purge is done; with verify, until each asset is verified",
                any(&self.fresh),
            ),
            (
                "unverified",
                "Purged assets that could not be verified at the edge",
                any(&self.unverified),
            ),
            (
                "scan_duration_seconds",
                "Duration of scans of a whole origin",
                any(&self.scan_seconds),
            ),
            ("build_info", "The version that runs", any(&build())),
        ] {
            registry.register(name, help, metric);
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
            let count = (scope == "assets").then_some(assets as u64);
            self.recent.done(pipeline, count);
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
        self.recent.fresh(pipeline, fresh);
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
            .get_or_create(&call_labels(operation, class))
            .inc();
        self.call_seconds.observe(took.as_secs_f64());
    }

    /// All metrics, and what `state` collects, in the form that was asked for.
    ///
    /// # Errors
    /// Never in practice: writing to a string does not fail.
    pub fn render(
        &self,
        state: impl Collector,
        form: Exposition,
    ) -> Result<String, std::fmt::Error> {
        let mut collected = Registry::with_prefix(PREFIX);
        collected.register_collector(Box::new(state));
        form.write([&self.registry, &collected])
    }
}

fn source_labels(pipeline: &str, source: Source) -> SourceLabels {
    SourceLabels {
        pipeline: word(pipeline),
        source: word(source.as_str()),
    }
}

fn call_labels(operation: &str, class: &str) -> CallLabels {
    CallLabels {
        operation: word(operation),
        class: word(class),
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
    use prometheus_client::encoding::DescriptorEncoder;

    use super::*;

    #[derive(Debug)]
    struct Nothing;

    impl Collector for Nothing {
        fn encode(&self, _: DescriptorEncoder<'_>) -> std::fmt::Result {
            Ok(())
        }
    }

    #[test]
    fn every_label_set_is_there_at_zero_and_the_text_is_well_formed() {
        let metrics = Metrics::new(["www"]);
        let text = metrics.render(Nothing, Exposition::OpenMetrics).unwrap();
        for line in [
            r#"edgepurge_changes_total{pipeline="www",source="webhook"} 0"#,
            r#"edgepurge_purge_requests_total{pipeline="www",scope="all",outcome="failed"} 0"#,
            r#"edgepurge_escalations_total{pipeline="www",reason="count"} 0"#,
            r#"edgepurge_fresh_seconds_count{pipeline="www"} 0"#,
            r#"edgepurge_unverified_total{pipeline="www"} 0"#,
            r#"edgepurge_api_requests_total{operation="list",class="rate_limited"} 0"#,
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
