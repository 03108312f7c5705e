//! `muster store`: where what Muster remembers is kept.

mod init;
mod migrate;

use super::Call;
use crate::exit_code::{Exit, Failed};

/// Where Muster keeps what it remembers.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum StoreCommand {
    /// Make the store that the settings name: the tables in a PostgreSQL database, or the file.
    Init,
    /// Move the store from a file to a PostgreSQL database, or back, while no `muster run` works with it.
    ///
    /// Everything goes along, and is compared on both sides in the end. Interrupted, it goes on where it stopped when it is
    /// run again.
    Migrate(migrate::Args),
}

pub(crate) async fn run(command: &StoreCommand, call: &Call) -> Result<Exit, Failed> {
    match command {
        StoreCommand::Init => init::run(call).await,
        StoreCommand::Migrate(args) => migrate::run(args, call).await,
    }
}
