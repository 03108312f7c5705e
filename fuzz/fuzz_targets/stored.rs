//! What the store hands back: encoded batches and cursors, damaged in any way.
#![no_main]

use std::time::Duration;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use muster_model::{Batch, Cursor, CursorPolicy, PageFacts, PageOrder};

fuzz_target!(|data: &[u8]| {
    if let Ok(batch) = Batch::decode(data.to_vec()) {
        let again = Batch::decode(batch.encode()).expect("what was read can be written and read");
        assert_eq!(again.len(), batch.len());
        for record in batch.records() {
            assert!(record.body.len() <= data.len());
        }
    }
    if let Ok(cursor) = serde_json::from_slice::<Cursor>(data) {
        let question = cursor.question();
        let again: Cursor =
            serde_json::from_str(&serde_json::to_string(&cursor).expect("JSON")).expect("the same cursor");
        assert_eq!(again.question(), question);
        let number = |at: usize| u32::from(data.get(at).copied().unwrap_or_default());
        let time = |at: usize| Timestamp::from_second(i64::from(number(at)) * 10_000_000).expect("a time");
        let facts = PageFacts {
            count: number(0),
            more: number(1) % 2 == 0,
            newest: (number(2) % 3 > 0).then(|| time(3)),
            order: [PageOrder::Ascending, PageOrder::Level, PageOrder::Unsorted][number(4) as usize % 3],
            fingerprint: u64::from(number(5)),
            answered_at: time(6),
        };
        let span = |at: usize| Duration::from_secs(u64::from(number(at)) * 3600);
        let policy = CursorPolicy { overlap: span(7), horizon: span(8) };
        if let Ok((next, _)) = cursor.after(&facts, &policy) {
            let _ = next.question();
        }
    }
});
