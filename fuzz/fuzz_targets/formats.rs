//! Every format on any text taken for a record of any kind: no panic, nothing appended after an error, no event empty,
//! with a newline or longer than allowed. What is written reads back: JSON by a parser as strict as the strictest
//! receiver, CEF and LEEF by readers that share nothing with the writers. Formats that carry Microsoft's record carry
//! all of it, also in parts. The first byte says the kind and what is done with big events, the second how long an
//! event may be.
#![no_main]

#[expect(dead_code, reason = "tests ask it for more")]
#[path = "../../crates/muster-siem/tests/it/cef.rs"]
mod cef;
#[expect(dead_code, reason = "tests ask it for more")]
#[path = "../../crates/muster-siem/tests/it/leef.rs"]
mod leef;
mod strict;

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use muster_model::{ContentHash, Record, RecordHead, RecordKind, Severity, TenantLabel, json};
use muster_siem::formats::{
    BigEvents, Bounds, CefOptions, EcsOptions, Events, Format, Mapping, MappingOptions, Encoding,
};
use strict::Json;

/// Deeper records are written, but what wraps them may be deeper than the strict parser goes.
const STRICT_DEPTH_MAX: usize = 90;

/// A format, and changes to its fields that change nothing.
static FORMATS: LazyLock<Vec<(Format, Arc<Mapping>)>> = LazyLock::new(|| {
    let splunk = serde_json::from_str(r#"{"cim_fields":true}"#).expect("options");
    let leef = serde_json::from_str(r#"{"delimiter":"^","raw_event":true}"#).expect("options");
    let nothing = MappingOptions { drop: vec!["noSuchField".to_owned()], ..MappingOptions::default() };
    [
        Format::Raw,
        Format::Splunk(Default::default()),
        Format::Splunk(splunk),
        Format::Cef(Default::default()),
        Format::Cef(CefOptions { raw_event: true, ..CefOptions::default() }),
        Format::Leef(Default::default()),
        Format::Leef(leef),
        Format::Ecs(EcsOptions { event_original: true, ..EcsOptions::default() }),
        Format::Ocsf(Default::default()),
    ]
    .into_iter()
    .map(|format| {
        let mapping = Mapping::compile(&nothing, &format).expect("a name that every format can write");
        (format, Arc::new(mapping))
    })
    .collect()
});

static TENANT: LazyLock<TenantLabel> = LazyLock::new(|| TenantLabel {
    id: "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d".parse().expect("a GUID"),
    slug: "fabrikam".parse().expect("a slug"),
    name: "Fabrikam | = \\ \"AB\"".to_owned(),
});

/// A record, as far as it is known what must become of it.
struct Subject<'a> {
    kind: RecordKind,
    record: Record<'a>,
    /// Whether a parser takes it: sources hand over nothing else, and only then are there promises.
    is_json: bool,
    /// Its value, when even the strictest receiver takes it, and it is an object.
    value: Option<Json>,
}

fuzz_target!(|data: &[u8]| {
    let [first, limit, body @ ..] = data else { return };
    let Ok(body) = std::str::from_utf8(body) else { return };
    let kinds = RecordKind::ALL.len();
    let kind = RecordKind::ALL[usize::from(*first) % kinds];
    let big_events = [BigEvents::Split, BigEvents::Drop, BigEvents::Refer][usize::from(*first) / kinds % 3];
    let head = RecordHead::read(kind, body).unwrap_or_else(|_| RecordHead {
        id: "1".to_owned(),
        updated_at: None,
        created_at: None,
        severity: Severity::Unknown,
        hash: ContentHash::of(body.as_bytes()),
        change: None,
    });
    let is_json = serde_json::from_str::<&serde_json::value::RawValue>(body).is_ok();
    let is_shallow = json::skim::fields(body, |_, _| ()).is_ok_and(|depth| depth <= STRICT_DEPTH_MAX);
    let value = is_shallow.then(|| Json::read(body)).flatten();
    let value = value.filter(|value| matches!(value, Json::Object(_)));
    let subject = Subject { kind, record: Record { head: &head, body, replay: None }, is_json, value };
    for (format, nothing) in FORMATS.iter() {
        whole(&subject, format, nothing);
        if is_json {
            let drop = ["evidence", "rawEvent", "event", "m365_defender", "unmapped"].map(str::to_owned);
            let event_bytes_max = usize::from(*limit) * 16;
            bounded(&subject, format, Bounds { event_bytes_max, big_events, drop: drop.to_vec() });
        }
    }
});

/// A record's events without bounds.
fn whole(subject: &Subject<'_>, format: &Format, nothing: &Arc<Mapping>) {
    let Subject { kind, record, is_json, .. } = *subject;
    let mut events = Events::new();
    events.push_with(|buffer| buffer.extend_from_slice(b"before"));
    if format.write(kind, record, &TENANT, &mut events).is_err() {
        assert_eq!((events.len(), events.bytes.as_slice()), (1, b"before".as_slice()));
        return;
    }
    let texts: Vec<&str> =
        events.iter().map(|event| std::str::from_utf8(event).expect("events are text")).collect();
    let [before, written @ ..] = texts.as_slice() else { panic!("an event was taken away") };
    assert_eq!(*before, "before");
    assert!(!written.is_empty(), "{}: no event", format.name());
    let values: Vec<Option<Json>> = written.iter().map(|event| check(subject, format, event)).collect();
    if !is_json {
        return;
    }
    let explained = format.explain(kind, record, &TENANT).expect("what was written can be explained");
    assert_eq!(explained.len(), written.len());
    if let Some(record) =
        subject.value.as_ref().filter(|_| values.iter().all(Option::is_some) || is_flat(format))
    {
        nothing_is_lost(subject, format, record, &values);
    }

    let mut again = Events::new();
    let encoding = Encoding { mapping: Some(nothing.clone()), ..Encoding::from(format.clone()) };
    encoding.write(kind, record, &TENANT, &mut again).expect("what was written can be changed");
    assert_eq!(again.len(), written.len());
    for ((event, changed), value) in written.iter().zip(again.iter()).zip(values) {
        let changed = std::str::from_utf8(changed).expect("events are text");
        match value {
            Some(value) => assert_eq!(Json::read(changed), Some(value)),
            None if is_flat(format) => assert_eq!(changed, *event),
            None => {}
        }
    }
}

/// A record's events, none longer than allowed.
fn bounded(subject: &Subject<'_>, format: &Format, bounds: Bounds) {
    let Subject { kind, record, .. } = *subject;
    let (max, strategy) = (bounds.event_bytes_max, bounds.big_events);
    let encoding = Encoding { bounds: Some(bounds), ..Encoding::from(format.clone()) };
    let mut events = Events::new();
    if encoding.write(kind, record, &TENANT, &mut events).is_err() {
        assert!(events.is_empty() && events.bytes.is_empty());
        return;
    }
    assert!(!events.is_empty());
    let mut values = Vec::new();
    for event in events.iter() {
        assert!(event.len() <= max, "{} bytes, at most {max}", event.len());
        values.extend(check(subject, format, std::str::from_utf8(event).expect("events are text")));
    }
    if let (Format::Raw, Some(whole)) = (format, &subject.value)
        && whole.at(&["muster"]).is_none()
    {
        parts(subject, whole, strategy, &values);
    }
}

/// What Microsoft's own JSON becomes when it is too big: all parts together, or a reference to it.
fn parts(subject: &Subject<'_>, whole: &Json, strategy: BigEvents, events: &[Json]) {
    let mark = |event: &Json| event.text(&["muster", "big_event"]).map(str::to_owned);
    let Some(first) = mark(&events[0]) else {
        assert_eq!(events, std::slice::from_ref(whole));
        return;
    };
    let hash: String = subject.record.head.hash.0.iter().map(|byte| format!("{byte:02x}")).collect();
    for event in events {
        assert_eq!(event.text(&["muster", "record_hash"]), Some(hash.as_str()));
        assert_eq!(event.text(&["muster", "record_id"]), Some(subject.record.head.id.as_str()));
    }
    match strategy {
        BigEvents::Split => {}
        BigEvents::Drop => assert!(first == "drop" || first == "refer"),
        BigEvents::Refer => assert_eq!(first, "refer"),
    }
    let is_split = events.iter().all(|event| mark(event).as_deref() == Some("split"));
    if !is_split || !matches!(subject.kind, RecordKind::GraphAlert | RecordKind::EndpointAlert) {
        return;
    }
    let number = |number: usize| Some(Json::Number(number.into()));
    let mut evidence = Vec::new();
    for (position, event) in events.iter().enumerate() {
        assert_eq!(event.at(&["muster", "part"]).cloned(), number(position + 1));
        assert_eq!(event.at(&["muster", "parts"]).cloned(), number(events.len()));
        assert_eq!(event.without(&["evidence", "muster"]), whole.without(&["evidence"]));
        match event.at(&["evidence"]) {
            Some(Json::List(items)) => evidence.extend(items.iter().cloned()),
            other => panic!("evidence became {other:?}"),
        }
    }
    assert_eq!(whole.at(&["evidence"]), Some(&Json::List(evidence)));
}

/// Formats that carry Microsoft's record carry all of it.
fn nothing_is_lost(subject: &Subject<'_>, format: &Format, record: &Json, events: &[Option<Json>]) {
    let strict = || events.iter().map(|event| event.as_ref().expect("a strict record's events are strict"));
    let is_incident = matches!(subject.kind, RecordKind::GraphIncident | RecordKind::XdrIncident);
    match format {
        Format::Raw => assert_eq!(strict().collect::<Vec<_>>(), [record]),
        Format::Splunk(_) if is_incident => {
            let bodies: Vec<_> = strict().map(|event| event.at(&["event"]).expect("a record")).collect();
            let items = match record.at(&["alerts"]) {
                Some(Json::List(items)) => items.clone(),
                Some(other) => vec![other.clone()],
                None => Vec::new(),
            };
            let (alerts, odd): (Vec<_>, Vec<_>) = items
                .into_iter()
                .filter(|item| *item != Json::Null)
                .partition(|item| matches!(item, Json::Object(_)));
            assert_eq!(bodies[0].without(&["alerts"]), record.without(&["alerts"]));
            assert_eq!(bodies[0].at(&["alerts"]), (!odd.is_empty()).then_some(&Json::List(odd)));
            assert!(bodies[1..].iter().copied().eq(&alerts));
        }
        Format::Splunk(_) => {
            let bodies: Vec<_> = strict().map(|event| event.at(&["event"])).collect();
            assert_eq!(bodies, [Some(record)]);
        }
        Format::Ecs(_) => {
            for event in strict() {
                let original = event.text(&["event", "original"]).expect("the record once more");
                assert!(matches!(Json::read(original), Some(Json::Object(_))), "{original}");
            }
        }
        _ => {}
    }
}

fn is_flat(format: &Format) -> bool {
    matches!(format, Format::Cef(_) | Format::Leef(_))
}

/// Reads one event back; its value when it is JSON and any receiver takes it.
fn check(subject: &Subject<'_>, format: &Format, event: &str) -> Option<Json> {
    assert!(!event.is_empty() || !subject.is_json, "{}: an empty event", format.name());
    if is_flat(format) {
        // A tab stands between the attributes of LEEF, and nowhere else: the reader takes lines apart at each.
        let is_apart = |character| character == '\t' && matches!(format, Format::Leef(_));
        assert!(!event.chars().any(|character| character.is_control() && !is_apart(character)), "{event:?}");
        let fields = match format {
            Format::Cef(_) => {
                let read = cef::read_cef(event);
                assert_eq!(read.header[..2], ["CEF:0", "Microsoft"]);
                let is_label =
                    |key: &str| key.strip_suffix("Label").is_some_and(|base| read.get(base).is_some());
                6 + read.extension.iter().filter(|(key, _)| !is_label(key)).count()
            }
            _ => {
                let read = leef::read_leef(event);
                assert_eq!(read.header[0], "Microsoft");
                4 + read.attributes.len()
            }
        };
        let explained = format.read_event(subject.kind, event.as_bytes()).expect("an event of this format");
        assert_eq!(explained.len(), fields, "{event}");
        return None;
    }
    // Control characters in a string are no JSON, and only texts that a parser has accepted get this far.
    if !subject.is_json {
        return None;
    }
    assert!(!event.contains(['\n', '\r']));
    serde_json::from_str::<&serde_json::value::RawValue>(event).expect("JSON stays JSON");
    // A record that any receiver takes: no object in it has a name twice.
    subject.value.as_ref()?;
    let value: Json = serde_json::from_str(event).unwrap_or_else(|error| {
        panic!("{}: what any receiver took is refused: {error}: {event}", format.name())
    });
    assert!(matches!(value, Json::Object(_)));
    Some(value)
}
