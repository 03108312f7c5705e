//! The account: what was produced, and what became of it, per tenant and sink. It is drawn from what the emulated world and
//! the receivers wrote down; Muster is not asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use muster_emulator::Tenant;
use muster_emulator::receivers::{Produced, ReceiverTally, RecordKind};
use serde::Serialize;

use crate::content::Again;
use crate::plan::{Disaster, Receiver};

/// What came longer than this before the second copy's request may still have been in flight: a sink's time-out, and what a
/// node does after it.
const ECHO: Duration = Duration::from_secs(30);

/// By then a record has mostly been read and delivered.
const NEAR: Duration = Duration::from_secs(60);

/// How many lost records of a sink are named.
const LOST_RECORDS_MAX: usize = 10;

/// A sink of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Sink {
    Splunk,
    Syslog,
    File,
    ObjectStore,
}

impl Sink {
    /// Whether nothing may ever be there twice.
    pub(crate) fn is_exact(self) -> bool {
        matches!(self, Self::File | Self::ObjectStore)
    }

    fn receiver(self) -> Option<Receiver> {
        match self {
            Self::Splunk => Some(Receiver::Splunk),
            Self::Syslog => Some(Receiver::Syslog),
            Self::File | Self::ObjectStore => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Splunk => "splunk",
            Self::Syslog => "syslog",
            Self::File => "file",
            Self::ObjectStore => "object_store",
        }
    }
}

/// A disaster that has struck; times are counted from the beginning.
#[derive(Debug, Clone)]
pub(crate) struct Struck {
    pub(crate) from: Duration,
    pub(crate) to: Duration,
    pub(crate) disaster: Disaster,
    /// Why it could not be done as planned.
    pub(crate) failed: Option<String>,
}

/// A copy that came, counted from the beginning.
#[derive(Debug, Clone)]
pub(crate) struct Copy {
    pub(crate) tenant: String,
    pub(crate) first: Duration,
    pub(crate) again: Duration,
}

/// What one sink's receiver wrote down.
pub(crate) struct Seen {
    pub(crate) sink: Sink,
    pub(crate) tally: ReceiverTally,
    /// When copies came, where the receiver knows.
    pub(crate) copies: Vec<Copy>,
    /// What came again by tenant, where contents can be read and compared.
    pub(crate) again: Option<BTreeMap<String, Again>>,
}

/// All that the account is drawn from.
pub(crate) struct Evidence<'a> {
    /// Of tenants that were onboarded.
    pub(crate) produced: &'a [Produced],
    pub(crate) tenants: &'a [Tenant],
    /// By place: whose records are owed, which are all that were ever onboarded.
    pub(crate) onboarded: &'a BTreeSet<usize>,
    /// Of them, whose work was ended by the operator, who gave up what was under way.
    pub(crate) offboarded: &'a BTreeSet<usize>,
    pub(crate) seen: &'a [Seen],
    pub(crate) struck: &'a [Struck],
    /// What no disaster excuses: crashes, what did not stop, and commands that could not be given.
    pub(crate) faults: &'a [String],
    /// When the run began, in milliseconds since 1970.
    pub(crate) began_ms: i64,
}

/// The numbers of one sink, or of one tenant at one sink.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Numbers {
    /// Alerts and incidents that are owed.
    pub(crate) produced: u64,
    /// Of them, those whose newest version arrived.
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    /// Not there, of a tenant that was offboarded.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) given_up: u64,
    /// Copies of versions beyond the first of each.
    pub(crate) doubled: u64,
    /// Incidents that came without their alerts, and again with them: no copies where contents can be compared, and among them
    /// elsewhere.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) completed: u64,
    /// What struck between the first and the next copy.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) doubled_by: BTreeMap<&'static str, u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// One sink's part of the account.
#[derive(Debug, Serialize)]
pub(crate) struct SinkPart {
    pub(crate) sink: Sink,
    /// `exactly once` or `at least once`.
    pub(crate) promise: &'static str,
    #[serde(flatten)]
    pub(crate) numbers: Numbers,
    /// Versions that were never produced for a tenant that was onboarded, and events that cannot be read.
    pub(crate) invented: u64,
    /// The first of what is lost.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) lost_records: Vec<Lost>,
}

