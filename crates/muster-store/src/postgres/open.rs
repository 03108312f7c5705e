//! Opening a PostgreSQL store: connecting to the host that can be written, making the tables, finding the keys.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use super::address::PostgresAddress;
use super::connect::CONNECT_TIMEOUT;
use super::database::Database;
use super::failure::worded;
use crate::known_keys::KnownKeys;
use crate::sql::{Connection, PostgresReaders, Query, query};
use crate::tables::meta::{check_not_moved, make_keys, signing_key};
use crate::{KeyRing, SigningKey, StoreError};

/// The steps from one layout of the tables to the next.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/postgres/0001_start.sql"),
    include_str!("../../migrations/postgres/0002_replay_id.sql"),
    include_str!("../../migrations/postgres/0003_notices.sql"),
];
/// The least layout that this version works with: a node of the version before goes on while others are upgraded, since each
/// step leaves what that version needs. `layout.works_with` says the same from the other side.
const WORKS_WITH: i64 = 1;
/// The least version of the server, as it numbers itself.
const SERVER_MIN: i64 = 140_000;

/// What an opened database is made of.
pub(crate) struct Opened {
    pub(crate) database: Arc<Database>,
    pub(crate) readers: PostgresReaders,
    pub(crate) keys: KnownKeys,
    pub(crate) signing_key: SigningKey,
}

/// The layout of a store's tables, as the database has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Nothing is there yet.
    None,
    /// Tables of this layout, good for programs that know this one.
    Known { version: i64, works_with: i64 },
}

/// Opens the store; `make` makes its tables where there are none.
pub(crate) async fn open(address: PostgresAddress, ring: &KeyRing, make: bool) -> Result<Opened, StoreError> {
    let shown = address.shown.clone();
    let failed = |error: sqlx::Error| worded(&error, &shown, "open");
    let database = Arc::new(Database::new(address));
    let keys = KnownKeys::new(shown.clone(), ring);
    let mut connection = database.connect().await.map_err(failed)?;
    check_server(&mut connection, &shown).await?;
    let opening = async {
        migrate(&mut connection, &database, ring, &keys, make).await?;
        connection.run(database.begin(false)).await.map_err(failed)?;
        check_not_moved(&mut connection, &shown).await?;
        let signing_key = signing_key(&mut connection, &shown, &keys).await?;
        connection.run("COMMIT").await.map_err(failed)?;
        Ok::<_, StoreError>(signing_key)
    };
    let signing_key = opening.await;
    // What was found out is known; how it ends changes nothing.
    drop(connection.close().await);
    let signing_key = signing_key?;
    let readers = readers(&database);
    Ok(Opened { database, readers, keys, signing_key })
}

/// The pool of those that read.
fn readers(database: &Arc<Database>) -> PostgresReaders {
    let address = &database.address;
    let begin =
        format!("{}; SET LOCAL idle_in_transaction_session_timeout TO 60000", address.begin_reading());
    let options = PgPoolOptions::new()
        .max_connections(address.connections)
        .acquire_timeout(CONNECT_TIMEOUT)
        .test_before_acquire(false)
        .idle_timeout(Duration::from_secs(300));
    let pool: PgPool = options.connect_lazy_with(address.options()[0].clone());
    let pool = database.readers.get_or_init(|| pool).clone();
    PostgresReaders { pool, begin: begin.into() }
}

async fn check_server(connection: &mut Connection, shown: &str) -> Result<(), StoreError> {
    let failed = |error: sqlx::Error| worded(&error, shown, "open");
    connection.run("BEGIN").await.map_err(failed)?;
    let read = async {
        let row =
            query("SELECT current_setting('server_version_num')::bigint, current_setting('server_encoding')");
        let row = row.fetch_one(&mut *connection).await?;
        Ok::<_, sqlx::Error>((row.try_get::<i64, _>(0)?, row.try_get::<String, _>(1)?))
    };
    let (version, encoding) = read.await.map_err(failed)?;
    connection.run("ROLLBACK").await.map_err(failed)?;
    let wrong = |detail: String| Err(StoreError::Refused { store: shown.to_owned(), detail });
    if version < SERVER_MIN {
        return wrong(format!("its server is PostgreSQL {}; Muster needs 14 or later", version / 10_000));
    }
    if encoding != "UTF8" {
        return wrong(format!("its database is encoded in {encoding}; make one with `ENCODING 'UTF8'`"));
    }
    Ok(())
}

