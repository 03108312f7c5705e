//! What CEF and LEEF have in common: a flat line of keys and values for each record. One walk over the record gives
//! both, each under its own keys (`Slot`); how a line begins and what is escaped is in `cef` and `leef`.
//!
//! Evidence is not flat. The rule: the flat fields hold the first device, user, file, process, connection, address
//! and URL; where there are more, a list of all of them stands in a key of our own, items apart by `; `, with a `;`
//! inside an item written `%3B`. No list is cut.

mod facts;
mod fields;
mod line;
mod record;
mod row;

#[cfg(test)]
pub(super) use fields::CEF_LABELS;
pub(super) use fields::{CEF_FIELDS, LEEF_FIELDS};
pub(super) use record::{FlatOptions, Head, write};
