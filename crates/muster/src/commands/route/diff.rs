//! `muster route diff`

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;

use jiff::Timestamp;
use muster_model::{Record, Source, Span, Tenant};
use muster_store::{Destination, ReplayRequest, ReplayTo};
use serde::Serialize;

use crate::commands::Context;
use crate::config::{RouteSettings, Settings};
use crate::exit_code::{Exit, Failed};
use crate::redactions::Redactions;
use crate::route_changes::{RouteChange, changes};
use crate::routing::Router;
use crate::shown::output::{number, plain};
use crate::wiring;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Settings with the old routes; left out, those that `muster run` loaded last.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// How far back the journal is looked through, by the time of acceptance.
    #[arg(long, value_name = "DURATION", default_value = "1d")]
    since: Span,
}

#[derive(Serialize)]
struct Verdict {
    /// What the old routes are.
    against: String,
    changes: Vec<RouteChange>,
    /// Of what was accepted since: records that were looked at, and what sinks would get more and less of them.
    since: Timestamp,
    records: u64,
    more: BTreeMap<String, u64>,
    less: BTreeMap<String, u64>,
    /// Records that a sink got and would get, of which it would see more or less.
    fields: BTreeMap<String, u64>,
    /// Records that went to some sink, and would go to none.
    unrouted: u64,
}

/// What other routes would have done with the records that the journal holds.
#[derive(Default)]
struct Counts {
    records: u64,
    more: BTreeMap<String, u64>,
    less: BTreeMap<String, u64>,
    fields: BTreeMap<String, u64>,
    unrouted: u64,
}

/// What is kept from sinks of one tenant's records of one source, by old and new routes.
struct Kept {
    sink: String,
    before: Option<Redactions>,
    after: Option<Redactions>,
}

impl Kept {
    /// Whether the sink would see more or less of a record.
    fn differs(&mut self, record: Record<'_>) -> bool {
        let of = |redactions: &mut Option<Redactions>| {
            redactions.as_mut().map(|redactions| redactions.for_record(record)).unwrap_or_default()
        };
        of(&mut self.before) != of(&mut self.after)
    }
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let (against, old) = match &args.against {
        Some(file) => (file.display().to_string(), Settings::read(file)?.routes),
        None => ("what `muster run` loaded last".to_owned(), loaded(context).await?),
    };
    let new = &context.settings.routes;
    let tenants = context.store.tenants().await?;
    let changes = changes(&old, new, &tenants);
    let now = context.clock.now();
    let since = now.checked_sub(args.since.0).unwrap_or(Timestamp::MIN);
    let counts = Mutex::new(Counts::default());
    let touched: BTreeSet<(&str, Source)> = changes
        .iter()
        .flat_map(|change| change.tenants.iter().map(|tenant| (tenant.as_str(), change.source)))
        .collect();
    let (before, after) = (Router::new(old), Router::new(new.clone()));
    for (slug, source) in touched {
        let Some(tenant) = tenants.iter().find(|tenant| tenant.slug.as_str() == slug) else { continue };
        let kept = context.settings.sinks.keys().map(|sink| Kept {
            sink: sink.clone(),
            before: Redactions::of(&before, tenant, source, sink),
            after: Redactions::of(&after, tenant, source, sink),
        });
        let kept = Mutex::new(kept.collect::<Vec<_>>());
        let (before, after) = (before.routes(tenant, source), after.routes(tenant, source));
        let look = |record: Record<'_>| {
            let sinks = |destination: Destination| destination.sinks.into_iter().collect::<BTreeSet<_>>();
            let (had, has) = (sinks(before.destination(record)), sinks(after.destination(record)));
            let mut counts = counts.lock().expect("no panic while the lock is held");
            counts.records += 1;
            counts.unrouted += u64::from(!had.is_empty() && has.is_empty());
            has.difference(&had).for_each(|sink| *counts.more.entry(sink.clone()).or_default() += 1);
            had.difference(&has).for_each(|sink| *counts.less.entry(sink.clone()).or_default() += 1);
            let mut kept = kept.lock().expect("no panic while the lock is held");
            for kept in kept.iter_mut().filter(|kept| had.contains(&kept.sink) && has.contains(&kept.sink)) {
                if kept.differs(record) {
                    *counts.fields.entry(kept.sink.clone()).or_default() += 1;
                }
            }
            Destination::default()
        };
        look_through(context, tenant, source, (since, &[]), ReplayTo::Each(&look)).await?;
    }
    let Counts { records, more, less, fields, unrouted } =
        counts.into_inner().expect("no panic while it was held");
    let verdict = Verdict { against, changes, since, records, more, less, fields, unrouted };
    context.output.print(&verdict, |_| shown(&verdict))
}

/// Shows every record of one source of one tenant that the journal holds, and that was accepted since: by a replay that
/// changes nothing.
async fn look_through(
    context: &Context,
    tenant: &Tenant,
    source: Source,
    (since, ids): (Timestamp, &[String]),
    to: ReplayTo<'_>,
) -> Result<(), Failed> {
    let request = ReplayRequest {
        tenant: tenant.id,
        source,
        since,
        until: Timestamp::MAX,
        up_to: u64::MAX,
        ids,
        unrouted: false,
        again: true,
        to,
        id: None,
        dry_run: true,
    };
    let mut after = 0;
    while let Some(next) = context.store.replay(&request, after, context.clock.now()).await?.next {
        after = next;
    }
    Ok(())
}

/// The routes of the settings that `muster run` loaded last.
async fn loaded(context: &Context) -> Result<Vec<RouteSettings>, Failed> {
    let look = wiring::look_at_store(&context.settings, None).await?;
    let routes = look.settings_loaded.as_ref().and_then(|loaded| loaded.get("route_settings")).cloned();
    let routes = routes.and_then(|routes| serde_json::from_value(routes).ok());
    routes.ok_or_else(|| {
        Failed::say(
            Exit::NotFound,
            "it is not known which routes `muster run` uses: it has not run with this store yet, or as an earlier version; name the old settings with --against",
        )
    })
}

fn shown(verdict: &Verdict) -> String {
    if verdict.changes.is_empty() {
        return plain(&format!("the routes change nothing, against {}", verdict.against));
    }
    let mut lines: Vec<String> = verdict.changes.iter().map(RouteChange::in_words).collect();
    let since = verdict.since;
    lines.push(format!(
        "of the {} records concerned that were accepted since {since:.0}:",
        number(verdict.records)
    ));
    let mut counted = Vec::new();
    counted.extend(
        verdict
            .more
            .iter()
            .map(|(sink, count)| format!("  {} more would have gone to {sink}", number(*count))),
    );
    counted.extend(
        verdict
            .less
            .iter()
            .map(|(sink, count)| format!("  {} less would have gone to {sink}", number(*count))),
    );
    counted.extend(
        verdict
            .fields
            .iter()
            .map(|(sink, count)| format!("  {} would have gone to {sink} with other fields", number(*count))),
    );
    if verdict.unrouted > 0 {
        counted.push(format!("  {} would have gone to no sink", number(verdict.unrouted)));
    }
    if counted.is_empty() {
        counted.push("  all would have gone where they went".to_owned());
    }
    lines.extend(counted);
    plain_lines(&lines)
}

fn plain_lines(lines: &[String]) -> String {
    lines.iter().map(|line| plain(line)).collect::<Vec<_>>().join("\n")
}
