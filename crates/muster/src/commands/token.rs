//! `muster token …`: getting, explaining, checking and forgetting tokens by hand.
//!
//! No token is printed unless it is asked for with `--print`: who has it can read what the app can read until it ends, and
//! a terminal's scroll-back, a shell's history and a screen that is shared keep it longer than that.

use std::io::{self, Read};
use std::time::Duration;

use jiff::Timestamp;
use muster_microsoft::Microsoft;
use muster_microsoft::entra::access_token::AccessToken;
use muster_microsoft::entra::credential::{Access, App};
use muster_microsoft::entra::delegated::{AuthorizeRequest, Pkce, Prompt, ResponseMode};
use muster_microsoft::entra::inspect::{self, Inspection};
use muster_microsoft::entra::verify::{Expected, Verification};
use muster_model::{Secret, Tenant, TenantId};
use muster_store::{Grant, NewAuditEvent, SignInKind, TenantKey};
use serde::Serialize;
use serde_json::json;

use super::Context;
use crate::access::apps::Apps;
use crate::access::checks;
use crate::access::person::{self, Loopback};
use crate::access::sign_in::{self, Returned, SignInError, Wanted};
use crate::cli::{TokenAcquireArgs, TokenCommand, TokenFlow, TokenVerifyArgs};
use crate::config::OnboardingSettings;
use crate::exit_code::{Exit, Failed};
use crate::shown::output::{Output, Tone, ago, duration, plain};
use crate::{audit, lifecycle};

/// A token longer than this is none.
const TOKEN_BYTES_MAX: u64 = 1 << 20;

pub(crate) async fn token(command: &TokenCommand, context: &Context, output: Output) -> Result<Exit, Failed> {
    match command {
        TokenCommand::Acquire(args) => acquire(args, context, output).await,
        TokenCommand::Verify(args) => verify(args, context, output).await,
        TokenCommand::List { tenant } => list(tenant.as_deref(), context, output).await,
        TokenCommand::Forget { tenant, app } => forget(tenant, app.as_deref(), context, output).await,
        TokenCommand::Refresh { tenant, app } => refresh(tenant, app.as_deref(), context, output).await,
        // Needs neither settings nor a store, and is answered before they are opened.
        TokenCommand::Inspect { token } => inspect(token.as_deref(), context.clock.now(), output),
    }
}

/// What the commands that ask Microsoft need.
struct Way {
    microsoft: Microsoft,
    apps: Apps,
    tenant: Tenant,
    app: App,
}

impl Way {
    async fn to(context: &Context, tenant: &str, app: Option<&str>) -> Result<Self, Failed> {
        let tenant = context.store.tenant(TenantKey::Name(tenant)).await?;
        let microsoft = lifecycle::microsoft_of(context)?;
        let apps = lifecycle::apps(&context.settings, &context.store).await?;
        let name = app.unwrap_or(&tenant.app);
        let app = apps.get(name).ok_or_else(|| {
            let known = apps.names().collect::<Vec<_>>().join(", ");
            Failed::say(
                Exit::NotFound,
                format!("there is no app `{name}` in the settings; the apps are: {known}"),
            )
        })?;
        Ok(Self { microsoft, apps, tenant, app })
    }
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
    roles: Option<Vec<String>>,
    kept: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<String>,
}

