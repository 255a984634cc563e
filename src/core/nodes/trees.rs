//! Whether the nodes hold the same files, as one of them observes it in what each reports: the sum of the files of an
//! origin (`core/sum.rs`), which it leaves out while a change of them is on its way.
//!
//! That sums are the same proves it at once. That they are not may be because one report is older than the other: a
//! node holds other files when none of the sums has moved for [`QUIET`], and until its files are seen to be the same.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Node, NodeOrigin, NodeState};
use crate::core::sum::Sum;
use crate::core::time::Time;

/// How long all sums stand still before a difference counts: several times what a report takes.
const QUIET: Duration = Duration::from_secs(10);

/// How the files of an origin compare on the live nodes that have it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trees {
    /// The pipeline's name.
    pub pipeline: String,
    /// The origin's.
    pub origin: String,
    /// The nodes that hold the same files: the most that do.
    pub same: Vec<String>,
    /// How many files they hold; where not all hold as many, since some are diverged, how many one of them does.
    pub files: u64,
    /// How many files each of them holds.
    #[serde(default)]
    pub held: BTreeMap<String, u64>,
    /// How many of them are diverged: they are not the same on all of these nodes, and all others are.
    pub diverged: usize,
    /// The nodes that hold other files.
    pub differ: Vec<OtherTree>,
    /// The nodes of which it is not known now: a change of their files is on its way.
    pub moving: Vec<String>,
    /// How many nodes run. One that is named nowhere has not said that it has the origin.
    pub live: usize,
    /// How many nodes are silent: it is not known what they hold.
    #[serde(default)]
    pub silent: usize,
}

/// The files of an origin on a node that holds others than most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherTree {
    /// The node.
    pub node: String,
    /// How many files it has.
    pub files: u64,
    /// Since when they are known to be others.
    pub since: Time,
}

impl Trees {
    /// How it stands, in words; `past` writes a time.
    #[must_use]
    pub fn said(&self, past: impl Fn(Time) -> String) -> String {
        let mut said = Vec::new();
        match self.same.as_slice() {
            [] => {}
            [one] => said.push(format!("{one} holds {}", counted(self.files))),
            nodes => {
                let who = match (nodes.len(), self.silent) {
                    (some, _) if some != self.live => nodes.join(", "),
                    (all, 0) => format!("all {all} nodes"),
                    (2, _) => "both nodes that run".to_owned(),
                    (all, _) => format!("all {all} nodes that run"),
                };
                said.push(format!("{who} hold the same {}", self.held()));
            }
        }
        said.extend(self.differ.iter().map(|other| {
            let (has, since) = (counted(other.files), past(other.since));
            format!("{} has held others since {since}, {has}", other.node)
        }));
        match (self.differ.len(), self.same.len()) {
            (0, _) => {}
            (1, 2..) => said.push("deploy to it again".to_owned()),
            _ => said.push("deploy again to the node that is behind".to_owned()),
        }
        if !self.moving.is_empty() {
            said.push(format!("not known now of {}", self.moving.join(", ")));
        }
        said.join("; ")
    }

    /// What those hold that hold the same, in words. Diverged files may be gone on some of them, which hold fewer then.
    fn held(&self) -> String {
        let mut counts: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
        for (node, files) in &self.held {
            counts.entry(*files).or_default().push(node);
        }
        let diverged = self.diverged as u64;
        if diverged == 0 {
            return counted(self.files);
        } else if counts.len() < 2 {
            let (files, diverged) = (counted(self.files), counted(diverged));
            return format!("{files}, but for {diverged} diverged");
        }
        let mut counts: Vec<(u64, Vec<&str>)> = counts.into_iter().collect();
        counts.sort_by_key(|(files, nodes)| Reverse((nodes.len(), *files)));
        let each = counts.iter().enumerate().map(|(at, (files, nodes))| {
            let names = nodes.join(", ");
            let hold = if nodes.len() == 1 { "holds" } else { "hold" };
            match at {
                0 => format!("{names} {hold} {}", counted(*files)),
                _ => format!("{names} {files}"),
            }
        });
        let each: Vec<String> = each.collect();
        let are = if diverged == 1 { "is" } else { "are" };
        format!(
            "files, but for {diverged} that {are} diverged ({})",
            each.join(", ")
        )
    }
}

fn counted(files: u64) -> String {
    format!("{files} file{}", if files == 1 { "" } else { "s" })
}

