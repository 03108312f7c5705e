//! Apps and their credentials.

use std::path::Path;

use super::subject::Subject;
use crate::config::{AppSettings, FederatedToken, Mistake};

/// Without an app, no tenant can be read.
pub(super) fn some_app(subject: &Subject<'_>, mistakes: &mut Vec<Mistake>) {
    if subject.settings.apps.is_empty() && subject.are_right("apps") {
        let message = "there is no app, so no tenant can be read: `muster app register main --tenant … --write` makes one, or add [apps.NAME]";
        mistakes.push(subject.settings.mistake("", "", message));
    }
}

/// An app whose credential cannot be had: its tenants are failing, others are not.
pub(super) fn credentials(subject: &Subject<'_>, mistakes: &mut Vec<Mistake>) {
    for (name, app) in &subject.settings.apps {
        let section = format!("apps.{name}");
        let before = mistakes.len();
        for (key, place) in app.secrets() {
            // A certificate comes in any form.
            let as_text = matches!(key, "secret" | "certificate_password");
            if let Err(message) = subject.secret(place, as_text) {
                mistakes.push(subject.down(&section, key, &message));
            }
        }
        if mistakes.len() == before
            && app.certificate.is_some()
            && let Err(error) = app.credential(&subject.settings.folder)
        {
            mistakes.push(subject.down(&section, "certificate", &error.to_string()));
        }
        if let Some(message) = federated(app, &subject.settings.folder) {
            mistakes.push(subject.down(&section, "federated_token", &message));
        }
    }
}

fn federated(app: &AppSettings, folder: &Path) -> Option<String> {
    let Some(FederatedToken::File(file)) = &app.federated_token else { return None };
    let file = folder.join(file);
    match std::fs::metadata(&file) {
        Ok(found) if !found.is_file() => Some(format!("{} is no ordinary file", file.display())),
        Ok(_) => std::fs::File::open(&file)
            .err()
            .map(|error| format!("the token's file {} cannot be read: {error}", file.display())),
        Err(error) => Some(format!("the token's file {} cannot be read: {error}", file.display())),
    }
}

/// A tenant whose app is not in the settings is never read.
pub(super) fn tenants(subject: &Subject<'_>, mistakes: &mut Vec<Mistake>) {
    use muster_model::TenantState::Offboarded;
    if !subject.are_right("apps") {
        return;
    }
    let tenants = subject.tenants().unwrap_or_default().iter();
    let living = tenants.filter(|tenant| tenant.state != Offboarded);
    let mut missing: std::collections::BTreeMap<&str, Vec<&str>> = std::collections::BTreeMap::new();
    for tenant in living.filter(|tenant| !subject.settings.apps.contains_key(&tenant.app)) {
        missing.entry(&tenant.app).or_default().push(tenant.slug.as_str());
    }
    for (app, tenants) in missing {
        let names = subject.settings.apps.keys().map(String::as_str);
        let meant = muster_model::text::did_you_mean(app, names);
        let (first, count) = (tenants[0], tenants.len());
        let message = format!(
            "there is no app `{app}`{meant}, which {count} tenant(s) are read with, such as {first}: add [apps.{app}]"
        );
        mistakes.push(subject.down("", "", &message));
    }
}
