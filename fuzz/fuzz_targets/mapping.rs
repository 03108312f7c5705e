//! Any template on any record: it compiles or is refused, and whatever it makes stays in its field and within bounds.
//! The first line is the template, the rest the record.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use muster_model::{Record, TenantLabel};
use muster_siem::formats::{
    CefOptions, Events, FieldTemplate, Format, LeefOptions, Mapping, MappingOptions, RecordKind, Spelling,
};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some((template, body)) = text.split_once('\n') else { return };
    if serde_json::from_str::<&serde_json::value::RawValue>(body).is_err() {
        return;
    }
    let kind = RecordKind::GraphAlert;
    let Ok(head) = kind.head(body) else { return };
    let tenant = TenantLabel {
        id: "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d".parse().expect("a GUID"),
        slug: "fabrikam".parse().expect("a slug"),
        name: "Fabrikam".to_owned(),
    };
    let mut options = MappingOptions::default();
    options.set.insert("custom".to_owned(), FieldTemplate::Text(template.to_owned()));
    options.drop.push("muEntities".to_owned());
    options.rename.insert("suser".to_owned(), "duser".to_owned());
    for format in [Format::Raw, Format::Cef(CefOptions::default()), Format::Leef(LeefOptions::default())] {
        let Ok(mapping) = Mapping::compile(&options, &format) else { return };
        let spelling = Spelling { mapping: Some(Arc::new(mapping)), ..Spelling::from(format.clone()) };
        let mut events = Events::new();
        let written = spelling.write(kind, Record { head: &head, body }, &tenant, &mut events);
        if written.is_err() {
            continue;
        }
        assert_eq!(events.len(), 1);
        let event = std::str::from_utf8(&events.bytes).expect("text");
        assert!(!event.contains(['\n', '\r']));
        if matches!(format, Format::Raw) {
            serde_json::from_str::<&serde_json::value::RawValue>(event).expect("JSON stays JSON");
        }
        // The results of templates are at most 64 KiB; escapes can make them longer.
        assert!(event.len() < body.len() * 16 + 16 * 65_536 + 4096);
    }
});
