//! Alerts become rows: polls sources that are due and hands each page to the store.
//!
//! The cast: the *store* says which source of which tenant is due and leases it; *Microsoft* gives a page; the
//! *cursor* says what the page means for what is asked next; the *router* says who is owed each record; and
//! [`Store::accept_page`] makes it durable in one transaction. Nothing is held between two pages but the lease: killed
//! at any moment, the same page is asked for again, and what was accepted already is recognised.
//!
//! A turn is a few pages. Then the source goes behind all others that are due, so that a tenant with a million alerts
//! to fetch delays no other. A source that fails waits, longer each time, and delays nobody: calls to Microsoft are many
//! at a time, and none waits for another tenant's.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use muster_http::TransportError;
use muster_microsoft::entra::credential::App;
use muster_microsoft::sources::requirements;
use muster_microsoft::{Ask, FetchError, FetchedPage, Microsoft, TenantAccess};
use muster_model::page::{self, List, NotAPage};
use muster_model::{
    Clock, ContentHash, Cursor, CursorPolicy, PageFacts, PageOrder, Question, RecordHead, Source, Step,
    Stuck, TenantId,
};
use muster_store::{
    AcceptedPage, InstanceId, NewDeadLetter, NewRecord, PageReceipt, PollResult, SourceLease, Store,
    StoreError,
};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::apps::Apps;
use crate::access::checks;
use crate::access::watch::{self, Told};
use crate::backoff;
use crate::config::CollectSettings;
use crate::routing::Router;

/// Pages that one source may read before others have their turn.
const PAGES_PER_TURN: u32 = 8;
/// The pause after the store has failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// How long a source is leased; extended with each page.
const LEASE: Duration = Duration::from_secs(600);
/// How many bytes of a page that cannot be read are kept.
const KEPT_BYTES_MAX: usize = 1 << 20;
/// How often what cannot be read is asked for again before it is passed over.
const UNREADABLE_TRIES: u32 = 5;
/// How many of those that were passed over are remembered for all sources together.
const PASSED_OVER_MAX: usize = 10_000;
/// How often a link behind an empty page is followed.
const LINKS_MAX: u32 = 50;

/// What the collector needs. All of it is shared with the rest of the product.
pub struct Collector {
    pub store: Arc<dyn Store>,
    pub microsoft: Arc<Microsoft>,
    pub apps: Apps,
    /// Who is owed what.
    pub router: Router,
    pub settings: CollectSettings,
    pub clock: Arc<dyn Clock>,
    pub instance: InstanceId,
    /// Told when there is something new to deliver.
    pub accepted: Arc<Notify>,
    /// What has been learnt about sources since the start.
    pub habits: Habits,
    /// What the log was told about tenants' access.
    pub told: Arc<Told>,
}

/// What has been learnt about how each source wants to be asked. Lost at a restart, and learnt again.
#[derive(Debug, Default)]
pub struct Habits {
    sources: Mutex<HashMap<(TenantId, Source), Habit>>,
    /// What could not be read and was passed over: it comes again as long as it is within the overlap.
    passed_over: Mutex<HashSet<(TenantId, Source, ContentHash)>>,
    /// What was last written down about the access to each source.
    access: Mutex<HashMap<(TenantId, Source), String>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Habit {
    /// Page sizes are halved this many times.
    halvings: u32,
    /// The service refuses to sort.
    unsorted: bool,
}

impl Habits {
    /// Whether what a poll says about the access is not what was written down last. After a start nothing is known, but a
    /// source that did not fail before and does not fail now is no news either.
    fn is_news(&self, key: (TenantId, Source), code: &str, failures: u32) -> bool {
        let mut access = self.access.lock().expect("no panic while the lock is held");
        match access.insert(key, code.to_owned()) {
            Some(before) => before != code,
            None => code != "ok" || failures > 0,
        }
    }

    fn of(&self, tenant: TenantId, source: Source) -> Habit {
        self.sources
            .lock()
            .expect("no panic while the lock is held")
            .get(&(tenant, source))
            .copied()
            .unwrap_or_default()
    }

