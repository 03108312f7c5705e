use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_model::{Outcome, Span};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::*;
use crate::sinks::Sink;
use crate::sinks::suite::{self, BAD, Behaviour, Harness};
use crate::sinks::testing::{body, check_page, delivery, delivery_batch, settings, surroundings, tenant};

const STREAM: &str = "MUSTER";

/// A message that was published to the server.
#[derive(Debug, Clone)]
struct Published {
    subject: String,
    headers: String,
    body: String,
}

impl Published {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.headers.lines();
        lines.filter_map(|line| line.split_once(": ")).find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    fn id(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).expect("JSON");
        body["id"].as_str().expect("an id").to_owned()
    }
}

/// What the server answers to a message: the payload of its answer, and what is written beside.
enum Reply {
    Answer(String),
    /// What a server writes when nobody has the subject.
    NobodyListens,
    /// These bytes in place of an answer.
    Says(String),
    Nothing,
    Cuts,
}

/// A server that answers as a test tells it to.
struct Server {
    url: String,
    seen: Arc<Mutex<Vec<Published>>>,
    connects: Arc<Mutex<Vec<Value>>>,
    _tasks: JoinSet<()>,
}

type Replies = Arc<dyn Fn(&Published) -> Reply + Send + Sync>;

fn stored(sequence: usize) -> Reply {
    Reply::Answer(json!({ "stream": STREAM, "seq": sequence }).to_string())
}

fn failed(code: u32, description: &str) -> Reply {
    let error = json!({ "code": 503, "err_code": code, "description": description });
    Reply::Answer(json!({ "error": error, "stream": STREAM, "seq": 0 }).to_string())
}

/// A stream that is as it should be.
fn stream_config() -> Value {
    json!({
        "name": STREAM, "subjects": ["muster.>"], "retention": "limits", "discard": "new", "storage": "file",
        "num_replicas": 3, "max_msgs_per_subject": 1, "discard_new_per_subject": true,
        "duplicate_window": 120_000_000_000_i64,
    })
}

impl Server {
    async fn start(info: Value, config: Value, replies: Replies) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("nats://{}", listener.local_addr().expect("an address"));
        let (seen, connects) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let mut tasks = JoinSet::new();
        let (to_see, to_connect) = (seen.clone(), connects.clone());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (info, config) = (info.clone(), config.clone());
                let (seen, connects, replies) = (to_see.clone(), to_connect.clone(), replies.clone());
                connections.spawn(async move {
                    // A client that goes away is its own affair.
                    drop(serve(stream, (info, config), &seen, &connects, &replies).await);
                });
            }
        });
        Self { url, seen, connects, _tasks: tasks }
    }

    async fn usual(replies: impl Fn(&Published) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(usual_info(), stream_config(), Arc::new(replies)).await
    }

    fn seen(&self) -> Vec<Published> {
        self.seen.lock().expect("a lock").clone()
    }
}

fn usual_info() -> Value {
    json!({ "server_id": "x", "version": "2.10.1", "headers": true, "max_payload": 1 << 20, "nonce": "abc" })
}

