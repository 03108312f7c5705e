//! `muster dead-letter …`

mod bulk;
mod export;

use std::collections::BTreeSet;
use std::io::Write;

use muster_model::TenantId;
use muster_store::DeadLetterNumber;

use self::bulk::{is_not_there, told};
use super::{Context, Except};
use crate::exit_code::{Exit, Failed};
use crate::shown::output::size;

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
    #[command(alias = "replay")]
    Retry(bulk::Args),
    /// Remove for good. The audit log keeps who did, and how many they were.
    Remove(bulk::Args),
    /// Write them out, a JSON object a line: the record, why it is dead, since when, and for which sink.
    Export(export::Args),
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
        DeadLetterCommand::Retry(args) => bulk::retry(args, context).await,
        DeadLetterCommand::Remove(args) => bulk::remove(args, context).await,
        DeadLetterCommand::Export(args) => export::run(args, context).await,
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
            let slug =
                slugs.get(&letter.tenant).map_or_else(|| letter.tenant.to_string(), ToString::to_string);
            let cells = [
                letter.number.0.to_string(),
                format!("{:.0}", letter.at),
                slug,
                told(letter),
                letter.record_id.clone().unwrap_or_else(|| "-".to_owned()),
                size(letter.body_bytes),
                letter.reason.clone(),
            ];
            table.add_row(cells.map(|text| output.text(text)));
        }
        table.to_string()
    })
}

fn not_found(number: u64, error: muster_store::StoreError) -> Failed {
    match is_not_there(&error) {
        true => Failed::say(Exit::NotFound, format!("there is no dead letter {number}")),
        false => error.into(),
    }
}
