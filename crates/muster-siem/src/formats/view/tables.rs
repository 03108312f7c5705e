//! What Microsoft's enum values mean: one table each, for all formats. A value that stands in no table passes
//! through as it is written; nothing here refuses a record.

use muster_model::json::Value;
use muster_model::json::names::{Names, hash};

/// The types of evidence of `microsoft.graph.security`, v1.0, and what takes their place in other APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) enum EvidenceKind {
    ActiveDirectoryDomain,
    AiAgent,
    AmazonResource,
    AnalyzedMessage,
    AzureResource,
    BlobContainer,
    Blob,
    CloudApplication,
    CloudLogonRequest,
    CloudLogonSession,
    Container,
    ContainerImage,
    ContainerRegistry,
    Device,
    Dns,
    File,
    FileHash,
    GitHubOrganization,
    GitHubRepo,
    GitHubUser,
    GoogleCloudResource,
    HostLogonSession,
    IotDevice,
    Ip,
    KubernetesCluster,
    KubernetesController,
    KubernetesNamespace,
    KubernetesPod,
    KubernetesSecret,
    KubernetesServiceAccount,
    KubernetesService,
    MailCluster,
    MailboxConfiguration,
    Mailbox,
    Malware,
    NetworkConnection,
    Nic,
    OauthApplication,
    Process,
    RegistryKey,
    RegistryValue,
    SasToken,
    SecurityGroup,
    ServicePrincipal,
    SubmissionMail,
    TeamsMessage,
    Url,
    User,
    /// A type that Microsoft added later, or none.
    #[default]
    Unknown,
}

/// Each kind of evidence, the name of its Graph type, and the `entityType` of the older APIs (empty when they have
/// none).
const EVIDENCE_KINDS: [(EvidenceKind, &str, &str); 48] = [
    (EvidenceKind::ActiveDirectoryDomain, "activeDirectoryDomainEvidence", "ActiveDirectoryDomain"),
    (EvidenceKind::AiAgent, "aiAgentEvidence", "AiAgent"),
    (EvidenceKind::AmazonResource, "amazonResourceEvidence", "AmazonResource"),
    (EvidenceKind::AnalyzedMessage, "analyzedMessageEvidence", "MailMessage"),
    (EvidenceKind::AzureResource, "azureResourceEvidence", "AzureResource"),
    (EvidenceKind::BlobContainer, "blobContainerEvidence", "BlobContainer"),
    (EvidenceKind::Blob, "blobEvidence", "Blob"),
    (EvidenceKind::CloudApplication, "cloudApplicationEvidence", "CloudApplication"),
    (EvidenceKind::CloudLogonRequest, "cloudLogonRequestEvidence", "CloudLogonRequest"),
    (EvidenceKind::CloudLogonSession, "cloudLogonSessionEvidence", "CloudLogonSession"),
    (EvidenceKind::Container, "containerEvidence", "Container"),
    (EvidenceKind::ContainerImage, "containerImageEvidence", "ContainerImage"),
    (EvidenceKind::ContainerRegistry, "containerRegistryEvidence", "ContainerRegistry"),
    (EvidenceKind::Device, "deviceEvidence", "Machine"),
    (EvidenceKind::Dns, "dnsEvidence", "Dns"),
    (EvidenceKind::File, "fileEvidence", "File"),
    (EvidenceKind::FileHash, "fileHashEvidence", "FileHash"),
    (EvidenceKind::GitHubOrganization, "gitHubOrganizationEvidence", "GitHubOrganization"),
    (EvidenceKind::GitHubRepo, "gitHubRepoEvidence", "GitHubRepo"),
    (EvidenceKind::GitHubUser, "gitHubUserEvidence", "GitHubUser"),
    (EvidenceKind::GoogleCloudResource, "googleCloudResourceEvidence", "GoogleCloudResource"),
    (EvidenceKind::HostLogonSession, "hostLogonSessionEvidence", "HostLogonSession"),
    (EvidenceKind::IotDevice, "ioTDeviceEvidence", "IoTDevice"),
    (EvidenceKind::Ip, "ipEvidence", "Ip"),
    (EvidenceKind::KubernetesCluster, "kubernetesClusterEvidence", "KubernetesCluster"),
    (EvidenceKind::KubernetesController, "kubernetesControllerEvidence", "KubernetesController"),
    (EvidenceKind::KubernetesNamespace, "kubernetesNamespaceEvidence", "KubernetesNamespace"),
    (EvidenceKind::KubernetesPod, "kubernetesPodEvidence", "KubernetesPod"),
    (EvidenceKind::KubernetesSecret, "kubernetesSecretEvidence", "KubernetesSecret"),
    (EvidenceKind::KubernetesServiceAccount, "kubernetesServiceAccountEvidence", "KubernetesServiceAccount"),
    (EvidenceKind::KubernetesService, "kubernetesServiceEvidence", "KubernetesService"),
    (EvidenceKind::MailCluster, "mailClusterEvidence", "MailCluster"),
    (EvidenceKind::MailboxConfiguration, "mailboxConfigurationEvidence", "MailboxConfiguration"),
    (EvidenceKind::Mailbox, "mailboxEvidence", "MailBox"),
    (EvidenceKind::Malware, "malwareEvidence", "Malware"),
    (EvidenceKind::NetworkConnection, "networkConnectionEvidence", "NetworkConnection"),
    (EvidenceKind::Nic, "nicEvidence", "Nic"),
    (EvidenceKind::OauthApplication, "oauthApplicationEvidence", "OAuthApplication"),
    (EvidenceKind::Process, "processEvidence", "Process"),
    (EvidenceKind::RegistryKey, "registryKeyEvidence", "RegistryKey"),
    (EvidenceKind::RegistryValue, "registryValueEvidence", "RegistryValue"),
    (EvidenceKind::SasToken, "sasTokenEvidence", "SasToken"),
    (EvidenceKind::SecurityGroup, "securityGroupEvidence", "SecurityGroup"),
    (EvidenceKind::ServicePrincipal, "servicePrincipalEvidence", "ServicePrincipal"),
    (EvidenceKind::SubmissionMail, "submissionMailEvidence", "SubmissionMail"),
    (EvidenceKind::TeamsMessage, "teamsMessageEvidence", "TeamsMessage"),
    (EvidenceKind::Url, "urlEvidence", "Url"),
    (EvidenceKind::User, "userEvidence", "User"),
];

