//! What counts events. The state of the moment is added to it at each scrape; its table is in
//! `admin/gauges.rs`. Names and labels are the operator's interface: base units, `_total`
//! on counters, every label set present at zero, no path in a label.

use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::core::change::Source;
use crate::core::purge::{AllReason, Outcome};
use crate::core::verify::Word;
use crate::scaleway::{CLASSES, OPERATIONS};
use series::{PIPELINE, Series, Table};

mod exposition;
mod recent;
mod series;

pub use exposition::Exposition;
pub use recent::{DAY, Recent, RecentStatus, Settled};

/// Buckets for waits between a change and a fresh edge, in seconds: from a debounce to two hours.
const WAITS: [f64; 14] = [
    0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 7_200.0,
];
/// Buckets for the parts of such a wait: they show which part is long, and `fresh_seconds` shows how long.
const PARTS: [f64; 8] = [0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0];
/// Buckets for calls to the API, in seconds, up to the default `request_timeout`.
const CALLS: [f64; 9] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Buckets for scans, in seconds, from a small site to millions of files on a slow disk.
const SCANS: [f64; 11] = [
    0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1_800.0, 7_200.0,
];

/// Buckets for commits, in seconds, from a fast disk to a server that waits for a standby far away.
const COMMITS: [f64; 10] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 10.0,
];

/// All metrics that count events.
#[derive(Debug)]
pub struct Metrics {
    table: Table,
    changes: Series<Counter>,
    requests: Series<Counter>,
    assets: Series<Counter>,
    escalations: Series<Counter>,
    unverified: Series<Counter>,
    verified: Series<Counter>,
    calls: Series<Counter>,
    wait: Series<Histogram>,
    settle: Series<Histogram>,
    fresh: Series<Histogram>,
    agreement: Series<Histogram>,
    call_seconds: Histogram,
    scan_seconds: Histogram,
    commit_seconds: Histogram,
    /// Terms in which this node leads or led.
    pub terms: Counter,
    /// What was refused because its term was over.
    pub fenced: Counter,
    /// 429s.
    pub rate_limited: Counter,
    /// What was purged in the last day.
    pub recent: Recent,
}

