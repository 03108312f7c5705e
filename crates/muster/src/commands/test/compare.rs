//! Expected events against those that are written today, field by field.

use std::collections::BTreeMap;
use std::path::Path;

use muster_model::RecordKind;
use muster_siem::formats::Format;
use serde::Serialize;
use serde_json::Value;

use super::folder::Written;
use crate::read_file;

/// The longest file of expected events that is read.
const EXPECTED_BYTES_MAX: u64 = 256 << 20;

pub(super) fn compare(written: &[Written], format: &Format, path: &Path) -> Tested {
    let text = match read_file::text(path, EXPECTED_BYTES_MAX) {
        Ok(text) => text,
        Err(error) => return Tested::not(path, vec![format!("{} cannot be read: {error}", path.display())]),
    };
    let expected: Vec<(usize, &str)> =
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).collect();
    let (mut differences, mut troubles) = (Vec::new(), Vec::new());
    if expected.len() != written.len() {
        differences.push(Difference {
            event: 0,
            record: String::new(),
            field: "number of events".to_owned(),
            expected: vec![expected.len().to_string()],
            written: vec![written.len().to_string()],
        });
    }
    for (number, ((line, expected), written)) in expected.iter().zip(written).enumerate() {
        if expected.as_bytes() == written.event {
            continue;
        }
        let read = |event: &[u8]| fields(format, written.kind, event);
        let (wanted, got) = match (read(expected.as_bytes()), read(&written.event)) {
            (Ok(wanted), Ok(got)) => (wanted, got),
            (Err(error), _) | (_, Err(error)) => {
                troubles.push(format!("{}:{}: is no {format} event: {error}", path.display(), line + 1));
                continue;
            }
        };
        let before = differences.len();
        let mut differ = |wanted: &Fields, got: &Fields| {
            for field in wanted.keys().chain(got.keys().filter(|field| !wanted.contains_key(*field))) {
                let (wanted, got) = (wanted.get(field), got.get(field));
                if wanted != got {
                    differences.push(Difference {
                        event: number + 1,
                        record: written.record.clone(),
                        field: field.clone(),
                        expected: wanted.cloned().unwrap_or_default(),
                        written: got.cloned().unwrap_or_default(),
                    });
                }
            }
            differences.len() > before
        };
        if !differ(&wanted, &got)
            && let (Ok(wanted), Ok(got)) = (tree(expected.as_bytes()), tree(&written.event))
            && wanted != got
        {
            // The same texts: as other types, or in other lists and objects.
            let whole = |tree: &Value| Fields::from([("event".to_owned(), vec![tree.to_string()])]);
            let _ = differ(&leaves(&wanted), &leaves(&got)) || differ(&whole(&wanted), &whole(&got));
        }
    }
    Tested { expected: path.display().to_string(), events: written.len(), troubles, differences }
}

/// What became of one file of expected events.
#[derive(Serialize)]
pub(super) struct Tested {
    pub(super) expected: String,
    pub(super) events: usize,
    /// Why nothing could be compared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) troubles: Vec<String>,
    pub(super) differences: Vec<Difference>,
}

#[derive(Serialize)]
pub(super) struct Difference {
    /// The number of the event in the file; 0 for the file as a whole.
    pub(super) event: usize,
    /// The record that the event was made of.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) record: String,
    pub(super) field: String,
    pub(super) expected: Vec<String>,
    pub(super) written: Vec<String>,
}

impl Tested {
    pub(super) fn not(expected: &Path, troubles: Vec<String>) -> Self {
        Self { expected: expected.display().to_string(), events: 0, troubles, differences: Vec::new() }
    }

    pub(super) fn is_good(&self) -> bool {
        self.troubles.is_empty() && self.differences.is_empty()
    }
}

/// An event's fields: the values of each, in order.
type Fields = BTreeMap<String, Vec<String>>;

fn fields(format: &Format, kind: RecordKind, event: &[u8]) -> Result<Fields, String> {
    match format {
        Format::Cef(_) if !event.starts_with(b"CEF:") => return Err("it does not begin with CEF:".to_owned()),
        Format::Leef(_) if !event.starts_with(b"LEEF:") => {
            return Err("it does not begin with LEEF:".to_owned());
        }
        Format::Cef(_) | Format::Leef(_) => {}
        Format::Raw | Format::Splunk(_) | Format::Ecs(_) | Format::Ocsf(_) => {
            tree(event).map_err(|error| error.to_string())?;
        }
    }
    let mut fields = Fields::new();
    for field in format.read_event(kind, event).map_err(|error| error.to_string())? {
        fields.entry(field.name).or_default().push(field.value);
    }
    Ok(fields)
}

fn tree(event: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice(event)
}

/// The fields of an event of JSON, their values as JSON.
fn leaves(event: &Value) -> Fields {
    fn collect(value: &Value, path: &str, fields: &mut Fields) {
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    collect(
                        value,
                        &if path.is_empty() { key.clone() } else { format!("{path}.{key}") },
                        fields,
                    );
                }
            }
            Value::Array(list) => list.iter().for_each(|value| collect(value, path, fields)),
            leaf => fields.entry(path.to_owned()).or_default().push(leaf.to_string()),
        }
    }
    let mut fields = Fields::new();
    collect(event, "", &mut fields);
    fields
}
