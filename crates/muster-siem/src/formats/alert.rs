//! A typed view of a Graph alert or incident, borrowed from the record, for the formats that map fields.
//!
//! Source: the types `alert`, `incident` and `alertEvidence` (48 subtypes) of `microsoft.graph.security`, v1.0.
//! Every field may be missing, null or of a wrong type. Evidence is read by what its fields mean and not by its
//! type, so that a type that Microsoft adds later gives up its addresses and names too.

use std::collections::HashSet;
use std::hash::Hash;

use super::FormatError;
use super::json::{Reader, Text};

/// How deep evidence inside evidence is followed. Microsoft's schema goes to five (service, namespace, cluster, …).
const EVIDENCE_DEPTH_MAX: usize = 8;
/// Up to how many values a list is searched by walking, which beats hashing.
const WALK_MAX: usize = 16;

/// A Graph alert.
#[derive(Debug, Default)]
pub(super) struct Alert<'a> {
    pub(super) id: Text<'a>,
    pub(super) title: Text<'a>,
    pub(super) description: Text<'a>,
    pub(super) category: Text<'a>,
    pub(super) severity: Text<'a>,
    pub(super) status: Text<'a>,
    pub(super) classification: Text<'a>,
    pub(super) determination: Text<'a>,
    pub(super) assigned_to: Text<'a>,
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
    pub(super) first_activity_at: Text<'a>,
    pub(super) last_activity_at: Text<'a>,
    pub(super) resolved_at: Text<'a>,
    pub(super) techniques: Vec<Text<'a>>,
    pub(super) tags: Vec<Text<'a>>,
    pub(super) evidence: Vec<Evidence<'a>>,
}

impl<'a> Alert<'a> {
    /// Reads the alert that is the whole of `body`.
    pub(super) fn read(body: &'a str) -> Result<Self, FormatError> {
        Self::take(&mut Reader::new(body))
    }

