//! Scenarios: Muster against the emulator of Microsoft's cloud and of the SIEMs.

mod cli;
mod corpus;
mod crash;
mod fairness;
mod hostile;
mod onboarding;
mod identity;
mod sink_down;
mod support;
