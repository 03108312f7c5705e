//! What is spelled otherwise in PostgreSQL.
//!
//! Where SQLite has a function that PostgreSQL has not (`json_each` of a text, `max` of two values, `unhex`), the first
//! migration makes one of the same name in Muster's own schema. What is left is here: how values are numbered, and the hints
//! to SQLite's planner, which PostgreSQL does not take.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, RwLock};

/// SQLite's own words, with what stands in their place: hints to its planner, and the table in which it counts.
const WORDS: [(&str, &str); 2] = [("CROSS JOIN", "JOIN"), ("sqlite_sequence", "numbering")];
/// A hint that names an index.
const INDEXED_BY: &str = "INDEXED BY ";

/// Each statement is put together once.
static WRITTEN: LazyLock<RwLock<HashMap<String, Arc<str>>>> = LazyLock::new(RwLock::default);

/// The statement as PostgreSQL reads it.
pub(super) fn postgres(sql: &str) -> Arc<str> {
    if let Some(written) = WRITTEN.read().expect("no panic while the lock is held").get(sql) {
        return Arc::clone(written);
    }
    let written: Arc<str> = translated(sql).into();
    let mut all = WRITTEN.write().expect("no panic while the lock is held");
    all.insert(sql.to_owned(), Arc::clone(&written));
    written
}

fn translated(sql: &str) -> String {
    let mut without_hints = sql.to_owned();
    for (word, instead) in WORDS {
        without_hints = without_hints.replace(word, instead);
    }
    while let Some(start) = without_hints.find(INDEXED_BY) {
        let name = start + INDEXED_BY.len();
        let after = without_hints[name..].find(|c: char| !c.is_alphanumeric() && c != '_');
        let end = after.map_or(without_hints.len(), |length| name + length);
        without_hints.replace_range(start..end, "");
    }
    numbered(&without_hints)
}

/// `?` and `?2` become `$1` and `$2`; what stands within quotes is left alone.
fn numbered(sql: &str) -> String {
    let (mut out, mut next, mut quoted) = (String::with_capacity(sql.len() + 16), 1, false);
    let mut rest = sql.chars().peekable();
    while let Some(c) = rest.next() {
        quoted ^= c == '\'';
        if c != '?' || quoted {
            out.push(c);
            continue;
        }
        out.push('$');
        if rest.peek().is_some_and(char::is_ascii_digit) {
            continue;
        }
        out.push_str(&next.to_string());
        next += 1;
    }
    out
}

/// A text as PostgreSQL can keep it: it has no place for the character 0, neither as such nor as an escape in JSON.
/// The sign that stands for it in print takes its place; whatever is told apart by a hash of its content still is.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    let mut text = without_zero(text);
    if text.contains("\\u0000") {
        text = Cow::Owned(without_escaped_zero(&text));
    }
    text
}

/// The same for what is never read as JSON.
pub(crate) fn without_zero(text: &str) -> Cow<'_, str> {
    match text.contains('\0') {
        true => Cow::Owned(text.replace('\0', "\u{2400}")),
        false => Cow::Borrowed(text),
    }
}

/// `\u0000` becomes `\u2400`, unless the backslash is itself escaped.
fn without_escaped_zero(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        if let Some(after) = escape.strip_prefix("\\u0000") {
            out.push_str("\\u2400");
            rest = after;
            continue;
        }
        // The backslash and what it escapes.
        let length = escape.chars().take(2).map(char::len_utf8).sum();
        out.push_str(&escape[..length]);
        rest = &escape[length..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbered_and_hints_left_out() {
        assert_eq!(&*postgres("SELECT ?, '?' , ? WHERE a = ?"), "SELECT $1, '?' , $2 WHERE a = $3");
        assert_eq!(&*postgres("SELECT ?2, ?1, ?12"), "SELECT $2, $1, $12");
        assert_eq!(&*postgres("FROM a INDEXED BY a_of_b CROSS JOIN c INDEXED BY c_of_d"), "FROM a  JOIN c ");
    }

    #[test]
    fn the_character_0_gets_a_sign_in_its_place() {
        assert_eq!(text("plain"), "plain");
        assert_eq!(text("a\0b"), "a\u{2400}b");
        assert_eq!(text(r#"["a\u0000b"]"#), r#"["a\u2400b"]"#);
        assert_eq!(text(r#"["a\\u0000b"]"#), r#"["a\\u0000b"]"#, "that is a backslash and five characters");
        assert_eq!(text(r#"["\\\u0000"]"#), r#"["\\\u2400"]"#);
    }
}
