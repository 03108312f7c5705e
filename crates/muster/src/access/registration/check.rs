//! A registration as it is, checked against what Muster needs.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use muster_microsoft::entra::applications::{Application, ServicePrincipal, SignInAudience};
use muster_microsoft::entra::credential::Access;
use muster_microsoft::entra::permissions::Permission;
use muster_model::{Source, Tenant, TenantId, TenantState};
use muster_store::{Check, CheckOutcome, StoredCredential};
use uuid::Uuid;

use super::ensure::missing_uris;
use super::required::{missing_permissions, permission_name, required_with};
use crate::access::checks::good;

/// A credential that ends within this is told.
const WARN_BEFORE: Duration = Duration::from_secs(30 * 86_400);
/// The name of the check that finds the registration.
pub const REGISTRATION: &str = "registration";
/// The name of the check of who may use the app.
pub const AUDIENCE: &str = "audience";
/// The name of the check of the service principal.
pub const SERVICE_PRINCIPAL: &str = "service principal";
/// The name of the check of what the app asks for.
pub const PERMISSIONS: &str = "permissions";
/// The name of the check of where browsers may come back to.
pub const REDIRECT_URIS: &str = "redirect URIs";
/// The name of the check of the secrets and certificates at Microsoft.
pub const CREDENTIALS: &str = "credentials at Microsoft";

/// What a registration is checked against.
#[derive(Debug)]
pub struct Expected<'a> {
    pub app: &'a str,
    /// Whether it reads by itself or for a person.
    pub access: Access,
    /// The tenant that it is registered in.
    pub home: TenantId,
    /// The tenants that are read with it.
    pub tenants: &'a [Tenant],
    /// What it is to ask for besides.
    pub further: &'a [&'static Permission],
    /// Where browsers come back to.
    pub redirect_uris: &'a [String],
    /// What the store keeps for it.
    pub stored: &'a [StoredCredential],
    /// The mark in the names of credentials that this Muster made.
    pub mark: &'a str,
    pub now: Timestamp,
}

/// What there is to say about a registration. `principal` is the app's service principal in its own tenant.
pub fn checks(
    application: Option<&Application>,
    principal: Option<&ServicePrincipal>,
    expected: &Expected<'_>,
) -> Vec<Check> {
    let now = expected.now;
    let Some(application) = application else {
        return vec![wrong(
            REGISTRATION,
            CheckOutcome::Failing,
            "app_unknown",
            format!("tenant {} has no app registration with this client id", expected.home),
            format!(
                "correct `client_id` or `tenant` in [apps.{0}], or run `muster app register {0}`",
                expected.app
            ),
            now,
        )];
    };
    let name = application.display_name.as_deref().unwrap_or("without a name");
    vec![
        good(REGISTRATION, format!("`{name}`, object {}", application.id), now),
        audience_check(application, expected),
        principal_check(principal, expected),
        permissions_check(application, expected),
        redirect_check(application, expected),
        credentials_check(application, expected),
    ]
}

fn wrong(
    name: &str,
    outcome: CheckOutcome,
    code: &str,
    detail: String,
    remedy: String,
    now: Timestamp,
) -> Check {
    Check { outcome, code: code.to_owned(), remedy, ..good(name, detail, now) }
}

fn audience_check(application: &Application, expected: &Expected<'_>) -> Check {
    let audience = application.sign_in_audience.unwrap_or(SignInAudience::Other);
    let strangers = expected.tenants.iter().filter(|tenant| tenant.id != expected.home).count();
    if strangers == 0 || audience.is_multitenant() {
        return good(AUDIENCE, audience.as_str().to_owned(), expected.now);
    }
    wrong(
        AUDIENCE,
        CheckOutcome::Failing,
        "single_tenant",
        format!(
            "it is for its own tenant only ({}), but {strangers} other tenants are to be read with it",
            audience.as_str()
        ),
        "in the portal, under Authentication, allow accounts in any organizational directory".to_owned(),
        expected.now,
    )
}

