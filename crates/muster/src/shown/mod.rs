//! What people and machines are shown: tables, the screen, gauges, the log.

pub mod calendar;
pub mod cause;
pub mod causes;
pub mod gauges;
pub mod grid;
pub mod nodes;
pub(crate) mod note;
pub mod output;
pub mod passes;
mod picture;
pub mod progress;
pub mod room;
pub mod run;
pub mod screen;
pub mod sinks;
pub mod state;
pub mod status;
pub mod telemetry;
pub mod tenant_series;
pub mod watch;
