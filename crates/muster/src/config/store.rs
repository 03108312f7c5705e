//! `[store]`: where Muster keeps what it remembers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_model::{ByteSize, Secret, SecretReference, Span};
use muster_store::{Address, PostgresAddress, PostgresSettings};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSettings {
    /// The database file, where it is no `url`.
    pub path: PathBuf,
    /// The PostgreSQL database that several Musters share: `postgres://user@host/database`.
    pub url: Option<String>,
    /// What the user of `url` proves itself by, if not by a certificate.
    pub password: Option<SecretReference>,
    /// The authorities that the database's certificate is checked against, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// What the user of `url` proves itself by: a certificate, and its key.
    pub client_certificate: Option<PathBuf>,
    pub client_key: Option<PathBuf>,
    /// The schema of the database that all is kept in.
    pub schema: String,
    /// How many connections read.
    pub connections: u32,
    /// How long the database may take for one statement.
    pub statement_timeout: Span,
    /// The master key that seals what is secret in it.
    pub master_key: SecretReference,
    /// How long delivered batches are kept in the journal.
    pub keep_journal: Span,
    /// How long it is remembered which versions of records were accepted.
    pub keep_versions: Span,
    /// How large the journal may become; as large as the disk where it is missing.
    pub journal_max_size: Option<ByteSize>,
    /// What happens when sinks are owed so much that it is.
    pub when_full: WhenFull,
}

/// What happens when the journal is full of what sinks are owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// Nothing new is collected until there is room. Nothing is lost while Microsoft keeps it.
    #[default]
    Stop,
    /// The oldest that sinks are owed is given up.
    DropOldest,
}

/// How large the journal may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalBound {
    pub bytes: u64,
    pub when_full: WhenFull,
}

impl JournalBound {
    /// So much of it.
    pub fn share(self, percent: u64) -> u64 {
        u64::try_from(u128::from(self.bytes) * u128::from(percent) / 100).unwrap_or(u64::MAX)
    }

    /// Whether nothing is collected while the journal takes so many bytes.
    pub fn stops_at(self, bytes: u64) -> bool {
        self.when_full == WhenFull::Stop && bytes >= self.bytes
    }
}

/// The journal is deleted by the day.
const PARTITION: Duration = Duration::from_secs(86_400);

impl StoreSettings {
    /// Where the store is. `password` is what the reference leads to.
    ///
    /// # Errors
    /// The key that is wrong, and why.
    pub fn address(
        &self,
        folder: &Path,
        password: Option<Secret<String>>,
    ) -> Result<Address, (&'static str, String)> {
        let Some(url) = &self.url else { return Ok(Address::Sqlite(folder.join(&self.path))) };
        let client_certificate = match (&self.client_certificate, &self.client_key) {
            (Some(certificate), Some(key)) => Some((folder.join(certificate), folder.join(key))),
            (None, None) => None,
            (Some(_), None) => return Err(("client_certificate", "name its key as `client_key`".to_owned())),
            (None, Some(_)) => return Err(("client_key", "name its `client_certificate`".to_owned())),
        };
        let settings = PostgresSettings {
            url: url.clone(),
            password,
            ssl_mode: None,
            ca: self.ca_file.as_ref().map(|file| folder.join(file)),
            client_certificate,
            schema: self.schema.clone(),
            connections: self.connections,
            statement_timeout: self.statement_timeout.0,
            partition: PARTITION,
        };
        let address = PostgresAddress::new(&settings);
        let key = |message: &String| if message.contains("schema") { "schema" } else { "url" };
        address.map(|address| Address::Postgres(Box::new(address))).map_err(|error| (key(&error), error))
    }

    /// How large the journal may become, where that is bounded.
    pub fn bound(&self) -> Option<JournalBound> {
        self.journal_max_size.map(|size| JournalBound { bytes: size.0, when_full: self.when_full })
    }
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            path: PathBuf::from("muster.db"),
            url: None,
            password: None,
            ca_file: None,
            client_certificate: None,
            client_key: None,
            schema: "muster".to_owned(),
            connections: 4,
            statement_timeout: Span(Duration::from_secs(30)),
            master_key: SecretReference::File(PathBuf::from("muster.key")),
            keep_journal: Span(Duration::from_secs(7 * 86_400)),
            keep_versions: Span(Duration::from_secs(30 * 86_400)),
            journal_max_size: None,
            when_full: WhenFull::default(),
        }
    }
}
