//! A record that was found, as it is told.

use jiff::Timestamp;
use muster_model::{Source, Tenant, TenantId};
use muster_siem::summary::Summary;
use serde::Serialize;

use crate::portal::portal_link;
use crate::search::Found;

/// So many names of devices, users and pieces of evidence are told of a record; who wants more asks for the record itself.
pub(super) const NAMES_MAX: usize = 64;

#[derive(Serialize)]
pub(super) struct Row {
    /// When Microsoft last changed it.
    pub(super) time: Option<Timestamp>,
    pub(super) tenant: String,
    pub(super) tenant_id: TenantId,
    pub(super) source: Source,
    pub(super) id: String,
    pub(super) created_at: Option<Timestamp>,
    pub(super) accepted_at: Timestamp,
    pub(super) severity: &'static str,
    #[serde(flatten)]
    pub(super) summary: Summary,
    /// Its page in the portal, in the right tenant.
    pub(super) portal: Option<String>,
}

impl Row {
    pub(super) fn of(found: &Found, tenants: &[Tenant], portal: Option<&str>) -> Self {
        let kind = found.source.kind();
        let mut summary = Summary::of(kind, &found.body).unwrap_or_default();
        for names in [&mut summary.hosts, &mut summary.host_ids, &mut summary.users, &mut summary.user_ids] {
            names.truncate(NAMES_MAX);
        }
        let tenant = tenants.iter().find(|tenant| tenant.id == found.tenant);
        Self {
            time: found.head.updated_at,
            tenant: tenant.map_or_else(|| found.tenant.to_string(), |tenant| tenant.slug.to_string()),
            tenant_id: found.tenant,
            source: found.source,
            id: found.head.id.clone(),
            created_at: found.head.created_at,
            accepted_at: found.accepted_at,
            severity: found.head.severity.as_str(),
            portal: portal_link(kind, (&found.head.id, &[&summary.link]), found.tenant, portal),
            summary,
        }
    }
}
