//! How everything is doing: one picture of the store, for `muster status`, the metrics and the demo.

use std::collections::HashMap;

use jiff::Timestamp;
use muster_model::{Purpose, Slug, Source, TenantId, TenantState};
use muster_store::{Check, CheckOutcome, JournalTotals, Store, StoreError};
use serde::Serialize;

use crate::access::checks;
use crate::shown::output::Tone;
use crate::shown::passes::PassStatus;

#[derive(Debug, Clone, Serialize)]
pub struct Snapshot {
    pub at: Timestamp,
    /// Every tenant, by slug.
    pub tenants: Vec<TenantStatus>,
    /// Every sink that has ever been owed something.
    pub sinks: Vec<SinkStatus>,
    pub journal: JournalTotals,
    /// Every app whose credential was looked at.
    pub apps: Vec<AppStatus>,
}

#[derive(Debug, Clone, Serialize)]
pub struct TenantStatus {
    pub id: TenantId,
    pub slug: Slug,
    pub name: String,
    /// Whether it is worked on.
    pub state: TenantState,
    /// What the state comes to, with trouble that a person must end.
    pub standing: Standing,
    pub reason: Option<String>,
    pub remedy: Option<String>,
    /// What was found out about its access, the worst first.
    pub checks: Vec<Check>,
    pub sources: Vec<SourceStatus>,
    /// Records owed to sinks, all together.
    pub owed: u64,
}

/// Where a tenant stands, in one word; the same in commands, on the customer's page and in the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The customer has been asked to consent.
    Invited,
    /// The customer has consented; nothing was tried yet.
    Consented,
    /// The first checks are under way.
    Verifying,
    Active,
    /// It should be read, but a person must do something first.
    Failing,
    /// It is not read, because somebody said so.
    Paused,
    /// It is a customer no more.
    Offboarded,
}

