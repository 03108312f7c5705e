//! Tokens: what they say, and how they are written.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::StatusCode;
use hyper::header::HeaderName;
use serde_json::{Value, json};

use crate::faults::kind::FaultKind;
use crate::http::answer::Answer;
use crate::world::dice::Dice;

use super::claims::{Claims, Version};
use super::client::Proof;
use super::flow::Person;
use super::grants::Refresh;
use super::platform::{Identity, State};
use super::token_request::{Grant, Request, Subject};

impl Identity {
    /// Makes the tokens, and the answer around them.
    pub(crate) fn issue(&self, request: &Request<'_>, grant: Grant, fault: Option<&FaultKind>) -> Answer {
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

    pub(crate) fn access_claims(
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
    pub(crate) fn add_personal(
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

    pub(crate) fn id_token(
        &self,
        request: &Request<'_>,
        grant: &Grant,
        person: &Person,
        issued: i64,
    ) -> String {
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

/// The same person has another name at each app.
pub(crate) fn pairwise(object_id: &str, app_id: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, format!("{object_id}/{app_id}").as_bytes());
    URL_SAFE_NO_PAD.encode(digest.as_ref())
}

pub(crate) fn random_text(dice: &mut Dice, bytes: usize) -> String {
    dice.base64(bytes).replace('+', "-").replace('/', "_").trim_end_matches('=').to_owned()
}