const GRAPH_NAMES: [&str; EVIDENCE_KINDS.len()] = {
    let mut names = [""; EVIDENCE_KINDS.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = EVIDENCE_KINDS[at].1;
        at += 1;
    }
    names
};
static GRAPH_KINDS: Names<128> = Names::of(&GRAPH_NAMES);

impl EvidenceKind {
    /// Every known kind.
    #[cfg(test)]
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        EVIDENCE_KINDS.iter().map(|(kind, _, _)| *kind)
    }

    /// The kind of a Graph type's name, such as `deviceEvidence`.
    pub(crate) fn of_graph(name: &str) -> Self {
        let found = GRAPH_KINDS.find(&GRAPH_NAMES, name, hash(name));
        found.and_then(|at| EVIDENCE_KINDS.get(at)).map_or(Self::Unknown, |(kind, _, _)| *kind)
    }

    /// The kind of an `entityType` of the Defender for Endpoint and XDR APIs, such as `MailBox`. Its case varies.
    pub(crate) fn of_entity(name: &str) -> Self {
        if name.eq_ignore_ascii_case("Registry") {
            return Self::RegistryValue;
        }
        EVIDENCE_KINDS
            .iter()
            .find(|(_, _, entity)| entity.eq_ignore_ascii_case(name))
            .map_or(Self::Unknown, |(kind, _, _)| *kind)
    }

    /// The name of its Graph type; empty for an unknown one.
    pub(crate) fn graph_name(self) -> &'static str {
        // The table has the order of the variants; the last of them is in none.
        GRAPH_NAMES.get(self as usize).copied().unwrap_or_default()
    }
}

/// The columns that only one hunting table has together: the answer to a query does not name the table. The first
/// that fits.
const TELLING_COLUMNS: [(&str, &[&str]); 20] = [
    ("AlertEvidence", &["AlertId", "EntityType"]),
    ("AlertInfo", &["AlertId", "DetectionSource"]),
    ("BehaviorEntities", &["BehaviorId", "EntityType"]),
    ("BehaviorInfo", &["BehaviorId", "ActionType"]),
    ("DeviceNetworkInfo", &["IPAddresses", "MacAddress"]),
    ("DeviceInfo", &["DeviceId", "OnboardingStatus"]),
    ("DeviceFileCertificateInfo", &["IsSigned", "Signer"]),
    ("UrlClickEvents", &["IsClickedThrough", "Workload"]),
    ("EmailPostDeliveryEvents", &["NetworkMessageId", "ActionTrigger"]),
    ("EmailUrlInfo", &["NetworkMessageId", "UrlLocation"]),
    ("EmailAttachmentInfo", &["NetworkMessageId", "FileType"]),
    ("EmailEvents", &["NetworkMessageId", "EmailDirection"]),
    ("IdentityInfo", &["AccountUpn", "IsAccountEnabled"]),
    ("IdentityQueryEvents", &["QueryType", "ActionType"]),
    ("IdentityLogonEvents", &["LogonType", "TargetDeviceName"]),
    ("IdentityDirectoryEvents", &["TargetAccountUpn", "ActionType"]),
    ("AADSignInEventsBeta", &["ErrorCode", "CorrelationId"]),
    ("CloudAuditEvents", &["AuditSource", "ActionType"]),
    ("CloudProcessEvents", &["ContainerName", "ProcessName"]),
    ("CloudAppEvents", &["ApplicationId", "RawEventData"]),
];

