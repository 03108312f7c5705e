//! What is asked next, and what a failure means for it. Pure: the state is the cursor's.

use jiff::Timestamp;
use muster_model::json::skim;
use muster_model::{Clocks, Cursor, PageQuery, Source};

use super::declaration::{Declaration, Dialect, Rung};
use super::siem_feed;
use crate::FetchError;
use crate::api::answers::{self, Next};
use crate::hunting::{HuntingApi, HuntingQuery};

/// A page to be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// The path and query below the API's address, or a whole link.
    pub target: Target,
    /// How many records are asked for at most.
    pub top: u32,
    /// How it is asked for.
    pub rung: Rung,
}

/// Where a page is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Path and query.
    Path(String),
    /// A link that an answer named.
    Link(String),
    /// The answer to a query.
    Hunt(HuntingApi, HuntingQuery),
}

/// What comes after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// The cursor has another question, which may be asked at once.
    AskAgain,
    /// The cursor looks for what gets no answer: ask soon.
    Search,
    /// The same again later.
    Wait,
}

/// The next page that `cursor` wants. `top` bounds its size for those who want few.
///
/// # Panics
/// For a stream, and for a saved query, which says itself what is asked: [`SavedHunt::request`](crate::hunting::SavedHunt::request).
#[must_use]
pub fn request(source: Source, cursor: &Cursor, clocks: Clocks, top: Option<u32>) -> PageRequest {
    assert!(!source.is_named(), "a saved query says itself what is asked, and of a stream nothing is");
    let declaration = super::declaration(source);
    let plan = cursor.plan();
    let page_size = top.map_or(declaration.page_size, |top| declaration.page_size.min(top.max(1)));
    let rung = declaration.ladder[usize::from(plan.rung).min(declaration.ladder.len() - 1)];
    let query = cursor.query(clocks);
    let top = match declaration.dialect {
        _ if query.single => 1,
        Dialect::Since if siem_feed::is_an_instant(&query) => declaration.page_size_max,
        _ => plan.page_size(page_size),
    };
    let target = match query.link {
        Some(link) => Target::Link(link),
        None => Target::Path(path_and_query(
            declaration,
            &query,
            top,
            declaration.sorts && !plan.refuses_order,
            rung,
        )),
    };
    PageRequest { target, top, rung }
}

/// The query in the words of the source. In OData's, blanks are `%20`; nothing else needs escaping.
pub(super) fn path_and_query(
    declaration: &Declaration,
    query: &PageQuery,
    top: u32,
    ordered: bool,
    rung: Rung,
) -> String {
    let Declaration { path, updated, fields, .. } = declaration;
    if declaration.dialect == Dialect::Since {
        return siem_feed::path_and_query(path, query, top);
    }
    let mut text = format!("{path}?$filter={updated}%20ge%20{}", query.from);
    if let Some(to) = query.to {
        text.push_str(&format!("%20and%20{updated}%20lt%20{to}"));
    }
    for part in &query.slice {
        let Some(field) = fields.get(usize::from(part.field)) else { continue };
        match field.values.get(usize::from(part.value)) {
            Some(value) => text.push_str(&format!("%20and%20{}%20eq%20'{value}'", field.name)),
            None => {
                let others =
                    field.values.iter().map(|value| format!("%20and%20{}%20ne%20'{value}'", field.name));
                text.extend(others);
            }
        }
    }
    text.push_str(&format!("&$top={top}"));
    if ordered {
        text.push_str(&format!("&$orderby={updated}%20asc"));
    }
    if query.skip > 0 {
        text.push_str(&format!("&$skip={}", query.skip));
    }
    if let Rung::Expand(option) = rung {
        text.push_str(&format!("&{option}"));
    }
    text
}

/// What a failure means for what is asked next. `failures`: how many came in a row before.
pub fn after_failure(
    source: Source,
    cursor: &mut Cursor,
    error: &FetchError,
    failures: u32,
    clocks: Clocks,
) -> AfterFailure {
    let ladder = super::declaration(source).ladder;
    let rungs = u8::try_from(ladder.len()).unwrap_or(u8::MAX);
    match answers::rule(error.case()).next {
        // There is no other way to ask a query, but for less of it.
        Next::Otherwise if source.hunt().is_some() => {
            match is_too_much(error) && cursor.unanswered(true, clocks) {
                true => AfterFailure::Search,
                false => AfterFailure::Wait,
            }
        }
        Next::Otherwise => {
            let of_link = cursor.link_refused();
            let of_order = error.to_string().to_ascii_lowercase().contains("orderby");
            if of_order && super::declaration(source).sorts && !cursor.plan().refuses_order {
                cursor.plan_mut().refuses_order = true;
                return AfterFailure::AskAgain;
            }
            if of_link || cursor.refused(clocks) || cursor.plan_mut().step_down(rungs) {
                return AfterFailure::AskAgain;
            }
            AfterFailure::Wait
        }
        Next::WithoutLink if cursor.link_refused() => AfterFailure::AskAgain,
        Next::Less => {
            if cursor.plan_mut().step_down(rungs) {
                return AfterFailure::AskAgain;
            }
            match cursor.unanswered(true, clocks) {
                true => AfterFailure::Search,
                false => AfterFailure::Wait,
            }
        }
        Next::LessWhenLasting => no_answer(rungs, cursor, failures, clocks),
        Next::Same | Next::WithoutLink | Next::NewToken | Next::Onward => AfterFailure::Wait,
    }
}

