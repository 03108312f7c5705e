//! Microsoft's identity platform: tokens, discovery documents and keys, in both their versions.
//!
//! Only the client-credentials flow with a secret is played so far.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, EXPIRES, HeaderMap, HeaderName, PRAGMA};
use hyper::{Method, StatusCode};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::form_urlencoded;

use crate::answer::{Answer, throttled};
use crate::dice::Dice;
use crate::faults::{FaultKind, Faults};
use crate::server::Call;
use crate::ticks::Ticks;
use crate::world::World;

/// The app id of Microsoft Graph.
pub(crate) const GRAPH_APP_ID: &str = "00000003-0000-0000-c000-000000000000";

/// What a token says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) aud: String,
    pub(crate) iss: String,
    pub(crate) iat: i64,
    pub(crate) nbf: i64,
    pub(crate) exp: i64,
    pub(crate) aio: String,
    pub(crate) app_displayname: String,
    pub(crate) appid: String,
    pub(crate) appidacr: String,
    pub(crate) idp: String,
    pub(crate) idtyp: String,
    pub(crate) oid: String,
    pub(crate) rh: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) roles: Vec<String>,
    pub(crate) sub: String,
    pub(crate) tenant_region_scope: String,
    pub(crate) tid: String,
    pub(crate) uti: String,
    pub(crate) ver: String,
    pub(crate) wids: Vec<String>,
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

/// The identity platform of one emulator.
pub(crate) struct Identity {
    pub(crate) app_id: String,
    pub(crate) secret: String,
    lifetime_seconds: i64,
    graph_roles: Vec<String>,
    key: Arc<SigningKey>,
    /// Tokens whose signature was found right: a client shows each of them many times.
    checked: Mutex<HashMap<String, Arc<Claims>>>,
    dice: Mutex<Dice>,
}

const CHECKED_MAX: usize = 20_000;

struct SigningKey {
    id: String,
    modulus: String,
    exponent: String,
    certificate: String,
    pair: RsaKeyPair,
}

impl SigningKey {
    /// One key for all emulators of a process: making one takes longer than all the rest of a start.
    fn of_process() -> anyhow::Result<Arc<Self>> {
        static KEY: OnceLock<Arc<SigningKey>> = OnceLock::new();
        if let Some(key) = KEY.get() {
            return Ok(Arc::clone(key));
        }
        let made = Arc::new(Self::generate()?);
        Ok(Arc::clone(KEY.get_or_init(|| made)))
    }

    fn generate() -> anyhow::Result<Self> {
        use rsa::pkcs8::EncodePrivateKey;
        use rsa::traits::PublicKeyParts;
        let private = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048)?;
        let pkcs8 = private.to_pkcs8_der()?;
        let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(
            &rustls::pki_types::PrivatePkcs8KeyDer::from(pkcs8.as_bytes()),
            &rcgen::PKCS_RSA_SHA256,
        )?;
        let mut params = rcgen::CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(rcgen::DnType::CommonName, "accounts.accesscontrol.windows.net");
        let certificate = params.self_signed(&pair)?;
        let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, certificate.der());
        let modulus = URL_SAFE_NO_PAD.encode(private.n().to_bytes_be());
        let exponent = URL_SAFE_NO_PAD.encode(private.e().to_bytes_be());
        Ok(Self {
            id: URL_SAFE_NO_PAD.encode(digest.as_ref()),
            pair: RsaKeyPair::from_pkcs8(pkcs8.as_bytes())
                .map_err(|rejected| anyhow::anyhow!("{rejected}"))?,
            modulus,
            exponent,
            certificate: STANDARD.encode(certificate.der()),
        })
    }

    /// A JWT of the claims, signed with RS256.
    fn sign(&self, claims: &Claims) -> String {
        let header = json!({"typ": "JWT", "alg": "RS256", "x5t": self.id, "kid": self.id}).to_string();
        let claims = serde_json::to_vec(claims).expect("claims are texts and numbers");
        let mut token = URL_SAFE_NO_PAD.encode(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature)
            .expect("a key that was accepted signs");
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }

    /// The claims of a token of ours.
    fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (_, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed);
        // The algorithm is ours to choose, not the token's header's.
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.pair.public())
            .verify(signed.as_bytes(), &decode(signature)?)
            .map_err(|_| TokenError::Signature)?;
        serde_json::from_slice(&decode(claims)?).map_err(|_| TokenError::Malformed)
    }
}

/// An error of the token endpoint or of discovery.
struct AadError {
    status: StatusCode,
    error: &'static str,
    code: u32,
    text: String,
}

