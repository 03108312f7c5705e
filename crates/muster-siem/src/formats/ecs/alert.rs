//! The ECS fields of alerts and incidents.

use std::borrow::Cow;

use muster_model::json::Text;
use muster_model::{RecordKind, Severity};

use super::document::{Document, field, moment};
use super::fields::Field;
use super::options::EcsVersion;
use super::url;
use crate::formats::view::tables::{self, EvidenceKind};
use crate::formats::view::{
    Alert, Comment, Device, Evidence, File, Incident, Pivot, Process, User, bare_address,
};

/// Adds what an alert that is a record of its own says.
pub(super) fn add_alert<'a>(
    document: &mut Document<'a>,
    kind: RecordKind,
    version: EcsVersion,
    alert: &Alert<'a>,
) {
    document.plain(field!("event.kind"), "alert");
    document.add(field!("@timestamp"), first_time(alert.updated_at, alert.created_at));
    document.add(field!("event.created"), alert.created_at);
    document.add(field!("event.id"), alert.id);
    document.add(field!("event.url"), alert.alert_url.or(alert.incident_url));
    severity(document, version, alert.severity);
    match kind {
        RecordKind::GraphAlert => {
            document.add(field!("message"), alert.description.or(alert.title));
            document.plain(field!("event.type"), "info");
        }
        _ => {
            document.add(field!("message"), alert.title.or(alert.description));
            status(document, kind, alert.status);
        }
    }
    add_body(document, kind, alert);
}

/// Adds what an incident says, with one of its alerts.
pub(super) fn add_incident<'a>(
    document: &mut Document<'a>,
    kind: RecordKind,
    version: EcsVersion,
    incident: &Incident<'a>,
    alert: Option<&Alert<'a>>,
) {
    document.plain(field!("event.kind"), "alert");
    document.add(field!("@timestamp"), first_time(incident.updated_at, incident.created_at));
    document.add(field!("event.created"), incident.created_at);
    document.add(field!("event.url"), incident.incident_url);
    document.add_all(field!("tags"), incident.tags.iter().copied());
    severity(document, version, incident.severity);
    people(document, incident.assigned_to, &incident.comments);
    document.add(field!("related.user"), incident.last_modified_by);
    let title = alert.map(|alert| alert.title).unwrap_or_default();
    if kind == RecordKind::XdrIncident {
        document.add(field!("event.id"), alert.map(|alert| alert.id).unwrap_or_default().or(incident.id));
        document.add(field!("message"), title.or(incident.display_name));
        status(document, kind, incident.status.or(alert.map(|alert| alert.status).unwrap_or_default()));
    } else {
        document.add(field!("event.id"), incident.id);
        document.add(field!("message"), incident.display_name.or(incident.description).or(title));
        document.plain(field!("event.type"), "info");
    }
    if let Some(alert) = alert {
        add_body(document, kind, alert);
    } else {
        document.plain(field!("event.category"), "threat");
    }
}

/// The first of two times that is one.
fn first_time<'a>(time: Text<'a>, other: Text<'a>) -> Text<'a> {
    if moment(time).is_some() { time } else { other }
}

fn severity(document: &mut Document<'_>, version: EcsVersion, severity: Text<'_>) {
    if let Some(number) = version.severity(Severity::from_wire(severity.as_written())) {
        document.number(field!("event.severity"), number);
    }
}

/// Elastic's integrations for the older APIs tell by the type of event where the alert stands.
fn status(document: &mut Document<'_>, kind: RecordKind, status: Text<'_>) {
    let word = match status.as_written() {
        word if tables::same(word, "resolved") => "end",
        word if tables::same(word, "new") && kind == RecordKind::EndpointAlert => "start",
        word if tables::same(word, "inProgress") && kind == RecordKind::EndpointAlert => "change",
        _ => "info",
    };
    document.plain(field!("event.type"), word);
}

