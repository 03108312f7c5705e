//! Service principals, and the permissions that are granted to them.

use muster_http::shown;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::calls::{
    Applications, Call, NEEDS_APPLICATIONS, NEEDS_DELEGATED_GRANTS, NEEDS_ROLE_GRANTS, Patience, query, read,
};
use super::error::DirectoryError;

/// An app, or one of Microsoft's APIs, as a tenant knows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePrincipal {
    /// The id of the directory object.
    pub id: Uuid,
    /// The application (client) id.
    pub app_id: Uuid,
    /// Its name.
    #[serde(default)]
    pub display_name: Option<String>,
    /// Whether people and apps may sign in to it.
    #[serde(default)]
    pub account_enabled: Option<bool>,
}

/// An application permission that was granted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleAssignment {
    /// The grant's id.
    pub id: String,
    /// Which permission.
    pub app_role_id: Uuid,
    /// To whom: the app's service principal.
    pub principal_id: Uuid,
    /// Of which API: its service principal.
    pub resource_id: Uuid,
    /// The API's name.
    #[serde(default)]
    pub resource_display_name: Option<String>,
}

/// Delegated permissions that were granted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DelegatedGrant {
    /// The grant's id.
    pub id: String,
    /// To whom: the app's service principal.
    pub client_id: Uuid,
    /// `AllPrincipals`, or `Principal` for one person.
    pub consent_type: String,
    /// Of which API: its service principal.
    pub resource_id: Uuid,
    /// The permissions, with blanks between.
    #[serde(default)]
    pub scope: String,
}

impl Applications<'_> {
    /// The service principal of an app or API in this tenant; `None` when it has none.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub async fn service_principal(
        &self,
        client_id: Uuid,
    ) -> Result<Option<ServicePrincipal>, DirectoryError> {
        let call = Call::new("looking for the service principal", NEEDS_APPLICATIONS);
        let filter = format!("appId eq '{client_id}'");
        let found: Vec<ServicePrincipal> =
            self.list(&call, &query("/v1.0/servicePrincipals", &[("$filter", &filter)])).await?;
        Ok(found.into_iter().next())
    }

    /// The service principal of an app or API in this tenant, made where it is missing.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub async fn ensure_service_principal(
        &self,
        client_id: Uuid,
    ) -> Result<ServicePrincipal, DirectoryError> {
        if let Some(found) = self.service_principal(client_id).await? {
            return Ok(found);
        }
        let call = Call::new("making the service principal", NEEDS_APPLICATIONS).with(Patience::Replication);
        let body = json!({ "appId": client_id });
        match self.send(&call, Method::POST, "/v1.0/servicePrincipals", Some(&body)).await {
            Ok(answer) => read(&call, &answer),
            // Somebody else was quicker.
            Err(DirectoryError::Refused { status: 409, code, message, .. }) => {
                let found = self.service_principal(client_id).await?;
                found.ok_or(DirectoryError::Refused { action: call.action, status: 409, code, message })
            }
            Err(error) => Err(error),
        }
    }

    /// The application permissions granted to a service principal.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub async fn role_assignments(&self, principal: Uuid) -> Result<Vec<RoleAssignment>, DirectoryError> {
        let call = Call::new("reading the permissions granted to the app", NEEDS_APPLICATIONS);
        self.list(&call, &format!("/v1.0/servicePrincipals/{principal}/appRoleAssignments")).await
    }

    /// Grants an application permission of the API `resource` to the app `principal` (both are service principals): this
    /// is an administrator's consent. One that is granted already is no mistake.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub async fn grant_role(
        &self,
        principal: Uuid,
        resource: Uuid,
        role: Uuid,
    ) -> Result<(), DirectoryError> {
        let call =
            Call::new("granting an application permission", NEEDS_ROLE_GRANTS).with(Patience::Replication);
        let body = json!({ "principalId": principal, "resourceId": resource, "appRoleId": role });
        let path = format!("/v1.0/servicePrincipals/{resource}/appRoleAssignedTo");
        match self.send(&call, Method::POST, &path, Some(&body)).await {
            Ok(_) => Ok(()),
            Err(DirectoryError::Refused { status: 400 | 409, ref message, .. })
                if message.contains("already exists") =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The delegated permissions granted to a service principal.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub async fn delegated_grants(&self, client: Uuid) -> Result<Vec<DelegatedGrant>, DirectoryError> {
        let call = Call::new("reading the delegated permissions granted to the app", NEEDS_DELEGATED_GRANTS);
        let filter = format!("clientId eq '{client}'");
        self.list(&call, &query("/v1.0/oauth2PermissionGrants", &[("$filter", &filter)])).await
    }

    /// Grants delegated permissions of the API `resource` to the app `client` for all people of the tenant, beside
    /// those granted already.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub async fn grant_delegated(
        &self,
        client: Uuid,
        resource: Uuid,
        scopes: &[&str],
    ) -> Result<(), DirectoryError> {
        let call =
            Call::new("granting delegated permissions", NEEDS_DELEGATED_GRANTS).with(Patience::Replication);
        let grants = self.delegated_grants(client).await?;
        let existing = grants
            .into_iter()
            .find(|grant| grant.resource_id == resource && grant.consent_type == "AllPrincipals");
        let Some(existing) = existing else {
            let body = json!({
                "clientId": client,
                "consentType": "AllPrincipals",
                "resourceId": resource,
                "scope": scopes.join(" "),
            });
            self.send(&call, Method::POST, "/v1.0/oauth2PermissionGrants", Some(&body)).await?;
            return Ok(());
        };
        let mut all: Vec<&str> = existing.scope.split_whitespace().collect();
        let before = all.len();
        for scope in scopes {
            if !all.contains(scope) {
                all.push(scope);
            }
        }
        if all.len() == before {
            return Ok(());
        }
        let is_plain =
            |id: &str| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if existing.id.is_empty() || !is_plain(&existing.id) {
            return Err(DirectoryError::Unreadable {
                action: call.action,
                detail: format!("`{}` is not the id of a grant", shown(&existing.id)),
            });
        }
        let path = format!("/v1.0/oauth2PermissionGrants/{}", existing.id);
        self.send(&call, Method::PATCH, &path, Some(&json!({ "scope": all.join(" ") }))).await?;
        Ok(())
    }
}
