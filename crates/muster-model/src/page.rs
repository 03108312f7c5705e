//! A page of JSON, taken apart into its records and their heads in one pass, without a tree.
//!
//! One unreadable record costs nobody else: what is not JSON, not UTF-8 or no record is handed back with its bytes, and
//! its end is found by strings and brackets only. Whatever is wrong with a page, it keeps all it says about going on, and
//! says that it was not whole. A byte-order mark in front costs nothing, so a page with one is whole.

mod body;
mod rows;

use std::borrow::Cow;
use std::ops::Range;

use crate::json::scan::string_end;
use crate::json::{self, skim};
use crate::record::HeadFacts;
use crate::text::shown;
use crate::{RecordError, RecordHead, RecordKind};

pub use body::Body;
pub use rows::{Row, Rows, rows};

/// Where a page's list of records stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// In this field of the outermost object.
    Field(&'static str),
    /// It is the whole body.
    Bare,
}

/// A page's parts, borrowed from its bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page<'a> {
    /// The records, in order.
    pub items: Vec<Item<'a>>,
    /// The items that are no records, in order.
    pub broken: Vec<Broken<'a>>,
    /// The items beyond those that are kept.
    pub beyond: Option<Beyond<'a>>,
    /// Where the server says that it goes on.
    pub next_link: Option<Cow<'a, str>>,
    /// What else stands around the list: keys and values as written, without the list and the next link.
    pub envelope: Vec<(&'a str, &'a str)>,
    /// Why the page's end could not be read, if so: then items may be missing.
    pub torn: Option<String>,
}

/// A record of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<'a> {
    /// What identifies it.
    pub head: RecordHead,
    /// Its JSON object, as written.
    pub body: &'a str,
}

/// An item of a page that is no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken<'a> {
    /// Its bytes.
    pub body: &'a [u8],
    /// Why it is none.
    pub reason: String,
}

/// The items of a page that are more than anybody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beyond<'a> {
    /// How many they are.
    pub count: usize,
    /// Where they begin: at most [`BEYOND_BYTES_MAX`] bytes.
    pub body: &'a [u8],
}

/// How much is kept of the items beyond those that are kept one by one.
pub const BEYOND_BYTES_MAX: usize = 1 << 20;
/// How many fields around the list are kept.
const ENVELOPE_FIELDS_MAX: usize = 32;
/// The field that says where it goes on.
const NEXT_LINK: &str = "@odata.nextLink";

impl Page<'_> {
    /// How many items there are, readable or not.
    #[must_use]
    pub fn count(&self) -> usize {
        self.items.len() + self.broken.len() + self.beyond.map_or(0, |beyond| beyond.count)
    }

    /// Whether everything that the server sent could be read and is here. A page that is not whole proves nothing about
    /// being the last one.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.broken.is_empty() && self.beyond.is_none() && self.torn.is_none()
    }
}

/// A body that holds no list of records at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not a page of records ({why}); it begins with: {beginning}")]
pub struct NotAPage {
    /// What is missing in it.
    pub why: String,
    /// Its first characters.
    pub beginning: String,
}

/// Takes a page of records of this kind apart. At most `items_max` items are kept one by one, readable or not.
///
/// # Errors
/// When there is no list of records in it, or a list that breaks off before its first item ends.
pub fn split(body: &[u8], kind: RecordKind, list: List, items_max: usize) -> Result<Page<'_>, NotAPage> {
    split_text((body, std::str::from_utf8(body).ok()), kind, list, items_max)
}

/// The same, where it is known whether the body is text.
fn split_text<'a>(
    (body, text): (&'a [u8], Option<&'a str>),
    kind: RecordKind,
    list: List,
    items_max: usize,
) -> Result<Page<'a>, NotAPage> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let text = text.map(|text| text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut splitter = Splitter {
        body,
        text,
        at: 0,
        kind,
        items_max,
        has_list: false,
        broken_at: None,
        page: Page::default(),
    };
    let ended = match list {
        List::Field(name) => splitter.object(name),
        List::Bare => splitter.bare(),
    };
    let Splitter { at, has_list, broken_at, mut page, .. } = splitter;
    if page.next_link.is_none() && (!ended || broken_at.is_some()) {
        let lost_at = broken_at.unwrap_or(at);
        page.next_link = link_in(body.get(lost_at..).unwrap_or_default());
    }
    if !ended {
        page.torn = Some(format!("the page breaks off or is garbled after {} records", page.items.len()));
    }
    if has_list && (ended || page.count() > 0) {
        return Ok(page);
    }
    let why = match (has_list, list) {
        (true, _) => "its list breaks off before the first record ends".to_owned(),
        (false, List::Field(name)) => format!("there is no list `{name}` in it"),
        (false, List::Bare) => "it is no list".to_owned(),
    };
    let beginning = String::from_utf8_lossy(&body[..body.len().min(120)]);
    Err(NotAPage { why, beginning: shown(&beginning, 120) })
}

