//! What was found of an access, as it is stored and shown: checks of tenants, grants and credentials.

use std::time::Duration;

use jiff::Timestamp;
use muster_microsoft::entra::credential::{Access, App, Credential};
use muster_microsoft::{Fault, TenantAccess};
use muster_model::Source;
use muster_store::{Check, CheckOutcome, Grant};

use super::apps::AppMissing;

/// A credential that ends within this is told.
const WARN_BEFORE: Duration = Duration::from_secs(30 * 86_400);
/// A refresh token that was not used for this long is used, so that it never comes near the 90 days of idleness that end
/// it. Source: Microsoft "Refresh tokens in the Microsoft identity platform".
pub(crate) const RENEW_IDLE: Duration = Duration::from_secs(14 * 86_400);

/// The name of the check that asks for a token.
pub const TOKEN: &str = "token";
/// The name of the check of a person's grant.
pub const GRANT: &str = "grant";

/// How the names of checks of our clock against Microsoft's begin.
pub const CLOCK: &str = "clock ";

/// The name of the check of our clock against that of a source.
pub fn clock_name(source: Source) -> String {
    format!("{CLOCK}{source}")
}

/// The name of the check of an app's credential.
pub const CREDENTIAL: &str = "credential";

/// The name of the check of a source.
pub fn source_name(source: Source) -> String {
    format!("source {source}")
}

/// What using the access to a tenant showed; `works` says it where it works.
pub fn access(name: &str, access: &TenantAccess, works: impl Into<String>, now: Timestamp) -> Check {
    match access {
        TenantAccess::Granted => good(name, works.into(), now),
        TenantAccess::NotAsked { message } => failing(name, Fault::Throttled, message.clone(), now),
        TenantAccess::Failing { fault, message } => failing(name, *fault, message.clone(), now),
    }
}

/// What asking for a token showed.
pub fn token(found: &TenantAccess, now: Timestamp) -> Check {
    access(TOKEN, found, "Microsoft issues a token", now)
}

/// What a source's last answer showed.
pub fn source(source: Source, found: &TenantAccess, now: Timestamp) -> Check {
    access(&source_name(source), found, "it can be read", now)
}

/// The code of a sign-in that came back without a grant.
pub const SIGN_IN_REFUSED: &str = "sign_in_refused";

/// A person's sign-in that came back without a grant: worth a word, but what is there already goes on working.
pub fn sign_in_refused(why: &str, now: Timestamp) -> Check {
    Check {
        outcome: CheckOutcome::Warning,
        code: SIGN_IN_REFUSED.to_owned(),
        remedy: "sign in again: `muster token acquire`".to_owned(),
        ..good(GRANT, format!("the last sign-in brought nothing: {why}"), now)
    }
}

/// A check that found everything well.
pub(crate) fn good(name: &str, detail: String, now: Timestamp) -> Check {
    Check {
        name: name.to_owned(),
        outcome: CheckOutcome::Good,
        code: "ok".to_owned(),
        detail,
        remedy: String::new(),
        checked_at: now,
        expires_at: None,
    }
}

/// Trouble that a person must end is failing; what passes by itself is a warning.
pub(crate) fn failing(name: &str, fault: Fault, detail: String, now: Timestamp) -> Check {
    Check {
        name: name.to_owned(),
        outcome: if fault.needs_a_person() { CheckOutcome::Failing } else { CheckOutcome::Warning },
        code: fault.as_str().to_owned(),
        detail,
        remedy: fault.remedy().to_owned(),
        checked_at: now,
        expires_at: None,
    }
}

/// The tenant's app is not in the settings.
pub(crate) fn no_app(name: &str, missing: &AppMissing, now: Timestamp) -> Check {
    let (detail, remedy) = match missing {
        AppMissing::NoApp(app) => (
            format!("app `{app}` is not in the settings"),
            format!("add [apps.{app}], or give the tenant another app"),
        ),
        AppMissing::OutOfReach(reason) => {
            (reason.clone(), "mend that: the credential is read again every minute".to_owned())
        }
    };
    Check { remedy, ..failing(name, Fault::Misconfigured, detail, now) }
}

