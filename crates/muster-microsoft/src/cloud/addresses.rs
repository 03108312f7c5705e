//! Where the identity platform and the APIs of a cloud are, and which addresses a token may be sent to.

use std::borrow::Cow;

use url::Url;

use super::national::{CloudError, GLOBAL, NationalCloud};
use crate::api::family::Api;
use crate::entra::permissions::ResourceApp;

/// What tokens for Azure AD Graph are asked for by, which the retired SIEM API takes.
const AZURE_AD_GRAPH: &str = "https://graph.windows.net";

/// Where the identity platform and the APIs are, and what their tokens are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cloud {
    pub(super) login: Url,
    pub(super) graph: Url,
    /// The audience that Graph's tokens are asked for. It names the API, not the address it is reached at.
    graph_resource: String,
    /// The cloud whose other addresses hold.
    national: NationalCloud,
    /// Whether the addresses are not Microsoft's own.
    custom: bool,
    /// The region whose hosts of the Defender APIs are asked; none: those of the whole cloud.
    region: Option<&'static str>,
}

impl Cloud {
    /// One of Microsoft's clouds.
    ///
    /// # Panics
    /// Never: the built-in addresses are URLs.
    #[must_use]
    pub fn national(cloud: NationalCloud) -> Self {
        let hosts = cloud.hosts();
        Self {
            login: built_in(hosts.login),
            graph: built_in(hosts.graph),
            graph_resource: hosts.graph.to_owned(),
            national: cloud,
            custom: false,
            region: None,
        }
    }

    /// Other addresses: the emulator, or a gateway in front of a cloud. Tokens are asked for the global cloud's
    /// Graph unless `graph_resource` says otherwise.
    ///
    /// # Errors
    /// When an address is no `http` or `https` URL, carries a user or password, or is plain `http` to another
    /// machine: a token would cross the network readable.
    pub fn custom(login: &str, graph: &str, graph_resource: Option<String>) -> Result<Self, CloudError> {
        Ok(Self {
            login: address(login)?,
            graph: address(graph)?,
            graph_resource: graph_resource.unwrap_or_else(|| GLOBAL.graph.to_owned()),
            national: NationalCloud::Global,
            custom: true,
            region: None,
        })
    }

    /// The same with the Defender APIs asked at their hosts of a region, which answer sooner from there.
    ///
    /// # Errors
    /// When the cloud has no such region.
    pub fn in_region(self, region: &str) -> Result<Self, CloudError> {
        let regions = if self.custom { &[] } else { self.national.hosts().regions };
        match regions.iter().find(|known| **known == region) {
            Some(known) => Ok(Self { region: Some(known), ..self }),
            None => {
                let there = match regions.is_empty() {
                    true => ", which has none".to_owned(),
                    false => format!(": use {}", regions.join(", ")),
                };
                Err(CloudError::Region(region.to_owned(), there))
            }
        }
    }

    /// Whether this cloud is known to have no such API, so that nothing can be read from it.
    #[must_use]
    pub fn lacks(&self, api: Api) -> bool {
        let there = match api {
            Api::Graph => self.national.has_graph_security(),
            Api::DefenderForEndpoint | Api::DefenderXdr => self.resource(api.app()).is_some(),
            Api::SiemFeed => !self.national.hosts().siem.is_empty(),
        };
        !self.custom && !there
    }

    /// Which of Microsoft's clouds it is, or stands for.
    #[must_use]
    pub fn national_cloud(&self) -> NationalCloud {
        self.national
    }

    /// The cloud's name in the settings.
    #[must_use]
    pub fn name(&self) -> &'static str {
        if self.custom { "custom" } else { self.national.as_str() }
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

    /// An address on an API.
    pub(crate) fn api_address(&self, api: Api, path: &str) -> String {
        format!("{}{path}", self.base(api).as_str().trim_end_matches('/'))
    }

    /// An address on the retired SIEM API at its host of `region`; of the region of the Defender APIs, where none is named.
    pub(crate) fn siem_address(&self, region: Option<&str>, path: &str) -> String {
        format!("{}{path}", self.siem(region).as_str().trim_end_matches('/'))
    }

