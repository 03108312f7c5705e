//! ServiceNow's Event Management: rows of `em_event`, which its rules make alerts of. What is over has the same `message_key`, and
//! the severity that clears.
//!
//! Source: ServiceNow "Send events via web service": `POST /api/global/em/jsonv2`.

use serde_json::{Map, Value, json};

use crate::notices::conditions::Urgency;
use crate::notices::escape::{cut, defanged};
use crate::notices::message::Notice;

const DESCRIPTION_MAX: usize = 4_000;

pub(super) fn write(notice: &Notice) -> Value {
    let mut additional: Map<String, Value> = notice
        .facts
        .iter()
        .map(|(label, value)| (label.to_lowercase().replace(' ', "_"), json!(defanged(value))))
        .collect();
    if let Some(tenant) = &notice.tenant {
        additional.insert("tenant_id".to_owned(), json!(tenant.id));
        additional.insert("tenant_name".to_owned(), json!(defanged(&tenant.name)));
    }
    additional.extend(notice.link.iter().map(|link| ("link".to_owned(), json!(link))));
    if !notice.remedy.is_empty() {
        additional.insert("remedy".to_owned(), json!(notice.remedy));
    }
    let (severity, resolution) = match (notice.is_over(), notice.level) {
        (true, _) => ("0", "Closing"),
        (false, Urgency::Critical) => ("1", "New"),
        (false, Urgency::Warning) => ("4", "New"),
    };
    let description = defanged(&format!("{}\n{}", notice.title, notice.what));
    json!({ "records": [{
        "source": "Muster",
        "event_class": "Muster",
        "node": notice.tenant.as_ref().map_or("muster", |tenant| tenant.slug.as_str()),
        "resource": notice.named,
        "type": notice.kind.map_or(notice.event.as_str(), |kind| kind.as_str()),
        "message_key": notice.dedup_key(),
        "severity": severity,
        "resolution_state": resolution,
        "time_of_event": notice.at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        "description": cut(&description, DESCRIPTION_MAX),
        // A text that holds JSON, as the table's column wants it.
        "additional_info": Value::Object(additional).to_string(),
    }] })
}
