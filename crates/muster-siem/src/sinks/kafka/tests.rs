use std::time::Duration;

use muster_model::{ByteSize, Outcome, Span};
use serde_json::{Value, json};

use super::broker::{Brokers, Fault, User};
use super::*;
use crate::sinks::Sink;
use crate::sinks::suite::{self, BAD, Behaviour, Harness};
use crate::sinks::testing::{body, check_page, delivery, delivery_batch, settings, surroundings, tenant};

pub(super) fn section(brokers: &Brokers) -> KafkaSettings {
    settings(json!({ "brokers": brokers.addresses, "topic": "alerts", "security_protocol": "plaintext" }))
}

fn at(host: &str, port: u16) -> BrokerAddress {
    BrokerAddress { host: host.into(), port }
}

/// So much time passes, and nothing happens in it.
pub(super) async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

pub(super) fn kafka(settings: KafkaSettings) -> Kafka {
    Kafka::build("kafka", settings, &surroundings()).expect("a sink")
}

pub(super) async fn deliver(sink: &Kafka, number: u64, ids: &[&str]) -> Report {
    let bodies: Vec<String> = ids.iter().map(|id| body(id)).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    sink.deliver(delivery_batch(&tenant(0), &[delivery(number, &bodies)])).await
}

pub(super) fn ids(brokers: &Brokers) -> Vec<String> {
    let values = brokers.values("alerts");
    let id = |value: &String| {
        let read: Value = serde_json::from_str(value).expect("JSON");
        read["id"].as_str().expect("an id").to_owned()
    };
    values.iter().map(id).collect()
}

pub(super) fn all_delivered(report: &Report) {
    let all = report.outcomes.iter().all(|outcome| *outcome == Outcome::Delivered);
    assert!(all && report.trouble.is_none(), "{report:?}");
}

pub(super) fn all_owed(report: &Report) {
    assert!(report.outcomes.iter().all(|outcome| *outcome == Outcome::Retry), "{report:?}");
}

pub(super) fn reason(report: &Report) -> &str {
    &report.trouble.as_ref().expect("it is said why").reason
}

#[tokio::test]
async fn a_record_says_whose_it_is_and_what_version() {
    let brokers = Brokers::start(1).await;
    brokers.set(|state| {
        state.topics.insert("alerts-tenant-0".to_owned(), 6);
    });
    let mut own = section(&brokers);
    own.topic = "alerts-{{ tenant.slug }}".to_owned().try_into().expect("a template");
    let sink = kafka(own);
    all_delivered(&deliver(&sink, 1, &["a", "b"]).await);
    let logs = brokers.get(|state| state.logs.clone());
    let records: Vec<_> = logs.values().flatten().collect();
    assert_eq!(records.len(), 2);
    for ((topic, partition), log) in &logs {
        assert_eq!(topic, "alerts-tenant-0");
        for record in log {
            assert_eq!(record::partition(record.key.as_bytes(), 6) as i32, *partition);
            let tenant = tenant(0).id.to_string();
            let id = &record.headers["record_id"];
            assert_eq!(record.key, format!("{tenant}/graph_alerts/{id}"));
            assert_eq!(
                (&record.headers["tenant_id"], record.headers["source"].as_str()),
                (&tenant, "graph_alerts")
            );
            assert_eq!(record.headers["content_type"], "application/json");
            assert_eq!(record.headers["record_version"], "2026-01-02T03:04:05.1234567Z");
            assert_eq!((record.headers["event_id"].len(), record.headers["record_digest"].len()), (32, 32));
            assert!(!record.headers.contains_key("part"));
        }
    }
    assert_ne!(records[0].headers["event_id"], records[1].headers["event_id"]);
    assert!(brokers.get(|state| state.clients.iter().all(|client| client == "muster")));
}

/// Versions that older brokers and newer ones speak, and each way of compressing.
#[tokio::test]
async fn brokers_of_many_versions_are_spoken_to() {
    for (newest, (produce, metadata)) in
        [((0, 3), (0, 4)), ((0, 5), (0, 5)), ((3, 7), (0, 7)), ((3, 13), (0, 13)), ((0, 8), (0, 8))]
            .into_iter()
            .enumerate()
    {
        for compression in ["none", "gzip", "zstd"] {
            let brokers = Brokers::start(1).await;
            brokers.set(|state| {
                (state.produce_versions, state.metadata_versions) = (produce, metadata);
                state.init_versions = (0, newest as i16);
            });
            let sink = kafka(settings(json!({
                "brokers": brokers.addresses, "topic": "alerts", "security_protocol": "plaintext",
                "compression": compression,
            })));
            let report = deliver(&sink, 1, &["a", "b"]).await;
            if compression == "zstd" && produce.1 < 7 {
                all_owed(&report);
                assert!(reason(&report).contains("takes no zstd"), "{report:?}");
                continue;
            }
            all_delivered(&report);
            assert_eq!(ids(&brokers), ["a", "b"]);
            let written = brokers.get(|state| format!("{:?}", state.compressions)).to_lowercase();
            assert_eq!(written, format!("[{compression}]"));
        }
    }
    let brokers = Brokers::start(1).await;
    brokers.set(|state| state.produce_versions = (9, 13));
    let report = deliver(&kafka(section(&brokers)), 1, &["a"]).await;
    all_owed(&report);
    assert!(reason(&report).contains("speaks no version of Produce"), "{report:?}");
}

