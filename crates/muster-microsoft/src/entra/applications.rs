//! Microsoft Graph's calls around an app registration: making it, its secrets and certificates, its service principal
//! and what is granted to that.
//!
//! Each call is told by name in its errors, with the permission or directory role that it needs. What exists is found
//! before it is made, and what is gone already counts as removed, so that whatever was cut off can be done again.
//! Which credential is kept where, and when an old one goes, is decided elsewhere.
//!
//! Source: Microsoft Graph v1.0 "application", "servicePrincipal", "appRoleAssignment", "oAuth2PermissionGrant" and
//! "federatedIdentityCredential".

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use muster_http::{Client, Response, TransportError, shown};
use muster_model::Secret;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use crate::Cloud;
use crate::api::error;
use crate::entra::access_token::AccessToken;

/// The delegated permissions, or the directory role, that making and changing an app registration needs.
const NEEDS_APPLICATIONS: &str = "the permission Application.ReadWrite.All (an app that cares for itself: \
Application.ReadWrite.OwnedBy), and for a person the directory role Application Administrator or Cloud Application \
Administrator";
const NEEDS_ROLE_GRANTS: &str = "the permission AppRoleAssignment.ReadWrite.All, and for a person the directory role \
Privileged Role Administrator or Global Administrator";
const NEEDS_DELEGATED_GRANTS: &str = "the permission DelegatedPermissionGrant.ReadWrite.All, and for a person the \
directory role Cloud Application Administrator or Global Administrator";

/// The delegated permissions that a person's token needs for all calls of this module, as v2 scopes without the
/// resource.
pub const OPERATOR_SCOPES: [&str; 3] = [
    "Application.ReadWrite.All",
    "AppRoleAssignment.ReadWrite.All",
    "DelegatedPermissionGrant.ReadWrite.All",
];

/// The application permission with which an app may care for its own registration.
pub const OWN_REGISTRATION_ROLES: [&str; 2] = ["Application.ReadWrite.OwnedBy", "Application.ReadWrite.All"];

/// Pages of a list that are read at most.
const PAGES_MAX: usize = 20;
/// A call is tried again so often while Microsoft throttles it, or while what was made a moment ago is not yet known
/// everywhere.
const ATTEMPTS_MAX: u32 = 6;
/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(20);

/// Who may sign in to an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignInAudience {
    /// Only the tenant that it is registered in.
    AzureADMyOrg,
    /// Any organisation: customers can consent to it.
    AzureADMultipleOrgs,
    /// Any organisation and personal accounts.
    AzureADandPersonalMicrosoftAccount,
    /// Personal accounts only.
    PersonalMicrosoftAccount,
    /// One that came later.
    #[serde(other, skip_serializing)]
    Other,
}

impl SignInAudience {
    /// Whether tenants other than its own can use it.
    #[must_use]
    pub fn is_multitenant(self) -> bool {
        matches!(self, Self::AzureADMultipleOrgs | Self::AzureADandPersonalMicrosoftAccount)
    }

    /// Microsoft's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AzureADMyOrg => "AzureADMyOrg",
            Self::AzureADMultipleOrgs => "AzureADMultipleOrgs",
            Self::AzureADandPersonalMicrosoftAccount => "AzureADandPersonalMicrosoftAccount",
            Self::PersonalMicrosoftAccount => "PersonalMicrosoftAccount",
            Self::Other => "another audience",
        }
    }
}

/// Whether a permission is the app's own, or one that it uses for a signed-in person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AccessKind {
    /// An application permission.
    Role,
    /// A delegated permission.
    Scope,
}

/// The permissions of one API that an app asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequiredResourceAccess {
    /// The API's application id.
    pub resource_app_id: Uuid,
    /// Its permissions.
    #[serde(default)]
    pub resource_access: Vec<ResourceAccess>,
}

/// One permission that an app asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ResourceAccess {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    #[serde(rename = "type")]
    pub kind: AccessKind,
}

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

