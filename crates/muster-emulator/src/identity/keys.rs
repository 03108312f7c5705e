//! The keys that the identity platform signs with, and their rollover.

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde::Serialize;
use serde_json::{Value, json};

use super::claims::{TokenError, Version};

/// A key that tokens are signed with.
pub(crate) struct SigningKey {
    pub(crate) id: String,
    modulus: String,
    exponent: String,
    certificate: String,
    pair: RsaKeyPair,
}

impl SigningKey {
    /// The keys of all emulators of a process, the same in each: making one takes longer than all the rest of a start.
    fn of_process(number: usize) -> anyhow::Result<Arc<Self>> {
        static KEYS: Mutex<Vec<Arc<SigningKey>>> = Mutex::new(Vec::new());
        let mut keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
        while keys.len() <= number {
            keys.push(Arc::new(Self::generate()?));
        }
        Ok(Arc::clone(&keys[number]))
    }

    fn generate() -> anyhow::Result<Self> {
        use rsa::pkcs8::EncodePrivateKey;
        use rsa::traits::PublicKeyParts;
        let private = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048)?;
        let pkcs8 = private.to_pkcs8_der()?;
        let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(
            &rustls::pki_types::PrivatePkcs8KeyDer::from(pkcs8.as_bytes()),
            &rcgen::PKCS_RSA_SHA256,
        )?;
        let mut params = rcgen::CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(rcgen::DnType::CommonName, "accounts.accesscontrol.windows.net");
        let certificate = params.self_signed(&pair)?;
        let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, certificate.der());
        let modulus = URL_SAFE_NO_PAD.encode(private.n().to_bytes_be());
        let exponent = URL_SAFE_NO_PAD.encode(private.e().to_bytes_be());
        Ok(Self {
            id: URL_SAFE_NO_PAD.encode(digest.as_ref()),
            pair: RsaKeyPair::from_pkcs8(pkcs8.as_bytes())
                .map_err(|rejected| anyhow::anyhow!("{rejected}"))?,
            modulus,
            exponent,
            certificate: STANDARD.encode(certificate.der()),
        })
    }

    /// A JWT of the claims, signed with RS256; v1 tokens name the key twice.
    pub(crate) fn sign(&self, claims: &impl Serialize, version: Version) -> String {
        self.sign_with_nonce(claims, version, None)
    }

    /// The same with a `nonce` in the header: what is signed has its hash in its place, so that only the API that knows
    /// of it can check the signature.
    pub(crate) fn sign_with_nonce(
        &self,
        claims: &impl Serialize,
        version: Version,
        nonce: Option<&str>,
    ) -> String {
        let mut header = match version {
            Version::V1 => json!({"typ": "JWT", "alg": "RS256", "x5t": self.id, "kid": self.id}),
            Version::V2 => json!({"typ": "JWT", "alg": "RS256", "kid": self.id}),
        };
        if let Some(nonce) = nonce {
            header["nonce"] = Value::from(nonce);
        }
        let claims = serde_json::to_vec(claims).expect("claims are texts and numbers");
        let claims = URL_SAFE_NO_PAD.encode(claims);
        let signed = format!("{}.{claims}", URL_SAFE_NO_PAD.encode(signed_header(&header)));
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .expect("a key that was accepted signs");
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn has_signed(&self, signed: &str, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.pair.public())
            .verify(signed.as_bytes(), signature)
            .is_ok()
    }

    fn published(&self, issuer: &str) -> Value {
        json!({
            "kty": "RSA", "use": "sig", "kid": self.id, "x5t": self.id,
            "n": self.modulus, "e": self.exponent, "x5c": [self.certificate], "issuer": issuer,
        })
    }
}

/// The header as it is signed.
fn signed_header(header: &Value) -> String {
    let mut header = header.clone();
    if let Some(nonce) = header["nonce"].as_str() {
        let hash = ring::digest::digest(&ring::digest::SHA256, nonce.as_bytes());
        header["nonce"] = Value::from(URL_SAFE_NO_PAD.encode(hash.as_ref()));
    }
    header.to_string()
}

/// The keys in use: the last signs, all are published and taken.
pub(crate) struct KeySet(Mutex<Ring>);

struct Ring {
    keys: Vec<Arc<SigningKey>>,
    made: usize,
}

impl KeySet {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self(Mutex::new(Ring { keys: vec![SigningKey::of_process(0)?], made: 1 })))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on another key signs; the older ones are still published.
    pub(crate) fn roll(&self) -> anyhow::Result<()> {
        let mut ring = self.lock();
        let key = SigningKey::of_process(ring.made)?;
        ring.made += 1;
        ring.keys.push(key);
        Ok(())
    }

    /// Keys that no longer sign are no longer published, and what they signed is no longer taken.
    pub(crate) fn drop_old(&self) {
        let mut ring = self.lock();
        let last = ring.keys.len() - 1;
        ring.keys.drain(..last);
    }

    /// The key that signs now.
    pub(crate) fn current(&self) -> Arc<SigningKey> {
        let ring = self.lock();
        Arc::clone(ring.keys.last().expect("the last key is never dropped"))
    }

    /// The claims of a token of ours, as text.
    pub(crate) fn verify(&self, token: &str) -> Result<Vec<u8>, TokenError> {
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed);
        let signature = decode(signature)?;
        let header: Value = serde_json::from_slice(&decode(header)?).map_err(|_| TokenError::Malformed)?;
        let hashed = header["nonce"]
            .is_string()
            .then(|| format!("{}.{claims}", URL_SAFE_NO_PAD.encode(signed_header(&header))));
        let signed = hashed.as_deref().unwrap_or(signed);
        // The algorithm is ours to choose, not the token's header's.
        if !self.lock().keys.iter().rev().any(|key| key.has_signed(signed, &signature)) {
            return Err(TokenError::Signature);
        }
        decode(claims)
    }

    /// The keys as the keys endpoint publishes them, newest last.
    pub(crate) fn published(&self, issuer: &str) -> Value {
        json!({"keys": self.lock().keys.iter().map(|key| key.published(issuer)).collect::<Vec<_>>()})
    }
}
