//! The store's own signing key: proves that a link, a `state` or an audit event was made here.
//!
//! It is not the master key, so that rotating that breaks no link that was sent.

use std::fmt;

use muster_model::Secret;
use ring::hmac;
use zeroize::Zeroize;

use crate::sealing::random;

/// Length of the key and of a tag in bytes.
pub(crate) const SIGNING_BYTES: usize = 32;

/// A random key that is made with the store and kept in it, sealed by the master key.
#[derive(Clone)]
pub struct SigningKey(Secret<[u8; SIGNING_BYTES]>);

impl SigningKey {
    /// A new random key.
    #[must_use]
    pub fn generate() -> Self {
        Self(Secret::new(random()))
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(Secret::new(bytes)))
    }

    pub(crate) fn bytes(&self) -> &[u8; SIGNING_BYTES] {
        self.0.expose()
    }

    /// The HMAC-SHA-256 of `message` with the key of `purpose`. A tag of one purpose is worth nothing for another.
    #[must_use]
    pub fn sign(&self, purpose: &str, message: &[u8]) -> [u8; 32] {
        let tag = hmac::sign(&self.key_of(purpose), message);
        tag.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    /// Whether `tag` is what [`SigningKey::sign`] gives. Takes the same time wherever they differ.
    #[must_use]
    pub fn verify(&self, purpose: &str, message: &[u8], tag: &[u8]) -> bool {
        hmac::verify(&self.key_of(purpose), message, tag).is_ok()
    }

    fn key_of(&self, purpose: &str) -> hmac::Key {
        let parent = hmac::Key::new(hmac::HMAC_SHA256, self.bytes());
        let mut derived = [0; SIGNING_BYTES];
        derived.copy_from_slice(hmac::sign(&parent, purpose.as_bytes()).as_ref());
        let key = hmac::Key::new(hmac::HMAC_SHA256, &derived);
        derived.zeroize();
        key
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::SigningKey;

    #[test]
    fn a_tag_is_good_for_its_key_purpose_and_message_only() {
        let key = SigningKey::generate();
        let tag = key.sign("invitation", b"contoso");
        assert!(key.verify("invitation", b"contoso", &tag));
        assert!(!key.verify("state", b"contoso", &tag));
        assert!(!key.verify("invitation", b"fabrikam", &tag));
        assert!(!SigningKey::generate().verify("invitation", b"contoso", &tag));
        for length in 0..tag.len() {
            assert!(!key.verify("invitation", b"contoso", &tag[..length]), "{length} bytes");
        }
        for index in 0..tag.len() {
            let mut changed = tag;
            changed[index] ^= 1;
            assert!(!key.verify("invitation", b"contoso", &changed), "byte {index}");
        }
        assert_eq!(format!("{key:?}"), "[secret]");
    }

    #[test]
    fn tags_stay_the_same_between_versions() {
        let key = SigningKey::from_bytes(&[7; 32]).expect("of the right length");
        let tag = key.sign("invitation", b"contoso").map(|byte| format!("{byte:02x}")).concat();
        // HMAC-SHA-256 twice, as Python's hmac module computes it.
        assert_eq!(tag, TAG_OF_PYTHON);
        assert!(SigningKey::from_bytes(&[7; 31]).is_none());
    }

    const TAG_OF_PYTHON: &str = "e7197bf473095c9eddc708e58959c34eeaa47a6e29edd359bdef934317956a66";
}
