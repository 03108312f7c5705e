//! ArcSight Common Event Format, with the field map that Microsoft gave ArcSight for Defender alerts, brought to
//! today's Graph names by Microsoft's own migration table. `docs/formats/cef.md` lists it field by field.
//!
//! Escaping follows the CEF guide ("ArcSight Common Event Format Implementation Standard"): `\` and `|` in the
//! header, `\` and `=` in the extension, newlines in the extension as `\n` and `\r`, in the header as a space. Beyond
//! the guide, a tab becomes a space, and every other control character, line separator and bidirectional override
//! becomes visible, such as `<U+202E>`: it is evidence, and must not act on a terminal. So no value can start a key,
//! a field, a line or an event.
//!
//! Which fields there are and what becomes of evidence is in `flat`.

use muster_model::{Record, Severity, TenantLabel};
use serde::Deserialize;

use super::edit::Syntax;
use super::flat::{self, FlatOptions};
use super::tape::Tape;
use super::view::View;
use super::{Events, FormatError, RecordKind};

/// The constants at the head of each line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CefOptions {
    /// Who made the product that raised the alert.
    pub device_vendor: String,
    /// The product. Older ArcSight content filters on `Windows Defender ATP`.
    pub device_product: String,
    /// The version of the mapping.
    pub device_version: String,
    /// Whether the whole record stands in the field `rawEvent`.
    pub raw_event: bool,
}

impl Default for CefOptions {
    /// Those of Microsoft's ArcSight field map.
    fn default() -> Self {
        Self {
            device_vendor: "Microsoft".to_owned(),
            device_product: "Microsoft Defender ATP".to_owned(),
            device_version: "2.0".to_owned(),
            raw_event: false,
        }
    }
}

/// Appends the line of one record.
pub(super) fn write(
    options: &CefOptions,
    kind: RecordKind,
    record: Record<'_>,
    tenant: &TenantLabel,
    events: &mut Events,
) -> Result<(), FormatError> {
    let tape = Tape::read(record.body)?;
    let view = View::of(kind, &tape);
    let head = |buffer: &mut Vec<u8>, head: flat::Head<'_>| {
        buffer.extend_from_slice(b"CEF:0|");
        for constant in [&options.device_vendor, &options.device_product, &options.device_version] {
            escape(buffer, constant, &HEADER);
            buffer.push(b'|');
        }
        for (text, default) in [(head.signature, head.default_signature), (head.name, "Microsoft Defender")] {
            if text.is_blank() {
                buffer.extend_from_slice(default.as_bytes());
            } else {
                text.pieces(|piece| escape(buffer, piece, &HEADER));
            }
            buffer.push(b'|');
        }
        buffer.extend_from_slice(severity_number(head.severity).as_bytes());
        buffer.push(b'|');
    };
    let options = FlatOptions { syntax: Syntax::Cef, raw_event: options.raw_event, head: &head };
    events.push_with(|buffer| flat::write(&options, &view, record, tenant, buffer));
    Ok(())
}

/// CEF's 0 to 10. The guide calls 0–3 low, 4–6 medium, 7–8 high and 9–10 very high; Microsoft's "high" is CEF's.
fn severity_number(severity: Severity) -> &'static str {
    match severity {
        Severity::Unknown => "0",
        Severity::Informational => "1",
        Severity::Low => "3",
        Severity::Medium => "6",
        Severity::High => "8",
    }
}

/// For each byte, whether a value must be looked at there.
pub(super) type Special = [bool; 256];

pub(super) const HEADER: Special = special(b"\\|");
pub(super) const EXTENSION: Special = special(b"\\=");
pub(super) const ITEM: Special = special(b"\\=;");

const fn special(own: &[u8]) -> Special {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[0x7f] = true;
    // The first bytes of U+0080 to U+009F, of U+061C, and of U+2000 to U+2FFF.
    table[0xc2] = true;
    table[0xd8] = true;
    table[0xe2] = true;
    let mut at = 0;
    while at < own.len() {
        table[own[at] as usize] = true;
        at += 1;
    }
    table
}

/// Appends `text` with its special characters made harmless. `special` also says where the text goes.
pub(super) fn escape(buffer: &mut Vec<u8>, text: &str, special: &Special) {
    let in_header = special[usize::from(b'|')];
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| special[usize::from(byte)]) {
        let (clean, tail) = rest.split_at(at);
        buffer.extend_from_slice(clean.as_bytes());
        let mut characters = tail.chars();
        let Some(character) = characters.next() else { break };
        rest = characters.as_str();
        match character {
            '\\' | '|' | '=' => buffer.extend_from_slice(&[b'\\', character as u8]),
            ';' => buffer.extend_from_slice(b"%3B"),
            '\n' | '\r' if in_header => buffer.push(b' '),
            '\n' => buffer.extend_from_slice(b"\\n"),
            '\r' => buffer.extend_from_slice(b"\\r"),
            '\t' => buffer.push(b' '),
            _ if is_harmful(character) => {
                buffer.extend_from_slice(format!("<U+{:04X}>", u32::from(character)).as_bytes());
            }
            _ => buffer.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    buffer.extend_from_slice(rest.as_bytes());
}

/// Control characters, line and paragraph separators, and what turns the direction of writing.
pub(super) fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::{EXTENSION, HEADER, ITEM, Special, escape};

    fn escaped(text: &str, special: &Special) -> String {
        let mut buffer = Vec::new();
        escape(&mut buffer, text, special);
        String::from_utf8(buffer).expect("text")
    }

    #[test]
    fn each_place_has_its_escapes() {
        let hostile = "a\\b|c=d;e\r\nf\tg\0h\u{85}i\u{2028}j\u{202e}k\u{a0}é😀–";
        let tail = "h<U+0085>i<U+2028>j<U+202E>k\u{a0}é😀–";
        assert_eq!(escaped(hostile, &HEADER), format!("a\\\\b\\|c=d;e  f g<U+0000>{tail}"));
        assert_eq!(escaped(hostile, &EXTENSION), format!("a\\\\b|c\\=d;e\\r\\nf g<U+0000>{tail}"));
        assert_eq!(escaped(hostile, &ITEM), format!("a\\\\b|c\\=d%3Be\\r\\nf g<U+0000>{tail}"));
    }
}
