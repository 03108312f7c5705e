//! `muster fetch`: reads a source once, for a look. What `run` remembers is neither used nor changed.

use std::borrow::Cow;
use std::io::Write;
use std::time::Duration;

use comfy_table::Table;
use muster_microsoft::entra::credential::App;
use muster_microsoft::hunting::HuntTrouble;
use muster_microsoft::sources::{self, AfterFailure, Dialect, Rung, Target};
use muster_microsoft::{FetchError, FetchedPage, Microsoft};
use muster_model::{
    Clocks, Cursor, CursorPolicy, Purpose, Record, RecordHead, Severity, Source, Step, Tenant, json,
};
use muster_siem::formats::Events;
use muster_siem::sinks::{FormatName, FormatOptions};
use serde::Serialize;

use super::format_name::format_name;
use super::moment::Moment;
use super::{Context, Except};
use crate::access::apps::Apps;
use crate::collect::{Caller, Place, Taken, complete, missing, saved, shaped};
use crate::exit_code::{Exit, Failed};
use crate::shown::cause::plural;
use crate::shown::note::note;
use crate::shown::output::{Output, OutputFormat, Tone, duration, number, plain};
use crate::shown::progress::Progress;

/// How often what gets no answer is looked for in smaller parts.
const TRIES_MAX: u32 = 60;
/// How often in a row it is waited where Microsoft asks to, and for how long at most.
const WAITS_MAX: u32 = 10;
const WAIT_MAX: Duration = Duration::from_secs(120);
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
    /// Slugs, ids or domains, or tag:NAME; several by commas.
    #[arg(long, short, required_unless_present = "all", conflicts_with = "all", value_delimiter = ',')]
    tenant: Vec<String>,
    /// Every active tenant.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    except: Except,
    /// What to fetch; else the first source of each tenant.
    #[arg(long)]
    source: Option<Source>,
    /// The beginning, by the time of the last update: 24h, 2026-11-01 or 2026-11-01T08:30:00Z.
    #[arg(long, default_value = "24h", value_name = "TIME")]
    since: Moment,
    /// The end; else whatever is newest.
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// Only records of this severity and worse; those without one as well.
    #[arg(long)]
    severity: Option<Severity>,
    /// Only the record with this id, whenever it was updated; repeat for several.
    #[arg(long, value_name = "ID", conflicts_with_all = ["since", "until", "severity", "limit"])]
    id: Vec<String>,
    /// Print in this format, one record a line, instead of as a table.
    #[arg(long, short, value_parser = format_name())]
    format: Option<FormatName>,
    /// At most so many records of each tenant.
    #[arg(long, default_value_t = 10_000)]
    limit: u32,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    cursor(args, context.clock.now())?;
    let microsoft = context.microsoft()?;
    let apps = context.apps().await?;
    let tenants = context.chosen_to_read(&args.tenant, &args.except).await?;
    let mut print = Printer {
        args,
        output: context.output,
        rows: Vec::new(),
        events: Events::new(),
        printed: 0,
        progress: Progress::of(context.output),
        began: context.clock.now(),
        place: (0, tenants.len()),
    };
    let (mut failed, mut partly) = (0, 0);
    for (index, tenant) in tenants.iter().enumerate() {
        print.place.0 = index + 1;
        if let Err(failure) = one_tenant(args, context, (&microsoft, &apps), tenant, &mut print).await {
            // A closed pipe ends it all; anything else is this tenant's trouble only.
            if failure.error.downcast_ref::<std::io::Error>().is_some() {
                return Err(failure);
            }
            print.progress.wipe();
            note!("muster: {}: {:#}", tenant.slug, failure.error);
            match failure.exit {
                Exit::Partly | Exit::NotFound => partly += 1,
                _ => failed += 1,
            }
        }
    }
    print.end()?;
    match (failed, partly) {
        (0, 0) => Ok(Exit::Success),
        (failed, _) if failed == tenants.len() => Ok(Exit::Microsoft),
        (0, _) if !args.id.is_empty() && print.printed == 0 => Ok(Exit::NotFound),
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
    if let Some(stream) = args.source.filter(|source| source.stream().is_some()) {
        let said = format!(
            "Microsoft is not asked for `{stream}`: its rows lie in a storage account, and `muster run` reads them there"
        );
        return Err(Failed::say(Exit::Usage, said));
    }
    let Some(source) = args.source.or_else(|| tenant.asked().next()) else {
        let said = format!("it has no source: say --source {}", Source::GraphAlerts);
        return Err(Failed::say(Exit::Usage, said));
    };
    let reading = Reading { microsoft, app: &app, tenant, source, place: Place::uncounted() };
    if args.id.is_empty() {
        span(args, context, &reading, print).await
    } else {
        by_id(args, &reading, print).await
    }
}

