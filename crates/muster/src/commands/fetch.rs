//! `muster fetch`: reads a source once, for a look. What `run` remembers is neither used nor changed.

use std::io::Write;
use std::time::Duration;

use comfy_table::Table;
use muster_microsoft::Microsoft;
use muster_microsoft::sources::{self, AfterFailure};
use muster_model::{
    Clocks, Cursor, CursorPolicy, Purpose, Record, RecordHead, Severity, Source, Span, Step, Tenant,
    TenantState, json,
};
use muster_siem::formats::Events;
use muster_siem::sinks::{FormatName, FormatOptions};
use muster_store::TenantKey;
use serde::Serialize;

use super::Context;
use super::format_name::format_name;
use crate::access::apps::Apps;
use crate::collect::{Taken, missing};
use crate::exit_code::{Exit, Failed};
use crate::shown::output::{Output, OutputFormat, Tone};

/// How often what gets no answer is looked for in smaller parts.
const TRIES_MAX: u32 = 60;
/// For a cursor that is thrown away afterwards.
const ONE_OFF: CursorPolicy = CursorPolicy { overlap: Duration::ZERO, overlap_max: Duration::ZERO };

#[derive(Serialize)]
struct Row {
    tenant: String,
    id: String,
    severity: Severity,
    status: String,
    updated_at: Option<jiff::Timestamp>,
    title: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Slug, id or domain; repeat for several.
    #[arg(long, short, required_unless_present = "all", conflicts_with = "all")]
    tenant: Vec<String>,
    /// Every active tenant.
    #[arg(long)]
    all: bool,
    /// What to fetch.
    #[arg(long, default_value = "graph_alerts")]
    source: Source,
    /// How far back, by the time of the last update.
    #[arg(long, default_value = "24h", value_name = "DURATION")]
    since: Span,
    /// Print in this format, one record a line, instead of as a table.
    #[arg(long, short, value_parser = format_name())]
    format: Option<FormatName>,
    /// At most so many records of each tenant.
    #[arg(long, default_value_t = 10_000)]
    limit: u32,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let microsoft = context.microsoft()?;
    let apps = context.apps().await?;
    let mut tenants = Vec::new();
    for name in &args.tenant {
        tenants.push(context.store.tenant(TenantKey::Name(name)).await?);
    }
    if args.all {
        tenants = context.store.tenants().await?;
        tenants.retain(|tenant| tenant.state == TenantState::Active);
    }
    let mut print = Printer { args, output: context.output, rows: Vec::new(), events: Events::new() };
    let (mut failed, mut partly) = (0, 0);
    for tenant in &tenants {
        if let Err(failure) = one_tenant(args, context, (&microsoft, &apps), tenant, &mut print).await {
            // A closed pipe ends it all; anything else is this tenant's trouble only.
            if failure.error.downcast_ref::<std::io::Error>().is_some() {
                return Err(failure);
            }
            eprintln!("muster: {}: {:#}", tenant.slug, failure.error);
            match failure.exit {
                Exit::Partly => partly += 1,
                _ => failed += 1,
            }
        }
    }
    print.end()?;
    match (failed, partly) {
        (0, 0) => Ok(Exit::Success),
        (failed, _) if failed == tenants.len() => Ok(Exit::Microsoft),
        _ => Ok(Exit::Partly),
    }
}

