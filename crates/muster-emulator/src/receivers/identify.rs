//! Tells which version of which record a received event is, whatever format it came in.
//!
//! Nothing else of an event is kept or checked. JSON is walked once, without building a tree, because the emulator
//! often shares a processor with the client that is being measured.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::cef::CefEvent;
use super::produced::RecordKind;

/// Splunk's sourcetype of an incident.
const INCIDENT_SOURCETYPE: &str = "ms365:defender:incident";
/// Splunk's sourcetype of an alert that was sent as a part of its incident.
const INCIDENT_ALERT_SOURCETYPE: &str = "ms365:defender:incident:alerts";

/// What one received event turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sighting<'a> {
    /// A version of an alert or incident.
    Record(SeenRecord<'a>),
    /// An alert sent as a part of its incident: counted apart, since the same alert also comes by itself.
    IncidentAlert,
    /// Not readable, or without the fields that say what it is.
    Unreadable,
}

/// One version of one record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SeenRecord<'a> {
    pub(super) tenant: Cow<'a, str>,
    pub(super) kind: RecordKind,
    pub(super) id: Cow<'a, str>,
    pub(super) updated_ms: i64,
}

/// Identifies a line of a file: raw JSON, a HEC event, CEF, or any of them behind a syslog header.
pub(super) fn identify_line(line: &[u8]) -> Sighting<'_> {
    let Ok(text) = std::str::from_utf8(line) else { return Sighting::Unreadable };
    let text = text.trim_start_matches('\u{feff}').trim();
    match text.as_bytes().first() {
        Some(b'{') => identify_json(text),
        Some(b'<') => identify_syslog(line),
        _ => identify_payload(text),
    }
}

/// Identifies one syslog message, which must begin with a valid RFC 5424 or RFC 3164 priority.
pub(super) fn identify_syslog(message: &[u8]) -> Sighting<'_> {
    std::str::from_utf8(message)
        .ok()
        .and_then(|text| syslog_payload(text.trim_end_matches(['\r', '\n'])))
        .map_or(Sighting::Unreadable, identify_payload)
}

/// CEF or JSON, whichever begins first: the title inside a CEF line may hold braces and the text inside a JSON
/// event may hold `CEF:`, since attackers write a part of both.
fn identify_payload(text: &str) -> Sighting<'_> {
    match (text.find("CEF:"), text.find('{')) {
        (Some(cef), json) if json.is_none_or(|json| cef < json) => identify_cef(&text[cef..]),
        (_, Some(json)) => identify_json(text[json..].trim_end()),
        _ => Sighting::Unreadable,
    }
}

/// The MSG part of a syslog message; for RFC 3164, whose header has no fixed end, all that follows the priority.
fn syslog_payload(text: &str) -> Option<&str> {
    let (priority, rest) = text.strip_prefix('<')?.split_once('>')?;
    if priority.len() > 3 || priority.parse::<u8>().ok()? > 191 {
        return None;
    }
    let Some(mut rest) = rest.strip_prefix("1 ") else { return Some(rest) };
    // TIMESTAMP, HOSTNAME, APP-NAME, PROCID, MSGID
    for _ in 0..5 {
        let (field, after) = rest.split_once(' ')?;
        if field.is_empty() {
            return None;
        }
        rest = after;
    }
    let message = skip_structured_data(rest)?.strip_prefix(' ')?;
    Some(message.trim_start_matches('\u{feff}'))
}

/// What follows `-` or `[id name="value"]…` of RFC 5424.
fn skip_structured_data(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix('-') {
        return Some(rest);
    }
    let bytes = text.as_bytes();
    let mut at = 0;
    while bytes.get(at) == Some(&b'[') {
        let mut quoted = false;
        loop {
            at += 1;
            match bytes.get(at)? {
                b'\\' if quoted => at += 1,
                b'"' => quoted = !quoted,
                b']' if !quoted => break,
                _ => {}
            }
        }
        at += 1;
    }
    (at > 0).then(|| &text[at..])
}

