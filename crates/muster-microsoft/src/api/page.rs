//! A page of JSON, taken apart into its records without building a tree.
//!
//! A good page costs one pass of a validating parser. A bad one is taken apart by a scanner that knows strings and
//! brackets only, so that one unreadable record costs nobody else: each whole item is then judged on its own, and
//! what is not JSON or not UTF-8 is handed back with its bytes.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A page's parts, borrowed from its bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Split<'a> {
    /// The items that are JSON, in order.
    pub items: Vec<&'a str>,
    /// The items that are not, and why.
    pub broken: Vec<(&'a [u8], String)>,
    /// Where the server says that it goes on.
    pub next_link: Option<Cow<'a, str>>,
    /// Why the page's end could not be read, if so: then the last items are missing.
    pub torn: Option<String>,
}

/// A body that holds no list of records at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not a page of records ({why}); it begins with: {beginning}")]
pub struct NotAPage {
    /// What a parser said.
    pub why: String,
    /// Its first characters.
    pub beginning: String,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    value: Vec<&'a RawValue>,
    #[serde(borrow, rename = "@odata.nextLink", default)]
    next_link: Option<&'a RawValue>,
}

/// Takes a page apart.
///
/// # Errors
/// When there is no `value` list in it.
pub fn split(body: &[u8]) -> Result<Split<'_>, NotAPage> {
    match serde_json::from_slice::<Envelope<'_>>(body) {
        Ok(page) => Ok(Split {
            items: page.value.into_iter().map(RawValue::get).collect(),
            next_link: page.next_link.and_then(|link| muster_model::json::text(link.get())),
            ..Split::default()
        }),
        Err(error) => salvage(body, &error.to_string()),
    }
}

fn salvage<'a>(body: &'a [u8], why: &str) -> Result<Split<'a>, NotAPage> {
    let beginning = || muster_http::shown(&String::from_utf8_lossy(&body[..body.len().min(120)]));
    let not_a_page = || NotAPage { why: muster_http::shown(why), beginning: beginning() };
    let mut scanner = Scanner { body, at: 0 };
    if !scanner.enter_list("value") {
        return Err(not_a_page());
    }
    let mut split = Split::default();
    loop {
        match scanner.item() {
            Item::Whole(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => match serde_json::from_str::<&RawValue>(text) {
                    Ok(_) => split.items.push(text),
                    Err(error) => split.broken.push((bytes, format!("it is not JSON: {error}"))),
                },
                Err(error) => split.broken.push((bytes, format!("it is not UTF-8: {error}"))),
            },
            Item::End => break,
            Item::Torn => {
                split.torn =
                    Some(format!("the page breaks off or is garbled after {} records", split.items.len()));
                break;
            }
        }
    }
    if split.items.is_empty() && split.broken.is_empty() && split.torn.is_some() {
        return Err(not_a_page());
    }
    Ok(split)
}

struct Scanner<'a> {
    body: &'a [u8],
    at: usize,
}

enum Item<'a> {
    Whole(&'a [u8]),
    End,
    Torn,
}

