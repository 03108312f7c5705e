//! How sinks that send batches deliver: a delivery batch is formatted once into one buffer, the buffer goes out in
//! parts, what is refused is halved until the event that was meant stands alone, and each record gets its outcome.
//!
//! A record is refused for good only where the way is open to others: something else was taken meanwhile, by the same
//! receiver. Whoever refuses everything is in trouble itself, and its records stay owed.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use muster_model::{ContentHash, DeliveryBatch, Outcome, Report, Ticket, Trouble};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::outcomes::Outcomes;
use super::tickets::KeepTickets;
use crate::formats::{Encoding, Event, Events};

/// Formatting this many bytes is about a millisecond of work; others get a turn then.
const TURN_BYTES: usize = 256 << 10;
/// So many refusals without anything taken end the search for the event that is meant: the way itself is closed.
const REFUSALS_MAX: usize = 24;
/// Suspects that are remembered from one delivery to the next.
const SUSPECTS_MAX: usize = 4096;

/// What a receiver takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The bytes of one request's events; an event that is bigger goes alone.
    pub(super) part_bytes_max: usize,
    /// The events of one request.
    pub(super) part_events_max: usize,
    /// Requests that are on their way at once.
    pub(super) requests_max: usize,
    /// Requests that may fail before what has not started does not start.
    pub(super) failures_max: usize,
}

/// What became of the events of one part.
#[derive(Debug)]
pub(super) enum Sent {
    /// The receiver has acknowledged all of them.
    Delivered,
    /// The receiver has them, and its ticket is kept.
    Awaited,
    /// The receiver has them, and its ticket is to be kept with those of the record's other events.
    Ticket(Ticket),
    /// The receiver has answered for each event, in their order.
    Each(Vec<Fate>),
    /// Not now; without a reason when another request has told it.
    Retry(Option<Trouble>),
    /// More than the receiver takes at once.
    TooLarge(String),
    /// All were refused because of one of them.
    Invalid {
        /// What the receiver said.
        reason: String,
        /// The receiver's hint which one it was, counted from 0.
        suspect: Option<usize>,
    },
    /// All were refused, and not in the receiver's own words: by a firewall or a proxy on the way, or since the receiver
    /// fails at them.
    Refused(Trouble),
}

/// What became of one event.
#[derive(Debug)]
pub(super) enum Fate {
    /// The receiver has it.
    Delivered,
    /// Not now.
    Retry(Trouble),
    /// It was refused, in the receiver's own words.
    Refused(String),
}

/// What is known of the way to a receiver from one delivery to the next.
#[derive(Debug)]
pub(super) struct Way {
    /// Whose it is, for messages.
    name: String,
    /// Requests that were taken.
    taken: AtomicU64,
    /// What was refused, by its first event, and how many requests had been taken by then.
    suspects: Mutex<HashMap<ContentHash, u64>>,
}

impl Way {
    /// The way of the sink that is called so in messages.
    pub(super) fn of(name: String) -> Self {
        Self { name, taken: AtomicU64::new(0), suspects: Mutex::default() }
    }

    /// What is told of a receiver that has taken nothing.
    fn closed(&self, reason: &str) -> Trouble {
        let reason = format!(
            "{}: {reason}; nothing else was taken meanwhile, so it is not the event's fault for all that is known: it stays \
             owed, and is judged when the receiver has taken something else",
            self.name
        );
        Trouble { reason, after: None }
    }

