//! Making an app registration, and changing what it asks for.

use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use super::calls::{Applications, Call, NEEDS_APPLICATIONS, Patience, query, read};
use super::error::DirectoryError;
use super::objects::{Application, RequiredResourceAccess, SignInAudience};

/// The delegated permissions that a person's token needs for all calls of this module, as v2 scopes without the
/// resource.
pub const OPERATOR_SCOPES: [&str; 3] = [
    "Application.ReadWrite.All",
    "AppRoleAssignment.ReadWrite.All",
    "DelegatedPermissionGrant.ReadWrite.All",
];

/// The application permission with which an app may care for its own registration.
pub const OWN_REGISTRATION_ROLES: [&str; 2] = ["Application.ReadWrite.OwnedBy", "Application.ReadWrite.All"];

/// An app registration to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApplication {
    /// The name that people see on the consent page.
    pub display_name: String,
    /// Who may sign in to it.
    pub audience: SignInAudience,
    /// Where a browser may come back to, for an app with a secret.
    pub redirect_uris: Vec<String>,
    /// What it asks for.
    pub required: Vec<RequiredResourceAccess>,
    /// Marks by which it is found again.
    pub tags: Vec<String>,
}

impl Applications<'_> {
    /// Makes an app registration. Look for it before with [`Self::named`]: Graph makes a second one of the same name.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub async fn create(&self, new: &NewApplication) -> Result<Application, DirectoryError> {
        let body = json!({
            "displayName": new.display_name,
            "signInAudience": new.audience,
            "web": { "redirectUris": new.redirect_uris },
            "requiredResourceAccess": new.required,
            "tags": new.tags,
        });
        let call = Call::new("making the app registration", NEEDS_APPLICATIONS);
        read(&call, &self.send(&call, Method::POST, "/v1.0/applications", Some(&body)).await?)
    }

    /// The app registration with this client id; `None` when this tenant has none.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub async fn application(&self, client_id: Uuid) -> Result<Option<Application>, DirectoryError> {
        let call = Call::new("reading the app registration", NEEDS_APPLICATIONS);
        let path = format!("/v1.0/applications(appId='{client_id}')");
        match self.send(&call, Method::GET, &path, None).await {
            Ok(answer) => read(&call, &answer).map(Some),
            Err(DirectoryError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The app registrations of this name.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub async fn named(&self, display_name: &str) -> Result<Vec<Application>, DirectoryError> {
        let call = Call::new("looking for the app registration", NEEDS_APPLICATIONS);
        let filter = format!("displayName eq '{}'", display_name.replace('\'', "''"));
        self.list(&call, &query("/v1.0/applications", &[("$filter", &filter)])).await
    }

    /// Changes the addresses of the web platform.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub async fn set_redirect_uris(&self, id: Uuid, uris: &[String]) -> Result<(), DirectoryError> {
        let call = Call::new("changing the redirect URIs", NEEDS_APPLICATIONS);
        self.patch(&call, id, &json!({ "web": { "redirectUris": uris } })).await
    }

    /// Changes what the app asks for.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub async fn set_required(
        &self,
        id: Uuid,
        required: &[RequiredResourceAccess],
    ) -> Result<(), DirectoryError> {
        let call = Call::new("changing the permissions that the app asks for", NEEDS_APPLICATIONS);
        self.patch(&call, id, &json!({ "requiredResourceAccess": required })).await
    }

    /// Makes a service principal an owner of an app registration: what an app needs, beside
    /// `Application.ReadWrite.OwnedBy`, to care for its own. One that is an owner already is no mistake.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub async fn add_owner(&self, id: Uuid, principal: Uuid) -> Result<(), DirectoryError> {
        let call =
            Call::new("making the app an owner of itself", NEEDS_APPLICATIONS).with(Patience::Replication);
        let owner = self.cloud.graph(&format!("/v1.0/directoryObjects/{principal}"));
        let path = format!("/v1.0/applications/{id}/owners/$ref");
        match self.send(&call, Method::POST, &path, Some(&json!({ "@odata.id": owner }))).await {
            Ok(_) => Ok(()),
            Err(DirectoryError::Refused { status: 400 | 409, ref message, .. })
                if message.contains("already exist") =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
