//! What all of Microsoft's APIs have in common: the client, pages, throttling, error bodies.

pub mod challenge;
pub mod client;
pub(crate) mod error;
pub mod page;
pub mod throttling;
