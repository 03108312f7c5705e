//! `muster tenant invite`, `guide` and `offboard`: the command line's door to [`crate::access::onboard`].

use std::fmt::Write as _;

use muster_model::{Tenant, TenantState};
use muster_store::{StoreError, TenantKey};
use serde::Serialize;

use super::{Context, tenant};
use crate::access::onboard::guide::{Guide, Known};
use crate::access::{onboard, probe};
use crate::audit::actor;
use crate::cli::TenantInviteArgs;
use crate::config::OnboardingSettings;
use crate::exit_code::{Exit, Failed};
use crate::lifecycle;
use crate::shown::output::Output;

/// Makes the link for a customer. A tenant that is new, or was offboarded, is added as invited; any other stays as it is.
pub(crate) async fn invite(
    args: &TenantInviteArgs,
    context: &Context,
    output: Output,
) -> Result<Exit, Failed> {
    let settings = settings(context)?;
    if context.settings.server.listen.is_none() {
        eprintln!("note: [server] listen is not set: no `muster run` of these settings serves the link");
    }
    let microsoft = lifecycle::microsoft_of(context)?;
    let add = async || tenant::add_one(&args.tenant, TenantState::Invited, context, &microsoft).await;
    let invited = match context.store.tenant(TenantKey::Name(args.tenant.tenant.trim())).await {
        Ok(known) if known.state != TenantState::Offboarded => known,
        Ok(_) | Err(StoreError::NoTenant(_)) => match add().await {
            Ok(added) => added,
            // Named by a domain that it was not added by.
            Err(failed) => known_by_id(failed, args, context, &microsoft).await?,
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
    output.print(&made, |_| {
        format!(
            "{}\n\n{} ({}) is invited until {:.0}; the link is for their administrator alone. State: {}",
            made.link, made.tenant.slug, made.tenant.id, made.expires_at, made.tenant.state
        )
    })?;
    Ok(Exit::Success)
}

async fn known_by_id(
    failed: Failed,
    args: &TenantInviteArgs,
    context: &Context,
    microsoft: &muster_microsoft::Microsoft,
) -> Result<Tenant, Failed> {
    let exists = matches!(
        failed.error.downcast_ref::<StoreError>(),
        Some(StoreError::TenantExists { field: "id", .. })
    );
    let domain = args.tenant.tenant.trim().parse().ok().filter(|_| exists);
    let Some(domain) = domain else { return Err(failed) };
    let id = microsoft.tenant_of(&domain).await.map_err(|error| Failed::new(Exit::Microsoft, error))?;
    Ok(context.store.tenant(TenantKey::Id(id)).await?)
}

fn settings(context: &Context) -> Result<&OnboardingSettings, Failed> {
    context.settings.onboarding.as_ref().ok_or_else(|| {
        Failed::say(
            Exit::Settings,
            "there are no pages for customers: add [onboarding] with public_url, provider_name and contact",
        )
    })
}

#[derive(Serialize)]
struct Offboarded {
    tenant: Tenant,
    /// What is left on the customer's side.
    customer_removes: Vec<Removal>,
}

#[derive(Serialize)]
struct Removal {
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

/// Ends the work for a customer and tells what is left to be removed on their side.
pub(crate) async fn offboard(
    name: &str,
    yes: bool,
    context: &Context,
    output: Output,
) -> Result<Exit, Failed> {
    let before = context.store.tenant(TenantKey::Name(name)).await?;
    if !yes {
        tenant::confirm(&before, "Offboard", "with its tokens, key, journal and deliveries", "offboarding")?;
    }
    let microsoft = lifecycle::microsoft_of(context)?;
    let cloud = microsoft.cloud().clone();
    let client_id = context.settings.apps.get(&before.app).map(|app| app.client_id.to_string());
    let left = match before.state {
        TenantState::Offboarded => before.clone(),
        _ => {
            onboard::offboard(context.store.as_ref(), &microsoft, before.id, &actor(), context.clock.now())
                .await?
        }
    };
    let app = client_id.as_deref().unwrap_or("(no longer in the settings)");
    let portals = cloud.portals();
    let mut removals = vec![Removal {
        what: format!(
            "the application {app}: Entra admin center > Enterprise applications > the application > Properties > Delete; \
             this also ends every grant a person gave it"
        ),
        url: client_id.as_deref().map(|client_id| cloud.enterprise_application(client_id)),
    }];
    removals.push(Removal {
        what: format!(
            "the authorisation of the SIEM connector, where it was given: Defender portal > Settings > Endpoints > APIs > \
             SIEM > MSSP tab, application {app}"
        ),
        url: portals.defender.map(|portal| format!("{portal}/?tid={}", before.id)),
    });
    removals.push(Removal {
        what: "your analysts' access, where it was given: the assignments of the access packages and the connected \
               organization (Entra admin center > Identity Governance)"
            .to_owned(),
        url: Some(format!("{}/#view/Microsoft_AAD_ERM/DashboardBlade/~/elmConnectedOrganizations", portals.entra)),
    });
    removals.push(Removal {
        what: "the granular delegated admin relationship (GDAP), where there is one: Microsoft 365 admin center > Settings > \
               Partner relationships"
            .to_owned(),
        url: Some(format!("{}/AdminPortal/Home#/partners", portals.admin)),
    });
    removals.push(Removal {
        what: "mail notification rules with your addresses: Defender portal > Settings > Endpoints > Email notifications"
            .to_owned(),
        url: None,
    });
    let done = Offboarded { tenant: left, customer_removes: removals };
    output.print(&done, |_| {
        let mut text = format!(
            "{} ({}) is offboarded: its tokens, key, journal, deliveries and checks are gone, its name stays.\n\n\
             The customer still has to remove on their side:\n",
            done.tenant.slug, done.tenant.id
        );
        for removal in &done.customer_removes {
            // Writing to a String cannot fail.
            writeln!(text, "\n- {}", removal.what).ok();
            if let Some(url) = &removal.url {
                writeln!(text, "  {url}").ok();
            }
        }
        text.push_str("\nWhat was delivered to your SIEMs stays there; remove it by their own means where you have to.");
        text
    })?;
    Ok(Exit::Success)
}

/// Prints what only people can do. With `check`, what can be asked of Microsoft is asked now, and kept.
pub(crate) async fn guide(
    name: &str,
    check: bool,
    markdown: bool,
    context: &Context,
    output: Output,
) -> Result<Exit, Failed> {
    let tenant = context.store.tenant(TenantKey::Name(name)).await?;
    if tenant.state == TenantState::Offboarded {
        return Err(StoreError::Offboarded(tenant.slug.to_string()).into());
    }
    let microsoft = lifecycle::microsoft_of(context)?;
    let grants = context.store.grants(Some(tenant.id)).await?;
    let app_settings = context.settings.apps.get(&tenant.app);
    if check {
        let apps = lifecycle::apps(&context.settings, &context.store).await?;
        let app = apps.get(&tenant.app).ok_or_else(|| {
            Failed::say(Exit::Settings, format!("the tenant's app `{}` is not in the settings", tenant.app))
        })?;
        let found = probe::tenant(&microsoft, &app, &tenant, &grants, context.clock.as_ref()).await;
        context.store.put_checks(tenant.id, found).await?;
    }
    let checks: Vec<_> =
        context.store.checks(Some(tenant.id)).await?.into_iter().map(|(_, check)| check).collect();
    let guide = Guide::write(&Known {
        tenant: &tenant,
        app: app_settings.map(|app| (app.client_id.to_string(), app.access)),
        home: app_settings.and_then(|app| app.tenant),
        checks: &checks,
        grants: &grants,
        connector_redirect_uri: context
            .settings
            .onboarding
            .as_ref()
            .map(OnboardingSettings::connector_redirect_uri),
        cloud: microsoft.cloud(),
    });
    output.print(&guide, |_| if markdown { guide.markdown() } else { guide.text() })?;
    Ok(Exit::Success)
}