fn principal_check(principal: Option<&ServicePrincipal>, expected: &Expected<'_>) -> Check {
    let register = format!("run `muster app register {}`", expected.app);
    match principal {
        None => wrong(
            SERVICE_PRINCIPAL,
            CheckOutcome::Failing,
            "no_service_principal",
            format!(
                "tenant {} has no service principal for the app, so it gets no token there",
                expected.home
            ),
            register,
            expected.now,
        ),
        Some(principal) if principal.account_enabled == Some(false) => wrong(
            SERVICE_PRINCIPAL,
            CheckOutcome::Failing,
            "app_disabled",
            format!("the app is disabled in its own tenant {}", expected.home),
            "in the portal, under Enterprise applications > Properties, enable it for sign-in".to_owned(),
            expected.now,
        ),
        Some(_) => good(SERVICE_PRINCIPAL, "there, and enabled".to_owned(), expected.now),
    }
}

fn permissions_check(application: &Application, expected: &Expected<'_>) -> Check {
    let sources: BTreeSet<Source> = expected
        .tenants
        .iter()
        .filter(|tenant| tenant.state != TenantState::Offboarded)
        .flat_map(|tenant| tenant.sources.iter().copied())
        .collect();
    let asked: Vec<String> = application
        .required_resource_access
        .iter()
        .flat_map(|required| {
            required.resource_access.iter().map(|access| permission_name(required.resource_app_id, access))
        })
        .collect();
    let asks = |permission: &Permission| {
        let wanted = required_with([], &[permission], expected.access);
        !wanted.is_empty() && missing_permissions(&application.required_resource_access, &wanted).is_empty()
    };
    let of_sources = sources.iter().filter_map(|source| {
        let enough = muster_microsoft::sources::permissions(*source);
        let least = enough.first().filter(|least| {
            // The old SIEM feed wants none of an app that acts for itself.
            least.name(expected.access).is_some() || !muster_microsoft::sources::in_tokens(*source).is_empty()
        });
        least.filter(|_| !enough.iter().any(|permission| asks(permission)))
    });
    let further = expected.further.iter().filter(|permission| !asks(permission));
    let lacking: BTreeSet<String> =
        of_sources.chain(further).map(|permission| permission.full_name()).collect();
    if lacking.is_empty() {
        return good(PERMISSIONS, format!("it asks for {}", list(&asked)), expected.now);
    }
    let lacking: Vec<String> = lacking.into_iter().collect();
    wrong(
        PERMISSIONS,
        CheckOutcome::Failing,
        "missing_role",
        format!(
            "it does not ask for {}, which the tenants' sources or the settings need",
            lacking.join(", ")
        ),
        format!(
            "run `muster app register {}`, which adds it, and have the customers consent again",
            expected.app
        ),
        expected.now,
    )
}

fn redirect_check(application: &Application, expected: &Expected<'_>) -> Check {
    let missing = missing_uris(application, expected.redirect_uris);
    if missing.is_empty() {
        return good(REDIRECT_URIS, list(&application.web.redirect_uris), expected.now);
    }
    wrong(
        REDIRECT_URIS,
        CheckOutcome::Failing,
        "redirect_uri",
        format!("not registered: {}", missing.join(", ")),
        format!("run `muster app register {}`, or add it in the portal exactly as written", expected.app),
        expected.now,
    )
}

