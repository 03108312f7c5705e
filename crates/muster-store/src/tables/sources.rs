//! Cursors: beginning and ending them, leasing them, and how polls end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{Cursor, Note, Purpose, Source, TenantId};

use super::ledger::{cover, reopened_before_now, source_number};
use super::notes::{leave_notes, take_notes_in};
use super::rows::{living, odd, owner, parsed, read_tenant, select_tenant};
use super::waits::{CURSORS_AHEAD, end_cursor_waits, latest_set};
use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::sql::{Connection, Row, query};
use crate::stored::{bounded, count, lease_end, nanoseconds, timestamp};
use crate::writer::Durability;
use crate::{InstanceId, PollResult, SourceLease, SourceState, Sources, StoreError};

/// Fences of a cursor are numbered from its own number times this, so that no lease of an earlier cursor for the same
/// purpose can be taken for one of a later cursor.
const FENCES_PER_CURSOR: i64 = 1 << 24;

/// Nobody has a new cursor wait longer than a day: one that waits longer was begun by a clock that was wrong.
pub(super) const FIRST_WAIT_MAX: i64 = 86_400 * 1_000_000_000;

/// The cursors that are due at `?1` of tenants whose number leaves `?3` when divided by `?2`, those due longest first.
macro_rules! due_cursors {
    ($head:literal, $tail:literal) => {
        concat!(
            $head,
            " FROM cursor c JOIN source s ON s.source_no = c.source_no ",
            "JOIN tenant t ON t.tenant_no = s.tenant_no ",
            "WHERE c.next_at <= ?1 AND c.leased_until <= ?1 AND s.enabled = 1 AND t.state = 'active' AND t.tenant_no % ?2 = ?3 ",
            $tail
        )
    };
}

/// The cursor of a lease: its tenant's id, source, purpose and fence are bound as `?1` to `?4`.
macro_rules! leased_cursor {
    ($head:literal) => {
        concat!(
            $head,
            " WHERE source_no = (SELECT s.source_no FROM source s JOIN tenant t ON t.tenant_no = s.tenant_no ",
            "WHERE t.id = ?1 AND s.source = ?2) AND purpose = ?3 AND fence = ?4 AND lease_owner IS NOT NULL"
        )
    };
}

macro_rules! select_states {
    ($tail:literal) => {
        concat!(
            "SELECT t.id, s.source, c.purpose, c.last_success_at, c.cursor, s.accepted, s.last_new_at, c.failures, ",
            "c.last_error, c.last_error_at, c.next_at FROM cursor c ",
            "JOIN source s ON s.source_no = c.source_no JOIN tenant t ON t.tenant_no = s.tenant_no ",
            "WHERE s.enabled = 1 ",
            $tail
        )
    };
}

/// What a write with a lost lease is told.
pub(super) fn lost(lease: &SourceLease) -> StoreError {
    let purpose = match lease.purpose {
        Purpose::Live => String::new(),
        other => format!("the {other} of "),
    };
    StoreError::LeaseLost { what: format!("{purpose}{} of tenant {}", lease.source, lease.tenant.slug) }
}

impl SqlStore {
    /// Begins to read a source for a purpose, unless it is read for that; whether a cursor was written.
    pub(super) async fn insert_cursor(
        &self,
        (tenant, source, purpose): (TenantId, Source, Purpose),
        cursor: Cursor,
        next_at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write("begin to read a source", Durability::Synced, move |connection| {
            Box::pin(async move {
                let tenant_no = living(connection, tenant).await?.tenant_no;
                let begin = "INSERT INTO cursor (source_no, purpose, cursor, next_at, set_at)
                     SELECT source_no, ?3, ?4, ?5, ?5 - ?6 FROM source WHERE tenant_no = ?1 AND source = ?2
                     ON CONFLICT (source_no, purpose) DO NOTHING";
                let done = query(begin)
                    .bind(tenant_no)
                    .bind(source.as_str())
                    .bind(purpose.as_str())
                    .bind(serde_json::to_string(&cursor).map_err(odd)?)
                    .bind(nanoseconds(next_at))
                    .bind(FIRST_WAIT_MAX)
                    .execute(&mut *connection)
                    .await?;
                number_fences(connection, tenant_no).await?;
                Ok(done.rows_affected() > 0)
            })
        })
        .await
    }
}

