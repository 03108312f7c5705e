//! The token endpoints: every grant, in both versions.

use std::collections::{BTreeSet, HashMap};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::header::HeaderName;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::faults::kind::{Area, FaultKind};
use crate::http::answer::{Answer, throttled};
use crate::http::call::fields_of;
use crate::world::dice::Dice;

use super::claims::{Claims, Version};
use super::client::{Credentials, Proof};
use super::consent::not_consented;
use super::directory::{Application, Platform, is_any_tenant};
use super::error::{AadError, aad, missing, unknown_app, unknown_tenant};
use super::flow::{Challenge, Person, RequestedAccess};
use super::grants::{CODE_SECONDS, DEVICE_SECONDS, DeviceOutcome, REFRESH_SECONDS, Refresh};
use super::platform::{Identity, Scene, State};
use super::resources::Resource;
use super::scopes;

const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
const ON_BEHALF_OF: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// A token request, read.
struct Request<'a> {
    scene: &'a Scene<'a>,
    /// As the address has it.
    tenant_name: &'a str,
    /// `None`: whatever tenant the person is of.
    tenant: Option<u32>,
    version: Version,
    form: HashMap<String, String>,
    credentials: Credentials,
    app: Application,
    claims: Option<Value>,
}

impl Request<'_> {
    fn field(&self, name: &str) -> Option<&str> {
        self.form.get(name).map(String::as_str)
    }

    fn required(&self, name: &str) -> Result<&str, AadError> {
        self.field(name).ok_or_else(|| missing(name))
    }

    fn directory(&self) -> &str {
        let tenant = self.tenant.unwrap_or_else(|| self.scene.world.provider());
        &self.scene.world.facts(tenant).name
    }

    /// What of the `claims` parameter a token has to satisfy beyond the client's capabilities.
    fn asked_claims(&self) -> Option<Value> {
        let mut asked = self.claims.as_ref()?.get("access_token")?.clone();
        asked.as_object_mut()?.remove("xms_cc");
        asked.as_object().is_some_and(|asked| !asked.is_empty()).then_some(asked)
    }

    /// Whether the client says that it understands claims challenges.
    fn is_capable(&self) -> bool {
        let values = self.claims.as_ref().map(|claims| &claims["access_token"]["xms_cc"]["values"]);
        values.and_then(Value::as_array).is_some_and(|values| {
            values.iter().any(|value| value.as_str().is_some_and(|value| value.eq_ignore_ascii_case("cp1")))
        })
    }
}

/// Who a token is for.
enum Subject {
    App,
    Person(Person),
}

/// What a token answer is made of.
struct Grant {
    tenant: u32,
    subject: Subject,
    resource: String,
    known: Option<&'static Resource>,
    roles: Vec<String>,
    scopes: BTreeSet<String>,
    oidc: BTreeSet<String>,
    proof: Proof,
    nonce: Option<String>,
    wanted: Option<RequestedAccess>,
}