    fn learn(&self, tenant: TenantId, source: Source, change: impl FnOnce(&mut Habit)) {
        change(
            self.sources
                .lock()
                .expect("no panic while the lock is held")
                .entry((tenant, source))
                .or_default(),
        );
    }
}

impl Habits {
    /// Whether all of these bytes may be passed over: they were before, or are `given_up` now.
    fn pass_over(&self, tenant: TenantId, source: Source, hashes: &[ContentHash], given_up: bool) -> bool {
        let mut passed = self.passed_over.lock().expect("no panic while the lock is held");
        let known = hashes.iter().all(|hash| passed.contains(&(tenant, source, *hash)));
        if given_up && !known {
            if passed.len() + hashes.len() > PASSED_OVER_MAX {
                // They are given up anew when they come again.
                passed.clear();
            }
            passed.extend(hashes.iter().map(|hash| (tenant, source, *hash)));
        }
        known || given_up
    }
}

/// Why a turn ended before its time.
#[derive(Debug, thiserror::Error)]
enum TurnError {
    #[error("app `{0}` is not in the settings: add [apps.{0}], or give the tenant another app")]
    NoApp(String),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    NotAPage(#[from] NotAPage),
    #[error(transparent)]
    Stuck(#[from] Stuck),
    #[error("Microsoft says that part of the answer is missing: {0}; it is asked for again")]
    Partial(String),
    #[error(
        "{0} record(s) could not be read; they are kept as dead letters (`muster dead-letter list`) and asked for again"
    )]
    Unreadable(usize),
    #[error("after {LINKS_MAX} empty pages in a row the service still names a next one")]
    EmptyPages,
    #[error("neither the next record ({0}) nor those behind it can be read; the API seems to be in trouble")]
    NothingReadable(String),
    #[error("reading it made the program fail; this is a fault of Muster: please report it with the log")]
    Panicked,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Collector {
    /// Polls until told to stop. Turns under way are finished by `tracker`'s owner waiting for it.
    pub async fn run(self: Arc<Self>, tracker: TaskTracker, stop: CancellationToken) {
        let slots = Arc::new(Semaphore::new(self.settings.concurrency.max(1) as usize));
        let freed = Arc::new(Notify::new());
        while !stop.is_cancelled() {
            let now = self.clock.now();
            let free = u32::try_from(slots.available_permits()).unwrap_or(u32::MAX).min(64);
            if free == 0 {
                tokio::select! {
                    () = freed.notified() => {}
                    () = stop.cancelled() => {}
                }
                continue;
            }
            let leases = match self.store.lease_due_sources(self.instance, free, LEASE, now).await {
                Ok(leases) => leases,
                Err(error) => {
                    tracing::error!(error = %error, "cannot look for due sources");
                    stop.run_until_cancelled(tokio::time::sleep(STORE_PAUSE)).await;
                    continue;
                }
            };
            let none = leases.is_empty();
            for lease in leases {
                let slot = Arc::clone(&slots).acquire_owned().await.expect("the semaphore is never closed");
                let (collector, freed, stop) = (Arc::clone(&self), Arc::clone(&freed), stop.clone());
                tracker.spawn(async move {
                    collector.turn(lease, &stop).await;
                    drop(slot);
                    freed.notify_one();
                });
            }
            if none {
                let wait = self.idle_wait().await;
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = freed.notified() => {}
                    () = stop.cancelled() => {}
                }
            }
        }
    }

    /// Polls everything that is due now, and what falls due by it, until nothing is; returns how many turns that took. For
    /// one-off use and tests: the same turns as [`Collector::run`], one after the other.
    ///
    /// # Errors
    /// When the store cannot say what is due.
    pub async fn collect_due(&self) -> Result<u32, StoreError> {
        let stop = CancellationToken::new();
        let mut turns = 0;
        loop {
            let leases = self.store.lease_due_sources(self.instance, 64, LEASE, self.clock.now()).await?;
            if leases.is_empty() {
                return Ok(turns);
            }
            for lease in leases {
                self.turn(lease, &stop).await;
                turns += 1;
            }
        }
    }

    async fn idle_wait(&self) -> Duration {
        // Tenants may be added by another process, so the store is looked at every now and then in any case.
        let most = Duration::from_secs(1);
        match self.store.next_source_due_at().await {
            Ok(Some(due)) => Duration::try_from(due.duration_since(self.clock.now()))
                .unwrap_or_default()
                .clamp(Duration::from_millis(5), most),
            _ => most,
        }
    }