#[async_trait]
impl Sources for SqlStore {
    async fn remove_cursor(
        &self,
        tenant: TenantId,
        source: Source,
        purpose: Purpose,
    ) -> Result<bool, StoreError> {
        if purpose == Purpose::Live {
            return Ok(false);
        }
        self.write("end a sweep or a backfill", Durability::Synced, move |connection| {
            Box::pin(async move {
                let done = query(
                    "DELETE FROM cursor WHERE purpose = ? AND source_no = (SELECT s.source_no FROM source s
                         JOIN tenant t ON t.tenant_no = s.tenant_no WHERE t.id = ? AND s.source = ?)",
                );
                let done = done.bind(purpose.as_str()).bind(tenant.to_string()).bind(source.as_str());
                Ok(done.execute(&mut *connection).await?.rows_affected() > 0)
            })
        })
        .await
    }

    async fn set_hunts(
        &self,
        tenant: TenantId,
        hunts: BTreeMap<Source, Timestamp>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write("set the saved queries of a tenant", Durability::Synced, move |connection| {
            Box::pin(async move {
                let tenant_no = living(connection, tenant).await?.tenant_no;
                let known = enabled(connection, tenant_no).await?;
                let (before, kept): (BTreeSet<Source>, BTreeSet<Source>) =
                    known.into_iter().partition(|source| source.is_named());
                let mut all: BTreeMap<Source, Timestamp> = hunts;
                all.retain(|source, _| source.is_named());
                if all.keys().eq(before.iter()) {
                    return Ok(false);
                }
                // Those that are read already have a cursor.
                all.extend(kept.into_iter().map(|source| (source, now)));
                read_from(connection, tenant_no, &all, now).await?;
                Ok(true)
            })
        })
        .await
    }

    async fn add_note(&self, tenant: TenantId, source: Source, note: Note) -> Result<bool, StoreError> {
        self.write("leave a note", Durability::Synced, move |connection| {
            Box::pin(async move {
                let Some(source_no) = source_number(connection, tenant, source).await? else {
                    return Ok(false);
                };
                leave_notes(connection, source_no, &[note]).await?;
                Ok(true)
            })
        })
        .await
    }

    async fn lease_due_sources(
        &self,
        instance: InstanceId,
        limit: u32,
        lease_for: Duration,
        now: Timestamp,
    ) -> Result<Vec<SourceLease>, StoreError> {
        let doing = "lease due sources";
        // Asked first, so that an idle store is not written to.
        let ahead = query(CURSORS_AHEAD).bind(latest_set(now));
        if ahead.fetch_optional(&self.readers).await.map_err(self.failed(doing))?.is_some() {
            self.write(doing, Durability::Relaxed, move |connection| {
                Box::pin(end_cursor_waits(connection, now))
            })
            .await?;
        }
        let Some(share) = self.share_of(instance).await.map_err(self.failed(doing))? else {
            return Ok(Vec::new());
        };
        let least_fence = self.least_fence(instance, now);
        let any = query(due_cursors!("SELECT 1", "LIMIT 1"));
        let any = any.bind(nanoseconds(now)).bind(share.nodes).bind(share.rank);
        if any.fetch_optional(&self.readers).await.map_err(self.failed(doing))?.is_none() {
            return Ok(Vec::new());
        }
        self.write(doing, Durability::Relaxed, move |connection| {
            Box::pin(async move {
                let rows = query(concat!(
                    "UPDATE cursor SET lease_owner = ?4, leased_until = ?5, set_at = ?1, fence = max(fence + 1, ?7) WHERE cursor_no IN (",
                    due_cursors!("SELECT c.cursor_no", "ORDER BY c.next_at, c.cursor_no LIMIT ?6"),
                    ") RETURNING cursor_no, source_no, purpose, cursor, failures, fence, next_at,
                     (SELECT s.tenant_no FROM source s WHERE s.source_no = cursor.source_no) AS tenant_no,
                     (SELECT s.source FROM source s WHERE s.source_no = cursor.source_no) AS source"
                ))
                .bind(nanoseconds(now))
                .bind(share.nodes)
                .bind(share.rank)
                .bind(owner(instance))
                .bind(lease_end(now, lease_for))
                .bind(limit)
                .bind(least_fence)
                .fetch_all(&mut *connection)
                .await?;
                let mut leased = Vec::with_capacity(rows.len());
                for row in &rows {
                    let (cursor_no, next_at): (i64, i64) =
                        (row.try_get("cursor_no")?, row.try_get("next_at")?);
                    let cursor: Cursor = serde_json::from_str(row.try_get("cursor")?).map_err(odd)?;
                    let tenant_no: i64 = row.try_get("tenant_no")?;
                    let failures: u32 = row.try_get("failures")?;
                    leased.push((
                        (next_at, cursor_no),
                        tenant_no,
                        (parsed(row, "source")?, parsed(row, "purpose")?),
                        cursor,
                        failures,
                        count(row.try_get("fence")?),
                    ));
                }
                let live = rows.iter().zip(&mut leased).filter(|(_, lease)| lease.2.1 == Purpose::Live);
                let live = live.map(|(row, (order, .., cursor, _, _))| {
                    Ok((row.try_get("source_no")?, (order.1, cursor)))
                });
                take_notes_in(connection, live.collect::<Result<_, sqlx::Error>>()?).await?;
                // RETURNING keeps no order.
                leased.sort_by_key(|(order, ..)| *order);
                let numbers = leased.iter().map(|(_, tenant_no, ..)| *tenant_no).collect::<Vec<_>>();
                let rows =
                    query(select_tenant!("WHERE t.tenant_no IN (SELECT CAST(value AS BIGINT) FROM json_each(?))"))
                        .bind(serde_json::to_string(&numbers).map_err(odd)?)
                        .fetch_all(&mut *connection)
                        .await?;
                let mut tenants = HashMap::with_capacity(rows.len());
                for row in &rows {
                    let stored = read_tenant(row)?;
                    tenants.insert(stored.tenant_no, stored.tenant);
                }
                let lease = |(_, tenant_no, (source, purpose), cursor, failures, fence): (_, i64, _, _, _, _)| {
                    let tenant = tenants.get(&tenant_no)?.clone();
                    Some(SourceLease { tenant, source, purpose, cursor, failures, fence })
                };
                Ok(leased.into_iter().filter_map(lease).collect())
            })
        })
        .await
    }

    async fn next_source_due_at(&self) -> Result<Option<Timestamp>, StoreError> {
        let failed = self.failed("find when the next source is due");
        let row = query(
            // Asked after every turn, so not of all that there are: those behind the first that nobody has leased are due later
            // than it is, leased or not.
            "WITH unleased AS (
                 SELECT c.next_at FROM cursor c INDEXED BY cursor_due
                     CROSS JOIN source s ON s.source_no = c.source_no CROSS JOIN tenant t ON t.tenant_no = s.tenant_no
                 WHERE s.enabled = 1 AND t.state = 'active' AND c.leased_until <= c.next_at ORDER BY c.next_at LIMIT 1)
             SELECT min(max(c.next_at, c.leased_until)) FROM cursor c INDEXED BY cursor_due
                 CROSS JOIN source s ON s.source_no = c.source_no CROSS JOIN tenant t ON t.tenant_no = s.tenant_no
             WHERE s.enabled = 1 AND t.state = 'active'
                 AND c.next_at <= coalesce((SELECT u.next_at FROM unleased u), 9223372036854775807)",
        )
        .fetch_one(&self.readers)
        .await
        .map_err(&failed)?;
        Ok(row.try_get::<Option<i64>, _>(0).map_err(failed)?.map(timestamp))
    }

    async fn finish_poll(
        &self,
        lease: &SourceLease,
        result: PollResult,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let lease = lease.clone();
        self.write("end a poll", Durability::Relaxed, move |connection| {
            Box::pin(async move {
                let at = now;
                let now = nanoseconds(now);
                // Whether it was read to the end, and whether that or progress ends a row of failures.
                let (next_at, cursor, caught_up, well, error) = match result {
                    PollResult::Over { read, as_of, notes, next } => {
                        return sweep_over(connection, &lease, Swept { read, as_of, notes, next }, at).await;
                    }
                    PollResult::CaughtUp { next_at, missing, cursor } => {
                        (next_at, cursor, true, true, missing.as_deref().map(bounded))
                    }
                    PollResult::Yielded { next_at, progressed, missing, cursor } => {
                        let missing = missing.filter(|_| progressed);
                        (next_at, cursor, false, progressed, missing.as_deref().map(bounded))
                    }
                    PollResult::Failed { reason, next_at, cursor } => {
                        (next_at, cursor, false, false, Some(bounded(&reason)))
                    }
                };
                let cursor = cursor.map(|cursor| serde_json::to_string(&cursor)).transpose().map_err(odd)?;
                let done = query(leased_cursor!(
                    "UPDATE cursor SET lease_owner = NULL, leased_until = 0, next_at = ?5, set_at = ?8,
                         cursor = coalesce(?6, cursor),
                         last_success_at = CASE WHEN ?7 = 1 THEN ?8 ELSE last_success_at END,
                         failures = CASE WHEN ?10 = 1 THEN 0 ELSE failures + CASE WHEN ?9 IS NOT NULL THEN 1 ELSE 0 END END,
                         last_error = CASE WHEN ?10 = 1 THEN ?9 ELSE coalesce(?9, last_error) END,
                         last_error_at = CASE WHEN ?9 IS NOT NULL THEN ?8 WHEN ?10 = 1 THEN NULL ELSE last_error_at END"
                ))
                .bind(lease.tenant.id.to_string())
                .bind(lease.source.as_str())
                .bind(lease.purpose.as_str())
                .bind(lease.fence.cast_signed())
                .bind(nanoseconds(next_at))
                .bind(cursor)
                .bind(caught_up)
                .bind(now)
                .bind(error)
                .bind(well)
                .execute(&mut *connection)
                .await?;
                if done.rows_affected() == 0 {
                    return Err(lost(&lease).into());
                }
                // Of a stream, no sweep comes that would see to it.
                let was_ahead = lease.cursor.last_round_at().is_some_and(|began| began > at);
                if lease.source.stream().is_some()
                    && was_ahead
                    && let Some(source_no) = source_number(connection, lease.tenant.id, lease.source).await?
                {
                    reopened_before_now(connection, source_no, at).await?;
                }
                Ok(())
            })
        })
        .await
    }

    async fn source_states(&self) -> Result<Vec<SourceState>, StoreError> {
        self.states(select_states!("AND c.purpose = 'live' ORDER BY t.slug, s.source")).await
    }

    async fn cursor_states(&self) -> Result<Vec<SourceState>, StoreError> {
        self.states(select_states!("ORDER BY t.slug, s.source, c.cursor_no")).await
    }
}

