//! Rows of advanced hunting and of the streaming API: each becomes an event of the class that tells what it tells.
//!
//! A row that lacks what a class requires, or of a table for which OCSF has no class, becomes a Base Event. Columns
//! that have no place in the class are in `unmapped`, and whatever analysts pivot on is in `observables` too.

use std::collections::HashMap;

use crate::formats::view::tables::{Direction, same, tactic};
use crate::formats::view::{
    Evident, File, HuntingRow, Inner, InnerTapes, Process, addresses, bare_address, bare_url,
};

use muster_model::Severity;
use muster_model::json::Text;
use muster_model::json::Value;
use muster_model::json::names::Names;

use super::base::{
    Class, Context, DETECTION_FINDING, Metadata, classified, log_name, milliseconds, severity,
};
use super::evidence::{
    ADDRESS, COMMAND_LINE, DEVICE_ID, FILE_NAME, FILE_PATH, HASH, HOSTNAME, MAIL_ADDRESS, MESSAGE,
    Observables, PORT, PROCESS_ID, REGISTRY, RESOURCE, URL, USER_ID, USER_NAME, email, malware_item, verdict,
};
use super::objects::{
    Endpoint, Location, ProcessMore, contains, device, endpoint, file, hash, is_address, is_mail_address,
    mail_address, process, process_number, url_object, user,
};
use super::writer::{Json, time};

/// The tables of advanced hunting for which there is a class, and `Other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Table {
    DeviceProcessEvents,
    DeviceNetworkEvents,
    DeviceFileEvents,
    DeviceRegistryEvents,
    DeviceLogonEvents,
    DeviceImageLoadEvents,
    DeviceEvents,
    DeviceInfo,
    DeviceNetworkInfo,
    AlertInfo,
    AlertEvidence,
    BehaviorInfo,
    EmailEvents,
    EmailUrlInfo,
    EmailAttachmentInfo,
    EmailPostDeliveryEvents,
    IdentityLogonEvents,
    IdentityInfo,
    CloudAppEvents,
    SignInEvents,
    Other,
}

impl Table {
    fn of(row: &HuntingRow<'_>) -> Self {
        match row.table.as_written() {
            "DeviceProcessEvents" => Self::DeviceProcessEvents,
            "DeviceNetworkEvents" => Self::DeviceNetworkEvents,
            "DeviceFileEvents" => Self::DeviceFileEvents,
            "DeviceRegistryEvents" => Self::DeviceRegistryEvents,
            "DeviceLogonEvents" => Self::DeviceLogonEvents,
            "DeviceImageLoadEvents" => Self::DeviceImageLoadEvents,
            "DeviceEvents" => Self::DeviceEvents,
            "DeviceInfo" => Self::DeviceInfo,
            "DeviceNetworkInfo" => Self::DeviceNetworkInfo,
            "AlertInfo" => Self::AlertInfo,
            "AlertEvidence" | "BehaviorEntities" => Self::AlertEvidence,
            "BehaviorInfo" => Self::BehaviorInfo,
            "EmailEvents" => Self::EmailEvents,
            "EmailUrlInfo" => Self::EmailUrlInfo,
            "EmailAttachmentInfo" => Self::EmailAttachmentInfo,
            "EmailPostDeliveryEvents" => Self::EmailPostDeliveryEvents,
            "IdentityLogonEvents" => Self::IdentityLogonEvents,
            "IdentityInfo" => Self::IdentityInfo,
            "CloudAppEvents" => Self::CloudAppEvents,
            "AADSignInEventsBeta" | "AADSpnSignInEventsBeta" | "EntraIdSignInEvents" => Self::SignInEvents,
            _ => Self::Other,
        }
    }
}

/// Columns of Microsoft's tables, by what they tell. A column that is in the event word for word is not repeated in
/// `unmapped`.
const DEVICE: &[&str] = &["DeviceId", "DeviceName", "MachineGroup"];
const INITIATING: &[&str] = &[
    "InitiatingProcessId",
    "InitiatingProcessFileName",
    "InitiatingProcessFolderPath",
    "InitiatingProcessFileSize",
    "InitiatingProcessSHA1",
    "InitiatingProcessSHA256",
    "InitiatingProcessMD5",
    "InitiatingProcessCommandLine",
    "InitiatingProcessParentId",
    "InitiatingProcessParentFileName",
    "InitiatingProcessAccountName",
    "InitiatingProcessAccountDomain",
    "InitiatingProcessAccountSid",
    "InitiatingProcessAccountUpn",
    "InitiatingProcessAccountObjectId",
    "InitiatingProcessVersionInfoCompanyName",
];
const ACCOUNT: &[&str] =
    &["AccountName", "AccountDomain", "AccountSid", "AccountUpn", "AccountObjectId", "AccountDisplayName"];
const FILE: &[&str] = &["FileName", "FolderPath", "FileSize", "SHA1", "SHA256", "MD5"];
const ENDS: &[&str] = &["RemoteIP", "RemoteUrl", "LocalIP", "Protocol"];

/// What a Base Event has no other place for, and that analysts pivot on.
const BASE_OBSERVABLES: &[(&str, &str, (i64, &str))] = &[
    ("InitiatingProcessId", "actor.process.pid", PROCESS_ID),
    ("ProcessId", "unmapped.ProcessId", PROCESS_ID),
    ("ParentProcessId", "unmapped.ParentProcessId", PROCESS_ID),
    ("LocalPort", "unmapped.LocalPort", PORT),
    ("RemotePort", "unmapped.RemotePort", PORT),
    ("Port", "unmapped.Port", PORT),
    ("DestinationPort", "unmapped.DestinationPort", PORT),
];

/// Up to how many fields of an envelope are looked up among the columns one by one. Microsoft's has seven.
const LOOKED_UP_MAX: usize = 32;

