//! RELP against receivers that answer as they are told.

use std::sync::Arc;

use muster_model::{Outcome, Report};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::*;
use crate::sinks::Sink;
use crate::sinks::testing::{body, delivery, delivery_batch, settings, surroundings, tenant};

const OPENED: &str = "200 OK\nrelp_version=0\nrelp_software=a test\ncommands=syslog";

/// A receiver of RELP: what it answers to each message, by its text; `None` hangs up.
struct Receiver {
    port: u16,
    taken: Arc<std::sync::Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Receiver {
    async fn start(answer: impl Fn(&str) -> Option<&'static str> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (taken, connections) = (Arc::default(), Arc::new(AtomicUsize::new(0)));
        let (all, count): (Arc<std::sync::Mutex<Vec<String>>>, _) =
            (Arc::clone(&taken), Arc::clone(&connections));
        let answer = Arc::new(answer);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let (answer, all) = (Arc::clone(&answer), Arc::clone(&all));
                open.spawn(async move { serve(stream, &*answer, &all).await });
            }
        });
        Self { port, taken, connections, _tasks: tasks }
    }

    fn sink(&self) -> Sink {
        sink(json!([format!("127.0.0.1:{}", self.port)]))
    }

    fn taken(&self) -> Vec<String> {
        self.taken.lock().expect("a lock").clone()
    }
}

fn sink(address: serde_json::Value) -> Sink {
    let section = json!({ "address": address, "transport": "relp", "timeout": "20s" });
    Sink::Syslog(Syslog::build("rsyslog", settings(section), &surroundings()).expect("a sink"))
}

async fn serve(
    mut stream: TcpStream,
    answer: &(impl Fn(&str) -> Option<&'static str> + ?Sized),
    taken: &std::sync::Mutex<Vec<String>>,
) {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let words: Vec<&str> = text.splitn(4, [' ', '\n']).collect();
        let length = words.get(2).and_then(|length| length.parse::<usize>().ok());
        let whole = match (length, words.get(3)) {
            (Some(length), Some(rest)) => (length == 0 || rest.len() > length).then_some(length),
            _ => None,
        };
        let Some(length) = whole else {
            match stream.read_buf(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(_) => continue,
            }
        };
        let (number, command, data) = (words[0], words[1], &words[3][..length]);
        let head = words[..3].iter().map(|word| word.len() + 1).sum::<usize>();
        let said = match command {
            "open" => OPENED,
            "close" => return,
            _ => match answer(data) {
                None => return,
                Some(said) => {
                    if said.starts_with("200") {
                        let text = data.split_once(" - graph_alerts - ").expect("a header").1;
                        taken.lock().expect("a lock").push(text.to_owned());
                    }
                    said
                }
            },
        };
        let frame = format!("{number} rsp {} {said}\n", said.len());
        if stream.write_all(frame.as_bytes()).await.is_err() {
            return;
        }
        bytes.drain(..head + if length == 0 { 0 } else { length + 1 });
    }
}

async fn deliver(sink: &Sink, bodies: &[String]) -> Report {
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    sink.deliver_and_wait(delivery_batch(&tenant(0), &[delivery(1, &bodies)])).await
}

fn bodies(count: usize) -> Vec<String> {
    (0..count).map(|number| body(&number.to_string())).collect()
}

#[tokio::test]
async fn each_message_is_answered_for_and_the_session_is_used_again() {
    let receiver = Receiver::start(|_| Some("200 OK")).await;
    let sink = receiver.sink();
    let found = sink.test().await.expect("usable");
    assert!(found.contains("speaks RELP in the clear and answers for each message"), "{found}");
    let sent = bodies(400);
    for _ in 0..2 {
        let report = deliver(&sink, &sent).await;
        assert_eq!(report, Report { outcomes: vec![Outcome::Delivered; 400], trouble: None });
    }
    assert_eq!(receiver.taken(), [&sent[..], &sent[..]].concat());
    assert_eq!(receiver.connections.load(Ordering::Relaxed), 2, "one of them was the test's");
    sink.close().await;
}

