//! How sinks that send batches deliver: a delivery batch is formatted once into one buffer, the buffer goes out in
//! parts, what is refused is halved until the event that was meant stands alone, and each record gets its outcome.
//!
//! A record is refused for good only where the way is open to others: something else was taken meanwhile, by the same
//! receiver. Whoever refuses everything is in trouble itself, and its records stay owed. Several receivers of equal rank are
//! *places*, each with a way of its own: what one takes says nothing of another.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use muster_model::{ContentHash, DeliveryBatch, Outcome, Record, RecordKind, Report, Ticket, Trouble};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::outcomes::Outcomes;
use super::tickets::KeepTickets;
use crate::formats::{Encoding, Event, Events};

/// Formatting this many bytes is about a millisecond of work; others get a turn then.
const TURN_BYTES: usize = 256 << 10;
/// So many refusals without anything taken end the search for the event that is meant: the way itself is closed.
pub(super) const REFUSALS_MAX: usize = 24;
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

/// What became of the events of one part, and at which places.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) sent: Sent,
    /// The place that took them, or those that refused them.
    pub(super) by: Vec<usize>,
}

impl Answered {
    /// Nobody has answered.
    pub(super) fn retry(trouble: Option<Trouble>) -> Self {
        Self { sent: Sent::Retry(trouble), by: Vec::new() }
    }
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
    /// The receiver has taken some of them and not others, and does not say which: none is sent again by itself.
    Uncertain(String),
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

impl Sent {
    /// Why they were refused.
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Retry(Some(trouble)) | Self::Refused(trouble) => &trouble.reason,
            Self::TooLarge(reason) | Self::Uncertain(reason) | Self::Invalid { reason, .. } => reason,
            Self::Delivered | Self::Awaited | Self::Ticket(_) | Self::Each(_) | Self::Retry(None) => "",
        }
    }
}

/// By place, how many requests had been taken there when something was refused first.
pub(super) type Refusals = BTreeMap<usize, u64>;

/// What is known of the ways to receivers from one delivery to the next.
#[derive(Debug)]
pub(super) struct Way {
    /// Whose they are, for messages.
    name: String,
    state: Mutex<WayState>,
}

#[derive(Debug, Default)]
struct WayState {
    places: BTreeMap<usize, PlaceState>,
    /// What was refused: events alone, and groups of them by their first.
    suspects: HashMap<(ContentHash, bool), Refusals>,
}

#[derive(Debug, Default)]
struct PlaceState {
    /// Requests that were taken.
    taken: u64,
    /// Requests that were refused since.
    refused: usize,
}

impl Way {
    /// The ways of the sink that is called so in messages.
    pub(super) fn of(name: String) -> Self {
        Self { name, state: Mutex::default() }
    }

    /// What is told of a receiver that has taken nothing.
    pub(super) fn closed(&self, reason: &str) -> Trouble {
        let reason = format!(
            "{}: {reason}; nothing else was taken meanwhile, so it is not the event's fault for all that is known: it stays \
             owed, and is judged when the receiver has taken something else",
            self.name
        );
        Trouble { reason, after: None }
    }

    /// A request was taken.
    pub(super) fn took(&self, by: &[usize]) {
        let mut state = self.state.lock().expect("no panic while the lock is held");
        for place in by {
            let at_place = state.places.entry(*place).or_default();
            (at_place.taken, at_place.refused) = (at_place.taken + 1, 0);
        }
    }

    /// What was taken at each of these places.
    fn taken(&self, by: &[usize]) -> Refusals {
        let mut state = self.state.lock().expect("no panic while the lock is held");
        by.iter().map(|place| (*place, state.places.entry(*place).or_default().taken)).collect()
    }

    /// A request was refused: what had been taken at each of these places by then.
    pub(super) fn refused(&self, by: &[usize]) -> Refusals {
        let mut state = self.state.lock().expect("no panic while the lock is held");
        let mut refusals = Refusals::new();
        for place in by {
            let at_place = state.places.entry(*place).or_default();
            at_place.refused += 1;
            refusals.insert(*place, at_place.taken);
        }
        refusals
    }

