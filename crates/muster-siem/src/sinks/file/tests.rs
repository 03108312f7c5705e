use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_model::{ByteSize, Delivery, Lineage, ManualClock, Span};
use proptest::prelude::*;
use serde_json::json;

use super::disk::DiskFault;
use super::open_file::LEDGER_BYTES_MAX;
use super::site::ledger_path;
use super::*;
use crate::sinks::suite::{self, Behaviour, Harness};
use crate::sinks::testing::{
    check_page, delivery, delivery_batch, nothing_forks, output, settings, surroundings, tenant,
};
use crate::sinks::{FormatName, Sink};

/// The lock of a file. The thread that wrote for a sink before may hold it for an instant after the sink is gone.
fn free(path: &Path) -> File {
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(lock) = lock(path).expect("a lock file") {
            return lock;
        }
        assert!(tokio::time::Instant::now() < until, "somebody else holds it");
        std::thread::yield_now();
    }
}

struct Place {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

impl Place {
    fn new() -> Self {
        let start = "2026-01-02T03:04:05Z".parse().expect("a time");
        Self { folder: tempfile::tempdir().expect("a folder"), clock: Arc::new(ManualClock::new(start)) }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("alerts.ndjson")
    }

    fn settings(&self) -> FileSettings {
        settings(json!({ "path": self.path() }))
    }

    fn open(&self) -> FileSink {
        drop(free(&self.path()));
        self.open_as(self.settings()).expect("opened")
    }

    fn open_as(&self, settings: FileSettings) -> Result<FileSink, SinkError> {
        let around = Surroundings { clock: self.clock.clone(), ..surroundings() };
        let _calm = nothing_forks();
        FileSink::build("archive", settings, &around)
    }

    fn open_to_fail(&self, settings: FileSettings, fault: DiskFault) -> Result<FileSink, SinkError> {
        let _calm = nothing_forks();
        let mut disk = Disk::new(free(&settings.path));
        disk.fault = Some(fault);
        let encoding = settings.encoding().expect("an encoding");
        let (path, clock) = (self.path(), self.clock.clone());
        let site = FileSite { path, settings, sink: "archive".to_owned(), clock };
        FileSink::open_on("archive".to_owned(), site, encoding, disk)
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.path()).expect("the file")
    }

    /// The names of all rotated files, oldest first.
    fn rotated(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).expect("the folder");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
            .filter(|name| name.starts_with("alerts-"))
            .collect();
        names.sort();
        names
    }

    /// Every line, of the oldest file first.
    fn lines(&self) -> Vec<String> {
        let mut text = String::new();
        for name in self.rotated() {
            text.push_str(&std::fs::read_to_string(self.folder.path().join(name)).expect("a file"));
        }
        if self.path().exists() {
            text.push_str(&self.text());
        }
        assert!(text.is_empty() || text.ends_with('\n'), "no torn line: {text:?}");
        text.lines().map(ToOwned::to_owned).collect()
    }
}

async fn deliver(sink: &FileSink, of: u128, number: u64, bodies: &[&str]) -> Report {
    sink.deliver(delivery_batch(&tenant(of), &[delivery(number, bodies)])).await
}

fn all_delivered(report: &Report) {
    assert!(report.outcomes.iter().all(|outcome| *outcome == Outcome::Delivered), "{report:?}");
    assert_eq!(report.trouble, None);
}

fn is_retry(report: &Report, words: &str) {
    assert!(report.outcomes.iter().all(|outcome| *outcome == Outcome::Retry), "{report:?}");
    let reason = &report.trouble.as_ref().expect("a trouble").reason;
    assert!(reason.starts_with("sink `archive`: ") && reason.contains(words), "{reason}");
}

#[tokio::test]
async fn a_repetition_is_answered_and_not_written() {
    let place = Place::new();
    let sink = place.open();
    all_delivered(&deliver(&sink, 0, 0, &["0"]).await);
    all_delivered(&deliver(&sink, 0, 1, &["1", "2"]).await);
    all_delivered(&deliver(&sink, 0, 1, &["1", "2"]).await);
    all_delivered(&deliver(&sink, 1, 1, &["3"]).await);
    drop(sink);
    let sink = place.open();
    all_delivered(&deliver(&sink, 0, 1, &["1", "2"]).await);
    let both = [delivery(1, &["1", "2"]), delivery(2, &["4"])];
    all_delivered(&sink.deliver(delivery_batch(&tenant(0), &both)).await);
    assert_eq!(place.text(), "0\n1\n2\n3\n4\n");
    let sink = Sink::File(sink);
    assert!(sink.test().await.expect("usable").contains("is open, 10 bytes long"));
    sink.close().await;
    is_retry(
        &sink.deliver_and_wait(delivery_batch(&tenant(0), &[delivery(3, &["5"])])).await,
        "it is closed",
    );
    let Sink::File(sink) = sink else { unreachable!() };
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(place.path()).expect("the file").permissions().mode() & 0o137, 0);
    drop(sink);
}

