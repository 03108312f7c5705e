//! A typed view of a record of any kind, borrowed from its [`Tape`], for the formats that map fields.
//!
//! Sources: the types `alert`, `incident` and `alertEvidence` (48 subtypes) of `microsoft.graph.security`, v1.0; the
//! alerts of the Defender for Endpoint API, the incidents of the Defender XDR API, the detections of the retired SIEM
//! API; rows of advanced hunting and of the streaming API. What they share has one name here. Every field may be
//! missing, null or of a wrong type. Evidence is read by its type where that is known and by what its fields mean
//! otherwise, so that a type that Microsoft adds later gives up its addresses and names too.
//!
//! What only one format needs is not here: [`Alert::fields`], [`Evidence::fields`] and the like hand out Microsoft's
//! own object.

use muster_model::RecordKind;
use muster_model::json::Text;
use muster_model::json::names::Names;
use muster_model::json::{Kind, Tape, Value};
use std::borrow::Cow;

use super::distinct::{Distinct, Fingerprint};
use super::tables::{self, EvidenceKind};

/// How deep evidence inside evidence is followed. Microsoft's schema goes to five (service, namespace, cluster, …).
const EVIDENCE_DEPTH_MAX: usize = 8;

/// A record of any kind.
#[derive(Debug)]
pub(super) enum View<'a> {
    /// Of Graph, Defender for Endpoint or the retired SIEM API.
    Alert(Box<Alert<'a>>),
    /// Of Graph or Defender XDR.
    Incident(Box<Incident<'a>>),
    /// Of advanced hunting or the streaming API.
    HuntingRow(HuntingRow<'a>),
}

impl<'a> View<'a> {
    /// The record that is the whole of `tape`.
    pub(super) fn of(kind: RecordKind, tape: &'a Tape<'a>) -> Self {
        let record = tape.root();
        match kind {
            RecordKind::GraphAlert => Self::Alert(Box::new(Alert::graph(record))),
            RecordKind::GraphIncident => Self::Incident(Box::new(Incident::graph(record))),
            RecordKind::EndpointAlert => Self::Alert(Box::new(Alert::endpoint(record))),
            RecordKind::XdrIncident => Self::Incident(Box::new(Incident::xdr(record))),
            RecordKind::SiemDetection => Self::Alert(Box::new(Alert::siem(record))),
            RecordKind::HuntingRow => Self::HuntingRow(HuntingRow::read(record)),
        }
    }
}

/// An alert of any API: Graph, Defender for Endpoint, Defender XDR (inside an incident), the retired SIEM API.
#[derive(Debug, Default)]
pub(super) struct Alert<'a> {
    pub(super) id: Text<'a>,
    pub(super) title: Text<'a>,
    pub(super) description: Text<'a>,
    pub(super) recommended_actions: Text<'a>,
    pub(super) category: Text<'a>,
    /// All categories, [`Alert::category`] first.
    pub(super) categories: Vec<Text<'a>>,
    pub(super) severity: Text<'a>,
    pub(super) status: Text<'a>,
    pub(super) classification: Text<'a>,
    pub(super) determination: Text<'a>,
    pub(super) assigned_to: Text<'a>,
    pub(super) investigation_id: Text<'a>,
    pub(super) investigation_state: Text<'a>,
    pub(super) service_source: Text<'a>,
    pub(super) detection_source: Text<'a>,
    pub(super) product_name: Text<'a>,
    pub(super) detector_id: Text<'a>,
    pub(super) policy_id: Text<'a>,
    pub(super) provider_alert_id: Text<'a>,
    pub(super) incident_id: Text<'a>,
    pub(super) alert_url: Text<'a>,
    pub(super) incident_url: Text<'a>,
    pub(super) actor: Text<'a>,
    pub(super) threat_name: Text<'a>,
    pub(super) threat_family: Text<'a>,
    pub(super) created_at: Text<'a>,
    pub(super) updated_at: Text<'a>,
    pub(super) first_activity_at: Text<'a>,
    pub(super) last_activity_at: Text<'a>,
    pub(super) resolved_at: Text<'a>,
    pub(super) techniques: Vec<Text<'a>>,
    pub(super) tags: Vec<Text<'a>>,
    pub(super) comments: Vec<Comment<'a>>,
    /// What the retired SIEM API says of the remediation as a whole.
    pub(super) remediated: Option<bool>,
    /// What the retired SIEM API says of the process as a whole.
    pub(super) was_executing: Option<bool>,
    pub(super) remediation_action: Text<'a>,
    pub(super) evidence: Vec<Evidence<'a>>,
    /// Microsoft's object.
    pub(super) fields: Value<'a>,
}

impl<'a> Alert<'a> {
    /// A Graph alert.
    pub(super) fn graph(fields: Value<'a>) -> Self {
        let text = |key| fields.text_of(key);
        let mut categories = Distinct::default();
        for key in ["category", "categories"] {
            fields.get(key).items().for_each(|item| categories.add_text(item.text()));
        }
        let categories = categories.into_values();
        Self {
            id: text("id"),
            title: text("title"),
            description: text("description"),
            recommended_actions: text("recommendedActions"),
            category: categories.first().copied().unwrap_or_default(),
            categories,
            severity: text("severity"),
            status: text("status"),
            classification: text("classification"),
            determination: text("determination"),
            assigned_to: text("assignedTo"),
            investigation_id: Text::default(),
            investigation_state: text("investigationState"),
            service_source: text("serviceSource"),
            detection_source: text("detectionSource"),
            product_name: text("productName"),
            detector_id: text("detectorId"),
            policy_id: text("alertPolicyId"),
            provider_alert_id: text("providerAlertId"),
            incident_id: text("incidentId"),
            alert_url: text("alertWebUrl"),
            incident_url: text("incidentWebUrl"),
            actor: text("actorDisplayName"),
            threat_name: text("threatDisplayName"),
            threat_family: text("threatFamilyName"),
            created_at: text("createdDateTime"),
            updated_at: text("lastUpdateDateTime"),
            first_activity_at: text("firstActivityDateTime"),
            last_activity_at: text("lastActivityDateTime"),
            resolved_at: text("resolvedDateTime"),
            techniques: fields.texts_of("mitreTechniques"),
            tags: fields.texts_of("systemTags"),
            comments: Comment::list(fields.get("comments")),
            remediated: None,
            was_executing: None,
            remediation_action: Text::default(),
            evidence: fields.get("evidence").items().map(Evidence::graph).collect(),
            fields,
        }
    }

    /// An alert of the Defender for Endpoint API. Its device and user become evidence, before the evidence it lists.
    pub(super) fn endpoint(fields: Value<'a>) -> Self {
        let text = |key| fields.text_of(key);
        let mut evidence = Vec::new();
        if !fields.first_text(&["machineId", "computerDnsName"]).is_blank() {
            evidence.push(Evidence { kind: EvidenceKind::Device, shape: Shape::EndpointAlert, fields });
        }
        let user = fields.get("relatedUser");
        if user.is_present() {
            evidence.push(Evidence { kind: EvidenceKind::User, shape: Shape::EndpointAlert, fields: user });
        }
        evidence.extend(fields.get("evidence").items().map(Evidence::entity));
        Self {
            id: text("id"),
            title: text("title"),
            description: text("description"),
            recommended_actions: text("recommendedAction"),
            category: text("category"),
            categories: fields.texts_of("category"),
            severity: text("severity"),
            status: text("status"),
            classification: text("classification"),
            determination: text("determination"),
            assigned_to: text("assignedTo"),
            investigation_id: text("investigationId"),
            investigation_state: text("investigationState"),
            detection_source: text("detectionSource"),
            detector_id: text("detectorId"),
            incident_id: text("incidentId"),
            threat_name: text("threatName"),
            threat_family: text("threatFamilyName"),
            created_at: text("alertCreationTime"),
            updated_at: text("lastUpdateTime"),
            first_activity_at: text("firstEventTime"),
            last_activity_at: text("lastEventTime"),
            resolved_at: text("resolvedTime"),
            techniques: fields.texts_of("mitreTechniques"),
            comments: Comment::list(fields.get("comments")),
            evidence,
            fields,
            ..Self::default()
        }
    }

    /// An alert inside an incident of the Defender XDR API. Its devices go before its entities.
    pub(super) fn xdr(fields: Value<'a>) -> Self {
        let text = |key| fields.text_of(key);
        let devices = fields.get("devices").items().map(Evidence::xdr_device);
        let entities = fields.get("entities").items().map(Evidence::entity);
        Self {
            id: text("alertId"),
            title: text("title"),
            description: text("description"),
            category: text("category"),
            categories: fields.texts_of("category"),
            severity: text("severity"),
            status: text("status"),
            classification: text("classification"),
            determination: text("determination"),
            assigned_to: text("assignedTo"),
            investigation_id: text("investigationId"),
            investigation_state: text("investigationState"),
            service_source: text("serviceSource"),
            detection_source: text("detectionSource"),
            detector_id: text("detectorId"),
            provider_alert_id: text("providerAlertId"),
            incident_id: text("incidentId"),
            actor: text("actorName"),
            threat_family: text("threatFamilyName"),
            created_at: text("creationTime"),
            updated_at: text("lastUpdatedTime"),
            first_activity_at: text("firstActivity"),
            last_activity_at: text("lastActivity"),
            resolved_at: text("resolvedTime"),
            techniques: fields.texts_of("mitreTechniques"),
            evidence: devices.chain(entities).collect(),
            fields,
            ..Self::default()
        }
    }

    /// A detection of the retired SIEM API. What it says of a device, user, file, process, address and URL becomes
    /// evidence, a piece each.
    pub(super) fn siem(fields: Value<'a>) -> Self {
        let text = |key| fields.text_of(key);
        let flag = |key| tables::flag(text(key).as_written());
        let told: [(EvidenceKind, &[&str]); 6] = [
            (EvidenceKind::Device, &["DeviceID", "ComputerDnsName", "MachineName"]),
            (EvidenceKind::User, &["UserName"]),
            (EvidenceKind::File, &["FileName", "FilePath", "Sha1", "Sha256", "Md5", "FileHash"]),
            (EvidenceKind::Process, &["CommandLine"]),
            (EvidenceKind::Ip, &["IpAddress"]),
            (EvidenceKind::Url, &["Url"]),
        ];
        let evidence = told
            .into_iter()
            .filter(|(_, keys)| !fields.first_text(keys).is_blank())
            .map(|(kind, _)| Evidence { kind, shape: Shape::Siem, fields })
            .collect();
        Self {
            id: text("AlertId"),
            title: text("AlertTitle"),
            description: text("Description"),
            category: text("Category"),
            categories: fields.texts_of("Category"),
            severity: text("Severity"),
            detection_source: text("Source"),
            detector_id: text("IoaDefinitionId"),
            provider_alert_id: text("ExternalId"),
            alert_url: fields.first_text(&["LinkToMTP", "LinkToWDATP"]),
            incident_url: fields.first_text(&["IncidentLinkToMTP", "IncidentLinkToWDATP"]),
            actor: text("Actor"),
            threat_name: text("ThreatName"),
            threat_family: text("ThreatFamily"),
            created_at: text("AlertTime"),
            updated_at: text("LastProcessedTimeUtc"),
            remediated: flag("RemediationIsSuccess"),
            was_executing: flag("WasExecutingWhileDetected"),
            remediation_action: text("RemediationAction"),
            evidence,
            fields,
            ..Self::default()
        }
    }
}

/// A comment on an alert or incident.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Comment<'a> {
    pub(super) text: Text<'a>,
    pub(super) author: Text<'a>,
    pub(super) created_at: Text<'a>,
}

