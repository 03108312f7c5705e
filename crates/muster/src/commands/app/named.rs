//! The app and the tenant that a command means.

use muster_microsoft::Microsoft;
use muster_microsoft::entra::credential::App;
use muster_model::{Tenant, TenantId, TenantReference, TenantState};
use muster_store::{StoreError, StoredCredential, TenantKey};

use crate::access::apps;
use crate::commands::Context;
use crate::config::{AppSettings, Settings};
use crate::exit_code::{Exit, Failed};

/// The app that is meant: the one named, or the only one.
pub(super) fn named<'a>(
    name: Option<&'a str>,
    settings: &'a Settings,
) -> Result<(&'a str, &'a AppSettings), Failed> {
    let known = || settings.apps.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    match name {
        Some(name) => settings.apps.get(name).map(|app| (name, app)).ok_or_else(|| {
            let message = match settings.apps.is_empty() {
                true => format!("the settings name no app; `muster app register {name}` makes one"),
                false => format!("there is no app `{name}` in the settings; the apps are: {}", known()),
            };
            Failed::say(Exit::NotFound, message)
        }),
        None => match settings.apps.iter().next() {
            Some((name, app)) if settings.apps.len() == 1 => Ok((name, app)),
            Some(_) => Err(Failed::say(Exit::Usage, format!("say which app: {}", known()))),
            None => Err(Failed::say(
                Exit::NotFound,
                "the settings name no app; `muster app register main --tenant …` makes one",
            )),
        },
    }
}

/// A tenant by its id or domain, or by the slug of one that was added.
pub(super) async fn tenant_id(
    text: &str,
    context: &Context,
    microsoft: &Microsoft,
) -> Result<TenantId, Failed> {
    match context.store.tenant(TenantKey::Name(text.trim())).await {
        Ok(tenant) => return Ok(tenant.id),
        Err(StoreError::NoTenant(_)) => {}
        Err(error) => return Err(error.into()),
    }
    match text
        .trim()
        .parse()
        .map_err(|error: muster_model::ParseTenantError| Failed::new(Exit::Usage, error))?
    {
        TenantReference::Id(id) => Ok(id),
        TenantReference::Domain(domain) => microsoft.tenant_of(&domain).await.map_err(Failed::microsoft),
    }
}

/// The tenant that an app is registered in.
pub(super) async fn home(
    name: &str,
    settings: Option<&AppSettings>,
    argument: Option<&str>,
    context: &Context,
    microsoft: &Microsoft,
) -> Result<TenantId, Failed> {
    match (argument, settings.and_then(|app| app.tenant)) {
        (Some(text), _) => tenant_id(text, context, microsoft).await,
        (None, Some(tenant)) => Ok(tenant),
        (None, None) => Err(Failed::say(
            Exit::Usage,
            format!(
                "say in which tenant app `{name}` is registered: your own, with --tenant, or `tenant` in [apps.{name}]"
            ),
        )),
    }
}

/// The app as it is used now, with its credential.
pub(super) async fn ready(name: &str, settings: &AppSettings, context: &Context) -> Result<App, Failed> {
    let stored = stored(name, context).await?;
    let current = stored
        .iter()
        .find(|one| one.slot == muster_store::CredentialSlot::Current && !one.value.expose().is_empty())
        .map(|current| apps::credential(name, current))
        .transpose()
        .map_err(|error| Failed::new(Exit::Store, error))?;
    settings
        .app(name, &context.settings.folder, current)
        .map_err(|error| Failed::say(Exit::Settings, format!("app `{name}`: {error}")))
}

pub(super) async fn stored(name: &str, context: &Context) -> Result<Vec<StoredCredential>, Failed> {
    Ok(context.store.app_credentials(name).await?)
}

pub(super) fn of_app(tenants: &[Tenant], app: &str) -> Vec<Tenant> {
    let live = |tenant: &&Tenant| tenant.app == app && tenant.state != TenantState::Offboarded;
    tenants.iter().filter(live).cloned().collect()
}
