//! The other views: trouble by its cause, sinks, nodes, records as they pass, and the help.

use std::collections::HashMap;

use muster_model::{Severity, TenantId};
use ratatui::text::Line;

use super::facts::Facts;
use super::state::State;
use super::table::{Column, Layout, widest};
use super::text::{folded, mark, style, tidy};
use crate::shown::cause;
use crate::shown::output::{Tone, ago, duration, number};
use crate::shown::status::{SinkStatus, Snapshot};

/// More lines than this of one message are not shown.
const MESSAGE_LINES: usize = 6;

/// Stands for a title that is hidden.
pub(super) const MASKED: &str = "[masked]";

/// Trouble, each cause with all that is known of it.
pub(super) fn trouble(facts: &Facts, screen: usize, colour: bool) -> Vec<Line<'static>> {
    let Some(picture) = facts.latest() else { return Vec::new() };
    let mut lines = Vec::new();
    for told in &picture.causes {
        let text = format!("{} {}", told.level.mark(), tidy(&cause::line(told, picture.at)));
        for line in folded(&text, screen, "  ", MESSAGE_LINES) {
            lines.push(Line::styled(line, style(told.level.tone(), colour)));
        }
        if !told.remedy.is_empty() {
            let remedy = format!("  → {}", tidy(&told.remedy));
            lines.extend(folded(&remedy, screen, "    ", MESSAGE_LINES).into_iter().map(Line::raw));
        }
        lines.push(Line::default());
    }
    if lines.is_empty() {
        let (text, tone) = match facts.is_running() {
            true => ("● no trouble is known", Tone::Good),
            false => ("· no trouble was known when it was last looked at", Tone::Plain),
        };
        lines.push(Line::styled(text, style(tone, colour)));
    }
    lines
}

/// A sink's tone, which is good only while it is known.
fn tone_of(sink: &SinkStatus, running: bool) -> Tone {
    match sink.tone() {
        Tone::Good if !running => Tone::Plain,
        tone => tone,
    }
}

/// The sinks, each with why it does not work.
pub(super) fn sinks(facts: &Facts, screen: usize, colour: bool) -> Vec<Line<'static>> {
    let Some(picture) = facts.latest() else { return Vec::new() };
    if picture.sinks.is_empty() {
        let text = "no sink: nothing that is read goes anywhere; add one to the settings";
        return vec![Line::styled(text, style(Tone::Fair, colour))];
    }
    let name = widest(picture.sinks.iter().map(|sink| sink.sink.as_str()), 8, screen / 3);
    let columns = [
        Column::left("SINK", name, 0).growing(),
        Column::left("STATE", 18, 1),
        Column::right("OWED", 9, 2),
        Column::right("OLDEST", 8, 2),
        Column::right("PER S", 7, 4),
        Column::right("LAST", 8, 3),
        Column::right("DELIVERED", 12, 6),
        Column::right("TENANTS WAIT", 13, 8),
        Column::right("REFUSED", 9, 5),
        Column::right("DEAD LETTERS", 13, 7),
        Column::right("GIVEN UP", 9, 9),
    ];
    let layout = Layout::fit(&columns, screen.min(150));
    let mut lines = vec![layout.heads(None)];
    let running = facts.is_running();
    for sink in &picture.sinks {
        let tone = tone_of(sink, running);
        let state = if sink.shadow {
            format!("{}, shadow", sink.state.in_words())
        } else {
            sink.state.in_words().to_owned()
        };
        let oldest =
            sink.oldest_owed_seconds.map_or_else(|| "-".to_owned(), |_| duration(sink.oldest_owed()));
        let delivered = |picture: &Snapshot| {
            picture.sinks.iter().find(|other| other.sink == sink.sink).map(|other| other.delivered)
        };
        let rate = facts.rate(delivered).map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}"));
        let plain = |text: String| (text, Tone::Plain);
        let fair = |count: u64| (number(count), if count > 0 { Tone::Fair } else { Tone::Plain });
        let cells = [
            plain(tidy(&sink.sink)),
            (state, tone),
            plain(number(sink.owed)),
            plain(oldest),
            plain(rate),
            plain(ago(sink.last_success_at, picture.at)),
            plain(number(sink.delivered)),
            plain(number(sink.waiting_tenants)),
            fair(sink.rejected),
            fair(sink.dead_letters),
            fair(sink.given_up),
        ];
        lines.push(layout.line((mark(tone), tone), &cells, colour));
        if let Some(error) = &sink.last_error {
            let tone = if sink.shadow { Tone::Plain } else { Tone::Bad };
            for line in folded(&format!("  └ {}", tidy(error)), screen, "    ", MESSAGE_LINES) {
                lines.push(Line::styled(line, style(tone, colour)));
            }
        }
    }
    lines
}

