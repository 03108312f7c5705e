//! Which records need not be completed, because the journal holds them whole.

use muster_model::{Batch, Purpose, RecordHead, Source, TenantId, is_same_version, json};
use sqlx::Row;

use super::engine::SqliteStore;
use super::failure::Failure;
use super::known::KNOWN_BY_ID_AND_TIME;
use super::rows::odd;
use crate::drafts::version;

impl SqliteStore {
    /// See [`crate::Journal::known_whole`].
    pub(super) async fn whole_in_journal(
        &self,
        (tenant, source): (TenantId, Source),
        key: &str,
        records: &[(RecordHead, &str)],
    ) -> Result<Vec<bool>, Failure> {
        let mut whole = vec![false; records.len()];
        let stored = self.stored_source(tenant, source, Purpose::Live).await?;
        let Some(stored) = stored.filter(|_| !records.is_empty()) else { return Ok(whole) };
        let versions: Vec<String> = records.iter().map(|(head, _)| version(head)).collect();
        let rows = sqlx::query(KNOWN_BY_ID_AND_TIME)
            .bind(stored.source_no)
            .bind(serde_json::to_string(&versions).map_err(odd)?)
            .fetch_all(&self.readers)
            .await?;
        let mut opened: Option<(i64, Option<Batch>)> = None;
        for row in rows {
            let place = usize::try_from(row.try_get::<i64, _>("place")?).map_err(odd)?;
            let (batch_no, ordinal): (i64, i64) = (row.try_get("batch_no")?, row.try_get("ordinal")?);
            if opened.as_ref().is_none_or(|(number, _)| *number != batch_no) {
                opened = Some((batch_no, self.batch(batch_no, tenant, &stored.data_key).await?));
            }
            let batch = opened.as_ref().and_then(|(_, batch)| batch.as_ref());
            let old = batch.and_then(|batch| batch.record(usize::try_from(ordinal).ok()?));
            whole[place] |= old.is_some_and(|old| {
                let mut has = false;
                let read = json::skim::fields(old.body, |name, _| has |= name == key);
                read.is_ok() && has && is_same_version(old.body, records[place].1)
            });
        }
        Ok(whole)
    }
}
