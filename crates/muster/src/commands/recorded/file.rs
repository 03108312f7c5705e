//! A file of recorded records.

use std::path::Path;

use muster_model::{Record, RecordHead, RecordKind, TenantLabel, json};
use muster_siem::formats::{Encoding, Events, FormatError};

use super::text::{bytes, text};
use super::values::Values;
use crate::exit_code::reading_cure;

/// A file, read.
pub(crate) struct File {
    shown: String,
    text: String,
}

/// A record, and what is known of it.
pub(crate) struct Recorded<'a> {
    /// The file, and the number of the record in it where there are several.
    pub(crate) name: String,
    pub(crate) kind: RecordKind,
    pub(crate) head: RecordHead,
    body: &'a str,
}

/// A file or record that cannot be read.
#[derive(Debug)]
pub(crate) struct Unread {
    /// The file, and the line at which the record begins.
    pub(crate) place: String,
    pub(crate) why: String,
    /// Whether there is no such file.
    pub(crate) is_missing: bool,
}

impl std::fmt::Display for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.why)
    }
}

impl File {
    /// Reads a file, or standard input for `-`.
    pub(crate) fn read(path: &Path) -> Result<Self, Unread> {
        let shown = match path.as_os_str() == "-" {
            true => "standard input".to_owned(),
            false => path.display().to_string(),
        };
        let unread = |why: String, is_missing| Unread { place: shown.clone(), why, is_missing };
        let bytes = bytes(path).map_err(|error| {
            let is_missing = error.kind() == std::io::ErrorKind::NotFound;
            match error.kind() {
                std::io::ErrorKind::IsADirectory => {
                    unread(format!("is a folder: name its files, such as {shown}/*.json"), false)
                }
                _ => unread(format!("cannot be read: {error}{}", reading_cure(&error)), is_missing),
            }
        })?;
        let text = text(bytes).map_err(|why| unread(why, false))?;
        Ok(Self { shown, text })
    }

    /// Its records. Their kind is `kind`, or told by their fields.
    pub(crate) fn records(
        &self,
        kind: Option<RecordKind>,
    ) -> impl Iterator<Item = Result<Recorded<'_>, Unread>> {
        let mut values = Values::new(&self.text).peekable();
        let (mut number, mut line, mut counted) = (0, 1, 0);
        std::iter::from_fn(move || {
            let value = values.next()?;
            number += 1;
            line += memchr::memchr_iter(b'\n', &self.text.as_bytes()[counted..value.at]).count();
            counted = value.at;
            let alone = number == 1 && values.peek().is_none();
            let unread =
                |why: String| Unread { place: format!("{}:{line}", self.shown), why, is_missing: false };
            let name = if alone { self.shown.clone() } else { format!("{}#{number}", self.shown) };
            Some(value.body.and_then(|body| recorded(name, kind, body)).map_err(unread))
        })
    }
}

fn recorded(name: String, kind: Option<RecordKind>, body: &str) -> Result<Recorded<'_>, String> {
    if !body.starts_with('{') {
        return Err("is not a record: it is not a JSON object".to_owned());
    }
    let Some(kind) = kind.or_else(|| RecordKind::detect(body.as_bytes())) else {
        let words = RecordKind::ALL.map(RecordKind::as_str).join(", ");
        return Err(format!("its fields do not tell what kind of record it is; say it with --kind: {words}"));
    };
    let head = RecordHead::read(kind, body).map_err(|error| format!("is no {kind}: {error}"))?;
    Ok(Recorded { name, kind, head, body })
}

impl Recorded<'_> {
    /// The events that are made of it.
    pub(crate) fn write(&self, encoding: &Encoding) -> Result<Events, FormatError> {
        let mut events = Events::new();
        encoding.write(self.kind, self.record(), &self.tenant(), &mut events)?;
        Ok(events)
    }

    /// Its JSON.
    pub(crate) fn body(&self) -> &str {
        self.body
    }

    fn record(&self) -> Record<'_> {
        Record { head: &self.head, body: self.body, replay: None }
    }

    /// The tenant that the record names, as a customer called Example. A record alone knows no name.
    fn tenant(&self) -> TenantLabel {
        let mut id = None;
        let skimmed = json::skim::fields(self.body, |key, value| {
            if matches!(key, "tenantId" | "aadTenantId" | "TenantId") {
                id = json::text(value).and_then(|text| text.parse().ok()).or(id);
            }
        });
        debug_assert!(skimmed.is_ok(), "a record is JSON");
        TenantLabel {
            id: id.unwrap_or_else(|| {
                "00000000-0000-4000-8000-000000000000".parse().expect("a constant that is a GUID")
            }),
            slug: "example".parse().expect("a constant that is a slug"),
            name: "Example".to_owned(),
        }
    }
}

pub(crate) fn record_kind(word: &str) -> Result<RecordKind, String> {
    RecordKind::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| {
        let words = RecordKind::ALL.map(RecordKind::as_str).join(", ");
        format!("use one of {words}")
    })
}
