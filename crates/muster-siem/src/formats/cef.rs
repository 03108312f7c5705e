//! ArcSight Common Event Format, with the field map that Microsoft gave ArcSight for Defender alerts, brought to
//! today's Graph names by Microsoft's own migration table. `docs/formats/cef.md` lists it field by field.
//!
//! Escaping follows the CEF guide ("ArcSight Common Event Format Implementation Standard"): `\` and `|` in the
//! header, `\` and `=` in the extension, newlines in the extension as `\n` and `\r`, in the header as a space. Beyond
//! the guide, a tab becomes a space, and every other control character, line separator and bidirectional override
//! becomes visible, such as `<U+202E>`. `visible` does this.
//!
//! Which fields there are and what becomes of evidence is in `flat`.

use muster_model::json::Tape;
use muster_model::{Record, RecordKind, Severity, TenantLabel};
use serde::Deserialize;

use super::error::FormatError;
use super::events::Events;
use super::flat::{self, FlatOptions};
use super::view::View;
use super::writing::edit::Syntax;
use super::writing::visible::{self, Place};

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
            visible::push(buffer, constant, Place::CefHeader);
            buffer.push(b'|');
        }
        for (text, default) in [(head.signature, head.default_signature), (head.name, "Microsoft Defender")] {
            if text.is_blank() {
                buffer.extend_from_slice(default.as_bytes());
            } else {
                visible::push_text(buffer, text, Place::CefHeader);
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
