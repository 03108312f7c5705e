//! The walk through the journal: versions of all sources that are searched, the one that was changed last first.
//!
//! The index of versions says where each is; a batch is read when the first of its records comes up, and all of them are looked
//! at then. What is kept meanwhile is a few rows of the index for each source, and which places of a batch fit: the records
//! themselves are not, and where they are shown they are read again.

use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};

use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use muster_model::{RecordHead, Source, TenantId};
use muster_store::{BatchRead, ChangedIn, Store, StoreError, VersionKey, VersionPlace};

use super::Filter;

/// So many rows of the index are asked for at first, of each source: most searches end at their limit.
const PAGE_FIRST: u32 = 16;
/// So many are kept of all sources together.
const ROWS_MAX: usize = 500_000;
/// So many sources are asked at once.
const ASKED_AT_ONCE: usize = 8;

/// A record that fits.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) tenant: TenantId,
    pub(crate) source: Source,
    pub(crate) accepted_at: Timestamp,
    pub(crate) head: RecordHead,
    /// As Microsoft sent it.
    pub(crate) body: String,
}

/// What was looked at so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Searched {
    /// Versions that were looked at.
    pub(crate) records: u64,
    /// Back to the time of this change; without one, where nothing was looked at or what has no time came up.
    pub(crate) back_to: Option<Timestamp>,
    /// Versions that cannot be read, and their batches.
    pub(crate) unreadable: u64,
    pub(crate) unreadable_batches: u64,
    /// Why the first of them cannot.
    pub(crate) why: Option<String>,
    /// Versions whose batch has left the journal.
    pub(crate) gone: u64,
    /// Whether all was looked at.
    pub(crate) is_whole: bool,
}

/// One source of one tenant.
struct Queue {
    tenant: TenantId,
    source: Source,
    places: VecDeque<VersionPlace>,
    after: Option<VersionKey>,
    page: u32,
}

/// What is known of a batch of which records are still to come up.
enum Looked {
    /// The places in it that fit, and how many records are still to come up.
    Records {
        fit: Vec<u32>,
        left: usize,
    },
    Unreadable,
    Gone,
}

/// A batch that was read last.
struct Kept {
    number: u64,
    batch: muster_model::Batch,
    accepted_at: Timestamp,
}

pub(crate) struct Walk<'a> {
    store: &'a dyn Store,
    filter: &'a Filter,
    span: ChangedIn,
    all_versions: bool,
    queues: Vec<Queue>,
    /// The next version of each queue.
    next: BinaryHeap<(VersionPlace, usize)>,
    open: HashMap<u64, Looked>,
    kept: Option<Kept>,
    shown: HashSet<(u64, u32)>,
    page_max: u32,
    pub(crate) searched: Searched,
}

impl<'a> Walk<'a> {
    /// A walk through all records of these sources that were last changed in a span; only through the latest versions in it,
    /// unless all are wanted.
    pub(crate) async fn through(
        store: &'a dyn Store,
        filter: &'a Filter,
        sources: Vec<(TenantId, Source)>,
        span: ChangedIn,
        all_versions: bool,
    ) -> Result<Self, StoreError> {
        let queues: Vec<Queue> = futures_util::stream::iter(sources)
            .map(async |(tenant, source)| {
                let page = store.versions_by_time((tenant, source), span, None, PAGE_FIRST).await?;
                let (places, after) = (page.places.into(), page.next);
                Ok::<_, StoreError>(Queue { tenant, source, places, after, page: PAGE_FIRST })
            })
            .buffered(ASKED_AT_ONCE)
            .try_collect()
            .await?;
        Ok(Self::of(store, filter, queues, span, all_versions))
    }

    /// A walk through versions whose places are known.
    pub(crate) fn through_places(
        store: &'a dyn Store,
        filter: &'a Filter,
        places: Vec<(TenantId, Source, VersionPlace)>,
        span: ChangedIn,
        all_versions: bool,
    ) -> Self {
        let mut queues: Vec<Queue> = Vec::new();
        for (tenant, source, place) in places {
            let is_of = |queue: &&mut Queue| (queue.tenant, queue.source) == (tenant, source);
            match queues.iter_mut().find(is_of) {
                Some(queue) => queue.places.push_back(place),
                None => {
                    queues.push(Queue {
                        tenant,
                        source,
                        places: [place].into(),
                        after: None,
                        page: PAGE_FIRST,
                    });
                }
            }
        }
        for queue in &mut queues {
            queue.places.make_contiguous().sort_unstable_by(|one, other| other.cmp(one));
        }
        Self::of(store, filter, queues, span, all_versions)
    }

