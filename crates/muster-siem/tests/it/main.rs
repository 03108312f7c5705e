//! What formats and sinks do, from outside.

mod cef;
mod changes;
mod conformance;
mod corpus;
mod cost;
mod coverage;
mod ecs;
mod encoding;
mod environment;
mod fixtures;
mod flat;
mod formats;
mod leef;
mod mappings;
mod ocsf;
mod payloads;
mod peers;
mod splunk_app;
