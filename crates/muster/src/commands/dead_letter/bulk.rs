//! Many dead letters at once: which they are, tried again, removed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use muster_model::{Slug, TenantId};
use muster_store::{DeadLetter, DeadLetterNumber, DeadLetterOrigin, StoreError};
use serde::Serialize;

use super::super::confirm::{ask, can_ask};
use super::super::moment::Moment;
use super::super::{Context, Except, only};
use crate::audit::actor;
use crate::exit_code::{Exit, Failed};
use crate::pattern::Pattern;
use crate::shown::note::note;
use crate::shown::output::{Output, Tone, number, plain};
use crate::shown::progress::Progress;

/// So many letters are asked for at once.
const PAGE: u32 = 1_000;
/// So many are removed in one transaction.
const REMOVED_AT_ONCE: usize = 10_000;
/// So many different reasons are told of what was chosen.
const GROUPS_MAX: usize = 15;
/// So many that could not be tried again are told one by one.
const LISTED_MAX: usize = 50;

/// Which dead letters are meant.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// Their numbers.
    #[arg(conflicts_with = "except")]
    numbers: Vec<u64>,
    /// All of them.
    #[arg(long, conflicts_with_all = ["numbers", "reason", "sink", "tenant", "except", "since", "until"])]
    all: bool,
    /// Those whose reason has this text in it; with `*` for any text, the whole reason.
    #[arg(long, conflicts_with = "numbers")]
    reason: Option<Pattern>,
    /// Those that this sink refused.
    #[arg(long, conflicts_with = "numbers")]
    sink: Option<String>,
    /// Those of these tenants: slugs, ids or domains, or tag:NAME; several by commas.
    #[arg(long, short, value_delimiter = ',', conflicts_with = "numbers")]
    tenant: Vec<String>,
    #[command(flatten)]
    except: Except,
    /// Those that are dead since then or later: 7d, 2026-11-01 or 2026-11-01T08:30:00Z.
    #[arg(long, value_name = "TIME", conflicts_with = "numbers")]
    since: Option<Moment>,
    /// Those that were dead before.
    #[arg(long, value_name = "TIME", conflicts_with = "numbers")]
    until: Option<Moment>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each choice that is given must fit. Numbers are those of `muster dead-letter list`; whoever names them is not asked.")]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// Show which they are, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
}

impl Which {
    fn is_empty(&self) -> bool {
        self.numbers.is_empty()
            && !self.all
            && self.reason.is_none()
            && self.sink.is_none()
            && self.tenant.is_empty()
            && self.except.is_empty()
            && self.since.is_none()
            && self.until.is_none()
    }

    /// Calls `on_letter` with each that is meant, the oldest first. `so_far` says what has been done where one that was named is not
    /// there.
    pub(super) async fn each(
        &self,
        context: &Context,
        so_far: &str,
        mut on_letter: impl AsyncFnMut(DeadLetter) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        if self.is_empty() {
            let said =
                "say which: their numbers, --reason, --sink, --tenant, --except, --since, --until, or --all";
            return Err(Failed::say(Exit::Usage, said));
        }
        if let Some(sink) = &self.sink {
            known_sink(sink, context).await?;
        }
        let chosen = context.ids(&self.tenant, &self.except).await?;
        let now = context.clock.now();
        let since = self.since.map_or(Timestamp::MIN, |since| since.seen_at(now));
        let until = self.until.map_or(Timestamp::MAX, |until| until.seen_at(now));
        let mut wanted: BTreeSet<u64> = self.numbers.iter().copied().collect();
        let mut after = DeadLetterNumber(wanted.first().map_or(0, |first| first.saturating_sub(1)));
        loop {
            let letters = context.store.dead_letters_after(after, only(chosen.as_ref()), PAGE).await?;
            let Some(last) = letters.last() else { break };
            after = last.number;
            for letter in letters {
                let is_meant = match self.numbers.is_empty() {
                    false => wanted.remove(&letter.number.0),
                    true => {
                        chosen.as_ref().is_none_or(|chosen| chosen.contains(&letter.tenant))
                            && letter.at >= since
                            && letter.at < until
                            && self.reason.as_ref().is_none_or(|reason| reason.is_in(&letter.reason))
                            && self.sink.as_ref().is_none_or(|sink| of_sink(&letter) == Some(sink))
                    }
                };
                if is_meant {
                    on_letter(letter).await?;
                }
            }
            if !self.numbers.is_empty() && wanted.is_empty() {
                break;
            }
        }
        match wanted.first() {
            None => Ok(()),
            Some(first) => {
                let more = match wanted.len() {
                    1 => String::new(),
                    more => format!(", and {} more of those that were named are not there", more - 1),
                };
                Err(Failed::say(Exit::NotFound, format!("there is no dead letter {first}{more}; {so_far}")))
            }
        }
    }

