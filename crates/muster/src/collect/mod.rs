//! Alerts become rows: polls sources that are due and hands each page to the store.

mod collector;
mod each;
mod gone;
mod page;
mod pass;
mod run;
mod skew;
mod sweep;
mod turn;

pub(crate) use collector::LEASE;
pub use collector::{Collector, News, Swept};
pub(crate) use each::{Completed, complete};
pub use page::Taken;
pub use skew::Skews;
pub use turn::missing;