/// Every secret and certificate at Microsoft: when it ends, and whether anybody has it.
fn credentials_check(application: &Application, expected: &Expected<'_>) -> Check {
    struct Held<'a> {
        kind: &'static str,
        key_id: Uuid,
        name: Option<&'a str>,
        ends: Option<Timestamp>,
    }
    let secrets = application.password_credentials.iter().map(|secret| Held {
        kind: "secret",
        key_id: secret.key_id,
        name: secret.display_name.as_deref(),
        ends: secret.end_date_time,
    });
    let certificates = application.key_credentials.iter().map(|key| Held {
        kind: "certificate",
        key_id: key.key_id,
        name: key.display_name.as_deref(),
        ends: key.end_date_time,
    });
    let held: Vec<Held<'_>> = secrets.chain(certificates).collect();
    if held.is_empty() {
        return good(CREDENTIALS, "none".to_owned(), expected.now);
    }
    let is_stored =
        |held: &Held<'_>| expected.stored.iter().any(|stored| stored.key_id.parse() == Ok(held.key_id));
    let (mut told, mut remedies) = (Vec::new(), Vec::new());
    let mut worst = CheckOutcome::Good;
    let mut code = "ok";
    for one in &held {
        let what = format!("{} {}", one.kind, one.key_id);
        let is_ours = one.name.is_some_and(|name| name.ends_with(expected.mark));
        let left = one.ends.map(|ends| ends.duration_since(expected.now));
        let ends = one.ends.map_or_else(|| "without end".to_owned(), |ends| format!("until {ends:.10}"));
        let (outcome, word, finding, remedy) = match left {
            Some(left) if left.is_negative() || left.is_zero() => (
                CheckOutcome::Warning,
                "expired",
                format!("{what} has expired"),
                format!("remove {what} in the portal"),
            ),
            _ if is_ours && !is_stored(one) => (
                CheckOutcome::Warning,
                "orphan",
                format!("{what} was made by a rotation that was interrupted, and nobody has it"),
                format!("run `muster app rotate-{} {}`, which removes it", one.kind, expected.app),
            ),
            Some(left) if Duration::try_from(left).is_ok_and(|left| left < WARN_BEFORE) => (
                CheckOutcome::Warning,
                "ends_soon",
                format!("{what} ends in {} days", left.as_secs() / 86_400),
                format!(
                    "if it is in use, run `muster app rotate-{} {}`, or put a new one where the settings say",
                    one.kind, expected.app
                ),
            ),
            _ => (CheckOutcome::Good, "ok", format!("{what} {ends}"), String::new()),
        };
        told.push(finding);
        if outcome > worst {
            (worst, code) = (outcome, word);
        }
        if !remedy.is_empty() {
            remedies.push(remedy);
        }
    }
    let first_end = held.iter().filter_map(|held| held.ends).filter(|ends| *ends > expected.now).min();
    Check {
        expires_at: first_end,
        ..wrong(CREDENTIALS, worst, code, told.join("; "), remedies.join("; "), expected.now)
    }
}

