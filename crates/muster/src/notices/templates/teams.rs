//! An Adaptive Card for a workflow of Microsoft Teams ("Post to a channel when a webhook request is received").
//!
//! Words of strangers are runs of text (`RichTextBlock`), which no client reads as Markdown; so no title makes a link or mentions
//! anybody.
//!
//! Source: Microsoft "Create incoming webhooks with Workflows", Adaptive Cards schema 1.4.

use serde_json::{Value, json};

use super::parts::{SAID_MAX, headline, more};
use crate::notices::conditions::Urgency;
use crate::notices::escape::{cut, defanged};
use crate::notices::message::{Event, Notice};

/// Teams takes 28 KB; what is said of one notice stays well below a share of that.
const WORDS_MAX: usize = 400;

pub(super) fn write(notices: &[Notice]) -> Value {
    let mut body = Vec::new();
    let mut actions = Vec::new();
    match notices {
        [one] => {
            body.push(line(&[run(&one.title, true, colour(one))], "Large"));
            body.push(line(&[run(&one.what, false, "Default")], "Default"));
            for (label, value) in &one.facts {
                body.push(line(
                    &[run(&format!("{label}: "), true, "Default"), run(value, false, "Default")],
                    "Default",
                ));
            }
            if !one.remedy.is_empty() {
                body.push(line(
                    &[run("What to do: ", true, "Default"), run(&one.remedy, false, "Default")],
                    "Default",
                ));
            }
            if let Some(link) = &one.link {
                actions.push(json!({ "type": "Action.OpenUrl", "title": "Open in Defender", "url": link }));
            }
        }
        several => {
            body.push(line(&[run(&headline(several), true, "Default")], "Large"));
            for notice in several.iter().take(SAID_MAX) {
                body.push(line(&[run(&notice.title, false, colour(notice))], "Default"));
            }
            body.extend(more(several).map(|more| line(&[run(&more, false, "Default")], "Default")));
        }
    }
    let mut card = json!({
        "type": "AdaptiveCard",
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "version": "1.4",
        "msteams": { "width": "Full" },
        "body": body,
    });
    if !actions.is_empty() {
        card["actions"] = Value::Array(actions);
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": card,
        }],
    })
}

fn line(runs: &[Value], size: &str) -> Value {
    let runs: Vec<Value> = runs
        .iter()
        .cloned()
        .map(|mut run| {
            run["size"] = json!(size);
            run
        })
        .collect();
    json!({ "type": "RichTextBlock", "inlines": runs })
}

fn run(text: &str, bold: bool, colour: &str) -> Value {
    let weight = if bold { "Bolder" } else { "Default" };
    json!({ "type": "TextRun", "text": cut(&defanged(text), WORDS_MAX), "weight": weight, "color": colour })
}

fn colour(notice: &Notice) -> &'static str {
    match (notice.event, notice.level) {
        (Event::Ended, _) => "Good",
        (Event::Test, _) => "Accent",
        (_, Urgency::Critical) => "Attention",
        (_, Urgency::Warning) => "Warning",
    }
}
