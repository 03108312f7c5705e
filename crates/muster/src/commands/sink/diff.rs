//! `muster sink diff`: what one sink has and another has not, of the records that the journal holds.

use std::collections::BTreeMap;

use jiff::Timestamp;
use muster_model::{ContentHash, Source, Span, Tenant};
use muster_store::{Destination, RecordStandings, ReplayRequest, ReplayTo, Standing};
use serde::Serialize;

use crate::commands::{Context, Except};
use crate::exit_code::{Exit, Failed};
use crate::shown::output::{Tone, number, plain};
use crate::shown::progress::Progress;

/// So many records are named for each difference.
const NAMED_MAX: usize = 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The sink that is known to be right.
    one: String,
    /// The sink that is to have the same.
    other: String,
    /// Only these tenants: slugs, ids or domains, or tag:NAME; several by commas.
    #[arg(long, short, value_delimiter = ',')]
    tenant: Vec<String>,
    #[command(flatten)]
    except: Except,
    /// How far back, by the time of acceptance; the journal holds seven days by default.
    #[arg(long, value_name = "DURATION", default_value = "1d")]
    since: Span,
}

/// What both have of one source of one tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct Compared {
    tenant: String,
    source: String,
    /// Records that both have acknowledged.
    both: u64,
    /// Records that only the first has, by where the other stands with them.
    only_one: BTreeMap<&'static str, u64>,
    /// Records that only the second has, by where the first stands with them.
    only_other: BTreeMap<&'static str, u64>,
    /// Records that neither has, though at least one is owed them or has refused them.
    neither: u64,
    /// Records whose journal batch cannot be read.
    damaged: u64,
}

/// A record that one has and the other has not.
#[derive(Debug, Serialize)]
struct Difference {
    tenant: String,
    source: Source,
    id: String,
    updated_at: Option<Timestamp>,
    one: Standing,
    other: Standing,
}

#[derive(Serialize)]
struct Verdict {
    one: String,
    other: String,
    since: Timestamp,
    rows: Vec<Compared>,
    /// Some of the records that only one has.
    some: Vec<Difference>,
    same: bool,
}

pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let now = context.clock.now();
    let since = now.checked_sub(args.since.0).unwrap_or(Timestamp::MIN);
    let known = known_sinks(context).await?;
    for sink in [&args.one, &args.other] {
        if !known.contains(sink) {
            let meant = muster_model::text::did_you_mean(sink, known.iter().map(String::as_str));
            let said = format!("there is no sink `{sink}`{meant}; the sinks are: {}", known.join(", "));
            return Err(Failed::say(Exit::NotFound, said));
        }
    }
    if args.one == args.other {
        return Err(Failed::say(Exit::Usage, "a sink has what it has: name two"));
    }
    let tenants = context.chosen(&args.tenant, &args.except).await?;
    let sinks = [args.one.clone(), args.other.clone()];
    let (mut rows, mut some, mut progress) = (Vec::new(), Vec::new(), Progress::of(context.output));
    for tenant in &tenants {
        for source in context.every_source(std::slice::from_ref(tenant)) {
            let standings = read(context, tenant, source, since, &sinks).await?;
            let (row, differing) = compare(tenant, source, &standings.0);
            let row = Compared { damaged: standings.1, ..row };
            progress.show(now, || format!("{} · {source}", tenant.slug));
            if row.counts() > 0 {
                rows.push(row);
            }
            let room = NAMED_MAX.saturating_sub(some.len());
            some.extend(differing.into_iter().take(room));
        }
    }
    progress.wipe();
    let same = rows.iter().all(Compared::is_same);
    let verdict = Verdict { one: args.one.clone(), other: args.other.clone(), since, rows, some, same };
    context.output.print(&verdict, |output| {
        let Verdict { one, other, since, rows, some, same } = &verdict;
        if rows.is_empty() {
            return format!("the journal holds nothing since {since:.0} that {one} or {other} was to have");
        }
        let (only_one, only_other) = (format!("only {one}"), format!("only {other}"));
        let mut table =
            output.table(&["tenant", "source", "both", &only_one, &only_other, "neither yet", "damaged"]);
        let split = |counts: &BTreeMap<&'static str, u64>| {
            let all: u64 = counts.values().sum();
            let parts: Vec<String> =
                counts.iter().map(|(standing, count)| format!("{} {standing}", number(*count))).collect();
            if all == 0 { "0".to_owned() } else { parts.join(", ") }
        };
        for row in rows {
            let tone = |counts: &BTreeMap<_, _>| if counts.is_empty() { Tone::Plain } else { Tone::Bad };
            table.add_row([
                output.text(&row.tenant),
                output.text(&row.source),
                output.cell(number(row.both), Tone::Good),
                output.cell(split(&row.only_one), tone(&row.only_one)),
                output.cell(split(&row.only_other), tone(&row.only_other)),
                output.text(number(row.neither)),
                output.text(number(row.damaged)),
            ]);
        }
        let mut text = format!("{table}\n\n");
        for difference in some {
            text.push_str(&plain(&format!(
                "{} {} {}: {one} {}, {other} {}",
                difference.tenant,
                difference.source,
                difference.id,
                in_words(difference.one),
                in_words(difference.other)
            )));
            text.push('\n');
        }
        if !some.is_empty() {
            text.push('\n');
        }
        text.push_str(match same {
            true => "both have the same",
            false => "they differ; `muster replay --sink` brings what one lacks",
        });
        text
    })?;
    Ok(if verdict.same { Exit::Success } else { Exit::Partly })
}