fn in_lineage(lineage: u128, number: u64, bodies: &[&str]) -> Delivery {
    Delivery { lineage: Lineage(uuid::Uuid::from_u128(lineage)), ..delivery(number, bodies) }
}

async fn deliver_in(sink: &FileSink, lineage: u128, number: u64, bodies: &[&str]) -> Report {
    sink.deliver(delivery_batch(&tenant(0), &[in_lineage(lineage, number, bodies)])).await
}

/// A store that was put back gives its numbers again, in another lineage; and one that is put back once more may owe what
/// the first lineage numbered.
#[tokio::test]
async fn a_number_of_another_lineage_is_another_delivery() {
    let place = Place::new();
    all_delivered(&deliver_in(&place.open(), 1, 5, &["a"]).await);
    all_delivered(&deliver_in(&place.open(), 1, 5, &["a"]).await);
    all_delivered(&deliver_in(&place.open(), 2, 1, &["b"]).await);
    all_delivered(&deliver_in(&place.open(), 2, 1, &["b"]).await);
    let sink = place.open();
    all_delivered(&deliver_in(&sink, 2, 5, &["c"]).await);
    all_delivered(&deliver_in(&sink, 1, 5, &["a"]).await);
    all_delivered(&deliver_in(&sink, 1, 6, &["d"]).await);
    assert_eq!(place.text(), "a\nb\nc\nd\n");
}

/// Copies of the file and of its ledger, from one moment.
fn copies(place: &Place) -> (Vec<u8>, Vec<u8>) {
    let read = |path: &std::path::Path| std::fs::read(path).expect("a copy");
    (read(&place.path()), read(&ledger_path(&place.path())))
}

fn highest(memory: &SinkMemory) -> Vec<u64> {
    memory.lineages.values().flat_map(|claims| claims.values().copied()).collect()
}

/// Whatever was put back, the files never claim what is not in them, and nothing that is in them is cut off.
#[tokio::test]
async fn files_put_back_from_another_time_claim_only_what_is_in_them() {
    let place = Place::new();
    let sink = place.open();
    all_delivered(&deliver(&sink, 0, 1, &["1"]).await);
    all_delivered(&deliver(&sink, 0, 2, &["2"]).await);
    let (data, ledger) = copies(&place);
    all_delivered(&deliver(&sink, 0, 3, &["3"]).await);
    all_delivered(&deliver(&sink, 0, 4, &["4"]).await);
    let id = sink.memory().await.expect("open").id;
    drop(sink);
    let (newer_data, newer_ledger) = copies(&place);
    let put = |data: &[u8], ledger: &[u8]| {
        std::fs::write(place.path(), data).expect("put back");
        std::fs::write(ledger_path(&place.path()), ledger).expect("put back");
    };
    // Both older: they say so.
    put(&data, &ledger);
    let sink = place.open();
    let memory = sink.memory().await.expect("open");
    assert_eq!((memory.id, highest(&memory)), (id, vec![2]));
    drop(sink);
    // The data alone is older: its ledger goes back with it.
    put(&data, &newer_ledger);
    let sink = place.open();
    assert_eq!(highest(&sink.memory().await.expect("open")), [2]);
    all_delivered(&deliver(&sink, 0, 3, &["3"]).await);
    assert_eq!(place.text(), "1\n2\n3\n");
    drop(sink);
    // The ledger alone is older: what is in the data stays.
    put(&newer_data, &ledger);
    let sink = place.open();
    assert_eq!(highest(&sink.memory().await.expect("open")), [2]);
    all_delivered(&deliver(&sink, 0, 3, &["3"]).await);
    assert_eq!(place.text(), "1\n2\n3\n4\n3\n", "may be there twice, and is not missing");
    drop(sink);
    // The data is another: nothing is claimed.
    put(b"an older day\n", &newer_ledger);
    let sink = place.open();
    assert_eq!(highest(&sink.memory().await.expect("open")), Vec::<u64>::new());
    drop(sink);
    // The file was taken away by somebody: what was written had been there.
    put(&newer_data, &newer_ledger);
    std::fs::remove_file(place.path()).expect("deleted");
    let sink = place.open();
    assert_eq!(highest(&sink.memory().await.expect("open")), [4]);
}