async fn serve(
    stream: TcpStream,
    (info, config): (Value, Value),
    seen: &Mutex<Vec<Published>>,
    connects: &Mutex<Vec<Value>>,
    replies: &Replies,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(format!("INFO {info}\r\n").as_bytes()).await?;
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[0] {
            "PING" => stream.write_all(b"PONG\r\n").await?,
            "CONNECT" => {
                let said = line.strip_prefix("CONNECT ").expect("a CONNECT");
                connects.lock().expect("a lock").push(serde_json::from_str(said).expect("JSON"));
            }
            "PUB" | "HPUB" => {
                let (subject, reply) = (words[1].to_owned(), words[2].to_owned());
                let bytes: usize = words.last().expect("a length").parse().expect("a length");
                let headers: usize = if words[0] == "HPUB" { words[3].parse().expect("a length") } else { 0 };
                let mut message = vec![0; bytes + 2];
                stream.read_exact(&mut message).await?;
                assert_eq!(&message[bytes..], b"\r\n");
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
                let (headers, body) = (text(&message[..headers]), text(&message[headers..bytes]));
                if subject.starts_with("$JS.") {
                    assert_eq!(subject, format!("$JS.API.STREAM.INFO.{STREAM}"));
                    if config.is_null() {
                        let said = format!("-ERR 'Permissions Violation for Publish to \"{subject}\"'\r\n");
                        stream.write_all(said.as_bytes()).await?;
                        continue;
                    }
                    let answer =
                        json!({ "type": "io.nats.jetstream.api.v1.stream_info_response", "config": config });
                    let answer = answer.to_string();
                    stream
                        .write_all(format!("MSG {reply} 1 {}\r\n{answer}\r\n", answer.len()).as_bytes())
                        .await?;
                    continue;
                }
                let published = Published { subject, headers, body };
                let answer = match published.header("Nats-Expected-Last-Sequence") {
                    Some(_) => failed(10_071, "wrong last sequence: 7"),
                    None => {
                        let answer = replies(&published);
                        seen.lock().expect("a lock").push(published);
                        answer
                    }
                };
                match answer {
                    Reply::Answer(answer) => {
                        let message = format!("MSG {reply} 1 {}\r\n{answer}\r\n", answer.len());
                        stream.write_all(message.as_bytes()).await?;
                    }
                    Reply::NobodyListens => {
                        let message = format!("HMSG {reply} 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n");
                        stream.write_all(message.as_bytes()).await?;
                    }
                    Reply::Says(said) => stream.write_all(said.replace("REPLY", &reply).as_bytes()).await?,
                    Reply::Nothing => {}
                    Reply::Cuts => return Ok(()),
                }
            }
            "SUB" | "PONG" => {}
            other => panic!("{other}"),
        }
    }
}

fn section(url: &str) -> NatsSettings {
    settings(json!({ "url": url, "stream": STREAM }))
}

fn sink(settings: NatsSettings) -> Sink {
    Sink::Nats(Nats::build("nats", settings, &surroundings()).expect("a sink"))
}

async fn deliver(sink: &Sink, ids: &[&str]) -> Report {
    let bodies: Vec<String> = ids.iter().map(|id| body(id)).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    sink.deliver_and_wait(delivery_batch(&tenant(0), &[delivery(1, &bodies)])).await
}

fn reason(report: &Report) -> &str {
    &report.trouble.as_ref().expect("it is said why").reason
}

#[tokio::test]
async fn each_event_is_a_message_with_an_id_of_its_own() {
    let server = Server::usual(|_| stored(1)).await;
    let sinks = ["one", "other"]
        .map(|name| Sink::Nats(Nats::build(name, section(&server.url), &surroundings()).expect("a sink")));
    for _ in 0..2 {
        assert_eq!(deliver(&sinks[0], &["a", "b"]).await.outcomes, [Outcome::Delivered, Outcome::Delivered]);
    }
    deliver(&sinks[0], &["changed"]).await;
    deliver(&sinks[1], &["a"]).await;
    let seen = server.seen();
    assert_eq!(seen[0].subject, "muster.tenant-0.graph_alerts");
    assert_eq!((seen[0].id(), seen[0].header("Nats-Expected-Stream")), ("a".to_owned(), Some(STREAM)));
    let ids: Vec<&str> = seen.iter().map(|message| message.header("Nats-Msg-Id").expect("an id")).collect();
    assert_eq!(ids[..2], ids[2..4], "what comes again has the same id");
    let different: HashSet<&str> = ids.iter().copied().collect();
    assert_eq!(different.len(), 4, "another version has another one, and so has another sink: {ids:?}");
    assert_eq!(server.connects.lock().expect("a lock").len(), 2, "a connection is used again");
}

