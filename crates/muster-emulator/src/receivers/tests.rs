//! The receivers over real sockets, seen by their clients.

use std::io::{self, Write as _};

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_rustls::TlsConnector;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::*;

const TOKEN: &str = "11111111-2222-3333-4444-555555555555";
const CHANNEL: &str = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";

fn anywhere() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

fn produced(ids: &[&str]) -> Vec<Produced> {
    ids.iter()
        .map(|id| Produced { tenant: "t".into(), kind: RecordKind::Alert, id: (*id).into(), updated_ms: 1 })
        .collect()
}

fn hec_event(id: &str) -> String {
    let record = json!({ "id": id, "tenantId": "t", "lastUpdateDateTime": "1970-01-01T00:00:00.001Z" });
    json!({ "time": 0.001, "sourcetype": "ms:defender:atp:alerts", "event": record }).to_string()
}

fn cef(id: &str) -> String {
    format!(
        "<13>1 - host muster - - - CEF:0|Microsoft|Defender|1|alert|Title|5|externalId={id} cs2=t \
         cs2Label=tenantId deviceCustomDate1=1 deviceCustomDate1Label=lastUpdateDateTime"
    )
}

fn octet_counted(id: &str) -> String {
    let message = cef(id);
    format!("{} {message}", message.len())
}

fn certificate() -> (Arc<rustls::ServerConfig>, Arc<rustls::ClientConfig>, String) {
    drop(rustls::crypto::ring::default_provider().install_default());
    let made =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let server = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    (Arc::new(server), Arc::new(client), made.cert.pem())
}

/// A collector and a client of it.
struct Splunk {
    receivers: Receivers,
    client: reqwest::Client,
    base: String,
}

impl Splunk {
    async fn start(acknowledge: bool) -> Splunk {
        drop(rustls::crypto::ring::default_provider().install_default());
        let hec = HecConfig { listen: anywhere(), token: TOKEN.into(), acknowledge, tls: None };
        let receivers =
            Receivers::start(ReceiversConfig { hec: Some(hec), syslog: None, ingest: None }).await.unwrap();
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
        let base = format!("http://{}/services/collector", receivers.hec_address().unwrap());
        Splunk { receivers, client, base }
    }

    fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        self.client
            .post(format!("{}{path}", self.base))
            .header("Authorization", format!("Splunk {TOKEN}"))
            .header("X-Splunk-Request-Channel", CHANNEL)
            .body(body)
    }

    async fn send(&self, body: impl Into<reqwest::Body>) -> (u16, Value) {
        answer(self.post("/event", body)).await
    }

    async fn acks(&self, ids: &[u64]) -> Value {
        let (status, answer) = answer(self.post("/ack", json!({ "acks": ids }).to_string())).await;
        assert_eq!(status, 200);
        answer["acks"].clone()
    }

    fn tally(&self, ids: &[&str]) -> ReceiverTally {
        self.receivers.tally(&produced(ids)).remove(0)
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

#[tokio::test]
async fn hec_takes_batches_plain_and_packed() {
    let splunk = Splunk::start(false).await;
    let success = (200, json!({ "text": "Success", "code": 0 }));
    assert_eq!(splunk.send(format!("{}{}", hec_event("a"), hec_event("b"))).await, success);
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(format!("{}\r\n\r\n{}", hec_event("b"), hec_event("c")).as_bytes()).unwrap();
    let packed = splunk.post("", packer.finish().unwrap()).header("Content-Encoding", "gzip");
    assert_eq!(answer(packed).await, success);

    let tally = splunk.tally(&["a", "b", "c", "d"]);
    assert_eq!(tally.receiver, "hec");
    assert_eq!((tally.received, tally.distinct, tally.lost, tally.doubled), (4, 3, 1, 1));
    splunk.receivers.stop().await;
}

/// A further token may write to its own indexes only, and its acknowledgements are its own.
#[tokio::test]
async fn hec_tokens_have_indexes_and_channels_of_their_own() {
    let splunk = Splunk::start(true).await;
    splunk.receivers.add_hec_token("second", &["contoso"]);
    let in_index = |id: &str, index: &str| {
        let mut event: Value = serde_json::from_str(&hec_event(id)).unwrap();
        event["index"] = json!(index);
        event.to_string()
    };
    let post = |token: &'static str, path: &str, body: String| {
        let request = splunk.client.post(format!("{}{path}", splunk.base)).body(body);
        let request = request.header("Authorization", format!("Splunk {token}"));
        answer(request.header("X-Splunk-Request-Channel", CHANNEL))
    };
    let taken = post("second", "/event", in_index("a", "contoso")).await;
    assert_eq!(taken, (200, json!({ "text": "Success", "code": 0, "ackId": 0 })));
    let two = format!("{}{}", in_index("b", "contoso"), in_index("c", "fabrikam"));
    let refused = json!({ "text": "Incorrect index", "code": 7, "invalid-event-number": 1 });
    assert_eq!(post("second", "/event", two).await, (400, refused));
    assert_eq!(splunk.send(in_index("d", "fabrikam")).await.0, 200, "the first token may write everywhere");
    assert_eq!(splunk.acks(&[0]).await, json!({ "0": true }), "its own");
    let question = json!({ "acks": [0] }).to_string();
    let said = post("second", "/ack", question.clone()).await;
    assert_eq!(said.1["acks"], json!({ "0": true }), "and that of the other is there still");
    let tally = splunk.receivers.hec_tokens()["second"].clone();
    assert_eq!((tally.events.values().sum::<u64>(), tally.wrong_indexes), (1, 1));
    assert!(tally.first_at.is_some() && tally.first_at == tally.last_at);
    splunk.receivers.remove_hec_token("second");
    assert_eq!(post("second", "/event", hec_event("e")).await.0, 403);
    splunk.receivers.stop().await;
}

#[tokio::test]
async fn hec_answers_as_splunk_does() {
    let splunk = Splunk::start(false).await;
    let url = format!("{}/event", splunk.base);
    let anonymous = || splunk.client.post(&url).body(hec_event("a"));
    let refusal = |code: u16, text: &str| json!({ "text": text, "code": code });
    assert_eq!(answer(anonymous()).await, (401, refusal(2, "Token is required")));
    let header = |value: &'static str| anonymous().header("Authorization", value);
    assert_eq!(answer(header("Bearer x")).await, (401, refusal(3, "Invalid authorization")));
    assert_eq!(answer(header("Splunk x")).await, (403, refusal(4, "Invalid token")));
    let basic = anonymous().basic_auth("x", Some(TOKEN));
    assert_eq!(answer(basic).await.0, 200);
    assert_eq!(splunk.send("  ").await, (400, refusal(5, "No data")));
    assert_eq!(answer(splunk.post("/ack", "{}")).await, (400, refusal(14, "ACK is disabled")));
    assert_eq!(answer(splunk.post("/nowhere", "")).await.0, 404);
    let health = splunk.client.get(format!("{}/health", splunk.base));
    assert_eq!(answer(health).await, (200, refusal(17, "HEC is healthy")));
    splunk.receivers.set_hec_body_limit(1000);
    assert_eq!(splunk.send("x".repeat(1_000_000)).await, (413, refusal(27, "Request entity too large")));
    splunk.receivers.stop().await;
}

