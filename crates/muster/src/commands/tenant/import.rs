//! `muster tenant import`

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, stream};
use muster_microsoft::Microsoft;
use muster_model::{Slug, Source, Span, Tag, Tenant, TenantId, TenantReference, TenantState};
use muster_store::StoreError;
use serde::Serialize;

use super::add::{self, Found, Warning};
use super::list::{self, List, Purpose, Row};
use crate::commands::Context;
use crate::exit_code::{Exit, Failed};
use crate::read_file;
use crate::shown::note::note;
use crate::shown::output::{Tone, plain};
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
    /// Say what would be added, and change nothing. Microsoft is asked about the tenants all the same.
    #[arg(long)]
    dry_run: bool,
}

/// Adds what can be added; a line with a mistake is told and the rest goes on. Tenants that exist are left as they
/// are, so that a file can be imported again.
pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let bytes = bytes(&args.file)?;
    let list = List::read(&bytes, Purpose::Import)
        .map_err(|why| Failed::say(Exit::Failure, format!("{}: {why}", args.file.display())))?;
    if let Some(encoding) = list.encoding {
        note!("muster: the file is no UTF-8; it was read as {encoding}");
    }
    if !list.unused.is_empty() {
        note!("warning: columns that are not used: {}", plain(&list.unused.join(", ")));
    }
    let microsoft = context.microsoft()?;
    // Known beforehand: what is asked side by side must not wait for the store, which those that are added wait for, too.
    let tenants = context.store.tenants().await?;
    let known = known(&tenants);
    let nobody_answers = AtomicBool::new(false);
    let count = list.rows.len();
    let rows = list.rows.into_iter().map(|(line, row)| {
        let (known, microsoft, nobody_answers) = (&known, &microsoft, &nobody_answers);
        async move { (line, look(row, known, microsoft, nobody_answers).await) }
    });
    // Microsoft is asked about several at once; they are added in the order of the file.
    let mut looked = stream::iter(rows).buffered(SIDE_BY_SIDE);
    let mut imported = Imported {
        dry_run: args.dry_run,
        added: 0,
        existing: 0,
        unverified: 0,
        unused_columns: list.unused,
        failed: Vec::new(),
    };
    let mut planned = Planned::of(&tenants);
    let (mut progress, mut done) = (Progress::of(context.output), 0);
    while let Some((line, looked)) = looked.next().await {
        done += 1;
        if let Ok((_, Some(found))) = &looked {
            progress.wipe();
            found.warn();
        }
        progress.count(context.clock.now(), (done, count as u64), "tenants");
        match import_row(looked, (args.since, args.dry_run), context, &microsoft, &mut planned).await {
            Ok(Came::Added { verified }) => {
                imported.added += 1;
                imported.unverified += usize::from(!verified);
            }
            Ok(Came::Existing) => imported.existing += 1,
            Err(failed) => imported.failed.push(FailedRow { line, reason: failed.told() }),
        }
    }
    progress.wipe();
    context.output.print(&imported, |output| {
        let mut text = format!(
            "{} {}, {} there already, {} failed",
            imported.added,
            if imported.dry_run { "would be added" } else { "added" },
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

pub(super) fn bytes(file: &Path) -> Result<Vec<u8>, Failed> {
    let failed = |error: io::Error| Failed::unreadable(file, &error);
    let input: Box<dyn Read> = match file.to_str() {
        Some("-") => Box::new(io::stdin()),
        _ => read_file::open_or_pipe(file).map_err(failed)?,
    };
    let mut bytes = Vec::new();
    input.take(list::BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > list::BYTES_MAX {
        let message = format!("{} is larger than {} MiB: divide it", file.display(), list::BYTES_MAX >> 20);
        return Err(Failed::say(Exit::Failure, message));
    }
    Ok(bytes)
}

#[derive(Serialize)]
struct Imported {
    /// Whether nothing was changed.
    dry_run: bool,
    added: usize,
    existing: usize,
    /// Of those added, the ones whose ids Microsoft does not know, or that nobody was asked about.
    unverified: usize,
    unused_columns: Vec<String>,
    failed: Vec<FailedRow>,
}

#[derive(Serialize)]
struct FailedRow {
    line: u64,
    reason: String,
}

/// What came of a row.
enum Came {
    Added { verified: bool },
    Existing,
}

/// What is there, with what was added so far, or would have been.
struct Planned {
    ids: BTreeSet<TenantId>,
    slugs: BTreeSet<Slug>,
}

impl Planned {
    fn of(tenants: &[Tenant]) -> Self {
        let ids = tenants.iter().filter(|tenant| tenant.state != TenantState::Offboarded);
        Self {
            ids: ids.map(|tenant| tenant.id).collect(),
            slugs: tenants.iter().map(|tenant| tenant.slug.clone()).collect(),
        }
    }
}

/// A row, and what Microsoft says of its tenant; nothing where the tenant is known here, which is not asked for.
type Looked = Result<(Row, Option<Found>), Failed>;

/// Asks whose id or domain it is. Ids are no longer asked for once `nobody_answers`: each would wait as long.
async fn look(
    row: Result<Row, String>,
    known: &BTreeSet<String>,
    microsoft: &Microsoft,
    nobody_answers: &AtomicBool,
) -> Looked {
    let row = row.map_err(|why| Failed::say(Exit::Failure, why))?;
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

/// Adds a row's tenant; in a dry run, looks whether it could be.
async fn import_row(
    looked: Looked,
    (since, dry_run): (Option<Span>, bool),
    context: &Context,
    microsoft: &Microsoft,
    planned: &mut Planned,
) -> Result<Came, Failed> {
    let (row, Some(found)) = looked? else { return Ok(Came::Existing) };
    let source = words::<Source>(row.sources.as_deref())?;
    let tag = words::<Tag>(row.tags.as_deref())?;
    let args =
        add::Args { tenant: row.tenant, name: row.name, slug: row.slug, app: row.app, source, tag, since };
    let verified = found.warning.is_none();
    if dry_run {
        if !planned.ids.insert(found.id) {
            return Ok(Came::Existing);
        }
        let new = add::new_tenant(&args, found.id, TenantState::Active, context, microsoft, &planned.slugs)?;
        if !planned.slugs.insert(new.slug.clone()) {
            return Err(StoreError::TenantExists { field: "slug", value: new.slug.to_string() }.into());
        }
        return Ok(Came::Added { verified });
    }
    let tenant = (found.id, TenantState::Active);
    match add::add_one(&args, tenant, context, microsoft, &mut planned.slugs).await {
        Ok(_) => Ok(Came::Added { verified }),
        Err(failed) => match failed.error.downcast_ref::<StoreError>() {
            Some(StoreError::TenantExists { field: "id", .. }) => Ok(Came::Existing),
            _ => Err(failed),
        },
    }
}

/// The words of a field, separated by blanks, semicolons or commas.
pub(super) fn words<T>(field: Option<&str>) -> Result<Vec<T>, Failed>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let words =
        field.into_iter().flat_map(|field| field.split([' ', ';', ','])).filter(|word| !word.is_empty());
    words.map(|word| word.parse().map_err(|error: T::Err| Failed::new(Exit::Usage, error))).collect()
}
