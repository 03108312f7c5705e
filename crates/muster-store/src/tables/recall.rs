//! Owes again what a sink acknowledged and its own files do not hold: they were put back from an older copy.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use muster_model::{Lineage, SinkMemory, TenantId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::batches::lineage_no;
use super::ledger::{SinkRow, count_sinks};
use super::meta::set_meta;
use super::promotion::next_number;
use super::rows::parsed;
use crate::counting::hour_of_stored;
use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::sql::{Connection, Row, query};
use crate::stored::{count, nanoseconds};
use crate::writer::Durability;
use crate::{Recalled, StoreError};

/// Which memory a sink had when it was looked at last, and since when.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    id: Uuid,
    /// Nanoseconds since 1970. What was acknowledged before lies in other files.
    since: i64,
}

/// A queue that is done with deliveries that the files do not hold.
struct Behind {
    queue_no: i64,
    tenant_no: i64,
    tenant: TenantId,
}

/// An acknowledged delivery.
struct Acknowledged {
    batch_no: i64,
    number: i64,
    lineage_no: i64,
    records: i64,
    body_bytes: i64,
    selection: Option<Vec<u8>>,
}

impl SqlStore {
    /// See [`crate::Deliveries::recall`].
    pub(super) async fn recall_from(
        &self,
        sink: &str,
        memory: &SinkMemory,
        now: Timestamp,
    ) -> Result<Recalled, StoreError> {
        let (sink, memory, lineage) = (sink.to_owned(), memory.clone(), self.lineage.clone());
        self.write("compare what a sink's files hold", Durability::Synced, move |connection| {
            Box::pin(async move {
                let lineages = lineages(connection).await?;
                let knows_more = knows_more(connection, &sink, &memory, &lineages).await?;
                let key = format!("sink_memory:{sink}");
                let since = match known(connection, &key).await? {
                    Some(known) if known.id == memory.id => known.since,
                    before => {
                        let had_others = before.is_some();
                        let known = Known { id: memory.id, since: nanoseconds(now) };
                        let known = serde_json::to_string(&known).expect("a name and a number");
                        set_meta(connection, &key, &known).await?;
                        return Ok(Recalled { had_others, knows_more, ..Recalled::default() });
                    }
                };
                let mut recalled = Recalled { is_known: true, knows_more, ..Recalled::default() };
                let behind = behind(connection, &sink, &memory, &lineages).await?;
                if behind.is_empty() {
                    return Ok(recalled);
                }
                let lineage_no = lineage_no(connection, &lineage, now).await?;
                // A ledger forgets lineages, the oldest first: what is older than all that it knows says nothing.
                let known = memory.lineages.keys().filter_map(|lineage| lineages.get(lineage).copied());
                let oldest = known.min().unwrap_or(0);
                for queue in behind {
                    let acknowledged = acknowledged(connection, &queue, &sink, since).await?;
                    let held: HashMap<i64, u64> = memory
                        .lineages
                        .iter()
                        .filter_map(|(lineage, claims)| {
                            Some((*lineages.get(lineage)?, *claims.get(&queue.tenant)?))
                        })
                        .collect();
                    let is_missing = |of: &Acknowledged| match held.get(&of.lineage_no) {
                        Some(held) => count(of.number) > *held,
                        None => of.lineage_no >= oldest,
                    };
                    let missing: Vec<_> = acknowledged.into_iter().filter(is_missing).collect();
                    recalled.records +=
                        owe_again(connection, &queue, &sink, lineage_no, missing, now).await?;
                }
                Ok(recalled)
            })
        })
        .await
    }
}

async fn known(connection: &mut Connection, key: &str) -> Result<Option<Known>, Failure> {
    let row =
        query("SELECT value FROM meta WHERE key = ?").bind(key).fetch_optional(&mut *connection).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(serde_json::from_str(row.try_get(0)?).ok())
}

async fn lineages(connection: &mut Connection) -> Result<HashMap<Lineage, i64>, Failure> {
    let rows = query("SELECT lineage_no, id FROM lineage").fetch_all(&mut *connection).await?;
    let mut lineages = HashMap::new();
    for row in rows {
        if let Ok(id) = row.try_get::<&str, _>("id")?.parse() {
            lineages.insert(Lineage(id), row.try_get("lineage_no")?);
        }
    }
    Ok(lineages)
}

/// Whether the files hold deliveries that this store has not given a number yet.
async fn knows_more(
    connection: &mut Connection,
    sink: &str,
    memory: &SinkMemory,
    lineages: &HashMap<Lineage, i64>,
) -> Result<bool, Failure> {
    if memory.lineages.iter().any(|(lineage, claims)| !claims.is_empty() && !lineages.contains_key(lineage)) {
        return Ok(true);
    }
    let rows = query(
        "SELECT t.id, q.next_number FROM queue q JOIN tenant t ON t.tenant_no = q.tenant_no WHERE q.sink = ?",
    );
    let mut next: HashMap<TenantId, u64> = HashMap::new();
    for row in rows.bind(sink).fetch_all(&mut *connection).await? {
        next.insert(parsed(&row, "id")?, count(row.try_get("next_number")?));
    }
    let mut claims = memory.lineages.values().flatten();
    Ok(claims.any(|(tenant, number)| next.get(tenant).is_some_and(|next| number >= next)))
}