fn identify_cef(text: &str) -> Sighting<'_> {
    let Ok(event) = CefEvent::parse(text) else { return Sighting::Unreadable };
    let labelled = |key: &str, label_key: &str, label: &str| {
        if event.get(label_key)? == label { event.get(key) } else { None }
    };
    let updated_ms = labelled("deviceCustomDate1", "deviceCustomDate1Label", "lastUpdateDateTime")
        .and_then(|value| value.parse::<i64>().ok());
    let tenant = labelled("cs2", "cs2Label", "tenantId");
    let (Some(tenant), Some(id), Some(updated_ms)) = (tenant, event.get("externalId"), updated_ms) else {
        return Sighting::Unreadable;
    };
    let kind = if event.signature_id() == "incident" { RecordKind::Incident } else { RecordKind::Alert };
    Sighting::Record(SeenRecord { tenant, kind, id, updated_ms })
}

fn identify_json(text: &str) -> Sighting<'_> {
    serde_json::from_str::<JsonLine<'_>>(text).map_or(Sighting::Unreadable, JsonLine::identify)
}

/// A HEC event or a raw record: which of the two is known only when all its keys have been seen.
#[derive(Deserialize)]
pub(super) struct JsonLine<'a> {
    /// The payload of a HEC event.
    #[serde(borrow, default)]
    pub(super) event: EventField<'a>,
    /// Splunk's index.
    #[serde(borrow, default)]
    index: Text<'a>,
    #[serde(borrow, default)]
    sourcetype: Text<'a>,
    #[serde(borrow, default)]
    fields: IndexedFields<'a>,
    #[serde(borrow, default, rename = "tenantId", alias = "aadTenantId")]
    tenant_id: Text<'a>,
    #[serde(borrow, default)]
    id: Text<'a>,
    #[serde(borrow, default, rename = "lastUpdateDateTime", alias = "lastUpdateTime")]
    updated: Text<'a>,
    #[serde(default, rename = "incidentName")]
    incident_name: Present,
    #[serde(default, rename = "incidentId")]
    incident_id: Number,
    #[serde(borrow, default, rename = "incidentUri")]
    incident_uri: Text<'a>,
    #[serde(default, rename = "displayName")]
    display_name: Present,
    #[serde(default, rename = "incidentWebUrl")]
    incident_web_url: Present,
    #[serde(default)]
    evidence: Present,
    #[serde(default, rename = "serviceSource")]
    service_source: Present,
}

impl<'a> JsonLine<'a> {
    /// The index of Splunk's that it names.
    pub(super) fn index(&self) -> Option<&str> {
        self.index.0.as_deref()
    }

    /// Which record this is.
    pub(super) fn identify(self) -> Sighting<'a> {
        match self.event {
            EventField::Record(record) => {
                let kind = match self.sourcetype.0.as_deref() {
                    Some(INCIDENT_ALERT_SOURCETYPE) => return Sighting::IncidentAlert,
                    Some(INCIDENT_SOURCETYPE) => RecordKind::Incident,
                    _ => RecordKind::Alert,
                };
                let tenant = record.tenant_id.0.or(self.fields.tenant_id.0);
                let id = record.id.0.or(record.incident_id.text());
                sighting(tenant, kind, id, record.updated.0)
            }
            EventField::Blank | EventField::Other => Sighting::Unreadable,
            // Defender XDR's.
            EventField::Missing if self.incident_name.0 => {
                let tenant = self.incident_uri.0.and_then(tenant_of_link).or(self.tenant_id.0);
                sighting(tenant, RecordKind::Incident, self.incident_id.text(), self.updated.0)
            }
            EventField::Missing => {
                let is_incident = self.display_name.0
                    && self.incident_web_url.0
                    && !self.evidence.0
                    && !self.service_source.0;
                let kind = if is_incident { RecordKind::Incident } else { RecordKind::Alert };
                sighting(self.tenant_id.0, kind, self.id.0, self.updated.0)
            }
        }
    }
}

fn sighting<'a>(
    tenant: Option<Cow<'a, str>>,
    kind: RecordKind,
    id: Option<Cow<'a, str>>,
    updated: Option<Cow<'a, str>>,
) -> Sighting<'a> {
    // Truncated, not rounded, to milliseconds: that is how a produced version is named.
    let updated_ms = updated
        .and_then(|text| text.parse::<jiff::Timestamp>().ok())
        .map(|instant| instant.as_nanosecond().div_euclid(1_000_000))
        .and_then(|milliseconds| i64::try_from(milliseconds).ok());
    match (tenant, id, updated_ms) {
        (Some(tenant), Some(id), Some(updated_ms)) => {
            Sighting::Record(SeenRecord { tenant, kind, id, updated_ms })
        }
        _ => Sighting::Unreadable,
    }
}

