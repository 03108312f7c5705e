//! How much of a record is in its events, by format: every text in the part that carries Microsoft's own words, and
//! every fact that analysts pivot on in the mapped part too. `docs/formats/coverage.md` is what comes out:
//! `cargo test -p muster-siem coverage -- --nocapture` prints it, `… coverage -- --ignored` writes it there.
//!
//! What a fact is, is told here by the names of Microsoft's fields and the look of their values, and by nothing that
//! the formats use.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use muster_model::{Record, RecordKind};
use muster_siem::formats::{Events, Format};
use serde_json::{Value, json};

use crate::cef::read_cef;
use crate::fixtures::{FIXTURES, head, tenant};
use crate::leef::read_leef;

const FORMATS: [&str; 6] = ["raw", "splunk", "cef", "leef", "ecs", "ocsf"];

/// The format with Microsoft's own words in its events.
fn format(name: &str) -> Format {
    let raw_event = json!({ "raw_event": true });
    match name {
        "raw" => Format::Raw,
        "splunk" => Format::Splunk(Default::default()),
        "cef" => Format::Cef(serde_json::from_value(raw_event).expect("options")),
        "leef" => Format::Leef(serde_json::from_value(raw_event).expect("options")),
        "ecs" => Format::Ecs(serde_json::from_value(json!({ "event_original": true })).expect("options")),
        _ => Format::Ocsf(Default::default()),
    }
}

/// The texts of all events of a record, in two parts. What carries Microsoft's own fields without mapping any is both.
#[derive(Default)]
struct Parts {
    own: HashSet<String>,
    mapped: Vec<String>,
}

impl Parts {
    fn of(name: &str, kind: RecordKind, body: &str) -> Self {
        let mut events = Events::new();
        let head = head(kind, body);
        let record = Record { head: &head, body, replay: None };
        format(name).write(kind, record, &tenant(), &mut events).expect("it can be written");
        let mut parts = Self::default();
        for event in events.iter() {
            parts.add(name, std::str::from_utf8(event).expect("text"));
        }
        parts
    }

    fn add(&mut self, name: &str, event: &str) {
        let json = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        match name {
            "cef" | "leef" => {
                let pairs = if name == "cef" {
                    let line = read_cef(event);
                    self.mapped.extend(line.header);
                    line.extension
                } else {
                    let line = read_leef(event);
                    self.mapped.extend(line.header);
                    line.attributes
                };
                for (key, value) in pairs {
                    if key == "rawEvent" {
                        leaves(&json(&value), &mut |_, text| {
                            self.own.insert(text);
                        });
                    } else {
                        // The documented spelling of a `;` in a list.
                        self.mapped.push(value.replace("%3B", ";"));
                    }
                }
            }
            "ecs" => {
                let mut event = json(event);
                let original = event["event"].as_object_mut().and_then(|event| event.remove("original"));
                let original = original.expect("event.original");
                leaves(&json(original.as_str().expect("text")), &mut |_, text| {
                    self.own.insert(text);
                });
                event.as_object_mut().expect("an object").remove("m365_defender");
                leaves(&event, &mut |_, text| self.mapped.push(text));
            }
            "ocsf" => {
                let mut event = json(event);
                leaves(&event, &mut |_, text| {
                    self.own.insert(text);
                });
                event.as_object_mut().expect("an object").remove("unmapped");
                let evidences = event.get_mut("evidences").and_then(Value::as_array_mut);
                for evidence in evidences.into_iter().flatten() {
                    evidence.as_object_mut().expect("an object").remove("data");
                }
                leaves(&event, &mut |_, text| self.mapped.push(text));
            }
            _ => leaves(&json(event), &mut |_, text| {
                self.own.insert(text.clone());
                self.mapped.push(text);
            }),
        }
    }

