//! `muster token export`: hands a person's refresh token over to a SIEM's own connector, on purpose.
//!
//! Source: Microsoft "Fetch alerts from MSSP customer tenant" (the refresh token is pasted into the connector), "Configure
//! ArcSight to pull detections" (`WDATP-connector.properties`), "Configure Splunk to pull detections" (REST modular input).

use std::time::Duration;

use muster_microsoft::entra::credential::{Access, Credential};
use muster_model::{Secret, TenantId};
use muster_store::{GrantLease, InstanceId};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::app_in_tenant::{AppInTenant, WhichApp};
use crate::commands::Context;
use crate::commands::confirm::confirm;
use crate::exit_code::{Exit, Failed};
use crate::shown::note::note;
use crate::shown::output::plain;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: WhichApp,
    /// Whose connector is to use it.
    #[arg(long = "for", value_enum)]
    siem: Siem,
    /// Print the app's client secret, too.
    #[arg(long)]
    with_secret: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Siem {
    /// The properties file of ArcSight's REST FlexConnector.
    Arcsight,
    /// The stanza of Splunk's REST modular input.
    Splunk,
}

/// How long the grant is held while it is read.
const LEASE: Duration = Duration::from_secs(30);

/// Renews the grant, so that what is handed over is known to work, and prints it as the connector wants it.
pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let target = AppInTenant::of(context, &args.which).await?;
    let (tenant, app) = (&target.tenant, &target.app);
    if app.access == Access::Application {
        let message = format!(
            "app `{}` reads by itself and has no refresh token: give the connector an app with access = \"delegated\" (`muster app register NAME --connector-for {}`)",
            app.name, tenant.slug
        );
        return Err(Failed::say(Exit::Usage, message));
    }
    let secret = client_secret(args, &target)?;
    if !args.yes {
        let what = "and let another program read its data in a person's name";
        confirm(tenant, "Hand over the refresh token of", what, "handing a refresh token over")?;
    }
    let grants = context.store.grants(Some(tenant.id)).await?;
    let grant = grants.into_iter().find(|grant| grant.app == app.name).ok_or_else(|| {
        let message = format!(
            "nobody has signed in for {} with app `{}`: `muster token acquire --tenant {0} --app {1}`",
            tenant.slug, app.name
        );
        Failed::say(Exit::NotFound, message)
    })?;
    target.token(&grant.resource).await?;
    let refresh_token = read(&target, context).await?;
    // Written down before it leaves.
    let details = json!({
        "app": app.name, "account": grant.account, "resource": grant.resource, "for": args.siem,
        "with_secret": secret.is_some(),
    });
    context.audit("grant.exported", &tenant.id.to_string(), details).await?;
    let login = target.microsoft.cloud().login_origin();
    let exported = Exported {
        tenant: tenant.id,
        app: app.name.clone(),
        account: grant.account,
        siem: args.siem,
        client_id: app.client_id.clone(),
        client_secret: secret.map(|secret| secret.expose().clone()),
        resource: grant.resource,
        authorize_url: format!("{login}/{}/oauth2/authorize", tenant.id),
        token_url: format!("{login}/{}/oauth2/token", tenant.id),
        redirect_uri: target.registered_redirect(context),
        refresh_token: refresh_token.expose().clone(),
    };
    note!(
        "Whoever has this refresh token reads in the name of {} until their sessions are revoked in the Entra admin centre. Muster keeps one of its own, so both go on working.",
        plain(&exported.account)
    );
    context.output.print(&exported, |_| exported.in_words())
}

/// The app's secret, where it is wanted and is one.
fn client_secret(args: &Args, target: &AppInTenant) -> Result<Option<Secret<String>>, Failed> {
    match (&target.app.credential, args.with_secret) {
        (_, false) => Ok(None),
        (Credential::Secret(secret), true) => Ok(Some(secret.clone())),
        (_, true) => {
            let message = format!(
                "app `{}` proves itself without a client secret, and these connectors know nothing else: `muster app rotate-secret` makes one",
                target.app.name
            );
            Err(Failed::say(Exit::Usage, message))
        }
    }
}

/// The refresh token that the store keeps.
async fn read(target: &AppInTenant, context: &Context) -> Result<Secret<String>, Failed> {
    let (store, now) = (&context.store, context.clock.now());
    let (tenant, app) = (target.tenant.id, target.app.name.as_str());
    let instance = InstanceId(Uuid::new_v4());
    match store.lease_grant(instance, tenant, app, LEASE, now).await? {
        GrantLease::Leased { refresh_token, fence, grant } => {
            store.renew_grant(tenant, app, fence, None, grant.expires_at, now).await?;
            Ok(refresh_token)
        }
        GrantLease::Busy { .. } => {
            Err(Failed::say(Exit::Failure, "`muster run` is renewing the refresh token just now: try again"))
        }
        GrantLease::Dead { .. } | GrantLease::None => {
            Err(Failed::say(Exit::NotFound, "the refresh token has ended: `muster token acquire`"))
        }
    }
}

#[derive(Serialize)]
struct Exported {
    tenant: TenantId,
    app: String,
    account: String,
    #[serde(rename = "for")]
    siem: Siem,
    client_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    resource: String,
    authorize_url: String,
    token_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect_uri: Option<String>,
    refresh_token: String,
}

impl Exported {
    fn in_words(&self) -> String {
        let secret = self.client_secret.as_deref().unwrap_or("(the app's secret; --with-secret prints it)");
        let resource: String = url::form_urlencoded::byte_serialize(self.resource.as_bytes()).collect();
        let Self { client_id, authorize_url, token_url, refresh_token, .. } = self;
        match self.siem {
            Siem::Arcsight => format!(
                "client_ID={client_id}\nclient_secret={secret}\nauth_url={authorize_url}?resource={resource}\ntoken_url={token_url}\nredirect_uri={}\nscope=\n\nRefresh Token: {refresh_token}",
                self.redirect_uri.as_deref().unwrap_or("https://localhost:44300/wdatpconnector"),
            ),
            Siem::Splunk => format!(
                "auth_type = oauth2\noauth2_token_type = Bearer\noauth2_client_id = {client_id}\noauth2_client_secret = {secret}\noauth2_refresh_token = {refresh_token}\noauth2_refresh_url = {token_url}\noauth2_refresh_props = resource={}",
                self.resource
            ),
        }
    }
}
