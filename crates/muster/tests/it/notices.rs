//! Notices, to a mail server and a webhook's receiver that nobody here wrote (skipped, and says so, where
//! `.ci/install-peers` has not been run), and to servers that misbehave in every way.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use muster::notices::notifier::Notifier;
use muster::notices::sender::Stepped;
use muster::shown::status::Snapshot;
use muster::told::Told;
use muster::wiring;
use muster_emulator::{Area, Config, Fault, FaultKind};
use muster_model::{Clock, ManualClock};
use muster_store::{
    Heartbeat, InstanceId, NamedLease, NotedConditions, NoticeCondition, NoticeReceiver, NoticeState,
    NoticeTold,
};
use rustix::fs::FlockOperation;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::python_receiver::{Receiver, python};
use crate::support::{Bench, Setup, config, eventually, signal};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A Muster whose people are told, on a clock that the test moves.
struct World {
    setup: Setup,
    bench: Bench,
    notifier: Notifier,
    lease: Option<NamedLease>,
    /// As a `muster run` at work holds it.
    _lock: File,
}

impl World {
    async fn new(setup: Setup) -> Self {
        let bench = Bench::new(&setup).await;
        Self::of(setup, bench).await
    }

    async fn of(setup: Setup, bench: Bench) -> Self {
        let lock = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(setup.path().join("muster.db.lock"))
            .expect("the lock's file");
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).expect("locked");
        let mut world = Self { notifier: notifier(&setup, &bench), setup, bench, lease: None, _lock: lock };
        world.begin().await;
        world
    }

    /// As at a start: with the settings as they are now.
    async fn begin(&mut self) {
        if let Some(lease) = self.lease.take() {
            self.bench.store.release_lease(lease).await.expect("released");
        }
        self.notifier = notifier(&self.setup, &self.bench);
        let lease = self.notifier.lease().await.expect("the store answers").expect("nobody has it");
        self.notifier.begin(&lease).await.expect("the store answers");
        self.lease = Some(lease);
    }

    fn lease(&self) -> &NamedLease {
        self.lease.as_ref().expect("held")
    }

    /// Lets time pass, looking as often as `muster run` does, and beating.
    async fn look_for(&self, seconds: u64) {
        for _ in 0..seconds.div_ceil(20) {
            self.bench.pass(20);
            self.beat().await;
            let store = &self.bench.store;
            store
                .extend_lease(self.lease(), Duration::from_secs(60), self.bench.clock.now())
                .await
                .expect("it is ours");
            self.notifier.look(self.lease()).await.expect("the store answers");
        }
    }

    async fn beat(&self) {
        let now = self.bench.clock.now();
        let beat = Heartbeat {
            instance: InstanceId(uuid::Uuid::from_u128(1)),
            host: "collector-1".to_owned(),
            pid: 4_711,
            version: "0.1.0".to_owned(),
            started_at: now,
            beat_at: now,
            stopped_at: None,
            troubles: self.bench.troubles.all(),
        };
        self.bench.store.beat(beat).await.expect("beaten");
    }

    async fn tell_alerts(&self) -> usize {
        self.notifier.tell_alerts(self.lease()).await.expect("the store answers")
    }

    /// Sends what is due to a receiver, once.
    async fn send(&self, name: &str) -> Stepped {
        let receiver = (self.notifier.build)(name);
        let sender = self.notifier.sender(name);
        sender.step(self.lease(), &receiver).await.expect("the store answers")
    }

    async fn receiver(&self, name: &str) -> NoticeReceiver {
        let all = self.bench.store.notice_receivers().await.expect("the store answers");
        all.into_iter().find(|receiver| receiver.name == name).expect("a receiver")
    }

    /// The causes of trouble that `muster status` shows.
    async fn causes(&self) -> Vec<String> {
        let (store, now) = (self.bench.store.as_ref(), self.bench.clock.now());
        let picture = Snapshot::take(store, &self.notifier.expected, now).await.expect("a picture");
        picture.causes.into_iter().map(|cause| cause.what).collect()
    }

    fn sink_is_down(&self, is_down: bool) {
        self.bench.troubles.set("sink splunk", is_down.then_some("it is <b>down</b>"));
    }
}

fn notifier(setup: &Setup, bench: &Bench) -> Notifier {
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&bench.clock);
    let instance = InstanceId(uuid::Uuid::new_v4());
    wiring::notifier(&setup.settings(), (&bench.store, &clock), instance, &Arc::<Told>::default())
}

/// A certificate for the address of this machine, in the folder.
fn certificate(folder: &std::path::Path, name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let (certificate, key) = (folder.join("mail.pem"), folder.join("mail.key"));
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    (certificate.display().to_string(), key.display().to_string())
}

/// A mail server with TLS and a sign-in, and what the settings say of it.
struct MailServer {
    receiver: Receiver,
    _process: tokio::process::Child,
    settings: String,
}

