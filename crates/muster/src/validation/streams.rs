//! Streams: whose they are, and whether each tenant's rows lie apart.

use muster_model::TenantState;

use super::subject::Subject;
use crate::config::Mistake;

/// Streams whose secrets cannot be had, streams that no tenant has, and places that several tenants share as a whole.
pub(super) fn streams(subject: &Subject<'_>, mistakes: &mut Vec<Mistake>) {
    let tenants = subject.tenants().unwrap_or_default().iter();
    let living = tenants.filter(|tenant| tenant.state != TenantState::Offboarded);
    let living: Vec<_> = living.map(|tenant| tenant.label()).collect();
    for (source, stream) in &subject.settings.streams {
        let Some(name) = source.stream() else { continue };
        let section = format!("streams.{name}");
        for why in stream.secrets().into_iter().filter_map(|place| subject.secret(place, true).err()) {
            mistakes.push(subject.down(&section, "", &why));
        }
        let having = living.iter().filter(|tenant| stream.is_of(tenant)).count();
        if having == 0 && !living.is_empty() {
            let message = "no tenant has it; `muster tenant list` shows all";
            mistakes.push(subject.advice(&section, "tenants", message));
        }
        if having > 1 && stream.is_shared() {
            let message = format!(
                "all {having} tenants read the same blobs, and each leaves the others' rows alone: put {{{{ tenant.id }}}} into it, \
                 as in az://CONTAINER/tenantId={{{{ tenant.id }}}}"
            );
            mistakes.push(subject.advice(&section, "url", &message));
        }
    }
}