#[tokio::test]
async fn hec_keeps_the_events_before_an_invalid_one() {
    let splunk = Splunk::start(false).await;
    let refusal = |code: u16, text: &str, number: usize| {
        (400, json!({ "text": text, "code": code, "invalid-event-number": number }))
    };
    let after = |id: &str, invalid: &str| format!("{}{invalid}{}", hec_event(id), hec_event("never"));
    assert_eq!(splunk.send(after("a", "{\"event\":")).await, refusal(6, "Invalid data format", 1));
    assert_eq!(splunk.send(after("b", "{\"time\":1}")).await, refusal(12, "Event field is required", 1));
    assert_eq!(
        splunk.send(after("c", "{\"event\":\"\"}")).await,
        refusal(13, "Event field cannot be blank", 1)
    );
    assert_eq!(splunk.send("nonsense").await, refusal(6, "Invalid data format", 0));
    let mut damaged = hec_event("d").into_bytes();
    damaged.extend_from_slice(b"{\"event\":\"\xff\"}");
    assert_eq!(splunk.send(damaged).await, refusal(6, "Invalid data format", 1));
    let tally = splunk.tally(&["a", "b", "c", "d", "never"]);
    assert_eq!((tally.received, tally.lost, tally.doubled), (4, 1, 0));
    splunk.receivers.stop().await;
}

#[tokio::test]
async fn hec_acknowledges_once() {
    let splunk = Splunk::start(true).await;
    let without = splunk.client.post(format!("{}/event", splunk.base)).body(hec_event("a"));
    let without = without.header("Authorization", format!("Splunk {TOKEN}"));
    let missing = json!({ "text": "Data channel is missing", "code": 10 });
    assert_eq!(answer(without.try_clone().unwrap()).await, (400, missing));
    let (status, invalid) = answer(without.header("X-Splunk-Request-Channel", "1")).await;
    assert_eq!((status, invalid["code"].as_u64()), (400, Some(11)));

    for id in 0..3 {
        let (_, said) = splunk.send(hec_event(&id.to_string())).await;
        assert_eq!(said, json!({ "text": "Success", "code": 0, "ackId": id }));
    }
    assert_eq!(splunk.acks(&[0, 2, 9]).await, json!({ "0": true, "2": true, "9": false }));
    let told = |ids: &[&str]| splunk.receivers.hec_acknowledged_at(&produced(ids));
    let [Some(first), None, Some(_), None] = told(&["0", "1", "2", "never"])[..] else {
        panic!("{:?}", told(&["0", "1", "2", "never"]))
    };
    assert_eq!(splunk.acks(&[0, 1, 2]).await, json!({ "0": false, "1": true, "2": false }));
    assert!(told(&["1"])[0].is_some_and(|second| second >= first), "{:?}", told(&["1"]));
    splunk.receivers.set_acknowledge_delay(Duration::from_secs(3600));
    splunk.send(hec_event("late")).await;
    assert_eq!(splunk.acks(&[3]).await, json!({ "3": false }));

    let other = CHANNEL.replace('a', "0");
    let by_query = splunk.client.post(format!("{}/event?channel={other}", splunk.base));
    let by_query = by_query.header("Authorization", format!("Splunk {TOKEN}")).body(hec_event("x"));
    assert_eq!(answer(by_query).await.1["ackId"], 0);
    splunk.receivers.stop().await;
}

#[tokio::test]
async fn hec_that_never_acknowledges_has_lost_the_events() {
    let splunk = Splunk::start(true).await;
    splunk.send(hec_event("before")).await;
    splunk.receivers.set_fault(ReceiverName::Hec, ReceiverFault::NeverAcknowledge);
    let (status, said) = splunk.send(hec_event("during")).await;
    assert_eq!((status, said["ackId"].as_u64()), (200, Some(1)));
    assert_eq!(splunk.acks(&[0, 1]).await, json!({ "0": true, "1": false }));
    assert_eq!(splunk.tally(&["before", "during"]).lost, 1);
    splunk.receivers.clear_faults();
    assert_eq!(splunk.acks(&[1]).await, json!({ "1": false }));
    splunk.send(hec_event("during")).await;
    let tally = splunk.tally(&["before", "during"]);
    assert_eq!((tally.lost, tally.doubled), (0, 0));
    splunk.receivers.stop().await;
}

