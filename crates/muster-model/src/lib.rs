//! What a tenant, record, cursor, batch, delivery and secret are.
//!
//! Pure types and functions: no I/O, no clock of its own, nothing async. The other crates meet here and nowhere
//! else.

mod batch;
mod change;
mod clock;
mod cursor;
mod delivery;
mod hunt;
pub mod json;
mod kind;
mod outline;
pub mod page;
mod quantity;
mod record;
mod redaction;
mod replay_id;
mod route_facts;
mod secret;
mod secret_reference;
mod severity;
mod source;
mod stage;
mod tag;
mod tenant;
pub mod text;
mod ticket;
pub mod time;
mod version;

pub use batch::{Batch, BatchError};
pub use change::{Change, ChangeKind};
pub use clock::{Clock, ManualClock, SystemClock};
pub use cursor::{
    BlobRead, BlobState, Blobs, Clocks, Cursor, CursorPolicy, Hole, ListedBlob, Note, PageLimits, PageQuery,
    PageSummary, Part, Partial, Pass, Plan, Reason, Step, Unreadable,
};
pub use delivery::{
    Delivery, DeliveryBatch, DeliveryNumber, Lineage, Outcome, Report, Selection, SinkMemory, Trouble,
};
pub use hunt::{HuntName, ParseHuntNameError};
pub use kind::{Belongings, RecordKind};
pub use outline::{Before, Outline, Told};
pub use quantity::{ByteSize, Span};
pub use record::{ContentHash, Record, RecordError, RecordHead};
pub use redaction::{MASK, PathError, Redacted, Redaction};
pub use replay_id::ReplayId;
pub use route_facts::{Asked, RouteFacts};
pub use secret::Secret;
pub use secret_reference::{SecretReference, VaultSecret};
pub use severity::{ParseSeverityError, Severity};
pub use source::{ParsePatternError, ParsePurposeError, ParseSourceError, Purpose, Source, SourcePattern};
pub use stage::Stage;
pub use tag::{ParseTagError, TAGS_MAX, Tag};
pub use tenant::{
    DomainName, ParseTenantError, Slug, Tenant, TenantId, TenantLabel, TenantReference, TenantState,
};
pub use ticket::Ticket;
pub use version::is_same_version;
