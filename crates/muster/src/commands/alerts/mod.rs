//! `muster alerts …`: looking alerts and incidents up in the journal.

mod row;
mod search;
mod show;

use super::Context;
use crate::exit_code::{Exit, Failed};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum AlertsCommand {
    /// Find alerts and incidents in the journal, the ones that Microsoft changed last first. Changes nothing, and keeps `run`
    /// from nothing.
    Search(search::Args),
    /// Show one: its versions, where it was delivered, its evidence, and its page in the portal.
    Show(show::Args),
}

pub(super) async fn run(command: &AlertsCommand, context: &Context) -> Result<Exit, Failed> {
    match command {
        AlertsCommand::Search(args) => search::run(args, context).await,
        AlertsCommand::Show(args) => show::run(args, context).await,
    }
}