struct Splitter<'a> {
    body: &'a [u8],
    /// The same, where all of it is UTF-8.
    text: Option<&'a str>,
    at: usize,
    kind: RecordKind,
    items_max: usize,
    has_list: bool,
    /// Where the first item begins that is not JSON: its end is a guess.
    broken_at: Option<usize>,
    page: Page<'a>,
}

impl<'a> Splitter<'a> {
    /// Takes the fields of the outermost object; `false` when its end is not found.
    fn object(&mut self, list: &str) -> bool {
        let Some(start) = memchr::memchr(b'{', self.body) else { return false };
        self.at = start + 1;
        loop {
            match self.next_byte() {
                None => return false,
                Some(b'}') => return true,
                Some(b'"') => {
                    if !self.field(list) {
                        return false;
                    }
                }
                // Garbage, up to where the next field can begin.
                Some(b']') => self.at += 1,
                Some(_) => match skim::loose_end(self.body, self.at) {
                    Some(end) => self.at = end,
                    None => return false,
                },
            }
        }
    }

    /// Takes the field that begins here; `false` when its end is not found.
    fn field(&mut self, list: &str) -> bool {
        let start = self.at + 1;
        let Some((end, _)) = string_end(self.body, start) else { return false };
        self.at = skim::blank(self.body, end + 1);
        if self.body.get(self.at) != Some(&b':') {
            return true;
        }
        self.at = skim::blank(self.body, self.at + 1);
        let key = &self.body[start..end];
        if key == list.as_bytes() && self.body.get(self.at) == Some(&b'[') {
            self.has_list = true;
            self.at += 1;
            return self.items();
        }
        let value = self.at;
        let Some(end) = skim::value(self.body, value, |_, _| ())
            .map_or_else(|_| skim::loose_end(self.body, value), |skimmed| Some(skimmed.end))
        else {
            return false;
        };
        self.at = end;
        match (std::str::from_utf8(key), self.str(value..end)) {
            (Ok(NEXT_LINK), value) => self.next_link(value.ok()),
            (Ok(key), Ok(value)) if self.page.envelope.len() < ENVELOPE_FIELDS_MAX => {
                self.page.envelope.push((key, value.trim_ascii()));
            }
            (Ok(_), _) => {}
            // It may have been the link.
            (Err(_), _) => self.next_link(None),
        }
        true
    }

    /// Takes the link; a page whose link cannot be read is not whole, since more may be behind it.
    fn next_link(&mut self, value: Option<&'a str>) {
        match value {
            Some(value) if value.trim_ascii() == "null" => {}
            value => match value.and_then(link) {
                Some(link) => self.page.next_link = Some(link),
                None => self.page.torn = Some("where it goes on cannot be read".to_owned()),
            },
        }
    }

    /// Takes a body that is a list; `false` when its end is not found.
    fn bare(&mut self) -> bool {
        self.at = skim::blank(self.body, 0);
        self.has_list = self.body.get(self.at) == Some(&b'[');
        self.at += 1;
        self.has_list && self.items()
    }

    /// Takes the items up to the end of the list; `false` when that is not found.
    fn items(&mut self) -> bool {
        loop {
            match self.next_byte() {
                None | Some(b'}') => return false,
                Some(b']') => {
                    self.at += 1;
                    return true;
                }
                Some(_) => {}
            }
            let taken = if self.page.items.len() + self.page.broken.len() < self.items_max {
                self.item()
            } else {
                self.beyond()
            };
            let Some(end) = taken else { return false };
            self.at = end;
        }
    }

