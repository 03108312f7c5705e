//! What tests, and people at a terminal, change in the directory while the emulator runs.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::errors::RequestError;
use crate::world::tenants::World;
use crate::world::ticks::Ticks;

use super::application::{
    Application, Audience, FederatedCredential, KeyCredential, PasswordCredential, Platform, Required,
};
use super::certificate::Certificate;
use super::directory::{AppPolicy, User, directory_role};
use super::platform::{Identity, State};
use super::resources::{RESOURCES, Resource};

/// An app to register. All but the name may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AppRegistration {
    /// Its id; absent: made up.
    pub app_id: Option<String>,
    /// The name that consent pages show.
    pub name: String,
    /// Its home tenant (GUID or domain); absent: the provider's.
    pub home: Option<String>,
    /// Whether other tenants can consent to it.
    pub multitenant: bool,
    /// Redirect addresses of a server, which proves itself.
    pub redirect_uris: Vec<String>,
    /// Redirect addresses of programs, which cannot keep a secret.
    pub public_redirect_uris: Vec<String>,
    /// Whether it may use the device flow and passwords without proving itself.
    pub public_client: bool,
    /// Its secret.
    pub secret: Option<String>,
    /// When the secret ends (RFC 3339); absent: in a year.
    pub secret_expires: Option<String>,
    /// Its certificate, as PEM.
    pub certificate: Option<String>,
    /// The application permissions it asks for, each as `<resource>/<name>`.
    pub roles: Vec<String>,
    /// The delegated permissions it asks for, each as `<resource>/<name>`.
    pub scopes: Vec<String>,
    /// The version of tokens for the app itself, as an API: 1 or 2; absent: 1.
    pub token_version: Option<u8>,
}

