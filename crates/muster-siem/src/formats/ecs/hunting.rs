//! The ECS fields of hunting rows. A row's table says what it is about; a row of a query with columns of its own is
//! mapped by the columns it has.

use muster_model::Severity;
use muster_model::json::Text;
use muster_model::json::{Kind, Value};

use super::alert::{
    add_device, add_hashes, add_process, add_registry, add_technique, add_user, os_type, place, related_user,
};
use super::document::{Document, field};
use super::fields::Field;
use super::options::EcsVersion;
use super::url;
use crate::formats::view::tables::{self, Direction};
use crate::formats::view::{Evident, File, HuntingRow, InnerTapes, Process, User, bare_address};

/// What Elastic's integration and ECS call a row of a table: the table's name or its beginning, `event.category`,
/// `event.type`. The first that fits.
const TABLES: [(&str, &[&str], &str); 32] = [
    ("AlertInfo", &["threat"], "indicator"),
    ("AlertEvidence", &["threat"], "indicator"),
    ("BehaviorInfo", &["threat"], "indicator"),
    ("BehaviorEntities", &["threat"], "indicator"),
    ("DeviceFileCertificateInfo", &["file"], "info"),
    ("DeviceFileEvents", &["file"], "info"),
    ("DeviceImageLoadEvents", &["library"], "start"),
    ("DeviceLogonEvents", &["authentication"], "info"),
    ("DeviceNetworkEvents", &["network"], "info"),
    ("DeviceNetworkInfo", &["network"], "info"),
    ("DeviceProcessEvents", &["process"], "info"),
    ("DeviceRegistryEvents", &["registry"], "change"),
    ("DeviceTvm", &["vulnerability"], "info"),
    ("Device", &["host"], "info"),
    ("EmailAttachmentInfo", &["email", "file"], "info"),
    ("EmailUrlInfo", &["email"], "info"),
    ("Email", &["email"], "info"),
    ("Message", &["email"], "info"),
    ("IdentityLogonEvents", &["authentication"], "info"),
    ("IdentityInfo", &["iam"], "user"),
    ("Identity", &["iam"], "info"),
    ("AADSignInEvents", &["authentication"], "info"),
    ("AADSpnSignInEvents", &["authentication"], "info"),
    ("EntraIdSignInEvents", &["authentication"], "info"),
    ("EntraIdSpnSignInEvents", &["authentication"], "info"),
    ("GraphApiAuditEvents", &["api"], "access"),
    ("UrlClickEvents", &["web"], "info"),
    ("CloudAppEvents", &["web"], "info"),
    ("CloudProcessEvents", &["process"], "info"),
    ("CloudAuditEvents", &["configuration"], "info"),
    ("CloudDnsEvents", &["network"], "info"),
    ("Cloud", &["network"], "info"),
];

/// What an action is in ECS.
struct Action {
    /// Microsoft's `ActionType`.
    name: &'static str,
    /// The beginning of the table in which it means that.
    table: &'static str,
    /// `event.action` where Elastic's integration has a word of its own; else it is Microsoft's in lower case.
    word: &'static str,
    kinds: &'static [&'static str],
}

const ACTIONS: [Action; 24] = [
    action("FileCreated", "DeviceFile", "creation", &["creation"]),
    action("FileModified", "DeviceFile", "modification", &["change"]),
    action("FileDeleted", "DeviceFile", "deletion", &["deletion"]),
    action("FileRenamed", "DeviceFile", "rename", &["change"]),
    action("ImageLoaded", "DeviceImageLoad", "load", &["start"]),
    action("DriverLoad", "DeviceEvents", "load", &["start"]),
    action("OpenProcessApiCall", "DeviceEvents", "", &["access"]),
    action("ProcessCreated", "DeviceProcess", "start", &["start"]),
    action("ProcessCreated", "CloudProcess", "start", &["start"]),
    action("RegistryKeyCreated", "DeviceRegistry", "creation", &["creation"]),
    action("RegistryKeyDeleted", "DeviceRegistry", "", &["deletion"]),
    action("RegistryKeyRenamed", "DeviceRegistry", "rename", &["change"]),
    action("RegistryValueDeleted", "DeviceRegistry", "deletion", &["deletion"]),
    action("RegistryValueSet", "DeviceRegistry", "modification", &["change"]),
    action("ConnectionSuccess", "DeviceNetwork", "", &["start", "connection"]),
    action("InboundConnectionAccepted", "DeviceNetwork", "", &["start", "connection"]),
    action("ListeningConnectionCreated", "DeviceNetwork", "", &["start"]),
    action("ConnectionFailed", "DeviceNetwork", "", &["connection", "info"]),
    action("ConnectionRequest", "DeviceNetwork", "", &["connection", "info"]),
    action("ConnectionFound", "DeviceNetwork", "", &["connection", "info"]),
    action("ConnectionAttempt", "DeviceNetwork", "", &["connection", "info"]),
    action("ConnectionAcknowledged", "DeviceNetwork", "", &["connection", "info"]),
    action("InboundConnectionAttempt", "DeviceNetwork", "", &["connection", "info"]),
    action("InboundConnectionBlocked", "DeviceNetwork", "", &["connection", "denied"]),
];

const fn action(
    name: &'static str,
    table: &'static str,
    word: &'static str,
    kinds: &'static [&'static str],
) -> Action {
    Action { name, table, word, kinds }
}

