//! One turn of one source: a few pages, to the end of its round or until others should have theirs.
//!
//! What is asked next, and what an answer or a failure means for it, is decided in `muster_microsoft::sources` and in the
//! cursor; here it is carried out and written down.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use muster_http::TransportError;
use muster_microsoft::api::answers::{
    self, ASKED_WAIT_MAX, Case, OWN_WAIT_MAX, PAGES_PER_TURN, SEARCH_WAIT, Wait,
};
use muster_microsoft::entra::credential::App;
use muster_microsoft::hunting::HuntTrouble;
use muster_microsoft::sources::{self, AfterFailure, PageRequest, Rung};
use muster_microsoft::{FetchError, FetchedPage, TenantAccess};
use muster_model::page::NotAPage;
use muster_model::{Clocks, Cursor, Hole, Purpose, Reason, RecordHead, Step, Trouble};
use muster_store::{
    AcceptedPage, NewDeadLetter, NewRecord, PageReceipt, PollResult, SourceLease, StoreError,
};
use tokio_util::sync::CancellationToken;

use super::caller::Caller;
use super::collector::{Collector, LEASE, STORE_PAUSE};
use super::each;
use super::gone;
use super::hunts;
use super::missing::missing;
use super::page::{Junk, KEPT_BYTES_MAX, Taken};
use super::place::Place;
use crate::access::apps::AppMissing;
use crate::backoff;
use crate::routing::Routes;

/// What is waited where the trouble is our own: the store's, the settings', a fault.
const OTHER_WAIT: Wait = Wait { first: Duration::from_secs(2), as_told: false, counts: true };

