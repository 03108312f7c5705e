//! The documents name what there is: every key of the settings, and no command or flag that does not exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use muster::config::Settings;
use muster_siem::sinks::SinkSettings;

/// What a sink of each type needs at least.
pub(crate) const SINKS: [(&str, &str); SinkSettings::TYPES.len()] = [
    ("splunk_hec", "url = \"https://splunk.example\"\ntoken = { env = \"TOKEN\" }"),
    ("elasticsearch", "url = \"https://elastic.example:9200\""),
    (
        "sentinel",
        "endpoint = \"https://a.b.ingest.monitor.azure.com\"\nrule = \"dcr-1\"\nstream = \"Custom-a\"\napp = \"main\"",
    ),
    ("kafka", "brokers = [\"kafka.example:9093\"]\ntopic = \"alerts\""),
    ("nats", "url = \"nats://nats.example\"\nstream = \"MUSTER\""),
    ("amqp", "url = \"amqp://rabbit.example/soc\"\nexchange = \"muster\""),
    ("webhook", "url = \"https://hooks.example\""),
    ("otlp", "url = \"https://otel.example:4318\""),
    ("syslog", "address = \"siem.example:514\"\ntransport = \"tcp\""),
    ("file", "path = \"a\""),
    ("stdout", ""),
    ("object_store", "url = \"file:///a\""),
];

/// What a receiver of notices of each type needs at least.
pub(crate) const RECEIVERS: [&str; 2] = [
    "[notices.a]\ntype = \"mail\"\nserver = \"mail.example\"\nfrom = \"a@b.example\"\nto = [\"c@d.example\"]",
    "[notices.a]\ntype = \"webhook\"\nurl = \"https://hooks.example/x\"",
];

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every document for operators, with its path; what is said of earlier releases was so then.
pub(crate) fn documents() -> Vec<(String, String)> {
    let mut folders = vec![root().join("docs")];
    let mut files = ["README.md", "CHANGELOG.md", "SECURITY.md", "deploy/splunk/muster/README.md"]
        .map(|file| root().join(file))
        .to_vec();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    files.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    let text = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a text");
        let name = path.strip_prefix(root()).expect("below the root").display().to_string();
        let unreleased = text.match_indices("\n## ").nth(1).map_or(text.len(), |(at, _)| at);
        let text = if name == "CHANGELOG.md" { text[..unreleased].to_owned() } else { text };
        (name, text)
    };
    files.into_iter().map(text).collect()
}

/// What stands between backticks.
pub(crate) fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// What is wrong with settings because they name something that does not exist.
fn unknown(text: &str) -> Vec<String> {
    match Settings::parse(Path::new("."), &[(PathBuf::from("muster.toml"), text.to_owned())]) {
        Ok(_) => Vec::new(),
        Err(mistakes) => {
            let mut unknown: Vec<String> =
                mistakes.0.into_iter().map(|mistake| mistake.to_string()).collect();
            unknown.retain(|mistake| mistake.contains("unknown ") || mistake.contains("is not a "));
            unknown
        }
    }
}

/// The keys that a section may have, as the message about one that it may not have names them.
pub(crate) fn keys(section: &str) -> BTreeSet<String> {
    let mistakes = unknown(&format!("{section}\nno_such_key = 1\n"));
    let message = mistakes.iter().find(|mistake| mistake.contains("`no_such_key`"));
    let message = message.unwrap_or_else(|| panic!("{section}: no message about the key in {mistakes:?}"));
    spans(message).filter(|key| *key != "no_such_key").map(str::to_owned).collect()
}

/// The keys in the first column of the tables of `docs/settings.md`, by section; those of sinks by their `type` as well.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut section = String::new();
    for line in read("docs/settings.md").lines() {
        if line.starts_with("## ") || line.starts_with("`type = ") {
            section = spans(line).next().unwrap_or_default().to_owned();
        } else if line.ends_with("types also take:") {
            section = "every type".to_owned();
        } else if let Some(row) = line.strip_prefix("| `") {
            let mut table = "";
            for key in spans(&format!("`{}", row.split(" |").next().unwrap_or_default())) {
                let key = match key.split_once('.') {
                    Some(("", key)) => format!("{table}.{key}"),
                    Some((of, _)) => {
                        table = of;
                        key.to_owned()
                    }
                    None => key.to_owned(),
                };
                found.entry(section.clone()).or_default().insert(key);
            }
        }
    }
    found
}

