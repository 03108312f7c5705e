//! Recorded records on this machine's disk, for the commands that show and test formats. Reads one record, a list,
//! a page as Microsoft's APIs answer (`value`, `results`), or a record a line.

use std::io::Read;
use std::path::Path;

use muster_model::{Record, RecordHead, TenantLabel, json};
use muster_siem::formats::{Events, Format, FormatError, RecordKind};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::exit_code::{Exit, Failed};

/// The longest file that is read.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// A record, and what is known of it.
pub(super) struct Recorded {
    /// The file, and the number of the record in it where there are several.
    pub(super) name: String,
    pub(super) kind: RecordKind,
    pub(super) head: RecordHead,
    pub(super) body: String,
}

/// The records of a file, or of standard input for `-`. Their kind is `kind`, or told by their fields.
pub(super) fn read(path: &Path, kind: Option<RecordKind>) -> Result<Vec<Recorded>, Failed> {
    let shown = path.display();
    let text = text(path)?;
    let bodies = bodies(&text).map_err(|error| {
        Failed::say(
            Exit::Failure,
            format!("{shown} is neither a record, a list, a page of an API nor a record a line: {error}"),
        )
    })?;
    let several = bodies.len() > 1;
    let mut records = Vec::with_capacity(bodies.len());
    for (number, body) in bodies.into_iter().enumerate() {
        let name = if several { format!("{shown}#{}", number + 1) } else { shown.to_string() };
        let kind = kind.or_else(|| RecordKind::detect(body.as_bytes())).ok_or_else(|| {
            Failed::say(
                Exit::Failure,
                format!("{name}: its fields do not tell what kind of record it is; say it with --kind"),
            )
        })?;
        let head = kind
            .head(&body)
            .map_err(|error| Failed::say(Exit::Failure, format!("{name} is no {kind}: {error}")))?;
        records.push(Recorded { name, kind, head, body });
    }
    Ok(records)
}

impl Recorded {
    /// The events that `format` makes of it.
    pub(super) fn write(&self, format: &Format) -> Result<Events, FormatError> {
        let mut events = Events::new();
        format.write(self.kind, self.record(), &self.tenant(), &mut events)?;
        Ok(events)
    }

    pub(super) fn record(&self) -> Record<'_> {
        Record { head: &self.head, body: &self.body }
    }

    /// The tenant that the record names, as a customer called Example. A record alone knows no name.
    pub(super) fn tenant(&self) -> TenantLabel {
        let mut id = None;
        json::scan_fields(&self.body, |key, value| {
            if matches!(key, "tenantId" | "aadTenantId" | "TenantId") {
                id = json::text(value).and_then(|text| text.parse().ok()).or(id);
            }
        });
        TenantLabel {
            id: id.unwrap_or_else(|| {
                "00000000-0000-4000-8000-000000000000".parse().expect("a constant that is a GUID")
            }),
            slug: "example".parse().expect("a constant that is a slug"),
            name: "Example".to_owned(),
        }
    }
}

fn text(path: &Path) -> Result<String, Failed> {
    let shown = path.display();
    let failed =
        |error: std::io::Error| Failed::say(Exit::Failure, format!("{shown} cannot be read: {error}"));
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        std::io::stdin().lock().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    }
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let most = FILE_BYTES_MAX >> 20;
        return Err(Failed::say(
            Exit::Failure,
            format!("{shown} is longer than {most} MiB: cut it into files"),
        ));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| Failed::say(Exit::Failure, format!("{shown} is not UTF-8: {error}")))?;
    Ok(text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned))
}

/// What an API answers.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow, default, alias = "results", alias = "Results")]
    value: Option<Vec<&'a RawValue>>,
}

fn bodies(text: &str) -> Result<Vec<String>, serde_json::Error> {
    let owned = |list: Vec<&RawValue>| list.into_iter().map(|value| value.get().to_owned()).collect();
    let trimmed = text.trim();
    if trimmed.starts_with('[') {
        return serde_json::from_str::<Vec<&RawValue>>(trimmed).map(owned);
    }
    if serde_json::from_str::<&RawValue>(trimmed).is_ok() {
        if let Ok(Page { value: Some(list) }) = serde_json::from_str(trimmed) {
            return Ok(owned(list));
        }
        return Ok(vec![trimmed.to_owned()]);
    }
    let lines = trimmed.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_str::<&RawValue>(line).map(|value| value.get().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::bodies;

    #[test]
    fn records_come_in_many_wrappings() {
        let read = |text: &str| bodies(text).map_err(|error| error.to_string());
        assert_eq!(read(" {\n\"id\":1}\n").expect("one"), ["{\n\"id\":1}"]);
        assert_eq!(read(r#"[{"id":1},{"id":2}]"#).expect("two"), [r#"{"id":1}"#, r#"{"id":2}"#]);
        assert_eq!(read(r#"{"@odata.context":"x","value":[{"id":1}]}"#).expect("one"), [r#"{"id":1}"#]);
        assert_eq!(read(r#"{"schema":[],"results":[{"A":1}]}"#).expect("one"), [r#"{"A":1}"#]);
        assert_eq!(read("{\"id\":1}\n\n{\"id\":2}").expect("two").len(), 2);
        assert_eq!(read(r#"{"id":1,"value":"a"}"#).expect("one").len(), 1);
        assert!(read("{\"id\":1}\nnonsense").is_err());
        assert!(read("").expect("nothing").is_empty());
    }
}
