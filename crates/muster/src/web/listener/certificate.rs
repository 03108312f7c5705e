//! The certificate of the public listener: read from files, checked, and read again when they change or the program is
//! told to, so that a renewal needs no restart. What cannot be used never replaces what can.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use muster_model::Clock;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// From when on it is told that the certificate ends.
const WARN_BEFORE: Duration = Duration::from_secs(14 * 86_400);
/// A file larger than this is neither a certificate nor a key.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where the certificate and its key lie, and what they are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// The host that browsers ask for.
    pub host: String,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("{} cannot be read: {error}", .path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{} is no certificate or key: it is larger than 1 MiB", .0.display())]
    TooLarge(PathBuf),
    /// Others may read or write the key.
    #[error(
        "{} can be read or changed by others (mode {mode:04o}): chmod 600, or 640 with a group of its own",
        .path.display()
    )]
    Open { path: PathBuf, mode: u32 },
    #[error("{} holds no PEM certificate that can be read: {why}", .path.display())]
    NoCertificate { path: PathBuf, why: String },
    #[error("{} holds no PEM private key that can be read: {why}", .path.display())]
    NoKey { path: PathBuf, why: String },
    #[error("the key in {} does not belong to the certificate in {}: {why}", .key.display(), .certificate.display())]
    Apart { key: PathBuf, certificate: PathBuf, why: String },
    #[error("the certificate in {} is for {names}, not for {host} of public_url", .path.display())]
    OtherHost { path: PathBuf, names: String, host: String },
}

/// A certificate that can be used.
struct Usable {
    key: Arc<CertifiedKey>,
    until: Timestamp,
}

/// The certificate that is shown to browsers, and its files.
pub struct Certificates {
    files: CertificateFiles,
    clock: Arc<dyn Clock>,
    usable: RwLock<Option<Usable>>,
    /// What the files looked like when they were read last.
    seen: Mutex<Option<[Seen; 2]>>,
}

/// Tells one state of a file from another: the change time cannot be set back.
type Seen = Option<(u64, u64, u64, i64, i64)>;

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Certificates {
    /// Reads the files. Where they cannot be used, that is logged, and handshakes fail until they can: the pages wait for
    /// a certificate, and nothing else does.
    pub fn open(files: CertificateFiles, clock: Arc<dyn Clock>) -> Arc<Self> {
        let this = Self { files, clock, usable: RwLock::default(), seen: Mutex::default() };
        this.read_again();
        Arc::new(this)
    }

    pub fn files(&self) -> &CertificateFiles {
        &self.files
    }

    /// TLS 1.2 and 1.3 with what the files hold at each handshake.
    ///
    /// # Panics
    /// Never: the provider has the default versions.
    pub fn server_config(self: Arc<Self>) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("the provider has the default versions")
            .with_no_client_auth()
            .with_cert_resolver(self);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }

    /// Reads the files and uses what they hold; whether that could be done.
    pub fn read_again(&self) -> bool {
        *self.seen.lock().expect("no panic while the lock is held") = Some(self.look());
        match read(&self.files) {
            Ok(usable) => {
                let until = usable.until;
                *self.usable.write().expect("no panic while the lock is held") = Some(usable);
                tracing::info!(certificate = %self.files.certificate.display(), %until, "the pages' certificate is in use");
                self.warn_before_end(until);
                true
            }
            Err(error) => {
                let old = self.until();
                let going_on = match old {
                    Some(until) => format!("the one before stays in use until {until}"),
                    None => "no page can be served".to_owned(),
                };
                tracing::error!(%error, "the pages' certificate cannot be used: {going_on}; the files are looked at every 30 seconds");
                false
            }
        }
    }

    /// Reads the files again when they changed.
    pub fn look_after(&self) {
        let now = Some(self.look());
        let changed = *self.seen.lock().expect("no panic while the lock is held") != now;
        if changed {
            self.read_again();
        }
    }

    /// Looks after the files until told to stop, and tells each day when the certificate is about to end.
    pub async fn run(&self, stop: CancellationToken) {
        let (mut ticks, mut looks) = (tokio::time::interval(LOOK_EVERY), 0_u32);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.look_after();
            if let Some(until) = self.until() {
                #[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
                metrics::gauge!("muster_listener_certificate_expiry_timestamp_seconds")
                    .set(until.as_second() as f64);
                looks += 1;
                if looks.is_multiple_of(2_880) {
                    self.warn_before_end(until);
                }
            }
        }
    }

    /// When the certificate in use ends.
    pub fn until(&self) -> Option<Timestamp> {
        self.usable.read().expect("no panic while the lock is held").as_ref().map(|usable| usable.until)
    }

    fn warn_before_end(&self, until: Timestamp) {
        let now = self.clock.now();
        let path = self.files.certificate.display();
        if until <= now {
            tracing::error!(certificate = %path, %until, "the pages' certificate has ended: browsers refuse the pages; renew it");
        } else if now.checked_add(WARN_BEFORE).is_ok_and(|soon| until <= soon) {
            tracing::warn!(certificate = %path, %until, "the pages' certificate ends soon: renew it");
        }
    }

    fn look(&self) -> [Seen; 2] {
        let look = |path: &Path| {
            let seen = |file: Metadata| (file.dev(), file.ino(), file.len(), file.ctime(), file.ctime_nsec());
            std::fs::metadata(path).ok().map(seen)
        };
        [look(&self.files.certificate), look(&self.files.key)]
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let usable = self.usable.read().expect("no panic while the lock is held");
        usable.as_ref().map(|usable| Arc::clone(&usable.key))
    }
}

