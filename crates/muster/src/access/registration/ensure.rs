//! Making a registration, or mending the one there is.

use muster_microsoft::entra::applications::{
    AccessKind, Application, Applications, DirectoryError, NewApplication, RequiredResourceAccess,
    ServicePrincipal, SignInAudience,
};
use uuid::Uuid;

use super::required::{merged, missing_permissions, permission_name, self_care_access};

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

pub(super) fn missing_uris(application: &Application, wanted: &[String]) -> Vec<String> {
    wanted.iter().filter(|uri| !application.web.redirect_uris.contains(uri)).cloned().collect()
}