/// Adds what a row says.
pub(super) fn add_row<'a>(
    document: &mut Document<'a>,
    version: EcsVersion,
    row: &HuntingRow<'a>,
    inner: &'a InnerTapes<'a>,
) {
    let text = |column| row.text(column);
    let table = row.table.as_written();
    document.add(field!("@timestamp"), row.happened_at);
    add_kind(document, version, row, inner);
    outcome(document, row);

    let more = inner.get(row, "AdditionalFields");
    let evident = inner.evident(row);
    add_host(document, row, inner, &evident);
    add_processes(document, row);
    if !evident.process.is_blank() {
        add_evident_process(document, row, &evident);
    }
    add_api_call(document, row, more);
    add_target(document, row);
    if text("ActionType").as_written() == "PowerShellCommand" {
        document.add(field!("labels.entity"), more.text_of("Command"));
    }
    add_subject_file(document, row, table, &evident);
    add_accounts(document, row, inner, &evident);
    add_network(document, row, more);
    add_mail(document, row, more);
    document.add(field!("threat.software.name"), evident.threat_family);
    document.add(field!("related.ip"), evident.address);
    add_attachments(document, &evident);
    add_urls(document, row, inner, &evident);
    add_registry(
        document,
        Text::default(),
        text("RegistryKey").or(text("PreviousRegistryKey")),
        text("RegistryValueName").or(text("PreviousRegistryValueName")),
        text("RegistryValueData"),
        text("RegistryValueType"),
    );
    document.add(field!("labels.previous_registry_data"), text("PreviousRegistryValueData"));
    add_cloud(document, row);
    for entity in inner.entities(row) {
        add_entity(document, &entity);
    }
}

/// Adds an entity of an alert of Sentinel. The first account and device are those of the row where it has none of its own.
fn add_entity<'a>(document: &mut Document<'a>, entity: &Evident<'a>) {
    if !document.has(field!("host.name")) && !document.has(field!("host.id")) {
        add_device(document, &entity.device);
    }
    if !document.has(field!("user.name")) && !document.has(field!("user.id")) {
        add_user(document, &User { sid: entity.account.sid.or(entity.account.entra_id), ..entity.account });
    }
    for name in [entity.device.name(), entity.device.host_name, entity.device.id] {
        document.add(field!("related.hosts"), name);
    }
    related_user(document, &entity.account);
    document.add(field!("related.ip"), entity.address);
    url::add_host(document, entity.url);
    let Process { image, parent_image, .. } = entity.process;
    for file in [entity.file, image, parent_image] {
        document.add_all(field!("related.hash"), file.hashes());
        document.add(field!("labels.entity"), file.name);
    }
    let message = &entity.message;
    for address in message.recipients.iter().copied().chain([message.sender, message.envelope_sender]) {
        document.add(field!("related.user"), address);
    }
    document.add(field!("related.ip"), message.sender_address);
    add_attachments(document, entity);
    document.add(field!("threat.software.name"), entity.threat_family);
}

/// What is attached to the mail that an entity is.
fn add_attachments<'a>(document: &mut Document<'a>, entity: &Evident<'a>) {
    for file in &entity.attachments {
        document.add(field!("email.attachments.file.name"), file.name);
        document.add(field!("email.attachments.file.size"), file.size);
        document.add(field!("email.attachments.file.hash.sha256"), file.sha256);
        document.add_all(field!("related.hash"), file.hashes());
    }
}

