//! Speaks to SIEMs: how a record is spelled ([`formats`]), and how it gets there ([`sinks`]).

pub mod formats;
pub mod sinks;
