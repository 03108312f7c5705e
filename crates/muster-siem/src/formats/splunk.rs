//! Splunk: event objects for the HTTP Event Collector, with the sourcetypes and shapes of the Splunk Add-on for
//! Microsoft Security, so that existing searches and data models find their fields.
//!
//! An alert is copied without being parsed. An incident becomes one event without its `alerts`, and one event for
//! each of them. Everything is JSON inside JSON: bodies are valid already, and names of tenants are escaped.

use std::str::FromStr;

use jiff::Timestamp;
use muster_model::json::Tape;
use muster_model::json::{self, Reader, Text};
use muster_model::time::moment;
use muster_model::{Change, Record, RecordKind, TenantLabel};
use serde::Deserialize;

use super::error::FormatError;
use super::events::Events;
use super::view::tables;
use super::view::{Alert, Facts};
use super::writing::field::FieldDoc;
use super::writing::quote::{push_line, push_number, push_string, tenant_id};
use super::writing::template::{Piece, Template, TemplateError};
use super::writing::unit::{Shape, Unit};

/// Where in Splunk events go, and under which names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SplunkOptions {
    /// The index; without it, the one that Splunk has for the token.
    pub index: Option<IndexTemplate>,
    /// The `host` of events; without it, the tenant's slug.
    pub host: Option<Template>,
    /// The `source` of events; without it, `muster:graph_alerts` and the like.
    pub source: Option<Template>,
    /// The sourcetypes.
    pub sourcetypes: Sourcetypes,
    /// Whether alerts have the fields of the data models Alerts and Malware as indexed fields. Without it the app in
    /// `deploy/splunk` makes them when they are searched for.
    pub cim_fields: bool,
}

const ALL: &[RecordKind] = &RecordKind::ALL;
const ALERTS: &[RecordKind] = &[
    RecordKind::GraphAlert,
    RecordKind::GraphIncident,
    RecordKind::EndpointAlert,
    RecordKind::XdrIncident,
    RecordKind::SiemDetection,
];
const ONLY_WITH_CIM: &str = "an indexed field; only with `cim_fields = true`";

/// A field of the data models.
const fn cim(name: &'static str, source: &'static str) -> FieldDoc {
    FieldDoc { name, kinds: ALERTS, source, rule: ONLY_WITH_CIM }
}

/// The event object's fields. What is in `event` is Microsoft's own.
#[rustfmt::skip]
pub(super) const FIELDS: &[FieldDoc] = &[
    FieldDoc { name: "time", kinds: ALL, source: "`createdDateTime`; `alertCreationTime`; `createdTime`; `creationTime`; `AlertTime`; `Timestamp`", rule: "seconds since 1970 with microseconds; else the time of the last update; else left out" },
    FieldDoc { name: "host", kinds: ALL, source: "setting `host`", rule: "else the tenant's slug" },
    FieldDoc { name: "source", kinds: ALL, source: "setting `source`", rule: "else `muster:` and Muster's source" },
    FieldDoc { name: "sourcetype", kinds: ALL, source: "setting `sourcetypes`", rule: "by kind of event, above" },
    FieldDoc { name: "index", kinds: ALL, source: "setting `index`", rule: "else Splunk's own for the token" },
    FieldDoc { name: "fields.tenant_id", kinds: ALL, source: "the tenant's Entra id", rule: "an indexed field" },
    FieldDoc { name: "fields.tenant_name", kinds: ALL, source: "the tenant's name in Muster", rule: "an indexed field" },
    FieldDoc { name: "fields.tenant_slug", kinds: ALL, source: "the tenant's slug in Muster", rule: "an indexed field" },
    FieldDoc { name: "fields.change", kinds: ALERTS, source: "what this version is to the one before", rule: "an indexed field; see [what changed](changes.md)" },
    FieldDoc { name: "fields.changed_fields", kinds: ALERTS, source: "the names of Microsoft's fields that changed", rule: "an indexed field, a list" },
    FieldDoc { name: "fields.more_changed_fields", kinds: ALERTS, source: "how many more did", rule: "an indexed field" },
    FieldDoc { name: "fields.change_from", kinds: ALERTS, source: "the incident that an alert belonged to before", rule: "an indexed field" },
    FieldDoc { name: "fields.change_to", kinds: ALERTS, source: "the incident that an alert belongs to now, or that an incident was merged into", rule: "an indexed field" },
    cim("fields.id", "`alertId`; `AlertId`"),
    cim("fields.description", "`Description`"),
    cim("fields.severity", "`Severity`, in lower case"),
    cim("fields.category", "`Category`"),
    cim("fields.app", "`serviceSource`, else `detectionSource`, as the product's name"),
    cim("fields.vendor_product", "the same"),
    cim("fields.vendor_account", "the tenant's Entra id"),
    cim("fields.type", "constant `alert`"),
    cim("fields.signature", "`title`; `AlertTitle`"),
    cim("fields.signature_id", "`detectorId`; `IoaDefinitionId`; else the alert's id"),
    cim("fields.dest", "the first named device, else the first recipient or mailbox, else the first other entity"),
    cim("fields.dest_nt_domain", "`ntDomain` of the same device"),
    cim("fields.src", "the first address, else the first sender"),
    cim("fields.src_user", "the first sender"),
    cim("fields.user", "the first user's `userPrincipalName`, else its name"),
    cim("fields.user_name", "the same user's `displayName`, else `accountName`"),
    cim("fields.subject", "`title`; `AlertTitle`"),
    cim("fields.file_name", "the first file"),
    cim("fields.file_path", "the same file"),
    cim("fields.file_hash", "the same file's SHA-256, else SHA-1, else MD5"),
    cim("fields.url", "the first URL"),
    cim("fields.action", "`blocked` when evidence was remediated, blocked or prevented and none is left active, else `allowed`"),
    cim("fields.mitre_technique_id", "`mitreTechniques`, a list"),
    FieldDoc { name: "event", kinds: ALL, source: "the record, or one alert of an incident", rule: "untouched" },
    FieldDoc { name: "event.*", kinds: ALL, source: "the field of that name", rule: "untouched" },
];

