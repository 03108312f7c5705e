//! Journal batches on their way to the disk and back: encoded, compressed, sealed.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use muster_model::{Batch, TenantId};
use sqlx::{Row, SqliteConnection};
use tokio::sync::Semaphore;

use super::{Durability, Failure, SqliteStore, count, nanoseconds};
use crate::sealing::{Binding, DataKey, Sealed, random};
use crate::{JournalTotals, StoreError};

/// The column that the sealed form of a batch is bound to.
const COLUMN: &str = "journal_batch.sealed";
/// zstd's quickest level: eight to one on alerts, and a third of the time of the default.
const LEVEL: i32 = 1;
/// What a head takes in an encoded batch at most.
const HEAD_BYTES_MAX: u64 = 1024;
/// No batch is larger than this when it is read back, whatever the database says.
const RAW_BYTES_MAX: u64 = 1 << 30;
/// Batches that one statement of pruning deletes.
const PRUNE_AT_ONCE: usize = 50;

/// Does what takes processor time on threads for such work, as many at once as there are processors.
pub(super) struct Packer {
    turns: Arc<Semaphore>,
    /// Compressors that wait for their next turn; each holds about a megabyte.
    compressors: Arc<Mutex<Vec<zstd::bulk::Compressor<'static>>>>,
}

/// A batch as it is stored.
pub(super) struct PackedBatch {
    pub(super) batch_id: Vec<u8>,
    pub(super) records: u32,
    pub(super) body_bytes: u64,
    pub(super) sealed: Vec<u8>,
}

/// A stored batch with what is needed to read it.
pub(super) struct StoredBatch {
    pub(super) batch_id: Vec<u8>,
    pub(super) records: u64,
    pub(super) body_bytes: u64,
    pub(super) sealed: Vec<u8>,
}

/// A batch that cannot be read back.
pub(super) struct Unreadable {
    /// Why.
    pub(super) reason: String,
    /// The batch as it is stored.
    pub(super) sealed: Vec<u8>,
}

impl Packer {
    pub(super) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { turns: Arc::new(Semaphore::new(processors)), compressors: Arc::default() }
    }

    /// Runs `work` on a thread that may be kept busy.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let turn = Arc::clone(&self.turns).acquire_owned().await.expect("never closed");
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        });
        match done.await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => panic!("the runtime ends while the store is used: {error}"),
            },
        }
    }

    /// Encodes, compresses and seals `batches`.
    pub(super) async fn pack(
        &self,
        batches: Vec<Batch>,
        tenant: TenantId,
        key: DataKey,
    ) -> Result<Vec<PackedBatch>, StoreError> {
        let compressors = Arc::clone(&self.compressors);
        let packed = self.run(move || {
            let waiting = compressors.lock().expect("no panic while the lock is held").pop();
            let mut compressor = match waiting {
                Some(compressor) => compressor,
                None => zstd::bulk::Compressor::new(LEVEL)?,
            };
            let packed = batches
                .into_iter()
                .map(|batch| pack(&mut compressor, batch, tenant, &key))
                .collect::<Result<Vec<_>, _>>()?;
            compressors.lock().expect("no panic while the lock is held").push(compressor);
            Ok(packed)
        });
        packed.await.map_err(|error: std::io::Error| StoreError::Database {
            doing: "compress a journal batch",
            detail: error.to_string(),
        })
    }
}

fn pack(
    compressor: &mut zstd::bulk::Compressor<'_>,
    batch: Batch,
    tenant: TenantId,
    key: &DataKey,
) -> Result<PackedBatch, std::io::Error> {
    let (records, body_bytes) = (batch.len(), batch.body_bytes());
    let encoded = batch.encode();
    drop(batch);
    let compressed = compressor.compress(&encoded)?;
    drop(encoded);
    let batch_id = random::<16>();
    let sealed = key.seal(Binding { column: COLUMN, tenant, row: &batch_id }, &compressed);
    Ok(PackedBatch {
        batch_id: batch_id.to_vec(),
        records: u32::try_from(records).expect("a page is bounded"),
        body_bytes: body_bytes as u64,
        sealed: sealed.into_bytes(),
    })
}