async fn one_tenant(
    args: &Args,
    context: &Context,
    (microsoft, apps): (&Microsoft, &Apps),
    tenant: &Tenant,
    print: &mut Printer<'_>,
) -> Result<(), Failed> {
    let app = apps
        .get(&tenant.app)
        .ok_or_else(|| Failed::say(Exit::Settings, format!("the settings name no app `{}`", tenant.app)))?;
    let (source, now) = (args.source, context.clock.now());
    let since = now.checked_sub(args.since.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let limits = &sources::declaration(source).limits;
    let mut cursor = Cursor::starting(since);
    let (mut left, mut failures) = (args.limit, 0);
    let mut seen = std::collections::HashSet::new();
    let mut step = Step::Continue;
    while left > 0 && step == Step::Continue {
        let clocks = Clocks { local: context.clock.now(), server: None };
        let request = sources::request(source, &cursor, clocks, Some(left.max(50)));
        let page = match microsoft.fetch(&app, tenant.id, source, Purpose::Live, &request.target).await {
            Ok(page) => page,
            Err(error) => match sources::after_failure(source, &mut cursor, &error, failures, clocks) {
                AfterFailure::AskAgain => continue,
                AfterFailure::Search if failures < TRIES_MAX => {
                    failures += 1;
                    continue;
                }
                _ => return Err(Failed::microsoft(error)),
            },
        };
        let owns = |link: &str| microsoft.owns(source, link);
        let taken = match Taken::apart(&page, source, request.top, clocks, owns) {
            Ok(taken) => taken,
            Err(error) => match sources::after_unreadable(source, &mut cursor, failures, clocks) {
                AfterFailure::Wait if failures > 0 => return Err(Failed::microsoft(error)),
                _ if failures >= TRIES_MAX => return Err(Failed::microsoft(error)),
                _ => {
                    failures += 1;
                    continue;
                }
            },
        };
        for (head, body) in &taken.records {
            // What does not fit into one page is asked for in smaller parts, which give some of it again.
            if left > 0 && seen.insert((head.id.clone(), head.updated_at, head.hash)) {
                print.record(tenant, head, body)?;
                left -= 1;
            }
        }
        (cursor, step) = cursor.after(&taken.summary, &ONE_OFF, limits);
        failures = 0;
    }
    if step == Step::Continue {
        eprintln!("muster: {}: stopped after {} records; --limit allows more", tenant.slug, args.limit);
    }
    match missing(&cursor) {
        Some(missing) => Err(Failed::say(Exit::Partly, format!("not everything could be read: {missing}"))),
        None => Ok(()),
    }
}

/// Prints records as they come, or gathers them for a table.
struct Printer<'a> {
    args: &'a Args,
    output: Output,
    rows: Vec<Row>,
    events: Events,
}

impl Printer<'_> {
    fn record(&mut self, tenant: &Tenant, head: &RecordHead, body: &str) -> Result<(), Failed> {
        let Some(format) = self.args.format else {
            self.rows.push(row(tenant, head, body));
            return Ok(());
        };
        self.events.clear();
        let format = format.with(&FormatOptions::default());
        let written =
            format.write(self.args.source.kind(), Record { head, body }, &tenant.label(), &mut self.events);
        written.map_err(|error| Failed::say(Exit::Failure, format!("record {}: {error}", head.id)))?;
        let mut out = std::io::stdout().lock();
        for event in self.events.iter() {
            out.write_all(event)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    fn end(&self) -> Result<(), Failed> {
        if self.args.format.is_some() {
            return Ok(());
        }
        self.output.print(&self.rows, |output| self.table(output))?;
        Ok(())
    }

    fn table(&self, output: &Output) -> String {
        let mut table: Table = output.table(&["updated", "tenant", "severity", "status", "title", "id"]);
        for row in &self.rows {
            let tone = match row.severity {
                Severity::High => Tone::Bad,
                Severity::Medium => Tone::Fair,
                _ => Tone::Plain,
            };
            table.add_row([
                output.text(row.updated_at.map_or_else(|| "-".to_owned(), |at| format!("{at:.0}"))),
                output.text(&row.tenant),
                output.cell(row.severity.as_str(), tone),
                output.text(&row.status),
                output.text(&row.title),
                output.text(&row.id),
            ]);
        }
        debug_assert_eq!(self.output.format, OutputFormat::Table);
        format!("{table}\n\n{} records", self.rows.len())
    }
}

fn row(tenant: &Tenant, head: &RecordHead, body: &str) -> Row {
    let (mut title, mut status) = (String::new(), String::new());
    let skimmed = json::skim::fields(body, |key, value| match key {
        "title" | "displayName" => title = json::text(value).unwrap_or_default().chars().take(200).collect(),
        "status" => status = json::text(value).unwrap_or_default().chars().take(40).collect(),
        _ => {}
    });
    debug_assert!(skimmed.is_ok(), "a record is JSON");
    let tenant = tenant.slug.to_string();
    Row { tenant, id: head.id.clone(), severity: head.severity, status, updated_at: head.updated_at, title }
}