#[tokio::test]
async fn hec_faults() {
    let splunk = Splunk::start(false).await;
    let fault = |fault| splunk.receivers.set_fault(ReceiverName::Hec, fault);
    fault(ReceiverFault::Status { status: 503, retry_after_seconds: Some(7) });
    let busy = splunk.post("/event", hec_event("a")).send().await.unwrap();
    assert_eq!((busy.status().as_u16(), &busy.headers()["retry-after"]), (503, &"7".parse().unwrap()));

    fault(ReceiverFault::CutAfterBytes(20_000));
    assert!(splunk.post("/event", hec_event("a").repeat(1000)).send().await.is_err());

    fault(ReceiverFault::Stall);
    let stalled = splunk.post("/event", hec_event("a")).timeout(Duration::from_millis(100));
    assert!(stalled.send().await.unwrap_err().is_timeout());

    fault(ReceiverFault::Slow { milliseconds: 50 });
    let started = tokio::time::Instant::now();
    assert_eq!(splunk.send(hec_event("b")).await.0, 200);
    assert!(started.elapsed() >= Duration::from_millis(50));

    fault(ReceiverFault::Down);
    let address = splunk.receivers.hec_address().unwrap();
    wait_until_refused(address).await;
    assert!(splunk.post("/event", hec_event("a")).send().await.is_err());
    splunk.receivers.clear_faults();
    wait_until_open(address).await;
    assert_eq!(splunk.send(hec_event("c")).await.0, 200);

    let tally = splunk.tally(&["a", "b", "c"]);
    assert_eq!((tally.received, tally.distinct, tally.lost), (2, 2, 1));
    splunk.receivers.stop().await;
}

#[tokio::test]
async fn hec_over_tls() {
    let (tls, _, pem) = certificate();
    let hec = HecConfig { listen: anywhere(), token: TOKEN.into(), acknowledge: false, tls: Some(tls) };
    let receivers =
        Receivers::start(ReceiversConfig { hec: Some(hec), syslog: None, ingest: None }).await.unwrap();
    let root = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([root]).build().unwrap();
    let url = format!("https://{}/services/collector", receivers.hec_address().unwrap());
    let request = client.post(url).header("Authorization", format!("Splunk {TOKEN}")).body(hec_event("a"));
    assert_eq!(answer(request).await.0, 200);
    assert_eq!(receivers.tally(&produced(&["a"]))[0].lost, 0);
    receivers.stop().await;
}

async fn start_syslog(syslog: SyslogConfig) -> Receivers {
    Receivers::start(ReceiversConfig { hec: None, syslog: Some(syslog), ingest: None }).await.unwrap()
}

async fn start_syslog_tcp() -> (Receivers, SocketAddr) {
    let receivers = start_syslog(SyslogConfig { tcp: Some(anywhere()), ..SyslogConfig::default() }).await;
    let address = receivers.syslog_tcp_address().unwrap();
    (receivers, address)
}

/// Sends all, closes the sending side and waits for the receiver to close its own.
async fn send_and_wait<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await?;
    assert_eq!(stream.read(&mut [0; 1]).await?, 0);
    Ok(())
}

