use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;
use muster_model::{Outcome, Span};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::frames::{self, Kind, long_text, method, read_header, short_text, table};
use super::*;
use crate::sinks::Sink;
use crate::sinks::suite::{self, BAD, Behaviour, Harness};
use crate::sinks::testing::{body, check_page, delivery, delivery_batch, settings, surroundings, tenant};

/// A message that was published to the broker.
#[derive(Debug, Clone)]
struct Published {
    tag: u64,
    message_id: String,
    routing_key: String,
    properties: Vec<u8>,
    body: String,
}

impl Published {
    fn id(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).expect("JSON");
        body["id"].as_str().expect("an id").to_owned()
    }
}

/// What the broker writes when it has got a message.
enum Reply {
    Says(Vec<u8>),
    Cuts,
}

fn ack(tag: u64, multiple: bool) -> Vec<u8> {
    confirm(80, tag, multiple)
}

fn nack(tag: u64) -> Vec<u8> {
    confirm(120, tag, false)
}

fn confirm(number: u16, tag: u64, multiple: bool) -> Vec<u8> {
    let mut out = Vec::new();
    method(&mut out, 1, (60, number), |out| {
        out.extend_from_slice(&tag.to_be_bytes());
        out.push(multiple.into());
    });
    out
}

/// `basic.return` of a message, with its content.
fn returned(message_id: &str, routing_key: &str, body: &str) -> Vec<u8> {
    let mut whole = Vec::new();
    let back = Message {
        exchange: "muster",
        routing_key,
        id: message_id,
        content_type: "application/json",
        source: "x",
        timestamp: Some(1),
        headers: &[("tenant", "x")],
        body: body.as_bytes(),
    };
    back.write(1, 64, &mut whole);
    let publish = 7 + u32::from_be_bytes(whole[3..7].try_into().expect("a length")) as usize + 1;
    let mut out = Vec::new();
    method(&mut out, 1, (60, 50), |out| {
        out.extend_from_slice(&312_u16.to_be_bytes());
        for text in ["NO_ROUTE", "muster", routing_key] {
            short_text(out, text);
        }
    });
    out.extend_from_slice(&whole[publish..]);
    out
}

fn closes(channel: u16, number: (u16, u16), code: u16, text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    method(&mut out, channel, number, |out| {
        out.extend_from_slice(&code.to_be_bytes());
        short_text(out, text);
        out.extend_from_slice(&[0; 4]);
    });
    out
}

fn closes_channel(code: u16, text: &str) -> Vec<u8> {
    closes(1, (20, 40), code, text)
}

type Replies = Arc<dyn Fn(&Published) -> Reply + Send + Sync>;

/// A broker that answers as a test tells it to.
struct Broker {
    url: String,
    seen: Arc<Mutex<Vec<Published>>>,
    opened: Arc<AtomicUsize>,
    /// How many clients have said goodbye.
    left: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Broker {
    async fn start(replies: impl Fn(&Published) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("amqp://{}/soc", listener.local_addr().expect("an address"));
        let (seen, opened, replies): (_, _, Replies) =
            (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)), Arc::new(replies));
        let left = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        let (to_see, to_open, to_leave) = (seen.clone(), opened.clone(), left.clone());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                to_open.fetch_add(1, Ordering::Relaxed);
                let (seen, left, replies) = (to_see.clone(), to_leave.clone(), replies.clone());
                connections.spawn(async move {
                    // A client that goes away is its own affair.
                    drop(serve(stream, (&seen, &left), &replies).await);
                });
            }
        });
        Self { url, seen, opened, left, _tasks: tasks }
    }

    fn seen(&self) -> Vec<Published> {
        self.seen.lock().expect("a lock").clone()
    }
}

fn start() -> Vec<u8> {
    let mut out = Vec::new();
    method(&mut out, 0, (10, 10), |out| {
        out.extend_from_slice(&[0, 9]);
        table(out, |_| {});
        long_text(out, b"AMQPLAIN PLAIN");
        long_text(out, b"en_US");
    });
    out
}

fn simple(channel: u16, number: (u16, u16), arguments: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    method(&mut out, channel, number, |out| out.extend_from_slice(arguments));
    out
}

