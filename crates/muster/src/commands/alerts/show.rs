//! `muster alerts show`.

use std::io::Write as _;

use jiff::Timestamp;
use muster_model::Source;
use muster_store::{BatchRead, TracedState, TracedVersion};
use serde::Serialize;

use super::super::{Context, Except, only};
use super::row::Row;
use crate::exit_code::{Exit, Failed};
use crate::search::Found;
use crate::shown::output::{Output, Tone, number, plain};

/// So many lines of a list are shown; `-o json` has more, and `--raw` everything.
const LISTED_MAX: usize = 20;
/// The longest description that is shown, in characters.
const DESCRIPTION_MAX: usize = 600;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The id of an alert or incident, as Microsoft writes it.
    id: String,
    /// Only of these tenants: slugs, ids or domains, or tag:NAME; several by commas.
    #[arg(long, short, value_delimiter = ',')]
    tenant: Vec<String>,
    #[command(flatten)]
    except: Except,
    /// Only of this source.
    #[arg(long)]
    source: Option<Source>,
    /// Print the latest version as Microsoft sent it, and nothing else.
    #[arg(long)]
    raw: bool,
}

/// One record.
#[derive(Serialize)]
struct Shown {
    /// Its latest version that is in the journal and can be read; otherwise what its id is known by.
    record: Option<Row>,
    tenant: String,
    tenant_name: String,
    source: Source,
    /// All versions that are known, the latest last.
    versions: Vec<TracedVersion>,
    /// Whether the record is the last of them.
    is_latest: bool,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let chosen = context.ids(&args.tenant, &args.except).await?;
    let mut versions = context.store.trace(only(chosen.as_ref()), &args.id).await?;
    versions.retain(|version| {
        chosen.as_ref().is_none_or(|chosen| chosen.contains(&version.tenant))
            && args.source.is_none_or(|source| source == version.source)
    });
    let id = plain(&args.id);
    if versions.is_empty() {
        let said = format!(
            "nothing is known of a record `{id}`; ids are compared as they are written, `muster alerts search --text` looks into records, and `muster fetch --id` asks Microsoft"
        );
        return Err(Failed::say(Exit::NotFound, said));
    }
    let tenants = context.store.tenants().await?;
    let microsoft = context.microsoft()?;
    let portal = microsoft.cloud().portals().defender;
    let (mut shown, mut raw) = (Vec::new(), Vec::new());
    let records = versions.chunk_by(|one, other| (one.tenant, one.source) == (other.tenant, other.source));
    for of_one in records {
        let (found, is_latest) = latest(of_one, context).await?;
        let tenant = tenants.iter().find(|tenant| tenant.id == of_one[0].tenant);
        shown.push(Shown {
            record: found.as_ref().map(|found| Row::of(found, &tenants, portal)),
            tenant: tenant.map_or_else(|| of_one[0].tenant.to_string(), |tenant| tenant.slug.to_string()),
            tenant_name: tenant.map(|tenant| tenant.name.clone()).unwrap_or_default(),
            source: of_one[0].source,
            versions: of_one.to_vec(),
            is_latest,
        });
        raw.extend(found);
    }
    if args.raw {
        return print_raw(&id, &shown, &raw);
    }
    context.output.print(&shown, |output| {
        shown.iter().map(|one| page(&id, one, output)).collect::<Vec<_>>().join("\n\n")
    })?;
    let is_read = shown.iter().all(|one| one.is_latest);
    Ok(if is_read { Exit::Success } else { Exit::Partly })
}

/// The latest version that can be read, and whether it is the latest there is.
async fn latest(versions: &[TracedVersion], context: &Context) -> Result<(Option<Found>, bool), Failed> {
    for (behind, version) in versions.iter().rev().enumerate() {
        let read = context.store.journal_batch(version.tenant, version.batch).await?;
        let BatchRead::Records { batch, accepted_at } = read else { continue };
        if let Some(record) = batch.record(version.place as usize) {
            let found = Found {
                tenant: version.tenant,
                source: version.source,
                accepted_at,
                head: record.head.clone(),
                body: record.body.to_owned(),
            };
            return Ok((Some(found), behind == 0));
        }
    }
    Ok((None, false))
}

fn print_raw(id: &str, shown: &[Shown], found: &[Found]) -> Result<Exit, Failed> {
    match (shown, found) {
        ([one], [found]) if one.is_latest => {
            let mut out = std::io::stdout().lock();
            out.write_all(found.body.as_bytes())?;
            out.write_all(b"\n")?;
            Ok(Exit::Success)
        }
        ([_], _) => Err(Failed::say(
            Exit::NotFound,
            format!(
                "the journal does not hold `{id}` any more, or cannot read it: `muster trace {id}` tells, and `muster fetch --id` asks Microsoft"
            ),
        )),
        _ => {
            let each = shown.iter().map(|one| format!("{} of {}", one.source, one.tenant));
            let each = each.collect::<Vec<_>>().join(", ");
            Err(Failed::say(
                Exit::Usage,
                format!("there are several records `{id}` ({each}): choose one with --tenant and --source"),
            ))
        }
    }
}

