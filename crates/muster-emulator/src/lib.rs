//! The outside world of Muster, offline: Microsoft's identity platform, Graph's security API and the Defender APIs for
//! thousands of tenants, and the SIEM receivers that alerts end in.
//!
//! It shares no type with the rest of Muster, so that clients are checked from the other side. [`start`] gives a
//! [`Handle`]; the binary `muster-emulator` is a command line around it.

mod client_config;
mod config;
mod control;
mod defender;
mod errors;
mod faults;
mod graph;
mod handle;
mod http;
mod hunting;
mod identity;
mod key_vault;
pub mod receivers;
mod routes;
mod settings;
mod shared;
mod start;
mod streaming;
mod world;

pub use client_config::{Addresses, ClientConfig, Tenant};
pub use config::{Config, loopback};
pub use errors::{RequestError, StartError};
pub use faults::kind::{Area, Fault, FaultKind};
pub use faults::mixture::{random_faults, strict_faults};
pub use graph::api::{GraphAnswer, GraphApi, GraphConfig, GraphRequest};
pub use handle::Handle;
pub use http::answer::Transport;
pub use identity::change::{AppRegistration, DirectoryChange};
pub use identity::traffic::TokenRequests;
pub use settings::SettingsText;
pub use shared::{NotedRequest, RequestCount, Tally};
pub use start::start;
pub use streaming::{StreamFolder, StreamedRow};
pub use world::changes::WorldChange;
pub use world::clock::{Clock, ManualClock, SystemClock};
pub use world::records::Skipped;
pub use world::tenants::ProducedCounts;
pub use world::truth::TruthVersion;