/// The sourcetype of each kind of event.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sourcetypes {
    /// An alert of Graph or of Defender for Endpoint.
    pub alert: String,
    /// An incident of Graph or of Defender XDR, without its alerts.
    pub incident: String,
    /// An alert that came inside an incident.
    pub incident_alert: String,
    /// A detection of the retired SIEM API.
    pub siem_detection: String,
    /// A row of an advanced hunting query.
    pub hunting: String,
}

impl Default for Sourcetypes {
    /// Those of the Splunk Add-on for Microsoft Security.
    fn default() -> Self {
        Self {
            alert: "ms:defender:atp:alerts".to_owned(),
            incident: "ms365:defender:incident".to_owned(),
            incident_alert: "ms365:defender:incident:alerts".to_owned(),
            // What Microsoft's page told people to set for that API.
            siem_detection: "_json".to_owned(),
            hunting: "m365:defender:incident:advanced_hunting".to_owned(),
        }
    }
}

/// Appends the events of one record.
pub(super) fn write(
    options: &SplunkOptions,
    kind: RecordKind,
    record: Record<'_>,
    tenant: &TenantLabel,
    events: &mut Events,
) -> Result<(), FormatError> {
    let time = record.head.created_at.or(record.head.updated_at);
    let frame = HecFrame::of(options, kind, record, tenant);
    if !is_incident(kind) {
        return write_record(&frame, time, record.body, events);
    }
    let mut alerts = Vec::new();
    events.push_with(|buffer| {
        frame.open(&options.sourcetypes.incident, time, buffer);
        frame.close_fields(buffer, None);
        alerts = push_without_alerts(buffer, record.body)?;
        buffer.push(b'}');
        Ok::<(), FormatError>(())
    })?;
    for alert in alerts {
        write_inner(&frame, alert.time, alert.body, events)?;
    }
    Ok(())
}

/// The texts that become events of their own: the record, and each alert of an incident.
pub(super) fn units(kind: RecordKind, body: &str) -> Result<Vec<Unit<'_>>, FormatError> {
    if !is_incident(kind) {
        return Ok(vec![Unit { body: body.into(), shape: Shape::Record(kind) }]);
    }
    let alerts = push_without_alerts(&mut Vec::new(), body)?;
    let alone = Unit { body: body.into(), shape: Shape::IncidentAlone(kind) };
    let alerts =
        alerts.into_iter().map(|alert| Unit { body: alert.body.into(), shape: Shape::InnerAlert(kind) });
    Ok(std::iter::once(alone).chain(alerts).collect())
}

