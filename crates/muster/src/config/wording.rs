//! What the readers of TOML and of types say, in the settings' own words, and without what may be a secret.

use muster_model::text::did_you_mean;

/// What a reader said, in words for the operator.
///
/// What was written is repeated only where it is the name of a key or a word out of a few: anything else may be a secret
/// that stands in the wrong place.
pub(super) fn reworded(said: &str) -> String {
    let said = said.lines().collect::<Vec<_>>().join(", ");
    if let Some((given, known)) = unknown(&said, "unknown field ") {
        let meant = did_you_mean(given, known.iter().copied());
        return match known.is_empty() {
            true => format!("unknown key `{given}`: no key belongs here"),
            false => format!("unknown key `{given}`{meant}: use {}", quoted(&known)),
        };
    }
    if let Some((given, known)) = unknown(&said, "unknown variant ") {
        let meant = did_you_mean(given, known.iter().copied());
        return format!("`{}` is not a word for this{meant}: use {}", word(given), quoted(&known));
    }
    if let Some(field) = said.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        return format!("`{field}` is missing");
    }
    for kind in ["invalid type: ", "invalid value: "] {
        let Some(rest) = said.strip_prefix(kind) else { continue };
        // What was written stands between the two, and may hold anything.
        if let Some((given, expected)) = rest.rsplit_once(", expected ") {
            return format!("it must be {}, and this is {}", wanted(expected), what(given));
        }
    }
    if let Some(rest) = said.strip_prefix("duplicate field `") {
        return format!("`{}` stands here twice", rest.trim_end_matches('`'));
    }
    said
}

/// What was given and what is known, of "unknown … `given`, expected one of `a`, `b`".
fn unknown<'s>(said: &'s str, kind: &str) -> Option<(&'s str, Vec<&'s str>)> {
    let rest = said.strip_prefix(kind)?.strip_prefix('`')?;
    match rest.rsplit_once("`, expected ") {
        Some((given, known)) => Some((given, known.split('`').skip(1).step_by(2).collect())),
        None => Some((rest.split_once("`, ").map_or(rest, |(given, _)| given), Vec::new())),
    }
}

fn quoted(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => quoted.join(""),
    }
}

/// A word as it was written, where it can be one.
fn word(given: &str) -> String {
    match is_word(given) {
        true => given.to_owned(),
        false => "…".to_owned(),
    }
}

/// Short, without blanks, and not like a key or a token: those are long, and mix letters and digits.
fn is_word(text: &str) -> bool {
    let fits = |character: char| character.is_ascii_alphanumeric() || "_-.".contains(character);
    text.chars().count() <= 24 && text.chars().all(fits)
}

/// What was written, without its value: `string "…"` and the like.
fn what(given: &str) -> String {
    let kind = given.split([' ', '`', '"']).next().unwrap_or_default();
    match kind {
        "string" | "str" => "a text".to_owned(),
        "integer" => "a number".to_owned(),
        "floating" => "a number with a point".to_owned(),
        "boolean" => "true or false".to_owned(),
        "sequence" => "a list".to_owned(),
        "map" => "a table".to_owned(),
        _ => "something else".to_owned(),
    }
}

/// What a reader expects, as one says it of settings.
fn wanted(expected: &str) -> String {
    match expected {
        "a string" | "path string" | "a borrowed string" => "a text in quotes".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list, in brackets".to_owned(),
        "a map" => "a table, in braces or as a section of its own".to_owned(),
        "u8" | "u16" | "u32" | "u64" | "usize" => "a number, not below zero".to_owned(),
        _ if expected.starts_with("struct ") => "a table, in braces or as a section of its own".to_owned(),
        _ if expected.starts_with("enum ") || expected.contains("enum ") => "one of its words".to_owned(),
        other => other.to_owned(),
    }
}

