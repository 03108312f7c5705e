//! `muster backup`: a copy of the store, as of one moment, while `run` goes on.

use std::path::PathBuf;

use muster_store::CopyContents;
use serde::Serialize;
use serde_json::json;

use super::Context;
use crate::exit_code::{Exit, Failed};
use crate::shown::output::{number, size};
use crate::shown::progress::Progress;
use crate::wiring;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file to write. Nothing may be there; no link is followed and nothing written over.
    to: PathBuf,
}

#[derive(Serialize)]
struct Made {
    backup: String,
    #[serde(flatten)]
    contents: CopyContents,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let keys = wiring::key_ring(&context.settings)?;
    let copied = |_| {
        let bytes = std::fs::metadata(&args.to).map_or(0, |file| file.len());
        if bytes > 0 {
            format!("copying the store, and reading the copy: {}", size(bytes))
        } else {
            "copying the store".to_owned()
        }
    };
    let copy = Box::pin(context.store.copy_to(&args.to, &keys));
    let contents = Progress::of(context.output).during(context.clock.as_ref(), copied, copy).await?;
    let backup = args.to.display().to_string();
    context.audit("store.backed_up", &backup, json!({ "audit_events": contents.audit_events })).await?;
    let made = Made { backup, contents };
    context.output.print(&made, |_| {
        format!(
            "wrote {}, {}, read it back and found it whole: {}\n\n\
             The master key `{}` is not in it. Keep a copy of that key apart from this file: whoever has both reads \
             everything, and without the key nobody does.\n\
             Put it back with `muster restore {0}`.",
            made.backup,
            size(made.contents.bytes),
            holds(&made.contents),
            made.contents.master_key,
        )
    })
}

/// What a copy holds, in a line.
pub(super) fn holds(contents: &CopyContents) -> String {
    format!(
        "{} tenants, {} records in the journal, {} owed to sinks, {} dead letters, {} audit events",
        number(contents.tenants),
        number(contents.records),
        number(contents.owed),
        number(contents.dead_letters),
        number(contents.audit_events),
    )
}

/// A moment, where it is known.
pub(super) fn moment(at: Option<jiff::Timestamp>) -> String {
    at.map_or_else(|| "an unknown time".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}
