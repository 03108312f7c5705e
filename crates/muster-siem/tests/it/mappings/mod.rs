//! What single facts become in each format, kind by kind: the expected values are written by hand, from what Microsoft's
//! and the formats' documentation says of the fields.

mod columns;
mod ends;
mod evident;
mod mail;
mod observables;
mod small;
mod times;

use std::collections::BTreeMap;

use muster_model::{Record, RecordKind};
use muster_siem::formats::{Events, Format};
use serde_json::Value;

use crate::cef::read_cef;
use crate::fixtures::{head, tenant};
use crate::leef::read_leef;

/// The events of a record.
fn events(format: &str, kind: RecordKind, body: &str) -> Vec<String> {
    let format = match format {
        "cef" => Format::Cef(Default::default()),
        "leef" => Format::Leef(Default::default()),
        "ecs" => Format::Ecs(Default::default()),
        "ocsf" => Format::Ocsf(Default::default()),
        _ => Format::Splunk(Default::default()),
    };
    let (mut events, head) = (Events::new(), head(kind, body));
    format
        .write(kind, Record { head: &head, body, replay: None }, &tenant(), &mut events)
        .expect("it can be written");
    events.iter().map(|event| String::from_utf8(event.to_vec()).expect("text")).collect()
}

/// The first event of a record.
fn event(format: &str, kind: RecordKind, body: &str) -> String {
    events(format, kind, body).into_iter().next().expect("an event")
}

fn json(format: &str, kind: RecordKind, body: &str) -> Value {
    serde_json::from_str(&event(format, kind, body)).expect("JSON")
}

fn ecs(kind: RecordKind, body: &str) -> Value {
    json("ecs", kind, body)
}

fn ocsf(kind: RecordKind, body: &str) -> Value {
    json("ocsf", kind, body)
}

/// The fields of a line of CEF or LEEF.
fn line(format: &str, kind: RecordKind, body: &str) -> BTreeMap<String, String> {
    let event = event(format, kind, body);
    if format == "cef" { read_cef(&event).extension } else { read_leef(&event).attributes }
        .into_iter()
        .collect()
}
