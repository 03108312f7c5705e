//! `muster completions SHELL`

use std::io::Write;

use super::Call;
use crate::exit_code::{Exit, Failed};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which shell.
    shell: clap_complete::Shell,
}

pub(crate) fn run(args: &Args, call: &Call) -> Result<Exit, Failed> {
    // The generator panics where it cannot write, so it writes into memory.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut (call.definition)(), "muster", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(Exit::Success)
}
