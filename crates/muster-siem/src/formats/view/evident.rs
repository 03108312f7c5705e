//! What a row of alert evidence (`AlertEvidence`, `BehaviorEntities`) is about. Its columns tell a part; the entity whole is
//! in `AdditionalFields`. Alerts of Sentinel (`SecurityAlert`) list such entities in `Entities`.
//!
//! An object that stands there a second time is only named (`{"$ref":"3"}`), so that the first one that tells
//! something is looked for.

use muster_model::json::{Text, Value};

use super::hunting::HuntingRow;
use super::mail::bare_address;
use super::tables::{same, says_nothing};
use super::things::{Device, File, Message, Process, User};

/// What `AdditionalFields` of a row of alert evidence tell.
#[derive(Debug, Default, Clone)]
pub(crate) struct Evident<'a> {
    /// Where it was found, or what it is.
    pub(crate) device: Device<'a>,
    /// The account that it is, or that a process runs as.
    pub(crate) account: User<'a>,
    pub(crate) file: File<'a>,
    pub(crate) process: Process<'a>,
    pub(crate) message: Message<'a>,
    /// What is attached to it.
    pub(crate) attachments: Vec<File<'a>>,
    /// The IP address that it is.
    pub(crate) address: Text<'a>,
    /// The URL that it is.
    pub(crate) url: Text<'a>,
    /// The family of the malware that was found in it.
    pub(crate) threat_family: Text<'a>,
    /// What was thought of it last.
    pub(crate) verdict: Text<'a>,
}

/// Names of an entity that Microsoft says in two parts.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    /// Name and suffix of the account, where no principal name is said.
    principal: String,
    /// Name and domain of the device.
    host: String,
}

/// The objects around the entity of a row of alert evidence.
#[derive(Clone, Copy)]
struct Around<'a> {
    kind: &'a str,
    parent: Value<'a>,
    /// The device that it is, or that it was found on.
    host: Value<'a>,
    /// The account that it is, or whose it is.
    owner: Value<'a>,
}

impl<'a> HuntingRow<'a> {
    /// What kind of entity is in `AdditionalFields`; blank where the row is none of evidence.
    pub(crate) fn entity_kind(&self) -> &'a str {
        self.text("EntityType").as_written()
    }
}

/// What kind of entity an item of Sentinel's `Entities` is, as the tables of evidence name it.
pub(super) fn kind_of_item(item: Value<'_>) -> &'static str {
    const KINDS: [(&str, &str); 8] = [
        ("account", "User"),
        ("host", "Machine"),
        ("ip", "Ip"),
        ("url", "Url"),
        ("file", "File"),
        ("process", "Process"),
        ("mailMessage", "MailMessage"),
        ("mailbox", "Mailbox"),
    ];
    let kind = item.text_of("Type");
    KINDS.iter().find(|(word, _)| same(kind.as_written(), word)).map_or("", |(_, kind)| kind)
}

impl<'a> Around<'a> {
    /// What stands around the entity `more`; `None` where it is none.
    fn of(kind: &'a str, more: Value<'a>) -> Option<Self> {
        if kind.is_empty() || !more.is_object() {
            return None;
        }
        let (image, parent, owner) = (more.get("ImageFile"), more.get("ParentProcess"), more.get("Account"));
        let hosts = [more, image, owner, parent].map(|holder| holder.get("Host"));
        let host = match kind {
            "Machine" | "Host" => more,
            _ => first(&[hosts[0], hosts[1], hosts[2], hosts[3], parent.get("ImageFile").get("Host")]),
        };
        let owner = match kind {
            "User" | "Account" | "Mailbox" => more,
            _ => first(&[owner, parent.get("Account")]),
        };
        Some(Self { kind, parent, host, owner })
    }
}

impl Joined {
    /// The names of the entity `more` that are said in two parts.
    pub(super) fn of(kind: &str, more: Value<'_>) -> Self {
        let Some(Around { host, owner, .. }) = Around::of(kind, more) else { return Self::default() };
        let told = account(owner);
        let join = |name: Text<'_>, mark: char, end: Text<'_>| {
            if name.is_blank() || end.is_blank() || name.decoded().contains(['@', '\\']) {
                return String::new();
            }
            format!("{}{mark}{}", name.as_written(), end.as_written())
        };
        let principal = if told.principal.is_blank() {
            join(told.account, '@', owner.text_of("UPNSuffix"))
        } else {
            String::new()
        };
        let short = device(host);
        let host = if short.host_name.as_written().contains('.') {
            short.host_name.as_written().to_owned()
        } else {
            join(short.host_name, '.', short.dns_domain)
        };
        Self { principal, host }
    }
}

impl<'a> Evident<'a> {
    /// What the entity `more` tells, whose names are joined in `joined`.
    pub(super) fn of(kind: &'a str, more: Value<'a>, joined: &'a Joined) -> Self {
        let Some(Around { kind, parent, host, owner }) = Around::of(kind, more) else {
            return Self::default();
        };
        let mut device = device(host);
        device.dns_name = Text::as_in_json(&joined.host);
        let mut owner = account(owner);
        owner.principal = owner.principal.or(Text::as_in_json(&joined.principal));
        let verdict = more.text_of("LastVerdict");
        let all = Self {
            device,
            account: owner,
            threat_family: more.first_text(&["ThreatFamilyName", "ThreatFamily"]),
            verdict: if says_nothing(verdict.as_written()) { Text::default() } else { verdict },
            ..Self::default()
        };
        match kind {
            "Process" => Self { process: process(more, parent), ..all },
            "File" => Self { file: file(more), ..all },
            "Ip" => Self { address: more.text_of("Address"), ..all },
            "Url" => Self { url: more.text_of("Url"), ..all },
            "MailMessage" => Self {
                message: message(more),
                attachments: more.get("Files").items().map(file).collect(),
                ..all
            },
            _ => all,
        }
    }
}

/// The first object that is not only named.
fn first<'a>(objects: &[Value<'a>]) -> Value<'a> {
    let told = |object: &&Value<'a>| object.is_object() && !object.get("$ref").is_present();
    objects.iter().find(told).copied().unwrap_or_default()
}

