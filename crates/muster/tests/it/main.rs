//! Scenarios: Muster against the emulator of Microsoft's cloud and of the SIEMs.

mod app;
mod browser;
mod changes;
mod cli;
mod corpus;
mod crash;
mod docs;
mod fairness;
mod format;
mod gate;
mod hostile;
mod identity;
mod onboarding;
mod secrets;
mod sink_down;
mod support;
mod watch;
