//! A sink that may not be there yet. One that cannot be opened (its folder is gone, its CA file is no PEM, its secret cannot
//! be read) is down with its reason: everything else runs, what is owed to it waits, and it is tried again until it opens.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use muster_model::Clock;
use muster_siem::sinks::Sink;
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
    troubles: Troubles,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

enum State {
    Untried,
    Open(Arc<Sink>),
    Down { reason: String, tried_at: Timestamp },
    Closed,
}

impl SinkHandle {
    pub fn new(name: String, open: Arc<OpenSink>, troubles: Troubles, clock: Arc<dyn Clock>) -> Self {
        Self { name, open, troubles, clock, state: Mutex::new(State::Untried) }
    }

    /// The sink; or why there is none, as it was found at most a few seconds ago.
    pub async fn get(&self) -> Result<Arc<Sink>, String> {
        let mut state = self.state.lock().await;
        let now = self.clock.now();
        match &*state {
            State::Open(sink) => return Ok(Arc::clone(sink)),
            State::Closed => return Err("it is closed".to_owned()),
            // A clock that was set back does not keep it waiting.
            State::Down { reason, tried_at } if now >= *tried_at && now.duration_since(*tried_at) < AGAIN => {
                return Err(reason.clone());
            }
            State::Untried | State::Down { .. } => {}
        }
        let open = Arc::clone(&self.open);
        // Disks may be slow, and programs that give secrets slower.
        let opened = tokio::task::spawn_blocking(move || open()).await;
        let opened = opened.unwrap_or_else(|error| Err(format!("opening it failed: {error}")));
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

    /// Whether it is open now.
    pub async fn is_open(&self) -> bool {
        matches!(*self.state.lock().await, State::Open(_))
    }

    /// Tells the log what is new, and the heartbeat what is so.
    fn tell(&self, before: &State, trouble: Option<&str>) {
        let name = &self.name;
        self.troubles.set(&format!("sink {name}"), trouble);
        match (before, trouble) {
            (State::Down { .. }, None) => tracing::info!(sink.name = name, "the sink can be used again"),
            (State::Down { reason, .. }, Some(trouble)) if reason == trouble => {}
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