fn device(host: Value<'_>) -> Device<'_> {
    Device {
        id: host.first_text(&["MachineId", "MdatpDeviceId"]),
        entra_id: host.text_of("AadDeviceId"),
        host_name: host.first_text(&["HostName", "NetBiosName"]),
        dns_domain: host.text_of("DnsDomain"),
        os_platform: host.text_of("OSFamily"),
        os_version: host.text_of("OSVersion"),
        ..Device::default()
    }
}

/// An account, or a mailbox.
fn account(account: Value<'_>) -> User<'_> {
    let name = account.first_text(&["Name", "AccountName"]);
    let principal = account.first_text(&["UserPrincipalName", "Upn", "MailboxPrimaryAddress"]);
    User {
        account: name,
        domain: account.first_text(&["NTDomain", "DomainName", "DnsDomain"]),
        // Some write the whole of it where the name alone belongs.
        principal: if name.as_written().contains('@') { principal.or(name) } else { principal },
        sid: account.first_text(&["Sid", "UserSid"]),
        entra_id: account.first_text(&["AadUserId", "AadId"]),
        display_name: account.text_of("DisplayName"),
    }
}

fn file(file: Value<'_>) -> File<'_> {
    let hash = |algorithm: &str| {
        let mut hashes = file.get("FileHashes").items();
        let hash = hashes.find(|hash| same(hash.text_of("Algorithm").as_written(), algorithm));
        hash.map_or_else(Text::default, |hash| hash.text_of("Value"))
    };
    File {
        name: file.text_of("Name"),
        path: file.text_of("Directory"),
        size: file.text_of("SizeInBytes"),
        md5: hash("MD5"),
        sha1: hash("SHA1"),
        sha256: hash("SHA256"),
        publisher: file.text_of("Publisher"),
        ..File::default()
    }
}

fn process<'a>(process: Value<'a>, parent: Value<'a>) -> Process<'a> {
    Process {
        id: process.text_of("ProcessId"),
        image: file(process.get("ImageFile")),
        command_line: process.text_of("CommandLine"),
        created_at: process.text_of("CreationTimeUtc"),
        parent_id: parent.text_of("ProcessId"),
        parent_created_at: parent.text_of("CreationTimeUtc"),
        parent_image: file(parent.get("ImageFile")),
        parent_command_line: parent.text_of("CommandLine"),
    }
}

fn message(message: Value<'_>) -> Message<'_> {
    let address = |key| bare_address(message.text_of(key));
    let mut recipients = message.texts_of("Recipient");
    recipients.iter_mut().for_each(|recipient| *recipient = bare_address(*recipient));
    Message {
        network_ids: message.texts_of("NetworkMessageId"),
        internet_id: message.text_of("InternetMessageId"),
        subject: message.text_of("Subject"),
        sender: address("P2Sender").or(address("Sender")).or(address("P1Sender")),
        envelope_sender: address("P1Sender").or(address("Sender")),
        sender_address: message.text_of("SenderIP"),
        recipients,
        received_at: message.first_text(&["ReceivedDate", "ReceiveDate"]),
        direction: message.text_of("AntispamDirection"),
    }
}
