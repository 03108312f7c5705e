//! Any text taken for a settings file: settings, or mistakes that are told with the file's name and a line that it
//! has. Settings that are taken work: each sink knows how its records are encoded.
//!
//! The fuzz target `settings` has the same, for hours; `any_settings.rs` for a second.

use std::path::{Path, PathBuf};

use muster::config::Settings;

/// Panics where it is neither.
pub(crate) fn is_settings_or_mistakes(text: &str) {
    let files = [(PathBuf::from("muster.toml"), text.to_owned())];
    match Settings::parse(Path::new("."), &files) {
        Ok(settings) => {
            for (name, sink) in &settings.sinks {
                sink.any().encoding().unwrap_or_else(|mistakes| panic!("{name}: {mistakes:?}"));
            }
            for route in &settings.routes {
                assert!(route.sinks.iter().all(|sink| settings.sinks.contains_key(sink)));
            }
            assert!(!settings.secret_references().is_empty());
            assert_eq!(settings.fingerprint.len(), 32);
        }
        Err(mistakes) => {
            assert!(!mistakes.0.is_empty());
            let lines = text.split('\n').count();
            for mistake in &mistakes.0 {
                assert!(mistake.to_string().starts_with("muster.toml"), "{mistake}");
                assert!(!mistake.message.is_empty());
                assert!(
                    mistake.line.is_none_or(|line| (1..=lines).contains(&line)),
                    "{mistake}: {lines} lines"
                );
            }
            let again = Settings::parse(Path::new("."), &files).expect_err("the same mistakes");
            assert_eq!(again.0, mistakes.0);
        }
    }
}
