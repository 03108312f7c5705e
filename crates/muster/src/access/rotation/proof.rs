//! Whether a credential gives a token.

use std::time::Duration;

use muster_microsoft::Fault;
use muster_microsoft::entra::credential::{Access, App};
use muster_microsoft::entra::error::TokenError;
use muster_store::StoredCredential;

use super::error::RotationError;
use super::request::Rotation;
use crate::access::apps;

/// How long a new credential is tried before its rotation is left for later. Microsoft makes new ones known everywhere
/// within minutes.
const PROOF_PATIENCE: Duration = Duration::from_secs(180);
/// The longest pause between two tries.
const PROOF_PAUSE_MAX: Duration = Duration::from_secs(15);
/// A next credential that still does not work after this long is given up for another.
const NEXT_AGE_MAX: Duration = Duration::from_secs(3_600);

impl Rotation<'_> {
    /// Asks for tokens until one comes, or it is plain that none will.
    pub(super) async fn prove(&self, next: &StoredCredential) -> Result<(), RotationError> {
        let until = tokio::time::Instant::now() + PROOF_PATIENCE;
        let mut pause = Duration::from_secs(1);
        loop {
            let Err(error) = self.token_with(next).await? else { return Ok(()) };
            let passes = error.fault().is_of_the_credential()
                || matches!(
                    error.fault(),
                    Fault::AppUnknown | Fault::Throttled | Fault::ApiDown | Fault::Unreachable
                );
            if !passes || tokio::time::Instant::now() + pause > until {
                return Err(RotationError::NotProven(error));
            }
            (self.progress)("waiting until Microsoft knows the new credential everywhere …");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PROOF_PAUSE_MAX);
        }
    }

    /// A token that was got with a stored credential and nothing else.
    pub(super) async fn token_with(
        &self,
        stored: &StoredCredential,
    ) -> Result<Result<(), TokenError>, RotationError> {
        let app = App {
            // A name of its own, so that no token of the credential in use is taken for this one's.
            name: format!("{} with credential {}", self.app.name, stored.key_id),
            credential: apps::credential(&self.app.name, stored)?,
            access: Access::Application,
            ..self.app.clone()
        };
        let resource = self.microsoft.cloud().graph_resource();
        Ok(self.microsoft.fresh_access_token(&app, self.home, resource).await.map(drop))
    }

    pub(super) fn is_old(&self, credential: &StoredCredential) -> bool {
        credential.created_at.checked_add(NEXT_AGE_MAX).is_ok_and(|end| end <= self.clock.now())
    }

    /// Whether Microsoft gives no token for a credential, and says that it is the credential's fault.
    pub(super) async fn is_rejected(&self, mut credential: StoredCredential) -> Result<bool, RotationError> {
        if credential.value.expose().is_empty() {
            // The settings' place holds it.
            let held = match self.place.held(self.microsoft).await {
                // Whether it can be read is for whoever writes there to tell.
                Err(RotationError::File { .. }) => None,
                held => held?,
            };
            let Some(held) = held else { return Ok(false) };
            credential.value = held;
        }
        Ok(self.token_with(&credential).await?.is_err_and(|error| error.fault().is_of_the_credential()))
    }
}