#[test]
fn every_key_of_the_settings_is_documented_and_no_other() {
    let documented = documented();
    for section in [
        "[store]",
        "[cloud]",
        "[apps.NAME]",
        "[key_vault]",
        "[collect]",
        "[hunts.NAME]",
        "[streams.NAME]",
        "[network]",
        "[server]",
        "[onboarding]",
        "[pull_api]",
        "[siem_feed]",
    ] {
        assert_eq!(documented.get(section), Some(&keys(section)), "{section}");
    }
    assert_eq!(documented.get("[[routes]]"), Some(&keys("[[routes]]")));
    let mut there = BTreeSet::new();
    for receiver in RECEIVERS {
        for key in keys(receiver) {
            match key.as_str() {
                "alerts" | "quiet" => {
                    let table = format!("{receiver}\n[notices.a.{key}]");
                    there.extend(keys(&table).into_iter().map(|inner| format!("{key}.{inner}")));
                }
                _ => drop(there.insert(key)),
            }
        }
    }
    assert_eq!(documented.get("[notices.NAME]"), Some(&there));

    assert_eq!(SINKS.map(|(kind, _)| kind), SinkSettings::TYPES);
    let settings = read("docs/settings.md");
    for (kind, needs) in SINKS {
        let sink = format!("[sinks.a]\ntype = \"{kind}\"\n{needs}");
        let (mut found, mut there) = (BTreeSet::new(), BTreeSet::new());
        for section in [format!("type = \"{kind}\""), "every type".to_owned()] {
            found.extend(documented.get(&section).into_iter().flatten().cloned());
        }
        for key in keys(&sink) {
            let table = format!("{sink}\n[sinks.a.{key}]");
            if !found.iter().any(|found| found.starts_with(&format!("{key}.")))
                && !settings.contains(&format!("`[sinks.NAME.{key}]`"))
            {
                there.insert(key);
                continue;
            }
            // A table: its keys stand in the row, or in the document of the format.
            let format = if ["sourcetypes", "mapping", "search", "oauth"].contains(&key.as_str()) {
                String::new()
            } else {
                read(&format!("docs/formats/{key}.md"))
            };
            for inner in keys(&table) {
                let dotted = format!("{key}.{inner}");
                if found.remove(&dotted) {
                    continue;
                }
                let name = format!("`{inner}`");
                let inner_table = format!("`{inner}.");
                assert!(
                    [&settings, &format]
                        .iter()
                        .any(|text| text.contains(&name) || text.contains(&inner_table)),
                    "{dotted} is not documented"
                );
            }
        }
        assert_eq!(found, there, "{kind}");
    }
}

#[test]
fn places_of_secrets_are_documented() {
    let there = keys("[apps.a]\nclient_id = \"11111111-2222-3333-4444-555555555555\"\n[apps.a.secret]");
    let settings = read("docs/settings.md");
    let places = settings.lines().filter_map(|line| line.strip_prefix("| `{ ")?.split(" =").next());
    assert_eq!(places.map(str::to_owned).collect::<BTreeSet<_>>(), there);
}

/// With every line that is a comment now and would be a setting otherwise.
#[test]
fn the_examples_name_nothing_that_does_not_exist() {
    let is_setting = |line: &str| {
        let key = line.split(" = ").next().unwrap_or_default();
        line.starts_with('[') && line.ends_with(']')
            || line.contains(" = ")
                && key.bytes().all(|byte| byte.is_ascii_lowercase() || b"_.".contains(&byte))
    };
    let names = SinkSettings::TYPES.iter().copied().chain(["muster"]);
    for name in names {
        let whole: Vec<String> = read(&format!("examples/{name}.toml"))
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(setting) if is_setting(setting) => setting.to_owned(),
                _ => line.to_owned(),
            })
            .collect();
        let has_onboarding = whole.iter().any(|line| line.starts_with("[onboarding]"));
        assert!(has_onboarding || name != "muster", "comments are read too");
        assert_eq!(unknown(&whole.join("\n")), [""; 0], "{name}");
    }
}

#[test]
fn settings_in_the_documents_exist() {
    let mut blocks = 0;
    for (path, text) in documents() {
        for block in text.split("```toml\n").skip(1) {
            let block = block.split("```").next().unwrap_or_default();
            assert_eq!(unknown(block), [""; 0], "{path}:\n{block}");
            blocks += 1;
        }
    }
    assert!(blocks >= 3, "only {blocks} blocks were found");
}

