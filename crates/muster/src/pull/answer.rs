//! The detections that a request asks for, out of the journal.

use jiff::{SignedDuration, Timestamp};
use muster_model::{Change, ChangeKind};
use muster_siem::detection::Detection;
use muster_store::{ProcessedBatch, ProcessedSpan, PullClient, Store, StoreError};

use super::query::Query;

/// The most detections of an answer.
pub const ITEMS_MAX: usize = 10_000;
/// The most bytes of an answer, unless a single detection is larger.
const BYTES_MAX: usize = 16 << 20;
/// How much of the journal is opened at once.
const STEP_BYTES_MAX: u64 = 4 << 20;
const TICK: SignedDuration = SignedDuration::from_nanos(100);

/// An answer.
#[derive(Debug, Default)]
pub struct Answer {
    /// A bare JSON array, as the old API gave.
    pub body: String,
    pub detections: usize,
    /// Whether there is more than an answer holds: then it holds the oldest, and who steps on from the last of them gets
    /// the rest.
    pub is_cut: bool,
}

/// What a client gets. Whoever asks has been promised that nothing older comes later:
/// [`muster_store::PullClients::nothing_new_before`].
///
/// # Errors
/// When the journal cannot be read. Part of an answer would be taken for all of it, so there is none then.
pub async fn answer(
    store: &dyn Store,
    client: &PullClient,
    query: &Query,
    now: Timestamp,
) -> Result<Answer, StoreError> {
    let mut answer = Answer { body: "[".to_owned(), ..Answer::default() };
    let items_max = query.limit.unwrap_or(ITEMS_MAX).min(ITEMS_MAX);
    let latest_first = query.limit.is_some();
    let mut span = ProcessedSpan { after: query.after, up_to: query.up_to, latest_first };
    'read: loop {
        let batches = store.processed(client.tenant, &client.sources, span, STEP_BYTES_MAX, now).await?;
        let Some(last) = batches.last() else { break };
        let next = match latest_first {
            true => ProcessedSpan { up_to: Some(last.first_at - TICK), ..span },
            false => ProcessedSpan { after: last.at(last.batch.len().saturating_sub(1)), ..span },
        };
        for batch in &batches {
            for index in places(batch, latest_first) {
                let Some(detection) = detection(batch, index, client, query, span) else { continue };
                if answer.detections == items_max {
                    answer.is_cut = query.limit.is_none_or(|limit| limit > ITEMS_MAX);
                    break 'read;
                }
                let text = serde_json::to_string(&detection).expect("texts and numbers are JSON");
                if answer.detections > 0 && answer.body.len() + text.len() > BYTES_MAX {
                    answer.is_cut = true;
                    break 'read;
                }
                if answer.detections > 0 {
                    answer.body.push(',');
                }
                answer.body.push_str(&text);
                answer.detections += 1;
            }
        }
        span = next;
    }
    answer.body.push(']');
    Ok(answer)
}

fn places(batch: &ProcessedBatch, latest_first: bool) -> Box<dyn Iterator<Item = usize> + Send> {
    match latest_first {
        true => Box::new((0..batch.batch.len()).rev()),
        false => Box::new(0..batch.batch.len()),
    }
}

fn detection(
    batch: &ProcessedBatch,
    index: usize,
    client: &PullClient,
    query: &Query,
    span: ProcessedSpan,
) -> Option<Detection> {
    let at: Timestamp = batch.at(index);
    if at <= span.after || span.up_to.is_some_and(|up_to| at > up_to) {
        return None;
    }
    let record = batch.batch.record(index)?;
    let is_update = |change: &Change| change.kind != ChangeKind::Created;
    // What came in the place of one that was lost is the first that the client can have.
    let is_first = || batch.fetched_again.contains(&index);
    if !client.updates && record.head.change.as_ref().is_some_and(is_update) && !is_first() {
        return None;
    }
    let detection = Detection::of(batch.source.kind(), record, at)?;
    let any =
        |wanted: &[String], had: &[String]| wanted.is_empty() || wanted.iter().any(|one| had.contains(one));
    let fits =
        any(&query.groups, &detection.groups) && query.tags.iter().all(|wanted| any(wanted, &detection.tags));
    fits.then_some(detection)
}
