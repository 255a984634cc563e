//! What the nodes of a fleet say of their agreement, and which of them are waited for.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Compared;
use crate::core::change::PipelineId;
use crate::core::lease::NodeId;
use crate::core::nodes::Node;

/// A node that has a pipeline's origins in view, and how far it agrees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The node.
    pub node: NodeId,
    /// The pipeline.
    pub pipeline: PipelineId,
    /// How far.
    pub compared: Compared,
}

/// The members that live, by pipeline and name: all others are not waited for, and neither is one that is
/// alone, which has what it committed.
#[must_use]
pub fn live(
    nodes: &[Node],
    members: Vec<Member>,
) -> BTreeMap<PipelineId, BTreeMap<Arc<str>, Compared>> {
    let live = nodes.iter().filter(|node| node.state.is_live());
    let names: BTreeMap<NodeId, Arc<str>> = live
        .filter_map(|node| Some((node.observed?.0, node.name.as_str().into())))
        .collect();
    let mut found: BTreeMap<PipelineId, BTreeMap<Arc<str>, Compared>> = BTreeMap::new();
    for member in members {
        if let Some(name) = names.get(&member.node) {
            let of = found.entry(member.pipeline).or_default();
            of.insert(Arc::clone(name), member.compared);
        }
    }
    found.retain(|_, members| members.len() > 1);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::change::Seq;
    use crate::core::nodes::NodeState;

    fn node(id: i64, state: NodeState) -> Node {
        Node {
            name: format!("web-{id}"),
            state,
            observed: Some((NodeId(id), 1)),
            ..Node::default()
        }
    }

    fn member(id: i64, pipeline: &str) -> Member {
        Member {
            node: NodeId(id),
            pipeline: PipelineId::new(pipeline),
            compared: Compared {
                agreed: Seq(7),
                lagging: Vec::new(),
            },
        }
    }

    #[test]
    fn only_nodes_that_live_and_say_that_they_look_are_waited_for() {
        let nodes = [
            node(1, NodeState::Leads),
            node(2, NodeState::Follows),
            node(3, NodeState::Silent),
            node(4, NodeState::Left),
            node(5, NodeState::Follows),
        ];
        let members = [1, 2, 3, 4, 9].map(|id| member(id, "www"));
        let found = live(&nodes, members.into());
        let names: Vec<&str> = found[&PipelineId::new("www")]
            .keys()
            .map(|name| &**name)
            .collect();
        assert_eq!(names, ["web-1", "web-2"]);
    }

    #[test]
    fn a_node_that_is_alone_is_not_waited_for() {
        let nodes = [node(1, NodeState::Leads), node(2, NodeState::Silent)];
        let members = vec![member(1, "www"), member(2, "www"), member(1, "shop")];
        assert!(live(&nodes, members).is_empty());
    }
}
