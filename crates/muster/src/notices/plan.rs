//! Who is to be told what of the conditions: pure, from what was known of them, what is seen now, and who wants to know.
//!
//! A condition must hold for a while before anybody is told, and be gone for a while before it is over. One that comes back
//! soon must be gone for longer each time: what flaps is told a few times, and then stays open until it is calm. What a
//! receiver was told is noted in the same transaction as the message, so a restart tells nothing twice and forgets nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use muster_model::{Tenant, TenantId};
use muster_store::{NewNotice, NotedConditions, NoticeCondition, NoticeSnooze, NoticeTold, WAITING_MAX};

use super::conditions::{Condition, Facts, Urgency};
use super::kind::Kind;
use super::message::{Event, Notice};
use super::snoozes;
use crate::config::NoticeSettings;
use crate::shown::state::since;

/// What was over for less than this has come back; what is over for longer begins anew.
const RETURNS_WITHIN: SignedDuration = SignedDuration::from_hours(24);
/// What has come back often must be gone for no longer than this.
const OVER_AFTER_MAX: Duration = Duration::from_secs(2 * 3_600);
/// How old the noted time of a condition that holds may become.
const NOTED_EVERY: Duration = Duration::from_secs(60);

/// What is seen now.
pub struct Seen<'a> {
    pub conditions: Vec<Condition>,
    /// The kinds that can be seen at all: of others nothing is known, and they stay as they are.
    pub kinds: BTreeSet<Kind>,
    /// Since when somebody has been looking: what was not seen before that may have held all the same.
    pub watching_since: Timestamp,
    pub now: Timestamp,
    pub receivers: &'a BTreeMap<String, NoticeSettings>,
    pub tenants: &'a HashMap<TenantId, Tenant>,
    pub snoozes: &'a [NoticeSnooze],
    /// Messages that wait for each receiver.
    pub waiting: &'a HashMap<String, u64>,
}

/// What is noted, and sent.
#[must_use]
pub fn plan(known: Vec<NoticeCondition>, seen: &Seen<'_>) -> NotedConditions {
    let mut noted = NotedConditions::default();
    let mut known: BTreeMap<String, NoticeCondition> =
        known.into_iter().map(|condition| (condition.key.clone(), condition)).collect();
    for condition in &seen.conditions {
        let key = condition.key();
        let before = known.remove(&key);
        let mut after = holds(before.clone(), condition, &key, seen.now);
        tell(&mut after, condition.kind, &condition.facts, seen, &mut noted.messages);
        if before.as_ref().is_none_or(|before| is_worth_noting(before, &after)) {
            noted.put.push(after);
        }
    }
    for (_, before) in known {
        let Some(kind) = Kind::named(&before.kind) else {
            // Of a version to come, which was here for a while.
            continue;
        };
        if before.ended_at.is_some() || !seen.kinds.contains(&kind) {
            continue;
        }
        let gone_since = before.last_seen_at.max(seen.watching_since);
        // What nobody was told of has nothing to come back from.
        let returns = if before.told.is_empty() { 0 } else { before.returns };
        if since(gone_since, seen.now) < over_after(kind, returns) {
            continue;
        }
        let ended = NoticeCondition { ended_at: Some(gone_since), ..before };
        tell_end(&ended, kind, gone_since, seen, &mut noted.messages);
        noted.put.push(ended);
    }
    noted
}

/// A condition that is seen, as it is known from now on.
fn holds(
    before: Option<NoticeCondition>,
    condition: &Condition,
    key: &str,
    now: Timestamp,
) -> NoticeCondition {
    let facts = serde_json::to_string(&condition.facts).expect("texts and numbers");
    let new = |returns| NoticeCondition {
        key: key.to_owned(),
        kind: condition.kind.as_str().to_owned(),
        tenant: condition.facts.tenant.as_ref().map(|tenant| tenant.id),
        facts: facts.clone(),
        first_seen_at: now,
        last_seen_at: now,
        ended_at: None,
        returns,
        told: BTreeMap::new(),
    };
    match before {
        None => new(0),
        Some(NoticeCondition { ended_at: Some(ended_at), returns, told, .. }) => {
            let is_back = now.duration_since(ended_at) < RETURNS_WITHIN;
            new(if is_back { returns.saturating_add(u32::from(!told.is_empty())) } else { 0 })
        }
        // It has lost its tenant where that was offboarded, and is here again.
        Some(before) => {
            let tenant = condition.facts.tenant.as_ref().map(|tenant| tenant.id);
            NoticeCondition { facts, tenant, last_seen_at: now.max(before.last_seen_at), ..before }
        }
    }
}