fn aad(status: u16, error: &'static str, code: u32, text: impl Into<String>) -> AadError {
    AadError {
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST),
        error,
        code,
        text: text.into(),
    }
}

/// Which of the two generations of endpoints.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Identity {
    pub(crate) fn new(
        app_id: String,
        secret: String,
        lifetime_seconds: i64,
        graph_roles: Vec<String>,
        seed: u64,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            app_id,
            secret,
            lifetime_seconds,
            graph_roles,
            key: SigningKey::of_process()?,
            checked: Mutex::default(),
            dice: Mutex::new(Dice::derived(&[seed, 0x1de])),
        })
    }

    fn guid(&self) -> String {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner).guid()
    }

    /// Whether a path belongs to the identity platform.
    pub(crate) fn owns(path: &str) -> bool {
        path.contains("/oauth2/") || path.contains("/.well-known/") || path.contains("/discovery/")
    }

    /// The tenant that an address names, if there is one.
    pub(crate) fn tenant_of(world: &World, path: &str) -> Option<u32> {
        world.find_tenant(path.trim_start_matches('/').split('/').next()?)
    }

    pub(crate) fn is_token_path(path: &str) -> bool {
        path.ends_with("/oauth2/token") || path.ends_with("/oauth2/v2.0/token")
    }

    pub(crate) fn answer(
        &self,
        world: &World,
        faults: &Faults,
        call: &Call<'_>,
        fault: Option<&FaultKind>,
    ) -> Answer {
        let (tenant, rest) = call.path.trim_start_matches('/').split_once('/').unwrap_or((call.path, ""));
        let result = match rest {
            "oauth2/token" => self.token(world, faults, call, tenant, Version::V1, fault),
            "oauth2/v2.0/token" => self.token(world, faults, call, tenant, Version::V2, fault),
            ".well-known/openid-configuration" => discovery(world, call, tenant, Version::V1),
            "v2.0/.well-known/openid-configuration" => discovery(world, call, tenant, Version::V2),
            "discovery/instance" => Ok(instance_discovery(call)),
            "discovery/keys" | "discovery/v2.0/keys" => Ok(self.keys(tenant)),
            _ => Ok(Answer::text(StatusCode::NOT_FOUND, "not found")),
        };
        let request_id = self.guid();
        let answer = result.unwrap_or_else(|error| self.error(world, call, error));
        answer
            .with(HeaderName::from_static("x-ms-request-id"), request_id)
            .with(HeaderName::from_static("x-ms-ests-server"), "2.1.22154.6 - SEC ProdSlices")
            .with(HeaderName::from_static("strict-transport-security"), "max-age=31536000; includeSubDomains")
    }

    fn error(&self, world: &World, call: &Call<'_>, error: AadError) -> Answer {
        let now = world.now().to_string();
        let timestamp = format!("{} {}Z", &now[..10], &now[11..19]);
        let correlation =
            call.headers.get("client-request-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (trace, correlation) = (self.guid(), correlation.unwrap_or_else(|| self.guid()));
        let AadError { status, error, code, text } = error;
        let body = json!({
            "error": error,
            "error_description": format!(
                "AADSTS{code}: {text} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {timestamp}"
            ).replace(" Trace ID:", "\r\nTrace ID:").replace(" Correlation ID:", "\r\nCorrelation ID:").replace(" Timestamp:", "\r\nTimestamp:"),
            "error_codes": [code],
            "timestamp": timestamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": format!("{}/error?code={code}", call.base),
        });
        uncached(Answer::json(status, body.to_string()))
            .with(HeaderName::from_static("x-ms-clitelem"), format!("1,{code},0,,"))
    }

    fn token(
        &self,
        world: &World,
        faults: &Faults,
        call: &Call<'_>,
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
                return Err(aad(
                    *status,
                    "temporarily_unavailable",
                    90_033,
                    "A transient error has occurred. Please try again.",
                ));
            }
            _ => {}
        }
        if call.method != Method::POST {
            return Err(aad(
                400,
                "invalid_request",
                900_561,
                "The endpoint only accepts POST requests. Received a GET request.",
            ));
        }
        let form: HashMap<String, String> = form_urlencoded::parse(&call.body).into_owned().collect();
        let field = |name: &str| form.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let missing = |name: &str| {
            let text = format!("The request body must contain the following parameter: '{name}'.");
            aad(400, "invalid_request", 900_144, text)
        };
        if matches!(tenant_name, "common" | "organizations" | "consumers") {
            return Err(aad(
                400,
                "invalid_request",
                50_059,
                "No tenant-identifying information found in either the request or implied by any provided credentials.",
            ));
        }
        let Some(tenant) = world.find_tenant(tenant_name) else {
            return Err(unknown_tenant("invalid_request", tenant_name));
        };
        let grant = field("grant_type").ok_or_else(|| missing("grant_type"))?;
        if grant != "client_credentials" {
            let text = format!("The app requested an unsupported grant type '{grant}'.");
            return Err(aad(400, "unsupported_grant_type", 70_003, text));
        }
        let basic = basic_credentials(call.headers);
        let client = basic
            .as_ref()
            .map(|pair| pair.0.as_str())
            .or(field("client_id"))
            .ok_or_else(|| missing("client_id"))?;
        let app_not_found = || {
            let facts = world.facts(tenant);
            let text = format!(
                "Application with identifier '{client}' was not found in the directory '{}'. This can happen if the \
                 application has not been installed by the administrator of the tenant or consented to by any user in \
                 the tenant. You may have sent your authentication request to the wrong tenant.",
                facts.name
            );
            aad(400, "unauthorized_client", 700_016, text)
        };
        if !client.eq_ignore_ascii_case(&self.app_id) {
            return Err(app_not_found());
        }
        if let Some(code) = faults.revoked(tenant) {
            return Err(match code {
                700_016 => app_not_found(),
                code => aad(400, "unauthorized_client", code, format!("Application '{client}' is disabled.")),
            });
        }
        self.check_secret(
            client,
            basic.as_ref().map(|pair| pair.1.as_str()).or(field("client_secret")),
            field("client_assertion"),
        )?;
        let resource = match version {
            Version::V1 => field("resource").ok_or_else(|| missing("resource"))?.to_owned(),
            Version::V2 => {
                if field("resource").is_some() {
                    return Err(aad(
                        400,
                        "invalid_request",
                        901_002,
                        "The 'resource' request parameter is not supported.",
                    ));
                }
                resource_of_scope(field("scope").ok_or_else(|| missing("scope"))?)?
            }
        };
        let roles = self.roles_on(&resource, call, world, tenant, faults).ok_or_else(|| {
            let text = format!(
                "The resource principal named {resource} was not found in the tenant named {}. This can happen if the \
                 application has not been installed by the administrator of the tenant or consented to by any user in \
                 the tenant.",
                world.facts(tenant).name
            );
            aad(400, "invalid_resource", 500_011, text)
        })?;
        let shown = match fault {
            Some(FaultKind::WrongTenantToken) => {
                (tenant + 1) % u32::try_from(world.tenant_count()).unwrap_or(1).max(1)
            }
            _ => tenant,
        };
        let (token, issued) = self.issue(world, shown, &resource, roles);
        let lifetime = self.lifetime_seconds;
        let body = match version {
            Version::V1 => json!({
                "token_type": "Bearer",
                "expires_in": lifetime.to_string(),
                "ext_expires_in": lifetime.to_string(),
                "expires_on": (issued + lifetime).to_string(),
                "not_before": (issued - 300).to_string(),
                "resource": resource,
                "access_token": token,
            }),
            Version::V2 => json!({
                "token_type": "Bearer",
                "expires_in": lifetime,
                "ext_expires_in": lifetime,
                "access_token": token,
            }),
        };
        Ok(uncached(Answer::json(StatusCode::OK, body.to_string()))
            .with(HeaderName::from_static("x-ms-clitelem"), "1,0,0,,"))
    }

    fn check_secret(
        &self,
        client: &str,
        secret: Option<&str>,
        assertion: Option<&str>,
    ) -> Result<(), AadError> {
        match (secret, assertion) {
            (Some(secret), _) if secret == self.secret => Ok(()),
            (Some(_), _) => {
                let text = format!(
                    "Invalid client secret provided. Ensure the secret being sent in the request is the client secret \
                     value, not the client secret ID, for a secret added to app '{client}'."
                );
                Err(aad(401, "invalid_client", 7_000_215, text))
            }
            (None, Some(_)) => {
                let text = "Client assertion failed signature validation: no certificate is registered for this app.";
                Err(aad(401, "invalid_client", 700_027, text))
            }
            (None, None) => {
                let text = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
                Err(aad(401, "invalid_client", 7_000_218, text))
            }
        }
    }

    /// The app's roles on a resource; `None` when there is no such resource.
    fn roles_on(
        &self,
        resource: &str,
        call: &Call<'_>,
        world: &World,
        tenant: u32,
        faults: &Faults,
    ) -> Option<Vec<String>> {
        let roles: Vec<String> = match resource.trim_end_matches('/') {
            "https://api.securitycenter.microsoft.com"
            | "https://securitycenter.onmicrosoft.com/windowsatpservice"
            | "fc780465-2017-40d4-a0c5-307022471b92" => vec!["Alert.Read.All".to_owned()],
            "https://api.security.microsoft.com" | "8ee8fdad-f234-4243-8f3b-15c294843740" => {
                vec!["Incident.Read.All".to_owned(), "AdvancedHunting.Read.All".to_owned()]
            }
            graph if is_graph_audience(graph, call) => self.graph_roles.clone(),
            _ => return None,
        };
        debug_assert!((tenant as usize) < world.tenant_count());
        Some(roles.into_iter().filter(|role| !faults.is_role_removed(tenant, role)).collect())
    }

    /// A signed token, and when it was issued (epoch seconds).
    fn issue(&self, world: &World, tenant: u32, resource: &str, roles: Vec<String>) -> (String, i64) {
        let facts = world.facts(tenant);
        let issued = world.now().seconds();
        let object = Dice::derived(&[facts.seed, 0x0b1ec7]).guid();
        let (uti, aio, rh) = {
            let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
            (dice.base64(16), dice.base64(24), dice.base64(20))
        };
        let issuer = format!("https://sts.windows.net/{}/", facts.id);
        let claims = Claims {
            aud: resource.to_owned(),
            iss: issuer.clone(),
            iat: issued - 300,
            nbf: issued - 300,
            exp: issued + self.lifetime_seconds,
            aio,
            app_displayname: "Muster".to_owned(),
            appid: self.app_id.clone(),
            appidacr: "1".to_owned(),
            idp: issuer,
            idtyp: "app".to_owned(),
            oid: object.clone(),
            rh: format!("1.{}.", rh.replace(['+', '/', '='], "A")),
            roles,
            sub: object,
            tenant_region_scope: "EU".to_owned(),
            tid: facts.id.clone(),
            uti: uti.replace(['+', '/', '='], "B"),
            ver: "1.0".to_owned(),
            wids: vec!["0997a1d0-0d1d-4acb-b408-d5ca73121e90".to_owned()],
        };
        (self.key.sign(&claims), issued)
    }

    /// Checks a bearer token as a resource server does: signature, times, audience, tenant.
    pub(crate) fn check(&self, world: &World, call: &Call<'_>) -> Result<(Arc<Claims>, u32), TokenError> {
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
        if !is_graph_audience(claims.aud.trim_end_matches('/'), call) {
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
        let claims = Arc::new(self.key.verify(token)?);
        if checked.len() >= CHECKED_MAX {
            checked.clear();
        }
        checked.insert(token.to_owned(), Arc::clone(&claims));
        Ok(claims)
    }

    fn keys(&self, tenant: &str) -> Answer {
        let issuer = match tenant {
            "common" | "organizations" => "https://login.microsoftonline.com/{tenantid}/v2.0".to_owned(),
            tenant => format!("https://login.microsoftonline.com/{tenant}/v2.0"),
        };
        let body = json!({"keys": [{
            "kty": "RSA", "use": "sig", "kid": self.key.id, "x5t": self.key.id,
            "n": self.key.modulus, "e": self.key.exponent, "x5c": [self.key.certificate], "issuer": issuer,
        }]});
        cached(Answer::json(StatusCode::OK, body.to_string()))
    }
}

