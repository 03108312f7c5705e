//! The JSON Schema of the settings file, for editors.
//!
//! It is asked of the readers themselves: each section's reader is given one key at a time, and what it says tells which
//! keys there are, which must be there, and of what kind their values are. So the schema cannot differ from what is read. It
//! is the laxer of the two: durations, addresses and what several keys mean together are `muster validate`'s to judge.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};
use toml::{Table, Value};

use muster_siem::sinks::{
    AmqpSettings, ElasticsearchSettings, FileSettings, KafkaSettings, NatsSettings, ObjectStoreSettings,
    OtlpSettings, SentinelSettings, SinkSettings, SplunkHecSettings, StdoutSettings, SyslogSettings,
    WebhookSettings,
};

use super::sinks::SinkKeys;
use super::{
    AppSettings, CloudSettings, CollectSettings, HuntSettings, KeyVaultSettings, MailSettings,
    NetworkSettings, NoticeHookSettings, NoticeKeys, OnboardingSettings, PullApiSettings, RouteSettings,
    ServerSettings, SiemFeedSettings, StoreSettings, StreamSettings,
};

/// Where `init` tells editors to look, beside the settings file.
pub const FILE: &str = "muster.schema.json";
/// A key that no section has.
const NO_KEY: &str = "no_such_key";
/// Tables within tables, and lists within lists.
const DEPTH_MAX: u32 = 6;

/// Texts of which one at least can be read wherever a text can.
const TEXTS: [&str; 21] = [
    "x",
    "https://stand-in.example",
    "00000000-0000-4000-8000-000000000001",
    "1h",
    "1MiB",
    "127.0.0.1:8080",
    "stand-in.example:514",
    "10.0.0.0/8",
    "Microsoft Graph/SecurityAlert.Read.All",
    "graph_alerts",
    "high",
    "nats://stand-in.example",
    "amqp://stand-in.example/x",
    "az://container/folder",
    "s3://bucket/folder",
    "file:///x",
    "tcp",
    "en",
    "22:00",
    "mon",
    "soc@stand-in.example",
];
const NUMBERS: [i64; 5] = [1, 0, 5, 100, 10_000];

/// What a reader says of a value: nothing where it takes it.
type Said = Result<(), String>;

