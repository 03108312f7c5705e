//! Whether a text stands in a record: quickly where it does not, and exactly where it may.
//!
//! A record is Microsoft's JSON. What is looked for is the text that a person sees, so escapes are read as what they mean, and
//! names of fields are not looked at. Most records do not hold the text at all, which their bytes tell without any of that.

use memchr::{memchr, memchr2, memmem};
use muster_model::json::Text;
use muster_model::json::scan::string_end;

/// A text that is looked for, whatever its capitals.
#[derive(Debug, Clone)]
pub(crate) struct Words {
    /// In small letters.
    text: String,
    /// Whether it is written in JSON as it stands, so that the bytes of a record can tell that it is not there.
    is_plain: bool,
    /// Its rarest byte, and where it stands.
    rare: (u8, usize),
}

impl Words {
    /// A text that is looked for.
    pub(crate) fn new(text: &str) -> Self {
        let is_plain = text.bytes().all(|byte| byte.is_ascii() && byte >= b' ' && !b"\"\\/".contains(&byte));
        let text = text.to_lowercase();
        let rare = text.bytes().enumerate().min_by_key(|(_, byte)| commonness(*byte));
        let rare = rare.map_or((0, 0), |(at, byte)| (byte, at));
        Self { text, is_plain, rare }
    }

    /// Whether the bytes of a record may hold it. `false` is for sure.
    pub(crate) fn may_be_in(&self, body: &str) -> bool {
        !self.is_plain || memmem::find(body.as_bytes(), b"\\u").is_some() || self.is_in_plain(body)
    }

    /// Whether a value of the record, at any depth, holds it.
    pub(crate) fn is_in(&self, body: &str) -> bool {
        if !self.may_be_in(body) {
            return false;
        }
        let bytes = body.as_bytes();
        let mut at = 0;
        loop {
            let quote = memchr(b'"', &bytes[at..]).map_or(bytes.len(), |found| at + found);
            // Numbers and the like stand between the strings.
            if self.text.bytes().any(|byte| byte.is_ascii_digit()) && self.is_in_plain(&body[at..quote]) {
                return true;
            }
            let start = quote + 1;
            let Some((end, _)) = bytes.get(start..).and_then(|_| string_end(bytes, start)) else {
                return false;
            };
            let behind = bytes[end + 1..].iter().find(|byte| !byte.is_ascii_whitespace());
            let is_name = behind == Some(&b':');
            if !is_name && body.get(start..end).is_some_and(|raw| self.is_in_text(raw)) {
                return true;
            }
            at = end + 1;
        }
    }

    /// Whether a string holds it, given as it stands in JSON.
    fn is_in_text(&self, raw: &str) -> bool {
        let escaped = memchr(b'\\', raw.as_bytes()).is_some();
        match self.is_plain && !escaped {
            true => self.is_in_plain(raw),
            false => Text::as_in_json(raw).decoded().to_lowercase().contains(&self.text),
        }
    }

    /// Whether these bytes hold it, but for the capitals of ASCII.
    fn is_in_plain(&self, text: &str) -> bool {
        let (bytes, wanted) = (text.as_bytes(), self.text.as_bytes());
        let (rare, place) = self.rare;
        let (low, high) = (rare, rare.to_ascii_uppercase());
        let mut from = place;
        while let Some(rest) = bytes.get(from..) {
            let Some(found) = memchr2(low, high, rest) else { return false };
            let start = from + found - place;
            match bytes.get(start..start + wanted.len()) {
                Some(there) if there.eq_ignore_ascii_case(wanted) => return true,
                Some(_) => from += found + 1,
                None => return false,
            }
        }
        wanted.is_empty()
    }
}

/// How common a byte is in JSON about computers, roughly.
fn commonness(byte: u8) -> u8 {
    match byte {
        b'e' | b't' | b'a' | b'i' | b'n' | b'o' | b's' | b'r' | b'd' | b'c' | b' ' | b'-' | b':' => 3,
        b'0'..=b'9' | b'l' | b'u' | b'm' | b'p' | b'f' | b'b' | b'.' | b',' => 2,
        b'h' | b'g' | b'v' | b'y' | b'w' => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Words;

    #[test]
    fn values_are_searched_as_a_person_sees_them() {
        let body = r#"{"title":"Mimikatz \u0022x\u0022 K\u00e4se","path":"C:\\temp\/a.exe","nested":[{"n":924565,"t":"\ud83d\ude00"}]}"#;
        for (text, is) in [
            ("mimikatz", true),
            ("MIMIKATZ \"X\"", true),
            ("käse", true),
            ("KÄSE", true),
            ("c:\\temp/A.exe", true),
            ("924565", true),
            ("title", false),
            ("nested", false),
            ("\u{1f600}", true),
            ("u0022", false),
            ("zz", false),
        ] {
            assert_eq!(Words::new(text).is_in(body), is, "{text}");
        }
        // Written as escapes, though it need not be.
        assert!(Words::new("evil").is_in(r#"{"a":"\u0065vil"}"#));
        assert!(!Words::new("evil").is_in("\"evi"));
    }

    proptest! {
        #[test]
        fn what_is_in_a_value_is_found(before in "\\PC{0,12}", text in "\\PC{1,8}", after in "\\PC{0,12}", key in "[a-z]{1,5}") {
            let whole = format!("{before}{text}{after}");
            let body = serde_json::json!({ key: [{ "x": whole.clone() }, 7] }).to_string();
            // What a letter becomes in small depends on its neighbours (a final sigma).
            prop_assume!(whole.to_lowercase().contains(&text.to_lowercase()));
            prop_assert!(Words::new(&text).is_in(&body), "{body}");
        }

        #[test]
        fn nothing_is_too_odd(body in "[\\[\\]{}:,\"\\\\a0 u]{0,40}", text in "\\PC{0,4}") {
            Words::new(&text).is_in(&body);
        }
    }
}
