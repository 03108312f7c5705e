//! A typed view of a record of any kind, borrowed from its tape, for the formats that map fields.
//!
//! Sources: the types `alert`, `incident` and `alertEvidence` (48 subtypes) of `microsoft.graph.security`, v1.0; the
//! alerts of the Defender for Endpoint API, the incidents of the Defender XDR API, the detections of the retired SIEM
//! API; rows of advanced hunting and of the streaming API. What they share has one name here. Every field may be
//! missing, null or of a wrong type. Evidence is read by its type where that is known and by what its fields mean
//! otherwise, so that a type that Microsoft adds later gives up its addresses and names too.
//!
//! What only one format needs is not here: `Alert::fields`, `Evidence::fields` and the like hand out Microsoft's
//! own object.

mod address;
mod alert;
mod endpoint;
mod entity;
mod evidence;
mod evident;
mod facts;
mod graph;
mod hunting;
mod inner;
mod mail;
mod pivots;
mod record;
mod siem;
mod subjects;
pub(super) mod tables;
mod things;
mod xdr;

pub(super) use address::addresses;
pub(crate) use alert::{Alert, Comment, Incident};
pub(crate) use evidence::Evidence;
pub(super) use evident::Evident;
pub(crate) use facts::{Facts, all_evidence};
pub(crate) use hunting::HuntingRow;
pub(super) use inner::{Inner, InnerTapes, JSON_COLUMNS, read_inner};
pub(super) use mail::{bare_address, bare_url};
pub(super) use pivots::Pivot;
pub(crate) use record::View;
pub(super) use tables::EvidenceKind;
pub(crate) use things::{Connection, Device, File, Message, Process, User};