    /// One turn: a few pages of one source, to its end or until others should have theirs. Whatever happens is
    /// written down, and the lease given back.
    #[tracing::instrument(name = "poll", skip_all, fields(tenant.id = %lease.tenant.id, tenant.slug = %lease.tenant.slug, source = %lease.source))]
    pub async fn turn(&self, lease: SourceLease, stop: &CancellationToken) {
        let mut cursor = lease.cursor.clone();
        let pages = AssertUnwindSafe(self.pages(&lease, &mut cursor, stop)).catch_unwind().await;
        // A fault of ours that one tenant's data brings out is that tenant's trouble only.
        let result = match pages.unwrap_or(Err(TurnError::Panicked)) {
            Ok(Step::RoundDone) => {
                metrics::counter!("muster_polls_total", "source" => lease.source.as_str(), "result" => "caught_up").increment(1);
                self.note(&lease, None).await;
                if lease.failures > 0 {
                    tracing::info!("the source is read again");
                }
                PollResult::CaughtUp {
                    next_at: later(self.clock.now(), self.settings.poll_interval.0),
                    cursor: None,
                }
            }
            Ok(Step::Continue) => {
                PollResult::Yielded { next_at: self.clock.now(), progressed: cursor != lease.cursor }
            }
            Err(error) => {
                if let TurnError::Fetch(error) = &error {
                    self.note(&lease, Some(error)).await;
                    self.renew_credential(&lease, error).await;
                }
                self.failed(&lease, &cursor, &error)
            }
        };
        if let Err(error) = self.store.finish_poll(&lease, result, self.clock.now()).await {
            // The lease runs out by itself, and the source is polled again.
            tracing::warn!(error = %error, "cannot write down how the poll ended");
        }
    }

    /// Writes down what a poll says about the tenant's access, where that is news, so that lost consent or a throttled
    /// tenant is told by its name within one poll.
    async fn note(&self, lease: &SourceLease, error: Option<&FetchError>) {
        let access = TenantAccess::by_page(error);
        if matches!(access, TenantAccess::NotAsked { .. }) {
            return;
        }
        let check = checks::source(lease.source, &access, self.clock.now());
        if !self.habits.is_news((lease.tenant.id, lease.source), &check.code, lease.failures) {
            return;
        }
        watch::tell(&self.told, &lease.tenant, &check);
        if let Err(error) = self.store.put_checks(lease.tenant.id, vec![check]).await {
            tracing::warn!(error = %error, "cannot write down how the tenant's access is");
        }
    }

    /// A credential that Microsoft refuses may have been rotated by another process: it is looked up again, and the
    /// tokens got with the old one are let go.
    async fn renew_credential(&self, lease: &SourceLease, error: &FetchError) {
        if !error.fault().is_of_the_credential() {
            return;
        }
        match self.apps.read_again(&lease.tenant.app).await {
            Ok(true) => tracing::info!(app = lease.tenant.app, "a new credential is used from now on"),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(app = lease.tenant.app, error = %error, "the credential cannot be read again");
            }
        }
    }