impl Metrics {
    /// The metrics of these pipelines, by name, all at zero.
    #[must_use]
    #[rustfmt::skip] // A metric is a line.
    pub fn new<'a>(pipelines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut t = Table::default();
        let metrics = Self {
            changes: t.counters("edgepurge_changes", "Changes committed, by the source that noticed them",
                &[PIPELINE, ("source", &Source::ALL.map(Source::as_str))]),
            requests: t.counters("edgepurge_purge_requests", "Purge requests settled, by scope and outcome",
                &[PIPELINE, ("scope", &["assets", "all"]), ("outcome", &Outcome::ALL.map(Outcome::as_str))]),
            assets: t.counters("edgepurge_assets_purged", "Assets purged by requests that are done",
                &[PIPELINE]),
            escalations: t.counters("edgepurge_escalations", "Purges of a whole cache, by reason",
                &[PIPELINE, ("reason", &AllReason::ALL.map(AllReason::as_str))]),
            unverified: t.counters("edgepurge_unverified", "Purged assets that could not be verified at the edge",
                &[PIPELINE]),
            verified: t.counters("edgepurge_verified", "Purged assets that were looked at through the edge, by what it had",
                &[PIPELINE, ("result", &Word::ALL.map(Word::as_str))]),
            calls: t.counters("edgepurge_api_requests", "Calls to the API",
                &[("operation", &OPERATIONS), ("class", &CLASSES)]),
            wait: t.histograms("edgepurge_wait_seconds", "Time from noticing a change to submitting its purge request",
                || Histogram::new(PARTS)),
            settle: t.histograms("edgepurge_settle_seconds", "Time from submitting a purge request until it is done",
                || Histogram::new(PARTS)),
            fresh: t.histograms("edgepurge_fresh_seconds", "Time from noticing a change until its purge is done; with verify, until each asset is verified",
                || Histogram::new(WAITS)),
            agreement: t.histograms("edgepurge_agreement_wait_seconds", "Time for which a batch whose changes were over had waited for files of other nodes",
                || Histogram::new(PARTS)),
            call_seconds: t.one("edgepurge_api_request_duration_seconds", "Duration of calls to the API", Histogram::new(CALLS)),
            scan_seconds: t.one("edgepurge_scan_duration_seconds", "Duration of scans of a whole origin", Histogram::new(SCANS)),
            commit_seconds: t.one("edgepurge_store_commit_seconds", "Duration of transactions that write the queue, until they are on disk", Histogram::new(COMMITS)),
            terms: t.one("edgepurge_terms", "Terms in which this node leads or led", Counter::default()),
            fenced: t.one("edgepurge_fenced", "Commits of this node as a leader that were refused, since another one led by then", Counter::default()),
            rate_limited: t.one("edgepurge_rate_limited", "Calls that the API answered with 429", Counter::default()),
            recent: Recent::default(),
            table: t,
        };
        for pipeline in pipelines {
            metrics.prepare(pipeline);
        }
        metrics
    }

    /// Makes every label set of a pipeline present at zero, where it is not there.
    pub fn prepare(&self, pipeline: &str) {
        self.table.prepare(pipeline);
    }

    /// So many changes were committed.
    pub fn changes(&self, pipeline: &str, source: Source, count: u64) {
        self.changes.of(&[pipeline, source.as_str()]).inc_by(count);
    }

    /// A purge request was submitted, so long after its first change was seen.
    pub fn opened(&self, pipeline: &str, wait: Duration) {
        self.wait.of(&[pipeline]).observe(wait.as_secs_f64());
    }

    /// A whole cache is purged.
    pub fn escalated(&self, pipeline: &str, reason: AllReason) {
        self.escalations.of(&[pipeline, reason.as_str()]).inc();
    }

    /// A purge request settled.
    pub fn settled(&self, pipeline: &str, scope: &str, outcome: Outcome, assets: usize) {
        self.requests.of(&[pipeline, scope, outcome.as_str()]).inc();
        if outcome == Outcome::Done {
            let count = (scope == "assets").then_some(assets as u64);
            self.recent.done(pipeline, count);
            self.assets.of(&[pipeline]).inc_by(assets as u64);
        }
    }

    /// A purge request is done, so long after it was submitted.
    pub fn done(&self, pipeline: &str, settle: Duration) {
        self.settle.of(&[pipeline]).observe(settle.as_secs_f64());
    }

    /// The edge is fresh, as far as is known, so long after a change was seen.
    pub fn fresh(&self, pipeline: &str, fresh: Duration) {
        self.recent.fresh(pipeline, fresh);
        self.fresh.of(&[pipeline]).observe(fresh.as_secs_f64());
    }

    /// A batch closed that had waited so long for the nodes of the fleet.
    pub fn agreed(&self, pipeline: &str, waited: Duration) {
        self.agreement.of(&[pipeline]).observe(waited.as_secs_f64());
    }

    /// So many purged assets were verified with this result.
    pub fn verified(&self, pipeline: &str, result: Word, assets: u64) {
        self.verified
            .of(&[pipeline, result.as_str()])
            .inc_by(assets);
        if result == Word::Unverified {
            self.unverified.of(&[pipeline]).inc_by(assets);
        }
    }

    /// A scan ended.
    pub fn scanned(&self, took: Duration) {
        self.scan_seconds.observe(took.as_secs_f64());
    }

    /// The store committed a transaction, so long after it began.
    pub fn committed(&self, took: Duration) {
        self.commit_seconds.observe(took.as_secs_f64());
    }

    /// A call to the API was answered.
    pub fn call(&self, operation: &str, class: &str, took: Duration) {
        self.calls.of(&[operation, class]).inc();
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
        let mut collected = Registry::default();
        collected.register_collector(Box::new(state));
        form.write([&self.table.registry, &collected])
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
