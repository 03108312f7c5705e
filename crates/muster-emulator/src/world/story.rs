//! What happens in an incident: families of alerts that belong together.
//!
//! All texts are our own; only names of enums, techniques and products are Microsoft's and MITRE's.

/// One kind of alert.
pub(crate) struct AlertKind {
    /// `{host}`, `{user}`, `{malware}` and `{file}` are filled in.
    pub(crate) title: &'static str,
    pub(crate) description: &'static str,
    pub(crate) service: &'static str,
    pub(crate) detection: &'static str,
    pub(crate) category: &'static str,
    pub(crate) techniques: &'static [&'static str],
    pub(crate) severity: &'static str,
    /// Tails of evidence types without the word `Evidence`, most telling first.
    pub(crate) evidence: &'static [&'static str],
    pub(crate) threat: bool,
}

/// One kind of incident.
pub(crate) struct Story {
    pub(crate) name: &'static str,
    pub(crate) weight: u64,
    pub(crate) alerts: &'static [AlertKind],
}

macro_rules! alert {
    ($service:literal $detection:literal $severity:literal $category:literal [$($technique:literal)*] $threat:literal
     $title:literal : $description:literal => [$($evidence:literal)*]) => {
        AlertKind {
            title: $title, description: $description, service: $service, detection: $detection,
            category: $category, techniques: &[$($technique),*], severity: $severity,
            evidence: &[$($evidence),*], threat: $threat,
        }
    };
}

