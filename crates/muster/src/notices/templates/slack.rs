//! Blocks for an incoming webhook of Slack.
//!
//! Words of strangers are `plain_text`, in which Slack looks for nothing; only the fallback text is not, and is escaped.
//!
//! Source: Slack "Sending messages using incoming webhooks", "Block Kit".

use serde_json::{Value, json};

use super::parts::{SAID_MAX, headline, more};
use crate::notices::escape::{cut, defanged, slack};
use crate::notices::message::Notice;

/// Slack's bounds: of a header, a section's text, a field, and the fields of one section.
const HEADER_MAX: usize = 150;
const TEXT_MAX: usize = 2_900;
const FIELDS_MAX: usize = 10;

pub(super) fn write(notices: &[Notice]) -> Value {
    let mut blocks = Vec::new();
    let title = match notices {
        [one] => one.title.clone(),
        several => headline(several),
    };
    blocks.push(json!({ "type": "header", "text": plain(&title, HEADER_MAX) }));
    match notices {
        [one] => {
            if !one.what.is_empty() {
                blocks.push(json!({ "type": "section", "text": plain(&one.what, TEXT_MAX) }));
            }
            let fields: Vec<Value> = one
                .facts
                .iter()
                .take(FIELDS_MAX)
                .map(|(label, value)| plain(&format!("{label}: {value}"), 350))
                .collect();
            if !fields.is_empty() {
                blocks.push(json!({ "type": "section", "fields": fields }));
            }
            if !one.remedy.is_empty() {
                let remedy = plain(&format!("What to do: {}", one.remedy), TEXT_MAX);
                blocks.push(json!({ "type": "section", "text": remedy }));
            }
            if let Some(link) = &one.link {
                let text = plain("Open in Defender", 75);
                let button = json!({ "type": "button", "text": text, "url": link });
                blocks.push(json!({ "type": "actions", "elements": [button] }));
            }
        }
        several => {
            for notice in several.iter().take(SAID_MAX) {
                blocks.push(json!({ "type": "section", "text": plain(&notice.title, 350) }));
            }
            if let Some(more) = more(several) {
                blocks.push(json!({ "type": "section", "text": plain(&more, TEXT_MAX) }));
            }
        }
    }
    json!({ "text": cut(&slack(&title), 500), "blocks": blocks })
}

fn plain(text: &str, most: usize) -> Value {
    // Slack refuses a text of nothing.
    let text = match cut(&defanged(text), most) {
        text if text.trim().is_empty() => "-".to_owned(),
        text => text,
    };
    json!({ "type": "plain_text", "text": text, "emoji": false })
}