/// Whether the files can be used, for `muster validate`.
///
/// # Errors
/// Why not.
pub fn check(files: &CertificateFiles) -> Result<Timestamp, CertificateError> {
    read(files).map(|usable| usable.until)
}

fn read(files: &CertificateFiles) -> Result<Usable, CertificateError> {
    let (pem, _) = read_file(&files.certificate)?;
    let no_certificate =
        |why: String| CertificateError::NoCertificate { path: files.certificate.clone(), why };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|error| no_certificate(error.to_string()))?;
    let Some(first) = chain.first() else {
        return Err(no_certificate("no BEGIN CERTIFICATE in it".to_owned()));
    };
    let until = end_and_host(first, files)?;
    let (pem, mode) = read_file(&files.key)?;
    if mode & 0o037 != 0 {
        return Err(CertificateError::Open { path: files.key.clone(), mode });
    }
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|error| CertificateError::NoKey { path: files.key.clone(), why: error.to_string() })?;
    let key = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| {
        CertificateError::Apart {
            key: files.key.clone(),
            certificate: files.certificate.clone(),
            why: error.to_string(),
        }
    })?;
    Ok(Usable { key: Arc::new(key), until })
}

/// When the certificate ends; it is for the host of the pages.
fn end_and_host(der: &[u8], files: &CertificateFiles) -> Result<Timestamp, CertificateError> {
    let wrong = |why: String| CertificateError::NoCertificate { path: files.certificate.clone(), why };
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| wrong(error.to_string()))?;
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let names: Vec<String> = names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        })
        .collect();
    if !names.iter().any(|name| is_for(name, &files.host)) {
        return Err(CertificateError::OtherHost {
            path: files.certificate.clone(),
            names: if names.is_empty() { "no name".to_owned() } else { names.join(", ") },
            host: files.host.clone(),
        });
    }
    let until = certificate.validity().not_after.timestamp();
    Timestamp::from_second(until).map_err(|error| wrong(error.to_string()))
}

fn address(bytes: &[u8]) -> Option<String> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|bytes| std::net::IpAddr::from(bytes).to_string()),
        16 => <[u8; 16]>::try_from(bytes).ok().map(|bytes| std::net::IpAddr::from(bytes).to_string()),
        _ => None,
    }
}

/// A `*` stands for one label, the first (RFC 6125).
fn is_for(name: &str, host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match name.strip_prefix("*.") {
        Some(rest) => host.split_once('.').is_some_and(|(_, of)| of.eq_ignore_ascii_case(rest)),
        None => name.eq_ignore_ascii_case(host),
    }
}

fn read_file(path: &Path) -> Result<(Vec<u8>, u32), CertificateError> {
    let unreadable = |error| CertificateError::Unreadable { path: path.to_owned(), error };
    // A pipe would be waited for, for ever.
    let kind = std::fs::metadata(path).map_err(unreadable)?;
    if !kind.is_file() {
        return Err(unreadable(io::Error::other("it is no file")));
    }
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
    let mut bytes = Vec::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(CertificateError::TooLarge(path.to_owned()));
    }
    Ok((bytes, mode))
}
