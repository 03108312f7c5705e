//! What a record says of itself that routes may ask for, beside its severity: its status, the services that raised it, its
//! categories. It is read in a pass of its own, and only where a route asks.

use crate::RecordKind;
use crate::json::{self, Reader, skim};

/// So many different words of one record are looked at: more than Microsoft has categories.
const WORDS_MAX: usize = 256;
/// The longest word that is compared, in bytes.
const WORD_BYTES_MAX: usize = 128;

/// What routes ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// The record's status.
    pub status: bool,
    /// The services that raised it.
    pub service: bool,
    /// Its categories.
    pub category: bool,
}

impl Asked {
    /// Whether anything is asked for.
    #[must_use]
    pub fn any(self) -> bool {
        self.status || self.service || self.category
    }

    /// What is asked for by either.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            status: self.status || other.status,
            service: self.service || other.service,
            category: self.category || other.category,
        }
    }
}

/// What a record says, each word as [`RouteFacts::word`] has it. Empty where it says nothing, or was not asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RouteFacts {
    /// Its status. An incident's own, not its alerts'.
    pub statuses: Vec<String>,
    /// Its `serviceSource` and `detectionSource`, and those of its alerts.
    pub services: Vec<String>,
    /// Its `category` and `categories`, and those of its alerts.
    pub categories: Vec<String>,
}

/// Where a kind of record says what.
struct Names {
    status: &'static str,
    services: &'static [&'static str],
    categories: &'static [&'static str],
    /// The list of alerts in it.
    alerts: &'static str,
    /// The object that holds it all, where the record is wrapped.
    wrapper: &'static str,
}

fn names(kind: RecordKind) -> &'static Names {
    const SERVICES: &[&str] = &["serviceSource", "detectionSource"];
    const CATEGORIES: &[&str] = &["category", "categories"];
    match kind {
        RecordKind::GraphAlert | RecordKind::EndpointAlert => {
            &Names { status: "status", services: SERVICES, categories: CATEGORIES, alerts: "", wrapper: "" }
        }
        RecordKind::GraphIncident | RecordKind::XdrIncident => &Names {
            status: "status",
            services: SERVICES,
            categories: CATEGORIES,
            alerts: "alerts",
            wrapper: "",
        },
        RecordKind::SiemDetection => {
            &Names { status: "", services: &["Source"], categories: &["Category"], alerts: "", wrapper: "" }
        }
        RecordKind::HuntingRow => &Names {
            status: "",
            services: &["ServiceSource", "DetectionSource"],
            categories: &["Category"],
            alerts: "",
            wrapper: "properties",
        },
    }
}

impl RouteFacts {
    /// Reads what is asked for off a record of this kind. What cannot be read is not said.
    #[must_use]
    pub fn read(kind: RecordKind, body: &str, asked: Asked) -> Self {
        let mut facts = Self::default();
        if !asked.any() {
            return facts;
        }
        let names = names(kind);
        let mut inner = Vec::new();
        facts.look(names, asked, body, |key, value| {
            if key == names.alerts {
                let alerts = Reader::new(value).items(|item| {
                    inner.push(item.raw()?);
                    Ok(())
                });
                // It was read when it was accepted, and is not read further than it can be.
                alerts.ok();
            } else if key == names.wrapper && value.starts_with('{') {
                inner.push(value);
            }
        });
        // The status of an alert is not that of its incident.
        let asked = Asked { status: false, ..asked };
        for object in inner.into_iter().filter(|_| asked.any()) {
            facts.look(names, asked, object, |_, _| ());
        }
        facts
    }

    fn look<'a>(
        &mut self,
        names: &Names,
        asked: Asked,
        object: &'a str,
        mut other: impl FnMut(&'a str, &'a str),
    ) {
        let looked = skim::fields(object, |key, value| {
            if asked.status && key == names.status && !key.is_empty() {
                add(&mut self.statuses, value);
            } else if asked.service && names.services.contains(&key) {
                add(&mut self.services, value);
            } else if asked.category && names.categories.contains(&key) {
                add(&mut self.categories, value);
            } else if !key.is_empty() {
                other(key, value);
            }
        });
        looked.ok();
    }

    /// Whether records of this kind can ever say what is asked for.
    #[must_use]
    pub fn can_say(kind: RecordKind, asked: Asked) -> bool {
        !asked.status || !names(kind).status.is_empty()
    }

    /// A word as it is compared: letters and digits only, in lower case, so that `In progress`, `inProgress` and
    /// `in_progress` are one, whichever API says it. Empty when nothing is left.
    #[must_use]
    pub fn word(text: &str) -> String {
        let kept = text.chars().filter(|character| character.is_alphanumeric());
        let mut word = String::new();
        for character in kept.flat_map(char::to_lowercase) {
            if word.len() >= WORD_BYTES_MAX {
                break;
            }
            word.push(character);
        }
        word
    }
}

