//! Trouble by its cause: whatever many tenants have for one reason is one line in `status`, in the metrics and in the log.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use muster_microsoft::{Fault, SourceWord};
use muster_store::{CheckOutcome, NoticeReceiver, PartTrouble};

use crate::shown::cause::{Cause, Level, Subject, in_words, plural};
use crate::shown::output::{duration, number};
use crate::shown::sinks::SinkWord;
use crate::shown::state::since;
use crate::shown::status::{SinkStatus, Snapshot, Standing, TenantStatus};

/// The store cannot be written: nothing is read or delivered until it can.
pub fn of_store(what: String) -> Cause {
    Cause {
        about: "store".to_owned(),
        code: "not_writable".to_owned(),
        level: Level::Critical,
        what,
        remedy: String::new(),
        since: None,
        sources: 0,
        tenants: 0,
        records: 0,
        examples: Vec::new(),
        meaning: String::new(),
        all: BTreeSet::new(),
    }
}

/// So many tenants are named.
const EXAMPLES: usize = 3;
/// For so long after something was given up, that is told.
const GIVEN_UP_FOR: Duration = Duration::from_secs(86_400);

#[derive(Default)]
struct Suffering {
    meaning: String,
    remedy: String,
    since: Option<Timestamp>,
    tenants: BTreeSet<String>,
    sources: u64,
    records: u64,
    warning: bool,
}

impl Suffering {
    fn began(&mut self, at: Option<Timestamp>) {
        self.since = match (self.since, at) {
            (Some(known), Some(at)) => Some(known.min(at)),
            (known, at) => known.or(at),
        };
    }
}

/// All causes, the worst first.
pub fn causes(now: &Snapshot) -> Vec<Cause> {
    let mut found: BTreeMap<(Subject, String), Suffering> = BTreeMap::new();
    let sinks = sink_causes(now);
    for tenant in now.tenants.iter().filter(|tenant| tenant.is_worked_on()) {
        of_tenant(tenant, now, &mut found);
    }
    for app in &now.apps {
        for check in app.checks.iter().filter(|check| check.outcome != CheckOutcome::Good) {
            // What `muster app check` finds about a registration is told there.
            let own = matches!(check.name.as_str(), "credential" | "rotation");
            if own || check.outcome == CheckOutcome::Failing {
                let cause = found.entry((Subject::App(app.app.clone()), check.code.clone())).or_default();
                cause.meaning = check.detail.clone();
                cause.remedy = check.remedy.clone();
                cause.warning = check.outcome == CheckOutcome::Warning;
                cause.began(Some(check.checked_at));
            }
        }
    }
    apps_out_of_reach(now, &mut found);
    unrouted(now, &mut found);
    let mut all: Vec<Cause> = found.into_iter().map(told).collect();
    all.extend(sinks);
    all.extend(journal_causes(now));
    all.extend(run_causes(now));
    all.extend(receiver_causes(now));
    all.sort_by_key(|cause| (cause.level, std::cmp::Reverse(cause.tenants)));
    all
}

fn of_tenant(tenant: &TenantStatus, now: &Snapshot, found: &mut BTreeMap<(Subject, String), Suffering>) {
    let slug = tenant.slug.to_string();
    for source in &tenant.sources {
        let (subject, code, meaning, remedy) = match (source.fault, source.state) {
            (_, SourceWord::Paused) => continue,
            (Some(fault), word) if word == fault.meaning().state => {
                let meaning = fault.meaning();
                (Subject::of(fault, &tenant.app), fault.as_str(), meaning.meaning, meaning.remedy)
            }
            (_, SourceWord::Late) if now.run.is_running() => (
                Subject::Tenants,
                "late",
                "not read to the end in time",
                "see the message of each: `muster status --failing`; if there is none, raise `concurrency` or `poll_interval` in [collect]",
            ),
            (_, SourceWord::Partial) => (
                Subject::Tenants,
                "partial",
                "read, but for a part that cannot be had",
                "see `muster tenant show`: what is missing is asked for again by itself",
            ),
            _ => continue,
        };
        let cause = found.entry((subject, code.to_owned())).or_default();
        cause.meaning = meaning.to_owned();
        cause.remedy = remedy.to_owned();
        cause.warning = !source.fault.is_some_and(Fault::needs_a_person);
        cause.sources += 1;
        cause.tenants.insert(slug.clone());
        cause.began(if code == "late" { source.last_success_at } else { source.trouble_since });
    }
    if tenant.standing != Standing::Failing {
        return;
    }
    // What a check of the access found, also where no poll has met it yet.
    for check in tenant.checks.iter().filter(|check| check.outcome == CheckOutcome::Failing) {
        let fault = Fault::named(&check.code);
        let subject = fault.map_or(Subject::Tenants, |fault| Subject::of(fault, &tenant.app));
        let cause = found.entry((subject, check.code.clone())).or_default();
        if cause.meaning.is_empty() {
            cause.meaning =
                fault.map_or_else(|| check.detail.clone(), |fault| fault.meaning().meaning.to_owned());
            cause.remedy = check.remedy.clone();
        }
        cause.tenants.insert(slug.clone());
        cause.began(Some(check.checked_at));
    }
}

