//! What CEF and LEEF have in common: a flat line of keys and values for each record. One walk over the record gives
//! both, each under its own keys ([`Slot`]); how a line begins and what is escaped is in `cef` and `leef`.
//!
//! Evidence is not flat. The rule: the flat fields hold the first device, user, file, process, connection, address
//! and URL; where there are more, a list of all of them stands in a key of our own, items apart by `; `, with a `;`
//! inside an item written `%3B`. No list is cut.

use std::net::IpAddr;

use jiff::Timestamp;
use muster_model::json::Text;
use muster_model::time::{Unzoned, moment};
use muster_model::{Record, RecordKind, Severity, TenantLabel};

use super::distinct::Distinct;
use super::edit::Syntax;
use super::leef;
use super::tables::EvidenceKind;
use super::view::{Alert, Comment, Connection, Facts, HuntingRow, Incident, View};
use super::visible::{self, Place};
use super::{FieldDoc, tenant_id};

/// A field: how it begins in CEF, the field that says its label where it is a custom one, and how it begins in LEEF.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// With the space before it and the equals sign behind it.
    cef: &'static str,
    /// The whole field; empty where there is none.
    label: &'static str,
    /// With the equals sign behind it.
    leef: &'static str,
}

use RecordKind::{EndpointAlert, GraphAlert, GraphIncident, HuntingRow as Row, SiemDetection, XdrIncident};

const ALL: &[RecordKind] = &RecordKind::ALL;
const INCIDENTS: &[RecordKind] = &[GraphIncident, XdrIncident];
const FINDINGS: &[RecordKind] = &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident, SiemDetection];
const ROWS: &[RecordKind] = &[Row];
const GRAPH: &[RecordKind] = &[GraphAlert, GraphIncident];
const NOT_SIEM: &[RecordKind] = &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident];
const NOT_ENDPOINT: &[RecordKind] = &[GraphAlert, GraphIncident, XdrIncident, SiemDetection];
const GRAPH_AND_SIEM: &[RecordKind] = &[GraphAlert, GraphIncident, SiemDetection];
const DEFENDER: &[RecordKind] = &[GraphAlert, EndpointAlert];
const DEFENDER_AND_SIEM: &[RecordKind] = &[GraphAlert, EndpointAlert, SiemDetection];
const XDR: &[RecordKind] = &[GraphAlert, GraphIncident, XdrIncident];

const SIGNATURE_SOURCE: &str =
    "`detectorId`, `IoaDefinitionId`, else `category`; a hunting row's `ActionType`, else its table";
const SIGNATURE_RULE: &str = "where there is none, `alert`, `incident` or `hunting`";

/// Each field once: the constant, its key in CEF with the label, its key in LEEF, and where its value comes from.
macro_rules! slots {
    ($($name:ident: $cef:literal $label:literal $leef:literal $kinds:ident $source:literal $rule:literal;)*) => {
        $(const $name: Slot = Slot {
            cef: concat!(" ", $cef, "="),
            label: if $label.is_empty() { "" } else { concat!(" ", $cef, "Label=", $label) },
            leef: concat!($leef, "="),
        };)*

        /// CEF's fields: the head's, then the extension's.
        pub(super) const CEF_FIELDS: &[FieldDoc] = &[
            FieldDoc { name: "head.vendor", kinds: ALL, source: "setting `device_vendor`", rule: "" },
            FieldDoc { name: "head.product", kinds: ALL, source: "setting `device_product`", rule: "" },
            FieldDoc { name: "head.version", kinds: ALL, source: "setting `device_version`", rule: "" },
            FieldDoc { name: "head.signature", kinds: ALL, source: SIGNATURE_SOURCE, rule: SIGNATURE_RULE },
            FieldDoc {
                name: "head.name",
                kinds: ALL,
                source: "as `muTitle`",
                rule: "newlines are spaces there; `Microsoft Defender` where there is none",
            },
            FieldDoc {
                name: "head.severity",
                kinds: ALL,
                source: "`severity`, `Severity`",
                rule: "high 8, medium 6, low 3, informational 1, anything else 0",
            },
            $(FieldDoc { name: $cef, kinds: $kinds, source: $source, rule: $rule },)*
            FieldDoc {
                name: "mu*",
                kinds: ROWS,
                source: "every other column of the row",
                rule: "`mu` and the column's name",
            },
        ];

        /// LEEF's fields: the head's, then the attributes.
        pub(super) const LEEF_FIELDS: &[FieldDoc] = &[
            FieldDoc { name: "head.vendor", kinds: ALL, source: "setting `device_vendor`", rule: "" },
            FieldDoc { name: "head.product", kinds: ALL, source: "setting `device_product`", rule: "" },
            FieldDoc { name: "head.version", kinds: ALL, source: "setting `device_version`", rule: "" },
            FieldDoc { name: "head.event_id", kinds: ALL, source: SIGNATURE_SOURCE, rule: SIGNATURE_RULE },
            FieldDoc {
                name: "sev",
                kinds: ALL,
                source: "`severity`, `Severity`",
                rule: "of LEEF's 1 to 10: high 8, medium 6, low 3, informational and anything else 1",
            },
            FieldDoc {
                name: "devTimeFormat",
                kinds: ALL,
                source: "constant",
                rule: "`yyyy-MM-dd'T'HH:mm:ss.SSSZ`, with `devTime`",
            },
            $(FieldDoc { name: $leef, kinds: $kinds, source: $source, rule: $rule },)*
            FieldDoc { name: "*", kinds: ROWS, source: "every other column of the row", rule: "under its own name" },
        ];

        /// The label of each field of CEF, empty where it has none.
        #[cfg(test)]
        pub(super) const CEF_LABELS: &[(&str, &str)] = &[$(($cef, $label),)*];
    };
}