/// Who works on it, and who commented.
fn people<'a>(document: &mut Document<'a>, assigned_to: Text<'a>, comments: &[Comment<'a>]) {
    if !matches!(assigned_to.as_written(), "Automation" | "Unassigned") {
        document.add(field!("related.user"), assigned_to);
    }
    document.add_all(field!("related.user"), comments.iter().map(|comment| comment.author));
}

/// What an alert says besides its id, times and title, wherever it stands.
fn add_body<'a>(document: &mut Document<'a>, kind: RecordKind, alert: &Alert<'a>) {
    let older = !matches!(kind, RecordKind::GraphAlert | RecordKind::GraphIncident);
    document.add(field!("event.start"), alert.first_activity_at);
    document.add(field!("event.end"), alert.last_activity_at);
    if let (Some(start), Some(end)) = (moment(alert.first_activity_at), moment(alert.last_activity_at))
        && let Ok(nanoseconds) = i64::try_from(end.as_nanosecond() - start.as_nanosecond())
    {
        document.number(field!("event.duration"), nanoseconds);
    }
    if kind == RecordKind::EndpointAlert {
        document.plain(field!("event.provider"), "defender_endpoint");
    } else {
        document.add(field!("event.provider"), alert.service_source.or(alert.detection_source));
    }
    document.add(field!("event.code"), alert.detector_id);
    document.add(field!("rule.id"), alert.detector_id);
    document.add(field!("rule.name"), alert.title);
    document.add(field!("rule.description"), alert.description);
    document.add_all(field!("tags"), alert.tags.iter().copied());
    people(document, alert.assigned_to, &alert.comments);

    document.add(field!("observer.name"), alert.service_source.or(alert.detection_source));
    match kind {
        RecordKind::XdrIncident => document.plain(field!("observer.product"), "365 Defender"),
        RecordKind::EndpointAlert | RecordKind::SiemDetection => {
            document.plain(field!("observer.product"), "Defender for Endpoint");
        }
        _ if alert.product_name.is_blank() => {
            if let Some(product) = tables::product(alert.service_source.as_written()) {
                document.plain(field!("observer.product"), product);
            }
        }
        _ => document.add(field!("observer.product"), alert.product_name),
    }
    if older {
        document.plain(field!("event.timezone"), "UTC");
        document.add(field!("event.action"), alert.category);
    }

    threat(document, alert);
    if older && !alert.category.is_blank() {
        document.plain(field!("threat.framework"), "MITRE ATT&CK");
    }
    let before = document.has(field!("user.name"));
    let mut cloud = None;
    let mut categories = Categories::default();
    if older {
        categories.note(EvidenceKind::Device);
    }
    if ["Malware", "Ransomware"].iter().any(|word| tables::same(alert.category.as_written(), word)) {
        categories.note(EvidenceKind::Malware);
    }
    for evidence in &alert.evidence {
        evidence.walk(&mut |evidence| {
            categories.note(evidence.kind);
            cloud = cloud.or(match evidence.kind {
                EvidenceKind::AmazonResource => Some("aws"),
                EvidenceKind::GoogleCloudResource => Some("gcp"),
                _ => None,
            });
            add_evidence(document, kind, evidence);
        });
    }
    document.plain(field!("cloud.provider"), cloud.unwrap_or("azure"));
    categories.add(document);
    if !before && !document.has(field!("user.name")) {
        // Nobody is named as the subject: whose mailbox it is, else who was logged on, else whose the processes are, is
        // the best there is.
        let mailboxes = alert.evidence.iter().filter(|evidence| evidence.kind == EvidenceKind::Mailbox);
        document.add_all(field!("user.name"), mailboxes.map(|mailbox| mailbox.user().principal));
    }
    if !before && !document.has(field!("user.name")) {
        let mut users: Vec<User<'_>> = alert.evidence.iter().flat_map(Evidence::logged_on).collect();
        if users.is_empty() {
            users = alert.evidence.iter().map(Evidence::user).collect();
        }
        for user in users {
            document.add(field!("user.name"), user.account);
            document.add(field!("user.domain"), user.domain());
        }
    }
}

