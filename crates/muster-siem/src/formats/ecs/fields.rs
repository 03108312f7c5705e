//! The table of all ECS fields that are emitted, and of those of Elastic Defend (`process.Ext`, `dll.Ext`, `Target`) that
//! Elastic's integration writes beside them and its detection rules ask for: type, origin, rule. It is the documentation of the format, and
//! what [`super::document`] goes by when it writes a value.

use muster_model::RecordKind::{
    self, EndpointAlert, GraphAlert, GraphIncident, HuntingRow, SiemDetection, XdrIncident,
};

use Holds::{Address, Flag, Mac, Number, Text, Time};

use crate::formats::writing::field::{ALL_KINDS, FieldDoc};

/// What a field holds, and so which texts are fit for it. A text that is not fit is left out: Elasticsearch refuses
/// the whole document for one wrong value, and the text is in Microsoft's own body all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Text,
    Number,
    Flag,
    Time,
    /// An IP address.
    Address,
    /// A hardware address, written as ECS wants it: `00-0D-3A-9E-C7-81`.
    Mac,
}

/// A field of ECS.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) holds: Holds,
    /// Whether ECS calls it a list. The others are lists too where there are several values, as Elastic's own
    /// integration has them: Elasticsearch makes no difference.
    pub(super) list: bool,
    pub(super) kinds: &'static [RecordKind],
    pub(super) source: &'static str,
    pub(super) rule: &'static str,
}

const FINDINGS: &[RecordKind] = &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident, SiemDetection];

/// A place in [`ROWS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Field(u16);

impl Field {
    /// The field `name`, which must be in the table.
    pub(super) const fn named(name: &str) -> Self {
        let mut at = 0;
        while at < ROWS.len() {
            if same(ROWS[at].name.as_bytes(), name.as_bytes()) {
                return Self(at as u16);
            }
            at += 1;
        }
        panic!("no such field in the table");
    }

    pub(super) fn row(self) -> &'static Row {
        &ROWS[self.place()]
    }

    /// Which row of the table it is.
    pub(super) fn place(self) -> usize {
        usize::from(self.0)
    }
}

/// Compares byte by byte, which a constant can do.
const fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// The table for documentation and explanation.
pub(crate) const FIELDS: &[FieldDoc] = &{
    let mut fields = [VENDOR[0]; ROWS.len() + VENDOR.len()];
    let mut at = 0;
    while at < ROWS.len() {
        let row = &ROWS[at];
        fields[at] = FieldDoc { name: row.name, kinds: row.kinds, source: row.source, rule: row.rule };
        at += 1;
    }
    while at < fields.len() {
        fields[at] = VENDOR[at - ROWS.len()];
        at += 1;
    }
    fields
};

/// Microsoft's own record.
const VENDOR: [FieldDoc; 6] = [
    vendor(
        "m365_defender.alert.*",
        &[RecordKind::GraphAlert],
        "snake case; some fields in objects, as Elastic has them",
    ),
    vendor(
        "m365_defender.incident.*",
        &[RecordKind::GraphIncident],
        "snake case; `alert` is the one alert of the document",
    ),
    vendor(
        "m365_defender.event.*",
        &[RecordKind::HuntingRow],
        "snake case; columns of one beginning in an object",
    ),
    vendor(
        "m365_defender.*",
        &[RecordKind::XdrIncident],
        "Microsoft's names; `alerts` is the one alert of the document",
    ),
    vendor("microsoft.defender_endpoint.*", &[RecordKind::EndpointAlert], "Microsoft's names"),
    vendor("microsoft.defender_siem.*", &[RecordKind::SiemDetection], "snake case"),
];

const fn vendor(name: &'static str, kinds: &'static [RecordKind], rule: &'static str) -> FieldDoc {
    FieldDoc { name, kinds, source: "the field of Microsoft's record, where it is not null or empty", rule }
}

/// A field with one value.
const fn one(
    name: &'static str,
    holds: Holds,
    kinds: &'static [RecordKind],
    source: &'static str,
    rule: &'static str,
) -> Row {
    Row { name, holds, list: false, kinds, source, rule }
}

/// A field that ECS calls a list.
const fn list(
    name: &'static str,
    holds: Holds,
    kinds: &'static [RecordKind],
    source: &'static str,
    rule: &'static str,
) -> Row {
    Row { list: true, ..one(name, holds, kinds, source, rule) }
}

