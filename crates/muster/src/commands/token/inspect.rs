//! `muster token inspect`

use muster_microsoft::entra::inspect::{self, Inspection};
use muster_model::{Clock, SystemClock};

use super::read::read_token;
use crate::exit_code::{Exit, Failed};
use crate::shown::output::{Output, plain};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The token; `@FILE` for a file, `-` or nothing for standard input. On the command line, others on this machine
    /// may see it.
    token: Option<String>,
}

/// `muster token inspect`: needs no settings.
pub(super) fn run(args: &Args, output: Output) -> Result<Exit, Failed> {
    let token = read_token(args.token.as_deref())?;
    let inspection = inspect::inspect(token.expose(), SystemClock.now())
        .map_err(|error| Failed::new(Exit::Failure, error))?;
    output.print(&inspection, |output| shown_inspection(&inspection, output))
}

fn shown_inspection(inspection: &Inspection, output: &Output) -> String {
    let mut text = format!("{}\n", plain(&inspection.kind));
    for time in &inspection.times {
        text.push_str(&format!("{} {:.0}, {}\n", time.name, time.at, time.relative));
    }
    for (head, entries) in [("header", &inspection.header), ("claim", &inspection.claims)] {
        if entries.is_empty() {
            continue;
        }
        let mut table = output.table(&[head, "value", "meaning"]);
        for entry in entries {
            let value = entry.value.as_str().map_or_else(|| entry.value.to_string(), str::to_owned);
            table.add_row([output.text(&entry.name), output.text(value), output.text(&entry.meaning)]);
        }
        text.push_str(&format!("\n{table}\n"));
    }
    if !inspection.permissions.is_empty() {
        let mut table = output.table(&["permission", "held by", "allows"]);
        for permission in &inspection.permissions {
            table.add_row([
                output.text(&permission.name),
                output.text(if permission.kind == "role" { "the app" } else { "the person" }),
                output.text(&permission.allows),
            ]);
        }
        text.push_str(&format!("\n{table}\n"));
    }
    for warning in &inspection.warnings {
        text.push_str(&format!("\n! {}\n", plain(warning)));
    }
    text.push_str("\nNothing was verified: `muster token verify --tenant …` checks the signature and what the sources need.");
    text
}
