//! Microsoft's identity platform, in both its versions: the directory, sign-in and consent, tokens, discovery, keys, and
//! managed identities.
//!
//! | file | holds |
//! |---|---|
//! | `directory` | accounts, apps, and what tenants have consented to |
//! | `resources` | Microsoft's APIs and their permissions |
//! | `change` | what tests change in it while it runs |
//! | `authorize`, `consent`, `pages` | what a browser sees |
//! | `token`, `scopes`, `client` | the token endpoint: grants, what is asked for, how clients prove themselves |
//! | `device`, `managed`, `discovery` | the endpoints of these names |
//! | `grants`, `keys` | what was handed out, and what it is signed with |
//! | `error` | every code, and how it is written |

mod authorize;
pub(crate) mod certificate;
pub(crate) mod change;
pub(crate) mod client;
mod consent;
mod device;
pub(crate) mod directory;
mod discovery;
pub(crate) mod error;
mod grants;
mod keys;
mod managed;
mod pages;
pub(crate) mod resources;
mod scopes;
mod token;
pub(crate) mod traffic;
pub(crate) mod walk;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, EXPIRES, HeaderName, PRAGMA, WWW_AUTHENTICATE};
use serde::{Deserialize, Serialize};

use crate::faults::{Area, FaultKind, Faults};
use crate::http::answer::Answer;
use crate::server::Call;
use crate::world::dice::Dice;
use crate::world::tenants::World;
use crate::world::ticks::Ticks;

use self::directory::{Directory, Seeding};
use self::error::{AadError, Trace};
use self::grants::Grants;
use self::managed::ManagedIdentity;
pub(crate) use self::resources::GRAPH_APP_ID;
use self::resources::Resource;

/// Where Graph tells who signed in.
pub(crate) const USER_INFO_PATH: &str = "/oidc/userinfo";

/// What a token says. Claims that a kind of token does not have are left out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Claims {
    pub(crate) aud: String,
    pub(crate) iss: String,
    pub(crate) iat: i64,
    pub(crate) nbf: i64,
    pub(crate) exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) acr: Option<String>,
    pub(crate) aio: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) amr: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) app_displayname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) appid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) appidacr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) azp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) azpacr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) idp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) idtyp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ipaddr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    pub(crate) oid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) preferred_username: Option<String>,
    pub(crate) rh: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) roles: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scp: Option<String>,
    pub(crate) sub: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenant_region_scope: Option<String>,
    pub(crate) tid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unique_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) upn: Option<String>,
    pub(crate) uti: String,
    pub(crate) ver: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) wids: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) xms_cc: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) xms_mirid: Option<String>,
}

impl Claims {
    /// Who issued it to which client, as the version names them.
    fn name_issuer_and_client(&mut self, version: Version, client: &str, proof: &str) {
        let (client, proof) = (Some(client.to_owned()), Some(proof.to_owned()));
        match version {
            Version::V1 => {
                self.iss = format!("https://sts.windows.net/{}/", self.tid);
                self.idp = Some(self.iss.clone());
                self.ver = "1.0".to_owned();
                (self.appid, self.appidacr) = (client, proof);
            }
            Version::V2 => {
                self.iss = format!("https://login.microsoftonline.com/{}/v2.0", self.tid);
                self.ver = "2.0".to_owned();
                (self.azp, self.azpacr) = (client, proof);
            }
        }
    }

    /// The client that the token was issued to.
    pub(crate) fn client(&self) -> &str {
        self.appid.as_deref().or(self.azp.as_deref()).unwrap_or("")
    }

    /// The permissions on behalf of a person; `None` in an app's own token.
    pub(crate) fn scopes(&self) -> Option<impl Iterator<Item = &str>> {
        self.scp.as_deref().map(str::split_ascii_whitespace)
    }

    /// Whether it has one of the permissions, as a role or on behalf of a person.
    pub(crate) fn allows(&self, permissions: &[&str]) -> bool {
        match self.scopes() {
            Some(mut scopes) => scopes.any(|scope| permissions.contains(&scope)),
            None => self.roles.iter().any(|role| permissions.contains(&role.as_str())),
        }
    }
}

