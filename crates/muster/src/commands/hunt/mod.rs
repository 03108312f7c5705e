//! `muster hunt`: asks a hunting query of all customers at once. Who asked what stands in the audit log; nothing else changes, and
//! `run` is not in its way: hunting has a quota of its own.

mod ask;
mod cells;
mod print;
mod timespan;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum as _;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use muster_microsoft::Fault;
use muster_microsoft::hunting::{HuntError, HuntingApi, HuntingQuery};
use muster_model::Tenant;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Context, Except};
use crate::access::apps::Apps;
use crate::exit_code::{Exit, Failed};
use crate::read_file;
use crate::shown::cause::plural;
use crate::shown::note::note;
use crate::shown::output::{Output, OutputFormat, number, plain};
use crate::shown::progress::Progress;
use crate::troubles::Troubles;
use ask::{Asker, NoRows};
use print::Printer;
use timespan::Timespan;

/// So many failed tenants are named once more at the end.
const NAMED_MAX: usize = 20;
/// How much of a query the audit log keeps, in characters.
const AUDITED_MAX: usize = 10_000;
/// A query longer than this was not written by a person.
const QUERY_BYTES_MAX: u64 = 1 << 20;
/// How often the progress is shown while no answer comes.
const TICK: Duration = Duration::from_millis(500);

/// Where it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ApiName {
    /// Microsoft Graph.
    Graph,
    /// Defender XDR, older.
    Xdr,
    /// Defender for Endpoint, older, devices only.
    Endpoint,
}

