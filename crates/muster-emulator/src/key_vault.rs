//! Key vaults of the provider's tenant: secrets with their versions, over the data-plane API of version 7.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::header::{HeaderName, WWW_AUTHENTICATE};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::faults::kind::FaultKind;
use crate::http::answer::Answer;
use crate::http::call::Call;
use crate::identity::claims::{Claims, TokenError};
use crate::identity::platform::Identity;
use crate::identity::resources::KEY_VAULT_APP_ID;
use crate::world::dice::Dice;
use crate::world::tenants::World;
use crate::world::ticks::Ticks;

/// Where vaults are found when no host name tells.
pub(crate) const PREFIX: &str = "/vault/";
/// What a secret may hold.
const VALUE_BYTES_MAX: usize = 25 << 10;
/// How many versions of a secret are kept.
const VERSIONS_MAX: usize = 100;
/// How many secrets are kept over all vaults.
const SECRETS_MAX: usize = 10_000;
const VERSIONS: &[&str] = &["7.0", "7.1", "7.2", "7.3", "7.4", "7.5", "7.6", "2016-10-01", "2025-07-01"];

/// All vaults of one emulator.
pub(crate) struct KeyVaults(Mutex<Vaults>);

struct Vaults {
    secrets: BTreeMap<(String, String), Vec<Version>>,
    /// Clients that may not use a vault: vault and client id.
    refused: BTreeSet<(String, String)>,
    dice: Dice,
}

struct Version {
    id: String,
    value: String,
    content_type: Option<String>,
    created: Ticks,
}

fn problem(status: StatusCode, code: &str, message: &str, inner: Option<&str>) -> Answer {
    let mut error = json!({"code": code, "message": message});
    if let Some(inner) = inner {
        error["innererror"] = json!({"code": inner});
    }
    Answer::json(status, json!({"error": error}).to_string())
}

