//! Notices: people are told where they are of what `muster status` shows, and of alerts.
//!
//! `conditions.rs` makes conditions of the picture that `status` shows; `plan.rs` says who is to be told what of them, and `alerts.rs`
//! of what was accepted. Both are pure. What is to be said becomes rows of the store (`notifier.rs`), and those are sent by
//! `sender.rs`, with nobody else waiting for it. `templates/` has a file for each way to say it.

pub mod alerts;
pub mod conditions;
pub mod escape;
pub mod habits;
pub mod kind;
pub mod mail;
pub mod message;
pub mod notifier;
pub mod plan;
pub mod receiver;
pub mod sender;
pub mod smtp;
pub mod snoozes;
pub mod templates;
pub mod trouble;
