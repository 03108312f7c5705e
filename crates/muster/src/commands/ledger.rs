//! `muster ledger`: what was seen and delivered, hour by hour, and what may be said about it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use muster_model::{Reason, Source, TenantId};
use muster_store::{HourState, LedgerFilter, LedgerHour};

use super::moment::Moment;
use super::{Context, Except, only};
use crate::exit_code::{Exit, Failed};
use crate::shown::calendar;
use crate::shown::note::note;
use crate::shown::output::{Output, Tone, number};

/// How far back it goes where nothing else is said: of one tenant, and of all.
const DAYS_OF_ONE: i64 = 7;
const DAYS_OF_ALL: i64 = 1;
/// So many hours that need a look are listed.
const LISTED_MAX: usize = 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Slugs, ids or domains, or tag:NAME; several by commas. Of one tenant a calendar of its hours is shown, else a line for each
    /// source of each tenant.
    #[arg(long, short, value_delimiter = ',')]
    tenant: Vec<String>,
    #[command(flatten)]
    except: Except,
    /// Only this source.
    #[arg(long)]
    source: Option<Source>,
    /// The beginning, by the time of the last update: 7d, 2026-11-01 or 2026-11-01T08:30:00Z [default: 7d of one tenant, 1d
    /// of all].
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// The end; else now.
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let now = context.clock.now();
    let chosen = context.ids(&args.tenant, &args.except).await?;
    let tenant = only(chosen.as_ref());
    let days = if tenant.is_some() { DAYS_OF_ONE } else { DAYS_OF_ALL };
    let usual = now.checked_sub(jiff::SignedDuration::from_hours(24 * days)).unwrap_or(Timestamp::UNIX_EPOCH);
    let mut filter = LedgerFilter {
        tenant,
        source: args.source,
        from: args.since.map_or(usual, |since| since.seen_at(now)),
        to: args.until.map_or(now, |until| until.seen_at(now)),
    };
    if filter.from >= filter.to {
        let said = format!("there is nothing between {:.0} and {:.0}", filter.from, filter.to);
        return Err(Failed::say(Exit::Usage, said));
    }
    // Of several that were chosen each by itself: others' hours take no room from theirs.
    let mut hours = Vec::new();
    for tenant in chosen.map_or(vec![None], |chosen| chosen.into_iter().map(Some).collect()) {
        filter.tenant = tenant;
        hours.extend(context.store.ledger(filter, now).await?);
    }
    if let Some(first) = hours.first().map(|first| first.hour).filter(|first| *first > filter.from) {
        note!(
            "muster: the hours from {first:.0} on are shown, which is as many as fit; with --until {first:.0} you see those before"
        );
    }
    let all = context.store.tenants().await?;
    let slugs: BTreeMap<TenantId, String> =
        all.into_iter().map(|tenant| (tenant.id, tenant.slug.to_string())).collect();
    context.output.print(&hours, |output| {
        if hours.is_empty() {
            return "nothing is read in this span".to_owned();
        }
        match tenant {
            Some(_) => calendars(output, &hours, &slugs),
            None => overview(output, &hours, &slugs),
        }
    })
}

/// The hours of each source, in the order in which they came.
fn by_source(hours: &[LedgerHour]) -> Vec<&[LedgerHour]> {
    hours.chunk_by(|one, other| (one.tenant, one.source) == (other.tenant, other.source)).collect()
}

fn slug_of<'a>(slugs: &'a BTreeMap<TenantId, String>, hour: &LedgerHour) -> &'a str {
    slugs.get(&hour.tenant).map_or("-", String::as_str)
}

fn calendars(output: &Output, hours: &[LedgerHour], slugs: &BTreeMap<TenantId, String>) -> String {
    let mut text = String::new();
    for of_source in by_source(hours) {
        let first = &of_source[0];
        text.push_str(&format!(
            "{} · {} · hours in UTC, by the time of the last update\n\n",
            slug_of(slugs, first),
            first.source
        ));
        text.push_str(&calendar::calendar(output, of_source));
        text.push('\n');
        text.push_str(&witnessed(of_source));
        text.push_str(&sinks(of_source));
        text.push_str(&listed(output, of_source));
        text.push('\n');
    }
    text.push_str(&calendar::legend(output));
    text
}

/// What each sink had of the hours.
fn sinks(hours: &[LedgerHour]) -> String {
    let mut totals: BTreeMap<&str, [u64; 4]> = BTreeMap::new();
    for sink in hours.iter().flat_map(|hour| &hour.sinks) {
        let total = totals.entry(&sink.sink).or_default();
        let counts = [sink.owed, sink.delivered, sink.rejected, sink.given_up];
        total.iter_mut().zip(counts).for_each(|(sum, more)| *sum += more);
    }
    let mut text = String::new();
    for (sink, [owed, delivered, rejected, given_up]) in totals {
        let open = owed.saturating_sub(delivered + rejected + given_up);
        text.push_str(&format!("{}: {} delivered", crate::shown::output::plain(sink), number(delivered)));
        if open > 0 {
            text.push_str(&format!(", {} owed", number(open)));
        }
        if rejected > 0 {
            text.push_str(&format!(", {} refused", number(rejected)));
        }
        if given_up > 0 {
            text.push_str(&format!(", {} given up", number(given_up)));
        }
        text.push('\n');
    }
    text
}