slots! {
    ID: "externalId" "" "recordId" ALL
        "`id`; XDR `incidentId`; SIEM `AlertId`; of a hunting row the hash of its content" "";
    SEVERITY: "deviceSeverity" "" "severityName" ALL
        "`severity`, `Severity`" "`High`, `Medium`, `Low`, `Informational`, or Microsoft's word";
    CREATED: "rt" "" "devTime" ALL
        "`createdDateTime`; `alertCreationTime`; `createdTime`; `AlertTime`; `Timestamp`" "a time";
    UPDATED: "deviceCustomDate1" "lastUpdateDateTime" "lastUpdateTime" ALL
        "`lastUpdateDateTime`; `lastUpdateTime`; `LastProcessedTimeUtc`; `Timestamp`" "a time";
    TENANT_ID: "cs2" "tenantId" "tenantId" ALL "the tenant's Entra id" "";
    TENANT_NAME: "cs3" "tenantName" "tenantName" ALL "the tenant's name in Muster" "";
    TITLE: "muTitle" "" "title" ALL
        "`title`; `displayName`; `incidentName`; `AlertTitle`; a hunting row's `ActionType`, else its table"
        "in CEF the head's name, and here only where that is another text";
    DESCRIPTION: "msg" "" "msg" FINDINGS "`description`, of a Graph incident else `summary`; `Description`" "";
    SUMMARY: "muSummary" "" "summary" GRAPH "`summary` of an incident with a `description`" "";
    START: "start" "" "firstActivityTime" NOT_SIEM
        "`firstActivityDateTime`; `firstEventTime`; `alerts[].firstActivity`" "a time; of an incident the earliest of its alerts";
    END: "end" "" "lastActivityTime" NOT_SIEM
        "`lastActivityDateTime`; `lastEventTime`; `alerts[].lastActivity`" "a time; of an incident the latest of its alerts";
    CATEGORY: "cat" "" "cat" ALL
        "`category`, else the first of `categories`; `Category`; a hunting row's table" "of an incident of its first alert that has one";
    DETECTION_SOURCE: "sourceServiceName" "" "detectionSource" FINDINGS
        "`detectionSource`; `Source`" "of an incident of its first alert that has one";
    SERVICE_SOURCE: "deviceFacility" "" "serviceSource" XDR
        "`serviceSource`" "of an incident of its first alert that has one";
    THREAT: "cs1" "threatName" "threatName" FINDINGS
        "`threatDisplayName`; `threatName`; `ThreatName`" "of an incident of its first alert that has one";
    ACTOR: "cs4" "actor" "actor" NOT_ENDPOINT
        "`actorDisplayName`; `actorName`; `Actor`" "of an incident of its first alert that has one";
    ALERT_COUNT: "cn3" "alertCount" "alertCount" INCIDENTS "`alerts`" "how many";
    ALERT_URL: "flexString1" "alertWebUrl" "alertWebUrl" NOT_ENDPOINT
        "`alertWebUrl`; `LinkToMTP`, else `LinkToWDATP`" "of an incident the place of its own address";
    INCIDENT_ID: "flexString2" "incidentId" "incidentId" NOT_SIEM "`incidentId`; of a Graph incident `id`" "";
    RESOLVED: "deviceCustomDate2" "resolvedDateTime" "resolvedTime" DEFENDER
        "`resolvedDateTime`; `resolvedTime`" "a time";
    STATUS: "muStatus" "" "status" NOT_SIEM "`status`" "";
    CLASSIFICATION: "muClassification" "" "classification" NOT_SIEM "`classification`" "";
    DETERMINATION: "muDetermination" "" "determination" NOT_SIEM "`determination`" "";
    ASSIGNED_TO: "muAssignedTo" "" "assignedTo" NOT_SIEM "`assignedTo`" "";
    INVESTIGATION_ID: "muInvestigationId" "" "investigationId" DEFENDER "`investigationId`" "";
    INVESTIGATION_STATE: "muInvestigationState" "" "investigationState" DEFENDER "`investigationState`" "";
    PRODUCT: "muProductName" "" "productName" GRAPH "`productName`" "";
    DETECTOR_ID: "muDetectorId" "" "detectorId" FINDINGS
        "`detectorId`; `IoaDefinitionId`" "of an incident a list over its alerts; of an alert the head's signature or event id";
    POLICY_ID: "muAlertPolicyId" "" "alertPolicyId" GRAPH "`alertPolicyId`" "";
    PROVIDER_ALERT_ID: "muProviderAlertId" "" "providerAlertId" GRAPH_AND_SIEM "`providerAlertId`; `ExternalId`" "";
    INCIDENT_URL: "muIncidentWebUrl" "" "incidentWebUrl" NOT_ENDPOINT
        "`incidentWebUrl`; `incidentUri`; `IncidentLinkToMTP`, else `IncidentLinkToWDATP`"
        "in CEF of an incident in `flexString1`, with the label `incidentWebUrl`";
    THREAT_FAMILY: "muThreatFamily" "" "threatFamily" DEFENDER_AND_SIEM "`threatFamilyName`; `ThreatFamily`" "";
    PRIORITY: "muPriorityScore" "" "priorityScore" GRAPH "`priorityScore`" "";
    REDIRECT: "muRedirectIncidentId" "" "redirectIncidentId" INCIDENTS "`redirectIncidentId`" "";
    RESOLVING_COMMENT: "muResolvingComment" "" "resolvingComment" GRAPH "`resolvingComment`" "";
    MODIFIED_BY: "muLastModifiedBy" "" "lastModifiedBy" GRAPH "`lastModifiedBy`" "";
    ALERT_IDS: "muAlertIds" "" "alertIds" INCIDENTS "`alerts[].id`; `alerts[].alertId`" "a list";
    ALERT_TITLES: "muAlertTitles" "" "alertTitles" INCIDENTS "`alerts[].title`" "a list";
    CATEGORIES: "muCategories" "" "categories" FINDINGS
        "`category`, `categories`" "a list, of an incident over its alerts; where there is more than one";
    TECHNIQUES: "muTechniques" "" "techniques" NOT_SIEM "`mitreTechniques`" "a list, of an incident over its alerts";
    TAGS: "muTags" "" "tags" XDR "`systemTags`, `customTags`, `tags`" "a list";
    COMMENTS: "muComments" "" "comments" NOT_SIEM "`comments`" "a list: time, author and text of each";
    HOST: "shost" "" "identHostName" ALL
        "`deviceDnsName`, else `hostName` or `deviceName`; `computerDnsName`; `ComputerDnsName`, else `MachineName`; `DeviceName`" "of the first named device";
    HOST_DOMAIN: "sourceDnsDomain" "" "deviceDomain" ALL "`dnsDomain`; `MachineDomain`" "else the end of the full name";
    HOST_ID: "deviceExternalId" "" "deviceId" ALL
        "`mdeDeviceId`; `machineId`; `mdatpDeviceId`; `DeviceID`; `DeviceId`" "of the same device";
    OS: "muOsPlatform" "" "osPlatform" ALL "`osPlatform`; `OSPlatform`" "of the same device";
    HOST_GROUP: "muDeviceGroup" "" "deviceGroup" ALL "`rbacGroupName`; `MachineGroup`" "of the same device";
    HOSTS: "muDevices" "" "devices" FINDINGS "the names of devices" "a list, where there is more than one";
    HOST_IDS: "muDeviceIds" "" "deviceIds" FINDINGS
        "the ids of devices, with `azureAdDeviceId`, `aadDeviceId`" "a list, where there is more than the flat field";
    USER_DOMAIN: "sntdom" "" "domain" ALL "`domainName`; `UserDomain`; `AccountDomain`" "of the first user";
    USER: "suser" "" "usrName" ALL
        "`accountName`, else principal name, display name, SID, id; `UserName`; `AccountName`" "of the first user; of a hunting row else of the process that did it";
    USER_PRINCIPAL: "muUserPrincipalName" "" "userPrincipalName" ALL "`userPrincipalName`; `AccountUpn`" "of the same user";
    USER_SID: "muUserSid" "" "userSid" ALL "`userSid`; `AccountSid`" "of the same user";
    USER_ID: "muUserId" "" "userId" ALL "`azureAdUserId`; `aadUserId`; `AccountObjectId`" "of the same user";
    USER_DISPLAY_NAME: "muUserDisplayName" "" "userDisplayName" ALL "`displayName`; `AccountDisplayName`" "of the same user, where it is not the name already";
    USERS: "muUsers" "" "users" FINDINGS "domains and names of users" "a list of `domain\\name`, where there is more than one";
    USER_IDS: "muUserIds" "" "userIds" FINDINGS
        "principal names, SIDs and ids of users" "a list, where there are more than the flat fields";
    LOGGED_ON: "suid" "" "loggedOnUsers" FINDINGS "`loggedOnUsers`; `LogOnUsers`" "a list of `domain\\name`";
    FILE_NAME: "fname" "" "fileName" ALL "`fileName`; `FileName`" "of the first file";
    FILE_PATH: "filePath" "" "filePath" ALL "`filePath`; `FilePath`; `FolderPath`" "of the same file";
    FILE_SIZE: "fsize" "" "fileSize" ALL "`fileSize`; `FileSize`" "of the same file";
    SHA1: "fileHash" "" "sha1" ALL "`sha1`; `Sha1`; `SHA1`" "of the same file";
    SHA256: "cs6" "sha256" "sha256" ALL "`sha256`; `Sha256`; `SHA256`" "of the same file";
    MD5: "cs5" "md5" "md5" ALL "`md5`; `Md5`; `MD5`" "of the same file";
    FILES: "muFiles" "" "files" FINDINGS "folders and names of files" "a list, where there is more than one";
    HASHES: "muHashes" "" "hashes" FINDINGS
        "all hashes, with `sha256Ac` and hashes without files" "a list, where there are more than the flat fields";
    PROCESS: "sproc" "" "processName" ALL
        "`imageFile.fileName`; `fileName`; `InitiatingProcessFileName`" "of the first process; of a hunting row of the process that did it";
    PROCESS_ID: "spid" "" "processId" ALL "`processId`; `InitiatingProcessId`" "of the same process";
    COMMAND_LINE: "muCommandLine" "" "commandLine" ALL
        "`processCommandLine`; `CommandLine`; `InitiatingProcessCommandLine`" "of the same process";
    PROCESS_STARTED: "muProcessStartTime" "" "processStartTime" ALL
        "`processCreationDateTime`; `processCreationTime`; `InitiatingProcessCreationTime`" "of the same process, as written";
    PARENT: "muParentProcess" "" "parentProcess" ALL
        "`parentProcessImageFile.fileName`; `parentProcessFileName`; `InitiatingProcessParentFileName`" "of the same process";
    PARENT_ID: "muParentProcessId" "" "parentProcessId" ALL
        "`parentProcessId`; `InitiatingProcessParentId`" "of the same process";
    PARENT_STARTED: "muParentProcessStartTime" "" "parentProcessStartTime" NOT_SIEM
        "`parentProcessCreationDateTime`; `parentProcessCreationTime`" "of the same process, as written";
    PROCESSES: "muProcesses" "" "processes" FINDINGS
        "command lines, else names of processes" "a list, where there is more than one";
    EXECUTING: "cn1" "wasExecutingWhileDetected" "wasExecutingWhileDetected" FINDINGS
        "`detectionStatus` of processes; `WasExecutingWhileDetected`" "1 when any was `detected`, 0 when all were `blocked` or `prevented`";
    REMEDIATED: "cn2" "remediationIsSuccess" "remediationIsSuccess" NOT_ENDPOINT
        "`remediationStatus`; `RemediationIsSuccess`" "1 when evidence was remediated, blocked or prevented and none is left active, else 0";
    REMEDIATION: "act" "" "action" NOT_ENDPOINT
        "`remediationStatus`; `RemediationAction`" "the first that is not `none`";
    ADDRESS: "src" "" "src" ALL
        "`ipAddress`, `lastIpAddress` and the like; `IpAddress`; `LocalIP`, else `IPAddress`" "the source of the first connection, else the first IPv4 address";
    ADDRESS_V6: "c6a2" "Source IPv6 Address" "srcIPv6" ALL "the same" "the first IPv6 address";
    DESTINATION: "dst" "" "dst" ALL "`destinationAddress`; `RemoteIP`" "of the first connection, when it is an IPv4 address";
    DESTINATION_V6: "c6a3" "Destination IPv6 Address" "dstIPv6" ALL "the same" "when it is an IPv6 address";
    SOURCE_PORT: "spt" "" "srcPort" ALL "`sourcePort`; `LocalPort`" "of the same connection";
    DESTINATION_PORT: "dpt" "" "dstPort" ALL "`destinationPort`; `RemotePort`" "of the same connection";
    PROTOCOL: "proto" "" "proto" ALL "`protocol`; `Protocol`" "of the same connection";
    ADDRESSES: "muAddresses" "" "addresses" FINDINGS
        "all addresses" "a list, where there are more than the flat fields";
    URL: "request" "" "url" ALL "`url` and the like; `Url`; `RemoteUrl`, else `Url`" "the first";
    URLS: "muUrls" "" "urls" FINDINGS "all URLs" "a list, where there is more than one";
    RECIPIENT: "duser" "" "recipient" ALL
        "`recipientEmailAddress`, `primaryAddress` and the like; `RecipientEmailAddress`" "the first";
    RECIPIENTS: "muRecipients" "" "recipients" FINDINGS "recipients and mailboxes" "a list, where there is more than one";
    SENDERS: "muSenders" "" "senders" ALL "`p1Sender`, `p2Sender`, `sender`; `SenderFromAddress`" "a list";
    MESSAGES: "muMessages" "" "messages" ALL
        "`networkMessageId`, `internetMessageId`, `subject` and the like" "a list";
    REGISTRY: "muRegistry" "" "registry" ALL
        "`registryHive`, `registryKey`, `registryValueName`, `registryValue`" "a list of the parts joined with `\\`";
    ENTITIES: "muEntities" "" "entities" FINDINGS
        "names and ids of everything else: cloud resources, containers, applications, groups, sessions" "a list";
    VERDICTS: "muVerdicts" "" "verdicts" XDR "`verdict`" "a list";
    EVIDENCE_TYPES: "muEvidenceTypes" "" "evidenceTypes" FINDINGS "`@odata.type`; `entityType`" "a list";
    COLUMNS: "muOtherColumns" "" "otherColumns" ROWS
        "columns whose names are not letters and digits, or whose values are lists or objects" "a list of `name: value`";
    RAW: "rawEvent" "" "rawEvent" ALL "the whole record" "as Microsoft wrote it; only with `raw_event = true`";
}

