//! What the service manager hears of the real process: the tests play its socket.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram as Socket};
use std::time::Duration;

use muster_emulator::Config;
use rustix::process::Signal;
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

use crate::health::{free_port, let_write};
use crate::support::{Setup, ask, config, eventually, signal};

/// What `WatchdogSec=` of these services says.
const WATCHDOG: Duration = Duration::from_secs(2);

struct Manager {
    socket: UnixDatagram,
    name: String,
}

impl Manager {
    fn on_path(setup: &Setup) -> Self {
        let path = setup.path().join("notify");
        let name = path.to_str().expect("UTF-8").to_owned();
        Self { socket: UnixDatagram::bind(path).expect("a socket"), name }
    }

    fn abstract_one() -> Self {
        let name = format!("muster-test-{}", uuid::Uuid::new_v4());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).expect("a name");
        let socket = Socket::bind_addr(&address).expect("a socket");
        socket.set_nonblocking(true).expect("set");
        Self { socket: UnixDatagram::from_std(socket).expect("a socket"), name: format!("@{name}") }
    }

    /// Starts `muster run` as systemd does. The shell lets it meet a disk that cannot be written, in place of being killed.
    fn run(&self, setup: &Setup) -> Command {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(setup.path().join("muster.log"));
        let mut command = Command::new("sh");
        command
            .args(["-c", "trap '' XFSZ; exec \"$0\" --config \"$1\" run", env!("CARGO_BIN_EXE_muster")])
            .arg(setup.settings_path())
            .env("NOTIFY_SOCKET", &self.name)
            .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string())
            .stderr(log.expect("a log"))
            .kill_on_drop(true);
        command
    }

    /// The next message, within a minute.
    async fn next(&self) -> String {
        self.within(Duration::from_secs(60)).await.expect("a message within a minute")
    }

    async fn within(&self, time: Duration) -> Option<String> {
        let mut message = vec![0; 4_096];
        let length = timeout(time, self.socket.recv(&mut message)).await.ok()?.expect("a message");
        message.truncate(length);
        Some(String::from_utf8(message).expect("UTF-8"))
    }

    /// The next message with this line, and those before it.
    async fn until(&self, line: &str) -> (String, Vec<String>) {
        let mut before = Vec::new();
        loop {
            let message = self.next().await;
            if message.lines().any(|one| one == line) {
                return (message, before);
            }
            before.push(message);
        }
    }
}

fn status(message: &str) -> &str {
    let line = message.lines().find_map(|line| line.strip_prefix("STATUS="));
    line.unwrap_or_else(|| panic!("no status: {message}"))
}

async fn ended(mut child: Child) -> Option<i32> {
    timeout(Duration::from_secs(60), child.wait()).await.expect("it ends").expect("it ends").code()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_says_when_it_is_ready_alive_reloading_and_stopping() {
    let port = free_port();
    let server = format!("[server]\nlisten = \"127.0.0.1:{port}\"\n");
    let setup = Setup::start(Config { tenants: 2, alerts: Some(10), ..config() }, &server).await;
    let manager = Manager::on_path(&setup);
    let running = manager.run(&setup).spawn().expect("muster starts");

    let (ready, before) = manager.until("READY=1").await;
    assert_eq!(status(&ready), "running: 2 active tenants, 4 sources, 3 sinks");
    assert!(before.iter().all(|message| status(message).starts_with("opening the store")), "{before:?}");
    let readyz = format!("http://127.0.0.1:{port}/readyz");
    assert_eq!(ask("GET", &readyz, &[], "").await.0, 200, "who was told so finds it ready");

    let mut last = None;
    for _ in 0..5 {
        manager.until("WATCHDOG=1").await;
        let now = Instant::now();
        if let Some(last) = last.replace(now) {
            let pause = now.duration_since(last);
            assert!(pause < WATCHDOG && pause > WATCHDOG / 5, "half of what is asked for: {pause:?}");
        }
    }

    let monotonic = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
    };
    let asked = monotonic();
    signal(&running, Signal::HUP);
    let (reloading, _) = manager.until("RELOADING=1").await;
    let at = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    let at: i64 = at.and_then(|at| at.parse().ok()).expect("a time");
    assert!((asked..=monotonic()).contains(&at), "{reloading}");
    assert_eq!(status(&manager.until("READY=1").await.0), "running with the new settings");

    let settings = std::fs::read_to_string(setup.settings_path()).expect("read");
    std::fs::write(setup.settings_path(), format!("{settings}\n[nonsense]\n")).expect("written");
    signal(&running, Signal::HUP);
    manager.until("RELOADING=1").await;
    let said = manager.until("READY=1").await.0;
    assert!(status(&said).starts_with("running with the old settings"), "{said}");

    signal(&running, Signal::TERM);
    let (stopping, _) = manager.until("STOPPING=1").await;
    assert_eq!(status(&stopping), "finishing the work under way");
    assert_eq!(ended(running).await, Some(0));
    setup.assert_all_arrived_once();
}

