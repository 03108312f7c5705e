//! The outside world of Muster, offline: Microsoft's identity platform and Graph's security API for thousands of
//! tenants, and the SIEM receivers that alerts end in.
//!
//! It shares no type with the rest of Muster, so that clients are checked from the other side. [`start`] gives a
//! [`Handle`]; the binary `muster-emulator` is a command line around it.

mod answer;
mod applications;
mod cast;
mod clock;
mod control;
mod dice;
mod evidence;
mod faults;
mod generate;
mod graph;
mod handle;
mod hosts;
mod identity;
mod key_vault;
mod odata;
pub mod receivers;
mod records;
mod server;
mod settings;
mod shared;
mod story;
mod table;
mod ticks;
mod tls;
mod traffic;
mod walk;
mod world;
mod writer;

pub use clock::{Clock, ManualClock, SystemClock};
pub use control::ClientConfig;
pub use faults::{Area, Fault, FaultKind};
pub use handle::{Addresses, Config, Handle, StartError, Tenant, loopback, start};
pub use identity::change::{AppRegistration, DirectoryChange};
pub use records::Skipped;
pub use settings::settings_toml;
pub use shared::{RequestCount, RequestError, Tally};
pub use traffic::TokenRequests;
pub use world::ProducedCounts;
