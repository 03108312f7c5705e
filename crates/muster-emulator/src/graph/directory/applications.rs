//! App registrations.

use std::collections::BTreeMap;

use hyper::header::LOCATION;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::graph::service::{Refusal, refusal};
use crate::identity::application::{Application, Audience, Platform, Required};
use crate::identity::certificate::Certificate;
use crate::identity::platform::State;

use super::credentials::{federated_json, key_json, password_json};
use super::request::{
    APPLICATION_READERS, Answered, Key, Request, bad, denied, many, no_content, not_found, one,
};

const REDIRECTS_MAX: usize = 256;
/// The most that there may be.
const APPLICATIONS_MAX: usize = 10_000;

impl Request<'_> {
    pub(super) fn list_applications(&self) -> Answered {
        self.may(APPLICATION_READERS, &[])?;
        let filter = self.filter()?;
        let with_keys = self.selects("keyCredentials");
        let state = self.identity.lock();
        let found = state.directory.apps().filter(|app| app.home == Some(self.tenant())).filter(|app| {
            filter.iter().all(|(field, value)| match field.as_str() {
                "appId" => app.app_id.eq_ignore_ascii_case(value),
                "displayName" => app.name.eq_ignore_ascii_case(value),
                "id" => app.object_id.eq_ignore_ascii_case(value),
                _ => false,
            })
        });
        let values = found.map(|app| self.application_json(app, with_keys)).collect();
        Ok(many("applications", values))
    }

    pub(super) fn create_application(&self) -> Answered {
        self.may(
            &["Application.ReadWrite.All", "Application.ReadWrite.OwnedBy"],
            &["Global Administrator", "Application Administrator", "Cloud Application Administrator"],
        )?;
        let body = self.body()?;
        if self.identity.lock().directory.apps().count() >= APPLICATIONS_MAX {
            let text = "The directory object quota limit for the Principal has been exceeded.";
            return Err(refusal(StatusCode::BAD_REQUEST, "Directory_QuotaExceeded", text));
        }
        let name = body["displayName"].as_str().filter(|name| !name.is_empty() && name.len() <= 256);
        let name = name.ok_or_else(|| {
            bad("Property displayName in payload is missing, or a value of an invalid length was given.")
        })?;
        let state = &mut *self.identity.lock();
        let mut app = Application {
            object_id: state.dice.guid(),
            app_id: state.dice.guid(),
            name: name.to_owned(),
            home: Some(self.tenant()),
            audience: Audience::MyOrg,
            redirects: Vec::new(),
            public: false,
            passwords: Vec::new(),
            keys: Vec::new(),
            federated: Vec::new(),
            required: BTreeMap::new(),
            enabled: true,
            tags: Vec::new(),
            owners: Vec::new(),
            created: self.world.now(),
            token_version: 1,
        };
        self.apply(state, &mut app, &body)?;
        let value = self.application_json(&app, false);
        let location = format!("{}/v1.0/applications/{}", self.call.base, app.object_id);
        state.directory.add_app(app);
        Ok(one(StatusCode::CREATED, "applications", value).with(LOCATION, location))
    }

    /// Writes the properties of a body into an app, all or none.
    pub(super) fn apply(
        &self,
        state: &mut State,
        app: &mut Application,
        body: &Value,
    ) -> Result<(), Refusal> {
        if let Some(name) = body.get("displayName") {
            let name = name.as_str().filter(|name| !name.is_empty() && name.len() <= 256);
            app.name =
                name.ok_or_else(|| bad("Invalid value specified for property 'displayName'."))?.to_owned();
        }
        match body.get("signInAudience").map(|audience| audience.as_str()) {
            None => {}
            Some(Some("AzureADMyOrg")) => app.audience = Audience::MyOrg,
            Some(Some("AzureADMultipleOrgs" | "AzureADandPersonalMicrosoftAccount")) => {
                if state.directory.tenant(self.world, self.tenant()).app_policy.no_multitenant {
                    return Err(refusal(
                        StatusCode::BAD_REQUEST,
                        "SignInAudienceNotAllowedAsPerAppPolicy",
                        "Sign-in audience not allowed as per assigned policy.",
                    ));
                }
                app.audience = Audience::MultipleOrgs;
            }
            Some(_) => return Err(bad("Invalid value specified for property 'signInAudience'.")),
        }
        if let Some(tags) = body.get("tags") {
            let words = |tags: &Vec<Value>| tags.iter().map(|tag| tag.as_str().map(str::to_owned)).collect();
            app.tags = tags
                .as_array()
                .and_then(words)
                .ok_or_else(|| bad("Invalid value specified for property 'tags'."))?;
        }
        if let Some(public) = body.get("isFallbackPublicClient") {
            app.public = public.as_bool().unwrap_or(false);
        }
        for (section, platform) in [("web", Platform::Web), ("publicClient", Platform::Public)] {
            let Some(uris) = body[section].get("redirectUris") else { continue };
            let uris = redirect_uris(uris)?;
            app.redirects.retain(|own| own.0 != platform);
            app.redirects.extend(uris.into_iter().map(|uri| (platform, uri)));
        }
        if app.redirects.len() > REDIRECTS_MAX {
            return Err(bad("Too many redirect URIs."));
        }
        if let Some(required) = body.get("requiredResourceAccess") {
            app.required = required_access(required)?;
        }
        if let Some(version) = body["api"].get("requestedAccessTokenVersion") {
            app.token_version = match version.as_u64() {
                None | Some(1) => 1,
                Some(2) => 2,
                Some(_) => {
                    return Err(bad("Invalid value specified for property 'requestedAccessTokenVersion'."));
                }
            };
        }
        if let Some(keys) = body.get("keyCredentials") {
            let keys = keys
                .as_array()
                .ok_or_else(|| bad("Invalid value specified for property 'keyCredentials'."))?;
            let mut kept = Vec::new();
            for key in keys {
                let known = app.keys.iter().find(|own| key["keyId"].as_str() == Some(own.key_id.as_str()));
                match (key["key"].as_str(), known) {
                    (None, Some(known)) => kept.push(known.clone()),
                    (Some(text), Some(known))
                        if Certificate::from_base64(text)
                            .is_some_and(|same| same.der == known.certificate.der) =>
                    {
                        kept.push(known.clone());
                    }
                    (Some(_), _) => kept.push(self.new_key(state, key)?),
                    (None, None) => return Err(bad("Key credential not found: 'key' is missing.")),
                }
            }
            app.keys = kept;
        }
        Ok(())
    }

    /// The app that a path names, if it is registered in the caller's tenant.
    pub(super) fn find_application(&self, state: &State, key: &Key<'_>) -> Result<Application, Refusal> {
        let found =
            state.directory.apps().filter(|app| app.home == Some(self.tenant())).find(|app| match key {
                Key::Object(id) => app.object_id.eq_ignore_ascii_case(id),
                Key::App(id) => app.app_id.eq_ignore_ascii_case(id),
            });
        found.cloned().ok_or_else(|| match key {
            Key::Object(id) => not_found(id),
            Key::App(id) => not_found(id),
        })
    }

    pub(super) fn application(&self, key: &Key<'_>, rest: &[&str]) -> Answered {
        let method = self.call.method;
        let state = &mut *self.identity.lock();
        if method == Method::GET {
            self.may(APPLICATION_READERS, &[]).or_else(|denied| {
                let own = self.find_application(state, key)?;
                let own = own.app_id.eq_ignore_ascii_case(self.caller.claims().client());
                if own && self.caller.claims().allows(&["Application.ReadWrite.OwnedBy"]) {
                    Ok(())
                } else {
                    Err(denied)
                }
            })?;
        } else if self.may_write_applications().is_err() {
            let own = self.find_application(state, key)?.app_id;
            let claims = self.caller.claims();
            let owned = claims.scp.is_none()
                && claims.allows(&["Application.ReadWrite.OwnedBy"])
                && own.eq_ignore_ascii_case(claims.client());
            // An app may always add a key to itself with the proof that it holds another.
            let itself =
                own.eq_ignore_ascii_case(claims.client()) && matches!(rest, ["addKey" | "removeKey"]);
            if !owned && !itself {
                return Err(denied());
            }
        }
        let mut app = self.find_application(state, key)?;
        let name = format!("applications('{}')", app.object_id);
        match (method.as_str(), rest) {
            ("GET", []) => {
                let value = self.application_json(&app, self.selects("keyCredentials"));
                return Ok(one(StatusCode::OK, "applications", value));
            }
            ("GET", ["federatedIdentityCredentials"]) => {
                let filter = self.filter()?;
                let values = app
                    .federated
                    .iter()
                    .filter(|own| filter.get("name").is_none_or(|name| *name == own.name))
                    .map(federated_json)
                    .collect();
                return Ok(many(&format!("{name}/federatedIdentityCredentials"), values));
            }
            ("GET", ["federatedIdentityCredentials", id]) => {
                let found = app.federated.iter().find(|own| own.id == *id || own.name == *id);
                let value = federated_json(found.ok_or_else(|| not_found(id))?);
                return Ok(one(StatusCode::OK, &format!("{name}/federatedIdentityCredentials"), value));
            }
            _ => {}
        }
        let answer = match (method.as_str(), rest) {
            ("PATCH", []) => {
                let body = self.body()?;
                self.apply(state, &mut app, &body)?;
                no_content()
            }
            ("DELETE", []) => {
                state.directory.remove_app(&app.app_id);
                return Ok(no_content());
            }
            ("POST", ["addPassword"]) => self.add_password(state, &mut app)?,
            ("POST", ["removePassword"]) => {
                let body = self.body()?;
                let before = app.passwords.len();
                app.passwords.retain(|own| body["keyId"].as_str() != Some(own.key_id.as_str()));
                if app.passwords.len() == before {
                    return Err(bad("No password credential found with keyId."));
                }
                no_content()
            }
            ("POST", ["addKey"]) => {
                let body = self.body()?;
                self.check_proof(&app, &body)?;
                let key = self.new_key(state, &body["keyCredential"])?;
                let value = key_json(&key, false);
                app.keys.push(key);
                one(StatusCode::OK, "microsoft.graph.keyCredential", value)
            }
            ("POST", ["removeKey"]) => {
                let body = self.body()?;
                self.check_proof(&app, &body)?;
                let before = app.keys.len();
                app.keys.retain(|own| body["keyId"].as_str() != Some(own.key_id.as_str()));
                if app.keys.len() == before {
                    return Err(bad("No key credential found with keyId."));
                }
                no_content()
            }
            ("POST", ["owners", "$ref"]) => {
                let body = self.body()?;
                let owner = body["@odata.id"].as_str().and_then(|link| link.rsplit('/').next());
                let owner = owner.filter(|id| id.len() == 36);
                let owner = owner.ok_or_else(|| bad("Invalid URL format specified in payload."))?;
                if app.owners.iter().any(|own| own == owner) {
                    return Err(bad(
                        "One or more added object references already exist for the following modified properties: 'owners'.",
                    ));
                }
                app.owners.push(owner.to_owned());
                no_content()
            }
            ("POST", ["federatedIdentityCredentials"]) => {
                let value = self.add_federated(state, &mut app)?;
                one(StatusCode::CREATED, &format!("{name}/federatedIdentityCredentials"), value)
            }
            ("DELETE", ["federatedIdentityCredentials", id]) => {
                let before = app.federated.len();
                app.federated.retain(|own| own.id != *id && own.name != *id);
                if app.federated.len() == before {
                    return Err(not_found(id));
                }
                no_content()
            }
            _ => return Err(self.no_such_call()),
        };
        state.directory.add_app(app);
        Ok(answer)
    }

    pub(super) fn application_json(&self, app: &Application, with_keys: bool) -> Value {
        let uris = |platform: Platform| -> Vec<&str> {
            let own = app.redirects.iter().filter(|own| own.0 == platform);
            own.map(|own| own.1.as_str()).collect()
        };
        let required: Vec<Value> = app
            .required
            .iter()
            .map(|(resource, required)| {
                let roles = required.roles.iter().map(|id| json!({"id": id, "type": "Role"}));
                let scopes = required.scopes.iter().map(|id| json!({"id": id, "type": "Scope"}));
                json!({"resourceAppId": resource, "resourceAccess": scopes.chain(roles).collect::<Vec<_>>()})
            })
            .collect();
        json!({
            "id": app.object_id,
            "deletedDateTime": null,
            "appId": app.app_id,
            "createdDateTime": app.created.to_string(),
            "description": null,
            "displayName": app.name,
            "identifierUris": [],
            "isFallbackPublicClient": app.public,
            "publisherDomain": self.world.facts(self.tenant()).domain,
            "signInAudience": if app.multitenant() { "AzureADMultipleOrgs" } else { "AzureADMyOrg" },
            "tags": app.tags,
            "addIns": [],
            "appRoles": [],
            "api": {
                "requestedAccessTokenVersion": app.token_version, "acceptMappedClaims": null,
                "knownClientApplications": [], "oauth2PermissionScopes": [], "preAuthorizedApplications": [],
            },
            "keyCredentials": app.keys.iter().map(|key| key_json(key, with_keys)).collect::<Vec<_>>(),
            "passwordCredentials": app.passwords.iter().map(password_json).collect::<Vec<_>>(),
            "publicClient": {"redirectUris": uris(Platform::Public)},
            "requiredResourceAccess": required,
            "spa": {"redirectUris": []},
            "web": {
                "homePageUrl": null, "logoutUrl": null, "redirectUris": uris(Platform::Web),
                "implicitGrantSettings": {"enableAccessTokenIssuance": false, "enableIdTokenIssuance": false},
            },
        })
    }
}

