//! Sinks, streams and receivers of notices, tried as `muster sink test` and `muster validate --connect` try them.

use std::sync::Arc;

use muster_model::Clock;
use muster_store::StoreLook;
use tokio::time::Instant;

use super::finding::{Finding, Part};
use crate::config::Settings;
use crate::validation::{self, Outcome, Tried};

pub(super) async fn look(
    settings: &Settings,
    look: Option<&StoreLook>,
    clock: &Arc<dyn Clock>,
    until: Instant,
) -> Vec<Finding> {
    let (sinks, streams, receivers) = tokio::join!(
        validation::try_sinks(settings, clock, until),
        validation::try_streams(settings, clock, look, until),
        validation::try_receivers(settings, clock, until)
    );
    let sinks = sinks.iter().map(|tried| finding(Part::Sink, tried, settings));
    let streams = streams.iter().map(|tried| finding(Part::Stream, tried, settings));
    let receivers = receivers.iter().map(|tried| finding(Part::Notice, tried, settings));
    sinks.chain(streams).chain(receivers).collect()
}

fn finding(part: Part, tried: &Tried, settings: &Settings) -> Finding {
    let (kind, name) = tried.what.split_once(' ').unwrap_or(("sink", &tried.what));
    let about = format!("{kind}s.{name}");
    let again = match part {
        Part::Sink => format!("`muster sink test {name}`"),
        Part::Notice => format!("`muster notice test {name}`"),
        _ => "`muster validate --connect`".to_owned(),
    };
    let place = settings.mistake(&about, "", "");
    let place = match place.line {
        Some(line) => format!("{}:{line}", place.file.display()),
        None => place.file.display().to_string(),
    };
    match tried.outcome {
        Outcome::Works => Finding::ok(part, about, tried.finding.clone()),
        Outcome::NotTried => Finding::warning(part, about, tried.finding.clone(), again),
        Outcome::Fails => {
            // A secret that was put right in its file counts from the next reload on.
            let cure = format!(
                "mend it, or edit [{about}] in {place}; then {again}, and have a `muster run` at work read both again: SIGHUP, \
                 or `systemctl reload muster`"
            );
            Finding::problem(part, about, tried.finding.clone(), cure)
        }
    }
}
