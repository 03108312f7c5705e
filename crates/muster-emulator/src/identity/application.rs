//! Apps as they are registered: who may use them, how they prove themselves, what they ask for.

use std::collections::BTreeMap;

use crate::world::dice::Dice;
use crate::world::ticks::Ticks;

use super::certificate::Certificate;
use super::resources::{AAD_GRAPH_APP_ID, GRAPH_APP_ID, Resource};

/// Microsoft's own command-line client, which `Connect-MgGraph` signs in with.
pub(crate) const GRAPH_COMMAND_LINE_TOOLS: &str = "14d82eec-204b-4c2f-b7e8-296a70dab67e";
/// The Azure command line.
pub(crate) const AZURE_COMMAND_LINE: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";

/// What kind of client a redirect address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Platform {
    /// A server, which keeps a secret.
    Web,
    /// A program on somebody's computer.
    Public,
}

/// A secret of an app.
#[derive(Debug, Clone)]
pub(crate) struct PasswordCredential {
    pub(crate) key_id: String,
    pub(crate) name: Option<String>,
    pub(crate) value: String,
    pub(crate) start: Ticks,
    pub(crate) end: Ticks,
    /// A new secret is not known everywhere at once.
    pub(crate) works_from: Ticks,
}

/// A certificate of an app.
#[derive(Debug, Clone)]
pub(crate) struct KeyCredential {
    pub(crate) key_id: String,
    pub(crate) name: Option<String>,
    pub(crate) certificate: Certificate,
    pub(crate) works_from: Ticks,
}

/// Somebody else's token that is taken in place of a secret.
#[derive(Debug, Clone)]
pub(crate) struct FederatedCredential {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) audiences: Vec<String>,
    pub(crate) description: Option<String>,
}

/// The permissions on one API that an app asks for, by their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Required {
    pub(crate) roles: Vec<String>,
    pub(crate) scopes: Vec<String>,
}

/// An app as it is registered in its home tenant.
#[derive(Debug, Clone)]
pub(crate) struct Application {
    pub(crate) object_id: String,
    pub(crate) app_id: String,
    pub(crate) name: String,
    /// `None`: Microsoft's own.
    pub(crate) home: Option<u32>,
    pub(crate) audience: Audience,
    pub(crate) redirects: Vec<(Platform, String)>,
    /// Whether it may be used without a secret where no redirect tells.
    pub(crate) public: bool,
    pub(crate) passwords: Vec<PasswordCredential>,
    pub(crate) keys: Vec<KeyCredential>,
    pub(crate) federated: Vec<FederatedCredential>,
    /// By app id of the API.
    pub(crate) required: BTreeMap<String, Required>,
    pub(crate) enabled: bool,
    /// Words that whoever manages it marks it with.
    pub(crate) tags: Vec<String>,
    /// Object ids of those who own it.
    pub(crate) owners: Vec<String>,
    pub(crate) created: Ticks,
    /// The version of the tokens for it, if it is an API itself.
    pub(crate) token_version: u8,
}

/// Whose accounts an app is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Those of its home tenant.
    MyOrg,
    /// Those of every tenant.
    MultipleOrgs,
}

impl Application {
    pub(crate) fn multitenant(&self) -> bool {
        self.audience == Audience::MultipleOrgs
    }

    /// Whether it can have a part in a tenant at all.
    pub(crate) fn reaches(&self, tenant: u32) -> bool {
        self.multitenant() || self.home == Some(tenant)
    }

    /// The platform of a registered redirect address.
    pub(crate) fn platform_of(&self, redirect: &str) -> Option<Platform> {
        self.redirects.iter().find(|(_, known)| same_redirect(known, redirect)).map(|entry| entry.0)
    }

    /// Names of the roles it asks for on an API.
    pub(crate) fn required_roles(&self, resource: &Resource) -> Vec<&'static str> {
        self.required.get(resource.app_id).map_or_else(Vec::new, |required| {
            required.roles.iter().filter_map(|id| resource.role(id)).map(|role| role.name).collect()
        })
    }

    /// Names of the scopes it asks for on an API.
    pub(crate) fn required_scopes(&self, resource: &Resource) -> Vec<&'static str> {
        self.required.get(resource.app_id).map_or_else(Vec::new, |required| {
            required.scopes.iter().filter_map(|id| resource.scope(id)).map(|scope| scope.name).collect()
        })
    }
}

