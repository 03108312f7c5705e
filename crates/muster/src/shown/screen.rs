//! The picture of `muster status`, and the screen on which it moves with `--watch` and in the demo.
//!
//! What is wrong comes first: whether anything runs, then trouble by its cause, then sinks and tenants. Colour only
//! repeats what words and marks say.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};

use crossterm::{cursor, execute, queue, terminal};
use muster_microsoft::SourceWord;
use muster_microsoft::sources::AnnouncedEnd;
use muster_model::Purpose;
use muster_store::NoticeReceiver;

use crate::access::checks::CLOCK;
use crate::shown::cause::{self, plural};
use crate::shown::grid::{Align, Grid, cut, joined, painted, wrapped};
use crate::shown::output::{Output, Tone, ago, duration, number, plain, size};
use crate::shown::passes::percent;
use crate::shown::state;
use crate::shown::status::{Ending, Snapshot, SourceStatus, Standing, TenantStatus};

/// A message is cut behind so many letters; `muster tenant show` has all of it.
const MESSAGE_LETTERS: usize = 300;

/// Where a picture is shown.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// Letters to a line; any number where it is no terminal.
    pub width: Option<usize>,
    /// The most lines, with a moving screen.
    pub rows: usize,
    /// The most tenants.
    pub tenants: usize,
}

/// Tenants, sinks and totals as text. With an `earlier` picture, rates are shown.
pub fn status(output: &Output, now: &Snapshot, earlier: Option<&Snapshot>, frame: Frame) -> String {
    let mut text = head(output, now, earlier, frame.width);
    text.push_str(&trouble(output, now, frame.width));
    text.push_str(&put_back(now));
    text.push_str(&ends(now, frame.width));
    text.push_str(&notices(now, frame.width));
    text.push_str("\n\n");
    text.push_str(&sinks(output, now, earlier, frame.width));
    text.push_str("\n\n");
    let left = frame.rows.saturating_sub(text.lines().count() + 2);
    text.push_str(&tenants(output, now, Frame { rows: left, ..frame }));
    text
}

/// How much more it is than in the earlier picture, a second.
fn rate(now: &Snapshot, earlier: Option<&Snapshot>, count: impl Fn(&Snapshot) -> Option<u64>) -> String {
    let told = earlier.and_then(|earlier| {
        let seconds = now.at.duration_since(earlier.at).as_secs_f64();
        let more = count(now)?.saturating_sub(count(earlier)?);
        #[expect(clippy::cast_precision_loss, reason = "a rate is shown without decimals")]
        (seconds > 0.0).then(|| format!("{:.0}", more as f64 / seconds))
    });
    told.unwrap_or_else(|| "-".to_owned())
}

/// That the store was put back from a copy, and what may have come twice for that.
fn put_back(now: &Snapshot) -> String {
    let Some(latest) = now.put_back.first() else { return String::new() };
    let as_of =
        latest.as_of.map_or_else(String::new, |as_of| format!(", as of {}", ago(Some(as_of), now.at)));
    format!(
        "\n! the store was put back {} ago{as_of} ({}): up to {} records may have come twice to each sink",
        ago(Some(latest.at), now.at),
        latest.reason,
        number(latest.owed + latest.again),
    )
}

/// What Microsoft has said the end of, a line each.
fn ends(now: &Snapshot, width: Option<usize>) -> String {
    let line = |ending: &Ending| {
        let Ending { source, date, any_time_since, replacement, announcement, tenants } = *ending;
        let end = AnnouncedEnd { date, any_time_since, replacement, announcement };
        let line = format!("! {}; {}", end.in_words(source), plural(tenants, "tenant"));
        format!("\n{}", wrapped(&line, width, "  "))
    };
    now.ends.iter().map(line).collect()
}

/// Who is told of trouble, and what nobody is told of for a while.
fn notices(now: &Snapshot, width: Option<usize>) -> String {
    let Some(notices) = &now.notices else { return String::new() };
    let mut text = String::new();
    let mut line = |line: &str| text.push_str(&format!("\n{}", wrapped(line, width, "  ")));
    if !notices.receivers.is_empty() {
        let sum = |of: fn(&NoticeReceiver) -> u64| notices.receivers.iter().map(of).sum::<u64>();
        let (waiting, refused) = (sum(|of| of.waiting), sum(|of| of.refused));
        let mut parts = vec![
            format!("{} told", plural(notices.receivers.len() as u64, "receiver")),
            format!("{} open", plural(notices.open.values().sum(), "condition")),
        ];
        if waiting > 0 {
            parts.push(format!("{} waiting", plural(waiting, "message")));
        }
        if refused > 0 {
            parts.push(format!("{} refused for good", number(refused)));
        }
        line(&format!("  notices: {}", parts.join(" · ")));
    }
    if let Some(next) = notices.snoozes.iter().map(|snooze| snooze.until).min() {
        line(&format!(
            "! {} snoozed, the first until {next:.0}: `muster notice list`",
            plural(notices.snoozes.len() as u64, "kind of notice")
        ));
    }
    text
}