/// Somebody holds the store, and the process cannot get on with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_store_stops_the_watchdog_and_one_that_is_well_again_does_not() {
    let setup = Setup::start(Config { tenants: 1, alerts: Some(5), ..config() }, "").await;
    let manager = Manager::abstract_one();
    let running = manager.run(&setup).spawn().expect("muster starts");
    manager.until("WATCHDOG=1").await;

    let holder = rusqlite::Connection::open(setup.path().join("muster.db")).expect("the store opens");
    holder.execute_batch("BEGIN IMMEDIATE").expect("it is held");
    let mut said = Vec::new();
    let until = Instant::now() + Duration::from_secs(120);
    while let Some(message) = manager.within(2 * WATCHDOG).await {
        assert!(Instant::now() < until, "the watchdog is fed on and on: {said:?}");
        said.push(message);
    }
    let last = said.last().expect("something is said");
    assert!(status(last).starts_with("does not go on: the store does not take the heartbeat"), "{last}");

    holder.execute_batch("ROLLBACK").expect("it is let go");
    manager.until("WATCHDOG=1").await;
    signal(&running, Signal::TERM);
    manager.until("STOPPING=1").await;
    assert_eq!(ended(running).await, Some(0));
}

/// A restart frees no space: it goes on by itself when the disk is well again, and says until then why it does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_is_told_and_the_watchdog_fed() {
    let setup = Setup::start(Config { tenants: 1, alerts: Some(5), ..config() }, "").await;
    let manager = Manager::abstract_one();
    let running = manager.run(&setup).spawn().expect("muster starts");
    manager.until("WATCHDOG=1").await;
    eventually("all has arrived", async || setup.lost() == 0).await;
    let_write(&running, false);
    let fails = Instant::now();
    let mut told = None;
    // Longer than a store may give no answer.
    while fails.elapsed() < Duration::from_secs(45) {
        let message = manager.within(WATCHDOG).await.expect("the watchdog is fed");
        if message.starts_with("STATUS=") {
            told = Some(message);
        }
    }
    let told = told.expect("it is told");
    assert!(status(&told).starts_with("not ready: the disk that holds the store fails"), "{told}");
    let_write(&running, true);
    manager.until("STATUS=running").await;
}

/// The variables belong to a process around it, whose watchdog must not be fed in its name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_watchdog_of_another_process_is_not_fed() {
    let setup = Setup::start(Config { tenants: 1, alerts: Some(5), ..config() }, "").await;
    let manager = Manager::abstract_one();
    let running = manager.run(&setup).env("WATCHDOG_PID", "1").spawn().expect("muster starts");
    manager.until("READY=1").await;
    signal(&running, Signal::HUP);
    manager.until("RELOADING=1").await;
    // By then it would have been fed, which comes right after the first.
    let (_, before) = manager.until("READY=1").await;
    assert!(!before.iter().any(|message| message.contains("WATCHDOG")), "{before:?}");
}

/// Nobody listens: it works all the same, and says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_nobody_listens_to_is_told_and_no_trouble() {
    let setup = Setup::start(Config { tenants: 1, alerts: Some(5), ..config() }, "").await;
    let log = setup.path().join("muster.log");
    for name in ["/nowhere/notify", "vsock:2:1234"] {
        let mut manager = Manager::abstract_one();
        name.clone_into(&mut manager.name);
        std::fs::remove_file(&log).ok();
        let running = manager.run(&setup).spawn().expect("muster starts");
        let said = async || std::fs::read_to_string(&log).unwrap_or_default();
        eventually("it is ready", async || said().await.contains("ready: Muster is running")).await;
        let said = said().await;
        assert!(said.contains("the service manager"), "{said}");
        signal(&running, Signal::TERM);
        assert_eq!(ended(running).await, Some(0));
    }
    eventually("all has arrived", async || setup.lost() == 0).await;
}
