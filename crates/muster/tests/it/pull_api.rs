//! The retired SIEM API, asked as the connectors ask that were written for it.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use muster_emulator::Config;
use muster_model::{Clock as _, Source, SystemClock};
use muster_store::TenantChange;
use rustix::process::Signal;
use serde_json::Value;

use crate::routes::records;
use crate::support::{Bench, Setup, ask, config, eventually, signal};

fn free_port() -> u16 {
    let bound = std::net::TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr());
    bound.expect("a port").port()
}

fn section(port: u16) -> String {
    format!("[pull_api]\nlisten = \"127.0.0.1:{port}\"\npublic_url = \"http://localhost:{port}\"\n")
}

/// What `muster client add` printed.
#[derive(Clone)]
struct Client {
    host: String,
    tenant: String,
    id: String,
    secret: String,
    refresh_token: String,
}

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

impl Client {
    async fn add(setup: &Setup, port: u16, tenant: &str, more: &[&str]) -> Self {
        let mut arguments = vec!["--output", "json", "client", "add", "--tenant", tenant];
        arguments.extend(more);
        let added = setup.muster(&arguments).await;
        assert!(added.status.success(), "{added:?}");
        let added: Value = serde_json::from_slice(&added.stdout).expect("JSON");
        let text = |field: &str| added[field].as_str().expect("a text").to_owned();
        Self {
            host: format!("http://127.0.0.1:{port}"),
            tenant: tenant.to_owned(),
            id: text("id"),
            secret: text("client_secret"),
            refresh_token: text("refresh_token"),
        }
    }

    async fn post(&self, form: &str) -> (u16, Value) {
        let address = format!("{}/{}/oauth2/token", self.host, self.tenant);
        let (status, body) = ask("POST", &address, &[FORM], form).await;
        (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}")))
    }

    /// As the old documents ask: `resource` and the client's secret.
    async fn by_secret(&self) -> String {
        let (id, secret) = (&self.id, &self.secret);
        let form = format!(
            "resource=https%3A%2F%2Fgraph.windows.net&client_id={id}&client_secret={secret}&grant_type=client_credentials"
        );
        let (status, granted) = self.post(&form).await;
        assert_eq!(
            (status, &granted["token_type"], &granted["resource"]),
            (200, &"Bearer".into(), &"https://graph.windows.net".into())
        );
        assert!(
            granted["expires_on"].as_i64() > granted["not_before"].as_i64()
                && granted.get("refresh_token").is_none()
        );
        granted["access_token"].as_str().expect("a token").to_owned()
    }

    /// As a connector renews its token.
    async fn by_refresh_token(&self) -> String {
        let Self { id, secret, refresh_token, .. } = self;
        let form = format!(
            "grant_type=refresh_token&refresh_token={refresh_token}&client_id={id}&client_secret={secret}"
        );
        let (status, granted) = self.post(&form).await;
        assert_eq!(
            (status, granted["refresh_token"].as_str()),
            (200, Some(refresh_token.as_str())),
            "{granted}"
        );
        granted["access_token"].as_str().expect("a token").to_owned()
    }

    async fn get(&self, token: &str, query: &str) -> (u16, Value) {
        let address = format!("{}/api/alerts/{query}", self.host);
        let bearer = format!("Bearer {token}");
        let (status, body) = ask("GET", &address, &[("Authorization", &bearer)], "").await;
        (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}")))
    }
}

/// A connector with its place: it steps by the last time of processing that it was given, or by windows of its own clock.
struct Connector {
    client: Client,
    token: String,
    since: String,
    by_clock: bool,
    got: BTreeMap<String, u32>,
    last: String,
}

impl Connector {
    async fn start(client: &Client, by_clock: bool) -> Self {
        let token = client.by_refresh_token().await;
        Self {
            client: client.clone(),
            token,
            since: "2020-01-01T00:00:00Z".to_owned(),
            by_clock,
            got: BTreeMap::new(),
            last: String::new(),
        }
    }

