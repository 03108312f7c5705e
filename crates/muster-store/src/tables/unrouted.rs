//! What no sink was ever to have: noted with its batch, counted, and struck off when a sink is owed it or it is fetched anew.

use std::collections::BTreeMap;

use jiff::Timestamp;
use muster_model::{Selection, Source, TenantId};

use super::history::forget;
use super::ledger::source_number;
use super::rows::parsed;
use crate::counting::hour_of_stored;
use crate::drafts::NewUnrouted;
use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::sql::{Connection, Row, query};
use crate::stored::{bits, count, nanoseconds, timestamp};
use crate::writer::Durability;
use crate::{StoreError, Unrouted, UnroutedCause};

/// Records by the hour of the ledger that counts them.
pub(super) type Hours = BTreeMap<i64, i64>;

/// Notes what no sink is owed of a batch.
pub(super) async fn write_unrouted(
    connection: &mut Connection,
    (source_no, batch_no): (i64, i64),
    unrouted: NewUnrouted,
    now: Timestamp,
) -> Result<(), Failure> {
    query(
        "INSERT INTO unrouted (batch_no, source_no, records, batch_records, selection, filtered, accepted_at,
             first_at, last_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(batch_no)
    .bind(source_no)
    .bind(unrouted.records)
    .bind(unrouted.batch_records)
    .bind(bits(unrouted.selection))
    .bind(unrouted.filtered)
    .bind(nanoseconds(now))
    .bind(unrouted.between.0)
    .bind(unrouted.between.1)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// What is noted of a batch.
pub(super) struct StoredUnrouted {
    pub(super) source_no: i64,
    batch_records: usize,
    pub(super) selection: Selection,
}

pub(super) async fn read_unrouted(
    connection: &mut Connection,
    batch_no: i64,
) -> Result<Option<StoredUnrouted>, Failure> {
    let row = query("SELECT source_no, batch_records, selection FROM unrouted WHERE batch_no = ?");
    let Some(row) = row.bind(batch_no).fetch_optional(&mut *connection).await? else { return Ok(None) };
    Ok(Some(StoredUnrouted {
        source_no: row.try_get(0)?,
        batch_records: usize::try_from(row.try_get::<i64, _>(1)?).unwrap_or(0),
        selection: row.try_get::<Option<Vec<u8>>, _>(2)?.map_or(Selection::All, Selection::Some),
    }))
}

/// Strikes records of a batch off; `hours` tells of each in which hour the ledger counts it. Those that are not noted are
/// passed over.
pub(super) async fn strike_off(
    connection: &mut Connection,
    batch_no: i64,
    records: impl Fn(usize) -> bool,
    hour_of: impl Fn(usize) -> Option<i64>,
    now: Timestamp,
) -> Result<(), Failure> {
    let Some(noted) = read_unrouted(connection, batch_no).await? else { return Ok(()) };
    let all = 0..noted.batch_records;
    let mut hours = Hours::new();
    let struck = |index: &usize| noted.selection.contains(*index) && records(*index);
    for index in all.clone().filter(struck) {
        if let Some(hour) = hour_of(index) {
            *hours.entry(hour).or_default() += 1;
        }
    }
    let stays = |index: usize| noted.selection.contains(index) && !records(index);
    match Selection::of(noted.batch_records, stays) {
        None => {
            let gone = query("DELETE FROM unrouted WHERE batch_no = ?").bind(batch_no);
            gone.execute(&mut *connection).await?;
        }
        Some(left) => {
            let records = all.filter(|index| left.contains(*index)).count() as i64;
            query("UPDATE unrouted SET records = ?, selection = ? WHERE batch_no = ?")
                .bind(records)
                .bind(bits(left))
                .bind(batch_no)
                .execute(&mut *connection)
                .await?;
        }
    }
    uncount(connection, noted.source_no, &hours, "unrouted", now).await
}

/// Takes records out of a count of the ledger.
pub(super) async fn uncount(
    connection: &mut Connection,
    source_no: i64,
    hours: &Hours,
    column: &'static str,
    now: Timestamp,
) -> Result<(), Failure> {
    let sql = match column {
        "new" => {
            "UPDATE ledger SET new = max(0, new - ?3), changed_at = ?4 WHERE source_no = ?1 AND hour = ?2"
        }
        _ => {
            "UPDATE ledger SET unrouted = max(0, unrouted - ?3), changed_at = ?4 WHERE source_no = ?1 AND hour = ?2"
        }
    };
    for (hour, records) in hours {
        let done = query(sql).bind(source_no).bind(*hour).bind(*records).bind(nanoseconds(now));
        done.execute(&mut *connection).await?;
    }
    Ok(())
}

impl SqlStore {
    pub(super) async fn read_all_unrouted(&self) -> Result<Vec<Unrouted>, StoreError> {
        let failed = self.failed("count what no route took");
        let rows = query(
            "SELECT t.id, s.source, u.filtered,
                 coalesce(sum(u.records) FILTER (WHERE u.gone = 0), 0) AS here,
                 min(u.accepted_at) FILTER (WHERE u.gone = 0) AS since,
                 coalesce(sum(u.records) FILTER (WHERE u.gone = 1), 0) AS pruned,
                 min(u.first_at) FILTER (WHERE u.gone = 1 AND u.first_at > -9223372036854775808) AS first_at,
                 max(u.last_at) FILTER (WHERE u.gone = 1 AND u.last_at > -9223372036854775808) AS last_at
             FROM unrouted u JOIN source s ON s.source_no = u.source_no JOIN tenant t ON t.tenant_no = s.tenant_no
             GROUP BY t.tenant_no, s.source_no, u.filtered ORDER BY t.slug, s.source, u.filtered",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(&failed)?;
        let unrouted = |row: &Row| -> Result<Unrouted, sqlx::Error> {
            let time = |name: &str| row.try_get::<Option<i64>, _>(name).map(|time| time.map(timestamp));
            Ok(Unrouted {
                tenant: parsed(row, "id")?,
                source: parsed(row, "source")?,
                cause: match row.try_get::<bool, _>("filtered")? {
                    false => UnroutedCause::NoRoute,
                    true => UnroutedCause::Filtered,
                },
                records: count(row.try_get("here")?),
                since: time("since")?,
                pruned: count(row.try_get("pruned")?),
                pruned_span: time("first_at")?.zip(time("last_at")?),
            })
        };
        rows.iter().map(unrouted).collect::<Result<_, _>>().map_err(failed)
    }

    /// See [`crate::Replays::forget_unrouted`].
    pub(super) async fn forget_gone(
        &self,
        tenant: TenantId,
        source: Source,
        (from, to): (Timestamp, Timestamp),
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let doing = "forget what no route took";
        let (from, to) = (nanoseconds(from), nanoseconds(to));
        let rows = query(
            "SELECT u.batch_no FROM unrouted u JOIN source s ON s.source_no = u.source_no
                 JOIN tenant t ON t.tenant_no = s.tenant_no
             WHERE t.id = ? AND s.source = ? AND u.gone = 1 AND u.last_at >= ? AND u.first_at < ? ORDER BY u.batch_no",
        )
        .bind(tenant.to_string())
        .bind(source.as_str())
        .bind(from)
        .bind(to)
        .fetch_all(&self.readers)
        .await
        .map_err(self.failed(doing))?;
        let mut forgotten = 0;
        for row in rows {
            let batch_no: i64 = row.try_get(0).map_err(self.failed(doing))?;
            forgotten += self
                .write(doing, Durability::Synced, move |connection| {
                    Box::pin(async move {
                        match source_number(connection, tenant, source).await? {
                            Some(source_no) => {
                                forget_one(connection, (source_no, batch_no), (from, to), now).await
                            }
                            None => Ok(0),
                        }
                    })
                })
                .await?;
        }
        Ok(forgotten)
    }
}

/// Forgets the versions of one batch that is gone, as far as they were updated in the span.
async fn forget_one(
    connection: &mut Connection,
    (source_no, batch_no): (i64, i64),
    (from, to): (i64, i64),
    now: Timestamp,
) -> Result<u64, Failure> {
    let Some(noted) = read_unrouted(connection, batch_no).await? else { return Ok(0) };
    let rows = query(
        "SELECT v.ordinal, v.updated_at FROM unrouted u JOIN record_version v ON v.source_no = ?1
             AND v.updated_at BETWEEN max(u.first_at, ?3) AND min(u.last_at, ?4 - 1) AND v.batch_no = ?2
         WHERE u.batch_no = ?2",
    )
    .bind(source_no)
    .bind(batch_no)
    .bind(from)
    .bind(to)
    .fetch_all(&mut *connection)
    .await?;
    // Several spellings of a version share its place.
    let mut places: BTreeMap<usize, i64> = BTreeMap::new();
    for row in rows {
        let place = usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(usize::MAX);
        if noted.selection.contains(place) {
            places.insert(place, row.try_get(1)?);
        }
    }
    let mut hours = Hours::new();
    for (place, updated_at) in &places {
        *hours.entry(hour_of_stored(*updated_at)).or_default() += 1;
        query(
            "DELETE FROM record_version WHERE source_no = ? AND updated_at = ? AND batch_no = ? AND ordinal = ?",
        )
        .bind(source_no)
        .bind(*updated_at)
        .bind(batch_no)
        .bind(*place as i64)
        .execute(&mut *connection)
        .await?;
    }
    // When they come again, they are not the first of their records.
    let times = places.values().copied().collect::<Vec<_>>();
    forget(connection, source_no, &times).await?;
    uncount(connection, source_no, &hours, "new", now).await?;
    let hour_of = |index: usize| places.get(&index).map(|at| hour_of_stored(*at));
    strike_off(connection, batch_no, |index| places.contains_key(&index), hour_of, now).await?;
    Ok(places.len() as u64)
}
