//! Where a record stands: whether it is worked on, and the incident it belongs to. Few bytes that are kept with each version
//! for as long as the version is known, so that what became of the next one is known after the journal has forgotten the body.

use crate::json::{self, Reader};
use crate::{Change, RecordKind, text};

/// Where a version of a record stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stage {
    pub(crate) state: State,
    /// The incident of an alert; empty where it is not known.
    pub(crate) incident: String,
}

/// Whether a record is worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum State {
    #[default]
    Unknown,
    Open,
    Resolved,
    Merged,
}

impl State {
    const ALL: [Self; 4] = [Self::Unknown, Self::Open, Self::Resolved, Self::Merged];

    /// A word that is not known says nothing: neither that it is open nor that it is not.
    fn of(word: &str) -> Self {
        const WORDS: [(&str, State); 6] = [
            ("new", State::Open),
            ("active", State::Open),
            ("inProgress", State::Open),
            ("awaitingAction", State::Open),
            ("resolved", State::Resolved),
            ("redirected", State::Merged),
        ];
        WORDS
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(word))
            .map_or(Self::Unknown, |found| found.1)
    }

    /// The digit of the stored form.
    fn digit(self) -> char {
        match self {
            Self::Unknown => '0',
            Self::Open => '1',
            Self::Resolved => '2',
            Self::Merged => '3',
        }
    }
}

/// The fields in which a kind of record says what becomes of it; `None` where it does not.
pub(crate) struct HistoryNames {
    pub(crate) status: Option<&'static str>,
    pub(crate) incident: Option<&'static str>,
    pub(crate) redirect: Option<&'static str>,
}

impl HistoryNames {
    pub(crate) fn of(kind: RecordKind) -> Self {
        let (status, incident, redirect) = match kind {
            RecordKind::GraphAlert | RecordKind::EndpointAlert => (Some("status"), Some("incidentId"), None),
            RecordKind::GraphIncident | RecordKind::XdrIncident => {
                (Some("status"), None, Some("redirectIncidentId"))
            }
            RecordKind::SiemDetection | RecordKind::HuntingRow => (None, None, None),
        };
        Self { status, incident, redirect }
    }
}

impl Stage {
    /// Where `body`, which is a record of this kind, stands, and the incident that it was merged into; empty where it was not.
    ///
    /// Reads no further than to the last field that tells, and of several fields with one name takes the first.
    #[must_use]
    pub fn read(kind: RecordKind, body: &str) -> (Self, String) {
        let names = HistoryNames::of(kind);
        let mut wanted = [names.status, names.incident, names.redirect];
        let mut found = [""; 3];
        let read_all = |wanted: &[Option<&str>; 3]| wanted.iter().all(Option::is_none);
        if !read_all(&wanted) {
            let read = Reader::new(body).object(|key, reader| {
                let Some(place) = wanted.iter().position(|name| *name == Some(key)) else {
                    return reader.skip();
                };
                wanted[place] = None;
                found[place] = reader.raw()?;
                if read_all(&wanted) { Err(json::Error::Malformed { at: 0 }) } else { Ok(()) }
            });
            // An error is the end of what is wanted, or that it is no JSON object: what was found by then counts.
            read.unwrap_or_default();
        }
        let [status, incident, redirect] = found;
        let (incident, redirect) = (id(incident), id(redirect));
        let state = if redirect.is_empty() {
            json::text(status).map_or(State::Unknown, |word| State::of(&word))
        } else {
            State::Merged
        };
        (Self { state, incident }, redirect)
    }

    /// The stored form: a digit and the incident.
    #[must_use]
    pub fn encode(&self) -> String {
        format!("{}{}", self.state.digit(), self.incident)
    }

    /// Reads the stored form; `None` where it is none.
    #[must_use]
    pub fn decode(stored: &str) -> Option<Self> {
        let digit = stored.chars().next()?;
        let state = State::ALL.into_iter().find(|state| state.digit() == digit)?;
        let incident = stored.get(1..).filter(|incident| incident.len() <= Change::ID_BYTES_MAX)?.to_owned();
        Some(Self { state, incident })
    }
}

/// An id of an incident, fit to be shown; empty where there is none, or one that is too long to be one.
fn id(value: &str) -> String {
    if value.is_empty() || value == "null" {
        return String::new();
    }
    let id = json::text(value).filter(|id| id.len() <= Change::ID_BYTES_MAX);
    let id = id.map(|id| text::plain(id.trim())).unwrap_or_default();
    if id.len() <= Change::ID_BYTES_MAX { id } else { String::new() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Stage, State};
    use crate::RecordKind;

    fn read(kind: RecordKind, body: &str) -> (State, String, String) {
        let (stage, redirect) = Stage::read(kind, body);
        assert_eq!(Stage::decode(&stage.encode()).as_ref(), Some(&stage));
        (stage.state, stage.incident, redirect)
    }

    #[test]
    fn what_becomes_of_a_record_is_read_off_its_outermost_fields() {
        let of = |state, incident: &str, redirect: &str| (state, incident.to_owned(), redirect.to_owned());
        let (alert, incident) = (RecordKind::GraphAlert, RecordKind::GraphIncident);
        for (kind, body, told) in [
            (
                alert,
                r#"{"evidence":[{"status":"resolved","incidentId":"9"}],"incidentId":"7","status":"new"}"#,
                of(State::Open, "7", ""),
            ),
            (alert, r#"{"status":"resolved","incidentId":12}"#, of(State::Resolved, "12", "")),
            (alert, r#"{"status":"unknownFutureValue"}"#, of(State::Unknown, "", "")),
            (alert, r#"{"status":"redirected","redirectIncidentId":"9"}"#, of(State::Merged, "", "")),
            (incident, r#"{"status":"active","redirectIncidentId":null}"#, of(State::Open, "", "")),
            (incident, r#"{"status":"active","redirectIncidentId":"9"}"#, of(State::Merged, "", "9")),
            (incident, r#"{"alerts":[{"status":"new"}],"status":"Redirected"}"#, of(State::Merged, "", "")),
            (RecordKind::HuntingRow, r#"{"status":"new"}"#, of(State::Unknown, "", "")),
            (alert, "[]", of(State::Unknown, "", "")),
            (alert, "", of(State::Unknown, "", "")),
        ] {
            assert_eq!(read(kind, body), told, "{body}");
        }
        let long = format!(r#"{{"status":"new","incidentId":"{}"}}"#, "i".repeat(1 << 20));
        assert_eq!(read(alert, &long), of(State::Open, "", ""));
        for none in ["", "7", "x1", &format!("1{}", "i".repeat(100))] {
            assert_eq!(Stage::decode(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_stored_panics(stored in ".{0,80}", body in ".{0,80}") {
            if let Some(stage) = Stage::decode(&stored) {
                prop_assert_eq!(stage.encode(), stored);
            }
            read(RecordKind::GraphAlert, &body);
        }
    }
}
