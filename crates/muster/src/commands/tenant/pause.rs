//! `muster tenant pause` and `resume`

use muster_model::TenantState;
use muster_store::TenantChange;

use crate::audit::actor;
use crate::commands::{Context, Except};
use crate::exit_code::{Exit, Failed};

pub(super) async fn run(
    names: &[String],
    except: &Except,
    state: TenantState,
    context: &Context,
) -> Result<Exit, Failed> {
    let mut changed = Vec::new();
    for tenant in context.chosen(names, except).await? {
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
