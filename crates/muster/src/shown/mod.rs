//! What people and machines are shown: tables, the screen, gauges, the log.

pub mod calendar;
pub mod gauges;
pub mod output;
pub mod passes;
pub mod progress;
pub mod screen;
pub mod status;
pub mod telemetry;
