//! Evidence as OCSF's `evidences` and `resources`, malware and observables.
//!
//! Each piece of evidence becomes one item of `evidences`: the objects of OCSF that say what it is, its verdict, and
//! in `data` Microsoft's object as it came. Evidence inside evidence becomes an item of its own behind it, unless the
//! outer item says it all; its `data` is inside that of the outer one.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};

use muster_model::json::Text;
use muster_model::json::Value;

use crate::formats::view::tables::{EvidenceKind, same, says_nothing};
use crate::formats::view::{
    Alert, Device, Evidence, Facts, File, Message, Pivot, User, addresses, bare_address, bare_url,
};
use crate::formats::writing::distinct::{Distinct, Fingerprint};

use super::objects::{
    Endpoint, Location, ProcessMore, contains, device, endpoint, file, file_with, is_address,
    is_mail_address, mail_address, process, url_object, user, user_fields,
};
use super::options::OcsfVersion;
use super::places::places;
use super::writer::{Json, time};

/// How deep evidence inside evidence is followed: as deep as the view does.
const DEPTH_MAX: usize = 8;

/// What the evidence says about the event as a whole.
#[derive(Default)]
pub(super) struct Traits {
    /// Whether an object of OCSF's Windows extension is in the event.
    pub(super) windows: bool,
}

/// Writes `evidences` of an alert.
pub(super) fn evidences(json: &mut Json<'_>, alert: &Alert<'_>, version: OcsfVersion, traits: &mut Traits) {
    json.list("evidences", |json| {
        let mut writer = EvidenceWriter { alert, version, traits };
        for evidence in &alert.evidence {
            writer.evidence(json, evidence, 1);
        }
    });
}

struct EvidenceWriter<'w, 'a> {
    alert: &'w Alert<'a>,
    version: OcsfVersion,
    traits: &'w mut Traits,
}

