//! The schema for editors takes what Muster reads, and refuses the keys that Muster refuses.

use std::path::{Path, PathBuf};

use jsonschema::Validator;
use muster::config::{Settings, schema};
use serde_json::Value;

use crate::docs::{RECEIVERS, SINKS, root};

fn validator() -> Validator {
    jsonschema::draft7::new(&schema()).expect("a schema")
}

fn as_json(text: &str) -> Value {
    serde_json::to_value(text.parse::<toml::Table>().expect("TOML")).expect("JSON")
}

/// What the schema has against settings.
fn objections(validator: &Validator, text: &str) -> Vec<String> {
    let instance = as_json(text);
    validator.iter_errors(&instance).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn mistakes(text: &str) -> Vec<String> {
    let read = Settings::parse(Path::new("."), &[(PathBuf::from("muster.toml"), text.to_owned())]);
    read.err().map_or_else(Vec::new, |mistakes| mistakes.0.iter().map(ToString::to_string).collect())
}

#[test]
fn every_example_and_what_init_writes_fits_the_schema() {
    let validator = validator();
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(root().join("examples")).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            texts.push((path.display().to_string(), std::fs::read_to_string(path).expect("a text")));
        }
    }
    assert!(texts.len() >= 10, "{}", texts.len());
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path().join("made");
    let made = std::process::Command::new(env!("CARGO_BIN_EXE_muster")).arg("init").arg(&at).output();
    assert!(made.expect("muster starts").status.success());
    let text = std::fs::read_to_string(at.join("muster.toml")).expect("settings");
    let hint =
        text.lines().next().and_then(|line| line.strip_prefix("#:schema ")).expect("a hint for editors");
    let beside: Value =
        serde_json::from_slice(&std::fs::read(at.join(hint)).expect("the schema that it names"))
            .expect("JSON");
    assert_eq!(beside, schema());
    texts.push(("init".to_owned(), text));
    for (kind, needs) in SINKS {
        texts.push((kind.to_owned(), format!("[sinks.a]\ntype = \"{kind}\"\n{needs}\nshadow = true\n")));
    }
    for receiver in RECEIVERS {
        let more = "quiet = { from = \"22:00\", to = \"07:00\", days = [\"mon\"], time_zone = \"UTC\" }\nalerts = {}";
        texts.push((receiver.to_owned(), format!("{receiver}\n{more}\n")));
    }
    for (name, text) in texts {
        assert_eq!(objections(&validator, &text), Vec::<String>::new(), "{name}");
    }
}

/// Both refuse a key that there is not, wherever it stands, and a secret in the open.
#[test]
fn what_is_unknown_is_refused_by_both() {
    let validator = validator();
    let app = "client_id = \"11111111-2222-3333-4444-555555555555\"\n";
    let mut wrong = vec![
        "[no_such_key]\n".to_owned(),
        format!("[apps.main]\n{app}no_such_key = 1\n"),
        format!("[apps.main]\n{app}secret = \"in the open\"\n"),
        format!("[apps.main]\n{app}secret = {{ no_such_key = \"x\" }}\n"),
        "[apps.main]\n".to_owned(),
        "[[routes]]\nno_such_key = 1\n".to_owned(),
        "[sinks.a]\npath = \"x\"\n".to_owned(),
        "[sinks.a]\ntype = \"carrier_pigeon\"\n".to_owned(),
        "[sinks.\"two words\"]\ntype = \"stdout\"\n".to_owned(),
        "[store]\nwhen_full = \"panic\"\n".to_owned(),
        "[store]\nkeep_journal = 7\n".to_owned(),
    ];
    for section in
        ["store", "cloud", "network", "collect", "server", "key_vault", "onboarding", "pull_api", "siem_feed"]
    {
        wrong.push(format!("[{section}]\nno_such_key = 1\n"));
    }
    for (kind, needs) in SINKS {
        wrong.push(format!("[sinks.a]\ntype = \"{kind}\"\n{needs}\nno_such_key = 1\n"));
    }
    for receiver in RECEIVERS {
        wrong.push(format!("{receiver}\nno_such_key = 1\n"));
        wrong.push(format!("{receiver}\nquiet = {{ no_such_key = 1 }}\n"));
        wrong.push(format!("{receiver}\nconditions = [\"no_such_condition\"]\n"));
    }
    for text in wrong {
        assert_ne!(mistakes(&text), Vec::<String>::new(), "Muster takes\n{text}");
        assert_ne!(objections(&validator, &text), Vec::<String>::new(), "the schema takes\n{text}");
    }
}