/// `event.kind`, `category`, `type`, `action`, `id`, and what alert rows say.
fn add_kind<'a>(
    document: &mut Document<'a>,
    version: EcsVersion,
    row: &HuntingRow<'a>,
    inner: &'a InnerTapes<'a>,
) {
    let text = |column| row.text(column);
    let table = row.table.as_written();
    let alert = table.starts_with("Alert");
    document.plain(field!("event.kind"), if alert { "alert" } else { "event" });
    let action_type = text("ActionType");
    let action = ACTIONS
        .iter()
        .find(|action| action.name == action_type.as_written() && table.starts_with(action.table));
    // One value: what was done to a mail says it only where the row names no action of its own.
    match action {
        Some(action) if !action.word.is_empty() => document.plain(field!("event.action"), action.word),
        _ if action_type.is_blank() => {
            document.add(field!("event.action"), text("Action").or(text("DeliveryAction")));
        }
        _ => document.plain(field!("event.action"), action_type.decoded().to_lowercase().replace(' ', "-")),
    }
    if !action_type.is_blank() {
        document.add(field!("labels.action"), text("Action"));
    }
    let known = TABLES.iter().find(|(name, _, _)| table.starts_with(name));
    let entity: Option<&str> = match text("EntityType").as_written() {
        "File" if alert => Some("file"),
        "Process" if alert => Some("process"),
        "Registry" | "RegistryKey" | "RegistryValue" if alert => Some("registry"),
        "Ip" | "Url" if alert => Some("network"),
        "User" | "SecurityGroup" if alert => Some("iam"),
        "Machine" if alert => Some("host"),
        "MailMessage" | "Mailbox" | "MailCluster" if alert => Some("email"),
        _ => None,
    };
    if let Some(category) = entity {
        document.plain(field!("event.category"), category);
        document.plain(field!("event.type"), "info");
    }
    match text("DeliveryAction").as_written() {
        "Delivered" => document.plain(field!("event.type"), "allowed"),
        "Blocked" => document.plain(field!("event.type"), "denied"),
        _ => {}
    }
    match action_type.as_written() {
        "DriverLoad" => document.plain(field!("event.category"), "driver"),
        _ if api_call(row).is_some() => document.plain(field!("event.category"), "api"),
        _ => known
            .map(|(_, categories, _)| *categories)
            .unwrap_or_default()
            .iter()
            .for_each(|category| document.plain(field!("event.category"), *category)),
    }
    match action {
        Some(action) => action.kinds.iter().for_each(|kind| document.plain(field!("event.type"), *kind)),
        None => {
            document.plain(field!("event.type"), known.map_or("info", |(_, _, kind)| kind));
            if action_type.as_written().ends_with("ConnectionInspected") {
                document.plain(field!("event.type"), "protocol");
            }
        }
    }
    let own_id = text("ReportId");
    let counts = table.starts_with("Device");
    document.add(
        field!("event.id"),
        text("AlertId").or(text("BehaviorId")).or(if counts { Text::default() } else { own_id }),
    );
    document.add(field!("event.provider"), text("ServiceSource"));
    document.add(field!("service.name"), text("ServiceSource"));
    document.add(field!("service.type"), text("DetectionSource"));
    document.add(field!("message"), text("Title"));
    document.add(field!("rule.name"), text("Title"));
    if let Some(number) = version.severity(Severity::from_wire(text("Severity").as_written())) {
        document.number(field!("event.severity"), number);
    }
    let mut framework = false;
    let categories = inner.get(row, "Categories").items().map(Value::text);
    for category in categories.chain([text("Category")]) {
        if let Some(tactic) = tables::tactic(category.as_written()) {
            document.plain(field!("threat.tactic.id"), tactic.id);
            document.add(field!("threat.tactic.name"), category);
            framework = true;
        }
    }
    let more = inner.get(row, "AdditionalFields");
    let techniques = inner.get(row, "AttackTechniques").items().map(Value::text);
    for technique in techniques.chain(more.text_of("AttackTechniques").split(&[','])) {
        framework |= add_named_technique(document, technique);
    }
    if framework {
        document.plain(field!("threat.framework"), "MITRE ATT&CK");
    }
    for name in [text("ThreatFamily"), text("MalwareFamily")] {
        document.add(field!("threat.software.name"), name);
    }
}

/// Adds `Cloud Accounts (T1078.004)`.
fn add_named_technique<'a>(document: &mut Document<'a>, technique: Text<'a>) -> bool {
    let written = technique.as_written();
    let Some((name, rest)) = written.rsplit_once('(') else {
        return false;
    };
    let id = Text::as_in_json(rest.trim_end_matches([')', ' ']));
    let name = Text::as_in_json(name.trim());
    if !id.as_written().starts_with('T') {
        return false;
    }
    add_technique(document, id);
    if id.as_written().contains('.') {
        document.add(field!("threat.technique.subtechnique.name"), name);
    } else {
        document.add(field!("threat.technique.name"), name);
    }
    true
}

fn outcome<'a>(document: &mut Document<'a>, row: &HuntingRow<'a>) {
    let said = [row.text("ActionResult"), row.text("LogonResult")];
    let action = row.text("ActionType");
    let action = action.as_written();
    let ends = |word: &str| said.iter().any(|text| tables::same(text.as_written(), word));
    if ends("Success") || action.ends_with("Success") || action.ends_with("Succeeded") {
        document.plain(field!("event.outcome"), "success");
    } else if ends("Failed") || ends("Error") || action.ends_with("Failed") || action.ends_with("Failure") {
        document.plain(field!("event.outcome"), "failure");
    } else if !row.text("ErrorCode").is_blank() {
        let good = row.text("ErrorCode").as_written() == "0";
        document.plain(field!("event.outcome"), if good { "success" } else { "failure" });
    }
    document.add(field!("event.reason"), row.text("FailureReason"));
}

fn add_host<'a>(
    document: &mut Document<'a>,
    row: &HuntingRow<'a>,
    inner: &'a InnerTapes<'a>,
    evident: &Evident<'a>,
) {
    let text = |column| row.text(column);
    let device = row.device().or(evident.device);
    let more = inner.get(row, "AdditionalFields");
    add_device(document, &device);
    // The columns may be about another device.
    for name in [evident.device.name(), evident.device.id] {
        document.add(field!("related.hosts"), name);
    }
    document.add(field!("host.type"), text("DeviceType"));
    document.add(field!("host.architecture"), text("OSArchitecture"));
    document.add(field!("host.os.platform"), text("OSDistribution"));
    document.add(field!("host.os.full"), text("OSVersionInfo"));
    document.add(field!("host.mac"), text("MacAddress"));
    document.add(field!("host.ip"), text("PublicIP"));
    document.add(field!("related.ip"), text("PublicIP"));
    document.add(field!("observer.version"), text("ClientVersion"));
    document.add(field!("observer.type"), text("DeviceCategory"));
    for address in inner.get(row, "IPAddresses").items() {
        let address = address.text_of("IPAddress").or(address.text());
        document.add(field!("host.ip"), address);
        document.add(field!("related.ip"), address);
    }
    for column in ["IPv4Dhcp", "IPv6Dhcp"] {
        document.add(field!("related.ip"), text(column));
    }
    for server in inner.get(row, "DnsAddresses").items() {
        document.add(field!("related.ip"), server.text());
    }
    add_plugged_in(document, row, more);
    let platform = more.text_of("SourceComputerOperatingSystemType");
    os_type(document, platform);
    let windows = |path: Text<'_>| {
        let path = path.as_written().as_bytes();
        path.first().is_some_and(u8::is_ascii_alphabetic) && path.get(1..3) == Some(b":\\")
    };
    if device.os_platform.is_blank()
        && (windows(text("FolderPath"))
            || windows(text("InitiatingProcessFolderPath"))
            || text("RegistryKey").as_written().starts_with("HKEY_"))
    {
        os_type(document, Text::as_in_json("windows"));
    }
    let macos = |path: Text<'_>| {
        ["/Applications/", "/System/", "/Users/", "/Library/", "/Volumes/"]
            .iter()
            .any(|folder| path.as_written().starts_with(folder))
    };
    if device.os_platform.is_blank()
        && (macos(text("FolderPath")) || macos(text("InitiatingProcessFolderPath")))
    {
        os_type(document, Text::as_in_json("macos"));
    }
    for column in ["RemoteDeviceName", "DestinationDeviceName", "TargetDeviceName", "SourceComputerName"] {
        document.add(field!("related.hosts"), text(column));
    }
}

