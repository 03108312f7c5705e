//! How sinks that send batches deliver: a delivery batch is formatted once into one buffer, the buffer goes out in
//! parts, what is refused is halved until the event that was meant stands alone, and each record gets its outcome.
//!
//! A record is refused for good only where the way is open to others: something else was taken meanwhile, by the same
//! receiver. Whoever refuses everything is in trouble itself, and its records stay owed. Several receivers of equal rank are
//! *places*, each with a way of its own: what one takes says nothing of another.
//!
//! What a receiver says may be about the record or about the way, such as a 403 or a 500, is *doubtful*: such a record does not
//! hold up the others, and is refused for good only when that has come again and again while others were taken in between.

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
/// While everything is refused, one in so many is sent still.
const NARROW_ONE_IN: usize = 16;
/// So often an event is refused doubtfully, each time with something taken since the last, before it is the event's fault. Three,
/// since a receiver that begins to refuse everything may still take what was on its way to it.
const STRIKES: u32 = 3;

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
    /// The receiver has taken some of them and not others, and does not say which: none is sent again by itself, and what has
    /// not started waits.
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
    /// fails at them. The way is known to be good.
    Refused(Trouble),
    /// The same, where nobody knows whether the way is good.
    Doubtful(Trouble),
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
            Self::Retry(Some(trouble)) | Self::Refused(trouble) | Self::Doubtful(trouble) => &trouble.reason,
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
    /// What was refused doubtfully, alone: what had been taken at the last strike, and how many there were.
    strikes: HashMap<ContentHash, (u64, u32)>,
    deliveries: usize,
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

    /// Trouble with the sink.
    fn trouble(&self, reason: &str) -> Trouble {
        Trouble { reason: format!("{}: {reason}", self.name), after: None }
    }

    /// What is told of a receiver that has taken nothing.
    pub(super) fn closed(&self, reason: &str) -> Trouble {
        self.trouble(&format!(
            "{reason}; nothing else was taken meanwhile, so it is not the event's fault for all that is known: it stays owed, and \
             is judged when the receiver has taken something else"
        ))
    }

    /// The number of a delivery that begins.
    fn next_delivery(&self) -> usize {
        let mut state = self.state.lock().expect("no panic while the lock is held");
        state.deliveries = state.deliveries.wrapping_add(1);
        state.deliveries
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
        self.is_open((&refused.key(), refused.len() == 1), &refused.refusals, by)
    }

    /// An event was refused doubtfully, alone: whether that is its own fault by now.
    fn strikes(&self, refused: &Part, by: &[usize]) -> bool {
        let event = ContentHash::of(&refused.key());
        let mut guard = self.state.lock().expect("no panic while the lock is held");
        let WayState { places, strikes, .. } = &mut *guard;
        let taken = by.iter().filter_map(|place| places.get(place)).map(|place| place.taken).sum();
        if strikes.len() >= SUSPECTS_MAX && !strikes.contains_key(&event) {
            strikes.clear();
        }
        let (at_last, count) = strikes.entry(event).or_default();
        if *count == 0 || *at_last < taken {
            (*at_last, *count) = (taken, *count + 1);
        }
        let is_its_fault = *count >= STRIKES;
        if is_its_fault {
            strikes.remove(&event);
        }
        is_its_fault
    }

    /// The same of events that are known by the first of them, and by whether that is alone, which were refused among others when
    /// so much had been taken.
    pub(super) fn is_open(&self, first: (&[u8], bool), among: &Refusals, by: &[usize]) -> bool {
        let first = (ContentHash::of(first.0), first.1);
        let mut guard = self.state.lock().expect("no panic while the lock is held");
        let WayState { places, suspects, .. } = &mut *guard;
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
    let Formatted { events, outcomes, cuts } = formatted;
    let permits = Arc::new(Semaphore::new(limits.requests_max));
    let gate = Gate { delivery: way.next_delivery(), ..Gate::default() };
    let attempt = async |part: Part| {
        let permit = Arc::clone(&permits).acquire_owned().await.expect("the semaphore is never closed");
        let answered = match gate.lets_through(&part) {
            true => send(part.clone(), RequestPermit { _permit: permit }).await,
            false => Answered::retry(None),
        };
        (part, answered)
    };
    let mut parts = Part::all(events).split(limits, &cuts);
    let mut course = Course {
        way,
        gate: &gate,
        failures_max: limits.failures_max,
        outcomes,
        pieces: Vec::new(),
        suspects: Vec::new(),
        failures: 0,
        refusals: 0,
    };
    let mut work = FuturesUnordered::new();
    loop {
        while let Some(part) = parts.pop_front() {
            work.push(attempt(part));
        }
        let Some((part, answered)) = work.next().await else { break };
        parts.extend(course.answered(part, answered));
    }
    course.report(keeping).await
}

