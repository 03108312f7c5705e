//! A tenant's page: everything that is known of it, and what to do about what is wrong.

use muster_microsoft::Fault;
use muster_store::CheckOutcome;
use ratatui::style::Modifier;
use ratatui::text::Line;

use super::facts::Facts;
use super::table::{Column, Layout};
use super::text::{folded, mark, style, tidy};
use crate::shown::output::{Tone, ago, duration, number};
use crate::shown::passes::{PassStatus, percent};
use crate::shown::state::{self, since};
use crate::shown::status::{SourceStatus, Standing, TenantStatus};

/// More lines than this of one message are not shown.
const MESSAGE_LINES: usize = 6;

/// The page, from its top.
pub(super) fn lines(tenant: &TenantStatus, facts: &Facts, screen: usize, colour: bool) -> Vec<Line<'static>> {
    let mut page = Page { lines: Vec::new(), screen, colour };
    let Some(now) = facts.latest().map(|picture| picture.at) else { return Vec::new() };
    let running = facts.is_running();
    page.text(
        &format!("{} · app {} · added {:.0}", tenant.id, tidy(&tenant.app), tenant.added_at),
        Tone::Plain,
    );
    let standing = format!("{} {}", mark(tenant.standing.tone()), tenant.standing.as_str());
    page.text(&standing, tenant.standing.tone());
    if tenant.standing == Standing::Failing {
        page.trouble(tenant.reason.as_deref(), tenant.remedy.as_deref(), Tone::Bad);
    }
    page.head("SOURCES");
    if tenant.sources.is_empty() {
        page.text("it is read from no source: `muster tenant edit` gives it some", Tone::Fair);
    }
    sources(&mut page, tenant, facts, running);
    page.head("OWED TO SINKS");
    if tenant.owed_to.is_empty() {
        page.text("nothing", Tone::Plain);
    }
    for owed in &tenant.owed_to {
        let oldest =
            owed.since.map_or_else(String::new, |at| format!(", the oldest for {}", ago(Some(at), now)));
        let next = owed.next_at.filter(|at| *at > now && owed.last_error.is_some());
        let next =
            next.map_or_else(String::new, |at| format!("; tried again in {}", duration(since(now, at))));
        let tone = if owed.last_error.is_some() { Tone::Bad } else { Tone::Plain };
        let text =
            format!("{} {}: {} records{oldest}{next}", mark(tone), tidy(&owed.sink), number(owed.records));
        page.text(&text, tone);
        page.trouble(owed.last_error.as_deref(), None, Tone::Bad);
    }
    if tenant.unrouted.no_route > 0 {
        let text = format!(
            "! {} records had no route: `muster replay` brings them",
            number(tenant.unrouted.no_route)
        );
        page.text(&text, Tone::Fair);
    }
    page.head("CONSENT, TOKEN AND ACCESS");
    if tenant.checks.is_empty() {
        page.text("nothing was checked yet: `muster tenant check` does", Tone::Plain);
    }
    for check in &tenant.checks {
        let tone = match Tone::from(check.outcome) {
            Tone::Good if !running => Tone::Plain,
            tone => tone,
        };
        let word = if check.outcome == CheckOutcome::Good { "good" } else { check.code.as_str() };
        let when = ago(Some(check.checked_at), now);
        let ends = check.expires_at.map_or_else(String::new, |at| match at > now {
            true => format!("; ends in {}", duration(since(now, at))),
            false => "; has ended".to_owned(),
        });
        page.text(&format!("{} {}: {word}, {when} ago{ends}", mark(tone), tidy(&check.name)), tone);
        page.trouble(Some(&check.detail), Some(&check.remedy), tone);
    }
    page.lines
}