/// Why an app's credential cannot be had: its tenants say no more than that it cannot.
fn apps_out_of_reach(now: &Snapshot, found: &mut BTreeMap<(Subject, String), Suffering>) {
    for part in now.parts() {
        let Some(app) = part.part.strip_prefix(APP) else { continue };
        let code = Fault::Misconfigured.as_str().to_owned();
        let cause = found.entry((Subject::App(app.to_owned()), code)).or_default();
        let named = format!("app `{app}`: ");
        cause.meaning = part.reason.strip_prefix(&named).unwrap_or(&part.reason).to_owned();
        cause.remedy = MEND.to_owned();
        cause.warning = false;
    }
}

const APP: &str = "app ";
const MEND: &str = "all else runs; mend it: it is tried again by itself";

/// What no route served is lost to every sink until somebody brings it there; what was not severe enough was meant so.
fn unrouted(now: &Snapshot, found: &mut BTreeMap<(Subject, String), Suffering>) {
    for tenant in &now.tenants {
        for source in tenant.sources.iter().filter(|source| source.unrouted.no_route > 0) {
            let cause = found.entry((Subject::Routes, "no_route".to_owned())).or_default();
            cause.meaning = "records for which there was no route have reached no sink".to_owned();
            // Where a source has one now, nothing more is added.
            cause.remedy = match source.has_route && (cause.remedy.is_empty() || cause.remedy == REPLAY) {
                true => REPLAY.to_owned(),
                false => format!("add a route in [[routes]]: `muster validate` tells for what; {REPLAY}"),
            };
            cause.tenants.insert(tenant.slug.to_string());
            cause.sources += 1;
            cause.records += source.unrouted.no_route;
            cause.began(source.unrouted.since);
        }
    }
}

const REPLAY: &str = "bring them to their sinks with `muster replay`";

fn told(((subject, code), suffering): ((Subject, String), Suffering)) -> Cause {
    let Suffering { meaning, remedy, since, tenants, sources, records, warning } = suffering;
    let mut what = in_words(&subject, &meaning);
    let mut counts = Vec::new();
    if records > 0 {
        counts.push(format!("{} records", number(records)));
    }
    if sources > 0 {
        counts.push(plural(sources, "source"));
    }
    if !tenants.is_empty() {
        counts.push(plural(tenants.len() as u64, "tenant"));
    }
    if !counts.is_empty() {
        what.push_str(&format!("; {}", counts.join(" of ")));
    }
    let examples: Vec<String> = tenants.iter().take(EXAMPLES).cloned().collect();
    Cause {
        about: subject.to_string(),
        code,
        level: if warning { Level::Warning } else { Level::Critical },
        what,
        remedy,
        since,
        sources,
        tenants: tenants.len() as u64,
        records,
        examples,
        meaning,
        all: tenants,
    }
}

fn sink_causes(now: &Snapshot) -> Vec<Cause> {
    let tell = |sink: &SinkStatus| {
        let waits = match sink.waiting_tenants {
            0 => String::new(),
            1 => "; 1 tenant waits".to_owned(),
            many => format!("; {} tenants wait", number(many)),
        };
        let (code, level, meaning, remedy) = match sink.state {
            SinkWord::Down => (
                "down",
                Level::Critical,
                format!("is down{waits}"),
                "try the way to it with `muster sink test`; what is owed stays, and goes out by itself when it is back",
            ),
            SinkWord::Partial => (
                "partial",
                Level::Critical,
                format!(
                    "does not take the records of {} of the {} that wait",
                    plural(sink.failing_tenants, "tenant"),
                    number(sink.waiting_tenants)
                ),
                "see the reason; what is owed stays, and goes out by itself when it is over",
            ),
            SinkWord::Removed if sink.owed > 0 => (
                "removed",
                Level::Critical,
                format!("is not in the settings any more, and is owed {} records{waits}", number(sink.owed)),
                "put it back under the same name to have them delivered",
            ),
            SinkWord::Refused => (
                "refused",
                Level::Warning,
                format!("refuses records for good; {} lie as dead letters", number(sink.dead_letters)),
                "see `muster dead-letter list`; mend the cause, then `muster dead-letter retry`",
            ),
            SinkWord::Behind => (
                "behind",
                Level::Warning,
                format!("is behind: the oldest record is owed for {}{waits}", duration(sink.oldest_owed())),
                "look at the receiver; `concurrency` in the sink's section sends more at a time",
            ),
            _ => return None,
        };
        Some(Cause {
            about: Subject::Sink(sink.sink.clone()).to_string(),
            code: code.to_owned(),
            level,
            what: in_words(&Subject::Sink(sink.sink.clone()), &meaning),
            remedy: remedy.to_owned(),
            since: sink.owed_since,
            sources: 0,
            tenants: sink.waiting_tenants,
            records: sink.owed,
            examples: Vec::new(),
            meaning: String::new(),
            all: BTreeSet::new(),
        })
    };
    // On a shadow nothing depends.
    now.sinks.iter().filter(|sink| !sink.shadow).filter_map(tell).collect()
}

