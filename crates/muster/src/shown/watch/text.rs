//! Text of others in the cells of a screen: it takes the columns that it is counted for, whatever terminal shows it.

use muster_model::text::plain;
use ratatui::style::{Color, Modifier, Style};
use unicode_width::UnicodeWidthChar as _;

use crate::shown::output::Tone;

/// More marks than this upon one letter are left out.
const MARKS_MAX: usize = 2;

/// Text without what moves a cursor or hides, and without that about whose width terminals are not of one mind: marks that
/// choose between two pictures or colour a skin, letters that become a flag in pairs, and heaps of accents.
pub(super) fn tidy(text: &str) -> String {
    let mut tidied = String::with_capacity(text.len());
    let mut marks = 0;
    for character in plain(text).chars() {
        match character {
            '\u{fe00}'..='\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0100}'..='\u{e01ef}' | '\u{20e3}' => {}
            flag @ '\u{1f1e6}'..='\u{1f1ff}' => {
                let letter = u8::try_from(u32::from(flag) - 0x1_f1e6).unwrap_or_default() + b'A';
                tidied.push(char::from(letter));
                marks = 0;
            }
            other if other.width().unwrap_or(0) == 0 => {
                marks += 1;
                // One that stands before any letter has nothing to stand on.
                if marks <= MARKS_MAX && !tidied.is_empty() {
                    tidied.push(other);
                }
            }
            other => {
                tidied.push(other);
                marks = 0;
            }
        }
    }
    tidied
}

/// The columns that a text takes, letter by letter.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(|character| character.width().unwrap_or(0)).sum()
}

/// Text in exactly so many columns; where it was cut, it says so.
pub(super) fn fitted(text: &str, columns: usize, to_the_right: bool) -> String {
    let text = cut(text, columns);
    let fill = " ".repeat(columns - width(&text).min(columns));
    if to_the_right { format!("{fill}{text}") } else { format!("{text}{fill}") }
}

/// Text in at most so many columns.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let (mut kept, mut taken) = (String::new(), 0);
    for character in text.chars() {
        let wide = character.width().unwrap_or(0);
        if taken + wide > columns.saturating_sub(1) {
            break;
        }
        taken += wide;
        kept.push(character);
    }
    if columns > 0 {
        kept.push('…');
    }
    kept
}

/// Text on as many lines as are needed, and at most `lines_max`; those after the first begin with `indent`.
pub(super) fn folded(text: &str, columns: usize, indent: &str, lines_max: usize) -> Vec<String> {
    let columns = columns.max(width(indent) + 1);
    let inner = text.trim_start_matches(' ');
    let mut lines: Vec<String> = vec![text[..text.len() - inner.len()].to_owned()];
    for word in inner.split(' ') {
        let is_last = lines.len() == lines_max;
        let line = lines.last_mut().expect("one at least");
        let begun = line.trim().is_empty();
        if begun || width(line) + 1 + width(word) <= columns {
            if !begun {
                line.push(' ');
            }
            line.push_str(word);
        } else if is_last {
            line.push_str(" …");
            break;
        } else {
            lines.push(format!("{indent}{word}"));
        }
    }
    lines.iter().map(|line| cut(line, columns)).collect()
}

/// How a tone looks. Colour only repeats what marks and words say.
pub(super) fn style(tone: Tone, colour: bool) -> Style {
    let style = Style::new();
    match tone {
        Tone::Bad if colour => style.fg(Color::Red).add_modifier(Modifier::BOLD),
        Tone::Bad => style.add_modifier(Modifier::BOLD),
        Tone::Fair if colour => style.fg(Color::Yellow),
        Tone::Good if colour => style.fg(Color::Green),
        Tone::Good | Tone::Fair | Tone::Plain => style,
    }
}

/// What a tone is told apart by without a colour.
pub(super) fn mark(tone: Tone) -> &'static str {
    match tone {
        Tone::Bad => "✗",
        Tone::Fair => "!",
        Tone::Good => "●",
        Tone::Plain => "·",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_letter_takes_the_columns_that_it_is_counted_for() {
        assert_eq!(tidy("a\u{1b}[2Jb\u{202e}c\u{200d}d"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d");
        assert_eq!(tidy("❤\u{fe0f} 🇩🇪 👋🏽"), "❤ DE 👋");
        assert_eq!(tidy("e\u{301}\u{302}\u{303}\u{304}x"), "e\u{301}\u{302}x");
        assert_eq!(tidy("\u{301}x"), "x");
        assert_eq!((width("東京"), width("e\u{301}"), width("😀")), (4, 1, 2));
        assert_eq!(fitted("東京都", 5, false), "東京…");
        assert_eq!(fitted("東京都", 4, true), " 東…");
        assert_eq!(folded("  └ one two", 8, "    ", 9), ["  └ one", "    two"]);
        assert_eq!(folded("one two three four", 9, "  ", 2), ["one two", "  three …"]);
    }

    proptest! {
        #[test]
        fn what_is_fitted_fits(text in ".*", columns in 0..40_usize, right: bool) {
            let text = tidy(&text);
            prop_assert_eq!(width(&fitted(&text, columns, right)), columns);
            prop_assert!(folded(&text, columns, "  ", 3).iter().all(|line| width(line) <= columns.max(3)));
        }
    }
}
