//! The hosts of Microsoft's clouds. No other file names a Microsoft host.
//!
//! Source: Microsoft Graph "National cloud deployments". App registrations, tokens and consent do not cross clouds.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// A national cloud of Microsoft.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NationalCloud {
    /// Worldwide, and GCC.
    #[default]
    Global,
    /// US Government L4 (GCC High).
    GccHigh,
    /// US Government L5 (DoD).
    Dod,
    /// China, operated by 21Vianet.
    China,
}

impl NationalCloud {
    const ALL: [Self; 4] = [Self::Global, Self::GccHigh, Self::Dod, Self::China];

    /// The word in the settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::GccHigh => "gcc_high",
            Self::Dod => "dod",
            Self::China => "china",
        }
    }

    /// The identity platform and Microsoft Graph of this cloud.
    fn hosts(self) -> (&'static str, &'static str) {
        match self {
            Self::Global => ("https://login.microsoftonline.com", "https://graph.microsoft.com"),
            Self::GccHigh => ("https://login.microsoftonline.us", "https://graph.microsoft.us"),
            Self::Dod => ("https://login.microsoftonline.us", "https://dod-graph.microsoft.us"),
            Self::China => {
                ("https://login.partner.microsoftonline.cn", "https://microsoftgraph.chinacloudapi.cn")
            }
        }
    }

    /// Azure Key Vault's resource; a vault's host is a name in front of it. Source: Azure "Key Vault DNS suffixes".
    fn key_vault(self) -> &'static str {
        match self {
            Self::Global => "https://vault.azure.net",
            Self::GccHigh | Self::Dod => "https://vault.usgovcloudapi.net",
            Self::China => "https://vault.azure.cn",
        }
    }

    /// Whether Graph's security alerts and incidents exist in this cloud. In China's they do not.
    #[must_use]
    pub fn has_graph_security(self) -> bool {
        self != Self::China
    }
}

impl fmt::Display for NationalCloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for NationalCloud {
    type Err = CloudError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|cloud| cloud.as_str() == value)
            .ok_or_else(|| CloudError::Unknown(value.to_owned()))
    }
}

/// What is wrong with a cloud in the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloudError {
    /// Not the name of one.
    #[error("`{0}` is not a cloud: use global, gcc_high, dod, china or custom")]
    Unknown(String),
    /// An address that cannot be used.
    #[error("`{0}` cannot be used as an address: {1}")]
    Address(String, &'static str),
}

/// Where the identity platform and the APIs are, and what their tokens are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cloud {
    login: Url,
    graph: Url,
    /// The audience that Graph's tokens are asked for. It names the API, not the address it is reached at.
    graph_resource: String,
    key_vault_resource: &'static str,
    /// Not one of Microsoft's own.
    custom: bool,
}

impl Cloud {
    /// One of Microsoft's clouds.
    ///
    /// # Panics
    /// Never: the built-in addresses are URLs.
    #[must_use]
    pub fn national(cloud: NationalCloud) -> Self {
        let (login, graph) = cloud.hosts();
        let url = |text: &str| Url::parse(text).expect("built-in addresses are URLs");
        Self {
            login: url(login),
            graph: url(graph),
            graph_resource: graph.to_owned(),
            key_vault_resource: cloud.key_vault(),
            custom: false,
        }
    }

    /// Other addresses: the emulator, or a gateway in front of a cloud. Tokens are asked for the global cloud's
    /// Graph unless `graph_resource` says otherwise.
    ///
    /// # Errors
    /// When an address is no `http` or `https` URL, carries a user or password, or is plain `http` to another
    /// machine: a token would cross the network readable.
    pub fn custom(login: &str, graph: &str, graph_resource: Option<String>) -> Result<Self, CloudError> {
        let default = || NationalCloud::Global.hosts().1.to_owned();
        Ok(Self {
            login: address(login)?,
            graph: address(graph)?,
            graph_resource: graph_resource.unwrap_or_else(default),
            key_vault_resource: NationalCloud::Global.key_vault(),
            custom: true,
        })
    }

