//! What a row of alert evidence (`AlertEvidence`, `BehaviorEntities`) is about. Its columns tell a part; the entity whole is
//! in `AdditionalFields`.
//!
//! An object that stands there a second time is only named (`{"$ref":"3"}`), so that the first one that tells
//! something is looked for.

use muster_model::json::{Text, Value};

use super::hunting::HuntingRow;
use super::things::{Device, File, Process, User};

/// What `AdditionalFields` of a row of alert evidence tell.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Evident<'a> {
    /// Where it was found, or what it is.
    pub(crate) device: Device<'a>,
    /// The account that it is, or that a process runs as.
    pub(crate) account: User<'a>,
    pub(crate) file: File<'a>,
    pub(crate) process: Process<'a>,
}

impl<'a> HuntingRow<'a> {
    /// What the entity in `more`, the value of `AdditionalFields`, tells; nothing of any other row.
    pub(crate) fn evident(&self, more: Value<'a>) -> Evident<'a> {
        let kind = self.text("EntityType");
        if kind.is_blank() || !more.is_object() {
            return Evident::default();
        }
        let (image, parent, owner) = (more.get("ImageFile"), more.get("ParentProcess"), more.get("Account"));
        let hosts = [more, image, owner, parent].map(|holder| holder.get("Host"));
        let found_on =
            device(first(&[hosts[0], hosts[1], hosts[2], hosts[3], parent.get("ImageFile").get("Host")]));
        let owner = account(first(&[owner, parent.get("Account")]));
        match kind.as_written() {
            "Process" => Evident {
                device: found_on,
                account: owner,
                process: process(more, parent),
                ..Evident::default()
            },
            "File" => Evident { device: found_on, account: owner, file: file(more), ..Evident::default() },
            "User" | "Account" | "Mailbox" => {
                Evident { device: found_on, account: account(more), ..Evident::default() }
            }
            "Machine" | "Host" => Evident { device: device(more), ..Evident::default() },
            _ => Evident { device: found_on, account: owner, ..Evident::default() },
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
        id: host.text_of("MachineId"),
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
    User {
        account: account.first_text(&["Name", "AccountName"]),
        domain: account.first_text(&["NTDomain", "DomainName"]),
        principal: account.first_text(&["UserPrincipalName", "Upn", "MailboxPrimaryAddress"]),
        sid: account.first_text(&["Sid", "UserSid"]),
        entra_id: account.first_text(&["AadUserId", "AadId"]),
        display_name: account.text_of("DisplayName"),
    }
}

fn file(file: Value<'_>) -> File<'_> {
    let hash = |algorithm: &str| {
        let mut hashes = file.get("FileHashes").items();
        let hash = hashes.find(|hash| hash.text_of("Algorithm").as_written() == algorithm);
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
