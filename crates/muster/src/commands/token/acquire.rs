//! `muster token acquire`

use std::time::Duration;

use jiff::Timestamp;
use muster_microsoft::entra::access_token::AccessToken;
use muster_microsoft::entra::credential::Access;
use muster_microsoft::entra::delegated::{AuthorizeRequest, Pkce, Prompt, ResponseMode};
use muster_model::TenantId;
use muster_store::{SignIn, SignInKind};
use serde::Serialize;
use serde_json::json;

use super::app_in_tenant::{AppInTenant, WhichApp};
use crate::access::checks;
use crate::access::person::{self, Loopback, SignInFlow};
use crate::access::sign_in::{self, Returned, SignInError, SignInRequest};
use crate::commands::Context;
use crate::exit_code::{Exit, Failed};
use crate::shown::note::note;
use crate::shown::output::{duration, plain};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: WhichApp,
    /// How the person signs in.
    #[arg(long, value_enum)]
    flow: Option<SignInFlow>,
    /// The API that the token is for; that of the tenant's first source when left out.
    #[arg(long, value_name = "URI")]
    resource: Option<String>,
    /// Print the access token. Whoever sees it can use it until it ends.
    #[arg(long)]
    print: bool,
    /// With `--flow browser`: only show the address, open nothing.
    #[arg(long)]
    no_open: bool,
    /// With `--flow browser`: catch the redirect at this port of localhost, even where another redirect URI is registered.
    #[arg(long)]
    port: Option<u16>,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let target = AppInTenant::of(context, &args.which).await?;
    let resource = target.resource(args.resource.as_ref());
    let (token, account) = match target.app.access {
        Access::Application => {
            if args.flow.is_some() {
                let message = format!(
                    "app `{}` reads by itself, nobody signs in: leave --flow out, or give the app access = \"delegated\"",
                    target.app.name
                );
                return Err(Failed::say(Exit::Usage, message));
            }
            (target.token(&resource).await?, None)
        }
        Access::Delegated => {
            let flow = args.flow.unwrap_or(SignInFlow::Browser);
            let granted = match flow {
                SignInFlow::Device => device(&target, &resource, context).await?,
                SignInFlow::Paste => paste(&target, &resource, context).await?,
                SignInFlow::Browser => browser(&target, &resource, args, context).await?,
            };
            match granted {
                Some((token, account)) => (token, Some(account)),
                // `muster run` has caught the redirect and kept the grant; a token comes from that.
                None => (target.token(&resource).await?, None),
            }
        }
    };
    let acquired = Acquired {
        tenant: target.tenant.id,
        slug: target.tenant.slug.to_string(),
        app: target.app.name.clone(),
        access: if target.app.access == Access::Delegated { "delegated" } else { "application" },
        resource,
        account,
        expires_at: token.expires_at,
        allows: token.permissions(target.app.access).map(<[String]>::to_vec),
        kept: target.app.access == Access::Delegated,
        access_token: args.print.then(|| token.secret.expose().clone()),
    };
    if args.print {
        let details = json!({ "app": target.app.name, "resource": acquired.resource });
        context.audit("token.printed", &target.tenant.id.to_string(), details).await?;
        note!(
            "Whoever has this token can do what it allows until {:.0}; it cannot be called back. Do not keep it in a file or a chat.",
            acquired.expires_at
        );
    }
    let now = context.clock.now();
    context.output.print(&acquired, |_| shown_acquired(&acquired, now))
}

#[derive(Serialize)]
struct Acquired {
    tenant: TenantId,
    slug: String,
    app: String,
    access: &'static str,
    resource: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    expires_at: Timestamp,
    /// Its application permissions, or a person's scopes; `None` where that cannot be read from it.
    allows: Option<Vec<String>>,
    kept: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<String>,
}

fn shown_acquired(acquired: &Acquired, now: Timestamp) -> String {
    if let Some(token) = &acquired.access_token {
        return token.clone();
    }
    let left = duration(Duration::try_from(acquired.expires_at.duration_since(now)).unwrap_or_default());
    let mut text = format!("a token for {} in {} ({})", acquired.resource, acquired.slug, acquired.tenant);
    if let Some(account) = &acquired.account {
        text.push_str(&format!(", in the name of {}", plain(account)));
    }
    text.push_str(&format!(", good for {left}\n"));
    match &acquired.allows {
        Some(allows) if allows.is_empty() => text.push_str("it allows nothing: consent is missing\n"),
        Some(allows) => text.push_str(&format!("it allows: {}\n", plain(&allows.join(", ")))),
        None => text.push_str("what it allows cannot be read from it\n"),
    }
    text.push_str(if acquired.kept {
        "the refresh token is kept, sealed, in the store; no token was printed (--print does)"
    } else {
        "no token was printed (--print does)"
    });
    text
}

type Got = Option<(AccessToken, String)>;

fn whom(target: &AppInTenant) -> String {
    format!("a person of {}", target.tenant.slug)
}

async fn device(target: &AppInTenant, resource: &str, context: &Context) -> Result<Got, Failed> {
    let now = context.clock.now();
    let granted =
        person::by_device(&target.microsoft, &target.app, target.tenant.id, resource, &whom(target), now)
            .await?;
    let now = context.clock.now();
    sign_in::keep(&context.store, target.tenant.id, &target.app.name, resource, &granted, now)
        .await
        .map_err(failed)?;
    Ok(Some((granted.access_token, granted.account)))
}