    /// The regions in which the retired SIEM API has a host.
    #[must_use]
    pub fn siem_regions(&self) -> Vec<&'static str> {
        let hosts = if self.custom { &[] } else { self.national.hosts().siem };
        hosts.iter().map(|(region, _)| *region).collect()
    }

    /// Whether it is known at which host of the retired SIEM API is asked where nobody names a region.
    #[must_use]
    pub fn knows_siem_region(&self) -> bool {
        let regions = self.siem_regions();
        regions.len() < 2 || self.region.is_some_and(|region| regions.contains(&region))
    }

    fn siem(&self, region: Option<&str>) -> Cow<'_, Url> {
        let hosts = self.national.hosts().siem;
        let of = |wanted: &str| hosts.iter().find(|(region, _)| *region == wanted);
        let named = region.and_then(of).or_else(|| self.region.and_then(of)).or(hosts.first());
        match named {
            _ if self.custom => Cow::Borrowed(&self.graph),
            Some((_, host)) => Cow::Owned(built_in(host)),
            None => Cow::Owned(built_in(GLOBAL.siem[0].1)),
        }
    }

    /// The audience of an API's tokens.
    #[must_use]
    pub fn api_resource(&self, api: Api) -> &str {
        self.resource(api.app()).unwrap_or_else(|| elsewhere(api))
    }

    /// Where an API is. A gateway or an emulator that stands in for Graph stands in for the others, too.
    pub(super) fn base(&self, api: Api) -> Cow<'_, Url> {
        match (api.app(), self.region) {
            _ if self.custom => Cow::Borrowed(&self.graph),
            (ResourceApp::Graph, _) => Cow::Borrowed(&self.graph),
            (ResourceApp::AzureAdGraph, _) => self.siem(None),
            (_, Some(region)) => Cow::Owned(regional(region)),
            (app, None) => Cow::Owned(built_in(self.resource(app).unwrap_or_else(|| elsewhere(api)))),
        }
    }

    /// Whether a link found in an answer may be followed with an API's tokens: same scheme, host and port as the API's, or
    /// as those of its hosts in other regions.
    #[must_use]
    pub fn owns(&self, api: Api, link: &Url) -> bool {
        let base = self.base(api);
        let elsewhere = matches!(api, Api::DefenderForEndpoint | Api::DefenderXdr)
            && !self.custom
            && self.national.hosts().regions.iter().any(|region| regional(region).origin() == link.origin());
        let ours = link.origin() == base.origin() || elsewhere;
        ours && link.username().is_empty() && link.password().is_none()
    }

    /// What tokens for an API are asked for in this cloud; `None` where the API is not there.
    #[must_use]
    pub fn resource(&self, app: ResourceApp) -> Option<&str> {
        let hosts = self.national.hosts();
        match app {
            ResourceApp::Graph => Some(&self.graph_resource),
            ResourceApp::DefenderForEndpoint => hosts.defender,
            ResourceApp::DefenderXdr => hosts.xdr,
            ResourceApp::AzureAdGraph => hosts.defender.map(|_| AZURE_AD_GRAPH),
        }
    }

    /// The API that `resource` names, by one of its addresses in this cloud or by its app id.
    #[must_use]
    pub fn resource_app(&self, resource: &str) -> Option<ResourceApp> {
        let plain = |text: &str| text.trim_end_matches('/').to_ascii_lowercase();
        let wanted = plain(resource);
        ResourceApp::ALL.into_iter().find(|app| {
            let own = self.resource(*app).is_some_and(|own| plain(own) == wanted);
            own || app.app_id() == wanted || other_names(*app).contains(&wanted.as_str())
        })
    }

    /// The audience of Azure Key Vault's tokens.
    #[must_use]
    pub fn key_vault_resource(&self) -> &str {
        self.national.hosts().key_vault.unwrap_or("https://vault.azure.net")
    }

    /// Whether a Key Vault token may be sent to this address: a vault of this cloud over HTTPS. A custom cloud's vaults
    /// are also at its login address.
    #[must_use]
    pub fn is_key_vault(&self, address: &Url) -> bool {
        let plain = address.username().is_empty() && address.password().is_none();
        let host = address.host_str().unwrap_or_default();
        let Some(suffix) = self.national.hosts().key_vault else { return false };
        let suffix = suffix.trim_start_matches("https://");
        let vault = host.strip_suffix(suffix).and_then(|name| name.strip_suffix('.'));
        let named = vault.is_some_and(|name| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        });
        let ours = named && address.scheme() == "https" && address.port_or_known_default() == Some(443);
        plain && (ours || (self.custom && address.origin() == self.login.origin()))
    }

    /// The audience of the tokens of Azure Monitor's Logs Ingestion API.
    #[must_use]
    pub fn monitor_resource(&self) -> &str {
        self.national.hosts().monitor.unwrap_or("https://monitor.azure.com")
    }

    /// Whether a token of Azure Monitor may be sent to this address: a data collection endpoint, or the endpoint of a data
    /// collection rule, of this cloud over HTTPS. A custom cloud's are on its login host, at any port.
    #[must_use]
    pub fn is_log_ingestion(&self, address: &Url) -> bool {
        let plain = address.username().is_empty() && address.password().is_none();
        let host = address.host_str().unwrap_or_default();
        let suffix = self.monitor_resource().trim_start_matches("https://");
        let named = host.strip_suffix(suffix).and_then(|name| name.strip_suffix(".ingest."));
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        let ours = named.is_some_and(|name| name.split('.').all(is_label))
            && self.national.hosts().monitor.is_some()
            && address.scheme() == "https"
            && address.port_or_known_default() == Some(443);
        plain && (ours || (self.custom && address.host() == self.login.host()))
    }

    /// What the names of Key Vaults look like here, for messages.
    pub(crate) fn key_vault_form(&self) -> String {
        match self.custom {
            true => format!("{}/vault/NAME/secrets/SECRET", self.login.as_str().trim_end_matches('/')),
            false => {
                format!(
                    "https://NAME.{}/secrets/SECRET",
                    self.key_vault_resource().trim_start_matches("https://")
                )
            }
        }
    }

    /// Whether an address belongs to this cloud's identity platform, under its own name or another that it goes by.
    #[must_use]
    pub fn is_login(&self, address: &Url) -> bool {
        let hosts = self.national.hosts();
        let alias = !self.custom
            && address.scheme() == "https"
            && address.port_or_known_default() == Some(443)
            && address.host_str().is_some_and(|host| hosts.login_aliases.contains(&host));
        address.username().is_empty()
            && address.password().is_none()
            && (alias || address.origin() == self.login.origin())
    }

    /// The page where an administrator of `tenant` consents to an app. For error messages.
    #[must_use]
    pub fn admin_consent_url(&self, tenant: &str, client_id: &str) -> String {
        self.login(&format!("/{tenant}/adminconsent?client_id={client_id}"))
    }
}

