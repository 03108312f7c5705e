//! Destinations. Each sink formats a delivery batch, sends it, waits for whatever acknowledgement its receiver can give,
//! and answers for each record. What a sink's acknowledgement is worth stands at the head of its file.
//!
//! A closed list: to add a sink, write its file (copy the one nearest to it), add a variant to [`Sink`], and follow
//! the compiler. A sink never retries by itself and keeps nothing that is owed: it answers [`Outcome::Retry`] and the
//! delivery stays in the store.

mod file;
mod splunk_hec;
mod syslog;
mod tls;

use muster_model::{DeliveryBatch, Outcome, Report, Trouble};

pub use file::{FileOptions, FileSink};
pub use splunk_hec::{Acknowledge, SplunkHec, SplunkHecOptions};
pub use syslog::{Confirm, Framing, Rfc, Syslog, SyslogOptions, Transport};
pub use tls::TlsOptions;

/// A destination.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is a handful of sinks, each made once and never moved about"
)]
pub enum Sink {
    /// Splunk's HTTP Event Collector.
    SplunkHec(SplunkHec),
    /// A syslog receiver.
    Syslog(Syslog),
    /// A local file.
    File(FileSink),
}

impl Sink {
    /// Formats and sends; waits for the sink's own acknowledgement; answers for each record.
    pub async fn deliver(&self, batch: DeliveryBatch<'_>) -> Report {
        match self {
            Self::SplunkHec(sink) => sink.deliver(batch).await,
            Self::Syslog(sink) => sink.deliver(batch).await,
            Self::File(sink) => sink.deliver(batch).await,
        }
    }

    /// Checks the way to the sink without sending a record, and says in a sentence what was found.
    ///
    /// # Errors
    /// When a record could not be delivered that way: what is wrong, and what to do.
    pub async fn test(&self) -> Result<String, SinkError> {
        match self {
            Self::SplunkHec(sink) => sink.test().await,
            Self::Syslog(sink) => sink.test().await,
            Self::File(sink) => sink.test().await,
        }
    }

    /// The `type` in the settings.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::SplunkHec(_) => "splunk_hec",
            Self::Syslog(_) => "syslog",
            Self::File(_) => "file",
        }
    }

    /// Flushes and closes. Nothing may be delivered afterwards.
    pub async fn close(&self) {
        match self {
            Self::SplunkHec(_) => {}
            Self::Syslog(sink) => sink.close().await,
            Self::File(sink) => sink.close().await,
        }
    }
}

/// Why a sink cannot be made or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// The settings cannot work; a person must change them.
    #[error("sink `{sink}`: {problem}")]
    Settings {
        /// The sink's name in the settings.
        sink: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The receiver, or the file, cannot be used at present.
    #[error("sink `{sink}`: {problem}")]
    Unusable {
        /// The sink's name in the settings.
        sink: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Another process writes there.
    #[error(
        "sink `{sink}`: {path} is being written by another process; stop it, or give this sink another path"
    )]
    InUse {
        /// The sink's name in the settings.
        sink: String,
        /// The path both want.
        path: String,
    },
}

/// Collects the outcomes of a delivery batch's records while their events go their ways.
///
/// A record may be several events. Its outcome is the least final of theirs: one that must be retried keeps the record
/// owed, even where another of its events was refused for good.
#[derive(Debug)]
struct Answers {
    outcomes: Vec<Outcome>,
    trouble: Option<Trouble>,
}

impl Answers {
    fn new() -> Self {
        Self { outcomes: Vec::new(), trouble: None }
    }

    fn reject(&mut self, record: usize, reason: &str) {
        if let Some(outcome @ Outcome::Delivered) = self.outcomes.get_mut(record) {
            *outcome = Outcome::Rejected(reason.to_owned());
        }
    }

    fn retry(&mut self, record: usize) {
        if let Some(outcome) = self.outcomes.get_mut(record) {
            *outcome = Outcome::Retry;
        }
    }

    /// Everything that was not refused stays owed.
    fn retry_all(&mut self) {
        for outcome in self.outcomes.iter_mut().filter(|outcome| **outcome == Outcome::Delivered) {
            *outcome = Outcome::Retry;
        }
    }

    /// Keeps the first reason, and the longest wait anyone asked for.
    fn trouble(&mut self, trouble: Trouble) {
        match &mut self.trouble {
            None => self.trouble = Some(trouble),
            Some(known) => known.after = known.after.max(trouble.after),
        }
    }

    fn report(self) -> Report {
        Report { outcomes: self.outcomes, trouble: self.trouble }
    }
}

/// A bit of what a receiver said, fit for a message to the operator.
fn shown(text: &str) -> String {
    muster_model::text::shown(text, 200)
}

#[cfg(test)]
mod testing;