/// Brings the tables up to date, under the lock of the whole store: of nodes that start at once, one does it.
async fn migrate(
    connection: &mut Connection,
    database: &Database,
    ring: &KeyRing,
    keys: &KnownKeys,
    make: bool,
) -> Result<(), StoreError> {
    let (shown, schema) = (&database.address.shown, &database.address.schema);
    let failed = |error: sqlx::Error| worded(&error, shown, "open");
    connection.run(database.begin(true)).await.map_err(failed)?;
    let known = versions();
    let version = match layout(connection, &database.address).await? {
        Layout::None if make => 0,
        found => usable(found, &database.address)?,
    };
    if version < known {
        if version == 0 {
            connection.run(&format!("CREATE SCHEMA IF NOT EXISTS {schema}")).await.map_err(failed)?;
            let layout = "CREATE TABLE layout (version BIGINT NOT NULL, works_with BIGINT NOT NULL);
                 COMMENT ON TABLE layout IS 'Muster'; INSERT INTO layout VALUES (0, 0)";
            connection.run(layout).await.map_err(failed)?;
        }
        // A step over a large table takes its time.
        connection.run("SET LOCAL statement_timeout TO 0").await.map_err(failed)?;
        for step in &MIGRATIONS[usize::try_from(version).expect("a small number")..] {
            connection.run(step).await.map_err(failed)?;
        }
        query("UPDATE layout SET version = ?, works_with = ?")
            .bind(known)
            .bind(WORKS_WITH)
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
        if version == 0 {
            let span = i64::try_from(database.address.partition.as_nanos()).unwrap_or(i64::MAX);
            let settings =
                "INSERT INTO meta (key, value) VALUES ('partition_span', ?), ('answers_known_after', '0')";
            query(settings).bind(span.to_string()).execute(&mut *connection).await.map_err(failed)?;
            make_keys(connection, shown, ring, keys).await?;
        }
    }
    connection.run("COMMIT").await.map_err(failed)
}

/// The layout that this version knows.
pub(crate) fn versions() -> i64 {
    i64::try_from(MIGRATIONS.len()).expect("a handful")
}

/// The version of the tables, where this one can work with them.
pub(crate) fn usable(found: Layout, address: &PostgresAddress) -> Result<i64, StoreError> {
    let (shown, schema) = (&address.shown, &address.schema);
    match found {
        Layout::None => {
            let detail =
                format!("there is no store in the schema {schema} of {shown}; `muster store init` makes one");
            Err(StoreError::Database { doing: "open", detail })
        }
        Layout::Known { works_with, .. } if works_with > versions() => {
            Err(StoreError::TooNew { store: shown.clone() })
        }
        Layout::Known { version, .. } => Ok(version),
    }
}

/// What is there, as seen within a transaction.
pub(crate) async fn layout(
    connection: &mut Connection,
    address: &PostgresAddress,
) -> Result<Layout, StoreError> {
    let (shown, schema) = (&address.shown, &address.schema);
    let failed = |error: sqlx::Error| worded(&error, shown, "open");
    // In another program's schema there are tables, and none that says that it is ours.
    let row = query(
        "SELECT (SELECT obj_description(c.oid, 'pg_class') FROM pg_class c
                 JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ?1 AND c.relname = 'layout'),
             (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ?1)",
    );
    let row = row.bind(schema).fetch_one(&mut *connection).await.map_err(failed)?;
    let (ours, tables): (Option<String>, i64) =
        (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
    match ours.as_deref() {
        Some("Muster") => {
            // By its whole name: where the schema may not be used, a short one would be said not to exist.
            let row = Query::of(format!("SELECT version, works_with FROM {schema}.layout"));
            let row = row.fetch_one(&mut *connection).await;
            let row = row.map_err(failed)?;
            let (version, works_with) = (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
            Ok(Layout::Known { version, works_with })
        }
        None if tables == 0 => Ok(Layout::None),
        _ => {
            let detail = format!("another program has made the tables in the schema {schema}");
            Err(StoreError::Damaged { store: shown.clone(), detail })
        }
    }
}
