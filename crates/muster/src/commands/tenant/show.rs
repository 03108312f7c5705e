//! `muster tenant list` and `show`

use jiff::Timestamp;
use muster_model::Tenant;
use muster_store::{CheckOutcome, TenantKey};
use serde::Serialize;

use super::tag;
use crate::commands::{Context, Except};
use crate::exit_code::{Exit, Failed};
use crate::shown::grid::{Align, Grid, painted, wrapped};
use crate::shown::output::{self, Output, Tone, ago, number, plain};
use crate::shown::passes::{PassStatus, percent};
use crate::shown::state;
use crate::shown::status::{Standing, TenantStatus};

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only these: slugs, ids or domains; tag:NAME for all with a tag. Without any, also those that were offboarded.
    tenants: Vec<String>,
    #[command(flatten)]
    except: Except,
}

pub(super) async fn list(args: &ListArgs, context: &Context) -> Result<Exit, Failed> {
    let tenants = match args.tenants.is_empty() && args.except.is_empty() {
        true => context.store.tenants().await?,
        false => context.chosen(&args.tenants, &args.except).await?,
    };
    let snapshot = context.snapshot().await?;
    let standing = |tenant: &Tenant| {
        let status = snapshot.tenants.iter().find(|status| status.id == tenant.id);
        status.map_or(Standing::of(tenant.state, &[]), |status| status.standing)
    };
    context.output.print(&tenants, |output| {
        if tenants.is_empty() {
            return "no tenants yet; `muster tenant add contoso.example` adds one".to_owned();
        }
        let mut table = output.table(&["slug", "name", "id", "state", "app", "sources", "tags"]);
        for tenant in &tenants {
            let standing = standing(tenant);
            table.add_row([
                output.text(tenant.slug.as_str()),
                output.text(&tenant.name),
                output.text(tenant.id.to_string()),
                output.cell(standing.as_str(), standing.tone()),
                output.text(&tenant.app),
                output
                    .text(tenant.sources.iter().map(|source| source.as_str()).collect::<Vec<_>>().join(", ")),
                output.text(tag::listed(&tenant.tags)),
            ]);
        }
        table.to_string()
    })
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    tenant: Tenant,
    status: Option<TenantStatus>,
}

pub(super) async fn show(name: &str, context: &Context) -> Result<Exit, Failed> {
    let tenant = context.store.tenant(TenantKey::Name(name)).await?;
    let snapshot = context.snapshot().await?;
    let (now, running) = (snapshot.at, snapshot.run.is_running());
    let run = snapshot.run.in_words(now);
    let status = snapshot.tenants.into_iter().find(|status| status.id == tenant.id);
    let shown = Shown { tenant, status };
    context.output.print(&shown, |output| {
        let tenant = &shown.tenant;
        let mut text = format!(
            "{}  {}\n\nid      {}\ndomain  {}\nstate   {}\napp     {}\ntags    {}\nadded   {:.0}\nsince   {:.0}\nowed    {}\n\n",
            tenant.slug,
            plain(&tenant.name),
            tenant.id,
            tenant.domain.as_ref().map_or("-", |domain| domain.as_str()),
            shown.status.as_ref().map_or(tenant.state.as_str(), |status| status.standing.as_str()),
            tenant.app,
            tag::listed(&tenant.tags),
            tenant.added_at,
            tenant.since,
            number(shown.status.as_ref().map_or(0, |status| status.owed)),
        );
        if !running {
            text.push_str(&format!("{}\n\n", painted(output, &format!("✗ {run}"), Tone::Bad)));
        }
        text.push_str(&sources(output, shown.status.as_ref(), now, running));
        text.push_str(&passes(output, shown.status.as_ref(), now));
        let checks = shown.status.as_ref().map_or(&[][..], |status| &status.checks);
        if !checks.is_empty() {
            let mut table = output.table(&["check", "result", "when", "finding", "to do"]);
            for check in checks {
                let good = check.outcome == CheckOutcome::Good;
                table.add_row([
                    output.text(&check.name),
                    output.cell(if good { "good" } else { &check.code }, check.outcome.into()),
                    output.text(ago(Some(check.checked_at), now)),
                    output.text(&check.detail),
                    output.text(if check.remedy.is_empty() { "-" } else { &check.remedy }),
                ]);
            }
            text.push_str(&format!("\n\n{table}"));
        }
        text
    })
}

/// The sources: how each is, and below it what is wrong.
fn sources(output: &Output, status: Option<&TenantStatus>, now: Timestamp, running: bool) -> String {
    let left = |head| (head, Align::Left);
    let mut grid = Grid::new(&[
        left("source"),
        left("reads"),
        left("last read"),
        left("last new"),
        ("accepted", Align::Right),
        ("unrouted", Align::Right),
    ]);
    let width = output::width().map(usize::from);
    let mut text = Vec::new();
    for source in status.iter().flat_map(|status| &status.sources) {
        let plain_cell = |text: String| (text, Tone::Plain);
        grid.row([
            plain_cell(source.source.to_string()),
            (source.state.to_string(), state::tone(source.state, running)),
            plain_cell(ago(source.last_success_at, now)),
            plain_cell(ago(source.last_new_at, now)),
            plain_cell(number(source.accepted)),
            plain_cell(number(source.unrouted.no_route)),
        ]);
        if let Some(error) = &source.last_error {
            let line = format!("{}: {}", source.source, plain(error));
            text.push(wrapped(&line, width, "  "));
        }
    }
    let errors = if text.is_empty() { String::new() } else { format!("\n\n{}", text.join("\n")) };
    format!("{}{errors}", grid.render(output, width))
}

/// Sweeps and backfills: when they were over last, and how far those under way have come.
fn passes(output: &Output, status: Option<&TenantStatus>, now: Timestamp) -> String {
    let passes: Vec<&PassStatus> =
        status.iter().flat_map(|status| &status.sources).flat_map(|source| &source.passes).collect();
    if passes.is_empty() {
        return String::new();
    }
    let mut table = output.table(&["source", "reading", "last done", "state", "found", "trouble"]);
    for pass in passes {
        let state = match pass.is_under_way() {
            true => percent(pass.done),
            false if pass.next_at <= now => "due".to_owned(),
            false => format!("in {}", ago(Some(now), pass.next_at)),
        };
        table.add_row([
            output.text(pass.source.as_str()),
            output.text(pass.purpose.as_str()),
            output.text(ago(pass.last_success_at, now)),
            output.text(state),
            output.text(if pass.is_under_way() { number(pass.found) } else { "-".to_owned() }),
            output.text(pass.last_error.as_deref().unwrap_or("-")),
        ]);
    }
    format!("\n\n{table}")
}
