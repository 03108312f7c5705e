//! Routes, as those who write them meet them: what goes where, by what tenants are and by what records say.

use muster_emulator::Config;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Bench, Setup, config, eventually, signal};

/// The records in a file that a sink wrote, as it has them.
pub(crate) fn records(setup: &Setup, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(setup.path().join(file)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
}

fn words(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

async fn good(setup: &Setup, arguments: &[&str]) -> String {
    let output = setup.muster(arguments).await;
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    words(&output)
}

const ROUTES: &str = r#"
[sinks.gold]
type = "file"
path = "gold.ndjson"
format = "raw"

[sinks.identity]
type = "file"
path = "identity.ndjson"
format = "raw"

[[routes]]
name = "gold"
tags = ["gold"]
sinks = ["gold"]

[[routes]]
name = "some"
sources = ["graph_alerts"]
statuses = ["NEW", "in progress"]
services = ["microsoftDefenderForEndpoint"]
categories = ["Malware", "execution", "LateralMovement", "none"]
sinks = ["identity"]
"#;

/// Tenants are grouped by tags, and records taken by what they say: every record that fits is there, and no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_go_by_tags_and_by_what_they_say() {
    let setup = Setup::start(Config { alerts: Some(600), ..config() }, ROUTES).await;
    let tenants = setup.emulator.tenants();
    let (gold, other) = (tenants[0].id.to_string(), tenants[1].id.to_string());
    assert!(words(&setup.muster(&["validate"]).await).contains("no tenant has the tag `gold`"));
    good(&setup, &["tenant", "tag", "add", &gold, "gold", "region:emea"]).await;
    good(&setup, &["tenant", "tag", "add", &other, "silver"]).await;
    let shown = good(&setup, &["tenant", "show", &gold]).await;
    assert!(shown.contains("gold, region:emea"), "{shown}");
    assert!(good(&setup, &["tenant", "list"]).await.contains("silver"));
    let wrong = setup.muster(&["tenant", "tag", "add", &gold, "Not a tag"]).await;
    assert!(!wrong.status.success() && words(&wrong).contains("is not a tag"), "{wrong:?}");
    let validated = words(&setup.muster(&["validate"]).await);
    assert!(!validated.contains("`gold`"), "{validated}");

    let bench = Bench::new(&setup).await;
    bench.rounds(4).await;
    let all = records(&setup, "archive.ndjson");
    let text = |record: &Value, field: &str| record[field].as_str().unwrap_or_default().to_lowercase();
    let mut expected: [Vec<&Value>; 2] = [Vec::new(), Vec::new()];
    for record in &all {
        if record["tenantId"] == gold.as_str() {
            expected[0].push(record);
        }
        let is_alert = record.get("alertWebUrl").is_some();
        if is_alert
            && ["new", "inprogress"].contains(&text(record, "status").as_str())
            && text(record, "serviceSource") == "microsoftdefenderforendpoint"
            && ["malware", "execution", "lateralmovement", ""].contains(&text(record, "category").as_str())
        {
            expected[1].push(record);
        }
    }
    for (expected, file) in expected.iter().zip(["gold.ndjson", "identity.ndjson"]) {
        assert!(!expected.is_empty() && expected.len() < all.len() / 2, "{file}: {}", expected.len());
        let sorted = |records: Vec<&Value>| {
            let mut texts: Vec<String> = records.into_iter().map(Value::to_string).collect();
            texts.sort();
            texts
        };
        let found = records(&setup, file);
        assert_eq!(sorted(found.iter().collect()), sorted(expected.clone()), "{file}");
    }
    let id = records(&setup, "gold.ndjson")[0]["id"].as_str().expect("an id").to_owned();
    let journey = good(&setup, &["trace", &id]).await;
    assert!(journey.contains("gold"), "{journey}");

    // What is changed counts for what comes from then on, in the process that runs.
    good(&setup, &["tenant", "tag", "remove", &gold, "gold"]).await;
    good(&setup, &["tenant", "tag", "add", &other, "gold"]).await;
    let before = records(&setup, "gold.ndjson").len();
    setup.emulator.add_alerts(&gold, 3, Some("of the one before")).expect("added");
    let added = setup.emulator.add_alerts(&other, 2, Some("of the new one")).expect("added");
    bench.rounds(3).await;
    let found = records(&setup, "gold.ndjson");
    let late: Vec<&str> = found[before..].iter().filter_map(|record| record["id"].as_str()).collect();
    assert!(added.iter().all(|id| late.contains(&id.as_str())), "{late:?}");
    assert!(found[before..].iter().all(|record| record["tenantId"] == other.as_str()));
    setup.assert_all_arrived_once();

    // A tenant that was left out has its alerts brought by where the routes lead now.
    let replay = |more: &'static [&'static str]| {
        let mut arguments = vec!["--output", "json", "replay", "--tenant", "all"];
        arguments.extend(if more.is_empty() { &["--yes"][..] } else { more });
        arguments
    };
    let brought = setup.muster(&replay(&["--dry-run"])).await;
    let brought: Value = serde_json::from_slice(&brought.stdout).expect("JSON");
    let of_other = records(&setup, "archive.ndjson")
        .iter()
        .filter(|record| record["tenantId"] == other.as_str())
        .count();
    let had = found.iter().filter(|record| record["tenantId"] == other.as_str()).count();
    let owed: u64 = brought["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .filter_map(|row| row["sinks"]["gold"]["owed"].as_u64())
        .sum();
    assert_eq!(owed as usize, of_other - had, "{brought}");
}

/// A record that does not say what a route asks for is told of; one that says something else was meant to be left out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_told_and_a_filter_is_not() {
    let setup = Setup::start(Config { alerts: Some(300), ..config() }, "").await;
    let text = std::fs::read_to_string(setup.settings_path()).expect("settings");
    let (before, _) = text.split_once("[[routes]]").expect("a route");
    let filter = |words: &str| {
        format!(
            "{before}[[routes]]\nsources = [\"graph_alerts\"]\ncategories = [{words}]\nsinks = [\"archive\"]\n\
             [[routes]]\nsources = [\"graph_incidents\"]\nstatuses = [{words}]\nsinks = [\"archive\"]\n"
        )
    };
    std::fs::write(setup.settings_path(), filter("\"no such word\"")).expect("written");
    let bench = Bench::new(&setup).await;
    bench.rounds(3).await;
    let unrouted = bench.store.unrouted().await.expect("read");
    assert!(!unrouted.is_empty() && records(&setup, "archive.ndjson").is_empty());
    // Every record of the emulator says its status and its category.
    assert!(unrouted.iter().all(|found| found.cause.as_str() == "filtered"), "{unrouted:?}");
    let status = setup.muster(&["--output", "json", "status"]).await;
    let status: Value = serde_json::from_slice(&status.stdout).expect("JSON");
    assert_eq!(status["totals"]["unrouted"]["no_route"], 0, "{status}");
    assert!(status["totals"]["unrouted"]["filtered"].as_u64().is_some_and(|count| count >= 300), "{status}");

    let empty = filter("");
    std::fs::write(setup.settings_path(), empty).expect("written");
    let verdict = setup.muster(&["validate"]).await;
    assert!(
        !verdict.status.success() && words(&verdict).contains("it is empty, so no record fits"),
        "{verdict:?}"
    );
}

