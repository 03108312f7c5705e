//! What a version of a record says, as a number for what each outermost field means: made of the version before when the
//! next one comes, so that the two can be held against each other.

use crate::change::{Change, ChangeKind};
use crate::json::{Text, meaning};
use crate::stage::{Stage, State};
use crate::{Belongings, RecordKind};

/// The most fields that are held apart; Microsoft's records have about forty. What is beyond counts as one field.
const FIELDS_MAX: usize = 200;
/// Stands for a value that is hidden: it is like any other.
const HIDDEN: u32 = 0;
/// Annotations of the answer, not of the record.
const ANNOTATIONS: [&str; 3] = ["@odata.context", "@odata.etag", "alerts@odata.context"];

/// What one version of a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    stage: Stage,
    /// What the fields beyond the bound mean together.
    rest: u32,
    /// Name and meaning of each field that is not null, in the order of the names' numbers.
    fields: Vec<(u32, u32)>,
}

/// What is known of the version before.
#[derive(Debug, Clone, Copy)]
pub enum Before<'o> {
    /// There was none.
    Nothing,
    /// There was one, and nothing is known of it.
    Unknown,
    /// Where it stood, and no more.
    Stage(&'o Stage),
    /// All that it said.
    Version(&'o Outline),
}

/// What a version is to the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What it changes.
    pub change: Change,
    /// Where the record stands now. What this version does not say is taken from the one before.
    pub stage: Stage,
    /// What the record says now, where that was made out to tell the change.
    pub outline: Option<Outline>,
}

/// A version as it was read: its outline, and what is needed to tell its changes.
struct Reading<'a> {
    outline: Outline,
    /// The number of each field's name, the name as written, and its place in the record; also of those that are null.
    names: Vec<(u32, &'a str)>,
    redirect: String,
    /// The field of what belongs to it; empty where nothing does.
    belongings: &'static str,
}

impl Told {
    /// What `body`, which is a record of this kind, is to the version before. What it does not say, such as a hidden status
    /// or the alerts of an incident that was asked for without them, is taken from there. All of it is read only where all
    /// of the version before is known.
    #[must_use]
    pub fn of(before: Before<'_>, kind: RecordKind, body: &str) -> Self {
        match before {
            Before::Version(old) => match Reading::of(kind, body) {
                Some(reading) => reading.told(old),
                None => {
                    Self { change: Change::new(ChangeKind::Changed), stage: old.stage.clone(), outline: None }
                }
            },
            Before::Nothing | Before::Unknown => {
                let (stage, redirect) = Stage::read(kind, body);
                let change = match before {
                    _ if stage.state == State::Merged => {
                        merged_into(Change::new(ChangeKind::MergedInto), redirect)
                    }
                    Before::Nothing => Change::new(ChangeKind::Created),
                    _ => Change::new(ChangeKind::Changed),
                };
                Self { change, stage, outline: None }
            }
            Before::Stage(old) => {
                let (mut stage, redirect) = Stage::read(kind, body);
                let merged = (stage.state == State::Merged && old.state != State::Merged).then_some(redirect);
                let change = followed(Change::new(ChangeKind::Changed), old, &mut stage, merged);
                Self { change, stage, outline: None }
            }
        }
    }
}

/// What became of a record whose fields changed as `change` says: it was merged into another incident now, where `merged` is
/// that, and stood at `old` before. What `stage` does not say is taken from there.
fn followed(mut change: Change, old: &Stage, stage: &mut Stage, merged: Option<String>) -> Change {
    if stage.state == State::Unknown {
        stage.state = old.state;
    }
    change = match merged {
        Some(redirect) => merged_into(change, redirect),
        None => {
            let kind = match (old.state, stage.state) {
                (old, State::Resolved) if old != State::Resolved => ChangeKind::Resolved,
                (State::Resolved | State::Merged, State::Open) => ChangeKind::Reopened,
                _ => ChangeKind::Changed,
            };
            Change { kind, ..change }
        }
    };
    if stage.incident.is_empty() {
        stage.incident.clone_from(&old.incident);
    } else if !old.incident.is_empty() && stage.incident != old.incident {
        change.from = Some(old.incident.clone());
        change.to = Some(stage.incident.clone());
        if change.kind == ChangeKind::Changed {
            change.kind = ChangeKind::Moved;
        }
    }
    change
}

