//! `muster replay`: brings what the journal holds to sinks once more, first of all what no route took.
//!
//! It owes the records to the sinks, and nothing else: `muster run` delivers them as it delivers all that is owed, behind
//! what is owed already. So it may be killed and called again: what a sink is owed, it is not owed twice.

use std::collections::BTreeMap;

use jiff::Timestamp;
use muster_model::{Record, ReplayId, Source, Tenant, TenantId};
use muster_store::{
    Destination, ReplayCounts, ReplayRequest, ReplayTo, ReplayedToSink, StoreError, Unrouted,
};
use serde::Serialize;
use uuid::Uuid;

use super::confirm::{ask, can_ask};
use super::moment::Moment;
use super::{Context, Except};
use crate::exit_code::{Exit, Failed};
use crate::routing::Router;
use crate::shown::note::note;
use crate::shown::output::{Output, OutputFormat, Tone, number, plain};
use crate::shown::progress::Progress;
use crate::wiring;

/// So many lines are shown, beside those for all.
const LISTED_MAX: usize = 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Slugs, ids or domains, tag:NAME, or `all`; several by commas.
    #[arg(long, short, required = true, value_delimiter = ',')]
    tenant: Vec<String>,
    #[command(flatten)]
    except: Except,
    /// Only these sources.
    #[arg(long)]
    source: Vec<Source>,
    /// To this sink, whatever the routes say; else where the routes lead now.
    #[arg(long)]
    sink: Option<String>,
    /// Only what no route took, and no sink was owed since.
    #[arg(long)]
    unrouted: bool,
    /// Also what a sink has acknowledged or refused before: it gets that once more.
    #[arg(long)]
    again: bool,
    /// Only what Muster accepted from then on: 7d, 2026-11-01 or 2026-11-01T08:30:00Z [default: all that the journal holds].
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Only what Muster accepted before; else up to now.
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// Only the record with this id, in all its versions; repeat for several.
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<String>,
    /// Count what would be brought, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
}

/// What came of one source of one tenant.
#[derive(Serialize)]
struct Row {
    tenant: String,
    source: Source,
    #[serde(flatten)]
    counts: ReplayCounts,
}

/// What cannot be brought, since it has left the journal.
#[derive(Serialize)]
struct Left {
    tenant: String,
    source: Source,
    /// Records that no route took.
    unrouted: u64,
    updated_from: Option<Timestamp>,
    updated_to: Option<Timestamp>,
    /// What fetches them again.
    command: String,
}

#[derive(Serialize)]
struct Verdict {
    dry_run: bool,
    /// The name of this replay, which what it brings carries.
    replay_id: Option<ReplayId>,
    /// Whether `muster run` is at work on the store, and delivers it now.
    running: bool,
    /// Whether that one has not read these settings.
    outdated: bool,
    /// Records that sinks are owed from now on.
    owed: u64,
    rows: Vec<Row>,
    /// Up to when what was accepted has been pruned, where that lies in the span.
    pruned_up_to: Option<Timestamp>,
    pruned: Vec<Left>,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let now = context.clock.now();
    let since = args.since.map_or(Timestamp::MIN, |since| since.seen_at(now));
    // Whatever clock accepted it: without an end, all of it.
    let until = args.until.map_or(Timestamp::MAX, |until| until.seen_at(now));
    if since >= until {
        return Err(Failed::say(Exit::Usage, format!("there is nothing between {since:.0} and {until:.0}")));
    }
    let tenants = chosen(args, context).await?;
    let fixed = args.sink.as_deref().map(|sink| to_one(sink, context)).transpose()?;
    let router = Router::new(context.settings.routes.clone());
    let sources = match args.source.is_empty() {
        true => context.every_source(&tenants).into_iter().collect(),
        false => args.source.clone(),
    };
    // What comes while it is asked, or while it goes on, is not brought: it is delivered anyway.
    let up_to = context.store.journal_tail(u64::MAX, 0, 0).await?.newest;
    let plan = Plan {
        args,
        up_to,
        tenants: &tenants,
        sources: &sources,
        span: (since, until),
        fixed: &fixed,
        router: &router,
    };
    if !args.dry_run && !args.yes {
        can_ask()?;
        let rows = go(&plan, None, context).await?;
        let verdict = verdict(&plan, None, rows, context).await?;
        note!("{}", shown(&verdict, &context.output));
        if verdict.owed == 0 {
            return printed(&verdict, false, context);
        }
        if !ask("Owe them to the sinks?")? {
            return Err(Failed::say(Exit::Failure, "nothing was changed"));
        }
    }
    let id = (!args.dry_run).then(|| ReplayId(Uuid::new_v4()));
    if let Some(id) = id {
        // Before anything is owed: whoever interrupts it has brought some of it, under this name.
        let slugs: Vec<&str> = tenants.iter().map(|tenant| tenant.slug.as_str()).take(100).collect();
        let details = serde_json::json!({
            "replay_id": id, "tenants": tenants.len(), "first_tenants": slugs, "sink": args.sink,
            "unrouted": args.unrouted, "again": args.again, "since": args.since.map(|_| since),
            "until": args.until.map(|_| until), "ids": args.ids.len(),
        });
        context.audit("replay.begun", "replay", details).await?;
        note!("the replay is called {id}");
    }
    let rows = go(&plan, id, context).await?;
    let verdict = verdict(&plan, id, rows, context).await?;
    printed(&verdict, true, context)
}

