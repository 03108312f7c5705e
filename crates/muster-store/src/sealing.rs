//! Sealing of what is kept at rest: AES-256-GCM, bound to the table, the row and the column.
//!
//! The [`MasterKey`] lies outside the database. It seals the store's signing key, the credentials that Muster made for
//! its apps, and one data key per tenant. That seals the tenant's journal, dead letters, grants and sign-ins, so that
//! forgetting a tenant is destroying one small row. A sealed value moved to another row or column does not open.
//!
//! The sealed form: one byte of version, four bytes that name the key, twelve of nonce, the ciphertext, sixteen of tag.

use std::fmt;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use muster_model::{Secret, TenantId};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroize;

const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;
const ID_BYTES: usize = 4;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const HEADER_BYTES: usize = 1 + ID_BYTES + NONCE_BYTES;

/// The key that seals every tenant's data key, the signing key and the apps' credentials. It is kept outside the database: in a file that only its owner can
/// read, or wherever a secret of the settings comes from.
#[derive(Clone)]
pub struct MasterKey(Key);

/// What to do about a file that cannot be read.
fn hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            "; put the copy back that is kept apart from the store, or name where it is in `master_key`"
        }
        std::io::ErrorKind::PermissionDenied => "; let the user that Muster runs as read it",
        _ => "",
    }
}

/// Why there is no master key to work with.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The file cannot be read or written.
    #[error("cannot use the master key file {path}: {source}{}", hint(.source))]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others than the owner may read the file.
    #[error("the master key file {path} can be read by others (mode {mode:04o}): run `chmod 600 {path}`")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Another process changes the file.
    #[error(
        "the master key file {path} is being changed by another process: wait until it is done, and try again"
    )]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The file begins with a byte-order mark.
    #[error(
        "the master key file {path} begins with a byte-order mark: save it as plain text, without one and not as UTF-16"
    )]
    Marked {
        /// The file.
        path: PathBuf,
    },
    /// Not the Base64 form of 32 bytes.
    #[error(
        "the master key is not 32 bytes in Base64; `muster init` makes one, and `openssl rand -base64 32` does"
    )]
    Malformed,
}

/// Why a sealed value does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealingError {
    /// Too short, or a form that this version does not know.
    #[error("it does not look like a sealed value of this version")]
    Format,
    /// Another key sealed it.
    #[error(
        "it was sealed with key {sealed_with}, but the key at hand is {at_hand}; give the right master key"
    )]
    WrongKey {
        /// The name of the key that sealed it.
        sealed_with: String,
        /// The name of the key that was tried.
        at_hand: String,
    },
    /// Damaged, forged, or moved here from another row.
    #[error("it was damaged, changed, or moved here from another place")]
    Damaged,
}

