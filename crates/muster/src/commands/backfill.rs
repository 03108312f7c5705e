//! `muster backfill …`: reads a span that lies behind, beside what is read live.

use std::time::Duration;

use jiff::Timestamp;
use muster_microsoft::sources;
use muster_model::{Cursor, Purpose, Source, Tenant, TenantId, TenantState};
use muster_store::{CursorState, InstanceId, TenantKey};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::moment::Moment;
use super::{Context, Except};
use crate::collect::LEASE;
use crate::exit_code::{Exit, Failed};
use crate::shown::note::{note, said};
use crate::shown::output::{duration, number};
use crate::shown::passes::{PassStatus, percent};
use crate::shown::progress::Progress;
use crate::wiring;

/// The longest pause before it is looked again whether there is something to do.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const STOPPED: &str = "stopped; `muster backfill resume` or `muster run` reads on from here";

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<BackfillCommand>,
    /// Slugs, ids or domains, tag:NAME, or `all`; several by commas.
    #[arg(long, short, required = true, value_delimiter = ',')]
    tenant: Vec<String>,
    #[command(flatten)]
    except: Except,
    /// Only these sources; else all that the tenant has.
    #[arg(long)]
    source: Vec<Source>,
    /// The beginning, by the time of the last update: 30d, 2026-11-01 or 2026-11-01T08:30:00Z.
    #[arg(long, required = true, value_name = "TIME")]
    since: Option<Moment>,
    /// The end; else now.
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
}

#[derive(Debug, clap::Subcommand)]
enum BackfillCommand {
    /// How far the backfills have come.
    List,
    /// Read on what is under way, where no `muster run` does.
    Resume,
    /// End backfills. What was read stays.
    Cancel {
        /// Slug, id or domain.
        #[arg(long, short)]
        tenant: String,
        /// Only these sources.
        #[arg(long)]
        source: Vec<Source>,
    },
}

/// One backfill: which source of which tenant.
type Key = (TenantId, Source);

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    match &args.command {
        None => begin(args, context).await,
        Some(BackfillCommand::List) => list(context).await,
        Some(BackfillCommand::Resume) => {
            let all = context.store.cursors(Purpose::Backfill).await?;
            let keys = all.iter().map(|found| (found.state.tenant, found.state.source)).collect();
            work(keys, context).await
        }
        Some(BackfillCommand::Cancel { tenant, source }) => cancel(tenant, source, context).await,
    }
}

async fn begin(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let now = context.clock.now();
    let since = args.since.expect("clap requires it").seen_at(now);
    let until = args.until.map_or(now, |until| until.seen_at(now)).min(now);
    if since >= until {
        return Err(Failed::say(Exit::Usage, format!("there is nothing between {since:.0} and {until:.0}")));
    }
    let mut wanted = Vec::new();
    for tenant in context.chosen_to_read(&args.tenant, &args.except).await? {
        wanted.push((sources_of(&tenant, &args.source)?, tenant));
    }
    let mut keys = Vec::new();
    for (sources, tenant) in wanted {
        for source in sources {
            begin_one(&tenant, source, (since, until), context).await?;
            keys.push((tenant.id, source));
        }
    }
    work(keys, context).await
}

fn sources_of(tenant: &Tenant, wanted: &[Source]) -> Result<Vec<Source>, Failed> {
    if tenant.state != TenantState::Active {
        let said = format!("{} is {}: only an active tenant is read", tenant.slug, tenant.state);
        return Err(Failed::say(Exit::Failure, said));
    }
    if let Some(source) = wanted.iter().find(|source| !tenant.sources.contains(source)) {
        return Err(Failed::say(Exit::NotFound, format!("{} has no source {source}", tenant.slug)));
    }
    if let Some(stream) = wanted.iter().find(|source| source.stream().is_some()) {
        let said = format!(
            "`{stream}` is a stream, which has no backfills: all that lies there is looked at every time, and read once"
        );
        return Err(Failed::say(Exit::Usage, said));
    }
    Ok(if wanted.is_empty() { tenant.asked().collect() } else { wanted.to_vec() })
}

async fn begin_one(
    tenant: &Tenant,
    source: Source,
    (since, until): (Timestamp, Timestamp),
    context: &Context,
) -> Result<(), Failed> {
    let now = context.clock.now();
    let live = context.store.cursor(tenant.id, source, Purpose::Live).await?;
    let like = live.as_ref().map(|live| &live.cursor);
    let Some(cursor) = Cursor::passing(&[(since, until)], now, like) else {
        let said = format!(
            "all of this span of {source} of {} could not be read before, and is being asked for again; `muster status` tells why",
            tenant.slug
        );
        return Err(Failed::say(Exit::Failure, said));
    };
    if let Some(kept_for) = sources::declaration(source).kept_for {
        let kept_since = now.checked_sub(kept_for).unwrap_or(Timestamp::MIN);
        if since < kept_since {
            note!(
                "muster: {}: Microsoft keeps records of {source} for {} days: what was last updated before {kept_since:.0} can most likely not be had any more",
                tenant.slug,
                kept_for.as_secs() / 86_400
            );
        }
    }
    // What left the journal before any sink was to have it is no longer known, or the backfill would pass over it. First, or
    // what reads already would meet it while it is known still.
    let forgotten = context.store.forget_unrouted(tenant.id, source, (since, until), now).await?;
    if forgotten > 0 {
        note!(
            "muster: {}: {} records of {source} that no route took, and that have left the journal, are fetched again",
            tenant.slug,
            number(forgotten)
        );
    }
    if !context.store.begin_cursor(tenant.id, source, Purpose::Backfill, cursor, now).await? {
        let said = format!(
            "a backfill of {source} of {} is under way; see `muster backfill list`, or end it with `muster backfill cancel --tenant {}`",
            tenant.slug, tenant.slug
        );
        return Err(Failed::say(Exit::Failure, said));
    }
    let details = serde_json::json!({ "source": source, "since": since, "until": until });
    context.audit("backfill.begun", tenant.slug.as_str(), details).await
}

