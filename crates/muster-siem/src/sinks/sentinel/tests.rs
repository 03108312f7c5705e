use std::collections::BTreeSet;
use std::io::Read as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_http::{NoToken, TokenSource};
use muster_model::{ByteSize, Outcome, Secret, Span};
use serde_json::{Value, json};

use super::*;
use crate::sinks::Sink;
use crate::sinks::scripted::{Answers, Misbehaving, Receiver, Request, http as answer};
use crate::sinks::suite::{self, Behaviour, Harness};
use crate::sinks::testing::{
    body, check_page, deliver, delivery, delivery_batch, reason, settings, surroundings, tenant,
};

/// Numbers its tokens, and counts on when one is refused.
#[derive(Debug, Default)]
struct Numbered(Mutex<u32>);

#[async_trait::async_trait]
impl TokenSource for Numbered {
    async fn token(&self, resource: &str) -> Result<Secret<String>, NoToken> {
        assert_eq!(resource, "https://monitor.azure.com");
        Ok(Secret::new(format!("token-{}", self.0.lock().expect("a lock"))))
    }

    async fn refused(&self, _: &str, token: &Secret<String>) {
        let mut number = self.0.lock().expect("a lock");
        if *token.expose() == format!("token-{number}") {
            *number += 1;
        }
    }
}

/// There are none.
#[derive(Debug)]
struct NoTokens;

#[async_trait::async_trait]
impl TokenSource for NoTokens {
    async fn token(&self, _: &str) -> Result<Secret<String>, NoToken> {
        Err(NoToken { reason: "AADSTS7000222".to_owned(), retry_after: Some(Duration::from_secs(9)) })
    }

    async fn refused(&self, _: &str, _: &Secret<String>) {}
}

const RULE: &str = "dcr-0123456789abcdef0123456789abcdef";

fn section(receiver: &Receiver) -> SentinelSettings {
    settings(json!({
        "endpoint": receiver.url, "rule": RULE, "stream": "Custom-Muster_CL", "app": "main", "gzip": false,
    }))
}

fn built(name: &str, settings: SentinelSettings, source: Arc<dyn TokenSource>) -> Sink {
    let mut around = surroundings();
    around.tokens = Box::new(move |wanted| {
        assert_eq!((wanted.app, wanted.api), ("main", TokenApi::LogIngestion));
        let source = Arc::clone(&source);
        Ok(BearerTokens { source, resource: "https://monitor.azure.com".to_owned() })
    });
    Sink::Sentinel(Sentinel::build(name, settings, &around).expect("a sink"))
}

fn sink(settings: SentinelSettings) -> Sink {
    built("azure", settings, Arc::new(Numbered::default()))
}

async fn deliver_bodies(sink: &Sink, bodies: &[&str]) -> Report {
    sink.deliver_and_wait(delivery_batch(&tenant(0), &[delivery(1, bodies)])).await
}

/// The rows of a request, checked against what the service takes whole.
fn rows(request: &Request) -> Vec<Value> {
    assert_eq!(request.headers["content-type"], "application/json");
    assert!(request.headers["authorization"].starts_with("Bearer token-"));
    let body = match request.headers.get("content-encoding").map(String::as_str) {
        Some("gzip") => {
            let mut unpacked = Vec::new();
            flate2::read::GzDecoder::new(&request.body[..]).read_to_end(&mut unpacked).expect("gzip");
            unpacked
        }
        _ => request.body.clone(),
    };
    assert!(body.len() <= 1_000_000 && request.body.len() <= 1_000_000, "{} bytes", body.len());
    let rows: Vec<Value> = serde_json::from_slice(&body).expect("a list");
    let known: BTreeSet<&str> = COLUMNS.iter().map(|column| column.name).collect();
    for row in &rows {
        for (name, value) in row.as_object().expect("a row") {
            assert!(known.contains(name.as_str()), "no such column: {name}");
            let length = value.as_str().map_or_else(|| value.to_string().len(), str::len);
            assert!(length <= FIELD_BYTES_MAX, "{name}: {length} bytes");
        }
    }
    rows
}

