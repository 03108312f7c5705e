//! The heartbeat of `muster run`: it writes into the store that it is at work, so that `muster status` knows, and says in the
//! log every few minutes how things stand.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use muster_model::Clock;
use muster_store::{Heartbeat, InstanceId, Store, StoreError};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::journal_bound;
use crate::shown::output::duration;
use crate::shown::run::{BEAT_EVERY, SILENT_AFTER};
use crate::shown::state::since;
use crate::shown::status::{Expected, Snapshot};
use crate::told::Told;
use crate::troubles::Troubles;

/// How soon a heartbeat that could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(2);
/// How often a node says that it lives.
const LIVE_EVERY: Duration = Duration::from_secs(2);
/// How often it is said how things stand.
const SUMMARY_EVERY: Duration = Duration::from_secs(300);
/// Work that has been due for so long, and that nobody takes, does not go on.
pub const STUCK_AFTER: Duration = Duration::from_secs(300);

/// Whether the store could be written to lately.
#[derive(Debug)]
pub struct Pulse(Mutex<Beat>);

#[derive(Debug)]
struct Beat {
    written_at: Instant,
    /// When it was last written, or the store said at once that its disk is to blame.
    answered_at: Instant,
    failure: Option<String>,
}

impl Beat {
    fn written(now: Instant) -> Self {
        Self { written_at: now, answered_at: now, failure: None }
    }
}

impl Pulse {
    /// Why it cannot be written to; nothing when it can.
    pub fn failure(&self) -> Option<String> {
        let beat = self.0.lock().expect("no panic while the lock is held");
        let silent = beat.written_at.elapsed();
        match &beat.failure {
            Some(failure) => Some(failure.clone()),
            None if silent > SILENT_AFTER => {
                Some(format!("the store has not been written to for {}", duration(silent)))
            }
            None => None,
        }
    }

    /// That the store gives no answer, or stays locked; nothing when it is written to, and while its disk is to blame, which a
    /// restart does not mend.
    pub fn hangs(&self) -> Option<String> {
        let beat = self.0.lock().expect("no panic while the lock is held");
        let silent = beat.answered_at.elapsed();
        let why = beat.failure.as_deref().unwrap_or("it gives no answer");
        (silent > SILENT_AFTER).then(|| format!("the store does not take the heartbeat: {why}"))
    }
}

/// What writes the heartbeat.
#[derive(Clone)]
pub struct Heart {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    about: Heartbeat,
    troubles: Troubles,
    pulse: Arc<Pulse>,
}

impl Heart {
    pub fn new(store: &Arc<dyn Store>, clock: &Arc<dyn Clock>, instance: InstanceId) -> Self {
        let now = clock.now();
        let about = Heartbeat {
            instance,
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: now,
            beat_at: now,
            stopped_at: None,
            troubles: Vec::new(),
        };
        Self {
            store: Arc::clone(store),
            clock: Arc::clone(clock),
            about,
            troubles: Troubles::default(),
            pulse: Arc::new(Pulse(Mutex::new(Beat::written(Instant::now())))),
        }
    }

