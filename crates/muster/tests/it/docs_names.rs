//! Names that stand in the text of the documents, outside of `docs/settings.md` and `docs/commands.md`: keys, metrics,
//! exit codes.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::docs::{RECEIVERS, SINKS, documents, keys, muster, read, root, spans};

fn sink(kind: &str) -> String {
    let needs = SINKS.iter().find(|(name, _)| *name == kind).expect("a type of sink").1;
    format!("[sinks.a]\ntype = \"{kind}\"\n{needs}")
}

/// The keys of a section as documents name it, such as `[server]` or `[sinks.NAME.cef]`.
fn keys_of(section: &str) -> Option<BTreeSet<String>> {
    let app = "[apps.a]\nclient_id = \"11111111-2222-3333-4444-555555555555\"";
    let parts: Vec<&str> = section.split('.').collect();
    Some(match parts.as_slice() {
        ["store" | "cloud" | "collect" | "network" | "server" | "onboarding" | "key_vault" | "siem_feed"] => {
            keys(&format!("[{section}]"))
        }
        ["[routes]" | "routes"] => keys("[[routes]]"),
        ["apps", _] => keys(app),
        ["hunts", _] => keys("[hunts.a]\nquery = \"T\""),
        ["streams", _] => keys("[streams.a]\nurl = \"file:///a\""),
        ["sinks", _] => SINKS.iter().flat_map(|(kind, _)| keys(&sink(kind))).collect(),
        ["notices", _] => RECEIVERS.iter().flat_map(|receiver| keys(receiver)).collect(),
        ["notices", _, table] => keys(&format!("{}\n[notices.a.{table}]", RECEIVERS[0])),
        ["sinks", _, table] => {
            let kind = if keys(&sink("splunk_hec")).contains(*table) { "splunk_hec" } else { "syslog" };
            keys(&format!("{}\n[sinks.a.{table}]", sink(kind)))
        }
        _ => return None,
    })
}

/// Every key that there is, of any section.
fn all_keys() -> BTreeSet<String> {
    let sections = [
        "store",
        "cloud",
        "collect",
        "network",
        "server",
        "onboarding",
        "key_vault",
        "siem_feed",
        "routes",
        "apps.a",
        "hunts.a",
        "streams.a",
        "notices.a",
        "notices.a.alerts",
        "notices.a.quiet",
        "sinks.a",
        "sinks.a.cef",
        "sinks.a.leef",
        "sinks.a.ecs",
        "sinks.a.ocsf",
        "sinks.a.splunk",
        "sinks.a.mapping",
        "sinks.a.sourcetypes",
    ];
    sections.iter().filter_map(|section| keys_of(section)).flatten().collect()
}

/// The page of a sink has a table of its settings.
#[test]
fn the_pages_of_sinks_name_the_keys_that_there_are() {
    for (kind, _) in SINKS {
        let there = keys(&sink(kind));
        let text = read(&format!("docs/sinks/{kind}.md"));
        let mut rows = 0;
        for row in text.lines().skip_while(|line| !line.starts_with("| setting |")).skip(2) {
            let Some(row) = row.strip_prefix("| ") else { break };
            for key in spans(row.split(" | ").next().unwrap_or_default()) {
                rows += 1;
                let first = key.split('.').next().unwrap_or_default();
                assert!(
                    there.contains(first),
                    "docs/sinks/{kind}.md: a {kind} sink has no key `{key}`: {there:?}"
                );
            }
        }
        assert!(rows > 3, "docs/sinks/{kind}.md: only {rows} keys were found");
    }
}

/// The pages of formats and the one on big events have tables of options.
#[test]
fn options_in_tables_exist() {
    for (page, section) in [
        ("docs/formats/ocsf.md", "sinks.a.ocsf"),
        ("docs/formats/ecs.md", "sinks.a.ecs"),
        ("docs/formats/big-events.md", "sinks.a"),
    ] {
        let there = keys_of(section).expect("a section");
        let text = read(page);
        let table = text.lines().skip_while(|line| {
            !["| key |", "| setting of a sink |", "| option |"].iter().any(|head| line.starts_with(head))
        });
        let mut rows = 0;
        for row in table.skip(2).map_while(|line| line.strip_prefix("| ")) {
            for key in spans(row.split(" | ").next().unwrap_or_default()) {
                rows += 1;
                assert!(there.contains(key), "{page}: [{section}] has no key `{key}`: {there:?}");
            }
        }
        assert!(rows > 1, "{page}: only {rows} keys were found");
    }
}

