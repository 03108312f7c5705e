//! The master key, and the store that it opens. Both are only read.

use std::io::ErrorKind;

use muster_model::TenantState;
use muster_store::{KeyRing, MasterKeyError, StoreError, StoreLook};

use super::finding::{Finding, Part};
use crate::config::Settings;
use crate::wiring;

pub(super) async fn key(settings: &Settings, findings: &mut Vec<Finding>) -> Option<KeyRing> {
    let (reference, folder) = (settings.store.master_key.clone(), settings.folder.clone());
    let about = reference.to_string();
    // A program that gives it may be slow.
    let read = tokio::task::spawn_blocking(move || wiring::read_keys(&reference, &folder)).await;
    match read.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())) {
        Ok(keys) => {
            findings.push(Finding::ok(Part::Key, about, "it can be read"));
            Some(keys)
        }
        Err(failed) => {
            let cure = key_cure(failed.error.downcast_ref());
            findings.push(Finding::problem(Part::Key, about, failed.told(), cure));
            None
        }
    }
}

fn key_cure(error: Option<&MasterKeyError>) -> String {
    match error {
        Some(MasterKeyError::Exposed { path, .. }) => format!("`chmod 600 {}`", path.display()),
        Some(MasterKeyError::File { path, source }) if source.kind() == ErrorKind::PermissionDenied => {
            format!("`chown` {} to the user that Muster runs as", path.display())
        }
        _ => "put the copy back that is kept apart from the store, readable by the user that Muster runs as only (`chmod 600`); \
              or edit `master_key` in [store]"
            .to_owned(),
    }
}

pub(super) async fn look(
    settings: &Settings,
    keys: Option<&KeyRing>,
    findings: &mut Vec<Finding>,
) -> Option<StoreLook> {
    let path = settings.path(&settings.store.path);
    let about = path.display().to_string();
    match wiring::look_at_store(settings, keys).await {
        Ok(look) => {
            let tenants = look.tenants.len();
            findings.push(match look.is_current {
                true => {
                    let found = format!("it can be read: {tenants} tenant(s), {} active", active(&look));
                    Finding::ok(Part::Store, about, found)
                }
                false => Finding::warning(
                    Part::Store,
                    about,
                    "it is of an earlier version: what lies in it was not looked at",
                    "`muster backup FILE`; any other command then brings it up to date",
                ),
            });
            Some(look)
        }
        Err(error) => {
            let part = match error {
                StoreError::WrongMasterKey { .. } | StoreError::Sealing { .. } => Part::Key,
                StoreError::DiskFull { .. } | StoreError::NoInodes { .. } | StoreError::DiskFails { .. } => {
                    Part::Disk
                }
                _ => Part::Store,
            };
            let missing = !path.exists();
            findings.push(Finding::problem(part, about, error.to_string(), cure(&error, missing)));
            None
        }
    }
}

pub(super) fn cure(error: &StoreError, missing: bool) -> &'static str {
    match error {
        _ if missing => "`muster init`, or `muster restore FILE` from a backup, or edit `path` in [store]",
        StoreError::WrongMasterKey { .. } | StoreError::Sealing { .. } => {
            "put the key's copy back as a line of the file that `master_key` in [store] names"
        }
        StoreError::DiskFull { .. } => "free space on its disk: `df -h` shows what is there",
        StoreError::NoInodes { .. } => "delete files on its disk: `df -i` shows what is there",
        StoreError::DiskFails { .. } => "look at the disk: `dmesg`",
        StoreError::ReadOnly { .. } => {
            "`mount -o remount,rw` its disk, or `chown` it to the user that Muster runs as"
        }
        StoreError::NotWritable { .. } => {
            "`chown` it to the user that Muster runs as; on a disk that is mounted read-only, `mount -o remount,rw`"
        }
        StoreError::Locked { .. } => "`fuser -v FILE` shows who has it open: stop that",
        StoreError::TooNew { .. } => "install the version of Muster that wrote it, or a newer one",
        StoreError::Damaged { .. } => "`muster restore FILE` from a backup",
        _ => "edit `path` in [store], or `muster restore FILE` from a backup",
    }
}

/// How many tenants are read.
fn active(look: &StoreLook) -> usize {
    look.tenants.iter().filter(|tenant| tenant.state == TenantState::Active).count()
}
