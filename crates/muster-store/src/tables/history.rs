//! The versions before those of a page: what is known of them, and whether that still holds when the page is written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use muster_model::{Before, Outline, RecordKind, Source, Stage, TenantId, Told};

use super::rows::{odd, parsed};
use crate::changes::{History, KnownLatest, Said, record_key};
use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::packing::{StoredBatch, unpack};
use crate::sealing::{DataKey, Sealed};
use crate::sql::{Connection, query};
use crate::stored::{count, nanoseconds, timestamp};
use crate::{JournalSlice, NewRecord, StoreError};

/// How far is gone back for what a version leaves open: the last eight versions of a record.
const VERSIONS_MAX: usize = 8;
/// A place in the journal as one number: no batch has as many records.
const PLACES: i64 = 1 << 20;

/// The latest version of each record: the one accepted last of those without a time and those with the latest.
/// `CROSS JOIN` keeps SQLite from reading all of a source's versions first, and `+` from looking for a time before it knows
/// whether the record is there.
///
/// With `max` alone, SQLite gives the other columns of the row that has it; PostgreSQL has a word for that.
pub(crate) const LATEST_OF_RECORDS: &str =
    "SELECT j.value AS id, max(v.batch_no * 1048576 + v.ordinal) AS place, v.stage,
         (SELECT max(m.updated_at) FROM record_version m INDEXED BY record_version_of_record
             WHERE m.source_no = ?1 AND m.id = j.value AND m.ordinal >= 0) AS updated_at
     FROM json_each(?2) j CROSS JOIN record_version v INDEXED BY record_version_of_record
         ON v.source_no = ?1 AND v.id = j.value AND v.ordinal >= 0
         AND (+v.updated_at = -9223372036854775808 OR +v.updated_at = (
             SELECT max(m.updated_at) FROM record_version m INDEXED BY record_version_of_record
             WHERE m.source_no = ?1 AND m.id = j.value AND m.ordinal >= 0))
     GROUP BY j.key";
const LATEST_OF_RECORDS_POSTGRES: &str =
    "SELECT DISTINCT ON (j.key) j.value AS id, v.batch_no * 1048576 + v.ordinal AS place, v.stage, l.updated_at
     FROM json_each(?2) j
         JOIN LATERAL (SELECT max(m.updated_at) AS updated_at FROM record_version m
             WHERE m.source_no = ?1 AND m.id = j.value AND m.ordinal >= 0) l ON true
         JOIN record_version v ON v.source_no = ?1 AND v.id = j.value AND v.ordinal >= 0
             AND (v.updated_at = ?3 OR v.updated_at = l.updated_at)
     ORDER BY j.key, v.batch_no DESC, v.ordinal DESC";

/// The latest versions of the records of a page, as they were when they were looked up.
#[derive(Default)]
pub(crate) struct LatestVersions {
    /// By [`record_key`].
    found: HashMap<String, Latest>,
    /// Between which update times versions of the source have been forgotten.
    forgotten: Option<(i64, i64)>,
    /// The last batch of the source that was there then.
    pub(super) up_to: i64,
    /// The records that were looked up, as JSON.
    pub(super) ids: String,
}

struct Latest {
    batch_no: i64,
    ordinal: usize,
    updated_at: i64,
    stage: Option<Stage>,
}

impl LatestVersions {
    /// Whether any version of the record is known.
    pub(crate) fn has(&self, id: &str) -> bool {
        !self.found.is_empty() && self.found.contains_key(&*record_key(id))
    }
}

/// Whose versions they are, and what opens them.
pub(crate) struct Whose<'a> {
    pub(super) source_no: i64,
    pub(super) source: Source,
    pub(super) tenant: TenantId,
    pub(super) key: &'a DataKey,
}

impl SqlStore {
    /// Looks up the latest versions of these records.
    pub(crate) async fn latest_versions(
        &self,
        source_no: i64,
        ids: impl Iterator<Item = &str> + Send,
    ) -> Result<LatestVersions, Failure> {
        let ids: BTreeSet<_> = ids.map(record_key).collect();
        if ids.is_empty() {
            return Ok(LatestVersions::default());
        }
        let ids = serde_json::to_string(&ids).map_err(odd)?;
        let row = query(
            "SELECT forgotten_from, forgotten_to,
                 coalesce((SELECT max(batch_no) FROM journal_batch WHERE source_no = ?1), 0)
             FROM source WHERE source_no = ?1",
        )
        .bind(source_no)
        .fetch_one(&self.readers)
        .await?;
        let forgotten = row.try_get::<Option<i64>, _>(0)?.zip(row.try_get::<Option<i64>, _>(1)?);
        let up_to = row.try_get(2)?;
        let latest = match self.readers.is_postgres() {
            true => query(LATEST_OF_RECORDS_POSTGRES).bind(source_no).bind(&ids).bind(i64::MIN),
            false => query(LATEST_OF_RECORDS).bind(source_no).bind(&ids),
        };
        let rows = latest.fetch_all(&self.readers).await?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in rows {
            let place: i64 = row.try_get("place")?;
            let latest = Latest {
                batch_no: place / PLACES,
                ordinal: usize::try_from(place % PLACES).unwrap_or_default(),
                updated_at: row.try_get("updated_at")?,
                stage: row.try_get::<Option<&str>, _>("stage")?.and_then(Stage::decode),
            };
            found.insert(row.try_get("id")?, latest);
        }
        Ok(LatestVersions { found, forgotten, up_to, ids })
    }

