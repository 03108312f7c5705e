//! Any template on any record: it compiles or is refused, and whatever it makes stays in its field and within bounds.
//! Every other field stays as it was. The first line is the template, the rest the record.
#![no_main]

#[expect(dead_code, reason = "tests ask it for more")]
#[path = "../../crates/muster-siem/tests/it/cef.rs"]
mod cef;
#[expect(dead_code, reason = "tests ask it for more")]
#[path = "../../crates/muster-siem/tests/it/leef.rs"]
mod leef;
#[expect(dead_code, reason = "other targets ask it for more")]
mod strict;

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use muster_model::{Record, RecordHead, RecordKind, TenantLabel};
use muster_siem::formats::{
    CefOptions, Events, FieldTemplate, Format, JsonTemplate, LeefOptions, Mapping, MappingOptions, Encoding,
};
use strict::Json;

/// The longest result of a template.
const RESULT_BYTES_MAX: usize = 64 * 1024;
/// What the mapping may change: what it names, and what says that a template failed.
const TOUCHED: [&str; 8] =
    ["custom", "extra", "muEntities", "suser", "duser", "muster", "muMappingError", "mappingError"];

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some((template, body)) = text.split_once('\n') else { return };
    if serde_json::from_str::<&serde_json::value::RawValue>(body).is_err() {
        return;
    }
    let kind = RecordKind::GraphAlert;
    let Ok(head) = RecordHead::read(kind, body) else { return };
    let record = Record { head: &head, body, replay: None };
    let tenant = TenantLabel {
        id: "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d".parse().expect("a GUID"),
        slug: "fabrikam".parse().expect("a slug"),
        name: "Fabrikam".to_owned(),
    };
    let mut options = MappingOptions::default();
    options.set.insert("custom".to_owned(), FieldTemplate::Text(template.to_owned()));
    let json = JsonTemplate { json: template.to_owned() };
    options.add.insert("extra".to_owned(), FieldTemplate::Json(json));
    options.drop.push("muEntities".to_owned());
    options.rename.insert("suser".to_owned(), "duser".to_owned());
    for format in [Format::Raw, Format::Cef(CefOptions::default()), Format::Leef(LeefOptions::default())] {
        let Ok(mapping) = Mapping::compile(&options, &format) else { return };
        let mut plain = Events::new();
        if format.write(kind, record, &tenant, &mut plain).is_err() {
            continue;
        }
        let encoding = Encoding { mapping: Some(Arc::new(mapping)), ..Encoding::from(format.clone()) };
        let mut events = Events::new();
        encoding.write(kind, record, &tenant, &mut events).expect("what was written can be changed");
        assert_eq!((plain.len(), events.len()), (1, 1));
        let plain = std::str::from_utf8(&plain.bytes).expect("text");
        let event = std::str::from_utf8(&events.bytes).expect("text");
        assert!(!event.contains(['\n', '\r']));
        // The results of templates are at most 64 KiB; escapes can make them longer.
        assert!(event.len() < body.len() * 16 + 16 * RESULT_BYTES_MAX + 4096);
        match format {
            Format::Raw => raw(plain, event),
            Format::Cef(_) => {
                let (plain, changed) = (cef::read_cef(plain), cef::read_cef(event));
                assert_eq!(plain.header, changed.header);
                lines(&plain.extension, &changed.extension);
            }
            _ => {
                let (plain, changed) = (leef::read_leef(plain), leef::read_leef(event));
                assert_eq!(plain.header, changed.header);
                lines(&plain.attributes, &changed.attributes);
            }
        }
    }
});

/// A JSON record and what the mapping made of it.
fn raw(plain: &str, event: &str) {
    serde_json::from_str::<&serde_json::value::RawValue>(event).expect("JSON stays JSON");
    let Some(plain) = Json::read(plain) else { return };
    // What a template gives as JSON is copied as it is, with keys that come twice.
    let Some(changed) = Json::read(event) else {
        assert!(event.contains("\"extra\":"), "{event}");
        return;
    };
    assert_eq!(changed.without(&TOUCHED), plain.without(&TOUCHED));
    match changed.at(&["custom"]) {
        None => {}
        Some(Json::Text(text)) => {
            assert!(!text.is_empty() && text.trim() == text && text.len() <= RESULT_BYTES_MAX);
        }
        Some(other) => panic!("a text became {other:?}"),
    }
    assert_eq!(changed.at(&["muEntities"]), None);
    assert_eq!(changed.at(&["suser"]), None);
    if let Some(user) = plain.at(&["suser"]) {
        assert_eq!(changed.at(&["duser"]), Some(user));
    }
}

/// The fields of a line and what the mapping made of them.
fn lines(plain: &[(String, String)], changed: &[(String, String)]) {
    let untouched = |fields: &[(String, String)]| -> Vec<(String, String)> {
        fields.iter().filter(|(key, _)| !TOUCHED.contains(&key.as_str())).cloned().collect()
    };
    assert_eq!(untouched(plain), untouched(changed));
    let value = |fields: &[(String, String)], wanted: &str| {
        fields.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.clone())
    };
    assert_eq!(value(changed, "muEntities"), None);
    assert_eq!(value(changed, "suser"), None);
    if let Some(user) = value(plain, "suser") {
        assert_eq!(value(changed, "duser"), Some(user));
    }
}
