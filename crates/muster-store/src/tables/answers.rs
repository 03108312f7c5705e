//! What sinks answered: kept with the batch, and counted in the ledger.

use std::collections::BTreeMap;

use jiff::Timestamp;
use muster_model::{Selection, Source};

use super::ledger::{SinkRow, count_sinks};
use crate::failure::Failure;
use crate::settling::{Answer, selected};
use crate::sql::{Connection, query};
use crate::stored::{bits, nanoseconds};

/// Keeps what a sink said of records of deliveries that are still there.
pub(super) async fn write_answers(
    connection: &mut Connection,
    queue_no: i64,
    sink: &str,
    answers: Vec<Answer>,
    now: Timestamp,
) -> Result<(), Failure> {
    for Answer { number, outcome, records, selection, batch_records } in answers {
        let (records, selection) = match answered(connection, queue_no, (number, sink, outcome), now).await? {
            None => (records, Some(selection)),
            Some(before) => {
                let both = selection.with(&before, batch_records);
                (both.as_ref().map_or(0, |both| selected(batch_records, both)), both)
            }
        };
        query(
            "INSERT INTO acknowledgement (batch_no, sink, number, at, outcome, records, selection, lineage_no)
             SELECT batch_no, ?3, number, ?4, ?5, ?6, ?7, lineage_no FROM delivery WHERE queue_no = ?1 AND number = ?2
             ON CONFLICT (batch_no, sink, number, at, outcome) DO UPDATE SET records = excluded.records,
                 selection = excluded.selection, lineage_no = excluded.lineage_no",
        )
        .bind(queue_no)
        .bind(number)
        .bind(sink)
        .bind(nanoseconds(now))
        .bind(outcome)
        .bind(records)
        .bind(selection.and_then(bits))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// What is known of the same answer at the same instant: a delivery's records may be confirmed by several tickets at once.
async fn answered(
    connection: &mut Connection,
    queue_no: i64,
    (number, sink, outcome): (i64, &str, &str),
    now: Timestamp,
) -> Result<Option<Selection>, Failure> {
    let row = query(
        "SELECT a.selection FROM delivery d JOIN acknowledgement a ON a.batch_no = d.batch_no AND a.sink = ?3
             AND a.number = d.number AND a.at = ?4 AND a.outcome = ?5
         WHERE d.queue_no = ?1 AND d.number = ?2",
    )
    .bind(queue_no)
    .bind(number)
    .bind(sink)
    .bind(nanoseconds(now))
    .bind(outcome)
    .fetch_optional(&mut *connection)
    .await?;
    let selection = row.map(|row| row.try_get::<Option<Vec<u8>>, _>(0)).transpose()?;
    Ok(selection.map(|selection| selection.map_or(Selection::All, Selection::Some)))
}

/// Counts what a sink acknowledged and refused.
pub(super) async fn count_answers(
    connection: &mut Connection,
    tenant_no: i64,
    sink: &str,
    hours: BTreeMap<(Source, i64), (i64, i64)>,
) -> Result<(), Failure> {
    let mut sources: BTreeMap<Source, Vec<SinkRow<'_>>> = BTreeMap::new();
    for ((source, hour), (delivered, rejected)) in hours {
        sources.entry(source).or_default().push((hour, sink, 0, delivered, rejected));
    }
    for (source, rows) in sources {
        let row = query("SELECT source_no FROM source WHERE tenant_no = ? AND source = ?")
            .bind(tenant_no)
            .bind(source.as_str())
            .fetch_optional(&mut *connection)
            .await?;
        let Some(row) = row else { continue };
        let rows = serde_json::to_string(&rows).expect("names and numbers");
        count_sinks(connection, row.try_get(0)?, rows).await?;
    }
    Ok(())
}