/// What is observed of the files of each origin, by pipeline and origin.
#[derive(Clone, Debug, Default)]
pub struct Comparison(BTreeMap<(String, String), Watched>);

#[derive(Clone, Debug, Default)]
struct Watched {
    sums: BTreeMap<String, Sum>,
    /// When one of the sums moved last.
    moved: Time,
    /// The nodes whose files were not seen to be the same since then, and whether that counts.
    apart: BTreeMap<String, (Time, bool)>,
}

impl Comparison {
    /// How the files of each origin compare that several live nodes have. A bucket is the same for all of them, and
    /// has no sum.
    pub fn observe(&mut self, now: Time, nodes: &[Node]) -> Vec<Trees> {
        let mut origins: BTreeMap<(String, String), BTreeMap<&str, &NodeOrigin>> = BTreeMap::new();
        let live: Vec<&Node> = nodes.iter().filter(|node| node.state.is_live()).collect();
        let silent = nodes
            .iter()
            .filter(|node| node.state == NodeState::Silent)
            .count();
        for node in &live {
            for origin in &node.report.origins {
                let key = (origin.pipeline.clone(), origin.origin.clone());
                origins.entry(key).or_default().insert(&node.name, origin);
            }
        }
        origins.retain(|key, of| {
            let any = of.values().any(|one| one.sum.is_some());
            of.len() > 1 && (any || self.0.contains_key(key))
        });
        self.0.retain(|key, _| origins.contains_key(key));
        let origins = origins.into_iter();
        let compared = origins.map(|(key, of)| {
            let watched = self.0.entry(key.clone()).or_default();
            let (pipeline, origin) = key;
            Trees {
                pipeline,
                origin,
                live: live.len(),
                silent,
                ..watched.observe(now, &of)
            }
        });
        compared.collect()
    }
}

impl Watched {
    fn observe(&mut self, now: Time, nodes: &BTreeMap<&str, &NodeOrigin>) -> Trees {
        let sums = nodes.iter();
        let sums = sums.filter_map(|(name, one)| Some(((*name).to_owned(), one.sum?)));
        let sums: BTreeMap<String, Sum> = sums.collect();
        if sums != self.sums {
            (self.sums, self.moved) = (sums, now);
        }
        let rests = now >= self.moved.after(QUIET);
        self.apart.retain(|name, _| nodes.contains_key(&**name));
        let mut trees = Trees::default();
        let most = most(nodes);
        for (name, one) in nodes {
            let alike = most.and_then(|most| alike(most, (name, one)));
            if let Some(diverged) = alike {
                self.apart.remove(*name);
                trees.diverged = trees.diverged.max(diverged);
                trees.same.push((*name).to_owned());
                trees.held.insert((*name).to_owned(), one.indexed_files);
                continue;
            }
            if one.sum.is_some() {
                let (_, counts) = self.apart.entry((*name).to_owned()).or_insert((now, false));
                *counts |= rests;
            }
            match self.apart.get(*name) {
                Some((since, true)) => trees.differ.push(OtherTree {
                    node: (*name).to_owned(),
                    files: one.indexed_files,
                    since: *since,
                }),
                _ => trees.moving.push((*name).to_owned()),
            }
        }
        trees.files = most.map_or(0, |(_, most)| most.indexed_files);
        trees
    }
}

/// The node that the most others have the same files as; the first by name of several.
fn most<'a>(nodes: &BTreeMap<&'a str, &'a NodeOrigin>) -> Option<(&'a str, &'a NodeOrigin)> {
    let with_sum = || nodes.iter().filter(|(_, one)| one.sum.is_some());
    let counted = with_sum().map(|(name, one)| {
        let of = (*name, *one);
        let same = with_sum().filter(|(name, one)| alike(of, (name, one)).is_some());
        (same.count(), of)
    });
    // Of equal ones, the last counts.
    let counted: Vec<_> = counted.collect();
    let most = counted.into_iter().rev().max_by_key(|(same, _)| *same);
    most.map(|(_, of)| of)
}

