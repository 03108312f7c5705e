//! Log Event Extended Format 2.0, for QRadar: the fields of `flat`, under the names that the LEEF guide predefines
//! where it has one, else under our own.
//!
//! LEEF has no escapes. So nothing that would end a value may stand in one: the delimiter and a bar in the head become
//! visible, such as `<U+005E>`; in values a tab, newline and carriage return become `\t`, `\n`, `\r` in two characters;
//! other control characters, line separators and bidirectional overrides become visible as in CEF. A backslash stays
//! one: QRadar shows values as they are written, and paths must be findable.

use muster_model::json::Tape;
use muster_model::{Record, RecordKind, TenantLabel};
use serde::Deserialize;

use super::error::FormatError;
use super::events::Events;
use super::flat::{self, FlatOptions};
use super::view::View;
use super::writing::edit::Syntax;
use super::writing::visible::{self, Place};

/// The constants at the head of each line, and its delimiter.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LeefOptions {
    /// Who made the product that raised the alert.
    pub device_vendor: String,
    /// The product.
    pub device_product: String,
    /// The version of the mapping.
    pub device_version: String,
    /// What stands between attributes.
    pub delimiter: Delimiter,
    /// Whether the whole record stands in the attribute `rawEvent`.
    pub raw_event: bool,
}

impl Default for LeefOptions {
    fn default() -> Self {
        Self {
            device_vendor: "Microsoft".to_owned(),
            device_product: "Microsoft Defender".to_owned(),
            device_version: "2.0".to_owned(),
            delimiter: Delimiter::default(),
            raw_event: false,
        }
    }
}

/// What stands between the attributes of a line: a tab, or one visible character that is neither a letter, a digit,
/// a blank nor used by LEEF itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Delimiter(u8);

impl Default for Delimiter {
    /// A tab: command lines are full of visible characters, and hold none.
    fn default() -> Self {
        Self(b'\t')
    }
}

impl TryFrom<String> for Delimiter {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_bytes() {
            b"tab" => Ok(Self(b'\t')),
            &[delimiter]
                if delimiter == b'\t'
                    || delimiter.is_ascii_punctuation() && !b"|=\\<>+;%".contains(&delimiter) =>
            {
                Ok(Self(delimiter))
            }
            _ => Err(format!(
                "`{text}` cannot stand between attributes: use \"tab\", or one character such as \"^\""
            )),
        }
    }
}

impl Delimiter {
    /// How the head says it: a tab by its number, any other as it is.
    fn shown(self) -> String {
        if self.0 == b'\t' { "x09".to_owned() } else { char::from(self.0).to_string() }
    }
}

/// The syntax of the lines of these options.
pub(super) fn syntax(options: &LeefOptions) -> Syntax {
    Syntax::Leef(options.delimiter.0)
}

/// Appends the line of one record.
pub(super) fn write(
    options: &LeefOptions,
    kind: RecordKind,
    record: Record<'_>,
    tenant: &TenantLabel,
    events: &mut Events,
) -> Result<(), FormatError> {
    let tape = Tape::read(record.body)?;
    let view = View::of(kind, &tape);
    let head = |buffer: &mut Vec<u8>, head: flat::Head<'_>| {
        buffer.extend_from_slice(b"LEEF:2.0|");
        for constant in [&options.device_vendor, &options.device_product, &options.device_version] {
            visible::push(buffer, constant, Place::LeefHeader);
            buffer.push(b'|');
        }
        if head.signature.is_blank() {
            buffer.extend_from_slice(head.default_signature.as_bytes());
        } else {
            visible::push_text(buffer, head.signature, Place::LeefHeader);
        }
        buffer.push(b'|');
        buffer.extend_from_slice(options.delimiter.shown().as_bytes());
        buffer.push(b'|');
    };
    let options = FlatOptions { syntax: syntax(options), raw_event: options.raw_event, head: &head };
    events.push_with(|buffer| flat::write(&options, &view, record, tenant, buffer));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Delimiter, LeefOptions};

    #[test]
    fn delimiters_that_would_break_lines_are_refused() {
        for (text, shown) in [("tab", "x09"), ("^", "^"), ("\t", "x09"), ("~", "~")] {
            let delimiter = Delimiter::try_from(text.to_owned()).expect("a delimiter");
            assert_eq!(delimiter.shown(), shown);
        }
        for text in ["", "ab", "a", "1", " ", "|", "=", "\\", "<", ";", "\n", "é"] {
            assert!(Delimiter::try_from(text.to_owned()).is_err(), "{text}");
        }
        let error = serde_json::from_str::<LeefOptions>(r#"{"delimiter":"xx"}"#).expect_err("two characters");
        assert!(error.to_string().contains("cannot stand between attributes"), "{error}");
    }
}