/// A change of the directory. Tenants are named by GUID or domain, apps by their ids, accounts by what they sign in with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
pub enum DirectoryChange {
    /// A new account; its tenant is that of its domain.
    AddUser {
        /// What it signs in with.
        account: String,
        /// Its password; absent: that of the accounts that every tenant has.
        #[serde(default)]
        password: Option<String>,
        /// The person's name.
        #[serde(default)]
        name: Option<String>,
        /// Names of directory roles, for example `Global Administrator`.
        #[serde(default)]
        roles: Vec<String>,
    },
    /// An account is deleted.
    RemoveUser {
        /// Which.
        account: String,
    },
    /// An account is switched off, or on again.
    EnableUser {
        /// Which.
        account: String,
        /// Whether it can sign in.
        enabled: bool,
    },
    /// A password is changed by the person (grants of public clients end), or reset by an administrator (all end).
    ChangePassword {
        /// Which account's.
        account: String,
        /// The new one.
        password: String,
        /// Whether an administrator did it.
        #[serde(default)]
        by_administrator: bool,
    },
    /// All sign-ins of an account end.
    RevokeSessions {
        /// Which.
        account: String,
    },
    /// Refresh tokens that were handed out are refused from now on.
    EndGrants {
        /// Those of this app; absent: of all.
        #[serde(default)]
        app: Option<String>,
        /// Those of people of this tenant; absent: of all.
        #[serde(default)]
        tenant: Option<String>,
        /// The AADSTS code; absent: 50173 (revoked).
        #[serde(default)]
        code: Option<u32>,
    },
    /// A whole tenant consents to all that an app asks for.
    Consent {
        /// The tenant.
        tenant: String,
        /// The app; absent: the default app.
        #[serde(default)]
        app: Option<String>,
    },
    /// An app's part in a tenant is deleted, and its consent with it.
    RemoveConsent {
        /// The tenant.
        tenant: String,
        /// The app; absent: the default app.
        #[serde(default)]
        app: Option<String>,
    },
    /// An app gets an application role in a tenant.
    GrantRole {
        /// The tenant.
        tenant: String,
        /// The app; absent: the default app.
        #[serde(default)]
        app: Option<String>,
        /// `<resource>/<name>`.
        role: String,
    },
    /// An app loses an application role in a tenant.
    RemoveRole {
        /// The tenant.
        tenant: String,
        /// The app; absent: the default app.
        #[serde(default)]
        app: Option<String>,
        /// `<resource>/<name>`.
        role: String,
    },
    /// An app is switched off, or on again: in one tenant, or everywhere.
    EnableApp {
        /// The app; absent: the default app.
        #[serde(default)]
        app: Option<String>,
        /// The tenant; absent: everywhere.
        #[serde(default)]
        tenant: Option<String>,
        /// Whether it gets tokens.
        enabled: bool,
    },
    /// An app is registered.
    AddApp {
        /// What it is.
        registration: AppRegistration,
    },
    /// A registration is deleted.
    RemoveApp {
        /// The app.
        app: String,
    },
    /// A redirect address is registered.
    AddRedirectUri {
        /// The app; absent: the default app.
        #[serde(default)]
        app: Option<String>,
        /// The address.
        uri: String,
        /// Whether it is one of a program that cannot keep a secret.
        #[serde(default)]
        public: bool,
    },
    /// An app gets a secret.
    AddSecret {
        /// The app; absent: the default app.
        #[serde(default)]
        app: Option<String>,
        /// The secret.
        secret: String,
        /// When it ends (RFC 3339); absent: in a year.
        #[serde(default)]
        expires: Option<String>,
    },
    /// All secrets of an app end now.
    ExpireSecrets {
        /// The app; absent: the default app.
        #[serde(default)]
        app: Option<String>,
    },
    /// All secrets of an app are deleted.
    RemoveSecrets {
        /// The app; absent: the default app.
        #[serde(default)]
        app: Option<String>,
    },
    /// An app gets a certificate.
    AddCertificate {
        /// The app; absent: the default app.
        #[serde(default)]
        app: Option<String>,
        /// The certificate, as PEM.
        certificate: String,
    },
    /// All certificates of an app are deleted.
    RemoveCertificates {
        /// The app; absent: the default app.
        #[serde(default)]
        app: Option<String>,
    },
    /// Somebody else's tokens are taken in place of a secret.
    AddFederatedCredential {
        /// The app; absent: the default app.
        #[serde(default)]
        app: Option<String>,
        /// Who issues them.
        issuer: String,
        /// Whom they are about.
        subject: String,
        /// Whom they are for; absent: `api://AzureADTokenExchange`.
        #[serde(default)]
        audience: Option<String>,
    },
    /// The keys of another issuer become known.
    TrustIssuer {
        /// The issuer, as its tokens name it.
        issuer: String,
        /// Its keys, as a JSON Web Key Set.
        keys: Value,
    },
    /// A tenant loses an API, for want of a licence, or has it again.
    EnableResource {
        /// The tenant.
        tenant: String,
        /// The API: its app id or an address.
        resource: String,
        /// Whether the tenant has it.
        enabled: bool,
    },
    /// A tenant turns out to be in another national cloud, as its discovery document says.
    NationalCloud {
        /// The tenant.
        tenant: String,
        /// `cloud_instance_name`, such as `microsoftonline.us`.
        instance: String,
        /// `tenant_region_sub_scope`, such as `DODCON`.
        #[serde(default)]
        sub_scope: Option<String>,
    },
    /// A tenant's app-management policy forbids some things from now on; with nothing said, it forbids nothing.
    AppPolicy {
        /// The tenant.
        tenant: String,
        /// Whether apps may have no secrets.
        #[serde(default)]
        no_secrets: bool,
        /// How long a secret or certificate may live.
        #[serde(default)]
        lifetime_days_max: Option<u32>,
        /// Whether apps may not be for other tenants.
        #[serde(default)]
        no_multitenant: bool,
    },
    /// Another key signs from now on; the older ones are still published.
    RollKeys,
    /// Keys that no longer sign are forgotten.
    DropOldKeys,
    /// How long new secrets and certificates are not known yet.
    CredentialDelay {
        /// In milliseconds.
        milliseconds: u64,
    },
}

/// The other half of a `<resource>/<name>`.
fn permission_of(text: &str) -> Result<(&'static Resource, &str), RequestError> {
    let unknown = || RequestError::UnknownPermission(text.to_owned());
    let (audience, name) = text.rsplit_once('/').ok_or_else(unknown)?;
    let resource = resource_of(audience).ok_or_else(unknown)?;
    resource.permission(name).map(|permission| (resource, permission.name)).ok_or_else(unknown)
}