/// The same for those with one receiver, which hands out no tickets.
pub(super) async fn deliver_to_one<F: Future<Output = Sent>>(
    formatted: Formatted,
    limits: Limits,
    (way, tickets): (&Way, &dyn KeepTickets),
    send: impl Fn(Part) -> F,
) -> Report {
    let keeping = Keeping { tickets, forget: &|_| {} };
    let send = &send;
    deliver(formatted, limits, (way, keeping), async |part, permit| {
        let sent = send(part).await;
        drop(permit);
        Answered { sent, by: vec![0] }
    })
    .await
}

/// Whether what has not started still starts.
#[derive(Debug, Default)]
struct Gate {
    is_shut: AtomicBool,
    /// So much was refused, and nothing taken, that only some are sent still, to see whether that is so of all.
    is_narrow: AtomicBool,
    /// The delivery's number.
    delivery: usize,
}

impl Gate {
    fn shut(&self) {
        self.is_shut.store(true, Ordering::Relaxed);
    }

    fn narrow(&self) {
        self.is_narrow.store(true, Ordering::Relaxed);
    }

    fn widen(&self) {
        self.is_narrow.store(false, Ordering::Relaxed);
    }

    /// A narrow one lets through few, and each in one of so many deliveries: however many bad ones stand in a row, a good one
    /// behind them is found.
    fn lets_through(&self, part: &Part) -> bool {
        if self.is_shut.load(Ordering::Relaxed) {
            return false;
        }
        !self.is_narrow.load(Ordering::Relaxed)
            || part.key().first().is_some_and(|byte| {
                self.delivery.wrapping_add(usize::from(*byte)).is_multiple_of(NARROW_ONE_IN)
            })
    }
}

/// A delivery on its way: what has come of it so far.
struct Course<'a> {
    way: &'a Way,
    gate: &'a Gate,
    failures_max: usize,
    outcomes: Outcomes,
    /// Tickets that stand for a part of a record, with the records.
    pieces: Vec<(Ticket, Vec<usize>)>,
    /// What was refused alone, by which places and why.
    suspects: Vec<(Part, Vec<usize>, String)>,
    /// Requests without an answer since something was taken last.
    failures: usize,
    /// Refusals since something was taken last.
    refusals: usize,
}

