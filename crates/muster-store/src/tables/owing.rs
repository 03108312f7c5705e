//! What of a batch a sink is owed anew, given where it stands: owed already, had, refused.

use std::collections::BTreeMap;

use jiff::Timestamp;
use muster_model::{ReplayId, Selection};

use super::bound::take_back;
use super::ledger::{SinkRow, count_sinks};
use super::unrouted::strike_off;
use crate::ReplayedToSink;
use crate::failure::Failure;
use crate::sql::{Connection, query};
use crate::stored::{bits, nanoseconds};

/// A batch with what is wanted of it.
pub(super) struct Candidate {
    pub(super) batch_no: i64,
    pub(super) body_bytes: i64,
    /// In which hour the ledger counts each record.
    pub(super) hours: Vec<i64>,
    /// Which of them each sink is to have.
    pub(super) wanted: Vec<(String, Selection)>,
}

/// Where a sink stands with a batch.
#[derive(Default)]
pub(super) struct Standing {
    pub(super) owed: Vec<Selection>,
    pub(super) had: Vec<Selection>,
    pub(super) refused: Vec<Selection>,
}

impl Standing {
    pub(super) async fn read(
        connection: &mut Connection,
        tenant_no: i64,
        batch_no: i64,
        sink: &str,
    ) -> Result<Self, Failure> {
        let rows = query(
            "SELECT 'owed', d.selection FROM delivery d JOIN queue q ON q.queue_no = d.queue_no
             WHERE d.batch_no = ?1 AND q.tenant_no = ?3 AND q.sink = ?2
             UNION ALL SELECT 'owed', r.selection FROM replay r JOIN queue q ON q.queue_no = r.queue_no
             WHERE r.batch_no = ?1 AND q.tenant_no = ?3 AND q.sink = ?2
             UNION ALL SELECT outcome, selection FROM acknowledgement WHERE batch_no = ?1 AND sink = ?2",
        )
        .bind(batch_no)
        .bind(sink)
        .bind(tenant_no)
        .fetch_all(&mut *connection)
        .await?;
        let mut standing = Self::default();
        for row in rows {
            let selection = row.try_get::<Option<Vec<u8>>, _>(1)?.map_or(Selection::All, Selection::Some);
            match row.try_get::<&str, _>(0)? {
                "owed" => standing.owed.push(selection),
                "delivered" => standing.had.push(selection),
                "rejected" => standing.refused.push(selection),
                _ => {}
            }
        }
        Ok(standing)
    }
}

/// What each sink is owed anew of a batch; adds up what becomes of all that is wanted.
pub(super) async fn settle(
    connection: &mut Connection,
    tenant_no: i64,
    candidate: &Candidate,
    again: bool,
    sums: &mut BTreeMap<String, ReplayedToSink>,
) -> Result<Vec<(String, Selection)>, Failure> {
    let records = candidate.hours.len();
    let mut owed = Vec::new();
    for (sink, wanted) in &candidate.wanted {
        let standing = Standing::read(connection, tenant_no, candidate.batch_no, sink).await?;
        let within = |all: &[Selection], index| all.iter().any(|selection| selection.contains(index));
        let sum = sums.entry(sink.clone()).or_default();
        let anew = Selection::of(records, |index| {
            if !wanted.contains(index) {
                return false;
            }
            let counter = if within(&standing.owed, index) {
                &mut sum.owed_already
            } else if !again && within(&standing.had, index) {
                &mut sum.had
            } else if !again && within(&standing.refused, index) {
                &mut sum.refused
            } else {
                sum.owed += 1;
                sum.again += u64::from(within(&standing.had, index));
                return true;
            };
            *counter += 1;
            false
        });
        owed.extend(anew.map(|selection| (sink.clone(), selection)));
    }
    Ok(owed)
}