/// What is to be replayed.
struct Plan<'a> {
    args: &'a Args,
    /// The last batch of the journal that is looked at.
    up_to: u64,
    tenants: &'a [Tenant],
    sources: &'a [Source],
    span: (Timestamp, Timestamp),
    /// Where all of it goes, where one sink was named.
    fixed: &'a Option<Destination>,
    router: &'a Router,
}

/// Replays under this name; without one, only counts.
async fn go(plan: &Plan<'_>, id: Option<ReplayId>, context: &Context) -> Result<Vec<Row>, Failed> {
    let Plan { args, up_to, tenants, sources, span: (since, until), fixed, router } = plan;
    let mut rows = Vec::new();
    let mut progress = Progress::of(context.output);
    for tenant in *tenants {
        let mut owed = BTreeMap::new();
        for source in *sources {
            let routes = router.routes(tenant, *source);
            let each = |record: Record<'_>| routes.destination(record);
            let request = ReplayRequest {
                tenant: tenant.id,
                source: *source,
                since: *since,
                until: *until,
                up_to: *up_to,
                ids: &args.ids,
                unrouted: args.unrouted,
                again: args.again,
                to: fixed.as_ref().map_or(ReplayTo::Each(&each), ReplayTo::One),
                id,
                dry_run: id.is_none(),
            };
            let counts = replay(&request, tenant, context, &mut progress).await?;
            if counts.owed() > 0 {
                owed.insert(source.to_string(), counts.owed());
            }
            if counts != ReplayCounts::default() {
                rows.push(Row { tenant: tenant.slug.to_string(), source: *source, counts });
            }
        }
        if let Some(id) = id.filter(|_| !owed.is_empty()) {
            let details = serde_json::json!({
                "replay_id": id,
                "sink": args.sink, "unrouted": args.unrouted, "again": args.again, "since": args.since.map(|_| *since),
                "until": args.until.map(|_| *until), "ids": args.ids.len(), "owed": owed,
            });
            context.audit("replay.owed", tenant.slug.as_str(), details).await?;
        }
    }
    progress.wipe();
    Ok(rows)
}

async fn verdict(
    plan: &Plan<'_>,
    id: Option<ReplayId>,
    rows: Vec<Row>,
    context: &Context,
) -> Result<Verdict, Failed> {
    let Plan { tenants, sources, span: (since, _), .. } = plan;
    let running = context.store.is_owned().await?;
    Ok(Verdict {
        dry_run: id.is_none(),
        replay_id: id,
        running,
        outdated: running && is_outdated(context).await,
        owed: rows.iter().map(|row| row.counts.owed()).sum(),
        rows,
        pruned_up_to: pruned_up_to(tenants, sources, *since, context).await?,
        pruned: left(&context.store.unrouted().await?, tenants, sources),
    })
}

/// Prints what came of it, for people where they have not just seen it.
fn printed(verdict: &Verdict, is_new: bool, context: &Context) -> Result<Exit, Failed> {
    if is_new || context.output.format != OutputFormat::Table {
        context.output.print(verdict, |output| shown(verdict, output))?;
    }
    let kept_back = |row: &Row| row.counts.no_route + row.counts.damaged + row.counts.unknown > 0;
    Ok(if verdict.rows.iter().any(kept_back) { Exit::Partly } else { Exit::Success })
}

