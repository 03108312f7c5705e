//! Removing credentials that are used no more, and none that is.

use muster_microsoft::entra::applications::Application;
use muster_store::{CredentialKind, CredentialSlot, StoredCredential};
use uuid::Uuid;

use super::error::RotationError;
use super::request::{Rotated, Rotation, is_key};

impl Rotation<'_> {
    /// Removes the credential before from the registration and forgets it.
    pub(super) async fn withdraw(
        &self,
        registration: &Application,
        previous: &StoredCredential,
        done: &mut Rotated,
    ) -> Result<(), RotationError> {
        self.remove_at_microsoft(registration, previous).await?;
        self.store.remove_app_credential(&self.app.name, CredentialSlot::Previous).await?;
        self.place.remove_previous()?;
        self.write_down("app.credential_withdrawn", previous).await?;
        done.withdrawn.push(previous.key_id.clone());
        Ok(())
    }

    pub(super) async fn remove_at_microsoft(
        &self,
        registration: &Application,
        credential: &StoredCredential,
    ) -> Result<(), RotationError> {
        let Ok(key_id) = credential.key_id.parse() else { return Ok(()) };
        let graph = self.microsoft.applications(self.token);
        match credential.kind {
            CredentialKind::Secret => graph.remove_password(registration.id, key_id).await?,
            CredentialKind::Certificate => {
                let keep = self.must_stay(registration, Some(key_id)).await?;
                graph.remove_certificate(registration.id, key_id, &keep).await?;
            }
        }
        Ok(())
    }

    /// The certificates that must be in the registration's list whenever it is replaced: the one in use and the one that
    /// comes next, but for `changed`, which is being added or removed. A server of Microsoft may not list them yet. One
    /// that is old, not listed and gives no token is gone for good and not waited for.
    pub(super) async fn must_stay(
        &self,
        registration: &Application,
        changed: Option<Uuid>,
    ) -> Result<Vec<Uuid>, RotationError> {
        let slots = self.slots().await?;
        let mut keep = Vec::new();
        for credential in [slots.current, slots.next].into_iter().flatten() {
            let Ok(key_id) = credential.key_id.parse::<Uuid>() else { continue };
            if credential.kind != CredentialKind::Certificate || Some(key_id) == changed {
                continue;
            }
            let is_listed = registration.key_credentials.iter().any(|key| key.key_id == key_id);
            if is_listed || !self.is_old(&credential) || !self.is_rejected(credential).await? {
                keep.push(key_id);
            }
        }
        Ok(keep)
    }

    /// Removes secrets and certificates that this store made and does not know: a rotation was killed before it could
    /// write them down, so nobody has their values.
    pub(super) async fn remove_orphans(&self, done: &mut Rotated) -> Result<(), RotationError> {
        let registration = self.registration().await?;
        let slots = self.slots().await?;
        let graph = self.microsoft.applications(self.token);
        let kept = [slots.current, slots.next, slots.previous];
        let is_kept = |key_id: Uuid| kept.iter().flatten().any(|credential| is_key(key_id, credential));
        for password in &registration.password_credentials {
            if self.is_marked(password.display_name.as_deref()) && !is_kept(password.key_id) {
                graph.remove_password(registration.id, password.key_id).await?;
                done.withdrawn.push(password.key_id.to_string());
            }
        }
        for key in &registration.key_credentials {
            if self.is_marked(key.display_name.as_deref()) && !is_kept(key.key_id) {
                let keep = self.must_stay(&registration, Some(key.key_id)).await?;
                graph.remove_certificate(registration.id, key.key_id, &keep).await?;
                done.withdrawn.push(key.key_id.to_string());
            }
        }
        Ok(())
    }
}