    /// Whether a place has taken something else since it refused these events first, alone or, in this delivery, among others: the
    /// latter counts only while the place does not refuse everything that comes.
    fn is_open_since(&self, refused: &Part, by: &[usize]) -> bool {
        let Some(event) = refused.events().next() else { return false };
        self.is_open((event.bytes, refused.len() == 1), &refused.refusals, by)
    }

    /// The same of events that are known by the first of them, and by whether that is alone, which were refused among others when
    /// so much had been taken.
    pub(super) fn is_open(&self, first: (&[u8], bool), among: &Refusals, by: &[usize]) -> bool {
        let first = (ContentHash::of(first.0), first.1);
        let mut guard = self.state.lock().expect("no panic while the lock is held");
        let WayState { places, suspects } = &mut *guard;
        if suspects.len() >= SUSPECTS_MAX && !suspects.contains_key(&first) {
            suspects.clear();
        }
        let known = suspects.entry(first).or_default();
        by.iter().any(|place| {
            let Some(PlaceState { taken, refused: in_a_row }) = places.get(place) else { return false };
            let before = *known.entry(*place).or_insert(*taken);
            let among_others = among.get(place).is_some_and(|then| then < taken);
            before < *taken || among_others && *in_a_row < REFUSALS_MAX
        })
    }
}

/// Some of the events, for one request.
#[derive(Debug, Clone)]
pub(super) struct Part {
    load: Arc<Events>,
    bytes: Bytes,
    range: Range<usize>,
    /// When those were refused in this delivery among which these were sent first.
    refusals: Refusals,
    /// Whether others were taken since something was refused that these were sent with: then it is worth the search.
    is_searched: bool,
}

/// The right to one of the requests that are on their way at once. Dropped when the request is answered: waiting for an
/// acknowledgement needs none.
#[derive(Debug)]
pub(super) struct RequestPermit {
    _permit: OwnedSemaphorePermit,
}

/// Who keeps tickets, and who forgets those that cannot be kept.
#[derive(Clone, Copy)]
pub(super) struct Keeping<'a> {
    pub(super) tickets: &'a dyn KeepTickets,
    pub(super) forget: &'a (dyn Fn(&Ticket) + Send + Sync),
}

