//! Rows of the streaming API, as blobs hold them, taken apart piece by piece.
//!
//! Microsoft writes a row a line. What others make of it on the way are envelopes (`{"records":[…]}`, one a line or one
//! over many lines) and lists. All are read as what they come to: rows, with punctuation between them. So a blob can be
//! read on behind any row, whatever it holds and however large it is, and it does not matter where a piece ends: what is
//! not whole yet is left for the next piece.
//!
//! What is no row is handed back with its bytes, up to where its line or its value ends, and the rest is read on.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr;

use super::{Broken, Item, no_record};
use crate::json::scan::string_end;
use crate::json::{self, skim};
use crate::record::HeadFacts;
use crate::text::shown;
use crate::{RecordHead, RecordKind};

/// What may stand in front of a text.
const BOM: &[u8] = b"\xef\xbb\xbf";
/// How every category of Defender's tables begins.
const CATEGORY: &str = "AdvancedHunting-";
/// The table whose rows are alerts, each known by its id in whatever API.
const ALERTS: &str = "AdvancedHunting-AlertInfo";

/// What a piece of a blob holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rows<'a> {
    /// The rows, in order.
    pub items: Vec<Row<'a>>,
    /// What is no row, in order.
    pub broken: Vec<Broken<'a>>,
    /// How many bytes have been read for good. Behind them begins what is not whole yet.
    pub consumed: usize,
}

/// A row.
#[derive(Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// The record that it is. An alert's has the alert's id.
    pub item: Item<'a>,
    /// Whose it is: the id of a tenant, as written.
    pub tenant: Cow<'a, str>,
}

/// Takes a piece of a blob apart that begins where the blob does, or behind what was consumed before. `is_end`: nothing
/// follows it now.
#[must_use]
pub fn rows(bytes: &[u8], is_end: bool) -> Rows<'_> {
    let mut reading = Reading { bytes, at: 0, is_closed: false, found: Rows::default() };
    while reading.step() {}
    if is_end && reading.at == bytes.len() {
        reading.found.consumed = reading.at;
    }
    reading.found
}

struct Reading<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Whether a list has been closed since the last row: fields of its envelope may follow.
    is_closed: bool,
    found: Rows<'a>,
}

/// Where a value ends, if it does.
enum Taken<'a> {
    Row(usize, Row<'a>),
    /// An envelope, whose list begins behind this.
    Envelope(usize),
    /// No row, and why. Where it ends is known only for what is JSON.
    Broken(Option<usize>, String),
    /// Not whole yet.
    Cut,
}

impl<'a> Reading<'a> {
    /// Takes what stands next; `false` when nothing whole does.
    fn step(&mut self) -> bool {
        let rest = &self.bytes[self.at..];
        let Some(first) = rest.first() else { return false };
        match first {
            b' ' | b'\n' | b'\r' | b'\t' => self.at = skim::blank(self.bytes, self.at),
            b',' | b'[' | b'}' => self.at += 1,
            b']' => {
                self.at += 1;
                self.is_closed = true;
            }
            b'\xef' if rest.starts_with(BOM) => self.at += BOM.len(),
            b'\xef' if BOM.starts_with(rest) => return false,
            b'"' if self.is_closed => return self.field(),
            b'{' => {
                return match self.object() {
                    Taken::Row(end, row) => {
                        self.found.items.push(row);
                        self.read_up_to(end)
                    }
                    Taken::Envelope(list) => {
                        self.at = list;
                        true
                    }
                    Taken::Broken(end, reason) => self.broken(end, reason),
                    Taken::Cut => false,
                };
            }
            _ => return self.broken(None, "it is not JSON".to_owned()),
        }
        true
    }

    fn read_up_to(&mut self, end: usize) -> bool {
        (self.at, self.found.consumed, self.is_closed) = (end, end, false);
        true
    }

