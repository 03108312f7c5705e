//! What evidence and hunting rows are about: computers, accounts, files, processes and the like.

use muster_model::json::Text;

use crate::formats::writing::distinct::Fingerprint;

/// A computer.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Device<'a> {
    /// The id that Defender for Endpoint gave it.
    pub(crate) id: Text<'a>,
    pub(crate) entra_id: Text<'a>,
    /// Workstation, server or the like.
    pub(crate) kind: Text<'a>,
    pub(crate) dns_name: Text<'a>,
    pub(crate) host_name: Text<'a>,
    pub(crate) dns_domain: Text<'a>,
    pub(crate) nt_domain: Text<'a>,
    pub(crate) os_platform: Text<'a>,
    pub(crate) os_build: Text<'a>,
    pub(crate) os_version: Text<'a>,
    pub(crate) os_architecture: Text<'a>,
    pub(crate) group: Text<'a>,
    pub(crate) group_id: Text<'a>,
    pub(crate) risk_score: Text<'a>,
    pub(crate) onboarding_status: Text<'a>,
    pub(crate) first_seen_at: Text<'a>,
    pub(crate) last_address: Text<'a>,
    pub(crate) last_external_address: Text<'a>,
    pub(crate) mac: Text<'a>,
    pub(crate) vm_id: Text<'a>,
    pub(crate) vm_resource_id: Text<'a>,
    pub(crate) vm_subscription_id: Text<'a>,
}

impl<'a> Device<'a> {
    /// The full name where there is one, else the short one.
    pub(crate) fn name(&self) -> Text<'a> {
        self.dns_name.or(self.host_name)
    }

    /// The domain: as written, or the end of the full name.
    pub(crate) fn domain(&self) -> Text<'a> {
        self.dns_domain.or(self.dns_name.after_first('.'))
    }

    /// Whether neither a name nor an id is known.
    pub(crate) fn is_blank(&self) -> bool {
        self.name().is_blank() && self.id.is_blank() && self.entra_id.is_blank()
    }

    /// The same, with what only `other` tells of names, ids and the operating system; all of `other` is of no use where
    /// it is another device.
    pub(crate) fn or(self, other: Self) -> Self {
        if differ(self.id, other.id) || differ(self.entra_id, other.entra_id) {
            return self;
        }
        Self {
            id: self.id.or(other.id),
            entra_id: self.entra_id.or(other.entra_id),
            dns_name: self.dns_name.or(other.dns_name),
            host_name: self.host_name.or(other.host_name),
            dns_domain: self.dns_domain.or(other.dns_domain),
            os_platform: self.os_platform.or(other.os_platform),
            os_version: self.os_version.or(other.os_version),
            ..self
        }
    }
}

/// Whether both say something, and not the same.
fn differ(one: Text<'_>, other: Text<'_>) -> bool {
    !one.is_blank() && !other.is_blank() && !one.as_written().eq_ignore_ascii_case(other.as_written())
}

/// A person's or machine's account.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct User<'a> {
    pub(crate) account: Text<'a>,
    pub(crate) domain: Text<'a>,
    pub(crate) principal: Text<'a>,
    pub(crate) sid: Text<'a>,
    pub(crate) entra_id: Text<'a>,
    pub(crate) display_name: Text<'a>,
}

impl<'a> User<'a> {
    /// The best name: account, principal name, display name, SID, id; blank when there is none.
    pub(crate) fn name(&self) -> Text<'a> {
        self.account.or(self.principal).or(self.display_name).or(self.sid).or(self.entra_id)
    }

    /// The same, with what only `other` tells; all of `other` is of no use where it is another account.
    pub(crate) fn or(self, other: Self) -> Self {
        let others = [
            (self.account, other.account),
            (self.principal, other.principal),
            (self.sid, other.sid),
            (self.entra_id, other.entra_id),
        ];
        if others.into_iter().any(|(one, other)| differ(one, other)) {
            return self;
        }
        Self {
            account: self.account.or(other.account),
            domain: self.domain.or(other.domain),
            principal: self.principal.or(other.principal),
            sid: self.sid.or(other.sid),
            entra_id: self.entra_id.or(other.entra_id),
            display_name: self.display_name.or(other.display_name),
        }
    }

    /// The domain, which says something about an account name only.
    pub(crate) fn domain(&self) -> Text<'a> {
        if self.account.is_blank() { Text::default() } else { self.domain }
    }
}

