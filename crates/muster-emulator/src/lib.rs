//! The outside world of Muster, offline: Microsoft's identity platform and Graph's security API for thousands of
//! tenants, and the SIEM receivers that alerts end in.
//!
//! It shares no type with the rest of Muster, so that clients are checked from the other side. [`start`] gives a
//! [`Handle`]; the binary `muster-emulator` is a command line around it.

mod control;
mod faults;
mod graph;
mod handle;
mod http;
mod identity;
mod key_vault;
pub mod receivers;
mod server;
mod settings;
mod shared;
mod world;

pub use control::ClientConfig;
pub use faults::{Area, Fault, FaultKind};
pub use handle::{Addresses, Config, Handle, StartError, Tenant, loopback, start};
pub use identity::change::{AppRegistration, DirectoryChange};
pub use identity::traffic::TokenRequests;
pub use settings::settings_toml;
pub use shared::{RequestCount, RequestError, Tally};
pub use world::clock::{Clock, ManualClock, SystemClock};
pub use world::records::Skipped;
pub use world::tenants::ProducedCounts;
