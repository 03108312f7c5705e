//! The portals of a cloud.

use url::Url;

use super::addresses::Cloud;
use crate::api::family::Api;

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

    /// Where an API is, such as `https://graph.microsoft.com`.
    #[must_use]
    pub fn origin(&self, api: Api) -> String {
        self.base(api).origin().ascii_serialization()
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
