//! The batches that were journalled last, as they were before they were packed. A sink that keeps up has them from here:
//! nothing is read, opened and unpacked for it again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_model::Batch;
use tokio::time::Instant;

/// The texts that are held together: those of four batches. Sinks that are behind would not find more of them either.
const BYTES_MAX: usize = 8 << 20;
/// A sink that has not come by then does not keep up.
const AGE_MAX: Duration = Duration::from_secs(5);

/// The batches, oldest first.
#[derive(Default)]
pub(crate) struct Recent(Mutex<VecDeque<Held>>);

struct Held {
    /// Sixteen random bytes: no two batches have the same.
    batch_id: Vec<u8>,
    batch: Arc<Batch>,
    since: Instant,
}

impl Recent {
    /// Holds a batch that is in the journal by now.
    pub(crate) fn put(&self, batch_id: Vec<u8>, batch: Arc<Batch>) {
        // Where nothing is delivered, nobody else comes by.
        self.forget_old();
        let mut held = self.0.lock().expect("no panic while the lock is held");
        held.push_back(Held { batch_id, batch, since: Instant::now() });
        while bytes(&held) > BYTES_MAX {
            held.pop_front();
        }
    }

    /// Lets go of what nobody has come for in time.
    pub(crate) fn forget_old(&self) {
        let mut held = self.0.lock().expect("no panic while the lock is held");
        held.retain(|held| held.since.elapsed() <= AGE_MAX);
    }

    /// The batch, where it is held still.
    pub(crate) fn get(&self, batch_id: &[u8]) -> Option<Arc<Batch>> {
        let held = self.0.lock().expect("no panic while the lock is held");
        held.iter().find(|held| held.batch_id == batch_id).map(|held| Arc::clone(&held.batch))
    }

    /// Lets go of all, as when a tenant is forgotten.
    pub(crate) fn clear(&self) {
        self.0.lock().expect("no panic while the lock is held").clear();
    }
}

/// How much text is held. Batches of one page, which stand beside each other, hold it together.
fn bytes(held: &VecDeque<Held>) -> usize {
    let texts = held.iter().map(|held| held.batch.text());
    let before = std::iter::once(None).chain(held.iter().map(|held| Some(held.batch.text())));
    let is_new = |(text, before): &(&Arc<String>, Option<&Arc<String>>)| {
        !before.is_some_and(|before| Arc::ptr_eq(text, before))
    };
    texts.zip(before).filter(is_new).map(|(text, _)| text.len()).sum()
}

#[cfg(test)]
mod tests {
    use muster_model::{RecordHead, RecordKind};

    use super::*;

    fn batch(bytes: usize) -> Arc<Batch> {
        let body = format!(r#"{{"id":"a","x":"{}"}}"#, "x".repeat(bytes));
        let mut batch = Batch::new();
        batch.push(RecordHead::read(RecordKind::GraphAlert, &body).expect("an alert"), &body);
        Arc::new(batch)
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_batches_are_held_for_a_while() {
        let recent = Recent::default();
        for number in 0..5 {
            recent.put(vec![number], batch(2_000_000));
        }
        let held = |number| recent.get(&[number]).is_some();
        assert_eq!([0, 1, 2, 3, 4].map(held), [false, true, true, true, true], "eight megabytes");
        tokio::time::advance(AGE_MAX + Duration::from_secs(1)).await;
        recent.forget_old();
        assert!(!held(4), "whoever comes so late has it read from the journal");
        // One that is larger than all that may be held is not.
        recent.put(vec![9], batch(BYTES_MAX + 1));
        assert!(!held(9));
    }
}
