//! `muster format`, `muster test` and `muster splunk-app`, as a person at a SOC types them: no settings, no store, no
//! network.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const FORMATS: [&str; 6] = ["raw", "splunk", "cef", "leef", "ecs", "ocsf"];

/// Two small alerts, and what no program takes for JSON.
const FIRST: &str = r#"{"id":"da1","title":"Mimikatz | on \\ srv=1","severity":"high","createdDateTime":"2026-01-01T00:00:00Z","category":"CredentialAccess","evidence":[]}"#;
const SECOND: &str = r#"{"id":"da2","title":"Phish","severity":"low","createdDateTime":"2026-01-02T00:00:00Z","category":"InitialAccess","evidence":[]}"#;
const BROKEN: &str = r#"{"id":"da9","title": oh no}"#;

/// A folder in which commands run.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn with(files: &[(&str, &str)]) -> Self {
        let desk = Self::new();
        for (name, text) in files {
            desk.write(name, text);
        }
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).expect("written");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("a file")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command.env_remove("COLUMNS").env_remove("NO_COLOR");
        command
    }

    fn muster(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("muster starts")
    }

    /// The records that are shown as JSON.
    fn shown(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.muster(&[&["--output", "json", "format"], arguments].concat());
        assert!(output.status.success(), "{arguments:?}: {}", error(&output));
        json(&output)
    }

    /// The ids of the records that are shown, and the whole output.
    fn ids(&self, arguments: &[&str]) -> (Vec<String>, Output) {
        let output = self.muster(&[&["--output", "json", "format", "--to", "raw"], arguments].concat());
        let ids = json(&output).into_iter().map(|record| record["id"].as_str().expect("an id").to_owned());
        (ids.collect(), output)
    }
}

fn json(output: &Output) -> Vec<Value> {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../muster-siem/tests/fixtures")
}

/// One record of each kind.
fn fixture_files() -> Vec<String> {
    let names = [
        "endpoint_alert.json",
        "incident_full.json",
        "endpoint_api_alert.json",
        "xdr_incident.json",
        "siem_detection.json",
        "hunting/DeviceProcessEvents.json",
    ];
    names.map(|name| fixtures().join(name).to_str().expect("UTF-8").to_owned()).to_vec()
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().expect("a list").iter().map(|text| text.as_str().expect("a text"))
}

#[test]
fn every_format_of_a_record_stands_side_by_side() {
    let desk = Desk::with(&[("alert.json", FIRST)]);
    let output = desk.muster(&["format", "--to", &FORMATS.join(","), "alert.json"]);
    assert!(output.status.success(), "{}", error(&output));
    let table = text(&output);
    let row = |start: &str| {
        let row = table.lines().find(|line| line.trim_start().starts_with(start));
        row.unwrap_or_else(|| panic!("{start}: {table}")).to_owned()
    };
    let heads: Vec<String> = row("VALUE").split_whitespace().skip(1).map(str::to_lowercase).collect();
    assert_eq!(heads, FORMATS);
    for name in ["title", "event.title", "head.name", "rule.name", "finding_info.title"] {
        assert!(row(r"Mimikatz | on \ srv=1").contains(name), "{name}: {table}");
    }
    assert!(row("raw: 1 event(s)").contains("ocsf: 1 event(s)"), "{table}");

    // As JSON: the events as they would be sent, and nothing twice.
    let shown = desk.shown(&["--to", "cef,raw,cef", "alert.json"]);
    let formats: Vec<&str> = shown[0]["formats"]
        .as_array()
        .expect("formats")
        .iter()
        .filter_map(|of| of["format"].as_str())
        .collect();
    assert_eq!(formats, ["cef", "raw"]);
    assert_eq!(shown[0]["formats"][1]["events"][0], FIRST);
    let events = desk.muster(&["format", "--to", "cef,raw", "--events", "alert.json"]);
    assert_eq!(
        text(&events).lines().collect::<Vec<_>>(),
        [shown[0]["formats"][0]["events"][0].as_str().expect("an event"), FIRST]
    );
}

