//! Recorded records on this machine's disk, for the commands that show and test formats. Reads records one after the
//! other, lists of them, and pages as Microsoft's APIs answer (`value`, `results`) or Event Hubs keep them (`records`).
//!
//! What cannot be read is told with its place, and costs nothing that stands before or behind it, except within a
//! list whose items do not begin lines of their own.

mod file;
mod text;
mod values;

pub(super) use file::{File, Recorded, Unread, record_kind};