/// Appends the one event of a unit.
pub(super) fn write_unit(
    options: &SplunkOptions,
    shape: Shape,
    record: Record<'_>,
    tenant: &TenantLabel,
    events: &mut Events,
) -> Result<(), FormatError> {
    let time = record.head.created_at.or(record.head.updated_at);
    match shape {
        Shape::Record(kind) => {
            let frame = HecFrame::of(options, kind, record, tenant);
            write_record(&frame, time, record.body, events)
        }
        Shape::IncidentAlone(kind) => events.push_with(|buffer| {
            let frame = HecFrame::of(options, kind, record, tenant);
            frame.open(&options.sourcetypes.incident, time, buffer);
            frame.close_fields(buffer, None);
            push_without_alerts(buffer, record.body)?;
            buffer.push(b'}');
            Ok::<(), FormatError>(())
        }),
        Shape::InnerAlert(kind) => {
            let time = InnerAlert::take(&mut Reader::new(record.body))?.time;
            let frame = HecFrame::of(options, kind, record, tenant);
            write_inner(&frame, time, record.body, events)
        }
    }
}

fn is_incident(kind: RecordKind) -> bool {
    matches!(kind, RecordKind::GraphIncident | RecordKind::XdrIncident)
}

/// The sourcetype of a record that is one event.
pub(super) fn sourcetype(options: &SplunkOptions, kind: RecordKind) -> &str {
    let Sourcetypes { alert, incident, siem_detection, hunting, .. } = &options.sourcetypes;
    match kind {
        RecordKind::GraphAlert | RecordKind::EndpointAlert => alert,
        RecordKind::GraphIncident | RecordKind::XdrIncident => incident,
        RecordKind::SiemDetection => siem_detection,
        RecordKind::HuntingRow => hunting,
    }
}

/// Appends a record as one event.
fn write_record(
    frame: &HecFrame<'_>,
    time: Option<Timestamp>,
    body: &str,
    events: &mut Events,
) -> Result<(), FormatError> {
    write_whole(frame, sourcetype(frame.options, frame.kind), false, time, body, events)
}

/// Appends an alert that stood inside an incident.
fn write_inner(
    frame: &HecFrame<'_>,
    time: Option<Timestamp>,
    body: &str,
    events: &mut Events,
) -> Result<(), FormatError> {
    let frame = HecFrame { change: None, ..*frame };
    write_whole(&frame, &frame.options.sourcetypes.incident_alert, true, time, body, events)
}

/// Appends an event that is a text of Microsoft, whole.
fn write_whole(
    frame: &HecFrame<'_>,
    sourcetype: &str,
    is_inner_alert: bool,
    time: Option<Timestamp>,
    body: &str,
    events: &mut Events,
) -> Result<(), FormatError> {
    let tape = if frame.options.cim_fields { Some(Tape::read(body)?) } else { None };
    events.push(is_inner_alert, |buffer| {
        frame.open(sourcetype, time, buffer);
        frame.close_fields(buffer, tape.as_ref());
        push_line(buffer, body);
        buffer.push(b'}');
    });
    Ok(())
}

/// What is the same for all events of a record.
#[derive(Clone, Copy)]
struct HecFrame<'a> {
    options: &'a SplunkOptions,
    kind: RecordKind,
    tenant: &'a TenantLabel,
    /// What the record's version is to the one before. It is not said of the alerts inside an incident.
    change: Option<&'a Change>,
}

impl<'a> HecFrame<'a> {
    fn of(options: &'a SplunkOptions, kind: RecordKind, record: Record<'a>, tenant: &'a TenantLabel) -> Self {
        // Each row is a record of its own, and never a version of another.
        let change = record.head.change.as_ref().filter(|_| kind != RecordKind::HuntingRow);
        Self { options, kind, tenant, change }
    }

