//! What is said within SASL: PLAIN (RFC 4616), SCRAM (RFC 5802, RFC 7677) and OAUTHBEARER (RFC 7628), as Kafka has
//! them.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use muster_model::Secret;
use ring::{digest, hmac, pbkdf2};
use uuid::Uuid;

/// RFC 7677 asks for so many rounds at least: a server that wants fewer may be someone who wants to guess the password.
const ROUNDS_LEAST: u32 = 4096;
/// More than any broker asks for: a second of a processor's time.
const ROUNDS_MOST: u32 = 1_000_000;
const SALT_BYTES_MAX: usize = 1024;

/// The one message of PLAIN.
pub(super) fn plain(user: &str, password: &Secret<String>) -> Secret<Vec<u8>> {
    let mut message = Vec::with_capacity(user.len() + password.expose().len() + 2);
    message.push(0);
    message.extend_from_slice(user.as_bytes());
    message.push(0);
    message.extend_from_slice(password.expose().as_bytes());
    Secret::new(message)
}

/// The one message of OAUTHBEARER.
pub(super) fn oauth_bearer(token: &Secret<String>) -> Secret<Vec<u8>> {
    let mut message = b"n,,\x01auth=Bearer ".to_vec();
    message.extend_from_slice(token.expose().as_bytes());
    message.extend_from_slice(b"\x01\x01");
    Secret::new(message)
}

/// The hash of SCRAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScramHash {
    Sha256,
    Sha512,
}

impl ScramHash {
    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn digest(self, bytes: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, bytes).as_ref().to_vec()
    }

    /// `Hi` of RFC 5802: the password with the salt, so many times.
    fn salted(self, password: &Secret<String>, salt: &[u8], rounds: NonZeroU32) -> Secret<Vec<u8>> {
        let (algorithm, bytes) = match self {
            Self::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, 32),
            Self::Sha512 => (pbkdf2::PBKDF2_HMAC_SHA512, 64),
        };
        let mut salted = vec![0; bytes];
        pbkdf2::derive(algorithm, rounds, salt, password.expose().as_bytes(), &mut salted);
        Secret::new(salted)
    }

    fn sign(self, key: &[u8], text: &str) -> hmac::Tag {
        hmac::sign(&hmac::Key::new(self.hmac(), key), text.as_bytes())
    }
}

/// What a client says in SCRAM, and what it must hear.
pub(super) struct Scram {
    hash: ScramHash,
    password: Secret<String>,
    nonce: String,
    /// The first message without its head.
    first_bare: String,
}

/// What the server must prove itself by.
pub(super) struct Expected {
    hash: ScramHash,
    server_key: Secret<Vec<u8>>,
    said: String,
}

impl Scram {
    pub(super) fn new(hash: ScramHash, user: &str, password: Secret<String>) -> Self {
        // 122 random bits, from the operating system.
        Self::with_nonce(hash, user, password, Uuid::new_v4().simple().to_string())
    }

