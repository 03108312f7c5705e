//! The ledger: counted in the transactions that accept and deliver, and read back with what may be said about each hour.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{Cursor, Note, Reason, Source, TenantId};

use super::rows::{odd, parsed};
use super::witness;
use crate::counting::{hour_begin, hour_begins_at, hour_of};
use crate::coverage::{Covered, covered_as_of, overlay};
use crate::drafts::{NewBatch, Owed};
use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::ledger::HOURS_MAX;
use crate::sql::{Connection, Row, query};
use crate::stored::{count, nanoseconds, timestamp};
use crate::writer::Durability;
use crate::{HourState, Ledger, LedgerFilter, LedgerHour, LedgerSink, StoreError, TracedVersion};

/// What is added to what a sink had: the hour, the sink, and how many records it was owed, acknowledged and refused.
pub(super) type SinkRow<'a> = (i64, &'a str, i64, i64, i64);

/// Adds a page's counts. What is new where a sweep had been, or came late, opens its hour again.
pub(super) async fn count_page(
    connection: &mut Connection,
    source_no: i64,
    counts: String,
    now: Timestamp,
) -> Result<(), Failure> {
    if counts == "[]" {
        return Ok(());
    }
    query(
        "WITH page AS (
             SELECT CAST(value ->> 0 AS BIGINT) AS hour, CAST(value ->> '$[1][0]' AS BIGINT) AS new,
                 CAST(value ->> '$[1][1]' AS BIGINT) AS seen_again, CAST(value ->> '$[1][2]' AS BIGINT) AS late,
                 CAST(value ->> '$[1][3]' AS BIGINT) AS healed, CAST(value ->> '$[1][4]' AS BIGINT) AS unrouted,
                 CAST(value ->> 2 AS BIGINT) AS late_seconds, CAST(value ->> 3 AS BIGINT) AS first_at,
                 CAST(value ->> 4 AS BIGINT) AS last_at
             FROM json_each(?2))
         INSERT INTO ledger (source_no, hour, new, seen_again, late, healed, unrouted, late_seconds_max, reopened_at, changed_at)
         SELECT ?1, p.hour, p.new, p.seen_again, p.late, p.healed, p.unrouted, p.late_seconds,
             CASE WHEN p.late > 0
                 OR p.first_at < (SELECT c.to_at FROM coverage c WHERE c.source_no = ?1
                     AND c.from_at <= p.first_at ORDER BY c.from_at DESC LIMIT 1)
                 OR p.last_at < (SELECT c.to_at FROM coverage c WHERE c.source_no = ?1
                     AND c.from_at <= p.last_at ORDER BY c.from_at DESC LIMIT 1) THEN ?3 END, ?3
         FROM page p WHERE true
         ON CONFLICT (source_no, hour) DO UPDATE SET new = ledger.new + excluded.new,
             seen_again = ledger.seen_again + excluded.seen_again, late = ledger.late + excluded.late,
             healed = ledger.healed + excluded.healed, unrouted = ledger.unrouted + excluded.unrouted,
             late_seconds_max = max(ledger.late_seconds_max, excluded.late_seconds_max),
             reopened_at = coalesce(excluded.reopened_at, ledger.reopened_at), changed_at = excluded.changed_at",
    )
    .bind(source_no)
    .bind(counts)
    .bind(nanoseconds(now))
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// A sweep that began by a clock which was ahead proves nothing any more: when that time comes, it will long be over.
pub(super) async fn forget_later_sweeps(
    connection: &mut Connection,
    source_no: i64,
    now: Timestamp,
) -> Result<(), Failure> {
    query("DELETE FROM coverage WHERE source_no = ?1 AND as_of > ?2")
        .bind(source_no)
        .bind(nanoseconds(now))
        .execute(&mut *connection)
        .await?;
    Ok(())
}

