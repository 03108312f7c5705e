//! Remembers tenants, how far each source has been read, the journal of accepted records and what is owed to each
//! sink. SQL is nowhere else.
//!
//! [`Store`] is the one door; [`SqliteStore`] is behind it. [`conformance`] is the suite that every implementation
//! must pass.

mod audit;
pub mod conformance;
mod identity;
mod keys;
mod sealing;
mod signing;
mod sqlite;
mod store;

pub use audit::{AuditEvent, AuditVerdict, NewAuditEvent};
pub use identity::{
    Check, CheckOutcome, CredentialKind, CredentialSlot, Grant, GrantLease, Invitation, InvitationChange,
    NewGrant, NewInvitation, SignIn, SignInKind, StoredCredential,
};
pub use keys::{KeyRing, RotateError, Rotation, rotate_key_file};
pub use sealing::{MasterKey, MasterKeyError, Sealed, SealingError};
pub use signing::SigningKey;
pub use sqlite::{OpenMode, ReadKeys, SqliteStore};
pub use store::{
    AcceptedPage, DeadLetter, DeadLetterNumber, DeadLetterOrigin, DeliveryLease, DeliveryLimits,
    FinishedDelivery, InstanceId, JournalTotals, NewDeadLetter, NewRecord, NewTenant, PageReceipt,
    PollResult, QueueState, SinkTotals, SourceLease, SourceState, Store, StoreError, TenantChange, TenantKey,
};
