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

/// The one of `words` that somebody who wrote `given` most likely meant; `None` where nothing is near.
#[must_use]
pub fn nearest<'w>(given: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let plain = |word: &str| word.to_lowercase().replace('-', "_");
    let wanted = plain(given);
    // A slip in three letters is one; more is another word.
    let most = (wanted.chars().count().max(3) / 3).min(3);
    let near = words.into_iter().map(|word| (strsim::damerau_levenshtein(&wanted, &plain(word)), word));
    near.filter(|(slips, _)| *slips <= most).min_by_key(|(slips, _)| *slips).map(|(_, word)| word)
}

/// ` (did you mean `word`?)`, to stand behind `given` in a message; nothing where no word is near.
#[must_use]
pub fn did_you_mean<'w>(given: &str, words: impl IntoIterator<Item = &'w str>) -> String {
    nearest(given, words).map(|word| format!(" (did you mean `{word}`?)")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{did_you_mean, is_harmful, nearest, plain, shown};

    #[test]
    fn a_slip_of_the_finger_is_told_from_another_word() {
        let words = ["graph_alerts", "graph_incidents", "path", "master_key"];
        for (given, meant) in [
            ("graph_alrts", Some("graph_alerts")),
            ("Graph-Alerts", Some("graph_alerts")),
            ("pth", Some("path")),
            ("masterkey", Some("master_key")),
            ("colour", None),
            ("xy", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, words), meant, "{given}");
        }
        assert_eq!(did_you_mean("ptah", words), " (did you mean `path`?)");
        assert_eq!(did_you_mean("elsewhere", words), "");
    }

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