/// A cause that is Muster's own, and no tenant's or source's.
fn cause(
    about: &Subject,
    code: &str,
    level: Level,
    what: String,
    remedy: &str,
    since: Option<Timestamp>,
) -> Cause {
    Cause {
        about: about.to_string(),
        code: code.to_owned(),
        level,
        what,
        remedy: remedy.to_owned(),
        since,
        sources: 0,
        tenants: 0,
        records: 0,
        examples: Vec::new(),
        meaning: String::new(),
        all: BTreeSet::new(),
    }
}

/// A journal that is full or will be, and what was given up for that.
fn journal_causes(now: &Snapshot) -> Vec<Cause> {
    let subject = Subject::Part("journal".to_owned());
    let mut found = Vec::new();
    if let Some(room) = now.room.as_ref().filter(|room| room.warns) {
        let (code, level) = match room.full {
            true => ("full", Level::Critical),
            false => ("filling", Level::Warning),
        };
        let what = format!("the journal {}", room.in_words());
        let remedy = "mend the sinks that are down, or give it more room: [store] journal_max_size";
        found.push(cause(&subject, code, level, what, remedy, room.owed_since));
    }
    let lately = |sink: &&SinkStatus| {
        sink.given_up_at.is_some_and(|at| since(at, now.at) < GIVEN_UP_FOR && !sink.shadow)
    };
    for sink in now.sinks.iter().filter(lately) {
        let subject = Subject::Sink(sink.sink.clone());
        let meaning = format!(
            "does without {} records that were given up because the journal was full",
            number(sink.given_up)
        );
        let remedy = "`muster ledger` shows of which hours; `muster replay --sink` brings what the journal still has, and `muster fetch` shows what Microsoft has";
        let what = in_words(&subject, &meaning);
        found.push(Cause {
            records: sink.given_up,
            ..cause(&subject, "given_up", Level::Critical, what, remedy, sink.given_up_at)
        });
    }
    found
}

/// Receivers of notices that take none: people are not told what they should know.
fn receiver_causes(now: &Snapshot) -> Vec<Cause> {
    let told = |receiver: &NoticeReceiver| {
        let why = receiver.last_error.as_deref().unwrap_or("it does not answer");
        let (code, meaning, since_at) = match (receiver.stopped_at, receiver.failing_since) {
            (Some(at), _) => ("stopped", format!("gets nothing any more: {why}"), at),
            (None, Some(at)) if since(at, now.at) >= RECEIVER_FAILS_FOR => {
                let waiting = plural(receiver.waiting, "message");
                ("failing", format!("takes nothing; {waiting} for it: {why}"), at)
            }
            // What it refuses for good does not wait, and is told to nobody.
            _ => {
                let (at, refused) = (receiver.refuses_since()?, plural(receiver.refused, "message"));
                let meaning = "has taken nothing since it refused a message for good";
                ("refusing", format!("{meaning} ({refused} so far): {why}"), at)
            }
        };
        let subject = Subject::Receiver(receiver.name.clone());
        let what = in_words(&subject, &meaning);
        let remedy = "try it with `muster notice test`; `muster notice list` shows what waits";
        Some(cause(&subject, code, Level::Warning, what, remedy, Some(since_at)))
    };
    now.notices.iter().flat_map(|notices| &notices.receivers).filter_map(told).collect()
}

/// A receiver that has failed for less may be about to work: greylisting takes minutes.
const RECEIVER_FAILS_FOR: Duration = Duration::from_secs(300);

/// `muster run` that does not run, and parts of it that do not work. Sinks and apps among them are told as such.
fn run_causes(now: &Snapshot) -> Vec<Cause> {
    if !now.run.is_running() {
        let (state, words) = (now.run.state.as_str(), now.run.in_words(now.at));
        return vec![cause(&Subject::Run, state, Level::Critical, words, now.run.remedy(), now.run.since)];
    }
    let parts = now.parts().filter(|part| !part.part.starts_with("sink ") && !part.part.starts_with(APP));
    let told = |part: &PartTrouble| {
        let subject = Subject::Part(part.part.clone());
        let what = in_words(&subject, &part.reason);
        cause(&subject, "part", Level::Critical, what, MEND, None)
    };
    parts.map(told).collect()
}
