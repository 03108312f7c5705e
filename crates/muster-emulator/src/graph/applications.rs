//! Graph's calls about the directory: app registrations, service principals, consent, the organisation, the signed-in
//! person.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::LOCATION;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::faults::kind::FaultKind;
use crate::graph::service::{Caller, Graph, Refusal, refusal};
use crate::http::answer::Answer;
use crate::http::call::Call;
use crate::identity::certificate::Certificate;
use crate::identity::directory::{
    Application, Audience, FederatedCredential, KeyCredential, PasswordCredential, Platform, Required,
    directory_role, principal_object_id,
};
use crate::identity::platform::{Identity, State};
use crate::identity::resources::{MICROSOFT_TENANT, RESOURCES, Resource};
use crate::world::tenants::World;
use crate::world::ticks::Ticks;

const CONTEXT: &str = "https://graph.microsoft.com/v1.0/$metadata#";
/// The most that one app may have.
const FEDERATED_MAX: usize = 20;
const REDIRECTS_MAX: usize = 256;
const PASSWORDS_MAX: usize = 100;
/// The most that there may be.
const APPLICATIONS_MAX: usize = 10_000;
/// Who a proof of possession is addressed to.
const PROOF_AUDIENCE: &str = "00000002-0000-0000-c000-000000000000";

const APPLICATION_WRITERS: &[&str] = &["Application.ReadWrite.All"];
const APPLICATION_READERS: &[&str] = &[
    "Application.ReadWrite.All",
    "Application.ReadWrite.OwnedBy",
    "Application.Read.All",
    "Directory.Read.All",
];

type Answered = Result<Answer, Refusal>;

/// The segments of a path about the directory; `None` when it is about something else.
pub(crate) fn segments(path: &str) -> Option<Vec<&str>> {
    let segments: Vec<&str> = path.strip_prefix(crate::graph::service::PREFIX)?.split('/').collect();
    let name = segments.first()?.split('(').next().unwrap_or("");
    matches!(name, "applications" | "servicePrincipals" | "oauth2PermissionGrants" | "organization" | "me")
        .then_some(segments)
}

/// One request about the directory.
struct Request<'a> {
    world: &'a World,
    identity: &'a Identity,
    call: &'a Call<'a>,
    caller: &'a Caller,
}

/// Answers a request about the directory.
pub(crate) fn answer(
    graph: &Graph,
    world: &World,
    identity: &Identity,
    call: &Call<'_>,
    caller: &Caller,
    segments: &[&str],
    fault: Option<&FaultKind>,
) -> Answer {
    if let Some(answer) = graph.fault_answer(world, call, fault) {
        return answer;
    }
    let request = Request { world, identity, call, caller };
    match request.answer(segments) {
        Ok(answer) => graph.stamp(call, answer).0,
        Err(refusal) => graph.refuse(world, call, refusal),
    }
}

fn denied() -> Refusal {
    refusal(
        StatusCode::FORBIDDEN,
        "Authorization_RequestDenied",
        "Insufficient privileges to complete the operation.",
    )
}

fn bad(text: impl Into<String>) -> Refusal {
    refusal(StatusCode::BAD_REQUEST, "Request_BadRequest", text)
}

fn not_found(id: &str) -> Refusal {
    let text = format!(
        "Resource '{id}' does not exist or one of its queried reference-property objects are not present."
    );
    refusal(StatusCode::NOT_FOUND, "Request_ResourceNotFound", text)
}

fn no_content() -> Answer {
    Answer::empty(StatusCode::NO_CONTENT)
}

fn with_context(name: &str, mut value: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        let mut all = serde_json::Map::new();
        all.insert("@odata.context".to_owned(), Value::from(format!("{CONTEXT}{name}/$entity")));
        all.append(fields);
        return Value::Object(all);
    }
    value
}

fn one(status: StatusCode, name: &str, value: Value) -> Answer {
    Answer::json(status, with_context(name, value).to_string())
}

fn many(name: &str, values: Vec<Value>) -> Answer {
    let body = json!({"@odata.context": format!("{CONTEXT}{name}"), "value": values});
    Answer::json(StatusCode::OK, body.to_string())
}

/// How a single object is named: by its object id, or by the id of its app.
enum Key<'a> {
    Object(&'a str),
    App(String),
}

