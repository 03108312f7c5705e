//! Speaks to SIEMs: how a record is written ([`formats`]), and how it gets there ([`sinks`]).

pub mod formats;
pub mod sinks;
