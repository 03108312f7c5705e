//! What becomes of batches without an answer, of refusals and of silence: nothing is called delivered that is not, and
//! nothing stays where it is for ever.

use std::time::Duration;

use futures_util::FutureExt;
use muster_model::{ByteSize, Outcome, Report, Span, TenantLabel};
use serde_json::json;
use tokio::net::TcpListener;

use super::broker::{Brokers, Fault, User};
use super::tests::{all_delivered, all_owed, deliver, ids, kafka, pass, reason, section, with_user};
use super::{BrokerAddress, Kafka, KafkaSettings};
use crate::sinks::testing::{body, delivery, delivery_batch, settings, tenant};

const DAY: Duration = Duration::from_secs(86_400);

fn times(brokers: &Brokers, id: &str) -> usize {
    ids(brokers).iter().filter(|there| *there == id).count()
}

/// Numbers that a broker has had stand for the batch that had them, and for no other.
#[tokio::test]
async fn a_batch_that_is_new_is_not_there_since_its_numbers_are_used_up() {
    let brokers = Brokers::start(1).await;
    let sink = kafka(section(&brokers));
    all_delivered(&deliver(&sink, 1, &["a"]).await);
    brokers.set(|state| state.faults.push_back(Fault::Error(46)));
    let report = deliver(&sink, 2, &["b"]).await;
    all_owed(&report);
    assert!(reason(&report).contains("DUPLICATE_SEQUENCE_NUMBER"), "{report:?}");
    all_delivered(&deliver(&sink, 2, &["b"]).await);
    // One that was sent before is there.
    brokers.set(|state| state.faults.extend([Fault::LosesAnswer, Fault::Error(46)]));
    all_owed(&deliver(&sink, 3, &["c"]).await);
    all_delivered(&deliver(&sink, 3, &["c"]).await);
    assert_eq!(ids(&brokers), ["a", "b", "c"]);
    assert_eq!(sink.producer.maybe_doubled(), 0);
}

/// Brokers refuse, from now on, what went out and has no answer: that ends at once where it is hopeless, and otherwise
/// after a time. What may be there twice then is counted.
#[tokio::test]
async fn what_is_refused_for_ever_is_given_up() {
    for (error, life) in [
        (32, Duration::ZERO),
        (76, Duration::ZERO),
        (-1, Duration::from_secs(3600)),
        (999, Duration::from_secs(3600)),
        (19, DAY),
        (29, DAY),
        (7, DAY),
    ] {
        let brokers = Brokers::start(1).await;
        let sink = kafka(section(&brokers));
        brokers.set(|state| state.faults.push_back(Fault::LosesAnswer));
        all_owed(&deliver(&sink, 1, &["a"]).await);
        if !life.is_zero() {
            pass(life - Duration::from_secs(60)).await;
            brokers.set(|state| state.faults.push_back(Fault::Error(error)));
            all_owed(&deliver(&sink, 1, &["a"]).await);
            assert_eq!(sink.producer.maybe_doubled(), 0, "{error}");
            pass(Duration::from_secs(60)).await;
        }
        brokers.set(|state| state.faults.push_back(Fault::Error(error)));
        all_delivered(&deliver(&sink, 1, &["a"]).await);
        assert_eq!((sink.producer.maybe_doubled(), times(&brokers, "a")), (1, 2), "{error}");
    }
}

/// A broker that hangs up over a batch for a day is not waited for any longer.
#[tokio::test]
async fn what_has_no_answer_for_a_day_is_given_up() {
    let brokers = Brokers::start(1).await;
    let sink = kafka(section(&brokers));
    brokers.set(|state| state.faults.extend([Fault::Closes, Fault::Closes, Fault::Closes]));
    all_owed(&deliver(&sink, 1, &["a"]).await);
    all_owed(&deliver(&sink, 1, &["a"]).await);
    pass(DAY).await;
    all_delivered(&deliver(&sink, 1, &["a"]).await);
    assert_eq!((sink.producer.maybe_doubled(), times(&brokers, "a")), (1, 1));
}

/// A tenant has another name and so another topic, and the old one is no longer for Muster.
#[tokio::test]
async fn what_was_sent_to_a_topic_that_was_left_is_given_up() {
    for is_told_by_metadata in [true, false] {
        let brokers = Brokers::start(1).await;
        brokers.set(|state| {
            state.topics.extend([("alerts-tenant-0".to_owned(), 1), ("alerts-renamed".to_owned(), 1)]);
            state.faults.push_back(Fault::LosesAnswer);
        });
        let mut own = section(&brokers);
        own.topic = "alerts-{{ tenant.slug }}".to_owned().try_into().expect("a template");
        let sink = kafka(own);
        all_owed(&deliver(&sink, 1, &["a"]).await);
        brokers.set(|state| match is_told_by_metadata {
            true => state.forbidden = Some("alerts-tenant-0".to_owned()),
            false => state.faults.push_back(Fault::Error(29)),
        });
        let renamed = TenantLabel { slug: "renamed".parse().expect("a slug"), ..tenant(0) };
        let body = body("a");
        all_delivered(&sink.deliver(delivery_batch(&renamed, &[delivery(1, &[&body])])).await);
        assert_eq!(brokers.values("alerts-renamed").len(), 1);
        assert_eq!(sink.producer.maybe_doubled(), 1);
    }
}

