//! Tokens of somebody else that an app accepts in place of a secret.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::calls::{Applications, Call, NEEDS_APPLICATIONS, Patience};
use super::error::DirectoryError;

/// A token of somebody else that an app accepts in place of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FederatedCredential {
    /// Its id; Microsoft gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// Its name, unique in the app.
    pub name: String,
    /// Who issues the token.
    pub issuer: String,
    /// Whom the token is about.
    pub subject: String,
    /// Whom the token is for.
    pub audiences: Vec<String>,
}

impl Applications<'_> {
    /// The federated credentials of an app.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub async fn federated_credentials(&self, id: Uuid) -> Result<Vec<FederatedCredential>, DirectoryError> {
        let call = Call::new("reading the app's federated credentials", NEEDS_APPLICATIONS);
        self.list(&call, &format!("/v1.0/applications/{id}/federatedIdentityCredentials")).await
    }

    /// Lets an app prove itself with tokens of somebody else. One that is there already is no mistake; Microsoft takes
    /// at most 20 per app.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub async fn add_federated_credential(
        &self,
        id: Uuid,
        new: &FederatedCredential,
    ) -> Result<(), DirectoryError> {
        let call = Call::new("adding a federated credential", NEEDS_APPLICATIONS).with(Patience::Replication);
        let same = |there: &FederatedCredential| there.issuer == new.issuer && there.subject == new.subject;
        if self.federated_credentials(id).await?.iter().any(same) {
            return Ok(());
        }
        let path = format!("/v1.0/applications/{id}/federatedIdentityCredentials");
        let body = serde_json::to_value(new)
            .map_err(|error| DirectoryError::Unreadable { action: call.action, detail: error.to_string() })?;
        self.send(&call, Method::POST, &path, Some(&body)).await?;
        Ok(())
    }

    /// Removes a federated credential. One that is gone already is no mistake.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub async fn remove_federated_credential(
        &self,
        id: Uuid,
        credential: Uuid,
    ) -> Result<(), DirectoryError> {
        let call = Call::new("removing a federated credential", NEEDS_APPLICATIONS);
        let path = format!("/v1.0/applications/{id}/federatedIdentityCredentials/{credential}");
        match self.send(&call, Method::DELETE, &path, None).await {
            Ok(_) | Err(DirectoryError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
