//! Who of the nodes does what. Only PostgreSQL has such tables: a file is one process's.

use std::collections::HashSet;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::TenantId;
use uuid::Uuid;

use super::living::{end_leases_of, end_named_leases_of, lives};
use super::rows::{odd, owner, parsed};
use crate::engine::{Engine, SqlStore};
use crate::failure::Failure;
use crate::postgres::database::Database;
use crate::sql::{Connection, query};
use crate::stored::{count, nanoseconds};
use crate::writer::Durability;
use crate::{InstanceId, Node, Nodes, StoreError};

/// A clock that is further from the database's than this says nothing about leases. In nanoseconds.
const APART_MAX: i64 = 30_000_000_000;
/// A connection that rested and has not answered by then is given up.
const RESTED_WITHIN: Duration = Duration::from_secs(3);
const DOING: &str = "look who is at work";
const LIVING: &str = "say that this node lives";

/// The tenants of a node: those whose number leaves `rank` when divided by `nodes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) nodes: i64,
    pub(super) rank: i64,
}

impl Share {
    /// All of them.
    const ALL: Self = Self { nodes: 1, rank: 0 };
}

/// What came of a node's saying that it lives.
enum Said {
    /// Its clock is so many nanoseconds before the database's, or after it.
    ClockApart(i64),
    AsBefore,
    /// It is new itself, or another one is silent.
    SomebodyCameOrWent,
}

/// Beside whoever has the lock of the whole store, and on a connection of its own: whoever waits for its turn to read or write lives, and
/// must not be taken for dead meanwhile. What it has sent would be sent again.
async fn say_that_it_lives(
    database: &Database,
    instance: InstanceId,
    now: Timestamp,
) -> Result<Said, sqlx::Error> {
    let mut kept = database.beside.lock().await;
    // One that rested may have been cut meanwhile, or its server is no longer the one that takes writes.
    if let Some(mut rested) = kept.take()
        && let Ok(Ok(said)) =
            tokio::time::timeout(RESTED_WITHIN, say_on(&mut rested, &database.begin_beside, instance, now))
                .await
    {
        *kept = Some(rested);
        return Ok(said);
    }
    let mut made = database.connect().await?;
    let said = say_on(&mut made, &database.begin_beside, instance, now).await?;
    *kept = Some(made);
    Ok(said)
}

