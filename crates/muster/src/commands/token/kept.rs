//! `muster token list`, `forget` and `refresh`: the refresh tokens that the store keeps.

use std::time::Duration;

use jiff::Timestamp;
use muster_microsoft::entra::credential::Access;
use muster_model::TenantId;
use muster_store::{Grant, TenantKey};
use serde::Serialize;
use serde_json::json;

use super::app_in_tenant::{AppInTenant, WhichApp};
use crate::commands::Context;
use crate::exit_code::{Exit, Failed};
use crate::shown::output::{Tone, ago, duration};

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only of this tenant.
    #[arg(long, short)]
    tenant: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ForgetArgs {
    /// Slug, id or domain.
    #[arg(long, short)]
    tenant: String,
    /// Only of this app.
    #[arg(long)]
    app: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RefreshArgs {
    #[command(flatten)]
    which: WhichApp,
}

pub(super) async fn list(args: &ListArgs, context: &Context) -> Result<Exit, Failed> {
    let tenant = match &args.tenant {
        Some(name) => Some(context.store.tenant(TenantKey::Name(name)).await?.id),
        None => None,
    };
    let grants = context.store.grants(tenant).await?;
    let tenants = context.store.tenants().await?;
    let slug = |id| {
        tenants
            .iter()
            .find(|tenant| tenant.id == id)
            .map_or_else(String::new, |tenant| tenant.slug.to_string())
    };
    let now = context.clock.now();
    context.output.print(&grants, |output| {
        if grants.is_empty() {
            return "no refresh token is kept; apps that read by themselves need none (`muster token acquire` gets one)".to_owned();
        }
        let mut table = output.table(&["tenant", "app", "account", "resource", "granted", "renewed", "idle until", "trouble"]);
        for grant in &grants {
            let tone = if grant.revoked_at.is_some() { Tone::Bad } else { Tone::Plain };
            table.add_row([
                output.text(slug(grant.tenant)),
                output.text(&grant.app),
                output.text(&grant.account),
                output.text(&grant.resource),
                output.text(ago(Some(grant.granted_at), now)),
                output.text(ago(Some(grant.renewed_at), now)),
                output.text(idle_until(grant)),
                output.cell(grant.last_error.as_deref().unwrap_or("-"), tone),
            ]);
        }
        table.to_string()
    })
}

fn idle_until(grant: &Grant) -> String {
    grant.expires_at.map_or_else(|| "-".to_owned(), |at| format!("{at:.0}"))
}

pub(super) async fn forget(args: &ForgetArgs, context: &Context) -> Result<Exit, Failed> {
    let tenant = context.store.tenant(TenantKey::Name(&args.tenant)).await?;
    let mut forgotten = Vec::new();
    for grant in context.store.grants(Some(tenant.id)).await? {
        if args.app.as_ref().is_none_or(|app| *app == grant.app)
            && context.store.remove_grant(tenant.id, &grant.app).await?
        {
            let details = json!({ "app": grant.app, "account": grant.account });
            context.audit("grant.forgotten", &tenant.id.to_string(), details).await?;
            forgotten.push(grant);
        }
    }
    if forgotten.is_empty() {
        return Err(Failed::say(Exit::NotFound, format!("no refresh token of {} is kept", tenant.slug)));
    }
    context.output.print(&forgotten, |_| {
        format!(
            "forgot {} refresh token(s) of {}. They stay valid at Microsoft until they end; to end them at once, have the person's sessions revoked in the Entra admin centre",
            forgotten.len(),
            tenant.slug
        )
    })
}

pub(super) async fn refresh(args: &RefreshArgs, context: &Context) -> Result<Exit, Failed> {
    let target = AppInTenant::of(context, &args.which).await?;
    let token = target.token(&target.resource(None)).await?;
    let refreshed = Refreshed {
        tenant: target.tenant.id,
        slug: target.tenant.slug.to_string(),
        app: target.app.name.clone(),
        expires_at: token.expires_at,
        roles: token.roles.clone(),
    };
    let now = context.clock.now();
    context.output.print(&refreshed, |_| {
        let left = duration(Duration::try_from(refreshed.expires_at.duration_since(now)).unwrap_or_default());
        let kept =
            if target.app.access == Access::Delegated { "; the new refresh token is kept" } else { "" };
        format!("{} has a new token from app `{}`, good for {left}{kept}", refreshed.slug, refreshed.app)
    })
}

#[derive(Serialize)]
struct Refreshed {
    tenant: TenantId,
    slug: String,
    app: String,
    expires_at: Timestamp,
    roles: Option<Vec<String>>,
}
