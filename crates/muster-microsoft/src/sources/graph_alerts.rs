//! Microsoft Graph `GET /security/alerts_v2`.
//!
//! Source: Microsoft Graph "List alerts_v2". Pages of up to 2,000 are taken by the service; 500 keeps one page at a
//! few megabytes.

use muster_model::Question;

use super::Requirements;
use crate::api::throttling::ApiFamily;

pub(super) const REQUIREMENTS: Requirements =
    Requirements { family: ApiFamily::GraphSecurity, page_size: 500 };

pub(super) fn path_and_query(question: Question, top: u32, sorted: bool) -> String {
    format!("/v1.0/security/alerts_v2?{}", super::graph_query(question, top, sorted))
}