impl<'a> Comment<'a> {
    fn list(comments: Value<'a>) -> Vec<Self> {
        let comment = |fields: Value<'a>| Self {
            text: fields.text_of("comment").or(fields.text()),
            author: fields.first_text(&["createdByDisplayName", "createdBy"]),
            created_at: fields.first_text(&["createdDateTime", "createdTime"]),
        };
        comments.items().filter(|item| item.is_present()).map(comment).collect()
    }
}

/// An incident of Graph or of the Defender XDR API.
#[derive(Debug, Default)]
pub(super) struct Incident<'a> {
    pub(super) id: Text<'a>,
    pub(super) display_name: Text<'a>,
    pub(super) description: Text<'a>,
    pub(super) summary: Text<'a>,
    pub(super) severity: Text<'a>,
    pub(super) status: Text<'a>,
    pub(super) classification: Text<'a>,
    pub(super) determination: Text<'a>,
    pub(super) assigned_to: Text<'a>,
    pub(super) incident_url: Text<'a>,
    pub(super) redirect_incident_id: Text<'a>,
    pub(super) priority_score: Text<'a>,
    pub(super) resolving_comment: Text<'a>,
    pub(super) last_modified_by: Text<'a>,
    pub(super) created_at: Text<'a>,
    pub(super) updated_at: Text<'a>,
    /// Custom tags, then those of the system.
    pub(super) tags: Vec<Text<'a>>,
    pub(super) comments: Vec<Comment<'a>>,
    pub(super) alerts: Vec<Alert<'a>>,
    /// Microsoft's object.
    pub(super) fields: Value<'a>,
}

impl<'a> Incident<'a> {
    /// A Graph incident, with or without its alerts.
    pub(super) fn graph(fields: Value<'a>) -> Self {
        let text = |key| fields.text_of(key);
        let tags = ["customTags", "tags", "systemTags"].iter().flat_map(|key| fields.texts_of(key));
        Self {
            id: text("id"),
            display_name: text("displayName"),
            description: text("description"),
            summary: text("summary"),
            severity: text("severity"),
            status: text("status"),
            classification: text("classification"),
            determination: text("determination"),
            assigned_to: text("assignedTo"),
            incident_url: text("incidentWebUrl"),
            redirect_incident_id: text("redirectIncidentId"),
            priority_score: text("priorityScore"),
            resolving_comment: text("resolvingComment"),
            last_modified_by: text("lastModifiedBy"),
            created_at: text("createdDateTime"),
            updated_at: text("lastUpdateDateTime"),
            tags: tags.collect(),
            comments: Comment::list(fields.get("comments")),
            alerts: fields.get("alerts").items().map(Alert::graph).collect(),
            fields,
        }
    }

    /// An incident of the Defender XDR API.
    pub(super) fn xdr(fields: Value<'a>) -> Self {
        let text = |key| fields.text_of(key);
        Self {
            id: text("incidentId"),
            display_name: text("incidentName"),
            severity: text("severity"),
            status: text("status"),
            classification: text("classification"),
            determination: text("determination"),
            assigned_to: text("assignedTo"),
            incident_url: text("incidentUri"),
            redirect_incident_id: text("redirectIncidentId"),
            created_at: text("createdTime"),
            updated_at: text("lastUpdateTime"),
            tags: fields.texts_of("tags"),
            comments: Comment::list(fields.get("comments")),
            alerts: fields.get("alerts").items().map(Alert::xdr).collect(),
            fields,
            ..Self::default()
        }
    }
}

/// A row of an advanced hunting query or of the streaming API, whose envelope is taken off.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct HuntingRow<'a> {
    /// The table, such as `DeviceProcessEvents`; blank when nothing says it.
    pub(super) table: Text<'a>,
    /// When the event happened.
    pub(super) happened_at: Text<'a>,
    /// The columns: Microsoft's names, in Pascal case.
    pub(super) fields: Value<'a>,
}

impl<'a> HuntingRow<'a> {
    /// The row that is, or is wrapped in, `record`.
    pub(super) fn read(record: Value<'a>) -> Self {
        let wrapped = record.get("properties");
        let fields = if wrapped.is_object() { wrapped } else { record };
        let category = if wrapped.is_object() { record.text_of("category") } else { Text::default() };
        let named = fields.first_text(&["$table", "TableName"]);
        let mut table = category.after_last('-').or(named);
        if table.is_blank() {
            table = Text::as_in_json(tables::hunting_table(fields));
        }
        Self {
            table,
            happened_at: fields.first_text(&["Timestamp", "TimeGenerated"]).or(record.text_of("time")),
            fields,
        }
    }