async fn say_on(
    connection: &mut Connection,
    begin: &str,
    instance: InstanceId,
    now: Timestamp,
) -> Result<Said, sqlx::Error> {
    connection.run(begin).await?;
    let row = query(concat!(
        "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000000 AS BIGINT),
             (SELECT count(*) FROM node WHERE NOT ",
        lives!(),
        ")"
    ));
    let row = row.fetch_one(&mut *connection).await?;
    let (theirs, silent): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let apart = nanoseconds(now) - theirs;
    if apart.abs() > APART_MAX {
        connection.run("ROLLBACK").await?;
        return Ok(Said::ClockApart(apart));
    }
    let lives = query("UPDATE node SET seen_at = clock_timestamp() WHERE instance = ?");
    let told = lives.bind(owner(instance)).execute(&mut *connection).await?;
    connection.run("COMMIT").await?;
    Ok(match told.rows_affected() > 0 && silent == 0 {
        true => Said::AsBefore,
        false => Said::SomebodyCameOrWent,
    })
}

#[async_trait]
impl Nodes for SqlStore {
    async fn live(&self, instance: InstanceId, now: Timestamp) -> Result<(), StoreError> {
        let Engine::Postgres(database, _) = &self.engine else { return Ok(()) };
        let said = say_that_it_lives(database, instance, now).await.map_err(self.failed(LIVING))?;
        match said {
            Said::ClockApart(nanoseconds) => {
                return Err(StoreError::ClockApart { seconds: nanoseconds / 1_000_000_000 });
            }
            Said::AsBefore => return Ok(()),
            Said::SomebodyCameOrWent => {}
        }
        // Who comes or goes changes everybody's share.
        self.write(LIVING, Durability::Relaxed, move |connection| {
            Box::pin(async move {
                query(
                    "INSERT INTO node (instance, seen_at) VALUES (?, clock_timestamp())
                     ON CONFLICT (instance) DO UPDATE SET seen_at = excluded.seen_at",
                )
                .bind(owner(instance))
                .execute(&mut *connection)
                .await?;
                let dead = query(concat!("SELECT instance FROM node WHERE NOT ", lives!()));
                for row in dead.fetch_all(&mut *connection).await? {
                    let dead: Vec<u8> = row.try_get(0)?;
                    bury(connection, &dead).await?;
                    let node =
                        Uuid::from_slice(&dead).map_or_else(|_| hexadecimal(&dead), |id| id.to_string());
                    tracing::warn!(%node, "a node has been silent for ten seconds: its work is taken over");
                }
                Ok(())
            })
        })
        .await
    }

    async fn leave(&self, instance: InstanceId) -> Result<(), StoreError> {
        let Engine::Postgres(..) = &self.engine else { return Ok(()) };
        self.write("say that this node has stopped", Durability::Synced, move |connection| {
            Box::pin(async move { bury(connection, &owner(instance)).await })
        })
        .await
    }

    async fn holds_sink(&self, instance: InstanceId, sink: &str) -> Result<bool, StoreError> {
        let Engine::Postgres(..) = &self.engine else { return Ok(true) };
        let failed = self.failed(DOING);
        let row = query(
            "SELECT (SELECT h.instance FROM sink_holder h WHERE h.sink = ?1),
                 (SELECT count(*) FROM node), (SELECT count(*) FROM node WHERE instance < ?2),
                 (SELECT count(*) FROM node WHERE instance = ?2)",
        );
        let row = row.bind(sink).bind(owner(instance)).fetch_one(&self.readers).await.map_err(&failed)?;
        let read = || -> Result<(Option<Vec<u8>>, i64, i64, i64), sqlx::Error> {
            Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))
        };
        let (holder, nodes, rank, is_alive) = read().map_err(failed)?;
        if nodes == 0 {
            return Ok(true);
        }
        let is_turn = is_alive > 0 && turn_of(sink, nodes) == rank;
        match (holder == Some(owner(instance)), is_turn) {
            (true, true) => return Ok(true),
            (false, false) => return Ok(false),
            _ => {}
        }
        let sink = sink.to_owned();
        self.write("share out the sinks", Durability::Synced, move |connection| {
            Box::pin(async move {
                let sql = match is_turn {
                    true => "INSERT INTO sink_holder (sink, instance) VALUES (?, ?) ON CONFLICT DO NOTHING",
                    // Another's turn has come, with a node that came or went.
                    false => "DELETE FROM sink_holder WHERE sink = ? AND instance = ?",
                };
                let done = query(sql).bind(sink).bind(owner(instance)).execute(&mut *connection).await?;
                Ok(is_turn && done.rows_affected() > 0)
            })
        })
        .await
    }

    async fn own_tenants(&self, instance: InstanceId) -> Result<Option<HashSet<TenantId>>, StoreError> {
        let failed = self.failed(DOING);
        let share = match self.share_of(instance).await.map_err(&failed)? {
            Some(share) if share == Share::ALL => return Ok(None),
            Some(share) => share,
            None => return Ok(Some(HashSet::new())),
        };
        let rows = query("SELECT t.id FROM tenant t WHERE t.tenant_no % ?1 = ?2");
        let rows = rows.bind(share.nodes).bind(share.rank).fetch_all(&self.readers).await.map_err(&failed)?;
        rows.iter().map(|row| parsed(row, "id")).collect::<Result<_, _>>().map(Some).map_err(failed)
    }

    async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        let Engine::Postgres(..) = &self.engine else { return Ok(Vec::new()) };
        let failed = self.failed(DOING);
        let rows = query(
            "SELECT n.instance, CAST(extract(epoch FROM clock_timestamp() - n.seen_at) AS BIGINT) AS silent_for,
                 (SELECT count(*) FROM tenant t WHERE t.state = 'active' AND t.tenant_no % (SELECT count(*) FROM node)
                     = (SELECT count(*) FROM node m WHERE m.instance < n.instance)) AS tenants,
                 (SELECT json_group_array(h.sink) FROM sink_holder h WHERE h.instance = n.instance) AS sinks
             FROM node n ORDER BY n.instance",
        );
        let rows = rows.fetch_all(&self.readers).await.map_err(&failed)?;
        let node = |row: &crate::sql::Row| -> Result<Node, sqlx::Error> {
            let instance: Vec<u8> = row.try_get("instance")?;
            let sinks: String = row.try_get("sinks")?;
            Ok(Node {
                // One row that something else wrote must not hide all others. It has its share until it is buried.
                instance: Uuid::from_slice(&instance).map(InstanceId).map_err(|_| hexadecimal(&instance)),
                silent_for: count(row.try_get::<i64, _>("silent_for")?.max(0)),
                tenants: count(row.try_get("tenants")?),
                sinks: serde_json::from_str(&sinks).map_err(odd)?,
            })
        };
        rows.iter().map(node).collect::<Result<_, _>>().map_err(failed)
    }
}

impl SqlStore {
    /// The tenants that are a node's; `None` where it counts as dead among others that live.
    pub(super) async fn share_of(&self, instance: InstanceId) -> Result<Option<Share>, sqlx::Error> {
        let Engine::Postgres(..) = &self.engine else { return Ok(Some(Share::ALL)) };
        let row = query(
            "SELECT count(*), count(*) FILTER (WHERE instance < ?1), count(*) FILTER (WHERE instance = ?1) FROM node",
        );
        let row = row.bind(owner(instance)).fetch_one(&self.readers).await?;
        let (nodes, rank, is_alive): (i64, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        Ok(match (nodes, is_alive) {
            (0, _) => Some(Share::ALL),
            (_, 0) => None,
            _ => Some(Share { nodes, rank }),
        })
    }
}

/// Ends what a node holds.
async fn bury(connection: &mut Connection, instance: &[u8]) -> Result<(), Failure> {
    end_leases_of(connection, instance).await?;
    end_named_leases_of(connection, instance).await?;
    for sql in ["DELETE FROM sink_holder WHERE instance = ?", "DELETE FROM node WHERE instance = ?"] {
        query(sql).bind(instance).execute(&mut *connection).await?;
    }
    Ok(())
}

/// The beginning of an odd id, as it is shown.
fn hexadecimal(bytes: &[u8]) -> String {
    let cut = if bytes.len() > 16 { "…" } else { "" };
    bytes.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>() + cut
}

/// Which of so many nodes, in order, a sink is for.
fn turn_of(sink: &str, nodes: i64) -> i64 {
    let hash = blake3::hash(sink.as_bytes());
    i64::from(u32::from_be_bytes(*hash.as_bytes().first_chunk().expect("32 bytes"))) % nodes
}