/// Tactics, techniques, the actor and the malware.
fn threat<'a>(document: &mut Document<'a>, alert: &Alert<'a>) {
    let mut framework = false;
    for category in &alert.categories {
        if let Some(tactic) = tables::tactic(category.as_written()) {
            document.plain(field!("threat.tactic.id"), tactic.id);
            document.add(field!("threat.tactic.name"), *category);
            framework = true;
        }
    }
    for technique in &alert.techniques {
        add_technique(document, *technique);
        framework = true;
    }
    if framework {
        document.plain(field!("threat.framework"), "MITRE ATT&CK");
    }
    document.add(field!("threat.group.name"), alert.actor);
    for name in [alert.threat_name, alert.threat_family] {
        document.add(field!("threat.software.name"), name);
    }
    if !alert.threat_name.is_blank() || !alert.threat_family.is_blank() {
        document.plain(field!("threat.software.type"), "Malware");
    }
}

/// Adds `T1059.001` as the technique `T1059` and its sub-technique.
pub(super) fn add_technique<'a>(document: &mut Document<'a>, technique: Text<'a>) {
    let id = technique.as_written();
    match id.split_once('.') {
        Some((base, _)) => {
            document.add(field!("threat.technique.id"), Text::as_in_json(base));
            document.add(field!("threat.technique.subtechnique.id"), technique);
        }
        None => document.add(field!("threat.technique.id"), technique),
    }
}

/// The categories of the evidence, a bit each.
#[derive(Default)]
struct Categories(u16);

/// What `event.category` can be here, in order.
const CATEGORIES: [&str; 10] = [
    "authentication",
    "configuration",
    "email",
    "file",
    "host",
    "iam",
    "malware",
    "network",
    "process",
    "registry",
];

impl Categories {
    fn note(&mut self, kind: EvidenceKind) {
        let category = match kind {
            EvidenceKind::Device | EvidenceKind::IotDevice | EvidenceKind::Container => "host",
            EvidenceKind::User
            | EvidenceKind::SecurityGroup
            | EvidenceKind::ServicePrincipal
            | EvidenceKind::OauthApplication
            | EvidenceKind::GitHubUser
            | EvidenceKind::SasToken
            | EvidenceKind::KubernetesServiceAccount
            | EvidenceKind::ActiveDirectoryDomain => "iam",
            EvidenceKind::Process => "process",
            EvidenceKind::File | EvidenceKind::FileHash | EvidenceKind::Blob => "file",
            EvidenceKind::Ip
            | EvidenceKind::Url
            | EvidenceKind::Dns
            | EvidenceKind::Nic
            | EvidenceKind::NetworkConnection => "network",
            EvidenceKind::RegistryKey | EvidenceKind::RegistryValue => "registry",
            EvidenceKind::AnalyzedMessage
            | EvidenceKind::Mailbox
            | EvidenceKind::MailCluster
            | EvidenceKind::SubmissionMail
            | EvidenceKind::TeamsMessage => "email",
            EvidenceKind::MailboxConfiguration => "configuration",
            EvidenceKind::Malware => "malware",
            EvidenceKind::HostLogonSession
            | EvidenceKind::CloudLogonSession
            | EvidenceKind::CloudLogonRequest => "authentication",
            _ => return,
        };
        if let Some(at) = CATEGORIES.iter().position(|known| *known == category) {
            self.0 |= 1 << at;
        }
    }

    fn add(&self, document: &mut Document<'_>) {
        if self.0 == 0 {
            document.plain(field!("event.category"), "threat");
        }
        for (at, category) in CATEGORIES.iter().enumerate() {
            if self.0 >> at & 1 == 1 {
                document.plain(field!("event.category"), *category);
            }
        }
    }
}