/// `event` of a HEC event.
#[derive(Default)]
pub(super) enum EventField<'a> {
    /// Not there, or null.
    #[default]
    Missing,
    /// An empty text.
    Blank,
    /// An object, or a text that holds one.
    Record(Box<EventRecord<'a>>),
    /// Anything else that Splunk would take.
    Other,
}

/// The identifying fields of the object in `event`.
#[derive(Deserialize)]
pub(super) struct EventRecord<'a> {
    #[serde(borrow, default, rename = "tenantId", alias = "aadTenantId")]
    tenant_id: Text<'a>,
    #[serde(borrow, default)]
    id: Text<'a>,
    #[serde(default, rename = "incidentId")]
    incident_id: Number,
    #[serde(borrow, default, rename = "lastUpdateDateTime", alias = "lastUpdateTime")]
    updated: Text<'a>,
}

/// Fields that Splunk indexes beside the event.
#[derive(Default, Deserialize)]
struct IndexedFields<'a> {
    #[serde(borrow, default)]
    tenant_id: Text<'a>,
}

/// A text, or nothing where the value is of another type: a wrong type must not spoil the reading of the rest.
#[derive(Default)]
struct Text<'a>(Option<Cow<'a, str>>);

/// A whole number, or nothing where the value is of another type.
#[derive(Default)]
struct Number(Option<i64>);

impl Number {
    fn text<'a>(&self) -> Option<Cow<'a, str>> {
        self.0.map(|number| Cow::Owned(number.to_string()))
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&serde_json::value::RawValue>::deserialize(deserializer)?;
        Ok(Self(raw.get().parse().ok()))
    }
}

/// The tenant in a link of Defender's portal: `…?tid=TENANT`.
fn tenant_of_link(link: Cow<'_, str>) -> Option<Cow<'_, str>> {
    let tenant = link.split_once("?tid=").map(|(_, tenant)| tenant.to_owned());
    tenant.map(Cow::Owned)
}

/// Whether a key is there, whatever its value.
#[derive(Default)]
struct Present(bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|IgnoredAny| Present(true))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("any value")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Some(Cow::Borrowed(text))))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Some(Cow::Owned(text.to_owned()))))
            }
            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(Text(None))
            }
            fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Text(None))
            }
            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Text(None))
            }
            fn visit_u64<E: de::Error>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Text(None))
            }
            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Text(None))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
                IgnoredAny.visit_seq(items).map(|IgnoredAny| Text(None))
            }
            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
                IgnoredAny.visit_map(entries).map(|IgnoredAny| Text(None))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for EventField<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EventVisitor;
        impl<'de> Visitor<'de> for EventVisitor {
            type Value = EventField<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("any value")
            }
            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
                EventRecord::deserialize(MapAccessDeserializer::new(entries))
                    .map(|record| EventField::Record(Box::new(record)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                if text.trim().is_empty() {
                    return Ok(EventField::Blank);
                }
                Ok(serde_json::from_str::<EventRecord<'_>>(text)
                    .map_or(EventField::Other, |record| EventField::Record(Box::new(record.into_owned()))))
            }
            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(EventField::Missing)
            }
            fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self::Value, E> {
                Ok(EventField::Other)
            }
            fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self::Value, E> {
                Ok(EventField::Other)
            }
            fn visit_u64<E: de::Error>(self, _: u64) -> Result<Self::Value, E> {
                Ok(EventField::Other)
            }
            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Self::Value, E> {
                Ok(EventField::Other)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
                IgnoredAny.visit_seq(items).map(|IgnoredAny| EventField::Other)
            }
        }
        deserializer.deserialize_any(EventVisitor)
    }
}

