//! Where a PostgreSQL store is, and how it is reached.

use std::path::PathBuf;
use std::time::Duration;

use muster_model::Secret;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// What the name of such a store begins with.
pub(crate) const SCHEME: &str = "postgres://";

/// How a PostgreSQL store is reached, as the settings say it.
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    /// `postgres://user@host:5432/database`; several hosts with commas between them, of which the one that can be written
    /// is used. `?host=/run/postgresql` is a socket's folder. Without a password.
    pub url: String,
    /// What the user proves itself by, where it does so by a password.
    pub password: Option<Secret<String>>,
    /// How the server is checked; where it is not said, whether it is on this machine decides.
    pub ssl_mode: Option<SslMode>,
    /// The authorities that the server's certificate is checked against (PEM), instead of the system's.
    pub ca: Option<PathBuf>,
    /// What the user proves itself by, where it does so by a certificate (PEM): certificate and key.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// The schema that the tables are in; made where it is missing.
    pub schema: String,
    /// How many connections read. One more writes.
    pub connections: u32,
    /// How long one statement may take.
    pub statement_timeout: Duration,
    /// So much time of the journal is in one partition, and is deleted at once.
    pub partition: Duration,
}

/// How the server is checked (<https://www.postgresql.org/docs/current/libpq-ssl.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// In the clear.
    Disable,
    /// Encrypted, whoever the server is.
    Require,
    /// By an authority that is trusted.
    VerifyCa,
    /// And by its name.
    VerifyFull,
}

/// Where a PostgreSQL store is.
#[derive(Clone)]
pub struct PostgresAddress {
    /// One for each host.
    options: Vec<PgConnectOptions>,
    /// Without a password.
    pub(crate) shown: String,
    pub(crate) schema: String,
    pub(crate) connections: u32,
    pub(crate) statement_timeout: Duration,
    pub(crate) partition: Duration,
}

impl std::fmt::Debug for PostgresAddress {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What else there is has the password in it.
        formatter.debug_tuple("PostgresAddress").field(&self.shown).finish()
    }
}

