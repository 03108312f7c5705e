//! `muster alerts search`.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::Timestamp;
use muster_model::{RecordKind, Severity, Source, Tenant, TenantId};
use muster_store::{ChangedIn, SearchedSource, VersionPlace};
use serde::Serialize;

use super::super::moment::Moment;
use super::super::{Context, Except, only};
use super::row::Row;
use crate::exit_code::{Exit, Failed};
use crate::pattern::Pattern;
use crate::search::{Filter, Searched, Walk};
use crate::shown::output::{Output, Tone, duration, number, plain};
use crate::shown::progress::Progress;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Several values of one option stand for any of them; each option that is given must fit. Times are those of Microsoft's last change.")]
pub(crate) struct Args {
    /// Only the record with this id; repeat for several.
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<String>,
    /// Only of these tenants: slugs, ids or domains, or tag:NAME; several by commas.
    #[arg(long, short, value_delimiter = ',')]
    tenant: Vec<String>,
    #[command(flatten)]
    except: Except,
    /// Only what Microsoft changed from then on: 7d, 2026-11-01 or 2026-11-01T08:30:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Only what Microsoft changed before; a record that was changed again is shown as it was then.
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// Only of these severities; several by commas.
    #[arg(long, value_delimiter = ',')]
    severity: Vec<Severity>,
    /// Only of these services, as Microsoft writes them: microsoftDefenderForEndpoint.
    #[arg(long, value_delimiter = ',')]
    service: Vec<String>,
    /// Only of these sources [default: all but those of hunting rows].
    #[arg(long, value_delimiter = ',')]
    source: Vec<Source>,
    /// Only with this device: its name, with or without its domain, or its id; `*` stands for any text.
    #[arg(long, value_name = "NAME")]
    host: Vec<Pattern>,
    /// Only with this user: account, principal name, SID or id; `*` stands for any text.
    #[arg(long, value_name = "NAME")]
    user: Vec<Pattern>,
    /// Only with this text in any value, in capitals or not; repeat for several, all of which must be there.
    #[arg(long)]
    text: Vec<String>,
    /// At most so many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Each version of a record by itself, and not only the latest.
    #[arg(long)]
    versions: bool,
}

#[derive(Serialize)]
struct Result {
    alerts: Vec<Row>,
    /// Whether it ended at the limit: there may be more.
    limited: bool,
    /// Whether it was interrupted.
    interrupted: bool,
    /// Whether all that was asked about, and is in the journal, was looked at and could be read.
    complete: bool,
    tenants: usize,
    /// Versions that were looked at.
    searched: u64,
    /// Everything was looked at that was changed since then; nothing older, unless it is complete.
    searched_back_to: Option<Timestamp>,
    unreadable: u64,
    unreadable_batches: u64,
    why_unreadable: Option<String>,
    /// Versions that had been known and have left the journal.
    gone: u64,
    /// Up to when what was accepted has left the journal, in part or as a whole.
    pruned_up_to: Option<Timestamp>,
}

pub(super) async fn run(args: &Args, context: &Context) -> std::result::Result<Exit, Failed> {
    let started = context.clock.now();
    let span = ChangedIn {
        since: args.since.map(|since| since.seen_at(started)),
        until: args.until.map_or(Timestamp::MAX, |until| until.seen_at(started)),
    };
    if span.since.is_some_and(|since| since >= span.until) {
        return Err(Failed::say(Exit::Usage, "there is nothing between --since and --until"));
    }
    if args.text.iter().any(|text| text.trim().is_empty()) {
        return Err(Failed::say(Exit::Usage, "--text is empty"));
    }
    let chosen = context.ids(&args.tenant, &args.except).await?;
    let filter = Filter::new(&args.severity, &args.service, &args.host, &args.user, &args.text);
    let tenants = context.store.tenants().await?;
    let sources = searched_sources(args, chosen.as_ref(), context).await?;
    let pruned_up_to = sources.iter().filter_map(|source| source.pruned_up_to).max();
    let asked: BTreeSet<TenantId> = sources.iter().map(|source| source.tenant).collect();
    let store = context.store.as_ref();
    let mut walk = match args.ids.is_empty() {
        true => {
            let sources = sources.iter().map(|of| (of.tenant, of.source)).collect();
            Walk::through(store, &filter, sources, span, args.versions).await?
        }
        false => {
            let places = places(args, &sources, span, context).await?;
            Walk::through_places(store, &filter, places, span, args.versions)
        }
    };
    let microsoft = context.microsoft()?;
    let portal = microsoft.cloud().portals().defender;
    let (rows, interrupted) = look(args, &mut walk, (&tenants, portal), span, context).await?;
    let searched = &walk.searched;
    let result = Result {
        limited: rows.len() == args.limit as usize && !searched.is_whole,
        interrupted,
        complete: searched.is_whole && searched.unreadable == 0,
        tenants: asked.len(),
        searched: searched.records,
        searched_back_to: searched.back_to,
        unreadable: searched.unreadable,
        unreadable_batches: searched.unreadable_batches,
        why_unreadable: searched.why.clone(),
        gone: searched.gone,
        pruned_up_to,
        alerts: rows,
    };
    context.output.print(&result, |output| shown(&result, span, output))?;
    let whole = !result.interrupted && result.unreadable == 0;
    Ok(if whole { Exit::Success } else { Exit::Partly })
}