/// Whether a query is refused for how much it brings, and not for how it is written. Microsoft has no code for it.
///
/// Source: Microsoft "Advanced hunting API" (result size), Kusto "query limits" (result truncation, runaway queries).
fn is_too_much(error: &FetchError) -> bool {
    const WORDS: [&str; 4] =
        ["exceeded the allowed", "result_set_too_large", "runaway", "exceeds the limits"];
    let said = error.to_string().to_ascii_lowercase();
    WORDS.iter().any(|word| said.contains(word))
}

/// Whether a record that was asked for with what belongs to it came without any.
#[must_use]
pub fn is_bare(rung: Rung, body: &str) -> bool {
    let Rung::Expand(option) = rung else { return false };
    let key = option.rsplit('=').next().unwrap_or_default();
    let mut held = false;
    let read = skim::fields(body, |name, value| {
        held |= name == key && value.bytes().any(|byte| byte == b'{');
    });
    read.is_ok() && !held
}

/// What an answer means that says of itself that something is missing, and holds records without what belongs to them:
/// whether it is asked for in another way.
pub fn after_bare(source: Source, cursor: &mut Cursor) -> bool {
    let rungs = u8::try_from(super::declaration(source).ladder.len()).unwrap_or(u8::MAX);
    cursor.plan_mut().step_down(rungs)
}

/// The same for an answer that is no page, [`answers::Case::NotAPage`].
pub fn after_unreadable(source: Source, cursor: &mut Cursor, failures: u32, clocks: Clocks) -> AfterFailure {
    let rungs = u8::try_from(super::declaration(source).ladder.len()).unwrap_or(u8::MAX);
    no_answer(rungs, cursor, failures, clocks)
}

/// A second failure in a row is none in passing: less is asked for.
fn no_answer(rungs: u8, cursor: &mut Cursor, failures: u32, clocks: Clocks) -> AfterFailure {
    // What is a hole already has failed before.
    let lasting = failures > 0 || cursor.is_healing();
    if lasting && cursor.plan_mut().step_down(rungs) {
        return AfterFailure::Search;
    }
    match cursor.unanswered(lasting, clocks) {
        true => AfterFailure::Search,
        false => AfterFailure::Wait,
    }
}

/// One record updated since `from`, asked for as plainly as can be: to see whether the source can be read at all.
#[must_use]
pub fn glance(source: Source, from: Timestamp) -> Target {
    if source.hunt().is_some() {
        // Every tenant that has the product has this table, and its first row costs next to nothing.
        let query = HuntingQuery { text: "AlertInfo | take 1".to_owned(), timespan: None };
        let by = if matches!(source, Source::XdrHunting(_)) { HuntingApi::Xdr } else { HuntingApi::Graph };
        return Target::Hunt(by, query);
    }
    let query = PageQuery { from, to: None, slice: Vec::new(), skip: 0, single: false, link: None };
    Target::Path(path_and_query(super::declaration(source), &query, 1, false, Rung::Plain))
}

/// Where one record is.
#[must_use]
pub fn one(source: Source, id: &str, rung: Rung) -> Target {
    let option = match rung {
        Rung::Expand(option) => format!("?{option}"),
        Rung::Plain | Rung::Each(_) | Rung::ByItself(_) => String::new(),
    };
    Target::Path(format!("{}/{}{option}", super::declaration(source).path, in_a_path(id)))
}

fn in_a_path(id: &str) -> String {
    let id: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
    id.replace('+', "%20")
}

