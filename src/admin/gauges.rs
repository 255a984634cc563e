//! The metrics that show the state of the moment, made of the status at each scrape. Each is one row of
//! the table. What counts events is in [`crate::metrics`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType::{self, Counter, Gauge};

use super::api::{PipelineStatus, Status};
use crate::core::alarm::{Alarm, AlarmKind};
use crate::core::nodes::NodeState;
use crate::core::time::Time;
use crate::origin::{OriginStatus, ScanReason};
use crate::webhook::RouteStatus;

/// A metric: its name, its type, its help text, and its samples.
struct Row(
    &'static str,
    MetricType,
    &'static str,
    fn(&Status) -> Vec<Sample>,
);

#[rustfmt::skip] // A row is a line.
const TABLE: &[Row] = &[
    Row("edgepurge_queued_assets", Gauge, "Assets that wait for a purge request",
        |s| led(s, |p| whole(p.planned.queued_assets))),
    Row("edgepurge_oldest_queued_age_seconds", Gauge, "Age of the oldest queued change",
        |s| led(s, |p| Value::Real(p.planned.oldest_queued.map_or(0.0, |oldest| seconds(s.now, oldest))))),
    Row("edgepurge_in_flight", Gauge, "Purge requests not yet settled",
        |s| led(s, |p| whole(p.planned.in_flight))),
    Row("edgepurge_failed_assets", Gauge, "Assets given up, until a later purge of them is done",
        |s| led(s, |p| Value::Whole(p.failed_assets))),
    Row("edgepurge_paused", Gauge, "1 while a pause holds the purges of the pipeline back",
        |s| led(s, |p| Value::Whole(p.paused.into()))),
    Row("edgepurge_diverged_files", Gauge, "Files that are not the same on this node and on others, and are not waited for",
        |s| pipelines(s, |p| whole(p.diverged_files))),
    Row("edgepurge_indexed_files", Gauge, "Files in the index",
        |s| origins(s, |o| o.indexed_files)),
    Row("edgepurge_unreadable_directories", Gauge, "Directories below the roots that can't be listed, so that changes in them are not noticed",
        |s| origins(s, |o| o.unreadable_directories)),
    Row("edgepurge_unreadable_files", Gauge, "Files that can't be read, and are compared by size and times",
        |s| origins(s, |o| o.unreadable_files)),
    Row("edgepurge_last_scan_timestamp_seconds", Gauge, "End of the last scan of a whole origin; 0 before the first",
        |s| pipelines(s, |p| Value::Real(last_scan(p)))),
    Row("edgepurge_last_purge_timestamp_seconds", Gauge, "When the last purge request was done; 0 where the history has none",
        |s| pipelines(s, |p| Value::Real(p.recent.last_purge.map_or(0.0, epoch)))),
    Row("edgepurge_unchanged", Counter, "Files that looked changed and held the same bytes",
        |s| origins(s, |o| o.unchanged_total)),
    Row("edgepurge_drift", Counter, "Changes that only a background scan found",
        |s| origins(s, |o| o.drift_total)),
    Row("edgepurge_lost_events", Counter, "Times that file events were lost",
        |s| origins(s, |o| o.lost_events)),
    Row("edgepurge_scans", Counter, "Scans of an origin, by reason", scans),
    Row("edgepurge_alarms", Gauge, "Alarms that are on, by reason", alarms),
    Row("edgepurge_webhooks", Counter, "Calls of webhook routes, by the outcome that they were answered with",
        |s| routes(s).flat_map(|r| counts(r, "outcome", &r.answers)).collect()),
    Row("edgepurge_webhook_refusals", Counter, "Calls that were refused, by route and reason; the route of calls of no route, and of failed TLS handshakes, is `unknown`",
        refusals),
    Row("edgepurge_api_rate_limit", Gauge, "Calls per second that the API accepts, as far as is known",
        |s| one(Value::Real(s.api_rate_limit))),
    Row("edgepurge_config_reload_success", Gauge, "1 while the configuration in use is that of the file, 0 while the file's is refused",
        |s| one(Value::Whole(s.own_alarms().all(|alarm| alarm.reason != AlarmKind::Config).into()))),
    Row("edgepurge_leader", Gauge, "1 while this node plans and sends; alone, it always does",
        |s| one(Value::Whole(s.leads.into()))),
    Row("edgepurge_nodes", Gauge, "Nodes that share the queue, by state, as this one observes them", nodes),
    Row("edgepurge_store_up", Gauge, "1 while the queue's database can be used, 0 while its server is away",
        |s| one(Value::Whole(s.own_alarms().all(|alarm| alarm.reason != AlarmKind::Store).into()))),
    Row("edgepurge_replayed_changes", Counter, "Changes that the queue's database had forgotten, and that this node has committed again",
        |s| one(Value::Whole(s.replayed_changes))),
    Row("edgepurge_build_info", Gauge, "The version that runs",
        |s| vec![Sample { labels: vec![("version", s.version.clone())], value: Value::Whole(1) }]),
    // Its name is the same in every program.
    Row("process_start_time_seconds", Gauge, "Start time of the process since unix epoch in seconds",
        |s| one(Value::Real(epoch(s.started)))),
    Row("edgepurge_watched_directories", Gauge, "Directories under watch",
        |s| total(s, |o| o.watched_directories)),
    Row("edgepurge_unwatched_directories", Gauge, "Directories that can't be watched, and are polled",
        |s| total(s, |o| o.unwatched_directories)),
    Row("edgepurge_max_user_watches", Gauge, "Directories that the system lets each user watch, fs.inotify.max_user_watches",
        |_| max_user_watches()),
];

