//! `muster status --check`: one line and an exit code, as Nagios, Icinga and their like call programs.

use std::fmt::Write as _;
use std::str::FromStr;

use muster_model::Span;

use crate::exit_code::Exit;
use crate::shown::cause::Level;
use crate::shown::output::{duration, plain};
use crate::shown::state::since;
use crate::shown::status::{Snapshot, Standing};

/// From where on something is a warning, and critical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Threshold<T> {
    warning: Option<T>,
    critical: Option<T>,
}

/// `10m,1h`: a warning from the first on, critical from the second on. Either may be left out: `10m`, `,1h`.
impl<T: FromStr<Err: std::fmt::Display>> FromStr for Threshold<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (warning, critical) = text.split_once(',').unwrap_or((text, ""));
        let read = |text: &str| -> Result<Option<T>, String> {
            let text = text.trim();
            if text.is_empty() {
                Ok(None)
            } else {
                text.parse().map(Some).map_err(|error: T::Err| error.to_string())
            }
        };
        Ok(Self { warning: read(warning)?, critical: read(critical)? })
    }
}

impl<T: PartialOrd> Threshold<T> {
    fn reached(&self, value: &T) -> Option<Level> {
        let past = |limit: &Option<T>| limit.as_ref().is_some_and(|limit| value >= limit);
        match (past(&self.critical), past(&self.warning)) {
            (true, _) => Some(Level::Critical),
            (_, true) => Some(Level::Warning),
            _ => None,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// For monitoring systems: one line, and exit code 0 (OK), 1 (WARNING), 2 (CRITICAL) or 3 (UNKNOWN).
    #[arg(long, conflicts_with_all = ["watch", "failing", "all"])]
    pub(super) check: bool,
    /// Where `muster run` does not run, tell the receivers of notices so: for a timer beside the service. Does nothing while it
    /// runs, which tells by itself.
    #[arg(long, requires = "check")]
    pub(super) notify: bool,
    /// Time since a source was last read to its end: WARNING,CRITICAL.
    #[arg(long, value_name = "W,C", default_value = "15m,1h", requires = "check")]
    lag: Threshold<Span>,
    /// Age of the oldest record that a sink is owed.
    #[arg(long, value_name = "W,C", default_value = "10m,1h", requires = "check")]
    owed_age: Threshold<Span>,
    /// Records that sinks refused for good and that still lie as dead letters.
    #[arg(long, value_name = "W,C", default_value = "1,1000", requires = "check")]
    rejected: Threshold<u64>,
    /// Records that reached no sink because there was no route.
    #[arg(long, value_name = "W,C", default_value = "1,1000", requires = "check")]
    unrouted: Threshold<u64>,
    /// Tenants in which a person has to act.
    #[arg(long, value_name = "W,C", default_value = "1,", requires = "check")]
    failing_tenants: Threshold<u64>,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Ok,
    Warning,
    Critical,
    Unknown,
}

impl Verdict {
    fn in_words(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// Monitoring systems have codes of their own.
    pub(crate) fn exit(self) -> Exit {
        match self {
            Self::Ok => Exit::Success,
            Self::Warning => Exit::Failure,
            Self::Critical => Exit::Usage,
            Self::Unknown => Exit::Settings,
        }
    }
}

/// The line for a check that could not be made.
pub(crate) fn unknown(why: &str) -> String {
    format!("MUSTER {} - {}", Verdict::Unknown.in_words(), one_line(why))
}

fn one_line(text: &str) -> String {
    plain(&text.replace('\n', "; ")).replace('|', "/")
}

/// The line and the verdict.
pub(crate) fn check(args: &CheckArgs, now: &Snapshot) -> (String, Verdict) {
    let mut found: Vec<(Level, String)> = Vec::new();
    if !now.run.is_running() {
        found.push((Level::Critical, now.run.in_words(now.at)));
    }
    let running = now.run.is_running();
    // What has a threshold of its own is judged by that; all other causes by how bad they are.
    let own = |code: &str, about: &str| {
        about == "run" || matches!(code, "late" | "no_route" | "refused" | "behind" | "stopped")
    };
    for cause in now.causes.iter().filter(|cause| !own(&cause.code, &cause.about)) {
        let level = match cause.about.as_str() {
            "tenants" => {
                args.failing_tenants.reached(&cause.tenants).filter(|_| cause.level == Level::Critical)
            }
            _ => Some(cause.level),
        };
        found.extend(
            level
                .or((cause.level == Level::Warning).then_some(Level::Warning))
                .map(|level| (level, cause.what.clone())),
        );
    }
    let mut longest = std::time::Duration::ZERO;
    let mut slow: Vec<(Level, std::time::Duration, String)> = Vec::new();
    for tenant in now
        .tenants
        .iter()
        .filter(|tenant| tenant.standing == Standing::Active || tenant.standing == Standing::Failing)
    {
        for source in &tenant.sources {
            // A time that lies ahead says nothing: it counts as never read.
            let lag = match source.lag_seconds {
                Some(_) => source.last_success_at.map_or(std::time::Duration::ZERO, |at| since(at, now.at)),
                None => since(tenant.added_at, now.at),
            };
            longest = longest.max(lag);
            if let Some(level) = args.lag.reached(&Span(lag)) {
                slow.push((level, lag, format!("{} of {}", source.source, tenant.slug)));
            }
        }
    }
    slow.sort_by_key(|(level, lag, _)| (*level, std::cmp::Reverse(*lag)));
    if let Some((level, lag, which)) = slow.first() {
        let more = if slow.len() > 1 { format!(" and {} more", slow.len() - 1) } else { String::new() };
        found.push((*level, format!("{which}{more} not read for {}", duration(*lag))));
    }
    let mut oldest = std::time::Duration::ZERO;
    for sink in now.sinks.iter().filter(|sink| sink.owed > 0 && !sink.shadow) {
        oldest = oldest.max(sink.oldest_owed());
        if let Some(level) = args.owed_age.reached(&Span(sink.oldest_owed())) {
            found.push((
                level,
                format!("sink `{}` is owed records for {}", sink.sink, duration(sink.oldest_owed())),
            ));
        }
    }
    let rejected: u64 = now.sinks.iter().filter(|sink| !sink.shadow).map(|sink| sink.dead_letters).sum();
    if let Some(level) = args.rejected.reached(&rejected) {
        found.push((level, format!("{rejected} records were refused for good")));
    }
    let unrouted = now.totals.unrouted.no_route;
    if let Some(level) = args.unrouted.reached(&unrouted) {
        found.push((level, format!("{unrouted} records had no route")));
    }
    found.sort_by_key(|(level, _)| *level);
    let verdict = match found.first() {
        Some((Level::Critical, _)) => Verdict::Critical,
        Some((Level::Warning, _)) => Verdict::Warning,
        None => Verdict::Ok,
    };
    let said = match found.is_empty() {
        true => format!("{} tenants are read, nothing waits for longer than it may", now.totals.tenants),
        false => found.iter().map(|(_, what)| one_line(what)).collect::<Vec<_>>().join("; "),
    };
    let mut line = format!("MUSTER {} - {said} |", verdict.in_words());
    let counts = [
        ("running", u64::from(running), ""),
        ("tenants", now.totals.tenants, ""),
        ("with_trouble", now.totals.failing, ""),
        ("lag", longest.as_secs(), "s"),
        ("owed", now.totals.owed, ""),
        ("owed_age", oldest.as_secs(), "s"),
        ("rejected", rejected, ""),
        ("unrouted", unrouted, ""),
        ("accepted", now.totals.accepted, "c"),
    ];
    for (name, value, unit) in counts {
        write!(line, " {name}={value}{unit}").expect("a String takes everything");
    }
    (line, verdict)
}
