//! OTLP's messages, as far as logs need them.
//!
//! Source: `opentelemetry/proto/{collector/logs/v1/logs_service,logs/v1/logs,common/v1/common,resource/v1/resource}.proto` 1.10.

use bytes::Bytes;
use jiff::Timestamp;
use muster_model::{DeliveryBatch, Severity};
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::settings::OtlpSettings;
use crate::formats::Event;
use crate::sinks::record_ids;

/// The answer to a request.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ExportLogsServiceResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) partial_success: Option<ExportLogsPartialSuccess>,
}

/// What of a request was not taken.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ExportLogsPartialSuccess {
    #[prost(int64, tag = "1")]
    pub(super) rejected_log_records: i64,
    #[prost(string, tag = "2")]
    pub(super) error_message: String,
}

/// `google.rpc.Status`: why a request was refused.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Status {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    #[prost(string, tag = "2")]
    pub(super) message: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct LogRecord {
    #[prost(fixed64, tag = "1")]
    pub(super) time_unix_nano: u64,
    #[prost(int32, tag = "2")]
    pub(super) severity_number: i32,
    #[prost(string, tag = "3")]
    pub(super) severity_text: String,
    #[prost(message, optional, tag = "5")]
    pub(super) body: Option<AnyValue>,
    #[prost(message, repeated, tag = "6")]
    pub(super) attributes: Vec<KeyValue>,
    #[prost(fixed64, tag = "11")]
    pub(super) observed_time_unix_nano: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct KeyValue {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(message, optional, tag = "2")]
    pub(super) value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AnyValue {
    #[prost(oneof = "any_value::Value", tags = "1, 3")]
    pub(super) value: Option<any_value::Value>,
}

/// The kinds of value that are written.
pub(super) mod any_value {
    /// One of them.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(in super::super) enum Value {
        /// Text.
        #[prost(string, tag = "1")]
        String(String),
        /// A whole number.
        #[prost(int64, tag = "3")]
        Int(i64),
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct InstrumentationScope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(any_value::Value::String(value.into())) }),
    }
}

fn number(key: &str, value: usize) -> KeyValue {
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(any_value::Value::Int(value)) }) }
}

/// What the log records of a delivery batch have in common, and what each of its records is.
pub(super) struct LogRecords {
    /// `ResourceLogs.resource`, as a field.
    resource: Vec<u8>,
    /// `ScopeLogs.scope`, as a field.
    scope: Vec<u8>,
    /// By the record's number, all but the body.
    records: Vec<LogRecord>,
}

impl LogRecords {
    pub(super) fn of(batch: DeliveryBatch<'_>, settings: &OtlpSettings, now: Timestamp) -> Self {
        let tenant = batch.tenant;
        let mut attributes = vec![
            text("service.name", &*settings.service_name),
            text("muster.tenant.id", tenant.id.to_string()),
            text("muster.tenant.slug", tenant.slug.as_str()),
            text("muster.tenant.name", &*tenant.name),
        ];
        attributes.extend(settings.resource.iter().map(|(key, value)| text(key, value.expand(tenant))));
        let scope =
            InstrumentationScope { name: "muster".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
        let observed_time_unix_nano = nanoseconds(Some(now));
        let records = batch.records().map(|(source, record)| {
            let head = record.head;
            let (severity_number, severity_text) = severity(head.severity);
            let replay = record.replay.map(|replay| text("muster.replay_id", replay.to_string()));
            LogRecord {
                time_unix_nano: nanoseconds(head.created_at.or(head.updated_at)),
                severity_number,
                severity_text: severity_text.to_owned(),
                body: None,
                attributes: [
                    text("muster.record.id", &*head.id),
                    text("muster.record.version", record_ids::version(head)),
                    text("muster.tenant.id", tenant.id.to_string()),
                    text("muster.source", source.as_str()),
                    text("muster.format", settings.format.as_str()),
                ]
                .into_iter()
                .chain(replay)
                .collect(),
                observed_time_unix_nano,
            }
        });
        Self {
            records: records.collect(),
            resource: field(1, &Resource { attributes }.encode_to_vec()),
            scope: field(1, &scope.encode_to_vec()),
        }
    }

    /// Appends the log record of an event, as a field of `ScopeLogs`.
    pub(super) fn write(&self, event: &Event<'_>, buffer: &mut Vec<u8>) -> Result<(), String> {
        let mut record = self.records.get(event.envelope.record).cloned().unwrap_or_default();
        let body = std::str::from_utf8(event.bytes).map_err(|_| "the event is no text".to_owned())?;
        record.body = Some(AnyValue { value: Some(any_value::Value::String(body.to_owned())) });
        if event.envelope.parts > 1 {
            record.attributes.push(number("muster.part", event.envelope.part));
            record.attributes.push(number("muster.parts", event.envelope.parts));
        }
        encode_key(2, WireType::LengthDelimited, buffer);
        record.encode_length_delimited(buffer).map_err(|error| error.to_string())
    }

    /// A request with these log records, which are fields of `ScopeLogs` already.
    pub(super) fn request(&self, records: &[u8]) -> Bytes {
        // Each message is within the one before: their lengths are known without building them.
        let scope_logs = self.scope.len() + records.len();
        let head = heading(2, scope_logs);
        let resource_logs = self.resource.len() + head.len() + scope_logs;
        let mut request = heading(1, resource_logs);
        request.reserve(resource_logs);
        for part in [&self.resource[..], &head, &self.scope, records] {
            request.extend_from_slice(part);
        }
        request.into()
    }
}

/// What begins a field of this many bytes.
fn heading(tag: u32, length: usize) -> Vec<u8> {
    let mut heading = Vec::new();
    encode_key(tag, WireType::LengthDelimited, &mut heading);
    encode_varint(length as u64, &mut heading);
    heading
}

fn field(tag: u32, message: &[u8]) -> Vec<u8> {
    let mut field = heading(tag, message.len());
    field.extend_from_slice(message);
    field
}

/// Nanoseconds since 1970; 0 stands for no time.
fn nanoseconds(at: Option<Timestamp>) -> u64 {
    at.and_then(|at| u64::try_from(at.as_nanosecond()).ok()).unwrap_or_default()
}

/// OpenTelemetry's number for a severity, and Microsoft's word.
fn severity(severity: Severity) -> (i32, &'static str) {
    let number = match severity {
        Severity::Unknown => 0,
        Severity::Informational => 9,
        Severity::Low => 13,
        Severity::Medium => 17,
        Severity::High => 21,
    };
    (number, severity.as_str())
}

/// What stands in a request, read again.
#[cfg(test)]
pub(super) mod reading {
    use super::{InstrumentationScope, LogRecord, Resource};

    #[derive(Clone, PartialEq, prost::Message)]
    pub(in super::super) struct ExportLogsServiceRequest {
        #[prost(message, repeated, tag = "1")]
        pub(in super::super) resource_logs: Vec<ResourceLogs>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(in super::super) struct ResourceLogs {
        #[prost(message, optional, tag = "1")]
        resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        pub(in super::super) scope_logs: Vec<ScopeLogs>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(in super::super) struct ScopeLogs {
        #[prost(message, optional, tag = "1")]
        scope: Option<InstrumentationScope>,
        #[prost(message, repeated, tag = "2")]
        pub(in super::super) log_records: Vec<LogRecord>,
    }
}
