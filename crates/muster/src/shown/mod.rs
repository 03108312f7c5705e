//! What people and machines are shown: tables, the screen, gauges, the log.

pub mod gauges;
pub mod output;
pub mod screen;
pub mod status;
pub mod telemetry;