/// Every value of fields of these names in a record, wherever they stand.
fn values<'a>(record: &'a Value, names: &[&str], found: &mut Vec<&'a str>) {
    match record {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if names.contains(&name.as_str()) => found.push(text),
                    _ => values(value, names, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| values(item, names, found)),
        _ => {}
    }
}

/// What a contract keeps from a sink is in no format there, and neither is anything else missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_that_a_route_keeps_back_reach_its_sinks_in_no_format() {
    let formats = ["raw", "splunk", "cef", "leef", "ecs", "ocsf"];
    let mut extra = String::new();
    for format in formats {
        extra.push_str(&format!(
            "[sinks.kept_{format}]\ntype = \"file\"\npath = \"kept_{format}.ndjson\"\nformat = \"{format}\"\n"
        ));
    }
    let sinks = formats.map(|format| format!("kept_{format}"));
    extra.push_str(&format!(
        "[[routes]]\nname = \"kept\"\nmin_severity = \"medium\"\ndrop = [\"**.sha256\"]\nmask = [\"**.sha1\", \"evidence.fileDetails.filePath\"]\nsinks = {sinks:?}\n\
         [[routes]]\nname = \"low\"\nsinks = {sinks:?}\nmask = [\"**.sha1\", \"**.sha256\"]\n"
    ));
    let setup = Setup::start(Config { alerts: Some(300), ..config() }, &extra).await;
    let bench = Bench::new(&setup).await;
    bench.rounds(3).await;
    let all = records(&setup, "archive.ndjson");
    let mut hashes = Vec::new();
    all.iter().for_each(|record| values(record, &["sha1", "sha256"], &mut hashes));
    hashes.retain(|hash| hash.len() >= 40);
    hashes.sort_unstable();
    hashes.dedup();
    // Some stand in other fields as well, such as the value of an indicator.
    let raw = std::fs::read_to_string(setup.path().join("kept_raw.ndjson")).expect("written");
    hashes.retain(|hash| !raw.contains(hash));
    assert!(hashes.len() > 50, "{}", hashes.len());
    for format in formats {
        let text =
            std::fs::read_to_string(setup.path().join(format!("kept_{format}.ndjson"))).expect("written");
        let seen = hashes.iter().filter(|hash| text.contains(**hash)).count();
        assert_eq!(seen, 0, "{format}");
        assert!(text.lines().count() >= all.len(), "{format}");
    }
    // Nothing but those fields is other than Microsoft wrote it.
    let by_id = |records: Vec<Value>| {
        let key = |record: &Value| format!("{} {}", record["id"], record["lastUpdateDateTime"]);
        records.into_iter().map(|record| (key(&record), record)).collect::<std::collections::BTreeMap<_, _>>()
    };
    let (whole, kept) = (by_id(all), by_id(records(&setup, "kept_raw.ndjson")));
    assert_eq!(whole.keys().collect::<Vec<_>>(), kept.keys().collect::<Vec<_>>());
    let mut masked = 0;
    for (key, whole) in &whole {
        masked += usize::from(kept[key].to_string().contains("[masked]"));
        let is_low = ["low", "informational"].contains(&whole["severity"].as_str().unwrap_or_default());
        let mut expected = whole.clone();
        keep_back(&mut expected, is_low);
        if !is_low {
            for evidence in expected.get_mut("evidence").and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(path) = evidence.get_mut("fileDetails").and_then(|file| file.get_mut("filePath"))
                    && path.is_string()
                {
                    *path = "[masked]".into();
                }
            }
        }
        assert_eq!(kept[key], expected, "{key}");
    }
    assert!(masked > 50, "{masked}");

    // The same for whoever asks first.
    std::fs::write(setup.path().join("one.json"), whole.values().next().expect("one").to_string())
        .expect("written");
    let told = good(&setup, &["route", "explain", "one.json"]).await;
    assert!(told.contains("kept_raw (fields dropped: ") || told.contains("it goes to archive"), "{told}");
}

