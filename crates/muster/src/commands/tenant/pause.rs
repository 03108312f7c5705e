//! `muster tenant pause` and `resume`

use muster_model::TenantState;
use muster_store::{TenantChange, TenantKey};

use crate::audit::actor;
use crate::commands::Context;
use crate::exit_code::{Exit, Failed};

pub(super) async fn run(names: &[String], state: TenantState, context: &Context) -> Result<Exit, Failed> {
    let mut changed = Vec::new();
    for name in names {
        let tenant = context.store.tenant(TenantKey::Name(name)).await?;
        let change = TenantChange::State(state);
        changed.push(context.store.change_tenant(tenant.id, change, &actor(), context.clock.now()).await?);
    }
    context.output.print(&changed, |_| {
        changed
            .iter()
            .map(|tenant| format!("{} is {}", tenant.slug, tenant.state))
            .collect::<Vec<_>>()
            .join("\n")
    })
}
