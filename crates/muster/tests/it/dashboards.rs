//! Dashboards and rules: every metric, label and value that they ask for exists, and every command that they advise.

use std::collections::{BTreeMap, BTreeSet};

use muster_emulator::Config;
use serde_json::Value;

use crate::docs::{muster, read, spans, wrong};
use crate::support::{Setup, ask, config, eventually};

/// Prometheus' own labels, and what it makes of a histogram.
const OF_PROMETHEUS: [&str; 3] = ["instance", "job", "le"];

/// The labels of each metric, as `docs/metrics.md` has them.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::new();
    for row in read("docs/metrics.md").lines().filter(|line| line.starts_with("| `muster_")) {
        let cells: Vec<&str> = row.split(" | ").collect();
        let labels: BTreeSet<String> = spans(cells[1]).map(str::to_owned).collect();
        found.extend(spans(cells[0]).map(|name| (name.to_owned(), labels.clone())));
    }
    found
}

/// Every place and expression of dashboards and rules.
fn expressions() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/muster.json")).expect("JSON");
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().expect("targets") {
            let title = panel["title"].as_str().expect("a title").to_owned();
            found.push((title, target["expr"].as_str().expect("an expression").to_owned()));
        }
    }
    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        if let Some(definition) = variable["definition"].as_str() {
            found.push(("a variable".to_owned(), definition.to_owned()));
        }
    }
    let mut alert = String::new();
    for line in read("deploy/prometheus/muster.rules.yml").lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("- alert: ") {
            name.clone_into(&mut alert);
        } else if let Some(expression) = line.strip_prefix("expr: ") {
            found.push((alert.clone(), expression.to_owned()));
        }
    }
    found
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(|word| !word.is_empty())
}

/// What an expression asks for that there is not.
fn unknown(
    expression: &str,
    known: &BTreeMap<String, BTreeSet<String>>,
    values: &BTreeSet<String>,
) -> Vec<String> {
    let metrics: Vec<&str> = words(expression).filter(|word| word.starts_with("muster_")).collect();
    let (mut mistakes, mut labels) = (Vec::new(), BTreeSet::from(OF_PROMETHEUS.map(str::to_owned)));
    for metric in metrics {
        let name = metric.strip_suffix("_bucket").unwrap_or(metric);
        match known.get(name) {
            Some(has) => labels.extend(has.iter().cloned()),
            None => mistakes.push(format!("there is no metric {metric}")),
        }
    }
    for list in expression.split("by (").skip(1) {
        let list = list.split(')').next().unwrap_or_default();
        mistakes.extend(
            words(list).filter(|label| !labels.contains(*label)).map(|label| format!("no label {label}")),
        );
    }
    for matchers in expression.split('{').skip(1) {
        for matcher in matchers.split('}').next().unwrap_or_default().split(',') {
            let (label, value) = matcher.split_once('=').expect("a matcher");
            let label = label.trim_end_matches('!');
            if !labels.contains(label) {
                mistakes.push(format!("no label {label}"));
            }
            let value = value.trim_matches(['~', '"']);
            if !OF_PROMETHEUS.contains(&label) && !values.contains(value) {
                mistakes.push(format!("{label} is never {value}"));
            }
        }
    }
    mistakes
}

#[test]
fn dashboards_and_rules_ask_for_what_there_is() {
    let known = documented();
    let texts = read("docs/metrics.md") + &read("docs/states.md");
    let values: BTreeSet<String> = spans(&texts).map(str::to_owned).collect();
    let found = expressions();
    assert!(found.len() > 30, "{found:?}");
    let mistakes: Vec<String> = found
        .iter()
        .flat_map(|(place, expression)| {
            let of = |mistake| format!("{place}: {mistake}: {expression}");
            unknown(expression, &known, &values).into_iter().map(of).collect::<Vec<_>>()
        })
        .collect();
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));

    for wrong in [
        "muster_sink_owed",
        "sum by (tenant) (muster_sink_owed_records)",
        "muster_tenants{tenant=\"a\"}",
        "muster_tenants{state=\"broken\"}",
    ] {
        assert_ne!(unknown(wrong, &known, &values), [""; 0], "{wrong}");
    }
}

#[test]
fn annotations_of_rules_name_labels_of_theirs_and_commands_that_there_are() {
    let (rules, muster) = (read("deploy/prometheus/muster.rules.yml"), muster());
    let (mut expression, mut checked) = ("", 0);
    for line in rules.lines() {
        expression = line.trim().strip_prefix("expr: ").unwrap_or(expression);
        for label in line.split("$labels.").skip(1) {
            let label = words(label).next().unwrap_or_default();
            let lists: Vec<&str> = expression
                .split("by (")
                .skip(1)
                .map(|list| list.split(')').next().unwrap_or_default())
                .collect();
            assert!(lists.iter().any(|list| words(list).any(|word| word == label)), "{label}: {expression}");
            checked += 1;
        }
        for call in spans(line).filter_map(|span| span.strip_prefix("muster ")) {
            assert_eq!(wrong(call, &muster), None, "{call}");
            checked += 1;
        }
    }
    assert!(checked > 15, "only {checked} were found");
}

/// The labels that the documents name are those that the program gives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_documented_of_labels_is_what_metrics_show() {
    let port = crate::health::free_port();
    let server = format!("[server]\nlisten = \"127.0.0.1:{port}\"\n");
    let setup = Setup::start(Config { tenants: 2, alerts: Some(10), ..config() }, &server).await;
    let _running = setup.run();
    eventually("all has arrived", async || setup.lost() == 0).await;
    let (_, text) = ask("GET", &format!("http://127.0.0.1:{port}/metrics"), &[], "").await;
    let known = documented();
    let mut shown = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with("muster_")) {
        let (name, rest) = line.split_at(line.find(['{', ' ']).expect("a value"));
        let name = ["_bucket", "_sum", "_count"]
            .into_iter()
            .find_map(|end| name.strip_suffix(end).filter(|name| known.contains_key(*name)))
            .unwrap_or(name);
        let labels =
            rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(labels, _)| labels);
        let labels = labels
            .split("\",")
            .filter_map(|label| Some(label.split_once('=')?.0))
            .filter(|label| !OF_PROMETHEUS.contains(label));
        let documented = known.get(name).unwrap_or_else(|| panic!("{name} is not documented"));
        for label in labels {
            assert!(documented.contains(label), "{name} has the label {label}: {documented:?}");
        }
        shown.insert(name.to_owned());
    }
    assert!(shown.len() > 15, "{shown:?}");
}
