//! How an app's secret or certificate is replaced while everything goes on, so that at every moment one that works is in
//! use, and none is left behind.
//!
//! 1. *Made*: the new one is added to the app registration and kept, sealed, in the store's slot `Next`. A secret is made
//!    by Microsoft and then stored; when it cannot be stored it is removed again. A certificate is made here and stored
//!    before Microsoft hears of it.
//! 2. *Proven*: a token is asked for with it, for as long as Microsoft needs to make it known everywhere.
//! 3. *Installed*: the store's slots change places in one transaction; where the settings name a file or a Key Vault, it is
//!    written there first.
//! 4. *Withdrawn*: the old one is removed from the registration, at once or later.
//!
//! Killed between any two of these, the same command goes on from there: the store's slots and the registration say
//! where it was. A secret that Microsoft made and nobody stored carries this store's mark in its name, is found by it and
//! removed.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_microsoft::entra::access_token::AccessToken;
use muster_microsoft::entra::applications::{Application, DirectoryError, KeyCredential, NewCertificate};
use muster_microsoft::entra::certificate::{Certificate, CertificateError};
use muster_microsoft::entra::credential::{Access, App};
use muster_microsoft::entra::error::TokenError;
use muster_microsoft::entra::new_certificate::{self, NewCertificateError};
use muster_microsoft::key_vault::KeyVaultError;
use muster_microsoft::{Fault, Microsoft};
use muster_model::{Clock, Secret, TenantId};
use muster_store::{
    Check, CheckOutcome, CredentialKind, CredentialSlot, InstanceId, NewAuditEvent, Store, StoreError,
    StoredCredential,
};
use serde::Serialize;
use serde_json::json;
use url::Url;
use uuid::Uuid;

use crate::access::apps::{self, AppsError};
use crate::config::AppSettings;

/// How long a new credential is tried before its rotation is left for later. Microsoft makes new ones known everywhere
/// within minutes.
const PROOF_PATIENCE: Duration = Duration::from_secs(180);
/// The longest pause between two tries.
const PROOF_PAUSE_MAX: Duration = Duration::from_secs(15);
/// A next credential that still does not work after this long is given up for another.
const NEXT_AGE_MAX: Duration = Duration::from_secs(3_600);
/// A file larger than this holds no credential.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// What the mark in a credential's name is for.
const PURPOSE: &str = "app credential";
/// The lease under which credentials of a store's apps are changed.
const LEASE_NAME: &str = "rotation";
/// How long others wait at most for a process that hangs, and on an engine that cannot tell, for one that was killed.
const LEASE: Duration = Duration::from_secs(60);
/// The name of the check that tells of a rotation that is not finished.
pub const ROTATION: &str = "rotation";

/// Where an app's credential is kept.
#[derive(Debug, Clone)]
pub enum CredentialPlace {
    Store,
    /// In a file, whose path is absolute or starts from the working folder.
    File(PathBuf),
    KeyVault {
        /// The app that opens it.
        opener: Box<App>,
        /// The tenant that the vault trusts.
        tenant: TenantId,
        url: Url,
    },
}

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

