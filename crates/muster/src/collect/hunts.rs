//! Saved queries: which tenants are asked, what is asked next, and what their rows are.
//!
//! A saved query is a source of every tenant that the settings name for it. It has cursors as any other source, and its
//! windows, holes and backfills are theirs; what differs stands here.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use muster_microsoft::FetchedPage;
use muster_microsoft::hunting::{HuntTrouble, SavedHunt};
use muster_microsoft::sources::{self, PageRequest};
use muster_model::{Clocks, Cursor, CursorPolicy, Source, Tenant, TenantState};
use muster_store::StoreError;

use super::collector::Collector;
use crate::backoff;
use crate::config::Hunt;

/// How often it is looked whether every tenant has the queries that it should have: others may have been added.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(60);

impl Collector {
    /// Sees to it that each tenant has the queries that the settings name for it, and no others.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_hunts(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        for tenant in self.store.tenants().await? {
            if tenant.state == TenantState::Offboarded {
                continue;
            }
            let wanted = hunts_of(&self.hunts, &tenant, now);
            let has = tenant.sources.iter().filter(|source| source.hunt().is_some());
            if wanted.keys().eq(has) {
                continue;
            }
            let names: Vec<&str> = wanted.keys().map(|source| source.as_str()).collect();
            let names = names.join(", ");
            match self.store.set_hunts(tenant.id, wanted, now).await {
                Ok(_) => {
                    tracing::info!(tenant.slug = %tenant.slug, hunts = names, "the tenant's saved queries are set")
                }
                // It went meanwhile.
                Err(StoreError::NoTenant(_) | StoreError::Offboarded(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What a cursor of `source` wants next.
    pub(super) fn request(
        &self,
        source: Source,
        cursor: &Cursor,
        clocks: Clocks,
    ) -> Result<PageRequest, HuntTrouble> {
        Ok(match self.saved(source)? {
            Some(saved) => saved.request(cursor, clocks),
            None => sources::request(source, cursor, clocks, None),
        })
    }

    /// The saved query that `source` is, where it is one.
    pub(super) fn saved(&self, source: Source) -> Result<Option<&SavedHunt>, HuntTrouble> {
        saved(&self.hunts, source)
    }

    /// How far the rounds of `source` overlap.
    pub(super) fn cursor_policy(&self, source: Source) -> CursorPolicy {
        self.hunts.get(&source).map_or_else(|| self.settings.cursor_policy(), Hunt::cursor_policy)
    }

    /// When to ask a source again that has been read to its end: a saved query as often as it says.
    pub(super) fn next_poll(&self, tenant: &Tenant, source: Source) -> Timestamp {
        let now = self.clock.now();
        match self.hunts.get(&source) {
            Some(hunt) => {
                let seed = backoff::seed(&[&tenant.id.to_string(), source.as_str()]);
                now.checked_add(backoff::spread(hunt.every, seed)).unwrap_or(Timestamp::MAX)
            }
            None => self.pace.next((tenant.id, source), &self.settings, now),
        }
    }
}

/// The queries that a tenant is to be asked, each with where it begins.
fn hunts_of(hunts: &BTreeMap<Source, Hunt>, tenant: &Tenant, now: Timestamp) -> BTreeMap<Source, Timestamp> {
    let label = tenant.label();
    let asked = hunts.iter().filter(|(_, hunt)| hunt.asks(&label));
    asked.map(|(source, hunt)| (*source, now.checked_sub(hunt.look_back).unwrap_or(now))).collect()
}

/// The saved query that `source` is, where it is one.
pub(crate) fn saved(
    hunts: &BTreeMap<Source, Hunt>,
    source: Source,
) -> Result<Option<&SavedHunt>, HuntTrouble> {
    match (source.hunt(), hunts.get(&source)) {
        (None, _) => Ok(None),
        (Some(_), Some(hunt)) => Ok(Some(&hunt.saved)),
        (Some(name), None) => Err(HuntTrouble::NotInSettings(name)),
    }
}

/// A page in the shape that all pages have.
pub(crate) fn shaped(saved: Option<&SavedHunt>, page: FetchedPage) -> Result<FetchedPage, HuntTrouble> {
    match saved {
        Some(saved) => saved.page(page),
        None => Ok(page),
    }
}
