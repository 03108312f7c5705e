//! What the collector works with.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_microsoft::Microsoft;
use muster_model::{Clock, Source, TenantId};
use muster_store::{InstanceId, Store, StoreError};
use tokio::sync::Notify;

use super::pace::Pace;
use super::skews::Skews;
use super::streams::Streams;
use crate::access::apps::Apps;
use crate::config::{CollectSettings, Hunt, JournalBound};
use crate::journal_bound;
use crate::routing::Router;
use crate::told::Told;

/// How long a source is leased; extended with each page.
pub(crate) const LEASE: Duration = Duration::from_secs(600);

/// The pause after the store has failed.
pub(super) const STORE_PAUSE: Duration = Duration::from_secs(1);

/// What the collector needs. All of it is shared with the rest of the product.
pub struct Collector {
    pub store: Arc<dyn Store>,
    /// The way to Microsoft.
    pub microsoft: Arc<Microsoft>,
    pub apps: Apps,
    /// Who is owed what.
    pub router: Router,
    /// `[collect]`
    pub settings: CollectSettings,
    /// The saved queries.
    pub hunts: BTreeMap<Source, Hunt>,
    /// The streams.
    pub streams: Streams,
    pub clock: Arc<dyn Clock>,
    /// This Muster.
    pub instance: InstanceId,
    /// Told when there is something new to deliver.
    pub accepted: Arc<Notify>,
    /// What was last written down about the access to each source.
    pub news: News,
    /// When something new last came of each source.
    pub pace: Pace,
    /// What the log was told about tenants' access.
    pub told: Arc<Told>,
    /// Which sources are known to be swept.
    pub swept: Swept,
    /// What was last told of the clocks.
    pub skews: Skews,
    /// How large the journal may become.
    pub bound: Option<JournalBound>,
}

impl Collector {
    /// Whether the journal is full, and nothing is collected until there is room.
    pub(super) async fn is_stopped(&self) -> Result<bool, StoreError> {
        journal_bound::is_stopped(self.bound, self.store.as_ref()).await
    }
}

/// The sources whose sweeps this process has seen to.
#[derive(Debug, Default)]
pub struct Swept(Mutex<HashSet<(TenantId, Source)>>);

impl Swept {
    pub(super) fn is_first(&self, key: (TenantId, Source)) -> bool {
        self.0.lock().expect("no panic while the lock is held").insert(key)
    }

    pub(super) fn forget(&self, key: (TenantId, Source)) {
        self.0.lock().expect("no panic while the lock is held").remove(&key);
    }
}

/// Tells what is new about the access to a source from what was written down before.
#[derive(Debug, Default)]
pub struct News(Mutex<HashMap<(TenantId, Source), String>>);

impl News {
    /// After a start nothing is known, but a source that did not fail before and does not fail now is no news either.
    pub(super) fn is_news(&self, key: (TenantId, Source), code: &str, failures: u32) -> bool {
        let mut access = self.0.lock().expect("no panic while the lock is held");
        match access.insert(key, code.to_owned()) {
            Some(before) => before != code,
            None => code != "ok" || failures > 0,
        }
    }
}
