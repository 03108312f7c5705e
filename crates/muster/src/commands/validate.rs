//! `muster validate`: everything that is wrong with the settings and with what they name, at once.

use std::fmt::Write;
use std::sync::Arc;

use muster_model::{Clock, SystemClock};
use serde::Serialize;

use super::Call;
use crate::config::{Consequence, Mistake, Settings};
use crate::exit_code::{Exit, Failed};
use crate::shown::output::{Output, plain};
use crate::validation::{self, Validation};

#[derive(Serialize)]
struct Verdict {
    /// Whether everything works.
    valid: bool,
    /// Whether `muster run` would start.
    starts: bool,
    mistakes: Vec<Mistake>,
    apps: usize,
    sinks: usize,
    routes: usize,
}

pub(crate) async fn run(call: &Call) -> Result<Exit, Failed> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let Validation { settings, mistakes } = validation::validate(&call.config, &clock).await;
    let exit = validation::exit(&mistakes);
    let count = |of: fn(&Settings) -> usize| settings.as_ref().map_or(0, of);
    let verdict = Verdict {
        valid: exit == Exit::Success,
        starts: mistakes.iter().all(|mistake| mistake.consequence != Consequence::NoStart),
        apps: count(|settings| settings.apps.len()),
        sinks: count(|settings| settings.sinks.len()),
        routes: count(|settings| settings.routes.len()),
        mistakes,
    };
    call.output.print(&verdict, |output| shown(&verdict, &call.config.display().to_string(), output))?;
    Ok(exit)
}

/// The mistakes under a head for each consequence, the worst first: a line each, that editors can follow.
fn shown(verdict: &Verdict, config: &str, _: &Output) -> String {
    let mut text = String::new();
    for (consequence, head) in [
        (Consequence::NoStart, "`muster run` does not start:"),
        (Consequence::Down, "`muster run` starts, but this does not work until it is mended:"),
        (Consequence::Advice, "Worth a look:"),
    ] {
        let of = verdict.mistakes.iter().filter(|mistake| mistake.consequence == consequence);
        for (index, mistake) in of.enumerate() {
            if index == 0 {
                let gap = if text.is_empty() { "" } else { "\n" };
                writeln!(text, "{gap}{head}").expect("writing to memory does not fail");
            }
            writeln!(text, "  {}", plain(&mistake.to_string())).expect("writing to memory does not fail");
        }
    }
    if verdict.valid {
        let gap = if text.is_empty() { "" } else { "\n" };
        let Verdict { apps, sinks, routes, .. } = verdict;
        return format!("{text}{gap}{config} is valid: {apps} app(s), {sinks} sink(s), {routes} route(s)");
    }
    let counted = verdict.mistakes.iter().filter(|mistake| mistake.consequence != Consequence::Advice);
    format!("{text}\n{} mistake(s)", counted.count())
}