/// One request, to its end.
async fn replay(
    request: &ReplayRequest<'_>,
    tenant: &Tenant,
    context: &Context,
    progress: &mut Progress,
) -> Result<ReplayCounts, Failed> {
    let (mut counts, mut after) = (ReplayCounts::default(), 0);
    loop {
        let step = context.store.replay(request, after, context.clock.now()).await?;
        counts.add(&step.counts);
        progress.show(context.clock.now(), || {
            format!("{} · {} · {} records looked at", tenant.slug, request.source, number(counts.records))
        });
        match step.next {
            Some(next) => after = next,
            None => return Ok(counts),
        }
    }
}

/// Whether the settings that were loaded last are others than these. Where that cannot be told, nothing is said.
async fn is_outdated(context: &Context) -> bool {
    let look = wiring::look_at_store(&context.settings, None).await.ok();
    let loaded = look.and_then(|look| look.settings_loaded);
    let fingerprint = loaded.as_ref().and_then(|loaded| loaded.get("fingerprint")?.as_str());
    fingerprint.is_some_and(|fingerprint| fingerprint != context.settings.fingerprint)
}

async fn chosen(args: &Args, context: &Context) -> Result<Vec<Tenant>, Failed> {
    let chosen = context.chosen(&args.tenant, &args.except).await;
    chosen.map_err(|failed| match failed.error.downcast_ref() {
        Some(StoreError::Offboarded(slug)) => {
            let said = format!(
                "{slug} was offboarded: its journal was destroyed with its key, so nothing of it can be replayed"
            );
            Failed::say(Exit::Failure, said)
        }
        _ => failed,
    })
}

/// Every record goes to one sink.
fn to_one(sink: &str, context: &Context) -> Result<Destination, Failed> {
    let sinks = &context.settings.sinks;
    if !sinks.contains_key(sink) {
        let names = || sinks.keys().map(String::as_str);
        let meant = muster_model::text::did_you_mean(sink, names());
        let known = names().collect::<Vec<_>>().join(", ");
        let known = if known.is_empty() { "none yet; add [sinks.NAME]".to_owned() } else { known };
        return Err(Failed::say(
            Exit::NotFound,
            format!("there is no sink `{sink}`{meant}; the sinks are: {known}"),
        ));
    }
    Ok(Destination::of(&[sink.to_owned()]))
}

/// Up to when what was accepted has been pruned, where that lies in the span.
async fn pruned_up_to(
    tenants: &[Tenant],
    sources: &[Source],
    since: Timestamp,
    context: &Context,
) -> Result<Option<Timestamp>, Failed> {
    let mut latest = None;
    for tenant in tenants {
        let of = context.store.pruned_up_to(tenant.id).await?;
        let within = of.into_iter().filter(|(source, at)| sources.contains(source) && *at >= since);
        latest = latest.max(within.map(|(_, at)| at).max());
    }
    Ok(latest)
}

/// How many records are gone, and between which update times.
type Gone = (u64, Option<(Timestamp, Timestamp)>);

