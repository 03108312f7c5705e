//! An emulator, a folder with settings for it, and two ways to run Muster against it: the real program in a process of
//! its own, or its parts in this process with a clock that the test moves.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster::access::apps::Apps;
use muster::access::grants::StoreGrants;
use muster::collect::{Collector, News, Pace, Skews, Swept};
use muster::config::Settings;
use muster::deliver::{AskOutcome, Breaker, Deliverer, StepOutcome};
use muster::journal_bound::{Held, Keeper};
use muster::routing::Router;
use muster::troubles::Troubles;
use muster::wiring;
use muster_emulator::receivers::ReceiverTally;
use muster_emulator::{Config, Handle, SettingsText, loopback};
use muster_model::{Clock, ManualClock, Source};
use muster_store::{InstanceId, OpenMode, Store};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// An emulator with all receivers, and a Muster set up for it.
pub(crate) struct Setup {
    pub(crate) emulator: Handle,
    folder: TempDir,
}

/// The emulator's configuration for most tests: all receivers, no alert of half a megabyte.
pub(crate) fn config() -> Config {
    Config {
        tenants: 3,
        hec: Some(loopback()),
        syslog_tls: Some(loopback()),
        large_one_in: 0,
        ..Config::default()
    }
}

impl Drop for Setup {
    /// A test that fails tells what Muster last said.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.path().join("muster.log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().rev().take(15).collect();
            eprintln!("the end of muster.log:\n{}", lines.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
    }
}

impl Setup {
    /// Starts the emulator, makes settings, store and key, and adds all tenants. `extra` is added to the settings.
    pub(crate) async fn start(config: Config, extra: &str) -> Self {
        let emulator = muster_emulator::start(config).await.expect("the emulator starts");
        let setup = Self { emulator, folder: tempfile::tempdir().expect("a folder") };
        setup.muster(&["init", setup.path().to_str().expect("UTF-8")]).await;
        setup.write_settings(extra);
        setup.add_tenants().await;
        setup
    }

    /// The same with the store in a database that `[store]` in `extra` names.
    pub(crate) async fn start_in_database(config: Config, extra: &str) -> Self {
        let emulator = muster_emulator::start(config).await.expect("the emulator starts");
        let setup = Self { emulator, folder: tempfile::tempdir().expect("a folder") };
        setup.muster(&["init", setup.path().to_str().expect("UTF-8")]).await;
        std::fs::remove_file(setup.path().join("muster.db")).expect("removed");
        setup.write_settings(extra);
        let made = setup.muster(&["store", "init"]).await;
        assert!(made.status.success(), "{made:?}");
        setup.add_tenants().await;
        setup
    }