async fn wait_until_refused(address: SocketAddr) {
    while TcpStream::connect(address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn wait_until_open(address: SocketAddr) {
    while TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn syslog_tcp_reads_all_before_it_closes() {
    let (receivers, address) = start_syslog_tcp().await;
    let ids: Vec<String> = (0..5000).map(|number| number.to_string()).collect();
    let (counted, lines) = ids.split_at(2500);
    let mut text: String = counted.iter().map(|id| octet_counted(id)).collect();
    text.extend(lines.iter().map(|id| cef(id) + "\n"));
    text += "<13>nonsense\n";
    text += &octet_counted("cut")[..40];
    send_and_wait(TcpStream::connect(address).await.unwrap(), &text).await.unwrap();

    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let tally = receivers.tally(&produced(&ids)).remove(0);
    assert_eq!(tally.receiver, "syslog_tcp");
    assert_eq!((tally.received, tally.lost, tally.doubled), (5000, 0, 0));
    assert_eq!((tally.unreadable, tally.incomplete), (1, 1));
    receivers.stop().await;
}

#[tokio::test]
async fn syslog_tls_confirms_in_the_same_way() {
    let (server, client, _) = certificate();
    let tls = Some((anywhere(), server));
    let receivers = start_syslog(SyslogConfig { tls, ..SyslogConfig::default() }).await;
    let connect = || async {
        let tcp = TcpStream::connect(receivers.syslog_tls_address().unwrap()).await.unwrap();
        let connector = TlsConnector::from(Arc::clone(&client));
        connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap()
    };
    send_and_wait(connect().await, &octet_counted("a")).await.unwrap();

    // A connection that ends without close_notify is not confirmed, but what came whole was received.
    let mut torn = connect().await;
    torn.write_all(octet_counted("b").as_bytes()).await.unwrap();
    torn.flush().await.unwrap();
    let (tcp, _) = torn.get_mut();
    tcp.shutdown().await.unwrap();
    assert!(tcp.read_to_end(&mut Vec::new()).await.is_err(), "the connection must be reset");

    let tally = receivers.tally(&produced(&["a", "b"])).remove(0);
    assert_eq!((tally.received, tally.lost), (2, 0));
    receivers.stop().await;
}

#[tokio::test]
async fn syslog_udp_takes_a_message_per_datagram() {
    let receivers = start_syslog(SyslogConfig { udp: Some(anywhere()), ..SyslogConfig::default() }).await;
    let socket = UdpSocket::bind(anywhere()).await.unwrap();
    socket.connect(receivers.syslog_udp_address().unwrap()).await.unwrap();
    socket.send(cef("a").as_bytes()).await.unwrap();
    let received = || receivers.tally(&produced(&["a", "b"])).remove(0).received;
    while received() < 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    receivers.set_fault(ReceiverName::SyslogUdp, ReceiverFault::Down);
    socket.send(cef("b").as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(received(), 1);
    receivers.stop().await;
}

#[tokio::test]
async fn syslog_tcp_faults() {
    let (receivers, address) = start_syslog_tcp().await;
    let fault = |fault| receivers.set_fault(ReceiverName::SyslogTcp, fault);
    let connect = || async { TcpStream::connect(address).await.unwrap() };

    fault(ReceiverFault::CutAfterBytes(10_000));
    let long = octet_counted(&"x".repeat(20_000));
    assert!(send_and_wait(connect().await, &long).await.is_err());

    fault(ReceiverFault::NeverAcknowledge);
    let forgotten = octet_counted("a");
    let mut unconfirmed = std::pin::pin!(send_and_wait(connect().await, &forgotten));
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut unconfirmed).await.is_err());
    receivers.clear_faults();
    assert!(unconfirmed.await.is_err(), "the close must not look like a confirmation");

    fault(ReceiverFault::Stall);
    let text = octet_counted("b");
    let mut stalled = std::pin::pin!(send_and_wait(connect().await, &text));
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut stalled).await.is_err());
    receivers.clear_faults();
    stalled.await.unwrap();

    let mut open = connect().await;
    open.write_all(octet_counted("c").as_bytes()).await.unwrap();
    while receivers.tally(&[])[0].received < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    fault(ReceiverFault::Down);
    assert!(open.read(&mut [0; 1]).await.is_err(), "an open connection must be reset");
    wait_until_refused(address).await;
    receivers.clear_faults();
    wait_until_open(address).await;
    send_and_wait(connect().await, &octet_counted("a")).await.unwrap();

    let tally = receivers.tally(&produced(&["a", "b", "c"])).remove(0);
    assert_eq!((tally.lost, tally.doubled, tally.unreadable, tally.incomplete), (0, 0, 0, 1));
    receivers.stop().await;
}