/// A record whose newest version did not arrive.
#[derive(Debug, Serialize)]
pub(crate) struct Lost {
    pub(crate) tenant: String,
    pub(crate) kind: RecordKind,
    pub(crate) id: String,
    /// What struck when it had just been produced.
    pub(crate) while_struck_by: Vec<&'static str>,
}

/// One tenant's part of the account.
#[derive(Debug, Serialize)]
pub(crate) struct TenantPart {
    pub(crate) tenant: String,
    pub(crate) name: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) offboarded: bool,
    pub(crate) sinks: BTreeMap<Sink, Numbers>,
}

/// The whole account.
#[derive(Debug, Serialize)]
pub(crate) struct Account {
    pub(crate) sinks: Vec<SinkPart>,
    pub(crate) tenants: Vec<TenantPart>,
    /// What nodes and commands did that no disaster excuses.
    pub(crate) faults: Vec<String>,
}

/// What a double is put down to where nothing struck.
const NOTHING: &str = "nothing that struck";
/// What a double is put down to where the receiver does not know when it came.
const UNKNOWN: &str = "time not known";

impl Account {
    /// Draws it.
    pub(crate) fn of(evidence: &Evidence<'_>) -> Self {
        let mut owed: BTreeMap<&str, BTreeSet<(RecordKind, &str)>> = BTreeMap::new();
        for record in evidence.produced {
            owed.entry(&record.tenant).or_default().insert((record.kind, &record.id));
        }
        let mut tenants = Vec::new();
        for &place in evidence.onboarded {
            let Some(tenant) = evidence.tenants.get(place) else { continue };
            let offboarded = evidence.offboarded.contains(&place);
            let produced = owed.get(tenant.id.as_str()).map_or(0, |records| records.len() as u64);
            let part = |seen: &Seen| {
                let counted = seen.tally.tenants.get(&tenant.id).copied().unwrap_or_default();
                let missing = counted.lost;
                let again =
                    seen.again.as_ref().map(|again| again.get(&tenant.id).copied().unwrap_or_default());
                let doubled = again.map_or(counted.doubled, |again| again.doubled);
                let numbers = Numbers {
                    produced,
                    delivered: produced.saturating_sub(missing),
                    lost: if offboarded { 0 } else { missing },
                    given_up: if offboarded { missing } else { 0 },
                    doubled,
                    completed: again.map_or(0, |again| again.completed),
                    doubled_by: causes(seen, &tenant.id, doubled, evidence.struck),
                };
                (seen.sink, numbers)
            };
            tenants.push(TenantPart {
                tenant: tenant.id.clone(),
                name: tenant.name.clone(),
                offboarded,
                sinks: evidence.seen.iter().map(part).collect(),
            });
        }
        let sinks = evidence.seen.iter().map(|seen| SinkPart::of(seen, &tenants, evidence)).collect();
        Self { sinks, tenants, faults: evidence.faults.to_vec() }
    }

