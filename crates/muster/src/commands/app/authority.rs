//! Who may read and change an app registration.

use std::io::{self, IsTerminal};

use muster_microsoft::Microsoft;
use muster_microsoft::entra::access_token::AccessToken;
use muster_microsoft::entra::applications::OWN_REGISTRATION_ROLES;
use muster_microsoft::entra::credential::{Access, App, Credential};
use muster_model::TenantId;

use crate::access::operator::{GRAPH_COMMAND_LINE_TOOLS, Operator};
use crate::access::person::SignInFlow;
use crate::commands::Context;
use crate::exit_code::{Exit, Failed};
use crate::shown::note::note;
use crate::shown::output::plain;

#[derive(Debug, clap::Args)]
pub(crate) struct SignInArgs {
    /// How a person signs in. When left out, the app's own permission is used where it has one.
    #[arg(long, value_enum)]
    pub(super) flow: Option<SignInFlow>,
    /// The public client that the person signs in to; Microsoft Graph Command Line Tools when left out.
    #[arg(long, value_name = "CLIENT_ID", default_value_t = GRAPH_COMMAND_LINE_TOOLS, hide_default_value = true)]
    pub(super) sign_in_client: uuid::Uuid,
    /// With `--flow browser`: only show the address, open nothing.
    #[arg(long)]
    pub(super) no_open: bool,
}

/// A token of somebody who may read and change the registration: the app itself, when it may care for itself, or else a
/// person who signs in.
pub(super) async fn authority(
    app: &App,
    home: TenantId,
    args: &SignInArgs,
    context: &Context,
    microsoft: &Microsoft,
) -> Result<AccessToken, Failed> {
    let reason = match own_token(app, home, microsoft).await {
        Ok(token) if args.flow.is_none() => return Ok(token),
        Ok(_) => String::new(),
        Err(reason) => reason,
    };
    let flow = match args.flow {
        Some(flow) => flow,
        None if io::stderr().is_terminal() && io::stdin().is_terminal() => SignInFlow::Device,
        None => {
            return Err(Failed::say(
                Exit::Microsoft,
                format!(
                    "app `{}` may not care for its own registration ({reason}), and nobody is here to sign in: run this in a terminal, say --flow device, or register the app with --self-care",
                    app.name
                ),
            ));
        }
    };
    sign_in(home, flow, args, context, microsoft).await
}

pub(super) async fn sign_in(
    home: TenantId,
    flow: SignInFlow,
    args: &SignInArgs,
    context: &Context,
    microsoft: &Microsoft,
) -> Result<AccessToken, Failed> {
    let operator = Operator {
        microsoft,
        store: context.store.as_ref(),
        clock: context.clock.as_ref(),
        tenant: home,
        client_id: args.sign_in_client,
        flow,
        no_open: args.no_open,
    };
    let granted = operator.sign_in().await?;
    if !granted.account.is_empty() {
        note!("Signed in as {}.", plain(&granted.account));
    }
    Ok(granted.access_token)
}

/// The app's own token, when it may change its registration; otherwise why not.
async fn own_token(app: &App, home: TenantId, microsoft: &Microsoft) -> Result<AccessToken, String> {
    if matches!(app.credential, Credential::None) {
        return Err("it has no credential yet".to_owned());
    }
    let own = App { access: Access::Application, ..app.clone() };
    let resource = microsoft.cloud().graph_resource();
    let token =
        microsoft.fresh_access_token(&own, home, resource).await.map_err(|error| error.to_string())?;
    let may = token
        .roles
        .as_ref()
        .is_some_and(|roles| roles.iter().any(|role| OWN_REGISTRATION_ROLES.contains(&role.as_str())));
    if may { Ok(token) } else { Err(format!("its token lacks {}", OWN_REGISTRATION_ROLES[0])) }
}