/// Owes sinks records of a batch, counts that in the ledger, and strikes them off what no sink was to have.
pub(super) async fn owe(
    connection: &mut Connection,
    (tenant_no, source_no): (i64, i64),
    candidate: Candidate,
    owed: Vec<(String, Selection)>,
    replay: Option<ReplayId>,
    now: Timestamp,
) -> Result<(), Failure> {
    let Candidate { batch_no, body_bytes, hours, .. } = candidate;
    for (sink, selection) in &owed {
        let mut counts: BTreeMap<i64, i64> = BTreeMap::new();
        for (_, hour) in hours.iter().enumerate().filter(|(index, _)| selection.contains(*index)) {
            *counts.entry(*hour).or_default() += 1;
        }
        let waiting = waiting(connection, (tenant_no, sink), batch_no).await?;
        let merged = Selection::of(hours.len(), |index| {
            selection.contains(index) || waiting.as_ref().is_some_and(|waiting| waiting.contains(index))
        });
        let more = OwedAgain {
            batch_no,
            records: counts.values().sum(),
            body_bytes,
            selection: merged.and_then(bits),
            replay: replay.map(|replay| replay.to_string()),
        };
        owe_again(connection, (tenant_no, sink), more, now).await?;
        let rows = counts.iter().map(|(hour, records)| (*hour, sink.as_str(), *records, 0, 0));
        let rows = serde_json::to_string(&rows.collect::<Vec<SinkRow<'_>>>()).expect("names and numbers");
        count_sinks(connection, source_no, rows).await?;
        take_back(connection, (source_no, batch_no), sink, selection, &hours).await?;
    }
    let to_a_sink = |index: usize| owed.iter().any(|(_, selection)| selection.contains(index));
    strike_off(connection, batch_no, to_a_sink, |index| hours.get(index).copied(), now).await
}

/// What waits of a batch to be replayed to a sink.
async fn waiting(
    connection: &mut Connection,
    (tenant_no, sink): (i64, &str),
    batch_no: i64,
) -> Result<Option<Selection>, Failure> {
    let row = query(
        "SELECT r.selection FROM replay r JOIN queue q ON q.queue_no = r.queue_no
         WHERE r.batch_no = ? AND q.tenant_no = ? AND q.sink = ?",
    );
    let row = row.bind(batch_no).bind(tenant_no).bind(sink).fetch_optional(&mut *connection).await?;
    let selection = row.map(|row| row.try_get::<Option<Vec<u8>>, _>(0)).transpose()?;
    Ok(selection.map(|selection| selection.map_or(Selection::All, Selection::Some)))
}

/// What one more part of a batch is owed to a queue.
struct OwedAgain {
    batch_no: i64,
    records: i64,
    body_bytes: i64,
    selection: Option<Vec<u8>>,
    replay: Option<String>,
}

/// Owes a queue some records of a batch once more. `merged` is the selection with what waits of the batch already.
async fn owe_again(
    connection: &mut Connection,
    (tenant_no, sink): (i64, &str),
    more: OwedAgain,
    now: Timestamp,
) -> Result<(), Failure> {
    let row = query(
        "INSERT INTO queue (tenant_no, sink, next_number, next_at, set_at, owed) VALUES (?1, ?2, 1, ?3, ?3, ?4)
         ON CONFLICT (tenant_no, sink) DO UPDATE SET
             next_at = CASE WHEN queue.owed = 0 THEN excluded.next_at ELSE queue.next_at END,
             set_at = CASE WHEN queue.owed = 0 AND queue.lease_owner IS NULL THEN excluded.set_at ELSE queue.set_at END,
             owed = queue.owed + excluded.owed
         RETURNING queue_no",
    )
    .bind(tenant_no)
    .bind(sink)
    .bind(nanoseconds(now))
    .bind(more.records)
    .fetch_one(&mut *connection)
    .await?;
    query(
        // One row for a batch: what waits of it already comes with the later replay's name.
        "INSERT INTO replay (queue_no, batch_no, records, body_bytes, owed_since, selection, replay_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (queue_no, batch_no) DO UPDATE SET records = replay.records + excluded.records,
             selection = excluded.selection, replay_id = coalesce(excluded.replay_id, replay.replay_id)",
    )
    .bind(row.try_get::<i64, _>(0)?)
    .bind(more.batch_no)
    .bind(more.records)
    .bind(more.body_bytes)
    .bind(nanoseconds(now))
    .bind(more.selection)
    .bind(more.replay)
    .execute(&mut *connection)
    .await?;
    Ok(())
}