/// Whether anything runs, and the totals.
fn head(output: &Output, now: &Snapshot, earlier: Option<&Snapshot>, width: Option<usize>) -> String {
    let running = now.run.is_running();
    let (mark, tone) = if running { ('●', Tone::Good) } else { ('✗', Tone::Bad) };
    let mut words = match running && now.nodes.len() > 1 {
        true => format!("running · {} share the store", plural(now.nodes.len() as u64, "node")),
        false => now.run.in_words(now.at),
    };
    if !running {
        words.push_str(&format!("; {}", now.run.remedy()));
    }
    let run = wrapped(&format!("{mark} {words}"), width, "  ");
    let mut run: Vec<String> = run.lines().map(|line| painted(output, line, tone)).collect();
    run.extend(nodes(output, now, width));
    let mut parts = vec![plural(now.totals.tenants, "tenant")];
    if now.totals.failing > 0 {
        parts.push(format!("{} with trouble", number(now.totals.failing)));
    }
    let states: Vec<String> =
        now.totals.sources.iter().map(|(word, count)| format!("{} {word}", number(*count))).collect();
    if !states.is_empty() {
        let sources = now.totals.sources.values().sum();
        parts.push(format!("{}: {}", plural(sources, "source"), states.join(", ")));
    }
    let per_second = rate(now, earlier, |picture| Some(picture.totals.accepted));
    let per_second = if earlier.is_some() { format!(", {per_second}/s") } else { String::new() };
    parts.push(format!("{} accepted{per_second}", plural(now.totals.accepted, "record")));
    if now.totals.unrouted.no_route > 0 {
        parts.push(format!("{} without a route", number(now.totals.unrouted.no_route)));
    }
    let of = now.room.as_ref().map_or_else(String::new, |room| format!(" of {}", size(room.max_bytes)));
    parts.push(format!("journal {}{of} in {}", size(now.journal.stored_bytes), batches(now.journal.batches)));
    if now.journal.dead_letters > 0 {
        parts.push(plural(now.journal.dead_letters, "dead letter"));
    }
    format!("{}\n{}", run.join("\n"), joined(&parts, width))
}

/// Each of the nodes, where there are several or one is odd.
fn nodes(output: &Output, now: &Snapshot, width: Option<usize>) -> Vec<String> {
    if now.nodes.len() < 2 && now.nodes.iter().all(|node| node.odd().is_none()) {
        return Vec::new();
    }
    let mut lines = Vec::new();
    for node in &now.nodes {
        let odd = node.odd();
        let (mark, tone) = if odd.is_some() { ('✗', Tone::Bad) } else { ('●', Tone::Plain) };
        let up = node.started_at.map_or_else(String::new, |at| format!(" · up {}", ago(Some(at), now.at)));
        let version =
            node.version.as_ref().map_or_else(String::new, |version| format!(" · version {version}"));
        let sinks = match node.sinks.is_empty() {
            true => "delivers to no sink".to_owned(),
            false => format!("delivers to {}", node.sinks.join(", ")),
        };
        let odd = odd.map_or_else(String::new, |odd| format!(" · {odd}"));
        let tenants = plural(node.tenants, "tenant");
        let line = format!("  {mark} {}{up}{version} · {tenants} · {sinks}{odd}", node.place());
        lines.extend(wrapped(&plain(&line), width, "    ").lines().map(|line| painted(output, line, tone)));
    }
    lines
}

fn batches(count: u64) -> String {
    if count == 1 { "1 batch".to_owned() } else { format!("{} batches", number(count)) }
}

