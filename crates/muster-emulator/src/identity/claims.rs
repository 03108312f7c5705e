//! What tokens say, and why one is not taken.

use serde::{Deserialize, Serialize};

/// What a token says. Claims that a kind of token does not have are left out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Claims {
    pub(crate) aud: String,
    pub(crate) iss: String,
    pub(crate) iat: i64,
    pub(crate) nbf: i64,
    pub(crate) exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) acr: Option<String>,
    pub(crate) aio: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) amr: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) app_displayname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) appid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) appidacr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) azp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) azpacr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) idp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) idtyp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ipaddr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    pub(crate) oid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) preferred_username: Option<String>,
    pub(crate) rh: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) roles: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scp: Option<String>,
    pub(crate) sub: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenant_region_scope: Option<String>,
    pub(crate) tid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unique_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) upn: Option<String>,
    pub(crate) uti: String,
    pub(crate) ver: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) wids: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) xms_cc: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) xms_mirid: Option<String>,
}

impl Claims {
    /// Who issued it to which client, as the version names them.
    pub(crate) fn name_issuer_and_client(&mut self, version: Version, client: &str, proof: &str) {
        let (client, proof) = (Some(client.to_owned()), Some(proof.to_owned()));
        match version {
            Version::V1 => {
                self.iss = format!("https://sts.windows.net/{}/", self.tid);
                self.idp = Some(self.iss.clone());
                self.ver = "1.0".to_owned();
                (self.appid, self.appidacr) = (client, proof);
            }
            Version::V2 => {
                self.iss = format!("https://login.microsoftonline.com/{}/v2.0", self.tid);
                self.ver = "2.0".to_owned();
                (self.azp, self.azpacr) = (client, proof);
            }
        }
    }

    /// The client that the token was issued to.
    pub(crate) fn client(&self) -> &str {
        self.appid.as_deref().or(self.azp.as_deref()).unwrap_or("")
    }

    /// The permissions on behalf of a person; `None` in an app's own token.
    pub(crate) fn scopes(&self) -> Option<impl Iterator<Item = &str>> {
        self.scp.as_deref().map(str::split_ascii_whitespace)
    }

    /// Whether it has one of the permissions, as a role or on behalf of a person.
    pub(crate) fn allows(&self, permissions: &[&str]) -> bool {
        match self.scopes() {
            Some(mut scopes) => scopes.any(|scope| permissions.contains(&scope)),
            None => self.roles.iter().any(|role| permissions.contains(&role.as_str())),
        }
    }
}

/// Why a bearer token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("Access token is empty.")]
    Missing,
    #[error("CompactToken parsing failed with error code: 80049217")]
    Malformed,
    #[error("Access token validation failure. Invalid signature.")]
    Signature,
    #[error("Lifetime validation failed, the token is expired.")]
    Expired,
    #[error("Access token validation failure. Invalid audience.")]
    Audience,
    #[error("The identity of the calling application could not be established.")]
    Tenant,
}

/// Which of the two generations of endpoints, or of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
    V2,
}
