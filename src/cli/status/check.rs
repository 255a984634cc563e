//! `status --check`: one line for monitoring, with performance data as Nagios and its kin read them.

use crate::admin::api::{State, Status};
use crate::cli::Failure;
use crate::cli::moment::length;
use crate::core::alarm::Alarm;

/// Where there is no status, and why: the first line, without what would begin performance data.
pub(super) fn unanswered(failure: &Failure) -> String {
    let why = failure.to_string();
    let why = why.lines().next().unwrap_or_default().replace('|', "/");
    format!("CRITICAL - {why}")
}

/// The line.
pub(super) fn line(status: &Status) -> String {
    let pipelines = status.pipelines.iter();
    let queued: u64 = pipelines
        .clone()
        .map(|one| one.planned.queued_assets as u64 + u64::from(one.planned.queued_all.is_some()))
        .sum();
    let failed: u64 = pipelines.clone().map(|one| one.failed_assets).sum();
    let in_flight: usize = pipelines.clone().map(|one| one.planned.in_flight).sum();
    // Of what another node leads, only what is queued is known.
    let oldest = pipelines.filter_map(|one| {
        let oldest = one.oldest.as_ref().map(|oldest| oldest.seen);
        oldest.or(one.planned.oldest_queued)
    });
    let oldest = oldest.min();
    let oldest = oldest.map_or(0, |seen| status.now.since(seen).as_secs());
    let said = if status.alarms.is_empty() {
        format!("OK - {}", states(status))
    } else {
        let alarms = status.alarms.iter().map(|one| alarm(status, one));
        let paused = status.pipelines.iter().filter(|one| one.paused);
        let paused = paused.map(|one| format!("{} {}", one.name, State::Paused.as_str()));
        let said: Vec<String> = alarms.chain(paused).collect();
        format!("CRITICAL - {}", said.join(", "))
    };
    format!(
        "{said} | queued={queued} oldest={oldest}s in_flight={in_flight} failed={failed} alarms={}",
        status.alarms.len()
    )
}

/// `12 pipelines fresh`, or which are not; and which are paused.
fn states(status: &Status) -> String {
    let all = status.pipelines.len();
    let fresh = status.pipelines.iter().filter(|one| one.fresh).count();
    let s = if all == 1 { "" } else { "s" };
    let mut said = vec![if fresh == all {
        format!("{all} pipeline{s} fresh")
    } else {
        format!("{fresh} of {all} pipeline{s} fresh")
    }];
    let others = status.pipelines.iter();
    let others = others.filter(|one| !one.fresh || one.paused);
    said.extend(others.map(|one| {
        let paused = match one.state {
            State::Paused => "",
            _ if one.paused => " and paused",
            _ => "",
        };
        format!("{} {}{paused}", one.name, one.state.as_str())
    }));
    said.join(", ")
}

/// `shop: forbidden (212 wait, 18 min)`.
fn alarm(status: &Status, alarm: &Alarm) -> String {
    let (name, whose) = (alarm.pipeline.as_ref(), alarm.whose());
    let pipelines = status.pipelines.iter();
    let concerned = pipelines.filter(|one| name.is_none_or(|name| *name == one.name));
    let waits: usize = concerned.map(|one| one.planned.queued_assets).sum();
    let waits = match waits {
        0 => String::new(),
        waits => format!("{waits} wait, "),
    };
    let since = alarm.since.unwrap_or(status.now);
    let since = length(status.now.since(since));
    format!("{whose}{} ({waits}{since})", alarm.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_node_leads_has_the_age_of_what_is_queued() {
        let status = serde_json::from_value(serde_json::json!({
            "version": "1", "now": "2026-01-01T00:10:10Z", "api_url": "", "settled": false, "fresh": false,
            "api_rate_limit": 12.5, "api_calls_at_once": 4, "orphaned": [], "credentials": [], "alarms": [],
            "webhooks": null,
            "pipelines": [{
                "name": "www", "id": "w", "queued_assets": 2, "queued_all": null,
                "oldest_queued": "2026-01-01T00:00:00Z", "oldest": null, "in_flight": 0, "failed_assets": 0,
                "learned_max_assets": null, "hot": [], "paused": true, "pauses": [], "origins": [],
                "fresh": false, "causes": [], "state": "starting",
            }],
        }));
        let line = line(&status.unwrap());
        assert!(line.contains(" | queued=2 oldest=610s "), "{line}");
        let begins = "OK - 0 of 1 pipeline fresh, www starting and paused |";
        assert!(line.starts_with(begins), "{line}");
    }
}
