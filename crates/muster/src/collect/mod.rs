//! Alerts become rows: polls sources that are due and hands each page to the store.

mod collector;
mod each;
mod page;
mod run;
mod turn;

pub use collector::{Collector, News};
pub use page::Taken;
pub use turn::missing;