    /// The text of a column.
    pub(super) fn text(&self, column: &str) -> Text<'a> {
        self.fields.text_of(column)
    }

    /// The device on which it happened.
    pub(super) fn device(&self) -> Device<'a> {
        Device {
            id: self.text("DeviceId"),
            entra_id: self.text("AadDeviceId"),
            dns_name: self.text("DeviceName"),
            os_platform: self.fields.first_text(&["OSPlatform", "OSType"]),
            os_version: self.fields.first_text(&["OSVersion", "OSVersionInfo"]),
            os_build: self.text("OSBuild"),
            group: self.text("MachineGroup"),
            ..Device::default()
        }
    }

    /// The account that the row is about (`Account…`).
    pub(super) fn account(&self) -> User<'a> {
        User {
            account: self.text("AccountName"),
            domain: self.text("AccountDomain"),
            principal: self.text("AccountUpn"),
            sid: self.text("AccountSid"),
            entra_id: self.text("AccountObjectId"),
            display_name: self.text("AccountDisplayName"),
        }
    }

    /// The account of the process that did it (`InitiatingProcessAccount…`).
    pub(super) fn initiating_account(&self) -> User<'a> {
        User {
            account: self.text("InitiatingProcessAccountName"),
            domain: self.text("InitiatingProcessAccountDomain"),
            principal: self.text("InitiatingProcessAccountUpn"),
            sid: self.text("InitiatingProcessAccountSid"),
            entra_id: self.text("InitiatingProcessAccountObjectId"),
            display_name: Text::default(),
        }
    }

    /// The file that the row is about.
    pub(super) fn file(&self) -> File<'a> {
        File {
            name: self.text("FileName"),
            path: self.text("FolderPath"),
            size: self.text("FileSize"),
            sha1: self.text("SHA1"),
            sha256: self.text("SHA256"),
            md5: self.text("MD5"),
            publisher: self.text("ProcessVersionInfoCompanyName"),
            ..File::default()
        }
    }

    /// The process that the row is about (`Process…`, with the file as its image).
    pub(super) fn process(&self) -> Process<'a> {
        let told = ["ProcessId", "ProcessCommandLine"];
        let image = if self.fields.first_text(&told).is_blank() { File::default() } else { self.file() };
        Process {
            id: self.text("ProcessId"),
            image,
            command_line: self.text("ProcessCommandLine"),
            created_at: self.text("ProcessCreationTime"),
            ..Process::default()
        }
    }

    /// The process that did it (`InitiatingProcess…`), with its parent.
    pub(super) fn initiating_process(&self) -> Process<'a> {
        Process {
            id: self.text("InitiatingProcessId"),
            image: File {
                name: self.text("InitiatingProcessFileName"),
                path: self.text("InitiatingProcessFolderPath"),
                size: self.text("InitiatingProcessFileSize"),
                sha1: self.text("InitiatingProcessSHA1"),
                sha256: self.text("InitiatingProcessSHA256"),
                md5: self.text("InitiatingProcessMD5"),
                publisher: self.text("InitiatingProcessVersionInfoCompanyName"),
                ..File::default()
            },
            command_line: self.text("InitiatingProcessCommandLine"),
            created_at: self.text("InitiatingProcessCreationTime"),
            parent_id: self.text("InitiatingProcessParentId"),
            parent_created_at: self.text("InitiatingProcessParentCreationTime"),
            parent_image: File { name: self.text("InitiatingProcessParentFileName"), ..File::default() },
        }
    }
}

/// Whose names the fields of a piece of evidence have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Shape {
    /// Graph: `@odata.type`, objects in objects.
    #[default]
    Graph,
    /// Defender for Endpoint and XDR: `entityType`, flat.
    Entity,
    /// A device of a Defender XDR alert.
    XdrDevice,
    /// The alert of Defender for Endpoint itself (its device), or its `relatedUser`.
    EndpointAlert,
    /// The detection of the retired SIEM API itself.
    Siem,
}

/// One piece of evidence of any type: a thin handle on Microsoft's object, read when it is asked.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Evidence<'a> {
    pub(super) kind: EvidenceKind,
    shape: Shape,
    /// Microsoft's object. For the device of a Defender for Endpoint alert, and for all evidence of the retired SIEM
    /// API, that is the alert itself.
    pub(super) fields: Value<'a>,
}

/// What a text in a piece of evidence is good for, besides what the typed accessors give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pivot {
    /// An IP address.
    Address,
    Url,
    /// A hash of a file, without its name.
    Hash,
    /// A mail address that something was sent to, or a mailbox.
    Recipient,
    /// A mail address that something came from, or that submitted it.
    Sender,
    /// An id or subject of a message.
    Message,
    /// A name or id of anything else: cloud resource, application, container, group, session.
    Entity,
}

impl<'a> Evidence<'a> {
    /// Evidence of a Graph alert.
    fn graph(fields: Value<'a>) -> Self {
        let name = fields.text_of("@odata.type").after_last('.');
        Self { kind: EvidenceKind::of_graph(name.as_written()), shape: Shape::Graph, fields }
    }

    /// Evidence of Defender for Endpoint, or an entity of Defender XDR.
    fn entity(fields: Value<'a>) -> Self {
        let name = fields.text_of("entityType");
        Self { kind: EvidenceKind::of_entity(name.as_written()), shape: Shape::Entity, fields }
    }

    fn xdr_device(fields: Value<'a>) -> Self {
        Self { kind: EvidenceKind::Device, shape: Shape::XdrDevice, fields }
    }