impl MailServer {
    async fn start(tls: &str, name: &str) -> Option<Self> {
        let receiver = Receiver::new(python("aiosmtpd").await?, "smtp.py", "mail");
        let folder = receiver.folder.path().to_owned();
        let (certificate, key) = certificate(&folder, name);
        let options = json!({
            "tls": tls, "certificate": certificate, "key": key, "user": "muster", "password": "hunter2",
        });
        let (process, port) = receiver.serve(0, &options.to_string()).await;
        std::fs::write(folder.join("mail.password"), "hunter2\n").expect("written");
        let settings = format!(
            "server = \"localhost\"\nport = {port}\ntls = \"{tls}\"\nuser = \"muster\"\n\
             password = {{ file = \"{0}/mail.password\" }}\nca_file = \"{0}/mail.pem\"\ntimeout = \"5s\"\n\
             from = \"Muster <muster@northwind.example>\"\n",
            folder.display()
        );
        let settings = match tls {
            "none" => settings.replace(&format!("ca_file = \"{}/mail.pem\"\n", folder.display()), ""),
            _ => settings,
        };
        Some(Self { receiver, _process: process, settings })
    }

    fn section(&self, more: &str) -> String {
        format!("[notices.mail]\ntype = \"mail\"\n{}{more}\n", self.settings)
    }

    fn mails(&self) -> Vec<Value> {
        let lines = self.receiver.lines("mails.ndjson");
        lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    fn subjects(&self) -> Vec<String> {
        let subject = |mail: &Value| {
            let data = mail["data"].as_str().expect("a mail").to_owned();
            let head = data.split("\r\n\r\n").next().expect("a head").replace("\r\n ", " ");
            head.lines()
                .find_map(|line| line.strip_prefix("Subject: ").map(str::to_owned))
                .expect("a subject")
        };
        self.mails().iter().map(subject).collect()
    }
}

const TO_SOC: &str = "to = [\"soc@right.example\"]";

/// A server that reads a request and answers with these bytes, for ever the same; its port.
async fn answering(answer: Vec<u8>) -> u16 {
    serving(true, answer).await
}

/// A server that says these bytes to whoever comes; its port.
async fn talking(said: Vec<u8>) -> u16 {
    serving(false, said).await
}

async fn serving(reads_first: bool, said: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let port = listener.local_addr().expect("bound").port();
    // They end with the test.
    let tasks = TaskTracker::new();
    let connections = tasks.clone();
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let said = said.clone();
            connections.spawn(async move {
                if reads_first && stream.read(&mut [0; 64 << 10]).await.unwrap_or(0) == 0 {
                    return;
                }
                stream.write_all(&said).await.ok();
                // What does not read the rest is waited for.
                tokio::time::sleep(Duration::from_secs(600)).await;
            });
        }
    });
    port
}

/// A server that refuses whatever holds this word, and takes all else; its port. `passed` is asked before it answers.
async fn judging(
    refused: &'static str,
    passed: Arc<tokio::sync::Semaphore>,
    came: Arc<tokio::sync::Semaphore>,
) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let port = listener.local_addr().expect("bound").port();
    TaskTracker::new().spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = Vec::new();
            while !is_whole(&asked) {
                let mut some = vec![0; 64 << 10];
                match stream.read(&mut some).await {
                    Ok(read @ 1..) => asked.extend(&some[..read]),
                    _ => break,
                }
            }
            came.add_permits(1);
            passed.acquire().await.expect("open").forget();
            let is_refused = String::from_utf8_lossy(&asked).contains(refused);
            let answer = status(if is_refused { "400 x" } else { "204 No Content" });
            let closing = String::from_utf8_lossy(&answer)
                .replace("Content-Length", "Connection: close\r\nContent-Length");
            stream.write_all(closing.as_bytes()).await.ok();
        }
    });
    port
}

