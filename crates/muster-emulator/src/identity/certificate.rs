//! Certificates of apps: what of them the platform needs.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::world::ticks::Ticks;

/// A certificate with an RSA key.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    pub(crate) der: Vec<u8>,
    /// The public key, as PKCS#1.
    pub(crate) public_key: Vec<u8>,
    pub(crate) subject: String,
    pub(crate) not_before: Ticks,
    pub(crate) not_after: Ticks,
}

impl Certificate {
    /// Reads DER; `None` if it is no certificate or its key is not RSA.
    pub(crate) fn from_der(der: &[u8]) -> Option<Self> {
        let (rest, parsed) = X509Certificate::from_der(der).ok()?;
        let rsa = matches!(parsed.public_key().parsed(), Ok(x509_parser::public_key::PublicKey::RSA(_)));
        if !rest.is_empty() || !rsa {
            return None;
        }
        let seconds = |at: x509_parser::time::ASN1Time| Ticks(0).plus_seconds(at.timestamp());
        Some(Self {
            public_key: parsed.public_key().subject_public_key.data.to_vec(),
            subject: parsed.subject().to_string(),
            not_before: seconds(parsed.validity().not_before),
            not_after: seconds(parsed.validity().not_after),
            der: der.to_vec(),
        })
    }

    /// Reads the first certificate of a PEM text.
    pub(crate) fn from_pem(pem: &str) -> Option<Self> {
        let (_, body) = pem.split_once("-----BEGIN CERTIFICATE-----")?;
        let (body, _) = body.split_once("-----END CERTIFICATE-----")?;
        Self::from_base64(body)
    }

    /// Reads Base64 of DER, with blanks, or of PEM, as Graph takes both.
    pub(crate) fn from_base64(text: &str) -> Option<Self> {
        let text: String = text.split_ascii_whitespace().collect();
        let der = STANDARD.decode(text).ok()?;
        match std::str::from_utf8(&der) {
            Ok(pem) if pem.contains("-----BEGIN CERTIFICATE-----") => Self::from_pem(pem),
            _ => Self::from_der(&der),
        }
    }

    /// `x5t`: the SHA-1 thumbprint.
    pub(crate) fn sha1(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &self.der);
        URL_SAFE_NO_PAD.encode(digest.as_ref())
    }

    /// `x5t#S256`: the SHA-256 thumbprint.
    pub(crate) fn sha256(&self) -> String {
        URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, &self.der).as_ref())
    }
}