/// What the actions of a device's table begin or end with.
const TELLING_ACTIONS: [(&str, &str); 14] = [
    ("ProcessCreated", "DeviceProcessEvents"),
    ("ImageLoaded", "DeviceImageLoadEvents"),
    ("Registry", "DeviceRegistryEvents"),
    ("FileCreated", "DeviceFileEvents"),
    ("FileModified", "DeviceFileEvents"),
    ("FileDeleted", "DeviceFileEvents"),
    ("FileRenamed", "DeviceFileEvents"),
    ("Logon", "DeviceLogonEvents"),
    ("Connection", "DeviceNetworkEvents"),
    ("InboundConnection", "DeviceNetworkEvents"),
    ("InboundInternetScan", "DeviceNetworkEvents"),
    ("ListeningConnection", "DeviceNetworkEvents"),
    ("NetworkSignature", "DeviceNetworkEvents"),
    ("", "DeviceEvents"),
];

/// The hunting table that a row with these columns comes from; empty when its columns are of the query's own making.
pub(crate) fn hunting_table(row: Value<'_>) -> &'static str {
    let has = |column: &str| row.get(column).kind().is_some();
    let telling = TELLING_COLUMNS.iter().find(|(_, columns)| columns.iter().all(|column| has(column)));
    if let Some((table, _)) = telling {
        return table;
    }
    let action = row.text_of("ActionType").as_written();
    if !has("DeviceId") || !has("InitiatingProcessFileName") || action.is_empty() {
        return "";
    }
    if action.ends_with("ConnectionInspected") {
        return "DeviceNetworkEvents";
    }
    TELLING_ACTIONS.iter().find(|(start, _)| action.starts_with(start)).map_or("", |(_, table)| table)
}

/// Whether two enum values are the same word: the APIs write `inProgress` and `InProgress`.
pub(crate) fn same(value: &str, word: &str) -> bool {
    value.eq_ignore_ascii_case(word)
}

/// Which way a connection goes, as its device sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Inbound,
    Outbound,
    Unknown,
}

impl Direction {
    /// The direction that a network row names: an inspected connection says it itself (`AdditionalFields.direction`),
    /// else the action does.
    pub(crate) fn of(action: &str, said: &str) -> Self {
        const BY_ACTION: [(&str, Direction); 7] = [
            ("FirewallInbound", Direction::Inbound),
            ("FirewallOutbound", Direction::Outbound),
            ("Inbound", Direction::Inbound),
            ("ConnectionSuccess", Direction::Outbound),
            ("ConnectionFailed", Direction::Outbound),
            ("ConnectionRequest", Direction::Outbound),
            ("ConnectionAttempt", Direction::Outbound),
        ];
        match said {
            word if same(word, "In") => Self::Inbound,
            word if same(word, "Out") => Self::Outbound,
            _ => BY_ACTION
                .iter()
                .find(|(start, _)| action.starts_with(start))
                .map_or(Self::Unknown, |(_, direction)| *direction),
        }
    }
}

/// Yes or no, as the APIs, tables and exports write it.
pub(crate) fn flag(value: &str) -> Option<bool> {
    match value {
        "true" | "True" | "1" => Some(true),
        "false" | "False" | "0" => Some(false),
        _ => None,
    }
}

/// What Microsoft writes where nothing is known.
pub(crate) fn says_nothing(value: &str) -> bool {
    ["", "unknown", "unknownFutureValue", "notAvailable", "none", "unspecified"]
        .iter()
        .any(|word| same(value, word))
}

/// MITRE ATT&CK tactics: the id, the name, and the alert categories of Microsoft that are that tactic.
const TACTICS: [(&str, &str, &[&str]); 14] = [
    ("TA0043", "Reconnaissance", &["Reconnaissance"]),
    ("TA0042", "Resource Development", &["ResourceDevelopment"]),
    ("TA0001", "Initial Access", &["InitialAccess"]),
    ("TA0002", "Execution", &["Execution"]),
    ("TA0003", "Persistence", &["Persistence"]),
    ("TA0004", "Privilege Escalation", &["PrivilegeEscalation"]),
    ("TA0005", "Defense Evasion", &["DefenseEvasion"]),
    ("TA0006", "Credential Access", &["CredentialAccess"]),
    ("TA0007", "Discovery", &["Discovery"]),
    ("TA0008", "Lateral Movement", &["LateralMovement"]),
    ("TA0009", "Collection", &["Collection"]),
    ("TA0011", "Command and Control", &["CommandAndControl"]),
    ("TA0010", "Exfiltration", &["Exfiltration"]),
    ("TA0040", "Impact", &["Impact"]),
];