    /// The type as Graph names it; for a type that is not known as Microsoft wrote it.
    pub(super) fn type_name(&self) -> Text<'a> {
        match self.kind {
            EvidenceKind::Unknown => {
                self.fields.text_of("@odata.type").after_last('.').or(self.fields.text_of("entityType"))
            }
            known => Text::as_in_json(known.graph_name()),
        }
    }

    /// `verdict`; blank where the API has none.
    pub(super) fn verdict(&self) -> Text<'a> {
        self.own("verdict")
    }

    /// `remediationStatus`; blank where the API has none.
    pub(super) fn remediation_status(&self) -> Text<'a> {
        self.own("remediationStatus")
    }

    /// `detectionStatus` of a file or process.
    pub(super) fn detection_status(&self) -> Text<'a> {
        self.own("detectionStatus")
    }

    /// `roles` and `detailedRoles`.
    pub(super) fn roles(&self) -> Vec<Text<'a>> {
        let mut roles = self.fields.texts_of("roles");
        roles.extend(self.fields.texts_of("detailedRoles"));
        roles
    }

    /// `tags`; of the device of a detection of the retired SIEM API those of device and cloud.
    pub(super) fn tags(&self) -> Vec<Text<'a>> {
        match self.shape {
            Shape::Siem if self.kind == EvidenceKind::Device => {
                ["DeviceCreatedMachineTags", "CloudCreatedMachineTags"]
                    .iter()
                    .flat_map(|key| self.fields.text_of(key).split(&[',', ';']))
                    .collect()
            }
            Shape::Siem | Shape::EndpointAlert => Vec::new(),
            Shape::Graph | Shape::Entity | Shape::XdrDevice => self.fields.texts_of("tags"),
        }
    }

    /// A field of evidence that is an object of its own.
    fn own(&self, key: &str) -> Text<'a> {
        match self.shape {
            Shape::Graph | Shape::Entity => self.fields.text_of(key),
            Shape::XdrDevice | Shape::EndpointAlert | Shape::Siem => Text::default(),
        }
    }

    /// The computer it is, or on which it was found (of which most often only the id is told).
    pub(super) fn device(&self) -> Device<'a> {
        let fields = self.fields;
        let text = |key| fields.text_of(key);
        match (self.shape, self.kind) {
            (Shape::Graph, EvidenceKind::Device | EvidenceKind::Unknown) => {
                let machine = fields.get("vmMetadata");
                Device {
                    id: text("mdeDeviceId"),
                    entra_id: text("azureAdDeviceId"),
                    dns_name: text("deviceDnsName"),
                    host_name: fields.first_text(&["hostName", "deviceName"]),
                    dns_domain: text("dnsDomain"),
                    nt_domain: text("ntDomain"),
                    os_platform: text("osPlatform"),
                    os_build: text("osBuild"),
                    os_version: text("version"),
                    group: text("rbacGroupName"),
                    group_id: text("rbacGroupId"),
                    risk_score: text("riskScore"),
                    onboarding_status: text("onboardingStatus"),
                    first_seen_at: text("firstSeenDateTime"),
                    last_address: text("lastIpAddress"),
                    last_external_address: text("lastExternalIpAddress"),
                    vm_id: machine.text_of("vmId"),
                    vm_resource_id: machine.text_of("resourceId"),
                    vm_subscription_id: machine.text_of("subscriptionId"),
                    ..Device::default()
                }
            }
            (Shape::Graph, EvidenceKind::IotDevice) => Device {
                host_name: text("deviceName"),
                os_platform: text("operatingSystem"),
                mac: text("macAddress"),
                ..Device::default()
            },
            (Shape::Graph, EvidenceKind::CloudLogonSession) => Device {
                host_name: text("deviceName"),
                os_platform: text("operatingSystem"),
                ..Device::default()
            },
            (Shape::Graph, EvidenceKind::File | EvidenceKind::Process | EvidenceKind::RegistryValue) => {
                Device { id: text("mdeDeviceId"), ..Device::default() }
            }
            (Shape::Graph, _) => Device::default(),
            (Shape::Entity, _) => Device { id: text("deviceId"), ..Device::default() },
            (Shape::XdrDevice, _) => {
                let machine = fields.get("vmMetadata");
                Device {
                    id: fields.first_text(&["mdatpDeviceId", "deviceId", "DeviceId"]),
                    entra_id: text("aadDeviceId"),
                    dns_name: text("deviceDnsName"),
                    os_platform: text("osPlatform"),
                    os_build: text("osBuild"),
                    os_version: text("version"),
                    os_architecture: text("osProcessor"),
                    group: text("rbacGroupName"),
                    group_id: text("rbacGroupId"),
                    risk_score: text("riskScore"),
                    onboarding_status: text("onboardingStatus"),
                    first_seen_at: text("firstSeen"),
                    vm_id: machine.text_of("vmId"),
                    vm_resource_id: machine.text_of("resourceId"),
                    vm_subscription_id: machine.text_of("subscriptionId"),
                    ..Device::default()
                }
            }
            (Shape::EndpointAlert, EvidenceKind::Device) => Device {
                id: text("machineId"),
                dns_name: text("computerDnsName"),
                group: text("rbacGroupName"),
                ..Device::default()
            },
            (Shape::Siem, EvidenceKind::Device) => Device {
                id: text("DeviceID"),
                dns_name: text("ComputerDnsName"),
                host_name: text("MachineName"),
                dns_domain: text("MachineDomain"),
                group: text("MachineGroup"),
                ..Device::default()
            },
            (Shape::EndpointAlert | Shape::Siem, _) => Device::default(),
        }
    }

    /// The account it is, or whose it is.
    pub(super) fn user(&self) -> User<'a> {
        let text = |key| self.fields.text_of(key);
        match (self.shape, self.kind) {
            (Shape::Graph, _) => User::graph(self.fields.get("userAccount")),
            (Shape::Entity, _) => User {
                account: text("accountName"),
                domain: text("domainName"),
                principal: text("userPrincipalName"),
                sid: text("userSid"),
                entra_id: text("aadUserId"),
                display_name: text("mailboxDisplayName"),
            },
            (Shape::EndpointAlert, EvidenceKind::User) => {
                User { account: text("userName"), domain: text("domainName"), ..User::default() }
            }
            (Shape::Siem, EvidenceKind::User) => {
                User { account: text("UserName"), domain: text("UserDomain"), ..User::default() }
            }
            (Shape::EndpointAlert | Shape::Siem | Shape::XdrDevice, _) => User::default(),
        }
    }

    /// The people who were logged on to a device.
    pub(super) fn logged_on(&self) -> Vec<User<'a>> {
        match (self.shape, self.kind) {
            (Shape::Graph, EvidenceKind::Device | EvidenceKind::Unknown)
            | (Shape::EndpointAlert, EvidenceKind::Device)
            | (Shape::XdrDevice, _) => self.fields.get("loggedOnUsers").items().map(User::graph).collect(),
            (Shape::Siem, EvidenceKind::Device) => {
                let user = |text: Text<'a>| match text.as_written().split_once("\\\\") {
                    Some((domain, account)) => User {
                        account: Text::as_in_json(account),
                        domain: Text::as_in_json(domain),
                        ..User::default()
                    },
                    None => User { account: text, ..User::default() },
                };
                self.fields.text_of("LogOnUsers").split(&[';']).into_iter().map(user).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The file it is.
    pub(super) fn file(&self) -> File<'a> {
        let fields = self.fields;
        match (self.shape, self.kind) {
            (Shape::Graph, EvidenceKind::File | EvidenceKind::Unknown) => {
                File::graph(fields.get("fileDetails"))
            }
            (Shape::Entity, EvidenceKind::Process) => File::default(),
            (Shape::Entity, _) => File::flat(fields),
            (Shape::Siem, EvidenceKind::File) => File {
                name: fields.text_of("FileName"),
                path: fields.text_of("FilePath"),
                sha1: fields.text_of("Sha1"),
                sha256: fields.text_of("Sha256"),
                md5: fields.text_of("Md5"),
                ..File::default()
            },
            _ => File::default(),
        }
    }

    /// The process it is.
    pub(super) fn process(&self) -> Process<'a> {
        let text = |key| self.fields.text_of(key);
        match (self.shape, self.kind) {
            (Shape::Graph, EvidenceKind::Process | EvidenceKind::Unknown) => Process {
                id: text("processId"),
                image: File::graph(self.fields.get("imageFile")),
                command_line: text("processCommandLine"),
                created_at: text("processCreationDateTime"),
                parent_id: text("parentProcessId"),
                parent_created_at: text("parentProcessCreationDateTime"),
                parent_image: File::graph(self.fields.get("parentProcessImageFile")),
            },
            (Shape::Entity, EvidenceKind::Process) => Process {
                id: text("processId"),
                image: File::flat(self.fields),
                command_line: text("processCommandLine"),
                created_at: text("processCreationTime"),
                parent_id: text("parentProcessId"),
                parent_created_at: text("parentProcessCreationTime"),
                parent_image: File {
                    name: text("parentProcessFileName"),
                    path: text("parentProcessFilePath"),
                    ..File::default()
                },
            },
            (Shape::Entity, _) => Process {
                id: text("processId"),
                command_line: text("processCommandLine"),
                ..Process::default()
            },
            (Shape::Siem, EvidenceKind::Process) => {
                Process { command_line: text("CommandLine"), ..Process::default() }
            }
            _ => Process::default(),
        }
    }

    /// The registry key or value it is.
    pub(super) fn registry(&self) -> Registry<'a> {
        match (self.shape, self.kind) {
            (
                Shape::Graph | Shape::Entity,
                EvidenceKind::RegistryKey | EvidenceKind::RegistryValue | EvidenceKind::Unknown,
            ) => Registry {
                hive: self.fields.text_of("registryHive"),
                key: self.fields.text_of("registryKey"),
                value_name: self.fields.text_of("registryValueName"),
                value: self.fields.text_of("registryValue"),
                value_type: self.fields.text_of("registryValueType"),
            },
            _ => Registry::default(),
        }
    }

    /// The connection it is.
    pub(super) fn connection(&self) -> Connection<'a> {
        if self.shape != Shape::Graph || self.kind != EvidenceKind::NetworkConnection {
            return Connection::default();
        }
        Connection {
            source_address: self.fields.get("sourceAddress").text_of("ipAddress"),
            source_port: self.fields.text_of("sourcePort"),
            destination_address: self.fields.get("destinationAddress").text_of("ipAddress"),
            destination_port: self.fields.text_of("destinationPort"),
            protocol: self.fields.text_of("protocol"),
        }
    }

    /// The message it is: mail, a mail submitted by a user, a Teams message, a cluster of mails.
    pub(super) fn message(&self) -> Message<'a> {
        let fields = self.fields;
        let text = |key| fields.text_of(key);
        match self.kind {
            EvidenceKind::AnalyzedMessage
            | EvidenceKind::SubmissionMail
            | EvidenceKind::TeamsMessage
            | EvidenceKind::MailCluster => {
                let (envelope, header) = (fields.get("p1Sender"), fields.get("p2Sender"));
                let mut recipients = fields.texts_of("recipientEmailAddress");
                recipients.extend(fields.texts_of("recipient"));
                recipients.extend(fields.texts_of("recipients"));
                let mut network_ids = fields.texts_of("networkMessageId");
                network_ids.extend(fields.texts_of("networkMessageIds"));
                Message {
                    network_ids,
                    internet_id: fields.first_text(&["internetMessageId", "messageId"]),
                    subject: text("subject"),
                    sender: header
                        .text_of("emailAddress")
                        .or(fields.first_text(&["sender", "senderFromAddress"]))
                        .or(envelope.text_of("emailAddress")),
                    envelope_sender: envelope.text_of("emailAddress"),
                    sender_address: fields.first_text(&["senderIp", "senderIP"]),
                    recipients,
                    received_at: fields.first_text(&["receivedDateTime", "submissionDateTime"]),
                    direction: fields.first_text(&["antiSpamDirection", "messageDirection"]),
                }
            }
            _ => Message::default(),
        }
    }

    /// Calls `visit` with each text that analysts pivot on and that the typed accessors above do not give, in the
    /// order in which they stand. Texts of evidence inside this evidence are that evidence's.
    pub(super) fn pivots(&self, visit: &mut impl FnMut(Pivot, Text<'a>)) {
        let fields = self.fields;
        let mut tell = |pivot, text: Text<'a>| {
            if !text.is_blank() {
                visit(pivot, text);
            }
        };
        match self.shape {
            Shape::Graph | Shape::Entity => {
                for (key, value) in fields.fields() {
                    match key {
                        "p1Sender" | "p2Sender" => tell(Pivot::Sender, value.text_of("emailAddress")),
                        "fileHashes" => {
                            value.items().for_each(|hash| tell(Pivot::Hash, hash.text_of("value")));
                        }
                        "value" if self.kind == EvidenceKind::FileHash => tell(Pivot::Hash, value.text()),
                        "deviceId" if self.shape == Shape::Entity => {}
                        _ => {
                            if let Some(Meaning { pivot, .. }) = meaning(value) {
                                value.items().for_each(|item| tell(*pivot, item.text()));
                            }
                        }
                    }
                }
            }
            Shape::Siem => match self.kind {
                EvidenceKind::Device => {
                    for key in ["InternalIPv4List", "InternalIPv6List"] {
                        for address in fields.text_of(key).split(&[',', ';']) {
                            tell(Pivot::Address, address);
                        }
                    }
                }
                EvidenceKind::Ip => tell(Pivot::Address, fields.text_of("IpAddress")),
                EvidenceKind::Url => tell(Pivot::Url, fields.text_of("Url")),
                EvidenceKind::File => tell(Pivot::Hash, fields.text_of("FileHash")),
                _ => {}
            },
            Shape::XdrDevice | Shape::EndpointAlert => {}
        }
    }

    /// The evidence inside this evidence.
    pub(super) fn inner(&self) -> Vec<Self> {
        if self.shape != Shape::Graph {
            return Vec::new();
        }
        let mut inner = Vec::new();
        for (_, value) in self.fields.fields() {
            if matches!(value.kind(), Some(Kind::Array | Kind::Object))
                && let Some(Meaning { inside, .. }) = meaning(value)
            {
                for item in value.items().filter(|item| item.is_object()) {
                    let mut evidence = Self::graph(item);
                    if evidence.kind == EvidenceKind::Unknown && !item.get("@odata.type").is_present() {
                        // OData leaves the type out where the schema says it.
                        evidence.kind = *inside;
                    }
                    inner.push(evidence);
                }
            }
        }
        inner
    }

    /// Calls `visit` with this evidence and all inside it, outermost first.
    pub(super) fn walk(&self, visit: &mut impl FnMut(&Self)) {
        self.walk_from(1, visit);
    }

    fn walk_from(&self, depth: usize, visit: &mut impl FnMut(&Self)) {
        visit(self);
        if depth < EVIDENCE_DEPTH_MAX {
            for inner in self.inner() {
                inner.walk_from(depth + 1, visit);
            }
        }
    }
}

