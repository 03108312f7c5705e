//! `muster tenant add`

use std::collections::BTreeSet;

use muster_microsoft::Microsoft;
use muster_model::{Slug, Source, Span, Tenant, TenantReference, TenantState};
use muster_store::NewTenant;

use crate::audit::actor;
use crate::commands::Context;
use crate::exit_code::{Exit, Failed};
use crate::shown::note::note;
use crate::validation;

#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    /// The tenant id (a GUID), or a domain such as contoso.example.
    pub(super) tenant: String,
    /// The name shown to people.
    #[arg(long)]
    pub(super) name: Option<String>,
    /// The short name: lower-case letters, digits and hyphens.
    #[arg(long)]
    pub(super) slug: Option<String>,
    /// The app that reads it; may be left out when the settings have only one.
    #[arg(long)]
    pub(super) app: Option<String>,
    /// What is read; Graph's alerts and incidents when left out.
    #[arg(long, value_name = "SOURCE")]
    pub(super) source: Vec<Source>,
    /// How far back it is read, such as 7d.
    #[arg(long, value_name = "DURATION")]
    pub(super) since: Option<Span>,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let microsoft = context.microsoft()?;
    let added = add_one(args, TenantState::Active, context, &microsoft).await?;
    context.output.print(&added, |_| {
        let sources = added.sources.iter().map(|source| source.as_str()).collect::<Vec<_>>().join(", ");
        format!("added {} ({}): {sources}, from {:.0} on", added.slug, added.id, added.since)
    })
}

/// Adds a tenant in this state, found by its id or by asking Microsoft whose the domain is.
pub(super) async fn add_one(
    args: &Args,
    state: TenantState,
    context: &Context,
    microsoft: &Microsoft,
) -> Result<Tenant, Failed> {
    let wrong = |error: muster_model::ParseTenantError| Failed::new(Exit::Usage, error);
    let (id, domain) = match args.tenant.trim().parse().map_err(wrong)? {
        TenantReference::Id(id) => (id, None),
        TenantReference::Domain(domain) => {
            let id = microsoft.tenant_of(&domain).await.map_err(Failed::microsoft)?;
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
        if args.source.is_empty() { Source::DEFAULT.into() } else { args.source.iter().copied().collect() };
    for source in &sources {
        if let Some(told) = validation::lacking(microsoft.cloud(), *source) {
            note!("warning: {told}");
        }
    }
    let since = now.checked_sub(back).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let tenant = NewTenant { id, slug, name, domain, app, sources, since, state };
    Ok(context.store.add_tenant(tenant, &actor(), now).await?)
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
