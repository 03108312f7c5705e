//! The issuer's public keys, and whether a token's signature is by one of them.
//!
//! Source: RFC 7517, RFC 7518. Keys roll over at any time: one that is not known is looked for once more, at most every few
//! minutes, so that forged tokens with invented key ids cause no traffic.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use muster_http::{Client, shown};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents};
use serde::Deserialize;

use super::jwt::Jwt;
use super::permissions::ResourceApp;
use crate::Cloud;

/// No key document is longer.
const DOCUMENT_BYTES_MAX: usize = 1 << 20;
/// More keys are not read; Microsoft itself reads as many of other issuers.
const KEYS_MAX: usize = 100;
/// Issuers whose keys are remembered.
const SETS_MAX: usize = 64;
/// Between two looks for a key that is not known.
const LOOK_AGAIN: Duration = Duration::from_secs(300);
const KEEP_MIN: Duration = Duration::from_secs(300);
const KEEP_MAX: Duration = Duration::from_secs(24 * 3600);
const KEEP_UNTOLD: Duration = Duration::from_secs(3600);

/// An RSA key that signs tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IssuerKey {
    n: Vec<u8>,
    e: Vec<u8>,
}

/// The algorithms that are taken. Everything else is refused, `none` and the shared-secret ones above all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Rs256,
    Ps256,
}

impl Algorithm {
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "PS256" => Some(Self::Ps256),
            _ => None,
        }
    }
}

impl IssuerKey {
    /// Whether `jwt` was signed by this key.
    pub(crate) fn signed(&self, algorithm: Algorithm, jwt: &Jwt<'_>) -> bool {
        let key = RsaPublicKeyComponents { n: &self.n, e: &self.e };
        let parameters = match algorithm {
            Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
        };
        key.verify(parameters, jwt.signed.as_bytes(), &jwt.signature).is_ok()
    }
}

#[derive(Debug, Clone)]
struct KeySet {
    keys: HashMap<String, IssuerKey>,
    fetched_at: Timestamp,
    fresh_until: Timestamp,
}

/// The keys in hand, by the address they came from.
#[derive(Debug, Default)]
pub(crate) struct KeyCache {
    sets: Mutex<HashMap<String, KeySet>>,
    fetching: tokio::sync::Mutex<()>,
}

impl KeyCache {
    /// The key of this id at this address; `None` when it is not there, which is looked up again at most every few
    /// minutes.
    pub(crate) async fn key(
        &self,
        client: &Client,
        address: &str,
        kid: &str,
        now: Timestamp,
    ) -> Result<Option<IssuerKey>, String> {
        if let Some(answer) = self.look(address, kid, now) {
            return Ok(answer);
        }
        let _one_at_a_time = self.fetching.lock().await;
        if let Some(answer) = self.look(address, kid, now) {
            return Ok(answer);
        }
        match fetch(client, address, now).await {
            Ok(set) => {
                let key = set.keys.get(kid).cloned();
                let mut sets = self.sets.lock().expect("no panic while the lock is held");
                if sets.len() >= SETS_MAX && !sets.contains_key(address) {
                    let oldest = sets.iter().min_by_key(|(_, set)| set.fetched_at).map(|(at, _)| at.clone());
                    oldest.map(|oldest| sets.remove(&oldest));
                }
                sets.insert(address.to_owned(), set);
                Ok(key)
            }
            // A key that was good a while ago is better than none while its issuer is away.
            Err(why) => {
                let sets = self.sets.lock().expect("no panic while the lock is held");
                let known = sets.get(address).and_then(|set| set.keys.get(kid)).cloned();
                known.map(Some).ok_or(why)
            }
        }
    }

    /// What is known without asking; `None` when it has to be asked.
    fn look(&self, address: &str, kid: &str, now: Timestamp) -> Option<Option<IssuerKey>> {
        let sets = self.sets.lock().expect("no panic while the lock is held");
        let set = sets.get(address).filter(|set| set.fresh_until > now)?;
        match set.keys.get(kid) {
            Some(key) => Some(Some(key.clone())),
            None => {
                let again =
                    set.fetched_at.saturating_add(LOOK_AGAIN).expect("a duration is never out of range");
                (again > now).then_some(None)
            }
        }
    }

