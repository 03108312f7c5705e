//! Which records need not be completed, because the journal holds them whole.

use muster_model::{Purpose, RecordHead, Source, TenantId, is_same_version, json};

use crate::drafts::version;
use crate::engine::SqlStore;
use crate::failure::Failure;

impl SqlStore {
    /// See [`crate::Journal::known_whole`].
    pub(super) async fn whole_in_journal(
        &self,
        (tenant, source): (TenantId, Source),
        key: &str,
        records: &[(RecordHead, &str)],
    ) -> Result<Vec<bool>, Failure> {
        let kind = source.kind();
        let mut whole = vec![false; records.len()];
        let stored = self.stored_source(tenant, source, Purpose::Live).await?;
        let Some(stored) = stored.filter(|_| !records.is_empty()) else { return Ok(whole) };
        let versions: Vec<String> = records.iter().map(|(head, _)| version(head)).collect();
        let versions: Vec<&String> = versions.iter().collect();
        self.each_known(&stored, tenant, &versions, |place, _, old| {
            whole[place] |= old.is_some_and(|old| {
                let mut has = false;
                let read = json::skim::fields(old.body, |name, value| {
                    let are_in = kind.belongings().is_none_or(|belongings| belongings.are_in(name, value));
                    has |= name == key && are_in;
                });
                read.is_ok() && has && is_same_version(kind, old.body, records[place].1)
            });
        })
        .await?;
        Ok(whole)
    }
}