impl<'a> EvidenceWriter<'_, 'a> {
    fn evidence(&mut self, json: &mut Json<'_>, evidence: &Evidence<'a>, depth: usize) {
        // Evidence that an alert of an older API is itself has no object of its own.
        let own = depth == 1 && evidence.fields.raw().as_ptr() != self.alert.fields.raw().as_ptr();
        json.item(|json| {
            self.artifacts(json, evidence);
            if own {
                json.own("data", evidence.fields);
            }
            if !json.is_empty() {
                json.text("name", evidence.fields.text_of("@odata.type").or(evidence.type_name()));
                if let Some(verdict) = verdict(evidence.verdict()) {
                    json.choice("verdict", verdict);
                }
            }
        });
        let says_it_all = matches!(
            evidence.kind,
            EvidenceKind::NetworkConnection
                | EvidenceKind::Dns
                | EvidenceKind::Nic
                | EvidenceKind::HostLogonSession
                | EvidenceKind::CloudLogonSession
        );
        if depth < DEPTH_MAX && !says_it_all {
            for inner in evidence.inner() {
                self.evidence(json, &inner, depth + 1);
            }
        }
    }

    /// The objects that say what a piece of evidence is.
    fn artifacts(&mut self, json: &mut Json<'_>, evidence: &Evidence<'a>) {
        let fields = evidence.fields;
        let text = |key| fields.text_of(key);
        match evidence.kind {
            EvidenceKind::Device | EvidenceKind::IotDevice => {
                device(json, "device", &whole_device(evidence), &interfaces(evidence));
            }
            EvidenceKind::User | EvidenceKind::GitHubUser | EvidenceKind::Mailbox => {
                user(json, "user", &whole_user(evidence));
            }
            EvidenceKind::File => {
                file(json, "file", &evidence.file());
                on_device(json, evidence);
            }
            EvidenceKind::FileHash => file_with(json, "file", &File::default(), fields, Text::default()),
            EvidenceKind::Process => {
                let more =
                    ProcessMore { user: evidence.user(), uid: self.alert.id, ..ProcessMore::default() };
                process(json, "process", &evidence.process(), &more);
                on_device(json, evidence);
            }
            EvidenceKind::Ip => {
                let place = fields.get("location");
                let end = Endpoint {
                    address: text("ipAddress").or(text("IpAddress")),
                    country: text("countryLetterCode"),
                    location: Location {
                        city: place.text_of("city"),
                        region: place.text_of("state"),
                        country: place.text_of("countryName"),
                        latitude: place.text_of("latitude"),
                        longitude: place.text_of("longitude"),
                    },
                    ..Endpoint::default()
                };
                let far = evidence.roles().iter().any(|role| {
                    ["destination", "commandAndControl"].iter().any(|word| same(role.as_written(), word))
                });
                endpoint(json, if far { "dst_endpoint" } else { "src_endpoint" }, &end);
            }
            EvidenceKind::Url => url_object(json, "url", text("url").or(text("Url"))),
            EvidenceKind::RegistryKey | EvidenceKind::RegistryValue => self.registry(json, evidence),
            EvidenceKind::NetworkConnection => {
                let connection = evidence.connection();
                let end = |address, port| Endpoint { address, port, ..Endpoint::default() };
                endpoint(json, "src_endpoint", &end(connection.source_address, connection.source_port));
                endpoint(
                    json,
                    "dst_endpoint",
                    &end(connection.destination_address, connection.destination_port),
                );
                json.object("connection_info", |json| {
                    json.choice("direction", (0, "Unknown"));
                    json.text("protocol_name", connection.protocol);
                });
            }
            EvidenceKind::Dns => {
                let end =
                    |key| Endpoint { address: fields.get(key).text_of("ipAddress"), ..Endpoint::default() };
                json.object("query", |json| json.text("hostname", text("domainName")));
                endpoint(json, "src_endpoint", &end("hostIpAddress"));
                endpoint(json, "dst_endpoint", &end("dnsServerIp"));
            }
            EvidenceKind::Nic => {
                let address = fields.get("ipAddress").text_of("ipAddress");
                endpoint(
                    json,
                    "src_endpoint",
                    &Endpoint { address, mac: text("macAddress"), ..Endpoint::default() },
                );
            }
            EvidenceKind::AnalyzedMessage
            | EvidenceKind::SubmissionMail
            | EvidenceKind::TeamsMessage
            | EvidenceKind::MailCluster => self.message(json, evidence),
            EvidenceKind::CloudLogonSession | EvidenceKind::HostLogonSession => session(json, evidence),
            EvidenceKind::CloudLogonRequest => {
                json.object("http_request", |json| json.text("uid", text("requestId")));
                self.resource(json, evidence);
            }
            EvidenceKind::Container => {
                let id = text("containerId");
                if !id.or(text("name")).is_blank() {
                    json.object("container", |json| {
                        json.text("uid", id);
                        json.text("name", text("name"));
                        let image = fields.get("image").text_of("imageId");
                        json.object("image", |json| {
                            json.text("uid", image);
                            json.text("name", image);
                        });
                    });
                }
                self.resource(json, evidence);
            }
            EvidenceKind::Blob | EvidenceKind::BlobContainer => {
                if !text("name").or(text("url")).is_blank() {
                    json.object("databucket", |json| {
                        json.text("name", text("name"));
                        json.text("uid", text("url"));
                        json.choice("type", (2, "Azure Blob"));
                    });
                }
                if evidence.kind == EvidenceKind::Blob {
                    let blob = File { name: text("name"), ..File::default() };
                    file_with(json, "file", &blob, fields.get("fileHashes"), text("url"));
                }
                url_object(json, "url", text("url"));
            }
            EvidenceKind::Malware => {}
            EvidenceKind::Unknown => {
                device(json, "device", &evidence.device(), &interfaces(evidence));
                user(json, "user", &evidence.user());
                file(json, "file", &evidence.file());
                let more = ProcessMore { uid: self.alert.id, ..ProcessMore::default() };
                process(json, "process", &evidence.process(), &more);
                let address = text("ipAddress");
                endpoint(json, "src_endpoint", &Endpoint { address, ..Endpoint::default() });
                url_object(json, "url", text("url"));
                self.resource(json, evidence);
            }
            _ => self.resource(json, evidence),
        }
    }

    fn registry(&mut self, json: &mut Json<'_>, evidence: &Evidence<'a>) {
        let registry = evidence.registry();
        if registry.hive.or(registry.key).is_blank() {
            return;
        }
        self.traits.windows = true;
        json.object("reg_key", |json| json.joined("path", &[registry.hive, registry.key], '\\'));
        if !registry.value_name.is_blank() {
            json.object("reg_value", |json| {
                json.text("name", registry.value_name);
                json.joined("path", &[registry.hive, registry.key], '\\');
                json.text("data", registry.value);
                json.text("type", registry.value_type);
            });
        }
        on_device(json, evidence);
    }

    fn message(&mut self, json: &mut Json<'_>, evidence: &Evidence<'a>) {
        let urls = evidence.fields.get("urls").items().map(|item| item.text_of("url").or(item.text()));
        if !email(json, &evidence.message(), urls, self.version) {
            self.resource(json, evidence);
        }
    }

    fn resource(&mut self, json: &mut Json<'_>, evidence: &Evidence<'a>) {
        json.list("resources", |json| write_resource(json, evidence, self.version));
    }
}