/// Why a rotation stopped. The credential in use before it is in use still; the message says what is left.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    #[error("{0}; the credential in use was not touched, and the same command goes on from here")]
    Directory(#[from] DirectoryError),
    #[error("{0}; the same command goes on from here")]
    Store(#[from] StoreError),
    /// The new credential could not be stored.
    #[error(
        "the new {kind} could not be stored ({error}), so it was removed at Microsoft again; the old one is in use still"
    )]
    RolledBack { kind: &'static str, error: StoreError },
    /// The new credential could not be stored, and not be removed again.
    #[error(
        "the new {kind} could not be stored ({error}) and not be removed at Microsoft again ({removal}); the old one is in use still. Remove {kind} {key_id} in the portal, or run the command again, which does"
    )]
    NotRolledBack {
        kind: &'static str,
        /// Why it was not stored.
        error: StoreError,
        /// Why it was not removed.
        removal: Box<DirectoryError>,
        key_id: Uuid,
    },
    /// The new credential does not work.
    #[error(
        "the new credential gives no token yet: {0}; the old one is in use still. Run the same command again: it goes on with the new one"
    )]
    NotProven(TokenError),
    /// The app is not registered there.
    #[error(
        "tenant {home} has no app registration with the client id {client_id}; is it the tenant that the app is registered in? Set `tenant` in [apps.{app}]"
    )]
    NotRegistered {
        app: String,
        client_id: Uuid,
        /// The tenant that was asked.
        home: TenantId,
    },
    #[error("the client id `{0}` is not a GUID")]
    ClientId(String),
    /// No certificate could be made.
    #[error(transparent)]
    NewCertificate(#[from] NewCertificateError),
    /// The certificate that was made or found cannot be used.
    #[error("the certificate cannot be used: {0}")]
    Certificate(#[from] CertificateError),
    /// What the store holds is damaged.
    #[error(transparent)]
    Stored(#[from] AppsError),
    /// The file cannot be replaced.
    #[error(
        "{} cannot be replaced: {error}; it holds the old credential, which is in use still. Run the same command again when that is mended",
        .path.display()
    )]
    File { path: PathBuf, error: io::Error },
    /// The Key Vault said no, or nothing.
    #[error("{0}; the old credential is in use still, and the same command goes on from here")]
    KeyVault(#[from] KeyVaultError),
    /// The one before may be what the running process uses.
    #[error(
        "no new {kind} is made while {kind} {key_id} of the rotation before is valid: a `muster run` that has not read the Key Vault since then still uses it. Send SIGHUP to `muster run`, then run `muster app rotate-{kind} {app} --finish`, which removes {key_id}, and then this command again"
    )]
    PreviousInUse {
        app: String,
        kind: &'static str,
        /// The id of the one before.
        key_id: String,
    },
    /// Another rotation of this store is under way.
    #[error("another command changes the credentials of this store's apps just now; wait for it to end")]
    Busy,
}

/// Does `work`, which changes credentials of the store's apps, while no other process does such work.
///
/// # Errors
/// When another process is at it, or has taken it over because this one hung.
pub async fn exclusively<T>(
    store: &dyn Store,
    clock: &dyn Clock,
    work: impl Future<Output = T>,
) -> Result<T, RotationError> {
    let taken = store.take_lease(LEASE_NAME, InstanceId(Uuid::new_v4()), LEASE, clock.now()).await?;
    let lease = taken.ok_or(RotationError::Busy)?;
    let lost = async {
        loop {
            tokio::time::sleep(LEASE / 3).await;
            match store.extend_lease(&lease, LEASE, clock.now()).await {
                Ok(()) => {}
                Err(error @ StoreError::LeaseLost { .. }) => break error,
                Err(error) => tracing::warn!(%error, "cannot keep the lease on the apps' credentials"),
            }
        }
    };
    let done = tokio::select! {
        done = work => Ok(done),
        lost = lost => Err(lost.into()),
    };
    if let Err(error) = store.release_lease(lease).await {
        tracing::warn!(%error, "cannot give the lease on the apps' credentials back; it runs out by itself");
    }
    done
}

