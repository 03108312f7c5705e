//! The heads of records, and the kind that a file's keys tell, from any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_model::{RecordHead, json};
use muster_siem::formats::RecordKind;

fuzz_target!(|data: &[u8]| {
    let told = RecordKind::detect(data);
    let Ok(body) = std::str::from_utf8(data) else {
        assert_eq!(told, None);
        return;
    };
    let mut fields = 0;
    json::scan_fields(body, |key, value| {
        fields += 1;
        assert!(key.len() + value.len() <= body.len());
        if let Some(text) = json::text(value) {
            assert!(text.len() <= value.len() * 3);
        }
    });
    assert!(fields <= body.len());
    for kind in RecordKind::ALL {
        if let Ok(head) = kind.head(body) {
            assert!(!head.id.is_empty());
        }
    }
    // What a parser takes for an object with an id has a head.
    if let Ok(head) = RecordHead::read(body) {
        assert!(head.id.len() <= 512);
    }
});