/// A file.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct File<'a> {
    pub(crate) name: Text<'a>,
    /// The folder; in hunting rows the whole path.
    pub(crate) path: Text<'a>,
    pub(crate) size: Text<'a>,
    pub(crate) sha1: Text<'a>,
    pub(crate) sha256: Text<'a>,
    pub(crate) sha256_ac: Text<'a>,
    pub(crate) md5: Text<'a>,
    pub(crate) publisher: Text<'a>,
    pub(crate) signer: Text<'a>,
}

impl<'a> File<'a> {
    /// The same, with what only `other` tells.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            name: self.name.or(other.name),
            path: self.path.or(other.path),
            size: self.size.or(other.size),
            sha1: self.sha1.or(other.sha1),
            sha256: self.sha256.or(other.sha256),
            md5: self.md5.or(other.md5),
            publisher: self.publisher.or(other.publisher),
            ..self
        }
    }

    pub(crate) fn hashes(&self) -> [Text<'a>; 4] {
        [self.sha1, self.sha256, self.md5, self.sha256_ac]
    }

    /// Whether the path is that of a file already, though the name is another's. Microsoft writes the folder in some
    /// tables and the whole path in others, and the name may be the one that a program was built under.
    pub(crate) fn path_is_of_another(&self) -> bool {
        const PROGRAMS: [&str; 15] = [
            "exe", "dll", "sys", "scr", "cpl", "ocx", "drv", "msi", "efi", "bat", "cmd", "ps1", "vbs", "so",
            "dylib",
        ];
        let last = self.path.as_written().rsplit(['\\', '/']).next().unwrap_or_default();
        let Some((stem, end)) = last.rsplit_once('.') else { return false };
        !stem.is_empty() && PROGRAMS.iter().any(|program| program.eq_ignore_ascii_case(end))
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.name.is_blank() && self.path.is_blank() && self.hashes().iter().all(|hash| hash.is_blank())
    }
}

/// A process.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Process<'a> {
    pub(crate) id: Text<'a>,
    pub(crate) image: File<'a>,
    pub(crate) command_line: Text<'a>,
    pub(crate) created_at: Text<'a>,
    pub(crate) parent_id: Text<'a>,
    pub(crate) parent_created_at: Text<'a>,
    pub(crate) parent_image: File<'a>,
    pub(crate) parent_command_line: Text<'a>,
}

impl<'a> Process<'a> {
    /// The command line, or the name of the program.
    pub(crate) fn shown(&self) -> Text<'a> {
        self.command_line.or(self.image.name)
    }

    /// Whether nothing tells which process it is.
    pub(crate) fn is_blank(&self) -> bool {
        self.id.is_blank() && self.command_line.is_blank() && self.image.is_blank()
    }
}

/// A registry key or value.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Registry<'a> {
    pub(crate) hive: Text<'a>,
    pub(crate) key: Text<'a>,
    pub(crate) value_name: Text<'a>,
    pub(crate) value: Text<'a>,
    pub(crate) value_type: Text<'a>,
}

impl Fingerprint for Registry<'_> {
    fn fingerprint(&self) -> u32 {
        (self.key, self.value_name).fingerprint()
    }
}

/// A network connection.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Connection<'a> {
    pub(crate) source_address: Text<'a>,
    pub(crate) source_port: Text<'a>,
    pub(crate) destination_address: Text<'a>,
    pub(crate) destination_port: Text<'a>,
    pub(crate) protocol: Text<'a>,
}

/// A mail, a Teams message, or a cluster of mails.
#[derive(Debug, Default, Clone)]
pub(crate) struct Message<'a> {
    pub(crate) network_ids: Vec<Text<'a>>,
    pub(crate) internet_id: Text<'a>,
    pub(crate) subject: Text<'a>,
    /// The sender that the reader sees (header, P2); else that of the envelope.
    pub(crate) sender: Text<'a>,
    /// The sender of the envelope (P1).
    pub(crate) envelope_sender: Text<'a>,
    pub(crate) sender_address: Text<'a>,
    pub(crate) recipients: Vec<Text<'a>>,
    pub(crate) received_at: Text<'a>,
    pub(crate) direction: Text<'a>,
}
