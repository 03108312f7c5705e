//! The directory: who may sign in, which apps are registered, and what each tenant has consented to.
//!
//! A tenant's part is made when it is first asked for, so that a world of many thousand tenants costs what is used.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::world::cast::TenantFacts;
use crate::world::dice::{Dice, derive};
use crate::world::tenants::World;
use crate::world::ticks::Ticks;

use super::resources::{AAD_GRAPH_APP_ID, GRAPH_APP_ID, Resource};

/// The directory role of those who may consent for their organisation.
pub(crate) const GLOBAL_ADMINISTRATOR: &str = "62e90394-69f5-4237-9190-012177145e10";
/// The directory role of those who may read alerts and incidents.
pub(crate) const SECURITY_READER: &str = "5d6b6bb7-de71-4623-b4af-96380a352509";

/// Other directory roles by name, for accounts that tests add.
const DIRECTORY_ROLES: &[(&str, &str)] = &[
    ("Global Administrator", GLOBAL_ADMINISTRATOR),
    ("Security Reader", SECURITY_READER),
    ("Security Administrator", "194ae4cb-b126-40b2-bd5b-6091b380977d"),
    ("Security Operator", "5f2222b1-57c3-48ba-8ad5-d4759f1fde6f"),
    ("Application Administrator", "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3"),
    ("Cloud Application Administrator", "158c047a-c907-4556-b7ef-446551a6b5f7"),
    ("Privileged Role Administrator", "e8611ab8-c189-46e8-94e1-60213ab1f814"),
    ("Global Reader", "f2ef992c-3afb-46b9-b7cf-a126ee74c451"),
];

/// The template id of a directory role by its name.
pub(crate) fn directory_role(name: &str) -> Option<&'static str> {
    DIRECTORY_ROLES.iter().find(|role| role.0.eq_ignore_ascii_case(name)).map(|role| role.1)
}

/// Microsoft's own command-line client, which `Connect-MgGraph` signs in with.
pub(crate) const GRAPH_COMMAND_LINE_TOOLS: &str = "14d82eec-204b-4c2f-b7e8-296a70dab67e";
/// The Azure command line.
pub(crate) const AZURE_COMMAND_LINE: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";

/// An account of a tenant.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) object_id: String,
    /// The name it signs in with, in lower case.
    pub(crate) account: String,
    pub(crate) name: String,
    pub(crate) password: String,
    /// Template ids of its directory roles.
    pub(crate) roles: BTreeSet<String>,
    pub(crate) enabled: bool,
    /// Grants from before are not taken any more, whoever holds them.
    pub(crate) sessions_from: Ticks,
    /// Grants of public clients from before are not taken any more.
    pub(crate) password_from: Ticks,
}

impl User {
    pub(crate) fn is_global_administrator(&self) -> bool {
        self.roles.contains(GLOBAL_ADMINISTRATOR)
    }
}

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
    pub(crate) certificate: super::certificate::Certificate,
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

/// Consent to delegated permissions on one API.
#[derive(Debug, Clone)]
pub(crate) struct DelegatedGrant {
    pub(crate) id: String,
    /// The API's app id.
    pub(crate) resource: String,
    /// The person who consented for themself; `None`: the whole organisation.
    pub(crate) user: Option<String>,
    pub(crate) scopes: BTreeSet<String>,
}

/// An app role given to an app.
#[derive(Debug, Clone)]
pub(crate) struct RoleGrant {
    pub(crate) id: String,
    /// The API's app id.
    pub(crate) resource: String,
    pub(crate) role: String,
    pub(crate) created: Ticks,
}

/// An app's part in one tenant.
#[derive(Debug, Clone)]
pub(crate) struct ServicePrincipal {
    pub(crate) object_id: String,
    pub(crate) app_id: String,
    pub(crate) enabled: bool,
    pub(crate) roles: Vec<RoleGrant>,
    pub(crate) grants: Vec<DelegatedGrant>,
}

impl ServicePrincipal {
    /// The names of the roles it has on an API.
    pub(crate) fn roles_on(&self, resource: &str) -> Vec<String> {
        self.roles.iter().filter(|grant| grant.resource == resource).map(|grant| grant.role.clone()).collect()
    }

    /// The scopes it has on an API on behalf of a person.
    pub(crate) fn scopes_on(&self, resource: &str, user: &str) -> BTreeSet<String> {
        self.grants
            .iter()
            .filter(|grant| grant.resource == resource)
            .filter(|grant| grant.user.as_deref().is_none_or(|own| own == user))
            .flat_map(|grant| grant.scopes.iter().cloned())
            .collect()
    }

