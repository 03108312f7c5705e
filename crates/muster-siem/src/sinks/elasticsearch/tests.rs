use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_model::{ByteSize, Outcome, Span};
use serde_json::{Value, json};

use super::*;
use crate::sinks::Sink;
use crate::sinks::scripted::{HANGS, Receiver, Request, http as answer};
use crate::sinks::settings::FormatName;
use crate::sinks::suite::{self, BAD, Behaviour, Harness};
use crate::sinks::testing::{body, check_page, delivery, delivery_batch, settings, surroundings, tenant};

const INDEX: &str = "muster-alerts";

fn section(receiver: &Receiver) -> ElasticsearchSettings {
    settings(json!({ "url": receiver.url, "format": "raw", "index": INDEX }))
}

fn sink(settings: ElasticsearchSettings) -> Sink {
    Sink::Elasticsearch(Elasticsearch::build("elastic", settings, &surroundings()).expect("a sink"))
}

async fn deliver(sink: &Sink, ids: &[&str]) -> Report {
    let bodies: Vec<String> = ids.iter().map(|id| body(id)).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    sink.deliver_and_wait(delivery_batch(&tenant(0), &[delivery(1, &bodies)])).await
}

/// The index, the `_id` and the document of each event of a bulk request.
fn created(request: &Request) -> Vec<(String, String, Value)> {
    assert_eq!(request.headers["content-type"], "application/x-ndjson");
    assert!(request.body.ends_with(b"\n"));
    let lines = std::str::from_utf8(&request.body).expect("UTF-8").lines();
    let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let pairs = lines.chunks(2).map(|pair| {
        let of = |key: &str| pair[0]["create"][key].as_str().expect("a text").to_owned();
        (of("_index"), of("_id"), pair[1].clone())
    });
    pairs.collect()
}

fn documents(request: &Request) -> Vec<(String, Value)> {
    created(request).into_iter().map(|(_, id, document)| (id, document)).collect()
}

