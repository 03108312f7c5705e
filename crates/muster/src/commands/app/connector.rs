//! The connector app of Microsoft's MSSP page, with that page's own values.
//!
//! Source: Microsoft "Fetch alerts from MSSP customer tenant": the name `<Tenant> SIEM MSSP Connector`, accounts of this
//! directory only, the Web redirect URI `https://<domain>/SiemMsspConnector`, a secret of one year. The page registers the app
//! in the provider's directory, where nobody of the customer could ever sign in to it (AADSTS50020, AADSTS700016). It is made in
//! the customer's directory instead.

use std::time::Duration;

use muster_microsoft::Microsoft;
use muster_model::{Source, Tenant, TenantId, TenantState};
use muster_store::{StoreError, TenantKey};
use serde::Serialize;
use uuid::Uuid;

use super::named::tenant_id;
use crate::commands::Context;
use crate::exit_code::{Exit, Failed};

/// How long its secret is good for: "In 1 year".
pub(super) const LIFETIME: Duration = Duration::from_secs(365 * 86_400);

/// What the page says of the app.
pub(super) struct Connector {
    pub(super) tenant: Tenant,
    pub(super) display_name: String,
    /// Where the browser comes back to; the page's own first where Muster has no pages.
    pub(super) redirect_uris: Vec<String>,
    /// What it is to read.
    pub(super) source: Source,
}

/// The connector of a tenant that was added. `home` is where it is to be registered, where that is said.
///
/// # Errors
/// When the app could not serve that tenant, with the reason.
pub(super) async fn connector(
    name: &str,
    home: Option<&str>,
    own_redirects: bool,
    context: &Context,
    microsoft: &Microsoft,
) -> Result<Connector, Failed> {
    let tenant = context.store.tenant(TenantKey::Name(name)).await.map_err(|error| match error {
        StoreError::NoTenant(_) => Failed::say(
            Exit::NotFound,
            format!("there is no tenant `{name}`: add it first, with `muster tenant add` or `muster tenant invite`"),
        ),
        other => other.into(),
    })?;
    if tenant.state == TenantState::Offboarded {
        return Err(StoreError::Offboarded(tenant.slug.to_string()).into());
    }
    if let Some(home) = home {
        let home = tenant_id(home, context, microsoft).await?;
        if home != tenant.id {
            return Err(serves_nobody(home, &tenant));
        }
    }
    let pages = context.settings.onboarding.as_ref().map(|pages| pages.connector_redirect_uri());
    let by_domain = tenant.domain.as_ref().map(|domain| format!("https://{domain}/SiemMsspConnector"));
    let redirect_uris: Vec<String> = pages.into_iter().chain(by_domain).collect();
    if redirect_uris.is_empty() && !own_redirects {
        let message = format!(
            "no domain of {} is known, so the page's redirect URI `https://<domain>/SiemMsspConnector` cannot be made: give one with --redirect-uri",
            tenant.slug
        );
        return Err(Failed::say(Exit::Usage, message));
    }
    let display_name = format!("{} SIEM MSSP Connector", tenant.name);
    // The feed that the page is about.
    Ok(Connector { tenant, display_name, redirect_uris, source: Source::SiemFeed })
}

/// An app of one directory that is registered in another than the customer's.
pub(super) fn serves_nobody(home: TenantId, tenant: &Tenant) -> Failed {
    let message = format!(
        "a connector for accounts of one directory only, registered in {home}, can serve nobody of {} ({}): nobody there could sign in to it. Leave --tenant out, and an administrator of {0} signs in to make it there; or make one multitenant app in your own tenant for all customers, without --connector-for",
        tenant.slug, tenant.id
    );
    Failed::say(Exit::Usage, message)
}

/// An app for one directory only, all of whose tenants are others.
///
/// # Errors
/// When that is so.
pub(super) fn must_serve_somebody(name: &str, home: TenantId, tenants: &[Tenant]) -> Result<(), Failed> {
    if tenants.is_empty() || tenants.iter().any(|tenant| tenant.id == home) {
        return Ok(());
    }
    let slugs: Vec<&str> = tenants.iter().take(3).map(|tenant| tenant.slug.as_str()).collect();
    let message = format!(
        "app `{name}` for accounts of {home} only could serve none of its {} tenant(s), such as {}: leave --single-tenant out, or use --connector-for for an app in a customer's own directory",
        tenants.len(),
        slugs.join(", ")
    );
    Err(Failed::say(Exit::Usage, message))
}

/// What only people can do for a connector.
#[derive(Serialize)]
pub(super) struct NextSteps {
    tenant: String,
    /// Where the app is allowed to read, in the customer's portal.
    #[serde(skip_serializing_if = "Option::is_none")]
    portal: Option<String>,
    /// What is entered there.
    application_id: Uuid,
    tenant_id: TenantId,
    /// Then, at this command line.
    commands: Vec<String>,
}

impl NextSteps {
    pub(super) fn of(
        name: &str,
        client_id: Uuid,
        home: TenantId,
        connector: &Connector,
        microsoft: &Microsoft,
    ) -> Self {
        let slug = connector.tenant.slug.as_str();
        let portal = microsoft.cloud().portals().defender;
        Self {
            tenant: slug.to_owned(),
            portal: portal.map(|portal| format!("{portal}/?tid={}", connector.tenant.id)),
            application_id: client_id,
            tenant_id: home,
            commands: vec![
                format!("muster tenant invite {slug} --app {name} --source {}", connector.source),
                format!("muster token acquire --tenant {slug} --app {name} --flow paste"),
            ],
        }
    }

    pub(super) fn in_words(&self) -> String {
        let portal = match &self.portal {
            Some(portal) => format!("At {portal}, "),
            None => String::new(),
        };
        format!(
            "\nNext, for {}:\n- {portal}Settings > Endpoints > APIs > SIEM > MSSP tab: enter the application id {} and the tenant id {}, then Authorize application. It needs the permission “Manage portal system settings”.\n- `{}` leads the administrator through consent and sign-in; without pages, a person signs in with `{}`.",
            self.tenant, self.application_id, self.tenant_id, self.commands[0], self.commands[1]
        )
    }
}
