//! Where a test's store is: in a file, or in a schema of a PostgreSQL database.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use muster_model::{Clock as _, SystemClock};
use muster_store::{
    Address, InstanceId, KeyRing, Leases, MasterKey, Nodes, OpenMode, PostgresSettings, SqlStore,
};

use crate::cluster::{Cluster, address, settings};

/// What tells a worker where its store is, in the folder that it starts in.
const LOCATION: &str = "location";

/// Where a store is.
#[derive(Clone)]
pub(crate) enum Location {
    /// In this file.
    Sqlite(PathBuf),
    /// In a schema of a server.
    Postgres(PostgresSettings),
}

impl Location {
    /// A file `name` in `folder`, or a new schema of `cluster`.
    pub(crate) fn new(folder: &Path, name: &str, cluster: Option<&Cluster>) -> Self {
        match cluster {
            None => Self::Sqlite(folder.join(name)),
            Some(cluster) => Self::Postgres(cluster.new_store()),
        }
    }

    /// Makes a store there.
    pub(crate) async fn create(&self, key: &MasterKey) -> SqlStore {
        match self {
            Self::Sqlite(path) => SqlStore::create(path, key).await,
            Self::Postgres(settings) => SqlStore::create_in(address(settings), key).await,
        }
        .expect("created")
    }

    /// Opens the one that is there.
    pub(crate) async fn open(&self, mode: OpenMode, keys: &KeyRing) -> SqlStore {
        match self {
            Self::Sqlite(path) => SqlStore::open(path, mode, keys).await,
            Self::Postgres(settings) => SqlStore::open_in(address(settings), keys).await,
        }
        .expect("opened")
    }

    /// As the store's own functions name it.
    pub(crate) fn address(&self) -> Address {
        match self {
            Self::Sqlite(path) => Address::Sqlite(path.clone()),
            Self::Postgres(settings) => Address::Postgres(Box::new(address(settings))),
        }
    }

    /// Writes down for a worker in `folder` where it is.
    pub(crate) fn tell_worker(&self, folder: &Path) {
        let told = match self {
            Self::Sqlite(path) => format!("sqlite {}", path.display()),
            Self::Postgres(settings) => format!("{} {}", settings.url, settings.schema),
        };
        std::fs::write(folder.join(LOCATION), told).expect("written");
    }

    /// What a worker in `folder` was told; nothing where it was started by hand.
    pub(crate) fn of_worker(folder: &Path) -> Option<Self> {
        let told = std::fs::read_to_string(folder.join(LOCATION)).ok()?;
        let (first, second) = told.split_once(' ').expect("two words");
        Some(match first {
            "sqlite" => Self::Sqlite(second.into()),
            url => Self::Postgres(settings(url, second)),
        })
    }
}

/// Goes on as `instance` after the process that was `dead`, which has been killed. With SQLite the file is this process's own now;
/// with PostgreSQL the dead one has been silent for a while, and whoever tells first that it lives ends what it held.
pub(crate) async fn succeed(
    store: &SqlStore,
    cluster: Option<&Cluster>,
    location: &Location,
    [dead, instance]: [InstanceId; 2],
    now: Timestamp,
) {
    if let (Some(cluster), Location::Postgres(settings)) = (cluster, location) {
        store.live(dead, SystemClock.now()).await.expect("told");
        let silent = format!(
            "UPDATE {}.node SET seen_at = seen_at - interval '11 seconds' WHERE instance = '\\x{}'",
            settings.schema,
            dead.0.simple()
        );
        cluster.sql("muster", &silent);
        store.live(instance, SystemClock.now()).await.expect("told");
        // The workers of a test share all tenants.
        store.leave(instance).await.expect("told");
    }
    store.take_over(instance, now).await.expect("taken over");
}
