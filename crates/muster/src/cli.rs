//! The command line beside the commands, and the way from arguments to an exit code.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser};

use crate::build_facts;
use crate::commands::{Call, Command, completions, examples};
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
    #[arg(long, short, global = true, value_name = "PATH", help_heading = GLOBAL)]
    config: Option<PathBuf>,
    /// How results are printed.
    #[arg(long, short, global = true, value_enum, default_value_t, help_heading = GLOBAL)]
    output: OutputFormat,
    /// When colours are used.
    #[arg(long, global = true, value_enum, default_value_t, help_heading = GLOBAL)]
    color: ColourChoice,
    /// Log more; twice for everything.
    #[arg(long, short, global = true, action = clap::ArgAction::Count, help_heading = GLOBAL)]
    verbose: u8,
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

/// Over what every command takes.
const GLOBAL: &str = "Options for every command";

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong command line, 3 wrong settings, 4 store cannot be used, \
5 not found, 6 done in part, 7 Microsoft refused or does not answer, 8 a sink refused or does not answer.";

/// Runs the program with these arguments, the first of which is its name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    keep_memory_private();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if completions::is_answered(&arguments, definition) {
        return Exit::Success.into();
    }
    let is_for_programs = is_json(&arguments);
    let parsed = definition().try_get_matches_from(&arguments);
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) if error.kind() == ErrorKind::DisplayVersion && build_facts::is_asked_for(&arguments) => {
            // A closed terminal is the only way to fail, and then there is nobody to tell.
            said!("{}", build_facts::of_this_program()).ok();
            return Exit::Success.into();
        }
        Err(error) => {
            if !error.use_stderr() {
                // A closed terminal is the only way to fail, and then there is nobody to tell.
                error.print().ok();
                return Exit::Success.into();
            }
            match is_for_programs {
                true => tell(&Failed::say(Exit::Usage, error.render()), None, true),
                false => drop(error.print()),
            }
            return Exit::Usage.into();
        }
    };
    let (exit, how) = run(cli);
    match exit {
        Ok(exit) => {
            if let Some(how) = how.filter(|_| exit == Exit::Settings && !is_for_programs) {
                note!("muster: {how}");
            }
            exit.into()
        }
        Err(failed) if is_broken_pipe(&failed.error) => Exit::Success.into(),
        Err(failed) => {
            tell(&failed, how.as_deref().filter(|_| failed.exit == Exit::Settings), is_for_programs);
            failed.exit.into()
        }
    }
}

/// Says on standard error what failed: in a line for people, or as JSON for programs.
fn tell(failed: &Failed, how: Option<&str>, is_for_programs: bool) {
    if is_for_programs {
        let (exit, kind) = (failed.exit as u8, failed.exit.as_str());
        let mut error =
            serde_json::json!({ "kind": kind, "exit_code": exit, "message": failed.told().trim_end() });
        if let Some(how) = how {
            error["settings"] = how.into();
        }
        return note!("{}", serde_json::json!({ "error": error }));
    }
    if let Some(how) = how {
        note!("muster: {how}");
    }
    note!("muster: {}", failed.told());
}

/// Whether programs read what is printed; also where the command line as a whole cannot be understood.
fn is_json(arguments: &[OsString]) -> bool {
    let words: Vec<&str> =
        arguments.iter().filter_map(|word| word.to_str()).take_while(|word| *word != "--").collect();
    let mut formats = words.iter().enumerate().filter_map(|(index, word)| match *word {
        "-o" | "--output" => words.get(index + 1).copied(),
        word => word.strip_prefix("--output=").or_else(|| word.strip_prefix("-o")),
    });
    formats.next_back().is_some_and(|format| matches!(format.trim_start_matches('='), "json" | "ndjson"))
}

/// Every command and flag, for what is compared with them.
pub fn definition() -> clap::Command {
    examples::add(Cli::command())
}

/// What is in memory stays there: no core file is written when the program fails, and no other program of the same user
/// can look into it. Where the system refuses, Muster works all the same.
fn keep_memory_private() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).ok();
    set_dumpable_behavior(DumpableBehavior::NotDumpable).ok();
}

/// Does what the command says; also tells how the settings were found.
fn run(cli: Cli) -> (Result<Exit, Failed>, Option<String>) {
    let Cli { command, config, verbose, output, color } = cli;
    let config::Found { path: config, how } = config::find(config);
    let call = Call { config, verbose, output: Output::new(output, color), definition };
    // `run` logs as its settings say.
    if !matches!(command, Command::Run) {
        let level = match verbose {
            _ if command.takes_the_terminal() => "off",
            0 => "error",
            1 => "info",
            _ => "debug",
        };
        telemetry::start_logging(LogFormat::Text, Some(level), call.output.colour);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let said = format!(
                "no threads can be started ({error}): raise the limits of this user, `ulimit -u` and `ulimit -n`"
            );
            return (Err(Failed::say(Exit::Failure, said)), None);
        }
    };
    let exit = runtime.block_on(command.run(&call));
    // Nothing that still hangs on a dead network keeps the program from ending.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    (exit, how)
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
        definition().debug_assert();
    }

    #[test]
    fn programs_are_known_by_what_they_ask_for() {
        let asks = |line: &str| is_json(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for line in [
            "muster -o json x",
            "muster x --output json",
            "muster --output=json",
            "muster -ojson",
            "muster -o=json",
        ] {
            assert!(asks(line), "{line}");
        }
        for line in [
            "muster x",
            "muster -o table json",
            "muster --output",
            "muster x -- -o json",
            "muster -o json -o table",
        ] {
            assert!(!asks(line), "{line}");
        }
    }
}