pub(crate) const STORIES: &[Story] = &[
    Story {
        name: "Multi-stage incident involving execution and lateral movement on {host}",
        weight: 22,
        alerts: &[
            alert!("microsoftDefenderForEndpoint" "microsoftDefenderForEndpoint" "medium" "Execution" ["T1059.001" "T1027"] false
            "Suspicious PowerShell command line on {host}": "An encoded PowerShell command was started by an Office program. Attackers use such commands to fetch their next stage without leaving a file." => ["device" "process" "file" "user" "process"]),
            alert!("microsoftDefenderForEndpoint" "antivirus" "high" "Malware" ["T1204.002"] true
            "'{malware}' malware was prevented": "Antivirus stopped a file that is known to open a way in for other programs. The file came from the download folder of a user." => ["file" "malware" "device" "fileHash"]),
            alert!("microsoftDefenderForEndpoint" "microsoftDefenderForEndpoint" "high" "CredentialAccess" ["T1003.001" "T1555.004"] true
            "Process memory of LSASS was read on {host}": "A program that is not part of the system read the memory of the local security authority. Passwords and tickets of signed-in people may be known to the attacker." => ["device" "process" "user" "file"]),
            alert!("microsoftDefenderForEndpoint" "customTi" "medium" "CommandAndControl" ["T1071.001" "T1573"] false
            "Connection to a custom network indicator": "A computer spoke to an address that your own indicator list names. Nothing was blocked because the indicator only asks for an alert." => ["device" "networkConnection" "ip" "url" "process"]),
            alert!("microsoftDefenderForEndpoint" "microsoftDefenderForEndpoint" "medium" "Persistence" ["T1547.001" "T1112"] false
            "Anomaly detected in an autostart entry of the registry": "A program wrote itself to a registry key that starts it at sign-in." => ["device" "registryValue" "registryKey" "process" "file"]),
            alert!("microsoft365Defender" "automatedInvestigation" "informational" "SuspiciousActivity" [] false
            "Automated investigation started manually on one endpoint": "Somebody of the security team asked for an investigation of the device." => ["device" "file"]),
        ],
    },
    Story {
        name: "Hands-on-keyboard attack with ransomware on multiple endpoints",
        weight: 6,
        alerts: &[
            alert!("microsoftDefenderForEndpoint" "microsoftDefenderForEndpoint" "high" "Ransomware" ["T1486" "T1490"] true
            "Ransomware behavior detected: shadow copies deleted on {host}": "Shadow copies were deleted and many files were rewritten within a minute." => ["device" "process" "file" "user" "malware"]),
            alert!("microsoftDefenderForEndpoint" "microsoftThreatExperts" "high" "LateralMovement" ["T1021.002" "T1570"] true
            "Human-operated attack seen by threat experts": "A person works with stolen administrator rights and copies tools from one computer to the next." => ["device" "process" "hostLogonSession" "user" "ip"]),
            alert!("microsoftDefenderForEndpoint" "smartScreen" "low" "InitialAccess" ["T1566.002"] false
            "A user went on past a SmartScreen warning": "The browser warned of a page and the user opened it all the same." => ["device" "url" "user"]),
            alert!("microsoft365Defender" "microsoft365Defender" "high" "Exfiltration" ["T1567.002"] false
            "Large upload by {file} to cloud storage": "Several gigabytes left the network with a tool for synchronising files." => ["device" "networkConnection" "process" "dns"]),
        ],
    },
    Story {
        name: "Email messages with malicious links delivered to several users",
        weight: 18,
        alerts: &[
            alert!("microsoftDefenderForOffice365" "microsoftDefenderForOffice365" "informational" "InitialAccess" ["T1566" "T1566.002"] false
            "Email messages containing malicious URL removed after delivery": "A link turned out to be harmful after the mail had been delivered; the mails were taken out of the mailboxes." => ["analyzedMessage" "mailbox" "mailCluster" "url" "user"]),
            alert!("microsoftDefenderForOffice365" "microsoftDefenderForOffice365" "high" "InitialAccess" ["T1566.002"] false
            "A potentially malicious URL click was detected": "A person of your organisation opened a link that is now known as harmful." => ["user" "url" "analyzedMessage" "mailbox"]),
            alert!("microsoftDefenderForOffice365" "manual" "low" "InitialAccess" ["T1566"] false
            "Email reported by user as malware or phish": "A person reported a message with the button in Outlook." => ["submissionMail" "mailbox" "mailCluster"]),
            alert!("microsoftDefenderForOffice365" "microsoftDefenderForOffice365" "medium" "InitialAccess" ["T1566.003"] false
            "Suspicious message in Teams from outside": "A chat message of an unknown organisation asks for remote help." => ["teamsMessage" "user" "url" "file"]),
            alert!("microsoftDefenderForOffice365" "microsoftDefenderForOffice365" "medium" "Exfiltration" ["T1114.003"] false
            "Suspicious email forwarding rule of {user}": "A rule was made that sends every message to an address outside." => ["mailboxConfiguration" "mailbox" "user" "ip"]),
        ],
    },
    Story {
        name: "Identity attack against {user}",
        weight: 16,
        alerts: &[
            alert!("azureAdIdentityProtection" "azureAdIdentityProtection" "high" "InitialAccess" ["T1078.004"] false
            "Unfamiliar sign-in properties": "The sign-in has properties that were not seen before for this user." => ["user" "ip" "cloudLogonSession" "cloudLogonRequest"]),
            alert!("azureAdIdentityProtection" "azureAdIdentityProtection" "medium" "CredentialAccess" ["T1110.003"] false
            "Password spray involving one user": "One password was tried for many users from few addresses." => ["user" "ip" "cloudLogonRequest"]),
            alert!("microsoftDefenderForIdentity" "microsoftDefenderForIdentity" "medium" "Discovery" ["T1087.002" "T1069.002"] false
            "Reconnaissance of groups and users over SAMR": "A computer asked a domain controller for the members of privileged groups." => ["user" "device" "activeDirectoryDomain" "securityGroup"]),
            alert!("microsoftDefenderForIdentity" "microsoftDefenderForIdentity" "high" "CredentialAccess" ["T1003.006"] false
            "Suspected DCSync attack (replication of directory services)": "A computer that is no domain controller asked for the password hashes of the domain." => ["device" "user" "activeDirectoryDomain" "ip" "hostLogonSession"]),
            alert!("microsoftDefenderForIdentity" "microsoftDefenderForIdentity" "low" "Reconnaissance" ["T1590.002"] false
            "Network mapping by DNS": "Many names were asked of the DNS server in a short time." => ["device" "dns" "ip" "nic"]),
        ],
    },
    Story {
        name: "Unusual activity in cloud applications by {user}",
        weight: 12,
        alerts: &[
            alert!("microsoftDefenderForCloudApps" "cloudAppSecurity" "medium" "SuspiciousActivity" ["T1530"] false
            "Mass download by a single user": "{user} fetched far more files than in the last thirty days." => ["user" "cloudApplication" "ip" "cloudLogonSession"]),
            alert!("microsoftDefenderForCloudApps" "cloudAppSecurity" "high" "InitialAccess" ["T1078"] false
            "Impossible travel activity": "Two sign-ins came from places too far apart for the time between them." => ["user" "ip" "cloudApplication"]),
            alert!("microsoftAppGovernance" "appGovernancePolicy" "medium" "Persistence" ["T1098.003"] false
            "OAuth app with unusual rights was consented to": "An app of an unverified publisher may now read all mailboxes." => ["oauthApplication" "user" "servicePrincipal"]),
            alert!("microsoftAppGovernance" "appGovernanceDetection" "low" "Collection" ["T1114.002"] false
            "App reads an unusual amount of mail": "The number of mails an app reads rose sharply." => ["oauthApplication" "servicePrincipal" "mailbox"]),
            alert!("microsoftDefenderForCloudApps" "cloudAppSecurity" "medium" "Exfiltration" ["T1213.003"] false
            "Repository made public": "A private repository was made public outside office hours." => ["gitHubRepo" "gitHubUser" "gitHubOrganization" "ip"]),
        ],
    },
    Story {
        name: "DLP policy matched for files shared by {user}",
        weight: 8,
        alerts: &[
            alert!("dataLossPrevention" "microsoftDataLossPrevention" "medium" "Exfiltration" ["T1048"] false
            "DLP policy (Personal data) matched for a document": "A document with identity numbers was shared with people outside." => ["user" "file" "cloudApplication"]),
            alert!("dataLossPrevention" "microsoftDataLossPrevention" "low" "Exfiltration" ["T1048.003"] false
            "DLP policy (Payment cards) matched for an email": "A mail with card numbers was sent to an address outside." => ["analyzedMessage" "mailbox" "user"]),
            alert!("microsoftInsiderRiskManagement" "microsoftInsiderRiskManagement" "high" "Exfiltration" ["T1052.001"] false
            "Risky activity of a person about to leave": "Files were copied to removable media after a notice was given." => ["user" "device" "file"]),
        ],
    },
    Story {
        name: "Attack on cloud workloads",
        weight: 12,
        alerts: &[
            alert!("microsoftDefenderForCloud" "microsoftDefenderForStorage" "high" "Malware" ["T1608.001"] true
            "Malicious blob uploaded to a storage account": "A blob whose hash is known as harmful was uploaded with a shared access signature." => ["azureResource" "blob" "blobContainer" "sasToken" "ip" "fileHash"]),
            alert!("microsoftDefenderForCloud" "microsoftDefenderForContainers" "medium" "Execution" ["T1610" "T1609"] false
            "Privileged container detected in a cluster": "A container runs with all rights of its node." => ["kubernetesCluster" "kubernetesNamespace" "kubernetesPod" "container" "containerImage" "containerRegistry"]),
            alert!("microsoftDefenderForCloud" "microsoftDefenderForContainers" "high" "PrivilegeEscalation" ["T1078.004" "T1528"] false
            "Service account reads secrets of another namespace": "The audit log of the cluster shows reads that this account never did before." => ["kubernetesServiceAccount" "kubernetesSecret" "kubernetesController" "kubernetesService" "ip"]),
            alert!("microsoftDefenderForCloud" "microsoftDefenderForServers" "medium" "InitialAccess" ["T1110.001"] false
            "Failed brute force attack over SSH": "Many sign-ins were tried from one address; none went through." => ["azureResource" "ip" "device" "hostLogonSession"]),
            alert!("microsoftDefenderForCloud" "microsoftDefenderForResourceManager" "low" "Discovery" ["T1580"] false
            "Unusual enumeration across clouds": "One principal listed resources in three clouds within minutes." => ["amazonResource" "googleCloudResource" "azureResource" "servicePrincipal"]),
        ],
    },
    Story {
        name: "Analytics rule findings grouped by entity",
        weight: 8,
        alerts: &[
            alert!("microsoftSentinel" "scheduledAlerts" "medium" "Persistence" ["T1136.003"] false
            "Account added to a privileged group and removed within an hour": "A scheduled rule of your workspace matched." => ["user" "securityGroup" "activeDirectoryDomain"]),
            alert!("microsoftSentinel" "nrtAlerts" "high" "DefenseEvasion" ["T1562.008"] false
            "Diagnostic settings were switched off": "A near-real-time rule of your workspace matched." => ["azureResource" "user" "ip"]),
            alert!("microsoft365Defender" "customDetection" "low" "Discovery" ["T1046"] false
            "Custom detection: port scan inside the office network": "A custom detection of your team matched." => ["device" "networkConnection" "nic" "ip"]),
        ],
    },
    Story {
        name: "Suspicious behaviour around industrial devices and AI agents",
        weight: 5,
        alerts: &[
            alert!("microsoftDefenderForEndpoint" "microsoftDefenderForIoT" "medium" "Impact" ["T0836" "T0855"] false
            "Unauthorized programming of a controller": "A device that is not an engineering station changed the program of a controller." => ["ioTDevice" "nic" "ip" "networkConnection"]),
            alert!("microsoftSecurityForAI" "microsoftDefenderForAIServices" "low" "InitialAccess" ["T1059"] false
            "Attempt to talk an AI agent out of its instructions": "A prompt tried to make the agent show what it must not." => ["aiAgent" "user" "ip" "cloudApplication"]),
            alert!("microsoftThreatIntelligence" "microsoftThreatIntelligence" "high" "CommandAndControl" ["T1568.002"] true
            "Traffic to infrastructure of a tracked actor": "An address seen in your network belongs to an actor that is being tracked." => ["ip" "dns" "device" "url"]),
        ],
    },
];

