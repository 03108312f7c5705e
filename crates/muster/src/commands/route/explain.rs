//! `muster route explain`

use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::Timestamp;
use muster_model::{
    Asked, Record, RecordHead, RecordKind, Redacted, RouteFacts, Severity, Source, Tenant, TenantState, json,
};
use muster_store::TenantKey;
use serde::Serialize;

use crate::commands::Context;
use crate::commands::recorded::{File, record_kind};
use crate::config::{Fit, Objection, RouteSettings, Words};
use crate::exit_code::{Exit, Failed};
use crate::redactions::Redactions;
use crate::routing::Router;
use crate::shown::output::{Output, Tone, plain};

/// So many records are explained.
const RECORDS_MAX: usize = 100;

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["file", "ids"])))]
pub(crate) struct Args {
    /// A file of records, as Microsoft's APIs give them; `-` for standard input.
    file: Option<PathBuf>,
    /// A record that the journal holds, in all its versions there; repeat for several.
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<String>,
    /// Whose they are: slug, id or domain. Left out, what the record says, or all for `--id`.
    #[arg(long, short)]
    tenant: Option<String>,
    /// Which source they come from; left out, the one that gives records of this kind.
    #[arg(long)]
    source: Option<Source>,
    /// What kind of record is in the file, where its fields do not tell.
    #[arg(long, value_parser = record_kind)]
    kind: Option<RecordKind>,
}

/// A record to explain.
struct Subject {
    tenant: Tenant,
    source: Source,
    head: RecordHead,
    body: String,
}

/// What becomes of a record.
#[derive(Serialize)]
struct Explained {
    id: String,
    tenant: String,
    source: Source,
    updated_at: Option<Timestamp>,
    severity: Severity,
    status: Vec<String>,
    services: Vec<String>,
    categories: Vec<String>,
    routes: Vec<Judged>,
    sinks: Vec<ToSink>,
    /// Where there is no sink, whether that is only for what the record says.
    filtered: bool,
}

#[derive(Serialize)]
struct Judged {
    route: String,
    takes: bool,
    /// Everything that is against it.
    why_not: Vec<String>,
    sinks: Vec<String>,
}

/// What a sink gets.
#[derive(Serialize)]
struct ToSink {
    sink: String,
    /// Fields that it may not see.
    dropped: u64,
    masked: u64,
    /// Why it gets none of it: the record would become a dead letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let records = match &args.file {
        Some(file) => of_file(file, args, context).await?,
        None => of_journal(args, context).await?,
    };
    let router = Router::new(context.settings.routes.clone());
    let explained: Vec<Explained> =
        records.iter().map(|record| explain(record, &context.settings.routes, &router)).collect();
    context.output.print(&explained, |output| {
        explained.iter().map(|explained| shown(explained, output)).collect::<Vec<_>>().join("\n\n")
    })
}

async fn of_file(file: &std::path::Path, args: &Args, context: &Context) -> Result<Vec<Subject>, Failed> {
    let failed = |unread: &crate::commands::recorded::Unread| {
        let exit = if unread.is_missing { Exit::NotFound } else { Exit::Failure };
        Failed::say(exit, unread.to_string())
    };
    let named = match &args.tenant {
        Some(name) => Some(context.store.tenant(TenantKey::Name(name)).await?),
        None => None,
    };
    let read = File::read(file).map_err(|unread| failed(&unread))?;
    let mut records = Vec::new();
    for recorded in read.records(args.kind).take(RECORDS_MAX) {
        let recorded = recorded.map_err(|unread| failed(&unread))?;
        let body = recorded.body();
        let tenant = match (&named, tenant_id(body)) {
            (Some(tenant), _) => tenant.clone(),
            (None, Some(id)) => context.store.tenant(TenantKey::Name(&id)).await?,
            (None, None) => {
                let said =
                    format!("{}: the record does not say whose it is: say it with --tenant", recorded.name);
                return Err(Failed::say(Exit::Usage, said));
            }
        };
        let source = match args.source {
            Some(source) if source.kind() != recorded.kind => {
                let said = format!("{}: it is a {}, and {source} gives none", recorded.name, recorded.kind);
                return Err(Failed::say(Exit::Usage, said));
            }
            Some(source) => source,
            None => source_of(recorded.kind, &tenant).ok_or_else(|| {
                let said = format!("{}: no source gives a {}", recorded.name, recorded.kind);
                Failed::say(Exit::Usage, said)
            })?,
        };
        records.push(Subject { tenant, source, head: recorded.head.clone(), body: body.to_owned() });
    }
    if records.is_empty() {
        return Err(Failed::say(Exit::Failure, format!("{}: there is no record in it", file.display())));
    }
    Ok(records)
}

