//! `muster app check`

use jiff::Timestamp;
use muster_microsoft::Microsoft;
use muster_microsoft::entra::credential::{Access, App, Credential};
use muster_store::{Check, CheckOutcome, CredentialSlot};
use serde::Serialize;

use super::authority::{SignInArgs, authority};
use super::consent_url::redirect_uris;
use super::named::{home, named, of_app, ready, stored};
use super::show::shown_checks;
use crate::access::registration::{self, Expected};
use crate::access::{checks, rotation};
use crate::commands::Context;
use crate::config::AppSettings;
use crate::exit_code::{Exit, Failed};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Names; all when left out.
    apps: Vec<String>,
    /// The tenant that they are registered in, where the settings do not say.
    #[arg(long, short)]
    tenant: Option<String>,
    /// Who signs in.
    #[command(flatten)]
    sign_in: SignInArgs,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    for name in &args.apps {
        named(Some(name), &context.settings)?;
    }
    let microsoft = context.microsoft()?;
    let mut checked = Vec::new();
    for (name, settings) in &context.settings.apps {
        if !args.apps.is_empty() && !args.apps.contains(name) {
            continue;
        }
        let checks = check_app(name, settings, args, context, &microsoft).await?;
        context.store.put_app_checks(name, checks.clone()).await?;
        checked.push(Checked { app: name.clone(), checks });
    }
    context.output.print(&checked, |output| {
        checked
            .iter()
            .map(|app| format!("{}\n{}", app.app, shown_checks(&app.checks, output)))
            .collect::<Vec<_>>()
            .join("\n\n")
    })?;
    let worst = checked.iter().flat_map(|app| &app.checks).map(|check| check.outcome).max();
    Ok(if worst == Some(CheckOutcome::Failing) { Exit::Failure } else { Exit::Success })
}

#[derive(Serialize)]
struct Checked {
    app: String,
    checks: Vec<Check>,
}

async fn check_app(
    name: &str,
    settings: &AppSettings,
    args: &Args,
    context: &Context,
    microsoft: &Microsoft,
) -> Result<Vec<Check>, Failed> {
    let now = context.clock.now();
    let stored = stored(name, context).await?;
    let mut all = vec![rotation::check(name, &stored, now)];
    let app = match ready(name, settings, context).await {
        Ok(app) => app,
        Err(failed) => {
            let detail = format!("{:#}", failed.error);
            all.push(checks::failing(
                checks::CREDENTIAL,
                muster_microsoft::Fault::Misconfigured,
                detail,
                now,
            ));
            return Ok(all);
        }
    };
    let current = stored.iter().find(|one| one.slot == CredentialSlot::Current);
    all.push(checks::credential(&app, current.and_then(|current| current.not_after), now));
    let home = match home(name, Some(settings), args.tenant.as_deref(), context, microsoft).await {
        Ok(home) => home,
        Err(failed) => {
            all.push(unchecked(
                format!("the registration was not looked at: {:#}", failed.error),
                format!("set `tenant` in [apps.{name}]"),
                now,
            ));
            return Ok(all);
        }
    };
    if !matches!(app.credential, Credential::None) {
        let own = App { access: Access::Application, ..app.clone() };
        let token = microsoft.probe_token(&own, home, microsoft.cloud().graph_resource()).await;
        let works = format!("Microsoft issues a token in its own tenant {home}");
        all.push(checks::access(checks::TOKEN, &token, works, now));
    }
    let token = match authority(&app, home, &args.sign_in, context, microsoft).await {
        Ok(token) => token,
        Err(failed) => {
            all.push(unchecked(
                format!("the registration was not looked at: {:#}", failed.error),
                format!("run `muster app check {name} --flow device`, or `muster app register {name} --self-care` once"),
                now,
            ));
            return Ok(all);
        }
    };
    let graph = microsoft.applications(&token);
    let failed = Failed::microsoft;
    let application = graph.application(settings.client_id).await.map_err(failed)?;
    let principal = graph.service_principal(settings.client_id).await.map_err(failed)?;
    let tenants = of_app(&context.store.tenants().await?, name);
    let uris = redirect_uris(Some(settings), context);
    let mark = rotation::mark(context.store.as_ref(), name, &app.client_id);
    let expected = Expected {
        app: name,
        access: settings.access,
        home,
        tenants: &tenants,
        further: &settings.permissions,
        redirect_uris: &uris,
        stored: &stored,
        mark: &mark,
        now,
    };
    all.extend(registration::checks(application.as_ref(), principal.as_ref(), &expected));
    Ok(all)
}

/// The registration could not be looked at, which is no trouble of the app itself.
fn unchecked(detail: String, remedy: String, now: Timestamp) -> Check {
    Check {
        outcome: CheckOutcome::Warning,
        code: "not_checked".to_owned(),
        remedy,
        ..checks::good(registration::REGISTRATION, detail, now)
    }
}