    /// Passes a field of an envelope that stands behind its list.
    fn field(&mut self) -> bool {
        // A string has no line break in it, whatever comes behind one.
        let line = memchr(b'\n', &self.bytes[self.at..]).map_or(self.bytes.len(), |length| self.at + length);
        let Some((end, _)) = string_end(&self.bytes[..line], self.at + 1) else {
            return self.broken(None, "it is not JSON".to_owned());
        };
        let colon = skim::blank(self.bytes, end + 1);
        let value = skim::blank(self.bytes, colon + 1);
        match self.bytes.get(colon) {
            None => false,
            Some(b':') => match skim::value(self.bytes, value, |_, _| ()) {
                Ok(skimmed) => {
                    self.at = skimmed.end;
                    // What ends here may be a number whose digits go on.
                    skimmed.end < self.bytes.len()
                }
                Err(json::Error::Malformed { at }) if self.is_cut_at(at) => false,
                Err(error) => self.broken(None, error.to_string()),
            },
            Some(_) => self.broken(None, "it is not JSON".to_owned()),
        }
    }

    /// Takes what is no row: up to `end`, or where the line or, on a line with others, the value ends.
    fn broken(&mut self, end: Option<usize>, reason: String) -> bool {
        let rest = &self.bytes[self.at..];
        let line = memchr(b'\n', rest).map(|length| self.at + length);
        let in_line = &self.bytes[..line.unwrap_or(self.bytes.len())];
        let Some(end) = end.or_else(|| skim::loose_end(in_line, self.at)).or(line) else { return false };
        let body = self.bytes[self.at..end].trim_ascii_end();
        self.found.broken.push(Broken { body, reason });
        self.read_up_to(end)
    }

    /// Takes the object that begins here.
    fn object(&self) -> Taken<'a> {
        let (bytes, start) = (self.bytes, self.at);
        if let Some(list) = self.envelope() {
            return Taken::Envelope(list);
        }
        let mut head = HeadFacts::of(RecordKind::HuntingRow);
        let mut facts = Facts::default();
        let skimmed = skim::value(bytes, start, |key, value| {
            head.note(&bytes[key.clone()], &bytes[value.clone()]);
            facts.note(&bytes[key], &bytes[value.clone()], value);
        });
        match skimmed {
            Ok(skimmed) => match facts.records {
                Some(list) => Taken::Envelope(list + 1),
                None => match row(&bytes[start..skimmed.end], head, &facts, skimmed.depth) {
                    Ok(row) => Taken::Row(skimmed.end, row),
                    Err(reason) => Taken::Broken(Some(skimmed.end), reason),
                },
            },
            Err(json::Error::Malformed { at }) if self.is_cut_at(at) => Taken::Cut,
            Err(error) => Taken::Broken(None, error.to_string()),
        }
    }

    /// Behind the bracket of its list, where an envelope begins here that has its list first, as Microsoft's do: such a one
    /// may be of any size.
    fn envelope(&self) -> Option<usize> {
        let key = skim::blank(self.bytes, self.at + 1);
        let rest = self.bytes.get(key..)?.strip_prefix(b"\"records\"")?;
        let colon = skim::blank(rest, 0);
        let list = skim::blank(rest, colon + 1);
        let is_list = rest.get(colon) == Some(&b':') && rest.get(list) == Some(&b'[');
        is_list.then(|| self.bytes.len() - rest.len() + list + 1)
    }

    /// Whether what cannot be understood here may be, once more follows.
    fn is_cut_at(&self, at: usize) -> bool {
        let rest = self.bytes.get(at..).unwrap_or_default();
        match rest.first() {
            None => true,
            // A string has no line break in it: one that meets it does not end.
            Some(b'"') => string_end(rest, 1).is_none() && memchr(b'\n', rest).is_none(),
            // Between values blanks are passed: this one stands in a string.
            Some(0..=b' ') => false,
            Some(_) => [&b"true"[..], b"false", b"null"].iter().any(|word| word.starts_with(rest)),
        }
    }
}

