//! Alerts become rows: polls sources that are due and hands each page to the store.

mod blob;
mod caller;
mod collector;
mod each;
mod gone;
mod hunts;
mod missing;
mod pace;
mod page;
mod pass;
mod place;
mod run;
mod skew;
mod skews;
mod stream_turn;
mod streams;
mod sweep;
mod tell;
mod turn;

pub(crate) use caller::Caller;
pub(crate) use collector::LEASE;
pub use collector::{Collector, News, Swept};
pub(crate) use each::complete;
pub(crate) use hunts::{saved, shaped};
pub use missing::missing;
pub use pace::Pace;
pub use page::Taken;
pub(crate) use place::Place;
pub use skews::Skews;
pub use streams::{OpenPlace, Streams};
