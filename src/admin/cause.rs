//! Why a pipeline is not fresh: one definition for `status`, `wait`, `deploy` and the metrics. Fresh is
//! a pipeline of which nothing is queued, in flight or failed, every origin is seen, and no alarm is on.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::core::alarm::{Alarm, AlarmKind};
use crate::core::cause::{Cause, CauseWord};
use crate::core::planner::{PipelineView, Reason};
use crate::origin::{OriginStatus, WaitingFile, WaitsFor};
use crate::scaleway::printable;

/// Everything that a pipeline waits for; these are its alarms, and those of all pipelines.
pub(crate) fn causes<'a>(
    origins: &[OriginStatus],
    planned: &PipelineView,
    failed_assets: u64,
    alarms: impl Iterator<Item = &'a Alarm>,
) -> Vec<Cause> {
    let mut causes: Vec<Cause> = origins.iter().flat_map(of_origin).collect();
    let mut add = |word, text: String, until| causes.push(Cause { word, text, until });
    let queued = planned.queued_all.is_some() || planned.queued_assets > 0;
    for pause in planned.pauses.iter().filter(|_| queued) {
        let why = match pause.reason.as_str() {
            "" => String::new(),
            reason => format!(" ({})", printable(reason)),
        };
        add(
            CauseWord::Paused,
            format!("it is {}{why}", pause.what()),
            pause.until,
        );
    }
    if let Some(reason) = planned.queued_all {
        let reason = reason.as_str();
        add(
            CauseWord::Queued,
            format!("a purge of everything is queued ({reason})"),
            None,
        );
    }
    if planned.queued_assets > 0 {
        add(
            CauseWord::Queued,
            format!("{} queued", counted(planned.queued_assets as u64, "asset")),
            None,
        );
    }
    if planned.in_flight > 0 {
        add(
            CauseWord::InFlight,
            format!(
                "{} in flight",
                counted(planned.in_flight as u64, "purge request")
            ),
            None,
        );
    }
    for wait in planned.waits.iter().filter(|_| planned.pauses.is_empty()) {
        let (word, text) = waits_for(wait.reason, &planned.awaited);
        add(word, text, wait.until);
    }
    if queued || planned.in_flight > 0 {
        for alarm in alarms.filter(|alarm| alarm.reason.stalls()) {
            add(CauseWord::Refused, alarm.text.clone(), None);
        }
    }
    if failed_assets > 0 {
        add(
            CauseWord::Failed,
            format!("{} failed", counted(failed_assets, "asset")),
            None,
        );
    }
    causes.sort_by_key(|cause| cause.word);
    causes
}

/// That another node is still to do a round; these alarms may be why.
pub(super) fn of_round<'a>(node: &str, alarms: impl Iterator<Item = &'a Alarm>) -> Cause {
    let of_node = |alarm: &&Alarm| alarm.origin.is_some() && alarm.node.as_deref() == Some(node);
    let alarms: BTreeSet<&str> = alarms
        .filter(of_node)
        .map(|alarm| alarm.reason.as_str())
        .collect();
    let alarms: Vec<&str> = alarms.into_iter().collect();
    let why = match alarms.as_slice() {
        [] => String::new(),
        [alarm] => format!(" (alarm {alarm})"),
        _ => format!(" (alarms {})", alarms.join(", ")),
    };
    let text = format!("{node} has not looked at its files yet{why}");
    Cause::new(CauseWord::Round, text)
}

/// Why what is queued is not sent yet, as a cause.
fn waits_for(reason: Reason, awaited: &[Arc<str>]) -> (CauseWord, String) {
    let (word, text) = match reason {
        Reason::Nodes if awaited.is_empty() => {
            let text = "it is not known yet which nodes have the same files";
            (CauseWord::Nodes, text)
        }
        Reason::Nodes => {
            let text = format!("its files are not the same yet on {}", awaited.join(", "));
            return (CauseWord::Nodes, text);
        }
        Reason::Debounce => (CauseWord::Debounce, "more changes may come"),
        Reason::Scan => (CauseWord::Debounce, "a look at its files runs"),
        Reason::Auth => (CauseWord::Auth, "the API does not accept the key"),
        Reason::Backoff => (CauseWord::Backoff, "it is tried again"),
        Reason::Cooldown => (CauseWord::Cooldown, "everything was purged a moment ago"),
        Reason::Rate => (CauseWord::Rate, "the API takes so many calls a second"),
        Reason::Room => (CauseWord::Room, "so many requests may be in flight"),
        Reason::Hot => (CauseWord::Hot, "assets that change all the time"),
    };
    (word, text.to_owned())
}

/// A number of things.
#[must_use]
pub fn counted(number: u64, thing: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{s}")
}

/// Whether nothing is waited for that an origin may notice.
pub(super) fn is_at_rest(origin: &OriginStatus) -> bool {
    of_origin(origin).is_empty()
}

