//! `status --check`: one line for monitoring, with performance data as Nagios and its kin read them.

use crate::admin::api::Status;
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
    let oldest = pipelines
        .filter_map(|one| one.oldest.as_ref())
        .map(|one| one.seen)
        .min();
    let oldest = oldest.map_or(0, |seen| status.now.since(seen).as_secs());
    let said = if status.alarms.is_empty() {
        format!("OK - {}", states(status))
    } else {
        let alarms: Vec<String> = status.alarms.iter().map(|one| alarm(status, one)).collect();
        format!("CRITICAL - {}", alarms.join(", "))
    };
    format!(
        "{said} | queued={queued} oldest={oldest}s in_flight={in_flight} failed={failed} alarms={}",
        status.alarms.len()
    )
}

/// `12 pipelines fresh`, or which are not.
fn states(status: &Status) -> String {
    let all = status.pipelines.len();
    let others = status.pipelines.iter().filter(|one| !one.fresh);
    let others: Vec<String> = others
        .map(|one| format!("{} {}", one.name, one.state.as_str()))
        .collect();
    let s = if all == 1 { "" } else { "s" };
    match others.as_slice() {
        [] => format!("{all} pipeline{s} fresh"),
        _ => format!(
            "{} of {all} pipeline{s} fresh, {}",
            all - others.len(),
            others.join(", ")
        ),
    }
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
