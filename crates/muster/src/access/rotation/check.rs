//! What a rotation that was not finished left behind.

use jiff::Timestamp;
use muster_store::{Check, CheckOutcome, CredentialKind, CredentialSlot, StoredCredential};

/// The name of the check that tells of a rotation that is not finished.
pub const ROTATION: &str = "rotation";

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

#[cfg(test)]
mod tests {
    use muster_model::Secret;

    use super::*;

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