/// The processes that share the store; where one has it to itself, that one.
pub(super) fn nodes(facts: &Facts, screen: usize, colour: bool) -> Vec<Line<'static>> {
    let Some(picture) = facts.latest() else { return Vec::new() };
    let mut lines = Vec::new();
    if picture.nodes.is_empty() {
        let running = facts.is_running();
        let (mark, tone) = if running { ("●", Tone::Good) } else { ("✗", Tone::Bad) };
        let text = format!("{mark} {}", tidy(&picture.run.in_words(picture.at)));
        lines.extend(
            folded(&text, screen, "  ", MESSAGE_LINES)
                .into_iter()
                .map(|line| Line::styled(line, style(tone, colour))),
        );
        for part in picture.parts() {
            let text = format!("  └ {}: {}", tidy(&part.part), tidy(&part.reason));
            let folded = folded(&text, screen, "    ", MESSAGE_LINES);
            lines.extend(folded.into_iter().map(|line| Line::styled(line, style(Tone::Bad, colour))));
        }
        lines.push(Line::default());
        let about =
            "the store is one `muster run`'s alone; several nodes share a PostgreSQL database: [store] url";
        lines.extend(folded(about, screen, "", MESSAGE_LINES).into_iter().map(Line::raw));
        return lines;
    }
    let columns = [
        Column::left("HOST", 16, 0).growing(),
        Column::right("PID", 8, 3),
        Column::left("VERSION", 9, 6),
        Column::right("UP", 8, 2),
        Column::right("HEARD OF", 9, 1),
        Column::right("TENANTS", 8, 4),
        Column::left("DELIVERS TO", 20, 5).growing(),
    ];
    let layout = Layout::fit(&columns, screen);
    lines.push(layout.heads(None));
    for node in &picture.nodes {
        let odd = node.odd();
        let tone = match (&odd, node.troubles.is_empty()) {
            (Some(_), _) => Tone::Bad,
            (None, false) => Tone::Fair,
            (None, true) if facts.is_running() => Tone::Good,
            (None, true) => Tone::Plain,
        };
        let plain = |text: String| (text, Tone::Plain);
        let unknown = || "?".to_owned();
        let cells = [
            plain(tidy(node.host.as_deref().unwrap_or(&node.instance))),
            plain(node.pid.map_or_else(unknown, |pid| pid.to_string())),
            plain(node.version.as_deref().map_or_else(unknown, tidy)),
            plain(node.started_at.map_or_else(unknown, |at| ago(Some(at), picture.at))),
            (format!("{}s ago", node.silent_for_seconds), tone),
            plain(number(node.tenants)),
            plain(tidy(&node.sinks.join(", "))),
        ];
        lines.push(layout.line((mark(tone), tone), &cells, colour));
        let parts = node.troubles.iter().map(|part| format!("{}: {}", part.part, part.reason));
        for what in odd.into_iter().chain(parts) {
            for line in folded(&format!("  └ {}", tidy(&what)), screen, "    ", MESSAGE_LINES) {
                lines.push(Line::styled(line, style(Tone::Bad, colour)));
            }
        }
    }
    lines
}