pub(super) fn redirect_uris(value: &Value) -> Result<Vec<String>, Refusal> {
    let invalid = || bad("Invalid value specified for property 'redirectUris'.");
    let uris = value.as_array().ok_or_else(invalid)?;
    uris.iter()
        .map(|uri| {
            let text =
                uri.as_str().filter(|text| text.len() <= 256 && !text.contains('*')).ok_or_else(invalid)?;
            let url = url::Url::parse(text).map_err(|_| invalid())?;
            let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
            if url.scheme() == "http" && !local {
                return Err(bad("Reply URLs must start with 'https' except for 'http://localhost'."));
            }
            Ok(text.to_owned())
        })
        .collect()
}

pub(super) fn required_access(value: &Value) -> Result<BTreeMap<String, Required>, Refusal> {
    let invalid = || bad("Invalid value specified for property 'requiredResourceAccess'.");
    let mut required = BTreeMap::<String, Required>::new();
    for entry in value.as_array().ok_or_else(invalid)? {
        let resource = entry["resourceAppId"].as_str().ok_or_else(invalid)?.to_lowercase();
        let own = required.entry(resource).or_default();
        for access in entry["resourceAccess"].as_array().ok_or_else(invalid)? {
            let id = access["id"].as_str().ok_or_else(invalid)?.to_owned();
            match access["type"].as_str() {
                Some("Role") => own.roles.push(id),
                Some("Scope") => own.scopes.push(id),
                _ => return Err(invalid()),
            }
        }
    }
    Ok(required)
}