/// Which source of which tenant is read.
struct Reading<'a> {
    microsoft: &'a Microsoft,
    app: &'a App,
    tenant: &'a Tenant,
    source: Source,
    place: Place,
}

impl Reading<'_> {
    async fn fetch(&self, target: &Target) -> Result<FetchedPage, FetchError> {
        self.caller().fetch(target).await
    }

    fn caller(&self) -> Caller<'_> {
        Caller {
            microsoft: self.microsoft,
            app: self.app,
            tenant: self.tenant.id,
            source: self.source,
            purpose: Purpose::Live,
            place: &self.place,
        }
    }

    /// The records with what belongs to them, and hashes of those that had to come without.
    async fn completed<'a>(
        &self,
        rung: Rung,
        records: Vec<(RecordHead, &'a str)>,
    ) -> Result<(Vec<(RecordHead, Cow<'a, str>)>, Vec<u64>), FetchError> {
        let (Rung::Each(_) | Rung::ByItself(_)) = rung else {
            let as_they_are = records.into_iter().map(|(head, body)| (head, body.into())).collect();
            return Ok((as_they_are, Vec::new()));
        };
        let (mut left, mut all, mut bare) = (records.into_iter(), Vec::new(), Vec::new());
        while !left.as_slice().is_empty() {
            let completed = complete(&self.caller(), rung, &mut left).await;
            if let Some(error) = completed.ended {
                return Err(error);
            }
            all.extend(completed.records.into_iter().map(|(head, body)| (head, body.into())));
            bare.extend(completed.bare);
        }
        Ok((all, bare))
    }
}

/// Where reading begins, and where it ends.
fn cursor(args: &Args, now: jiff::Timestamp) -> Result<Cursor, Failed> {
    let since = args.since.seen_at(now);
    match args.until.map(|until| until.seen_at(now)) {
        None => Ok(Cursor::starting(since)),
        Some(until) if since < until => Ok(Cursor::spanning(since, until, None)),
        Some(until) => {
            let said = format!("there is nothing between {since:.0} and {until:.0}: say --since as well");
            Err(Failed::say(Exit::Usage, said))
        }
    }
}

