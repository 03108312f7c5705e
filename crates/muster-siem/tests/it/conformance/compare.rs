//! Compares the fields of one event with those that another product writes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use muster_model::{Record, RecordHead, RecordKind, TenantLabel};
use muster_siem::formats::{EcsOptions, EcsVersion, Events, Format, OcsfOptions, OcsfVersion};
use serde_json::Value;

use super::deliberate::{Case, DELIBERATE};
use super::sets::{Layout, Set, fits, left_out};
use super::tally::Tally;

/// The tenant of records that name none.
pub(super) const TENANT: &str = "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d";

/// Names beside ECS that Elastic's detection rules ask for in these documents (`LSASS Process Access via Windows API`
/// is one).
pub(super) const ELASTIC_DEFEND: &[&str] = &["process.Ext.*", "dll.Ext.*", "Target.process.*"];

/// Lists whose order matters: each is compared as one value, its items apart by this.
pub(super) const IN_ORDER: &str = "\u{1f}";

pub(super) const ORDERED: &[&str] = &["process.args", "process.parent.args"];

/// The values of each field.
pub(super) type Fields = BTreeMap<String, BTreeSet<String>>;

/// The names of the standards.
pub(super) struct Standard {
    /// Each with whether it may be a list.
    pub(super) ecs: BTreeMap<String, bool>,
}

impl Standard {
    pub(super) fn read(corpus: &Path) -> Self {
        let mut ecs = BTreeMap::new();
        for version in ["v8.11.0", "v9.4.0"] {
            let path = corpus.join(format!("ecs/ecs-fields-{version}.csv"));
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            for line in text.lines().skip(1) {
                let mut columns = line.split(',');
                let name = columns.next().unwrap_or_default().to_owned();
                ecs.insert(name, columns.nth(2) == Some("array"));
            }
        }
        Self { ecs }
    }

    pub(super) fn has(&self, set: &Set, field: &str) -> bool {
        if set.ocsf {
            return !field.starts_with("unmapped");
        }
        let asked_for =
            set.name.starts_with("elastic") && ELASTIC_DEFEND.iter().any(|name| fits(name, field));
        asked_for || self.ecs.contains_key(field)
    }

    /// Whether the field may have several values. The schema of OCSF is looked after elsewhere.
    pub(super) fn may_be_list(&self, set: &Set, field: &str) -> bool {
        set.ocsf || self.ecs.get(field).copied().unwrap_or_default()
    }
}

pub(super) fn files(corpus: &Path, set: &Set) -> Vec<PathBuf> {
    let path = corpus.join(set.path);
    if !path.is_dir() {
        return vec![path];
    }
    let Ok(entries) = std::fs::read_dir(&path) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// A record and the event that another product makes of it.
pub(super) struct Pair {
    pub(super) record: String,
    pub(super) expected: Value,
}

pub(super) fn pairs(file: &Path, layout: Layout) -> Vec<Pair> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let expected = match layout {
        Layout::Sekoia => {
            let Ok(both) = serde_json::from_str::<Value>(&text) else { return Vec::new() };
            let record = both["input"]["message"].as_str().unwrap_or_default().to_owned();
            return vec![Pair { record, expected: both["expected"].clone() }];
        }
        Layout::Indexed => {
            let Ok(expected) = serde_json::from_str::<Value>(&text) else { return Vec::new() };
            let record = expected["event"]["original"].as_str().unwrap_or_default().to_owned();
            return vec![Pair { record, expected }];
        }
        Layout::Tenzir => {
            let path = file.with_extension("ocsf-expected.json");
            let read = std::fs::read_to_string(path).unwrap_or_default();
            serde_json::from_str(&read).unwrap_or_default()
        }
        Layout::Elastic => {
            let path = format!("{}-expected.json", file.display());
            let read = std::fs::read_to_string(path).unwrap_or_default();
            serde_json::from_str::<Value>(&read).unwrap_or_default()["expected"].take()
        }
    };
    let expected = expected.as_array().cloned().unwrap_or_default();
    let records: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
    if records.len() != expected.len() {
        // Which belongs to which cannot be told; the number of records tells that nothing was compared.
        return Vec::new();
    }
    let pairs = records.into_iter().zip(expected).map(|(record, expected)| Pair { record, expected });
    pairs.filter(|pair| !pair.expected.is_null()).collect()
}

