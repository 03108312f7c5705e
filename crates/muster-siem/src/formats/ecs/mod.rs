//! Elastic Common Schema, in the documents that Elastic's own integrations for Defender make, so that their
//! dashboards and detection rules work: `logs-m365_defender.alert-*` for Graph alerts, `….incident-*` for Graph
//! incidents (a document for each alert of the incident, as Elastic's agent splits them), `….log-*` for incidents of
//! the Defender XDR API, `logs-microsoft_defender_endpoint.log-*` for Defender for Endpoint, `….event-*` for hunting
//! rows. Microsoft's own record follows under `m365_defender` (or `microsoft`), in the names of those integrations.
//!
//! Escaping: everything is JSON, and a text stands in it with the escapes that Microsoft's JSON had. A value that
//! does not fit its field (an address that is none, a number with letters) is left out of that field, since
//! Elasticsearch would refuse the whole document for it; it is in Microsoft's own part all the same.
//!
//! Where evidence is many, a field is a list of the distinct values of all of it.

mod alert;
mod document;
mod fields;
mod hunting;
mod options;
mod record;
mod url;
mod vendor;

pub(super) use fields::FIELDS;
pub use options::{EcsOptions, EcsVersion};
pub(super) use record::{dataset, units, write};
