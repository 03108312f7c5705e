//! What commands print: tables for people, JSON for programs. What came from outside is stripped of control
//! characters before it meets a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use crossterm::style::Stylize as _;
use jiff::Timestamp;
use muster_store::CheckOutcome;
use serde::Serialize;

use crate::exit_code::{Exit, Failed};

pub use muster_model::text::plain;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// A row a line, for programs; of `hunt` only.
    #[value(skip)]
    Ndjson,
    /// For spreadsheets; of `hunt` only.
    #[value(skip)]
    Csv,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ColourChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where a command prints, and how.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// Table or JSON.
    pub format: OutputFormat,
    /// Whether colours are used.
    pub colour: bool,
}

/// How good something is; shown by word and colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Worth a look.
    Fair,
    /// A person must act.
    Bad,
    Plain,
}

impl From<CheckOutcome> for Tone {
    fn from(outcome: CheckOutcome) -> Self {
        match outcome {
            CheckOutcome::Good => Self::Good,
            CheckOutcome::Warning => Self::Fair,
            CheckOutcome::Failing => Self::Bad,
        }
    }
}

impl Output {
    pub fn new(format: OutputFormat, colour: ColourChoice) -> Self {
        let colour = match colour {
            ColourChoice::Always => true,
            ColourChoice::Never => false,
            ColourChoice::Auto => {
                io::stdout().is_terminal() && crate::config::environment("NO_COLOR").is_none()
            }
        };
        Self { format, colour }
    }

    /// Prints a value, as JSON or with `show`; and that is all there was to do.
    pub fn print(&self, value: &impl Serialize, show: impl FnOnce(&Self) -> String) -> Result<Exit, Failed> {
        let text = match self.format {
            OutputFormat::Table => show(self),
            _ => serde_json::to_string_pretty(value).map_err(io::Error::other)?,
        };
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.write_all(b"\n")?;
        Ok(Exit::Success)
    }

    /// Text that stands out, outside of tables.
    pub fn strong(&self, text: &str) -> String {
        if self.colour { text.bold().to_string() } else { text.to_owned() }
    }

    /// Text in the colour of its tone, outside of tables.
    pub fn toned(&self, tone: Tone, text: &str) -> String {
        let colour = match tone {
            Tone::Good => crossterm::style::Color::Green,
            Tone::Fair => crossterm::style::Color::Yellow,
            Tone::Bad => crossterm::style::Color::Red,
            Tone::Plain => return text.to_owned(),
        };
        if self.colour { text.with(colour).to_string() } else { text.to_owned() }
    }

    pub fn table(&self, heads: &[&str]) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        match self.colour {
            true => table.enforce_styling(),
            false => table.force_no_tty(),
        };
        if let Some(width) = width() {
            table.set_width(width);
        }
        let bold = |head: &&str| Cell::new(head.to_uppercase()).add_attribute(Attribute::Dim);
        table.set_header(heads.iter().map(bold).collect::<Vec<_>>());
        table
    }

    /// A cell with text from anywhere, in no colour.
    pub fn text(&self, text: impl AsRef<str>) -> Cell {
        self.cell(text, Tone::Plain)
    }

    /// A cell with text from anywhere.
    pub fn cell(&self, text: impl AsRef<str>, tone: Tone) -> Cell {
        let cell = Cell::new(plain(text.as_ref()));
        match tone {
            Tone::Good => cell.fg(Color::Green),
            Tone::Fair => cell.fg(Color::Yellow),
            Tone::Bad => cell.fg(Color::Red).add_attribute(Attribute::Bold),
            Tone::Plain => cell,
        }
    }
}

/// `COLUMNS` where it is set, as other programs do; else the terminal's width, if it is one.
pub fn width() -> Option<u16> {
    let columns = crate::config::environment("COLUMNS").and_then(|columns| columns.parse().ok());
    let terminal = || io::stdout().is_terminal().then(|| crossterm::terminal::size().ok()).flatten();
    // A terminal that does not know its size says 0.
    columns
        .filter(|columns| *columns > 0)
        .or_else(|| terminal().map(|(columns, _)| columns).filter(|columns| *columns > 0))
}

/// The lines of the terminal, if it is one.
pub fn height() -> Option<u16> {
    io::stdout().is_terminal().then(|| crossterm::terminal::size().ok()).flatten().map(|(_, rows)| rows)
}

/// A number with its thousands apart: `1 234 567`.
pub fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{2009}');
        }
        text.push(digit);
    }
    text
}

/// How long ago, in the two largest units at most: `3m 12s`.
pub fn ago(at: Option<Timestamp>, now: Timestamp) -> String {
    match at {
        None => "never".to_owned(),
        Some(at) => duration(Duration::try_from(now.duration_since(at)).unwrap_or_default()),
    }
}

/// A duration in its two largest units at most.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// A size in a unit that fits: `3.2 MB`.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn size(bytes: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, word)) => format!("{:.1} {word}", bytes as f64 / unit as f64),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_attackers_wrote_moves_no_cursor() {}

    #[test]
    fn numbers_for_people() {
        assert_eq!(number(1_234_567), "1\u{2009}234\u{2009}567");
        assert_eq!(number(12), "12");
        assert_eq!(duration(Duration::from_secs(192)), "3m 12s");
        assert_eq!(size(3_210_000), "3.2 MB");
    }
}
