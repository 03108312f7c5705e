//! How much memory the bodies of answers take, all together: each takes from a pool what it really holds, as it grows, and
//! gives it back when it is dropped.
//!
//! Three rules keep everybody going. *Small bodies never wait for large ones*: what fits into [`SMALL_BYTES`] takes from a
//! part of the pool of its own, at most half of which is held by bodies that have outgrown it and wait for more. *Somebody
//! always gets on*: each part has a reserve as large as a body of its kind can be; whoever gets it needs nothing more to
//! be read whole, so that bodies which wait for each other cannot stop all. *Nobody waits for ever*: the caller bounds the
//! wait, and a body that outgrows the small part while too many wait already gives up at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bodies up to this size never wait for larger ones.
pub(crate) const SMALL_BYTES: usize = 128 << 10;
/// What a body takes first. It doubles from there, so that one of which nothing comes holds next to nothing.
const FIRST_BYTES: usize = 4 << 10;
/// What a large body takes at a time, until half of what it has is more.
const STEP_BYTES: usize = 256 << 10;
/// So much room at most is made ahead for a body that may become as large as those before it.
const AHEAD_BYTES_MAX: usize = 4 << 20;
/// The unit of account.
const KIB: usize = 1 << 10;

/// The pool. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    small: Part,
    large: Part,
    /// Bodies that have outgrown the small part and may wait for the large one.
    outgrown: Arc<Semaphore>,
    body_bytes_max: usize,
    /// How large large bodies have been of late. Room for as much is made at once: else a body would be copied each time that it
    /// outgrows its room. What of that room stays empty is not taken from the pool: memory that nobody writes to is none.
    usual_bytes: Arc<AtomicUsize>,
}

/// One part of the pool.
#[derive(Debug, Clone)]
struct Part {
    /// Kibibytes for all.
    shared: Arc<Semaphore>,
    /// How many those are.
    shared_kib: usize,
    /// Enough for one body to be read whole; for one at a time.
    reserve: Arc<Semaphore>,
}

/// There is no room, and others wait for it already.
#[derive(Debug)]
pub(crate) struct Full;

impl Memory {
    /// A pool of `bytes`, for bodies of at most `body_bytes_max` each. It is never smaller than what one and a half such bodies need.
    pub(crate) fn new(bytes: usize, body_bytes_max: usize) -> Self {
        let small = (bytes / 8).max(2 * SMALL_BYTES);
        let reserves = SMALL_BYTES + body_bytes_max;
        let large = bytes.saturating_sub(small + reserves).max(body_bytes_max / 2);
        Self {
            small: Part::new(small - SMALL_BYTES),
            large: Part::new(large),
            outgrown: Arc::new(Semaphore::new((small / 2 / SMALL_BYTES).max(1))),
            body_bytes_max,
            usual_bytes: Arc::default(),
        }
    }

    /// Makes room in `body` for `more` bytes, and takes it from the pool; waits where there is none.
    ///
    /// # Errors
    /// When so many wait already that this one should not.
    pub(crate) async fn grow(&self, held: &mut Held, body: &mut Vec<u8>, more: usize) -> Result<(), Full> {
        let wanted = body.len() + more;
        if wanted <= held.bytes {
            return Ok(());
        }
        let bytes = next_size(held.bytes, wanted, self.body_bytes_max);
        if bytes <= SMALL_BYTES {
            self.small.take(held, bytes).await;
        } else if held.is_large {
            self.large.take(held, bytes).await;
        } else {
            // The small part is left. What was taken of it is kept until there is room in the other one.
            let mut large = Held { is_large: true, ..Held::default() };
            if !self.large.try_take(&mut large, bytes) {
                let _waits = self.outgrown.try_acquire().map_err(|_| Full)?;
                self.large.take(&mut large, bytes).await;
            }
            *held = large;
        }
        if body.capacity() < held.bytes {
            let usual = if held.is_large { self.usual_bytes.load(Ordering::Relaxed) } else { 0 };
            body.reserve_exact(held.bytes.max(usual) - body.len());
        }
        Ok(())
    }

    /// The body is whole: what it took and does not need is given back.
    pub(crate) fn settle(&self, held: &mut Held, body: &mut Vec<u8>) {
        let bytes = body.len().next_multiple_of(KIB);
        if held.is_large {
            // One that was larger than the others is forgotten by and by.
            let usual = self.usual_bytes.load(Ordering::Relaxed);
            let usual = body.len().max(usual - usual / 8).min(AHEAD_BYTES_MAX);
            self.usual_bytes.store(usual, Ordering::Relaxed);
        }
        if body.capacity() > bytes {
            body.shrink_to_fit();
        }
        let spare = (held.bytes - bytes) / KIB;
        if spare > 0
            && let Some(spare) = held.shared.as_mut().and_then(|kibs| kibs.split(spare))
        {
            held.bytes = bytes;
            drop(spare);
        }
    }

