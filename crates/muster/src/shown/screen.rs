//! The picture of `muster status`, and the screen on which it moves with `--watch` and in the demo.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};

use crossterm::{cursor, execute, queue, terminal};
use muster_model::Purpose;
use muster_model::text::plain;
use muster_store::CheckOutcome;

use crate::access::checks::CLOCK;
use crate::shown::output::{Output, Tone, ago, duration, number, size};
use crate::shown::passes::percent;
use crate::shown::status::{Snapshot, SourceStatus, Standing, TenantStatus};

/// Tenants, sinks and totals as text. With an `earlier` picture, rates are shown; at most `rows` lines.
pub fn status(output: &Output, now: &Snapshot, earlier: Option<&Snapshot>, rows: usize) -> String {
    let rate = |now_count: u64, then: Option<u64>| {
        let seconds = earlier
            .map(|earlier| now.at.duration_since(earlier.at).as_secs_f64())
            .filter(|seconds| *seconds > 0.0);
        #[expect(clippy::cast_precision_loss, reason = "a rate is shown without decimals")]
        seconds.zip(then).map_or_else(
            || "-".to_owned(),
            |(seconds, then)| format!("{:.0}", now_count.saturating_sub(then) as f64 / seconds),
        )
    };
    let failing = now.tenants.iter().filter(|tenant| worst(tenant) == Tone::Bad).count();
    let mut text = format!(
        "{} tenants, {} failing · {} records accepted, {}/s · journal {} in {} batches · {} dead letters\n\n",
        number(looked_after(now).count() as u64),
        failing,
        number(now.accepted()),
        rate(now.accepted(), earlier.map(Snapshot::accepted)),
        size(now.journal.stored_bytes),
        number(now.journal.batches),
        number(now.journal.dead_letters),
    );
    text.push_str(&sinks(output, now, earlier, &rate));
    text.push_str("\n\n");
    text.push_str(&credentials(output, now));
    let left = rows.saturating_sub(text.lines().count() + 2);
    text.push_str(&tenants(output, now, left));
    text
}

fn sinks(
    output: &Output,
    now: &Snapshot,
    earlier: Option<&Snapshot>,
    rate: &impl Fn(u64, Option<u64>) -> String,
) -> String {
    if now.sinks.is_empty() {
        return "nothing has been owed to a sink yet".to_owned();
    }
    let mut table =
        output.table(&["sink", "health", "delivered", "per s", "owed", "oldest", "refused", "trouble"]);
    for sink in &now.sinks {
        let before = earlier.and_then(|earlier| earlier.sinks.iter().find(|other| other.sink == sink.sink));
        let (health, tone) = match (&sink.last_error, sink.owed) {
            (Some(_), _) => ("failing", Tone::Bad),
            (None, 0) => ("ok", Tone::Good),
            (None, _) => ("working", Tone::Good),
        };
        let oldest = sink
            .oldest_owed_seconds
            .map_or_else(|| "-".to_owned(), |seconds| duration(std::time::Duration::from_secs_f64(seconds)));
        let refused = if sink.rejected > 0 { Tone::Fair } else { Tone::Plain };
        table.add_row([
            output.text(&sink.sink),
            output.cell(health, tone),
            output.text(number(sink.delivered)),
            output.text(rate(sink.delivered, before.map(|before| before.delivered))),
            output.text(number(sink.owed)),
            output.text(oldest),
            output.cell(number(sink.rejected), refused),
            output.text(sink.last_error.as_deref().unwrap_or("-")),
        ]);
    }
    table.to_string()
}

/// The apps whose credential ends soon or has ended. Nothing where all are well.
fn credentials(output: &Output, now: &Snapshot) -> String {
    let wrong = now.apps.iter().flat_map(|app| {
        // What `muster app check` finds about a registration is told there.
        let wrong = app.checks.iter().filter(|check| {
            check.outcome == CheckOutcome::Failing
                || (check.outcome == CheckOutcome::Warning
                    && matches!(check.name.as_str(), "credential" | "rotation"))
        });
        wrong.map(|check| (app.app.as_str(), check))
    });
    let mut table = output.table(&["app", "credential", "to do"]);
    let mut any = false;
    for (app, check) in wrong {
        any = true;
        table.add_row([
            output.text(app),
            output.cell(shortened(&check.detail), check.outcome.into()),
            output.text(shortened(&check.remedy)),
        ]);
    }
    if any { format!("{table}\n\n") } else { String::new() }
}

/// Tenants with trouble come first; what does not fit is counted.
fn tenants(output: &Output, now: &Snapshot, rows: usize) -> String {
    let mut order: Vec<&TenantStatus> = looked_after(now).collect();
    order.sort_by_key(|tenant| match worst(tenant) {
        Tone::Bad => 0,
        Tone::Fair => 1,
        Tone::Good | Tone::Plain => 2,
    });
    let mut table =
        output.table(&["tenant", "state", "source", "health", "lag", "accepted", "owed", "trouble"]);
    let fits = rows.saturating_sub(2).max(3);
    let mut lines = 0;
    let mut shown = 0;
    for tenant in &order {
        if lines + tenant.sources.len().max(1) > fits {
            break;
        }
        for (index, source) in tenant.sources.iter().enumerate() {
            let first = index == 0;
            table.add_row([
                output.text(if first { tenant.slug.as_str() } else { "" }),
                output.cell(if first { tenant.standing.as_str() } else { "" }, tenant.standing.tone()),
                output.text(source.source.as_str()),
                output.cell(source.health, source.tone()),
                output.text(ago(source.last_success_at, now.at)),
                output.text(number(source.accepted)),
                output.text(if first { number(tenant.owed) } else { String::new() }),
                output.text(trouble(tenant, source, first)),
            ]);
            lines += 1;
        }
        if tenant.sources.is_empty() {
            table.add_row([
                output.text(tenant.slug.as_str()),
                output.cell(tenant.standing.as_str(), tenant.standing.tone()),
            ]);
            lines += 1;
        }
        shown += 1;
    }
    let more = order.len() - shown;
    if more > 0 { format!("{table}\n… and {more} more tenants") } else { table.to_string() }
}