/// As the route `low` does, or as both do.
fn keep_back(value: &mut Value, is_low: bool) {
    match value {
        Value::Object(fields) => {
            if !is_low {
                fields.remove("sha256");
            }
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "sha1" || name == "sha256" => {
                        *text = "[masked]".to_owned()
                    }
                    _ => keep_back(value, is_low),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| keep_back(item, is_low)),
        _ => {}
    }
}

/// Which routes take a record and why not the others, of a file and of the journal; and what other routes would change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_is_explained_and_a_change_is_shown_before_it_is_applied() {
    let setup = Setup::start(Config { alerts: Some(200), ..config() }, ROUTES).await;
    let bench = Bench::new(&setup).await;
    bench.rounds(3).await;
    let tenants = setup.emulator.tenants();
    let record = records(&setup, "archive.ndjson")
        .into_iter()
        .find(|record| record.get("alertWebUrl").is_some() && record["tenantId"] == tenants[0].id.as_str())
        .expect("an alert");
    std::fs::write(setup.path().join("alert.json"), record.to_string()).expect("written");
    let id = record["id"].as_str().expect("an id");
    let of_file = setup.muster(&["--output", "json", "route", "explain", "alert.json"]).await;
    let of_journal = setup.muster(&["--output", "json", "route", "explain", "--id", id]).await;
    let read = |output: &std::process::Output| -> Value {
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    };
    let (of_file, of_journal) = (read(&of_file), read(&of_journal));
    assert_eq!(of_file[0], of_journal[0]);
    let routes = of_file[0]["routes"].as_array().expect("routes");
    assert_eq!(
        (routes[0]["takes"].clone(), routes[1]["takes"].clone()),
        (true.into(), false.into()),
        "{of_file}"
    );
    assert_eq!(
        (&routes[1]["route"], &routes[1]["why_not"][0]),
        (
            &"gold".into(),
            &format!("asks for the tag gold; {} has none", of_file[0]["tenant"].as_str().expect("a slug"))
                .into()
        )
    );
    let sinks: Vec<&str> =
        of_file[0]["sinks"].as_array().expect("sinks").iter().filter_map(|to| to["sink"].as_str()).collect();
    assert!(sinks.contains(&"archive") && sinks.contains(&"splunk") && !sinks.contains(&"gold"), "{sinks:?}");
    let text = good(&setup, &["route", "explain", "--id", id]).await;
    assert!(text.contains("asks for the tag gold") && text.contains("it goes to archive"), "{text}");

    for (arguments, code, said) in [
        (&["route", "explain", "--id", "no-such"][..], 5, "the journal holds no record"),
        (&["route", "explain", "no-such.json"], 5, "no-such.json"),
        (&["route", "explain", "--id", id, "--tenant", "nobody"], 5, "nobody"),
        (&["route", "explain", "alert.json", "--source", "graph_incidents"], 2, "gives none"),
        (&["route", "diff"], 5, "--against"),
    ] {
        let output = setup.muster(arguments).await;
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {output:?}");
        assert!(words(&output).contains(said), "{arguments:?} {output:?}");
    }
    std::fs::write(
        setup.path().join("stranger.json"),
        r#"{"id":"1","title":"x","createdDateTime":"2026-01-01T00:00:00Z"}"#,
    )
    .expect("written");
    let stranger = setup.muster(&["route", "explain", "stranger.json"]).await;
    assert!(words(&stranger).contains("say it with --tenant"), "{stranger:?}");

    // Without the archive, and with the tag asked for no more.
    std::fs::copy(setup.settings_path(), setup.path().join("old.toml")).expect("copied");
    let text = std::fs::read_to_string(setup.settings_path()).expect("settings");
    let new = text
        .replace(", \"archive\"", "")
        .replace("\"archive\", ", "")
        .replace("tags = [\"gold\"]", "min_severity = \"high\"");
    assert_ne!(new, text);
    std::fs::write(setup.settings_path(), &new).expect("written");
    let diff = read(&setup.muster(&["--output", "json", "route", "diff", "--against", "old.toml"]).await);
    let archived = records(&setup, "archive.ndjson");
    assert_eq!(diff["less"]["archive"], archived.len(), "{diff}");
    let high = archived
        .iter()
        .filter(|record| {
            !["low", "medium", "informational"].contains(&record["severity"].as_str().unwrap_or_default())
        })
        .count();
    assert!(high > 0);
    assert_eq!(diff["more"]["gold"], high, "{diff}");
    assert_eq!(diff["records"], archived.len());
    let words = good(&setup, &["route", "diff", "--against", "old.toml"]).await;
    assert!(words.contains("`archive` will get graph_alerts of") && words.contains("no more"), "{words}");
    assert!(
        words.contains("`gold` will get graph_alerts of") && words.contains("of severity high or worse"),
        "{words}"
    );

    // Of one whose batch is damaged that is said, and of others nothing of it is opened.
    let database = rusqlite::Connection::open(setup.path().join("muster.db")).expect("opened");
    let sql = "UPDATE journal_batch SET sealed = zeroblob(length(sealed)) WHERE batch_no =
        (SELECT batch_no FROM record_version WHERE id = ? AND ordinal >= 0)";
    database.execute(sql, [id]).expect("damaged");
    let damaged = setup.muster(&["route", "explain", "--id", id]).await;
    assert!(self::words(&damaged).contains("cannot be read"), "{damaged:?}");
    let sql = "SELECT id FROM record_version WHERE ordinal >= 0 AND batch_no IN
        (SELECT batch_no FROM journal_batch WHERE sealed != zeroblob(length(sealed)))";
    let id: String = database.query_row(sql, (), |row| row.get(0)).expect("another");
    good(&setup, &["route", "explain", "--id", &id]).await;
}

