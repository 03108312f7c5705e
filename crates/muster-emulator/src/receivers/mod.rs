//! The SIEM side of the outside world: receivers that count what reaches them.
//!
//! A Splunk HTTP Event Collector ([`hec`]), syslog over UDP, TCP and TLS ([`syslog`]), and a data collection rule of Azure
//! Monitor ([`ingest`]). Each has its own tally of
//! what it saw, compared with what the Microsoft side produced ([`tally`]), and its own fault on request. Nothing
//! is stored but fingerprints: the receivers tell whether a version arrived and how often, not what was in it.

mod balancer;
mod cef;
mod fault;
mod framing;
mod hec;
mod http;
mod identify;
mod ingest;
mod produced;
mod running;
mod search;
mod syslog;
mod tally;
#[cfg(test)]
mod tests;
mod tokens;
mod wire;

pub use balancer::{Balancer, Balancing};
pub use fault::{ReceiverFault, ReceiverName};
pub use hec::DoubledEvents;
pub use ingest::{INGEST_RULE, INGEST_STREAM, IngestTally};
pub use produced::{Produced, RecordKind};
pub use running::{HecConfig, Receivers, ReceiversConfig, StartReceiverError, SyslogConfig};
pub use tally::{Double, ReceiverTally, TenantTally, tally_file, tally_lines};
pub use tokens::HecTokenTally;
