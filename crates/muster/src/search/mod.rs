//! Looking through the journal for alerts.

mod filter;
mod walk;
mod words;

pub(crate) use filter::Filter;
pub(crate) use walk::{Found, Searched, Walk};
