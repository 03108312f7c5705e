//! The list of tenants: a line for each.

use ratatui::style::Modifier;
use ratatui::text::Line;

use super::facts::Facts;
use super::list::{accepted, lag, list, place, trouble, worst};
use super::state::State;
use super::table::{Column, Layout, widest};
use super::text::{mark, tidy};
use crate::shown::output::{Tone, ago, duration, number};
use crate::shown::state;
use crate::shown::status::{Snapshot, TenantStatus};

/// The columns, in the order of [`By::ALL`] behind its first.
fn columns(list: &[&TenantStatus], picture: &Snapshot, screen: usize) -> Vec<Column> {
    let slug = widest(list.iter().map(|tenant| tenant.slug.as_str()), 12, if screen < 120 { 24 } else { 32 });
    let unrouted = if picture.totals.unrouted.no_route > 0 { 4 } else { u8::MAX };
    vec![
        Column::left("TENANT", slug.min(screen / 3).max(8), 0),
        Column::left("STATE", 10, 1),
        Column::left("SOURCES", 18, 3),
        Column::right("LAST READ", 10, 2),
        Column::right("ACCEPTED", 10, 5),
        Column::right("/MIN", 7, 6),
        Column::right("OWED", 8, 2),
        Column::right("UNROUTED", 9, unrouted),
        Column::left("NAME", widest(list.iter().map(|tenant| tenant.name.as_str()), 12, 28), 8),
        Column::left("APP", 8, 9),
        Column::left("TROUBLE", 20, 7).growing(),
    ]
}

/// The lines of the list with its heads, as many as fit.
pub(super) fn lines(
    state: &State,
    facts: &Facts,
    (screen, rows): (usize, usize),
    colour: bool,
) -> Vec<Line<'static>> {
    let Some(picture) = facts.latest() else { return Vec::new() };
    let list = list(&state.wanted, facts);
    let mut columns = columns(&list, picture, screen);
    if columns[7].rank == u8::MAX {
        // Nothing is without a route: there is nothing to tell.
        columns[7].width = screen + 1;
    }
    let layout = Layout::fit(&columns, screen);
    let sorted = state.wanted.by.place().checked_sub(1).filter(|place| layout.shows(*place));
    let mut lines = vec![layout.heads(sorted.map(|place| (place, state.wanted.is_descending())))];
    let rows = rows.saturating_sub(1);
    let cursor = place(state.selected, &list);
    let first = first_shown(cursor, list.len(), rows);
    let running = facts.is_running();
    for (index, tenant) in list.iter().enumerate().skip(first).take(rows) {
        let place = picture.tenants.iter().position(|other| std::ptr::eq(other, *tenant)).unwrap_or_default();
        let line = layout.line(mark_of(tenant, running), &cells(tenant, place, facts, picture), colour);
        lines.push(if index == cursor { line.patch_style(Modifier::REVERSED) } else { line });
    }
    lines
}

/// The first line that is shown, with the cursor about in the middle of the screen.
fn first_shown(cursor: usize, all: usize, rows: usize) -> usize {
    cursor.saturating_sub(rows / 2).min(all.saturating_sub(rows))
}

/// Which lines of the list are shown: from, to, of how many.
pub(super) fn span(state: &State, list: &[&TenantStatus], rows: usize) -> (usize, usize) {
    let rows = rows.saturating_sub(1);
    let first = first_shown(place(state.selected, list), list.len(), rows);
    (first + 1, (first + rows).min(list.len()))
}

fn mark_of(tenant: &TenantStatus, running: bool) -> (&'static str, Tone) {
    let tone = match tenant.tone(running) {
        Tone::Plain if tenant.is_in_trouble() => Tone::Fair,
        tone => tone,
    };
    (mark(tone), tone)
}

fn cells(tenant: &TenantStatus, place: usize, facts: &Facts, picture: &Snapshot) -> Vec<(String, Tone)> {
    let running = facts.is_running();
    let plain = |text: String| (text, Tone::Plain);
    let standing = match tenant.standing.tone() {
        Tone::Good if !running => Tone::Plain,
        tone => tone,
    };
    let sources = match worst(tenant, running) {
        None => plain("no source".to_owned()),
        Some(word) => {
            let (of, all) =
                (tenant.sources.iter().filter(|source| source.state == word).count(), tenant.sources.len());
            let text = if of == all { format!("{all} {word}") } else { format!("{of}/{all} {word}") };
            (text, state::tone(word, running))
        }
    };
    let read = match lag(tenant, picture.at) {
        None => "-".to_owned(),
        Some((true, _)) if tenant.sources.iter().any(|source| source.last_success_at.is_some()) => {
            "unknown".to_owned()
        }
        Some((true, _)) => ago(None, picture.at),
        Some((false, lag)) => duration(lag),
    };
    let rate =
        facts.rate_of(tenant, place).map_or_else(|| "-".to_owned(), |rate| format!("{:.0}", rate * 60.0));
    let fair = |count: u64| if count > 0 { Tone::Fair } else { Tone::Plain };
    vec![
        plain(tidy(tenant.slug.as_str())),
        (tenant.standing.as_str().to_owned(), standing),
        sources,
        plain(read),
        plain(number(accepted(tenant))),
        plain(rate),
        plain(number(tenant.owed)),
        (number(tenant.unrouted.no_route), fair(tenant.unrouted.no_route)),
        plain(tidy(&tenant.name)),
        plain(tidy(&tenant.app)),
        plain(trouble(tenant).map(|trouble| tidy(&trouble)).unwrap_or_default()),
    ]
}