/// What was plugged into the device.
fn add_plugged_in<'a>(document: &mut Document<'a>, row: &HuntingRow<'a>, more: Value<'a>) {
    let action = row.text("ActionType");
    let action = action.as_written();
    if !action.starts_with("PnpDevice") && !action.starts_with("UsbDrive") {
        return;
    }
    document.add(field!("device.id"), more.first_text(&["SerialNumber", "DeviceId"]));
    document.add(field!("device.manufacturer"), more.text_of("Manufacturer"));
    document.add(field!("device.model.name"), more.first_text(&["ProductName", "DeviceDescription"]));
    for key in ["DriveLetter", "ClassName"] {
        document.add(field!("labels.entity"), more.text_of(key));
    }
}

/// The process that the row is about, and the one that did it as its parent; or the latter alone.
fn add_processes<'a>(document: &mut Document<'a>, row: &HuntingRow<'a>) {
    let text = |column| row.text(column);
    let acting = row.initiating_process();
    let subject = row.process();
    let created = row.table.as_written().ends_with("ProcessEvents") && !subject.is_blank();
    document.add(field!("process.working_directory"), text("ProcessCurrentWorkingDirectory"));
    if created {
        let parent = Process {
            image: row.file(),
            parent_id: acting.id,
            parent_created_at: acting.created_at,
            parent_image: acting.image,
            ..subject
        };
        add_process(document, &parent);
        document.add(field!("process.name"), text("ProcessName"));
        add_integrity(document, text("ProcessIntegrityLevel"));
        add_words(document, subject.command_line, field!("process.args"), field!("process.args_count"));
        add_version(document, row, OWN_VERSION, PROCESS_PE);
        let parent_line = acting.command_line;
        document.add(field!("process.parent.command_line"), parent_line);
        document.add(field!("process.parent.name"), text("ParentProcessName"));
        document.add(field!("process.parent.pid"), text("ParentProcessId"));
        // ECS ends at the parent.
        document.add(field!("labels.grandparent_name"), acting.parent_image.name);
        document.add(field!("labels.grandparent_pid"), acting.parent_id);
        document.add(field!("labels.grandparent_start"), acting.parent_created_at);
        document.add(field!("labels.process_size"), row.file().size);
        let level = text("InitiatingProcessIntegrityLevel");
        if !tables::says_nothing(level.as_written()) {
            document.add(field!("process.parent.Ext.token.integrity_level_name"), level);
        }
        add_words(document, parent_line, field!("process.parent.args"), field!("process.parent.args_count"));
        add_version(document, row, INITIATING_VERSION, PARENT_PE);
        signature(document, row);
        let owner = row.initiating_account();
        document.add(field!("process.parent.user.name"), owner.account);
        document.add(field!("process.parent.user.id"), owner.sid);
        let account = row.account();
        document.add(field!("process.user.name"), account.account);
        document.add(field!("process.user.id"), account.sid.or(account.entra_id));
    } else {
        let (alone, integrity) = if acting.is_blank() {
            (subject, text("ProcessIntegrityLevel"))
        } else {
            (acting, text("InitiatingProcessIntegrityLevel"))
        };
        if alone.is_blank() {
            return;
        }
        add_process(document, &alone);
        add_integrity(document, integrity);
        add_words(document, alone.command_line, field!("process.args"), field!("process.args_count"));
        add_version(document, row, INITIATING_VERSION, PROCESS_PE);
        document.add(field!("process.code_signature.status"), text("InitiatingProcessSignatureStatus"));
        let owner = if acting.is_blank() { row.account() } else { row.initiating_account() };
        document.add(field!("process.user.name"), owner.account);
        document.add(field!("process.user.id"), owner.sid.or(owner.entra_id));
    }
}

/// The name of the call of the operating system that a row is about (`OpenProcess`).
fn api_call<'a>(row: &HuntingRow<'a>) -> Option<&'a str> {
    let name = row.text("ActionType").as_written().strip_suffix("ApiCall")?;
    (row.table.as_written() == "DeviceEvents").then_some(name)
}

