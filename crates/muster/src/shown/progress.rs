//! One line on standard error that says how far long work has come, where a person looks on.

use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::pin::Pin;
use std::time::Duration;

use jiff::Timestamp;
use muster_model::Clock;
use muster_model::text::plain;

use crate::shown::output::{Output, OutputFormat, duration, number};

/// How often the line is written.
const EVERY: Duration = Duration::from_millis(200);
/// What is done sooner needs no line.
const SOON: Duration = Duration::from_secs(2);
/// Before so much time has passed, nothing is foretold.
const FORETOLD_AFTER: Duration = Duration::from_secs(3);

/// The line. It is wiped when this is dropped.
pub struct Progress {
    shown: bool,
    terminal: bool,
    next_at: Timestamp,
    /// When it began, and with how much done.
    began: Option<(Timestamp, u64)>,
}

impl Progress {
    /// A line that is written only where standard error is a terminal.
    pub fn open() -> Self {
        Self { shown: false, terminal: io::stderr().is_terminal(), next_at: Timestamp::MIN, began: None }
    }

    /// Shows how much of how much is done, how fast that goes, and how long the rest will take.
    pub fn count(&mut self, now: Timestamp, (done, of): (u64, u64), what: &str) {
        let (began, before) = *self.began.get_or_insert((now, done));
        let passed = Duration::try_from(now.duration_since(began)).unwrap_or_default();
        self.show(now, || {
            format!(
                "{} of {} {what}{}",
                number(done),
                number(of),
                pace(passed, done.saturating_sub(before), of.saturating_sub(done))
            )
        });
    }

    /// The next count is of something else: its rate is told anew.
    pub fn begin(&mut self) {
        self.began = None;
    }

    /// Waits for `work`, and meanwhile shows what it is and for how long it has been at it, once that takes a while.
    pub async fn during<T>(
        &mut self,
        clock: &dyn Clock,
        what: impl Fn(Duration) -> String,
        mut work: Pin<Box<dyn Future<Output = T> + '_>>,
    ) -> T {
        let began = clock.now();
        loop {
            let tick = tokio::time::sleep(EVERY);
            tokio::select! {
                done = &mut work => {
                    self.wipe();
                    return done;
                }
                () = tick => {
                    let now = clock.now();
                    let passed = Duration::try_from(now.duration_since(began)).unwrap_or_default();
                    if passed >= SOON {
                        self.show(now, || format!("{} · {}", what(passed), duration(passed)));
                    }
                }
            }
        }
    }

    /// The same, and none where programs read what is printed.
    pub fn of(output: Output) -> Self {
        let mut progress = Self::open();
        progress.terminal &= output.format == OutputFormat::Table;
        progress
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

/// ` · 12/s · 1m 05s left`, once enough time has passed to say so.
pub fn pace(passed: Duration, done: u64, left: u64) -> String {
    if passed < FORETOLD_AFTER || done == 0 {
        return String::new();
    }
    #[expect(clippy::cast_precision_loss, reason = "two digits of a rate are shown")]
    let (done, left) = (done as f64, left as f64);
    let rate = done / passed.as_secs_f64();
    let told = if rate >= 10.0 { format!("{rate:.0}/s") } else { format!("{rate:.1}/s") };
    // Longer than a century is nothing that one waits for.
    let left = Duration::try_from_secs_f64((left / rate).min(3.2e9)).unwrap_or_default();
    format!(" · {told} · {} left", duration(left))
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.wipe();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_told_when_there_is_one() {
        assert_eq!(pace(Duration::from_secs(2), 100, 100), "", "too soon");
        assert_eq!(pace(Duration::from_secs(10), 0, 100), "", "nothing was done yet");
        assert_eq!(pace(Duration::from_secs(10), 200, 1_000), " · 20/s · 50s left");
        assert_eq!(pace(Duration::from_secs(100), 50, 50), " · 0.5/s · 1m 40s left");
        assert!(pace(Duration::from_secs(100), 1, u64::MAX).contains("left"));
    }
}
