//! `muster tenant import`

use std::io::{self, Read};
use std::path::PathBuf;

use muster_microsoft::Microsoft;
use muster_model::{Source, Span, Tag, TenantState};
use muster_store::{StoreError, TenantKey};
use serde::{Deserialize, Serialize};

use super::add;
use crate::commands::Context;
use crate::exit_code::{Exit, Failed};
use crate::shown::output::Tone;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file; `-` for standard input.
    file: PathBuf,
    /// How far back the new tenants are read.
    #[arg(long, value_name = "DURATION")]
    since: Option<Span>,
}

/// Adds what can be added; a line with a mistake is told and the rest goes on. Tenants that exist are left as they
/// are, so that a file can be imported again.
pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let file = &args.file;
    let input: Box<dyn Read> = match file.to_str() {
        Some("-") => Box::new(io::stdin()),
        _ => Box::new(std::fs::File::open(file).map_err(|error| {
            Failed::say(Exit::Failure, format!("{} cannot be read: {error}", file.display()))
        })?),
    };
    let microsoft = context.microsoft()?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_reader(input);
    // A file from a spreadsheet may name both an id and a domain; the id is surer.
    let heads = reader.headers().map_err(|error| Failed::new(Exit::Failure, error))?;
    let heads = rename_heads(heads);
    let mut ask = true;
    let mut imported = Imported { added: 0, existing: 0, failed: Vec::new() };
    for record in reader.records() {
        let (line, row) = match &record {
            Ok(record) => (
                record.position(),
                record.deserialize::<Row>(Some(&heads)).map_err(|error| error.to_string()),
            ),
            Err(error) => (error.position(), Err(error.to_string())),
        };
        let line = line.map_or(0, csv::Position::line);
        let result = match row {
            Ok(row) => import_row(row, args.since, context, &microsoft, &mut ask).await,
            Err(error) => Err(Failed::say(Exit::Failure, error)),
        };
        match result {
            Ok(true) => imported.added += 1,
            Ok(false) => imported.existing += 1,
            Err(failed) => imported.failed.push(FailedRow { line, reason: format!("{:#}", failed.error) }),
        }
    }
    context.output.print(&imported, |output| {
        let mut text = format!(
            "{} added, {} there already, {} failed",
            imported.added,
            imported.existing,
            imported.failed.len()
        );
        if !imported.failed.is_empty() {
            let mut table = output.table(&["line", "why"]);
            for row in &imported.failed {
                table.add_row([output.text(row.line.to_string()), output.cell(&row.reason, Tone::Bad)]);
            }
            text.push_str(&format!("\n\n{table}"));
        }
        text
    })?;
    Ok(if imported.failed.is_empty() { Exit::Success } else { Exit::Partly })
}

#[derive(Deserialize)]
struct Row {
    #[serde(alias = "tenant_id", alias = "id", alias = "domain")]
    tenant: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    slug: Option<String>,
    #[serde(default)]
    app: Option<String>,
    /// Separated by blanks or semicolons, as are tags.
    #[serde(default)]
    sources: Option<String>,
    #[serde(default)]
    tags: Option<String>,
}

#[derive(Serialize)]
struct Imported {
    added: usize,
    existing: usize,
    failed: Vec<FailedRow>,
}

#[derive(Serialize)]
struct FailedRow {
    line: u64,
    reason: String,
}

fn rename_heads(heads: &csv::StringRecord) -> csv::StringRecord {
    let has = |name: &str| heads.iter().any(|head| head.eq_ignore_ascii_case(name));
    let best = ["tenant", "tenant_id", "id", "domain"].into_iter().find(|name| has(name)).unwrap_or("tenant");
    heads
        .iter()
        .map(|head| {
            let head = head.trim_start_matches('\u{feff}').to_ascii_lowercase();
            match head.as_str() {
                name if name == best => "tenant".to_owned(),
                "tenant" | "tenant_id" | "id" | "domain" => format!("other {head}"),
                _ => head,
            }
        })
        .collect()
}

async fn import_row(
    row: Row,
    since: Option<Span>,
    context: &Context,
    microsoft: &Microsoft,
    ask: &mut bool,
) -> Result<bool, Failed> {
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    let source = words::<Source>(row.sources.as_deref())?;
    let tag = words::<Tag>(row.tags.as_deref())?;
    let args = add::Args {
        tenant: row.tenant,
        name: filled(row.name),
        slug: filled(row.slug),
        app: filled(row.app),
        source,
        tag,
        since,
    };
    match context.store.tenant(TenantKey::Name(args.tenant.trim())).await {
        Ok(_) => return Ok(false),
        Err(StoreError::NoTenant(_)) => {}
        Err(error) => return Err(error.into()),
    }
    match add::add_one(&args, TenantState::Active, context, microsoft, ask).await {
        Ok(_) => Ok(true),
        Err(failed) => match failed.error.downcast_ref::<StoreError>() {
            Some(StoreError::TenantExists { field: "id", .. }) => Ok(false),
            _ => Err(failed),
        },
    }
}

/// The words of a field, separated by blanks, semicolons or commas.
fn words<T>(field: Option<&str>) -> Result<Vec<T>, Failed>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let words =
        field.into_iter().flat_map(|field| field.split([' ', ';', ','])).filter(|word| !word.is_empty());
    words.map(|word| word.parse().map_err(|error: T::Err| Failed::new(Exit::Usage, error))).collect()
}