    pub fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(&self.pulse)
    }

    /// What does not work, which the next heartbeat tells.
    pub fn troubles(&self) -> &Troubles {
        &self.troubles
    }

    /// Writes one heartbeat.
    ///
    /// # Errors
    /// When the store cannot be written to. [`Pulse::failure`] tells it until one is written.
    pub async fn beat(&self) -> Result<(), StoreError> {
        self.write(None).await
    }

    /// Writes down that it stopped because it was told to.
    pub async fn stopped(&self) {
        if let Err(error) = self.store.leave(self.about.instance).await {
            tracing::warn!(error = %error, "cannot write down that this node has stopped: others wait until it is silent");
        }
        if let Err(error) = self.write(Some(self.clock.now())).await {
            tracing::warn!(error = %error, "cannot write down that this stopped as told: `muster status` will say that it died");
        }
    }

    async fn write(&self, stopped_at: Option<Timestamp>) -> Result<(), StoreError> {
        let troubles = self.troubles.all();
        let beat = Heartbeat { beat_at: self.clock.now(), stopped_at, troubles, ..self.about.clone() };
        let written = self.store.beat(beat).await;
        let mut pulse = self.pulse.0.lock().expect("no panic while the lock is held");
        match &written {
            Ok(()) => *pulse = Beat::written(Instant::now()),
            Err(error) => {
                pulse.failure = Some(error.to_string());
                if error.is_of_the_disk() {
                    pulse.answered_at = Instant::now();
                }
            }
        }
        drop(pulse);
        written
    }

    /// Says that this node lives until told to stop, where several share the store: others take its work when it is silent.
    pub async fn live(&self, told: Arc<Told>, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(LIVE_EVERY)).await.is_some() {
            let now = self.clock.now();
            if let Err(error) = self.store.live(self.about.instance, now).await {
                told.store.failed("say that this node lives", &error, now);
            }
        }
    }

    /// Writes heartbeats and summaries until told to stop.
    pub async fn run(self, expected: watch::Receiver<Expected>, told: Arc<Told>, stop: CancellationToken) {
        let mut summary = Summary { at: Instant::now(), accepted: None, delivered: None };
        let mut failing = false;
        loop {
            let wait = if failing { AGAIN } else { BEAT_EVERY };
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
            match self.beat().await {
                Ok(()) => {
                    failing = false;
                    told.store.written(self.clock.now());
                }
                Err(error) => {
                    failing = true;
                    told.store.failed("write the heartbeat", &error, self.clock.now());
                }
            }
            if summary.at.elapsed() >= SUMMARY_EVERY {
                summary.at = Instant::now();
                let expected = expected.borrow().clone();
                match Snapshot::take(self.store.as_ref(), &expected, self.clock.now()).await {
                    Ok(now) => summary.tell(&now),
                    Err(error) => told.store.failed("tell how things stand", &error, self.clock.now()),
                }
            }
        }
    }
}

/// What was last said of how things stand.
struct Summary {
    at: Instant,
    accepted: Option<u64>,
    delivered: Option<u64>,
}

impl Summary {
    fn tell(&mut self, now: &Snapshot) {
        let delivered = now.sinks.iter().map(|sink| sink.delivered).sum::<u64>();
        let more = |total: u64, before: &mut Option<u64>| {
            before.replace(total).map(|before| total.saturating_sub(before))
        };
        let states = now.totals.sources.iter().map(|(word, count)| format!("{count} {word}"));
        tracing::info!(
            tenants = now.totals.tenants,
            with_trouble = now.totals.failing,
            sources = states.collect::<Vec<_>>().join(", "),
            accepted = more(now.totals.accepted, &mut self.accepted),
            delivered = more(delivered, &mut self.delivered),
            owed = now.totals.owed,
            unrouted = now.totals.unrouted.no_route,
            causes_of_trouble = now.causes.len(),
            "how things stand"
        );
    }
}

/// Work that should be going on and is not, in words.
///
/// # Errors
/// When the store does not answer.
pub async fn stuck(
    store: &dyn Store,
    expected: &Expected,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    let overdue = |due: Option<Timestamp>| due.filter(|due| since(*due, now) > STUCK_AFTER);
    // Where the journal is full, nothing is read on purpose; `status` says so.
    let is_stopped = journal_bound::is_stopped(expected.bound, store).await?;
    if !is_stopped && let Some(due) = overdue(store.next_source_due_at().await?) {
        let for_so_long = duration(since(due, now));
        return Ok(Some(format!("sources are due for {for_so_long}, and nobody reads them; see the log")));
    }
    for sink in &expected.sinks {
        if let Some(due) = overdue(store.next_delivery_due_at(sink).await?) {
            let for_so_long = duration(since(due, now));
            return Ok(Some(format!(
                "deliveries to sink `{sink}` are due for {for_so_long}, and nobody takes them; see the log"
            )));
        }
    }
    Ok(None)
}