/// A digest of what the event is known by ends its subject, and what the stream has already is delivered.
#[tokio::test]
async fn a_subject_of_its_own_keeps_an_event_from_coming_twice() {
    let taken = Mutex::new(HashSet::new());
    let server =
        Server::usual(move |message| match taken.lock().expect("a lock").insert(message.subject.clone()) {
            true => stored(1),
            false => failed(10_077, "maximum messages per subject exceeded"),
        })
        .await;
    let mut settings = section(&server.url);
    settings.deduplicate = Deduplicate::Subject;
    let once = sink(settings);
    for _ in 0..2 {
        assert_eq!(deliver(&once, &["a", "b"]).await.outcomes, [Outcome::Delivered, Outcome::Delivered]);
    }
    let seen = server.seen();
    let subject = seen[0].subject.strip_prefix("muster.tenant-0.graph_alerts.").expect("a digest behind it");
    assert_eq!(seen[0].header("Nats-Msg-Id"), Some(subject));
    // Of another stream than ours the same words are no acknowledgement.
    let said =
        json!({ "code": 503, "err_code": 10_077, "description": "maximum messages per subject exceeded" });
    let other = json!({ "error": said, "stream": "OTHER", "seq": 0 }).to_string();
    let odd = Server::usual(move |_| Reply::Answer(other.clone())).await;
    let mut settings = section(&odd.url);
    settings.deduplicate = Deduplicate::Subject;
    assert_eq!(deliver(&sink(settings), &["a"]).await.outcomes, [Outcome::Retry]);
    // The same words of a stream that is not asked to tell by subjects mean that it takes no more.
    let report = deliver(&sink(section(&server.url)), &["a", "b"]).await;
    assert_eq!(report.outcomes, [Outcome::Delivered, Outcome::Retry]);
    assert!(reason(&report).contains("deduplicate = \"subject\""), "{}", reason(&report));
}

/// Each answer that might pass for an acknowledgement, and is none.
#[tokio::test]
async fn only_the_streams_own_number_is_an_acknowledgement() {
    let answers = [
        (json!({ "stream": "OTHER", "seq": 1 }), "stream `OTHER` answers"),
        (json!({ "stream": STREAM, "seq": 0 }), "not a stream of JetStream"),
        (json!({ "stream": STREAM }), "not a stream of JetStream"),
        (json!({ "seq": 1 }), "stream `` answers"),
        (json!({ "ok": true }), "stream `` answers"),
        (json!("+ACK"), "not a stream of JetStream"),
        (json!({ "stream": STREAM, "seq": 7, "error": { "code": 500 } }), "does not store it at present"),
        (json!({ "stream": STREAM, "seq": "7" }), "not a stream of JetStream"),
    ];
    for (answer, why) in answers {
        let text = answer.to_string();
        let server = Server::usual(move |_| Reply::Answer(text.clone())).await;
        let report = deliver(&sink(section(&server.url)), &["a"]).await;
        assert_eq!(report.outcomes, [Outcome::Retry], "{answer}");
        assert!(reason(&report).contains(why), "{answer}: {}", reason(&report));
    }
    let duplicate = json!({ "stream": STREAM, "seq": 7, "duplicate": true, "domain": "hub" }).to_string();
    let server = Server::usual(move |_| Reply::Answer(duplicate.clone())).await;
    assert_eq!(deliver(&sink(section(&server.url)), &["a"]).await.outcomes, [Outcome::Delivered]);
}