/// Adds what one piece of evidence says, without the evidence inside it.
fn add_evidence<'a>(document: &mut Document<'a>, kind: RecordKind, evidence: &Evidence<'a>) {
    let fields = evidence.fields;
    let text = |key| fields.text_of(key);
    if matches!(kind, RecordKind::GraphAlert | RecordKind::GraphIncident) {
        document.add(field!("event.action"), evidence.detection_status());
    }
    document.add_all(field!("tags"), evidence.tags());

    let device = evidence.device();
    if !device.is_blank() || evidence.kind == EvidenceKind::Device {
        add_device(document, &device);
        if kind == RecordKind::EndpointAlert {
            document.add(field!("cloud.instance.id"), device.id);
        }
    }
    for user in evidence.logged_on() {
        related_user(document, &user);
    }
    let user = evidence.user();
    if evidence.kind == EvidenceKind::Process {
        document.add(field!("process.user.name"), user.account);
        document.add(field!("process.user.id"), user.sid.or(user.entra_id));
        related_user(document, &user);
    } else {
        add_user(document, &user);
    }
    let file = evidence.file();
    if !file.is_blank() {
        add_file(document, &file);
    }
    let process = evidence.process();
    if !process.is_blank() || evidence.kind == EvidenceKind::Process {
        add_process(document, &process);
        if kind == RecordKind::EndpointAlert || kind == RecordKind::XdrIncident {
            // Flat evidence has one file, and Elastic's integrations call it the file too.
            add_file(document, &process.image);
        }
    }
    let registry = evidence.registry();
    add_registry(
        document,
        registry.hive,
        registry.key,
        registry.value_name,
        registry.value,
        registry.value_type,
    );

    let connection = evidence.connection();
    for (field, value) in [
        (field!("source.ip"), connection.source_address),
        (field!("source.address"), connection.source_address),
        (field!("source.port"), connection.source_port),
        (field!("destination.ip"), connection.destination_address),
        (field!("destination.address"), connection.destination_address),
        (field!("destination.port"), connection.destination_port),
    ] {
        document.add(field, value);
    }
    document.lower(field!("network.transport"), connection.protocol);
    add_message(document, evidence);
    add_by_kind(document, evidence);

    let mut labels = Vec::new();
    let mut addresses = Vec::new();
    evidence.pivots(&mut |pivot, value| match pivot {
        Pivot::Address => {
            document.add(field!("related.ip"), value);
            addresses.push(value);
        }
        Pivot::Url => url::add(document, value),
        Pivot::Hash => document.add(field!("related.hash"), value),
        Pivot::Recipient | Pivot::Sender => document.add(field!("related.user"), value),
        Pivot::Message => document.add(field!("labels.message"), value),
        Pivot::Entity => labels.push(value),
    });
    let label = match evidence.kind {
        EvidenceKind::CloudApplication
        | EvidenceKind::OauthApplication
        | EvidenceKind::ServicePrincipal
        | EvidenceKind::AiAgent => field!("labels.application"),
        _ => field!("labels.entity"),
    };
    document.add_all(label, labels);
    if !addresses.is_empty() {
        addresses_by_role(document, evidence, addresses);
    }
    // Not among those that are pivots of their own field.
    if evidence.kind == EvidenceKind::ServicePrincipal {
        document.add(field!("labels.application"), text("tenantId"));
    }
}

/// Where addresses go besides `related.ip`: the device's own to the host, others by the role of their evidence.
fn addresses_by_role<'a>(document: &mut Document<'a>, evidence: &Evidence<'a>, addresses: Vec<Text<'a>>) {
    match evidence.kind {
        EvidenceKind::Device | EvidenceKind::IotDevice | EvidenceKind::Nic => {
            document.add_all(field!("host.ip"), addresses);
        }
        EvidenceKind::AnalyzedMessage | EvidenceKind::SubmissionMail | EvidenceKind::TeamsMessage => {
            document.add_all(field!("source.ip"), addresses);
        }
        EvidenceKind::Ip => {
            let roles = evidence.roles();
            let any = |words: &[&str]| {
                roles.iter().any(|role| words.iter().any(|word| tables::same(role.as_written(), word)))
            };
            if any(&["destination", "commandAndControl", "attacked"]) {
                document.add_all(field!("destination.ip"), addresses.iter().copied());
                document.add_all(field!("destination.address"), addresses);
            } else if any(&["source", "attacker"]) {
                document.add_all(field!("source.ip"), addresses.iter().copied());
                document.add_all(field!("source.address"), addresses);
            }
            if !any(&["destination"]) {
                add_location(document, evidence);
            }
        }
        _ => {}
    }
}

