//! The line of a hunting row: the columns that have a field, and all others under their own names.

use std::net::IpAddr;

use muster_model::json::Text;
use muster_model::{Record, TenantLabel};

use super::fields::*;
use super::line::{Line, is_no_date};
use crate::formats::view::tables::Direction;
use crate::formats::view::{Connection, Evident, HuntingRow, Inner, addresses, bare_address, bare_url};
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
    // Of a row of alert evidence the entity stands whole in `AdditionalFields`, of an inspected connection its direction.
    let wants_inner = !row.text("EntityType").is_blank()
        || row.fields.get("Entities").is_present()
        || row.text("ActionType").as_written().ends_with("Inspected");
    let columns: &[_] = if wants_inner { &["AdditionalFields", "Entities"] } else { &[] };
    let inner = Inner::read(&row, columns);
    let inner = inner.tapes(&row);
    let evident = inner.evident(&row);
    // Of an alert of Sentinel the first account and device.
    let first = |told: fn(&Evident<'_>) -> bool| inner.entities(&row).find(told).unwrap_or_default();
    let mut device = row.device().or(evident.device);
    if device.is_blank() {
        device = first(|entity| !entity.device.is_blank()).device;
    }
    line.text(HOST, device.name());
    line.text(HOST_DOMAIN, device.domain());
    line.text(HOST_ID, device.id);
    line.text(OS, row.text("OSPlatform").or(evident.device.os_platform));
    line.text(HOST_GROUP, device.group);
    let mut user = row.account().or(evident.account);
    if user.name().is_blank() {
        user = row.initiating_account();
    }
    if user.name().is_blank() {
        user = first(|entity| !entity.account.name().is_blank()).account;
    }
    line.user(&user);
    // The columns name the program of a process as a file.
    let file = if evident.process.is_blank() { evident.file } else { evident.process.image };
    line.file(&row.file().or(file));
    let process = row.initiating_process();
    line.process(if process.is_blank() { &evident.process } else { &process });
    let said = inner.get(&row, "AdditionalFields").text_of("direction");
    line.connection(&connection(row, said, &evident));
    line.text(URL, bare_url(row.text("RemoteUrl").or(row.text("Url")).or(evident.url)));
    let recipient = evident.message.recipients.first().copied().unwrap_or_default();
    line.text(RECIPIENT, bare_address(row.text("RecipientEmailAddress").or(recipient)));
    line.text(SENDERS, bare_address(row.text("SenderFromAddress").or(evident.message.sender)));
    line.columns(row);
}

/// Both ends of what the row is about. What comes in, as a logon does, begins at the far side.
fn connection<'a>(row: HuntingRow<'a>, said: Text<'a>, evident: &Evident<'a>) -> Connection<'a> {
    let direction = Direction::of(row.text("ActionType").as_written(), said.as_written());
    let address = |column| addresses(row.text(column)).next().unwrap_or_default();
    let told = addresses(evident.address).next().unwrap_or_default();
    let remote = (address("RemoteIP").or(told), row.text("RemotePort"));
    let local = (address("LocalIP"), row.text("LocalPort"));
    let comes_in = direction == Direction::Inbound || row.table.as_written().contains("Logon");
    let (source, destination) = if comes_in { (remote, local) } else { (local, remote) };
    let sender = address("SenderIPv4").or(address("SenderIPv6")).or(evident.message.sender_address);
    Connection {
        source_address: source.0.or(address("IPAddress")).or(sender),
        source_port: source.1.or(row.text("Port")),
        destination_address: destination.0.or(address("DestinationIPAddress")),
        destination_port: destination.1.or(row.text("DestinationPort")),
        protocol: row.text("Protocol"),
    }
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
            // What stands before the address.
            "RemoteUrl" => bare_url(row.text(name)) != row.text(name),
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
