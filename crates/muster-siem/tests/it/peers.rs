//! CEF reaches a real rsyslog and a real syslog-ng, set up as `docs/sinks/syslog.md` says, and every line arrives as it
//! was written.
//!
//! `.ci/install-peers` installs both. Where one is missing its tests pass and say that they were skipped, unless
//! `MUSTER_REQUIRE_PEERS` is 1.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_model::{
    Batch, ByteSize, Delivery, DeliveryBatch, DeliveryNumber, Lineage, Outcome, Record, RecordHead, Report,
    Selection, Source, SystemClock, TenantLabel,
};
use muster_siem::formats::{CefOptions, Events, Format};
use muster_siem::sinks::{Rfc, Sink, SinkSettings, Surroundings, SyslogSettings, Transport};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::cef::{expected, read_cef};
use crate::environment::environment;
use crate::fixtures::fixture;

const GUIDE: &str = include_str!("../../../../docs/sinks/syslog.md");
const TENANT_NAME: &str = "Fabrikam = Nord | \\ ÅÄÖ\u{202e}";
/// How long a program may take to start, and to stop.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn cef_over_tls_reaches_rsyslog() {
    cef_over_tls_reaches(Peer::Rsyslog).await;
}

#[tokio::test]
async fn cef_over_tls_reaches_syslog_ng() {
    cef_over_tls_reaches(Peer::SyslogNg).await;
}

#[tokio::test]
async fn cef_in_the_old_header_on_lines_reaches_rsyslog() {
    cef_in_the_old_header_on_lines_reaches(Peer::Rsyslog).await;
}

#[tokio::test]
async fn cef_in_the_old_header_on_lines_reaches_syslog_ng() {
    cef_in_the_old_header_on_lines_reaches(Peer::SyslogNg).await;
}

#[tokio::test]
async fn cef_over_relp_reaches_rsyslog() {
    cef_over_relp_reaches_rsyslog_with(Transport::Relp).await;
}

/// Each proves itself to the other by a certificate.
#[tokio::test]
async fn cef_over_relp_and_tls_reaches_rsyslog() {
    cef_over_relp_reaches_rsyslog_with(Transport::RelpTls).await;
}

#[tokio::test]
async fn what_rsyslog_would_cut_is_rejected() {
    what_the_receiver_would_cut_is_rejected(Peer::Rsyslog).await;
}

#[tokio::test]
async fn what_syslog_ng_would_cut_is_rejected() {
    what_the_receiver_would_cut_is_rejected(Peer::SyslogNg).await;
}

/// The documented settings of both sides. Beside CEF the receiver writes what it understood of the header.
async fn cef_over_tls_reaches(peer: Peer) {
    let Some(program) = peer.program() else { return };
    let running = Running::start(peer, &program, |configuration| match peer {
        Peer::Rsyslog => configuration
            .replace("%msg%", "%pri% %timereported:::date-rfc3339% %hostname% %app-name% %msgid% %msg%"),
        Peer::SyslogNg => configuration.replace(
            "template(\"$MSG",
            "frac-digits(6) template(\"$PRI $S_ISODATE $HOST $PROGRAM $MSGID $MSG",
        ),
    });
    let mut settings = running.settings(Transport::Tls);
    settings.ca_file = Some(running.path("ca.pem"));
    assert_eq!((settings.framing, settings.confirm, settings.rfc), (None, None, Rfc::Rfc5424));
    let sink = sink(settings);
    let (running, found) = running.wait_until_ready(&sink).await;
    assert!(found.contains("takes connections under TLSv1_"), "{found}");
    assert!(found.contains("closes them when it has read to the end;"), "{found}");

    let sent = deliver(&sink, 200).await;
    let lines = running.stop().await;
    assert_eq!(lines.len(), sent.len());
    for (line, sent) in lines.iter().zip(&sent) {
        let fields: Vec<&str> = line.splitn(6, ' ').collect();
        let [priority, time, host, app, kind, cef] = fields[..] else { panic!("six fields: {line}") };
        assert_eq!(cef, sent.cef);
        let severity = match sent.body["severity"].as_str() {
            Some("high") => 2,
            Some("medium") => 4,
            Some("informational") => 6,
            _ => 5,
        };
        assert_eq!(priority, (16 * 8 + severity).to_string());
        let source = sent.source.to_string();
        assert_eq!((host, app, kind), ("muster", "muster", source.as_str()));
        // Where a record has no time of its own, a receiver takes that of arrival.
        let own = sent.milliseconds("createdDateTime").or_else(|| sent.milliseconds("lastUpdateDateTime"));
        if let Some(own) = own {
            let time: Timestamp = time.parse().expect("a time");
            assert_eq!(time.as_millisecond(), own, "{line}");
        }
        sent.is_what(cef);
    }
}

