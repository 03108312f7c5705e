//! The names under which Microsoft's services are reached: which part of the outside world a request is for, when a
//! client was pointed here by a hosts entry.

/// The login hosts, cloud by cloud; the first of each is the one that clients prefer.
pub(crate) const LOGIN_CLOUDS: &[&[&str]] = &[
    &["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"],
    &["login.partner.microsoftonline.cn", "login.chinacloudapi.cn"],
    &["login.microsoftonline.us", "login.usgovcloudapi.net"],
    &["login.sovcloud-identity.fr"],
    &["login.sovcloud-identity.de"],
    &["login.sovcloud-identity.sg"],
];

const GRAPH: &[&str] = &[
    "graph.microsoft.com",
    "graph.microsoft.us",
    "dod-graph.microsoft.us",
    "microsoftgraph.chinacloudapi.cn",
];

/// The hosts of Defender for Endpoint, and below it the newer ones, at which Defender XDR is too.
const ENDPOINT: &[&str] = &[
    "api.securitycenter.microsoft.com",
    "api.securitycenter.windows.com",
    "api-us.securitycenter.microsoft.com",
    "api-eu.securitycenter.microsoft.com",
    "api-uk.securitycenter.microsoft.com",
    "api-gcc.securitycenter.microsoft.us",
    "api-gov.securitycenter.microsoft.us",
];

const XDR: &[&str] = &[
    "api.security.microsoft.com",
    "us.api.security.microsoft.com",
    "eu.api.security.microsoft.com",
    "uk.api.security.microsoft.com",
    "au.api.security.microsoft.com",
    "swa.api.security.microsoft.com",
    "ina.api.security.microsoft.com",
    "aea.api.security.microsoft.com",
    "api-us.security.microsoft.com",
    "api-eu.security.microsoft.com",
    "api-uk.security.microsoft.com",
    "api-gcc.security.microsoft.us",
    "api-gov.security.microsoft.us",
];

/// The hosts of the retired SIEM API.
const FEED: &[&str] = &[
    "wdatp-alertexporter-us.windows.com",
    "wdatp-alertexporter-eu.windows.com",
    "wdatp-alertexporter-uk.windows.com",
    "wdatp-alertexporter-us.securitycenter.windows.com",
    "wdatp-alertexporter-eu.securitycenter.windows.com",
    "wdatp-alertexporter-uk.securitycenter.windows.com",
    "wdatp-alertexporter-us.gcc.securitycenter.windows.us",
    "wdatp-alertexporter-us.securitycenter.windows.us",
];

const VAULT_DOMAINS: &[&str] = &["vault.azure.net", "vault.azure.cn", "vault.usgovcloudapi.net"];

/// The part of the outside world that a host name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination<'a> {
    Login,
    Graph,
    /// The Defender APIs.
    Defender {
        has_incidents: bool,
    },
    /// The retired SIEM API.
    Feed,
    /// A key vault, by its name.
    Vault(&'a str),
    /// A virtual machine's own metadata.
    Metadata,
    /// Any other name: the path alone tells.
    Anywhere,
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether a name, with or without a port, is a login host.
pub(crate) fn is_login(host: &str) -> bool {
    let host = without_port(host);
    LOGIN_CLOUDS.iter().any(|aliases| aliases.iter().any(|alias| alias.eq_ignore_ascii_case(host)))
}

/// What a `Host` header stands for.
pub(crate) fn destination(host: &str) -> Destination<'_> {
    let host = without_port(host);
    if is_login(host)
        || ["microsoft.com", "www.microsoft.com"].iter().any(|own| own.eq_ignore_ascii_case(host))
    {
        return Destination::Login;
    }
    if GRAPH.iter().any(|own| own.eq_ignore_ascii_case(host)) {
        return Destination::Graph;
    }
    let is_one_of = |hosts: &[&str]| hosts.iter().any(|own| own.eq_ignore_ascii_case(host));
    if is_one_of(XDR) || is_one_of(ENDPOINT) {
        return Destination::Defender { has_incidents: is_one_of(XDR) };
    }
    if is_one_of(FEED) {
        return Destination::Feed;
    }
    if host == "169.254.169.254" {
        return Destination::Metadata;
    }
    match host.split_once('.') {
        Some((name, domain)) if VAULT_DOMAINS.iter().any(|own| own.eq_ignore_ascii_case(domain)) => {
            Destination::Vault(name)
        }
        _ => Destination::Anywhere,
    }
}

/// Whether an address is none of Microsoft's names, so that paths alone tell what is meant.
pub(crate) fn is_anywhere(base: &str) -> bool {
    destination(base.split_once("://").map_or(base, |parts| parts.1)) == Destination::Anywhere
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_tells_who_is_meant() {
        assert_eq!(destination("login.windows.net:443"), Destination::Login);
        assert_eq!(destination("Graph.Microsoft.com"), Destination::Graph);
        let incidents = Destination::Defender { has_incidents: true };
        assert_eq!(destination("eu.api.security.microsoft.com"), incidents);
        let alerts = Destination::Defender { has_incidents: false };
        assert_eq!(destination("api-eu.securitycenter.microsoft.com:443"), alerts);
        assert_eq!(destination("wdatp-alertexporter-eu.windows.com"), Destination::Feed);
        assert_eq!(destination("WDATP-alertexporter-us.securitycenter.windows.com:443"), Destination::Feed);
        assert_eq!(destination("contoso.vault.azure.net"), Destination::Vault("contoso"));
        assert_eq!(destination("169.254.169.254"), Destination::Metadata);
        for other in ["127.0.0.1:9800", "localhost", "[::1]:9800", "a.vault.azure.net.evil.example", ""] {
            assert_eq!(destination(other), Destination::Anywhere, "{other}");
        }
    }
}