/// Graph's names, and the emulator's own address: custom clouds ask for a token for the host they call.
fn is_graph_audience(audience: &str, call: &Call<'_>) -> bool {
    matches!(
        audience,
        GRAPH_APP_ID
            | "https://graph.microsoft.com"
            | "https://graph.microsoft.us"
            | "https://dod-graph.microsoft.us"
            | "https://microsoftgraph.chinacloudapi.cn"
    ) || audience.eq_ignore_ascii_case(call.base)
}

fn resource_of_scope(scope: &str) -> Result<String, AadError> {
    let invalid = || {
        let text = format!(
            "The provided value for the input parameter 'scope' isn't valid. The scope {scope} isn't valid."
        );
        aad(400, "invalid_scope", 70_011, text)
    };
    if scope.split_ascii_whitespace().count() != 1 {
        return Err(invalid());
    }
    scope
        .trim()
        .strip_suffix("/.default")
        .filter(|resource| !resource.is_empty())
        .map(str::to_owned)
        .ok_or_else(invalid)
}

fn basic_credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let text = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    // RFC 6749, section 2.3.1: both halves are form-encoded first.
    let decode = |half: &str| {
        form_urlencoded::parse(format!("v={half}").as_bytes())
            .next()
            .map_or_else(String::new, |pair| pair.1.into_owned())
    };
    Some((decode(id), decode(secret)))
}

