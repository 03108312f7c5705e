//! How a sink's receiver proves who it is: the system's trusted roots, and a CA file beside them.

use std::path::Path;
use std::sync::Arc;

use muster_http::RootsError;
use rustls::ClientConfig;

/// The client configuration that trusts `ca_file`, or what is wrong with it and what to do.
pub(super) fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let config = muster_http::tls_config(extra_roots(ca_file)?.as_deref());
    config.map(Arc::new).map_err(|error| wrong_roots(ca_file, error))
}

/// What the CA file holds, or what is wrong with it and what to do.
pub(super) fn extra_roots(ca_file: Option<&Path>) -> Result<Option<Vec<u8>>, String> {
    let read = ca_file.map(muster_http::read_roots).transpose();
    read.map_err(|error| wrong_roots(ca_file, error))
}

/// What is wrong with the roots, with the CA file's name.
pub(super) fn wrong_roots(ca_file: Option<&Path>, error: RootsError) -> String {
    let shown = ca_file.unwrap_or(Path::new("")).display();
    match error {
        RootsError::File(error) => format!("cannot read the CA file {shown}: {error}"),
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
        client_config(Some(&path)).map(drop)
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
        let missing = client_config(Some(Path::new("/nonexistent/ca.pem"))).expect_err("missing");
        assert!(missing.contains("/nonexistent/ca.pem"));
    }
}