/// Where a cloud does not have an API: its worldwide address, for which this cloud's identity platform gives no token.
fn elsewhere(api: Api) -> &'static str {
    match api.app() {
        ResourceApp::DefenderForEndpoint => GLOBAL.defender,
        ResourceApp::DefenderXdr => GLOBAL.xdr,
        ResourceApp::AzureAdGraph => Some(AZURE_AD_GRAPH),
        ResourceApp::Graph => None,
    }
    .unwrap_or(GLOBAL.graph)
}

/// Addresses by which an API is named in the `aud` of its tokens, beside the one that this crate asks for.
fn other_names(app: ResourceApp) -> &'static [&'static str] {
    match app {
        ResourceApp::DefenderForEndpoint => &[
            "https://api.securitycenter.windows.com",
            "https://securitycenter.onmicrosoft.com/windowsatpservice",
        ],
        ResourceApp::Graph | ResourceApp::DefenderXdr | ResourceApp::AzureAdGraph => &[],
    }
}

/// The API that `resource` names in any of Microsoft's clouds.
pub(crate) fn resource_app_anywhere(resource: &str) -> Option<ResourceApp> {
    NationalCloud::ALL.into_iter().find_map(|cloud| Cloud::national(cloud).resource_app(resource))
}

/// The host of the Defender APIs in a region. Both are there.
fn regional(region: &str) -> Url {
    built_in(&format!("https://{region}.api.security.microsoft.com"))
}

fn built_in(text: &str) -> Url {
    Url::parse(text).expect("built-in addresses are URLs")
}

