//! `muster tenant …`

use std::collections::BTreeSet;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;

use muster_microsoft::Microsoft;
use muster_model::{Slug, Source, Tenant, TenantReference, TenantState};
use muster_store::{CheckOutcome, NewTenant, StoreError, TenantChange, TenantKey};
use serde::{Deserialize, Serialize};

use super::{Context, invite};
use crate::cli::{TenantAddArgs, TenantCommand};
use crate::config::Span;
use crate::exit_code::{Exit, Failed};
use crate::lifecycle;
use crate::shown::output::{Output, Tone, ago, number};
use crate::shown::status::{Snapshot, Standing, TenantStatus};

pub(crate) async fn tenant(
    command: &TenantCommand,
    context: &Context,
    output: Output,
) -> Result<Exit, Failed> {
    match command {
        TenantCommand::Add(args) => add(args, context, output).await,
        TenantCommand::Invite(args) => invite::invite(args, context, output).await,
        TenantCommand::Guide { tenant, check, markdown } => {
            invite::guide(tenant, *check, *markdown, context, output).await
        }
        TenantCommand::Offboard { tenant, yes } => invite::offboard(tenant, *yes, context, output).await,
        TenantCommand::List => list(context, output).await,
        TenantCommand::Show { tenant } => show(tenant, context, output).await,
        TenantCommand::Pause { tenants } => set_state(tenants, TenantState::Paused, context, output).await,
        TenantCommand::Resume { tenants } => set_state(tenants, TenantState::Active, context, output).await,
        TenantCommand::Remove { tenant, yes } => remove(tenant, *yes, context, output).await,
        TenantCommand::Import { file, since } => import(file, *since, context, output).await,
    }
}

async fn add(args: &TenantAddArgs, context: &Context, output: Output) -> Result<Exit, Failed> {
    let microsoft = lifecycle::microsoft_of(context)?;
    let added = add_one(args, TenantState::Active, context, &microsoft).await?;
    output.print(&added, |_| {
        let sources = added.sources.iter().map(|source| source.as_str()).collect::<Vec<_>>().join(", ");
        format!("added {} ({}): {sources}, from {:.0} on", added.slug, added.id, added.since)
    })?;
    Ok(Exit::Success)
}

/// Adds a tenant in this state, found by its id or by asking Microsoft whose the domain is.
pub(super) async fn add_one(
    args: &TenantAddArgs,
    state: TenantState,
    context: &Context,
    microsoft: &Microsoft,
) -> Result<Tenant, Failed> {
    let wrong = |error: muster_model::ParseTenantError| Failed::new(Exit::Usage, error);
    let (id, domain) = match args.tenant.trim().parse().map_err(wrong)? {
        TenantReference::Id(id) => (id, None),
        TenantReference::Domain(domain) => {
            let id =
                microsoft.tenant_of(&domain).await.map_err(|error| Failed::new(Exit::Microsoft, error))?;
            (id, Some(domain))
        }
    };
    let name = args
        .name
        .clone()
        .or_else(|| domain.as_ref().map(ToString::to_string))
        .unwrap_or_else(|| id.to_string());
    let slug = match &args.slug {
        Some(slug) => slug.parse().map_err(wrong)?,
        None => free_slug(&name, &id.to_string(), context).await?,
    };
    let app = match &args.app {
        Some(app) if context.settings.apps.contains_key(app) => app.clone(),
        Some(app) => {
            return Err(Failed::say(Exit::NotFound, format!("there is no app `{app}` in the settings")));
        }
        None if context.settings.apps.len() == 1 => context.settings.apps.keys().cloned().collect(),
        None if context.settings.apps.is_empty() => {
            return Err(Failed::say(
                Exit::Settings,
                "the settings name no app: `muster app register main --tenant … --write` makes one, or add [apps.main] with client_id and secret",
            ));
        }
        None => return Err(Failed::say(Exit::Usage, "the settings name several apps: say which with --app")),
    };
    let now = context.clock.now();
    let back = args.since.unwrap_or(context.settings.collect.backfill).0;
    let sources: BTreeSet<Source> =
        if args.source.is_empty() { Source::ALL.into() } else { args.source.iter().copied().collect() };
    let since = now.checked_sub(back).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let tenant = NewTenant { id, slug, name, domain, app, sources, since, state };
    Ok(context.store.add_tenant(tenant, &super::actor(), now).await?)
}

