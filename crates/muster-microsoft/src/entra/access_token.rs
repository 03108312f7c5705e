//! An access token: what is known of it, and how long it serves.

use std::time::Duration;

use jiff::Timestamp;
use muster_model::Secret;
use serde_json::Value;

use super::credential::Access;
use super::error::TokenError;

/// Stands for what may hold a token.
pub(crate) const NOT_SHOWN: &str = "(not shown, since a token may be in it)";
/// A token is renewed when it has less than this to live.
const REMAINING_LIFE_MIN: Duration = Duration::from_secs(300);

/// An access token, checked.
#[derive(Debug, Clone)]
pub struct AccessToken {
    /// The token itself.
    pub secret: Secret<String>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// The application permissions in it; `None` when the token cannot be read, which Microsoft is free to do.
    pub roles: Option<Vec<String>>,
    /// The delegated permissions in it; `None` as above, and empty for an app that acts as itself.
    pub scopes: Option<Vec<String>>,
}

impl AccessToken {
    /// The permissions that count for `access`; `None` when the token cannot be read.
    #[must_use]
    pub fn permissions(&self, access: Access) -> Option<&[String]> {
        match access {
            Access::Application => self.roles.as_deref(),
            Access::Delegated => self.scopes.as_deref(),
        }
    }
}

/// Only what may stand in a header: anything else is not a token.
pub(crate) fn usable(token: String, status: u16) -> Result<Secret<String>, TokenError> {
    let token = Secret::new(token);
    let fits = !token.expose().is_empty() && token.expose().bytes().all(|byte| byte.is_ascii_graphic());
    match fits {
        true => Ok(token),
        false => Err(TokenError::Odd { status, beginning: "an access token that is none".to_owned() }),
    }
}

/// When a token ends. Without a life time, or with an odd one, after the documented least: an hour.
pub(crate) fn end(expires_in: Option<&Value>, now: Timestamp) -> Timestamp {
    let seconds = expires_in.and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
    let life = Duration::from_secs(seconds.unwrap_or(3_600).min(48 * 3_600));
    now.saturating_add(life).expect("a duration is never out of range")
}

/// When a token ends that says so in seconds since 1970. What is odd counts as the documented least, and what lies far ahead as
/// the longest life that there is.
pub(crate) fn end_at(expires_on: &Value, now: Timestamp) -> Timestamp {
    let seconds = expires_on.as_i64().or_else(|| expires_on.as_str()?.parse().ok());
    let life = seconds.and_then(|at| u64::try_from(at.checked_sub(now.as_second())?).ok());
    end(life.map(Value::from).as_ref(), now)
}

/// Whether a token that ends then is good for some minutes more.
pub(crate) fn lives_on(expires_at: Timestamp, now: Timestamp) -> bool {
    now.checked_add(REMAINING_LIFE_MIN).is_ok_and(|soon| expires_at > soon)
}
