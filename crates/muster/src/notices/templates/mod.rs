//! The ways to say a notice, one file for each. Each is a pure function from what is said to what is sent.
//!
//! To add one: copy the nearest file, add its word to `TemplateName` (`config/notices.rs`), a line here, and a snapshot.

mod opsgenie;
mod pagerduty;
pub(super) mod parts;
mod servicenow;
mod slack;
mod standard;
mod teams;

use url::Url;

use self::parts::Posted;
use super::message::Notice;
use crate::config::TemplateName;

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

#[cfg(test)]
mod tests;