/// A line of a shell or a span in the text, without what other programs get.
fn calls(text: &str) -> Vec<String> {
    let mut calls = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            for part in line.split(['|', ';', '#']).flat_map(|part| part.split("&&")) {
                let part = part
                    .trim()
                    .trim_start_matches("$ ")
                    .trim_start_matches("sudo ")
                    .trim_start_matches("-u muster ");
                calls.extend(part.strip_prefix("muster ").map(str::to_owned));
            }
        } else {
            calls.extend(spans(line).filter_map(|span| span.strip_prefix("muster ")).map(str::to_owned));
        }
    }
    calls
}

/// What is wrong with a call of `muster`: a command or flag that does not exist.
pub(crate) fn wrong(call: &str, muster: &clap::Command) -> Option<String> {
    let mut command = muster;
    let mut words = call.split_whitespace();
    while let Some(word) = words.next() {
        let word = word.trim_matches(['[', ']', '(', ')', ',', '…', '\\', '"', '\'', '.']);
        if let Some(flag) = word.strip_prefix("--").filter(|flag| !flag.is_empty()) {
            let name = flag.split(['=', '\\', '|']).next().unwrap_or_default();
            let flag = command
                .get_arguments()
                .chain(muster.get_arguments())
                .find(|flag| flag.get_long() == Some(name));
            let Some(flag) = flag else { return Some(format!("{} has no --{name}", command.get_name())) };
            if flag.get_action().takes_values() && !word.contains('=') {
                words.next();
            }
        } else if let Some(flag) = word.strip_prefix('-').and_then(|flag| flag.chars().next()) {
            let found = command
                .get_arguments()
                .chain(muster.get_arguments())
                .find(|found| found.get_short() == Some(flag));
            let Some(found) = found else { return Some(format!("{} has no -{flag}", command.get_name())) };
            if found.get_action().takes_values() {
                words.next();
            }
        } else if command.has_subcommands()
            && !word.is_empty()
            && !word.chars().all(|letter| letter.is_uppercase())
        {
            // `app show|check` stands for one of them.
            let mut found = None;
            for word in word.split('|') {
                found = command.find_subcommand(word);
                if found.is_none() {
                    return Some(format!("{} has no command {word}", command.get_name()));
                }
            }
            command = found.unwrap_or(command);
        }
    }
    None
}

pub(crate) fn muster() -> clap::Command {
    let mut muster = muster::cli::definition();
    muster.build();
    muster
}

#[test]
fn commands_and_flags_in_the_documents_exist() {
    let muster = muster();
    let (mut found, mut mistakes) = (0, Vec::new());
    for (path, text) in documents() {
        for call in calls(&text) {
            found += 1;
            mistakes.extend(wrong(&call, &muster).map(|wrong| format!("{path}: `muster {call}`: {wrong}")));
        }
    }
    assert!(found > 50, "only {found} were found");
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));

    assert_eq!(wrong("tenant add contoso.example --since 7d -v", &muster), None);
    assert!(wrong("tenant ad contoso.example", &muster).is_some_and(|wrong| wrong.contains("ad")));
    assert!(wrong("tenant add contoso.example --sinc 7d", &muster).is_some());
}

