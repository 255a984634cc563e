//! Whether the live nodes have the same configuration, as far as it has to be the same. A rollout takes a while:
//! a difference counts when it has lasted for [`ROLLOUT`], by the observer's clock.
//!
//! Who is right is not known. So each part that differs is said with the groups of nodes that have the same of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Node;
use crate::core::time::Time;

/// How long nodes may differ.
pub(super) const ROLLOUT: Duration = Duration::from_mins(5);

/// What the part is called that no pipeline has: the limits of all.
pub const LIMITS: &str = "limits";

/// A digest of each part of a configuration that has to be the same, by what it is called.
pub type ConfigDigests = BTreeMap<String, String>;

/// A version of edgepurge, and a part of the configuration of the nodes that have it.
type VersionPart = (String, String);

/// Since when the live nodes differ in what.
#[derive(Clone, Debug, Default)]
pub struct Differences(BTreeMap<VersionPart, Time>);

impl Differences {
    /// What differs for too long, in words; `None`: nothing does. Nodes of another version are not compared:
    /// they know other keys, for as long as an upgrade takes.
    pub fn observe(&mut self, now: Time, nodes: &[Node]) -> Option<String> {
        let found = differing(nodes);
        self.0.retain(|part, _| found.contains_key(part));
        // Parts that differ in the same way are said together.
        let mut late: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for (part, groups) in found {
            let since = *self.0.entry(part.clone()).or_insert(now);
            if now >= since.after(ROLLOUT) {
                let (version, name) = part;
                late.entry((version, groups)).or_default().push(name);
            }
        }
        let said = late.into_iter().map(|((_, groups), parts)| {
            let differ = match parts.as_slice() {
                [one] if one != LIMITS => "differs",
                _ => "differ",
            };
            format!("{} {differ}: {groups}", parts.join(", "))
        });
        let said: Vec<String> = said.collect();
        (!said.is_empty()).then(|| said.join("; "))
    }
}

/// The parts that are not the same on all live nodes of a version, each with the groups of nodes that have the same.
fn differing(nodes: &[Node]) -> BTreeMap<VersionPart, String> {
    let mut versions: BTreeMap<&String, Vec<&Node>> = BTreeMap::new();
    let live = nodes.iter().filter(|node| node.state.is_live());
    for node in live.filter(|node| !node.config.is_empty()) {
        versions.entry(&node.version).or_default().push(node);
    }
    let mut found = BTreeMap::new();
    for (version, nodes) in versions {
        let parts: BTreeSet<&String> = nodes.iter().flat_map(|node| node.config.keys()).collect();
        let parts = parts.into_iter();
        let groups = parts.filter_map(|part| Some((part, groups(&nodes, part)?)));
        found.extend(groups.map(|(part, said)| ((version.clone(), part.clone()), said)));
    }
    found
}

/// The groups of nodes that have the same of a part, in words; `None`: all have.
fn groups(nodes: &[&Node], part: &str) -> Option<String> {
    let mut groups: Vec<(Option<&String>, Vec<&str>)> = Vec::new();
    for node in nodes {
        let digest = node.config.get(part);
        match groups.iter_mut().find(|(of, _)| *of == digest) {
            Some((_, names)) => names.push(&node.name),
            None => groups.push((digest, vec![&node.name])),
        }
    }
    // Those without it come last.
    groups.sort_by_key(|(digest, _)| digest.is_none());
    let said = groups.iter().map(|(digest, names)| {
        let without = if digest.is_none() { "without it " } else { "" };
        format!("{without}{}", names.join(", "))
    });
    (groups.len() > 1).then(|| said.collect::<Vec<_>>().join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::nodes::NodeState;

    fn node(name: &str, state: NodeState, config: &[(&str, &str)]) -> Node {
        let config = config.iter();
        Node {
            name: name.to_owned(),
            state,
            since: Time::ZERO,
            version: "1".to_owned(),
            config: config
                .map(|(part, digest)| ((*part).to_owned(), (*digest).to_owned()))
                .collect(),
            ..Node::default()
        }
    }

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    #[test]
    fn nodes_that_differ_for_five_minutes_are_named_until_they_do_not() {
        let one = node("web-1", NodeState::Leads, &[("pipeline www", "a")]);
        let two = node("web-2", NodeState::Follows, &[("pipeline www", "b")]);
        let mut differences = Differences::default();
        let nodes = [one.clone(), two];
        assert_eq!(differences.observe(at(0), &nodes), None);
        assert_eq!(differences.observe(at(299), &nodes), None);
        assert_eq!(
            differences.observe(at(300), &nodes).as_deref(),
            Some("pipeline www differs: web-1 | web-2")
        );
        let alike = [
            one.clone(),
            Node {
                name: "web-2".to_owned(),
                ..one
            },
        ];
        assert_eq!(differences.observe(at(301), &alike), None);
        // Once alike, they have their time again.
        assert_eq!(differences.observe(at(302), &nodes), None);
    }

    fn said(nodes: &[Node]) -> Option<String> {
        let mut differences = Differences::default();
        assert_eq!(differences.observe(at(0), nodes), None);
        differences.observe(at(300), nodes)
    }

    #[test]
    fn each_part_that_differs_is_said_with_the_nodes_that_have_the_same_of_it() {
        let of = |name: &str, limits: &str, shop: &str, www: &str| {
            let config = [
                ("limits", limits),
                ("pipeline blog", "a"),
                ("pipeline shop", shop),
                ("pipeline www", www),
            ];
            node(name, NodeState::Follows, &config)
        };
        let nodes = [
            of("web-1", "a", "a", "more"),
            of("web-2", "a", "a", "a"),
            of("web-3", "b", "b", "other"),
        ];
        assert_eq!(
            said(&nodes).as_deref(),
            Some(
                "pipeline www differs: web-1 | web-2 | web-3; limits, pipeline shop differ: web-1, web-2 | web-3"
            )
        );
        assert_eq!(
            said(&[of("web-1", "a", "a", "a"), of("web-2", "b", "a", "a")]).as_deref(),
            Some("limits differ: web-1 | web-2")
        );
    }

    #[test]
    fn a_pipeline_that_only_one_has_is_named_and_who_is_silent_or_of_another_version_is_not_compared()
     {
        let one = node("web-1", NodeState::Leads, &[("pipeline www", "a")]);
        let two = node(
            "web-2",
            NodeState::Follows,
            &[("pipeline shop", "a"), ("pipeline www", "a")],
        );
        assert_eq!(
            said(&[one.clone(), two.clone()]).as_deref(),
            Some("pipeline shop differs: web-2 | without it web-1")
        );
        let silent = Node {
            state: NodeState::Silent,
            ..two.clone()
        };
        let newer = Node {
            version: "2".to_owned(),
            ..two.clone()
        };
        // One that has not said yet what it has.
        let starts = node("web-3", NodeState::Follows, &[]);
        assert_eq!(said(&[one.clone(), silent, newer.clone(), starts]), None);
        // Those of the newer version are compared with each other.
        let other = Node {
            name: "web-4".to_owned(),
            config: ConfigDigests::from([("pipeline www".to_owned(), "a".to_owned())]),
            ..newer.clone()
        };
        assert_eq!(
            said(&[one, newer, other]).as_deref(),
            Some("pipeline shop differs: web-2 | without it web-4")
        );
    }
}
