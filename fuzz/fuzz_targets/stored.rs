//! What the store hands back: encoded batches and cursors, damaged in any way. What can be read is written and read
//! again without a change, and a cursor never goes back or stays where it is.
#![no_main]

use std::time::Duration;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use muster_model::{Batch, Cursor, CursorPolicy, PageFacts, PageOrder, Step};

fuzz_target!(|data: &[u8]| {
    if let Ok(batch) = Batch::decode(data.to_vec()) {
        let encoded = batch.encode();
        let again = Batch::decode(encoded.clone()).expect("what was read can be written and read");
        assert_eq!((again.len(), again.body_bytes()), (batch.len(), batch.body_bytes()));
        for (record, same) in batch.records().zip(again.records()) {
            assert_eq!((record.head, record.body), (same.head, same.body));
        }
        assert_eq!(again.encode(), encoded);
        assert_eq!(batch.records().map(|record| record.body.len()).sum::<usize>(), batch.body_bytes());
    }
    if let Ok(cursor) = serde_json::from_slice::<Cursor>(data) {
        let asked = cursor.question();
        let again: Cursor =
            serde_json::from_str(&serde_json::to_string(&cursor).expect("JSON")).expect("the same cursor");
        assert_eq!(again, cursor);
        let number = |at: usize| u32::from(data.get(at).copied().unwrap_or_default());
        let time = |at: usize| Timestamp::from_second(i64::from(number(at)) * 10_000_000).expect("a time");
        // What stands behind the cursor's last bracket cannot be chosen, so its own characters say what came back.
        let facts = PageFacts {
            count: number(0) % 3 * number(data.len() / 2),
            more: number(data.len() / 3) % 2 == 0,
            newest: (number(2) % 3 > 0).then(|| time(data.len() / 4)),
            order: [PageOrder::Ascending, PageOrder::Level, PageOrder::Unsorted]
                [number(data.len() / 5) as usize % 3],
            fingerprint: u64::from(number(data.len() / 6)),
            answered_at: time(data.len() / 7),
        };
        let span = |at: usize| Duration::from_secs(u64::from(number(at)) * 3600);
        let policy = CursorPolicy { overlap: span(7), horizon: span(8) };
        if let Ok((next, step)) = cursor.after(&facts, &policy) {
            let asks = next.question();
            assert!(next.seen_up_to() >= cursor.seen_up_to());
            match step {
                Step::Continue => {
                    assert!((asks.from, asks.skip) > (asked.from, asked.skip));
                    assert!(asks.from <= asked.from.max(facts.answered_at));
                    assert!(next.in_round());
                }
                Step::RoundDone => {
                    assert!(!next.in_round() && asks.skip == 0);
                    // The clock of a round under way is the one that it began with.
                    assert!(cursor.in_round() || asks.from <= facts.answered_at);
                }
            }
        }
    }
});
