//! The heads of records, and the kind that a file's keys tell, from any bytes. Of what a parser takes, the scanner
//! finds the same fields and the same depth as the parser.
#![no_main]

#[expect(dead_code, reason = "other targets ask it for more")]
mod strict;

use libfuzzer_sys::fuzz_target;
use muster_model::{RecordHead, json};
use muster_siem::formats::RecordKind;
use strict::Json;

/// The longest id that is believed.
const ID_BYTES_MAX: usize = 512;

fuzz_target!(|data: &[u8]| {
    let told = RecordKind::detect(data);
    let Ok(body) = std::str::from_utf8(data) else {
        assert_eq!(told, None);
        return;
    };
    let mut fields = Vec::new();
    let depth = json::scan_fields(body, |key, value| fields.push((key, value)));
    assert!(fields.len() <= body.len());
    for (key, value) in &fields {
        assert!(key.len() + value.len() <= body.len());
        if let Some(text) = json::text(value) {
            assert!(text.len() <= value.len() * 3);
        }
    }
    for kind in RecordKind::ALL {
        if let Ok(head) = kind.head(body) {
            assert!(!head.id.is_empty() && head.id.len() <= ID_BYTES_MAX, "{kind}: {}", head.id.len());
        }
    }
    match Json::read(body) {
        Some(value @ Json::Object(_)) => same(&value, body, &fields, depth),
        Some(_) => {
            assert_eq!(told, None);
            assert!(RecordHead::read(body).is_err());
        }
        None => {}
    }
});

/// What the scanner found in an object, against what a parser made of it.
fn same(value: &Json, body: &str, fields: &[(&str, &str)], depth: usize) {
    let Json::Object(parsed) = value else { return };
    assert_eq!(fields.len(), parsed.len());
    assert_eq!(depth, depth_of(value));
    for (key, written) in fields {
        let key: String = serde_json::from_str(&format!("\"{key}\"")).expect("a key");
        assert_eq!(Json::read(written).as_ref(), parsed.get(&key), "{key}");
        if let (Some(text), Some(Json::Text(decoded))) = (json::text(written), parsed.get(&key)) {
            assert_eq!(text, decoded.as_str());
        }
    }
    // A key that is written with escapes is not looked for.
    let has_id = fields.iter().any(|(key, _)| *key == "id");
    let expected = match parsed.get("id").filter(|_| has_id) {
        Some(Json::Text(id)) => Some(id.clone()),
        Some(Json::Number(_)) => fields.iter().find(|(key, _)| *key == "id").map(|(_, id)| (*id).to_owned()),
        _ => None,
    };
    let expected = expected.filter(|id| !id.is_empty() && id.len() <= ID_BYTES_MAX && depth <= 100);
    assert_eq!(RecordHead::read(body).ok().map(|head| head.id), expected);
}

fn depth_of(value: &Json) -> usize {
    match value {
        Json::List(items) => 1 + items.iter().map(depth_of).max().unwrap_or(0),
        Json::Object(fields) => 1 + fields.values().map(depth_of).max().unwrap_or(0),
        _ => 0,
    }
}