    /// A request was taken.
    fn took(&self) {
        self.taken.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether something else was taken since this was refused first.
    fn is_open_since(&self, refused: &Part) -> bool {
        let taken = self.taken.load(Ordering::Acquire);
        let first = refused.events().next().map(|event| ContentHash::of(event.bytes));
        let Some(first) = first else { return false };
        let mut suspects = self.suspects.lock().expect("no panic while the lock is held");
        if suspects.len() >= SUSPECTS_MAX && !suspects.contains_key(&first) {
            suspects.clear();
        }
        *suspects.entry(first).or_insert(taken) < taken
    }
}

/// Some of the events, for one request.
#[derive(Debug, Clone)]
pub(super) struct Part {
    load: Arc<Events>,
    bytes: Bytes,
    range: Range<usize>,
}

/// The right to one of the requests that are on their way at once. Dropped when the request is answered: waiting for an
/// acknowledgement needs none.
#[derive(Debug)]
pub(super) struct RequestPermit {
    _permit: OwnedSemaphorePermit,
}

/// Sends what was formatted and tells what became of each record. `send` makes one request; it never retries by itself.
pub(super) async fn deliver<F: Future<Output = Sent>>(
    formatted: Formatted,
    limits: Limits,
    (way, tickets): (&Way, &dyn KeepTickets),
    send: impl Fn(Part, RequestPermit) -> F,
) -> Report {
    let Formatted { events, mut outcomes } = formatted;
    let (all, permits, stopped) =
        (Part::all(events), Arc::new(Semaphore::new(limits.requests_max)), AtomicBool::new(false));
    let attempt = async |part: Part| {
        let permit = Arc::clone(&permits).acquire_owned().await.expect("the semaphore is never closed");
        let sent = match stopped.load(Ordering::Relaxed) {
            true => Sent::Retry(None),
            false => send(part.clone(), RequestPermit { _permit: permit }).await,
        };
        (part, sent)
    };
    let mut parts = all.split(limits);
    let mut work = FuturesUnordered::new();
    let mut pieces: BTreeMap<usize, Vec<Ticket>> = BTreeMap::new();
    let mut suspects: Vec<(Part, String)> = Vec::new();
    let (mut failures, mut refusals, mut is_open) = (0, 0, false);
    loop {
        while let Some(part) = parts.pop_front() {
            work.push(attempt(part));
        }
        let Some((part, sent)) = work.next().await else { break };
        let reason = match sent {
            Sent::Delivered | Sent::Awaited | Sent::Ticket(_) => {
                way.took();
                (failures, is_open) = (0, true);
                match sent {
                    Sent::Ticket(ticket) => pieces.entry(part.first_record()).or_default().push(ticket),
                    Sent::Awaited => part.records().for_each(|record| outcomes.await_ticket(record)),
                    _ => {}
                }
                continue;
            }
            Sent::Each(fates) => {
                if fates.iter().any(|fate| matches!(fate, Fate::Delivered)) {
                    way.took();
                    (failures, is_open) = (0, true);
                }
                let mut has_failed = false;
                for (one, fate) in part.singles().zip(fates) {
                    match fate {
                        Fate::Delivered => {}
                        Fate::Retry(trouble) => {
                            has_failed = true;
                            outcomes.retry(one.first_record());
                            outcomes.trouble(trouble);
                        }
                        Fate::Refused(reason) => suspects.push((one, reason)),
                    }
                }
                failures += usize::from(has_failed);
                if failures >= limits.failures_max {
                    stopped.store(true, Ordering::Relaxed);
                }
                continue;
            }
            Sent::Retry(trouble) => {
                failures += usize::from(trouble.is_some());
                // One refused connection tells about the others: what has not started does not start.
                if failures >= limits.failures_max {
                    stopped.store(true, Ordering::Relaxed);
                }
                part.records().for_each(|record| outcomes.retry(record));
                trouble.into_iter().for_each(|trouble| outcomes.trouble(trouble));
                continue;
            }
            Sent::Invalid { suspect, reason } => {
                if part.len() > 1 {
                    // Without a number that can be right, halves find the event as surely.
                    let suspect = suspect.filter(|suspect| *suspect < part.len()).unwrap_or(part.len() / 2);
                    parts.extend(part.cut(&[suspect, suspect + 1]));
                }
                reason
            }
            Sent::TooLarge(reason) | Sent::Refused(Trouble { reason, .. }) => {
                if part.len() > 1 {
                    parts.extend(part.halves());
                }
                reason
            }
        };
        refusals += 1;
        is_open |= way.is_open_since(&part);
        if part.len() == 1 {
            suspects.push((part, reason));
        } else if refusals >= REFUSALS_MAX && !is_open {
            stopped.store(true, Ordering::Relaxed);
            outcomes.trouble(way.closed(&reason));
        }
    }
    for (part, reason) in suspects {
        let record = part.first_record();
        if is_open || way.is_open_since(&part) {
            outcomes.reject(record, &reason);
        } else {
            outcomes.retry(record);
            outcomes.trouble(way.closed(&reason));
        }
    }
    keep_pieces(pieces, &mut outcomes, tickets).await;
    outcomes.report()
}

/// Keeps the tickets of records that went in several requests, all of a record's or none.
async fn keep_pieces(
    pieces: BTreeMap<usize, Vec<Ticket>>,
    outcomes: &mut Outcomes,
    keeper: &dyn KeepTickets,
) {
    for (record, tickets) in pieces {
        if !outcomes.is_delivered(record) {
            continue;
        }
        match keeper.keep(tickets.into_iter().map(|ticket| (ticket, vec![record])).collect()).await {
            Ok(()) => outcomes.await_ticket(record),
            Err(reason) => {
                outcomes.retry(record);
                outcomes.trouble(Trouble { reason, after: None });
            }
        }
    }
}

/// A delivery batch, formatted.
#[derive(Debug)]
pub(super) struct Formatted {
    events: Events,
    /// What cannot be written is refused already.
    outcomes: Outcomes,
}

impl Formatted {
    /// Formats every record of `batch`.
    pub(super) async fn new(encoding: &Encoding, batch: DeliveryBatch<'_>) -> Self {
        let (mut events, mut outcomes) = (Events::new(), Outcomes::default());
        let bodies: usize = batch.deliveries.iter().map(|delivery| delivery.batch.body_bytes()).sum();
        events.bytes.reserve(bodies + bodies / 16);
        let mut turn_at = TURN_BYTES;
        for (number, (source, record)) in batch.records().enumerate() {
            events.start_record(number);
            outcomes.push(match encoding.write(source.kind(), record, batch.tenant, &mut events) {
                Ok(()) => Outcome::Delivered,
                Err(error) => Outcome::Rejected(error.to_string()),
            });
            if events.bytes.len() >= turn_at {
                turn_at = events.bytes.len() + TURN_BYTES;
                tokio::task::yield_now().await;
            }
        }
        Self { events, outcomes }
    }

