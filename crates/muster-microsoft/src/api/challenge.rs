//! What a 401 asks for: the `WWW-Authenticate` header, and the claims challenge in it.
//!
//! Source: RFC 9110 section 11.6.1; Microsoft "Claims challenges and claims requests".

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::GeneralPurpose;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use serde_json::{Map, Value};

/// Longer headers are not looked at.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// More challenges and parameters are not looked at.
const PARTS_MAX: usize = 64;
/// No claims request is longer.
const CLAIMS_BYTES_MAX: usize = 4 << 10;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// One challenge of a `WWW-Authenticate` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The scheme, such as `Bearer`.
    pub scheme: String,
    /// Its parameters, names in lower case.
    pub parameters: Vec<(String, String)>,
}

impl Challenge {
    /// The first parameter of this name.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Takes a header apart, as far as it can be. Text that makes no sense is passed over.
#[must_use]
pub fn challenges(header: &str) -> Vec<Challenge> {
    let mut found: Vec<Challenge> = Vec::new();
    if header.len() > HEADER_BYTES_MAX {
        return found;
    }
    let mut rest = header;
    for _ in 0..PARTS_MAX {
        rest = rest.trim_start_matches(|c: char| c == ',' || c.is_ascii_whitespace());
        let end = rest.find(|c: char| !is_token(c)).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        if word.is_empty() {
            // A character that begins nothing.
            let mut letters = rest.chars();
            if letters.next().is_none() {
                break;
            }
            rest = letters.as_str();
            continue;
        }
        let value = behind.trim_start().strip_prefix('=').map(str::trim_start);
        rest = match (value, found.last_mut()) {
            (Some(value), Some(challenge)) => {
                let (value, behind) = parameter_value(value);
                challenge.parameters.push((word.to_ascii_lowercase(), value));
                behind
            }
            (Some(value), None) => parameter_value(value).1,
            (None, _) => {
                found.push(Challenge { scheme: word.to_owned(), parameters: Vec::new() });
                behind
            }
        };
    }
    found
}

/// A token or a quoted string, and what comes behind it.
fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c == ',' || c.is_ascii_whitespace()).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut letters = quoted.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => break,
            '\\' => value.extend(letters.next()),
            other => value.push(other),
        }
    }
    (value, letters.as_str())
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c)
}

/// The claims that an API wants to see in a new token (continuous access evaluation), if that is why it refused.
#[must_use]
pub fn wanted_claims(header: &str) -> Option<Map<String, Value>> {
    let challenges = challenges(header);
    let challenge = challenges.iter().find(|challenge| {
        challenge.scheme.eq_ignore_ascii_case("bearer")
            && challenge.parameter("error") == Some("insufficient_claims")
    })?;
    decode_claims(challenge.parameter("claims")?)
}

/// Base64 of a JSON object, bounded. It goes back to the identity platform only, which judges it.
fn decode_claims(text: &str) -> Option<Map<String, Value>> {
    if text.len() > CLAIMS_BYTES_MAX {
        return None;
    }
    let json = BASE64.decode(text).or_else(|_| BASE64_URL.decode(text)).ok()?;
    let claims: Map<String, Value> = serde_json::from_slice(&json).ok()?;
    claims.get("access_token").is_some_and(Value::is_object).then_some(claims)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GRAPH: &str = r#"Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", client_id="00000003-0000-0000-c000-000000000000", error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZSwgInZhbHVlIjoiMTYwNDEwNjY1MSJ9fX0=""#;

    #[test]
    fn a_claims_challenge_is_found() {
        let claims = wanted_claims(GRAPH).expect("claims");
        assert_eq!(claims["access_token"]["nbf"]["value"], "1604106651");
    }

    #[test]
    fn other_refusals_are_no_claims_challenge() {
        for header in [
            "",
            "Bearer",
            r#"Bearer error="invalid_token""#,
            r#"Bearer error="insufficient_claims""#,
            r#"Bearer error="insufficient_claims", claims="!!!""#,
            r#"Bearer error="insufficient_claims", claims="W10=""#,
            r#"Bearer error="insufficient_claims", claims="e30=""#,
            &GRAPH.replace("Bearer", "Basic"),
            &format!(r#"Bearer error="insufficient_claims", claims="{}""#, "A".repeat(CLAIMS_BYTES_MAX + 1)),
        ] {
            assert_eq!(wanted_claims(header), None, "{header}");
        }
    }

    #[test]
    fn several_challenges_and_odd_spellings_are_told_apart() {
        let found =
            challenges(r#"Negotiate, bearer Authorization = "https://x/\"a\"" ,resource=https://vault"#);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].parameters, []);
        assert_eq!(found[1].parameter("authorization"), Some(r#"https://x/"a""#));
        assert_eq!(found[1].parameter("resource"), Some("https://vault"));
    }

    proptest! {
        #[test]
        fn any_header_is_survived(header in ".{0,400}") {
            prop_assert_eq!(wanted_claims(&header), None);
            prop_assert!(challenges(&header).len() <= PARTS_MAX);
        }

        #[test]
        fn values_come_back_as_they_were_quoted(value in "[^\"\\\\]{0,60}") {
            let header = format!("Bearer a=b, claims=\"{value}\"");
            let found = challenges(&header);
            prop_assert_eq!(found[0].parameter("claims"), Some(value.as_str()));
        }
    }
}
