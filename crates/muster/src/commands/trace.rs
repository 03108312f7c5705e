//! `muster trace`: the whole journey of one record.

use jiff::Timestamp;
use muster_model::TenantId;
use muster_store::{TracedDelivery, TracedState, TracedVersion};

use super::{Context, Except, only};
use crate::exit_code::{Exit, Failed};
use crate::shown::output::{Output, Tone, duration, number, plain};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The id of an alert or incident, as Microsoft writes it.
    record_id: String,
    /// Only of these tenants: slugs, ids or domains, or tag:NAME; several by commas.
    #[arg(long, short, value_delimiter = ',')]
    tenant: Vec<String>,
    #[command(flatten)]
    except: Except,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Exit, Failed> {
    let chosen = context.ids(&args.tenant, &args.except).await?;
    let mut versions = context.store.trace(only(chosen.as_ref()), &args.record_id).await?;
    versions.retain(|version| chosen.as_ref().is_none_or(|chosen| chosen.contains(&version.tenant)));
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
    let asked_of = tenants.len();
    context.output.print(&versions, |output| {
        let id = plain(&args.record_id);
        let mut text = output.strong(&id);
        let journeys =
            versions.chunk_by(|one, other| (one.tenant, one.source) == (other.tenant, other.source));
        for of_one in journeys {
            let (first, count) = (&of_one[0], of_one.len());
            let versions = if count == 1 { "1 version".to_owned() } else { format!("{count} versions") };
            let whose = output.strong(&slug(first.tenant));
            text.push_str(&format!("\n{whose} · {} · {versions}\n", first.source));
            for (index, version) in of_one.iter().enumerate() {
                text.push_str(&journey(output, index + 1, version));
            }
            text.push_str(&format!("\n{}  {}\n", output.strong("now"), now(output, of_one)));
        }
        if chosen.is_none() && asked_of > 1 {
            text.push_str(&format!("\nlooked for in all {} tenants\n", number(asked_of as u64)));
        }
        text.trim_end().to_owned()
    })
}

/// One version, step by step.
fn journey(output: &Output, index: usize, version: &TracedVersion) -> String {
    let change = match &version.change {
        Some(change) => format!("  {}", output.toned(Tone::Plain, &plain(&change.to_string()))),
        None => String::new(),
    };
    let severity = version.severity.map_or_else(String::new, |severity| format!("  severity {severity}"));
    let head = output.strong(&format!("version {index}"));
    let mut lines = vec![format!("\n{head}{change}{severity}")];
    let mut line = |what: &str, tone: Tone, said: String| {
        lines.push(format!("  {what:12}{}", output.toned(tone, &said)));
    };
    let is_pruned = version.accepted_at.is_none();
    let unknown = if is_pruned { "not known any more" } else { "not known" };
    let time = |at: Option<Timestamp>| at.map_or_else(|| unknown.to_owned(), |at| at.to_string());
    line("created", Tone::Plain, time(version.created_at));
    line("changed", Tone::Plain, time(version.updated_at));
    let after = version.accepted_at.zip(version.updated_at);
    let after = after.map_or_else(String::new, |(accepted, updated)| later(accepted, updated));
    let request =
        version.request_id.as_deref().map_or_else(String::new, |id| format!(", request {}", plain(id)));
    line("fetched", Tone::Plain, format!("{}{after}{request}", time(version.accepted_at)));
    let place = format!("batch {}, place {}", version.batch, version.place);
    match &version.damaged {
        Some(why) => line("journal", Tone::Bad, format!("{place}; it cannot be read: {}", plain(why))),
        None if is_pruned => {
            line("journal", Tone::Plain, format!("batch {}, which has been pruned", version.batch))
        }
        None => line("journal", Tone::Plain, place),
    }
    match version.routes.is_empty() {
        _ if is_pruned => line("routes", Tone::Plain, unknown.to_owned()),
        true if version.deliveries.is_empty() => {
            line("routes", Tone::Fair, "none took it: no sink was to have it".to_owned());
        }
        true => line("routes", Tone::Plain, "none is noted".to_owned()),
        false => line("routes", Tone::Plain, plain(&version.routes.join(", "))),
    }
    for delivery in &version.deliveries {
        let (tone, said) = said_of(delivery, version.updated_at);
        line(&plain(&delivery.sink), tone, said);
    }
    lines.join("\n") + "\n"
}

/// How long after Microsoft's change something was, if it was after it.
fn later(at: Timestamp, updated: Timestamp) -> String {
    let long = at.duration_since(updated);
    if long.is_negative() { String::new() } else { format!(", {} later", duration(long.unsigned_abs())) }
}

fn said_of(delivery: &TracedDelivery, updated_at: Option<Timestamp>) -> (Tone, String) {
    let number = delivery.number.map_or_else(|| "waits".to_owned(), |number| number.0.to_string());
    match delivery.state {
        TracedState::Owed { since } => (Tone::Fair, format!("owed since {since:.0} (delivery {number})")),
        TracedState::Delivered { at } => {
            let after = updated_at.map_or_else(String::new, |updated| later(at, updated));
            (Tone::Good, format!("acknowledged {at:.0}{after} (delivery {number})"))
        }
        TracedState::Rejected { at } => {
            let said = format!("refused for good {at:.0} (delivery {number}); see `muster dead-letter list`");
            (Tone::Bad, said)
        }
        TracedState::GivenUp { at } => {
            (Tone::Bad, format!("given up {at:.0}: the journal was full, or a shadow too far behind"))
        }
        TracedState::Damaged { at } => {
            let said = format!(
                "could not be read back from the journal, {at:.0} (delivery {number}); it is fetched again"
            );
            (Tone::Bad, said)
        }
    }
}

/// Where the newest version is.
fn now(output: &Output, versions: &[TracedVersion]) -> String {
    let Some(newest) = versions.last() else { return String::new() };
    let of = |wanted: fn(&TracedState) -> bool| {
        let found = newest.deliveries.iter().filter(|delivery| wanted(&delivery.state));
        let mut sinks = found.map(|delivery| plain(&delivery.sink)).collect::<Vec<_>>();
        sinks.dedup();
        sinks.join(", ")
    };
    let groups = [
        ("at", Tone::Good, of(|state| matches!(state, TracedState::Delivered { .. }))),
        ("owed to", Tone::Fair, of(|state| matches!(state, TracedState::Owed { .. }))),
        ("refused by", Tone::Bad, of(|state| matches!(state, TracedState::Rejected { .. }))),
        ("given up for", Tone::Bad, of(|state| matches!(state, TracedState::GivenUp { .. }))),
        (
            "waiting to be fetched again for",
            Tone::Bad,
            of(|state| matches!(state, TracedState::Damaged { .. })),
        ),
    ];
    let said = groups.into_iter().filter(|(.., sinks)| !sinks.is_empty());
    let said = said.map(|(word, tone, sinks)| output.toned(tone, &format!("{word} {sinks}")));
    let said = said.collect::<Vec<_>>();
    match (said.is_empty(), newest.accepted_at.is_some()) {
        (false, _) => said.join(", "),
        (true, true) => output.toned(Tone::Fair, "in the journal only: no sink was to have it"),
        (true, false) => "delivered or unrouted; the journal has been pruned".to_owned(),
    }
}
