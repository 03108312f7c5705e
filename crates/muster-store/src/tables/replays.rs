//! Bringing what the journal holds to sinks once more.
//!
//! Which records a request is about is found out from the batches before the transaction; what of that a sink is owed or has
//! had already is looked up within it, so that it is owed once, whoever else is at work.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{Batch, Selection, Source, TenantId};

use super::batches::version_columns;
use super::damage::{LostVersions, fetch_again};
use super::owing::{Candidate, owe, settle};
use super::rows::{odd, parsed};
use super::tenants::LivingTenant;
use super::unrouted::read_unrouted;
use crate::counting::hour_of;
use crate::drafts::version;
use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::packing::unpack;
use crate::sealing::DataKey;
use crate::sql::query;
use crate::stored::{count, nanoseconds, timestamp};
use crate::writer::Durability;
use crate::{
    Destination, ReplayCounts, ReplayRequest, ReplayStep, Replays, StandingsStep, StoreError, Unrouted,
};

/// So many batches are looked at in one step, or as many as have so many bytes.
const BATCHES_MAX: i64 = 64;
const BYTES_MAX: u64 = 8 << 20;
const DOING: &str = "replay the journal";

/// Whose batches they are, and what opens them.
struct Whose {
    tenant_no: i64,
    key: Arc<DataKey>,
}

/// A batch that cannot be read, with what is known of it.
struct DamagedBatch {
    batch_no: i64,
    lost: Vec<LostVersions>,
}

/// What becomes of one batch.
enum Looked {
    Candidate(Candidate),
    Damaged(DamagedBatch),
    Nothing,
}

#[async_trait]
impl Replays for SqlStore {
    async fn unrouted(&self) -> Result<Vec<Unrouted>, StoreError> {
        self.read_all_unrouted().await
    }

    async fn replay(
        &self,
        request: &ReplayRequest<'_>,
        after: u64,
        now: Timestamp,
    ) -> Result<ReplayStep, StoreError> {
        let LivingTenant { tenant_no, data_key } = self.living_tenant(request.tenant, DOING).await?;
        let of = Whose { tenant_no, key: Arc::new(data_key) };
        let step = self.replay_some(request, of, after.cast_signed(), now).await;
        step.map_err(|failure| failure.worded(&self.path, DOING))
    }

    async fn standings(
        &self,
        request: &ReplayRequest<'_>,
        sinks: &[String],
        after: u64,
    ) -> Result<StandingsStep, StoreError> {
        self.look_at_standings(request, sinks, after).await
    }

    async fn pruned_up_to(&self, tenant: TenantId) -> Result<Vec<(Source, Timestamp)>, StoreError> {
        let failed = self.failed("look up how far the journal reaches back");
        let rows = query(
            "SELECT s.source, s.pruned_up_to FROM source s JOIN tenant t ON t.tenant_no = s.tenant_no
             WHERE t.id = ? AND s.pruned_up_to IS NOT NULL ORDER BY s.source",
        )
        .bind(tenant.to_string())
        .fetch_all(&self.readers)
        .await
        .map_err(&failed)?;
        let reach = |row| Ok((parsed(row, "source")?, timestamp(row.try_get("pruned_up_to")?)));
        rows.iter().map(reach).collect::<Result<_, sqlx::Error>>().map_err(failed)
    }

    async fn forget_unrouted(
        &self,
        tenant: TenantId,
        source: Source,
        span: (Timestamp, Timestamp),
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.forget_gone(tenant, source, span, now).await
    }
}