    fn take(reader: &mut Reader<'a>) -> Result<Self, FormatError> {
        let mut alert = Self::default();
        reader.object(|key, reader| {
            match key {
                "id" => alert.id = reader.text()?,
                "title" => alert.title = reader.text()?,
                "description" => alert.description = reader.text()?,
                "category" => alert.category = reader.text()?,
                "categories" => {
                    let mut categories = Vec::new();
                    texts(reader, &mut categories)?;
                    alert.category = alert.category.or(categories.first().copied().unwrap_or_default());
                }
                "severity" => alert.severity = reader.text()?,
                "status" => alert.status = reader.text()?,
                "classification" => alert.classification = reader.text()?,
                "determination" => alert.determination = reader.text()?,
                "assignedTo" => alert.assigned_to = reader.text()?,
                "investigationState" => alert.investigation_state = reader.text()?,
                "serviceSource" => alert.service_source = reader.text()?,
                "detectionSource" => alert.detection_source = reader.text()?,
                "productName" => alert.product_name = reader.text()?,
                "detectorId" => alert.detector_id = reader.text()?,
                "alertPolicyId" => alert.policy_id = reader.text()?,
                "providerAlertId" => alert.provider_alert_id = reader.text()?,
                "incidentId" => alert.incident_id = reader.text()?,
                "alertWebUrl" => alert.alert_url = reader.text()?,
                "incidentWebUrl" => alert.incident_url = reader.text()?,
                "actorDisplayName" => alert.actor = reader.text()?,
                "threatDisplayName" => alert.threat_name = reader.text()?,
                "threatFamilyName" => alert.threat_family = reader.text()?,
                "firstActivityDateTime" => alert.first_activity_at = reader.text()?,
                "lastActivityDateTime" => alert.last_activity_at = reader.text()?,
                "resolvedDateTime" => alert.resolved_at = reader.text()?,
                "mitreTechniques" => texts(reader, &mut alert.techniques)?,
                "systemTags" => texts(reader, &mut alert.tags)?,
                "evidence" => reader.items(|reader| {
                    alert.evidence.push(Evidence::take(reader, 1)?);
                    Ok(())
                })?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(alert)
    }
}

/// A Graph incident.
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
    pub(super) tags: Vec<Text<'a>>,
    pub(super) alerts: Vec<Alert<'a>>,
}

impl<'a> Incident<'a> {
    /// Reads the incident that is the whole of `body`.
    pub(super) fn read(body: &'a str) -> Result<Self, FormatError> {
        let mut incident = Self::default();
        Reader::new(body).object(|key, reader| {
            match key {
                "id" => incident.id = reader.text()?,
                "displayName" => incident.display_name = reader.text()?,
                "description" => incident.description = reader.text()?,
                "summary" => incident.summary = reader.text()?,
                "severity" => incident.severity = reader.text()?,
                "status" => incident.status = reader.text()?,
                "classification" => incident.classification = reader.text()?,
                "determination" => incident.determination = reader.text()?,
                "assignedTo" => incident.assigned_to = reader.text()?,
                "incidentWebUrl" => incident.incident_url = reader.text()?,
                "redirectIncidentId" => incident.redirect_incident_id = reader.text()?,
                "priorityScore" => incident.priority_score = reader.text()?,
                "customTags" | "systemTags" => texts(reader, &mut incident.tags)?,
                "alerts" => reader.items(|reader| {
                    incident.alerts.push(Alert::take(reader)?);
                    Ok(())
                })?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(incident)
    }
}

/// One piece of evidence of any type.
#[derive(Debug, Default)]
pub(super) struct Evidence<'a> {
    /// `deviceEvidence`, `userEvidence`, …
    pub(super) kind: Text<'a>,
    pub(super) verdict: Text<'a>,
    pub(super) remediation_status: Text<'a>,
    pub(super) detection_status: Text<'a>,
    pub(super) device: Device<'a>,
    pub(super) user: User<'a>,
    pub(super) logged_on: Vec<User<'a>>,
    pub(super) file: File<'a>,
    pub(super) process: Process<'a>,
    pub(super) registry: Registry<'a>,
    pub(super) addresses: Vec<Text<'a>>,
    pub(super) urls: Vec<Text<'a>>,
    pub(super) hashes: Vec<Text<'a>>,
    /// Mail addresses that something was sent to, or mailboxes.
    pub(super) recipients: Vec<Text<'a>>,
    pub(super) senders: Vec<Text<'a>>,
    /// Ids and subjects of messages.
    pub(super) messages: Vec<Text<'a>>,
    /// Names and ids of anything else: cloud resources, applications, containers, groups, sessions.
    pub(super) entities: Vec<Text<'a>>,
    /// Evidence inside this evidence.
    pub(super) inner: Vec<Evidence<'a>>,
}

impl<'a> Evidence<'a> {
    fn take(reader: &mut Reader<'a>, depth: usize) -> Result<Self, FormatError> {
        let mut evidence = Self::default();
        let mut value = Text::default();
        let own = &mut evidence;
        reader.object(|key, reader| {
            match key {
                "@odata.type" => own.kind = reader.text()?.after_last('.'),
                "verdict" => own.verdict = reader.text()?,
                "remediationStatus" => own.remediation_status = reader.text()?,
                "detectionStatus" => own.detection_status = reader.text()?,

                "mdeDeviceId" => own.device.id = reader.text()?,
                "azureAdDeviceId" => own.device.entra_id = reader.text()?,
                "deviceDnsName" => own.device.dns_name = reader.text()?,
                "hostName" | "deviceName" => own.device.host_name = reader.text()?,
                "dnsDomain" => own.device.dns_domain = reader.text()?,
                "osPlatform" => own.device.os_platform = reader.text()?,
                "rbacGroupName" => own.device.group = reader.text()?,
                "loggedOnUsers" => reader.items(|reader| {
                    own.logged_on.push(User::take(reader)?);
                    Ok(())
                })?,

                "userAccount" => own.user = User::take(reader)?,
                "fileDetails" => own.file = File::take(reader)?,
                "imageFile" => own.process.image = File::take(reader)?,
                "parentProcessImageFile" => own.process.parent_image = File::take(reader)?,
                "processCommandLine" => own.process.command_line = reader.text()?,
                "processId" => own.process.id = reader.text()?,
                "parentProcessId" => own.process.parent_id = reader.text()?,

                "registryHive" => own.registry.hive = reader.text()?,
                "registryKey" => own.registry.key = reader.text()?,
                "registryValueName" => own.registry.value_name = reader.text()?,
                "registryValue" => own.registry.value = reader.text()?,

                "ipAddress"
                | "ipAddresses"
                | "ipInterfaces"
                | "lastIpAddress"
                | "lastExternalIpAddress"
                | "senderIp"
                | "senderIP"
                | "allowedIpAddresses" => {
                    Self::mixed(reader, depth, &mut own.addresses, &mut own.inner)?;
                }
                "url" | "urls" | "webUrl" | "baseUrl" | "sourceRef" => {
                    Self::mixed(reader, depth, &mut own.urls, &mut own.inner)?;
                }
                "fileHashes" => reader.items(|reader| {
                    reader.object(|key, reader| match key {
                        "value" => texts(reader, &mut own.hashes),
                        _ => reader.skip(),
                    })
                })?,
                "value" => value = reader.text()?,

                "recipientEmailAddress"
                | "recipient"
                | "recipients"
                | "suspiciousRecipients"
                | "primaryAddress"
                | "mailboxPrimaryAddress" => texts(reader, &mut own.recipients)?,
                "sender" | "senderFromAddress" | "submitter" => texts(reader, &mut own.senders)?,
                "p1Sender" | "p2Sender" => reader.object(|key, reader| match key {
                    "emailAddress" => texts(reader, &mut own.senders),
                    _ => reader.skip(),
                })?,
                "networkMessageId" | "internetMessageId" | "networkMessageIds" | "messageId" | "subject" => {
                    texts(reader, &mut own.messages)?;
                }

                "createdDateTime"
                | "roles"
                | "detailedRoles"
                | "tags"
                | "resourceAccessEvents"
                | "vmMetadata"
                | "location"
                | "labels"
                | "selector" => reader.skip()?,

                "host"
                | "account"
                | "image"
                | "digestImage"
                | "pod"
                | "namespace"
                | "cluster"
                | "cloudResource"
                | "serviceAccount"
                | "controller"
                | "podIp"
                | "clusterIP"
                | "externalIPs"
                | "ioTHub"
                | "storageResource"
                | "blobContainer"
                | "dnsServerIp"
                | "hostIpAddress"
                | "destinationAddress"
                | "sourceAddress"
                | "files"
                | "processes"
                | "containers"
                | "ephemeralContainers"
                | "initContainers"
                | "nics"
                | "trustedDomains"
                | "registry"
                | "name"
                | "displayName"
                | "friendlyName"
                | "distinguishedName"
                | "sid"
                | "upn"
                | "email"
                | "login"
                | "resourceId"
                | "resourceName"
                | "amazonResourceId"
                | "amazonAccountId"
                | "fullResourceName"
                | "projectId"
                | "appId"
                | "objectId"
                | "instanceName"
                | "servicePrincipalName"
                | "servicePrincipalObjectId"
                | "securityGroupId"
                | "containerId"
                | "imageId"
                | "activeDirectoryDomainName"
                | "domainName"
                | "agentId"
                | "agentName"
                | "sessionId"
                | "requestId"
                | "deviceId"
                | "serialNumber"
                | "macAddress"
                | "configurationId"
                | "orgId"
                | "repoId"
                | "userId"
                | "owner"
                | "owners"
                | "query"
                | "urn"
                | "campaignId"
                | "submissionId"
                | "signatureHash"
                | "clusterByValue"
                | "args"
                | "command" => {
                    Self::mixed(reader, depth, &mut own.entities, &mut own.inner)?;
                }
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        if !value.is_blank() {
            let hash = evidence.kind.as_written() == "fileHashEvidence";
            let list = if hash { &mut evidence.hashes } else { &mut evidence.entities };
            list.push(value);
        }
        Ok(evidence)
    }

    /// Takes texts into `list` and objects, which are evidence inside evidence, into `inner`.
    fn mixed(
        reader: &mut Reader<'a>,
        depth: usize,
        list: &mut Vec<Text<'a>>,
        inner: &mut Vec<Evidence<'a>>,
    ) -> Result<(), FormatError> {
        reader.items(|reader| {
            if reader.peek()? != b'{' {
                push_text(list, reader.text()?);
            } else if depth < EVIDENCE_DEPTH_MAX {
                inner.push(Self::take(reader, depth + 1)?);
            } else {
                reader.skip()?;
            }
            Ok(())
        })
    }

    /// This evidence and all inside it, outermost first.
    fn walk<'s>(&'s self, visit: &mut impl FnMut(&'s Self)) {
        visit(self);
        for inner in &self.inner {
            inner.walk(visit);
        }
    }
}

/// A computer.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Device<'a> {
    pub(super) id: Text<'a>,
    pub(super) entra_id: Text<'a>,
    pub(super) dns_name: Text<'a>,
    pub(super) host_name: Text<'a>,
    pub(super) dns_domain: Text<'a>,
    pub(super) os_platform: Text<'a>,
    pub(super) group: Text<'a>,
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
    fn take(reader: &mut Reader<'a>) -> Result<Self, FormatError> {
        let mut user = Self::default();
        reader.object(|key, reader| {
            match key {
                "accountName" => user.account = reader.text()?,
                "domainName" => user.domain = reader.text()?,
                "userPrincipalName" => user.principal = reader.text()?,
                "userSid" => user.sid = reader.text()?,
                "azureAdUserId" => user.entra_id = reader.text()?,
                "displayName" => user.display_name = reader.text()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(user)
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
    pub(super) path: Text<'a>,
    pub(super) size: Text<'a>,
    pub(super) sha1: Text<'a>,
    pub(super) sha256: Text<'a>,
    pub(super) sha256_ac: Text<'a>,
    pub(super) md5: Text<'a>,
}

impl<'a> File<'a> {
    fn take(reader: &mut Reader<'a>) -> Result<Self, FormatError> {
        let mut file = Self::default();
        reader.object(|key, reader| {
            match key {
                "fileName" => file.name = reader.text()?,
                "filePath" => file.path = reader.text()?,
                "fileSize" => file.size = reader.text()?,
                "sha1" => file.sha1 = reader.text()?,
                "sha256" => file.sha256 = reader.text()?,
                "sha256Ac" => file.sha256_ac = reader.text()?,
                "md5" => file.md5 = reader.text()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(file)
    }

    fn hashes(&self) -> [Text<'a>; 4] {
        [self.sha1, self.sha256, self.md5, self.sha256_ac]
    }

    fn is_blank(&self) -> bool {
        self.name.is_blank() && self.path.is_blank() && self.hashes().iter().all(|hash| hash.is_blank())
    }
}

/// A process.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Process<'a> {
    pub(super) id: Text<'a>,
    pub(super) image: File<'a>,
    pub(super) command_line: Text<'a>,
    pub(super) parent_id: Text<'a>,
    pub(super) parent_image: File<'a>,
}

impl<'a> Process<'a> {
    /// The command line, or the name of the program.
    pub(super) fn shown(&self) -> Text<'a> {
        self.command_line.or(self.image.name)
    }
}

/// A registry key or value.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Registry<'a> {
    pub(super) hive: Text<'a>,
    pub(super) key: Text<'a>,
    pub(super) value_name: Text<'a>,
    pub(super) value: Text<'a>,
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
        let mut facts = Self::default();
        let (mut done, mut open) = (false, false);
        let evidence = || alerts.iter().flat_map(|alert| &alert.evidence);
        for evidence in evidence() {
            evidence.walk(&mut |evidence| facts.add_subjects(evidence));
        }
        for evidence in evidence() {
            evidence.walk(&mut |evidence| {
                facts.add_all(evidence);
                match evidence.remediation_status.as_written() {
                    "remediated" | "prevented" | "blocked" => done = true,
                    "" | "none" | "notFound" | "unknown" | "unknownFutureValue" => {}
                    _ => open = true,
                }
            });
        }
        let told = evidence().any(|evidence| !evidence.remediation_status.is_blank());
        facts.remediated = told.then_some(done && !open);
        facts
    }

    /// What is the very subject of evidence, and so goes first.
    fn add_subjects(&mut self, evidence: &Evidence<'a>) {
        if evidence.kind.as_written() != "processEvidence" {
            self.add_user(&evidence.user);
        }
        if evidence.kind.as_written() == "ipEvidence" {
            self.add_addresses(evidence);
        }
        if !evidence.file.is_blank() {
            self.add_file(&evidence.file);
        }
        if self.device.name().is_blank() && !evidence.device.name().is_blank() {
            self.device = evidence.device;
        }
    }

    fn add_all(&mut self, evidence: &Evidence<'a>) {
        let Evidence { device, process, .. } = evidence;
        self.kinds.add_text(evidence.kind);
        self.verdicts.add_text(evidence.verdict);
        self.devices.add_text(device.dns_name);
        // The short name says nothing new where it begins the full one.
        let (full, short) = (device.dns_name.as_written(), device.host_name.as_written());
        if !full.get(..short.len()).is_some_and(|start| start.eq_ignore_ascii_case(short)) {
            self.devices.add_text(device.host_name);
        }
        self.device_ids.add_text(device.id);
        self.device_ids.add_text(device.entra_id);
        if self.device.name().is_blank() && self.device.id.is_blank() {
            self.device = *device;
        }
        self.add_user(&evidence.user);
        for user in &evidence.logged_on {
            if !user.name().is_blank() {
                self.logged_on.add((user.domain(), user.name()));
            }
        }
        self.add_file(&process.image);
        self.add_file(&process.parent_image);
        if !process.shown().is_blank() {
            if self.process.shown().is_blank() {
                self.process = *process;
            }
            self.processes.add_text(process.shown());
        }
        if evidence.kind.as_written() == "processEvidence" && !evidence.detection_status.is_blank() {
            let ran = evidence.detection_status.as_written() == "detected";
            self.was_executing = Some(ran || self.was_executing == Some(true));
        }
        if self.remediation.is_blank() && evidence.remediation_status.as_written() != "none" {
            self.remediation = evidence.remediation_status;
        }
        self.add_addresses(evidence);
        for (list, values) in [
            (&mut self.urls, &evidence.urls),
            (&mut self.hashes, &evidence.hashes),
            (&mut self.recipients, &evidence.recipients),
            (&mut self.senders, &evidence.senders),
            (&mut self.messages, &evidence.messages),
            (&mut self.entities, &evidence.entities),
        ] {
            for value in values {
                list.add_text(*value);
            }
        }
        let registry = evidence.registry;
        if registry != Registry::default() {
            self.registry.add(registry);
        }
    }

    fn add_user(&mut self, user: &User<'a>) {
        if user.name().is_blank() {
            return;
        }
        if self.user.name().is_blank() {
            self.user = *user;
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
        if self.file.is_blank() {
            self.file = *file;
        }
        if !(file.name.is_blank() && file.path.is_blank()) {
            self.files.add((file.path, file.name));
        }
        for hash in file.hashes() {
            self.hashes.add_text(hash);
        }
    }

    fn add_addresses(&mut self, evidence: &Evidence<'a>) {
        for address in &evidence.addresses {
            self.addresses.add_text(*address);
        }
    }
}

/// Values, each once, in the order in which they came. Long lists, which an attacker can cause, are not walked.
#[derive(Debug)]
pub(super) struct Distinct<T> {
    values: Vec<T>,
    seen: HashSet<T>,
}

impl<T> Default for Distinct<T> {
    fn default() -> Self {
        Self { values: Vec::new(), seen: HashSet::new() }
    }
}

impl<T: Copy + Eq + Hash> Distinct<T> {
    /// The values.
    pub(super) fn as_slice(&self) -> &[T] {
        &self.values
    }

    /// Adds `value` unless it is there.
    pub(super) fn add(&mut self, value: T) {
        if self.values.len() < WALK_MAX {
            if self.values.contains(&value) {
                return;
            }
        } else {
            if self.seen.is_empty() {
                self.seen.extend(&self.values);
            }
            if !self.seen.insert(value) {
                return;
            }
        }
        self.values.push(value);
    }
}

impl<'a> Distinct<Text<'a>> {
    /// Adds `value` unless it is there or blank.
    pub(super) fn add_text(&mut self, value: Text<'a>) {
        if !value.is_blank() {
            self.add(value);
        }
    }
}

/// Appends the texts of a list, or the one text that stands for it.
fn texts<'a>(reader: &mut Reader<'a>, list: &mut Vec<Text<'a>>) -> Result<(), FormatError> {
    reader.items(|reader| {
        push_text(list, reader.text()?);
        Ok(())
    })
}

fn push_text<'a>(list: &mut Vec<Text<'a>>, text: Text<'a>) {
    if !text.is_blank() {
        list.push(text);
    }
}

#[cfg(test)]
mod tests {
    use super::{Alert, Distinct, Facts, Incident};

    #[test]
    fn wrong_types_are_nothing_and_the_rest_is_read() {
        let alert = Alert::read(
            r##"{"id":7,"title":{"a":1},"severity":null,"mitreTechniques":"T1059","evidence":[null,3,"x",[],
                {"@odata.type":"#microsoft.graph.security.deviceEvidence","hostName":["a"],"deviceDnsName":true,
                 "loggedOnUsers":{"accountName":"one"}}],"evidence":{"@odata.type":5,"userAccount":"nobody"}}"##,
        )
        .expect("an alert");
        assert_eq!(alert.id.as_written(), "7");
        assert!(alert.title.is_blank() && alert.severity.is_blank());
        assert_eq!(alert.techniques[0].as_written(), "T1059");
        assert_eq!(alert.evidence.len(), 6);
        let facts = Facts::of(&[alert]);
        assert_eq!(facts.device.name().as_written(), "true");
        assert_eq!(facts.logged_on.as_slice()[0].1.as_written(), "one");
        assert!(Alert::read("[]").expect("nothing").id.is_blank());
    }

    #[test]
    fn alerts_of_an_incident_may_be_one_object() {
        let incident = Incident::read(r#"{"id":"9","alerts":{"id":"a"}}"#).expect("an incident");
        assert_eq!(incident.alerts[0].id.as_written(), "a");
    }

    #[test]
    fn evidence_inside_evidence_is_followed_so_far() {
        let inner = |depth: usize| {
            let deep = format!("{}{{\"name\":\"core\"}}{}", "{\"host\":".repeat(depth), "}".repeat(depth));
            let body = format!("{{\"evidence\":[{deep}]}}");
            let alert = Alert::read(&body).expect("an alert");
            Facts::of(&[alert]).entities.as_slice().len()
        };
        assert_eq!((inner(0), inner(7), inner(8), inner(90)), (1, 1, 0, 0));
    }

    #[test]
    fn the_user_of_user_evidence_goes_before_the_account_of_a_process() {
        let alert = Alert::read(
            r##"{"evidence":[
                {"@odata.type":"#microsoft.graph.security.processEvidence","userAccount":{"accountName":"SYSTEM"}},
                {"@odata.type":"#microsoft.graph.security.userEvidence","userAccount":{"accountName":"mia"}}]}"##,
        )
        .expect("an alert");
        let facts = Facts::of(&[alert]);
        assert_eq!(facts.user.name().as_written(), "mia");
        assert_eq!(facts.users.as_slice().len(), 2);
    }

    #[test]
    fn values_are_kept_once_in_short_and_long_lists() {
        let mut distinct = Distinct::default();
        for round in 0..3 {
            for value in 0..100 {
                distinct.add(value);
            }
            assert_eq!(distinct.as_slice(), (0..100).collect::<Vec<_>>(), "round {round}");
        }
    }
}