/// Others write into the file, cut its ledger or take it away while it is open.
#[tokio::test]
async fn what_others_do_to_the_open_files_is_noticed() {
    let place = Place::new();
    let sink = place.open();
    all_delivered(&deliver(&sink, 0, 1, &["1"]).await);
    std::fs::write(place.path(), "1\ntheirs, unended").expect("written");
    all_delivered(&deliver(&sink, 0, 2, &["2"]).await);
    assert_eq!(place.text(), "1\ntheirs, unended\n2\n");
    let ledger = ledger_path(&place.path());
    File::options().write(true).open(&ledger).expect("the ledger").set_len(10).expect("cut");
    all_delivered(&deliver(&sink, 0, 3, &["3"]).await);
    std::fs::remove_file(&ledger).expect("deleted");
    all_delivered(&deliver(&sink, 0, 4, &["4"]).await);
    drop(sink);
    let sink = place.open();
    all_delivered(&deliver(&sink, 0, 4, &["4"]).await);
    assert_eq!(place.text(), "1\ntheirs, unended\n2\n3\n4\n");
}

/// Nothing is followed, waited for or written over that is not a file of ours.
#[tokio::test]
async fn links_pipes_and_folders_in_place_of_the_files_are_told() {
    let target = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(target.path(), "precious").expect("written");
    let link = |path: &std::path::Path| std::os::unix::fs::symlink(target.path(), path).expect("a link");
    let pipe = |path: &std::path::Path| {
        // Not by a program: one that starts holds the locks of other tests for an instant.
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).expect("a pipe");
    };
    let folder = |path: &std::path::Path| std::fs::create_dir(path).expect("a folder");
    let of = |suffix: &str, place: &Place| {
        let mut name = place.path().into_os_string();
        name.push(suffix);
        PathBuf::from(name)
    };
    for suffix in ["", ".ledger", ".lock"] {
        for (make, what) in
            [(&link as &dyn Fn(&std::path::Path), "is a link"), (&pipe, "is not a file"), (&folder, "")]
        {
            let place = Place::new();
            make(&of(suffix, &place));
            let refused = place.open_as(place.settings()).expect_err("refused").to_string();
            assert!(refused.contains(what) && refused.starts_with("sink `archive`: "), "{suffix}: {refused}");
            assert_eq!(std::fs::read_to_string(target.path()).expect("the file"), "precious");
        }
    }
    // While it is open, too.
    let place = Place::new();
    let sink = place.open();
    all_delivered(&deliver(&sink, 0, 1, &["1"]).await);
    std::fs::remove_file(place.path()).expect("deleted");
    link(&place.path());
    is_retry(&deliver(&sink, 0, 2, &["2"]).await, "is a link");
    std::fs::remove_file(place.path()).expect("deleted");
    all_delivered(&deliver(&sink, 0, 2, &["2"]).await);
    assert_eq!(
        (place.text(), std::fs::read_to_string(target.path()).expect("the file")),
        ("2\n".to_owned(), "precious".to_owned())
    );
}

#[tokio::test]
async fn what_cannot_be_encoded_is_rejected_alone() {
    let place = Place::new();
    let settings = FileSettings { format: FormatName::Cef, ..place.settings() };
    let sink = place.open_as(settings).expect("opened");
    let report = deliver(&sink, 0, 1, &["{\"id\":\"a\"}", "{\"id\":", "{\"id\":\"b\"}"]).await;
    assert!(matches!(&report.outcomes[1], Outcome::Rejected(_)), "{report:?}");
    assert_eq!((&report.outcomes[0], &report.outcomes[2]), (&Outcome::Delivered, &Outcome::Delivered));
    assert_eq!(place.lines().len(), 2);
}

