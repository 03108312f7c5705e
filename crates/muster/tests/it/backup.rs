//! Whatever is put back, from whenever: nothing is lost, and what came twice is told. The real program, real files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_emulator::Config;
use muster_model::{Clock, SystemClock};
use rustix::process::Signal;
use serde_json::Value;
use tokio::process::Child;

use crate::support::{Bench, Setup, config, eventually, signal};

/// How the store is copied.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Take {
    /// `muster backup`, while it runs.
    Backup,
    /// `cp`, while it is stopped.
    Stopped,
    /// As a file system's snapshot shows it: database and WAL of one instant.
    Snapshot,
    /// The same without the WAL.
    WithoutWal,
    /// Everything of one instant: store, lock file, sinks' files.
    Everything,
}

/// Which of the file sink's files lie beside the store that was put back.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Files {
    /// Those that went on.
    Newer,
    /// Those from when the copy was taken.
    Older,
    /// The data from when the copy was taken, the ledger that went on.
    OlderData,
    /// The ledger from when the copy was taken, the data that went on.
    OlderLedger,
}

/// Whether the store is put back, too.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Store {
    /// By `muster restore`.
    Restored,
    /// By `cp`; whatever a killed process left lies beside it still.
    Copied,
    /// It stays as it is.
    Left,
}

const SINK_FILES: [&str; 3] = ["archive.ndjson", "archive.ndjson.ledger", "archive.ndjson.lock"];

async fn setup() -> Setup {
    let emulator = Config {
        tenants: 3,
        alerts: Some(160),
        rate: Some(60.0),
        update_share: Some(0.2),
        update_after: (Duration::from_millis(100), Duration::from_secs(1)),
        ..config()
    };
    Setup::start(emulator, "[collect]\npoll_interval = \"100ms\"\nrequests_per_minute = 100000\n").await
}

/// Tells a process to stop that runs, and has said so.
async fn stop(mut child: Child) {
    signal(&child, Signal::TERM);
    assert!(child.wait().await.expect("it ends").success());
}

fn file_lines(setup: &Setup) -> usize {
    let text = std::fs::read(setup.path().join("archive.ndjson")).unwrap_or_default();
    text.iter().filter(|byte| **byte == b'\n').count()
}

/// The marks of the store that is at work: one, or two while it is being renewed.
fn marks(setup: &Setup) -> Vec<String> {
    let text = std::fs::read_to_string(setup.path().join("muster.db.lock")).unwrap_or_default();
    text.split_whitespace().filter(|word| !word.contains('=')).map(str::to_owned).collect()
}

/// Waits until so many lines are in the file. On a slow machine all may have been produced before: then more is.
async fn lines(setup: &Setup, count: usize) {
    let tenant = setup.emulator.tenants()[0].id.clone();
    eventually("the file grows", async || {
        if setup.emulator.production_finished() && setup.lost() == 0 {
            setup.emulator.add_alerts(&tenant, 10, None).expect("added");
        }
        file_lines(setup) >= count
    })
    .await;
}

fn copy(from: &Path, to: &Path) {
    if from.exists() {
        std::fs::copy(from, to).expect("copied");
    }
}

/// Puts a file back as programs do that unpack archives: as another file.
fn put_back(from: &Path, to: &Path) {
    drop(std::fs::remove_file(to));
    copy(from, to);
}

async fn take(setup: &Setup, running: Child, how: Take) -> (PathBuf, Child) {
    let folder = setup.path().join("copies");
    std::fs::create_dir(&folder).expect("a folder");
    let to = folder.join("muster.db");
    let here = |name: &str| setup.path().join(name);
    let mut running = running;
    match how {
        Take::Backup => {
            let made = setup.muster(&["--output", "json", "backup", to.to_str().expect("UTF-8")]).await;
            assert!(made.status.success(), "{made:?}");
            let told: Value = serde_json::from_slice(&made.stdout).expect("JSON");
            assert_eq!(told["tenants"], 3, "{told}");
        }
        Take::Stopped => {
            stop(running).await;
            copy(&here("muster.db"), &to);
            assert!(!here("muster.db-wal").exists(), "a stopped process leaves one file");
            running = setup.run();
        }
        Take::Snapshot | Take::WithoutWal | Take::Everything => {
            signal(&running, Signal::STOP);
            tokio::time::sleep(Duration::from_millis(50)).await;
            copy(&here("muster.db"), &to);
            if how != Take::WithoutWal {
                copy(&here("muster.db-wal"), &folder.join("muster.db-wal"));
            }
            if how == Take::Everything {
                copy(&here("muster.db.lock"), &folder.join("muster.db.lock"));
            }
            for name in SINK_FILES {
                copy(&here(name), &folder.join(name));
            }
            signal(&running, Signal::CONT);
            return (to, running);
        }
    }
    // Not of one instant: what copies programs make of files that are written.
    for name in SINK_FILES {
        copy(&here(name), &folder.join(name));
    }
    (to, running)
}