/// Adds the text that a value is, or those in the list that it is.
fn add(words: &mut Vec<String>, value: &str) {
    let mut add_one = |value: &str| {
        let text = json::text(value).map(|text| RouteFacts::word(&text)).unwrap_or_default();
        if !text.is_empty() && words.len() < WORDS_MAX && !words.contains(&text) {
            words.push(text);
        }
    };
    let items = Reader::new(value).items(|item| {
        add_one(item.raw()?);
        Ok(())
    });
    items.ok();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Asked, RouteFacts};
    use crate::RecordKind;

    const ALL: Asked = Asked { status: true, service: true, category: true };

    fn read(kind: RecordKind, body: &str) -> [Vec<String>; 3] {
        let facts = RouteFacts::read(kind, body, ALL);
        [facts.statuses, facts.services, facts.categories]
    }

    #[test]
    fn each_kind_says_it_in_its_own_words() {
        for (kind, body, statuses, services, categories) in [
            (
                RecordKind::GraphAlert,
                r#"{"status":"inProgress","serviceSource":"microsoftDefenderForEndpoint","detectionSource":"antivirus",
                    "category":"InitialAccess","categories":["Collection",null,7],"evidence":[{"status":"x","category":"y"}]}"#,
                &["inprogress"][..],
                &["microsoftdefenderforendpoint", "antivirus"][..],
                &["initialaccess", "collection", "7"][..],
            ),
            (
                RecordKind::EndpointAlert,
                r#"{"status":"In progress","detectionSource":"WindowsDefenderAtp","category":"LateralMovement"}"#,
                &["inprogress"],
                &["windowsdefenderatp"],
                &["lateralmovement"],
            ),
            (
                RecordKind::GraphIncident,
                r#"{"id":"1","status":"active","alerts":[{"status":"new","serviceSource":"a","category":"Malware"},
                    {"serviceSource":"b","category":"Malware"},7,null]}"#,
                &["active"],
                &["a", "b"],
                &["malware"],
            ),
            (
                RecordKind::XdrIncident,
                r#"{"incidentId":1,"status":"Active","alerts":[{"status":"New","detectionSource":"c","category":"Ransomware"}]}"#,
                &["active"],
                &["c"],
                &["ransomware"],
            ),
            (RecordKind::XdrIncident, r#"{"incidentId":1,"alerts":null}"#, &[], &[], &[]),
            (
                RecordKind::SiemDetection,
                r#"{"AlertId":"1","Source":"EDR","Category":"Suspicious Activity","":"x"}"#,
                &[],
                &["edr"],
                &["suspiciousactivity"],
            ),
            (
                RecordKind::HuntingRow,
                r#"{"Category":"Malware","DetectionSource":"EDR","status":"x"}"#,
                &[],
                &["edr"],
                &["malware"],
            ),
            (
                RecordKind::HuntingRow,
                r#"{"category":"AdvancedHunting-AlertInfo","properties":{"Category":"Malware","ServiceSource":"MDE"}}"#,
                &[],
                &["mde"],
                &["malware"],
            ),
            (RecordKind::GraphAlert, r#"{"status":null,"category":"","serviceSource":"-"}"#, &[], &[], &[]),
            (RecordKind::GraphAlert, "nonsense", &[], &[], &[]),
        ] {
            let expected = [statuses, services, categories]
                .map(|words| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
            assert_eq!(read(kind, body), expected, "{body}");
        }
    }

    #[test]
    fn only_what_is_asked_for_is_read() {
        let body = r#"{"status":"new","serviceSource":"a","category":"b"}"#;
        let facts =
            RouteFacts::read(RecordKind::GraphAlert, body, Asked { category: true, ..Asked::default() });
        assert_eq!((facts.statuses.len(), facts.services.len(), facts.categories.len()), (0, 0, 1));
        assert_eq!(RouteFacts::read(RecordKind::GraphAlert, body, Asked::default()), RouteFacts::default());
    }

    #[test]
    fn what_an_attacker_makes_endless_is_bounded() {
        let many = (0..5_000).map(|number| format!("\"c{number}{}\"", "x".repeat(500))).collect::<Vec<_>>();
        let body = format!("{{\"categories\":[{}]}}", many.join(","));
        let [_, _, categories] = read(RecordKind::GraphAlert, &body);
        assert_eq!(categories.len(), super::WORDS_MAX);
        assert!(categories.iter().all(|word| word.len() <= super::WORD_BYTES_MAX + 4));
    }

    proptest! {
        #[test]
        fn any_text_is_survived(body in ".{0,80}|[\\[\\]{}:,\"a]{0,40}", kind in 0..6_usize) {
            for body in [format!("{{\"alerts\":[{body}"), body] {
                let facts = RouteFacts::read(RecordKind::ALL[kind], &body, ALL);
                prop_assert!(facts.statuses.len() + facts.categories.len() <= body.len());
            }
        }
    }
}