impl Standing {
    pub const ALL: [Self; 7] = [
        Self::Invited,
        Self::Consented,
        Self::Verifying,
        Self::Active,
        Self::Failing,
        Self::Paused,
        Self::Offboarded,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invited => "invited",
            Self::Consented => "consented",
            Self::Verifying => "verifying",
            Self::Active => "active",
            Self::Failing => "failing",
            Self::Paused => "paused",
            Self::Offboarded => "offboarded",
        }
    }

    pub fn tone(self) -> Tone {
        match self {
            Self::Active => Tone::Good,
            Self::Failing => Tone::Bad,
            Self::Offboarded => Tone::Plain,
            Self::Invited | Self::Consented | Self::Verifying | Self::Paused => Tone::Fair,
        }
    }

    /// What a tenant's stored state and the checks of its access come to.
    pub fn of(state: TenantState, checks: &[Check]) -> Self {
        let failing = checks.iter().any(|check| check.outcome == CheckOutcome::Failing);
        match state {
            TenantState::Invited => Self::Invited,
            TenantState::Consented => Self::Consented,
            TenantState::Verifying | TenantState::Active if failing => Self::Failing,
            TenantState::Verifying => Self::Verifying,
            TenantState::Active => Self::Active,
            TenantState::Paused => Self::Paused,
            TenantState::Offboarded => Self::Offboarded,
        }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct AppStatus {
    pub app: String,
    pub checks: Vec<Check>,
}

#[derive(Debug, Clone, Serialize)]
pub struct SourceStatus {
    pub source: Source,
    /// In a word: `ok`, `new` (not read to its end yet), `throttled` and `down` (Microsoft asks to wait, or has trouble of
    /// its own), `failing`; and of a tenant that is not active, its state.
    pub health: &'static str,
    pub last_success_at: Option<Timestamp>,
    /// Seconds since then; `None` when it never was.
    pub lag_seconds: Option<f64>,
    /// Record versions accepted so far.
    pub accepted: u64,
    pub failures: u32,
    pub last_error: Option<String>,
    pub next_at: Timestamp,
    /// Its sweeps and backfill.
    pub passes: Vec<PassStatus>,
}

impl SourceStatus {
    pub fn tone(&self) -> Tone {
        match self.health {
            "ok" => Tone::Good,
            "failing" => Tone::Bad,
            _ => Tone::Fair,
        }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct SinkStatus {
    pub sink: String,
    pub delivered: u64,
    pub owed: u64,
    /// How long the oldest of them has been owed.
    pub oldest_owed_seconds: Option<f64>,
    pub rejected: u64,
    pub last_error: Option<String>,
}

impl Snapshot {
    /// Takes the picture.
    pub async fn take(store: &dyn Store, now: Timestamp) -> Result<Self, StoreError> {
        let mut sources: HashMap<TenantId, Vec<SourceStatus>> = HashMap::new();
        let tenants = store.tenants().await?;
        let states: HashMap<TenantId, TenantState> =
            tenants.iter().map(|tenant| (tenant.id, tenant.state)).collect();
        let mut checks: HashMap<TenantId, Vec<Check>> = HashMap::new();
        for (tenant, check) in store.checks(None).await? {
            checks.entry(tenant).or_default().push(check);
        }
        let mut passes: HashMap<(TenantId, Source), Vec<PassStatus>> = HashMap::new();
        for purpose in [Purpose::Sweep, Purpose::NightlySweep, Purpose::Backfill] {
            for found in store.cursors(purpose).await? {
                let of = (found.state.tenant, found.state.source);
                passes.entry(of).or_default().push(PassStatus::of(&found, now));
            }
        }
        for state in store.source_states().await? {
            let code = checks.get(&state.tenant).and_then(|checks| {
                let name = checks::source_name(state.source);
                checks.iter().find(|check| check.name == name).map(|check| check.code.as_str())
            });
            let failed = state.last_error.is_some();
            let health =
                health(states.get(&state.tenant).copied(), failed, code, state.last_success_at.is_some());
            sources.entry(state.tenant).or_default().push(SourceStatus {
                source: state.source,
                health,
                last_success_at: state.last_success_at,
                lag_seconds: state.last_success_at.map(|at| seconds_since(at, now)),
                accepted: state.accepted,
                failures: state.failures,
                last_error: state.last_error,
                next_at: state.next_at,
                passes: passes.remove(&(state.tenant, state.source)).unwrap_or_default(),
            });
        }
        let mut owed: HashMap<TenantId, u64> = HashMap::new();
        for queue in store.queue_states().await? {
            *owed.entry(queue.tenant).or_default() += queue.owed;
        }
        let tenants = tenants
            .into_iter()
            .map(|tenant| {
                let mut checks = checks.remove(&tenant.id).unwrap_or_default();
                checks.sort_by_key(|check| std::cmp::Reverse(severity(check.outcome)));
                (tenant, checks)
            })
            .map(|(tenant, checks)| TenantStatus {
                standing: Standing::of(tenant.state, &checks),
                reason: worst(&checks).map(|check| check.detail.clone()),
                remedy: worst(&checks).map(|check| check.remedy.clone()),
                checks,
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
        let mut apps: Vec<AppStatus> = Vec::new();
        for (app, check) in store.app_checks().await? {
            match apps.iter_mut().find(|status| status.app == app) {
                Some(status) => status.checks.push(check),
                None => apps.push(AppStatus { app, checks: vec![check] }),
            }
        }
        Ok(Self { at: now, tenants, sinks, journal: store.journal_totals().await?, apps })
    }

    /// Record versions accepted so far, over all tenants.
    pub fn accepted(&self) -> u64 {
        self.tenants.iter().flat_map(|tenant| &tenant.sources).map(|source| source.accepted).sum()
    }
}

/// The health of a source: of a tenant in this state, after a failure with this code, or a success.
fn health(tenant: Option<TenantState>, failed: bool, code: Option<&str>, succeeded: bool) -> &'static str {
    match (tenant, failed, succeeded) {
        (Some(state), ..) if state != TenantState::Active => state.as_str(),
        (_, true, _) => match code {
            Some("throttled") => "throttled",
            Some("api_down" | "unreachable") => "down",
            _ => "failing",
        },
        (_, false, false) => "new",
        (_, false, true) => "ok",
    }
}

/// The check that says why a tenant is failing.
fn worst(checks: &[Check]) -> Option<&Check> {
    checks.iter().find(|check| check.outcome == CheckOutcome::Failing)
}

fn severity(outcome: CheckOutcome) -> u8 {
    match outcome {
        CheckOutcome::Good => 0,
        CheckOutcome::Warning => 1,
        CheckOutcome::Failing => 2,
    }
}

fn seconds_since(at: Timestamp, now: Timestamp) -> f64 {
    now.duration_since(at).as_secs_f64().max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(outcome: CheckOutcome) -> Check {
        Check { outcome, ..checks::good("token", String::new(), Timestamp::UNIX_EPOCH) }
    }

    #[test]
    fn only_a_tenant_that_is_read_can_fail() {
        let failing = [check(CheckOutcome::Good), check(CheckOutcome::Failing)];
        assert_eq!(Standing::of(TenantState::Active, &failing), Standing::Failing);
        assert_eq!(Standing::of(TenantState::Verifying, &failing), Standing::Failing);
        assert_eq!(Standing::of(TenantState::Paused, &failing), Standing::Paused);
        assert_eq!(Standing::of(TenantState::Invited, &failing), Standing::Invited);
        assert_eq!(Standing::of(TenantState::Active, &[check(CheckOutcome::Warning)]), Standing::Active);
    }

    #[test]
    fn microsofts_trouble_is_not_the_tenants() {
        let active = Some(TenantState::Active);
        assert_eq!(health(active, true, Some("throttled"), true), "throttled");
        assert_eq!(health(active, true, Some("api_down"), false), "down");
        assert_eq!(health(active, true, Some("lost_consent"), true), "failing");
        assert_eq!(health(active, true, None, false), "failing");
        assert_eq!(health(active, false, None, false), "new");
        assert_eq!(health(active, false, None, true), "ok");
        assert_eq!(health(Some(TenantState::Paused), true, None, true), "paused");
    }
}