#[tokio::test]
async fn each_refusal_is_told_with_its_cure() {
    let server = Server::usual(|message| match message.id().as_str() {
        "full" => failed(10_077, "maximum bytes exceeded"),
        "many" => failed(10_077, "maximum messages exceeded"),
        "other" => failed(10_060, "expected stream does not match"),
        "gone" => Reply::NobodyListens,
        "big" => failed(10_054, "message size exceeds maximum allowed"),
        "forbidden" => {
            Reply::Says(format!("-ERR 'Permissions Violation for Publish to \"{}\"'\r\n", message.subject))
        }
        "evil" => failed(1, "\u{1b}[2J\u{202e}evil"),
        _ => stored(9),
    })
    .await;
    let nats = sink(section(&server.url));
    for (id, why) in [
        ("full", "raise its limits"),
        ("many", "raise its limits"),
        ("other", "belongs to another stream"),
        ("gone", "switch JetStream on"),
        ("forbidden", "may not publish"),
        ("evil", "does not store it at present"),
    ] {
        let report = deliver(&nats, &["a", id]).await;
        assert_eq!(report.outcomes, [Outcome::Delivered, Outcome::Retry], "{id}");
        assert!(reason(&report).contains(why), "{id}: {}", reason(&report));
        assert!(reason(&report).starts_with("sink `nats` (127.0.0.1:"), "{}", reason(&report));
        assert!(!reason(&report).contains(['\u{1b}', '\u{202e}']), "{}", reason(&report));
    }
    let report = deliver(&nats, &["a", "big"]).await;
    let Outcome::Rejected(why) = &report.outcomes[1] else { panic!("{report:?}") };
    assert!(why.contains("max_msg_size"), "{why}");
    // Whoever refuses everything is in trouble itself.
    let alone = deliver(&sink(section(&server.url)), &["big"]).await;
    assert_eq!(alone.outcomes, [Outcome::Retry]);
}

