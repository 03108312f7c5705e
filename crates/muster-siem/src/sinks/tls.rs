//! How a sink's receiver proves who it is: the system's trusted roots, and a CA file beside them. Verification cannot
//! be switched off; a private CA is named instead.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// The TLS settings of a sink.
#[derive(Debug, Clone, Default)]
pub struct TlsOptions {
    /// A PEM file with further trusted roots, for a private CA.
    pub ca_file: Option<PathBuf>,
    /// The name that the receiver's certificate is checked for, where it is not the host that is connected to.
    /// Syslog only: HTTP always checks the host of its URL.
    pub server_name: Option<String>,
}

/// The client configuration for `options`, or what is wrong with them and what to do.
///
/// The provider is named here so that nothing depends on which one the process has installed.
pub(super) fn client_config(options: &TlsOptions) -> Result<Arc<ClientConfig>, String> {
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("cannot set TLS up: {error}"))?
        .with_root_certificates(roots(options)?)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn roots(options: &TlsOptions) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if let Some(path) = &options.ca_file {
        let shown = path.display();
        let unreadable =
            |error| format!("cannot read the CA file {shown}: {error}; it must be PEM certificates");
        let certificates = CertificateDer::pem_file_iter(path).map_err(unreadable)?;
        let before = roots.len();
        for certificate in certificates {
            let certificate = certificate.map_err(unreadable)?;
            roots.add(certificate).map_err(|error| {
                format!("the CA file {shown} holds a certificate that cannot be a root: {error}")
            })?;
        }
        if roots.len() == before {
            return Err(format!(
                "the CA file {shown} holds no certificate; it must be PEM, `-----BEGIN CERTIFICATE-----`"
            ));
        }
    }
    if roots.is_empty() {
        let why = native.errors.first().map(|error| format!(" (the system's: {error})")).unwrap_or_default();
        return Err(format!(
            "no trusted root certificates were found{why}: install the package ca-certificates, or name a CA file"
        ));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::{TlsOptions, client_config};

    fn with_ca(text: &str) -> Result<(), String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, text).expect("written");
        client_config(&TlsOptions { ca_file: Some(path), server_name: None }).map(|_| ())
    }

    #[test]
    fn a_ca_file_is_trusted_or_it_is_said_why_not() {
        let ca = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        with_ca(&ca.cert.pem()).expect("a root");
        assert!(with_ca("").expect_err("empty").contains("holds no certificate"));
        assert!(
            with_ca("-----BEGIN CERTIFICATE-----\n!!\n")
                .expect_err("junk")
                .contains("cannot read the CA file")
        );
        let missing = TlsOptions { ca_file: Some("/nonexistent/ca.pem".into()), server_name: None };
        assert!(client_config(&missing).expect_err("missing").contains("/nonexistent/ca.pem"));
    }
}
