//! `muster node list`: the processes that share a store.

use std::collections::HashMap;

use muster_store::Heartbeat;
use serde::Serialize;

use super::Context;
use crate::exit_code::{Exit, Failed};
use crate::shown::grid::{Align, Grid};
use crate::shown::output::{Tone, ago, plain};

/// The processes that share a store.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum NodeCommand {
    /// List those that are alive, with what is each one's share.
    List,
}

/// A node as it is shown.
#[derive(Serialize)]
struct Shown {
    instance: String,
    host: Option<String>,
    pid: Option<u32>,
    version: Option<String>,
    started_at: Option<jiff::Timestamp>,
    silent_for_seconds: u64,
    tenants: u64,
    sinks: Vec<String>,
    troubles: Vec<String>,
}

pub(crate) async fn run(command: &NodeCommand, context: &Context) -> Result<Exit, Failed> {
    match command {
        NodeCommand::List => list(context).await,
    }
}

async fn list(context: &Context) -> Result<Exit, Failed> {
    let (nodes, beats) = (context.store.nodes().await?, context.store.heartbeats().await?);
    let mut beats: HashMap<_, Heartbeat> = beats.into_iter().map(|beat| (beat.instance, beat)).collect();
    let nodes: Vec<Shown> = nodes
        .into_iter()
        .map(|node| {
            let beat = beats.remove(&node.instance);
            let troubles = beat.iter().flat_map(|beat| &beat.troubles);
            Shown {
                instance: node.instance.0.to_string(),
                troubles: troubles
                    .map(|trouble| plain(&format!("{}: {}", trouble.part, trouble.reason)))
                    .collect(),
                host: beat.as_ref().map(|beat| plain(&beat.host)),
                pid: beat.as_ref().map(|beat| beat.pid),
                version: beat.as_ref().map(|beat| beat.version.clone()),
                started_at: beat.as_ref().map(|beat| beat.started_at),
                silent_for_seconds: node.silent_for,
                tenants: node.tenants,
                sinks: node.sinks,
            }
        })
        .collect();
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
        let mut grid = Grid::new(&[
            ("host", Align::Left),
            ("pid", Align::Right),
            ("version", Align::Left),
            ("up", Align::Left),
            ("tenants", Align::Right),
            ("delivers to", Align::Left),
        ]);
        for node in &nodes {
            let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "?".to_owned());
            grid.row([
                (or_unknown(node.host.clone()), Tone::Plain),
                (or_unknown(node.pid.map(|pid| pid.to_string())), Tone::Plain),
                (or_unknown(node.version.clone()), Tone::Plain),
                (ago(node.started_at, now), Tone::Plain),
                (node.tenants.to_string(), Tone::Plain),
                (node.sinks.join(", "), Tone::Plain),
            ]);
            for trouble in &node.troubles {
                grid.note(trouble, Tone::Bad);
            }
        }
        grid.render(output, None)
    })
}