/// Writes `email` of a message; `false` where no address tells from or to whom it went.
pub(super) fn email<'a>(
    json: &mut Json<'_>,
    message: &Message<'a>,
    urls: impl Iterator<Item = Text<'a>>,
    version: OcsfVersion,
) -> bool {
    let recipients: Vec<_> =
        message.recipients.iter().copied().filter(|text| is_mail_address(*text)).collect();
    if !is_mail_address(message.sender) && recipients.is_empty() {
        return false;
    }
    json.object("email", |json| {
        mail_address(json, "from", message.sender);
        json.texts("to", &recipients);
        json.text("subject", message.subject);
        json.text("message_uid", message.internet_id);
        json.text("uid", message.network_ids.first().copied().unwrap_or_default());
        if is_address(message.sender_address) {
            json.texts("x_originating_ip", &[message.sender_address]);
        }
        if version == OcsfVersion::V1_8 {
            mail_address(json, "return_path", message.envelope_sender);
        }
        json.list("urls", |json| {
            for url in urls {
                json.item(|json| json.text("url_string", bare_url(url)));
            }
        });
    });
    true
}

/// What a verdict of evidence means.
pub(super) fn verdict(text: Text<'_>) -> Option<(i64, &str)> {
    let known = [
        ("malicious", (2, "True Positive")),
        ("suspicious", (4, "Suspicious")),
        ("noThreatsFound", (5, "Benign")),
    ];
    match text.as_written() {
        "" => None,
        word => Some(match known.into_iter().find(|(known, _)| same(word, known)) {
            Some((_, verdict)) => verdict,
            None if says_nothing(word) => (0, "Unknown"),
            None => (99, word),
        }),
    }
}

/// The device on which a file or process was found, of which most often only the id is known.
fn on_device(json: &mut Json<'_>, evidence: &Evidence<'_>) {
    device(json, "device", &evidence.device(), &[]);
}

fn whole_device<'a>(evidence: &Evidence<'a>) -> Device<'a> {
    let mut device = evidence.device();
    if evidence.kind == EvidenceKind::IotDevice {
        device.id = evidence.fields.text_of("deviceId");
        device.last_address = evidence.fields.get("ipAddress").text_of("ipAddress");
    }
    device
}

fn whole_user<'a>(evidence: &Evidence<'a>) -> User<'a> {
    let (fields, mut user) = (evidence.fields, evidence.user());
    match evidence.kind {
        EvidenceKind::GitHubUser => {
            user.account = fields.text_of("login");
            user.display_name = fields.text_of("name");
            user.entra_id = fields.text_of("userId");
            user.principal = fields.text_of("email");
        }
        EvidenceKind::Mailbox => {
            let address = fields.first_text(&["primaryAddress", "mailboxAddress"]);
            user.display_name = user.display_name.or(fields.text_of("displayName"));
            user.principal = bare_address(address).or(user.principal).or(fields.text_of("upn"));
        }
        _ => {}
    }
    user
}

