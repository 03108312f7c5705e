//! `muster audit …`: who did what, in a log that shows when it was tampered with.

use std::io::Write;
use std::path::{Path, PathBuf};

use muster_store::AuditEvent;

use super::Context;
use crate::exit_code::{Exit, Failed};
use crate::shown::output::number;

/// Events read at a time.
const PAGE: u32 = 1_000;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum AuditCommand {
    /// List events, oldest first.
    List {
        /// Those after this number.
        #[arg(long, default_value_t = 0)]
        after: u64,
        /// At most so many.
        #[arg(long, default_value_t = 200)]
        limit: u32,
    },
    /// Check that no event was changed, removed or added behind Muster's back.
    Verify,
    /// Write every event as a line of JSON.
    Export {
        /// Into this new file instead of standard output.
        #[arg(long, short)]
        file: Option<PathBuf>,
    },
}

pub(crate) async fn run(command: &AuditCommand, context: &Context) -> Result<Exit, Failed> {
    match command {
        AuditCommand::List { after, limit } => list(*after, *limit, context).await,
        AuditCommand::Verify => verify(context).await,
        AuditCommand::Export { file } => export(file.as_deref(), context).await,
    }
}

async fn list(after: u64, limit: u32, context: &Context) -> Result<Exit, Failed> {
    let events = context.store.audit(after, limit).await?;
    context.output.print(&events, |output| {
        if events.is_empty() {
            return "nothing has happened yet".to_owned();
        }
        let mut table = output.table(&["no", "when", "who", "what", "whom", "details"]);
        for event in &events {
            table.add_row([
                output.text(event.number.to_string()),
                output.text(format!("{:.0}", event.at)),
                output.text(&event.actor),
                output.text(&event.action),
                output.text(&event.subject),
                output.text(event.details.to_string()),
            ]);
        }
        table.to_string()
    })
}

async fn verify(context: &Context) -> Result<Exit, Failed> {
    let verdict = context.store.verify_audit().await?;
    let good = verdict.first_bad.is_none();
    context.output.print(&verdict, |_| match &verdict.first_bad {
        None => format!(
            "the audit log is whole: {} events, the last with hash {}",
            number(verdict.events),
            verdict.head
        ),
        Some((number, why)) => format!(
            "the audit log was tampered with: at event {number}, {why}. Compare it with an earlier export or a backup, and find out who had access to the store"
        ),
    })?;
    Ok(if good { Exit::Success } else { Exit::Failure })
}

/// One JSON object a line, oldest first. The hashes let anybody who has two exports see that one continues the other.
async fn export(file: Option<&Path>, context: &Context) -> Result<Exit, Failed> {
    let mut out: Box<dyn Write> = match file {
        None => Box::new(std::io::stdout().lock()),
        Some(file) => {
            let made = std::fs::OpenOptions::new().write(true).create_new(true).open(file);
            Box::new(std::io::BufWriter::new(made.map_err(|error| Failed::unwritable(file, &error))?))
        }
    };
    let mut after = 0;
    loop {
        let events: Vec<AuditEvent> = context.store.audit(after, PAGE).await?;
        for event in &events {
            let line = serde_json::to_string(event).map_err(std::io::Error::other)?;
            writeln!(out, "{line}")?;
        }
        match events.last() {
            Some(last) => after = last.number,
            None => break,
        }
    }
    out.flush()?;
    Ok(Exit::Success)
}