/// Values of `serviceSource` and `detectionSource` that stand after `unknownFutureValue` in the schema.
pub(crate) fn is_hidden_source(value: &str) -> bool {
    matches!(
        value,
        "microsoftDefenderForCloud"
            | "microsoftSentinel"
            | "microsoftInsiderRiskManagement"
            | "microsoftThreatIntelligence"
            | "microsoftSecurityForAI"
            | "microsoftDefenderForIoT"
            | "microsoftDefenderForServers"
            | "microsoftDefenderForStorage"
            | "microsoftDefenderForContainers"
            | "microsoftDefenderForResourceManager"
            | "nrtAlerts"
            | "scheduledAlerts"
            | "microsoftDefenderForAIServices"
    )
}

/// The product's name as people read it.
pub(crate) fn product_name(service: &str) -> &'static str {
    match service {
        "microsoftDefenderForEndpoint" => "Microsoft Defender for Endpoint",
        "microsoftDefenderForIdentity" => "Microsoft Defender for Identity",
        "microsoftDefenderForCloudApps" => "Microsoft Defender for Cloud Apps",
        "microsoftDefenderForOffice365" => "Microsoft Defender for Office 365",
        "azureAdIdentityProtection" => "AAD Identity Protection",
        "microsoftAppGovernance" => "App Governance",
        "dataLossPrevention" => "Microsoft Data Loss Prevention",
        "microsoftDefenderForCloud" => "Microsoft Defender for Cloud",
        "microsoftSentinel" => "Microsoft Sentinel",
        "microsoftInsiderRiskManagement" => "Microsoft Purview Insider Risk Management",
        "microsoftThreatIntelligence" => "Microsoft Threat Intelligence",
        "microsoftSecurityForAI" => "Microsoft Security for AI",
        _ => "Microsoft 365 Defender",
    }
}

