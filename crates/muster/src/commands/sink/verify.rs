//! `muster sink verify`: whether what a sink acknowledged is there, by what its receiver says when it is asked for it.
//!
//! The journal tells what was delivered, a few batches at a time, and so much is asked for at once: however much there is, a
//! few thousand records are in memory (of a file, a few hundred thousand, since it is read anew for each such part).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use muster_model::{Record, Source, Tenant};
use muster_siem::sinks::{FormatName, RECORDS_MAX, SearchedFor, SinkSettings, SplunkSearch};
use muster_store::{Destination, ReplayRequest, ReplayTo, Standing, StandingsStep};
use serde::Serialize;

use super::diff::known_sinks;
use super::written::{self, Version};
use crate::commands::moment::Moment;
use crate::commands::{Context, Except};
use crate::exit_code::{Exit, Failed};
use crate::shown::output::{Tone, number, plain};
use crate::shown::progress::Progress;
use crate::wiring;

/// So many records are named.
const NAMED_MAX: usize = 20;
/// So many records are looked for in one reading of a file.
const OF_A_FILE_MAX: usize = 200_000;
/// What was accepted since may not have shown yet in a search.
const SETTLED: SignedDuration = SignedDuration::from_secs(60);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The sink.
    sink: String,
    /// Only these tenants: slugs, ids or domains, or tag:NAME; several by commas.
    #[arg(long, short, value_delimiter = ',')]
    tenant: Vec<String>,
    #[command(flatten)]
    except: Except,
    /// Only what Muster accepted from then on: 7d, 2026-11-01 or 2026-11-01T08:30:00Z.
    #[arg(long, value_name = "TIME", default_value = "1d")]
    since: Moment,
    /// Only what Muster accepted before [default: a minute ago].
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// Owe the sink what is missing, so that it is sent again.
    #[arg(long)]
    send_again: bool,
}

/// What became of one source of one tenant.
#[derive(Debug, Default, Serialize)]
struct Row {
    tenant: String,
    source: String,
    /// Record versions that the sink acknowledged.
    delivered: u64,
    /// Those that are there.
    there: u64,
    missing: u64,
    /// Those that are there more than once.
    doubled: u64,
    /// Those that cannot be asked for: rows of queries have no id, and others no time of update.
    unknown: u64,
    /// Records whose journal batch cannot be read.
    damaged: u64,
    /// Those of the missing that the sink is owed again now.
    sent_again: u64,
}

/// A version that is missing, or there more than once.
#[derive(Debug, Serialize)]
struct Odd {
    tenant: String,
    source: Source,
    id: String,
    updated_at: Option<Timestamp>,
    copies: u64,
}

#[derive(Serialize)]
struct Verdict {
    sink: String,
    since: Timestamp,
    until: Timestamp,
    rows: Vec<Row>,
    /// Some of those that are missing or doubled.
    some: Vec<Odd>,
    all_there: bool,
}

/// Who is asked.
enum Asked {
    Splunk(Box<SplunkSearch>),
    Files(Vec<PathBuf>),
}

