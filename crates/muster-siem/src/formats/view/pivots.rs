//! What analysts pivot on in a piece of evidence, and the evidence inside it.

use muster_model::json::names::Names;
use muster_model::json::{Kind, Text, Value};

use super::evidence::{Dialect, Evidence};
use super::mail::{bare_address, bare_url};
use super::tables::EvidenceKind;

/// How deep evidence inside evidence is followed. Microsoft's schema goes to five (service, namespace, cluster, …).
const EVIDENCE_DEPTH_MAX: usize = 8;

/// What a text in a piece of evidence is good for, besides what the typed accessors give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pivot {
    /// An IP address.
    Address,
    Url,
    /// A hash of a file, without its name.
    Hash,
    /// A mail address that something was sent to, or a mailbox.
    Recipient,
    /// A mail address that something came from, or that submitted it.
    Sender,
    /// An id or subject of a message.
    Message,
    /// A name or id of anything else: cloud resource, application, container, group, session.
    Entity,
}

impl<'a> Evidence<'a> {
    /// Calls `visit` with each text that analysts pivot on and that the typed accessors above do not give, in the
    /// order in which they stand. Texts of evidence inside this evidence are that evidence's.
    pub(crate) fn pivots(&self, visit: &mut impl FnMut(Pivot, Text<'a>)) {
        let fields = self.fields;
        let mut found = |pivot, text: Text<'a>| {
            let text = match pivot {
                Pivot::Recipient | Pivot::Sender => bare_address(text),
                Pivot::Url => bare_url(text),
                _ => text,
            };
            if !text.is_blank() {
                visit(pivot, text);
            }
        };
        match self.dialect {
            Dialect::Graph | Dialect::Entity => {
                for (key, value) in fields.fields() {
                    match key {
                        "p1Sender" | "p2Sender" => found(Pivot::Sender, value.text_of("emailAddress")),
                        "fileHashes" => {
                            value.items().for_each(|hash| found(Pivot::Hash, hash.text_of("value")));
                        }
                        "value" if self.kind == EvidenceKind::FileHash => found(Pivot::Hash, value.text()),
                        "deviceId" if self.dialect == Dialect::Entity => {}
                        // There it is the account's.
                        "domainName" if self.dialect == Dialect::Entity && self.has_account() => {}
                        _ => {
                            if let Some(Meaning { pivot, .. }) = meaning(value) {
                                value.items().for_each(|item| found(*pivot, item.text()));
                            }
                        }
                    }
                }
            }
            Dialect::Siem => match self.kind {
                EvidenceKind::Device => {
                    for key in ["InternalIPv4List", "InternalIPv6List"] {
                        for address in fields.text_of(key).split(&[',', ';']) {
                            found(Pivot::Address, address);
                        }
                    }
                }
                EvidenceKind::Ip => found(Pivot::Address, fields.text_of("IpAddress")),
                EvidenceKind::Url => found(Pivot::Url, fields.text_of("Url")),
                EvidenceKind::File => found(Pivot::Hash, fields.text_of("FileHash")),
                _ => {}
            },
            Dialect::XdrDevice | Dialect::EndpointAlert => {}
        }
    }

    fn has_account(&self) -> bool {
        !self.fields.text_of("accountName").is_blank()
    }

    /// The evidence inside this evidence.
    pub(crate) fn inner(&self) -> Vec<Self> {
        if self.dialect != Dialect::Graph {
            return Vec::new();
        }
        let mut inner = Vec::new();
        for (_, value) in self.fields.fields() {
            if matches!(value.kind(), Some(Kind::Array | Kind::Object))
                && let Some(Meaning { inside, .. }) = meaning(value)
            {
                for item in value.items().filter(|item| item.is_object()) {
                    let mut evidence = Self::graph(item);
                    if evidence.kind == EvidenceKind::Unknown && !item.get("@odata.type").is_present() {
                        // OData leaves the type out where the schema says it.
                        evidence.kind = *inside;
                    }
                    inner.push(evidence);
                }
            }
        }
        inner
    }

    /// Calls `visit` with this evidence and all inside it, outermost first.
    pub(crate) fn walk(&self, visit: &mut impl FnMut(&Self)) {
        self.walk_from(1, visit);
    }

    fn walk_from(&self, depth: usize, visit: &mut impl FnMut(&Self)) {
        visit(self);
        if depth < EVIDENCE_DEPTH_MAX {
            for inner in self.inner() {
                inner.walk_from(depth + 1, visit);
            }
        }
    }
}