/// Walks until enough is found, all was looked at, or somebody interrupts; whether somebody did.
async fn look(
    args: &Args,
    walk: &mut Walk<'_>,
    (tenants, portal): (&[Tenant], Option<&str>),
    span: ChangedIn,
    context: &Context,
) -> std::result::Result<(Vec<Row>, bool), Failed> {
    let (mut rows, mut progress) = (Vec::new(), Progress::of(context.output));
    let started = context.clock.now();
    let all = match args.ids.is_empty() && args.tenant.is_empty() && span.since.is_none() {
        true => Some(context.store.journal_totals().await?.records),
        false => None,
    };
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    while !walk.searched.is_whole && rows.len() < args.limit as usize {
        if interrupt.as_mut().now_or_never().is_some() {
            return Ok((rows, true));
        }
        if let Some(found) = walk.step().await? {
            rows.push(Row::of(&found, tenants, portal));
        }
        let now = context.clock.now();
        progress.show(now, || line(&walk.searched, rows.len(), all, (started, span), now));
    }
    // Whether more is to come is known by the next step only.
    Ok((rows, false))
}

/// How far it has come, in one line.
fn line(
    searched: &Searched,
    found: usize,
    all: Option<u64>,
    (started, span): (Timestamp, ChangedIn),
    now: Timestamp,
) -> String {
    let seconds = now.duration_since(started).as_secs_f64();
    let done = match (all, span.since, searched.back_to) {
        (Some(all), ..) => part(searched.records, all),
        (None, Some(since), Some(back_to)) => {
            let whole = span.until.min(started).duration_since(since).as_secs_f64();
            let left = back_to.duration_since(since).as_secs_f64();
            Some(1.0 - left / whole.max(1.0))
        }
        _ => None,
    };
    let left =
        done.filter(|done| seconds > 2.0 && (0.001..1.0).contains(done)).map_or_else(String::new, |done| {
            format!(", about {} left", duration(Duration::from_secs_f64(seconds * (1.0 - done) / done)))
        });
    let rate = if seconds > 0.5 { rate(searched.records, seconds) } else { 0 };
    let back_to = searched.back_to.map_or_else(String::new, |at| format!(" · back to {at:.0}"));
    format!(
        "{} records looked at, {}/s{left}{back_to} · {found} found",
        number(searched.records),
        number(rate)
    )
}

#[expect(clippy::cast_precision_loss, reason = "a part of the whole, for people")]
fn part(done: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| done as f64 / all as f64)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate, for people"
)]
fn rate(records: u64, seconds: f64) -> u64 {
    (records as f64 / seconds) as u64
}

async fn searched_sources(
    args: &Args,
    chosen: Option<&BTreeSet<TenantId>>,
    context: &Context,
) -> std::result::Result<Vec<SearchedSource>, Failed> {
    let mut sources = context.store.searched_sources().await?;
    sources.retain(|of| {
        let is_asked = match args.source.is_empty() {
            // Whoever names a record knows what it is.
            true => !args.ids.is_empty() || of.source.kind() != RecordKind::HuntingRow,
            false => args.source.contains(&of.source),
        };
        is_asked && chosen.is_none_or(|chosen| chosen.contains(&of.tenant))
    });
    Ok(sources)
}

