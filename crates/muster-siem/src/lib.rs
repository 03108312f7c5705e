//! Speaks to SIEMs: how a record is written ([`formats`], and as of the retired API [`detection`]), and how it gets there
//! ([`sinks`]).

pub mod detection;
pub mod formats;
pub mod sinks;
