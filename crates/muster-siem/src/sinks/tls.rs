//! How a sink's receiver proves who it is: the system's trusted roots, and a CA file beside them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use muster_http::RootsError;
use muster_model::{Secret, SecretReference};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::settings::Surroundings;

/// The client configuration that trusts `ca_file`, and proves itself by a certificate with its key where one is given; or what
/// is wrong with them and what to do.
pub(super) fn client_config(
    ca_file: Option<&Path>,
    identity: Option<(&Path, Secret<String>)>,
) -> Result<Arc<ClientConfig>, String> {
    let extra = extra_roots(ca_file)?;
    let Some((file, key)) = identity else {
        let config = muster_http::tls_config(extra.as_deref());
        return config.map(Arc::new).map_err(|error| wrong_roots(ca_file, error));
    };
    let wrong = |why: String| format!("cannot use the client certificate {}: {why}", file.display());
    let pem = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|error| wrong(format!("{error}; it must be PEM certificates")))?;
    if chain.is_empty() {
        return Err(wrong("it holds no PEM certificate".to_owned()));
    }
    // What a key that cannot be read looks like is not told.
    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes())
        .map_err(|_| "client_key is no private key in PEM, `-----BEGIN PRIVATE KEY-----`".to_owned())?;
    let roots = muster_http::trusted_roots(extra.as_deref()).map_err(|error| wrong_roots(ca_file, error))?;
    let config = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|error| wrong(format!("{error}; client_key must be its key")))?;
    Ok(Arc::new(config))
}

/// TLS with a client certificate, where the settings name one and its key.
pub(super) fn with_identity(
    ca_file: Option<&Path>,
    (certificate, key): (Option<PathBuf>, Option<&SecretReference>),
    around: &Surroundings<'_>,
) -> Result<Option<Arc<ClientConfig>>, String> {
    let (Some(certificate), Some(key)) = (certificate, key) else { return Ok(None) };
    let key = (around.secret)(key).map_err(|no_secret| no_secret.reason)?;
    client_config(ca_file, Some((&certificate, key))).map(Some)
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
        client_config(Some(&path), None).map(drop)
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
        let missing = client_config(Some(Path::new("/nonexistent/ca.pem")), None).expect_err("missing");
        assert!(missing.contains("/nonexistent/ca.pem"));
    }
}