fn list(words: &[String]) -> String {
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use muster_model::Secret;
    use muster_store::{CredentialKind, CredentialSlot};
    use serde_json::json;

    use super::*;
    use muster_microsoft::entra::permissions;

    use crate::access::registration::required;

    const KEY: &str = "f0b0b335-1d71-4883-8f98-567911bfdca6";

    fn now() -> Timestamp {
        "2026-11-21T08:00:00Z".parse().expect("a time")
    }

    fn tenant(id: &str) -> Tenant {
        Tenant {
            id: id.parse().expect("a GUID"),
            slug: "contoso".parse().expect("a slug"),
            name: "Contoso".to_owned(),
            domain: None,
            state: TenantState::Active,
            app: "main".to_owned(),
            sources: Source::ALL.into(),
            tags: BTreeSet::new(),
            since: now(),
            added_at: now(),
        }
    }

    const HOME: &str = "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d";
    const CUSTOMER: &str = "11111111-2222-4333-8444-555555555555";

    fn application(change: impl FnOnce(&mut serde_json::Value)) -> Application {
        let required = required(Source::ALL, Access::Application);
        let mut value = json!({
            "id": "03ef14b0-ca33-4840-8f4f-d6e91916010e",
            "appId": "631a96bc-a705-4eda-9f99-fdaf9f54f6a2",
            "displayName": "Muster main",
            "signInAudience": "AzureADMultipleOrgs",
            "web": { "redirectUris": ["https://muster.mssp.example/onboard/callback"] },
            "requiredResourceAccess": required,
            "passwordCredentials": [{
                "keyId": KEY, "displayName": "Muster 2026-11-21 #abc", "endDateTime": "2027-11-21T00:00:00Z"
            }],
        });
        change(&mut value);
        serde_json::from_value(value).expect("an application")
    }

    fn found(application: &Application, stored: &[StoredCredential]) -> Vec<(String, CheckOutcome, String)> {
        found_with(application, stored, &[])
    }

    fn found_with(
        application: &Application,
        stored: &[StoredCredential],
        further: &[&'static Permission],
    ) -> Vec<(String, CheckOutcome, String)> {
        let principal = ServicePrincipal {
            id: Uuid::nil(),
            app_id: application.app_id,
            display_name: None,
            account_enabled: Some(true),
        };
        let uris = ["https://muster.mssp.example/onboard/callback".to_owned()];
        let expected = Expected {
            app: "main",
            access: Access::Application,
            home: HOME.parse().expect("a GUID"),
            tenants: &[tenant(CUSTOMER)],
            further,
            redirect_uris: &uris,
            stored,
            mark: "#abc",
            now: now(),
        };
        let checks = checks(Some(application), Some(&principal), &expected);
        checks.into_iter().map(|check| (check.name, check.outcome, check.code)).collect()
    }

    fn stored() -> StoredCredential {
        StoredCredential {
            app: "main".to_owned(),
            slot: CredentialSlot::Current,
            kind: CredentialKind::Secret,
            key_id: KEY.to_owned(),
            value: Secret::new(b"x".to_vec()),
            not_after: None,
            created_at: now(),
        }
    }

    #[test]
    fn a_right_registration_is_good() {
        for (name, outcome, code) in found(&application(|_| {}), &[stored()]) {
            assert_eq!((outcome, code.as_str()), (CheckOutcome::Good, "ok"), "{name}");
        }
    }

    #[test]
    fn what_the_settings_want_besides_is_looked_for_too() {
        let isolate = permissions::parse("WindowsDefenderATP/Machine.Isolate").expect("a permission");
        let code = |application: &Application| {
            let found = found_with(application, &[stored()], &[isolate]);
            found.into_iter().find(|(name, ..)| name == PERMISSIONS).map(|(_, _, code)| code)
        };
        assert_eq!(code(&application(|_| {})).as_deref(), Some("missing_role"));
        let asking = application(|value| {
            value["requiredResourceAccess"] =
                json!(required_with(Source::ALL, &[isolate], Access::Application));
        });
        assert_eq!(code(&asking).as_deref(), Some("ok"));
    }

    #[test]
    fn what_is_wrong_is_told_by_name() {
        let code = |application: Application, stored: &[StoredCredential], check: &str| {
            let found = found(&application, stored);
            found.into_iter().find(|(name, ..)| name == check).map(|(_, _, code)| code).expect("the check")
        };
        let stored = [stored()];
        let single = application(|value| value["signInAudience"] = json!("AzureADMyOrg"));
        assert_eq!(code(single, &stored, AUDIENCE), "single_tenant");
        let poor = application(|value| value["requiredResourceAccess"] = json!([]));
        assert_eq!(code(poor, &stored, PERMISSIONS), "missing_role");
        let elsewhere = application(|value| value["web"]["redirectUris"] = json!(["https://other.example/"]));
        assert_eq!(code(elsewhere, &stored, REDIRECT_URIS), "redirect_uri");
        assert_eq!(code(application(|_| {}), &[], CREDENTIALS), "orphan");
        let ends = |at: &str| application(|value| value["passwordCredentials"][0]["endDateTime"] = json!(at));
        assert_eq!(code(ends("2026-12-01T00:00:00Z"), &stored, CREDENTIALS), "ends_soon");
        assert_eq!(code(ends("2026-11-01T00:00:00Z"), &stored, CREDENTIALS), "expired");
    }
}
