//! The address of a webhook, which is a secret with many receivers.

use std::fmt;

use serde::{Deserialize, Deserializer};
use url::Url;

use crate::sinks::http;
use crate::sinks::settings::one_url;

/// Shorter parts of a path are no secrets.
const SECRET_LEAST: usize = 8;

/// An address whose path may be a secret, as with the incoming webhooks of chat services: only its origin is shown.
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

    /// A text without what of the path and the query could be a secret.
    pub(super) fn hidden_in(&self, text: &str) -> String {
        let path = self.0.path_segments().into_iter().flatten();
        let query = self.0.query().into_iter().flat_map(|query| query.split(['&', '=']));
        let secrets = path.chain(query).filter(|part| part.len() >= SECRET_LEAST);
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "[…]"))
    }
}

impl fmt::Debug for HookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin())
    }
}

fn url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    one_url(deserializer, "https://hooks.example/muster")
}