/// The server closes the connection of whoever sends more than it takes, and everything on it would be lost with it.
#[tokio::test]
async fn what_the_server_would_not_take_is_not_sent() {
    let info = json!({ "version": "2.10.1", "headers": true, "max_payload": 400 });
    let server = Server::start(info, stream_config(), Arc::new(|_| stored(1))).await;
    let nats = sink(section(&server.url));
    let long = format!(r#"{{"id":"long","title":"{}"}}"#, "x".repeat(400));
    let short = body("short");
    let report = nats.deliver_and_wait(delivery_batch(&tenant(0), &[delivery(1, &[&long, &short])])).await;
    let Outcome::Rejected(why) = &report.outcomes[0] else { panic!("{report:?}") };
    assert!(why.contains("max_payload"), "{why}");
    assert_eq!(report.outcomes[1], Outcome::Delivered);
    assert_eq!(server.seen().len(), 1);
}

/// What has no answer is owed, what has one is not; and the connection is not used again.
#[tokio::test]
async fn what_is_not_answered_for_stays_owed() {
    let server = Server::usual(|message| match message.id().as_str() {
        "silent" => Reply::Nothing,
        "early" => Reply::Says("MSG REPLY9 1 27\r\n{\"stream\":\"MUSTER\",\"seq\":1}\r\n".to_owned()),
        _ => stored(1),
    })
    .await;
    let mut settings = section(&server.url);
    settings.timeout = Span(Duration::from_millis(300));
    let nats = sink(settings);
    let report = deliver(&nats, &["a", "silent", "b"]).await;
    assert_eq!(report.outcomes, [Outcome::Delivered, Outcome::Retry, Outcome::Delivered]);
    assert!(reason(&report).contains("no answer within 300ms"), "{}", reason(&report));
    // An answer to a question that was not asked is nobody's.
    let report = deliver(&nats, &["early", "a"]).await;
    assert_eq!(report.outcomes, [Outcome::Retry, Outcome::Delivered]);
    assert_eq!(
        server.connects.lock().expect("a lock").len(),
        2,
        "a connection that left something open is closed"
    );
}

#[tokio::test]
async fn a_stream_that_cannot_keep_the_promise_gets_nothing() {
    for (key, value, deduplicate, why) in [
        ("no_ack", json!(true), Deduplicate::Window, "acknowledges nothing"),
        ("sealed", json!(true), Deduplicate::Window, "is sealed"),
        ("mirror", json!({ "name": "x" }), Deduplicate::Window, "is a mirror"),
        ("subjects", json!(["other.>"]), Deduplicate::Window, "does not have the subject"),
        ("name", json!("OTHER"), Deduplicate::Window, "it tells of `OTHER`"),
        ("discard", json!("old"), Deduplicate::Subject, "discard to new"),
        ("discard_new_per_subject", json!(false), Deduplicate::Subject, "discard_new_per_subject"),
        ("max_msgs_per_subject", json!(2), Deduplicate::Subject, "max_msgs_per_subject to 1"),
        (
            "subject_transform",
            json!({ "src": "muster.>", "dest": "all" }),
            Deduplicate::Subject,
            "take its subject_transform away",
        ),
    ] {
        let mut config = stream_config();
        config[key] = value;
        let server = Server::start(usual_info(), config, Arc::new(|_| stored(1))).await;
        let mut settings = section(&server.url);
        settings.deduplicate = deduplicate;
        let nats = sink(settings);
        let report = deliver(&nats, &["a"]).await;
        assert_eq!(report.outcomes, [Outcome::Retry], "{key}");
        assert!(reason(&report).contains(why), "{key}: {}", reason(&report));
        assert!(nats.test().await.expect_err(key).to_string().contains(why), "{key}");
        assert!(server.seen().is_empty());
    }
}

/// A stream of another kind refuses a second event of a subject in the words by which a fit one says that it has it.
#[tokio::test]
async fn a_stream_that_is_not_known_gets_nothing_where_its_kind_matters() {
    let server = Server::start(usual_info(), Value::Null, Arc::new(|_| stored(1))).await;
    let mut settings = section(&server.url);
    settings.deduplicate = Deduplicate::Subject;
    let nats = sink(settings);
    let report = deliver(&nats, &["a"]).await;
    assert_eq!(report.outcomes, [Outcome::Retry]);
    for said in [reason(&report).to_owned(), nats.test().await.expect_err("not known").to_string()] {
        assert!(said.contains("known what the stream is like") && said.contains("allow it"), "{said}");
    }
    assert!(server.seen().is_empty());
    // By its window it tells repetitions whatever it is like.
    let nats = sink(section(&server.url));
    assert_eq!(deliver(&nats, &["a"]).await.outcomes, [Outcome::Delivered]);
    assert!(nats.test().await.expect("it works").contains("what the stream is like is not known"));
}

/// Parts of a record that was split otherwise before, when another length was allowed.
#[tokio::test]
async fn parts_that_are_cut_otherwise_are_others() {
    let server = Server::usual(|_| stored(1)).await;
    let evidence: Vec<Value> =
        (0..12).map(|number| json!({ "number": number, "x": "x".repeat(200) })).collect();
    let long = json!({ "id": "long", "severity": "high", "evidence": evidence }).to_string();
    let mut ids = Vec::new();
    for bytes in [1_200, 1_200, 1_600] {
        let mut settings = section(&server.url);
        settings.event_size_max = Some(muster_model::ByteSize(bytes));
        let before = server.seen().len();
        let nats = sink(settings);
        let report = nats.deliver_and_wait(delivery_batch(&tenant(0), &[delivery(1, &[&long])])).await;
        assert_eq!(report.outcomes, [Outcome::Delivered]);
        let seen = server.seen().split_off(before);
        assert!(seen.len() > 1, "it is split");
        ids.push(
            seen.iter().map(|part| part.header("Nats-Msg-Id").expect("an id").to_owned()).collect::<Vec<_>>(),
        );
    }
    assert_eq!(ids[0], ids[1], "what comes again has the same ids");
    assert!(ids[2].iter().all(|id| !ids[0].contains(id)), "{ids:?}");
}

/// A user's JWT and the signature of the server's nonce, out of a credentials file.
#[tokio::test]
async fn a_credentials_file_is_shown_as_its_jwt_and_a_signature() {
    let server = Server::usual(|_| stored(1)).await;
    let mut settings = section(&server.url);
    settings.credentials = Some(serde_json::from_value(json!({ "env": "X" })).expect("a reference"));
    let around = Surroundings {
        secret: Arc::new(|_| {
            Ok("-----BEGIN NATS USER JWT-----\neyJ0.e30.x\n------END NATS USER JWT------\n\n\
                -----BEGIN USER NKEY SEED-----\n\
                SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y\n\
                ------END USER NKEY SEED------\n"
                .into())
        }),
        ..surroundings()
    };
    let nats = Sink::Nats(Nats::build("nats", settings, &around).expect("a sink"));
    assert_eq!(deliver(&nats, &["a"]).await.outcomes, [Outcome::Delivered]);
    let connect = server.connects.lock().expect("a lock")[0].clone();
    assert_eq!(connect["jwt"].as_str(), Some("eyJ0.e30.x"));
    // Of Ed25519: 64 bytes, in letters that go into a URL.
    assert_eq!(connect["sig"].as_str().map(str::len), Some(86), "{connect}");
    assert!(connect["nkey"].is_null() && connect["pass"].is_null(), "{connect}");
}

/// What says nonsense behind an answer is not used again.
#[tokio::test]
async fn a_connection_on_which_nonsense_came_is_not_used_again() {
    let server = Server::usual(|_| {
        Reply::Says("MSG REPLY 1 27\r\n{\"stream\":\"MUSTER\",\"seq\":1}\r\nnonsense\r\n".to_owned())
    })
    .await;
    let nats = sink(section(&server.url));
    for connects in 1..=2 {
        assert_eq!(deliver(&nats, &["a"]).await.outcomes, [Outcome::Delivered]);
        assert_eq!(server.connects.lock().expect("a lock").len(), connects);
    }
}

/// What was given up stays with the system that would send it when the server reads again: it must not.
#[tokio::test]
async fn what_was_given_up_is_not_sent_later() {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a short buffer");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let listener = socket.listen(1).expect("it listens");
    let url = format!("nats://{}", listener.local_addr().expect("an address"));
    let given_up = Arc::new(tokio::sync::Notify::new());
    let told = Arc::clone(&given_up);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        stream.write_all(format!("INFO {}\r\n", usual_info()).as_bytes()).await.expect("written");
        let mut heard = Vec::new();
        while !heard.ends_with(b"PING\r\n") {
            assert!(stream.read_buf(&mut heard).await.expect("a CONNECT") > 0);
        }
        stream.write_all(b"PONG\r\n").await.expect("written");
        heard.clear();
        while !heard.ends_with(b"\r\n\r\n") {
            assert!(stream.read_buf(&mut heard).await.expect("a question") > 0);
        }
        let text = String::from_utf8(heard).expect("text");
        let answer = json!({ "config": stream_config() }).to_string();
        let reply = text.split(' ').nth(2).expect("a subject for the answer");
        let answer = format!("MSG {reply} 1 {}\r\n{answer}\r\n", answer.len());
        stream.write_all(answer.as_bytes()).await.expect("written");
        // From here on it reads nothing, until the sink has given up.
        told.notified().await;
        let mut rest = Vec::new();
        // It ends with a reset.
        drop(stream.read_to_end(&mut rest).await);
        rest.len()
    });
    let mut settings = section(&url);
    settings.timeout = Span(Duration::from_millis(500));
    let long = format!(r#"{{"id":"long","title":"{}"}}"#, "x".repeat(900_000));
    let nats = sink(settings);
    let report = nats.deliver_and_wait(delivery_batch(&tenant(0), &[delivery(1, &[&long])])).await;
    assert_eq!(report.outcomes, [Outcome::Retry]);
    given_up.notify_one();
    let read = tasks.join_next().await.expect("a server").expect("no panic");
    assert!(read < 200_000, "{read} bytes came after it was given up");
}