/// An app registration.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Application {
    /// The id of the registration as a directory object; not the client id.
    pub id: Uuid,
    /// The application (client) id.
    pub app_id: Uuid,
    /// Its name.
    #[serde(default)]
    pub display_name: Option<String>,
    /// Who may sign in to it.
    #[serde(default)]
    pub sign_in_audience: Option<SignInAudience>,
    /// Marks.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Addresses of its web platform.
    #[serde(default)]
    pub web: RedirectUris,
    /// Addresses of its public-client platform.
    #[serde(default)]
    pub public_client: RedirectUris,
    /// What it asks for.
    #[serde(default)]
    pub required_resource_access: Vec<RequiredResourceAccess>,
    /// Its secrets, without their values.
    #[serde(default)]
    pub password_credentials: Vec<PasswordCredential>,
    /// Its certificates.
    #[serde(default)]
    pub key_credentials: Vec<KeyCredential>,
}

/// Where a browser may come back to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RedirectUris {
    /// The addresses.
    #[serde(default)]
    pub redirect_uris: Vec<String>,
}

/// A client secret of an app, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PasswordCredential {
    /// Its id.
    pub key_id: Uuid,
    /// The name it was given.
    #[serde(default)]
    pub display_name: Option<String>,
    /// Its first characters.
    #[serde(default)]
    pub hint: Option<String>,
    /// From when it works.
    #[serde(default)]
    pub start_date_time: Option<Timestamp>,
    /// Until when it works.
    #[serde(default)]
    pub end_date_time: Option<Timestamp>,
}

/// A certificate of an app.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyCredential {
    /// Its id.
    pub key_id: Uuid,
    /// The name it was given.
    #[serde(default)]
    pub display_name: Option<String>,
    /// Its thumbprint as Graph writes it: hexadecimal or Base64.
    #[serde(default)]
    pub custom_key_identifier: Option<String>,
    /// The certificate; Graph tells it only when asked for it.
    #[serde(default)]
    pub key: Option<String>,
    /// From when it works.
    #[serde(default)]
    pub start_date_time: Option<Timestamp>,
    /// Until when it works.
    #[serde(default)]
    pub end_date_time: Option<Timestamp>,
}

impl KeyCredential {
    /// Whether this is the certificate with this DER form and SHA-1 thumbprint in hexadecimal.
    #[must_use]
    pub fn is(&self, der: &[u8], sha1: &str) -> bool {
        let decoded = self.key.as_deref().and_then(|key| STANDARD.decode(key).ok());
        let same_thumbprint = self.custom_key_identifier.as_deref().is_some_and(|identifier| {
            let in_base64 = STANDARD.decode(identifier).ok().filter(|bytes| bytes.len() == 20);
            let bytes = in_base64.unwrap_or_default();
            let hexadecimal: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            [identifier, &hexadecimal].iter().any(|known| known.eq_ignore_ascii_case(sha1))
        });
        decoded.is_some_and(|key| key == der) || same_thumbprint
    }
}

/// A client secret that was made a moment ago. Microsoft tells its value this once.
#[derive(Debug, Clone)]
pub struct AddedPassword {
    /// Its id.
    pub key_id: Uuid,
    /// Its value.
    pub secret: Secret<String>,
    /// Until when it works.
    pub not_after: Option<Timestamp>,
}

/// A certificate to be added to an app: its public part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCertificate {
    /// The id it gets. Chosen by us, so that it is known before it is there.
    pub key_id: Uuid,
    /// The name shown in the portal.
    pub display_name: String,
    /// The certificate in DER form.
    pub der: Vec<u8>,
    /// From when it works.
    pub not_before: Timestamp,
    /// Until when it works.
    pub not_after: Timestamp,
}

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