impl<'a> Scanner<'a> {
    /// Moves behind the `[` of the outermost object's list `key`.
    fn enter_list(&mut self, key: &str) -> bool {
        let mut depth = 0_usize;
        while let Some(&byte) = self.body.get(self.at) {
            match byte {
                b'"' => {
                    let start = self.at + 1;
                    if !self.skip_string() {
                        return false;
                    }
                    if depth == 1 && self.body.get(start..self.at - 1) == Some(key.as_bytes()) {
                        self.skip_blanks();
                        if self.body.get(self.at) == Some(&b':') {
                            self.at += 1;
                            self.skip_blanks();
                            if self.body.get(self.at) == Some(&b'[') {
                                self.at += 1;
                                return true;
                            }
                        }
                    }
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
        }
        false
    }

    /// The next item of the list that was entered.
    fn item(&mut self) -> Item<'a> {
        while self.body.get(self.at).is_some_and(|byte| byte.is_ascii_whitespace() || *byte == b',') {
            self.at += 1;
        }
        let start = self.at;
        let mut depth = 0_usize;
        while let Some(&byte) = self.body.get(self.at) {
            match byte {
                b'"' => {
                    if !self.skip_string() {
                        return Item::Torn;
                    }
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b']' if depth == 0 => {
                    return if start == self.at {
                        Item::End
                    } else {
                        Item::Whole(self.body[start..self.at].trim_ascii())
                    };
                }
                b'}' if depth == 0 => return Item::Torn,
                b'}' | b']' => depth -= 1,
                b',' if depth == 0 => return Item::Whole(self.body[start..self.at].trim_ascii()),
                _ => {}
            }
            self.at += 1;
        }
        Item::Torn
    }

    /// Moves from a string's first quote behind its last.
    fn skip_string(&mut self) -> bool {
        self.at += 1;
        while let Some(&byte) = self.body.get(self.at) {
            match byte {
                b'"' => {
                    self.at += 1;
                    return true;
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at = self.body.len();
        false
    }

    fn skip_blanks(&mut self) {
        while self.body.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_good_page() {
        let split = split(
            br#"{"@odata.context":"x","value":[{"id":"1"}, {"id":"2"}],"@odata.nextLink":"https:\/\/g\/x"}"#,
        );
        let split = split.expect("a page");
        assert_eq!(split.items, [r#"{"id":"1"}"#, r#"{"id":"2"}"#]);
        assert_eq!(split.next_link.as_deref(), Some("https://g/x"));
    }

    #[test]
    fn a_next_link_of_the_wrong_type_is_none() {
        assert_eq!(split(br#"{"value":[],"@odata.nextLink":{"a":1}}"#).expect("a page").next_link, None);
    }

    #[test]
    fn one_bad_record_costs_nobody_else() {
        let split = split(b"{\"value\":[{\"id\":\"1\"},{\"id\":\"\xff\"},{\"id\":nonsense},{\"id\":\"4\"}]}")
            .expect("a page");
        assert_eq!(split.items, [r#"{"id":"1"}"#, r#"{"id":"4"}"#]);
        assert_eq!(split.broken[0].0, b"{\"id\":\"\xff\"}");
        assert_eq!(split.broken[1].0, b"{\"id\":nonsense}");
        assert_eq!(split.torn, None);
    }

    #[test]
    fn a_torn_page_gives_its_whole_records() {
        let split = split(br#"{"value":[{"id":"1"},{"id":"2"},{"id":"3","ti"#).expect("a page");
        assert_eq!(split.items.len(), 2);
        assert!(split.torn.is_some());
    }

    #[test]
    fn html_and_errors_are_no_page() {
        for body in
            ["<html>sign in</html>", "", "[]", r#"{"error":{"code":"x"}}"#, r#"{"value":7}"#, r#"{"value":["#]
        {
            assert!(split(body.as_bytes()).is_err(), "{body}");
        }
        let error = split(b"<html>\x1b[31m").expect_err("no page");
        assert!(error.to_string().ends_with("begins with: <html> [31m"), "{error}");
    }

    #[test]
    fn deep_nesting_does_not_overflow_the_stack() {
        let body = format!(r#"{{"value":[{{"id":"1"}},{}1{}]}}"#, "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(split(body.as_bytes()).expect("a page").items.len(), 2);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(split) = split(&body) {
                prop_assert!(split.items.len() <= body.len());
            }
            let mut page = b"{\"value\":[".to_vec();
            page.extend_from_slice(&body);
            if let Ok(split) = split(&page) {
                for item in split.items {
                    prop_assert!(serde_json::from_str::<&RawValue>(item).is_ok());
                }
            }
        }

        /// Cut a page anywhere: every record that is whole is found.
        #[test]
        fn cut_anywhere(ids in proptest::collection::vec("[a-z\\\\\"{}\\[\\],]{0,6}", 1..6), cut in any::<prop::sample::Index>()) {
            let items: Vec<String> = ids.iter().map(|id| serde_json::json!({"id": id}).to_string()).collect();
            let page = format!("{{\"value\":[{}]}}", items.join(","));
            let cut = cut.index(page.len() - 12) + 11;
            let whole = items.iter().scan(10, |end, item| { *end += item.len() + 1; Some(*end) }).filter(|end| *end <= cut).count();
            let found = split(&page.as_bytes()[..cut]).map_or(0, |split| split.items.len());
            // The last record counts as whole only once the comma or bracket behind it is there.
            prop_assert_eq!(found, whole);
        }
    }
}