fn unknown_tenant(error: &'static str, name: &str) -> AadError {
    let text = format!(
        "Tenant '{name}' not found. Check to make sure you have the correct tenant ID and are signing into the correct \
         cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for \
         the tenant."
    );
    aad(400, error, 90_002, text)
}

fn uncached(answer: Answer) -> Answer {
    answer.with(CACHE_CONTROL, "no-store, no-cache").with(PRAGMA, "no-cache").with(EXPIRES, "-1")
}

fn cached(answer: Answer) -> Answer {
    answer.with(CACHE_CONTROL, "max-age=86400, private")
}

fn discovery(world: &World, call: &Call<'_>, tenant: &str, version: Version) -> Result<Answer, AadError> {
    let id = match tenant {
        "common" | "organizations" | "consumers" => "{tenantid}".to_owned(),
        name => match world.find_tenant(name) {
            Some(found) => world.facts(found).id.clone(),
            None => return Err(unknown_tenant("invalid_tenant", name)),
        },
    };
    let named = if id.starts_with('{') { tenant } else { id.as_str() };
    let base = call.base;
    let mut document = json!({
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "request_uri_parameter_supported": false,
        "http_logout_supported": true,
        "frontchannel_logout_supported": true,
        "claims_supported": ["sub", "iss", "cloud_instance_name", "cloud_instance_host_name", "cloud_graph_host_name",
            "msgraph_host", "aud", "exp", "iat", "auth_time", "acr", "nonce", "preferred_username", "name", "tid",
            "ver", "at_hash", "c_hash", "email"],
        "kerberos_endpoint": format!("{base}/{named}/kerberos"),
        "tenant_region_scope": "EU",
        "cloud_instance_name": "microsoftonline.com",
        "cloud_graph_host_name": "graph.windows.net",
        "msgraph_host": "graph.microsoft.com",
        "rbac_url": "https://pas.windows.net",
    });
    let own = match version {
        Version::V1 => json!({
            "token_endpoint": format!("{base}/{named}/oauth2/token"),
            "authorization_endpoint": format!("{base}/{named}/oauth2/authorize"),
            "end_session_endpoint": format!("{base}/{named}/oauth2/logout"),
            "jwks_uri": format!("{base}/common/discovery/keys"),
            "issuer": format!("https://sts.windows.net/{id}/"),
            "userinfo_endpoint": format!("{base}/common/openid/userinfo"),
            "check_session_iframe": format!("{base}/{named}/oauth2/checksession"),
            "microsoft_multi_refresh_token": true,
        }),
        Version::V2 => json!({
            "token_endpoint": format!("{base}/{named}/oauth2/v2.0/token"),
            "authorization_endpoint": format!("{base}/{named}/oauth2/v2.0/authorize"),
            "device_authorization_endpoint": format!("{base}/{named}/oauth2/v2.0/devicecode"),
            "end_session_endpoint": format!("{base}/{named}/oauth2/v2.0/logout"),
            "jwks_uri": format!("{base}/{named}/discovery/v2.0/keys"),
            "issuer": format!("https://login.microsoftonline.com/{id}/v2.0"),
            "userinfo_endpoint": format!("{base}/oidc/userinfo"),
        }),
    };
    if let (Some(document), serde_json::Value::Object(own)) = (document.as_object_mut(), own) {
        document.extend(own);
    }
    Ok(cached(Answer::json(StatusCode::OK, document.to_string())))
}

fn instance_discovery(call: &Call<'_>) -> Answer {
    let asked = form_urlencoded::parse(call.query.as_bytes())
        .find(|(key, _)| key == "authorization_endpoint")
        .map(|(_, value)| value.into_owned());
    let tenant = asked
        .as_deref()
        .and_then(|address| url::Url::parse(address).ok())
        .and_then(|address| address.path_segments()?.next().map(str::to_owned))
        .unwrap_or_else(|| "common".to_owned());
    let host = call.base.split_once("://").map_or(call.base, |parts| parts.1);
    let body = json!({
        "tenant_discovery_endpoint": format!("{}/{tenant}/v2.0/.well-known/openid-configuration", call.base),
        "api-version": "1.1",
        "metadata": [
            {"preferred_network": host, "preferred_cache": host, "aliases": [host]},
            {"preferred_network": "login.microsoftonline.com", "preferred_cache": "login.windows.net",
             "aliases": ["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"]},
        ],
    });
    cached(Answer::json(StatusCode::OK, body.to_string()))
}

/// The instant as an HTTP date.
pub(crate) fn http_date(at: Ticks) -> String {
    jiff::Timestamp::from_second(at.seconds())
        .map(|at| at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
        .unwrap_or_default()
}
