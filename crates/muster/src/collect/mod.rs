//! Alerts become rows: polls sources that are due and hands each page to the store.

mod each;
mod page;
mod run;
mod turn;

pub use page::Taken;
pub use run::{Collector, News};
pub use turn::missing;
