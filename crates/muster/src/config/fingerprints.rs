//! What each key of the settings says, as a hash: tells which keys differ between two readings, and nothing else.

use std::collections::BTreeMap;
use std::path::PathBuf;

use muster_model::ContentHash;
use toml::{Table, Value};

use super::wording::without_credentials;

/// A hash of each key's value, by section and key.
pub type Fingerprints = BTreeMap<String, BTreeMap<String, String>>;

/// Sections whose own sections have names.
const NAMED: [&str; 5] = ["apps", "hunts", "streams", "sinks", "notices"];

/// Of all files together. A user and password in an address are left out: a hash of little would give them away.
pub(super) fn of(files: &[(PathBuf, String)]) -> Fingerprints {
    let mut found = Fingerprints::new();
    let tables = files.iter().filter_map(|(_, text)| text.parse::<Table>().ok());
    for (section, value) in tables.flatten() {
        match value {
            Value::Table(named) if NAMED.contains(&section.as_str()) => {
                for (name, value) in named {
                    note(&mut found, &format!("{section}.{name}"), value);
                }
            }
            value => note(&mut found, &section, value),
        }
    }
    found
}

fn note(found: &mut Fingerprints, section: &str, value: Value) {
    let keys = found.entry(section.to_owned()).or_default();
    match value {
        Value::Table(table) => keys.extend(table.into_iter().map(|(key, value)| (key, hash(&value)))),
        // Routes of several files are one list.
        other => {
            let hash = hash(&other);
            keys.entry(String::new()).and_modify(|all| all.push_str(&hash)).or_insert(hash);
        }
    }
}

fn hash(value: &Value) -> String {
    let hash = ContentHash::of(without_credentials(&value.to_string()).as_bytes());
    hash.0.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_text(text: &str) -> Fingerprints {
        of(&[(PathBuf::from("muster.toml"), text.to_owned())])
    }

    #[test]
    fn what_is_said_counts_and_not_how() {
        let one = of_text("[sinks.a]\ntype = \"file\"\npath = \"x\"\nmapping.set = { b = \"1\" }\n");
        let other =
            of_text("# a\n[sinks.a]\npath = 'x' # b\ntype = \"file\"\n[sinks.a.mapping.set]\nb = \"1\"\n");
        assert_eq!(one, other);
        let changed = of_text("[sinks.a]\ntype = \"file\"\npath = \"y\"\nmapping.set = { b = \"1\" }\n");
        assert_ne!(one["sinks.a"]["path"], changed["sinks.a"]["path"]);
        assert_eq!(one["sinks.a"]["mapping"], changed["sinks.a"]["mapping"]);
        assert_ne!(of_text("[[routes]]\nsinks = [\"a\"]\n"), of_text("[[routes]]\nsinks = [\"b\"]\n"));
    }

    #[test]
    fn a_password_leaves_no_trace() {
        let of =
            |password: &str| of_text(&format!("[network]\nproxy = \"http://me:{password}@proxy.example\"\n"));
        assert_eq!(of("hunter2"), of("hunter3"));
    }
}