/// Appends the event of a row.
pub(super) fn write(context: &Context<'_>, row: &HuntingRow<'_>, record: Value<'_>, buffer: &mut Vec<u8>) {
    let table = Table::of(row);
    let inner = Inner::read(row, if wants_more(row, table) { &WITH_MORE } else { &WITH_MORE[1..] });
    let inner = inner.tapes(row);
    let more = inner.get(row, "AdditionalFields");
    let direction = match table {
        Table::DeviceNetworkEvents | Table::DeviceEvents => {
            Direction::of(row.text("ActionType").as_written(), more.text_of("direction").as_written())
        }
        Table::DeviceLogonEvents => Direction::Inbound,
        _ => Direction::Unknown,
    };
    let start = buffer.len();
    let mut observables = Observables::default();
    let evident = inner.evident(row);
    add_evident(&mut observables, row, &evident);
    for (at, value) in observed(row) {
        let (column, name, kind) = OBSERVABLES[at];
        let name = match column {
            "RemoteIP" if direction == Direction::Inbound => "src_endpoint.ip",
            "LocalIP" if direction == Direction::Inbound => "dst_endpoint.ip",
            _ => name,
        };
        for text in value.items().map(|item| item.text()) {
            observables.add(name, kind, text);
        }
    }
    let listed =
        if row.fields.get("Entities").is_present() { "unmapped.Entities" } else { "unmapped.RawEventData" };
    for entity in inner.entities(row) {
        add_entity(&mut observables, listed, &entity);
    }
    for object in row.fields.get("ActivityObjects").items() {
        observables.add("unmapped.ActivityObjects[].Name", RESOURCE, object.text_of("Name"));
        observables.add("unmapped.ActivityObjects[].Id", RESOURCE, object.text_of("Id"));
    }
    for user in inner.get(row, "LoggedOnUsers").items() {
        observables.add("unmapped.LoggedOnUsers", USER_NAME, user.text_of("UserName"));
        observables.add("unmapped.LoggedOnUsers", USER_ID, user.text_of("Sid"));
    }
    for server in inner.get(row, "DnsAddresses").items() {
        observables.add("unmapped.DnsAddresses", ADDRESS, server.text());
    }
    let writer = RowWriter { context, row, record, more, inner: &inner, evident: &evident, direction };
    Json::write(buffer, |json| {
        let written = match table {
            Table::DeviceProcessEvents => writer.process_activity(json),
            Table::DeviceNetworkEvents => writer.network_activity(json),
            Table::DeviceFileEvents => writer.file_activity(json),
            Table::DeviceRegistryEvents => writer.registry_activity(json),
            Table::DeviceLogonEvents => writer.device_logon(json),
            Table::DeviceImageLoadEvents => writer.module_activity(json),
            Table::DeviceEvents => {
                writer.script_activity(json).or_else(|| writer.other_device_activity(json))
            }
            Table::DeviceInfo | Table::DeviceNetworkInfo => writer.device_inventory(json),
            Table::AlertInfo | Table::AlertEvidence | Table::BehaviorInfo => writer.detection(json),
            Table::EmailEvents | Table::EmailAttachmentInfo | Table::EmailPostDeliveryEvents => {
                writer.mail(json)
            }
            Table::EmailUrlInfo => writer.mail_url(json),
            Table::IdentityLogonEvents | Table::SignInEvents => writer.sign_in(json),
            Table::IdentityInfo => writer.user_inventory(json),
            Table::CloudAppEvents => writer.api_activity(json),
            Table::Other => None,
        };
        let written = written.unwrap_or_else(|| {
            for (column, name, kind) in BASE_OBSERVABLES {
                observables.add(name, *kind, row.text(column));
            }
            writer.base_event(json)
        });
        writer.common(json, table, &written);
        observables.write(json, start, None);
        context.raw_data(json);
    });
}

/// The columns with JSON inside a string that are looked into: `AdditionalFields`, and those of every row.
const WITH_MORE: [&str; 5] = ["AdditionalFields", "DnsAddresses", "Entities", "IPAddresses", "LoggedOnUsers"];

/// Whether anything in `AdditionalFields` has a place in the event; the text itself is in `unmapped`.
fn wants_more(row: &HuntingRow<'_>, table: Table) -> bool {
    matches!(table, Table::DeviceNetworkEvents | Table::DeviceEvents) || !row.entity_kind().is_empty()
}

/// The columns of [`OBSERVABLES`] that a row has, in the order of the table: of a name that comes again the last.
fn observed<'a>(row: &HuntingRow<'a>) -> Vec<(usize, Value<'a>)> {
    let column = |(key, value): (&str, Value<'a>)| {
        let at = OBSERVABLES_BY_NAME.find(&OBSERVABLE_NAMES, key, value.key_hash())?;
        Some((at, value))
    };
    let mut found: Vec<_> = row.fields.fields().filter_map(column).collect();
    found.sort_by_key(|(at, _)| *at);
    let last = |at: &usize| found.get(at + 1).is_none_or(|(next, _)| *next != found[*at].0);
    (0..found.len()).filter(last).map(|at| found[at]).collect()
}

/// What the part of an event that its class demands leaves for the rest of it.
struct Written {
    /// The columns that are in the event.
    columns: &'static [&'static [&'static str]],
    /// Whether the row's device and account stand in the event by the rules of the `host` profile.
    host: bool,
    windows: bool,
    severity: bool,
}

impl Written {
    fn new(columns: &'static [&'static [&'static str]]) -> Self {
        Self { columns, host: false, windows: false, severity: false }
    }

    fn on_host(self) -> Self {
        Self { host: true, ..self }
    }
}

struct RowWriter<'w, 'a> {
    context: &'w Context<'w>,
    row: &'w HuntingRow<'a>,
    /// The row, or what the streaming API wraps it in.
    record: Value<'a>,
    /// The value of `AdditionalFields`, taken apart where it is JSON in a string.
    more: Value<'a>,
    inner: &'a InnerTapes<'a>,
    /// What the entity of a row of alert evidence tells.
    evident: &'w Evident<'a>,
    /// Of a connection or logon, as its device sees it.
    direction: Direction,
}

impl<'a> RowWriter<'_, 'a> {
    fn text(&self, column: &str) -> Text<'a> {
        self.row.text(column)
    }

