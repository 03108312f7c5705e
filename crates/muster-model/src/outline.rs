//! What is remembered of a record's latest version, so that the next one can be told from it: its status, its incident,
//! and a number for what each outermost field means. No text of the record but the incident's id is in it.

use crate::change::{Change, ChangeKind};
use crate::json::{self, Text, meaning};
use crate::{RecordKind, text};

/// Leads every stored outline.
const VERSION: u8 = 1;
/// The most fields that are held apart; Microsoft's records have about forty. What is beyond counts as one field.
const FIELDS_MAX: usize = 200;
/// What a field takes in an encoded outline.
const FIELD_BYTES: usize = 8;
/// Stands for a value that is hidden: it is like any other.
const HIDDEN: u32 = 0;
/// What belongs to an incident, and is not always asked for with it.
const BELONGINGS: &str = "alerts";
/// Annotations of the answer, not of the record.
const ANNOTATIONS: [&str; 3] = ["@odata.context", "@odata.etag", "alerts@odata.context"];

/// What is remembered of one version of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    state: State,
    /// The incident of an alert; empty where it is not known.
    incident: String,
    /// What the fields beyond the bound mean together.
    rest: u32,
    /// Name and meaning of each field that is not null, in the order of the names' numbers.
    fields: Vec<(u32, u32)>,
}

/// What a version is held against.
#[derive(Debug, Clone, Copy)]
pub enum Before<'o> {
    /// There was no version before.
    Nothing,
    /// There was one, and nothing is known of it.
    Unknown,
    /// This one.
    Version(&'o Outline),
}

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
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
}

/// The fields in which a kind of record says what becomes of it; empty where it does not.
struct HistoryNames {
    status: &'static str,
    incident: &'static str,
    redirect: &'static str,
}

impl HistoryNames {
    fn of(kind: RecordKind) -> Self {
        let (status, incident, redirect) = match kind {
            RecordKind::GraphAlert | RecordKind::EndpointAlert => ("status", "incidentId", ""),
            RecordKind::GraphIncident | RecordKind::XdrIncident => ("status", "", "redirectIncidentId"),
            RecordKind::SiemDetection | RecordKind::HuntingRow => ("", "", ""),
        };
        Self { status, incident, redirect }
    }
}

/// A version as it was read: its outline, and what is needed to tell its changes.
struct Reading<'a> {
    outline: Outline,
    /// The number of each field's name, the name as written, and its place in the record; also of those that are null.
    names: Vec<(u32, &'a str)>,
    redirect: String,
}

impl Outline {
    /// The outline of `body`, which is a record of this kind, and what it changes. What a version does not say, such as a
    /// hidden status or the alerts of an incident that was asked for without them, is taken from the version before.
    ///
    /// `None` where nothing can be remembered, since `body` is no JSON object.
    #[must_use]
    pub fn follow(before: Before<'_>, kind: RecordKind, body: &str) -> (Option<Self>, Change) {
        let Some(reading) = Reading::of(kind, body) else {
            let is_first = matches!(before, Before::Nothing);
            return (None, Change::new(if is_first { ChangeKind::Created } else { ChangeKind::Changed }));
        };
        let is_merged = reading.outline.state == State::Merged;
        let merged = |change: Change| {
            let to = (!reading.redirect.is_empty()).then(|| reading.redirect.clone());
            Change { kind: ChangeKind::MergedInto, to, ..change }
        };
        match before {
            Before::Nothing | Before::Unknown if is_merged => {
                let change = merged(Change::new(ChangeKind::MergedInto));
                (Some(reading.outline), change)
            }
            Before::Nothing => (Some(reading.outline), Change::new(ChangeKind::Created)),
            Before::Unknown => (Some(reading.outline), Change::new(ChangeKind::Changed)),
            Before::Version(old) => {
                let mut outline = reading.outline.clone();
                let mut change = reading.difference(old, &mut outline);
                if outline.state == State::Unknown {
                    outline.state = old.state;
                }
                let redirect = number(HistoryNames::of(kind).redirect);
                if is_merged
                    && (old.state != State::Merged || old.meaning(redirect) != outline.meaning(redirect))
                {
                    change = merged(change);
                } else {
                    change.kind = match (old.state, outline.state) {
                        (old, State::Resolved) if old != State::Resolved => ChangeKind::Resolved,
                        (State::Resolved | State::Merged, State::Open) => ChangeKind::Reopened,
                        _ => ChangeKind::Changed,
                    };
                }
                if outline.incident.is_empty() {
                    outline.incident.clone_from(&old.incident);
                } else if !old.incident.is_empty() && outline.incident != old.incident {
                    change.from = Some(old.incident.clone());
                    change.to = Some(outline.incident.clone());
                    if change.kind == ChangeKind::Changed {
                        change.kind = ChangeKind::Moved;
                    }
                }
                (Some(outline), change)
            }
        }
    }

    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + self.incident.len() + self.fields.len() * FIELD_BYTES);
        out.push(VERSION);
        out.push(self.state as u8);
        out.push(u8::try_from(self.incident.len()).expect("ids are bounded"));
        out.extend_from_slice(self.incident.as_bytes());
        out.extend_from_slice(&self.rest.to_le_bytes());
        for (name, meaning) in &self.fields {
            out.extend_from_slice(&name.to_le_bytes());
            out.extend_from_slice(&meaning.to_le_bytes());
        }
        out
    }

    /// Reads the stored form; `None` where it was damaged, or written by a later version.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let ([VERSION, state, length], bytes) = bytes.split_first_chunk()? else { return None };
        let state = *State::ALL.get(usize::from(*state))?;
        let (incident, bytes) = bytes.split_at_checked(usize::from(*length))?;
        let incident = std::str::from_utf8(incident).ok()?.to_owned();
        let (rest, bytes) = bytes.split_first_chunk()?;
        let (fields, []) = bytes.as_chunks::<FIELD_BYTES>() else { return None };
        if fields.len() > FIELDS_MAX || incident.len() > Change::ID_BYTES_MAX {
            return None;
        }
        let half = |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).unwrap_or_default();
        let fields: Vec<_> = fields.iter().map(|field| (half(&field[..4]), half(&field[4..]))).collect();
        let ordered = fields.is_sorted_by(|one, other| one.0 < other.0);
        ordered.then_some(Self { state, incident, rest: u32::from_le_bytes(*rest), fields })
    }

    /// What the field with this name means; `None` when there is none.
    fn meaning(&self, name: u32) -> Option<u32> {
        let found = self.fields.binary_search_by_key(&name, |field| field.0).ok()?;
        self.fields.get(found).map(|field| field.1)
    }
}