/// Sends what was formatted and tells what became of each record. `send` makes one request; it never retries by itself.
pub(super) async fn deliver<F: Future<Output = Answered>>(
    formatted: Formatted,
    limits: Limits,
    (way, keeping): (&Way, Keeping<'_>),
    send: impl Fn(Part, RequestPermit) -> F,
) -> Report {
    let Formatted { events, mut outcomes } = formatted;
    let (all, permits, stopped) =
        (Part::all(events), Arc::new(Semaphore::new(limits.requests_max)), AtomicBool::new(false));
    let attempt = async |part: Part| {
        let permit = Arc::clone(&permits).acquire_owned().await.expect("the semaphore is never closed");
        let answered = match stopped.load(Ordering::Relaxed) {
            true => Answered::retry(None),
            false => send(part.clone(), RequestPermit { _permit: permit }).await,
        };
        (part, answered)
    };
    let mut parts = all.split(limits);
    let mut work = FuturesUnordered::new();
    let mut pieces: Vec<(Ticket, Vec<usize>)> = Vec::new();
    let mut suspects: Vec<(Part, Vec<usize>, String)> = Vec::new();
    // Refusals since something was taken last.
    let (mut failures, mut refusals) = (0, 0);
    loop {
        while let Some(part) = parts.pop_front() {
            work.push(attempt(part));
        }
        let Some((part, Answered { sent, by })) = work.next().await else { break };
        let (suspect, reason) = match sent {
            Sent::Delivered | Sent::Awaited | Sent::Ticket(_) => {
                way.took(&by);
                (failures, refusals) = (0, 0);
                match sent {
                    Sent::Ticket(ticket) => {
                        let mut records: Vec<usize> = part.records().collect();
                        records.dedup();
                        pieces.push((ticket, records));
                    }
                    Sent::Awaited => part.records().for_each(|record| outcomes.await_ticket(record)),
                    _ => {}
                }
                continue;
            }
            Sent::Each(fates) => {
                // One request: what was taken of it was taken after what was refused of it came.
                let before = way.taken(&by);
                if fates.iter().any(|fate| matches!(fate, Fate::Delivered)) {
                    way.took(&by);
                    (failures, refusals) = (0, 0);
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
                        Fate::Refused(reason) => {
                            suspects.push((one.among_refused(&before, false), by.clone(), reason));
                        }
                    }
                }
                failures += usize::from(has_failed);
                if failures >= limits.failures_max {
                    stopped.store(true, Ordering::Relaxed);
                }
                continue;
            }
            Sent::Uncertain(reason) => {
                way.took(&by);
                (failures, refusals) = (0, 0);
                part.records().for_each(|record| outcomes.uncertain(record, &reason));
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
            Sent::Invalid { suspect, reason } => (Some(suspect), reason),
            Sent::TooLarge(reason) | Sent::Refused(Trouble { reason, .. }) => (None, reason),
        };
        refusals += 1;
        let refused = way.refused(&by);
        let is_searched = part.is_searched || way.is_open_since(&part, &by);
        if part.len() == 1 {
            suspects.push((part, by, reason));
            continue;
        }
        if refusals >= REFUSALS_MAX && !is_searched {
            stopped.store(true, Ordering::Relaxed);
            outcomes.trouble(way.closed(&reason));
        }
        let smaller: Vec<Part> = match suspect {
            Some(suspect) => {
                // Without a number that can be right, halves find the event as surely.
                let suspect = suspect.filter(|suspect| *suspect < part.len()).unwrap_or(part.len() / 2);
                part.cut(&[suspect, suspect + 1]).collect()
            }
            None => part.halves().collect(),
        };
        parts.extend(smaller.into_iter().map(|part| part.among_refused(&refused, is_searched)));
    }
    for (part, by, reason) in suspects {
        let record = part.first_record();
        if way.is_open_since(&part, &by) {
            outcomes.reject(record, &reason);
        } else {
            outcomes.retry(record);
            outcomes.trouble(way.closed(&reason));
        }
    }
    keep_pieces(pieces, &mut outcomes, keeping).await;
    outcomes.report()
}

/// Keeps the tickets of requests that hold a part of a record: each stands for every record of which something was in it, and
/// all are kept or none.
async fn keep_pieces(
    pieces: Vec<(Ticket, Vec<usize>)>,
    outcomes: &mut Outcomes,
    Keeping { tickets: keeper, forget }: Keeping<'_>,
) {
    let mut new = Vec::new();
    for (ticket, mut records) in pieces {
        records.retain(|record| outcomes.is_delivered(*record));
        if records.is_empty() { forget(&ticket) } else { new.push((ticket, records)) }
    }
    if new.is_empty() {
        return;
    }
    let records = new.iter().flat_map(|(_, records)| records).copied();
    match keeper.keep(new.clone()).await {
        Ok(()) => records.for_each(|record| outcomes.await_ticket(record)),
        Err(reason) => {
            new.iter().for_each(|(ticket, _)| forget(ticket));
            records.for_each(|record| outcomes.retry(record));
            outcomes.trouble(Trouble { reason, after: None });
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

    /// One event for each record of `batch`, as `write` writes it. The record of one that cannot be written is refused.
    pub(super) async fn of_bodies(
        batch: DeliveryBatch<'_>,
        write: impl Fn(RecordKind, Record<'_>) -> Result<Vec<u8>, String>,
    ) -> Self {
        let (mut events, mut outcomes) = (Events::new(), Outcomes::default());
        let mut turn_at = TURN_BYTES;
        for (number, (source, record)) in batch.records().enumerate() {
            events.start_record(number);
            outcomes.push(match write(source.kind(), record) {
                Ok(body) => {
                    events.push_record(source.kind(), record, &body);
                    Outcome::Delivered
                }
                Err(reason) => Outcome::Rejected(reason),
            });
            if events.bytes.len() >= turn_at {
                turn_at = events.bytes.len() + TURN_BYTES;
                tokio::task::yield_now().await;
            }
        }
        Self { events, outcomes }
    }

    /// Each event as `write` writes it: in the row, message or request that a receiver wants. The record of one that cannot
    /// be written is refused.
    pub(super) async fn rewritten(
        self,
        mut write: impl FnMut(&Event<'_>, &mut Vec<u8>) -> Result<(), String>,
    ) -> Self {
        let Self { events: old, mut outcomes } = self;
        let mut events = Events::new();
        events.bytes.reserve(old.bytes.len() + old.bytes.len() / 4);
        let mut turn_at = TURN_BYTES;
        for event in old.events() {
            if let Err(reason) = events.push_rewritten(&event, |buffer| write(&event, buffer)) {
                outcomes.reject(event.envelope.record, &reason);
            }
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

    /// The events, and the outcomes of the records for all that is known yet: for those that send in their own way.
    pub(super) fn into_parts(self) -> (Events, Outcomes) {
        (self.events, self.outcomes)
    }

    /// The events, without anything between them.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.events.bytes
    }

    /// All of them are taken.
    pub(super) fn delivered(self) -> Report {
        self.outcomes.report()
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
        let (bytes, range) = (Bytes::from_owner(Owner(Arc::clone(&load))), 0..load.len());
        Self { bytes, range, load, refusals: Refusals::new(), is_searched: false }
    }

    /// A part of one that was refused, when so much had been taken.
    fn among_refused(mut self, refused: &Refusals, is_searched: bool) -> Self {
        for (place, taken) in refused {
            self.refusals.entry(*place).or_insert(*taken);
        }
        self.is_searched = is_searched;
        self
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

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::formats::Format;
    use crate::sinks::testing::{delivery, delivery_batch, tenant};

    struct KeepsNothing;

    #[async_trait]
    impl KeepTickets for KeepsNothing {
        async fn keep(&self, _: Vec<(Ticket, Vec<usize>)>) -> Result<(), String> {
            Err("the disk is full".to_owned())
        }
    }

    /// Delivers bodies one request after the other, `part_events_max` in each, to a receiver that answers like this.
    async fn run(
        way: &Way,
        part_events_max: usize,
        bodies: &[&str],
        mut answer: impl FnMut(&str) -> Answered,
    ) -> Report {
        let encoding = Encoding { format: Format::Raw, mapping: None, bounds: None };
        let formatted = Formatted::new(&encoding, delivery_batch(&tenant(0), &[delivery(1, bodies)])).await;
        let limits = Limits { part_bytes_max: usize::MAX, part_events_max, requests_max: 1, failures_max: 1 };
        let keeping = Keeping { tickets: &KeepsNothing, forget: &|_| {} };
        let answer = std::cell::RefCell::new(&mut answer);
        let send = |part: Part, permit: RequestPermit| {
            let answered = (answer.borrow_mut())(std::str::from_utf8(&part.bytes()).expect("text"));
            drop(permit);
            std::future::ready(answered)
        };
        deliver(formatted, limits, (way, keeping), send).await
    }

    fn taken(place: usize) -> Answered {
        Answered { sent: Sent::Delivered, by: vec![place] }
    }

    fn refused(places: &[usize]) -> Answered {
        let trouble = Trouble { reason: "Request Rejected".to_owned(), after: None };
        Answered { sent: Sent::Refused(trouble), by: places.to_vec() }
    }

    fn is_rejected(outcome: &Outcome) -> bool {
        matches!(outcome, Outcome::Rejected(_))
    }

    /// A firewall begins to refuse everything in the middle of a delivery: what was taken before says nothing of what it refuses
    /// from then on.
    #[tokio::test]
    async fn what_was_taken_before_a_refusal_judges_nothing() {
        let way = Way::of("sink `x`".to_owned());
        let report = run(&way, 1, &["a", "b", "c"], |body| match body {
            "a" => taken(0),
            _ => refused(&[0]),
        });
        let report = report.await;
        assert_eq!(report.outcomes, [Outcome::Delivered, Outcome::Retry, Outcome::Retry]);
        // It is open again, and refuses one still.
        let report = run(&way, 1, &["b", "c"], |body| if body == "b" { refused(&[0]) } else { taken(0) });
        let report = report.await;
        assert!(is_rejected(&report.outcomes[0]) && report.outcomes[1] == Outcome::Delivered, "{report:?}");
    }

    /// The same, of events that stood beside a bad one in a request.
    #[tokio::test]
    async fn those_that_were_refused_beside_another_are_judged_alone() {
        let way = Way::of("sink `x`".to_owned());
        let bodies: Vec<String> = (0..64).map(|number| format!("good-{number}")).collect();
        let bodies: Vec<&str> = ["bad"].into_iter().chain(bodies.iter().map(String::as_str)).collect();
        let mut requests = 0;
        // Whole requests are refused for the bad one; some are taken, and then nothing is any more.
        let report = run(&way, usize::MAX, &bodies, |body| {
            requests += 1;
            if requests < 4 && !body.contains("bad") { taken(0) } else { refused(&[0]) }
        });
        let report = report.await;
        let buried = report.outcomes.iter().skip(1).filter(|outcome| is_rejected(outcome)).count();
        assert_eq!(buried, 0, "{report:?}");
    }

    /// A ticket stands for every record of its request, also where a record's other events went in another: none of them is
    /// delivered by it.
    #[tokio::test]
    async fn a_ticket_that_is_not_kept_leaves_every_record_of_its_request_owed() {
        let way = Way::of("sink `x`".to_owned());
        let ticket = Ticket {
            endpoint: "https://splunk.example:8088".to_owned(),
            channel: uuid::Uuid::from_u128(1),
            ack_id: 0,
            digest: ContentHash::of(b""),
            cookies: None,
        };
        let report = run(&way, usize::MAX, &["a", "b"], |_| Answered {
            sent: Sent::Ticket(ticket.clone()),
            by: vec![0],
        });
        assert_eq!(report.await.outcomes, [Outcome::Retry, Outcome::Retry]);
    }

    /// What one receiver takes says nothing of what another refuses.
    #[tokio::test]
    async fn a_receiver_that_refuses_everything_judges_nothing() {
        let way = Way::of("sink `x`".to_owned());
        for _ in 0..3 {
            let report = run(&way, 1, &["a", "b", "c"], |body| match body {
                "b" => refused(&[1]),
                _ => taken(0),
            });
            assert_eq!(report.await.outcomes, [Outcome::Delivered, Outcome::Retry, Outcome::Delivered]);
        }
        let report = run(&way, 1, &["b", "c"], |body| if body == "b" { refused(&[1, 0]) } else { taken(0) });
        assert!(
            is_rejected(&report.await.outcomes[0]),
            "and once the other refuses it, too, it is the event's fault"
        );
    }

    /// A search ends when refusals come one after the other, not when there were many in all.
    #[tokio::test]
    async fn many_bad_events_among_good_ones_are_all_found() {
        let way = Way::of("sink `x`".to_owned());
        let bodies: Vec<String> = (0..120)
            .map(|number| format!("{}-{number}", if number % 2 == 0 { "bad" } else { "good" }))
            .collect();
        let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
        let report =
            run(&way, 1, &bodies, |body| if body.contains("bad") { refused(&[0]) } else { taken(0) });
        let report = report.await;
        for (place, outcome) in report.outcomes.iter().enumerate() {
            assert_eq!(is_rejected(outcome), place % 2 == 0, "{place}: {outcome:?}");
        }
    }
}