/// Redirect addresses are compared as they are written; only the port of a loopback address is free (RFC 8252,
/// section 7.3), and a bare host may or may not have its slash.
fn same_redirect(known: &str, asked: &str) -> bool {
    if known == asked {
        return true;
    }
    let (Ok(known), Ok(mut asked)) = (url::Url::parse(known), url::Url::parse(asked)) else { return false };
    if !asked.username().is_empty() || asked.password().is_some() || asked.fragment().is_some() {
        return false;
    }
    let loopback =
        known.scheme() == "http" && matches!(known.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if loopback && known.host_str() == asked.host_str() && asked.set_port(known.port()).is_err() {
        return false;
    }
    known == asked && (loopback || known.path() == "/")
}

/// The app that all settings of the emulator are about: multitenant, with a secret, asking for what Muster reads.
pub(crate) fn default_app(
    app_id: String,
    secret: String,
    graph_roles: &[String],
    home: u32,
    redirects: &[String],
    now: Ticks,
    dice: &mut Dice,
) -> Application {
    let mut required = BTreeMap::new();
    let ids = |resource: &str, roles: &[&str], scopes: &[&str]| {
        let resource = Resource::of_app(resource).expect("Microsoft's APIs are all listed");
        Required {
            roles: roles
                .iter()
                .filter_map(|name| resource.permission(name))
                .map(|permission| permission.role_id.to_owned())
                .collect(),
            scopes: scopes
                .iter()
                .filter_map(|name| resource.permission(name))
                .map(|permission| permission.scope_id.to_owned())
                .collect(),
        }
    };
    let roles: Vec<&str> = graph_roles.iter().map(String::as_str).collect();
    let mut scopes = vec!["User.Read", "openid", "profile", "offline_access"];
    scopes.extend(&roles);
    required.insert(GRAPH_APP_ID.to_owned(), ids(GRAPH_APP_ID, &roles, &scopes));
    let defender = "fc780465-2017-40d4-a0c5-307022471b92";
    required.insert(defender.to_owned(), ids(defender, &["Alert.Read.All"], &["Alert.Read"]));
    let xdr = "8ee8fdad-f234-4243-8f3b-15c294843740";
    let hunting = ["Incident.Read.All", "AdvancedHunting.Read.All"];
    required.insert(xdr.to_owned(), ids(xdr, &hunting, &["Incident.Read", "AdvancedHunting.Read"]));
    required.insert(AAD_GRAPH_APP_ID.to_owned(), ids(AAD_GRAPH_APP_ID, &[], &["User.Read"]));
    Application {
        object_id: dice.guid(),
        app_id,
        name: "Muster".to_owned(),
        home: Some(home),
        audience: Audience::MultipleOrgs,
        redirects: redirects.iter().map(|redirect| (Platform::Web, redirect.clone())).collect(),
        public: true,
        passwords: vec![PasswordCredential {
            key_id: dice.guid(),
            name: Some("made at start".to_owned()),
            value: secret,
            start: now,
            end: now.plus_seconds(365 * 86_400),
            works_from: Ticks(0),
        }],
        keys: Vec::new(),
        federated: Vec::new(),
        required,
        enabled: true,
        tags: Vec::new(),
        owners: Vec::new(),
        created: now,
        token_version: 1,
    }
}

/// Microsoft's own public clients, which are in every tenant.
pub(crate) fn first_party_apps(dice: &mut Dice) -> Vec<Application> {
    let graph = Resource::of_app(GRAPH_APP_ID).expect("Microsoft's APIs are all listed");
    let scopes = [
        "Application.ReadWrite.All",
        "AppRoleAssignment.ReadWrite.All",
        "DelegatedPermissionGrant.ReadWrite.All",
        "Directory.Read.All",
        "User.Read",
    ];
    let required = Required {
        roles: Vec::new(),
        scopes: scopes
            .iter()
            .filter_map(|name| graph.permission(name))
            .map(|permission| permission.scope_id.to_owned())
            .collect(),
    };
    [
        (GRAPH_COMMAND_LINE_TOOLS, "Microsoft Graph Command Line Tools"),
        (AZURE_COMMAND_LINE, "Microsoft Azure CLI"),
    ]
    .into_iter()
    .map(|(app_id, name)| Application {
        object_id: dice.guid(),
        app_id: app_id.to_owned(),
        name: name.to_owned(),
        home: None,
        audience: Audience::MultipleOrgs,
        redirects: [
            "http://localhost",
            "http://127.0.0.1",
            "https://login.microsoftonline.com/common/oauth2/nativeclient",
        ]
        .into_iter()
        .map(|redirect| (Platform::Public, redirect.to_owned()))
        .collect(),
        public: true,
        passwords: Vec::new(),
        keys: Vec::new(),
        federated: Vec::new(),
        required: BTreeMap::from([(GRAPH_APP_ID.to_owned(), required.clone())]),
        enabled: true,
        tags: Vec::new(),
        owners: Vec::new(),
        created: Ticks(0),
        token_version: 1,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::same_redirect;

    #[test]
    fn redirects_are_compared_as_written() {
        assert!(same_redirect("https://a.example/cb", "https://a.example/cb"));
        assert!(same_redirect("https://SiemMsspConnector", "https://siemmsspconnector/"));
        assert!(same_redirect("http://localhost", "http://localhost:51234/"));
        assert!(same_redirect("http://localhost/cb", "http://localhost:51234/cb"));
        for (known, asked) in [
            ("https://a.example/cb", "https://a.example/CB"),
            ("https://a.example/cb", "https://a.example/cb/"),
            ("https://a.example/cb", "https://a.example/cb?x=1"),
            ("https://a.example/cb", "https://a.example:8443/cb"),
            ("https://a.example", "https://a.example@evil.example/"),
            ("https://a.example", "https://u@a.example/"),
            ("http://localhost", "http://localhost.evil.example/"),
            ("http://localhost", "http://localhost:1/other"),
            ("http://localhost", "https://localhost:1/"),
            ("https://a.example", "//a.example"),
        ] {
            assert!(!same_redirect(known, asked), "{known} {asked}");
        }
    }
}