/// Where an address is.
fn add_location<'a>(document: &mut Document<'a>, evidence: &Evidence<'a>) {
    let place = evidence.fields.get("location");
    document.add(field!("source.geo.country_iso_code"), evidence.fields.text_of("countryLetterCode"));
    document.add(field!("source.geo.country_name"), place.text_of("countryName"));
    document.add(field!("source.geo.region_name"), place.text_of("state"));
    document.add(field!("source.geo.city_name"), place.text_of("city"));
    let (latitude, longitude) = (place.text_of("latitude"), place.text_of("longitude"));
    let is_number = |text: Text<'_>| text.as_written().parse::<f64>().is_ok_and(f64::is_finite);
    if is_number(latitude) && is_number(longitude) {
        let point = format!("{},{}", latitude.as_written(), longitude.as_written());
        document.plain(field!("source.geo.location"), point);
    }
}

/// Adds a device to `host` and to what is related.
pub(super) fn add_device<'a>(document: &mut Document<'a>, device: &Device<'a>) {
    document.add(field!("host.id"), device.id);
    document.lower(field!("host.name"), device.name());
    let first_label = device.dns_name.as_written().split('.').next().unwrap_or_default();
    document.add(field!("host.hostname"), device.host_name.or(Text::as_in_json(first_label)));
    document.add(field!("host.domain"), device.dns_domain.or(device.nt_domain));
    document.add(field!("host.os.name"), device.os_platform);
    document.add(field!("host.os.version"), device.os_version);
    document.add(field!("host.os.kernel"), device.os_build);
    os_type(document, device.os_platform);
    document.add(field!("host.architecture"), device.os_architecture);
    document.add(field!("host.mac"), device.mac);
    if !tables::says_nothing(device.risk_score.as_written()) {
        document.add(field!("host.risk.static_level"), device.risk_score);
    }
    document.add(field!("cloud.instance.id"), device.vm_id);
    for resource in [device.vm_resource_id, device.vm_subscription_id] {
        document.add(field!("labels.entity"), resource);
    }
    for name in [device.dns_name, device.host_name, device.id, device.entra_id] {
        document.add(field!("related.hosts"), name);
    }
    document.lower(field!("related.hosts"), device.name());
}

/// `host.os.type` has a few values only.
pub(super) fn os_type(document: &mut Document<'_>, platform: Text<'_>) {
    const TYPES: [(&str, &str); 11] = [
        ("windows", "windows"),
        ("linux", "linux"),
        ("ubuntu", "linux"),
        ("debian", "linux"),
        ("centos", "linux"),
        ("redhat", "linux"),
        ("suse", "linux"),
        ("macos", "macos"),
        ("mac os", "macos"),
        ("ios", "ios"),
        ("android", "android"),
    ];
    let platform = platform.as_written().to_ascii_lowercase();
    if let Some((_, kind)) = TYPES.iter().find(|(word, _)| platform.starts_with(word)) {
        document.plain(field!("host.os.type"), *kind);
    }
}

/// Adds a person or account to `user` and to what is related.
pub(super) fn add_user<'a>(document: &mut Document<'a>, user: &User<'a>) {
    if user.name().is_blank() {
        return;
    }
    document.add(field!("user.name"), user.account);
    document.add(field!("user.domain"), user.domain());
    document.add(field!("user.id"), user.sid);
    document.add(field!("user.id"), user.entra_id);
    document.add(field!("user.email"), user.principal);
    document.add(field!("user.full_name"), user.display_name);
    related_user(document, user);
}

/// Adds all that names a person or account to what is related.
pub(super) fn related_user<'a>(document: &mut Document<'a>, user: &User<'a>) {
    document.add_all(field!("related.user"), [user.account, user.principal, user.sid, user.entra_id]);
    document.add(field!("related.hosts"), user.domain());
}

