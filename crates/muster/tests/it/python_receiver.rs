//! Receivers written in Python around libraries that nobody here wrote, and what they have taken against what was produced.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use muster_emulator::receivers::ReceiverTally;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::support::{Setup, eventually};

#[expect(
    clippy::disallowed_methods,
    reason = "what must be there, and where, is the machine's affair, not the settings'"
)]
fn environment(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

/// Python with these modules; none where they are not installed, which the test says, or which fails it.
pub(crate) async fn python(modules: &str) -> Option<PathBuf> {
    let peers = environment("MUSTER_PEERS").map(PathBuf::from).unwrap_or_else(|| {
        let test = std::env::current_exe().expect("the test's own path");
        test.ancestors().nth(3).expect("the target folder").join("peers")
    });
    let python = peers.join("python/bin/python");
    let found = Command::new(&python).args(["-c", &format!("import {modules}")]).output().await;
    if found.is_ok_and(|found| found.status.success()) {
        return Some(python);
    }
    let missing = format!("{modules} for Python is not installed; .ci/install-peers installs it");
    assert!(environment("MUSTER_REQUIRE_PEERS").is_none_or(|value| value != "1"), "{missing}");
    println!("skipped: {missing}");
    None
}

/// A receiver's script and the folder that it works in, where `mode` says how it behaves.
pub(crate) struct Receiver {
    pub(crate) python: PathBuf,
    pub(crate) script: &'static str,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) sink: &'static str,
}

/// What a receiver has, and what the store says of it.
pub(crate) struct Told {
    pub(crate) tally: ReceiverTally,
    pub(crate) letters: u64,
    pub(crate) delivered: u64,
}

impl Told {
    /// The different versions that arrived.
    pub(crate) fn versions(&self) -> u64 {
        self.tally.received - self.tally.doubled
    }
}

impl Receiver {
    pub(crate) fn new(python: PathBuf, script: &'static str, sink: &'static str) -> Self {
        let receiver = Self { python, script, folder: tempfile::tempdir().expect("a folder"), sink };
        receiver.mode("ok");
        receiver
    }

    /// Starts it on this port, or a free one, with the secret that it wants to see.
    pub(crate) async fn serve(&self, port: u16, secret: &str) -> (Child, u16) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(self.script);
        let mut server = Command::new(&self.python)
            .arg(script)
            .args([&port.to_string(), self.folder.path().to_str().expect("UTF-8"), secret])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(server.stdout.take().expect("its output"));
        stdout.read_line(&mut line).await.expect("it says where it is");
        (server, line.trim().parse().expect("a port"))
    }

    pub(crate) fn mode(&self, mode: &str) {
        // In one step: it is read meanwhile.
        let path = |name| self.folder.path().join(name);
        std::fs::write(path("mode.new"), mode).expect("written");
        std::fs::rename(path("mode.new"), path("mode")).expect("renamed");
    }

    /// The lines of a file that it writes.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) async fn told(&self, setup: &Setup) -> Told {
        let tally = setup.emulator.tally_file(&self.folder.path().join("taken.ndjson")).unwrap_or_default();
        let store = setup.store().await;
        let totals = store.sink_totals().await.expect("the store answers");
        let delivered = totals.iter().find(|sink| sink.sink == self.sink).map_or(0, |sink| sink.delivered);
        let letters = store.dead_letters(None, 10_000).await.expect("the store answers");
        let own = format!("\"{}\"", self.sink);
        let letters = letters.iter().filter(|letter| format!("{:?}", letter.origin).contains(&own)).count();
        store.close().await;
        Told { tally, letters: letters as u64, delivered }
    }

    /// Prints a row of the matrix, and checks what must be so whatever happened.
    pub(crate) async fn row(&self, setup: &Setup, kind: &str, trouble: &str) -> Told {
        let told = self.told(setup).await;
        let Told { tally, letters, .. } = &told;
        let lost = tally.lost.saturating_sub(*letters);
        println!(
            "matrix: {kind} × {trouble}: lost {lost}, doubled {}, dead letters {letters}",
            tally.doubled
        );
        assert_eq!((lost, tally.unknown, tally.unreadable), (0, 0, 0), "{tally:?}");
        told
    }

    /// Kills `muster run` six times under load, lets it end its work, and prints how that went: what comes twice was not known
    /// to be delivered when Muster was killed.
    pub(crate) async fn through_kills(&self, setup: &Setup, kind: &str) -> Told {
        be_impatient(setup);
        let came = || self.lines("taken.ndjson").len();
        let mut unsettled = 0;
        for _ in 0..6 {
            let mut muster = setup.run();
            let before = came();
            eventually("it has sent something, or has done all", async || {
                came() > before || setup.lost() == 0
            })
            .await;
            muster.kill().await.expect("killed");
            let told = self.told(setup).await;
            unsettled += told.versions().saturating_sub(told.delivered);
            for tenant in setup.emulator.tenants() {
                setup.emulator.add_alerts(&tenant.id, 10, None).expect("new alerts");
            }
        }
        let mut muster = setup.run();
        all_delivered(setup).await;
        muster.kill().await.expect("killed");
        let told = self.row(setup, kind, "kill -9 under load, six times").await;
        assert_eq!(
            (told.versions(), told.letters),
            (told.delivered, 0),
            "what is delivered is there, and no more"
        );
        assert!(told.tally.doubled <= unsettled, "{} doubled, {unsettled} unsettled", told.tally.doubled);
        told
    }

    /// Refuses one record in twenty-five until some are buried. Each is judged when something else has been taken, so there is
    /// always something new.
    pub(crate) async fn poison(&self, setup: &Setup) {
        self.mode("poison");
        for tenant in setup.emulator.tenants() {
            setup.emulator.add_alerts(&tenant.id, 30, None).expect("new alerts");
        }
        eventually("something is buried", async || {
            setup.emulator.add_alerts(&setup.emulator.tenants()[1].id, 1, None).expect("a new alert");
            self.told(setup).await.letters > 0
        })
        .await;
        self.mode("ok");
        all_delivered(setup).await;
    }

    /// Waits until `muster status` would say so of this sink, for which there is something new.
    pub(crate) async fn says(&self, setup: &Setup, words: &str) {
        setup.emulator.add_alerts(&setup.emulator.tenants()[0].id, 5, None).expect("new alerts");
        let store = setup.store().await;
        eventually(words, async || {
            let totals = store.sink_totals().await.expect("the store answers");
            let own = totals.into_iter().find(|sink| sink.sink == self.sink);
            own.is_some_and(|sink| sink.last_error.is_some_and(|why| why.contains(words)))
        })
        .await;
        store.close().await;
    }
}

/// What Splunk confirmed in a process that was killed then is waited for a short while only.
pub(crate) fn be_impatient(setup: &Setup) {
    let path = setup.settings_path();
    let text = std::fs::read_to_string(&path).expect("the settings");
    let text = text.replacen("[sinks.splunk]", "[sinks.splunk]\nack_timeout = \"4s\"", 1);
    std::fs::write(&path, text).expect("written");
}

/// Waits until no sink is owed anything.
pub(crate) async fn all_delivered(setup: &Setup) {
    let store = setup.store().await;
    eventually("all that was produced arrives", async || {
        let totals = store.sink_totals().await.expect("the store answers");
        setup.lost() == 0 && totals.iter().all(|sink| sink.owed == 0)
    })
    .await;
    store.close().await;
}
