//! One file of settings as text, in which places are lines.

use std::ops::Range;
use std::path::Path;

use super::Mistake;

pub(super) struct Document<'a> {
    pub(super) file: &'a Path,
    pub(super) text: &'a str,
}

impl Document<'_> {
    pub(super) fn mistake_at(
        &self,
        span: &Range<usize>,
        section: &str,
        key: Option<&str>,
        message: &str,
    ) -> Mistake {
        Mistake::new((self.file, Some(self.line(span.start))), section, key, message)
    }

    /// The line of a place in the text, counted from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        let before = self.text.as_bytes().get(..at).unwrap_or(self.text.as_bytes());
        memchr::memchr_iter(b'\n', before).count() + 1
    }
}
