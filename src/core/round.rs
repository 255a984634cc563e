//! A round: what every node that has origins of a pipeline does with them once, whichever node asked for it.
//!
//! A later round has a greater number, and each node says up to which one it has done them. So whatever waits
//! for a round compares numbers, and a change of the leader in the middle changes nothing.

use super::change::{PipelineId, Seq};
use super::lease::NodeId;
use super::nodes::{Node, NodeState};
use super::time::Time;

/// The rounds of a pipeline and a kind that are kept: the last. A node that has an older one to do has a
/// newer one to do as well.
pub const KEPT: usize = 20;

/// The number of a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoundId(pub u64);

/// What is done in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RoundKind {
    /// Each origin is scanned, and once more when nothing changes there.
    Scan,
    /// Whatever changed before is noticed.
    Notice,
}

impl RoundKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Scan, Self::Notice];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Notice => "notice",
        }
    }
}

/// A round that a person asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRound {
    /// Whose origins.
    pub pipeline: PipelineId,
    /// What is done with them.
    pub kind: RoundKind,
    /// The node on which a loss that the guard holds back counts as real.
    pub accept_loss: Option<NodeId>,
}

/// A round that deliveries wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryRound {
    /// Its number.
    pub id: RoundId,
    /// It serves deliveries that were due until then,
    pub due: Time,
    /// and of those the ones up to this number, which were there when it began.
    pub last: u64,
}

/// What a node has to do of the rounds of a pipeline and a kind: all of them at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueRounds {
    /// The last of them.
    pub last: RoundId,
    /// Whether a person asked for one of them.
    pub asked: bool,
    /// Whether a loss on this node counts as real.
    pub accept_loss: bool,
}

/// How far a node is with the rounds of a pipeline and a kind, and the node as it is read with that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The node, which has origins of the pipeline.
    pub node: NodeId,
    /// What it is called.
    pub name: String,
    /// Moves while it runs.
    pub beat: i64,
    /// Whether it stopped by itself.
    pub has_left: bool,
    /// The last round that it has done.
    pub round: RoundId,
    /// The last change that was committed by then.
    pub last: Seq,
    /// What it found.
    pub report: String,
}

/// How far a round is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The nodes that have done it.
    pub done: Vec<Served>,
    /// The names of those that are still to do it.
    pub waiting: Vec<String>,
    /// The names of those that fell silent before they had done it. It is not known what changed there.
    pub silent: Vec<String>,
}

/// How far a round is, with the nodes as they were observed last. A node that has stopped is not waited for, as
/// it scans when it starts; nor one of those that are left out. What the observation lacks, such as a node that
/// has just started, is waited for.
#[must_use]
pub fn progress(round: RoundId, served: Vec<Served>, nodes: &[Node], without: &[&str]) -> Progress {
    let mut progress = Progress::default();
    for served in served {
        let stands_still = |node: &Node| {
            node.state == NodeState::Silent && node.observed == Some((served.node, served.beat))
        };
        if served.round >= round {
            progress.done.push(served);
        } else if served.has_left || without.contains(&&*served.name) {
            // It is not waited for.
        } else if nodes.iter().any(stands_still) {
            progress.silent.push(served.name);
        } else {
            progress.waiting.push(served.name);
        }
    }
    progress
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::nodes::{ConfigDigests, NodeReport};

    const BEAT: i64 = 7;

    fn node(id: i64, state: NodeState) -> Node {
        Node {
            name: name(id),
            state,
            since: Time::ZERO,
            version: String::new(),
            report: NodeReport::default(),
            config: ConfigDigests::default(),
            observed: Some((NodeId(id), BEAT)),
        }
    }

    fn name(id: i64) -> String {
        format!("web-{id}")
    }

    fn served(node: i64, round: u64) -> Served {
        Served {
            node: NodeId(node),
            name: name(node),
            beat: BEAT,
            has_left: false,
            round: RoundId(round),
            last: Seq(0),
            report: String::new(),
        }
    }

    /// Which nodes have done round 5, which are waited for, and which are silent.
    fn names(of: Vec<Served>, nodes: &[Node], without: &[&str]) -> [Vec<String>; 3] {
        let progress = progress(RoundId(5), of, nodes, without);
        let done = progress.done.into_iter().map(|served| served.name);
        [done.collect(), progress.waiting, progress.silent]
    }

    #[test]
    fn every_node_that_runs_is_waited_for_and_a_silent_one_is_named() {
        let nodes = [
            node(1, NodeState::Leads),
            node(2, NodeState::Follows),
            node(3, NodeState::Silent),
            node(4, NodeState::Left),
            // It has no origin of the pipeline.
            node(5, NodeState::Follows),
        ];
        let all = || {
            let has_left = |served: Served| Served {
                has_left: served.node == NodeId(4),
                ..served
            };
            let all = (1..=4).map(|node| has_left(served(node, 4)));
            all.collect::<Vec<_>>()
        };
        let [done, waiting, silent] = names(all(), &nodes, &[]);
        assert!(done.is_empty());
        assert_eq!(waiting, ["web-1", "web-2"]);
        assert_eq!(silent, ["web-3"]);
        let [_, waiting, silent] = names(all(), &nodes, &["web-2", "web-3"]);
        assert_eq!(waiting, ["web-1"]);
        assert!(silent.is_empty());
    }

    #[test]
    fn a_node_that_has_done_a_later_round_has_done_this_one_wherever_it_is_now() {
        let nodes = [node(1, NodeState::Leads), node(2, NodeState::Silent)];
        let [done, waiting, silent] = names(vec![served(1, 5), served(2, 6)], &nodes, &[]);
        assert_eq!(done, ["web-1", "web-2"]);
        assert!(waiting.is_empty() && silent.is_empty());
    }

    #[test]
    fn a_node_that_has_started_since_the_nodes_were_observed_is_waited_for() {
        let nodes = [
            node(1, NodeState::Leads),
            node(2, NodeState::Left),
            node(3, NodeState::Silent),
        ];
        let moved = Served {
            beat: BEAT + 1,
            ..served(3, 4)
        };
        let rows = vec![served(1, 5), served(2, 4), moved, served(9, 4)];
        let [done, waiting, silent] = names(rows, &nodes, &[]);
        assert_eq!(done, ["web-1"]);
        assert_eq!(waiting, ["web-2", "web-3", "web-9"]);
        assert!(silent.is_empty());
    }
}
