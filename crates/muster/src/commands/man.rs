//! `muster man FOLDER`: the man pages, made from the command line's own definition.

use std::path::PathBuf;

use super::Call;
use crate::exit_code::{Exit, Failed};
use crate::shown::note::said;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder; made where it is missing.
    folder: PathBuf,
}

pub(crate) fn run(args: &Args, call: &Call) -> Result<Exit, Failed> {
    let write = || {
        std::fs::create_dir_all(&args.folder)?;
        clap_mangen::generate_to((call.definition)(), &args.folder)
    };
    write().map_err(|error: std::io::Error| Failed::unwritable(&args.folder, &error))?;
    said!("wrote the man pages into {}", args.folder.display())?;
    Ok(Exit::Success)
}
