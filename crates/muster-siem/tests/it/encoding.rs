//! A sink's own changes to its events, and events that are longer than it takes.

use std::sync::Arc;

use muster_model::{ContentHash, Record, RecordKind, ReplayId, TenantLabel};
use muster_siem::formats::{
    BigEvents, Bounds, CefOptions, EcsOptions, Encoding, Events, Format, FormatError, LeefOptions, Mapping,
    MappingError, MappingOptions, OcsfOptions, SplunkOptions,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::cef::read_cef;
use crate::fixtures::{FIXTURES, head, tenant};
use crate::leef::read_leef;

fn formats() -> [Format; 4] {
    [
        Format::Raw,
        Format::Splunk(SplunkOptions::default()),
        Format::Cef(CefOptions::default()),
        Format::Leef(LeefOptions::default()),
    ]
}

fn write(
    encoding: &Encoding,
    kind: RecordKind,
    body: &str,
    tenant: &TenantLabel,
) -> Result<Vec<String>, FormatError> {
    let head = head(kind, body);
    let mut events = Events::new();
    events.push_with(|buffer| buffer.extend_from_slice(b"before"));
    let result = encoding.write(kind, Record { head: &head, body, replay: None }, tenant, &mut events);
    let mut texts: Vec<_> =
        events.iter().map(|event| String::from_utf8(event.to_vec()).expect("text")).collect();
    assert_eq!(texts.remove(0), "before");
    if result.is_err() {
        assert!(texts.is_empty(), "nothing was appended");
    }
    result.map(|()| texts)
}

fn bounded(format: &Format, event_bytes_max: usize, big_events: BigEvents, drop: &[&str]) -> Encoding {
    let drop = drop.iter().map(|name| (*name).to_owned()).collect();
    Encoding {
        format: format.clone(),
        mapping: None,
        bounds: Some(Bounds { event_bytes_max, big_events, drop }),
    }
}

fn mapped(format: &Format, options: Value) -> Result<Encoding, Vec<MappingError>> {
    let options: MappingOptions = serde_json::from_value(options).expect("options");
    let mapping = Mapping::compile(&options, format)?;
    Ok(Encoding { format: format.clone(), mapping: Some(Arc::new(mapping)), bounds: None })
}

/// What comes from a replay says so, in every format that has a place for it, and is otherwise what came first.
#[test]
fn a_replayed_event_carries_the_name_of_the_replay() {
    let replay = ReplayId(uuid::Uuid::from_u128(7));
    let mut all = formats().to_vec();
    all.push(Format::Ecs(EcsOptions::default()));
    all.push(Format::Ocsf(OcsfOptions::default()));
    for (kind, body) in [
        (RecordKind::GraphAlert, r#"{"id":"1","title":"a|b=c","createdDateTime":"2026-01-02T03:04:05Z"}"#),
        (RecordKind::GraphIncident, r#"{"id":"1","displayName":"x","alerts":[{"id":"2"},{"id":"3"}]}"#),
    ] {
        let head = head(kind, body);
        for format in &all {
            let events = |replay, encoding: &Encoding| {
                let mut events = Events::new();
                let record = Record { head: &head, body, replay };
                encoding.write(kind, record, &tenant(), &mut events).expect("events");
                events
            };
            let encoding = Encoding::from(format.clone());
            let (first, again) = (events(None, &encoding), events(Some(replay), &encoding));
            assert_eq!(first.len(), again.len(), "{format}");
            for (one, other) in first.events().zip(again.events()) {
                let hash = ContentHash::of(one.bytes);
                assert_eq!((one.envelope.first, other.envelope.first), (None, Some(hash)), "{format}");
                let (one, other) = (text(one.bytes), text(other.bytes));
                match format {
                    Format::Raw => assert_eq!(one, other, "Microsoft's own bytes"),
                    Format::Cef(_) => assert_eq!(other, format!("{one} muReplayId={replay}"), "{format}"),
                    Format::Leef(_) => {
                        let own = format!("replayId={replay}");
                        assert!(other.starts_with(&one) && other.ends_with(&own), "{other}");
                    }
                    _ => {
                        let mut json: Value = serde_json::from_str(&other).expect("JSON");
                        let place = match format {
                            Format::Splunk(_) => "/fields/replay_id",
                            Format::Ecs(_) => "/labels/muster_replay_id",
                            _ => "/unmapped/muster/replay_id",
                        };
                        assert_eq!(json.pointer(place), Some(&json!(replay.to_string())), "{other}");
                        *json.pointer_mut(place).expect("there") = Value::Null;
                        let plain: Value = serde_json::from_str(&one).expect("JSON");
                        for (name, value) in plain.as_object().expect("an object") {
                            if !["fields", "labels", "unmapped"].contains(&name.as_str()) {
                                assert_eq!(json.get(name), Some(value), "{format}: {name}");
                            }
                        }
                    }
                }
            }
            // One that would be longer than its sink takes comes as it came first.
            let longest = first.iter().map(<[u8]>::len).max().expect("an event");
            let full = Encoding { bounds: Some(Bounds::split_at(longest)), ..encoding };
            let full = events(Some(replay), &full);
            assert!(full.iter().all(|event| event.len() <= longest), "{format}");
            assert_eq!(full.len(), first.len(), "{format}");
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// Where the fields of Muster's own stand in an event; null when it has none.
fn mark(format: &Format, event: &str) -> Value {
    match format {
        Format::Cef(_) => {
            let cef = read_cef(event);
            let get = |key: &str| cef.get(key).map(str::to_owned);
            match get("muBigEvent") {
                None => Value::Null,
                Some(big) => json!({
                    "big_event": big, "record_hash": get("muRecordHash"), "record_id": get("muRecordId"),
                    "part": get("muPart"), "parts": get("muParts"), "dropped": get("muDropped"),
                }),
            }
        }
        Format::Leef(_) => {
            let leef = read_leef(event);
            let get = |key: &str| leef.get(key).map(str::to_owned);
            match get("bigEvent") {
                None => Value::Null,
                Some(big) => json!({
                    "big_event": big, "record_hash": get("recordHash"), "record_id": leef.get("recordId"),
                    "part": get("part"), "parts": get("parts"), "dropped": get("dropped"),
                }),
            }
        }
        Format::Splunk(_) => {
            let event: Value = serde_json::from_str(event).expect("JSON");
            if event["fields"]["big_event"].is_null() { Value::Null } else { event["fields"].clone() }
        }
        _ => {
            let event: Value = serde_json::from_str(event).expect("JSON");
            event["muster"].clone()
        }
    }
}

#[test]
fn whatever_fits_is_untouched() {
    for format in formats() {
        for (name, kind, body) in FIXTURES.iter().copied() {
            let plain = write(&format.clone().into(), kind, body, &tenant()).expect("events");
            let longest = plain.iter().map(String::len).max().expect("one");
            let spelled = write(&bounded(&format, longest, BigEvents::Split, &[]), kind, body, &tenant());
            assert_eq!(spelled.expect("events"), plain, "{format} {name}");
        }
    }
}

#[test]
fn no_event_is_longer_than_the_sink_takes_and_each_says_what_was_done() {
    let mut split = 0;
    for format in formats() {
        for big_events in [BigEvents::Split, BigEvents::Drop, BigEvents::Refer] {
            for (name, kind, body) in FIXTURES.iter().copied() {
                for limit in [1536, 2048, 4096] {
                    let plain = write(&format.clone().into(), kind, body, &tenant()).expect("events");
                    let encoding =
                        bounded(&format, limit, big_events, &["evidence", "event.evidence", "msg"]);
                    let events = write(&encoding, kind, body, &tenant())
                        .unwrap_or_else(|error| panic!("{format} {name} {limit}: {error}"));
                    assert!(!events.is_empty());
                    for event in &events {
                        assert!(event.len() <= limit, "{format} {name}: {} bytes", event.len());
                        let mark = mark(&format, event);
                        if mark.is_null() {
                            assert!(
                                plain.contains(event),
                                "{format} {name}: changed, and nothing says so: {event}"
                            );
                            continue;
                        }
                        let hash: String =
                            head(kind, body).hash.0.iter().map(|byte| format!("{byte:02x}")).collect();
                        assert_eq!(mark["record_hash"], hash.as_str());
                        assert!(mark["record_id"].is_string());
                        split += usize::from(mark["big_event"] == "split");
                    }
                }
            }
        }
    }
    assert!(split > 50, "{split}");
}

fn wide_alert(evidence: usize, bytes: usize) -> Value {
    let evidence: Vec<_> = (0..evidence)
        .map(|number| {
            json!({
                "@odata.type": "#microsoft.graph.security.urlEvidence",
                "url": format!("https://{number}.example/{}", "x".repeat(bytes)),
            })
        })
        .collect();
    json!({ "id": "a1", "title": "Many addresses", "severity": "high", "evidence": evidence })
}

#[test]
fn the_parts_of_a_split_alert_hold_all_of_its_evidence_once() {
    let alert = wide_alert(57, 300);
    let body = alert.to_string();
    let raw =
        write(&bounded(&Format::Raw, 4096, BigEvents::Split, &[]), RecordKind::GraphAlert, &body, &tenant());
    let (mut evidence, mut parts) = (Vec::new(), Vec::new());
    for event in raw.expect("events") {
        let mut event: Value = serde_json::from_str(&event).expect("JSON");
        evidence.append(event["evidence"].as_array_mut().expect("a list"));
        assert_eq!((&event["id"], &event["title"]), (&alert["id"], &alert["title"]));
        parts.push((event["muster"]["part"].as_u64().expect("a number"), event["muster"]["parts"].as_u64()));
    }
    assert_eq!(Value::from(evidence), alert["evidence"]);
    let count = parts.len() as u64;
    assert!(count > 4);
    assert_eq!(parts, (1..=count).map(|part| (part, Some(count))).collect::<Vec<_>>());

    let leef = Format::Leef(LeefOptions::default());
    let line = write(&leef.into(), RecordKind::GraphAlert, &body, &tenant()).expect("a line").remove(0);
    assert_eq!(read_leef(&line).event_id(), "alert");
    let cef = Format::Cef(CefOptions::default());
    let lines = write(&bounded(&cef, 4096, BigEvents::Split, &[]), RecordKind::GraphAlert, &body, &tenant());
    let urls: Vec<String> = lines
        .expect("lines")
        .iter()
        .flat_map(|line| {
            let cef = read_cef(line);
            assert_eq!(cef.get("externalId"), Some("a1"));
            let urls = cef.get("muUrls").or(cef.get("request")).expect("URLs").to_owned();
            urls.split("; ").map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(urls.len(), 57);
}

#[test]
fn an_incident_is_split_by_its_alerts_and_then_by_their_evidence() {
    let small = json!({ "id": "small", "title": "s", "evidence": [] });
    let body =
        json!({ "id": "9", "displayName": "i", "alerts": [small, wide_alert(40, 200), small] }).to_string();
    let encoding = bounded(&Format::Raw, 4096, BigEvents::Split, &[]);
    let (mut ids, mut evidence) = (Vec::new(), 0);
    for event in write(&encoding, RecordKind::GraphIncident, &body, &tenant()).expect("events") {
        let event: Value = serde_json::from_str(&event).expect("JSON");
        for alert in event["alerts"].as_array().expect("a list") {
            ids.push(alert["id"].as_str().expect("an id").to_owned());
            evidence += alert["evidence"].as_array().expect("a list").len();
        }
    }
    ids.dedup();
    assert_eq!((ids.join(" ").as_str(), evidence), ("small a1 small", 40));

    // In Splunk the alerts are events of their own, and only the big one is split.
    let splunk = Format::Splunk(SplunkOptions::default());
    let events =
        write(&bounded(&splunk, 4096, BigEvents::Split, &[]), RecordKind::GraphIncident, &body, &tenant());
    let events: Vec<Value> =
        events.expect("events").iter().map(|event| serde_json::from_str(event).expect("JSON")).collect();
    let of = |sourcetype: &str| events.iter().filter(|event| event["sourcetype"] == sourcetype).count();
    assert_eq!(of("ms365:defender:incident"), 1);
    let small: Vec<_> = events.iter().filter(|event| event["event"]["id"] == "small").collect();
    assert_eq!(small.len(), 2);
    assert!(small.iter().all(|event| event["fields"]["big_event"].is_null()));
    assert!(events.iter().any(|event| event["fields"]["big_event"] == "split"));
}

#[test]
fn what_cannot_be_split_refers_to_its_record() {
    let mut alert = wide_alert(3, 10);
    alert["description"] = json!("d".repeat(10_000));
    for format in formats() {
        let events = write(
            &bounded(&format, 2048, BigEvents::Split, &[]),
            RecordKind::GraphAlert,
            &alert.to_string(),
            &tenant(),
        );
        let events = events.expect("events");
        for event in &events {
            assert_eq!(mark(&format, event)["big_event"], "refer", "{format}");
            assert!(event.contains("a1") && event.contains("Many addresses"), "{format}: {event}");
        }
    }
}

#[test]
fn named_fields_are_dropped_in_turn() {
    let mut alert = wide_alert(1, 10);
    alert["description"] = json!("d".repeat(3000));
    alert["recommendedActions"] = json!("r".repeat(3000));
    let body = alert.to_string();
    let dropped = |limit: usize| {
        let encoding = bounded(&Format::Raw, limit, BigEvents::Drop, &["recommendedActions", "description"]);
        let events = write(&encoding, RecordKind::GraphAlert, &body, &tenant()).expect("events");
        let event: Value = serde_json::from_str(&events[0]).expect("JSON");
        (
            event["muster"]["dropped"].clone(),
            event["muster"]["big_event"].clone(),
            event["evidence"].is_array(),
        )
    };
    assert_eq!(dropped(5000), (json!("recommendedActions"), json!("drop"), true));
    assert_eq!(dropped(1500), (json!("recommendedActions, description"), json!("drop"), true));
    assert_eq!(dropped(300).1, json!("refer"));
}

#[test]
fn what_never_fits_is_an_error() {
    let body = wide_alert(100, 100).to_string();
    for format in formats() {
        let error =
            write(&bounded(&format, 60, BigEvents::Split, &[]), RecordKind::GraphAlert, &body, &tenant());
        let error = error.expect_err("too big");
        assert!(matches!(error, FormatError::TooBig { max: 60, .. }), "{error}");
        assert!(error.to_string().contains("event_size_max"), "{error}");
    }
}

proptest! {
    #[test]
    fn split_events_never_lose_evidence(
        sizes in prop::collection::vec(0_usize..3000, 1..40), limit in 1024_usize..6000,
    ) {
        let evidence: Vec<_> = sizes
            .iter()
            .enumerate()
            .map(|(number, size)| json!({ "n": number, "url": "u".repeat(*size), "list": [1, { "]": "[" }] }))
            .collect();
        let body = json!({ "evidence": evidence, "id": "1" }).to_string();
        let encoding = bounded(&Format::Raw, limit, BigEvents::Split, &[]);
        let events = write(&encoding, RecordKind::GraphAlert, &body, &tenant()).expect("events");
        let mut found = Vec::new();
        let mut referred = 0;
        for event in &events {
            prop_assert!(event.len() <= limit);
            let event: Value = serde_json::from_str(event).expect("JSON");
            if event["muster"]["big_event"] == "refer" {
                referred += 1;
            }
            found.extend(event["evidence"].as_array().into_iter().flatten().cloned());
        }
        let fit: Vec<_> = evidence.iter().filter(|item| found.contains(item)).cloned().collect();
        prop_assert_eq!(&fit, &found, "in order, each once");
        prop_assert_eq!(found.len() + referred, evidence.len(), "what is not there is referred to");
        for item in evidence.iter().filter(|item| !found.contains(item)) {
            prop_assert!(item.to_string().len() + 600 > limit, "it would have fitted");
        }
    }
}

const ALERT: &str = r#"{"id":"a1","title":"A|b=c","severity":"high","priorityScore":72.5,"incidentId":"7",
    "createdDateTime":"2026-01-01T00:00:00Z","category":null,
    "evidence":[{"deviceDnsName":"ws1","@odata.type":"x.deviceEvidence"},{"url":"http://a.example"},{"n":null}]}"#;

#[test]
fn fields_are_changed_by_templates() {
    let cef = Format::Cef(CefOptions::default());
    let encoding = mapped(
        &cef,
        json!({
            "drop": ["flexString2"],
            "rename": { "shost": "dhost" },
            "set": {
                "cs5": "{{ tenant.slug|upper }}: {{ record.title }}",
                "head.name": "[{{ tenant.slug }}] {{ record.title }}",
                "deviceFacility": "{% if record.priorityScore > 50 %}urgent{% else %}later{% endif %}",
                "msg": "{{ record.missing.deeper }}",
                "muHosts": "{{ record.evidence|map(attribute='deviceDnsName')|join(',') }}",
            },
            "add": { "externalId": "never", "dvchost": "{{ kind }}/{{ source }}" },
        }),
    )
    .expect("a mapping");
    let line = write(&encoding, RecordKind::GraphAlert, ALERT, &tenant()).expect("a line").remove(0);
    let cef = read_cef(&line);
    assert_eq!(cef.header[5], "[fabrikam] A|b=c");
    assert_eq!(cef.get("cs5"), Some("FABRIKAM: A|b=c"));
    assert_eq!((cef.get("shost"), cef.get("dhost")), (None, Some("ws1")));
    assert_eq!((cef.get("flexString2"), cef.get("flexString2Label")), (None, None));
    assert_eq!(cef.get("deviceFacility"), Some("urgent"));
    assert_eq!((cef.get("msg"), cef.get("externalId")), (None, Some("a1")));
    assert_eq!(cef.get("muHosts"), Some("ws1"));
    assert_eq!(cef.get("dvchost"), Some("graph_alert/graph_alerts"));

    let splunk = Format::Splunk(SplunkOptions::default());
    let encoding = mapped(
        &splunk,
        json!({
            "drop": ["event.evidence.url"],
            "rename": { "event.title": "event.name" },
            "set": {
                "fields.customer": "{{ tenant.name }}",
                "fields.score": { "json": "{{ record.priorityScore }}" },
                "event.hosts": { "json": "{{ record.evidence|map(attribute='deviceDnsName')|select|list|json }}" },
            },
        }),
    )
    .expect("a mapping");
    let event = write(&encoding, RecordKind::GraphAlert, ALERT, &tenant()).expect("an event").remove(0);
    let event: Value = serde_json::from_str(&event).expect("JSON");
    assert_eq!(event["fields"]["customer"], "Fabrikam AB");
    assert_eq!(event["fields"]["score"], 72.5);
    assert_eq!(event["event"]["hosts"], json!(["ws1"]));
    assert_eq!(event["event"]["name"], "A|b=c");
    assert_eq!(event["event"]["evidence"][1], json!({}));
    assert!(event["event"].get("title").is_none());
}

#[test]
fn mistakes_in_mappings_are_told_all_at_once() {
    let cef = Format::Cef(CefOptions::default());
    let mistakes = mapped(
        &cef,
        json!({
            "rename": { "shost": "two words", "suser": "cs5" },
            "set": {
                "cs5": "x",
                "cs1": "{{ record.title",
                "cs4": "{{ recrod.title }}",
                "muA": "{{ record.title|shout }}",
                "muB": "{% set x = 1 %}{{ x }}",
                "muC": "{% include 'passwd' %}",
                "muD": "x".repeat(5000),
                "muE": "{{ range(9) }}",
            },
        }),
    )
    .expect_err("mistakes");
    let told = mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for expected in [
        "`two words` cannot be the name of a field in cef",
        "`cs5` is written twice",
        "the template of `cs1` does not work: syntax error",
        "the template of `cs4` does not work: `recrod` is not known",
        "the template of `muA` does not work: unknown filter",
        "`set` is not one of the statements",
        "`include` is not one of the statements",
        "it is longer than 4096 bytes",
        "`range` is not known",
    ] {
        assert!(told.contains(expected), "{expected} is not in:\n{told}");
    }
    assert!(mapped(&Format::Raw, json!({ "set": { "a..b": "x" } })).is_err());
    let many: serde_json::Map<_, _> = (0..101).map(|number| (format!("k{number}"), json!("x"))).collect();
    assert!(matches!(mapped(&cef, json!({ "set": many })).expect_err("many")[0], MappingError::TooMany(101)));
    assert!(serde_json::from_value::<MappingOptions>(json!({ "set": { "a": 1 } })).is_err());
}

/// What a hostile record can make of a template takes its own field away and nothing else.
#[test]
fn templates_are_bounded() {
    let many: Vec<_> = (0..5000).map(|_| json!({ "x": "y".repeat(100) })).collect();
    let body =
        json!({ "id": "1", "n": 100_000_000, "title": "a".repeat(50_000), "evidence": many }).to_string();
    for (template, problem) in [
        ("{% for a in record.evidence %}{% for b in record.evidence %}{% endfor %}{% endfor %}", "fuel"),
        ("{{ record.evidence|map(attribute='x')|join('-') }}", "longer than"),
        ("{{ record.title|replace('a', record.title) }}", "longer than"),
        ("{{ record.title * record.n }}", "too large"),
        ("{{ record.title }}{{ record.title }}", "longer than"),
        ("{{ record.evidence|json }}", "longer than"),
        ("{{ record.title / 2 }}", "unsupported types"),
    ] {
        let cef = Format::Cef(CefOptions::default());
        let encoding = mapped(&cef, json!({ "set": { "cs1": template, "cs4": "fine" } })).expect("a mapping");
        let line = write(&encoding, RecordKind::GraphAlert, &body, &tenant()).expect("a line").remove(0);
        let cef = read_cef(&line);
        assert_eq!((cef.get("cs1"), cef.get("cs4")), (None, Some("fine")), "{template}");
        let error = cef.get("muMappingError").unwrap_or_default();
        assert!(error.starts_with("cs1: ") && error.contains(problem), "{template}: {error}");
    }
    let json =
        mapped(&Format::Raw, json!({ "set": { "x": { "json": "{{ record.title }}" } } })).expect("a mapping");
    let event = write(&json, RecordKind::GraphAlert, r#"{"id":"1","title":"no,\"json"}"#, &tenant());
    let event: Value = serde_json::from_str(&event.expect("an event")[0]).expect("JSON");
    assert!(event["muster"]["mapping_error"].as_str().expect("a text").contains("not JSON"));
}

proptest! {
    /// Whatever stands in a record, what a template makes of it stays in its field.
    #[test]
    fn results_of_templates_are_escaped(
        title in prop_oneof![any::<String>(), r#"[a|=\\^;\t\n\r"{} ]{1,20}"#], name in any::<String>(),
    ) {
        let body = json!({ "id": "1", "title": title }).to_string();
        let label = TenantLabel { name, ..tenant() };
        for format in formats() {
            let set = if matches!(format, Format::Cef(_) | Format::Leef(_)) {
                json!({ "set": { "custom": "<{{ record.title }}>", "other": "{{ tenant.name }}!" } })
            } else {
                json!({ "set": { "deep.custom": "<{{ record.title }}>", "other": "{{ tenant.name }}!" } })
            };
            let encoding = mapped(&format, set).expect("a mapping");
            let event = write(&encoding, RecordKind::GraphAlert, &body, &label).expect("an event").remove(0);
            let wanted = format!("<{title}>");
            match format {
                Format::Cef(_) => {
                    let found = read_cef(&event).get("custom").map(str::to_owned);
                    prop_assert_eq!(found, Some(crate::cef::expected(&wanted, false, false)));
                }
                Format::Leef(_) => {
                    let expected = crate::leef::expected(&wanted, '\t', false, false);
                    let found = read_leef(&event).get("custom").map(str::to_owned);
                    prop_assert_eq!(found, Some(expected));
                }
                _ => {
                    let event: Value = serde_json::from_str(&event).expect("JSON");
                    prop_assert_eq!(&event["deep"]["custom"], &json!(wanted));
                }
            }
        }
    }
}
