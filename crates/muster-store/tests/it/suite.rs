//! The conformance suite on both engines.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use muster_store::conformance::{Engine, run_all};
use muster_store::{MasterKey, OpenMode, PostgresSettings, SqlStore, Store};

use crate::cluster::{Cluster, address};

struct Sqlite {
    folder: tempfile::TempDir,
    stores: usize,
    key: MasterKey,
}

impl Sqlite {
    fn path(&self) -> PathBuf {
        self.folder.path().join(format!("{}.db", self.stores))
    }
}

#[async_trait]
impl Engine for Sqlite {
    async fn fresh(&mut self) -> Box<dyn Store> {
        self.stores += 1;
        Box::new(SqlStore::create(&self.path(), &self.key).await.expect("created"))
    }

    async fn reopened(&mut self) -> Box<dyn Store> {
        Box::new(
            SqlStore::open(&self.path(), OpenMode::Exclusive, &self.key.clone().into())
                .await
                .expect("opened"),
        )
    }

    async fn beside(&mut self) -> Box<dyn Store> {
        let keys = self.key.clone().into();
        Box::new(SqlStore::open(&self.path(), OpenMode::Shared, &keys).await.expect("opened"))
    }
}

#[tokio::test]
async fn sqlite_conforms() {
    let folder = tempfile::tempdir().expect("a folder");
    run_all(&mut Sqlite { folder, stores: 0, key: MasterKey::generate() }).await;
}

struct Postgres {
    cluster: Arc<Cluster>,
    settings: PostgresSettings,
    key: MasterKey,
}

#[async_trait]
impl Engine for Postgres {
    async fn fresh(&mut self) -> Box<dyn Store> {
        self.settings = self.cluster.new_store();
        // A partition for each second, so that what is old goes as soon as it is.
        self.settings.partition = Duration::from_secs(1);
        Box::new(SqlStore::create_in(address(&self.settings), &self.key).await.expect("created"))
    }

    async fn reopened(&mut self) -> Box<dyn Store> {
        self.beside().await
    }

    fn is_owned_by_one(&self) -> bool {
        false
    }

    async fn beside(&mut self) -> Box<dyn Store> {
        let keys = self.key.clone().into();
        Box::new(SqlStore::open_in(address(&self.settings), &keys).await.expect("opened"))
    }
}

#[tokio::test]
async fn postgres_conforms() {
    let Some(cluster) = Cluster::shared() else { return };
    let settings = cluster.new_store();
    run_all(&mut Postgres { cluster, settings, key: MasterKey::generate() }).await;
}