/// Why a bearer token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("Access token is empty.")]
    Missing,
    #[error("CompactToken parsing failed with error code: 80049217")]
    Malformed,
    #[error("Access token validation failure. Invalid signature.")]
    Signature,
    #[error("Lifetime validation failed, the token is expired.")]
    Expired,
    #[error("Access token validation failure. Invalid audience.")]
    Audience,
    #[error("The identity of the calling application could not be established.")]
    Tenant,
}

/// Which of the two generations of endpoints, or of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
    V2,
}

/// What a request meets.
pub(crate) struct Scene<'a> {
    pub(crate) world: &'a World,
    pub(crate) faults: &'a Faults,
    pub(crate) call: &'a Call<'a>,
}

/// What of the platform changes.
pub(crate) struct State {
    pub(crate) directory: Directory,
    grants: Grants,
    pub(crate) dice: Dice,
    /// Keys of other issuers, by issuer, as JSON Web Key Sets.
    trusted_issuers: HashMap<String, serde_json::Value>,
    /// How long a new secret or certificate is not known yet, in ticks.
    pub(crate) credential_delay: i64,
}

/// The identity platform of one emulator.
pub(crate) struct Identity {
    pub(crate) app_id: String,
    pub(crate) secret: String,
    /// The password of the accounts that every tenant has.
    pub(crate) password: String,
    /// What App Service hands to the programs that may ask it for tokens.
    pub(crate) identity_header: String,
    lifetime_seconds: i64,
    /// Whether tokens for Graph have a nonce in their header.
    graph_nonce: bool,
    keys: keys::KeySet,
    managed: Vec<ManagedIdentity>,
    state: Mutex<State>,
    /// Tokens whose signature was found right: a client shows each of them many times.
    checked: Mutex<HashMap<String, Arc<Claims>>>,
}

const CHECKED_MAX: usize = 20_000;

/// What an identity platform is made from.
pub(crate) struct Plan {
    pub(crate) app_id: String,
    pub(crate) secret: String,
    pub(crate) password: String,
    pub(crate) lifetime_seconds: i64,
    pub(crate) graph_roles: Vec<String>,
    pub(crate) redirect_uris: Vec<String>,
    pub(crate) consented: bool,
    pub(crate) graph_nonce: bool,
    pub(crate) credential_delay: std::time::Duration,
    pub(crate) seed: u64,
}