/// Whether more has changed than that it was seen once more.
fn is_worth_noting(before: &NoticeCondition, after: &NoticeCondition) -> bool {
    let as_before =
        NoticeCondition { last_seen_at: before.last_seen_at, facts: before.facts.clone(), ..after.clone() };
    as_before != *before || since(before.last_seen_at, after.last_seen_at) >= NOTED_EVERY
}

/// How long a condition must be gone to be over.
fn over_after(kind: Kind, returns: u32) -> Duration {
    let times = 1_u32.checked_shl(returns.min(16)).unwrap_or(u32::MAX);
    kind.over_after().saturating_mul(times).min(OVER_AFTER_MAX.max(kind.over_after()))
}

/// Since when it holds.
fn began(condition: &NoticeCondition, facts: &Facts) -> Timestamp {
    facts.since.map_or(condition.first_seen_at, |since| since.min(condition.first_seen_at))
}

/// Tells every receiver that wants to know and was not told, and reminds those that were.
fn tell(
    condition: &mut NoticeCondition,
    kind: Kind,
    facts: &Facts,
    seen: &Seen<'_>,
    messages: &mut Vec<NewNotice>,
) {
    // A service that does not run has its own last sign of life.
    let first = match kind {
        Kind::NotRunning => began(condition, facts),
        _ => condition.first_seen_at,
    };
    if since(first, seen.now) < kind.tell_after() || snoozes::under(seen.snoozes, &condition.key).is_some() {
        return;
    }
    for (name, receiver) in seen.receivers {
        if !wants(receiver, kind, condition.tenant, seen) || is_full(name, seen) {
            continue;
        }
        let event = match condition.told.get(name) {
            None => Event::Began,
            Some(told) => {
                let every = receiver.keys.remind_every.0;
                if every.is_zero() || since(told.last_at, seen.now) < every {
                    continue;
                }
                Event::Reminder
            }
        };
        let notice =
            Notice::of_condition(event, kind, &condition.key, facts, began(condition, facts), seen.now);
        push(messages, (name, receiver), &notice, condition.tenant, seen.now);
        let told =
            condition.told.entry(name.clone()).or_insert(NoticeTold { at: seen.now, last_at: seen.now });
        told.last_at = seen.now;
    }
}

/// Tells those that were told of it that it is over.
fn tell_end(
    condition: &NoticeCondition,
    kind: Kind,
    ended_at: Timestamp,
    seen: &Seen<'_>,
    messages: &mut Vec<NewNotice>,
) {
    let Ok(facts) = serde_json::from_str::<Facts>(&condition.facts) else { return };
    for name in condition.told.keys() {
        let Some(receiver) = seen.receivers.get(name) else { continue };
        let from = began(condition, &facts);
        let notice = Notice {
            at: seen.now,
            ..Notice::of_condition(Event::Ended, kind, &condition.key, &facts, from, ended_at)
        };
        push(messages, (name, receiver), &notice, condition.tenant, seen.now);
    }
}

/// Whether a receiver is to be told of such a condition.
fn wants(receiver: &NoticeSettings, kind: Kind, tenant: Option<TenantId>, seen: &Seen<'_>) -> bool {
    receiver.keys.conditions.contains(&kind)
        && match tenant {
            Some(tenant) => seen.tenants.get(&tenant).is_some_and(|tenant| receiver.keys.is_for(tenant)),
            None => true,
        }
}

