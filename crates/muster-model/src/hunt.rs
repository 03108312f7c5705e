//! The name of a saved hunting query or a stream.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

/// The name of a saved hunting query, or of a stream of such rows: `[a-z0-9_-]`, at most 63.
///
/// It is copied as freely as the names of all other sources. For that each name, and each spelling of it that is shown,
/// is kept once for as long as the process lives; they come from settings and stores, which hold a few.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HuntName(&'static str);

/// Every text that was ever kept.
static KEPT: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// The one copy of a text.
fn kept(text: &str) -> &'static str {
    let mut all = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = all.get(text) {
        return known;
    }
    let new: &'static str = Box::leak(text.to_owned().into_boxed_str());
    all.insert(new);
    new
}

impl HuntName {
    /// The name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0
    }

    /// The name behind that of an API: `graph_hunting/NAME`.
    pub(crate) fn behind(self, api: &str) -> &'static str {
        kept(&format!("{api}/{}", self.0))
    }
}

/// A text that cannot be such a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot name a query or stream: use lower-case letters, digits, `-` and `_`, at most 63")]
pub struct ParseHuntNameError(String);

impl FromStr for HuntName {
    type Err = ParseHuntNameError;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        if (1..=63).contains(&value.len()) && value.bytes().all(fits) {
            Ok(Self(kept(value)))
        } else {
            Err(ParseHuntNameError(crate::text::shown(value, 80)))
        }
    }
}

impl fmt::Display for HuntName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::HuntName;

    #[test]
    fn a_name_is_kept_once() {
        let (one, other): (HuntName, HuntName) =
            ("a-name_1".parse().expect("a name"), "a-name_1".parse().expect("a name"));
        assert!(std::ptr::eq(one.as_str(), other.as_str()));
        assert!(std::ptr::eq(one.behind("api"), other.behind("api")));
        for wrong in ["", "A", "a b", "a/b", "ä", &"a".repeat(64)] {
            assert!(wrong.parse::<HuntName>().is_err(), "{wrong}");
        }
    }
}