/// The heart of it: an answer that is lost doubles nothing, whatever comes next in the partition.
#[tokio::test]
async fn a_lost_answer_doubles_nothing_whatever_is_delivered_next() {
    for fault in [
        Fault::LosesAnswer,
        Fault::ErrorAfter(7),
        Fault::ErrorAfter(20),
        Fault::ErrorAfter(6),
        Fault::AnswersAnother,
    ] {
        let brokers = Brokers::start(1).await;
        let sink = kafka(section(&brokers));
        all_delivered(&deliver(&sink, 1, &["a"]).await);
        brokers.set(|state| state.faults.push_back(fault.clone()));
        all_owed(&deliver(&sink, 2, &["b", "c"]).await);
        // Another tenant's delivery is next in the same partition, and the first comes with more than it had.
        let other = body("other");
        all_delivered(&sink.deliver(delivery_batch(&tenant(1), &[delivery(2, &[&other])])).await);
        let (first, second) = (body("b"), body("c"));
        let more = body("d");
        let deliveries = [delivery(2, &[&first, &second]), delivery(3, &[&more])];
        all_delivered(&sink.deliver(delivery_batch(&tenant(0), &deliveries)).await);
        assert_eq!(ids(&brokers), ["a", "b", "c", "other", "d"], "{fault:?}");
        assert_eq!(sink.producer.maybe_doubled(), 0);
        // Once acknowledged, a delivery that comes again is not sent again.
        all_delivered(&sink.deliver(delivery_batch(&tenant(0), &deliveries)).await);
        assert_eq!(ids(&brokers).len(), 5, "{fault:?}");
    }
}