    /// An address on the identity platform. `path` is made of our own words and validated ids.
    pub(crate) fn login(&self, path: &str) -> String {
        format!("{}{path}", self.login.as_str().trim_end_matches('/'))
    }

    /// An address on Microsoft Graph.
    pub(crate) fn graph(&self, path: &str) -> String {
        format!("{}{path}", self.graph.as_str().trim_end_matches('/'))
    }

    /// The audience of Graph's tokens.
    #[must_use]
    pub fn graph_resource(&self) -> &str {
        &self.graph_resource
    }

    /// Whether a link found in an answer may be followed with a Graph token: same scheme, host and port.
    #[must_use]
    pub fn is_graph(&self, link: &Url) -> bool {
        link.origin() == self.graph.origin() && link.username().is_empty() && link.password().is_none()
    }

    /// The audience of Azure Key Vault's tokens.
    #[must_use]
    pub fn key_vault_resource(&self) -> &str {
        self.key_vault_resource
    }

    /// Whether a Key Vault token may be sent to this address: a vault of this cloud over HTTPS. A custom cloud's vaults
    /// are also at its login address.
    #[must_use]
    pub fn is_key_vault(&self, address: &Url) -> bool {
        let plain = address.username().is_empty() && address.password().is_none();
        let host = address.host_str().unwrap_or_default();
        let suffix = self.key_vault_resource.trim_start_matches("https://");
        let vault = host.strip_suffix(suffix).and_then(|name| name.strip_suffix('.'));
        let named = vault.is_some_and(|name| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        });
        let ours = named && address.scheme() == "https" && address.port_or_known_default() == Some(443);
        plain && (ours || (self.custom && address.origin() == self.login.origin()))
    }

    /// What the names of Key Vaults look like here, for messages.
    pub(crate) fn key_vault_form(&self) -> String {
        match self.custom {
            true => format!("{}/vault/NAME/secrets/SECRET", self.login.as_str().trim_end_matches('/')),
            false => {
                format!(
                    "https://NAME.{}/secrets/SECRET",
                    self.key_vault_resource.trim_start_matches("https://")
                )
            }
        }
    }

    /// Whether an address is the identity platform of this cloud: same scheme, host and port.
    #[must_use]
    pub fn is_login(&self, address: &Url) -> bool {
        address.origin() == self.login.origin()
            && address.username().is_empty()
            && address.password().is_none()
    }

    /// The page where an administrator of `tenant` consents to an app. For error messages.
    #[must_use]
    pub fn admin_consent_url(&self, tenant: &str, client_id: &str) -> String {
        self.login(&format!("/{tenant}/adminconsent?client_id={client_id}"))
    }
}

/// The portals of a cloud, for what only people can do. A custom cloud has the global one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Portals {
    /// The Defender portal; not where the cloud has none.
    pub defender: Option<&'static str>,
    /// The Defender portal over many tenants.
    pub many_tenants: Option<&'static str>,
    /// The Entra admin center.
    pub entra: &'static str,
    /// Where people ask for access packages.
    pub my_access: &'static str,
    /// The Microsoft 365 admin center.
    pub admin: &'static str,
}

impl Cloud {
    /// The portals.
    ///
    /// Source: Defender "Microsoft Defender XDR for US Government customers", Entra "national clouds".
    #[must_use]
    pub fn portals(&self) -> Portals {
        let host = |url: &Url| url.host_str().unwrap_or_default().to_owned();
        match (host(&self.login).as_str(), host(&self.graph).as_str()) {
            (login, graph) if login.ends_with(".microsoftonline.us") => Portals {
                defender: Some(match graph.starts_with("dod-") {
                    true => "https://security.apps.mil",
                    false => "https://security.microsoft.us",
                }),
                many_tenants: None,
                entra: "https://entra.microsoft.us",
                my_access: "https://myaccess.microsoft.us",
                admin: "https://portal.office365.us",
            },
            (login, _) if login.ends_with(".microsoftonline.cn") => Portals {
                defender: None,
                many_tenants: None,
                entra: "https://entra.microsoftonline.cn",
                my_access: "https://myaccess.microsoft.cn",
                admin: "https://portal.partner.microsoftonline.cn",
            },
            _ => Portals {
                defender: Some("https://security.microsoft.com"),
                many_tenants: Some("https://mto.security.microsoft.com"),
                entra: "https://entra.microsoft.com",
                my_access: "https://myaccess.microsoft.com",
                admin: "https://admin.microsoft.com",
            },
        }
    }