    /// Takes the item that begins here, and says where it ends; `None` when nothing follows it.
    fn item(&mut self) -> Option<usize> {
        let (body, start) = (self.body, self.at);
        let mut facts = HeadFacts::of(self.kind);
        let skimmed = skim::value(body, start, |key, value| facts.note(&body[key], &body[value]));
        let is_followed = |end| matches!(body.get(skim::blank(body, end)), Some(b',' | b']'));
        let (end, read) = match skimmed {
            Ok(skimmed) if is_followed(skimmed.end) => {
                let read = self.str(start..skimmed.end).and_then(|text| {
                    let head = facts.head(text, skimmed.depth).map_err(no_record)?;
                    Ok(Item { head, body: text })
                });
                (skimmed.end, read)
            }
            other => {
                self.broken_at.get_or_insert(start);
                let end = skim::loose_end(body, start)?;
                let why = match other {
                    Err(json::Error::TooDeep) => {
                        no_record(RecordError::TooDeep(skim::depth(&body[start..end])))
                    }
                    Err(error) => error.to_string(),
                    Ok(_) => "it is not JSON: more stands behind it".to_owned(),
                };
                (end, self.str(start..end).and(Err(why)))
            }
        };
        match read {
            Ok(item) => self.page.items.push(item),
            Err(reason) => {
                let part = body[start..end].trim_ascii_end();
                let text = std::str::from_utf8(part).ok();
                match text.and_then(|text| Some((RecordHead::read(self.kind, text).ok()?, text))) {
                    // A record before something garbled: it is taken, and the page is not whole.
                    Some((head, body)) => {
                        self.page.items.push(Item { head, body });
                        self.page.torn = Some(reason);
                    }
                    None => self.page.broken.push(Broken { body: part, reason }),
                }
            }
        }
        Some(end)
    }

    /// Counts the item that begins here, and says where it ends; `None` when nothing follows it.
    fn beyond(&mut self) -> Option<usize> {
        let end = skim::loose_end(self.body, self.at)?;
        let beyond = self.page.beyond.get_or_insert(Beyond { count: 0, body: &[] });
        beyond.count += 1;
        if beyond.count == 1 {
            let rest = &self.body[self.at..];
            beyond.body = &rest[..rest.len().min(BEYOND_BYTES_MAX)];
        }
        Some(end)
    }

    /// The next byte that is neither a blank nor a comma.
    fn next_byte(&mut self) -> Option<u8> {
        while self.body.get(self.at).is_some_and(|byte| byte.is_ascii_whitespace() || *byte == b',') {
            self.at += 1;
        }
        self.body.get(self.at).copied()
    }

    fn str(&self, range: Range<usize>) -> Result<&'a str, String> {
        match self.text {
            Some(text) => Ok(text.get(range).unwrap_or_default()),
            None => {
                std::str::from_utf8(&self.body[range]).map_err(|error| format!("it is not UTF-8: {error}"))
            }
        }
    }
}

fn no_record(error: RecordError) -> String {
    format!("it is not a record: {error}")
}

/// The link that a value is, if it is one.
fn link(value: &str) -> Option<Cow<'_, str>> {
    json::text(value).filter(|_| value.starts_with('"'))
}

