//! `muster tenant tag`

use std::collections::BTreeSet;

use muster_model::Tag;
use muster_store::{TenantChange, TenantKey};

use crate::audit::actor;
use crate::commands::Context;
use crate::exit_code::{Exit, Failed};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum TagCommand {
    /// Give a tenant tags. Records that come from then on take the routes that ask for them.
    Add(Args),
    /// Take tags from a tenant.
    Remove(Args),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Slug, id or domain.
    tenant: String,
    /// Lower-case letters, digits, `-`, `_`, `.` and `:`, such as gold or region:emea.
    #[arg(required = true)]
    tags: Vec<Tag>,
}

pub(super) async fn run(command: &TagCommand, context: &Context) -> Result<Exit, Failed> {
    let tags = |args: &Args| args.tags.iter().cloned().collect::<BTreeSet<_>>();
    let (args, change) = match command {
        TagCommand::Add(args) => (args, TenantChange::Tags { add: tags(args), remove: BTreeSet::new() }),
        TagCommand::Remove(args) => (args, TenantChange::Tags { add: BTreeSet::new(), remove: tags(args) }),
    };
    let tenant = context.store.tenant(TenantKey::Name(&args.tenant)).await?;
    let changed = context.store.change_tenant(tenant.id, change, &actor(), context.clock.now()).await?;
    context.output.print(&changed, |_| match changed.tags.is_empty() {
        true => format!("{} has no tags", changed.slug),
        false => format!("{} has the tags {}", changed.slug, listed(&changed.tags)),
    })
}

/// Tags, as they are shown.
pub(super) fn listed(tags: &BTreeSet<Tag>) -> String {
    match tags.is_empty() {
        true => "-".to_owned(),
        false => tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(", "),
    }
}
