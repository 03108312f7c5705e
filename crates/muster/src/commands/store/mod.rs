//! `muster store`: where what Muster remembers is kept.

mod init;

use super::Call;
use crate::exit_code::{Exit, Failed};

/// Where Muster keeps what it remembers.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum StoreCommand {
    /// Make the store that the settings name: the tables in a PostgreSQL database, or the file.
    Init,
}

pub(crate) async fn run(command: &StoreCommand, call: &Call) -> Result<Exit, Failed> {
    match command {
        StoreCommand::Init => init::run(call).await,
    }
}
