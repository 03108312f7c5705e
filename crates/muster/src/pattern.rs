//! Names with `*` for any text, as operators type them to choose by.

use std::fmt;
use std::str::FromStr;

/// A text in which `*` stands for any text, also none. Capitals count as small letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// What stands between the stars, in small letters. One alone: there is no star.
    parts: Vec<String>,
}

impl Pattern {
    /// Whether it is this text.
    pub(crate) fn is(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let [first, middle @ .., last] = &self.parts[..] else { return self.parts[0] == text };
        let Some(mut rest) = text.strip_prefix(first.as_str()) else { return false };
        for part in middle {
            // The first place leaves the most for those that follow.
            let Some(at) = rest.find(part.as_str()) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last.as_str())
    }

    /// Whether it is in this text; with stars whether it is this text as a whole.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        match &self.parts[..] {
            [word] => text.to_lowercase().contains(word.as_str()),
            _ => self.is(text),
        }
    }

    /// What every text has in it that it is: the longest part.
    pub(crate) fn longest_part(&self) -> &str {
        self.parts.iter().max_by_key(|part| part.len()).map_or("", String::as_str)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.parts.join("*"))
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        match text.is_empty() {
            true => Err("it is empty; `*` stands for any".to_owned()),
            false => Ok(Self { parts: text.to_lowercase().split('*').map(str::to_owned).collect() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    fn pattern(text: &str) -> Pattern {
        text.parse().expect("a pattern")
    }

    #[test]
    fn stars_stand_for_any_text() {
        for (of, text, is) in [
            ("srv1", "SRV1", true),
            ("srv1", "srv10", false),
            ("srv*", "srv10.contoso.example", true),
            ("*.contoso.example", "srv1.Contoso.example", true),
            ("*.contoso.example", ".contoso.example.evil", false),
            ("a*b*b", "ab", false),
            ("a*b*b", "abb", true),
            ("a*a", "a", false),
            ("*", "", true),
            ("ÄRGER*", "ärger", true),
        ] {
            assert_eq!(pattern(of).is(text), is, "{of} {text}");
        }
        assert!(pattern("too large").is_in("it is Too Large for the sink"));
        assert!(!pattern("large*").is_in("too large"));
        assert!(" ".parse::<Pattern>().is_err());
        assert_eq!(pattern("*.contoso.*").longest_part(), ".contoso.");
    }
}
