//! How everything is doing: one picture of the store, for `muster status`, the metrics and the demo.

use std::collections::HashMap;

use jiff::Timestamp;
use muster_model::{Slug, Source, TenantId, TenantState};
use muster_store::{JournalTotals, Store, StoreError};
use serde::Serialize;

/// The picture.
#[derive(Debug, Clone, Serialize)]
pub struct Snapshot {
    /// When it was taken.
    pub at: Timestamp,
    /// Every tenant, by slug.
    pub tenants: Vec<TenantStatus>,
    /// Every sink that has ever been owed something.
    pub sinks: Vec<SinkStatus>,
    /// The journal.
    pub journal: JournalTotals,
}

/// How a tenant is doing.
#[derive(Debug, Clone, Serialize)]
pub struct TenantStatus {
    /// Its id.
    pub id: TenantId,
    /// Its short name.
    pub slug: Slug,
    /// Its name.
    pub name: String,
    /// Whether it is worked on.
    pub state: TenantState,
    /// Its sources.
    pub sources: Vec<SourceStatus>,
    /// Records owed to sinks, all together.
    pub owed: u64,
}

/// How a source of a tenant is doing.
#[derive(Debug, Clone, Serialize)]
pub struct SourceStatus {
    /// Which.
    pub source: Source,
    /// In a word: `ok`, `new` (not read to its end yet), `failing`, `paused`.
    pub health: &'static str,
    /// When it was last read to its end.
    pub last_success_at: Option<Timestamp>,
    /// Seconds since then; `None` when it never was.
    pub lag_seconds: Option<f64>,
    /// Record versions accepted so far.
    pub accepted: u64,
    /// Failures in a row.
    pub failures: u32,
    /// What is wrong, in words.
    pub last_error: Option<String>,
    /// When it is asked next.
    pub next_at: Timestamp,
}

/// How a sink is doing.
#[derive(Debug, Clone, Serialize)]
pub struct SinkStatus {
    /// Its name.
    pub sink: String,
    /// Records delivered so far.
    pub delivered: u64,
    /// Records owed.
    pub owed: u64,
    /// How long the oldest of them has been owed.
    pub oldest_owed_seconds: Option<f64>,
    /// Records refused for good.
    pub rejected: u64,
    /// What is wrong, in words.
    pub last_error: Option<String>,
}

impl Snapshot {
    /// Takes the picture.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn take(store: &dyn Store, now: Timestamp) -> Result<Self, StoreError> {
        let mut sources: HashMap<TenantId, Vec<SourceStatus>> = HashMap::new();
        let tenants = store.tenants().await?;
        let states: HashMap<TenantId, TenantState> =
            tenants.iter().map(|tenant| (tenant.id, tenant.state)).collect();
        for state in store.source_states().await? {
            let health = match (states.get(&state.tenant), state.last_error.is_some(), state.last_success_at)
            {
                (Some(state), ..) if *state != TenantState::Active => state.as_str(),
                (_, true, _) => "failing",
                (_, false, None) => "new",
                (_, false, Some(_)) => "ok",
            };
            sources.entry(state.tenant).or_default().push(SourceStatus {
                source: state.source,
                health,
                last_success_at: state.last_success_at,
                lag_seconds: state.last_success_at.map(|at| seconds_since(at, now)),
                accepted: state.accepted,
                failures: state.failures,
                last_error: state.last_error,
                next_at: state.next_at,
            });
        }
        let mut owed: HashMap<TenantId, u64> = HashMap::new();
        for lane in store.lane_states().await? {
            *owed.entry(lane.tenant).or_default() += lane.owed;
        }
        let tenants = tenants
            .into_iter()
            .map(|tenant| TenantStatus {
                sources: sources.remove(&tenant.id).unwrap_or_default(),
                owed: owed.get(&tenant.id).copied().unwrap_or_default(),
                id: tenant.id,
                slug: tenant.slug,
                name: tenant.name,
                state: tenant.state,
            })
            .collect();
        let sinks = store
            .sink_totals()
            .await?
            .into_iter()
            .map(|totals| SinkStatus {
                sink: totals.sink,
                delivered: totals.delivered,
                owed: totals.owed,
                oldest_owed_seconds: totals.owed_since.map(|since| seconds_since(since, now)),
                rejected: totals.rejected,
                last_error: totals.last_error,
            })
            .collect();
        Ok(Self { at: now, tenants, sinks, journal: store.journal_totals().await? })
    }

    /// Record versions accepted so far, over all tenants.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.tenants.iter().flat_map(|tenant| &tenant.sources).map(|source| source.accepted).sum()
    }
}

fn seconds_since(at: Timestamp, now: Timestamp) -> f64 {
    now.duration_since(at).as_secs_f64().max(0.0)
}