/// Records as they pass, the newest first.
pub(super) fn live(state: &State, facts: &Facts, screen: usize, colour: bool) -> Vec<Line<'static>> {
    let Some(picture) = facts.latest() else { return Vec::new() };
    let slugs: HashMap<TenantId, &str> =
        picture.tenants.iter().map(|tenant| (tenant.id, tenant.slug.as_str())).collect();
    let shown = facts.tap.passed.iter().take(state.scrolled + state.lines.max(1) + screen);
    let slug = widest(
        shown.clone().filter_map(|record| slugs.get(&record.tenant).copied()),
        8,
        if screen < 100 { 14 } else { screen / 5 },
    );
    let columns = [
        Column::left("TIME", 8, 0),
        Column::left("TENANT", slug, 1),
        Column::left("SOURCE", 15, 5),
        Column::left("SEVERITY", 8, 2),
        Column::left("CHANGE", 8, 4),
        Column::left("TITLE", 26, 0).growing(),
        Column::left("TO SINKS", if screen < 120 { 14 } else { 30 }, 3),
    ];
    let layout = Layout::fit(&columns, screen);
    let mut lines = vec![layout.heads(None)];
    for record in &facts.tap.passed {
        let tone = match record.severity {
            Severity::High => Tone::Bad,
            Severity::Medium => Tone::Fair,
            _ => Tone::Plain,
        };
        let plain = |text: String| (text, Tone::Plain);
        let tenant = slugs.get(&record.tenant).map_or_else(|| record.tenant.to_string(), |slug| tidy(slug));
        let (sinks, sinks_tone) = match record.sinks.is_empty() {
            true => ("no sink".to_owned(), Tone::Fair),
            false => (tidy(&record.sinks.join(", ")), Tone::Plain),
        };
        let title = if state.masked { MASKED.to_owned() } else { tidy(&record.title) };
        let cells = [
            plain(record.accepted_at.strftime("%H:%M:%S").to_string()),
            plain(tenant),
            plain(tidy(&record.source.to_string())),
            (
                if record.severity == Severity::Informational {
                    "info".to_owned()
                } else {
                    record.severity.to_string()
                },
                tone,
            ),
            plain(record.change.to_owned()),
            plain(title),
            (sinks, sinks_tone),
        ];
        let mark = match record.severity {
            Severity::High => "▲",
            Severity::Medium => "△",
            _ => " ",
        };
        lines.push(layout.line((mark, tone), &cells, colour));
    }
    if facts.tap.passed.is_empty() {
        lines.push(Line::raw("  nothing has passed yet"));
    }
    lines
}

/// What keys do, and what marks mean.
pub(super) fn help(screen: usize) -> Vec<Line<'static>> {
    const KEYS: [(&str, &str); 17] = [
        ("1 … 5, Tab", "tenants, trouble, sinks, nodes, records as they pass"),
        ("↑ ↓, j k", "one line up or down"),
        ("PgUp PgDn", "one page up or down"),
        ("Home End, g G", "to the first, to the last"),
        ("Enter, →", "open the tenant's page; there n and p go to others"),
        ("Esc, ←", "back; in the list: show all tenants again"),
        ("s S, r", "sort by the next column, the one before; turn round"),
        ("/", "find: slug, name, app, id, state, source or error; Enter keeps what was found, Esc drops it"),
        ("!", "only tenants with trouble"),
        ("m", "hide the titles of records, and show them again"),
        ("Space", "hold the records that pass, and let them go on"),
        ("u, Ctrl-L", "read the store at once; draw the screen anew"),
        ("Ctrl-Z", "stop as a job of the shell; `fg` goes on"),
        ("q, Ctrl-C", "end; Muster itself goes on"),
        ("✗ ! ● ·", "a person must act; worth a look; surely good; neither"),
        ("▲ △", "a record of high severity, of medium severity"),
        ("", "docs/states.md tells the exact rule of each word"),
    ];
    let mut lines = Vec::new();
    for (keys, does) in KEYS {
        let indent = " ".repeat(17);
        lines.extend(folded(&format!("{keys:<15}  {does}"), screen, &indent, 4).into_iter().map(Line::raw));
    }
    lines
}