/// What a property of Graph evidence means, and what kind of evidence an object in it is when nothing else says so.
#[derive(Debug, Clone, Copy)]
struct Meaning {
    key: &'static str,
    pivot: Pivot,
    inside: EvidenceKind,
}

/// The properties that analysts pivot on, by name: `alertEvidence` types share names only where they mean the same.
static MEANINGS: [Meaning; 120] = [
    Meaning { key: "account", pivot: Pivot::Entity, inside: EvidenceKind::User },
    Meaning { key: "activeDirectoryDomainName", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "activeDirectoryObjectGuid", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "agentId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "agentName", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "allowedIpAddresses", pivot: Pivot::Address, inside: EvidenceKind::Unknown },
    Meaning { key: "amazonAccountId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "amazonResourceId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "appId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "appOwnerTenantId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "args", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "baseUrl", pivot: Pivot::Url, inside: EvidenceKind::Unknown },
    Meaning { key: "blobContainer", pivot: Pivot::Entity, inside: EvidenceKind::BlobContainer },
    Meaning { key: "campaignId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "channelId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "cloudResource", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "cluster", pivot: Pivot::Entity, inside: EvidenceKind::KubernetesCluster },
    Meaning { key: "clusterByValue", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "clusterIP", pivot: Pivot::Address, inside: EvidenceKind::Ip },
    Meaning { key: "command", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "company", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "configurationId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "containerId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "containers", pivot: Pivot::Entity, inside: EvidenceKind::Container },
    Meaning { key: "controller", pivot: Pivot::Entity, inside: EvidenceKind::KubernetesController },
    Meaning { key: "destinationAddress", pivot: Pivot::Address, inside: EvidenceKind::Ip },
    Meaning { key: "deviceId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "devicePageLink", pivot: Pivot::Url, inside: EvidenceKind::Unknown },
    Meaning { key: "digestImage", pivot: Pivot::Entity, inside: EvidenceKind::ContainerImage },
    Meaning { key: "displayName", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "distinguishedName", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "dnsServerIp", pivot: Pivot::Address, inside: EvidenceKind::Ip },
    Meaning { key: "domainName", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "email", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "ephemeralContainers", pivot: Pivot::Entity, inside: EvidenceKind::Container },
    Meaning { key: "externalDirectoryObjectId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "externalIPs", pivot: Pivot::Address, inside: EvidenceKind::Ip },
    Meaning { key: "files", pivot: Pivot::Entity, inside: EvidenceKind::File },
    Meaning { key: "friendlyName", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "fullResourceName", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "groupId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "host", pivot: Pivot::Entity, inside: EvidenceKind::Device },
    Meaning { key: "hostIpAddress", pivot: Pivot::Address, inside: EvidenceKind::Ip },
    Meaning { key: "image", pivot: Pivot::Entity, inside: EvidenceKind::ContainerImage },
    Meaning { key: "imageId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "initContainers", pivot: Pivot::Entity, inside: EvidenceKind::Container },
    Meaning { key: "instanceId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "instanceName", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "internetMessageId", pivot: Pivot::Message, inside: EvidenceKind::Unknown },
    Meaning { key: "ioTHub", pivot: Pivot::Entity, inside: EvidenceKind::AzureResource },
    Meaning { key: "ioTSecurityAgentId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "ipAddress", pivot: Pivot::Address, inside: EvidenceKind::Ip },
    Meaning { key: "ipAddresses", pivot: Pivot::Address, inside: EvidenceKind::Ip },
    Meaning { key: "ipInterfaces", pivot: Pivot::Address, inside: EvidenceKind::Unknown },
    Meaning { key: "lastExternalIpAddress", pivot: Pivot::Address, inside: EvidenceKind::Unknown },
    Meaning { key: "lastIpAddress", pivot: Pivot::Address, inside: EvidenceKind::Unknown },
    Meaning { key: "login", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "macAddress", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "mailboxAddress", pivot: Pivot::Recipient, inside: EvidenceKind::Unknown },
    Meaning { key: "mailboxPrimaryAddress", pivot: Pivot::Recipient, inside: EvidenceKind::Unknown },
    Meaning { key: "messageId", pivot: Pivot::Message, inside: EvidenceKind::Unknown },
    Meaning { key: "name", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "namespace", pivot: Pivot::Entity, inside: EvidenceKind::KubernetesNamespace },
    Meaning { key: "networkMessageId", pivot: Pivot::Message, inside: EvidenceKind::Unknown },
    Meaning { key: "networkMessageIds", pivot: Pivot::Message, inside: EvidenceKind::Unknown },
    Meaning { key: "nics", pivot: Pivot::Entity, inside: EvidenceKind::Nic },
    Meaning { key: "objectId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "orgId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "owner", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "owners", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "owningTenantId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "parentMessageId", pivot: Pivot::Message, inside: EvidenceKind::Unknown },
    Meaning { key: "pod", pivot: Pivot::Entity, inside: EvidenceKind::KubernetesPod },
    Meaning { key: "podIp", pivot: Pivot::Address, inside: EvidenceKind::Ip },
    Meaning { key: "primaryAddress", pivot: Pivot::Recipient, inside: EvidenceKind::Unknown },
    Meaning { key: "processes", pivot: Pivot::Entity, inside: EvidenceKind::Process },
    Meaning { key: "projectId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "projectNumber", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "publisher", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "query", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "recipient", pivot: Pivot::Recipient, inside: EvidenceKind::Unknown },
    Meaning { key: "recipientEmailAddress", pivot: Pivot::Recipient, inside: EvidenceKind::Unknown },
    Meaning { key: "recipients", pivot: Pivot::Recipient, inside: EvidenceKind::Unknown },
    Meaning { key: "registry", pivot: Pivot::Entity, inside: EvidenceKind::ContainerRegistry },
    Meaning { key: "repoId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "requestId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "resourceId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "resourceName", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "saasAppId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "securityGroupId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "securityGroupName", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "sender", pivot: Pivot::Sender, inside: EvidenceKind::Unknown },
    Meaning { key: "senderFromAddress", pivot: Pivot::Sender, inside: EvidenceKind::Unknown },
    Meaning { key: "senderIP", pivot: Pivot::Address, inside: EvidenceKind::Unknown },
    Meaning { key: "senderIp", pivot: Pivot::Address, inside: EvidenceKind::Unknown },
    Meaning { key: "serialNumber", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "serviceAccount", pivot: Pivot::Entity, inside: EvidenceKind::KubernetesServiceAccount },
    Meaning { key: "servicePrincipalName", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "servicePrincipalObjectId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "sessionId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "sid", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "signatureHash", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "sourceAddress", pivot: Pivot::Address, inside: EvidenceKind::Ip },
    Meaning { key: "sourceId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "sourceRef", pivot: Pivot::Url, inside: EvidenceKind::Url },
    Meaning { key: "storageResource", pivot: Pivot::Entity, inside: EvidenceKind::AzureResource },
    Meaning { key: "subject", pivot: Pivot::Message, inside: EvidenceKind::Unknown },
    Meaning { key: "submissionId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "submitter", pivot: Pivot::Sender, inside: EvidenceKind::Unknown },
    Meaning { key: "suspiciousRecipients", pivot: Pivot::Recipient, inside: EvidenceKind::Unknown },
    Meaning { key: "threadId", pivot: Pivot::Message, inside: EvidenceKind::Unknown },
    Meaning { key: "trustedDomains", pivot: Pivot::Entity, inside: EvidenceKind::ActiveDirectoryDomain },
    Meaning { key: "upn", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "url", pivot: Pivot::Url, inside: EvidenceKind::Url },
    Meaning { key: "urls", pivot: Pivot::Url, inside: EvidenceKind::Url },
    Meaning { key: "urn", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "userAgent", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "userId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "value", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "webUrl", pivot: Pivot::Url, inside: EvidenceKind::Unknown },
];

const MEANING_NAMES: [&str; MEANINGS.len()] = {
    let mut names = [""; MEANINGS.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = MEANINGS[at].key;
        at += 1;
    }
    names
};
static MEANINGS_BY_NAME: Names<512> = Names::of(&MEANING_NAMES);

/// The meaning of a field of evidence, if it is one to pivot on.
fn meaning(field: Value<'_>) -> Option<&'static Meaning> {
    MEANINGS.get(MEANINGS_BY_NAME.find(&MEANING_NAMES, field.key(), field.key_hash())?)
}

/// A computer.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Device<'a> {
    /// The id that Defender for Endpoint gave it.
    pub(super) id: Text<'a>,
    pub(super) entra_id: Text<'a>,
    pub(super) dns_name: Text<'a>,
    pub(super) host_name: Text<'a>,
    pub(super) dns_domain: Text<'a>,
    pub(super) nt_domain: Text<'a>,
    pub(super) os_platform: Text<'a>,
    pub(super) os_build: Text<'a>,
    pub(super) os_version: Text<'a>,
    pub(super) os_architecture: Text<'a>,
    pub(super) group: Text<'a>,
    pub(super) group_id: Text<'a>,
    pub(super) risk_score: Text<'a>,
    pub(super) onboarding_status: Text<'a>,
    pub(super) first_seen_at: Text<'a>,
    pub(super) last_address: Text<'a>,
    pub(super) last_external_address: Text<'a>,
    pub(super) mac: Text<'a>,
    pub(super) vm_id: Text<'a>,
    pub(super) vm_resource_id: Text<'a>,
    pub(super) vm_subscription_id: Text<'a>,
}

impl<'a> Device<'a> {
    /// The full name where there is one, else the short one.
    pub(super) fn name(&self) -> Text<'a> {
        self.dns_name.or(self.host_name)
    }

    /// The domain: as told, or the end of the full name.
    pub(super) fn domain(&self) -> Text<'a> {
        self.dns_domain.or(self.dns_name.after_first('.'))
    }

    /// Whether neither a name nor an id is told.
    pub(super) fn is_blank(&self) -> bool {
        self.name().is_blank() && self.id.is_blank() && self.entra_id.is_blank()
    }
}

/// A person's or machine's account.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct User<'a> {
    pub(super) account: Text<'a>,
    pub(super) domain: Text<'a>,
    pub(super) principal: Text<'a>,
    pub(super) sid: Text<'a>,
    pub(super) entra_id: Text<'a>,
    pub(super) display_name: Text<'a>,
}

impl<'a> User<'a> {
    fn graph(fields: Value<'a>) -> Self {
        if !fields.is_object() {
            return Self::default();
        }
        Self {
            account: fields.text_of("accountName"),
            domain: fields.text_of("domainName"),
            principal: fields.text_of("userPrincipalName"),
            sid: fields.text_of("userSid"),
            entra_id: fields.text_of("azureAdUserId"),
            display_name: fields.text_of("displayName"),
        }
    }

    /// The best name: account, principal name, display name, SID, id; blank when there is none.
    pub(super) fn name(&self) -> Text<'a> {
        self.account.or(self.principal).or(self.display_name).or(self.sid).or(self.entra_id)
    }

    /// The domain, which says something about an account name only.
    pub(super) fn domain(&self) -> Text<'a> {
        if self.account.is_blank() { Text::default() } else { self.domain }
    }
}

/// A file.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct File<'a> {
    pub(super) name: Text<'a>,
    /// The folder; in hunting rows the whole path.
    pub(super) path: Text<'a>,
    pub(super) size: Text<'a>,
    pub(super) sha1: Text<'a>,
    pub(super) sha256: Text<'a>,
    pub(super) sha256_ac: Text<'a>,
    pub(super) md5: Text<'a>,
    pub(super) publisher: Text<'a>,
    pub(super) signer: Text<'a>,
}

impl<'a> File<'a> {
    fn graph(fields: Value<'a>) -> Self {
        if !fields.is_object() {
            return Self::default();
        }
        Self {
            name: fields.text_of("fileName"),
            path: fields.text_of("filePath"),
            size: fields.text_of("fileSize"),
            sha1: fields.text_of("sha1"),
            sha256: fields.text_of("sha256"),
            sha256_ac: fields.text_of("sha256Ac"),
            md5: fields.text_of("md5"),
            publisher: fields.text_of("filePublisher"),
            signer: fields.text_of("signer"),
        }
    }

    fn flat(fields: Value<'a>) -> Self {
        Self {
            name: fields.text_of("fileName"),
            path: fields.text_of("filePath"),
            sha1: fields.text_of("sha1"),
            sha256: fields.text_of("sha256"),
            ..Self::default()
        }
    }

    pub(super) fn hashes(&self) -> [Text<'a>; 4] {
        [self.sha1, self.sha256, self.md5, self.sha256_ac]
    }

    pub(super) fn is_blank(&self) -> bool {
        self.name.is_blank() && self.path.is_blank() && self.hashes().iter().all(|hash| hash.is_blank())
    }
}

/// A process.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Process<'a> {
    pub(super) id: Text<'a>,
    pub(super) image: File<'a>,
    pub(super) command_line: Text<'a>,
    pub(super) created_at: Text<'a>,
    pub(super) parent_id: Text<'a>,
    pub(super) parent_created_at: Text<'a>,
    pub(super) parent_image: File<'a>,
}

impl<'a> Process<'a> {
    /// The command line, or the name of the program.
    pub(super) fn shown(&self) -> Text<'a> {
        self.command_line.or(self.image.name)
    }

    /// Whether nothing tells which process it is.
    pub(super) fn is_blank(&self) -> bool {
        self.id.is_blank() && self.command_line.is_blank() && self.image.is_blank()
    }
}

/// A registry key or value.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Registry<'a> {
    pub(super) hive: Text<'a>,
    pub(super) key: Text<'a>,
    pub(super) value_name: Text<'a>,
    pub(super) value: Text<'a>,
    pub(super) value_type: Text<'a>,
}

impl Fingerprint for Registry<'_> {
    fn fingerprint(&self) -> u32 {
        (self.key, self.value_name).fingerprint()
    }
}

/// A network connection.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Connection<'a> {
    pub(super) source_address: Text<'a>,
    pub(super) source_port: Text<'a>,
    pub(super) destination_address: Text<'a>,
    pub(super) destination_port: Text<'a>,
    pub(super) protocol: Text<'a>,
}

/// A mail, a Teams message, or a cluster of mails.
#[derive(Debug, Default, Clone)]
pub(super) struct Message<'a> {
    pub(super) network_ids: Vec<Text<'a>>,
    pub(super) internet_id: Text<'a>,
    pub(super) subject: Text<'a>,
    /// The sender that the reader sees (header, P2); else that of the envelope.
    pub(super) sender: Text<'a>,
    /// The sender of the envelope (P1).
    pub(super) envelope_sender: Text<'a>,
    pub(super) sender_address: Text<'a>,
    pub(super) recipients: Vec<Text<'a>>,
    pub(super) received_at: Text<'a>,
    pub(super) direction: Text<'a>,
}

/// The evidence of one or more alerts, sorted by what analysts pivot on. Each list holds a value once, in the order
/// in which evidence came; evidence whose own subject it is comes before evidence that only mentions it (the user of
/// a `userEvidence` before the account of a process).
#[derive(Debug, Default)]
pub(super) struct Facts<'a> {
    /// The first named device; without any, the first that has only an id.
    pub(super) device: Device<'a>,
    /// The first file: of file evidence, else of a process.
    pub(super) file: File<'a>,
    /// The first process.
    pub(super) process: Process<'a>,
    /// The first user with a name.
    pub(super) user: User<'a>,
    /// Whether anything was remediated, blocked or prevented, and nothing left active; `None` when nothing is said.
    pub(super) remediated: Option<bool>,
    /// Whether any process ran when it was detected; `None` when nothing is said.
    pub(super) was_executing: Option<bool>,
    /// The first remediation status that tells something.
    pub(super) remediation: Text<'a>,
    pub(super) kinds: Distinct<Text<'a>>,
    pub(super) verdicts: Distinct<Text<'a>>,
    pub(super) devices: Distinct<Text<'a>>,
    pub(super) device_ids: Distinct<Text<'a>>,
    /// Domain and name.
    pub(super) users: Distinct<(Text<'a>, Text<'a>)>,
    /// Principal names, SIDs and ids of users.
    pub(super) user_ids: Distinct<Text<'a>>,
    /// Domain and name.
    pub(super) logged_on: Distinct<(Text<'a>, Text<'a>)>,
    /// Folder and name.
    pub(super) files: Distinct<(Text<'a>, Text<'a>)>,
    pub(super) hashes: Distinct<Text<'a>>,
    pub(super) processes: Distinct<Text<'a>>,
    pub(super) addresses: Distinct<Text<'a>>,
    pub(super) urls: Distinct<Text<'a>>,
    pub(super) recipients: Distinct<Text<'a>>,
    pub(super) senders: Distinct<Text<'a>>,
    pub(super) messages: Distinct<Text<'a>>,
    pub(super) registry: Distinct<Registry<'a>>,
    pub(super) entities: Distinct<Text<'a>>,
}

