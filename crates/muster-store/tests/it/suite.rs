//! The conformance suite on SQLite.

use std::path::PathBuf;

use async_trait::async_trait;
use muster_store::conformance::{Engine, run_all};
use muster_store::{MasterKey, OpenMode, SqliteStore, Store};

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
        Box::new(SqliteStore::create(&self.path(), &self.key).await.expect("created"))
    }

    async fn reopened(&mut self) -> Box<dyn Store> {
        Box::new(
            SqliteStore::open(&self.path(), OpenMode::Exclusive, &self.key.clone().into())
                .await
                .expect("opened"),
        )
    }

    async fn beside(&mut self) -> Box<dyn Store> {
        let keys = self.key.clone().into();
        Box::new(SqliteStore::open(&self.path(), OpenMode::Shared, &keys).await.expect("opened"))
    }
}

#[tokio::test]
async fn conforms() {
    let folder = tempfile::tempdir().expect("a folder");
    run_all(&mut Sqlite { folder, stores: 0, key: MasterKey::generate() }).await;
}
