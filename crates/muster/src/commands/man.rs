//! `muster man FOLDER`: the man pages, made from the command line's own definition.

use std::path::Path;

use clap::CommandFactory;

use crate::cli::Cli;
use crate::exit_code::{Exit, Failed};

pub(crate) fn write(folder: &Path) -> Result<Exit, Failed> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Cli::command(), folder)?;
    println!("wrote the man pages into {}", folder.display());
    Ok(Exit::Success)
}