/// Whether so much waits for a receiver that it is told later.
fn is_full(name: &str, seen: &Seen<'_>) -> bool {
    // Alerts never take all of the room.
    seen.waiting.get(name).is_some_and(|waiting| *waiting >= 2 * WAITING_MAX)
}

/// A message to everybody whom a receiver stands for.
pub fn push(
    messages: &mut Vec<NewNotice>,
    (name, receiver): (&str, &NoticeSettings),
    notice: &Notice,
    tenant: Option<TenantId>,
    now: Timestamp,
) {
    let quiet = receiver.keys.quiet.as_ref();
    let held =
        quiet.filter(|quiet| quiet.hold_urgent || !is_urgent(notice)).and_then(|quiet| quiet.ends(now));
    let content = serde_json::to_string(notice).expect("texts and numbers");
    messages.extend(receiver.targets().into_iter().map(|target| NewNotice {
        receiver: name.to_owned(),
        target,
        tenant,
        event: notice.event.as_str().to_owned(),
        key: notice.key.clone(),
        due_at: held.unwrap_or(now),
        content: content.clone(),
    }));
}

/// What is told in quiet hours, too.
fn is_urgent(notice: &Notice) -> bool {
    matches!(notice.event, Event::Began | Event::Alert) && notice.level == Urgency::Critical
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World {
        known: BTreeMap<String, NoticeCondition>,
        receivers: BTreeMap<String, NoticeSettings>,
        snoozes: Vec<NoticeSnooze>,
        second: i64,
        watching_since: i64,
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    fn receiver(more: &str) -> NoticeSettings {
        let keys = toml::from_str(more).expect("keys");
        let way = "url = \"https://hooks.example/x\"";
        NoticeSettings { keys, way: crate::config::NoticeWay::Webhook(toml::from_str(way).expect("keys")) }
    }

    fn down() -> Condition {
        Condition {
            kind: Kind::SinkDown,
            subject: "splunk".to_owned(),
            facts: Facts {
                named: "splunk".to_owned(),
                tenant: None,
                level: Urgency::Critical,
                what: "sink `splunk` is down".to_owned(),
                remedy: "mend it".to_owned(),
                since: None,
            },
        }
    }

    impl World {
        fn new(keys: &str) -> Self {
            Self {
                known: BTreeMap::new(),
                receivers: BTreeMap::from([("ops".to_owned(), receiver(keys))]),
                snoozes: Vec::new(),
                second: 0,
                watching_since: 0,
            }
        }

        /// What is sent when this is seen after so many seconds.
        fn after(&mut self, seconds: i64, conditions: &[Condition]) -> Vec<String> {
            self.second += seconds;
            let seen = Seen {
                conditions: conditions.to_vec(),
                kinds: Kind::ALL.into(),
                watching_since: at(self.watching_since),
                now: at(self.second),
                receivers: &self.receivers,
                tenants: &HashMap::new(),
                snoozes: &self.snoozes,
                waiting: &HashMap::new(),
            };
            let noted = plan(self.known.values().cloned().collect(), &seen);
            self.known.extend(noted.put.into_iter().map(|condition| (condition.key.clone(), condition)));
            noted.messages.into_iter().map(|message| message.event).collect()
        }

        fn looks(&mut self, seconds: i64, conditions: &[Condition]) -> Vec<String> {
            (0..seconds / 30).flat_map(|_| self.after(30, conditions)).collect()
        }
    }

    const NOTHING: [&str; 0] = [];

    #[test]
    fn a_condition_is_told_once_then_reminded_of_then_over() {
        let mut world = World::new("remind_every = \"6h\"");
        assert_eq!(world.after(0, &[down()]), NOTHING, "not before it held for a while");
        assert_eq!(world.looks(60, &[down()]), ["began"]);
        assert_eq!(world.looks(6 * 3_600 - 60, &[down()]), NOTHING);
        assert_eq!(world.looks(3_600, &[down()]), ["reminder"]);
        assert_eq!(world.looks(270, &[]), NOTHING, "not before it was gone for a while");
        assert_eq!(world.looks(60, &[]), ["ended"]);
        assert_eq!(world.looks(86_400, &[]), NOTHING);
    }

    #[test]
    fn what_passes_at_once_is_told_to_nobody() {
        let mut world = World::new("");
        for _ in 0..20 {
            assert_eq!(world.after(30, &[down()]), NOTHING);
            assert_eq!(world.looks(3_600, &[]), NOTHING);
        }
    }

    #[test]
    fn what_flaps_is_told_a_few_times_and_not_a_hundred() {
        let mut world = World::new("remind_every = \"0s\"");
        let mut told = Vec::new();
        // Ten minutes on and ten off, for two days.
        for _ in 0..144 {
            told.extend(world.looks(600, &[down()]));
            told.extend(world.looks(600, &[]));
        }
        assert!(told.len() <= 6, "{told:?}");
        assert_eq!(told.last().map(String::as_str), Some("began"), "and stays open: {told:?}");
        // Once it is calm for longer than it ever was, it is over.
        assert_eq!(world.looks(3 * 3_600, &[]), ["ended"]);
    }

    #[test]
    fn a_restart_tells_nothing_twice_and_forgets_nothing() {
        let mut world = World::new("");
        assert_eq!(world.looks(120, &[down()]), ["began"]);
        // Down for an hour, and on again; nothing is seen for the first while.
        world.second += 3_600;
        world.watching_since = world.second;
        assert_eq!(world.looks(240, &[]), NOTHING);
        assert_eq!(world.looks(600, &[down()]), NOTHING, "it is the same one");
        world.second += 3_600;
        world.watching_since = world.second;
        assert_eq!(world.looks(330, &[]), ["ended"], "what ended meanwhile is told");
    }

    #[test]
    fn a_stop_between_two_pieces_tells_nothing_twice_and_forgets_nothing() {
        let many: Vec<Condition> =
            (0..250).map(|number| Condition { subject: format!("sink-{number}"), ..down() }).collect();
        let mut world = World::new("remind_every = \"0s\"");
        assert_eq!(world.after(0, &many), NOTHING);
        for (conditions, event) in [(&many[..], "began"), (&[], "ended")] {
            let mut told = Vec::new();
            // Each time only the first piece is written before it stops.
            for look in 0..5 {
                world.second += 600;
                let seen = Seen {
                    conditions: conditions.to_vec(),
                    kinds: Kind::ALL.into(),
                    watching_since: at(0),
                    now: at(world.second),
                    receivers: &world.receivers,
                    tenants: &HashMap::new(),
                    snoozes: &[],
                    waiting: &HashMap::new(),
                };
                let mut pieces = plan(world.known.values().cloned().collect(), &seen).pieces(100);
                assert!(pieces.iter().all(|piece| piece.put.len() <= 100 && piece.messages.len() <= 100));
                if pieces.is_empty() {
                    continue;
                }
                let piece = pieces.remove(0);
                // Where nothing is to be told any more, it is only noted that they were seen.
                assert_eq!(piece.messages.is_empty(), look > 2, "what is told goes first");
                let keys = |of: Vec<String>| of.into_iter().collect::<BTreeSet<_>>();
                let put = keys(piece.put.iter().map(|condition| condition.key.clone()).collect());
                let of = keys(piece.messages.iter().map(|message| message.key.clone()).collect());
                assert!(of.is_subset(&put), "a message is written with its condition");
                world.known.extend(piece.put.into_iter().map(|condition| (condition.key.clone(), condition)));
                told.extend(piece.messages);
            }
            assert_eq!(told.len(), 250, "{event}");
            assert!(told.iter().all(|message| message.event == event));
            assert_eq!(told.iter().map(|message| &message.key).collect::<BTreeSet<_>>().len(), 250);
        }
    }

    #[test]
    fn what_is_snoozed_is_told_when_the_snooze_is_over() {
        let mut world = World::new("");
        world.snoozes = vec![NoticeSnooze {
            key: "sink_down/*".to_owned(),
            tenant: None,
            until: at(9_999),
            reason: "maintenance".to_owned(),
            actor: "anna".to_owned(),
            set_at: at(0),
        }];
        assert_eq!(world.looks(3_600, &[down()]), NOTHING);
        world.snoozes.clear();
        assert_eq!(world.looks(60, &[down()]), ["began"]);
        let mut over = World::new("");
        over.snoozes = vec![NoticeSnooze {
            key: "*/*".to_owned(),
            tenant: None,
            until: at(9_999),
            reason: "maintenance".to_owned(),
            actor: "anna".to_owned(),
            set_at: at(0),
        }];
        assert_eq!(over.looks(600, &[down()]), NOTHING);
        assert_eq!(over.looks(3_600, &[]), NOTHING, "nobody knew of it");
    }

    #[test]
    fn the_end_is_told_of_what_a_tenant_had_that_was_offboarded() {
        let mut world = World::new("");
        let mut lost = down();
        lost.kind = Kind::ConsentLost;
        assert_eq!(world.looks(120, &[lost]), ["began"]);
        for known in world.known.values_mut() {
            known.facts = muster_store::offboarded_facts("contoso");
            known.tenant = None;
        }
        world.second += 600;
        let seen = Seen {
            conditions: Vec::new(),
            kinds: Kind::ALL.into(),
            watching_since: at(0),
            now: at(world.second),
            receivers: &world.receivers,
            tenants: &HashMap::new(),
            snoozes: &[],
            waiting: &HashMap::new(),
        };
        let noted = plan(world.known.values().cloned().collect(), &seen);
        let [told] = noted.messages.as_slice() else { panic!("{noted:?}") };
        let notice: Notice = serde_json::from_str(&told.content).expect("a notice");
        assert_eq!((notice.event, notice.named.as_str(), notice.tenant), (Event::Ended, "contoso", None));
        assert_eq!(
            (notice.key.as_str(), notice.what.as_str()),
            ("consent_lost/splunk", "the tenant was offboarded")
        );
    }

    #[test]
    fn who_does_not_want_to_know_is_not_told_and_who_comes_later_is() {
        let mut world = World::new("conditions = [\"consent_lost\"]");
        assert_eq!(world.looks(600, &[down()]), NOTHING);
        world.receivers.insert("new".to_owned(), receiver("conditions = [\"sink_down\"]"));
        assert_eq!(world.looks(60, &[down()]), ["began"]);
        // Of what cannot be seen nothing is said.
        world.second += 30;
        let seen = Seen {
            conditions: Vec::new(),
            kinds: BTreeSet::from([Kind::NotRunning]),
            watching_since: at(0),
            now: at(world.second + 9_999),
            receivers: &world.receivers,
            tenants: &HashMap::new(),
            snoozes: &[],
            waiting: &HashMap::new(),
        };
        let noted = plan(world.known.values().cloned().collect(), &seen);
        assert_eq!(noted, NotedConditions::default());
    }

    #[test]
    fn in_quiet_hours_only_what_is_urgent_is_told_at_once() {
        let quiet = "quiet = { from = \"00:00\", to = \"00:00\" }\nremind_every = \"1h\"";
        let mut world = World::new(quiet);
        let due = |world: &mut World, conditions: &[Condition]| {
            world.second += 3_601;
            let seen = Seen {
                conditions: conditions.to_vec(),
                kinds: Kind::ALL.into(),
                watching_since: at(0),
                now: at(world.second),
                receivers: &world.receivers,
                tenants: &HashMap::new(),
                snoozes: &[],
                waiting: &HashMap::new(),
            };
            let noted = plan(world.known.values().cloned().collect(), &seen);
            world.known.extend(noted.put.into_iter().map(|condition| (condition.key.clone(), condition)));
            noted.messages.iter().map(|message| message.due_at > at(world.second)).collect::<Vec<_>>()
        };
        let warning = || {
            let mut condition = down();
            condition.subject = "other".to_owned();
            condition.facts.level = Urgency::Warning;
            condition
        };
        assert!(due(&mut world, &[down(), warning()]).is_empty());
        assert_eq!(due(&mut world, &[down(), warning()]), [false, true]);
        assert_eq!(due(&mut world, &[down(), warning()]), [true, true], "reminders wait");
    }
}