async fn serve(
    mut stream: TcpStream,
    (seen, left): (&Mutex<Vec<Published>>, &AtomicUsize),
    replies: &Replies,
) -> std::io::Result<()> {
    let mut protocol = [0; 8];
    stream.read_exact(&mut protocol).await?;
    assert_eq!(protocol, frames::PROTOCOL);
    stream.write_all(&start()).await?;
    let (mut heard, mut tag, mut routing_key, mut is_closed, mut is_tried) =
        (BytesMut::new(), 0, String::new(), false, false);
    let mut content: Option<(u64, String, Vec<u8>, Vec<u8>)> = None;
    loop {
        let Some(frame) = frames::read(&mut heard).expect("AMQP") else {
            if stream.read_buf(&mut heard).await? == 0 {
                return Ok(());
            }
            continue;
        };
        match frame.kind {
            Kind::Method => {
                let number = |at: usize| u16::from_be_bytes([frame.payload[at], frame.payload[at + 1]]);
                let answer = match (number(0), number(2)) {
                    (10, 11) => {
                        assert!(frame.payload.windows(13).any(|words| words == b"\0muster\0a-tok"));
                        simple(0, (10, 30), &[0, 0, 0, 2, 0, 0, 0, 60])
                    }
                    (10, 40) => {
                        assert_eq!(&frame.payload[4..8], b"\x03soc");
                        simple(0, (10, 41), &[0])
                    }
                    (10, 50) => {
                        left.fetch_add(1, Ordering::Relaxed);
                        stream.write_all(&simple(0, (10, 51), &[])).await?;
                        return Ok(());
                    }
                    (20, 10) => simple(1, (20, 11), &[0; 4]),
                    (40, 10) => simple(1, (40, 11), &[]),
                    (50, 10) => simple(1, (50, 11), &[0; 9]),
                    (85, 10) => simple(1, (85, 11), &[]),
                    (90, 10) => {
                        is_tried = true;
                        simple(1, (90, 11), &[])
                    }
                    (90, 30) => simple(1, (90, 31), &[]),
                    (60, 40) => {
                        let exchange = usize::from(frame.payload[6]);
                        let key = 7 + exchange;
                        let bytes = usize::from(frame.payload[key]);
                        routing_key = String::from_utf8(frame.payload[key + 1..key + 1 + bytes].to_vec())
                            .expect("text");
                        assert_eq!(frame.payload.last(), Some(&1), "mandatory");
                        Vec::new()
                    }
                    _ => Vec::new(),
                };
                stream.write_all(&answer).await?;
                continue;
            }
            Kind::Header => {
                let (bytes, id) = read_header(&frame.payload).expect("a header");
                content = Some((bytes, id.expect("an id"), frame.payload.to_vec(), Vec::new()));
            }
            Kind::Body => content.as_mut().expect("a header").3.extend_from_slice(&frame.payload),
            Kind::Heartbeat => {}
        }
        let Some((_, message_id, properties, whole)) =
            content.take_if(|(bytes, _, _, whole)| whole.len() as u64 == *bytes)
        else {
            continue;
        };
        if is_closed || is_tried {
            continue;
        }
        tag += 1;
        let body = String::from_utf8(whole).expect("text");
        let published = Published { tag, message_id, routing_key: routing_key.clone(), properties, body };
        let reply = replies(&published);
        seen.lock().expect("a lock").push(published);
        match reply {
            Reply::Says(said) => {
                // What comes on a channel after it was closed is dropped.
                is_closed = said.windows(4).any(|words| words == [0, 20, 0, 40]);
                stream.write_all(&said).await?;
            }
            Reply::Cuts => return Ok(()),
        }
    }
}

fn section(url: &str) -> AmqpSettings {
    settings(json!({ "url": url, "exchange": "muster", "user": "muster", "password": { "env": "X" } }))
}

