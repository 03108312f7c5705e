//! Any text taken for an access token: it is explained or refused, and the explanation is harmless on a terminal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_microsoft::entra::inspect;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let now = jiff::Timestamp::from_second(1_800_000_000).expect("a time");
    match inspect::inspect(text, now) {
        Ok(inspection) => drop(format!("{inspection:?}")),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