    /// Where browsers sign in, such as `https://login.microsoftonline.com`.
    #[must_use]
    pub fn login_origin(&self) -> String {
        self.login.origin().ascii_serialization()
    }

    /// Where an administrator of a tenant sees an app among its enterprise applications, and can remove it.
    #[must_use]
    pub fn enterprise_application(&self, client_id: &str) -> String {
        format!(
            "{}/#view/Microsoft_AAD_IAM/ManagedAppMenuBlade/~/Overview/appId/{client_id}",
            self.portals().entra
        )
    }
}

/// The instance metadata service of every Azure machine.
pub(crate) fn instance_metadata() -> Url {
    Url::parse("http://169.254.169.254/metadata/identity/oauth2/token").expect("built-in addresses are URLs")
}

fn address(text: &str) -> Result<Url, CloudError> {
    let wrong = |why| CloudError::Address(text.to_owned(), why);
    let url = Url::parse(text).map_err(|_| wrong("it is not a URL such as https://login.example"))?;
    let host = url.host_str().ok_or_else(|| wrong("it names no host"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("a user or password does not belong in it"));
    }
    let loopback = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        _ => host == "localhost",
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        "http" => Err(wrong("plain http is only for this machine; use https, with `ca_file` for an own CA")),
        _ => Err(wrong("it must begin with https://")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_addresses_are_checked() {
        assert!(Cloud::custom("http://127.0.0.1:9800", "http://localhost:9800", None).is_ok());
        for wrong in ["ftp://x", "x", "http://10.0.0.1", "https://user:pw@x.example"] {
            assert!(Cloud::custom(wrong, "https://x.example", None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_a_vault_of_the_cloud_is_a_vault() {
        let is_vault =
            |cloud: &Cloud, address: &str| cloud.is_key_vault(&Url::parse(address).expect("a URL"));
        let global = Cloud::national(NationalCloud::Global);
        assert!(is_vault(&global, "https://mssp-vault.vault.azure.net/secrets/x"));
        assert!(is_vault(&Cloud::national(NationalCloud::China), "https://mssp.vault.azure.cn/secrets/x"));
        assert!(is_vault(
            &Cloud::national(NationalCloud::Dod),
            "https://mssp.vault.usgovcloudapi.net/secrets/x"
        ));
        for wrong in [
            "http://mssp.vault.azure.net/secrets/x",
            "https://mssp.vault.azure.net:8443/secrets/x",
            "https://mssp.vault.azure.net.evil.example/secrets/x",
            "https://evilvault.azure.net/secrets/x",
            "https://vault.azure.net/secrets/x",
            "https://a.b.vault.azure.net/secrets/x",
            "https://x@mssp.vault.azure.net/secrets/x",
            "https://mssp.vault.azure.cn/secrets/x",
        ] {
            assert!(!is_vault(&global, wrong), "{wrong}");
        }
        let custom = Cloud::custom("http://127.0.0.1:9800", "http://127.0.0.1:9801", None).expect("a cloud");
        assert!(is_vault(&custom, "http://127.0.0.1:9800/vault/mssp/secrets/x"));
        assert!(!is_vault(&custom, "http://127.0.0.1:9801/vault/mssp/secrets/x"));
    }

    #[test]
    fn a_link_to_elsewhere_is_not_graph() {
        let cloud = Cloud::national(NationalCloud::Global);
        let is_graph = |link: &str| cloud.is_graph(&Url::parse(link).expect("a URL"));
        assert!(is_graph("https://graph.microsoft.com/v1.0/security/alerts_v2?$skip=100"));
        for elsewhere in [
            "https://graph.microsoft.com.evil.example/",
            "http://graph.microsoft.com/",
            "https://graph.microsoft.com:8443/",
            "https://x@graph.microsoft.com/",
        ] {
            assert!(!is_graph(elsewhere), "{elsewhere}");
        }
    }
}
