//! Microsoft's clouds and their hosts.
//!
//! Source: Microsoft Graph "National cloud deployments"; Defender for Endpoint "Supported APIs" (hosts by region), "Pull detections"
//! and the government page of 2021 (hosts of the SIEM API). App registrations, tokens and consent do not cross clouds.

use std::fmt;
use std::str::FromStr;

/// A national cloud of Microsoft.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NationalCloud {
    /// Worldwide.
    #[default]
    Global,
    /// US Government Community Cloud: worldwide, save for the Defender APIs.
    Gcc,
    /// US Government L4 (GCC High).
    GccHigh,
    /// US Government L5 (DoD).
    Dod,
    /// China, operated by 21Vianet.
    China,
    /// France, operated by Bleu.
    France,
    /// Germany, operated by Delos.
    Germany,
    /// Singapore's government.
    Singapore,
}

/// What a cloud is reached by.
pub(super) struct Hosts {
    /// The identity platform.
    pub(super) login: &'static str,
    /// Other names of the identity platform, which stand in issuers and discovery documents.
    pub(super) login_aliases: &'static [&'static str],
    /// Microsoft Graph.
    pub(super) graph: &'static str,
    /// Defender for Endpoint.
    pub(super) defender: Option<&'static str>,
    /// Microsoft 365 Defender.
    pub(super) xdr: Option<&'static str>,
    /// Regions in which the Defender APIs have a host of their own.
    pub(super) regions: &'static [&'static str],
    /// The retired SIEM API: its regions, and the host of each.
    pub(super) siem: &'static [(&'static str, &'static str)],
    /// Azure Key Vault: the resource, and what a vault's host ends with.
    pub(super) key_vault: Option<&'static str>,
    /// Azure Monitor: the resource of its Logs Ingestion API, and what an endpoint's host ends with, behind `ingest.`.
    pub(super) monitor: Option<&'static str>,
}

pub(super) const GLOBAL: Hosts = Hosts {
    login: "https://login.microsoftonline.com",
    login_aliases: &["login.windows.net", "login.microsoft.com", "sts.windows.net"],
    graph: "https://graph.microsoft.com",
    defender: Some("https://api.securitycenter.microsoft.com"),
    xdr: Some("https://api.security.microsoft.com"),
    regions: &["us", "eu", "uk", "au", "swa", "ina", "aea"],
    siem: &[
        ("us", "https://wdatp-alertexporter-us.securitycenter.windows.com"),
        ("eu", "https://wdatp-alertexporter-eu.securitycenter.windows.com"),
        ("uk", "https://wdatp-alertexporter-uk.securitycenter.windows.com"),
    ],
    key_vault: Some("https://vault.azure.net"),
    monitor: Some("https://monitor.azure.com"),
};

const GCC: Hosts = Hosts {
    defender: Some("https://api-gcc.securitycenter.microsoft.us"),
    xdr: Some("https://api-gcc.security.microsoft.us"),
    regions: &[],
    siem: &[("us", "https://wdatp-alertexporter-us.gcc.securitycenter.windows.us")],
    ..GLOBAL
};

const GCC_HIGH: Hosts = Hosts {
    login: "https://login.microsoftonline.us",
    login_aliases: &["login.usgovcloudapi.net"],
    graph: "https://graph.microsoft.us",
    defender: Some("https://api-gov.securitycenter.microsoft.us"),
    xdr: Some("https://api-gov.security.microsoft.us"),
    regions: &[],
    siem: &[("us", "https://wdatp-alertexporter-us.securitycenter.windows.us")],
    key_vault: Some("https://vault.usgovcloudapi.net"),
    monitor: Some("https://monitor.azure.us"),
};

const DOD: Hosts = Hosts { graph: "https://dod-graph.microsoft.us", ..GCC_HIGH };

