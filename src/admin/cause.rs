//! Why a pipeline is not fresh: one definition for `status`, `wait`, `deploy` and the metrics. Fresh is
//! a pipeline of which nothing is queued, in flight or failed, every origin is seen, and no alarm is on.

use serde::{Deserialize, Serialize};

use super::status::{AlarmView, OriginView, PipelineStatus};
use crate::origin::ROOT_MISSING;

/// Something that a pipeline waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// A short word.
    pub word: CauseWord,
    /// What is waited for, for a person.
    pub text: String,
}

/// The kinds of causes, in the order in which they are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseWord {
    /// An origin is not watched and compared yet.
    Unseen,
    /// What is gone is not believed.
    Held,
    /// Files are being written.
    Writing,
    /// Files are being read, or are still to be.
    Reading,
    /// Places are still to be looked at.
    Looking,
    /// What is queued is not sent.
    Paused,
    /// Assets wait for a purge request.
    Queued,
    /// Purge requests are not settled.
    InFlight,
    /// The API does not take what is queued, or does not tell of what is in flight.
    Refused,
    /// Assets are given up.
    Failed,
}

/// The alarms that say why what is queued or in flight stays so.
const REFUSALS: [&str; 8] = [
    "api",
    "forbidden",
    "fruitless",
    "overdue",
    "rate_limited",
    "unauthorized",
    "unready",
    "untracked",
];

/// Everything that a pipeline waits for; these are its alarms, and those of all pipelines.
pub(super) fn causes<'a>(
    pipeline: &PipelineStatus,
    alarms: impl Iterator<Item = &'a AlarmView>,
) -> Vec<Cause> {
    let mut causes: Vec<Cause> = pipeline.origins.iter().flat_map(of_origin).collect();
    let mut add = |word, text: String| causes.push(Cause { word, text });
    let queued = pipeline.queued_all.is_some() || pipeline.queued_assets > 0;
    for pause in pipeline.pauses.iter().filter(|_| queued) {
        let why = match pause.reason.as_str() {
            "" => String::new(),
            reason => format!(" ({})", reason.escape_debug()),
        };
        add(CauseWord::Paused, format!("it is paused{why}"));
    }
    if let Some(reason) = pipeline.queued_all {
        add(
            CauseWord::Queued,
            format!("a purge of everything is queued ({reason})"),
        );
    }
    if pipeline.queued_assets > 0 {
        add(
            CauseWord::Queued,
            format!("{} queued", counted(pipeline.queued_assets as u64, "asset")),
        );
    }
    if pipeline.in_flight > 0 {
        add(
            CauseWord::InFlight,
            format!(
                "{} in flight",
                counted(pipeline.in_flight as u64, "purge request")
            ),
        );
    }
    if queued || pipeline.in_flight > 0 {
        for alarm in alarms.filter(|alarm| REFUSALS.contains(&alarm.reason.as_str())) {
            add(CauseWord::Refused, alarm.text.clone());
        }
    }
    if pipeline.failed_assets > 0 {
        add(
            CauseWord::Failed,
            format!("{} failed", counted(pipeline.failed_assets, "asset")),
        );
    }
    causes.sort_by_key(|cause| cause.word);
    causes
}

/// A number of things.
#[must_use]
pub fn counted(number: u64, thing: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{s}")
}

fn of_origin(origin: &OriginView) -> Vec<Cause> {
    let mut causes = Vec::new();
    let name = &origin.name;
    let mut add = |word, text: String| {
        causes.push(Cause {
            word,
            text: format!("origin {name}: {text}"),
        });
    };
    if !origin.armed {
        let missing = origin
            .alarms
            .iter()
            .find(|alarm| alarm.reason == ROOT_MISSING);
        let what = match missing {
            Some(alarm) => alarm.text.as_str(),
            None if origin.scanning => "the first look at all files runs",
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
        add(file.state, file.text());
    }
    let named = |word| {
        let named = origin.waiting.iter().filter(|file| file.state == word);
        u64::try_from(named.count()).unwrap_or(u64::MAX)
    };
    let more = origin
        .writing_files
        .saturating_sub(named(CauseWord::Writing));
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
        add(CauseWord::Looking, "a look at all files runs".to_owned());
    }
    let places = origin.pending.saturating_sub(origin.writing_files);
    if places > 0 {
        add(
            CauseWord::Looking,
            format!("{} still to be looked at", counted(places, "place")),
        );
    }
    causes
}