    /// Reads what the latest versions say that `fresh` are to be told from.
    pub(crate) async fn history(
        &self,
        whose: &Whose<'_>,
        latest: LatestVersions,
        fresh: &[&NewRecord<'_>],
    ) -> Result<History, Failure> {
        let mut known = HashMap::with_capacity(latest.found.len());
        let mut wanted: BTreeMap<i64, BTreeMap<String, usize>> = BTreeMap::new();
        if !latest.found.is_empty() {
            for record in fresh {
                let id = record_key(&record.head.id);
                let Some(latest) = latest.found.get(&*id) else { continue };
                // What is older than it is not held against it.
                if record.head.updated_at.is_none_or(|at| nanoseconds(at) >= latest.updated_at) {
                    wanted.entry(latest.batch_no).or_default().insert(id.into_owned(), latest.ordinal);
                }
            }
        }
        for (id, Latest { updated_at, stage, .. }) in latest.found {
            known.insert(id, KnownLatest { updated_at, said: stage.map_or(Said::Unknown, Said::Stage) });
        }
        let kind = whose.source.kind();
        for (batch_no, wanted) in wanted {
            for (id, outline) in self.outlines(whose, batch_no, wanted).await? {
                let outline = match outline.leaves_open(kind) {
                    true => self.followed(whose, &id).await?.unwrap_or(outline),
                    false => outline,
                };
                if let Some(latest) = known.get_mut(&id) {
                    latest.said = Said::Outline(match std::mem::replace(&mut latest.said, Said::Unknown) {
                        Said::Stage(stage) => outline.at(stage),
                        _ => outline,
                    });
                }
            }
        }
        Ok(History { kind, known, forgotten: latest.forgotten })
    }

    /// The outlines of some versions in a batch, by their records' ids and given their places; of none where the batch is gone, or cannot be
    /// read.
    async fn outlines(
        &self,
        whose: &Whose<'_>,
        batch_no: i64,
        wanted: BTreeMap<String, usize>,
    ) -> Result<Vec<(String, Outline)>, Failure> {
        let Some(stored) = self.stored_batch(batch_no).await? else { return Ok(Vec::new()) };
        let (tenant, key, kind) = (whose.tenant, whose.key.clone(), whose.source.kind());
        let read = self.packer.run(move || {
            let Ok(batch) = unpack(stored, tenant, &key) else { return Vec::new() };
            let outline = |(id, ordinal): (String, usize)| {
                let record = batch.record(ordinal).filter(|record| record_key(&record.head.id) == id)?;
                let outline = Outline::of(kind, record.body)?;
                Some((id, outline))
            };
            wanted.into_iter().filter_map(outline).collect()
        });
        Ok(read.await)
    }

    /// The outline of a record's latest version, where that and some before it leave something open: each is followed from the
    /// one before.
    async fn followed(&self, whose: &Whose<'_>, id: &str) -> Result<Option<Outline>, Failure> {
        let rows = query(
            "SELECT batch_no, ordinal FROM record_version INDEXED BY record_version_of_record
             WHERE source_no = ?1 AND id = ?2 AND ordinal >= 0
             GROUP BY batch_no, ordinal ORDER BY max(updated_at) DESC, batch_no DESC, ordinal DESC LIMIT ?3",
        )
        .bind(whose.source_no)
        .bind(id)
        .bind(i64::try_from(VERSIONS_MAX).expect("a small number"))
        .fetch_all(&self.readers)
        .await?;
        let mut bodies = Vec::with_capacity(rows.len());
        let kind = whose.source.kind();
        for row in rows {
            let ordinal = usize::try_from(row.try_get::<i64, _>(1)?).unwrap_or_default();
            let Some(stored) = self.stored_batch(row.try_get(0)?).await? else { break };
            let (tenant, key) = (whose.tenant, whose.key.clone());
            let body = self.packer.run(move || {
                let batch = unpack(stored, tenant, &key).ok()?;
                batch.record(ordinal).map(|record| record.body.to_owned())
            });
            let Some(body) = body.await else { break };
            let is_whole = Outline::of(kind, &body).is_some_and(|outline| !outline.leaves_open(kind));
            bodies.push(body);
            if is_whole {
                break;
            }
        }
        Ok(follow(kind, &bodies))
    }

    /// The batch behind the one of number `after`, of a tenant or of all, accepted at `since` or later.
    pub(crate) async fn slice(
        &self,
        after: u64,
        tenant: Option<TenantId>,
        since: Timestamp,
    ) -> Result<Option<JournalSlice>, Failure> {
        let row = query(
            "SELECT b.batch_no, b.accepted_at, t.id, t.data_key, s.source FROM journal_batch b
                 JOIN source s ON s.source_no = b.source_no JOIN tenant t ON t.tenant_no = s.tenant_no
             WHERE b.batch_no > ?1 AND b.accepted_at >= ?2 AND (?3 IS NULL OR t.id = ?3)
             ORDER BY b.batch_no LIMIT 1",
        )
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(nanoseconds(since))
        .bind(tenant.map(|id| id.to_string()))
        .fetch_optional(&self.readers)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let batch_no: i64 = row.try_get("batch_no")?;
        let tenant: TenantId = parsed(&row, "id")?;
        let records = match self.stored_batch(batch_no).await? {
            None => Err("it was pruned meanwhile".to_owned()),
            Some(stored) => {
                match self.keys.data_key(Sealed::from_stored(row.try_get("data_key")?), tenant).await {
                    Ok(key) => {
                        let unpacked = self.packer.run(move || unpack(stored, tenant, &key)).await;
                        unpacked.map_err(|unreadable| unreadable.reason)
                    }
                    // One tenant's damaged key is that tenant's trouble.
                    Err(damaged @ StoreError::Sealing { .. }) => Err(damaged.to_string()),
                    Err(error) => return Err(error.into()),
                }
            }
        };
        Ok(Some(JournalSlice {
            batch: count(batch_no),
            tenant,
            source: parsed(&row, "source")?,
            accepted_at: timestamp(row.try_get("accepted_at")?),
            records,
        }))
    }

    /// A batch as it is stored; `None` where it was pruned.
    pub(crate) async fn stored_batch(&self, batch_no: i64) -> Result<Option<StoredBatch>, Failure> {
        let row = query("SELECT batch_id, records, body_bytes, sealed FROM journal_batch WHERE batch_no = ?")
            .bind(batch_no)
            .fetch_optional(&self.readers)
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(StoredBatch {
            batch_id: row.try_get("batch_id")?,
            records: count(row.try_get("records")?),
            body_bytes: count(row.try_get("body_bytes")?),
            sealed: row.try_get("sealed")?,
        }))
    }
}

