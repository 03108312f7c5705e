//! What in a record is not known: JSON paths, values of enumerations and types of evidence that came after this was written.
//! Nothing of it is dropped on the way to a sink; here it is only told.
//!
//! What is known lies in `drift.tsv`, whose head says where it is from. Names are compared without regard to case, since
//! Microsoft's samples have PascalCase beside camelCase. Rows of hunting queries bring their own schema, so none of them drifts.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::LazyLock;

use muster_model::RecordKind;
use serde::Serialize;
use serde_json::Value;

/// Nesting that is followed.
const DEPTH_MAX: usize = 32;
/// Different findings of one record that are told.
const PER_RECORD_MAX: usize = 100;

/// Something that is not known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Drift {
    /// A property that its type does not have.
    Path {
        /// Where, such as `alerts.evidence[deviceEvidence].newName`.
        path: String,
    },
    /// A value that its enumeration does not have.
    Value {
        /// Where.
        path: String,
        /// Which.
        value: String,
    },
    /// A type of evidence.
    Evidence {
        /// Its name, without `#microsoft.graph.security.`.
        name: String,
    },
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path { path } => f.write_str(path),
            Self::Value { path, value } => write!(f, "{path} = {value}"),
            Self::Evidence { name } => f.write_str(name),
        }
    }
}

/// What of a record is not known, each once. Nothing where the record cannot be read, or is a row of a hunting query.
#[must_use]
pub fn of(kind: RecordKind, body: &str) -> BTreeSet<Drift> {
    let mut found = BTreeSet::new();
    let root = match kind {
        RecordKind::GraphAlert => "alert",
        RecordKind::GraphIncident => "incident",
        RecordKind::EndpointAlert => "mde.alert",
        RecordKind::XdrIncident => "xdr.incident",
        RecordKind::SiemDetection => "siem.detection",
        RecordKind::HuntingRow => return found,
    };
    if let Ok(record) = muster_model::json::from_answer::<Value>(body.as_bytes()) {
        KNOWN.look(root, &record, "", 0, &mut found);
    }
    found
}

/// What a property holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Plain,
    Open,
    Type(&'static str),
    OneOf(&'static str),
}

#[derive(Debug)]
struct Type {
    base: Option<&'static str>,
    /// By their names in small letters.
    properties: HashMap<String, Holds>,
}

#[derive(Debug, Default)]
struct Known {
    types: HashMap<&'static str, Type>,
    /// Values in small letters.
    enumerations: HashMap<&'static str, BTreeSet<String>>,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let mut known = Known::default();
    for row in include_str!("drift.tsv").lines().filter(|row| !row.starts_with('#')) {
        let fields: Vec<&'static str> = row.split('\t').collect();
        let [name, base, words] = fields[..] else { panic!("not a row of drift.tsv: {row}") };
        match name.strip_prefix('=') {
            Some(name) => {
                known.enumerations.insert(name, words.split(' ').map(str::to_ascii_lowercase).collect());
            }
            None => {
                let base = Some(base).filter(|base| *base != "-");
                let properties = words.split(' ').map(property).collect();
                known.types.insert(name, Type { base, properties });
            }
        }
    }
    known
});

fn property(word: &'static str) -> (String, Holds) {
    let (name, holds) = match word.split_once(':') {
        None => (word, Holds::Plain),
        Some((name, "*")) => (name, Holds::Open),
        Some((name, holds)) => match holds.strip_prefix('=') {
            Some(enumeration) => (name, Holds::OneOf(enumeration)),
            None => (name, Holds::Type(holds)),
        },
    };
    (name.to_ascii_lowercase(), holds)
}

impl Known {
    fn property(&self, of: &str, name: &str) -> Option<Holds> {
        let known = self.types.get(of)?;
        let own = known.properties.get(&name.to_ascii_lowercase()).copied();
        own.or_else(|| self.property(known.base?, name))
    }