    /// One poll. Where nobody answers, it asks again from where it was.
    async fn poll(&mut self) {
        let asked_at = SystemClock.now().to_string();
        let mut address = format!("{}/api/alerts/?sinceTimeUtc={}", self.client.host, self.since);
        if self.by_clock {
            address.push_str(&format!("&untilTimeUtc={asked_at}"));
        }
        // An answer that breaks off is none.
        let Some((200, body)) = whole_answer(&address, &self.token).await else { return };
        let detections: Vec<Value> = serde_json::from_str(&body).expect("a bare array");
        for detection in &detections {
            let at = detection["LastProcessedTimeUtc"].as_str().expect("a time");
            assert!(at > self.last.as_str(), "{at} is not later than {}", self.last);
            at.clone_into(&mut self.last);
            *self.got.entry(detection["AlertId"].as_str().expect("an id").to_owned()).or_default() += 1;
        }
        match self.by_clock {
            true => self.since = asked_at,
            false if !self.last.is_empty() => self.since.clone_from(&self.last),
            false => {}
        }
    }
}

/// Gets an address; nothing where nobody answers, or not to the end.
async fn whole_answer(address: &str, token: &str) -> Option<(u16, String)> {
    let url = url::Url::parse(address).expect("an address");
    let host = (url.host_str().expect("a host").to_owned(), url.port().expect("a port"));
    let mut stream = tokio::net::TcpStream::connect(host).await.ok()?;
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let request = format!(
        "GET {}{query} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n",
        url.path()
    );
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let length = head
        .lines()
        .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
    (length == Some(body.len())).then(|| (status, body.to_owned()))
}

async fn serving(client: &Client) {
    let address = format!("{}/api/alerts", client.host);
    eventually("the API is served", async || matches!(whole_answer(&address, "x").await, Some((401, _))))
        .await;
}