fn merged_into(change: Change, redirect: String) -> Change {
    Change { kind: ChangeKind::MergedInto, to: (!redirect.is_empty()).then_some(redirect), ..change }
}

impl Outline {
    /// What `body` says, which is a record of this kind; `None` where it is no JSON object.
    #[must_use]
    pub fn of(kind: RecordKind, body: &str) -> Option<Self> {
        Some(Reading::of(kind, body)?.outline)
    }

    /// The same of a record that stands here, which is known from this version and those before it.
    #[must_use]
    pub fn at(self, stage: Stage) -> Self {
        Self { stage, ..self }
    }

    /// Whether it leaves something open that an earlier version may have said: then [`Told::of`] can say more with an outline
    /// that was followed from that one.
    #[must_use]
    pub fn leaves_open(&self, kind: RecordKind) -> bool {
        let lacks = |belongings: Belongings| self.meaning(number(belongings.key)).is_none();
        self.fields.iter().any(|(_, meaning)| *meaning == HIDDEN) || kind.belongings().is_some_and(lacks)
    }

    /// What the field with this name means; `None` when there is none.
    fn meaning(&self, name: u32) -> Option<u32> {
        let found = self.fields.binary_search_by_key(&name, |field| field.0).ok()?;
        self.fields.get(found).map(|field| field.1)
    }
}

