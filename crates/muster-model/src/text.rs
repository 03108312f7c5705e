//! Text of others on an operator's screen: whatever it holds, it stays in its place and looks like what it is.

/// Text without control characters, direction marks or anything else that moves a terminal's cursor or hides: each is
/// replaced, visibly.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars()
        .map(|character| if is_harmful(character) { char::REPLACEMENT_CHARACTER } else { character })
        .collect()
}

/// A bit of what somebody said, fit for a message of one line: of at most `chars_max` characters, with a blank in place
/// of each that [`plain`] replaces.
#[must_use]
pub fn shown(text: &str, chars_max: usize) -> String {
    let text = text.trim();
    let mut characters = text.chars();
    let beginning = characters.by_ref().take(chars_max);
    let mut shown: String =
        beginning.map(|character| if is_harmful(character) { ' ' } else { character }).collect();
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

/// Control characters, line and paragraph separators, what turns the direction of writing, and what has no width.
#[must_use]
pub fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{is_harmful, plain, shown};

    #[test]
    fn what_moves_the_cursor_is_replaced() {
        assert_eq!(plain("a\u{1b}[2Jb\u{202e}c\n"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}");
        assert_eq!(shown("a\u{1b}[31m\nb", 300), "a [31m b");
        assert_eq!(shown(&"x".repeat(301), 300).chars().count(), 301);
        assert_eq!(shown(" é\r\n", 1), "é");
    }

    proptest! {
        #[test]
        fn nothing_harmful_is_left(text in ".*", most in 0..50_usize) {
            prop_assert!(!plain(&text).chars().any(is_harmful));
            let shown = shown(&text, most);
            prop_assert!(!shown.chars().any(is_harmful) && shown.chars().count() <= most + 1);
        }
    }
}