#[tokio::test]
async fn deliveries_that_meet_share_a_commit() {
    let place = Place::new();
    let sink = place.open();
    let numbers: Vec<String> = (0..100).map(|number: u32| number.to_string()).collect();
    let deliveries = numbers.iter().enumerate().map(|(of, body)| {
        let sink = &sink;
        async move { deliver(sink, of as u128, 1, &[body]).await }
    });
    futures_util::future::join_all(deliveries).await.iter().for_each(all_delivered);
    let mut lines = place.lines();
    lines.sort_by_key(|line| line.parse::<u32>().expect("a number"));
    assert_eq!(lines, numbers);
    let ledger = std::fs::read_to_string(ledger_path(&place.path())).expect("the ledger");
    assert!(ledger.lines().count() < 50, "{} commits for 100 deliveries", ledger.lines().count());
}

#[tokio::test]
async fn rotation_by_size_and_age() {
    let place = Place::new();
    let settings = FileSettings {
        rotate_size: Some(ByteSize(10)),
        rotate_every: Some(Span(Duration::from_secs(60))),
        keep: Some(2),
        ..place.settings()
    };
    let sink = place.open_as(settings).expect("opened");
    all_delivered(&deliver(&sink, 0, 1, &["1111"]).await);
    all_delivered(&deliver(&sink, 0, 2, &["2222"]).await);
    assert_eq!(place.rotated(), Vec::<String>::new());
    all_delivered(&deliver(&sink, 0, 3, &["3"]).await);
    assert_eq!(place.rotated(), ["alerts-20260102T030405Z-001.ndjson"]);
    place.clock.advance(Duration::from_secs(59));
    all_delivered(&deliver(&sink, 0, 4, &["4"]).await);
    assert_eq!(place.text(), "3\n4\n");
    place.clock.advance(Duration::from_secs(1));
    all_delivered(&deliver(&sink, 0, 5, &["5"]).await);
    assert_eq!(place.text(), "5\n");
    all_delivered(&deliver(&sink, 0, 6, &["a line longer than a file may be"]).await);
    assert_eq!(
        place.rotated(),
        ["alerts-20260102T030505Z-001.ndjson", "alerts-20260102T030505Z-002.ndjson"],
        "the oldest is deleted"
    );
}

#[tokio::test]
async fn a_second_writer_is_refused() {
    let place = Place::new();
    let sink = place.open();
    let error = FileSink::build("second", place.settings(), &surroundings()).expect_err("in use");
    assert!(matches!(&error, SinkError::InUse { .. }));
    assert!(error.to_string().contains("is being written by another process"), "{error}");
    drop(sink);
    place.open();
}

#[test]
fn a_folder_that_is_not_there_is_told() {
    let settings = settings(json!({ "path": "alerts.ndjson" }));
    let error = FileSink::build("archive", settings, &surroundings()).expect_err("no folder").to_string();
    assert_eq!(error, "sink `archive`: the folder /nonexistent does not exist; create it");
}

#[tokio::test]
async fn a_full_disk_leaves_no_trace_and_is_told() {
    let place = Place::new();
    let sink = place.open();
    all_delivered(&deliver(&sink, 0, 1, &["1"]).await);
    // Each step of a commit: the bytes, their sync, the ledger's line, its sync.
    for budget in [0, 3, 6, 9, 30] {
        match &mut *sink.shared.file.lock().await {
            FileState::Open(file) => file.disk.fault = Some(DiskFault { budget, for_good: false }),
            FileState::Broken(_) | FileState::Closed => panic!("not open"),
        }
        is_retry(&deliver(&sink, 0, 2, &["22222"]).await, "alerts.ndjson: the disk is full");
        let text = place.text();
        assert_eq!(text, "1\n");
    }
    all_delivered(&deliver(&sink, 0, 2, &["22222"]).await);
    assert_eq!(place.text(), "1\n22222\n");
}

#[tokio::test]
async fn a_disk_that_stays_broken_is_tried_again() {
    let place = Place::new();
    let sink = place.open();
    let fail = |budget, for_good| Some(DiskFault { budget, for_good });
    if let FileState::Open(file) = &mut *sink.shared.file.lock().await {
        file.disk.fault = fail(3, true);
    }
    is_retry(&deliver(&sink, 0, 1, &["11111"]).await, "free some space");
    is_retry(&deliver(&sink, 0, 1, &["11111"]).await, "cannot be brought into order");
    if let FileState::Broken(disk) = &mut *sink.shared.file.lock().await {
        disk.fault = None;
    }
    all_delivered(&deliver(&sink, 0, 1, &["11111"]).await);
    assert_eq!(place.text(), "11111\n");
}