    /// Appends all of the event object that comes before the fields of a data model.
    fn open(&self, sourcetype: &str, time: Option<Timestamp>, buffer: &mut Vec<u8>) {
        let Self { options, kind, tenant, change } = self;
        buffer.push(b'{');
        if let Some(time) = time {
            push_time(buffer, time);
        }
        buffer.extend_from_slice(b"\"host\":");
        match &options.host {
            Some(host) => push_string(buffer, &host.expand(tenant)),
            None => push_string(buffer, tenant.slug.as_str()),
        }
        buffer.extend_from_slice(b",\"source\":");
        match &options.source {
            Some(source) => push_string(buffer, &source.expand(tenant)),
            None => {
                buffer.extend_from_slice(b"\"muster:");
                buffer.extend_from_slice(kind.source_name().as_bytes());
                buffer.push(b'"');
            }
        }
        buffer.extend_from_slice(b",\"sourcetype\":");
        push_string(buffer, sourcetype);
        if let Some(IndexTemplate(index)) = &options.index {
            buffer.extend_from_slice(b",\"index\":");
            push_string(buffer, &index.expand(tenant));
        }
        buffer.extend_from_slice(b",\"fields\":{\"tenant_id\":\"");
        buffer.extend_from_slice(tenant_id(tenant, &mut [0; 36]).as_bytes());
        buffer.extend_from_slice(b"\",\"tenant_name\":");
        push_string(buffer, &tenant.name);
        buffer.extend_from_slice(b",\"tenant_slug\":");
        push_string(buffer, tenant.slug.as_str());
        if let Some(change) = change {
            push_change(buffer, change);
        }
    }

    /// Appends the fields of the Common Information Model, if an alert is given, and all up to the event's own body.
    fn close_fields(&self, buffer: &mut Vec<u8>, alert: Option<&Tape<'_>>) {
        if let Some(tape) = alert {
            let read = match self.kind {
                RecordKind::GraphAlert | RecordKind::GraphIncident => Some(Alert::graph(tape.root())),
                RecordKind::EndpointAlert => Some(Alert::endpoint(tape.root())),
                RecordKind::XdrIncident => Some(Alert::xdr(tape.root())),
                RecordKind::SiemDetection => Some(Alert::siem(tape.root())),
                RecordKind::HuntingRow => None,
            };
            if let Some(alert) = read {
                push_cim(buffer, self.kind, &alert, self.tenant);
            }
        }
        buffer.extend_from_slice(b"},\"event\":");
    }
}

/// Appends the fields of what a version is to the one before.
fn push_change(buffer: &mut Vec<u8>, change: &Change) {
    buffer.extend_from_slice(b",\"change\":");
    push_string(buffer, change.kind.as_str());
    for (position, name) in change.fields.iter().enumerate() {
        buffer.extend_from_slice(if position == 0 { b",\"changed_fields\":[" } else { b"," });
        push_string(buffer, name);
    }
    if !change.fields.is_empty() {
        buffer.push(b']');
    }
    if change.more_fields > 0 {
        buffer.extend_from_slice(b",\"more_changed_fields\":");
        push_number(buffer, i64::from(change.more_fields));
    }
    for (key, id) in [("change_from", &change.from), ("change_to", &change.to)] {
        if let Some(id) = id {
            buffer.push(b',');
            push_string(buffer, key);
            buffer.push(b':');
            push_string(buffer, id);
        }
    }
}

