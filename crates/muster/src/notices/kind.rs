//! The kinds of conditions that people are told of: a closed list with stable names.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What people are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    ConsentLost,
    SignInRefused,
    CredentialEnds,
    TenantSilent,
    SourceBehind,
    LedgerHole,
    SinkDown,
    SinkBehind,
    DeadLetters,
    Unrouted,
    JournalBound,
    DiskFull,
    PartDown,
    NotRunning,
    ReceiverFailing,
}

impl Kind {
    /// Every kind, in the order of the documents.
    pub const ALL: [Self; 15] = [
        Self::NotRunning,
        Self::ConsentLost,
        Self::SignInRefused,
        Self::CredentialEnds,
        Self::TenantSilent,
        Self::SourceBehind,
        Self::LedgerHole,
        Self::SinkDown,
        Self::SinkBehind,
        Self::DeadLetters,
        Self::Unrouted,
        Self::JournalBound,
        Self::DiskFull,
        Self::PartDown,
        Self::ReceiverFailing,
    ];

    /// The stable word in settings, commands and messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConsentLost => "consent_lost",
            Self::SignInRefused => "sign_in_refused",
            Self::CredentialEnds => "credential_ends",
            Self::TenantSilent => "tenant_silent",
            Self::SourceBehind => "source_behind",
            Self::LedgerHole => "ledger_hole",
            Self::SinkDown => "sink_down",
            Self::SinkBehind => "sink_behind",
            Self::DeadLetters => "dead_letters",
            Self::Unrouted => "unrouted",
            Self::JournalBound => "journal_bound",
            Self::DiskFull => "disk_full",
            Self::PartDown => "part_down",
            Self::NotRunning => "not_running",
            Self::ReceiverFailing => "receiver_failing",
        }
    }

    /// The kind that has this word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// What it is, as the documents say it.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::ConsentLost => {
                "the customer's consent or a permission is gone, or the tenant has no licence for the API"
            }
            Self::SignInRefused => {
                "Microsoft issues no token: the app's credential is wrong or has ended, or a person's sign-in was revoked"
            }
            Self::CredentialEnds => "a secret, certificate or sign-in ends soon",
            Self::TenantSilent => {
                "a tenant has brought nothing for longer than it ever does, though it can be read"
            }
            Self::SourceBehind => "a source is not read to its end in time, or Microsoft's API is in trouble",
            Self::LedgerHole => "a part of what a source has could not be read",
            Self::SinkDown => {
                "a sink takes nothing, or not the records of some tenants, or is gone from the settings"
            }
            Self::SinkBehind => "a sink takes records more slowly than they come",
            Self::DeadLetters => "records lie there that could not be read, or that a sink refused for good",
            Self::Unrouted => "records have reached no sink because there was no route",
            Self::JournalBound => "the journal is full or will be, or something was given up for that",
            Self::DiskFull => "what sinks that are down are owed will not fit the disk",
            Self::PartDown => "a part of `muster run` does not work",
            Self::NotRunning => "`muster run` does not run: seen by `muster status --check --notify`",
            Self::ReceiverFailing => "another receiver of notices takes none",
        }
    }

    /// How long it must hold before somebody is told: what passes by itself meanwhile is nobody's trouble.
    #[must_use]
    pub fn tell_after(self) -> Duration {
        Duration::from_secs(match self {
            Self::SourceBehind | Self::SinkBehind | Self::LedgerHole | Self::ReceiverFailing => 600,
            _ => 60,
        })
    }

    /// How long it must be gone before it is over.
    #[must_use]
    pub fn over_after(self) -> Duration {
        Duration::from_secs(match self {
            // It is told from how the store grows, which nobody knows for a while after a start.
            Self::DiskFull => 1_800,
            _ => 300,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_stands_for_one() {
        for kind in Kind::ALL {
            assert_eq!(Kind::named(kind.as_str()), Some(kind));
            assert_eq!(serde_json::to_value(kind).expect("a word"), kind.as_str());
        }
    }
}