impl EventRecord<'_> {
    fn into_owned(self) -> EventRecord<'static> {
        let owned = |text: Text<'_>| Text(text.0.map(|text| Cow::Owned(text.into_owned())));
        EventRecord {
            tenant_id: owned(self.tenant_id),
            id: owned(self.id),
            incident_id: self.incident_id,
            updated: owned(self.updated),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(kind: RecordKind) -> Sighting<'static> {
        Sighting::Record(SeenRecord {
            tenant: "t1".into(),
            kind,
            id: "a1".into(),
            updated_ms: 1_700_000_000_123,
        })
    }

    const RECORD: &str = r#"{"id":"a1","tenantId":"t1","title":"x {CEF:0|","lastUpdateDateTime":"2023-11-14T22:13:20.1239999Z","serviceSource":"x","evidence":[]}"#;
    const CEF: &str = "CEF:0|Microsoft|Defender|1|alert|x {\"a\":1}|5|externalId=a1 cs2=t1 cs2Label=tenantId deviceCustomDate1=1700000000123 deviceCustomDate1Label=lastUpdateDateTime";

    #[test]
    fn raw_lines() {
        assert_eq!(identify_line(RECORD.as_bytes()), seen(RecordKind::Alert));
        let incident = r#"{"id":"a1","tenantId":"t1","displayName":"x","incidentWebUrl":"y","lastUpdateDateTime":"2023-11-14T22:13:20.123Z"}"#;
        assert_eq!(identify_line(incident.as_bytes()), seen(RecordKind::Incident));
        let alert_with_url =
            RECORD.replace("\"title\"", "\"displayName\":\"d\",\"incidentWebUrl\":\"u\",\"title\"");
        assert_eq!(identify_line(alert_with_url.as_bytes()), seen(RecordKind::Alert));
    }

    #[test]
    fn hec_events() {
        let event = |sourcetype: &str, event: &str| {
            format!(r#"{{"time":1,"event":{event},"sourcetype":"{sourcetype}"}}"#)
        };
        let line = event("ms:defender:atp:alerts", RECORD);
        assert_eq!(identify_line(line.as_bytes()), seen(RecordKind::Alert));
        let line = event(INCIDENT_SOURCETYPE, RECORD);
        assert_eq!(identify_line(line.as_bytes()), seen(RecordKind::Incident));
        let line = event(INCIDENT_ALERT_SOURCETYPE, RECORD);
        assert_eq!(identify_line(line.as_bytes()), Sighting::IncidentAlert);
        let line = event("x", &serde_json::to_string(RECORD).unwrap());
        assert_eq!(identify_line(line.as_bytes()), seen(RecordKind::Alert));
        let line = r#"{"fields":{"tenant_id":"t1"},"event":{"id":"a1","lastUpdateDateTime":"2023-11-14T22:13:20.123Z"}}"#;
        assert_eq!(identify_line(line.as_bytes()), seen(RecordKind::Alert));
    }

    #[test]
    fn cef_behind_each_header() {
        for header in [
            "",
            "<13>1 2024-01-01T00:00:00.000Z host muster - - - ",
            "<13>1 2024-01-01T00:00:00.000Z host muster 12 id [a@1 b=\"{ \\\"]\"][c@1] \u{feff}",
            "<13>Jan  1 00:00:00 host ",
            "Jan  1 00:00:00 host ",
        ] {
            let line = format!("{header}{CEF}");
            assert_eq!(identify_line(line.as_bytes()), seen(RecordKind::Alert), "{header}");
        }
        let incident = CEF.replace("|alert|", "|incident|");
        assert_eq!(identify_line(incident.as_bytes()), seen(RecordKind::Incident));
    }

    #[test]
    fn syslog_wants_a_priority() {
        for header in ["", "<192>1 - - - - - - ", "<x>", "<13>1 - - - - ", "<13>1 - - - - - [a "] {
            let message = format!("{header}{CEF}");
            assert_eq!(identify_syslog(message.as_bytes()), Sighting::Unreadable, "{header}");
        }
        let json = format!("<13>1 - - - - - - {RECORD}");
        assert_eq!(identify_syslog(json.as_bytes()), seen(RecordKind::Alert));
    }

    #[test]
    fn what_cannot_be_identified() {
        for line in [
            "",
            "hello",
            "{",
            "{}",
            r#"{"event":5}"#,
            r#"{"event":["a"]}"#,
            r#"{"event":"text"}"#,
            r#"{"id":7,"tenantId":{},"lastUpdateDateTime":[1]}"#,
            r#"{"id":"a","tenantId":"t","lastUpdateDateTime":"yesterday"}"#,
            &CEF.replace("cs2Label=tenantId", "cs2Label=other"),
            &CEF.replace("=1700000000123", "=soon"),
        ] {
            assert_eq!(identify_line(line.as_bytes()), Sighting::Unreadable, "{line}");
        }
        assert_eq!(identify_line(b"{\"id\":\"\xff\"}"), Sighting::Unreadable);
    }
}