impl From<ApiName> for HuntingApi {
    fn from(name: ApiName) -> Self {
        match name {
            ApiName::Graph => Self::Graph,
            ApiName::Xdr => Self::Xdr,
            ApiName::Endpoint => Self::Endpoint,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The query, in KQL; `@FILE` reads it from a file.
    query: String,
    /// Slugs, ids or domains, tag:NAME, or `all`; several by commas.
    #[arg(long, short, required = true, value_delimiter = ',')]
    tenant: Vec<String>,
    #[command(flatten)]
    except: Except,
    /// How far back, for Graph: 7d, 24h, or an interval of ISO 8601 [default: as the query says, at most 30 days].
    #[arg(long, value_name = "SPAN")]
    timespan: Option<Timespan>,
    /// The API that is asked; each needs a permission of its own.
    #[arg(long, value_enum, default_value = "graph")]
    api: ApiName,
    /// How many tenants are asked at a time.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=100))]
    parallel: u16,
    /// How rows are printed: csv, ndjson and json as they come and whole, a table at the end and at most 1,000 rows.
    #[arg(long, short, default_value = "table", value_parser = formats())]
    output: OutputFormat,
}

/// In place of what other commands print by.
fn formats() -> impl TypedValueParser<Value = OutputFormat> {
    PossibleValuesParser::new(["table", "json", "ndjson", "csv"]).map(|name| match name.as_str() {
        "json" => OutputFormat::Json,
        "ndjson" => OutputFormat::Ndjson,
        "csv" => OutputFormat::Csv,
        _ => OutputFormat::Table,
    })
}

/// What has come so far.
#[derive(Default)]
struct Come {
    answers: usize,
    partly: usize,
    rows: u64,
    failed: Vec<String>,
    /// The same by what went wrong. A thousand tenants of one app whose secret has expired fail alike: that is told once.
    alike: BTreeMap<String, Vec<String>>,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let by = HuntingApi::from(args.api);
    if args.timespan.is_some() && by != HuntingApi::Graph {
        let said =
            "--timespan is Graph's; with --api xdr or endpoint, the query itself says how far back it looks";
        return Err(Failed::say(Exit::Usage, said));
    }
    let query = HuntingQuery {
        text: query(&args.query)?,
        timespan: args.timespan.as_ref().map(|timespan| timespan.0.clone()),
    };
    let microsoft = context.microsoft_for_hunting()?;
    if microsoft.cloud().lacks(by.api()) {
        let said = format!("the cloud `{}` has no such API", microsoft.cloud().name());
        return Err(Failed::say(Exit::Settings, said));
    }
    if let Some(end) = by.end() {
        note!(
            "muster: Microsoft ends this API on {} ({}): use --api {}",
            end.date,
            end.announcement,
            end.replacement
        );
    }
    // An app whose credential cannot be had is its tenants' trouble only.
    let apps = Apps::load_what_can_be_had(&context.settings, &context.store, &Troubles::default()).await?;
    let tenants = context.chosen_to_read(&args.tenant, &args.except).await?;
    // Before anything is asked: one that is interrupted has looked into customers' data, too.
    context.audit("hunt.asked", &args.tenant.join(","), asked(args, &query, tenants.len())).await?;
    let asker = Arc::new(Asker { microsoft, apps, by, query });
    let mut printer = Printer::new(args.output);
    let come = ask_all(args, context, &asker, &tenants, &mut printer).await?;
    print::flushed(|out| printer.end(out, context.output))?;
    tell(&come, &tenants);
    Ok(match (come.failed.len(), come.partly) {
        (0, 0) => Exit::Success,
        (failed, _) if failed == tenants.len() => Exit::Microsoft,
        _ => Exit::Partly,
    })
}

/// What the audit log says of it.
fn asked(args: &Args, query: &HuntingQuery, tenants: usize) -> serde_json::Value {
    let text: String = query.text.chars().take(AUDITED_MAX).collect();
    let cut = text.len() < query.text.len();
    let api = args.api.to_possible_value().expect("no API is hidden");
    serde_json::json!({
        "query": text,
        "cut": cut,
        "api": api.get_name(),
        "timespan": query.timespan,
        "tenants": tenants,
    })
}

/// Asks some at a time, and prints each answer when it is there.
async fn ask_all(
    args: &Args,
    context: &Context,
    asker: &Arc<Asker>,
    tenants: &[Tenant],
    printer: &mut Printer,
) -> Result<Come, Failed> {
    let at_a_time = Arc::new(Semaphore::new(usize::from(args.parallel)));
    let mut asked = JoinSet::new();
    for tenant in tenants.iter().cloned() {
        let (asker, at_a_time) = (Arc::clone(asker), Arc::clone(&at_a_time));
        asked.spawn(async move {
            let _place = at_a_time.acquire_owned().await.expect("the semaphore is never closed");
            let answer = asker.ask(&tenant).await;
            (tenant, answer)
        });
    }
    let mut come = Come::default();
    let mut progress = Progress::of(Output { format: args.output, ..context.output });
    loop {
        progress.show(context.clock.now(), || shown(&come, tenants.len()));
        let next = tokio::select! {
            next = asked.join_next() => next,
            () = tokio::time::sleep(TICK) => continue,
        };
        let Some(next) = next else { break };
        let (tenant, answer) = next.map_err(anyhow::Error::from)?;
        progress.wipe();
        match answer {
            Ok(answer) => {
                print::flushed(|out| printer.answer(&tenant, &answer, out))?;
                come.answers += 1;
                come.rows += answer.rows();
                if let Some(partial) = &answer.partial {
                    come.partly += 1;
                    note!("muster: {}: Microsoft leaves out what {} has", tenant.slug, plain(partial));
                }
                if answer.may_be_cut() {
                    note!(
                        "muster: {}: {} are as many as Microsoft gives; there may be more: ask in parts",
                        tenant.slug,
                        plural(answer.rows(), "row")
                    );
                }
            }
            Err(error) => {
                let (why, remedy) = (plain(&error.to_string()), remedy(&error, &tenant, asker.by));
                // A link to consent is each tenant's own.
                let link = format!("/{}/", tenant.id);
                let has_link = why.contains(&link) || remedy.contains(&link);
                let alike =
                    come.alike.entry(without_ids(&format!("{} {why} {remedy}", tenant.app))).or_default();
                if has_link || alike.is_empty() {
                    note!("muster: {}: {why}\n  → {remedy}", tenant.slug);
                }
                if !has_link {
                    alike.push(tenant.slug.to_string());
                }
                come.failed.push(tenant.slug.to_string());
            }
        }
    }
    Ok(come)
}

fn shown(come: &Come, tenants: usize) -> String {
    let done = come.answers + come.failed.len();
    let failed = match come.failed.len() {
        0 => String::new(),
        failed => format!(" · {failed} failed"),
    };
    format!("{done} of {}{failed} · {}", plural(tenants as u64, "tenant"), plural(come.rows, "row"))
}

/// What came of it all, for a person.
fn tell(come: &Come, tenants: &[Tenant]) {
    let rows = plural(come.rows, "row");
    let (of, failed) = (number(come.answers as u64), come.failed.len());
    let all = plural(tenants.len() as u64, "tenant");
    if failed == 0 {
        note!("{rows} of {all}");
        return;
    }
    for alike in come.alike.values() {
        if let [first, others @ ..] = alike.as_slice()
            && !others.is_empty()
        {
            let tenants = plural(others.len() as u64, "other tenant");
            note!("muster: as in {first}, so in {tenants}: {}", named(others));
        }
    }
    note!("{rows} of {of} of {all}; {failed} failed: {}", named(&come.failed));
}

/// So many names at most, and how many more there are.
fn named(names: &[String]) -> String {
    let all = names[..names.len().min(NAMED_MAX)].join(", ");
    if names.len() > NAMED_MAX { format!("{all} and {} more", names.len() - NAMED_MAX) } else { all }
}

/// What went wrong, without long words that have digits in them, which are ids of tenants and requests and times, and without what is
/// waited. The app's name stays, and so does a status.
fn without_ids(text: &str) -> String {
    let is_id = |word: &&str| {
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        digits > 0 && (word.len() >= 16 || digits == word.len() && digits != 3)
    };
    text.split_whitespace().filter(|word| !is_id(word)).collect::<Vec<_>>().join(" ")
}

/// The query, or what a file says it is.
fn query(given: &str) -> Result<String, Failed> {
    let text = match given.strip_prefix('@') {
        None => given.to_owned(),
        Some(file) => {
            let file = std::path::Path::new(file);
            read_file::text(file, QUERY_BYTES_MAX).map_err(|error| Failed::unreadable(file, &error))?
        }
    };
    if text.trim().is_empty() {
        return Err(Failed::say(Exit::Usage, "the query is empty"));
    }
    Ok(text)
}

/// What a person can do about it.
fn remedy(error: &NoRows, tenant: &Tenant, by: HuntingApi) -> String {
    use muster_microsoft::FetchError;
    use muster_microsoft::api::answers::Case;
    let again = "ask again later";
    let less = "ask for less (`| where`, `| project`, `| take`, a shorter --timespan), or ask again";
    let error = match error {
        NoRows::App(_) => return "mend the app in the settings: `muster validate` tells more".to_owned(),
        NoRows::Hunt(HuntError::Unreadable(_)) => return less.to_owned(),
        NoRows::Hunt(HuntError::Fetch(error)) => error,
    };
    match (error, error.case()) {
        (FetchError::MissingRole { role, .. }, _) => {
            let api = by.permissions().first().map_or("", |permission| permission.resource.name());
            format!(
                "before that, the app itself must ask for it: `muster app register {} --permission '{api}/{role}'`",
                tenant.app
            )
        }
        (_, Case::BadRequest) => {
            "mend the query; a table that is missing in one tenant only comes with a licence that it lacks"
                .to_owned()
        }
        (_, Case::TooLarge | Case::Timeout | Case::Failed) => less.to_owned(),
        _ => match error.fault() {
            Fault::Throttled | Fault::ApiDown | Fault::Other => again.to_owned(),
            fault => fault.remedy().to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_alike_but_for_ids_is_alike() {
        let alike = |one: &str, other: &str| without_ids(one) == without_ids(other);
        let refused = |app: &str, status: u16, id: &str, wait: u32| {
            format!("{app} HTTP {status}, request-id {id} at 2026-11-01T00:00:0{}Z, wait {wait} s", wait % 10)
        };
        let ids = ["0a1b2c3d-0000-4000-8000-000000000001", "0a1b2c3d-0000-4000-8000-000000000002"];
        assert!(alike(&refused("eu1", 500, ids[0], 1800), &refused("eu1", 500, ids[1], 7)));
        assert!(!alike(&refused("eu1", 500, ids[0], 1800), &refused("eu2", 500, ids[0], 1800)));
        assert!(!alike(&refused("eu1", 500, ids[0], 1800), &refused("eu1", 503, ids[0], 1800)));
    }
}