/// A part of the journal: where its batches begin, and what the sink acknowledged of them.
struct Part {
    after: u64,
    versions: BTreeMap<Version, Option<Timestamp>>,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let now = context.clock.now();
    let asked = asked(&args.sink, context).await?;
    let since = args.since.seen_at(now);
    let settled = now.checked_sub(SETTLED).unwrap_or(now);
    let until = args.until.map_or(settled, |until| until.seen_at(now));
    if since >= until {
        return Err(Failed::say(Exit::Usage, format!("there is nothing between {since:.0} and {until:.0}")));
    }
    let tenants = context.chosen(&args.tenant, &args.except).await?;
    let mut look = Look {
        context,
        sink: &args.sink,
        asked,
        span: (since, until),
        send_again: args.send_again,
        some: Vec::new(),
    };
    let (mut rows, mut progress) = (Vec::new(), Progress::of(context.output));
    for tenant in &tenants {
        for source in context.every_source(std::slice::from_ref(tenant)) {
            progress.show(now, || format!("{} · {source}", tenant.slug));
            let row = look.at(tenant, source).await?;
            if row.delivered + row.damaged > 0 {
                rows.push(row);
            }
        }
    }
    progress.wipe();
    let sum = |of: fn(&Row) -> u64| rows.iter().map(of).sum::<u64>();
    let (there, unknown, wrong) =
        (sum(|row| row.there), sum(|row| row.unknown), sum(|row| row.missing + row.doubled + row.damaged));
    // Where none of it can be asked for, nothing was verified.
    let all_there = wrong == 0 && (there > 0 || unknown == 0);
    let verdict = Verdict { sink: args.sink.clone(), since, until, rows, some: look.some, all_there };
    context.output.print(&verdict, |output| {
        let Verdict { sink, since, until, rows, some, all_there } = &verdict;
        if rows.is_empty() {
            return format!(
                "{sink} has acknowledged nothing of what the journal holds between {since:.0} and {until:.0}"
            );
        }
        let mut table = output.table(&[
            "tenant",
            "source",
            "delivered",
            "there",
            "missing",
            "doubled",
            "cannot be asked",
            "sent again",
        ]);
        let toned = |count: u64, tone| output.cell(number(count), if count > 0 { tone } else { Tone::Plain });
        for row in rows {
            table.add_row([
                output.text(&row.tenant),
                output.text(&row.source),
                output.text(number(row.delivered)),
                toned(row.there, Tone::Good),
                toned(row.missing, Tone::Bad),
                toned(row.doubled, Tone::Fair),
                toned(row.unknown + row.damaged, Tone::Fair),
                output.text(number(row.sent_again)),
            ]);
        }
        let mut text = format!("{table}\n\n");
        for odd in some {
            let said = match odd.copies {
                0 => "is missing".to_owned(),
                copies => format!("is there {copies} times"),
            };
            text.push_str(&plain(&format!("{} {} {} {said}", odd.tenant, odd.source, odd.id)));
            text.push('\n');
        }
        if !some.is_empty() {
            text.push('\n');
        }
        text.push_str(&match (all_there, args.send_again) {
            (true, _) if unknown > 0 => format!(
                "all that can be asked for is there, once; {} cannot be: they have no id or no time of update",
                number(unknown)
            ),
            (true, _) => "all that was acknowledged is there, once".to_owned(),
            (false, _) if wrong == 0 => {
                "nothing of it can be asked for: it has no id or no time of update".to_owned()
            }
            (false, true) => {
                "not all of it is there, once; what is missing is owed again, and `muster run` sends it"
                    .to_owned()
            }
            (false, false) => {
                "not all of it is there, once; --send-again has what is missing sent again".to_owned()
            }
        });
        text
    })?;
    Ok(if verdict.all_there { Exit::Success } else { Exit::Partly })
}

