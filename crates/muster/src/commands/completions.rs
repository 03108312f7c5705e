//! `muster completions SHELL`, and the answer to a shell that asks what may stand at a place of the command line: commands and
//! flags, and the names of tenants, sinks and apps that there are.
//!
//! A shell asks at each press of a key, so an answer is quick, and where the settings or the store cannot be read it has fewer
//! names. Nothing is said on standard error, and nothing is changed: the store is looked at as `muster doctor` looks at it.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};
use muster_model::{Tenant, TenantState};

use super::Call;
use crate::choosing::TAG;
use crate::config::{self, Settings};
use crate::exit_code::{Exit, Failed};
use crate::wiring;

/// The variable by which a shell asks.
const ASKED_BY: &str = "MUSTER_COMPLETE";
/// Whoever presses a key does not wait for a store that is slow.
const STORE_WITHIN: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which shell.
    shell: clap_complete::Shell,
}

pub(crate) fn run(args: &Args, _: &Call) -> Result<Exit, Failed> {
    let shells = Shells::builtins();
    let shell = shells.completer(&args.shell.to_string()).expect("every shell is built in");
    let mut script = Vec::new();
    shell.write_registration(ASKED_BY, "muster", "muster", "muster", &mut script)?;
    std::io::stdout().write_all(&script)?;
    Ok(Exit::Success)
}

/// Answers a shell that asks. `false` where none does: a shell that does puts `--` before the line that is typed, so that a variable
/// that was left set keeps no command from its work.
pub(crate) fn is_answered(arguments: &[OsString], definition: fn() -> clap::Command) -> bool {
    if arguments.get(1).is_none_or(|first| first != "--") {
        return false;
    }
    let config: Arc<Path> = config::find(config_of(arguments)).path.into();
    let asked = CompleteEnv::with_factory(|| with_names(definition(), &config)).var(ASKED_BY);
    let asked = asked.bin("muster").completer("muster");
    // A shell that is not known, or that has stopped listening, is no reason to do what is being typed.
    asked.try_complete(arguments.iter().cloned(), None).unwrap_or(true)
}

/// The settings that the line names which is being typed.
fn config_of(arguments: &[OsString]) -> Option<PathBuf> {
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    words.iter().enumerate().find_map(|(index, word)| match *word {
        "-c" | "--config" => words.get(index + 1).map(PathBuf::from),
        word => word.strip_prefix("--config=").map(PathBuf::from),
    })
}

/// What an argument names.
#[derive(Debug, Clone, Copy)]
enum Names {
    Tenants,
    Sinks,
    Apps,
}

impl Names {
    fn of(argument: &clap::Arg) -> Option<Self> {
        match argument.get_id().as_str() {
            "tenant" | "tenants" | "except" => Some(Self::Tenants),
            "sink" | "sinks" | "one" | "other" => Some(Self::Sinks),
            "app" | "apps" => Some(Self::Apps),
            _ => None,
        }
    }

    fn candidates(self, config: &Path) -> Vec<CompletionCandidate> {
        let (settings, is_read) = match Settings::read(config) {
            Ok(settings) => (settings, true),
            Err(_) => Settings::read_what_can_be(config),
        };
        match self {
            Self::Sinks => settings.sinks.keys().map(CompletionCandidate::new).collect(),
            Self::Apps => settings.apps.keys().map(CompletionCandidate::new).collect(),
            // Where the settings do not say which store it is, it may be another one.
            Self::Tenants if is_read => tenants(&settings).iter().flat_map(of_tenant).collect(),
            Self::Tenants => Vec::new(),
        }
    }
}

fn of_tenant(tenant: &Tenant) -> impl Iterator<Item = CompletionCandidate> {
    let slug = CompletionCandidate::new(tenant.slug.as_str())
        .help(Some(muster_model::text::shown(&tenant.name, 60).into()));
    // Those of several tenants are offered once.
    let tags = tenant.tags.iter().map(|tag| CompletionCandidate::new(format!("{TAG}{tag}")));
    std::iter::once(slug).chain(tags)
}

/// The tenants of the store, where it answers at once.
fn tenants(settings: &Settings) -> Vec<Tenant> {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let looked = runtime
        .block_on(async { tokio::time::timeout(STORE_WITHIN, wiring::look_at_store(settings, None)).await });
    // What hangs is left behind: the program ends.
    runtime.shutdown_background();
    let Ok(Ok(look)) = looked else { return Vec::new() };
    look.tenants.into_iter().filter(|tenant| tenant.state != TenantState::Offboarded).collect()
}

/// The command line, with the names that there are.
fn with_names(command: clap::Command, config: &Arc<Path>) -> clap::Command {
    let is_new = command.get_name() == "add";
    let command = command.mut_args(|argument| match Names::of(&argument) {
        // Who is added has no name yet.
        Some(Names::Tenants) if is_new && argument.is_positional() => argument,
        Some(names) => {
            let config = Arc::clone(config);
            argument.add(ArgValueCandidates::new(move || names.candidates(&config)))
        }
        None => argument,
    });
    command.mut_subcommands(|inner| with_names(inner, config))
}