fn address(text: &str) -> Result<Url, CloudError> {
    let wrong = |why| CloudError::Address(text.to_owned(), why);
    let url = Url::parse(text).map_err(|_| wrong("it is not a URL such as https://login.example"))?;
    if url.host_str().is_none() {
        return Err(wrong("it names no host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("a user or password does not belong in it"));
    }
    let loopback = is_loopback(&url);
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        "http" => Err(wrong("plain http is only for this machine; use https, with `ca_file` for an own CA")),
        _ => Err(wrong("it must begin with https://")),
    }
}

/// Whether an address is on this machine, so that plain HTTP does not leave it.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
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
        let is_graph = |link: &str| cloud.owns(Api::Graph, &Url::parse(link).expect("a URL"));
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

    #[test]
    fn an_api_is_reached_where_its_tokens_are_for() {
        let link = |address: &str| Url::parse(address).expect("a URL");
        for cloud in NationalCloud::ALL {
            let known = Cloud::national(cloud);
            for api in Api::ALL {
                let address = known.api_address(api, "/x");
                if api != Api::SiemFeed {
                    assert_eq!(address, format!("{}/x", known.api_resource(api)), "{cloud}");
                }
                for other in Api::ALL {
                    assert_eq!(known.owns(other, &link(&address)), api == other, "{cloud} {address}");
                }
            }
        }
        let gcc = Cloud::national(NationalCloud::Gcc);
        assert_eq!(gcc.api_address(Api::DefenderXdr, "/x"), "https://api-gcc.security.microsoft.us/x");
        let custom = Cloud::custom("http://127.0.0.1:9800", "http://127.0.0.1:9801", None).expect("a cloud");
        for api in Api::ALL {
            assert_eq!(custom.api_address(api, "/x"), "http://127.0.0.1:9801/x");
            assert!(custom.owns(api, &link("http://127.0.0.1:9801/x")));
            assert!(!custom.owns(api, &link("http://127.0.0.1:9800/x")));
        }
        assert_eq!(custom.api_resource(Api::DefenderXdr), "https://api.security.microsoft.com");
    }

    #[test]
    fn the_defender_apis_have_hosts_by_region() {
        let global = || Cloud::national(NationalCloud::Global);
        let eu = global().in_region("eu").expect("a region");
        assert_eq!(eu.api_address(Api::DefenderXdr, "/x"), "https://eu.api.security.microsoft.com/x");
        assert_eq!(eu.api_address(Api::DefenderForEndpoint, "/x"), "https://eu.api.security.microsoft.com/x");
        assert_eq!(eu.api_address(Api::Graph, "/x"), "https://graph.microsoft.com/x");
        assert_eq!(
            eu.api_resource(Api::DefenderXdr),
            "https://api.security.microsoft.com",
            "the audience stays"
        );
        let link = |text: &str| Url::parse(text).expect("a URL");
        assert!(
            global().owns(Api::DefenderXdr, &link("https://us.api.security.microsoft.com/api/incidents"))
        );
        assert!(!global().owns(Api::Graph, &link("https://us.api.security.microsoft.com/x")));
        assert!(!global().owns(Api::DefenderXdr, &link("https://xx.api.security.microsoft.com/x")));
        let error = global().in_region("xx").expect_err("no region").to_string();
        assert!(error.contains("use us, eu"), "{error}");
        assert!(Cloud::national(NationalCloud::GccHigh).in_region("eu").is_err());
    }

    #[test]
    fn the_siem_api_has_hosts_by_region_and_tokens_of_another_api() {
        let at = |cloud: Cloud, region: Option<&str>| cloud.siem_address(region, "/api/alerts");
        let global = || Cloud::national(NationalCloud::Global);
        let of = |host: &str| format!("https://wdatp-alertexporter-{host}/api/alerts");
        assert_eq!(at(global(), Some("uk")), of("uk.securitycenter.windows.com"));
        assert_eq!(
            at(global().in_region("eu").expect("a region"), None),
            of("eu.securitycenter.windows.com")
        );
        assert_eq!(
            at(Cloud::national(NationalCloud::Gcc), None),
            of("us.gcc.securitycenter.windows.us"),
            "the only one"
        );
        assert_eq!(at(Cloud::national(NationalCloud::Dod), None), of("us.securitycenter.windows.us"));
        let knows = |cloud: Cloud| cloud.knows_siem_region();
        assert!(!knows(global()) && !knows(global().in_region("au").expect("a region")));
        assert!(knows(global().in_region("us").expect("a region")));
        assert!(knows(Cloud::national(NationalCloud::GccHigh)));
        let custom = Cloud::custom("http://127.0.0.1:9800", "http://127.0.0.1:9801", None).expect("a cloud");
        assert_eq!(at(custom.clone(), Some("eu")), "http://127.0.0.1:9801/api/alerts");
        assert!(knows(custom));
        assert_eq!(global().api_resource(Api::SiemFeed), "https://graph.windows.net");
        let defender = Url::parse("https://eu.api.security.microsoft.com/x").expect("a URL");
        assert!(!global().owns(Api::SiemFeed, &defender), "a token of one goes to none of the others");
    }

    #[test]
    fn a_cloud_says_which_apis_it_lacks() {
        for api in Api::ALL {
            assert!(Cloud::national(NationalCloud::China).lacks(api));
            for cloud in
                [NationalCloud::Global, NationalCloud::Gcc, NationalCloud::GccHigh, NationalCloud::Dod]
            {
                assert!(!Cloud::national(cloud).lacks(api), "{cloud}");
            }
        }
    }

    #[test]
    fn each_cloud_has_its_own_word_hosts_and_audiences() {
        for cloud in NationalCloud::ALL {
            assert_eq!(cloud.as_str().parse(), Ok(cloud));
            let known = Cloud::national(cloud);
            assert!(known.is_login(&Url::parse(&known.login("/x")).expect("a URL")));
            for app in ResourceApp::ALL {
                if let Some(resource) = known.resource(app) {
                    assert_eq!(known.resource_app(resource), Some(app), "{cloud} {resource}");
                    assert_eq!(known.resource_app(app.app_id()), Some(app));
                }
            }
        }
    }

    #[test]
    fn the_identity_platform_is_known_by_its_aliases_and_nothing_else() {
        let global = Cloud::national(NationalCloud::Global);
        let is_login = |link: &str| global.is_login(&Url::parse(link).expect("a URL"));
        assert!(is_login("https://login.windows.net/common/discovery/keys"));
        for elsewhere in [
            "http://login.windows.net/",
            "https://login.windows.net:444/",
            "https://login.microsoftonline.us/",
            "https://login.microsoftonline.com.evil.example/",
            "https://x@login.microsoftonline.com/",
        ] {
            assert!(!is_login(elsewhere), "{elsewhere}");
        }
        let custom = Cloud::custom("https://gate.example", "https://gate.example", None).expect("addresses");
        assert!(!custom.is_login(&Url::parse("https://login.windows.net/").expect("a URL")));
    }

    #[test]
    fn monitor_tokens_go_to_ingestion_endpoints_of_the_cloud_only() {
        let is_one = |cloud: &Cloud, link: &str| cloud.is_log_ingestion(&Url::parse(link).expect("a URL"));
        let global = Cloud::national(NationalCloud::Global);
        assert!(is_one(&global, "https://mssp-dce-5kyl.eastus-1.ingest.monitor.azure.com"));
        for elsewhere in [
            "http://mssp-5kyl.eastus-1.ingest.monitor.azure.com",
            "https://mssp-5kyl.eastus-1.ingest.monitor.azure.com:8443",
            "https://mssp-5kyl.eastus-1.ingest.monitor.azure.com.evil.example",
            "https://evilingest.monitor.azure.com",
            "https://.ingest.monitor.azure.com",
            "https://x:y@mssp.eastus-1.ingest.monitor.azure.com",
            "https://mssp.eastus-1.ingest.monitor.azure.us",
            "https://monitor.azure.com",
        ] {
            assert!(!Url::parse(elsewhere).is_ok_and(|link| global.is_log_ingestion(&link)), "{elsewhere}");
        }
        let government = Cloud::national(NationalCloud::GccHigh);
        assert!(is_one(&government, "https://mssp.usgovvirginia-1.ingest.monitor.azure.us"));
        assert_eq!(government.monitor_resource(), "https://monitor.azure.us");
        let china = Cloud::national(NationalCloud::China);
        assert!(is_one(&china, "https://mssp.chinaeast2-1.ingest.monitor.azure.cn"));
        assert!(!is_one(&Cloud::national(NationalCloud::France), "https://a.b.ingest.monitor.azure.com"));
        let custom =
            Cloud::custom("http://127.0.0.1:9800", "http://127.0.0.1:9800", None).expect("addresses");
        assert!(is_one(&custom, "http://127.0.0.1:9803"));
        assert!(!is_one(&custom, "http://127.0.0.2:9803"));
    }

    #[test]
    fn key_vault_tokens_go_to_vaults_of_the_cloud_only() {
        let is_vault = |cloud: &Cloud, link: &str| cloud.is_key_vault(&Url::parse(link).expect("a URL"));
        let global = Cloud::national(NationalCloud::Global);
        assert!(is_vault(&global, "https://mssp-1.vault.azure.net/secrets/x"));
        for elsewhere in [
            "https://vault.azure.net/",
            "https://evilvault.azure.net/",
            "https://a.b.vault.azure.net/",
            "http://mssp.vault.azure.net/",
            "https://mssp.vault.azure.net:8443/",
            "https://mssp.vault.azure.cn/",
            "https://mssp.vault.azure.net.evil.example/",
            "https://x:y@mssp.vault.azure.net/",
        ] {
            assert!(!is_vault(&global, elsewhere), "{elsewhere}");
        }
        assert!(is_vault(&Cloud::national(NationalCloud::China), "https://mssp.vault.azure.cn/"));
        let custom =
            Cloud::custom("http://127.0.0.1:9800", "http://127.0.0.1:9800", None).expect("addresses");
        assert!(is_vault(&custom, "http://127.0.0.1:9800/vault/mssp/secrets/x"));
        assert!(!is_vault(&custom, "http://127.0.0.1:9801/vault/mssp/secrets/x"));
    }
}