/// What streams say of the alerts of these hours, where there are any.
fn witnessed(hours: &[LedgerHour]) -> String {
    let mut said = hours.iter().filter_map(|hour| hour.witness.as_ref()).peekable();
    if said.peek().is_none() {
        return String::new();
    }
    let (named, missing) = said.fold((0, 0), |sums, hour| (sums.0 + hour.named, sums.1 + hour.missing));
    format!("streams name {} alerts; {} of them have not been brought\n", number(named), number(missing))
}

/// The alerts of an hour that a stream names and the source has not brought.
fn not_brought(hour: &LedgerHour) -> String {
    let witness = hour.witness.clone().unwrap_or_default();
    let ids: Vec<String> = witness.first_missing.iter().map(|id| crate::shown::output::plain(id)).collect();
    let more = if witness.missing > ids.len() as u64 { ", …" } else { "" };
    let alerts = if witness.missing == 1 { "alert" } else { "alerts" };
    format!(
        "a stream names {} {alerts} that {} has not brought: {}{more}",
        number(witness.missing),
        hour.source,
        ids.join(", ")
    )
}

/// The hours that need a look.
fn listed(output: &Output, hours: &[LedgerHour]) -> String {
    let is_bad =
        |state| matches!(state, HourState::Hole { .. } | HourState::GivenUp { .. } | HourState::Late);
    let bad: Vec<&LedgerHour> = hours.iter().filter(|hour| is_bad(hour.state)).collect();
    if bad.is_empty() {
        return String::new();
    }
    let mut table = output.table(&["hour", "state", "why"]);
    for hour in bad.iter().take(LISTED_MAX) {
        let why = match hour.state {
            HourState::Hole { reason: Reason::Named } => not_brought(hour),
            HourState::Hole { reason } => reason.as_str().to_owned(),
            HourState::GivenUp { records } => {
                format!("{} given up because the journal was full", number(records))
            }
            _ => {
                let next = if hour.source.stream().is_some() { "reading to the end" } else { "sweep" };
                format!(
                    "{} came late, up to {} s; the next {next} confirms it",
                    hour.late, hour.late_seconds_max
                )
            }
        };
        let (word, tone) = (calendar::word(hour.state), calendar::tone(hour.state));
        table.add_row([output.text(format!("{:.0}", hour.hour)), output.cell(word, tone), output.text(why)]);
    }
    let more = bad.len().saturating_sub(LISTED_MAX);
    let more = if more > 0 { format!("… and {more} more hours\n") } else { String::new() };
    format!("\n{table}\n{more}")
}

/// A line for each source, the worst first.
fn overview(output: &Output, hours: &[LedgerHour], slugs: &BTreeMap<TenantId, String>) -> String {
    let mut rows: Vec<(usize, usize, &[LedgerHour])> = by_source(hours)
        .into_iter()
        .map(|hours| {
            let count = |is: fn(&HourState) -> bool| hours.iter().filter(|hour| is(&hour.state)).count();
            (
                count(|state| matches!(state, HourState::Hole { .. } | HourState::GivenUp { .. })),
                count(|state| *state == HourState::Late),
                hours,
            )
        })
        .collect();
    rows.sort_by_key(|(holes, late, _)| std::cmp::Reverse((*holes > 0, *late > 0, *holes, *late)));
    let mut table = output.table(&[
        "tenant",
        "source",
        "complete",
        "read",
        "late",
        "hole",
        "given up",
        "open",
        "new",
        "came late",
        "healed",
        "unrouted",
    ]);
    for (_, _, hours) in rows {
        let in_state =
            |word: &str| hours.iter().filter(|hour| calendar::word(hour.state) == word).count() as u64;
        let sum = |of: fn(&LedgerHour) -> u64| hours.iter().map(of).sum::<u64>();
        let toned = |count: u64, tone| output.cell(number(count), if count > 0 { tone } else { Tone::Plain });
        table.add_row([
            output.text(slug_of(slugs, &hours[0])),
            output.text(hours[0].source.as_str()),
            toned(in_state("complete"), Tone::Good),
            output.text(number(in_state("read"))),
            toned(in_state("late"), Tone::Fair),
            toned(in_state("hole"), Tone::Bad),
            toned(in_state("given up"), Tone::Bad),
            output.text(number(in_state("open"))),
            output.text(number(sum(|hour| hour.new))),
            toned(sum(|hour| hour.late), Tone::Fair),
            toned(sum(|hour| hour.healed), Tone::Fair),
            output.text(number(sum(|hour| hour.unrouted))),
        ]);
    }
    format!(
        "{table}\n\ncomplete, read, late, hole, given up, open: hours; the rest: records. `--tenant` shows a calendar"
    )
}
