//! Microsoft's own record inside an ECS document, in the names of Elastic's integrations: for Graph and hunting rows
//! in snake case, some fields in objects of their own; for the older APIs as Microsoft writes them. Null, empty lists
//! and empty objects are left out, as those integrations do. Elasticsearch refuses a whole document for one value that
//! is not of the type its index has for the name: what could be such a value gets another name.

use muster_model::RecordKind;
use muster_model::json::Text;
use muster_model::json::names::{Names, hash, hash_of};
use muster_model::json::{Kind, Tape, Value};
use std::cell::Cell;
use std::collections::HashMap;
use std::ops::Range;

use super::document::time_text;
use super::url::Parts;
use crate::formats::view::tables;
use crate::formats::view::{Alert, HuntingRow, Incident, read_inner};
use crate::formats::writing::quote::{push_string, push_text, push_written};

/// Appends the field that holds an alert that is a record of its own.
pub(super) fn push_alert(kind: RecordKind, alert: &Alert<'_>, buffer: &mut Vec<u8>) {
    let (field, place) = match kind {
        RecordKind::EndpointAlert => (&br#","microsoft":{"defender_endpoint":"#[..], None),
        RecordKind::SiemDetection => (&br#","microsoft":{"defender_siem":"#[..], Some(Branch::Other)),
        _ => (&br#","m365_defender":{"alert":"#[..], Some(Branch::Alert)),
    };
    buffer.extend_from_slice(field);
    VendorWriter::with(buffer, |writer| match place {
        Some(place) => writer.snake(alert.fields, place),
        None => writer.as_written(alert.fields),
    });
    buffer.push(b'}');
}

/// Appends the field that holds an incident and one of its alerts.
pub(super) fn push_incident(
    kind: RecordKind,
    incident: &Incident<'_>,
    alert: Option<&Alert<'_>>,
    buffer: &mut Vec<u8>,
) {
    if kind == RecordKind::XdrIncident {
        buffer.extend_from_slice(br#","m365_defender":"#);
        VendorWriter::with(buffer, |writer| {
            writer.object(|writer| {
                for (key, value) in incident.fields.fields() {
                    if key != "alerts" && value.has_content() {
                        writer.key(Name::Own(key), "");
                        writer.as_written(value);
                    }
                }
                if let Some(alert) = alert {
                    writer.key(Name::Fixed("alerts"), "");
                    writer.as_written(alert.fields);
                }
            });
        });
        return;
    }
    buffer.extend_from_slice(br#","m365_defender":{"incident":"#);
    VendorWriter::with(buffer, |writer| {
        writer.object(|writer| {
            writer.fields(incident.fields, Branch::Incident);
            if let Some(alert) = alert {
                writer.key(Name::Fixed("alert"), "");
                writer.snake(alert.fields, Branch::IncidentAlert);
            }
        });
    });
    buffer.push(b'}');
}

/// A column in an object: its name as Microsoft writes it and in the object, and its value.
type Member<'v> = (&'v str, Name<'v>, Value<'v>);

/// Appends the field that holds a hunting row, and what its envelope says.
pub(super) fn push_row(row: &HuntingRow<'_>, tape: &Tape<'_>, buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(br#","m365_defender":{"event":"#);
    VendorWriter::with(buffer, |writer| writer.object(|writer| writer.row(row, tape.root())));
    buffer.push(b'}');
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
enum Branch {
    Alert,
    Incident,
    IncidentAlert,
    Comment,
    Evidence,
    File,
    Other,
}

impl Branch {
    /// The place of a value in it whose name says nothing.
    fn below(self) -> Self {
        // Evidence inside evidence has the same names.
        if self == Self::Evidence { Self::Evidence } else { Self::Other }
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
fn inside(key: &str, place: Branch) -> Branch {
    match (key, place) {
        ("comments", _) => Branch::Comment,
        ("evidence", _) => Branch::Evidence,
        ("imageFile" | "fileDetails" | "parentProcessImageFile", _) => Branch::File,
        _ => place.below(),
    }
}

/// The name of an address of the portal, which Elastic's integration takes apart; `None` for any other field.
fn address_name(key: &str, place: Branch) -> Option<&'static str> {
    match (key, place) {
        ("alertWebUrl", Branch::Alert) | ("incidentWebUrl", Branch::Incident) => Some("web_url"),
        ("alertWebUrl", Branch::IncidentAlert) => Some("alert_web_url"),
        ("incidentWebUrl", Branch::Alert | Branch::IncidentAlert) => Some("incident_web_url"),
        _ => None,
    }
}

/// A field's name in the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name<'n> {
    Fixed(&'static str),
    /// Microsoft's name, to be written in snake case.
    Snake(&'n str),
    /// Microsoft's name.
    Own(&'n str),
}

/// A name as Elastic's integration has it.
fn name(key: &str, place: Branch) -> Name<'_> {
    match (key, place) {
        ("antiSpamDirection", _) => Name::Fixed("antispam_direction"),
        ("comment", Branch::Comment) => Name::Fixed("message"),
        ("fileName", Branch::File) => Name::Fixed("name"),
        ("filePath", Branch::File) => Name::Fixed("path"),
        ("filePublisher", Branch::File) => Name::Fixed("publisher"),
        ("fileSize", Branch::File) => Name::Fixed("size"),
        _ => Name::Snake(key),
    }
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

/// Writes Microsoft's record.
struct VendorWriter<'b> {
    buffer: &'b mut Vec<u8>,
    /// The names that stand in the objects that are open: their hashes, and where they are in the buffer. Those of the
    /// innermost object are the last.
    names: Vec<(u32, Range<usize>)>,
    /// Where those of the innermost object begin.
    own: usize,
    /// The names of the innermost object once more, where walking over them would take too long.
    many: Option<ManyNames>,
    snake: SnakeNames,
}

/// Names, and the last number that was put behind each.
type ManyNames = HashMap<Box<[u8]>, u32>;

/// Up to how many names of an object are walked over, which beats hashing. More of them, and names that come twice,
/// an attacker can cause.
const WALKED_MAX: usize = 128;

impl<'b> VendorWriter<'b> {
    /// Appends what `write` writes.
    fn with(buffer: &'b mut Vec<u8>, write: impl FnOnce(&mut Self)) {
        let names = Vec::with_capacity(64);
        let mut writer = Self { buffer, names, own: 0, many: None, snake: SNAKE_NAMES.take() };
        write(&mut writer);
        SNAKE_NAMES.set(writer.snake);
    }

    /// An object: all that `fields` writes.
    fn object(&mut self, fields: impl FnOnce(&mut Self)) {
        self.buffer.push(b'{');
        let outer = (std::mem::replace(&mut self.own, self.names.len()), self.many.take());
        fields(self);
        self.names.truncate(self.own);
        (self.own, self.many) = outer;
        self.buffer.push(b'}');
    }

    /// A list of what is something.
    fn list(&mut self, list: Value<'_>, mut write: impl FnMut(&mut Self, Value<'_>)) {
        self.buffer.push(b'[');
        let mut first = true;
        for item in list.items().filter(|item| item.has_content()) {
            if !std::mem::replace(&mut first, false) {
                self.buffer.push(b',');
            }
            write(self, item);
        }
        self.buffer.push(b']');
    }

    /// A name with `suffix` as a key, and its colon. Two of Microsoft's names may become one, such as `Title` and
    /// `title` in a hunting row: Elasticsearch refuses a document with a name twice, so the second gets a number.
    fn key(&mut self, name: Name<'_>, suffix: &str) {
        self.buffer.extend_from_slice(if self.names.len() > self.own { b",\"" } else { b"\"" });
        let start = self.buffer.len();
        let mut known = match name {
            Name::Fixed(name) => {
                self.buffer.extend_from_slice(name.as_bytes());
                hash(name)
            }
            Name::Snake(key) => self.snake.push(key, self.buffer),
            Name::Own(key) => {
                push_own(key, self.buffer);
                hash_of(self.buffer, start, self.buffer.len())
            }
        };
        // Elasticsearch refuses a name in which there is nothing to see.
        let suffix = if self.buffer[start..].trim_ascii().is_empty() { "_" } else { suffix };
        if !suffix.is_empty() {
            self.buffer.extend_from_slice(suffix.as_bytes());
            known = hash_of(self.buffer, start, self.buffer.len());
        }
        if self.many.is_none() && (self.names.len() - self.own >= WALKED_MAX || self.has_name(known, start)) {
            let names = self.names[self.own..].iter();
            self.many = Some(names.map(|(_, place)| (self.buffer[place.clone()].into(), 1)).collect());
        }
        if let Some(many) = &mut self.many {
            number_name(many, self.buffer, start);
        }
        self.names.push((known, start..self.buffer.len()));
        self.buffer.extend_from_slice(b"\":");
    }

    /// Whether the innermost object has the name that stands in the buffer from `start` on.
    fn has_name(&self, hash: u32, start: usize) -> bool {
        let same = |place: &Range<usize>| self.buffer.get(place.clone()) == self.buffer.get(start..);
        self.names[self.own..].iter().any(|(known, place)| *known == hash && same(place))
    }

    /// A value with names in snake case.
    fn snake(&mut self, value: Value<'_>, place: Branch) {
        match value.kind() {
            Some(Kind::Object) => self.object(|writer| writer.fields(value, place)),
            Some(Kind::Array) => self.list(value, |writer, item| writer.snake(item, place)),
            _ => push_leaf(value, self.buffer),
        }
    }

    /// The fields of an object, with names in snake case.
    fn fields(&mut self, object: Value<'_>, place: Branch) {
        let gathered = |key: &str| {
            place == Branch::Evidence
                && EVIDENCE_GROUPS.iter().any(|(_, members)| members.iter().any(|(member, _)| *member == key))
        };
        for (key, value) in object.fields() {
            if !value.has_content() {
                continue;
            }
            if UNUSUAL_NAMES.find(&UNUSUAL, key, value.key_hash()).is_none() {
                self.key(Name::Snake(key), "");
                self.snake(value, place.below());
                continue;
            }
            if gathered(key) || place == Branch::Incident && key == "alerts" {
                continue;
            }
            if let Some(name) = address_name(key, place) {
                self.key(Name::Fixed(name), "");
                self.address(value.text());
                continue;
            }
            let odd = place == Branch::Evidence && !is_as_indexed(key, value);
            self.key(name(key, place), if odd { "_details" } else { "" });
            self.snake(value, inside(key, place));
        }
        if place != Branch::Evidence {
            return;
        }
        for (group, members) in EVIDENCE_GROUPS {
            let present = || {
                let values = members.iter().map(|(key, name)| (*name, object.get(key)));
                values.filter(|(_, value)| value.has_content())
            };
            if present().next().is_none() {
                continue;
            }
            self.key(Name::Fixed(group), "");
            self.object(|writer| {
                for (name, value) in present() {
                    writer.key(Name::Fixed(name), "");
                    writer.snake(value, Branch::File);
                }
            });
        }
    }

    /// An address of the portal, and its parts.
    fn address(&mut self, text: Text<'_>) {
        let decoded = text.decoded();
        self.object(|writer| {
            writer.key(Name::Fixed("original"), "");
            push_text(writer.buffer, text);
            let Some(parts) = Parts::of(&decoded) else { return };
            for (name, part) in [
                ("domain", parts.host),
                ("path", parts.path),
                ("query", parts.query),
                ("scheme", parts.scheme),
            ] {
                if !part.is_empty() {
                    writer.key(Name::Fixed(name), "");
                    push_string(writer.buffer, part);
                }
            }
        });
    }

    /// A value with Microsoft's names, without what is nothing.
    fn as_written(&mut self, value: Value<'_>) {
        match value.kind() {
            Some(Kind::Object) => self.object(|writer| {
                for (key, value) in value.fields().filter(|(_, value)| value.has_content()) {
                    writer.key(Name::Own(key), "");
                    writer.as_written(value);
                }
            }),
            Some(Kind::Array) => self.list(value, Self::as_written),
            _ => push_leaf(value, self.buffer),
        }
    }

    /// A hunting row and what its envelope says.
    fn row(&mut self, row: &HuntingRow<'_>, envelope: Value<'_>) {
        if envelope.get("properties").is_object() {
            for (key, name) in
                [("category", "category"), ("operationName", "operation_name"), ("time", "time")]
            {
                let value = envelope.get(key);
                if value.has_content() {
                    self.key(Name::Fixed(name), "");
                    self.as_written(value);
                }
            }
            let tenant = [("id", envelope.get("tenantId")), ("name", envelope.get("Tenant"))];
            if tenant.iter().any(|(_, value)| value.has_content()) {
                self.key(Name::Fixed("tenant"), "");
                self.object(|writer| {
                    for (name, value) in tenant.into_iter().filter(|(_, value)| value.has_content()) {
                        writer.key(Name::Fixed(name), "");
                        writer.as_written(value);
                    }
                });
            }
        }
        let mut groups: Vec<(&'static str, Vec<Member<'_>>)> = Vec::new();
        for (column, value) in row.fields.fields() {
            if !value.has_content() {
                continue;
            }
            let (group, name) = column_name(column);
            if group.is_empty() {
                self.column(column, name, value);
            } else if let Some((_, members)) = groups.iter_mut().find(|(known, _)| *known == group) {
                members.push((column, name, value));
            } else {
                groups.push((group, vec![(column, name, value)]));
            }
        }
        for (group, members) in groups {
            self.key(Name::Fixed(group), "");
            self.object(|writer| {
                for (column, name, value) in members {
                    writer.column(column, name, value);
                }
            });
        }
    }

    /// The key and value of a column. A value that the index would refuse, and the whole document with it, goes
    /// under a name that ends in `_text`.
    fn column(&mut self, column: &str, name: Name<'_>, value: Value<'_>) {
        let text = value.text();
        let written = text.as_written();
        let holds = Column::of(column);
        let fits = match holds {
            Column::Address => written.parse::<std::net::IpAddr>().is_ok(),
            Column::Time => time_text(text).is_some(),
            Column::Flag => tables::flag(written).is_some(),
            Column::Flattened | Column::Plain => true,
        };
        self.key(name, if fits { "" } else { "_text" });
        match holds {
            Column::Time if fits => push_string(self.buffer, &time_text(text).unwrap_or_default()),
            Column::Flag if fits => {
                let flag = tables::flag(written) == Some(true);
                self.buffer.extend_from_slice(if flag { b"true" } else { b"false" });
            }
            Column::Flattened => {
                let decoded = text.decoded();
                let inner = if value.kind() == Some(Kind::String) { read_inner(&decoded) } else { None };
                let value = inner.as_ref().map_or(value, Tape::root);
                if value.is_object() || value.items().all(Value::is_object) {
                    self.as_written(value);
                } else {
                    self.object(|writer| {
                        writer.key(Name::Fixed("value"), "");
                        writer.as_written(value);
                    });
                }
            }
            // What is an object or a list of objects becomes its JSON as a string, so that the hundreds of names in it
            // do not become fields of the index.
            _ if value.is_object() => push_string(self.buffer, value.raw()),
            _ if value.kind() == Some(Kind::Array) && value.items().any(Value::is_object) => {
                push_string(self.buffer, value.raw());
            }
            _ => self.as_written(value),
        }
    }
}

/// Appends Microsoft's name. A dot in it would open an object in Elasticsearch, however it is written: so nothing
/// stays an escape that need not be one.
fn push_own(key: &str, buffer: &mut Vec<u8>) {
    let start = buffer.len();
    push_string(buffer, &Text::as_in_json(key).decoded());
    // Without the quotes.
    buffer.pop();
    buffer.remove(start);
    buffer[start..].iter_mut().filter(|byte| **byte == b'.').for_each(|byte| *byte = b'_');
}

/// Adds the name that stands in the buffer from `start` on to `names`, and a number to it where it is among them.
fn number_name(names: &mut ManyNames, buffer: &mut Vec<u8>, start: usize) {
    let end = buffer.len();
    let Some(last) = names.get(&buffer[start..]) else {
        names.insert(buffer[start..].into(), 1);
        return;
    };
    let mut number = *last;
    while names.contains_key(&buffer[start..]) {
        number += 1;
        buffer.truncate(end);
        buffer.extend_from_slice(format!("_{number}").as_bytes());
    }
    names.insert(buffer[start..].into(), 1);
    names.insert(buffer[start..end].into(), number);
}

thread_local! {
    /// The names of the last documents. The same few hundred come again and again, and each would be spelled anew.
    static SNAKE_NAMES: Cell<SnakeNames> = const { Cell::new(SnakeNames { slots: Vec::new() }) };
}

/// Names in snake case that were asked for before, each in the slot of its hash.
#[derive(Default)]
struct SnakeNames {
    slots: Vec<Option<SnakeName>>,
}

struct SnakeName {
    key: Box<str>,
    name: Box<[u8]>,
    /// Of the name.
    hash: u32,
}

impl SnakeNames {
    const SLOTS: usize = 1024;
    /// Longer keys are written anew each time, so that nobody fills the memory with them.
    const KEY_BYTES_MAX: usize = 64;

    /// Appends `key` in snake case, and returns the hash of that.
    fn push(&mut self, key: &str, buffer: &mut Vec<u8>) -> u32 {
        if key.len() > Self::KEY_BYTES_MAX {
            let start = buffer.len();
            push_snake_case(key, buffer);
            return hash_of(buffer, start, buffer.len());
        }
        if self.slots.is_empty() {
            self.slots.resize_with(Self::SLOTS, || None);
        }
        let slot = &mut self.slots[hash(key) as usize % Self::SLOTS];
        let known = match slot {
            Some(known) if *known.key == *key => known,
            _ => {
                let mut name = Vec::with_capacity(key.len() + 8);
                push_snake_case(key, &mut name);
                let hash = hash_of(&name, 0, name.len());
                slot.insert(SnakeName { key: key.into(), name: name.into(), hash })
            }
        };
        buffer.extend_from_slice(&known.name);
        known.hash
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Branch, Name, UNUSUAL, VendorWriter, address_name, column_name, inside, is_as_indexed, name,
    };
    use muster_model::json::Tape;

    fn written(name: Name<'_>) -> String {
        let mut buffer = Vec::new();
        VendorWriter::with(&mut buffer, |writer| writer.key(name, ""));
        String::from_utf8(buffer).expect("text").trim_matches(['"', ':']).to_owned()
    }

    #[test]
    fn a_name_stands_in_an_object_once() {
        let tape = Tape::read(
            r#"{"Title":1,"title":{"a.b":1,"a_b":2},"ti,tle":3,"Title":4,"title_2":5,"other":{"title":6}}"#,
        )
        .expect("JSON");
        let mut buffer = Vec::new();
        VendorWriter::with(&mut buffer, |writer| writer.snake(tape.root(), Branch::Other));
        assert_eq!(
            String::from_utf8(buffer).expect("text"),
            r#"{"title":1,"title_2":{"a_b":1,"a_b_2":2},"ti_tle":3,"title_3":4,"title_2_2":5,"other":{"title":6}}"#
        );
        let tape = Tape::read(r#"{"a.b":1,"a_b":{"c":[{"d":1}],"c":null,"e\"f":2}}"#).expect("JSON");
        let mut buffer = Vec::new();
        VendorWriter::with(&mut buffer, |writer| writer.as_written(tape.root()));
        assert_eq!(String::from_utf8(buffer).expect("text"), r#"{"a_b":1,"a_b_2":{"c":[{"d":1}],"e\"f":2}}"#);
    }

    #[test]
    fn names_are_told_apart_in_large_objects_too() {
        for count in [100, 127, 128, 129, 300] {
            let fields: String = (0..count).map(|number| format!("\"a{number}\":{number},")).collect();
            // An object between them has names of its own.
            let text = format!(
                "{{{fields}\"x\":{{\"a1\":1,\"A1\":2,\"a2\":3}},\"A1\":1,\"a1_3\":2,\"A1\":3,\"a1\":4}}"
            );
            let tape = Tape::read(&text).expect("JSON");
            let mut buffer = Vec::new();
            VendorWriter::with(&mut buffer, |writer| writer.snake(tape.root(), Branch::Other));
            let written = String::from_utf8(buffer).expect("text");
            let end = r#""x":{"a1":1,"a1_2":2,"a2":3},"a1_2":1,"a1_3":2,"a1_4":3,"a1_5":4}"#;
            assert_eq!(written, format!("{{{fields}{end}"));
        }
    }

    #[test]
    fn no_dot_is_left_in_microsofts_names() {
        let tape = Tape::read(r#"{"a\u002eb":1,"a.b":2,"a\u005fb":3,"\u0063\n\"":4}"#).expect("JSON");
        let mut buffer = Vec::new();
        VendorWriter::with(&mut buffer, |writer| writer.as_written(tape.root()));
        assert_eq!(String::from_utf8(buffer).expect("text"), r#"{"a_b":1,"a_b_2":2,"a_b_3":3,"c\n\"":4}"#);
    }

    #[test]
    fn a_name_is_never_blank() {
        let tape = Tape::read(r#"{"":1,"@":2," ":3}"#).expect("JSON");
        let mut buffer = Vec::new();
        VendorWriter::with(&mut buffer, |writer| writer.snake(tape.root(), Branch::Other));
        assert_eq!(String::from_utf8(buffer).expect("text"), r#"{"_":1,"__2":2,"__3":3}"#);
        let mut buffer = Vec::new();
        VendorWriter::with(&mut buffer, |writer| writer.as_written(tape.root()));
        assert_eq!(String::from_utf8(buffer).expect("text"), r#"{"_":1,"@":2," _":3}"#);
    }

    #[test]
    fn names_that_are_not_unusual_follow_the_rule() {
        const PLACES: [Branch; 7] = [
            Branch::Alert,
            Branch::Incident,
            Branch::IncidentAlert,
            Branch::Comment,
            Branch::Evidence,
            Branch::File,
            Branch::Other,
        ];
        let odd = Tape::read(r#"[{"a":[1]}]"#).expect("JSON");
        let fixtures = [
            include_str!("../../../tests/fixtures/incident_full.json"),
            include_str!("../../../tests/fixtures/endpoint_alert.json"),
            include_str!("../../../tests/fixtures/mail_alert.json"),
            include_str!("../../../tests/fixtures/cloud_alert.json"),
        ];
        let mut keys = 0;
        for fixture in fixtures {
            for key in fixture.split('"').filter(|part| part.chars().all(char::is_alphanumeric)) {
                keys += 1;
                for place in PLACES {
                    let follows = name(key, place) == Name::Snake(key)
                        && address_name(key, place).is_none()
                        && inside(key, place) == place.below()
                        && is_as_indexed(key, odd.root())
                        && is_as_indexed(key, odd.root().get("a"));
                    assert!(follows || UNUSUAL.contains(&key), "{key} {place:?}");
                }
            }
        }
        assert!(keys > 500);
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