impl SqlStore {
    async fn states(&self, sql: &'static str) -> Result<Vec<SourceState>, StoreError> {
        let failed = self.failed("read how the sources are doing");
        let rows = query(sql).fetch_all(&self.readers).await.map_err(&failed)?;
        rows.iter().map(read_state).collect::<Result<_, _>>().map_err(failed)
    }
}

/// A cursor's row as it is shown.
pub(super) fn read_state(row: &Row) -> Result<SourceState, sqlx::Error> {
    let cursor: Cursor = serde_json::from_str(row.try_get("cursor")?).map_err(odd)?;
    Ok(SourceState {
        tenant: parsed(row, "id")?,
        source: parsed(row, "source")?,
        purpose: parsed(row, "purpose")?,
        last_success_at: row.try_get::<Option<i64>, _>("last_success_at")?.map(timestamp),
        seen_up_to: cursor.seen_up_to(),
        accepted: count(row.try_get("accepted")?),
        last_new_at: row.try_get::<Option<i64>, _>("last_new_at")?.map(timestamp),
        failures: row.try_get("failures")?,
        last_error: row.try_get("last_error")?,
        last_error_at: row.try_get::<Option<i64>, _>("last_error_at")?.map(timestamp),
        next_at: timestamp(row.try_get("next_at")?),
    })
}

