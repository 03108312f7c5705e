//! Microsoft Graph `GET /security/incidents`, with the alerts of each.
//!
//! Source: Microsoft Graph "List incidents". More than 50 per page is refused by the service.

use muster_model::Question;

use super::Requirements;
use crate::api::throttling::ApiFamily;

pub(super) const REQUIREMENTS: Requirements =
    Requirements { family: ApiFamily::GraphSecurity, page_size: 50 };

pub(super) fn path_and_query(question: Question, top: u32, sorted: bool) -> String {
    format!("/v1.0/security/incidents?$expand=alerts&{}", super::graph_query(question, top, sorted))
}