/// The prefix of a hunting row's other columns in CEF. In LEEF they have their own names.
pub(super) const COLUMN_PREFIX: &str = "mu";

/// The constants at the head of each line, and what more is wanted.
pub(super) struct FlatOptions<'o> {
    pub(super) syntax: Syntax,
    pub(super) raw_event: bool,
    /// Writes the head: signature, name, severity.
    pub(super) head: &'o dyn Fn(&mut Vec<u8>, Head<'_>),
}

/// What the head of a line says of the record.
pub(super) struct Head<'a> {
    /// What raised it, if anything says so.
    pub(super) signature: Text<'a>,
    /// What stands there otherwise.
    pub(super) default_signature: &'static str,
    pub(super) name: Text<'a>,
    pub(super) severity: Severity,
}

/// Appends the line of one record.
pub(super) fn write(
    options: &FlatOptions<'_>,
    view: &View<'_>,
    record: Record<'_>,
    tenant: &TenantLabel,
    buffer: &mut Vec<u8>,
) {
    let head = match view {
        View::Alert(alert) => Head {
            signature: alert.detector_id.or(alert.category),
            default_signature: "alert",
            name: alert.title,
            severity: record.head.severity,
        },
        View::Incident(incident) => Head {
            signature: Text::default(),
            default_signature: "incident",
            name: incident.display_name,
            severity: record.head.severity,
        },
        View::HuntingRow(row) => Head {
            signature: row.text("ActionType").or(row.table),
            default_signature: "hunting",
            name: row.text("Title").or(row.text("ActionType")).or(row.table),
            severity: record.head.severity,
        },
    };
    let name = head.name;
    (options.head)(buffer, head);
    let mut line = Line { buffer, syntax: options.syntax, first: true };
    if matches!(options.syntax, Syntax::Leef(_)) {
        line.severity_and_time_format(record);
    }
    match view {
        View::Alert(alert) => write_alert(&mut line, alert, name, record, tenant),
        View::Incident(incident) => write_incident(&mut line, incident, name, record, tenant),
        View::HuntingRow(row) => write_row(&mut line, *row, name, record, tenant),
    }
    if options.raw_event {
        line.plain(RAW, record.body.trim_ascii());
    }
}