/// Sorted by name, so that the fields of one object stand together.
#[rustfmt::skip]
pub(super) static ROWS: [Row; 244] = [
    one("@timestamp", Time, ALL_KINDS, "lastUpdateDateTime, lastUpdateTime, LastProcessedTimeUtc, Timestamp", "of an incident the incident's own; else the creation time"),
    one("Target.process.command_line", Text, &[HuntingRow], "ProcessCommandLine", "of the process that another one acted on, in DeviceEvents; a field of Elastic Defend"),
    one("Target.process.executable", Text, &[HuntingRow], "FolderPath, FileName", "of the process that another one acted on, in DeviceEvents; a field of Elastic Defend"),
    one("Target.process.name", Text, &[HuntingRow], "FileName", "of the process that another one acted on, in DeviceEvents; a field of Elastic Defend"),
    one("Target.process.pid", Number, &[HuntingRow], "ProcessId", "of the process that another one acted on, in DeviceEvents; a field of Elastic Defend"),
    one("Target.process.start", Time, &[HuntingRow], "ProcessCreationTime", "of the process that another one acted on, in DeviceEvents; a field of Elastic Defend"),
    one("cloud.account.id", Text, ALL_KINDS, "tenantId, aadTenantId", "the tenant's id as Muster knows it"),
    one("cloud.account.name", Text, ALL_KINDS, "the tenant's name in Muster", ""),
    one("cloud.instance.id", Text, &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident], "evidence[].vmMetadata.vmId, machineId", "of a Defender for Endpoint alert the id of the device"),
    one("cloud.provider", Text, ALL_KINDS, "`azure`; evidence[] of amazonResourceEvidence, googleCloudResourceEvidence", "`aws` and `gcp` where a resource is there"),
    one("cloud.region", Text, &[GraphAlert, HuntingRow], "evidence[].location (googleCloudResourceEvidence), Location of `Cloud…` tables", ""),
    one("cloud.service.name", Text, &[GraphAlert, HuntingRow], "evidence[].resourceType, ServiceType", ""),
    one("container.id", Text, &[GraphAlert, HuntingRow], "evidence[].containerId, ContainerId", ""),
    list("container.image.hash.all", Text, &[GraphAlert], "evidence[].digestImage.imageId", ""),
    one("container.image.name", Text, &[GraphAlert, HuntingRow], "evidence[].imageId (containerImageEvidence), ContainerImageName", ""),
    one("container.name", Text, &[GraphAlert, HuntingRow], "evidence[].name (containerEvidence), ContainerName", ""),
    one("container.security_context.privileged", Flag, &[GraphAlert], "evidence[].isPrivileged", ""),
    one("data_stream.dataset", Text, ALL_KINDS, "the kind of record", "the name of the data stream of Elastic's integration"),
    one("data_stream.namespace", Text, ALL_KINDS, "setting `namespace`", ""),
    one("data_stream.type", Text, ALL_KINDS, "`logs`", ""),
    one("destination.address", Text, &[GraphAlert, HuntingRow], "RemoteIP, LocalIP, DestinationIPAddress, RemoteUrl", "as `destination.ip`, and what is no address"),
    one("destination.domain", Text, &[HuntingRow], "RemoteUrl, DestinationDeviceName", ""),
    one("destination.ip", Address, &[GraphAlert, HuntingRow], "evidence[].destinationAddress; ipEvidence with a role of destination; RemoteIP or LocalIP, DestinationIPAddress", "the far side of what was connected to"),
    one("destination.mac", Mac, &[HuntingRow], "AdditionalFields.Destination Mac", ""),
    one("destination.port", Number, &[GraphAlert, HuntingRow], "evidence[].destinationPort; RemotePort or LocalPort, DestinationPort", ""),
    one("device.id", Text, &[HuntingRow], "AdditionalFields.SerialNumber, DeviceId", "of what was plugged in (`PnpDevice…`, `UsbDrive…`)"),
    one("device.manufacturer", Text, &[HuntingRow], "AdditionalFields.Manufacturer", "of what was plugged in"),
    one("device.model.name", Text, &[HuntingRow], "AdditionalFields.ProductName, DeviceDescription", "of what was plugged in"),
    one("dll.Ext.size", Number, &[HuntingRow], "FileSize", "a field of Elastic Defend"),
    one("dll.hash.md5", Text, &[HuntingRow], "MD5 (DeviceImageLoadEvents)", ""),
    one("dll.hash.sha1", Text, &[HuntingRow], "SHA1 (DeviceImageLoadEvents)", ""),
    one("dll.hash.sha256", Text, &[HuntingRow], "SHA256 (DeviceImageLoadEvents)", ""),
    one("dll.name", Text, &[HuntingRow], "FileName (DeviceImageLoadEvents)", ""),
    one("dll.path", Text, &[HuntingRow], "FolderPath (DeviceImageLoadEvents)", ""),
    one("dns.answers.data", Text, &[HuntingRow], "AdditionalFields.answers", ""),
    list("dns.header_flags", Text, &[HuntingRow], "AdditionalFields", ""),
    one("dns.question.class", Text, &[HuntingRow], "AdditionalFields.qclass_name", ""),
    one("dns.question.name", Text, &[GraphAlert, HuntingRow], "evidence[].domainName (dnsEvidence), AdditionalFields.query", ""),
    one("dns.question.type", Text, &[HuntingRow], "AdditionalFields.qtype_name", ""),
    list("dns.resolved_ip", Address, &[GraphAlert, HuntingRow], "evidence[].ipAddresses (dnsEvidence)", ""),
    one("dns.response_code", Text, &[HuntingRow], "AdditionalFields.rcode_name", ""),
    one("ecs.version", Text, ALL_KINDS, "setting `ecs_version`", ""),
    one("email.attachments.file.extension", Text, &[HuntingRow], "FileType", ""),
    one("email.attachments.file.hash.sha256", Text, &[HuntingRow], "SHA256 (EmailAttachmentInfo), `Files` of mails among entities", ""),
    one("email.attachments.file.name", Text, &[HuntingRow], "FileName (EmailAttachmentInfo), `Files` of mails among entities", ""),
    one("email.attachments.file.size", Number, &[HuntingRow], "FileSize (EmailAttachmentInfo), `Files` of mails among entities", ""),
    one("email.delivery_timestamp", Time, &[GraphAlert, GraphIncident], "evidence[].receivedDateTime", ""),
    one("email.direction", Text, &[GraphAlert, GraphIncident, HuntingRow], "evidence[].antiSpamDirection, messageDirection, EmailDirection", "lower case"),
    list("email.from.address", Text, &[GraphAlert, GraphIncident, XdrIncident, HuntingRow], "evidence[].p2Sender.emailAddress, sender, senderFromAddress; SenderFromAddress", ""),
    one("email.local_id", Text, &[GraphAlert, GraphIncident, XdrIncident, HuntingRow], "evidence[].networkMessageId, networkMessageIds; NetworkMessageId", ""),
    one("email.message_id", Text, &[GraphAlert, GraphIncident, XdrIncident, HuntingRow], "evidence[].internetMessageId; InternetMessageId", ""),
    one("email.sender.address", Text, &[GraphAlert, GraphIncident, HuntingRow], "evidence[].p1Sender.emailAddress; SenderMailFromAddress", ""),
    one("email.subject", Text, &[GraphAlert, GraphIncident, XdrIncident, HuntingRow], "evidence[].subject; Subject, EmailSubject", ""),
    list("email.to.address", Text, &[GraphAlert, GraphIncident, XdrIncident, HuntingRow], "evidence[].recipientEmailAddress, recipient, recipients; RecipientEmailAddress", ""),
    one("event.action", Text, ALL_KINDS, "evidence[].detectionStatus; category; ActionType, Action, DeliveryAction", "of Graph what was done; of the older APIs the category, as Elastic has it; of hunting rows the action in lower case, else what was done"),
    list("event.category", Text, ALL_KINDS, "the types of evidence; the table", "only values that ECS allows"),
    one("event.code", Text, &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident, SiemDetection], "detectorId, IoaDefinitionId", ""),
    one("event.created", Time, &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident, SiemDetection], "createdDateTime, alertCreationTime, createdTime, AlertTime", ""),
    one("event.dataset", Text, ALL_KINDS, "as `data_stream.dataset`", ""),
    one("event.duration", Number, &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident], "from the first to the last activity", "in nanoseconds"),
    one("event.end", Time, &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident], "lastActivityDateTime, lastEventTime, lastActivity", ""),
    one("event.id", Text, ALL_KINDS, "id, alertId, AlertId, ReportId", "of a Graph incident the incident's own; of a Defender XDR incident the alert's"),
    one("event.kind", Text, ALL_KINDS, "`alert`; of hunting rows `event`, of those of the alert tables `alert`", ""),
    one("event.module", Text, ALL_KINDS, "the kind of record", ""),
    one("event.original", Text, ALL_KINDS, "the whole record as Microsoft wrote it", "only with setting `event_original`"),
    one("event.outcome", Text, &[HuntingRow], "ActionType, FailureReason, ActionResult, LogonResult", ""),
    one("event.provider", Text, ALL_KINDS, "serviceSource, ServiceSource", "`defender_endpoint` for alerts of Defender for Endpoint"),
    one("event.reason", Text, &[HuntingRow], "FailureReason", ""),
    one("event.severity", Number, ALL_KINDS, "severity", "1 to 4 with ECS 8.11; 21, 47, 73, 99 with newer ones, as Elastic changed it"),
    one("event.start", Time, &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident], "firstActivityDateTime, firstEventTime, firstActivity", ""),
    one("event.timezone", Text, &[EndpointAlert, XdrIncident, SiemDetection], "`UTC`", ""),
    list("event.type", Text, ALL_KINDS, "the kind of record and its status; the action", ""),
    one("event.url", Text, &[GraphAlert, GraphIncident, XdrIncident, SiemDetection], "alertWebUrl, incidentWebUrl, incidentUri, LinkToMTP, LinkToWDATP", ""),
    one("file.Ext.original.name", Text, &[HuntingRow], "PreviousFileName", "before it was renamed; a field of Elastic Defend"),
    one("file.Ext.original.path", Text, &[HuntingRow], "PreviousFolderPath and PreviousFileName", "before it was renamed; a field of Elastic Defend"),
    one("file.code_signature.exists", Flag, &[HuntingRow], "IsSigned", ""),
    one("file.code_signature.status", Text, &[HuntingRow], "SignatureType", ""),
    one("file.code_signature.subject_name", Text, &[GraphAlert, HuntingRow], "evidence[].fileDetails.signer; Signer", ""),
    one("file.code_signature.trusted", Flag, &[HuntingRow], "IsTrusted", ""),
    one("file.directory", Text, ALL_KINDS, "the folder of the file", ""),
    one("file.extension", Text, ALL_KINDS, "FileName, FileType", ""),
    one("file.hash.md5", Text, &[GraphAlert, GraphIncident, SiemDetection, HuntingRow], "evidence[].fileDetails.md5, fileHashEvidence; MD5, Md5", ""),
    one("file.hash.sha1", Text, ALL_KINDS, "evidence[].fileDetails.sha1, fileHashEvidence; SHA1, Sha1", ""),
    one("file.hash.sha256", Text, ALL_KINDS, "evidence[].fileDetails.sha256, fileHashEvidence; SHA256, Sha256", ""),
    one("file.name", Text, ALL_KINDS, "evidence[].fileDetails.fileName; FileName", ""),
    one("file.path", Text, ALL_KINDS, "evidence[].fileDetails.filePath and fileName; FolderPath", "folder and name"),
    one("file.size", Number, &[GraphAlert, GraphIncident, HuntingRow], "evidence[].fileDetails.fileSize; FileSize", ""),
    list("file.x509.issuer.common_name", Text, &[HuntingRow], "Issuer", ""),
    one("file.x509.not_after", Time, &[HuntingRow], "CertificateExpirationTime", ""),
    one("file.x509.not_before", Time, &[HuntingRow], "CertificateCreationTime", ""),
    one("file.x509.serial_number", Text, &[HuntingRow], "CertificateSerialNumber", ""),
    one("group.domain", Text, &[GraphAlert], "evidence[].activeDirectoryDomainName", ""),
    one("group.id", Text, &[GraphAlert, XdrIncident], "evidence[].securityGroupId, sid (securityGroupEvidence)", ""),
    one("group.name", Text, &[GraphAlert, XdrIncident], "evidence[].displayName (securityGroupEvidence), securityGroupName", ""),
    one("host.architecture", Text, &[XdrIncident, HuntingRow], "devices[].osProcessor, OSArchitecture", ""),
    one("host.domain", Text, &[GraphAlert, GraphIncident, SiemDetection], "evidence[].dnsDomain, ntDomain, MachineDomain", ""),
    one("host.hostname", Text, ALL_KINDS, "evidence[].hostName, computerDnsName, MachineName", "else the first label of the full name"),
    one("host.id", Text, ALL_KINDS, "evidence[].mdeDeviceId, mdatpDeviceId, machineId, DeviceID, DeviceId", ""),
    list("host.ip", Address, &[GraphAlert, GraphIncident, SiemDetection, HuntingRow], "evidence[].ipInterfaces, lastIpAddress, InternalIPv4List, InternalIPv6List, PublicIP, IPAddresses", "addresses of the device itself only"),
    list("host.mac", Mac, &[GraphAlert, HuntingRow], "evidence[].macAddress, MacAddress", "in the notation of ECS"),
    one("host.name", Text, ALL_KINDS, "evidence[].deviceDnsName, computerDnsName, ComputerDnsName, DeviceName", "lower case"),
    one("host.os.full", Text, &[HuntingRow], "OSDistribution, OSVersionInfo", ""),
    one("host.os.kernel", Text, &[GraphAlert, GraphIncident, XdrIncident, HuntingRow], "evidence[].osBuild, OSBuild", ""),
    one("host.os.name", Text, &[GraphAlert, GraphIncident, XdrIncident, HuntingRow], "evidence[].osPlatform; OSPlatform", ""),
    one("host.os.platform", Text, &[HuntingRow], "OSDistribution", ""),
    one("host.os.type", Text, &[GraphAlert, GraphIncident, XdrIncident, HuntingRow], "evidence[].osPlatform; OSPlatform", "`windows`, `linux`, `macos`, `ios`, `android`"),
    one("host.os.version", Text, &[GraphAlert, GraphIncident, XdrIncident, HuntingRow], "evidence[].version; OSVersion", ""),
    one("host.risk.static_level", Text, &[GraphAlert, GraphIncident, XdrIncident], "evidence[].riskScore", ""),
    one("host.type", Text, &[GraphAlert, HuntingRow], "evidence[].deviceType; DeviceType", ""),
    one("http.request.referrer", Text, &[HuntingRow], "FileOriginReferrerUrl", ""),
    one("labels.action", Text, &[HuntingRow], "Action", "what was done to a mail, where the row names an action of its own"),
    list("labels.application", Text, &[GraphAlert, HuntingRow], "evidence[] of applications, service principals and AI agents; Application", "names and ids"),
    list("labels.entity", Text, &[GraphAlert, GraphIncident, XdrIncident, HuntingRow], "names and ids of evidence that ECS has no field for: cloud resources, repositories, sessions, agents", ""),
    one("labels.grandparent_name", Text, &[HuntingRow], "InitiatingProcessParentFileName", "of a process that was created, the parent of its parent"),
    one("labels.grandparent_pid", Text, &[HuntingRow], "InitiatingProcessParentId", "the same"),
    one("labels.grandparent_start", Text, &[HuntingRow], "InitiatingProcessParentCreationTime", "the same"),
    list("labels.message", Text, &[GraphAlert, GraphIncident, XdrIncident, HuntingRow], "evidence[].messageId, parentMessageId, threadId, subject of messages", ""),
    one("labels.muster_change", Text, FINDINGS, "what this version is to the one before", "see [what changed](changes.md)"),
    one("labels.muster_change_from", Text, FINDINGS, "the incident that an alert belonged to before", ""),
    one("labels.muster_change_to", Text, FINDINGS, "the incident that an alert belongs to now, or that an incident was merged into", ""),
    list("labels.muster_changed_fields", Text, FINDINGS, "the names of Microsoft's fields that changed", ""),
    one("labels.muster_more_changed_fields", Number, FINDINGS, "how many more did", ""),
    one("labels.previous_registry_data", Text, &[HuntingRow], "PreviousRegistryValueData", "before the change"),
    one("labels.process_size", Number, &[HuntingRow], "FileSize", "of a process that was created; ECS has no size of a process's image"),
    one("message", Text, ALL_KINDS, "description, displayName, title, AlertTitle, Title", "of an alert of Graph the description, of its incident the name, of the older APIs the title"),
    one("network.direction", Text, &[HuntingRow], "ActionType, AdditionalFields.direction", "`inbound`, `outbound`, or `unknown` where nothing tells it"),
    one("network.protocol", Text, &[HuntingRow], "Protocol; RequestProtocol; ActionType of inspected connections", "lower case; `Local` is none"),
    one("network.transport", Text, &[GraphAlert, HuntingRow], "evidence[].protocol; Protocol", "`tcp`, `udp`, `icmp`"),
    one("network.type", Text, &[HuntingRow], "Protocol", "`ipv4` of `TcpV4` and the like"),
    one("observer.name", Text, &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident, SiemDetection], "serviceSource, detectionSource", ""),
    one("observer.product", Text, &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident, SiemDetection], "productName; the product that the service source names", "of the older APIs as Elastic has it"),
    one("observer.type", Text, &[HuntingRow], "AdditionalFields, SensorType", ""),
    one("observer.vendor", Text, ALL_KINDS, "`Microsoft`", ""),
    one("observer.version", Text, &[HuntingRow], "ClientVersion", ""),
    one("orchestrator.cluster.name", Text, &[GraphAlert], "evidence[].name (kubernetesClusterEvidence)", ""),
    one("orchestrator.cluster.version", Text, &[GraphAlert], "evidence[].version (kubernetesClusterEvidence)", ""),
    one("orchestrator.namespace", Text, &[GraphAlert, HuntingRow], "evidence[].name (kubernetesNamespaceEvidence)", ""),
    list("orchestrator.resource.ip", Address, &[GraphAlert], "evidence[].podIp, clusterIP, externalIPs", ""),
    one("orchestrator.resource.name", Text, &[GraphAlert, HuntingRow], "evidence[].name of pods, services, controllers, secrets, service accounts", ""),
    one("orchestrator.resource.type", Text, &[GraphAlert, HuntingRow], "the type of that evidence", ""),
    one("orchestrator.type", Text, &[GraphAlert, HuntingRow], "`kubernetes`", ""),
    one("organization.id", Text, ALL_KINDS, "the tenant's id", ""),
    one("organization.name", Text, ALL_KINDS, "the tenant's name in Muster", ""),
    one("process.Ext.api.name", Text, &[HuntingRow], "ActionType", "without `ApiCall`; a field of Elastic Defend"),
    one("process.Ext.api.parameters.address", Number, &[HuntingRow], "AdditionalFields.BaseAddress", "of `…ApiCall` in DeviceEvents; a field of Elastic Defend"),
    one("process.Ext.api.parameters.desired_access_numeric", Number, &[HuntingRow], "AdditionalFields.DesiredAccess", "of `…ApiCall` in DeviceEvents; a field of Elastic Defend"),
    one("process.Ext.api.parameters.protection", Text, &[HuntingRow], "AdditionalFields.ProtectionMask", "of `…ApiCall` in DeviceEvents; a field of Elastic Defend"),
    one("process.Ext.api.parameters.size", Number, &[HuntingRow], "AdditionalFields.RegionSize", "of `…ApiCall` in DeviceEvents; a field of Elastic Defend"),
    one("process.Ext.token.integrity_level_name", Text, &[HuntingRow], "ProcessIntegrityLevel; InitiatingProcessIntegrityLevel", "that of `process`; a field of Elastic Defend"),
    list("process.args", Text, &[HuntingRow], "process.command_line", "cut into words"),
    one("process.args_count", Number, &[HuntingRow], "process.command_line", ""),
    one("process.code_signature.status", Text, &[HuntingRow], "InitiatingProcessSignatureStatus", ""),
    one("process.command_line", Text, ALL_KINDS, "evidence[].processCommandLine, CommandLine; ProcessCommandLine or InitiatingProcessCommandLine", ""),
    one("process.executable", Text, &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident, HuntingRow], "evidence[].imageFile.filePath and fileName; FolderPath or InitiatingProcessFolderPath", "folder and name"),
    one("process.hash.md5", Text, &[GraphAlert, GraphIncident, HuntingRow], "evidence[].imageFile.md5; MD5 or InitiatingProcessMD5", ""),
    one("process.hash.sha1", Text, &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident, HuntingRow], "evidence[].imageFile.sha1; SHA1 or InitiatingProcessSHA1", ""),
    one("process.hash.sha256", Text, &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident, HuntingRow], "evidence[].imageFile.sha256; SHA256 or InitiatingProcessSHA256", ""),
    one("process.name", Text, &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident, HuntingRow], "evidence[].imageFile.fileName; FileName or InitiatingProcessFileName", ""),
    one("process.parent.Ext.token.integrity_level_name", Text, &[HuntingRow], "InitiatingProcessIntegrityLevel", "of a process that was created; a field of Elastic Defend"),
    list("process.parent.args", Text, &[HuntingRow], "process.parent.command_line", "cut into words"),
    one("process.parent.args_count", Number, &[HuntingRow], "process.parent.command_line", ""),
    one("process.parent.code_signature.exists", Flag, &[HuntingRow], "InitiatingProcessSignatureStatus", ""),
    one("process.parent.code_signature.status", Text, &[HuntingRow], "InitiatingProcessSignatureStatus", ""),
    one("process.parent.code_signature.subject_name", Text, &[HuntingRow], "InitiatingProcessSignerType", ""),
    one("process.parent.code_signature.trusted", Flag, &[HuntingRow], "InitiatingProcessSignatureStatus", ""),
    one("process.parent.command_line", Text, &[HuntingRow], "InitiatingProcessCommandLine", ""),
    one("process.parent.executable", Text, &[GraphAlert, GraphIncident, EndpointAlert, HuntingRow], "evidence[].parentProcessImageFile.filePath and fileName; InitiatingProcessFolderPath", "folder and name"),
    one("process.parent.hash.md5", Text, &[GraphAlert, GraphIncident, HuntingRow], "evidence[].parentProcessImageFile.md5; InitiatingProcessMD5", ""),
    one("process.parent.hash.sha1", Text, &[GraphAlert, GraphIncident, HuntingRow], "evidence[].parentProcessImageFile.sha1; InitiatingProcessSHA1", ""),
    one("process.parent.hash.sha256", Text, &[GraphAlert, GraphIncident, HuntingRow], "evidence[].parentProcessImageFile.sha256; InitiatingProcessSHA256", ""),
    one("process.parent.name", Text, &[GraphAlert, GraphIncident, EndpointAlert, HuntingRow], "evidence[].parentProcessImageFile.fileName; InitiatingProcessFileName or InitiatingProcessParentFileName", ""),
    one("process.parent.pe.company", Text, &[HuntingRow], "InitiatingProcessVersionInfoCompanyName", ""),
    one("process.parent.pe.description", Text, &[HuntingRow], "InitiatingProcessVersionInfoFileDescription", ""),
    one("process.parent.pe.file_version", Text, &[HuntingRow], "InitiatingProcessVersionInfoProductVersion", ""),
    one("process.parent.pe.original_file_name", Text, &[HuntingRow], "InitiatingProcessVersionInfoOriginalFileName", ""),
    one("process.parent.pe.product", Text, &[HuntingRow], "InitiatingProcessVersionInfoProductName", ""),
    one("process.parent.pid", Number, &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident, HuntingRow], "evidence[].parentProcessId; InitiatingProcessId or InitiatingProcessParentId", ""),
    one("process.parent.start", Time, &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident, HuntingRow], "evidence[].parentProcessCreationDateTime; InitiatingProcessCreationTime or InitiatingProcessParentCreationTime", ""),
    one("process.parent.user.id", Text, &[HuntingRow], "InitiatingProcessAccountSid", ""),
    one("process.parent.user.name", Text, &[HuntingRow], "InitiatingProcessAccountName", ""),
    one("process.pe.company", Text, &[HuntingRow], "ProcessVersionInfoCompanyName or InitiatingProcessVersionInfoCompanyName", ""),
    one("process.pe.description", Text, &[HuntingRow], "ProcessVersionInfoFileDescription or InitiatingProcessVersionInfoFileDescription", ""),
    one("process.pe.file_version", Text, &[HuntingRow], "ProcessVersionInfoProductVersion or InitiatingProcessVersionInfoProductVersion", ""),
    one("process.pe.original_file_name", Text, &[HuntingRow], "ProcessVersionInfoOriginalFileName or InitiatingProcessVersionInfoOriginalFileName", ""),
    one("process.pe.product", Text, &[HuntingRow], "ProcessVersionInfoProductName or InitiatingProcessVersionInfoProductName", ""),
    one("process.pid", Number, &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident, HuntingRow], "evidence[].processId; ProcessId or InitiatingProcessId", ""),
    one("process.start", Time, &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident, HuntingRow], "evidence[].processCreationDateTime; ProcessCreationTime or InitiatingProcessCreationTime", ""),
    one("process.user.id", Text, &[GraphAlert, GraphIncident, XdrIncident, HuntingRow], "evidence[].userAccount.userSid (processEvidence); InitiatingProcessAccountSid", ""),
    one("process.user.name", Text, &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident, HuntingRow], "evidence[].userAccount.accountName (processEvidence); InitiatingProcessAccountName", ""),
    one("process.working_directory", Text, &[HuntingRow], "ProcessCurrentWorkingDirectory", ""),
    list("registry.data.strings", Text, &[GraphAlert, EndpointAlert, XdrIncident, HuntingRow], "evidence[].registryValue; RegistryValueData", ""),
    one("registry.data.type", Text, &[GraphAlert, EndpointAlert, XdrIncident, HuntingRow], "evidence[].registryValueType; RegistryValueType", ""),
    one("registry.hive", Text, &[GraphAlert, EndpointAlert, XdrIncident, HuntingRow], "evidence[].registryHive; RegistryKey", "abbreviated: `HKLM`"),
    one("registry.key", Text, &[GraphAlert, EndpointAlert, XdrIncident, HuntingRow], "evidence[].registryKey; RegistryKey", ""),
    one("registry.path", Text, &[GraphAlert, EndpointAlert, XdrIncident, HuntingRow], "hive, key and value", ""),
    one("registry.value", Text, &[GraphAlert, EndpointAlert, XdrIncident, HuntingRow], "evidence[].registryValueName; RegistryValueName", ""),
    list("related.hash", Text, ALL_KINDS, "every hash of the record", ""),
    list("related.hosts", Text, ALL_KINDS, "every name and id of a device, and domains of URLs", ""),
    list("related.ip", Address, ALL_KINDS, "every address of the record", ""),
    list("related.user", Text, ALL_KINDS, "every name and id of a person or account, and mail addresses", ""),
    one("rule.description", Text, &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident, SiemDetection], "description", ""),
    one("rule.id", Text, &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident, SiemDetection], "detectorId, IoaDefinitionId", ""),
    one("rule.name", Text, ALL_KINDS, "title, AlertTitle", ""),
    one("service.name", Text, &[HuntingRow], "ServiceSource", ""),
    one("service.type", Text, &[HuntingRow], "DetectionSource", ""),
    one("source.address", Text, &[GraphAlert, HuntingRow], "as `source.ip`", ""),
    one("source.domain", Text, &[HuntingRow], "RemoteDeviceName", ""),
    one("source.geo.city_name", Text, &[GraphAlert, HuntingRow], "evidence[].location.city; City", ""),
    one("source.geo.country_iso_code", Text, &[GraphAlert, HuntingRow], "evidence[].countryLetterCode; CountryCode", ""),
    one("source.geo.country_name", Text, &[GraphAlert], "evidence[].location.countryName", "of an address that is not the destination"),
    one("source.geo.location", Text, &[GraphAlert], "evidence[].location.latitude, longitude", "`latitude,longitude`"),
    one("source.geo.name", Text, &[HuntingRow], "Location", "of a row that is not about a cloud"),
    one("source.geo.region_name", Text, &[GraphAlert], "evidence[].location.state", "of an address that is not the destination"),
    one("source.ip", Address, &[GraphAlert, GraphIncident, HuntingRow], "evidence[].sourceAddress; ipEvidence with a role of attacker or source; senderIp; RemoteIP or LocalIP, IPAddress, SenderIPv4, RequestSourceIP", "of what comes in the far side"),
    one("source.mac", Mac, &[HuntingRow], "AdditionalFields.Source Mac", ""),
    one("source.port", Number, &[GraphAlert, HuntingRow], "evidence[].sourcePort; RemotePort or LocalPort, RequestSourcePort", ""),
    list("tags", Text, &[GraphAlert, GraphIncident, XdrIncident, SiemDetection], "systemTags, customTags, evidence[].tags", ""),
    one("threat.framework", Text, ALL_KINDS, "`MITRE ATT&CK`", "where there is a tactic or technique"),
    one("threat.group.name", Text, &[GraphAlert, GraphIncident, XdrIncident, SiemDetection], "actorDisplayName, actorName, Actor", ""),
    one("threat.software.name", Text, ALL_KINDS, "threatDisplayName, ThreatName; evidence[].name (malwareEvidence); threatFamilyName, ThreatFamily", ""),
    one("threat.software.type", Text, &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident, SiemDetection], "`Malware`", "where a threat is named"),
    list("threat.tactic.id", Text, &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident, HuntingRow], "category, categories", "where it is a tactic of MITRE ATT&CK"),
    list("threat.tactic.name", Text, &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident, HuntingRow], "category, categories", "as Microsoft writes it"),
    list("threat.technique.id", Text, &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident, HuntingRow], "mitreTechniques; AttackTechniques", "without the sub-technique"),
    list("threat.technique.name", Text, &[HuntingRow], "AttackTechniques", ""),
    list("threat.technique.subtechnique.id", Text, &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident, HuntingRow], "mitreTechniques; AttackTechniques", ""),
    list("threat.technique.subtechnique.name", Text, &[HuntingRow], "AttackTechniques", ""),
    one("url.domain", Text, ALL_KINDS, "evidence[].url; Url, RemoteUrl; else UrlDomain", ""),
    one("url.extension", Text, &[GraphAlert, GraphIncident, EndpointAlert, HuntingRow], "evidence[].url; Url", ""),
    one("url.fragment", Text, &[GraphAlert, HuntingRow], "evidence[].url; Url", ""),
    one("url.full", Text, ALL_KINDS, "evidence[].url, urls; Url; RemoteUrl", ""),
    one("url.original", Text, ALL_KINDS, "evidence[].url, urls; Url, RemoteUrl, AdditionalFields.Urls, UrlChain", "of a hunting row the first; the hosts of the others are in `related.hosts`"),
    one("url.password", Text, &[HuntingRow], "evidence[].url; Url", ""),
    one("url.path", Text, ALL_KINDS, "evidence[].url; Url", ""),
    one("url.port", Number, &[HuntingRow], "evidence[].url; Url", ""),
    one("url.query", Text, &[GraphAlert, HuntingRow], "evidence[].url; Url", ""),
    one("url.scheme", Text, ALL_KINDS, "evidence[].url; Url", ""),
    one("url.username", Text, &[HuntingRow], "evidence[].url; Url", ""),
    one("user.domain", Text, ALL_KINDS, "evidence[].userAccount.domainName; AccountDomain", ""),
    one("user.email", Text, &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident, HuntingRow], "evidence[].userAccount.userPrincipalName; AccountUpn", ""),
    one("user.full_name", Text, &[GraphAlert, GraphIncident, XdrIncident, HuntingRow], "evidence[].userAccount.displayName; AccountDisplayName", ""),
    one("user.id", Text, &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident, HuntingRow], "evidence[].userAccount.userSid, azureAdUserId; AccountSid, AccountObjectId", "of a hunting row the SID, else the directory's id; the other is in `related.user`"),
    one("user.name", Text, ALL_KINDS, "evidence[].userAccount.accountName; AccountName", "without any, people who were logged on"),
    one("user_agent.original", Text, &[GraphAlert, HuntingRow], "evidence[].userAgent; UserAgent", ""),
];
