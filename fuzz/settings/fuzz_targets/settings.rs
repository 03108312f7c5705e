//! Any text taken for a settings file.
#![no_main]

#[path = "../../../crates/muster/tests/it/any_text.rs"]
mod any_text;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        any_text::is_settings_or_mistakes(text);
    }
});