/// The addresses of a device's network interfaces.
fn interfaces<'a>(evidence: &Evidence<'a>) -> Vec<Text<'a>> {
    let mut addresses = evidence.fields.texts_of("ipInterfaces");
    if addresses.is_empty() {
        let external = evidence.device().last_external_address;
        evidence.pivots(&mut |pivot, text| {
            if pivot == Pivot::Address && text != external {
                addresses.push(text);
            }
        });
    }
    addresses
}

/// Sessions: who, on what, since when.
fn session(json: &mut Json<'_>, evidence: &Evidence<'_>) {
    let fields = evidence.fields;
    let inner = evidence.inner();
    let of = |kind| inner.iter().find(|inner| inner.kind == kind);
    json.object("actor", |json| {
        if let Some(account) = of(EvidenceKind::User) {
            user(json, "user", &account.user());
        }
        json.object("session", |json| {
            json.text("uid", fields.text_of("sessionId"));
            json.time("created_time", time(fields.text_of("startUtcDateTime")));
        });
    });
    json.object("http_request", |json| json.text("user_agent", fields.text_of("userAgent")));
    match of(EvidenceKind::Device) {
        Some(host) => device(json, "device", &host.device(), &interfaces(host)),
        None => device(json, "device", &evidence.device(), &[]),
    }
}

/// What else evidence can be: something with an id and a name.
struct Resource<'a> {
    kind: Text<'a>,
    id: Text<'a>,
    name: Text<'a>,
    region: Text<'a>,
    cloud: &'static str,
}

impl<'a> Resource<'a> {
    fn of(evidence: &Evidence<'a>) -> Option<Self> {
        let fields = evidence.fields;
        let text = |key| fields.text_of(key);
        let (mut region, mut cloud) = (Text::default(), "");
        let (kind, id, name) = match evidence.kind {
            EvidenceKind::ActiveDirectoryDomain => {
                ("Active Directory domain", Text::default(), text("activeDirectoryDomainName"))
            }
            EvidenceKind::AiAgent => ("AI agent", text("agentId"), text("agentName")),
            EvidenceKind::AmazonResource => {
                cloud = "AWS";
                ("Amazon resource", text("amazonResourceId"), text("resourceName"))
            }
            EvidenceKind::AzureResource => {
                cloud = "Azure";
                ("Azure resource", text("resourceId"), text("resourceName"))
            }
            EvidenceKind::GoogleCloudResource => {
                cloud = "GCP";
                region = text("location");
                ("Google Cloud resource", text("fullResourceName"), text("resourceName"))
            }
            EvidenceKind::Blob => ("Blob", text("url"), text("name")),
            EvidenceKind::BlobContainer => ("Blob container", text("url"), text("name")),
            EvidenceKind::CloudApplication => {
                let id = fields.first_text(&["appId", "applicationId", "saasAppId"]);
                (
                    "Cloud application",
                    id,
                    fields.first_text(&["displayName", "applicationName", "instanceName"]),
                )
            }
            EvidenceKind::CloudLogonRequest => ("Cloud logon request", text("requestId"), Text::default()),
            EvidenceKind::Container => ("Container", text("containerId"), text("name")),
            EvidenceKind::ContainerImage => ("Container image", text("imageId"), Text::default()),
            EvidenceKind::ContainerRegistry => ("Container registry", text("registry"), Text::default()),
            EvidenceKind::GitHubOrganization => {
                ("GitHub organization", text("orgId"), text("login").or(text("displayName")))
            }
            EvidenceKind::GitHubRepo => ("GitHub repository", text("repoId"), text("login")),
            EvidenceKind::KubernetesCluster => ("Kubernetes cluster", Text::default(), text("name")),
            EvidenceKind::KubernetesController => ("Kubernetes controller", Text::default(), text("name")),
            EvidenceKind::KubernetesNamespace => ("Kubernetes namespace", Text::default(), text("name")),
            EvidenceKind::KubernetesPod => ("Kubernetes pod", Text::default(), text("name")),
            EvidenceKind::KubernetesSecret => ("Kubernetes secret", Text::default(), text("name")),
            EvidenceKind::KubernetesService => ("Kubernetes service", Text::default(), text("name")),
            EvidenceKind::KubernetesServiceAccount => {
                ("Kubernetes service account", Text::default(), text("name"))
            }
            EvidenceKind::MailCluster => ("Mail cluster", text("urn"), text("clusterByValue")),
            EvidenceKind::MailboxConfiguration => {
                ("Mailbox configuration", text("configurationId"), text("displayName"))
            }
            EvidenceKind::OauthApplication => ("OAuth application", text("appId"), text("displayName")),
            EvidenceKind::SasToken => ("SAS token", text("signatureHash"), text("signedWith")),
            EvidenceKind::SecurityGroup => {
                let name = fields.first_text(&["displayName", "securityGroupName", "friendlyName"]);
                ("Security group", text("sid").or(text("securityGroupId")), name)
            }
            EvidenceKind::ServicePrincipal => {
                ("Service principal", text("servicePrincipalObjectId"), text("servicePrincipalName"))
            }
            EvidenceKind::AnalyzedMessage | EvidenceKind::SubmissionMail | EvidenceKind::TeamsMessage => {
                let message = evidence.message();
                let id = message.network_ids.first().copied().unwrap_or_default().or(message.internet_id);
                ("Message", id, message.subject)
            }
            EvidenceKind::Unknown => {
                let id = fields.first_text(&["resourceId", "objectId", "id", "appId"]);
                ("", id, fields.first_text(&["displayName", "resourceName", "name"]))
            }
            _ => return None,
        };
        let kind = text("resourceType").or(Text::as_in_json(kind)).or(evidence.type_name());
        Some(Self { kind, id, name, region, cloud })
            .filter(|resource| !resource.id.or(resource.name).is_blank())
    }
}

