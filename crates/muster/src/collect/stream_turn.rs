//! Streams: rows that Defender XDR writes into storage, read out of there.
//!
//! A turn lists all that lies there, and reads what the cursor does not know yet, oldest first. What is read is accepted
//! together with how far each blob was read, so that a crash repeats at most what was not accepted; and whatever is read
//! twice is known again by its content.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use muster_microsoft::api::answers::PAGES_PER_TURN;
use muster_model::page::Broken;
use muster_model::{BlobRead, BlobState, Blobs, Cursor, ListedBlob, RecordHead, Source, Step, Trouble};
use muster_siem::sinks::{ObjectReader, ReadTrouble};
use muster_store::{NewDeadLetter, SourceLease};
use tokio_util::sync::CancellationToken;

use super::blob::Reading;
use super::collector::Collector;
use super::page::{KEPT_BYTES_MAX, letters};
use super::turn::{Origin, TurnError};

/// What is accepted together: so many bytes of rows, of so many blobs, and read within that time.
const TOGETHER_BYTES: usize = 4 << 20;
const TOGETHER_BLOBS: usize = 100;
const TOGETHER_WITHIN: Duration = Duration::from_secs(60);
/// So many blobs may be refused in a turn in which none is given.
const REFUSED_MAX: usize = 3;
/// Rows of others that are shown as a sample.
const SAMPLE_ROWS: usize = 20;

/// What is accepted together.
#[derive(Default)]
struct Batch {
    records: Vec<(RecordHead, std::borrow::Cow<'static, str>)>,
    letters: Vec<(String, Vec<u8>)>,
    foreign: BTreeMap<String, Foreign>,
    bytes: usize,
    blobs: usize,
    newest: Option<Timestamp>,
    since: Option<tokio::time::Instant>,
}

/// Rows of another tenant.
struct Foreign {
    rows: usize,
    blob: String,
    sample: Vec<u8>,
}

impl Batch {
    fn is_full(&self) -> bool {
        let is_old = self.since.is_some_and(|since| since.elapsed() >= TOGETHER_WITHIN);
        self.bytes >= TOGETHER_BYTES || self.blobs >= TOGETHER_BLOBS || is_old
    }

    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.letters.is_empty() && self.foreign.is_empty()
    }

    /// Says of a blob what is no row.
    fn tell(&mut self, blob: &str, reason: &str, body: &[u8]) {
        let reason = format!("{reason} (in blob `{}`)", muster_model::text::shown(blob, 300));
        // The same bytes are kept once.
        let body = if body.is_empty() { blob.as_bytes() } else { body };
        self.bytes += body.len();
        self.letters.push((reason, body.to_vec()));
    }

    fn take_broken(&mut self, blob: &str, broken: Vec<Broken<'_>>) {
        let (kept, junk) = letters(broken);
        for letter in kept.iter().chain(junk.as_ref().map(|junk| junk.letter()).iter()) {
            self.tell(blob, &letter.reason, letter.body);
        }
    }

    fn take_foreign(&mut self, blob: &str, tenant: &str, body: &str) {
        let tenant = muster_model::text::shown(tenant, 80);
        let foreign = self.foreign.entry(tenant.clone()).or_insert_with(|| Foreign {
            blob: blob.to_owned(),
            // No record begins so: a replay of the dead letter cannot make one of it.
            sample: format!("rows of tenant {tenant}:\n").into_bytes(),
            rows: 0,
        });
        foreign.rows += 1;
        if foreign.rows <= SAMPLE_ROWS && foreign.sample.len() + body.len() < KEPT_BYTES_MAX {
            foreign.sample.extend_from_slice(body.as_bytes());
            foreign.sample.push(b'\n');
            self.bytes += body.len();
        }
    }

    /// The dead letters, those of rows of others among them.
    fn all_letters(&mut self, source: Source) -> Vec<(String, Vec<u8>)> {
        let name = source.stream().map_or("", |name| name.as_str());
        let mut letters = std::mem::take(&mut self.letters);
        for (tenant, Foreign { rows, blob, sample }) in std::mem::take(&mut self.foreign) {
            let blob = muster_model::text::shown(&blob, 300);
            letters.push((
                format!(
                    "{rows} rows are of tenant {tenant}, and not of this one, and were left alone; kept is a sample; the first is \
                     in blob `{blob}`: put `{{{{ tenant.id }}}}` into the url of [streams.{name}], so that each tenant's own are \
                     read"
                ),
                sample,
            ));
        }
        letters
    }
}

