//! How an app proves itself at the token endpoint: a secret, a signed assertion, somebody else's token, or nothing.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hyper::header::{AUTHORIZATION, HeaderMap};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::Value;
use url::form_urlencoded;

use crate::world::ticks::Ticks;

use super::application::Application;
use super::error::{AadError, aad};
use super::platform::{Identity, Scene};

/// What a client may differ from the platform's clock.
const SKEW_SECONDS: i64 = 300;
/// Assertions are small.
const ASSERTION_BYTES_MAX: usize = 32 << 10;
/// The one kind of assertion there is.
pub(crate) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How a client proved itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Not at all: a public client.
    Nothing,
    Secret,
    Certificate,
    Federated,
}

impl Proof {
    /// The claim `appidacr` or `azpacr`.
    pub(crate) fn claim(self) -> &'static str {
        match self {
            Self::Nothing => "0",
            Self::Secret => "1",
            Self::Certificate | Self::Federated => "2",
        }
    }
}

/// What a token request carries to prove the client.
pub(crate) struct Credentials {
    pub(crate) client_id: Option<String>,
    secret: Option<String>,
    assertion: Option<String>,
    assertion_type: Option<String>,
}

impl Credentials {
    pub(crate) fn of(headers: &HeaderMap, form: &HashMap<String, String>) -> Self {
        let field = |name: &str| form.get(name).cloned();
        let basic = basic_credentials(headers);
        let (client_id, secret) = match basic {
            Some((id, secret)) => (Some(id), Some(secret)),
            None => (field("client_id"), field("client_secret")),
        };
        Self {
            client_id,
            secret,
            assertion: field("client_assertion"),
            assertion_type: field("client_assertion_type"),
        }
    }
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

/// A JWT that somebody else made, taken apart and not yet believed.
pub(crate) struct Foreign<'a> {
    pub(crate) header: Value,
    pub(crate) claims: Value,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Foreign<'a> {
    pub(crate) fn parse(token: &'a str) -> Option<Self> {
        if token.len() > ASSERTION_BYTES_MAX {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let json = |part: &str| -> Option<Value> {
            let value: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()?;
            value.is_object().then_some(value)
        };
        Some(Self {
            header: json(header)?,
            claims: json(claims)?,
            signed,
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    pub(crate) fn text(&self, claim: &str) -> &str {
        self.claims[claim].as_str().unwrap_or("")
    }

    /// A time claim: a number, or text as one client library writes it.
    fn seconds(&self, claim: &str) -> Option<i64> {
        let value = &self.claims[claim];
        value
            .as_i64()
            .or_else(|| value.as_f64().map(|seconds| seconds as i64))
            .or_else(|| value.as_str()?.parse().ok())
    }

    fn audiences(&self) -> Vec<&str> {
        match &self.claims["aud"] {
            Value::String(one) => vec![one],
            Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether it is within its times.
    pub(crate) fn is_timely(&self, now: Ticks) -> bool {
        let now = now.seconds();
        self.seconds("exp").is_some_and(|end| now < end.saturating_add(SKEW_SECONDS))
            && self.seconds("nbf").is_none_or(|start| now >= start.saturating_sub(SKEW_SECONDS))
    }

    /// Whether it lives for so long at most.
    pub(crate) fn lives_at_most(&self, seconds: i64) -> bool {
        let life = self.seconds("exp").zip(self.seconds("nbf")).map(|(end, start)| end.saturating_sub(start));
        life.is_some_and(|life| life <= seconds)
    }

    /// Whether a key, given as PKCS#1, made its signature, with an algorithm that the platform takes.
    pub(crate) fn is_signed_by(&self, public_key: &[u8]) -> bool {
        let message = self.signed.as_bytes();
        match self.header["alg"].as_str() {
            Some("RS256") => UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public_key)
                .verify(message, &self.signature)
                .is_ok(),
            Some("PS256") => UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, public_key)
                .verify(message, &self.signature)
                .is_ok(),
            _ => false,
        }
    }

    /// Whether a key of a published set made its signature.
    fn is_signed_by_one_of(&self, keys: &Value) -> bool {
        let id = self.header["kid"].as_str();
        let decode =
            |key: &Value, name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str()?.trim_end_matches('=')).ok();
        keys["keys"].as_array().into_iter().flatten().take(100).any(|key| {
            if key["kty"] != "RSA" || (id.is_some() && key["kid"].as_str() != id) {
                return false;
            }
            let (Some(n), Some(e)) = (decode(key, "n"), decode(key, "e")) else { return false };
            let key = ring::signature::RsaPublicKeyComponents { n, e };
            let message = self.signed.as_bytes();
            match self.header["alg"].as_str() {
                Some("RS256") => key.verify(&RSA_PKCS1_2048_8192_SHA256, message, &self.signature).is_ok(),
                Some("PS256") => key.verify(&RSA_PSS_2048_8192_SHA256, message, &self.signature).is_ok(),
                _ => false,
            }
        })
    }
}

impl Identity {
    /// Checks what a client proves itself with. A client without proof may be right where `public` says so.
    pub(crate) fn prove(
        &self,
        scene: &Scene<'_>,
        tenant_name: &str,
        app: &Application,
        credentials: &Credentials,
        public: bool,
    ) -> Result<Proof, AadError> {
        let without = app.passwords.is_empty() && app.keys.is_empty() && app.federated.is_empty();
        if without && app.public && (credentials.secret.is_some() || credentials.assertion.is_some()) {
            return Err(aad(700_025));
        }
        match (&credentials.assertion, &credentials.secret) {
            (Some(assertion), _) => {
                if credentials.assertion_type.as_deref() != Some(ASSERTION_TYPE) {
                    let text = format!("The 'client_assertion_type' must be '{ASSERTION_TYPE}'.");
                    return Err(aad(90_023).text(text));
                }
                self.check_assertion(scene, tenant_name, app, assertion)
            }
            (None, Some(secret)) => check_secret(app, secret, scene.world.now()).map(|()| Proof::Secret),
            (None, None) if public => Ok(Proof::Nothing),
            (None, None) => Err(aad(7_000_218)),
        }
    }

    fn check_assertion(
        &self,
        scene: &Scene<'_>,
        tenant_name: &str,
        app: &Application,
        assertion: &str,
    ) -> Result<Proof, AadError> {
        let assertion = Foreign::parse(assertion)
            .ok_or_else(|| aad(50_027).text("JWT token is invalid or malformed.").error("invalid_client"))?;
        let issuer = assertion.text("iss");
        if issuer.eq_ignore_ascii_case(&app.app_id) || assertion.text("sub").eq_ignore_ascii_case(&app.app_id)
        {
            return self.check_own_assertion(scene, tenant_name, app, &assertion);
        }
        self.check_federated(scene, app, &assertion)
    }

    fn check_own_assertion(
        &self,
        scene: &Scene<'_>,
        tenant_name: &str,
        app: &Application,
        assertion: &Foreign<'_>,
    ) -> Result<Proof, AadError> {
        let rejected = |reason: &str| {
            aad(700_027).text(format!(
                "The certificate with identifier used to sign the client assertion is not registered on application. \
                 [Reason - {reason}] Please visit the Azure Portal, Graph Explorer or directly use MS Graph to see \
                 configured keys for app Id '{}'.",
                app.app_id
            ))
        };
        if !matches!(assertion.header["alg"].as_str(), Some("RS256" | "PS256")) {
            return Err(rejected("The algorithm of the assertion is not supported."));
        }
        // MSAL for Python writes the padding of Base64.
        let thumbprint = |name: &str| assertion.header[name].as_str().map(|text| text.trim_end_matches('='));
        let key = app.keys.iter().find(|key| {
            thumbprint("x5t#S256").is_some_and(|own| own == key.certificate.sha256())
                || thumbprint("x5t").is_some_and(|own| own == key.certificate.sha1())
        });
        let now = scene.world.now();
        let key = key.filter(|key| now >= key.works_from).ok_or_else(|| {
            rejected(&format!(
                "The key was not found., Thumbprint of key used by client: '{}'",
                thumbprint("x5t#S256").or(thumbprint("x5t")).unwrap_or("none")
            ))
        })?;
        if !assertion.is_signed_by(&key.certificate.public_key) {
            return Err(rejected("The key used is not the one that the thumbprint names."));
        }
        if now < key.certificate.not_before || now >= key.certificate.not_after {
            return Err(rejected("The certificate used is expired or not yet valid."));
        }
        if !assertion.text("iss").eq_ignore_ascii_case(assertion.text("sub")) {
            return Err(aad(700_021));
        }
        if !assertion.audiences().iter().any(|audience| is_own_audience(scene, tenant_name, audience)) {
            return Err(aad(700_023));
        }
        check_times(assertion, now)?;
        Ok(Proof::Certificate)
    }

    fn check_federated(
        &self,
        scene: &Scene<'_>,
        app: &Application,
        assertion: &Foreign<'_>,
    ) -> Result<Proof, AadError> {
        let (issuer, subject) = (assertion.text("iss"), assertion.text("sub"));
        let audiences = assertion.audiences();
        let none = |code: u32, what: &str, value: &str| {
            aad(code).text(format!(
                "No matching federated identity record found for presented assertion {what} '{value}'. Check your \
                 federated identity credential Subject, Audience and Issuer against the presented assertion."
            ))
        };
        let by_issuer: Vec<_> = app.federated.iter().filter(|own| own.issuer == issuer).collect();
        if by_issuer.is_empty() {
            return Err(none(700_211, "issuer", issuer));
        }
        let by_subject: Vec<_> = by_issuer.into_iter().filter(|own| own.subject == subject).collect();
        if by_subject.is_empty() {
            return Err(none(700_213, "subject", subject));
        }
        let fits = |audience: &&str| {
            by_subject.iter().any(|own| own.audiences.iter().any(|known| known == audience))
        };
        if !audiences.iter().any(fits) {
            return Err(none(700_212, "audience", audiences.first().unwrap_or(&"")));
        }
        let trusted = {
            let state = self.lock();
            state.trusted_issuers.get(issuer).cloned()
        };
        let signed = match trusted {
            Some(keys) => assertion.is_signed_by_one_of(&keys),
            None if self.is_own_issuer(scene, issuer) => {
                assertion.is_signed_by_one_of(&self.keys.published(issuer))
            }
            None => false,
        };
        if !signed {
            let text = "Client assertion failed signature validation. [Reason - The key was not found.]";
            return Err(aad(700_027).text(text));
        }
        check_times(assertion, scene.world.now())?;
        Ok(Proof::Federated)
    }

    /// Whether an issuer is one of the emulator's own tenants.
    fn is_own_issuer(&self, scene: &Scene<'_>, issuer: &str) -> bool {
        let Ok(address) = url::Url::parse(issuer) else { return false };
        let tenant = address.path_segments().and_then(|mut segments| segments.next());
        tenant.is_some_and(|tenant| scene.world.find_tenant(tenant).is_some())
            && matches!(address.host_str(), Some("sts.windows.net" | "login.microsoftonline.com"))
    }
}

fn check_times(assertion: &Foreign<'_>, now: Ticks) -> Result<(), AadError> {
    if assertion.is_timely(now) {
        return Ok(());
    }
    let at = |claim: &str| {
        assertion.seconds(claim).map_or_else(
            || "none".to_owned(),
            |seconds| Ticks(0).plus_seconds(seconds.clamp(0, 1 << 34)).to_string(),
        )
    };
    Err(aad(700_024).text(format!(
        "Client assertion is not within its valid time range. Current time: {now}, assertion valid from {}, expiry time \
         of assertion {}. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials .",
        at("nbf"),
        at("exp"),
    )))
}

/// The token endpoint of either version, or the issuer, of the tenant that the request went to.
fn is_own_audience(scene: &Scene<'_>, tenant_name: &str, audience: &str) -> bool {
    let Ok(address) = url::Url::parse(audience) else { return false };
    let own = url::Url::parse(scene.call.base).is_ok_and(|own| {
        own.host() == address.host() && own.port_or_known_default() == address.port_or_known_default()
    });
    let host = address.host_str().unwrap_or("");
    let known = address.scheme() == "https" && crate::http::hosts::is_login(host);
    if !own && !known {
        return false;
    }
    let path = address.path().trim_matches('/');
    let (tenant, rest) = path.split_once('/').unwrap_or((path, ""));
    let same = tenant.eq_ignore_ascii_case(tenant_name)
        || (scene.world.find_tenant(tenant).is_some()
            && scene.world.find_tenant(tenant) == scene.world.find_tenant(tenant_name));
    same && matches!(rest, "" | "v2.0" | "oauth2/token" | "oauth2/v2.0/token")
}

fn check_secret(app: &Application, secret: &str, now: Ticks) -> Result<(), AadError> {
    let matching = app.passwords.iter().filter(|own| own.value == secret);
    let mut expired = false;
    for own in matching {
        if now >= own.end {
            expired = true;
        } else if now >= own.works_from && now >= own.start {
            return Ok(());
        }
    }
    if expired {
        return Err(aad(7_000_222).text(format!(
            "The provided client secret keys for app '{}' are expired. Visit the Azure portal to create new keys for \
             your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: \
             https://aka.ms/certCreds.",
            app.app_id
        )));
    }
    Err(aad(7_000_215).text(format!(
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not \
         the client secret ID, for a secret added to app '{}'.",
        app.app_id
    )))
}
