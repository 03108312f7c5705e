//! Writes JSON text in the order it is told, without a tree in between: bodies are made by the hundred thousand.

use crate::world::ticks::Ticks;

/// JSON in the making.
///
/// `masks` remembers where values stand that Graph shows only to callers with
/// `Prefer: include-unknown-enum-members`; others get `unknownFutureValue` there.
#[derive(Default)]
pub(crate) struct Writer {
    text: String,
    masks: Vec<(u32, u32)>,
}

impl Writer {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), masks: Vec::new() }
    }

    pub(crate) fn finish(self) -> (String, Vec<(u32, u32)>) {
        (self.text, self.masks)
    }

    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    fn separate(&mut self) {
        if !matches!(self.text.as_bytes().last(), None | Some(b'{' | b'[' | b':')) {
            self.text.push(',');
        }
    }

    fn key(&mut self, key: &str) {
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

    pub(crate) fn flag(&mut self, key: &str, value: bool) {
        self.number(key, value);
    }

    pub(crate) fn time(&mut self, key: &str, value: Ticks) {
        self.key(key);
        self.text.push('"');
        value.push_to(&mut self.text);
        self.text.push('"');
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
        let mut writer = Writer::default();
        writer.open();
        writer.string("a", "q\"b\\s\nc\u{1}é");
        writer.open_array("list");
        writer.open();
        writer.close();
        writer.open();
        writer.flag("f", true);
        writer.close();
        writer.close_array();
        writer.strings::<&str>("none", &[]);
        writer.evolvable("e", "awaitingAction", true);
        writer.close();
        let (text, masks) = writer.finish();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["a"], "q\"b\\s\nc\u{1}é");
        assert_eq!(value["list"][1]["f"], true);
        let (start, length) = masks[0];
        assert_eq!(&text[start as usize..(start + length) as usize], "awaitingAction");
    }
}