impl Identity {
    /// `POST …/token`.
    pub(crate) fn token(
        &self,
        scene: &Scene<'_>,
        tenant_name: &str,
        version: Version,
        fault: Option<&FaultKind>,
    ) -> Result<Answer, AadError> {
        match fault {
            Some(FaultKind::Throttle { retry_after_seconds }) => {
                return Ok(throttled(
                    r#"{"error":"temporarily_unavailable","error_description":"AADSTS90055: Too many requests.","error_codes":[90055]}"#,
                    *retry_after_seconds,
                ));
            }
            Some(FaultKind::Status { status }) => {
                let mut error = aad(90_033);
                error.status = StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_REQUEST);
                return Err(error);
            }
            _ => {}
        }
        let request = self.read_token_request(scene, tenant_name, version)?;
        let tenant = request.tenant;
        if let Some(code) = scene.faults.refusal(Area::Token, tenant, Some(&request.app.app_id)) {
            return Err(aad(code));
        }
        let grant = match request.required("grant_type")? {
            "client_credentials" => self.client_credentials(&request)?,
            "authorization_code" => self.redeem_code(&request)?,
            "refresh_token" => self.refresh(&request)?,
            "password" => self.password(&request)?,
            DEVICE_GRANT | "device_code" => self.redeem_device(&request)?,
            ON_BEHALF_OF => {
                let public = false;
                self.prove(scene, tenant_name, &request.app, &request.credentials, public)?;
                return Err(aad(7_000_114).text(format!(
                    "Application '{}' is not allowed to make application on-behalf-of calls.",
                    request.app.app_id
                )));
            }
            grant => {
                return Err(
                    aad(70_003).text(format!("The app requested an unsupported grant type '{grant}'."))
                );
            }
        };
        Ok(self.issue(&request, grant, fault))
    }

    fn read_token_request<'a>(
        &self,
        scene: &'a Scene<'a>,
        tenant_name: &'a str,
        version: Version,
    ) -> Result<Request<'a>, AadError> {
        if scene.call.method != Method::POST {
            return Err(aad(900_561).text(format!(
                "The endpoint only accepts POST requests. Received a {} request.",
                scene.call.method
            )));
        }
        let form = fields_of(&scene.call.body);
        let credentials = Credentials::of(scene.call.headers, &form);
        let tenant = match tenant_name {
            "consumers" => return Err(aad(50_059)),
            name if is_any_tenant(name) => None,
            name => Some(scene.world.find_tenant(name).ok_or_else(|| unknown_tenant(name))?),
        };
        let client = credentials.client_id.clone().ok_or_else(|| missing("client_id"))?;
        let directory = tenant.map_or("Microsoft", |tenant| scene.world.facts(tenant).name.as_str());
        let app = self.lock().directory.app(&client).cloned();
        let app = app
            .filter(|app| tenant.is_none_or(|tenant| app.reaches(tenant)))
            .ok_or_else(|| unknown_app(&client, directory))?;
        if tenant.is_none() && !app.multitenant() {
            return Err(aad(50_194).text(format!(
                "Application '{}'({}) is not configured as a multi-tenant application. Usage of the /{tenant_name} \
                 endpoint is not supported for such apps created after '10/15/2018'. Use a tenant-specific endpoint or \
                 configure the application to be multi-tenant.",
                app.app_id, app.name
            )));
        }
        let claims = form
            .get("claims")
            .map(|text| {
                serde_json::from_str::<Value>(text)
                    .ok()
                    .filter(Value::is_object)
                    .ok_or_else(|| aad(90_013).text("The 'claims' parameter is no JSON object."))
            })
            .transpose()?;
        Ok(Request { scene, tenant_name, tenant, version, form, credentials, app, claims })
    }

    /// The app must have a part in the tenant, switched on.
    fn check_principal(&self, request: &Request<'_>, tenant: u32) -> Result<(), AadError> {
        let scene = request.scene;
        let app = &request.app;
        let facts = scene.world.facts(tenant);
        if let Some(code) = scene.faults.revoked(tenant) {
            return Err(match code {
                700_016 => unknown_app(&app.app_id, &facts.name),
                7_000_112 => disabled(app),
                code => aad(code),
            });
        }
        if !app.enabled {
            return Err(disabled(app));
        }
        let state = &mut *self.lock();
        match state.directory.tenant(scene.world, tenant).principal(&app.app_id) {
            Some(principal) if principal.enabled => Ok(()),
            Some(_) => Err(disabled(app)),
            None => Err(unknown_app(&app.app_id, &facts.name)),
        }
    }

    fn client_credentials(&self, request: &Request<'_>) -> Result<Grant, AadError> {
        let scene = request.scene;
        let Some(tenant) = request.tenant else { return Err(aad(50_059)) };
        self.check_principal(request, tenant)?;
        let proof = self.prove(scene, request.tenant_name, &request.app, &request.credentials, false)?;
        let resource = match request.version {
            Version::V1 => request.required("resource")?.to_owned(),
            Version::V2 => {
                if request.field("resource").is_some() {
                    return Err(aad(901_002));
                }
                scopes::application_scope(request.required("scope")?)?
            }
        };
        let (known, roles) = self.roles_on(request, tenant, &resource)?;
        Ok(Grant {
            tenant,
            subject: Subject::App,
            resource,
            known,
            roles,
            scopes: BTreeSet::new(),
            oidc: BTreeSet::new(),
            proof,
            nonce: None,
            wanted: None,
        })
    }

    /// The roles of the app on an API: one of Microsoft's, or another registered app.
    fn roles_on(
        &self,
        request: &Request<'_>,
        tenant: u32,
        resource: &str,
    ) -> Result<(Option<&'static Resource>, Vec<String>), AadError> {
        let scene = request.scene;
        let unknown = || scopes::unknown_resource(resource, &scene.world.facts(tenant).name);
        let state = &mut *self.lock();
        let Some(known) = Resource::named(resource, scene.call) else {
            let own = resource.strip_prefix("api://").unwrap_or(resource);
            let app = state.directory.app(own).filter(|app| app.reaches(tenant)).ok_or_else(unknown)?;
            if app.app_id == request.app.app_id && resource.starts_with("http") {
                return Err(aad(90_009));
            }
            return Ok((None, Vec::new()));
        };
        let directory = state.directory.tenant(scene.world, tenant);
        if directory.missing_resources.contains(known.app_id) {
            return Err(unknown());
        }
        let roles = directory
            .principal(&request.app.app_id)
            .map_or_else(Vec::new, |principal| principal.roles_on(known.app_id));
        let kept = roles.into_iter().filter(|role| !scene.faults.is_role_removed(tenant, role)).collect();
        Ok((Some(known), kept))
    }

    fn redeem_code(&self, request: &Request<'_>) -> Result<Grant, AadError> {
        let scene = request.scene;
        let code_text = request.required("code")?;
        let now = scene.world.now();
        // What is asked for first is whether the client may ask at all; the code is used up only by the right one.
        let (platform, person, mut wanted, nonce) = {
            let state = &mut *self.lock();
            let code = state.grants.codes.get_mut(code_text).ok_or_else(|| aad(9_002_313))?;
            if !code.app_id.eq_ignore_ascii_case(&request.app.app_id) {
                return Err(aad(70_000)
                    .text("Provided grant is invalid or malformed: the code was issued to another client."));
            }
            if request.tenant.is_some_and(|tenant| tenant != code.person.tenant) {
                return Err(aad(700_005));
            }
            if request.field("redirect_uri").is_none_or(|redirect| redirect != code.redirect) {
                let text = format!(
                    "The reply address '{}' does not match the reply address '{}' provided when requesting \
                     Authorization code.",
                    request.field("redirect_uri").unwrap_or(""),
                    code.redirect
                );
                return Err(aad(500_112).text(text));
            }
            if code.version != request.version && code.wanted.is_none() {
                return Err(aad(70_000));
            }
            check_verifier(code.challenge.as_ref(), request.field("code_verifier"))?;
            (code.platform, code.person.clone(), code.wanted.clone(), code.nonce.clone())
        };
        if platform == Platform::Public
            && (request.form.contains_key("client_secret") || request.form.contains_key("client_assertion"))
        {
            return Err(aad(700_025));
        }
        let public = platform == Platform::Public;
        let proof = self.prove(scene, request.tenant_name, &request.app, &request.credentials, public)?;
        {
            let state = &mut *self.lock();
            let code = state.grants.codes.get_mut(code_text).ok_or_else(|| aad(9_002_313))?;
            if code.used {
                return Err(aad(54_005));
            }
            if now >= code.issued.plus_seconds(CODE_SECONDS) {
                return Err(expired_grant(request.version));
            }
            code.used = true;
        }
        if let Some(other) = self.wanted_anew(request)? {
            wanted = Some(other);
        }
        self.for_person(request, person, wanted, proof, nonce)
    }

    /// What the token request itself asks for, which may be another API than at sign-in.
    fn wanted_anew(&self, request: &Request<'_>) -> Result<Option<RequestedAccess>, AadError> {
        match request.version {
            Version::V1 => match request.field("resource") {
                None => Ok(None),
                resource => scopes::delegated_resource(
                    resource,
                    &request.app,
                    request.directory(),
                    request.scene.call,
                )
                .map(Some),
            },
            Version::V2 => {
                if request.field("resource").is_some() {
                    return Err(aad(901_002));
                }
                let Some(scope) = request.field("scope") else { return Ok(None) };
                let scope = scopes::delegated_scope(scope, request.directory(), request.scene.call)?;
                Ok(scope.wanted)
            }
        }
    }

    fn refresh(&self, request: &Request<'_>) -> Result<Grant, AadError> {
        let scene = request.scene;
        let text = request.required("refresh_token")?;
        let now = scene.world.now();
        let (person, mut wanted, public, oidc) = {
            let state = &mut *self.lock();
            let State { grants, directory, .. } = state;
            let token = grants.refresh.get(text).ok_or_else(|| aad(9_002_313))?;
            if !token.app_id.eq_ignore_ascii_case(&request.app.app_id) {
                let mut error = aad(70_000).text(
                    "Provided grant is invalid or malformed: the refresh token was issued to another client.",
                );
                error.suberror = Some("client_mismatch");
                return Err(error);
            }
            if let Some(code) = token.ended {
                return Err(aad(code));
            }
            if now >= token.issued.plus_seconds(REFRESH_SECONDS) {
                return Err(aad(700_082).text(format!(
                    "The refresh token has expired due to inactivity. The token was issued on {} and was inactive for \
                     90.00:00:00.",
                    token.issued
                )));
            }
            let user = directory.tenant(scene.world, token.person.tenant).user_of(&token.person.object_id);
            let user = user.ok_or_else(|| aad(50_034))?;
            if !user.enabled {
                return Err(aad(50_057));
            }
            let from =
                if token.public { user.sessions_from.max(user.password_from) } else { user.sessions_from };
            if token.issued < from {
                return Err(aad(50_173).text(format!(
                    "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user \
                     might have changed or reset their password. The grant was issued on '{}' and the TokensValidFrom \
                     date (before which tokens are not valid) for this user is '{from}'.",
                    token.issued
                )));
            }
            if request.tenant.is_some_and(|tenant| tenant != token.person.tenant) {
                return Err(aad(50_020));
            }
            (token.person.clone(), token.wanted.clone(), token.public, token.oidc.clone())
        };
        if public
            && (request.form.contains_key("client_secret") || request.form.contains_key("client_assertion"))
        {
            return Err(aad(700_025));
        }
        let proof = self.prove(scene, request.tenant_name, &request.app, &request.credentials, public)?;
        if let Some(mut other) = self.wanted_anew(request)? {
            other.oidc.extend(oidc);
            wanted = Some(other);
        }
        self.for_person(request, person, wanted, proof, None)
    }

    fn password(&self, request: &Request<'_>) -> Result<Grant, AadError> {
        let scene = request.scene;
        let account = request.required("username")?;
        let password = request.required("password")?;
        let proof =
            self.prove(scene, request.tenant_name, &request.app, &request.credentials, request.app.public)?;
        let person = self.check_password(scene, account, password)?;
        if request.tenant.is_some_and(|tenant| tenant != person.tenant) {
            return Err(aad(50_034));
        }
        let wanted = match request.version {
            Version::V1 => Some(scopes::delegated_resource(
                Some(request.required("resource")?),
                &request.app,
                request.directory(),
                scene.call,
            )?),
            Version::V2 => {
                let scope =
                    scopes::delegated_scope(request.required("scope")?, request.directory(), scene.call)?;
                Some(scope.wanted.unwrap_or_else(|| scopes::profile_only(&scope.oidc)))
            }
        };
        self.for_person(request, person, wanted, proof, None)
    }

    fn redeem_device(&self, request: &Request<'_>) -> Result<Grant, AadError> {
        let scene = request.scene;
        let key = match request.field("device_code").or(request.field("code")) {
            Some(key) => key,
            None => return Err(missing("device_code")),
        };
        let public = request.app.public;
        let proof = self.prove(scene, request.tenant_name, &request.app, &request.credentials, public)?;
        let (person, wanted) = {
            let state = &mut *self.lock();
            let device = state.grants.devices.get_mut(key).ok_or_else(|| aad(70_018))?;
            if !device.app_id.eq_ignore_ascii_case(&request.app.app_id) {
                return Err(aad(70_018));
            }
            if scene.world.now() >= device.issued.plus_seconds(DEVICE_SECONDS) {
                return Err(aad(70_019));
            }
            let person = match &device.outcome {
                DeviceOutcome::Pending => return Err(aad(70_016)),
                DeviceOutcome::Declined => return Err(aad(70_020)),
                DeviceOutcome::Redeemed => return Err(aad(54_005)),
                DeviceOutcome::Approved(person) => person.clone(),
            };
            if request.tenant.is_some_and(|tenant| tenant != person.tenant) {
                return Err(aad(700_005));
            }
            device.outcome = DeviceOutcome::Redeemed;
            (person, device.wanted.clone())
        };
        self.for_person(request, person, wanted, proof, None)
    }

    /// A token on behalf of a person, for what was consented to.
    fn for_person(
        &self,
        request: &Request<'_>,
        person: Person,
        wanted: Option<RequestedAccess>,
        proof: Proof,
        nonce: Option<String>,
    ) -> Result<Grant, AadError> {
        let scene = request.scene;
        if let Some(code) = scene.faults.refusal(Area::Token, Some(person.tenant), Some(&request.app.app_id))
            && request.tenant.is_none()
        {
            return Err(aad(code));
        }
        self.check_principal(request, person.tenant)?;
        let wanted = wanted.unwrap_or_else(|| scopes::profile_only(&BTreeSet::new()));
        let state = &mut *self.lock();
        let directory = state.directory.tenant(scene.world, person.tenant);
        if directory.missing_resources.contains(wanted.resource.app_id) {
            let facts = scene.world.facts(person.tenant);
            return Err(scopes::unknown_resource(&wanted.audience, &facts.name));
        }
        let principal = directory.principal(&request.app.app_id);
        let granted = principal
            .map(|principal| principal.scopes_on(wanted.resource.app_id, &person.object_id))
            .unwrap_or_default();
        let asked = scopes::names_of(&wanted, &request.app);
        // Single scopes must all be granted; "all that the app asks for" is what of it was granted, and at least one.
        let missing = if wanted.scopes.is_empty() {
            !asked.is_empty() && asked.is_disjoint(&granted)
        } else {
            !asked.is_subset(&granted)
        };
        if missing {
            return Err(not_consented(&request.app));
        }
        let oidc = wanted.oidc.clone();
        Ok(Grant {
            tenant: person.tenant,
            resource: wanted.audience.clone(),
            known: Some(wanted.resource),
            roles: Vec::new(),
            scopes: granted
                .into_iter()
                .filter(|scope| !scene.faults.is_role_removed(person.tenant, scope))
                .collect(),
            oidc,
            proof,
            nonce,
            wanted: Some(wanted),
            subject: Subject::Person(person),
        })
    }

    /// Makes the tokens, and the answer around them.
    fn issue(&self, request: &Request<'_>, grant: Grant, fault: Option<&FaultKind>) -> Answer {
        let scene = request.scene;
        let world = scene.world;
        let capable = request.is_capable();
        // A client that answers challenges may keep its token for a day.
        let lifetime = if capable { self.lifetime_seconds * 24 } else { self.lifetime_seconds };
        let shown = match fault {
            Some(FaultKind::WrongTenantToken) => {
                (grant.tenant + 1) % u32::try_from(world.tenant_count()).unwrap_or(1).max(1)
            }
            _ => grant.tenant,
        };
        let issued = world.now().seconds();
        let (claims, version) = self.access_claims(request, &grant, shown, issued, lifetime, capable);
        let key = self.keys.current();
        let is_graph = grant.known.is_some_and(|known| known.app_id == super::resources::GRAPH_APP_ID);
        let nonce = (self.graph_nonce && is_graph).then(|| self.lock().token(32));
        let access_token = key.sign_with_nonce(&claims, version, nonce.as_deref());
        self.lock().grants.note_issued(&access_token);
        let mut body = match request.version {
            Version::V1 => json!({
                "token_type": "Bearer",
                "expires_in": lifetime.to_string(),
                "ext_expires_in": lifetime.to_string(),
                "expires_on": (issued + lifetime).to_string(),
                "not_before": (issued - 300).to_string(),
                "resource": grant.resource,
                "access_token": access_token,
            }),
            Version::V2 => json!({
                "token_type": "Bearer",
                "expires_in": lifetime,
                "ext_expires_in": lifetime,
                "access_token": access_token,
            }),
        };
        if capable {
            let refresh = lifetime / 2;
            body["refresh_in"] = match request.version {
                Version::V1 => Value::from(refresh.to_string()),
                Version::V2 => Value::from(refresh),
            };
        }
        if let Subject::Person(person) = &grant.subject {
            self.add_personal(request, &grant, person, issued, &mut body);
        }
        Answer::json(StatusCode::OK, body.to_string())
            .uncached()
            .with(HeaderName::from_static("x-ms-clitelem"), "1,0,0,,")
    }

    fn access_claims(
        &self,
        request: &Request<'_>,
        grant: &Grant,
        shown: u32,
        issued: i64,
        lifetime: i64,
        capable: bool,
    ) -> (Claims, Version) {
        let facts = request.scene.world.facts(shown);
        let app = &request.app;
        let state = &mut *self.lock();
        let own_api = match grant.known {
            Some(_) => None,
            None => state.directory.app(grant.resource.strip_prefix("api://").unwrap_or(&grant.resource)),
        };
        // The API decides which kind of token it gets, not the endpoint.
        let version = match own_api {
            Some(api) if api.token_version == 2 => Version::V2,
            _ => Version::V1,
        };
        let audience = match (version, own_api) {
            (Version::V2, Some(api)) => api.app_id.clone(),
            _ => grant.resource.clone(),
        };
        let mut claims = Claims {
            aud: audience,
            iat: issued - 300,
            nbf: issued - 300,
            exp: issued + lifetime,
            tid: facts.id.clone(),
            tenant_region_scope: Some("EU".to_owned()),
            app_displayname: Some(app.name.clone()),
            roles: grant.roles.clone(),
            aio: state.dice.base64(24),
            rh: format!("1.{}.", state.token(20)),
            uti: state.token(16),
            xms_cc: if capable { vec!["cp1".to_owned()] } else { Vec::new() },
            ..Claims::default()
        };
        claims.name_issuer_and_client(version, &app.app_id, grant.proof.claim());
        match &grant.subject {
            Subject::App => {
                let object = super::directory::principal_object_id(facts, &app.app_id);
                claims.idtyp = Some("app".to_owned());
                claims.oid.clone_from(&object);
                claims.sub = object;
                claims.wids = vec!["0997a1d0-0d1d-4acb-b408-d5ca73121e90".to_owned()];
            }
            Subject::Person(person) => {
                claims.scp = Some(grant.scopes.iter().cloned().collect::<Vec<_>>().join(" "));
                claims.sub = pairwise(&person.object_id, &app.app_id);
                if let Some(user) = state.user(request.scene.world, person) {
                    claims.oid.clone_from(&user.object_id);
                    claims.name = Some(user.name.clone());
                    claims.wids = user.roles.iter().cloned().collect();
                    match version {
                        Version::V1 => {
                            claims.upn = Some(user.account.clone());
                            claims.unique_name = Some(user.account.clone());
                            claims.amr = vec!["pwd".to_owned()];
                            claims.acr = Some("1".to_owned());
                            claims.ipaddr = Some("203.0.113.7".to_owned());
                        }
                        Version::V2 => claims.preferred_username = Some(user.account.clone()),
                    }
                }
            }
        }
        if let Some(asked) = request.asked_claims() {
            state.grants.asked_claims.insert(claims.uti.clone(), asked);
        }
        (claims, version)
    }

    /// What an answer on behalf of a person has besides the access token.
    fn add_personal(
        &self,
        request: &Request<'_>,
        grant: &Grant,
        person: &Person,
        issued: i64,
        body: &mut Value,
    ) {
        let audience = grant.known.and_then(|known| known.audiences.first()).copied().unwrap_or("");
        let is_graph = grant.known.is_some_and(|known| known.app_id == super::resources::GRAPH_APP_ID);
        let words: Vec<String> = match request.version {
            Version::V1 => grant.scopes.iter().cloned().collect(),
            Version::V2 => {
                let base = if is_graph { audience } else { grant.resource.as_str() };
                let oidc = grant.oidc.iter().filter(|scope| *scope != "offline_access").cloned();
                let scopes = grant
                    .scopes
                    .iter()
                    .filter(|scope| !grant.oidc.contains(*scope) && *scope != "offline_access");
                oidc.chain(scopes.map(|scope| format!("{base}/{scope}"))).collect()
            }
        };
        body["scope"] = Value::from(words.join(" "));
        let v1 = request.version == Version::V1;
        if v1 || grant.oidc.contains("openid") {
            body["id_token"] = Value::from(self.id_token(request, grant, person, issued));
        }
        if v1 || grant.oidc.contains("offline_access") {
            let state = &mut *self.lock();
            let token = format!("1.A{}.AgABAw{}", state.token(20), state.token(120));
            let refresh = Refresh {
                app_id: request.app.app_id.clone(),
                person: person.clone(),
                oidc: grant.oidc.clone(),
                wanted: grant.wanted.clone(),
                issued: request.scene.world.now(),
                public: grant.proof == Proof::Nothing,
                ended: None,
            };
            state.grants.note_issued(&token);
            state.grants.refresh.insert(token.clone(), refresh);
            body["refresh_token"] = Value::from(token);
        }
        if request.field("client_info") == Some("1") {
            let tenant = &request.scene.world.facts(person.tenant).id;
            let info = json!({"uid": person.object_id, "utid": tenant}).to_string();
            body["client_info"] = Value::from(URL_SAFE_NO_PAD.encode(info));
        }
    }

    fn id_token(&self, request: &Request<'_>, grant: &Grant, person: &Person, issued: i64) -> String {
        let facts = request.scene.world.facts(person.tenant);
        let (claims, version) = {
            let state = &mut *self.lock();
            let (uti, rh) = (state.token(16), format!("1.{}.", state.token(20)));
            let user = state.user(request.scene.world, person);
            let (account, name) =
                user.map_or_else(Default::default, |user| (user.account.clone(), user.name.clone()));
            let mut claims = json!({
                "aud": request.app.app_id,
                "iat": issued - 300, "nbf": issued - 300, "exp": issued + 3600,
                "name": name, "oid": person.object_id, "rh": rh,
                "sub": pairwise(&person.object_id, &request.app.app_id), "tid": facts.id, "uti": uti,
            });
            if let Some(nonce) = &grant.nonce {
                claims["nonce"] = Value::from(nonce.as_str());
            }
            match request.version {
                Version::V1 => {
                    claims["iss"] = Value::from(format!("https://sts.windows.net/{}/", facts.id));
                    claims["amr"] = json!(["pwd"]);
                    claims["upn"] = Value::from(account.as_str());
                    claims["unique_name"] = Value::from(account);
                    claims["ver"] = Value::from("1.0");
                }
                Version::V2 => {
                    claims["iss"] =
                        Value::from(format!("https://login.microsoftonline.com/{}/v2.0", facts.id));
                    claims["preferred_username"] = Value::from(account);
                    claims["ver"] = Value::from("2.0");
                }
            }
            (claims, request.version)
        };
        let token = self.keys.current().sign(&claims, version);
        self.lock().grants.note_issued(&token);
        token
    }
}

