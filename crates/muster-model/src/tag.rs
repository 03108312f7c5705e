//! A word that tenants are grouped by: `gold`, `region:emea`, `soc-2`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text;

/// A tenant's tag: 1 to 63 lower-case letters, digits, `-`, `_`, `.` and `:`, of which the first is a letter or a digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(String);

/// So many tags a tenant may have. They are read with every lease.
pub const TAGS_MAX: usize = 64;

impl Tag {
    /// The tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is wrong with the words that were to be a tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a tag: lower-case letters, digits, `-`, `_`, `.` and `:`, at most 63, such as gold or region:emea"
)]
pub struct ParseTagError(String);

impl FromStr for Tag {
    type Err = ParseTagError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let fits = (1..=63).contains(&value.len())
            && value.bytes().next().is_some_and(plain)
            && value.bytes().all(|byte| plain(byte) || b"-_.:".contains(&byte));
        if fits { Ok(Self(value.to_owned())) } else { Err(ParseTagError(text::shown(value, 80))) }
    }
}

impl TryFrom<String> for Tag {
    type Error = ParseTagError;

    fn try_from(value: String) -> Result<Self, Self::Error> {
        value.parse()
    }
}

impl From<Tag> for String {
    fn from(value: Tag) -> Self {
        value.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Tag;

    #[test]
    fn tags_are_words_that_fit_into_settings_and_terminals() {
        for good in ["gold", "region:emea", "soc-2", "a", "2026.1", "x_y", &"x".repeat(63)] {
            assert_eq!(good.parse::<Tag>().map(|tag| tag.to_string()).as_deref(), Ok(good));
        }
        for wrong in ["", "Gold", "-x", ":x", "a b", "a*", "a\u{1b}[31m", "ä", &"x".repeat(64)] {
            let error = wrong.parse::<Tag>().expect_err(wrong).to_string();
            assert!(error.contains("is not a tag") && !error.contains('\u{1b}'), "{error}");
        }
    }
}