impl Request<'_> {
    fn tenant(&self) -> u32 {
        self.caller.tenant
    }

    /// The caller needs one of the permissions; on behalf of a person it takes the person's role, too.
    fn may(&self, permissions: &[&str], roles: &[&str]) -> Result<(), Refusal> {
        let claims = self.caller.claims();
        let person = claims.scp.is_none()
            || roles.is_empty()
            || roles
                .iter()
                .filter_map(|role| directory_role(role))
                .any(|id| claims.wids.iter().any(|own| own == id));
        if claims.allows(permissions) && person { Ok(()) } else { Err(denied()) }
    }

    fn may_write_applications(&self) -> Result<(), Refusal> {
        self.may(
            APPLICATION_WRITERS,
            &["Global Administrator", "Application Administrator", "Cloud Application Administrator"],
        )
    }

    fn may_assign(&self, permission: &str) -> Result<(), Refusal> {
        self.may(&[permission], &["Global Administrator", "Privileged Role Administrator"])
    }

    fn body(&self) -> Result<Value, Refusal> {
        serde_json::from_slice(&self.call.body).ok().filter(Value::is_object).ok_or_else(|| {
            refusal(
                StatusCode::BAD_REQUEST,
                "BadRequest",
                "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid \
                 JSON format.",
            )
        })
    }

    fn answer(&self, segments: &[&str]) -> Answered {
        let method = self.call.method;
        let (collection, key) = match segments[0].split_once('(') {
            Some((collection, key)) => {
                let id = key.strip_prefix("appId='").and_then(|key| key.strip_suffix("')"));
                let id = id.ok_or_else(|| bad("The key of the entity is not understood."))?;
                (collection, Some(Key::App(id.to_owned())))
            }
            None => (segments[0], None),
        };
        let (key, rest) = match (key, segments.len()) {
            (Some(key), _) => (Some(key), &segments[1..]),
            (None, 1) => (None, &segments[1..]),
            (None, _) => (Some(Key::Object(segments[1])), &segments[2..]),
        };
        match (collection, key, rest) {
            ("me", None, []) => self.me(),
            ("me", Some(Key::Object("revokeSignInSessions")), []) if method == Method::POST => {
                self.revoke_sessions()
            }
            ("organization", None, []) if method == Method::GET => self.organization(),
            ("applications", None, []) if method == Method::GET => self.list_applications(),
            ("applications", None, []) if method == Method::POST => self.create_application(),
            ("applications", Some(key), rest) => self.application(&key, rest),
            ("servicePrincipals", None, []) if method == Method::GET => self.list_principals(),
            ("servicePrincipals", None, []) if method == Method::POST => self.create_principal(),
            ("servicePrincipals", Some(key), rest) => self.principal(&key, rest),
            ("oauth2PermissionGrants", None, []) if method == Method::GET => self.list_grants(None),
            ("oauth2PermissionGrants", None, []) if method == Method::POST => self.create_grant(),
            ("oauth2PermissionGrants", Some(Key::Object(id)), []) => self.grant(id),
            _ => Err(self.no_such_call()),
        }
    }

    fn no_such_call(&self) -> Refusal {
        refusal(
            StatusCode::METHOD_NOT_ALLOWED,
            "Request_BadRequest",
            "Specified HTTP method is not allowed for the request target.",
        )
    }

    /// The equalities of `$filter`.
    fn filter(&self) -> Result<BTreeMap<String, String>, Refusal> {
        let filter = url::form_urlencoded::parse(self.call.query.as_bytes())
            .find(|pair| pair.0 == "$filter")
            .map(|pair| pair.1.into_owned());
        let Some(filter) = filter else { return Ok(BTreeMap::new()) };
        filter
            .split(" and ")
            .map(|part| {
                let (field, value) = part.trim().split_once(" eq ")?;
                let value = value.trim().strip_prefix('\'')?.strip_suffix('\'')?;
                Some((field.trim().to_owned(), value.replace("''", "'")))
            })
            .collect::<Option<_>>()
            .ok_or_else(|| {
                refusal(
                    StatusCode::BAD_REQUEST,
                    "Request_UnsupportedQuery",
                    "Unsupported or invalid query filter clause specified.",
                )
            })
    }

    fn selects(&self, property: &str) -> bool {
        url::form_urlencoded::parse(self.call.query.as_bytes())
            .any(|pair| pair.0 == "$select" && pair.1.split(',').any(|own| own.trim() == property))
    }

    fn me(&self) -> Answered {
        let claims = self.caller.claims();
        if claims.scp.is_none() {
            return Err(bad("/me request is only valid with delegated authentication flow."));
        }
        self.may(&["User.Read", "User.Read.All", "Directory.Read.All"], &[])?;
        let state = &mut *self.identity.lock();
        let user = state.directory.tenant(self.world, self.tenant()).user_of(&claims.oid);
        let user = user.ok_or_else(|| not_found(&claims.oid))?;
        let value = json!({
            "businessPhones": [], "displayName": user.name, "givenName": null, "id": user.object_id,
            "jobTitle": null, "mail": user.account, "mobilePhone": null, "officeLocation": null,
            "preferredLanguage": null, "surname": null, "userPrincipalName": user.account,
        });
        Ok(one(StatusCode::OK, "users", value))
    }

    fn revoke_sessions(&self) -> Answered {
        let claims = self.caller.claims();
        let now = self.world.now();
        let state = &mut *self.identity.lock();
        let directory = state.directory.tenant(self.world, self.tenant());
        let user = directory.users.iter_mut().find(|user| user.object_id == claims.oid);
        user.ok_or_else(|| not_found(&claims.oid))?.sessions_from = now;
        let body = json!({"@odata.context": format!("{CONTEXT}Edm.Boolean"), "value": true});
        Ok(Answer::json(StatusCode::OK, body.to_string()))
    }

    fn organization(&self) -> Answered {
        self.may(&["User.Read", "Directory.Read.All", "Organization.Read.All"], &[])?;
        let facts = self.world.facts(self.tenant());
        let value = json!({
            "id": facts.id, "displayName": facts.name, "tenantType": "AAD", "countryLetterCode": "SE",
            "verifiedDomains": [{"capabilities": "Email, OfficeCommunicationsOnline", "isDefault": true,
                "isInitial": true, "name": facts.domain, "type": "Managed"}],
        });
        Ok(many("organization", vec![value]))
    }

    // App registrations.

    fn list_applications(&self) -> Answered {
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

    fn create_application(&self) -> Answered {
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
    fn apply(&self, state: &mut State, app: &mut Application, body: &Value) -> Result<(), Refusal> {
        if let Some(name) = body.get("displayName") {
            let name = name.as_str().filter(|name| !name.is_empty() && name.len() <= 256);
            app.name =
                name.ok_or_else(|| bad("Invalid value specified for property 'displayName'."))?.to_owned();
        }
        match body.get("signInAudience").map(|audience| audience.as_str()) {
            None => {}
            Some(Some("AzureADMyOrg")) => app.audience = Audience::MyOrg,
            Some(Some("AzureADMultipleOrgs" | "AzureADandPersonalMicrosoftAccount")) => {
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

    /// A new certificate out of a `keyCredential`.
    fn new_key(&self, state: &mut State, key: &Value) -> Result<KeyCredential, Refusal> {
        if key["type"] != "AsymmetricX509Cert" || key["usage"] != "Verify" {
            return Err(bad(
                "The type and usage of a certificate must be 'AsymmetricX509Cert' and 'Verify'.",
            ));
        }
        let certificate = key["key"].as_str().and_then(Certificate::from_base64);
        let certificate =
            certificate.ok_or_else(|| bad("Key credential is invalid: 'key' is no X.509 certificate."))?;
        let now = self.world.now();
        if now >= certificate.not_after {
            return Err(bad("Key credential end date is invalid: the certificate has expired."));
        }
        let given = key["keyId"].as_str().filter(|id| id.len() == 36).map(str::to_owned);
        Ok(KeyCredential {
            key_id: given.unwrap_or_else(|| state.dice.guid()),
            name: Some(key["displayName"].as_str().unwrap_or(&certificate.subject).to_owned()),
            certificate,
            works_from: Ticks(now.0.saturating_add(state.credential_delay)),
        })
    }

    /// The app that a path names, if it is registered in the caller's tenant.
    fn find_application(&self, state: &State, key: &Key<'_>) -> Result<Application, Refusal> {
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

    fn application(&self, key: &Key<'_>, rest: &[&str]) -> Answered {
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

    fn add_password(&self, state: &mut State, app: &mut Application) -> Answered {
        // The body, and all in it, may be left out.
        let body = if self.call.body.is_empty() { json!({}) } else { self.body()? };
        let wanted = &body["passwordCredential"];
        let now = self.world.now();
        let time = |name: &str, otherwise: Ticks| match wanted[name].as_str() {
            None => Ok(otherwise),
            Some(text) => Ticks::parse(text).ok_or_else(|| {
                bad(format!(
                    "Invalid value specified for property '{name}' of resource 'PasswordCredential'."
                ))
            }),
        };
        let start = time("startDateTime", now)?;
        let end = time("endDateTime", start.plus_seconds(2 * 365 * 86_400))?;
        if end <= start || end <= now {
            return Err(bad("Password credential end date must be after its start date and in the future."));
        }
        if app.passwords.len() >= PASSWORDS_MAX {
            return Err(bad("The number of password credentials exceeds the limit."));
        }
        let letters = state.token(26);
        let value = format!("{}8Q~{}", &letters[..3], &letters[3..]);
        state.note_issued(&value);
        let password = PasswordCredential {
            key_id: state.dice.guid(),
            name: wanted["displayName"].as_str().map(str::to_owned),
            value: value.clone(),
            start,
            end,
            works_from: Ticks(now.0.saturating_add(state.credential_delay)),
        };
        let mut answer = password_json(&password);
        answer["secretText"] = Value::from(value);
        app.passwords.push(password);
        Ok(one(StatusCode::OK, "microsoft.graph.passwordCredential", answer))
    }

    /// A proof is a token that a key of the app signed, for the directory, good for ten minutes at most.
    fn check_proof(&self, app: &Application, body: &Value) -> Result<(), Refusal> {
        let rejected = || {
            refusal(
                StatusCode::BAD_REQUEST,
                "Request_BadRequest",
                "Proof of possession token is invalid: it must be signed with the private key of one of the existing \
                 certificates, be issued by the object id of the application for the audience \
                 00000002-0000-0000-c000-000000000000, and live for ten minutes at most.",
            )
        };
        let proof =
            body["proof"].as_str().and_then(crate::identity::client::Foreign::parse).ok_or_else(rejected)?;
        let now = self.world.now();
        let timely = proof.is_timely(now) && proof.lives_at_most(600);
        let named =
            proof.text("iss").eq_ignore_ascii_case(&app.object_id) && proof.text("aud") == PROOF_AUDIENCE;
        let signed = app
            .keys
            .iter()
            .filter(|key| now < key.certificate.not_after)
            .any(|key| proof.is_signed_by(&key.certificate.public_key));
        if timely && named && signed { Ok(()) } else { Err(rejected()) }
    }

    fn add_federated(&self, state: &mut State, app: &mut Application) -> Result<Value, Refusal> {
        let body = self.body()?;
        let text = |name: &str| {
            body[name]
                .as_str()
                .filter(|text| !text.is_empty() && text.len() <= 600)
                .map(str::to_owned)
                .ok_or_else(|| bad(format!("Property {name} in payload has a value that is invalid.")))
        };
        let audiences: Vec<String> = body["audiences"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        if audiences.len() != 1 {
            return Err(bad("Property audiences in payload must hold exactly one value."));
        }
        let credential = FederatedCredential {
            id: state.dice.guid(),
            name: text("name")?,
            issuer: text("issuer")?,
            subject: text("subject")?,
            audiences,
            description: body["description"].as_str().map(str::to_owned),
        };
        if app.federated.len() >= FEDERATED_MAX {
            return Err(bad(
                "The number of federated identity credentials of an application is limited to 20.",
            ));
        }
        let same = |own: &FederatedCredential| {
            own.name == credential.name
                || (own.issuer == credential.issuer && own.subject == credential.subject)
        };
        if app.federated.iter().any(same) {
            let text =
                "FederatedIdentityCredential with this name, or this issuer and subject, already exists.";
            return Err(refusal(StatusCode::CONFLICT, "Request_MultipleObjectsWithSameKeyValue", text));
        }
        let value = federated_json(&credential);
        app.federated.push(credential);
        Ok(value)
    }

    fn application_json(&self, app: &Application, with_keys: bool) -> Value {
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

    // Service principals.

    /// Every app that has a part in the tenant: those that were consented to, and Microsoft's APIs.
    fn principal_ids(&self, state: &mut State) -> Vec<(String, String)> {
        let facts = self.world.facts(self.tenant());
        let directory = state.directory.tenant(self.world, self.tenant());
        let mut ids: Vec<(String, String)> = directory
            .principals
            .iter()
            .map(|principal| (principal.object_id.clone(), principal.app_id.clone()))
            .collect();
        ids.extend(
            RESOURCES
                .iter()
                .filter(|resource| !directory.missing_resources.contains(resource.app_id))
                .map(|resource| (principal_object_id(facts, resource.app_id), resource.app_id.to_owned())),
        );
        ids
    }

    fn principal_json(&self, state: &mut State, object_id: &str, app_id: &str) -> Value {
        let app = state.directory.app(app_id).cloned();
        let resource = Resource::of_app(app_id);
        let enabled = state
            .directory
            .tenant(self.world, self.tenant())
            .principal(app_id)
            .is_none_or(|principal| principal.enabled);
        let name = resource.map(|resource| resource.name).or(app.as_ref().map(|app| app.name.as_str()));
        let owner = match (&app, resource) {
            (Some(Application { home: Some(home), .. }), None) => self.world.facts(*home).id.as_str(),
            _ => MICROSOFT_TENANT,
        };
        let permissions = resource.map_or(&[][..], |resource| resource.permissions);
        let roles: Vec<Value> = permissions
            .iter()
            .filter(|permission| !permission.role_id.is_empty())
            .map(|permission| {
                json!({
                    "allowedMemberTypes": ["Application"], "description": permission.allows,
                    "displayName": permission.allows, "id": permission.role_id, "isEnabled": true,
                    "origin": "Application", "value": permission.name,
                })
            })
            .collect();
        let scopes: Vec<Value> = permissions
            .iter()
            .filter(|permission| !permission.scope_id.is_empty())
            .map(|permission| {
                json!({
                    "adminConsentDescription": permission.allows, "adminConsentDisplayName": permission.allows,
                    "id": permission.scope_id, "isEnabled": true,
                    "type": if permission.admin_only { "Admin" } else { "User" },
                    "userConsentDescription": permission.allows, "userConsentDisplayName": permission.allows,
                    "value": permission.name,
                })
            })
            .collect();
        let mut names = vec![app_id.to_owned()];
        names.extend(
            resource.map_or(&[][..], |resource| resource.audiences).iter().map(|name| (*name).to_owned()),
        );
        let redirects: Vec<&str> = app
            .as_ref()
            .map_or_else(Vec::new, |app| app.redirects.iter().map(|own| own.1.as_str()).collect());
        json!({
            "id": object_id,
            "deletedDateTime": null,
            "accountEnabled": enabled,
            "appDisplayName": name,
            "appId": app_id,
            "appOwnerOrganizationId": owner,
            "appRoleAssignmentRequired": false,
            "displayName": name,
            "replyUrls": redirects,
            "servicePrincipalNames": names,
            "servicePrincipalType": "Application",
            "signInAudience": if app.is_none_or(|app| app.multitenant()) { "AzureADMultipleOrgs" } else { "AzureADMyOrg" },
            "tags": [],
            "addIns": [],
            "appRoles": roles,
            "keyCredentials": [],
            "oauth2PermissionScopes": scopes,
            "passwordCredentials": [],
        })
    }

    fn list_principals(&self) -> Answered {
        self.may(APPLICATION_READERS, &[])?;
        let filter = self.filter()?;
        let state = &mut *self.identity.lock();
        let ids = self.principal_ids(state);
        let values = ids
            .iter()
            .map(|(object, app)| self.principal_json(state, object, app))
            .filter(|value| {
                filter.iter().all(|(field, wanted)| {
                    matches!(field.as_str(), "appId" | "displayName" | "id")
                        && value[field].as_str().is_some_and(|own| own.eq_ignore_ascii_case(wanted))
                })
            })
            .collect();
        Ok(many("servicePrincipals", values))
    }

    fn create_principal(&self) -> Answered {
        self.may(
            &["Application.ReadWrite.All", "Application.ReadWrite.OwnedBy"],
            &["Global Administrator", "Application Administrator", "Cloud Application Administrator"],
        )?;
        let body = self.body()?;
        let app_id = body["appId"].as_str().ok_or_else(|| bad("Property appId in payload is missing."))?;
        let state = &mut *self.identity.lock();
        let app = state.directory.app(app_id).filter(|app| app.reaches(self.tenant()));
        let app_id = app.map(|app| app.app_id.clone()).ok_or_else(|| {
            bad(format!(
                "The appId '{app_id}' of the service principal does not reference a valid application object."
            ))
        })?;
        let known = state.directory.tenant(self.world, self.tenant()).principal(&app_id).is_some();
        if known {
            let text = format!(
                "The service principal cannot be created, updated, or restored because the service principal name \
                 {app_id} is already in use."
            );
            return Err(refusal(StatusCode::CONFLICT, "Request_MultipleObjectsWithSameKeyValue", text));
        }
        let object = state.directory.ensure_principal(self.world, self.tenant(), &app_id).object_id.clone();
        let value = self.principal_json(state, &object, &app_id);
        let location = format!("{}/v1.0/servicePrincipals/{object}", self.call.base);
        Ok(one(StatusCode::CREATED, "servicePrincipals", value).with(LOCATION, location))
    }

    fn principal(&self, key: &Key<'_>, rest: &[&str]) -> Answered {
        let state = &mut *self.identity.lock();
        let wanted = match key {
            Key::Object(id) => (*id).to_owned(),
            Key::App(id) => id.clone(),
        };
        let found = self.principal_ids(state).into_iter().find(|(object, app)| match key {
            Key::Object(id) => object.eq_ignore_ascii_case(id),
            Key::App(id) => app.eq_ignore_ascii_case(id),
        });
        let (object, app_id) = found.ok_or_else(|| not_found(&wanted))?;
        match (self.call.method.as_str(), rest) {
            ("GET", []) => {
                self.may(APPLICATION_READERS, &[])?;
                Ok(one(StatusCode::OK, "servicePrincipals", self.principal_json(state, &object, &app_id)))
            }
            ("PATCH", []) => {
                self.may_write_applications()?;
                let enabled = self.body()?["accountEnabled"].as_bool();
                let principal = state.directory.tenant(self.world, self.tenant()).principal_mut(&app_id);
                if let (Some(principal), Some(enabled)) = (principal, enabled) {
                    principal.enabled = enabled;
                }
                Ok(no_content())
            }
            ("DELETE", []) => {
                self.may_write_applications()?;
                let directory = state.directory.tenant(self.world, self.tenant());
                directory.principals.retain(|own| own.app_id != app_id);
                Ok(no_content())
            }
            ("GET", ["appRoleAssignedTo" | "appRoleAssignments"]) => {
                self.may(
                    &["Application.ReadWrite.All", "Directory.Read.All", "AppRoleAssignment.ReadWrite.All"],
                    &[],
                )?;
                let of_resource = rest == ["appRoleAssignedTo"];
                let values = self.assignments(
                    state,
                    of_resource.then_some(app_id.as_str()),
                    (!of_resource).then_some(app_id.as_str()),
                );
                Ok(many(&format!("servicePrincipals('{object}')/{}", rest[0]), values))
            }
            ("POST", ["appRoleAssignedTo" | "appRoleAssignments"]) => self.assign_role(state, &object),
            ("DELETE", ["appRoleAssignedTo" | "appRoleAssignments", id]) => {
                self.may_assign("AppRoleAssignment.ReadWrite.All")?;
                let directory = state.directory.tenant(self.world, self.tenant());
                let mut removed = false;
                for principal in &mut directory.principals {
                    let before = principal.roles.len();
                    principal.roles.retain(|grant| grant.id != *id);
                    removed |= principal.roles.len() != before;
                }
                if removed { Ok(no_content()) } else { Err(not_found(id)) }
            }
            ("GET", ["oauth2PermissionGrants"]) => {
                let id = object.clone();
                Ok(many(
                    "oauth2PermissionGrants",
                    self.grants(state, |grant| grant["clientId"] == id.as_str()),
                ))
            }
            _ => Err(self.no_such_call()),
        }
    }

    fn assignments(&self, state: &mut State, resource: Option<&str>, client: Option<&str>) -> Vec<Value> {
        let facts = self.world.facts(self.tenant());
        let mut values = Vec::new();
        let names: BTreeMap<String, String> =
            state.directory.apps().map(|app| (app.app_id.clone(), app.name.clone())).collect();
        for principal in &state.directory.tenant(self.world, self.tenant()).principals {
            if client.is_some_and(|client| client != principal.app_id) {
                continue;
            }
            for grant in &principal.roles {
                if resource.is_some_and(|resource| resource != grant.resource) {
                    continue;
                }
                let Some(known) = Resource::of_app(&grant.resource) else { continue };
                let role = known.permission(&grant.role).map_or("", |permission| permission.role_id);
                values.push(json!({
                    "id": grant.id,
                    "deletedDateTime": null,
                    "appRoleId": role,
                    "createdDateTime": grant.created.to_string(),
                    "principalDisplayName": names.get(&principal.app_id),
                    "principalId": principal.object_id,
                    "principalType": "ServicePrincipal",
                    "resourceDisplayName": known.name,
                    "resourceId": principal_object_id(facts, known.app_id),
                }));
            }
        }
        values
    }

    fn assign_role(&self, state: &mut State, of: &str) -> Answered {
        self.may_assign("AppRoleAssignment.ReadWrite.All")?;
        let body = self.body()?;
        let text = |name: &str| {
            body[name].as_str().ok_or_else(|| bad(format!("Property {name} in payload is missing.")))
        };
        let (principal_id, resource_id, role_id) =
            (text("principalId")?, text("resourceId")?, text("appRoleId")?);
        if ![principal_id, resource_id].iter().any(|id| id.eq_ignore_ascii_case(of)) {
            return Err(bad(
                "The service principal of the address is neither 'principalId' nor 'resourceId'.",
            ));
        }
        let resource =
            crate::identity::directory::Directory::resource_of_object(self.world, self.tenant(), resource_id)
                .ok_or_else(|| not_found(resource_id))?;
        let role = resource
            .role(role_id)
            .ok_or_else(|| bad("Permission being assigned was not found on application."))?;
        let now = self.world.now();
        let State { directory, dice, .. } = state;
        let principals = &mut directory.tenant(self.world, self.tenant()).principals;
        let principal = principals.iter_mut().find(|own| own.object_id.eq_ignore_ascii_case(principal_id));
        let principal = principal.ok_or_else(|| not_found(principal_id))?;
        if principal.roles_on(resource.app_id).iter().any(|own| own == role.name) {
            return Err(bad("Permission being assigned already exists on the object"));
        }
        principal.grant_role(dice, resource.app_id, role.name, now);
        let client = principal.app_id.clone();
        let value = self
            .assignments(state, Some(resource.app_id), Some(&client))
            .into_iter()
            .find(|value| value["appRoleId"] == role.role_id)
            .unwrap_or_default();
        Ok(one(StatusCode::CREATED, &format!("servicePrincipals('{of}')/appRoleAssignedTo"), value))
    }

    // Delegated consent.

    fn grants(&self, state: &mut State, keep: impl Fn(&Value) -> bool) -> Vec<Value> {
        let facts = self.world.facts(self.tenant());
        let directory = state.directory.tenant(self.world, self.tenant());
        let all = directory.principals.iter().flat_map(|principal| {
            principal.grants.iter().map(|grant| {
                json!({
                    "clientId": principal.object_id,
                    "consentType": if grant.user.is_some() { "Principal" } else { "AllPrincipals" },
                    "id": grant.id,
                    "principalId": grant.user,
                    "resourceId": principal_object_id(facts, &grant.resource),
                    "scope": grant.scopes.iter().cloned().collect::<Vec<_>>().join(" "),
                })
            })
        });
        all.filter(keep).collect()
    }

    fn list_grants(&self, client: Option<&str>) -> Answered {
        self.may(&["DelegatedPermissionGrant.ReadWrite.All", "Directory.Read.All"], &[])?;
        let filter = self.filter()?;
        let state = &mut *self.identity.lock();
        let values = self.grants(state, |grant| {
            client.is_none_or(|client| grant["clientId"] == client)
                && filter.iter().all(|(field, value)| grant[field].as_str() == Some(value))
        });
        Ok(many("oauth2PermissionGrants", values))
    }

    fn create_grant(&self) -> Answered {
        self.may_assign("DelegatedPermissionGrant.ReadWrite.All")?;
        let body = self.body()?;
        let text = |name: &str| {
            body[name].as_str().ok_or_else(|| bad(format!("Property {name} in payload is missing.")))
        };
        let (client, resource_id, scope) = (text("clientId")?, text("resourceId")?, text("scope")?);
        let person = match (text("consentType")?, body["principalId"].as_str()) {
            ("AllPrincipals", None) => None,
            ("Principal", Some(person)) => Some(person.to_owned()),
            _ => return Err(bad("The consentType does not fit the principalId.")),
        };
        let resource =
            crate::identity::directory::Directory::resource_of_object(self.world, self.tenant(), resource_id)
                .ok_or_else(|| not_found(resource_id))?;
        let scopes = scopes_of(resource, scope)?;
        let state = &mut *self.identity.lock();
        let State { directory, dice, .. } = state;
        let principals = &mut directory.tenant(self.world, self.tenant()).principals;
        let principal = principals.iter_mut().find(|own| own.object_id.eq_ignore_ascii_case(client));
        let principal = principal.ok_or_else(|| not_found(client))?;
        if principal.grants.iter().any(|own| own.resource == resource.app_id && own.user == person) {
            let text = "Permission entry already exists.";
            return Err(refusal(StatusCode::CONFLICT, "Request_MultipleObjectsWithSameKeyValue", text));
        }
        principal.grant_scopes(dice, resource.app_id, person.as_deref(), scopes);
        let id = principal.grants.last().map(|grant| grant.id.clone()).unwrap_or_default();
        let value = self.grants(state, |grant| grant["id"] == id.as_str()).pop().unwrap_or_default();
        Ok(one(StatusCode::CREATED, "oauth2PermissionGrants", value))
    }

    fn grant(&self, id: &str) -> Answered {
        self.may_assign("DelegatedPermissionGrant.ReadWrite.All")?;
        let state = &mut *self.identity.lock();
        if self.call.method == Method::GET {
            let value = self.grants(state, |grant| grant["id"] == id).pop();
            return Ok(one(StatusCode::OK, "oauth2PermissionGrants", value.ok_or_else(|| not_found(id))?));
        }
        let body = if self.call.method == Method::PATCH { self.body()? } else { Value::Null };
        let directory = state.directory.tenant(self.world, self.tenant());
        let principal =
            directory.principals.iter_mut().find(|own| own.grants.iter().any(|grant| grant.id == id));
        let principal = principal.ok_or_else(|| not_found(id))?;
        match *self.call.method {
            Method::DELETE => principal.grants.retain(|grant| grant.id != id),
            Method::PATCH => {
                let scope =
                    body["scope"].as_str().ok_or_else(|| bad("Property scope in payload is missing."))?;
                for grant in principal.grants.iter_mut().filter(|grant| grant.id == id) {
                    let resource = Resource::of_app(&grant.resource).ok_or_else(|| not_found(id))?;
                    grant.scopes = scopes_of(resource, scope)?.into_iter().collect();
                }
            }
            _ => return Err(self.no_such_call()),
        }
        Ok(no_content())
    }
}

fn scopes_of(resource: &Resource, scope: &str) -> Result<Vec<String>, Refusal> {
    scope
        .split_ascii_whitespace()
        .map(|name| {
            let known = resource.permission(name).filter(|permission| !permission.scope_id.is_empty());
            known
                .map(|permission| permission.name.to_owned())
                .ok_or_else(|| bad(format!("The scope '{name}' is not one of '{}'.", resource.name)))
        })
        .collect()
}

fn redirect_uris(value: &Value) -> Result<Vec<String>, Refusal> {
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

fn required_access(value: &Value) -> Result<BTreeMap<String, Required>, Refusal> {
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

fn password_json(password: &PasswordCredential) -> Value {
    json!({
        "customKeyIdentifier": null,
        "displayName": password.name,
        "endDateTime": password.end.to_string(),
        "hint": password.value.chars().take(3).collect::<String>(),
        "keyId": password.key_id,
        "secretText": null,
        "startDateTime": password.start.to_string(),
    })
}

fn key_json(key: &KeyCredential, with_key: bool) -> Value {
    let thumbprint = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &key.certificate.der);
    let hex: String = thumbprint.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    json!({
        "customKeyIdentifier": hex,
        "displayName": key.name,
        "endDateTime": key.certificate.not_after.to_string(),
        "key": with_key.then(|| STANDARD.encode(&key.certificate.der)),
        "keyId": key.key_id,
        "startDateTime": key.certificate.not_before.to_string(),
        "type": "AsymmetricX509Cert",
        "usage": "Verify",
    })
}

fn federated_json(credential: &FederatedCredential) -> Value {
    json!({
        "id": credential.id,
        "name": credential.name,
        "issuer": credential.issuer,
        "subject": credential.subject,
        "description": credential.description,
        "audiences": credential.audiences,
    })
}