/// A message without users and passwords of addresses, and without what stands behind their `?`.
pub(super) fn without_credentials(message: &str) -> String {
    let mut clean = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(at) = rest.find("://") {
        let (before, address) = rest.split_at(at + 3);
        clean.push_str(before);
        let end = address.find(|character: char| character.is_whitespace() || "`\"'<>".contains(character));
        let (address, behind) = address.split_at(end.unwrap_or(address.len()));
        let address = match address.rsplit_once('@') {
            Some((_, host)) => {
                clean.push_str("…@");
                host
            }
            None => address,
        };
        match address.split_once('?') {
            Some((address, query)) if !query.is_empty() => {
                clean.push_str(address);
                clean.push_str("?…");
            }
            _ => clean.push_str(address),
        }
        rest = behind;
    }
    clean.push_str(rest);
    clean
}

/// Whether what stands under this key may be a secret, or leads to one.
pub(super) fn may_be_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["secret", "token", "password", "passwd", "certificate", "key", "proxy", "credential", "auth"]
        .iter()
        .any(|word| key.contains(word))
}

/// A message without the values that stand under a key, where they may be secrets: each that the message repeats is
/// taken out. `values` are all texts of the entry.
pub(super) fn without_values(message: &str, key: &str, values: &[&str]) -> String {
    let mut clean = message.to_owned();
    for value in values.iter().filter(|value| !value.is_empty()) {
        if may_be_secret(key) || !is_plain(value) {
            for spelled in [(*value).to_owned(), value.escape_debug().to_string()] {
                clean = clean.replace(&format!("`{spelled}`"), "what is written");
                // A short one cannot be told from the message's own letters.
                if spelled.len() >= 4 {
                    clean = clean.replace(&spelled, "…");
                }
            }
        }
    }
    clean
}

/// Whether a value can be shown: it is short, or is made of several words, or is an address or path.
fn is_plain(value: &str) -> bool {
    let has_digit = value.bytes().any(|byte| byte.is_ascii_digit());
    let is_long = value.len() > 24;
    let is_one_word = !value.contains([' ', '/', ':', '{']);
    !(is_long && is_one_word && has_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_readers_say_is_said_in_the_settings_words() {
        for (said, words) in [
            (
                "unknown field `pth`, expected one of `path`, `master_key`",
                "unknown key `pth` (did you mean `path`?): use `path` or `master_key`",
            ),
            ("unknown field `x`, expected `drop`", "unknown key `x`: use `drop`"),
            (
                "unknown variant `ceff`, expected `raw` or `cef`",
                "`ceff` is not a word for this (did you mean `cef`?): use `raw` or `cef`",
            ),
            (
                "unknown variant `8Q~x9Qkd-verylongsecretvalue1234`, expected `raw` or `cef`",
                "`…` is not a word for this: use `raw` or `cef`",
            ),
            ("missing field `url`", "`url` is missing"),
            (
                "invalid type: string \"hunter2, expected nothing\", expected a boolean",
                "it must be true or false, and this is a text",
            ),
            (
                "invalid type: integer `7`, expected a string",
                "it must be a text in quotes, and this is a number",
            ),
            (
                "invalid value: integer `-1`, expected u32",
                "it must be a number, not below zero, and this is a number",
            ),
        ] {
            assert_eq!(reworded(said), words);
        }
    }

    #[test]
    fn addresses_lose_their_users_passwords_and_queries() {
        for (message, clean) in [
            ("`https://a:hunter2@host/x` is wrong", "`https://…@host/x` is wrong"),
            ("see https://host/?token=hunter2 and http://b@c", "see https://host/?… and http://…@c"),
            ("ftp://host", "ftp://host"),
            ("`https://a:p@ss@host`", "`https://…@host`"),
        ] {
            assert_eq!(without_credentials(message), clean);
        }
    }

    #[test]
    fn what_may_be_a_secret_is_not_repeated() {
        let said = |key: &str, value: &str| without_values(&format!("`{value}` is wrong"), key, &[value]);
        assert_eq!(said("token", "abc"), "what is written is wrong");
        assert_eq!(said("transport", "tpc"), "`tpc` is wrong");
        assert_eq!(said("transport", "b5d1a0c4-8c1e-4c1c-9b1a-1f1e1d1c1b1a"), "what is written is wrong");
    }
}