    /// How much is held of the shared parts.
    #[cfg(test)]
    fn free_kib(&self) -> (usize, usize) {
        (self.small.shared.available_permits(), self.large.shared.available_permits())
    }
}

/// What a body that has `had` takes to have room for `wanted`.
fn next_size(had: usize, wanted: usize, body_bytes_max: usize) -> usize {
    let step = if had < SMALL_BYTES { had.max(FIRST_BYTES) } else { STEP_BYTES.max(had / 2) };
    let bytes = wanted.max(had + step).next_multiple_of(KIB);
    // A small body does not leave the small part for the sake of a round step.
    let most = if wanted <= SMALL_BYTES { SMALL_BYTES } else { body_bytes_max.next_multiple_of(KIB) };
    bytes.min(most.max(wanted.next_multiple_of(KIB)))
}

impl Part {
    fn new(shared_bytes: usize) -> Self {
        let shared_kib = (shared_bytes / KIB).min(Semaphore::MAX_PERMITS);
        Self {
            shared: Arc::new(Semaphore::new(shared_kib)),
            shared_kib,
            reserve: Arc::new(Semaphore::new(1)),
        }
    }

    /// Takes what is missing to `bytes`, if nobody need be waited for.
    fn try_take(&self, held: &mut Held, bytes: usize) -> bool {
        if held.reserve.is_some() {
            held.bytes = bytes;
            return true;
        }
        match Arc::clone(&self.shared).try_acquire_many_owned(missing_kib(held, bytes)) {
            Ok(kibs) => {
                held.add(kibs, bytes);
                true
            }
            Err(_) => false,
        }
    }

    /// The same; waits in order of arrival, for room or for the reserve.
    async fn take(&self, held: &mut Held, bytes: usize) {
        if self.try_take(held, bytes) {
            return;
        }
        // What is larger than all there is would hold up whoever comes after it, and wait in vain.
        let fits = bytes <= self.shared_kib * KIB;
        tokio::select! {
            biased;
            kibs = Arc::clone(&self.shared).acquire_many_owned(missing_kib(held, bytes)), if fits => {
                held.add(kibs.expect("the semaphore is never closed"), bytes);
            }
            reserve = Arc::clone(&self.reserve).acquire_owned() => {
                held.reserve = Some(reserve.expect("the semaphore is never closed"));
                held.bytes = bytes;
            }
        }
    }
}

fn missing_kib(held: &Held, bytes: usize) -> u32 {
    u32::try_from((bytes - held.bytes).div_ceil(KIB)).unwrap_or(u32::MAX)
}

/// What a body holds of the pool; given back when it is dropped.
#[derive(Debug, Default)]
pub struct Held {
    shared: Option<OwnedSemaphorePermit>,
    reserve: Option<OwnedSemaphorePermit>,
    is_large: bool,
    bytes: usize,
}

