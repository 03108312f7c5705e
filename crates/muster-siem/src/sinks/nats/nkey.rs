//! nkeys: how a user of NATS proves who it is, by an Ed25519 signature of what the server asks for.
//!
//! Source: the nkeys specification of NATS (`nats-io/nkeys`): base32 of a prefix, the key and a CRC-16.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use muster_model::Secret;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// The prefixes of a seed and of a user, which become the letters S and U.
const SEED: u8 = 18 << 3;
const USER: u8 = 20 << 3;

/// A user's key.
pub(super) struct Nkey {
    pair: Ed25519KeyPair,
    /// What the server knows it by, `U…`.
    pub(super) public: String,
}

impl std::fmt::Debug for Nkey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nkey").field("public", &self.public).finish_non_exhaustive()
    }
}

impl Nkey {
    /// The key of a seed, `SU…`; none where it is no user's seed.
    pub(super) fn from_seed(seed: &str) -> Option<Self> {
        let raw = Secret::new(decode(seed.trim())?);
        let (key, sum) = raw.expose().split_last_chunk::<2>()?;
        let [first, second, seed @ ..] = key else { return None };
        let kind = (first & 7) << 5 | second >> 3;
        if crc16(key).to_le_bytes() != *sum || first & 0xf8 != SEED || kind != USER || seed.len() != 32 {
            return None;
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let mut public = vec![USER];
        public.extend_from_slice(pair.public_key().as_ref());
        public.extend_from_slice(&crc16(&public).to_le_bytes());
        Some(Self { public: encode(&public), pair })
    }

    /// The answer to a server's nonce.
    pub(super) fn sign(&self, nonce: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.pair.sign(nonce.as_bytes()))
    }
}

/// A user's JWT and key out of a credentials file: each is a line between two of dashes.
pub(super) fn read_credentials(text: &str) -> Option<(String, Nkey)> {
    let mut lines = text.lines().map(str::trim);
    let mut after = |title: &str| {
        lines.find(|line| line.starts_with("---") && line.contains("BEGIN") && line.contains(title))?;
        lines.find(|line| !line.is_empty()).map(str::to_owned)
    };
    let (jwt, seed) = (after("USER JWT")?, Secret::new(after("USER NKEY SEED")?));
    Some((jwt, Nkey::from_seed(seed.expose())?))
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut waiting) = (Vec::with_capacity(text.len() * 5 / 8), 0_u32, 0);
    for letter in text.bytes() {
        let value = ALPHABET.iter().position(|known| *known == letter)?;
        bits = bits << 5 | u32::try_from(value).ok()?;
        waiting += 5;
        if waiting >= 8 {
            waiting -= 8;
            bytes.push((bits >> waiting & 0xff) as u8);
        }
    }
    Some(bytes)
}

fn encode(bytes: &[u8]) -> String {
    let (mut text, mut bits, mut waiting) = (String::new(), 0_u32, 0);
    let mut push = |value: u32| text.push(char::from(ALPHABET[(value & 31) as usize]));
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        waiting += 8;
        while waiting >= 5 {
            waiting -= 5;
            push(bits >> waiting);
        }
    }
    if waiting > 0 {
        push(bits << (5 - waiting));
    }
    text
}

/// CRC-16 as XMODEM has it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |sum: u16, byte| {
        (0..8).fold(sum ^ u16::from(*byte) << 8, |sum, _| match sum & 0x8000 {
            0 => sum << 1,
            _ => sum << 1 ^ 0x1021,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A seed and its public key, made with Python's `nkeys`.
    const SEED_TEXT: &str = "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y";
    const PUBLIC: &str = "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK";

    #[test]
    fn a_seed_gives_the_key_that_the_server_knows() {
        let nkey = Nkey::from_seed(SEED_TEXT).expect("a seed");
        assert_eq!(nkey.public, PUBLIC);
        assert_eq!(
            nkey.sign("nonce"),
            "-HTq4d6DDHVNb8MsTRAZtSIa0vXA_yuZblwTA7JT5wYzmKBxJ2wpYfjHh7hcptZlidbVw_6ZLyubjm_yDk-OCQ"
        );
        assert_eq!(format!("{nkey:?}"), format!("Nkey {{ public: \"{PUBLIC}\", .. }}"));
        let other = SEED_TEXT.replacen("SU", "SA", 1);
        for wrong in ["", "SU", &SEED_TEXT[1..], &SEED_TEXT.to_lowercase(), &other] {
            assert!(Nkey::from_seed(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_credentials_file_is_read() {
        let text = format!(
            "-----BEGIN NATS USER JWT-----\neyJ.a-b_c\n------END NATS USER JWT------\n\n*** secret ***\n\n-----BEGIN USER NKEY SEED-----\r\n{SEED_TEXT}\r\n------END USER NKEY SEED------\n"
        );
        let (jwt, nkey) = read_credentials(&text).expect("credentials");
        assert_eq!((jwt.as_str(), nkey.public.as_str()), ("eyJ.a-b_c", PUBLIC));
        assert!(read_credentials("-----BEGIN NATS USER JWT-----\neyJ").is_none());
    }
}