fn of_origin(origin: &OriginStatus) -> Vec<Cause> {
    let mut causes = Vec::new();
    let name = &origin.name;
    let mut add = |word, text: String| {
        causes.push(Cause::new(word, format!("origin {name}: {text}")));
    };
    if !origin.armed {
        let missing = origin
            .alarms
            .iter()
            .find(|alarm| matches!(alarm.reason, AlarmKind::RootMissing | AlarmKind::Bucket));
        let what = match missing {
            Some(alarm) => alarm.text.as_str(),
            None if origin.scanning => {
                &format!("the first look at all files runs{}", progress(origin))
            }
            None => "it was not looked at yet",
        };
        add(CauseWord::Unseen, what.to_owned());
    }
    if let Some(held) = &origin.held {
        add(
            CauseWord::Held,
            format!(
                "{} gone and held back, {} is the first",
                counted(held.files, "file"),
                held.first.escape_debug()
            ),
        );
    }
    for file in &origin.waiting {
        let word = match file.state {
            WaitsFor::Writing => CauseWord::Writing,
            WaitsFor::Reading => CauseWord::Reading,
        };
        add(word, waiting(file));
    }
    let named = origin.waiting.iter();
    let named = named.filter(|file| file.state == WaitsFor::Writing).count() as u64;
    let more = origin.writing_files.saturating_sub(named);
    if more > 0 {
        add(
            CauseWord::Writing,
            format!("{} more being written", counted(more, "file")),
        );
    }
    if origin.unread_files > 0 {
        let first = origin.first_unread.as_deref().unwrap_or_default();
        add(
            CauseWord::Reading,
            format!(
                "{} still to be read, {} is the first",
                counted(origin.unread_files, "file"),
                first.escape_debug()
            ),
        );
    }
    if origin.armed && origin.scanning {
        let progress = progress(origin);
        add(
            CauseWord::Looking,
            format!("a look at all files runs{progress}"),
        );
    }
    let places = origin.pending_hints.saturating_sub(origin.writing_files);
    if places > 0 {
        add(
            CauseWord::Looking,
            format!("{} still to be looked at", counted(places, "place")),
        );
    }
    causes
}

/// How far a scan is: the files, and of how many where the index knows.
pub(crate) fn progress(origin: &OriginStatus) -> String {
    let (files, known) = (origin.scanned_files, origin.indexed_files);
    if files == 0 {
        return String::new();
    }
    let percent = (files.saturating_mul(100)).checked_div(known);
    let percent = percent.map_or_else(String::new, |percent| format!(", {} %", percent.min(100)));
    format!(": {}{percent}", counted(files, "file"))
}

/// What a file waits for.
fn waiting(file: &WaitingFile) -> String {
    const MIB: u64 = 1024 * 1024;
    let (path, since) = (file.path.escape_debug(), file.since);
    match file.read {
        Some((read, size)) => format!(
            "{path} is being read since {since}, {} of {} MiB",
            read / MIB,
            size / MIB
        ),
        None => format!("{path} is being written since {since}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_says_how_far_it_is_and_of_how_many_where_that_is_known() {
        let mut origin = OriginStatus {
            scanning: true,
            scanned_files: 113_549,
            ..OriginStatus::default()
        };
        assert_eq!(progress(&origin), ": 113549 files");
        origin.indexed_files = 300_000;
        assert_eq!(progress(&origin), ": 113549 files, 37 %");
        let pipeline = &of_origin(&origin)[0];
        assert!(
            pipeline
                .text
                .ends_with("the first look at all files runs: 113549 files, 37 %")
        );
        origin.scanned_files = 0;
        assert_eq!(progress(&origin), "");
    }

    #[test]
    fn a_node_that_is_still_to_do_a_round_is_named_with_the_alarms_of_its_origins() {
        let alarm = |reason, node: &str| Alarm {
            node: Some(node.to_owned()),
            ..Alarm::new(reason, String::new())
        };
        let of_origin = |alarm: Alarm| Alarm {
            origin: Some("site".to_owned()),
            ..alarm
        };
        let mut alarms = vec![
            of_origin(alarm(AlarmKind::Hung, "web-3")),
            alarm(AlarmKind::Clock, "web-2"),
        ];
        let said = |alarms: &[Alarm]| of_round("web-2", alarms.iter()).text;
        assert_eq!(said(&alarms), "web-2 has not looked at its files yet");
        alarms.push(of_origin(alarm(AlarmKind::RootMissing, "web-2")));
        let one = "web-2 has not looked at its files yet (alarm root_missing)";
        assert_eq!(said(&alarms), one);
        alarms.push(of_origin(alarm(AlarmKind::Hung, "web-2")));
        let two = "web-2 has not looked at its files yet (alarms hung, root_missing)";
        assert_eq!(said(&alarms), two);
    }

    #[test]
    fn a_batch_that_waits_for_nodes_says_for_which() {
        let names = ["web-2".into(), "web-3".into()];
        let (word, text) = waits_for(Reason::Nodes, &names);
        assert_eq!(word, CauseWord::Nodes);
        assert_eq!(text, "its files are not the same yet on web-2, web-3");
        let (_, text) = waits_for(Reason::Nodes, &[]);
        assert_eq!(text, "it is not known yet which nodes have the same files");
    }
}
