//! `muster tenant import`

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, stream};
use muster_microsoft::Microsoft;
use muster_model::{Source, Span, Tag, Tenant, TenantReference, TenantState};
use muster_store::StoreError;
use serde::{Deserialize, Serialize};

use super::add::{self, Found, Warning};
use crate::commands::Context;
use crate::exit_code::{Exit, Failed};
use crate::shown::output::Tone;
use crate::shown::progress::Progress;

/// How many tenants Microsoft is asked about at once.
const SIDE_BY_SIDE: usize = 8;

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
    // Known beforehand: what is asked side by side must not wait for the store, which those that are added wait for, too.
    let known = known(&context.store.tenants().await?);
    let nobody_answers = AtomicBool::new(false);
    let rows = reader.records().map(|record| {
        let (line, row) = match &record {
            Ok(record) => (
                record.position(),
                record
                    .deserialize::<Row>(Some(&heads))
                    .map_err(|error| Failed::say(Exit::Failure, error.to_string())),
            ),
            Err(error) => (error.position(), Err(Failed::say(Exit::Failure, error.to_string()))),
        };
        let line = line.map_or(0, csv::Position::line);
        let (known, microsoft, nobody_answers) = (&known, &microsoft, &nobody_answers);
        async move { (line, look(row, known, microsoft, nobody_answers).await) }
    });
    // Microsoft is asked about several at once; they are added in the order of the file.
    let mut looked = stream::iter(rows).buffered(SIDE_BY_SIDE);
    let mut imported = Imported { added: 0, existing: 0, unverified: 0, failed: Vec::new() };
    let mut progress = Progress::open();
    while let Some((line, looked)) = looked.next().await {
        if let Ok((_, Some(found))) = &looked {
            progress.wipe();
            found.warn();
        }
        progress.show(context.clock.now(), || format!("line {line}: {} added", imported.added));
        match import_row(looked, args.since, context, &microsoft, &mut imported.unverified).await {
            Ok(true) => imported.added += 1,
            Ok(false) => imported.existing += 1,
            Err(failed) => imported.failed.push(FailedRow { line, reason: format!("{:#}", failed.error) }),
        }
    }
    progress.wipe();
    context.output.print(&imported, |output| {
        let mut text = format!(
            "{} added, {} there already, {} failed",
            imported.added,
            imported.existing,
            imported.failed.len()
        );
        if imported.unverified > 0 {
            text.push_str(&format!(
                "\n{} of those added without Microsoft's word that they are tenants of this cloud: `muster tenant check --all` asks again",
                imported.unverified
            ));
        }
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
    /// Of those added, the ones whose ids Microsoft does not know, or that nobody was asked about.
    unverified: usize,
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

/// A row, and what Microsoft says of its tenant; nothing where the tenant is known here, which is not asked for.
type Looked = Result<(Row, Option<Found>), Failed>;

/// Asks whose id or domain it is. Ids are no longer asked for once `nobody_answers`: each would wait as long.
async fn look(
    row: Result<Row, Failed>,
    known: &BTreeSet<String>,
    microsoft: &Microsoft,
    nobody_answers: &AtomicBool,
) -> Looked {
    let row = row?;
    if known.contains(&row.tenant.trim().to_lowercase()) {
        return Ok((row, None));
    }
    let found = match row.tenant.trim().parse() {
        Ok(TenantReference::Id(id)) if nobody_answers.load(Ordering::Relaxed) => {
            Found { id, warning: Some(Warning::NobodyAnswers(String::new())) }
        }
        _ => {
            let mut found = add::find(&row.tenant, microsoft).await?;
            // Told once, of the first.
            if let Some(Warning::NobodyAnswers(why)) = &mut found.warning
                && nobody_answers.swap(true, Ordering::Relaxed)
            {
                why.clear();
            }
            found
        }
    };
    Ok((row, Some(found)))
}

/// All by which these tenants may be named.
fn known(tenants: &[Tenant]) -> BTreeSet<String> {
    let names = tenants.iter().flat_map(|tenant| {
        let domain = tenant.domain.as_ref().map(ToString::to_string);
        [Some(tenant.id.to_string()), Some(tenant.slug.to_string()), domain]
    });
    names.flatten().map(|name| name.to_lowercase()).collect()
}

/// Whether the tenant is new.
async fn import_row(
    looked: Looked,
    since: Option<Span>,
    context: &Context,
    microsoft: &Microsoft,
    unverified: &mut usize,
) -> Result<bool, Failed> {
    let (row, Some(found)) = looked? else { return Ok(false) };
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
    match add::add_one(&args, found.id, TenantState::Active, context, microsoft).await {
        Ok(_) => {
            *unverified += usize::from(found.warning.is_some());
            Ok(true)
        }
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