impl Identity {
    pub(crate) fn new(plan: Plan, world: &World) -> anyhow::Result<Self> {
        let mut dice = Dice::derived(&[plan.seed, 0x1de]);
        let app = directory::default_app(
            plan.app_id.clone(),
            plan.secret.clone(),
            &plan.graph_roles,
            world.provider(),
            &plan.redirect_uris,
            world.now(),
            &mut dice,
        );
        let mut apps = directory::first_party_apps(&mut dice);
        apps.push(app);
        let seeding = Seeding {
            default_app: plan.app_id.clone(),
            consented: plan.consented,
            password: plan.password.clone(),
        };
        let group = "/subscriptions/00000000-0000-4000-8000-000000000001/resourcegroups/muster/providers";
        let managed = [
            format!("{group}/Microsoft.Compute/virtualMachines/muster"),
            format!("{group}/Microsoft.ManagedIdentity/userAssignedIdentities/muster"),
        ];
        let managed = managed
            .into_iter()
            .map(|resource_id| ManagedIdentity {
                client_id: dice.guid(),
                object_id: dice.guid(),
                resource_id,
            })
            .collect();
        Ok(Self {
            app_id: plan.app_id,
            secret: plan.secret,
            password: plan.password,
            identity_header: dice.hex(32),
            lifetime_seconds: plan.lifetime_seconds,
            graph_nonce: plan.graph_nonce,
            keys: keys::KeySet::new()?,
            managed,
            state: Mutex::new(State {
                directory: Directory::new(seeding, apps),
                grants: Grants::new(),
                dice,
                trusted_issuers: HashMap::new(),
                credential_delay: i64::try_from(plan.credential_delay.as_nanos() / 100).unwrap_or(i64::MAX),
            }),
            checked: Mutex::default(),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn guid(&self) -> String {
        self.lock().dice.guid()
    }

    /// The machine's identities: client id, object id and resource id of each.
    pub(crate) fn managed_identities(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.managed
            .iter()
            .map(|own| (own.client_id.as_str(), own.object_id.as_str(), own.resource_id.as_str()))
    }

    /// Whether a path belongs to the identity platform.
    pub(crate) fn owns(path: &str) -> bool {
        let below = path.trim_start_matches('/').split_once('/').map_or("", |parts| parts.1);
        matches!(path, "/devicelogin" | "/error" | USER_INFO_PATH)
            || path == managed::IMDS_PATH
            || path == managed::APP_SERVICE_PATH
            || matches!(
                below,
                "adminconsent"
                    | "v2.0/adminconsent"
                    | "login"
                    | "pick"
                    | "consent"
                    | "deviceauth"
                    | "openid/userinfo"
            )
            || below.starts_with("oauth2/")
            || below.contains(".well-known/")
            || below.starts_with("discovery/")
    }

    /// The tenant that an address names, if there is one.
    pub(crate) fn tenant_of(world: &World, path: &str) -> Option<u32> {
        world.find_tenant(path.trim_start_matches('/').split('/').next()?)
    }

    /// Which faults a path suffers; those of the pages and of discovery none.
    pub(crate) fn area_of(path: &str) -> Option<Area> {
        if path.ends_with("/oauth2/token") || path.ends_with("/oauth2/v2.0/token") {
            return Some(if path == managed::IMDS_PATH { Area::ManagedIdentity } else { Area::Token });
        }
        if path == managed::APP_SERVICE_PATH {
            return Some(Area::ManagedIdentity);
        }
        path.contains("/discovery/")
            .then_some(Area::Discovery)
            .or_else(|| path.contains("/.well-known/").then_some(Area::Discovery))
    }

    pub(crate) fn answer(
        &self,
        world: &World,
        faults: &Faults,
        call: &Call<'_>,
        fault: Option<&FaultKind>,
    ) -> Answer {
        let scene = &Scene { world, faults, call };
        let (tenant, rest) = call.path.trim_start_matches('/').split_once('/').unwrap_or((call.path, ""));
        let result = match (call.path, rest) {
            _ if Self::area_of(call.path) == Some(Area::Discovery)
                && let Some(answer) = discovery::fault_answer(fault) =>
            {
                Ok(answer)
            }
            ("/error", _) => Ok(explain(call)),
            (USER_INFO_PATH, _) | (_, "openid/userinfo") => Ok(self.user_info(scene)),
            (managed::IMDS_PATH | managed::APP_SERVICE_PATH, _) => Ok(self.managed_identity(scene, fault)),
            ("/devicelogin", _) | (_, "oauth2/deviceauth" | "oauth2/v2.0/deviceauth") => {
                Ok(self.device_page(scene))
            }
            ("/common/login" | "/common/pick" | "/common/consent" | "/common/deviceauth", _) => {
                Ok(self.page_sent(scene))
            }
            (_, "oauth2/authorize") => Ok(self.authorize(scene, tenant, Version::V1)),
            (_, "oauth2/v2.0/authorize") => Ok(self.authorize(scene, tenant, Version::V2)),
            (_, "adminconsent") => Ok(self.admin_consent(scene, tenant, Version::V1)),
            (_, "v2.0/adminconsent") => Ok(self.admin_consent(scene, tenant, Version::V2)),
            (_, "oauth2/token") => self.token(scene, tenant, Version::V1, fault),
            (_, "oauth2/v2.0/token") => self.token(scene, tenant, Version::V2, fault),
            (_, "oauth2/devicecode") => self.device_code(scene, tenant, Version::V1),
            (_, "oauth2/v2.0/devicecode") => self.device_code(scene, tenant, Version::V2),
            (_, "oauth2/logout" | "oauth2/v2.0/logout") => Ok(self.log_out(scene)),
            (_, ".well-known/openid-configuration") => discovery::discovery(world, call, tenant, Version::V1),
            (_, "v2.0/.well-known/openid-configuration") => {
                discovery::discovery(world, call, tenant, Version::V2)
            }
            (_, "discovery/instance") => discovery::instance_discovery(world, call),
            (_, "discovery/keys" | "discovery/v2.0/keys") => Ok(self.published_keys(world, tenant)),
            _ => Ok(Answer::text(StatusCode::NOT_FOUND, "not found")),
        };
        let answer =
            result.unwrap_or_else(|error| Trace::of(world, call, || self.guid()).answer(call, &error));
        answer
            .with(HeaderName::from_static("x-ms-request-id"), self.guid())
            .with(HeaderName::from_static("x-ms-ests-server"), "2.1.22154.6 - SEC ProdSlices")
            .with(HeaderName::from_static("strict-transport-security"), "max-age=31536000; includeSubDomains")
    }

    /// The claims of the token that a request bears, if its signature, times and tenant are right and it is for one of
    /// the resources.
    pub(crate) fn check(
        &self,
        world: &World,
        call: &Call<'_>,
        resource: &str,
    ) -> Result<(Arc<Claims>, u32), TokenError> {
        let header = call.headers.get(AUTHORIZATION).ok_or(TokenError::Missing)?;
        let header = header.to_str().map_err(|_| TokenError::Malformed)?;
        let (scheme, token) = header.split_once(' ').ok_or(TokenError::Missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
            return Err(TokenError::Missing);
        }
        let claims = self.checked_claims(token)?;
        let now = world.now().seconds();
        if now >= claims.exp || now < claims.nbf {
            return Err(TokenError::Expired);
        }
        if Resource::named(&claims.aud, call).is_none_or(|known| known.app_id != resource) {
            return Err(TokenError::Audience);
        }
        let tenant = world.find_tenant(&claims.tid).ok_or(TokenError::Tenant)?;
        Ok((claims, tenant))
    }

    fn checked_claims(&self, token: &str) -> Result<Arc<Claims>, TokenError> {
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(claims) = checked.get(token) {
            return Ok(Arc::clone(claims));
        }
        let claims = self.keys.verify(token)?;
        let claims = Arc::new(serde_json::from_slice::<Claims>(&claims).map_err(|_| TokenError::Malformed)?);
        if checked.len() >= CHECKED_MAX {
            checked.clear();
        }
        checked.insert(token.to_owned(), Arc::clone(&claims));
        Ok(claims)
    }

    /// `GET /oidc/userinfo`: who a token of Graph's was issued for.
    fn user_info(&self, scene: &Scene<'_>) -> Answer {
        let claims = match self.check(scene.world, scene.call, GRAPH_APP_ID) {
            Ok((claims, _)) if claims.scp.is_some() => claims,
            _ => {
                return Answer::json(StatusCode::UNAUTHORIZED, r#"{"error":"invalid_token"}"#)
                    .with(WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"");
            }
        };
        let body = serde_json::json!({"sub": claims.sub, "name": claims.name, "email": claims.upn});
        Answer::json(StatusCode::OK, body.to_string())
    }

    /// Whether a token was asked for with the claims of a challenge.
    pub(crate) fn answers_challenge(&self, claims: &Claims, challenge: &serde_json::Value) -> bool {
        let state = self.lock();
        state.grants.asked_claims.get(&claims.uti).is_some_and(|asked| *asked == challenge["access_token"])
    }

    /// Every secret that was handed out: codes, tokens of all kinds, secrets of apps.
    pub(crate) fn issued(&self) -> Vec<String> {
        self.lock().grants.issued().cloned().collect()
    }

    pub(crate) fn roll_keys(&self) -> anyhow::Result<()> {
        self.keys.roll()
    }

    pub(crate) fn drop_old_keys(&self) {
        self.keys.drop_old();
        self.checked.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// `GET /error?code=…`, where `error_uri` leads: what a code means.
fn explain(call: &Call<'_>) -> Answer {
    let code = url::form_urlencoded::parse(call.query.as_bytes()).find(|pair| pair.0 == "code");
    match code.and_then(|pair| pair.1.parse().ok()).filter(|code| error::is_known(*code)) {
        Some(code) => pages::note(&format!("AADSTS{code}"), &error::aad(code).text),
        None => pages::note("No such code", "The emulator knows no refusal with this code."),
    }
}

/// A refusal as a page.
fn refused(scene: &Scene<'_>, error: &AadError, guid: impl FnMut() -> String) -> Answer {
    let description = Trace::of(scene.world, scene.call, guid).describe(error);
    pages::refusal(StatusCode::BAD_REQUEST, &description)
}

fn uncached(answer: Answer) -> Answer {
    answer.with(CACHE_CONTROL, "no-store, no-cache").with(PRAGMA, "no-cache").with(EXPIRES, "-1")
}

/// The instant as an HTTP date.
pub(crate) fn http_date(at: Ticks) -> String {
    jiff::Timestamp::from_second(at.seconds())
        .map(|at| at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
        .unwrap_or_default()
}
