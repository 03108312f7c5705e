//! Words of strangers in the places that they meet: HTML, what clients make links of, fields of bounded length.

/// Text as HTML shows it.
#[must_use]
pub fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Text in which no mail or chat program finds an address to make a link of: an attacker may have written it.
#[must_use]
pub fn defanged(text: &str) -> String {
    let text = text.replace("://", "[:]//").replace("mailto:", "mailto[:]").replace('@', "[@]");
    let (mut broken, mut before) = (String::with_capacity(text.len() + 16), None::<char>);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        // A host needs no `http` to become a link: `evil.example/login`. A number (`1.5`) and a sentence's end are none.
        let is_inside = before.is_some_and(char::is_alphanumeric)
            && characters.peek().is_some_and(|next| next.is_alphabetic());
        match character {
            '.' if is_inside => broken.push_str("[.]"),
            other => broken.push(other),
        }
        before = Some(character);
    }
    broken
}

/// The same in Slack's fallback text, in which three characters begin something.
#[must_use]
pub fn slack(text: &str) -> String {
    defanged(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// No more than so many characters.
#[must_use]
pub fn cut(text: &str, characters_max: usize) -> String {
    match text.char_indices().nth(characters_max) {
        None => text.to_owned(),
        Some(_) => {
            let kept: String = text.chars().take(characters_max.saturating_sub(1)).collect();
            format!("{kept}…")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_host_becomes_a_link() {
        for (text, shown) in [
            ("go to evil.com/login", "go to evil[.]com/login"),
            ("wWw.Evil.CoM", "wWw[.]Evil[.]CoM"),
            ("http://a.b.рф", "http[:]//a[.]b[.]рф"),
            ("1.5 hours. It is over.", "1.5 hours. It is over."),
            ("x.invoice.pdf.exe", "x[.]invoice[.]pdf[.]exe"),
        ] {
            assert_eq!(defanged(text), shown);
        }
    }

    proptest! {
        #[test]
        fn nothing_gets_out(text in ".*", most in 1_usize..200) {
            let shown = html(&text);
            prop_assert!(!shown.contains(['<', '>', '"', '\'']));
            prop_assert!(!slack(&text).contains(['<', '>', '@']) || slack(&text).contains("[@]"));
            prop_assert!(!slack(&text).contains(['<', '>']));
            prop_assert!(!defanged(&text).contains("://"));
            prop_assert!(cut(&text, most).chars().count() <= most);
        }
    }
}
