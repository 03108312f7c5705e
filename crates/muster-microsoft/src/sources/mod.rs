//! One file per source.
//!
//! To add a source: add a variant to `muster_model::Source`, copy a file here, add its line to each `match` below, and
//! follow the compiler. A source says where it is read and what may be asked; which permissions it needs stands in
//! [`crate::entra::permissions`]; paging, tokens, throttling and cursors are common to all.

mod graph_alerts;
mod graph_incidents;

use muster_model::{Question, Source};

use crate::api::throttling::ApiFamily;

/// How a source is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requirements {
    /// Which budget its requests are counted in.
    pub family: ApiFamily,
    /// Records asked for per page.
    pub page_size: u32,
}

/// How `source` is read.
#[must_use]
pub fn requirements(source: Source) -> Requirements {
    match source {
        Source::GraphAlerts => graph_alerts::REQUIREMENTS,
        Source::GraphIncidents => graph_incidents::REQUIREMENTS,
    }
}

/// The path and query, below Graph's address, that ask `question` of `source`.
pub(crate) fn path_and_query(source: Source, question: Question, top: u32, sorted: bool) -> String {
    match source {
        Source::GraphAlerts => graph_alerts::path_and_query(question, top, sorted),
        Source::GraphIncidents => graph_incidents::path_and_query(question, top, sorted),
    }
}

/// The query that all Graph security lists understand. Blanks are `%20`; nothing else needs escaping.
fn graph_query(question: Question, top: u32, sorted: bool) -> String {
    let mut query = format!("$filter=lastUpdateDateTime%20ge%20{}&$top={top}", question.from);
    if sorted {
        query.push_str("&$orderby=lastUpdateDateTime%20asc");
    }
    if question.skip > 0 {
        query.push_str(&format!("&$skip={}", question.skip));
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_in_graphs_words() {
        let from = "2026-01-01T00:00:00.1234567Z".parse().expect("a time");
        assert_eq!(
            path_and_query(Source::GraphAlerts, Question { from, skip: 0 }, 500, true),
            "/v1.0/security/alerts_v2?$filter=lastUpdateDateTime%20ge%202026-01-01T00:00:00.1234567Z&$top=500&$orderby=lastUpdateDateTime%20asc"
        );
        assert_eq!(
            path_and_query(Source::GraphIncidents, Question { from, skip: 45 }, 50, false),
            "/v1.0/security/incidents?$expand=alerts&$filter=lastUpdateDateTime%20ge%202026-01-01T00:00:00.1234567Z&$top=50&$skip=45"
        );
    }
}