/// A value, and the labels that it has.
struct Sample {
    labels: Vec<(&'static str, String)>,
    value: Value,
}

/// The value of a sample.
#[derive(Clone, Copy, Debug)]
enum Value {
    Whole(u64),
    Real(f64),
}

fn whole(count: usize) -> Value {
    Value::Whole(count as u64)
}

/// Seconds from one time to a later one; 0 where it is not later.
fn seconds(later: Time, earlier: Time) -> f64 {
    later.since(earlier).as_secs_f64()
}

/// Seconds since 1970.
fn epoch(at: Time) -> f64 {
    seconds(at, Time::ZERO)
}

/// A metric without labels.
fn one(value: Value) -> Vec<Sample> {
    let labels = Vec::new();
    vec![Sample { labels, value }]
}

/// A value of each pipeline.
fn pipelines(status: &Status, value: impl Fn(&PipelineStatus) -> Value) -> Vec<Sample> {
    let sample = |pipeline: &PipelineStatus| Sample {
        labels: vec![("pipeline", pipeline.name.clone())],
        value: value(pipeline),
    };
    status.pipelines.iter().map(sample).collect()
}

/// A value of each pipeline that is the leader's to show, so that a sum over the nodes is right.
fn led(status: &Status, value: impl Fn(&PipelineStatus) -> Value) -> Vec<Sample> {
    let led = |pipeline: &PipelineStatus| {
        let here = status.leads.then(|| value(pipeline));
        here.unwrap_or(Value::Whole(0))
    };
    pipelines(status, led)
}

/// How many nodes are in each state; alone, the node leads.
fn nodes(status: &Status) -> Vec<Sample> {
    let count = |state| {
        let known = status.nodes.iter().filter(|node| node.state == state);
        let alone = status.nodes.is_empty() && state == NodeState::Leads;
        known.count() as u64 + u64::from(alone)
    };
    let sample = |state: NodeState| Sample {
        labels: vec![("state", state.as_str().to_owned())],
        value: Value::Whole(count(state)),
    };
    NodeState::ALL.map(sample).into()
}

/// The sum over the origins of each pipeline.
fn origins(status: &Status, value: fn(&OriginStatus) -> u64) -> Vec<Sample> {
    pipelines(status, |pipeline| {
        Value::Whole(pipeline.origins.iter().map(value).sum())
    })
}

/// The sum over all origins.
fn total(status: &Status, value: fn(&OriginStatus) -> u64) -> Vec<Sample> {
    let origins = status.pipelines.iter().flat_map(|one| &one.origins);
    one(Value::Whole(origins.map(value).sum()))
}

/// The current limit; no sample where the system does not report it.
fn max_user_watches() -> Vec<Sample> {
    let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_watches");
    let limit = limit.ok().and_then(|text| text.trim().parse().ok());
    limit.map_or_else(Vec::new, |limit| one(Value::Whole(limit)))
}

/// The end of the last scan, in seconds since the epoch; 0 before the first.
fn last_scan(pipeline: &PipelineStatus) -> f64 {
    let scans = pipeline.origins.iter();
    let ends = scans.filter_map(|origin| Some(origin.last_scan?.ended));
    ends.max().map_or(0.0, epoch)
}

fn of_reason(pipeline: &PipelineStatus, reason: &str, count: u64) -> Sample {
    let name = pipeline.name.clone();
    Sample {
        labels: vec![("pipeline", name), ("reason", reason.to_owned())],
        value: Value::Whole(count),
    }
}

/// Every reason for a scan in each pipeline, also in one without origins.
fn scans(status: &Status) -> Vec<Sample> {
    let count = |pipeline: &PipelineStatus, reason| {
        let origins = pipeline.origins.iter();
        origins.filter_map(|origin| origin.scans.get(&reason)).sum()
    };
    let of = |pipeline| {
        let reasons = ScanReason::ALL.iter();
        reasons.map(move |reason| of_reason(pipeline, reason.as_str(), count(pipeline, *reason)))
    };
    status.pipelines.iter().flat_map(of).collect()
}

/// Every kind of alarm in each pipeline: an alarm about all pipelines is one of each.
fn alarms(status: &Status) -> Vec<Sample> {
    let count = |pipeline: &PipelineStatus, kind| {
        let is = |alarm: &&Alarm| {
            let whose = alarm.pipeline.as_ref();
            alarm.reason == kind && whose.is_none_or(|name| *name == pipeline.name)
        };
        status.own_alarms().filter(is).count() as u64
    };
    let of = |pipeline| {
        let kinds = AlarmKind::ALL.iter();
        kinds.map(move |kind| of_reason(pipeline, kind.as_str(), count(pipeline, *kind)))
    };
    status.pipelines.iter().flat_map(of).collect()
}

fn routes(status: &Status) -> impl Iterator<Item = &RouteStatus> {
    status.webhooks.iter().flat_map(|webhooks| &webhooks.routes)
}

fn counts<'a>(
    route: &'a RouteStatus,
    label: &'static str,
    counts: &'a BTreeMap<String, u64>,
) -> impl Iterator<Item = Sample> + 'a {
    counts.iter().map(move |(word, count)| Sample {
        labels: vec![("route", route.route.clone()), (label, word.clone())],
        value: Value::Whole(*count),
    })
}