impl Held {
    fn add(&mut self, kibs: OwnedSemaphorePermit, bytes: usize) {
        match &mut self.shared {
            Some(shared) => shared.merge(kibs),
            None => self.shared = Some(kibs),
        }
        self.bytes = bytes;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;
    use tokio::time::{sleep, timeout};

    use super::*;

    const MIB: usize = 1 << 20;

    /// Reads a body of `bytes` that comes in pieces, one a second; keeps it for a while.
    async fn read(memory: &Memory, bytes: usize, piece: usize, keep: Duration) -> Result<(), Full> {
        let (mut held, mut body) = (Held::default(), Vec::new());
        while body.len() < bytes {
            sleep(Duration::from_secs(1)).await;
            let piece = piece.min(bytes - body.len());
            memory.grow(&mut held, &mut body, piece).await?;
            assert!(body.capacity() - body.len() >= piece, "there is room");
            let room = body.capacity();
            body.resize(body.len() + piece, b'x');
            assert_eq!(body.capacity(), room, "nothing is taken beside the account");
        }
        memory.settle(&mut held, &mut body);
        assert!(body.capacity() <= held.bytes.max(KIB) || held.reserve.is_some());
        sleep(keep).await;
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn many_that_wait_for_each_other_are_all_read() {
        // Room for two; a hundred that grow at the same pace would hold each other's rest.
        let memory = Memory::new(10 * MIB, 4 * MIB);
        let free = memory.free_kib();
        let all = (0..12).map(|_| read(&memory, 4 * MIB, 64 << 10, Duration::from_secs(5)));
        let done = timeout(Duration::from_secs(3_600), join_all(all)).await.expect("nobody waits for ever");
        let read_whole = done.iter().filter(|done| done.is_ok()).count();
        // Those that came when too many waited already gave up, and come again.
        assert!(read_whole >= 5, "{read_whole}");
        assert_eq!(memory.free_kib(), free, "all was given back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_body_is_copied_once_where_others_were_as_large() {
        let memory = Memory::new(16 * MIB, 4 * MIB);
        for (bytes, copied) in [(3 * MIB, 8..=20), (3 * MIB, 1..=6), (2 * MIB, 1..=6), (MIB, 1..=6)] {
            let (mut held, mut body, mut rooms) = (Held::default(), Vec::new(), 0);
            while body.len() < bytes {
                let room = body.capacity();
                memory.grow(&mut held, &mut body, 64 << 10).await.expect("room");
                rooms += usize::from(body.capacity() != room);
                assert!(held.bytes <= body.len() + MIB + body.len() / 2, "no more is taken than comes");
                body.resize(body.len() + (64 << 10), b'x');
            }
            memory.settle(&mut held, &mut body);
            assert!(copied.contains(&rooms), "{bytes}: {rooms}");
            assert!(body.capacity() <= held.bytes);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn small_ones_that_wait_for_each_other_are_all_read() {
        let memory = Memory::new(8 * MIB, 4 * MIB);
        let free = memory.free_kib();
        let all = (0..500).map(|_| read(&memory, SMALL_BYTES, 3_000, Duration::ZERO));
        let done = timeout(Duration::from_secs(100_000), join_all(all)).await.expect("nobody waits for ever");
        assert!(done.iter().all(Result::is_ok));
        assert_eq!(memory.free_kib(), free);
    }

    #[tokio::test(start_paused = true)]
    async fn small_ones_do_not_wait_for_large_ones() {
        let memory = Memory::new(16 * MIB, 4 * MIB);
        // So many that the large part and its reserve are held, and others wait with what they have of the small one.
        let large = (0..100).map(|_| read(&memory, 4 * MIB, MIB / 2, Duration::from_secs(1_000_000)));
        let large = join_all(large);
        tokio::pin!(large);
        assert!(timeout(Duration::from_secs(100), &mut large).await.is_err(), "they keep what they hold");
        let slowly = join_all((0..100).map(|_| read(&memory, 60_000, 20_000, Duration::ZERO)));
        let small = async { timeout(Duration::from_secs(100), slowly).await.expect("without a wait") };
        tokio::select! {
            done = small => assert!(done.iter().all(Result::is_ok)),
            _ = &mut large => panic!("the large ones keep what they hold"),
        }
    }

    /// Two that are larger than the shared part: the second waits for the first, and holds nobody up who fits.
    #[tokio::test(start_paused = true)]
    async fn one_that_never_fits_holds_nobody_up() {
        let memory = Memory::new(0, 4 * MIB);
        let (mut held, mut body) = (Held::default(), Vec::new());
        memory.grow(&mut held, &mut body, 3 * MIB).await.expect("the reserve");
        let (mut second, mut other) = (Held::default(), Vec::new());
        let waits = memory.grow(&mut second, &mut other, 3 * MIB);
        tokio::pin!(waits);
        let minute = Duration::from_secs(60);
        assert!(timeout(minute, &mut waits).await.is_err(), "the reserve is taken");
        let (mut third, mut another) = (Held::default(), Vec::new());
        timeout(minute, memory.grow(&mut third, &mut another, MIB)).await.expect("at once").expect("room");
        drop(held);
        timeout(minute, waits).await.expect("in time").expect("the reserve");
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_one_waits_until_there_is_room() {
        let memory = Memory::new(0, MIB);
        let (mut held, mut body) = (Held::default(), Vec::new());
        memory.grow(&mut held, &mut body, MIB / 2).await.expect("room");
        let (mut second, mut other) = (Held::default(), Vec::new());
        memory.grow(&mut second, &mut other, MIB).await.expect("the reserve");
        let (mut third, mut another) = (Held::default(), Vec::new());
        let minute = Duration::from_secs(60);
        let waits = timeout(minute, memory.grow(&mut third, &mut another, MIB)).await;
        assert!(waits.is_err() && another.capacity() == 0, "it waits, and holds nothing meanwhile");
        drop(second);
        timeout(minute, memory.grow(&mut third, &mut another, MIB)).await.expect("in time").expect("room");
    }

    #[test]
    fn sizes_grow_by_steps() {
        let mut had = 0;
        let mut steps = 0;
        while had < 32 * MIB {
            let next = next_size(had, had + 1, 32 * MIB);
            assert!(next > had && next - had <= (had / 2).max(STEP_BYTES) + KIB, "{had} to {next}");
            assert!(had >= SMALL_BYTES || next <= SMALL_BYTES);
            had = next;
            steps += 1;
        }
        assert!(steps < 30, "{steps}");
        assert_eq!(next_size(0, 10, 32 * MIB), FIRST_BYTES);
        assert_eq!(next_size(0, 10 * MIB, 32 * MIB), 10 * MIB);
    }
}
