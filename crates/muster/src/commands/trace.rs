//! `muster trace`: the whole journey of one record.

use jiff::Timestamp;
use muster_model::TenantId;
use muster_store::{TenantKey, TracedDelivery, TracedState, TracedVersion};

use super::Context;
use crate::exit_code::{Exit, Failed};
use crate::shown::output::{Output, duration, plain};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The id of an alert or incident, as Microsoft writes it.
    record_id: String,
    /// Only of this tenant: slug, id or domain.
    #[arg(long, short)]
    tenant: Option<String>,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let tenant = match &args.tenant {
        Some(name) => Some(context.store.tenant(TenantKey::Name(name)).await?.id),
        None => None,
    };
    let versions = context.store.trace(tenant, &args.record_id).await?;
    if versions.is_empty() {
        let id = plain(&args.record_id);
        let said = format!(
            "nothing is known of a record `{id}`; ids are compared as they are written, and `muster fetch --id` asks Microsoft"
        );
        return Err(Failed::say(Exit::NotFound, said));
    }
    let tenants = context.store.tenants().await?;
    let slug = |id: TenantId| {
        let found = tenants.iter().find(|tenant| tenant.id == id);
        found.map_or_else(|| id.to_string(), |tenant| tenant.slug.to_string())
    };
    context.output.print(&versions, |output| {
        let mut text = plain(&args.record_id);
        for of_one in versions.chunk_by(|one, other| (one.tenant, one.source) == (other.tenant, other.source))
        {
            let (first, count) = (&of_one[0], of_one.len());
            let versions = if count == 1 { "1 version".to_owned() } else { format!("{count} versions") };
            text.push_str(&format!("\n{} · {} · {versions}\n", slug(first.tenant), first.source));
            for (index, version) in of_one.iter().enumerate() {
                text.push_str(&journey(output, index + 1, version));
            }
            text.push_str(&format!("\nnow  {}\n", now(of_one)));
        }
        text.trim_end().to_owned()
    })
}

/// One version, step by step.
fn journey(_output: &Output, number: usize, version: &TracedVersion) -> String {
    let severity = version.severity.map_or_else(String::new, |severity| format!(", severity {severity}"));
    let mut lines = vec![format!("\nversion {number}{severity}")];
    let mut line = |what: &str, said: String| lines.push(format!("  {what:12}{said}"));
    line("created", time(version.created_at));
    line("changed", time(version.updated_at));
    let after =
        version.accepted_at.zip(version.updated_at).map_or_else(String::new, |(accepted, updated)| {
            let long = accepted.duration_since(updated);
            if long.is_negative() {
                String::new()
            } else {
                format!(", {} later", duration(long.unsigned_abs()))
            }
        });
    let request =
        version.request_id.as_deref().map_or_else(String::new, |id| format!(", request {}", plain(id)));
    line("fetched", format!("{}{after}{request}", time(version.accepted_at)));
    line(
        "journal",
        match &version.damaged {
            Some(why) => {
                format!("batch {}, place {}; it cannot be read: {}", version.batch, version.place, plain(why))
            }
            None if version.accepted_at.is_none() => {
                format!("batch {}, which has been pruned", version.batch)
            }
            None => format!("batch {}, place {}", version.batch, version.place),
        },
    );
    line(
        "routes",
        match version.routes.is_empty() {
            true => "none".to_owned(),
            false => plain(&version.routes.join(", ")),
        },
    );
    for delivery in &version.deliveries {
        line(&plain(&delivery.sink), said_of(delivery));
    }
    lines.join("\n") + "\n"
}

fn said_of(delivery: &TracedDelivery) -> String {
    let number = delivery.number.map_or_else(|| "waits".to_owned(), |number| number.0.to_string());
    match delivery.state {
        TracedState::Owed { since } => format!("owed since {since:.0} (delivery {number})"),
        TracedState::Delivered { at } => format!("acknowledged {at:.0} (delivery {number})"),
        TracedState::Rejected { at } => {
            format!("refused for good {at:.0} (delivery {number}); see `muster dead-letter list`")
        }
        TracedState::Damaged { at } => {
            format!(
                "could not be read back from the journal, {at:.0} (delivery {number}); it is fetched again"
            )
        }
    }
}

fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "not known".to_owned(), |at| at.to_string())
}

/// Where the newest version is.
fn now(versions: &[TracedVersion]) -> String {
    let Some(newest) = versions.last() else { return String::new() };
    let mut said: Vec<String> = Vec::new();
    let of = |wanted: fn(&TracedState) -> bool| {
        let found = newest.deliveries.iter().filter(|delivery| wanted(&delivery.state));
        found.map(|delivery| plain(&delivery.sink)).collect::<Vec<_>>().join(", ")
    };
    let groups = [
        ("at", of(|state| matches!(state, TracedState::Delivered { .. }))),
        ("owed to", of(|state| matches!(state, TracedState::Owed { .. }))),
        ("refused by", of(|state| matches!(state, TracedState::Rejected { .. }))),
        ("waiting to be fetched again for", of(|state| matches!(state, TracedState::Damaged { .. }))),
    ];
    said.extend(
        groups
            .into_iter()
            .filter(|(_, sinks)| !sinks.is_empty())
            .map(|(word, sinks)| format!("{word} {sinks}")),
    );
    if said.is_empty() {
        let kept = if newest.accepted_at.is_some() {
            "in the journal only"
        } else {
            "delivered or unrouted; the journal has been pruned"
        };
        return kept.to_owned();
    }
    said.join(", ")
}
