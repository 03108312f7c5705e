//! The audit log: who did what to whom, each event chained to the one before it.
//!
//! An event's hash is keyed by the store's signing key and covers all of the event and the hash before it; the number
//! and hash of the last one stand apart, signed too. Whoever can write to the database but lacks the master key can
//! therefore neither change, insert, reorder nor drop an event unnoticed, nor cut the end off. What nobody can notice
//! from within is the whole database put back to an earlier day: for that, keep what `audit export` prints elsewhere.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;

use crate::sealing::framed;
use crate::{SigningKey, StoreError};

/// Who did what to whom.
#[async_trait]
pub trait AuditLog: Send + Sync {
    /// Appends to the audit log. Synced to disk before it returns.
    async fn append_audit(&self, event: NewAuditEvent, now: Timestamp) -> Result<AuditEvent, StoreError>;

    /// The events of the audit log after number `after`, in order, at most `limit`.
    async fn audit(&self, after: u64, limit: u32) -> Result<Vec<AuditEvent>, StoreError>;

    /// Checks the whole audit log: every event's hash, their order, and the end.
    async fn verify_audit(&self) -> Result<AuditVerdict, StoreError>;
}

/// Something that was done, to be written down.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAuditEvent {
    /// Who did it, such as `command alice` or `invitation 4b52…`.
    pub actor: String,
    /// What, as a word such as `tenant.invited`.
    pub action: String,
    /// To whom or what: a tenant's id, an app's name.
    pub subject: String,
    /// More about it. Never a secret.
    pub details: serde_json::Value,
}

/// An event of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditEvent {
    /// Its number: 1, 2, 3, …
    pub number: u64,
    /// When it was written down.
    pub at: Timestamp,
    /// Who did it.
    pub actor: String,
    /// What.
    pub action: String,
    /// To whom or what.
    pub subject: String,
    /// More about it.
    pub details: serde_json::Value,
    /// Its own hash in hexadecimal.
    pub hash: String,
    /// The hash of the event before it.
    pub previous: String,
}

/// What came of checking the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditVerdict {
    /// How many events there are.
    pub events: u64,
    /// The hash of the last one.
    pub head: String,
    /// The number of the first event that is not as it was written, and what is wrong; `None` when all are good.
    pub first_bad: Option<(u64, String)>,
}

/// What stands for the hash before the first event.
const START: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// What an event names as the hash before it when the signed end was not to be trusted. It is no event's hash, so the
/// break stays visible for good.
const BROKEN: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

/// Purposes of the signing key.
const EVENT: &str = "audit event";
const HEAD: &str = "audit head";

/// An event as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredEvent {
    pub(crate) number: u64,
    /// Nanoseconds since 1970.
    pub(crate) at: i64,
    pub(crate) actor: String,
    pub(crate) action: String,
    pub(crate) subject: String,
    /// JSON.
    pub(crate) details: String,
    pub(crate) previous: String,
    pub(crate) hash: String,
}

impl StoredEvent {
    /// As it is shown.
    pub(crate) fn shown(self) -> Result<AuditEvent, serde_json::Error> {
        Ok(AuditEvent {
            number: self.number,
            at: Timestamp::from_nanosecond(i128::from(self.at)).expect("64 bits of nanoseconds are in range"),
            actor: self.actor,
            action: self.action,
            subject: self.subject,
            details: serde_json::from_str(&self.details)?,
            hash: self.hash,
            previous: self.previous,
        })
    }

    fn expected_hash(&self, key: &SigningKey) -> String {
        hexadecimal(&key.sign(EVENT, &self.message()))
    }

    fn message(&self) -> Vec<u8> {
        framed(&[
            &self.number.to_be_bytes(),
            &self.at.to_be_bytes(),
            self.actor.as_bytes(),
            self.action.as_bytes(),
            self.subject.as_bytes(),
            self.details.as_bytes(),
            self.previous.as_bytes(),
        ])
    }
}

/// The signed end of the log: what keeps it from being cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogEnd {
    /// How many events there are.
    pub(crate) events: u64,
    /// The hash of the last.
    pub(crate) hash: String,
}

impl LogEnd {
    /// The end of an empty log.
    pub(crate) fn empty() -> Self {
        Self { events: 0, hash: START.to_owned() }
    }

    /// As it is stored.
    pub(crate) fn signed(&self, key: &SigningKey) -> String {
        format!("{} {} {}", self.events, self.hash, hexadecimal(&key.sign(HEAD, &self.message())))
    }

    /// Read back; `None` when it is not as it was written.
    pub(crate) fn verified(stored: &str, key: &SigningKey) -> Option<Self> {
        let mut words = stored.split(' ');
        let (events, hash, tag) = (words.next()?, words.next()?, words.next()?);
        let head = Self { events: events.parse().ok()?, hash: hash.to_owned() };
        let tag = bytes(tag)?;
        (words.next().is_none() && key.verify(HEAD, &head.message(), &tag)).then_some(head)
    }