/// What a sweep or a backfill leaves when it is over.
struct Swept {
    read: Vec<(Timestamp, Timestamp)>,
    as_of: Timestamp,
    notes: Vec<Note>,
    next: Option<(Timestamp, Cursor)>,
}

/// Ends a sweep or a backfill: what it has read is covered, what it found is noted, and its cursor forgotten or set to
/// begin again.
async fn sweep_over(
    connection: &mut Connection,
    lease: &SourceLease,
    Swept { read, as_of, notes, next }: Swept,
    now: Timestamp,
) -> Result<(), Failure> {
    if lease.purpose == Purpose::Live {
        let detail = format!("{} of tenant {} is read live", lease.source, lease.tenant.slug);
        return Err(StoreError::Database { doing: "end a sweep or a backfill", detail }.into());
    }
    let (next_at, cursor) = match &next {
        Some((next_at, cursor)) => (nanoseconds(*next_at), serde_json::to_string(cursor).map_err(odd)?),
        None => (0, String::new()),
    };
    let sql = match next {
        Some(_) => leased_cursor!(
            "UPDATE cursor SET lease_owner = NULL, leased_until = 0, next_at = ?5, set_at = ?6, cursor = ?7,
                 last_success_at = ?6, failures = 0, last_error = NULL, last_error_at = NULL"
        ),
        None => leased_cursor!("DELETE FROM cursor"),
    };
    let done = query(sql)
        .bind(lease.tenant.id.to_string())
        .bind(lease.source.as_str())
        .bind(lease.purpose.as_str())
        .bind(lease.fence.cast_signed());
    let done = if next.is_some() { done.bind(next_at).bind(nanoseconds(now)).bind(cursor) } else { done };
    if done.execute(&mut *connection).await?.rows_affected() == 0 {
        return Err(lost(lease).into());
    }
    let Some(source_no) = source_number(connection, lease.tenant.id, lease.source).await? else {
        return Err(lost(lease).into());
    };
    leave_notes(connection, source_no, &notes).await?;
    // A sweep that began later than now began by a clock that was wrong: it healed, but proves nothing.
    if as_of <= now { cover(connection, source_no, read, as_of, now).await } else { Ok(()) }
}