/// Why a turn ended before its time.
#[derive(Debug, thiserror::Error)]
pub(super) enum TurnError {
    #[error(transparent)]
    App(#[from] AppMissing),
    #[error("{error}")]
    Fetch { error: FetchError, after: AfterFailure },
    #[error("{error}")]
    NotAPage { error: NotAPage, after: AfterFailure },
    #[error(transparent)]
    Hunt(#[from] HuntTrouble),
    #[error("{}", .0.reason)]
    Stream(Trouble),
    #[error("reading it made the program fail; this is a fault of Muster: please report it with the log")]
    Panicked,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// So many records of a page are accepted in one transaction, and so many bytes of them.
const RECORDS_TOGETHER_MAX: usize = 5_000;
const BYTES_TOGETHER_MAX: usize = 8 << 20;

/// Where a page comes from: what the journal is told beside its records.
pub(super) struct Origin<'a> {
    /// The text of the page, where it is one.
    pub(super) text: Option<&'a Arc<String>>,
    pub(super) request_id: Option<String>,
    pub(super) proved_up_to: Option<Timestamp>,
}

impl<'a> Origin<'a> {
    fn of(page: &'a FetchedPage, cursor: &Cursor) -> Self {
        Self {
            text: page.body.text(),
            request_id: page.request_id.clone(),
            proved_up_to: cursor.proved_up_to(),
        }
    }
}

/// A record of a page: its body is the page's, or was put together.
type Body<'a> = std::borrow::Cow<'a, str>;

/// What was accepted, as the cursor has to know it. It is stored with the next page, or when the turn ends.
fn note_receipt(cursor: &mut Cursor, receipt: &PageReceipt, purpose: Purpose) {
    if let Some(pass) = cursor.pass_mut() {
        pass.found += u64::from(receipt.accepted);
    }
    if let Some(late) = receipt.late.filter(|_| purpose == Purpose::Live) {
        cursor.came_late(late.delay);
    }
}

/// How many of these records are accepted in one transaction: one at least, where there is one.
fn together(records: &[(RecordHead, Body<'_>)]) -> usize {
    let mut bytes = 0;
    let fits = |(_, body): &&(RecordHead, Body<'_>)| {
        let is_first = bytes == 0;
        bytes += body.len();
        is_first || bytes <= BYTES_TOGETHER_MAX
    };
    records.iter().take(RECORDS_TOGETHER_MAX).take_while(fits).count()
}

impl Collector {
    /// One turn. Whatever happens is written down, and the lease given back.
    #[tracing::instrument(name = "poll", skip_all, fields(tenant.id = %lease.tenant.id, tenant.slug = %lease.tenant.slug, source = %lease.source, purpose = %lease.purpose))]
    pub(super) async fn turn_at(&self, lease: SourceLease, place: &Place, stop: &CancellationToken) {
        let result = match lease.purpose {
            Purpose::Live => self.live_turn(&lease, place, stop).await,
            Purpose::Sweep | Purpose::NightlySweep | Purpose::Backfill => {
                self.pass_turn(&lease, place, stop).await
            }
        };
        self.finish(&lease, result, stop).await;
    }

    /// Writes down how a turn ended. While the store takes nothing it is tried again: else the source had to wait until its
    /// lease has run out, long after the store is well.
    async fn finish(&self, lease: &SourceLease, result: PollResult, stop: &CancellationToken) {
        let began = tokio::time::Instant::now();
        loop {
            let written = self.store.finish_poll(lease, result.clone(), self.clock.now()).await;
            let Err(error) = written else { return };
            self.told.store.failed("write down how a poll ended", &error, self.clock.now());
            let is_ours = error.is_of_all_work() && began.elapsed() < LEASE;
            if !is_ours || stop.run_until_cancelled(tokio::time::sleep(STORE_PAUSE)).await.is_none() {
                return;
            }
        }
    }

    async fn live_turn(&self, lease: &SourceLease, place: &Place, stop: &CancellationToken) -> PollResult {
        let mut cursor = lease.cursor.clone();
        let pages = async {
            match lease.source.stream() {
                Some(_) => self.stream_pages(lease, &mut cursor, stop).await,
                None => self.pages(lease, &mut cursor, place, stop).await,
            }
        };
        let pages = AssertUnwindSafe(pages).catch_unwind().await;
        // A fault of ours that one tenant's data brings out is that tenant's trouble only.
        match pages.unwrap_or(Err(TurnError::Panicked)) {
            Ok(Step::RoundDone) => {
                metrics::counter!("muster_polls_total", "source" => lease.source.as_str(), "result" => "caught_up").increment(1);
                self.note(lease, &TenantAccess::Granted).await;
                if lease.failures > 0 {
                    tracing::debug!("the source is read again");
                }
                self.tell_first(lease).await;
                self.begin_sweeps(lease).await;
                let missing = missing(&cursor);
                PollResult::CaughtUp {
                    next_at: self.next_poll(&lease.tenant, lease.source),
                    missing,
                    cursor: Some(cursor),
                }
            }
            Ok(Step::Continue) => {
                let progressed = cursor != lease.cursor;
                if progressed {
                    self.note(lease, &TenantAccess::Granted).await;
                }
                let missing = missing(&cursor);
                PollResult::Yielded { next_at: self.clock.now(), progressed, missing, cursor: Some(cursor) }
            }
            Err(error) => {
                match error.access() {
                    Some(access) => self.note(lease, &access).await,
                    None => self.tell_own_fault(lease, &error),
                }
                if let TurnError::Fetch { error, .. } = &error {
                    self.renew_credential(lease, error).await;
                }
                if let TurnError::App(missing) = &error {
                    self.note_no_app(lease, missing).await;
                }
                self.failed(lease, cursor, &error)
            }
        }
    }

    async fn pages(
        &self,
        lease: &SourceLease,
        cursor: &mut Cursor,
        place: &Place,
        stop: &CancellationToken,
    ) -> Result<Step, TurnError> {
        let app = self.apps.find(&lease.tenant.app)?;
        let caller = self.caller(lease, &app, place);
        let routes = self.router.routes(&lease.tenant, lease.source);
        // A kill may have left a hole under way: news goes first, so that "read to its end" is never said without it.
        if cursor.is_healing() {
            cursor.pause_healing();
        }
        for _ in 0..PAGES_PER_TURN {
            if stop.is_cancelled() {
                break;
            }
            let clocks = Clocks { local: self.clock.now(), server: None };
            let request = self.request(lease.source, cursor, clocks)?;
            let step = match self.page(lease, &caller, &routes, cursor, &request, clocks).await {
                Ok(step) => step,
                Err(TurnError::Fetch { after: AfterFailure::AskAgain, .. }) => continue,
                // Looking closely at what is a hole already is no failure either.
                Err(
                    TurnError::Fetch { after: AfterFailure::Search, .. }
                    | TurnError::NotAPage { after: AfterFailure::Search, .. },
                ) if cursor.is_healing() => continue,
                // A hole that still gets no answer is no failure of the source.
                Err(TurnError::Fetch { .. } | TurnError::NotAPage { .. }) if cursor.is_healing() => {
                    cursor.leave_hole(clocks.local);
                    Step::RoundDone
                }
                Err(error) => return Err(error),
            };
            if step == Step::RoundDone && !cursor.heal(Clocks { local: self.clock.now(), server: None }) {
                return Ok(step);
            }
        }
        if cursor.is_healing() {
            cursor.pause_healing();
            return Ok(Step::RoundDone);
        }
        Ok(Step::Continue)
    }

    /// Who asks for the pages of a turn.
    pub(super) fn caller<'a>(&'a self, lease: &SourceLease, app: &'a App, place: &'a Place) -> Caller<'a> {
        Caller {
            microsoft: &self.microsoft,
            app,
            tenant: lease.tenant.id,
            source: lease.source,
            purpose: lease.purpose,
            place,
        }
    }

    /// Asks for one page and accepts what it brings.
    pub(super) async fn page(
        &self,
        lease: &SourceLease,
        caller: &Caller<'_>,
        routes: &Routes,
        cursor: &mut Cursor,
        request: &PageRequest,
        clocks: Clocks,
    ) -> Result<Step, TurnError> {
        let (tenant, source) = (lease.tenant.id, lease.source);
        let page = match caller.fetch(&request.target).await {
            Ok(page) => page,
            Err(error) => {
                let after = sources::after_failure(source, cursor, &error, lease.failures, clocks);
                self.keep_beginning(lease, cursor, &error).await?;
                return Err(TurnError::Fetch { error, after });
            }
        };
        self.mind_clocks(lease, page.server_time, clocks.local).await;
        let owns = |link: &str| self.microsoft.owns(source, link);
        let saved = self.saved(source)?;
        let raw = if saved.is_some() { beginning(&page.body) } else { Vec::new() };
        let page = match hunts::shaped(saved, page) {
            Ok(page) => page,
            Err(HuntTrouble::NotAPage(error)) => {
                let after = sources::after_unreadable(source, cursor, lease.failures, clocks);
                self.keep_unreadable(lease, cursor, &raw, &error).await?;
                return Err(TurnError::NotAPage { error, after });
            }
            Err(trouble) => return Err(trouble.into()),
        };
        let taken = match Taken::apart(&page, (source, saved), request.top, clocks, owns) {
            Ok(taken) => taken,
            Err(error) => {
                let after = sources::after_unreadable(source, cursor, lease.failures, clocks);
                self.keep_unreadable(lease, cursor, &page.body, &error).await?;
                return Err(TurnError::NotAPage { error, after });
            }
        };
        let Taken { records, mut dead_letters, junk, mut summary } = taken;
        dead_letters.extend(junk.as_ref().map(Junk::letter));
        let bare = |(_, body): &(RecordHead, &str)| sources::is_bare(request.rung, body);
        if summary.partial.is_some() && records.iter().any(bare) && sources::after_bare(source, cursor) {
            return Ok(Step::Continue);
        }
        let records: Vec<(RecordHead, Body<'_>)> = match request.rung {
            Rung::Plain | Rung::Expand(_) => {
                records.into_iter().map(|(head, body)| (head, body.into())).collect()
            }
            Rung::Each(key) | Rung::ByItself(key) => {
                let mut left = self.not_whole_yet((tenant, source), key, records).await?.into_iter();
                loop {
                    let completed = each::complete(caller, request.rung, &mut left).await;
                    summary.unreadable.extend(completed.bare);
                    let records = completed.records.into_iter();
                    let records: Vec<_> = records.map(|(head, body)| (head, body.into())).collect();
                    if completed.ended.is_none() && left.as_slice().is_empty() {
                        break records;
                    }
                    let origin = Origin::of(&page, cursor);
                    let part = self.accept(lease, &records, Vec::new(), routes, (&*cursor, &*cursor), origin);
                    // At once: what is accepted is not asked for again, whatever ends the rest.
                    note_receipt(cursor, &part.await?, lease.purpose);
                    if let Some(error) = completed.ended {
                        return Err(TurnError::Fetch { error, after: AfterFailure::Wait });
                    }
                }
            }
        };
        let limits = &sources::declaration(source).limits;
        let (mut next, step) = cursor.after(&summary, &self.cursor_policy(source), limits);
        gone::mind(lease, cursor, &mut next, summary.clocks);
        if summary.torn {
            tracing::warn!("a page was torn; its whole records were accepted");
        }
        let origin = Origin::of(&page, cursor);
        let receipt = self.accept(lease, &records, dead_letters, routes, (&*cursor, &next), origin).await?;
        *cursor = next;
        note_receipt(cursor, &receipt, lease.purpose);
        Ok(step)
    }

    pub(super) async fn accept(
        &self,
        lease: &SourceLease,
        records: &[(RecordHead, Body<'_>)],
        mut dead_letters: Vec<NewDeadLetter<'_>>,
        routes: &Routes,
        (before, after): (&Cursor, &Cursor),
        origin: Origin<'_>,
    ) -> Result<PageReceipt, StoreError> {
        let known = before.holes();
        let silent: Vec<String> = after
            .holes()
            .into_iter()
            .filter(|hole| hole.reason == Reason::NoAnswer && !known.contains(hole) && hole.tries == 0)
            .map(|hole| hole_as_json(lease, hole))
            .collect();
        dead_letters.extend(silent.iter().map(|body| NewDeadLetter {
            record_id: None,
            reason: Reason::NoAnswer.as_str().to_owned(),
            body: body.as_bytes(),
        }));
        let sorted = routes.sort(records.iter().map(|(head, body)| (head, body.as_ref())));
        let mut sorted_of = sorted.of.iter().copied();
        // A great page would keep all other tenants waiting for the store. The cursor moves with the last part of it only.
        let (mut left, mut receipt) = (records, PageReceipt::default());
        loop {
            let (part, rest) = left.split_at(together(left));
            left = rest;
            let is_last = left.is_empty();
            let (letters, cursor) = match is_last {
                true => (std::mem::take(&mut dead_letters), after),
                false => (Vec::new(), before),
            };
            let page = AcceptedPage {
                records: part.iter().zip(&mut sorted_of).map(|(record, to)| new_record(record, to)).collect(),
                text: origin.text,
                dead_letters: letters,
                destinations: &sorted.destinations,
                cursor: cursor.clone(),
                request_id: origin.request_id.clone(),
                proved_up_to: origin.proved_up_to,
            };
            let accepted = self.store.accept_page(lease, page, LEASE, self.clock.now()).await?;
            receipt = receipt.and(accepted);
            if is_last {
                break;
            }
        }
        let source = lease.source.as_str();
        metrics::counter!("muster_records_accepted_total", "source" => source)
            .increment(u64::from(receipt.accepted));
        metrics::counter!("muster_records_known_total", "source" => source)
            .increment(u64::from(receipt.known));
        metrics::counter!("muster_records_unreadable_total", "source" => source)
            .increment(u64::from(receipt.kept));
        if lease.purpose.is_sweep() {
            metrics::counter!("muster_records_healed_total", "source" => source)
                .increment(u64::from(receipt.accepted));
        }
        if let Some(late) = receipt.late {
            metrics::counter!("muster_records_late_total", "source" => source)
                .increment(u64::from(late.records));
        }
        if receipt.accepted > 0 {
            if lease.purpose == Purpose::Live {
                self.pace.news((lease.tenant.id, lease.source), self.clock.now());
            }
            self.accepted.notify_waiters();
        }
        Ok(receipt)
    }

    /// Keeps the bytes of an answer that is no page, the first time of a row of failures.
    async fn keep_unreadable(
        &self,
        lease: &SourceLease,
        cursor: &Cursor,
        body: &[u8],
        error: &NotAPage,
    ) -> Result<(), StoreError> {
        match lease.failures {
            0 => self.keep(lease, cursor, body, &error.to_string()).await,
            _ => Ok(()),
        }
    }

    /// Keeps the beginning of an answer that is too large to be taken.
    async fn keep_beginning(
        &self,
        lease: &SourceLease,
        cursor: &Cursor,
        error: &FetchError,
    ) -> Result<(), StoreError> {
        let FetchError::Transport(TransportError::TooLarge { beginning, .. }) = error else { return Ok(()) };
        // What is too large together may be small by itself: only what cannot be divided any more is kept.
        match cursor.is_searching_at_the_bottom() {
            true => self.keep(lease, cursor, beginning, &error.to_string()).await,
            false => Ok(()),
        }
    }

    async fn keep(
        &self,
        lease: &SourceLease,
        cursor: &Cursor,
        body: &[u8],
        reason: &str,
    ) -> Result<(), StoreError> {
        let body = &body[..body.len().min(KEPT_BYTES_MAX)];
        let letter = NewDeadLetter { record_id: None, reason: reason.to_owned(), body };
        let page = AcceptedPage {
            records: vec![],
            text: None,
            dead_letters: vec![letter],
            destinations: &[],
            cursor: cursor.clone(),
            request_id: None,
            proved_up_to: None,
        };
        metrics::counter!("muster_records_unreadable_total", "source" => lease.source.as_str()).increment(1);
        self.store.accept_page(lease, page, LEASE, self.clock.now()).await.map(|_| ())
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

    /// How long to wait after a failure, and whether it counts as one.
    pub(super) fn wait_after(&self, lease: &SourceLease, error: &TurnError) -> (Duration, bool) {
        let case = match error {
            TurnError::Fetch { error, .. } => Some(error.case()),
            TurnError::NotAPage { .. } => Some(Case::NotAPage),
            _ => None,
        };
        let rule = case.and_then(|case| answers::rule(case).wait).unwrap_or(OTHER_WAIT);
        let interval = self.own_interval(lease.source).unwrap_or(self.settings.poll_interval.0);
        let most = interval.max(OWN_WAIT_MAX);
        let seed = backoff::seed(&[&lease.tenant.id.to_string(), lease.source.as_str()]);
        let own = backoff::wait(lease.failures, rule.first, most, seed);
        let asked = match error {
            TurnError::Fetch { error, .. } if rule.as_told => error.retry_after(),
            TurnError::Stream(trouble) => trouble.after,
            _ => None,
        };
        let wait = match error {
            _ if !rule.counts => asked.unwrap_or(rule.first).max(rule.first),
            TurnError::Fetch { after: AfterFailure::Search, .. }
            | TurnError::NotAPage { after: AfterFailure::Search, .. } => SEARCH_WAIT,
            // A server that says "at once", or "tomorrow", is not taken at its word.
            _ => asked.map_or(own, |wait| wait.clamp(own, own.max(ASKED_WAIT_MAX))),
        };
        (wait, rule.counts)
    }

    fn failed(&self, lease: &SourceLease, cursor: Cursor, error: &TurnError) -> PollResult {
        let now = self.clock.now();
        let (wait, counts) = self.wait_after(lease, error);
        if !counts {
            tracing::debug!(reason = %error, "the turn is given up");
            let progressed = cursor != lease.cursor;
            let (next_at, missing) = (later(now, wait), missing(&cursor));
            return PollResult::Yielded { next_at, progressed, missing, cursor: Some(cursor) };
        }
        let kind = match error {
            TurnError::Fetch { error, .. } => error.kind(),
            TurnError::NotAPage { .. } => "not_a_page",
            TurnError::App(_) => "no_app",
            TurnError::Hunt(_) => "hunt",
            TurnError::Stream(_) => "stream",
            TurnError::Panicked => "panicked",
            TurnError::Store(_) => "store",
        };
        metrics::counter!("muster_polls_total", "source" => lease.source.as_str(), "result" => kind)
            .increment(1);
        let reason = error.to_string();
        // The log is told of causes, not of sources: see `told.rs`.
        let (failures, retry_in_seconds) = (lease.failures + 1, wait.as_secs());
        tracing::debug!(error = reason, failures, retry_in_seconds, "the source cannot be read");
        PollResult::Failed { reason, next_at: later(now, wait), cursor: Some(cursor) }
    }
}

fn hole_as_json(lease: &SourceLease, hole: &Hole) -> String {
    let Hole { from, to, since, .. } = hole;
    serde_json::json!({ "source": lease.source, "updated_from": from, "updated_to": to, "since": since })
        .to_string()
}

fn new_record<'a>((head, body): &'a (RecordHead, Body<'_>), destination: usize) -> NewRecord<'a> {
    NewRecord { destination, head: head.clone(), body }
}

/// As much of an answer as is kept of one that cannot be read.
fn beginning(body: &[u8]) -> Vec<u8> {
    body[..body.len().min(KEPT_BYTES_MAX)].to_vec()
}

pub(super) fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}
