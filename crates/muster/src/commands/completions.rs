//! `muster completions SHELL`

use super::Call;
use crate::exit_code::{Exit, Failed};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which shell.
    shell: clap_complete::Shell,
}

pub(crate) fn run(args: &Args, call: &Call) -> Result<Exit, Failed> {
    clap_complete::generate(args.shell, &mut (call.definition)(), "muster", &mut std::io::stdout());
    Ok(Exit::Success)
}