    fn has(&self, fact: &Fact) -> bool {
        if fact.class == Class::Time {
            return self.mapped.iter().any(|text| milliseconds(text) == milliseconds(&fact.text));
        }
        let short = fact.text.len() < 5;
        self.mapped.iter().any(|text| {
            if short {
                text.split(['\\', '/', ';', ',', ' ']).any(|part| part == fact.text)
            } else {
                text.contains(&fact.text)
            }
        })
    }
}

/// The moment that a text tells, in any of the spellings of the formats.
fn milliseconds(text: &str) -> Option<i64> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_millisecond());
    }
    if text.len() == 13 {
        return text.parse().ok();
    }
    let leef = jiff::fmt::strtime::parse("%Y-%m-%dT%H:%M:%S%.f%z", text).ok()?;
    Some(leef.to_timestamp().ok()?.as_millisecond())
}

/// What analysts pivot on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Address,
    Command,
    File,
    Hash,
    Host,
    Id,
    Mail,
    Registry,
    Technique,
    Time,
    Url,
    User,
}

#[derive(Debug, Clone)]
struct Fact {
    class: Class,
    /// The field's name, with the field around it.
    field: String,
    text: String,
}

/// Calls `on_leaf` with the path and text of each string and number.
fn leaves(value: &Value, on_leaf: &mut impl FnMut(&[String], String)) {
    fn walk(value: &Value, path: &mut Vec<String>, on_leaf: &mut impl FnMut(&[String], String)) {
        match value {
            Value::Object(map) => {
                for (key, inner) in map {
                    path.push(key.clone());
                    walk(inner, path, on_leaf);
                    path.pop();
                }
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, path, on_leaf)),
            Value::String(text) if !text.trim().is_empty() => on_leaf(path, text.clone()),
            Value::Number(number) => on_leaf(path, number.to_string()),
            _ => {}
        }
    }
    walk(value, &mut Vec::new(), on_leaf);
}

/// The facts of a record.
fn facts(record: &Value) -> Vec<Fact> {
    let mut facts = Vec::new();
    leaves(record, &mut |path, text| {
        let key = path.last().map_or("", String::as_str);
        let around = path.len().checked_sub(2).map_or("", |at| path[at].as_str());
        let told = match class(path, key, around, &text) {
            None => return,
            Some(Class::Technique) => technique_ids(&text),
            Some(_) => vec![text.clone()],
        };
        let class = class(path, key, around, &text).expect("a class");
        let field = if around.is_empty() { key.to_owned() } else { format!("{around}.{key}") };
        facts.extend(told.into_iter().map(|text| Fact { class, field: field.clone(), text }));
    });
    facts
}

fn technique_ids(text: &str) -> Vec<String> {
    let fits =
        |word: &&str| word.starts_with('T') && word[1..].starts_with(|digit: char| digit.is_ascii_digit());
    text.split(|character: char| !character.is_ascii_alphanumeric() && character != '.')
        .filter(|word| word.len() > 4)
        .filter(fits)
        .map(str::to_owned)
        .collect()
}