/// The source that gives records of a kind: first of all one that the tenant is read by.
fn source_of(kind: RecordKind, tenant: &Tenant) -> Option<Source> {
    let mut all = tenant.sources.iter().copied().chain(Source::ALL);
    all.find(|source| source.kind() == kind)
}

fn tenant_id(body: &str) -> Option<String> {
    let mut id = None;
    let skimmed = json::skim::fields(body, |key, value| {
        if matches!(key, "tenantId" | "aadTenantId" | "TenantId") {
            id = json::text(value).map(std::borrow::Cow::into_owned).or(id.take());
        }
    });
    skimmed.ok().and(id)
}

/// The versions of records that the journal holds. Only the batches are opened in which they stand.
async fn of_journal(args: &Args, context: &Context) -> Result<Vec<Subject>, Failed> {
    let asked = match &args.tenant {
        Some(name) => Some(context.store.tenant(TenantKey::Name(name)).await?.id),
        None => None,
    };
    let tenants = context.store.tenants().await?;
    let (mut found, mut damaged) = (Vec::new(), None);
    for id in args.ids.iter().collect::<BTreeSet<_>>() {
        for version in context.store.trace(asked, id).await? {
            let tenant = tenants.iter().find(|tenant| tenant.id == version.tenant);
            let Some(tenant) = tenant.filter(|tenant| tenant.state != TenantState::Offboarded) else {
                continue;
            };
            if args.source.is_some_and(|source| source != version.source) || found.len() == RECORDS_MAX {
                continue;
            }
            let before = version.batch.saturating_sub(1);
            let slice = context.store.journal_slice(before, Some(tenant.id), Timestamp::MIN).await?;
            // Pruned, or about to be fetched again.
            let Some(slice) = slice.filter(|slice| slice.batch == version.batch) else { continue };
            match slice.records {
                Ok(batch) => {
                    let record = batch.record(usize::try_from(version.place).unwrap_or(usize::MAX));
                    found.extend(record.map(|record| Subject {
                        tenant: tenant.clone(),
                        source: version.source,
                        head: record.head.clone(),
                        body: record.body.to_owned(),
                    }));
                }
                Err(reason) => damaged = Some((id, version.batch, reason)),
            }
        }
    }
    match (found.is_empty(), damaged) {
        (false, _) => Ok(found),
        (true, Some((id, batch, reason))) => {
            let said = format!(
                "batch {batch} of the journal, which holds record `{}`, cannot be read: {}; `muster run` fetches it again, and `muster fetch --id` asks Microsoft now",
                plain(id),
                plain(&reason)
            );
            Err(Failed::say(Exit::Failure, said))
        }
        (true, None) => {
            let ids = args.ids.iter().map(|id| format!("`{}`", plain(id))).collect::<Vec<_>>().join(", ");
            let said = format!(
                "the journal holds no record {ids}; what has left it can be given as a file (`muster fetch --id` asks Microsoft)"
            );
            Err(Failed::say(Exit::NotFound, said))
        }
    }
}

fn explain(asked: &Subject, routes: &[RouteSettings], router: &Router) -> Explained {
    let Subject { tenant, source, head, body } = asked;
    let all = Asked { status: true, service: true, category: true };
    let facts = RouteFacts::read(source.kind(), body, all);
    let record = Record { head, body, replay: None };
    let destination = router.routes(tenant, *source).destination(record);
    let judged = routes.iter().enumerate().map(|(index, route)| {
        let objections = route.objections(tenant, *source, head.severity, &facts);
        let say = |objection: &Objection| in_words(*objection, route, tenant, head.severity, &facts);
        Judged {
            route: route.called(index),
            takes: objections.is_empty(),
            why_not: objections.iter().map(say).collect(),
            sinks: route.sinks.clone(),
        }
    });
    let to_sink = |sink: &String| {
        let lost = Redactions::of(router, tenant, *source, sink)
            .map(|mut redactions| redactions.show(record, &mut String::new()));
        let (lost, trouble) = match lost {
            Some(Err(reason)) => (Redacted::default(), Some(reason)),
            Some(Ok(lost)) => (lost, None),
            None => (Redacted::default(), None),
        };
        ToSink { sink: sink.clone(), dropped: lost.dropped, masked: lost.masked, trouble }
    };
    Explained {
        id: head.id.clone(),
        tenant: tenant.slug.to_string(),
        source: *source,
        updated_at: head.updated_at,
        severity: head.severity,
        routes: judged.collect(),
        sinks: destination.sinks.iter().map(to_sink).collect(),
        filtered: destination.filtered,
        status: facts.statuses,
        services: facts.services,
        categories: facts.categories,
    }
}