/// Writes evidence that is a resource as an item of a list of resources.
fn write_resource(json: &mut Json<'_>, evidence: &Evidence<'_>, version: OcsfVersion) {
    let Some(resource) = Resource::of(evidence) else { return };
    let fields = evidence.fields;
    json.item(|json| {
        json.text("uid", resource.id);
        json.text("name", resource.name);
        json.text("type", resource.kind);
        json.text("region", resource.region);
        json.text("namespace", fields.get("namespace").text_of("name"));
        json.text("version", fields.text_of("version"));
        json.list("labels", |json| {
            for (key, value) in fields.get("labels").fields().filter(|(_, value)| !value.text().is_blank()) {
                json.plain_item(&format!("{}={}", Text::as_in_json(key).decoded(), value.text().decoded()));
            }
        });
        if version == OcsfVersion::V1_8 {
            if !resource.cloud.is_empty() {
                json.word("provider", resource.cloud);
            }
            let has = |word| evidence.roles().iter().any(|role| same(role.as_written(), word));
            if has("attacked") {
                json.choice("role", (1, "Target"));
            } else if has("attacker") {
                json.choice("role", (2, "Actor"));
            } else if has("compromised") {
                json.choice("role", (3, "Affected"));
            }
        }
        if evidence.kind == EvidenceKind::MailboxConfiguration {
            let owner = User {
                account: fields.text_of("mailboxPrimaryAddress"),
                principal: fields.text_of("upn"),
                entra_id: fields.text_of("externalDirectoryObjectId"),
                ..User::default()
            };
            if !owner.name().is_blank() {
                json.object("owner", |json| user_fields(json, &owner));
            }
        }
        if evidence.kind == EvidenceKind::SecurityGroup {
            json.object("group", |json| {
                json.text("uid", resource.id);
                json.text("name", resource.name);
                json.text("desc", fields.text_of("distinguishedName"));
            });
        }
    });
}