impl<'a> Facts<'a> {
    /// The facts of the evidence of `alerts`.
    pub(super) fn of(alerts: &[Alert<'a>]) -> Self {
        Self::of_evidence(alerts, &all_evidence(alerts))
    }

    /// The facts of the evidence of `alerts`, of which `all` is [`all_evidence`].
    pub(super) fn of_evidence(alerts: &[Alert<'a>], all: &[Evidence<'a>]) -> Self {
        let mut facts = Self::default();
        let (mut done, mut open) = (false, false);
        let told = alerts
            .iter()
            .flat_map(|alert| &alert.evidence)
            .any(|evidence| !evidence.remediation_status().is_blank());
        let all = Reads::of(all);
        facts.choose(&all);
        for read in all.iter() {
            facts.add_subjects(&read);
        }
        for read in all.iter() {
            facts.add_all(&read);
            match read.remediation_status.as_written() {
                status
                    if ["remediated", "prevented", "blocked"]
                        .iter()
                        .any(|word| tables::same(status, word)) =>
                {
                    done = true;
                }
                status if tables::says_nothing(status) || tables::same(status, "notFound") => {}
                _ => open = true,
            }
        }
        facts.remediated = told.then_some(done && !open);
        for alert in alerts {
            facts.remediated = alert.remediated.or(facts.remediated);
            facts.was_executing = alert.was_executing.or(facts.was_executing);
        }
        let remediations = all
            .iter()
            .map(|read| read.remediation_status)
            .filter(|status| !tables::same(status.as_written(), "none"))
            .chain(alerts.iter().map(|alert| alert.remediation_action));
        facts.remediation = told_first(remediations);
        facts
    }

    /// Picks the one device, file, process and user. Each text is looked at once: it may be long and begin with
    /// blanks, and what was picked is not to be looked at anew for each piece of evidence.
    fn choose(&mut self, all: &Reads<'_, 'a>) {
        let reads = || all.iter();
        let device = reads()
            .find(|read| !read.device.name().is_blank())
            .or_else(|| reads().find(|read| !read.device.id.is_blank()))
            .or_else(|| all.last());
        self.device = device.map(|read| read.device).unwrap_or_default();
        let files = reads().map(|read| read.file);
        let images = reads().flat_map(|read| [read.process.image, read.process.parent_image]);
        self.file = files.chain(images).find(|file| !file.is_blank()).unwrap_or_default();
        let process = reads().find(|read| !read.process.shown().is_blank());
        self.process = process.map(|read| read.process).unwrap_or_default();
        let subjects = reads().filter(|read| read.evidence.kind != EvidenceKind::Process);
        let user = subjects.chain(reads()).find(|read| !read.user.name().is_blank());
        self.user = user.map(|read| read.user).unwrap_or_default();
    }

    /// What is the very subject of evidence, and so goes first.
    fn add_subjects(&mut self, read: &Read<'a>) {
        let kind = read.evidence.kind;
        if kind != EvidenceKind::Process {
            self.add_user(&read.user);
        }
        if kind == EvidenceKind::Ip {
            read.evidence.pivots(&mut |pivot, text| {
                if pivot == Pivot::Address {
                    self.addresses.add_text(text);
                }
            });
        }
        if !read.file.is_blank() {
            self.add_file(&read.file);
        }
    }

    fn add_all(&mut self, read: &Read<'a>) {
        let Read { evidence, device, process, .. } = read;
        self.kinds.add_text(evidence.type_name());
        self.verdicts.add_text(evidence.verdict());
        self.devices.add_text(device.dns_name);
        // The short name says nothing new where it begins the full one.
        let (full, short) = (device.dns_name.as_written(), device.host_name.as_written());
        if !full.get(..short.len()).is_some_and(|start| start.eq_ignore_ascii_case(short)) {
            self.devices.add_text(device.host_name);
        }
        self.device_ids.add_text(device.id);
        self.device_ids.add_text(device.entra_id);
        self.add_user(&read.user);
        for user in evidence.logged_on() {
            if !user.name().is_blank() {
                self.logged_on.add((user.domain(), user.name()));
            }
        }
        self.add_file(&process.image);
        self.add_file(&process.parent_image);
        self.processes.add_text(process.shown());
        let detected = evidence.detection_status();
        if evidence.kind == EvidenceKind::Process && !detected.is_blank() {
            let ran = tables::same(detected.as_written(), "detected");
            self.was_executing = Some(ran || self.was_executing == Some(true));
        }
        evidence.pivots(&mut |pivot, text| {
            let list = match pivot {
                Pivot::Address => &mut self.addresses,
                Pivot::Url => &mut self.urls,
                Pivot::Hash => &mut self.hashes,
                Pivot::Recipient => &mut self.recipients,
                Pivot::Sender => &mut self.senders,
                Pivot::Message => &mut self.messages,
                Pivot::Entity => &mut self.entities,
            };
            list.add_text(text);
        });
        let registry = evidence.registry();
        if registry != Registry::default() {
            self.registry.add(registry);
        }
    }

    fn add_user(&mut self, user: &User<'a>) {
        if user.name().is_blank() {
            return;
        }
        self.users.add((user.domain(), user.name()));
        for id in [user.principal, user.sid, user.entra_id] {
            self.user_ids.add_text(id);
        }
    }

    fn add_file(&mut self, file: &File<'a>) {
        if file.is_blank() {
            return;
        }
        if !(file.name.is_blank() && file.path.is_blank()) {
            self.files.add((file.path, file.name));
        }
        for hash in file.hashes() {
            self.hashes.add_text(hash);
        }
    }
}

/// The first of `texts` that is not blank.
fn told_first<'a>(mut texts: impl Iterator<Item = Text<'a>>) -> Text<'a> {
    texts.find(|text| !text.is_blank()).unwrap_or_default()
}