/// Appends the fields of the data models Alerts and Malware that a search does not find in the event itself: it finds
/// `title`, `description`, `severity`, `category` and `id` of most kinds there, and a field must not be there twice.
fn push_cim(buffer: &mut Vec<u8>, kind: RecordKind, alert: &Alert<'_>, tenant: &TenantLabel) {
    let facts = Facts::of(std::slice::from_ref(alert));
    let first = |list: &[Text<'_>]| list.first().copied().map(|text| text.decoded().into_owned());
    let decoded = |text: Text<'_>| (!text.is_blank()).then(|| text.decoded().into_owned());
    let service = alert.service_source.or(alert.detection_source);
    let product = tables::product(service.as_written()).unwrap_or("Microsoft Defender");
    let mut field = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            buffer.push(b',');
            push_string(buffer, name);
            buffer.push(b':');
            push_string(buffer, &value);
        }
    };
    if kind == RecordKind::SiemDetection {
        field("description", decoded(alert.description));
        field("severity", decoded(alert.severity).map(|severity| severity.to_ascii_lowercase()));
        field("category", decoded(alert.category));
        field("id", decoded(alert.id));
    } else if kind == RecordKind::XdrIncident {
        field("id", decoded(alert.id));
    }
    field("app", Some(product.to_owned()));
    field("vendor_product", Some(product.to_owned()));
    field("vendor_account", Some(tenant.id.to_string()));
    field("type", Some("alert".to_owned()));
    field("signature", decoded(alert.title));
    field("signature_id", decoded(alert.detector_id.or(alert.id)));
    let device = decoded(facts.device.name());
    field(
        "dest",
        device.or_else(|| first(facts.recipients.as_slice())).or_else(|| first(facts.entities.as_slice())),
    );
    field("dest_nt_domain", decoded(facts.device.nt_domain));
    field("src", first(facts.addresses.as_slice()).or_else(|| first(facts.senders.as_slice())));
    field("src_user", first(facts.senders.as_slice()));
    field("user", decoded(facts.user.principal.or(facts.user.name())));
    field("user_name", decoded(facts.user.display_name.or(facts.user.account)));
    field("subject", decoded(alert.title));
    field("file_name", decoded(facts.file.name));
    field("file_path", decoded(facts.file.path));
    field("file_hash", decoded(facts.file.sha256.or(facts.file.sha1).or(facts.file.md5)));
    field("url", first(facts.urls.as_slice()));
    let action = match facts.remediated {
        Some(true) => Some("blocked"),
        Some(false) => Some("allowed"),
        None => None,
    };
    field("action", action.map(str::to_owned));
    if !alert.techniques.is_empty() {
        buffer.extend_from_slice(b",\"mitre_technique_id\":[");
        for (position, technique) in alert.techniques.iter().enumerate() {
            if position > 0 {
                buffer.push(b',');
            }
            push_string(buffer, &technique.decoded());
        }
        buffer.push(b']');
    }
}

/// Appends `"time":…,` in seconds with microseconds. Times before 1970, such as .NET's "no date" of year 1, are left
/// out, and Splunk takes the time of arrival.
fn push_time(buffer: &mut Vec<u8>, time: Timestamp) {
    let microseconds = time.as_microsecond();
    if microseconds > 0 {
        let (seconds, fraction) = (microseconds / 1_000_000, microseconds % 1_000_000);
        buffer.extend_from_slice(format!("\"time\":{seconds}.{fraction:06},").as_bytes());
    }
}

/// Appends an incident without the alerts in it, and returns those.
///
/// `alerts` is a list of objects, or one object. What else may stand there stays in the incident, so that nothing
/// is lost; null goes.
fn push_without_alerts<'a>(buffer: &mut Vec<u8>, body: &'a str) -> Result<Vec<InnerAlert<'a>>, json::Error> {
    let mut alerts = Vec::new();
    let mut odd = Vec::new();
    let mut separator = b'{';
    let mut push_field = |key: &str, value: &str| {
        buffer.extend_from_slice(&[separator, b'"']);
        buffer.extend_from_slice(key.as_bytes());
        buffer.extend_from_slice(b"\":");
        push_line(buffer, value);
        separator = b',';
    };
    Reader::new(body).object(|key, reader| {
        if key != "alerts" {
            push_field(key, reader.raw()?);
            return Ok(());
        }
        reader.items(|reader| {
            match reader.peek()? {
                b'{' => alerts.push(InnerAlert::take(reader)?),
                b'n' => reader.skip()?,
                _ => odd.push(reader.raw()?),
            }
            Ok(())
        })
    })?;
    if !odd.is_empty() {
        push_field("alerts", &format!("[{}]", odd.join(",")));
    }
    if separator == b'{' {
        buffer.push(b'{');
    }
    buffer.push(b'}');
    Ok(alerts)
}

/// An alert inside an incident.
struct InnerAlert<'a> {
    body: &'a str,
    time: Option<Timestamp>,
}

impl<'a> InnerAlert<'a> {
    fn take(reader: &mut Reader<'a>) -> Result<Self, json::Error> {
        let (mut created_at, mut updated_at) = (Text::default(), Text::default());
        let body = reader.raw_with(|reader| {
            reader.object(|key, reader| {
                match key {
                    "createdDateTime" | "creationTime" => created_at = reader.text()?,
                    "lastUpdateDateTime" | "lastUpdatedTime" => updated_at = reader.text()?,
                    _ => reader.skip()?,
                }
                Ok(())
            })
        })?;
        let time = [created_at, updated_at].into_iter().find_map(|text| moment(text.as_written()));
        Ok(Self { body, time })
    }
}

