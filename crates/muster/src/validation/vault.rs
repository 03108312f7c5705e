//! Who opens the Key Vault that secrets lie in.

use super::subject::Subject;
use crate::access::vault::VaultError;
use crate::config::Mistake;

/// Secrets that lie in a vault which nobody can open. One that the vault does not give is told where it is needed.
pub(super) fn opener(subject: &Subject<'_>, mistakes: &mut Vec<Mistake>) {
    let Err(error) = &subject.vault else { return };
    let (section, key) = match error {
        VaultError::NoOpener(_) => ("", ""),
        VaultError::NoApp(_) | VaultError::Circle(_) => ("key_vault", "app"),
    };
    // An app that is wrong by itself is no missing one.
    if subject.is_right("key_vault") && subject.are_right("apps") {
        mistakes.push(subject.settings.mistake(section, key, &error.to_string()));
    }
}