/// A sealed value, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl MasterKey {
    /// A new random key.
    #[must_use]
    pub fn generate() -> Self {
        Self(Key::generate())
    }

    /// Reads a key in Base64.
    ///
    /// # Errors
    /// When it is not 32 bytes.
    pub fn from_base64(text: &Secret<String>) -> Result<Self, MasterKeyError> {
        let mut decoded = STANDARD.decode(text.expose().trim()).map_err(|_| MasterKeyError::Malformed)?;
        let key = Key::from_slice(&decoded);
        decoded.zeroize();
        key.map(Self).ok_or(MasterKeyError::Malformed)
    }

    /// The key in Base64, to be kept somewhere safe.
    #[must_use]
    pub fn to_base64(&self) -> Secret<String> {
        Secret::new(STANDARD.encode(self.0.bytes.expose()))
    }

    /// Writes the key to a new file that only its owner can read, synced to disk: a store whose key is lost cannot
    /// be opened.
    ///
    /// # Errors
    /// When the file exists already or cannot be written.
    pub fn write_new_file(&self, path: &Path) -> Result<(), MasterKeyError> {
        let failed = |source| MasterKeyError::File { path: path.to_owned(), source };
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        let text = self.to_base64();
        file.write_all(text.expose().as_bytes()).map_err(failed)?;
        file.write_all(b"\n").map_err(failed)?;
        file.sync_all().map_err(failed)
    }

    /// A short name of the key that tells nothing about it.
    #[must_use]
    pub fn id(&self) -> String {
        self.0.name()
    }

    /// Whether it is the key that sealed `sealed`, as far as that says.
    pub(crate) fn sealed(&self, sealed: &Sealed) -> bool {
        sealed.key_id() == Some(&self.0.id)
    }

    /// Seals what belongs to no tenant alone, for this column and row.
    pub(crate) fn seal(&self, column: &'static str, row: &[u8], plain: &[u8]) -> Sealed {
        self.0.seal(&binding(column, row), plain)
    }

    /// Opens what was sealed for this column and row.
    pub(crate) fn open(
        &self,
        column: &'static str,
        row: &[u8],
        sealed: Sealed,
    ) -> Result<Secret<Vec<u8>>, SealingError> {
        self.0.open(&binding(column, row), sealed).map(Secret::new)
    }

    /// Seals a tenant's data key.
    pub(crate) fn seal_data_key(&self, key: &DataKey, tenant: TenantId) -> Sealed {
        self.seal(DATA_KEY, tenant.as_uuid().as_bytes(), key.0.bytes.expose())
    }

    /// Opens a tenant's data key.
    pub(crate) fn open_data_key(&self, sealed: Sealed, tenant: TenantId) -> Result<DataKey, SealingError> {
        let bytes = self.open(DATA_KEY, tenant.as_uuid().as_bytes(), sealed)?;
        Key::from_slice(bytes.expose()).map(DataKey).ok_or(SealingError::Format)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Sealed {
    /// A value read back from where it was stored.
    #[must_use]
    pub fn from_stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The name of the key that sealed it.
    pub(crate) fn key_name(&self) -> Option<String> {
        self.key_id().map(|id| name(id))
    }

    fn key_id(&self) -> Option<&[u8; ID_BYTES]> {
        self.0.get(1..=ID_BYTES)?.try_into().ok()
    }
}

/// The key that seals what is kept of one tenant.
#[derive(Clone)]
pub(crate) struct DataKey(Key);

/// What a sealed value of a tenant is bound to: where it is kept. What is sealed for one place opens at no other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Binding<'a> {
    /// Table and column.
    pub(crate) column: &'static str,
    pub(crate) tenant: TenantId,
    /// What identifies the row.
    pub(crate) row: &'a [u8],
}

impl DataKey {
    pub(crate) fn generate() -> Self {
        Self(Key::generate())
    }

    pub(crate) fn seal(&self, binding: Binding<'_>, plain: &[u8]) -> Sealed {
        self.0.seal(&binding.bytes(), plain)
    }

    pub(crate) fn open(&self, binding: Binding<'_>, sealed: Sealed) -> Result<Vec<u8>, SealingError> {
        self.0.open(&binding.bytes(), sealed)
    }
}

impl DataKey {
    /// Opens a secret text.
    pub(crate) fn open_text(
        &self,
        binding: Binding<'_>,
        sealed: Sealed,
    ) -> Result<Secret<String>, SealingError> {
        String::from_utf8(self.open(binding, sealed)?).map(Secret::new).map_err(|error| {
            error.into_bytes().zeroize();
            SealingError::Format
        })
    }
}

impl Binding<'_> {
    fn bytes(&self) -> Vec<u8> {
        [self.column.as_bytes(), &[0], self.tenant.as_uuid().as_bytes(), self.row].concat()
    }
}

/// The column of the tenants' data keys.
const DATA_KEY: &str = "tenant.data_key";

/// Where a value of no tenant alone is kept.
fn binding(column: &'static str, row: &[u8]) -> Vec<u8> {
    [column.as_bytes(), &[0], row].concat()
}

/// `fields` as one, each behind its length, so that none can run into another.
pub(crate) fn framed(fields: &[&[u8]]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(fields.iter().map(|field| field.len() + 4).sum());
    for field in fields {
        let length = u32::try_from(field.len()).expect("far below 4 GiB");
        framed.extend_from_slice(&length.to_be_bytes());
        framed.extend_from_slice(field);
    }
    framed
}

/// Random bytes of the operating system.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// An AES-256 key. The expanded form is made for each use, so that what lives long is wiped in the end.
#[derive(Clone)]
struct Key {
    bytes: Secret<[u8; KEY_BYTES]>,
    id: [u8; ID_BYTES],
}

impl Key {
    fn generate() -> Self {
        let mut bytes = random::<KEY_BYTES>();
        let key = Self::from_slice(&bytes).expect("of the right length");
        bytes.zeroize();
        key
    }

