//! Headers that the settings add to every request: text, or secrets by reference.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use muster_model::SecretReference;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use super::settings::Surroundings;

/// Headers that frame a request, which no settings may write.
const FRAMING: [&str; 6] =
    ["host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection"];
/// Headers whose value is a secret.
const SECRET: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "x-api-key"];

/// The value of a header.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "write text, or name a secret such as { file = \"webhook.token\" }")]
pub enum HeaderSource {
    /// As it stands in the settings.
    Text(String),
    /// Kept elsewhere.
    Secret(SecretReference),
}

impl fmt::Debug for HeaderSource {
    /// Somebody may have put a secret where text was meant.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("[text]"),
            Self::Secret(place) => write!(f, "{place}"),
        }
    }
}

/// Headers by name.
pub(super) type Headers = BTreeMap<String, HeaderSource>;

/// Where their secrets are kept.
pub(super) fn secrets(headers: &Headers) -> impl Iterator<Item = (&'static str, &SecretReference)> {
    headers.values().filter_map(|header| match header {
        HeaderSource::Secret(place) => Some(("headers", place)),
        HeaderSource::Text(_) => None,
    })
}

/// What is wrong with them. `own` are those that the sink writes by itself, in lower case.
pub(super) fn mistakes(headers: &Headers, own: &[&str]) -> Vec<String> {
    let mut mistakes = Vec::new();
    let mut known = BTreeSet::new();
    for (name, value) in headers {
        let lower = name.to_ascii_lowercase();
        if !known.insert(lower.clone()) {
            mistakes.push(format!("headers: `{name}` stands there twice, since case makes no difference"));
        } else if HeaderName::from_bytes(name.as_bytes()).is_err() {
            mistakes.push(format!("`{}` is no name of a header", muster_model::text::shown(name, 40)));
        } else if FRAMING.contains(&lower.as_str()) || own.contains(&lower.as_str()) {
            mistakes.push(format!("headers: `{name}` is written by the sink itself"));
        } else if let HeaderSource::Text(text) = value {
            if HeaderValue::from_str(text).is_err() {
                mistakes.push(format!("headers: the value of `{name}` holds a character that no header has"));
            }
            if SECRET.contains(&lower.as_str()) {
                mistakes.push(format!(
                    "headers: `{name}` is a secret: keep it elsewhere and name the place, such as {{ file = \"webhook.token\" }}"
                ));
            }
        }
    }
    mistakes
}

/// The headers with their secrets, read now.
pub(super) fn read(headers: &Headers, around: &Surroundings<'_>) -> Result<HeaderMap, String> {
    let mut read = HeaderMap::new();
    for (name, source) in headers {
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
        let value = match source {
            HeaderSource::Text(text) => HeaderValue::from_str(text),
            HeaderSource::Secret(place) => {
                let secret = (around.secret)(place).map_err(|no_secret| no_secret.reason)?;
                HeaderValue::from_str(secret.expose().trim())
            }
        };
        let mut value = value
            .map_err(|_| format!("the value of header `{name}` holds a character that no header has"))?;
        value.set_sensitive(true);
        read.insert(key, value);
    }
    Ok(read)
}
