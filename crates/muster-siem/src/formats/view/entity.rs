//! Evidence of the Defender for Endpoint API and entities of the Defender XDR API: `entityType`, and all in one flat
//! object.

use muster_model::json::Value;

use super::tables::EvidenceKind;
use super::things::{File, Process, User};

/// The account that an entity is, or whose it is.
pub(crate) fn user(fields: Value<'_>) -> User<'_> {
    let text = |key| fields.text_of(key);
    User {
        account: text("accountName"),
        domain: text("domainName"),
        principal: text("userPrincipalName"),
        sid: text("userSid"),
        entra_id: text("aadUserId"),
        display_name: text("mailboxDisplayName"),
    }
}

/// The file that an entity is; of a process its image.
pub(crate) fn file(fields: Value<'_>) -> File<'_> {
    let text = |key| fields.text_of(key);
    File {
        name: text("fileName"),
        path: text("filePath"),
        sha1: text("sha1"),
        sha256: text("sha256"),
        ..File::default()
    }
}

/// The process that an entity is, or that it mentions.
pub(crate) fn process(kind: EvidenceKind, fields: Value<'_>) -> Process<'_> {
    let text = |key| fields.text_of(key);
    let mentioned =
        Process { id: text("processId"), command_line: text("processCommandLine"), ..Process::default() };
    if kind != EvidenceKind::Process {
        return mentioned;
    }
    Process {
        image: file(fields),
        created_at: text("processCreationTime"),
        parent_id: text("parentProcessId"),
        parent_created_at: text("parentProcessCreationTime"),
        parent_image: File {
            name: text("parentProcessFileName"),
            path: text("parentProcessFilePath"),
            ..File::default()
        },
        ..mentioned
    }
}