/// Who can be asked about a sink.
async fn asked(sink: &str, context: &Context) -> Result<Asked, Failed> {
    let settings = &context.settings;
    let Some(found) = settings.sinks.get(sink) else {
        let known = known_sinks(context).await?;
        let meant = muster_model::text::did_you_mean(sink, known.iter().map(String::as_str));
        let said = format!("the settings have no sink `{sink}`{meant}; the sinks are: {}", known.join(", "));
        return Err(Failed::say(Exit::NotFound, said));
    };
    let cannot = |why: String| Err(Failed::say(Exit::Usage, format!("sink `{sink}` cannot be asked: {why}")));
    let search = settings.sink_keys.get(sink).and_then(|keys| keys.search.as_ref());
    match (found, search) {
        (SinkSettings::SplunkHec(hec), Some(search)) => wiring::splunk_search(settings, sink, hec, search)
            .map(|search| Asked::Splunk(Box::new(search)))
            .map_err(|why| Failed::say(Exit::Sink, format!("sink `{sink}`: {why}"))),
        (SinkSettings::SplunkHec(_), None) => cannot(format!(
            "name Splunk's REST API in [sinks.{sink}.search]: url = \"https://splunk.example:8089\" and a token that may search"
        )),
        (SinkSettings::Elasticsearch(_), _) => cannot(format!(
            "it need not be: `muster replay --tenant all --sink {sink} --again` creates what is missing there, and nothing twice"
        )),
        (SinkSettings::Kafka(_), _) => cannot(
            "a producer only writes; count `event_id` in its topic with a consumer of your own, or hold what two sinks \
             acknowledged against each other with `muster sink diff`"
                .to_owned(),
        ),
        (SinkSettings::Nats(_), _) => cannot(format!(
            "with deduplicate = \"subject\" it need not be: `muster replay --tenant all --sink {sink} --again` stores what is missing there, and nothing twice"
        )),
        (SinkSettings::Sentinel(_), _) => cannot(
            "Muster may only write there; in the workspace, the function that `muster siem-config sentinel` prints counts what is there"
                .to_owned(),
        ),
        (SinkSettings::Webhook(_) | SinkSettings::Otlp(_), _) => {
            cannot("such a receiver only takes; `muster sink diff` holds what two sinks acknowledged against each other".to_owned())
        }
        (SinkSettings::Stdout(_), _) => {
            cannot("what stood on the standard output, only the program behind it knows".to_owned())
        }
        (SinkSettings::Amqp(_), _) => {
            cannot("a queue is read once, by its consumers; `muster sink diff` holds what two sinks acknowledged against each other".to_owned())
        }
        (SinkSettings::Syslog(_), _) => {
            cannot("a syslog receiver only takes; `muster sink diff` holds what two sinks acknowledged against each other".to_owned())
        }
        (SinkSettings::ObjectStore(_), _) => cannot(
            "each delivery is an object named by its numbers, made once and looked at; `muster sink diff` holds what two sinks acknowledged against each other"
                .to_owned(),
        ),
        (SinkSettings::File(file), _) => {
            if file.format != FormatName::Raw || file.path.to_string_lossy().contains("{{") {
                return cannot("only one file with format = \"raw\" is read back".to_owned());
            }
            let files = file.files(&settings.folder);
            files.map(Asked::Files).map_err(|error| {
                Failed::say(Exit::Sink, format!("sink `{sink}`: {}: {error}", file.path.display()))
            })
        }
    }
}

/// The look at one sink.
struct Look<'a> {
    context: &'a Context,
    sink: &'a str,
    asked: Asked,
    span: (Timestamp, Timestamp),
    send_again: bool,
    some: Vec<Odd>,
}