    async fn pages(
        &self,
        lease: &SourceLease,
        cursor: &mut Cursor,
        stop: &CancellationToken,
    ) -> Result<Step, TurnError> {
        let (tenant, source) = (lease.tenant.id, lease.source);
        let app =
            self.apps.get(&lease.tenant.app).ok_or_else(|| TurnError::NoApp(lease.tenant.app.clone()))?;
        let app = &app;
        let routes = self.router.routes(&lease.tenant.label(), source);
        let mut link: Option<(String, u32)> = None;
        let mut pages = 0;
        while pages < PAGES_PER_TURN && !stop.is_cancelled() {
            pages += 1;
            let habit = self.habits.of(tenant, source);
            let top = (requirements(source).page_size >> habit.halvings.min(16)).max(1);
            let question = cursor.question();
            let ask = match &link {
                Some((link, _)) => Ask::Link(link),
                None => Ask::Question { question, top, sorted: !habit.unsorted },
            };
            let page = match self.microsoft.fetch(app, tenant, source, ask).await {
                Ok(page) => page,
                Err(FetchError::BadRequest { message, .. })
                    if !habit.unsorted && message.to_ascii_lowercase().contains("orderby") =>
                {
                    self.habits.learn(tenant, source, |habit| habit.unsorted = true);
                    continue;
                }
                Err(FetchError::Transport(TransportError::TooLarge { beginning, limit_bytes, .. }))
                    if top == 1 =>
                {
                    let reason = format!("a single record of more than {limit_bytes} bytes");
                    self.pass_over(lease, app, cursor, &beginning, &reason).await?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let taken = match Taken::apart(&page, source, top) {
                Ok(taken) => taken,
                Err(error) if top == 1 && page.body.trim_ascii_start().starts_with(b"{") => {
                    let reason = error.to_string();
                    let body = page.body[..page.body.len().min(KEPT_BYTES_MAX)].to_vec();
                    // The page gives its place in memory back before another is asked for.
                    drop(page);
                    self.pass_over(lease, app, cursor, &body, &reason).await?;
                    continue;
                }
                Err(error) => {
                    self.keep_unreadable(lease, cursor, &page, &error).await?;
                    return Err(error.into());
                }
            };
            if let (0, Some(next)) = (taken.facts.count, &taken.next_link) {
                let hops = link.as_ref().map_or(0, |(_, hops)| *hops) + 1;
                if hops > LINKS_MAX {
                    return Err(TurnError::EmptyPages);
                }
                link = Some((next.clone(), hops));
                // Empty pages are bounded by themselves: the link is forgotten when the turn ends.
                pages -= 1;
                continue;
            }
            link = None;
            let (next, step) = match &page.partial {
                // What came is kept, but nothing counts as read: the missing part is asked for again.
                Some(_) => (cursor.clone(), Step::Continue),
                None => cursor.after(&taken.facts, &self.settings.cursor_policy())?,
            };
            let (torn, count) = (taken.torn.clone(), taken.facts.count);
            if taken.dead_letters.is_empty() {
                self.accept(lease, taken, &routes, next.clone()).await?;
            } else {
                // What cannot be read may be a fault in passing: it is kept, and asked for again. Only what has come
                // with the same bytes a few times is passed over.
                let hashes: Vec<ContentHash> =
                    taken.dead_letters.iter().map(|letter| ContentHash::of(letter.body)).collect();
                let count = hashes.len();
                let receipt = self.accept(lease, taken, &routes, cursor.clone()).await?;
                let same_again = receipt.kept == 0 && lease.failures >= UNREADABLE_TRIES;
                let given_up = same_again || lease.failures >= 4 * UNREADABLE_TRIES;
                if !self.habits.pass_over(tenant, source, &hashes, given_up) {
                    return Err(TurnError::Unreadable(count));
                }
                self.move_cursor(lease, next.clone()).await?;
            }
            *cursor = next;
            if let Some(partial) = page.partial {
                return Err(TurnError::Partial(partial));
            }
            match torn {
                Some(torn) => {
                    tracing::warn!(torn, "a page was torn; its whole records were accepted");
                    self.habits.learn(tenant, source, |habit| habit.halvings = (habit.halvings + 1).min(16));
                }
                // A page that came well is a step back to the full size.
                None if habit.halvings > 0 && count > 0 => {
                    self.habits.learn(tenant, source, |habit| habit.halvings -= 1);
                }
                None => {}
            }
            if step == Step::RoundDone {
                return Ok(step);
            }
        }
        Ok(Step::Continue)
    }

    async fn accept(
        &self,
        lease: &SourceLease,
        taken: Taken<'_>,
        routes: &crate::routing::Routes,
        cursor: Cursor,
    ) -> Result<PageReceipt, StoreError> {
        let to_record = |(head, body): (RecordHead, _)| NewRecord {
            destination: routes.destination(head.severity),
            head,
            body,
        };
        let page = AcceptedPage {
            records: taken.records.into_iter().map(to_record).collect(),
            dead_letters: taken.dead_letters,
            destinations: routes.destinations(),
            cursor,
        };
        let receipt = self.store.accept_page(lease, page, LEASE, self.clock.now()).await?;
        let source = lease.source.as_str();
        metrics::counter!("muster_records_accepted_total", "source" => source)
            .increment(u64::from(receipt.accepted));
        metrics::counter!("muster_records_known_total", "source" => source)
            .increment(u64::from(receipt.known));
        metrics::counter!("muster_records_unreadable_total", "source" => source)
            .increment(u64::from(receipt.kept));
        if receipt.accepted > 0 {
            self.accepted.notify_waiters();
        }
        Ok(receipt)
    }

    async fn move_cursor(&self, lease: &SourceLease, cursor: Cursor) -> Result<(), StoreError> {
        let page = AcceptedPage { records: vec![], dead_letters: vec![], destinations: &[], cursor };
        self.store.accept_page(lease, page, LEASE, self.clock.now()).await.map(|_| ())
    }

    /// Keeps the bytes of an answer that is no page, the first time of a row of failures.
    async fn keep_unreadable(
        &self,
        lease: &SourceLease,
        cursor: &Cursor,
        page: &FetchedPage,
        error: &NotAPage,
    ) -> Result<(), StoreError> {
        if lease.failures > 0 {
            return Ok(());
        }
        self.keep(lease, cursor.clone(), &page.body, &error.to_string()).await
    }

    async fn keep(
        &self,
        lease: &SourceLease,
        cursor: Cursor,
        body: &[u8],
        reason: &str,
    ) -> Result<(), StoreError> {
        let body = &body[..body.len().min(KEPT_BYTES_MAX)];
        let letter = NewDeadLetter { record_id: None, reason: reason.to_owned(), body };
        let page = AcceptedPage { records: vec![], dead_letters: vec![letter], destinations: &[], cursor };
        metrics::counter!("muster_records_unreadable_total", "source" => lease.source.as_str()).increment(1);
        self.store.accept_page(lease, page, LEASE, self.clock.now()).await.map(|_| ())
    }

    /// Passes over the one record at the cursor that cannot be read, having kept its bytes; but only when the
    /// service answers well for the record behind it. Otherwise it is the service that is broken, not the record.
    async fn pass_over(
        &self,
        lease: &SourceLease,
        app: &App,
        cursor: &mut Cursor,
        body: &[u8],
        reason: &str,
    ) -> Result<(), TurnError> {
        let Question { from, skip } = cursor.question();
        let sorted = !self.habits.of(lease.tenant.id, lease.source).unsorted;
        let mut answered_at = None;
        // Bad records may stand side by side.
        for ahead in 1..=3 {
            let behind = Ask::Question { question: Question { from, skip: skip + ahead }, top: 1, sorted };
            let page = self.microsoft.fetch(app, lease.tenant.id, lease.source, behind).await;
            answered_at = match page {
                Ok(page) => Taken::apart(&page, lease.source, 1).ok().map(|taken| taken.facts.answered_at),
                Err(FetchError::Transport(TransportError::TooLarge { .. })) => None,
                Err(error) => return Err(error.into()),
            };
            if answered_at.is_some() {
                break;
            }
        }
        let answered_at = answered_at.ok_or_else(|| TurnError::NothingReadable(reason.to_owned()))?;
        let facts = PageFacts {
            count: 1,
            more: true,
            newest: None,
            order: PageOrder::Level,
            fingerprint: fingerprint([String::from_utf8_lossy(&body[..body.len().min(4096)]).as_ref()]),
            answered_at,
        };
        let (next, _) = cursor.after(&facts, &self.settings.cursor_policy())?;
        self.keep(lease, next.clone(), body, reason).await?;
        tracing::warn!(reason, "one record cannot be read; it was kept as a dead letter and passed over");
        *cursor = next;
        Ok(())
    }

    fn failed(&self, lease: &SourceLease, cursor: &Cursor, error: &TurnError) -> PollResult {
        let now = self.clock.now();
        let (tenant, source) = (lease.tenant.id, lease.source);
        let asked_to_wait = match error {
            TurnError::Fetch(error) => error.retry_after(),
            _ => None,
        };
        if let TurnError::Fetch(FetchError::OverBudget { wait }) = error {
            return PollResult::Yielded { next_at: later(now, *wait), progressed: *cursor != lease.cursor };
        }
        let smaller_may_help = matches!(
            error,
            TurnError::NotAPage(_)
                | TurnError::Fetch(
                    FetchError::Transport(
                        TransportError::TooLarge { .. }
                            | TransportError::Timeout { .. }
                            | TransportError::Broken { .. }
                    ) | FetchError::Unavailable { status: 500 | 504, .. }
                )
        );
        let full_size = requirements(source).page_size;
        let can_shrink = full_size >> self.habits.of(tenant, source).halvings.min(16) > 1;
        let too_large =
            matches!(error, TurnError::Fetch(FetchError::Transport(TransportError::TooLarge { .. })));
        if smaller_may_help {
            self.habits.learn(tenant, source, |habit| habit.halvings = (habit.halvings + 1).min(16));
        }
        let most = self.settings.poll_interval.0.max(Duration::from_secs(300));
        let seed = backoff::seed(&[&tenant.to_string(), source.as_str()]);
        let own = backoff::wait(lease.failures, Duration::from_secs(2), most, seed);
        let wait = match asked_to_wait {
            Some(wait) if matches!(error, TurnError::Fetch(FetchError::Throttled { .. })) => wait,
            // A server in trouble that says "at once", or "tomorrow", is not taken at its word.
            Some(wait) => wait.clamp(own, own.max(Duration::from_secs(3_600))),
            // A smaller page is asked for at once, and in the end one record.
            None if too_large && can_shrink => Duration::ZERO,
            None => own,
        };
        let kind = match error {
            TurnError::Fetch(error) => error.kind(),
            TurnError::NotAPage(_) | TurnError::NothingReadable(_) => "not_a_page",
            TurnError::Stuck(_) | TurnError::EmptyPages => "stuck",
            TurnError::Partial(_) => "partial",
            TurnError::Unreadable(_) => "unreadable",
            TurnError::NoApp(_) => "no_app",
            TurnError::Panicked => "panicked",
            TurnError::Store(_) => "store",
        };
        metrics::counter!("muster_polls_total", "source" => source.as_str(), "result" => kind).increment(1);
        let reason = error.to_string();
        if lease.failures == 0 {
            tracing::warn!(error = reason, retry_in_seconds = wait.as_secs(), "the source cannot be read");
        } else {
            tracing::debug!(error = reason, failures = lease.failures + 1, "the source still cannot be read");
        }
        let restart = matches!(error, TurnError::Stuck(_)).then(|| cursor.without_round());
        PollResult::Failed { reason, next_at: later(now, wait), cursor: restart }
    }
}

/// A page taken apart.
pub(crate) struct Taken<'a> {
    pub(crate) records: Vec<(RecordHead, &'a str)>,
    pub(crate) dead_letters: Vec<NewDeadLetter<'a>>,
    pub(crate) facts: PageFacts,
    pub(crate) next_link: Option<String>,
    pub(crate) torn: Option<String>,
}

impl<'a> Taken<'a> {
    /// Takes a page of this source apart for which `top` records were asked.
    pub(crate) fn apart(page: &'a FetchedPage, source: Source, top: u32) -> Result<Self, NotAPage> {
        // Services give more than was asked for now and then, but not endlessly more.
        let items_max = 1000 + 4 * top as usize;
        let split = page::split(&page.body, source.kind(), List::Field("value"), items_max)?;
        let count = split.items.len() + split.broken.len();
        let more = !split.is_whole() || split.next_link.is_some() || count >= top as usize;
        let letter = |body: &'a [u8], reason| {
            let body = &body[..body.len().min(KEPT_BYTES_MAX)];
            NewDeadLetter { record_id: None, reason, body }
        };
        let beyond = split.beyond.map(|beyond| {
            letter(
                beyond.body,
                format!("it is the beginning of {} items more than were asked for", beyond.count),
            )
        });
        let broken = split.broken.into_iter().map(|broken| letter(broken.body, broken.reason));
        let dead_letters = broken.chain(beyond).collect();
        let records: Vec<_> = split.items.into_iter().map(|item| (item.head, item.body)).collect();
        let times: Vec<Timestamp> = records.iter().filter_map(|(head, _)| head.updated_at).collect();
        let facts = PageFacts {
            count: u32::try_from(count).unwrap_or(u32::MAX),
            more,
            newest: times.iter().max().copied(),
            order: PageOrder::of(&times),
            fingerprint: fingerprint(records.iter().map(|(head, _)| head.id.as_str())),
            answered_at: page.answered_at,
        };
        Ok(Self {
            records,
            dead_letters,
            facts,
            next_link: split.next_link.map(Into::into),
            torn: split.torn,
        })
    }
}

fn fingerprint<'a>(ids: impl IntoIterator<Item = &'a str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    ids.into_iter().for_each(|id| id.hash(&mut hasher));
    hasher.finish()
}

/// Policy for one-off reading, where the cursor is thrown away afterwards.
pub(crate) fn one_off_policy() -> CursorPolicy {
    CursorPolicy { overlap: Duration::ZERO, horizon: Duration::ZERO }
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}
