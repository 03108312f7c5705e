//! Tokens for OAUTHBEARER, by the client credentials flow (RFC 6749 section 4.4) as Entra and others speak it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_http::{Client, NoToken};
use muster_model::{Clock, Secret};
use serde::Deserialize;

use crate::sinks::error::shown;

/// A token with less life than this is renewed.
const LIFE_LEAST: Duration = Duration::from_secs(120);
/// What a token lives where its issuer does not say.
const LIFE_USUAL: u64 = 300;
/// The longest life that is believed.
const LIFE_MOST: u64 = 86_400;

/// Whoever hands out tokens, and the one that was handed out last.
pub(super) struct Tokens {
    pub(super) client: Client,
    pub(super) url: url::Url,
    pub(super) client_id: String,
    pub(super) client_secret: Secret<String>,
    pub(super) scope: Option<String>,
    pub(super) clock: Arc<dyn Clock>,
    /// Held while one is fetched: nobody fetches a second.
    pub(super) kept: tokio::sync::Mutex<Option<(Secret<String>, Timestamp)>>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("url", &shown_url(&self.url)).finish_non_exhaustive()
    }
}

/// The address of a token endpoint without what may be a secret in it.
pub(super) fn shown_url(url: &url::Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    shown(url.as_str())
}

#[derive(Deserialize)]
struct Answer {
    access_token: Option<String>,
    /// A number, or with old endpoints a text.
    #[serde(default)]
    expires_in: serde_json::Value,
    error: Option<String>,
    error_description: Option<String>,
}

impl Tokens {
    /// A token that lives long enough to connect with.
    pub(super) async fn token(&self) -> Result<Secret<String>, NoToken> {
        let mut kept = self.kept.lock().await;
        let now = self.clock.now();
        if let Some((token, until)) = &*kept
            && now + LIFE_LEAST < *until
        {
            return Ok(token.clone());
        }
        let (token, life) = self.fetch().await?;
        *kept = Some((token.clone(), now + life));
        Ok(token)
    }

    /// A broker refused `token` before its time.
    pub(super) async fn refused(&self, token: &Secret<String>) {
        let mut kept = self.kept.lock().await;
        if kept.as_ref().is_some_and(|(known, _)| known.expose() == token.expose()) {
            *kept = None;
        }
    }

    async fn fetch(&self) -> Result<(Secret<String>, Duration), NoToken> {
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", self.client_id.as_str()),
            ("client_secret", self.client_secret.expose().as_str()),
        ];
        form.extend(self.scope.as_deref().map(|scope| ("scope", scope)));
        let no_token = |reason: String, retry_after| NoToken {
            reason: format!("no token from {}: {reason}", shown_url(&self.url)),
            retry_after,
        };
        let answer = self.client.send(self.client.post_form(self.url.as_str(), &form)).await;
        let answer = answer
            .map_err(|error| no_token(format!("{error}; check oauth.token_url and the network"), None))?;
        let read: Option<Answer> = serde_json::from_slice(&answer.body).ok();
        match read {
            Some(Answer { access_token: Some(token), expires_in, .. }) if answer.status == 200 => {
                // Only visible ASCII goes into the message to the broker, so that a token cannot end its field.
                if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(no_token("what it gave out is no token".to_owned(), None));
                }
                let said = expires_in.as_u64().or_else(|| expires_in.as_str()?.parse().ok());
                let life = said.unwrap_or(LIFE_USUAL).min(LIFE_MOST);
                Ok((Secret::new(token), Duration::from_secs(life)))
            }
            Some(Answer { error: Some(error), error_description, .. }) => {
                let said = shown(&format!("{error}: {}", error_description.unwrap_or_default()));
                let reason = format!("{said}; check client_id, client_secret and scope in the sink's oauth");
                Err(no_token(reason, answer.retry_after()))
            }
            _ => {
                let reason = format!("HTTP {} is no answer of a token endpoint", answer.status);
                Err(no_token(reason, answer.retry_after()))
            }
        }
    }
}