/// Whether a request has all of its body.
fn is_whole(asked: &[u8]) -> bool {
    let text = String::from_utf8_lossy(asked).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

fn status(status: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

/// `[notices.hook]` at a port of this machine.
fn hook(port: u16, more: &str) -> String {
    format!(
        "[notices.hook]\ntype = \"webhook\"\nurl = \"http://127.0.0.1:{port}/secret-path-1\"\nallow_private = true\ntimeout = \"2s\"\n{more}\n"
    )
}

async fn setup(alerts: u64, extra: &str) -> Setup {
    Setup::start(Config { tenants: 2, alerts: Some(alerts), ..config() }, extra).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_condition_is_told_by_mail_and_webhook_with_its_reminder_and_its_end() {
    let Some(mail) = MailServer::start("starttls", "localhost").await else { return };
    let Some(python) = python("standardwebhooks").await else { return };
    let web = Receiver::new(python, "webhook.py", "hook");
    let (_server, port) = web.serve(0, SECRET).await;
    let extra = format!(
        "{}{}",
        mail.section("to = [\"soc@right.example\", \"ops@right.example\"]\nremind_every = \"1h\""),
        hook(port, "signing_secrets = [{ file = \"hook.secret\" }]")
    );
    let setup = setup(4, &extra).await;
    std::fs::write(setup.path().join("hook.secret"), SECRET).expect("written");
    let world = World::new(setup).await;
    world.sink_is_down(true);
    world.look_for(40).await;
    assert_eq!(world.send("mail").await, Stepped::default(), "not before it held for a while");
    world.look_for(60).await;
    assert_eq!(world.send("mail").await.sent, 2);
    assert_eq!(world.send("hook").await.sent, 1);
    // A reminder, and an end.
    world.look_for(3_600).await;
    world.send("mail").await;
    world.sink_is_down(false);
    world.look_for(400).await;
    world.send("mail").await;
    world.send("hook").await;
    let subjects = mail.subjects();
    assert_eq!(subjects.len(), 6, "{subjects:?}");
    let to: Vec<_> = mail.mails().iter().map(|mail| mail["to"][0].clone()).collect();
    assert!(to.contains(&json!("soc@right.example")) && to.contains(&json!("ops@right.example")));
    assert!(subjects[0].starts_with("Muster: [critical] Sink down, splunk"), "{subjects:?}");
    assert!(
        subjects[2].contains("Still, for 1h") && subjects[4].contains("[over] Over after 1h"),
        "{subjects:?}"
    );
    for mail in mail.mails() {
        assert_eq!((&mail["tls"], &mail["user"]), (&json!(true), &json!("muster")), "{mail}");
        let data = mail["data"].as_str().expect("a mail").replace("=\r\n", "");
        let html = data.split("text/html").nth(1).expect("HTML");
        assert!(!html.contains("<b>down"), "{html}");
        assert!(html.contains("&lt;b&gt;down") || html.contains("over"), "{html}");
    }
    let told: Vec<Value> =
        web.lines("taken.ndjson").iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let types: Vec<&str> = told.iter().map(|one| one["type"].as_str().expect("a type")).collect();
    // The end is signed by a clock that is an hour ahead of the receiver's, which refuses that; it waits.
    assert_eq!(types, ["condition.began"]);
    assert_eq!(told[0]["data"]["key"], "sink_down/splunk");
    let waits = world.bench.store.due_notices("hook", 9, jiff::Timestamp::MAX).await.expect("listed");
    assert_eq!(
        (waits.len(), waits[0].event.as_str(), waits[0].key.as_str()),
        (1, "ended", "sink_down/splunk")
    );
    let why = waits[0].last_error.as_ref().expect("a reason");
    assert!(why.contains("does not let it in") && why.contains("the clock of this machine"), "{why}");
    // A restart says nothing of what was told, and forgets nothing.
    let mut world = world;
    world.begin().await;
    world.look_for(600).await;
    assert_eq!(world.send("mail").await, Stepped::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_status_shows_of_a_tenant_is_told_to_those_who_look_after_it() {
    let port = answering(status("204 No Content")).await;
    let one = hook(port, "tenants = [\"tag:gold\"]\nconditions = [\"consent_lost\"]");
    let other = hook(port, "tenants = [\"*\", \"!tag:gold\"]").replace("notices.hook", "notices.other");
    let setup = setup(4, &format!("{one}{other}")).await;
    let tenants = setup.store().await.tenants().await.expect("listed");
    let gold = tenants[0].slug.to_string();
    assert!(setup.muster(&["tenant", "tag", "add", &gold, "gold"]).await.status.success());
    let world = World::new(setup).await;
    world.bench.collect().await;
    let revoked = FaultKind::RevokeTenant { code: None };
    let fault = Fault { tenant: Some(tenants[0].id.to_string()), ..Fault::new(Area::Token, revoked) };
    world.setup.emulator.add_fault(fault).expect("a fault");
    world.bench.pass(3_700);
    world.bench.collect().await;
    world.look_for(120).await;
    assert_eq!(world.send("hook").await.sent, 1, "{:?}", world.bench.errors().await);
    assert_eq!(world.send("other").await.sent, 0);
    let last = world.bench.store.last_notices(5).await.expect("listed");
    assert_eq!(last[0].key, format!("consent_lost/{}", tenants[0].id));
    // Shown where everything is shown.
    let listed = world.setup.muster(&["notice", "list"]).await;
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(text.contains(&format!("consent_lost/{gold}")) && text.contains("sent"), "{text}");
    // Snoozed with an end and a reason, it is in `status` and in the audit log.
    let named = format!("consent_lost/{gold}");
    let snooze = ["notice", "snooze", &named, "--until", "2d", "--reason", "the customer moves"];
    assert!(world.setup.muster(&snooze).await.status.success());
    let shown = world.setup.muster(&["status"]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("1 kind of notice snoozed") && shown.contains("1 condition open"), "{shown}");
    let audit = world.setup.muster(&["audit", "list"]).await;
    assert!(String::from_utf8_lossy(&audit.stdout).contains("notice.snoozed"), "{audit:?}");
    world.bench.pass(90_000);
    world.look_for(20).await;
    assert_eq!(world.send("hook").await.sent, 0, "no reminder");
    assert!(world.setup.muster(&["notice", "unsnooze", &named]).await.status.success());
    for wrong in [
        vec!["notice", "snooze", "consent_lots/x", "--until", "2d", "--reason", "x"],
        vec!["notice", "snooze", &named, "--until", "-2d", "--reason", "x"],
        vec!["notice", "snooze", &named, "--until", "2020-01-01", "--reason", "x"],
        vec!["notice", "snooze", &named, "--until", "365d", "--reason", "x"],
        vec!["notice", "snooze", &named, "--until", "2d", "--reason", " "],
        vec!["notice", "unsnooze", &named],
    ] {
        assert!(!world.setup.muster(&wrong).await.status.success(), "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silence_lasts_until_something_comes_though_the_habit_is_forgotten() {
    let port = answering(status("204 No Content")).await;
    let world = World::new(setup(2, &hook(port, "")).await).await;
    world.bench.collect().await;
    let (tenant, now) =
        (world.bench.store.tenants().await.expect("listed").remove(0), world.bench.clock.now());
    // Told weeks ago, from a habit of which the ledger's last weeks say nothing any more.
    let told = NoticeTold { at: now, last_at: now };
    let facts = json!({
        "named": tenant.slug, "tenant": { "id": tenant.id, "slug": tenant.slug, "name": tenant.name },
        "level": "warning", "what": "nothing new", "remedy": "", "since": now,
    });
    let silence = NoticeCondition {
        key: format!("tenant_silent/{}", tenant.id),
        kind: "tenant_silent".to_owned(),
        tenant: Some(tenant.id),
        facts: facts.to_string(),
        first_seen_at: now,
        last_seen_at: now,
        ended_at: None,
        returns: 0,
        told: [("hook".to_owned(), told)].into(),
    };
    let noted = NotedConditions { put: vec![silence], ..NotedConditions::default() };
    world.bench.store.note_conditions(world.lease(), noted, now).await.expect("noted");
    let look = async || {
        for _ in 0..5 {
            world.look_for(100).await;
            world.bench.collect().await;
        }
        let known = world.bench.store.notice_conditions().await.expect("listed");
        known.into_iter().find(|known| known.kind == "tenant_silent").expect("it is known")
    };
    let known = look().await;
    assert_eq!(known.ended_at, None, "{known:?}");
    assert!(known.facts.contains("for longer than ever before"), "{known:?}");
    world.setup.emulator.add_alerts(&tenant.id.to_string(), 1, None).expect("a new alert");
    world.bench.pass(120);
    world.bench.collect().await;
    let known = look().await;
    assert!(known.ended_at.is_some(), "{known:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_are_told_from_when_a_receiver_was_added_and_a_flood_comes_as_one() {
    let Some(mail) = MailServer::start("implicit", "localhost").await else { return };
    let setup = setup(30, &mail.section(&format!("{TO_SOC}\nalerts = {{ max_age = \"3650d\" }}"))).await;
    // Nothing of what was there before.
    let bench = Bench::new(&setup).await;
    bench.collect().await;
    drop(bench);
    let world = World::new(setup).await;
    assert_eq!(world.tell_alerts().await, 0);
    assert_eq!(world.receiver("mail").await.waiting, 0);
    let tenants = world.setup.emulator.tenants();
    let hostile = "x\r\nBcc: evil@evil.example\r\n\r\n<script>alert(1)</script> https://evil.example/";
    world.setup.emulator.add_alerts(&tenants[0].id, 1, Some(hostile)).expect("a new alert");
    world.bench.pass(120);
    world.bench.collect().await;
    assert!(world.tell_alerts().await > 0);
    assert_eq!(world.send("mail").await.sent, 1);
    let mails = mail.mails();
    let data = mails[0]["data"].as_str().expect("a mail");
    assert_eq!(mails[0]["to"], json!(["soc@right.example"]));
    assert!(!data.contains("\r\nBcc:"), "{data}");
    let html = data.split("text/html").nth(1).expect("HTML").replace("=\r\n", "");
    assert!(!html.contains("<script>"), "{html}");
    let flat = data.replace("=\r\n", "").replace("=3D", "=");
    assert!(flat.contains(&format!("tid={}", tenants[0].id)), "{flat}");
    // Thirty at once are one mail, which says how many.
    for tenant in &tenants {
        world.setup.emulator.add_alerts(&tenant.id, 15, None).expect("new alerts");
    }
    world.bench.pass(120);
    world.bench.collect().await;
    world.tell_alerts().await;
    let sent = world.send("mail").await.sent;
    assert!(sent >= 30, "{sent}");
    assert_eq!(mail.subjects().len(), 2);
    assert_eq!(mail.subjects()[1], format!("Muster: {sent} alerts"));
    // A later version of an alert is no new alert.
    assert_eq!(world.tell_alerts().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_between_writing_and_sending_tells_once_more_at_most_and_loses_nothing() {
    let Some(python) = python("standardwebhooks").await else { return };
    let web = Receiver::new(python, "webhook.py", "hook");
    let (_server, port) = web.serve(0, SECRET).await;
    let more =
        "signing_secrets = [{ file = \"hook.secret\" }]\nconditions = []\nalerts = { max_age = \"3650d\" }";
    let setup = setup(6, &hook(port, more)).await;
    std::fs::write(setup.path().join("hook.secret"), SECRET).expect("written");
    let mut muster = setup.run();
    let store = setup.store().await;
    eventually("what was there before is read", async || {
        let receivers = store.notice_receivers().await.expect("the store answers");
        !receivers.is_empty() && setup.lost() == 0
    })
    .await;
    let before: std::collections::BTreeSet<String> = told_alerts(&web);
    let mut made = std::collections::BTreeSet::new();
    for round in 0..4 {
        // Refused at first, so that it waits; then taken while it is killed.
        web.mode(if round % 2 == 0 { "503" } else { "ok" });
        for tenant in setup.emulator.tenants() {
            made.extend(setup.emulator.add_alerts(&tenant.id, 4, None).expect("new alerts"));
        }
        let rows = async || store.last_notices(1_000).await.expect("the store answers");
        eventually("they are noted", async || {
            let noted = rows().await;
            made.iter().all(|id| noted.iter().any(|message| message.key.ends_with(id.as_str())))
        })
        .await;
        signal(&muster, Signal::KILL);
        muster.wait().await.expect("killed");
        muster = setup.run();
    }
    web.mode("ok");
    eventually("each is told", async || made.is_subset(&told_alerts(&web))).await;
    eventually("none waits", async || {
        store.notice_receivers().await.expect("the store answers")[0].waiting == 0
    })
    .await;
    muster.kill().await.expect("killed");
    let ids = web.lines("ids");
    let different: std::collections::BTreeSet<&String> = ids.iter().collect();
    assert_eq!(different.len(), told_alerts(&web).len(), "one id for each alert");
    assert!(
        ids.len() <= different.len() + 4,
        "at most one of each kill comes twice: {}",
        ids.len() - different.len()
    );
    assert!(before.is_disjoint(&made));
}

/// The ids of the alerts that were told.
fn told_alerts(web: &Receiver) -> std::collections::BTreeSet<String> {
    let read = |line: &String| {
        let told: Value = serde_json::from_str(line).expect("JSON");
        told["data"]["alert"]["alert"].as_str().map(str::to_owned)
    };
    web.lines("taken.ndjson").iter().filter_map(read).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_server_that_misbehaves_loses_no_notice_and_is_told_as_what_it_is() {
    let Some(mail) = MailServer::start("starttls", "localhost").await else { return };
    let setup = setup(2, &mail.section(TO_SOC)).await;
    let world = World::new(setup).await;
    world.sink_is_down(true);
    world.look_for(120).await;
    for (mode, words) in [
        ("greylist", "451"),
        ("busy", "421"),
        ("close", "no way to the mail server"),
        ("stall", "stalled or overloaded"),
    ] {
        mail.receiver.mode(mode);
        let stepped = world.send("mail").await;
        assert_eq!((stepped.sent, stepped.failed), (0, 1), "{mode}");
        let receiver = world.receiver("mail").await;
        let why = receiver.last_error.expect("a reason");
        assert!(why.contains(words), "{mode}: {why}");
        assert_eq!((receiver.waiting, receiver.refused), (1, 0), "{mode}");
        assert_eq!(world.send("mail").await, Stepped::default(), "it is not tried again at once");
        world.bench.pass(1_000);
    }
    let shown = world.causes().await.join("\n");
    assert!(shown.contains("notices `mail` takes nothing; 1 message for it"), "{shown}");
    mail.receiver.mode("ok");
    world.bench.pass(1_000);
    assert_eq!(world.send("mail").await.sent, 1);
    assert_eq!(mail.mails().len(), 1);
    // What is refused for good is kept and shown.
    mail.receiver.mode("refuse");
    let section = mail.section("to = [\"wrong@northwind.example\", \"one@right.example\"]");
    let text = std::fs::read_to_string(world.setup.settings_path()).expect("settings");
    let (head, _) = text.split_once("[notices.mail]").expect("the section");
    std::fs::write(world.setup.settings_path(), format!("{head}{section}")).expect("written");
    let mut world = world;
    world.begin().await;
    world.sink_is_down(false);
    world.look_for(400).await;
    let stepped = world.send("mail").await;
    assert_eq!((stepped.sent, stepped.failed), (1, 1), "one address costs the other nothing");
    assert_eq!(world.receiver("mail").await.refused, 1);
    let kept = world.bench.store.last_notices(10).await.expect("listed");
    let kept = kept.iter().find(|message| message.state == NoticeState::Refused).expect("kept");
    assert!(
        kept.content.is_some() && kept.last_error.as_ref().is_some_and(|why| why.contains("550")),
        "{kept:?}"
    );
    let listed = world.setup.muster(&["notice", "list"]).await;
    assert!(String::from_utf8_lossy(&listed.stdout).contains("No such user here"), "{listed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_to_a_mail_server_that_cannot_be_trusted() {
    let Some(stranger) = MailServer::start("implicit", "another.example").await else { return };
    let Some(plain) = MailServer::start("none", "localhost").await else { return };
    let no_tls = plain.settings.replace("tls = \"none\"", "tls = \"starttls\"");
    let refused = "server = \"localhost\"\nport = 1\nfrom = \"m@a.example\"\n";
    let garbage = talking(vec![b'2'; 8 << 20]).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let silent_port = silent.local_addr().expect("bound").port();
    let more = |port: u16, tls: &str| {
        format!(
            "server = \"localhost\"\nport = {port}\ntls = \"{tls}\"\ntimeout = \"2s\"\nfrom = \"m@a.example\"\n"
        )
    };
    // Endless lines, each within its bound, as after the greeting.
    let mut lines = b"220 x\r\n".to_vec();
    lines.extend(b"250-endless\r\n".repeat(200_000));
    let endless = talking(lines).await;
    let mut extra = String::new();
    let cases = [
        ("stranger", stranger.settings.clone(), "certificate is for another name"),
        ("no_tls", no_tls, "offers no STARTTLS, and nothing is sent in the clear"),
        ("refused", refused.to_owned(), "nobody listens there"),
        ("garbage", more(garbage, "starttls"), "says more than any does"),
        ("garbage_clear", more(garbage, "none"), "more than any mail server does"),
        ("endless", more(endless, "none"), "no way to the mail server"),
        ("silent", more(silent_port, "starttls"), "stalled or overloaded"),
        ("no_tls_at_all", more(garbage, "implicit"), "does not speak TLS"),
    ];
    for (name, settings, _) in &cases {
        extra.push_str(&format!("[notices.{name}]\ntype = \"mail\"\n{settings}{TO_SOC}\n"));
    }
    let setup = setup(2, &extra).await;
    for (name, _, words) in cases {
        let started = tokio::time::Instant::now();
        let tested = setup.muster(&["notice", "test", name]).await;
        let said = String::from_utf8_lossy(&tested.stdout).into_owned();
        assert_eq!(tested.status.code(), Some(8), "{name}: {said}");
        assert!(said.split_whitespace().collect::<Vec<_>>().join(" ").contains(words), "{name}: {said}");
        assert!(started.elapsed() < Duration::from_secs(20), "{name}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    assert!(stranger.mails().is_empty() && plain.mails().is_empty());
    // The server's own words of a wrong sign-in.
    let Some(right) = MailServer::start("starttls", "localhost").await else { return };
    std::fs::write(right.receiver.folder.path().join("mail.password"), "wrong").expect("written");
    setup.write_settings(&right.section(TO_SOC));
    let tested = setup.muster(&["notice", "test"]).await;
    let said = String::from_utf8_lossy(&tested.stdout).into_owned();
    assert!(said.contains("535") && said.contains("check user and password"), "{said}");
    std::fs::write(right.receiver.folder.path().join("mail.password"), "hunter2").expect("written");
    for arguments in [vec!["notice", "test", "mail"], vec!["notice", "test", "--alert"]] {
        let tested = setup.muster(&arguments).await;
        let said = String::from_utf8_lossy(&tested.stdout).into_owned();
        assert!(tested.status.success() && said.contains("250 2.0.0 Queued as 4711"), "{said}");
    }
    assert_eq!(right.mails().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_misbehaves_loses_no_notice_and_is_told_as_what_it_is() {
    let trap = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let trap_port = trap.local_addr().expect("bound").port();
    let redirect =
        format!("HTTP/1.1 307 x\r\nLocation: http://127.0.0.1:{trap_port}/\r\nContent-Length: 0\r\n\r\n");
    let mut gigabytes = b"HTTP/1.1 503 x\r\nContent-Length: 99999999999\r\n\r\n".to_vec();
    gigabytes.resize(16 << 20, b'x');
    let cases = [
        ("gone", answering(status("410 Gone")).await, "wants no more"),
        ("broken", answering(status("500 x")).await, "busy or down (HTTP 500)"),
        ("denied", answering(status("401 x")).await, "does not let it in"),
        ("missing", answering(status("404 x")).await, "no receiver at this address"),
        ("slow", answering(Vec::new()).await, "no answer within 2s"),
        ("redirect", answering(redirect.into_bytes()).await, "redirects elsewhere"),
        ("gigabytes", answering(gigabytes).await, "HTTP 503"),
        ("nonsense", answering(b"\x00\x01\x02 not HTTP\r\n\r\n".to_vec()).await, "no way to the webhook"),
        ("invalid", answering(status("422 x")).await, "the receiver refuses it"),
    ];
    let mut extra = String::new();
    for (name, port, _) in &cases {
        extra.push_str(&hook(*port, "").replace("notices.hook", &format!("notices.{name}")));
    }
    let mut world = World::new(setup(2, &extra).await).await;
    world.sink_is_down(true);
    world.look_for(120).await;
    for (name, _, words) in cases {
        let stepped = world.send(name).await;
        assert_eq!((stepped.sent, stepped.failed), (0, 1), "{name}");
        let receiver = world.receiver(name).await;
        let why = receiver.last_error.clone().expect("a reason");
        assert!(why.contains(words) && !why.contains("secret-path"), "{name}: {why}");
        let kept = if name == "invalid" { (0, 1) } else { (1, 0) };
        assert_eq!((receiver.waiting, receiver.refused), kept, "{name}");
        assert_eq!(receiver.stopped_at.is_some(), name == "gone", "{name}");
    }
    let visit = tokio::time::timeout(Duration::from_millis(100), trap.accept()).await;
    assert!(visit.is_err(), "nobody follows a redirect");
    // One that wants no more is shown, and stays stopped over a restart, until its settings change.
    let shown = world.causes().await.join("\n");
    assert!(shown.contains("notices `gone` gets nothing any more"), "{shown}");
    assert!(
        shown.contains("notices `invalid` has taken nothing since it refused a message for good"),
        "{shown}"
    );
    world.begin().await;
    assert!(world.receiver("gone").await.stopped_at.is_some());
    let text = std::fs::read_to_string(world.setup.settings_path()).expect("settings");
    let port = answering(status("202 Accepted")).await;
    let (head, tail) = text.split_once("[notices.gone]").expect("the section");
    let tail = tail.split_once("[notices.broken]").expect("the next").1;
    let changed = hook(port, "").replace("notices.hook", "notices.gone");
    std::fs::write(world.setup.settings_path(), format!("{head}{changed}\n[notices.broken]{tail}"))
        .expect("written");
    world.begin().await;
    assert!(world.receiver("gone").await.stopped_at.is_none());
    assert_eq!(world.send("gone").await.sent, 1, "what waited is sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_title_that_is_refused_costs_the_other_notices_nothing() {
    let permits = |count| Arc::new(tokio::sync::Semaphore::new(count));
    let (passed, came) = (permits(1_000), permits(0));
    let port = judging("EICAR", passed, came).await;
    let more = "template = \"slack\"\nalerts = { max_age = \"3650d\" }";
    let world = World::new(setup(2, &hook(port, more)).await).await;
    let tenants = world.setup.emulator.tenants();
    world.setup.emulator.add_alerts(&tenants[0].id, 9, None).expect("new alerts");
    world.setup.emulator.add_alerts(&tenants[0].id, 1, Some("EICAR-STANDARD-TEST")).expect("a new alert");
    world.setup.emulator.add_alerts(&tenants[1].id, 9, None).expect("new alerts");
    world.bench.collect().await;
    world.sink_is_down(true);
    world.look_for(120).await;
    assert!(world.tell_alerts().await > 0);
    let waiting = usize::try_from(world.receiver("hook").await.waiting).expect("a few");
    assert!(waiting > 19, "{waiting}");
    let stepped = world.send("hook").await;
    assert_eq!((stepped.sent, stepped.failed), (waiting - 1, 1));
    let last = world.bench.store.last_notices(100).await.expect("listed");
    let refused: Vec<_> = last.iter().filter(|message| message.state == NoticeState::Refused).collect();
    assert_eq!(refused.len(), 1);
    assert!(refused[0].content.as_ref().is_some_and(|content| content.contains("EICAR")), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_between_a_post_and_its_answer_sends_nothing_twice() {
    let (passed, came) = (Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(tokio::sync::Semaphore::new(0)));
    let port = judging("nothing", Arc::clone(&passed), Arc::clone(&came)).await;
    let hook = hook(port, "").replace("timeout = \"2s\"", "timeout = \"60s\"");
    let world = World::new(setup(2, &hook).await).await;
    world.sink_is_down(true);
    world.look_for(120).await;
    let World { setup: _setup, bench, notifier, lease, _lock } = world;
    bench.store.release_lease(lease.expect("held")).await.expect("released");
    let stop = tokio_util::sync::CancellationToken::new();
    let running = TaskTracker::new().spawn(notifier.run(stop.clone()));
    came.acquire().await.expect("it is posted").forget();
    stop.cancel();
    passed.add_permits(1);
    running.await.expect("it ends");
    let last = bench.store.last_notices(9).await.expect("listed");
    assert_eq!((last.len(), last[0].state), (1, NoticeState::Sent), "{last:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_address_in_the_secret_file_is_tried_though_the_old_one_wants_no_more() {
    let (gone, new) = (answering(status("410 Gone")).await, answering(status("204 No Content")).await);
    let section = "[notices.hook]\ntype = \"webhook\"\nurl = { file = \"hook.url\" }\nallow_private = true\ntimeout = \"2s\"\n";
    let setup = setup(2, section).await;
    let address = |port: u16| format!("http://127.0.0.1:{port}/x\n");
    std::fs::write(setup.path().join("hook.url"), address(gone)).expect("written");
    let mut world = World::new(setup).await;
    world.sink_is_down(true);
    world.look_for(120).await;
    assert_eq!(world.send("hook").await.failed, 1);
    world.begin().await;
    assert!(world.receiver("hook").await.stopped_at.is_some(), "a restart changes nothing");
    std::fs::write(world.setup.path().join("hook.url"), address(new)).expect("written");
    world.begin().await;
    assert!(world.receiver("hook").await.stopped_at.is_none());
    assert_eq!(world.send("hook").await.sent, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_nothing_runs_is_told_by_whoever_looks_and_its_end_by_the_one_that_runs_again() {
    let port = answering(status("204 No Content")).await;
    let world = World::new(setup(2, &hook(port, "")).await).await;
    world.beat().await;
    // While one is at work, nobody else tells anything.
    assert_eq!(notifier(&world.setup, &world.bench).once().await.expect("the store answers"), None);
    let World { setup, bench, notifier: first, lease, _lock: lock } = world;
    bench.store.release_lease(lease.expect("held")).await.expect("released");
    drop((first, lock));
    let once = async || {
        bench.pass(60);
        notifier(&setup, &bench).once().await.expect("the store answers").expect("nobody else is at it")
    };
    assert_eq!(once().await, (1, 0), "its last sign of life is a minute ago");
    for _ in 0..5 {
        assert_eq!(once().await, (0, 0), "told once, though each look is another process");
    }
    let last = bench.store.last_notices(1).await.expect("listed");
    assert_eq!((last[0].key.as_str(), last[0].state), ("not_running/run", NoticeState::Sent));
    let world = World::of(setup, bench).await;
    world.look_for(360).await;
    assert_eq!(world.send("hook").await.sent, 1);
    let last = world.bench.store.last_notices(1).await.expect("listed");
    assert_eq!((last[0].key.as_str(), last[0].event.as_str()), ("not_running/run", "ended"));
    // The program itself, as a timer calls it.
    let check = world.setup.muster(&["status", "--check", "--notify"]).await;
    assert!(String::from_utf8_lossy(&check.stdout).starts_with("MUSTER "), "{check:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn validate_and_doctor_say_what_is_wrong_with_a_receiver() {
    let extra = "[notices.a]\ntype = \"mail\"\nserver = \"mail.example\"\nfrom = \"m@a.example\"\nto = [\"b@c.example\"]\n\
                 conditions = [\"sink_dwn\"]\n[notices.b]\ntype = \"webhook\"\nurl = \"http://10.0.0.1/x\"\n\
                 template = \"pagerduty\"\n[notices.c]\ntype = \"pigeon\"\n";
    let broken = setup(2, "").await;
    broken.write_settings(extra);
    let validated = broken.muster(&["validate"]).await;
    let said =
        String::from_utf8_lossy(&validated.stdout).into_owned() + &String::from_utf8_lossy(&validated.stderr);
    for words in [
        "`sink_dwn` is not a condition (did you mean `sink_down`?)",
        "set allow_private = true",
        "PagerDuty wants the integration key",
        "`pigeon` is not a type of receiver",
    ] {
        let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(words), "{words} is missing in:\n{said}");
    }
    let missing = "[notices.a]\ntype = \"webhook\"\nurl = { file = \"no.url\" }\n";
    broken.write_settings(missing);
    let validated = broken.muster(&["validate"]).await;
    let said =
        String::from_utf8_lossy(&validated.stdout).into_owned() + &String::from_utf8_lossy(&validated.stderr);
    assert!(said.contains("notices.a") && said.contains("no.url"), "{said}");
    let port = answering(status("204 No Content")).await;
    broken.write_settings(&hook(port, ""));
    let looked = broken.muster(&["--output", "json", "doctor"]).await;
    let said = String::from_utf8_lossy(&looked.stdout).into_owned();
    assert!(said.contains("notices.hook") && said.contains("answers (HTTP 204"), "{said}");
}