/// What ids of a product begin with, as seen in the portal.
pub(crate) fn id_prefix(service: &str) -> &'static str {
    match service {
        "microsoftDefenderForEndpoint" => "da",
        "microsoftDefenderForIdentity" => "aa",
        "microsoftDefenderForCloudApps" => "ca",
        "microsoftDefenderForOffice365" => "fa",
        "azureAdIdentityProtection" => "ad",
        "microsoftAppGovernance" => "ma",
        "dataLossPrevention" => "dl",
        "microsoftDefenderForCloud" => "dc",
        "microsoftSentinel" => "sn",
        _ => "ra",
    }
}

/// Advice as long as the portal's, put together from steps.
pub(crate) const ADVICE: &[&str] = &[
    "Collect what is known and find out how far it reaches\n\u{2022}\tLook through the timeline of the device for anything unusual before and after the alert\n\u{2022}\tNote who was signed in and from where",
    "Contain and repair\n\u{2022}\tIsolate the device if it still talks to the outside\n\u{2022}\tReset the password of the account and end its sessions\n\u{2022}\tBlock the file and the address for all devices",
    "Keep it from coming back\n\u{2022}\tClose the way that was used: patch, remove the right, or change the rule\n\u{2022}\tTell the person concerned what happened and what to look out for",
    "Contact your incident response team if more than one device is concerned, and keep the evidence before anything is wiped.",
];
