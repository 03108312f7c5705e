//! `muster tenant invite`

use std::collections::BTreeSet;

use muster_model::{Source, Tag, Tenant, TenantState};
use muster_store::{StoreError, TenantChange, TenantKey};

use super::add;
use crate::access::onboard;
use crate::audit::actor;
use crate::commands::Context;
use crate::config::OnboardingSettings;
use crate::exit_code::{Exit, Failed};
use crate::web::language::Language;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The tenant, new or not.
    #[command(flatten)]
    tenant: add::Args,
    /// The language of the page: en, de, sv, nl or zh-CN; that of the administrator's browser when left out.
    #[arg(long, value_name = "LANGUAGE")]
    lang: Option<Language>,
}

/// Makes the link for a customer. A tenant that is new, or was offboarded, is added as invited; of any other only what is
/// named here changes.
pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let settings = settings(context)?;
    let microsoft = context.microsoft()?;
    let add = async || {
        let found = add::find(&args.tenant.tenant, &microsoft).await?;
        found.warn();
        let mut taken = add::slugs(context).await?;
        add::add_one(&args.tenant, (found.id, TenantState::Invited), context, &microsoft, &mut taken).await
    };
    let invited = match context.store.tenant(TenantKey::Name(args.tenant.tenant.trim())).await {
        Ok(known) if known.state != TenantState::Offboarded => changed(known, &args.tenant, context).await?,
        Ok(_) | Err(StoreError::NoTenant(_)) => match add().await {
            Ok(added) => added,
            // Named by a domain that it was not added by.
            Err(failed) => {
                changed(known_by_id(failed, args, context, &microsoft).await?, &args.tenant, context).await?
            }
        },
        Err(error) => return Err(error.into()),
    };
    if !context.settings.apps.contains_key(&invited.app) {
        return Err(Failed::say(
            Exit::Settings,
            format!("the tenant's app `{}` is not in the settings: add [apps.{}]", invited.app, invited.app),
        ));
    }
    let now = context.clock.now();
    let made = onboard::invite(context.store.as_ref(), settings, invited, args.lang, &actor(), now).await?;
    context.output.print(&made, |_| {
        format!(
            "{}\n\n{} ({}) is invited until {:.0}; the link is for their administrator alone. State: {}",
            made.link, made.tenant.slug, made.tenant.id, made.expires_at, made.tenant.state
        )
    })
}

/// A tenant that there is, with what the command line says of it: another app, name or sources. What only counts for a
/// new tenant is refused, so that nobody takes it for done.
async fn changed(mut tenant: Tenant, wanted: &add::Args, context: &Context) -> Result<Tenant, Failed> {
    let refused = |what: &str, instead: &str| {
        let message = format!("{} is there already, so {what} cannot be given: {instead}", tenant.slug);
        Err(Failed::say(Exit::Usage, message))
    };
    if wanted.slug.as_ref().is_some_and(|slug| *slug != tenant.slug.as_str()) {
        return refused("--slug", "its short name stays");
    }
    if wanted.since.is_some() {
        return refused("--since", "`muster backfill` reads what lies behind");
    }
    if let Some(app) = &wanted.app
        && !context.settings.apps.contains_key(app)
    {
        return Err(Failed::say(Exit::NotFound, format!("there is no app `{app}` in the settings")));
    }
    let sources: BTreeSet<Source> = wanted.source.iter().copied().collect();
    let mut changes = Vec::new();
    changes.extend(wanted.app.clone().filter(|app| *app != tenant.app).map(TenantChange::App));
    changes.extend(wanted.name.clone().filter(|name| *name != tenant.name).map(TenantChange::Name));
    if !sources.is_empty() && sources != tenant.sources {
        changes.push(TenantChange::Sources(sources));
    }
    let tags: BTreeSet<Tag> = wanted.tag.iter().cloned().collect();
    if !tags.is_subset(&tenant.tags) {
        changes.push(TenantChange::Tags { add: tags, remove: BTreeSet::new() });
    }
    for change in changes {
        tenant = context.store.change_tenant(tenant.id, change, &actor(), context.clock.now()).await?;
    }
    Ok(tenant)
}

async fn known_by_id(
    failed: Failed,
    args: &Args,
    context: &Context,
    microsoft: &muster_microsoft::Microsoft,
) -> Result<Tenant, Failed> {
    let exists = matches!(
        failed.error.downcast_ref::<StoreError>(),
        Some(StoreError::TenantExists { field: "id", .. })
    );
    let domain = args.tenant.tenant.trim().parse().ok().filter(|_| exists);
    let Some(domain) = domain else { return Err(failed) };
    let id = microsoft.tenant_of(&domain).await.map_err(Failed::microsoft)?;
    Ok(context.store.tenant(TenantKey::Id(id)).await?)
}

pub(super) fn settings(context: &Context) -> Result<&OnboardingSettings, Failed> {
    context.settings.onboarding.as_ref().ok_or_else(|| {
        Failed::say(
            Exit::Settings,
            "there are no pages for customers: add [onboarding] with listen, public_url, provider_name and contact",
        )
    })
}