/// The credential of an app that cannot be had.
pub(crate) fn out_of_reach(reason: &str, now: Timestamp) -> Check {
    let remedy = "mend that: it is read again every minute".to_owned();
    Check { remedy, ..failing(CREDENTIAL, Fault::Misconfigured, reason.to_owned(), now) }
}

/// How a person's grant is.
pub(crate) fn grant(grant: Option<&Grant>, slug: &str, app: &str, now: Timestamp) -> Check {
    let acquire = format!("run `muster token acquire --tenant {slug} --app {app}` and sign in");
    let Some(grant) = grant else {
        let mut check =
            failing(GRANT, Fault::GrantExpired, "nobody has signed in for this tenant yet".to_owned(), now);
        check.remedy = acquire;
        return check;
    };
    if grant.revoked_at.is_some() {
        let why = grant.last_error.clone().unwrap_or_else(|| "Microsoft takes it no more".to_owned());
        let mut check = failing(
            GRANT,
            Fault::GrantRevoked,
            format!("the grant of {} has ended: {why}", grant.account),
            now,
        );
        check.remedy = acquire;
        return check;
    }
    let idle = Duration::try_from(now.duration_since(grant.renewed_at)).unwrap_or_default();
    let mut check = if idle > RENEW_IDLE {
        let detail = format!(
            "the refresh token of {} was not used for {} days",
            grant.account,
            idle.as_secs() / 86_400
        );
        Check {
            outcome: CheckOutcome::Warning,
            code: "idle_grant".to_owned(),
            remedy: acquire,
            ..good(GRANT, detail, now)
        }
    } else {
        good(GRANT, format!("in the name of {}", grant.account), now)
    };
    check.expires_at = grant.expires_at;
    check
}

/// When an app's credential ends. `stored_until` is what the store knows of a secret's end; a certificate tells its own.
pub fn credential(app: &App, stored_until: Option<Timestamp>, now: Timestamp) -> Check {
    let (kind, until) = match &app.credential {
        Credential::Secret(_) => ("secret", stored_until),
        Credential::Certificate(certificate) => ("certificate", Some(certificate.not_after())),
        Credential::Federated(_) | Credential::ManagedIdentity(_) => {
            return good(CREDENTIAL, "nothing that ends: it is renewed by its issuer".to_owned(), now);
        }
        Credential::None if app.access == Access::Delegated => {
            return good(CREDENTIAL, "a public client has none".to_owned(), now);
        }
        Credential::None => {
            let detail =
                format!("app `{}` has no credential, neither in the settings nor in the store", app.name);
            let mut check = failing(CREDENTIAL, Fault::Misconfigured, detail, now);
            check.remedy =
                format!("name one in [apps.{0}], or let `muster app rotate-secret {0}` make one", app.name);
            return check;
        }
    };
    let name = CREDENTIAL;
    let Some(until) = until else {
        return good(
            name,
            format!("a {kind} whose end is not known here; `muster app check {}` asks Microsoft", app.name),
            now,
        );
    };
    let remedy =
        format!("run `muster app rotate-{kind} {}`, or put a new one where the settings say", app.name);
    let left = Duration::try_from(until.duration_since(now)).unwrap_or_default();
    let check = if left.is_zero() {
        let fault = if kind == "secret" { Fault::SecretExpired } else { Fault::CertificateRejected };
        Check { remedy, ..failing(name, fault, format!("the {kind} ended at {until:.0}"), now) }
    } else if left < WARN_BEFORE {
        let detail = format!("the {kind} ends in {} days, at {until:.0}", left.as_secs() / 86_400);
        Check {
            outcome: CheckOutcome::Warning,
            code: format!("{kind}_ends_soon"),
            remedy,
            ..good(name, detail, now)
        }
    } else {
        good(name, format!("the {kind} is good until {until:.0}"), now)
    };
    Check { expires_at: Some(until), ..check }
}