async fn acquire(args: &TokenAcquireArgs, context: &Context, output: Output) -> Result<Exit, Failed> {
    let way = Way::to(context, &args.tenant, args.app.as_deref()).await?;
    let resource = args.resource.clone().unwrap_or_else(|| way.microsoft.cloud().graph_resource().to_owned());
    let (token, account) = match way.app.access {
        Access::Application => {
            if args.flow.is_some() {
                let message = format!(
                    "app `{}` reads by itself, nobody signs in: leave --flow out, or give the app access = \"delegated\"",
                    way.app.name
                );
                return Err(Failed::say(Exit::Usage, message));
            }
            let token = way.microsoft.fresh_access_token(&way.app, way.tenant.id, &resource).await;
            (token.map_err(|error| Failed::new(Exit::Microsoft, error))?, None)
        }
        Access::Delegated => {
            let flow = args.flow.unwrap_or(TokenFlow::Browser);
            let granted = match flow {
                TokenFlow::Device => device(&way, &resource, context).await?,
                TokenFlow::Paste => paste(&way, &resource, context).await?,
                TokenFlow::Browser => browser(&way, &resource, args, context).await?,
            };
            match granted {
                Some((token, account)) => (token, Some(account)),
                // `muster run` has caught the redirect and kept the grant; a token comes from that.
                None => {
                    let token = way.microsoft.fresh_access_token(&way.app, way.tenant.id, &resource).await;
                    (token.map_err(|error| Failed::new(Exit::Microsoft, error))?, None)
                }
            }
        }
    };
    let acquired = Acquired {
        tenant: way.tenant.id,
        slug: way.tenant.slug.to_string(),
        app: way.app.name.clone(),
        access: if way.app.access == Access::Delegated { "delegated" } else { "application" },
        resource,
        account,
        expires_at: token.expires_at,
        roles: token.roles.clone(),
        kept: way.app.access == Access::Delegated,
        access_token: args.print.then(|| token.secret.expose().clone()),
    };
    if args.print {
        let event = NewAuditEvent {
            actor: audit::actor(),
            action: "token.printed".to_owned(),
            subject: way.tenant.id.to_string(),
            details: json!({ "app": way.app.name, "resource": acquired.resource }),
        };
        context.store.append_audit(event, context.clock.now()).await?;
        eprintln!(
            "Whoever has this token can do what it allows until {:.0}; it cannot be called back. Do not keep it in a file or a chat.",
            acquired.expires_at
        );
    }
    let now = context.clock.now();
    output.print(&acquired, |_| shown_acquired(&acquired, now))?;
    Ok(Exit::Success)
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
    match &acquired.roles {
        Some(roles) if roles.is_empty() => text.push_str("it allows nothing: consent is missing\n"),
        Some(roles) => text.push_str(&format!("it allows: {}\n", plain(&roles.join(", ")))),
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

fn whom(way: &Way) -> String {
    format!("a person of {}", way.tenant.slug)
}

async fn device(way: &Way, resource: &str, context: &Context) -> Result<Got, Failed> {
    let now = context.clock.now();
    let granted =
        person::by_device(&way.microsoft, &way.app, way.tenant.id, resource, &whom(way), now).await?;
    let now = context.clock.now();
    sign_in::keep(&context.store, way.tenant.id, &way.app.name, resource, &granted, now)
        .await
        .map_err(failed)?;
    Ok(Some((granted.access_token, granted.account)))
}

/// The address to sign in at, for a redirect to `redirect_uri`.
async fn authorize_url(
    way: &Way,
    resource: &str,
    redirect_uri: &str,
    context: &Context,
) -> Result<(muster_store::SignIn, String), Failed> {
    let wanted = Wanted {
        tenant: way.tenant.id,
        app: way.app.name.clone(),
        kind: SignInKind::Delegated,
        invitation: None,
        redirect_uri: redirect_uri.to_owned(),
        resource: resource.to_owned(),
    };
    let (sign_in, state) = sign_in::begin(context.store.as_ref(), wanted, context.clock.now()).await?;
    let request = AuthorizeRequest {
        app: &way.app,
        tenant: Some(way.tenant.id),
        resource,
        redirect_uri,
        state: &state,
        nonce: &sign_in.nonce,
        challenge: &Pkce::from_verifier(sign_in.verifier.clone()).challenge(),
        login_hint: None,
        prompt: Some(Prompt::SelectAccount),
        response_mode: ResponseMode::Query,
    };
    let url = way.microsoft.authorize_url(&request).await;
    let url = url.map_err(|error| Failed::new(Exit::Microsoft, error))?.to_string();
    Ok((sign_in, url))
}

/// The redirect URI that is registered for this app: its own, or the one that `[onboarding]` gives every app that can
/// keep a secret. Public clients have `http://localhost`.
fn registered_redirect(way: &Way, context: &Context) -> Option<String> {
    let settings = way.apps.settings(&way.app.name);
    let own = settings.and_then(|app| app.redirect_uri.as_ref()).map(ToString::to_string);
    if own.is_none() && settings.is_some_and(|app| app.public) {
        return None;
    }
    own.or_else(|| context.settings.onboarding.as_ref().map(OnboardingSettings::connector_redirect_uri))
}

async fn paste(way: &Way, resource: &str, context: &Context) -> Result<Got, Failed> {
    let redirect = registered_redirect(way, context).ok_or_else(|| {
        let message = format!(
            "say where the browser is sent afterwards: `redirect_uri` in [apps.{}], as it is registered",
            way.app.name
        );
        Failed::say(Exit::Settings, message)
    })?;
    let (_, url) = authorize_url(way, resource, &redirect, context).await?;
    eprintln!(
        "1. Open this address and sign in as a person of {}:\n\n{url}\n\n2. The browser ends at {redirect}, which may show an error. Copy the whole address from its bar and paste it here:",
        way.tenant.slug
    );
    let returned = person::pasted().await?;
    let granted = finish(way, &returned, context).await.map_err(failed)?;
    Ok(Some(granted))
}

async fn finish(
    way: &Way,
    returned: &Returned,
    context: &Context,
) -> Result<(AccessToken, String), SignInError> {
    let now = context.clock.now();
    let sign_in = sign_in::take(context.store.as_ref(), returned.state.as_deref(), now).await?;
    if sign_in.tenant != way.tenant.id || sign_in.app != way.app.name {
        return Err(SignInError::OtherKind);
    }
    let app = Some(way.app.clone());
    let granted = sign_in::keep_grant(&context.store, &way.microsoft, app, &sign_in, returned, now).await?;
    Ok((granted.access_token, granted.account))
}

async fn browser(
    way: &Way,
    resource: &str,
    args: &TokenAcquireArgs,
    context: &Context,
) -> Result<Got, Failed> {
    let registered = registered_redirect(way, context).filter(|uri| !uri.starts_with("http://localhost"));
    if let (Some(redirect), None) = (&registered, args.port) {
        return by_the_server(way, resource, redirect, args, context).await;
    }
    let loopback = Loopback::bind(args.port).await?;
    let (_, url) = authorize_url(way, resource, loopback.redirect(), context).await?;
    person::open_browser(&url, &whom(way), args.no_open);
    loopback
        .answer(async |returned| match finish(way, &returned, context).await {
            Err(SignInError::Unknown) => Ok(None),
            other => other.map(|got| Some(Some(got))).map_err(failed),
        })
        .await
}

/// The redirect goes to the address that is registered, where `muster run` waits for it and keeps the grant.
async fn by_the_server(
    way: &Way,
    resource: &str,
    redirect: &str,
    args: &TokenAcquireArgs,
    context: &Context,
) -> Result<Got, Failed> {
    let before = granted_at(way, context).await?;
    let (sign_in, url) = authorize_url(way, resource, redirect, context).await?;
    person::open_browser(&url, &whom(way), args.no_open);
    eprintln!("Waiting until the browser is back at {redirect}, which `muster run` serves …");
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    while context.clock.now() < sign_in.expires_at {
        ticks.tick().await;
        let after = granted_at(way, context).await?;
        if after.is_some() && after != before {
            return Ok(None);
        }
        let checks = context.store.checks(Some(way.tenant.id)).await?;
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

async fn granted_at(way: &Way, context: &Context) -> Result<Option<Timestamp>, Failed> {
    let grants = context.store.grants(Some(way.tenant.id)).await?;
    Ok(grants.into_iter().find(|grant| grant.app == way.app.name).map(|grant| grant.granted_at))
}

fn failed(error: SignInError) -> Failed {
    let exit = match &error {
        SignInError::Store(_) => Exit::Store,
        SignInError::Token(_) | SignInError::Declined { .. } | SignInError::NoRefreshToken => Exit::Microsoft,
        _ => Exit::Failure,
    };
    Failed::new(exit, error)
}

/// `muster token inspect`: needs no settings.
pub(crate) fn inspect(token: Option<&str>, now: Timestamp, output: Output) -> Result<Exit, Failed> {
    let token = read_token(token)?;
    let inspection =
        inspect::inspect(token.expose(), now).map_err(|error| Failed::new(Exit::Failure, error))?;
    output.print(&inspection, |output| shown_inspection(&inspection, output))?;
    Ok(Exit::Success)
}

fn shown_inspection(inspection: &Inspection, output: &Output) -> String {
    let mut text = format!("{}\n", plain(&inspection.kind));
    for time in &inspection.times {
        text.push_str(&format!("{} {:.0}, {}\n", time.name, time.at, time.relative));
    }
    for (head, entries) in [("header", &inspection.header), ("claim", &inspection.claims)] {
        if entries.is_empty() {
            continue;
        }
        let mut table = output.table(&[head, "value", "meaning"]);
        for entry in entries {
            let value = entry.value.as_str().map_or_else(|| entry.value.to_string(), str::to_owned);
            table.add_row(vec![
                output.cell(&entry.name, Tone::Plain),
                output.cell(value, Tone::Plain),
                output.cell(&entry.meaning, Tone::Plain),
            ]);
        }
        text.push_str(&format!("\n{table}\n"));
    }
    if !inspection.permissions.is_empty() {
        let mut table = output.table(&["permission", "held by", "allows"]);
        for permission in &inspection.permissions {
            table.add_row(vec![
                output.cell(&permission.name, Tone::Plain),
                output.cell(if permission.kind == "role" { "the app" } else { "the person" }, Tone::Plain),
                output.cell(&permission.allows, Tone::Plain),
            ]);
        }
        text.push_str(&format!("\n{table}\n"));
    }
    for warning in &inspection.warnings {
        text.push_str(&format!("\n! {}\n", plain(warning)));
    }
    text.push_str("\nNothing was verified: `muster token verify --tenant …` checks the signature and what the sources need.");
    text
}

/// From the command line, a file, or standard input.
fn read_token(token: Option<&str>) -> Result<Secret<String>, Failed> {
    let text = match token {
        Some("-") | None => {
            let mut text = String::new();
            io::stdin().lock().take(TOKEN_BYTES_MAX).read_to_string(&mut text)?;
            Secret::new(text)
        }
        Some(path) if path.starts_with('@') => {
            let mut text = String::new();
            let file = std::fs::File::open(&path[1..]).map_err(|error| {
                Failed::say(Exit::Failure, format!("{} cannot be read: {error}", &path[1..]))
            })?;
            file.take(TOKEN_BYTES_MAX).read_to_string(&mut text)?;
            Secret::new(text)
        }
        Some(token) => Secret::from(token),
    };
    let text = text.expose().trim();
    let text = text.strip_prefix("Bearer ").unwrap_or(text);
    if text.is_empty() {
        return Err(Failed::say(Exit::Usage, "there is no token: give it by standard input, or @FILE"));
    }
    Ok(Secret::from(text))
}

#[derive(Serialize)]
struct Verified {
    tenant: TenantId,
    slug: String,
    app: String,
    passed: bool,
    #[serde(flatten)]
    verification: Verification,
}

async fn verify(args: &TokenVerifyArgs, context: &Context, output: Output) -> Result<Exit, Failed> {
    let way = Way::to(context, &args.tenant, args.app.as_deref()).await?;
    let resource = args.resource.clone().unwrap_or_else(|| way.microsoft.cloud().graph_resource().to_owned());
    let token = match &args.token {
        Some(token) => read_token(Some(token))?,
        None => {
            let token = way.microsoft.fresh_access_token(&way.app, way.tenant.id, &resource).await;
            token.map_err(|error| Failed::new(Exit::Microsoft, error))?.secret
        }
    };
    let expected = Expected {
        tenant: Some(way.tenant.id),
        resource: Some(resource),
        client_id: Some(way.app.client_id.clone()),
        access: way.app.access,
        sources: way.tenant.sources.iter().copied().collect(),
        issuer: way.app.endpoint.clone(),
    };
    let verification = way.microsoft.verify_token(token.expose(), &expected).await;
    let passed = verification.passed();
    let verified = Verified {
        tenant: way.tenant.id,
        slug: way.tenant.slug.to_string(),
        app: way.app.name.clone(),
        passed,
        verification,
    };
    output.print(&verified, |output| {
        let mut table = output.table(&["check", "result", "detail", "to do"]);
        for check in &verified.verification.checks {
            let (word, tone) = match check.passed {
                Some(true) => ("good", Tone::Good),
                Some(false) => ("wrong", Tone::Bad),
                None => ("unknown", Tone::Fair),
            };
            table.add_row(vec![
                output.cell(&check.name, Tone::Plain),
                output.cell(word, tone),
                output.cell(&check.detail, Tone::Plain),
                output.cell(if check.remedy.is_empty() { "-" } else { &check.remedy }, Tone::Plain),
            ]);
        }
        format!("{table}\n\n{}", verdict(&verified.verification))
    })?;
    Ok(if passed { Exit::Success } else { Exit::Failure })
}

/// What the checks come to, in a line.
fn verdict(verification: &Verification) -> &'static str {
    match (verification.passed(), verification.signature_unchecked()) {
        (true, false) => "the token is good",
        (true, true) => "the token is good as far as can be told: its signature could not be checked",
        (false, false) => "the token will not do",
        (false, true) => "the token will not do, and its signature could not be checked",
    }
}

async fn list(tenant: Option<&str>, context: &Context, output: Output) -> Result<Exit, Failed> {
    let tenant = match tenant {
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
    output.print(&grants, |output| {
        if grants.is_empty() {
            return "no refresh token is kept; apps that read by themselves need none (`muster token acquire` gets one)".to_owned();
        }
        let mut table = output.table(&["tenant", "app", "account", "resource", "granted", "renewed", "idle until", "trouble"]);
        for grant in &grants {
            let tone = if grant.revoked_at.is_some() { Tone::Bad } else { Tone::Plain };
            table.add_row(vec![
                output.cell(slug(grant.tenant), Tone::Plain),
                output.cell(&grant.app, Tone::Plain),
                output.cell(&grant.account, Tone::Plain),
                output.cell(&grant.resource, Tone::Plain),
                output.cell(ago(Some(grant.granted_at), now), Tone::Plain),
                output.cell(ago(Some(grant.renewed_at), now), Tone::Plain),
                output.cell(idle_until(grant), Tone::Plain),
                output.cell(grant.last_error.as_deref().unwrap_or("-"), tone),
            ]);
        }
        table.to_string()
    })?;
    Ok(Exit::Success)
}

fn idle_until(grant: &Grant) -> String {
    grant.expires_at.map_or_else(|| "-".to_owned(), |at| format!("{at:.0}"))
}

async fn forget(tenant: &str, app: Option<&str>, context: &Context, output: Output) -> Result<Exit, Failed> {
    let tenant = context.store.tenant(TenantKey::Name(tenant)).await?;
    let mut forgotten = Vec::new();
    for grant in context.store.grants(Some(tenant.id)).await? {
        if app.is_none_or(|app| app == grant.app) && context.store.remove_grant(tenant.id, &grant.app).await?
        {
            let event = NewAuditEvent {
                actor: audit::actor(),
                action: "grant.forgotten".to_owned(),
                subject: tenant.id.to_string(),
                details: json!({ "app": grant.app, "account": grant.account }),
            };
            context.store.append_audit(event, context.clock.now()).await?;
            forgotten.push(grant);
        }
    }
    if forgotten.is_empty() {
        return Err(Failed::say(Exit::NotFound, format!("no refresh token of {} is kept", tenant.slug)));
    }
    output.print(&forgotten, |_| {
        format!(
            "forgot {} refresh token(s) of {}. They stay valid at Microsoft until they end; to end them at once, have the person's sessions revoked in the Entra admin centre",
            forgotten.len(),
            tenant.slug
        )
    })?;
    Ok(Exit::Success)
}

#[derive(Serialize)]
struct Refreshed {
    tenant: TenantId,
    slug: String,
    app: String,
    expires_at: Timestamp,
    roles: Option<Vec<String>>,
}

async fn refresh(tenant: &str, app: Option<&str>, context: &Context, output: Output) -> Result<Exit, Failed> {
    let way = Way::to(context, tenant, app).await?;
    let resource = way.microsoft.cloud().graph_resource().to_owned();
    let token = way.microsoft.fresh_access_token(&way.app, way.tenant.id, &resource).await;
    let token = token.map_err(|error| Failed::new(Exit::Microsoft, error))?;
    let refreshed = Refreshed {
        tenant: way.tenant.id,
        slug: way.tenant.slug.to_string(),
        app: way.app.name.clone(),
        expires_at: token.expires_at,
        roles: token.roles.clone(),
    };
    let now = context.clock.now();
    output.print(&refreshed, |_| {
        let left = duration(Duration::try_from(refreshed.expires_at.duration_since(now)).unwrap_or_default());
        let kept = if way.app.access == Access::Delegated { "; the new refresh token is kept" } else { "" };
        format!("{} has a new token from app `{}`, good for {left}{kept}", refreshed.slug, refreshed.app)
    })?;
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use muster_microsoft::entra::verify::TokenCheck;

    use super::*;

    #[test]
    fn the_verdict_tells_that_the_signature_was_not_checked() {
        let of = |signature: Option<bool>, tenant: Option<bool>| {
            let check = |name: &str, passed| TokenCheck {
                name: name.to_owned(),
                passed,
                detail: String::new(),
                remedy: String::new(),
            };
            let checks = vec![check("signature", signature), check("tenant", tenant)];
            verdict(&Verification { checks, expires_at: None })
        };
        assert_eq!(of(Some(true), None), "the token is good");
        assert_eq!(of(Some(false), Some(true)), "the token will not do");
        for (tenant, beginning) in [(true, "the token is good "), (false, "the token will not do")] {
            let told = of(None, Some(tenant));
            assert!(
                told.starts_with(beginning) && told.ends_with("its signature could not be checked"),
                "{told}"
            );
        }
    }
}