/// A slug from the name that no tenant has yet: `contoso`, `contoso-2`, …
async fn free_slug(name: &str, id: &str, context: &Context) -> Result<Slug, Failed> {
    let taken: BTreeSet<Slug> =
        context.store.tenants().await?.into_iter().map(|tenant| tenant.slug).collect();
    let base = Slug::from_name(name)
        .or_else(|| Slug::from_name(id))
        .map(|slug| slug.to_string())
        .unwrap_or_default();
    let numbered = |number: u32| match number {
        1 => base.parse::<Slug>(),
        _ => format!("{}-{number}", &base[..base.len().min(56)].trim_end_matches('-')).parse(),
    };
    (1..100_000).find_map(|number| numbered(number).ok().filter(|slug| !taken.contains(slug))).ok_or_else(
        || Failed::say(Exit::Usage, "no short name can be made from the name: give one with --slug"),
    )
}

async fn list(context: &Context, output: Output) -> Result<Exit, Failed> {
    let tenants = context.store.tenants().await?;
    let snapshot = Snapshot::take(context.store.as_ref(), context.clock.now()).await?;
    let standing = |tenant: &Tenant| {
        let status = snapshot.tenants.iter().find(|status| status.id == tenant.id);
        status.map_or(Standing::of(tenant.state, &[]), |status| status.standing)
    };
    output.print(&tenants, |output| {
        if tenants.is_empty() {
            return "no tenants yet; `muster tenant add contoso.example` adds one".to_owned();
        }
        let mut table = output.table(&["slug", "name", "id", "state", "app", "sources"]);
        for tenant in &tenants {
            let standing = standing(tenant);
            table.add_row(vec![
                output.cell(tenant.slug.as_str(), Tone::Plain),
                output.cell(&tenant.name, Tone::Plain),
                output.cell(tenant.id.to_string(), Tone::Plain),
                output.cell(standing.as_str(), standing.tone()),
                output.cell(&tenant.app, Tone::Plain),
                output.cell(
                    tenant.sources.iter().map(|source| source.as_str()).collect::<Vec<_>>().join(", "),
                    Tone::Plain,
                ),
            ]);
        }
        table.to_string()
    })?;
    Ok(Exit::Success)
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    tenant: Tenant,
    status: Option<TenantStatus>,
}