const CHINA: Hosts = Hosts {
    login: "https://login.partner.microsoftonline.cn",
    login_aliases: &["login.chinacloudapi.cn", "sts.chinacloudapi.cn"],
    graph: "https://microsoftgraph.chinacloudapi.cn",
    defender: None,
    xdr: None,
    regions: &[],
    siem: &[],
    key_vault: Some("https://vault.azure.cn"),
    monitor: Some("https://monitor.azure.cn"),
};

/// The newer sovereign clouds, of which only the login and Graph hosts are known.
const fn sovereign(login: &'static str, graph: &'static str) -> Hosts {
    Hosts {
        login,
        login_aliases: &[],
        graph,
        defender: None,
        xdr: None,
        regions: &[],
        siem: &[],
        key_vault: None,
        monitor: None,
    }
}

impl NationalCloud {
    /// Every cloud.
    pub const ALL: [Self; 8] = [
        Self::Global,
        Self::Gcc,
        Self::GccHigh,
        Self::Dod,
        Self::China,
        Self::France,
        Self::Germany,
        Self::Singapore,
    ];

    /// The word in the settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Gcc => "gcc",
            Self::GccHigh => "gcc_high",
            Self::Dod => "dod",
            Self::China => "china",
            Self::France => "france",
            Self::Germany => "germany",
            Self::Singapore => "singapore",
        }
    }

    pub(super) fn hosts(self) -> Hosts {
        match self {
            Self::Global => GLOBAL,
            Self::Gcc => GCC,
            Self::GccHigh => GCC_HIGH,
            Self::Dod => DOD,
            Self::China => CHINA,
            Self::France => sovereign("https://login.sovcloud-identity.fr", "https://graph.svc.sovcloud.fr"),
            Self::Germany => sovereign("https://login.sovcloud-identity.de", "https://graph.svc.sovcloud.de"),
            Self::Singapore => {
                sovereign("https://login.sovcloud-identity.sg", "https://graph.svc.sovcloud.sg")
            }
        }
    }

    /// The cloud that a discovery document names: by `cloud_instance_name`, and by `tenant_region_sub_scope` where several clouds
    /// share an identity platform. `None` for a name that is not known.
    ///
    /// Source: Microsoft "OpenID Connect on the Microsoft identity platform" (discovery); the sub-scopes as the platform answers
    /// for tenants of GCC (`GCC`), GCC High (`DODCON`) and DoD (`DOD`).
    #[must_use]
    pub fn of_instance(instance: &str, sub_scope: Option<&str>) -> Option<Self> {
        let sub_scope = sub_scope.unwrap_or_default();
        Some(match instance.to_ascii_lowercase().as_str() {
            "microsoftonline.com" if sub_scope.eq_ignore_ascii_case("GCC") => Self::Gcc,
            "microsoftonline.com" => Self::Global,
            "microsoftonline.us" if sub_scope.eq_ignore_ascii_case("DOD") => Self::Dod,
            "microsoftonline.us" => Self::GccHigh,
            "partner.microsoftonline.cn" | "microsoftonline.cn" | "chinacloudapi.cn" => Self::China,
            "sovcloud-identity.fr" => Self::France,
            "sovcloud-identity.de" => Self::Germany,
            "sovcloud-identity.sg" => Self::Singapore,
            _ => return None,
        })
    }

    /// Whether apps and tokens of one reach tenants of the other: they share an identity platform and Graph.
    #[must_use]
    pub fn reaches(self, other: Self) -> bool {
        let (own, others) = (self.hosts(), other.hosts());
        own.login == others.login && own.graph == others.graph
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
    #[error(
        "`{0}` is not a cloud{meant}: use global, gcc, gcc_high, dod, china, france, germany, singapore or custom",
        meant = muster_model::text::did_you_mean(.0, NationalCloud::ALL.map(NationalCloud::as_str))
    )]
    Unknown(String),
    /// Not a region of the cloud.
    #[error("`{0}` is no region of the Defender APIs in this cloud{1}")]
    Region(String, String),
    /// An address that cannot be used.
    #[error("`{0}` cannot be used as an address: {1}")]
    Address(String, &'static str),
}