pub(super) fn compare(set: &'static Set, standard: &Standard, pair: &Pair, tally: &mut Tally) {
    tally.records += 1;
    let expected = flat(&pair.expected, set.ocsf);
    let ours = ours(set, &pair.record, tally);
    let whole: Value = serde_json::from_str(&pair.record).unwrap_or_default();
    let record = whole.get("properties").unwrap_or(&whole);
    let table = whole["category"].as_str().and_then(|name| name.strip_prefix("AdvancedHunting-"));
    for (field, values) in &expected {
        let written = ours.get(field);
        let all = written.is_some_and(|written| values.is_subset(written));
        if !standard.has(set, field) {
            tally.vendor += 1;
            tally.vendor_equal += usize::from(all);
            continue;
        }
        if let Some(reason) = left_out(set, field, values, record) {
            *tally.underived.entry(reason).or_default() += 1;
            continue;
        }
        let shown = shown(values, written);
        let mut tell = |what| tally.shown.push(format!("{what:<8} {} {field}: {shown}", set.name));
        match written {
            Some(written) if written == values => tally.equal += 1,
            // Where one value is the rule, a second one is no gain: rules and groupings take the field for one.
            Some(_) if all && (values.len() > 1 || standard.may_be_list(set, field)) => {
                tell("more");
                tally.more += 1;
            }
            written => {
                let case = Case {
                    field,
                    expected: values,
                    written,
                    ours: &ours,
                    record,
                    table: table.unwrap_or_default(),
                };
                let known = DELIBERATE.iter().position(|known| {
                    set.name.starts_with(known.set) && fits(known.field, field) && (known.when)(&case)
                });
                if let Some(at) = known {
                    tell("delib.");
                    tally.deliberate += 1;
                    *tally.known.entry(at).or_default() += 1;
                } else {
                    tell("open");
                    match written {
                        Some(_) => tally.different += 1,
                        None => tally.missing += 1,
                    }
                    tally.open.push((set.name, field.clone(), shown));
                }
            }
        }
    }
    if set.kind == RecordKind::HuntingRow && !set.ocsf {
        for (field, _) in ours.iter().filter(|(field, values)| {
            values.len() > 1 && standard.ecs.contains_key(*field) && !standard.may_be_list(set, field)
        }) {
            *tally.lists.entry(field.clone()).or_default() += 1;
        }
    }
    tally.extra +=
        ours.keys().filter(|field| standard.has(set, field) && !expected.contains_key(*field)).count();
}

pub(super) fn shown(expected: &BTreeSet<String>, written: Option<&BTreeSet<String>>) -> String {
    let list = |values: &BTreeSet<String>| {
        let text = values.iter().cloned().collect::<Vec<_>>().join(" | ");
        text.chars().take(120).collect::<String>()
    };
    match written {
        Some(written) => format!("expected {}, written {}", list(expected), list(written)),
        None => format!("expected {}, nothing written", list(expected)),
    }
}

/// The fields of all events that the format writes for a record.
pub(super) fn ours(set: &Set, body: &str, tally: &mut Tally) -> Fields {
    let format = if set.ocsf {
        Format::Ocsf(OcsfOptions { version: OcsfVersion::V1_8, ..OcsfOptions::default() })
    } else {
        Format::Ecs(EcsOptions { ecs_version: EcsVersion::V8_11, ..EcsOptions::default() })
    };
    let mut body = body.to_owned();
    let mut head = RecordHead::read(set.kind, &body);
    if head.is_err() {
        // Another product's record may lack the id that Microsoft always sends.
        body = body.replacen('{', "{\"id\":\"none\",", 1);
        head = RecordHead::read(set.kind, &body);
        tally.without_id += usize::from(head.is_ok());
    }
    let mut events = Events::new();
    let written = head.is_ok_and(|head| {
        format
            .write(set.kind, Record { head: &head, body: &body, replay: None }, &tenant(&body), &mut events)
            .is_ok()
    });
    let mut fields = Fields::new();
    let mut count = 0;
    for event in events.iter().filter(|_| written) {
        count += 1;
        let value: Value = serde_json::from_slice(event).unwrap_or_default();
        for (field, values) in flat(&value, set.ocsf) {
            fields.entry(field).or_default().extend(values);
        }
    }
    tally.unwritten += usize::from(fields.is_empty());
    tally.split += usize::from(count > 1);
    fields
}