async fn show(name: &str, context: &Context, output: Output) -> Result<Exit, Failed> {
    let tenant = context.store.tenant(TenantKey::Name(name)).await?;
    let now = context.clock.now();
    let snapshot = Snapshot::take(context.store.as_ref(), now).await?;
    let status = snapshot.tenants.into_iter().find(|status| status.id == tenant.id);
    let shown = Shown { tenant, status };
    output.print(&shown, |output| {
        let tenant = &shown.tenant;
        let mut text = format!(
            "{}  {}\n\nid      {}\ndomain  {}\nstate   {}\napp     {}\nadded   {:.0}\nsince   {:.0}\nowed    {}\n\n",
            tenant.slug,
            crate::shown::output::plain(&tenant.name),
            tenant.id,
            tenant.domain.as_ref().map_or("-", |domain| domain.as_str()),
            shown.status.as_ref().map_or(tenant.state.as_str(), |status| status.standing.as_str()),
            tenant.app,
            tenant.added_at,
            tenant.since,
            number(shown.status.as_ref().map_or(0, |status| status.owed)),
        );
        let mut table = output.table(&["source", "health", "last success", "accepted", "trouble"]);
        for source in shown.status.iter().flat_map(|status| &status.sources) {
            table.add_row(vec![
                output.cell(source.source.as_str(), Tone::Plain),
                output.cell(source.health, source.tone()),
                output.cell(ago(source.last_success_at, now), Tone::Plain),
                output.cell(number(source.accepted), Tone::Plain),
                output.cell(source.last_error.as_deref().unwrap_or("-"), Tone::Plain),
            ]);
        }
        text.push_str(&table.to_string());
        let checks = shown.status.as_ref().map_or(&[][..], |status| &status.checks);
        if !checks.is_empty() {
            let mut table = output.table(&["check", "result", "when", "finding", "to do"]);
            for check in checks {
                let good = check.outcome == CheckOutcome::Good;
                table.add_row(vec![
                    output.cell(&check.name, Tone::Plain),
                    output.cell(if good { "good" } else { &check.code }, check.outcome.into()),
                    output.cell(ago(Some(check.checked_at), now), Tone::Plain),
                    output.cell(&check.detail, Tone::Plain),
                    output.cell(if check.remedy.is_empty() { "-" } else { &check.remedy }, Tone::Plain),
                ]);
            }
            text.push_str(&format!("\n\n{table}"));
        }
        text
    })?;
    Ok(Exit::Success)
}

async fn set_state(
    names: &[String],
    state: TenantState,
    context: &Context,
    output: Output,
) -> Result<Exit, Failed> {
    let mut changed = Vec::new();
    for name in names {
        let tenant = context.store.tenant(TenantKey::Name(name)).await?;
        let change = TenantChange::State(state);
        changed.push(
            context.store.change_tenant(tenant.id, change, &super::actor(), context.clock.now()).await?,
        );
    }
    output.print(&changed, |_| {
        changed
            .iter()
            .map(|tenant| format!("{} is {}", tenant.slug, tenant.state))
            .collect::<Vec<_>>()
            .join("\n")
    })?;
    Ok(Exit::Success)
}

/// Has the operator type the tenant's slug before something that cannot be undone.
pub(super) fn confirm(tenant: &Tenant, verb: &str, what: &str, doing: &str) -> Result<(), Failed> {
    if !io::stdin().is_terminal() {
        return Err(Failed::say(Exit::Usage, format!("{doing} cannot be undone: confirm it with --yes")));
    }
    let mut err = io::stderr().lock();
    write!(err, "{verb} {} ({}) {what}? It cannot be undone. Type its slug: ", tenant.slug, tenant.id)?;
    err.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() == tenant.slug.as_str() {
        Ok(())
    } else {
        Err(Failed::say(Exit::Failure, "nothing was done"))
    }
}

async fn remove(name: &str, yes: bool, context: &Context, output: Output) -> Result<Exit, Failed> {
    let tenant = context.store.tenant(TenantKey::Name(name)).await?;
    if !yes {
        confirm(&tenant, "Remove", "with its key, journal and deliveries", "removing")?;
    }
    context.store.remove_tenant(tenant.id, &super::actor(), context.clock.now()).await?;
    output.print(&tenant, |_| format!("removed {} ({})", tenant.slug, tenant.id))?;
    Ok(Exit::Success)
}

#[derive(Deserialize)]
struct Row {
    #[serde(alias = "tenant_id", alias = "id", alias = "domain")]
    tenant: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    slug: Option<String>,
    #[serde(default)]
    app: Option<String>,
    /// Separated by blanks or semicolons.
    #[serde(default)]
    sources: Option<String>,
}

#[derive(Serialize)]
struct Imported {
    added: usize,
    existing: usize,
    failed: Vec<FailedRow>,
}

#[derive(Serialize)]
struct FailedRow {
    line: u64,
    reason: String,
}