/// A MITRE ATT&CK tactic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tactic {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
}

/// The tactic that an alert's category names, with or without blanks between the words; most do, `Malware` and the
/// like do not.
pub(crate) fn tactic(category: &str) -> Option<Tactic> {
    let letters = |text: &str| -> usize { text.bytes().filter(u8::is_ascii_alphabetic).count() };
    let equal = |category: &str, word: &str| {
        let mut left = category.bytes().filter(|byte| !byte.is_ascii_whitespace());
        let mut right = word.bytes();
        letters(category) == word.len()
            && right.by_ref().all(|byte| left.next().is_some_and(|other| other.eq_ignore_ascii_case(&byte)))
            && left.next().is_none()
    };
    TACTICS
        .iter()
        .find(|(_, _, words)| words.iter().any(|word| equal(category, word)))
        .map(|(id, name, _)| Tactic { id, name })
}

/// The product that a `serviceSource` names, in its newer (Graph) and older (XDR) spelling.
const PRODUCTS: [(&str, &str); 22] = [
    ("microsoftDefenderForEndpoint", "Microsoft Defender for Endpoint"),
    ("MicrosoftDefenderATP", "Microsoft Defender for Endpoint"),
    ("WindowsDefenderAtp", "Microsoft Defender for Endpoint"),
    ("microsoftDefenderForIdentity", "Microsoft Defender for Identity"),
    ("AzureATP", "Microsoft Defender for Identity"),
    ("microsoftDefenderForCloudApps", "Microsoft Defender for Cloud Apps"),
    ("MicrosoftCloudAppSecurity", "Microsoft Defender for Cloud Apps"),
    ("MCAS", "Microsoft Defender for Cloud Apps"),
    ("microsoftDefenderForOffice365", "Microsoft Defender for Office 365"),
    ("OfficeATP", "Microsoft Defender for Office 365"),
    ("microsoft365Defender", "Microsoft Defender XDR"),
    ("MTP", "Microsoft Defender XDR"),
    ("azureAdIdentityProtection", "Microsoft Entra ID Protection"),
    ("AADIdentityProtection", "Microsoft Entra ID Protection"),
    ("AAD", "Microsoft Entra ID Protection"),
    ("microsoftAppGovernance", "Microsoft App Governance"),
    ("dataLossPrevention", "Microsoft Data Loss Prevention"),
    ("microsoftDefenderForCloud", "Microsoft Defender for Cloud"),
    ("microsoftSentinel", "Microsoft Sentinel"),
    ("microsoftInsiderRiskManagement", "Microsoft Purview Insider Risk Management"),
    ("microsoftThreatIntelligence", "Microsoft Threat Intelligence"),
    ("microsoftSecurityForAI", "Microsoft Security for AI"),
];

/// The product that a service source names, if it is known.
pub(crate) fn product(service_source: &str) -> Option<&'static str> {
    PRODUCTS.iter().find(|(name, _)| same(service_source, name)).map(|(_, product)| *product)
}

#[cfg(test)]
mod tests {
    use super::{EvidenceKind, product, tactic};

    #[test]
    fn each_kind_of_evidence_is_named_once() {
        for kind in EvidenceKind::all() {
            assert_eq!(EvidenceKind::of_graph(kind.graph_name()), kind);
        }
        assert_eq!(EvidenceKind::all().count(), 48);
        assert_eq!(EvidenceKind::of_graph("quantumEvidence"), EvidenceKind::Unknown);
        assert_eq!(EvidenceKind::of_entity("Mailbox"), EvidenceKind::Mailbox);
        assert_eq!(EvidenceKind::of_entity("Registry"), EvidenceKind::RegistryValue);
        assert_eq!(EvidenceKind::of_entity(""), EvidenceKind::Unknown);
    }

    #[test]
    fn categories_are_tactics_however_they_are_spaced() {
        assert_eq!(tactic("CommandAndControl").expect("a tactic").id, "TA0011");
        assert_eq!(tactic("Command and control").expect("a tactic").id, "TA0011");
        assert_eq!(tactic("Initial access").expect("a tactic").name, "Initial Access");
        assert_eq!(tactic("Malware"), None);
        assert_eq!(tactic(""), None);
    }

    #[test]
    fn words_of_older_answers_are_known() {
        assert_eq!(product("MicrosoftDefenderATP"), product("microsoftDefenderForEndpoint"));
        assert_eq!(product("somethingNew"), None);
    }
}
