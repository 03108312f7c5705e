//! Leases by name, and those of processes that have ended.
//!
//! Whoever holds a lease by name locks a file beside its row. The lock goes with the process, however that ends: whoever
//! gets it while the row is another's knows that the other has died, and need not wait for the end of its lease.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::living::end_leases_of;
use super::rows::owner;
use super::waits::latest_set;
use crate::engine::{Engine, SqlStore};
use crate::sql::query;
use crate::sqlite::lock_file::try_lock;
use crate::stored::{count, lease_end, nanoseconds};
use crate::writer::Durability;
use crate::{InstanceId, Leases, NamedLease, StoreError};

#[async_trait]
impl Leases for SqlStore {
    async fn take_lease(
        &self,
        name: &'static str,
        instance: InstanceId,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<Option<NamedLease>, StoreError> {
        let doing = "take a lease";
        // First, so that whoever has written the row holds the lock. A database has none: there a process is known to have
        // died by its silence, and whoever comes first may begin.
        let (guard, may_begin) = match &self.engine {
            Engine::Sqlite(file) => {
                let guard = try_lock(&file.path, &format!("{name}.lock"), doing)?;
                let may_begin = guard.is_some();
                (guard, may_begin)
            }
            Engine::Postgres(..) => (None, true),
        };
        let guarded = guard.is_some();
        let least_fence = self.least_fence(instance, now);
        let taken = self.write(doing, Durability::Relaxed, move |connection| {
            Box::pin(async move {
                // Without the lock, somebody who lives holds the lease, or is about to: it is taken only from one that
                // has run out, or was set by a clock that has stepped back since. With it, also from one whose owner had
                // the lock. A version before did not say when it was set: no lease of its was longer than such a step.
                let row = query(
                    "INSERT INTO lease (name, leased_until, lease_owner, fence, guarded, set_at)
                     SELECT ?1, ?2, ?3, max(1, ?8), ?4, ?5 WHERE ?7 = 1 OR EXISTS (SELECT 1 FROM lease WHERE name = ?1)
                     ON CONFLICT (name) DO UPDATE SET leased_until = excluded.leased_until, set_at = excluded.set_at,
                         lease_owner = excluded.lease_owner, guarded = excluded.guarded, fence = max(lease.fence + 1, ?8)
                     WHERE ?4 = 1 AND lease.guarded = 1 OR (?7 = 1 OR lease.leased_until > 0) AND
                         (lease.leased_until <= ?5 OR coalesce(nullif(lease.set_at, 0), lease.leased_until) > ?6)
                     RETURNING fence",
                )
                .bind(name)
                .bind(lease_end(now, lease_for))
                .bind(owner(instance))
                .bind(guarded)
                .bind(nanoseconds(now))
                .bind(latest_set(now))
                .bind(may_begin)
                .bind(least_fence)
                .fetch_optional(&mut *connection)
                .await?;
                Ok(row.map(|row| row.try_get::<i64, _>(0)).transpose()?)
            })
        });
        let Some(fence) = taken.await?.map(count) else { return Ok(None) };
        if let (Some(guard), Engine::Sqlite(file)) = (guard, &self.engine) {
            file.guards
                .lock()
                .expect("no panic while the lock is held")
                .insert((name.to_owned(), fence), guard);
        }
        Ok(Some(NamedLease { name, fence }))
    }

    async fn extend_lease(
        &self,
        lease: &NamedLease,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.set_lease_end(lease.name, lease.fence, lease_end(now, lease_for), Some(now)).await
    }

    async fn release_lease(&self, lease: NamedLease) -> Result<(), StoreError> {
        let released = self.set_lease_end(lease.name, lease.fence, 0, None).await;
        // After the row, which would be taken for a dead one's otherwise.
        let held = (lease.name.to_owned(), lease.fence);
        if let Engine::Sqlite(file) = &self.engine {
            file.guards.lock().expect("no panic while the lock is held").remove(&held);
        }
        released
    }

    async fn take_over(&self, instance: InstanceId, _now: Timestamp) -> Result<(), StoreError> {
        if !self.is_ours() {
            // What is left of a tenant whose removal was interrupted; with a file, opening it sees to that.
            if matches!(self.engine, Engine::Postgres(..)) && self.sweep_removed().await? {
                self.forget_traces().await;
            }
            return Ok(());
        }
        self.write("end leases", Durability::Synced, move |connection| {
            Box::pin(async move {
                for sql in [
                    "UPDATE cursor SET lease_owner = NULL, leased_until = 0, fence = fence + 1
                     WHERE lease_owner IS NOT NULL AND lease_owner <> ?",
                    "UPDATE queue SET lease_owner = NULL, leased_until = 0, fence = fence + 1
                     WHERE lease_owner IS NOT NULL AND lease_owner <> ?",
                ] {
                    query(sql).bind(owner(instance)).execute(&mut *connection).await?;
                }
                Ok(())
            })
        })
        .await
    }

    async fn drop_leases(&self, instance: InstanceId) -> Result<(), StoreError> {
        self.write("end leases", Durability::Synced, move |connection| {
            Box::pin(async move { end_leases_of(connection, &owner(instance)).await })
        })
        .await
    }
}

impl SqlStore {
    /// Whether the whole store is in this process's hands.
    fn is_ours(&self) -> bool {
        match &self.engine {
            Engine::Sqlite(file) => file.lock.lock().expect("no panic while the lock is held").is_some(),
            Engine::Postgres(..) => false,
        }
    }

    /// Has a lease end then, as was set at `now`; one that is given back was set as before.
    async fn set_lease_end(
        &self,
        name: &'static str,
        fence: u64,
        end: i64,
        now: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.write("keep a lease", Durability::Relaxed, move |connection| {
            Box::pin(async move {
                // One that was given back is not held any more.
                let sql = "UPDATE lease SET leased_until = ?, set_at = coalesce(?, set_at)
                     WHERE name = ? AND fence = ? AND leased_until > 0";
                let done = query(sql).bind(end).bind(now.map(nanoseconds));
                let done = done.bind(name).bind(fence.cast_signed());
                if done.execute(&mut *connection).await?.rows_affected() == 0 {
                    return Err(StoreError::LeaseLost { what: name.to_owned() }.into());
                }
                Ok(())
            })
        })
        .await
    }
}
