//! How a server proves who it is: the system's trusted roots, and a CA file beside them. Verification cannot be
//! switched off; a private CA is named instead.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// What is wrong with the trusted roots.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootsError {
    /// The CA file cannot be read.
    #[error("the CA file cannot be read: {0}")]
    File(String),
    /// The CA file is not PEM.
    #[error("the CA file holds no PEM certificate that can be read: {0}")]
    Unreadable(String),
    /// The CA file has nothing in it.
    #[error("the CA file holds no PEM certificate that can be read: no BEGIN CERTIFICATE in it")]
    Empty,
    /// The CA file holds something that is no CA.
    #[error("the CA file holds a certificate that cannot be a root: {0}")]
    NotARoot(String),
    /// Nobody is trusted.
    #[error(
        "no trusted root certificates were found{0}: install the package ca-certificates, or name a CA file"
    )]
    Nobody(String),
    /// Something else.
    #[error("cannot set TLS up: {0}")]
    Setup(String),
}

/// The largest CA file: the roots of all the world take less than a tenth of it.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What a CA file holds, whatever lies there: a pipe is not waited for, and nothing is read without end.
///
/// # Errors
/// When it cannot be read, or is no ordinary file.
pub fn read_roots(path: &Path) -> Result<Vec<u8>, RootsError> {
    let failed = |error: std::io::Error| RootsError::File(error.to_string());
    // Opening a pipe would wait for whoever writes into it.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(RootsError::File("it is no ordinary file".to_owned()));
    }
    let mut pem = Vec::new();
    File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut pem)).map_err(failed)?;
    match pem.len() as u64 > FILE_BYTES_MAX {
        true => Err(RootsError::File("it is larger than certificates can be".to_owned())),
        false => Ok(pem),
    }
}

/// Whether roots can be had from what a CA file holds.
///
/// # Errors
/// See [`RootsError`].
pub fn check_roots(pem: &[u8]) -> Result<(), RootsError> {
    trusted_roots(Some(pem)).map(drop)
}

/// TLS that trusts the system's roots and those in `extra_roots_pem`.
///
/// The provider is named here so that nothing depends on which one the process has installed.
///
/// # Errors
/// See [`RootsError`].
pub fn tls_config(extra_roots_pem: Option<&[u8]>) -> Result<ClientConfig, RootsError> {
    let config = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| RootsError::Setup(error.to_string()))?
        .with_root_certificates(trusted_roots(extra_roots_pem)?)
        .with_no_client_auth();
    Ok(config)
}

/// The system's roots, and those in `extra_pem`.
///
/// # Errors
/// See [`RootsError`].
pub fn trusted_roots(extra_pem: Option<&[u8]>) -> Result<RootCertStore, RootsError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    // A system certificate that cannot be read is the system's affair; the others still serve.
    roots.add_parsable_certificates(native.certs);
    if let Some(pem) = extra_pem {
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| RootsError::Unreadable(error.to_string()))?;
            roots.add(certificate).map_err(|error| RootsError::NotARoot(error.to_string()))?;
        }
        if roots.len() == before {
            return Err(RootsError::Empty);
        }
    }
    if roots.is_empty() {
        let why = native.errors.first().map(|error| format!(" (the system's: {error})"));
        return Err(RootsError::Nobody(why.unwrap_or_default()));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_is_trusted_or_it_is_said_why_not() {
        let ca = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let wrong = |pem: &str| tls_config(Some(pem.as_bytes())).expect_err("no root");
        assert!(tls_config(Some(ca.cert.pem().as_bytes())).is_ok());
        assert_eq!(wrong(""), RootsError::Empty);
        assert!(matches!(wrong("-----BEGIN CERTIFICATE-----\n!!\n"), RootsError::Unreadable(_)));
        let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(wrong(junk), RootsError::NotARoot(_)));
    }
}