/// What no route took and is not in the journal any more.
fn left(unrouted: &[Unrouted], tenants: &[Tenant], sources: &[Source]) -> Vec<Left> {
    let slug =
        |id: TenantId| tenants.iter().find(|tenant| tenant.id == id).map(|tenant| tenant.slug.to_string());
    let gone = unrouted.iter().filter(|found| found.pruned > 0 && sources.contains(&found.source));
    let mut all: BTreeMap<(String, Source), Gone> = BTreeMap::new();
    for found in gone {
        let Some(tenant) = slug(found.tenant) else { continue };
        let sum = all.entry((tenant, found.source)).or_default();
        sum.0 += found.pruned;
        sum.1 = match (sum.1, found.pruned_span) {
            (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
            (one, other) => one.or(other),
        };
    }
    let told = all.into_iter().map(|((tenant, source), (unrouted, span))| {
        // By whole seconds, so that the span can be typed; its end is exclusive.
        let second = |at: Timestamp, more: i64| Timestamp::from_second(at.as_second() + more).unwrap_or(at);
        let span = span.map(|(from, to)| (second(from, 0), second(to, 1)));
        let times = span.map(|(from, to)| format!(" --since {from:.0} --until {to:.0}")).unwrap_or_default();
        let command = format!("muster backfill --tenant {tenant} --source {source}{times}");
        let (updated_from, updated_to) = (span.map(|span| span.0), span.map(|span| span.1));
        Left { tenant, source, unrouted, updated_from, updated_to, command }
    });
    told.collect()
}

fn shown(verdict: &Verdict, output: &Output) -> String {
    let mut text = String::new();
    if verdict.rows.iter().any(|row| !row.counts.sinks.is_empty()) {
        text.push_str(&table(verdict, output));
    }
    for line in notes(verdict) {
        text.push_str(&plain(&line));
        text.push('\n');
    }
    text.push_str(&outcome(verdict));
    if let Some(id) = verdict.replay_id.filter(|_| verdict.owed > 0) {
        text.push_str(&format!("\nthe events carry replay_id {id}"));
    }
    text
}

/// A line for each tenant, source and sink, the most first; and for each sink, where not all are shown.
fn table(verdict: &Verdict, output: &Output) -> String {
    let owed = if verdict.dry_run { "would be owed" } else { "owed now" };
    let mut table = output.table(&[
        "tenant",
        "source",
        "sink",
        owed,
        "of these had before",
        "owed already",
        "had, not again",
        "refused",
    ]);
    let mut add = |tenant: &str, source: &str, sink: &str, counts: &ReplayedToSink| {
        let tone = if counts.owed > 0 { Tone::Good } else { Tone::Plain };
        table.add_row([
            output.text(tenant),
            output.text(source),
            output.text(sink),
            output.cell(number(counts.owed), tone),
            output.text(number(counts.again)),
            output.text(number(counts.owed_already)),
            output.text(number(counts.had)),
            output.text(number(counts.refused)),
        ]);
    };
    let lines = verdict.rows.iter().flat_map(|row| row.counts.sinks.iter().map(move |of| (row, of)));
    let mut lines: Vec<_> = lines.collect();
    lines.sort_by_key(|(_, (_, counts))| std::cmp::Reverse(counts.owed));
    for (row, (sink, counts)) in lines.iter().take(LISTED_MAX) {
        add(&row.tenant, row.source.as_str(), sink, counts);
    }
    let more = lines.len().saturating_sub(LISTED_MAX);
    if more == 0 {
        return format!("{table}\n\n");
    }
    let mut all = ReplayCounts::default();
    verdict.rows.iter().for_each(|row| all.add(&row.counts));
    for (sink, counts) in &all.sinks {
        add("all", "all", sink, counts);
    }
    format!("{table}\n\n… and {more} more lines; `--output json` has all of them\n")
}

/// What is not brought, and why.
fn notes(verdict: &Verdict) -> Vec<String> {
    let sum = |of: fn(&ReplayCounts) -> u64| verdict.rows.iter().map(|row| of(&row.counts)).sum::<u64>();
    let mut notes = Vec::new();
    let mut note = |count: u64, what: &str| {
        if count > 0 {
            notes.push(format!("{}: {what}", number(count)));
        }
    };
    note(
        sum(|counts| counts.no_route),
        "no route serves their tenant and source; add one, or name a sink with --sink (`muster validate` tells which are missing)",
    );
    note(
        sum(|counts| counts.filtered),
        "every route leaves them out for what they say: severity, status, service or category; they stay as they are",
    );
    note(
        sum(|counts| counts.damaged),
        match verdict.dry_run {
            true => "their journal batch cannot be read; a replay has them fetched again",
            false => "their journal batch cannot be read; they are fetched again, and routed then",
        },
    );
    note(
        sum(|counts| counts.unknown),
        "accepted by an earlier version of Muster, which did not keep what sinks had; --again brings them, perhaps once more",
    );
    note(
        sum(|counts| counts.sinks.values().map(|sink| sink.refused).sum()),
        "refused before, so they are dead letters: `muster dead-letter retry`, or --again",
    );
    if verdict.outdated {
        notes.push("`muster run` has not read these settings: `kill -HUP` it, or what comes next is routed as before".to_owned());
    }
    if let Some(at) = verdict.pruned_up_to {
        notes.push(format!("what was accepted up to {at:.0} has left the journal ([store] keep_journal), in part or as a whole"));
    }
    for Left { tenant, source, unrouted, command, .. } in &verdict.pruned {
        notes.push(format!(
            "{} records of {source} of {tenant} that no route took have left the journal; this fetches them again: {command}",
            number(*unrouted)
        ));
    }
    notes
}

fn outcome(verdict: &Verdict) -> String {
    match (verdict.owed, verdict.dry_run, verdict.running) {
        (0, ..) => "nothing is to be brought to a sink".to_owned(),
        (owed, true, _) => format!("{} deliveries would be owed; nothing was changed", number(owed)),
        (owed, false, true) => {
            format!("{} deliveries are owed; `muster run` is at work and delivers them", number(owed))
        }
        (owed, false, false) => {
            format!(
                "{} deliveries are owed; no `muster run` is at work: they are delivered when it starts",
                number(owed)
            )
        }
    }
}