/// What is wrong, and beside the first source what to do about it.
fn trouble(tenant: &TenantStatus, source: &SourceStatus, first: bool) -> String {
    match (&tenant.reason, &tenant.remedy, &source.last_error) {
        (Some(reason), Some(remedy), _) if first => {
            // The message of a failure often ends with what to do.
            let known = reason.contains(remedy.as_str()) || remedy.is_empty();
            shortened(&if known { reason.clone() } else { format!("{reason}; {remedy}") })
        }
        (_, _, Some(error)) => shortened(error),
        _ => {
            let clock =
                tenant.checks.iter().find(|check| check.name.starts_with(CLOCK) && check.code != "ok");
            let clock = clock.filter(|_| first).map(|check| shortened(&check.detail));
            let backfill = source.passes.iter().find(|pass| pass.purpose == Purpose::Backfill);
            let backfill = backfill.map(|pass| format!("backfill {}", percent(pass.done)));
            clock.or(backfill).unwrap_or_else(|| "-".to_owned())
        }
    }
}

/// The tenants of customers; those that were offboarded are in `muster tenant list`.
fn looked_after(now: &Snapshot) -> impl Iterator<Item = &TenantStatus> {
    now.tenants.iter().filter(|tenant| tenant.standing != Standing::Offboarded)
}

fn shortened(text: &str) -> String {
    let text = plain(text);
    if text.chars().count() <= 160 { text } else { text.chars().take(159).chain(['…']).collect() }
}

fn worst(tenant: &TenantStatus) -> Tone {
    let mut tones: Vec<Tone> = tenant.sources.iter().map(SourceStatus::tone).collect();
    tones.push(tenant.standing.tone());
    [Tone::Bad, Tone::Fair].into_iter().find(|tone| tones.contains(tone)).unwrap_or(Tone::Good)
}

/// The pictures of the last seconds, so that rates are shown over several polls.
#[derive(Debug, Default)]
pub struct History(VecDeque<Snapshot>);

impl History {
    /// How many pictures are kept.
    const LENGTH: usize = 6;

    /// The oldest picture that is kept.
    pub fn oldest(&self) -> Option<&Snapshot> {
        self.0.front()
    }

    pub fn push(&mut self, snapshot: Snapshot) {
        if self.0.len() == Self::LENGTH {
            self.0.pop_front();
        }
        self.0.push_back(snapshot);
    }
}

/// A screen that is drawn again and again. Where standard output is no terminal, each picture follows the last.
pub struct Screen {
    terminal: bool,
}

impl Screen {
    /// Takes the screen; it is given back when this is dropped.
    pub fn open() -> Self {
        let terminal = io::stdout().is_terminal();
        if terminal {
            execute!(io::stdout(), terminal::EnterAlternateScreen, cursor::Hide).ok();
        }
        Self { terminal }
    }

    /// How many lines fit.
    pub fn rows(&self) -> usize {
        match self.terminal {
            true => terminal::size().map_or(24, |(_, rows)| rows as usize),
            false => usize::MAX,
        }
    }

    /// Shows a picture.
    pub fn show(&mut self, picture: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if !self.terminal {
            return writeln!(out, "{picture}\n");
        }
        queue!(out, terminal::BeginSynchronizedUpdate, cursor::MoveTo(0, 0))?;
        for line in picture.lines().take(self.rows().saturating_sub(1)) {
            write!(out, "{line}")?;
            queue!(out, terminal::Clear(terminal::ClearType::UntilNewLine))?;
            out.write_all(b"\r\n")?;
        }
        queue!(out, terminal::Clear(terminal::ClearType::FromCursorDown), terminal::EndSynchronizedUpdate)?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.terminal {
            execute!(io::stdout(), cursor::Show, terminal::LeaveAlternateScreen).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use muster_store::JournalTotals;

    use super::*;
    use crate::shown::output::{ColourChoice, OutputFormat};
    use crate::shown::status::SinkStatus;

    fn picture(second: i64, delivered: u64) -> Snapshot {
        let sink = SinkStatus {
            sink: "splunk".to_owned(),
            delivered,
            owed: 3,
            oldest_owed_seconds: Some(90.0),
            rejected: 0,
            last_error: None,
        };
        Snapshot {
            at: Timestamp::from_second(second).expect("a time"),
            tenants: Vec::new(),
            sinks: vec![sink],
            journal: JournalTotals::default(),
            apps: Vec::new(),
        }
    }

    #[test]
    fn rates_need_an_earlier_picture() {
        let output = Output::new(OutputFormat::Table, ColourChoice::Never);
        let alone = status(&output, &picture(10, 500), None, usize::MAX);
        assert!(alone.contains("0 records accepted, -/s"), "{alone}");
        let moving = status(&output, &picture(10, 500), Some(&picture(0, 100)), usize::MAX);
        let sink = moving.lines().find(|line| line.contains("splunk")).expect("the sink");
        let cells: Vec<&str> = sink.split_whitespace().collect();
        assert_eq!(cells[..5], ["splunk", "working", "500", "40", "3"], "{moving}");
    }
}