/// `[section] key` and `key = value`, wherever they stand in a text.
#[test]
fn keys_in_the_text_exist() {
    let all = all_keys();
    let (mut mistakes, mut found) = (Vec::new(), 0);
    for (path, text) in documents() {
        // Fields of a format, and curl's, look like keys.
        if path == "docs/emulator.md" {
            continue;
        }
        let mut fenced = false;
        for line in text.lines() {
            fenced ^= line.trim_start().starts_with("```");
            if fenced || line.starts_with("    ") {
                continue;
            }
            for span in spans(line) {
                let sectioned = span.strip_prefix('[').and_then(|span| span.split_once("] "));
                let (section, rest) = sectioned.map_or((None, span), |(section, rest)| (Some(section), rest));
                let (key, assigned) = match rest.split_once(" = ") {
                    Some((key, _)) => (key, true),
                    None => (rest, false),
                };
                let is_key = !key.is_empty()
                    && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte == b'.');
                if !is_key || (section.is_none() && !assigned) {
                    continue;
                }
                found += 1;
                let first = key.split('.').next().unwrap_or_default();
                let there = section.map_or_else(|| Some(all.clone()), keys_of);
                let places =
                    ["file", "env", "command", "systemd", "key_vault", "name", "type", "managed_identity"];
                if !there.is_some_and(|there| there.contains(first) || places.contains(&first)) {
                    mistakes.push(format!("{path}: `{span}`: there is no such key"));
                }
            }
        }
    }
    assert!(found > 20, "only {found} were found");
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

/// The metrics that the program's own text sets.
fn metrics() -> BTreeSet<String> {
    let (mut folders, mut found) = (vec![root().join("crates/muster/src")], BTreeSet::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path: PathBuf = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a text");
            for set in ["counter!(", "gauge!(", "histogram!(", ".family("] {
                for (at, _) in text.match_indices(set) {
                    let name = text[at + set.len()..].trim_start().strip_prefix("\"muster_");
                    let name = name.and_then(|name| name.split('"').next());
                    found.extend(name.map(|name| format!("muster_{name}")));
                }
            }
        }
    }
    found
}

#[test]
fn every_metric_is_documented_and_no_other() {
    let there = metrics();
    assert!(there.len() > 20, "{there:?}");
    let text = read("docs/metrics.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `muster_"));
    let documented: BTreeSet<String> = rows
        .flat_map(|row| {
            let first = format!("`muster_{}", row.split(" | ").next().unwrap_or_default());
            spans(&first).map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(documented, there);

    // What ends as metrics do is one, wherever it stands.
    let (mut mistakes, mut found) = (Vec::new(), 0);
    for (path, text) in documents() {
        for word in text.split(|letter: char| !letter.is_ascii_lowercase() && letter != '_') {
            let ends = ["_total", "_seconds", "_records", "_bytes", "_letters", "_good"];
            if word.starts_with("muster_") && ends.iter().any(|end| word.ends_with(end)) {
                found += 1;
                if !there.contains(word) {
                    mistakes.push(format!("{path}: there is no metric `{word}`"));
                }
            }
        }
    }
    assert!(found > 25, "only {found} were found");
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

/// The table of exit codes says what `muster --help` says.
#[test]
fn exit_codes_are_those_of_the_program() {
    let help = muster().get_after_help().expect("exit codes").to_string();
    let said: BTreeSet<String> = help
        .split([':', ','])
        .filter_map(|part| part.trim().split(' ').next())
        .filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()) && !word.is_empty())
        .map(str::to_owned)
        .collect();
    let text = read("docs/commands.md");
    let rows = text.lines().skip_while(|line| !line.starts_with("| code |")).skip(2);
    let documented: BTreeSet<String> = rows
        .map_while(|row| row.strip_prefix("| "))
        .filter_map(|row| row.split(" | ").next())
        .map(str::to_owned)
        .collect();
    assert!(said.len() >= 9, "{help}");
    assert_eq!(documented, said);
}