/// Why a call failed. Each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// The caller may not.
    #[error("{action}: Microsoft Graph refuses it ({code}: {message}); it needs {needs}")]
    Denied {
        /// What was tried.
        action: &'static str,
        /// The permission or role.
        needs: &'static str,
        /// Microsoft's code.
        code: String,
        /// Microsoft's message.
        message: String,
    },
    /// The token is not accepted.
    #[error("{action}: Microsoft Graph does not accept the token ({code}: {message}); sign in again")]
    Unauthorised {
        /// What was tried.
        action: &'static str,
        /// Microsoft's code.
        code: String,
        /// Microsoft's message.
        message: String,
    },
    /// It is not there.
    #[error(
        "{action}: Microsoft Graph does not find it ({message}); was it removed in the portal, or is it in another tenant?"
    )]
    NotFound {
        /// What was tried.
        action: &'static str,
        /// Microsoft's message.
        message: String,
    },
    /// The request is not taken.
    #[error("{action}: Microsoft Graph does not take it (status {status}, {code}): {message}")]
    Refused {
        /// What was tried.
        action: &'static str,
        /// HTTP status.
        status: u16,
        /// Microsoft's code.
        code: String,
        /// Microsoft's message.
        message: String,
    },
    /// A certificate that must stay is not in the list, which Graph replaces as a whole; nothing was changed.
    #[error(
        "{action}: Microsoft Graph does not list certificate {missing}, which is in use, and a change would remove it; nothing was changed. Try again in some minutes; if {missing} is really gone from the portal, remove in the portal what is to go"
    )]
    NotListed {
        /// What was tried.
        action: &'static str,
        /// The certificate's id.
        missing: Uuid,
    },
    /// A certificate that must stay is not listed after a change, though it was sent twice.
    #[error(
        "{action}: certificate {missing}, which is in use, is not listed after the change, though it was put back; does something else change the app registration just now? Look for it in the portal, and rotate the certificate if it is not there"
    )]
    Lost {
        /// What was tried.
        action: &'static str,
        /// The certificate's id.
        missing: Uuid,
    },
    /// Graph is in trouble, or asks to wait.
    #[error(
        "{action}: Microsoft Graph is in trouble or throttles (status {status}, {code}): {message}; try again later"
    )]
    Unavailable {
        /// What was tried.
        action: &'static str,
        /// HTTP status.
        status: u16,
        /// Microsoft's code.
        code: String,
        /// Microsoft's message.
        message: String,
    },
    /// An answer that is none.
    #[error("{action}: Microsoft Graph's answer cannot be read: {detail}")]
    Unreadable {
        /// What was tried.
        action: &'static str,
        /// How.
        detail: String,
    },
    /// No answer.
    #[error("{action}: {error}")]
    Transport {
        /// What was tried.
        action: &'static str,
        /// Why.
        error: TransportError,
    },
}

impl DirectoryError {
    /// Whether the call may have been carried out all the same: no answer came, or none that says.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Transport { error, .. } => !matches!(error, TransportError::Connect { .. }),
            Self::Unavailable { status, .. } => *status != 429,
            Self::Unreadable { .. } | Self::Lost { .. } => true,
            _ => false,
        }
    }
}

/// Graph's calls around app registrations, with the token of a person or app that may make them.
#[derive(Debug, Clone, Copy)]
pub struct Applications<'a> {
    client: &'a Client,
    cloud: &'a Cloud,
    token: &'a AccessToken,
}

/// What a call does when it is told that something is not there, or is there already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// It says so.
    None,
    /// What was made a moment ago may not be known everywhere yet: it waits and tries again.
    Replication,
}

impl<'a> Applications<'a> {
    /// Calls with this token, which must be for Graph.
    #[must_use]
    pub fn new(client: &'a Client, cloud: &'a Cloud, token: &'a AccessToken) -> Self {
        Self { client, cloud, token }
    }

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

    /// Makes a client secret.
    ///
    /// # Errors
    /// See [`DirectoryError`]. Where one [may have happened](DirectoryError::may_have_happened), a secret may exist
    /// whose value nobody knows; it is found by its name.
    pub async fn add_password(
        &self,
        id: Uuid,
        display_name: &str,
        not_after: Timestamp,
    ) -> Result<AddedPassword, DirectoryError> {
        let call = Call::new("making a client secret", NEEDS_APPLICATIONS).with(Patience::Replication);
        let body = json!({
            "passwordCredential": { "displayName": display_name, "endDateTime": whole_seconds(not_after) }
        });
        let path = format!("/v1.0/applications/{id}/addPassword");
        let answer = self.send(&call, Method::POST, &path, Some(&body)).await?;
        // The answer holds a secret: it is wiped, and errors do not show it.
        let body = Secret::new(answer.body);
        let made: MadePassword =
            serde_json::from_slice(body.expose()).map_err(|_| DirectoryError::Unreadable {
                action: call.action,
                detail: "it does not hold the new secret".to_owned(),
            })?;
        Ok(AddedPassword {
            key_id: made.key_id,
            secret: Secret::new(made.secret_text),
            not_after: made.end_date_time,
        })
    }