fn resource_of(name: &str) -> Option<&'static Resource> {
    let name = name.trim_end_matches('/');
    RESOURCES.iter().find(|resource| {
        resource.app_id.eq_ignore_ascii_case(name)
            || resource.audiences.iter().any(|audience| audience.eq_ignore_ascii_case(name))
    })
}

impl Identity {
    /// Changes the directory.
    pub(crate) fn change(&self, world: &World, change: DirectoryChange) -> Result<(), RequestError> {
        let now = world.now();
        match change {
            DirectoryChange::RollKeys => {
                return self.roll_keys().map_err(|error| RequestError::Keys(error.to_string()));
            }
            DirectoryChange::DropOldKeys => {
                self.drop_old_keys();
                return Ok(());
            }
            _ => {}
        }
        let tenant_of =
            |name: &str| world.find_tenant(name).ok_or_else(|| RequestError::UnknownTenant(name.to_owned()));
        let default = |app: Option<String>| app.unwrap_or_else(|| self.app_id.clone());
        let state = &mut *self.lock();
        match change {
            DirectoryChange::AddUser { account, password, name, roles } => {
                let tenant = tenant_of(account.rsplit_once('@').map_or("", |parts| parts.1))?;
                let roles = roles
                    .iter()
                    .map(|role| {
                        directory_role(role)
                            .map(str::to_owned)
                            .ok_or_else(|| RequestError::UnknownPermission(role.clone()))
                    })
                    .collect::<Result<BTreeSet<_>, _>>()?;
                let user = User {
                    object_id: state.dice.guid(),
                    name: name.unwrap_or_else(|| account.split('@').next().unwrap_or_default().to_owned()),
                    account: account.to_lowercase(),
                    password: password.unwrap_or_else(|| self.password.clone()),
                    roles,
                    enabled: true,
                    sessions_from: now,
                    password_from: now,
                };
                let directory = state.directory.tenant(world, tenant);
                directory.users.retain(|own| own.account != user.account);
                directory.users.push(user);
            }
            DirectoryChange::RemoveUser { account } => {
                state.user_of_account(world, &account)?;
                let tenant = tenant_of(account.rsplit_once('@').map_or("", |parts| parts.1))?;
                let directory = state.directory.tenant(world, tenant);
                directory.users.retain(|own| !own.account.eq_ignore_ascii_case(&account));
            }
            DirectoryChange::EnableUser { account, enabled } => {
                state.user_of_account(world, &account)?.enabled = enabled;
            }
            DirectoryChange::ChangePassword { account, password, by_administrator } => {
                let user = state.user_of_account(world, &account)?;
                user.password = password;
                user.password_from = now;
                if by_administrator {
                    user.sessions_from = now;
                }
            }
            DirectoryChange::RevokeSessions { account } => {
                state.user_of_account(world, &account)?.sessions_from = now;
            }
            DirectoryChange::EndGrants { app, tenant, code } => {
                let tenant = tenant.as_deref().map(tenant_of).transpose()?;
                for token in state.grants.refresh.values_mut() {
                    let same_app = app.as_ref().is_none_or(|app| app.eq_ignore_ascii_case(&token.app_id));
                    if same_app && tenant.is_none_or(|tenant| tenant == token.person.tenant) {
                        token.ended = Some(code.unwrap_or(50_173));
                    }
                }
            }
            DirectoryChange::Consent { tenant, app } => {
                let (tenant, app) = (tenant_of(&tenant)?, default(app));
                state.app(&app)?;
                let State { directory, dice, .. } = state;
                directory.consent(world, tenant, &app, None, dice);
            }
            DirectoryChange::RemoveConsent { tenant, app } => {
                let (tenant, app) = (tenant_of(&tenant)?, default(app));
                let directory = state.directory.tenant(world, tenant);
                directory.principals.retain(|principal| !principal.app_id.eq_ignore_ascii_case(&app));
            }
            DirectoryChange::GrantRole { tenant, app, role } => {
                let (tenant, app) = (tenant_of(&tenant)?, default(app));
                let (resource, name) = permission_of(&role)?;
                // A managed identity has no registration, only its principal.
                let app = match self.managed_identities().find(|identity| identity.0 == app) {
                    Some(_) => app,
                    None => state.app(&app)?.app_id.clone(),
                };
                let State { directory, dice, .. } = state;
                directory.ensure_principal(world, tenant, &app).grant_role(dice, resource.app_id, name, now);
            }
            DirectoryChange::RemoveRole { tenant, app, role } => {
                let (tenant, app) = (tenant_of(&tenant)?, default(app));
                let (resource, name) = permission_of(&role)?;
                if let Some(principal) = state.directory.tenant(world, tenant).principal_mut(&app) {
                    principal.roles.retain(|own| own.resource != resource.app_id || own.role != name);
                }
            }
            DirectoryChange::EnableApp { app, tenant, enabled } => {
                let app = default(app);
                match tenant {
                    None => state.app(&app)?.enabled = enabled,
                    Some(tenant) => {
                        let tenant = tenant_of(&tenant)?;
                        let principal = state.directory.tenant(world, tenant).principal_mut(&app);
                        principal.ok_or(RequestError::UnknownApp(app))?.enabled = enabled;
                    }
                }
            }
            DirectoryChange::AddApp { registration } => {
                state.register(world, registration)?;
            }
            DirectoryChange::RemoveApp { app } => {
                state.directory.remove_app(&app).ok_or(RequestError::UnknownApp(app))?;
            }
            DirectoryChange::AddRedirectUri { app, uri, public } => {
                let platform = if public { Platform::Public } else { Platform::Web };
                state.app(&default(app))?.redirects.push((platform, uri));
            }
            DirectoryChange::AddSecret { app, secret, expires } => {
                let secret = state.password_credential(now, secret, expires.as_deref())?;
                state.app(&default(app))?.passwords.push(secret);
            }
            DirectoryChange::ExpireSecrets { app } => {
                for password in &mut state.app(&default(app))?.passwords {
                    password.end = password.end.min(now);
                }
            }
            DirectoryChange::RemoveSecrets { app } => state.app(&default(app))?.passwords.clear(),
            DirectoryChange::AddCertificate { app, certificate } => {
                let key = state.key_credential(now, &certificate)?;
                state.app(&default(app))?.keys.push(key);
            }
            DirectoryChange::RemoveCertificates { app } => state.app(&default(app))?.keys.clear(),
            DirectoryChange::AddFederatedCredential { app, issuer, subject, audience } => {
                let id = state.dice.guid();
                let app = state.app(&default(app))?;
                let name = format!("federated-{}", app.federated.len() + 1);
                app.federated.push(FederatedCredential {
                    id,
                    name,
                    issuer,
                    subject,
                    audiences: vec![audience.unwrap_or_else(|| "api://AzureADTokenExchange".to_owned())],
                    description: None,
                });
            }
            DirectoryChange::TrustIssuer { issuer, keys } => {
                state.trusted_issuers.insert(issuer, keys);
            }
            DirectoryChange::EnableResource { tenant, resource, enabled } => {
                let tenant = tenant_of(&tenant)?;
                let resource = resource_of(&resource)
                    .ok_or(RequestError::UnknownPermission(resource))?
                    .app_id
                    .to_owned();
                let missing = &mut state.directory.tenant(world, tenant).missing_resources;
                if enabled {
                    missing.remove(&resource);
                } else {
                    missing.insert(resource);
                }
            }
            DirectoryChange::NationalCloud { tenant, instance, sub_scope } => {
                let tenant = tenant_of(&tenant)?;
                state.directory.tenant(world, tenant).elsewhere = Some((instance, sub_scope));
            }
            DirectoryChange::AppPolicy { tenant, no_secrets, lifetime_days_max, no_multitenant } => {
                let tenant = tenant_of(&tenant)?;
                state.directory.tenant(world, tenant).app_policy =
                    AppPolicy { no_secrets, lifetime_days_max, no_multitenant };
            }
            DirectoryChange::CredentialDelay { milliseconds } => {
                state.credential_delay = i64::try_from(milliseconds).unwrap_or(i64::MAX / 20_000) * 10_000;
            }
            DirectoryChange::RollKeys | DirectoryChange::DropOldKeys => {}
        }
        Ok(())
    }

