//! The whole screen: what is wrong above, the view below it, and the keys at its foot.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

use super::facts::Facts;
use super::state::{State, View};
use super::text::{cut, folded, style, tidy, width};
use super::{list, tenant, tenants, views};
use crate::shown::cause::{self, plural};
use crate::shown::output::{Tone, duration, number, size};
use crate::shown::status::{Snapshot, TenantStatus};

/// On less, nothing can be read.
const LEAST: (u16, u16) = (24, 8);

/// Draws it, and notes in `state` how much of the view fits.
pub fn draw(frame: &mut Frame<'_>, state: &mut State, facts: &Facts, colour: bool) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        frame.render_widget(Paragraph::new(format!("{}×{} at least", LEAST.0, LEAST.1)), area);
        return;
    }
    let (columns, rows) = (usize::from(area.width), usize::from(area.height));
    let mut head = head(state, facts, (columns, rows), colour);
    // Whatever is to be said above, half of the screen is the view's.
    head.truncate(rows / 2);
    let foot = foot(state, facts, columns, colour);
    let left = rows - head.len() - foot.len();
    let (title, body) = body(state, facts, (columns, left.saturating_sub(1)), colour);
    let mut lines = head;
    lines.push(Line::styled(title, Style::new().add_modifier(Modifier::BOLD)));
    let body_end = lines.len() + left - 1;
    lines.extend(body.into_iter().take(left - 1));
    lines.resize(body_end, Line::default());
    lines.extend(foot);
    frame.render_widget(Paragraph::new(lines), area);
    if state.help {
        help(frame, area);
    }
}

/// What is to be known first: whether anything runs, the totals, what is wrong, and which views there are.
fn head(state: &State, facts: &Facts, (columns, rows): (usize, usize), colour: bool) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let mut say = |text: &str, tone: Tone, lines_max: usize| {
        let folded = folded(text, columns, "  ", lines_max);
        lines.extend(folded.into_iter().map(|line| Line::styled(line, style(tone, colour))));
    };
    if let Some(title) = &facts.title {
        say(&tidy(title), Tone::Plain, 2);
    }
    for warning in facts.warnings() {
        say(&format!("✗ {}", tidy(&warning)), Tone::Bad, 3);
    }
    let Some(picture) = facts.latest() else {
        if facts.failure.is_none() {
            say("… reading the store", Tone::Plain, 1);
        }
        return lines;
    };
    let (run, tone) = run(picture, facts);
    say(&run, tone, 3);
    say(&totals(picture, facts), Tone::Plain, 2);
    let most = if rows < 30 { 2 } else { 6 };
    let causes: Vec<_> = picture.causes.iter().filter(|cause| cause.about != "run").collect();
    if state.view != View::Trouble && state.open.is_none() {
        let shown = if causes.len() > most { most - 1 } else { causes.len() };
        for told in causes.iter().take(shown) {
            let text = format!("{} {}", told.level.mark(), tidy(&cause::line(told, picture.at)));
            say(&cut(&text, columns), told.level.tone(), 1);
        }
        if causes.len() > shown {
            let tone = causes[shown..]
                .iter()
                .map(|cause| cause.level)
                .min()
                .map_or(Tone::Fair, |level| level.tone());
            say(&format!("{} more causes of trouble: press 2", causes.len() - shown), tone, 1);
        }
    }
    lines.push(tabs(state, picture, causes.len(), columns));
    lines
}

fn run(picture: &Snapshot, facts: &Facts) -> (String, Tone) {
    if !facts.is_fresh() {
        return (format!("· it was: {}", tidy(&picture.run.in_words(picture.at))), Tone::Plain);
    }
    let running = picture.run.is_running();
    let words = match running && picture.nodes.len() > 1 {
        true => format!("running · {} share the store", plural(picture.nodes.len() as u64, "node")),
        false => tidy(&picture.run.in_words(picture.at)),
    };
    match running {
        true => (format!("● {words}"), Tone::Good),
        false => (format!("✗ {words}; {}", picture.run.remedy()), Tone::Bad),
    }
}

