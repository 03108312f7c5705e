//! `muster tenant …`

mod add;
mod check;
mod edit;
mod guide;
mod import;
mod invite;
mod invite_many;
mod list;
mod offboard;
mod pause;
mod remove;
mod show;
mod tag;

pub(super) use invite_many::{Args as InviteArgs, run as invite};

use muster_model::TenantState;

use super::{Context, Except};
use crate::exit_code::{Exit, Failed};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum TenantCommand {
    /// Add a tenant by its id or by a domain it has verified.
    Add(add::Args),
    /// Invite a customer: make the link on which their administrator consents. Adds the tenant where it is new.
    Invite(invite::Args),
    /// For each source: the permission it needs, whether the token has it, whether the call works, and what to do.
    Check(check::Args),
    /// Print the steps that only people can do, with this tenant's ids and links, and how far each is.
    Guide(guide::Args),
    /// End the work for a customer: forget its tokens and data, and tell what it must remove on its side. Its name stays.
    Offboard(offboard::Args),
    /// Change a tenant: its name, slug, app, sources or tags.
    Edit(edit::Args),
    /// List tenants.
    List(show::ListArgs),
    /// Show one tenant: its sources, what it owes, what is wrong.
    Show {
        /// Slug, id or domain.
        tenant: String,
    },
    /// Stop fetching a tenant. What was accepted is still delivered.
    Pause {
        /// Slugs, ids or domains; tag:NAME for all with a tag, or `all`.
        #[arg(required = true)]
        tenants: Vec<String>,
        #[command(flatten)]
        except: Except,
    },
    /// Fetch a tenant again, from where it stopped.
    Resume {
        /// Slugs, ids or domains; tag:NAME for all with a tag, or `all`.
        #[arg(required = true)]
        tenants: Vec<String>,
        #[command(flatten)]
        except: Except,
    },
    /// Group tenants, for routes.
    #[command(subcommand)]
    Tag(tag::TagCommand),
    /// Forget a tenant: its key, journal, deliveries and dead letters. Cannot be undone.
    Remove(remove::Args),
    /// Add the tenants of a CSV file with the columns `tenant`, and if you like `name`, `slug`, `app`, `sources`,
    /// `tags`; or of an export of Partner Center or CIPP.
    Import(import::Args),
}

pub(crate) async fn run(command: &TenantCommand, context: &Context) -> Result<Exit, Failed> {
    match command {
        TenantCommand::Add(args) => add::run(args, context).await,
        TenantCommand::Invite(args) => invite::run(args, context).await,
        TenantCommand::Check(args) => check::run(args, context).await,
        TenantCommand::Guide(args) => guide::run(args, context).await,
        TenantCommand::Offboard(args) => offboard::run(args, context).await,
        TenantCommand::Edit(args) => edit::run(args, context).await,
        TenantCommand::List(args) => show::list(args, context).await,
        TenantCommand::Show { tenant } => show::show(tenant, context).await,
        TenantCommand::Pause { tenants, except } => {
            pause::run(tenants, except, TenantState::Paused, context).await
        }
        TenantCommand::Resume { tenants, except } => {
            pause::run(tenants, except, TenantState::Active, context).await
        }
        TenantCommand::Tag(command) => tag::run(command, context).await,
        TenantCommand::Remove(args) => remove::run(args, context).await,
        TenantCommand::Import(args) => import::run(args, context).await,
    }
}
