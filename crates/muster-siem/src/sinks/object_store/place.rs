//! Where objects lie, and by what right they are reached: what the sections of a sink and of a stream have in common.

use std::path::PathBuf;

use muster_model::{SecretReference, Span};
use serde::Deserializer;
use url::Url;

use super::address::ObjectUrl;
use crate::sinks::settings::one_url;

/// A bucket, container or folder, with the keys to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectPlace {
    /// Where it is.
    pub url: ObjectUrl,
    /// The region of an S3 bucket.
    pub region: Option<String>,
    /// Where the service is, where that is not the cloud's own address.
    pub endpoint: Option<Url>,
    /// S3: the id of an access key.
    pub access_key_id: Option<SecretReference>,
    /// S3: the access key.
    pub secret_access_key: Option<SecretReference>,
    /// S3: the session token of a temporary access key.
    pub session_token: Option<SecretReference>,
    /// Azure: the storage account.
    pub account: Option<String>,
    /// Azure: a key of the account.
    pub account_key: Option<SecretReference>,
    /// Azure: a shared access signature of the container, `sv=…&sig=…`.
    pub sas: Option<SecretReference>,
    /// Azure: the Entra tenant of an app that has the right.
    pub entra_tenant: Option<String>,
    /// Azure: the app's client id.
    pub client_id: Option<String>,
    /// Azure: the app's client secret.
    pub client_secret: Option<SecretReference>,
    /// Google: the key of a service account, as the JSON that Google gives out.
    pub service_account: Option<SecretReference>,
    /// How long each request may take.
    pub timeout: Span,
    /// PEM certificates trusted beside the system's.
    pub ca_file: Option<PathBuf>,
}

impl ObjectPlace {
    /// Every place that a secret is kept in, with the key that names it.
    #[must_use]
    pub fn named_secrets(&self) -> [(&'static str, Option<&SecretReference>); 7] {
        [
            ("access_key_id", self.access_key_id.as_ref()),
            ("secret_access_key", self.secret_access_key.as_ref()),
            ("session_token", self.session_token.as_ref()),
            ("account_key", self.account_key.as_ref()),
            ("sas", self.sas.as_ref()),
            ("client_secret", self.client_secret.as_ref()),
            ("service_account", self.service_account.as_ref()),
        ]
    }

    /// What is wrong with the credentials and the address: keys of another service are refused, so that nobody thinks
    /// that they are used.
    #[must_use]
    pub fn mistakes(&self) -> Vec<String> {
        let words: [(&str, bool); 4] = [
            ("account", self.account.is_some()),
            ("entra_tenant", self.entra_tenant.is_some()),
            ("client_id", self.client_id.is_some()),
            ("endpoint", self.endpoint.is_some()),
        ];
        let secrets = self.named_secrets().into_iter().map(|(key, secret)| (key, secret.is_some()));
        let set = secrets.chain(words).filter(|(_, is_set)| *is_set).map(|(key, _)| key);
        let (scheme, taken): (&str, &[&str]) = match &self.url {
            ObjectUrl::S3 { .. } => {
                ("s3", &["access_key_id", "secret_access_key", "session_token", "endpoint"])
            }
            ObjectUrl::Azure { .. } => (
                "az",
                &["account", "account_key", "sas", "entra_tenant", "client_id", "client_secret", "endpoint"],
            ),
            ObjectUrl::Google { .. } => ("gs", &["service_account", "endpoint"]),
            ObjectUrl::Folder(_) => ("file", &[]),
        };
        let mut mistakes: Vec<String> = set
            .filter(|key| !taken.contains(key))
            .map(|key| format!("{key} means nothing with a url of `{scheme}:`"))
            .collect();
        match &self.url {
            ObjectUrl::S3 { .. } => {
                if self.access_key_id.is_none() || self.secret_access_key.is_none() {
                    mistakes.push(
                        "s3 needs access_key_id and secret_access_key (and session_token, where the key is temporary)"
                            .to_owned(),
                    );
                }
                if self.region.is_none() {
                    mistakes.push(
                        "s3 needs region, such as \"eu-west-1\": requests are signed for it".to_owned(),
                    );
                }
            }
            ObjectUrl::Azure { .. } => {
                let of_app =
                    [self.entra_tenant.is_some(), self.client_id.is_some(), self.client_secret.is_some()];
                let ways = usize::from(self.account_key.is_some())
                    + usize::from(self.sas.is_some())
                    + usize::from(of_app.contains(&true));
                if self.account.is_none() {
                    mistakes.push("az needs account, the name of the storage account".to_owned());
                }
                if ways != 1 || of_app.contains(&true) && of_app.contains(&false) {
                    mistakes.push(
                        "az needs one of: account_key; sas; or entra_tenant, client_id and client_secret together"
                            .to_owned(),
                    );
                }
            }
            ObjectUrl::Google { .. } if self.service_account.is_none() => {
                mistakes.push("gs needs service_account, the JSON key of a service account".to_owned());
            }
            ObjectUrl::Google { .. } | ObjectUrl::Folder(_) => {}
        }
        if let Some(region) = &self.region
            && (region.is_empty()
                || !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)))
        {
            mistakes.push("region has letters, digits, `-` and `_` only".to_owned());
        }
        mistakes
    }
}

/// Reads an endpoint.
///
/// # Errors
/// When it is no address.
pub fn endpoint<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    one_url(deserializer, "https://s3.example:9000").map(Some)
}