fn in_words(
    objection: Objection,
    route: &RouteSettings,
    tenant: &Tenant,
    severity: Severity,
    facts: &RouteFacts,
) -> String {
    let asks = |what: &str, wanted: &Option<Words>, fit: Fit, said: &[String]| {
        let wanted = wanted.as_ref().map(|wanted| wanted.given.join(", ")).unwrap_or_default();
        match fit {
            Fit::NotSaid => format!("asks for the {what} {wanted}; the record says none"),
            _ => format!("asks for the {what} {wanted}; it is {}", said.join(", ")),
        }
    };
    match objection {
        Objection::Tenant => format!("is for the tenants {}", route.tenants.join(", ")),
        Objection::Tag => {
            let tags = tenant.tags.iter().map(|tag| tag.as_str()).collect::<Vec<_>>().join(", ");
            let has = if tags.is_empty() { "has none".to_owned() } else { format!("has {tags}") };
            let wanted = route.tags.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(", ");
            format!("asks for the tag {wanted}; {} {has}", tenant.slug)
        }
        Objection::Source => {
            let sources = route.sources.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            format!("is for {sources}")
        }
        Objection::Severity => format!("asks for {} or worse; it is {severity}", route.min_severity),
        Objection::Status(fit) => asks("status", &route.statuses, fit, &facts.statuses),
        Objection::Service(fit) => asks("service", &route.services, fit, &facts.services),
        Objection::Category(fit) => asks("category", &route.categories, fit, &facts.categories),
    }
}

fn shown(explained: &Explained, output: &Output) -> String {
    let said = |what: &str, words: &[String]| match words.is_empty() {
        true => format!("no {what}"),
        false => format!("{what} {}", words.join(", ")),
    };
    let mut text = plain(&format!(
        "{} · {} of {} · severity {} · {} · {} · {}",
        explained.id,
        explained.source,
        explained.tenant,
        explained.severity,
        said("status", &explained.status),
        said("service", &explained.services),
        said("category", &explained.categories),
    ));
    if explained.routes.is_empty() {
        text.push_str("\n\nthere is no route; add [[routes]] with `sinks`");
        return text;
    }
    let mut table = output.table(&["route", "takes it", "why not", "sinks"]);
    for route in &explained.routes {
        let tone = if route.takes { Tone::Good } else { Tone::Plain };
        table.add_row([
            output.text(&route.route),
            output.cell(if route.takes { "yes" } else { "no" }, tone),
            output.text(if route.why_not.is_empty() { "-".to_owned() } else { route.why_not.join("; ") }),
            output.text(route.sinks.join(", ")),
        ]);
    }
    let sinks = explained.sinks.iter().map(|to| match (&to.trouble, to.dropped, to.masked) {
        (Some(reason), ..) => format!("{} (not at all: {})", to.sink, plain(reason)),
        (None, 0, 0) => to.sink.clone(),
        (None, dropped, masked) => format!("{} (fields dropped: {dropped}, masked: {masked})", to.sink),
    });
    let sinks = sinks.collect::<Vec<_>>().join(", ");
    let goes = match (sinks.is_empty(), explained.filtered) {
        (false, _) => format!("it goes to {sinks}"),
        (true, true) => {
            "it goes to no sink: every route leaves it out for what it says (`filtered`)".to_owned()
        }
        (true, false) => "it goes to no sink, and is told of as unrouted".to_owned(),
    };
    text.push_str(&format!("\n\n{table}\n\n{goes}"));
    text
}
