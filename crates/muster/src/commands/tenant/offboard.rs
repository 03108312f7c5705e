//! `muster tenant offboard`

use std::fmt::Write as _;

use muster_model::{Tenant, TenantState};
use muster_store::TenantKey;
use serde::Serialize;

use crate::access::onboard;
use crate::audit::actor;
use crate::commands::Context;
use crate::commands::confirm::confirm;
use crate::exit_code::{Exit, Failed};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Slug, id or domain.
    tenant: String,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

/// Ends the work for a customer and tells what is left to be removed on their side.
pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let before = context.store.tenant(TenantKey::Name(&args.tenant)).await?;
    if !args.yes {
        confirm(&before, "Offboard", "with its tokens, key, journal and deliveries", "offboarding")?;
    }
    let microsoft = context.microsoft()?;
    let cloud = microsoft.cloud().clone();
    let client_id = context.settings.apps.get(&before.app).map(|app| app.client_id.to_string());
    let left = match before.state {
        TenantState::Offboarded => before.clone(),
        _ => {
            onboard::offboard(context.store.as_ref(), &microsoft, before.id, &actor(), context.clock.now())
                .await?
        }
    };
    let app = client_id.as_deref().unwrap_or("(no longer in the settings)");
    let portals = cloud.portals();
    let customer_removes = vec![
        Removal {
            what: format!(
                "the application {app}: Entra admin center > Enterprise applications > the application > Properties > \
                 Delete; this also ends every grant a person gave it"
            ),
            url: client_id.as_deref().map(|client_id| cloud.enterprise_application(client_id)),
        },
        Removal {
            what: format!(
                "the authorisation of the SIEM connector, where it was given: Defender portal > Settings > Endpoints > \
                 APIs > SIEM > MSSP tab, application {app}"
            ),
            url: portals.defender.map(|portal| format!("{portal}/?tid={}", before.id)),
        },
        Removal {
            what: "your analysts' access, where it was given: the assignments of the access packages and the connected \
                   organization (Entra admin center > Identity Governance)"
                .to_owned(),
            url: Some(format!(
                "{}/#view/Microsoft_AAD_ERM/DashboardBlade/~/elmConnectedOrganizations",
                portals.entra
            )),
        },
        Removal {
            what: "the granular delegated admin relationship (GDAP), where there is one: Microsoft 365 admin center > \
                   Settings > Partner relationships"
                .to_owned(),
            url: Some(format!("{}/AdminPortal/Home#/partners", portals.admin)),
        },
        Removal {
            what: "mail notification rules with your addresses: Defender portal > Settings > Endpoints > Email \
                   notifications"
                .to_owned(),
            url: None,
        },
    ];
    let done = Offboarded { tenant: left, customer_removes };
    context.output.print(&done, |_| {
        let mut text = format!(
            "{} ({}) is offboarded: its tokens, key, journal, deliveries and checks are gone, its name stays.\n\n\
             The customer still has to remove on their side:\n",
            done.tenant.slug, done.tenant.id
        );
        for removal in &done.customer_removes {
            // Writing to a String cannot fail.
            writeln!(text, "\n- {}", removal.what).ok();
            if let Some(url) = &removal.url {
                writeln!(text, "  {url}").ok();
            }
        }
        text.push_str("\nWhat was delivered to your SIEMs stays there; remove it by their own means where you have to.");
        text
    })
}

#[derive(Serialize)]
struct Offboarded {
    tenant: Tenant,
    /// What is left on the customer's side.
    customer_removes: Vec<Removal>,
}

#[derive(Serialize)]
struct Removal {
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}