    /// Whether every promise was kept.
    pub(crate) fn is_clean(&self) -> bool {
        let is_kept = |part: &SinkPart| {
            part.numbers.lost == 0
                && part.invented == 0
                && !(part.sink.is_exact() && part.numbers.doubled > 0)
        };
        self.faults.is_empty() && self.sinks.iter().all(is_kept)
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "{:<13} {:>9} {:>9} {:>6} {:>9} {:>8} {:>8}  promise\n",
            "SINK", "PRODUCED", "DELIVERED", "LOST", "GIVEN UP", "DOUBLED", "INVENTED"
        );
        for part in &self.sinks {
            let of = &part.numbers;
            // Writing to a String cannot fail.
            writeln!(
                text,
                "{:<13} {:>9} {:>9} {:>6} {:>9} {:>8} {:>8}  {}",
                part.sink.name(),
                of.produced,
                of.delivered,
                of.lost,
                of.given_up,
                of.doubled,
                part.invented,
                part.promise
            )
            .unwrap_or_default();
            if of.completed > 0 {
                let what = "incidents came without their alerts, and again with them";
                writeln!(text, "{:<13} {} {what}", "", of.completed).unwrap_or_default();
            }
            for (cause, count) in &of.doubled_by {
                writeln!(text, "{:<13} {count} doubled: {cause}", "").unwrap_or_default();
            }
            for lost in &part.lost_records {
                let while_struck_by = lost.while_struck_by.join(", ");
                writeln!(
                    text,
                    "{:<13} lost: {:?} {} of {} (when it was new: {while_struck_by})",
                    "", lost.kind, lost.id, lost.tenant
                )
                .unwrap_or_default();
            }
        }
        let troubled = self.tenants.iter().filter(|tenant| {
            tenant.offboarded || tenant.sinks.values().any(|numbers| numbers.lost > 0 || numbers.doubled > 0)
        });
        for tenant in troubled {
            let ended = if tenant.offboarded { ", offboarded" } else { "" };
            write!(text, "{} ({}{ended}):", tenant.name, tenant.tenant).unwrap_or_default();
            for (sink, numbers) in &tenant.sinks {
                write!(
                    text,
                    " {} {}/{} lost {} doubled {};",
                    sink.name(),
                    numbers.delivered,
                    numbers.produced,
                    numbers.lost,
                    numbers.doubled
                )
                .unwrap_or_default();
            }
            text.push('\n');
        }
        for fault in &self.faults {
            writeln!(text, "fault: {fault}").unwrap_or_default();
        }
        text
    }
}

impl SinkPart {
    fn of(seen: &Seen, tenants: &[TenantPart], evidence: &Evidence<'_>) -> Self {
        let mut numbers = Numbers::default();
        for part in tenants.iter().filter_map(|tenant| tenant.sinks.get(&seen.sink)) {
            numbers.produced += part.produced;
            numbers.delivered += part.delivered;
            numbers.lost += part.lost;
            numbers.given_up += part.given_up;
            numbers.doubled += part.doubled;
            numbers.completed += part.completed;
            for (cause, count) in &part.doubled_by {
                *numbers.doubled_by.entry(cause).or_default() += count;
            }
        }
        let is_owed = |id: &str| {
            let place = evidence.tenants.iter().position(|tenant| tenant.id == id);
            place.is_some_and(|place| {
                evidence.onboarded.contains(&place) && !evidence.offboarded.contains(&place)
            })
        };
        let lost = seen.tally.lost_examples.iter().filter(|lost| is_owed(&lost.tenant));
        Self {
            sink: seen.sink,
            promise: if seen.sink.is_exact() { "exactly once" } else { "at least once" },
            invented: seen.tally.unknown + seen.tally.unreadable,
            lost_records: lost
                .take(LOST_RECORDS_MAX)
                .map(|lost| Lost {
                    tenant: lost.tenant.clone(),
                    kind: lost.kind,
                    id: lost.id.clone(),
                    while_struck_by: around(lost.updated_ms - evidence.began_ms, evidence.struck),
                })
                .collect(),
            numbers,
        }
    }
}

/// What was in force, or struck, within the first minute of a record; its time in milliseconds from the beginning.
fn around(produced_ms: i64, struck: &[Struck]) -> Vec<&'static str> {
    let Ok(produced) = u64::try_from(produced_ms).map(Duration::from_millis) else { return Vec::new() };
    let near = |struck: &&Struck| struck.from <= produced + NEAR && struck.to >= produced;
    let kinds: BTreeSet<&str> = struck.iter().filter(near).map(|struck| struck.disaster.kind()).collect();
    kinds.into_iter().collect()
}

