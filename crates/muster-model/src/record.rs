//! One version of one alert or incident, as Microsoft wrote it, and the few facts about it that Muster itself needs.

use jiff::Timestamp;

use crate::json::{self, skim};
use crate::kind::HeadNames;
use crate::time::moment;
use crate::{Change, RecordKind, ReplayId, Severity};

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
    /// When Microsoft last changed it; `None` when it does not say so in a way that can be read, or says "no date"
    /// (the year 1).
    pub updated_at: Option<Timestamp>,
    /// When it was created: the event time in a SIEM.
    pub created_at: Option<Timestamp>,
    /// How bad it is.
    pub severity: Severity,
    /// Hash of the record's bytes.
    pub hash: ContentHash,
    /// What it is to the version before. The journal finds that out; a head that was read off a record alone has none.
    pub change: Option<Change>,
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

    /// Reads the head off a record of this kind. A kind without an id of its own, such as a hunting row, gets one from
    /// its content.
    ///
    /// Missing, null or odd times and severities are ordinary and give `None` and `Unknown`.
    ///
    /// # Errors
    /// When the value is not a JSON object, cannot be identified, or nests too deeply to be handed on.
    pub fn read(kind: RecordKind, body: &str) -> Result<Self, RecordError> {
        if !body.trim_ascii_start().starts_with('{') {
            return Err(RecordError::NotAnObject);
        }
        let mut facts = HeadFacts::of(kind);
        let skimmed = skim::fields(body, |key, value| facts.note(key.as_bytes(), value.as_bytes()));
        let depth = match skimmed {
            Ok(depth) => depth,
            Err(json::Error::TooDeep) => return Err(RecordError::TooDeep(skim::depth(body.as_bytes()))),
            Err(json::Error::Malformed { .. }) => return Err(RecordError::NotAnObject),
        };
        facts.head(body, depth)
    }
}

/// What a pass over a record finds for its head: values as written, one for each name.
pub(crate) struct HeadFacts<'a> {
    names: &'static HeadNames,
    id: [&'a [u8]; 2],
    created_at: [&'a [u8]; 3],
    updated_at: &'a [u8],
    severity: &'a [u8],
    /// The object that holds the facts.
    wrapped: &'a [u8],
}

impl<'a> HeadFacts<'a> {
    pub(crate) fn of(kind: RecordKind) -> Self {
        Self::of_names(kind.head_names())
    }

    fn of_names(names: &'static HeadNames) -> Self {
        let none: &[u8] = &[];
        Self { names, id: [none; 2], created_at: [none; 3], updated_at: none, severity: none, wrapped: none }
    }

    /// Takes a field of the outermost object, as written. Of several with the same key the last counts.
    #[inline]
    pub(crate) fn note(&mut self, key: &[u8], value: &'a [u8]) {
        let is = |name: &&str| name.as_bytes() == key;
        if let Some(at) = self.names.id.iter().position(is) {
            self.id[at] = value;
        } else if let Some(at) = self.names.created_at.iter().position(is) {
            self.created_at[at] = value;
        } else if is(&self.names.updated_at) {
            self.updated_at = value;
        } else if is(&self.names.severity) {
            self.severity = value;
        } else if is(&self.names.wrapper) {
            self.wrapped = value;
        }
    }

    /// The same facts, of which those that the wrapped object tells go before those of what wraps it.
    fn unwrapped(self) -> Self {
        if self.names.wrapper.is_empty() || self.wrapped.first() != Some(&b'{') {
            return self;
        }
        let mut inner = Self::of_names(self.names);
        let wrapped = self.wrapped;
        // What wraps it was read: it is whole.
        skim::value(wrapped, 0, |key, value| inner.note(&wrapped[key], &wrapped[value])).ok();
        let told = |inner: &'a [u8], outer| if inner.is_empty() { outer } else { inner };
        let mut times = self.created_at;
        times.iter_mut().zip(inner.created_at).for_each(|(outer, inner)| *outer = told(inner, outer));
        Self { created_at: times, severity: told(inner.severity, self.severity), ..self }
    }

    /// The head of the record, whose bytes are `body` and which nests `depth` levels deep.
    pub(crate) fn head(self, body: &str, depth: usize) -> Result<RecordHead, RecordError> {
        if !body.trim_ascii_start().starts_with('{') {
            return Err(RecordError::NotAnObject);
        }
        if depth > DEPTH_MAX {
            return Err(RecordError::TooDeep(depth));
        }
        let facts = self.unwrapped();
        let text = |value: &'a [u8]| json::text(std::str::from_utf8(value).ok()?);
        let time = |value| moment(&text(value)?);
        let hash = ContentHash::of(body.as_bytes());
        let id = if facts.names.id.is_empty() {
            hash.0.iter().map(|byte| format!("{byte:02x}")).collect()
        } else {
            let ids = facts.id.into_iter().filter_map(text);
            ids.into_iter().find(|id| !id.is_empty()).ok_or(RecordError::NoId)?.into_owned()
        };
        if id.len() > RecordHead::ID_BYTES_MAX {
            return Err(RecordError::LongId(id.len()));
        }
        let severity = text(facts.severity).map_or(Severity::Unknown, |word| Severity::from_wire(&word));
        let (created_at, updated_at) = (facts.created_at.into_iter().find_map(time), time(facts.updated_at));
        Ok(RecordHead { id, updated_at, created_at, severity, hash, change: None })
    }
}

/// One version of one alert or incident.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// What identifies it.
    pub head: &'a RecordHead,
    /// Microsoft's JSON object, untouched.
    pub body: &'a str,
    /// The replay that brings it once more to whom it is given.
    pub replay: Option<ReplayId>,
}

