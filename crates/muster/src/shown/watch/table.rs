//! Columns that fit the screen: where it is narrow, those that matter least are left out.

use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use super::text::{fitted, style, width};
use crate::shown::output::Tone;

/// Between two columns.
const GAP: usize = 2;

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) head: &'static str,
    /// The columns of the screen that it needs.
    pub(super) width: usize,
    /// Whether it takes what is left over.
    pub(super) grows: bool,
    pub(super) to_the_right: bool,
    /// Those with the highest are left out first; 0 never is.
    pub(super) rank: u8,
}

impl Column {
    pub(super) const fn left(head: &'static str, width: usize, rank: u8) -> Self {
        Self { head, width, grows: false, to_the_right: false, rank }
    }

    pub(super) const fn right(head: &'static str, width: usize, rank: u8) -> Self {
        Self { to_the_right: true, ..Self::left(head, width, rank) }
    }

    pub(super) const fn growing(self) -> Self {
        Self { grows: true, ..self }
    }
}

/// Which columns are shown, and how wide.
#[derive(Debug)]
pub(super) struct Layout {
    /// Its place among all columns, and its width.
    shown: Vec<(usize, Column)>,
}

impl Layout {
    /// What fits into so many columns of the screen, behind the mark that each line begins with.
    pub(super) fn fit(columns: &[Column], screen: usize) -> Self {
        let mut shown: Vec<(usize, Column)> = columns.iter().copied().enumerate().collect();
        let room = screen.saturating_sub(GAP);
        let needed = |shown: &[(usize, Column)]| -> usize {
            shown.iter().map(|(_, column)| column.width).sum::<usize>() + GAP * shown.len().saturating_sub(1)
        };
        while needed(&shown) > room {
            let last = shown.iter().map(|(_, column)| column.rank).max().filter(|rank| *rank > 0);
            match last.and_then(|rank| shown.iter().rposition(|(_, column)| column.rank == rank)) {
                Some(place) => drop(shown.remove(place)),
                None => break,
            }
        }
        let growing = shown.iter().filter(|(_, column)| column.grows).count();
        let left = room.saturating_sub(needed(&shown));
        let mut over = if growing == 0 { 0 } else { left % growing };
        for (_, column) in shown.iter_mut().filter(|(_, column)| column.grows) {
            column.width += left / growing + std::mem::take(&mut over);
        }
        Self { shown }
    }

    /// Whether the column at this place is shown.
    pub(super) fn shows(&self, place: usize) -> bool {
        self.shown.iter().any(|(at, _)| *at == place)
    }

    /// The heads; the one that is sorted by has an arrow.
    pub(super) fn heads(&self, sorted: Option<(usize, bool)>) -> Line<'static> {
        let mut spans = vec![Span::raw("  ")];
        for (index, (place, column)) in self.shown.iter().enumerate() {
            let arrow = match sorted {
                Some((by, false)) if by == *place => "▲",
                Some((by, true)) if by == *place => "▼",
                _ => "",
            };
            let head = format!("{}{arrow}", column.head);
            let gap = if index == 0 { "" } else { "  " };
            spans.push(Span::raw(gap));
            spans.push(Span::styled(
                fitted(&head, column.width, column.to_the_right),
                style(Tone::Plain, false).add_modifier(Modifier::DIM),
            ));
        }
        Line::from(spans)
    }

    /// A line of cells, one for each column there is, tidied already.
    pub(super) fn line(
        &self,
        mark: (&'static str, Tone),
        cells: &[(String, Tone)],
        colour: bool,
    ) -> Line<'static> {
        let mut spans = vec![Span::styled(mark.0, style(mark.1, colour)), Span::raw(" ")];
        for (index, (place, column)) in self.shown.iter().enumerate() {
            let (text, tone) =
                cells.get(*place).map_or(("", Tone::Plain), |(text, tone)| (text.as_str(), *tone));
            spans.push(Span::raw(if index == 0 { "" } else { "  " }));
            spans.push(Span::styled(fitted(text, column.width, column.to_the_right), style(tone, colour)));
        }
        Line::from(spans)
    }
}

/// So many columns as the widest of these texts takes, within bounds.
pub(super) fn widest<'a>(texts: impl Iterator<Item = &'a str>, least: usize, most: usize) -> usize {
    texts.map(width).max().unwrap_or(0).clamp(least, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [
        Column::left("NAME", 6, 0).growing(),
        Column::right("OWED", 5, 1),
        Column::left("WHY", 4, 2).growing(),
    ];

    fn heads(screen: usize) -> String {
        Layout::fit(&COLUMNS, screen).heads(Some((1, true))).to_string()
    }

    #[test]
    fn what_matters_least_goes_first() {
        assert_eq!(heads(21), "  NAME    OWED▼  WHY ");
        assert_eq!(heads(20), "  NAME         OWED▼");
        assert_eq!(heads(10), "  NAME    ");
        assert_eq!(heads(1), "  NAME  ", "one is always left");
        assert_eq!(heads(27), "  NAME       OWED▼  WHY    ");
    }
}