    /// How they were chosen, for the audit log.
    fn as_json(&self, context: &Context) -> serde_json::Value {
        let now = context.clock.now();
        serde_json::json!({
            "numbers": self.numbers.len(), "all": self.all, "reason": self.reason.as_ref().map(ToString::to_string),
            "sink": self.sink, "tenant": self.tenant, "except": self.except.names(),
            "since": self.since.map(|since| since.seen_at(now)), "until": self.until.map(|until| until.seen_at(now)),
        })
    }
}

/// A sink that is neither in the settings nor has had anything was misspelt: that nothing is dead of it says nothing.
async fn known_sink(sink: &str, context: &Context) -> Result<(), Failed> {
    let mut known: BTreeSet<String> = context.settings.sinks.keys().cloned().collect();
    known.extend(context.store.sink_totals().await?.into_iter().map(|totals| totals.sink));
    if known.contains(sink) {
        return Ok(());
    }
    let meant = muster_model::text::did_you_mean(sink, known.iter().map(String::as_str));
    Err(Failed::say(Exit::NotFound, format!("there is no sink `{}`{meant}", plain(sink))))
}

/// Whether there is no letter of that number, any more or at all.
pub(super) fn is_not_there(error: &StoreError) -> bool {
    matches!(error, StoreError::Database { detail, .. } if detail.contains("no dead letter"))
}

/// Where a letter comes from, in a word.
pub(super) fn told(letter: &DeadLetter) -> String {
    match &letter.origin {
        DeadLetterOrigin::Source(source) => source.to_string(),
        DeadLetterOrigin::Sink { sink, source } => format!("{source} → {sink}"),
    }
}

/// The sink that refused it, if one did.
pub(super) fn of_sink(letter: &DeadLetter) -> Option<&String> {
    match &letter.origin {
        DeadLetterOrigin::Sink { sink, .. } => Some(sink),
        DeadLetterOrigin::Source(_) => None,
    }
}

/// What was chosen: the numbers, and how many there are of each tenant, origin and reason.
#[derive(Default)]
struct Chosen {
    numbers: Vec<DeadLetterNumber>,
    groups: BTreeMap<(TenantId, String, String), u64>,
}

impl Chosen {
    async fn of(which: &Which, context: &Context) -> Result<Self, Failed> {
        let mut chosen = Self::default();
        which
            .each(context, "nothing was done", async |letter| {
                chosen.numbers.push(letter.number);
                let key = (letter.tenant, told(&letter), letter.reason);
                // The reasons of many letters may be as many; those that there is no room for count together.
                let room = chosen.groups.len() < 10_000 || chosen.groups.contains_key(&key);
                let key = if room { key } else { (key.0, key.1, "other reasons".to_owned()) };
                *chosen.groups.entry(key).or_default() += 1;
                Ok(())
            })
            .await?;
        Ok(chosen)
    }

    /// How many of what, the most first.
    fn shown(&self, slugs: &HashMap<TenantId, Slug>, output: &Output) -> String {
        let mut groups: Vec<_> = self.groups.iter().collect();
        groups.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let mut table = output.table(&["letters", "tenant", "from", "why"]);
        for ((tenant, from, why), count) in groups.iter().take(GROUPS_MAX) {
            let slug = slugs.get(tenant).map_or_else(|| tenant.to_string(), ToString::to_string);
            table.add_row([
                output.text(number(**count)),
                output.text(slug),
                output.text(from),
                output.text(why),
            ]);
        }
        let more = match groups.len().saturating_sub(GROUPS_MAX) {
            0 => String::new(),
            more => format!("\n… and {more} other kinds"),
        };
        format!("{table}{more}")
    }
}

/// What came of it.
#[derive(Serialize, Default)]
struct Verdict {
    dry_run: bool,
    /// How many were chosen.
    chosen: u64,
    /// How many were tried again, or removed.
    done: u64,
    /// Those of which nothing came, and why.
    failed: Vec<Failure>,
    /// How many more there are of them.
    more_failed: u64,
}

#[derive(Serialize)]
struct Failure {
    number: u64,
    finding: String,
}

