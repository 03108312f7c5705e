//! Where sinks stand with what the journal holds, record by record: what `muster sink diff` holds against each other.

use std::sync::Arc;

use muster_model::Selection;

use super::owing::Standing as StandingOfBatch;
use super::tenants::LivingTenant;
use crate::engine::SqlStore;
use crate::failure::Failure;
use crate::packing::unpack;
use crate::sql::query;
use crate::{RecordStandings, ReplayRequest, Standing, StandingsStep, StoreError};

const DOING: &str = "look where sinks stand";

impl SqlStore {
    /// See [`crate::Replays::standings`].
    pub(super) async fn look_at_standings(
        &self,
        request: &ReplayRequest<'_>,
        sinks: &[String],
        after: u64,
    ) -> Result<StandingsStep, StoreError> {
        let LivingTenant { tenant_no, data_key } = self.living_tenant(request.tenant, DOING).await?;
        let key = Arc::new(data_key);
        let read = async {
            let source = query("SELECT source_no FROM source WHERE tenant_no = ? AND source = ?");
            let source = source.bind(tenant_no).bind(request.source.as_str());
            let Some(row) = source.fetch_optional(&self.readers).await? else {
                return Ok(StandingsStep::default());
            };
            let (batches, next) = self.batches_of(request, row.try_get(0)?, after.cast_signed()).await?;
            let mut step = StandingsStep { next, ..StandingsStep::default() };
            for batch_no in batches {
                self.standings_of(request, sinks, (tenant_no, batch_no), &key, &mut step).await?;
            }
            Ok(step)
        };
        read.await.map_err(|failure: Failure| failure.worded(&self.path, DOING))
    }

    async fn standings_of(
        &self,
        request: &ReplayRequest<'_>,
        sinks: &[String],
        (tenant_no, batch_no): (i64, i64),
        key: &Arc<crate::sealing::DataKey>,
        step: &mut StandingsStep,
    ) -> Result<(), Failure> {
        // Pruned since it was listed.
        let Some(stored) = self.stored_batch(batch_no).await? else { return Ok(()) };
        let (records, tenant, key) = (stored.records, request.tenant, Arc::clone(key));
        let Ok(batch) = self.packer.run(move || unpack(stored, tenant, &key)).await else {
            step.damaged += records;
            return Ok(());
        };
        // One view of the store for all sinks.
        let mut reading = self.readers.begin().await?;
        let mut of_sinks = Vec::with_capacity(sinks.len());
        for sink in sinks {
            of_sinks.push(StandingOfBatch::read(&mut reading, tenant_no, batch_no, sink).await?);
        }
        for (index, record) in batch.records().enumerate() {
            let standings = of_sinks.iter().map(|of| {
                let within = |all: &[Selection]| all.iter().any(|selection| selection.contains(index));
                match () {
                    () if within(&of.had) => Standing::Had,
                    () if within(&of.owed) => Standing::Owed,
                    () if within(&of.refused) => Standing::Refused,
                    () => Standing::Nothing,
                }
            });
            step.records.push(RecordStandings {
                id: record.head.id.clone(),
                updated_at: record.head.updated_at,
                created_at: record.head.created_at,
                hash: record.head.hash,
                standings: standings.collect(),
            });
        }
        Ok(())
    }
}
