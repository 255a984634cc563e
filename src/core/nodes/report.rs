//! What a node reports of itself to the others, so that each of them can show all: its alarms, how it stands
//! with its origins, and what the planner waits for, where it leads. It is bounded, and says what there was no room for.

use serde::{Deserialize, Serialize};

use crate::core::alarm::Alarm;
use crate::core::cause::Cause;
use crate::core::sum::Sum;

/// The alarms that a node reports.
pub(super) const ALARMS: usize = 20;
/// The origins that a node reports.
pub(super) const ORIGINS: usize = 50;
/// The pipelines of which a node reports what the planner waits for.
pub(super) const WAITS: usize = 50;
/// The characters of each text in it.
pub(super) const CHARACTERS: usize = 500;

/// What a node reports of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeReport {
    /// Its alarms, but those that every node finds in the queue by itself.
    pub alarms: Vec<Alarm>,
    /// Its origins.
    pub origins: Vec<NodeOrigin>,
    /// What its planner waits for; of a leader.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<NodeWait>,
    /// How many alarms, origins and waits more it has, or has in words that this version does not know.
    #[serde(skip_serializing_if = "is_zero")]
    pub omitted: usize,
}

/// How it stands with an origin of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeOrigin {
    /// The pipeline's name.
    pub pipeline: String,
    /// Its own.
    pub origin: String,
    /// `watching`, `polling`, `scanning` or `starting`.
    pub state: String,
    /// The files in its index.
    pub indexed_files: u64,
    /// Their sum; none while a change of them is on its way, here or from another node, and of a bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum: Option<Sum>,
    /// What it would be with the diverged files of other nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apart: Vec<Apart>,
}

/// Why what is queued of a pipeline is not sent yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeWait {
    /// The pipeline's name.
    pub pipeline: String,
    /// What is waited for.
    pub causes: Vec<Cause>,
}

/// What a node would hold with the files of another one that are diverged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Apart {
    /// The other node.
    pub node: String,
    /// How many files that are.
    pub files: usize,
    /// The sum of what it would hold.
    pub sum: Sum,
}

impl NodeOrigin {
    /// Whether it only waits for changes.
    pub(super) fn is_at_rest(&self) -> bool {
        matches!(self.state.as_str(), "watching" | "polling")
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl NodeReport {
    /// A report of these, as far as there is room.
    #[must_use]
    pub fn new<'a>(
        alarms: impl Iterator<Item = &'a Alarm>,
        origins: impl Iterator<Item = NodeOrigin>,
        waits: impl Iterator<Item = NodeWait>,
    ) -> Self {
        let alarms: Vec<&Alarm> = alarms.filter(|one| !one.reason.is_everyones()).collect();
        let mut origins: Vec<NodeOrigin> = origins.collect();
        let mut waits: Vec<NodeWait> = waits.collect();
        let omitted = [
            (alarms.len(), ALARMS),
            (origins.len(), ORIGINS),
            (waits.len(), WAITS),
        ];
        origins.truncate(ORIGINS);
        waits.truncate(WAITS);
        for cause in waits.iter_mut().flat_map(|wait| &mut wait.causes) {
            cause.text = cut(&cause.text);
        }
        Self {
            alarms: alarms.into_iter().take(ALARMS).map(short).collect(),
            origins,
            waits,
            omitted: omitted
                .map(|(all, most)| all.saturating_sub(most))
                .iter()
                .sum(),
        }
    }

    /// The report as a text, for the others.
    #[must_use]
    pub fn written(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What a node has written. What a newer version says in words of its own is counted.
    #[must_use]
    pub fn read(written: &str) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Said {
            alarms: Vec<serde_json::Value>,
            origins: Vec<serde_json::Value>,
            waits: Vec<serde_json::Value>,
            omitted: usize,
        }
        fn known<T: serde::de::DeserializeOwned>(said: Vec<serde_json::Value>) -> Vec<T> {
            let known = said.into_iter().map(serde_json::from_value);
            known.filter_map(Result::ok).collect()
        }
        let said: Said = serde_json::from_str(written).unwrap_or_default();
        let all = said.omitted + said.alarms.len() + said.origins.len() + said.waits.len();
        let (alarms, origins, waits) = (
            known::<Alarm>(said.alarms),
            known::<NodeOrigin>(said.origins),
            known::<NodeWait>(said.waits),
        );
        Self {
            omitted: all - alarms.len() - origins.len() - waits.len(),
            alarms,
            origins,
            waits,
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(CHARACTERS).collect()
}

/// An alarm with texts of bounded length.
fn short(alarm: &Alarm) -> Alarm {
    Alarm {
        text: cut(&alarm.text),
        remedy: cut(&alarm.remedy),
        ..alarm.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::alarm::AlarmKind;
    use crate::core::cause::CauseWord;

    fn alarm(reason: AlarmKind) -> Alarm {
        Alarm::new(reason, "ä".repeat(9_000)).of_pipeline("www")
    }

    #[test]
    fn a_report_is_read_as_it_was_written_and_its_size_is_bounded() {
        let alarms = vec![alarm(AlarmKind::RootMissing); 25];
        let origins = vec![NodeOrigin::default(); 60];
        let cause = Cause::new(CauseWord::Nodes, "ä".repeat(9_000));
        let wait = NodeWait {
            pipeline: "www".to_owned(),
            causes: vec![cause],
        };
        let waits = vec![wait; 60].into_iter();
        let report = NodeReport::new(alarms.iter(), origins.into_iter(), waits);
        assert_eq!((report.alarms.len(), report.origins.len()), (20, 50));
        assert_eq!((report.waits.len(), report.omitted), (50, 25));
        let written = report.written();
        assert!(written.len() < 120_000, "{}", written.len());
        assert_eq!(NodeReport::read(&written), report);
        assert_eq!(NodeReport::read(""), NodeReport::default());
    }

    #[test]
    fn what_each_node_finds_in_the_queue_is_not_reported_once_more() {
        let alarms = [alarm(AlarmKind::Failed), alarm(AlarmKind::Hung)];
        let report = NodeReport::new(alarms.iter(), std::iter::empty(), std::iter::empty());
        assert_eq!(report.alarms.len(), 1);
        assert_eq!(report.alarms[0].reason, AlarmKind::Hung);
    }

    #[test]
    fn an_alarm_of_a_newer_version_is_counted_and_hides_no_other() {
        let known = serde_json::to_value(alarm(AlarmKind::Hung)).unwrap();
        let mut new = known.clone();
        new["reason"] = "melted".into();
        let written = serde_json::json!({ "alarms": [new, known], "more": 1 }).to_string();
        let report = NodeReport::read(&written);
        assert_eq!((report.alarms.len(), report.omitted), (1, 1));
    }
}