/// Where more is in doubt than is remembered, the oldest is given up.
#[tokio::test]
async fn of_too_much_in_doubt_the_oldest_is_given_up() {
    let brokers = Brokers::start(1).await;
    let mut own = section(&brokers);
    own.topic = "alerts-{{ tenant.slug }}".to_owned().try_into().expect("a template");
    let mut sink = kafka(own);
    sink.producer.doubt_bytes_max = 1000;
    brokers.set(|state| {
        state.topics = (0..4).map(|number| (format!("alerts-tenant-{number}"), 1)).collect();
        state.faults = [const { Fault::LosesAnswer }; 4].into();
    });
    let deliver = async |number: u128| {
        let body = body("a");
        sink.deliver(delivery_batch(&tenant(number), &[delivery(1, &[&body])])).await
    };
    for number in 0..4 {
        all_owed(&deliver(number).await);
    }
    for number in 0..4 {
        all_delivered(&deliver(number).await);
    }
    let there = [0, 1, 2, 3].map(|number| brokers.values(&format!("alerts-tenant-{number}")).len());
    // A batch of one record has about 450 bytes.
    assert_eq!((there, sink.producer.maybe_doubled()), ([2, 2, 1, 1], 2));
}

fn many(brokers: &Brokers) -> (Kafka, Vec<String>) {
    brokers.set(|state| {
        state.topics.insert("alerts".to_owned(), 40);
        state.produce_versions = (0, 7);
    });
    let ids =
        (0..400).map(|number| if number % 4 == 0 { format!("bad-{number}") } else { format!("r{number}") });
    (kafka(section(brokers)), ids.collect())
}

/// However many partitions refuse a record at the same time, it is one refusal.
#[tokio::test]
async fn bad_records_in_many_partitions_are_all_found() {
    let brokers = Brokers::start(1).await;
    let (sink, all) = many(&brokers);
    brokers.set(|state| state.refuses = Some("bad".to_owned()));
    let report = deliver(&sink, 1, &all.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for (id, outcome) in all.iter().zip(&report.outcomes) {
        match outcome {
            Outcome::Rejected(why) => assert!(id.contains("bad") && why.contains("INVALID_RECORD"), "{why}"),
            outcome => assert!(!id.contains("bad") && *outcome == Outcome::Delivered, "{id}: {outcome:?}"),
        }
    }
    assert_eq!(ids(&brokers).len(), 300);
}

/// Whoever refuses everything is told about, also where no record stood alone.
#[tokio::test]
async fn who_refuses_everything_in_many_partitions_is_told() {
    let brokers = Brokers::start(1).await;
    let (sink, all) = many(&brokers);
    brokers.set(|state| state.refuses = Some(String::new()));
    let report = deliver(&sink, 1, &all.iter().map(String::as_str).collect::<Vec<_>>()).await;
    all_owed(&report);
    assert!(reason(&report).contains("nothing else was taken meanwhile"), "{report:?}");
    let requests = brokers.get(|state| state.produced.len());
    assert!(requests <= 24, "{requests} requests");
}

/// A leader that does not answer is not asked for each of its partitions, one after the other.
#[tokio::test]
async fn a_leader_that_is_silent_is_left_alone() {
    let brokers = Brokers::start(2).await;
    brokers.set(|state| {
        state.topics.insert("alerts".to_owned(), 8);
        state.leaders = (0..8).map(|partition| (partition, usize::from(partition == 7))).collect();
        state.faults = vec![Fault::Closes; 8].into();
    });
    let sink = kafka(KafkaSettings { batch_size: ByteSize(1), ..section(&brokers) });
    let all: Vec<String> = (0..40).map(|number| format!("r{number}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let report = deliver(&sink, 1, &all).await;
    all_owed(&report);
    assert_eq!(brokers.get(|state| state.produced.len()), 2, "one request for each broker");
    brokers.set(|state| state.faults.clear());
    all_delivered(&deliver(&sink, 1, &all).await);
    assert_eq!(ids(&brokers).len(), 40);
}

/// Who refuses the credentials knows them, and so do the others: many refusals lock an account.
#[tokio::test]
async fn credentials_that_are_refused_are_shown_to_one_broker() {
    let brokers = Brokers::start(3).await;
    let user = User { mechanism: "PLAIN", name: "muster", secret: "pencil", is_impostor: false };
    let sink = with_user(&brokers, &user, "crayon");
    for (number, wanted) in [(1, 1), (2, 1)] {
        let report = deliver(&sink, number, &["a"]).await;
        all_owed(&report);
        assert!(reason(&report).contains("does not take the credentials of muster"), "{report:?}");
        assert!(report.trouble.expect("trouble").after > Some(Duration::from_secs(50)));
        assert_eq!(brokers.get(|state| state.connections), wanted);
    }
    sink.test().await.expect_err("not yet");
    assert_eq!(brokers.get(|state| state.connections), 1);
    brokers.set(|state| state.user = Some(User { secret: "crayon", ..user }));
    pass(Duration::from_secs(61)).await;
    all_delivered(&deliver(&sink, 1, &["a"]).await);
}

/// One that takes connections and says nothing takes the whole of its time.
#[tokio::test]
async fn of_silent_brokers_two_are_asked() {
    let mut listeners = Vec::new();
    for _ in 0..4 {
        listeners.push(TcpListener::bind("127.0.0.1:0").await.expect("a port"));
    }
    let port = |listener: &TcpListener| listener.local_addr().expect("an address").port();
    let address = |listener| BrokerAddress { host: "127.0.0.1".into(), port: port(listener) };
    let own: KafkaSettings =
        settings(json!({ "brokers": ["a:1"], "topic": "alerts", "security_protocol": "plaintext" }));
    let (brokers, timeout) = (listeners.iter().map(address).collect(), Span(Duration::from_millis(50)));
    let report: Report = deliver(&kafka(KafkaSettings { brokers, timeout, ..own }), 1, &["a"]).await;
    all_owed(&report);
    assert!(reason(&report).contains("to connect: check the network"), "{report:?}");
    tokio::task::yield_now().await;
    let asked = listeners.iter().filter(|listener| listener.accept().now_or_never().is_some());
    assert_eq!(asked.count(), 2);
}
