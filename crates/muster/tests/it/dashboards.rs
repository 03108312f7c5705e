//! Dashboards and rules: every metric, label and value that they ask for exists, and every command that they advise; and a
//! Prometheus that scrapes a Muster in trouble has an answer to each.

use std::collections::{BTreeMap, BTreeSet};

use muster_emulator::Config;
use serde_json::Value;
use tokio::process::Command;

use crate::brokers::environment;
use crate::docs::{muster, read, spans, wrong};
use crate::health::free_port;
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

/// What a Prometheus has nothing of that scrapes the Muster of the test below: each with the reason.
const EMPTY: [(&str, &str); 1] = [(
    "muster_credential_expiry_timestamp_seconds",
    "Microsoft alone knows when the secret of the emulator's app ends, and nobody has signed in",
)];

/// The metrics of an expression, each with the matchers that it is asked with.
fn selectors(expression: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = expression[from..].find("muster_").map(|at| from + at) {
        let name = words(&expression[at..]).next().expect("a name");
        let behind = &expression[at + name.len()..];
        let matchers = match behind.starts_with('{') {
            true => &behind[..=behind.find('}').expect("an end")],
            false => "",
        };
        found.push(format!("{name}{matchers}"));
        from = at + name.len();
    }
    found
}

/// How many series a query gives, of a Prometheus at this port.
async fn series(port: u16, query: &str) -> usize {
    let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
    let (status, text) =
        ask("GET", &format!("http://127.0.0.1:{port}/api/v1/query?query={query}"), &[], "").await;
    assert_eq!(status, 200, "{query}: {text}");
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    answer["data"]["result"].as_array().expect("a list").len()
}

/// Records flow, a sink and a receiver of notices are in trouble, and something is snoozed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prometheus_that_scrapes_muster_has_an_answer_to_every_query() {
    if !Command::new("prometheus").arg("--version").output().await.is_ok_and(|said| said.status.success()) {
        let missing = "prometheus is not installed; .ci/install-peers installs it";
        assert!(environment("MUSTER_REQUIRE_PEERS").is_none_or(|value| value != "1"), "{missing}");
        println!("skipped: {missing}");
        return;
    }
    let [listen, pages, prometheus] = [free_port(), free_port(), free_port()];
    let extra = format!(
        r#"[server]
listen = "127.0.0.1:{listen}"

[store]
journal_max_size = "1GB"

[onboarding]
listen = "127.0.0.1:{pages}"
public_url = "https://localhost:{pages}"
provider_name = "Northwind Security"
contact = "soc@northwind.example"
certificate_file = "pages.pem"
key_file = "pages.key"

[sinks.gone]
type = "splunk_hec"
url = "http://127.0.0.1:9"
token = {{ file = "splunk.token" }}

[[routes]]
tenants = ["*"]
sinks = ["gone"]

[notices.ops]
type = "webhook"
url = "http://127.0.0.1:9/"
allow_private = true
alerts = {{}}
"#
    );
    let configuration = Config { alerts: Some(3_000), rate: Some(10.0), ..config() };
    let setup = Setup::start(configuration, &extra).await;
    crate::listener::write_certificate(setup.path(), "pages", "localhost");
    let snoozed = setup
        .muster(&["notice", "snooze", "sink_down/*", "--until", "2d", "--reason", "a new one comes"])
        .await;
    assert!(snoozed.status.success(), "{snoozed:?}");
    let _running = setup.run();

    let folder = setup.path();
    std::fs::write(folder.join("muster.rules.yml"), read("deploy/prometheus/muster.rules.yml"))
        .expect("written");
    let scrape = read("deploy/prometheus/scrape.yml")
        .replace("127.0.0.1:9810", &format!("127.0.0.1:{listen}"))
        .replace("scrape_interval: 30s", "scrape_interval: 1s");
    let scrape = format!("global: {{ evaluation_interval: 1s }}\n{scrape}");
    std::fs::write(folder.join("prometheus.yml"), scrape).expect("written");
    let log = std::fs::File::create(folder.join("prometheus.log")).expect("a log");
    let _prometheus = Command::new("prometheus")
        .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("prometheus").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{prometheus}"))
        .stdout(log.try_clone().expect("the log"))
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    eventually("Prometheus answers", async || {
        let address = ("127.0.0.1", prometheus);
        let ready = format!("http://127.0.0.1:{prometheus}/-/ready");
        // It listens before it is ready.
        tokio::net::TcpStream::connect(address).await.is_ok() && ask("GET", &ready, &[], "").await.0 == 200
    })
    .await;
    eventually("it has scraped Muster", async || series(prometheus, "up == 1").await == 1).await;

    let empty = |asked: &str| EMPTY.iter().any(|(name, _)| asked.contains(name));
    for (place, expression) in expressions() {
        let asked = expression.replace("$instance", ".*").replace("$__rate_interval", "10s");
        let mut queries = selectors(&asked);
        for selector in queries.clone() {
            // A label that no series has groups nothing.
            for list in asked.split("by (").skip(1) {
                let list = list.split(')').next().unwrap_or_default();
                for label in words(list).filter(|label| *label != "instance") {
                    let matched = selector.replace('}', &format!(",{label}!=\"\"}}"));
                    let with = match selector.contains('{') {
                        true => matched,
                        false => format!("{selector}{{{label}!=\"\"}}"),
                    };
                    queries.push(with);
                }
            }
        }
        // What a panel shows is there; a rule gives something only while its alert fires.
        let is_rule = place.starts_with("Muster");
        if !is_rule && place != "a variable" {
            queries.push(asked.clone());
        } else if is_rule {
            series(prometheus, &asked).await;
        }
        assert!(!queries.is_empty() || asked.contains("up{"), "{place}: {asked}");
        for query in queries.into_iter().filter(|query| !empty(query)) {
            eventually(&format!("{place}: {query}"), async || series(prometheus, &query).await > 0).await;
        }
    }
    for (name, why) in EMPTY {
        assert_eq!(series(prometheus, name).await, 0, "{name} is there, and not missing: {why}");
    }
    // The rules that are loaded are read without a mistake, and the sink in trouble is on its way to be told.
    let (_, rules) = ask("GET", &format!("http://127.0.0.1:{prometheus}/api/v1/rules"), &[], "").await;
    let rules: Value = serde_json::from_str(&rules).expect("JSON");
    let rules = rules["data"]["groups"][0]["rules"].as_array().expect("rules").clone();
    for rule in &rules {
        assert_eq!(rule["lastError"].as_str().unwrap_or_default(), "", "{rule}");
    }
    let alerting: Vec<&str> = rules
        .iter()
        .filter(|rule| rule["state"] != "inactive")
        .filter_map(|rule| rule["name"].as_str())
        .collect();
    for expected in ["MusterTrouble", "MusterNoticesFail"] {
        assert!(alerting.contains(&expected), "{expected}: {alerting:?}");
    }
}
