//! A certificate and its private key, as an app proves itself with them.
//!
//! What can be wrong is found when it is read: a key that belongs to another certificate, a key that is not RSA, a file
//! that is encrypted or holds no key at all. Only its dates are looked at again each time it is used.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use muster_model::Secret;
use p12_keystore::Pkcs12Archive;
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::{PemObject, SectionKind};
use x509_parser::prelude::{FromDer, X509Certificate};

/// No certificate file is longer.
const FILE_BYTES_MAX: usize = 1 << 20;
/// No file holds more certificates than a chain has.
const CERTIFICATES_MAX: usize = 32;

/// A certificate with its RSA key.
pub struct Certificate {
    key: KeyPair,
    der: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
    subject: String,
    algorithm: Option<AssertionAlgorithm>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.subject)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// How assertions are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssertionAlgorithm {
    /// RSASSA-PSS with SHA-256, named by the certificate's SHA-256 (`x5t#S256`).
    Ps256,
    /// RSASSA-PKCS1-v1_5 with SHA-256, named by the certificate's SHA-1 (`x5t`): the older form.
    Rs256,
}

/// The thumbprints of a certificate, as portals show them: upper-case hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thumbprints {
    /// SHA-1, which Microsoft's portals call "the thumbprint".
    pub sha1: String,
    /// SHA-256.
    pub sha256: String,
}

/// Why a certificate cannot be used. Each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Longer than any certificate file.
    #[error("it has {bytes} bytes, which no certificate file has; check the path")]
    TooLarge {
        /// How long it is.
        bytes: usize,
    },
    /// Broken PEM.
    #[error("it is not PEM that can be read: {0}")]
    Pem(String),
    /// Broken PKCS#12, or the password is wrong.
    #[error("it is not a PKCS#12 file that can be opened with this password: {0}")]
    Pkcs12(String),
    /// A certificate without a key.
    #[error("there is no private key in it; put the `PRIVATE KEY` block beside the certificate")]
    NoKey,
    /// An encrypted key.
    #[error(
        "its private key is encrypted; decrypt it (`openssl pkey`), or use a PKCS#12 file with its password"
    )]
    EncryptedKey,
    /// More than one key.
    #[error("there are several private keys in it, and it cannot be told which is meant; leave one")]
    SeveralKeys,
    /// A key without a certificate.
    #[error("there is no certificate in it; put the `CERTIFICATE` block beside the key")]
    NoCertificate,
    /// An elliptic-curve or Edwards key.
    #[error(
        "its key is {0}, and Microsoft takes RSA keys only; make a new certificate with an RSA key of 2048 bits or more"
    )]
    NotRsa(&'static str),
    /// A broken or weak key.
    #[error("its private key cannot be used: {0}; an RSA key of 2048 to 4096 bits is wanted")]
    Key(String),
    /// A broken certificate.
    #[error("its certificate cannot be read: {0}")]
    Certificate(String),
    /// The key belongs to another certificate.
    #[error("its private key belongs to none of its certificates; check that both come from one request")]
    Mismatch,
    /// Too early.
    #[error(
        "the certificate is valid from {0} on; check this machine's clock, or use the former one until then"
    )]
    NotYetValid(Timestamp),
    /// Too late.
    #[error(
        "the certificate expired at {0}; make a new one, upload it to the app registration, and store it"
    )]
    Expired(Timestamp),
}

