//! The product: commands, settings, collecting, delivering, starting and stopping.
//!
//! Where to look: [`collect`] turns alerts into rows, [`deliver`] sends rows, [`lifecycle`] starts and stops both.

pub mod backoff;
pub mod cli;
pub mod collect;
mod commands;
pub mod config;
pub mod deliver;
pub mod exit_code;
pub mod lifecycle;
pub mod output;
pub mod routing;
pub mod status;
pub mod telemetry;
pub mod view;
pub mod web;
