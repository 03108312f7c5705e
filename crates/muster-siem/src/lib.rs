//! Speaks to SIEMs: how a record is written ([`formats`], and as of the retired API [`detection`]), and how it gets there
//! ([`sinks`]). What one is about is told by [`summary`].

pub mod detection;
pub mod formats;
pub mod sinks;
pub mod summary;
