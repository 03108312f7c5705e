//! Making a new secret or certificate, which is kept in the store's slot `Next`.

use jiff::Timestamp;
use muster_microsoft::entra::applications::{Application, KeyCredential, NewCertificate};
use muster_microsoft::entra::certificate::Certificate;
use muster_microsoft::entra::new_certificate;
use muster_model::Secret;
use muster_store::{CredentialKind, CredentialSlot, StoredCredential};
use uuid::Uuid;

use super::error::RotationError;
use super::request::{Rotation, RotationRequest, is_key};

impl Rotation<'_> {
    pub(super) async fn make(
        &self,
        wanted: &RotationRequest,
        registration: &Application,
    ) -> Result<StoredCredential, RotationError> {
        let next = match wanted.kind {
            CredentialKind::Secret => self.make_secret(wanted, registration).await?,
            CredentialKind::Certificate => self.make_certificate(wanted, registration).await?,
        };
        self.write_down("app.credential_added", &next).await?;
        Ok(next)
    }

    async fn make_secret(
        &self,
        wanted: &RotationRequest,
        registration: &Application,
    ) -> Result<StoredCredential, RotationError> {
        let now = self.clock.now();
        let graph = self.microsoft.applications(self.token);
        let not_after = now.checked_add(wanted.lifetime).unwrap_or(Timestamp::MAX);
        let made = graph.add_password(registration.id, &self.display_name(now), not_after).await?;
        let next = StoredCredential {
            app: self.app.name.clone(),
            slot: CredentialSlot::Next,
            kind: CredentialKind::Secret,
            key_id: made.key_id.to_string(),
            value: Secret::new(made.secret.expose().as_bytes().to_vec()),
            not_after: made.not_after.or(Some(not_after)),
            created_at: now,
        };
        let Err(error) = self.store.put_app_credential(next.clone()).await else { return Ok(next) };
        // Nobody could ever use it: it must not stay valid.
        let kind = CredentialKind::Secret.as_str();
        match graph.remove_password(registration.id, made.key_id).await {
            Ok(()) => Err(RotationError::RolledBack { kind, error }),
            Err(removal) => Err(RotationError::NotRolledBack {
                kind,
                error,
                removal: Box::new(removal),
                key_id: made.key_id,
            }),
        }
    }

    async fn make_certificate(
        &self,
        wanted: &RotationRequest,
        registration: &Application,
    ) -> Result<StoredCredential, RotationError> {
        let now = self.clock.now();
        let not_after = now.checked_add(wanted.lifetime).unwrap_or(Timestamp::MAX);
        let name = format!("Muster {}", self.app.name);
        let made =
            tokio::task::spawn_blocking(move || new_certificate::self_signed(&name, now, not_after)).await;
        let pem = made.expect("making a certificate does not panic")?;
        let next = StoredCredential {
            app: self.app.name.clone(),
            slot: CredentialSlot::Next,
            kind: CredentialKind::Certificate,
            key_id: Uuid::new_v4().to_string(),
            value: pem,
            not_after: Some(not_after),
            created_at: now,
        };
        self.store.put_app_credential(next.clone()).await?;
        let added = self.register_certificate(next.clone(), registration).await;
        if let Err(RotationError::Directory(error)) = &added
            && !error.may_have_happened()
        {
            self.store.remove_app_credential(&next.app, CredentialSlot::Next).await?;
        }
        added
    }

    /// Sees to it that the registration has the certificate, and that the store knows it by the same id.
    pub(super) async fn register_certificate(
        &self,
        mut next: StoredCredential,
        registration: &Application,
    ) -> Result<StoredCredential, RotationError> {
        let certificate = Certificate::from_pem(&next.value)?;
        let graph = self.microsoft.applications(self.token);
        let find = |keys: Vec<KeyCredential>| {
            keys.into_iter().find(|key| key.is(certificate.der(), &certificate.thumbprints().sha1))
        };
        let mut there = find(graph.certificates(registration.id).await?);
        if there.is_none() {
            let new = NewCertificate {
                key_id: next.key_id.parse().unwrap_or_else(|_| Uuid::new_v4()),
                display_name: self.display_name(next.created_at),
                der: certificate.der().to_vec(),
                not_before: certificate.not_before(),
                not_after: certificate.not_after(),
            };
            let keep = self.must_stay(registration, next.key_id.parse().ok()).await?;
            graph.add_certificate(registration.id, &new, &keep).await?;
            there = find(graph.certificates(registration.id).await?);
        }
        // Microsoft may have given it another id than the one that was proposed.
        if let Some(there) = there
            && !is_key(there.key_id, &next)
        {
            next.key_id = there.key_id.to_string();
            self.store.put_app_credential(next.clone()).await?;
        }
        Ok(next)
    }
}