/// Everything of a span, read as `run` reads.
async fn span(
    args: &Args,
    context: &Context,
    reading: &Reading<'_>,
    print: &mut Printer<'_>,
) -> Result<(), Failed> {
    let (source, now) = (reading.source, context.clock.now());
    let (since, mut cursor) = (args.since.seen_at(now), cursor(args, now)?);
    let limits = &sources::declaration(source).limits;
    let saved = saved(&context.settings.hunts, source).map_err(|error| Failed::new(Exit::NotFound, error))?;
    let (mut left, mut failures, mut waits) = (args.limit, 0, 0);
    let mut seen = std::collections::HashSet::new();
    let mut step = Step::Continue;
    while left > 0 && step == Step::Continue {
        let clocks = Clocks { local: context.clock.now(), server: None };
        // With a filter of our own, many may have to be read for a few.
        let top = if args.severity.is_none() { Some(left.max(50)) } else { None };
        let request = match saved {
            Some(saved) => saved.request(&cursor, clocks),
            None => sources::request(source, &cursor, clocks, top),
        };
        let page = match reading.fetch(&request.target).await {
            Ok(page) => page,
            Err(FetchError::Throttled { wait, .. } | FetchError::OverBudget { wait, .. })
                if waits < WAITS_MAX && wait <= WAIT_MAX =>
            {
                waits += 1;
                print.progress.show(clocks.local, || {
                    format!("{}: Microsoft asks to wait for {} s", reading.tenant.slug, wait.as_secs())
                });
                tokio::time::sleep(wait).await;
                continue;
            }
            Err(error) => match sources::after_failure(source, &mut cursor, &error, failures, clocks) {
                AfterFailure::AskAgain => continue,
                AfterFailure::Search if failures < TRIES_MAX => {
                    failures += 1;
                    continue;
                }
                _ => return Err(Failed::microsoft(error)),
            },
        };
        let owns = |link: &str| reading.microsoft.owns(source, link);
        let shaped = match shaped(saved, page) {
            Err(HuntTrouble::NotAPage(error)) => Err(error),
            Err(error) => return Err(Failed::new(Exit::Settings, error)),
            Ok(page) => Ok(page),
        };
        let taken = shaped
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|page| Taken::apart(page, (source, saved), request.top, clocks, owns));
        let taken = match taken {
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
        let Taken { mut records, mut summary, .. } = taken;
        records.retain(|(head, _)| args.severity.is_none_or(|least| head.severity.passes(least)));
        let (records, bare) = reading.completed(request.rung, records).await.map_err(Failed::microsoft)?;
        summary.unreadable.extend(bare);
        for (head, body) in &records {
            // What does not fit into one page is asked for in smaller parts, which give some of it again.
            if left > 0 && seen.insert((head.id.clone(), head.updated_at, head.hash)) {
                print.record(reading, head, body)?;
                left -= 1;
            }
        }
        (cursor, step) = cursor.after(&summary, &ONE_OFF, limits);
        (failures, waits) = (0, 0);
        let records = args.limit - left;
        let at = summary.times.iter().max().copied().unwrap_or(since);
        let until = args.until.map_or(now, |until| until.seen_at(now));
        let span =
            |from: jiff::Timestamp, to: jiff::Timestamp| to.duration_since(from).as_secs_f64().max(0.0);
        let share = span(since, at.min(until)) / span(since, until).max(1.0);
        let told = print.how_far(reading.tenant, u64::from(records), share, clocks.local);
        print.progress.show(clocks.local, || format!("{told}, up to {at:.0}"));
    }
    print.progress.wipe();
    if step == Step::Continue {
        let said = format!("stopped after {}; --limit allows more", plural(u64::from(args.limit), "record"));
        return Err(Failed::say(Exit::Partly, said));
    }
    match missing(&cursor) {
        Some(missing) => Err(Failed::say(Exit::Partly, format!("not everything could be read: {missing}"))),
        None => Ok(()),
    }
}

/// Single records, each by a call of its own.
async fn by_id(args: &Args, reading: &Reading<'_>, print: &mut Printer<'_>) -> Result<(), Failed> {
    if reading.source.hunt().is_some() {
        let said = "the rows of a saved query are asked for by time only: leave --id off";
        return Err(Failed::say(Exit::Usage, said));
    }
    if sources::declaration(reading.source).dialect == Dialect::Since {
        let said = "the detections of the SIEM feed are asked for by time only: leave --id off";
        return Err(Failed::say(Exit::Usage, said));
    }
    for id in &args.id {
        let mut found = Err(Failed::say(Exit::Failure, "the source declares no way to read a record"));
        for rung in sources::declaration(reading.source).ladder {
            found = one_record(id, *rung, reading, print).await;
            // Where what belongs to it cannot come with it, it is asked for by itself.
            if !matches!(&found, Err(failed) if failed.exit == Exit::Microsoft) {
                break;
            }
        }
        found?;
    }
    Ok(())
}