/// At a reload, the log says what the new routes change; and what `run` uses, other routes are held against.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_tells_what_the_routes_change() {
    let setup = Setup::start(Config { alerts: Some(30), ..config() }, ROUTES).await;
    let mut run = setup.run();
    eventually("everything has arrived", async || setup.lost() == 0).await;
    assert!(good(&setup, &["route", "diff"]).await.contains("the routes change nothing"));
    let text = std::fs::read_to_string(setup.settings_path()).expect("settings");
    std::fs::write(setup.settings_path(), text.replace("tags = [\"gold\"]", "min_severity = \"high\""))
        .expect("written");
    let told = good(&setup, &["route", "diff"]).await;
    assert!(told.contains("`gold` will get graph_alerts of"), "{told}");
    signal(&run, Signal::HUP);
    let log = || std::fs::read_to_string(setup.path().join("muster.log")).unwrap_or_default();
    eventually("it runs with the new settings", async || log().contains("running with the new settings"))
        .await;
    let log = log();
    let (change, running) =
        (log.find("routes change: `gold` will get"), log.find("running with the new settings"));
    assert!(change.is_some() && change < running, "{log}");
    assert!(good(&setup, &["route", "diff"]).await.contains("the routes change nothing"));
    signal(&run, Signal::TERM);
    run.wait().await.expect("it ends");
}

