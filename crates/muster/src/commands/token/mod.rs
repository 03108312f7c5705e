//! `muster token …`: getting, explaining, checking and forgetting tokens by hand.
//!
//! No token is printed unless it is asked for with `--print`: who has it can read what the app can read until it ends, and
//! a terminal's scroll-back, a shell's history and a screen that is shared keep it longer than that.

mod acquire;
mod app_in_tenant;
mod export;
mod inspect;
mod kept;
mod read;
mod verify;

use super::Call;
use crate::exit_code::{Exit, Failed};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum TokenCommand {
    /// Get a token for a tenant. In the name of a person, signs them in and keeps the refresh token, sealed.
    Acquire(acquire::Args),
    /// Decode and explain any token, without checking it. Needs no settings.
    Inspect(inspect::Args),
    /// Check a token's signature, issuer, audience, tenant, times, and the roles that the tenant's sources need.
    Verify(verify::Args),
    /// List the refresh tokens that are kept (never the tokens themselves).
    List(kept::ListArgs),
    /// Forget the refresh tokens kept for a tenant.
    Forget(kept::ForgetArgs),
    /// Hand the refresh token over to a SIEM's own connector. Confirmed, and written into the audit log.
    Export(export::Args),
    /// Ask for a new token now, and renew the refresh token that is kept.
    Refresh(kept::RefreshArgs),
}

pub(crate) async fn run(command: &TokenCommand, call: &Call) -> Result<Exit, Failed> {
    match command {
        // Needs neither settings nor a store.
        TokenCommand::Inspect(args) => inspect::run(args, call.output),
        TokenCommand::Acquire(args) => call.open(async |context| acquire::run(args, context).await).await,
        TokenCommand::Verify(args) => call.open(async |context| verify::run(args, context).await).await,
        TokenCommand::List(args) => call.open(async |context| kept::list(args, context).await).await,
        TokenCommand::Forget(args) => call.open(async |context| kept::forget(args, context).await).await,
        TokenCommand::Export(args) => call.open(async |context| export::run(args, context).await).await,
        TokenCommand::Refresh(args) => call.open(async |context| kept::refresh(args, context).await).await,
    }
}
