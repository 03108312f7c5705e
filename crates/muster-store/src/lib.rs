//! Remembers tenants, how far each source has been read, the journal of accepted records and what is owed to each
//! sink. SQL is nowhere else.
//!
//! [`Store`] is the sum of one trait for each noun; [`SqlStore`] implements them, each in `tables/` under the name that
//! it has here, for SQLite and PostgreSQL alike; what is one engine's own is in `sqlite/` and `postgres/`. [`conformance`] is
//! the suite that both must pass.

mod audit;
mod bound;
mod changes;
mod checks;
pub mod conformance;
mod counting;
mod coverage;
mod credentials;
mod dead_letters;
mod deliveries;
mod drafts;
mod engine;
mod error;
mod failure;
mod grants;
mod heartbeats;
mod invitations;
mod journal;
mod key_ring;
mod keys;
mod known_keys;
mod leases;
mod ledger;
mod lifetime;
mod look;
mod migrate;
mod nodes;
mod notices;
mod packing;
mod passes;
mod postgres;
mod pull_clients;
mod recent;
mod replays;
mod sealing;
mod searches;
mod settling;
mod sign_ins;
mod signing;
mod sources;
mod sql;
mod sqlite;
mod store;
mod stored;
mod tables;
mod tenants;
mod tickets;
mod trace;
mod writer;

pub use audit::{AuditEvent, AuditLog, AuditVerdict, NewAuditEvent};
pub use bound::{GiveUp, GivenUp, JournalBacklog, JournalBound};
pub use checks::{Check, CheckOutcome, Checks};
pub use credentials::{CredentialKind, CredentialSlot, Credentials, StoredCredential};
pub use dead_letters::{DeadLetter, DeadLetterNumber, DeadLetterOrigin, DeadLetters};
pub use deliveries::{
    Deliveries, DeliveryLease, DeliveryLimits, FinishedDelivery, QueueState, Recalled, SinkTotals,
};
pub use engine::SqlStore;
pub use error::StoreError;
pub use grants::{Grant, GrantLease, Grants, NewGrant};
pub use heartbeats::{Heartbeat, Heartbeats, PartTrouble};
pub use invitations::{Invitation, InvitationChange, Invitations, NewInvitation};
pub use journal::{
    AcceptedPage, BatchNote, Destination, Journal, JournalSlice, JournalTail, JournalTotals, Late,
    NewDeadLetter, NewRecord, PageReceipt, Pruned, Retention,
};
pub use key_ring::KeyRing;
pub use keys::{Keys, RotateError, Rotation, rotate_key_file};
pub use known_keys::ReadKeys;
pub use leases::{InstanceId, Leases, NamedLease};
pub use ledger::{HourState, Ledger, LedgerFilter, LedgerHour, LedgerSink, Witness};
pub use lifetime::{CopyContents, Lifetime, OpenMode, Restoration};
pub use look::StoreLook;
pub use migrate::{MoveStep, MovedStore, MovedTable, abandon_move, migrate};
pub use nodes::{Node, Nodes};
pub use notices::{
    KeptReceiver, NewNotice, NotedAlerts, NotedConditions, NoticeCondition, NoticeFate, NoticeMessage,
    NoticeReceiver, NoticeSnooze, NoticeState, NoticeTold, Notices, TenantHabit, WAITING_MAX,
    offboarded_facts,
};
pub use passes::{CursorState, Passes};
pub use postgres::{PostgresAddress, PostgresSettings, SslMode};
pub use pull_clients::{NewPullClient, ProcessedBatch, ProcessedSpan, PullClient, PullClients, SecretHash};
pub use replays::{
    RecordStandings, ReplayCounts, ReplayRequest, ReplayStep, ReplayTo, ReplayedToSink, Replays, Standing,
    StandingsStep, Unrouted, UnroutedCause,
};
pub use sealing::{MasterKey, MasterKeyError, Sealed, SealingError};
pub use searches::{BatchRead, ChangedIn, SearchedSource, Searches, VersionKey, VersionPlace, VersionsPage};
pub use sign_ins::{SignIn, SignInKind, SignIns};
pub use signing::SigningKey;
pub use sources::{PollResult, SourceLease, SourceState, Sources};
pub use sqlite::copies::CheckedCopy;
pub use store::{Address, Store, look, make, open};
pub use tenants::{NewTenant, TenantChange, TenantKey, Tenants};
pub use tickets::{KeptTicket, NewTicket, SettledTickets, TicketFate, TicketNumber, Tickets};
pub use trace::{TracedDelivery, TracedState, TracedVersion};