/// The answer to a bulk request with this status and type of error for each event.
fn bulk(request: &Request, each: impl Fn(&Value) -> (u16, &'static str)) -> String {
    let items = documents(request).into_iter().map(|(id, document)| match each(&document) {
        (status, "") => json!({ "create": { "_id": id, "status": status } }),
        (status, kind) => {
            let error = json!({ "type": kind, "reason": "so it is" });
            json!({ "create": { "_id": id, "status": status, "error": error } })
        }
    });
    answer(200, "", &json!({ "errors": true, "items": items.collect::<Vec<_>>() }).to_string())
}

/// A receiver that answers for each event like this.
async fn receiver(each: impl Fn(&Value) -> (u16, &'static str) + Send + Sync + 'static) -> Receiver {
    Receiver::start(move |request| bulk(request, &each)).await
}

fn reason(report: &Report) -> &str {
    &report.trouble.as_ref().expect("it is said why").reason
}

#[tokio::test]
async fn events_are_created_under_ids_of_their_own() {
    let receiver = receiver(|_| (201, "")).await;
    let mut settings = section(&receiver);
    settings.index = Some("alerts-{{ tenant.slug }}".to_owned().try_into().expect("a template"));
    settings.pipeline = Some("geo".to_owned());
    let sink = sink(settings);
    // What came pretty goes on one line.
    let pretty = "{\n  \"id\": \"a\",\r\n  \"title\": \"x\\ny\"\n}";
    let plain = body("b");
    for _ in 0..2 {
        let report =
            sink.deliver_and_wait(delivery_batch(&tenant(0), &[delivery(1, &[pretty, &plain])])).await;
        assert_eq!(report, Report { outcomes: vec![Outcome::Delivered; 2], trouble: None });
    }
    let other = sink.deliver_and_wait(delivery_batch(&tenant(1), &[delivery(1, &[pretty])])).await;
    assert_eq!(other.outcomes, [Outcome::Delivered]);
    // The same record with other content is another version.
    let changed = body("changed");
    sink.deliver_and_wait(delivery_batch(&tenant(0), &[delivery(1, &[&changed])])).await;
    let seen = receiver.seen();
    assert_eq!(seen[0].path, format!("/_bulk?{FILTER}&pipeline=geo"));
    assert_eq!(
        (created(&seen[0])[0].0.as_str(), created(&seen[2])[0].0.as_str()),
        ("alerts-tenant-0", "alerts-tenant-1")
    );
    let sent: Vec<_> = seen.iter().map(documents).collect();
    assert_eq!(sent[0], sent[1], "what comes again has the same id");
    assert_eq!(sent[0][0].1, json!({ "id": "a", "title": "x\ny" }));
    let ids = [&sent[0][0].0, &sent[0][1].0, &sent[2][0].0, &sent[3][0].0];
    let different: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(different.len(), 4, "{ids:?}");
    assert!(ids.iter().all(|id| id.len() == 32), "{ids:?}");
}

/// A 200 may hold refusals; each event has its own answer.
#[tokio::test]
async fn each_event_has_the_outcome_that_its_own_answer_says() {
    let receiver = receiver(|document| match document["id"].as_str().expect("an id") {
        "there" => (409, "version_conflict_engine_exception"),
        "odd" => (409, "another_exception"),
        "busy" => (429, "es_rejected_execution_exception"),
        "blocked" => (403, "cluster_block_exception"),
        "bad" => (400, "document_parsing_exception"),
        _ => (201, ""),
    })
    .await;
    let report = deliver(&sink(section(&receiver)), &["a", "there", "odd", "busy", "blocked", "bad"]).await;
    let Outcome::Rejected(why) = &report.outcomes[5] else { panic!("{report:?}") };
    assert!(why.contains("document_parsing_exception: so it is, HTTP 400"), "{why}");
    use Outcome::{Delivered, Retry};
    assert_eq!(report.outcomes[..5], [Delivered, Delivered, Retry, Retry, Retry], "{report:?}");
    assert!(reason(&report).starts_with("sink `elastic` (http://127.0.0.1:"), "{}", reason(&report));
}

/// An index that takes nothing at all is in trouble itself: nothing becomes a dead letter.
#[tokio::test]
async fn who_refuses_everything_refuses_no_event() {
    let receiver = receiver(|_| (400, "illegal_argument_exception")).await;
    let report = deliver(&sink(section(&receiver)), &["a", "b"]).await;
    assert_eq!(report.outcomes, [Outcome::Retry, Outcome::Retry]);
    assert!(reason(&report).contains("nothing else was taken meanwhile"), "{}", reason(&report));
}

/// The same where another tenant's index takes what comes.
#[tokio::test]
async fn an_index_that_refuses_everything_is_not_judged_by_another() {
    let receiver = Receiver::start(|request| {
        let refuses = created(request)[0].0 == "alerts-tenant-0";
        bulk(request, |_| if refuses { (400, "illegal_argument_exception") } else { (201, "") })
    })
    .await;
    let mut settings = section(&receiver);
    settings.index = Some("alerts-{{ tenant.slug }}".to_owned().try_into().expect("a template"));
    let sink = sink(settings);
    let body = body("a");
    for _ in 0..3 {
        let report = sink.deliver_and_wait(delivery_batch(&tenant(0), &[delivery(1, &[&body])])).await;
        assert_eq!(report.outcomes, [Outcome::Retry]);
        let report = sink.deliver_and_wait(delivery_batch(&tenant(1), &[delivery(1, &[&body])])).await;
        assert_eq!(report.outcomes, [Outcome::Delivered]);
    }
}

#[tokio::test]
async fn an_answer_that_is_not_about_what_was_sent_counts_for_nothing() {
    let others = |_: &Request| {
        let item = json!({ "create": { "_id": "another", "status": 201 } });
        answer(200, "", &json!({ "errors": false, "items": [item, item] }).to_string())
    };
    let fewer = |request: &Request| {
        let (id, _) = documents(request).remove(0);
        let item = json!({ "create": { "_id": id, "status": 201 } });
        answer(200, "", &json!({ "errors": false, "items": [item] }).to_string())
    };
    let indexed = |request: &Request| {
        let items =
            documents(request).into_iter().map(|(id, _)| json!({ "index": { "_id": id, "status": 201 } }));
        answer(200, "", &json!({ "errors": false, "items": items.collect::<Vec<_>>() }).to_string())
    };
    let empty = |_: &Request| answer(200, "", r#"{"errors":false}"#);
    for (receiver, words) in [
        (Receiver::start(others).await, "is not about the events that were sent"),
        (Receiver::start(fewer).await, "names 1 events where 2 were sent"),
        (Receiver::start(indexed).await, "is not about the events that were sent"),
        (Receiver::start(empty).await, "not like Elasticsearch"),
    ] {
        let report = deliver(&sink(section(&receiver)), &["a", "b"]).await;
        assert_eq!(report.outcomes, [Outcome::Retry, Outcome::Retry], "{words}");
        assert!(reason(&report).contains(words), "{}", reason(&report));
    }
}

/// An index that cannot be begun is no event's fault.
#[test]
fn a_cluster_without_room_for_another_index_refuses_no_event() {
    let reason = "Validation Failed: 1: this action would add [2] shards, but this cluster currently has [1000]/[1000] maximum normal shards open;";
    let error = json!({ "type": "validation_exception", "reason": reason });
    let body = json!({ "items": [{ "create": { "_id": "a", "status": 400, "error": error } }] }).to_string();
    let answer = super::answer::BulkAnswer::read(body.as_bytes()).expect("an answer");
    let trouble = |reason: &str| muster_model::Trouble { reason: reason.to_owned(), after: None };
    let fates = answer.fates(&["a".to_owned()], trouble).expect("an answer for it");
    let [super::batch::Fate::Retry(trouble)] = &fates[..] else { panic!("{fates:?}") };
    assert!(trouble.reason.contains("cluster.max_shards_per_node"), "{}", trouble.reason);
}

#[tokio::test]
async fn a_request_that_is_too_large_is_halved() {
    let receiver = Receiver::start(|request| match documents(request).len() {
        3.. => answer(413, "", ""),
        _ => bulk(request, |document| if document["id"] == "c" { (413, "too_large") } else { (201, "") }),
    })
    .await;
    let report = deliver(&sink(section(&receiver)), &["a", "b", "c", "d", "e"]).await;
    let delivered = report.outcomes.iter().filter(|outcome| **outcome == Outcome::Delivered).count();
    assert_eq!(delivered, 4, "{report:?}");
    assert!(matches!(report.outcomes[2], Outcome::Rejected(_)), "{report:?}");
}

#[tokio::test]
async fn refusals_of_the_whole_say_what_to_do() {
    let error =
        r#"{"error":{"type":"security_exception","reason":"missing \u001b[31m credentials"},"status":401}"#;
    for (status, body, words) in [
        (401, error, "check the sink's api_key, or user and password"),
        (403, "", "`create_doc`"),
        (404, "", "no bulk API at this address"),
        (429, "", "busy or down"),
        (503, r#"{"error":"starting"}"#, "HTTP 503: starting"),
        (200, "<html>Kibana</html>", "not Kibana or a login page"),
    ] {
        let receiver = Receiver::start(move |_| answer(status, "Retry-After: 7\r\n", body)).await;
        let report = deliver(&sink(section(&receiver)), &["a"]).await;
        assert_eq!(report.outcomes, [Outcome::Retry]);
        let said = reason(&report);
        assert!(said.contains(words) && !said.contains('\u{1b}'), "{said}");
        assert_eq!(report.trouble.expect("trouble").after, Some(Duration::from_secs(7)));
    }
}

#[tokio::test]
async fn another_node_takes_it_where_one_is_gone_or_leaving() {
    let well = receiver(|_| (201, "")).await;
    let leaving = Receiver::start(|_| answer(503, "", "")).await;
    for first in [leaving.url.clone(), "http://127.0.0.1:9".parse().expect("a URL")] {
        let mut settings = section(&well);
        settings.url.0.insert(0, first);
        let report = deliver(&sink(settings), &["a"]).await;
        assert_eq!(report, Report { outcomes: vec![Outcome::Delivered], trouble: None });
    }
    let mut settings = section(&well);
    settings.url.0 = vec!["http://127.0.0.1:9".parse().expect("a URL"), leaving.url.clone()];
    let report = deliver(&sink(settings), &["a"]).await;
    assert_eq!(report.outcomes, [Outcome::Retry]);
}

#[tokio::test]
async fn credentials_go_with_every_request() {
    let receiver = receiver(|_| (201, "")).await;
    let keys = [
        (json!({ "api_key": { "file": "key" } }), "ApiKey a-token"),
        (json!({ "user": "muster", "password": { "file": "word" } }), "Basic bXVzdGVyOmEtdG9rZW4="),
    ];
    for (keys, expected) in keys {
        let mut section = json!({ "url": receiver.url });
        section.as_object_mut().expect("an object").extend(keys.as_object().expect("an object").clone());
        let sink = sink(settings(section));
        deliver(&sink, &["a"]).await;
        assert_eq!(receiver.seen().last().expect("asked").headers["authorization"], expected);
        assert!(!format!("{sink:?}").contains("bXVzdGVy") && !format!("{sink:?}").contains("a-token"));
    }
}

#[test]
fn mistakes_are_told() {
    let given = |keys: Value| {
        let mut section = json!({ "url": "https://elastic.example:9200" });
        section.as_object_mut().expect("an object").extend(keys.as_object().expect("an object").clone());
        settings::<ElasticsearchSettings>(section).mistakes().join("; ")
    };
    assert_eq!(given(json!({ "index": "muster.alerts-{{ tenant.slug }}" })), "");
    assert_eq!(given(json!({ "index": "logs-muster-default", "format": "ocsf" })), "");
    for (keys, words) in [
        (json!({ "user": "muster" }), "belong together"),
        (json!({ "api_key": { "file": "k" }, "user": "u", "password": { "file": "p" } }), "not both"),
        (json!({ "format": "cef" }), "use ecs, ocsf or raw"),
        (json!({ "url": "https://u:p@elastic.example" }), "no user or password"),
        (json!({ "url": "https://elastic.example/?a=b" }), "without `?`"),
        (json!({ "format": "ocsf" }), "needs index"),
        (json!({ "index": "logs-muster-{{ tenant.slug }}" }), "leave index off"),
        (json!({ "index": "Alerts" }), "`Alerts` cannot be in the name of an index"),
        (json!({ "index": "_all" }), "`_all` cannot be"),
        (json!({ "index": "a/../_cluster" }), "cannot be"),
        (json!({ "index": "x-{{ tenant.name }}" }), "tenant.name, which may be anything"),
        (json!({ "index": "x".repeat(256) }), "longer than 255 bytes"),
        (json!({ "pipeline": "a&b=c" }), "pipeline has letters"),
    ] {
        let said = given(keys);
        assert!(said.contains(words), "{said}");
    }
}

#[tokio::test]
async fn a_test_says_what_is_there_and_what_is_not_allowed() {
    let who = r#"{"version":{"number":"9.1.0"},"tagline":"You Know, for Search"}"#;
    let start = |has: &'static str| {
        Receiver::start(move |request| match request.path.as_str() {
            "/" => answer(200, "", who),
            // What is not compressed does not say that it is.
            "/_security/user/_has_privileges" if request.headers.contains_key("content-encoding") => {
                answer(400, "", "")
            }
            "/_security/user/_has_privileges" => answer(200, "", has),
            _ => answer(404, "", ""),
        })
    };
    let allowed = start(r#"{"has_all_requested":true}"#).await;
    let found = sink(section(&allowed)).test().await.expect("usable");
    assert!(
        found.starts_with("elasticsearch 9.1.0 at http://127.0.0.1:") && found.contains(INDEX),
        "{found}"
    );
    let mut usual: ElasticsearchSettings = settings(json!({ "url": allowed.url }));
    usual.ecs.namespace = Some("{{ tenant.slug }}".to_owned().try_into().expect("a template"));
    let found = sink(usual).test().await.expect("usable");
    assert!(found.contains("`logs-*-*`"), "{found}");
    let refusing = start(r#"{"has_all_requested":false}"#).await;
    let refused = sink(ElasticsearchSettings { gzip: true, ..section(&refusing) }).test().await;
    let refused = refused.expect_err("not allowed").to_string();
    assert!(refused.contains("`create_doc`") && refused.contains(INDEX), "{refused}");
}

struct Misbehaving {
    receiver: Receiver,
    behaviour: Arc<Mutex<Behaviour>>,
    taken: Arc<Mutex<Vec<String>>>,
}

impl Misbehaving {
    async fn start() -> Self {
        let behaviour = Arc::new(Mutex::new(Behaviour::Well));
        let taken = Arc::new(Mutex::new(Vec::new()));
        let (now, taking) = (Arc::clone(&behaviour), Arc::clone(&taken));
        let index: Mutex<BTreeMap<String, Value>> = Mutex::default();
        let receiver = Receiver::start(move |request| {
            if !request.path.contains("/_bulk") {
                return answer(200, "", r#"{"version":{"number":"9.1.0"}}"#);
            }
            let behaviour = *now.lock().expect("a lock");
            match behaviour {
                Behaviour::Down => return answer(503, "", ""),
                Behaviour::Slow => return HANGS.to_owned(),
                Behaviour::Nonsense => return answer(200, "", "<html>Please log in</html>"),
                Behaviour::Well | Behaviour::RefusesOne | Behaviour::Cuts => {}
            }
            let mut index = index.lock().expect("a lock");
            let mut created = Vec::new();
            for (id, document) in documents(request) {
                if behaviour == Behaviour::RefusesOne && document["id"] == BAD {
                    continue;
                }
                if index.insert(id.clone(), document.clone()).is_none() {
                    taking.lock().expect("a lock").push(document["id"].as_str().expect("an id").to_owned());
                    created.push(document);
                }
            }
            let answer = bulk(request, |document| match () {
                () if behaviour == Behaviour::RefusesOne && document["id"] == BAD => {
                    (400, "document_parsing_exception")
                }
                () if created.contains(document) => (201, ""),
                () => (409, "version_conflict_engine_exception"),
            });
            match behaviour {
                Behaviour::Cuts => answer[..answer.len() - 10].to_owned(),
                _ => answer,
            }
        });
        Self { receiver: receiver.await, behaviour, taken }
    }
}

impl Harness for Misbehaving {
    async fn sink(&mut self, behaviour: Behaviour, timeout: Duration) -> Sink {
        *self.behaviour.lock().expect("a lock") = behaviour;
        let settings = ElasticsearchSettings { timeout: Span(timeout), ..section(&self.receiver) };
        Sink::Elasticsearch(Elasticsearch::build("suite", settings, &surroundings()).expect("a sink"))
    }

    async fn taken(&self) -> Vec<String> {
        self.taken.lock().expect("a lock").clone()
    }

    fn impossible(_: Behaviour) -> Option<&'static str> {
        None
    }

    const TELLS_REPETITIONS: bool = true;
}

#[tokio::test]
async fn suite() {
    suite::run(Misbehaving::start).await;
}

/// ECS documents name the data stream of Elastic's own integration, and its template takes no others into it.
#[tokio::test]
async fn an_ecs_document_goes_into_the_data_stream_that_it_names() {
    let receiver = receiver(|_| (201, "")).await;
    let mut usual: ElasticsearchSettings = settings(json!({ "url": receiver.url }));
    assert_eq!((usual.format, usual.batch_size), (FormatName::Ecs, ByteSize(4 << 20)));
    usual.batch_size = ByteSize(1);
    usual.ecs.namespace = Some("{{ tenant.slug }}".to_owned().try_into().expect("a template"));
    deliver(&sink(usual), &["a", "b"]).await;
    let seen = receiver.seen();
    assert_eq!(seen.len(), 2, "each goes alone");
    let (index, _, document) = created(&seen[0]).remove(0);
    assert!(document["@timestamp"].is_string());
    let named = &document["data_stream"];
    let named = ["type", "dataset", "namespace"].map(|part| named[part].as_str().expect("a text"));
    assert_eq!(index, named.join("-"));
    assert_eq!(index, "logs-m365_defender.alert-tenant_0");
}

#[test]
fn the_page_names_only_keys_that_exist() {
    check_page::<ElasticsearchSettings>("elasticsearch");
}
