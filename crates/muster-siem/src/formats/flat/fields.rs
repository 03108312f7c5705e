//! The fields of a flat line: each has its key in CEF and in LEEF, and says where its value comes from.

use muster_model::RecordKind::{
    self, EndpointAlert, GraphAlert, GraphIncident, HuntingRow as Row, SiemDetection, XdrIncident,
};

use crate::formats::writing::field::FieldDoc;

/// A field: how it begins in CEF, the field that says its label where it is a custom one, and how it begins in LEEF.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    /// With the space before it and the equals sign behind it.
    pub(crate) cef: &'static str,
    /// The whole field; empty where there is none.
    pub(crate) label: &'static str,
    /// With the equals sign behind it.
    pub(crate) leef: &'static str,
}

const ALL: &[RecordKind] = &RecordKind::ALL;
const INCIDENTS: &[RecordKind] = &[GraphIncident, XdrIncident];
const FINDINGS: &[RecordKind] = &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident, SiemDetection];
const ROWS: &[RecordKind] = &[Row];
const GRAPH: &[RecordKind] = &[GraphAlert, GraphIncident];
const NOT_SIEM: &[RecordKind] = &[GraphAlert, GraphIncident, EndpointAlert, XdrIncident];
const NOT_ENDPOINT: &[RecordKind] = &[GraphAlert, GraphIncident, XdrIncident, SiemDetection];
const GRAPH_AND_SIEM: &[RecordKind] = &[GraphAlert, GraphIncident, SiemDetection];
const DEFENDER: &[RecordKind] = &[GraphAlert, EndpointAlert];
const XDR: &[RecordKind] = &[GraphAlert, GraphIncident, XdrIncident];

const SIGNATURE_SOURCE: &str =
    "`detectorId`, `IoaDefinitionId`, else `category`; a hunting row's `ActionType`, else its table";
const SIGNATURE_RULE: &str = "where there is none, `alert`, `incident` or `hunting`";

