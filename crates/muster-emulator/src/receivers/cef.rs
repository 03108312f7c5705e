//! Reads one line of ArcSight's Common Event Format (CEF), strictly.
//!
//! Written from ArcSight's "Implementing ArcSight Common Event Format" alone, so that it can tell whether what a
//! client sends is escaped correctly: an unknown escape, an equals sign left bare inside a value or a raw line
//! break makes the whole line unreadable, where a lenient reader would quietly show fields nobody sent.

use std::borrow::Cow;

/// The fields of one CEF line, still escaped; [`unescape`] decodes the few that somebody looks at.
#[derive(Debug)]
pub(super) struct CefEvent<'a> {
    header: [&'a str; 7],
    extension: Vec<(&'a str, &'a str)>,
}

/// Why a line is not CEF.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CefError {
    #[error("does not begin with CEF:0| or CEF:1|")]
    NotCef,
    #[error("has fewer than seven header fields")]
    ShortHeader,
    #[error("has an unknown escape sequence")]
    UnknownEscape,
    #[error("has a raw line break")]
    RawLineBreak,
    #[error("has an extension that is not key=value pairs")]
    NotAPair,
    #[error("has an extension key twice")]
    KeyTwice,
}

impl<'a> CefEvent<'a> {
    /// Reads a line that begins with `CEF:`.
    pub(super) fn parse(line: &'a str) -> Result<Self, CefError> {
        let mut rest = line.strip_prefix("CEF:").ok_or(CefError::NotCef)?;
        let mut header = [""; 7];
        for field in &mut header {
            let end = header_field_end(rest)?;
            *field = &rest[..end];
            rest = &rest[end + 1..];
        }
        if !matches!(header[0], "0" | "1") {
            return Err(CefError::NotCef);
        }
        Ok(CefEvent { header, extension: extension_pairs(rest)? })
    }

    /// The vendor's name for this kind of event ("Device Event Class ID", the fifth header field).
    pub(super) fn signature_id(&self) -> Cow<'a, str> {
        unescape(self.header[4])
    }

    /// The decoded value of an extension key.
    pub(super) fn get(&self, key: &str) -> Option<Cow<'a, str>> {
        self.extension.iter().find(|(name, _)| *name == key).map(|(_, value)| unescape(value))
    }
}

/// Where the header field at the start of `rest` ends: at the first pipe that no backslash protects.
fn header_field_end(rest: &str) -> Result<usize, CefError> {
    let bytes = rest.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'|' => return Ok(at),
            b'\\' if matches!(bytes.get(at + 1), Some(b'\\' | b'|')) => at += 2,
            b'\\' => return Err(CefError::UnknownEscape),
            b'\n' | b'\r' => return Err(CefError::RawLineBreak),
            _ => at += 1,
        }
    }
    Err(CefError::ShortHeader)
}

/// Splits `key=value key=value`. A value may hold spaces, so it ends at the last space before the next bare `=`.
fn extension_pairs(text: &str) -> Result<Vec<(&str, &str)>, CefError> {
    let bytes = text.as_bytes();
    let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(32);
    let mut open: Option<(&str, usize)> = None;
    let mut word_start = 0;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' if matches!(bytes.get(at + 1), Some(b'\\' | b'=' | b'n' | b'r')) => at += 1,
            b'\\' => return Err(CefError::UnknownEscape),
            b'\n' | b'\r' => return Err(CefError::RawLineBreak),
            b' ' => word_start = at + 1,
            b'=' => {
                let key = &text[word_start..at];
                if !is_key(key) {
                    return Err(CefError::NotAPair);
                }
                match open {
                    Some((_, value_start)) if word_start <= value_start => return Err(CefError::NotAPair),
                    Some((name, value_start)) => pairs.push((name, &text[value_start..word_start - 1])),
                    None if word_start > 0 => return Err(CefError::NotAPair),
                    None => {}
                }
                if pairs.iter().any(|(name, _)| *name == key) {
                    return Err(CefError::KeyTwice);
                }
                open = Some((key, at + 1));
                // Without this a bare `=` directly behind the first one would be taken for another key.
                word_start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    match open {
        Some((name, value_start)) => pairs.push((name, &text[value_start..])),
        None if text.trim().is_empty() => {}
        None => return Err(CefError::NotAPair),
    }
    Ok(pairs)
}

fn is_key(word: &str) -> bool {
    !word.is_empty()
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'[' | b']'))
}

/// Decodes the escapes, which [`CefEvent::parse`] has already found to be known ones.
fn unescape(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut decoded = String::with_capacity(raw.len());
    let mut characters = raw.chars();
    while let Some(character) = characters.next() {
        decoded.push(match character {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    Cow::Owned(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_header_and_extension() {
        let event = CefEvent::parse(
            r"CEF:0|Microsoft|Defender \| XDR|1.0|alert\\x|Title|5|externalId=a b\=c cs2= msg=one\ntwo \\ three",
        )
        .unwrap();
        assert_eq!(event.header[2], r"Defender \| XDR");
        assert_eq!(unescape(event.header[2]), "Defender | XDR");
        assert_eq!(event.signature_id(), r"alert\x");
        assert_eq!(event.get("externalId").unwrap(), "a b=c");
        assert_eq!(event.get("cs2").unwrap(), "");
        assert_eq!(event.get("msg").unwrap(), "one\ntwo \\ three");
        assert_eq!(event.get("absent"), None);
    }

    #[test]
    fn a_pipe_needs_no_escape_in_the_extension() {
        let event = CefEvent::parse("CEF:0|a|b|c|d|e|5|msg=x|y").unwrap();
        assert_eq!(event.get("msg").unwrap(), "x|y");
    }

    #[test]
    fn an_empty_extension_is_fine() {
        let event = CefEvent::parse("CEF:1|a|b|c|incident|e|5|").unwrap();
        assert_eq!(event.signature_id(), "incident");
        assert_eq!(event.get("msg"), None);
    }

    #[test]
    fn wrong_escaping_is_told() {
        let error = |extension: &str| CefEvent::parse(&format!("CEF:0|a|b|c|d|e|5|{extension}")).unwrap_err();
        assert_eq!(error(r"msg=C:\Windows"), CefError::UnknownEscape);
        assert_eq!(error(r"msg=ends with \"), CefError::UnknownEscape);
        assert_eq!(error("msg=a=b"), CefError::NotAPair);
        assert_eq!(error("msg=--switch /x:y=b"), CefError::NotAPair);
        assert_eq!(error("msg=a\nb"), CefError::RawLineBreak);
        assert_eq!(error("stray msg=a"), CefError::NotAPair);
        assert_eq!(error("stray"), CefError::NotAPair);
        assert_eq!(error("msg=a msg=b"), CefError::KeyTwice);
        assert_eq!(CefEvent::parse("CEF:0|a|b|c|d|e").unwrap_err(), CefError::ShortHeader);
        assert_eq!(CefEvent::parse(r"CEF:0|a\n|b|c|d|e|5|").unwrap_err(), CefError::UnknownEscape);
        assert_eq!(CefEvent::parse("CEF:7|a|b|c|d|e|5|").unwrap_err(), CefError::NotCef);
        assert_eq!(CefEvent::parse("LEEF:0|").unwrap_err(), CefError::NotCef);
    }
}