impl Course<'_> {
    /// A request was answered: what is to be sent of it now, in smaller parts.
    fn answered(&mut self, part: Part, Answered { sent, by }: Answered) -> Vec<Part> {
        match sent {
            Sent::Delivered => self.took(&by),
            Sent::Awaited => {
                self.took(&by);
                part.records().for_each(|record| self.outcomes.await_ticket(record));
            }
            Sent::Ticket(ticket) => {
                self.took(&by);
                let mut records: Vec<usize> = part.records().collect();
                records.dedup();
                self.pieces.push((ticket, records));
            }
            Sent::Each(fates) => self.each(&part, &by, fates),
            Sent::Uncertain(reason) => {
                self.took(&by);
                // Whoever does so with one request may do it with every one.
                self.gate.shut();
                part.records().for_each(|record| self.outcomes.uncertain(record, &reason));
                self.outcomes.trouble(self.way.trouble(&reason));
            }
            Sent::Retry(trouble) => {
                part.records().for_each(|record| self.outcomes.retry(record));
                if let Some(trouble) = trouble {
                    self.failed();
                    self.outcomes.trouble(trouble);
                }
            }
            Sent::Invalid { suspect, reason } => return self.refused(part, by, Some(suspect), reason, None),
            Sent::TooLarge(reason) | Sent::Refused(Trouble { reason, .. }) => {
                return self.refused(part, by, None, reason, None);
            }
            Sent::Doubtful(trouble) => {
                return self.refused(part, by, None, trouble.reason.clone(), Some(trouble));
            }
        }
        Vec::new()
    }

    fn took(&mut self, by: &[usize]) {
        self.way.took(by);
        self.gate.widen();
        (self.failures, self.refusals) = (0, 0);
    }

    /// One refused connection tells about the others: what has not started does not start.
    fn failed(&mut self) {
        self.failures += 1;
        if self.failures >= self.failures_max {
            self.gate.shut();
        }
    }

    fn each(&mut self, part: &Part, by: &[usize], fates: Vec<Fate>) {
        // One request: what was taken of it was taken after what was refused of it came.
        let before = self.way.taken(by);
        if fates.iter().any(|fate| matches!(fate, Fate::Delivered)) {
            self.took(by);
        }
        let mut has_failed = false;
        for (one, fate) in part.singles().zip(fates) {
            match fate {
                Fate::Delivered => {}
                Fate::Retry(trouble) => {
                    has_failed = true;
                    self.outcomes.retry(one.first_record());
                    self.outcomes.trouble(trouble);
                }
                Fate::Refused(reason) => {
                    self.suspects.push((one.among_refused(&before, false), by.to_vec(), reason));
                }
            }
        }
        if has_failed {
            self.failed();
        }
    }

    /// All of a part was refused. `suspect` is the receiver's hint which event is meant, where it means one; `doubt` is what is
    /// told while it is not known whether that is the event's fault or the way's.
    fn refused(
        &mut self,
        part: Part,
        by: Vec<usize>,
        suspect: Option<Option<usize>>,
        reason: String,
        doubt: Option<Trouble>,
    ) -> Vec<Part> {
        self.refusals += 1;
        let refused = self.way.refused(&by);
        let is_searched = part.is_searched || self.way.is_open_since(&part, &by);
        let is_hopeless = self.refusals >= REFUSALS_MAX && !is_searched;
        if part.len() == 1 {
            if is_hopeless {
                self.gate.narrow();
            }
            match doubt {
                Some(trouble) => self.doubt(&part, &by, trouble),
                None => self.suspects.push((part, by, reason)),
            }
            return Vec::new();
        }
        if is_hopeless {
            self.gate.shut();
            self.outcomes.trouble(self.way.closed(&reason));
        }
        let smaller: Vec<Part> = match suspect {
            Some(suspect) => {
                // Without a number that can be right, halves find the event as surely.
                let suspect = suspect.filter(|suspect| *suspect < part.len()).unwrap_or(part.len() / 2);
                part.cut(&[suspect, suspect + 1]).collect()
            }
            None => part.halves().collect(),
        };
        smaller.into_iter().map(|part| part.among_refused(&refused, is_searched)).collect()
    }

    /// An event was refused alone, and doubtfully.
    fn doubt(&mut self, part: &Part, by: &[usize], trouble: Trouble) {
        let record = part.first_record();
        if self.way.strikes(part, by) {
            let reason = &trouble.reason;
            self.outcomes.reject(
                record,
                &format!("refused {STRIKES} times while others were taken in between: {reason}"),
            );
        } else {
            self.outcomes.retry(record);
            self.outcomes.trouble(trouble);
        }
    }

    async fn report(mut self, keeping: Keeping<'_>) -> Report {
        for (part, by, reason) in self.suspects {
            let record = part.first_record();
            if self.way.is_open_since(&part, &by) {
                self.outcomes.reject(record, &reason);
            } else {
                self.outcomes.retry(record);
                self.outcomes.trouble(self.way.closed(&reason));
            }
        }
        keep_pieces(self.pieces, &mut self.outcomes, keeping).await;
        self.outcomes.report()
    }
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
    /// The records with which a new request begins, however much room there is in the one before.
    cuts: Vec<usize>,
}

