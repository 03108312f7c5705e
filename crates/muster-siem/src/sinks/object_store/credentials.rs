//! S3's credentials, read again now and then: temporary ones are renewed at their place while Muster runs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::object_store::CredentialProvider;
use ::object_store::aws::AwsCredential;
use async_trait::async_trait;
use muster_model::SecretReference;
use tokio::time::Instant;

use crate::sinks::settings::ReadSecret;

/// How long credentials are used before they are read again.
const KEPT: Duration = Duration::from_secs(60);

/// Reads credentials at their places.
pub(super) struct Credentials {
    read: ReadSecret,
    access_key_id: SecretReference,
    secret_access_key: SecretReference,
    session_token: Option<SecretReference>,
    kept: Mutex<Option<(Arc<AwsCredential>, Instant)>>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// Why they cannot be had, in words for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NoCredentials(String);

impl Credentials {
    pub(super) fn new(
        read: ReadSecret,
        access_key_id: SecretReference,
        secret_access_key: SecretReference,
        session_token: Option<SecretReference>,
    ) -> Self {
        Self { read, access_key_id, secret_access_key, session_token, kept: Mutex::default() }
    }

    fn kept(&self) -> Option<Arc<AwsCredential>> {
        let kept = self.kept.lock().expect("no panic while the lock is held");
        kept.as_ref().filter(|(_, at)| at.elapsed() < KEPT).map(|(credential, _)| Arc::clone(credential))
    }

    /// What is refused is read again the next time.
    pub(super) fn forget(&self) {
        *self.kept.lock().expect("no panic while the lock is held") = None;
    }
}

#[async_trait]
impl CredentialProvider for Credentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> ::object_store::Result<Arc<AwsCredential>> {
        if let Some(kept) = self.kept() {
            return Ok(kept);
        }
        let (read, id, secret) =
            (Arc::clone(&self.read), self.access_key_id.clone(), self.secret_access_key.clone());
        let token = self.session_token.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let of = |reference: &SecretReference| {
                let secret = read(reference).map_err(|error| error.reason)?;
                Ok::<_, String>(secret.expose().trim().to_owned())
            };
            Ok(AwsCredential {
                key_id: of(&id)?,
                secret_key: of(&secret)?,
                token: token.as_ref().map(of).transpose()?,
            })
        });
        let credential = match reading.await {
            Ok(read) => read,
            Err(error) => Err(error.to_string()),
        };
        let credential = credential.map_err(|why| ::object_store::Error::Generic {
            store: "S3",
            source: Box::new(NoCredentials(why)),
        })?;
        let credential = Arc::new(credential);
        *self.kept.lock().expect("no panic while the lock is held") =
            Some((Arc::clone(&credential), Instant::now()));
        Ok(credential)
    }
}
