//! Microsoft's own record inside an ECS document, in the names of Elastic's integrations: for Graph and hunting rows
//! in snake case, some fields in objects of their own; for the older APIs as Microsoft writes them. Null, empty lists
//! and empty objects are left out, as those integrations do. Elasticsearch refuses a whole document for one value that
//! is not of the type its index has for the name: what could be such a value gets another name.

use super::document::time_text;
use super::hunting::read_inner;
use super::url::Parts;
use crate::formats::RecordKind;
use crate::formats::json::Text;
use crate::formats::names::Names;
use crate::formats::quote::{push_string, push_text, push_written};
use crate::formats::tape::{Kind, Tape, Value};
use crate::formats::view::{Alert, HuntingRow, Incident};

/// Appends the field that holds an alert that is a record of its own.
pub(super) fn push_alert(kind: RecordKind, alert: &Alert<'_>, buffer: &mut Vec<u8>) {
    match kind {
        RecordKind::EndpointAlert => {
            buffer.extend_from_slice(br#","microsoft":{"defender_endpoint":"#);
            push_as_written(alert.fields, buffer);
            buffer.push(b'}');
        }
        RecordKind::SiemDetection => {
            buffer.extend_from_slice(br#","microsoft":{"defender_siem":"#);
            push_snake(alert.fields, Place::Other, buffer);
            buffer.push(b'}');
        }
        _ => {
            buffer.extend_from_slice(br#","m365_defender":{"alert":"#);
            push_snake(alert.fields, Place::Alert, buffer);
            buffer.push(b'}');
        }
    }
}

/// Appends the field that holds an incident and one of its alerts.
pub(super) fn push_incident(
    kind: RecordKind,
    incident: &Incident<'_>,
    alert: Option<&Alert<'_>>,
    buffer: &mut Vec<u8>,
) {
    buffer.extend_from_slice(br#","m365_defender":{"#);
    let mut first = true;
    if kind == RecordKind::XdrIncident {
        for (key, value) in incident.fields.fields() {
            if key != "alerts" && value.is_worth() {
                push_key(key, &mut first, buffer);
                push_as_written(value, buffer);
            }
        }
        if let Some(alert) = alert {
            push_key("alerts", &mut first, buffer);
            push_as_written(alert.fields, buffer);
        }
        buffer.push(b'}');
        return;
    }
    buffer.extend_from_slice(br#""incident":{"#);
    push_fields(incident.fields, Place::Incident, &mut first, buffer);
    if let Some(alert) = alert {
        push_key("alert", &mut first, buffer);
        push_snake(alert.fields, Place::IncidentAlert, buffer);
    }
    buffer.extend_from_slice(b"}}");
}

/// A column in an object: its name as Microsoft writes it and in the object, and its value.
type Member<'v> = (&'v str, Name<'v>, Value<'v>);

/// Appends the field that holds a hunting row, and what its envelope says.
pub(super) fn push_row(row: &HuntingRow<'_>, tape: &Tape<'_>, buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(br#","m365_defender":{"event":{"#);
    let mut first = true;
    let envelope = tape.root();
    if envelope.get("properties").is_object() {
        for (key, name) in [("category", "category"), ("operationName", "operation_name"), ("time", "time")] {
            if envelope.get(key).is_worth() {
                push_key(name, &mut first, buffer);
                push_as_written(envelope.get(key), buffer);
            }
        }
        let (id, name) = (envelope.get("tenantId"), envelope.get("Tenant"));
        if id.is_worth() || name.is_worth() {
            push_key("tenant", &mut first, buffer);
            push_group(&[("id", id), ("name", name)], buffer);
        }
    }
    let mut groups: Vec<(&str, Vec<Member<'_>>)> = Vec::new();
    for (column, value) in row.fields.fields() {
        if !value.is_worth() {
            continue;
        }
        let (group, name) = column_name(column);
        if group.is_empty() {
            push_column(column, name, value, &mut first, buffer);
        } else if let Some((_, members)) = groups.iter_mut().find(|(known, _)| *known == group) {
            members.push((column, name, value));
        } else {
            groups.push((group, vec![(column, name, value)]));
        }
    }
    for (group, members) in groups {
        push_key(group, &mut first, buffer);
        let mut inside = true;
        buffer.push(b'{');
        for (column, name, value) in members {
            push_column(column, name, value, &mut inside, buffer);
        }
        buffer.push(b'}');
    }
    buffer.extend_from_slice(b"}}");
}

/// What Elastic's index takes for a column, where that is more than a keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Plain,
    Address,
    Flag,
    Time,
    /// An object whose fields are not indexed one by one.
    Flattened,
}

impl Column {
    fn of(column: &str) -> Self {
        match column {
            "DestinationIPAddress"
            | "FileOriginIP"
            | "IPAddress"
            | "IPv4Dhcp"
            | "IPv6Dhcp"
            | "LocalIP"
            | "PublicIP"
            | "RemoteIP"
            | "RequestSourceIP"
            | "SenderIPv4"
            | "SenderIPv6" => Self::Address,
            "ActivityObjects" | "AdditionalFields" | "ConfidenceLevel" | "ConnectedNetworks"
            | "DetectionMethods" | "IPAddresses" | "RawEventData" => Self::Flattened,
            "Timestamp" => Self::Time,
            _ if column.ends_with("Time") => Self::Time,
            _ if column.strip_prefix("Is").is_some_and(|rest| rest.starts_with(char::is_uppercase)) => {
                Self::Flag
            }
            _ => Self::Plain,
        }
    }
}

/// Appends the key and value of a column. A value that the index would refuse, and the whole document with it, goes
/// under a name that ends in `_text`.
fn push_column(column: &str, name: Name<'_>, value: Value<'_>, first: &mut bool, buffer: &mut Vec<u8>) {
    let text = value.text();
    let written = text.as_written();
    let holds = Column::of(column);
    let fits = match holds {
        Column::Address => written.parse::<std::net::IpAddr>().is_ok(),
        Column::Time => time_text(text).is_some(),
        Column::Flag => matches!(written, "true" | "True" | "1" | "false" | "False" | "0"),
        Column::Flattened | Column::Plain => true,
    };
    push_name(name, if fits { "" } else { "_text" }, first, buffer);
    match holds {
        Column::Time if fits => push_string(buffer, &time_text(text).unwrap_or_default()),
        Column::Flag if fits => {
            let flag: &[u8] = if matches!(written, "true" | "True" | "1") { b"true" } else { b"false" };
            buffer.extend_from_slice(flag);
        }
        Column::Flattened => {
            let decoded = text.decoded();
            let inner = if value.kind() == Some(Kind::String) { read_inner(&decoded) } else { None };
            let value = inner.as_ref().map_or(value, Tape::root);
            if value.is_object() || value.items().all(Value::is_object) {
                push_as_written(value, buffer);
            } else {
                buffer.extend_from_slice(br#"{"value":"#);
                push_as_written(value, buffer);
                buffer.push(b'}');
            }
        }
        _ => push_column_value(value, buffer),
    }
}

/// The value of a column: what is an object or a list of objects becomes its JSON as a string, so that the hundreds
/// of names in it do not become fields of the index.
fn push_column_value(value: Value<'_>, buffer: &mut Vec<u8>) {
    match value.kind() {
        Some(Kind::Object) => push_string(buffer, value.raw()),
        Some(Kind::Array) if value.items().any(Value::is_object) => push_string(buffer, value.raw()),
        _ => push_as_written(value, buffer),
    }
}

/// The beginnings of columns that Elastic's integration gathers in an object, and that object's name. The longest
/// that fits comes first. A column of just that name is `value` in the object.
const GROUPS: [(&str, &str); 23] = [
    ("InitiatingProcess", "initiating_process"),
    ("Account", "account"),
    ("Action", "action"),
    ("Activity", "activity"),
    ("Certificate", "certificate"),
    ("Delivery", "delivery"),
    ("Destination", "destination"),
    ("Email", "email"),
    ("File", "file"),
    ("Local", "local"),
    ("Logon", "logon"),
    ("Object", "object"),
    ("OS", "os"),
    ("Previous", "previous"),
    ("Process", "process"),
    ("Query", "query"),
    ("Recipient", "recipient"),
    ("Registry", "registry"),
    ("Remote", "remote"),
    ("Request", "request"),
    ("Sender", "sender"),
    ("Target", "target"),
    ("Threat", "threat"),
];

/// Columns that go elsewhere than the rules say.
const COLUMNS: [(&str, &str, &str); 17] = [
    ("ActionType", "action", "type"),
    ("AlertId", "alert", "id"),
    ("Category", "alert", "category"),
    ("DetectionSource", "detection", "source"),
    ("DeviceId", "device", "id"),
    ("DeviceName", "device", "name"),
    ("DeviceType", "device", "type"),
    ("DeviceCategory", "device", "category"),
    ("EvidenceRole", "evidence", "role"),
    ("FileOriginIP", "file", "origin_ip"),
    ("NetworkMessageId", "network", "message_id"),
    ("NetworkAdapterName", "network", "adapter_name"),
    ("NetworkAdapterStatus", "network", "adapter_status"),
    ("NetworkAdapterType", "network", "adapter_type"),
    ("NetworkAdapterVendor", "network", "adapter_vendor"),
    ("PublicIP", "public_ip", "value"),
    ("ObjectId", "", "object_id"),
];

/// The object and the name in it of a column; no object for one that stands alone.
fn column_name(column: &str) -> (&'static str, Name<'_>) {
    if let Some((_, group, name)) = COLUMNS.iter().find(|(known, _, _)| *known == column) {
        return (group, Name::Fixed(name));
    }
    for (start, group) in GROUPS {
        match column.strip_prefix(start) {
            Some("") => return (group, Name::Fixed("value")),
            Some(rest) if rest.starts_with(|letter: char| letter.is_ascii_uppercase()) => {
                return (group, Name::Snake(rest));
            }
            _ => {}
        }
    }
    ("", Name::Snake(column))
}

/// Where an object stands: names depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Alert,
    Incident,
    IncidentAlert,
    Comment,
    Evidence,
    File,
    Other,
}

impl Place {
    /// The place of a value in it whose name says nothing.
    fn below(self) -> Self {
        // Evidence inside evidence has the same names.
        if self == Self::Evidence { Self::Evidence } else { Self::Other }
    }
}

/// Appends a value with names in snake case.
fn push_snake(value: Value<'_>, place: Place, buffer: &mut Vec<u8>) {
    match value.kind() {
        Some(Kind::Object) => {
            buffer.push(b'{');
            push_fields(value, place, &mut true, buffer);
            buffer.push(b'}');
        }
        Some(Kind::Array) => {
            buffer.push(b'[');
            let mut first = true;
            for item in value.items().filter(|item| item.is_worth()) {
                comma(&mut first, buffer);
                push_snake(item, place, buffer);
            }
            buffer.push(b']');
        }
        _ => push_leaf(value, buffer),
    }
}

/// What of the evidence of a Graph alert Elastic's integration gathers in objects.
const EVIDENCE_GROUPS: [(&str, &[(&str, &str)]); 3] = [
    ("rbac_group", &[("rbacGroupId", "id"), ("rbacGroupName", "name")]),
    (
        "process",
        &[
            ("processCommandLine", "command_line"),
            ("processCreationDateTime", "creation_datetime"),
            ("processId", "id"),
        ],
    ),
    (
        "parent_process",
        &[
            ("parentProcessCreationDateTime", "creation_datetime"),
            ("parentProcessId", "id"),
            ("parentProcessImageFile", "image_file"),
        ],
    ),
];

/// The fields of Graph records that anything but the rule of names applies to: see [`EVIDENCE_GROUPS`],
/// [`address_name`], [`is_as_indexed`], [`inside`] and [`name`].
const UNUSUAL: [&str; 27] = [
    "alertWebUrl",
    "alerts",
    "antiSpamDirection",
    "comment",
    "comments",
    "evidence",
    "fileDetails",
    "fileName",
    "filePath",
    "filePublisher",
    "fileSize",
    "imageFile",
    "incidentWebUrl",
    "ipAddress",
    "location",
    "parentProcessCreationDateTime",
    "parentProcessId",
    "parentProcessImageFile",
    "processCommandLine",
    "processCreationDateTime",
    "processId",
    "rbacGroupId",
    "rbacGroupName",
    "registry",
    "senderIP",
    "senderIp",
    "urls",
];
static UNUSUAL_NAMES: Names<128> = Names::of(&UNUSUAL);

fn push_fields(object: Value<'_>, place: Place, first: &mut bool, buffer: &mut Vec<u8>) {
    let gathered = |key: &str| {
        place == Place::Evidence
            && EVIDENCE_GROUPS.iter().any(|(_, members)| members.iter().any(|(member, _)| *member == key))
    };
    for (key, value) in object.fields() {
        if !value.is_worth() {
            continue;
        }
        if UNUSUAL_NAMES.find(&UNUSUAL, key, value.key_hash()).is_none() {
            push_name(Name::Snake(key), "", first, buffer);
            push_snake(value, place.below(), buffer);
            continue;
        }
        if gathered(key) || place == Place::Incident && key == "alerts" {
            continue;
        }
        if let Some(name) = address_name(key, place) {
            push_key(name, first, buffer);
            push_address(value.text(), buffer);
            continue;
        }
        let odd = place == Place::Evidence && !is_as_indexed(key, value);
        push_name(name(key, place), if odd { "_details" } else { "" }, first, buffer);
        push_snake(value, inside(key, place), buffer);
    }
    if place != Place::Evidence {
        return;
    }
    for (group, members) in EVIDENCE_GROUPS {
        let told = members.iter().map(|(key, name)| (*name, object.get(key)));
        let told: Vec<_> = told.filter(|(_, value)| value.is_worth()).collect();
        if told.is_empty() {
            continue;
        }
        push_key(group, first, buffer);
        buffer.push(b'{');
        let mut inside_first = true;
        for (name, value) in told {
            push_key(name, &mut inside_first, buffer);
            push_snake(value, Place::File, buffer);
        }
        buffer.push(b'}');
    }
}

/// Whether a value of evidence is of the type that the index has for its name. Types of evidence share some names
/// that are a text in one and an object in another; and an address must be one.
fn is_as_indexed(key: &str, value: Value<'_>) -> bool {
    let objects = value.is_object() || value.items().any(Value::is_object);
    match key {
        "ipAddress" | "senderIp" | "senderIP" => {
            !objects && value.text().as_written().parse::<std::net::IpAddr>().is_ok()
        }
        "urls" | "registry" => !objects,
        "location" => objects,
        _ => true,
    }
}

/// The place that the value of `key` is.
fn inside(key: &str, place: Place) -> Place {
    match (key, place) {
        ("comments", _) => Place::Comment,
        ("evidence", _) => Place::Evidence,
        ("imageFile" | "fileDetails" | "parentProcessImageFile", _) => Place::File,
        _ => place.below(),
    }
}

/// The name of an address of the portal, which Elastic's integration takes apart; `None` for any other field.
fn address_name(key: &str, place: Place) -> Option<&'static str> {
    match (key, place) {
        ("alertWebUrl", Place::Alert) | ("incidentWebUrl", Place::Incident) => Some("web_url"),
        ("alertWebUrl", Place::IncidentAlert) => Some("alert_web_url"),
        ("incidentWebUrl", Place::Alert | Place::IncidentAlert) => Some("incident_web_url"),
        _ => None,
    }
}

fn push_address(text: Text<'_>, buffer: &mut Vec<u8>) {
    let decoded = text.decoded();
    buffer.extend_from_slice(br#"{"original":"#);
    push_text(buffer, text);
    if let Some(parts) = Parts::of(&decoded) {
        for (name, part) in
            [("domain", parts.host), ("path", parts.path), ("query", parts.query), ("scheme", parts.scheme)]
        {
            if !part.is_empty() {
                push_key(name, &mut false, buffer);
                push_string(buffer, part);
            }
        }
    }
    buffer.push(b'}');
}

/// A field's name in the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name<'n> {
    Fixed(&'static str),
    /// Microsoft's name, to be written in snake case.
    Snake(&'n str),
}

/// A name as Elastic's integration has it.
fn name(key: &str, place: Place) -> Name<'_> {
    match (key, place) {
        ("antiSpamDirection", _) => Name::Fixed("antispam_direction"),
        ("comment", Place::Comment) => Name::Fixed("message"),
        ("fileName", Place::File) => Name::Fixed("name"),
        ("filePath", Place::File) => Name::Fixed("path"),
        ("filePublisher", Place::File) => Name::Fixed("publisher"),
        ("fileSize", Place::File) => Name::Fixed("size"),
        _ => Name::Snake(key),
    }
}

/// Appends a name with `suffix` as a key, and its colon.
fn push_name(name: Name<'_>, suffix: &str, first: &mut bool, buffer: &mut Vec<u8>) {
    comma(first, buffer);
    buffer.push(b'"');
    match name {
        Name::Fixed(name) => buffer.extend_from_slice(name.as_bytes()),
        Name::Snake(key) => push_snake_case(key, buffer),
    }
    buffer.extend_from_slice(suffix.as_bytes());
    buffer.extend_from_slice(b"\":");
}

/// `createdDateTime` becomes `created_datetime`, `@odata.type` `odata_type`. Nothing is left that JSON would have to
/// escape, and no dot, which would open an object in Elasticsearch.
fn push_snake_case(key: &str, buffer: &mut Vec<u8>) {
    let letters = key.trim_start_matches('@').as_bytes();
    // What stands between these two is copied as it is.
    let mut start = 0;
    for (at, letter) in letters.iter().enumerate() {
        if matches!(letter, b'a'..=b'z' | b'0'..=b'9' | 0x80..) {
            continue;
        }
        buffer.extend_from_slice(&letters[start..at]);
        start = at + 1;
        let (before, rest) = letters.split_at(at);
        match letter {
            b'A'..=b'Z' => {
                let lower_next = rest.get(1).is_some_and(u8::is_ascii_lowercase);
                let new_word = match before.last() {
                    Some(b'a'..=b'z' | b'0'..=b'9') => true,
                    Some(b'A'..=b'Z') => lower_next,
                    _ => false,
                };
                // Words that Microsoft writes with capitals inside.
                let inside = match letter {
                    b'T' => {
                        before.ends_with(b"Date") && rest.starts_with(b"Time")
                            || before.ends_with(b"io")
                            || before.ends_with(b"Io")
                    }
                    b'A' => before.ends_with(b"O") && rest.starts_with(b"Auth"),
                    b'P' => before.ends_with(b"I") && rest.starts_with(b"Pv"),
                    _ => false,
                };
                if new_word && !inside {
                    buffer.push(b'_');
                }
                buffer.push(letter.to_ascii_lowercase());
            }
            _ if at > 0 && buffer.last() != Some(&b'_') => buffer.push(b'_'),
            _ => {}
        }
    }
    buffer.extend_from_slice(&letters[start..]);
}

/// Appends a value with Microsoft's names, without what is nothing.
fn push_as_written(value: Value<'_>, buffer: &mut Vec<u8>) {
    match value.kind() {
        Some(Kind::Object) => {
            buffer.push(b'{');
            let mut first = true;
            for (key, value) in value.fields().filter(|(_, value)| value.is_worth()) {
                push_key(key, &mut first, buffer);
                push_as_written(value, buffer);
            }
            buffer.push(b'}');
        }
        Some(Kind::Array) => {
            buffer.push(b'[');
            let mut first = true;
            for item in value.items().filter(|item| item.is_worth()) {
                comma(&mut first, buffer);
                push_as_written(item, buffer);
            }
            buffer.push(b']');
        }
        _ => push_leaf(value, buffer),
    }
}

fn push_group(members: &[(&str, Value<'_>)], buffer: &mut Vec<u8>) {
    buffer.push(b'{');
    let mut first = true;
    for (name, value) in members.iter().filter(|(_, value)| value.is_worth()) {
        push_key(name, &mut first, buffer);
        push_as_written(*value, buffer);
    }
    buffer.push(b'}');
}

fn push_leaf(value: Value<'_>, buffer: &mut Vec<u8>) {
    match value.kind() {
        Some(Kind::String) if value.is_clean() => push_written(buffer, value.raw()),
        Some(Kind::String) => push_text(buffer, value.text()),
        // A number that no receiver can hold stays readable as a string.
        Some(Kind::Number) if !is_finite(value.raw()) => push_text(buffer, value.text()),
        Some(Kind::Number | Kind::Boolean) => buffer.extend_from_slice(value.raw().as_bytes()),
        _ => buffer.extend_from_slice(b"null"),
    }
}

/// Whether a number is not too great for a floating point number.
fn is_finite(number: &str) -> bool {
    let plain = number.len() < 20 && number.bytes().all(|byte| byte.is_ascii_digit());
    plain || number.parse::<f64>().is_ok_and(f64::is_finite)
}

/// Appends a key and its colon. A key with a dot would open an object in Elasticsearch.
fn push_key(key: &str, first: &mut bool, buffer: &mut Vec<u8>) {
    comma(first, buffer);
    if key.contains('.') {
        push_text(buffer, Text::as_in_json(&key.replace('.', "_")));
    } else {
        push_text(buffer, Text::as_in_json(key));
    }
    buffer.push(b':');
}

fn comma(first: &mut bool, buffer: &mut Vec<u8>) {
    if !*first {
        buffer.push(b',');
    }
    *first = false;
}

#[cfg(test)]
mod tests {
    use super::{Name, column_name, push_name};

    fn written(name: Name<'_>) -> String {
        let mut buffer = Vec::new();
        push_name(name, "", &mut true, &mut buffer);
        String::from_utf8(buffer).expect("text").trim_matches(['"', ':']).to_owned()
    }

    #[test]
    fn names_are_those_of_the_integrations() {
        for (key, name) in [
            ("createdDateTime", "created_datetime"),
            ("@odata.type", "odata_type"),
            ("azureAdDeviceId", "azure_ad_device_id"),
            ("clusterIP", "cluster_ip"),
            ("senderIP", "sender_ip"),
            ("ioTHub", "iot_hub"),
            ("sha256Ac", "sha256_ac"),
            ("p1Sender", "p1_sender"),
            ("Source Mac", "source_mac"),
            ("OAuthAppId", "oauth_app_id"),
            ("a\"b\\u0041.c", "a_b_u0041_c"),
        ] {
            assert_eq!(written(Name::Snake(key)), name);
        }
        for (column, group, name) in [
            ("InitiatingProcessAccountName", "initiating_process", "account_name"),
            ("InitiatingProcessSHA1", "initiating_process", "sha1"),
            ("DeviceManualTags", "", "device_manual_tags"),
            ("DeviceId", "device", "id"),
            ("OSPlatform", "os", "platform"),
            ("Query", "query", "value"),
            ("Action", "action", "value"),
            ("ActionType", "action", "type"),
            ("LocalIPType", "local", "ip_type"),
            ("IPv4Dhcp", "", "ipv4_dhcp"),
            ("ReportId", "", "report_id"),
            ("FolderPath", "", "folder_path"),
        ] {
            let (found, short) = column_name(column);
            assert_eq!((found, written(short).as_str()), (group, name), "{column}");
        }
    }
}
