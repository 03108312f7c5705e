//! An independent reader of CEF, and what texts must come back as.

/// A CEF line, read by the rules of the CEF guide and by nothing that wrote it.
pub(crate) struct Cef {
    pub(crate) header: Vec<String>,
    pub(crate) extension: Vec<(String, String)>,
}

impl Cef {
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.extension.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_str())
    }
}

/// Reads a line, and panics at what the guide does not allow.
pub(crate) fn read_cef(line: &str) -> Cef {
    let mut header = vec![String::new()];
    let mut characters = line.chars();
    while header.len() < 8 {
        let field = header.last_mut().expect("a field");
        match characters.next().expect("seven bars") {
            '\\' => match characters.next().expect("an escaped character") {
                escaped @ ('\\' | '|') => field.push(escaped),
                other => panic!("`\\{other}` in a header"),
            },
            '|' => header.push(String::new()),
            character => field.push(character),
        }
    }
    header.pop();
    let rest = characters.as_str();

    // An unescaped `=` ends a key, which begins after the last space before it.
    let bytes = rest.as_bytes();
    let mut equals = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'=' => equals.push(at),
            _ => {}
        }
        at += 1;
    }
    let key_start = |equal: usize| rest[..equal].rfind(' ').map_or(0, |space| space + 1);
    let extension = equals.iter().enumerate().map(|(number, &equal)| {
        let key = &rest[key_start(equal)..equal];
        assert!(!key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric()), "key `{key}`");
        let end = equals.get(number + 1).map_or(rest.len(), |&next| key_start(next) - 1);
        let mut value = String::new();
        let mut characters = rest[equal + 1..end].chars();
        while let Some(character) = characters.next() {
            value.push(match character {
                '\\' => match characters.next().expect("an escaped character") {
                    'n' => '\n',
                    'r' => '\r',
                    escaped @ ('\\' | '=') => escaped,
                    other => panic!("`\\{other}` in the extension"),
                },
                other => other,
            });
        }
        (key.to_owned(), value)
    });
    let extension: Vec<_> = extension.collect();
    let mut keys: Vec<_> = extension.iter().map(|(key, _)| key).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), extension.len(), "a key came twice: {rest}");
    Cef { header, extension }
}

/// What a text must come back as: the documented replacements, and nothing else.
pub(crate) fn expected(text: &str, item: bool, header: bool) -> String {
    let mut all = String::new();
    for character in text.chars() {
        match character {
            '\n' | '\r' if header => all.push(' '),
            '\n' | '\r' => all.push(character),
            '\t' => all.push(' '),
            ';' if item => all.push_str("%3B"),
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
