use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_http::Proxy;
use muster_model::Outcome;
use serde_json::json;

use tokio::net::TcpListener;
use uuid::Uuid;

use super::*;
use crate::sinks::Sink;
use crate::sinks::scripted::{HANGS, Receiver, Request, http, kept};
use crate::sinks::suite::{self, Behaviour, Harness};
use crate::sinks::testing::{body, check_page, delivery, delivery_batch, settings, surroundings, tenant};
use crate::sinks::tickets;

const DONE: &str = r#"{"text":"Success","code":0}"#;

impl Request {
    fn ids(&self) -> Vec<String> {
        let events = serde_json::Deserializer::from_slice(&self.body).into_iter::<serde_json::Value>();
        let id = |event: serde_json::Value| event["event"]["id"].as_str().expect("an id").to_owned();
        events.map(|event| id(event.expect("JSON"))).collect()
    }

    fn is_event(&self) -> bool {
        self.path == "/services/collector/event"
    }
}

/// A collector that answers as it is told, and remembers what it was asked.
type Collector = Receiver;

impl Collector {
    fn settings(&self) -> SplunkHecSettings {
        settings(json!({ "url": self.url, "token": { "file": "token" } }))
    }

    fn sink(&self, change: impl FnOnce(&mut SplunkHecSettings)) -> Sink {
        let mut settings = self.settings();
        change(&mut settings);
        Sink::SplunkHec(SplunkHec::build("splunk", settings, &surroundings()).expect("a sink"))
    }
}

fn said(status: u16, body: &str) -> String {
    http(status, "", body)
}

/// Delivers records with these ids.
async fn deliver(sink: &Sink, ids: &[&str]) -> Report {
    let bodies: Vec<String> = ids.iter().map(|id| body(id)).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    let deliveries = [delivery(1, &bodies)];
    sink.deliver_and_wait(delivery_batch(&tenant(0), &deliveries)).await
}

fn is_retry(report: &Report, words: &str) {
    assert!(report.outcomes.iter().all(|outcome| *outcome == Outcome::Retry), "{report:?}");
    let trouble = report.trouble.as_ref().expect("a trouble");
    assert!(trouble.reason.contains(words), "{}", trouble.reason);
    assert!(trouble.reason.starts_with("sink `splunk` (http://127.0.0.1:"), "{}", trouble.reason);
    assert!(!trouble.reason.contains("a-token"), "{}", trouble.reason);
}

fn all_delivered(report: &Report, count: usize) {
    assert_eq!(*report, Report { outcomes: vec![Outcome::Delivered; count], trouble: None });
}

#[tokio::test]
async fn an_accepted_request_counts_where_nothing_is_acknowledged() {
    let collector = Collector::start(|_| said(200, DONE)).await;
    all_delivered(&deliver(&collector.sink(|_| {}), &["a", "b"]).await, 2);
    let seen = collector.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].ids(), ["a", "b"]);
    assert_eq!(seen[0].headers["authorization"], "Splunk a-token");
    assert!(seen[0].headers["x-splunk-request-channel"].parse::<Uuid>().is_ok());
    all_delivered(
        &deliver(&collector.sink(|settings| settings.acknowledge = Acknowledge::Off), &["c"]).await,
        1,
    );
}

#[tokio::test]
async fn bodies_are_bounded_and_may_be_compressed() {
    let collector = Collector::start(|_| said(200, DONE)).await;
    let sink = collector.sink(|settings| {
        settings.batch_size = ByteSize(900);
        settings.gzip = true;
    });
    let big = "x".repeat(2000);
    all_delivered(&deliver(&sink, &["a", "b", &big, "c", "d", "e", "f", "g", "h"]).await, 9);
    let mut ids = Vec::new();
    for mut request in collector.seen() {
        assert_eq!(request.headers["content-encoding"], "gzip");
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&request.body[..]).read_to_end(&mut plain).expect("gzip");
        request.body = plain;
        assert!(request.body.len() <= 900 || request.ids() == [big.as_str()]);
        ids.extend(request.ids());
    }
    ids.sort();
    assert_eq!(ids, ["a", "b", "c", "d", "e", "f", "g", "h", big.as_str()]);
}

#[tokio::test]
async fn what_cannot_be_encoded_is_rejected_alone() {
    let collector = Collector::start(|_| said(200, DONE)).await;
    let (a, b) = (body("a"), body("b"));
    let mut bad = delivery(1, &[&a, "{\"id\":", &b]);
    // Incidents are taken apart, so that they are looked into.
    bad.source = muster_model::Source::GraphIncidents;
    let report = collector.sink(|_| {}).deliver_and_wait(delivery_batch(&tenant(0), &[bad])).await;
    assert_eq!(report.outcomes[0], Outcome::Delivered);
    assert!(matches!(&report.outcomes[1], Outcome::Rejected(_)), "{report:?}");
    assert_eq!(report.outcomes[2], Outcome::Delivered);
}