/// The same where nothing was written: the batch must arrive, and under its own numbers.
#[tokio::test]
async fn what_was_not_written_arrives_in_its_place() {
    for fault in [
        Fault::Closes,
        Fault::Error(19),
        Fault::Error(29),
        Fault::Error(56),
        Fault::Error(-1),
        Fault::Error(999),
        Fault::NamesNoOffset,
        Fault::NamesAnother,
        Fault::Says(b"\xff\xff\xff\xff\0\0\0\0".to_vec()),
        Fault::Says(b"\x7f\xff\xff\xff\0\0\0\0".to_vec()),
        Fault::Says(b"\0\0\0\x02\0\0\0\0".to_vec()),
        Fault::Says(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
    ] {
        let brokers = Brokers::start(1).await;
        let sink = kafka(section(&brokers));
        all_delivered(&deliver(&sink, 1, &["a"]).await);
        brokers.set(|state| state.faults.push_back(fault.clone()));
        let report = deliver(&sink, 2, &["b"]).await;
        all_owed(&report);
        assert!(reason(&report).starts_with("sink `kafka` (127.0.0.1:"), "{report:?}");
        all_delivered(&deliver(&sink, 3, &["c"]).await);
        all_delivered(&deliver(&sink, 2, &["b"]).await);
        let mut arrived = ids(&brokers);
        arrived.sort_unstable();
        assert_eq!(arrived, ["a", "b", "c"], "{fault:?}");
        assert_eq!(sink.producer.maybe_doubled(), 0);
    }
}

/// A delivery that is given up in the middle (the process stops, a lease is lost) leaves what it sent in doubt.
#[tokio::test]
async fn a_delivery_that_is_given_up_in_the_middle_doubles_nothing() {
    let brokers = Brokers::start(1).await;
    let sink = kafka(section(&brokers));
    brokers.set(|state| state.faults.push_back(Fault::Hangs));
    let arrived = async {
        while ids(&brokers).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        report = deliver(&sink, 1, &["a", "b"]) => panic!("{report:?}"),
        () = arrived => {}
    }
    all_delivered(&deliver(&sink, 2, &["c"]).await);
    all_delivered(&deliver(&sink, 1, &["a", "b"]).await);
    assert_eq!(ids(&brokers), ["a", "b", "c"]);
}

/// A topic gets more partitions while events are in doubt: by their keys, they belong elsewhere now.
#[tokio::test]
async fn what_is_in_doubt_is_not_written_into_another_partition() {
    let brokers = Brokers::start(1).await;
    let sink = kafka(section(&brokers));
    brokers.set(|state| state.faults.push_back(Fault::LosesAnswer));
    let all: Vec<String> = (0..40).map(|number| format!("r{number}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    all_owed(&deliver(&sink, 1, &all).await);
    brokers.set(|state| {
        state.topics.insert("alerts".to_owned(), 8);
    });
    all_delivered(&deliver(&sink, 1, &all).await);
    assert_eq!(ids(&brokers), all);
    all_delivered(&deliver(&sink, 2, &all).await);
    assert_eq!(ids(&brokers).len(), 80);
    assert!(brokers.get(|state| state.logs.len()) > 1, "others go into the new partitions");
}

/// Brokers that have lost what they knew of a producer: nothing more goes out under its numbers.
#[tokio::test]
async fn a_producer_that_is_forgotten_takes_another_number() {
    for (fault, doubled) in
        [(Fault::Error(45), 0), (Fault::Error(59), 0), (Fault::Error(47), 0), (Fault::LosesAnswer, 1)]
    {
        let brokers = Brokers::start(1).await;
        let sink = kafka(section(&brokers));
        all_delivered(&deliver(&sink, 1, &["a"]).await);
        brokers.set(|state| state.faults.push_back(fault.clone()));
        all_owed(&deliver(&sink, 2, &["b"]).await);
        brokers.set(super::broker::State::forget_producers);
        all_delivered(&deliver(&sink, 2, &["b"]).await);
        all_delivered(&deliver(&sink, 3, &["c"]).await);
        assert_eq!(ids(&brokers).iter().filter(|id| *id == "b").count() as u64, 1 + doubled, "{fault:?}");
        assert_eq!(sink.producer.maybe_doubled(), doubled, "{fault:?}");
        let producers = brokers.get(|state| {
            let log = &state.logs[&("alerts".to_owned(), 0)];
            log.iter().map(|record| record.producer).collect::<HashSet<_>>().len()
        });
        assert_eq!(producers, 2, "{fault:?}");
    }
}

#[tokio::test]
async fn a_leader_that_moves_is_followed() {
    let brokers = Brokers::start(2).await;
    let sink = kafka(section(&brokers));
    all_delivered(&deliver(&sink, 1, &["a"]).await);
    brokers.set(|state| {
        state.leaders.insert(0, 1);
    });
    let report = deliver(&sink, 2, &["b"]).await;
    all_owed(&report);
    assert!(reason(&report).contains("NOT_LEADER_OR_FOLLOWER"), "{report:?}");
    all_delivered(&deliver(&sink, 2, &["b"]).await);
    // Nobody leads it for a while.
    brokers.set(|state| {
        state.leaders.insert(0, usize::MAX);
    });
    all_owed(&deliver(&sink, 3, &["c"]).await);
    let report = deliver(&sink, 3, &["c"]).await;
    all_owed(&report);
    brokers.set(|state| state.leaders.clear());
    all_delivered(&deliver(&sink, 3, &["c"]).await);
    assert_eq!(ids(&brokers), ["a", "b", "c"]);
    assert_eq!(sink.producer.maybe_doubled(), 0);
}

#[tokio::test]
async fn what_is_refused_says_what_to_do() {
    let brokers = Brokers::start(1).await;
    for (error, words) in [
        (3, "`muster siem-config kafka` prints the command"),
        (29, "WRITE and DESCRIBE"),
        (17, "check the sink's topic"),
    ] {
        brokers.set(|state| state.topic_error = error);
        let report = deliver(&kafka(section(&brokers)), 1, &["a"]).await;
        all_owed(&report);
        assert!(reason(&report).contains(words) && reason(&report).contains("topic `alerts`"), "{report:?}");
    }
    brokers.set(|state| (state.topic_error, state.init_error) = (0, 31));
    let report = deliver(&kafka(section(&brokers)), 1, &["a"]).await;
    all_owed(&report);
    assert!(reason(&report).contains("IDEMPOTENT_WRITE"), "{report:?}");
    brokers.set(|state| state.init_error = 0);
    for (error, words) in [(19, "min.insync.replicas"), (76, "compression"), (21, "acks=all"), (32, "clock")]
    {
        brokers.set(|state| state.faults.push_back(Fault::Error(error)));
        let report = deliver(&kafka(section(&brokers)), 1, &["a"]).await;
        all_owed(&report);
        assert!(reason(&report).contains(words), "{report:?}");
    }
    assert!(ids(&brokers).is_empty());
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_halved_and_a_record_becomes_a_dead_letter() {
    let brokers = Brokers::start(1).await;
    brokers.set(|state| state.batch_bytes_max = 2_000);
    let sink = kafka(section(&brokers));
    let bodies: Vec<String> = (0..20).map(|number| body(&format!("r{number}"))).collect();
    let huge = format!(r#"{{"id":"huge","x":"{}"}}"#, "x".repeat(3_000));
    let mut bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    bodies.insert(7, &huge);
    let report = sink.deliver(delivery_batch(&tenant(0), &[delivery(1, &bodies)])).await;
    for (place, outcome) in report.outcomes.iter().enumerate() {
        match outcome {
            Outcome::Rejected(why) => assert!(place == 7 && why.contains("max.message.bytes"), "{why}"),
            outcome => assert!(place != 7 && *outcome == Outcome::Delivered, "{report:?}"),
        }
    }
    let wanted: Vec<String> = (0..20).map(|number| format!("r{number}")).collect();
    assert_eq!(ids(&brokers), wanted, "in their order");
    // What the settings say is too large is not even sent.
    let own = KafkaSettings {
        record_size_max: ByteSize(5_000),
        event_size_max: Some(ByteSize(100_000)),
        ..section(&brokers)
    };
    let huge = format!(r#"{{"id":"huge","x":"{}"}}"#, "x".repeat(6_000));
    let before = brokers.get(|state| state.produced.len());
    let report = kafka(own).deliver(delivery_batch(&tenant(0), &[delivery(9, &[&huge])])).await;
    assert!(
        matches!(&report.outcomes[0], Outcome::Rejected(why) if why.contains("record_size_max is 5000")),
        "{report:?}"
    );
    assert_eq!(brokers.get(|state| state.produced.len()), before);
}

/// Event Hubs closes the connection over what is too large for it, and says nothing.
#[tokio::test]
async fn a_record_over_which_the_connection_is_closed_is_found() {
    let brokers = Brokers::start(1).await;
    brokers.set(|state| state.request_bytes_max = 1_046_528);
    let (record_size_max, batch_size) = (ByteSize(3_000_000), ByteSize(9_000_000));
    let sink = kafka(KafkaSettings { record_size_max, batch_size, ..section(&brokers) });
    let long = |id: &str, bytes: usize| format!(r#"{{"id":"{id}","x":"{}"}}"#, "x".repeat(bytes));
    let all = [
        body("one"),
        long("huge", 1_200_000),
        long("two", 400_000),
        long("three", 400_000),
        long("four", 400_000),
    ];
    let bodies: Vec<&str> = all.iter().map(String::as_str).collect();
    let mut owed: Vec<usize> = (0..bodies.len()).collect();
    let mut rounds = 0;
    while !owed.is_empty() {
        rounds += 1;
        assert!(rounds < 100, "{owed:?}");
        let mut of = delivery(1, &bodies);
        of.selection =
            muster_model::Selection::of(bodies.len(), |place| owed.contains(&place)).expect("some");
        let report = sink.deliver(delivery_batch(&tenant(0), &[of])).await;
        let mut left = Vec::new();
        for (place, outcome) in owed.iter().zip(&report.outcomes) {
            match outcome {
                Outcome::Retry => left.push(*place),
                Outcome::Rejected(why) => {
                    assert!(*place == 1 && why.contains("closes the connection each time"), "{why}");
                }
                _ => assert_ne!(*place, 1),
            }
        }
        owed = left;
        // Others go on.
        let other = body(&format!("other-{rounds}"));
        sink.deliver(delivery_batch(&tenant(1), &[delivery(100 + rounds, &[&other])])).await;
    }
    let arrived = ids(&brokers);
    for id in ["one", "two", "three", "four"] {
        assert_eq!(arrived.iter().filter(|arrived| *arrived == id).count(), 1, "{arrived:?}");
    }
}

/// With and without the broker's list of the records that it refuses.
#[tokio::test]
async fn a_record_that_is_invalid_is_refused_alone() {
    for versions in [(0, 11), (0, 7)] {
        let brokers = Brokers::start(1).await;
        brokers.set(|state| (state.refuses, state.produce_versions) = (Some("bad".to_owned()), versions));
        let sink = kafka(section(&brokers));
        let report = deliver(&sink, 1, &["a", "bad-1", "b", "c", "bad-2", "d"]).await;
        for (place, outcome) in report.outcomes.iter().enumerate() {
            match outcome {
                Outcome::Rejected(why) => {
                    assert!([1, 4].contains(&place) && why.contains("INVALID_RECORD"), "{why}");
                    assert!(!why.contains('\u{1b}') && (versions.1 < 8 || why.contains("schema")), "{why}");
                }
                outcome => assert!(![1, 4].contains(&place) && *outcome == Outcome::Delivered, "{report:?}"),
            }
        }
        assert_eq!(ids(&brokers), ["a", "b", "c", "d"]);
        // Who refuses everything refuses no record.
        brokers.set(|state| state.refuses = Some(String::new()));
        let many: Vec<String> = (0..200).map(|number| format!("m{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let report = deliver(&sink, 2, &many).await;
        all_owed(&report);
        assert!(reason(&report).contains("nothing else was taken meanwhile"), "{report:?}");
    }
}

#[tokio::test]
async fn a_broker_that_throttles_is_left_alone_for_so_long() {
    let brokers = Brokers::start(1).await;
    let sink = kafka(section(&brokers));
    brokers.set(|state| state.faults.push_back(Fault::Throttles(300)));
    all_delivered(&deliver(&sink, 1, &["a"]).await);
    let start = tokio::time::Instant::now();
    all_delivered(&deliver(&sink, 2, &["b"]).await);
    assert!(start.elapsed() >= Duration::from_millis(290), "{:?}", start.elapsed());
    // Longer than anyone waits: the store does.
    brokers.set(|state| state.faults.push_back(Fault::Throttles(100_000)));
    all_delivered(&deliver(&sink, 3, &["c"]).await);
    let report = deliver(&sink, 4, &["d"]).await;
    all_owed(&report);
    let after = report.trouble.expect("trouble").after.expect("a wait");
    assert!(after > Duration::from_secs(90) && after <= Duration::from_secs(100), "{after:?}");
}

/// Batches within the bounds, several partitions in one request, several brokers at a time.
#[tokio::test]
async fn requests_are_bounded_and_hold_many_partitions() {
    let brokers = Brokers::start(2).await;
    brokers.set(|state| {
        state.topics.insert("alerts".to_owned(), 8);
        state.leaders = (0..8).map(|partition| (partition, usize::from(partition % 2 == 1))).collect();
    });
    let sink = kafka(section(&brokers));
    let all: Vec<String> = (0..400).map(|number| format!("r{number}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    all_delivered(&deliver(&sink, 1, &all).await);
    assert_eq!(brokers.get(|state| state.produced.len()), 2, "one for each broker");
    let sink = kafka(KafkaSettings { batch_size: ByteSize(10_000), ..section(&brokers) });
    all_delivered(&deliver(&sink, 2, &all).await);
    let produced = brokers.get(|state| state.produced.clone());
    assert!(produced.len() > 10, "{produced:?}");
    assert!(produced[2..].iter().all(|(_, bytes)| *bytes < 11_000), "{produced:?}");
    assert_eq!(ids(&brokers).len(), 800);
    // Within a partition, the order is kept.
    for log in brokers.get(|state| state.logs.values().cloned().collect::<Vec<_>>()) {
        for delivery in ["/1-", "/2-"] {
            let of = log.iter().filter(|record| record.key.contains(delivery));
            let number = |value: &str| value.split('"').nth(3).and_then(|id| id[1..].parse::<u32>().ok());
            let numbers: Vec<u32> = of.map(|record| number(&record.value).expect("a number")).collect();
            assert!(!numbers.is_empty() && numbers.is_sorted(), "{numbers:?}");
        }
    }
}

/// Deliveries of several tenants at the same time, with answers lost all the while: nothing is lost or doubled.
#[tokio::test]
async fn side_by_side_and_with_faults_nothing_is_lost_or_doubled() {
    let brokers = Brokers::start(2).await;
    brokers.set(|state| {
        state.topics.insert("alerts".to_owned(), 4);
        state.leaders = HashMap::from([(1, 1), (3, 1)]);
        let faults = [
            Fault::LosesAnswer,
            Fault::None,
            Fault::Closes,
            Fault::ErrorAfter(7),
            Fault::None,
            Fault::Error(19),
            Fault::NamesNoOffset,
            Fault::LosesAnswer,
            Fault::None,
        ];
        state.faults = faults.iter().cycle().take(90).cloned().collect();
    });
    let sink = kafka(section(&brokers));
    let tenants = (0..6_u128).map(async |number| {
        let tenant = tenant(number);
        for of in 1..6 {
            let bodies: Vec<String> =
                (0..30).map(|record| body(&format!("{number}-{of}-{record}"))).collect();
            let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
            let mut whole = delivery(of, &bodies);
            let mut owed: Vec<usize> = (0..30).collect();
            while !owed.is_empty() {
                whole.selection =
                    muster_model::Selection::of(30, |place| owed.contains(&place)).expect("some");
                let report = sink.deliver(delivery_batch(&tenant, std::slice::from_ref(&whole))).await;
                let outcomes = owed.iter().zip(report.outcomes);
                owed = outcomes
                    .filter(|(_, outcome)| *outcome == Outcome::Retry)
                    .map(|(place, _)| *place)
                    .collect();
            }
        }
    });
    join_all(tenants).await;
    let mut arrived = ids(&brokers);
    let all = arrived.len();
    arrived.sort_unstable();
    arrived.dedup();
    assert_eq!((arrived.len(), all), (900, 900));
    assert_eq!(sink.producer.maybe_doubled(), 0);
    assert!(brokers.get(|state| state.faults.is_empty()), "all of them happened");
}

pub(super) fn with_user(brokers: &Brokers, user: &User, secret: &'static str) -> Kafka {
    brokers.set(|state| state.user = Some(user.clone()));
    let own: KafkaSettings = settings(json!({
        "brokers": brokers.addresses, "topic": "alerts", "security_protocol": "sasl_plaintext",
        "sasl_mechanism": user.mechanism, "user": "muster", "password": { "file": "password" },
    }));
    let around = Surroundings { secret: Arc::new(move |_| Ok(secret.into())), ..surroundings() };
    Kafka::build("kafka", own, &around).expect("a sink")
}

#[tokio::test]
async fn users_prove_themselves_and_so_do_brokers() {
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let brokers = Brokers::start(1).await;
        let user = User { mechanism, name: "muster", secret: "pencil", is_impostor: false };
        let sink = with_user(&brokers, &user, "pencil");
        all_delivered(&deliver(&sink, 1, &["a"]).await);
        assert!(sink.test().await.expect("usable").contains("lets Muster write"));
        assert!(!format!("{sink:?}").contains("pencil"));
        let report = deliver(&with_user(&brokers, &user, "crayon"), 2, &["b"]).await;
        all_owed(&report);
        assert!(reason(&report).contains("does not take the credentials of muster"), "{report:?}");
        assert!(!reason(&report).contains("crayon"));
        let another = User { mechanism: "GSSAPI", ..user.clone() };
        let sink = with_user(&brokers, &user, "pencil");
        brokers.set(|state| state.user = Some(another));
        let report = deliver(&sink, 3, &["c"]).await;
        assert!(reason(&report).contains("it takes GSSAPI"), "{report:?}");
        if mechanism != "PLAIN" {
            let impostor = User { is_impostor: true, ..user.clone() };
            let report = deliver(&with_user(&brokers, &impostor, "pencil"), 4, &["d"]).await;
            all_owed(&report);
            assert!(reason(&report).contains("does not prove that it knows"), "{report:?}");
        }
        assert_eq!(ids(&brokers), ["a"]);
    }
}

/// A session that ends at a time is left before, and so is a connection that is idle.
#[tokio::test]
async fn connections_are_left_before_they_are_closed() {
    let brokers = Brokers::start(1).await;
    let user = User { mechanism: "PLAIN", name: "muster", secret: "pencil", is_impostor: false };
    brokers.set(|state| state.session_ms = 3_600_000);
    let sink = with_user(&brokers, &user, "pencil");
    for number in 1..4 {
        all_delivered(&deliver(&sink, number, &["a"]).await);
    }
    assert_eq!(brokers.get(|state| state.connections), 1);
    pass(Duration::from_secs(171)).await;
    all_delivered(&deliver(&sink, 5, &["a"]).await);
    assert_eq!(brokers.get(|state| state.connections), 2);
    brokers.set(|state| state.session_ms = 1);
    let sink = with_user(&brokers, &user, "pencil");
    for number in 6..9 {
        all_delivered(&deliver(&sink, number, &["a"]).await);
        pass(Duration::from_millis(2)).await;
    }
    assert!(brokers.get(|state| state.connections) >= 5);
}

#[tokio::test]
async fn tokens_are_fetched_once_and_anew_when_they_are_refused() {
    use crate::sinks::scripted::{Receiver, http};
    let brokers = Brokers::start(1).await;
    let issuer = Receiver::start(|request| {
        let form = String::from_utf8(request.body.clone()).expect("a form");
        assert_eq!(request.path, "/token");
        assert!(
            form.contains("grant_type=client_credentials") && form.contains("client_secret=a-token"),
            "{form}"
        );
        match form.contains("scope=wrong") {
            true => http(400, "", r#"{"error":"invalid_scope","error_description":"AADSTS70011"}"#),
            false => http(200, "", r#"{"access_token":"the-token","expires_in":3600,"token_type":"Bearer"}"#),
        }
    })
    .await;
    let user = |secret| User { mechanism: "OAUTHBEARER", name: "", secret, is_impostor: false };
    let section = |scope: &str| {
        settings::<KafkaSettings>(json!({
            "brokers": brokers.addresses, "topic": "alerts", "security_protocol": "sasl_plaintext",
            "sasl_mechanism": "OAUTHBEARER",
            "oauth": { "token_url": issuer.url.join("token").expect("a URL"), "client_id": "me", "client_secret": { "file": "s" }, "scope": scope },
        }))
    };
    brokers.set(|state| (state.user, state.session_ms) = (Some(user("the-token")), 1));
    let sink = kafka(section("right"));
    for number in 1..4 {
        all_delivered(&deliver(&sink, number, &["a"]).await);
    }
    assert_eq!(issuer.seen().len(), 1);
    brokers.set(|state| state.user = Some(user("another")));
    pass(Duration::from_millis(2)).await;
    let refused = deliver(&sink, 5, &["b"]).await;
    all_owed(&refused);
    assert!(!reason(&refused).contains("the-token"), "{refused:?}");
    pass(Duration::from_secs(61)).await;
    deliver(&sink, 5, &["b"]).await;
    assert_eq!(issuer.seen().len(), 2, "a refused token is not used again");
    let report = deliver(&kafka(section("wrong")), 6, &["c"]).await;
    all_owed(&report);
    assert!(reason(&report).contains("AADSTS70011") && reason(&report).contains("scope"), "{report:?}");
}

#[tokio::test]
async fn brokers_prove_themselves_by_their_certificates() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("ca.pem"), made.cert.pem()).expect("written");
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a certificate");
    let brokers =
        Brokers::start_with(1, Some(tokio_rustls::TlsAcceptor::from(Arc::new(config))), "localhost").await;
    let own: KafkaSettings =
        settings(json!({ "brokers": brokers.addresses, "topic": "alerts", "ca_file": "ca.pem" }));
    let around = Surroundings { folder: folder.path(), ..surroundings() };
    let sink = Kafka::build("kafka", own.clone(), &around).expect("a sink");
    all_delivered(&deliver(&sink, 1, &["a"]).await);
    assert!(sink.test().await.expect("usable").contains("under TLSv1"));
    // Whoever is not known is not spoken to, and neither is one of another name.
    let stranger = kafka(KafkaSettings { ca_file: None, ..own.clone() });
    let report = deliver(&stranger, 2, &["b"]).await;
    all_owed(&report);
    assert!(reason(&report).contains("ca_file"), "{report:?}");
    let by_number = own.brokers.iter().map(|address| at("127.0.0.1", address.port)).collect();
    let other =
        Kafka::build("kafka", KafkaSettings { brokers: by_number, ..own.clone() }, &around).expect("a sink");
    all_owed(&deliver(&other, 3, &["c"]).await);
    // In the clear to a port that wants TLS.
    let plain =
        kafka(KafkaSettings { security_protocol: Some(SecurityProtocol::Plaintext), ca_file: None, ..own });
    let report = deliver(&plain, 4, &["d"]).await;
    all_owed(&report);
    assert!(reason(&report).contains("security_protocol"), "{report:?}");
    assert_eq!(ids(&brokers), ["a"]);
}

#[tokio::test]
async fn a_test_sends_nothing_and_says_what_would_not_work() {
    let brokers = Brokers::start(2).await;
    let sink = kafka(section(&brokers));
    let found = sink.test().await.expect("usable");
    assert!(found.contains("topic `alerts` with 1 partitions") && found.contains("in the clear"), "{found}");
    let mut own = section(&brokers);
    own.topic = "alerts-{{ tenant.slug }}".to_owned().try_into().expect("a template");
    let found = kafka(own).test().await.expect("usable");
    assert!(found.contains("topic `alerts-*` for each tenant"), "{found}");
    let says = async |words: &str| {
        let said = kafka(section(&brokers)).test().await.expect_err("unusable").to_string();
        assert!(said.starts_with("sink `kafka`: ") && said.contains(words), "{said}");
    };
    brokers.set(|state| state.may_write = false);
    says("give the sink's user WRITE").await;
    brokers.set(|state| (state.may_write, state.topic_error) = (true, 3));
    says("create it (`muster siem-config kafka`").await;
    brokers.set(|state| {
        state.topic_error = 0;
        state.leaders.insert(0, usize::MAX);
    });
    says("1 partitions of topic `alerts` have no leader").await;
    brokers.set(|state| state.init_error = 31);
    says("IDEMPOTENT_WRITE").await;
    assert!(brokers.values("alerts").is_empty());
    let nobody: KafkaSettings =
        settings(json!({ "brokers": ["127.0.0.1:9"], "topic": "a", "security_protocol": "plaintext" }));
    let said = kafka(nobody).test().await.expect_err("nobody").to_string();
    assert!(said.contains("check that it runs and listens"), "{said}");
    // One of several is enough.
    let mut own = section(&brokers);
    own.brokers.insert(0, at("127.0.0.1", 9));
    brokers.set(|state| {
        state.init_error = 0;
        state.leaders.clear();
    });
    kafka(own).test().await.expect("usable");
}

#[test]
fn mistakes_are_told() {
    let given = |keys: Value| {
        let mut section = json!({ "brokers": ["kafka.example:9093"], "topic": "alerts" });
        section.as_object_mut().expect("an object").extend(keys.as_object().expect("an object").clone());
        settings::<KafkaSettings>(section).mistakes().join("; ")
    };
    let hub = json!({
        "brokers": "mssp.servicebus.windows.net:9093", "sasl_mechanism": "PLAIN", "user": "$ConnectionString",
        "password": { "file": "p" },
    });
    let with = |keys: Value| {
        let mut section = hub.clone();
        section.as_object_mut().expect("an object").extend(keys.as_object().expect("an object").clone());
        given(section)
    };
    assert_eq!(given(json!({ "topic": "a.b-{{ tenant.slug }}_C" })), "");
    assert_eq!(with(json!({ "compression": "gzip" })), "");
    for (said, words) in [
        (given(json!({ "topic": "a b" })), "`a b` cannot be in the name of a topic"),
        (given(json!({ "topic": ".." })), "cannot be `.` or `..`"),
        (given(json!({ "topic": "{{ tenant.name }}" })), "tenant.name, which may be anything"),
        (given(json!({ "topic": "x".repeat(250) })), "longer than 249 bytes"),
        (given(json!({ "security_protocol": "sasl_ssl" })), "sasl_mechanism is missing"),
        (
            given(
                json!({ "security_protocol": "ssl", "sasl_mechanism": "PLAIN", "user": "u", "password": { "file": "p" } }),
            ),
            "is for security_protocol",
        ),
        (given(json!({ "sasl_mechanism": "PLAIN", "user": "u" })), "PLAIN needs user and password"),
        (given(json!({ "sasl_mechanism": "OAUTHBEARER" })), "needs [sinks.NAME.oauth]"),
        (given(json!({ "user": "u", "password": { "file": "p" } })), "credentials need sasl_mechanism"),
        (given(json!({ "client_key": { "file": "k" } })), "belong together"),
        (given(json!({ "record_size_max": "1KiB" })), "at least 4096 B"),
        (given(json!({ "batch_size": "65MiB" })), "at most 64MiB"),
        (given(json!({ "record_size_max": "65MiB" })), "at most 64MiB"),
        (with(json!({ "batch_size": "1MiB" })), "batch_size must be at most 1030144 B"),
        (with(json!({ "record_size_max": "2MiB" })), "record_size_max must be at most"),
        (with(json!({ "compression": "zstd" })), "Event Hubs takes no zstd"),
    ] {
        assert!(said.contains(words), "{said} lacks {words}");
    }
    let usual: KafkaSettings = settings(json!({ "brokers": "a:1", "topic": "t" }));
    assert_eq!(usual.security(), SecurityProtocol::Ssl, "nothing goes in the clear unasked");
    let hub: KafkaSettings = settings({
        let mut hub = hub;
        hub["topic"] = json!("t");
        hub
    });
    assert_eq!(hub.security(), SecurityProtocol::SaslSsl);
    assert_eq!(hub.secrets().len(), 1);
}

/// What is wrong may be a secret, and so may what stands behind an address.
#[test]
fn addresses_are_read_or_it_is_said_what_is_wrong_without_showing_it() {
    let read = |brokers: Value| {
        let section = json!({ "brokers": brokers, "topic": "alerts" });
        serde_json::from_value::<KafkaSettings>(section).map_err(|error| error.to_string())
    };
    let several = read(json!(["kafka-1.example:9093", "[2001:db8::1]:9092"])).expect("two");
    assert_eq!(several.target(), "kafka-1.example:9093, [2001:db8::1]:9092");
    assert_eq!(&*several.brokers[1].host, "2001:db8::1");
    for wrong in [
        "kafka.example",
        "kafka.example:0",
        "user:geheim@kafka.example:9093",
        "kafka://kafka.example:9093",
        "2001:db8::1:9093",
        "[geheim]:9093",
        ":9093",
        "kafka.example:9093/geheim",
    ] {
        let said = read(json!(["a:1", wrong])).expect_err(wrong);
        assert!(said.contains("its entry 2 is not an address such as") && !said.contains("geheim"), "{said}");
    }
    assert!(read(json!([])).is_err());
    let oauth = |token_url: &str| {
        let oauth = json!({ "token_url": token_url, "client_id": "me", "client_secret": { "file": "s" } });
        serde_json::from_value::<OauthSettings>(oauth).map_err(|error| error.to_string())
    };
    for wrong in ["http://login.example/token", "https://me:geheim@login.example/token", "token"] {
        let said = oauth(wrong).expect_err(wrong);
        assert!(said.contains("this machine only") && !said.contains("geheim"), "{said}");
    }
    for right in
        ["http://localhost:8080/token", "http://[::1]/token", "https://login.example/token?code=geheim"]
    {
        let said = format!("{:?}", oauth(right).expect(right));
        assert!(said.contains("/token") && !said.contains("geheim"), "{said}");
    }
}

struct Misbehaving(Brokers);

impl Harness for Misbehaving {
    async fn sink(&mut self, behaviour: Behaviour, timeout: Duration) -> Sink {
        let fault = match behaviour {
            Behaviour::Well => None,
            Behaviour::Down => Some(Fault::Error(19)),
            Behaviour::Slow => Some(Fault::Hangs),
            Behaviour::Cuts => Some(Fault::LosesAnswer),
            Behaviour::Nonsense => Some(Fault::Says(b"<html>Please log in, if you please</html>".to_vec())),
            Behaviour::RefusesOne => None,
        };
        self.0.set(|state| {
            state.refuses = (behaviour == Behaviour::RefusesOne).then(|| format!("\"{BAD}\""));
            state.faults = fault.into_iter().flat_map(|fault| vec![fault; 2]).collect();
        });
        let settings = KafkaSettings { timeout: Span(timeout), ..section(&self.0) };
        Sink::Kafka(Kafka::build("suite", settings, &surroundings()).expect("a sink"))
    }

    async fn taken(&self) -> Vec<String> {
        ids(&self.0)
    }

    fn impossible(_: Behaviour) -> Option<&'static str> {
        None
    }

    const TELLS_REPETITIONS: bool = true;
}

#[tokio::test]
async fn suite() {
    suite::run(async || Misbehaving(Brokers::start(1).await)).await;
}

#[test]
fn the_page_names_only_keys_that_exist() {
    check_page::<KafkaSettings>("kafka");
}