/// Writes `resources`: all evidence that is a cloud resource, application, container or the like.
pub(super) fn resources(json: &mut Json<'_>, all: &[Evidence<'_>], version: OcsfVersion) {
    json.list("resources", |json| {
        for evidence in all {
            let message = matches!(
                evidence.kind,
                EvidenceKind::AnalyzedMessage | EvidenceKind::SubmissionMail | EvidenceKind::TeamsMessage
            );
            if !message && (evidence.kind != EvidenceKind::Unknown || evidence.fields.is_object()) {
                write_resource(json, evidence, version);
            }
        }
    });
}

/// Writes `malware`: what the alert names, and evidence that is malware.
pub(super) fn malware(json: &mut Json<'_>, alert: &Alert<'_>, all: &[Evidence<'_>]) {
    json.list("malware", |json| {
        let mut names = Distinct::default();
        names.add((alert.threat_name.or(alert.threat_family), alert.fields.text_of("ThreatCategory")));
        for evidence in all.iter().filter(|evidence| evidence.kind == EvidenceKind::Malware) {
            names.add((evidence.fields.text_of("name"), evidence.fields.text_of("category")));
        }
        for (name, category) in names.as_slice().iter().filter(|(name, _)| !name.is_blank()) {
            malware_item(json, *name, *category);
        }
    });
}

/// An item of `malware`; nothing without a name.
pub(super) fn malware_item(json: &mut Json<'_>, name: Text<'_>, category: Text<'_>) {
    if name.is_blank() {
        return;
    }
    json.item(|json| {
        json.text("name", name);
        let (id, caption) = malware_class(category.or(name));
        json.list("classification_ids", |json| json.number_item(id));
        json.list("classifications", |json| json.plain_item(caption));
    });
}

/// The class of malware that Microsoft's name (`Trojan:Win32/…`) or category tells.
fn malware_class(name: Text<'_>) -> (i64, &'static str) {
    const CLASSES: [(&str, (i64, &str)); 18] = [
        ("adware", (1, "Adware")),
        ("browsermodifier", (1, "Adware")),
        ("backdoor", (2, "Backdoor")),
        ("ddos", (5, "DDOS")),
        ("trojandownloader", (6, "Downloader")),
        ("trojandropper", (7, "Dropper")),
        ("exploit", (8, "Exploit-Kit")),
        ("keylogger", (9, "Keylogger")),
        ("ransom", (10, "Ransomware")),
        ("remoteaccess", (11, "Remote-Access-Trojan")),
        ("coinminer", (13, "Resource-Exploitation")),
        ("rogue", (14, "Rogue-Security-Software")),
        ("rootkit", (15, "Rootkit")),
        ("spyware", (17, "Spyware")),
        ("trojan", (18, "Trojan")),
        ("virus", (19, "Virus")),
        ("webshell", (20, "Webshell")),
        ("worm", (22, "Worm")),
    ];
    let kind = Text::as_in_json(name.as_written().split(':').next().unwrap_or_default());
    CLASSES.into_iter().find(|(word, _)| contains(kind, word)).map_or((0, "Unknown"), |(_, class)| class)
}

/// Something to pivot on. The same value of the same type counts once, wherever it was found first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observable<'a> {
    /// Where in the event it is.
    name: &'static str,
    kind: (i64, &'static str),
    /// What stands before the value, such as the folder of a file.
    before: Text<'a>,
    value: Text<'a>,
}

impl<'a> Observable<'a> {
    /// The value with what stands before it.
    fn whole(&self) -> Cow<'a, str> {
        if self.before.is_blank() || self.before == self.value {
            return Cow::Borrowed(self.value.as_written());
        }
        Cow::Owned([self.before.as_written(), r"\\", self.value.as_written()].concat())
    }
}

impl PartialEq for Observable<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, self.before, self.value) == (other.kind, other.before, other.value)
    }
}

impl Eq for Observable<'_> {}

impl Hash for Observable<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.kind.0, self.before, self.value).hash(state);
    }
}

impl Fingerprint for Observable<'_> {
    fn fingerprint(&self) -> u32 {
        (self.before, self.value).fingerprint()
    }
}

