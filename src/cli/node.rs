//! `edgepurge node list | forget`: the nodes of a fleet.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::client::Daemon;
use super::moment::Moment;
use super::{Failure, Format, Global, output};
use crate::admin::api::{ForgetBody, Status};
use crate::core::nodes::{Node, NodeState};

#[derive(Debug, Subcommand)]
pub(super) enum NodeCommand {
    /// The nodes that share the queue, and which one leads.
    List,
    /// Forget a node that will not come back.
    Forget(ForgetArgs),
}

#[derive(Debug, Args)]
pub(super) struct ForgetArgs {
    /// The node's name.
    name: String,
}

pub(super) async fn node(global: &Global, command: NodeCommand) -> Result<ExitCode, Failure> {
    let daemon = Daemon::need(&global.socket()?).await?;
    match command {
        NodeCommand::List => {
            let status = daemon.status().await?.value;
            match global.format {
                Format::Json => output::json(&status.nodes)?,
                Format::Text => {
                    let lines = list(&status, &Moment::new(status.now, true));
                    output::line(&lines.join("\n"))?;
                }
            }
        }
        NodeCommand::Forget(ForgetArgs { name }) => {
            let body = ForgetBody { node: name };
            let forgotten = daemon.post::<Node>("/api/v1/forget", &body).await?;
            output::reply(global, &forgotten, |node| {
                format!("{}: forgotten", node.name)
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A line for each node, and one above them where they are as they were before.
pub(super) fn list(status: &Status, moment: &Moment) -> Vec<String> {
    if status.nodes.is_empty() {
        return vec!["the queue is this node's alone".to_owned()];
    }
    let widest = status.nodes.iter().map(|node| node.name.len()).max();
    let line = |node: &Node| {
        let since = match node.state {
            NodeState::Leads | NodeState::Follows => String::new(),
            NodeState::Silent => format!(
                " since {}; if it will not come back: edgepurge node forget {}",
                moment.past(node.since),
                node.name
            ),
            NodeState::Left => format!(" {}", moment.ago(node.since)),
        };
        let (width, state) = (widest.unwrap_or(0), node.state.as_str());
        let state = [vec![format!("{state}{since}")], node.said()].concat();
        format!("{:<width$}  {}", node.name, state.join(" · "))
    };
    let as_of = status.nodes_as_of.map(|at| {
        let at = moment.clock(at);
        format!("as of {at}, PostgreSQL does not answer:")
    });
    let nodes = status.nodes.iter().map(line);
    as_of.into_iter().chain(nodes).collect()
}