/// The documented settings for RELP.
async fn cef_over_relp_reaches_rsyslog_with(transport: Transport) {
    let Some(program) = Peer::Rsyslog.program() else { return };
    let running = Running::start(Peer::Rsyslog, &program, |configuration| {
        let (_, rest) = GUIDE.split_once("```rsyslog-relp\n").expect("the guide has RELP");
        let (relp, _) = rest.split_once("```").expect("it ends");
        let port =
            configuration.split("port=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a port");
        let folder = configuration.split("workDirectory=\"").nth(1).and_then(|rest| rest.split('"').next());
        let relp = relp
            .replace("/etc/muster-tls", folder.expect("a folder"))
            .replace("port=\"2514\"", &format!("address=\"127.0.0.1\" port=\"{port}\""));
        let (module, input) = relp.split_once("input(").expect("an input");
        let input = match transport {
            Transport::RelpTls => format!("input({input}"),
            _ => format!("input({})", input.split_once("\n  tls=").expect("TLS").0),
        };
        let (before, rest) = configuration.split_once("module(load=\"imtcp\"").expect("a module");
        let (_, ruleset) = rest.split_once("template(").expect("a template");
        let (ruleset, _) = ruleset.split_once("input(type=\"imtcp\"").expect("an input");
        format!("{before}{module}template({ruleset}{input}")
    });
    let mut settings = running.settings(transport);
    settings.message_size_max = Some(ByteSize(1 << 20));
    if transport == Transport::RelpTls {
        settings.ca_file = Some(running.path("ca.pem"));
        settings.client_certificate = Some(running.path("server.pem"));
        settings.client_key = Some(muster_model::SecretReference::File(running.path("server.key")));
    }
    let sink = sink(settings);
    let (running, found) = running.wait_until_ready(&sink).await;
    assert!(found.contains("speaks RELP") && found.contains("answers for each message"), "{found}");
    let sent = deliver(&sink, 200).await;
    sink.close().await;
    let lines = running.stop().await;
    assert_eq!(lines.len(), sent.len());
    for (line, sent) in lines.iter().zip(&sent) {
        assert_eq!(*line, sent.cef);
        sent.is_what(line);
    }
}

/// The least that receivers have in common: RFC 3164 with a newline after each message, in the clear.
async fn cef_in_the_old_header_on_lines_reaches(peer: Peer) {
    let Some(program) = peer.program() else { return };
    let running = Running::start(peer, &program, |configuration| match peer {
        Peer::Rsyslog => {
            let tls = "\n  streamDriver.name=\"gtls\" streamDriver.mode=\"1\" streamDriver.authMode=\"anon\"";
            configuration.replace(tls, "").replace("%msg%", "%syslogtag%%msg%")
        }
        Peer::SyslogNg => {
            let (before, rest) = configuration.split_once("  syslog(").expect("a source");
            let (source, after) = rest.split_once(" transport(").expect("its transport");
            let (_, after) = after.split_once("\n  ));").expect("its end");
            format!("{before}  network({source} transport(\"tcp\"));{after}").replace("$MSG", "$MSGHDR$MSG")
        }
    });
    let mut settings = running.settings(Transport::Tcp);
    settings.rfc = Rfc::Rfc3164;
    assert_eq!((settings.framing, settings.confirm), (None, None));
    let sink = sink(settings);
    let (running, found) = running.wait_until_ready(&sink).await;
    assert!(found.contains("in the clear, and closes them when it has read to the end;"), "{found}");

    let sent = deliver(&sink, 60).await;
    let lines = running.stop().await;
    assert_eq!(lines.len(), sent.len());
    for (line, sent) in lines.iter().zip(&sent) {
        assert_eq!(*line, sent.cef);
        sent.is_what(line);
    }
}