/// What a row says of itself beside its head, as written.
#[derive(Default)]
struct Facts<'a> {
    category: &'a [u8],
    tenant: &'a [u8],
    properties: &'a [u8],
    /// Where a list of rows begins in it.
    records: Option<usize>,
}

impl<'a> Facts<'a> {
    fn note(&mut self, key: &[u8], value: &'a [u8], at: Range<usize>) {
        match key {
            b"category" => self.category = value,
            b"tenantId" => self.tenant = value,
            b"properties" => self.properties = value,
            b"records" if value.starts_with(b"[") => self.records = Some(at.start),
            _ => {}
        }
    }
}

fn text(value: &[u8]) -> Option<Cow<'_, str>> {
    json::text(std::str::from_utf8(value).ok()?)
}

fn row<'a>(body: &'a [u8], head: HeadFacts<'a>, facts: &Facts<'a>, depth: usize) -> Result<Row<'a>, String> {
    let body = std::str::from_utf8(body).map_err(|error| format!("it is not UTF-8: {error}"))?;
    let category = text(facts.category).unwrap_or_default();
    if !category.starts_with(CATEGORY) {
        let category = shown(&category, 60);
        return Err(format!(
            "it is no row of Defender's streaming API: its category is `{category}`, and not {CATEGORY}…"
        ));
    }
    let tenant = text(facts.tenant).filter(|tenant| !tenant.is_empty());
    let Some(tenant) = tenant else {
        return Err("it does not say whose it is: it has no `tenantId`".to_owned());
    };
    let mut head = head.head(body, depth).map_err(no_record)?;
    // Nothing else says when a row changed.
    head.updated_at = head.created_at;
    if category == ALERTS
        && let Some(id) = alert_id(facts.properties)
    {
        head.id = id;
    }
    Ok(Row { item: Item { head, body }, tenant })
}

