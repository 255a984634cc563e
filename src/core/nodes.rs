//! Which of the nodes that share a queue live, as one of them observes it: a node whose beat has not moved
//! for [`PATIENCE`] by the observer's clock is silent. No clock is compared with another machine's.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::lease::{NodeId, PATIENCE};
use super::time::Time;
pub use differences::{ConfigDigests, Differences, LIMITS};
pub use report::{Apart, NodeOrigin, NodeReport, NodeWait};
pub use trees::{Comparison, OtherTree, Trees};

mod differences;
mod report;
mod trees;

/// How long a node is silent until an operator has to know: longer than a machine takes to start again.
const MISSED: Duration = Duration::from_mins(1);

/// What is read of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// Its number.
    pub id: NodeId,
    /// What it is called.
    pub name: String,
    /// Moves while it runs.
    pub beat: i64,
    /// Whether it stopped by itself.
    pub has_left: bool,
    /// Whether the lease is its own.
    pub leads: bool,
    /// When it was last known to run, by its clock.
    pub since: Time,
    /// Its version of edgepurge.
    pub version: String,
    /// What it reports: [`NodeReport::written`].
    pub report: String,
    /// What it has of the configuration that all have: [`ConfigDigests`], as JSON.
    pub config: String,
}

/// How it stands with a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It plans and sends.
    Leads,
    /// It notices, and another one leads.
    #[default]
    Follows,
    /// It does not move, and did not say that it stops.
    Silent,
    /// It stopped.
    Left,
}

impl NodeState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Leads, Self::Follows, Self::Silent, Self::Left];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Leads => "leads",
            Self::Follows => "follows",
            Self::Silent => "silent",
            Self::Left => "left",
        }
    }

    /// Whether it runs.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Leads | Self::Follows)
    }
}

/// A node, as `status` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// What it is called.
    pub name: String,
    /// How it stands with it.
    pub state: NodeState,
    /// When it was last known to run, by its clock.
    pub since: Time,
    /// Its version of edgepurge.
    pub version: String,
    /// What it reported last; of a silent one that may be old.
    #[serde(flatten, default)]
    pub report: NodeReport,
    /// What it has of the configuration that all have.
    #[serde(skip, default)]
    pub config: ConfigDigests,
    /// Its number, and its beat when it was observed.
    #[serde(skip, default)]
    pub observed: Option<(NodeId, i64)>,
}

impl Node {
    /// What it reports beside alarms that are shown by themselves, in words. What a silent node said last may be over.
    #[must_use]
    pub fn said(&self) -> Vec<String> {
        let NodeReport {
            alarms,
            origins,
            omitted,
            waits: _,
        } = &self.report;
        let mut said = Vec::new();
        if self.state.is_live() && !origins.is_empty() {
            let files: u64 = origins.iter().map(|origin| origin.indexed_files).sum();
            said.push(format!("{files} file{}", if files == 1 { "" } else { "s" }));
            let busy = origins.iter().filter(|one| !one.is_at_rest());
            said.extend(busy.map(|one| {
                let NodeOrigin {
                    pipeline,
                    origin,
                    state,
                    ..
                } = one;
                format!("{pipeline}: origin {origin} {state}")
            }));
        }
        if self.state == NodeState::Silent {
            let before = alarms.iter();
            said.extend(
                before.map(|alarm| format!("before that: {}{}", alarm.whose(), alarm.reason)),
            );
        }
        if *omitted > 0 {
            said.push(format!("{omitted} more things to tell: ask it"));
        }
        said
    }
}

/// What was observed of the nodes.
#[derive(Clone, Debug, Default)]
pub struct Census {
    /// The last beat of each, and when it moved.
    beats: BTreeMap<NodeId, (i64, Time)>,
    /// The last beat of each that is missed.
    missed: BTreeMap<NodeId, i64>,
}

impl Census {
    /// How it stands with the nodes that were read.
    pub fn observe(&mut self, now: Time, rows: Vec<NodeRow>) -> Vec<Node> {
        let known = std::mem::take(&mut self.beats);
        let node = |row: NodeRow| {
            let before = known.get(&row.id).filter(|(beat, _)| *beat == row.beat);
            let moved = before.map_or(now, |(_, moved)| *moved);
            self.beats.insert(row.id, (row.beat, moved));
            let state = match row {
                NodeRow { has_left: true, .. } => NodeState::Left,
                _ if now >= moved.after(PATIENCE) => NodeState::Silent,
                NodeRow { leads: true, .. } => NodeState::Leads,
                NodeRow { .. } => NodeState::Follows,
            };
            Node {
                name: row.name,
                state,
                since: row.since,
                version: row.version,
                report: NodeReport::read(&row.report),
                config: serde_json::from_str(&row.config).unwrap_or_default(),
                observed: Some((row.id, row.beat)),
            }
        };
        rows.into_iter().map(node).collect()
    }