impl SqlStore {
    async fn replay_some(
        &self,
        request: &ReplayRequest<'_>,
        of: Whose,
        after: i64,
        now: Timestamp,
    ) -> Result<ReplayStep, Failure> {
        let source = query("SELECT source_no FROM source WHERE tenant_no = ? AND source = ?");
        let source = source.bind(of.tenant_no).bind(request.source.as_str());
        let Some(row) = source.fetch_optional(&self.readers).await? else { return Ok(ReplayStep::default()) };
        let source_no: i64 = row.try_get(0)?;
        let known_after = self.answers_known_after().await?;
        let (batches, next) = self.batches_of(request, source_no, after).await?;
        let mut counts = ReplayCounts::default();
        let (mut candidates, mut damaged) = (Vec::new(), Vec::new());
        for batch_no in batches {
            let known = request.unrouted || request.again || batch_no > known_after;
            match self.look_at(request, &of, (source_no, batch_no), known, &mut counts).await? {
                Looked::Candidate(candidate) => candidates.push(candidate),
                Looked::Damaged(found) => damaged.push(found),
                Looked::Nothing => {}
            }
        }
        let (tenant_no, again, replay) = (of.tenant_no, request.again, request.id);
        let sinks = if request.dry_run {
            // One view of the store, as the transaction has it.
            let mut reading = self.readers.begin().await?;
            let mut sinks = BTreeMap::new();
            for candidate in &candidates {
                settle(&mut reading, tenant_no, candidate, again, &mut sinks).await?;
            }
            sinks
        } else if candidates.is_empty() && damaged.is_empty() {
            BTreeMap::new()
        } else {
            let write = self.writes.run(Durability::Synced, move |connection| {
                Box::pin(async move {
                    let mut sinks = BTreeMap::new();
                    for candidate in candidates {
                        let owed = settle(connection, tenant_no, &candidate, again, &mut sinks).await?;
                        owe(connection, (tenant_no, source_no), candidate, owed, replay, now).await?;
                    }
                    let nobody = Selection::Some(Vec::new());
                    for DamagedBatch { batch_no, lost } in damaged {
                        for source in lost {
                            fetch_again(connection, batch_no, "", &nobody, source, now).await?;
                        }
                    }
                    Ok(sinks)
                })
            });
            write.await?
        };
        counts.sinks = sinks;
        Ok(ReplayStep { counts, next })
    }