/// Two connectors, with the program stopped and killed meanwhile: each gets every alert of its tenant once, and nobody
/// else's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connectors_get_every_alert_once_whatever_happens() {
    let port = free_port();
    let setup = Setup::start(Config { alerts: Some(150), ..config() }, &section(port)).await;
    let tenants = setup.emulator.tenants();
    let (tenant, other) = (tenants[0].id.to_string(), tenants[1].id.to_string());
    let client = Client::add(&setup, port, &tenant, &[]).await;
    let mut run = setup.run();
    serving(&client).await;
    let mut connectors = [Connector::start(&client, false).await, Connector::start(&client, true).await];
    for round in 0..24 {
        setup.emulator.add_alerts(&tenant, 3, None).expect("added");
        setup.emulator.add_alerts(&other, 1, None).expect("added");
        for connector in &mut connectors {
            connector.poll().await;
        }
        if round % 8 == 7 {
            signal(&run, if round == 7 { Signal::TERM } else { Signal::KILL });
            run.wait().await.expect("it ends");
            connectors[0].poll().await;
            run = setup.run();
            serving(&client).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    eventually("everything has arrived", async || setup.lost() == 0).await;
    let of_tenant = |tenant: &str| -> Vec<String> {
        let all = records(&setup, "archive.ndjson").into_iter();
        let alerts = all.filter(|record| record.get("alertWebUrl").is_some() && record["tenantId"] == tenant);
        let mut ids: Vec<String> =
            alerts.map(|alert| alert["id"].as_str().expect("an id").to_owned()).collect();
        ids.sort();
        ids.dedup();
        ids
    };
    let expected = of_tenant(&tenant);
    assert!(expected.len() >= 72 + 10, "{}", expected.len());
    for connector in &mut connectors {
        connector.poll().await;
        connector.poll().await;
        let got: Vec<String> = connector.got.keys().cloned().collect();
        assert_eq!(got, expected, "by its clock: {}", connector.by_clock);
        let doubled: Vec<_> = connector.got.iter().filter(|(_, times)| **times != 1).collect();
        assert!(doubled.is_empty(), "by its clock: {}: {doubled:?}", connector.by_clock);
    }
    // Another tenant's client gets that tenant's.
    let second = Client::add(&setup, port, &other, &["--name", "the other"]).await;
    let token = second.by_secret().await;
    let (_, detections) = second.get(&token, "?sinceTimeUtc=2020-01-01T00:00:00Z").await;
    let ids: Vec<&str> =
        detections.as_array().expect("an array").iter().filter_map(|one| one["AlertId"].as_str()).collect();
    assert_eq!(
        {
            let mut ids = ids.clone();
            ids.sort();
            ids
        },
        of_tenant(&other)
    );
    signal(&run, Signal::TERM);
    run.wait().await.expect("it ends");
}

/// The calls of the old documents, and everything that is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_asked_as_the_documents_say_and_refuses_the_rest() {
    let port = free_port();
    let setup = Setup::start(Config { alerts: Some(200), ..config() }, &section(port)).await;
    let tenants = setup.emulator.tenants();
    let tenant = tenants[0].id.to_string();
    let client = Client::add(&setup, port, &tenant, &["--name", "arcsight"]).await;
    let mut run = setup.run();
    serving(&client).await;
    eventually("everything has arrived", async || setup.lost() == 0).await;
    let token = client.by_secret().await;
    let (status, all) = client.get(&token, "?sinceTimeUtc=2020-01-01T00:00:00.000").await;
    let all = all.as_array().expect("an array").clone();
    assert!(status == 200 && all.len() > 20, "{status} {}", all.len());
    let times: Vec<&str> =
        all.iter().map(|one| one["LastProcessedTimeUtc"].as_str().expect("a time")).collect();
    assert!(times.is_sorted() && times.iter().all(|time| time.len() == "2026-11-29T08:30:00.1234567Z".len()));
    for (query, expected) in [
        ("?ago=P9D".to_owned(), all.clone()),
        (format!("?sinceTimeUtc={}", times[3]), all[4..].to_vec()),
        (format!("?sinceTimeUtc={}&untilTimeUtc={}", times[3], times[9]), all[4..=9].to_vec()),
        (format!("?sinceTimeUtc={}", times[times.len() - 1]), vec![]),
        (
            "?limit=5&sinceTimeUtc=2020-01-01T00:00:00Z".to_owned(),
            all[all.len() - 5..].iter().rev().cloned().collect(),
        ),
        (
            format!("?limit=100000&untilTimeUtc={}&sinceTimeUtc=2020-01-01", times[2]),
            all[..3].iter().rev().cloned().collect(),
        ),
        ("?ago=PT0S".to_owned(), vec![]),
    ] {
        assert_eq!(client.get(&token, &query).await, (200, Value::Array(expected)), "{query}");
    }
    let group = all.iter().filter_map(|one| one["MachineGroup"].as_str()).find(|group| !group.is_empty());
    let group = group.expect("devices have groups").to_owned();
    let of_group: Vec<Value> =
        all.iter().filter(|one| one["MachineGroup"] == group.as_str()).cloned().collect();
    assert!(of_group.len() < all.len());
    let query: String = url::form_urlencoded::Serializer::new("?ago=P9D&".to_owned())
        .append_pair("machinegroups", "no such")
        .append_pair("machinegroups", &group)
        .finish();
    let (_, found) = client.get(&token, &query).await;
    assert!(of_group.iter().all(|one| found.as_array().expect("an array").contains(one)), "{group}");
    assert!(found.as_array().expect("an array").len() < all.len());
    assert_eq!(
        client.get(&token, "?ago=P9D&CloudCreatedMachineTags=no%20such").await,
        (200, Value::Array(vec![]))
    );

    for (query, words) in [
        ("?sinceTimeUtc=2099-01-01T00:00:00Z", "lies in the future"),
        ("?sinceTimeUtc=soon", "is not a time"),
        ("?limit=none", "is not a number"),
        ("?ago=10", "is not a duration"),
    ] {
        let (status, answer) = client.get(&token, query).await;
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(status == 400 && message.contains(words), "{query}: {status} {answer}");
    }
    let Client { id, secret, refresh_token, .. } = &client;
    for (form, status, error) in [
        (format!("grant_type=client_credentials&client_id={id}&client_secret=wrong"), 401, "invalid_client"),
        (
            format!(
                "grant_type=client_credentials&client_id={}&client_secret={secret}",
                uuid::Uuid::from_u128(5)
            ),
            401,
            "invalid_client",
        ),
        (format!("grant_type=client_credentials&client_id={id}"), 401, "invalid_client"),
        (
            format!("grant_type=refresh_token&client_id={id}&client_secret={secret}&refresh_token={secret}"),
            400,
            "invalid_grant",
        ),
        (
            format!(
                "grant_type=refresh_token&client_id={id}&client_secret={refresh_token}&refresh_token={refresh_token}"
            ),
            401,
            "invalid_client",
        ),
        (
            format!("grant_type=authorization_code&code=x&client_id={id}&client_secret={secret}"),
            400,
            "unsupported_grant_type",
        ),
        (
            format!(
                "grant_type=client_credentials&grant_type=client_credentials&client_id={id}&client_secret={secret}"
            ),
            400,
            "invalid_request",
        ),
        ("{}".to_owned(), 400, "invalid_request"),
    ] {
        let (found, answer) = client.post(&form).await;
        assert_eq!((found, &answer["error"]), (status, &error.into()), "{form}");
        assert!(!answer.to_string().contains(secret.as_str()));
    }
    let elsewhere = Client { tenant: tenants[1].id.to_string(), ..client.clone() };
    let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
    assert_eq!(elsewhere.post(&form).await.0, 401, "of another tenant");
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"));
    let basic = format!("Basic {basic}");
    let address = format!("{}/{tenant}/oauth2/v2.0/token", client.host);
    let (status, _) =
        ask("POST", &address, &[FORM, ("Authorization", &basic)], "grant_type=client_credentials").await;
    assert_eq!(status, 200);
    for token in ["", "x", &token[..token.len() - 1], &format!("{token}A"), secret] {
        assert_eq!(client.get(token, "").await.0, 401, "{token}");
    }
    let huge = format!("{}/api/alerts?x={}", client.host, "x".repeat(20_000));
    assert_eq!(ask("GET", &huge, &[], "").await.0, 414);
    let (status, _) = ask("POST", &address, &[FORM], &"x".repeat(20_000)).await;
    assert_eq!(status, 413);
    assert_eq!(
        ask("GET", &format!("{}/onboard/x", client.host), &[], "").await.0,
        404,
        "nothing else is served there"
    );

    let listed = setup.muster(&["--output", "json", "client", "list"]).await;
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    assert_eq!(
        (&listed[0]["name"], &listed[0]["state"], listed[0]["asked_at"].is_string()),
        (&"arcsight".into(), &"works".into(), true)
    );
    let wrong = setup.muster(&["client", "add", "--tenant", &tenant, "--source", "graph_incidents"]).await;
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    assert_eq!(
        setup.muster(&["client", "revoke", &uuid::Uuid::from_u128(5).to_string()]).await.status.code(),
        Some(5)
    );
    assert!(setup.muster(&["client", "revoke", id]).await.status.success());
    assert_eq!(client.get(&token, "").await.0, 401, "at once");
    assert_eq!(client.post(&form).await.0, 401);
    signal(&run, Signal::TERM);
    run.wait().await.expect("it ends");

    // What it proves itself by is nowhere.
    for entry in std::fs::read_dir(setup.path()).expect("a folder") {
        let path = entry.expect("an entry").path();
        let bytes = if path.is_file() { std::fs::read(&path).expect("read") } else { Vec::new() };
        for text in [secret, refresh_token, &token] {
            let found = bytes.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
    let events = setup.muster(&["--output", "json", "audit", "list"]).await;
    let events = String::from_utf8_lossy(&events.stdout).into_owned();
    assert!(events.contains("client.added") && events.contains("client.revoked"), "{events}");
}

#[tokio::test]
async fn its_section_is_looked_at_before_a_start() {
    let setup = Setup::start(Config { tenants: 1, alerts: Some(1), ..config() }, "").await;
    for (section, words) in [
        (
            "listen = \"0.0.0.0:9812\"\npublic_url = \"https://d.example\"",
            "to everybody at 0.0.0.0:9812 without TLS",
        ),
        (
            "listen = \"127.0.0.1:9812\"\npublic_url = \"http://d.example\"",
            "secrets and alerts would go in the clear",
        ),
        ("listen = \"127.0.0.1:9812\"\npublic_url = \"https://d.example/x\"", "it has no path"),
        (
            "listen = \"127.0.0.1:9812\"\npublic_url = \"https://d.example\"\nkey_file = \"x\"",
            "belong together",
        ),
        ("listen = \"127.0.0.1:9812\"", "public_url"),
    ] {
        setup.write_settings(&format!("[pull_api]\n{section}\n"));
        let verdict = setup.muster(&["validate"]).await;
        let said = String::from_utf8_lossy(&[verdict.stdout, verdict.stderr].concat()).into_owned();
        assert!(said.contains(words), "{section}: {said}");
    }
}

/// One Muster's pull API is a SIEM feed to another, by an app's own token and by a refresh token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_muster_reads_it_as_the_siem_feed() {
    let port = free_port();
    let setup = Setup::start(Config { alerts: Some(300), ..config() }, &section(port)).await;
    let tenant = setup.emulator.tenants()[0].id.clone();
    let client = Client::add(&setup, port, &tenant, &[]).await;
    let mut run = setup.run();
    serving(&client).await;
    eventually("everything has arrived", async || setup.lost() == 0).await;
    let other = Setup::start(config(), "").await;
    let host = format!("http://localhost:{port}");
    let text = std::fs::read_to_string(other.settings_path()).expect("settings");
    let text = text.replace(&other.emulator.base_url(), &host).replace(other.emulator.app_id(), &client.id);
    assert!(text.contains(&host) && text.contains(&client.id), "{text}");
    std::fs::write(other.settings_path(), text).expect("written");
    for file in std::fs::read_dir(other.path()).expect("a folder").filter_map(Result::ok) {
        // The app's secret, in whatever file it is.
        if std::fs::read_to_string(file.path()).is_ok_and(|text| text.trim() == other.emulator.secret()) {
            std::fs::write(file.path(), &client.secret).expect("written");
        }
    }
    let bench = Bench::new(&other).await;
    let only_feed = TenantChange::Sources([Source::SiemFeed].into());
    let id = tenant.parse().expect("a GUID");
    bench.store.change_tenant(id, only_feed, "a test", bench.clock.now()).await.expect("changed");
    let feed = |records: &[Value]| -> Vec<String> {
        let detections = records.iter().filter(|record| record.get("FullId").is_some());
        let mut ids: Vec<String> =
            detections.map(|one| format!("{} {}", one["FullId"], one["LastProcessedTimeUtc"])).collect();
        ids.sort();
        ids
    };
    let token = client.by_secret().await;
    for round in 0..3 {
        bench.collect().await;
        bench.deliver().await;
        assert_eq!(bench.errors_of(Source::SiemFeed).await, Vec::<String>::new());
        let (_, all) = client.get(&token, "?sinceTimeUtc=2020-01-01T00:00:00Z").await;
        let expected = feed(all.as_array().expect("an array"));
        assert!(expected.len() > 20 + round, "{}", expected.len());
        assert_eq!(feed(&records(&other, "archive.ndjson")), expected, "round {round}");
        setup.emulator.add_alerts(&tenant, 20, None).expect("added");
        eventually("the first has them", async || setup.lost() == 0).await;
        bench.pass(90);
    }
    signal(&run, Signal::TERM);
    run.wait().await.expect("it ends");
}
