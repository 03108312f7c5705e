//! PagerDuty's Events API v2: what begins triggers, what is over resolves, by one `dedup_key`.
//!
//! Source: PagerDuty "Send an alert event", "PD-CEF".

use serde_json::{Map, Value, json};

use crate::notices::conditions::Urgency;
use crate::notices::escape::{cut, defanged};
use crate::notices::message::Notice;

const SUMMARY_MAX: usize = 1_024;

pub(super) fn write(notice: &Notice, routing_key: &str) -> Value {
    if notice.is_over() {
        return json!({
            "routing_key": routing_key,
            "event_action": "resolve",
            "dedup_key": notice.dedup_key(),
        });
    }
    let mut details: Map<String, Value> =
        notice.facts.iter().map(|(label, value)| (label.clone(), json!(defanged(value)))).collect();
    details.insert("What".to_owned(), json!(defanged(&notice.what)));
    if !notice.remedy.is_empty() {
        details.insert("What to do".to_owned(), json!(notice.remedy));
    }
    let severity = match notice.level {
        Urgency::Critical => "critical",
        Urgency::Warning => "warning",
    };
    let links: Vec<Value> =
        notice.link.iter().map(|link| json!({ "href": link, "text": "Open in Defender" })).collect();
    json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": notice.dedup_key(),
        "client": "Muster",
        "links": links,
        "payload": {
            "summary": cut(&defanged(&notice.title), SUMMARY_MAX),
            "source": notice.named,
            "severity": severity,
            "timestamp": notice.since.unwrap_or(notice.at),
            "component": "muster",
            "group": notice.tenant.as_ref().map_or("muster", |tenant| tenant.slug.as_str()),
            "class": notice.kind.map_or(notice.event.as_str(), |kind| kind.as_str()),
            "custom_details": details,
        },
    })
}
