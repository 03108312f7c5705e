//! What the store hands back: encoded batches, stages and cursors, damaged in any way. What can be read is written and read
//! again without a change, and what a cursor has seen is never unseen.
#![no_main]

use std::time::Duration;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use muster_model::{
    Batch, Before, Clocks, Cursor, CursorPolicy, Outline, PageLimits, PageSummary, RecordKind, Stage, Step, Told,
};

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
    if let Ok(body) = std::str::from_utf8(data) {
        let stored = Stage::decode(body);
        if let Some(stage) = &stored {
            assert_eq!(stage.encode(), body);
        }
        let (stage, _) = Stage::read(RecordKind::GraphIncident, body);
        assert_eq!(Stage::decode(&stage.encode()).as_ref(), Some(&stage));
        let outline = Outline::of(RecordKind::GraphIncident, body);
        let known = outline.as_ref().map_or(Before::Stage(stored.as_ref().unwrap_or(&stage)), Before::Version);
        for before in [Before::Nothing, Before::Unknown, known] {
            let told = Told::of(before, RecordKind::GraphAlert, body);
            assert!(told.change.fields.len() <= 24 && told.change.fields.iter().all(|name| name.len() <= 60));
            assert_eq!(Stage::decode(&told.stage.encode()), Some(told.stage));
        }
    }
    if let Ok(cursor) = serde_json::from_slice::<Cursor>(data) {
        same(&cursor);
        let number = |at: usize| u32::from(data.get(at).copied().unwrap_or_default());
        let time = |at: usize| Timestamp::from_second(i64::from(number(at)) * 10_000_000).expect("a time");
        // What stands behind the cursor's last bracket cannot be chosen, so its own characters say what came back.
        let page = PageSummary {
            items: number(0) % 3 * number(data.len() / 2),
            top: number(data.len() / 3),
            times: (0..number(2) as usize % 3).map(|at| time(data.len() / (at + 4))).collect(),
            unreadable: (0..number(5) % 3).map(u64::from).collect(),
            torn: number(data.len() / 5) % 2 == 0,
            link: (number(data.len() / 6) % 2 == 0).then(|| "https://graph.microsoft.com/x".to_owned()),
            cut: number(data.len() / 8) % 2 == 0,
            fingerprint: u64::from(number(data.len() / 9)),
            clocks: Clocks { local: time(data.len() / 7), server: Some(time(data.len() / 10)) },
            partial: None,
        };
        let span = |at: usize| Duration::from_secs(u64::from(number(at)) * 3600);
        let policy = CursorPolicy { overlap: span(7), overlap_max: span(8) };
        let limits = PageLimits { skip_max: 900, field_values: &[3, 2], cuts_silently: true };
        let (next, step) = cursor.after(&page, &policy, &limits);
        same(&next);
        assert!(next.seen_up_to() >= cursor.seen_up_to());
        assert_eq!(step == Step::Continue, next.in_round());
        assert!(next.holes().len() <= cursor.holes().len() + 64);
    }
});

/// What is stored is read back as it is.
fn same(cursor: &Cursor) {
    let stored = serde_json::to_string(cursor).expect("JSON");
    let again: Cursor = serde_json::from_str(&stored).expect("the same cursor");
    assert_eq!(&again, cursor);
}