impl Certificate {
    /// A certificate and its key out of PEM: a private key (PKCS#8 or PKCS#1) and one or more certificates, in any order.
    ///
    /// # Errors
    /// When there is no key, no certificate that belongs to it, or the key is not RSA.
    pub fn from_pem(pem: &Secret<Vec<u8>>) -> Result<Self, CertificateError> {
        let pem = pem.expose();
        bounded(pem)?;
        let mut keys: Vec<PrivateKeyDer<'static>> = Vec::new();
        let mut certificates: Vec<Vec<u8>> = Vec::new();
        // The reader passes blocks over that it has no name for; an encrypted key is one of them.
        let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
        let header = b"Proc-Type: 4,ENCRYPTED";
        let holds = |what: &[u8]| pem.windows(what.len()).any(|window| window == what);
        if holds(encrypted) || holds(header) {
            return Err(CertificateError::EncryptedKey);
        }
        for block in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
            let (kind, der) = block.map_err(|error| CertificateError::Pem(error.to_string()))?;
            match kind {
                SectionKind::Certificate if certificates.len() < CERTIFICATES_MAX => certificates.push(der),
                SectionKind::PrivateKey => keys.push(PrivateKeyDer::Pkcs8(der.into())),
                SectionKind::RsaPrivateKey => keys.push(PrivateKeyDer::Pkcs1(der.into())),
                SectionKind::EcPrivateKey => return Err(CertificateError::NotRsa("an elliptic-curve key")),
                _ => {}
            }
        }
        let key = match (keys.pop(), keys.is_empty()) {
            (None, _) => return Err(CertificateError::NoKey),
            (Some(_), false) => return Err(CertificateError::SeveralKeys),
            (Some(key), true) => key,
        };
        let key = match &key {
            PrivateKeyDer::Pkcs8(der) => rsa_key(der.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der())
                .map_err(|error| CertificateError::Key(error.to_string())),
            _ => Err(CertificateError::NoKey),
        }?;
        Self::of(key, &certificates)
    }

    /// A certificate and its key out of a PKCS#12 file (`.pfx`, `.p12`).
    ///
    /// # Errors
    /// When the password is wrong, or as for [`Certificate::from_pem`].
    pub fn from_pkcs12(bytes: &Secret<Vec<u8>>, password: &Secret<String>) -> Result<Self, CertificateError> {
        bounded(bytes.expose())?;
        let archive = Pkcs12Archive::from_pkcs12(bytes.expose(), password.expose())
            .map_err(|error| CertificateError::Pkcs12(error.to_string()))?;
        let mut keys = archive.keys;
        let key = match (keys.pop(), keys.is_empty()) {
            (None, _) => return Err(CertificateError::NoKey),
            (Some(_), false) => return Err(CertificateError::SeveralKeys),
            (Some(key), true) => rsa_key(key.key.as_der())?,
        };
        let certificates: Vec<Vec<u8>> =
            archive.certs.iter().take(CERTIFICATES_MAX).map(|entry| entry.cert.as_der().to_vec()).collect();
        Self::of(key, &certificates)
    }

    /// The first of `certificates` that belongs to `key`, with it.
    fn of(key: KeyPair, certificates: &[Vec<u8>]) -> Result<Self, CertificateError> {
        if certificates.is_empty() {
            return Err(CertificateError::NoCertificate);
        }
        for der in certificates {
            let (_, certificate) = X509Certificate::from_der(der)
                .map_err(|error| CertificateError::Certificate(error.to_string()))?;
            if certificate.public_key().subject_public_key.data.as_ref() != key.public_key().as_ref() {
                continue;
            }
            let validity = certificate.validity();
            let at = |time: x509_parser::time::ASN1Time| {
                Timestamp::from_second(time.timestamp())
                    .map_err(|_| CertificateError::Certificate("its dates are out of range".to_owned()))
            };
            return Ok(Self {
                not_before: at(validity.not_before)?,
                not_after: at(validity.not_after)?,
                subject: muster_http::shown(&certificate.subject().to_string()),
                der: der.clone(),
                key,
                algorithm: None,
            });
        }
        Err(CertificateError::Mismatch)
    }

    /// The same, with assertions signed as `algorithm` says and not as the endpoint suggests.
    #[must_use]
    pub fn signing_with(self, algorithm: AssertionAlgorithm) -> Self {
        Self { algorithm: Some(algorithm), ..self }
    }

    /// Whom it is made out to.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// From when on it is valid.
    #[must_use]
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// Until when it is valid.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Whether it is valid at `now`.
    ///
    /// # Errors
    /// When it is not valid yet, or no longer.
    pub fn check_validity(&self, now: Timestamp) -> Result<(), CertificateError> {
        if now < self.not_before {
            return Err(CertificateError::NotYetValid(self.not_before));
        }
        if now >= self.not_after {
            return Err(CertificateError::Expired(self.not_after));
        }
        Ok(())
    }

    /// Its thumbprints.
    #[must_use]
    pub fn thumbprints(&self) -> Thumbprints {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        Thumbprints { sha1: hex(self.sha1().as_ref()), sha256: hex(self.sha256().as_ref()) }
    }

    /// The certificate alone, in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Signs a JWT with these claims: header and signature as [`AssertionAlgorithm`] says.
    ///
    /// # Panics
    /// When the operating system has no randomness, without which nothing here is safe.
    #[must_use]
    pub fn sign_jwt(&self, claims: &serde_json::Value, default: AssertionAlgorithm) -> Secret<String> {
        let (padding, header): (&'static dyn RsaEncoding, _) = match self.algorithm.unwrap_or(default) {
            AssertionAlgorithm::Ps256 => {
                let thumbprint = URL_SAFE_NO_PAD.encode(self.sha256());
                (&RSA_PSS_SHA256, serde_json::json!({"alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint}))
            }
            AssertionAlgorithm::Rs256 => {
                let thumbprint = URL_SAFE_NO_PAD.encode(self.sha1());
                (&RSA_PKCS1_SHA256, serde_json::json!({"alg": "RS256", "typ": "JWT", "x5t": thumbprint}))
            }
        };
        let mut jwt = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(padding, &SystemRandom::new(), jwt.as_bytes(), &mut signature)
            .expect("a key of a size that was checked signs, given randomness");
        jwt.push('.');
        URL_SAFE_NO_PAD.encode_string(&signature, &mut jwt);
        Secret::new(jwt)
    }

    fn sha1(&self) -> ring::digest::Digest {
        ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &self.der)
    }

    fn sha256(&self) -> ring::digest::Digest {
        ring::digest::digest(&ring::digest::SHA256, &self.der)
    }
}

fn bounded(bytes: &[u8]) -> Result<(), CertificateError> {
    match bytes.len() <= FILE_BYTES_MAX {
        true => Ok(()),
        false => Err(CertificateError::TooLarge { bytes: bytes.len() }),
    }
}

/// An RSA key out of PKCS#8, with a word for keys that are something else.
fn rsa_key(pkcs8: &[u8]) -> Result<KeyPair, CertificateError> {
    // DER of the algorithms' object identifiers, as they stand near the beginning of PKCS#8.
    const KINDS: [(&[u8], &str); 3] = [
        (&[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01], "an elliptic-curve key"),
        (&[0x06, 0x03, 0x2b, 0x65, 0x70], "an Ed25519 key"),
        (&[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a], "an RSA-PSS key"),
    ];
    KeyPair::from_pkcs8(pkcs8).map_err(|error| {
        let head = &pkcs8[..pkcs8.len().min(32)];
        let kind = KINDS.iter().find(|(oid, _)| head.windows(oid.len()).any(|window| window == *oid));
        match kind {
            Some((_, name)) => CertificateError::NotRsa(name),
            None => CertificateError::Key(error.to_string()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made with OpenSSL: `req -x509`, `rsa -traditional`, `pkcs12 -export`, and that with `-legacy`.
    const PKCS8_AND_CHAIN: &[u8] = include_bytes!("../../tests/certificates/pkcs8-and-chain.pem");
    const PKCS1: &[u8] = include_bytes!("../../tests/certificates/pkcs1.pem");
    const MODERN: &[u8] = include_bytes!("../../tests/certificates/modern.p12");
    const LEGACY: &[u8] = include_bytes!("../../tests/certificates/legacy.p12");
    const THUMBPRINT: &str = "AB717ECB219A3374BB66DCF077B05C7F2E549C4B29FD42C17F6B64627DCC5877";

    fn pem(bytes: &[u8]) -> Result<Certificate, CertificateError> {
        Certificate::from_pem(&Secret::new(bytes.to_vec()))
    }

    fn pkcs12(bytes: &[u8], password: &str) -> Result<Certificate, CertificateError> {
        Certificate::from_pkcs12(&Secret::new(bytes.to_vec()), &password.into())
    }

    #[test]
    fn every_form_gives_the_same_certificate() {
        for (form, certificate) in [
            ("PKCS#8 with a chain", pem(PKCS8_AND_CHAIN)),
            ("PKCS#1", pem(PKCS1)),
            ("PKCS#12 of today", pkcs12(MODERN, "pass ö word")),
            ("PKCS#12 of old", pkcs12(LEGACY, "password")),
        ] {
            let certificate = certificate.unwrap_or_else(|error| panic!("{form}: {error}"));
            assert_eq!(certificate.thumbprints().sha256, THUMBPRINT, "{form}");
            assert_eq!(certificate.thumbprints().sha1.len(), 40);
            assert_eq!(certificate.not_after().to_string(), "2126-10-28T07:44:36Z");
            assert!(certificate.subject().contains("Muster test"));
            assert!(!format!("{certificate:?}").contains("key"));
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        let with = |first: &[u8], second: &[u8]| [first, b"\n", second].concat();
        let certificates = PKCS8_AND_CHAIN.windows(27).position(|at| at == b"-----BEGIN CERTIFICATE-----");
        let (key, certificates) = PKCS8_AND_CHAIN.split_at(certificates.expect("there are some"));
        let error = |bytes: &[u8]| pem(bytes).expect_err("not usable");
        assert_eq!(error(b""), CertificateError::NoKey);
        assert_eq!(error(certificates), CertificateError::NoKey);
        assert_eq!(error(key), CertificateError::NoCertificate);
        assert_eq!(error(&with(PKCS1, PKCS8_AND_CHAIN)), CertificateError::SeveralKeys);
        assert_eq!(
            error(include_bytes!("../../tests/certificates/mismatch.pem")),
            CertificateError::Mismatch
        );
        assert_eq!(
            error(include_bytes!("../../tests/certificates/encrypted.pem")),
            CertificateError::EncryptedKey
        );
        assert_eq!(
            error(include_bytes!("../../tests/certificates/elliptic.pem")),
            CertificateError::NotRsa("an elliptic-curve key")
        );
        assert_eq!(
            error(include_bytes!("../../tests/certificates/edwards.pem")),
            CertificateError::NotRsa("an Ed25519 key")
        );
        assert!(matches!(
            error(include_bytes!("../../tests/certificates/weak.pem")),
            CertificateError::Key(_)
        ));
        assert!(matches!(error(&vec![b'x'; FILE_BYTES_MAX + 1]), CertificateError::TooLarge { .. }));
        assert!(matches!(pkcs12(MODERN, "wrong"), Err(CertificateError::Pkcs12(_))));
        assert!(matches!(pkcs12(&MODERN[..900], "pass ö word"), Err(CertificateError::Pkcs12(_))));
    }

    #[test]
    fn its_dates_are_kept() {
        let certificate = pem(PKCS1).expect("a certificate");
        let at = |text: &str| text.parse().expect("a time");
        assert_eq!(certificate.check_validity(certificate.not_before()), Ok(()));
        assert!(matches!(
            certificate.check_validity(at("2026-11-20T00:00:00Z")),
            Err(CertificateError::NotYetValid(_))
        ));
        let end = certificate.not_after();
        assert_eq!(certificate.check_validity(end), Err(CertificateError::Expired(end)));
    }

    #[test]
    fn a_cut_file_is_survived() {
        for end in 0..PKCS1.len() {
            drop(pem(&PKCS1[..end]));
        }
    }

    #[test]
    fn signatures_are_made_as_asked() {
        use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};

        let claims = serde_json::json!({"sub": "x"});
        for (chosen, usual, padding, name) in [
            (None, AssertionAlgorithm::Ps256, &RSA_PSS_2048_8192_SHA256, "x5t#S256"),
            (None, AssertionAlgorithm::Rs256, &RSA_PKCS1_2048_8192_SHA256, "x5t"),
            (Some(AssertionAlgorithm::Rs256), AssertionAlgorithm::Ps256, &RSA_PKCS1_2048_8192_SHA256, "x5t"),
        ] {
            let mut certificate = pem(PKCS1).expect("a certificate");
            if let Some(chosen) = chosen {
                certificate = certificate.signing_with(chosen);
            }
            let jwt = certificate.sign_jwt(&claims, usual);
            let (signed, signature) = jwt.expose().rsplit_once('.').expect("a JWT");
            let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
            let key = UnparsedPublicKey::new(padding, certificate.key.public_key());
            key.verify(signed.as_bytes(), &signature).expect("by this key");
            let header = URL_SAFE_NO_PAD.decode(signed.split('.').next().expect("a header")).expect("base64");
            let header: serde_json::Value = serde_json::from_slice(&header).expect("JSON");
            assert!(header[name].is_string(), "{header}");
        }
    }
}