    fn from_slice(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; KEY_BYTES] = bytes.try_into().ok()?;
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&blake3::derive_key("muster 2026 name of a sealing key", &bytes)[..ID_BYTES]);
        Some(Self { bytes: Secret::new(bytes), id })
    }

    fn name(&self) -> String {
        name(&self.id)
    }

    fn cipher(&self) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, self.bytes.expose()).expect("of the right length"))
    }

    fn seal(&self, binding: &[u8], plain: &[u8]) -> Sealed {
        let nonce = random::<NONCE_BYTES>();
        let mut out = Vec::with_capacity(HEADER_BYTES + plain.len() + TAG_BYTES);
        out.push(VERSION);
        out.extend_from_slice(&self.id);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(plain);
        let tag = self
            .cipher()
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(binding),
                &mut out[HEADER_BYTES..],
            )
            .expect("far below the length limit of AES-GCM");
        out.extend_from_slice(tag.as_ref());
        Sealed(out)
    }

    fn open(&self, binding: &[u8], sealed: Sealed) -> Result<Vec<u8>, SealingError> {
        let mut bytes = sealed.0;
        if bytes.len() < HEADER_BYTES + TAG_BYTES || bytes[0] != VERSION {
            return Err(SealingError::Format);
        }
        if bytes[1..=ID_BYTES] != self.id {
            return Err(SealingError::WrongKey {
                sealed_with: name(&bytes[1..=ID_BYTES]),
                at_hand: self.name(),
            });
        }
        let nonce = Nonce::try_assume_unique_for_key(&bytes[1 + ID_BYTES..HEADER_BYTES])
            .expect("of the right length");
        let opened = self.cipher().open_within(nonce, Aad::from(binding), &mut bytes, HEADER_BYTES..);
        let length = opened.map_err(|_| SealingError::Damaged)?.len();
        bytes.truncate(length);
        Ok(bytes)
    }
}

fn name(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use muster_model::{Secret, TenantId};
    use uuid::Uuid;

    use super::{Binding, DataKey, MasterKey, MasterKeyError, Sealed, SealingError};

    fn tenant(number: u128) -> TenantId {
        Uuid::from_u128(number).into()
    }

    #[test]
    fn what_is_sealed_opens_at_its_place_only() {
        let key = DataKey::generate();
        let binding = Binding { column: "journal_batch.sealed", tenant: tenant(1), row: b"row one" };
        let sealed = key.seal(binding, b"an alert");
        assert_eq!(key.open(binding, sealed.clone()).unwrap(), b"an alert");
        for other in [
            Binding { column: "dead_letter.sealed", ..binding },
            Binding { tenant: tenant(2), ..binding },
            Binding { row: b"row two", ..binding },
        ] {
            assert_eq!(key.open(other, sealed.clone()), Err(SealingError::Damaged));
        }
    }

    #[test]
    fn each_changed_byte_is_noticed() {
        let key = DataKey::generate();
        let binding = Binding { column: "c", tenant: tenant(1), row: b"r" };
        let sealed = key.seal(binding, b"an alert").into_bytes();
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(key.open(binding, Sealed::from_stored(changed)).is_err(), "byte {index}");
        }
        for length in 0..sealed.len() {
            assert!(
                key.open(binding, Sealed::from_stored(sealed[..length].to_vec())).is_err(),
                "{length} bytes"
            );
        }
    }

    #[test]
    fn a_wrong_master_key_is_told() {
        let (right, wrong) = (MasterKey::generate(), MasterKey::generate());
        let sealed = right.seal_data_key(&DataKey::generate(), tenant(1));
        let error = wrong.open_data_key(sealed.clone(), tenant(1)).err().expect("the wrong key");
        assert_eq!(error, SealingError::WrongKey { sealed_with: right.id(), at_hand: wrong.id() });
        assert_eq!(right.open_data_key(sealed.clone(), tenant(2)).err(), Some(SealingError::Damaged));
        assert!(right.open_data_key(sealed, tenant(1)).is_ok());
    }

    #[test]
    fn keys_are_not_shown() {
        let key = MasterKey::generate();
        assert_eq!(format!("{key:?}"), "[secret]");
        let again = MasterKey::from_base64(&key.to_base64()).unwrap();
        assert_eq!(again.id(), key.id());
        for wrong in ["", "c2hvcnQ=", "not base64!"] {
            assert!(matches!(MasterKey::from_base64(&Secret::from(wrong)), Err(MasterKeyError::Malformed)));
        }
    }
}
