//! The retired SIEM API of Defender for Endpoint, answered by Muster from its journal, for connectors that were written for
//! it: they work on by another host name. `docs/pull-api.md` tells operators about it; `web/pull_api.rs` is its front.

pub mod answer;
pub mod query;
pub mod tokens;