    /// Whether the signature of `jwt` is wrong for certain: its key is known here, and did not make it. Asks nobody. Not to
    /// be asked of tokens that [`only_graph_can_check`].
    pub(crate) fn knows_to_be_forged(&self, jwt: &Jwt<'_>) -> bool {
        let (Some(kid), Some(name)) = (jwt.header.text("kid"), jwt.header.text("alg")) else { return false };
        let sets = self.sets.lock().expect("no panic while the lock is held");
        let mut known = sets.values().filter_map(|set| set.keys.get(kid)).peekable();
        if known.peek().is_none() {
            return false;
        }
        let Some(algorithm) = Algorithm::named(name) else { return true };
        !known.any(|key| key.signed(algorithm, jwt))
    }
}

/// Whether the signature of `jwt` can be checked by Microsoft Graph alone: Graph's tokens carry a nonce in their header that
/// is hashed before signing. A nonce excuses no token that is, or should be (`resource`), for another API.
pub(crate) fn only_graph_can_check(cloud: &Cloud, jwt: &Jwt<'_>, resource: Option<&str>) -> bool {
    let is_graph = |api: &str| cloud.resource_app(api) == Some(ResourceApp::Graph);
    let audiences = jwt.claims.list("aud");
    jwt.header.get("nonce").is_some()
        && !audiences.is_empty()
        && audiences.iter().all(|audience| is_graph(audience))
        && resource.is_none_or(is_graph)
}

async fn fetch(client: &Client, address: &str, now: Timestamp) -> Result<KeySet, String> {
    let answer = client.send(client.get(address, None)).await.map_err(|error| error.to_string())?;
    if answer.status != 200 {
        return Err(format!("the keys at {address} cannot be had (status {})", answer.status));
    }
    let keep = answer.max_age().unwrap_or(KEEP_UNTOLD).clamp(KEEP_MIN, KEEP_MAX);
    let fresh_until = now.saturating_add(keep).expect("a duration is never out of range");
    let keys = parse(&answer.body).map_err(|why| format!("the keys at {address} cannot be read: {why}"))?;
    Ok(KeySet { keys, fetched_at: now, fresh_until })
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: String,
    kid: String,
    n: String,
    e: String,
}

/// The RSA signing keys of a key document, by their ids. Keys of other kinds, for other uses, without an id or of a size
/// that is not safe are left out.
pub(crate) fn parse(document: &[u8]) -> Result<HashMap<String, IssuerKey>, String> {
    if document.len() > DOCUMENT_BYTES_MAX {
        return Err(format!("it has {} bytes, and {DOCUMENT_BYTES_MAX} are taken", document.len()));
    }
    let jwks: Jwks = muster_model::json::from_answer(document).map_err(|error| shown(&error.to_string()))?;
    let mut keys = HashMap::new();
    for key in jwks.keys.into_iter().take(KEYS_MAX) {
        let Ok(key) = serde_json::from_value::<Jwk>(key) else { continue };
        let (Ok(n), Ok(e)) = (URL_SAFE_NO_PAD.decode(&key.n), URL_SAFE_NO_PAD.decode(&key.e)) else {
            continue;
        };
        let safe = (256..=1024).contains(&n.len()) && (1..=4).contains(&e.len());
        if key.kty == "RSA" && key.usage == "sig" && (1..=256).contains(&key.kid.len()) && safe {
            // The first of an id counts: a later one cannot push it out.
            keys.entry(key.kid).or_insert(IssuerKey { n, e });
        }
    }
    if keys.is_empty() {
        return Err("there is no RSA key for signatures among them".to_owned());
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_key_of_an_id_counts() {
        let n = |byte| URL_SAFE_NO_PAD.encode([byte; 256]);
        let key = |n| format!(r#"{{"kty":"RSA","use":"sig","kid":"a","n":"{n}","e":"AQAB"}}"#);
        let document = format!(r#"{{"keys":[7,{},{}]}}"#, key(n(1)), key(n(2)));
        let keys = parse(document.as_bytes()).expect("one key");
        assert_eq!((keys.len(), keys["a"].n[0]), (1, 1));
    }

    proptest! {
        #[test]
        fn any_document_is_survived(bytes in any::<Vec<u8>>(), text in "\\{\"keys\":\\[(\\{\"kty\":\"RSA\",\"n\":\"[A-Za-z]{0,9}\"\\},?){0,4}\\]\\}") {
            prop_assert!(parse(&bytes).is_err());
            prop_assert!(parse(text.as_bytes()).is_err());
        }
    }
}
