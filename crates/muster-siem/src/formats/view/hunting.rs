//! Rows of advanced hunting and of the streaming API.

use muster_model::json::{Text, Value};
use muster_model::time::moment;

use super::tables;
use super::things::{Device, File, Process, User};

/// A row of an advanced hunting query or of the streaming API, whose envelope is taken off.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct HuntingRow<'a> {
    /// The table, such as `DeviceProcessEvents`; blank when nothing says it.
    pub(crate) table: Text<'a>,
    /// When the event happened: the first of its times that is one, else when it was published.
    pub(crate) happened_at: Text<'a>,
    /// The columns: Microsoft's names, in Pascal case.
    pub(crate) fields: Value<'a>,
}

impl<'a> HuntingRow<'a> {
    /// The row that is, or is wrapped in, `record`.
    pub(crate) fn read(record: Value<'a>) -> Self {
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
            happened_at: [
                fields.text_of("Timestamp"),
                fields.text_of("TimeGenerated"),
                record.text_of("time"),
            ]
            .into_iter()
            .find(|text| moment(text.as_written()).is_some())
            .unwrap_or_default(),
            fields,
        }
    }

    /// The text of a column.
    pub(crate) fn text(&self, column: &str) -> Text<'a> {
        self.fields.text_of(column)
    }

    /// The device on which it happened.
    pub(crate) fn device(&self) -> Device<'a> {
        Device {
            id: self.text("DeviceId"),
            entra_id: self.text("AadDeviceId"),
            kind: self.text("DeviceType"),
            dns_name: self.text("DeviceName"),
            os_platform: self.fields.first_text(&["OSPlatform", "OSType"]),
            os_version: self.fields.first_text(&["OSVersion", "OSVersionInfo"]),
            os_build: self.text("OSBuild"),
            group: self.text("MachineGroup"),
            ..Device::default()
        }
    }

    /// The account that the row is about (`Account…`).
    pub(crate) fn account(&self) -> User<'a> {
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
    pub(crate) fn initiating_account(&self) -> User<'a> {
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
    pub(crate) fn file(&self) -> File<'a> {
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
    pub(crate) fn process(&self) -> Process<'a> {
        let own = ["ProcessId", "ProcessCommandLine"];
        let image = if self.fields.first_text(&own).is_blank() { File::default() } else { self.file() };
        Process {
            id: self.text("ProcessId"),
            image,
            command_line: self.text("ProcessCommandLine"),
            created_at: self.text("ProcessCreationTime"),
            ..Process::default()
        }
    }

    /// The process that did it (`InitiatingProcess…`), with its parent.
    pub(crate) fn initiating_process(&self) -> Process<'a> {
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
            parent_command_line: Text::default(),
        }
    }
}
