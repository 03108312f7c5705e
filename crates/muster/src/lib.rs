//! The product: commands, settings, collecting, delivering, starting and stopping.
//!
//! Where to look: [`collect`] turns alerts into rows, [`deliver`] sends rows, [`lifecycle`] starts and stops both.

pub mod apps;
pub mod audit;
pub mod backoff;
pub mod cli;
pub mod collect;
mod commands;
pub mod config;
pub mod deliver;
pub mod exit_code;
pub mod gauges;
pub mod grants;
pub mod language;
pub mod lifecycle;
pub mod onboard;
pub mod operator;
pub mod output;
pub mod person;
pub mod registration;
pub mod rotation;
pub mod routing;
pub mod sign_in;
pub mod status;
pub mod telemetry;
pub mod vault;
pub mod view;
pub mod watch;
pub mod web;
