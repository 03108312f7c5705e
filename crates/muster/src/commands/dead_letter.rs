//! `muster dead-letter …`

use std::collections::BTreeSet;
use std::io::Write;

use muster_model::TenantId;
use muster_store::{DeadLetterNumber, DeadLetterOrigin};
use serde::Serialize;

use super::{Context, Except};
use crate::exit_code::{Exit, Failed};
use crate::shown::output::{Tone, size};

/// As many as are replayed with `--all` at once.
const ALL_MAX: u32 = 100_000;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum DeadLetterCommand {
    /// List dead letters, newest first.
    List {
        /// Only of these tenants: slugs, ids or domains, or tag:NAME; several by commas.
        #[arg(long, short, value_delimiter = ',')]
        tenant: Vec<String>,
        #[command(flatten)]
        except: Except,
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Print the original bytes of one.
    Show {
        /// Its number.
        number: u64,
    },
    /// Try again: what a sink refused goes back to it, what could not be read is read again.
    Replay {
        /// Their numbers.
        #[arg(required_unless_present = "all")]
        numbers: Vec<u64>,
        /// All of them.
        #[arg(long, conflicts_with = "numbers")]
        all: bool,
    },
}

pub(crate) async fn run(command: &DeadLetterCommand, context: &Context) -> Result<Exit, Failed> {
    match command {
        DeadLetterCommand::List { tenant, except, limit } => {
            list(context.ids(tenant, except).await?, *limit, context).await
        }
        DeadLetterCommand::Show { number } => {
            let body = context
                .store
                .dead_letter_body(DeadLetterNumber(*number))
                .await
                .map_err(|error| not_found(*number, error))?;
            std::io::stdout().lock().write_all(&body)?;
            Ok(Exit::Success)
        }
        DeadLetterCommand::Replay { numbers, all } => replay(numbers, *all, context).await,
    }
}

async fn list(chosen: Option<BTreeSet<TenantId>>, limit: u32, context: &Context) -> Result<Exit, Failed> {
    // Of several that were chosen each by itself: others' letters take no room from theirs.
    let mut letters = Vec::new();
    for tenant in chosen.map_or(vec![None], |chosen| chosen.into_iter().map(Some).collect()) {
        letters.extend(context.store.dead_letters(tenant, limit).await?);
    }
    letters.sort_by_key(|letter| std::cmp::Reverse(letter.number));
    letters.truncate(limit as usize);
    let slugs: std::collections::HashMap<_, _> =
        context.store.tenants().await?.into_iter().map(|tenant| (tenant.id, tenant.slug)).collect();
    context.output.print(&letters, |output| {
        if letters.is_empty() {
            return "no dead letters".to_owned();
        }
        let mut table = output.table(&["number", "since", "tenant", "from", "record", "size", "why"]);
        for letter in &letters {
            let origin = match &letter.origin {
                DeadLetterOrigin::Source(source) => source.to_string(),
                DeadLetterOrigin::Sink { sink, source } => format!("{source} → {sink}"),
            };
            let slug =
                slugs.get(&letter.tenant).map_or_else(|| letter.tenant.to_string(), ToString::to_string);
            let cells = [
                letter.number.0.to_string(),
                format!("{:.0}", letter.at),
                slug,
                origin,
                letter.record_id.clone().unwrap_or_else(|| "-".to_owned()),
                size(letter.body_bytes),
                letter.reason.clone(),
            ];
            table.add_row(cells.map(|text| output.text(text)));
        }
        table.to_string()
    })
}

#[derive(Serialize)]
struct Replayed {
    number: u64,
    replayed: bool,
    finding: String,
}

async fn replay(numbers: &[u64], all: bool, context: &Context) -> Result<Exit, Failed> {
    let numbers = match all {
        true => context
            .store
            .dead_letters(None, ALL_MAX)
            .await?
            .into_iter()
            .map(|letter| letter.number.0)
            .rev()
            .collect(),
        false => numbers.to_vec(),
    };
    // What could not be read before belongs to no route yet: the record is owed to every sink of the settings.
    let sinks: Vec<String> = context.settings.sinks.keys().cloned().collect();
    let mut replayed = Vec::new();
    for number in numbers {
        let result =
            context.store.replay_dead_letter(DeadLetterNumber(number), &sinks, context.clock.now()).await;
        let (done, finding) = match result {
            Ok(true) => (true, "owed again; `muster run` delivers it".to_owned()),
            Ok(false) => (false, "it still cannot be read; it was kept".to_owned()),
            Err(error) => (false, error.to_string()),
        };
        replayed.push(Replayed { number, replayed: done, finding });
    }
    context.output.print(&replayed, |output| {
        if replayed.is_empty() {
            return "no dead letters".to_owned();
        }
        let mut table = output.table(&["number", "replayed", "finding"]);
        for letter in &replayed {
            let (word, tone) = if letter.replayed { ("yes", Tone::Good) } else { ("no", Tone::Bad) };
            table.add_row([
                output.text(letter.number.to_string()),
                output.cell(word, tone),
                output.text(&letter.finding),
            ]);
        }
        table.to_string()
    })?;
    Ok(if replayed.iter().all(|letter| letter.replayed) { Exit::Success } else { Exit::Partly })
}

fn not_found(number: u64, error: muster_store::StoreError) -> Failed {
    match error {
        muster_store::StoreError::Database { detail, .. } if detail.contains("no dead letter") => {
            Failed::say(Exit::NotFound, format!("there is no dead letter {number}"))
        }
        error => error.into(),
    }
}