fn class(path: &[String], key: &str, around: &str, text: &str) -> Option<Class> {
    // Open dictionaries, what a query made up, and what comes wrapped in JSON once more.
    let open = ["additionalData", "customDetails", "AdditionalFields", "RawEventData", "labels", "selector"];
    if path.iter().any(|part| open.contains(&part.as_str()))
        || text.starts_with(['[', '{']) && !key.contains("Technique")
    {
        return None;
    }
    let lower = key.to_ascii_lowercase();
    let ends = |words: &[&str]| words.iter().any(|word| lower.ends_with(word));
    let is = |words: &[&str]| words.contains(&key);
    let top = path.len() == 1 || path.len() == 2 && around == "alerts" || around == "properties";
    Some(match () {
        () if text.parse::<IpAddr>().is_ok() => Class::Address,
        () if text.starts_with("http://") || text.starts_with("https://") => Class::Url,
        () if ends(&["techniques"]) => Class::Technique,
        () if ends(&["sha1", "sha256", "sha256ac", "md5"]) || around == "fileHashes" && key == "value" => {
            Class::Hash
        }
        () if top
            && is(&[
                "createdDateTime",
                "lastUpdateDateTime",
                "firstActivityDateTime",
                "lastActivityDateTime",
                "alertCreationTime",
                "firstEventTime",
                "lastEventTime",
                "lastUpdateTime",
                "createdTime",
                "creationTime",
                "lastUpdatedTime",
                "firstActivity",
                "lastActivity",
                "AlertTime",
                "Timestamp",
            ]) =>
        {
            Class::Time
        }
        () if ends(&["commandline"]) => Class::Command,
        () if ends(&["filename", "filepath", "folderpath"]) => Class::File,
        () if is(&[
            "networkMessageId",
            "networkMessageIds",
            "internetMessageId",
            "messageId",
            "subject",
            "Subject",
        ]) =>
        {
            Class::Mail
        }
        () if is(&["NetworkMessageId", "InternetMessageId"]) => Class::Mail,
        () if key == "comment" || key.starts_with("createdBy") || around == "comments" => return None,
        () if text.contains('@') && !text.contains(' ') && key != "imageId" => Class::Mail,
        () if ends(&["devicednsname", "hostname", "computerdnsname", "devicename", "machinename"]) => {
            Class::Host
        }
        () if is(&["domainName"]) && !["userAccount", "loggedOnUsers", "relatedUser"].contains(&around) => {
            Class::Host
        }
        () if ends(&[
            "accountname",
            "username",
            "usersid",
            "accountsid",
            "userprincipalname",
            "accountupn",
            "aduserid",
            "accountobjectid",
        ]) =>
        {
            Class::User
        }
        () if is(&[
            "registryKey",
            "registryValueName",
            "registryValue",
            "RegistryKey",
            "RegistryValueName",
            "RegistryValueData",
        ]) =>
        {
            Class::Registry
        }
        () if lower == "id"
            || lower == "sid"
            || lower == "urn"
            || key == "macAddress"
            || key == "serialNumber" =>
        {
            Class::Id
        }
        () if key.ends_with("Id") || key.ends_with("ID") || key.ends_with("Guid") => match text {
            "0" | "999" => return None,
            _ => Class::Id,
        },
        () => return None,
    })
}

/// The fixtures that are counted: one record for each type of evidence, kind of record and table.
fn counted() -> impl Iterator<Item = (&'static str, RecordKind, &'static str)> {
    let more =
        ["incident_full", "incident_without_alerts", "endpoint_api_alert", "xdr_incident", "siem_detection"];
    FIXTURES.iter().copied().filter(move |(name, ..)| name.contains('/') || more.contains(name))
}

/// The texts and numbers of a record that a format's own part lacks, with the format and their place.
pub(crate) fn lost(kind: RecordKind, body: &str) -> Vec<String> {
    let record: Value = serde_json::from_str(body).expect("JSON");
    // On one line, as it comes from Microsoft.
    let body = record.to_string();
    let mut lost = Vec::new();
    for format in FORMATS {
        let parts = Parts::of(format, kind, &body);
        leaves(&record, &mut |path, text| {
            if !parts.own.contains(&text) {
                lost.push(format!("{format}: {}: {text}", path.join(".")));
            }
        });
    }
    lost
}

/// What was found.
struct Report {
    page: String,
    /// Texts that are lost: format, fixture, text.
    lost: Vec<String>,
    /// Facts that are in no mapped part, by format: the fields.
    unmapped: BTreeMap<&'static str, BTreeSet<String>>,
    facts: usize,
}