    fn action(&self) -> &'a str {
        self.text("ActionType").as_written()
    }

    fn has_device(&self) -> bool {
        let device = self.row.device();
        !(device.name().is_blank() && device.id.is_blank())
    }

    fn has_actor(&self) -> bool {
        !self.row.initiating_account().name().is_blank()
            || process_number(self.row.initiating_process().id).is_some()
    }

    /// `actor`: the process that did it, and as whom.
    fn actor(&self, json: &mut Json<'_>) {
        json.object("actor", |json| {
            let account = self.row.initiating_account();
            let more = ProcessMore {
                user: account,
                integrity: self.text("InitiatingProcessIntegrityLevel"),
                session: self.text("InitiatingProcessLogonId"),
                ..ProcessMore::default()
            };
            process(json, "process", &self.row.initiating_process(), &more);
            user(json, "user", &account);
        });
    }

    /// `actor` and `device`, which all classes of system activity require.
    fn host(&self, json: &mut Json<'_>) {
        self.actor(json);
        device(json, "device", &self.row.device(), &[]);
    }

    fn has_host(&self) -> bool {
        self.has_device() && self.has_actor()
    }

    /// The activity that a row's action is, else "other" under Microsoft's name.
    fn activity(&self, known: &[(&str, (i64, &'static str))]) -> (i64, &'a str) {
        match known.iter().find(|(action, _)| same(self.action(), action)) {
            Some((_, activity)) => *activity,
            None if self.action().is_empty() => (0, "Unknown"),
            None => (99, self.action()),
        }
    }

    fn process_activity(&self, json: &mut Json<'_>) -> Option<Written> {
        let target = self.row.process();
        if !self.has_host() || process_number(target.id).is_none() {
            return None;
        }
        let activity = self.activity(&[
            ("ProcessCreated", (1, "Launch")),
            ("ProcessTerminated", (2, "Terminate")),
            ("OpenProcessApiCall", (3, "Open")),
            ("CreateRemoteThreadApiCall", (4, "Inject")),
            ("QueueUserApcRemoteApiCall", (4, "Inject")),
            ("NtAllocateVirtualMemoryRemoteApiCall", (4, "Inject")),
            ("NtMapViewOfSectionRemoteApiCall", (4, "Inject")),
            ("SetThreadContextRemoteApiCall", (4, "Inject")),
            ("ProcessCreatedUsingWmiQuery", (1, "Launch")),
        ]);
        classified(json, Class { uid: 1007, name: "Process Activity" }, activity);
        self.host(json);
        let parent = self.row.initiating_process();
        let whole = Process {
            parent_id: parent.id,
            parent_created_at: parent.created_at,
            parent_image: parent.image,
            ..target
        };
        let more = ProcessMore {
            user: self.row.account(),
            integrity: self.text("ProcessIntegrityLevel"),
            session: self.text("LogonId"),
            working_directory: self.text("ProcessCurrentWorkingDirectory"),
            ..ProcessMore::default()
        };
        process(json, "process", &whole, &more);
        Some(
            Written::new(&[DEVICE, INITIATING, ACCOUNT, FILE, &["ProcessId", "ProcessCommandLine"]])
                .on_host(),
        )
    }

    fn module_activity(&self, json: &mut Json<'_>) -> Option<Written> {
        if !self.has_host() || self.text("FileName").is_blank() {
            return None;
        }
        classified(
            json,
            Class { uid: 1005, name: "Module Activity" },
            self.activity(&[("ImageLoaded", (1, "Load"))]),
        );
        self.host(json);
        json.object("module", |json| file(json, "file", &self.row.file()));
        Some(Written::new(&[DEVICE, INITIATING, FILE]).on_host())
    }

    fn file_activity(&self, json: &mut Json<'_>) -> Option<Written> {
        let result = self.row.file();
        if !self.has_host() || result.name.is_blank() {
            return None;
        }
        let activity = self.activity(&[
            ("FileCreated", (1, "Create")),
            ("FileModified", (3, "Update")),
            ("FileDeleted", (4, "Delete")),
            ("FileRenamed", (5, "Rename")),
        ]);
        classified(json, Class { uid: 1001, name: "File System Activity" }, activity);
        self.host(json);
        let before = File {
            name: self.text("PreviousFileName"),
            path: self.text("PreviousFolderPath"),
            ..File::default()
        };
        if activity.0 == 5 && !before.name.is_blank() {
            file(json, "file", &before);
            file(json, "file_result", &result);
        } else {
            file(json, "file", &result);
        }
        Some(Written::new(&[DEVICE, INITIATING, FILE]).on_host())
    }

    fn registry_activity(&self, json: &mut Json<'_>) -> Option<Written> {
        let key = self.text("RegistryKey").or(self.text("PreviousRegistryKey"));
        if !self.has_host() || key.is_blank() {
            return None;
        }
        let name = self.text("RegistryValueName").or(self.text("PreviousRegistryValueName"));
        let of_value = contains(self.text("ActionType"), "Value") && !name.is_blank();
        if of_value {
            let activity =
                self.activity(&[("RegistryValueSet", (2, "Set")), ("RegistryValueDeleted", (4, "Delete"))]);
            classified(json, Class { uid: 201_002, name: "Registry Value Activity" }, activity);
            self.host(json);
            let value = |json: &mut Json<'_>, key: &str, columns: [&str; 4]| {
                let [path, name, data, kind] = columns.map(|column| self.text(column));
                if !path.is_blank() && !name.is_blank() {
                    json.object(key, |json| {
                        json.text("path", path);
                        json.text("name", name);
                        json.text("data", data);
                        json.text("type", kind);
                    });
                }
            };
            let (now, before) = (
                ["RegistryKey", "RegistryValueName", "RegistryValueData", "RegistryValueType"],
                ["PreviousRegistryKey", "PreviousRegistryValueName", "PreviousRegistryValueData", ""],
            );
            if self.text("RegistryKey").is_blank() || self.text("RegistryValueName").is_blank() {
                json.object("reg_value", |json| {
                    json.text("path", key);
                    json.text("name", name);
                });
            } else {
                value(json, "reg_value", now);
            }
            value(json, "prev_reg_value", before);
        } else {
            let activity = self.activity(&[
                ("RegistryKeyCreated", (1, "Create")),
                ("RegistryKeyDeleted", (4, "Delete")),
                ("RegistryKeyRenamed", (5, "Rename")),
            ]);
            classified(json, Class { uid: 201_001, name: "Registry Key Activity" }, activity);
            self.host(json);
            json.object("reg_key", |json| json.text("path", key));
            json.object("prev_reg_key", |json| json.text("path", self.text("PreviousRegistryKey")));
        }
        Some(Written { windows: true, ..Written::new(&[DEVICE, INITIATING]).on_host() })
    }

    fn script_activity(&self, json: &mut Json<'_>) -> Option<Written> {
        let script = self.action() == "PowerShellCommand";
        let command = if script { self.more.text_of("Command") } else { Text::default() };
        if !self.has_host() || command.is_blank() {
            return None;
        }
        classified(json, Class { uid: 1009, name: "Script Activity" }, (1, "Execute"));
        self.host(json);
        json.object("script", |json| {
            json.choice("type", (2, "PowerShell"));
            json.object("script_content", |json| json.text("value", command));
        });
        Some(Written::new(&[DEVICE, INITIATING]).on_host())
    }

    /// Of the rows of `DeviceEvents` those about another process or a connection.
    fn other_device_activity(&self, json: &mut Json<'_>) -> Option<Written> {
        let action = self.action();
        if action.ends_with("ApiCall") || action.starts_with("Process") {
            return self.process_activity(json);
        }
        let has = |column| !self.text(column).is_blank();
        let connects = has("RemotePort") || has("LocalPort");
        if connects { self.network_activity(json) } else { None }
    }

    /// The address in a column, without what stands around it.
    fn address(&self, column: &str) -> Text<'a> {
        addresses(self.text(column)).next().unwrap_or_default()
    }

    fn network_activity(&self, json: &mut Json<'_>) -> Option<Written> {
        let ends = [self.address("RemoteIP"), self.address("LocalIP"), host_of(self.text("RemoteUrl"))];
        if ends.iter().all(|text| text.is_blank()) {
            return None;
        }
        let activity = self.activity(&[
            ("ConnectionSuccess", (1, "Open")),
            ("InboundConnectionAccepted", (1, "Open")),
            ("ConnectionFound", (6, "Traffic")),
            ("ConnectionAcknowledged", (6, "Traffic")),
            ("ConnectionFailed", (4, "Fail")),
            ("ListeningConnectionCreated", (7, "Listen")),
            ("NetworkSignatureInspected", (6, "Traffic")),
            ("DnsConnectionInspected", (6, "Traffic")),
            ("HttpConnectionInspected", (6, "Traffic")),
            ("SslConnectionInspected", (6, "Traffic")),
            ("SshConnectionInspected", (6, "Traffic")),
            ("IcmpConnectionInspected", (6, "Traffic")),
            ("FirewallInboundConnectionBlocked", (5, "Refuse")),
            ("FirewallOutboundConnectionBlocked", (5, "Refuse")),
        ]);
        classified(json, Class { uid: 4001, name: "Network Activity" }, activity);
        let remote = Endpoint {
            address: self.address("RemoteIP"),
            port: self.text("RemotePort"),
            name: host_of(self.text("RemoteUrl")),
            ..Endpoint::default()
        };
        let local = Endpoint {
            address: self.address("LocalIP"),
            port: self.text("LocalPort"),
            name: self.text("DeviceName"),
            uid: self.text("DeviceId"),
            ..Endpoint::default()
        };
        let (source, destination, direction) = match self.direction {
            Direction::Inbound => (&remote, &local, (1, "Inbound")),
            Direction::Outbound => (&local, &remote, (2, "Outbound")),
            Direction::Unknown => (&local, &remote, (0, "Unknown")),
        };
        endpoint(json, "src_endpoint", source);
        endpoint(json, "dst_endpoint", destination);
        json.object("connection_info", |json| {
            json.choice("direction", direction);
            json.text("protocol_name", self.text("Protocol"));
        });
        url_object(json, "url", self.text("RemoteUrl"));
        let host = self.has_device();
        if host {
            self.host(json);
        }
        let written = Written::new(if host { &[DEVICE, INITIATING, ENDS] } else { &[ENDS] });
        Some(if host { written.on_host() } else { written })
    }

    fn device_logon(&self, json: &mut Json<'_>) -> Option<Written> {
        if self.row.account().name().is_blank() || !self.has_device() {
            return None;
        }
        classified(json, AUTHENTICATION, self.logon());
        user(json, "user", &self.row.account());
        self.outcome(json);
        let here =
            Endpoint { name: self.text("DeviceName"), uid: self.text("DeviceId"), ..Endpoint::default() };
        endpoint(json, "dst_endpoint", &here);
        let there = Endpoint {
            address: self.address("RemoteIP"),
            port: self.text("RemotePort"),
            name: self.text("RemoteDeviceName"),
            ..Endpoint::default()
        };
        endpoint(json, "src_endpoint", &there);
        json.object("session", |json| json.text("uid", self.text("LogonId")));
        self.host(json);
        Some(Written::new(&[DEVICE, INITIATING, ACCOUNT, &["FailureReason", "RemoteIP"]]).on_host())
    }

    fn sign_in(&self, json: &mut Json<'_>) -> Option<Written> {
        let service = self.text("Application").or(self.text("ResourceDisplayName"));
        let target = self.text("DestinationDeviceName").or(self.address("DestinationIPAddress"));
        if self.row.account().name().is_blank() || service.or(target).is_blank() {
            return None;
        }
        classified(json, AUTHENTICATION, self.logon());
        user(json, "user", &self.row.account());
        self.outcome(json);
        json.object("service", |json| {
            json.text("name", service);
            json.text("uid", self.text("ApplicationId"));
        });
        let to = Endpoint {
            address: self.address("DestinationIPAddress"),
            port: self.text("DestinationPort"),
            name: self.text("DestinationDeviceName"),
            service: self.text("ResourceDisplayName"),
            ..Endpoint::default()
        };
        endpoint(json, "dst_endpoint", &to);
        endpoint(json, "src_endpoint", &self.from());
        json.object("session", |json| json.text("uid", self.text("SessionId")));
        json.object("http_request", |json| {
            json.text("uid", self.text("RequestId"));
            json.text("user_agent", self.text("UserAgent"));
        });
        Some(Written::new(&[ACCOUNT, &["Application", "FailureReason", "IPAddress"]]))
    }

    /// The end from which somebody came: address, device and place.
    fn from(&self) -> Endpoint<'a> {
        Endpoint {
            address: self.address("IPAddress"),
            port: self.text("Port"),
            name: self.text("DeviceName"),
            uid: self.text("DeviceId").or(self.text("AadDeviceId")),
            country: self.text("CountryCode").or(self.text("Country")),
            location: Location {
                city: self.text("City"),
                region: self.text("State"),
                country: self.text("Location"),
                latitude: self.text("Latitude"),
                longitude: self.text("Longitude"),
            },
            ..Endpoint::default()
        }
    }

    fn logon(&self) -> (i64, &'a str) {
        match self.action() {
            "LogonSuccess" | "LogonFailed" | "LogonAttempted" | "" => (1, "Logon"),
            other => (99, other),
        }
    }

    /// Whether a sign-in succeeded, how it was done, and why it failed.
    fn outcome(&self, json: &mut Json<'_>) {
        let code = self.text("ErrorCode");
        let outcome = match (self.action(), code.as_written()) {
            ("LogonSuccess", _) | ("", "0") => (1, "Success"),
            ("LogonFailed", _) => (2, "Failure"),
            ("", code) if !code.is_empty() => (2, "Failure"),
            _ => (0, "Unknown"),
        };
        json.choice("status", outcome);
        json.text("status_code", code);
        json.text("status_detail", self.text("FailureReason"));
        let kind = self.text("LogonType");
        const KINDS: [(&str, (i64, &str)); 10] = [
            ("Interactive", (2, "Interactive")),
            ("Network", (3, "Network")),
            ("Batch", (4, "Batch")),
            ("Service", (5, "OS Service")),
            ("Unlock", (7, "Unlock")),
            ("NetworkCleartext", (8, "Network Cleartext")),
            ("NewCredentials", (9, "New Credentials")),
            ("RemoteInteractive", (10, "Remote Interactive")),
            ("CachedInteractive", (11, "Cached Interactive")),
            ("CachedRemoteInteractive", (12, "Cached Remote Interactive")),
        ];
        let spaceless = kind.as_written().replace(' ', "");
        match KINDS.iter().find(|(word, _)| same(&spaceless, word)) {
            Some((_, known)) => json.choice("logon_type", *known),
            None if kind.is_blank() => {}
            None => {
                json.number("logon_type_id", 99);
                json.text("logon_type", kind);
            }
        }
        const PROTOCOLS: [(&str, (i64, &str)); 5] = [
            ("NTLM", (1, "NTLM")),
            ("Kerberos", (2, "Kerberos")),
            ("SAML", (5, "SAML")),
            ("OAuth2", (6, "OAUTH 2.0")),
            ("Ldap", (12, "LDAP")),
        ];
        let protocol = self.text("Protocol");
        match PROTOCOLS.iter().find(|(word, _)| same(protocol.as_written(), word)) {
            Some((_, known)) => json.choice("auth_protocol", *known),
            None if protocol.is_blank() => {}
            None => {
                json.number("auth_protocol_id", 99);
                json.text("auth_protocol", protocol);
            }
        }
        if contains(kind, "Remote") || same(kind.as_written(), "Network") {
            json.boolean("is_remote", true);
        }
    }

    fn device_inventory(&self, json: &mut Json<'_>) -> Option<Written> {
        if !self.has_device() {
            return None;
        }
        classified(json, Class { uid: 5001, name: "Device Inventory Info" }, (2, "Collect"));
        let mut this = self.row.device();
        this.onboarding_status = self.text("OnboardingStatus");
        this.mac = self.text("MacAddress");
        this.last_external_address = self.text("PublicIP");
        let interfaces: Vec<_> = self
            .inner
            .get(self.row, "IPAddresses")
            .items()
            .map(|item| item.text_of("IPAddress").or(item.text()))
            .collect();
        device(json, "device", &this, &interfaces);
        Some(Written::new(&[DEVICE]))
    }

    fn user_inventory(&self, json: &mut Json<'_>) -> Option<Written> {
        let mut this = self.row.account();
        if this.name().is_blank() {
            return None;
        }
        this.sid = this.sid.or(self.text("OnPremSid"));
        classified(json, Class { uid: 5003, name: "User Inventory Info" }, (2, "Collect"));
        user(json, "user", &this);
        Some(Written::new(&[ACCOUNT]))
    }

    fn detection(&self, json: &mut Json<'_>) -> Option<Written> {
        let behavior = self.text("BehaviorId");
        let id = self.text("AlertId").or(behavior);
        if id.is_blank() {
            return None;
        }
        classified(json, DETECTION_FINDING, (1, "Create"));
        json.boolean("is_alert", behavior.is_blank());
        let title = self.text("Title").or(self.text("Description")).or(self.text("ActionType"));
        json.text("message", title);
        let categories = listed(self.row, "Categories", "Category");
        json.object("finding_info", |json| {
            json.text("uid", id);
            json.text("title", title);
            json.list("types", |json| categories.iter().for_each(|category| json.plain_item(category)));
            json.object("product", |json| {
                json.text("name", self.text("ServiceSource").or(self.text("DetectionSource")));
                if !json.is_empty() {
                    json.word("vendor_name", "Microsoft");
                }
                json.object("feature", |json| json.text("name", self.text("DetectionSource")));
            });
        });
        json.list("attacks", |json| {
            for technique in listed(self.row, "AttackTechniques", "") {
                // `Valid Accounts (T1078)`
                let (name, id) = technique.rsplit_once('(').unwrap_or(("", &technique));
                let (name, id) = (name.trim(), id.trim_end_matches(')').trim());
                json.item(|json| {
                    let parent = id.split('.').next().unwrap_or_default();
                    let sub = parent != id;
                    json.object("technique", |json| {
                        json.plain("uid", parent);
                        if !sub {
                            json.plain("name", name);
                        }
                    });
                    if sub {
                        json.object("sub_technique", |json| {
                            json.plain("uid", id);
                            json.plain("name", name);
                        });
                    }
                });
            }
            for tactic in categories.iter().filter_map(|category| tactic(category)) {
                json.item(|json| {
                    json.object("tactic", |json| {
                        json.word("uid", tactic.id);
                        json.word("name", tactic.name);
                    });
                });
            }
        });
        json.list("malware", |json| {
            let family = self.text("ThreatFamily").or(self.text("MalwareFamily"));
            malware_item(json, family.or(self.evident.threat_family), Text::default());
        });
        json.list("evidences", |json| {
            json.item(|json| {
                let evident = self.evident;
                device(json, "device", &self.row.device().or(evident.device), &[]);
                if evident.process.is_blank() {
                    user(json, "user", &self.row.account().or(evident.account));
                    file(json, "file", &self.row.file().or(evident.file));
                } else {
                    let account = self.row.account();
                    let told = Process {
                        image: evident.process.image.or(self.row.file()),
                        command_line: evident.process.command_line.or(self.text("ProcessCommandLine")),
                        ..evident.process
                    };
                    let more =
                        ProcessMore { user: evident.account.or(account), uid: id, ..ProcessMore::default() };
                    process(json, "process", &told, &more);
                    user(json, "user", &account);
                }
                let told = addresses(evident.address).next().unwrap_or_default();
                let remote = Endpoint { address: self.address("RemoteIP").or(told), ..Endpoint::default() };
                endpoint(json, "dst_endpoint", &remote);
                let local = Endpoint { address: self.address("LocalIP"), ..Endpoint::default() };
                endpoint(json, "src_endpoint", &local);
                url_object(json, "url", self.text("RemoteUrl").or(evident.url));
                let urls = self.more.get("Urls").items().map(|item| item.text());
                email(json, &evident.message, urls, self.context.options.version);
                if let Some(verdict) = verdict(evident.verdict).filter(|_| !json.is_empty()) {
                    json.choice("verdict", verdict);
                }
                if !json.is_empty() {
                    json.text("name", self.text("EntityType"));
                }
            });
        });
        Some(Written {
            severity: true,
            ..Written::new(&[&["AlertId", "BehaviorId", "ServiceSource", "DetectionSource"]])
        })
    }

    fn mail(&self, json: &mut Json<'_>) -> Option<Written> {
        let from = bare_address(self.text("SenderFromAddress").or(self.text("SenderMailFromAddress")));
        let to = bare_address(self.text("RecipientEmailAddress"));
        if !is_mail_address(from) && !is_mail_address(to) {
            return None;
        }
        let direction = match self.text("EmailDirection").as_written() {
            "Inbound" => (1, "Inbound"),
            "Outbound" => (2, "Outbound"),
            "Intra-org" => (3, "Internal"),
            _ => (0, "Unknown"),
        };
        let activity = match (direction.0, self.action()) {
            (1, _) => (2, "Receive"),
            (2 | 3, _) => (1, "Send"),
            (_, "") => (3, "Scan"),
            (_, action) => (99, action),
        };
        classified(json, Class { uid: 4009, name: "Email Activity" }, activity);
        json.choice("direction", direction);
        json.object("email", |json| {
            mail_address(json, "from", from);
            if is_mail_address(to) {
                json.texts("to", &[to]);
            }
            json.text("subject", self.text("Subject"));
            json.text("message_uid", self.text("InternetMessageId"));
            json.text("uid", self.text("NetworkMessageId"));
            let addresses: Vec<_> = [self.text("SenderIPv4"), self.text("SenderIPv6")]
                .into_iter()
                .filter(|text| is_address(*text))
                .collect();
            json.texts("x_originating_ip", &addresses);
            if !self.text("FileName").or(self.text("SHA256")).is_blank() {
                json.list("files", |json| {
                    json.item(|json| {
                        let attached = self.row.file();
                        json.text("name", attached.name.or(attached.sha256));
                        json.choice("type", (1, "Regular File"));
                        json.integer("size", attached.size);
                        json.list("hashes", |json| hash(json, attached.sha256, (3, "SHA-256")));
                    });
                });
            }
        });
        Some(Written::new(&[&["Subject", "InternetMessageId", "NetworkMessageId"]]))
    }

    fn mail_url(&self, json: &mut Json<'_>) -> Option<Written> {
        let (message, link) = (self.text("NetworkMessageId"), self.text("Url"));
        if message.is_blank() || link.is_blank() {
            return None;
        }
        classified(json, Class { uid: 4012, name: "Email URL Activity" }, (3, "Scan"));
        json.text("email_uid", message);
        url_object(json, "url", link);
        Some(Written::new(&[&["NetworkMessageId", "Url"]]))
    }

    fn api_activity(&self, json: &mut Json<'_>) -> Option<Written> {
        let account = self.row.account();
        let who = self.text("AccountId");
        let from = self.from();
        let action = self.text("ActionType");
        if account.name().or(who).is_blank() || action.is_blank() || from.address.or(from.name).is_blank() {
            return None;
        }
        let starts = |words: &[&str]| {
            let start = action.as_written().as_bytes();
            words.iter().any(|word| {
                start.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()))
            })
        };
        let activity = if starts(&["Create", "Add", "New", "FileUploaded", "Upload"]) {
            (1, "Create")
        } else if starts(&[
            "FileDownloaded",
            "FileAccessed",
            "FilePreviewed",
            "Get",
            "Read",
            "Search",
            "MailItemsAccessed",
        ]) {
            (2, "Read")
        } else if starts(&["Update", "Set", "Change", "FileModified", "FileRenamed", "FileMoved"]) {
            (3, "Update")
        } else if starts(&["Delete", "Remove", "FileDeleted", "FileRecycled", "SoftDelete", "HardDelete"]) {
            (4, "Delete")
        } else {
            (99, action.as_written())
        };
        classified(json, Class { uid: 6003, name: "API Activity" }, activity);
        json.object("api", |json| {
            json.text("operation", action);
            json.object("service", |json| {
                json.text("name", self.text("Application"));
                json.text("uid", self.text("ApplicationId"));
            });
        });
        json.object("actor", |json| {
            let mut account = account;
            account.principal = account.principal.or(who);
            user(json, "user", &account);
        });
        endpoint(json, "src_endpoint", &from);
        json.object("http_request", |json| json.text("user_agent", self.text("UserAgent")));
        json.list("resources", |json| {
            json.item(|json| {
                json.text("name", self.text("ObjectName"));
                json.text("uid", self.text("ObjectId"));
                if !json.is_empty() {
                    json.text("type", self.text("ObjectType"));
                }
            });
        });
        Some(Written::new(&[ACCOUNT, &["Application", "UserAgent"]]))
    }

    fn base_event(&self, json: &mut Json<'_>) -> Written {
        let activity = match self.action() {
            "" => (0, "Unknown"),
            action => (99, action),
        };
        classified(json, Class { uid: 0, name: "Base Event" }, activity);
        if !self.has_device() && !self.has_actor() {
            return Written::new(&[]);
        }
        self.host(json);
        Written::new(&[DEVICE, INITIATING]).on_host()
    }

    /// What events of every class have.
    fn common(&self, json: &mut Json<'_>, table: Table, written: &Written) {
        let (context, row) = (self.context, self.row);
        json.number("time", milliseconds(time(row.happened_at).or(context.record.head.created_at)));
        let word = self.text("Severity");
        if written.severity && !word.is_blank() {
            severity(json, Severity::from_wire(word.as_written()), word);
        } else {
            json.choice("severity", (1, "Informational"));
        }
        let id = &context.record.head.id;
        let profiles: &[&str] = match (written.host, table) {
            (_, Table::AlertInfo | Table::AlertEvidence | Table::BehaviorInfo) if written.severity => {
                &["cloud", "security_control"]
            }
            (true, _) => &["cloud", "host"],
            (false, _) => &["cloud"],
        };
        let metadata = Metadata {
            id,
            original_id: self.text("ReportId"),
            log_name: log_name(context.kind),
            original_time: row.happened_at,
            modified: None,
            event_code: self.text("ActionType"),
            correlation: self
                .text("AlertId")
                .or(self.text("NetworkMessageId"))
                .or(self.text("CorrelationId")),
            incident: None,
            labels: &[],
            profiles,
            windows: written.windows,
        };
        context.metadata(json, &metadata);
        context.cloud(json);
        json.object("unmapped", |json| {
            let wrapped = self.record.get("properties").is_object();
            let envelope: Vec<_> =
                self.record.fields().filter(|(key, _)| wrapped && *key != "properties").collect();
            // Each look-up may have to walk over all columns.
            let columns: Option<HashMap<&str, bool>> = (envelope.len() > LOOKED_UP_MAX)
                .then(|| row.fields.fields().map(|(key, value)| (key, value.is_present())).collect());
            let is_column = |key: &str| match &columns {
                Some(columns) => columns.get(key).is_some_and(|present| *present),
                None => row.fields.get(key).is_present(),
            };
            let (twice, once): (Vec<_>, Vec<_>) = envelope.into_iter().partition(|(key, _)| is_column(key));
            for (key, value) in once {
                json.own_under(key, value);
            }
            // A name stands in an object once, and the row's own go before those of what it came in.
            json.object(if is_column("envelope") { "envelope_of_row" } else { "envelope" }, |json| {
                for (key, value) in twice {
                    json.own_under(key, value);
                }
            });
            // A process without a number is not in the event, nor an account without a name.
            let by_process = process_number(row.initiating_process().id).is_some();
            let by_account = !row.account().name().is_blank();
            for (key, value) in row.fields.fields() {
                let said = match key {
                    "ActionType" => true,
                    "Timestamp" | "TimeGenerated" => value.text() == row.happened_at,
                    // Where it is no address, or one with something around it.
                    "RemoteIP" | "LocalIP" | "IPAddress" if self.address(key) != value.text() => false,
                    "RemoteUrl" | "Url" if bare_url(value.text()) != value.text() => false,
                    // A principal name that is no mail address is in the event where the account has no other name.
                    "AccountUpn" | "InitiatingProcessAccountUpn" if !is_mail_address(value.text()) => false,
                    _ if !by_process && INITIATING.contains(&key) => false,
                    _ if !by_account && ACCOUNT.contains(&key) => false,
                    _ => written.columns.iter().any(|columns| columns.contains(&key)),
                };
                if !said {
                    json.own_under(key, value);
                }
            }
        });
    }
}

