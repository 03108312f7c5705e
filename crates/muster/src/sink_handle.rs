//! A sink that may not be there yet. One that cannot be opened (its folder is gone, its CA file is no PEM, its secret cannot
//! be read) is down with its reason: everything else runs, what is owed to it waits, and it is tried again until it opens.
//! Where several nodes share the store, one that has files of its own is open only on the node that delivers to it.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use muster_model::Clock;
use muster_siem::sinks::Sink;
use muster_store::{NewAuditEvent, Store, StoreError};
use tokio::sync::Mutex;

use crate::troubles::Troubles;

/// How soon it is tried again to open a sink.
const AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// Opens a sink, or says why it cannot be.
pub type OpenSink = dyn Fn() -> Result<Sink, String> + Send + Sync;

/// A sink, opened as soon as it can be.
pub struct SinkHandle {
    name: String,
    open: Arc<OpenSink>,
    store: Arc<dyn Store>,
    troubles: Troubles,
    clock: Arc<dyn Clock>,
    /// Whether nothing depends on it.
    is_shadow: bool,
    /// Whether it has files that one process at a time may have open.
    keeps_files: bool,
    state: Mutex<State>,
}

enum State {
    Untried,
    Open(Arc<Sink>),
    Down {
        reason: String,
        tried_at: Timestamp,
    },
    /// Another node delivers to it.
    Elsewhere,
    Closed,
}

impl SinkHandle {
    pub fn new(
        name: String,
        open: Arc<OpenSink>,
        store: Arc<dyn Store>,
        troubles: Troubles,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let state = Mutex::new(State::Untried);
        Self { name, open, store, troubles, clock, is_shadow: false, keeps_files: false, state }
    }

    /// The same of a sink on which nothing depends, if it is one.
    #[must_use]
    pub fn as_shadow(self, is_shadow: bool) -> Self {
        Self { is_shadow, ..self }
    }

    /// The same of a sink with files that one process at a time may have open, if it is one.
    #[must_use]
    pub fn keeping_files(self, keeps_files: bool) -> Self {
        Self { keeps_files, ..self }
    }

    /// The sink; or why there is none, as it was found at most a few seconds ago.
    pub async fn get(&self) -> Result<Arc<Sink>, String> {
        let mut state = self.state.lock().await;
        let now = self.clock.now();
        match &*state {
            State::Open(sink) => return Ok(Arc::clone(sink)),
            State::Closed => return Err("it is closed".to_owned()),
            State::Elsewhere => return Err("another node delivers to it now".to_owned()),
            // A clock that was set back does not keep it waiting.
            State::Down { reason, tried_at } if now >= *tried_at && now.duration_since(*tried_at) < AGAIN => {
                return Err(reason.clone());
            }
            State::Untried | State::Down { .. } => {}
        }
        let open = Arc::clone(&self.open);
        // Disks may be slow, and programs that give secrets slower.
        let opened = tokio::task::spawn_blocking(move || open()).await;
        let mut opened = opened.unwrap_or_else(|error| Err(format!("opening it failed: {error}")));
        // Before anything is delivered: what its files hold decides what it is still owed.
        if let Ok(sink) = &opened
            && let Err(error) = self.recall(sink).await
        {
            opened = Err(format!("its files cannot be held against the store: {error}"));
        }
        self.tell(&state, opened.as_ref().err().map(String::as_str));
        match opened {
            Ok(sink) => {
                let sink = Arc::new(sink);
                *state = State::Open(Arc::clone(&sink));
                Ok(sink)
            }
            Err(reason) => {
                *state = State::Down { reason: reason.clone(), tried_at: now };
                Err(reason)
            }
        }
    }

    /// Holds the files of a sink that has some against what the store knows to be in them.
    async fn recall(&self, sink: &Sink) -> Result<(), StoreError> {
        let Some(memory) = sink.memory().await else { return Ok(()) };
        let Self { store, name, clock, .. } = self;
        let recalled = store.recall(name, &memory, clock.now()).await?;
        if recalled.records > 0 {
            tracing::warn!(
                sink.name = name,
                records = recalled.records,
                "the sink's files are older than the store, or were changed: what the journal still holds of what is missing in \
                 them is delivered again, and some of it may be there twice"
            );
            let event = NewAuditEvent {
                actor: crate::audit::actor(),
                action: "sink.owed_again".to_owned(),
                subject: name.clone(),
                details: serde_json::json!({ "records": recalled.records }),
            };
            store.append_audit(event, clock.now()).await?;
        }
        if recalled.had_others {
            tracing::warn!(
                sink.name = name,
                "the sink has other files than when it was opened last: another path, files that were moved away, or a file system \
                 that is not mounted"
            );
        }
        if recalled.knows_more {
            tracing::warn!(
                sink.name = name,
                "the sink's files hold deliveries that this store does not know of: the store was put back from a copy, or the \
                 files are another store's; what is in them may come again"
            );
        }
        Ok(())
    }

    /// Whether it is open now.
    pub async fn is_open(&self) -> bool {
        matches!(*self.state.lock().await, State::Open(_))
    }

    /// Whether it is to be opened also while nothing is owed to it.
    pub async fn is_wanted(&self) -> bool {
        matches!(*self.state.lock().await, State::Untried | State::Down { .. })
    }

    /// This node delivers to it from now on, if another did before.
    pub async fn take_from_another(&self) {
        let mut state = self.state.lock().await;
        if matches!(*state, State::Elsewhere) {
            *state = State::Untried;
        }
    }

    /// Another node delivers to it: that one must be able to open its files.
    pub async fn leave_to_another(&self) {
        let mut state = self.state.lock().await;
        if !self.keeps_files || matches!(*state, State::Elsewhere | State::Closed) {
            return;
        }
        if let State::Open(sink) = std::mem::replace(&mut *state, State::Elsewhere) {
            sink.close().await;
        }
        self.troubles.set(&format!("sink {}", self.name), None);
    }

    /// Tells the log what is new, and the heartbeat what is so.
    fn tell(&self, before: &State, trouble: Option<&str>) {
        let name = &self.name;
        self.troubles.set(&format!("sink {name}"), trouble);
        match (before, trouble) {
            (State::Down { .. }, None) => tracing::info!(sink.name = name, "the sink can be used again"),
            (State::Down { reason, .. }, Some(trouble)) if reason == trouble => {}
            (_, Some(reason)) if self.is_shadow => tracing::info!(
                sink.name = name,
                reason,
                "the sink, a shadow on which nothing depends, is down; it is tried again"
            ),
            (_, Some(reason)) => tracing::error!(
                sink.name = name,
                reason,
                "the sink is down; what is owed to it waits, and it is tried again"
            ),
            (_, None) => {}
        }
    }

    /// Flushes and closes. Nothing may be delivered afterwards.
    pub async fn close(&self) {
        let state = std::mem::replace(&mut *self.state.lock().await, State::Closed);
        if let State::Open(sink) = state {
            sink.close().await;
        }
    }
}