#[tokio::test]
async fn a_test_tells_what_the_stream_may_lose() {
    for (key, value, why) in [
        ("discard", json!("old"), "drops old messages"),
        ("storage", json!("memory"), "in memory"),
        ("num_replicas", json!(1), "no replica"),
        ("retention", json!("interest"), "no consumer"),
        ("max_age", json!(3_600_000_000_000_i64), "older than 3600 s"),
        ("duplicate_window", json!(1_000_000_000), "for 1 s only"),
        ("max_msg_size", json!(2_000), "up to 2000 bytes"),
    ] {
        let mut config = stream_config();
        config[key] = value;
        let server = Server::start(usual_info(), config, Arc::new(|_| stored(1))).await;
        let said = sink(section(&server.url)).test().await.expect(key);
        assert!(said.contains("mind: ") && said.contains(why), "{key}: {said}");
        assert!(server.seen().is_empty(), "a test sends no record");
    }
    let server = Server::usual(|_| stored(1)).await;
    let said = sink(section(&server.url)).test().await.expect("all is well");
    assert!(said.contains("messages to `muster.*.*` go into it") && !said.contains("mind"), "{said}");
}

#[tokio::test]
async fn whoever_is_not_let_in_is_told_what_to_check() {
    for (said, why) in [
        ("-ERR 'Authorization Violation'\r\n", "check the sink's user and password"),
        ("-ERR 'Permissions Violation for Subscription to \"_INBOX.x.*\"'\r\n", "inbox_prefix"),
        ("-ERR 'maximum connections exceeded'\r\n", "limit of connections"),
        ("HTTP/1.1 400 Bad Request\r\n", "not a NATS server"),
        ("", "it closed the connection"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("nats://{}", listener.local_addr().expect("an address"));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                let first =
                    if said.starts_with('-') { format!("INFO {}\r\n", usual_info()) } else { String::new() };
                stream.write_all(first.as_bytes()).await.expect("written");
                let mut line = String::new();
                if said.starts_with('-') {
                    stream.read_line(&mut line).await.expect("a CONNECT");
                }
                stream.write_all(said.as_bytes()).await.expect("written");
                stream.shutdown().await.expect("closed");
                // What it says is read before the connection is seen to be closed.
                while stream.read_line(&mut line).await.is_ok_and(|bytes| bytes > 0) {}
            }
        });
        let mut settings = section(&url);
        settings.user = Some("muster".to_owned());
        settings.password = Some(serde_json::from_value(json!({ "env": "X" })).expect("a reference"));
        let report = deliver(&sink(settings), &["a"]).await;
        assert_eq!(report.outcomes, [Outcome::Retry]);
        assert!(reason(&report).contains(why), "{said}: {}", reason(&report));
        assert!(!reason(&report).contains("a-token"));
    }
}

