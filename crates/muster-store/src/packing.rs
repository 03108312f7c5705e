//! Journal batches on their way into a store and back: encoded, compressed, sealed.

use std::io;
use std::sync::{Arc, Mutex};

use muster_model::{Batch, TenantId};
use tokio::sync::{Semaphore, SemaphorePermit};
use zstd::stream::raw::{Encoder, InBuffer, Operation as _, OutBuffer};

use crate::StoreError;
use crate::changes::History;
use crate::sealing::{Binding, DataKey, Sealed, random};

/// The column that the sealed form of a batch is bound to.
const COLUMN: &str = "journal_batch.sealed";
/// zstd's quickest level: eight to one on alerts, and a third of the time of the default.
const LEVEL: i32 = 1;
/// Room that a compressor has for what comes out at once: for a block at its worst.
const OUT_BYTES_MORE: usize = 160 << 10;
/// What of its room a compressor keeps for the next batch.
const OUT_BYTES_KEPT: usize = 1 << 20;
/// What a head takes in an encoded batch at most, with its id and its change.
const HEAD_BYTES_MAX: u64 = 2560;
/// No batch is larger than this when it is read back, whatever the database says.
const RAW_BYTES_MAX: u64 = 1 << 30;

/// The bodies that are on their way into the journal at once. Each is copied and compressed meanwhile: without a bound, as many
/// large pages as there are sources would be. Small pages come together by the thousand, and share a sync.
const ROOM_KIB: u32 = 12 << 10;
/// What is smaller waits for nobody: of as many as there are places at work, few megabytes are on their way.
const ROOM_FROM_BYTES: usize = 64 << 10;

/// Does what takes processor time on threads for such work, as many at once as there are processors.
pub(crate) struct Packer {
    /// Kibibytes of bodies.
    room: Semaphore,
    turns: Arc<Semaphore>,
    /// Compressors that wait for their next turn; each holds about two megabytes.
    compressors: Arc<Mutex<Vec<Compressor>>>,
}

/// Compresses a batch where its parts lie, one after the other.
struct Compressor {
    encoder: Encoder<'static>,
    /// What came out last.
    out: Vec<u8>,
}

/// A batch as it is stored, and as it was before.
pub(crate) struct PackedBatch {
    pub(crate) batch: Arc<Batch>,
    pub(crate) batch_id: Vec<u8>,
    pub(crate) records: u32,
    pub(crate) body_bytes: u64,
    pub(crate) sealed: Vec<u8>,
}

/// A stored batch with what is needed to read it.
pub(crate) struct StoredBatch {
    pub(crate) batch_id: Vec<u8>,
    pub(crate) records: u64,
    pub(crate) body_bytes: u64,
    pub(crate) sealed: Vec<u8>,
}

/// A batch that cannot be read back.
pub(crate) struct Unreadable {
    /// Why.
    pub(crate) reason: String,
    /// The batch as it is stored.
    pub(crate) sealed: Vec<u8>,
}

impl Packer {
    pub(crate) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            room: Semaphore::new(ROOM_KIB as usize),
            turns: Arc::new(Semaphore::new(processors)),
            compressors: Arc::default(),
        }
    }

    /// Waits until there is room for so many bytes of bodies, in order of arrival; for more than there is, until there is nothing
    /// else.
    pub(crate) async fn room(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        if bytes < ROOM_FROM_BYTES {
            return None;
        }
        let kib = u32::try_from(bytes / 1024).unwrap_or(u32::MAX).min(ROOM_KIB);
        Some(self.room.acquire_many(kib).await.expect("never closed"))
    }

    /// Runs `work` on a thread that may be kept busy.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
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

    /// Encodes, compresses and seals `batches`; with a history, after what changed has been told. Each comes with where its
    /// records stand, as it is stored; without a history nothing is known of that.
    pub(crate) async fn pack(
        &self,
        mut batches: Vec<Batch>,
        tenant: TenantId,
        key: DataKey,
        history: Option<History>,
    ) -> Result<Vec<(PackedBatch, Vec<String>)>, StoreError> {
        let compressors = Arc::clone(&self.compressors);
        let packed = self.run(move || {
            let waiting = compressors.lock().expect("no panic while the lock is held").pop();
            let mut compressor = match waiting {
                Some(compressor) => compressor,
                None => Compressor::new()?,
            };
            let stages = history.map(|history| history.tell(&mut batches));
            let stages = stages.into_iter().flatten().chain(std::iter::repeat_with(Vec::new));
            let packed = batches
                .into_iter()
                .zip(stages)
                .map(|(batch, stages)| Ok((pack(&mut compressor, batch, tenant, &key)?, stages)))
                .collect::<Result<Vec<_>, io::Error>>()?;
            compressor.out.shrink_to(OUT_BYTES_KEPT);
            compressors.lock().expect("no panic while the lock is held").push(compressor);
            Ok(packed)
        });
        packed.await.map_err(|error: io::Error| StoreError::Database {
            doing: "compress a journal batch",
            detail: error.to_string(),
        })
    }
}

