//! One line on standard error that says how far long work has come, where a person looks on.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use jiff::Timestamp;
use muster_model::text::plain;

/// How often the line is written.
const EVERY: Duration = Duration::from_millis(200);

/// The line. It is wiped when this is dropped.
pub struct Progress {
    shown: bool,
    terminal: bool,
    next_at: Timestamp,
}

impl Progress {
    /// A line that is written only where standard error is a terminal.
    pub fn open() -> Self {
        Self { shown: false, terminal: io::stderr().is_terminal(), next_at: Timestamp::MIN }
    }

    /// Shows how far it has come, unless it has just been shown.
    pub fn show(&mut self, now: Timestamp, text: impl FnOnce() -> String) {
        if !self.terminal || now < self.next_at {
            return;
        }
        self.next_at = now.checked_add(EVERY).unwrap_or(now);
        let columns = crossterm::terminal::size().map_or(80, |(columns, _)| usize::from(columns));
        let line: String = plain(&text()).chars().take(columns.saturating_sub(1)).collect();
        self.write(&format!("\r\u{1b}[2K{line}"));
        self.shown = true;
    }

    /// Wipes the line, so that something else can be said.
    pub fn wipe(&mut self) {
        if std::mem::take(&mut self.shown) {
            self.write("\r\u{1b}[2K");
        }
    }

    fn write(&self, text: &str) {
        let mut out = io::stderr().lock();
        // A terminal that is gone shows nothing, and the work goes on.
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.wipe();
    }
}