/// What sinks are owed of some batches, as [`count_sinks`] takes it.
pub(super) fn owed_as_json<'a>(batches: impl IntoIterator<Item = &'a NewBatch>) -> String {
    let mut sums: BTreeMap<(&String, i64), i64> = BTreeMap::new();
    for Owed { sink, hours, .. } in batches.into_iter().flat_map(|batch| &batch.owed) {
        for (hour, records) in hours {
            *sums.entry((sink, *hour)).or_default() += records;
        }
    }
    let rows = sums.iter().map(|((sink, hour), records)| (*hour, sink.as_str(), *records, 0, 0));
    serde_json::to_string(&rows.collect::<Vec<SinkRow<'_>>>()).expect("names and numbers")
}

/// Adds to what sinks had: `counts` is an array of [`SinkRow`]s.
pub(super) async fn count_sinks(
    connection: &mut Connection,
    source_no: i64,
    counts: String,
) -> Result<(), Failure> {
    if counts == "[]" {
        return Ok(());
    }
    query(
        "INSERT INTO ledger_sink (source_no, hour, sink, owed, delivered, rejected)
         SELECT ?1, CAST(j.value ->> 0 AS BIGINT), j.value ->> 1, CAST(j.value ->> 2 AS BIGINT), CAST(j.value ->> 3 AS BIGINT),
             CAST(j.value ->> 4 AS BIGINT)
         FROM json_each(?2) j WHERE true
         ON CONFLICT (source_no, hour, sink) DO UPDATE SET owed = ledger_sink.owed + excluded.owed,
             delivered = ledger_sink.delivered + excluded.delivered, rejected = ledger_sink.rejected + excluded.rejected",
    )
    .bind(source_no)
    .bind(counts)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// Lays what a sweep has read over what others had.
pub(super) async fn cover(
    connection: &mut Connection,
    source_no: i64,
    read: Vec<(Timestamp, Timestamp)>,
    as_of: Timestamp,
    now: Timestamp,
) -> Result<(), Failure> {
    forget_later_sweeps(connection, source_no, now).await?;
    reopened_before_now(connection, source_no, now).await?;
    let before = read_coverage(connection, source_no).await?;
    let mut after = before.clone();
    for (from, to) in read {
        let as_of = nanoseconds(as_of);
        after = overlay(&after, Covered { from: nanoseconds(from), to: nanoseconds(to), as_of });
    }
    if after == before {
        return Ok(());
    }
    query("DELETE FROM coverage WHERE source_no = ?").bind(source_no).execute(&mut *connection).await?;
    let rows = after.iter().map(|span| [span.from, span.to, span.as_of]).collect::<Vec<_>>();
    query(
        "INSERT INTO coverage (source_no, from_at, to_at, as_of)
         SELECT ?1, CAST(j.value ->> 0 AS BIGINT), CAST(j.value ->> 1 AS BIGINT), CAST(j.value ->> 2 AS BIGINT) FROM json_each(?2) j",
    )
    .bind(source_no)
    .bind(serde_json::to_string(&rows).map_err(odd)?)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// What came late by a clock that was ahead came before now.
pub(super) async fn reopened_before_now(
    connection: &mut Connection,
    source_no: i64,
    now: Timestamp,
) -> Result<(), Failure> {
    query("UPDATE ledger SET reopened_at = ?2 WHERE source_no = ?1 AND reopened_at > ?2")
        .bind(source_no)
        .bind(nanoseconds(now))
        .execute(&mut *connection)
        .await?;
    Ok(())
}

async fn read_coverage(connection: &mut Connection, source_no: i64) -> Result<Vec<Covered>, sqlx::Error> {
    let rows = query("SELECT from_at, to_at, as_of FROM coverage WHERE source_no = ? ORDER BY from_at");
    let rows = rows.bind(source_no).fetch_all(&mut *connection).await?;
    let covered =
        |row: &Row| Ok(Covered { from: row.try_get(0)?, to: row.try_get(1)?, as_of: row.try_get(2)? });
    rows.iter().map(covered).collect()
}

/// What may be said about the hours of a source.
struct Known {
    /// What is missing: from, to and why.
    missing: Vec<(Timestamp, Option<Timestamp>, Reason)>,
    proved: Option<(Timestamp, Timestamp)>,
    covered: Vec<Covered>,
}

impl Known {
    fn of(source: Source, live: Cursor, notes: &[Note], covered: Vec<Covered>) -> Self {
        let mut after = live;
        notes.iter().for_each(|note| after.note(note));
        // No sweep goes over a stream: each of its turns looks at all that lies there.
        if source.stream().is_some() {
            let read = after.proved().zip(after.last_round_at());
            let covered = read.map(|((from, to), as_of)| Covered {
                from: nanoseconds(from),
                to: nanoseconds(to),
                as_of: nanoseconds(as_of),
            });
            return Self { missing: Vec::new(), proved: None, covered: covered.into_iter().collect() };
        }
        let holes = after.holes().into_iter().map(|hole| (hole.from, hole.to, hole.reason));
        let partial = after.plan().partial.as_ref().map(|partial| (partial.from, None, Reason::Partial));
        Self { missing: holes.chain(partial).collect(), proved: after.proved(), covered }
    }

    fn state(&self, hour: i64, reopened_at: Option<Timestamp>, now: Timestamp) -> HourState {
        let (from, to) = (hour_begins_at(hour), hour_begins_at(hour + 1));
        let overlaps = |(missing_from, missing_to, _): &&(Timestamp, Option<Timestamp>, Reason)| {
            *missing_from < to && missing_to.is_none_or(|end| end > from)
        };
        if let Some((.., reason)) = self.missing.iter().find(overlaps) {
            return HourState::Hole { reason: *reason };
        }
        let as_of = covered_as_of(&self.covered, hour_begin(hour), hour_begin(hour + 1)).map(timestamp);
        // A time that has not come yet was written by a clock that was wrong, and proves nothing.
        let counts = |as_of: &Timestamp| {
            *as_of >= to && *as_of <= now && reopened_at.is_none_or(|reopened_at| reopened_at < *as_of)
        };
        if let Some(as_of) = as_of.filter(counts) {
            return HourState::Complete { as_of };
        }
        match self.proved {
            _ if reopened_at.is_some() => HourState::Late,
            Some((proved_from, proved_to)) if proved_from <= from && proved_to >= to => HourState::Read,
            _ => HourState::Open,
        }
    }
}

#[async_trait]
impl Ledger for SqlStore {
    async fn ledger(&self, filter: LedgerFilter, now: Timestamp) -> Result<Vec<LedgerHour>, StoreError> {
        self.read_ledger(filter, now).await.map_err(|failure| failure.worded(&self.path, "read the ledger"))
    }

    async fn latest_counts(
        &self,
        tenant: TenantId,
        source: Source,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(Timestamp, u64)>, StoreError> {
        let failed = self.failed("count the latest versions");
        let from = hour_of(Some(from));
        let rows = query(
            "SELECT (latest - ?3) / 3600000000000, count(*) FROM (SELECT max(v.updated_at) AS latest
                 FROM tenant t JOIN source s ON s.tenant_no = t.tenant_no
                     JOIN record_version v ON v.source_no = s.source_no
                 WHERE t.id = ?1 AND s.source = ?2 AND v.updated_at >= ?3 GROUP BY v.id) l
             WHERE latest < ?4 GROUP BY 1 ORDER BY 1",
        )
        .bind(tenant.to_string())
        .bind(source.as_str())
        .bind(hour_begin(from))
        .bind(nanoseconds(to))
        .fetch_all(&self.readers)
        .await
        .map_err(&failed)?;
        let counted = |row: &Row| -> Result<_, sqlx::Error> {
            Ok((hour_begins_at(from + row.try_get::<i64, _>(0)?), count(row.try_get(1)?)))
        };
        rows.iter().map(counted).collect::<Result<_, _>>().map_err(failed)
    }

    async fn put_source_counts(
        &self,
        tenant: TenantId,
        source: Source,
        counts: Vec<(Timestamp, u64)>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let rows = counts
            .into_iter()
            .map(|(hour, records)| (hour_of(Some(hour)), i64::try_from(records).unwrap_or(i64::MAX)));
        let rows = serde_json::to_string(&rows.collect::<Vec<_>>()).expect("numbers");
        self.write("write down what a source counts", Durability::Relaxed, move |connection| {
            Box::pin(async move {
                let Some(source_no) = source_number(connection, tenant, source).await? else {
                    return Ok(false);
                };
                query(
                    "INSERT INTO ledger (source_no, hour, source_count, counted_at, changed_at)
                     SELECT ?1, CAST(j.value ->> 0 AS BIGINT), CAST(j.value ->> 1 AS BIGINT), ?3, ?3 FROM json_each(?2) j WHERE true
                     ON CONFLICT (source_no, hour) DO UPDATE SET source_count = excluded.source_count,
                         counted_at = excluded.counted_at, changed_at = excluded.changed_at",
                )
                .bind(source_no)
                .bind(rows)
                .bind(nanoseconds(now))
                .execute(&mut *connection)
                .await?;
                Ok(true)
            })
        })
        .await
    }

    async fn trace(
        &self,
        tenant: Option<TenantId>,
        record_id: &str,
    ) -> Result<Vec<TracedVersion>, StoreError> {
        self.read_trace(tenant, record_id).await
    }
}

/// The number of a tenant's source.
pub(super) async fn source_number(
    connection: &mut Connection,
    tenant: TenantId,
    source: Source,
) -> Result<Option<i64>, Failure> {
    let row = query(
        "SELECT s.source_no FROM source s JOIN tenant t ON t.tenant_no = s.tenant_no
         WHERE t.id = ? AND s.source = ?",
    );
    let row = row.bind(tenant.to_string()).bind(source.as_str()).fetch_optional(&mut *connection).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

impl SqlStore {
    async fn read_ledger(&self, filter: LedgerFilter, now: Timestamp) -> Result<Vec<LedgerHour>, Failure> {
        // One transaction, so that what is said about an hour fits its counts.
        let mut reading = self.readers.begin().await?;
        let sources = query(
            "SELECT s.source_no, t.id, s.source, c.cursor FROM source s JOIN tenant t ON t.tenant_no = s.tenant_no
                 JOIN cursor c ON c.source_no = s.source_no AND c.purpose = 'live'
             WHERE (?1 IS NULL OR t.id = ?1) AND (?2 IS NULL OR s.source = ?2) ORDER BY t.slug, s.source",
        )
        .bind(filter.tenant.map(|id| id.to_string()))
        .bind(filter.source.map(Source::as_str))
        .fetch_all(&mut reading)
        .await?;
        let last =
            hour_of(Some(filter.to)) - i64::from(hour_begins_at(hour_of(Some(filter.to))) == filter.to);
        let first = hour_of(Some(filter.from)).max(last - HOURS_MAX);
        let mut hours = Vec::new();
        for row in sources {
            let source_no: i64 = row.try_get("source_no")?;
            let notes = query("SELECT note FROM cursor_note WHERE source_no = ? ORDER BY note_no")
                .bind(source_no)
                .fetch_all(&mut reading)
                .await?;
            let notes = notes.iter().map(|row| serde_json::from_str(row.try_get(0)?).map_err(odd));
            let notes = notes.collect::<Result<Vec<Note>, _>>()?;
            let live: Cursor = serde_json::from_str(row.try_get("cursor")?).map_err(odd)?;
            let whose = (parsed(&row, "id")?, parsed(&row, "source")?);
            let known = Known::of(whose.1, live, &notes, read_coverage(&mut reading, source_no).await?);
            let mut counted = counted_hours(&mut reading, source_no, whose, (first, last)).await?;
            let mut named = match whose.1 {
                Source::GraphAlerts => witness::named(&mut reading, source_no, (first, last), now).await?,
                _ => HashMap::new(),
            };
            for number in first..=last {
                let mut hour = counted.remove(&number).unwrap_or_else(|| empty_hour(whose, number));
                hour.state = known.state(number, hour.reopened_at, now);
                hour.witness = named.remove(&number);
                let is_overdue = hour.witness.as_ref().is_some_and(|witness| witness.is_overdue);
                if is_overdue && !matches!(hour.state, HourState::Hole { .. }) {
                    hour.state = HourState::Hole { reason: Reason::Named };
                }
                let records = hour.sinks.iter().map(|sink| sink.given_up).sum();
                if records > 0 && !matches!(hour.state, HourState::Hole { .. }) {
                    hour.state = HourState::GivenUp { records };
                }
                hours.push(hour);
            }
        }
        Ok(hours)
    }
}

/// The hours of a source for which there are rows, by number.
async fn counted_hours(
    connection: &mut Connection,
    source_no: i64,
    whose: (TenantId, Source),
    (first, last): (i64, i64),
) -> Result<HashMap<i64, LedgerHour>, Failure> {
    let mut hours = HashMap::new();
    let rows = query("SELECT * FROM ledger WHERE source_no = ? AND hour BETWEEN ? AND ?");
    for row in rows.bind(source_no).bind(first).bind(last).fetch_all(&mut *connection).await? {
        let number = row.try_get("hour")?;
        let column = |name: &str| row.try_get::<i64, _>(name).map(count);
        let time = |name: &str| row.try_get::<Option<i64>, _>(name).map(|time| time.map(timestamp));
        let hour = LedgerHour {
            new: column("new")?,
            seen_again: column("seen_again")?,
            late: column("late")?,
            late_seconds_max: column("late_seconds_max")?,
            healed: column("healed")?,
            unrouted: column("unrouted")?,
            source_count: row.try_get::<Option<i64>, _>("source_count")?.map(count),
            counted_at: time("counted_at")?,
            reopened_at: time("reopened_at")?,
            ..empty_hour(whose, number)
        };
        hours.insert(number, hour);
    }
    let rows =
        query("SELECT * FROM ledger_sink WHERE source_no = ? AND hour BETWEEN ? AND ? ORDER BY hour, sink");
    for row in rows.bind(source_no).bind(first).bind(last).fetch_all(&mut *connection).await? {
        let number = row.try_get("hour")?;
        let hour = hours.entry(number).or_insert_with(|| empty_hour(whose, number));
        hour.sinks.push(LedgerSink {
            sink: row.try_get("sink")?,
            owed: count(row.try_get("owed")?),
            delivered: count(row.try_get("delivered")?),
            rejected: count(row.try_get("rejected")?),
            given_up: count(row.try_get("given_up")?),
        });
    }
    Ok(hours)
}

fn empty_hour((tenant, source): (TenantId, Source), number: i64) -> LedgerHour {
    LedgerHour {
        tenant,
        source,
        hour: hour_begins_at(number),
        new: 0,
        seen_again: 0,
        late: 0,
        late_seconds_max: 0,
        healed: 0,
        unrouted: 0,
        source_count: None,
        counted_at: None,
        reopened_at: None,
        witness: None,
        state: HourState::Open,
        sinks: Vec::new(),
    }
}
