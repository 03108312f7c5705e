//! The ways to say a notice, one file for each. Each is a pure function from what is said to what is sent.
//!
//! To add one: copy the nearest file, add its word to `TemplateName` (`config/notices.rs`), a line here, and a snapshot.

mod opsgenie;
mod pagerduty;
mod servicenow;
mod slack;
mod standard;
mod teams;

use url::Url;

use super::message::Notice;
use crate::config::TemplateName;

/// What is posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// Where, if not at the receiver's own address.
    pub to: Option<Url>,
    pub body: String,
}

/// What a template says of notices: of one, or of several where people read it. `address` is the receiver's, and `secret`
/// what belongs into the body.
#[must_use]
pub fn write(template: TemplateName, notices: &[Notice], address: &Url, secret: &str) -> Posted {
    let here = |body: serde_json::Value| Posted { to: None, body: body.to_string() };
    let Some(first) = notices.first() else { return here(serde_json::json!({})) };
    match template {
        TemplateName::Standard => here(standard::write(first)),
        TemplateName::Teams => here(teams::write(notices)),
        TemplateName::Slack => here(slack::write(notices)),
        TemplateName::Pagerduty => here(pagerduty::write(first, secret)),
        TemplateName::Opsgenie => opsgenie::write(first, address),
        TemplateName::Servicenow => here(servicenow::write(first)),
    }
}

/// So many of several notices are said one by one.
pub(super) const SAID_MAX: usize = 30;

/// The headline of several notices.
pub(super) fn headline(notices: &[Notice]) -> String {
    use super::message::Event;
    let count = |events: &[Event]| notices.iter().filter(|notice| events.contains(&notice.event)).count();
    let parts = [
        (count(&[Event::Alert]), "alert"),
        (count(&[Event::Began]), "new condition"),
        (count(&[Event::Reminder]), "reminder"),
        (count(&[Event::Ended]), "end"),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| crate::shown::cause::plural(count as u64, what))
        .collect();
    format!("Muster: {}", parts.join(", "))
}

/// What stands in for those that are not said one by one.
pub(super) fn more(notices: &[Notice]) -> Option<String> {
    let more = notices.len().saturating_sub(SAID_MAX);
    (more > 0).then(|| format!("and {more} more; the SIEM and `muster notice list` have all of them"))
}

#[cfg(test)]
mod tests;
