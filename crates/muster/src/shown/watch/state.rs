//! What a person looks at, and what a key does: a pure function from one to the next.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use muster_model::TenantId;

use super::facts::Facts;
use super::list::{self, By, Wanted};

/// A filter is no longer than this.
const FILTER_LETTERS: usize = 60;

/// What stands on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    #[default]
    Tenants,
    Trouble,
    Sinks,
    Nodes,
    Live,
}

impl View {
    pub const ALL: [Self; 5] = [Self::Tenants, Self::Trouble, Self::Sinks, Self::Nodes, Self::Live];

    pub fn name(self) -> &'static str {
        match self {
            Self::Tenants => "tenants",
            Self::Trouble => "trouble",
            Self::Sinks => "sinks",
            Self::Nodes => "nodes",
            Self::Live => "live",
        }
    }

    fn place(self) -> usize {
        Self::ALL.iter().position(|view| *view == self).unwrap_or_default()
    }
}

/// What a person looks at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    pub view: View,
    /// The tenant whose page is open.
    pub open: Option<TenantId>,
    pub help: bool,
    pub wanted: Wanted,
    /// Whether keys go into the filter.
    pub typing: bool,
    /// The tenant that the cursor is on; the first where it was never moved, or is there no more.
    pub selected: Option<TenantId>,
    /// How far the other views, and a tenant's page, are scrolled.
    pub scrolled: usize,
    /// Whether titles of records are hidden.
    pub masked: bool,
    /// Whether the records that pass stand still.
    pub held: bool,
    /// How many lines of a list fit, and of how many the view consists that is scrolled: known when it was drawn.
    pub lines: usize,
    pub lines_in_all: usize,
}

/// What is to be done after a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Stay,
    /// Draw all of it anew, as another program may have written on it.
    Redraw,
    /// Read at once: something is looked at that was not read before.
    Read,
    /// Stop as a shell's job.
    Suspend,
    Quit,
}

/// What a key does.
pub fn press(state: &State, key: KeyEvent, facts: &Facts) -> (State, Step) {
    let mut next = state.clone();
    let step = next.press(key, facts);
    (next, step)
}

impl State {
    fn press(&mut self, key: KeyEvent, facts: &Facts) -> Step {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Step::Quit,
                KeyCode::Char('l') => Step::Redraw,
                KeyCode::Char('z') => Step::Suspend,
                KeyCode::Char('u') if self.typing => {
                    self.wanted.filter.clear();
                    Step::Stay
                }
                _ => Step::Stay,
            };
        }
        if self.typing {
            self.write(key.code);
            return Step::Stay;
        }
        if self.help {
            self.help = false;
            return if key.code == KeyCode::Char('q') { Step::Quit } else { Step::Stay };
        }
        match key.code {
            KeyCode::Char('q') => return Step::Quit,
            KeyCode::Char('?' | 'h') => self.help = true,
            KeyCode::Char(digit @ '1'..='5') => return self.go(View::ALL[digit as usize - '1' as usize]),
            KeyCode::Tab => return self.go(View::ALL[(self.view.place() + 1) % View::ALL.len()]),
            KeyCode::BackTab => {
                return self.go(View::ALL[(self.view.place() + View::ALL.len() - 1) % View::ALL.len()]);
            }
            KeyCode::Char('u') => return Step::Read,
            KeyCode::Char('m') => self.masked = !self.masked,
            KeyCode::Esc | KeyCode::Backspace => self.back(),
            KeyCode::Left => self.open = None,
            _ if self.view == View::Tenants && self.open.is_none() => self.in_list(key.code, facts),
            KeyCode::Char('n' | 'p') if self.open.is_some() => {
                let by = if key.code == KeyCode::Char('n') { 1 } else { -1 };
                self.move_by(by, facts);
                (self.open, self.scrolled) = (self.selected, 0);
            }
            KeyCode::Char(' ') if self.view == View::Live => self.held = !self.held,
            other => self.scroll(other),
        }
        Step::Stay
    }

    /// Opens a view. Where it is another, it begins at its top.
    fn go(&mut self, view: View) -> Step {
        if self.view != view || self.open.is_some() {
            (self.view, self.open, self.scrolled) = (view, None, 0);
        }
        if view == View::Live { Step::Read } else { Step::Stay }
    }

    /// Closes what lies on top: a tenant's page, then what hides tenants.
    fn back(&mut self) {
        if self.open.take().is_some() {
            self.scrolled = 0;
        } else if self.view != View::Tenants {
            (self.view, self.scrolled) = (View::Tenants, 0);
        } else {
            (self.wanted.filter, self.wanted.only_trouble) = (String::new(), false);
        }
    }

    fn write(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter | KeyCode::Down | KeyCode::Up => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.wanted.filter.clear();
            }
            KeyCode::Backspace => {
                self.wanted.filter.pop();
            }
            KeyCode::Char(letter) if self.wanted.filter.chars().count() < FILTER_LETTERS => {
                self.wanted.filter.push(letter)
            }
            _ => {}
        }
    }

    fn in_list(&mut self, code: KeyCode, facts: &Facts) {
        let page = isize::try_from(self.lines.max(2) - 1).unwrap_or(isize::MAX);
        match code {
            KeyCode::Down | KeyCode::Char('j') => self.move_by(1, facts),
            KeyCode::Up | KeyCode::Char('k') => self.move_by(-1, facts),
            KeyCode::PageDown => self.move_by(page, facts),
            KeyCode::PageUp => self.move_by(-page, facts),
            KeyCode::Home | KeyCode::Char('g') => self.selected = None,
            KeyCode::End | KeyCode::Char('G') => self.move_by(isize::MAX, facts),
            KeyCode::Char('s' | '>') => self.sort(self.wanted.by.next()),
            KeyCode::Char('S' | '<') => self.sort(self.wanted.by.previous()),
            KeyCode::Char('r') => self.wanted.reversed = !self.wanted.reversed,
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Char('!') => self.wanted.only_trouble = !self.wanted.only_trouble,
            KeyCode::Enter | KeyCode::Right => {
                let list = list::list(&self.wanted, facts);
                self.selected = list.get(list::place(self.selected, &list)).map(|tenant| tenant.id);
                (self.open, self.scrolled) = (self.selected, 0);
            }
            _ => {}
        }
    }

    fn sort(&mut self, by: By) {
        (self.wanted.by, self.wanted.reversed) = (by, false);
    }

    /// Moves the cursor among the tenants that are shown.
    fn move_by(&mut self, by: isize, facts: &Facts) {
        let list = list::list(&self.wanted, facts);
        let place =
            list::place(self.selected, &list).saturating_add_signed(by).min(list.len().saturating_sub(1));
        self.selected = list.get(place).map(|tenant| tenant.id);
    }

    fn scroll(&mut self, code: KeyCode) {
        let page = self.lines.max(2) - 1;
        let last = self.lines_in_all.saturating_sub(self.lines);
        let to = match code {
            KeyCode::Down | KeyCode::Char('j') => self.scrolled + 1,
            KeyCode::Up | KeyCode::Char('k') => self.scrolled.saturating_sub(1),
            KeyCode::PageDown | KeyCode::Char(' ') => self.scrolled + page,
            KeyCode::PageUp => self.scrolled.saturating_sub(page),
            KeyCode::Home | KeyCode::Char('g') => 0,
            KeyCode::End | KeyCode::Char('G') => last,
            _ => return,
        };
        self.scrolled = to.min(last);
    }
}
