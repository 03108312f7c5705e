//! Saved queries and streams: which tenants are asked, what is asked next, and what their rows are.
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
use crate::config::{Hunt, Stream};

/// How often it is looked whether every tenant has the queries that it should have: others may have been added.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(60);

impl Collector {
    /// Sees to it that each tenant has the queries and streams that the settings name for it, and no others.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn set_hunts(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        for tenant in self.store.tenants().await? {
            if tenant.state == TenantState::Offboarded {
                continue;
            }
            let wanted = self.named_sources_of(&tenant, now);
            let has = tenant.sources.iter().filter(|source| source.is_named());
            if wanted.keys().eq(has) {
                continue;
            }
            let names: Vec<&str> = wanted.keys().map(|source| source.as_str()).collect();
            let names = names.join(", ");
            match self.store.set_hunts(tenant.id, wanted, now).await {
                Ok(_) => {
                    tracing::info!(tenant.slug = %tenant.slug, hunts = names, "the tenant's saved queries and streams are set")
                }
                // It went meanwhile.
                Err(StoreError::NoTenant(_) | StoreError::Offboarded(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The queries and streams that a tenant is to have, each with where it begins.
    fn named_sources_of(&self, tenant: &Tenant, now: Timestamp) -> BTreeMap<Source, Timestamp> {
        let label = tenant.label();
        let hunts = self.hunts.iter().filter(|(_, hunt)| hunt.asks(&label));
        let hunts = hunts.map(|(source, hunt)| (*source, hunt.look_back));
        let streams = self.streams.of().iter().filter(|(_, stream)| stream.is_of(&label));
        let streams = streams.map(|(source, stream)| (*source, stream.look_back()));
        let begins = |look_back| now.checked_sub(look_back).unwrap_or(now);
        hunts.chain(streams).map(|(source, look_back)| (source, begins(look_back))).collect()
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

    /// How often a saved query or a stream is to be asked.
    pub(super) fn own_interval(&self, source: Source) -> Option<Duration> {
        let hunt = self.hunts.get(&source).map(|hunt| hunt.every);
        hunt.or_else(|| self.streams.of().get(&source).map(Stream::every))
    }

    /// When to ask a source again that has been read to its end: a saved query or a stream as often as it says.
    pub(super) fn next_poll(&self, tenant: &Tenant, source: Source) -> Timestamp {
        let now = self.clock.now();
        match self.own_interval(source) {
            Some(every) => {
                let seed = backoff::seed(&[&tenant.id.to_string(), source.as_str()]);
                now.checked_add(backoff::spread(every, seed)).unwrap_or(Timestamp::MAX)
            }
            None => self.pace.next((tenant.id, source), &self.settings, now),
        }
    }
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
