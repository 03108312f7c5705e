//! What all of Microsoft's APIs have in common: pages, throttling, error bodies.

pub mod answers;
pub mod challenge;
pub(crate) mod error;
pub mod failure;
pub mod family;
pub mod throttling;
