//! What keeps `muster run` from starting, and what will not work while it runs. `muster run` goes through the first list
//! before it touches anything, `muster validate` through both, so that the two cannot disagree.
//!
//! A check is one function in one of the lists. It says what it finds with [`Settings::mistake`], which knows file and
//! line; it changes nothing on disk, and must bear that `muster run` is at work.

mod apps;
mod at_start;
mod connect;
mod hunts;
mod listen;
mod microsoft;
mod notices;
mod routes;
mod sinks;
mod sources;
mod store;
mod streams;
mod subject;
mod vault;

use std::path::Path;
use std::sync::Arc;

use muster_model::Clock;

pub use self::at_start::AtStart;
pub use self::connect::{Outcome, Tried, connect};
pub(crate) use self::connect::{try_receivers, try_sinks, try_streams};
pub(crate) use self::sources::lacking;
use self::subject::Subject;
use crate::config::{Consequence, Mistake, Mistakes, Settings};
use crate::exit_code::{Exit, Failed};

/// Looks at one thing, and writes down what is wrong with it.
type Check = fn(&Subject<'_>, &mut Vec<Mistake>);

/// Without these, `muster run` does not start.
const TO_START: &[Check] =
    &[apps::some_app, store::master_key, store::store, listen::listen, microsoft::way, vault::opener];

/// Without these, a part of it does not work, or not as was meant; the rest does.
const PARTS: &[Check] = &[
    apps::credentials,
    apps::tenants,
    sinks::some_sink,
    sinks::sinks,
    sinks::indexes,
    sinks::tokens,
    routes::left_out,
    routes::forgotten_sinks,
    listen::certificate,
    sources::in_cloud,
    sources::region_of_the_feed,
    sources::twice,
    sources::announced_ends,
    hunts::hunts,
    streams::streams,
    notices::receivers,
    at_start::restart,
];

/// What was found.
pub struct Validation {
    /// The settings, as far as they are right; `None` where a file as a whole is wrong.
    pub settings: Option<Settings>,
    /// In the order of files and lines.
    pub mistakes: Vec<Mistake>,
}

/// Reads the settings at `config` and looks at everything that they name.
pub async fn validate(config: &Path, clock: &Arc<dyn Clock>) -> Validation {
    look(config, clock, &[TO_START, PARTS]).await
}

/// Reads the settings at `config` for `muster run`.
///
/// # Errors
/// When it could not start with them: all reasons at once.
pub async fn settings_to_start(config: &Path, clock: &Arc<dyn Clock>) -> Result<Settings, Failed> {
    let Validation { settings, mistakes } = look(config, clock, &[TO_START]).await;
    match settings {
        Some(settings) if mistakes.is_empty() => Ok(settings),
        _ => Err(Failed::new(exit(&mistakes), Mistakes(mistakes))),
    }
}

/// Reads the settings at `config` for a `muster run` that is at work: it has its store and its address already.
///
/// # Errors
/// When it could not go on with them: all reasons at once.
pub async fn settings_to_reload(config: &Path, clock: &Arc<dyn Clock>) -> Result<Settings, Failed> {
    let Validation { settings, mistakes } =
        look(config, clock, &[&[apps::some_app, microsoft::way, vault::opener]]).await;
    match settings {
        Some(settings) if mistakes.is_empty() => Ok(settings),
        _ => Err(Failed::new(exit(&mistakes), Mistakes(mistakes))),
    }
}

/// What of these settings would be down.
pub async fn parts_down(settings: &Settings, clock: &Arc<dyn Clock>) -> Vec<Mistake> {
    let subject = Subject::new(settings, &[], clock).await;
    let mut mistakes = Vec::new();
    tokio::task::block_in_place(|| {
        for check in [apps::credentials, sinks::sinks] {
            check(&subject, &mut mistakes);
        }
    });
    mistakes
}

/// The exit code for these mistakes.
pub fn exit(mistakes: &[Mistake]) -> Exit {
    let counting = mistakes.iter().filter(|mistake| mistake.consequence != Consequence::Advice);
    match (counting.clone().next(), counting.clone().all(store::is_about_the_store)) {
        (None, _) => Exit::Success,
        (Some(_), true) => Exit::Store,
        (Some(_), false) => Exit::Settings,
    }
}

async fn look(config: &Path, clock: &Arc<dyn Clock>, lists: &[&[Check]]) -> Validation {
    let (settings, mut mistakes) = Settings::read_in_part(config);
    if let Some(settings) = &settings {
        let subject = Subject::new(settings, &mistakes, clock).await;
        let mut found = Vec::new();
        // Secrets lie in files that may be slow, and come from programs.
        tokio::task::block_in_place(|| {
            for check in lists.iter().copied().flatten() {
                check(&subject, &mut found);
            }
        });
        mistakes.extend(found);
    }
    mistakes.sort_by(|one, other| (&one.file, one.line).cmp(&(&other.file, other.line)));
    Validation { settings, mistakes }
}
