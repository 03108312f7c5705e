//! A cause of trouble: whose it is, and how it is told.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use muster_microsoft::{About, Fault};
use serde::Serialize;

use crate::shown::output::{Tone, duration, number};
use crate::shown::state::since;

/// Whose trouble it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// `muster run` itself.
    Run,
    /// A part of it.
    Part(String),
    App(String),
    /// Microsoft's API, or the way to it.
    Microsoft,
    Sink(String),
    /// A receiver of notices.
    Receiver(String),
    Routes,
    /// Each tenant's own.
    Tenants,
}

impl Subject {
    /// Whose trouble a kind of trouble is, in a tenant that is read with `app`.
    pub fn of(fault: Fault, app: &str) -> Self {
        match fault.meaning().about {
            About::App => Self::App(app.to_owned()),
            About::Api => Self::Microsoft,
            About::Tenant => Self::Tenants,
        }
    }
}

/// As programs are told: in JSON and in the metrics.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run => f.write_str("run"),
            Self::Part(part) => f.write_str(part),
            Self::App(app) => write!(f, "app {app}"),
            Self::Microsoft => f.write_str("microsoft"),
            Self::Sink(sink) => write!(f, "sink {sink}"),
            Self::Receiver(receiver) => write!(f, "notices {receiver}"),
            Self::Routes => f.write_str("routes"),
            Self::Tenants => f.write_str("tenants"),
        }
    }
}

/// A kind of trouble in words, with whose it is.
pub fn in_words(subject: &Subject, meaning: &str) -> String {
    match subject {
        Subject::App(app) => format!("app `{app}`: {meaning}"),
        Subject::Microsoft => format!("Microsoft: {meaning}"),
        Subject::Sink(sink) => format!("sink `{sink}` {meaning}"),
        Subject::Receiver(receiver) => format!("notices `{receiver}` {meaning}"),
        Subject::Part(part) => format!("{part}: {meaning}"),
        Subject::Run | Subject::Routes | Subject::Tenants => meaning.to_owned(),
    }
}

/// One cause of trouble, and what suffers from it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cause {
    /// Whose trouble: `run`, `app main`, `sink splunk`, `microsoft`, `routes`, `tenants`, or a part of `run`.
    pub about: String,
    /// A stable word for the kind of trouble.
    pub code: String,
    pub level: Level,
    /// In words, with all that suffers.
    pub what: String,
    pub remedy: String,
    pub since: Option<Timestamp>,
    pub sources: u64,
    pub tenants: u64,
    pub records: u64,
    /// Some of the tenants.
    pub examples: Vec<String>,
    /// The kind of trouble in words, without whom it is of and who suffers.
    #[serde(skip)]
    pub meaning: String,
    /// All of the tenants, where it is each one's own.
    #[serde(skip)]
    pub all: BTreeSet<String>,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Critical,
    Warning,
}

impl Level {
    pub fn tone(self) -> Tone {
        match self {
            Self::Critical => Tone::Bad,
            Self::Warning => Tone::Fair,
        }
    }

    /// Beside its colour, what it is told apart by.
    pub fn mark(self) -> char {
        match self {
            Self::Critical => '✗',
            Self::Warning => '!',
        }
    }
}

/// `1 tenant`, `25 tenants`.
pub fn plural(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{} {what}s", number(count)) }
}

/// A cause in one line, with since when.
pub fn line(cause: &Cause, now: Timestamp) -> String {
    let mut line = cause.what.clone();
    let more = cause.tenants.saturating_sub(cause.examples.len() as u64);
    if !cause.examples.is_empty() {
        let more = if more > 0 { format!(", {} more", number(more)) } else { String::new() };
        line.push_str(&format!(" ({}{more})", cause.examples.join(", ")));
    }
    if let Some(at) = cause.since.filter(|_| cause.about != "run") {
        line.push_str(&format!("; for {}", duration(since(at, now))));
    }
    line
}