    fn of(
        store: &'a dyn Store,
        filter: &'a Filter,
        mut queues: Vec<Queue>,
        span: ChangedIn,
        all_versions: bool,
    ) -> Self {
        let heads = queues.iter_mut().enumerate();
        let next = heads.filter_map(|(index, queue)| Some((queue.places.pop_front()?, index))).collect();
        let page_max = (ROWS_MAX / queues.len().max(1)).clamp(PAGE_FIRST as usize, 2_048);
        Self {
            store,
            filter,
            span,
            all_versions,
            queues,
            next,
            open: HashMap::new(),
            kept: None,
            shown: HashSet::new(),
            page_max: u32::try_from(page_max).expect("a small number"),
            searched: Searched::default(),
        }
    }

    /// Looks at one version more; what was found, if it fits. `searched` says when all were looked at.
    pub(crate) async fn step(&mut self) -> Result<Option<Found>, StoreError> {
        let Some((place, index)) = self.next.pop() else {
            self.searched.is_whole = true;
            return Ok(None);
        };
        self.refill(index).await?;
        self.searched.back_to = place.updated_at;
        if !self.open.contains_key(&place.batch) {
            let looked = self.look(index, place.batch).await?;
            self.open.insert(place.batch, looked);
        }
        let fits = match self.open.get_mut(&place.batch) {
            Some(Looked::Records { fit, left }) => {
                self.searched.records += 1;
                let fits = fit.contains(&place.ordinal);
                *left -= 1;
                if *left == 0 {
                    self.open.remove(&place.batch);
                }
                fits
            }
            Some(Looked::Unreadable) => {
                self.searched.unreadable += 1;
                false
            }
            Some(Looked::Gone) | None => {
                self.searched.gone += 1;
                false
            }
        };
        // What a gateway wrote anew has several rows for one place.
        match fits && self.shown.insert((place.batch, place.ordinal)) {
            true => self.found(index, place).await,
            false => Ok(None),
        }
    }

    async fn refill(&mut self, index: usize) -> Result<(), StoreError> {
        let queue = &mut self.queues[index];
        if queue.places.is_empty()
            && let Some(after) = queue.after.take()
        {
            queue.page = (queue.page * 2).min(self.page_max);
            let source = (queue.tenant, queue.source);
            let page = self.store.versions_by_time(source, self.span, Some(&after), queue.page).await?;
            (queue.places, queue.after) = (page.places.into(), page.next);
        }
        if let Some(place) = queue.places.pop_front() {
            self.next.push((place, index));
        }
        Ok(())
    }

    /// Looks at all records of a batch.
    async fn look(&mut self, index: usize, number: u64) -> Result<Looked, StoreError> {
        let Queue { tenant, source, .. } = self.queues[index];
        Ok(match self.store.journal_batch(tenant, number).await? {
            BatchRead::Gone => Looked::Gone,
            BatchRead::Unreadable(why) => {
                self.searched.unreadable_batches += 1;
                self.searched.why.get_or_insert(why);
                Looked::Unreadable
            }
            BatchRead::Records { batch, accepted_at } => {
                let fits = |record| self.filter.takes(source.kind(), record);
                let fit =
                    batch.records().zip(0..).filter(|(record, _)| fits(*record)).map(|(_, at)| at).collect();
                let left = batch.len();
                self.kept = Some(Kept { number, batch, accepted_at });
                Looked::Records { fit, left }
            }
        })
    }

    /// The record at a place, unless a later version of it stands for it.
    async fn found(&mut self, index: usize, place: VersionPlace) -> Result<Option<Found>, StoreError> {
        let Queue { tenant, source, .. } = self.queues[index];
        if self.kept.as_ref().is_none_or(|kept| kept.number != place.batch) {
            match self.store.journal_batch(tenant, place.batch).await? {
                BatchRead::Records { batch, accepted_at } => {
                    self.kept = Some(Kept { number: place.batch, batch, accepted_at });
                }
                // It left the journal, or was damaged, since it was looked at.
                BatchRead::Gone => self.searched.gone += 1,
                BatchRead::Unreadable(why) => {
                    self.searched.unreadable += 1;
                    self.searched.why.get_or_insert(why);
                }
            }
        }
        let kept = self.kept.as_ref().filter(|kept| kept.number == place.batch);
        let Some(kept) = kept else { return Ok(None) };
        let Some(record) = kept.batch.record(place.ordinal as usize) else { return Ok(None) };
        let (head, body, accepted_at) = (record.head.clone(), record.body.to_owned(), kept.accepted_at);
        if !self.all_versions {
            let (of, until) = ((tenant, source), self.span.until);
            if self.store.has_later_version(of, &head.id, &place, until).await? {
                return Ok(None);
            }
        }
        Ok(Some(Found { tenant, source, accepted_at, head, body }))
    }
}
