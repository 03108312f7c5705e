//! Keeps the journal within the bounds of the settings: its size, and how far the backlog of a shadow reaches back.
//!
//! What no sink is owed any more goes first, before its time. Then what shadows are owed. What is left is owed to sinks that
//! do not take it, and the settings say what happens: nothing new is collected, so that it waits where Microsoft keeps it, or
//! the oldest is given up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use muster_model::Clock;
use muster_store::{GiveUp, Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::config::{JournalBound, Settings, WhenFull};
use crate::often::Often;
use crate::shown::output::number;
use crate::shown::room::Room;
use crate::told::Told;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often it is looked how large the journal is.
const GLANCE_EVERY: Duration = Duration::from_secs(1);
/// Of what the journal may take, it is made smaller from the first share on, down to the second.
const SHRINK_FROM: u64 = 95;
const SHRINK_TO: u64 = 90;
/// It is told that the journal is full so often.
const TOLD_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// Whether the journal is full, and nothing is collected until there is room.
///
/// # Errors
/// When the store does not answer.
pub async fn is_stopped(bound: Option<JournalBound>, store: &dyn Store) -> Result<bool, StoreError> {
    match bound {
        Some(bound) if bound.when_full == WhenFull::Stop => Ok(bound.stops_at(store.journal_bytes().await?)),
        _ => Ok(false),
    }
}

/// What is done about it, for one reading of the settings.
pub struct Keeper {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub bound: Option<JournalBound>,
    /// The shadows, with how far the backlog of each may reach back.
    pub shadows: BTreeMap<String, Duration>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Held {
    /// Records that sinks do without, by sink.
    pub given_up: BTreeMap<String, u64>,
    /// Records that shadows do without.
    pub of_shadows: BTreeMap<String, u64>,
    /// Batches that went before their time.
    pub batches: u64,
    /// Records of these that no sink was ever to have.
    pub unrouted: u64,
}

impl Keeper {
    /// The keeper of these settings.
    pub fn of(settings: &Settings, store: &Arc<dyn Store>, clock: &Arc<dyn Clock>) -> Self {
        Self {
            store: Arc::clone(store),
            clock: Arc::clone(clock),
            bound: settings.store.bound(),
            shadows: settings.shadows(),
        }
    }

    /// Holds the bounds, once, and adds up what was done.
    ///
    /// # Errors
    /// When the store fails. What was done until then is in `held`.
    pub async fn hold(&self, held: &mut Held) -> Result<(), StoreError> {
        let now = self.clock.now();
        for (shadow, backlog) in &self.shadows {
            let owed_before = now.checked_sub(*backlog).unwrap_or(Timestamp::MIN);
            self.shorten(shadow, owed_before, held).await?;
        }
        let Some(bound) = self.bound else { return Ok(()) };
        if !self.is_over(bound, held).await? {
            return Ok(());
        }
        let shadows: Vec<String> = self.shadows.keys().cloned().collect();
        if !shadows.is_empty() {
            self.make_room(bound, shadows, held).await?;
        }
        if bound.when_full == WhenFull::DropOldest {
            self.make_room(bound, Vec::new(), held).await?;
        }
        Ok(())
    }

    /// Gives up the oldest that these shadows are owed, or all sinks where there are none: no more than has to go.
    async fn make_room(
        &self,
        bound: JournalBound,
        shadows: Vec<String>,
        held: &mut Held,
    ) -> Result<(), StoreError> {
        let of_shadows = !shadows.is_empty();
        let mut what = GiveUp { sinks: shadows, owed_before: Timestamp::MAX, bytes: 0, of_shadows };
        while self.is_over(bound, held).await? {
            what.bytes = self.store.journal_bytes().await?.saturating_sub(bound.share(SHRINK_TO));
            let gone = self.store.give_up(&what, self.clock.now()).await?;
            if gone.records.is_empty() {
                return Ok(());
            }
            let sums = if of_shadows { &mut held.of_shadows } else { &mut held.given_up };
            gone.records.iter().for_each(|(sink, records)| add(sums, sink, *records));
        }
        Ok(())
    }

    /// Whether the journal is too large still, when all that nobody is owed has made room as far as it can.
    async fn is_over(&self, bound: JournalBound, held: &mut Held) -> Result<bool, StoreError> {
        if self.store.journal_bytes().await? <= bound.share(SHRINK_FROM) {
            return Ok(false);
        }
        let (batches, unrouted) = self.store.shrink_journal(bound.share(SHRINK_TO)).await?;
        (held.batches, held.unrouted) = (held.batches + batches, held.unrouted + unrouted);
        Ok(self.store.journal_bytes().await? > bound.share(SHRINK_FROM))
    }

    /// Gives up what a shadow has been owed since before a time.
    async fn shorten(&self, shadow: &str, owed_before: Timestamp, held: &mut Held) -> Result<(), StoreError> {
        let sinks = vec![shadow.to_owned()];
        let what = GiveUp { sinks, owed_before, bytes: u64::MAX, of_shadows: true };
        loop {
            let gone = self.store.give_up(&what, self.clock.now()).await?;
            gone.records.iter().for_each(|(sink, records)| add(&mut held.of_shadows, sink, *records));
            if !gone.more {
                return Ok(());
            }
        }
    }

    /// Holds the bounds, and tells of what is done and of what is to come, until told to stop.
    pub async fn run(self, told: Arc<Told>, stop: CancellationToken) {
        let (mut warned, mut full) = (Often::default(), Often::default());
        loop {
            let now = self.clock.now();
            let mut held = Held::default();
            if let Err(error) = self.hold(&mut held).await {
                told.store.failed("hold the journal within its bounds", &error, now);
            }
            tell(&held);
            if let Some(bound) = self.bound {
                let shadows: Vec<String> = self.shadows.keys().cloned().collect();
                match Room::look(self.store.as_ref(), bound, &shadows, now).await {
                    Ok(room) if room.full => {
                        if full.is_due(TOLD_EVERY, now) {
                            tracing::error!(
                                "the journal {}. Mend the sinks: `muster status` names them",
                                room.in_words()
                            );
                        }
                    }
                    Ok(room) => {
                        if full.is_over() {
                            tracing::info!(bytes = room.bytes, "the journal has room again");
                        }
                        let every = room.seconds_left.and_then(Often::soon).unwrap_or(TOLD_EVERY * 12);
                        if room.warns && warned.is_due(every, now) {
                            tracing::warn!(
                                "the journal {}. Mend the sinks, or give it more room: [store] journal_max_size",
                                room.in_words()
                            );
                        }
                    }
                    Err(error) => told.store.failed("look how full the journal is", &error, now),
                }
            }
            if stop.run_until_cancelled(self.pause()).await.is_none() {
                return;
            }
        }
    }

    /// Until it is to be looked again: soon, where the journal has grown too large since.
    async fn pause(&self) {
        let until = tokio::time::Instant::now() + LOOK_EVERY;
        let before = self.store.journal_bytes().await.unwrap_or(u64::MAX);
        while tokio::time::Instant::now() < until {
            tokio::time::sleep(GLANCE_EVERY).await;
            if let Some(bound) = self.bound
                && let Ok(bytes) = self.store.journal_bytes().await
                && bytes > bound.share(SHRINK_FROM).max(before)
            {
                return;
            }
        }
    }
}

fn add(sums: &mut BTreeMap<String, u64>, sink: &str, records: u64) {
    *sums.entry(sink.to_owned()).or_default() += records;
}

fn tell(held: &Held) {
    for (sink, records) in &held.given_up {
        metrics::counter!("muster_records_given_up_total", "sink" => sink.clone()).increment(*records);
        tracing::error!(
            sink.name = sink,
            records,
            "the journal is full: the oldest that the sink was owed has been given up; `muster ledger` shows the hours"
        );
    }
    for (sink, records) in &held.of_shadows {
        tracing::info!(
            sink.name = sink,
            records,
            "the shadow is behind by more than its backlog may reach back, and does without these records"
        );
    }
    if held.batches > 0 {
        tracing::info!(
            batches = held.batches,
            "the journal has forgotten what no sink is owed before its time, since it was nearly full"
        );
    }
    if held.unrouted > 0 {
        tracing::warn!(
            "{} records that no route took have left the journal before their time, and never arrived anywhere",
            number(held.unrouted)
        );
    }
}