impl PostgresAddress {
    /// Reads it out of the settings.
    ///
    /// # Errors
    /// In words, when the URL is none, has a password in it, or the schema's name is no plain word.
    pub fn new(settings: &PostgresSettings) -> Result<Self, String> {
        let url = settings.url.trim();
        let rest = url.strip_prefix(SCHEME).or_else(|| url.strip_prefix("postgresql://"));
        let rest = rest.ok_or("it begins with `postgres://`")?;
        let plain = settings.schema.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        let begins = settings.schema.starts_with(|c: char| c.is_ascii_lowercase());
        if !plain || !begins || settings.schema.len() > 40 {
            return Err("the schema is named by small letters, digits and `_`, 40 at most".to_owned());
        }
        let place = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(place);
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (format!("{user}@"), hosts),
            None => (String::new(), authority),
        };
        if user.contains(':') {
            return Err(
                "it has a password in it, which anybody can read: set `password` to a reference".to_owned()
            );
        }
        let options = hosts.split(',').map(|host| {
            let one = format!("{SCHEME}{user}{host}{tail}");
            let options: PgConnectOptions = one.parse().map_err(|error: sqlx::Error| error.to_string())?;
            Ok(Self::with(options, settings))
        });
        let options = options.collect::<Result<Vec<_>, String>>()?;
        Ok(Self {
            options,
            shown: format!("{SCHEME}{authority}{}", tail.split('?').next().unwrap_or_default()),
            schema: settings.schema.clone(),
            connections: settings.connections.max(2),
            statement_timeout: settings.statement_timeout,
            partition: settings.partition,
        })
    }

    fn with(options: PgConnectOptions, settings: &PostgresSettings) -> PgConnectOptions {
        let host = options.get_host().to_owned();
        let is_here = options.get_socket().is_some()
            || host.starts_with('/')
            || host == "localhost"
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        let mode = match settings.ssl_mode {
            None if settings.url.contains("sslmode=") => options.get_ssl_mode(),
            Some(SslMode::Disable) => PgSslMode::Disable,
            Some(SslMode::Require) => PgSslMode::Require,
            Some(SslMode::VerifyCa) => PgSslMode::VerifyCa,
            Some(SslMode::VerifyFull) => PgSslMode::VerifyFull,
            // What goes over a network is encrypted, and to whom is checked, unless the settings say otherwise.
            None if is_here && settings.ca.is_none() => PgSslMode::Disable,
            None => PgSslMode::VerifyFull,
        };
        let mut options = options
            .ssl_mode(mode)
            .application_name("muster")
            // Poolers refuse what they do not know at the start of a session.
            .extra_float_digits(None)
            // Nothing is kept from one transaction to the next.
            .statement_cache_capacity(0)
            .disable_statement_logging();
        if let Some(password) = &settings.password {
            options = options.password(password.expose());
        }
        if let Some(ca) = &settings.ca {
            options = options.ssl_root_cert(ca);
        }
        if let Some((certificate, key)) = &settings.client_certificate {
            options = options.ssl_client_cert(certificate).ssl_client_key(key);
        }
        options
    }

    /// How each of the hosts is reached; one at least.
    pub(crate) fn options(&self) -> &[PgConnectOptions] {
        &self.options
    }

    /// What begins a transaction that reads, and sees the store as of one moment.
    pub(crate) fn begin_reading(&self) -> String {
        format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL search_path TO {}; SET LOCAL statement_timeout TO {}",
            self.schema,
            self.statement_timeout.as_millis()
        )
    }

    /// What begins a transaction that writes beside whoever has the lock of the whole store. The log of the server may get what it
    /// writes later.
    pub(crate) fn begin_beside(&self) -> String {
        format!(
            "BEGIN; SET LOCAL search_path TO {}; SET LOCAL synchronous_commit TO off; SET LOCAL statement_timeout TO {}",
            self.schema,
            self.statement_timeout.as_millis()
        )
    }

    /// The number of the lock of the whole store: of its schema, since locks are a database's.
    pub(crate) fn lock_key(&self) -> i64 {
        let hash = blake3::hash(format!("muster store {}", self.schema).as_bytes());
        i64::from_be_bytes(*hash.as_bytes().first_chunk().expect("32 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> PostgresSettings {
        PostgresSettings {
            url: url.to_owned(),
            password: Some(Secret::from("a-password")),
            ssl_mode: None,
            ca: None,
            client_certificate: None,
            schema: "muster".to_owned(),
            connections: 4,
            statement_timeout: Duration::from_secs(30),
            partition: Duration::from_secs(86_400),
        }
    }

    fn modes(address: &PostgresAddress) -> Vec<String> {
        address.options().iter().map(|options| format!("{:?}", options.get_ssl_mode())).collect()
    }

    #[test]
    fn what_goes_over_a_network_is_encrypted_and_checked() {
        let address = PostgresAddress::new(&settings("postgres://muster@db.example/muster")).expect("one");
        assert_eq!(modes(&address), ["VerifyFull"]);
        let address = PostgresAddress::new(&settings("postgres://muster@127.0.0.1/muster")).expect("one");
        assert_eq!(modes(&address), ["Disable"]);
        let weaker =
            PostgresSettings { ssl_mode: Some(SslMode::Require), ..settings("postgres://db.example/m") };
        assert_eq!(modes(&PostgresAddress::new(&weaker).expect("one")), ["Require"]);
    }

    #[test]
    fn several_hosts_are_several_ways() {
        let url = "postgres://muster@one.example:5433,two.example/muster?application_name=x";
        let address = PostgresAddress::new(&settings(url)).expect("two");
        let hosts = address.options().iter().map(|options| (options.get_host(), options.get_port()));
        assert_eq!(hosts.collect::<Vec<_>>(), [("one.example", 5433), ("two.example", 5432)]);
        assert_eq!(address.shown, "postgres://muster@one.example:5433,two.example/muster");
    }

    #[test]
    fn what_is_wrong_is_told_and_no_password_shown() {
        let said = |settings: &PostgresSettings| PostgresAddress::new(settings).expect_err("refused");
        assert!(said(&settings("mysql://db.example/muster")).contains("postgres://"));
        let refused = said(&settings("postgres://muster:hunter2@db.example/muster"));
        assert!(refused.contains("`password`") && !refused.contains("hunter2"), "{refused}");
        for schema in ["", "Muster", "a;drop schema public", "1a", "pg-x"] {
            let wrong = PostgresSettings { schema: schema.to_owned(), ..settings("postgres://db.example/m") };
            assert!(said(&wrong).contains("schema"), "{schema}");
        }
        let shown =
            format!("{:?}", PostgresAddress::new(&settings("postgres://a@db.example/m")).expect("one"));
        assert!(!shown.contains("a-password"), "{shown}");
    }
}
