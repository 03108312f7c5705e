//! `muster tenant remove`

use muster_store::TenantKey;

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

pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let tenant = context.store.tenant(TenantKey::Name(&args.tenant)).await?;
    if !args.yes {
        confirm(&tenant, "Remove", "with its key, journal and deliveries", "removing")?;
    }
    context.store.remove_tenant(tenant.id, &actor(), context.clock.now()).await?;
    context.output.print(&tenant, |_| format!("removed {} ({})", tenant.slug, tenant.id))
}
