//! Heartbeats of those that run.

use async_trait::async_trait;
use muster_model::text::plain;

use uuid::Uuid;

use super::rows::{odd, owner};
use crate::engine::SqlStore;
use crate::sql::{Row, query};
use crate::stored::{bounded, nanoseconds, timestamp};
use crate::writer::Durability;
use crate::{Heartbeat, Heartbeats, InstanceId, StoreError};

/// Of how many instances the last heartbeat is kept.
const KEPT: i64 = 16;

#[async_trait]
impl Heartbeats for SqlStore {
    async fn beat(&self, heartbeat: Heartbeat) -> Result<(), StoreError> {
        let durability = match heartbeat.stopped_at {
            None => Durability::Relaxed,
            Some(_) => Durability::Synced,
        };
        self.write("write the heartbeat", durability, move |connection| {
            Box::pin(async move {
                let Heartbeat { instance, host, pid, version, started_at, beat_at, stopped_at, troubles } =
                    heartbeat;
                query(
                    "INSERT INTO heartbeat (instance, host, pid, version, started_at, beat_at, stopped_at, troubles)
                     VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                     ON CONFLICT (instance) DO UPDATE SET beat_at = excluded.beat_at,
                         stopped_at = excluded.stopped_at, troubles = excluded.troubles",
                )
                .bind(owner(instance))
                .bind(bounded(&plain(&host)))
                .bind(pid)
                .bind(version)
                .bind(nanoseconds(started_at))
                .bind(nanoseconds(beat_at))
                .bind(stopped_at.map(nanoseconds))
                .bind(serde_json::to_string(&troubles).map_err(odd)?)
                .execute(&mut *connection)
                .await?;
                query(
                    "DELETE FROM heartbeat WHERE heartbeat_no NOT IN
                         (SELECT heartbeat_no FROM heartbeat ORDER BY heartbeat_no DESC LIMIT ?)",
                )
                .bind(KEPT)
                .execute(&mut *connection)
                .await?;
                Ok(())
            })
        })
        .await
    }

    async fn heartbeats(&self) -> Result<Vec<Heartbeat>, StoreError> {
        let failed = self.failed("look for heartbeats");
        let rows = query("SELECT * FROM heartbeat ORDER BY heartbeat_no DESC");
        let rows = rows.fetch_all(&self.readers).await.map_err(&failed)?;
        rows.iter().map(read_heartbeat).collect::<Result<_, _>>().map_err(failed)
    }
}

fn read_heartbeat(row: &Row) -> Result<Heartbeat, sqlx::Error> {
    let instance: Vec<u8> = row.try_get("instance")?;
    Ok(Heartbeat {
        instance: InstanceId(Uuid::from_slice(&instance).map_err(odd)?),
        host: row.try_get("host")?,
        pid: row.try_get("pid")?,
        version: row.try_get("version")?,
        started_at: timestamp(row.try_get("started_at")?),
        beat_at: timestamp(row.try_get("beat_at")?),
        stopped_at: row.try_get::<Option<i64>, _>("stopped_at")?.map(timestamp),
        troubles: serde_json::from_str(row.try_get("troubles")?).map_err(odd)?,
    })
}