#[cfg(test)]
mod tests {
    use super::{RecordError, RecordHead};
    use crate::{RecordKind, Severity};

    #[test]
    fn reads_what_it_needs() {
        let head = RecordHead::read(
            RecordKind::GraphAlert,
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
        let head = RecordHead::read(
            RecordKind::GraphAlert,
            r#"{"id":7,"lastUpdateDateTime":"yesterday","createdDateTime":null}"#,
        );
        let head = head.expect("a record");
        assert_eq!((head.id.as_str(), head.updated_at, head.created_at), ("7", None, None));
    }

    #[test]
    fn a_time_without_a_zone_is_in_utc_and_the_year_1_is_none() {
        let head = RecordHead::read(
            RecordKind::EndpointAlert,
            r#"{"id":"1","alertCreationTime":"0001-01-01T00:00:00Z","lastUpdateTime":"2026-03-02 08:15:30.5"}"#,
        );
        let head = head.expect("a record");
        assert_eq!(head.created_at, None);
        assert_eq!(head.updated_at.map(|time| time.to_string()).as_deref(), Some("2026-03-02T08:15:30.5Z"));
    }

    #[test]
    fn a_streamed_row_says_its_time_and_severity_inside() {
        let read = |body: &str| {
            let head = RecordHead::read(RecordKind::HuntingRow, body).expect("a row");
            (head.created_at.map(|time| time.to_string()).unwrap_or_default(), head.severity)
        };
        for (body, time, severity) in [
            (
                r#"{"time":"2026-03-02T08:20:00Z","category":"AdvancedHunting-AlertInfo",
                    "properties":{"Severity":"High","Timestamp":"2026-03-02T08:15:30.5Z","X":{"Severity":"Low"}}}"#,
                "2026-03-02T08:15:30.5Z",
                Severity::High,
            ),
            // Whatever stands first.
            (
                r#"{"properties": {"TimeGenerated":"2026-03-02T08:15:30Z"},"time":"2026-03-02T08:20:00Z"}"#,
                "2026-03-02T08:15:30Z",
                Severity::Unknown,
            ),
            // When it was published, where the row has no time of its own.
            (
                r#"{"time":"2026-03-02T08:20:00Z","properties":{"Timestamp":"0001-01-01T00:00:00","Severity":"Low"}}"#,
                "2026-03-02T08:20:00Z",
                Severity::Low,
            ),
            // A column of that name is no wrapper.
            (
                r#"{"Timestamp":"2026-03-02T08:15:30Z","Severity":"Medium","properties":"{\"Severity\":\"High\"}"}"#,
                "2026-03-02T08:15:30Z",
                Severity::Medium,
            ),
            (r#"{"time":"2026-03-02T08:20:00Z","properties":{}}"#, "2026-03-02T08:20:00Z", Severity::Unknown),
        ] {
            assert_eq!(read(body), (time.to_owned(), severity), "{body}");
        }
        // Other kinds have no wrapper.
        let alert = r#"{"id":"1","severity":"low","properties":{"severity":"high"}}"#;
        let head = RecordHead::read(RecordKind::GraphAlert, alert).expect("an alert");
        assert_eq!(head.severity, Severity::Low);
    }

    #[test]
    fn what_cannot_be_identified_is_refused() {
        assert_eq!(RecordHead::read(RecordKind::GraphAlert, "[]"), Err(RecordError::NotAnObject));
        assert_eq!(RecordHead::read(RecordKind::GraphAlert, r#"{"id":null}"#), Err(RecordError::NoId));
        assert_eq!(RecordHead::read(RecordKind::GraphAlert, r#"{"id":""}"#), Err(RecordError::NoId));
        assert_eq!(RecordHead::read(RecordKind::GraphAlert, r#"{"title":"x"}"#), Err(RecordError::NoId));
        let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(600));
        assert_eq!(RecordHead::read(RecordKind::GraphAlert, &long), Err(RecordError::LongId(600)));
        let deep = format!(r#"{{"id":"1","x":{}{}}}"#, "[".repeat(5000), "]".repeat(5000));
        assert_eq!(RecordHead::read(RecordKind::GraphAlert, &deep), Err(RecordError::TooDeep(5001)));
    }

    #[test]
    fn every_kind_has_a_head() {
        for (kind, body, id, severity) in [
            (RecordKind::GraphAlert, r#"{"id":"g","severity":"low"}"#, "g", Severity::Low),
            (
                RecordKind::EndpointAlert,
                r#"{"id":"e","severity":"High","alertCreationTime":"2026-01-01T00:00:00Z"}"#,
                "e",
                Severity::High,
            ),
            (
                RecordKind::XdrIncident,
                r#"{"incidentId":7,"createdTime":"2026-01-01T00:00:00Z"}"#,
                "7",
                Severity::Unknown,
            ),
            (
                RecordKind::SiemDetection,
                r#"{"AlertId":"1_2","FullId":"1_2:x","Severity":"Medium"}"#,
                "1_2:x",
                Severity::Medium,
            ),
            (RecordKind::SiemDetection, r#"{"AlertId":"1\u005f2"}"#, "1_2", Severity::Unknown),
        ] {
            let head = RecordHead::read(kind, body).expect("a head");
            assert_eq!((head.id.as_str(), head.severity), (id, severity), "{body}");
        }
        let long = "x".repeat(600);
        let body = format!(r#"{{"id":"{long}","incidentId":"{long}","FullId":"{long}"}}"#);
        for kind in RecordKind::ALL.into_iter().filter(|kind| *kind != RecordKind::HuntingRow) {
            assert_eq!(RecordHead::read(kind, &body), Err(RecordError::LongId(600)), "{kind}");
        }
        let row = RecordHead::read(RecordKind::HuntingRow, r#"{"Timestamp":"2026-01-01T00:00:00Z"}"#)
            .expect("a head");
        assert_eq!(row.id.len(), 32);
        assert_eq!(row.created_at.map(|time| time.to_string()).as_deref(), Some("2026-01-01T00:00:00Z"));
        for kind in RecordKind::ALL {
            assert_eq!(RecordHead::read(kind, "[]"), Err(RecordError::NotAnObject), "{kind}");
            if kind != RecordKind::HuntingRow {
                assert_eq!(RecordHead::read(kind, "{}"), Err(RecordError::NoId), "{kind}");
            }
        }
    }
}