/// Adds what can be added; a line with a mistake is told and the rest goes on. Tenants that exist are left as they
/// are, so that a file can be imported again.
async fn import(file: &Path, since: Option<Span>, context: &Context, output: Output) -> Result<Exit, Failed> {
    let input: Box<dyn Read> = match file.to_str() {
        Some("-") => Box::new(io::stdin()),
        _ => Box::new(std::fs::File::open(file).map_err(|error| {
            Failed::say(Exit::Failure, format!("{} cannot be read: {error}", file.display()))
        })?),
    };
    let microsoft = lifecycle::microsoft_of(context)?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_reader(input);
    // A file from a spreadsheet may name both an id and a domain; the id is surer.
    let heads = reader.headers().map_err(|error| Failed::new(Exit::Failure, error))?;
    let heads = rename_heads(heads);
    let mut imported = Imported { added: 0, existing: 0, failed: Vec::new() };
    for record in reader.records() {
        let (line, row) = match &record {
            Ok(record) => (
                record.position(),
                record.deserialize::<Row>(Some(&heads)).map_err(|error| error.to_string()),
            ),
            Err(error) => (error.position(), Err(error.to_string())),
        };
        let line = line.map_or(0, csv::Position::line);
        let result = match row {
            Ok(row) => import_row(row, since, context, &microsoft).await,
            Err(error) => Err(Failed::say(Exit::Failure, error)),
        };
        match result {
            Ok(true) => imported.added += 1,
            Ok(false) => imported.existing += 1,
            Err(failed) => imported.failed.push(FailedRow { line, reason: format!("{:#}", failed.error) }),
        }
    }
    output.print(&imported, |output| {
        let mut text = format!(
            "{} added, {} there already, {} failed",
            imported.added,
            imported.existing,
            imported.failed.len()
        );
        if !imported.failed.is_empty() {
            let mut table = output.table(&["line", "why"]);
            for row in &imported.failed {
                table.add_row(vec![
                    output.cell(row.line.to_string(), Tone::Plain),
                    output.cell(&row.reason, Tone::Bad),
                ]);
            }
            text.push_str(&format!("\n\n{table}"));
        }
        text
    })?;
    Ok(if imported.failed.is_empty() { Exit::Success } else { Exit::Partly })
}

fn rename_heads(heads: &csv::StringRecord) -> csv::StringRecord {
    let has = |name: &str| heads.iter().any(|head| head.eq_ignore_ascii_case(name));
    let best = ["tenant", "tenant_id", "id", "domain"].into_iter().find(|name| has(name)).unwrap_or("tenant");
    heads
        .iter()
        .map(|head| {
            let head = head.trim_start_matches('\u{feff}').to_ascii_lowercase();
            match head.as_str() {
                name if name == best => "tenant".to_owned(),
                "tenant" | "tenant_id" | "id" | "domain" => format!("other {head}"),
                _ => head,
            }
        })
        .collect()
}

async fn import_row(
    row: Row,
    since: Option<Span>,
    context: &Context,
    microsoft: &Microsoft,
) -> Result<bool, Failed> {
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    let mut source = Vec::new();
    for name in
        row.sources.iter().flat_map(|sources| sources.split([' ', ';', ','])).filter(|name| !name.is_empty())
    {
        source.push(
            name.parse().map_err(|error: muster_model::ParseSourceError| Failed::new(Exit::Usage, error))?,
        );
    }
    let args = TenantAddArgs {
        tenant: row.tenant,
        name: filled(row.name),
        slug: filled(row.slug),
        app: filled(row.app),
        source,
        since,
    };
    match context.store.tenant(TenantKey::Name(args.tenant.trim())).await {
        Ok(_) => return Ok(false),
        Err(StoreError::NoTenant(_)) => {}
        Err(error) => return Err(error.into()),
    }
    match add_one(&args, TenantState::Active, context, microsoft).await {
        Ok(_) => Ok(true),
        Err(failed) => match failed.error.downcast_ref::<StoreError>() {
            Some(StoreError::TenantExists { field: "id", .. }) => Ok(false),
            _ => Err(failed),
        },
    }
}
