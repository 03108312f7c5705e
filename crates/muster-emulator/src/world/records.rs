//! Recorded alerts and incidents from files, served as they are.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::world::query::List;
use crate::world::table::{FixedFields, Row, text_of};
use crate::world::ticks::Ticks;

/// A record read from a file.
pub(crate) struct Recorded {
    pub(crate) list: List,
    pub(crate) row: Row,
}

/// What a folder held.
#[derive(Default)]
pub(crate) struct Recordings {
    pub(crate) records: Vec<Recorded>,
    /// What was not taken, and why.
    pub(crate) skipped: Vec<Skipped>,
}

/// Something in a folder of recordings that is no Graph alert or incident.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Skipped {
    /// The file.
    pub file: PathBuf,
    /// Why it, or a part of it, is not served.
    pub reason: String,
    /// How many values of the file this is said of.
    pub values: usize,
}

/// Reads every `.json`, `.ndjson` and `.log` file under `folder`.
///
/// # Errors
///
/// If the folder cannot be listed. Files that cannot be read are skipped and told of.
pub(crate) fn read(folder: &Path) -> std::io::Result<Recordings> {
    let mut recordings = Recordings::default();
    for file in files(folder)? {
        match std::fs::read_to_string(&file) {
            Ok(text) => read_file(&file, &text, &mut recordings),
            Err(error) => {
                recordings.skipped.push(Skipped { file, reason: format!("not readable: {error}"), values: 1 })
            }
        }
    }
    Ok(recordings)
}

fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            // Links are not followed: a loop of folders would have no end.
            let kind = entry.file_type()?;
            let path = entry.path();
            if kind.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|ending| ["json", "ndjson", "log"].iter().any(|known| ending == *known))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn read_file(file: &Path, text: &str, recordings: &mut Recordings) {
    let text = text.trim_start_matches('\u{feff}');
    let (mut other, mut broken) = (0, 0);
    let mut take = |raw: &RawValue| collect(raw, 0, &mut recordings.records, &mut other);
    let mut whole = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let mut values = Vec::new();
    let readable = whole.by_ref().all(|value| value.map(|value| values.push(value)).is_ok());
    if readable {
        values.into_iter().for_each(&mut take);
    } else {
        // Line by line, so that one bad line does not take the others with it.
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            match serde_json::from_str::<&RawValue>(line) {
                Ok(value) => take(value),
                Err(_) => broken += 1,
            }
        }
    }
    for (values, reason) in [(other, "not a Graph alert or incident"), (broken, "not JSON")] {
        if values > 0 {
            recordings.skipped.push(Skipped { file: file.to_owned(), reason: reason.to_owned(), values });
        }
    }
}

/// Finds records in lists, in `{"value":[…]}` and in the envelopes of other tools (`ms-graph`, `log`).
fn collect(raw: &RawValue, depth: usize, records: &mut Vec<Recorded>, other: &mut usize) {
    if let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) {
        if depth < 4 {
            list.into_iter().for_each(|raw| collect(raw, depth + 1, records, other));
        }
        return;
    }
    #[derive(serde::Deserialize)]
    struct Wrapping<'a> {
        #[serde(borrow)]
        value: Option<&'a RawValue>,
        #[serde(borrow, rename = "ms-graph", alias = "log")]
        enveloped: Option<&'a RawValue>,
    }
    let value: Value = serde_json::from_str(raw.get()).unwrap_or(Value::Null);
    if let Some(record) = record(&value, raw) {
        records.push(record);
        return;
    }
    match serde_json::from_str::<Wrapping<'_>>(raw.get()) {
        Ok(Wrapping { value: Some(inner), .. } | Wrapping { enveloped: Some(inner), .. }) if depth < 4 => {
            collect(inner, depth + 1, records, other);
        }
        _ => *other += 1,
    }
}

fn record(value: &Value, raw: &RawValue) -> Option<Recorded> {
    let id = value.get("id")?.as_str()?.to_owned();
    let has = |key: &str| value.get(key).is_some();
    let timed = has("createdDateTime") || has("lastUpdateDateTime");
    // Older Graph alerts and Entra's risk detections look alike: what is `alerts_v2` alone tells them apart.
    let older = has("vendorInformation") || has("riskEventType") || has("eventDateTime");
    let list = if timed
        && !older
        && ["detectionSource", "alertWebUrl", "evidence", "serviceSource"].iter().any(|key| has(key))
    {
        List::Alerts
    } else if timed && has("status") && (has("incidentWebUrl") || has("displayName")) && !has("properties") {
        List::Incidents
    } else {
        return None;
    };
    let time = |key: &str| text_of(value, key).and_then(|text| Ticks::parse(&text));
    let updated = time("lastUpdateDateTime").or_else(|| time("createdDateTime")).unwrap_or(Ticks(0));
    let fields = FixedFields::of(value);
    let body = Bytes::copy_from_slice(raw.get().as_bytes());
    let row = Row::fixed(id, time("createdDateTime").unwrap_or(updated), updated, fields, body);
    Some(Recorded { list, row })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_lines_and_single_records_are_found_and_the_rest_is_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let alert =
            r#"{"id":"a1","createdDateTime":"2026-01-01T00:00:00Z","serviceSource":"x" , "title":"é"}"#;
        let incident = r#"{"id":"7","displayName":"x","status":"active","createdDateTime":"2026-01-01T00:00:00Z","alerts":{"id":"a"}}"#;
        std::fs::create_dir(folder.path().join("deep")).unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("one.json", alert);
        write("deep/list.json", &format!("{{\"value\":[{incident},{alert}]}}"));
        write("lines.ndjson", &format!("{alert}\n{incident}\n"));
        write("mixed.log", &format!("{alert}\nnot json\n{{\"x\":1}}\n"));
        write("ignored.txt", alert);
        write("mock.json", r#"{"request":{},"response":{}}"#);
        let recordings = read(folder.path()).unwrap();
        assert_eq!(recordings.records.len(), 6);
        assert_eq!(recordings.records.iter().filter(|record| record.list == List::Incidents).count(), 2);
        assert_eq!(recordings.skipped.iter().map(|skipped| skipped.values).sum::<usize>(), 3);
        let tenant = crate::world::cast::tenant(1, 0);
        let one = recordings.records.iter().find(|record| record.list == List::Alerts).unwrap();
        assert_eq!(one.row.body(&tenant).full, alert.as_bytes());
    }

    #[test]
    fn the_corpus_is_read() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
        if !corpus.exists() {
            println!("corpus not found, skipped");
            return;
        }
        let recordings = read(&corpus).unwrap();
        let count = |list| recordings.records.iter().filter(|record| record.list == list).count();
        println!("{} alerts, {} incidents", count(List::Alerts), count(List::Incidents));
        for skipped in &recordings.skipped {
            println!("{} x {}: {}", skipped.values, skipped.file.display(), skipped.reason);
        }
        assert!(count(List::Alerts) >= 12, "{}", count(List::Alerts));
        assert!(count(List::Incidents) >= 10, "{}", count(List::Incidents));
    }
}