/// With the receiver's limit as `message_bytes_max`, a message that just fits arrives whole, and one more byte is
/// refused before it is sent.
async fn what_the_receiver_would_cut_is_rejected(peer: Peer) {
    const LIMIT: usize = 1 << 20;
    let Some(program) = peer.program() else { return };
    let running = Running::start(peer, &program, |configuration| configuration);
    let mut settings = running.settings(Transport::Tls);
    settings.ca_file = Some(running.path("ca.pem"));
    settings.message_size_max = Some(ByteSize(LIMIT as u64));
    let sink = sink(settings);
    let (running, _) = running.wait_until_ready(&sink).await;

    let tenant = tenant();
    let written = |length: usize| {
        let text = json!({ "id": "1", "title": "x".repeat(length) }).to_string();
        let head = RecordHead::read(Source::GraphAlerts.kind(), &text).expect("a record");
        let cef = cef_of(Source::GraphAlerts, Record { head: &head, body: &text, replay: None }, &tenant);
        (head, text, cef)
    };
    let around = "<133>1 - muster muster - graph_alerts - ".len() + written(1).2.len() - 1;
    let lengths = [10, LIMIT - around, LIMIT - around + 1, 10];
    let mut batch = Batch::new();
    for (head, text, _) in lengths.map(written) {
        batch.push(head, &text);
    }
    let report = sink
        .deliver_and_wait(DeliveryBatch {
            tenant: &tenant,
            deliveries: &[delivery(1, Source::GraphAlerts, batch)],
        })
        .await;
    assert_eq!(report.trouble, None);
    assert!(
        matches!(
            &report.outcomes[..],
            [Outcome::Delivered, Outcome::Delivered, Outcome::Rejected(reason), Outcome::Delivered]
                if reason.contains("raise message_size_max")
        ),
        "{report:?}"
    );
    let lines = running.stop().await;
    let wanted = [lengths[0], lengths[1], lengths[3]].map(|length| written(length).2);
    assert!(lines == wanted, "lines of {:?} bytes", lines.iter().map(String::len).collect::<Vec<_>>());
}

fn tenant() -> TenantLabel {
    TenantLabel {
        id: "5f0d2c3e-8a41-4b52-9c1e-0d6f7a8b9c0d".parse().expect("a GUID"),
        slug: "fabrikam".parse().expect("a slug"),
        name: TENANT_NAME.to_owned(),
    }
}

/// The line that the format itself writes.
fn cef_of(source: Source, record: Record<'_>, tenant: &TenantLabel) -> String {
    let mut events = Events::new();
    let format = Format::Cef(CefOptions::default());
    format.write(source.kind(), record, tenant, &mut events).expect("it can be written");
    assert_eq!(events.len(), 1);
    String::from_utf8(events.bytes).expect("text")
}

fn delivery(number: u64, source: Source, batch: Batch) -> Delivery {
    let lineage = Lineage(uuid::Uuid::from_u128(1));
    Delivery {
        lineage,
        number: DeliveryNumber(number),
        source,
        batch: batch.into(),
        selection: Selection::All,
        replay: None,
    }
}

fn sink(settings: SyslogSettings) -> Sink {
    let around = Surroundings {
        folder: Path::new("/"),
        secret: Arc::new(|key| match key {
            muster_model::SecretReference::File(file) => {
                Ok(std::fs::read_to_string(file).expect("a key").as_str().into())
            }
            other => unreachable!("no secret lies at {other}"),
        }),
        proxy: Ok(None),
        clock: Arc::new(SystemClock),
        tokens: Box::new(|_| Err("there are no tokens here".to_owned())),
    };
    SinkSettings::Syslog(settings).build("peer", &around).expect("a sink")
}

