//! Any text taken for a settings file: settings, or mistakes that are told with the file's name.
#![no_main]

use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use muster::config::Settings;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let files = [(PathBuf::from("muster.toml"), text.to_owned())];
    if let Err(mistakes) = Settings::parse(Path::new("."), &files) {
        assert!(mistakes.to_string().contains("muster.toml"), "{mistakes}");
    }
});