/// Adds a file to `file` and its hashes to what is related.
pub(super) fn add_file<'a>(document: &mut Document<'a>, file: &File<'a>) {
    document.add(field!("file.name"), file.name);
    let (directory, path) = place(file);
    document.plain(field!("file.directory"), directory);
    document.plain(field!("file.path"), path);
    document.add(field!("file.size"), file.size);
    if let Some((stem, extension)) = file.name.as_written().rsplit_once('.')
        && !stem.is_empty()
    {
        document.lower(field!("file.extension"), Text::as_in_json(extension));
    }
    document.add(field!("file.code_signature.subject_name"), file.signer);
    add_hashes(
        document,
        file,
        [field!("file.hash.md5"), field!("file.hash.sha1"), field!("file.hash.sha256")],
    );
}

/// The folder of a file and its whole path. Microsoft's path is the one or the other.
pub(super) fn place<'a>(file: &File<'a>) -> (Cow<'a, str>, Cow<'a, str>) {
    let (name, path) = (file.name.decoded(), file.path.decoded());
    if path.trim().is_empty() {
        return (Cow::Borrowed(""), Cow::Borrowed(""));
    }
    if name.trim().is_empty() {
        return (Cow::Borrowed(""), path);
    }
    let before = path.len().checked_sub(name.len());
    let ends_in_name =
        before.and_then(|at| path.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(&name))
            && before.is_some_and(|at| at == 0 || path[..at].ends_with(['/', '\\']));
    if ends_in_name {
        let folder = path[..before.unwrap_or_default()].trim_end_matches(['/', '\\']).to_owned();
        return (Cow::Owned(folder), path);
    }
    if file.path_is_of_another() {
        let folder = path.rfind(['/', '\\']).map_or("", |at| &path[..at]).to_owned();
        return (Cow::Owned(folder), path);
    }
    let slash = if path.contains('/') && !path.contains('\\') { '/' } else { '\\' };
    let folder = path.trim_end_matches(['/', '\\']);
    let mut whole = String::with_capacity(folder.len() + 1 + name.len());
    whole.push_str(folder);
    whole.push(slash);
    whole.push_str(&name);
    (path, Cow::Owned(whole))
}

/// The name of a program, of which now and then the whole path is written.
fn base_name(name: Text<'_>) -> Cow<'_, str> {
    let name = name.decoded();
    match name.rfind(['/', '\\']) {
        Some(at) => Cow::Owned(name[at + 1..].to_owned()),
        None => name,
    }
}

/// Adds the hashes of a file to the three fields and to what is related.
pub(super) fn add_hashes<'a>(document: &mut Document<'a>, file: &File<'a>, [md5, sha1, sha256]: [Field; 3]) {
    for (field, hash) in [(md5, file.md5), (sha1, file.sha1), (sha256, file.sha256)] {
        document.add(field, hash);
    }
    document.add_all(field!("related.hash"), file.hashes());
}

/// Adds a process and its parent.
pub(super) fn add_process<'a>(document: &mut Document<'a>, process: &Process<'a>) {
    document.add(field!("process.pid"), process.id);
    document.add(field!("process.command_line"), process.command_line);
    document.add(field!("process.start"), process.created_at);
    document.plain(field!("process.name"), base_name(process.image.name));
    document.plain(field!("process.executable"), place(&process.image).1);
    add_hashes(
        document,
        &process.image,
        [field!("process.hash.md5"), field!("process.hash.sha1"), field!("process.hash.sha256")],
    );
    document.add(field!("process.parent.pid"), process.parent_id);
    document.add(field!("process.parent.start"), process.parent_created_at);
    document.plain(field!("process.parent.name"), base_name(process.parent_image.name));
    let mut parent_image = process.parent_image;
    if parent_image.path.is_blank() && base_name(parent_image.name) != parent_image.name.decoded() {
        // The whole path is written where the name should be.
        parent_image.path = parent_image.name;
    }
    document.plain(field!("process.parent.executable"), place(&parent_image).1);
    add_hashes(
        document,
        &process.parent_image,
        [
            field!("process.parent.hash.md5"),
            field!("process.parent.hash.sha1"),
            field!("process.parent.hash.sha256"),
        ],
    );
}