/// Delivers about `count` records in two delivery batches; every one must count as delivered.
async fn deliver(sink: &Sink, count: usize) -> Vec<Sent> {
    let tenant = tenant();
    let templates = templates();
    let mut all = Vec::new();
    for half in 0..2 {
        let mut deliveries = Vec::new();
        for (number, source) in [(1, Source::GraphAlerts), (2, Source::GraphIncidents)] {
            let mut batch = Batch::new();
            let of_source = templates.iter().filter(|template| template.0 == source);
            for (index, (_, body)) in of_source.cycle().take(count / 4).enumerate() {
                let mut body = body.clone();
                body["id"] = format!("{half}-{source}-{index}").into();
                let text = body.to_string();
                let head = RecordHead::read(Source::GraphAlerts.kind(), &text).expect("a record");
                let cef = cef_of(source, Record { head: &head, body: &text, replay: None }, &tenant);
                batch.push(head, &text);
                all.push(Sent { source, body, cef, tenant: tenant.clone() });
            }
            deliveries.push(delivery(number, source, batch));
        }
        let report = sink.deliver_and_wait(DeliveryBatch { tenant: &tenant, deliveries: &deliveries }).await;
        assert_eq!(report, Report { outcomes: vec![Outcome::Delivered; count / 4 * 2], trouble: None });
    }
    all
}

/// The recorded alerts and incidents, and each text that an attacker might choose in the places he can reach.
fn templates() -> Vec<(Source, Value)> {
    let fixtures = [
        (Source::GraphAlerts, "endpoint_alert"),
        (Source::GraphAlerts, "mail_alert"),
        (Source::GraphAlerts, "cloud_alert"),
        (Source::GraphIncidents, "incident"),
        (Source::GraphIncidents, "incident_without_alerts"),
    ];
    let read = |(source, name)| (source, serde_json::from_str(fixture(name)).expect("JSON"));
    let mut all: Vec<(Source, Value)> = fixtures.into_iter().map(read).collect();
    let texts = [
        "pipes | and || bars \\| CEF:0|a|b|c|d|e|9|".to_owned(),
        "equals = and == keys externalId=1 cs2=x cs2Label=tenantId".to_owned(),
        "back\\slashes \\\\ \\n \\= \\".to_owned(),
        "new\nlines\r\nand\rreturns\n\n<14>1 - host app - - - forged\n".to_owned(),
        "tabs\tand\0NUL and \u{1b}[31m escapes #012 #011 \u{7f}".to_owned(),
        "right\u{202e}to\u{2066}left\u{2028}lines\u{85}and\u{feff}marks".to_owned(),
        "\u{feff}first a mark, then emoji 😀🏴󠁧󠁢󠁥󠁮󠁧󠁿 and åäö 漢字".to_owned(),
        "12 counts in front, and percent %msg% $MSG ${MSG} %%".to_owned(),
        "  blanks around and   within  ".to_owned(),
        "[brackets]: colons: \"quotes\" 'single' {braces}".to_owned(),
        "a description of 30 kB |=\\\n".repeat(1_154),
        "\u{202e}".repeat(10_000),
    ];
    for (index, text) in texts.into_iter().enumerate() {
        let severity = ["high", "medium", "low", "informational", "unknownFutureValue"][index % 5];
        let alert = json!({
            "id": "", "title": text, "description": text, "severity": severity,
            "createdDateTime": "2026-02-03T04:05:06.789Z", "lastUpdateDateTime": "2026-02-04T05:06:07.0089Z",
            "evidence": [{ "fileDetails": { "fileName": text }, "processCommandLine": text }],
            // The last value of the line.
            "systemTags": [text],
        });
        let incident = json!({
            "id": "", "displayName": text, "description": text, "severity": severity, "customTags": [text],
        });
        all.extend([(Source::GraphAlerts, alert), (Source::GraphIncidents, incident)]);
    }
    all
}

/// A record that was delivered, and its line.
struct Sent {
    source: Source,
    body: Value,
    cef: String,
    tenant: TenantLabel,
}