    async fn add_tenants(&self) {
        let setup = self;
        let mut csv = String::from("tenant,name\n");
        for tenant in setup.emulator.tenants() {
            csv.push_str(&format!("{},\"{}\"\n", tenant.id, tenant.name));
        }
        std::fs::write(setup.path().join("tenants.csv"), csv).expect("written");
        let imported = setup
            .muster(&["tenant", "import", setup.path().join("tenants.csv").to_str().expect("UTF-8")])
            .await;
        assert!(imported.status.success(), "{imported:?}");
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn settings_path(&self) -> PathBuf {
        self.path().join("muster.toml")
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings::read(&self.settings_path()).expect("the settings are right")
    }

    /// Writes settings with all three sinks, and `extra` behind them.
    pub(crate) fn write_settings(&self, extra: &str) {
        SettingsText::new(&self.emulator.client_config())
            .in_files()
            .add("network", "idle_timeout = \"5s\"\ntotal_timeout = \"10s\"")
            .add("collect", "poll_interval = \"1s\"")
            .add("sinks.splunk", "timeout = \"10s\"")
            .add("sinks.arcsight", "timeout = \"10s\"")
            .sources(&[])
            .extra(extra)
            .write(self.path())
            .expect("written");
    }

    /// Runs a `muster` command to its end.
    pub(crate) async fn muster(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().await.expect("muster starts")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command.arg("--config").arg(self.settings_path()).args(arguments).current_dir(self.path());
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Starts `muster run`; its log goes to `muster.log`.
    pub(crate) fn run(&self) -> Child {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path().join("muster.log"));
        self.command(&["run"]).stderr(log.expect("a log")).spawn().expect("muster starts")
    }

    /// The store, as commands see it.
    pub(crate) async fn store(&self) -> Arc<dyn Store> {
        let opened = wiring::open_store(&self.settings(), OpenMode::Shared).await;
        opened.map_err(|failed| failed.error).expect("the store opens")
    }

    /// What the receivers saw: HEC, syslog over TLS, and the file.
    pub(crate) fn tallies(&self) -> [ReceiverTally; 3] {
        let tally = self.emulator.tally();
        let of = |name: &str| {
            tally.receivers.iter().find(|receiver| receiver.receiver == name).cloned().expect("a receiver")
        };
        let file = self.emulator.tally_file(&self.path().join("archive.ndjson")).unwrap_or_default();
        [of("hec"), of("syslog_tls"), file]
    }

    /// How much is still missing at the receivers. The file is read only once the others have everything: it is tens of
    /// megabytes, and whoever waits asks often.
    pub(crate) fn lost(&self) -> u64 {
        match self.emulator.tally().receivers.iter().map(|tally| tally.lost).sum::<u64>() {
            0 => self.tallies().iter().map(|tally| tally.lost).sum(),
            lost => lost,
        }
    }

    /// Asserts that every receiver has everything, once.
    pub(crate) fn assert_all_arrived_once(&self) {
        for tally in self.tallies() {
            assert_eq!(
                (tally.lost, tally.doubled, tally.unknown, tally.unreadable),
                (0, 0, 0, 0),
                "{tally:?}"
            );
        }
    }
}

/// Gets an address, as a browser would, with these headers; the body of the answer.
pub(crate) async fn get(address: &str, headers: &[(&str, &str)]) -> String {
    whole(ask("GET", address, headers, "").await)
}

/// Posts a form; the body of the answer.
pub(crate) async fn post(address: &str, form: &str) -> String {
    whole(ask("POST", address, &[("Content-Type", "application/x-www-form-urlencoded")], form).await)
}

/// The body of an answer that has to be good.
fn whole(answer: (u16, String)) -> String {
    assert_eq!(answer.0, 200, "{}", answer.1);
    answer.1
}

/// Asks an address; the status and the body of the answer.
pub(crate) async fn ask(method: &str, address: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let url = url::Url::parse(address).expect("an address");
    let host = (url.host_str().expect("a host").to_owned(), url.port().unwrap_or(80));
    let mut stream = tokio::net::TcpStream::connect(host).await.expect("somebody listens");
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!(
        "{method} {}{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        url.path(),
        body.len()
    );
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.expect("asked");
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.expect("answered");
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|answer| answer.get(..3));
    let status = status.and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no HTTP: {answer}"));
    let (headers, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    match headers.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        true => (status, without_chunks(body)),
        false => (status, body.to_owned()),
    }
}

/// A body without the lengths of its chunks.
fn without_chunks(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).expect("a length");
        whole.push_str(&rest[..length]);
        body = rest[length..].trim_start_matches("\r\n");
    }
    whole
}

/// The most that a process has held so far, in megabytes.
pub(crate) fn peak_rss_mb(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kibibytes * 1_024.0 / 1e6
}

/// Sends a signal to a process that runs.
pub(crate) fn signal(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()));
    rustix::process::kill_process(pid.expect("a process"), signal).expect("signalled");
}

/// Waits until something holds; fails when it does not for five minutes.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let until = tokio::time::Instant::now() + Duration::from_secs(300);
    loop {
        let asked = tokio::time::Instant::now();
        if holds().await {
            return;
        }
        assert!(tokio::time::Instant::now() < until, "not within five minutes: {what}");
        // To ask costs processor time that those who are waited for need: a fifth of it at most.
        tokio::time::sleep((asked.elapsed() * 4).max(Duration::from_millis(50))).await;
    }
}

/// Muster's parts in this process. Time passes only when the test says so, and every step ends before the next.
pub(crate) struct Bench {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) collector: Collector,
    pub(crate) deliverers: Vec<Deliverer>,
    /// What `muster run` would tell with its heartbeat.
    pub(crate) troubles: Troubles,
    /// Holds the journal within its bounds.
    pub(crate) keeper: Keeper,
}

