//! The steps of a rotation, in order.

use jiff::Timestamp;
use muster_microsoft::entra::applications::Application;
use muster_microsoft::entra::certificate::Certificate;
use muster_model::Secret;
use muster_store::{CredentialKind, CredentialSlot, StoredCredential};
use uuid::Uuid;

use super::error::RotationError;
use super::place::{CredentialPlace, trimmed};
use super::request::{Rotated, Rotation, RotationRequest, is_key};

impl Rotation<'_> {
    /// Replaces the credential, or finishes what an earlier call could not.
    ///
    /// # Errors
    /// See [`RotationError`]. Whatever it is, calling again is right once its cause is gone.
    pub async fn run(&self, wanted: &RotationRequest) -> Result<Rotated, RotationError> {
        let mut registration = self.registration().await?;
        let mut slots = self.slots().await?;
        let mut done = Rotated { app: self.app.name.clone(), ..Rotated::default() };
        let next = match slots.next.take() {
            Some(next) => self.take_up(next, &registration, &mut done).await?,
            None => None,
        };
        done.resumed = next.is_some();
        if next.is_none()
            && !wanted.finish_only
            && let Some(previous) = slots.previous.take()
        {
            if matches!(self.place, CredentialPlace::KeyVault { .. }) {
                return Err(RotationError::PreviousInUse {
                    app: self.app.name.clone(),
                    kind: wanted.kind.as_str(),
                    key_id: previous.key_id,
                });
            }
            // What an earlier rotation left valid goes before a new one begins.
            self.withdraw(&registration, &previous, &mut done).await?;
        }
        let next = match next {
            Some(next) => Some(next),
            None if wanted.finish_only => None,
            None => {
                let next = self.make(wanted, &registration).await?;
                registration = self.registration().await?;
                Some(next)
            }
        };
        if let Some(next) = next {
            if !self.place.holds(self.microsoft, &next.value).await? {
                self.prove(&next).await?;
                self.install(&next, slots.current.take(), &registration, &mut done).await?;
            }
            self.promote(&next).await?;
            done.replaced = true;
        }
        let slots = self.slots().await?;
        if let Some(previous) = slots.previous {
            if wanted.withdraw {
                self.withdraw(&registration, &previous, &mut done).await?;
            } else {
                done.still_valid = Some(previous.key_id);
            }
        } else {
            // Kept by a rotation that could not tell which credential it replaced, or that was killed.
            self.place.remove_previous()?;
        }
        self.remove_orphans(&mut done).await?;
        if let Some(current) = slots.current {
            done.key_id = Some(current.key_id);
            done.not_after = current.not_after;
        }
        Ok(done)
    }

    /// Goes on with a next credential that an earlier rotation left. `None` when it is of no use.
    async fn take_up(
        &self,
        next: StoredCredential,
        registration: &Application,
        done: &mut Rotated,
    ) -> Result<Option<StoredCredential>, RotationError> {
        match next.kind {
            CredentialKind::Secret => {
                let there = registration.password_credentials.iter().any(|there| is_key(there.key_id, &next));
                if !there {
                    done.notes.push(format!(
                        "the secret {} of an interrupted rotation is not in the registration any more; another one was made",
                        next.key_id
                    ));
                    self.store.remove_app_credential(&next.app, CredentialSlot::Next).await?;
                    return Ok(None);
                }
            }
            CredentialKind::Certificate => {
                // It was stored first, so Microsoft may not have heard of it.
                let next = self.register_certificate(next, registration).await?;
                return self.unless_hopeless(next, registration, done).await;
            }
        }
        self.unless_hopeless(next, registration, done).await
    }

    /// A next credential that was made long ago and still gives no token is removed, so that another can be made.
    async fn unless_hopeless(
        &self,
        next: StoredCredential,
        registration: &Application,
        done: &mut Rotated,
    ) -> Result<Option<StoredCredential>, RotationError> {
        if !self.is_old(&next) || self.place.holds(self.microsoft, &next.value).await? {
            return Ok(Some(next));
        }
        let Err(error) = self.token_with(&next).await? else { return Ok(Some(next)) };
        if !error.fault().is_of_the_credential() {
            return Ok(Some(next));
        }
        done.notes.push(format!(
            "the {} {} of an interrupted rotation gave no token ({error}); another one was made",
            next.kind.as_str(),
            next.key_id
        ));
        self.remove_at_microsoft(registration, &next).await?;
        self.store.remove_app_credential(&next.app, CredentialSlot::Next).await?;
        self.write_down("app.credential_given_up", &next).await?;
        Ok(None)
    }

    /// Writes a proven credential to where the settings say, and remembers which one was there.
    async fn install(
        &self,
        next: &StoredCredential,
        current: Option<StoredCredential>,
        registration: &Application,
        done: &mut Rotated,
    ) -> Result<(), RotationError> {
        let held = self.place.held(self.microsoft).await?;
        if let Some(held) = held {
            let known = current.as_ref().map(|current| current.key_id.as_str());
            match self.identify(&held, next.kind, registration, known).await? {
                Ok((key_id, not_after)) => {
                    let old = StoredCredential {
                        app: self.app.name.clone(),
                        slot: CredentialSlot::Current,
                        kind: next.kind,
                        key_id: key_id.to_string(),
                        value: Secret::new(Vec::new()),
                        not_after,
                        created_at: current.map_or(next.created_at, |current| current.created_at),
                    };
                    self.store.put_app_credential(old).await?;
                }
                Err(note) => {
                    self.store.remove_app_credential(&self.app.name, CredentialSlot::Current).await?;
                    done.notes.push(note);
                }
            }
        }
        self.place.put(self.microsoft, &next.value).await
    }

    /// Which credential of the registration is the one that the settings' place holds, or what to tell the operator when
    /// that cannot be known.
    async fn identify(
        &self,
        held: &Secret<Vec<u8>>,
        kind: CredentialKind,
        registration: &Application,
        known: Option<&str>,
    ) -> Result<Result<(Uuid, Option<Timestamp>), String>, RotationError> {
        if kind == CredentialKind::Certificate {
            let Ok(certificate) = Certificate::from_pem(held) else {
                return Ok(Err("the certificate before cannot be read: remove it in the portal".to_owned()));
            };
            let keys = self.microsoft.applications(self.token).certificates(registration.id).await?;
            let found = keys.iter().find(|key| key.is(certificate.der(), &certificate.thumbprints().sha1));
            return Ok(found
                .map(|key| (key.key_id, key.end_date_time))
                .ok_or_else(|| "the certificate before was not in the registration".to_owned()));
        }
        // Microsoft tells a secret's first three characters and nothing else of it.
        let held = Secret::new(String::from_utf8_lossy(trimmed(held.expose())).into_owned());
        let fits =
            |hint: Option<&str>| hint.is_some_and(|hint| !hint.is_empty() && held.expose().starts_with(hint));
        let candidates: Vec<_> = registration
            .password_credentials
            .iter()
            .filter(|password| fits(password.hint.as_deref()))
            .collect();
        let chosen = candidates
            .iter()
            .find(|password| Some(password.key_id.to_string().as_str()) == known)
            .or_else(|| candidates.first().filter(|_| candidates.len() == 1));
        Ok(chosen.map(|password| (password.key_id, password.end_date_time)).ok_or_else(|| {
            let ids = candidates.iter().map(|password| password.key_id.to_string()).collect::<Vec<_>>();
            match ids.is_empty() {
                true => "the secret before is not in the registration any more".to_owned(),
                false => format!(
                    "several secrets of the registration could be the one before ({}): remove the right one in the portal",
                    ids.join(", ")
                ),
            }
        }))
    }

    async fn promote(&self, next: &StoredCredential) -> Result<(), RotationError> {
        self.store.promote_app_credential(&self.app.name).await?;
        if !matches!(self.place, CredentialPlace::Store) {
            // The settings' place holds it; the store only remembers which one it is.
            let known = StoredCredential {
                slot: CredentialSlot::Current,
                value: Secret::new(Vec::new()),
                ..next.clone()
            };
            self.store.put_app_credential(known).await?;
        }
        self.write_down("app.credential_replaced", next).await
    }
}