async fn put(setup: &Setup, copied: &Path, how: Take, store: Store, files: Files) {
    let here = |name: &str| setup.path().join(name);
    let folder = copied.parent().expect("a folder");
    let older: &[&str] = match files {
        Files::Newer => &[],
        Files::Older => &SINK_FILES,
        Files::OlderData => &SINK_FILES[..1],
        Files::OlderLedger => &SINK_FILES[1..2],
    };
    for name in older {
        put_back(&folder.join(name), &here(name));
    }
    match store {
        Store::Left => {}
        Store::Restored => {
            let done = setup.muster(&["restore", copied.to_str().expect("UTF-8")]).await;
            let told = String::from_utf8_lossy(&done.stdout).into_owned();
            assert!(done.status.success(), "{done:?}");
            assert!(told.contains("Nothing is lost") && told.contains(".before-"), "{told}");
        }
        Store::Copied => {
            if matches!(how, Take::Snapshot | Take::Everything) {
                drop(std::fs::remove_file(here("muster.db-shm")));
                drop(std::fs::remove_file(here("muster.db-wal")));
                put_back(&folder.join("muster.db-wal"), &here("muster.db-wal"));
            }
            put_back(copied, &here("muster.db"));
            if how == Take::Everything {
                put_back(&folder.join("muster.db.lock"), &here("muster.db.lock"));
            }
        }
    }
}

async fn status(setup: &Setup) -> Value {
    let status = setup.muster(&["--output", "json", "status"]).await;
    assert!(status.status.success(), "{status:?}");
    serde_json::from_slice(&status.stdout).expect("JSON")
}

/// Runs until everything that is produced has arrived everywhere; holds what came twice against what was told. A store that
/// was put back as often as `times` says knows of the last time only, and what may have come again came each time.
async fn nothing_is_lost_and_doubles_are_told(setup: &Setup, case: &str, store: Store, times: u64) {
    let running = setup.run();
    eventually(&format!("all arrives: {case}"), async || {
        // The tally reads the whole file.
        tokio::time::sleep(Duration::from_millis(200)).await;
        setup.emulator.production_finished() && setup.lost() == 0
    })
    .await;
    stop(running).await;
    let told = status(setup).await;
    let tallies = setup.tallies();
    let doubled = tallies.each_ref().map(|tally| tally.doubled);
    let latest = &told["put_back"][0];
    let may_be = latest["owed"].as_u64().unwrap_or_default() + latest["again"].as_u64().unwrap_or_default();
    println!("{case}: doubled {doubled:?} (Splunk, ArcSight, file); told: up to {may_be} each, {latest}");
    for tally in &tallies {
        assert_eq!((tally.lost, tally.unknown, tally.unreadable), (0, 0, 0), "{case}: {tally:?}");
    }
    if store == Store::Left {
        assert_eq!(doubled[..2], [0, 0], "{case}: other sinks have nothing to do with it");
        let log = std::fs::read_to_string(setup.path().join("muster.log")).expect("a log");
        assert!(doubled[2] == 0 || log.contains("may be there twice"), "{case}");
        return;
    }
    assert!(latest["reason"].is_string(), "{case}: it was noticed");
    assert!(doubled.iter().all(|doubled| *doubled <= may_be * times), "{case}: {doubled:?} of {may_be}");
    let audit = setup.muster(&["--output", "json", "audit", "list"]).await;
    assert!(String::from_utf8_lossy(&audit.stdout).contains("store.put_back"), "{case}");
}

async fn case(how: Take, store: Store, files: Files) {
    let setup = setup().await;
    let case = format!("taken by {how:?}, {store:?}, files {files:?}");
    let running = setup.run();
    lines(&setup, 40).await;
    let (copied, mut running) = take(&setup, running, how).await;
    // The copy has one of these marks.
    let (then, copied_marks) = (file_lines(&setup), marks(&setup));
    lines(&setup, then + 50).await;
    eventually("the store is marked anew", async || {
        let marks = marks(&setup);
        !marks.is_empty() && marks.iter().all(|mark| !copied_marks.contains(mark))
    })
    .await;
    match store {
        // Only the files are another's: what a kill does to other sinks is no matter of theirs.
        Store::Left => stop(running).await,
        Store::Restored | Store::Copied => running.kill().await.expect("killed"),
    }
    put(&setup, &copied, how, store, files).await;
    nothing_is_lost_and_doubles_are_told(&setup, &case, store, 1).await;
}