/// Names are letters, digits and hyphens.
fn is_name(name: &str) -> bool {
    (1..=127).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

impl KeyVaults {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(Vaults {
            secrets: BTreeMap::new(),
            refused: BTreeSet::new(),
            dice: Dice::derived(&[seed, 0x7a017]),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Vaults> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new version of a secret; gives the version's id.
    pub(crate) fn set(
        &self,
        vault: &str,
        name: &str,
        value: String,
        content_type: Option<String>,
        now: Ticks,
    ) -> String {
        let mut vaults = self.lock();
        let id = vaults.dice.hex(32);
        let version = Version { id: id.clone(), value, content_type, created: now };
        let versions = vaults.secrets.entry((vault.to_lowercase(), name.to_lowercase())).or_default();
        versions.push(version);
        if versions.len() > VERSIONS_MAX {
            versions.remove(0);
        }
        if vaults.secrets.len() > SECRETS_MAX {
            vaults.secrets.pop_first();
        }
        id
    }

    /// The newest value of a secret.
    pub(crate) fn newest(&self, vault: &str, name: &str) -> Option<String> {
        let vaults = self.lock();
        let versions = vaults.secrets.get(&(vault.to_lowercase(), name.to_lowercase()))?;
        versions.last().map(|version| version.value.clone())
    }

    /// Lets a client use a vault, or not.
    pub(crate) fn allow(&self, vault: &str, client: &str, allowed: bool) {
        let entry = (vault.to_lowercase(), client.to_lowercase());
        let mut vaults = self.lock();
        if allowed {
            vaults.refused.remove(&entry);
        } else {
            vaults.refused.insert(entry);
        }
    }

    /// Answers a request to a vault; `path` begins below the vault's address `base`.
    pub(crate) fn answer(
        &self,
        world: &World,
        identity: &Identity,
        call: &Call<'_>,
        vault: &str,
        path: &str,
        fault: Option<&FaultKind>,
    ) -> Answer {
        let answer = match fault {
            Some(FaultKind::Throttle { retry_after_seconds }) => crate::http::answer::throttled(
                r#"{"error":{"code":"Throttled","message":"Request was not processed because too many requests were received. Reason: VaultRequestTypeLimitReached"}}"#,
                *retry_after_seconds,
            ),
            Some(FaultKind::Status { status }) => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
                problem(status, "InternalServerError", "The service had trouble with the request.", None)
            }
            _ => self.serve(world, identity, call, vault, path).unwrap_or_else(|answer| answer),
        };
        let id = self.lock().dice.guid();
        answer
            .with(HeaderName::from_static("x-ms-request-id"), id)
            .with(HeaderName::from_static("x-ms-keyvault-service-version"), "1.9.2285.1")
            .with(HeaderName::from_static("strict-transport-security"), "max-age=31536000;includeSubDomains")
    }

    fn serve(
        &self,
        world: &World,
        identity: &Identity,
        call: &Call<'_>,
        vault: &str,
        path: &str,
    ) -> Result<Answer, Answer> {
        let version = url::form_urlencoded::parse(call.query.as_bytes())
            .find(|pair| pair.0 == "api-version")
            .map(|pair| pair.1.into_owned());
        match version.as_deref() {
            Some(version) if VERSIONS.contains(&version) => {}
            Some(_) => {
                let text =
                    "The specified version is not recognized. Consider using the latest supported version.";
                return Err(problem(StatusCode::BAD_REQUEST, "BadParameter", text, None));
            }
            None => {
                let text = "api-version must be specified";
                return Err(problem(StatusCode::BAD_REQUEST, "BadParameter", text, None));
            }
        }
        let claims = self.authenticate(world, identity, call)?;
        let mut segments = path.trim_start_matches('/').split('/');
        let (Some("secrets"), Some(name)) = (segments.next(), segments.next()) else {
            return Err(problem(
                StatusCode::NOT_FOUND,
                "NotFound",
                "Nothing is found at this address.",
                None,
            ));
        };
        if !is_name(name) {
            let text = format!("The request URI contains an invalid name: {name}");
            return Err(problem(StatusCode::BAD_REQUEST, "BadParameter", &text, None));
        }
        let wanted = segments.next().filter(|version| !version.is_empty());
        let action = if call.method == Method::PUT { "set" } else { "get" };
        self.authorise(&claims, vault, action)?;
        match *call.method {
            Method::GET => self.get(call, vault, name, wanted),
            Method::PUT => self.put(world, call, vault, name),
            _ => Err(problem(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "The method is not allowed.",
                None,
            )),
        }
    }

    fn authenticate(
        &self,
        world: &World,
        identity: &Identity,
        call: &Call<'_>,
    ) -> Result<std::sync::Arc<Claims>, Answer> {
        let provider = world.provider();
        let tenant = &world.facts(provider).id;
        let login = if crate::http::hosts::is_anywhere(call.base) {
            call.base.to_owned()
        } else {
            "https://login.microsoftonline.com".to_owned()
        };
        let refused = |text: &str| {
            let challenge =
                format!("Bearer authorization=\"{login}/{tenant}\", resource=\"https://vault.azure.net\"");
            problem(StatusCode::UNAUTHORIZED, "Unauthorized", text, None).with(WWW_AUTHENTICATE, challenge)
        };
        match identity.check(world, call, KEY_VAULT_APP_ID) {
            Ok((claims, own)) if own == provider => Ok(claims),
            Ok(_) => Err(refused(&format!(
                "AKV10032: Invalid issuer. Expected one of https://sts.windows.net/{tenant}/."
            ))),
            Err(TokenError::Missing) => Err(refused("AKV10000: Request is missing a Bearer or PoP token.")),
            Err(TokenError::Audience) => {
                Err(refused("AKV10022: Invalid audience. Expected https://vault.azure.net."))
            }
            Err(error) => Err(refused(&format!("[BearerReadAccessTokenFailed] {error}"))),
        }
    }

    fn authorise(&self, claims: &Claims, vault: &str, action: &str) -> Result<(), Answer> {
        let vaults = self.lock();
        let client = claims.client();
        if !vaults.refused.contains(&(vault.to_lowercase(), client.to_lowercase())) {
            return Ok(());
        }
        let text = format!(
            "The user, group or application 'appid={client};oid={};iss={}' does not have secrets {action} permission on \
             key vault '{vault};location=swedencentral'. For help resolving this issue, please see \
             https://go.microsoft.com/fwlink/?linkid=2125287",
            claims.oid, claims.iss
        );
        Err(problem(StatusCode::FORBIDDEN, "Forbidden", &text, Some("AccessDenied")))
    }

    fn get(&self, call: &Call<'_>, vault: &str, name: &str, wanted: Option<&str>) -> Result<Answer, Answer> {
        let vaults = self.lock();
        let versions = vaults.secrets.get(&(vault.to_lowercase(), name.to_lowercase()));
        let found = versions.and_then(|versions| match wanted {
            None => versions.last(),
            Some(id) => versions.iter().find(|version| version.id.eq_ignore_ascii_case(id)),
        });
        let found = found.ok_or_else(|| {
            let text = format!(
                "A secret with (name/id) {name}{} was not found in this key vault. If you recently deleted this secret \
                 you may be able to recover it using the correct recovery command. For help resolving this issue, \
                 please see https://go.microsoft.com/fwlink/?linkid=2125182",
                wanted.map_or_else(String::new, |id| format!("/{id}"))
            );
            problem(StatusCode::NOT_FOUND, "SecretNotFound", &text, None)
        })?;
        Ok(Answer::json(StatusCode::OK, bundle(call, vault, name, found).to_string()))
    }

    fn put(&self, world: &World, call: &Call<'_>, vault: &str, name: &str) -> Result<Answer, Answer> {
        let bad = |text: &str| problem(StatusCode::BAD_REQUEST, "BadParameter", text, None);
        let body: Value = serde_json::from_slice(&call.body).map_err(|_| bad("The body is no JSON."))?;
        let value = body["value"].as_str().ok_or_else(|| bad("Property value is missing."))?;
        if value.len() > VALUE_BYTES_MAX {
            return Err(bad("Secret value is too long. The maximum length is 25 KB."));
        }
        let content_type = body["contentType"].as_str().map(str::to_owned);
        let id = self.set(vault, name, value.to_owned(), content_type, world.now());
        self.get(call, vault, name, Some(&id))
    }
}

fn bundle(call: &Call<'_>, vault: &str, name: &str, version: &Version) -> Value {
    let address = if crate::http::hosts::is_anywhere(call.base) {
        format!("{}{PREFIX}{vault}", call.base)
    } else {
        call.base.to_owned()
    };
    let mut bundle = json!({
        "value": version.value,
        "id": format!("{address}/secrets/{name}/{}", version.id),
        "attributes": {
            "enabled": true, "created": version.created.seconds(), "updated": version.created.seconds(),
            "recoveryLevel": "Recoverable+Purgeable", "recoverableDays": 90,
        },
        "tags": {},
    });
    if let Some(content_type) = &version.content_type {
        bundle["contentType"] = Value::from(content_type.as_str());
    }
    bundle
}