/// All evidence of alerts, each piece before what is inside it.
pub(super) fn all_evidence<'a>(alerts: &[Alert<'a>]) -> Vec<Evidence<'a>> {
    let mut all = Vec::new();
    for evidence in alerts.iter().flat_map(|alert| &alert.evidence) {
        evidence.walk(&mut |evidence| all.push(*evidence));
    }
    all
}

/// Pieces of evidence with what is asked of them more than once.
struct Reads<'r, 'a> {
    all: &'r [Evidence<'a>],
    /// The first of them. The others are read each time: a piece may have three bytes, and what is kept of it a thousand.
    kept: Vec<Read<'a>>,
}

/// Of how many pieces of evidence is kept what was read. Real alerts have some tens.
const READS_MAX: usize = 256;

impl<'r, 'a> Reads<'r, 'a> {
    fn of(all: &'r [Evidence<'a>]) -> Self {
        let kept = all.iter().take(READS_MAX).map(|evidence| Read::of(*evidence)).collect();
        Self { all, kept }
    }

    fn get(&self, at: usize) -> Option<Cow<'_, Read<'a>>> {
        match self.kept.get(at) {
            Some(read) => Some(Cow::Borrowed(read)),
            None => self.all.get(at).map(|evidence| Cow::Owned(Read::of(*evidence))),
        }
    }

    fn iter(&self) -> impl Iterator<Item = Cow<'_, Read<'a>>> {
        (0..self.all.len()).filter_map(|at| self.get(at))
    }

    fn last(&self) -> Option<Cow<'_, Read<'a>>> {
        self.get(self.all.len().checked_sub(1)?)
    }
}

/// A piece of evidence with what is asked of it more than once.
#[derive(Clone, Copy)]
struct Read<'a> {
    evidence: Evidence<'a>,
    remediation_status: Text<'a>,
    device: Device<'a>,
    user: User<'a>,
    file: File<'a>,
    process: Process<'a>,
}

