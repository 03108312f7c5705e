//! OCSF events against the schema, and the fixtures that all formats share.

mod fixtures;

use std::collections::HashSet;

use muster_model::Record;
use muster_siem::formats::{Events, Format, RecordKind};

use fixtures::{FIXTURES, head, tenant};

#[test]
fn fixtures_are_told_and_written() {
    let mut names = HashSet::new();
    for (name, kind, body) in FIXTURES {
        assert!(names.insert(name), "{name} stands there twice");
        assert_eq!(RecordKind::detect(body.as_bytes()), Some(kind), "{name}");
        let head = head(kind, body);
        let mut events = Events::new();
        let record = Record { head: &head, body };
        Format::Raw.write(kind, record, &tenant(), &mut events).expect("it can be written");
        assert_eq!(events.len(), 1, "{name}");
    }
    assert_eq!(names.iter().filter(|name| name.starts_with("evidence/")).count(), 48);
}