/// The leaves of an event of JSON: paths without list positions, and values as text.
fn leaves(value: &Value, path: &str, found: &mut BTreeSet<(String, String)>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                leaves(value, &if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| leaves(value, path, found)),
        Value::String(text) => drop(found.insert((path.to_owned(), text.clone()))),
        other => drop(found.insert((path.to_owned(), other.to_string()))),
    }
}

/// What `--explain` says stands in the event, and what stands in the event is explained; where it says that a value is
/// copied from one field of the record, that field has it.
#[test]
fn what_is_explained_is_true() {
    let files = fixture_files();
    let mut arguments = vec!["--explain", "--to", "raw,splunk,cef,leef,ecs,ocsf"];
    arguments.extend(files.iter().map(String::as_str));
    let (mut fields, mut copied) = (0, 0);
    let desk = Desk::new();
    let records = desk.shown(&arguments);
    assert_eq!(records.len(), files.len());
    for (record, file) in records.iter().zip(&files) {
        let source: Value =
            serde_json::from_str(&std::fs::read_to_string(file).expect("a file")).expect("JSON");
        for format in record["formats"].as_array().expect("formats") {
            let name = format["format"].as_str().expect("a name");
            let explained = format["fields"].as_array().expect("events");
            assert_eq!(explained.len(), texts(&format["events"]).count());
            for (event, explained) in texts(&format["events"]).zip(explained) {
                let explained = explained.as_array().expect("fields");
                let pair = |field: &Value| {
                    let text = |key: &str| field[key].as_str().expect("a text").to_owned();
                    (text("name"), text("value"))
                };
                let told: BTreeSet<(String, String)> = explained.iter().map(pair).collect();
                if event.starts_with('{') {
                    let mut there = BTreeSet::new();
                    leaves(&serde_json::from_str(event).expect("JSON"), "", &mut there);
                    let is_text = |(_, value): &&(String, String)| value.parse::<f64>().is_err();
                    let there: BTreeSet<_> = there.iter().filter(is_text).collect();
                    let told: BTreeSet<_> = told.iter().filter(is_text).collect();
                    let missing: Vec<_> = there
                        .difference(&told)
                        .filter(|(_, value)| !value.trim().is_empty() && value != "null")
                        .collect();
                    assert!(missing.is_empty(), "{name} of {file}: not explained: {missing:?}");
                    let wrong: Vec<_> = told.difference(&there).collect();
                    assert!(wrong.is_empty(), "{name} of {file}: not in the event: {wrong:?}");
                } else {
                    for (key, value) in &told {
                        let escaped = match name {
                            "cef" if key.starts_with("head.") => {
                                value.replace('\\', r"\\").replace('|', r"\|")
                            }
                            "cef" => value.replace('\\', r"\\").replace('=', r"\=").replace('\n', r"\n"),
                            _ => value.clone(),
                        };
                        let spelled = if key.starts_with("head.") {
                            format!("|{escaped}|")
                        } else {
                            format!("{key}={escaped}")
                        };
                        assert!(event.contains(&spelled), "{name} of {file}: {spelled} is not in {event}");
                    }
                }
                for field in explained {
                    let (key, value) = pair(field);
                    let from = field["from"].as_str().unwrap_or_default();
                    let carries = name == "raw" || key.starts_with("event.") && name == "splunk";
                    assert!(
                        !from.is_empty() || carries,
                        "{name} of {file}: where {key} comes from is not told"
                    );
                    fields += 1;
                    // A plain copy of one field at the top of the record.
                    let field_of_record = from.strip_prefix('`').and_then(|from| from.strip_suffix('`'));
                    if field.get("rule").is_none()
                        && let Some(found) = field_of_record.and_then(|path| source.get(path))
                        && explained.iter().filter(|other| other["name"] == field["name"]).count() == 1
                        && (found.is_string() || found.is_number())
                        && texts(&format["events"]).count() == 1
                    {
                        let found = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
                        assert_eq!(value, found, "{name} of {file}: {key} from {from}");
                        copied += 1;
                    }
                }
            }
        }
    }
    assert!(fields > 1000 && copied > 10, "{fields} fields, {copied} of them plain copies");

    let output = desk.muster(&["format", "--explain", "--to", "cef", &files[0]]);
    let table = text(&output);
    let row = table.lines().find(|line| line.trim_start().starts_with("deviceFacility")).expect("a row");
    assert!(row.contains("microsoftDefenderForEndpoint") && row.contains("`serviceSource`"), "{row}");
}