/// What is chosen, when it is clear that it is meant; else what is to be said.
async fn meant(args: &Args, verb: &str, context: &Context) -> Result<Result<Chosen, Exit>, Failed> {
    let is_asked = args.which.numbers.is_empty() && !args.yes && !args.dry_run;
    if is_asked && !args.which.is_empty() {
        can_ask()?;
    }
    let chosen = Chosen::of(&args.which, context).await?;
    let count = chosen.numbers.len() as u64;
    let slugs: HashMap<_, _> =
        context.store.tenants().await?.into_iter().map(|tenant| (tenant.id, tenant.slug)).collect();
    if args.dry_run || count == 0 {
        let verdict = Verdict { dry_run: args.dry_run, chosen: count, ..Verdict::default() };
        context.output.print(&verdict, |output| match count {
            0 => "no dead letters of that kind".to_owned(),
            _ => {
                format!("{}\n\n{} of them; nothing was changed", chosen.shown(&slugs, output), number(count))
            }
        })?;
        return Ok(Err(Exit::Success));
    }
    if is_asked {
        note!("{}", chosen.shown(&slugs, &context.output));
        if !ask(&format!("{verb} {}?", plain(&letters(count))))? {
            return Err(Failed::say(Exit::Failure, "nothing was changed"));
        }
    }
    Ok(Ok(chosen))
}

fn letters(count: u64) -> String {
    if count == 1 { "1 dead letter".to_owned() } else { format!("{} dead letters", number(count)) }
}

pub(super) async fn retry(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let chosen = match meant(args, "Try again", context).await? {
        Ok(chosen) => chosen,
        Err(exit) => return Ok(exit),
    };
    // What could not be read before belongs to no route yet: the record is owed to every sink of the settings.
    let sinks: Vec<String> = context.settings.sinks.keys().cloned().collect();
    let mut verdict = Verdict { chosen: chosen.numbers.len() as u64, ..Verdict::default() };
    let mut progress = Progress::of(context.output);
    // Before anything is changed: whoever interrupts it has done some of it.
    let mut details = args.which.as_json(context);
    details["chosen"] = verdict.chosen.into();
    context.audit("dead_letters.retry_begun", "dead letters", details).await?;
    // Each in a transaction of its own: whoever is interrupted goes on where that was.
    for (tried, letter) in chosen.numbers.iter().enumerate() {
        let finding = match context.store.replay_dead_letter(*letter, &sinks, context.clock.now()).await {
            Ok(true) => {
                verdict.done += 1;
                None
            }
            Ok(false) => Some("it still cannot be read; it was kept".to_owned()),
            Err(error) => Some(error.to_string()),
        };
        match finding {
            Some(finding) if verdict.failed.len() < LISTED_MAX => {
                verdict.failed.push(Failure { number: letter.0, finding });
            }
            Some(_) => verdict.more_failed += 1,
            None => {}
        }
        progress.show(context.clock.now(), || {
            format!(
                "{} of {} tried, {} owed again",
                number(tried as u64 + 1),
                letters(verdict.chosen),
                number(verdict.done)
            )
        });
    }
    progress.wipe();
    if verdict.done > 0 {
        let mut details = args.which.as_json(context);
        details["owed"] = verdict.done.into();
        context.audit("dead_letters.retried", "dead letters", details).await?;
    }
    context.output.print(&verdict, |output| {
        let mut text = format!("{} owed again; `muster run` delivers them", letters(verdict.done));
        if !verdict.failed.is_empty() {
            let mut table = output.table(&["number", "kept, since"]);
            for failure in &verdict.failed {
                table.add_row([
                    output.text(failure.number.to_string()),
                    output.cell(&failure.finding, Tone::Bad),
                ]);
            }
            text = format!("{table}\n\n{text}");
        }
        if verdict.more_failed > 0 {
            text.push_str(&format!("; {} more were kept", number(verdict.more_failed)));
        }
        text
    })?;
    Ok(if verdict.failed.is_empty() { Exit::Success } else { Exit::Partly })
}

pub(super) async fn remove(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let chosen = match meant(args, "Remove for good", context).await? {
        Ok(chosen) => chosen,
        Err(exit) => return Ok(exit),
    };
    let mut verdict = Verdict { chosen: chosen.numbers.len() as u64, ..Verdict::default() };
    let mut progress = Progress::of(context.output);
    for some in chosen.numbers.chunks(REMOVED_AT_ONCE) {
        let why = args.which.as_json(context);
        verdict.done += context.store.remove_dead_letters(some, &actor(), why, context.clock.now()).await?;
        progress.show(context.clock.now(), || {
            format!("{} of {} removed", number(verdict.done), letters(verdict.chosen))
        });
    }
    progress.wipe();
    context.output.print(&verdict, |_| {
        let gone = match verdict.chosen.saturating_sub(verdict.done) {
            0 => String::new(),
            gone => format!("; {} were gone already", number(gone)),
        };
        format!("{} removed{gone}", letters(verdict.done))
    })
}
