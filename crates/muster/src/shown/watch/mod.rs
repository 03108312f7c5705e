//! The screen of `muster status --watch`, and of the demo: views of one picture of the store that is taken again and again,
//! and records as they pass. What is not known is never shown as good.
//!
//! [`facts`] is what is known, [`state`] what the person looks at and what a key does, [`draw`] what then stands on the
//! screen: all three pure. [`terminal`] has the terminal, [`feed`] reads the store, [`run`] is the loop.

pub mod draw;
pub mod facts;
pub mod feed;
pub mod list;
pub mod run;

pub mod state;
mod table;
pub mod tap;
mod tenant;
mod tenants;
pub mod terminal;
mod text;
mod views;

#[cfg(test)]
mod tests;