/// Gives the new cursors of a tenant the fences they begin with.
pub(super) async fn number_fences(connection: &mut Connection, tenant_no: i64) -> Result<(), Failure> {
    query(
        "UPDATE cursor SET fence = cursor_no * ?
         WHERE fence = 0 AND source_no IN (SELECT source_no FROM source WHERE tenant_no = ?)",
    )
    .bind(FENCES_PER_CURSOR)
    .bind(tenant_no)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// Makes a tenant's sources due now.
pub(super) async fn make_sources_due(
    connection: &mut Connection,
    tenant_no: i64,
    now: Timestamp,
) -> Result<(), Failure> {
    let sql = "UPDATE cursor SET next_at = ?1, set_at = ?1
               WHERE source_no IN (SELECT source_no FROM source WHERE tenant_no = ?2 AND enabled = 1)";
    query(sql).bind(nanoseconds(now)).bind(tenant_no).execute(&mut *connection).await?;
    Ok(())
}

/// Makes `sources` the ones that are read, beside the saved queries and streams. One that was read before goes on where it stopped.
pub(super) async fn set_sources(
    connection: &mut Connection,
    tenant_no: i64,
    sources: &BTreeSet<Source>,
    since: Timestamp,
    now: Timestamp,
) -> Result<(), Failure> {
    let mut all: BTreeMap<Source, Timestamp> =
        sources.iter().filter(|source| !source.is_named()).map(|source| (*source, since)).collect();
    let known = enabled(connection, tenant_no).await?;
    all.extend(known.into_iter().filter(|source| source.is_named()).map(|source| (source, since)));
    read_from(connection, tenant_no, &all, now).await
}

/// The sources that are read.
async fn enabled(connection: &mut Connection, tenant_no: i64) -> Result<BTreeSet<Source>, Failure> {
    let known = query("SELECT source FROM source WHERE tenant_no = ? AND enabled = 1");
    let known = known.bind(tenant_no).fetch_all(&mut *connection).await?;
    let known: Result<_, sqlx::Error> = known.iter().map(|row| parsed(row, "source")).collect();
    Ok(known?)
}

/// Makes `sources` all that is read; one that has no cursor begins where it says.
async fn read_from(
    connection: &mut Connection,
    tenant_no: i64,
    sources: &BTreeMap<Source, Timestamp>,
    now: Timestamp,
) -> Result<(), Failure> {
    let mut cursors = Vec::new();
    for (source, since) in sources {
        cursors.push((source.as_str(), serde_json::to_string(&Cursor::starting(*since)).map_err(odd)?));
    }
    let cursors = serde_json::to_string(&cursors).map_err(odd)?;
    for sql in [
        "UPDATE source SET enabled = 0
         WHERE tenant_no = ?1 AND source NOT IN (SELECT value ->> 0 FROM json_each(?2))",
        "UPDATE cursor SET next_at = ?3, set_at = ?3 WHERE source_no IN (SELECT source_no FROM source
         WHERE tenant_no = ?1 AND enabled = 0 AND source IN (SELECT value ->> 0 FROM json_each(?2)))",
        "INSERT INTO source (tenant_no, source, enabled) SELECT ?1, value ->> 0, 1 FROM json_each(?2) WHERE true
         ON CONFLICT (tenant_no, source) DO UPDATE SET enabled = 1",
        "INSERT INTO cursor (source_no, purpose, cursor, next_at, set_at)
         SELECT s.source_no, 'live', j.value ->> 1, ?3, ?3 FROM source s JOIN json_each(?2) j ON j.value ->> 0 = s.source
         WHERE s.tenant_no = ?1 ORDER BY s.source_no
         ON CONFLICT (source_no, purpose) DO NOTHING",
    ] {
        let query = query(sql).bind(tenant_no).bind(&cursors).bind(nanoseconds(now));
        query.execute(&mut *connection).await?;
    }
    number_fences(connection, tenant_no).await
}