/// The store's slots of one app.
#[derive(Debug, Default)]
struct Slots {
    current: Option<StoredCredential>,
    next: Option<StoredCredential>,
    previous: Option<StoredCredential>,
}

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
            if !self.is_in_place(&next).await? {
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
            self.remove_previous_file()?;
        }
        self.remove_orphans(&mut done).await?;
        if let Some(current) = slots.current {
            done.key_id = Some(current.key_id);
            done.not_after = current.not_after;
        }
        Ok(done)
    }

    async fn registration(&self) -> Result<Application, RotationError> {
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

    async fn slots(&self) -> Result<Slots, StoreError> {
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
        if !self.is_old(&next) || self.is_in_place(&next).await? {
            return Ok(Some(next));
        }
        let Err(error) = self.token_with(&next).await? else { return Ok(Some(next)) };
        if !is_about_the_credential(&error) {
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

    async fn make(
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
    async fn register_certificate(
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

    /// Asks for tokens until one comes, or it is plain that none will.
    async fn prove(&self, next: &StoredCredential) -> Result<(), RotationError> {
        let until = tokio::time::Instant::now() + PROOF_PATIENCE;
        let mut pause = Duration::from_secs(1);
        loop {
            let Err(error) = self.token_with(next).await? else { return Ok(()) };
            let passes = is_about_the_credential(&error)
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
    async fn token_with(&self, stored: &StoredCredential) -> Result<Result<(), TokenError>, RotationError> {
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

    /// Whether the place that the settings name holds this credential already.
    async fn is_in_place(&self, next: &StoredCredential) -> Result<bool, RotationError> {
        match &self.place {
            CredentialPlace::Store => Ok(false),
            CredentialPlace::File(path) => match read_file(path) {
                Ok(held) => Ok(trimmed(held.expose()) == trimmed(next.value.expose())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(error) => Err(RotationError::File { path: path.clone(), error }),
            },
            CredentialPlace::KeyVault { opener, tenant, url } => {
                match self.microsoft.vault_secret(opener, *tenant, url).await {
                    Ok(held) => Ok(trimmed(held.expose().as_bytes()) == trimmed(next.value.expose())),
                    Err(KeyVaultError::NotFound { .. }) => Ok(false),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    /// What the place that the settings name holds.
    async fn held(&self) -> Result<Option<Secret<Vec<u8>>>, RotationError> {
        match &self.place {
            CredentialPlace::Store => Ok(None),
            CredentialPlace::File(path) => Ok(read_file(path).ok()),
            CredentialPlace::KeyVault { opener, tenant, url } => {
                match self.microsoft.vault_secret(opener, *tenant, url).await {
                    Ok(held) => Ok(Some(Secret::new(held.expose().as_bytes().to_vec()))),
                    Err(KeyVaultError::NotFound { .. }) => Ok(None),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    /// Writes a proven credential to where the settings say, and remembers which one was there.
    async fn install(
        &self,
        next: &StoredCredential,
        current: Option<StoredCredential>,
        registration: &Application,
        done: &mut Rotated,
    ) -> Result<(), RotationError> {
        let held = self.held().await?;
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
        match &self.place {
            CredentialPlace::Store => {}
            CredentialPlace::File(path) => replace_file(path, next.value.expose())
                .map_err(|error| RotationError::File { path: path.clone(), error })?,
            CredentialPlace::KeyVault { opener, tenant, url } => {
                let value = String::from_utf8(next.value.expose().clone()).unwrap_or_default();
                self.microsoft.set_vault_secret(opener, *tenant, url, &Secret::new(value)).await?;
            }
        }
        Ok(())
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

    /// Removes the credential before from the registration and forgets it.
    async fn withdraw(
        &self,
        registration: &Application,
        previous: &StoredCredential,
        done: &mut Rotated,
    ) -> Result<(), RotationError> {
        self.remove_at_microsoft(registration, previous).await?;
        self.store.remove_app_credential(&self.app.name, CredentialSlot::Previous).await?;
        self.remove_previous_file()?;
        self.write_down("app.credential_withdrawn", previous).await?;
        done.withdrawn.push(previous.key_id.clone());
        Ok(())
    }

    /// Removes what was kept beside a file that was replaced.
    fn remove_previous_file(&self) -> Result<(), RotationError> {
        let CredentialPlace::File(path) = &self.place else { return Ok(()) };
        let removed = real(path).and_then(|path| remove_if_there(&beside(&path, PREVIOUS_SUFFIX)));
        removed.map_err(|error| RotationError::File { path: beside(path, PREVIOUS_SUFFIX), error })
    }

    async fn remove_at_microsoft(
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
    async fn must_stay(
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

    fn is_old(&self, credential: &StoredCredential) -> bool {
        credential.created_at.checked_add(NEXT_AGE_MAX).is_ok_and(|end| end <= self.clock.now())
    }

    /// Whether Microsoft gives no token for a credential, and says that it is the credential's fault.
    async fn is_rejected(&self, mut credential: StoredCredential) -> Result<bool, RotationError> {
        if credential.value.expose().is_empty() {
            // The settings' place holds it.
            let Some(held) = self.held().await? else { return Ok(false) };
            credential.value = held;
        }
        Ok(self.token_with(&credential).await?.is_err_and(|error| is_about_the_credential(&error)))
    }

    /// Removes secrets and certificates that this store made and does not know: a rotation was killed before it could
    /// write them down, so nobody has their values.
    async fn remove_orphans(&self, done: &mut Rotated) -> Result<(), RotationError> {
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

    /// The name of a new credential in the portal. It tells who made it, and bears the mark.
    fn display_name(&self, now: Timestamp) -> String {
        format!("Muster {:.10} {}", now.to_string(), self.mark())
    }

    fn mark(&self) -> String {
        mark(self.store.as_ref(), &self.app.name, &self.app.client_id)
    }

    fn is_marked(&self, display_name: Option<&str>) -> bool {
        display_name.is_some_and(|name| name.starts_with("Muster ") && name.ends_with(&self.mark()))
    }

    async fn write_down(&self, action: &str, credential: &StoredCredential) -> Result<(), RotationError> {
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

/// Where the credential of an app is to be written, or why Muster cannot write there.
///
/// # Errors
/// With what the operator can do instead.
pub fn place(
    app: &AppSettings,
    kind: CredentialKind,
    folder: &Path,
    opener: impl FnOnce() -> Result<(App, TenantId), String>,
) -> Result<CredentialPlace, String> {
    use muster_model::SecretReference;
    if app.keeps_credential_in_store() {
        return Ok(CredentialPlace::Store);
    }
    let (reference, other) = match kind {
        CredentialKind::Secret => (&app.secret, "a certificate: use rotate-certificate"),
        CredentialKind::Certificate => (&app.certificate, "a secret: use rotate-secret"),
    };
    let Some(reference) = reference else {
        return Err(match (&app.secret, &app.certificate) {
            (None, None) => {
                "its settings name no secret and no certificate, so there is nothing to rotate".to_owned()
            }
            _ => format!("it proves itself with {other}"),
        });
    };
    if kind == CredentialKind::Certificate
        && (app.certificate_key.is_some() || app.certificate_password.is_some())
    {
        return Err(
            "its certificate lies in several files or in PKCS#12, and Muster writes PEM with the key in it: name one PEM file as `certificate`, or none at all to keep it in the store"
                .to_owned(),
        );
    }
    match reference {
        SecretReference::File(path) => Ok(CredentialPlace::File(folder.join(path))),
        SecretReference::KeyVault(secret) => {
            let (opener, tenant) = opener()?;
            Ok(CredentialPlace::KeyVault { opener: Box::new(opener), tenant, url: secret.url().clone() })
        }
        other => Err(format!(
            "its {} comes from {other}, where Muster cannot write: make a new one in the portal and put it there, or leave it out of the settings to have Muster keep it in its store",
            kind.as_str()
        )),
    }
}

/// What a rotation that was not finished left behind, for `status` and the log. Good when nothing was.
pub fn check(app: &str, stored: &[StoredCredential], now: Timestamp) -> Check {
    let of = |slot| stored.iter().find(|credential| credential.slot == slot);
    let command = |credential: &StoredCredential| match credential.kind {
        CredentialKind::Secret => format!("muster app rotate-secret {app}"),
        CredentialKind::Certificate => format!("muster app rotate-certificate {app}"),
    };
    let (outcome, code, detail, remedy) = match (of(CredentialSlot::Next), of(CredentialSlot::Previous)) {
        (Some(next), _) => (
            CheckOutcome::Warning,
            "rotation_unfinished",
            format!(
                "a rotation was interrupted: {} {} was made at {:.0} and is not in use",
                next.kind.as_str(),
                next.key_id,
                next.created_at
            ),
            format!("run `{}` again: it goes on from there", command(next)),
        ),
        (None, Some(previous)) => (
            CheckOutcome::Warning,
            "previous_still_valid",
            format!(
                "{} {} was replaced, and is still valid at Microsoft",
                previous.kind.as_str(),
                previous.key_id
            ),
            format!("run `{} --finish` when nothing uses it any more: it is removed then", command(previous)),
        ),
        (None, None) => (CheckOutcome::Good, "ok", "no rotation is under way".to_owned(), String::new()),
    };
    Check {
        name: ROTATION.to_owned(),
        outcome,
        code: code.to_owned(),
        detail,
        remedy,
        checked_at: now,
        expires_at: None,
    }
}

fn is_key(key_id: Uuid, credential: &StoredCredential) -> bool {
    credential.key_id.parse() == Ok(key_id)
}

fn is_about_the_credential(error: &TokenError) -> bool {
    error.fault().is_of_the_credential()
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii_end()
}

const NEW_SUFFIX: &str = ".muster-new";
const PREVIOUS_SUFFIX: &str = ".previous";

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn read_file(path: &Path) -> io::Result<Secret<Vec<u8>>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(Secret::new(bytes))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The file that a path leads to, through links.
fn real(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        found => found,
    }
}

/// Replaces a file in one step, with its owner and mode, and keeps what was in it as `….previous`. After a crash it holds
/// the old or the new bytes, never a part. A link is followed: what it points to is replaced.
fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = real(path)?;
    let new = beside(&path, NEW_SUFFIX);
    let before = fs::metadata(&path).ok();
    write_new(&new, &[bytes, b"\n"], before.as_ref())?;
    if before.is_some() {
        // A file of its own, closed to everybody else even where the old one was not.
        let held = read_file(&path)?;
        write_new(&beside(&path, PREVIOUS_SUFFIX), &[held.expose()], before.as_ref())?;
    }
    fs::rename(&new, &path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}

fn write_new(new: &Path, parts: &[&[u8]], like: Option<&fs::Metadata>) -> io::Result<()> {
    // Left by an earlier rotation; nothing refers to it.
    remove_if_there(new)?;
    let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(new)?;
    let written = (|| {
        if let Some(like) = like {
            let own = file.metadata()?;
            if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
                // Whoever reads the file now must be able to read the new one.
                std::os::unix::fs::fchown(&file, Some(like.uid()), Some(like.gid()))?;
            }
            // Never readable by everybody, even where the old one was.
            file.set_permissions(fs::Permissions::from_mode(like.permissions().mode() & 0o660))?;
        }
        for part in parts {
            file.write_all(part)?;
        }
        file.sync_all()
    })();
    if written.is_err() {
        remove_if_there(new).ok();
    }
    written
}

#[cfg(test)]
mod tests {
    use muster_model::SystemClock;
    use muster_store::{MasterKey, SqliteStore};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("a file").permissions().mode() & 0o777
    }

    #[test]
    fn a_file_is_replaced_whole_and_the_old_one_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("main.secret");
        fs::write(&path, "old\n").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("changed");
        fs::write(beside(&path, NEW_SUFFIX), "half of a").expect("left by a kill");
        replace_file(&path, b"new").expect("replaced");
        assert_eq!(fs::read_to_string(&path).expect("a file"), "new\n");
        assert_eq!(fs::read_to_string(beside(&path, PREVIOUS_SUFFIX)).expect("a file"), "old\n");
        assert_eq!(mode(&path), 0o640);
        assert!(!beside(&path, NEW_SUFFIX).exists());
        replace_file(&path, b"newer").expect("replaced");
        assert_eq!(fs::read_to_string(beside(&path, PREVIOUS_SUFFIX)).expect("a file"), "new\n");
    }

    #[test]
    fn a_file_that_everybody_could_read_is_closed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("main.secret");
        fs::write(&path, "old").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("changed");
        replace_file(&path, b"new").expect("replaced");
        assert_eq!(mode(&path), 0o640);
        let previous = beside(&path, PREVIOUS_SUFFIX);
        assert_eq!(
            (mode(&previous), fs::read_to_string(&previous).expect("kept")),
            (0o640, "old".to_owned())
        );
    }

    #[test]
    fn what_a_link_points_to_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&path, "old").expect("written");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        replace_file(&link, b"new").expect("replaced");
        assert_eq!(fs::read_to_string(&path).expect("a file"), "new\n");
        assert!(fs::symlink_metadata(&link).expect("a link").is_symlink());
    }

    #[tokio::test]
    async fn one_rotation_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("muster.db");
        let store = SqliteStore::create(&path, &MasterKey::generate()).await.expect("created");
        let second = || exclusively(&store, &SystemClock, async {});
        let first = exclusively(&store, &SystemClock, async { second().await });
        assert!(matches!(first.await.expect("taken"), Err(RotationError::Busy)));
        second().await.expect("taken again");
    }

    #[test]
    fn what_is_not_finished_is_told_with_the_command_that_finishes_it() {
        let now: Timestamp = "2026-11-21T08:00:00Z".parse().expect("a time");
        let credential = |slot, kind| StoredCredential {
            app: "main".to_owned(),
            slot,
            kind,
            key_id: "f0b0b335-1d71-4883-8f98-567911bfdca6".to_owned(),
            value: Secret::new(Vec::new()),
            not_after: None,
            created_at: now,
        };
        let next = check("main", &[credential(CredentialSlot::Next, CredentialKind::Secret)], now);
        assert_eq!((next.outcome, next.code.as_str()), (CheckOutcome::Warning, "rotation_unfinished"));
        assert!(next.remedy.contains("muster app rotate-secret main"));
        let previous =
            check("main", &[credential(CredentialSlot::Previous, CredentialKind::Certificate)], now);
        assert!(previous.remedy.contains("muster app rotate-certificate main --finish"));
        let current = check("main", &[credential(CredentialSlot::Current, CredentialKind::Secret)], now);
        assert_eq!(current.outcome, CheckOutcome::Good);
    }
}