/// Reads the backfills to their end, where nobody else does.
async fn work(keys: Vec<Key>, context: &Context) -> Result<Exit, Failed> {
    if keys.is_empty() {
        said!("no backfill is under way")?;
        return Ok(Exit::Success);
    }
    if context.store.is_owned().await? {
        note!("`muster run` reads it; `muster backfill list` shows how far it has come");
        return list(context).await;
    }
    note!("no `muster run` is at work: reading here; what is read is delivered by `muster run`");
    let collector =
        wiring::collector(&context.settings, &context.store, &context.clock, InstanceId(Uuid::new_v4()))
            .await?;
    let stop = CancellationToken::new();
    let mut progress = Progress::of(context.output);
    loop {
        let mut left = Vec::new();
        let mut worked = false;
        for (tenant, source) in &keys {
            let key = (*tenant, *source, Purpose::Backfill);
            let now = context.clock.now();
            if let Some(lease) = context.store.lease_cursor(collector.instance, key, LEASE, now).await? {
                let turn = collector.turn(lease, &stop);
                tokio::pin!(turn);
                tokio::select! {
                    () = &mut turn => worked = true,
                    _ = tokio::signal::ctrl_c() => {
                        // The page under way is accepted, and the lease given back.
                        stop.cancel();
                        turn.await;
                        progress.wipe();
                        note!("{STOPPED}");
                        return Ok(Exit::Partly);
                    }
                }
            }
            left.extend(context.store.cursor(*tenant, *source, Purpose::Backfill).await?);
        }
        if left.is_empty() {
            progress.wipe();
            said!("done: `muster ledger` shows what was read")?;
            return Ok(Exit::Success);
        }
        progress.show(context.clock.now(), || line(&left, context.clock.now()));
        if worked {
            continue;
        }
        if context.store.is_owned().await? {
            progress.wipe();
            note!("`muster run` has begun, and reads on");
            return Ok(Exit::Success);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = tokio::signal::ctrl_c() => {
                progress.wipe();
                note!("{STOPPED}");
                return Ok(Exit::Partly);
            }
        }
    }
}

/// How far all of them have come, in one line.
fn line(left: &[CursorState], now: Timestamp) -> String {
    let of: Vec<PassStatus> = left.iter().map(|found| PassStatus::of(found, now)).collect();
    let slowest = of.iter().min_by(|one, other| one.done.total_cmp(&other.done));
    let found: u64 = of.iter().map(|pass| pass.found).sum();
    let trouble = of.iter().find_map(|pass| pass.last_error.clone());
    slowest.map_or_else(String::new, |pass| {
        let left = pass.seconds_left.map_or_else(String::new, |seconds| {
            format!(", about {} left", duration(Duration::from_secs(seconds)))
        });
        let waits = trouble.map_or_else(String::new, |trouble| format!(" · waiting: {trouble}"));
        format!("{} · {} records found{left}{waits}", percent(pass.done), number(found))
    })
}

#[derive(Serialize)]
struct Row {
    tenant: String,
    #[serde(flatten)]
    pass: PassStatus,
}

async fn list(context: &Context) -> Result<Exit, Failed> {
    let now = context.clock.now();
    let tenants = context.store.tenants().await?;
    let slug = |id: TenantId| {
        let found = tenants.iter().find(|tenant| tenant.id == id);
        found.map_or_else(|| id.to_string(), |tenant| tenant.slug.to_string())
    };
    let all = context.store.cursors(Purpose::Backfill).await?;
    let rows: Vec<Row> = all
        .iter()
        .map(|found| Row { tenant: slug(found.state.tenant), pass: PassStatus::of(found, now) })
        .collect();
    context.output.print(&rows, |output| {
        if rows.is_empty() {
            return "no backfill is under way".to_owned();
        }
        let mut table =
            output.table(&["tenant", "source", "since", "until", "done", "found", "left", "trouble"]);
        for Row { tenant, pass } in &rows {
            let time =
                |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), |time| format!("{time:.0}"));
            let left = pass.seconds_left.map(Duration::from_secs).map_or_else(|| "-".to_owned(), duration);
            table.add_row([
                output.text(tenant),
                output.text(pass.source.as_str()),
                output.text(time(pass.from)),
                output.text(time(pass.to)),
                output.text(percent(pass.done)),
                output.text(number(pass.found)),
                output.text(left),
                output.text(pass.last_error.as_deref().unwrap_or("-")),
            ]);
        }
        table.to_string()
    })
}

async fn cancel(name: &str, wanted: &[Source], context: &Context) -> Result<Exit, Failed> {
    let tenant = context.store.tenant(TenantKey::Name(name)).await?;
    let mut ended = Vec::new();
    for source in context
        .every_source(std::slice::from_ref(&tenant))
        .into_iter()
        .filter(|source| wanted.is_empty() || wanted.contains(source))
    {
        if context.store.remove_cursor(tenant.id, source, Purpose::Backfill).await? {
            let details = serde_json::json!({ "source": source });
            context.audit("backfill.cancelled", tenant.slug.as_str(), details).await?;
            ended.push(source);
        }
    }
    if ended.is_empty() {
        return Err(Failed::say(Exit::NotFound, format!("no backfill of {} is under way", tenant.slug)));
    }
    context.output.print(&ended, |_| {
        let lines =
            ended.iter().map(|source| format!("the backfill of {source} of {} has ended", tenant.slug));
        lines.collect::<Vec<_>>().join("\n")
    })
}
