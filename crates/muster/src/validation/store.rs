//! The store and the master key that opens it.

use muster_store::StoreError;

use super::subject::Subject;
use crate::config::Mistake;

const SECTION: &str = "store";
const PATH: &str = "path";
const URL: &str = "url";

/// A key that is missing, malformed, or readable by others.
pub(super) fn master_key(subject: &Subject<'_>, mistakes: &mut Vec<Mistake>) {
    if let Err(failed) = &subject.keys
        && subject.is_right(SECTION)
    {
        mistakes.push(subject.settings.mistake(SECTION, "master_key", &format!("{:#}", failed.error)));
    }
}

/// A store that is missing, damaged, another program's, of a later version, sealed with another key, or not writable.
pub(super) fn store(subject: &Subject<'_>, mistakes: &mut Vec<Mistake>) {
    let Err(error) = &subject.store else { return };
    if !subject.is_right(SECTION) {
        return;
    }
    let key = match error {
        StoreError::WrongMasterKey { .. } | StoreError::Sealing { .. } => "master_key",
        _ if subject.settings.store.url.is_some() => URL,
        _ => PATH,
    };
    mistakes.push(subject.settings.mistake(SECTION, key, &error.to_string()));
}

/// Whether a mistake is about the store and not about the settings.
pub(super) fn is_about_the_store(mistake: &Mistake) -> bool {
    mistake.section == SECTION && mistake.key.as_deref().is_some_and(|key| key == PATH || key == URL)
}
