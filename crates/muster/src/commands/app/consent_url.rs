//! `muster app consent-url`, and where browsers come back to from Microsoft's consent page.

use muster_microsoft::Microsoft;
use muster_microsoft::entra::consent::ConsentForm;
use muster_microsoft::entra::credential::{App, Credential};
use muster_model::{Source, Tenant, TenantId};
use serde::Serialize;
use uuid::Uuid;

use super::named::{named, tenant_id};
use crate::commands::Context;
use crate::config::AppSettings;
use crate::exit_code::{Exit, Failed};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The app; may be left out when the settings have only one.
    app: Option<String>,
    /// Slug, id or domain.
    #[arg(long, short)]
    tenant: String,
    /// Which of Microsoft's consent pages: v2_admin_consent, v1_admin_consent, v1_prompt_admin_consent or
    /// v1_prompt_consent.
    #[arg(long)]
    form: Option<ConsentForm>,
    /// What the app is to read there; what the tenant's sources are when left out.
    #[arg(long)]
    source: Vec<Source>,
    /// Where Microsoft sends the browser afterwards, as it is registered.
    #[arg(long, value_name = "URI", value_parser = crate::config::parse_redirect_uri)]
    redirect_uri: Option<String>,
}

/// Where a browser ends that is sent to this machine; for registrations of a Muster without pages of its own.
pub(super) const LOCALHOST: &str = "http://localhost";

pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let (name, settings) = named(args.app.as_deref(), &context.settings)?;
    let microsoft = context.microsoft()?;
    let tenant = tenant_id(&args.tenant, context, &microsoft).await?;
    let redirect = match &args.redirect_uri {
        Some(uri) => uri.clone(),
        None => {
            redirect_uris(Some(settings), context).into_iter().next().unwrap_or_else(|| LOCALHOST.to_owned())
        }
    };
    let app = App {
        access: settings.access,
        endpoint: settings.endpoint.clone(),
        ..App::new(name, settings.client_id.to_string(), Credential::None)
    };
    let sources = sources(args, name, tenant, context).await?;
    let form = args
        .form
        .or_else(|| context.settings.onboarding.as_ref().map(|onboarding| onboarding.consent))
        .unwrap_or_default();
    let shown = ConsentUrl {
        app: name.to_owned(),
        tenant,
        form: form.as_str(),
        url: consent_page(&microsoft, context, &app, tenant, &redirect, Some(form), &sources),
        redirect_uri: redirect,
    };
    context.output.print(&shown, |_| shown.url.clone())
}

#[derive(Serialize)]
struct ConsentUrl {
    app: String,
    tenant: TenantId,
    form: &'static str,
    redirect_uri: String,
    url: String,
}

/// What the app is to read in a tenant: what is said here, else what is known of the tenant, else of the app's others.
async fn sources(args: &Args, app: &str, tenant: TenantId, context: &Context) -> Result<Vec<Source>, Failed> {
    if !args.source.is_empty() {
        return Ok(args.source.clone());
    }
    let mut of_app: Vec<Tenant> = context.store.tenants().await?;
    of_app.retain(|known| known.app == app);
    let known = of_app.iter().find(|known| known.id == tenant).or(of_app.first());
    Ok(known.map_or_else(|| Source::DEFAULT.to_vec(), |known| known.sources.iter().copied().collect()))
}

pub(super) fn consent_page(
    microsoft: &Microsoft,
    context: &Context,
    app: &App,
    tenant: TenantId,
    redirect: &str,
    form: Option<ConsentForm>,
    sources: &[Source],
) -> String {
    let form = form
        .or_else(|| context.settings.onboarding.as_ref().map(|onboarding| onboarding.consent))
        .unwrap_or_default();
    let state = Uuid::new_v4().simple().to_string();
    // An app can be asked about none but the APIs that its registration names (AADSTS650057).
    let resource = microsoft.first_resource(sources.iter().copied());
    microsoft.consent_url(form, app, tenant, redirect, &state, resource).to_string()
}

/// Where browsers come back to, by the settings.
pub(super) fn redirect_uris(settings: Option<&AppSettings>, context: &Context) -> Vec<String> {
    let mut uris = Vec::new();
    if let Some(onboarding) = &context.settings.onboarding {
        uris.push(onboarding.consent_redirect_uri());
        uris.push(onboarding.connector_redirect_uri());
    }
    if let Some(own) = settings.and_then(|settings| settings.redirect_uri.as_ref())
        && !uris.contains(own)
    {
        uris.push(own.clone());
    }
    uris
}