    /// Registers an app; gives its id.
    pub(crate) fn register(
        &self,
        world: &World,
        registration: AppRegistration,
    ) -> Result<String, RequestError> {
        self.lock().register(world, registration)
    }

    /// The password of an account.
    pub(crate) fn password_of(&self, world: &World, account: &str) -> Result<String, RequestError> {
        self.lock().user_of_account(world, account).map(|user| user.password.clone())
    }
}

impl State {
    fn app(&mut self, app: &str) -> Result<&mut Application, RequestError> {
        self.directory.app_mut(app).ok_or_else(|| RequestError::UnknownApp(app.to_owned()))
    }

    fn user_of_account(&mut self, world: &World, account: &str) -> Result<&mut User, RequestError> {
        let unknown = || RequestError::UnknownAccount(account.to_owned());
        let tenant =
            account.rsplit_once('@').and_then(|parts| world.find_tenant(parts.1)).ok_or_else(unknown)?;
        self.directory.tenant(world, tenant).user_mut(account).ok_or_else(unknown)
    }

    fn password_credential(
        &mut self,
        now: Ticks,
        value: String,
        expires: Option<&str>,
    ) -> Result<PasswordCredential, RequestError> {
        let end = match expires {
            None => now.plus_seconds(365 * 86_400),
            Some(text) => Ticks::parse(text).ok_or_else(|| RequestError::NotATime(text.to_owned()))?,
        };
        Ok(PasswordCredential {
            key_id: self.dice.guid(),
            name: None,
            value,
            start: now.min(end),
            end,
            works_from: Ticks(now.0.saturating_add(self.credential_delay)),
        })
    }

