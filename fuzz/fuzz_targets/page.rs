//! Pages of records, whole and torn: what is found lies in the page, and a whole page is read as a parser reads it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_microsoft::api::challenge::{challenges, wanted_claims};
use muster_microsoft::api::page;
use muster_microsoft::entra::aadsts;

fuzz_target!(|data: &[u8]| {
    if let Ok(split) = page::split(data) {
        for item in &split.items {
            assert!(item.len() <= data.len());
        }
        if let Ok(whole) = serde_json::from_slice::<serde_json::Value>(data) {
            if split.torn.is_none()
                && let Some(list) = whole["value"].as_array()
            {
                assert_eq!(list.len(), split.items.len());
            }
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        drop(challenges(text));
        drop(wanted_claims(text));
        let _ = aadsts::code_in(text);
    }
});
