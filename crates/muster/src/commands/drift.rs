//! `muster drift`: what is new in what Microsoft sends.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use muster_microsoft::drift::{self, Drift};
use muster_model::{Source, Span, TenantId};
use serde::Serialize;

use super::{Context, Except, only};
use crate::exit_code::{Exit, Failed};
use crate::shown::note::note;
use crate::shown::output::{Output, ago, number, plain};
use crate::shown::progress::Progress;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only of these tenants: slugs, ids or domains, or tag:NAME; several by commas.
    #[arg(long, short, value_delimiter = ',')]
    tenant: Vec<String>,
    #[command(flatten)]
    except: Except,
    /// Only of this source.
    #[arg(long)]
    source: Option<Source>,
    /// Only of what was accepted so long ago or later; all that the journal holds when left out.
    #[arg(long, value_name = "DURATION")]
    since: Option<Span>,
}

/// Different findings that are counted; a few hundred is a lot.
const FINDINGS_MAX: usize = 10_000;

/// What was found.
#[derive(Serialize)]
struct Found {
    /// Records that were looked at, by source.
    looked_at: BTreeMap<Source, u64>,
    /// Batches that cannot be read.
    unreadable: u64,
    /// By source, the most frequent first.
    drift: Vec<Line>,
    /// Whether there were more different ones than are counted.
    more: bool,
}

#[derive(Serialize)]
struct Line {
    source: Source,
    #[serde(flatten)]
    drift: Drift,
    records: u64,
    tenants: u64,
    /// When the first of them was accepted.
    since: Timestamp,
    /// A record that has it.
    example: String,
}

struct Count {
    records: u64,
    tenants: BTreeSet<TenantId>,
    since: Timestamp,
    example: String,
}

/// Looks through the journal. Changes nothing.
pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let chosen = context.ids(&args.tenant, &args.except).await?;
    let tenant = only(chosen.as_ref());
    let now = context.clock.now();
    let since = args
        .since
        .map_or(Timestamp::UNIX_EPOCH, |since| now.checked_sub(since.0).unwrap_or(Timestamp::UNIX_EPOCH));
    let mut counts: BTreeMap<(Source, Drift), Count> = BTreeMap::new();
    let mut found = Found { looked_at: BTreeMap::new(), unreadable: 0, drift: Vec::new(), more: false };
    let (mut after, mut progress) = (0, Progress::of(context.output));
    while let Some(slice) = context.store.journal_slice(after, tenant, since).await? {
        after = slice.batch;
        let is_other = chosen.as_ref().is_some_and(|chosen| !chosen.contains(&slice.tenant));
        if is_other || args.source.is_some_and(|source| source != slice.source) {
            continue;
        }
        let batch = match slice.records {
            Ok(batch) => batch,
            Err(why) => {
                progress.wipe();
                note!("muster: batch {after} of the journal cannot be read: {}", plain(&why));
                found.unreadable += 1;
                continue;
            }
        };
        for record in batch.records() {
            *found.looked_at.entry(slice.source).or_default() += 1;
            for drift in drift::of(slice.source.kind(), record.body) {
                let key = (slice.source, drift);
                let room = counts.len() < FINDINGS_MAX;
                match counts.get_mut(&key) {
                    Some(count) => {
                        count.records += 1;
                        count.tenants.insert(slice.tenant);
                    }
                    None if room => {
                        let example = record.head.id.clone();
                        let tenants = BTreeSet::from([slice.tenant]);
                        counts.insert(key, Count { records: 1, tenants, since: slice.accepted_at, example });
                    }
                    None => found.more = true,
                }
            }
        }
        let looked_at: u64 = found.looked_at.values().sum();
        progress.show(context.clock.now(), || {
            format!("{} records looked at, {} findings", number(looked_at), counts.len())
        });
    }
    drop(progress);
    found.drift = counts.into_iter().map(|((source, drift), count)| line(source, drift, count)).collect();
    found.drift.sort_by(|one, other| {
        (one.source, std::cmp::Reverse(one.records)).cmp(&(other.source, std::cmp::Reverse(other.records)))
    });
    context.output.print(&found, |output| shown(&found, now, output))?;
    Ok(if found.unreadable == 0 { Exit::Success } else { Exit::Partly })
}

fn line(source: Source, drift: Drift, count: Count) -> Line {
    Line {
        source,
        drift,
        records: count.records,
        tenants: count.tenants.len() as u64,
        since: count.since,
        example: count.example,
    }
}

fn shown(found: &Found, now: Timestamp, output: &Output) -> String {
    let looked_at: u64 = found.looked_at.values().sum();
    let by_source: Vec<String> =
        found.looked_at.iter().map(|(source, records)| format!("{} of {source}", number(*records))).collect();
    if looked_at == 0 {
        return "the journal holds no record of that".to_owned();
    }
    let looked_at = format!("records looked at: {}", by_source.join(", "));
    if found.drift.is_empty() {
        return format!("nothing is new; {looked_at}");
    }
    let mut table = output.table(&["source", "new", "name", "records", "tenants", "since", "example"]);
    for line in &found.drift {
        let what = match line.drift {
            Drift::Path { .. } => "property",
            Drift::Value { .. } => "value",
            Drift::Evidence { .. } => "evidence",
        };
        table.add_row([
            output.text(line.source.as_str()),
            output.text(what),
            output.text(line.drift.to_string()),
            output.text(number(line.records)),
            output.text(number(line.tenants)),
            output.text(ago(Some(line.since), now)),
            output.text(&line.example),
        ]);
    }
    let more = if found.more { "\nthere were more different ones than are counted" } else { "" };
    format!(
        "{table}\n\n{looked_at}{more}\nnothing of it is dropped: the records are delivered whole, and `raw` and `splunk` have every field"
    )
}
