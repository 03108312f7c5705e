//! Pages of records, whole and torn: what is found lies in the page, a whole page is read as a parser reads it, and of a
//! page that breaks off anywhere every record before the break is found. Rows of blobs, whole and in pieces. Headers that
//! ask for claims, and error codes in any text.
#![no_main]

#[expect(dead_code, reason = "other targets ask it for more")]
mod strict;

use libfuzzer_sys::fuzz_target;
use muster_microsoft::api::challenge::{challenges, wanted_claims};
use muster_microsoft::entra::aadsts;
use muster_model::page::{self, List, NotAPage, Page};
use muster_model::{RecordHead, RecordKind};
use strict::Json;

/// How many items are kept.
const ITEMS_MAX: usize = 50;

fn split(data: &[u8]) -> Result<Page<'_>, NotAPage> {
    page::split(data, RecordKind::GraphAlert, List::Field("value"), ITEMS_MAX)
}

/// The rows of a blob, and what of it is none.
fn rows(data: &[u8], is_end: bool) -> (Vec<&[u8]>, usize) {
    let found = page::rows(data, is_end);
    let items = found.items.into_iter().map(|row| row.item.body.as_bytes());
    (items.chain(found.broken.into_iter().map(|broken| broken.body)).collect(), found.consumed)
}

/// It does not matter where a piece of a blob ends.
fn streamed(data: &[u8]) {
    let (mut whole, consumed) = rows(data, true);
    let cut = data.iter().fold(7_usize, |sum, byte| sum * 31 % 65_521 + usize::from(*byte)) % (data.len() + 1);
    let (mut pieces, first) = rows(&data[..cut], cut == data.len());
    let (rest, second) = rows(&data[first..], true);
    pieces.extend(rest);
    // Rows and what is none are told apart from each other, each in its order.
    whole.sort_unstable();
    pieces.sort_unstable();
    assert_eq!((pieces, first + second), (whole, consumed));
}

fuzz_target!(|data: &[u8]| {
    streamed(data);
    let page = split(data);
    match &page {
        Ok(page) => found(page, data),
        Err(error) => {
            let shown = error.to_string();
            assert!(!shown.chars().any(char::is_control) && shown.len() < 4096, "{shown:?}");
        }
    }
    let whole = std::str::from_utf8(data).ok().and_then(Json::read);
    if let (Ok(page), Some(Json::Object(parsed))) = (&page, &whole)
        && let Some(Json::List(list)) = parsed.get("value")
        && page.torn.is_none()
    {
        assert_eq!(page.count(), list.len());
        let items = page.items.iter().map(|item| Json::read(item.body).expect("strict items"));
        let mut rest = list.iter();
        for item in items {
            assert!(rest.any(|expected| *expected == item), "in order");
        }
        if page.is_whole() {
            assert_eq!(page.items.len(), list.len());
        }
        match parsed.get("@odata.nextLink") {
            Some(Json::Text(link)) => assert_eq!(page.next_link.as_deref(), Some(link.as_str())),
            _ => assert_eq!(page.next_link, None),
        }
        // Where it breaks off is taken from the page itself.
        let cut = data.iter().fold(0_usize, |sum, byte| sum * 31 % 65_521 + usize::from(*byte)) % data.len();
        if let Ok(torn) = split(&data[..cut]) {
            found(&torn, &data[..cut]);
            assert!(torn.torn.is_some() || torn.items.len() == page.items.len());
            assert!(page.items.starts_with(&torn.items));
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let found = challenges(text);
        let lengths = found.iter().flat_map(|challenge| {
            assert!(!challenge.scheme.is_empty());
            challenge.parameters.iter().map(|(name, value)| name.len() + value.len())
        });
        assert!(lengths.sum::<usize>() <= text.len());
        if let Some(claims) = wanted_claims(text) {
            assert!(claims["access_token"].is_object());
        }
        let _ = aadsts::code_in(text);
    }
});

/// Every part lies in the page, in order, and is what it is said to be.
fn found(page: &Page<'_>, data: &[u8]) {
    assert!(page.items.len() + page.broken.len() <= ITEMS_MAX);
    let mut end = 0;
    for item in &page.items {
        serde_json::from_str::<&serde_json::value::RawValue>(item.body).expect("an item is JSON");
        let start = item.body.as_ptr().addr() - data.as_ptr().addr();
        assert!(start >= end && start + item.body.len() <= data.len());
        end = start + item.body.len();
        let head = RecordHead::read(RecordKind::GraphAlert, item.body).expect("an item is a record");
        assert_eq!(item.head, head);
    }
    for broken in &page.broken {
        let text = std::str::from_utf8(broken.body).ok();
        let record = text.map(|text| RecordHead::read(RecordKind::GraphAlert, text));
        assert!(!record.is_some_and(|record| record.is_ok()) && !broken.reason.is_empty());
    }
    if let Some(beyond) = page.beyond {
        assert!(page.items.len() + page.broken.len() == ITEMS_MAX && beyond.count > 0);
    }
}
