//! Looking through the journal for alerts.

mod filter;
mod portal;
mod walk;
mod words;

pub(crate) use filter::Filter;
pub(crate) use portal::portal_link;
pub(crate) use walk::{Found, Searched, Walk};