/// A [`Template`] that always gives a name that Splunk takes for an index.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct IndexTemplate(Template);

impl IndexTemplate {
    /// The longest name of an index, in bytes.
    pub const BYTES_MAX: usize = 80;

    /// What Splunk takes for the name of an index. A stanza `default` would change all others.
    #[must_use]
    pub fn takes(name: &str) -> bool {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        !name.is_empty()
            && name.len() <= Self::BYTES_MAX
            && name.bytes().all(fits)
            && !name.starts_with(['_', '-'])
            && name != "default"
            && !name.contains("kvstore")
    }

    /// The index of `tenant`.
    #[must_use]
    pub fn expand(&self, tenant: &TenantLabel) -> String {
        self.0.expand(tenant)
    }
}

impl FromStr for IndexTemplate {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let template: Template = text.parse()?;
        for (position, piece) in template.0.iter().enumerate() {
            match piece {
                Piece::Literal(literal) => {
                    let fits = |character: char| {
                        character.is_ascii_lowercase()
                            || character.is_ascii_digit()
                            || "_-".contains(character)
                    };
                    if !literal.chars().all(fits) || position == 0 && literal.starts_with(['_', '-']) {
                        return Err(TemplateError::Index(literal.clone()));
                    }
                }
                Piece::Name => return Err(TemplateError::Index("tenant.name".to_owned())),
                Piece::Slug | Piece::Id => {}
            }
        }
        Ok(Self(template))
    }
}

impl TryFrom<String> for IndexTemplate {
    type Error = TemplateError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::{IndexTemplate, SplunkOptions, Template, TemplateError, push_without_alerts};

    #[test]
    fn options_with_mistakes_are_refused() {
        let read = |json| serde_json::from_str::<SplunkOptions>(json).map_err(|error| error.to_string());
        assert_eq!(read("{}"), Ok(SplunkOptions::default()));
        let good = read(r#"{"index":"mssp_{{tenant.slug}}","host":"{{ tenant.name }}!"}"#).expect("options");
        assert_eq!(good.index, Some("mssp_{{ tenant.slug }}".parse().expect("an index")));
        let error = read(r#"{"host":"{{ tenant.secret }}"}"#).expect_err("no placeholder");
        assert!(error.starts_with("`tenant.secret` is no placeholder: use tenant.slug"), "{error}");
        assert!(read(r#"{"indexes":"x"}"#).expect_err("unknown").contains("unknown field `indexes`"));
    }

    #[test]
    fn templates_say_what_is_wrong() {
        assert_eq!("".parse::<Template>(), Err(TemplateError::Empty));
        assert_eq!("a {{ tenant.id".parse::<Template>(), Err(TemplateError::Open));
        for wrong in ["Main", "_internal", "a b", "x_{{ tenant.name }}"] {
            assert!(matches!(wrong.parse::<IndexTemplate>(), Err(TemplateError::Index(_))), "{wrong}");
        }
        assert!("{{ tenant.id }}_x".parse::<IndexTemplate>().is_ok());
    }

    #[test]
    fn alerts_leave_an_incident_whatever_their_shape() {
        let split = |body| {
            let mut buffer = Vec::new();
            let alerts = push_without_alerts(&mut buffer, body).expect("an incident");
            let alerts: Vec<_> = alerts.into_iter().map(|alert| alert.body).collect();
            (String::from_utf8(buffer).expect("text"), alerts)
        };
        let list = split(r#"{"id":"1", "alerts":[{"id":"a"}, {"id":"b"}],"x":{"alerts":[1]}}"#);
        assert_eq!(list.0, r#"{"id":"1","x":{"alerts":[1]}}"#);
        assert_eq!(list.1, [r#"{"id":"a"}"#, r#"{"id":"b"}"#]);
        assert_eq!(split(r#"{"alerts":{"id":"a"}}"#), ("{}".to_owned(), vec![r#"{"id":"a"}"#]));
        assert_eq!(split(r#"{"id":"1","alerts":null}"#), (r#"{"id":"1"}"#.to_owned(), vec![]));
        assert_eq!(
            split(r#"{"id":"1","alerts":["odd",null,{"id":"a"},7]}"#),
            (r#"{"id":"1","alerts":["odd",7]}"#.to_owned(), vec![r#"{"id":"a"}"#])
        );
    }
}