pub(super) const HOSTNAME: (i64, &str) = (1, "Hostname");
pub(super) const ADDRESS: (i64, &str) = (2, "IP Address");
pub(super) const PORT: (i64, &str) = (11, "Port");

const MAC_ADDRESS: (i64, &str) = (3, "MAC Address");
pub(super) const USER_NAME: (i64, &str) = (4, "User Name");
pub(super) const MAIL_ADDRESS: (i64, &str) = (5, "Email Address");
pub(super) const URL: (i64, &str) = (6, "URL String");
pub(super) const FILE_NAME: (i64, &str) = (7, "File Name");
pub(super) const HASH: (i64, &str) = (8, "Hash");
pub(super) const RESOURCE: (i64, &str) = (10, "Resource UID");
pub(super) const COMMAND_LINE: (i64, &str) = (13, "Command Line");
// OCSF numbers these in some versions only, and differently: their names say what they are in all.
pub(super) const PROCESS_ID: (i64, &str) = (99, "Process ID");
pub(super) const DEVICE_ID: (i64, &str) = (99, "Device ID");
pub(super) const USER_ID: (i64, &str) = (99, "User ID");
pub(super) const FILE_PATH: (i64, &str) = (99, "File Path");
pub(super) const MESSAGE: (i64, &str) = (99, "Message ID or Subject");
pub(super) const REGISTRY: (i64, &str) = (99, "Registry Path");
pub(super) const THREAT_ACTOR: (i64, &str) = (99, "Threat Actor");

/// The observables of an event, each once.
#[derive(Default)]
pub(super) struct Observables<'a>(Distinct<Observable<'a>>);

