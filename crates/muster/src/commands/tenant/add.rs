//! `muster tenant add`

use std::collections::BTreeSet;
use std::time::Duration;

use muster_microsoft::Microsoft;
use muster_microsoft::entra::discovery::{DiscoveryError, FoundTenant};
use muster_model::{Slug, Source, Span, Tag, Tenant, TenantId, TenantReference, TenantState};
use muster_store::{NewTenant, StoreError};

use crate::audit::actor;
use crate::commands::Context;
use crate::exit_code::{Exit, Failed};
use crate::shown::note::note;
use crate::shown::output::plain;
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
    /// What it is grouped by, for routes, such as gold; repeat for several.
    #[arg(long, value_name = "TAG")]
    pub(super) tag: Vec<Tag>,
    /// How far back it is read, such as 7d.
    #[arg(long, value_name = "DURATION")]
    pub(super) since: Option<Span>,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let microsoft = context.microsoft()?;
    let found = find(&args.tenant, &microsoft).await?;
    found.warn();
    let mut taken = slugs(context).await?;
    let added = add_one(args, (found.id, TenantState::Active), context, &microsoft, &mut taken).await?;
    context.output.print(&added, |_| {
        let sources = added.sources.iter().map(|source| source.as_str()).collect::<Vec<_>>().join(", ");
        format!("added {} ({}): {sources}, from {:.0} on", added.slug, added.id, added.since)
    })
}

/// Adds this tenant in this state. The slugs that are taken are read once for many.
pub(super) async fn add_one(
    args: &Args,
    (id, state): (TenantId, TenantState),
    context: &Context,
    microsoft: &Microsoft,
    taken: &mut BTreeSet<Slug>,
) -> Result<Tenant, Failed> {
    let mut tried_again = false;
    loop {
        let tenant = new_tenant(args, id, state, context, microsoft, taken)?;
        match context.store.add_tenant(tenant, &actor(), context.clock.now()).await {
            Ok(added) => {
                taken.insert(added.slug.clone());
                return Ok(added);
            }
            // Somebody else has taken meanwhile what nobody asked for by name.
            Err(StoreError::TenantExists { field: "slug", .. }) if args.slug.is_none() && !tried_again => {
                *taken = slugs(context).await?;
                tried_again = true;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The slugs that are taken.
pub(super) async fn slugs(context: &Context) -> Result<BTreeSet<Slug>, Failed> {
    Ok(context.store.tenants().await?.into_iter().map(|tenant| tenant.slug).collect())
}

/// The tenant that would be added. A slug that nobody gave is one that is not taken.
pub(super) fn new_tenant(
    args: &Args,
    id: TenantId,
    state: TenantState,
    context: &Context,
    microsoft: &Microsoft,
    taken: &BTreeSet<Slug>,
) -> Result<NewTenant, Failed> {
    let wrong = |error: muster_model::ParseTenantError| Failed::new(Exit::Usage, error);
    let reference: TenantReference = args.tenant.trim().parse().map_err(wrong)?;
    let domain = match reference {
        TenantReference::Id(_) => None,
        TenantReference::Domain(domain) => Some(domain),
    };
    let name = args
        .name
        .clone()
        .or_else(|| domain.as_ref().map(ToString::to_string))
        .unwrap_or_else(|| id.to_string());
    let slug = match &args.slug {
        Some(slug) => slug.parse().map_err(wrong)?,
        None => free_slug(&name, &id.to_string(), taken)?,
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
    let tags = args.tag.iter().cloned().collect();
    Ok(NewTenant { id, slug, name, domain, app, sources, tags, since, state })
}

/// How long a look at an id may take: it is a help, and nothing depends on it.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// A tenant that can be looked after from here, as far as Microsoft was asked.
pub(super) struct Found {
    pub(super) id: TenantId,
    /// Why the id was taken as it stands: Microsoft does not know it, or nobody answered.
    pub(super) warning: Option<Warning>,
}

/// Why an id was taken as it stands.
pub(super) enum Warning {
    Unknown(String),
    NobodyAnswers(String),
}

impl Found {
    /// Tells the warning on standard error; one without words has been told.
    pub(super) fn warn(&self) {
        if let Some(Warning::Unknown(why) | Warning::NobodyAnswers(why)) = &self.warning
            && !why.is_empty()
        {
            note!("warning: {}", plain(why));
        }
    }
}

/// The id of the tenant that is named by its id or a domain. Microsoft is asked for both: to learn the id of a domain, and
/// whether an id is a tenant of a cloud that is reached from here. An id is taken where nobody answers that.
pub(super) async fn find(named: &str, microsoft: &Microsoft) -> Result<Found, Failed> {
    let wrong = |error: muster_model::ParseTenantError| Failed::new(Exit::Usage, error);
    let reference: TenantReference = named.trim().parse().map_err(wrong)?;
    let sure = |found| Ok(Found { id: in_reach(found, microsoft)?, warning: None });
    let TenantReference::Id(id) = reference else {
        return sure(microsoft.find_tenant(&reference).await.map_err(Failed::microsoft)?);
    };
    let warning = match tokio::time::timeout(LOOK_MAX, microsoft.find_tenant(&reference)).await {
        Ok(Ok(found)) => return sure(found),
        Ok(Err(error @ DiscoveryError::UnknownTenant(_))) => Warning::Unknown(error.to_string()),
        Ok(Err(error)) => {
            Warning::NobodyAnswers(format!("nobody says whether {id} is a tenant of this cloud: {error}"))
        }
        Err(_) => Warning::NobodyAnswers(format!(
            "nobody says within {} s whether {id} is a tenant of this cloud",
            LOOK_MAX.as_secs()
        )),
    };
    Ok(Found { id, warning: Some(warning) })
}

/// Refuses a tenant of a cloud that these settings do not reach; says so where only the Defender APIs are elsewhere.
fn in_reach(found: FoundTenant, microsoft: &Microsoft) -> Result<TenantId, Failed> {
    let own = microsoft.cloud().national_cloud();
    let Some(cloud) = found.cloud.filter(|cloud| *cloud != own) else { return Ok(found.id) };
    if !own.reaches(cloud) {
        let message = format!(
            "tenant {} belongs to Microsoft's cloud `{cloud}`, and these settings speak to `{own}`: app registrations, consent and tokens do not cross clouds. Look after it with a Muster of its own that has `name = \"{cloud}\"` in [cloud], and with an app that is registered there",
            found.id
        );
        return Err(Failed::say(Exit::Settings, message));
    }
    note!(
        "warning: tenant {} belongs to Microsoft's cloud `{cloud}`, and these settings speak to `{own}`: Graph is the same, the Defender APIs have other hosts there, which a Muster with `name = \"{cloud}\"` in [cloud] asks",
        found.id
    );
    Ok(found.id)
}

/// A slug from the name that no tenant has yet: `contoso`, `contoso-2`, …
fn free_slug(name: &str, id: &str, taken: &BTreeSet<Slug>) -> Result<Slug, Failed> {
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
