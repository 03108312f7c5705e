use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use muster_model::{ByteSize, ManualClock, Outcome, Span};
use serde_json::{Value, json};

use super::message::reading::ExportLogsServiceRequest;
use super::message::{ExportLogsPartialSuccess, LogRecord, any_value};
use super::*;
use crate::sinks::Sink;
use crate::sinks::scripted::{Answers, Misbehaving, Receiver, Request, http as answer};
use crate::sinks::suite::{self, BAD, Behaviour, Harness};
use crate::sinks::testing::{
    body, check_page, deliver, delivery, delivery_batch, judged_in_the_end, reason, settings, surroundings,
    tenant,
};

fn section(receiver: &Receiver, keys: Value) -> OtlpSettings {
    let mut section = json!({ "url": receiver.url });
    section.as_object_mut().expect("an object").extend(keys.as_object().expect("an object").clone());
    settings(section)
}

fn sink(settings: OtlpSettings) -> Sink {
    let mut around = surroundings();
    around.clock = Arc::new(ManualClock::new("2026-01-02T03:04:06Z".parse().expect("a time")));
    Sink::Otlp(Otlp::build("otel", settings, &around).expect("a sink"))
}

fn read(request: &Request) -> ExportLogsServiceRequest {
    assert_eq!((request.path.as_str(), request.headers["content-type"].as_str()), ("/v1/logs", PROTOBUF));
    let body = match request.headers.get("content-encoding").map(String::as_str) {
        Some("gzip") => {
            let mut unpacked = Vec::new();
            flate2::read::GzDecoder::new(&request.body[..]).read_to_end(&mut unpacked).expect("gzip");
            unpacked
        }
        _ => request.body.clone(),
    };
    ExportLogsServiceRequest::decode(&body[..]).expect("a request")
}

fn records(request: &Request) -> Vec<LogRecord> {
    let all = read(request).resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
    all.flat_map(|scope| scope.log_records).collect()
}

fn text(record: &LogRecord) -> String {
    match record.body.as_ref().and_then(|body| body.value.as_ref()) {
        Some(any_value::Value::String(text)) => text.clone(),
        other => panic!("{other:?}"),
    }
}

fn ids(request: &Request) -> Vec<String> {
    let id = |record: &LogRecord| {
        let event: Value = serde_json::from_str(&text(record)).expect("JSON");
        event["id"].as_str().expect("an id").to_owned()
    };
    records(request).iter().map(id).collect()
}

/// A collector's answer; ASCII only, since the answers of tests are texts.
fn protobuf(status: u16, message: &impl prost::Message) -> String {
    let body = String::from_utf8(message.encode_to_vec()).expect("ASCII");
    answer(status, &format!("Content-Type: {PROTOBUF}\r\n"), &body)
}

fn taken_all() -> String {
    protobuf(200, &ExportLogsServiceResponse::default())
}

fn rejected(count: i64, why: &str) -> String {
    let partial = ExportLogsPartialSuccess { rejected_log_records: count, error_message: why.to_owned() };
    protobuf(200, &ExportLogsServiceResponse { partial_success: Some(partial) })
}