/// Whether two nodes hold the same files, and how many of these are diverged.
fn alike(a: (&str, &NodeOrigin), b: (&str, &NodeOrigin)) -> Option<usize> {
    let (of_a, of_b) = (a.1.sum?, b.1.sum?);
    if of_a == of_b {
        return Some(0);
    }
    // What one has with the other's diverged files, is what that one has: either knows of all of them, or both know
    // of some.
    let as_other = |one: &NodeOrigin, other: &str| {
        let apart = one.apart.iter().find(|apart| apart.node == other);
        apart.map(|apart| (apart.files, apart.sum))
    };
    let (a_as_b, b_as_a) = (as_other(a.1, b.0), as_other(b.1, a.0));
    let equal = |one: Option<(usize, Sum)>, other: Sum| one.filter(|(_, sum)| *sum == other);
    let known = equal(a_as_b, of_b).or_else(|| equal(b_as_a, of_a));
    known.map(|(files, _)| files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::nodes::{Apart, NodeReport};

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    fn sum(files: &[(&str, u8)]) -> Sum {
        let each = files.iter();
        each.fold(Sum::default(), |sum, (path, content)| {
            sum.with(path.as_bytes(), Some(&[*content; 32]))
        })
    }

    /// A node with these files, or with some that move.
    fn node(name: &str, files: Option<&[(&str, u8)]>) -> Node {
        let origin = NodeOrigin {
            pipeline: "www".to_owned(),
            origin: "site".to_owned(),
            indexed_files: files.map_or(9, <[_]>::len) as u64,
            sum: files.map(sum),
            ..NodeOrigin::default()
        };
        Node {
            name: name.to_owned(),
            report: NodeReport {
                origins: vec![origin],
                ..NodeReport::default()
            },
            ..Node::default()
        }
    }

    fn apart(mut node: Node, other: &str, files: &[(&str, u8)]) -> Node {
        node.report.origins[0].apart = vec![Apart {
            node: other.to_owned(),
            files: 1,
            sum: sum(files),
        }];
        node
    }

    fn said(comparison: &mut Comparison, second: u64, nodes: &[Node]) -> Vec<String> {
        let trees = comparison.observe(at(second), nodes);
        let past = |time: Time| format!("second {}", time.millis() / 1_000);
        trees.iter().map(|one| one.said(past)).collect()
    }

    const A: &[(&str, u8)] = &[("a", 1), ("b", 1)];
    const B: &[(&str, u8)] = &[("a", 2), ("b", 1)];

    #[test]
    fn that_all_hold_the_same_is_known_at_once() {
        let nodes = ["web-1", "web-2", "web-3"].map(|name| node(name, Some(A)));
        let said = said(&mut Comparison::default(), 0, &nodes);
        assert_eq!(said, ["all 3 nodes hold the same 2 files"]);
    }

    #[test]
    fn while_a_node_is_silent_those_that_run_are_said_to_hold_the_same() {
        let silent = Node {
            state: NodeState::Silent,
            ..node("web-4", Some(B))
        };
        let nodes = ["web-1", "web-2", "web-3"].map(|name| node(name, Some(A)));
        let [one, two, three] = nodes;
        let with = |nodes: &[Node]| said(&mut Comparison::default(), 0, nodes);
        assert_eq!(
            with(&[one.clone(), two.clone(), three, silent.clone()]),
            ["all 3 nodes that run hold the same 2 files"]
        );
        assert_eq!(
            with(&[one, two, silent]),
            ["both nodes that run hold the same 2 files"]
        );
    }

    #[test]
    fn where_a_node_that_runs_has_not_reported_the_origin_those_that_have_are_named() {
        let mut nodes = [node("a", Some(A)), node("b", Some(A)), node("c", Some(A))];
        nodes[2].report = NodeReport::default();
        let said = said(&mut Comparison::default(), 0, &nodes);
        assert_eq!(said, ["a, b hold the same 2 files"]);
    }

    #[test]
    fn who_holds_other_files_is_named_when_nothing_moves_and_until_they_are_the_same() {
        let mut comparison = Comparison::default();
        let with = |second: Option<&[(&str, u8)]>| {
            [
                node("web-1", Some(A)),
                node("web-2", second),
                node("web-3", Some(A)),
            ]
        };
        let waits = "web-1, web-3 hold the same 2 files; not known now of web-2";
        let differs = "web-1, web-3 hold the same 2 files; web-2 has held others since second 5, 2 files; deploy to it again";
        assert_eq!(
            said(&mut comparison, 0, &with(Some(A))),
            ["all 3 nodes hold the same 2 files"]
        );
        assert_eq!(said(&mut comparison, 5, &with(Some(B))), [waits]);
        assert_eq!(said(&mut comparison, 14, &with(Some(B))), [waits]);
        assert_eq!(said(&mut comparison, 15, &with(Some(B))), [differs]);
        // It looks at something, and may have got what was missing, or not.
        let moves = said(&mut comparison, 16, &with(None));
        assert!(
            moves[0].contains("web-2 has held others since second 5"),
            "{moves:?}"
        );
        assert_eq!(said(&mut comparison, 17, &with(Some(B))), [differs]);
        assert_eq!(
            said(&mut comparison, 18, &with(Some(A))),
            ["all 3 nodes hold the same 2 files"]
        );
        // The next difference has its time again.
        assert_eq!(said(&mut comparison, 19, &with(Some(B))), [waits]);
    }

    #[test]
    fn of_two_nodes_with_different_files_it_is_not_said_which_is_right() {
        let nodes = [node("web-1", Some(A)), node("web-2", Some(B))];
        let mut comparison = Comparison::default();
        said(&mut comparison, 0, &nodes);
        let said = said(&mut comparison, 10, &nodes);
        let expected = "web-1 holds 2 files; web-2 has held others since second 0, 2 files; deploy again to the node \
                        that is behind";
        assert_eq!(said, [expected]);
    }

    #[test]
    fn a_difference_does_not_count_while_sums_move() {
        let mut comparison = Comparison::default();
        for second in (0..60).step_by(2) {
            let content = u8::try_from(second).unwrap();
            let files = [("a", content)];
            let nodes = [node("web-1", Some(&files)), node("web-2", Some(A))];
            let said = said(&mut comparison, second, &nodes);
            assert!(!said[0].contains("others"), "{said:?}");
        }
    }

    #[test]
    fn files_that_are_diverged_are_no_difference_and_all_others_are_proved_the_same() {
        let (one, two) = (node("web-1", Some(A)), node("web-2", Some(B)));
        let expected = ["all 2 nodes hold the same 2 files, but for 1 file diverged"];
        let second_knows = [one.clone(), apart(two.clone(), "web-1", A)];
        assert_eq!(said(&mut Comparison::default(), 0, &second_knows), expected);
        let first_knows = [apart(one.clone(), "web-2", B), two.clone()];
        assert_eq!(said(&mut Comparison::default(), 0, &first_knows), expected);
        // Beside them, another file differs.
        let other = [one, apart(two, "web-1", &[("a", 1), ("b", 3)])];
        let mut comparison = Comparison::default();
        said(&mut comparison, 0, &other);
        let found = comparison.observe(at(10), &other);
        assert_eq!(found[0].differ.len(), 1);
    }

    #[test]
    fn where_diverged_files_are_gone_on_a_node_it_is_said_how_many_each_holds() {
        const ALL: &[(&str, u8)] = &[("a", 1), ("b", 1), ("c", 1)];
        const ONE: &[(&str, u8)] = &[("a", 1)];
        let mut two = apart(node("web-2", Some(ONE)), "web-1", ALL);
        two.report.origins[0].apart[0].files = 2;
        let of_third = Apart {
            node: "web-3".to_owned(),
            ..two.report.origins[0].apart[0].clone()
        };
        two.report.origins[0].apart.push(of_third);
        let nodes = [node("web-1", Some(ALL)), two, node("web-3", Some(ALL))];
        let expected = "all 3 nodes hold the same files, but for 2 that are diverged (web-1, web-3 hold 3 files, web-2 1)";
        assert_eq!(said(&mut Comparison::default(), 0, &nodes), [expected]);
        let [one, two, _] = nodes;
        let expected = "all 2 nodes hold the same files, but for 2 that are diverged (web-1 holds 3 files, web-2 1)";
        assert_eq!(said(&mut Comparison::default(), 0, &[one, two]), [expected]);
    }

    #[test]
    fn nodes_that_do_not_live_and_origins_of_one_node_or_without_sums_are_not_compared() {
        let silent = Node {
            state: NodeState::Silent,
            ..node("web-2", Some(B))
        };
        let mut comparison = Comparison::default();
        assert_eq!(
            comparison.observe(at(0), &[node("web-1", Some(A)), silent]),
            []
        );
        assert_eq!(
            comparison.observe(at(0), &[node("web-1", None), node("web-2", None)]),
            []
        );
    }
}