    fn with_nonce(hash: ScramHash, user: &str, password: Secret<String>, nonce: String) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let first_bare = format!("n={user},r={nonce}");
        Self { hash, password, nonce, first_bare }
    }

    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.first_bare)
    }

    /// The second message, and what the server must answer. Takes milliseconds of a processor's time and more.
    pub(super) fn second(&self, server_first: &[u8]) -> Result<(Secret<Vec<u8>>, Expected), &'static str> {
        let said = std::str::from_utf8(server_first).map_err(|_| "it is no text")?;
        let mut fields = said.split(',');
        let nonce = fields.next().and_then(|field| field.strip_prefix("r=")).ok_or("it has no nonce")?;
        let salt = fields.next().and_then(|field| field.strip_prefix("s=")).ok_or("it has no salt")?;
        let rounds = fields.next().and_then(|field| field.strip_prefix("i=")).ok_or("it has no count")?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("its nonce does not begin with ours");
        }
        let salt = STANDARD.decode(salt).ok().filter(|salt| (1..=SALT_BYTES_MAX).contains(&salt.len()));
        let salt = salt.ok_or("its salt cannot be read")?;
        let rounds: u32 = rounds.parse().map_err(|_| "its count is no number")?;
        if rounds < ROUNDS_LEAST {
            return Err("it asks for fewer than 4,096 rounds, by which a password could be guessed");
        }
        let rounds = NonZeroU32::new(rounds).filter(|rounds| rounds.get() <= ROUNDS_MOST);
        let rounds = rounds.ok_or("it asks for more than 1,000,000 rounds")?;
        let salted = self.hash.salted(&self.password, &salt, rounds);
        let client_key = Secret::new(self.hash.sign(salted.expose(), "Client Key").as_ref().to_vec());
        let stored_key = self.hash.digest(client_key.expose());
        // `biws` is the head of the first message, `n,,`.
        let bare = format!("c=biws,r={nonce}");
        let signed = format!("{},{said},{bare}", self.first_bare);
        let signature = self.hash.sign(&stored_key, &signed);
        let proof: Vec<u8> =
            client_key.expose().iter().zip(signature.as_ref()).map(|(key, sign)| key ^ sign).collect();
        let message = Secret::new(format!("{bare},p={}", STANDARD.encode(proof)).into_bytes());
        let server_key = Secret::new(self.hash.sign(salted.expose(), "Server Key").as_ref().to_vec());
        Ok((message, Expected { hash: self.hash, server_key, said: signed }))
    }
}

impl Expected {
    /// Whether the server knows the password, too: otherwise it is somebody else.
    pub(super) fn proves_itself(&self, server_final: &[u8]) -> bool {
        let said = std::str::from_utf8(server_final).ok();
        let signature = said.and_then(|said| said.split(',').next()?.strip_prefix("v="));
        let Some(signature) = signature.and_then(|signature| STANDARD.decode(signature).ok()) else {
            return false;
        };
        let key = hmac::Key::new(self.hash.hmac(), self.server_key.expose());
        hmac::verify(&key, self.said.as_bytes(), &signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_the_rfc() -> Scram {
        let nonce = "rOprNGfwEbeRWgbNEkqO".to_owned();
        Scram::with_nonce(ScramHash::Sha256, "user", "pencil".into(), nonce)
    }

    const FIRST: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    /// RFC 7677 section 3.
    #[test]
    fn scram_is_spoken_as_in_its_rfc() {
        let scram = of_the_rfc();
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (second, expected) = scram.second(FIRST.as_bytes()).expect("an answer");
        assert_eq!(
            std::str::from_utf8(second.expose()).expect("a text"),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert!(expected.proves_itself(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        for wrong in ["v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=", "v=", "", "e=invalid-proof", "v=6rri"]
        {
            assert!(!expected.proves_itself(wrong.as_bytes()), "{wrong}");
        }
    }

    #[test]
    fn a_server_that_wants_the_password_cheaply_is_not_answered() {
        for (from, to) in [
            ("i=4096", "i=1"),
            ("i=4096", "i=4000000000"),
            ("i=4096", "i=-1"),
            ("r=rOpr", "r=xOpr"),
            ("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", ""),
            ("s=W22ZaJ0SNY7soEsUEjb6gQ==", "s="),
            ("s=W22ZaJ0SNY7soEsUEjb6gQ==", "s=!"),
            (",i=4096", ""),
        ] {
            let said = FIRST.replace(from, to);
            assert!(of_the_rfc().second(said.as_bytes()).is_err(), "{said}");
        }
    }

    #[test]
    fn names_cannot_end_their_field() {
        let scram = Scram::new(ScramHash::Sha512, "a=b,c", "p".into());
        assert!(scram.first().starts_with("n,,n=a=3Db=2Cc,r="));
        assert_ne!(scram.first(), Scram::new(ScramHash::Sha512, "a=b,c", "p".into()).first());
    }
}
