//! `muster app …`: the app registrations that customers consent to, and the secrets and certificates they prove
//! themselves with.

mod authority;
mod check;
mod connector;
mod consent_url;
mod named;
mod register;
mod rotate;
mod section;
mod show;

use muster_store::CredentialKind;

use super::{Call, Context};
use crate::exit_code::{Exit, Failed};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum AppCommand {
    /// Make an app registration for the settings, or mend the one there is: permissions, redirect URIs, service
    /// principal, credential. Run again, it goes on from where it was.
    Register(register::Args),
    /// Show how apps prove themselves, what the store keeps for them, and what was last found. Asks nobody.
    Show {
        /// Names; all when left out.
        apps: Vec<String>,
    },
    /// Print the address at which a tenant's administrator consents to an app.
    ConsentUrl(consent_url::Args),
    /// Replace an app's client secret: the new one is made, tried and put to use before the old one is removed.
    RotateSecret(rotate::Args),
    /// Replace an app's certificate: the new one is made, tried and put to use before the old one is removed.
    RotateCertificate(rotate::Args),
    /// Check app registrations: ends of secrets and certificates, permissions, redirect URIs, who may use them.
    Check(check::Args),
}

pub(crate) async fn run(command: &AppCommand, call: &Call, context: &Context) -> Result<Exit, Failed> {
    match command {
        AppCommand::Register(args) => {
            rotate::exclusively(context, register::run(args, &call.config, context)).await
        }
        AppCommand::Show { apps } => show::run(apps, context).await,
        AppCommand::ConsentUrl(args) => consent_url::run(args, context).await,
        AppCommand::RotateSecret(args) => {
            rotate::exclusively(context, rotate::run(args, CredentialKind::Secret, context)).await
        }
        AppCommand::RotateCertificate(args) => {
            rotate::exclusively(context, rotate::run(args, CredentialKind::Certificate, context)).await
        }
        AppCommand::Check(args) => check::run(args, context).await,
    }
}
