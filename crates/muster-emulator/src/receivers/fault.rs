//! The receivers' names, and what each can be told to do wrong.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// The name of one receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiverName {
    /// The Splunk HTTP Event Collector.
    Hec,
    /// Syslog over UDP.
    SyslogUdp,
    /// Syslog over TCP.
    SyslogTcp,
    /// Syslog over TLS.
    SyslogTls,
    /// The data collection rule of Azure Monitor.
    Ingest,
}

impl fmt::Display for ReceiverName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            ReceiverName::Hec => "hec",
            ReceiverName::SyslogUdp => "syslog_udp",
            ReceiverName::SyslogTcp => "syslog_tcp",
            ReceiverName::SyslogTls => "syslog_tls",
            ReceiverName::Ingest => "ingest",
        })
    }
}

/// What a receiver does wrong on purpose. The modules of the receivers say what each means to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiverFault {
    /// Refuses connections and resets the open ones; drops datagrams.
    Down,
    /// Takes events, loses them and never acknowledges them.
    NeverAcknowledge,
    /// Answers every request with this status.
    Status {
        /// The HTTP status.
        status: u16,
        /// The `Retry-After` header.
        #[serde(default)]
        retry_after_seconds: Option<u32>,
    },
    /// Neither reads nor answers.
    Stall,
    /// Resets each connection when this many bytes of it have been read.
    CutAfterBytes(u64),
    /// Answers one request in so many with 503, and loses another in so many that it has answered as ever: those are never
    /// acknowledged. The collector only.
    Unreliable {
        /// One in so many is answered with 503; 0 for none.
        busy_one_in: u32,
        /// One in so many is lost; 0 for none.
        lost_one_in: u32,
    },
    /// A firewall before it answers requests with certain events by a page of its own. The collector only.
    Firewall {
        /// The HTTP status of the page.
        status: u16,
        /// One event in so many is refused, by its id and always the same; 0 for every request with events.
        one_event_in: u32,
    },
    /// Loses certain events after it has acknowledged them. The collector only.
    Forgets {
        /// One event in so many, by its id and always the same.
        one_event_in: u32,
    },
    /// Takes what comes and closes the connection in place of an answer. Azure Monitor's rule only.
    LosesAnswers {
        /// One request in so many.
        one_in: u32,
    },
    /// Waits this long before each answer, or each read.
    Slow {
        /// The wait.
        milliseconds: u64,
    },
}

/// Locks, even after a panic elsewhere: all that these locks guard is whole between two statements.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
