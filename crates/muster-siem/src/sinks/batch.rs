//! How sinks that send batches deliver: a delivery batch is formatted once into one buffer, the buffer goes out in
//! parts, what is refused is halved until the event that was meant stands alone, and each record gets its outcome.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use muster_model::{DeliveryBatch, Outcome, Report, Trouble};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::outcomes::Outcomes;
use crate::formats::{Encoding, Event, Events};

/// Formatting this many bytes is about a millisecond of work; others get a turn then.
const TURN_BYTES: usize = 256 << 10;

/// What a receiver takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The bytes of one request's events; an event that is bigger goes alone.
    pub(super) part_bytes_max: usize,
    /// The events of one request.
    pub(super) part_events_max: usize,
    /// Requests that are on their way at once.
    pub(super) requests_max: usize,
}

/// What became of the events of one part.
#[derive(Debug)]
pub(super) enum Sent {
    /// The receiver has acknowledged all of them.
    Delivered,
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
    loop {
        while let Some(part) = parts.pop_front() {
            work.push(attempt(part));
        }
        let Some((part, sent)) = work.next().await else { break };
        match sent {
            Sent::Delivered => {}
            Sent::Retry(trouble) => {
                // One refused connection tells about the others: what has not started does not start.
                stopped.store(true, Ordering::Relaxed);
                part.records().for_each(|record| outcomes.retry(record));
                if let Some(trouble) = trouble {
                    outcomes.trouble(trouble);
                }
            }
            Sent::TooLarge(reason) | Sent::Invalid { reason, .. } if part.len() == 1 => {
                part.records().for_each(|record| outcomes.reject(record, &reason));
            }
            Sent::TooLarge(_) => parts.extend(part.cut(&[part.len() / 2])),
            Sent::Invalid { suspect, .. } => {
                // Without a number that can be right, halves find the event as surely.
                let suspect = suspect.filter(|suspect| *suspect < part.len()).unwrap_or(part.len() / 2);
                parts.extend(part.cut(&[suspect, suspect + 1]));
            }
        }
    }
    outcomes.report()
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

    /// Runs of events within the limits, or of one event.
    fn split(&self, limits: Limits) -> VecDeque<Self> {
        let mut cuts = Vec::new();
        let (mut count, mut bytes) = (0, 0);
        for (number, event) in self.events().enumerate() {
            bytes += event.bytes.len();
            if count > 0 && (count >= limits.part_events_max || bytes > limits.part_bytes_max) {
                cuts.push(number);
                (count, bytes) = (0, event.bytes.len());
            }
            count += 1;
        }
        self.cut(&cuts).collect()
    }

    /// The parts between `cuts`, which count from this part's first event; none of them empty.
    fn cut(&self, cuts: &[usize]) -> impl Iterator<Item = Self> {
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
