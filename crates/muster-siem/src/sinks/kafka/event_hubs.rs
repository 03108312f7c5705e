//! Azure Event Hubs as its documents have it, all at once: who sends by a connection string, how large a request may be, what
//! throttling looks like, and when connections are closed. The service itself was not there to try.
//!
//! Source: Microsoft, "Azure Event Hubs: Apache Kafka configurations", "Apache Kafka troubleshooting guide for Event Hubs".

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::broker::{Brokers, Fault, User};
use super::tests::{all_delivered, all_owed, deliver, ids, pass, reason};
use super::{Kafka, KafkaSettings};
use crate::sinks::settings::Surroundings;
use crate::sinks::testing::{body, delivery, delivery_batch, settings, surroundings, tenant};

const CONNECTION_STRING: &str =
    "Endpoint=sb://mssp.servicebus.windows.net/;SharedAccessKeyName=muster;SharedAccessKey=c2VjcmV0";

/// Brokers with its bounds.
async fn namespace() -> Brokers {
    let brokers = Brokers::start(1).await;
    let user =
        User { mechanism: "PLAIN", name: "$ConnectionString", secret: CONNECTION_STRING, is_impostor: false };
    brokers.set(|state| {
        state.user = Some(user);
        state.request_bytes_max = 1_046_528;
        state.idle_max = Duration::from_secs(240);
        // None of its versions is a "flexible" one.
        (state.produce_versions, state.metadata_versions, state.init_versions) = ((0, 7), (0, 7), (0, 1));
        state.topics.insert("alerts".to_owned(), 4);
    });
    brokers
}

fn sink(brokers: &Brokers, password: &'static str) -> Kafka {
    let own: KafkaSettings = settings(json!({
        "brokers": brokers.addresses, "topic": "alerts", "security_protocol": "sasl_plaintext",
        "sasl_mechanism": "PLAIN", "user": "$ConnectionString", "password": { "file": "connection-string" },
    }));
    let around = Surroundings { secret: Arc::new(move |_| Ok(password.into())), ..surroundings() };
    Kafka::build("event_hubs", own, &around).expect("a sink")
}

#[tokio::test]
async fn requests_stay_below_what_closes_the_connection() {
    let brokers = namespace().await;
    let sink = sink(&brokers, CONNECTION_STRING);
    let all: Vec<String> = (0..40)
        .map(|number| {
            let bytes = if number % 10 == 0 { 900_000 } else { 90_000 };
            format!(r#"{{"id":"r{number}","x":"{}"}}"#, "x".repeat(bytes))
        })
        .collect();
    let bodies: Vec<&str> = all.iter().map(String::as_str).collect();
    all_delivered(&sink.deliver(delivery_batch(&tenant(0), &[delivery(1, &bodies)])).await);
    assert_eq!(ids(&brokers).len(), 40);
    let largest = brokers.get(|state| state.produced.iter().map(|(_, bytes)| *bytes).max());
    assert!(largest > Some(900_000), "{largest:?}");
    assert_eq!(brokers.get(|state| state.connections), 1, "none was closed over its size");
}

/// It answers late and says so; beyond the time of a request it refuses.
#[tokio::test]
async fn throttling_is_waited_for_and_loses_nothing() {
    let brokers = namespace().await;
    let sink = sink(&brokers, CONNECTION_STRING);
    brokers.set(|state| state.faults.extend([Fault::Throttles(50), Fault::Error(44)]));
    all_delivered(&deliver(&sink, 1, &["a"]).await);
    let report = deliver(&sink, 2, &["b"]).await;
    all_owed(&report);
    assert!(reason(&report).contains("Event Hubs throttles"), "{report:?}");
    all_delivered(&deliver(&sink, 2, &["b"]).await);
    let mut there = ids(&brokers);
    there.sort_unstable();
    assert_eq!(there, ["a", "b"]);
}

#[tokio::test]
async fn a_connection_that_it_would_close_is_left_before() {
    let brokers = namespace().await;
    let sink = sink(&brokers, CONNECTION_STRING);
    for (number, idle_seconds, connections) in [(1, 0, 1), (2, 160, 1), (3, 200, 2), (4, 241, 3)] {
        pass(Duration::from_secs(idle_seconds)).await;
        all_delivered(&deliver(&sink, number, &[&format!("r{number}")]).await);
        assert_eq!(brokers.get(|state| state.connections), connections, "after {idle_seconds} s");
    }
    assert_eq!((ids(&brokers).len(), sink.producer.maybe_doubled()), (4, 0));
}

#[tokio::test]
async fn a_connection_string_is_never_shown() {
    let brokers = namespace().await;
    let wrong =
        "Endpoint=sb://mssp.servicebus.windows.net/;SharedAccessKeyName=muster;SharedAccessKey=d3Jvbmc=";
    let sink = sink(&brokers, wrong);
    let report = deliver(&sink, 1, &["a"]).await;
    all_owed(&report);
    assert!(reason(&report).contains("does not take the credentials of $ConnectionString"), "{report:?}");
    let tested = sink.test().await.expect_err("refused").to_string();
    for said in [format!("{report:?}"), format!("{sink:?}"), tested] {
        assert!(!said.contains("SharedAccessKey"), "{said}");
    }
    let sink = self::sink(&brokers, CONNECTION_STRING);
    let body = body("a");
    all_delivered(&sink.deliver(delivery_batch(&tenant(0), &[delivery(1, &[&body])])).await);
}