/// Adds a registry key and value; the hive abbreviated, as ECS wants it. Hunting rows have the hive in the key.
pub(super) fn add_registry<'a>(
    document: &mut Document<'a>,
    hive: Text<'a>,
    key: Text<'a>,
    value_name: Text<'a>,
    value: Text<'a>,
    value_type: Text<'a>,
) {
    const HIVES: [(&str, &str); 6] = [
        ("HKEY_LOCAL_MACHINE", "HKLM"),
        ("HKEY_CURRENT_USER", "HKCU"),
        ("HKEY_USERS", "HKU"),
        ("HKEY_CLASSES_ROOT", "HKCR"),
        ("HKEY_CURRENT_CONFIG", "HKCC"),
        ("HKEY_PERFORMANCE_DATA", "HKPD"),
    ];
    if hive.is_blank() && key.is_blank() && value_name.is_blank() && value.is_blank() {
        return;
    }
    let (hive, key) = (hive.decoded(), key.decoded());
    let (hive, key) = match key.split_once('\\') {
        Some((first, rest)) if hive.trim().is_empty() && first.starts_with("HK") => {
            (first.to_owned(), rest.to_owned())
        }
        _ => (hive.into_owned(), key.into_owned()),
    };
    let short = HIVES.iter().find(|(long, _)| tables::same(long, hive.trim())).map(|(_, short)| *short);
    let hive = short.map_or(hive, str::to_owned);
    let name = value_name.decoded();
    let parts = [hive.as_str(), key.as_str(), &name];
    let path: Vec<&str> = parts.into_iter().filter(|part| !part.trim().is_empty()).collect();
    document.plain(field!("registry.path"), path.join("\\"));
    document.plain(field!("registry.hive"), hive);
    document.plain(field!("registry.key"), key);
    document.add(field!("registry.value"), value_name);
    document.add(field!("registry.data.strings"), value);
    document.add(field!("registry.data.type"), value_type);
}

/// Adds mail to `email`.
fn add_message<'a>(document: &mut Document<'a>, evidence: &Evidence<'a>) {
    let message = evidence.message();
    if matches!(
        evidence.kind,
        EvidenceKind::AnalyzedMessage | EvidenceKind::SubmissionMail | EvidenceKind::MailCluster
    ) {
        document.add_all(field!("email.local_id"), message.network_ids);
        document.add(field!("email.message_id"), message.internet_id);
        document.add(field!("email.delivery_timestamp"), message.received_at);
    }
    document.add(field!("email.subject"), message.subject);
    document.add(field!("email.from.address"), message.sender);
    document.add(field!("email.sender.address"), message.envelope_sender);
    document.add_all(field!("email.to.address"), message.recipients);
    for sender in ["p1Sender", "p2Sender"].map(|key| evidence.fields.get(key)) {
        if sender.text_of("emailAddress").is_blank() {
            document.add(field!("related.user"), sender.text_of("displayName"));
            document.add(field!("related.hosts"), sender.text_of("domainName"));
        }
    }
    document.lower(field!("email.direction"), message.direction);
    document.add(field!("labels.message"), evidence.fields.text_of("groupId"));
    if evidence.fields.get("entityType").is_present() {
        // An entity of the Defender XDR API.
        document.add(field!("email.to.address"), bare_address(evidence.fields.text_of("recipient")));
        document.add(field!("email.subject"), evidence.fields.text_of("subject"));
        document.add(field!("email.from.address"), bare_address(evidence.fields.text_of("sender")));
        document.add(field!("user.email"), bare_address(evidence.fields.text_of("mailboxAddress")));
    }
}

