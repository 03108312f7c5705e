//! A table whose rows may be followed by a line of their own, as for a message that belongs to the row.

use crossterm::style::{Color, Stylize};

use crate::shown::output::{Output, Tone, plain};

/// What a column may be narrowed to.
const NARROWEST: usize = 6;
/// Between two columns.
const GAP: usize = 2;

/// On which side a column is filled up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

enum Line {
    Cells(Vec<(String, Tone)>),
    Note(String, Tone),
}

pub struct Grid {
    heads: Vec<(&'static str, Align)>,
    lines: Vec<Line>,
}

impl Grid {
    pub fn new(heads: &[(&'static str, Align)]) -> Self {
        Self { heads: heads.to_vec(), lines: Vec::new() }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = (String, Tone)>) {
        self.lines.push(Line::Cells(cells.into_iter().map(|(text, tone)| (plain(&text), tone)).collect()));
    }

    /// A line below the last row.
    pub fn note(&mut self, text: &str, tone: Tone) {
        self.lines.push(Line::Note(format!("└ {}", plain(text)), tone));
    }

    /// How many lines it has, with its head.
    pub fn len(&self) -> usize {
        self.lines.len() + 1
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The table, no wider than `width`.
    pub fn render(&self, output: &Output, width: Option<usize>) -> String {
        let widths = self.widths(width);
        let mut text = Vec::with_capacity(self.len());
        let heads = self.heads.iter().map(|(head, _)| (head.to_uppercase(), Tone::Plain));
        text.push(self.cells(output, &heads.collect::<Vec<_>>(), &widths));
        for line in &self.lines {
            text.push(match line {
                Line::Cells(cells) => self.cells(output, cells, &widths),
                Line::Note(note, tone) => {
                    format!(
                        "   {}",
                        painted(output, &cut(note, width.map(|width| width.saturating_sub(4))), *tone)
                    )
                }
            });
        }
        text.join("\n")
    }

    fn widths(&self, width: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self.heads.iter().map(|(head, _)| head.chars().count()).collect();
        for line in &self.lines {
            if let Line::Cells(cells) = line {
                for (width, (text, _)) in widths.iter_mut().zip(cells) {
                    *width = (*width).max(text.chars().count());
                }
            }
        }
        let Some(most) = width else { return widths };
        let all = |widths: &[usize]| 1 + widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
        // The widest gives way, until all fit or nothing can.
        while all(&widths) > most {
            let left = self
                .heads
                .iter()
                .zip(widths.iter_mut())
                .filter(|(head, width)| head.1 == Align::Left && **width > NARROWEST);
            match left.map(|(_, width)| width).max_by_key(|width| **width) {
                Some(widest) => *widest -= 1,
                None => break,
            }
        }
        widths
    }

    fn cells(&self, output: &Output, cells: &[(String, Tone)], widths: &[usize]) -> String {
        let mut line = String::from(" ");
        for (index, ((text, tone), width)) in cells.iter().zip(widths).enumerate() {
            let text = cut(text, Some(*width));
            let fill = " ".repeat(width.saturating_sub(text.chars().count()));
            let shown = painted(output, &text, *tone);
            let align = self.heads.get(index).map_or(Align::Left, |(_, align)| *align);
            let gap = if index == 0 { "" } else { "  " };
            match align {
                Align::Left => line.push_str(&format!("{gap}{shown}{fill}")),
                Align::Right => line.push_str(&format!("{gap}{fill}{shown}")),
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// Text in the colour of its tone, where there are colours.
pub fn painted(output: &Output, text: &str, tone: Tone) -> String {
    match tone {
        _ if !output.colour => text.to_owned(),
        Tone::Good => text.with(Color::Green).to_string(),
        Tone::Fair => text.with(Color::Yellow).to_string(),
        Tone::Bad => text.with(Color::Red).bold().to_string(),
        Tone::Plain => text.to_owned(),
    }
}

/// Text in at most so many letters; where it was cut, it says so.
pub fn cut(text: &str, width: Option<usize>) -> String {
    match width {
        Some(width) if text.chars().count() > width => {
            text.chars().take(width.saturating_sub(1)).chain((width > 0).then_some('…')).collect()
        }
        _ => text.to_owned(),
    }
}

/// Parts of a line with ` · ` between them, on as many lines as are needed.
pub fn joined(parts: &[String], width: Option<usize>) -> String {
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        match lines.last_mut() {
            Some(line)
                if width.is_none_or(|width| line.chars().count() + 3 + part.chars().count() <= width) =>
            {
                line.push_str(&format!(" · {part}"));
            }
            _ => lines.push(cut(part, width)),
        }
    }
    lines.join("\n")
}

/// Text on as many lines as are needed; those after the first begin with `indent`.
pub fn wrapped(text: &str, width: Option<usize>, indent: &str) -> String {
    let Some(width) = width.map(|width| width.max(20)) else { return text.to_owned() };
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("one at least");
        let fits = line.chars().count() + 1 + word.chars().count() <= width;
        if line.trim().is_empty() && line.len() <= indent.len() {
            line.push_str(word);
        } else if fits {
            line.push_str(&format!(" {word}"));
        } else {
            lines.push(format!("{indent}{word}"));
        }
    }
    lines.iter().map(|line| cut(line, Some(width))).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shown::output::{ColourChoice, OutputFormat};

    #[test]
    fn a_table_fits_where_it_is_shown() {
        let output = Output::new(OutputFormat::Table, ColourChoice::Never);
        let mut grid = Grid::new(&[("tenant", Align::Left), ("owed", Align::Right)]);
        grid.row([("contoso-with-a-long-name".to_owned(), Tone::Plain), ("12".to_owned(), Tone::Fair)]);
        grid.note("no token: \u{1b}[31mthe secret is wrong", Tone::Bad);
        let wide = grid.render(&output, None);
        let expected = " TENANT                    OWED
 contoso-with-a-long-name    12
   └ no token: [31mthe secret is wrong";
        assert_eq!(wide.replace('\u{fffd}', ""), expected);
        let narrow = grid.render(&output, Some(20));
        assert!(narrow.lines().all(|line| line.chars().count() <= 20), "{narrow}");
        assert!(narrow.contains("contoso-with…    12"), "{narrow}");
        let coloured = grid.render(&Output { colour: true, ..output }, Some(20));
        assert!(coloured.contains("\u{1b}["), "{coloured}");
    }

    #[test]
    fn lines_are_broken_between_words() {
        let parts = ["one two".to_owned(), "three".to_owned(), "four".to_owned()];
        assert_eq!(joined(&parts, Some(17)), "one two · three\nfour");
        assert_eq!(joined(&parts, None), "one two · three · four");
        assert_eq!(wrapped("one two three four five six", Some(20), "  "), "one two three four\n  five six");
    }
}
