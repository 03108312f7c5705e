//! An app's registration at Microsoft: made or mended to what Muster needs, and checked against it.
//!
//! Nothing that is there is taken away: permissions and redirect URIs that somebody else added stay. Whatever was done
//! half is found again, by the client id of the settings, or by the name and the mark of the registration.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use muster_microsoft::entra::applications::{
    AccessKind, Application, Applications, DirectoryError, NewApplication, OWN_REGISTRATION_ROLES,
    RequiredResourceAccess, ResourceAccess, ServicePrincipal, SignInAudience,
};
use muster_microsoft::entra::credential::Access;
use muster_microsoft::entra::permissions::{self, Permission, ResourceApp};
use muster_model::{Source, Tenant, TenantId, TenantState};
use muster_store::{Check, CheckOutcome, StoredCredential};
use uuid::Uuid;

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

/// What a registration is to be like.
#[derive(Debug, Clone)]
pub struct WantedRegistration {
    /// The name that people see on the consent page.
    pub display_name: String,
    /// The mark by which it is found again, where the settings do not name its client id yet.
    pub tag: String,
    pub audience: SignInAudience,
    /// Where browsers come back to.
    pub redirect_uris: Vec<String>,
    /// What it asks for.
    pub required: Vec<RequiredResourceAccess>,
}

/// Why a registration could not be made or mended.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    #[error("{0}; run the command again, it goes on from here")]
    Directory(#[from] DirectoryError),
    /// The settings name one that is not there.
    #[error(
        "the settings name client id {0}, but this tenant has no such app registration: correct `client_id` or `tenant`, or remove the section to have a new one made"
    )]
    NotThere(Uuid),
    /// Somebody else's of the same name.
    #[error(
        "there is an app registration `{name}` already (client id {client_id}) that this Muster did not make: choose another name with --display-name, or name its client id in the settings"
    )]
    Strange { name: String, client_id: Uuid },
    /// More than one of ours.
    #[error(
        "there are several app registrations of this Muster for the app ({0}): name the right client id in the settings, and remove the others in the portal"
    )]
    Several(String),
}

/// What was done to a registration.
#[derive(Debug)]
pub struct Ensured {
    pub application: Application,
    /// Its service principal in its own tenant.
    pub principal: ServicePrincipal,
    pub created: bool,
    /// What was changed, in words.
    pub changes: Vec<String>,
}

/// Makes the registration, or mends the one there is.
///
/// # Errors
/// See [`RegistrationError`].
pub async fn ensure(
    graph: Applications<'_>,
    client_id: Option<Uuid>,
    wanted: &WantedRegistration,
) -> Result<Ensured, RegistrationError> {
    let found = match client_id {
        Some(client_id) => {
            let found = graph.application(client_id).await?;
            Some(found.ok_or(RegistrationError::NotThere(client_id))?)
        }
        None => find(graph, wanted).await?,
    };
    let mut changes = Vec::new();
    let (mut application, created) = match found {
        Some(application) => (application, false),
        None => {
            let new = NewApplication {
                display_name: wanted.display_name.clone(),
                audience: wanted.audience,
                redirect_uris: wanted.redirect_uris.clone(),
                required: wanted.required.clone(),
                tags: vec![wanted.tag.clone()],
            };
            (graph.create(&new).await?, true)
        }
    };
    let missing = missing_uris(&application, &wanted.redirect_uris);
    if !missing.is_empty() && !created {
        let mut uris = application.web.redirect_uris.clone();
        uris.extend(missing.iter().cloned());
        graph.set_redirect_uris(application.id, &uris).await?;
        changes.push(format!("redirect URIs added: {}", missing.join(", ")));
        application.web.redirect_uris = uris;
    }
    let lacking = missing_permissions(&application.required_resource_access, &wanted.required);
    if !lacking.is_empty() && !created {
        let merged = merged(&application.required_resource_access, &wanted.required);
        graph.set_required(application.id, &merged).await?;
        changes.push(format!(
            "permissions added: {}; customers who consented before have to consent again",
            lacking
                .iter()
                .map(|(resource, access)| permission_name(*resource, access))
                .collect::<Vec<_>>()
                .join(", ")
        ));
        application.required_resource_access = merged;
    }
    let principal = graph.ensure_service_principal(application.app_id).await?;
    Ok(Ensured { application, principal, created, changes })
}