/// `docs/commands.md` has a row for every command, and flags in a row are flags of its command.
#[test]
fn every_command_is_documented_and_no_other() {
    let muster = muster();
    let mut there = BTreeSet::new();
    for command in muster.get_subcommands().filter(|command| command.get_name() != "help") {
        let name = command.get_name();
        let inner: Vec<_> = command.get_subcommands().map(clap::Command::get_name).collect();
        match inner.is_empty() {
            true => drop(there.insert(name.to_owned())),
            // Some do something by themselves as well.
            false if command.get_arguments().any(clap::Arg::is_required_set) => {
                there.insert(name.to_owned());
                there.extend(
                    inner.iter().filter(|inner| **inner != "help").map(|inner| format!("{name} {inner}")),
                );
            }
            false => there.extend(
                inner.iter().filter(|inner| **inner != "help").map(|inner| format!("{name} {inner}")),
            ),
        }
    }
    let (mut found, mut mistakes) = (BTreeSet::new(), Vec::new());
    let text = read("docs/commands.md");
    for row in text.lines().filter_map(|line| line.strip_prefix("| ")).filter(|row| row.starts_with('`')) {
        let row = row.replace("\\|", "|");
        let (commands, does) = row.split_once(" | ").expect("two columns");
        let mut group = String::new();
        let mut of_row = Vec::new();
        for span in spans(commands) {
            let mut words = span.split_whitespace();
            let first = words.next().unwrap_or_default();
            let path = match muster.find_subcommand(first) {
                Some(command) if command.has_subcommands() => {
                    group = first.to_owned();
                    let next = words.next().unwrap_or_default();
                    if next.starts_with('-') { first.to_owned() } else { format!("{first} {next}") }
                }
                Some(_) if group.is_empty() => first.to_owned(),
                _ => format!("{group} {first}"),
            };
            let call = if span.starts_with(&group) { span.to_owned() } else { format!("{group} {span}") };
            mistakes.extend(wrong(&call, &muster).map(|wrong| format!("`{span}`: {wrong}")));
            of_row.push(path.clone());
            found.insert(path);
        }
        for flag in spans(does).filter(|span| span.starts_with("--") && !span.starts_with("--output")) {
            let fits = of_row.iter().any(|path| wrong(&format!("{path} {flag}"), &muster).is_none());
            if !fits {
                mistakes.push(format!("{of_row:?} have no `{flag}`"));
            }
        }
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    // Named in the first lines of the document.
    for said in ["completions", "man"] {
        assert!(text.contains(&format!("muster {said}")), "{said}");
        found.insert(said.to_owned());
    }
    assert_eq!(found, there);
}

/// The table in the document is the one that the program goes by.
#[test]
fn the_table_of_answers_is_documented() {
    let rows: Vec<String> = muster_microsoft::api::answers::TABLE
        .iter()
        .map(muster_microsoft::api::answers::Row::in_markdown)
        .collect();
    let text = read("docs/answers.md");
    let documented: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert_eq!(documented, rows, "docs/answers.md should have:\n{}", rows.join("\n"));
}

#[test]
fn every_condition_is_documented() {
    let rows =
        muster::notices::kind::Kind::ALL.map(|kind| format!("| `{}` | {} |", kind.as_str(), kind.meaning()));
    let text = read("docs/notices.md");
    let table = text.lines().skip_while(|line| !line.starts_with("| condition |")).skip(2);
    let documented: Vec<&str> = table.take_while(|line| line.starts_with("| ")).collect();
    assert_eq!(documented, rows, "docs/notices.md should have:\n{}", rows.join("\n"));
    let templates = muster::config::TemplateName::ALL.map(|(name, _)| format!("| `{name}` |"));
    assert!(templates.iter().all(|row| text.contains(row)), "{templates:?}");
}

/// The words that states are told in, with their rules, and what trouble means.
#[test]
fn the_states_are_documented() {
    use muster::shown::{sinks::SinkWord, state};
    use muster_microsoft::{MEANINGS, SourceWord};
    let text = read("docs/states.md");
    let mut rows: Vec<String> = Vec::new();
    // In the order of their rules.
    let mut words = SourceWord::ALL.to_vec();
    words.sort_by_key(|word| match word {
        SourceWord::Paused => 0,
        SourceWord::ConsentLost | SourceWord::NoLicence | SourceWord::NoToken => 1,
        SourceWord::Throttled | SourceWord::ApiDown => 2,
        SourceWord::NeverRead => 3,
        SourceWord::Late => 4,
        SourceWord::Partial => 5,
        SourceWord::Reading | SourceWord::Quiet => 6,
    });
    rows.extend(
        words.iter().map(|word| format!("| {word} | `{}` | {} |", word.as_str(), state::rule(*word))),
    );
    rows.extend(MEANINGS.iter().map(muster_microsoft::Meaning::in_markdown));
    rows.extend(
        SinkWord::ALL.map(|word| format!("| {} | `{}` | {} |", word.in_words(), word.as_str(), word.rule())),
    );
    let runs = muster::shown::run::RunState::ALL.map(|state| format!("| `{}` |", state.as_str()));
    assert!(runs.iter().all(|row| text.contains(row)), "{runs:?}");
    let heads = |line: &&str| !line.starts_with("| word") && !line.starts_with("| trouble");
    let documented: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).filter(heads).collect();
    let documented: Vec<&str> =
        documented.into_iter().filter(|line| !runs.iter().any(|run| line.starts_with(run))).collect();
    assert_eq!(documented, rows, "docs/states.md should have:\n{}", rows.join("\n"));
}