macro_rules! matrix {
    ($($name:ident: $take:ident, $store:ident, $files:ident;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            case(Take::$take, Store::$store, Files::$files).await;
        })*
    };
}

matrix! {
    by_backup_files_went_on: Backup, Restored, Newer;
    by_backup_with_its_files: Backup, Restored, Older;
    by_backup_put_back_by_hand_over_a_killed_process: Backup, Copied, Newer;
    by_cp_while_stopped_files_went_on: Stopped, Copied, Newer;
    by_cp_while_stopped_with_its_data: Stopped, Restored, OlderData;
    by_snapshot_files_went_on: Snapshot, Copied, Newer;
    by_snapshot_with_its_files: Snapshot, Restored, Older;
    by_snapshot_with_its_ledger: Snapshot, Copied, OlderLedger;
    by_snapshot_without_the_wal_files_went_on: WithoutWal, Restored, Newer;
    by_snapshot_without_the_wal_with_its_files: WithoutWal, Restored, Older;
    everything_of_one_instant: Everything, Copied, Older;
    everything_but_the_data: Everything, Copied, OlderLedger;
    files_alone: Snapshot, Left, Older;
    the_data_alone: Snapshot, Left, OlderData;
    the_ledger_alone: Snapshot, Left, OlderLedger;
}

/// A copy that is three days old, put back twice, beside files that went on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_days_and_once_more() {
    let setup = setup().await;
    let days_ago = SystemClock.now() - jiff::SignedDuration::from_hours(72);
    let bench = Bench::at(&setup, days_ago).await;
    bench.rounds(2).await;
    bench.store.close().await;
    drop(bench);
    let running = setup.run();
    lines(&setup, 60).await;
    eventually("it runs", async || {
        let log = std::fs::read_to_string(setup.path().join("muster.log")).unwrap_or_default();
        log.contains("running")
    })
    .await;
    stop(running).await;
    let copied = setup.path().join("days-old.db");
    copy(&setup.path().join("muster.db"), &copied);
    for round in ["first", "second"] {
        let mut running = setup.run();
        let then = file_lines(&setup);
        lines(&setup, then + 20).await;
        running.kill().await.expect("killed");
        let done = setup.muster(&["restore", copied.to_str().expect("UTF-8")]).await;
        assert!(done.status.success(), "{round}: {done:?}");
    }
    nothing_is_lost_and_doubles_are_told(&setup, "after days, twice", Store::Restored, 2).await;
}

/// What `restore` refuses, and what it says is undone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restore_refuses_what_would_harm_and_says_what_it_undoes() {
    let setup = setup().await;
    let path = |name: &str| setup.path().join(name).to_str().expect("UTF-8").to_owned();
    let made = setup.muster(&["backup", &path("copy.db")]).await;
    let told = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(
        made.status.success() && told.contains("The master key") && told.contains("is not in it"),
        "{told}"
    );
    let again = setup.muster(&["backup", &path("copy.db")]).await;
    assert_eq!(again.status.code(), Some(4), "{again:?}");
    let removed =
        setup.muster(&["tenant", "add", "0b1c2d3e-4f50-4a61-8b72-93a4b5c6d7e8", "--name", "Late"]).await;
    let is_added = removed.status.success();
    let running = setup.run();
    lines(&setup, 5).await;
    let refused = setup.muster(&["restore", &path("copy.db")]).await;
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(4) && told.contains("stop it first"), "{told}");
    stop(running).await;
    for (name, content, what) in [
        ("text.db", b"no database".to_vec(), "not a Muster database"),
        ("torn.db", std::fs::read(path("copy.db")).expect("read")[..20_000].to_vec(), "damaged"),
    ] {
        std::fs::write(path(name), content).expect("written");
        let refused = setup.muster(&["restore", &path(name)]).await;
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(4) && told.contains(what) && told.contains(name), "{told}");
    }
    let done = setup.muster(&["restore", &path("copy.db")]).await;
    let told = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{done:?}");
    assert!(!is_added || told.contains("tenant.added"), "{told}");
}