impl Compressor {
    fn new() -> Result<Self, io::Error> {
        Ok(Self { encoder: Encoder::new(LEVEL)?, out: Vec::new() })
    }

    /// The batch as bytes, compressed.
    fn compress(&mut self, batch: &Batch) -> Result<&[u8], io::Error> {
        let heads = batch.encode_heads();
        self.out.clear();
        self.encoder.reinit()?;
        self.encoder.set_pledged_src_size(Some((heads.len() + batch.body_bytes()) as u64))?;
        self.take(&heads)?;
        for record in batch.records() {
            self.take(record.body.as_bytes())?;
        }
        while self.step(|encoder, out| encoder.finish(out, true))? > 0 {}
        Ok(&self.out)
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), io::Error> {
        let mut input = InBuffer::around(bytes);
        while input.pos() < bytes.len() {
            self.step(|encoder, out| encoder.run(&mut input, out))?;
        }
        Ok(())
    }

    /// Runs the encoder with room for what may come out.
    fn step(
        &mut self,
        run: impl FnOnce(&mut Encoder<'static>, &mut OutBuffer<'_, Vec<u8>>) -> Result<usize, io::Error>,
    ) -> Result<usize, io::Error> {
        let had = self.out.len();
        self.out.reserve(OUT_BYTES_MORE);
        run(&mut self.encoder, &mut OutBuffer::around_pos(&mut self.out, had))
    }
}

fn pack(
    compressor: &mut Compressor,
    batch: Batch,
    tenant: TenantId,
    key: &DataKey,
) -> Result<PackedBatch, io::Error> {
    let (records, body_bytes) = (batch.len(), batch.body_bytes());
    let compressed = compressor.compress(&batch)?;
    let batch_id = random::<16>();
    let sealed = key.seal(Binding { column: COLUMN, tenant, row: &batch_id }, compressed);
    Ok(PackedBatch {
        batch: Arc::new(batch),
        batch_id: batch_id.to_vec(),
        records: u32::try_from(records).expect("a page is bounded"),
        body_bytes: body_bytes as u64,
        sealed: sealed.into_bytes(),
    })
}

/// Reads a stored batch back.
pub(crate) fn unpack(stored: StoredBatch, tenant: TenantId, key: &DataKey) -> Result<Batch, Unreadable> {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use muster_model::{RecordHead, RecordKind};
    use tokio::time::timeout;

    use super::*;

    /// Whatever read a batch before reads it now: compressed in parts or as one, it is the same.
    #[test]
    fn compressed_in_parts_it_is_the_batch() {
        let mut compressor = Compressor::new().expect("a compressor");
        // Records of nothing, some that fill a block of zstd's, and ones that do not compress.
        for (records, body_bytes) in [(0, 0), (1, 2), (700, 10), (40, 200_000), (3, 1_000)] {
            let mut batch = Batch::new();
            for number in 0..records {
                let noise = random::<32>().map(|byte| format!("{byte:02x}")).concat();
                let body = format!(r#"{{"id":"{number}","x":"{}"}}"#, noise.repeat(body_bytes / 64));
                batch.push(RecordHead::read(RecordKind::GraphAlert, &body).expect("an alert"), &body);
            }
            let compressed = compressor.compress(&batch).expect("compressed");
            let most = batch.encode().len();
            assert_eq!(zstd::bulk::decompress(compressed, most).expect("a frame"), batch.encode());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_large_pages_wait_for_room() {
        let packer = Packer::new();
        let waits = async |bytes| timeout(Duration::from_secs(1), packer.room(bytes)).await.is_err();
        let all = packer.room(1 << 30).await;
        assert!(waits(1 << 20).await, "a large page waits");
        assert!(!waits(10_000).await, "a small one does not");
        assert!(!waits(0).await);
        drop(all);
        assert!(!waits(1 << 20).await);
    }
}
