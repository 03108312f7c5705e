//! The command line beside the commands, and the way from arguments to an exit code.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use crate::build_facts;
use crate::commands::{Call, Command};
use crate::config::{self, LogFormat};
use crate::exit_code::{Exit, Failed};
use crate::shown::note::{note, said};
use crate::shown::output::{ColourChoice, Output, OutputFormat};
use crate::shown::telemetry;

/// Collects the Microsoft Defender alerts of many tenants and delivers each of them to your SIEMs: none lost, none
/// doubled.
#[derive(Debug, Parser)]
#[command(name = "muster", version, propagate_version = true, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    /// The settings file, or a folder of them [default: what MUSTER_CONFIG names, else muster.toml here, else /etc/muster].
    #[arg(long, short, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
    /// How results are printed.
    #[arg(long, short, global = true, value_enum, default_value_t)]
    output: OutputFormat,
    /// When colours are used.
    #[arg(long, global = true, value_enum, default_value_t)]
    color: ColourChoice,
    /// Log more; twice for everything.
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong command line, 3 wrong settings, 4 store cannot be used, \
5 not found, 6 done in part, 7 Microsoft refused or does not answer, 8 a sink refused or does not answer.";

/// Runs the program with these arguments, the first of which is its name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    keep_memory_private();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) if error.kind() == ErrorKind::DisplayVersion && build_facts::is_asked_for(&arguments) => {
            // A closed terminal is the only way to fail, and then there is nobody to tell.
            said!("{}", build_facts::of_this_program()).ok();
            return Exit::Success.into();
        }
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Success };
            // A closed terminal is the only way to fail, and then there is nobody to tell.
            error.print().ok();
            return exit.into();
        }
    };
    match run(cli) {
        Ok(exit) => exit.into(),
        Err(failed) if is_broken_pipe(&failed.error) => Exit::Success.into(),
        Err(failed) => {
            note!("muster: {}", failed.told());
            failed.exit.into()
        }
    }
}

/// Every command and flag, for what is compared with them.
pub fn definition() -> clap::Command {
    Cli::command()
}

/// What is in memory stays there: no core file is written when the program fails, and no other program of the same user
/// can look into it. Where the system refuses, Muster works all the same.
fn keep_memory_private() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).ok();
    set_dumpable_behavior(DumpableBehavior::NotDumpable).ok();
}

fn run(cli: Cli) -> Result<Exit, Failed> {
    let Cli { command, config, verbose, output, color } = cli;
    let config::Found { path: config, how } = config::find(config);
    let call = Call { config, verbose, output: Output::new(output, color), definition };
    // `run` logs as its settings say.
    if !matches!(command, Command::Run) {
        let level = match verbose {
            0 => "error",
            1 => "info",
            _ => "debug",
        };
        telemetry::start_logging(LogFormat::Text, Some(level), call.output.colour);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let exit = runtime.block_on(command.run(&call));
    let is_about_settings = match &exit {
        Ok(exit) => *exit == Exit::Settings,
        Err(failed) => failed.exit == Exit::Settings,
    };
    if let Some(how) = how.filter(|_| is_about_settings) {
        note!("muster: {how}");
    }
    // Nothing that still hangs on a dead network keeps the program from ending.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    exit
}

/// `muster status | head` is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