fn write_alert(
    line: &mut Line<'_>,
    alert: &Alert<'_>,
    name: Text<'_>,
    record: Record<'_>,
    tenant: &TenantLabel,
) {
    let facts = Facts::of(std::slice::from_ref(alert));
    line.common(alert.id, alert.severity, name, record, tenant);
    line.text(DESCRIPTION, alert.description);
    line.time(START, parsed(alert.first_activity_at));
    line.time(END, parsed(alert.last_activity_at));
    line.text(CATEGORY, alert.category);
    line.text(DETECTION_SOURCE, alert.detection_source);
    line.text(SERVICE_SOURCE, alert.service_source);
    line.text(THREAT, alert.threat_name);
    line.text(ACTOR, alert.actor);
    line.text(ALERT_URL, alert.alert_url);
    line.text(INCIDENT_ID, alert.incident_id);
    line.time(RESOLVED, parsed(alert.resolved_at));
    line.facts(&facts, std::slice::from_ref(alert));
    line.text(STATUS, alert.status);
    line.text(CLASSIFICATION, alert.classification);
    line.text(DETERMINATION, alert.determination);
    line.text(ASSIGNED_TO, alert.assigned_to);
    line.text(INVESTIGATION_ID, alert.investigation_id);
    line.text(INVESTIGATION_STATE, alert.investigation_state);
    line.text(PRODUCT, alert.product_name);
    line.text(POLICY_ID, alert.policy_id);
    line.text(PROVIDER_ALERT_ID, alert.provider_alert_id);
    line.text(INCIDENT_URL, alert.incident_url);
    line.text(THREAT_FAMILY, alert.threat_family);
    line.more(CATEGORIES, &alert.categories, 1);
    line.list(TECHNIQUES, &alert.techniques);
    line.list(TAGS, &alert.tags);
    line.comments(&alert.comments);
}

