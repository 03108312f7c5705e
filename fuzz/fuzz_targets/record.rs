//! The heads of records, and the kind that a file's keys tell, from any bytes. Of what a parser takes, the scanner
//! finds the same fields and the same depth as the parser.
#![no_main]

#[expect(dead_code, reason = "other targets ask it for more")]
mod strict;

use libfuzzer_sys::fuzz_target;
use muster_model::{RecordHead, RecordKind, json};
use strict::Json;

/// The longest id that is believed.
const ID_BYTES_MAX: usize = 512;

fuzz_target!(|data: &[u8]| {
    let detected = RecordKind::detect(data);
    let Ok(body) = std::str::from_utf8(data) else {
        assert_eq!(detected, None);
        return;
    };
    let mut fields = Vec::new();
    let depth = json::skim::fields(body, |key, value| fields.push((key, value)));
    let is_json = serde_json::from_str::<&serde_json::value::RawValue>(body).is_ok();
    assert_eq!(depth.is_ok(), is_json && json::skim::depth(body.as_bytes()) <= json::DEPTH_MAX);
    assert!(fields.len() <= body.len());
    for (key, value) in &fields {
        assert!(key.len() + value.len() <= body.len());
        if let Some(text) = json::text(value) {
            assert!(text.len() <= value.len() * 3);
        }
    }
    for kind in RecordKind::ALL {
        if let Ok(head) = RecordHead::read(kind, body) {
            assert!(!head.id.is_empty() && head.id.len() <= ID_BYTES_MAX, "{kind}: {}", head.id.len());
        }
    }
    match Json::read(body) {
        Some(value @ Json::Object(_)) => same(&value, body, &fields, depth.expect("JSON")),
        Some(_) => {
            assert_eq!(detected, None);
            assert!(RecordHead::read(RecordKind::GraphAlert, body).is_err());
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
    assert_eq!(RecordHead::read(RecordKind::GraphAlert, body).ok().map(|head| head.id), expected);
}

fn depth_of(value: &Json) -> usize {
    match value {
        Json::List(items) => 1 + items.iter().map(depth_of).max().unwrap_or(0),
        Json::Object(fields) => 1 + fields.values().map(depth_of).max().unwrap_or(0),
        _ => 0,
    }
}
