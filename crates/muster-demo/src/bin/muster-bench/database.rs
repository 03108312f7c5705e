//! A database of its own on a PostgreSQL server that runs, for a bench of Muster on it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::Command;

use crate::process;

/// A database, which is made for this run and dropped behind it.
pub(crate) struct Database {
    /// Of the server, with any database that is there.
    server: String,
    /// Of the one that was made.
    pub(crate) url: String,
    name: String,
}

impl Database {
    /// Makes one on the server at this address (`postgres://USER@HOST:PORT`), with the user's right to do so.
    pub(crate) async fn create(server: &str) -> anyhow::Result<Self> {
        let name = format!("muster_bench_{}", std::process::id());
        let at = server.strip_prefix("postgres://").context("--store takes postgres://USER@HOST:PORT")?;
        let at = at.split('/').next().unwrap_or_default();
        let database = Self {
            server: format!("postgres://{at}/postgres"),
            url: format!("postgres://{at}/{name}"),
            name,
        };
        drop_then_create(&database).await?;
        Ok(database)
    }

    /// What it takes on the server's disk.
    pub(crate) async fn bytes(&self) -> anyhow::Result<u64> {
        let bytes = sql(&self.url, "SELECT pg_database_size(current_database())").await?;
        bytes.trim().parse().with_context(|| format!("psql answers {bytes:?}"))
    }

    /// The processor time of the server's processes that serve it now, where the server is on this machine. What writes the log and
    /// the pages behind them is not in it.
    pub(crate) async fn cpu(&self) -> anyhow::Result<Duration> {
        let of = format!(
            "SELECT pid FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()",
            self.name
        );
        let pids = sql(&self.url, &of).await?;
        let pids = pids.lines().filter_map(|pid| pid.trim().parse().ok());
        Ok(pids.filter_map(process::cpu_of).sum())
    }

    /// Drops it.
    pub(crate) async fn remove(&self) -> anyhow::Result<()> {
        sql(&self.server, &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)).await.map(drop)
    }
}

async fn drop_then_create(database: &Database) -> anyhow::Result<()> {
    database.remove().await?;
    sql(&database.server, &format!("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0", database.name))
        .await
        .map(drop)
}

/// The bytes of a store in a file, with the files beside it.
pub(crate) fn file_bytes(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b"muster.db") {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

async fn sql(url: &str, sql: &str) -> anyhow::Result<String> {
    let mut command = Command::new("psql");
    command.args(["-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-c", sql, url]);
    let output = command.kill_on_drop(true).output().await.context("cannot start psql")?;
    if !output.status.success() {
        bail!("psql: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