    /// Removes a client secret. One that is gone already is no mistake.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub async fn remove_password(&self, id: Uuid, key_id: Uuid) -> Result<(), DirectoryError> {
        let call = Call::new("removing a client secret", NEEDS_APPLICATIONS);
        let path = format!("/v1.0/applications/{id}/removePassword");
        match self.send(&call, Method::POST, &path, Some(&json!({ "keyId": key_id }))).await {
            Ok(_) => Ok(()),
            Err(DirectoryError::Refused { status: 400, ref message, .. }) if says_gone(message) => Ok(()),
            Err(DirectoryError::NotFound { .. }) => match self.password_is_gone(id, key_id).await? {
                true => Ok(()),
                false => Err(DirectoryError::NotFound {
                    action: call.action,
                    message: format!("secret {key_id} is still there"),
                }),
            },
            Err(error) => Err(error),
        }
    }

    async fn password_is_gone(&self, id: Uuid, key_id: Uuid) -> Result<bool, DirectoryError> {
        let call = Call::new("reading the app registration", NEEDS_APPLICATIONS);
        match self.send(&call, Method::GET, &format!("/v1.0/applications/{id}"), None).await {
            Ok(answer) => {
                let app: Application = read(&call, &answer)?;
                Ok(app.password_credentials.iter().all(|password| password.key_id != key_id))
            }
            Err(DirectoryError::NotFound { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The certificates of an app, with their public keys.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub async fn certificates(&self, id: Uuid) -> Result<Vec<KeyCredential>, DirectoryError> {
        let call = Call::new("reading the app's certificates", NEEDS_APPLICATIONS);
        let keys = self.raw_certificates(&call, id).await?;
        keys.into_iter().map(|key| parse(&call, key)).collect()
    }

    /// Adds a certificate beside those that are there. One that is there already is no mistake.
    ///
    /// The ids of `keep` are certificates that the app needs and that may be so new that not all of Microsoft's servers
    /// list them: they are waited for, and nothing is changed without them.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub async fn add_certificate(
        &self,
        id: Uuid,
        new: &NewCertificate,
        keep: &[Uuid],
    ) -> Result<(), DirectoryError> {
        let call = Call::new("adding a certificate", NEEDS_APPLICATIONS).with(Patience::Replication);
        let (mut keys, missing) = self.certificates_with(&call, id, keep).await?;
        if keys.iter().any(|key| has_id(key, new.key_id)) {
            return Ok(());
        }
        if let Some(missing) = missing {
            return Err(DirectoryError::NotListed { action: call.action, missing });
        }
        keys.push(json!({
            "keyId": new.key_id,
            "type": "AsymmetricX509Cert",
            "usage": "Verify",
            "key": STANDARD.encode(&new.der),
            "displayName": new.display_name,
            "startDateTime": whole_seconds(new.not_before),
            "endDateTime": whole_seconds(new.not_after),
        }));
        self.put_certificates(&call, id, keys, keep, None).await
    }

    /// Removes a certificate. One that is gone already is no mistake.
    ///
    /// The ids of `keep` are certificates that the app needs and that may be so new that not all of Microsoft's servers
    /// list them: they are waited for, and nothing is changed without them.
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub async fn remove_certificate(
        &self,
        id: Uuid,
        key_id: Uuid,
        keep: &[Uuid],
    ) -> Result<(), DirectoryError> {
        let call = Call::new("removing a certificate", NEEDS_APPLICATIONS);
        let (mut keys, missing) = self.certificates_with(&call, id, keep).await?;
        let count = keys.len();
        keys.retain(|key| !has_id(key, key_id));
        if keys.len() == count {
            return Ok(());
        }
        if let Some(missing) = missing {
            return Err(DirectoryError::NotListed { action: call.action, missing });
        }
        self.put_certificates(&call, id, keys, keep, Some(key_id)).await
    }

    /// Replaces the list, in which all of `keep` are, and sees to it that they are in it afterwards: what another writer
    /// lost at the same moment is put back once.
    async fn put_certificates(
        &self,
        call: &Call,
        id: Uuid,
        keys: Vec<Value>,
        keep: &[Uuid],
        removed: Option<Uuid>,
    ) -> Result<(), DirectoryError> {
        self.patch(call, id, &json!({ "keyCredentials": keys })).await?;
        let (mut now, missing) = self.certificates_with(call, id, keep).await?;
        if missing.is_none() {
            return Ok(());
        }
        now.retain(|key| removed.is_none_or(|removed| !has_id(key, removed)));
        let lost: Vec<Value> = keys
            .into_iter()
            .filter(|key| keep.iter().any(|kept| has_id(key, *kept)))
            .filter(|key| !now.iter().any(|there| there["keyId"] == key["keyId"]))
            .collect();
        now.extend(lost);
        self.patch(call, id, &json!({ "keyCredentials": now })).await?;
        match self.certificates_with(call, id, keep).await? {
            (_, None) => Ok(()),
            (_, Some(missing)) => Err(DirectoryError::Lost { action: call.action, missing }),
        }
    }

    /// The certificates as Graph lists them, read again for a while as long as one of `keep` is not among them: one of
    /// Microsoft's servers may not know yet what was added at another. With the one that is missing in the end.
    async fn certificates_with(
        &self,
        call: &Call,
        id: Uuid,
        keep: &[Uuid],
    ) -> Result<(Vec<Value>, Option<Uuid>), DirectoryError> {
        for attempt in 0.. {
            let keys = self.raw_certificates(call, id).await?;
            let missing = keep.iter().copied().find(|kept| !keys.iter().any(|key| has_id(key, *kept)));
            if missing.is_none() || attempt + 1 >= ATTEMPTS_MAX {
                return Ok((keys, missing));
            }
            tokio::time::sleep(Duration::from_millis(500 << attempt).min(PAUSE_MAX)).await;
        }
        unreachable!("the loop is left by returning")
    }

    /// Graph replaces the whole list, so it is read with everything in it and written back with everything in it.
    async fn raw_certificates(&self, call: &Call, id: Uuid) -> Result<Vec<Value>, DirectoryError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Keys {
            #[serde(default)]
            key_credentials: Vec<Value>,
        }
        let path = query(&format!("/v1.0/applications/{id}"), &[("$select", "id,keyCredentials")]);
        let keys: Keys = read(call, &self.send(call, Method::GET, &path, None).await?)?;
        Ok(keys.key_credentials)
    }

    /// Adds a certificate with a proof instead of a permission: a short-lived token signed by a certificate that the
    /// app has already. See [`key_proof_claims`].
    ///
    /// # Errors
    /// See [`DirectoryError`].
    pub async fn add_key(
        &self,
        id: Uuid,
        der: &[u8],
        proof: &Secret<String>,
    ) -> Result<KeyCredential, DirectoryError> {
        let call = Call::new("adding a certificate by proof", NEEDS_APPLICATIONS);
        let body = json!({
            "keyCredential": { "type": "AsymmetricX509Cert", "usage": "Verify", "key": STANDARD.encode(der) },
            "passwordCredential": null,
            "proof": proof.expose(),
        });
        let path = format!("/v1.0/applications/{id}/addKey");
        read(&call, &self.send(&call, Method::POST, &path, Some(&body)).await?)
    }

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

    async fn patch(&self, call: &Call, id: Uuid, body: &Value) -> Result<(), DirectoryError> {
        self.send(call, Method::PATCH, &format!("/v1.0/applications/{id}"), Some(body)).await.map(drop)
    }

    /// All pages of a list, within the bound.
    async fn list<T: for<'de> Deserialize<'de>>(
        &self,
        call: &Call,
        path: &str,
    ) -> Result<Vec<T>, DirectoryError> {
        #[derive(Deserialize)]
        struct Page {
            value: Vec<Value>,
            #[serde(rename = "@odata.nextLink")]
            next: Option<String>,
        }
        let unreadable = |detail: String| DirectoryError::Unreadable { action: call.action, detail };
        let mut all = Vec::new();
        let mut address = self.cloud.graph(path);
        for _ in 0..PAGES_MAX {
            let page: Page = read(call, &self.send_to(call, Method::GET, &address, None).await?)?;
            for value in page.value {
                all.push(parse(call, value)?);
            }
            let Some(next) = page.next else { return Ok(all) };
            let link = Url::parse(&next).ok().filter(|link| self.cloud.is_graph(link));
            let link = link.ok_or_else(|| {
                unreadable(format!("its next page is at {}, to which no token is sent", shown(&next)))
            })?;
            address = link.into();
        }
        Err(unreadable(format!("the list has more than {PAGES_MAX} pages")))
    }

    async fn send(
        &self,
        call: &Call,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response, DirectoryError> {
        self.send_to(call, method, &self.cloud.graph(path), body).await
    }

    /// Sends a call. A throttled one was not carried out and is sent again; so is one that meets what another of
    /// Microsoft's servers does not know yet.
    async fn send_to(
        &self,
        call: &Call,
        method: Method,
        address: &str,
        body: Option<&Value>,
    ) -> Result<Response, DirectoryError> {
        let bearer = self.token.secret.expose();
        for attempt in 1.. {
            let request = match body {
                Some(body) => self.client.json(method.clone(), address, bearer, body),
                None if method == Method::DELETE => self.client.delete(address, bearer),
                None => self.client.get(address, Some(bearer)),
            };
            let answer = self.client.send(request).await;
            let answer = answer.map_err(|error| DirectoryError::Transport { action: call.action, error })?;
            if (200..300).contains(&answer.status) {
                return Ok(answer);
            }
            let error = failure(call, &answer);
            let again = match &error {
                DirectoryError::Unavailable { status, .. } => {
                    *status == 429 || (*status == 503 && method == Method::GET)
                }
                DirectoryError::NotFound { .. } => call.patience == Patience::Replication,
                DirectoryError::Refused { code, message, .. } => {
                    call.patience == Patience::Replication && says_not_known_yet(code, message)
                }
                _ => false,
            };
            if !again || attempt >= ATTEMPTS_MAX {
                return Err(error);
            }
            let pause = answer.retry_after().unwrap_or(Duration::from_millis(500 << attempt));
            tokio::time::sleep(pause.min(PAUSE_MAX)).await;
        }
        unreachable!("the loop is left by returning")
    }
}

/// The claims of a proof for [`Applications::add_key`]: signed with `RS256` and `x5t` by a certificate of the app.
/// Source: Microsoft Graph "Generating proof of possession tokens for rolling keys".
#[must_use]
pub fn key_proof_claims(object_id: Uuid, now: Timestamp) -> Value {
    let now = now.as_second();
    json!({
        "aud": "00000002-0000-0000-c000-000000000000",
        "iss": object_id,
        "nbf": now,
        "exp": now + 600,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MadePassword {
    key_id: Uuid,
    secret_text: String,
    #[serde(default)]
    end_date_time: Option<Timestamp>,
}

/// What a call is, for its errors.
struct Call {
    action: &'static str,
    needs: &'static str,
    patience: Patience,
}

impl Call {
    fn new(action: &'static str, needs: &'static str) -> Self {
        Self { action, needs, patience: Patience::None }
    }

    fn with(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }
}

/// Whether a raw `keyCredential` has this id.
fn has_id(key: &Value, id: Uuid) -> bool {
    key["keyId"].as_str().and_then(|text| text.parse().ok()) == Some(id)
}

fn query(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut text = url::form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(pairs);
    // OData reads `+` in a filter as it stands.
    format!("{path}?{}", text.finish().replace('+', "%20"))
}

/// Graph takes times without a fraction everywhere.
fn whole_seconds(time: Timestamp) -> String {
    format!("{time:.0}")
}

fn read<T: for<'de> Deserialize<'de>>(call: &Call, answer: &Response) -> Result<T, DirectoryError> {
    serde_json::from_slice(&answer.body).map_err(|error| DirectoryError::Unreadable {
        action: call.action,
        detail: shown(&error.to_string()),
    })
}

fn parse<T: for<'de> Deserialize<'de>>(call: &Call, value: Value) -> Result<T, DirectoryError> {
    serde_json::from_value(value).map_err(|error| DirectoryError::Unreadable {
        action: call.action,
        detail: shown(&error.to_string()),
    })
}

/// `No password credential found with keyId …`
fn says_gone(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("credential")
        && (message.contains("not found") || message.contains("no password credential"))
}

/// What Graph says of something that another of its servers made a moment ago.
fn says_not_known_yet(code: &str, message: &str) -> bool {
    code == "NoBackingApplicationObject"
        || message.contains("does not reference a valid application object")
        || message.contains("does not exist or one of its queried reference-property objects are not present")
}

/// What a refusal of Graph means for a call.
fn failure(call: &Call, answer: &Response) -> DirectoryError {
    let (action, needs, status) = (call.action, call.needs, answer.status);
    let (code, message) = error::of_graph(answer);
    match status {
        401 => DirectoryError::Unauthorised { action, code, message },
        403 => DirectoryError::Denied { action, needs, code, message },
        404 => DirectoryError::NotFound { action, message },
        429 => DirectoryError::Unavailable { action, status, code, message },
        400..=499 if status != 408 => DirectoryError::Refused { action, status, code, message },
        _ => DirectoryError::Unavailable { action, status, code, message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Response {
        Response { status, body: body.as_bytes().to_vec(), ..Response::default() }
    }

    #[test]
    fn a_refusal_says_what_is_needed() {
        let call = Call::new("granting an application permission", NEEDS_ROLE_GRANTS);
        let body = r#"{"error":{"code":"Authorization_RequestDenied","message":"Insufficient privileges to complete the operation."}}"#;
        let error = failure(&call, &answer(403, body)).to_string();
        assert!(error.contains("AppRoleAssignment.ReadWrite.All"), "{error}");
        assert!(error.contains("Privileged Role Administrator"), "{error}");
        assert!(failure(&call, &answer(503, "<html>")).may_have_happened());
        assert!(!failure(&call, &answer(429, "")).may_have_happened());
        assert!(!failure(&call, &answer(400, "{}")).may_have_happened());
    }

    #[test]
    fn an_application_is_read_as_microsoft_documents_it() {
        let body = r#"{"id":"03ef14b0-ca33-4840-8f4f-d6e91916010e","appId":"631a96bc-a705-4eda-9f99-fdaf9f54f6a2",
            "displayName":"Display name","signInAudience":"AzureADandPersonalMicrosoftAccount","tags":[],
            "keyCredentials":[{"customKeyIdentifier":"5A0102","displayName":null,"endDateTime":"2026-09-09T19:50:29Z",
              "key":null,"keyId":"f0b0b335-1d71-4883-8f98-567911bfdca6","startDateTime":"2025-09-09T19:50:29.3086381Z",
              "type":"AsymmetricX509Cert","usage":"Verify"}],
            "passwordCredentials":[],"requiredResourceAccess":[],"web":{"redirectUris":[],"logoutUrl":null}}"#;
        let call = Call::new("reading", NEEDS_APPLICATIONS);
        let app: Application = read(&call, &answer(200, body)).expect("an application");
        assert!(app.sign_in_audience.is_some_and(SignInAudience::is_multitenant));
        assert!(app.key_credentials[0].is(b"other", "5a0102"));
        assert!(!app.key_credentials[0].is(b"other", "5a0103"));
        let later: SignInAudience = serde_json::from_str("\"SomethingNew\"").expect("taken");
        assert_eq!(later, SignInAudience::Other);
    }

    #[test]
    fn what_is_asked_cannot_leave_its_filter() {
        let path = query("/v1.0/applications", &[("$filter", "displayName eq 'Muster & O''Neil + x'")]);
        assert_eq!(
            path,
            "/v1.0/applications?%24filter=displayName%20eq%20%27Muster%20%26%20O%27%27Neil%20%2B%20x%27"
        );
    }

    #[test]
    fn a_secret_that_was_made_is_not_shown() {
        let made = AddedPassword { key_id: Uuid::nil(), secret: Secret::from("hunter2"), not_after: None };
        assert!(!format!("{made:?}").contains("hunter2"));
    }
}
