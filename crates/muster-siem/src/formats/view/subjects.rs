//! What a piece of evidence is, or whose: asked of its dialect.

use super::evidence::{Dialect, Evidence};
use super::mail::bare_address;
use super::tables::EvidenceKind;
use super::things::{Connection, Device, File, Message, Process, Registry, User};
use super::{endpoint, entity, graph, siem, xdr};

impl<'a> Evidence<'a> {
    /// The computer it is, or on which it was found (of which most often only the id is known).
    pub(crate) fn device(&self) -> Device<'a> {
        let fields = self.fields;
        match (self.dialect, self.kind) {
            (Dialect::Graph, kind) => graph::device(kind, fields),
            (Dialect::Entity, _) => Device { id: fields.text_of("deviceId"), ..Device::default() },
            (Dialect::XdrDevice, _) => xdr::device(fields),
            (Dialect::EndpointAlert, EvidenceKind::Device) => endpoint::device(fields),
            (Dialect::Siem, EvidenceKind::Device) => siem::device(fields),
            (Dialect::EndpointAlert | Dialect::Siem, _) => Device::default(),
        }
    }

    /// The account it is, or whose it is.
    pub(crate) fn user(&self) -> User<'a> {
        match (self.dialect, self.kind) {
            (Dialect::Graph, _) => User::graph(self.fields.get("userAccount")),
            (Dialect::Entity, _) => entity::user(self.fields),
            (Dialect::EndpointAlert, EvidenceKind::User) => endpoint::user(self.fields),
            (Dialect::Siem, EvidenceKind::User) => siem::user(self.fields),
            (Dialect::EndpointAlert | Dialect::Siem | Dialect::XdrDevice, _) => User::default(),
        }
    }

    /// The people who were logged on to a device.
    pub(crate) fn logged_on(&self) -> Vec<User<'a>> {
        match (self.dialect, self.kind) {
            (Dialect::Graph, EvidenceKind::Device | EvidenceKind::Unknown)
            | (Dialect::EndpointAlert, EvidenceKind::Device)
            | (Dialect::XdrDevice, _) => self.fields.get("loggedOnUsers").items().map(User::graph).collect(),
            (Dialect::Siem, EvidenceKind::Device) => siem::logged_on(self.fields),
            _ => Vec::new(),
        }
    }

    /// The file it is.
    pub(crate) fn file(&self) -> File<'a> {
        match (self.dialect, self.kind) {
            (Dialect::Graph, EvidenceKind::File | EvidenceKind::Unknown) => {
                File::graph(self.fields.get("fileDetails"))
            }
            (Dialect::Entity, EvidenceKind::Process) => File::default(),
            (Dialect::Entity, _) => entity::file(self.fields),
            (Dialect::Siem, EvidenceKind::File) => siem::file(self.fields),
            _ => File::default(),
        }
    }

    /// The process it is.
    pub(crate) fn process(&self) -> Process<'a> {
        match (self.dialect, self.kind) {
            (Dialect::Graph, EvidenceKind::Process | EvidenceKind::Unknown) => graph::process(self.fields),
            (Dialect::Entity, kind) => entity::process(kind, self.fields),
            (Dialect::Siem, EvidenceKind::Process) => {
                Process { command_line: self.fields.text_of("CommandLine"), ..Process::default() }
            }
            _ => Process::default(),
        }
    }

    /// The registry key or value it is.
    pub(crate) fn registry(&self) -> Registry<'a> {
        match (self.dialect, self.kind) {
            (
                Dialect::Graph | Dialect::Entity,
                EvidenceKind::RegistryKey | EvidenceKind::RegistryValue | EvidenceKind::Unknown,
            ) => Registry {
                hive: self.fields.text_of("registryHive"),
                key: self.fields.text_of("registryKey"),
                value_name: self.fields.text_of("registryValueName"),
                value: self.fields.text_of("registryValue"),
                value_type: self.fields.text_of("registryValueType"),
            },
            _ => Registry::default(),
        }
    }

    /// The connection it is.
    pub(crate) fn connection(&self) -> Connection<'a> {
        if self.dialect != Dialect::Graph || self.kind != EvidenceKind::NetworkConnection {
            return Connection::default();
        }
        Connection {
            source_address: self.fields.get("sourceAddress").text_of("ipAddress"),
            source_port: self.fields.text_of("sourcePort"),
            destination_address: self.fields.get("destinationAddress").text_of("ipAddress"),
            destination_port: self.fields.text_of("destinationPort"),
            protocol: self.fields.text_of("protocol"),
        }
    }

    /// The message it is: mail, a mail submitted by a user, a Teams message, a cluster of mails.
    pub(crate) fn message(&self) -> Message<'a> {
        let fields = self.fields;
        let text = |key| fields.text_of(key);
        match self.kind {
            EvidenceKind::AnalyzedMessage
            | EvidenceKind::SubmissionMail
            | EvidenceKind::TeamsMessage
            | EvidenceKind::MailCluster => {
                let (envelope, header) = (fields.get("p1Sender"), fields.get("p2Sender"));
                let mut recipients = fields.texts_of("recipientEmailAddress");
                recipients.extend(fields.texts_of("recipient"));
                recipients.extend(fields.texts_of("recipients"));
                let mut network_ids = fields.texts_of("networkMessageId");
                network_ids.extend(fields.texts_of("networkMessageIds"));
                recipients.iter_mut().for_each(|address| *address = bare_address(*address));
                Message {
                    network_ids,
                    internet_id: fields.first_text(&["internetMessageId", "messageId"]),
                    subject: text("subject"),
                    sender: bare_address(
                        header
                            .text_of("emailAddress")
                            .or(fields.first_text(&["sender", "senderFromAddress"]))
                            .or(envelope.text_of("emailAddress")),
                    ),
                    envelope_sender: bare_address(envelope.text_of("emailAddress")),
                    sender_address: fields.first_text(&["senderIp", "senderIP"]),
                    recipients,
                    received_at: fields.first_text(&["receivedDateTime", "submissionDateTime"]),
                    direction: fields.first_text(&["antiSpamDirection", "messageDirection"]),
                }
            }
            _ => Message::default(),
        }
    }
}