/// What a caller chose as a path is no label.
fn refusals(status: &Status) -> Vec<Sample> {
    let of_no_route = |reason: &str, count| Sample {
        labels: vec![
            ("route", "unknown".to_owned()),
            ("reason", reason.to_owned()),
        ],
        value: Value::Whole(count),
    };
    let unknown = status.webhooks.iter().flat_map(|webhooks| {
        [
            of_no_route("no_route", webhooks.unknown_calls),
            of_no_route("handshake", webhooks.failed_handshakes),
        ]
    });
    let refused = routes(status).flat_map(|route| counts(route, "reason", &route.refusals));
    refused.chain(unknown).collect()
}

/// The state of the moment, for a scrape.
#[derive(Debug)]
pub(super) struct Gauges(pub(super) Arc<Status>);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Row(name, kind, help, samples) in TABLE {
            let samples = samples(&self.0);
            if samples.is_empty() {
                continue;
            }
            // As the registry writes those of other metrics.
            let help = format!("{help}.");
            let mut metric = encoder.encode_descriptor(name, &help, None, *kind)?;
            for Sample { labels, value } in samples {
                if labels.is_empty() {
                    value.encode(*kind, &mut metric)?;
                } else {
                    value.encode(*kind, &mut metric.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}

impl Value {
    fn encode(self, kind: MetricType, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        match (kind, self) {
            (Counter, Self::Whole(count)) => {
                encoder.encode_counter::<NoLabelSet, _, u64>(&count, None)
            }
            (_, Self::Whole(value)) => encoder.encode_gauge(&value),
            (_, Self::Real(value)) => encoder.encode_gauge(&value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Exposition, Metrics};

    fn status(queued: u64) -> Status {
        serde_json::from_value(serde_json::json!({
            "version": "1", "now": "2026-01-01T00:00:10Z", "api_url": "", "settled": true, "fresh": false,
            "api_rate_limit": 12.5, "api_calls_at_once": 4, "orphaned": [], "credentials": [],
            "alarms": [
                { "pipeline": null, "reason": "api", "text": "" },
                { "pipeline": "shop", "reason": "failed", "text": "" },
            ],
            "webhooks": { "listen": [], "unknown_calls": 3, "routes": [{
                "route": "/hooks/www", "kind": "github", "pipeline": "www", "last": null,
                "answers": { "accepted": 5 }, "refusals": { "wrong": 1 },
            }] },
            "pipelines": [{
                "name": "www", "id": "w", "queued_assets": queued, "queued_all": null,
                "oldest_queued": "2026-01-01T00:00:07.5Z", "in_flight": 0, "failed_assets": 0,
                "learned_max_assets": null, "hot": [], "paused": true, "pauses": [], "origins": [],
                "fresh": false, "causes": [],
            }],
        }))
        .unwrap()
    }

    #[test]
    fn the_state_of_the_moment_is_shown_and_returns_to_zero() {
        let metrics = Metrics::new(["www"]);
        let render = |status| {
            let state = Gauges(Arc::new(status));
            metrics.render(state, Exposition::OpenMetrics).unwrap()
        };
        let text = render(status(7));
        for line in [
            r#"edgepurge_queued_assets{pipeline="www"} 7"#,
            r#"edgepurge_oldest_queued_age_seconds{pipeline="www"} 2.5"#,
            r#"edgepurge_paused{pipeline="www"} 1"#,
            r#"edgepurge_drift_total{pipeline="www"} 0"#,
            r#"edgepurge_alarms{pipeline="www",reason="api"} 1"#,
            r#"edgepurge_alarms{pipeline="www",reason="failed"} 0"#,
            r#"edgepurge_webhooks_total{route="/hooks/www",outcome="accepted"} 5"#,
            r#"edgepurge_webhook_refusals_total{route="unknown",reason="no_route"} 3"#,
            "edgepurge_api_rate_limit 12.5",
            "edgepurge_config_reload_success 1",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} in\n{text}");
        }
        assert!(render(status(0)).contains("edgepurge_queued_assets{pipeline=\"www\"} 0\n"));
    }
}