/// A call. ECS has no fields for it; these are of Elastic Defend, and Elastic's rules ask for them, and for what it acts
/// on (`LSASS Process Access via Windows API`).
fn add_api_call<'a>(document: &mut Document<'a>, row: &HuntingRow<'a>, more: Value<'a>) {
    let Some(name) = api_call(row) else { return };
    document.plain(field!("process.Ext.api.name"), name);
    for (field, key) in [
        (field!("process.Ext.api.parameters.address"), "BaseAddress"),
        (field!("process.Ext.api.parameters.size"), "RegionSize"),
        (field!("process.Ext.api.parameters.protection"), "ProtectionMask"),
        (field!("process.Ext.api.parameters.desired_access_numeric"), "DesiredAccess"),
    ] {
        document.add(field, more.text_of(key));
    }
}

/// The process that another one acted on, where a row of `DeviceEvents` is about two: `process` is the one that did it. ECS
/// has no fields for it; these are of Elastic Defend.
fn add_target<'a>(document: &mut Document<'a>, row: &HuntingRow<'a>) {
    let (acting, mut subject) = (row.initiating_process(), row.process());
    if api_call(row).is_some() {
        subject.image = row.file();
    }
    let nothing = subject.is_blank() && subject.created_at.is_blank();
    if row.table.as_written() != "DeviceEvents" || acting.is_blank() || nothing {
        return;
    }
    document.add(field!("Target.process.pid"), subject.id);
    document.add(field!("Target.process.start"), subject.created_at);
    document.add(field!("Target.process.name"), subject.image.name);
    document.plain(field!("Target.process.executable"), place(&subject.image).1);
    document.add(field!("Target.process.command_line"), subject.command_line);
}

/// How far the process is trusted, in a field of Elastic Defend that Elastic's rules ask for.
fn add_integrity<'a>(document: &mut Document<'a>, level: Text<'a>) {
    if !tables::says_nothing(level.as_written()) {
        document.add(field!("process.Ext.token.integrity_level_name"), level);
    }
}

/// The process that a row of alert evidence is about.
fn add_evident_process<'a>(document: &mut Document<'a>, row: &HuntingRow<'a>, evident: &Evident<'a>) {
    let process = evident.process;
    add_process(document, &process);
    if row.text("ProcessCommandLine").is_blank() {
        add_words(document, process.command_line, field!("process.args"), field!("process.args_count"));
    }
    let line = process.parent_command_line;
    document.add(field!("process.parent.command_line"), line);
    add_words(document, line, field!("process.parent.args"), field!("process.parent.args_count"));
    let account = evident.account;
    document.add(field!("process.user.name"), account.account);
    document.add(field!("process.user.id"), account.sid.or(account.entra_id));
}

/// The fields of what a program says of itself: company, description, version, original name, product.
const PROCESS_PE: [Field; 5] = [
    Field::named("process.pe.company"),
    Field::named("process.pe.description"),
    Field::named("process.pe.file_version"),
    Field::named("process.pe.original_file_name"),
    Field::named("process.pe.product"),
];
const PARENT_PE: [Field; 5] = [
    Field::named("process.parent.pe.company"),
    Field::named("process.parent.pe.description"),
    Field::named("process.parent.pe.file_version"),
    Field::named("process.parent.pe.original_file_name"),
    Field::named("process.parent.pe.product"),
];

/// The columns of the same, of the process and of the one that started it.
const OWN_VERSION: [&str; 5] = [
    "ProcessVersionInfoCompanyName",
    "ProcessVersionInfoFileDescription",
    "ProcessVersionInfoProductVersion",
    "ProcessVersionInfoOriginalFileName",
    "ProcessVersionInfoProductName",
];
const INITIATING_VERSION: [&str; 5] = [
    "InitiatingProcessVersionInfoCompanyName",
    "InitiatingProcessVersionInfoFileDescription",
    "InitiatingProcessVersionInfoProductVersion",
    "InitiatingProcessVersionInfoOriginalFileName",
    "InitiatingProcessVersionInfoProductName",
];

fn add_version<'a>(
    document: &mut Document<'a>,
    row: &HuntingRow<'a>,
    columns: [&str; 5],
    fields: [Field; 5],
) {
    for (field, column) in fields.into_iter().zip(columns) {
        document.add(field, row.text(column));
    }
}

/// What is known of the signature of the process that did it.
fn signature<'a>(document: &mut Document<'a>, row: &HuntingRow<'a>) {
    let status = row.text("InitiatingProcessSignatureStatus");
    if status.is_blank() || tables::same(status.as_written(), "Unknown") {
        return;
    }
    let valid = tables::same(status.as_written(), "Valid");
    document
        .flag(field!("process.parent.code_signature.exists"), !tables::same(status.as_written(), "Unsigned"));
    document.flag(field!("process.parent.code_signature.trusted"), valid);
    if valid {
        document.plain(field!("process.parent.code_signature.status"), "trusted");
    } else {
        document.add(field!("process.parent.code_signature.status"), status);
    }
    document
        .add(field!("process.parent.code_signature.subject_name"), row.text("InitiatingProcessSignerType"));
}

/// A command line cut into words at blanks outside of quotes, and without the quotes.
fn add_words<'a>(document: &mut Document<'a>, command_line: Text<'a>, words: Field, count: Field) {
    if command_line.is_blank() {
        return;
    }
    let line = command_line.decoded();
    let list = cut(&line);
    document.number(count, i64::try_from(list.len()).unwrap_or(i64::MAX));
    for word in list {
        document.plain(words, word);
    }
}