async fn one_record(
    id: &str,
    rung: Rung,
    reading: &Reading<'_>,
    print: &mut Printer<'_>,
) -> Result<(), Failed> {
    let page = match reading.fetch(&sources::one(reading.source, id, rung)).await {
        Err(FetchError::BadRequest { status: 404, .. }) => {
            return Err(Failed::say(Exit::NotFound, format!("Microsoft knows no record `{}`", plain(id))));
        }
        page => page.map_err(Failed::microsoft)?,
    };
    let body = std::str::from_utf8(&page.body).map_err(Failed::microsoft)?;
    let body = body.trim_start_matches('\u{feff}').trim();
    let head = RecordHead::read(reading.source.kind(), body).map_err(Failed::microsoft)?;
    // What comes by itself is whole.
    let rung = if matches!(rung, Rung::ByItself(_)) { Rung::Plain } else { rung };
    let (records, bare) = reading.completed(rung, vec![(head, body)]).await.map_err(Failed::microsoft)?;
    for (head, body) in &records {
        print.record(reading, head, body)?;
    }
    match (&page.partial, bare.is_empty()) {
        (None, true) => Ok(()),
        (Some(partial), _) => {
            let said = format!("Microsoft leaves out what {} has", plain(partial));
            Err(Failed::say(Exit::Partly, said))
        }
        (None, false) => {
            let said = format!("what belongs to `{}` could not be read", plain(id));
            Err(Failed::say(Exit::Partly, said))
        }
    }
}

/// Prints records as they come, or gathers them for a table.
struct Printer<'a> {
    args: &'a Args,
    output: Output,
    rows: Vec<Row>,
    events: Events,
    printed: u64,
    progress: Progress,
    began: jiff::Timestamp,
    /// Which tenant of how many is read.
    place: (usize, usize),
}

impl Printer<'_> {
    /// How far it has come, with `share` of this tenant's span behind it; how fast, and how long the rest will take.
    fn how_far(&self, tenant: &Tenant, records: u64, share: f64, now: jiff::Timestamp) -> String {
        let (index, of) = self.place;
        let place = if of > 1 { format!(" ({index} of {of})") } else { String::new() };
        let passed = now.duration_since(self.began).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "what is foretold is rough")]
        let (done, rate) =
            ((index as f64 - 1.0 + share) / of as f64, self.printed as f64 / passed.max(0.001));
        let left = Duration::try_from_secs_f64(passed / done.max(1e-6) - passed).unwrap_or_default();
        let pace = match passed > 3.0 && done > 0.0 {
            true => format!(" · {rate:.0}/s · {} left", duration(left)),
            false => String::new(),
        };
        format!("{}{place}: {} records{pace}", tenant.slug, number(records))
    }

    fn record(&mut self, reading: &Reading<'_>, head: &RecordHead, body: &str) -> Result<(), Failed> {
        let (tenant, kind) = (reading.tenant, reading.source.kind());
        self.printed += 1;
        let Some(format) = self.args.format else {
            self.rows.push(row(tenant, head, body));
            return Ok(());
        };
        self.events.clear();
        let format = format.with(&FormatOptions::default());
        let written =
            format.write(kind, Record { head, body, replay: None }, &tenant.label(), &mut self.events);
        written.map_err(|error| Failed::say(Exit::Failure, format!("record {}: {error}", head.id)))?;
        self.progress.wipe();
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
        format!("{table}\n\n{}", plural(self.rows.len() as u64, "record"))
    }
}

fn row(tenant: &Tenant, head: &RecordHead, body: &str) -> Row {
    let (mut title, mut status) = (String::new(), String::new());
    let skimmed = json::skim::fields(body, |key, value| match key {
        "title" | "displayName" | "incidentName" => {
            title = json::text(value).unwrap_or_default().chars().take(200).collect();
        }
        "status" => status = json::text(value).unwrap_or_default().chars().take(40).collect(),
        _ => {}
    });
    debug_assert!(skimmed.is_ok(), "a record is JSON");
    let tenant = tenant.slug.to_string();
    Row { tenant, id: head.id.clone(), severity: head.severity, status, updated_at: head.updated_at, title }
}