/// What the first of `bodies` says, the newest, with what the older ones say where it does not.
fn follow(kind: RecordKind, bodies: &[String]) -> Option<Outline> {
    let mut outline: Option<Outline> = None;
    for body in bodies.iter().rev() {
        outline = match &outline {
            None => Outline::of(kind, body),
            Some(before) => Told::of(Before::Version(before), kind, body).outline.or(outline),
        };
    }
    outline
}

/// Fails where another writer was faster: a version of one of the records has been accepted since they were looked up, and the
/// page is to be looked at anew.
pub(crate) async fn check_history(
    connection: &mut Connection,
    source_no: i64,
    up_to: i64,
    ids: &str,
) -> Result<(), Failure> {
    let row = query("SELECT coalesce(max(batch_no), 0) FROM journal_batch WHERE source_no = ?");
    let last: i64 = row.bind(source_no).fetch_one(&mut *connection).await?.try_get(0)?;
    if last <= up_to {
        return Ok(());
    }
    let newer = query(
        "SELECT 1 FROM json_each(?2) j CROSS JOIN record_version v INDEXED BY record_version_of_record
             ON v.source_no = ?1 AND v.id = j.value AND v.ordinal >= 0 AND v.batch_no > ?3 LIMIT 1",
    )
    .bind(source_no)
    .bind(ids)
    .bind(up_to)
    .fetch_optional(&mut *connection)
    .await?;
    if newer.is_some() { Err(Failure::Overtaken) } else { Ok(()) }
}

/// Remembers that versions with these update times have been forgotten: a record that is not known may have been known then.
pub(crate) async fn forget(
    connection: &mut Connection,
    source_no: i64,
    updated_at: &[i64],
) -> Result<(), Failure> {
    // Those without a time say nothing about when they were.
    let times = updated_at.iter().copied().filter(|at| *at != i64::MIN);
    let Some((from, to)) = times.clone().min().zip(times.max()) else { return Ok(()) };
    query(
        "UPDATE source SET forgotten_from = min(?2, coalesce(forgotten_from, ?2)),
             forgotten_to = max(?3, coalesce(forgotten_to, ?3)) WHERE source_no = ?1",
    )
    .bind(source_no)
    .bind(from)
    .bind(to)
    .execute(&mut *connection)
    .await?;
    Ok(())
}
