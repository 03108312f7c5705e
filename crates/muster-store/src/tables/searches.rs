//! Looking through the journal by the time of the last change.
//!
//! The key of `record_version` begins with source and time, so that a span of one source is a range of it, read from its end; its
//! other index finds the versions of a record. Nothing more is kept for searches: a row of its own for each batch would be written
//! with every page, for what is asked a few times a day.

use async_trait::async_trait;
use jiff::Timestamp;
use muster_model::{Source, TenantId};

use super::rows::parsed;
use crate::changes::record_key;
use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::packing::{StoredBatch, unpack};
use crate::sealing::Sealed;
use crate::sql::{Row, query};
use crate::stored::{count, nanoseconds, timestamp};
use crate::{
    BatchRead, ChangedIn, SearchedSource, Searches, StoreError, VersionKey, VersionPlace, VersionsPage,
};

const DOING: &str = "search the journal";

/// The number of a source of a tenant: the first two values.
macro_rules! source_no {
    () => {
        "(SELECT s.source_no FROM source s JOIN tenant t ON t.tenant_no = s.tenant_no WHERE t.id = ?1 AND s.source = ?2)"
    };
}

pub(crate) const VERSIONS_BY_TIME: &str = concat!(
    "SELECT updated_at, id, hash, batch_no, ordinal FROM record_version WHERE source_no = ",
    source_no!(),
    " AND updated_at >= ?3 AND (updated_at, id, hash) < (?4, ?5, ?6)
     ORDER BY updated_at DESC, id DESC, hash DESC LIMIT ?7"
);

pub(crate) const LATER_VERSION: &str = concat!(
    "SELECT 1 FROM record_version v INDEXED BY record_version_of_record WHERE v.source_no = ",
    source_no!(),
    " AND v.id = ?3 AND v.ordinal >= 0 AND v.updated_at <= ?4 AND (v.updated_at, v.batch_no, v.ordinal) > (?5, ?6, ?7)
     AND EXISTS (SELECT 1 FROM journal_batch b WHERE b.batch_no = v.batch_no) LIMIT 1"
);

#[async_trait]
impl Searches for SqlStore {
    async fn searched_sources(&self) -> Result<Vec<SearchedSource>, StoreError> {
        let failed = self.failed(DOING);
        let rows = query(
            "SELECT t.id, s.source, s.pruned_up_to FROM source s JOIN tenant t ON t.tenant_no = s.tenant_no
             ORDER BY t.slug, s.source",
        );
        let rows = rows.fetch_all(&self.readers).await.map_err(&failed)?;
        let source = |row: &Row| -> Result<_, sqlx::Error> {
            Ok(SearchedSource {
                tenant: parsed(row, "id")?,
                source: parsed(row, "source")?,
                pruned_up_to: row.try_get::<Option<i64>, _>("pruned_up_to")?.map(timestamp),
            })
        };
        rows.iter().map(source).collect::<Result<_, _>>().map_err(failed)
    }

    async fn versions_by_time(
        &self,
        (tenant, source): (TenantId, Source),
        span: ChangedIn,
        after: Option<&VersionKey>,
        limit: u32,
    ) -> Result<VersionsPage, StoreError> {
        // Every id and hash is greater than an empty one, so this is behind none that was changed then.
        let first = match nanoseconds(span.until) {
            // Times beyond what is kept are kept as the last there is, and nothing is behind that.
            i64::MAX => {
                VersionKey { updated_at: i64::MAX, id: "\u{10ffff}".to_owned(), hash: vec![u8::MAX; 17] }
            }
            updated_at => VersionKey { updated_at, id: String::new(), hash: Vec::new() },
        };
        let VersionKey { updated_at, id, hash } = after.unwrap_or(&first);
        let failed = self.failed(DOING);
        let rows = query(VERSIONS_BY_TIME)
            .bind(tenant.to_string())
            .bind(source.as_str())
            .bind(span.since.map_or(i64::MIN, nanoseconds))
            .bind(*updated_at)
            .bind(id)
            .bind(hash.clone())
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .map_err(&failed)?;
        let place = |row: &Row| -> Result<_, sqlx::Error> {
            let updated_at: i64 = row.try_get("updated_at")?;
            Ok(VersionPlace {
                updated_at: (updated_at != i64::MIN).then(|| timestamp(updated_at)),
                batch: count(row.try_get("batch_no")?),
                ordinal: u32::try_from(row.try_get::<i64, _>("ordinal")?).unwrap_or(u32::MAX),
            })
        };
        let places = rows.iter().map(place).collect::<Result<_, _>>().map_err(&failed)?;
        let key = |row: &Row| -> Result<_, sqlx::Error> {
            Ok(VersionKey {
                updated_at: row.try_get("updated_at")?,
                id: row.try_get("id")?,
                hash: row.try_get("hash")?,
            })
        };
        let last = rows.last().filter(|_| rows.len() as u64 >= u64::from(limit));
        Ok(VersionsPage { places, next: last.map(key).transpose().map_err(failed)? })
    }

    async fn has_later_version(
        &self,
        (tenant, source): (TenantId, Source),
        record_id: &str,
        place: &VersionPlace,
        before: Timestamp,
    ) -> Result<bool, StoreError> {
        let key = record_key(record_id);
        let later = query(LATER_VERSION)
            .bind(tenant.to_string())
            .bind(source.as_str())
            .bind(&*key)
            .bind(match nanoseconds(before) {
                i64::MAX => i64::MAX,
                before => before - 1,
            })
            .bind(place.updated_at.map_or(i64::MIN, nanoseconds))
            .bind(place.batch.cast_signed())
            .bind(i64::from(place.ordinal))
            .fetch_optional(&self.readers);
        Ok(later.await.map_err(self.failed(DOING))?.is_some())
    }

    async fn journal_batch(&self, tenant: TenantId, batch: u64) -> Result<BatchRead, StoreError> {
        let read = self.read_batch(tenant, batch).await;
        read.map_err(|failure| failure.worded(&self.path, DOING))
    }
}

impl SqlStore {
    async fn read_batch(&self, tenant: TenantId, batch: u64) -> Result<BatchRead, Failure> {
        let row = query(
            "SELECT b.accepted_at, b.batch_id, b.records, b.body_bytes, b.sealed, t.data_key FROM journal_batch b
                 JOIN source s ON s.source_no = b.source_no JOIN tenant t ON t.tenant_no = s.tenant_no
             WHERE b.batch_no = ? AND t.id = ?",
        )
        .bind(batch.cast_signed())
        .bind(tenant.to_string())
        .fetch_optional(&self.readers)
        .await?;
        let Some(row) = row else { return Ok(BatchRead::Gone) };
        let stored = StoredBatch {
            batch_id: row.try_get("batch_id")?,
            records: count(row.try_get("records")?),
            body_bytes: count(row.try_get("body_bytes")?),
            sealed: row.try_get("sealed")?,
        };
        let accepted_at = timestamp(row.try_get("accepted_at")?);
        let key = self.keys.data_key(Sealed::from_stored(row.try_get("data_key")?), tenant).await?;
        Ok(match self.packer.run(move || unpack(stored, tenant, &key)).await {
            Ok(batch) => BatchRead::Records { batch, accepted_at },
            Err(unreadable) => BatchRead::Unreadable(unreadable.reason),
        })
    }
}
