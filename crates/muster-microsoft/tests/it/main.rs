//! Muster's client of Microsoft against servers: made up, emulated, and of another maker.

mod applications;
mod emulator;
mod identity;
mod oidc_provider;