/// The id of the alert that a row is, if it has one that can be an id.
fn alert_id(properties: &[u8]) -> Option<String> {
    let properties = std::str::from_utf8(properties).ok()?;
    let mut id = None;
    skim::fields(properties, |key, value| {
        if key == "AlertId" {
            id = json::text(value);
        }
    })
    .ok()?;
    let fits = |id: &Cow<'_, str>| !id.is_empty() && id.len() <= RecordHead::ID_BYTES_MAX;
    id.filter(fits).map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TENANT: &str = "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d";

    fn a_row(table: &str, properties: &str) -> String {
        format!(
            r#"{{"time":"2026-03-02T08:20:00.5Z","tenantId":"{TENANT}","operationName":"Publish","category":"AdvancedHunting-{table}","properties":{properties}}}"#
        )
    }

    fn alert(number: usize) -> String {
        a_row("AlertInfo", &format!(r#"{{"AlertId":"da{number}","Timestamp":"2026-03-02T08:15:00Z"}}"#))
    }

    fn ids(text: &str) -> Vec<String> {
        let found = rows(text.as_bytes(), true);
        assert_eq!(found.broken, [], "{text}");
        assert_eq!(found.consumed, text.len(), "{text}");
        found.items.into_iter().map(|row| row.item.head.id).collect()
    }

    #[test]
    fn rows_come_in_lines_envelopes_and_lists() {
        let (one, two, three) = (alert(1), alert(2), alert(3));
        let pretty = |rows: &[&String]| {
            let rows: Vec<serde_json::Value> =
                rows.iter().map(|row| serde_json::from_str(row).expect("JSON")).collect();
            serde_json::to_string_pretty(&serde_json::json!({ "records": rows })).expect("JSON")
        };
        for text in [
            format!("{one}\n{two}\n{three}\n"),
            format!("\u{feff}{one}\r\n{two}\r\n\r\n{three}"),
            format!("{one}{two}{three}"),
            format!("{{\"records\":[{one},{two}]}}\n{{\"records\":[{three}]}}\n{{\"records\":[]}}"),
            pretty(&[&one, &two, &three]),
            format!("{}\n{}", pretty(&[&one]), pretty(&[&two, &three])),
            format!("[{one},\n{two},{three}]\n"),
            format!("{{ \"id\": 7, \"records\" : [ {one}, {two} , {three} ] }}"),
            format!("{{\"records\":[{one},{two},{three}],\"count\":3,\"more\":{{\"a\":[\"}}\"]}}}}\n"),
        ] {
            assert_eq!(ids(&text), ["da1", "da2", "da3"], "{text}");
        }
        for empty in ["", "\n\n", "[]", "{\"records\":[]}", "\u{feff}", "  "] {
            assert_eq!(ids(empty), [""; 0], "{empty:?}");
        }
    }

    #[test]
    fn a_row_says_which_record_it_is_when_it_was_and_whose() {
        let texts = [
            a_row("AlertInfo", r#"{"AlertId":"da1","Timestamp":"2026-03-02T08:15:00Z","Severity":"High"}"#),
            a_row("AlertInfo", r#"{"AlertId":null,"Timestamp":null,"Severity":null}"#),
            a_row("DeviceEvents", r#"{"AlertId":"da1","ReportId":"7"}"#),
            a_row("AlertInfo", "null"),
        ];
        let text = texts.join("\n");
        let found = rows(text.as_bytes(), true);
        assert_eq!((found.items.len(), found.broken.len()), (4, 0));
        let heads: Vec<_> = found.items.iter().map(|row| &row.item.head).collect();
        assert_eq!(heads[0].id, "da1");
        assert_eq!(heads[0].updated_at.expect("a time").to_string(), "2026-03-02T08:15:00Z");
        // What is no alert, or does not say which, is known by its content.
        for head in &heads[1..] {
            assert_eq!(head.id.len(), 32);
            assert_eq!(head.updated_at.expect("a time").to_string(), "2026-03-02T08:20:00.5Z");
        }
        assert!(found.items.iter().all(|row| row.tenant == TENANT));
    }

    #[test]
    fn what_is_no_row_is_kept_and_the_rest_read() {
        let (one, two) = (alert(1), alert(2));
        let foreign = one.replace("AdvancedHunting-AlertInfo", "AuditLogs");
        let nobodys = one.replace(TENANT, "");
        for (bad, reason) in [
            ("garbage", "it is not JSON"),
            ("{\"time\":\"2026", "it is not JSON"),
            ("{\"a\":tru}", "it is not JSON"),
            ("{\"a\":1}", "it is no row of Defender's"),
            ("\"text\"", "it is not JSON"),
            ("7", "it is not JSON"),
            ("{\"a\":\"\\x\"}", "it is not JSON"),
            (&foreign, "`AuditLogs`"),
            (&nobodys, "does not say whose"),
            (&a_row("X", &format!("{}{}", "[".repeat(110), "]".repeat(110))), "111 levels"),
            (&a_row("X", &format!("{}{}", "[".repeat(300), "]".repeat(300))), "levels deep"),
        ] {
            let text = format!("{one}\n{bad}\n{two}\n");
            let found = rows(text.as_bytes(), true);
            let kept: Vec<_> = found.broken.iter().map(|broken| broken.body).collect();
            assert_eq!((found.items.len(), kept), (2, vec![bad.as_bytes()]), "{bad}");
            assert!(found.broken[0].reason.contains(reason), "{bad}: {}", found.broken[0].reason);
            assert_eq!(found.consumed, text.len());
        }
        // On one line with others, it costs them nothing.
        let text = format!("{{\"records\":[{one},{{\"a\":x}},{two}]}}");
        let found = rows(text.as_bytes(), true);
        assert_eq!((found.items.len(), found.broken[0].body), (2, &b"{\"a\":x}"[..]));
        let bytes = [one.as_bytes(), b"\n{\"a\":\"\xff\"}\n", two.as_bytes()].concat();
        assert_eq!((rows(&bytes, true).items.len(), rows(&bytes, true).broken.len()), (2, 1));
    }

    #[test]
    fn what_is_cut_waits() {
        let (one, two) = (alert(1), alert(2));
        for cut in 1..two.len() {
            let text = format!("{one}\n{}", &two[..cut]);
            let found = rows(text.as_bytes(), true);
            assert_eq!((found.items.len(), found.broken.len(), found.consumed), (1, 0, one.len()), "{cut}");
        }
        // A value that ends with its line may have gone on behind it: who reads the whole blob knows that it has not.
        let text = format!("{one}\n{{\"time\":\n{two}\n");
        assert_eq!(rows(text.as_bytes(), true).consumed, one.len());
        let text = format!("{{\"records\":[{one},");
        let found = rows(text.as_bytes(), false);
        assert_eq!((found.items.len(), found.consumed), (1, text.len() - 1));
    }

    /// A quote behind a list may be that of a field. What follows it on the next line is not its end.
    #[test]
    fn a_quote_behind_a_list_reaches_no_further_than_its_line() {
        let text = "realm=\"\", a\"x[1,\"]\"]aph\na.;:ta==\"";
        let whole = read(text.as_bytes(), &[]);
        assert_eq!(whole.1[2], b"\"]aph", "{whole:?}");
        for cut in 0..=text.len() {
            assert_eq!(read(text.as_bytes(), &[cut]), whole, "{cut}");
        }
    }

    /// A key has no line break in it either.
    #[test]
    fn a_key_reaches_no_further_than_its_line() {
        let text = format!("{{\"@od{}\"\0\0\0k", "\n".repeat(23));
        let whole = read(text.as_bytes(), &[]);
        for cut in 0..=text.len() {
            assert_eq!(read(text.as_bytes(), &[cut]), whole, "{cut}");
        }
    }

    /// Everything that a blob gives when it is read in pieces that end there.
    fn read(bytes: &[u8], cuts: &[usize]) -> (Vec<String>, Vec<Vec<u8>>, usize) {
        let (mut items, mut broken, mut at) = (Vec::new(), Vec::new(), 0);
        for end in cuts.iter().copied().chain([bytes.len()]) {
            let found = rows(&bytes[at..end.max(at)], end == bytes.len());
            items.extend(found.items.into_iter().map(|row| row.item.body.to_owned()));
            broken.extend(found.broken.into_iter().map(|broken| broken.body.to_vec()));
            at += found.consumed;
        }
        (items, broken, at)
    }

    proptest! {
        /// It does not matter where a piece ends.
        #[test]
        fn pieces_give_what_the_whole_gives(
            parts in proptest::collection::vec(0..14_usize, 0..8),
            junk in "[\\[\\]{}:,\"\\\\0-9ntrue \r\n\u{feff}a]{0,12}",
            mut cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..5),
        ) {
            let (one, two) = (alert(1), a_row("DeviceEvents", r#"{"a":"\"{[\\u00e9 ü","b":[1,{"c":null}]}"#));
            let pretty = serde_json::to_string_pretty(
                &serde_json::from_str::<serde_json::Value>(&two).expect("JSON")
            ).expect("JSON");
            let text: String = parts.iter().map(|part| match part {
                0 | 1 => format!("{one}\n"),
                2 => two.clone(),
                3 => format!("{pretty},\n"),
                4 => format!("{{\"records\":[{one},{two}]}}"),
                5 => format!("{{\"records\" : [\n{two}\n],\"x\":12}}\n"),
                6 => format!("{{\"x\":1.5,\"records\":[{one}]}}"),
                7 => format!("[{two},{one}]\n"),
                8 => one[..one.len() / 2].to_owned(),
                9 => format!("{}\n", &two[..two.len() - 9]),
                10 => "\n".to_owned(),
                11 => "\u{feff}".to_owned(),
                _ => junk.clone(),
            }).collect();
            let mut at: Vec<usize> = cuts.iter_mut().map(|cut| cut.index(text.len() + 1)).collect();
            at.sort_unstable();
            prop_assert_eq!(read(text.as_bytes(), &at), read(text.as_bytes(), &[]), "{} {:?}", text, at);
        }
    }
}