/// Runs `mount` or `umount`; whether that is allowed here.
fn mounts(arguments: &[&str]) -> bool {
    let program = if arguments.contains(&"-t") || arguments.contains(&"--bind") { "mount" } else { "umount" };
    let done = output(std::process::Command::new(program).args(arguments));
    done.is_ok_and(|done| done.status.success())
}

/// A mount that goes with the test.
struct Mounted(PathBuf);

impl Mounted {
    fn new(options: &str, at: &std::path::Path) -> Option<Self> {
        std::fs::create_dir_all(at).expect("a folder");
        let text = at.to_str().expect("UTF-8");
        let mounted = mounts(&["-t", "tmpfs", "-o", options, "tmpfs", text]);
        if !mounted {
            eprintln!(
                "SKIPPED: nothing can be mounted here, so real full, read-only and lost disks are not tried"
            );
        }
        mounted.then(|| Self(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        mounts(&["-l", self.0.to_str().expect("UTF-8")]);
    }
}

/// Real disks: full, without inodes, read-only, gone; each by its name, and all goes on by itself afterwards.
#[tokio::test]
async fn real_disks_in_trouble_are_told_by_name_and_waited_for() {
    let place = Place::new();
    let disk = place.folder.path().join("disk");
    let at = |name: &str| FileSettings { path: disk.join(name), ..place.settings() };
    let Some(mounted) = Mounted::new("size=256k,nr_inodes=12", &disk) else { return };
    let sink = place.open_as(at("a.ndjson")).expect("opened");
    all_delivered(&deliver(&sink, 0, 1, &["1"]).await);
    let filler = disk.join("filler");
    // Until nothing more fits.
    let filled = std::fs::write(&filler, vec![0; 1 << 20]);
    assert!(filled.is_err());
    let long = "x".repeat(10_000);
    is_retry(&deliver(&sink, 0, 2, &[&long]).await, "the disk is full");
    is_retry(&deliver(&sink, 0, 2, &[&long]).await, "the disk is full");
    std::fs::remove_file(&filler).expect("freed");
    all_delivered(&deliver(&sink, 0, 2, &[&long]).await);
    assert_eq!(std::fs::read_to_string(disk.join("a.ndjson")).expect("read"), format!("1\n{long}\n"));
    for number in 0.. {
        if File::create(disk.join(format!("small-{number}"))).is_err() {
            break;
        }
    }
    let refused = place.open_as(at("b.ndjson")).expect_err("no room for a file").to_string();
    assert!(refused.contains("no inodes left"), "{refused}");
    std::fs::remove_file(disk.join("small-0")).expect("freed");
    // The mount is lost: what lies under it is not written to.
    let shown = place.folder.path().join("shown");
    std::fs::create_dir(&shown).expect("a folder");
    let text = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    drop(sink);
    assert!(mounts(&["--bind", &text(&disk), &text(&shown)]));
    let there = Mounted(shown.clone());
    let sink =
        place.open_as(FileSettings { path: shown.join("a.ndjson"), ..place.settings() }).expect("opened");
    all_delivered(&deliver(&sink, 0, 3, &["3"]).await);
    drop(there);
    is_retry(&deliver(&sink, 0, 4, &["4"]).await, "is not mounted any more");
    assert_eq!(
        std::fs::read_dir(&shown).expect("a folder").count(),
        0,
        "nothing is made under the mount point"
    );
    assert!(mounts(&["--bind", &text(&disk), &text(&shown)]));
    let there = Mounted(shown.clone());
    all_delivered(&deliver(&sink, 0, 4, &["4"]).await);
    assert!(std::fs::read_to_string(disk.join("a.ndjson")).expect("read").ends_with("3\n4\n"));
    drop((sink, there, mounted));
    // Read-only from the start.
    let Some(mounted) = Mounted::new("ro", &disk) else { return };
    let refused = place.open_as(at("c.ndjson")).expect_err("read-only").to_string();
    assert!(refused.to_lowercase().contains("read-only"), "{refused}");
    drop(mounted);
    // A disk that fails is not a full one.
    let failing = io_error(rustix::io::Errno::IO);
    assert!(failing.contains("the disk fails") && !failing.contains("full"), "{failing}");
}

fn io_error(error: rustix::io::Errno) -> String {
    super::site::explain(std::path::Path::new("/alerts"), &error.into())
}

#[tokio::test]
async fn a_file_moved_cut_or_deleted_by_others_is_begun_anew() {
    let place = Place::new();
    let sink = place.open();
    all_delivered(&deliver(&sink, 0, 1, &["1"]).await);
    std::fs::rename(place.path(), place.folder.path().join("taken")).expect("moved");
    all_delivered(&deliver(&sink, 0, 2, &["2"]).await);
    assert_eq!(place.text(), "2\n");
    File::options().write(true).open(place.path()).expect("the file").set_len(0).expect("cut");
    all_delivered(&deliver(&sink, 0, 3, &["3"]).await);
    assert_eq!(place.text(), "3\n");
    drop(sink);

    std::fs::remove_file(place.path()).expect("deleted");
    let sink = place.open();
    all_delivered(&deliver(&sink, 0, 3, &["3"]).await);
    all_delivered(&deliver(&sink, 0, 4, &["44"]).await);
    assert_eq!(place.text(), "44\n");
    drop(sink);

    File::options().write(true).open(place.path()).expect("the file").set_len(1).expect("cut");
    all_delivered(&deliver(&place.open(), 0, 5, &["5"]).await);
    assert_eq!(place.text(), "4\n5\n");
}

#[tokio::test]
async fn a_file_of_somebody_else_is_kept() {
    let place = Place::new();
    std::fs::write(place.path(), "theirs").expect("written");
    all_delivered(&deliver(&place.open(), 0, 1, &["ours"]).await);
    all_delivered(&deliver(&place.open(), 0, 1, &["ours"]).await);
    assert_eq!(place.text(), "theirs\nours\n");
}

#[tokio::test]
async fn the_ledger_stays_small() {
    let place = Place::new();
    let sink = place.open();
    let ids: Vec<_> = (0..600_u128).collect();
    for round in 1..60 {
        let deliveries = ids.iter().map(|of| deliver(&sink, *of, round, &["x"]));
        futures_util::future::join_all(deliveries).await.iter().for_each(all_delivered);
    }
    let found = std::fs::metadata(ledger_path(&place.path())).expect("the ledger").len();
    assert!(found < LEDGER_BYTES_MAX + (100 << 10), "{found} bytes");
    drop(sink);
    place.open();
    assert!(std::fs::metadata(ledger_path(&place.path())).expect("the ledger").len() < 300 << 10);
}

/// What a random history does.
#[derive(Debug, Clone)]
struct Act {
    tenant: u128,
    records: usize,
    /// After how many steps and bytes the process is gone; not at all when it is large.
    budget: u64,
    /// Whether only one step fails instead, as on a full disk.
    survives: bool,
    rotates: bool,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = (0..3_u128, 0..4_usize, 0..400_u64, any::<bool>(), any::<bool>()).prop_map(
        |(tenant, records, budget, survives, rotates)| Act { tenant, records, budget, survives, rotates },
    );
    proptest::collection::vec(act, 1..25)
}

/// Runs a history: each act delivers the tenant's next batch to a sink that fails at the given point, and a delivery
/// that was not acknowledged comes again. In the end each record is there exactly once, in its tenant's order.
async fn run(acts: &[Act]) {
    let place = Place::new();
    let mut owed: HashMap<u128, (u64, Vec<String>)> = HashMap::new();
    let mut expected: HashMap<u128, Vec<String>> = HashMap::new();
    let mut open: Option<FileSink> = None;
    let mut latest = 0;
    let calm = Act { tenant: 0, records: 0, budget: u64::MAX, survives: true, rotates: false };
    let last = (0..3).map(|tenant| Act { tenant, ..calm.clone() });
    for act in acts.iter().cloned().chain(last) {
        let fault = DiskFault { budget: act.budget, for_good: !act.survives };
        let (number, bodies) = owed.remove(&act.tenant).unwrap_or_else(|| {
            latest += 1;
            let bodies = (0..act.records).map(|index| format!("{}.{latest}.{index}", act.tenant)).collect();
            (latest, bodies)
        });
        let rotate_size = act.rotates.then_some(ByteSize(30));
        let settings = FileSettings { rotate_size, ..place.settings() };
        let sink = match open.take() {
            Some(sink) if !act.rotates => {
                if let FileState::Open(file) = &mut *sink.shared.file.lock().await {
                    file.disk.fault = Some(fault);
                }
                Some(sink)
            }
            other => {
                drop(other);
                place.open_to_fail(settings, fault).ok()
            }
        };
        let mut acknowledged = false;
        if let Some(sink) = sink {
            let texts: Vec<&str> = bodies.iter().map(String::as_str).collect();
            let report = deliver(&sink, act.tenant, number, &texts).await;
            acknowledged = report.trouble.is_none();
            if act.survives {
                open = Some(sink);
            }
        }
        if acknowledged {
            expected.entry(act.tenant).or_default().extend(bodies);
        } else {
            owed.insert(act.tenant, (number, bodies));
        }
    }
    drop(open);
    assert!(owed.is_empty());
    drop(place.open());
    let lines = place.lines();
    for tenant in 0..3 {
        let theirs: Vec<_> =
            lines.iter().filter(|line| line.starts_with(&format!("{tenant}."))).cloned().collect();
        assert_eq!(theirs, expected.remove(&tenant).unwrap_or_default());
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn each_record_is_there_once_whatever_happened(acts in acts()) {
        runtime().block_on(run(&acts));
    }
}

/// Deliveries of several tenants that meet, cut short after each step and each byte: who was told that a record is there is right,
/// and what comes again is not there twice.
#[test]
fn every_point_at_which_deliveries_that_meet_can_be_cut_short() {
    let runtime = runtime();
    let line = |of: u128| format!("{of}.1");
    let deliver_to = async |sink: &FileSink| {
        let sending = (0..4).map(async |of| {
            let report = deliver(sink, of, 1, &[&line(of)]).await;
            report.trouble.is_none().then_some(of)
        });
        futures_util::future::join_all(sending).await.into_iter().flatten().collect::<Vec<u128>>()
    };
    for budget in 0..500 {
        runtime.block_on(async {
            let place = Place::new();
            let mut acknowledged = Vec::new();
            if let Ok(sink) = place.open_to_fail(place.settings(), DiskFault { budget, for_good: true }) {
                acknowledged = deliver_to(&sink).await;
            }
            let sink = place.open();
            let there = place.lines();
            assert!(acknowledged.iter().all(|of| there.contains(&line(*of))), "{acknowledged:?} {there:?}");
            assert_eq!(deliver_to(&sink).await.len(), 4);
            let mut there = place.lines();
            there.sort_unstable();
            assert_eq!(there, [line(0), line(1), line(2), line(3)]);
        });
    }
}

/// Every crash point of a history with a commit, a rotation and a recovery: after each step and each byte.
#[test]
fn every_point_at_which_it_can_be_cut_short() {
    let runtime = runtime();
    let act = |records, budget, rotates| Act { tenant: 0, records, budget, survives: false, rotates };
    for budget in 0..420 {
        runtime.block_on(run(&[
            act(3, u64::MAX, false),
            act(3, budget, true),
            act(0, budget / 2, true),
            act(2, u64::MAX, true),
        ]));
    }
}

impl Harness for Place {
    async fn sink(&mut self, behaviour: Behaviour, _timeout: Duration) -> Sink {
        let around = Surroundings { clock: self.clock.clone(), ..surroundings() };
        let sink = {
            let _calm = nothing_forks();
            FileSink::build("suite", self.settings(), &around).expect("opened")
        };
        if let FileState::Open(file) = &mut *sink.shared.file.lock().await {
            file.disk.fault = match behaviour {
                Behaviour::Down => Some(DiskFault { budget: 0, for_good: true }),
                // In the middle of the data.
                Behaviour::Cuts => Some(DiskFault { budget: 20, for_good: true }),
                _ => None,
            };
        }
        Sink::File(sink)
    }

    async fn taken(&self) -> Vec<String> {
        let id = |line: &String| {
            let record: serde_json::Value = serde_json::from_str(line).expect("a record");
            record["id"].as_str().expect("an id").to_owned()
        };
        self.lines().iter().map(id).collect()
    }

    fn impossible(behaviour: Behaviour) -> Option<&'static str> {
        match behaviour {
            Behaviour::Well | Behaviour::Down | Behaviour::Cuts => None,
            Behaviour::Slow => Some("a disk is waited for: there is no timeout"),
            Behaviour::RefusesOne => Some("a disk takes any bytes"),
            Behaviour::Nonsense => Some("a disk says only that it failed"),
        }
    }

    const TELLS_REPETITIONS: bool = true;
}

#[tokio::test]
async fn suite() {
    suite::run(async || Place::new()).await;
}

#[test]
fn the_page_names_only_keys_that_exist() {
    check_page::<FileSettings>("file");
}
