//! What the evidence of a record puts into its line.

use std::net::IpAddr;

use muster_model::json::Text;

use super::fields::*;
use super::line::Line;
use crate::formats::view::{self, Alert, Connection, Evidence, EvidenceKind, Facts, File, Process, User};

impl Line<'_> {
    /// The first of each kind of evidence in the flat fields, and the lists.
    pub(super) fn facts(&mut self, facts: &Facts<'_>, alerts: &[Alert<'_>]) {
        let Facts { device, user, file, process, .. } = facts;
        self.text(HOST, device.name());
        self.text(HOST_DOMAIN, device.domain());
        self.text(HOST_ID, device.id);
        self.text(OS, device.os_platform);
        self.text(HOST_GROUP, device.group);
        self.more(HOSTS, facts.devices.as_slice(), 1);
        self.more(HOST_IDS, facts.device_ids.as_slice(), usize::from(!device.id.is_blank()));

        self.user(user);
        if facts.users.as_slice().len() > 1 {
            self.items(USERS, facts.users.as_slice(), |line, user| line.joined(&[user.0, user.1], "\\"));
        }
        let shown = [user.principal, user.sid, user.entra_id].iter().filter(|id| !id.is_blank()).count();
        self.more(USER_IDS, facts.user_ids.as_slice(), shown);
        self.items(LOGGED_ON, facts.logged_on.as_slice(), |line, user| line.joined(&[user.0, user.1], "\\"));

        self.file(file);
        if facts.files.as_slice().len() > 1 {
            self.items(FILES, facts.files.as_slice(), |line, (path, name)| {
                if (File { path: *path, name: *name, ..File::default() }).path_is_of_another() {
                    return line.item(*path);
                }
                let slash = if path.as_written().contains('/') { "/" } else { "\\" };
                line.joined(&[*path, *name], slash);
            });
        }
        let shown = [file.sha1, file.sha256, file.md5].iter().filter(|hash| !hash.is_blank()).count();
        self.more(HASHES, facts.hashes.as_slice(), shown);

        self.process(process);
        self.more(PROCESSES, facts.processes.as_slice(), 1);
        self.flag(EXECUTING, facts.was_executing);
        self.flag(REMEDIATED, facts.remediated);
        self.text(REMEDIATION, facts.remediation);

        let addresses = facts.addresses.as_slice();
        let connection = first_connection(alerts);
        let shown = self.addresses(&connection, addresses);
        self.more(ADDRESSES, addresses, shown);

        self.text(URL, facts.urls.as_slice().first().copied().unwrap_or_default());
        self.more(URLS, facts.urls.as_slice(), 1);
        self.text(RECIPIENT, facts.recipients.as_slice().first().copied().unwrap_or_default());
        self.more(RECIPIENTS, facts.recipients.as_slice(), 1);
        self.list(SENDERS, facts.senders.as_slice());
        self.list(MESSAGES, facts.messages.as_slice());
        self.items(REGISTRY, facts.registry.as_slice(), |line, registry| {
            line.joined(&[registry.hive, registry.key, registry.value_name, registry.value], "\\");
        });
        self.list(ENTITIES, facts.entities.as_slice());
        self.list(VERDICTS, facts.verdicts.as_slice());
        self.list(EVIDENCE_TYPES, facts.kinds.as_slice());
    }

    pub(super) fn user(&mut self, user: &User<'_>) {
        self.text(USER_DOMAIN, user.domain());
        self.text(USER, user.name());
        self.text(USER_PRINCIPAL, user.principal);
        self.text(USER_SID, user.sid);
        self.text(USER_ID, user.entra_id);
        if user.display_name != user.name() {
            self.text(USER_DISPLAY_NAME, user.display_name);
        }
    }

    pub(super) fn file(&mut self, file: &File<'_>) {
        self.text(FILE_NAME, file.name);
        self.text(FILE_PATH, file.path);
        if file.size.as_written().bytes().all(|byte| byte.is_ascii_digit()) {
            self.text(FILE_SIZE, file.size);
        }
        self.text(SHA1, file.sha1);
        self.text(SHA256, file.sha256);
        self.text(MD5, file.md5);
    }

    pub(super) fn process(&mut self, process: &Process<'_>) {
        self.text(PROCESS, process.image.name);
        self.text(PROCESS_ID, process.id);
        self.text(COMMAND_LINE, process.command_line);
        self.time_text(PROCESS_STARTED, process.created_at);
        self.text(PARENT, process.parent_image.name);
        self.text(PARENT_ID, process.parent_id);
        self.time_text(PARENT_STARTED, process.parent_created_at);
    }

    /// The addresses of the first connection, else the first ones, each in the field of its kind. Returns how many
    /// of `addresses` are shown.
    pub(super) fn addresses(&mut self, connection: &Connection<'_>, addresses: &[Text<'_>]) -> usize {
        let find = |fits: fn(&IpAddr) -> bool| {
            let is = |text: &Text<'_>| text.as_written().parse().is_ok_and(|address| fits(&address));
            if is(&connection.source_address) {
                return connection.source_address;
            }
            // The far end of a connection is no source. What stands around an address stays in the list of all.
            let near = |text: &Text<'_>| *text != connection.destination_address && is(text);
            addresses.iter().filter_map(|text| view::addresses(*text).next()).find(near).unwrap_or_default()
        };
        let (v4, v6) = (find(IpAddr::is_ipv4), find(IpAddr::is_ipv6));
        self.text(ADDRESS, v4);
        self.text(ADDRESS_V6, v6);
        let far = connection.destination_address;
        let far_address: Option<IpAddr> = far.as_written().parse().ok();
        if let Some(address) = far_address {
            self.text(if address.is_ipv4() { DESTINATION } else { DESTINATION_V6 }, far);
        }
        self.port(SOURCE_PORT, connection.source_port);
        self.port(DESTINATION_PORT, connection.destination_port);
        self.text(PROTOCOL, connection.protocol);
        let shown = [v4, v6, if far_address.is_some() { far } else { Text::default() }];
        addresses.iter().filter(|address| shown.contains(address)).count()
    }

    pub(super) fn connection(&mut self, connection: &Connection<'_>) {
        self.addresses(connection, &[]);
    }

    /// Receivers take a port for a number.
    pub(super) fn port(&mut self, slot: Slot, port: Text<'_>) {
        if port.as_written().parse::<u16>().is_ok() {
            self.text(slot, port);
        }
    }
}

/// The first network connection among the evidence.
fn first_connection<'a>(alerts: &[Alert<'a>]) -> Connection<'a> {
    alerts
        .iter()
        .flat_map(|alert| &alert.evidence)
        .find(|evidence| evidence.kind == EvidenceKind::NetworkConnection)
        .map(Evidence::connection)
        .unwrap_or_default()
}