impl<'a> Reading<'a> {
    fn of(kind: RecordKind, body: &'a str) -> Option<Self> {
        let belongings = kind.belongings();
        let unordered = belongings.map_or("", |belongings| belongings.key);
        let updated_at = kind.head_names().updated_at;
        let (mut fields, mut names) = (Vec::with_capacity(64), Vec::with_capacity(64));
        let read = meaning::fields(body, unordered, |key, value, meaning| {
            let says_nothing = key == unordered && belongings.is_some_and(|own| !own.are_in(key, value));
            // Microsoft's names have no escapes.
            if key == updated_at || ANNOTATIONS.contains(&key) || says_nothing {
                return;
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
        fields.shrink_to_fit();
        let (stage, redirect) = Stage::read(kind, body);
        Some(Self { outline: Outline { stage, rest, fields }, names, redirect, belongings: unordered })
    }

    /// What it is to `old`.
    fn told(self, old: &Outline) -> Told {
        let mut outline = self.outline.clone();
        let change = self.difference(old, &mut outline);
        let is_merged = outline.stage.state == State::Merged;
        let redirect = number("redirectIncidentId");
        let elsewhere = || old.meaning(redirect) != outline.meaning(redirect);
        let merged = is_merged && (old.stage.state != State::Merged || elsewhere());
        let merged = merged.then(|| self.redirect.clone());
        let change = followed(change, &old.stage, &mut outline.stage, merged);
        Told { change, stage: outline.stage.clone(), outline: Some(outline) }
    }

    /// The fields that are other than in `old`. What this version does not say is put into `outline`.
    fn difference(&self, old: &Outline, outline: &mut Outline) -> Change {
        let mut change = Change::new(ChangeKind::Changed);
        let belongings = number(self.belongings);
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
    let read = meaning::fields(r#"{"alerts":[]}"#, "alerts", |_, _, meaning| nothing = short(meaning.hash));
    read.expect("JSON");
    nothing
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Before, FIELDS_MAX, Outline, Told};
    use crate::{Change, ChangeKind, RecordKind, Stage};

    const ALERT: RecordKind = RecordKind::GraphAlert;
    const INCIDENT: RecordKind = RecordKind::GraphIncident;

    /// What each version is to the one before it, in words.
    fn history(kind: RecordKind, versions: &[&str]) -> Vec<String> {
        let mut known: Option<Outline> = None;
        let told = versions.iter().map(|body| {
            let before = known.as_ref().map_or(Before::Nothing, Before::Version);
            let told = Told::of(before, kind, body);
            known = told.outline.or_else(|| Outline::of(kind, body));
            told.change.to_string()
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
        let first = |before| Told::of(before, INCIDENT, merged).change.to_string();
        assert_eq!([first(Before::Nothing), first(Before::Unknown)], ["merged into 9", "merged into 9"]);
        assert_eq!(Told::of(Before::Unknown, INCIDENT, bare).change, Change::new(ChangeKind::Changed));
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
        let outline = Outline::of(ALERT, &one).expect("an outline");
        assert_eq!(outline.fields.len(), FIELDS_MAX);
        // The last of several with one name counts, and a long id of an incident is none.
        let long =
            format!(r#"{{"{}":1,"a":1,"a":2,"incidentId":"{}"}}"#, "n".repeat(1 << 20), "i".repeat(1 << 20));
        let told = history(ALERT, &[r#"{"a":2}"#, &long]);
        assert_eq!(told[1], format!("changed ({}, incidentId)", "n".repeat(60)));
        for no_object in ["", "[]", "{", "7"] {
            assert_eq!(Outline::of(ALERT, no_object), None);
            assert_eq!(Told::of(Before::Nothing, ALERT, no_object).change, Change::new(ChangeKind::Created));
            let told = Told::of(Before::Version(&outline), ALERT, no_object);
            assert_eq!((told.change, told.stage), (Change::new(ChangeKind::Changed), outline.stage.clone()));
        }
    }

    /// Where the version before stood is all that is known of it: its fields are not told, what became of it is.
    #[test]
    fn where_it_stood_tells_what_became_of_it() {
        let told = |kind, versions: &[&str]| {
            let mut stage: Option<Stage> = None;
            let told = versions.iter().map(|body| {
                let before = stage.as_ref().map_or(Before::Nothing, Before::Stage);
                let told = Told::of(before, kind, body);
                assert_eq!(told.outline, None);
                stage = Some(told.stage);
                told.change.to_string()
            });
            told.collect::<Vec<_>>()
        };
        let alert = [
            r#"{"id":"a","status":"new","incidentId":"7"}"#,
            r#"{"id":"a","status":"new","incidentId":"7","severity":"high"}"#,
            r#"{"id":"a","status":"unknownFutureValue"}"#,
            r#"{"id":"a","status":"resolved","incidentId":"9"}"#,
            r#"{"id":"a","status":"unknownFutureValue","incidentId":"9"}"#,
            r#"{"id":"a","status":"new"}"#,
            r#"{"id":"a","status":"new","incidentId":"7"}"#,
        ];
        let expected = [
            "created",
            "changed",
            "changed",
            "resolved, moved from 7 to 9",
            "changed",
            "reopened",
            "moved from 9 to 7",
        ];
        assert_eq!(told(ALERT, &alert), expected);
        let incident = [
            r#"{"id":"7","status":"active"}"#,
            r#"{"id":"7","status":"redirected","redirectIncidentId":"9"}"#,
            r#"{"id":"7","status":"redirected","redirectIncidentId":"9","alerts":[]}"#,
        ];
        assert_eq!(told(INCIDENT, &incident), ["created", "merged into 9", "changed"]);
    }

    #[test]
    fn what_is_left_open_is_known() {
        let open = |kind, body| Outline::of(kind, body).expect("an outline").leaves_open(kind);
        assert!(!open(ALERT, r#"{"id":"a"}"#));
        assert!(open(ALERT, r#"{"id":"a","evidence":[{"verdict":"unknownFutureValue"}]}"#));
        assert!(open(INCIDENT, r#"{"id":"7"}"#));
        assert!(!open(INCIDENT, r#"{"id":"7","alerts":[]}"#));
    }

    proptest! {
        /// Written anew, it is the same; a field that has another value is named.
        #[test]
        fn the_fields_that_changed_are_named(
            old in proptest::collection::btree_map("[a-m]{1,6}", 0_u8..4, 0..12),
            new in proptest::collection::btree_map("[a-m]{1,6}", 0_u8..4, 0..12),
        ) {
            let write = |fields: &std::collections::BTreeMap<String, u8>| serde_json::to_string(fields).expect("JSON");
            let Some(before) = Outline::of(ALERT, &write(&old)) else { panic!("an outline") };
            let told = |body: &str| Told::of(Before::Version(&before), ALERT, body).change;
            let pretty = serde_json::to_string_pretty(&old).expect("JSON");
            prop_assert_eq!(told(&pretty), Change::new(ChangeKind::Changed));
            let change = told(&write(&new));
            let named: Vec<&String> = new.iter().filter(|(name, value)| old.get(*name) != Some(value)).map(|(name, _)| name).collect();
            prop_assert_eq!(change.fields.iter().collect::<Vec<_>>(), named);
            prop_assert_eq!(change.more_fields as usize, old.keys().filter(|name| !new.contains_key(*name)).count());
        }
    }
}