fn write_incident(
    line: &mut Line<'_>,
    incident: &Incident<'_>,
    name: Text<'_>,
    record: Record<'_>,
    tenant: &TenantLabel,
) {
    let alerts = &incident.alerts;
    let facts = Facts::of(alerts);
    line.common(incident.id, incident.severity, name, record, tenant);
    line.text(DESCRIPTION, incident.description.or(incident.summary));
    if !incident.description.is_blank() {
        line.text(SUMMARY, incident.summary);
    }
    line.time(START, alerts.iter().filter_map(|alert| parsed(alert.first_activity_at)).min());
    line.time(END, alerts.iter().filter_map(|alert| parsed(alert.last_activity_at)).max());
    line.text(CATEGORY, first(alerts, |alert| alert.category));
    line.text(DETECTION_SOURCE, first(alerts, |alert| alert.detection_source));
    line.text(SERVICE_SOURCE, first(alerts, |alert| alert.service_source));
    line.text(THREAT, first(alerts, |alert| alert.threat_name));
    line.text(ACTOR, first(alerts, |alert| alert.actor));
    line.number(ALERT_COUNT, alerts.len());
    match line.syntax {
        Syntax::Cef => {
            line.text(Slot { label: " flexString1Label=incidentWebUrl", ..ALERT_URL }, incident.incident_url)
        }
        _ => line.text(INCIDENT_URL, incident.incident_url),
    }
    line.text(INCIDENT_ID, incident.id);
    line.facts(&facts, alerts);
    line.text(STATUS, incident.status);
    line.text(CLASSIFICATION, incident.classification);
    line.text(DETERMINATION, incident.determination);
    line.text(ASSIGNED_TO, incident.assigned_to);
    line.text(PRIORITY, incident.priority_score);
    line.text(REDIRECT, incident.redirect_incident_id);
    line.text(RESOLVING_COMMENT, incident.resolving_comment);
    line.text(MODIFIED_BY, incident.last_modified_by);
    line.each(ALERT_IDS, alerts, |alert, add| add(alert.id));
    line.each(ALERT_TITLES, alerts, |alert, add| add(alert.title));
    line.each(DETECTOR_ID, alerts, |alert, add| add(alert.detector_id));
    line.each(CATEGORIES, alerts, |alert, add| alert.categories.iter().for_each(|text| add(*text)));
    line.each(TECHNIQUES, alerts, |alert, add| alert.techniques.iter().for_each(|text| add(*text)));
    line.list(TAGS, &incident.tags);
    line.comments(&incident.comments);
}

/// The columns of a hunting row that stand in fields of their own. Others keep their names.
const COLUMNS_SHOWN: [&str; 33] = [
    "Timestamp",
    "TimeGenerated",
    "DeviceName",
    "DeviceId",
    "OSPlatform",
    "MachineGroup",
    "AccountDomain",
    "AccountName",
    "AccountUpn",
    "AccountSid",
    "AccountObjectId",
    "AccountDisplayName",
    "FileName",
    "FolderPath",
    "FileSize",
    "SHA1",
    "SHA256",
    "MD5",
    "InitiatingProcessFileName",
    "InitiatingProcessId",
    "InitiatingProcessCommandLine",
    "InitiatingProcessCreationTime",
    "InitiatingProcessParentFileName",
    "InitiatingProcessParentId",
    "RemoteIP",
    "LocalIP",
    "LocalPort",
    "RemotePort",
    "Protocol",
    "RemoteUrl",
    "RecipientEmailAddress",
    "SenderFromAddress",
    "ActionType",
];