/// The address to sign in at, for a redirect to `redirect_uri`.
async fn authorize_url(
    target: &AppInTenant,
    resource: &str,
    redirect_uri: &str,
    context: &Context,
) -> Result<(SignIn, String), Failed> {
    let wanted = SignInRequest {
        tenant: target.tenant.id,
        app: target.app.name.clone(),
        kind: SignInKind::Delegated,
        invitation: None,
        redirect_uri: redirect_uri.to_owned(),
        resource: resource.to_owned(),
    };
    let (sign_in, state) = sign_in::begin(context.store.as_ref(), wanted, context.clock.now()).await?;
    let request = AuthorizeRequest {
        app: &target.app,
        tenant: Some(target.tenant.id),
        resource,
        redirect_uri,
        state: &state,
        nonce: &sign_in.nonce,
        challenge: &Pkce::from_verifier(sign_in.verifier.clone()).challenge(),
        login_hint: None,
        prompt: Some(Prompt::SelectAccount),
        response_mode: ResponseMode::Query,
    };
    let url = target.microsoft.authorize_url(&request).await;
    let url = url.map_err(Failed::microsoft)?.to_string();
    Ok((sign_in, url))
}

async fn paste(target: &AppInTenant, resource: &str, context: &Context) -> Result<Got, Failed> {
    let redirect = target.registered_redirect(context).ok_or_else(|| {
        let message = format!(
            "say where the browser is sent afterwards: `redirect_uri` in [apps.{}], as it is registered",
            target.app.name
        );
        Failed::say(Exit::Settings, message)
    })?;
    let (_, url) = authorize_url(target, resource, &redirect, context).await?;
    note!(
        "1. Open this address and sign in as a person of {}:\n\n{url}\n\n2. The browser ends at {redirect}, which may show an error. Copy the whole address from its bar and paste it here, within {}:",
        target.tenant.slug,
        duration(sign_in::LIFETIME),
    );
    let returned = person::pasted().await?;
    let granted = finish(target, &returned, context).await.map_err(failed)?;
    Ok(Some(granted))
}

async fn finish(
    target: &AppInTenant,
    returned: &Returned,
    context: &Context,
) -> Result<(AccessToken, String), SignInError> {
    let now = context.clock.now();
    let sign_in = sign_in::take(context.store.as_ref(), returned.state.as_deref(), now).await?;
    if sign_in.tenant != target.tenant.id || sign_in.app != target.app.name {
        return Err(SignInError::OtherKind);
    }
    let app = Some(target.app.clone());
    let granted =
        sign_in::keep_grant(&context.store, &target.microsoft, app, &sign_in, returned, now).await?;
    Ok((granted.access_token, granted.account))
}

async fn browser(
    target: &AppInTenant,
    resource: &str,
    args: &Args,
    context: &Context,
) -> Result<Got, Failed> {
    let registered = target.registered_redirect(context).filter(|uri| !uri.starts_with("http://localhost"));
    if let (Some(redirect), None) = (&registered, args.port) {
        return by_the_server(target, resource, redirect, args, context).await;
    }
    let loopback = Loopback::bind(args.port).await?;
    let (_, url) = authorize_url(target, resource, loopback.redirect(), context).await?;
    person::open_browser(&url, &whom(target), args.no_open);
    note!("Waiting until the browser is back, at most {} …", duration(sign_in::LIFETIME));
    loopback
        .answer(async |returned| match finish(target, &returned, context).await {
            Err(SignInError::Unknown) => Ok(None),
            other => other.map(|got| Some(Some(got))).map_err(failed),
        })
        .await
}

/// The redirect goes to the address that is registered, where `muster run` waits for it and keeps the grant.
async fn by_the_server(
    target: &AppInTenant,
    resource: &str,
    redirect: &str,
    args: &Args,
    context: &Context,
) -> Result<Got, Failed> {
    let before = granted_at(target, context).await?;
    let (sign_in, url) = authorize_url(target, resource, redirect, context).await?;
    person::open_browser(&url, &whom(target), args.no_open);
    let left = Duration::try_from(sign_in.expires_at.duration_since(context.clock.now())).unwrap_or_default();
    note!(
        "Waiting until the browser is back at {redirect}, which `muster run` serves, at most {} …",
        duration(left)
    );
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    while context.clock.now() < sign_in.expires_at {
        ticks.tick().await;
        let after = granted_at(target, context).await?;
        if after.is_some() && after != before {
            return Ok(None);
        }
        let checks = context.store.checks(Some(target.tenant.id)).await?;
        let refused = checks
            .into_iter()
            .map(|(_, check)| check)
            .find(|check| check.code == checks::SIGN_IN_REFUSED && check.checked_at > sign_in.created_at);
        if let Some(refused) = refused {
            return Err(Failed::say(Exit::Microsoft, refused.detail));
        }
    }
    Err(Failed::say(
        Exit::Failure,
        format!(
            "nobody came back to {redirect} in time: is `muster run` reachable there? --flow paste needs no server"
        ),
    ))
}

async fn granted_at(target: &AppInTenant, context: &Context) -> Result<Option<Timestamp>, Failed> {
    let grants = context.store.grants(Some(target.tenant.id)).await?;
    Ok(grants.into_iter().find(|grant| grant.app == target.app.name).map(|grant| grant.granted_at))
}

fn failed(error: SignInError) -> Failed {
    let exit = match &error {
        SignInError::Store(_) => Exit::Store,
        SignInError::Token(_) | SignInError::Declined { .. } | SignInError::NoRefreshToken => Exit::Microsoft,
        _ => Exit::Failure,
    };
    Failed::new(exit, error)
}
