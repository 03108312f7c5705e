//! Every format on any text taken for a record of any kind: no panic, no newline, nothing appended after an error, and
//! what is written reads back. The first byte says the kind, the second how long an event may be.
#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_model::{ContentHash, Record, RecordHead, Severity, TenantLabel};
use muster_siem::formats::{Bounds, Events, Format, RecordKind, Spelling};

fuzz_target!(|data: &[u8]| {
    let [kind, limit, body @ ..] = data else { return };
    let Ok(body) = std::str::from_utf8(body) else { return };
    let kind = RecordKind::ALL[usize::from(*kind) % RecordKind::ALL.len()];
    let is_json = serde_json::from_str::<&serde_json::value::RawValue>(body).is_ok();
    let head = kind.head(body).unwrap_or_else(|_| RecordHead {
        id: "1".to_owned(),
        updated_at: None,
        created_at: None,
        severity: Severity::Unknown,
        hash: ContentHash::of(body.as_bytes()),
    });
    let tenant = TenantLabel {
        id: "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d".parse().expect("a GUID"),
        slug: "fabrikam".parse().expect("a slug"),
        name: "Fabrikam | = \\ \"AB\"".to_owned(),
    };
    let record = Record { head: &head, body };
    let splunk = serde_json::from_str(r#"{"cim_fields":true}"#).expect("options");
    let leef = serde_json::from_str(r#"{"delimiter":"^","raw_event":true}"#).expect("options");
    for format in [
        Format::Raw,
        Format::Splunk(Default::default()),
        Format::Splunk(splunk),
        Format::Cef(Default::default()),
        Format::Leef(leef),
        Format::Ecs(Default::default()),
        Format::Ocsf(Default::default()),
    ] {
        let mut events = Events::new();
        events.push_with(|buffer| buffer.extend_from_slice(b"before"));
        let written = format.write(kind, record, &tenant, &mut events);
        match written {
            Err(_) => assert_eq!((events.len(), events.bytes.as_slice()), (1, b"before".as_slice())),
            Ok(()) => {
                for event in events.iter().skip(1) {
                    check(&format, event, is_json);
                }
                if is_json {
                    format.explain(kind, record, &tenant).expect("what was written can be explained");
                }
            }
        }
        if is_json {
            let event_bytes_max = usize::from(*limit) * 16;
            let spelling =
                Spelling { bounds: Some(Bounds::split_at(event_bytes_max)), ..Spelling::from(format.clone()) };
            let mut events = Events::new();
            if spelling.write(kind, record, &tenant, &mut events).is_ok() {
                for event in events.iter() {
                    assert!(event.len() <= event_bytes_max);
                    check(&format, event, is_json);
                }
            } else {
                assert!(events.is_empty() && events.bytes.is_empty());
            }
        }
    }
});

fn check(format: &Format, event: &[u8], is_json: bool) {
    let text = std::str::from_utf8(event).expect("events are text");
    match format {
        Format::Cef(_) | Format::Leef(_) => {
            assert!(!text.chars().any(char::is_control), "{text:?}");
            let start = if matches!(format, Format::Cef(_)) { "CEF:0|Microsoft|" } else { "LEEF:2.0|Microsoft|" };
            assert!(text.starts_with(start), "{text:?}");
        }
        // Control characters in a string are no JSON, and only texts that a parser has accepted get this far.
        _ if is_json => {
            assert!(!text.contains(['\n', '\r']));
            serde_json::from_str::<&serde_json::value::RawValue>(text).expect("JSON stays JSON");
        }
        _ => {}
    }
}
