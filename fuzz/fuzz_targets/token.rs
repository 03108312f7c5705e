//! Any text taken for an access token: it is explained or refused, and the explanation is harmless on a terminal and
//! leaves no claim out. Where a text is no token at all, it is taken for the claims of one.
#![no_main]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use muster_microsoft::entra::inspect::{self, Inspection};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let now = Timestamp::from_second(1_800_000_000).expect("a time");
    if !told(text, now) {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT"}"#);
        told(&format!("{header}.{}.c2ln", URL_SAFE_NO_PAD.encode(text)), now);
    }
});

/// Whether the text is a token; checks what is said of it.
fn told(text: &str, now: Timestamp) -> bool {
    match inspect::inspect(text, now) {
        Ok(inspection) => {
            explained(&inspection, now);
            true
        }
        Err(error) => {
            harmless(&error.to_string());
            false
        }
    }
}

fn explained(inspection: &Inspection, now: Timestamp) {
    harmless(&inspection.kind);
    for entry in inspection.header.iter().chain(&inspection.claims) {
        // An empty name is a name.
        assert!(!entry.name.chars().any(char::is_control), "{:?}", entry.name);
        assert!(!entry.meaning.chars().any(char::is_control), "{:?}", entry.meaning);
    }
    for time in &inspection.times {
        harmless(&time.name);
        harmless(&time.relative);
        assert_eq!(time.relative.starts_with("in "), time.at.as_second() > now.as_second());
        let names = inspection.claims.iter().map(|claim| claim.name.as_str());
        assert!(names.into_iter().any(|name| ["iat", "nbf", "exp", "auth_time"].contains(&name)));
    }
    for permission in &inspection.permissions {
        assert!(!permission.name.chars().any(char::is_control), "{:?}", permission.name);
        assert!(!permission.allows.chars().any(char::is_control), "{:?}", permission.allows);
    }
    inspection.warnings.iter().for_each(|warning| harmless(warning));
    serde_json::to_string(inspection).expect("it can be shown as JSON");
}

fn harmless(text: &str) {
    assert!(!text.is_empty() && !text.chars().any(char::is_control), "{text:?}");
}