impl<'a> Reading<'a> {
    fn of(kind: RecordKind, body: &'a str) -> Option<Self> {
        let history = HistoryNames::of(kind);
        let updated_at = kind.head_names().updated_at;
        let (mut state, mut incident, mut redirect) = (State::Unknown, String::new(), String::new());
        let (mut fields, mut names) = (Vec::with_capacity(64), Vec::with_capacity(64));
        let read = meaning::fields(body, BELONGINGS, |key, value, meaning| {
            // Microsoft's names have no escapes.
            if key == updated_at || ANNOTATIONS.contains(&key) {
                return;
            }
            if key == history.status {
                state = json::text(value).map_or(State::Unknown, |word| State::of(&word));
            } else if key == history.incident {
                incident = id(value);
            } else if key == history.redirect {
                redirect = id(value);
            }
            let name = number(&Text::as_in_json(key).decoded());
            names.push((name, key));
            fields.push((
                name,
                match meaning {
                    _ if value == "null" => None,
                    meaning if meaning.hidden => Some(HIDDEN),
                    meaning => Some(short(meaning.hash)),
                },
            ));
        });
        read.ok()?;
        // Of several with the same name the last counts.
        fields.reverse();
        fields.sort_by_key(|field| field.0);
        fields.dedup_by_key(|field| field.0);
        let mut fields: Vec<_> =
            fields.into_iter().filter_map(|(name, meaning)| Some((name, meaning?))).collect();
        let beyond = fields.split_off(FIELDS_MAX.min(fields.len()));
        let rest = beyond.iter().fold(0_u32, |sum, (name, meaning)| {
            sum.wrapping_add(name.rotate_left(7).wrapping_mul(meaning | 1))
        });
        if !redirect.is_empty() {
            state = State::Merged;
        }
        fields.shrink_to_fit();
        Some(Self { outline: Outline { state, incident, rest, fields }, names, redirect })
    }

    /// The fields that are other than in `old`. What this version does not say is put into `outline`.
    fn difference(&self, old: &Outline, outline: &mut Outline) -> Change {
        let mut change = Change::new(ChangeKind::Changed);
        let belongings = number(BELONGINGS);
        let mut changed = Vec::new();
        let mut kept = None;
        for field in &mut outline.fields {
            match old.meaning(field.0) {
                // An incident that came without its alerts before, and has none.
                None if field.0 == belongings && field.1 == nothing() => {}
                Some(before) if field.1 == HIDDEN => field.1 = before,
                Some(before) if before == field.1 || before == HIDDEN => {}
                _ => changed.push(field.0),
            }
        }
        for (name, before) in &old.fields {
            if self.outline.meaning(*name).is_some() {
            } else if *name == belongings && !self.has_name(*name) {
                kept = Some((*name, *before));
            } else {
                changed.push(*name);
            }
        }
        if let Some(kept) = kept
            && outline.fields.len() < FIELDS_MAX
        {
            let place = outline.fields.partition_point(|field| field.0 < kept.0);
            outline.fields.insert(place, kept);
        }
        if self.outline.rest != old.rest {
            change.more_fields += 1;
        }
        changed.sort_unstable();
        // In the order of the record; what is not in it any more has no name left.
        let mut left = changed.clone();
        for (name, written) in &self.names {
            if changed.binary_search(name).is_ok()
                && let Some(place) = left.iter().position(|left| left == name)
            {
                left.swap_remove(place);
                change.add_field(written);
            }
        }
        change.more_fields += u32::try_from(left.len()).unwrap_or(u32::MAX);
        change
    }

