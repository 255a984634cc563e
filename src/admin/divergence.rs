//! The alarms for files that stay different on the nodes of a fleet.

use std::time::Duration;

use super::Admin;
use super::api::PipelineStatus;
use super::cause::counted;
use crate::core::agreement::{Divergence, File};
use crate::core::alarm::{Alarm, AlarmKind};
use crate::core::change::PipelineId;
use crate::core::lease::NodeId;
use crate::core::nodes::{Node, Trees};
use crate::core::time::Time;
use crate::origin::shown;

/// How long a file is not the same on two nodes until an operator has to know.
const LASTING: Duration = Duration::from_mins(10);
/// How many of such files are named.
const NAMED: usize = 3;

/// That files of a pipeline are not the same here and on other nodes, for long.
pub(super) fn alarms(admin: &Admin, pipeline: &PipelineStatus) -> Vec<Alarm> {
    let since = admin.clock.now().before(LASTING);
    let divergence = admin.agreements.divergence(&pipeline.id, since, NAMED);
    let files = divergence.map(|divergence| raised(&divergence, &admin.nodes()));
    let node = admin.node();
    let trees = pipeline.trees.iter();
    let trees = trees.filter_map(|trees| other_tree(trees, node.as_deref()?, since));
    files.into_iter().chain(trees).collect()
}

/// That this node holds other files than most since a time or longer. Each such node says it of itself.
fn other_tree(trees: &Trees, node: &str, since: Time) -> Option<Alarm> {
    let mut others = trees.differ.iter();
    let own = others.find(|other| other.node == node && other.since <= since)?;
    let text = format!(
        "origin {}: the files of this node are not those of {}: {} here, {} there",
        trees.origin,
        trees.same.join(", "),
        counted(own.files, "file"),
        counted(trees.files, "file")
    );
    let mut alarm = Alarm::new(AlarmKind::Diverged, text).since(own.since);
    alarm.origin = Some(trees.origin.clone());
    Some(alarm)
}

/// How a file of a pipeline is not the same here and on other nodes, in words; nothing: it is, or is still waited for.
pub(super) fn of_file(admin: &Admin, pipeline: &PipelineId, file: &File) -> Vec<String> {
    let (nodes, agreements) = (admin.nodes(), admin.agreements.lock());
    let agreement = agreements.get(pipeline).into_iter();
    let from = agreement.flat_map(|agreement| agreement.diverged_from(file));
    from.map(|one| one.said(&name(&nodes, one.node))).collect()
}

fn name(nodes: &[Node], id: NodeId) -> String {
    let is = |node: &&Node| node.observed.is_some_and(|(of, _)| of == id);
    let node = nodes.iter().find(is);
    node.map_or_else(|| format!("node {}", id.0), |node| node.name.clone())
}

fn raised(divergence: &Divergence, nodes: &[Node]) -> Alarm {
    let named = divergence.named.iter().map(|one| {
        let (path, origin) = (shown(&one.file.path), &one.file.origin);
        let (path, said) = (path.escape_debug(), one.said(&name(nodes, one.node)));
        format!("{path} of origin {origin}, {said}")
    });
    let named: Vec<String> = named.collect();
    let more = match divergence.files - named.len() {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let text = format!(
        "{} not the same on this node as on others: {}{more}",
        counted(divergence.files as u64, "file"),
        named.join("; ")
    );
    Alarm::new(AlarmKind::Diverged, text).since(divergence.since)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::agreement::{Agreement, Content, Fact};
    use crate::core::change::Seq;
    use crate::core::nodes::NodeState;

    #[test]
    fn files_that_differ_for_ten_minutes_after_the_wait_are_named_with_the_node_that_has_others() {
        let wait = Duration::from_secs(30);
        let (mut agreement, began) = (Agreement::new(Seq(0), wait), Time::from_millis(1_000));
        for seq in 1..=5 {
            let fact = Fact {
                seq: Seq(seq),
                node: NodeId(2),
                file: File {
                    origin: "site".into(),
                    path: format!("{seq}.html").into_bytes(),
                },
                content: if seq == 1 {
                    Content::Gone
                } else {
                    Content::Hash([2; 32])
                },
            };
            agreement.fact(began, fact, Content::Hash([1; 32]));
        }
        let given_up = began.after(wait);
        agreement.wake(given_up);
        let nodes = [Node {
            name: "web-2".to_owned(),
            state: NodeState::Follows,
            since: began,
            observed: Some((NodeId(2), 1)),
            ..Node::default()
        }];
        let alarm = |now: Time| {
            let divergence = agreement.divergence(now.before(LASTING), NAMED)?;
            Some(raised(&divergence, &nodes))
        };
        let due = given_up.after(LASTING);
        assert_eq!(alarm(due.before(Duration::from_millis(1))), None);
        let alarm = alarm(due).unwrap();
        assert_eq!(
            alarm.text,
            "5 files not the same on this node as on others: 1.html of origin site, gone on web-2; 2.html of \
             origin site, other bytes on web-2; 3.html of origin site, other bytes on web-2; and 2 more"
        );
        assert_eq!(
            (alarm.reason, alarm.since),
            (AlarmKind::Diverged, Some(given_up))
        );
    }
}