fn write_row(
    line: &mut Line<'_>,
    row: HuntingRow<'_>,
    name: Text<'_>,
    record: Record<'_>,
    tenant: &TenantLabel,
) {
    line.common(Text::default(), Text::default(), name, record, tenant);
    line.text(CATEGORY, row.table);
    let device = row.device();
    line.text(HOST, device.name());
    line.text(HOST_DOMAIN, device.domain());
    line.text(HOST_ID, device.id);
    line.text(OS, row.text("OSPlatform"));
    line.text(HOST_GROUP, device.group);
    let account = row.account();
    let user = if account.name().is_blank() { row.initiating_account() } else { account };
    line.user(&user);
    let file = row.file();
    line.file(&file);
    line.process(&row.initiating_process());
    line.connection(&Connection {
        source_address: row.text("LocalIP").or(row.text("IPAddress")),
        source_port: row.text("LocalPort"),
        destination_address: row.text("RemoteIP"),
        destination_port: row.text("RemotePort"),
        protocol: row.text("Protocol"),
    });
    line.text(URL, row.text("RemoteUrl"));
    line.text(RECIPIENT, row.text("RecipientEmailAddress"));
    line.text(SENDERS, row.text("SenderFromAddress"));
    line.columns(row);
}

/// The first text that is not blank among those of the alerts.
fn first<'a>(alerts: &[Alert<'a>], field: impl Fn(&Alert<'a>) -> Text<'a>) -> Text<'a> {
    alerts.iter().map(field).find(|text| !text.is_blank()).unwrap_or_default()
}

fn parsed(time: Text<'_>) -> Option<Timestamp> {
    moment(time.as_written(), Unzoned::Refused)
}

/// The words of Microsoft's field map.
fn severity_word(severity: Severity) -> Option<&'static str> {
    match severity {
        Severity::Unknown => None,
        Severity::Informational => Some("Informational"),
        Severity::Low => Some("Low"),
        Severity::Medium => Some("Medium"),
        Severity::High => Some("High"),
    }
}

/// A line that is being written.
struct Line<'b> {
    buffer: &'b mut Vec<u8>,
    syntax: Syntax,
    first: bool,
}