fn ids(request: &Request) -> Vec<String> {
    rows(request).iter().map(|row| row["Event"]["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn a_row_says_whose_record_it_is_which_version_and_holds_all_of_it() {
    let receiver = Receiver::start(|_| answer(204, "", "")).await;
    let sink = sink(section(&receiver));
    let written =
        r#"{"id":"a","title":"A \u0000 \"title\"","createdDateTime":"2026-01-02T03:04:05.1234567Z"}"#;
    let report = deliver_bodies(&sink, &[written, &body("b")]).await;
    assert_eq!(report, Report { outcomes: vec![Outcome::Delivered; 2], trouble: None });
    let seen = receiver.seen();
    let path = format!("/dataCollectionRules/{RULE}/streams/Custom-Muster_CL?api-version=2023-01-01");
    assert_eq!((seen.len(), seen[0].path.as_str()), (1, path.as_str()));
    let rows = rows(&seen[0]);
    let version = rows[0]["RecordVersion"].as_str().expect("a version").to_owned();
    let digest: String = muster_model::ContentHash::of(written.as_bytes())
        .0
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(version, format!("2026-01-02T03:04:05.1234567Z#{digest}"));
    assert_eq!(
        rows[0],
        json!({
            "TimeGenerated": "2026-01-02T03:04:05.1234567Z",
            "RecordCreated": "2026-01-02T03:04:05.1234567Z",
            "RecordUpdated": "2026-01-02T03:04:05.1234567Z",
            "CustomerId": tenant(0).id.to_string(), "CustomerSlug": "tenant-0", "CustomerName": "Tenant 0",
            "RecordSource": "graph_alerts", "RecordId": "1-0", "RecordVersion": version,
            "RecordSeverity": "high", "RecordTitle": "A \0 \"title\"",
            "Part": 1, "Parts": 1, "Format": "raw", "EventBytes": written.len(),
            "Event": serde_json::from_str::<Value>(written).expect("JSON"),
        })
    );
    let names: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
    assert_eq!(rows[0].as_object().expect("a row").len(), names.len(), "every column is written: {names:?}");
}

/// Log Analytics' own names, and its rules for others.
#[test]
fn the_names_of_columns_are_free_to_use() {
    let reserved =
        ["_resourceid", "id", "_subscriptionid", "tenantid", "type", "uniqueid", "title", "rawdata"];
    for column in COLUMNS {
        let name = column.name;
        assert!(!reserved.contains(&name.to_ascii_lowercase().as_str()), "{name}");
        assert!(name.len() <= 45 && name.starts_with(|first: char| first.is_ascii_alphabetic()), "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{name}");
    }
}

/// The service would cut it at 64 KB and say nothing.
#[tokio::test]
async fn a_record_that_is_too_long_for_a_field_becomes_several_rows() {
    let receiver = Receiver::start(|_| answer(204, "", "")).await;
    let evidence: Vec<String> =
        (0..200).map(|number| format!(r#"{{"number":{number},"text":"{}"}}"#, "ä".repeat(500))).collect();
    let big =
        format!(r#"{{"id":"big","title":"{}","evidence":[{}]}}"#, "t".repeat(9_000), evidence.join(","));
    let alone = format!(r#"{{"id":"alone","title":"x","comment":"{}"}}"#, "c".repeat(90_000));
    let mut settings = section(&receiver);
    settings.gzip = true;
    let report = deliver_bodies(&sink(settings), &[&big, &alone]).await;
    assert_eq!(report.outcomes, [Outcome::Delivered, Outcome::Delivered], "{report:?}");
    let rows: Vec<Value> = receiver.seen().iter().flat_map(rows).collect();
    let (parts, referred): (Vec<&Value>, Vec<&Value>) =
        rows.iter().partition(|row| row["Event"]["id"] == "big");
    let numbers: Vec<u64> = parts
        .iter()
        .flat_map(|row| row["Event"]["evidence"].as_array().expect("a list"))
        .map(|evidence| evidence["number"].as_u64().expect("a number"))
        .collect();
    assert_eq!(numbers, (0..200).collect::<Vec<u64>>(), "all evidence is there, once");
    assert!(parts.len() > 3 && parts.iter().all(|row| row["Parts"] == parts.len()), "{}", parts.len());
    assert!(parts[0]["RecordTitle"].as_str().is_some_and(|title| title.contains("shortened, digest")));
    // What cannot be taken apart refers to the record by its hash, and says so.
    assert_eq!(referred.len(), 1);
    assert!(referred[0]["Event"].to_string().contains("refer"), "{}", referred[0]["Event"]);
    assert!(referred[0]["EventBytes"].as_u64().is_some_and(|bytes| bytes < 32_000));
}

/// A 200 is not the service's answer.
#[tokio::test]
async fn only_204_is_delivered() {
    for (status, body) in [(200, ""), (200, "{}"), (202, ""), (201, "")] {
        let receiver = Receiver::start(move |_| answer(status, "", body)).await;
        let report = deliver(&sink(section(&receiver)), &["a"]).await;
        assert_eq!(report.outcomes, [Outcome::Retry], "{status}");
        assert!(reason(&report).contains("not with 204"), "{}", reason(&report));
    }
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once() {
    let receiver = Receiver::start(|request| match request.headers["authorization"].as_str() {
        "Bearer token-0" => answer(401, "", ""),
        _ => answer(204, "", ""),
    })
    .await;
    let report = deliver(&sink(section(&receiver)), &["a"]).await;
    assert_eq!(report, Report { outcomes: vec![Outcome::Delivered], trouble: None });
    assert_eq!(receiver.seen().len(), 2);
    let never = Receiver::start(|_| answer(401, "", "")).await;
    let report = deliver(&sink(section(&never)), &["a"]).await;
    assert_eq!((never.seen().len(), report.outcomes.as_slice()), (2, &[Outcome::Retry][..]));
    assert!(reason(&report).contains("does not take the token of app `main`"), "{}", reason(&report));
    // Without a token nothing is asked.
    let report = deliver(&built("azure", section(&never), Arc::new(NoTokens)), &["a"]).await;
    assert_eq!(never.seen().len(), 2);
    let trouble = report.trouble.expect("trouble");
    assert!(trouble.reason.contains("no token of app `main`: AADSTS7000222"), "{}", trouble.reason);
    assert_eq!(trouble.after, Some(Duration::from_secs(9)));
}

#[tokio::test]
async fn refusals_of_the_whole_keep_everything_owed_and_say_what_to_do() {
    let said = r#"{"error":{"code":"OperationFailed","message":"no \u001b[31m access"}}"#;
    let stream = r#"{"error":{"code":"InvalidStream","message":"unknown"}}"#;
    for (status, body, words) in [
        (403, said, "`Monitoring Metrics Publisher`"),
        (404, "", "check the sink's endpoint, rule"),
        (400, stream, "InvalidStream: unknown"),
        (429, "", "busy or down"),
        (503, "<html>", "HTTP 503: <html>"),
    ] {
        let receiver = Receiver::start(move |_| answer(status, "Retry-After: 7\r\n", body)).await;
        let sink = sink(section(&receiver));
        for _ in 0..3 {
            let report = deliver(&sink, &["a", "b"]).await;
            assert_eq!(report.outcomes, [Outcome::Retry, Outcome::Retry]);
            let said = reason(&report);
            assert!(said.starts_with("sink `azure` (http://127.0.0.1:"), "{said}");
            assert!(said.contains(words) && !said.contains('\u{1b}'), "{said}");
            assert_eq!(report.trouble.expect("trouble").after, Some(Duration::from_secs(7)));
        }
        assert_eq!(receiver.seen().len(), 3, "one request tells it: {status}");
    }
}

/// The rows may be there, and nobody can tell: the operator is told how many.
#[tokio::test]
async fn an_answer_that_is_lost_says_how_many_rows_may_be_doubled() {
    let receiver = Receiver::start(|_| String::new()).await;
    let report = deliver(&sink(section(&receiver)), &["a", "b", "c"]).await;
    assert_eq!(report.outcomes, [const { Outcome::Retry }; 3]);
    assert!(reason(&report).contains("3 row(s) may be there all the same"), "{}", reason(&report));
    let mut gone = section(&receiver);
    gone.endpoint = "http://127.0.0.1:9".parse().expect("a URL");
    let report = deliver(&sink(gone), &["a"]).await;
    assert!(!reason(&report).contains("all the same"), "nothing was sent: {}", reason(&report));
}

#[tokio::test]
async fn a_request_that_is_too_large_is_halved() {
    let receiver = Receiver::start(|request| match rows(request).len() {
        3.. => answer(413, "", ""),
        _ if ids(request).contains(&"c".to_owned()) => answer(413, "", ""),
        _ => answer(204, "", ""),
    })
    .await;
    let report = deliver(&sink(section(&receiver)), &["a", "b", "c", "d", "e"]).await;
    let delivered = report.outcomes.iter().filter(|outcome| **outcome == Outcome::Delivered).count();
    assert_eq!(delivered, 4, "{report:?}");
    assert!(matches!(report.outcomes[2], Outcome::Rejected(_)), "{report:?}");
}

#[tokio::test]
async fn requests_stay_below_the_limit_of_the_service() {
    let receiver = Receiver::start(|_| answer(204, "", "")).await;
    let bodies: Vec<String> = (0..400)
        .map(|number| {
            format!(r#"{{"id":"{number}","title":"{}","x":"{}"}}"#, "\\\"".repeat(600), "y".repeat(9_000))
        })
        .collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    let report = deliver_bodies(&sink(section(&receiver)), &bodies).await;
    assert!(report.outcomes.iter().all(|outcome| *outcome == Outcome::Delivered), "{:?}", report.trouble);
    let mut arrived: Vec<String> = receiver.seen().iter().flat_map(ids).collect();
    assert!(receiver.seen().len() > 3);
    arrived.sort_by_key(|id| id.parse::<u32>().expect("a number"));
    assert_eq!(arrived, (0..400).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn mistakes_are_told() {
    let given = |keys: Value| {
        let mut section = json!({
            "endpoint": "https://a.b.ingest.monitor.azure.com", "rule": RULE, "stream": "Custom-Muster_CL", "app": "main",
        });
        section.as_object_mut().expect("an object").extend(keys.as_object().expect("an object").clone());
        settings::<SentinelSettings>(section).mistakes().join("; ")
    };
    assert_eq!(given(json!({ "format": "ecs" })), "");
    for (keys, words) in [
        (json!({ "rule": "my-rule" }), "immutable id"),
        (json!({ "rule": "dcr-1/../x" }), "immutable id"),
        (json!({ "stream": "Muster_CL" }), "`Custom-`"),
        (json!({ "stream": "Custom-a/b" }), "`Custom-`"),
        (json!({ "format": "cef" }), "use raw, ecs or ocsf"),
        (json!({ "event_size_max": "64KiB" }), "32000 B at most"),
        (json!({ "batch_size": "2MiB" }), "to 1000000 B"),
    ] {
        let said = given(keys);
        assert!(said.contains(words), "{said}");
    }
    for endpoint in ["https://u:p@a.example", "https://a.example/?x=y", "a.example"] {
        let section = json!({ "endpoint": endpoint, "rule": RULE, "stream": "Custom-a", "app": "main" });
        let said = serde_json::from_value::<SentinelSettings>(section).expect_err("refused").to_string();
        assert!(said.contains("it must be an address such as https://") && !said.contains("u:p"), "{said}");
    }
}

#[tokio::test]
async fn a_test_sends_an_empty_list_and_says_what_was_found() {
    let receiver =
        Receiver::start(|request| answer(if request.body == b"[]" { 204 } else { 400 }, "", "")).await;
    let found = sink(section(&receiver)).test().await.expect("usable");
    assert!(found.contains("takes the token of app `main`") && found.contains(RULE), "{found}");
    let receiver = Receiver::start(|_| answer(403, "", "")).await;
    let refused = sink(section(&receiver)).test().await.expect_err("no role").to_string();
    assert!(refused.contains("Monitoring Metrics Publisher"), "{refused}");
    let receiver = Receiver::start(|_| answer(200, "", "<html>login</html>")).await;
    sink(section(&receiver)).test().await.expect_err("somebody else answers");
}

struct Rule(Misbehaving);

impl Rule {
    async fn start() -> Self {
        let answers = Answers {
            well: answer(204, "", ""),
            refused: answer(400, "", r#"{"error":{"code":"InvalidBody","message":"no"}}"#),
            nonsense: answer(200, "", "<html>Please log in</html>"),
        };
        Self(Misbehaving::start(ids, answers).await)
    }
}

impl Harness for Rule {
    async fn sink(&mut self, behaviour: Behaviour, timeout: Duration) -> Sink {
        self.0.behave(behaviour);
        let settings = SentinelSettings { timeout: Span(timeout), ..section(&self.0.receiver) };
        built("suite", settings, Arc::new(Numbered::default()))
    }

    async fn taken(&self) -> Vec<String> {
        self.0.taken()
    }

    fn impossible(_: Behaviour) -> Option<&'static str> {
        None
    }

    const TELLS_REPETITIONS: bool = false;
}

#[tokio::test]
async fn suite() {
    suite::run(Rule::start).await;
}

#[test]
fn the_page_names_only_keys_that_exist() {
    check_page::<SentinelSettings>("sentinel");
    let usual: SentinelSettings = settings(json!({
        "endpoint": "https://a.example", "rule": RULE, "stream": "Custom-a", "app": "main",
    }));
    assert_eq!((usual.batch_size, usual.event_size_max), (ByteSize(1_000_000), ByteSize(32_000)));
}
