//! The directory: who may sign in, which apps are registered, and what each tenant has consented to.
//!
//! A tenant's part is made when it is first asked for, so that a world of many thousand tenants costs what is used.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::world::cast::TenantFacts;
use crate::world::dice::{Dice, derive};
use crate::world::tenants::World;
use crate::world::ticks::Ticks;

use super::application::Application;
use super::principal::ServicePrincipal;
use super::resources::Resource;

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

/// One tenant's part of the directory.
#[derive(Debug, Default)]
pub(crate) struct TenantDirectory {
    pub(crate) users: Vec<User>,
    pub(crate) principals: Vec<ServicePrincipal>,
    /// APIs that the tenant does not have, for want of a licence.
    pub(crate) missing_resources: BTreeSet<String>,
    /// The national cloud that it is in, where that is another one: `cloud_instance_name` and `tenant_region_sub_scope`.
    pub(crate) elsewhere: Option<(String, Option<String>)>,
    /// What its app-management policy forbids.
    pub(crate) app_policy: AppPolicy,
}

/// An app-management policy.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AppPolicy {
    pub(crate) no_secrets: bool,
    /// The longest life of a secret or certificate.
    pub(crate) lifetime_days_max: Option<u32>,
    pub(crate) no_multitenant: bool,
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

/// Names that stand for the tenant of whoever signs in.
pub(crate) fn is_any_tenant(name: &str) -> bool {
    matches!(name, "common" | "organizations")
}
