//! The line of a hunting row: the columns that have a field, and all others under their own names.

use std::net::IpAddr;

use muster_model::json::Text;
use muster_model::{Record, TenantLabel};

use super::fields::*;
use super::line::{Line, is_no_date};
use crate::formats::view::{Connection, HuntingRow, Inner, bare_address};
use crate::formats::writing::distinct::Distinct;
use crate::formats::writing::edit::Syntax;

/// Appends the fields of a row.
pub(super) fn write_row(
    line: &mut Line<'_>,
    row: HuntingRow<'_>,
    name: Text<'_>,
    record: Record<'_>,
    tenant: &TenantLabel,
) {
    line.common(Text::default(), Text::default(), name, record, tenant);
    line.text(CATEGORY, row.table);
    // Of a row of alert evidence the entity stands whole in `AdditionalFields`.
    let inner = if row.text("EntityType").is_blank() { Inner::default() } else { Inner::read(&row) };
    let tapes = inner.tapes();
    let evident = row.evident(tapes.get(&row, "AdditionalFields"));
    let device = row.device().or(evident.device);
    line.text(HOST, device.name());
    line.text(HOST_DOMAIN, device.domain());
    line.text(HOST_ID, device.id);
    line.text(OS, row.text("OSPlatform").or(evident.device.os_platform));
    line.text(HOST_GROUP, device.group);
    let account = row.account().or(evident.account);
    let user = if account.name().is_blank() { row.initiating_account() } else { account };
    line.user(&user);
    // The columns name the program of a process as a file.
    let file = if evident.process.is_blank() { evident.file } else { evident.process.image };
    line.file(&row.file().or(file));
    let process = row.initiating_process();
    line.process(if process.is_blank() { &evident.process } else { &process });
    line.connection(&Connection {
        source_address: row.text("LocalIP").or(row.text("IPAddress")),
        source_port: row.text("LocalPort"),
        destination_address: row.text("RemoteIP"),
        destination_port: row.text("RemotePort"),
        protocol: row.text("Protocol"),
    });
    line.text(URL, row.text("RemoteUrl"));
    line.text(RECIPIENT, bare_address(row.text("RecipientEmailAddress")));
    line.text(SENDERS, bare_address(row.text("SenderFromAddress")));
    line.columns(row);
}

/// The columns of a hunting row that stand in fields of their own. Others keep their names.
const COLUMNS_SHOWN: [&str; 33] = [
    "Timestamp",
    "TimeGenerated",
    "DeviceName",
    "DeviceId",
    "OSPlatform",
    "MachineGroup",
    "AccountDomain",
    "AccountName",
    "AccountUpn",
    "AccountSid",
    "AccountObjectId",
    "AccountDisplayName",
    "FileName",
    "FolderPath",
    "FileSize",
    "SHA1",
    "SHA256",
    "MD5",
    "InitiatingProcessFileName",
    "InitiatingProcessId",
    "InitiatingProcessCommandLine",
    "InitiatingProcessCreationTime",
    "InitiatingProcessParentFileName",
    "InitiatingProcessParentId",
    "RemoteIP",
    "LocalIP",
    "LocalPort",
    "RemotePort",
    "Protocol",
    "RemoteUrl",
    "RecipientEmailAddress",
    "SenderFromAddress",
    "ActionType",
];

impl Line<'_> {
    /// The columns of a row that have no field of their own: under their own names where those can be keys, else in a
    /// list.
    pub(super) fn columns(&mut self, row: HuntingRow<'_>) {
        let mut seen = Distinct::default();
        let mut others = Vec::new();
        // Asked once for each, however often a column comes.
        let mut lost = [None; COLUMNS_SHOWN.len()];
        for (name, value) in row.fields.fields() {
            if !value.is_present() {
                continue;
            }
            if let Some(shown) = COLUMNS_SHOWN.iter().position(|known| *known == name)
                && !*lost[shown].get_or_insert_with(|| Self::is_lost(row, name))
            {
                continue;
            }
            let text = if value.text().is_blank() { Text::as_in_json(value.raw()) } else { value.text() };
            let plain = !value.text().is_blank();
            let can_be_key = name.len() <= 60
                && !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
                && !name.ends_with("Label")
                && !is_key_of_ours(self.syntax, name);
            if plain && can_be_key && seen.add(name) {
                self.column(name);
                self.value(text);
            } else {
                others.push((Text::as_in_json(name), text));
            }
        }
        self.items(COLUMNS, &others, |line, (name, text)| line.joined(&[*name, *text], ": "));
    }

    /// Whether a column that has a field of its own is not what that field shows.
    pub(super) fn is_lost(row: HuntingRow<'_>, name: &str) -> bool {
        match name {
            // Only what is an address, a port or a time that can be read stands in its field.
            "RemoteIP" | "LocalIP" => row.text(name).as_written().parse::<IpAddr>().is_err(),
            "LocalPort" | "RemotePort" => row.text(name).as_written().parse::<u16>().is_err(),
            "Timestamp" | "TimeGenerated" => row.happened_at != row.text(name) && !is_no_date(row.text(name)),
            // The name that stands before the address.
            "RecipientEmailAddress" | "SenderFromAddress" => bare_address(row.text(name)) != row.text(name),
            "FileSize" => !row.text(name).as_written().bytes().all(|byte| byte.is_ascii_digit()),
            "AccountDomain" => row.text("AccountName").is_blank(),
            "AccountDisplayName" => row.account().name().is_blank(),
            _ => false,
        }
    }
}

/// Whether a column's key would be one of our own.
fn is_key_of_ours(syntax: Syntax, column: &str) -> bool {
    match syntax {
        Syntax::Cef => CEF_FIELDS.iter().any(|field| field.name.strip_prefix(COLUMN_PREFIX) == Some(column)),
        _ => LEEF_FIELDS.iter().any(|field| field.name == column),
    }
}