fn cut(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quoted, mut begun) = (String::new(), false, false);
    for letter in line.chars() {
        match letter {
            '"' => {
                quoted = !quoted;
                begun = true;
            }
            letter if letter.is_whitespace() && !quoted => {
                if begun {
                    words.push(std::mem::take(&mut word));
                    begun = false;
                }
            }
            letter => {
                word.push(letter);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

/// The file or library that the row is about.
fn add_subject_file<'a>(
    document: &mut Document<'a>,
    row: &HuntingRow<'a>,
    table: &str,
    evident: &Evident<'a>,
) {
    let text = |column| row.text(column);
    let file = row.file().or(evident.file);
    let own = !table.ends_with("ProcessEvents");
    let process = text("EntityType").as_written() == "Process";
    if own && !file.is_blank() {
        if table == "EmailAttachmentInfo" {
            document.add(field!("email.attachments.file.name"), file.name);
            document.add(field!("email.attachments.file.size"), file.size);
            document.add(field!("email.attachments.file.hash.sha256"), file.sha256);
            document.lower(field!("email.attachments.file.extension"), text("FileType"));
            document.lower(field!("file.extension"), text("FileType"));
        }
        if table == "DeviceImageLoadEvents" || text("ActionType").as_written() == "DriverLoad" {
            document.add(field!("dll.name"), file.name);
            document.plain(field!("dll.path"), place(&file).1);
            document.add(field!("dll.Ext.size"), file.size);
            add_hashes(
                document,
                &file,
                [field!("dll.hash.md5"), field!("dll.hash.sha1"), field!("dll.hash.sha256")],
            );
        }
        if process {
            document.add(field!("process.name"), file.name);
        }
        super::alert::add_file(document, &file);
    } else if !own && row.process().is_blank() && !file.is_blank() {
        super::alert::add_file(document, &file);
    }
    let before = File { name: text("PreviousFileName"), path: text("PreviousFolderPath"), ..File::default() };
    document.add(field!("file.Ext.original.name"), before.name);
    document.plain(field!("file.Ext.original.path"), place(&before).1);
    document.add(field!("file.code_signature.exists"), text("IsSigned"));
    document.add(field!("file.code_signature.trusted"), text("IsTrusted"));
    document.add(field!("file.code_signature.subject_name"), text("Signer"));
    document.add(field!("file.code_signature.status"), text("SignatureType"));
    document.add(field!("file.x509.issuer.common_name"), text("Issuer"));
    document.add(field!("file.x509.not_after"), text("CertificateExpirationTime"));
    document.add(field!("file.x509.not_before"), text("CertificateCreationTime"));
    document.add(field!("file.x509.serial_number"), text("CertificateSerialNumber"));
    for column in ["IssuerHash", "SignerHash"] {
        document.add(field!("related.hash"), text(column));
    }
}

/// People and accounts.
fn add_accounts<'a>(
    document: &mut Document<'a>,
    row: &HuntingRow<'a>,
    inner: &'a InnerTapes<'a>,
    evident: &Evident<'a>,
) {
    let text = |column| row.text(column);
    let mut account = row.account();
    related_user(document, &evident.account);
    if evident.process.is_blank() {
        account = account.or(evident.account);
    }
    let acting = row.initiating_account();
    account.account = account.account.or(text("RequestAccountName")).or(text("Account"));
    account.domain = account.domain.or(text("RequestAccountDomain"));
    account.sid = account.sid.or(text("RequestAccountSid"));
    account.entra_id = account.entra_id.or(text("ObjectId"));
    account.display_name = account.display_name.or(text("SenderDisplayName"));
    if account.name().is_blank() || account.account.is_blank() && account.name() == account.display_name {
        account = User { display_name: account.display_name, ..acting };
    }
    // ECS has one id of a user. Who has a SID is known by it to everything else on the device.
    let id = account.sid.or(account.entra_id);
    add_user(document, &User { sid: id, entra_id: Text::default(), ..account });
    for user in [account, row.account(), acting] {
        related_user(document, &user);
    }
    for column in ["TargetAccountUpn", "TargetAccountDisplayName", "AccountId", "OnPremSid", "EmailAddress"] {
        document.add(field!("related.user"), text(column));
    }
    if tables::says_nothing(account.account.as_written()) {
        document.add(field!("user.name"), text("AccountDisplayName"));
        if id.is_blank() {
            document.add(field!("user.id"), text("AccountId").or(row.account().entra_id));
        }
        document.add(field!("related.user"), text("AccountDisplayName"));
    }
    document.add(field!("user.email"), bare_address(text("EmailAddress")));
    for user in inner.get(row, "LoggedOnUsers").items() {
        document.add(field!("related.user"), user.text_of("UserName"));
        document.add(field!("related.user"), user.text_of("Sid"));
        document.add(field!("related.hosts"), user.text_of("DomainName"));
    }
    for recipient in inner.get(row, "RecipientDetails").items() {
        let address = bare_address(recipient.text_of("RecipientSmtpAddress"));
        document.add(field!("email.to.address"), address);
        document.add(field!("related.user"), address);
        document.add(field!("related.user"), recipient.text_of("RecipientObjectId"));
    }
}

/// Both ends of a connection.
fn add_network<'a>(document: &mut Document<'a>, row: &HuntingRow<'a>, more: Value<'a>) {
    let text = |column| row.text(column);
    let table = row.table.as_written();
    let action = text("ActionType");
    let direction = Direction::of(action.as_written(), more.text_of("direction").as_written());
    let inbound = direction == Direction::Inbound || table.contains("Logon");
    let (local, remote) = ((text("LocalIP"), text("LocalPort")), (text("RemoteIP"), text("RemotePort")));
    let local_and_remote_are_blank =
        ["LocalIP", "RemoteIP", "IPAddress"].iter().all(|column| text(column).is_blank());
    let (source, destination) = if inbound { (remote, local) } else { (local, remote) };
    let identity = text("IPAddress");
    let source = (
        source.0.or(identity).or(text("SenderIPv4")).or(text("RequestSourceIP")),
        source.1.or(text("Port")).or(text("RequestSourcePort")),
    );
    let destination =
        (destination.0.or(text("DestinationIPAddress")), destination.1.or(text("DestinationPort")));
    document.add(field!("source.ip"), source.0);
    document.add(field!("source.ip"), text("SenderIPv6"));
    document.add(field!("source.port"), source.1);
    document.add(field!("source.address"), source.0);
    // Who did it from elsewhere.
    document.add(field!("source.domain"), text("RemoteDeviceName"));
    document.add(field!("http.request.referrer"), text("FileOriginReferrerUrl"));
    document.add(field!("destination.ip"), destination.0);
    document.add(field!("destination.port"), destination.1);
    document.add(field!("destination.address"), destination.0);
    document.lower(field!("destination.domain"), text("DestinationDeviceName"));
    for column in [
        "LocalIP",
        "RemoteIP",
        "IPAddress",
        "DestinationIPAddress",
        "SenderIPv4",
        "SenderIPv6",
        "FileOriginIP",
        "RequestSourceIP",
    ] {
        for address in text(column).split(&[',']) {
            document.add(field!("related.ip"), address);
        }
    }
    if table.starts_with("Identity") {
        // There it is the address of the device.
        document.add(field!("host.ip"), identity);
    }
    document.add(field!("source.mac"), more.text_of("Source Mac"));
    document.add(field!("destination.mac"), more.text_of("Destination Mac"));
    let (city, country) = (text("City"), text("CountryCode"));
    document.add(field!("source.geo.city_name"), city);
    document.add(field!("source.geo.country_iso_code"), country);

    let protocol = text("Protocol").as_written().to_ascii_lowercase();
    let transport = ["tcp", "udp", "icmp"].into_iter().find(|name| protocol.starts_with(name));
    let inspected = action.as_written().strip_suffix("ConnectionInspected");
    match transport {
        Some(transport) => document.plain(field!("network.transport"), transport),
        // The package of Windows that decides on a logon is none.
        None if protocol.contains("package") => {}
        None => document.plain(field!("network.protocol"), protocol.clone()),
    }
    let family = [("v4", "ipv4"), ("v6", "ipv6")].into_iter().find(|(end, _)| protocol.ends_with(end));
    if let (Some(_), Some((_, family))) = (transport, family) {
        document.plain(field!("network.type"), family);
    }
    document.plain(field!("network.protocol"), inspected.unwrap_or_default().to_lowercase());
    // Of a file that was asked for over a share. `Local` is the other value, and no protocol.
    let requested = text("RequestProtocol");
    if !tables::says_nothing(requested.as_written()) && !tables::same(requested.as_written(), "Local") {
        document.lower(field!("network.protocol"), requested);
    }
    if table.starts_with("DeviceNetwork") {
        let direction = match direction {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
            Direction::Unknown => "unknown",
        };
        document.plain(field!("network.direction"), direction);
    }
    // Who did it through a remote session, where the row has no other far side.
    let session = text("InitiatingProcessRemoteSessionIP").or(text("ProcessRemoteSessionIP"));
    document.add(field!("related.ip"), session);
    if local_and_remote_are_blank {
        document.add(field!("source.ip"), session);
        document.add(field!("source.address"), session);
    }
    for column in ["InitiatingProcessRemoteSessionDeviceName", "ProcessRemoteSessionDeviceName"] {
        document.add(field!("related.hosts"), text(column));
    }
    document.add(field!("dns.question.name"), more.text_of("query"));
    let target = text("QueryTarget");
    if tables::same(&protocol, "dns") {
        document.add(field!("dns.question.name"), target);
        document.lower(field!("related.hosts"), target);
    } else {
        document.add(field!("labels.entity"), target);
    }
    document.add(field!("dns.question.class"), more.text_of("qclass_name"));
    document.add(field!("dns.question.type"), more.text_of("qtype_name"));
    for answer in inner_list(more.get("answers")) {
        document.plain(field!("dns.answers.data"), answer.clone());
        document.plain(field!("dns.resolved_ip"), answer.clone());
        document.plain(field!("related.ip"), answer);
    }
    document.add(field!("dns.response_code"), more.text_of("rcode_name"));
    for flag in ["AA", "TC", "RD", "RA"] {
        if more.text_of(flag).as_written() == "true" {
            document.plain(field!("dns.header_flags"), flag);
        }
    }
    document.add(field!("user_agent.original"), text("UserAgent").or(more.text_of("user_agent")));
}