    fn message(&self) -> Vec<u8> {
        framed(&[&self.events.to_be_bytes(), self.hash.as_bytes()])
    }
}

/// Chains `event` to the end of the log, which is `None` when it was not as it was written; `last` is the highest
/// number that is there then.
pub(crate) fn chain(
    key: &SigningKey,
    head: Option<LogEnd>,
    last: u64,
    event: NewAuditEvent,
    at: i64,
) -> StoredEvent {
    let (number, previous) = match head {
        // A row beyond the signed end is not ours; it is found by `verify`, and must not stop the log.
        Some(head) => (head.events.max(last) + 1, head.hash),
        None => (last + 1, BROKEN.to_owned()),
    };
    let mut chained = StoredEvent {
        number,
        at,
        actor: cut(&event.actor),
        action: cut(&event.action),
        subject: cut(&event.subject),
        details: details(&event.details),
        previous,
        hash: String::new(),
    };
    chained.hash = chained.expected_hash(key);
    chained
}

/// Words are kept to this length.
const WORDS_CHARACTERS_MAX: usize = 300;
/// Longer details are kept in part.
const DETAILS_BYTES_MAX: usize = 16 << 10;

fn cut(words: &str) -> String {
    // PostgreSQL has no place for the character 0, and a log may move there.
    let words = words.chars().map(|c| if c == '\0' { '\u{2400}' } else { c });
    words.take(WORDS_CHARACTERS_MAX).collect()
}

fn details(details: &serde_json::Value) -> String {
    let text = details.to_string();
    if text.len() <= DETAILS_BYTES_MAX {
        return text;
    }
    let part = text.chars().take(DETAILS_BYTES_MAX / 8).collect::<String>();
    serde_json::json!({ "cut": part }).to_string()
}

/// Goes over the events in order and finds the first that is not as it was written.
pub(crate) struct Verifier<'a> {
    key: &'a SigningKey,
    events: u64,
    last: u64,
    hash: String,
    first_bad: Option<(u64, String)>,
}

impl<'a> Verifier<'a> {
    pub(crate) fn new(key: &'a SigningKey) -> Self {
        Self { key, events: 0, last: 0, hash: START.to_owned(), first_bad: None }
    }

    /// Takes the next event in the order of their numbers.
    pub(crate) fn take(&mut self, event: &StoredEvent) {
        self.events += 1;
        if self.first_bad.is_none() {
            self.first_bad = self.fault(event);
        }
        self.last = event.number;
        self.hash.clone_from(&event.hash);
    }

    fn fault(&self, event: &StoredEvent) -> Option<(u64, String)> {
        let awaited = self.last + 1;
        let bad = |words: &str| Some((event.number, words.to_owned()));
        if event.number != awaited {
            return Some((awaited, format!("it is missing: event {} follows", event.number)));
        }
        if !bytes(&event.hash).is_some_and(|tag| self.key.verify(EVENT, &event.message(), &tag)) {
            return bad("it was changed, or was not written by this Muster");
        }
        if event.previous == BROKEN {
            return bad("what stood before it had been changed or cut off when it was written");
        }
        if event.previous != self.hash {
            return bad("it does not follow the event before it: events were exchanged");
        }
        None
    }