/// Why a tenant's copies came: the last disaster that struck between the first and the next copy and can have done it.
fn causes(seen: &Seen, tenant: &str, doubled: u64, struck: &[Struck]) -> BTreeMap<&'static str, u64> {
    let mut causes = BTreeMap::new();
    let mut explained = 0;
    for copy in seen.copies.iter().filter(|copy| copy.tenant == tenant) {
        let cause = seen.sink.receiver().and_then(|receiver| {
            let last = |may: fn(Disaster, Receiver) -> bool| {
                let between = struck.iter().filter(|struck| {
                    may(struck.disaster, receiver)
                        && struck.from <= copy.again
                        && struck.to + ECHO >= copy.first
                });
                // Of several, the one that began last.
                between.max_by_key(|struck| struck.from).map(|struck| struck.disaster.kind())
            };
            last(Disaster::may_double).or_else(|| last(|disaster, _| disaster.may_tell_in_parts()))
        });
        *causes.entry(cause.unwrap_or(NOTHING)).or_default() += 1;
        explained += 1;
    }
    if doubled > explained {
        causes.insert(UNKNOWN, doubled - explained);
    }
    causes
}

#[cfg(test)]
mod tests {
    use muster_emulator::receivers::TenantTally;

    use super::*;

    fn tenants() -> Vec<Tenant> {
        ["a", "b", "c"]
            .map(|id| Tenant { id: id.to_owned(), name: id.to_uppercase(), domain: format!("{id}.example") })
            .to_vec()
    }

    fn produced() -> Vec<Produced> {
        let of = |tenant: &str, id: &str, updated_ms| Produced {
            tenant: tenant.to_owned(),
            kind: RecordKind::Alert,
            id: id.to_owned(),
            updated_ms,
        };
        // One of them in two versions.
        vec![of("a", "1", 1), of("a", "1", 2), of("a", "2", 1), of("b", "1", 1), of("c", "1", 1)]
    }

    fn tally(counted: &[(&str, u64, u64, u64)]) -> ReceiverTally {
        let tenants = counted.iter().map(|&(tenant, received, lost, doubled)| {
            (tenant.to_owned(), TenantTally { received, lost, doubled })
        });
        ReceiverTally { used: true, tenants: tenants.collect(), ..ReceiverTally::default() }
    }

    fn account(seen: Vec<Seen>, offboarded: &[usize], struck: &[Struck]) -> Account {
        Account::of(&Evidence {
            produced: &produced(),
            tenants: &tenants(),
            onboarded: &BTreeSet::from([0, 1]),
            offboarded: &offboarded.iter().copied().collect(),
            seen: &seen,
            struck,
            faults: &[],
            began_ms: 1_000_000,
        })
    }

    fn at(sink: Sink, counted: &[(&str, u64, u64, u64)]) -> Seen {
        Seen { sink, tally: tally(counted), copies: Vec::new(), again: None }
    }

    #[test]
    fn what_arrived_once_is_clean_and_what_nobody_onboarded_is_not_owed() {
        let account =
            account(vec![at(Sink::File, &[("a", 2, 0, 0), ("b", 1, 0, 0), ("c", 0, 1, 0)])], &[], &[]);
        assert!(account.is_clean(), "{}", account.text());
        let numbers = &account.sinks[0].numbers;
        assert_eq!((numbers.produced, numbers.delivered, numbers.lost), (3, 3, 0));
    }

    #[test]
    fn lost_invented_and_doubled_where_nothing_may_be_are_not_clean() {
        let lost = account(vec![at(Sink::Splunk, &[("a", 1, 1, 0), ("b", 1, 0, 0)])], &[], &[]);
        assert!(!lost.is_clean());
        assert_eq!(lost.tenants[0].sinks[&Sink::Splunk].lost, 1);
        let doubled = |sink| account(vec![at(sink, &[("a", 3, 0, 1), ("b", 1, 0, 0)])], &[], &[]);
        assert!(!doubled(Sink::ObjectStore).is_clean() && !doubled(Sink::File).is_clean());
        assert!(doubled(Sink::Splunk).is_clean() && doubled(Sink::Syslog).is_clean());
        let mut unknown = at(Sink::Splunk, &[("a", 2, 0, 0), ("b", 1, 0, 0)]);
        unknown.tally.unknown = 1;
        assert!(!account(vec![unknown], &[], &[]).is_clean());
    }