/// Adds an entity of those that stand in the attribute `name`.
fn add_entity<'a>(observables: &mut Observables<'a>, name: &'static str, entity: &Evident<'a>) {
    let (device, account, message) = (entity.device, entity.account, &entity.message);
    let Process { image, parent_image, command_line, parent_command_line, .. } = entity.process;
    let mut add = |kind, text| observables.add(name, kind, text);
    add(HOSTNAME, device.name());
    add(DEVICE_ID, device.id);
    add(USER_NAME, account.account);
    add(USER_ID, account.sid);
    add(USER_ID, account.entra_id);
    for address in [account.principal, message.sender, message.envelope_sender] {
        add(MAIL_ADDRESS, address);
    }
    message.recipients.iter().for_each(|recipient| add(MAIL_ADDRESS, *recipient));
    add(ADDRESS, entity.address);
    add(ADDRESS, message.sender_address);
    add(URL, entity.url);
    add(COMMAND_LINE, command_line);
    add(COMMAND_LINE, parent_command_line);
    for file in [entity.file, image, parent_image].iter().chain(&entity.attachments) {
        add(FILE_NAME, file.name);
        file.hashes().into_iter().for_each(|hash| add(HASH, hash));
    }
}

/// Adds what the entity of a row of alert evidence tells besides the columns.
fn add_evident<'a>(observables: &mut Observables<'a>, row: &HuntingRow<'a>, evident: &Evident<'a>) {
    let (process, account, device) = (evident.process, evident.account, evident.device);
    // Of another device or account than the columns' own nothing else is in the event.
    let own = |is_own, name| if is_own { name } else { "unmapped.AdditionalFields" };
    let merged = row.device().or(device);
    observables.add(
        own(merged.name() == device.name(), "evidences[].device.hostname"),
        HOSTNAME,
        device.name(),
    );
    observables.add(own(merged.id == device.id, "evidences[].device.uid"), DEVICE_ID, device.id);
    let of_process = !process.is_blank();
    let (name, id, address) = if of_process {
        (
            "evidences[].process.user.name",
            "evidences[].process.user.uid",
            "evidences[].process.user.email_addr",
        )
    } else {
        ("evidences[].user.name", "evidences[].user.uid", "evidences[].user.email_addr")
    };
    let merged = if of_process { account } else { row.account().or(account) };
    observables.add(own(merged.account == account.account, name), USER_NAME, account.account);
    let own_id = account.sid.or(account.entra_id);
    observables.add(own(merged.sid.or(merged.entra_id) == own_id, id), USER_ID, own_id);
    observables.add(own(merged.principal == account.principal, address), MAIL_ADDRESS, account.principal);
    observables.add("evidences[].dst_endpoint.ip", ADDRESS, evident.address);
    observables.add("evidences[].url.url_string", URL, evident.url);
    let message = &evident.message;
    observables.add("evidences[].email.from", MAIL_ADDRESS, message.sender);
    for recipient in &message.recipients {
        observables.add("evidences[].email.to[]", MAIL_ADDRESS, *recipient);
    }
    observables.add("evidences[].email.x_originating_ip[]", ADDRESS, message.sender_address);
    observables.add("evidences[].email.message_uid", MESSAGE, message.internet_id);
    observables.add("evidences[].email.subject", MESSAGE, message.subject);
    for file in &evident.attachments {
        observables.add("unmapped.AdditionalFields", FILE_NAME, file.name);
        file.hashes().into_iter().for_each(|hash| observables.add("unmapped.AdditionalFields", HASH, hash));
    }
    observables.add("evidences[].process.cmd_line", COMMAND_LINE, process.command_line);
    let parent = "evidences[].process.parent_process.cmd_line";
    observables.add(parent, COMMAND_LINE, process.parent_command_line);
    for hash in evident.file.hashes() {
        observables.add("evidences[].file.hashes[].value", HASH, hash);
    }
    for hash in process.image.hashes() {
        observables.add("evidences[].process.file.hashes[].value", HASH, hash);
    }
    for hash in process.parent_image.hashes() {
        observables.add("evidences[].process.parent_process.file.hashes[].value", HASH, hash);
    }
}

