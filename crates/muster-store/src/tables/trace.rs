//! The journey of a record, read back from the index of versions, the journal and what sinks answered.

use muster_model::{DeliveryNumber, Selection, TenantId};

use super::bound::{GIVEN_UP, OF_SHADOW};
use super::rows::parsed;
use crate::changes::record_key;
use crate::drafts::routes_of;
use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::packing::unpack;
use crate::sealing::Sealed;
use crate::sql::{Row, query};
use crate::stored::{count, timestamp};
use crate::{StoreError, TracedDelivery, TracedState, TracedVersion};

/// More versions than this of one record are not told; the latest are.
const VERSIONS_MAX: u32 = 1_000;
const DOING: &str = "trace a record";
/// The latest versions of a record, of one tenant or of all. `CROSS JOIN` has each source asked for the record, which is a few
/// thousand questions at most, instead of walking over all versions. What was written anew by a gateway has several rows for
/// one place in the journal.
pub(crate) const TRACED_VERSIONS: &str =
    "SELECT t.slug, t.id, t.data_key, s.source, min(v.updated_at) AS updated_at, v.batch_no, v.ordinal
     FROM tenant t JOIN source s ON s.tenant_no = t.tenant_no
         CROSS JOIN record_version v INDEXED BY record_version_of_record
             ON v.source_no = s.source_no AND v.id = ?2 AND v.ordinal >= 0
     WHERE ?1 IS NULL OR t.id = ?1 GROUP BY t.tenant_no, s.source_no, v.batch_no, v.ordinal
     ORDER BY updated_at DESC, v.batch_no DESC, v.ordinal DESC LIMIT ?3";

impl SqlStore {
    pub(crate) async fn read_trace(
        &self,
        tenant: Option<TenantId>,
        record_id: &str,
    ) -> Result<Vec<TracedVersion>, StoreError> {
        self.traced(tenant, record_id).await.map_err(|failure| failure.worded(&self.path, DOING))
    }

    async fn traced(&self, tenant: Option<TenantId>, record_id: &str) -> Result<Vec<TracedVersion>, Failure> {
        let rows = query(TRACED_VERSIONS)
            .bind(tenant.map(|id| id.to_string()))
            .bind(&*record_key(record_id))
            .bind(VERSIONS_MAX)
            .fetch_all(&self.readers)
            .await?;
        let mut versions = Vec::with_capacity(rows.len());
        for row in rows.iter().rev() {
            versions.push((row.try_get::<String, _>("slug")?, self.traced_version(row).await?));
        }
        // Within a source they keep their order.
        versions.sort_by(|(one, a), (other, b)| (one, a.source.as_str()).cmp(&(other, b.source.as_str())));
        Ok(versions.into_iter().map(|(_, version)| version).collect())
    }

    async fn traced_version(&self, row: &Row) -> Result<TracedVersion, Failure> {
        let tenant: TenantId = parsed(row, "id")?;
        let place = usize::try_from(row.try_get::<i64, _>("ordinal")?).unwrap_or(usize::MAX);
        let batch_no: i64 = row.try_get("batch_no")?;
        let mut damaged = None;
        let mut head = None;
        let batch = query("SELECT accepted_at, request_id, routes FROM journal_batch WHERE batch_no = ?");
        let batch = batch.bind(batch_no).fetch_optional(&self.readers).await?;
        if let Some(stored) = self.stored_batch(batch_no).await? {
            let key = self.keys.data_key(Sealed::from_stored(row.try_get("data_key")?), tenant).await?;
            match self.packer.run(move || unpack(stored, tenant, &key)).await {
                Ok(batch) => head = batch.record(place).map(|record| record.head.clone()),
                Err(unreadable) => damaged = Some(unreadable.reason),
            }
        }
        let updated_at: i64 = row.try_get("updated_at")?;
        let (accepted_at, request_id, routes) = match batch {
            None => (None, None, None),
            Some(batch) => (
                Some(timestamp(batch.try_get("accepted_at")?)),
                batch.try_get("request_id")?,
                batch.try_get::<Option<String>, _>("routes")?,
            ),
        };
        Ok(TracedVersion {
            tenant,
            source: parsed(row, "source")?,
            updated_at: (updated_at != i64::MIN).then(|| timestamp(updated_at)),
            created_at: head.as_ref().and_then(|head| head.created_at),
            severity: head.as_ref().map(|head| head.severity),
            change: head.and_then(|head| head.change),
            accepted_at,
            request_id,
            batch: count(batch_no),
            place: u32::try_from(place).unwrap_or(u32::MAX),
            damaged,
            routes: routes.map_or_else(Vec::new, |routes| routes_of(&routes, place)),
            deliveries: self.traced_deliveries(batch_no, place).await?,
        })
    }

    /// What became of the record at `place` of a batch, at each sink.
    async fn traced_deliveries(&self, batch_no: i64, place: usize) -> Result<Vec<TracedDelivery>, Failure> {
        let rows = query(
            "SELECT * FROM (
                 SELECT sink, number, outcome, at, selection FROM acknowledgement WHERE batch_no = ?1
             UNION ALL SELECT q.sink, d.number, 'owed', d.owed_since, d.selection
                 FROM delivery d JOIN queue q ON q.queue_no = d.queue_no WHERE d.batch_no = ?1
             UNION ALL SELECT q.sink, NULL, 'owed', r.owed_since, r.selection
                 FROM replay r JOIN queue q ON q.queue_no = r.queue_no WHERE r.batch_no = ?1) a
             ORDER BY sink, number IS NULL, number, at",
        )
        .bind(batch_no)
        .fetch_all(&self.readers)
        .await?;
        let mut deliveries = Vec::new();
        for row in rows {
            let selection = row.try_get::<Option<Vec<u8>>, _>("selection")?;
            if !selection.map_or(Selection::All, Selection::Some).contains(place) {
                continue;
            }
            let at = timestamp(row.try_get("at")?);
            let state = match row.try_get::<&str, _>("outcome")? {
                "owed" => TracedState::Owed { since: at },
                "delivered" => TracedState::Delivered { at },
                "rejected" => TracedState::Rejected { at },
                GIVEN_UP | OF_SHADOW => TracedState::GivenUp { at },
                _ => TracedState::Damaged { at },
            };
            let number = row.try_get::<Option<i64>, _>("number")?.map(|number| DeliveryNumber(count(number)));
            deliveries.push(TracedDelivery { sink: row.try_get("sink")?, number, state });
        }
        Ok(deliveries)
    }
}