/// Where what belongs to one record is, for [`Rung::Each`].
#[must_use]
pub fn belongings(source: Source, id: &str, key: &str) -> Target {
    let path = super::declaration(source).path;
    Target::Path(format!("{path}/{}/{key}", in_a_path(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(from: &str) -> PageQuery {
        let from: Timestamp = from.parse().expect("a time");
        PageQuery { from, to: None, slice: vec![], skip: 0, single: false, link: None }
    }

    /// Found by the simulation: a link that had expired was asked for ever after.
    #[test]
    fn a_link_that_is_refused_is_not_asked_for_again() {
        let link = "https://graph.microsoft.com/v1.0/security/alerts_v2?$skiptoken=old".to_owned();
        let clocks = Clocks { local: "2026-01-02T00:00:00Z".parse().expect("a time"), server: None };
        let page = muster_model::PageSummary {
            items: 0,
            top: 500,
            times: vec![],
            unreadable: vec![],
            torn: false,
            link: Some(link.clone()),
            cut: false,
            fingerprint: 0,
            clocks,
            partial: None,
        };
        let declaration = crate::sources::declaration(Source::GraphAlerts);
        let policy = muster_model::CursorPolicy {
            overlap: std::time::Duration::from_secs(600),
            overlap_max: std::time::Duration::from_secs(600),
        };
        let from = "2026-01-01T00:00:00Z".parse().expect("a time");
        let expired = FetchError::BadRequest {
            status: 400,
            code: "BadRequest".to_owned(),
            message: "the skip token is not valid".to_owned(),
        };
        for error in [expired, FetchError::ForeignLink(link.clone())] {
            let (mut cursor, _) = Cursor::starting(from).after(&page, &policy, &declaration.limits);
            let asked = |cursor: &Cursor| request(Source::GraphAlerts, cursor, clocks, None).target;
            assert_eq!(asked(&cursor), Target::Link(link.clone()));
            let after = after_failure(Source::GraphAlerts, &mut cursor, &error, 0, clocks);
            assert_eq!(after, AfterFailure::AskAgain);
            assert!(matches!(asked(&cursor), Target::Path(_)));
        }
    }

    #[test]
    fn questions_in_defenders_words() {
        let to = Some("2026-01-02T00:00:00Z".parse().expect("a time"));
        let from: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let clocks = Clocks { local: from, server: None };
        let asked = |source| match request(source, &Cursor::starting(from), clocks, None).target {
            Target::Path(path) => path,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            asked(Source::XdrIncidents),
            "/api/incidents?$filter=lastUpdateTime%20ge%202026-01-01T00:00:00Z&$top=100"
        );
        assert_eq!(
            asked(Source::EndpointAlerts),
            "/api/alerts?$filter=lastUpdateTime%20ge%202026-01-01T00:00:00Z&$top=500&$expand=evidence"
        );
        assert_eq!(
            asked(Source::SiemFeed),
            "/api/alerts?sinceTimeUtc=2025-12-31T23:59:59.9999999Z&limit=1000"
        );
        let feed = crate::sources::declaration(Source::SiemFeed);
        assert_eq!(
            path_and_query(feed, &PageQuery { to, ..query("2026-01-01T00:00:00Z") }, 7, false, Rung::Plain),
            "/api/alerts?sinceTimeUtc=2025-12-31T23:59:59.9999999Z&untilTimeUtc=2026-01-01T23:59:59.9999999Z&limit=7"
        );
        let slice = vec![muster_model::Part { field: 0, value: 4 }];
        let part = PageQuery { to, slice, ..query("2026-01-01T00:00:00Z") };
        assert_eq!(
            path_and_query(crate::sources::declaration(Source::XdrIncidents), &part, 100, false, Rung::Plain),
            "/api/incidents?$filter=lastUpdateTime%20ge%202026-01-01T00:00:00Z%20and%20lastUpdateTime%20lt%202026-01-02T00:00:00Z%20and%20status%20ne%20'Active'%20and%20status%20ne%20'InProgress'%20and%20status%20ne%20'Resolved'%20and%20status%20ne%20'Redirected'&$top=100"
        );
        let one = one(Source::EndpointAlerts, "da637_-1", Rung::ByItself("evidence"));
        assert_eq!(one, Target::Path("/api/alerts/da637_-1".to_owned()));
    }

    #[test]
    fn questions_in_graphs_words() {
        let alerts = crate::sources::declaration(Source::GraphAlerts);
        let first = query("2026-01-01T00:00:00.1234567Z");
        assert_eq!(
            path_and_query(alerts, &first, 500, true, Rung::Plain),
            "/v1.0/security/alerts_v2?$filter=lastUpdateDateTime%20ge%202026-01-01T00:00:00.1234567Z&$top=500&$orderby=lastUpdateDateTime%20asc"
        );
        let incidents = crate::sources::declaration(Source::GraphIncidents);
        let to = Some("2026-01-02T00:00:00Z".parse().expect("a time"));
        let later = PageQuery { to, skip: 45, ..first };
        assert_eq!(
            path_and_query(incidents, &later, 50, false, incidents.ladder[0]),
            "/v1.0/security/incidents?$filter=lastUpdateDateTime%20ge%202026-01-01T00:00:00.1234567Z%20and%20lastUpdateDateTime%20lt%202026-01-02T00:00:00Z&$top=50&$skip=45&$expand=alerts"
        );
        let slice =
            vec![muster_model::Part { field: 0, value: 3 }, muster_model::Part { field: 3, value: 3 }];
        let part = PageQuery { slice, ..query("2026-01-01T00:00:00Z") };
        assert_eq!(
            path_and_query(alerts, &part, 1, false, Rung::Plain),
            "/v1.0/security/alerts_v2?$filter=lastUpdateDateTime%20ge%202026-01-01T00:00:00Z%20and%20severity%20eq%20'high'%20and%20classification%20ne%20'unknown'%20and%20classification%20ne%20'falsePositive'%20and%20classification%20ne%20'truePositive'&$top=1"
        );
    }
}
