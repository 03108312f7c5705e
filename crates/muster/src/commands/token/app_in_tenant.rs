//! An app in a tenant, and the way to Microsoft: what the commands need that ask for tokens.

use muster_microsoft::Microsoft;
use muster_microsoft::entra::access_token::AccessToken;
use muster_microsoft::entra::credential::App;
use muster_model::Tenant;
use muster_store::TenantKey;

use crate::access::apps::Apps;
use crate::commands::Context;
use crate::config::OnboardingSettings;
use crate::exit_code::{Exit, Failed};

/// An app in a tenant, as it is named on the command line.
#[derive(Debug, clap::Args)]
pub(super) struct WhichApp {
    /// Slug, id or domain.
    #[arg(long, short)]
    pub(super) tenant: String,
    /// The app; the tenant's own when left out.
    #[arg(long)]
    pub(super) app: Option<String>,
}

pub(super) struct AppInTenant {
    pub(super) microsoft: Microsoft,
    pub(super) apps: Apps,
    pub(super) tenant: Tenant,
    pub(super) app: App,
}

impl AppInTenant {
    pub(super) async fn of(context: &Context, which: &WhichApp) -> Result<Self, Failed> {
        let tenant = context.store.tenant(TenantKey::Name(&which.tenant)).await?;
        let microsoft = context.microsoft()?;
        let apps = context.apps().await?;
        let name = which.app.as_ref().unwrap_or(&tenant.app);
        let app = apps.get(name).ok_or_else(|| {
            let known = apps.names().collect::<Vec<_>>().join(", ");
            Failed::say(
                Exit::NotFound,
                format!("there is no app `{name}` in the settings; the apps are: {known}"),
            )
        })?;
        Ok(Self { microsoft, apps, tenant, app })
    }

    /// A new token, never one in hand.
    pub(super) async fn token(&self, resource: &str) -> Result<AccessToken, Failed> {
        let token = self.microsoft.fresh_access_token(&self.app, self.tenant.id, resource).await;
        token.map_err(Failed::microsoft)
    }

    /// The API that is meant: that of the tenant's first source where none is named.
    pub(super) fn resource(&self, named: Option<&String>) -> String {
        let first = || self.microsoft.first_resource(self.tenant.sources.iter().copied()).to_owned();
        named.cloned().unwrap_or_else(first)
    }

    /// The redirect URI that is registered for this app: its own, or the one that `[onboarding]` gives every app that can
    /// keep a secret. Public clients have `http://localhost`.
    pub(super) fn registered_redirect(&self, context: &Context) -> Option<String> {
        let settings = self.apps.settings(&self.app.name);
        let own = settings.and_then(|app| app.redirect_uri.clone());
        if own.is_none() && settings.is_some_and(|app| app.public) {
            return None;
        }
        own.or_else(|| context.settings.onboarding.as_ref().map(OnboardingSettings::connector_redirect_uri))
    }
}