impl<'a> Read<'a> {
    fn of(evidence: Evidence<'a>) -> Self {
        Self {
            evidence,
            remediation_status: evidence.remediation_status(),
            device: evidence.device(),
            user: evidence.user(),
            file: evidence.file(),
            process: evidence.process(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Alert, Facts, HuntingRow, Incident, MEANINGS, READS_MAX};
    use crate::formats::tables::EvidenceKind;
    use muster_model::json::Tape;

    fn tape(body: &str) -> Tape<'_> {
        Tape::read(body).expect("JSON")
    }

    #[test]
    fn wrong_types_are_nothing_and_the_rest_is_read() {
        let tape = tape(
            r##"{"id":7,"title":{"a":1},"severity":null,"mitreTechniques":"T1059","evidence":[null,3,"x",[],
                {"@odata.type":"#microsoft.graph.security.deviceEvidence","hostName":["a"],"deviceDnsName":true,
                 "loggedOnUsers":{"accountName":"one"}},{"@odata.type":5,"userAccount":"nobody"}]}"##,
        );
        let alert = Alert::graph(tape.root());
        assert_eq!(alert.id.as_written(), "7");
        assert!(alert.title.is_blank() && alert.severity.is_blank());
        assert_eq!(alert.techniques[0].as_written(), "T1059");
        assert_eq!(alert.evidence.len(), 6);
        let facts = Facts::of(&[alert]);
        assert_eq!(facts.device.name().as_written(), "true");
        assert_eq!(facts.logged_on.as_slice()[0].1.as_written(), "one");
        assert!(Alert::graph(Tape::read("[]").expect("JSON").root()).id.is_blank());
    }

    #[test]
    fn alerts_of_an_incident_may_be_one_object() {
        let tape = tape(r#"{"id":"9","alerts":{"id":"a"}}"#);
        let incident = Incident::graph(tape.root());
        assert_eq!(incident.alerts[0].id.as_written(), "a");
    }

    #[test]
    fn evidence_inside_evidence_is_followed_so_far() {
        let inner = |depth: usize| {
            let deep = format!("{}{{\"name\":\"core\"}}{}", "{\"host\":".repeat(depth), "}".repeat(depth));
            let body = format!("{{\"evidence\":[{deep}]}}");
            let tape = tape(&body);
            let alert = Alert::graph(tape.root());
            Facts::of(&[alert]).entities.as_slice().len()
        };
        assert_eq!((inner(0), inner(7), inner(8), inner(90)), (1, 1, 0, 0));
    }

    #[test]
    fn the_user_of_user_evidence_goes_before_the_account_of_a_process() {
        let tape = tape(
            r##"{"evidence":[
                {"@odata.type":"#microsoft.graph.security.processEvidence","userAccount":{"accountName":"SYSTEM"}},
                {"@odata.type":"#microsoft.graph.security.userEvidence","userAccount":{"accountName":"mia"}}]}"##,
        );
        let alert = Alert::graph(tape.root());
        let facts = Facts::of(&[alert]);
        assert_eq!(facts.user.name().as_written(), "mia");
        assert_eq!(facts.users.as_slice().len(), 2);
    }

    #[test]
    fn each_property_stands_once_and_in_order() {
        assert!(MEANINGS.is_sorted_by(|one, next| one.key < next.key));
    }

    #[test]
    fn alerts_of_the_older_apis_give_the_same_facts() {
        let endpoint = tape(
            r#"{"id":"da1","machineId":"d1","computerDnsName":"ws1.north.example","severity":"High",
                "relatedUser":{"userName":"mia","domainName":"NORTH"},"loggedOnUsers":[{"accountName":"ole"}],
                "evidence":[{"entityType":"Process","fileName":"a.exe","filePath":"C:\\x","processId":7,
                             "parentProcessFileName":"b.exe","detectionStatus":"Detected","userSid":"S-1-5-21-7"},
                            {"entityType":"Ip","ipAddress":"203.0.113.9"}]}"#,
        );
        let xdr = tape(
            r#"{"alertId":"da1","devices":[{"mdatpDeviceId":"d1","deviceDnsName":"ws1.north.example",
                                            "loggedOnUsers":[{"accountName":"ole"}]}],
                "entities":[{"entityType":"Process","fileName":"a.exe","filePath":"C:\\x","processId":7,
                             "accountName":"mia","domainName":"NORTH","userSid":"S-1-5-21-7","deviceId":"d1",
                             "detectionStatus":"Detected","remediationStatus":"Blocked"},
                            {"entityType":"Ip","ipAddress":"203.0.113.9"},
                            {"entityType":"Mailbox","mailboxAddress":"mia@north.example"}]}"#,
        );
        let siem = tape(
            r#"{"AlertId":"da1","DeviceID":"d1","ComputerDnsName":"ws1.north.example","UserName":"mia",
                "UserDomain":"NORTH","LogOnUsers":"NORTH\\ole; NORTH\\mia","CommandLine":"a.exe","Url":"",
                "InternalIPv4List":"10.0.0.7, 10.0.0.8","IpAddress":"203.0.113.9","RemediationIsSuccess":true}"#,
        );
        let alerts = [Alert::endpoint(endpoint.root()), Alert::xdr(xdr.root()), Alert::siem(siem.root())];
        for alert in &alerts {
            let facts = Facts::of(std::slice::from_ref(alert));
            assert_eq!(alert.id.as_written(), "da1");
            assert_eq!(facts.device.name().as_written(), "ws1.north.example");
            assert_eq!(facts.device_ids.as_slice()[0].as_written(), "d1");
            assert_eq!(facts.user.name().as_written(), "mia");
            assert_eq!(facts.addresses.as_slice()[0].as_written(), "203.0.113.9");
            assert_eq!(facts.logged_on.as_slice()[0].1.as_written(), "ole");
            assert!(facts.processes.as_slice()[0].as_written().starts_with("a.exe"));
        }
        let [endpoint, xdr, siem] = alerts.map(|alert| Facts::of(&[alert]));
        assert_eq!((endpoint.was_executing, endpoint.remediated), (Some(true), None));
        assert_eq!(xdr.remediated, Some(true));
        assert_eq!(xdr.recipients.as_slice()[0].as_written(), "mia@north.example");
        assert_eq!((siem.remediated, siem.addresses.as_slice().len()), (Some(true), 3));
        assert_eq!(siem.logged_on.as_slice()[0].0.as_written(), "NORTH");
    }

    #[test]
    fn evidence_behind_what_is_kept_counts_as_much() {
        let mut evidence: Vec<String> = (0..READS_MAX)
            .map(|number| {
                format!(
                    r##"{{"@odata.type":"#microsoft.graph.security.ipEvidence","ipAddress":"10.0.{}.{}"}}"##,
                    number / 250,
                    number % 250
                )
            })
            .collect();
        evidence.push(
            r##"{"@odata.type":"#microsoft.graph.security.deviceEvidence","deviceDnsName":"ws1.north.example",
                "remediationStatus":"blocked","loggedOnUsers":[{"accountName":"ole"}]}"##
                .to_owned(),
        );
        evidence.push(
            r##"{"@odata.type":"#microsoft.graph.security.userEvidence","userAccount":{"accountName":"mia"}}"##.to_owned(),
        );
        let body = format!(r#"{{"evidence":[{}]}}"#, evidence.join(","));
        let tape = tape(&body);
        let facts = Facts::of(&[Alert::graph(tape.root())]);
        assert_eq!(facts.addresses.as_slice().len(), READS_MAX);
        assert_eq!(facts.device.name().as_written(), "ws1.north.example");
        assert_eq!(facts.user.name().as_written(), "mia");
        assert_eq!(facts.logged_on.as_slice()[0].1.as_written(), "ole");
        assert_eq!((facts.remediation.as_written(), facts.remediated), ("blocked", Some(true)));
    }

    #[test]
    fn the_type_of_inner_evidence_may_be_left_out() {
        let tape = tape(
            r##"{"evidence":[{"@odata.type":"#microsoft.graph.security.hostLogonSessionEvidence","sessionId":"s1",
                "host":{"deviceDnsName":"ws1","mdeDeviceId":"d1"},"account":{"userAccount":{"accountName":"mia"}}}]}"##,
        );
        let alert = Alert::graph(tape.root());
        let mut kinds = Vec::new();
        alert.evidence[0].walk(&mut |evidence| kinds.push(evidence.kind));
        assert_eq!(kinds, [EvidenceKind::HostLogonSession, EvidenceKind::Device, EvidenceKind::User]);
        assert_eq!(Facts::of(&[alert]).device.id.as_written(), "d1");
    }

    #[test]
    fn a_row_is_taken_out_of_its_envelope() {
        let row = r#"{"Timestamp":"2026-01-01T00:00:00Z","DeviceName":"ws1","InitiatingProcessId":7}"#;
        let wrapped = format!(
            r#"{{"time":"2026-01-01T00:00:09Z","tenantId":"t","category":"AdvancedHunting-DeviceEvents","properties":{row}}}"#
        );
        for body in [row, &wrapped] {
            let tape = tape(body);
            let row = HuntingRow::read(tape.root());
            assert_eq!(row.happened_at.as_written(), "2026-01-01T00:00:00Z");
            assert_eq!(row.device().name().as_written(), "ws1");
            assert_eq!(row.initiating_process().id.as_written(), "7");
        }
        assert_eq!(HuntingRow::read(tape(&wrapped).root()).table.as_written(), "DeviceEvents");
    }
}
