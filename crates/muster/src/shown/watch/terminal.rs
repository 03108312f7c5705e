//! The terminal: taken for a while, and given back as it was, however the program ends.

use std::io::{self, IsTerminal, Stdout};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{cursor, execute};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use super::draw;
use super::facts::Facts;
use super::state::State;

/// Whether the terminal is taken: a panic gives it back before it says anything.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Whether there is a terminal that can be taken: to read keys from, and to draw on.
pub fn is_there() -> bool {
    io::stdout().is_terminal() && io::stdin().is_terminal()
}

/// A terminal that was taken. It is given back when this is dropped.
pub struct Taken {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Taken {
    pub fn take() -> io::Result<Self> {
        give_back_at_a_panic();
        let taken = Self { terminal: Terminal::new(CrosstermBackend::new(io::stdout()))? };
        TAKEN.store(true, Ordering::SeqCst);
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)?;
        Ok(taken)
    }

    /// Draws what is known; only what has changed is written.
    pub fn draw(&mut self, state: &mut State, facts: &Facts, colour: bool) -> io::Result<()> {
        execute!(io::stdout(), crossterm::terminal::BeginSynchronizedUpdate)?;
        self.terminal.draw(|frame| draw::draw(frame, state, facts, colour))?;
        execute!(io::stdout(), crossterm::terminal::EndSynchronizedUpdate)
    }

    /// The next drawing writes everything.
    pub fn forget(&mut self) -> io::Result<()> {
        self.terminal.clear()
    }

    /// Gives the terminal back, stops as a job of the shell, and takes it again when that goes on.
    pub fn suspend(&mut self) -> io::Result<()> {
        give_back();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TSTP)?;
        TAKEN.store(true, Ordering::SeqCst);
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)?;
        self.forget()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        give_back();
    }
}

/// A terminal that is gone cannot be given back, and that is nobody's trouble.
fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        execute!(io::stdout(), LeaveAlternateScreen, cursor::Show).ok();
        disable_raw_mode().ok();
    }
}

fn give_back_at_a_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let told = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back();
            told(panic);
        }));
    });
}