#[tokio::test]
async fn the_server_that_is_there_is_used() {
    let server = Server::usual(|_| stored(1)).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let gone = format!("nats://{}", closed.local_addr().expect("an address"));
    drop(closed);
    let both: NatsSettings =
        settings(json!({ "url": [gone, server.url], "stream": STREAM, "token": { "env": "X" } }));
    assert_eq!(deliver(&sink(both), &["a"]).await.outcomes, [Outcome::Delivered]);
    let connects = server.connects.lock().expect("a lock").clone();
    assert_eq!(
        (connects[0]["auth_token"].as_str(), connects[0]["headers"].as_bool()),
        (Some("a-token"), Some(true))
    );
    let report = deliver(&sink(section(&gone)), &["a"]).await;
    assert!(reason(&report).contains("check that it runs"), "{}", reason(&report));
}

#[test]
fn settings_that_cannot_work_say_why() {
    let reference = json!({ "env": "X" });
    for (key, value, why) in [
        ("url", json!("nats://nats.example/MUSTER"), "must end with the port"),
        ("stream", json!("a.b"), "the name of one stream"),
        ("subject", json!("a..b"), "names with dots"),
        ("subject", json!("$JS.x"), "none that begins with `$`"),
        ("subject", json!("a b"), "names with dots"),
        ("subject", json!("a.>"), "names with dots"),
        ("subject", json!("x".repeat(300)), "longer than 255"),
        ("inbox_prefix", json!("_INBOX.>"), "without wildcards"),
        ("domain", json!("a.b"), "domain is a name"),
        ("user", json!("muster"), "belong together"),
        ("client_key", reference.clone(), "belong together"),
        ("ca_file", json!("ca.pem"), "ca_file is for servers whose url begins with tls://"),
        ("tls_first", json!(true), "tls_first is for servers"),
        ("client_certificate", json!("a.pem"), "client_certificate is for servers"),
    ] {
        let mut section = json!({ "url": "nats://nats.example", "stream": STREAM });
        section[key] = value;
        let mistakes = settings::<NatsSettings>(section).mistakes();
        assert!(mistakes.iter().any(|mistake| mistake.contains(why)), "{key}: {mistakes:?}");
    }
    let two =
        json!({ "url": "nats://nats.example", "stream": STREAM, "token": reference, "nkey_seed": reference });
    assert!(settings::<NatsSettings>(two).mistakes()[0].contains("not several"));
    let mut seed = section("nats://nats.example");
    seed.nkey_seed = Some(serde_json::from_value(reference).expect("a reference"));
    let error = Nats::build("nats", seed, &surroundings()).expect_err("no seed").to_string();
    assert!(error.contains("no seed of a user") && !error.contains("a-token"), "{error}");
}

