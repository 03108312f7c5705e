//! A JSON Web Token taken apart, without judging it.
//!
//! Source: RFC 7515, RFC 7519. Tokens come from outside: every bound is checked before anything is decoded.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use muster_http::shown;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;

/// No token is longer. Microsoft's have up to some ten kilobytes, with many groups in them.
pub(crate) const TOKEN_BYTES_MAX: usize = 64 << 10;

/// A token's parts.
#[derive(Debug, Clone)]
pub(crate) struct Jwt<'a> {
    pub(crate) header: Object,
    pub(crate) claims: Object,
    /// What is signed: the header and the claims as they came.
    pub(crate) signed: &'a str,
    pub(crate) signature: Vec<u8>,
}

/// A JSON object whose members keep their order, and of which none gets lost when a name comes twice.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Object(pub(crate) Vec<(String, Value)>);

impl Object {
    /// The member of this name. A name that comes twice has no value: which one is meant depends on the reader.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        let mut members = self.0.iter().filter(|(known, _)| known == name);
        match (members.next(), members.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// A time in seconds since 1970, which some issuers write as a string.
    pub(crate) fn seconds(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "seconds; a float is cut at the ends of the range"
            )]
            Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|float| float as i64)),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// A list of texts, or one text taken apart at its blanks.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        match self.get(name) {
            Some(Value::Array(items)) => {
                items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
            }
            Some(Value::String(text)) => text.split_ascii_whitespace().map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// Why a text is not a token that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// Nothing there.
    #[error("there is no token: the text is empty")]
    Empty,
    /// More than any token is.
    #[error("this is no token: it has {bytes} bytes, and none is longer than {limit_bytes}")]
    TooLarge {
        /// How long it is.
        bytes: usize,
        /// The bound.
        limit_bytes: usize,
    },
    /// Opaque: it may be a refresh token, a code or a token for an API that keeps its form to itself.
    #[error("this is not a JWT: {0}")]
    Opaque(String),
    /// Encrypted for its API.
    #[error("this token is encrypted for its API (JWE, {0}): nobody else can read it")]
    Encrypted(String),
    /// Broken.
    #[error("this looks like a JWT, but its {part} cannot be read: {why}")]
    Broken {
        /// Which part.
        part: &'static str,
        /// Why.
        why: String,
    },
}

/// Takes a token apart.
pub(crate) fn read(token: &str) -> Result<Jwt<'_>, JwtError> {
    if token.is_empty() {
        return Err(JwtError::Empty);
    }
    if token.len() > TOKEN_BYTES_MAX {
        return Err(JwtError::TooLarge { bytes: token.len(), limit_bytes: TOKEN_BYTES_MAX });
    }
    let parts: Vec<&str> = token.splitn(6, '.').collect();
    let broken = |part| move |why: String| JwtError::Broken { part, why };
    match parts.as_slice() {
        [header, claims, signature] => {
            let header = object(header).map_err(|why| match token.starts_with("eyJ") {
                true => broken("header")(why),
                false => JwtError::Opaque(opaque(token)),
            })?;
            Ok(Jwt {
                header,
                claims: object(claims).map_err(broken("payload"))?,
                signed: &token[..token.len() - signature.len() - 1],
                signature: decode(signature).map_err(broken("signature"))?,
            })
        }
        [header, _, _, _, _] if object(header).is_ok_and(|header| header.get("enc").is_some()) => {
            let header = object(header).map_err(broken("header"))?;
            let named = |name| shown(header.text(name).unwrap_or("unknown"));
            Err(JwtError::Encrypted(format!("{} with {}", named("alg"), named("enc"))))
        }
        _ => Err(JwtError::Opaque(opaque(token))),
    }
}

/// What an opaque token may be, by the look of it. Nothing of it is repeated.
fn opaque(token: &str) -> String {
    let parts = token.split('.').count();
    let hint = match token {
        _ if !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
            "it holds blanks or characters that no token has; was it copied whole, and alone?"
        }
        _ if token.starts_with("0.A") || token.starts_with("1.A") => {
            "by its look it is a refresh token or an authorization code of Microsoft, which only the identity platform can read"
        }
        _ if token.starts_with("EwB") || token.starts_with("M.") => {
            "by its look it belongs to a personal Microsoft account, whose tokens only their API can read"
        }
        _ => "only the API it was issued for, or the identity platform, can read it",
    };
    format!("it has {parts} part{} and not 3; {hint}", if parts == 1 { "" } else { "s" })
}

fn object(part: &str) -> Result<Object, String> {
    serde_json::from_slice(&decode(part)?).map_err(|error| error.to_string())
}

fn decode(part: &str) -> Result<Vec<u8>, String> {
    URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(header: &str, claims: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn members_keep_their_order_and_a_name_that_comes_twice_has_no_value() {
        let token = token(r#"{"alg":"RS256"}"#, r#"{"z":1,"a":"2","tid":"x","tid":"y"}"#);
        let jwt = read(&token).expect("a JWT");
        let names: Vec<&str> = jwt.claims.0.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["z", "a", "tid", "tid"]);
        assert_eq!(jwt.claims.text("tid"), None);
        assert_eq!((jwt.claims.seconds("z"), jwt.claims.seconds("a")), (Some(1), Some(2)));
        assert_eq!(jwt.signature, b"sig");
        assert_eq!(jwt.signed, token.rsplit_once('.').expect("dots").0);
    }

    #[test]
    fn what_is_no_jwt_is_told_apart() {
        let of = |token: &str| read(token).expect_err("no JWT");
        assert_eq!(of(""), JwtError::Empty);
        assert!(matches!(of(&"x".repeat(1 << 20)), JwtError::TooLarge { bytes: 1_048_576, .. }));
        assert!(matches!(of("opaque"), JwtError::Opaque(_)));
        assert!(matches!(of("a.b.c"), JwtError::Opaque(_)));
        assert!(matches!(of("eyJ.b.c"), JwtError::Broken { part: "header", .. }));
        assert!(matches!(of(&token("{}", "[]")), JwtError::Broken { part: "payload", .. }));
        let jwe = format!("{}.a.b.c.d", URL_SAFE_NO_PAD.encode(r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#));
        assert_eq!(of(&jwe), JwtError::Encrypted("RSA-OAEP with A256GCM".to_owned()));
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "\\PC{0,300}") {
            drop(read(&text));
        }

        #[test]
        fn any_parts_are_survived(header in any::<Vec<u8>>(), claims in any::<Vec<u8>>()) {
            let text = format!("{}.{}.", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
            drop(read(&text));
        }

        #[test]
        fn an_opaque_token_is_not_repeated(secret in "[A-Za-z0-9]{12,40}") {
            let error = read(&secret).expect_err("no JWT").to_string();
            prop_assert!(!error.contains(&secret));
        }
    }
}