fn sink(settings: AmqpSettings) -> Sink {
    Sink::Amqp(Amqp::build("amqp", settings, &surroundings()).expect("a sink"))
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
async fn each_event_is_a_message_that_says_whose_it_is() {
    let broker = Broker::start(|message| Reply::Says(ack(message.tag, false))).await;
    let amqp = sink(section(&broker.url));
    for _ in 0..2 {
        assert_eq!(deliver(&amqp, &["a", "b"]).await.outcomes, [Outcome::Delivered, Outcome::Delivered]);
    }
    let seen = broker.seen();
    assert_eq!(seen[0].routing_key, "muster.tenant-0.graph_alerts");
    let ids: Vec<&str> = seen.iter().map(|message| message.message_id.as_str()).collect();
    assert_eq!(ids[..2], ids[2..], "what comes again has the same id");
    assert_ne!(ids[0], ids[1]);
    let properties = String::from_utf8_lossy(&seen[0].properties).into_owned();
    for text in [
        "application/json",
        "tenant-0",
        "00000000-0000-0000-0000-000000000001",
        "graph_alerts",
        "record_id",
        "1-0",
    ] {
        assert!(properties.contains(text), "{text}: {properties:?}");
    }
    assert_eq!(broker.opened.load(Ordering::Relaxed), 1, "a connection is used again");
    amqp.close().await;
}

/// Confirms for several, in any order, and what comes back although it is confirmed.
#[tokio::test]
async fn confirms_come_in_any_order_and_a_return_before_its_own() {
    let broker = Broker::start(|message| {
        let again = |text: &str| returned(&message.message_id, &message.routing_key, text);
        Reply::Says(match (message.id().as_str(), message.tag) {
            ("unroutable", tag) => [again(&message.body), ack(tag, false)].concat(),
            // Its content is empty, and it is confirmed with others.
            ("empty", tag) => [again(""), ack(tag, true)].concat(),
            ("nacked", tag) => nack(tag),
            ("last", tag) => [ack(tag, false), ack(0, true)].concat(),
            _ => Vec::new(),
        })
    })
    .await;
    let amqp = sink(section(&broker.url));
    let report = deliver(&amqp, &["a", "unroutable", "b", "nacked", "c", "empty", "d", "last"]).await;
    use Outcome::{Delivered, Retry};
    assert_eq!(report.outcomes, [Delivered, Retry, Delivered, Retry, Delivered, Retry, Delivered, Delivered]);
    assert!(reason(&report).contains("no queue is bound to exchange `muster`"), "{}", reason(&report));
    assert!(reason(&report).starts_with("sink `amqp` (127.0.0.1:"), "{}", reason(&report));
    assert_eq!(
        broker.left.load(Ordering::Relaxed),
        1,
        "a channel by which something was nacked is of no more use"
    );
    let report = deliver(&amqp, &["unroutable", "last"]).await;
    assert_eq!(report.outcomes, [Retry, Delivered]);
    let report = deliver(&amqp, &["nacked", "last"]).await;
    assert!(reason(&report).contains("x-overflow"), "{}", reason(&report));
    assert_eq!(broker.opened.load(Ordering::Relaxed), 2, "what comes back is not the connection's fault");
}

/// What might pass for a confirm, and is none.
#[tokio::test]
async fn what_was_not_sent_is_not_confirmed() {
    for said in [
        ack(2, true),
        ack(u64::MAX, true),
        nack(9),
        returned("another", "x", "{}"),
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        simple(1, (60, 80), &[0]),
        simple(1, (20, 11), &[0; 4]),
        b"\x03\x00\x01\x00\x00\x00\x01x\xce".to_vec(),
    ] {
        let shown = format!("{said:?}");
        let broker = Broker::start(move |_| Reply::Says(said.clone())).await;
        let report = deliver(&sink(section(&broker.url)), &["a"]).await;
        assert_eq!(report.outcomes, [Outcome::Retry], "{shown}");
        assert!(reason(&report).contains("nothing it says counts"), "{shown}: {}", reason(&report));
    }
    // A confirm of nothing that is under way is nobody's, and what has none is owed.
    let broker = Broker::start(|_| Reply::Says(ack(0, false))).await;
    let mut settings = section(&broker.url);
    settings.timeout = Span(Duration::from_millis(200));
    let report = deliver(&sink(settings), &["a"]).await;
    assert_eq!(report.outcomes, [Outcome::Retry]);
    assert!(reason(&report).contains("no answer within 200ms"), "{}", reason(&report));
}

#[tokio::test]
async fn a_channel_that_is_closed_is_told_with_its_cure() {
    for (code, text, why) in [
        (404, "NOT_FOUND - no exchange 'muster' in vhost 'soc'", "make the exchange"),
        (
            403,
            "ACCESS_REFUSED - write access to exchange 'muster' in vhost 'soc' refused",
            "permission to write",
        ),
        (541, "INTERNAL_ERROR \u{1b}[2J", "own log"),
    ] {
        let broker = Broker::start(move |message| {
            Reply::Says(match message.tag {
                1 => ack(1, false),
                _ => closes_channel(code, text),
            })
        })
        .await;
        let report = deliver(&sink(section(&broker.url)), &["a", "b", "c"]).await;
        use Outcome::{Delivered, Retry};
        assert_eq!(report.outcomes, [Delivered, Retry, Retry], "{text}");
        assert!(reason(&report).contains(why) && !reason(&report).contains('\u{1b}'), "{}", reason(&report));
    }
    let broker = Broker::start(|_| Reply::Says(closes(0, (10, 50), 320, "CONNECTION_FORCED"))).await;
    let report = deliver(&sink(section(&broker.url)), &["a"]).await;
    assert!(reason(&report).contains("tried again later, by itself"), "{}", reason(&report));
}

/// The broker closes the channel over one, and drops what was published behind it.
#[tokio::test]
async fn a_message_that_is_too_large_costs_itself() {
    for says_size in [true, false] {
        let broker = Broker::start(move |message| {
            Reply::Says(match (message.body.len() > 300, says_size) {
                (false, _) => ack(message.tag, false),
                (true, true) => closes_channel(
                    406,
                    &format!(
                        "PRECONDITION_FAILED - message size {} is larger than configured max size 300",
                        message.body.len()
                    ),
                ),
                (true, false) => closes_channel(311, "CONTENT_TOO_LARGE"),
            })
        })
        .await;
        let amqp = sink(section(&broker.url));
        let big = format!(r#"{{"id":"big","title":"{}"}}"#, "x".repeat(300));
        let (first, second) = (body("a"), body("b"));
        let bodies = [first.as_str(), &big, &second];
        let report = amqp.deliver_and_wait(delivery_batch(&tenant(0), &[delivery(1, &bodies)])).await;
        let Outcome::Rejected(why) = &report.outcomes[1] else { panic!("{says_size}: {report:?}") };
        assert!(why.contains("bytes"), "{why}");
        assert_eq!([&report.outcomes[0], &report.outcomes[2]], [&Outcome::Delivered; 2], "{says_size}");
        let times = |id: &str| broker.seen().iter().filter(|message| message.id() == id).count();
        assert_eq!((times("a"), times("b")), (1, 1), "what was confirmed or dropped is not doubled");
        // One that does not say how long they may be is asked once more, by what was too long alone.
        let channels = if says_size { 1 } else { 2 };
        assert_eq!(broker.left.load(Ordering::Relaxed), channels, "whoever lost its channel says goodbye");
        // Alone it is judged when something else was taken.
        let alone = amqp.deliver_and_wait(delivery_batch(&tenant(0), &[delivery(1, &[&big])])).await;
        assert!(matches!(alone.outcomes[0], Outcome::Retry | Outcome::Rejected(_)), "{alone:?}");
    }
}

/// While the broker takes nothing from publishers, nothing is begun; when it does again, all goes on.
#[tokio::test]
async fn a_broker_that_blocks_is_waited_for() {
    let blocked = simple(0, (10, 60), b"\x0blow on disk");
    let until_over = blocked.clone();
    let broker = Broker::start(move |message| {
        Reply::Says(match message.id().as_str() {
            "blocked" => blocked.clone(),
            "over" => [until_over.clone(), simple(0, (10, 61), &[]), ack(message.tag, true)].concat(),
            _ => ack(message.tag, false),
        })
    })
    .await;
    let mut settings = section(&broker.url);
    settings.timeout = Span(Duration::from_millis(300));
    let amqp = sink(settings);
    let report = deliver(&amqp, &["a", "blocked"]).await;
    assert_eq!(report.outcomes, [Outcome::Delivered, Outcome::Retry]);
    assert!(reason(&report).contains("free disk or memory there"), "{}", reason(&report));
    let report = deliver(&amqp, &["over", "b"]).await;
    assert_eq!(report.outcomes, [Outcome::Delivered, Outcome::Delivered]);
}

/// What has begun is ended, so that the broker is not left with half a message; nothing else goes out.
#[tokio::test]
async fn nothing_is_begun_while_the_broker_blocks() {
    let broker = Broker::start(move |message| {
        Reply::Says(if message.tag == 1 { simple(0, (10, 60), b"\x0blow on disk") } else { Vec::new() })
    })
    .await;
    let mut settings = section(&broker.url);
    settings.timeout = Span(Duration::from_secs(2));
    settings.batch_size = muster_model::ByteSize(64 << 20);
    let amqp = sink(settings);
    let bodies: Vec<String> =
        (0..40).map(|number| format!(r#"{{"id":"{number}","title":"{}"}}"#, "x".repeat(500_000))).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    let report = amqp.deliver_and_wait(delivery_batch(&tenant(0), &[delivery(1, &bodies)])).await;
    assert!(report.outcomes.iter().all(|outcome| *outcome == Outcome::Retry), "{:?}", report.trouble);
    assert!(reason(&report).contains("free disk or memory there"), "{}", reason(&report));
    // What was on its way when the broker said so is some megabytes.
    let seen = broker.seen().len();
    assert!((1..30).contains(&seen), "{seen} of 40");
}

#[tokio::test]
async fn whoever_is_not_let_in_is_told_what_to_check() {
    for (said, why) in [
        (
            closes(
                0,
                (10, 50),
                403,
                "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN.",
            ),
            "check the sink's user and password",
        ),
        (closes(0, (10, 50), 530, "NOT_ALLOWED - vhost soc not found"), "check the virtual host"),
        (b"AMQP\x00\x01\x00\x00".to_vec(), "does not speak AMQP 0.9.1"),
        (Vec::new(), "it closed the connection"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("amqp://{}/soc", listener.local_addr().expect("an address"));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut protocol = [0; 8];
                stream.read_exact(&mut protocol).await.expect("a protocol");
                if said.len() > 8 {
                    stream.write_all(&start()).await.expect("written");
                    let mut some = [0; 64];
                    assert!(stream.read(&mut some).await.expect("a start-ok") > 0);
                }
                stream.write_all(&said).await.expect("written");
                stream.shutdown().await.expect("closed");
                let mut rest = Vec::new();
                drop(stream.read_to_end(&mut rest).await);
            }
        });
        let report = deliver(&sink(section(&url)), &["a"]).await;
        assert_eq!(report.outcomes, [Outcome::Retry]);
        assert!(reason(&report).contains(why), "{}", reason(&report));
        assert!(!reason(&report).contains("a-token"));
    }
}

#[test]
fn settings_that_cannot_work_say_why() {
    let reference = json!({ "env": "X" });
    for (change, why) in [
        (json!({ "user": null, "password": null }), "user and password are missing"),
        (json!({ "password": null }), "belong together"),
        (json!({ "exchange": "" }), "exchange is missing"),
        (json!({ "exchange": "x".repeat(256) }), "a name of up to 255 bytes"),
        (json!({ "routing_key": "x".repeat(256) }), "longer than 255 bytes"),
        (json!({ "mechanism": "external" }), "not for mechanism"),
        (json!({ "mechanism": "external", "user": null, "password": null }), "needs client_certificate"),
        (json!({ "client_certificate": "a.pem", "client_key": reference }), "begins with amqps://"),
        (json!({ "ca_file": "ca.pem" }), "ca_file is for brokers whose url begins with amqps://"),
        (json!({ "url": ["amqp://a.example/soc", "amqp://b.example"] }), "the same virtual host"),
    ] {
        let mut section = json!({
            "url": "amqp://rabbit.example/soc", "exchange": "muster", "user": "muster", "password": reference,
        });
        for (key, value) in change.as_object().expect("an object") {
            section[key] = value.clone();
        }
        let mistakes = settings::<AmqpSettings>(section).mistakes();
        assert!(mistakes.iter().any(|mistake| mistake.contains(why)), "{change}: {mistakes:?}");
    }
}

#[test]
fn the_page_names_keys_that_there_are() {
    check_page::<AmqpSettings>("amqp");
}

struct Queue {
    behaviour: Arc<Mutex<Behaviour>>,
    broker: Option<Broker>,
    taken: Arc<Mutex<Vec<String>>>,
}

impl Harness for Queue {
    async fn sink(&mut self, behaviour: Behaviour, timeout: Duration) -> Sink {
        *self.behaviour.lock().expect("a lock") = behaviour;
        let (behaves, taken) = (self.behaviour.clone(), self.taken.clone());
        if behaviour == Behaviour::Down {
            self.broker = None;
        } else if self.broker.is_none() {
            let broker = Broker::start(move |message| {
                let (behaviour, id) = (*behaves.lock().expect("a lock"), message.id());
                match behaviour {
                    Behaviour::Slow => return Reply::Says(Vec::new()),
                    Behaviour::Cuts => return Reply::Cuts,
                    Behaviour::Nonsense => {
                        return Reply::Says(b"\x01\x00\x01\x00\x00\x00\x04nonsense".to_vec());
                    }
                    Behaviour::RefusesOne if id == BAD => {
                        return Reply::Says(closes_channel(406, "message size"));
                    }
                    _ => {}
                }
                taken.lock().expect("a lock").push(id);
                Reply::Says(ack(message.tag, false))
            });
            self.broker = Some(broker.await);
        }
        let url = self.broker.as_ref().map_or("amqp://127.0.0.1:9", |broker| &broker.url);
        let mut settings = section(url);
        settings.timeout = Span(timeout);
        Sink::Amqp(Amqp::build("suite", settings, &surroundings()).expect("a sink"))
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
async fn the_suite() {
    suite::run(async || Queue {
        behaviour: Arc::new(Mutex::new(Behaviour::Well)),
        broker: None,
        taken: Arc::default(),
    })
    .await;
}