/// Those of the settings, and those that have ever been owed something.
pub(super) async fn known_sinks(context: &Context) -> Result<Vec<String>, Failed> {
    let mut known: Vec<String> = context.settings.sinks.keys().cloned().collect();
    known.extend(context.store.sink_totals().await?.into_iter().map(|totals| totals.sink));
    known.sort();
    known.dedup();
    Ok(known)
}

fn in_words(standing: Standing) -> &'static str {
    match standing {
        Standing::Nothing => "was not to have it",
        Standing::Refused => "refused it",
        Standing::Owed => "is owed it",
        Standing::Had => "has it",
    }
}

/// By version: an id and a hash.
type Standings = BTreeMap<(String, ContentHash), (Option<Timestamp>, [Standing; 2])>;

/// Where both stand with each version; a version that stands in the journal twice counts once, by how far it has come.
async fn read(
    context: &Context,
    tenant: &Tenant,
    source: Source,
    since: Timestamp,
    sinks: &[String; 2],
) -> Result<(Standings, u64), Failed> {
    let nowhere = Destination::default();
    let request = ReplayRequest {
        tenant: tenant.id,
        source,
        since,
        until: Timestamp::MAX,
        up_to: u64::MAX,
        ids: &[],
        unrouted: false,
        again: true,
        to: ReplayTo::One(&nowhere),
        id: None,
        dry_run: true,
    };
    let (mut found, mut damaged, mut after) = (Standings::new(), 0, 0);
    loop {
        let step = context.store.standings(&request, sinks, after).await?;
        damaged += step.damaged;
        for RecordStandings { id, updated_at, hash, standings, .. } in step.records {
            let of = found.entry((id, hash)).or_insert((updated_at, [Standing::Nothing; 2]));
            for (best, standing) in of.1.iter_mut().zip(standings) {
                *best = (*best).max(standing);
            }
        }
        match step.next {
            Some(next) => after = next,
            None => return Ok((found, damaged)),
        }
    }
}

fn compare(tenant: &Tenant, source: Source, standings: &Standings) -> (Compared, Vec<Difference>) {
    let mut row =
        Compared { tenant: tenant.slug.to_string(), source: source.to_string(), ..Compared::default() };
    let mut differing = Vec::new();
    for ((id, _), (updated_at, [one, other])) in standings {
        let word = |standing: &Standing| match standing {
            Standing::Nothing => "not routed",
            Standing::Refused => "refused",
            Standing::Owed => "owed",
            Standing::Had => "had",
        };
        match (one, other) {
            (Standing::Had, Standing::Had) => row.both += 1,
            (Standing::Had, _) => *row.only_one.entry(word(other)).or_default() += 1,
            (_, Standing::Had) => *row.only_other.entry(word(one)).or_default() += 1,
            (Standing::Nothing, Standing::Nothing) => continue,
            _ => row.neither += 1,
        }
        if (*one == Standing::Had) != (*other == Standing::Had) {
            differing.push(Difference {
                tenant: tenant.slug.to_string(),
                source,
                id: id.clone(),
                updated_at: *updated_at,
                one: *one,
                other: *other,
            });
        }
    }
    (row, differing)
}

impl Compared {
    fn counts(&self) -> u64 {
        let only = self.only_one.values().chain(self.only_other.values()).sum::<u64>();
        self.both + only + self.neither + self.damaged
    }

    fn is_same(&self) -> bool {
        self.only_one.is_empty() && self.only_other.is_empty() && self.neither == 0 && self.damaged == 0
    }
}
