//! The read model as metrics.

use std::collections::BTreeMap;

use super::status::{
    AlarmView, CONFIG, CREDENTIAL, FAILED, OriginView, PipelineStatus, Status, WebhooksView,
};
use crate::core::planner::Alarm;
use crate::core::time::Time;
use crate::metrics::{Gauges, PipelineGauges};
use crate::origin;

/// Calls of no route, as refusals. A path that a stranger chose is no label.
fn unknown(webhooks: &WebhooksView) -> (String, BTreeMap<&'static str, u64>) {
    let calls = BTreeMap::from([("no_route", webhooks.unknown_calls)]);
    ("unknown".to_owned(), calls)
}

impl Status {
    /// The same as metrics.
    pub(super) fn gauges(&self, now: Time) -> Gauges {
        let origins = || self.pipelines.iter().flat_map(|pipeline| &pipeline.origins);
        let routes = || self.webhooks.iter().flat_map(|webhooks| &webhooks.routes);
        Gauges {
            pipelines: self
                .pipelines
                .iter()
                .map(|pipeline| self.pipeline_gauges(pipeline, now))
                .collect(),
            webhooks: routes()
                .map(|route| (route.route.clone(), route.answers.clone()))
                .collect(),
            webhook_refusals: routes()
                .map(|route| (route.route.clone(), route.refusals.clone()))
                .chain(self.webhooks.iter().map(unknown))
                .collect(),
            api_rate_limit: self.api_rate_limit,
            config_reload_failed: self.alarms.iter().any(|alarm| alarm.reason == CONFIG),
            watched_directories: origins().map(|o| o.watched_directories).sum(),
            unwatched_directories: origins().map(|o| o.unwatched_directories).sum(),
        }
    }

    fn pipeline_gauges(&self, pipeline: &PipelineStatus, now: Time) -> PipelineGauges {
        let sum = |of: fn(&OriginView) -> u64| pipeline.origins.iter().map(of).sum();
        let mut scans: BTreeMap<String, u64> = BTreeMap::new();
        for origin in &pipeline.origins {
            for (reason, count) in &origin.scans {
                *scans.entry((*reason).to_string()).or_default() += count;
            }
        }
        let last_scan = pipeline
            .origins
            .iter()
            .filter_map(|origin| origin.last_scan)
            .map(|scan| scan.ended)
            .max();
        let seconds = |time: Time| time.since(Time::ZERO).as_secs_f64();
        PipelineGauges {
            name: pipeline.name.clone(),
            queued_assets: pipeline.queued_assets,
            oldest_queued_age_seconds: pipeline
                .oldest_queued
                .map_or(0.0, |oldest| now.since(oldest).as_secs_f64()),
            in_flight: pipeline.in_flight,
            failed_assets: pipeline.failed_assets,
            paused: pipeline.paused,
            indexed_files: sum(|state| state.indexed_files),
            unreadable_directories: sum(|state| state.unreadable_directories),
            unreadable_files: sum(|state| state.unreadable_files),
            last_scan_seconds: last_scan.map_or(0.0, seconds),
            unchanged: sum(|state| state.unchanged),
            drift: sum(|state| state.drift),
            lost_events: sum(|state| state.lost_events),
            scans: scans.into_iter().collect(),
            // Each is a metric at zero, too.
            alarms: [CONFIG, CREDENTIAL, FAILED]
                .iter()
                .chain(&Alarm::REASONS)
                .chain(&origin::Alarm::REASONS)
                .map(|reason| ((*reason).to_owned(), self.count_alarms(pipeline, reason)))
                .collect(),
        }
    }

    fn count_alarms(&self, pipeline: &PipelineStatus, reason: &str) -> u64 {
        let ours = |alarm: &&AlarmView| {
            alarm.reason == reason
                && alarm
                    .pipeline
                    .as_ref()
                    .is_none_or(|name| *name == pipeline.name)
        };
        self.alarms.iter().filter(ours).count() as u64
    }
}