/// The last next link in the rest of a page whose structure is lost. A text that talks of one has a backslash before its
/// quotes.
fn link_in(rest: &[u8]) -> Option<Cow<'_, str>> {
    const KEY: &[u8] = b"\"@odata.nextLink\"";
    memchr::memmem::rfind_iter(rest, KEY).find_map(|at| {
        if at > 0 && rest[at - 1] == b'\\' {
            return None;
        }
        let colon = skim::blank(rest, at + KEY.len());
        let start = skim::blank(rest, colon + 1);
        if rest.get(colon) != Some(&b':') || rest.get(start) != Some(&b'"') {
            return None;
        }
        let (end, _) = string_end(rest, start + 1)?;
        link(std::str::from_utf8(&rest[start..=end]).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::{Broken, List, NotAPage, Page};
    use crate::RecordKind;

    const VALUE: List = List::Field("value");

    fn split(body: &[u8]) -> Result<Page<'_>, NotAPage> {
        super::split(body, RecordKind::GraphAlert, VALUE, 10)
    }

    fn bodies<'a>(page: &Page<'a>) -> Vec<&'a str> {
        page.items.iter().map(|item| item.body).collect()
    }

    #[test]
    fn a_good_page() {
        let page = split(
            br#"{"@odata.context":"x","value":[{"id":"1"}, {"id":"2"}],"@odata.nextLink":"https:\/\/g\/x"}"#,
        );
        let page = page.expect("a page");
        assert_eq!(bodies(&page), [r#"{"id":"1"}"#, r#"{"id":"2"}"#]);
        assert_eq!(page.items[1].head.id, "2");
        assert_eq!(page.next_link.as_deref(), Some("https://g/x"));
        assert_eq!(page.envelope, [("@odata.context", "\"x\"")]);
        assert!(page.is_whole());
    }

    #[test]
    fn lists_stand_where_their_api_puts_them() {
        let rows = br#"{"schema":[{"name":"x"}],"results":[{"Timestamp":"2026-01-01T00:00:00Z"}]}"#;
        let page = super::split(rows, RecordKind::HuntingRow, List::Field("results"), 10).expect("a page");
        assert_eq!((page.items.len(), page.items[0].head.id.len()), (1, 32));
        assert_eq!(page.envelope, [("schema", r#"[{"name":"x"}]"#)]);
        let detections = br#" [{"AlertId":"1"},{"AlertId":"2"}] "#;
        let page = super::split(detections, RecordKind::SiemDetection, List::Bare, 10).expect("a page");
        assert_eq!((page.items.len(), page.is_whole()), (2, true));
        assert!(super::split(b"{}", RecordKind::SiemDetection, List::Bare, 10).is_err());
        let torn =
            super::split(&detections[..20], RecordKind::SiemDetection, List::Bare, 10).expect("a page");
        assert_eq!((torn.items.len(), torn.is_whole()), (1, false));
    }

    #[test]
    fn a_next_link_of_the_wrong_type_is_none() {
        for link in [r#"{"a":1}"#, "7", "null"] {
            let body = format!(r#"{{"value":[],"@odata.nextLink":{link}}}"#);
            let page = split(body.as_bytes()).expect("a page");
            assert_eq!((page.next_link.as_deref(), page.is_whole()), (None, link == "null"), "{link}");
        }
    }

    /// Found by the simulation: such a page was taken for the last one.
    #[test]
    fn a_page_whose_next_link_cannot_be_read_is_not_whole() {
        for field in
            [b"\"@odata.nextLink\":\"https://g/\xff\"".as_slice(), b"\"@odata.next\xffLink\":\"https://g/\""]
        {
            for body in [[b"{", field, b",\"value\":[]}"].concat(), [b"{\"value\":[],", field, b"}"].concat()]
            {
                let page = split(&body).expect("a page");
                assert_eq!((page.next_link.as_deref(), page.is_whole()), (None, false));
            }
        }
        let context = split(b"{\"@odata.context\":\"\xff\",\"value\":[]}").expect("a page");
        assert!(context.is_whole());
    }

    #[test]
    fn one_bad_record_costs_nobody_else() {
        let page = split(
            b"{\"value\":[{\"id\":\"1\"},{\"id\":\"\xff\"},{\"id\":nonsense},{\"id\":\"3\\n\t\"},7,{\"id\":\"4\"}]}",
        )
        .expect("a page");
        assert_eq!(bodies(&page), [r#"{"id":"1"}"#, r#"{"id":"4"}"#]);
        let broken: Vec<_> = page.broken.iter().map(|Broken { body, .. }| *body).collect();
        let expected: [&[u8]; 4] = [b"{\"id\":\"\xff\"}", b"{\"id\":nonsense}", b"{\"id\":\"3\\n\t\"}", b"7"];
        assert_eq!(broken, expected);
        assert!(page.broken[0].reason.starts_with("it is not UTF-8: "), "{}", page.broken[0].reason);
        assert!(page.broken[1].reason.starts_with("it is not JSON"), "{}", page.broken[1].reason);
        assert!(page.broken[3].reason.starts_with("it is not a record: "), "{}", page.broken[3].reason);
        assert_eq!((page.torn.as_deref(), page.is_whole(), page.count()), (None, false, 6));
    }

    /// The next link stands before the list or behind it, and whatever is wrong with the page, it is read.
    #[test]
    fn a_flaw_does_not_cost_the_next_link() {
        let flaws: [(&str, &[u8], bool); 9] = [
            ("nothing", b"", true),
            ("a control character", b",{\"id\":\"a\nb\"}", false),
            ("what is not UTF-8", b",{\"id\":\"\xfe\"}", false),
            ("a bad record", b",{\"id\":}", false),
            ("no record", b",null", false),
            ("a bracket too few", b",{\"id\":[1}", false),
            ("a bracket too many", b",{\"id\":1}}", false),
            ("a quote too few", b",{\"id\":\"1}", false),
            ("a comma too many", b",", true),
        ];
        let link = br#""@odata.nextLink":"https://g/x""#;
        let talk = br#"{"id":"1","title":"\"@odata.nextLink\":\"https://evil/\""}"#;
        for (what, flaw, whole) in flaws {
            for mark in [b"".as_slice(), b"\xef\xbb\xbf"] {
                let before = [mark, b"{", link, b",\"value\":[", talk, flaw, b"]}"].concat();
                let behind = [mark, b"{\"value\":[", talk, flaw, b"],", link, b"}"].concat();
                for body in [before, behind] {
                    let page = split(&body).expect(what);
                    assert_eq!(page.next_link.as_deref(), Some("https://g/x"), "{what}");
                    assert_eq!((page.items[0].head.id.as_str(), page.is_whole()), ("1", whole), "{what}");
                }
            }
        }
        let torn = [b"{", link.as_slice(), b",\"value\":[{\"id\":\"1\"},{\"id"].concat();
        assert_eq!(split(&torn).expect("a page").next_link.as_deref(), Some("https://g/x"));
    }

    #[test]
    fn a_torn_page_gives_its_whole_records() {
        let page = split(br#"{"value":[{"id":"1"},{"id":"2"},{"id":"3","ti"#).expect("a page");
        assert_eq!(page.items.len(), 2);
        assert!(page.torn.is_some() && !page.is_whole());
        let behind = split(br#"{"value":[{"id":"1"}],"@odata.nextLi"#).expect("a page");
        assert!(behind.torn.is_some(), "the link may be what is missing");
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
        let deep = format!("{}1{}", "[".repeat(200_000), "]".repeat(200_000));
        let body =
            format!(r#"{{"x":{deep},"value":[{{"id":"1"}},{deep},{{"id":"2","x":{deep}}},{{"id":"3"}}]}}"#);
        let page = split(body.as_bytes()).expect("a page");
        assert_eq!((page.items.len(), page.broken.len()), (2, 2));
        assert!(page.broken[1].reason.contains("nests 200001 levels deep"), "{}", page.broken[1].reason);
        let open = format!(r#"{{"value":[{{"id":"1"}},{}"#, "[{\"a\":".repeat(100_000));
        assert_eq!(split(open.as_bytes()).expect("a page").items.len(), 1);
    }

    #[test]
    fn more_than_anybody_asked_for_is_counted() {
        let body = format!(r#"{{"value":[{{"id":"1"}}{}],"@odata.nextLink":"n"}}"#, ",1".repeat(3_000_000));
        let page = split(body.as_bytes()).expect("a page");
        assert_eq!((page.items.len(), page.broken.len(), page.count()), (1, 9, 3_000_001));
        let beyond = page.beyond.expect("more");
        assert_eq!((beyond.count, beyond.body.len()), (2_999_991, super::BEYOND_BYTES_MAX));
        assert_eq!((page.next_link.as_deref(), page.is_whole()), (Some("n"), false));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(page) = split(&body) {
                prop_assert!(page.count() <= body.len());
            }
            let mut page = b"{\"value\":[".to_vec();
            page.extend_from_slice(&body);
            if let Ok(page) = split(&page) {
                for item in page.items {
                    prop_assert!(serde_json::from_str::<&RawValue>(item.body).is_ok());
                }
            }
        }

        #[test]
        fn any_structure_is_survived(body in "[\\[\\]{}:,\"\\\\1 ]{0,40}") {
            for start in ["", "{\"value\":[", "{\"value\":[{\"id\":\"1\"}"] {
                if let Ok(page) = split(format!("{start}{body}").as_bytes()) {
                    prop_assert!(page.items.len() + page.broken.len() <= 10);
                }
            }
        }

        /// Cut a page anywhere: every record that is whole is found, and the page says that it is not whole.
        #[test]
        fn cut_anywhere(
            ids in proptest::collection::vec("[a-z\\\\\"{}\\[\\],]{0,6}x", 1..6),
            link_first in any::<bool>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let items: Vec<String> = ids.iter().map(|id| serde_json::json!({"id": id}).to_string()).collect();
            let link = r#""@odata.nextLink":"https://g/x""#;
            let (start, end) =
                if link_first { (format!("{{{link},\"value\":["), "]}".to_owned()) } else { ("{\"value\":[".to_owned(), format!("],{link}}}")) };
            let page = format!("{start}{}{end}", items.join(","));
            let cut = start.len() + cut.index(page.len() - start.len());
            let whole = items
                .iter()
                .scan(start.len(), |end, item| { *end += item.len() + 1; Some(*end) })
                .filter(|end| *end <= cut)
                .count();
            // The last record counts as whole only once the comma or bracket behind it is there.
            match split(&page.as_bytes()[..cut]) {
                Ok(split) => {
                    prop_assert_eq!(split.items.len(), whole);
                    prop_assert!(split.torn.is_some());
                    prop_assert!(split.next_link.is_some() || !link_first);
                }
                Err(_) => prop_assert_eq!(whole, 0),
            }
            let full = split(page.as_bytes()).expect("a page");
            prop_assert!(full.is_whole() && full.next_link.is_some() && full.items.len() == items.len());
        }
    }
}
