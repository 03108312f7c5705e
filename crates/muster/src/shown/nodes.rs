//! The processes that share a store, as `muster node list` and `muster status` show them.

use std::collections::HashMap;

use jiff::Timestamp;
use muster_store::{Heartbeat, Node, PartTrouble};
use serde::{Serialize, Serializer};

use crate::shown::grid::{Align, Grid};
use crate::shown::output::{Output, Tone, ago, plain};

/// Who was not heard of for longer has lost its work to the others, where there are any.
const SILENT_SECONDS: u64 = 10;

/// A node, with what its last heartbeat says.
#[derive(Debug, Clone, Serialize)]
pub struct NodeStatus {
    /// Its id; where something else than Muster wrote the row, what stands there.
    pub instance: String,
    /// Whether the row names a node that Muster could have written.
    #[serde(skip)]
    pub is_odd: bool,
    pub host: Option<String>,
    pub pid: Option<u32>,
    pub version: Option<String>,
    pub started_at: Option<Timestamp>,
    /// How many seconds ago it was last heard of, by the database's clock.
    pub silent_for_seconds: u64,
    /// How many tenants are its share.
    pub tenants: u64,
    /// The sinks that it delivers to.
    pub sinks: Vec<String>,
    /// The parts of it that do not work.
    #[serde(serialize_with = "in_lines")]
    pub troubles: Vec<PartTrouble>,
}

fn in_lines<S: Serializer>(troubles: &[PartTrouble], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(troubles.iter().map(line))
}

fn line(trouble: &PartTrouble) -> String {
    plain(&format!("{}: {}", trouble.part, trouble.reason))
}

impl NodeStatus {
    /// The nodes with what each last said of itself.
    pub fn all(nodes: Vec<Node>, beats: &[Heartbeat]) -> Vec<Self> {
        let beats: HashMap<_, &Heartbeat> = beats.iter().rev().map(|beat| (beat.instance, beat)).collect();
        let status = |node: Node| {
            let beat = node.instance.as_ref().ok().and_then(|instance| beats.get(instance));
            Self {
                is_odd: node.instance.is_err(),
                instance: match node.instance {
                    Ok(instance) => instance.0.to_string(),
                    Err(odd) => format!("{odd} (no node's id)"),
                },
                host: beat.map(|beat| plain(&beat.host)),
                pid: beat.map(|beat| beat.pid),
                version: beat.map(|beat| plain(&beat.version)),
                started_at: beat.map(|beat| beat.started_at),
                silent_for_seconds: node.silent_for,
                tenants: node.tenants,
                sinks: node.sinks,
                troubles: beat.map(|beat| beat.troubles.clone()).unwrap_or_default(),
            }
        };
        nodes.into_iter().map(status).collect()
    }

    /// What is wrong with the node itself, in words.
    pub fn odd(&self) -> Option<String> {
        if self.is_odd {
            return Some(
                "something else than Muster wrote this row of the table `node`; it has a share of the tenants, which nobody reads, \
                 until a node that is at work takes it out, within seconds"
                    .to_owned(),
            );
        }
        let silent = self.silent_for_seconds > SILENT_SECONDS;
        silent.then(|| format!("not heard of for {} s: others take its work over", self.silent_for_seconds))
    }

    /// Where it is, in a word.
    pub fn place(&self) -> String {
        match (&self.host, self.pid) {
            (Some(host), Some(pid)) => format!("{host}, process {pid}"),
            (Some(host), None) => host.clone(),
            _ => self.instance.clone(),
        }
    }
}

/// A line for each node, and below it what is wrong.
pub fn table(output: &Output, nodes: &[NodeStatus], now: Timestamp, width: Option<usize>) -> String {
    let mut grid = Grid::new(&[
        ("host", Align::Left),
        ("pid", Align::Right),
        ("version", Align::Left),
        ("up", Align::Left),
        ("heard of", Align::Right),
        ("tenants", Align::Right),
        ("delivers to", Align::Left),
    ]);
    for node in nodes {
        let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "?".to_owned());
        let tone = if node.odd().is_some() { Tone::Bad } else { Tone::Plain };
        grid.row([
            (node.host.clone().unwrap_or_else(|| node.instance.clone()), tone),
            (or_unknown(node.pid.map(|pid| pid.to_string())), Tone::Plain),
            (or_unknown(node.version.clone()), Tone::Plain),
            (node.started_at.map_or_else(|| "?".to_owned(), |at| ago(Some(at), now)), Tone::Plain),
            (format!("{}s", node.silent_for_seconds), tone),
            (node.tenants.to_string(), Tone::Plain),
            (node.sinks.join(", "), Tone::Plain),
        ]);
        for trouble in node.odd().into_iter().chain(node.troubles.iter().map(line)) {
            grid.note(&trouble, Tone::Bad);
        }
    }
    grid.render(output, width)
}

#[cfg(test)]
mod tests {
    use muster_store::InstanceId;
    use uuid::Uuid;

    use super::*;
    use crate::shown::output::{ColourChoice, OutputFormat};

    #[test]
    fn a_row_that_names_no_node_hides_no_other() {
        let at = Timestamp::from_second(1_800_000_000).expect("a time");
        let id = InstanceId(Uuid::from_u128(1));
        let node = |instance, silent_for| Node { instance, silent_for, tenants: 2, sinks: Vec::new() };
        let beat = Heartbeat {
            instance: id,
            host: "one\u{1b}[2J".to_owned(),
            pid: 4,
            version: "0.1.0".to_owned(),
            started_at: at,
            beat_at: at,
            stopped_at: None,
            troubles: vec![PartTrouble { part: "sink a".to_owned(), reason: "is shut".to_owned() }],
        };
        let nodes = NodeStatus::all(vec![node(Err("ff".to_owned()), 0), node(Ok(id), 12)], &[beat]);
        let output = Output::new(OutputFormat::Table, ColourChoice::Never);
        let text = table(&output, &nodes, at, None);
        assert!(text.contains("ff (no node's id)") && text.contains("something else than Muster"), "{text}");
        assert!(text.contains("not heard of for 12 s") && text.contains("sink a: is shut"), "{text}");
        assert!(text.contains("one\u{fffd}[2J") && !text.contains('\u{1b}'), "{text}");
    }
}
