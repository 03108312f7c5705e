//! `muster route …`

mod diff;
mod explain;

use super::Context;
use crate::exit_code::{Exit, Failed};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum RouteCommand {
    /// Which routes take a record, why the others do not, and what each sink may see of it.
    Explain(explain::Args),
    /// What the routes of the settings change, against those that `muster run` uses: which sources of which tenants go
    /// where, and how many of the records that the journal holds. Changes nothing.
    Diff(diff::Args),
}

pub(crate) async fn run(command: &RouteCommand, context: &Context) -> Result<Exit, Failed> {
    match command {
        RouteCommand::Explain(args) => explain::run(args, context).await,
        RouteCommand::Diff(args) => diff::run(args, context).await,
    }
}