/// What a property of Graph evidence means, and what kind of evidence an object in it is when nothing else says so.
#[derive(Debug, Clone, Copy)]
struct Meaning {
    key: &'static str,
    pivot: Pivot,
    inside: EvidenceKind,
}

/// The properties that analysts pivot on, by name: `alertEvidence` types share names only where they mean the same.
static MEANINGS: [Meaning; 120] = [
    Meaning { key: "account", pivot: Pivot::Entity, inside: EvidenceKind::User },
    Meaning { key: "activeDirectoryDomainName", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "activeDirectoryObjectGuid", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "agentId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "agentName", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "allowedIpAddresses", pivot: Pivot::Address, inside: EvidenceKind::Unknown },
    Meaning { key: "amazonAccountId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "amazonResourceId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "appId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "appOwnerTenantId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "args", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "baseUrl", pivot: Pivot::Url, inside: EvidenceKind::Unknown },
    Meaning { key: "blobContainer", pivot: Pivot::Entity, inside: EvidenceKind::BlobContainer },
    Meaning { key: "campaignId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "channelId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "cloudResource", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "cluster", pivot: Pivot::Entity, inside: EvidenceKind::KubernetesCluster },
    Meaning { key: "clusterByValue", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "clusterIP", pivot: Pivot::Address, inside: EvidenceKind::Ip },
    Meaning { key: "command", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "company", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "configurationId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "containerId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "containers", pivot: Pivot::Entity, inside: EvidenceKind::Container },
    Meaning { key: "controller", pivot: Pivot::Entity, inside: EvidenceKind::KubernetesController },
    Meaning { key: "destinationAddress", pivot: Pivot::Address, inside: EvidenceKind::Ip },
    Meaning { key: "deviceId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "devicePageLink", pivot: Pivot::Url, inside: EvidenceKind::Unknown },
    Meaning { key: "digestImage", pivot: Pivot::Entity, inside: EvidenceKind::ContainerImage },
    Meaning { key: "displayName", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "distinguishedName", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "dnsServerIp", pivot: Pivot::Address, inside: EvidenceKind::Ip },
    Meaning { key: "domainName", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "email", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "ephemeralContainers", pivot: Pivot::Entity, inside: EvidenceKind::Container },
    Meaning { key: "externalDirectoryObjectId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "externalIPs", pivot: Pivot::Address, inside: EvidenceKind::Ip },
    Meaning { key: "files", pivot: Pivot::Entity, inside: EvidenceKind::File },
    Meaning { key: "friendlyName", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "fullResourceName", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "groupId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "host", pivot: Pivot::Entity, inside: EvidenceKind::Device },
    Meaning { key: "hostIpAddress", pivot: Pivot::Address, inside: EvidenceKind::Ip },
    Meaning { key: "image", pivot: Pivot::Entity, inside: EvidenceKind::ContainerImage },
    Meaning { key: "imageId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "initContainers", pivot: Pivot::Entity, inside: EvidenceKind::Container },
    Meaning { key: "instanceId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "instanceName", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "internetMessageId", pivot: Pivot::Message, inside: EvidenceKind::Unknown },
    Meaning { key: "ioTHub", pivot: Pivot::Entity, inside: EvidenceKind::AzureResource },
    Meaning { key: "ioTSecurityAgentId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "ipAddress", pivot: Pivot::Address, inside: EvidenceKind::Ip },
    Meaning { key: "ipAddresses", pivot: Pivot::Address, inside: EvidenceKind::Ip },
    Meaning { key: "ipInterfaces", pivot: Pivot::Address, inside: EvidenceKind::Unknown },
    Meaning { key: "lastExternalIpAddress", pivot: Pivot::Address, inside: EvidenceKind::Unknown },
    Meaning { key: "lastIpAddress", pivot: Pivot::Address, inside: EvidenceKind::Unknown },
    Meaning { key: "login", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "macAddress", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "mailboxAddress", pivot: Pivot::Recipient, inside: EvidenceKind::Unknown },
    Meaning { key: "mailboxPrimaryAddress", pivot: Pivot::Recipient, inside: EvidenceKind::Unknown },
    Meaning { key: "messageId", pivot: Pivot::Message, inside: EvidenceKind::Unknown },
    Meaning { key: "name", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "namespace", pivot: Pivot::Entity, inside: EvidenceKind::KubernetesNamespace },
    Meaning { key: "networkMessageId", pivot: Pivot::Message, inside: EvidenceKind::Unknown },
    Meaning { key: "networkMessageIds", pivot: Pivot::Message, inside: EvidenceKind::Unknown },
    Meaning { key: "nics", pivot: Pivot::Entity, inside: EvidenceKind::Nic },
    Meaning { key: "objectId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "orgId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "owner", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "owners", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "owningTenantId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "parentMessageId", pivot: Pivot::Message, inside: EvidenceKind::Unknown },
    Meaning { key: "pod", pivot: Pivot::Entity, inside: EvidenceKind::KubernetesPod },
    Meaning { key: "podIp", pivot: Pivot::Address, inside: EvidenceKind::Ip },
    Meaning { key: "primaryAddress", pivot: Pivot::Recipient, inside: EvidenceKind::Unknown },
    Meaning { key: "processes", pivot: Pivot::Entity, inside: EvidenceKind::Process },
    Meaning { key: "projectId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "projectNumber", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "publisher", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "query", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "recipient", pivot: Pivot::Recipient, inside: EvidenceKind::Unknown },
    Meaning { key: "recipientEmailAddress", pivot: Pivot::Recipient, inside: EvidenceKind::Unknown },
    Meaning { key: "recipients", pivot: Pivot::Recipient, inside: EvidenceKind::Unknown },
    Meaning { key: "registry", pivot: Pivot::Entity, inside: EvidenceKind::ContainerRegistry },
    Meaning { key: "repoId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "requestId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "resourceId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "resourceName", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "saasAppId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "securityGroupId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "securityGroupName", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "sender", pivot: Pivot::Sender, inside: EvidenceKind::Unknown },
    Meaning { key: "senderFromAddress", pivot: Pivot::Sender, inside: EvidenceKind::Unknown },
    Meaning { key: "senderIP", pivot: Pivot::Address, inside: EvidenceKind::Unknown },
    Meaning { key: "senderIp", pivot: Pivot::Address, inside: EvidenceKind::Unknown },
    Meaning { key: "serialNumber", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "serviceAccount", pivot: Pivot::Entity, inside: EvidenceKind::KubernetesServiceAccount },
    Meaning { key: "servicePrincipalName", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "servicePrincipalObjectId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "sessionId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "sid", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "signatureHash", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "sourceAddress", pivot: Pivot::Address, inside: EvidenceKind::Ip },
    Meaning { key: "sourceId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "sourceRef", pivot: Pivot::Url, inside: EvidenceKind::Url },
    Meaning { key: "storageResource", pivot: Pivot::Entity, inside: EvidenceKind::AzureResource },
    Meaning { key: "subject", pivot: Pivot::Message, inside: EvidenceKind::Unknown },
    Meaning { key: "submissionId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "submitter", pivot: Pivot::Sender, inside: EvidenceKind::Unknown },
    Meaning { key: "suspiciousRecipients", pivot: Pivot::Recipient, inside: EvidenceKind::Unknown },
    Meaning { key: "threadId", pivot: Pivot::Message, inside: EvidenceKind::Unknown },
    Meaning { key: "trustedDomains", pivot: Pivot::Entity, inside: EvidenceKind::ActiveDirectoryDomain },
    Meaning { key: "upn", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "url", pivot: Pivot::Url, inside: EvidenceKind::Url },
    Meaning { key: "urls", pivot: Pivot::Url, inside: EvidenceKind::Url },
    Meaning { key: "urn", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "userAgent", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "userId", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "value", pivot: Pivot::Entity, inside: EvidenceKind::Unknown },
    Meaning { key: "webUrl", pivot: Pivot::Url, inside: EvidenceKind::Unknown },
];

const MEANING_NAMES: [&str; MEANINGS.len()] = {
    let mut names = [""; MEANINGS.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = MEANINGS[at].key;
        at += 1;
    }
    names
};
static MEANINGS_BY_NAME: Names<512> = Names::of(&MEANING_NAMES);

/// The meaning of a field of evidence, if it is one to pivot on.
fn meaning(field: Value<'_>) -> Option<&'static Meaning> {
    MEANINGS.get(MEANINGS_BY_NAME.find(&MEANING_NAMES, field.key(), field.key_hash())?)
}

#[cfg(test)]
mod tests {
    use super::MEANINGS;

    #[test]
    fn each_property_stands_once_and_in_order() {
        assert!(MEANINGS.is_sorted_by(|one, next| one.key < next.key));
    }
}
