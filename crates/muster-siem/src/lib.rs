//! Speaks to SIEMs: how a record is spelled ([`formats`]), and how it gets there.

pub mod formats;