#[tokio::test]
async fn a_connection_that_fails_costs_what_had_no_answer() {
    let count = AtomicUsize::new(0);
    let receiver =
        Receiver::start(move |_| (count.fetch_add(1, Ordering::Relaxed) < 150).then_some("200 OK")).await;
    let sink = receiver.sink();
    let report = deliver(&sink, &bodies(400)).await;
    let delivered = report.outcomes.iter().filter(|outcome| **outcome == Outcome::Delivered).count();
    assert!(delivered <= 150 && delivered > 0, "{delivered} delivered");
    assert!(report.outcomes[delivered..].iter().all(|outcome| *outcome == Outcome::Retry), "{report:?}");
    assert!(report.trouble.expect("a trouble").reason.starts_with("sink `rsyslog` (127.0.0.1:"));
    assert_eq!(receiver.taken()[..delivered], bodies(delivered), "those that are reported are there");
}

#[tokio::test]
async fn what_is_refused_alone_is_refused_for_good_and_who_refuses_everything_is_in_trouble() {
    let receiver = Receiver::start(|text| Some(if text.contains("bad") { "500 no" } else { "200 OK" })).await;
    let sink = receiver.sink();
    let report = deliver(&sink, &[body("a"), body("bad"), body("c")]).await;
    assert!(
        matches!(&report.outcomes[..], [Outcome::Delivered, Outcome::Rejected(reason), Outcome::Delivered]
            if reason.contains("500 no")),
        "{report:?}"
    );
    let report = deliver(&sink, &[body("bad1"), body("bad2")]).await;
    assert_eq!(report.outcomes, [Outcome::Retry, Outcome::Retry]);
    assert!(report.trouble.expect("a trouble").reason.contains("nothing else"));
    assert_eq!(receiver.taken().len(), 2);
}

#[tokio::test]
async fn one_that_does_not_speak_relp_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let answers = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("answered");
        stream.shutdown().await.expect("closed");
    };
    let (sink, all) = (sink(json!(address)), bodies(2));
    let (report, ()) = tokio::join!(deliver(&sink, &all), answers);
    assert_eq!(report.outcomes, [Outcome::Retry, Outcome::Retry]);
    let reason = report.trouble.expect("a trouble").reason;
    assert!(reason.contains("agreeing on RELP") && reason.contains("does not speak RELP"), "{reason}");
}

#[tokio::test]
async fn of_several_receivers_the_first_that_is_there_is_used() {
    let receiver = Receiver::start(|_| Some("200 OK")).await;
    let sink = sink(json!(["127.0.0.1:9", format!("127.0.0.1:{}", receiver.port)]));
    for _ in 0..2 {
        let report = deliver(&sink, &bodies(3)).await;
        assert_eq!(report, Report { outcomes: vec![Outcome::Delivered; 3], trouble: None });
    }
    assert_eq!(receiver.connections.load(Ordering::Relaxed), 1);
}

/// Deliveries that begin at the same time each try all receivers, whatever the others have found.
#[tokio::test]
async fn connections_that_begin_together_find_the_receiver_that_is_there() {
    let receiver = Receiver::start(|_| Some("200 OK")).await;
    let sink = sink(json!(["127.0.0.1:9", format!("127.0.0.1:{}", receiver.port)]));
    let (few, more) = (bodies(2), bodies(3));
    let (first, second) = tokio::join!(deliver(&sink, &few), deliver(&sink, &more));
    assert_eq!(first, Report { outcomes: vec![Outcome::Delivered; 2], trouble: None });
    assert_eq!(second, Report { outcomes: vec![Outcome::Delivered; 3], trouble: None });
}

#[test]
fn settings_that_do_not_go_with_relp_are_told() {
    let mistakes = |section: serde_json::Value| settings::<SyslogSettings>(section).mistakes().join("; ");
    let all = mistakes(json!({
        "address": ["a:1", "b"], "transport": "relp", "confirm": "close", "framing": "newline", "rfc": "3164",
        "client_certificate": "x.pem", "structured_data": { "a b": { "c": "d" } },
    }));
    for wrong in [
        "`b` is not an address",
        "confirm is not",
        "framing is not",
        "belong together",
        "needs rfc",
        "`a b` cannot",
    ] {
        assert!(all.contains(wrong), "{wrong}: {all}");
    }
    assert_eq!(mistakes(json!({ "address": "a:1", "transport": "relp_tls" })), "");
}
