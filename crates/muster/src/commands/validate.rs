//! `muster validate`: everything that is wrong with the settings and with what they name, at once.

use std::fmt::Write;
use std::sync::Arc;

use muster_model::{Clock, Span, SystemClock};
use serde::Serialize;

use super::Call;
use crate::config::{Consequence, Mistake, Settings};
use crate::exit_code::{Exit, Failed};
use crate::shown::output::{Output, plain};
use crate::validation::{self, Outcome, Tried, Validation};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Also try what only shows when it is used: tokens for each tenant, saved queries, and the way to each sink. Nothing is sent.
    #[arg(long)]
    connect: bool,
    /// How long all of that may take together.
    #[arg(long, value_name = "DURATION", default_value = "60s", requires = "connect")]
    within: Span,
}

#[derive(Serialize)]
struct Verdict {
    /// Whether everything works.
    valid: bool,
    /// Whether `muster run` would start.
    starts: bool,
    mistakes: Vec<Mistake>,
    /// What came of trying, with `--connect`.
    tried: Vec<Tried>,
    apps: usize,
    sinks: usize,
    routes: usize,
}

pub(crate) async fn run(args: &Args, call: &Call) -> Result<Exit, Failed> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let Validation { settings, mistakes } = validation::validate(&call.config, &clock).await;
    let tried = match &settings {
        Some(settings) if args.connect => validation::connect(settings, &clock, args.within.0).await,
        _ => Vec::new(),
    };
    let exit = match validation::exit(&mistakes) {
        Exit::Success => exit_of_tries(&tried),
        other => other,
    };
    let count = |of: fn(&Settings) -> usize| settings.as_ref().map_or(0, of);
    let verdict = Verdict {
        valid: exit == Exit::Success,
        starts: mistakes.iter().all(|mistake| mistake.consequence != Consequence::NoStart),
        apps: count(|settings| settings.apps.len()),
        sinks: count(|settings| settings.sinks.len()),
        routes: count(|settings| settings.routes.len()),
        mistakes,
        tried,
    };
    call.output.print(&verdict, |output| shown(&verdict, &call.config.display().to_string(), output))?;
    Ok(exit)
}

fn exit_of_tries(tried: &[Tried]) -> Exit {
    let fails = |what: &str| {
        tried.iter().any(|tried| tried.outcome == Outcome::Fails && tried.what.starts_with(what))
    };
    match (fails("app ") || fails("hunt "), fails("sink ")) {
        (true, _) => Exit::Microsoft,
        (false, true) => Exit::Sink,
        (false, false) => Exit::Success,
    }
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
    for (outcome, head) in [
        (Outcome::Fails, "Tried, and fails:"),
        (Outcome::NotTried, "Not tried:"),
        (Outcome::Works, "Tried, and works:"),
    ] {
        for (index, tried) in verdict.tried.iter().filter(|tried| tried.outcome == outcome).enumerate() {
            if index == 0 {
                let gap = if text.is_empty() { "" } else { "\n" };
                writeln!(text, "{gap}{head}").expect("writing to memory does not fail");
            }
            let tenants = match &tried.tenants[..] {
                [] => String::new(),
                [only] => format!(" (tenant {only})"),
                [first, ..] => format!(" ({} tenants, such as {first})", tried.tenants.len()),
            };
            let line = format!("{}: {}{tenants}", tried.what, tried.finding);
            writeln!(text, "  {}", plain(&line)).expect("writing to memory does not fail");
        }
    }
    if verdict.valid {
        let gap = if text.is_empty() { "" } else { "\n" };
        let Verdict { apps, sinks, routes, .. } = verdict;
        return format!("{text}{gap}{config} is valid: {apps} app(s), {sinks} sink(s), {routes} route(s)");
    }
    let counted = verdict.mistakes.iter().filter(|mistake| mistake.consequence != Consequence::Advice);
    match counted.count() {
        0 => text.trim_end().to_owned(),
        count => format!("{text}\n{count} mistake(s)"),
    }
}
