//! Consent: what an app asks a person or an organisation for, and the admin-consent endpoints of both versions.

use crate::http::answer::Answer;
use crate::http::call::fields_of;
use crate::world::tenants::World;

use super::application::Application;
use super::claims::Version;
use super::error::{AadError, Trace, aad, missing};
use super::flow::{AdminConsent, Person, Prompt, Purpose};
use super::pages::{self, Line, ResponseMode};
use super::platform::{Identity, Scene, State};
use super::resources::{Permission, RESOURCES, Resource};
use super::scopes;

/// What is asked of whom, for one app and one person.
pub(crate) struct Asked {
    roles: Vec<(&'static Resource, &'static Permission)>,
    scopes: Vec<(&'static Resource, &'static Permission)>,
    /// Whether it is for the whole organisation in any case.
    for_all: bool,
    /// Whether the person has to be asked at all.
    pub(crate) needed: bool,
    /// Whether only an administrator can say yes.
    pub(crate) needs_administrator: bool,
}

impl Asked {
    pub(crate) fn of(
        state: &mut State,
        world: &World,
        purpose: &Purpose,
        app: &Application,
        person: &Person,
    ) -> Self {
        let device_wanted = match purpose {
            Purpose::Device(device) => {
                state.grants.devices.get(&device.key).and_then(|device| device.wanted.clone())
            }
            _ => None,
        };
        // Single permissions are asked for as they come; else it is all that the app is registered with.
        let single = match purpose {
            Purpose::AdminConsent(request) => request.scopes.clone(),
            Purpose::Authorize(request) => request.wanted.clone().and_then(|wanted| {
                (!wanted.scopes.is_empty())
                    .then(|| (wanted.resource, wanted.scopes.union(&wanted.oidc).cloned().collect()))
            }),
            Purpose::Device(_) => device_wanted.clone().and_then(|wanted| {
                (!wanted.scopes.is_empty()).then(|| (wanted.resource, wanted.scopes.into_iter().collect()))
            }),
        };
        let (roles, scopes) = match &single {
            Some((resource, names)) => (Vec::new(), permissions(resource, names)),
            None => registered(app),
        };
        let target = match purpose {
            Purpose::Authorize(request) => request.wanted.as_ref().map(|wanted| wanted.resource),
            Purpose::Device(_) => device_wanted.as_ref().map(|wanted| wanted.resource),
            Purpose::AdminConsent(_) => None,
        };
        let directory = state.directory.tenant(world, person.tenant);
        let principal = directory.principal(&app.app_id);
        let has_role = |resource: &Resource, name: &str| {
            principal
                .is_some_and(|principal| principal.roles_on(resource.app_id).iter().any(|role| role == name))
        };
        let has_scope = |resource: &Resource, name: &str| {
            principal.is_some_and(|principal| {
                principal.scopes_on(resource.app_id, &person.object_id).contains(name)
            })
        };
        let missing_role = roles.iter().any(|(resource, role)| !has_role(resource, role.name));
        let missing: Vec<_> =
            scopes.iter().filter(|(resource, scope)| !has_scope(resource, scope.name)).collect();
        let needs_administrator = missing_role || missing.iter().any(|(_, scope)| scope.admin_only);
        let for_all = purpose.prompt() == Prompt::AdminConsent;
        let forced = for_all || purpose.prompt() == Prompt::Consent;
        // Without being told to, only what the request itself needs is looked at: the scopes of one API.
        let needed = forced
            || principal.is_none()
            || missing.iter().any(|(resource, scope)| {
                let oidc = matches!(scope.name, "openid" | "profile" | "email" | "offline_access");
                !oidc && target.is_none_or(|target| target.app_id == resource.app_id)
            });
        Self { roles, scopes, for_all, needed, needs_administrator: needs_administrator || for_all }
    }

    pub(crate) fn page(
        &self,
        state: &mut State,
        world: &World,
        flow: &str,
        app: &Application,
        person: &Person,
        redirect: &str,
    ) -> Answer {
        let account = state.account(world, person);
        let administrator = state.is_administrator(world, person);
        let lines = |permissions: &[(&'static Resource, &'static Permission)]| {
            permissions
                .iter()
                .map(|(resource, permission)| Line {
                    resource: resource.name,
                    permission: permission.name,
                    allows: permission.allows,
                })
                .collect()
        };
        pages::consent(&pages::Consent {
            flow,
            app: &app.name,
            publisher: app.home.map_or("Microsoft Corporation", |home| world.facts(home).name.as_str()),
            account: &account,
            organisation: &world.facts(person.tenant).name,
            // What an app may do by itself is the administrator's affair.
            roles: if administrator { lines(&self.roles) } else { Vec::new() },
            scopes: lines(&self.scopes),
            for_all: self.for_all,
            may_choose: administrator && !self.for_all,
            redirect,
        })
    }

    /// Writes down that somebody said yes.
    pub(crate) fn grant(
        &self,
        state: &mut State,
        world: &World,
        app: &Application,
        person: &Person,
        organisation: bool,
    ) {
        let State { directory, dice, .. } = state;
        let principal = directory.ensure_principal(world, person.tenant, &app.app_id);
        for (resource, role) in &self.roles {
            principal.grant_role(dice, resource.app_id, role.name, world.now());
        }
        let user = (!self.for_all && !organisation).then_some(person.object_id.as_str());
        for (resource, scope) in &self.scopes {
            principal.grant_scopes(dice, resource.app_id, user, [scope.name.to_owned()]);
        }
    }

