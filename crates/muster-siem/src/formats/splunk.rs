//! Splunk: event objects for the HTTP Event Collector, with the sourcetypes and shapes of the Splunk Add-on for
//! Microsoft Security, so that existing searches and data models find their fields.
//!
//! An alert is copied without being parsed. An incident becomes one event without its `alerts`, and one event for
//! each of them. Everything is JSON inside JSON: bodies are valid already, and names of tenants are escaped.

use std::str::FromStr;

use jiff::Timestamp;
use muster_model::{Record, TenantLabel};
use serde::Deserialize;

use super::json::{Reader, Text};
use super::{Events, FormatError, RecordKind, push_line};

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
}

/// The sourcetype of each kind of event.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sourcetypes {
    /// An alert of `graph_alerts`.
    pub alert: String,
    /// An incident of `graph_incidents`, without its alerts.
    pub incident: String,
    /// An alert that came inside an incident.
    pub incident_alert: String,
}

impl Default for Sourcetypes {
    /// Those of the Splunk Add-on for Microsoft Security.
    fn default() -> Self {
        Self {
            alert: "ms:defender:atp:alerts".to_owned(),
            incident: "ms365:defender:incident".to_owned(),
            incident_alert: "ms365:defender:incident:alerts".to_owned(),
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
    let envelope = Envelope { options, kind, tenant };
    match kind {
        RecordKind::GraphAlert
        | RecordKind::EndpointAlert
        | RecordKind::SiemDetection
        | RecordKind::HuntingRow => events.push_with(|buffer| {
            envelope.open(&options.sourcetypes.alert, time, buffer);
            push_line(buffer, record.body);
            buffer.push(b'}');
        }),
        RecordKind::GraphIncident | RecordKind::XdrIncident => {
            let mut alerts = Vec::new();
            events.push_with(|buffer| {
                envelope.open(&options.sourcetypes.incident, time, buffer);
                alerts = push_without_alerts(buffer, record.body)?;
                buffer.push(b'}');
                Ok(())
            })?;
            for alert in alerts {
                events.push_with(|buffer| {
                    envelope.open(&options.sourcetypes.incident_alert, alert.time, buffer);
                    push_line(buffer, alert.body);
                    buffer.push(b'}');
                });
            }
        }
    }
    Ok(())
}

/// What is the same for all events of a record.
struct Envelope<'a> {
    options: &'a SplunkOptions,
    kind: RecordKind,
    tenant: &'a TenantLabel,
}

impl Envelope<'_> {
    /// Appends all of the event object that comes before the event's own body.
    fn open(&self, sourcetype: &str, time: Option<Timestamp>, buffer: &mut Vec<u8>) {
        let Self { options, kind, tenant } = self;
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
        let mut id = [0; 36];
        buffer.extend_from_slice(tenant.id.as_uuid().as_hyphenated().encode_lower(&mut id).as_bytes());
        buffer.extend_from_slice(b"\",\"tenant_name\":");
        push_string(buffer, &tenant.name);
        buffer.extend_from_slice(b",\"tenant_slug\":");
        push_string(buffer, tenant.slug.as_str());
        buffer.extend_from_slice(b"},\"event\":");
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

fn push_string(buffer: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(buffer, text).expect("a string is JSON, and memory takes it");
}

/// Appends an incident without the alerts in it, and returns those.
///
/// `alerts` is a list of objects, or one object. What else may stand there stays in the incident, so that nothing
/// is lost; null goes.
fn push_without_alerts<'a>(buffer: &mut Vec<u8>, body: &'a str) -> Result<Vec<InnerAlert<'a>>, FormatError> {
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
    fn take(reader: &mut Reader<'a>) -> Result<Self, FormatError> {
        let (mut created_at, mut updated_at) = (Text::default(), Text::default());
        let body = reader.raw_with(|reader| {
            reader.object(|key, reader| {
                match key {
                    "createdDateTime" => created_at = reader.text()?,
                    "lastUpdateDateTime" => updated_at = reader.text()?,
                    _ => reader.skip()?,
                }
                Ok(())
            })
        })?;
        let time = created_at.as_written().parse().or_else(|_| updated_at.as_written().parse()).ok();
        Ok(Self { body, time })
    }
}

/// A text with places for `{{ tenant.slug }}`, `{{ tenant.id }}` and `{{ tenant.name }}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Slug,
    Id,
    Name,
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Nothing in it.
    #[error("it is empty")]
    Empty,
    /// `{{` without `}}`.
    #[error("`{{{{` has no `}}}}`")]
    Open,
    /// Not one of the placeholders.
    #[error("`{0}` is no placeholder: use tenant.slug, tenant.id or tenant.name")]
    Placeholder(String),
    /// Something that Splunk does not take in the name of an index.
    #[error(
        "`{0}` cannot be in the name of an index: lower-case letters, digits, `_` and `-`, the first one a letter or \
         digit, with tenant.slug or tenant.id"
    )]
    Index(String),
}

impl Template {
    fn expand(&self, tenant: &TenantLabel) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Slug => text.push_str(tenant.slug.as_str()),
                Piece::Id => text.push_str(&tenant.id.to_string()),
                Piece::Name => text.push_str(&tenant.name),
            }
        }
        text
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once("{{") {
            if !literal.is_empty() {
                pieces.push(Piece::Literal(literal.to_owned()));
            }
            let (name, after) = after.split_once("}}").ok_or(TemplateError::Open)?;
            pieces.push(match name.trim() {
                "tenant.slug" => Piece::Slug,
                "tenant.id" => Piece::Id,
                "tenant.name" => Piece::Name,
                other => return Err(TemplateError::Placeholder(other.to_owned())),
            });
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.to_owned()));
        }
        if pieces.is_empty() { Err(TemplateError::Empty) } else { Ok(Self(pieces)) }
    }
}

impl TryFrom<String> for Template {
    type Error = TemplateError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// A [`Template`] that always gives a name that Splunk takes for an index.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct IndexTemplate(Template);

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