impl Formatted {
    /// Formats every record of `batch`.
    pub(super) async fn new(encoding: &Encoding, batch: DeliveryBatch<'_>) -> Self {
        Self::of(batch, |kind, record, events| {
            encoding.write(kind, record, batch.tenant, events).map_err(|error| error.to_string())
        })
        .await
    }

    /// The events of each record of `batch`, as `write` appends them. The record of one that cannot be written is refused.
    pub(super) async fn of(
        batch: DeliveryBatch<'_>,
        write: impl Fn(RecordKind, Record<'_>, &mut Events) -> Result<(), String>,
    ) -> Self {
        let (mut events, mut outcomes) = (Events::new(), Outcomes::default());
        let bodies: usize = batch.deliveries.iter().map(|delivery| delivery.batch.body_bytes()).sum();
        events.bytes.reserve(bodies + bodies / 16);
        let mut turn_at = TURN_BYTES;
        for (number, (source, record)) in batch.records().enumerate() {
            events.start_record(number);
            outcomes.push(match write(source.kind(), record, &mut events) {
                Ok(()) => Outcome::Delivered,
                Err(reason) => Outcome::Rejected(reason),
            });
            if events.bytes.len() >= turn_at {
                turn_at = events.bytes.len() + TURN_BYTES;
                tokio::task::yield_now().await;
            }
        }
        Self { events, outcomes, cuts: Vec::new() }
    }

    /// The same, with no request across two deliveries of `batch`: what comes again is cut as it was, whatever comes beside it.
    pub(super) fn cut_at_deliveries(self, batch: DeliveryBatch<'_>) -> Self {
        let counts = batch.deliveries.iter().map(|delivery| delivery.records().count());
        let begins = counts.scan(0, |begin, count| Some(std::mem::replace(begin, *begin + count)));
        Self { cuts: begins.collect(), ..self }
    }

    /// Each event as `write` writes it: in the row, message or request that a receiver wants. The record of one that cannot
    /// be written is refused.
    pub(super) async fn rewritten(
        self,
        mut write: impl FnMut(&Event<'_>, &mut Vec<u8>) -> Result<(), String>,
    ) -> Self {
        let Self { events: old, mut outcomes, cuts } = self;
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
        Self { events, outcomes, cuts }
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

    /// What its first event is known by from one delivery to the next, however it is written.
    fn key(&self) -> Vec<u8> {
        let Some(Event { envelope, .. }) = self.events().next() else { return Vec::new() };
        [&envelope.hash.0[..], &envelope.part.to_le_bytes()].concat()
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

    /// Runs of events within the limits, or of one event, each of `begin_at` the first record of one. A record that fits is not
    /// cut.
    fn split(&self, limits: Limits, begin_at: &[usize]) -> VecDeque<Self> {
        let mut cuts = Vec::new();
        // Where the part and where its last record begin; what is in both.
        let (mut start, mut of_record) = (0, 0);
        let (mut bytes, mut record_bytes, mut record) = (0, 0, None);
        for (number, event) in self.events().enumerate() {
            if record != Some(event.envelope.record) {
                (of_record, record_bytes) = (number, 0);
                // Records that could not be written are not among the events.
                let before = record.replace(event.envelope.record);
                let begins = |at: &usize| before < Some(*at) && *at <= event.envelope.record;
                if number > start && begin_at.iter().any(begins) {
                    cuts.push(number);
                    (start, bytes) = (number, 0);
                }
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
mod tests;