async fn behind(
    connection: &mut Connection,
    sink: &str,
    memory: &SinkMemory,
    lineages: &HashMap<Lineage, i64>,
) -> Result<Vec<Behind>, Failure> {
    let names: HashMap<i64, Lineage> = lineages.iter().map(|(lineage, no)| (*no, *lineage)).collect();
    let rows = query(
        "SELECT q.queue_no, q.tenant_no, q.done_number, q.done_lineage_no, t.id
         FROM queue q JOIN tenant t ON t.tenant_no = q.tenant_no WHERE q.sink = ? AND q.done_lineage_no > 0",
    );
    let mut behind = Vec::new();
    for row in rows.bind(sink).fetch_all(&mut *connection).await? {
        let tenant: TenantId = parsed(&row, "id")?;
        let done = count(row.try_get("done_number")?);
        let lineage = names.get(&row.try_get("done_lineage_no")?);
        let held = lineage.and_then(|lineage| memory.lineages.get(lineage)?.get(&tenant));
        if held.is_none_or(|held| *held < done) {
            let (queue_no, tenant_no) = (row.try_get("queue_no")?, row.try_get("tenant_no")?);
            behind.push(Behind { queue_no, tenant_no, tenant });
        }
    }
    Ok(behind)
}

/// What the sink acknowledged of a tenant since a time, in order, as far as the journal holds it.
async fn acknowledged(
    connection: &mut Connection,
    queue: &Behind,
    sink: &str,
    since: i64,
) -> Result<Vec<Acknowledged>, Failure> {
    let rows = query(
        "SELECT a.batch_no, a.number, a.lineage_no, a.records, a.selection, b.body_bytes
         FROM source s JOIN journal_batch b ON b.source_no = s.source_no
             JOIN acknowledgement a ON a.batch_no = b.batch_no AND a.sink = ?2
         WHERE s.tenant_no = ?1 AND a.outcome = 'delivered' AND a.at >= ?3 ORDER BY a.number",
    );
    let rows = rows.bind(queue.tenant_no).bind(sink).bind(since).fetch_all(&mut *connection).await?;
    let read = |row: &Row| -> Result<Acknowledged, sqlx::Error> {
        Ok(Acknowledged {
            batch_no: row.try_get("batch_no")?,
            number: row.try_get("number")?,
            lineage_no: row.try_get("lineage_no")?,
            records: row.try_get("records")?,
            body_bytes: row.try_get("body_bytes")?,
            selection: row.try_get("selection")?,
        })
    };
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

/// Makes deliveries of what is missing, with new numbers, and takes its acknowledgements back; how many records that is.
async fn owe_again(
    connection: &mut Connection,
    queue: &Behind,
    sink: &str,
    lineage_no: i64,
    missing: Vec<Acknowledged>,
    now: Timestamp,
) -> Result<u64, Failure> {
    let mut records = 0;
    let mut batches = HashSet::new();
    for of in missing {
        records += of.records;
        batches.insert(of.batch_no);
        let number = next_number(connection, queue.queue_no).await?;
        query(
            "INSERT INTO delivery (queue_no, number, batch_no, records, body_bytes, owed_since, selection, lineage_no)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(queue.queue_no)
        .bind(number)
        .bind(of.batch_no)
        .bind(of.records)
        .bind(of.body_bytes)
        .bind(nanoseconds(now))
        .bind(of.selection)
        .bind(lineage_no)
        .execute(&mut *connection)
        .await?;
        let taken_back = "DELETE FROM acknowledgement WHERE batch_no = ? AND sink = ? AND number = ? AND outcome = 'delivered'";
        query(taken_back).bind(of.batch_no).bind(sink).bind(of.number).execute(&mut *connection).await?;
    }
    // What the files hold is known again with the next delivery.
    query(
        "UPDATE queue SET done_number = 0, done_lineage_no = 0, next_at = min(next_at, ?3), set_at = ?3,
             owed = owed + ?2, delivered = max(delivered - ?2, 0)
         WHERE queue_no = ?1",
    )
    .bind(queue.queue_no)
    .bind(records)
    .bind(nanoseconds(now))
    .execute(&mut *connection)
    .await?;
    if records > 0 {
        count_as_owed(connection, queue.tenant_no, sink, &batches).await?;
    }
    Ok(count(records))
}

/// Takes what counts as delivered back in the completeness ledger.
async fn count_as_owed(
    connection: &mut Connection,
    tenant_no: i64,
    sink: &str,
    batches: &HashSet<i64>,
) -> Result<(), Failure> {
    let rows = query(
        "SELECT DISTINCT v.source_no, v.batch_no, v.ordinal, max(v.updated_at) AS updated_at FROM source s
         JOIN record_version v ON v.source_no = s.source_no WHERE s.tenant_no = ?
         GROUP BY v.source_no, v.batch_no, v.ordinal",
    );
    let mut hours: BTreeMap<i64, BTreeMap<i64, i64>> = BTreeMap::new();
    for row in rows.bind(tenant_no).fetch_all(&mut *connection).await? {
        if batches.contains(&row.try_get("batch_no")?) {
            let hour = hour_of_stored(row.try_get("updated_at")?);
            *hours.entry(row.try_get("source_no")?).or_default().entry(hour).or_default() += 1;
        }
    }
    for (source_no, hours) in hours {
        let rows: Vec<SinkRow<'_>> =
            hours.into_iter().map(|(hour, records)| (hour, sink, 0, -records, 0)).collect();
        count_sinks(connection, source_no, serde_json::to_string(&rows).expect("names and numbers")).await?;
    }
    Ok(())
}
