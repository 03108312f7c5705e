//! Remembers tenants, how far each source has been read, the journal of accepted records and what is owed to each
//! sink. SQL is nowhere else.
//!
//! [`Store`] is the one door; [`SqliteStore`] is behind it. [`conformance`] is the suite that every implementation
//! must pass.

pub mod conformance;
mod sealing;
mod sqlite;
mod store;

pub use sealing::{MasterKey, MasterKeyError, Sealed, SealingError};
pub use sqlite::{OpenMode, SqliteStore};
pub use store::{
    AcceptedPage, DeadLetter, DeadLetterNumber, DeadLetterOrigin, DeliveryLease, DeliveryLimits,
    FinishedDelivery, InstanceId, JournalTotals, LaneState, NewDeadLetter, NewRecord, NewTenant, PageReceipt,
    PollResult, SinkTotals, SourceLease, SourceState, Store, StoreError, TenantChange, TenantKey,
};