    /// Up to which batch it was not kept what sinks answered.
    async fn answers_known_after(&self) -> Result<i64, Failure> {
        let row = query("SELECT CAST(value AS BIGINT) FROM meta WHERE key = 'answers_known_after'");
        let row = row.fetch_optional(&self.readers).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or(0))
    }

    /// The next batches that a request may be about, and where it goes on behind them.
    pub(super) async fn batches_of(
        &self,
        request: &ReplayRequest<'_>,
        source_no: i64,
        after: i64,
    ) -> Result<(Vec<i64>, Option<u64>), Failure> {
        let sql = match request.unrouted {
            true => {
                "SELECT b.batch_no, b.body_bytes FROM unrouted u JOIN journal_batch b ON b.batch_no = u.batch_no
                 WHERE u.source_no = ?1 AND u.batch_no > ?2 AND u.accepted_at >= ?3 AND u.accepted_at < ?4
                 AND u.batch_no <= ?6 ORDER BY u.batch_no LIMIT ?5"
            }
            false => {
                "SELECT batch_no, body_bytes FROM journal_batch WHERE source_no = ?1 AND batch_no > ?2
                 AND accepted_at >= ?3 AND accepted_at < ?4 AND batch_no <= ?6 ORDER BY batch_no LIMIT ?5"
            }
        };
        let rows = query(sql)
            .bind(source_no)
            .bind(after)
            .bind(nanoseconds(request.since))
            .bind(nanoseconds(request.until))
            .bind(BATCHES_MAX)
            .bind(i64::try_from(request.up_to).unwrap_or(i64::MAX))
            .fetch_all(&self.readers)
            .await?;
        let (mut batches, mut bytes) = (Vec::with_capacity(rows.len()), 0_u64);
        for row in &rows {
            bytes = bytes.saturating_add(count(row.try_get(1)?));
            if !batches.is_empty() && bytes > BYTES_MAX {
                break;
            }
            batches.push(row.try_get(0)?);
        }
        let more = batches.len() < rows.len() || rows.len() as i64 == BATCHES_MAX;
        let next = batches.last().copied().filter(|_| more).map(i64::cast_unsigned);
        Ok((batches, next))
    }

    /// Finds out what a request wants of a batch.
    async fn look_at(
        &self,
        request: &ReplayRequest<'_>,
        of: &Whose,
        (source_no, batch_no): (i64, i64),
        known: bool,
        counts: &mut ReplayCounts,
    ) -> Result<Looked, Failure> {
        // Pruned since it was listed.
        let Some(stored) = self.stored_batch(batch_no).await? else { return Ok(Looked::Nothing) };
        let body_bytes = stored.body_bytes.cast_signed();
        let mut reader = self.readers.acquire().await?;
        let noted = read_unrouted(&mut reader, batch_no).await?;
        drop(reader);
        if request.unrouted && noted.is_none() {
            return Ok(Looked::Nothing);
        }
        let about = |index: usize| match (&noted, request.unrouted) {
            (Some(noted), true) => noted.selection.contains(index),
            (_, unrouted) => !unrouted,
        };
        let (tenant, key) = (request.tenant, Arc::clone(&of.key));
        let Ok(batch) = self.packer.run(move || unpack(stored, tenant, &key)).await else {
            let lost = self.versions_of(of.tenant_no, batch_no).await?;
            counts.damaged += lost.iter().map(|lost| lost.count(about)).sum::<u64>();
            // One whose versions are forgotten is being fetched again already.
            return Ok(if lost.is_empty() {
                Looked::Nothing
            } else {
                Looked::Damaged(DamagedBatch { batch_no, lost })
            });
        };
        let indexed = self.indexed((source_no, batch_no), &batch).await?;
        let named = |id: &str| request.ids.is_empty() || request.ids.iter().any(|wanted| wanted == id);
        let records = batch.records().enumerate().map(|(index, record)| {
            (about(index) && indexed[index] && named(&record.head.id)).then(|| request.to.of(record))
        });
        // For each record that it is about, where it goes.
        let records: Vec<Option<Destination>> = records.collect();
        let asked = records.iter().flatten().count() as u64;
        counts.records += asked;
        if !known {
            counts.unknown += asked;
            return Ok(Looked::Nothing);
        }
        let mut wanted: BTreeMap<&String, Vec<bool>> = BTreeMap::new();
        for (index, destination) in records.iter().enumerate() {
            let Some(Destination { sinks, filtered, .. }) = destination else { continue };
            for sink in sinks {
                wanted.entry(sink).or_insert_with(|| vec![false; records.len()])[index] = true;
            }
            match (sinks.is_empty(), *filtered) {
                (true, true) => counts.filtered += 1,
                (true, false) => counts.no_route += 1,
                _ => {}
            }
        }
        if wanted.is_empty() {
            return Ok(Looked::Nothing);
        }
        let select = |(sink, wanted): (&String, Vec<bool>)| {
            Selection::of(wanted.len(), |index| wanted[index]).map(|selection| (sink.clone(), selection))
        };
        Ok(Looked::Candidate(Candidate {
            batch_no,
            body_bytes,
            hours: batch.records().map(|record| hour_of(record.head.updated_at)).collect(),
            wanted: wanted.into_iter().filter_map(select).collect(),
        }))
    }

    /// Which records of a batch the index of versions has there. Others are copies of ones that it has elsewhere (a dead
    /// letter that was tried again), or were set aside as damaged.
    async fn indexed(&self, (source_no, batch_no): (i64, i64), batch: &Batch) -> Result<Vec<bool>, Failure> {
        let versions: Vec<String> = batch.records().map(|record| version(record.head)).collect();
        let row = query(concat!(
            "SELECT json_group_array(j.key) FROM json_each(?2) j WHERE EXISTS (SELECT 1 FROM record_version v
             WHERE v.source_no = ?1 AND (v.updated_at, v.id, v.hash) = (",
            version_columns!(),
            ") AND v.batch_no = ?3)"
        ))
        .bind(source_no)
        .bind(serde_json::to_string(&versions).map_err(odd)?)
        .bind(batch_no)
        .fetch_one(&self.readers)
        .await?;
        let places: Vec<usize> = serde_json::from_str(row.try_get(0)?).map_err(odd)?;
        let mut indexed = vec![false; batch.len()];
        places.into_iter().for_each(|place| indexed[place] = true);
        Ok(indexed)
    }
}
