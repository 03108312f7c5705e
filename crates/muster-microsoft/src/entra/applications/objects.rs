//! An app registration as Graph tells it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_is_read_as_microsoft_documents_it() {
        let body = r#"{"id":"03ef14b0-ca33-4840-8f4f-d6e91916010e","appId":"631a96bc-a705-4eda-9f99-fdaf9f54f6a2",
            "displayName":"Display name","signInAudience":"AzureADandPersonalMicrosoftAccount","tags":[],
            "keyCredentials":[{"customKeyIdentifier":"5A0102","displayName":null,"endDateTime":"2026-09-09T19:50:29Z",
              "key":null,"keyId":"f0b0b335-1d71-4883-8f98-567911bfdca6","startDateTime":"2025-09-09T19:50:29.3086381Z",
              "type":"AsymmetricX509Cert","usage":"Verify"}],
            "passwordCredentials":[],"requiredResourceAccess":[],"web":{"redirectUris":[],"logoutUrl":null}}"#;
        let app: Application = serde_json::from_str(body).expect("an application");
        assert!(app.sign_in_audience.is_some_and(SignInAudience::is_multitenant));
        assert!(app.key_credentials[0].is(b"other", "5a0102"));
        assert!(!app.key_credentials[0].is(b"other", "5a0103"));
        let later: SignInAudience = serde_json::from_str("\"SomethingNew\"").expect("taken");
        assert_eq!(later, SignInAudience::Other);
    }
}