    /// The verdict, given the signed end of the log.
    pub(crate) fn verdict(self, head: Option<LogEnd>) -> AuditVerdict {
        let next = self.last + 1;
        let first_bad = self.first_bad.or_else(|| match head {
            None => Some((next, "the signed end of the log is missing or was changed".to_owned())),
            Some(head) if head.events > self.last => {
                Some((next, format!("it is missing: {} events were written", head.events)))
            }
            Some(head) if head.events < self.last || head.hash != self.hash => {
                let words = "it stands behind the signed end of the log: an older end was put back";
                Some(((head.events + 1).min(self.last), words.to_owned()))
            }
            Some(_) => None,
        });
        AuditVerdict { events: self.events, head: self.hash, first_bad }
    }
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hexadecimal: &str) -> Option<Vec<u8>> {
    if hexadecimal.len() != 64 || !hexadecimal.is_ascii() {
        return None;
    }
    (0..64).step_by(2).map(|at| u8::from_str_radix(&hexadecimal[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{AuditVerdict, LogEnd, NewAuditEvent, START, StoredEvent, Verifier, chain};
    use crate::SigningKey;

    /// A log as it would be stored: rows and signed end.
    #[derive(Clone)]
    struct Log {
        key: SigningKey,
        events: Vec<StoredEvent>,
        head: String,
    }

    impl Log {
        fn of(events: usize) -> Self {
            let key = SigningKey::from_bytes(&[3; 32]).unwrap();
            let mut log = Self { head: LogEnd::empty().signed(&key), events: Vec::new(), key };
            for number in 0..events {
                log.append(&format!("event {number}"));
            }
            log
        }

        fn append(&mut self, subject: &str) {
            let event = NewAuditEvent {
                actor: "alice".to_owned(),
                action: "tenant.invited".to_owned(),
                subject: subject.to_owned(),
                details: json!({ "language": "de" }),
            };
            let last = self.events.last().map_or(0, |event| event.number);
            let stored = chain(&self.key, LogEnd::verified(&self.head, &self.key), last, event, 7);
            self.head = LogEnd { events: stored.number, hash: stored.hash.clone() }.signed(&self.key);
            self.events.push(stored);
        }

        fn verdict(&self) -> AuditVerdict {
            let mut verifier = Verifier::new(&self.key);
            self.events.iter().for_each(|event| verifier.take(event));
            verifier.verdict(LogEnd::verified(&self.head, &self.key))
        }

        fn first_bad(&self) -> Option<u64> {
            self.verdict().first_bad.map(|(number, _)| number)
        }
    }

    #[test]
    fn what_was_only_appended_to_is_good() {
        for events in [0, 1, 2, 30] {
            let verdict = Log::of(events).verdict();
            assert_eq!((verdict.events, verdict.first_bad), (events as u64, None));
        }
        assert_eq!(Log::of(0).verdict().head, START);
    }

    #[test]
    fn a_cut_tail_is_noticed_also_when_the_log_goes_on() {
        let whole = Log::of(9);
        let mut cut = whole.clone();
        cut.events.truncate(6);
        assert_eq!(cut.first_bad(), Some(7));
        cut.append("later");
        assert_eq!(cut.first_bad(), Some(7));
        // With an older end in place of the signed one it is as if the rest had never been: what cannot be noticed
        // from within. A forged or missing end is.
        let mut forged = whole.clone();
        forged.events.truncate(6);
        forged.head = format!("6 {} {}", forged.events[5].hash, START);
        assert_eq!(forged.first_bad(), Some(7));
        forged.append("later");
        assert_eq!(forged.first_bad(), Some(7), "the break stays visible");
        let mut emptied = Log::of(9);
        emptied.events.clear();
        emptied.head.clear();
        assert_eq!(emptied.first_bad(), Some(1));
        emptied.append("later");
        assert_eq!(emptied.first_bad(), Some(1), "no new beginning");
        let mut old_end = whole.clone();
        old_end.head = Log::of(5).head;
        assert_eq!(old_end.first_bad(), Some(6));
        old_end.append("later");
        assert!(old_end.first_bad().is_some());
    }

    #[test]
    fn another_stores_events_are_not_taken_for_ours() {
        let mut log = Log::of(4);
        log.key = SigningKey::generate();
        assert_eq!(log.first_bad(), Some(1));
    }

    #[test]
    fn details_are_bounded() {
        let text = super::details(&json!({ "long": "ä\"".repeat(40_000) }));
        assert!(text.len() <= super::DETAILS_BYTES_MAX, "{}", text.len());
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
    }

    proptest! {
        #[test]
        fn every_change_is_noticed(
            events in 1_usize..12,
            at in any::<prop::sample::Index>(),
            other in any::<prop::sample::Index>(),
            field in 0_usize..9,
        ) {
            let mut log = Log::of(events);
            let (at, other) = (at.index(events), other.index(events));
            let row = &mut log.events[at];
            match field {
                0 => row.at += 1,
                1 => row.actor.push('x'),
                2 => row.action = "tenant.removed".to_owned(),
                3 => row.subject.clear(),
                4 => row.details = "null".to_owned(),
                5 => row.previous = START.replace('0', "1"),
                6 => row.hash = row.previous.clone(),
                7 => drop(log.events.remove(at)),
                _ if at == other => row.number += 100,
                _ => {
                    // Exchanged, with the numbers put right.
                    log.events.swap(at, other);
                    log.events.iter_mut().zip(1..).for_each(|(event, number)| event.number = number);
                }
            }
            let bad = log.first_bad();
            prop_assert!(bad.is_some());
            let first = if field == 8 { at.min(other) } else { at };
            prop_assert_eq!(bad, Some(first as u64 + 1));
            log.append("later");
            prop_assert_eq!(log.first_bad(), bad);
        }

        #[test]
        fn fields_do_not_run_into_each_other(actor in "[a-c]{0,3}", action in "[a-c]{0,3}") {
            let log = Log::of(1);
            let mut row = log.events[0].clone();
            (row.actor, row.action) = (actor, action);
            let one = row.message();
            let whole = format!("{}{}", row.actor, row.action);
            for split in 0..=whole.len() {
                let mut other = row.clone();
                (other.actor, other.action) = (whole[..split].to_owned(), whole[split..].to_owned());
                prop_assert_eq!(other.message() == one, other == row);
            }
        }
    }
}