#[tokio::test]
async fn a_port_in_use_is_told() {
    let (receivers, address) = start_syslog_tcp().await;
    let syslog = SyslogConfig { tcp: Some(address), ..SyslogConfig::default() };
    let refused = Receivers::start(ReceiversConfig { hec: None, syslog: Some(syslog), ingest: None })
        .await
        .err()
        .unwrap();
    assert_eq!(refused.to_string(), format!("start receiver syslog_tcp: port in use: {address}"));
    receivers.stop().await;
    // The port is free again.
    drop(TcpListener::bind(address).await.unwrap());
}

#[test]
fn faults_are_spelled_in_snake_case() {
    let spelled = |fault: ReceiverFault| serde_json::to_value(fault).unwrap();
    assert_eq!(spelled(ReceiverFault::NeverAcknowledge), json!("never_acknowledge"));
    assert_eq!(spelled(ReceiverFault::CutAfterBytes(5)), json!({ "cut_after_bytes": 5 }));
    let status: ReceiverFault = serde_json::from_value(json!({ "status": { "status": 503 } })).unwrap();
    assert_eq!(status, ReceiverFault::Status { status: 503, retry_after_seconds: None });
    assert_eq!(serde_json::to_value(ReceiverName::SyslogTls).unwrap(), json!("syslog_tls"));
}

/// A data collection rule that lets `Bearer good` in, and a client of it.
struct Azure {
    receivers: Receivers,
    client: reqwest::Client,
    url: String,
}

impl Azure {
    async fn start(columns: &[&str]) -> Azure {
        drop(rustls::crypto::ring::default_provider().install_default());
        let config = ReceiversConfig { hec: None, syslog: None, ingest: Some(anywhere()) };
        let receivers = Receivers::start(config).await.unwrap();
        receivers.check_ingest_tokens(|headers| match headers.get("authorization") {
            Some(token) if token == "Bearer good" => Ok(()),
            _ => Err("no".to_owned()),
        });
        receivers.declare_columns(columns.iter().map(|&name| name.to_owned()));
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
        let address = receivers.ingest_address().unwrap();
        let url = format!("http://{address}/dataCollectionRules/{INGEST_RULE}/streams/{INGEST_STREAM}");
        Azure { receivers, client, url }
    }

    fn post(&self, url: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        let request = self.client.post(format!("{url}?api-version=2023-01-01")).bearer_auth("good");
        request.header("Content-Type", "application/json").body(body)
    }

    async fn send(&self, rows: &[Value]) -> u16 {
        let request = self.post(&self.url, serde_json::to_vec(rows).unwrap());
        request.send().await.unwrap().status().as_u16()
    }
}

fn row(id: &str, part: u64, parts: u64, event: Value) -> Value {
    json!({
        "CustomerId": "t", "RecordSource": "graph_alerts", "RecordId": id, "RecordVersion": "v",
        "RecordUpdated": "1970-01-01T00:00:00.001Z", "Part": part, "Parts": parts, "Event": event,
    })
}

const COLUMNS: [&str; 8] =
    ["CustomerId", "RecordSource", "RecordId", "RecordVersion", "RecordUpdated", "Part", "Parts", "Event"];

