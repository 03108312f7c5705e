//! What each grant type gives, if it is right: what is to be issued to whom.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::faults::kind::Area;

use super::application::{Application, Platform};
use super::claims::Version;
use super::client::Proof;
use super::consent::not_consented;
use super::error::{AadError, aad, missing};
use super::flow::{Challenge, Person, RequestedAccess};
use super::grants::{CODE_SECONDS, DEVICE_SECONDS, DeviceOutcome, REFRESH_SECONDS};
use super::platform::{Identity, State};
use super::resources::Resource;
use super::scopes;
use super::token_request::{Grant, Request, Subject};

impl Identity {
    pub(crate) fn client_credentials(&self, request: &Request<'_>) -> Result<Grant, AadError> {
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
    pub(crate) fn roles_on(
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

    pub(crate) fn redeem_code(&self, request: &Request<'_>) -> Result<Grant, AadError> {
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
    pub(crate) fn wanted_anew(&self, request: &Request<'_>) -> Result<Option<RequestedAccess>, AadError> {
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

    pub(crate) fn refresh(&self, request: &Request<'_>) -> Result<Grant, AadError> {
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

    pub(crate) fn password(&self, request: &Request<'_>) -> Result<Grant, AadError> {
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

    pub(crate) fn redeem_device(&self, request: &Request<'_>) -> Result<Grant, AadError> {
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
    pub(crate) fn for_person(
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
}

pub(crate) fn expired_grant(version: Version) -> AadError {
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

pub(crate) fn check_verifier(challenge: Option<&Challenge>, verifier: Option<&str>) -> Result<(), AadError> {
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

pub(crate) fn disabled(app: &Application) -> AadError {
    aad(7_000_112).text(format!("Application '{}'({}) is disabled.", app.app_id, app.name))
}