/// Two sinks are held against each other: what each has, owes and was never to have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_sink_has_and_another_has_not_is_told() {
    let setup = Setup::start(Config { alerts: Some(200), ..config() }, ROUTES).await;
    let bench = Bench::new(&setup).await;
    bench.rounds(3).await;
    let diff = async |arguments: &[&str]| {
        let mut all = vec!["--output", "json", "sink", "diff"];
        all.extend(arguments);
        let output = setup.muster(&all).await;
        let verdict: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (output.status.code(), verdict)
    };
    let sum = |verdict: &Value, column: &str, word: &str| -> u64 {
        let rows = verdict["rows"].as_array().expect("rows").iter();
        rows.filter_map(|row| if word.is_empty() { row[column].as_u64() } else { row[column][word].as_u64() })
            .sum()
    };
    let archived = records(&setup, "archive.ndjson").len() as u64;
    let (code, same) = diff(&["archive", "splunk"]).await;
    assert_eq!(
        (code, same["same"].as_bool(), sum(&same, "both", "")),
        (Some(0), Some(true), archived),
        "{same}"
    );
    // A filter leaves some out.
    let (code, other) = diff(&["archive", "identity"]).await;
    let taken = records(&setup, "identity.ndjson").len() as u64;
    assert_eq!(
        (code, sum(&other, "both", ""), sum(&other, "only_one", "not routed")),
        (Some(6), taken, archived - taken)
    );
    assert_eq!(other["some"].as_array().map(Vec::len), Some(20));
    // One that is down is owed what the other has.
    setup.emulator.add_alerts(&setup.emulator.tenants()[0].id.to_string(), 7, None).expect("added");
    bench.pass(120);
    bench.collect().await;
    for deliverer in bench.deliverers.iter().filter(|deliverer| deliverer.name == "archive") {
        while deliverer.step().await.expect("the store answers") != muster::deliver::StepOutcome::Idle {}
    }
    let (code, behind) = diff(&["archive", "splunk"]).await;
    assert!(code == Some(6) && sum(&behind, "only_one", "owed") >= 7, "{behind}");
    let (_, turned) = diff(&["splunk", "archive"]).await;
    assert_eq!(sum(&turned, "only_other", "owed"), sum(&behind, "only_one", "owed"));
    for (arguments, code, said) in [
        (&["sink", "diff", "archive", "splnuk"][..], 5, "did you mean `splunk`"),
        (&["sink", "diff", "archive", "archive"], 2, "name two"),
    ] {
        let output = setup.muster(arguments).await;
        assert!(output.status.code() == Some(code) && words(&output).contains(said), "{output:?}");
    }
    let text = words(&setup.muster(&["sink", "diff", "archive", "splunk"]).await);
    assert!(text.contains("archive has it, splunk is owed it") && text.contains("they differ"), "{text}");
    // The table, what differs and the verdict stand apart.
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.iter().position(|line| line.contains("archive has it")).expect("a difference");
    let verdict = lines.iter().position(|line| line.starts_with("they differ")).expect("a verdict");
    assert_eq!((lines[first - 1], lines[verdict - 1]), ("", ""), "{text}");
    assert!(!lines[first - 2].is_empty() && !lines[verdict - 2].is_empty(), "{text}");
}
