//! The emulator seen from outside.

#![expect(clippy::unwrap_used, reason = "what is not there fails the test")]

mod defender;
mod documents;
mod emulator;
mod identity;
mod quirks;
