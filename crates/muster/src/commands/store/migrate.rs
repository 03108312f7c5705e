//! `muster store migrate`: moves the store from a file to a PostgreSQL database, or back.

use std::sync::Arc;

use muster_model::{Clock, SystemClock};
use muster_store::{Address, MoveStep, MovedStore, abandon_move};
use serde::Serialize;

use crate::commands::Call;
use crate::config::Settings;
use crate::exit_code::{Exit, Failed};
use crate::shown::output::number;
use crate::shown::progress::Progress;
use crate::wiring;

/// What the name of a file begins with.
const FILE: &str = "sqlite:";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the store is: `sqlite:PATH`, or `postgres://USER@HOST/DATABASE`; schema, password and certificates are those of
    /// `[store]`.
    #[arg(long, value_name = "STORE")]
    from: String,
    /// Where it is to be, in the same words. What is there must be empty, or nothing; it is made.
    #[arg(long, value_name = "STORE", required_unless_present = "abandon", conflicts_with = "abandon")]
    to: Option<String>,
    /// Give up a move that is not done, and stay where the store was.
    #[arg(long)]
    abandon: bool,
}

#[derive(Serialize)]
struct Abandoned {
    from: String,
    abandoned: String,
}

pub(super) async fn run(args: &Args, call: &Call) -> Result<Exit, Failed> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let settings = wiring::read_settings(&call.config, &clock).await?;
    let keys = wiring::key_ring(&settings)?;
    let from = address(&settings, &args.from)?;
    let Some(to) = &args.to else {
        let abandoned = Abandoned { from: args.from.clone(), abandoned: abandon_move(&from, &keys).await? };
        return call.output.print(&abandoned, |_| {
            format!(
                "the store stays at {}. Delete what has arrived at {}: it cannot be used.",
                abandoned.from, abandoned.abandoned
            )
        });
    };
    let to = address(&settings, to)?;
    let mut progress = Progress::of(call.output);
    let mut copied = String::new();
    let told = &mut |step: MoveStep<'_>| match step {
        MoveStep::Copying(table, done, of) => {
            if copied != table {
                progress.begin();
                table.clone_into(&mut copied);
            }
            progress.count(clock.now(), (done, of), &format!("rows of {table}"));
        }
        MoveStep::Checking => progress.show(clock.now(), || "looking for damage".to_owned()),
        MoveStep::Comparing(table) => progress.show(clock.now(), || format!("comparing {table}")),
    };
    let moved = muster_store::migrate(&from, &to, &keys, told).await?;
    progress.wipe();
    call.output.print(&moved, |_| summary(&moved, &to))
}

/// The store that a name on the command line means, reached as `[store]` says.
fn address(settings: &Settings, name: &str) -> Result<Address, Failed> {
    let mut settings = settings.clone();
    match name.strip_prefix(FILE) {
        Some(path) => {
            // As the shell means it, and not from the folder of the settings.
            settings.store.path = std::path::absolute(path)?;
            settings.store.url = None;
        }
        None if name.starts_with("postgres://") || name.starts_with("postgresql://") => {
            settings.store.url = Some(name.to_owned());
        }
        None => {
            let wrong =
                format!("`{name}` is no store: name `sqlite:PATH` or `postgres://USER@HOST/DATABASE`");
            return Err(Failed::say(Exit::Usage, wrong));
        }
    }
    wiring::store_address(&settings)
}

fn summary(moved: &MovedStore, to: &Address) -> String {
    let MovedStore { from, to: at, tables } = moved;
    let mut text = format!("moved {from}\nto    {at}\n\n");
    for table in tables.iter().filter(|table| table.rows > 0) {
        text.push_str(&format!("  {:<18} {:>12}  {}", table.table, number(table.rows), table.hash));
        if table.there_before > 0 {
            text.push_str(&format!("  {} of them by an earlier run", number(table.there_before)));
        }
        text.push('\n');
    }
    let key = match to {
        Address::Sqlite(_) => "path",
        Address::Postgres(_) => "url",
    };
    text.push_str(&format!(
        "\nAll rows and their hashes are the same on both sides. The master key is the same, too: leave it where it is.\n\n\
         Next: name the store in `[store]` as `{key}`, `muster validate`, then start `muster run`. The old one says where the \
         store went, and is not run on; delete it when you need it no more."
    ));
    text
}
