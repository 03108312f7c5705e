//! `muster tenant remove`

use std::io::{self, BufRead, IsTerminal, Write};

use muster_model::Tenant;
use muster_store::TenantKey;

use crate::audit::actor;
use crate::commands::Context;
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

/// Has the operator type the tenant's slug before something that cannot be undone.
pub(super) fn confirm(tenant: &Tenant, verb: &str, what: &str, doing: &str) -> Result<(), Failed> {
    if !io::stdin().is_terminal() {
        return Err(Failed::say(Exit::Usage, format!("{doing} cannot be undone: confirm it with --yes")));
    }
    let mut err = io::stderr().lock();
    write!(err, "{verb} {} ({}) {what}? It cannot be undone. Type its slug: ", tenant.slug, tenant.id)?;
    err.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() == tenant.slug.as_str() {
        Ok(())
    } else {
        Err(Failed::say(Exit::Failure, "nothing was done"))
    }
}