fn report() -> Report {
    let mut rows = String::new();
    let (mut lost, mut all_facts, mut all_texts) = (Vec::new(), 0, 0);
    let mut unmapped: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut classes: BTreeMap<Class, (usize, [usize; FORMATS.len()])> = BTreeMap::new();
    for (name, kind, body) in counted() {
        let record: Value = serde_json::from_str(body).expect("JSON");
        // On one line, as it comes from Microsoft.
        let body = record.to_string();
        let facts = facts(&record);
        all_facts += facts.len();
        rows.push_str(&format!("| `{}` |", name.trim_start_matches("evidence/")));
        for (at, format) in FORMATS.into_iter().enumerate() {
            let parts = Parts::of(format, kind, &body);
            let mut texts = 0;
            leaves(&record, &mut |path, text| {
                texts += 1;
                if !parts.own.contains(&text) {
                    lost.push(format!("{format}: {name}: {}: {text}", path.join(".")));
                }
            });
            all_texts += texts;
            let mut found = 0;
            for fact in &facts {
                let has = parts.has(fact);
                let class = classes.entry(fact.class).or_default();
                class.1[at] += usize::from(has);
                class.0 += usize::from(at == 0);
                if has {
                    found += 1;
                } else {
                    unmapped.entry(format).or_default().insert(fact.field.clone());
                }
            }
            if found == facts.len() {
                rows.push_str(&format!(" {found} |"));
            } else {
                rows.push_str(&format!(" {found} of {} |", facts.len()));
            }
        }
        rows.push('\n');
    }
    let heading = format!("{} |\n|{}\n", FORMATS.join(" | "), "---|".repeat(FORMATS.len() + 1));
    let mut page = format!(
        "# What of a record is in its events\n\n\
         Written by a test (`cargo test -p muster-siem coverage -- --ignored`) and compared by it: one record for each \
         type of evidence, kind of record and table of advanced hunting, with every field of the documented schema set.\n\n\
         ## Microsoft's own words\n\n\
         Each format has a part that carries Microsoft's record as it came: `raw` and `splunk` are it, `cef` and `leef` have \
         `rawEvent` (with `raw_event = true`), `ecs` has `event.original` (with `event_original = true`) beside \
         `m365_defender.*`, `ocsf` has `evidences[].data` and `unmapped`. Of {} texts and numbers, in six formats, {} are \
         missing there.\n\n\
         ## The mapped part\n\n\
         Facts that analysts pivot on, and how many of them stand in the format's own fields as well: of `ecs` without \
         `m365_defender.*` and `event.original`, of `ocsf` without `evidences[].data` and `unmapped`, of `cef` and `leef` \
         without `rawEvent`. `raw` and `splunk` map nothing: their readers know Microsoft's fields.\n\n",
        all_texts,
        lost.len()
    );
    page.push_str(&format!("| facts | of | {heading}"));
    page = page.replacen(&"---|".repeat(FORMATS.len() + 1), &"---|".repeat(FORMATS.len() + 2), 1);
    for (class, (of, found)) in &classes {
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        page.push_str(&format!(
            "| {} | {of} | {} |\n",
            format!("{class:?}").to_lowercase(),
            found.join(" | ")
        ));
    }
    page.push_str("\nFields whose facts are not in the mapped part:\n\n");
    for (format, fields) in &unmapped {
        let fields: Vec<_> = fields.iter().map(|field| format!("`{field}`")).collect();
        page.push_str(&format!("- `{format}`: {}\n", fields.join(", ")));
    }
    if unmapped.is_empty() {
        page.push_str("none.\n");
    }
    page.push_str(&format!("\n## Record by record\n\n| record | {heading}{rows}"));
    Report { page, lost, unmapped, facts: all_facts }
}

fn page_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats/coverage.md")
}

#[test]
fn coverage() {
    let report = report();
    println!("{}", report.page);
    assert!(report.lost.is_empty(), "{} lost:\n{}", report.lost.len(), report.lost.join("\n"));
    assert!(report.facts > 1400, "{}", report.facts);
    assert_eq!(report.unmapped.get("ocsf"), None, "OCSF maps every fact");
    let written = std::fs::read_to_string(page_path()).unwrap_or_default();
    assert!(
        written == report.page,
        "docs/formats/coverage.md is out of date: cargo test -p muster-siem coverage -- --ignored"
    );
}

#[test]
#[ignore = "writes docs/formats/coverage.md"]
fn coverage_is_written_down() {
    std::fs::write(page_path(), report().page).expect("written");
}
