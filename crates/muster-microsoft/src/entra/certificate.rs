//! A certificate and its private key, as an app proves itself with them.

use jiff::Timestamp;
use muster_model::Secret;

/// A certificate with its RSA key.
pub struct Certificate {
    not_before: Timestamp,
    not_after: Timestamp,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("not_after", &self.not_after).finish_non_exhaustive()
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

/// Why a certificate cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not what it should be.
    #[error("{0}")]
    Unreadable(String),
}

impl Certificate {
    /// A certificate and its key out of PEM: a private key (PKCS#8 or PKCS#1) and one or more certificates, in any order.
    ///
    /// # Errors
    /// When there is no key, no certificate that belongs to it, or the key is not RSA.
    #[expect(clippy::todo, reason = "signatures first")]
    pub fn from_pem(pem: &Secret<Vec<u8>>) -> Result<Self, CertificateError> {
        let _ = pem;
        todo!()
    }

    /// A certificate and its key out of a PKCS#12 file (`.pfx`, `.p12`).
    ///
    /// # Errors
    /// When the password is wrong, or as for [`Certificate::from_pem`].
    #[expect(clippy::todo, reason = "signatures first")]
    pub fn from_pkcs12(bytes: &Secret<Vec<u8>>, password: &Secret<String>) -> Result<Self, CertificateError> {
        let _ = (bytes, password);
        todo!()
    }

    /// The same, with assertions signed as `algorithm` says and not as the endpoint suggests.
    #[must_use]
    pub fn signing_with(self, algorithm: AssertionAlgorithm) -> Self {
        let _ = algorithm;
        self
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
        let _ = now;
        Ok(())
    }

    /// Its thumbprints.
    #[must_use]
    #[expect(clippy::todo, reason = "signatures first")]
    pub fn thumbprints(&self) -> Thumbprints {
        todo!()
    }

    /// The certificate alone, in DER.
    #[must_use]
    #[expect(clippy::todo, reason = "signatures first")]
    pub fn der(&self) -> &[u8] {
        todo!()
    }

    /// Signs a JWT with these claims: header and signature as [`AssertionAlgorithm`] says.
    #[expect(clippy::todo, reason = "signatures first")]
    pub fn sign_jwt(&self, claims: &serde_json::Value, default: AssertionAlgorithm) -> Secret<String> {
        let _ = (claims, default);
        todo!()
    }
}
