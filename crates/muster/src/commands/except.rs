//! Tenants that are left out of those that are chosen.

use std::collections::BTreeSet;

use muster_model::TenantId;

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Except {
    /// Without these tenants: slugs, ids, domains or tag:NAME; several by commas.
    #[arg(long, value_name = "TENANT", value_delimiter = ',')]
    except: Vec<String>,
}

/// The tenant, where only one is chosen: what the store need not look through.
pub(crate) fn only(chosen: Option<&BTreeSet<TenantId>>) -> Option<TenantId> {
    chosen.filter(|chosen| chosen.len() == 1)?.first().copied()
}

impl Except {
    pub(crate) fn names(&self) -> &[String] {
        &self.except
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.except.is_empty()
    }
}
