//! The product: commands, settings, collecting, delivering, starting and stopping.
//!
//! Where to look: [`collect`] turns alerts into rows, [`deliver`] sends rows, [`lifecycle`] starts and stops both.

#![expect(
    missing_docs,
    reason = "a program, not a library: an item is documented where its name does not say it all"
)]
#![warn(clippy::print_stdout, clippy::print_stderr)] // They panic where the reader is gone: see `shown::note`.

pub mod access;
pub mod audit;
pub mod backoff;
mod build_facts;
mod choosing;
pub mod cli;
pub mod collect;
mod commands;
pub mod config;
pub mod deliver;
mod doctor;
pub mod exit_code;
pub mod heartbeat;
pub mod journal_bound;
pub mod lifecycle;
mod new_file;
pub mod notices;
mod often;
pub mod outage;
mod pattern;
mod portal;
pub mod pull;
pub mod read_file;
pub mod redactions;
pub mod route_changes;
pub mod route_gaps;
pub mod routing;
mod search;
pub mod service_manager;
pub mod shown;
pub mod sink_handle;
pub mod store_told;
pub mod told;
pub mod troubles;
pub mod unrouted;
pub mod validation;
pub mod web;
pub mod wiring;