/// Each field once: the constant, its key in CEF with the label, its key in LEEF, and where its value comes from.
macro_rules! slots {
    ($($name:ident: $cef:literal $label:literal $leef:literal $kinds:ident $source:literal $rule:literal;)*) => {
        $(pub(crate) const $name: Slot = Slot {
            cef: concat!(" ", $cef, "="),
            label: if $label.is_empty() { "" } else { concat!(" ", $cef, "Label=", $label) },
            leef: concat!($leef, "="),
        };)*

        /// CEF's fields: the head's, then the extension's.
        pub(crate) const CEF_FIELDS: &[FieldDoc] = &[
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
        pub(crate) const LEEF_FIELDS: &[FieldDoc] = &[
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
        pub(crate) const CEF_LABELS: &[(&str, &str)] = &[$(($cef, $label),)*];
    };
}

slots! {
    ID: "externalId" "" "recordId" ALL "`id`; XDR `incidentId`; SIEM `AlertId`; of a hunting row the hash of its content" "";
    SEVERITY: "deviceSeverity" "" "severityName" ALL "`severity`, `Severity`" "`High`, `Medium`, `Low`, `Informational`, or Microsoft's word";
    CREATED: "rt" "" "devTime" ALL "`createdDateTime`; `alertCreationTime`; `createdTime`; `AlertTime`; `Timestamp`" "a time; else that of the last update";
    UPDATED: "deviceCustomDate1" "lastUpdateDateTime" "lastUpdateTime" ALL "`lastUpdateDateTime`; `lastUpdateTime`; `LastProcessedTimeUtc`; `Timestamp`" "a time";
    TENANT_ID: "cs2" "tenantId" "tenantId" ALL "the tenant's Entra id" "";
    TENANT_NAME: "cs3" "tenantName" "tenantName" ALL "the tenant's name in Muster" "";
    CHANGE: "muChange" "" "change" FINDINGS "what this version is to the one before" "see [what changed](changes.md)";
    CHANGED_FIELDS: "muChangedFields" "" "changedFields" FINDINGS "the names of Microsoft's fields that changed" "a list";
    MORE_CHANGED_FIELDS: "muMoreChangedFields" "" "moreChangedFields" FINDINGS "how many more did" "";
    CHANGE_FROM: "muChangeFrom" "" "changeFrom" FINDINGS "the incident that an alert belonged to before" "";
    CHANGE_TO: "muChangeTo" "" "changeTo" FINDINGS "the incident that an alert belongs to now, or that an incident was merged into" "";
    TITLE: "muTitle" "" "title" ALL "`title`; `displayName`; `incidentName`; `AlertTitle`; a hunting row's `ActionType`, else its table" "in CEF the head's name, and here only where that is another text";
    DESCRIPTION: "msg" "" "msg" FINDINGS "`description`, of a Graph incident else `summary`; `Description`" "of an incident without any that of its first alert that has one";
    SUMMARY: "muSummary" "" "summary" GRAPH "`summary` of an incident with a `description`" "";
    START: "start" "" "firstActivityTime" NOT_SIEM "`firstActivityDateTime`; `firstEventTime`; `alerts[].firstActivity`" "a time; of an incident the earliest of its alerts";
    END: "end" "" "lastActivityTime" NOT_SIEM "`lastActivityDateTime`; `lastEventTime`; `alerts[].lastActivity`" "a time; of an incident the latest of its alerts";
    CATEGORY: "cat" "" "cat" ALL "`category`, else the first of `categories`; `Category`; a hunting row's table" "of an incident of its first alert that has one";
    DETECTION_SOURCE: "sourceServiceName" "" "detectionSource" FINDINGS "`detectionSource`; `Source`" "of an incident of its first alert that has one";
    SERVICE_SOURCE: "deviceFacility" "" "serviceSource" XDR "`serviceSource`" "of an incident of its first alert that has one";
    THREAT: "cs1" "threatName" "threatName" FINDINGS "`threatDisplayName`; `threatName`; `ThreatName`" "of an incident of its first alert that has one";
    ACTOR: "cs4" "actor" "actor" NOT_ENDPOINT "`actorDisplayName`; `actorName`; `Actor`" "of an incident of its first alert that has one";
    ALERT_COUNT: "cn3" "alertCount" "alertCount" INCIDENTS "`alerts`" "how many; nothing for an incident that came without them";
    ALERT_URL: "flexString1" "alertWebUrl" "alertWebUrl" NOT_ENDPOINT "`alertWebUrl`; `LinkToMTP`, else `LinkToWDATP`" "of an incident the place of its own address";
    INCIDENT_ID: "flexString2" "incidentId" "incidentId" NOT_SIEM "`incidentId`; of a Graph incident `id`" "";
    RESOLVED: "deviceCustomDate2" "resolvedDateTime" "resolvedTime" DEFENDER "`resolvedDateTime`; `resolvedTime`" "a time";
    STATUS: "muStatus" "" "status" NOT_SIEM "`status`" "";
    CLASSIFICATION: "muClassification" "" "classification" NOT_SIEM "`classification`" "";
    DETERMINATION: "muDetermination" "" "determination" NOT_SIEM "`determination`" "";
    ASSIGNED_TO: "muAssignedTo" "" "assignedTo" NOT_SIEM "`assignedTo`" "";
    INVESTIGATION_ID: "muInvestigationId" "" "investigationId" DEFENDER "`investigationId`" "";
    INVESTIGATION_STATE: "muInvestigationState" "" "investigationState" DEFENDER "`investigationState`" "";
    PRODUCT: "muProductName" "" "productName" GRAPH "`productName`" "";
    DETECTOR_ID: "muDetectorId" "" "detectorId" FINDINGS "`detectorId`; `IoaDefinitionId`" "of an incident a list over its alerts; of an alert the head's signature or event id";
    POLICY_ID: "muAlertPolicyId" "" "alertPolicyId" GRAPH "`alertPolicyId`" "";
    PROVIDER_ALERT_ID: "muProviderAlertId" "" "providerAlertId" GRAPH_AND_SIEM "`providerAlertId`; `ExternalId`" "";
    INCIDENT_URL: "muIncidentWebUrl" "" "incidentWebUrl" NOT_ENDPOINT "`incidentWebUrl`; `incidentUri`; `IncidentLinkToMTP`, else `IncidentLinkToWDATP`" "in CEF of an incident in `flexString1`, with the label `incidentWebUrl`";
    THREAT_FAMILY: "muThreatFamily" "" "threatFamily" FINDINGS "`threatFamilyName`; `ThreatFamily`" "of an incident a list over its alerts";
    PRIORITY: "muPriorityScore" "" "priorityScore" GRAPH "`priorityScore`" "";
    REDIRECT: "muRedirectIncidentId" "" "redirectIncidentId" INCIDENTS "`redirectIncidentId`" "";
    RESOLVING_COMMENT: "muResolvingComment" "" "resolvingComment" GRAPH "`resolvingComment`" "";
    MODIFIED_BY: "muLastModifiedBy" "" "lastModifiedBy" GRAPH "`lastModifiedBy`" "";
    ALERT_IDS: "muAlertIds" "" "alertIds" INCIDENTS "`alerts[].id`; `alerts[].alertId`" "a list";
    ALERT_TITLES: "muAlertTitles" "" "alertTitles" INCIDENTS "`alerts[].title`" "a list";
    CATEGORIES: "muCategories" "" "categories" FINDINGS "`category`, `categories`" "a list, of an incident over its alerts; where there is more than one";
    TECHNIQUES: "muTechniques" "" "techniques" NOT_SIEM "`mitreTechniques`" "a list, of an incident over its alerts";
    TAGS: "muTags" "" "tags" XDR "`systemTags`, `customTags`, `tags`" "a list";
    COMMENTS: "muComments" "" "comments" NOT_SIEM "`comments`" "a list: time, author and text of each";
    HOST: "shost" "" "identHostName" ALL "`deviceDnsName`, else `hostName` or `deviceName`; `computerDnsName`; `ComputerDnsName`, else `MachineName`; `DeviceName`" "of the first named device";
    HOST_DOMAIN: "sourceDnsDomain" "" "deviceDomain" ALL "`dnsDomain`; `MachineDomain`" "else the end of the full name";
    HOST_ID: "deviceExternalId" "" "deviceId" ALL "`mdeDeviceId`; `machineId`; `mdatpDeviceId`; `DeviceID`; `DeviceId`" "of the same device";
    OS: "muOsPlatform" "" "osPlatform" ALL "`osPlatform`; `OSPlatform`" "of the same device";
    HOST_GROUP: "muDeviceGroup" "" "deviceGroup" ALL "`rbacGroupName`; `MachineGroup`" "of the same device";
    HOSTS: "muDevices" "" "devices" FINDINGS "the names of devices" "a list, where there is more than one";
    HOST_IDS: "muDeviceIds" "" "deviceIds" FINDINGS "the ids of devices, with `azureAdDeviceId`, `aadDeviceId`" "a list, where there is more than the flat field";
    USER_DOMAIN: "sntdom" "" "domain" ALL "`domainName`; `UserDomain`; `AccountDomain`" "of the first user";
    USER: "suser" "" "usrName" ALL "`accountName`, else principal name, display name, SID, id; `UserName`; `AccountName`" "of the first user; of a hunting row else of the process that did it";
    USER_PRINCIPAL: "muUserPrincipalName" "" "userPrincipalName" ALL "`userPrincipalName`; `AccountUpn`" "of the same user";
    USER_SID: "muUserSid" "" "userSid" ALL "`userSid`; `AccountSid`" "of the same user";
    USER_ID: "muUserId" "" "userId" ALL "`azureAdUserId`; `aadUserId`; `AccountObjectId`" "of the same user";
    USER_DISPLAY_NAME: "muUserDisplayName" "" "userDisplayName" ALL "`displayName`; `AccountDisplayName`" "of the same user, where it is not the name already";
    USERS: "muUsers" "" "users" FINDINGS "domains and names of users" "a list of `domain\\name`, where there is more than one";
    USER_IDS: "muUserIds" "" "userIds" FINDINGS "principal names, SIDs and ids of users" "a list, where there are more than the flat fields";
    LOGGED_ON: "suid" "" "loggedOnUsers" FINDINGS "`loggedOnUsers`; `LogOnUsers`" "a list of `domain\\name`";
    FILE_NAME: "fname" "" "fileName" ALL "`fileName`; `FileName`" "of the first file";
    FILE_PATH: "filePath" "" "filePath" ALL "`filePath`; `FilePath`; `FolderPath`" "of the same file";
    FILE_SIZE: "fsize" "" "fileSize" ALL "`fileSize`; `FileSize`" "of the same file";
    SHA1: "fileHash" "" "sha1" ALL "`sha1`; `Sha1`; `SHA1`" "of the same file";
    SHA256: "cs6" "sha256" "sha256" ALL "`sha256`; `Sha256`; `SHA256`" "of the same file";
    MD5: "cs5" "md5" "md5" ALL "`md5`; `Md5`; `MD5`" "of the same file";
    FILES: "muFiles" "" "files" FINDINGS "folders and names of files" "a list, where there is more than one";
    HASHES: "muHashes" "" "hashes" FINDINGS "all hashes, with `sha256Ac` and hashes without files" "a list, where there are more than the flat fields";
    PROCESS: "sproc" "" "processName" ALL "`imageFile.fileName`; `fileName`; `InitiatingProcessFileName`" "of the first process; of a hunting row of the process that did it";
    PROCESS_ID: "spid" "" "processId" ALL "`processId`; `InitiatingProcessId`" "of the same process";
    COMMAND_LINE: "muCommandLine" "" "commandLine" ALL "`processCommandLine`; `CommandLine`; `InitiatingProcessCommandLine`" "of the same process";
    PROCESS_STARTED: "muProcessStartTime" "" "processStartTime" ALL "`processCreationDateTime`; `processCreationTime`; `InitiatingProcessCreationTime`" "of the same process, as written; without a zone it is in UTC";
    PARENT: "muParentProcess" "" "parentProcess" ALL "`parentProcessImageFile.fileName`; `parentProcessFileName`; `InitiatingProcessParentFileName`" "of the same process";
    PARENT_ID: "muParentProcessId" "" "parentProcessId" ALL "`parentProcessId`; `InitiatingProcessParentId`" "of the same process";
    PARENT_STARTED: "muParentProcessStartTime" "" "parentProcessStartTime" NOT_SIEM "`parentProcessCreationDateTime`; `parentProcessCreationTime`" "of the same process, as written; without a zone it is in UTC";
    PROCESSES: "muProcesses" "" "processes" FINDINGS "command lines, else names of processes" "a list, where there is more than one";
    EXECUTING: "cn1" "wasExecutingWhileDetected" "wasExecutingWhileDetected" FINDINGS "`detectionStatus` of processes; `WasExecutingWhileDetected`" "1 when any was `detected`, 0 when all were `blocked` or `prevented`";
    REMEDIATED: "cn2" "remediationIsSuccess" "remediationIsSuccess" NOT_ENDPOINT "`remediationStatus`; `RemediationIsSuccess`" "1 when evidence was remediated, blocked or prevented and none is left active, else 0";
    REMEDIATION: "act" "" "action" NOT_ENDPOINT "`remediationStatus`; `RemediationAction`" "the first that is not `none`";
    ADDRESS: "src" "" "src" ALL "`ipAddress`, `lastIpAddress` and the like; `IpAddress`; `LocalIP`, of what comes in `RemoteIP`, else `IPAddress`, `SenderIPv4`" "the source of the first connection, else the first IPv4 address";
    ADDRESS_V6: "c6a2" "Source IPv6 Address" "srcIPv6" ALL "the same" "the first IPv6 address";
    DESTINATION: "dst" "" "dst" ALL "`destinationAddress`; `RemoteIP`, of what comes in `LocalIP`; else `DestinationIPAddress`" "of the first connection, when it is an IPv4 address";
    DESTINATION_V6: "c6a3" "Destination IPv6 Address" "dstIPv6" ALL "the same" "when it is an IPv6 address";
    SOURCE_PORT: "spt" "" "srcPort" ALL "`sourcePort`; `LocalPort`, of what comes in `RemotePort`; else `Port`" "of the same connection";
    DESTINATION_PORT: "dpt" "" "dstPort" ALL "`destinationPort`; `RemotePort`, of what comes in `LocalPort`; else `DestinationPort`" "of the same connection";
    PROTOCOL: "proto" "" "proto" ALL "`protocol`; `Protocol`" "of the same connection";
    ADDRESSES: "muAddresses" "" "addresses" FINDINGS "all addresses" "a list, where there are more than the flat fields";
    URL: "request" "" "url" ALL "`url` and the like; `Url`; `RemoteUrl`, else `Url`" "the first";
    URLS: "muUrls" "" "urls" FINDINGS "all URLs" "a list, where there is more than one";
    RECIPIENT: "duser" "" "recipient" ALL "`recipientEmailAddress`, `primaryAddress` and the like; `RecipientEmailAddress`" "the first";
    RECIPIENTS: "muRecipients" "" "recipients" FINDINGS "recipients and mailboxes" "a list, where there is more than one";
    SENDERS: "muSenders" "" "senders" ALL "`p1Sender`, `p2Sender`, `sender`; `SenderFromAddress`" "a list";
    MESSAGES: "muMessages" "" "messages" ALL "`networkMessageId`, `internetMessageId`, `subject` and the like" "a list";
    REGISTRY: "muRegistry" "" "registry" ALL "`registryHive`, `registryKey`, `registryValueName`, `registryValue`" "a list of the parts joined with `\\`";
    ENTITIES: "muEntities" "" "entities" FINDINGS "names and ids of everything else: cloud resources, containers, applications, groups, sessions" "a list";
    VERDICTS: "muVerdicts" "" "verdicts" XDR "`verdict`" "a list";
    EVIDENCE_TYPES: "muEvidenceTypes" "" "evidenceTypes" FINDINGS "`@odata.type`; `entityType`" "a list";
    COLUMNS: "muOtherColumns" "" "otherColumns" ROWS "columns whose names are not letters and digits, or whose values are lists or objects" "a list of `name: value`";
    RAW: "rawEvent" "" "rawEvent" ALL "the whole record" "as Microsoft wrote it; only with `raw_event = true`";
}

/// The prefix of a hunting row's other columns in CEF. In LEEF they have their own names.
pub(crate) const COLUMN_PREFIX: &str = "mu";