    /// What was granted, as the v2 endpoint's redirect names it.
    fn addresses(&self) -> String {
        let mut words: Vec<String> = self
            .roles
            .iter()
            .chain(&self.scopes)
            .map(|(resource, permission)| {
                let audience = resource.audiences.first().copied().unwrap_or(resource.app_id);
                format!("{audience}/{}", permission.name)
            })
            .collect();
        words.dedup();
        words.join(" ")
    }
}

fn permissions(
    resource: &'static Resource,
    names: &[String],
) -> Vec<(&'static Resource, &'static Permission)> {
    let graph = &RESOURCES[0];
    names
        .iter()
        .filter_map(|name| {
            // The scopes of the sign-in itself are Graph's, whichever API they are asked with.
            let own = resource.permission(name).map(|permission| (resource, permission));
            own.or_else(|| graph.permission(name).map(|permission| (graph, permission)))
        })
        .filter(|(_, permission)| !permission.scope_id.is_empty())
        .collect()
}

type Permissions = Vec<(&'static Resource, &'static Permission)>;

fn registered(app: &Application) -> (Permissions, Permissions) {
    let (mut roles, mut scopes) = (Vec::new(), Vec::new());
    for (resource, required) in &app.required {
        let Some(resource) = Resource::of_app(resource) else { continue };
        roles.extend(required.roles.iter().filter_map(|id| Some((resource, resource.role(id)?))));
        scopes.extend(required.scopes.iter().filter_map(|id| Some((resource, resource.scope(id)?))));
    }
    (roles, scopes)
}

impl Identity {
    /// `GET …/adminconsent` and `GET …/v2.0/adminconsent`.
    pub(crate) fn admin_consent(&self, scene: &Scene<'_>, tenant_name: &str, version: Version) -> Answer {
        let fields = fields_of(scene.call.query.as_bytes());
        let (tenant, app, redirect, _) = match self.read_client(scene, tenant_name, &fields) {
            Ok(client) => client,
            Err(error) => return self.refusal_page(scene, &error),
        };
        let mut request = AdminConsent {
            version,
            tenant,
            app_id: app.app_id.clone(),
            redirect,
            state: fields.get("state").cloned(),
            scopes: None,
            login_hint: fields.get("login_hint").cloned().unwrap_or_default(),
        };
        if version == Version::V2 {
            let directory = &scene.world.facts(tenant.unwrap_or(scene.world.provider())).name;
            let scope = fields
                .get("scope")
                .ok_or_else(|| missing("scope"))
                .and_then(|scope| scopes::delegated_scope(scope, directory, scene.call));
            match scope {
                Ok(scope) => {
                    request.scopes = scope
                        .wanted
                        .filter(|wanted| !wanted.scopes.is_empty())
                        .map(|wanted| (wanted.resource, wanted.scopes.into_iter().collect()));
                }
                Err(error) => return self.admin_consent_failed(scene, &request, &error),
            }
        }
        self.begin(scene, Purpose::AdminConsent(Box::new(request)), self.session(scene))
    }

    pub(crate) fn send_admin_consent(
        &self,
        scene: &Scene<'_>,
        request: &AdminConsent,
        person: &Person,
    ) -> Answer {
        let tenant = scene.world.facts(person.tenant).id.as_str();
        let granted = {
            let state = &mut *self.lock();
            let purpose = Purpose::AdminConsent(Box::new(request.clone()));
            let app = state.directory.app(&request.app_id).cloned();
            app.map(|app| Asked::of(state, scene.world, &purpose, &app, person).addresses())
                .unwrap_or_default()
        };
        let mut fields = Vec::new();
        match request.version {
            Version::V1 => {
                fields.push(("tenant", tenant));
                if let Some(state) = &request.state {
                    fields.push(("state", state));
                }
                fields.push(("admin_consent", "True"));
            }
            Version::V2 => {
                fields.extend([("admin_consent", "True"), ("tenant", tenant), ("scope", &granted)]);
                if let Some(state) = &request.state {
                    fields.push(("state", state));
                }
            }
        }
        pages::back(&request.redirect, ResponseMode::Query, &fields)
    }

    /// The application is told that nobody consented. The v2 form says `admin_consent=True` all the same.
    pub(crate) fn admin_consent_failed(
        &self,
        scene: &Scene<'_>,
        request: &AdminConsent,
        error: &AadError,
    ) -> Answer {
        let trace = Trace::of(scene.world, scene.call, || self.guid());
        let description = trace.describe(error);
        let tenant = request.tenant.map_or("", |tenant| scene.world.facts(tenant).id.as_str());
        let mut fields: Vec<(&str, &str)> = match (request.version, error.code()) {
            (Version::V1, 65_004) => {
                vec![("error", "permission_denied"), ("error_description", "The admin canceled the request")]
            }
            (Version::V1, _) => vec![("error", error.error), ("error_description", &description)],
            (Version::V2, code) => {
                let name = if matches!(code, 65_004 | 90_094) { "consent_required" } else { error.error };
                let mut fields = vec![
                    ("error", name),
                    ("error_description", description.as_str()),
                    ("admin_consent", "True"),
                ];
                if !tenant.is_empty() {
                    fields.push(("tenant", tenant));
                }
                fields
            }
        };
        if let Some(state) = &request.state {
            fields.push(("state", state));
        }
        pages::back(&request.redirect, ResponseMode::Query, &fields)
    }
}

/// The refusal of a token request that nobody consented to.
pub(crate) fn not_consented(app: &Application) -> AadError {
    aad(65_001).text(format!(
        "The user or administrator has not consented to use the application with ID '{}' named '{}'. Send an interactive \
         authorization request for this user and resource.",
        app.app_id, app.name
    ))
}
