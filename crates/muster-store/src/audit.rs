//! The audit log: who did what to whom, each event chained to the one before it.
//!
//! An event's hash is keyed by the store's signing key and covers all of the event and the hash before it; the number
//! and hash of the last one stand apart, signed too. Whoever can write to the database but lacks the master key can
//! therefore neither change, insert, reorder nor drop an event unnoticed, nor cut the end off. What nobody can notice
//! from within is the whole database put back to an earlier day: for that, keep what `audit export` prints elsewhere.

use jiff::Timestamp;
use serde::Serialize;

/// Something that was done, to be written down.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAuditEvent {
    /// Who did it, such as `command alice` or `invitation 4b52…`.
    pub actor: String,
    /// What, as a word such as `tenant.invited`.
    pub action: String,
    /// To whom or what: a tenant's id, an app's name.
    pub subject: String,
    /// More about it. Never a secret.
    pub details: serde_json::Value,
}

/// An event of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditEvent {
    /// Its number: 1, 2, 3, …
    pub number: u64,
    /// When it was written down.
    pub at: Timestamp,
    /// Who did it.
    pub actor: String,
    /// What.
    pub action: String,
    /// To whom or what.
    pub subject: String,
    /// More about it.
    pub details: serde_json::Value,
    /// Its own hash in hexadecimal.
    pub hash: String,
    /// The hash of the event before it.
    pub previous: String,
}

/// What came of checking the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditVerdict {
    /// How many events there are.
    pub events: u64,
    /// The hash of the last one.
    pub head: String,
    /// The number of the first event that is not as it was written, and what is wrong; `None` when all are good.
    pub first_bad: Option<(u64, String)>,
}
