//! Muster's own JSON, in the shape that Standard Webhooks recommends: `type`, `timestamp`, `data`.

use serde_json::{Map, Value, json};

use crate::notices::message::{Event, Notice};

pub(super) fn write(notice: &Notice) -> Value {
    let kind = match notice.event {
        Event::Began => "condition.began",
        Event::Reminder => "condition.reminder",
        Event::Ended => "condition.ended",
        Event::Alert => "alert.created",
        Event::Untold => "alert.untold",
        Event::Test => "test",
    };
    let mut data = json!({
        "key": notice.key,
        "title": notice.title,
        "what": notice.what,
        "level": notice.level.as_str(),
    });
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            data[name] = value;
        }
    };
    put("condition", json!(notice.kind.map(|kind| kind.as_str())));
    put("subject", json!(notice.named));
    put("tenant", json!(notice.tenant));
    put("since", json!(notice.since));
    put("lasted_seconds", json!(notice.lasted_seconds));
    put("link", json!(notice.link));
    if !notice.remedy.is_empty() {
        put("remedy", json!(notice.remedy));
    }
    if notice.count > 0 {
        put("count", json!(notice.count));
    }
    if !notice.facts.is_empty() {
        let facts: Map<String, Value> =
            notice.facts.iter().map(|(label, value)| (label.to_lowercase(), json!(value))).collect();
        put("alert", Value::Object(facts));
    }
    json!({ "type": kind, "timestamp": notice.at, "data": data })
}