/// The schema.
#[must_use]
pub fn schema() -> Json {
    let mut properties = Map::new();
    for (name, section) in [
        ("store", object(&read::<StoreSettings>)),
        ("cloud", object(&read::<CloudSettings>)),
        ("network", object(&read::<NetworkSettings>)),
        ("collect", object(&read::<CollectSettings>)),
        ("server", object(&read::<ServerSettings>)),
        ("key_vault", object(&read::<KeyVaultSettings>)),
        ("onboarding", object(&read::<OnboardingSettings>)),
        ("pull_api", object(&read::<PullApiSettings>)),
        ("siem_feed", object(&read::<SiemFeedSettings>)),
    ] {
        properties.insert(name.to_owned(), section);
    }
    let receivers =
        [receiver("mail", &read::<MailSettings>), receiver("webhook", &read::<NoticeHookSettings>)];
    let sinks: Vec<Json> = SinkSettings::TYPES.into_iter().map(sink).collect();
    for (name, section) in [
        ("apps", object(&read::<AppSettings>)),
        ("hunts", object(&read::<HuntSettings>)),
        ("streams", object(&read::<StreamSettings>)),
        ("sinks", json!({ "type": "object", "required": ["type"], "oneOf": sinks })),
        ("notices", json!({ "type": "object", "required": ["type"], "oneOf": receivers })),
    ] {
        let named = json!({
            "type": "object",
            "propertyNames": { "pattern": "^[A-Za-z0-9_-]{1,64}$" },
            "additionalProperties": section,
        });
        properties.insert(name.to_owned(), named);
    }
    let routes = json!({ "type": "array", "items": object(&read::<RouteSettings>) });
    properties.insert("routes".to_owned(), routes);
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Settings of Muster",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

fn read<T: DeserializeOwned>(table: Table) -> Said {
    T::deserialize(Value::Table(table)).map(drop).map_err(|error| error.message().to_owned())
}

/// A sink's section, with the keys that Muster reads beside the sink's own.
fn sink(kind: &str) -> Json {
    let mut own = match kind {
        "splunk_hec" => object(&read::<SplunkHecSettings>),
        "elasticsearch" => object(&read::<ElasticsearchSettings>),
        "sentinel" => object(&read::<SentinelSettings>),
        "kafka" => object(&read::<KafkaSettings>),
        "nats" => object(&read::<NatsSettings>),
        "amqp" => object(&read::<AmqpSettings>),
        "webhook" => object(&read::<WebhookSettings>),
        "otlp" => object(&read::<OtlpSettings>),
        "syslog" => object(&read::<SyslogSettings>),
        "file" => object(&read::<FileSettings>),
        "stdout" => object(&read::<StdoutSettings>),
        "object_store" => object(&read::<ObjectStoreSettings>),
        _ => unreachable!("a type without a reader"),
    };
    let beside = object(&read::<SinkKeys>);
    let keys = own["properties"].as_object_mut().expect("a section has properties");
    keys.insert("type".to_owned(), json!({ "const": kind }));
    for key in SinkKeys::names(kind) {
        keys.insert((*key).to_owned(), beside["properties"][key].clone());
    }
    own
}

/// A receiver's section, with the keys that every type has.
fn receiver(kind: &str, reader: &dyn Fn(Table) -> Said) -> Json {
    let mut own = object(reader);
    let beside = object(&read::<NoticeKeys>);
    let keys = own["properties"].as_object_mut().expect("a section has properties");
    keys.insert("type".to_owned(), json!({ "const": kind }));
    for key in super::notices::shared() {
        keys.insert((*key).to_owned(), beside["properties"][key].clone());
    }
    own
}

/// A table with fixed keys.
fn object(read: &dyn Fn(Table) -> Said) -> Json {
    object_at(read, 0)
}

fn object_at(read: &dyn Fn(Table) -> Said, depth: u32) -> Json {
    let keys = read(one(NO_KEY, Value::Boolean(true))).err().as_deref().map(words).unwrap_or_default();
    let base = least(read, depth);
    let required: Vec<&String> = base.keys().collect();
    let mut properties = Map::new();
    for key in keys {
        let with = |value: Value| {
            let mut table = base.clone();
            table.insert(key.clone(), value);
            read(table)
        };
        properties.insert(key.clone(), value(&with, depth));
    }
    let mut schema = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// The keys that must be there, each with a value that can be read.
fn least(read: &dyn Fn(Table) -> Said, depth: u32) -> Table {
    let mut base = Table::new();
    // Each round finds one key.
    for _ in 0..32 {
        let Err(said) = read(base.clone()) else { break };
        let Some(key) = missing(&said).map(str::to_owned) else { break };
        let fits = |value: &Value| {
            let mut table = base.clone();
            table.insert(key.clone(), value.clone());
            read(table).err().is_none_or(|said| missing(&said).is_some_and(|other| other != key))
        };
        let Some(found) = candidates(depth).into_iter().find(fits) else { break };
        base.insert(key, found);
    }
    base
}

/// Values of every kind.
fn candidates(depth: u32) -> Vec<Value> {
    let texts = TEXTS.into_iter().map(|text| Value::String(text.to_owned()));
    let mut values: Vec<Value> = texts.collect();
    values.extend(NUMBERS.into_iter().map(Value::Integer));
    values.push(Value::Boolean(true));
    values.push(Value::Table(one("file", Value::String("x".to_owned()))));
    if depth < DEPTH_MAX {
        let lists = values.clone().into_iter().map(|value| Value::Array(vec![value]));
        values.extend(lists);
    }
    values
}

/// What kind of value a key has.
fn value(read: &dyn Fn(Value) -> Said, depth: u32) -> Json {
    let takes = |value: Value| read(value).is_ok();
    let mut kinds = Vec::new();
    if takes(Value::Boolean(true)) || takes(Value::Boolean(false)) {
        kinds.push(json!({ "type": "boolean" }));
    }
    if NUMBERS.into_iter().any(|number| takes(Value::Integer(number))) {
        kinds.push(json!({ "type": "integer" }));
    }
    if takes(Value::Float(0.5)) {
        kinds.push(json!({ "type": "number" }));
    }
    let text = |text: &str| read(Value::String(text.to_owned()));
    let of_text = text(NO_KEY).err();
    match of_text.as_deref().map(words).unwrap_or_default() {
        words if !words.is_empty() => kinds.push(json!({ "enum": words })),
        _ if TEXTS.iter().any(|given| text(given).is_ok()) => kinds.push(json!({ "type": "string" })),
        _ => {}
    }
    if depth < DEPTH_MAX {
        let table = table(read, depth);
        let in_list = |value: Value| read(Value::Array(vec![value]));
        // Whatever reads a table of fixed keys reads a list of their values as well, which nobody means.
        let is_fixed = table.as_ref().is_some_and(|table| table.get("properties").is_some());
        let is_list = takes(Value::Array(Vec::new()))
            || candidates(DEPTH_MAX).into_iter().any(|value| in_list(value).is_ok());
        if is_list && !is_fixed {
            kinds.push(json!({ "type": "array", "items": self::value(&in_list, depth + 1) }));
        }
        kinds.extend(table);
    }
    match kinds.len() {
        // It takes a text, in a form that is not known here.
        0 if of_text.as_deref().is_some_and(|said| !said.starts_with("invalid type")) => {
            json!({ "type": "string" })
        }
        0 => json!({}),
        1 => kinds.remove(0),
        _ => json!({ "anyOf": kinds }),
    }
}

/// What kind of table it is, if one can be read.
fn table(read: &dyn Fn(Value) -> Said, depth: u32) -> Option<Json> {
    let as_table = |table: Table| read(Value::Table(table));
    let said = as_table(one(NO_KEY, Value::Boolean(true))).err();
    let keys = said.as_deref().map(words).unwrap_or_default();
    if !keys.is_empty() {
        // Words alone are no keys.
        let is_word = said.is_some_and(|said| said.starts_with("unknown variant"));
        let takes =
            |key: &String| candidates(depth + 1).into_iter().any(|value| as_table(one(key, value)).is_ok());
        return (!is_word || keys.iter().any(takes)).then(|| object_at(&as_table, depth + 1));
    }
    // Names of its own, each with the same kind of value.
    let within = |value: Value| as_table(one(NO_KEY, value));
    if candidates(depth + 1).into_iter().any(|value| within(value).is_ok()) {
        return Some(json!({ "type": "object", "additionalProperties": self::value(&within, depth + 1) }));
    }
    // One of several kinds of table, which the reader does not tell apart in words.
    let is_secret = as_table(one("file", Value::String("x".to_owned()))).is_ok();
    is_secret.then(|| json!({ "type": "object" }))
}

fn one(key: &str, value: Value) -> Table {
    Table::from_iter([(key.to_owned(), value)])
}

/// The key that a reader misses.
fn missing(said: &str) -> Option<&str> {
    said.strip_prefix("missing field `")?.strip_suffix('`')
}

/// The words that a reader would have taken in the place of one that it does not know.
fn words(said: &str) -> Vec<String> {
    let unknown = said.strip_prefix("unknown field `").or_else(|| said.strip_prefix("unknown variant `"));
    if let Some((_, known)) = unknown.and_then(|rest| rest.split_once("`, expected ")) {
        return known.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    }
    // As the readers of words say it: "`x` is not a format: use one of a, b".
    let known = said.rsplit_once(": use one of ").map(|(_, known)| known);
    known.map(|known| known.split(", ").map(str::to_owned).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every value of which nothing is known; there is none.
    fn unknown(at: &str, schema: &Json, found: &mut Vec<String>) {
        match schema {
            Json::Object(map) if map.is_empty() => found.push(at.to_owned()),
            Json::Object(map) => {
                map.iter().for_each(|(key, value)| unknown(&format!("{at}.{key}"), value, found))
            }
            Json::Array(list) => list.iter().for_each(|value| unknown(at, value, found)),
            _ => {}
        }
    }

    #[test]
    fn of_every_key_the_kind_is_known() {
        let mut found = Vec::new();
        unknown("", &schema(), &mut found);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn what_a_reader_says_becomes_the_schema() {
        let schema = schema();
        let of = |path: &str| schema.pointer(path).cloned().unwrap_or_default();
        assert_eq!(of("/properties/store/properties/when_full"), json!({ "enum": ["stop", "drop_oldest"] }));
        assert_eq!(of("/properties/store/properties/keep_journal"), json!({ "type": "string" }));
        assert_eq!(of("/properties/apps/additionalProperties/required"), json!(["client_id"]));
        // A secret is never a text.
        assert_eq!(of("/properties/apps/additionalProperties/properties/secret/type"), json!("object"));
        let splunk = &of("/properties/sinks/additionalProperties/oneOf/0");
        assert_eq!(splunk["properties"]["type"], json!({ "const": "splunk_hec" }));
        assert_eq!(splunk["required"], json!(["token", "url"]));
    }
}
