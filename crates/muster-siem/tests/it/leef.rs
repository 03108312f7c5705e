//! An independent reader of LEEF 2.0, and what texts must come back as.

/// A LEEF line, read by the rules of IBM's guide and by nothing that wrote it.
pub(crate) struct Leef {
    /// Vendor, product, version, event id.
    pub(crate) header: [String; 4],
    pub(crate) attributes: Vec<(String, String)>,
}

impl Leef {
    pub(crate) fn event_id(&self) -> &str {
        &self.header[3]
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.attributes.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_str())
    }
}

/// Reads a line, and panics at what the guide does not allow.
pub(crate) fn read_leef(line: &str) -> Leef {
    let mut parts = line.splitn(7, '|');
    let mut part = || parts.next().expect("six bars").to_owned();
    assert_eq!(part(), "LEEF:2.0");
    let (vendor, product, version, event_id, delimiter) = (part(), part(), part(), part(), part());
    let delimiter = match delimiter.strip_prefix('x').or_else(|| delimiter.strip_prefix("0x")) {
        Some(digits) => char::from(u8::from_str_radix(digits, 16).expect("a hexadecimal number")),
        None => {
            let mut characters = delimiter.chars();
            let delimiter = characters.next().expect("a delimiter");
            assert_eq!(characters.next(), None);
            delimiter
        }
    };
    let rest = part();
    let mut attributes: Vec<(String, String)> = Vec::new();
    for attribute in rest.split(delimiter) {
        let (key, value) = attribute.split_once('=').expect("a key and a value");
        assert!(!key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric()), "key `{key}`");
        assert!(attributes.iter().all(|(known, _)| known != key), "`{key}` came twice: {line}");
        attributes.push((key.to_owned(), value.to_owned()));
    }
    Leef { header: [vendor, product, version, event_id], attributes }
}

/// What a text must come back as: the documented spellings, and nothing else.
pub(crate) fn expected(text: &str, delimiter: char, item: bool, head: bool) -> String {
    let mut all = String::new();
    for character in text.chars() {
        match character {
            '\n' | '\r' | '\t' if head => all.push(' '),
            '\n' => all.push_str("\\n"),
            '\r' => all.push_str("\\r"),
            '\t' => all.push_str("\\t"),
            ';' if item => all.push_str("%3B"),
            '|' if head => all.push_str("<U+007C>"),
            other if other == delimiter && !head => all.push_str(&format!("<U+{:04X}>", other as u32)),
            '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}' => {
                all.push_str(&format!("<U+{:04X}>", character as u32));
            }
            '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                all.push_str(&format!("<U+{:04X}>", character as u32));
            }
            other => all.push(other),
        }
    }
    all
}