#[test]
fn records_are_read_from_files_of_many_shapes() {
    let desk = Desk::new();
    let pretty: Value = serde_json::from_str(FIRST).expect("JSON");
    let pretty = serde_json::to_string_pretty(&pretty).expect("JSON");
    for (shape, content) in [
        ("a record a line", format!("{FIRST}\n{SECOND}\n")),
        ("with CRLF and empty lines", format!("{FIRST}\r\n\r\n{SECOND}\r\n")),
        ("a list", format!("[{FIRST},\n {SECOND}]")),
        (
            "a page of Graph",
            format!(r#"{{"@odata.context":"x","value":[{FIRST},{SECOND}],"@odata.nextLink":"y"}}"#),
        ),
        ("a page a line", format!("{{\"value\":[{FIRST}]}}\n{{\"value\":[{SECOND}]}}\n")),
        ("as jq prints it", format!("{pretty}\n{}", pretty.replace("da1", "da2"))),
        ("with a byte order mark", format!("\u{feff}{FIRST}\n{SECOND}")),
    ] {
        desk.write("records", content);
        assert_eq!(desk.ids(&["records"]).0, ["da1", "da2"], "{shape}");
    }
    let utf16 = format!("\u{feff}[{FIRST},{SECOND}]");
    desk.write("records", utf16.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>());
    assert_eq!(desk.ids(&["records"]).0, ["da1", "da2"], "as PowerShell writes it");

    desk.write("one.json", &pretty);
    desk.write("two.json", SECOND);
    assert_eq!(desk.ids(&["two.json", "one.json"]).0, ["da2", "da1"], "in the order of the command line");

    let mut command = desk.command(&["format", "--to", "raw", "--events", "-"]);
    let mut muster = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("muster starts");
    muster.stdin.take().expect("piped").write_all(FIRST.as_bytes()).expect("written");
    assert_eq!(text(&muster.wait_with_output().expect("it ends")).trim_end(), FIRST, "from standard input");

    // Fields that tell nothing need a word.
    desk.write("row.json", r#"{"Count":3,"DeviceName":"srv"}"#);
    let (ids, output) = desk.ids(&["row.json"]);
    assert_eq!((ids.len(), output.status.code()), (0, Some(1)));
    assert!(error(&output).contains("say it with --kind: graph_alert, "), "{}", error(&output));
    assert_eq!(desk.ids(&["--kind", "hunting_row", "row.json"]).0.len(), 1);
}

#[test]
fn a_bad_record_costs_no_good_one() {
    let desk = Desk::new();
    for (shape, content, ids, place) in [
        (
            "a line",
            format!("{FIRST}\n{BROKEN}\n{SECOND}\n"),
            &["da1", "da2"][..],
            "records:2: is broken: expected value, at line 2 column 22",
        ),
        (
            "no id",
            format!("{FIRST}\n{{\"title\":\"x\",\"alertWebUrl\":\"\"}}\n{SECOND}"),
            &["da1", "da2"],
            "records:2: is no graph_alert",
        ),
        (
            "no object",
            format!("{FIRST}\n2026-01-01 started\n{SECOND}"),
            &["da1", "da2"],
            "records:2: is not JSON",
        ),
        ("a cut line", format!("{}\n{SECOND}", &FIRST[..60]), &["da2"], "records:1: is broken: EOF"),
        (
            "a cut file",
            format!("{FIRST}\n{SECOND}\n{}", &FIRST[..60]),
            &["da1", "da2"],
            "records:3: is broken: EOF",
        ),
        (
            "an item",
            format!("[\n  {FIRST},\n  {BROKEN},\n  {SECOND}\n]\n"),
            &["da1", "da2"],
            "records:3: is broken: expected value, at line 3 column 24",
        ),
        (
            "a stranger in a list",
            format!("[{FIRST},\n7,\n{SECOND}]"),
            &["da1", "da2"],
            "records:2: is not a record",
        ),
        (
            "a cut page",
            format!("{{\"value\":[{FIRST},{SECOND},{}", &FIRST[..60]),
            &["da1", "da2"],
            "nothing is read from there on",
        ),
        (
            "nested too deeply",
            format!(
                "{FIRST}\n{{\"id\":\"deep\",\"title\":\"x\",\"createdDateTime\":\"\",\"evidence\":{}{}}}\n{SECOND}",
                "[".repeat(5000),
                "]".repeat(5000)
            ),
            &["da1", "da2"],
            "records:2: is no graph_alert: it nests 5001 levels deep",
        ),
    ] {
        desk.write("records", &content);
        let output = desk.muster(&["--output", "json", "format", "--to", "ecs", "records"]);
        let shown: Vec<String> =
            json(&output).iter().map(|record| record["id"].as_str().expect("an id").to_owned()).collect();
        assert_eq!(shown, ids, "{shape}: {}", error(&output));
        assert_eq!(output.status.code(), Some(6), "{shape}: {}", error(&output));
        assert!(error(&output).contains(place), "{shape}: {}", error(&output));
        for how in [&["--events"][..], &["--explain"], &[]] {
            let output = desk.muster(&[&["format", "--to", "ecs", "records"], how].concat());
            assert_eq!(output.status.code(), Some(6), "{shape} {how:?}: {}", error(&output));
            assert!(ids.iter().all(|id| text(&output).contains(id)), "{shape} {how:?}: {}", text(&output));
        }
    }
    let mut latin = format!("{FIRST}\n{SECOND}\n").into_bytes();
    let at = latin.iter().position(|byte| *byte == b'M').expect("a letter");
    latin[at] = 0xe4;
    desk.write("latin", latin);
    let (ids, output) = desk.ids(&["latin"]);
    assert_eq!(ids, ["da2"]);
    assert!(
        error(&output).contains("latin:1: is broken: it has bytes that are not UTF-8"),
        "{}",
        error(&output)
    );
}

#[test]
fn files_that_hold_no_records_are_told_by_name() {
    let desk = Desk::with(&[("alert.json", FIRST), ("empty", ""), ("words", "no JSON\nat all\n")]);
    desk.write("binary", [0u8, 159, 146, 150, 0]);
    desk.write("packed.gz", [0x1f, 0x8b, 8, 0]);
    std::fs::create_dir(desk.path("folder")).expect("made");
    for (name, code, why) in [
        ("empty", 1, "holds no record"),
        ("words", 1, "words:1: is not JSON"),
        ("binary", 1, "is not text"),
        ("packed.gz", 1, "unpack it first"),
        ("folder", 1, "is a folder: name its files"),
        ("missing", 5, "No such file"),
    ] {
        let (ids, output) = desk.ids(&[name]);
        assert_eq!((ids.len(), output.status.code()), (0, Some(code)), "{name}: {}", error(&output));
        let told = error(&output);
        assert!(told.contains(name) && told.contains(why), "{name}: {told}");
        assert!(!told.contains("panicked"), "{name}: {told}");

        let (ids, output) = desk.ids(&[name, "alert.json"]);
        assert_eq!((ids.len(), output.status.code()), (1, Some(6)), "{name}: {}", error(&output));
    }
    let many = desk.muster(&["format", "--to", "cef", "words", "missing"]);
    assert_eq!(many.status.code(), Some(1));
    desk.write("noise", "{oh\n".repeat(5000));
    let noise = desk.muster(&["format", "--to", "cef", "noise", "alert.json"]);
    assert!(error(&noise).lines().count() < 30, "{}", error(&noise));
    assert!(error(&noise).contains("4980 of the troubles are not told"), "{}", error(&noise));
    assert_eq!(desk.muster(&["format", "--to", "cfe", "alert.json"]).status.code(), Some(2));
    assert_eq!(desk.muster(&["format", "alert.json"]).status.code(), Some(2));
}

#[test]
fn tables_are_fit_for_terminals() {
    let hostile = FIRST.replace("da1", r"a\u001b[2Jb\u202ec");
    let desk = Desk::with(&[("alert.json", &hostile)]);
    for how in [&[][..], &["--explain"]] {
        let arguments = [&["format", "--to", "cef,ecs,raw", "alert.json"], how].concat();
        let output = desk.muster(&arguments);
        let table = text(&output);
        assert!(table.contains("\u{fffd}[2Jb\u{fffd}c"), "{table}");
        assert!(!table.contains(['\u{1b}', '\u{202e}']), "{how:?}: {table:?}");

        let narrow = text(&desk.command(&arguments).env("COLUMNS", "60").output().expect("muster starts"));
        let longest =
            narrow.lines().filter(|line| line.starts_with(' ')).map(|line| line.chars().count()).max();
        assert!(longest <= Some(60), "{longest:?}: {narrow}");
    }
    let coloured = desk.muster(&["--color", "always", "format", "--to", "cef", "alert.json"]);
    assert!(text(&coloured).contains("\u{1b}["));
}

/// `muster format … | head -1` ends quietly, and long before the file does.
#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let desk = Desk::with(&[("many.ndjson", &format!("{FIRST}\n{SECOND}\n").repeat(2000))]);
    for how in
        [&["format"][..], &["format", "--events"], &["format", "--explain"], &["--output", "json", "format"]]
    {
        let mut command = desk.command(&[how, &["--to", "cef,ecs", "many.ndjson"]].concat());
        let mut muster =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("muster starts");
        let mut line = String::new();
        let mut reader = BufReader::new(muster.stdout.take().expect("piped"));
        reader.read_line(&mut line).expect("a line");
        assert!(!line.is_empty());
        drop(reader);
        let output = muster.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{how:?}: {:?}", output.status);
        assert_eq!(error(&output), "", "{how:?}");
    }
}

const SETTINGS: &str = r#"
[apps.main]
client_id = "11111111-2222-3333-4444-555555555555"
secret = { file = "not-needed" }

[sinks.soc]
type = "file"
path = "never-made"
format = "cef"
[sinks.soc.mapping]
rename = { cat = "reason" }
[sinks.soc.mapping.set]
"head.name" = "[{{ tenant.slug }}] {{ record.title }}"

[sinks.small]
type = "file"
path = "never-made-either"
format = "ecs"
event_size_max = "4 KiB"

[[routes]]
sinks = ["soc", "small"]
"#;

#[test]
fn a_sink_of_the_settings_shows_its_own_mapping_and_bounds() {
    let desk = Desk::with(&[("alert.json", FIRST), ("muster.toml", SETTINGS)]);
    let shown = desk.shown(&["--to", "cef", "--sink", "soc", "alert.json"]);
    let [plain, soc] = shown[0]["formats"].as_array().expect("formats").as_slice() else {
        panic!("{shown:?}")
    };
    assert_eq!(
        (&plain["sink"], soc["sink"].as_str(), soc["format"].as_str()),
        (&Value::Null, Some("soc"), Some("cef"))
    );
    let from = |of: &Value, name: &str| {
        let fields = of["fields"][0].as_array().expect("fields");
        let field = fields.iter().find(|field| field["name"] == name)?;
        Some((field["value"].as_str()?.to_owned(), field["from"].as_str()?.to_owned()))
    };
    let of_sink = "the sink's settings".to_owned();
    assert_eq!(
        from(soc, "head.name"),
        Some((r"[example] Mimikatz | on \ srv=1".to_owned(), of_sink.clone()))
    );
    assert_eq!(from(soc, "reason"), Some(("CredentialAccess".to_owned(), of_sink)));
    assert_eq!(from(soc, "cat"), None);
    assert_eq!(
        from(soc, "externalId"),
        from(plain, "externalId"),
        "what it leaves alone comes from where it came"
    );

    let files = fixture_files();
    let shown = desk.shown(&["--sink", "small", &files[0]]);
    let events: Vec<&str> = texts(&shown[0]["formats"][0]["events"]).collect();
    assert!(events.len() > 1 && events.iter().all(|event| event.len() <= 4096), "{events:?}");

    let table = text(&desk.muster(&["format", "--to", "cef", "--sink", "soc,small", "alert.json"]));
    assert!(table.contains("SOC (CEF)") && table.contains("SMALL (ECS)"), "{table}");
    let unknown = desk.muster(&["format", "--sink", "other", "alert.json"]);
    assert_eq!(unknown.status.code(), Some(5));
    assert!(
        error(&unknown).contains("the sinks are: small, soc")
            || error(&unknown).contains("the sinks are: soc, small")
    );
    for path in ["never-made", "never-made-either"] {
        assert!(!desk.path(path).exists(), "nothing is sent or made");
    }
}

#[test]
fn expected_events_are_written_and_hold_until_something_changes() {
    let desk = Desk::with(&[("alerts.ndjson", &format!("{FIRST}\n{SECOND}\n"))]);
    let none = desk.muster(&["test", "."]);
    assert_eq!(none.status.code(), Some(5));
    assert!(error(&none).contains("--write --to"), "{}", error(&none));

    let all = FORMATS.join(",");
    let written = desk.muster(&["test", ".", "--write", "--to", &all]);
    assert!(written.status.success(), "{}", error(&written));
    for format in FORMATS {
        assert_eq!(desk.read(&format!("alerts.{format}")).lines().count(), 2, "{format}");
        let events = desk.muster(&["format", "--to", format, "--events", "alerts.ndjson"]);
        assert_eq!(desk.read(&format!("alerts.{format}")), text(&events), "{format}");
    }
    let good = desk.muster(&["test", "."]);
    assert!(good.status.success(), "{}", text(&good));
    assert_eq!(text(&good).matches("as expected").count(), FORMATS.len());

    // Someone changes the expectation of the second alert.
    let cef = desk.read("alerts.cef");
    desk.write("alerts.cef", cef.replace("externalId=da2", "externalId=da7 cs9=more"));
    let bad = desk.muster(&["test", "."]);
    assert_eq!(bad.status.code(), Some(1));
    let told = text(&bad);
    for words in [
        "2 difference(s)",
        "event 2, of ./alerts.ndjson#2",
        "- externalId: da7",
        "+ externalId: da2",
        "- cs9: more",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(!told.contains("event 1"), "{told}");
    let result = json(&desk.muster(&["--output", "json", "test", "."]));
    let cef_result = result.iter().find(|file| file["expected"] == "./alerts.cef").expect("a result");
    assert_eq!(cef_result["differences"].as_array().map(Vec::len), Some(2));

    // The other way round: the records change, and what is written is taken over.
    desk.write("alerts.cef", cef);
    desk.write("alerts.ndjson", format!("{FIRST}\n{}\n", SECOND.replace("Phish", "Whale")));
    let changed = desk.muster(&["test", "."]);
    assert_eq!(changed.status.code(), Some(1));
    assert!(text(&changed).contains("- rule.name: Phish\n    + rule.name: Whale"), "{}", text(&changed));
    assert!(desk.muster(&["test", ".", "--write", "--to", &all]).status.success());
    assert!(desk.muster(&["test", "."]).status.success());
}

#[test]
fn a_test_that_cannot_be_made_is_no_test_that_passed() {
    let desk = Desk::with(&[("good.json", FIRST), ("bad.json", BROKEN)]);
    let written = desk.muster(&["test", ".", "--write", "--to", "ecs"]);
    assert_eq!(written.status.code(), Some(6), "{}", error(&written));
    assert!(error(&written).contains("./bad.json:1: is broken"), "{}", error(&written));
    assert!(desk.path("good.ecs").exists() && !desk.path("bad.ecs").exists());
    assert!(desk.muster(&["test", "."]).status.success());

    desk.write("bad.ecs", "{}");
    let result = desk.muster(&["test", "."]);
    assert_eq!(result.status.code(), Some(1));
    assert!(text(&result).contains("./bad.json:1: is broken"), "{}", text(&result));
    assert_eq!(text(&result).matches("as expected").count(), 1, "{}", text(&result));

    // Nobody would see that a renamed file is compared with nothing.
    std::fs::remove_file(desk.path("bad.json")).expect("removed");
    let orphan = desk.muster(&["test", "."]);
    assert_eq!(orphan.status.code(), Some(1));
    assert!(text(&orphan).contains("there are no records for it"), "{}", text(&orphan));

    std::fs::remove_file(desk.path("bad.ecs")).expect("removed");
    desk.write("good.ecs", "this is no event\n");
    let nonsense = desk.muster(&["test", "."]);
    assert_eq!(nonsense.status.code(), Some(1));
    assert!(text(&nonsense).contains("./good.ecs:1: is no ecs event"), "{}", text(&nonsense));

    // The same text, and for Elasticsearch another type.
    assert!(desk.muster(&["test", ".", "--write", "--to", "ecs"]).status.success());
    let ecs = desk.read("good.ecs");
    desk.write("good.ecs", ecs.replace("\"severity\":99", "\"severity\":\"99\""));
    assert_ne!(desk.read("good.ecs"), ecs);
    let typed = desk.muster(&["test", "."]);
    assert_eq!(typed.status.code(), Some(1));
    assert!(text(&typed).contains("- event.severity: \"99\"\n    + event.severity: 99"), "{}", text(&typed));

    desk.write("good.ndjson", FIRST);
    let twice = desk.muster(&["test", ".", "--write", "--to", "ecs"]);
    assert_eq!(twice.status.code(), Some(1));
    assert!(error(&twice).contains("would have the same expected events"), "{}", error(&twice));
    assert_eq!(desk.muster(&["test", "nowhere"]).status.code(), Some(5));
}

/// The files below a folder, with what is in them.
fn tree(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let content = std::fs::read_to_string(&path).expect("a text");
                files.push((path.strip_prefix(folder).expect("below it").to_owned(), content));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn the_splunk_app_is_written_whole_and_over_nothing() {
    let ours = tree(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/splunk/muster"));
    for name in ["props", "transforms", "indexes", "macros"] {
        assert!(
            ours.iter().any(|(path, _)| *path == Path::new("default").join(format!("{name}.conf"))),
            "{name}"
        );
    }
    let desk = Desk::new();
    let output = desk.muster(&["--output", "json", "splunk-app", "new/apps"]);
    assert!(output.status.success(), "{}", error(&output));
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(told["app"], "new/apps/muster");
    assert_eq!(tree(&desk.path("new/apps/muster")), ours);
    assert_eq!(texts(&told["files"]).count(), ours.len());

    // What an administrator changed in it stays.
    desk.write("new/apps/muster/default/macros.conf", "mine");
    let again = desk.muster(&["splunk-app", "new/apps", "--index", "mssp_contoso"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(
        error(&again).contains("new/apps/muster exists already; nothing was changed"),
        "{}",
        error(&again)
    );
    assert_eq!(desk.read("new/apps/muster/default/macros.conf"), "mine");

    let indexes = ["splunk-app", "with", "--index", "mssp_a", "--index", "mssp_b", "--index", "mssp_a"];
    assert!(desk.muster(&indexes).status.success());
    let stanzas = desk.read("with/muster/default/indexes.conf");
    let names: Vec<&str> = stanzas.lines().filter(|line| line.starts_with('[')).collect();
    assert_eq!(names, ["[mssp_a]", "[mssp_b]"]);

    for wrong in ["Main", "_internal", "default", "a b"] {
        let output = desk.muster(&["splunk-app", "wrong", "--index", wrong]);
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        assert!(
            error(&output).contains(&format!("`{wrong}` cannot be the name of an index")),
            "{}",
            error(&output)
        );
    }
    assert!(!desk.path("wrong").exists());
    desk.write("file", "");
    let output = desk.muster(&["splunk-app", "file"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(error(&output).contains("file/muster"), "{}", error(&output));
    assert!(error(&output).contains("cannot be written"), "{}", error(&output));
}
