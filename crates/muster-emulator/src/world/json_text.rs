//! Writes JSON text in the order it is told, without a tree in between: bodies are made by the hundred thousand.

use crate::world::ticks::Ticks;

/// JSON in the making.
///
/// `masks` remembers where values stand that Graph shows only to callers with
/// `Prefer: include-unknown-enum-members`; others get `unknownFutureValue` there.
#[derive(Default)]
pub(crate) struct JsonText {
    text: String,
    masks: Vec<(u32, u32)>,
}

impl JsonText {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), masks: Vec::new() }
    }

    pub(crate) fn finish(self) -> (String, Vec<(u32, u32)>) {
        (self.text, self.masks)
    }

    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    /// The comma before a further element.
    pub(crate) fn separate(&mut self) {
        if !matches!(self.text.as_bytes().last(), None | Some(b'{' | b'[' | b':')) {
            self.text.push(',');
        }
    }

    /// A key; its value is written next.
    pub(crate) fn key(&mut self, key: &str) {
        self.separate();
        self.text.push('"');
        self.text.push_str(key);
        self.text.push_str("\":");
    }

    /// Opens an object that is an element of an array or the whole document.
    pub(crate) fn open(&mut self) {
        self.separate();
        self.text.push('{');
    }

    /// Opens an object or a list as the value of a key.
    pub(crate) fn open_value(&mut self, bracket: char) {
        self.text.push(bracket);
    }

    pub(crate) fn text_value(&mut self, value: &str) {
        push_quoted(&mut self.text, value);
    }

    /// A value that is JSON already.
    pub(crate) fn raw_value(&mut self, value: &str) {
        self.text.push_str(value);
    }

    pub(crate) fn time_value(&mut self, value: Ticks) {
        self.text.push('"');
        value.push_to(&mut self.text);
        self.text.push('"');
    }

    pub(crate) fn close(&mut self) {
        self.text.push('}');
    }

    pub(crate) fn open_object(&mut self, key: &str) {
        self.key(key);
        self.text.push('{');
    }

    pub(crate) fn open_array(&mut self, key: &str) {
        self.key(key);
        self.text.push('[');
    }

    pub(crate) fn close_array(&mut self) {
        self.text.push(']');
    }

    pub(crate) fn string(&mut self, key: &str, value: &str) {
        self.key(key);
        push_quoted(&mut self.text, value);
    }

    pub(crate) fn optional(&mut self, key: &str, value: Option<&str>) {
        match value {
            Some(value) => self.string(key, value),
            None => self.null(key),
        }
    }

    /// An enum value; the newer ones are hidden from callers that did not ask for them.
    pub(crate) fn evolvable(&mut self, key: &str, value: &str, hidden: bool) {
        self.key(key);
        let start = u32::try_from(self.text.len() + 1).expect("a body is smaller than 4 GiB");
        push_quoted(&mut self.text, value);
        if hidden {
            let length = u32::try_from(value.len()).expect("enum names are short");
            self.masks.push((start, length));
        }
    }

    pub(crate) fn null(&mut self, key: &str) {
        self.key(key);
        self.text.push_str("null");
    }

    pub(crate) fn number(&mut self, key: &str, value: impl std::fmt::Display) {
        self.key(key);
        self.text.push_str(&value.to_string());
    }

    pub(crate) fn time(&mut self, key: &str, value: Ticks) {
        self.key(key);
        self.time_value(value);
    }

    pub(crate) fn strings<S: AsRef<str>>(&mut self, key: &str, values: &[S]) {
        self.open_array(key);
        for value in values {
            self.separate();
            push_quoted(&mut self.text, value.as_ref());
        }
        self.close_array();
    }
}

/// Appends a JSON string with its quotes.
pub(crate) fn push_quoted(text: &mut String, value: &str) {
    text.push('"');
    let mut rest = value;
    while let Some(place) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        text.push_str(&rest[..place]);
        match rest.as_bytes()[place] {
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            other => text.push_str(&format!("\\u{other:04x}")),
        }
        rest = &rest[place + 1..];
    }
    text.push_str(rest);
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let mut json = JsonText::default();
        json.open();
        json.string("a", "q\"b\\s\nc\u{1}é");
        json.open_array("list");
        json.open();
        json.close();
        json.open();
        json.number("f", true);
        json.close();
        json.close_array();
        json.strings::<&str>("none", &[]);
        json.evolvable("e", "awaitingAction", true);
        json.close();
        let (text, masks) = json.finish();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["a"], "q\"b\\s\nc\u{1}é");
        assert_eq!(value["list"][1]["f"], true);
        let (start, length) = masks[0];
        assert_eq!(&text[start as usize..(start + length) as usize], "awaitingAction");
    }
}