/// The same person has another name at each app.
fn pairwise(object_id: &str, app_id: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, format!("{object_id}/{app_id}").as_bytes());
    URL_SAFE_NO_PAD.encode(digest.as_ref())
}

fn disabled(app: &Application) -> AadError {
    aad(7_000_112).text(format!("Application '{}'({}) is disabled.", app.app_id, app.name))
}

fn expired_grant(version: Version) -> AadError {
    let error = aad(70_008);
    match version {
        // The older endpoint tells it with two codes.
        Version::V1 => {
            let text = format!("Error validating credentials. AADSTS70008: {}", error.text);
            AadError { codes: vec![70_002, 70_008], text, ..error }
        }
        Version::V2 => error,
    }
}

fn check_verifier(challenge: Option<&Challenge>, verifier: Option<&str>) -> Result<(), AadError> {
    let fits = match (challenge, verifier) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(Challenge::Plain(text)), Some(verifier)) => text == verifier,
        (Some(Challenge::Sha256(text)), Some(verifier)) => {
            let digest = ring::digest::digest(&ring::digest::SHA256, verifier.as_bytes());
            URL_SAFE_NO_PAD.encode(digest.as_ref()) == *text
        }
    };
    if fits { Ok(()) } else { Err(aad(501_481)) }
}

impl State {
    /// Notes a secret that goes out.
    pub(crate) fn note_issued(&mut self, secret: &str) {
        self.grants.note_issued(secret);
    }

    /// Letters and digits as tokens have them.
    pub(crate) fn token(&mut self, bytes: usize) -> String {
        random_text(&mut self.dice, bytes)
    }
}

fn random_text(dice: &mut Dice, bytes: usize) -> String {
    dice.base64(bytes).replace('+', "-").replace('/', "_").trim_end_matches('=').to_owned()
}