    #[test]
    fn a_crash_is_not_clean_though_everything_arrived() {
        let mut account = account(vec![at(Sink::File, &[("a", 2, 0, 0), ("b", 1, 0, 0)])], &[], &[]);
        assert!(account.is_clean());
        account.faults.push("node 1 crashed (exit status: 101)".to_owned());
        assert!(!account.is_clean());
        assert!(account.text().contains("fault: node 1 crashed"), "{}", account.text());
    }

    #[test]
    fn where_contents_are_compared_they_decide() {
        let with = |again| {
            let mut seen = at(Sink::File, &[("a", 4, 0, 2), ("b", 1, 0, 0)]);
            seen.again = Some(BTreeMap::from([("a".to_owned(), again)]));
            account(vec![seen], &[], &[])
        };
        let completed = with(Again { doubled: 0, completed: 2 });
        assert!(completed.is_clean());
        assert_eq!(completed.sinks[0].numbers.completed, 2);
        assert!(!with(Again { doubled: 1, completed: 1 }).is_clean());
    }

    #[test]
    fn a_lost_record_is_named_with_what_struck_when_it_was_new() {
        let second = Duration::from_secs;
        let struck =
            |from, to, disaster| Struck { from: second(from), to: second(to), disaster, failed: None };
        let history = [
            struck(10, 20, Disaster::FillStore),
            struck(70, 75, Disaster::Kill { node: 0 }),
            struck(170, 180, Disaster::RotateSecret),
        ];
        let mut seen = at(Sink::File, &[("a", 1, 1, 0), ("b", 1, 0, 0)]);
        let lost = |tenant: &str, second: i64| Produced {
            tenant: tenant.to_owned(),
            kind: RecordKind::Alert,
            id: "1".to_owned(),
            updated_ms: 1_000_000 + second * 1_000,
        };
        // That of `c` is owed by nobody.
        seen.tally.lost_examples = vec![lost("a", 60), lost("c", 60)];
        let account = account(vec![seen], &[], &history);
        let [lost] = &account.sinks[0].lost_records[..] else { panic!("{}", account.text()) };
        assert_eq!((lost.tenant.as_str(), &lost.while_struck_by[..]), ("a", &["node killed"][..]));
        assert!(account.text().contains("when it was new: node killed"), "{}", account.text());
    }

    #[test]
    fn what_an_offboarded_tenant_misses_was_given_up() {
        let account = account(vec![at(Sink::File, &[("a", 2, 0, 0), ("b", 0, 1, 0)])], &[1], &[]);
        assert!(account.is_clean());
        assert_eq!((account.sinks[0].numbers.lost, account.sinks[0].numbers.given_up), (0, 1));
        assert!(account.text().contains("offboarded"), "{}", account.text());
    }

    #[test]
    fn a_double_is_put_down_to_what_struck_in_between() {
        let second = Duration::from_secs;
        let struck =
            |from, to, disaster| Struck { from: second(from), to: second(to), disaster, failed: None };
        let copy = |first, again| Copy { tenant: "a".to_owned(), first: second(first), again: second(again) };
        let syslog = Disaster::Receiver { receiver: Receiver::Syslog, does: crate::plan::Misbehaviour::Down };
        let history = [
            struck(100, 103, Disaster::Kill { node: 0 }),
            struck(104, 110, syslog),
            struck(105, 106, Disaster::RotateSecret),
        ];
        let mut seen = at(Sink::Splunk, &[("a", 6, 0, 4), ("b", 1, 0, 0)]);
        seen.copies = vec![copy(99, 112), copy(10, 20), copy(300, 310)];
        let account = account(vec![seen], &[], &history);
        let expected = BTreeMap::from([("node killed", 1), (NOTHING, 2), (UNKNOWN, 1)]);
        assert_eq!(account.tenants[0].sinks[&Sink::Splunk].doubled_by, expected);
        assert_eq!(account.sinks[0].numbers.doubled_by, expected);
    }
}
