//! Scenarios: Muster against the emulator of Microsoft's cloud and of the SIEMs.

mod app;
mod backfill;
mod browser;
mod changes;
mod cli;
mod corpus;
mod crash;
mod docs;
mod exact;
mod fairness;
mod format;
mod gate;
mod hostile;
mod identity;
mod ledger;
mod listener;
mod memory;
mod onboarding;
mod secrets;
mod siege;
mod sink_down;
mod status;
mod status_truth;
mod support;
mod sweeps;
mod watch;