impl Bench {
    /// The parts for these settings. The clock starts at the present, which the emulator's data is made around.
    pub(crate) async fn new(setup: &Setup) -> Self {
        Self::at(setup, now()).await
    }

    /// The parts for these settings, with a clock that starts at `now`.
    pub(crate) async fn at(setup: &Setup, now: Timestamp) -> Self {
        let clock = Arc::new(ManualClock::new(now));
        let settings = setup.settings();
        let store = setup.store().await;
        let dyn_clock: Arc<dyn Clock> = clock.clone();
        let instance = InstanceId(uuid::Uuid::from_u128(1));
        let accepted = Arc::new(Notify::new());
        let troubles = Troubles::default();
        let grants = StoreGrants::new(Arc::clone(&store), instance, Arc::clone(&dyn_clock));
        let microsoft = wiring::microsoft(&settings, Arc::clone(&dyn_clock), Some(Arc::new(grants)))
            .expect("the way to Microsoft");
        let collector = Collector {
            store: Arc::clone(&store),
            microsoft: Arc::new(microsoft),
            apps: Apps::load_what_can_be_had(&settings, &store, &troubles).await.expect("the store answers"),
            router: Router::new(settings.routes.clone()),
            settings: settings.collect.clone(),
            hunts: settings.hunts.clone(),
            streams: wiring::streams(&settings, &dyn_clock),
            clock: Arc::clone(&dyn_clock),
            instance,
            accepted: Arc::clone(&accepted),
            news: News::default(),
            pace: Pace::default(),
            told: Arc::default(),
            swept: Swept::default(),
            skews: Skews::default(),
            bound: settings.store.bound(),
        };
        let keeper = Keeper::of(&settings, &store, &dyn_clock);
        let settings = Arc::new(settings);
        let deliverer = |name: &String| Deliverer {
            store: Arc::clone(&store),
            name: name.clone(),
            sink: wiring::sink_handle(&settings, name, &store, (&dyn_clock, &troubles)),
            router: Router::new(settings.routes.clone()),
            clock: Arc::clone(&dyn_clock),
            instance,
            accepted: Arc::clone(&accepted),
            told: Arc::default(),
            kept: Notify::new(),
            breaker: Breaker::new(1),
            asked: std::sync::Mutex::default(),
        };
        let deliverers = settings.sinks.keys().map(deliverer).collect();
        Self { store, clock, collector, deliverers, troubles, keeper }
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Polls all that is due.
    pub(crate) async fn collect(&self) -> u32 {
        self.collector.collect_due().await.expect("the store answers")
    }

    /// Holds the journal within its bounds, once.
    pub(crate) async fn hold(&self) -> Held {
        let mut held = Held::default();
        self.keeper.hold(&mut held).await.expect("the store answers");
        held
    }

    /// Delivers all that is due, and asks for acknowledgements while there are any.
    pub(crate) async fn deliver(&self) {
        for deliverer in &self.deliverers {
            loop {
                while deliverer.step().await.expect("the store answers") != StepOutcome::Idle {}
                let asked = deliverer.ask(&CancellationToken::new()).await.expect("the store answers");
                if !matches!(asked, AskOutcome::Settled(_)) {
                    break;
                }
            }
        }
    }

    /// Polls and delivers, with time passing, until nothing fails any more or the rounds are over.
    pub(crate) async fn rounds(&self, rounds: u32) {
        for _ in 0..rounds {
            self.collect().await;
            self.deliver().await;
            self.pass(90);
        }
    }

    /// What is wrong with a source, if anything.
    pub(crate) async fn errors(&self) -> Vec<String> {
        let states = self.store.source_states().await.expect("the store answers");
        states.into_iter().filter_map(|state| state.last_error).collect()
    }

    /// What is wrong with the sources of this name.
    pub(crate) async fn errors_of(&self, source: Source) -> Vec<String> {
        let states = self.store.source_states().await.expect("the store answers");
        let own = states.into_iter().filter(|state| state.source == source);
        own.filter_map(|state| state.last_error).collect()
    }

    /// Why the dead letters are dead.
    pub(crate) async fn dead_letters(&self) -> Vec<String> {
        let letters = self.store.dead_letters(None, 1_000).await.expect("the store answers");
        letters.into_iter().map(|letter| letter.reason).collect()
    }
}

fn now() -> Timestamp {
    muster_model::SystemClock.now()
}