    pub(crate) fn grant_role(&mut self, dice: &mut Dice, resource: &str, role: &str, now: Ticks) {
        if !self.roles.iter().any(|grant| grant.resource == resource && grant.role == role) {
            self.roles.push(RoleGrant {
                id: assignment_id(dice),
                resource: resource.to_owned(),
                role: role.to_owned(),
                created: now,
            });
        }
    }

    pub(crate) fn grant_scopes<I>(&mut self, dice: &mut Dice, resource: &str, user: Option<&str>, scopes: I)
    where
        I: IntoIterator<Item = String>,
    {
        let place = self
            .grants
            .iter()
            .position(|grant| grant.resource == resource && grant.user.as_deref() == user)
            .unwrap_or_else(|| {
                self.grants.push(DelegatedGrant {
                    id: assignment_id(dice),
                    resource: resource.to_owned(),
                    user: user.map(str::to_owned),
                    scopes: BTreeSet::new(),
                });
                self.grants.len() - 1
            });
        self.grants[place].scopes.extend(scopes);
    }
}

fn assignment_id(dice: &mut Dice) -> String {
    dice.base64(32).replace('+', "-").replace('/', "_").trim_end_matches('=').to_owned()
}

/// One tenant's part of the directory.
#[derive(Debug, Default)]
pub(crate) struct TenantDirectory {
    pub(crate) users: Vec<User>,
    pub(crate) principals: Vec<ServicePrincipal>,
    /// APIs that the tenant does not have, for want of a licence.
    pub(crate) missing_resources: BTreeSet<String>,
}

impl TenantDirectory {
    pub(crate) fn principal(&self, app_id: &str) -> Option<&ServicePrincipal> {
        self.principals.iter().find(|principal| principal.app_id.eq_ignore_ascii_case(app_id))
    }

    pub(crate) fn principal_mut(&mut self, app_id: &str) -> Option<&mut ServicePrincipal> {
        self.principals.iter_mut().find(|principal| principal.app_id.eq_ignore_ascii_case(app_id))
    }

    pub(crate) fn user(&self, account: &str) -> Option<&User> {
        self.users.iter().find(|user| user.account.eq_ignore_ascii_case(account))
    }

    pub(crate) fn user_mut(&mut self, account: &str) -> Option<&mut User> {
        self.users.iter_mut().find(|user| user.account.eq_ignore_ascii_case(account))
    }

    pub(crate) fn user_of(&self, object_id: &str) -> Option<&User> {
        self.users.iter().find(|user| user.object_id == object_id)
    }
}

/// How tenants look when they are first asked for.
pub(crate) struct Seeding {
    pub(crate) default_app: String,
    /// Whether tenants have consented to the default app.
    pub(crate) consented: bool,
    /// The password of the accounts that every tenant has.
    pub(crate) password: String,
}

/// The whole directory.
pub(crate) struct Directory {
    seeding: Seeding,
    apps: BTreeMap<String, Application>,
    tenants: HashMap<u32, TenantDirectory>,
}

/// The object id of an app's part in a tenant: the same whenever it is asked for.
pub(crate) fn principal_object_id(facts: &TenantFacts, app_id: &str) -> String {
    let name = app_id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| {
        (state ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0000_0100_0000_01b3)
    });
    Dice::new(derive(&[facts.seed, 0x0b1ec7, name])).guid()
}

impl Directory {
    pub(crate) fn new(seeding: Seeding, apps: Vec<Application>) -> Self {
        let apps = apps.into_iter().map(|app| (app.app_id.to_lowercase(), app)).collect();
        Self { seeding, apps, tenants: HashMap::new() }
    }

    pub(crate) fn app(&self, app_id: &str) -> Option<&Application> {
        self.apps.get(&app_id.to_lowercase())
    }

    pub(crate) fn app_mut(&mut self, app_id: &str) -> Option<&mut Application> {
        self.apps.get_mut(&app_id.to_lowercase())
    }

    pub(crate) fn apps(&self) -> impl Iterator<Item = &Application> {
        self.apps.values()
    }

    pub(crate) fn add_app(&mut self, app: Application) {
        self.apps.insert(app.app_id.to_lowercase(), app);
    }

    pub(crate) fn remove_app(&mut self, app_id: &str) -> Option<Application> {
        let removed = self.apps.remove(&app_id.to_lowercase())?;
        // Its part in the home tenant goes with it; those elsewhere stay behind, as they do at Microsoft.
        if let Some(home) = removed.home.and_then(|home| self.tenants.get_mut(&home)) {
            home.principals.retain(|principal| principal.app_id != removed.app_id);
        }
        Some(removed)
    }