impl<'a> Observables<'a> {
    pub(super) fn add(&mut self, name: &'static str, kind: (i64, &'static str), value: Text<'a>) {
        self.add_behind(name, kind, Text::default(), value);
    }

    fn add_behind(
        &mut self,
        name: &'static str,
        kind: (i64, &'static str),
        before: Text<'a>,
        value: Text<'a>,
    ) {
        if value.is_blank() || value.as_written() == "-" {
            return;
        }
        let mut add = |kind, value| self.0.add(Observable { name, kind, before, value });
        if kind == ADDRESS {
            for address in addresses(value) {
                add(ADDRESS, address);
            }
        } else if kind == URL {
            add(URL, bare_url(value));
        } else if kind == MAIL_ADDRESS {
            let address = bare_address(value);
            // Names of people stand in columns for addresses, too.
            add(if is_mail_address(address) { MAIL_ADDRESS } else { USER_NAME }, address);
        } else {
            add(kind, value);
        }
    }

    /// Adds what the evidence of alerts tells and the facts of them do not keep apart.
    pub(super) fn add_evidence(&mut self, alerts: &[Alert<'a>], all: &[Evidence<'a>]) {
        for alert in alerts {
            for key in ["IocValue", "CreatorIocValue"] {
                self.add("unmapped.IocValue", (99, "Indicator"), alert.fields.text_of(key));
            }
        }
        for evidence in all {
            let fields = evidence.fields;
            match evidence.kind {
                EvidenceKind::Dns => {
                    self.add("evidences[].query.hostname", HOSTNAME, fields.text_of("domainName"));
                }
                EvidenceKind::Nic | EvidenceKind::IotDevice => {
                    self.add("evidences[].device.mac", MAC_ADDRESS, fields.text_of("macAddress"));
                }
                _ => {}
            }
            let account = fields.get("userAccount");
            let id = account.text_of("activeDirectoryObjectGuid");
            self.add("evidences[].data.userAccount.activeDirectoryObjectGuid", USER_ID, id);
            let accessed = |holder: Value<'a>| holder.get("resourceAccessEvents").items();
            for access in accessed(fields).chain(accessed(account)) {
                let text = |key| access.text_of(key);
                self.add("evidences[].data.resourceAccessEvents[].accountId", USER_ID, text("accountId"));
                self.add("evidences[].data.resourceAccessEvents[].ipAddress", ADDRESS, text("ipAddress"));
                let resource = text("resourceIdentifier");
                self.add("evidences[].data.resourceAccessEvents[].resourceIdentifier", RESOURCE, resource);
            }
            if evidence.kind == EvidenceKind::Device {
                let machine = fields.get("vmMetadata");
                for key in ["resourceId", "subscriptionId"] {
                    self.add("evidences[].data.vmMetadata", RESOURCE, machine.text_of(key));
                }
            }
        }
    }

    /// Adds the facts of the evidence of alerts.
    pub(super) fn add_facts(&mut self, facts: &Facts<'a>) {
        let mut add =
            |name, kind, texts: &[Text<'a>]| texts.iter().for_each(|text| self.add(name, kind, *text));
        add("evidences[].device.hostname", HOSTNAME, facts.devices.as_slice());
        add("evidences[].device.uid", DEVICE_ID, facts.device_ids.as_slice());
        add("evidences[].process.cmd_line", COMMAND_LINE, facts.processes.as_slice());
        add("evidences[].src_endpoint.ip", ADDRESS, facts.addresses.as_slice());
        add("evidences[].url.url_string", URL, facts.urls.as_slice());
        add("evidences[].file.hashes[].value", HASH, facts.hashes.as_slice());
        add("evidences[].email.to[]", MAIL_ADDRESS, facts.recipients.as_slice());
        add("evidences[].email.from", MAIL_ADDRESS, facts.senders.as_slice());
        add("evidences[].email.uid", MESSAGE, facts.messages.as_slice());
        add("evidences[].resources[].uid", RESOURCE, facts.entities.as_slice());
        for id in facts.user_ids.as_slice() {
            if is_mail_address(*id) {
                self.add("evidences[].user.email_addr", MAIL_ADDRESS, *id);
            } else {
                self.add("evidences[].user.uid", USER_ID, *id);
            }
        }
        for (_, name) in facts.users.as_slice() {
            self.add("evidences[].user.name", USER_NAME, *name);
        }
        for (_, name) in facts.logged_on.as_slice() {
            self.add("evidences[].data.loggedOnUsers[].accountName", USER_NAME, *name);
        }
        for (folder, name) in facts.files.as_slice() {
            self.add("evidences[].file.name", FILE_NAME, *name);
            self.add("evidences[].file.parent_folder", FILE_PATH, *folder);
        }
        for registry in facts.registry.as_slice() {
            self.add_behind(
                "evidences[].reg_key.path",
                REGISTRY,
                registry.hive,
                registry.key.or(registry.hive),
            );
            self.add("evidences[].reg_value.name", (99, "Registry Value"), registry.value_name);
            self.add("evidences[].reg_value.data", (99, "Registry Data"), registry.value);
        }
    }

    /// Writes `observables`, each by the name of the attribute that holds its value in what `written` shows of the event.
    /// One that stands nowhere word for word, such as an address of which the port was left out, has the name
    /// `elsewhere`; without that it keeps its own.
    pub(super) fn write(&self, json: &mut Json<'_>, start: usize, elsewhere: Option<&'static str>) {
        let observables = self.0.as_slice();
        let whole: Vec<Cow<'_, str>> = observables.iter().map(Observable::whole).collect();
        let name = |observable: &Observable<'a>| observable.name.rsplit('.').next().unwrap_or_default();
        let values: Vec<(&str, &str)> = observables
            .iter()
            .zip(&whole)
            .map(|(observable, whole)| (name(observable).trim_end_matches("[]"), &**whole))
            .collect();
        let places = places(json.written_from(start), &values);
        json.list("observables", |json| {
            for ((observable, whole), place) in observables.iter().zip(&whole).zip(places.iter()) {
                json.item(|json| {
                    match place {
                        Some(place) => json.text("name", Text::as_in_json(place)),
                        None => json.word("name", elsewhere.unwrap_or(observable.name)),
                    }
                    json.choice("type", observable.kind);
                    json.text("value", Text::as_in_json(whole));
                });
            }
        });
    }
}
