//! Which tenants are listed, and in which order.

use std::time::Duration;

use jiff::Timestamp;
use muster_microsoft::SourceWord;
use muster_model::TenantId;

use super::facts::Facts;
use crate::shown::output::Tone;
use crate::shown::state::{self, since};
use crate::shown::status::{Standing, TenantStatus};

/// Which tenants are shown, and in which order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    pub by: By,
    /// Whether the order is turned round.
    pub reversed: bool,
    /// Only tenants in which this is found.
    pub filter: String,
    pub only_trouble: bool,
}

impl Wanted {
    /// Whether the largest, or the last of the alphabet, comes first.
    pub(super) fn is_descending(&self) -> bool {
        self.by.is_descending() != self.reversed
    }
}

/// What tenants are sorted by: a column, or how much they need somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum By {
    /// Those with trouble first.
    #[default]
    Need,
    Tenant,
    State,
    Sources,
    LastRead,
    Accepted,
    Rate,
    Owed,
    Unrouted,
    Name,
    App,
}

impl By {
    pub const ALL: [Self; 11] = [
        Self::Need,
        Self::Tenant,
        Self::State,
        Self::Sources,
        Self::LastRead,
        Self::Accepted,
        Self::Rate,
        Self::Owed,
        Self::Unrouted,
        Self::Name,
        Self::App,
    ];

    /// As the screen says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Need => "trouble first",
            Self::Tenant => "tenant",
            Self::State => "state",
            Self::Sources => "sources",
            Self::LastRead => "last read",
            Self::Accepted => "accepted",
            Self::Rate => "rate",
            Self::Owed => "owed",
            Self::Unrouted => "unrouted",
            Self::Name => "name",
            Self::App => "app",
        }
    }

    pub(super) fn place(self) -> usize {
        Self::ALL.iter().position(|by| *by == self).unwrap_or_default()
    }

    pub(super) fn next(self) -> Self {
        Self::ALL[(self.place() + 1) % Self::ALL.len()]
    }

    pub(super) fn previous(self) -> Self {
        Self::ALL[(self.place() + Self::ALL.len() - 1) % Self::ALL.len()]
    }

    /// Of numbers the largest come first.
    pub(super) fn is_descending(self) -> bool {
        matches!(self, Self::LastRead | Self::Accepted | Self::Rate | Self::Owed | Self::Unrouted)
    }
}

/// The tenants that are shown, in their order.
pub(super) fn list<'f>(wanted: &Wanted, facts: &'f Facts) -> Vec<&'f TenantStatus> {
    let Some(picture) = facts.latest() else { return Vec::new() };
    let running = facts.is_running();
    let text = wanted.filter.to_lowercase();
    let mut found: Vec<(usize, &TenantStatus)> = picture
        .tenants
        .iter()
        .enumerate()
        .filter(|(_, tenant)| tenant.standing != Standing::Offboarded)
        .filter(|(_, tenant)| !wanted.only_trouble || tenant.is_in_trouble())
        .filter(|(_, tenant)| text.is_empty() || is_found(tenant, &text))
        .collect();
    let now = picture.at;
    // Turned round twice, those that are alike stay in the order of their names.
    let is_turned = wanted.by.is_descending() != wanted.reversed;
    if is_turned {
        found.reverse();
    }
    match wanted.by {
        By::Need => found.sort_by_cached_key(|(_, tenant)| need(tenant, running)),
        By::Tenant => found.sort_by(|(_, one), (_, other)| one.slug.cmp(&other.slug)),
        By::State => found.sort_by_key(|(_, tenant)| tenant.standing.as_str()),
        By::Sources => found.sort_by_key(|(_, tenant)| worst(tenant, running).map(|word| word.to_string())),
        By::LastRead => found.sort_by_key(|(_, tenant)| lag(tenant, now)),
        By::Accepted => found.sort_by_key(|(_, tenant)| accepted(tenant)),
        By::Rate => {
            let rates: Vec<f64> =
                found.iter().map(|(place, tenant)| facts.rate_of(tenant, *place).unwrap_or(0.0)).collect();
            let mut order: Vec<usize> = (0..found.len()).collect();
            order.sort_by(|one, other| rates[*one].total_cmp(&rates[*other]));
            found = order.into_iter().map(|place| found[place]).collect();
        }
        By::Owed => found.sort_by_key(|(_, tenant)| tenant.owed),
        By::Unrouted => found.sort_by_key(|(_, tenant)| tenant.unrouted.no_route),
        By::Name => found.sort_by_cached_key(|(_, tenant)| tenant.name.to_lowercase()),
        By::App => found.sort_by(|(_, one), (_, other)| one.app.cmp(&other.app)),
    }
    if is_turned {
        found.reverse();
    }
    found.into_iter().map(|(_, tenant)| tenant).collect()
}

/// Where the cursor is in the list.
pub(super) fn place(selected: Option<TenantId>, list: &[&TenantStatus]) -> usize {
    let selected = selected.and_then(|id| list.iter().position(|tenant| tenant.id == id));
    selected.unwrap_or_default()
}

fn is_found(tenant: &TenantStatus, wanted: &str) -> bool {
    let found = |text: &str| text.to_lowercase().contains(wanted);
    found(tenant.slug.as_str())
        || found(&tenant.name)
        || found(&tenant.app)
        || found(tenant.standing.as_str())
        || found(&tenant.id.to_string())
        || tenant.reason.as_deref().is_some_and(found)
        || tenant.sources.iter().any(|source| {
            found(&source.source.to_string())
                || found(&source.state.to_string())
                || source.last_error.as_deref().is_some_and(found)
        })
}

/// Whoever needs a person comes before what needs a look.
fn need(tenant: &TenantStatus, running: bool) -> u8 {
    match tenant.tone(running) {
        Tone::Bad => 0,
        _ if tenant.is_in_trouble() => 1,
        Tone::Fair => 2,
        Tone::Good | Tone::Plain => 3,
    }
}

/// The state of the source that is worst off.
pub(super) fn worst(tenant: &TenantStatus, running: bool) -> Option<SourceWord> {
    let rank = |word: &SourceWord| match state::tone(*word, running) {
        Tone::Bad => 0,
        Tone::Fair => 1,
        Tone::Plain => 2,
        Tone::Good => 3,
    };
    tenant.sources.iter().map(|source| source.state).min_by_key(rank)
}

/// How long ago the source was read that was not read for longest; forever where one never was.
pub(super) fn lag(tenant: &TenantStatus, now: Timestamp) -> Option<(bool, Duration)> {
    let of = tenant.sources.iter().map(|source| match source.last_success_at {
        Some(at) if source.lag_seconds.is_some() => (false, since(at, now)),
        _ => (true, Duration::ZERO),
    });
    of.max()
}

pub(super) fn accepted(tenant: &TenantStatus) -> u64 {
    tenant.sources.iter().map(|source| source.accepted).sum()
}

/// What is wrong with a tenant, in a line.
pub(super) fn trouble(tenant: &TenantStatus) -> Option<String> {
    let of_source = || {
        let told = tenant.sources.iter().find_map(|source| {
            let error = source.last_error.as_ref()?;
            Some(format!("{}: {error}", source.source))
        });
        told.filter(|_| tenant.is_worked_on())
    };
    let of_queue = || {
        let failing = tenant.owed_to.iter().find_map(|owed| Some((owed, owed.last_error.as_ref()?)));
        failing.map(|(owed, error)| format!("sink {}: {error}", owed.sink))
    };
    let standing = tenant.reason.clone().filter(|_| tenant.standing == Standing::Failing);
    standing.or_else(of_source).or_else(of_queue)
}
