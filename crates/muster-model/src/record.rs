//! One version of one alert or incident, as Microsoft wrote it, and the few facts about it that Muster itself needs.

use jiff::Timestamp;

use crate::{Severity, json};

/// The deepest nesting of a record that is accepted. Microsoft's schema stays below 20.
const DEPTH_MAX: usize = 100;

/// Sixteen bytes of the BLAKE3 hash of a record's bytes: tells two contents with the same update time apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash(pub [u8; 16]);

impl ContentHash {
    /// The hash of `body`.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        let mut short = [0; 16];
        short.copy_from_slice(&blake3::hash(body).as_bytes()[..16]);
        Self(short)
    }
}

/// What identifies a record's version, and what routes and sinks ask about it without reading the record again.
///
/// Two records of one tenant and source are the same version when `id`, `updated_at` and `hash` are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordHead {
    /// Microsoft's id of the alert or incident.
    pub id: String,
    /// When Microsoft last changed it; `None` when it does not say so in a way that can be read.
    pub updated_at: Option<Timestamp>,
    /// When it was created: the event time in a SIEM.
    pub created_at: Option<Timestamp>,
    /// How bad it is.
    pub severity: Severity,
    /// Hash of the record's bytes.
    pub hash: ContentHash,
}

/// Why a JSON value is not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not an object.
    #[error("it is not a JSON object")]
    NotAnObject,
    /// No `id`, or one that is not a string or number.
    #[error("it has no id")]
    NoId,
    /// An id too long to be one.
    #[error("its id is {0} bytes long; at most {max} are taken", max = RecordHead::ID_BYTES_MAX)]
    LongId(usize),
    /// Nested too deeply.
    #[error("it nests {0} levels deep; at most {DEPTH_MAX} are taken")]
    TooDeep(usize),
}

impl RecordHead {
    /// The longest id of a record that is believed, in bytes. Microsoft's are below 100.
    pub const ID_BYTES_MAX: usize = 512;

    /// Reads the head off a Graph alert or incident.
    ///
    /// `body` is one JSON value that a parser has accepted. Missing, null or odd times and severities are ordinary
    /// and give `None` and `Unknown`.
    ///
    /// # Errors
    /// When the value cannot be identified, or nests too deeply to be handed on.
    pub fn read(body: &str) -> Result<Self, RecordError> {
        if !body.trim_ascii_start().starts_with('{') {
            return Err(RecordError::NotAnObject);
        }
        let (mut id, mut updated_at, mut created_at, mut severity) = (None, None, None, Severity::Unknown);
        let time = |value| json::text(value).and_then(|text| text.parse::<Timestamp>().ok());
        let depth = json::scan_fields(body, |key, value| match key {
            "id" => id = json::text(value),
            "lastUpdateDateTime" => updated_at = time(value),
            "createdDateTime" => created_at = time(value),
            "severity" => {
                severity = json::text(value).map_or(Severity::Unknown, |text| Severity::from_wire(&text))
            }
            _ => {}
        });
        if depth > DEPTH_MAX {
            return Err(RecordError::TooDeep(depth));
        }
        let id = id.filter(|id| !id.is_empty()).ok_or(RecordError::NoId)?.into_owned();
        if id.len() > Self::ID_BYTES_MAX {
            return Err(RecordError::LongId(id.len()));
        }
        Ok(Self { id, updated_at, created_at, severity, hash: ContentHash::of(body.as_bytes()) })
    }
}

/// One version of one alert or incident.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// What identifies it.
    pub head: &'a RecordHead,
    /// Microsoft's JSON object, untouched.
    pub body: &'a str,
}

#[cfg(test)]
mod tests {
    use super::{RecordError, RecordHead};
    use crate::Severity;

    #[test]
    fn reads_what_it_needs() {
        let head = RecordHead::read(
            r#"{"id":"da1_2","severity":"High","createdDateTime":"2026-01-01T00:00:00.1234567Z",
                "evidence":[{"id":"inner","severity":"low"}],"lastUpdateDateTime":"2026-01-01T00:00:01Z"}"#,
        )
        .expect("a record");
        assert_eq!(head.id, "da1_2");
        assert_eq!(head.severity, Severity::High);
        assert_eq!(head.created_at.expect("a time").to_string(), "2026-01-01T00:00:00.1234567Z");
        assert_eq!(head.updated_at.expect("a time").to_string(), "2026-01-01T00:00:01Z");
    }

    #[test]
    fn odd_times_are_no_times_and_a_number_is_an_id() {
        let head = RecordHead::read(r#"{"id":7,"lastUpdateDateTime":"yesterday","createdDateTime":null}"#);
        let head = head.expect("a record");
        assert_eq!((head.id.as_str(), head.updated_at, head.created_at), ("7", None, None));
    }

    #[test]
    fn what_cannot_be_identified_is_refused() {
        assert_eq!(RecordHead::read("[]"), Err(RecordError::NotAnObject));
        assert_eq!(RecordHead::read(r#"{"id":null}"#), Err(RecordError::NoId));
        assert_eq!(RecordHead::read(r#"{"id":""}"#), Err(RecordError::NoId));
        assert_eq!(RecordHead::read(r#"{"title":"x"}"#), Err(RecordError::NoId));
        let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(600));
        assert_eq!(RecordHead::read(&long), Err(RecordError::LongId(600)));
        let deep = format!(r#"{{"id":"1","x":{}{}}}"#, "[".repeat(5000), "]".repeat(5000));
        assert_eq!(RecordHead::read(&deep), Err(RecordError::TooDeep(5001)));
    }
}
