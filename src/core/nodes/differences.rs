//! Whether the live nodes have the same configuration, as far as it has to be the same. A rollout takes a while:
//! a difference counts when it has lasted for [`ROLLOUT`], by the observer's clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Node;
use crate::core::time::Time;

/// How long nodes may differ.
pub(super) const ROLLOUT: Duration = Duration::from_mins(5);
/// The differences that are named.
const NAMED: usize = 3;

/// A digest of each part of a configuration that has to be the same, by what it is called.
pub type ConfigDigests = BTreeMap<String, String>;

/// Since when the live nodes differ in what.
#[derive(Clone, Debug, Default)]
pub struct Differences(BTreeMap<String, Time>);

impl Differences {
    /// What differs for too long, in words; `None`: nothing does. Nodes of another version are not compared:
    /// they know other keys, for as long as an upgrade takes.
    pub fn observe(&mut self, now: Time, nodes: &[Node]) -> Option<String> {
        let mut live = nodes
            .iter()
            .filter(|node| node.state.is_live() && !node.config.is_empty());
        let first = live.next()?;
        let others: Vec<&Node> = live.filter(|one| one.version == first.version).collect();
        let parts: BTreeSet<&String> = (others.iter().copied().chain([first]))
            .flat_map(|node| node.config.keys())
            .collect();
        let mut found: BTreeMap<&String, String> = BTreeMap::new();
        for part in parts {
            let said = others
                .iter()
                .find_map(|other| difference(first, other, part));
            found.extend(said.map(|said| (part, said)));
        }
        self.0.retain(|part, _| found.contains_key(part));
        let mut late = Vec::new();
        for (part, said) in found {
            let since = *self.0.entry(part.clone()).or_insert(now);
            if now >= since.after(ROLLOUT) {
                late.push(said);
            }
        }
        let more = match late.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        late.truncate(NAMED);
        (!late.is_empty()).then(|| format!("{}{more}", late.join("; ")))
    }
}

/// How two nodes differ in a part.
fn difference(first: &Node, other: &Node, part: &str) -> Option<String> {
    let (one, two) = (&first.name, &other.name);
    match (first.config.get(part), other.config.get(part)) {
        (a, b) if a == b => None,
        (None, _) => Some(format!("{one} has no {part}, and {two} has one")),
        (_, None) => Some(format!("{two} has no {part}, and {one} has one")),
        _ => Some(format!(
            "{two} has another configuration of {part} than {one}"
        )),
    }
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
        let one = node(
            "web-1",
            NodeState::Leads,
            &[("limits", "a"), ("pipeline www", "a")],
        );
        let two = node(
            "web-2",
            NodeState::Follows,
            &[("limits", "a"), ("pipeline www", "b")],
        );
        let mut differences = Differences::default();
        let nodes = [one.clone(), two];
        assert_eq!(differences.observe(at(0), &nodes), None);
        assert_eq!(differences.observe(at(299), &nodes), None);
        assert_eq!(
            differences.observe(at(300), &nodes).as_deref(),
            Some("web-2 has another configuration of pipeline www than web-1")
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

    #[test]
    fn a_pipeline_that_only_one_has_is_named_and_who_is_silent_or_of_another_version_is_not_compared()
     {
        let one = node("web-1", NodeState::Leads, &[("pipeline www", "a")]);
        let two = node(
            "web-2",
            NodeState::Follows,
            &[("pipeline shop", "a"), ("pipeline www", "a")],
        );
        let said = |nodes: &[Node]| {
            let mut differences = Differences::default();
            assert_eq!(differences.observe(at(0), nodes), None);
            differences.observe(at(300), nodes)
        };
        assert_eq!(
            said(&[one.clone(), two.clone()]).as_deref(),
            Some("web-1 has no pipeline shop, and web-2 has one")
        );
        let silent = Node {
            state: NodeState::Silent,
            ..two.clone()
        };
        let newer = Node {
            version: "2".to_owned(),
            ..two
        };
        // One that has not said yet what it has.
        let starts = node("web-3", NodeState::Follows, &[]);
        assert_eq!(said(&[one, silent, newer, starts]), None);
    }
}
