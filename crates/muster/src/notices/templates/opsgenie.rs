//! Opsgenie's Alert API: what begins creates, what is over closes, by one alias.
//!
//! Source: Opsgenie "Alert API": `POST /v2/alerts`, `POST /v2/alerts/{alias}/close?identifierType=alias`.

use serde_json::{Map, Value, json};
use url::Url;

use super::parts::Posted;
use crate::notices::conditions::Urgency;
use crate::notices::escape::{cut, defanged};
use crate::notices::message::{Event, Notice};

/// Opsgenie's bounds.
const MESSAGE_MAX: usize = 130;
const DESCRIPTION_MAX: usize = 15_000;
const ENTITY_MAX: usize = 512;

pub(super) fn write(notice: &Notice, address: &Url) -> Posted {
    let alias = notice.dedup_key();
    if notice.is_over() {
        let mut to = address.clone();
        if let Ok(mut path) = to.path_segments_mut() {
            path.pop_if_empty().extend([alias.as_str(), "close"]);
        }
        to.query_pairs_mut().clear().append_pair("identifierType", "alias");
        let body = json!({ "source": "Muster", "note": cut(&defanged(&notice.title), DESCRIPTION_MAX) });
        return Posted { to: Some(to), body: body.to_string() };
    }
    let mut details: Map<String, Value> =
        notice.facts.iter().map(|(label, value)| (label.clone(), json!(defanged(value)))).collect();
    details.extend(notice.link.iter().map(|link| ("Link".to_owned(), json!(link))));
    let priority = match (notice.event, notice.level) {
        (Event::Test, _) => "P5",
        (_, Urgency::Critical) => "P1",
        (_, Urgency::Warning) => "P3",
    };
    let tag = notice.kind.map_or(notice.event.as_str(), |kind| kind.as_str());
    let description = match notice.remedy.as_str() {
        "" => defanged(&notice.what),
        remedy => format!("{}\nWhat to do: {remedy}", defanged(&notice.what)),
    };
    let body = json!({
        "message": cut(&defanged(&notice.title), MESSAGE_MAX),
        "alias": alias,
        "description": cut(&description, DESCRIPTION_MAX),
        "entity": cut(&notice.named, ENTITY_MAX),
        "source": "Muster",
        "priority": priority,
        "tags": ["muster", tag],
        "details": details,
    });
    Posted { to: None, body: body.to_string() }
}
