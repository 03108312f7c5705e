//! The Splunk app against what Muster sends: each path that it names exists in a record of that source, and each field
//! of the data models is there, in the event itself or by the app.

use muster_model::RecordKind;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::fixtures::FIXTURES;
use serde_json::Value;

/// The stanzas of a configuration file, each with its settings.
fn stanzas(name: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/splunk/muster/default").join(name);
    let text = std::fs::read_to_string(path).expect("a file of the app");
    let mut stanzas: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut stanza = String::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if let Some(name) = line.strip_prefix('[') {
            stanza = name.strip_suffix(']').expect("a closing bracket").to_owned();
            assert!(stanzas.insert(stanza.clone(), BTreeMap::new()).is_none(), "{stanza} comes twice");
        } else {
            let (key, value) = line.split_once(" = ").unwrap_or_else(|| panic!("{line}"));
            let settings = stanzas.get_mut(&stanza).expect("a stanza");
            assert!(
                settings.insert(key.to_owned(), value.to_owned()).is_none(),
                "[{stanza}] {key} comes twice"
            );
        }
    }
    stanzas
}

/// The names that a search finds in an event: paths with dots, lists with `{}`.
fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                paths(inner, &path, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| paths(item, &format!("{path}{{}}"), found)),
        _ => _ = found.insert(path.to_owned()),
    }
}

/// The names that events of a source have.
fn names(kind: RecordKind) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, fixture, body) in FIXTURES.iter().copied() {
        let value: Value = serde_json::from_str(body).expect("JSON");
        if fixture == kind {
            paths(&value, "", &mut found);
            // Alerts of an incident are events of their own.
            for alert in value["alerts"].as_array().into_iter().flatten() {
                paths(alert, "", &mut found);
            }
        }
        if kind == RecordKind::GraphIncident && fixture == RecordKind::GraphAlert {
            paths(&value, "", &mut found);
        }
    }
    assert!(!found.is_empty());
    found
}

/// The names that an expression reads: quoted ones, and bare words that are neither functions nor constants.
fn read_names(expression: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = expression;
    while let Some(character) = rest.chars().next() {
        match character {
            '"' => {
                let mut escaped = false;
                let end = rest[1..].find(|character| {
                    let ends = character == '"' && !escaped;
                    escaped = character == '\\' && !escaped;
                    ends
                });
                rest = &rest[end.expect("a closing quote") + 2..];
            }
            '\'' => {
                let (name, after) = rest[1..].split_once('\'').expect("a closing quote");
                names.push(name.to_owned());
                rest = after;
            }
            _ if character.is_ascii_alphabetic() => {
                let end = rest.find(|character: char| !character.is_ascii_alphanumeric() && character != '_');
                let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
                if !after.starts_with('(') && word != "OR" {
                    names.push(word.to_owned());
                }
                rest = after;
            }
            _ => rest = &rest[character.len_utf8()..],
        }
    }
    names
}

const ALERTS: [&str; 17] = [
    "app",
    "body",
    "description",
    "dest",
    "dest_type",
    "id",
    "mitre_technique_id",
    "signature",
    "signature_id",
    "severity",
    "severity_id",
    "src",
    "src_type",
    "subject",
    "type",
    "user",
    "user_name",
];
const MALWARE: [&str; 12] = [
    "action",
    "category",
    "date",
    "dest_nt_domain",
    "file_hash",
    "file_name",
    "file_path",
    "src_user",
    "url",
    "vendor_product",
    "vendor_account",
    "signature",
];
const SOURCES: [(&str, RecordKind); 6] = [
    ("source::muster:graph_alerts", RecordKind::GraphAlert),
    ("source::muster:graph_incidents", RecordKind::GraphIncident),
    ("source::muster:endpoint_alerts", RecordKind::EndpointAlert),
    ("source::muster:xdr_incidents", RecordKind::XdrIncident),
    ("source::muster:siem_feed", RecordKind::SiemDetection),
    ("source::muster:hunting", RecordKind::HuntingRow),
];

#[test]
fn every_name_that_the_app_reads_is_sent() {
    let props = stanzas("props.conf");
    assert_eq!(props.len(), SOURCES.len());
    for (stanza, kind) in SOURCES {
        assert_eq!(stanza, format!("source::muster:{}", kind.source_name()));
        let sent = names(kind);
        for (key, expression) in &props[stanza] {
            if !key.starts_with("EVAL-") {
                continue;
            }
            let open = expression.matches('(').count();
            assert_eq!(open, expression.matches(')').count(), "[{stanza}] {key}");
            for name in read_names(expression) {
                assert!(
                    sent.contains(&name) || name == "tenant_id",
                    "[{stanza}] {key}: no event has `{name}`"
                );
            }
        }
    }
}

