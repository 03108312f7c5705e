//! Signatures as Standard Webhooks says: HMAC-SHA256 over id, time and body, one for each secret.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use muster_model::{Clock, Secret, SecretReference};
use ring::hmac;

use crate::sinks::settings::Surroundings;

/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// The least and the most bytes of a key, as the specification wants them.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Whoever signs messages.
pub(super) struct Signer {
    keys: Vec<hmac::Key>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

impl Signer {
    /// Reads the secrets, or says what is wrong with one.
    pub(super) fn new(secrets: &[SecretReference], around: &Surroundings<'_>) -> Result<Self, String> {
        let keys = secrets.iter().map(|place| {
            let secret = (around.secret)(place).map_err(|no_secret| no_secret.reason)?;
            key(&secret).ok_or_else(|| {
                format!(
                    "the signing secret in {place} must be `{PREFIX}` and {} to {} bytes in Base64, as `openssl rand -base64 32` \
                     makes them",
                    KEY_BYTES.start(),
                    KEY_BYTES.end()
                )
            })
        });
        let keys: Result<Vec<_>, String> = keys.collect();
        Ok(Self { keys: keys?, clock: Arc::clone(&around.clock) })
    }

    /// The headers of a message. Without a secret it has an id and a time, and no signature.
    pub(super) fn headers(&self, id: &str, body: &[u8]) -> Vec<(&'static str, String)> {
        let at = self.clock.now().as_second().to_string();
        let mut headers = vec![("webhook-id", id.to_owned()), ("webhook-timestamp", at.clone())];
        let signatures = self.keys.iter().map(|key| {
            let mut signed = hmac::Context::with_key(key);
            for part in [id.as_bytes(), b".", at.as_bytes(), b".", body] {
                signed.update(part);
            }
            format!("v1,{}", STANDARD.encode(signed.sign()))
        });
        let signatures: Vec<String> = signatures.collect();
        if !signatures.is_empty() {
            headers.push(("webhook-signature", signatures.join(" ")));
        }
        headers
    }
}

fn key(secret: &Secret<String>) -> Option<hmac::Key> {
    let encoded = secret.expose().trim().strip_prefix(PREFIX)?;
    let bytes =
        STANDARD.decode(encoded).or_else(|_| STANDARD_NO_PAD.decode(encoded)).ok().map(Secret::new)?;
    let fits = KEY_BYTES.contains(&bytes.expose().len());
    fits.then(|| hmac::Key::new(hmac::HMAC_SHA256, bytes.expose()))
}