const AUTHENTICATION: Class = Class { uid: 3002, name: "Authentication" };

/// The texts of a column that is a list, a list in a text, or else of the column `single`.
fn listed(row: &HuntingRow<'_>, column: &str, single: &str) -> Vec<String> {
    let text = row.text(column).decoded();
    let mut texts: Vec<String> = match serde_json::from_str::<Vec<String>>(&text) {
        Ok(list) => list,
        Err(_) if text.is_empty() => {
            row.fields.get(column).items().map(|item| item.text().decoded().into_owned()).collect()
        }
        Err(_) => vec![text.into_owned()],
    };
    if texts.is_empty() && !row.text(single).is_blank() {
        texts.push(row.text(single).decoded().into_owned());
    }
    texts.retain(|text| !text.trim().is_empty());
    texts
}

/// The host of a URL; columns named for a URL hold bare host names too.
fn host_of(text: Text<'_>) -> Text<'_> {
    let written = bare_url(text).as_written();
    let rest = written.split_once("://").map_or(written, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#', '\\', ':']).next().unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if !host.is_empty() && host.bytes().all(plain) { Text::as_in_json(host) } else { Text::default() }
}

/// The columns that analysts pivot on: where in the event they are, when the class has a place, and what they are.
const OBSERVABLES: &[(&str, &str, (i64, &str))] = &[
    ("DeviceName", "device.hostname", HOSTNAME),
    ("RemoteDeviceName", "src_endpoint.hostname", HOSTNAME),
    ("DestinationDeviceName", "dst_endpoint.hostname", HOSTNAME),
    ("TargetDeviceName", "unmapped.TargetDeviceName", HOSTNAME),
    ("UrlDomain", "unmapped.UrlDomain", HOSTNAME),
    (
        "InitiatingProcessRemoteSessionDeviceName",
        "unmapped.InitiatingProcessRemoteSessionDeviceName",
        HOSTNAME,
    ),
    ("ProcessRemoteSessionDeviceName", "unmapped.ProcessRemoteSessionDeviceName", HOSTNAME),
    ("InitiatingProcessRemoteSessionIP", "unmapped.InitiatingProcessRemoteSessionIP", ADDRESS),
    ("ProcessRemoteSessionIP", "unmapped.ProcessRemoteSessionIP", ADDRESS),
    ("QueryTarget", "unmapped.QueryTarget", RESOURCE),
    ("AwsResourceName", "unmapped.AwsResourceName", RESOURCE),
    ("GcpFullResourceName", "unmapped.GcpFullResourceName", RESOURCE),
    ("AzureResourceId", "unmapped.AzureResourceId", RESOURCE),
    ("KubernetesNamespace", "unmapped.KubernetesNamespace", RESOURCE),
    ("KubernetesPodName", "unmapped.KubernetesPodName", RESOURCE),
    ("KubernetesResource", "unmapped.KubernetesResource", RESOURCE),
    ("ContainerId", "unmapped.ContainerId", RESOURCE),
    ("DeviceId", "device.uid", DEVICE_ID),
    ("AadDeviceId", "device.uid_alt", DEVICE_ID),
    ("RemoteIP", "dst_endpoint.ip", ADDRESS),
    ("LocalIP", "src_endpoint.ip", ADDRESS),
    ("IPAddress", "src_endpoint.ip", ADDRESS),
    ("DestinationIPAddress", "dst_endpoint.ip", ADDRESS),
    ("PublicIP", "unmapped.PublicIP", ADDRESS),
    ("FileOriginIP", "unmapped.FileOriginIP", ADDRESS),
    ("RequestSourceIP", "unmapped.RequestSourceIP", ADDRESS),
    ("SenderIPv4", "email.x_originating_ip[]", ADDRESS),
    ("SenderIPv6", "email.x_originating_ip[]", ADDRESS),
    ("RemoteUrl", "url.url_string", URL),
    ("Url", "url.url_string", URL),
    ("FileOriginUrl", "unmapped.FileOriginUrl", URL),
    ("FileOriginReferrerUrl", "unmapped.FileOriginReferrerUrl", URL),
    ("AccountName", "user.name", USER_NAME),
    ("AccountUpn", "user.email_addr", USER_NAME),
    ("AccountId", "actor.user.name", USER_NAME),
    ("TargetAccountUpn", "unmapped.TargetAccountUpn", USER_NAME),
    ("RequestAccountName", "unmapped.RequestAccountName", USER_NAME),
    ("InitiatingProcessAccountName", "actor.user.name", USER_NAME),
    ("InitiatingProcessAccountUpn", "actor.user.email_addr", USER_NAME),
    ("AccountSid", "user.uid", USER_ID),
    ("AccountObjectId", "user.uid_alt", USER_ID),
    ("OnPremSid", "user.uid", USER_ID),
    ("CloudSid", "unmapped.CloudSid", USER_ID),
    ("RequestAccountSid", "unmapped.RequestAccountSid", USER_ID),
    ("RecipientObjectId", "unmapped.RecipientObjectId", USER_ID),
    ("InitiatingProcessAccountSid", "actor.user.uid", USER_ID),
    ("InitiatingProcessAccountObjectId", "actor.user.uid_alt", USER_ID),
    ("SenderFromAddress", "email.from", MAIL_ADDRESS),
    ("SenderMailFromAddress", "unmapped.SenderMailFromAddress", MAIL_ADDRESS),
    ("RecipientEmailAddress", "email.to[]", MAIL_ADDRESS),
    ("EmailAddress", "user.email_addr", MAIL_ADDRESS),
    ("NetworkMessageId", "email.uid", MESSAGE),
    ("InternetMessageId", "email.message_uid", MESSAGE),
    ("Subject", "email.subject", MESSAGE),
    ("EmailSubject", "unmapped.EmailSubject", MESSAGE),
    ("FileName", "file.name", FILE_NAME),
    ("PreviousFileName", "file.name", FILE_NAME),
    ("InitiatingProcessFileName", "actor.process.file.name", FILE_NAME),
    ("InitiatingProcessParentFileName", "actor.process.parent_process.file.name", FILE_NAME),
    ("FolderPath", "file.path", FILE_PATH),
    ("PreviousFolderPath", "file.path", FILE_PATH),
    ("InitiatingProcessFolderPath", "actor.process.file.path", FILE_PATH),
    ("SHA1", "file.hashes[].value", HASH),
    ("SHA256", "file.hashes[].value", HASH),
    ("MD5", "file.hashes[].value", HASH),
    ("InitiatingProcessSHA1", "actor.process.file.hashes[].value", HASH),
    ("InitiatingProcessSHA256", "actor.process.file.hashes[].value", HASH),
    ("InitiatingProcessMD5", "actor.process.file.hashes[].value", HASH),
    ("ProcessCommandLine", "process.cmd_line", COMMAND_LINE),
    ("InitiatingProcessCommandLine", "actor.process.cmd_line", COMMAND_LINE),
    ("RegistryKey", "reg_value.path", REGISTRY),
    ("PreviousRegistryKey", "prev_reg_value.path", REGISTRY),
    ("ObjectName", "resources[].name", RESOURCE),
    ("ObjectId", "resources[].uid", RESOURCE),
    ("ResourceId", "unmapped.ResourceId", RESOURCE),
    ("ApplicationId", "service.uid", RESOURCE),
    ("AlertId", "finding_info.uid", (99, "Alert ID")),
    ("IPv4Dhcp", "unmapped.IPv4Dhcp", ADDRESS),
    ("IPv6Dhcp", "unmapped.IPv6Dhcp", ADDRESS),
    ("EmailClusterId", "unmapped.EmailClusterId", RESOURCE),
    ("EmailActionPolicyGuid", "unmapped.EmailActionPolicyGuid", RESOURCE),
];

const OBSERVABLE_NAMES: [&str; OBSERVABLES.len()] = {
    let mut names = [""; OBSERVABLES.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = OBSERVABLES[at].0;
        at += 1;
    }
    names
};
static OBSERVABLES_BY_NAME: Names<256> = Names::of(&OBSERVABLE_NAMES);
