//! What a rotation works with: the app, its registration, and the store's slots.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_microsoft::Microsoft;
use muster_microsoft::entra::access_token::AccessToken;
use muster_microsoft::entra::applications::Application;
use muster_microsoft::entra::credential::App;
use muster_model::{Clock, TenantId};
use muster_store::{CredentialKind, CredentialSlot, NewAuditEvent, Store, StoreError, StoredCredential};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::error::RotationError;
use super::place::CredentialPlace;

/// What the mark in a credential's name is for.
const PURPOSE: &str = "app credential";

/// A rotation of one app's credential.
pub struct Rotation<'a> {
    pub store: &'a Arc<dyn Store>,
    pub microsoft: &'a Microsoft,
    pub clock: &'a dyn Clock,
    /// The app as the settings describe it.
    pub app: &'a App,
    /// Where its credential is kept.
    pub place: CredentialPlace,
    /// The tenant that it is registered in.
    pub home: TenantId,
    /// A Graph token of somebody who may change the registration.
    pub token: &'a AccessToken,
    /// Who does it, for the audit log.
    pub actor: String,
    /// Told what is waited for.
    pub progress: &'a (dyn Fn(&str) + Sync),
}

/// What is wanted of a rotation.
#[derive(Debug, Clone, Copy)]
pub struct RotationRequest {
    pub kind: CredentialKind,
    /// How long the new one is good for.
    pub lifetime: Duration,
    /// Whether the old one is withdrawn at once. Otherwise it stays valid until the command is given again.
    pub withdraw: bool,
    /// Only finish what an earlier rotation left; make nothing new.
    pub finish_only: bool,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Rotated {
    pub app: String,
    /// The id of the credential that is in use now, where there is one that Muster knows.
    pub key_id: Option<String>,
    pub not_after: Option<Timestamp>,
    /// Whether a new credential came into use.
    pub replaced: bool,
    /// Whether an interrupted rotation was finished.
    pub resumed: bool,
    /// The ids of the credentials that were removed from the registration.
    pub withdrawn: Vec<String>,
    /// The id of the old credential that is still valid.
    pub still_valid: Option<String>,
    /// What a person should know or do.
    pub notes: Vec<String>,
}

/// The store's slots of one app.
#[derive(Debug, Default)]
pub(super) struct Slots {
    pub(super) current: Option<StoredCredential>,
    pub(super) next: Option<StoredCredential>,
    pub(super) previous: Option<StoredCredential>,
}

impl Rotation<'_> {
    pub(super) async fn registration(&self) -> Result<Application, RotationError> {
        let client_id = self.client_id()?;
        let found = self.microsoft.applications(self.token).application(client_id).await?;
        found.ok_or_else(|| RotationError::NotRegistered {
            app: self.app.name.clone(),
            client_id,
            home: self.home,
        })
    }

    fn client_id(&self) -> Result<Uuid, RotationError> {
        self.app.client_id.parse().map_err(|_| RotationError::ClientId(self.app.client_id.clone()))
    }

    pub(super) async fn slots(&self) -> Result<Slots, StoreError> {
        let mut slots = Slots::default();
        for credential in self.store.app_credentials(&self.app.name).await? {
            match credential.slot {
                CredentialSlot::Current => slots.current = Some(credential),
                CredentialSlot::Next => slots.next = Some(credential),
                CredentialSlot::Previous => slots.previous = Some(credential),
            }
        }
        Ok(slots)
    }

    /// The name of a new credential in the portal. It tells who made it, and bears the mark.
    pub(super) fn display_name(&self, now: Timestamp) -> String {
        format!("Muster {:.10} {}", now.to_string(), self.mark())
    }

    fn mark(&self) -> String {
        mark(self.store.as_ref(), &self.app.name, &self.app.client_id)
    }

    pub(super) fn is_marked(&self, display_name: Option<&str>) -> bool {
        display_name.is_some_and(|name| name.starts_with("Muster ") && name.ends_with(&self.mark()))
    }

    pub(super) async fn write_down(
        &self,
        action: &str,
        credential: &StoredCredential,
    ) -> Result<(), RotationError> {
        let event = NewAuditEvent {
            actor: self.actor.clone(),
            action: action.to_owned(),
            subject: self.app.name.clone(),
            details: json!({
                "kind": credential.kind.as_str(),
                "key_id": credential.key_id,
                "not_after": credential.not_after,
                "client_id": self.app.client_id,
            }),
        };
        self.store.append_audit(event, self.clock.now()).await?;
        Ok(())
    }
}

/// What this store writes into the names of the credentials that it makes for an app, to know them again: nobody else
/// can make it.
pub fn mark(store: &dyn Store, app: &str, client_id: &str) -> String {
    let tag = store.signing_key().sign(PURPOSE, format!("{app}\n{client_id}").as_bytes());
    let hexadecimal: String = tag[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("#{hexadecimal}")
}

pub(super) fn is_key(key_id: Uuid, credential: &StoredCredential) -> bool {
    credential.key_id.parse() == Ok(key_id)
}