#[tokio::test]
async fn each_event_is_a_log_record_that_says_what_it_is() {
    let receiver = Receiver::start(|_| taken_all()).await;
    let keys = json!({
        "service_name": "soc", "resource": { "deployment.environment": "{{ tenant.slug }}-prod" },
        "headers": { "X-Scope-OrgID": "1" },
    });
    let sink = sink(section(&receiver, keys));
    let report = deliver(&sink, &["a", "b"]).await;
    assert_eq!(report, Report { outcomes: vec![Outcome::Delivered; 2], trouble: None });
    let seen = receiver.seen();
    assert_eq!((seen.len(), seen[0].headers["x-scope-orgid"].as_str()), (1, "1"));
    let whole = format!("{:?}", read(&seen[0]));
    for part in ["service.name", "\"soc\"", "muster.tenant.slug", "tenant-0-prod", "name: \"muster\""] {
        assert!(whole.contains(part), "{part}: {whole}");
    }
    let records = records(&seen[0]);
    assert_eq!(text(&records[0]), body("a"));
    assert_eq!(records[0].time_unix_nano, 1_767_323_045_123_456_700);
    assert_eq!(records[0].observed_time_unix_nano, 1_767_323_046_000_000_000);
    assert_eq!((records[0].severity_number, records[0].severity_text.as_str()), (21, "high"));
    let keys: Vec<&str> = records[0].attributes.iter().map(|attribute| attribute.key.as_str()).collect();
    let wanted =
        ["muster.record.id", "muster.record.version", "muster.tenant.id", "muster.source", "muster.format"];
    assert_eq!(keys, wanted);
    assert_ne!(records[0].attributes[1], records[1].attributes[1], "each has a version of its own");
    // The parts of a record say which they are.
    let evidence = ["e"; 4].map(|text| format!(r#"{{"x":"{}"}}"#, text.repeat(900))).join(",");
    let long = format!(r#"{{"id":"long","evidence":[{evidence}]}}"#);
    let split = self::sink(section(&receiver, json!({ "event_size_max": "2KiB", "gzip": false })));
    split.deliver_and_wait(delivery_batch(&tenant(0), &[delivery(1, &[&long])])).await;
    let seen = receiver.seen();
    let parts = self::records(seen.last().expect("a request"));
    assert!(parts.len() > 1 && parts.iter().all(|part| part.attributes.len() == 7), "{parts:?}");
}

/// Some were taken and nobody says which: nothing is sent again by itself.
#[tokio::test]
async fn a_partial_refusal_makes_the_whole_request_uncertain_and_no_other() {
    let receiver = Receiver::start(|request| match ids(request).contains(&"b".to_owned()) {
        true => rejected(1, "too old \u{1b}[31m"),
        false => taken_all(),
    })
    .await;
    let one = body("a").len();
    let settings = section(&receiver, json!({ "batch_size": format!("{}B", 2 * (one + 330)) }));
    let report = deliver(&sink(settings), &["a", "b", "c", "d"]).await;
    let sent: Vec<Vec<String>> = receiver.seen().iter().map(ids).collect();
    assert_eq!(receiver.seen().len(), 2, "{sent:?}");
    for outcome in &report.outcomes[..2] {
        let Outcome::Uncertain(why) = outcome else { panic!("{report:?}") };
        assert!(
            why.starts_with("uncertain: of a request of 2 log records the collector rejected 1"),
            "{why}"
        );
        assert!(
            why.contains("too old") && !why.contains('\u{1b}') && why.contains("`dead-letter retry`"),
            "{why}"
        );
    }
    assert_eq!(report.outcomes[2..], [Outcome::Delivered, Outcome::Delivered]);
    assert!(reason(&report).starts_with("sink `otel` (http://127.0.0.1:"), "{}", reason(&report));
    assert!(reason(&report).contains("uncertain: of a request of 2"), "{}", reason(&report));
}

/// Once is enough: from then on each record goes alone, and what is refused is known.
#[tokio::test]
async fn after_a_partial_refusal_no_other_record_becomes_uncertain() {
    let receiver = Receiver::start(|request| match ids(request).contains(&BAD.to_owned()) {
        true => rejected(1, "too old"),
        false => taken_all(),
    })
    .await;
    let sink = sink(section(&receiver, json!({})));
    let report = deliver(&sink, &["a", BAD]).await;
    assert!(report.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Uncertain(_))), "{report:?}");
    let report = deliver(&sink, &["b", BAD, "c"]).await;
    let is_delivered = |place: usize| report.outcomes[place] == Outcome::Delivered;
    assert!(is_delivered(0) && is_delivered(2), "{report:?}");
    let why = match &report.outcomes[1] {
        Outcome::Rejected(why) => why.clone(),
        // The others were taken before it was refused.
        Outcome::Retry => judged_in_the_end(&sink, BAD).await,
        other => panic!("{other:?}"),
    };
    assert!(why.contains("too old"), "{why}");
}

/// A firewall, or a collector that fails at one record: the others go on, and that one becomes a dead letter in the end.
#[tokio::test]
async fn a_403_or_500_for_one_record_costs_itself() {
    for status in [403, 500] {
        let receiver = Receiver::start(move |request| match ids(request).contains(&BAD.to_owned()) {
            true => answer(status, "", ""),
            false => taken_all(),
        })
        .await;
        let sink = sink(section(&receiver, json!({})));
        let report = deliver(&sink, &["a", BAD, "c"]).await;
        assert_eq!(report.outcomes, [Outcome::Delivered, Outcome::Retry, Outcome::Delivered], "{status}");
        let why = judged_in_the_end(&sink, BAD).await;
        assert!(why.contains("refused 3 times") && why.contains(&format!("HTTP {status}")), "{why}");
    }
}

/// None was taken: the search doubles nothing, and who rejects everything buries nothing.
#[tokio::test]
async fn where_all_were_rejected_the_one_that_is_meant_is_searched() {
    let receiver = Receiver::start(|request| {
        let ids = ids(request);
        if ids.contains(&BAD.to_owned()) { rejected(ids.len() as i64, "no") } else { taken_all() }
    })
    .await;
    let report = deliver(&sink(section(&receiver, json!({}))), &["a", BAD, "c"]).await;
    assert!(
        matches!(&report.outcomes[1], Outcome::Rejected(why) if !why.contains("uncertain")),
        "{report:?}"
    );
    assert_eq!((&report.outcomes[0], &report.outcomes[2]), (&Outcome::Delivered, &Outcome::Delivered));
    let all = Receiver::start(|request| rejected(ids(request).len() as i64, "no")).await;
    let report = deliver(&sink(section(&all, json!({}))), &["a", "b"]).await;
    assert_eq!(report.outcomes, [Outcome::Retry, Outcome::Retry]);
    assert!(reason(&report).contains("nothing else was taken meanwhile"), "{}", reason(&report));
}

/// A web page that answers 200 has taken nothing.
#[tokio::test]
async fn only_a_collectors_own_answer_is_believed() {
    let typed = format!("Content-Type: {PROTOBUF}\r\n");
    for (head, text, is_taken) in [
        ("", "", true),
        (typed.as_str(), "", true),
        ("Content-Type: text/html\r\n", "", false),
        ("Content-Type: text/html\r\n", "<html>login</html>", false),
        ("", "<html>login</html>", false),
        ("Content-Type: application/json\r\n", "{}", false),
        (typed.as_str(), "<html>", false),
    ] {
        let (head, text) = (head.to_owned(), text.to_owned());
        let said = answer(200, &head, &text);
        let receiver = Receiver::start(move |_| said.clone()).await;
        let report = deliver(&sink(section(&receiver, json!({}))), &["a"]).await;
        assert_eq!(report.outcomes[0] == Outcome::Delivered, is_taken, "{head}{text}");
        if !is_taken {
            assert!(reason(&report).contains("not like a collector"), "{}", reason(&report));
        }
    }
}

#[tokio::test]
async fn refusals_of_the_whole_keep_everything_owed_and_say_what_to_do() {
    for (status, words) in [
        (401, "check the sink's headers"),
        (403, "does not let it in"),
        (404, "4318 as a rule"),
        (415, "gzip = false"),
        (429, "busy or down"),
        (500, "fails at it"),
        (503, "HTTP 503: so it is"),
    ] {
        let said = Status { code: 14, message: "so it is".to_owned() };
        let receiver = Receiver::start(move |_| {
            protobuf(status, &said).replacen("Connection", "Retry-After: 7\r\nConnection", 1)
        })
        .await;
        let report = deliver(&sink(section(&receiver, json!({}))), &["a", "b"]).await;
        assert_eq!(report.outcomes, [Outcome::Retry, Outcome::Retry]);
        let said = reason(&report);
        assert!(said.starts_with("sink `otel` (http://127.0.0.1:") && said.contains(words), "{said}");
        assert_eq!(report.trouble.expect("trouble").after, Some(Duration::from_secs(7)));
        assert_eq!(receiver.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_request_that_is_too_large_is_halved() {
    let receiver =
        Receiver::start(|request| if ids(request).len() > 2 { answer(413, "", "") } else { taken_all() })
            .await;
    let report = deliver(&sink(section(&receiver, json!({}))), &["a", "b", "c", "d", "e"]).await;
    assert!(report.outcomes.iter().all(|outcome| *outcome == Outcome::Delivered), "{report:?}");
}

#[tokio::test]
async fn a_test_sends_a_request_without_a_log_record() {
    let receiver = Receiver::start(|_| taken_all()).await;
    let found = sink(section(&receiver, json!({}))).test().await.expect("usable");
    assert!(found.contains("/v1/logs takes logs"), "{found}");
    assert!(records(&receiver.seen()[0]).is_empty());
    let receiver = Receiver::start(|_| answer(401, "", "")).await;
    let refused = sink(section(&receiver, json!({}))).test().await.expect_err("no token").to_string();
    assert!(refused.contains("check the sink's headers"), "{refused}");
}

#[test]
fn mistakes_are_told() {
    let given = |keys: Value| {
        let mut section = json!({ "url": "https://otel.example:4318/" });
        section.as_object_mut().expect("an object").extend(keys.as_object().expect("an object").clone());
        settings::<OtlpSettings>(section).mistakes().join("; ")
    };
    assert_eq!(given(json!({ "headers": { "x-scope-orgid": "1" } })), "");
    for (keys, words) in [
        (json!({ "headers": { "Authorization": "Bearer x" } }), "is a secret"),
        (json!({ "headers": { "x-a": "1", "X-A": "2" } }), "stands there twice"),
        (json!({ "service_name": " " }), "service_name is empty"),
        (json!({ "resource": { "service.name": "x" } }), "written by the sink itself"),
        (json!({ "client_certificate": "c.pem" }), "belong together"),
    ] {
        let said = given(keys);
        assert!(said.contains(words), "{said}");
    }
    for (url, sent_to) in [
        ("https://otel.example:4318", "https://otel.example:4318/v1/logs"),
        ("https://otel.example/otlp/", "https://otel.example/otlp/v1/logs"),
        ("https://otel.example/v1/logs", "https://otel.example/v1/logs"),
    ] {
        assert_eq!(settings::<OtlpSettings>(json!({ "url": url })).logs_url(), sent_to);
    }
}

struct Collector(Misbehaving);

impl Collector {
    async fn start() -> Self {
        let nonsense = answer(200, "", "<html>Please log in</html>");
        let answers = Answers { well: taken_all(), refused: answer(400, "", "no"), nonsense };
        Self(Misbehaving::start(ids, answers).await)
    }
}

impl Harness for Collector {
    async fn sink(&mut self, behaviour: Behaviour, timeout: Duration) -> Sink {
        self.0.behave(behaviour);
        let settings = OtlpSettings { timeout: Span(timeout), ..section(&self.0.receiver, json!({})) };
        Sink::Otlp(Otlp::build("suite", settings, &surroundings()).expect("a sink"))
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
    suite::run(Collector::start).await;
}

#[test]
fn the_page_names_only_keys_that_exist() {
    check_page::<OtlpSettings>("otlp");
    let usual: OtlpSettings = settings(json!({ "url": "https://otel.example:4318" }));
    assert_eq!((usual.batch_size, usual.gzip), (ByteSize(256 << 10), true));
}