    /// A tenant's part.
    pub(crate) fn tenant(&mut self, world: &World, tenant: u32) -> &mut TenantDirectory {
        let Self { seeding, apps, tenants } = self;
        tenants.entry(tenant).or_insert_with(|| {
            let facts = world.facts(tenant);
            let mut principals = Vec::new();
            if let Some(app) = apps.get(&seeding.default_app.to_lowercase())
                && (seeding.consented || app.home == Some(tenant))
            {
                let mut dice = Dice::derived(&[facts.seed, 0xc0_45e7]);
                let mut principal = new_principal(facts, &app.app_id);
                grant_required(&mut principal, app, None, &mut dice, world.now());
                principals.push(principal);
            }
            TenantDirectory {
                users: seeded_users(facts, &seeding.password),
                principals,
                ..Default::default()
            }
        })
    }

    /// The API that a service principal's object id names in a tenant.
    pub(crate) fn resource_of_object(
        world: &World,
        tenant: u32,
        object_id: &str,
    ) -> Option<&'static Resource> {
        super::resources::RESOURCES.iter().find(|resource| {
            principal_object_id(world.facts(tenant), resource.app_id).eq_ignore_ascii_case(object_id)
        })
    }

    /// Consents for a whole tenant to all that an app asks for: on one API, or on all.
    pub(crate) fn consent(
        &mut self,
        world: &World,
        tenant: u32,
        app_id: &str,
        only: Option<&Resource>,
        dice: &mut Dice,
    ) {
        let Some(app) = self.app(app_id).cloned() else { return };
        let principal = self.ensure_principal(world, tenant, &app.app_id);
        grant_required(principal, &app, only, dice, world.now());
    }

    /// An app's part in a tenant, made if there is none.
    pub(crate) fn ensure_principal(
        &mut self,
        world: &World,
        tenant: u32,
        app_id: &str,
    ) -> &mut ServicePrincipal {
        let facts = world.facts(tenant);
        let directory = self.tenant(world, tenant);
        let place = directory
            .principals
            .iter()
            .position(|principal| principal.app_id.eq_ignore_ascii_case(app_id))
            .unwrap_or_else(|| {
                directory.principals.push(new_principal(facts, app_id));
                directory.principals.len() - 1
            });
        &mut directory.principals[place]
    }
}

fn new_principal(facts: &TenantFacts, app_id: &str) -> ServicePrincipal {
    ServicePrincipal {
        object_id: principal_object_id(facts, app_id),
        app_id: app_id.to_owned(),
        enabled: true,
        roles: Vec::new(),
        grants: Vec::new(),
    }
}

fn grant_required(
    principal: &mut ServicePrincipal,
    app: &Application,
    only: Option<&Resource>,
    dice: &mut Dice,
    now: Ticks,
) {
    for resource in app.required.keys() {
        let Some(resource) = Resource::of_app(resource) else { continue };
        if only.is_some_and(|only| only.app_id != resource.app_id) {
            continue;
        }
        for role in app.required_roles(resource) {
            principal.grant_role(dice, resource.app_id, role, now);
        }
        let scopes = app.required_scopes(resource);
        if !scopes.is_empty() {
            let scopes = scopes.into_iter().map(str::to_owned);
            principal.grant_scopes(dice, resource.app_id, None, scopes);
        }
    }
}

/// The accounts that every tenant has: an administrator, an analyst who may read alerts, and somebody with no role.
fn seeded_users(facts: &TenantFacts, password: &str) -> Vec<User> {
    let long_ago = Ticks(0);
    let user = |number: u64, local: &str, name: &str, roles: &[&str]| User {
        object_id: Dice::derived(&[facts.seed, 0x05e4, number]).guid(),
        account: format!("{local}@{}", facts.domain),
        name: name.to_owned(),
        password: password.to_owned(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        enabled: true,
        sessions_from: long_ago,
        password_from: long_ago,
    };
    vec![
        user(0, "admin", "Alex Admin", &[GLOBAL_ADMINISTRATOR]),
        user(1, "analyst", "Ana Analyst", &[SECURITY_READER]),
        user(2, "user", "Uma User", &[]),
    ]
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

/// Names that stand for the tenant of whoever signs in.
pub(crate) fn is_any_tenant(name: &str) -> bool {
    matches!(name, "common" | "organizations")
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