#[tokio::test]
async fn a_rule_counts_what_it_leaves_out_and_cuts() {
    let azure = Azure::start(&COLUMNS).await;
    let mut more = row("a", 1, 1, json!({ "id": "a" }));
    more["Title"] = "x".into();
    assert_eq!(azure.send(&[more, row("b", 1, 2, json!({}))]).await, 204);
    let tally = azure.receivers.tally(&produced(&["a", "b", "c"])).remove(0);
    assert_eq!((tally.distinct, tally.lost, tally.doubled), (1, 2, 0), "of `b` the other half is missing");
    assert_eq!(azure.send(&[row("b", 2, 2, json!({})), row("b", 1, 2, json!({}))]).await, 204);
    assert_eq!(azure.send(&[row("c", 1, 1, json!({ "long": "x".repeat(70_000) }))]).await, 204);
    let tally = azure.receivers.tally(&produced(&["a", "b", "c"])).remove(0);
    assert_eq!((tally.receiver.as_str(), tally.distinct, tally.doubled), ("ingest", 2, 0), "{tally:?}");
    assert_eq!((tally.lost, tally.unreadable), (1, 1), "what was cut is no JSON any more");
    let silent = azure.receivers.ingest_tally().unwrap();
    assert_eq!((silent.rows, silent.doubled_rows, silent.rows_max), (5, 1, 2));
    assert_eq!((silent.dropped_fields, silent.truncated_fields), (1, 1));
    assert!(silent.dropped_columns.contains("Title"));
    azure.receivers.stop().await;
}

#[tokio::test]
async fn a_rule_is_strict() {
    let azure = Azure::start(&COLUMNS).await;
    let status = async |request: reqwest::RequestBuilder| request.send().await.unwrap().status().as_u16();
    let elsewhere = azure.url.replace("/dcr-", "/dcr-0");
    assert_eq!(status(azure.post(&elsewhere, "[]")).await, 404);
    assert_eq!(status(azure.post(&azure.url.replace("Custom-", "Custom-x"), "[]")).await, 400);
    assert_eq!(status(azure.post(&azure.url, "[]")).await, 204);
    assert_eq!(status(azure.post(&azure.url, "{}")).await, 400);
    assert_eq!(status(azure.post(&azure.url, "[]").header("Content-Encoding", "br")).await, 415);
    assert_eq!(status(azure.post(&azure.url, "[]").header("Content-Encoding", "gzip")).await, 400);
    let plain = |url: String| azure.client.post(url).body("[]");
    let version = format!("{}?api-version=2023-01-01", azure.url);
    assert_eq!(status(plain(version.clone())).await, 401);
    assert_eq!(status(plain(version).bearer_auth("good")).await, 415);
    let old = format!("{}?api-version=2021-11-01-preview", azure.url);
    assert_eq!(status(plain(old).bearer_auth("good")).await, 400);
    // A megabyte, also where it is packed small.
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(format!("[{}]", " ".repeat(1_000_000)).as_bytes()).unwrap();
    let packed = azure.post(&azure.url, packer.finish().unwrap()).header("Content-Encoding", "gzip");
    assert_eq!(status(packed).await, 413);
    assert_eq!(status(azure.post(&azure.url, " ".repeat(1_000_001))).await, 413);
    assert_eq!(azure.receivers.ingest_tally().unwrap().too_large, 2);
    azure.receivers.stop().await;
}

#[tokio::test]
async fn a_rules_faults() {
    let azure = Azure::start(&COLUMNS).await;
    let fault = |fault| azure.receivers.set_fault(ReceiverName::Ingest, fault);
    fault(ReceiverFault::Status { status: 403, retry_after_seconds: None });
    assert_eq!(azure.send(&[row("a", 1, 1, json!({}))]).await, 403);
    fault(ReceiverFault::Firewall { status: 400, one_event_in: 0 });
    assert_eq!(azure.send(&[row("a", 1, 1, json!({}))]).await, 400);
    fault(ReceiverFault::LosesAnswers { one_in: 1 });
    let lost = azure.post(&azure.url, serde_json::to_vec(&[row("a", 1, 1, json!({}))]).unwrap());
    lost.send().await.unwrap_err();
    azure.receivers.clear_faults();
    assert_eq!(azure.send(&[row("a", 1, 1, json!({}))]).await, 204);
    let (tally, silent) =
        (azure.receivers.tally(&produced(&["a"])).remove(0), azure.receivers.ingest_tally().unwrap());
    assert_eq!((tally.lost, tally.doubled, silent.unanswered_rows), (0, 1, 1), "{tally:?}");
    azure.receivers.stop().await;
}
