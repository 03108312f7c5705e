//! A flat line that is being written.

use jiff::Timestamp;
use muster_model::Severity;
use muster_model::json::Text;
use muster_model::time::moment;

use super::fields::*;
use crate::formats::view::Alert;
use crate::formats::writing::distinct::Distinct;
use crate::formats::writing::edit::Syntax;
use crate::formats::writing::visible::{self, Place};

/// A line that is being written.
pub(super) struct Line<'b> {
    pub(super) buffer: &'b mut Vec<u8>,
    pub(super) syntax: Syntax,
    pub(super) first: bool,
}

impl Line<'_> {
    pub(super) fn key(&mut self, slot: Slot) {
        let first = std::mem::replace(&mut self.first, false);
        let key = match self.syntax {
            Syntax::Leef(delimiter) => {
                if !first {
                    self.buffer.push(delimiter);
                }
                slot.leef
            }
            _ => &slot.cef[usize::from(first)..],
        };
        self.buffer.extend_from_slice(key.as_bytes());
    }

    /// The key of a column of a hunting row.
    pub(super) fn column(&mut self, name: &str) {
        let first = std::mem::replace(&mut self.first, false);
        match self.syntax {
            Syntax::Leef(delimiter) if !first => self.buffer.push(delimiter),
            Syntax::Leef(_) => {}
            _ if first => self.buffer.extend_from_slice(COLUMN_PREFIX.as_bytes()),
            _ => {
                self.buffer.push(b' ');
                self.buffer.extend_from_slice(COLUMN_PREFIX.as_bytes());
            }
        }
        self.buffer.extend_from_slice(name.as_bytes());
        self.buffer.push(b'=');
    }

    /// Where a value goes.
    pub(super) fn place(&self) -> Place {
        match self.syntax {
            Syntax::Leef(delimiter) => Place::LeefValue(delimiter),
            _ => Place::CefValue,
        }
    }

    /// Where an item of a list goes.
    pub(super) fn item_place(&self) -> Place {
        match self.syntax {
            Syntax::Leef(delimiter) => Place::LeefItem(delimiter),
            _ => Place::CefItem,
        }
    }

    pub(super) fn value(&mut self, text: Text<'_>) {
        visible::push_text(self.buffer, text, self.place());
    }

    pub(super) fn item(&mut self, text: Text<'_>) {
        visible::push_text(self.buffer, text, self.item_place());
    }

    /// A field whose value is not blank.
    pub(super) fn plain(&mut self, slot: Slot, value: &str) {
        self.key(slot);
        visible::push(self.buffer, value, self.place());
        self.label(slot);
    }

    /// A field and its label, or nothing.
    pub(super) fn text(&mut self, slot: Slot, text: Text<'_>) {
        if !text.is_blank() {
            self.key(slot);
            self.value(text);
            self.label(slot);
        }
    }

    pub(super) fn label(&mut self, slot: Slot) {
        if self.syntax == Syntax::Cef {
            self.buffer.extend_from_slice(slot.label.as_bytes());
        }
    }

    /// A time as text: as Microsoft wrote it, but for the zone. Without one it is in UTC, and nobody who reads the line
    /// could know that.
    pub(super) fn time_text(&mut self, slot: Slot, text: Text<'_>) {
        match parsed(text) {
            Some(time) if !has_zone(text.as_written()) => self.plain(slot, &time.to_string()),
            None if is_no_date(text) => {}
            _ => self.text(slot, text),
        }
    }

    /// CEF: milliseconds since 1970. LEEF: as its format says.
    pub(super) fn time(&mut self, slot: Slot, time: Option<Timestamp>) {
        let Some(time) = time else { return };
        self.key(slot);
        match self.syntax {
            Syntax::Leef(_) => push_time(self.buffer, time),
            _ => self.buffer.extend_from_slice(time.as_millisecond().to_string().as_bytes()),
        }
        self.label(slot);
    }

    pub(super) fn number(&mut self, slot: Slot, number: usize) {
        self.plain(slot, &number.to_string());
    }

    /// 1, 0, or nothing.
    pub(super) fn flag(&mut self, slot: Slot, flag: Option<bool>) {
        if let Some(flag) = flag {
            self.number(slot, usize::from(flag));
        }
    }

    /// All values, if there are more than the flat fields already `shown`.
    pub(super) fn more(&mut self, slot: Slot, values: &[Text<'_>], shown: usize) {
        if values.len() > shown {
            self.list(slot, values);
        }
    }

    /// The distinct texts of alerts.
    pub(super) fn each<'a>(
        &mut self,
        slot: Slot,
        alerts: &[Alert<'a>],
        texts: impl Fn(&Alert<'a>, &mut dyn FnMut(Text<'a>)),
    ) {
        let mut distinct = Distinct::default();
        for alert in alerts {
            texts(alert, &mut |text| distinct.add_text(text));
        }
        self.list(slot, distinct.as_slice());
    }

    pub(super) fn list(&mut self, slot: Slot, values: &[Text<'_>]) {
        self.items(slot, values, |line, value| line.item(*value));
    }

    pub(super) fn items<T>(&mut self, slot: Slot, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        for (position, item) in items.iter().enumerate() {
            if position == 0 {
                self.key(slot);
            } else {
                self.buffer.extend_from_slice(b"; ");
            }
            write(self, item);
        }
    }

    /// An item of a list made of several texts.
    pub(super) fn joined(&mut self, parts: &[Text<'_>], separator: &str) {
        let mut apart = false;
        for part in parts.iter().filter(|part| !part.is_blank()) {
            if apart {
                visible::push(self.buffer, separator, self.item_place());
            }
            self.item(*part);
            apart = true;
        }
    }
}

/// How times are written in LEEF, as `devTimeFormat` (Java's `SimpleDateFormat`) says it.
pub(super) const TIME_FORMAT: &str = "yyyy-MM-dd'T'HH:mm:ss.SSSZ";

/// LEEF's 1 to 10.
pub(super) fn severity_number(severity: Severity) -> &'static str {
    match severity {
        Severity::Unknown | Severity::Informational => "1",
        Severity::Low => "3",
        Severity::Medium => "6",
        Severity::High => "8",
    }
}

/// Appends a time as [`TIME_FORMAT`] says, in UTC.
fn push_time(buffer: &mut Vec<u8>, time: Timestamp) {
    buffer.extend_from_slice(time.strftime("%Y-%m-%dT%H:%M:%S.%3f+0000").to_string().as_bytes());
}

/// The moment that a text names.
/// Whether a time says its zone: `Z`, or what stands behind a sign after the date.
fn has_zone(time: &str) -> bool {
    time.ends_with(['Z', 'z', ']']) || time.get(10..).is_some_and(|clock| clock.contains(['+', '-']))
}

/// Whether it is .NET's "no date", the beginning of the year 1.
pub(super) fn is_no_date(time: Text<'_>) -> bool {
    time.as_written().starts_with("0001-01-01")
}

pub(super) fn parsed(time: Text<'_>) -> Option<Timestamp> {
    moment(time.as_written())
}

#[cfg(test)]
mod tests {
    use super::push_time;

    #[test]
    fn times_are_as_the_format_says() {
        let mut buffer = Vec::new();
        push_time(&mut buffer, "2026-03-02T08:15:31.2233333Z".parse().expect("a time"));
        assert_eq!(buffer, b"2026-03-02T08:15:31.223+0000");
    }
}
