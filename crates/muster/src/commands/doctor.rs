//! `muster doctor`: what is wrong with this installation, and what to do.

use std::sync::Arc;

use muster_model::{Clock, Span, SystemClock};
use serde::Serialize;

use super::{Call, Except};
use crate::doctor::{self, Examination, Finding, Level, Sample};
use crate::exit_code::{Exit, Failed};
use crate::shown::grid::{painted, wrapped};
use crate::shown::output::{self, Output, Tone, plain};
use crate::shown::progress::Progress;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Ask for tokens and permissions of these tenants only: slugs, ids, domains, or tag:NAME; several by commas.
    #[arg(long, short, value_name = "TENANT", value_delimiter = ',', conflicts_with = "all")]
    tenant: Vec<String>,
    /// Ask for those of all active tenants, not of ten.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    except: Except,
    /// How long everything that waits for others may take together.
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    within: Span,
}

#[derive(Serialize)]
struct Diagnosis {
    /// Whether nothing is a problem.
    healthy: bool,
    findings: Vec<Finding>,
}

pub(crate) async fn run(args: &Args, call: &Call) -> Result<Exit, Failed> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let sample = match (args.all, &args.tenant[..]) {
        (true, _) => Sample::All,
        (false, []) => Sample::Some,
        (false, names) => Sample::Named(names),
    };
    let except = args.except.names();
    let examination = Examination { config: &call.config, sample, except, within: args.within.0 };
    let examining = Box::pin(doctor::examine(&examination, &clock));
    let within = args.within;
    let told = |_| format!("looking: settings, store, hosts, tokens, sinks; for about {within} at most");
    let findings = Progress::of(call.output).during(clock.as_ref(), told, examining).await;
    let exit = doctor::exit(&findings);
    let diagnosis = Diagnosis { healthy: exit == Exit::Success, findings };
    call.output.print(&diagnosis, |output| shown(&diagnosis, output))?;
    Ok(exit)
}

fn shown(diagnosis: &Diagnosis, output: &Output) -> String {
    let width = output::width().map(usize::from);
    let mut lines = Vec::new();
    for finding in &diagnosis.findings {
        let (mark, tone) = match finding.level {
            Level::Ok => ("ok", Tone::Good),
            Level::Warning => ("warning", Tone::Fair),
            Level::Problem => ("PROBLEM", Tone::Bad),
        };
        let mark = painted(output, &format!("{mark:<8}"), tone);
        let head = format!("{:<9} {}", finding.part.as_str(), plain(&finding.about));
        lines.push(format!("{mark}{head}"));
        lines.push(below(&plain(&finding.found), width));
        if !finding.cure.is_empty() {
            lines.push(below(&format!("→ {}", plain(&finding.cure)), width));
        }
    }
    let count = |level| diagnosis.findings.iter().filter(|finding| finding.level == level).count();
    let (problems, warnings) = (count(Level::Problem), count(Level::Warning));
    lines.push(format!("\n{problems} problem(s), {warnings} warning(s), {} ok", count(Level::Ok)));
    lines.join("\n")
}

/// A text below its head, further in.
fn below(text: &str, width: Option<usize>) -> String {
    const INDENT: &str = "        ";
    let width = width.map(|width| width.saturating_sub(INDENT.len()));
    format!("{INDENT}{}", wrapped(text, width, INDENT))
}
