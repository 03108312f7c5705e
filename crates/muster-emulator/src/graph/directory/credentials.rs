//! Secrets, certificates and federated credentials of app registrations.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::graph::service::{Refusal, refusal};
use crate::identity::application::{Application, FederatedCredential, KeyCredential, PasswordCredential};
use crate::identity::certificate::Certificate;
use crate::identity::directory::AppPolicy;
use crate::identity::platform::State;
use crate::world::ticks::Ticks;

use super::request::{Answered, Request, bad, one};

/// The most that one app may have.
const FEDERATED_MAX: usize = 20;
const PASSWORDS_MAX: usize = 100;
/// Who a proof of possession is addressed to.
const PROOF_AUDIENCE: &str = "00000002-0000-0000-c000-000000000000";

/// Whether a policy lets something live until `end`.
fn check_life(policy: AppPolicy, now: Ticks, end: Ticks) -> Result<(), Refusal> {
    let longest = policy.lifetime_days_max.map(|days| now.plus_seconds(i64::from(days) * 86_400));
    if longest.is_none_or(|longest| end <= longest) {
        return Ok(());
    }
    Err(refusal(
        StatusCode::BAD_REQUEST,
        "CredentialInvalidLifetimeAsPerAppPolicy",
        "Credential lifetime exceeds the max value allowed as per assigned policy.",
    ))
}

impl Request<'_> {
    /// A new certificate out of a `keyCredential`.
    pub(super) fn new_key(&self, state: &mut State, key: &Value) -> Result<KeyCredential, Refusal> {
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
        check_life(state.directory.tenant(self.world, self.tenant()).app_policy, now, certificate.not_after)?;
        let given = key["keyId"].as_str().filter(|id| id.len() == 36).map(str::to_owned);
        Ok(KeyCredential {
            key_id: given.unwrap_or_else(|| state.dice.guid()),
            name: Some(key["displayName"].as_str().unwrap_or(&certificate.subject).to_owned()),
            certificate,
            works_from: Ticks(now.0.saturating_add(state.credential_delay)),
        })
    }

    pub(super) fn add_password(&self, state: &mut State, app: &mut Application) -> Answered {
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
        let policy = state.directory.tenant(self.world, self.tenant()).app_policy;
        if policy.no_secrets {
            return Err(refusal(
                StatusCode::BAD_REQUEST,
                "CredentialTypeNotAllowedAsPerAppPolicy",
                "Credential type not allowed as per assigned policy.",
            ));
        }
        check_life(policy, now, end)?;
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
    pub(super) fn check_proof(&self, app: &Application, body: &Value) -> Result<(), Refusal> {
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

    pub(super) fn add_federated(&self, state: &mut State, app: &mut Application) -> Result<Value, Refusal> {
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
}

pub(super) fn password_json(password: &PasswordCredential) -> Value {
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

pub(super) fn key_json(key: &KeyCredential, with_key: bool) -> Value {
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

pub(super) fn federated_json(credential: &FederatedCredential) -> Value {
    json!({
        "id": credential.id,
        "name": credential.name,
        "issuer": credential.issuer,
        "subject": credential.subject,
        "description": credential.description,
        "audiences": credential.audiences,
    })
}