async fn find(
    graph: Applications<'_>,
    wanted: &WantedRegistration,
) -> Result<Option<Application>, RegistrationError> {
    let of_that_name = graph.named(&wanted.display_name).await?;
    let mut ours = of_that_name.iter().filter(|application| application.tags.contains(&wanted.tag));
    match (ours.next(), ours.next()) {
        (Some(one), None) => Ok(Some(one.clone())),
        (Some(_), Some(_)) => {
            let ids = of_that_name.iter().filter(|application| application.tags.contains(&wanted.tag));
            let ids = ids.map(|application| application.app_id.to_string()).collect::<Vec<_>>();
            Err(RegistrationError::Several(ids.join(", ")))
        }
        (None, _) => match of_that_name.first() {
            Some(strange) => Err(RegistrationError::Strange {
                name: wanted.display_name.clone(),
                client_id: strange.app_id,
            }),
            None => Ok(None),
        },
    }
}

/// Grants, in the registration's own tenant: with `consent` the application permissions that it asks for, with
/// `self_care` the one to change its own registration. Returns the names of those granted now.
///
/// # Errors
/// When Graph says no, or the tenant does not have one of the APIs.
pub async fn consent_here(
    graph: Applications<'_>,
    ensured: &Ensured,
    consent: bool,
    self_care: bool,
) -> Result<Vec<String>, RegistrationError> {
    let held = graph.role_assignments(ensured.principal.id).await?;
    let mut granted = Vec::new();
    let mut wanted = if consent { ensured.application.required_resource_access.clone() } else { Vec::new() };
    if self_care {
        wanted = merged(&wanted, &self_care_access());
    }
    for required in &wanted {
        let roles = required.resource_access.iter().filter(|access| access.kind == AccessKind::Role);
        for access in roles {
            if held.iter().any(|held| held.app_role_id == access.id) {
                continue;
            }
            let resource = graph.ensure_service_principal(required.resource_app_id).await?;
            graph.grant_role(ensured.principal.id, resource.id, access.id).await?;
            granted.push(permission_name(required.resource_app_id, access));
        }
    }
    Ok(granted)
}

/// The permissions that `sources` need, for an app with this access.
pub fn required(sources: impl IntoIterator<Item = Source>, access: Access) -> Vec<RequiredResourceAccess> {
    let mut wanted: Vec<(&Permission, AccessKind)> = Vec::new();
    let kind = match access {
        Access::Application => AccessKind::Role,
        Access::Delegated => AccessKind::Scope,
    };
    for source in sources {
        wanted.extend(permissions::for_source(source).first().map(|least| (least, kind)));
    }
    if access == Access::Delegated {
        let person = ["openid", "profile", "offline_access"];
        let known = person.iter().filter_map(|name| permissions::by_name(Some(ResourceApp::Graph), name));
        wanted.extend(known.map(|permission| (permission, AccessKind::Scope)));
    }
    let mut required = Vec::new();
    for (permission, kind) in wanted {
        let named = match kind {
            AccessKind::Role => permission.role,
            AccessKind::Scope => permission.scope,
        };
        let id = named.and_then(|(_, id)| id.parse().ok());
        if let (Some(id), Ok(resource_app_id)) = (id, permission.resource.app_id().parse()) {
            let resource_access = vec![ResourceAccess { id, kind }];
            required = merged(&required, &[RequiredResourceAccess { resource_app_id, resource_access }]);
        }
    }
    required
}