fn totals(picture: &Snapshot, facts: &Facts) -> String {
    let totals = &picture.totals;
    let mut parts = vec![picture.at.strftime("%H:%M:%SZ").to_string(), plural(totals.tenants, "tenant")];
    if totals.failing > 0 {
        parts.push(format!("{} with trouble", number(totals.failing)));
    }
    let rate = facts.rate(|picture| Some(picture.totals.accepted));
    let rate = rate.map_or_else(String::new, |rate| format!(", {rate:.0}/s"));
    parts.push(format!("{} accepted{rate}", plural(totals.accepted, "record")));
    parts.push(format!("{} owed", number(totals.owed)));
    if totals.unrouted.no_route > 0 {
        parts.push(format!("{} without a route", number(totals.unrouted.no_route)));
    }
    let of = picture.room.as_ref().map_or_else(String::new, |room| format!(" of {}", size(room.max_bytes)));
    parts.push(format!("journal {}{of}", size(picture.journal.stored_bytes)));
    if picture.journal.dead_letters > 0 {
        parts.push(plural(picture.journal.dead_letters, "dead letter"));
    }
    parts.join(" · ")
}

/// The views with how much is in each; the one that is shown is turned round.
fn tabs(state: &State, picture: &Snapshot, causes: usize, columns: usize) -> Line<'static> {
    let mut spans = Vec::new();
    let mut taken = 0;
    for (index, view) in View::ALL.into_iter().enumerate() {
        let count = match view {
            View::Tenants => format!(" {}", number(picture.totals.tenants)),
            View::Trouble => format!(" {causes}"),
            View::Sinks => format!(" {}", picture.sinks.len()),
            View::Nodes => format!(" {}", picture.nodes.len().max(usize::from(picture.run.is_running()))),
            View::Live => String::new(),
        };
        let text = format!(" {} {}{count} ", index + 1, view.name());
        taken += width(&text) + 1;
        if taken > columns {
            break;
        }
        let chosen = if view == state.view { Modifier::REVERSED } else { Modifier::empty() };
        spans.push(Span::styled(text, Style::new().add_modifier(chosen)));
        spans.push(Span::raw(" "));
    }
    Line::from(spans)
}

/// The view: a line that says what is shown, and its lines.
fn body(
    state: &mut State,
    facts: &Facts,
    (columns, rows): (usize, usize),
    colour: bool,
) -> (String, Vec<Line<'static>>) {
    state.lines = rows;
    let Some(picture) = facts.latest() else { return (String::new(), Vec::new()) };
    if let Some(open) = state.open {
        let found = picture.tenants.iter().find(|tenant| tenant.id == open);
        let Some(tenant) = found else {
            return ("this tenant was removed; Esc goes back".to_owned(), Vec::new());
        };
        let lines = tenant::lines(tenant, facts, columns, colour);
        let shown = scrolled(state, lines, 0, rows);
        let name = if tenant.name.is_empty() { String::new() } else { format!(" · {}", tidy(&tenant.name)) };
        let title = format!("tenant {}{name}{}", tidy(tenant.slug.as_str()), more(state));
        return (cut(&title, columns), shown);
    }
    match state.view {
        View::Tenants => {
            state.lines = rows.saturating_sub(1);
            let list = list::list(&state.wanted, facts);
            let lines = tenants::lines(state, facts, (columns, rows), colour);
            (cut(&title_of_list(state, picture, &list, rows), columns), lines)
        }
        View::Trouble => {
            let lines = views::trouble(facts, columns, colour);
            let shown = scrolled(state, lines, 0, rows);
            (format!("trouble, by its cause{}", more(state)), shown)
        }
        View::Sinks => {
            let lines = views::sinks(facts, columns, colour);
            let shown = scrolled(state, lines, 1, rows);
            (format!("sinks{}", more(state)), shown)
        }
        View::Nodes => {
            let lines = views::nodes(facts, columns, colour);
            let shown = scrolled(state, lines, usize::from(!picture.nodes.is_empty()), rows);
            (format!("nodes: the processes that share the store{}", more(state)), shown)
        }
        View::Live => {
            let lines = views::live(state, facts, columns, colour);
            let shown = scrolled(state, lines, 1, rows);
            (cut(&title_of_tap(state, facts), columns), shown)
        }
    }
}

/// As many of these lines as fit behind what is scrolled away; the first ones stay.
fn scrolled(
    state: &mut State,
    mut lines: Vec<Line<'static>>,
    heads: usize,
    rows: usize,
) -> Vec<Line<'static>> {
    let rest = lines.split_off(heads.min(lines.len()));
    state.lines = rows.saturating_sub(heads);
    state.lines_in_all = rest.len();
    state.scrolled = state.scrolled.min(rest.len().saturating_sub(state.lines));
    lines.extend(rest.into_iter().skip(state.scrolled).take(state.lines));
    lines
}

/// Where in the view one is, unless all of it fits.
fn more(state: &State) -> String {
    if state.lines_in_all <= state.lines {
        return String::new();
    }
    let to = (state.scrolled + state.lines).min(state.lines_in_all);
    format!(" · lines {}–{to} of {}", state.scrolled + 1, state.lines_in_all)
}