/// The items of a list, or of a list that is written as a string (`["192.0.2.1","x.example"]`).
fn inner_list(value: Value<'_>) -> Vec<String> {
    if value.kind() != Some(Kind::String) {
        return value.items().map(|item| item.text().decoded().into_owned()).collect();
    }
    let list = value.text().decoded();
    list.split(['[', ']', ',', '"', ' ']).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// The URL that the row is about. Of several the first is it, since ECS has one; the hosts of the others are related.
fn add_urls<'a>(
    document: &mut Document<'a>,
    row: &HuntingRow<'a>,
    inner: &'a InnerTapes<'a>,
    evident: &Evident<'a>,
) {
    let text = |column| row.text(column);
    let more = inner.get(row, "AdditionalFields");
    let listed = more.get("Urls").items().chain(inner.get(row, "UrlChain").items()).map(Value::text);
    let mut all =
        [text("Url"), text("RemoteUrl"), evident.url].into_iter().chain(listed).filter(|url| !url.is_blank());
    if let Some(first) = all.next() {
        url::add(document, first);
    }
    for other in all {
        url::add_host(document, other);
    }
    let domain = text("UrlDomain");
    document.lower(field!("related.hosts"), domain);
    if !domain.is_blank() && !document.has(field!("url.domain")) {
        document.lower(field!("url.domain"), domain);
    }
}