impl Sent {
    /// Compares what a reader of CEF makes of the line with the record.
    fn is_what(&self, line: &str) {
        let cef = read_cef(line);
        let text = |key: &str| self.body[key].as_str().filter(|text| !text.trim().is_empty());
        let title = match self.source {
            Source::GraphAlerts | Source::EndpointAlerts => "title",
            Source::GraphIncidents => "displayName",
            Source::XdrIncidents => "incidentName",
            Source::SiemFeed => "AlertTitle",
            Source::GraphHunting(_) | Source::XdrHunting(_) | Source::Streaming(_) => "ActionType",
        };
        assert_eq!(cef.header[..4], ["CEF:0", "Microsoft", "Microsoft Defender ATP", "2.0"]);
        assert_eq!(cef.header[5], expected(text(title).expect("a title"), false, true));
        let number = match text("severity") {
            Some("high") => "8",
            Some("medium") => "6",
            Some("low") => "3",
            Some("informational") => "1",
            _ => "0",
        };
        assert_eq!(cef.header[6], number);
        assert_eq!(cef.get("externalId"), text("id"));
        assert_eq!(cef.get("cs2"), Some(self.tenant.id.to_string().as_str()));
        assert_eq!(cef.get("cs2Label"), Some("tenantId"));
        assert_eq!(cef.get("cs3"), Some(expected(&self.tenant.name, false, false).as_str()));
        assert_eq!(cef.get("cs3Label"), Some("tenantName"));
        let milliseconds = |key| self.milliseconds(key).map(|number| number.to_string());
        let created = milliseconds("createdDateTime").or_else(|| milliseconds("lastUpdateDateTime"));
        assert_eq!(cef.get("rt"), created.as_deref());
        assert_eq!(cef.get("deviceCustomDate1"), milliseconds("lastUpdateDateTime").as_deref());
        if let Some(description) = text("description") {
            assert_eq!(cef.get("msg"), Some(expected(description, false, false).as_str()));
        }
    }

    /// A time that is one: .NET's "no date" of year 1 is not.
    fn milliseconds(&self, key: &str) -> Option<i64> {
        let time: Timestamp = self.body[key].as_str()?.parse().expect("a time");
        Some(time.as_millisecond()).filter(|milliseconds| *milliseconds > 0)
    }
}

/// A receiver that others made.
#[derive(Debug, Clone, Copy)]
enum Peer {
    Rsyslog,
    SyslogNg,
}

impl Peer {
    /// Where the program is; `None`, said aloud, when it is not installed.
    fn program(self) -> Option<PathBuf> {
        let path = match self {
            Self::Rsyslog => PathBuf::from("/usr/sbin/rsyslogd"),
            Self::SyslogNg => syslog_ng().join("usr/sbin/syslog-ng"),
        };
        let missing = match self {
            _ if !path.exists() => path.display().to_string(),
            Self::Rsyslog if !rsyslog_speaks_tls() => "rsyslog-gnutls".to_owned(),
            Self::Rsyslog | Self::SyslogNg => return Some(path),
        };
        let missing = format!("{missing} is not installed; .ci/install-peers installs it");
        assert!(environment("MUSTER_REQUIRE_PEERS").is_none_or(|value| value != "1"), "{missing}");
        println!("skipped: {missing}");
        None
    }

    /// The configuration in our documentation, with paths inside `folder` and a port that is free.
    fn configuration(self, folder: &Path, port: u16) -> String {
        let fence = match self {
            Self::Rsyslog => "```rsyslog\n",
            Self::SyslogNg => "```syslog-ng\n",
        };
        let (_, rest) = GUIDE.split_once(fence).expect("the guide has a configuration");
        let (configuration, _) = rest.split_once("```").expect("the configuration ends");
        let folder = folder.to_str().expect("a path of text");
        ["/etc/muster-tls", "/var/log", "/var/spool/rsyslog"]
            .iter()
            .fold(configuration.to_owned(), |configuration, path| configuration.replace(path, folder))
            .replace("port=\"6514\"", &format!("address=\"127.0.0.1\" port=\"{port}\""))
            .replace("port(6514)", &format!("ip(\"127.0.0.1\") port({port})"))
    }

    fn command(self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        match self {
            Self::Rsyslog => {
                command.args(["-n", "-f"]).arg(folder.join("peer.conf")).arg("-i").arg(folder.join("pid"));
            }
            Self::SyslogNg => {
                let libraries = syslog_ng().join("usr/lib/syslog-ng");
                let modules = std::fs::read_dir(&libraries)
                    .expect("its libraries")
                    .map(|entry| entry.expect("an entry").path())
                    .find(|path| path.is_dir())
                    .expect("a folder of modules");
                command.args(["--foreground", "--no-caps", "--stderr"]).env("LD_LIBRARY_PATH", libraries);
                for (option, path) in [
                    ("--module-path", modules),
                    ("--cfgfile", folder.join("peer.conf")),
                    ("--pidfile", folder.join("pid")),
                    ("--control", folder.join("control")),
                    ("--persist-file", folder.join("persist")),
                ] {
                    command.arg(option).arg(path);
                }
            }
        }
        command
    }
}