/// The tenant of a record as Muster would know it: the one that the record names.
pub(super) fn tenant(body: &str) -> TenantLabel {
    let record: Value = serde_json::from_str(body).unwrap_or_default();
    let id = ["tenantId", "aadTenantId"]
        .iter()
        .find_map(|key| record[*key].as_str()?.parse().ok())
        .unwrap_or_else(|| TENANT.parse().expect("a GUID"));
    TenantLabel { id, slug: "tenant".parse().expect("a slug"), name: String::new() }
}

/// The values of each field: paths with dots; a list and its one value are the same.
pub(super) fn flat(value: &Value, ocsf: bool) -> Fields {
    pub(super) fn step(path: &str, value: &Value, ocsf: bool, fields: &mut Fields) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    step(&path, value, ocsf, fields);
                }
            }
            Value::Array(list) if ORDERED.contains(&path) => {
                let list: Vec<_> = list.iter().map(|value| canonical(value, false)).collect();
                fields.entry(path.to_owned()).or_default().insert(list.join(IN_ORDER));
            }
            Value::Array(list) => list.iter().for_each(|value| step(path, value, ocsf, fields)),
            Value::Null => {}
            other => {
                // OCSF counts milliseconds; Tenzir writes the time.
                let last = path.rsplit('.').next().unwrap_or_default();
                let time = other.as_i64().filter(|_| last == "time" || last.ends_with("_time"));
                let time = time.and_then(|time| jiff::Timestamp::from_millisecond(time).ok());
                let text = time.map_or_else(|| canonical(other, ocsf), |time| time.to_string());
                fields.entry(path.to_owned()).or_default().insert(text);
            }
        }
    }
    let mut fields = Fields::new();
    step("", value, ocsf, &mut fields);
    fields
}

/// A value so that equal ones look equal: times cut to the millisecond, numbers as numbers. Elasticsearch makes
/// numbers of strings where a field has numbers; with `strict` such strings are told from numbers.
pub(super) fn canonical(value: &Value, strict: bool) -> String {
    let text = match value {
        Value::String(text)
            if strict && serde_json::from_str::<Value>(text).is_ok_and(|inner| !inner.is_string()) =>
        {
            return format!("{text:?}");
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return jiff::Timestamp::from_millisecond(time.as_millisecond())
            .map_or(text, |time| time.to_string());
    }
    if let Ok(address) = text.parse::<std::net::IpAddr>() {
        return address.to_string();
    }
    match text.parse::<f64>() {
        Ok(number) if value.is_number() => number.to_string(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_lost_or_wrong_is_no_deliberate_difference() {
        let (ours, expected, wrong) =
            (Fields::new(), BTreeSet::from(["a".to_owned()]), BTreeSet::from(["b".to_owned()]));
        for difference in DELIBERATE {
            for written in [None, Some(&wrong)] {
                for field in [difference.field.to_owned(), difference.field.replace('*', "ip")] {
                    let record = &Value::Null;
                    let case =
                        Case { field: &field, expected: &expected, written, ours: &ours, record, table: "" };
                    assert!(!(difference.when)(&case), "{} {}", difference.set, difference.field);
                }
            }
        }
    }

    #[test]
    fn numbers_and_strings_are_told_apart_in_ocsf() {
        let (number, text) = (serde_json::json!({"id": 4}), serde_json::json!({"id": "4"}));
        assert_ne!(flat(&number, true), flat(&text, true));
        assert_eq!(flat(&number, false), flat(&text, false));
    }

    #[test]
    fn words_of_a_command_line_have_an_order() {
        let (one, other) = (serde_json::json!(["a", "b"]), serde_json::json!(["b", "a"]));
        let process = |args: Value| flat(&serde_json::json!({"process": {"args": args}}), false);
        assert_ne!(process(one), process(other));
    }
}
