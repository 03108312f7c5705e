//! `muster tenant edit`

use std::collections::BTreeSet;

use muster_model::{Slug, Source, Tag, Tenant, TenantState};
use muster_store::{StoreError, TenantChange, TenantKey};

use super::tag;
use crate::audit::actor;
use crate::commands::Context;
use crate::config::Settings;
use crate::exit_code::{Exit, Failed};
use crate::shown::note::note;
use crate::shown::output::plain;

const NAME_LETTERS_MAX: usize = 256;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Slug, id or domain.
    tenant: String,
    /// Another name, shown to people.
    #[arg(long)]
    name: Option<String>,
    /// Another short name: lower-case letters, digits and hyphens. Whatever names the old one does not follow.
    #[arg(long)]
    slug: Option<Slug>,
    /// Another app that reads it.
    #[arg(long)]
    app: Option<String>,
    /// What is read from now on, in place of what was; repeat for several.
    #[arg(long, value_name = "SOURCE")]
    source: Vec<Source>,
    /// A tag that it gets; repeat for several.
    #[arg(long, value_name = "TAG")]
    add_tag: Vec<Tag>,
    /// A tag that it loses; repeat for several.
    #[arg(long, value_name = "TAG")]
    remove_tag: Vec<Tag>,
}

/// Changes what is named, each with an event in the audit log. Everything is looked at before anything is changed.
pub(super) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let before = context.store.tenant(TenantKey::Name(&args.tenant)).await?;
    if before.state == TenantState::Offboarded {
        return Err(StoreError::Offboarded(before.slug.to_string()).into());
    }
    let changes = changes(args, &before, context).await?;
    if changes.is_empty() {
        let message = "say what is to be changed: --name, --slug, --app, --source, --add-tag or --remove-tag";
        return Err(Failed::say(Exit::Usage, message));
    }
    let mut tenant = before.clone();
    for change in changes {
        tenant = context.store.change_tenant(tenant.id, change, &actor(), context.clock.now()).await?;
    }
    for told in led_elsewhere(&before, &tenant, &context.settings) {
        note!("warning: {}", plain(&told));
    }
    context.output.print(&tenant, |_| {
        let sources = tenant.sources.iter().map(|source| source.as_str()).collect::<Vec<_>>().join(", ");
        format!(
            "{} ({}): {}, app {}, sources {sources}, tags {}",
            tenant.slug,
            tenant.id,
            plain(&tenant.name),
            tenant.app,
            tag::listed(&tenant.tags)
        )
    })
}

async fn changes(args: &Args, before: &Tenant, context: &Context) -> Result<Vec<TenantChange>, Failed> {
    let usage = |message: String| Err(Failed::say(Exit::Usage, message));
    let mut changes = Vec::new();
    if let Some(slug) = &args.slug {
        let tenants = context.store.tenants().await?;
        if tenants.iter().any(|tenant| tenant.slug == *slug && tenant.id != before.id) {
            return Err(StoreError::TenantExists { field: "slug", value: slug.to_string() }.into());
        }
        changes.push(TenantChange::Slug(slug.clone()));
    }
    if let Some(name) = &args.name {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > NAME_LETTERS_MAX || name.chars().any(char::is_control) {
            return usage(format!("a name is one line of at most {NAME_LETTERS_MAX} letters"));
        }
        changes.push(TenantChange::Name(name.to_owned()));
    }
    if let Some(app) = &args.app {
        if !context.settings.apps.contains_key(app) {
            let known = context.settings.apps.keys().map(String::as_str);
            let meant = muster_model::text::did_you_mean(app, known);
            return Err(Failed::say(
                Exit::NotFound,
                format!("there is no app `{app}`{meant} in the settings"),
            ));
        }
        changes.push(TenantChange::App(app.clone()));
    }
    if !args.source.is_empty() {
        changes.push(TenantChange::Sources(args.source.iter().copied().collect()));
    }
    let tags = |tags: &[Tag]| tags.iter().cloned().collect::<BTreeSet<_>>();
    let (add, remove) = (tags(&args.add_tag), tags(&args.remove_tag));
    if let Some(both) = add.intersection(&remove).next() {
        return usage(format!("the tag `{both}` is added and removed at once"));
    }
    if !add.is_empty() || !remove.is_empty() {
        let count = before.tags.union(&add).filter(|tag| !remove.contains(*tag)).count();
        if count > muster_model::TAGS_MAX {
            return Err(StoreError::ManyTags { tenant: before.slug.to_string(), tags: count }.into());
        }
        changes.push(TenantChange::Tags { add, remove });
    }
    Ok(changes)
}

/// Routes, queries and streams that the tenant has come under, or from under.
fn led_elsewhere(before: &Tenant, after: &Tenant, settings: &Settings) -> Vec<String> {
    let mut told = Vec::new();
    let mut tell = |what: String, had: bool, has: bool| match (had, has) {
        (true, false) => told.push(format!("{what} does not name {} any more", after.slug)),
        (false, true) => told.push(format!("{what} names {} now", after.slug)),
        _ => {}
    };
    for (index, route) in settings.routes.iter().enumerate() {
        tell(Settings::route_section(index), route.is_for(before), route.is_for(after));
    }
    let (had, has) = (before.label(), after.label());
    for (source, hunt) in &settings.hunts {
        tell(source.to_string(), hunt.asks(&had), hunt.asks(&has));
    }
    for (source, stream) in &settings.streams {
        tell(source.to_string(), stream.is_of(&had), stream.is_of(&has));
    }
    if before.slug != after.slug {
        told.push(format!(
            "templates of sinks that write `tenant.slug` write {} from the next delivery on, and not {}",
            after.slug, before.slug
        ));
    }
    told
}