fn sources(page: &mut Page, tenant: &TenantStatus, facts: &Facts, running: bool) {
    const COLUMNS: [Column; 8] = [
        Column::left("SOURCE", 22, 0).growing(),
        Column::left("READS", 12, 1),
        Column::right("LAST READ", 10, 2),
        Column::right("SEEN UP TO", 21, 5),
        Column::right("LAST NEW", 10, 4),
        Column::right("ACCEPTED", 10, 3),
        Column::right("UNROUTED", 9, 7),
        Column::right("NEXT", 8, 6),
    ];
    let Some(now) = facts.latest().map(|picture| picture.at) else { return };
    let layout = Layout::fit(&COLUMNS, page.screen.min(130));
    page.lines.push(layout.heads(None));
    for source in &tenant.sources {
        let tone = state::tone(source.state, running);
        let read = match (source.last_success_at, source.lag_seconds) {
            (Some(_), None) => "unknown".to_owned(),
            (at, _) => ago(at, now),
        };
        let next = match source.next_at > now {
            true => duration(since(now, source.next_at)),
            false => "now".to_owned(),
        };
        let plain = |text: String| (text, Tone::Plain);
        let cells = [
            plain(tidy(&source.source.to_string())),
            (source.state.to_string(), tone),
            plain(read),
            plain(format!("{:.0}", source.seen_up_to)),
            plain(ago(source.last_new_at, now)),
            plain(number(source.accepted)),
            plain(number(source.unrouted.no_route)),
            plain(if tenant.is_worked_on() { next } else { "-".to_owned() }),
        ];
        page.lines.push(layout.line((mark(tone), tone), &cells, page.colour));
        let remedy = source.fault.map(Fault::meaning).map(|meaning| meaning.remedy);
        page.trouble(source.last_error.as_deref(), remedy, if tone == Tone::Bad { tone } else { Tone::Fair });
        let missing = source.missing.as_ref().filter(|missing| source.last_error.as_ref() != Some(missing));
        page.trouble(missing.map(String::as_str), None, Tone::Fair);
        for pass in source.passes.iter().filter(|pass| pass.is_under_way() || pass.last_error.is_some()) {
            page.text(&format!("  └ {}", told(source, pass)), Tone::Plain);
            page.trouble(pass.last_error.as_deref(), None, Tone::Fair);
        }
    }
}

/// How far a sweep or a backfill has come.
fn told(source: &SourceStatus, pass: &PassStatus) -> String {
    let left = pass.seconds_left.map_or_else(String::new, |seconds| {
        format!(", {} left", duration(std::time::Duration::from_secs(seconds)))
    });
    let found = if pass.found > 0 { format!(", found {}", number(pass.found)) } else { String::new() };
    format!("{} of {}: {}{found}{left}", pass.purpose.as_str(), source.source, percent(pass.done))
}

struct Page {
    lines: Vec<Line<'static>>,
    screen: usize,
    colour: bool,
}

impl Page {
    fn head(&mut self, text: &'static str) {
        self.lines.push(Line::default());
        self.lines.push(Line::styled(text, style(Tone::Plain, self.colour).add_modifier(Modifier::DIM)));
    }

    fn text(&mut self, text: &str, tone: Tone) {
        for line in folded(&tidy(text), self.screen, "  ", MESSAGE_LINES) {
            self.lines.push(Line::styled(line, style(tone, self.colour)));
        }
    }

    /// What is wrong, and below it what to do.
    fn trouble(&mut self, what: Option<&str>, remedy: Option<&str>, tone: Tone) {
        if let Some(what) = what.filter(|what| !what.is_empty()) {
            for line in folded(&format!("  └ {}", tidy(what)), self.screen, "    ", MESSAGE_LINES) {
                self.lines.push(Line::styled(line, style(tone, self.colour)));
            }
        }
        if let Some(remedy) = remedy.filter(|remedy| !remedy.is_empty()) {
            for line in folded(&format!("    → {}", tidy(remedy)), self.screen, "      ", MESSAGE_LINES) {
                self.lines.push(Line::raw(line));
            }
        }
    }
}
