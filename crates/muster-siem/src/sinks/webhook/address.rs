//! The address of a webhook, which is a secret with many receivers.

use std::fmt;

use serde::{Deserialize, Deserializer};
use url::Url;

use crate::sinks::http;

/// Shorter parts of an address are no secrets.
const SECRET_LEAST: usize = 8;

/// An address whose path or query may be a secret, as with the incoming webhooks of chat services and with Azure Logic Apps:
/// only its origin is shown.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct HookUrl(#[serde(deserialize_with = "url")] Url);

impl HookUrl {
    /// Reads an address that may have a query, in which a secret may stand as well.
    ///
    /// # Errors
    /// In words without the address, when it is none of HTTP.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text.trim()).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        match url {
            Some(url) if url.username().is_empty() && url.password().is_none() => Ok(Self(url)),
            Some(_) => Err("it must be an address without user and password".to_owned()),
            None => Err("it must be an address such as https://hooks.example/muster".to_owned()),
        }
    }

    /// The whole address, for the call that goes there. Never for a message.
    #[must_use]
    pub fn expose(&self) -> &Url {
        &self.0
    }

    /// Scheme, host and port.
    #[must_use]
    pub fn origin(&self) -> String {
        http::origin(&self.0)
    }

    /// A text without what of the path and the query could be a secret, as it was sent or with its escapes undone.
    pub(super) fn hidden_in(&self, text: &str) -> String {
        let query = self.0.query().unwrap_or_default();
        let parts = self.0.path_segments().into_iter().flatten().chain(query.split(['&', '=']));
        let undone = |part: &str| [part.to_owned(), unescaped(part), unescaped(&part.replace('+', " "))];
        let mut secrets: Vec<String> =
            parts.flat_map(undone).filter(|part| part.len() >= SECRET_LEAST).collect();
        // One that is part of another must not leave its rest.
        secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        let whole =
            if query.is_empty() { text.to_owned() } else { text.replace(&format!("?{query}"), "?[…]") };
        secrets.iter().fold(whole, |text, secret| text.replace(secret, "[…]"))
    }
}

/// A part of an address with its escapes undone; a `+` stays one.
fn unescaped(part: &str) -> String {
    let part = part.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    let mut parts = url::form_urlencoded::parse(part.as_bytes());
    parts.next().map(|(text, _)| text.into_owned()).unwrap_or_default()
}

impl fmt::Debug for HookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin())
    }
}

fn url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    let url = HookUrl::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)?.0;
    match url.fragment() {
        Some(_) => Err(serde::de::Error::custom("it must be an address without `#`, which is never sent")),
        None => Ok(url),
    }
}