    fn has_name(&self, number: u32) -> bool {
        self.names.iter().any(|(name, _)| *name == number)
    }
}

/// The number of a name.
fn number(name: &str) -> u32 {
    short(meaning::of_text(name))
}

fn short(hash: u64) -> u32 {
    ((hash >> 32) as u32 ^ hash as u32).max(HIDDEN + 1)
}

/// What an empty list means.
fn nothing() -> u32 {
    let mut nothing = HIDDEN;
    let read = meaning::fields(r#"{"alerts":[]}"#, BELONGINGS, |_, _, meaning| nothing = short(meaning.hash));
    read.expect("JSON");
    nothing
}

/// An id of an incident, fit to be shown; empty where there is none, or one that is too long to be one.
fn id(value: &str) -> String {
    let id = json::text(value).filter(|id| id.len() <= Change::ID_BYTES_MAX);
    let id = id.map(|id| text::plain(id.trim())).unwrap_or_default();
    if id.len() <= Change::ID_BYTES_MAX { id } else { String::new() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Before, FIELDS_MAX, Outline};
    use crate::{Change, ChangeKind, RecordKind};

    const ALERT: RecordKind = RecordKind::GraphAlert;
    const INCIDENT: RecordKind = RecordKind::GraphIncident;

    /// What each version is to the one before it, in words.
    fn history(kind: RecordKind, versions: &[&str]) -> Vec<String> {
        let mut known: Option<Outline> = None;
        let told = versions.iter().map(|body| {
            let before = known.as_ref().map_or(Before::Nothing, Before::Version);
            let (outline, change) = Outline::follow(before, kind, body);
            let outline = outline.expect("an outline");
            assert_eq!(Outline::decode(&outline.encode()).as_ref(), Some(&outline));
            known = Some(outline);
            change.to_string()
        });
        told.collect()
    }

    #[test]
    fn an_alert_is_told_from_its_first_version_to_its_last() {
        let versions = [
            r#"{"id":"a","status":"new","incidentId":"7","lastUpdateDateTime":"1","severity":"low","n":null}"#,
            r#"{"severity":"high","id":"a","status":"inProgress","incidentId":"7","lastUpdateDateTime":"2"}"#,
            r#"{"severity":"high","id":"a","status":"resolved","incidentId":"7","classification":"truePositive"}"#,
            r#"{"severity":"high","id":"a","status":"unknownFutureValue","incidentId":"7","classification":null}"#,
            r#"{"severity":"high","id":"a","status":"resolved","incidentId":"7"}"#,
            r#"{"severity":"high","id":"a","status":"new","incidentId":"7","t":"\u00e9","f":1.50}"#,
            r#"{"severity":"high","id":"a","status":"new","incidentId":9,"t":"é","f":15e-1}"#,
            r#"{"severity":"high","id":"a","status":"resolved","incidentId":"10"}"#,
            r#"{"severity":"high","id":"a","status":"resolved","incidentId":null}"#,
            r#"{"severity":"high","id":"a","status":"resolved","incidentId":"10"}"#,
        ];
        assert_eq!(
            history(ALERT, &versions),
            [
                "created",
                "changed (severity, status)",
                "resolved (status, classification)",
                "changed (classification)",
                "changed",
                "reopened (status, t, f)",
                "moved from 7 to 9 (incidentId)",
                "resolved, moved from 9 to 10 (status, incidentId and 2 more)",
                "changed (incidentId)",
                "changed (incidentId)",
            ]
        );
    }

    #[test]
    fn a_merged_incident_says_where_it_went() {
        let whole = r#"{"id":"7","status":"active","alerts":[{"id":"a"},{"id":"b"}]}"#;
        let bare = r#"{"id":"7","status":"active","severity":"low"}"#;
        let turned = r#"{"id":"7","severity":"low","status":"active","alerts":[{"id":"b"},{"id":"a"}]}"#;
        let merged =
            r#"{"id":"7","severity":"low","status":"redirected","redirectIncidentId":"9","alerts":[]}"#;
        let again =
            r#"{"id":"7","severity":"high","status":"redirected","redirectIncidentId":"9","alerts":[]}"#;
        let on = r#"{"id":"7","severity":"high","status":"redirected","redirectIncidentId":"11"}"#;
        assert_eq!(
            history(INCIDENT, &[whole, bare, turned, merged, again, on, bare]),
            [
                "created",
                "changed (severity)",
                "changed",
                "merged into 9 (status, redirectIncidentId, alerts)",
                "changed (severity)",
                "merged into 11 (redirectIncidentId)",
                "reopened (status, severity and 1 more)",
            ]
        );
        let first = |before| Outline::follow(before, INCIDENT, merged).1.to_string();
        assert_eq!([first(Before::Nothing), first(Before::Unknown)], ["merged into 9", "merged into 9"]);
        assert_eq!(Outline::follow(Before::Unknown, INCIDENT, bare).1, Change::new(ChangeKind::Changed));
        // A bare incident that turns out to have none.
        assert_eq!(
            history(INCIDENT, &[bare, &bare.replace('}', r#","alerts":[]}"#)]),
            ["created", "changed"]
        );
    }

    #[test]
    fn other_kinds_have_their_own_words() {
        let endpoint =
            ["New", "Resolved"].map(|status| format!(r#"{{"id":"1","status":"{status}","incidentId":1}}"#));
        assert_eq!(
            history(RecordKind::EndpointAlert, &endpoint.each_ref().map(String::as_str)),
            ["created", "resolved (status)"]
        );
        let siem =
            ["1", "2"].map(|text| format!(r#"{{"AlertId":"1","status":"resolved","Severity":"{text}"}}"#));
        let told = history(RecordKind::SiemDetection, &siem.each_ref().map(String::as_str));
        assert_eq!(told, ["created", "changed (Severity)"]);
    }

    #[test]
    fn what_is_absurd_is_bounded() {
        let many = |value: u32| {
            let fields = (0..50_000).map(|number| format!(r#""f{number}":{value}"#)).collect::<Vec<_>>();
            format!("{{{},\"id\":\"1\"}}", fields.join(","))
        };
        let (one, other) = (many(1), many(2));
        let told = history(ALERT, &[&one, &other, &other]);
        assert!(told[1].starts_with("changed (f") && told[1].ends_with(" and 177 more)"), "{}", told[1]);
        assert_eq!(told[2], "changed");
        let outline = Outline::follow(Before::Nothing, ALERT, &one).0.expect("an outline");
        assert!(outline.encode().len() <= 8 + FIELDS_MAX * 8 + Change::ID_BYTES_MAX);
        // The last of several with one name counts, and a long id of an incident is none.
        let long =
            format!(r#"{{"{}":1,"a":1,"a":2,"incidentId":"{}"}}"#, "n".repeat(1 << 20), "i".repeat(1 << 20));
        let told = history(ALERT, &[r#"{"a":2}"#, &long]);
        assert_eq!(told[1], format!("changed ({}, incidentId)", "n".repeat(60)));
        for no_object in ["", "[]", "{", "7"] {
            assert_eq!(
                Outline::follow(Before::Nothing, ALERT, no_object),
                (None, Change::new(ChangeKind::Created))
            );
        }
    }

    proptest! {
        /// Written anew, it is the same; a field that has another value is named.
        #[test]
        fn the_fields_that_changed_are_named(
            old in proptest::collection::btree_map("[a-m]{1,6}", 0_u8..4, 0..12),
            new in proptest::collection::btree_map("[a-m]{1,6}", 0_u8..4, 0..12),
        ) {
            let write = |fields: &std::collections::BTreeMap<String, u8>| serde_json::to_string(fields).expect("JSON");
            let (Some(before), _) = Outline::follow(Before::Nothing, ALERT, &write(&old)) else { panic!("an outline") };
            let (_, same) = Outline::follow(Before::Version(&before), ALERT, &serde_json::to_string_pretty(&old).expect("JSON"));
            prop_assert_eq!(same, Change::new(ChangeKind::Changed));
            let (_, change) = Outline::follow(Before::Version(&before), ALERT, &write(&new));
            let named: Vec<&String> = new.iter().filter(|(name, value)| old.get(*name) != Some(value)).map(|(name, _)| name).collect();
            prop_assert_eq!(change.fields.iter().collect::<Vec<_>>(), named);
            prop_assert_eq!(change.more_fields as usize, old.keys().filter(|name| !new.contains_key(*name)).count());
        }

        #[test]
        fn damage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), led in any::<bool>()) {
            let bytes = if led { [vec![1, 1, 0], bytes].concat() } else { bytes };
            if let Some(outline) = Outline::decode(&bytes) {
                prop_assert_eq!(outline.encode(), bytes);
            }
        }
    }
}