    /// Whether there is nothing to send.
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Nothing is sent, since it could not arrive.
    pub(super) fn keep_owed(mut self, trouble: Trouble) -> Report {
        self.outcomes.retry_all();
        self.outcomes.trouble(trouble);
        self.outcomes.report()
    }
}

impl Part {
    fn all(events: Events) -> Self {
        let load = Arc::new(events);
        Self { bytes: Bytes::from_owner(Owner(Arc::clone(&load))), range: 0..load.len(), load }
    }

    /// The events, without anything between them.
    pub(super) fn bytes(&self) -> Bytes {
        self.bytes.slice(self.load.place(&self.range))
    }

    /// How many events there are; never none.
    pub(super) fn len(&self) -> usize {
        self.range.len()
    }

    /// Each event with its envelope.
    pub(super) fn events(&self) -> impl Iterator<Item = Event<'_>> {
        self.load.events_in(self.range.clone())
    }

    fn records(&self) -> impl Iterator<Item = usize> {
        self.events().map(|event| event.envelope.record)
    }

    fn first_record(&self) -> usize {
        self.records().next().unwrap_or_default()
    }

    /// The records whose events these are, where all of their events are here: then one ticket stands for them.
    pub(super) fn whole_records(&self) -> Option<Vec<usize>> {
        let record_at =
            |event: usize| self.load.events_in(event..event + 1).next().map(|event| event.envelope.record);
        let (first, last) = (record_at(self.range.start)?, record_at(self.range.end.checked_sub(1)?)?);
        let before = self.range.start.checked_sub(1).and_then(record_at);
        let is_whole = before != Some(first) && record_at(self.range.end) != Some(last);
        let mut records: Vec<usize> = self.records().collect();
        records.dedup();
        is_whole.then_some(records)
    }

    /// Runs of events within the limits, or of one event. A record that fits is not cut.
    fn split(&self, limits: Limits) -> VecDeque<Self> {
        let mut cuts = Vec::new();
        // Where the part and where its last record begin; what is in both.
        let (mut start, mut of_record) = (0, 0);
        let (mut bytes, mut record_bytes, mut record) = (0, 0, None);
        for (number, event) in self.events().enumerate() {
            if record != Some(event.envelope.record) {
                (of_record, record_bytes, record) = (number, 0, Some(event.envelope.record));
            }
            let is_full = |start: usize, bytes: usize| {
                number - start >= limits.part_events_max || bytes + event.bytes.len() > limits.part_bytes_max
            };
            while number > start && is_full(start, bytes) {
                let cut = if of_record > start { of_record } else { number };
                cuts.push(cut);
                bytes = if cut == number { 0 } else { record_bytes };
                start = cut;
            }
            bytes += event.bytes.len();
            record_bytes += event.bytes.len();
        }
        self.cut(&cuts).collect()
    }

    /// Each event as a part of its own.
    fn singles(&self) -> impl Iterator<Item = Self> + use<'_> {
        self.range.clone().map(|event| Self { range: event..event + 1, ..self.clone() })
    }

    /// Two halves, between records where there are several.
    fn halves(&self) -> impl Iterator<Item = Self> {
        let records: Vec<usize> = self.records().collect();
        let middle = records.len() / 2;
        let begins = |at: &usize| *at > 0 && records.get(*at) != records.get(at - 1);
        let cut = (1..records.len()).filter(begins).min_by_key(|at| at.abs_diff(middle)).unwrap_or(middle);
        self.cut(&[cut])
    }

    /// The parts between `cuts`, which count from this part's first event; none of them empty.
    fn cut(&self, cuts: &[usize]) -> impl Iterator<Item = Self> + use<'_> {
        let mut start = self.range.start;
        let ends: Vec<usize> =
            cuts.iter().map(|cut| self.range.start + cut).chain([self.range.end]).collect();
        ends.into_iter().filter_map(move |end| {
            let range = std::mem::replace(&mut start, end)..end;
            (!range.is_empty()).then(|| Self { range, ..self.clone() })
        })
    }
}

/// The events as the memory behind request bodies.
struct Owner(Arc<Events>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}
