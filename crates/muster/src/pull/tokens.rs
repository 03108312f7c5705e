//! What clients of the pull API prove themselves by: a secret and a refresh token for good, an access token for an hour.
//!
//! An access token holds the client's id and its end, signed by the store's key; whether the client still works is looked up
//! whenever it is used, so that a client that is revoked is out at once.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use muster_model::Secret;
use muster_store::{PullClient, SecretHash, SigningKey};
use uuid::Uuid;

/// How long an access token works, in seconds: as long as those of the old API.
pub const LIFETIME_SECONDS: i64 = 3_599;

const PURPOSE: &str = "access token of the pull API";
/// The longest secret that is looked at, in bytes.
const SECRET_BYTES_MAX: usize = 512;

/// A new secret or refresh token: 256 random bits.
pub fn new_secret() -> Secret<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    Secret::new(URL_SAFE_NO_PAD.encode(bytes))
}

/// Whether something that was sent is what a hash was made of.
pub fn is_of(sent: &str, hash: SecretHash) -> bool {
    // Hashes may be compared as they are: how far they agree says nothing of the secret.
    sent.len() <= SECRET_BYTES_MAX && SecretHash::of(&Secret::new(sent.to_owned())) == hash
}

/// An access token of a client, from now on.
pub fn issue(key: &SigningKey, client: &PullClient, now: Timestamp) -> String {
    let named = format!("{}.{}", client.id.simple(), now.as_second() + LIFETIME_SECONDS);
    let tag = URL_SAFE_NO_PAD.encode(key.sign(PURPOSE, named.as_bytes()));
    format!("{named}.{tag}")
}

/// The client whose access token this is; `None` when it was not issued here, or is over.
pub fn client_of(key: &SigningKey, token: &str, now: Timestamp) -> Option<Uuid> {
    // Far longer than any; what follows looks at each byte.
    if token.len() > 256 {
        return None;
    }
    let (named, tag) = token.rsplit_once('.')?;
    let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
    if !key.verify(PURPOSE, named.as_bytes(), &tag) {
        return None;
    }
    let (id, until) = named.split_once('.')?;
    let until: i64 = until.parse().ok()?;
    (now.as_second() < until).then(|| Uuid::try_parse(id).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn client() -> PullClient {
        PullClient {
            id: Uuid::from_u128(7),
            tenant: Uuid::from_u128(1).into(),
            name: "x".to_owned(),
            sources: BTreeSet::new(),
            updates: false,
            secret: SecretHash::of(&new_secret()),
            refresh_token: SecretHash::of(&new_secret()),
            added_at: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::MAX,
            revoked_at: None,
            asked_at: None,
        }
    }

    #[test]
    fn an_access_token_is_good_for_an_hour_as_it_was_issued() {
        let (key, client) = (SigningKey::generate(), client());
        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        let token = issue(&key, &client, now);
        let at = |seconds: i64| Timestamp::from_second(1_800_000_000 + seconds).expect("a time");
        assert_eq!(client_of(&key, &token, now), Some(client.id));
        assert_eq!(client_of(&key, &token, at(LIFETIME_SECONDS - 1)), Some(client.id));
        assert_eq!(client_of(&key, &token, at(LIFETIME_SECONDS)), None);
        assert_eq!(client_of(&SigningKey::generate(), &token, now), None);
        for index in 0..token.len() {
            for other in ["A", "0", ".", "-", "%"] {
                let changed = format!("{}{other}{}", &token[..index], &token[index + 1..]);
                assert!(changed == token || client_of(&key, &changed, now).is_none(), "{changed}");
            }
        }
        // What is signed for something else is none.
        let named = format!("{}.{}", client.id.simple(), now.as_second() + 10);
        let tag = URL_SAFE_NO_PAD.encode(key.sign("invitation", named.as_bytes()));
        assert_eq!(client_of(&key, &format!("{named}.{tag}"), now), None);
    }

    #[test]
    fn secrets_are_random_and_compared_whole() {
        let (one, other) = (new_secret(), new_secret());
        assert!(one.expose() != other.expose() && one.expose().len() == 43);
        let hash = SecretHash::of(&one);
        assert!(is_of(one.expose(), hash) && !is_of(other.expose(), hash));
        assert!(!is_of(&one.expose()[..42], hash) && !is_of("", hash) && !is_of(&"x".repeat(100_000), hash));
    }
}