impl Look<'_> {
    /// Looks at one source of one tenant.
    async fn at(&mut self, tenant: &Tenant, source: Source) -> Result<Row, Failed> {
        let mut row = Row { tenant: tenant.slug.to_string(), source: source.to_string(), ..Row::default() };
        let nowhere = Destination::default();
        let sinks = [self.sink.to_owned()];
        let (mut parts, mut gathered, mut after) = (Vec::new(), 0, 0);
        loop {
            let request = self.request(tenant, source, ReplayTo::One(&nowhere), true);
            let step = self.context.store.standings(&request, &sinks, after).await?;
            row.damaged += step.damaged;
            let next = step.next;
            let part = self.part(&mut row, source, after, step);
            gathered += part.versions.len();
            parts.push(part);
            let is_enough = match self.asked {
                Asked::Splunk(_) => true,
                Asked::Files(_) => gathered >= OF_A_FILE_MAX,
            };
            if is_enough || next.is_none() {
                self.judge(&mut row, tenant, source, std::mem::take(&mut parts)).await?;
                gathered = 0;
            }
            match next {
                Some(next) => after = next,
                None => return Ok(row),
            }
        }
    }

    fn request<'r>(
        &self,
        tenant: &Tenant,
        source: Source,
        to: ReplayTo<'r>,
        dry_run: bool,
    ) -> ReplayRequest<'r> {
        let (since, until) = self.span;
        ReplayRequest {
            tenant: tenant.id,
            source,
            since,
            until,
            up_to: u64::MAX,
            ids: &[],
            unrouted: false,
            again: true,
            to,
            id: None,
            dry_run,
        }
    }

    /// What the sink has acknowledged of some batches, as far as it can be asked for.
    fn part(&self, row: &mut Row, source: Source, after: u64, step: StandingsStep) -> Part {
        let can_be_asked = match self.asked {
            Asked::Splunk(_) => SplunkSearch::knows(source.kind()),
            Asked::Files(_) => true,
        };
        let mut versions = BTreeMap::new();
        let had = step.records.into_iter().filter(|record| record.standings.contains(&Standing::Had));
        for record in had {
            let is_dated = record.updated_at.is_some() || matches!(self.asked, Asked::Files(_));
            if !can_be_asked || !is_dated {
                row.unknown += 1;
                row.delivered += 1;
                continue;
            }
            let shown_at = record.created_at.or(record.updated_at);
            // One that stands in the journal twice was to be there once.
            if versions.insert((record.id, record.updated_at), shown_at).is_none() {
                row.delivered += 1;
            }
        }
        Part { after, versions }
    }

    /// Asks for all of some parts, and has sent again what is missing of them.
    async fn judge(
        &mut self,
        row: &mut Row,
        tenant: &Tenant,
        source: Source,
        parts: Vec<Part>,
    ) -> Result<(), Failed> {
        let copies = self.copies(tenant, source, &parts).await?;
        for Part { after, versions } in parts {
            let mut missing: HashSet<Version> = HashSet::new();
            for version in versions.into_keys() {
                let copies = copies.get(&version).copied().unwrap_or_default();
                match copies {
                    0 => row.missing += 1,
                    1 => row.there += 1,
                    _ => (row.there, row.doubled) = (row.there + 1, row.doubled + 1),
                }
                if copies != 1 && self.some.len() < NAMED_MAX {
                    let (id, updated_at) = version.clone();
                    self.some.push(Odd { tenant: tenant.slug.to_string(), source, id, updated_at, copies });
                }
                if copies == 0 {
                    missing.insert(version);
                }
            }
            if self.send_again && !missing.is_empty() {
                row.sent_again += self.send_again(tenant, source, after, &missing).await?;
            }
        }
        Ok(())
    }

    /// How often each version is there.
    async fn copies(
        &self,
        tenant: &Tenant,
        source: Source,
        parts: &[Part],
    ) -> Result<HashMap<Version, u64>, Failed> {
        let all = || parts.iter().flat_map(|part| &part.versions);
        let mut copies: HashMap<Version, u64> = all().map(|(version, _)| (version.clone(), 0)).collect();
        let failed = |why: String| Failed::say(Exit::Sink, format!("sink `{}`: {why}", self.sink));
        match &self.asked {
            Asked::Files(files) => {
                let files = files.clone();
                let read = tokio::task::spawn_blocking(move || {
                    written::copies(&files, &mut copies).map(|()| copies)
                });
                let read = read.await.map_err(|error| failed(error.to_string()))?;
                read.map_err(|(file, error)| failed(format!("{} cannot be read: {error}", file.display())))
            }
            Asked::Splunk(search) => {
                let records: Vec<(&Version, &Option<Timestamp>)> = all().collect();
                for some in records.chunks(RECORDS_MAX) {
                    let ids: BTreeSet<&str> = some.iter().map(|((id, _), _)| id.as_str()).collect();
                    let ids: Vec<&str> = ids.into_iter().collect();
                    let times = || some.iter().filter_map(|(_, at)| **at);
                    let span = times().min().zip(times().max()).filter(|_| times().count() == some.len());
                    let asked = SearchedFor { tenant: tenant.id, kind: source.kind(), ids: &ids, span };
                    let wanted: HashSet<&Version> = some.iter().map(|(version, _)| *version).collect();
                    for found in search.find(asked).await.map_err(failed)? {
                        let version = (found.id, Some(found.updated_at));
                        // Of a record with versions in several parts, each is counted in its own.
                        if wanted.contains(&version)
                            && let Some(count) = copies.get_mut(&version)
                        {
                            *count += found.copies;
                        }
                    }
                }
                Ok(copies)
            }
        }
    }

    /// Owes the sink these versions of the batches behind `after`, of which it has acknowledged all.
    async fn send_again(
        &self,
        tenant: &Tenant,
        source: Source,
        after: u64,
        missing: &HashSet<Version>,
    ) -> Result<u64, Failed> {
        let to_sink = Destination::of(&[self.sink.to_owned()]);
        let each = |record: Record<'_>| {
            let version = (record.head.id.clone(), record.head.updated_at);
            if missing.contains(&version) { to_sink.clone() } else { Destination::default() }
        };
        let request = self.request(tenant, source, ReplayTo::Each(&each), false);
        // The same batches as those that were looked at: both go so far in one step.
        let step = self.context.store.replay(&request, after, self.context.clock.now()).await?;
        Ok(step.counts.owed())
    }
}