/// Adds what only some types of evidence have.
fn add_by_kind<'a>(document: &mut Document<'a>, evidence: &Evidence<'a>) {
    let fields = evidence.fields;
    let text = |key| fields.text_of(key);
    match evidence.kind {
        EvidenceKind::Container => {
            document.add(field!("container.id"), text("containerId"));
            document.add(field!("container.name"), text("name"));
            document.add(field!("container.security_context.privileged"), text("isPrivileged"));
        }
        EvidenceKind::ContainerImage => {
            document.add(field!("container.image.name"), text("imageId"));
            let digest = fields.get("digestImage").text_of("imageId");
            document.add(field!("container.image.hash.all"), digest.after_last('@').or(digest));
        }
        EvidenceKind::KubernetesCluster => {
            document.plain(field!("orchestrator.type"), "kubernetes");
            document.add(field!("orchestrator.cluster.name"), text("name"));
            document.add(field!("orchestrator.cluster.version"), text("version"));
        }
        EvidenceKind::KubernetesNamespace => {
            document.plain(field!("orchestrator.type"), "kubernetes");
            document.add(field!("orchestrator.namespace"), text("name"));
        }
        EvidenceKind::KubernetesPod => {
            orchestrated(document, text("name"), "pod");
            document.add(field!("orchestrator.resource.ip"), fields.get("podIp").text_of("ipAddress"));
        }
        EvidenceKind::KubernetesService => {
            orchestrated(document, text("name"), "service");
            document.add(field!("orchestrator.resource.ip"), fields.get("clusterIP").text_of("ipAddress"));
            for address in fields.get("externalIPs").items() {
                document.add(field!("orchestrator.resource.ip"), address.text_of("ipAddress"));
            }
        }
        EvidenceKind::KubernetesController => orchestrated(document, text("name"), "controller"),
        EvidenceKind::KubernetesSecret => orchestrated(document, text("name"), "secret"),
        EvidenceKind::KubernetesServiceAccount => orchestrated(document, text("name"), "service account"),
        EvidenceKind::AzureResource | EvidenceKind::AmazonResource | EvidenceKind::GoogleCloudResource => {
            document.add(field!("cloud.service.name"), text("resourceType"));
            document.add(field!("cloud.region"), text("location"));
        }
        EvidenceKind::SecurityGroup => {
            document.add(field!("group.id"), text("securityGroupId"));
            document.add(field!("group.id"), text("sid"));
            document.add(field!("group.name"), text("displayName").or(text("securityGroupName")));
        }
        EvidenceKind::ActiveDirectoryDomain => {
            document.add(field!("group.domain"), text("activeDirectoryDomainName"));
        }
        EvidenceKind::FileHash => {
            let field = match text("algorithm").as_written() {
                "md5" => field!("file.hash.md5"),
                "sha1" => field!("file.hash.sha1"),
                "sha256" => field!("file.hash.sha256"),
                _ => return,
            };
            document.add(field, text("value"));
        }
        EvidenceKind::Malware => document.add(field!("threat.software.name"), text("name")),
        EvidenceKind::Dns => {
            document.add(field!("dns.question.name"), text("domainName"));
            for address in fields.get("ipAddresses").items() {
                document.add(field!("dns.resolved_ip"), address.text_of("ipAddress"));
            }
        }
        EvidenceKind::IotDevice => {
            document.add(field!("host.id"), text("deviceId"));
            document.add(field!("host.type"), text("deviceType"));
        }
        EvidenceKind::Nic => document.add(field!("host.mac"), text("macAddress")),
        EvidenceKind::CloudLogonSession => {
            document.add(field!("user_agent.original"), text("userAgent"));
        }
        EvidenceKind::Mailbox | EvidenceKind::MailboxConfiguration => {
            document.add(
                field!("user.email"),
                bare_address(fields.first_text(&["primaryAddress", "mailboxPrimaryAddress", "upn"])),
            );
        }
        EvidenceKind::GitHubUser => {
            document.add(field!("related.user"), text("login"));
            document.add(field!("user.email"), text("email"));
        }
        _ => {}
    }
}

fn orchestrated<'a>(document: &mut Document<'a>, name: Text<'a>, kind: &'static str) {
    document.plain(field!("orchestrator.type"), "kubernetes");
    document.add(field!("orchestrator.resource.name"), name);
    document.plain(field!("orchestrator.resource.type"), kind);
}