#[tokio::test]
async fn refusals_keep_everything_owed_and_say_what_to_do() {
    for (status, answer, words) in [
        (403, r#"{"text":"Token disabled","code":1}"#, "the token is disabled"),
        (401, r#"{"text":"Token is required","code":2}"#, "the token is not taken"),
        (401, r#"{"text":"Invalid authorization","code":3}"#, "the token is not taken"),
        (403, r#"{"text":"Invalid token","code":4}"#, "the token is not taken"),
        (400, r#"{"text":"Incorrect index","code":7,"invalid-event-number":1}"#, "the index is not one"),
        (500, r#"{"text":"Internal server error","code":8}"#, "busy or down"),
        (400, r#"{"text":"Data channel is missing","code":10}"#, "the data channel"),
        (400, r#"{"text":"surprise","code":99}"#, "the request was refused (surprise, code 99"),
        (404, "<html>not found</html>", "no event collector at this address"),
        (200, "<html>\u{1b}[31mPlease log in</html>", "answers, but not like Splunk HEC"),
        (200, r#"{"text":"?","code":5}"#, "answers, but not like Splunk HEC"),
        (200, "", "answers, but not like Splunk HEC"),
        (502, "bad gateway", "busy or down"),
    ] {
        let collector = Collector::start(move |_| said(status, answer)).await;
        let report = deliver(&collector.sink(|_| {}), &["a", "b"]).await;
        is_retry(&report, words);
        assert!(!report.trouble.expect("a trouble").reason.contains('\u{1b}'));
    }
}

#[tokio::test]
async fn a_busy_collector_says_how_long_to_wait() {
    let busy = r#"{"text":"Server is busy","code":9,"invalid-event-number":0}"#;
    let dates = "Date: Wed, 21 Oct 2026 07:28:00 GMT\r\nRetry-After: Wed, 21 Oct 2026 07:29:30 GMT\r\n";
    for (status, header, after) in [
        (503, "Retry-After: 7\r\n", Some(7)),
        (429, "Retry-After: 999999\r\n", Some(3600)),
        (503, dates, Some(90)),
        (503, "Retry-After: soon\r\n", None),
        (503, "", None),
    ] {
        let collector = Collector::start(move |_| http(status, header, busy)).await;
        let report = deliver(&collector.sink(|_| {}), &["a"]).await;
        is_retry(&report, "busy");
        assert_eq!(report.trouble.expect("a trouble").after, after.map(Duration::from_secs));
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_the_token() {
    let elsewhere = Collector::start(|_| said(200, DONE)).await;
    let location = format!("Location: {}services/collector/event\r\n", elsewhere.url);
    for status in [301, 307, 308] {
        let location = location.clone();
        let collector = Collector::start(move |_| http(status, &location, "")).await;
        is_retry(&deliver(&collector.sink(|_| {}), &["a"]).await, "redirects elsewhere");
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn answers_are_bounded_and_may_be_cut() {
    let endless = Collector::start(|_| said(200, &"x".repeat(2 << 20))).await;
    is_retry(&deliver(&endless.sink(|_| {}), &["a"]).await, "more than 1048576 bytes");
    let cut =
        Collector::start(|_| "HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n{\"text\":".to_owned()).await;
    is_retry(&deliver(&cut.sink(|_| {}), &["a"]).await, "no way to Splunk");
    let silent = Collector::start(|_| String::new()).await;
    is_retry(&deliver(&silent.sink(|_| {}), &["a"]).await, "no way to Splunk");
    let nobody = Url::parse("http://127.0.0.1:9").expect("a URL");
    is_retry(
        &deliver(&cut.sink(|settings| settings.url = Urls(vec![nobody])), &["a"]).await,
        "no way to Splunk",
    );
}

#[tokio::test]
async fn a_stalled_collector_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let settings = settings(json!({ "url": url, "token": { "file": "token" }, "timeout": "50ms" }));
    let sink = Sink::SplunkHec(SplunkHec::build("splunk", settings, &surroundings()).expect("a sink"));
    is_retry(&deliver(&sink, &["a"]).await, "no answer within 50ms");
}

/// Refuses events whose id starts with `bad`, counting them from `base`.
fn picky(base: usize) -> impl Fn(&Request) -> String {
    move |request| match request.ids().iter().position(|id| id.starts_with("bad")) {
        None => said(200, DONE),
        Some(at) => said(
            400,
            &format!(r#"{{"text":"Invalid data format","code":6,"invalid-event-number":{}}}"#, at + base),
        ),
    }
}

#[tokio::test]
async fn only_the_invalid_event_is_buried_however_the_collector_counts() {
    for base in [0, 1, 7] {
        let collector = Collector::start(picky(base)).await;
        let report = deliver(&collector.sink(|_| {}), &["a", "b", "bad1", "c", "d", "bad2"]).await;
        for (index, outcome) in report.outcomes.iter().enumerate() {
            match outcome {
                Outcome::Delivered => assert!(![2, 5].contains(&index), "{report:?}"),
                Outcome::Rejected(reason) => {
                    assert!([2, 5].contains(&index), "{report:?}");
                    assert!(reason.contains("Invalid data format, code 6"), "{reason}");
                }
                _ => panic!("{report:?}"),
            }
        }
    }
}

#[tokio::test]
async fn too_large_requests_are_split() {
    let collector =
        Collector::start(
            |request| {
                if request.body.len() > 700 { said(413, "too large") } else { said(200, DONE) }
            },
        )
        .await;
    let big = "x".repeat(900);
    let report = deliver(&collector.sink(|_| {}), &["a", "b", "c", &big, "d", "e"]).await;
    assert!(
        matches!(&report.outcomes[3], Outcome::Rejected(reason) if reason.contains("no event of this size"))
    );
    assert_eq!(report.outcomes.iter().filter(|outcome| **outcome == Outcome::Delivered).count(), 5);
    assert_eq!(report.trouble, None);
}

#[tokio::test]
async fn one_failed_request_leaves_the_others_delivered() {
    let collector =
        Collector::start(|request| if request.ids() == ["down"] { said(503, "") } else { said(200, DONE) })
            .await;
    let sink = collector.sink(|settings| settings.batch_size = ByteSize(1));
    let report = deliver(&sink, &["a", "b", "down"]).await;
    assert_eq!(report.outcomes, [Outcome::Delivered, Outcome::Delivered, Outcome::Retry]);
    assert!(report.trouble.is_some());
}

/// Acknowledges each request when it has been asked about it `questions` times.
fn acknowledging(questions: usize) -> impl Fn(&Request) -> String + Send + Sync {
    let asked = Mutex::new((0_u64, HashMap::<u64, usize>::new()));
    move |request| {
        let mut asked = asked.lock().expect("a lock");
        if request.is_event() {
            asked.0 += 1;
            return said(200, &format!(r#"{{"text":"Success","code":0,"ackId":{}}}"#, asked.0));
        }
        assert!(request.path.starts_with("/services/collector/ack?channel="), "{}", request.path);
        let question: HashMap<String, Vec<u64>> = serde_json::from_slice(&request.body).expect("a question");
        let acks: BTreeMap<String, bool> = question["acks"]
            .iter()
            .map(|id| {
                let times = asked.1.entry(*id).or_default();
                *times += 1;
                // Like Splunk: told once, then forgotten.
                (id.to_string(), *times == questions)
            })
            .collect();
        said(200, &serde_json::json!({ "acks": acks }).to_string())
    }
}

#[tokio::test]
async fn acknowledgements_are_waited_for() {
    let collector = Collector::start(acknowledging(3)).await;
    let sink = collector.sink(|settings| settings.batch_size = ByteSize(1));
    let (first, second) =
        tokio::join!(deliver(&sink, &["a", "b", "c", "d", "e", "f"]), deliver(&sink, &["g"]));
    all_delivered(&first, 6);
    all_delivered(&second, 1);
    let seen = collector.seen();
    let questions = seen.iter().filter(|request| !request.is_event()).count();
    assert_eq!(seen.len() - questions, 7);
    assert_eq!(questions, 3 * 7, "each on a channel of its own");
    let Sink::SplunkHec(sink) = sink else { unreachable!() };
    assert_eq!(sink.lines.waiting(), 0);
}

#[tokio::test]
async fn what_is_never_acknowledged_stays_owed() {
    let collector = Collector::start(acknowledging(usize::MAX)).await;
    let sink = collector.sink(|settings| settings.ack_timeout = Span(Duration::from_millis(100)));
    is_retry(&deliver(&sink, &["a"]).await, "did not acknowledge them within 100ms");
    let Sink::SplunkHec(sink) = sink else { unreachable!() };
    assert_eq!(sink.lines.waiting(), 0);
}

#[tokio::test]
async fn a_token_withdrawn_while_waiting_is_told() {
    let collector = Collector::start(|request| {
        if request.is_event() {
            said(200, r#"{"text":"Success","code":0,"ackId":0}"#)
        } else {
            said(403, r#"{"text":"Token disabled","code":1}"#)
        }
    })
    .await;
    let sink = collector.sink(|settings| settings.ack_timeout = Span(Duration::from_millis(100)));
    is_retry(&deliver(&sink, &["a"]).await, "the token is disabled");
}

#[tokio::test]
async fn a_lost_question_is_repeated_and_the_channel_left() {
    let lost = AtomicBool::new(false);
    let collector_answers = acknowledging(1);
    let collector = Collector::start(move |request| {
        if !request.is_event() && !lost.swap(true, Ordering::Relaxed) {
            return String::new();
        }
        collector_answers(request)
    })
    .await;
    let sink = collector.sink(|_| {});
    all_delivered(&deliver(&sink, &["a"]).await, 1);
    all_delivered(&deliver(&sink, &["b"]).await, 1);
    let channels: Vec<_> = collector
        .seen()
        .iter()
        .filter(|request| request.is_event())
        .map(|request| request.headers["x-splunk-request-channel"].clone())
        .collect();
    assert_ne!(channels[0], channels[1], "ids start over when a collector restarts");
}

#[tokio::test]
async fn where_acknowledgement_is_required_nothing_is_sent_without() {
    let disabled = |request: &Request| {
        if request.is_event() {
            said(200, DONE)
        } else {
            said(400, r#"{"text":"ACK is disabled","code":14}"#)
        }
    };
    let collector = Collector::start(disabled).await;
    let sink = collector.sink(|settings| settings.acknowledge = Acknowledge::Required);
    is_retry(&deliver(&sink, &["a"]).await, "enable indexer acknowledgement");
    assert!(collector.seen().iter().all(|request| !request.is_event()));
}

/// One of several that is down stops nothing, and one that is there must acknowledge.
#[tokio::test]
async fn where_acknowledgement_is_required_a_collector_that_is_down_stops_no_other() {
    let collector = Collector::start(acknowledging(1)).await;
    let sink = collector.sink(|settings| {
        settings.acknowledge = Acknowledge::Required;
        settings.url.0.insert(0, "http://127.0.0.1:9".parse().expect("a URL"));
    });
    assert_eq!(deliver(&sink, &["a"]).await.outcomes, [Outcome::Delivered]);
}

/// A collector tells each acknowledgement once. Asking whether it acknowledges at all must not use one up that a
/// delivery batch beside it waits for.
#[tokio::test]
async fn asking_for_acknowledgement_takes_none_that_is_waited_for() {
    let collector = Collector::start(acknowledging(1)).await;
    let sink = collector.sink(|settings| settings.acknowledge = Acknowledge::Required);
    deliver(&sink, &["a"]).await;
    let channel = |request: &Request| request.headers["x-splunk-request-channel"].clone();
    let seen = collector.seen();
    let event = seen.iter().position(Request::is_event).expect("an event");
    assert!(event > 0, "it asks first");
    assert!(seen[..event].iter().all(|request| channel(request) != channel(&seen[event])));
}

#[tokio::test]
async fn the_way_is_tested_without_an_event() {
    let collector = Collector::start(|request| match request.path.as_str() {
        "/services/collector/health" => said(200, r#"{"text":"HEC is healthy","code":17}"#),
        "/services/collector/event" => said(400, r#"{"text":"No data","code":5}"#),
        _ => said(400, r#"{"text":"ACK is disabled","code":14}"#),
    })
    .await;
    let found = collector.sink(|_| {}).test().await.expect("usable");
    assert!(found.ends_with("does not acknowledge: what it accepts counts as delivered"), "{found}");
    let required = collector.sink(|settings| settings.acknowledge = Acknowledge::Required).test().await;
    assert!(required.expect_err("required").to_string().contains("enable indexer acknowledgement"));

    let wrong = Collector::start(|request| match request.path.as_str() {
        "/services/collector/health" => said(200, r#"{"text":"HEC is healthy","code":17}"#),
        _ => said(403, r#"{"text":"Invalid token","code":4}"#),
    })
    .await;
    let error = wrong.sink(|_| {}).test().await.expect_err("a wrong token").to_string();
    assert!(error.starts_with("sink `splunk`: (http://127.0.0.1:"), "{error}");
    assert!(error.contains("the token is not taken (Invalid token, code 4, HTTP 403)"), "{error}");
}

#[tokio::test]
async fn settings_that_cannot_work_are_told() {
    let collector = Collector::start(|_| said(200, DONE)).await;
    let refused = |url: &str, token: &str| {
        let settings =
            SplunkHecSettings { url: Urls(vec![url.parse().expect("a URL")]), ..collector.settings() };
        let token = token.to_owned();
        let around = Surroundings { secret: Arc::new(move |_| Ok(token.as_str().into())), ..surroundings() };
        SplunkHec::build("splunk", settings, &around).expect_err("refused").to_string()
    };
    assert!(refused("ftp://x", "a-token").contains("https://splunk.example"));
    let with_password = refused("https://u:hunter2@x", "a-token");
    assert!(with_password.contains("no user or password") && !with_password.contains("hunter2"));
    let with_token = refused(collector.url.as_str(), "hunter2\n");
    assert!(with_token.contains("token is empty") && !with_token.contains("hunter2"));

    let typed_in_full = collector.sink(|settings| {
        let url = format!("{}services/collector/event", collector.url);
        settings.url = Urls(vec![url.parse().expect("a URL")]);
    });
    all_delivered(&deliver(&typed_in_full, &["a"]).await, 1);
    assert!(!format!("{typed_in_full:?}").contains("a-token"));
}

#[tokio::test]
async fn a_proxy_carries_the_request() {
    let proxy = Collector::start(|_| said(200, DONE)).await;
    let url = proxy.url.clone();
    let settings = SplunkHecSettings {
        url: Urls(vec!["http://splunk.invalid:8088".parse().expect("a URL")]),
        ..proxy.settings()
    };
    let proxied = Ok(Some(Proxy { url, no_proxy: Some("other.invalid".to_owned()) }));
    let around = Surroundings { proxy: proxied, ..surroundings() };
    let sink = Sink::SplunkHec(SplunkHec::build("splunk", settings, &around).expect("a sink"));
    all_delivered(&deliver(&sink, &["a"]).await, 1);
    assert_eq!(proxy.seen()[0].path, "http://splunk.invalid:8088/services/collector/event");
}

/// Connections stay open, every request gets the next number of its channel, and is stored at once.
fn indexer() -> impl Fn(&Request) -> String + Send + Sync {
    let channels = Mutex::new(HashMap::<String, u64>::new());
    move |request| {
        let channel = request.headers["x-splunk-request-channel"].clone();
        if request.is_event() {
            let mut channels = channels.lock().expect("a lock");
            let next = channels.entry(channel).or_default();
            *next += 1;
            return kept(200, &format!(r#"{{"text":"Success","code":0,"ackId":{}}}"#, *next - 1));
        }
        let question: HashMap<String, Vec<u64>> = serde_json::from_slice(&request.body).expect("a question");
        let acks: BTreeMap<String, bool> = question["acks"].iter().map(|id| (id.to_string(), true)).collect();
        kept(200, &json!({ "acks": acks }).to_string())
    }
}

#[tokio::test]
async fn data_goes_on_a_channel_over_one_connection_and_one_request_at_a_time() {
    let collector = Collector::start(indexer()).await;
    let sink = collector.sink(|settings| settings.batch_size = ByteSize(1));
    for _ in 0..5 {
        let (first, second) = tokio::join!(deliver(&sink, &["a", "b", "c"]), deliver(&sink, &["d", "e"]));
        all_delivered(&first, 3);
        all_delivered(&second, 2);
    }
    let (mut connection_of, mut is_waiting) = (HashMap::new(), HashMap::new());
    for request in collector.seen() {
        let channel = request.headers["x-splunk-request-channel"].clone();
        let first = *connection_of.entry(channel.clone()).or_insert(request.connection);
        assert_eq!(first, request.connection, "it is asked where it was sent, as long as that is there");
        // It is sent again on a channel only when it was asked for what had been sent before.
        assert_ne!(is_waiting.insert(channel, request.is_event()), Some(request.is_event()));
    }
    assert!(connection_of.len() < 25, "channels are used again: {}", connection_of.len());
}

#[tokio::test]
async fn a_number_handed_out_twice_is_not_believed() {
    let collector = Collector::start(|request| match request.is_event() {
        true => kept(200, r#"{"text":"Success","code":0,"ackId":0}"#),
        false => kept(200, r#"{"acks":{"0":true}}"#),
    })
    .await;
    let sink = collector.sink(|_| {});
    all_delivered(&deliver(&sink, &["a"]).await, 1);
    is_retry(&deliver(&sink, &["b"]).await, "handed out acknowledgement id 0 twice");
    all_delivered(&deliver(&sink, &["b"]).await, 1);
    let events: Vec<_> = collector.seen().into_iter().filter(Request::is_event).collect();
    assert_eq!(events[0].connection, events[1].connection);
    assert_ne!(events[1].connection, events[2].connection, "it is not trusted any more");
}

#[tokio::test]
async fn what_is_said_of_other_numbers_is_somebody_elses() {
    let collector = Collector::start(|request| match request.is_event() {
        true => kept(200, r#"{"text":"Success","code":0,"ackId":18446744073709551615}"#),
        false => kept(200, r#"{"acks":{"18446744073709551614":true,"1":true}}"#),
    })
    .await;
    let sink = collector.sink(|settings| settings.ack_timeout = Span(Duration::from_millis(100)));
    is_retry(&deliver(&sink, &["a"]).await, "did not acknowledge them");
    let question = collector.seen().into_iter().find(|request| !request.is_event()).expect("a question");
    assert_eq!(question.body, br#"{"acks":[18446744073709551615]}"#);
}

/// A balancer's cookie comes back with everything that goes over the connection, and nowhere else.
#[tokio::test]
async fn cookies_of_a_balancer_are_shown_again() {
    let answers = indexer();
    let collector = Collector::start(move |request| {
        answers(request).replace("\r\n\r\n", "\r\nSet-Cookie: route=indexer-2; Path=/\r\n\r\n")
    })
    .await;
    let sink = collector.sink(|_| {});
    all_delivered(&deliver(&sink, &["a"]).await, 1);
    all_delivered(&deliver(&sink, &["b"]).await, 1);
    let cookies: Vec<_> =
        collector.seen().iter().map(|request| request.headers.get("cookie").cloned()).collect();
    let route = Some("route=indexer-2".to_owned());
    assert_eq!(cookies, [None, route.clone(), route.clone(), route]);
}

/// Refuses events whose id starts with `bad`, in words that are not HEC's.
fn firewall(status: u16) -> impl Fn(&Request) -> String + Send + Sync {
    move |request| match request.path.as_str() {
        "/services/collector/event" if request.body.is_empty() => said(400, r#"{"text":"No data","code":5}"#),
        _ if request.ids().iter().any(|id| id.starts_with("bad")) => {
            said(status, "<html>Request Rejected</html>")
        }
        _ => said(200, DONE),
    }
}

#[tokio::test]
async fn a_firewalls_page_is_about_one_event() {
    for status in [400, 403, 406, 500, 502] {
        let collector = Collector::start(firewall(status)).await;
        let report = deliver(&collector.sink(|_| {}), &["a", "b", "bad1", "c", "d", "bad2", "e"]).await;
        for (index, outcome) in report.outcomes.iter().enumerate() {
            match outcome {
                Outcome::Rejected(reason) => {
                    assert!([2, 5].contains(&index) && reason.contains("Request Rejected"), "{report:?}");
                }
                outcome => assert!(![2, 5].contains(&index) && *outcome == Outcome::Delivered, "{report:?}"),
            }
        }
        assert_eq!(report.trouble, None);
    }
}

#[tokio::test]
async fn who_refuses_everything_is_in_trouble_and_buries_nothing() {
    for status in [400, 403, 500] {
        let collector = Collector::start(firewall(status)).await;
        let sink = collector.sink(|_| {});
        let ids: Vec<String> = (0..200).map(|number| format!("bad{number}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let report = deliver(&sink, &ids).await;
        is_retry(&report, "nothing else was taken meanwhile");
        assert!(collector.seen().len() < 100, "the search ends: {} requests", collector.seen().len());
        is_retry(&deliver(&sink, &["bad0"]).await, "nothing else was taken meanwhile");
        is_retry(&deliver(&sink, &["bad0"]).await, "nothing else was taken meanwhile");
        // Once something else has been taken, it is known whose fault it is.
        all_delivered(&deliver(&sink, &["a"]).await, 1);
        let report = deliver(&sink, &["bad0"]).await;
        assert!(matches!(&report.outcomes[..], [Outcome::Rejected(_)]), "{report:?}");
        // Now that it takes something, the search goes to its end; and each is judged when it has taken something again.
        deliver(&sink, &ids).await;
        all_delivered(&deliver(&sink, &["a"]).await, 1);
        let report = deliver(&sink, &ids).await;
        assert!(report.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Rejected(_))), "{report:?}");
    }
}

/// Without a good token nothing is searched for.
#[tokio::test]
async fn a_firewall_that_refuses_the_token_too_is_not_searched() {
    let collector = Collector::start(|_| said(403, "<html>Request Rejected</html>")).await;
    is_retry(&deliver(&collector.sink(|_| {}), &["a", "b", "c"]).await, "the token is not taken");
    assert_eq!(collector.seen().len(), 2);
}

#[tokio::test]
async fn requests_shrink_while_they_get_no_answer() {
    let collector = Collector::start(|request| match request.body.len() {
        0..700 => kept(200, DONE),
        _ => String::new(),
    })
    .await;
    let sink = collector.sink(|settings| settings.batch_size = ByteSize(4096));
    let ids = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let mut rounds = 0;
    while deliver(&sink, &ids).await.trouble.is_some() {
        rounds += 1;
        assert!(rounds < 8, "requests do not shrink");
    }
    assert!(rounds > 0);
}

#[tokio::test]
async fn of_several_collectors_those_that_are_well_take_everything() {
    let answers = indexer();
    let (well, busy) = (Collector::start(answers).await, Collector::start(|_| said(503, "")).await);
    let nobody: Url = "http://127.0.0.1:9".parse().expect("a URL");
    let sink = well.sink(|settings| {
        settings.url = Urls(vec![nobody, busy.url.clone(), well.url.clone()]);
        settings.batch_size = ByteSize(1);
    });
    for _ in 0..3 {
        all_delivered(&deliver(&sink, &["a", "b", "c", "d", "e", "f"]).await, 6);
    }
    assert!(busy.seen().len() <= 8, "it is passed over: {} requests", busy.seen().len());
    let trouble = sink.test().await.expect_err("one is down").to_string();
    assert!(trouble.contains("http://127.0.0.1:9"), "{trouble}");

    // Two that are well share the work.
    let (first, second) = (Collector::start(indexer()).await, Collector::start(indexer()).await);
    let sink = first.sink(|settings| {
        settings.url = Urls(vec![first.url.clone(), second.url.clone()]);
        settings.batch_size = ByteSize(1);
    });
    all_delivered(&deliver(&sink, &["a", "b", "c", "d", "e", "f"]).await, 6);
    assert!(!first.seen().is_empty() && !second.seen().is_empty());
}

/// The token is for the addresses of the settings: a ticket of another is not asked about.
#[tokio::test]
async fn a_ticket_of_an_address_that_is_gone_is_not_asked_about() {
    let collector = Collector::start(indexer()).await;
    let sink = collector.sink(|_| {});
    let mut ticket = Ticket {
        endpoint: "https://gone.example:8088".to_owned(),
        channel: Uuid::from_u128(1),
        ack_id: 0,
        cookies: None,
    };
    let said = sink.answers(&tenant(0), &[ticket.clone()]).await;
    assert!(matches!(&said[..], [Some(tickets::Said::Gone(_))]), "{said:?}");
    assert!(collector.seen().is_empty());
    ticket.endpoint = collector.url.as_str().trim_end_matches('/').to_owned();
    let said = sink.answers(&tenant(0), &[ticket]).await;
    assert_eq!(said, [Some(tickets::Said::Stored)], "one of before a restart is");
}

/// One of several collectors stands behind a firewall that refuses every event, and lets empty requests through.
#[tokio::test]
async fn of_several_collectors_one_that_refuses_everything_buries_nothing_and_is_left() {
    let all = |request: &Request| match request.body.is_empty() {
        true => said(400, r#"{"text":"No data","code":5}"#),
        false => said(403, "<html>Request Rejected</html>"),
    };
    let (well, refusing) = (Collector::start(firewall(403)).await, Collector::start(all).await);
    let sink = well.sink(|settings| {
        settings.url = Urls(vec![refusing.url.clone(), well.url.clone()]);
        settings.batch_size = ByteSize(1);
    });
    for _ in 0..5 {
        all_delivered(&deliver(&sink, &["a", "b", "c", "d"]).await, 4);
    }
    let asked = refusing.seen().len();
    assert!(asked < 12, "it is out of use: {asked} requests");
    let report = deliver(&sink, &["e", "bad1", "f"]).await;
    assert!(matches!(&report.outcomes[1], Outcome::Rejected(_)), "one that both refuse is: {report:?}");
    assert_eq!((&report.outcomes[0], &report.outcomes[2]), (&Outcome::Delivered, &Outcome::Delivered));
}

/// That one collector knows the token says nothing of another.
#[tokio::test]
async fn whether_the_token_is_good_is_asked_of_each_collector() {
    let (first, second) = (Collector::start(firewall(403)).await, Collector::start(firewall(403)).await);
    let sink = first.sink(|settings| settings.url = Urls(vec![first.url.clone(), second.url.clone()]));
    let report = deliver(&sink, &["a", "bad1", "b"]).await;
    assert!(matches!(&report.outcomes[1], Outcome::Rejected(_)), "{report:?}");
    for collector in [first, second] {
        assert!(collector.seen().iter().any(|request| request.body.is_empty()), "each is asked");
    }
}

/// A collector that does not know the token is passed over, and the others take everything.
#[tokio::test]
async fn a_collector_that_does_not_know_the_token_is_passed_over() {
    let wrong = |_: &Request| said(403, r#"{"text":"Invalid token","code":4}"#);
    let (well, wrong) = (Collector::start(indexer()).await, Collector::start(wrong).await);
    let sink = well.sink(|settings| {
        settings.url = Urls(vec![wrong.url.clone(), well.url.clone()]);
        settings.batch_size = ByteSize(1);
    });
    for _ in 0..3 {
        all_delivered(&deliver(&sink, &["a", "b", "c", "d"]).await, 4);
    }
    assert!(wrong.seen().len() < 8, "{} requests", wrong.seen().len());
}

/// Answers about some requests only.
struct Hearing(Mutex<Vec<(usize, tickets::Said)>>, usize);

#[async_trait::async_trait]
impl HearAnswers for Hearing {
    async fn said(&self, place: usize, said: tickets::Said) {
        self.0.lock().expect("a lock").push((place, said));
    }

    fn goes_on(&self) -> bool {
        self.0.lock().expect("a lock").len() < self.1
    }
}

fn ticket(collector: &Collector, number: u64) -> Ticket {
    Ticket {
        endpoint: collector.url.as_str().trim_end_matches('/').to_owned(),
        channel: Uuid::from_u128(u128::from(number)),
        ack_id: 0,
        cookies: None,
    }
}

/// A collector that is silent ends its own round, and is left alone for a while; others are asked as ever.
#[tokio::test]
async fn collectors_are_asked_side_by_side() {
    let silent = Collector::start(|_| HANGS.to_owned()).await;
    let well = Collector::start(indexer()).await;
    let sink = well.sink(|settings| {
        settings.url = Urls(vec![silent.url.clone(), well.url.clone()]);
        settings.timeout = Span(Duration::from_secs(2));
    });
    let tickets: Vec<Ticket> =
        (0..40).map(|number| ticket(if number % 2 == 0 { &silent } else { &well }, number)).collect();
    let said = sink.answers(&tenant(0), &tickets).await;
    let of = |parity: usize| said.iter().skip(parity).step_by(2);
    assert!(of(1).all(|said| *said == Some(tickets::Said::Stored)), "{said:?}");
    assert!(of(0).all(|said| matches!(said, None | Some(tickets::Said::Unclear(_)))), "{said:?}");
    assert!(silent.seen().len() <= 4, "{} of 20 questions to a silent collector", silent.seen().len());
    let told = of(0).flatten().next().expect("that it is silent is told");
    assert!(format!("{told:?}").contains("no answer within 2s when it was asked"), "{told:?}");
    // At once again.
    let before = silent.seen().len();
    let said = sink.answers(&tenant(0), &tickets).await;
    assert_eq!(silent.seen().len(), before, "it is not asked again so soon");
    assert!(said.iter().skip(1).step_by(2).all(|said| *said == Some(tickets::Said::Stored)));
}

/// Whoever is told to stop asks nothing more, but waits for what was asked: an answer is given once.
#[tokio::test]
async fn nothing_more_is_asked_when_it_is_to_stop() {
    let collector = Collector::start(indexer()).await;
    let sink = collector.sink(|_| {});
    let tickets: Vec<Ticket> = (0..100).map(|number| ticket(&collector, number)).collect();
    let label = tenant(0);
    let asked: Vec<_> = tickets.iter().map(|ticket| AskedTicket { tenant: &label, ticket }).collect();
    let hearing = Hearing(Mutex::default(), 5);
    sink.ask(&asked, &hearing).await;
    let heard = hearing.0.into_inner().expect("a lock");
    assert_eq!(heard.len(), collector.seen().len(), "every question was waited for");
    assert!((5..9).contains(&heard.len()), "{} answers", heard.len());
    assert!(heard.iter().all(|(_, said)| *said == tickets::Said::Stored));
}

/// The ticket of one event of a record is no use when another event of it was not taken: nothing waits for it.
#[tokio::test]
async fn what_is_not_kept_is_not_waited_for() {
    let answers = indexer();
    let collector = Collector::start(move |request| {
        let text = String::from_utf8_lossy(&request.body).into_owned();
        if text.contains("second") {
            kept(503, r#"{"text":"Server is busy","code":9}"#)
        } else {
            answers(request)
        }
    })
    .await;
    let incident = r#"{"id":"7","displayName":"x","alerts":[{"id":"first"},{"id":"second"}]}"#;
    let mut incidents = delivery(1, &[incident]);
    incidents.source = muster_model::Source::GraphIncidents;
    let sink = collector.sink(|settings| settings.batch_size = ByteSize(1));
    let report = sink.deliver_and_wait(delivery_batch(&tenant(0), &[incidents])).await;
    assert_eq!(report.outcomes, [Outcome::Retry]);
    assert!(collector.seen().len() > 1);
    let Sink::SplunkHec(sink) = sink else { unreachable!() };
    assert_eq!(sink.lines.waiting(), 0);
}

/// Fails to keep tickets, and looks whether the one who asks would find the line.
struct Forgetful<'a>(&'a SplunkHec, Mutex<Vec<bool>>);

#[async_trait::async_trait]
impl KeepTickets for Forgetful<'_> {
    async fn keep(&self, tickets: Vec<(Ticket, Vec<usize>)>) -> Result<(), String> {
        let is_known = tickets.iter().all(|(ticket, _)| self.0.lines.line_of(ticket.channel).is_some());
        self.1.lock().expect("a lock").push(is_known);
        Err("the disk is full".to_owned())
    }
}

#[tokio::test]
async fn the_line_is_known_before_the_ticket_is_kept_and_forgotten_when_it_is_not() {
    let collector = Collector::start(indexer()).await;
    let Sink::SplunkHec(sink) = collector.sink(|_| {}) else { unreachable!() };
    let (a, label) = (body("a"), tenant(0));
    let deliveries = [delivery(1, &[&a])];
    let keeper = Forgetful(&sink, Mutex::default());
    let report = sink.deliver(delivery_batch(&label, &deliveries), &keeper).await;
    is_retry(&report, "the disk is full");
    assert_eq!(keeper.1.into_inner().expect("a lock"), [true]);
    assert_eq!(sink.lines.waiting(), 0);
}

/// Tokens by place, which a test can change, and how often each was read.
#[derive(Clone, Default)]
struct Tokens(Arc<Mutex<HashMap<String, String>>>, Arc<Mutex<Vec<String>>>);

impl Tokens {
    fn set(&self, place: &str, token: &str) {
        self.0.lock().expect("a lock").insert(place.to_owned(), token.to_owned());
    }

    fn around(&self) -> crate::sinks::Surroundings<'static> {
        let Self(tokens, read) = self.clone();
        let secret = move |place: &SecretReference| {
            let place = place.to_string();
            read.lock().expect("a lock").push(place.clone());
            let found = tokens.lock().expect("a lock").get(&place).cloned();
            let reason = format!("there is no {place}");
            let found = found.ok_or(crate::sinks::NoSecret { reason, is_missing: true });
            found.map(|token| token.as_str().into())
        };
        crate::sinks::Surroundings { secret: Arc::new(secret), ..surroundings() }
    }
}

/// A collector that takes each token for one index only, and numbers requests by token and channel.
fn by_token(known: HashMap<String, String>) -> impl Fn(&Request) -> String + Send + Sync {
    let answers = indexer();
    move |request| {
        let token = request.headers["authorization"].trim_start_matches("Splunk ").to_owned();
        let Some(index) = known.get(&token) else {
            return kept(403, r#"{"text":"Invalid token","code":4}"#);
        };
        let events = serde_json::Deserializer::from_slice(&request.body).into_iter::<serde_json::Value>();
        if request.is_event() && events.flatten().any(|event| event["index"] != index.as_str()) {
            return kept(400, r#"{"text":"Incorrect index","code":7,"invalid-event-number":0}"#);
        }
        let channel = format!("{token}{}", request.headers["x-splunk-request-channel"]);
        let mut of_token = request.clone();
        of_token.headers.insert("x-splunk-request-channel".to_owned(), channel);
        answers(&of_token)
    }
}

async fn deliver_for(sink: &Sink, of: u128, ids: &[&str]) -> Report {
    let bodies: Vec<String> = ids.iter().map(|id| body(id)).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    sink.deliver_and_wait(delivery_batch(&tenant(of), &[delivery(1, &bodies)])).await
}

#[tokio::test]
async fn each_tenant_has_a_token_and_an_index_of_its_own() {
    let known = [
        ("secret-one", "muster_tenant-1"),
        ("secret-two", "muster_tenant-2"),
        ("secret-new", "muster_tenant-3"),
    ]
    .map(|(token, index)| (token.to_owned(), index.to_owned()));
    let collector = Collector::start(by_token(HashMap::from(known))).await;
    let tokens = Tokens::default();
    tokens.set("tokens/tenant-1", "secret-one");
    tokens.set("tokens/tenant-2", "secret-two");
    tokens.set("tokens/tenant-3", "secret-old");
    let section = json!({
        "url": collector.url, "token": { "file": "tokens/{{ tenant.slug }}" }, "index": "muster_{{ tenant.slug }}",
    });
    let sink = SplunkHec::build("splunk", settings(section), &tokens.around()).expect("a sink");
    let sink = Sink::SplunkHec(sink);
    for _ in 0..2 {
        all_delivered(&deliver_for(&sink, 1, &["a", "b"]).await, 2);
        all_delivered(&deliver_for(&sink, 2, &["c"]).await, 1);
    }
    // Neither a token that is refused nor one that is missing costs others anything.
    is_retry(&deliver_for(&sink, 3, &["d"]).await, "the token of tenant tenant-3 is not taken");
    let missing = deliver_for(&sink, 4, &["e"]).await;
    is_retry(&missing, "there is no token for tenant tenant-4: there is no tokens/tenant-4");
    all_delivered(&deliver_for(&sink, 1, &["f"]).await, 1);
    // They are read again by themselves; those that are good are not.
    tokens.set("tokens/tenant-3", "secret-new");
    all_delivered(&deliver_for(&sink, 3, &["d"]).await, 1);
    tokens.set("tokens/tenant-4", "secret-two");
    is_retry(
        &deliver_for(&sink, 4, &["e"]).await,
        "the index `muster_tenant-4` of tenant tenant-4 is not one that the token may write to",
    );
    let read = tokens.1.lock().expect("a lock").clone();
    let times = |place: &str| read.iter().filter(|read| *read == place).count();
    assert_eq!(["tokens/tenant-1", "tokens/tenant-2", "tokens/tenant-3"].map(times), [1, 1, 2]);
    // A channel belongs to its token.
    let mut token_of = HashMap::new();
    for request in collector.seen() {
        let token = request.headers["authorization"].clone();
        let channel = request.headers["x-splunk-request-channel"].clone();
        assert_eq!(*token_of.entry(channel).or_insert(token.clone()), token);
    }
    assert!(!format!("{sink:?}").contains("secret-"), "no token is shown");
}

#[tokio::test]
async fn tenants_without_a_token_of_their_own_have_the_default_one() {
    let known = HashMap::from([("all".to_owned(), "main".to_owned()), ("one".to_owned(), "main".to_owned())]);
    let collector = Collector::start(by_token(known)).await;
    let tokens = Tokens::default();
    tokens.set("tokens/tenant-1", "one");
    tokens.set("all", "all");
    let section = json!({
        "url": collector.url, "token": { "file": "tokens/{{ tenant.slug }}" }, "default_token": { "file": "all" },
        "index": "main",
    });
    let sink = SplunkHec::build("splunk", settings(section), &tokens.around()).expect("a sink");
    let sink = Sink::SplunkHec(sink);
    all_delivered(&deliver_for(&sink, 1, &["a"]).await, 1);
    all_delivered(&deliver_for(&sink, 2, &["b"]).await, 1);
    let used: Vec<String> = collector
        .seen()
        .iter()
        .filter(|request| request.is_event())
        .map(|request| request.headers["authorization"].clone())
        .collect();
    assert_eq!(used, ["Splunk one", "Splunk all"]);

    let section =
        json!({ "url": collector.url, "token": { "file": "t" }, "default_token": { "file": "all" } });
    let error = SplunkHec::build("splunk", settings(section), &tokens.around()).expect_err("refused");
    assert!(error.to_string().contains("default_token is only used where"), "{error}");
}

struct Misbehaving {
    collector: Collector,
    behaviour: Arc<Mutex<Behaviour>>,
    taken: Arc<Mutex<Vec<String>>>,
}

impl Misbehaving {
    async fn start() -> Self {
        let behaviour = Arc::new(Mutex::new(Behaviour::Well));
        let taken = Arc::new(Mutex::new(Vec::new()));
        let (now, taking) = (Arc::clone(&behaviour), Arc::clone(&taken));
        let collector = Collector::start(move |request| match request.path.as_str() {
            "/services/collector/health" => said(200, r#"{"text":"HEC is healthy","code":17}"#),
            "/services/collector/event" if request.body.is_empty() => {
                said(400, r#"{"text":"No data","code":5}"#)
            }
            "/services/collector/event" => {
                let behaviour = *now.lock().expect("a lock");
                let answer = match behaviour {
                    Behaviour::Well => said(200, DONE),
                    Behaviour::RefusesOne => picky(0)(request),
                    Behaviour::Down => return said(503, r#"{"text":"Server is busy","code":9}"#),
                    Behaviour::Slow => return HANGS.to_owned(),
                    Behaviour::Cuts => "HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n{\"text\":".to_owned(),
                    Behaviour::Nonsense => return said(200, "<html>Please log in</html>"),
                };
                if answer.starts_with("HTTP/1.1 200") {
                    taking.lock().expect("a lock").extend(request.ids());
                }
                answer
            }
            _ => said(400, r#"{"text":"ACK is disabled","code":14}"#),
        });
        Self { collector: collector.await, behaviour, taken }
    }
}

impl Harness for Misbehaving {
    async fn sink(&mut self, behaviour: Behaviour, timeout: Duration) -> Sink {
        *self.behaviour.lock().expect("a lock") = behaviour;
        let settings = SplunkHecSettings { timeout: Span(timeout), ..self.collector.settings() };
        Sink::SplunkHec(SplunkHec::build("suite", settings, &surroundings()).expect("a sink"))
    }

    async fn taken(&self) -> Vec<String> {
        self.taken.lock().expect("a lock").clone()
    }

    fn impossible(_: Behaviour) -> Option<&'static str> {
        None
    }

    const TELLS_REPETITIONS: bool = false;
}

#[tokio::test]
async fn suite() {
    suite::run(Misbehaving::start).await;
}

#[test]
fn the_page_names_only_keys_that_exist() {
    check_page::<SplunkHecSettings>("splunk_hec");
}
