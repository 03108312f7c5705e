//! Each template against a condition that begins and ends, and an alert whose title somebody hostile wrote.

use serde_json::Value;

use super::*;
use crate::notices::conditions::{Facts, TenantNamed, Urgency};
use crate::notices::kind::Kind;
use crate::notices::message::Event;

const HOSTILE: &str = "*bold* _it_ <!channel> [click](https://evil.example) <https://evil.example|x> @everyone \u{202e}rtl\r\nX-Evil: 1 \"}],\"x\":1 <script>";

fn at(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_796_000_000 + second).expect("a time")
}

fn tenant() -> TenantNamed {
    TenantNamed {
        id: "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d".parse().expect("an id"),
        slug: "contoso".to_owned(),
        name: "Contoso “Ltd.”".to_owned(),
    }
}

fn condition(event: Event) -> Notice {
    let facts = Facts {
        named: "contoso".to_owned(),
        tenant: Some(tenant()),
        level: Urgency::Critical,
        what: "the app has no consent: AADSTS65001".to_owned(),
        remedy: "invite the customer again: `muster tenant invite`".to_owned(),
        since: None,
    };
    let key = "consent_lost/5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d";
    Notice::of_condition(event, Kind::ConsentLost, key, &facts, at(0), at(7_200))
}

fn alert() -> Notice {
    Notice {
        event: Event::Alert,
        key: "alert/5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d/da637".to_owned(),
        kind: None,
        title: crate::notices::message::line(&format!("Contoso “Ltd.”: {HOSTILE}")),
        what: crate::notices::message::line(HOSTILE),
        remedy: String::new(),
        facts: vec![
            ("Organisation".to_owned(), "Contoso “Ltd.”".to_owned()),
            ("Severity".to_owned(), "high".to_owned()),
            ("Device".to_owned(), "<b>host</b>.contoso.example".to_owned()),
        ],
        link: Some(
            "https://security.microsoft.com/alerts/da637?tid=5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d".to_owned(),
        ),
        count: 1,
        lasted_seconds: None,
        ..condition(Event::Began)
    }
}

fn written(template: TemplateName, notices: &[Notice]) -> (String, Value) {
    let address = Url::parse("https://receiver.example/v2/alerts").expect("an address");
    let posted = write(template, notices, &address, "the-routing-key");
    let to = posted.to.map_or_else(|| "-".to_owned(), |to| to.to_string());
    (to, serde_json::from_str(&posted.body).expect("JSON"))
}

#[test]
fn what_each_template_says() {
    for (name, template) in TemplateName::ALL {
        for (what, notice) in
            [("began", condition(Event::Began)), ("ended", condition(Event::Ended)), ("alert", alert())]
        {
            let (to, body) = written(template, &[notice]);
            let text = format!("to: {to}\n{}", serde_json::to_string_pretty(&body).expect("JSON"));
            insta::assert_snapshot!(format!("{name}_{what}"), text);
        }
    }
    let many: Vec<Notice> = (0..40).map(|_| alert()).collect();
    for (name, template) in TemplateName::ALL.into_iter().filter(|(_, template)| template.is_for_people()) {
        let (_, body) = written(template, &many);
        assert!(body.to_string().len() < 28_000, "{name} is too large for Teams");
        assert!(
            body.to_string().contains("Muster: 40 alerts") && body.to_string().contains("and 10 more"),
            "{name}"
        );
    }
}

/// The texts that a value holds, with the key of each.
fn texts<'v>(value: &'v Value, key: &'v str, found: &mut Vec<(&'v str, &'v str)>) {
    match value {
        Value::String(text) => found.push((key, text)),
        Value::Array(list) => list.iter().for_each(|value| texts(value, key, found)),
        Value::Object(map) => map.iter().for_each(|(key, value)| texts(value, key, found)),
        _ => {}
    }
}

#[test]
fn no_title_makes_a_link_or_calls_anybody_where_people_read_it() {
    for template in [TemplateName::Teams, TemplateName::Slack] {
        let (_, body) = written(template, &[alert()]);
        let mut found = Vec::new();
        texts(&body, "", &mut found);
        for (key, text) in found {
            if matches!(key, "url" | "$schema") {
                assert!(!text.contains("evil"), "{text}");
                continue;
            }
            assert!(!text.contains("://") && !text.contains("@everyone"), "{key}: {text}");
        }
        // Nothing that is read as Markdown holds a word of a stranger's.
        let marked = body.to_string();
        assert!(
            !marked.contains("mrkdwn") && !marked.contains("\"TextBlock\"") && !marked.contains("FactSet")
        );
    }
    let (_, slack) = written(TemplateName::Slack, &[alert()]);
    assert!(!slack["text"].as_str().expect("a text").contains('<'), "{slack}");
}

#[test]
fn what_ends_has_the_key_of_its_beginning() {
    let began = written(TemplateName::Pagerduty, &[condition(Event::Began)]).1;
    let ended = written(TemplateName::Pagerduty, &[condition(Event::Ended)]).1;
    assert_eq!((&began["event_action"], &ended["event_action"]), (&"trigger".into(), &"resolve".into()));
    assert_eq!(began["dedup_key"], ended["dedup_key"]);
    let began = written(TemplateName::Opsgenie, &[condition(Event::Began)]).1;
    let (to, _) = written(TemplateName::Opsgenie, &[condition(Event::Ended)]);
    let alias = began["alias"].as_str().expect("an alias");
    assert_eq!(to, format!("https://receiver.example/v2/alerts/{alias}/close?identifierType=alias"));
    let began = written(TemplateName::Servicenow, &[condition(Event::Began)]).1;
    let ended = written(TemplateName::Servicenow, &[condition(Event::Ended)]).1;
    assert_eq!(began["records"][0]["message_key"], ended["records"][0]["message_key"]);
    assert_eq!(
        (&began["records"][0]["severity"], &ended["records"][0]["severity"]),
        (&"1".into(), &"0".into())
    );
}

#[test]
fn a_headline_counts_what_is_not_told_one_by_one() {
    let notices = [Notice::untold(405, at(0)), condition(Event::Began)];
    assert_eq!(parts::headline(&notices), "Muster: 1 new condition, 405 further alerts");
}

#[test]
fn no_template_for_people_or_services_leaves_a_host_whole() {
    let bare = Notice {
        title: "wWw.Evil.example/login".to_owned(),
        what: "see evil.example/login".to_owned(),
        facts: vec![("Device".to_owned(), "evil.example".to_owned())],
        ..alert()
    };
    for (name, template) in TemplateName::ALL.into_iter().filter(|(name, _)| *name != "standard") {
        let body = written(template, std::slice::from_ref(&bare)).1.to_string().to_lowercase();
        assert!(!body.contains("evil.example") && body.contains("evil[.]example"), "{name}: {body}");
    }
}
