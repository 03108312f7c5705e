use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use muster_model::{ByteSize, ManualClock, Outcome, Secret, SecretReference, Span};
use serde_json::{Value, json};

use super::*;
use crate::sinks::Sink;
use crate::sinks::scripted::{Answers, Misbehaving, Receiver, Request, http as answer};
use crate::sinks::suite::{self, BAD, Behaviour, Harness};
use crate::sinks::testing::{
    body, check_page, deliver, delivery, delivery_batch, judged_in_the_end, reason, settings, surroundings,
    tenant,
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn section(receiver: &Receiver, keys: Value) -> WebhookSettings {
    let mut section = json!({ "url": receiver.url, "allow_private": true });
    section.as_object_mut().expect("an object").extend(keys.as_object().expect("an object").clone());
    settings(section)
}

fn sink(settings: WebhookSettings) -> Sink {
    let mut around = surroundings();
    around.secret = Arc::new(|place| match place {
        SecretReference::File(file) if file.ends_with("second") => {
            Ok(Secret::new(format!("whsec_{}", STANDARD.encode([7; 32]))))
        }
        SecretReference::File(file) if file.ends_with("token") => Ok("a-token\n".into()),
        _ => Ok(SECRET.into()),
    });
    let now = "2026-01-02T03:04:05Z".parse().expect("a time");
    around.clock = Arc::new(ManualClock::new(now));
    Sink::Webhook(Webhook::build("hook", settings, &around).expect("a sink"))
}

/// The ids of the records of a request, in whichever way they were batched.
fn ids(request: &Request) -> Vec<String> {
    let text = std::str::from_utf8(&request.body).expect("UTF-8");
    let events: Vec<Value> = match serde_json::from_str(text) {
        Ok(Value::Array(events)) => events,
        Ok(event) => vec![event],
        Err(_) => text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect(),
    };
    events.iter().map(|event| event["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn each_record_is_a_message_with_an_id_that_stays_and_a_signature_of_each_secret() {
    let receiver = Receiver::start(|_| answer(204, "", "")).await;
    let keys = json!({
        "signing_secrets": [{ "file": "first" }, { "file": "second" }],
        "headers": { "Authorization": { "file": "token" }, "X-Team": "soc" },
    });
    let sink = sink(section(&receiver, keys));
    for _ in 0..2 {
        let report = deliver(&sink, &["a", "b"]).await;
        assert_eq!(report, Report { outcomes: vec![Outcome::Delivered; 2], trouble: None });
    }
    let mut seen = receiver.seen();
    assert_eq!(seen.len(), 4);
    seen.sort_by_key(ids);
    let id_of = |request: &Request| request.headers["webhook-id"].clone();
    assert_eq!(id_of(&seen[0]), id_of(&seen[1]), "what comes again has the id that it had");
    assert_ne!(id_of(&seen[0]), id_of(&seen[2]));
    let request = &seen[0];
    assert_eq!(request.body, body("a").as_bytes());
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(
        (request.headers["authorization"].as_str(), request.headers["x-team"].as_str()),
        ("a-token", "soc")
    );
    assert_eq!(request.headers["webhook-timestamp"], "1767323045");
    let signed = [id_of(request).as_bytes(), b".1767323045.", &request.body].concat();
    let keys = [STANDARD.decode(&SECRET[6..]).expect("Base64"), vec![7; 32]];
    let signatures = keys.map(|key| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
        format!("v1,{}", STANDARD.encode(ring::hmac::sign(&key, &signed)))
    });
    assert_eq!(request.headers["webhook-signature"], signatures.join(" "));
    let shown = format!("{sink:?}");
    assert!(!shown.contains("a-token") && !shown.contains("MfKQ9r8"), "{shown}");
}

#[tokio::test]
async fn records_go_together_where_that_is_asked_for() {
    for (batch, kind) in [("array", "application/json"), ("ndjson", "application/x-ndjson")] {
        let receiver = Receiver::start(|_| answer(200, "", "")).await;
        let sink = sink(section(&receiver, json!({ "batch": batch, "batch_size": "200B" })));
        let bodies: Vec<String> = ["a", "b", "c", "d"].iter().map(|id| body(id)).collect();
        let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
        for _ in 0..2 {
            let report = sink.deliver_and_wait(delivery_batch(&tenant(0), &[delivery(1, &bodies)])).await;
            assert_eq!(report.outcomes, [const { Outcome::Delivered }; 4]);
        }
        let seen = receiver.seen();
        assert!(
            seen.iter().all(|request| request.body.len() <= 200 && request.headers["content-type"] == kind)
        );
        let mut messages: Vec<(Vec<String>, String)> =
            seen.iter().map(|request| (ids(request), request.headers["webhook-id"].clone())).collect();
        messages.sort();
        assert_eq!(messages.len(), 4);
        assert_eq!(messages[0], messages[1], "the same records have the same id: {messages:?}");
        assert_eq!(messages[0].0, ["a", "b"]);
    }
}

#[tokio::test]
async fn a_body_of_ones_own_takes_the_events_place() {
    let receiver = Receiver::start(|_| answer(200, "", "")).await;
    let template = r#"{"text": {{ tenant.name ~ ": " ~ record.title }}, "kind": {{ kind }}}"#;
    let sink = sink(section(&receiver, json!({ "body": template })));
    let written = r#"{"id":"a","title":"x\"}, \"y"}"#;
    // What is too long for a template is told of its record, and costs no other.
    let long = format!(r#"{{"id":"b","title":"{}"}}"#, "x".repeat(100_000));
    let report = sink.deliver_and_wait(delivery_batch(&tenant(0), &[delivery(1, &[written, &long])])).await;
    assert_eq!(report.outcomes[0], Outcome::Delivered);
    assert!(
        matches!(&report.outcomes[1], Outcome::Rejected(why) if why.contains("longer than")),
        "{report:?}"
    );
    let body: Value = serde_json::from_slice(&receiver.seen()[0].body).expect("JSON");
    assert_eq!(body, json!({ "text": "Tenant 0: x\"}, \"y", "kind": "graph_alert" }));
}

#[tokio::test]
async fn refusals_of_the_way_keep_everything_owed_and_say_what_to_do() {
    for (status, words, wait) in [
        (410, "wants no more", 7),
        (401, "signing_secrets", 7),
        (403, "signing_secrets", 7),
        (404, "no webhook at this address", 7),
        (429, "busy or down", 7),
        (500, "fails at it", 7),
        (503, "HTTP 503: so it \u{fffd} is", 7),
    ] {
        let receiver =
            Receiver::start(move |_| answer(status, "Retry-After: 7\r\n", "so it \u{fffd} is")).await;
        let report = deliver(&sink(section(&receiver, json!({}))), &["a", "b"]).await;
        assert_eq!(report.outcomes, [Outcome::Retry, Outcome::Retry], "{status}");
        let said = reason(&report);
        assert!(said.starts_with("sink `hook` (http://127.0.0.1:") && said.contains(words), "{said}");
        assert_eq!(report.trouble.expect("trouble").after, Some(Duration::from_secs(wait)));
    }
    let receiver = Receiver::start(|_| answer(410, "", "")).await;
    let report = deliver(&sink(section(&receiver, json!({}))), &["a"]).await;
    assert_eq!(report.trouble.expect("trouble").after, Some(GONE_WAIT), "nobody is asked all the time");
}

#[tokio::test]
async fn one_record_that_is_refused_costs_itself_and_who_refuses_everything_nothing() {
    for (status, batch) in [(400, "off"), (422, "array"), (422, "ndjson")] {
        let receiver = Receiver::start(move |request| {
            answer(if ids(request).contains(&BAD.to_owned()) { status } else { 200 }, "", "")
        })
        .await;
        let sink = sink(section(&receiver, json!({ "batch": batch })));
        deliver(&sink, &["x"]).await;
        let report = deliver(&sink, &["a", "b", BAD, "c"]).await;
        let rejected: Vec<bool> =
            report.outcomes.iter().map(|outcome| matches!(outcome, Outcome::Rejected(_))).collect();
        assert_eq!(rejected, [false, false, true, false], "{status} {batch}: {report:?}");
    }
    let receiver = Receiver::start(|_| answer(400, "", "")).await;
    let report = deliver(&sink(section(&receiver, json!({}))), &["a", "b"]).await;
    assert_eq!(report.outcomes, [Outcome::Retry, Outcome::Retry]);
    assert!(reason(&report).contains("nothing else was taken meanwhile"), "{}", reason(&report));
}

/// A firewall, or a receiver that fails at one record: the others go on, and that one becomes a dead letter in the end.
#[tokio::test]
async fn a_403_or_500_for_one_record_costs_itself_and_for_everything_nothing() {
    for (status, batch) in [(403, "off"), (500, "off"), (403, "array"), (500, "ndjson")] {
        let receiver = Receiver::start(move |request| {
            answer(if ids(request).contains(&BAD.to_owned()) { status } else { 200 }, "", "")
        })
        .await;
        let sink = sink(section(&receiver, json!({ "batch": batch })));
        let report = deliver(&sink, &["a", BAD, "c"]).await;
        assert_eq!(report.outcomes, [Outcome::Delivered, Outcome::Retry, Outcome::Delivered], "{status}");
        assert!(reason(&report).contains(&format!("HTTP {status}")), "{}", reason(&report));
        let why = judged_in_the_end(&sink, BAD).await;
        assert!(why.contains("refused 3 times") && why.contains(&format!("HTTP {status}")), "{why}");
        let closed = Receiver::start(move |_| answer(status, "", "")).await;
        let sink = self::sink(section(&closed, json!({ "batch": batch })));
        for _ in 0..5 {
            assert_eq!(deliver(&sink, &["a", "b"]).await.outcomes, [Outcome::Retry, Outcome::Retry]);
        }
    }
}

/// A 2xx is a 2xx, whatever becomes of the rest of the answer.
#[tokio::test]
async fn an_answer_that_cannot_be_read_counts_by_its_status() {
    for (status, is_taken) in [(200, true), (503, false)] {
        let long = answer(status, "", &"x".repeat(3 << 20));
        let broken = format!("{}x", answer(status, "", "").replace("Content-Length: 0", "Content-Length: 9"));
        for said in [long, broken] {
            let receiver = Receiver::start(move |_| said.clone()).await;
            let report = deliver(&sink(section(&receiver, json!({}))), &["a"]).await;
            assert_eq!(report.outcomes[0] == Outcome::Delivered, is_taken, "{status}: {report:?}");
        }
    }
}

/// The path of an incoming webhook is its secret, and so is its query: also where the receiver says them back.
#[tokio::test]
async fn of_the_address_only_its_origin_is_ever_shown() {
    const KEY: &str = "XXXXsecretXXXX";
    const SENT: &str = "/triggers/XXXXsecretXXXX/run%2Bpathkeys?sv=1.0&sig=YYYY%2BsignedYYYY+ZZ%2FZZ&k=short";
    for status in [404, 403, 422, 503, 307] {
        let receiver = Receiver::start(move |request| {
            let location = format!("Location: http://elsewhere.example{}\r\n", request.path);
            answer(
                status,
                &location,
                &format!(
                    "run+pathkeys YYYY+signedYYYY+ZZ/ZZ YYYY+signedYYYY ZZ/ZZ: cannot POST {}",
                    request.path
                ),
            )
        })
        .await;
        let settings: WebhookSettings =
            settings(json!({ "url": receiver.url.join(SENT).expect("an address"), "allow_private": true }));
        let sink = sink(settings.clone());
        let report = deliver(&sink, &["a"]).await;
        let tested = sink.test().await.unwrap_or_else(|error| error.to_string());
        assert_eq!(receiver.seen()[0].path, SENT);
        for said in [reason(&report), &tested, &settings.target(), &format!("{sink:?} {settings:?}")] {
            let is_hidden =
                [KEY, "signedYYYY", "ZZ/ZZ", "pathkeys", "short"].iter().all(|secret| !said.contains(secret));
            assert!(is_hidden && said.contains("http://127.0.0.1:"), "{said}");
        }
        if status == 307 {
            assert!(reason(&report).contains("HTTP 307 to http://elsewhere.example)"), "{}", reason(&report));
        }
    }
}

/// What had no answer comes again with the id that it had, also when more stands beside it by then.
#[tokio::test]
async fn the_id_of_a_batch_stays_when_more_is_owed() {
    let receiver = Receiver::start(|_| answer(200, "", "")).await;
    let sink = sink(section(&receiver, json!({ "batch": "array" })));
    let (tenant, bodies) = (tenant(0), ["a", "b", "c"].map(body));
    let [first, second] = [delivery(1, &[&bodies[0], &bodies[1]]), delivery(2, &[&bodies[2]])];
    sink.deliver_and_wait(delivery_batch(&tenant, std::slice::from_ref(&first))).await;
    sink.deliver_and_wait(delivery_batch(&tenant, &[first, second])).await;
    let mut seen = receiver.seen();
    assert_eq!(seen.len(), 3);
    seen.sort_by_key(ids);
    assert_eq!(seen[0].headers["webhook-id"], seen[1].headers["webhook-id"]);
    assert_eq!((ids(&seen[1]), ids(&seen[2])), (vec!["a".to_owned(), "b".to_owned()], vec!["c".to_owned()]));
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_halved() {
    let receiver =
        Receiver::start(|request| answer(if ids(request).len() > 2 { 413 } else { 200 }, "", "")).await;
    let report =
        deliver(&sink(section(&receiver, json!({ "batch": "array" }))), &["a", "b", "c", "d", "e"]).await;
    assert!(report.outcomes.iter().all(|outcome| *outcome == Outcome::Delivered), "{report:?}");
}

/// A name that leads into the own network, an address as such, a redirect there: nothing is sent.
#[tokio::test]
async fn private_networks_are_not_connected_to_unless_that_is_meant() {
    let receiver = Receiver::start(|_| answer(200, "", "")).await;
    let port = receiver.url.port().expect("a port");
    // Only looking a name up tells where it leads.
    let named: WebhookSettings = settings(json!({ "url": format!("http://localhost:{port}/") }));
    let report = deliver(&sink(named.clone()), &["a"]).await;
    assert_eq!(report.outcomes, [Outcome::Retry]);
    assert!(reason(&report).contains("only public addresses are connected to"), "{}", reason(&report));
    let tested = sink(named.clone()).test().await.expect_err("private").to_string();
    assert!(tested.contains("of this machine"), "{tested}");
    assert!(receiver.seen().is_empty());
    let meant = WebhookSettings { allow_private: true, ..named };
    assert_eq!(deliver(&sink(meant), &["a"]).await.outcomes, [Outcome::Delivered]);
    for host in ["127.0.0.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:169.254.169.254]", "169.254.169.254"]
    {
        let typed: WebhookSettings = settings(json!({ "url": format!("http://{host}:{port}/") }));
        let said = typed.mistakes().join("; ");
        assert!(said.contains("set allow_private = true if that is meant"), "{host}: {said}");
    }
    let elsewhere = Receiver::start(|_| answer(200, "", "")).await;
    let location = format!("Location: {}\r\n", elsewhere.url);
    for status in [301, 302, 303, 307, 308] {
        let location = location.clone();
        let redirecting = Receiver::start(move |_| answer(status, &location, "")).await;
        let secrets = json!({ "headers": { "Authorization": { "file": "token" } }, "signing_secrets": [{ "file": "s" }] });
        let report = deliver(&sink(section(&redirecting, secrets)), &["a"]).await;
        assert_eq!(report.outcomes, [Outcome::Retry], "{status}");
        assert!(reason(&report).contains("redirects elsewhere"), "{}", reason(&report));
        assert_eq!(redirecting.seen()[0].headers["authorization"], "a-token");
        assert!(elsewhere.seen().is_empty(), "a redirect is not followed, and no secret goes there");
    }
}

/// Whoever knows Muster by a certificate lets nobody else in.
#[tokio::test]
async fn muster_proves_itself_by_its_client_certificate() {
    let made = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let (server, client) = (made("localhost"), made("muster"));
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("ca.pem"), server.cert.pem()).expect("written");
    std::fs::write(folder.path().join("client.pem"), client.cert.pem()).expect("written");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut known = rustls::RootCertStore::empty();
    known.add(client.cert.der().clone()).expect("a root");
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(known), provider.clone());
    let key = rustls::pki_types::PrivateKeyDer::try_from(server.signing_key.serialize_der()).expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier.build().expect("a verifier"))
        .with_single_cert(vec![server.cert.der().clone()], key)
        .expect("a certificate");
    let tls = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let receiver = Receiver::start_with(Some(tls), |_| answer(204, "", "")).await;
    let key = client.signing_key.serialize_pem();
    let around = || Surroundings {
        folder: folder.path(),
        secret: Arc::new({
            let key = key.clone();
            move |_| Ok(Secret::new(key.clone()))
        }),
        ..surroundings()
    };
    let built = |keys: Value| {
        Sink::Webhook(Webhook::build("hook", section(&receiver, keys), &around()).expect("a sink"))
    };
    let own = json!({
        "ca_file": "ca.pem", "client_certificate": "client.pem", "client_key": { "file": "client.key" },
    });
    assert_eq!(deliver(&built(own), &["a"]).await.outcomes, [Outcome::Delivered]);
    let report = deliver(&built(json!({ "ca_file": "ca.pem" })), &["b"]).await;
    assert_eq!(report.outcomes, [Outcome::Retry]);
    assert!(reason(&report).to_lowercase().contains("certificate"), "{}", reason(&report));
    assert_eq!(receiver.seen().len(), 1, "nothing is taken of a stranger");
}

#[test]
fn mistakes_are_told() {
    let given = |keys: Value| {
        let mut section = json!({ "url": "https://hooks.example/muster" });
        section.as_object_mut().expect("an object").extend(keys.as_object().expect("an object").clone());
        let settings: WebhookSettings = settings(section);
        let mut around = surroundings();
        around.secret = Arc::new(|_| Ok("a-token".into()));
        let built = Webhook::build("hook", settings, &around).map(drop);
        built.map_or_else(|error| error.to_string(), |()| String::new())
    };
    assert_eq!(given(json!({ "headers": { "X-Team": "soc" }, "format": "cef", "batch": "ndjson" })), "");
    for (keys, words) in [
        (json!({ "headers": { "Host": "x" } }), "written by the sink itself"),
        (json!({ "headers": { "X-Team": "soc", "x-team": "noc" } }), "stands there twice"),
        (json!({ "headers": { "webhook-id": "x" } }), "written by the sink itself"),
        (json!({ "headers": { "a b": "x" } }), "no name of a header"),
        (json!({ "headers": { "a": "x\ny" } }), "a character that no header has"),
        (json!({ "headers": { "Authorization": "Bearer x" } }), "is a secret"),
        (json!({ "batch": "array", "format": "leef" }), "no JSON list"),
        (json!({ "body": "{{ record }}", "format": "ecs" }), "takes the place"),
        (json!({ "body": "{{ nobody }}" }), "`nobody` is not known"),
        (json!({ "client_key": { "file": "k" } }), "belong together"),
        (json!({ "signing_secrets": [{ "file": "s" }] }), "must be `whsec_`"),
    ] {
        let said = given(keys);
        assert!(said.contains(words) && !said.contains("a-token"), "{said}");
    }
    let mut around = surroundings();
    around.proxy = Ok(Some(muster_http::Proxy {
        url: "http://proxy.example:3128".parse().expect("a URL"),
        no_proxy: None,
    }));
    let settings: WebhookSettings = settings(json!({ "url": "https://hooks.example/" }));
    let said = Webhook::build("hook", settings, &around).map(drop).expect_err("unseen").to_string();
    assert!(said.contains("the proxy of [network] connects in its place"), "{said}");
}

struct Hook(Misbehaving);

impl Hook {
    async fn start() -> Self {
        let refused = answer(422, "", "no");
        let answers = Answers { well: answer(204, "", ""), refused, nonsense: String::new() };
        Self(Misbehaving::start(ids, answers).await)
    }
}

impl Harness for Hook {
    async fn sink(&mut self, behaviour: Behaviour, timeout: Duration) -> Sink {
        self.0.behave(behaviour);
        // In one request, so that they arrive in their order.
        let settings = WebhookSettings {
            timeout: Span(timeout),
            ..section(&self.0.receiver, json!({ "batch": "array" }))
        };
        Sink::Webhook(Webhook::build("suite", settings, &surroundings()).expect("a sink"))
    }

    async fn taken(&self) -> Vec<String> {
        self.0.taken()
    }

    fn impossible(behaviour: Behaviour) -> Option<&'static str> {
        (behaviour == Behaviour::Nonsense).then_some("a webhook may answer 2xx with whatever it likes")
    }

    const TELLS_REPETITIONS: bool = false;
}

#[tokio::test]
async fn suite() {
    suite::run(Hook::start).await;
}

#[test]
fn the_page_names_only_keys_that_exist() {
    check_page::<WebhookSettings>("webhook");
    let usual: WebhookSettings = settings(json!({ "url": "https://hooks.example/" }));
    assert_eq!((usual.batch_size, usual.allow_private), (ByteSize(1 << 20), false));
}