impl Collector {
    /// Reads what is new of a stream: all of it, or as much as a turn may.
    pub(super) async fn stream_pages(
        &self,
        lease: &SourceLease,
        cursor: &mut Cursor,
        stop: &CancellationToken,
    ) -> Result<Step, TurnError> {
        let (tenant, source) = (lease.tenant.id, lease.source);
        let failed = |reason: String| TurnError::Stream(Trouble { reason, after: None });
        let reader = self.streams.reader(&lease.tenant.label(), source).await.map_err(failed)?;
        let result = self.read_stream(lease, cursor, &reader, stop).await;
        if let Err(TurnError::Stream(_)) = &result {
            self.streams.forget(tenant, source);
        }
        result
    }

    async fn read_stream(
        &self,
        lease: &SourceLease,
        cursor: &mut Cursor,
        reader: &ObjectReader,
        stop: &CancellationToken,
    ) -> Result<Step, TurnError> {
        let listed_at = self.clock.now();
        let listing = reader.list().await.map_err(TurnError::Stream)?;
        let now = self.clock.now();
        let mut turn = Turn {
            blobs: cursor.blobs(),
            batch: Batch::default(),
            batches: 0,
            read: 0,
            refused: Vec::new(),
            escaped: false,
            lease,
            reader,
        };
        for (name, read) in turn.blobs.take_in(&listing.blobs, now) {
            turn.vanished(&name, Some(&read), read.modified);
        }
        turn.blobs.leave(&listing.odd);
        let wanted = turn.blobs.wanted(&listing.blobs, now);
        let mut is_over = true;
        for blob in &wanted {
            if !self.read_blob(&mut turn, blob, cursor, stop).await? {
                is_over = false;
                break;
            }
        }
        let is_known = |name: &str| {
            matches!(turn.blobs.of(name).map(|read| read.state), Some(BlobState::Unreadable(..)))
        };
        // Where nothing was given, it may be no matter of single blobs.
        let has_more_trouble = turn.read == 0 && turn.refused.iter().any(|(name, _)| !is_known(name));
        if has_more_trouble && let Some((_, trouble)) = turn.refused.pop() {
            return Err(TurnError::Stream(trouble));
        }
        self.mark_refused(&mut turn, &listing.blobs);
        turn.blobs.settle(&listing.blobs, self.clock.now());
        self.accept_batch(&mut turn, cursor).await?;
        if is_over && !turn.escaped && turn.blobs.is_all_read() {
            *cursor = cursor.with_all_read(listed_at);
        }
        Ok(if is_over { Step::RoundDone } else { Step::Continue })
    }

    /// Reads a blob to its end. `false` where the turn is over before.
    async fn read_blob(
        &self,
        turn: &mut Turn<'_>,
        blob: &ListedBlob,
        cursor: &mut Cursor,
        stop: &CancellationToken,
    ) -> Result<bool, TurnError> {
        let known = turn.blobs.of(&blob.name).cloned();
        let mut reading = Reading::of(turn.reader, blob, known.as_ref());
        loop {
            if stop.is_cancelled() || turn.batches >= PAGES_PER_TURN {
                return Ok(false);
            }
            match reading.fetch().await {
                Ok(()) => {}
                Err(ReadTrouble::Gone) => {
                    let read = turn.blobs.remove(&blob.name);
                    turn.vanished(&blob.name, read.as_ref(), blob.modified);
                    return Ok(true);
                }
                // The next listing says how it is.
                Err(ReadTrouble::Changed) => {
                    turn.escaped = true;
                    return Ok(true);
                }
                Err(ReadTrouble::Refused(trouble)) => {
                    turn.refused.push((blob.name.clone(), trouble));
                    return Ok(turn.read > 0 || turn.refused.len() < REFUSED_MAX);
                }
                Err(ReadTrouble::Down(trouble)) => return Err(TurnError::Stream(trouble)),
            }
            turn.batch.since.get_or_insert_with(tokio::time::Instant::now);
            let now = self.clock.now();
            let Some(found) = reading.take(now) else { continue };
            turn.read += 1;
            turn.batch.take_broken(&blob.name, found.broken);
            for row in found.rows {
                if !row.tenant.eq_ignore_ascii_case(&turn.lease.tenant.id.to_string()) {
                    turn.batch.take_foreign(&blob.name, &row.tenant, row.item.body);
                    continue;
                }
                let at = row.item.head.updated_at.filter(|at| *at <= now);
                turn.batch.newest = turn.batch.newest.max(at);
                turn.batch.bytes += row.item.body.len();
                turn.batch.records.push((row.item.head, row.item.body.to_owned().into()));
            }
            turn.blobs.put(&blob.name, found.read);
            let is_done = reading.known().state != BlobState::Waiting;
            turn.batch.blobs += usize::from(is_done);
            if turn.batch.is_full() {
                self.accept_batch(turn, cursor).await?;
            }
            if is_done {
                return Ok(true);
            }
        }
    }