/// Reads a stored batch back.
pub(super) fn unpack(stored: StoredBatch, tenant: TenantId, key: &DataKey) -> Result<Batch, Unreadable> {
    let binding = Binding { column: COLUMN, tenant, row: &stored.batch_id };
    let read = || -> Result<Batch, String> {
        let sealed = Sealed::from_stored(stored.sealed.clone());
        let compressed = key.open(binding, sealed).map_err(|error| error.to_string())?;
        let most = stored.body_bytes.saturating_add(stored.records.saturating_mul(HEAD_BYTES_MAX));
        let most = usize::try_from(most.saturating_add(HEAD_BYTES_MAX).min(RAW_BYTES_MAX))
            .expect("below a gigabyte");
        let encoded = zstd::bulk::decompress(&compressed, most)
            .map_err(|error| format!("it does not unpack: {error}"))?;
        Batch::decode(encoded).map_err(|error| error.to_string())
    };
    read().map_err(|reason| Unreadable {
        reason: format!("the journal batch cannot be read: {reason}"),
        sealed: stored.sealed,
    })
}

/// Writes a packed batch; returns its number.
pub(super) async fn insert_batch(
    connection: &mut SqliteConnection,
    source_no: i64,
    packed: PackedBatch,
    now: Timestamp,
) -> Result<i64, Failure> {
    let stored_bytes = i64::try_from(packed.sealed.len()).unwrap_or(i64::MAX);
    let inserted = sqlx::query(
        "INSERT INTO journal_batch (batch_id, source_no, records, body_bytes, accepted_at, stored_bytes, sealed)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(packed.batch_id)
    .bind(source_no)
    .bind(packed.records)
    .bind(packed.body_bytes.cast_signed())
    .bind(nanoseconds(now))
    .bind(stored_bytes)
    .bind(packed.sealed)
    .execute(&mut *connection)
    .await?;
    Ok(inserted.last_insert_rowid())
}

impl SqliteStore {
    pub(super) async fn journal_totals(&self) -> Result<JournalTotals, StoreError> {
        let failed = self.failed("add the journal up");
        let row = sqlx::query(
            "SELECT count(*), coalesce(sum(records), 0), coalesce(sum(stored_bytes), 0),
                 (SELECT count(*) FROM dead_letter) FROM journal_batch",
        )
        .fetch_one(&self.readers)
        .await
        .map_err(&failed)?;
        let column = |index: usize| -> Result<u64, StoreError> {
            Ok(count(row.try_get::<i64, _>(index).map_err(&failed)?))
        };
        Ok(JournalTotals {
            batches: column(0)?,
            records: column(1)?,
            stored_bytes: column(2)?,
            dead_letters: column(3)?,
        })
    }

    pub(super) async fn prune_journal(&self, before: Timestamp) -> Result<u64, StoreError> {
        let doing = "prune the journal";
        let failed = self.failed(doing);
        let rows = sqlx::query(
            "SELECT batch_no FROM journal_batch b WHERE accepted_at < ?
             AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.batch_no = b.batch_no) ORDER BY accepted_at",
        )
        .bind(nanoseconds(before))
        .fetch_all(&self.readers)
        .await
        .map_err(&failed)?;
        let numbers =
            rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>().map_err(failed)?;
        let mut pruned = 0;
        for some in numbers.chunks(PRUNE_AT_ONCE) {
            let some = serde_json::to_string(some).expect("numbers");
            pruned += self
                .write(doing, Durability::Relaxed, move |connection| {
                    Box::pin(async move {
                        let done = sqlx::query(
                            "DELETE FROM journal_batch WHERE batch_no IN (SELECT value FROM json_each(?))
                             AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.batch_no = journal_batch.batch_no)",
                        );
                        Ok(done.bind(some).execute(&mut *connection).await?.rows_affected())
                    })
                })
                .await?;
        }
        Ok(pruned)
    }
}