/// Trouble, a cause a line, and below it what to do. That nothing runs is said above.
fn trouble(output: &Output, now: &Snapshot, width: Option<usize>) -> String {
    let mut text = String::new();
    for told in now.causes.iter().filter(|told| told.about != "run") {
        let line = format!("{} {}", told.level.mark(), cause::line(told, now.at));
        for line in wrapped(&cut(&line, Some(MESSAGE_LETTERS)), width, "  ").lines() {
            text.push_str(&format!("\n{}", painted(output, line, told.level.tone())));
        }
        if !told.remedy.is_empty() {
            text.push_str(&format!("\n{}", wrapped(&format!("  → {}", told.remedy), width, "    ")));
        }
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

fn sinks(output: &Output, now: &Snapshot, earlier: Option<&Snapshot>, width: Option<usize>) -> String {
    if now.sinks.is_empty() {
        return "no sink: nothing that is read goes anywhere; add one to the settings".to_owned();
    }
    let mut heads = vec![("sink", Align::Left), ("state", Align::Left), ("delivered", Align::Right)];
    if earlier.is_some() {
        heads.push(("per s", Align::Right));
    }
    heads.extend([("last", Align::Right), ("owed", Align::Right), ("oldest", Align::Right)]);
    heads.push(("refused", Align::Right));
    let mut grid = Grid::new(&heads);
    for sink in &now.sinks {
        let oldest =
            sink.oldest_owed_seconds.map_or_else(|| "-".to_owned(), |_| duration(sink.oldest_owed()));
        let state = match sink.shadow {
            true => format!("{}, shadow", sink.state.in_words()),
            false => sink.state.in_words().to_owned(),
        };
        let mut row = vec![
            (sink.sink.clone(), Tone::Plain),
            (state, sink.tone()),
            (number(sink.delivered), Tone::Plain),
        ];
        if earlier.is_some() {
            let delivered = |picture: &Snapshot| {
                picture.sinks.iter().find(|other| other.sink == sink.sink).map(|other| other.delivered)
            };
            row.push((rate(now, earlier, delivered), Tone::Plain));
        }
        let refused = if sink.dead_letters > 0 { Tone::Fair } else { Tone::Plain };
        row.push((ago(sink.last_success_at, now.at), Tone::Plain));
        row.extend([
            (number(sink.owed), Tone::Plain),
            (oldest, Tone::Plain),
            (number(sink.rejected), refused),
        ]);
        grid.row(row);
        if let Some(error) = &sink.last_error {
            let tone = if sink.shadow { Tone::Plain } else { Tone::Bad };
            grid.note(&cut(error, Some(MESSAGE_LETTERS)), tone);
        }
    }
    grid.render(output, width)
}

/// Tenants with trouble come first; what does not fit is counted.
fn tenants(output: &Output, now: &Snapshot, frame: Frame) -> String {
    let running = now.run.is_running();
    let mut order: Vec<&TenantStatus> = looked_after(now).collect();
    order.sort_by_key(|tenant| match tenant.tone(running) {
        Tone::Bad => 0,
        Tone::Fair => 1,
        Tone::Good | Tone::Plain => 2,
    });
    if order.is_empty() && now.totals.tenants > 0 {
        return "no tenant with trouble".to_owned();
    }
    let mut heads = vec![("tenant", Align::Left), ("state", Align::Left), ("source", Align::Left)];
    heads.extend([("reads", Align::Left), ("last read", Align::Right), ("accepted", Align::Right)]);
    heads.push(("owed", Align::Right));
    if now.totals.unrouted.no_route > 0 {
        heads.push(("unrouted", Align::Right));
    }
    let mut grid = Grid::new(&heads);
    let mut shown = 0;
    for tenant in order.iter().take(frame.tenants) {
        let fits = grid.len() + 2 * tenant.sources.len().max(1) <= frame.rows.max(6);
        if !fits {
            break;
        }
        add_tenant(&mut grid, tenant, now);
        shown += 1;
    }
    let mut text = if grid.is_empty() { String::new() } else { grid.render(output, frame.width) };
    let more = order.len() - shown;
    if more > 0 {
        let gap = if text.is_empty() { "" } else { "\n" };
        text.push_str(&format!(
            "{gap}… and {} more; `muster status --all` shows every one",
            plural(more as u64, "tenant")
        ));
    }
    text
}

fn add_tenant(grid: &mut Grid, tenant: &TenantStatus, now: &Snapshot) {
    let running = now.run.is_running();
    let unrouted = |count: u64| {
        let tone = if count > 0 { Tone::Fair } else { Tone::Plain };
        (now.totals.unrouted.no_route > 0).then(|| (number(count), tone))
    };
    let plain_cell = |text: String| (text, Tone::Plain);
    let names = |first: bool| {
        let (slug, standing) =
            if first { (tenant.slug.as_str(), tenant.standing.as_str()) } else { ("", "") };
        [plain_cell(slug.to_owned()), (standing.to_owned(), tenant.standing.tone())]
    };
    for (index, source) in tenant.sources.iter().enumerate() {
        let first = index == 0;
        let mut row = names(first).to_vec();
        row.push(plain_cell(source.source.to_string()));
        row.push((source.state.to_string(), state::tone(source.state, running)));
        row.push(plain_cell(ago(source.last_success_at, now.at)));
        row.push(plain_cell(number(source.accepted)));
        row.push(plain_cell(if first { number(tenant.owed) } else { String::new() }));
        row.extend(unrouted(source.unrouted.no_route));
        grid.row(row);
        if let Some((message, tone)) = message(tenant, source, first, running) {
            grid.note(&cut(&message, Some(MESSAGE_LETTERS)), tone);
        }
    }
    if tenant.sources.is_empty() {
        grid.row(names(true));
    }
}

/// What is wrong; beside the first source, also what is worth a word of the tenant.
fn message(
    tenant: &TenantStatus,
    source: &SourceStatus,
    first: bool,
    running: bool,
) -> Option<(String, Tone)> {
    if source.state == SourceWord::Paused {
        return None;
    }
    if let Some(error) = &source.last_error {
        let tone = match state::tone(source.state, running) {
            Tone::Bad => Tone::Bad,
            _ => Tone::Fair,
        };
        return Some((error.clone(), tone));
    }
    if first && let (Standing::Failing, Some(reason)) = (tenant.standing, &tenant.reason) {
        return Some((reason.clone(), Tone::Bad));
    }
    let clock = tenant.checks.iter().find(|check| check.name.starts_with(CLOCK) && check.code != "ok");
    let clock = clock.filter(|_| first).map(|check| (check.detail.clone(), Tone::Fair));
    let backfill = source.passes.iter().find(|pass| pass.purpose == Purpose::Backfill);
    clock.or_else(|| backfill.map(|pass| (format!("backfill {}", percent(pass.done)), Tone::Plain)))
}

/// The tenants of customers; those that were offboarded are in `muster tenant list`.
fn looked_after(now: &Snapshot) -> impl Iterator<Item = &TenantStatus> {
    now.tenants.iter().filter(|tenant| tenant.standing != Standing::Offboarded)
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
    use crate::shown::run::Run;
    use crate::shown::sinks::SinkWord;
    use crate::shown::status::{SinkStatus, Totals};

    const ALL: Frame = Frame { width: None, rows: usize::MAX, tenants: usize::MAX };

    fn picture(second: i64, delivered: u64) -> Snapshot {
        let at = Timestamp::from_second(second).expect("a time");
        let sink = SinkStatus {
            sink: "splunk".to_owned(),
            state: SinkWord::Delivering,
            shadow: false,
            delivered,
            last_success_at: None,
            owed: 3,
            owed_since: None,
            oldest_owed_seconds: Some(90.0),
            waiting_tenants: 1,
            failing_tenants: 0,
            rejected: 0,
            dead_letters: 0,
            given_up: 0,
            given_up_at: None,
            last_error: None,
        };
        Snapshot {
            at,
            run: Run::of(&[], false, at),
            nodes: Vec::new(),
            causes: Vec::new(),
            totals: Totals::default(),
            tenants: Vec::new(),
            sinks: vec![sink],
            journal: JournalTotals::default(),
            room: None,
            apps: Vec::new(),
            put_back: Vec::new(),
            ends: Vec::new(),
            notices: None,
        }
    }

    #[test]
    fn rates_need_an_earlier_picture() {
        let output = Output::new(OutputFormat::Table, ColourChoice::Never);
        let alone = status(&output, &picture(10, 500), None, ALL);
        assert!(alone.contains("0 records accepted ·") && !alone.contains("PER S"), "{alone}");
        let moving = status(&output, &picture(10, 500), Some(&picture(0, 100)), ALL);
        let sink = moving.lines().find(|line| line.contains("splunk")).expect("the sink");
        let cells: Vec<&str> = sink.split_whitespace().collect();
        assert_eq!(cells, ["splunk", "delivering", "500", "40", "never", "3", "1m", "30s", "0"], "{moving}");
    }

    #[test]
    fn that_nothing_runs_comes_first_and_is_not_only_a_colour() {
        let output = Output::new(OutputFormat::Table, ColourChoice::Never);
        let text = status(&output, &picture(10, 0), None, ALL);
        assert!(text.starts_with("✗ NOTHING RUNS: it never ran on this store; start `muster run`"), "{text}");
        let red = status(&Output { colour: true, ..output }, &picture(10, 0), None, ALL);
        assert!(red.starts_with("\u{1b}["), "{red}");
    }
}