/// Mail and Teams messages.
fn add_mail<'a>(document: &mut Document<'a>, row: &HuntingRow<'a>, more: Value<'a>) {
    let text = |column| row.text(column);
    let message_id = text("InternetMessageId").or(more.text_of("InternetMessageId")).decoded();
    let message_id = message_id.trim_start_matches('<').trim_end_matches('>').to_owned();
    document.plain(field!("email.message_id"), message_id);
    document.add(field!("email.local_id"), text("NetworkMessageId").or(more.text_of("NetworkMessageId")));
    document
        .add(field!("email.subject"), text("Subject").or(text("EmailSubject")).or(more.text_of("Subject")));
    document.lower(field!("email.direction"), text("EmailDirection"));
    let from =
        bare_address(text("SenderFromAddress").or(text("SenderEmailAddress")).or(more.text_of("P2Sender")));
    document.add(field!("email.from.address"), from);
    let envelope = bare_address(text("SenderMailFromAddress").or(more.text_of("Sender")));
    document.add(field!("email.sender.address"), envelope);
    let to = bare_address(text("RecipientEmailAddress").or(more.text_of("Recipient")));
    document.add(field!("email.to.address"), to);
    for address in [from, envelope, to] {
        document.add(field!("related.user"), address);
    }
    for column in ["SenderObjectId", "RecipientObjectId"] {
        document.add(field!("related.user"), text(column));
    }
    for column in ["SenderFromDomain", "SenderMailFromDomain"] {
        document.add(field!("related.hosts"), text(column));
    }
    for column in ["TeamsMessageId", "MessageId", "ThreadId", "ParentMessageId", "EmailClusterId"] {
        document.add(field!("labels.message"), text(column));
    }
    let address = more.text_of("SenderIP");
    document.add(field!("source.ip"), address);
    document.add(field!("related.ip"), address);
}

/// Cloud resources, containers, applications.
fn add_cloud<'a>(document: &mut Document<'a>, row: &HuntingRow<'a>) {
    let text = |column| row.text(column);
    let has = |column| !text(column).is_blank();
    let provider = match () {
        () if has("AwsResourceName") => "aws",
        () if has("GcpFullResourceName") => "gcp",
        () => "azure",
    };
    document.plain(field!("cloud.provider"), provider);
    // Elsewhere it is where somebody is.
    let is_cloud = row.table.as_written().starts_with("Cloud");
    document.add(if is_cloud { field!("cloud.region") } else { field!("source.geo.name") }, text("Location"));
    if has("KubernetesNamespace") || has("KubernetesPodName") || has("KubernetesResource") {
        document.plain(field!("orchestrator.type"), "kubernetes");
        document.add(field!("orchestrator.namespace"), text("KubernetesNamespace"));
        document.add(field!("orchestrator.resource.name"), text("KubernetesPodName"));
        if has("KubernetesPodName") {
            document.plain(field!("orchestrator.resource.type"), "pod");
        }
    }
    document.add(field!("cloud.service.name"), text("ServiceType"));
    document.add(field!("container.id"), text("ContainerId"));
    document.add(field!("container.name"), text("ContainerName"));
    document.add(field!("container.image.name"), text("ContainerImageName"));
    for column in ["Application", "ApplicationId", "OAuthApplicationId", "AppInstanceId"] {
        document.add(field!("labels.application"), text(column));
    }
    for column in [
        "AzureResourceId",
        "AwsResourceName",
        "GcpFullResourceName",
        "KubernetesResource",
        "SubscriptionId",
        "StorageAccount",
        "ResourceId",
        "CloudResourceId",
        "SessionId",
    ] {
        document.add(field!("labels.entity"), text(column));
    }
}

#[cfg(test)]
mod tests {
    use super::{ACTIONS, TABLES, cut};

    #[test]
    fn command_lines_are_cut_into_words() {
        assert_eq!(cut(r#""a b.exe"  /u "C:\x y" z"#), ["a b.exe", "/u", r"C:\x y", "z"]);
        assert_eq!(cut(r#""" x"#), ["", "x"]);
        assert!(cut("  ").is_empty());
    }

    #[test]
    fn a_table_stands_before_its_own_beginning() {
        for (at, (name, _, _)) in TABLES.iter().enumerate() {
            for (later, _, _) in &TABLES[at + 1..] {
                assert!(!later.starts_with(name), "{later} is never reached");
            }
        }
        for (at, action) in ACTIONS.iter().enumerate() {
            let again = |later: &super::Action| (later.name, later.table) == (action.name, action.table);
            assert!(!ACTIONS[at + 1..].iter().any(again), "{} twice", action.name);
        }
    }
}
