//! `muster app show`

use jiff::Timestamp;
use muster_microsoft::entra::credential::Access;
use muster_model::TenantId;
use muster_store::Check;
use serde::Serialize;
use uuid::Uuid;

use super::named::{named, of_app, stored};
use crate::commands::Context;
use crate::config::AppSettings;
use crate::exit_code::{Exit, Failed};
use crate::shown::output::{Output, plain};

pub(super) async fn run(names: &[String], context: &Context) -> Result<Exit, Failed> {
    for name in names {
        named(Some(name), &context.settings)?;
    }
    let checks = context.store.app_checks().await?;
    let tenants = context.store.tenants().await?;
    let mut shown = Vec::new();
    for (name, settings) in &context.settings.apps {
        if !names.is_empty() && !names.contains(name) {
            continue;
        }
        let credentials = stored(name, context).await?.into_iter().map(|stored| ShownCredential {
            slot: stored.slot.as_str(),
            kind: stored.kind.as_str(),
            key_id: stored.key_id,
            created_at: stored.created_at,
            not_after: stored.not_after,
        });
        shown.push(Shown {
            app: name.clone(),
            client_id: settings.client_id,
            tenant: settings.tenant,
            access: match settings.access {
                Access::Application => "application",
                Access::Delegated => "delegated",
            },
            proves_itself_with: proof(settings),
            tenants: of_app(&tenants, name).len(),
            credentials: credentials.collect(),
            checks: checks.iter().filter(|(app, _)| app == name).map(|(_, check)| check.clone()).collect(),
        });
    }
    context.output.print(&shown, |output| {
        if shown.is_empty() {
            return "the settings name no app; `muster app register main --tenant …` makes one".to_owned();
        }
        shown.iter().map(|app| shown_app(app, output)).collect::<Vec<_>>().join("\n\n")
    })
}

#[derive(Serialize)]
struct Shown {
    app: String,
    client_id: Uuid,
    tenant: Option<TenantId>,
    access: &'static str,
    proves_itself_with: String,
    tenants: usize,
    credentials: Vec<ShownCredential>,
    checks: Vec<Check>,
}

#[derive(Serialize)]
struct ShownCredential {
    slot: &'static str,
    kind: &'static str,
    key_id: String,
    created_at: Timestamp,
    not_after: Option<Timestamp>,
}

/// How an app proves itself, by its settings.
fn proof(settings: &AppSettings) -> String {
    match (&settings.secret, &settings.certificate) {
        (Some(place), _) => format!("a secret in {place}"),
        (_, Some(place)) => format!("a certificate in {place}"),
        _ if settings.federated_token.is_some() => "a federated token".to_owned(),
        _ if settings.managed_identity.is_some() => "the machine's managed identity".to_owned(),
        _ if settings.public => "nothing: it is a public client".to_owned(),
        _ => "a credential that Muster keeps in its store".to_owned(),
    }
}

fn shown_app(app: &Shown, output: &Output) -> String {
    let mut text = format!(
        "{}\n\nclient id     {}\nregistered in {}\naccess        {}\nproves itself with {}\ntenants       {}\n",
        app.app,
        app.client_id,
        app.tenant.map_or_else(|| "-".to_owned(), |tenant| tenant.to_string()),
        app.access,
        plain(&app.proves_itself_with),
        app.tenants,
    );
    if !app.credentials.is_empty() {
        let mut table = output.table(&["slot", "kind", "id", "made", "ends"]);
        for credential in &app.credentials {
            let ends = credential.not_after.map_or_else(|| "-".to_owned(), |ends| format!("{ends:.0}"));
            let made = format!("{:.0}", credential.created_at);
            let row = [credential.slot, credential.kind, &credential.key_id, &made, &ends];
            table.add_row(row.map(|text| output.text(text)));
        }
        text.push_str(&format!("\n{table}\n"));
    }
    if !app.checks.is_empty() {
        text.push_str(&format!("\n{}", shown_checks(&app.checks, output)));
    }
    text
}

pub(super) fn shown_checks(checks: &[Check], output: &Output) -> String {
    let mut table = output.table(&["check", "outcome", "finding", "what to do"]);
    for check in checks {
        table.add_row([
            output.text(&check.name),
            output.cell(check.outcome.as_str(), check.outcome.into()),
            output.text(&check.detail),
            output.text(if check.remedy.is_empty() { "-" } else { &check.remedy }),
        ]);
    }
    table.to_string()
}
