//! How a sink's receiver proves who it is: the system's trusted roots, and a CA file beside them.

use std::path::PathBuf;
use std::sync::Arc;

use muster_http::RootsError;
use rustls::ClientConfig;

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
pub(super) fn client_config(options: &TlsOptions) -> Result<Arc<ClientConfig>, String> {
    let config = muster_http::tls_config(extra_roots(options)?.as_deref());
    config.map(Arc::new).map_err(|error| wrong_roots(options, error))
}

/// What the CA file holds, or what is wrong with it and what to do.
pub(super) fn extra_roots(options: &TlsOptions) -> Result<Option<Vec<u8>>, String> {
    let read = options.ca_file.as_ref().map(std::fs::read).transpose();
    read.map_err(|error| wrong_roots(options, RootsError::Unreadable(error.to_string())))
}

/// What is wrong with the roots, with the CA file's name.
pub(super) fn wrong_roots(options: &TlsOptions, error: RootsError) -> String {
    let shown = options.ca_file.clone().unwrap_or_default();
    let shown = shown.display();
    match error {
        RootsError::Unreadable(error) => {
            format!("cannot read the CA file {shown}: {error}; it must be PEM certificates")
        }
        RootsError::Empty => {
            format!("the CA file {shown} holds no certificate; it must be PEM, `-----BEGIN CERTIFICATE-----`")
        }
        RootsError::NotARoot(error) => {
            format!("the CA file {shown} holds a certificate that cannot be a root: {error}")
        }
        RootsError::Nobody(_) | RootsError::Setup(_) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_ca(text: &str) -> Result<(), String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, text).expect("written");
        let options = TlsOptions { ca_file: Some(path), server_name: None };
        client_config(&options).map(drop)
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