impl Line<'_> {
    /// What all records share.
    fn common(
        &mut self,
        id: Text<'_>,
        severity: Text<'_>,
        name: Text<'_>,
        record: Record<'_>,
        tenant: &TenantLabel,
    ) {
        // Never blank: a record without an id was not accepted. A number too is an id.
        if id.is_blank() {
            self.plain(ID, &record.head.id);
        } else {
            self.text(ID, id);
        }
        match severity_word(record.head.severity) {
            Some(word) => self.plain(SEVERITY, word),
            None => self.text(SEVERITY, severity),
        }
        self.time(CREATED, record.head.created_at);
        self.time(UPDATED, record.head.updated_at);
        self.plain(TENANT_ID, tenant_id(tenant, &mut [0; 36]));
        if !tenant.name.trim().is_empty() {
            self.plain(TENANT_NAME, &tenant.name);
        }
        // CEF's head holds it; there a newline becomes a space.
        if self.syntax != Syntax::Cef
            || name.as_written().contains("\\n")
            || name.as_written().contains("\\r")
        {
            self.text(TITLE, name);
        }
    }

    /// LEEF's own: the severity, and how its time is written.
    fn severity_and_time_format(&mut self, record: Record<'_>) {
        let Syntax::Leef(delimiter) = self.syntax else { return };
        self.buffer.extend_from_slice(b"sev=");
        self.buffer.extend_from_slice(leef::severity_number(record.head.severity).as_bytes());
        if record.head.created_at.is_some_and(|time| time.as_millisecond() > 0) {
            self.buffer.push(delimiter);
            self.buffer.extend_from_slice(b"devTimeFormat=");
            self.buffer.extend_from_slice(leef::TIME_FORMAT.as_bytes());
        }
        self.first = false;
    }

    /// The first of each kind of evidence in the flat fields, and the lists.
    fn facts(&mut self, facts: &Facts<'_>, alerts: &[Alert<'_>]) {
        let Facts { device, user, file, process, .. } = facts;
        self.text(HOST, device.name());
        self.text(HOST_DOMAIN, device.domain());
        self.text(HOST_ID, device.id);
        self.text(OS, device.os_platform);
        self.text(HOST_GROUP, device.group);
        self.more(HOSTS, facts.devices.as_slice(), 1);
        self.more(HOST_IDS, facts.device_ids.as_slice(), usize::from(!device.id.is_blank()));

        self.user(user);
        if facts.users.as_slice().len() > 1 {
            self.items(USERS, facts.users.as_slice(), |line, user| line.joined(&[user.0, user.1], "\\"));
        }
        let shown = [user.principal, user.sid, user.entra_id].iter().filter(|id| !id.is_blank()).count();
        self.more(USER_IDS, facts.user_ids.as_slice(), shown);
        self.items(LOGGED_ON, facts.logged_on.as_slice(), |line, user| line.joined(&[user.0, user.1], "\\"));

        self.file(file);
        if facts.files.as_slice().len() > 1 {
            self.items(FILES, facts.files.as_slice(), |line, (path, name)| {
                let slash = if path.as_written().contains('/') { "/" } else { "\\" };
                line.joined(&[*path, *name], slash);
            });
        }
        let shown = [file.sha1, file.sha256, file.md5].iter().filter(|hash| !hash.is_blank()).count();
        self.more(HASHES, facts.hashes.as_slice(), shown);

        self.process(process);
        self.more(PROCESSES, facts.processes.as_slice(), 1);
        self.flag(EXECUTING, facts.was_executing);
        self.flag(REMEDIATED, facts.remediated);
        self.text(REMEDIATION, facts.remediation);

        let addresses = facts.addresses.as_slice();
        let connection = first_connection(alerts);
        let shown = self.addresses(&connection, addresses);
        self.more(ADDRESSES, addresses, shown);

        self.text(URL, facts.urls.as_slice().first().copied().unwrap_or_default());
        self.more(URLS, facts.urls.as_slice(), 1);
        self.text(RECIPIENT, facts.recipients.as_slice().first().copied().unwrap_or_default());
        self.more(RECIPIENTS, facts.recipients.as_slice(), 1);
        self.list(SENDERS, facts.senders.as_slice());
        self.list(MESSAGES, facts.messages.as_slice());
        self.items(REGISTRY, facts.registry.as_slice(), |line, registry| {
            line.joined(&[registry.hive, registry.key, registry.value_name, registry.value], "\\");
        });
        self.list(ENTITIES, facts.entities.as_slice());
        self.list(VERDICTS, facts.verdicts.as_slice());
        self.list(EVIDENCE_TYPES, facts.kinds.as_slice());
    }

    fn user(&mut self, user: &super::view::User<'_>) {
        self.text(USER_DOMAIN, user.domain());
        self.text(USER, user.name());
        self.text(USER_PRINCIPAL, user.principal);
        self.text(USER_SID, user.sid);
        self.text(USER_ID, user.entra_id);
        if user.display_name != user.name() {
            self.text(USER_DISPLAY_NAME, user.display_name);
        }
    }

    fn file(&mut self, file: &super::view::File<'_>) {
        self.text(FILE_NAME, file.name);
        self.text(FILE_PATH, file.path);
        if file.size.as_written().bytes().all(|byte| byte.is_ascii_digit()) {
            self.text(FILE_SIZE, file.size);
        }
        self.text(SHA1, file.sha1);
        self.text(SHA256, file.sha256);
        self.text(MD5, file.md5);
    }

    fn process(&mut self, process: &super::view::Process<'_>) {
        self.text(PROCESS, process.image.name);
        self.text(PROCESS_ID, process.id);
        self.text(COMMAND_LINE, process.command_line);
        self.text(PROCESS_STARTED, process.created_at);
        self.text(PARENT, process.parent_image.name);
        self.text(PARENT_ID, process.parent_id);
        self.text(PARENT_STARTED, process.parent_created_at);
    }

    /// The addresses of the first connection, else the first ones, each in the field of its kind. Returns how many
    /// of `addresses` are shown.
    fn addresses(&mut self, connection: &Connection<'_>, addresses: &[Text<'_>]) -> usize {
        let find = |fits: fn(&IpAddr) -> bool| {
            let is = |text: &Text<'_>| text.as_written().parse().is_ok_and(|address| fits(&address));
            if is(&connection.source_address) {
                return connection.source_address;
            }
            // The far end of a connection is no source.
            let near = |text: &&Text<'_>| **text != connection.destination_address && is(text);
            addresses.iter().find(near).copied().unwrap_or_default()
        };
        let (v4, v6) = (find(IpAddr::is_ipv4), find(IpAddr::is_ipv6));
        self.text(ADDRESS, v4);
        self.text(ADDRESS_V6, v6);
        let far = connection.destination_address;
        let far_address: Option<IpAddr> = far.as_written().parse().ok();
        if let Some(address) = far_address {
            self.text(if address.is_ipv4() { DESTINATION } else { DESTINATION_V6 }, far);
        }
        self.port(SOURCE_PORT, connection.source_port);
        self.port(DESTINATION_PORT, connection.destination_port);
        self.text(PROTOCOL, connection.protocol);
        let shown = [v4, v6, if far_address.is_some() { far } else { Text::default() }];
        addresses.iter().filter(|address| shown.contains(address)).count()
    }

    fn connection(&mut self, connection: &Connection<'_>) {
        self.addresses(connection, &[]);
    }

    /// Receivers take a port for a number.
    fn port(&mut self, slot: Slot, port: Text<'_>) {
        if port.as_written().parse::<u16>().is_ok() {
            self.text(slot, port);
        }
    }

    fn comments(&mut self, comments: &[Comment<'_>]) {
        self.items(COMMENTS, comments, |line, comment| {
            line.joined(&[comment.created_at, comment.author, comment.text], " ");
        });
    }

    /// The columns of a row that have no field of their own: under their own names where those can be keys, else in a
    /// list.
    fn columns(&mut self, row: HuntingRow<'_>) {
        let mut seen = Distinct::default();
        let mut others = Vec::new();
        // Asked once for each, however often a column comes.
        let mut lost = [None; COLUMNS_SHOWN.len()];
        for (name, value) in row.fields.fields() {
            if !value.is_present() {
                continue;
            }
            if let Some(shown) = COLUMNS_SHOWN.iter().position(|known| *known == name)
                && !*lost[shown].get_or_insert_with(|| Self::is_lost(row, name))
            {
                continue;
            }
            let text = if value.text().is_blank() { Text::as_in_json(value.raw()) } else { value.text() };
            let plain = !value.text().is_blank();
            let can_be_key = name.len() <= 60
                && !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
                && !name.ends_with("Label")
                && !is_key_of_ours(self.syntax, name);
            if plain && can_be_key && seen.add(name) {
                self.column(name);
                self.value(text);
            } else {
                others.push((Text::as_in_json(name), text));
            }
        }
        self.items(COLUMNS, &others, |line, (name, text)| line.joined(&[*name, *text], ": "));
    }

    /// Whether a column that has a field of its own is not what that field shows.
    fn is_lost(row: HuntingRow<'_>, name: &str) -> bool {
        match name {
            // Only what is an address, a port or a time that can be read stands in its field.
            "RemoteIP" | "LocalIP" => row.text(name).as_written().parse::<IpAddr>().is_err(),
            "LocalPort" | "RemotePort" => row.text(name).as_written().parse::<u16>().is_err(),
            "Timestamp" | "TimeGenerated" => {
                row.happened_at != row.text(name) || parsed(row.happened_at).is_none()
            }
            "FileSize" => !row.text(name).as_written().bytes().all(|byte| byte.is_ascii_digit()),
            "AccountDomain" => row.text("AccountName").is_blank(),
            "AccountDisplayName" => row.account().name().is_blank(),
            _ => false,
        }
    }

    fn key(&mut self, slot: Slot) {
        let first = std::mem::replace(&mut self.first, false);
        let key = match self.syntax {
            Syntax::Leef(delimiter) => {
                if !first {
                    self.buffer.push(delimiter);
                }
                slot.leef
            }
            _ => &slot.cef[usize::from(first)..],
        };
        self.buffer.extend_from_slice(key.as_bytes());
    }

    /// The key of a column of a hunting row.
    fn column(&mut self, name: &str) {
        let first = std::mem::replace(&mut self.first, false);
        match self.syntax {
            Syntax::Leef(delimiter) if !first => self.buffer.push(delimiter),
            Syntax::Leef(_) => {}
            _ if first => self.buffer.extend_from_slice(COLUMN_PREFIX.as_bytes()),
            _ => {
                self.buffer.push(b' ');
                self.buffer.extend_from_slice(COLUMN_PREFIX.as_bytes());
            }
        }
        self.buffer.extend_from_slice(name.as_bytes());
        self.buffer.push(b'=');
    }

    /// Where a value goes.
    fn place(&self) -> Place {
        match self.syntax {
            Syntax::Leef(delimiter) => Place::LeefValue(delimiter),
            _ => Place::CefValue,
        }
    }

    /// Where an item of a list goes.
    fn item_place(&self) -> Place {
        match self.syntax {
            Syntax::Leef(delimiter) => Place::LeefItem(delimiter),
            _ => Place::CefItem,
        }
    }

    fn value(&mut self, text: Text<'_>) {
        visible::push_text(self.buffer, text, self.place());
    }

    fn item(&mut self, text: Text<'_>) {
        visible::push_text(self.buffer, text, self.item_place());
    }

    /// A field whose value is not blank.
    fn plain(&mut self, slot: Slot, value: &str) {
        self.key(slot);
        visible::push(self.buffer, value, self.place());
        self.label(slot);
    }

    /// A field and its label, or nothing.
    fn text(&mut self, slot: Slot, text: Text<'_>) {
        if !text.is_blank() {
            self.key(slot);
            self.value(text);
            self.label(slot);
        }
    }

    fn label(&mut self, slot: Slot) {
        if self.syntax == Syntax::Cef {
            self.buffer.extend_from_slice(slot.label.as_bytes());
        }
    }

    /// CEF: milliseconds since 1970. LEEF: as its format says. Earlier times, such as .NET's "no date" of year 1, are
    /// left out.
    fn time(&mut self, slot: Slot, time: Option<Timestamp>) {
        let Some(time) = time.filter(|time| time.as_millisecond() > 0) else { return };
        self.key(slot);
        match self.syntax {
            Syntax::Leef(_) => leef::push_time(self.buffer, time),
            _ => self.buffer.extend_from_slice(time.as_millisecond().to_string().as_bytes()),
        }
        self.label(slot);
    }

    fn number(&mut self, slot: Slot, number: usize) {
        self.plain(slot, &number.to_string());
    }

    /// 1, 0, or nothing.
    fn flag(&mut self, slot: Slot, flag: Option<bool>) {
        if let Some(flag) = flag {
            self.number(slot, usize::from(flag));
        }
    }

    /// All values, if there are more than the flat fields already `shown`.
    fn more(&mut self, slot: Slot, values: &[Text<'_>], shown: usize) {
        if values.len() > shown {
            self.list(slot, values);
        }
    }

    /// The distinct texts of alerts.
    fn each<'a>(
        &mut self,
        slot: Slot,
        alerts: &[Alert<'a>],
        texts: impl Fn(&Alert<'a>, &mut dyn FnMut(Text<'a>)),
    ) {
        let mut distinct = Distinct::default();
        for alert in alerts {
            texts(alert, &mut |text| distinct.add_text(text));
        }
        self.list(slot, distinct.as_slice());
    }

    fn list(&mut self, slot: Slot, values: &[Text<'_>]) {
        self.items(slot, values, |line, value| line.item(*value));
    }

    fn items<T>(&mut self, slot: Slot, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        for (position, item) in items.iter().enumerate() {
            if position == 0 {
                self.key(slot);
            } else {
                self.buffer.extend_from_slice(b"; ");
            }
            write(self, item);
        }
    }

    /// An item of a list made of several texts.
    fn joined(&mut self, parts: &[Text<'_>], separator: &str) {
        let mut apart = false;
        for part in parts.iter().filter(|part| !part.is_blank()) {
            if apart {
                visible::push(self.buffer, separator, self.item_place());
            }
            self.item(*part);
            apart = true;
        }
    }
}

/// Whether a column's key would be one of our own.
fn is_key_of_ours(syntax: Syntax, column: &str) -> bool {
    match syntax {
        Syntax::Cef => CEF_FIELDS.iter().any(|field| field.name.strip_prefix(COLUMN_PREFIX) == Some(column)),
        _ => LEEF_FIELDS.iter().any(|field| field.name == column),
    }
}

/// The first network connection among the evidence.
fn first_connection<'a>(alerts: &[Alert<'a>]) -> Connection<'a> {
    alerts
        .iter()
        .flat_map(|alert| &alert.evidence)
        .find(|evidence| evidence.kind == EvidenceKind::NetworkConnection)
        .map(super::view::Evidence::connection)
        .unwrap_or_default()
}