/// Whether rsyslog's modules, which lie in a folder named for the machine's architecture, include that for TLS.
fn rsyslog_speaks_tls() -> bool {
    let libraries = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let folders = libraries.map(|entry| entry.path()).chain(["/usr/lib".into(), "/usr/lib64".into()]);
    folders.into_iter().any(|folder| folder.join("rsyslog/lmnsd_gtls.so").exists())
}

/// Where syslog-ng was unpacked: below the target folder, which holds this test as `debug/deps/peers-…`.
fn syslog_ng() -> PathBuf {
    let peers = environment("MUSTER_PEERS").map(PathBuf::from).unwrap_or_else(|| {
        let test = std::env::current_exe().expect("the test's own path");
        test.ancestors().nth(3).expect("the target folder").join("peers")
    });
    peers.join("syslog-ng")
}

/// A receiver at work in a folder of its own. It is killed if the test fails.
struct Running {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Running {
    fn start(peer: Peer, program: &Path, change: impl FnOnce(String) -> String) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        write_certificates(folder.path());
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let configuration = change(peer.configuration(folder.path(), port));
        std::fs::write(folder.path().join("peer.conf"), configuration).expect("written");
        let log = std::fs::File::create(folder.path().join("peer.log")).expect("a log");
        let process = peer
            .command(program, folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        Self { process, port, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path("peer.log")).expect("a log")).into_owned()
    }

    /// Nothing is split here, so that the peers see what they would cut.
    fn settings(&self, transport: Transport) -> SyslogSettings {
        let section = json!({
            "address": format!("localhost:{}", self.port),
            "transport": "tcp",
            "format": "cef",
            "event_size_max": "16MiB",
        });
        SyslogSettings { transport, ..serde_json::from_value(section).expect("settings") }
    }

    /// Tests the sink until it can be used; returns what was found then.
    async fn wait_until_ready(mut self, sink: &Sink) -> (Self, String) {
        let start = Instant::now();
        loop {
            match sink.test().await {
                Ok(found) => return (self, found),
                Err(error) => {
                    let ended = self.process.try_wait().expect("its state");
                    assert!(ended.is_none(), "it ended ({ended:?}):\n{}", self.log());
                    assert!(start.elapsed() < PATIENCE, "{error}\n{}", self.log());
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops it in an orderly way; returns the lines that it has written.
    async fn stop(mut self) -> Vec<String> {
        let id = self.process.id().and_then(|id| i32::try_from(id).ok());
        let id = id.and_then(rustix::process::Pid::from_raw).expect("it still runs");
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("a signal");
        let status = tokio::time::timeout(PATIENCE, self.process.wait()).await;
        let status = status.expect("it stops when asked to").expect("its status");
        assert!(status.success(), "{status}:\n{}", self.log());
        let written = std::fs::read(self.path("muster.cef")).expect("it wrote a file");
        let written = String::from_utf8(written).expect("text");
        let text = written.strip_suffix('\n').expect("the last line is whole");
        text.split('\n').map(ToOwned::to_owned).collect()
    }
}

/// A CA, and a certificate for localhost that it signed.
fn write_certificates(folder: &Path) {
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(rcgen::DnType::CommonName, "CA of a test");
    let ca_key = rcgen::KeyPair::generate().expect("a key");
    let ca = params.self_signed(&ca_key).expect("a CA");
    let issuer = rcgen::Issuer::new(params, ca_key);
    let server_key = rcgen::KeyPair::generate().expect("a key");
    let server = rcgen::CertificateParams::new(["localhost".to_owned()])
        .expect("parameters")
        .signed_by(&server_key, &issuer)
        .expect("a certificate");
    for (name, pem) in
        [("ca.pem", ca.pem()), ("server.pem", server.pem()), ("server.key", server_key.serialize_pem())]
    {
        std::fs::write(folder.join(name), pem).expect("written");
    }
}