#[test]
fn the_page_names_keys_that_there_are() {
    check_page::<NatsSettings>("nats");
}

struct Stream {
    behaviour: Arc<Mutex<Behaviour>>,
    server: Option<Server>,
    taken: Arc<Mutex<Vec<(String, String)>>>,
}

impl Harness for Stream {
    async fn sink(&mut self, behaviour: Behaviour, timeout: Duration) -> Sink {
        *self.behaviour.lock().expect("a lock") = behaviour;
        let (behaves, taken) = (self.behaviour.clone(), self.taken.clone());
        if behaviour == Behaviour::Down {
            self.server = None;
        } else if self.server.is_none() {
            let server = Server::usual(move |message| {
                let (behaviour, id) = (*behaves.lock().expect("a lock"), message.id());
                match behaviour {
                    Behaviour::Slow => return Reply::Nothing,
                    Behaviour::Cuts => return Reply::Cuts,
                    Behaviour::Nonsense => return Reply::Answer("{\"stream\":\"MUSTER\"".to_owned()),
                    Behaviour::RefusesOne if id == BAD => {
                        return failed(10_054, "message size exceeds maximum allowed");
                    }
                    _ => {}
                }
                let key = message.header("Nats-Msg-Id").expect("an id").to_owned();
                let mut taken = taken.lock().expect("a lock");
                if !taken.iter().any(|(known, _)| *known == key) {
                    taken.push((key, id));
                }
                stored(taken.len())
            });
            self.server = Some(server.await);
        }
        let url = self.server.as_ref().map_or("nats://127.0.0.1:9", |server| &server.url);
        let mut settings = section(url);
        settings.timeout = Span(timeout);
        Sink::Nats(Nats::build("suite", settings, &surroundings()).expect("a sink"))
    }

    async fn taken(&self) -> Vec<String> {
        self.taken.lock().expect("a lock").iter().map(|(_, id)| id.clone()).collect()
    }

    fn impossible(_: Behaviour) -> Option<&'static str> {
        None
    }

    const TELLS_REPETITIONS: bool = true;
}

#[tokio::test]
async fn the_suite() {
    suite::run(async || Stream {
        behaviour: Arc::new(Mutex::new(Behaviour::Well)),
        server: None,
        taken: Arc::default(),
    })
    .await;
}