    fn look(&self, of: &'static str, value: &Value, path: &str, depth: usize, found: &mut BTreeSet<Drift>) {
        if depth > DEPTH_MAX || found.len() >= PER_RECORD_MAX {
            return;
        }
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.look(of, item, path, depth + 1, found)),
            Value::Object(members) => {
                let named = members.get("@odata.type").and_then(Value::as_str);
                let named = named.map(|name| name.rsplit_once('.').map_or(name, |(_, name)| name));
                let of = match named.map(|name| self.types.get_key_value(name)) {
                    None => of,
                    Some(Some((known, _))) => known,
                    Some(None) => {
                        found.insert(Drift::Evidence { name: shown(named.unwrap_or_default()) });
                        return;
                    }
                };
                let path = match named {
                    Some(name) if !path.is_empty() => format!("{path}[{name}]"),
                    _ => path.to_owned(),
                };
                for (name, value) in members.iter().filter(|(name, _)| !name.contains("@odata.")) {
                    let at = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    match self.property(of, name) {
                        None => {
                            found.insert(Drift::Path { path: shown(&at) });
                        }
                        Some(Holds::Plain | Holds::Open) => {}
                        Some(Holds::Type(of)) => self.look(of, value, &at, depth + 1, found),
                        Some(Holds::OneOf(enumeration)) => self.values(enumeration, value, &at, found),
                    }
                    if found.len() >= PER_RECORD_MAX {
                        return;
                    }
                }
            }
            _ => {}
        }
    }

    fn values(&self, enumeration: &str, value: &Value, path: &str, found: &mut BTreeSet<Drift>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.values(enumeration, item, path, found)),
            Value::String(text) => {
                let known = self.enumerations.get(enumeration);
                // Flags come as a list in one text.
                let mut words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
                if words.any(|word| known.is_none_or(|known| !known.contains(&word.to_ascii_lowercase()))) {
                    found.insert(Drift::Value { path: shown(path), value: shown(text) });
                }
            }
            _ => {}
        }
    }
}

/// A bit of what came from outside, fit to be shown.
fn shown(text: &str) -> String {
    muster_model::text::shown(text, 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: RecordKind, body: &str) -> Vec<String> {
        of(kind, body).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_type_and_enumeration_that_is_named_is_there() {
        for (name, known) in &KNOWN.types {
            assert!(known.base.is_none_or(|base| KNOWN.types.contains_key(base)), "{name}");
            for (property, holds) in &known.properties {
                match holds {
                    Holds::Type(of) => assert!(KNOWN.types.contains_key(of), "{name}.{property}"),
                    Holds::OneOf(of) => assert!(KNOWN.enumerations.contains_key(of), "{name}.{property}"),
                    Holds::Plain | Holds::Open => {}
                }
            }
        }
        for kind in RecordKind::ALL {
            assert!(of(kind, "{}").is_empty());
        }
    }

    #[test]
    fn what_is_known_is_not_told_and_what_is_not_is() {
        let alert = r##"{
            "@odata.type": "#microsoft.graph.security.alert", "id": "1", "severity": "high", "Title": "x",
            "serviceSource": "microsoftDefenderForTomorrow", "additionalData": {"anything": 1}, "quantumState": null,
            "evidence": [
                {"@odata.type": "#microsoft.graph.security.deviceEvidence", "mdeDeviceId": "1", "roles": ["attacked", "observer"],
                 "verdict": "suspicious", "loggedOnUsers": [{"accountName": "a", "mood": "good"}]},
                {"@odata.type": "#microsoft.graph.security.teleportEvidence", "whatever": 1},
                {"@odata.type": "#microsoft.graph.security.hostLogonSessionEvidence", "host": {"hostName": "x", "weight": 3}}
            ]
        }"##;
        assert_eq!(
            told(RecordKind::GraphAlert, alert),
            [
                "evidence[deviceEvidence].loggedOnUsers.mood",
                "evidence[hostLogonSessionEvidence].host.weight",
                "quantumState",
                "evidence[deviceEvidence].roles = observer",
                "serviceSource = microsoftDefenderForTomorrow",
                "teleportEvidence",
            ]
        );
        let incident = r#"{"incidentId": 1, "alerts": [{"alertId": "a", "entities": [{"entityType": "Robot", "color": 1}]}]}"#;
        assert_eq!(
            told(RecordKind::XdrIncident, incident),
            ["alerts.entities.color", "alerts.entities.entityType = Robot"]
        );
        assert_eq!(told(RecordKind::HuntingRow, r#"{"AnyColumn": 1}"#), [""; 0]);
    }

    #[test]
    fn a_hostile_record_is_bounded_and_shown_safely() {
        let many: String = (0..1_000).map(|at| format!("\"a{at}\\u001b[2J\": 1,")).collect();
        let found = of(RecordKind::GraphAlert, &format!("{{{many}\"id\": \"1\"}}"));
        assert_eq!(found.len(), PER_RECORD_MAX);
        assert!(found.iter().all(|drift| !drift.to_string().contains('\u{1b}')));
        let deep = format!("{}{}", "{\"alerts\":[".repeat(5_000), "]}".repeat(5_000));
        assert!(of(RecordKind::GraphIncident, &deep).len() <= PER_RECORD_MAX);
        assert!(of(RecordKind::GraphAlert, "not JSON").is_empty());
    }
}