fn title_of_list(state: &State, picture: &Snapshot, list: &[&TenantStatus], rows: usize) -> String {
    let all = number(picture.totals.tenants);
    let mut parts = Vec::new();
    if state.typing || !state.wanted.filter.is_empty() {
        let cursor = if state.typing { "▏" } else { "" };
        parts.push(format!("/{}{cursor}", tidy(&state.wanted.filter)));
    }
    if state.wanted.only_trouble {
        parts.push("only with trouble".to_owned());
    }
    if list.is_empty() {
        parts.insert(
            0,
            if picture.totals.tenants == 0 {
                "no tenant yet; `muster tenant add` adds one".to_owned()
            } else {
                format!("none of {all} tenants; Esc shows all")
            },
        );
    } else {
        let (from, to) = tenants::span(state, list, rows);
        let of = match list.len() as u64 == picture.totals.tenants {
            true => all,
            false => format!("{}, of {all} in all", number(list.len() as u64)),
        };
        parts.insert(0, format!("tenants {from}–{to} of {of}"));
        let turned = if state.wanted.reversed { ", turned round" } else { "" };
        parts.push(format!("by {}{turned}", state.wanted.by.name()));
    }
    parts.join(" · ")
}

fn title_of_tap(state: &State, facts: &Facts) -> String {
    let tap = &facts.tap;
    let mut parts = vec![format!("records as they pass · {} since it was opened", number(tap.count))];
    if tap.skipped > 0 {
        parts.push(format!("{} of them not shown, too fast", number(tap.skipped)));
    }
    if tap.unreadable > 0 {
        let why = tap.why_unreadable.as_deref().map_or_else(String::new, |why| format!(": {}", tidy(why)));
        parts.push(format!("{} cannot be opened{why}", plural(tap.unreadable, "batch")));
    }
    if state.held {
        parts.push("HELD, Space goes on".to_owned());
    }
    if state.masked {
        parts.push("titles hidden".to_owned());
    }
    format!("{}{}", parts.join(" · "), more(state))
}

/// What is wrong with the tenant under the cursor, and the keys.
fn foot(state: &State, facts: &Facts, columns: usize, colour: bool) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if state.view == View::Tenants && state.open.is_none() {
        let list = list::list(&state.wanted, facts);
        let told = list.get(list::place(state.selected, &list)).and_then(|tenant| {
            let trouble = list::trouble(tenant)?;
            Some((format!("└ {}: {}", tidy(tenant.slug.as_str()), tidy(&trouble)), tenant.tone(false)))
        });
        let (text, tone) = told.unwrap_or((String::new(), Tone::Plain));
        lines.push(Line::styled(cut(&text, columns), style(tone, colour)));
    }
    let keys = match (state.view, state.open) {
        _ if state.typing => "type what to look for · Enter keep it · Esc drop it",
        (_, Some(_)) => "Esc back · n p next, previous · ↑↓ PgUp PgDn scroll · ? help · q quit",
        (View::Tenants, _) => "s S sort · r turn · / find · ! trouble · ⏎ open · 1-5 views · ? help · q quit",
        (View::Live, _) => "Space hold · m hide titles · ↑↓ scroll · 1-5 views · ? help · q quit",
        _ => "↑↓ PgUp PgDn scroll · 1-5 views · ? help · q quit",
    };
    let every = match facts.every.as_secs() {
        0 => String::new(),
        _ => format!("every {}", duration(facts.every)),
    };
    let gap = columns.saturating_sub(width(keys) + width(&every));
    let text = if gap > 1 { format!("{keys}{}{every}", " ".repeat(gap)) } else { cut(keys, columns) };
    lines.push(Line::styled(text, Style::new().add_modifier(Modifier::DIM)));
    lines
}

/// What keys do, over everything else.
fn help(frame: &mut Frame<'_>, area: Rect) {
    let (columns, rows) = (area.width.saturating_sub(4).min(90), area.height.saturating_sub(2));
    let lines = views::help(usize::from(columns).saturating_sub(2));
    let rows = rows.min(u16::try_from(lines.len() + 3).unwrap_or(rows));
    let place = Rect {
        x: area.x + (area.width - columns) / 2,
        y: area.y + (area.height - rows) / 2,
        width: columns,
        height: rows,
    };
    frame.render_widget(Clear, place);
    let block = Block::bordered().title(" keys — any key closes this ");
    frame.render_widget(Paragraph::new(lines).block(block), place);
}