fn page(id: &str, one: &Shown, output: &Output) -> String {
    let mut lines = vec![output.strong(id)];
    let mut line = |what: &str, tone: Tone, said: &str| {
        if !said.is_empty() {
            lines.push(format!("  {what:12}{}", output.toned(tone, &plain(said))));
        }
    };
    let time = |at: Option<Timestamp>| at.map(|at| format!("{at:.0}")).unwrap_or_default();
    match &one.record {
        None => line(
            "record",
            Tone::Bad,
            "not in the journal any more, or not to be read; `muster trace` tells, `muster fetch --id` asks Microsoft",
        ),
        Some(row) => {
            if !one.is_latest {
                line(
                    "older",
                    Tone::Bad,
                    "the latest version is not in the journal any more, or not to be read: what follows is an earlier one",
                );
            }
            let tone = match row.severity {
                "high" => Tone::Bad,
                "medium" => Tone::Fair,
                _ => Tone::Plain,
            };
            line("title", Tone::Plain, &row.summary.title);
            line("severity", tone, row.severity);
            line("status", Tone::Plain, &row.summary.status);
            line("service", Tone::Plain, &row.summary.service);
            line("category", Tone::Plain, &row.summary.category);
            line("created", Tone::Plain, &time(row.created_at));
            line("changed", Tone::Plain, &time(row.time));
            line("portal", Tone::Plain, row.portal.as_deref().unwrap_or_default());
            line("incident", Tone::Plain, &row.summary.incident_id);
        }
    }
    line("tenant", Tone::Plain, &format!("{} ({}, {})", one.tenant, one.tenant_name, one.versions[0].tenant));
    line("source", Tone::Plain, one.source.as_str());
    if let Some(row) = &one.record {
        line("hosts", Tone::Plain, &some(&row.summary.hosts));
        line("users", Tone::Plain, &some(&row.summary.users));
        let description: String = row.summary.description.chars().take(DESCRIPTION_MAX).collect();
        let more = if description.len() < row.summary.description.len() { "…" } else { "" };
        line("description", Tone::Plain, &format!("{}{more}", description.trim()));
        let evidence = &row.summary.evidence;
        for (index, piece) in evidence.iter().take(LISTED_MAX).enumerate() {
            let verdict =
                if piece.verdict.is_empty() { String::new() } else { format!(" ({})", piece.verdict) };
            let what = if index == 0 { "evidence" } else { "" };
            line(what, Tone::Plain, &format!("{} {}{verdict}", piece.kind, piece.name));
        }
        let more = evidence.len().saturating_sub(LISTED_MAX);
        if more > 0 {
            line("", Tone::Plain, &format!("… and {more} more; --raw has all of it"));
        }
    }
    let count = one.versions.len();
    for (index, version) in one.versions.iter().enumerate().skip(count.saturating_sub(LISTED_MAX)) {
        let changed = time(version.updated_at);
        let change = version.change.as_ref().map(|change| format!(", {change}")).unwrap_or_default();
        let gone = match (&version.damaged, version.accepted_at) {
            (Some(_), _) => ", cannot be read",
            (None, None) => ", left the journal",
            (None, Some(_)) => "",
        };
        let what = if index == count.saturating_sub(LISTED_MAX) { "versions" } else { "" };
        line(
            what,
            Tone::Plain,
            &format!("{} of {}: {changed}{change}{gone}", number(index as u64 + 1), number(count as u64)),
        );
    }
    let newest = &one.versions[count - 1];
    for (index, delivery) in newest.deliveries.iter().enumerate() {
        let (tone, said) = match delivery.state {
            TracedState::Owed { since } => (Tone::Fair, format!("owed since {since:.0}")),
            TracedState::Delivered { at } => (Tone::Good, format!("acknowledged {at:.0}")),
            TracedState::Rejected { at } => (Tone::Bad, format!("refused for good {at:.0}")),
            TracedState::GivenUp { at } => (Tone::Bad, format!("given up {at:.0}")),
            TracedState::Damaged { at } => (Tone::Bad, format!("not readable {at:.0}; it is fetched again")),
        };
        line(if index == 0 { "latest at" } else { "" }, tone, &format!("{}: {said}", delivery.sink));
    }
    if newest.deliveries.is_empty() {
        line("latest at", Tone::Fair, "no sink was to have it, or what they had is not known any more");
    }
    lines.join("\n")
}

/// Some names, and how many more there are.
fn some(names: &[String]) -> String {
    let shown = names.iter().take(LISTED_MAX).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(LISTED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