    /// The observed nodes that have been silent for a minute, and did not stop by themselves. One that is missed
    /// stays so until its beat moves, also where the nodes can't be read for a while.
    pub fn missed<'n>(&mut self, now: Time, nodes: &'n [Node]) -> Vec<&'n Node> {
        let before = std::mem::take(&mut self.missed);
        let is_missed = |node: &&Node| {
            let Some((id, beat)) = node.observed.filter(|_| node.state != NodeState::Left) else {
                return false;
            };
            let moved = self.beats.get(&id).map(|(_, moved)| *moved);
            let is_late = moved.is_some_and(|moved| now >= moved.after(MISSED));
            let is_missed = is_late || before.get(&id) == Some(&beat);
            if is_missed {
                self.missed.insert(id, beat);
            }
            is_missed
        };
        nodes.iter().filter(is_missed).collect()
    }

    /// The nodes could not be read: that time does not count against them.
    pub fn interrupted(&mut self) {
        self.beats.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(beat: i64) -> NodeRow {
        NodeRow {
            id: NodeId(2),
            name: "web-2".to_owned(),
            beat,
            has_left: false,
            leads: false,
            since: Time::ZERO,
            version: String::new(),
            report: String::new(),
            config: String::new(),
        }
    }

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_node_is_silent_when_its_beat_stands_still_and_back_when_it_moves() {
        let mut census = Census::default();
        let mut state = |second, beat| census.observe(at(second), vec![row(beat)])[0].state;
        assert_eq!(state(0, 7), NodeState::Follows);
        assert_eq!(state(9, 7), NodeState::Follows);
        assert_eq!(state(10, 7), NodeState::Silent);
        // A process that starts again may count from any number.
        assert_eq!(state(11, 3), NodeState::Follows);
        assert_eq!(state(20, 3), NodeState::Follows);
        assert_eq!(state(21, 3), NodeState::Silent);
    }

    #[test]
    fn a_node_is_not_silent_because_it_could_not_be_read() {
        let mut census = Census::default();
        let first = census.observe(at(0), vec![row(7)]);
        census.interrupted();
        assert_eq!(census.observe(at(60), vec![row(7)]), first);
    }

    #[test]
    fn a_node_is_missed_when_it_is_silent_for_a_minute_until_it_is_back_stops_or_is_forgotten() {
        let mut census = Census::default();
        let mut missed = |second, rows: Vec<NodeRow>| {
            let nodes = census.observe(at(second), rows);
            let missed = census.missed(at(second), &nodes);
            missed
                .iter()
                .map(|node| node.name.clone())
                .collect::<Vec<_>>()
        };
        let none: [String; 0] = [];
        assert_eq!(missed(0, vec![row(7)]), none);
        assert_eq!(missed(59, vec![row(7)]), none);
        assert_eq!(missed(60, vec![row(7)]), ["web-2"]);
        assert_eq!(missed(61, vec![row(7)]), ["web-2"]);
        assert_eq!(missed(62, vec![row(8)]), none, "it is back");
        assert_eq!(missed(122, vec![row(8)]), ["web-2"]);
        let left = NodeRow {
            has_left: true,
            ..row(8)
        };
        assert_eq!(missed(124, vec![left]), none, "it stopped");
        assert_eq!(missed(126, vec![row(9)]), none);
        assert_eq!(missed(190, vec![row(9)]), ["web-2"]);
        assert_eq!(missed(191, vec![]), none, "it is forgotten");
    }

    #[test]
    fn a_node_that_is_missed_stays_so_when_the_nodes_could_not_be_read() {
        let mut census = Census::default();
        let missed = |second, census: &mut Census, beat| {
            let nodes = census.observe(at(second), vec![row(beat)]);
            census.missed(at(second), &nodes).len()
        };
        assert_eq!(missed(0, &mut census, 7), 0);
        assert_eq!(missed(60, &mut census, 7), 1);
        census.interrupted();
        assert_eq!(missed(70, &mut census, 7), 1);
        census.interrupted();
        assert_eq!(missed(80, &mut census, 8), 0);
        // That the nodes could not be read is the fault of none.
        census.interrupted();
        assert_eq!(missed(170, &mut census, 8), 0);
    }

    #[test]
    fn a_node_that_said_that_it_stops_has_left_and_a_silent_one_does_not_lead() {
        let mut census = Census::default();
        let leader = || NodeRow {
            leads: true,
            ..row(7)
        };
        assert_eq!(
            census.observe(at(0), vec![leader()])[0].state,
            NodeState::Leads
        );
        assert_eq!(
            census.observe(at(10), vec![leader()])[0].state,
            NodeState::Silent
        );
        let left = NodeRow {
            has_left: true,
            ..row(7)
        };
        assert_eq!(census.observe(at(11), vec![left])[0].state, NodeState::Left);
    }
}