    /// Accepts what was read, with how far each blob was.
    async fn accept_batch(&self, turn: &mut Turn<'_>, cursor: &mut Cursor) -> Result<(), TurnError> {
        let mut batch = std::mem::take(&mut turn.batch);
        let next = cursor.with_blobs(turn.blobs.clone(), batch.newest);
        if !batch.is_empty() {
            let letters = batch.all_letters(turn.lease.source);
            let letter =
                |(reason, body)| NewDeadLetter { record_id: None, reason: String::clone(reason), body };
            let dead_letters = letters.iter().map(|(reason, body)| letter((reason, body))).collect();
            let routes = self.router.routes(&turn.lease.tenant, turn.lease.source);
            let origin = Origin { text: None, request_id: None, proved_up_to: cursor.proved_up_to() };
            let cursors = (&*cursor, &next);
            self.accept(turn.lease, &batch.records, dead_letters, &routes, cursors, origin).await?;
            turn.batches += 1;
        }
        *cursor = next;
        Ok(())
    }

    /// Others were given: what was refused has trouble of its own, and is tried again later.
    fn mark_refused(&self, turn: &mut Turn<'_>, listed: &[ListedBlob]) {
        let now = self.clock.now();
        for (name, trouble) in std::mem::take(&mut turn.refused) {
            let Some(blob) = listed.iter().find(|blob| blob.name == name) else { continue };
            let known = turn.blobs.of(&name);
            let since = match known.map(|read| read.state) {
                Some(BlobState::Unreadable(since, _)) => since,
                _ => now,
            };
            let shown = muster_model::text::shown(&name, 300);
            tracing::warn!(blob = shown, error = trouble.reason, "a blob of the stream cannot be read");
            let read = known.cloned().unwrap_or_else(|| BlobRead::unread(blob));
            let state = BlobState::Unreadable(since, now);
            turn.blobs.put(&name, BlobRead { state, etag: blob.etag.clone(), ..read });
        }
    }
}

/// A turn under way.
struct Turn<'t> {
    blobs: Blobs,
    batch: Batch,
    batches: u32,
    /// Pieces that were read.
    read: usize,
    refused: Vec<(String, Trouble)>,
    /// Whether a blob was not there any more as it was listed.
    escaped: bool,
    lease: &'t SourceLease,
    reader: &'t ObjectReader,
}

impl Turn<'_> {
    /// What it held is lost, and may be as new as the blob was: its hours are never claimed.
    fn vanished(&mut self, name: &str, read: Option<&BlobRead>, modified: Timestamp) {
        self.escaped = true;
        self.blobs.lost(read.map_or(modified, |read| read.modified.max(modified)));
        let bytes = read.map_or(0, |read| read.bytes);
        let reason = format!(
            "a blob vanished after {bytes} bytes of it were read: if it held more, that is lost here"
        );
        tracing::warn!(
            blob = muster_model::text::shown(name, 300),
            bytes,
            "a blob vanished before it was read whole"
        );
        let which = format!("{name}\n{}", read.map_or("", |read| &read.etag));
        self.batch.tell(name, &reason, which.as_bytes());
    }
}
