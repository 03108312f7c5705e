//! Microsoft's bytes, untouched: one JSON object a line. The tenant is not in it beyond Microsoft's own `tenantId`;
//! sinks that need more wrap it.

use muster_model::Record;

use super::events::Events;
use super::writing::quote::push_line;

/// Appends the record's body. Only newlines between its tokens are changed, to spaces.
pub(super) fn write(record: Record<'_>, events: &mut Events) {
    events.push_with(|buffer| push_line(buffer, record.body));
}

#[cfg(test)]
mod tests {
    use muster_model::{Record, RecordHead, RecordKind};

    use crate::formats::Events;

    #[test]
    fn a_pretty_record_becomes_one_line_and_its_strings_stay() {
        let body = "\n{\r\n  \"id\": \"1\",\n  \"title\": \"a\\nb  c\"\n}\n";
        let head = RecordHead::read(RecordKind::GraphAlert, body).expect("a record");
        let mut events = Events::new();
        super::write(Record { head: &head, body, replay: None }, &mut events);
        assert_eq!(events.bytes, br#"{    "id": "1",   "title": "a\nb  c" }"#);
    }
}