/// Where the versions of the named records are.
async fn places(
    args: &Args,
    sources: &[SearchedSource],
    span: ChangedIn,
    context: &Context,
) -> std::result::Result<Vec<(TenantId, Source, VersionPlace)>, Failed> {
    let asked: BTreeSet<TenantId> = sources.iter().map(|of| of.tenant).collect();
    let mut places = Vec::new();
    for id in args.ids.iter().collect::<BTreeSet<_>>() {
        for version in context.store.trace(only(Some(&asked)), id).await? {
            let is_asked =
                sources.iter().any(|of| (of.tenant, of.source) == (version.tenant, version.source));
            let is_within = version.updated_at.map_or(span.since.is_none(), |at| {
                at < span.until && span.since.is_none_or(|since| at >= since)
            });
            if is_asked && is_within {
                let (batch, ordinal) = (version.batch, version.place);
                let place = VersionPlace { updated_at: version.updated_at, batch, ordinal };
                places.push((version.tenant, version.source, place));
            }
        }
    }
    Ok(places)
}

fn shown(result: &Result, span: ChangedIn, output: &Output) -> String {
    let mut text = String::new();
    if !result.alerts.is_empty() {
        let mut table = output.table(&["time", "tenant", "severity", "title", "host", "user", "id"]);
        for row in &result.alerts {
            let tone = match row.severity {
                "high" => Tone::Bad,
                "medium" => Tone::Fair,
                _ => Tone::Plain,
            };
            table.add_row([
                output.text(row.time.map_or_else(|| "-".to_owned(), |at| format!("{at:.0}"))),
                output.text(&row.tenant),
                output.cell(row.severity, tone),
                output.text(&row.summary.title),
                output.text(first_of(&row.summary.hosts)),
                output.text(first_of(&row.summary.users)),
                output.text(&row.id),
            ]);
        }
        text.push_str(&format!("{table}\n\n"));
    }
    for line in notes(result, span) {
        text.push_str(&plain(&line));
        text.push('\n');
    }
    text.trim_end().to_owned()
}

/// The first name, and how many more there are.
fn first_of(names: &[String]) -> String {
    match names {
        [] => "-".to_owned(),
        [one] => one.clone(),
        [first, more @ ..] => format!("{first} +{}", more.len()),
    }
}

/// What was found, and where was looked for it.
fn notes(result: &Result, span: ChangedIn) -> Vec<String> {
    let found = match result.alerts.len() {
        0 => "nothing was found".to_owned(),
        found => format!("{} found", number(found as u64)),
    };
    let records = format!("{} records of {} tenants", number(result.searched), number(result.tenants as u64));
    let until = Some(span.until).filter(|until| *until != Timestamp::MAX);
    let from = until.map_or_else(String::new, |until| format!(" from {until:.0}"));
    let back = |to: Option<Timestamp>| to.map_or_else(String::new, |at| format!(" back to {at:.0}"));
    let whole = format!("all that the journal holds{from}{}", back(span.since));
    let back = format!("{from}{}", back(result.searched_back_to));
    let mut notes = vec![match (result.interrupted, result.limited) {
        (true, _) => format!(
            "{found}, and it was interrupted: {records} were looked at{back}; nothing that was changed before was looked at"
        ),
        (false, true) => {
            format!(
                "{found}, as many as --limit allows: {records} were looked at{back}; there may be more before"
            )
        }
        (false, false) => format!("{found}; {records} were looked at: {whole}"),
    }];
    if result.unreadable > 0 {
        notes.push(format!(
            "{} records in {} journal batches cannot be read, and were not searched ({}); `muster run` fetches such records again when it meets them",
            number(result.unreadable),
            number(result.unreadable_batches),
            result.why_unreadable.as_deref().unwrap_or("why is not known")
        ));
    }
    if let Some(at) = result.pruned_up_to {
        notes.push(format!(
            "what was accepted up to {at:.0} has left the journal ([store] keep_journal), in part or as a whole{}",
            match result.gone {
                0 => String::new(),
                gone => format!("; {} versions of it are still known by their ids: `muster trace`", number(gone)),
            }
        ));
    }
    notes
}