/// The application permission with which an app may change its own registration. It is granted in the app's own tenant
/// and never stands in the registration, so that no customer is asked for it.
fn self_care_access() -> Vec<RequiredResourceAccess> {
    let role = permissions::by_name(Some(ResourceApp::Graph), OWN_REGISTRATION_ROLES[0])
        .and_then(|permission| permission.role?.1.parse().ok());
    let (Some(id), Ok(resource_app_id)) = (role, ResourceApp::Graph.app_id().parse()) else {
        return Vec::new();
    };
    vec![RequiredResourceAccess {
        resource_app_id,
        resource_access: vec![ResourceAccess { id, kind: AccessKind::Role }],
    }]
}

fn merged(
    there: &[RequiredResourceAccess],
    wanted: &[RequiredResourceAccess],
) -> Vec<RequiredResourceAccess> {
    let mut merged = there.to_vec();
    for (resource, access) in missing_permissions(there, wanted) {
        match merged.iter_mut().find(|one| one.resource_app_id == resource) {
            Some(one) => one.resource_access.push(access),
            None => merged
                .push(RequiredResourceAccess { resource_app_id: resource, resource_access: vec![access] }),
        }
    }
    merged
}

fn missing_permissions(
    there: &[RequiredResourceAccess],
    wanted: &[RequiredResourceAccess],
) -> Vec<(Uuid, ResourceAccess)> {
    let all = |list: &[RequiredResourceAccess]| -> BTreeSet<(Uuid, ResourceAccess)> {
        let pairs = list.iter().flat_map(|one| {
            one.resource_access.iter().map(|access| (one.resource_app_id, *access)).collect::<Vec<_>>()
        });
        pairs.collect()
    };
    all(wanted).difference(&all(there)).copied().collect()
}

fn missing_uris(application: &Application, wanted: &[String]) -> Vec<String> {
    wanted.iter().filter(|uri| !application.web.redirect_uris.contains(uri)).cloned().collect()
}

/// A permission's name, or its id where it is none of those that Muster knows.
pub fn permission_name(resource: Uuid, access: &ResourceAccess) -> String {
    let known = permissions::all().iter().find_map(|permission| {
        let named = match access.kind {
            AccessKind::Role => permission.role,
            AccessKind::Scope => permission.scope,
        };
        let (name, id) = named?;
        let same = permission.resource.app_id().parse() == Ok(resource) && id.parse() == Ok(access.id);
        same.then(|| name.to_owned())
    });
    known.unwrap_or_else(|| access.id.to_string())
}

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
    let lacking: Vec<&str> = sources
        .iter()
        .filter_map(|source| {
            let enough = permissions::for_source(*source);
            let names = || enough.iter().filter_map(|permission| permission.name(expected.access));
            let held = names().any(|name| asked.iter().any(|asked| asked == name));
            if held { None } else { names().next() }
        })
        .collect();
    if lacking.is_empty() {
        return good(PERMISSIONS, format!("it asks for {}", list(&asked)), expected.now);
    }
    wrong(
        PERMISSIONS,
        CheckOutcome::Failing,
        "missing_role",
        format!("it does not ask for {}, which the tenants' sources need", lacking.join(", ")),
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

    #[test]
    fn permissions_are_added_and_never_taken_away() {
        let other = RequiredResourceAccess {
            resource_app_id: Uuid::from_u128(7),
            resource_access: vec![ResourceAccess { id: Uuid::from_u128(8), kind: AccessKind::Scope }],
        };
        let wanted = super::merged(&required(Source::ALL, Access::Application), &self_care_access());
        let merged = merged(std::slice::from_ref(&other), &wanted);
        assert_eq!(merged[0], other);
        assert!(missing_permissions(&merged, &wanted).is_empty());
        let graph = merged.iter().find(|one| one.resource_app_id != other.resource_app_id).expect("Graph");
        assert_eq!(graph.resource_access.len(), 3);
        let delegated = required(Source::ALL, Access::Delegated);
        assert!(delegated[0].resource_access.iter().all(|access| access.kind == AccessKind::Scope));
        assert_eq!(delegated[0].resource_access.len(), 5);
    }
}