#[test]
fn the_fields_of_the_data_models_are_there() {
    let props = stanzas("props.conf");
    for (stanza, kind) in SOURCES.into_iter().filter(|(_, kind)| *kind != RecordKind::HuntingRow) {
        let sent = names(kind);
        for field in ALERTS.into_iter().chain(MALWARE) {
            let made = props[stanza].contains_key(&format!("EVAL-{field}"))
                || props[stanza].values().any(|value| value.ends_with(&format!("OUTPUT {field}")));
            assert!(made || sent.contains(field), "[{stanza}] has no {field}");
        }
    }
}

#[test]
fn event_types_macros_and_look_ups_refer_to_what_is_there() {
    let types = stanzas("eventtypes.conf");
    for tag in stanzas("tags.conf").keys() {
        let name = tag.strip_prefix("eventtype=").expect("a tag of an event type");
        assert!(types.contains_key(name), "{name}");
    }
    let macros = stanzas("macros.conf");
    for (name, settings) in &macros {
        for used in settings["definition"].split('`').skip(1).step_by(2) {
            assert!(macros.contains_key(used), "{name} uses {used}");
        }
        for used in settings["definition"].split("eventtype=").skip(1) {
            let used = used.split(' ').next().expect("a word");
            assert!(types.contains_key(used), "{name} uses {used}");
        }
    }
    let transforms = stanzas("transforms.conf");
    for settings in stanzas("props.conf").values() {
        for (key, value) in settings.iter().filter(|(key, _)| key.starts_with("LOOKUP-")) {
            let transform = value.split(' ').next().expect("a name");
            assert!(transforms.contains_key(transform), "{key} uses {transform}");
        }
    }
    assert_eq!(read_names(r#"case(a=="x\"y", 'b{}.c', isnull(d) OR true(), e)"#), ["a", "b{}.c", "d", "e"]);
}

/// Words of the search language that the view uses.
const LANGUAGE: [&str; 25] = [
    "as",
    "asc",
    "by",
    "coalesce",
    "count",
    "dc",
    "dedup",
    "eval",
    "fields",
    "index",
    "latest",
    "max",
    "mvexpand",
    "now",
    "relative_time",
    "search",
    "sort",
    "stats",
    "strftime",
    "table",
    "timechart",
    "tstats",
    "where",
    "high",
    "version",
];

/// The contents of each element of this name, unescaped.
fn elements(text: &str, name: &str) -> Vec<String> {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    let inner = text.split(&begin).skip(1).map(|part| part.split(&end).next().expect("an end"));
    inner.map(|text| text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")).collect()
}

/// The elements that are open at the end, in a file without comments and sections of text: none where it is whole.
fn open_elements(text: &str) -> Vec<&str> {
    let mut open: Vec<&str> = Vec::new();
    for tag in text.split('<').skip(1).map(|part| part.split('>').next().expect("a part")) {
        let name = tag.trim_start_matches('/').split([' ', '/']).next().expect("a part");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "</{name}>");
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    open
}

#[test]
fn the_searches_of_the_view_use_what_is_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/splunk/muster/default/data/ui");
    let view = std::fs::read_to_string(folder.join("views/muster_overview.xml")).expect("the view");
    let nav = std::fs::read_to_string(folder.join("nav/default.xml")).expect("the menu");
    assert!(nav.contains("name=\"muster_overview\""), "{nav}");
    for text in [&view, &nav] {
        assert_eq!(open_elements(text), [""; 0]);
    }
    let macros = stanzas("macros.conf");
    let mut known: BTreeSet<String> = stanzas("fields.conf").into_keys().collect();
    known.insert("_time".to_owned());
    for (stanza, settings) in stanzas("props.conf") {
        let made = settings.keys().filter_map(|key| key.strip_prefix("EVAL-")).map(str::to_owned);
        known.extend(made);
        let kind = SOURCES.iter().find(|source| source.0 == stanza).expect("a source").1;
        known.extend(names(kind));
    }
    let queries = elements(&view, "query");
    assert!(queries.len() > 10, "{queries:?}");
    for query in &queries {
        for used in query.split('`').skip(1).step_by(2) {
            assert!(macros.contains_key(used), "{query}: there is no macro {used}");
        }
        let bare: String = query.split('`').step_by(2).collect();
        // Without what stands in quotes.
        let bare: String = bare.split('"').step_by(2).collect();
        let words: Vec<&str> = bare
            .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
            .filter(|word| word.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_'))
            .collect();
        for word in &words {
            let is_made = bare.contains(&format!(" as {word}")) || bare.contains(&format!("{word}=coalesce"));
            assert!(
                is_made || known.contains(*word) || LANGUAGE.contains(word) || *word == "newest",
                "{query}: no event has `{word}`"
            );
        }
    }
    // A view that asks for what nobody sends is found.
    assert!(!known.contains("alertSeverity"));
}