    fn key_credential(&mut self, now: Ticks, pem: &str) -> Result<KeyCredential, RequestError> {
        let certificate = Certificate::from_pem(pem).ok_or(RequestError::NotACertificate)?;
        Ok(KeyCredential {
            key_id: self.dice.guid(),
            name: None,
            certificate,
            works_from: Ticks(now.0.saturating_add(self.credential_delay)),
        })
    }

    fn register(&mut self, world: &World, wanted: AppRegistration) -> Result<String, RequestError> {
        let home = match &wanted.home {
            None => world.provider(),
            Some(name) => world.find_tenant(name).ok_or_else(|| RequestError::UnknownTenant(name.clone()))?,
        };
        let now = world.now();
        let mut required = std::collections::BTreeMap::<String, Required>::new();
        for text in &wanted.roles {
            let (resource, name) = permission_of(text)?;
            let id = resource.permission(name).map_or("", |permission| permission.role_id).to_owned();
            required.entry(resource.app_id.to_owned()).or_default().roles.push(id);
        }
        for text in &wanted.scopes {
            let (resource, name) = permission_of(text)?;
            let id = resource.permission(name).map_or("", |permission| permission.scope_id).to_owned();
            required.entry(resource.app_id.to_owned()).or_default().scopes.push(id);
        }
        let passwords = match wanted.secret {
            None => Vec::new(),
            Some(secret) => {
                vec![self.password_credential(now, secret, wanted.secret_expires.as_deref())?]
            }
        };
        let keys = match &wanted.certificate {
            None => Vec::new(),
            Some(pem) => vec![self.key_credential(now, pem)?],
        };
        let web = wanted.redirect_uris.into_iter().map(|uri| (Platform::Web, uri));
        let public = wanted.public_redirect_uris.into_iter().map(|uri| (Platform::Public, uri));
        let app = Application {
            object_id: self.dice.guid(),
            app_id: wanted.app_id.unwrap_or_else(|| self.dice.guid()),
            name: if wanted.name.is_empty() { "An app".to_owned() } else { wanted.name },
            home: Some(home),
            audience: if wanted.multitenant { Audience::MultipleOrgs } else { Audience::MyOrg },
            redirects: web.chain(public).collect(),
            public: wanted.public_client,
            passwords,
            keys,
            federated: Vec::new(),
            required,
            enabled: true,
            tags: Vec::new(),
            owners: Vec::new(),
            created: now,
            token_version: wanted.token_version.unwrap_or(1),
        };
        let id = app.app_id.clone();
        self.directory.add_app(app);
        self.directory.ensure_principal(world, home, &id);
        Ok(id)
    }
}
