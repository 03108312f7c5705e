//! `muster node list`: the processes that share a store.

use super::Context;
use crate::exit_code::{Exit, Failed};
use crate::shown::nodes::{self, NodeStatus};
use crate::shown::output::width;

/// The processes that share a store.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum NodeCommand {
    /// List those that are alive, with what is each one's share.
    List,
}

pub(crate) async fn run(command: &NodeCommand, context: &Context) -> Result<Exit, Failed> {
    match command {
        NodeCommand::List => list(context).await,
    }
}

async fn list(context: &Context) -> Result<Exit, Failed> {
    let (nodes, beats) = (context.store.nodes().await?, context.store.heartbeats().await?);
    let nodes = NodeStatus::all(nodes, &beats);
    let is_shared = context.settings.store.url.is_some();
    let now = context.clock.now();
    context.output.print(&nodes, |output| {
        if !is_shared {
            return "the store is a file, which one `muster run` has to itself; several nodes share a PostgreSQL database: [store] url"
                .to_owned();
        }
        if nodes.is_empty() {
            return "no node is alive: `muster run` starts one".to_owned();
        }
        nodes::table(output, &nodes, now, width().map(usize::from))
    })
}
