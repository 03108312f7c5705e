//! Pages of records, whole and torn: what is found lies in the page, a whole page is read as a parser reads it, and
//! of a page that breaks off anywhere every record before the break is found. Headers that ask for claims, and error
//! codes in any text.
#![no_main]

#[expect(dead_code, reason = "other targets ask it for more")]
mod strict;

use libfuzzer_sys::fuzz_target;
use muster_microsoft::api::challenge::{challenges, wanted_claims};
use muster_microsoft::api::page::{self, Split};
use muster_microsoft::entra::aadsts;
use strict::Json;

fuzz_target!(|data: &[u8]| {
    let split = page::split(data);
    match &split {
        Ok(split) => found(split, data),
        Err(error) => {
            let shown = error.to_string();
            assert!(!shown.chars().any(char::is_control) && shown.len() < 4096, "{shown:?}");
        }
    }
    let whole = std::str::from_utf8(data).ok().and_then(Json::read);
    if let (Ok(split), Some(Json::Object(page))) = (&split, &whole)
        && let Some(Json::List(list)) = page.get("value")
        && split.torn.is_none()
    {
        let items: Vec<_> = split.items.iter().map(|item| Json::read(item).expect("strict items")).collect();
        assert_eq!(&items, list);
        assert!(split.broken.is_empty());
        match page.get("@odata.nextLink") {
            Some(Json::Text(link)) => assert_eq!(split.next_link.as_deref(), Some(link.as_str())),
            Some(Json::Number(_)) => {}
            _ => assert_eq!(split.next_link, None),
        }
        // Where it breaks off is taken from the page itself.
        let cut = data.iter().fold(0_usize, |sum, byte| sum * 31 % 65_521 + usize::from(*byte)) % data.len();
        if let Ok(torn) = page::split(&data[..cut]) {
            found(&torn, &data[..cut]);
            assert!(torn.torn.is_some() || torn.items.len() == split.items.len());
            assert!(split.items.starts_with(&torn.items));
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
fn found(split: &Split<'_>, data: &[u8]) {
    let mut end = 0;
    for item in &split.items {
        serde_json::from_str::<&serde_json::value::RawValue>(item).expect("an item is JSON");
        let start = item.as_ptr().addr() - data.as_ptr().addr();
        assert!(start >= end && start + item.len() <= data.len());
        end = start + item.len();
    }
    for (item, why) in &split.broken {
        let text = std::str::from_utf8(item).ok();
        let json = text.map(serde_json::from_str::<&serde_json::value::RawValue>);
        assert!(!json.is_some_and(|json| json.is_ok()) && !why.is_empty());
    }
}
