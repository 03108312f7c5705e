//! Every sink through every trouble: one matrix, printed by the test run. Here are the sinks that need no program beside Muster;
//! the table in `docs/guarantees.md` names the test of every cell of the others.
//!
//! For each cell: how many records were lost, came twice, and became dead letters. Lost is what no sink has and no dead letter
//! holds.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use muster_emulator::receivers::ReceiverTally;
use muster_emulator::{Area, Config, Fault, FaultKind};
use muster_store::DeadLetterOrigin;

use crate::brokers::environment;
use crate::receiver::{Receiver, Speaks, Wrong};
use crate::support::{Bench, Setup, config, eventually};

/// What becomes of one sink in one trouble.
#[derive(Debug, Clone, Copy)]
enum Cell {
    Tried {
        lost: u64,
        doubled: u64,
        dead_letters: u64,
        /// What may have come twice.
        doubled_max: u64,
    },
    /// The sink cannot have the trouble: why, in a few words.
    CannotBe(&'static str),
    /// What it takes is not to be had here.
    NotTried,
}

/// The sinks, as the table shows them: their names in the settings, and how many there are of each.
const SINKS: [(&str, &str); 4] =
    [("splunk_hec", "splunk"), ("syslog (tls)", "arcsight"), ("syslog (relp)", "relp"), ("file", "archive")];

/// In the order of [`SINKS`].
type Cells = [Cell; 4];

const READS_NO_WORD: &str = "cannot be: no answers";
const A_DISK: &str = "cannot be: as down";
const NO_ANSWER: &str = "cannot be: answers at once";

/// What a trouble is for each sink; `Err`: why it cannot be.
struct Trouble {
    name: &'static str,
    hec: FaultKind,
    tls: Result<Tls, &'static str>,
    relp: Wrong,
    disk: Result<Disk, &'static str>,
}

enum Tls {
    Of(FaultKind),
    /// A receiver that asks for a certificate, and trusts another.
    Distrusts,
}

enum Disk {
    /// The mount is lost.
    Lost,
    /// It is full, but for a few kilobytes.
    Full,
    /// Nothing may be made in the folder.
    Forbidden,
}

/// An emulator, receivers that ask for a certificate, and a disk of its own, where one can be mounted.
struct World {
    setup: Setup,
    relp: Receiver,
    strict: Receiver,
    disk: Option<Mounts>,
}

impl World {
    async fn new(alerts: u64) -> Self {
        let setup = Setup::start(Config { tenants: 3, alerts: Some(alerts), ..config() }, "").await;
        let relp = Receiver::start(setup.path(), "relp", Speaks::Relp).await;
        let strict = Receiver::start(setup.path(), "strict", Speaks::Syslog).await;
        let disk = Mounts::new(setup.path());
        let mut settings = std::fs::read_to_string(setup.settings_path()).expect("the settings");
        // A receiver that never closes is waited for in real time.
        settings =
            settings.replacen("[sinks.arcsight]\ntimeout = \"10s\"", "[sinks.arcsight]\ntimeout = \"1s\"", 1);
        settings.push_str(&relp.sink("relp", Speaks::Relp));
        settings.push_str(&strict.sink("strict", Speaks::Syslog));
        if disk.is_some() {
            settings.push_str(
                "[sinks.disk]\ntype = \"file\"\npath = \"shown/disk.ndjson\"\n[[routes]]\nsinks = [\"disk\"]\n",
            );
        }
        std::fs::write(setup.settings_path(), settings).expect("written");
        Self { setup, relp, strict, disk }
    }

    fn fault(&self, area: Area, kind: FaultKind) {
        self.setup.emulator.add_fault(Fault::new(area, kind)).expect("a fault");
    }

    fn add_alerts(&self, tenant: usize, count: usize) {
        let tenant = &self.setup.emulator.tenants()[tenant].id;
        self.setup.emulator.add_alerts(tenant, count, None).expect("new alerts");
    }

    fn tally(&self, sink: &str) -> ReceiverTally {
        let [hec, tls, _] = self.setup.tallies();
        let file =
            |name: &str| self.setup.emulator.tally_file(&self.setup.path().join(name)).expect("a file");
        match sink {
            "splunk" => hec,
            "arcsight" => tls,
            "archive" => file("archive.ndjson"),
            "disk" => file("shown/disk.ndjson"),
            other => file(&format!("{other}.log")),
        }
    }

    /// What a sink has, once nothing is owed any more.
    async fn cell(&self, bench: &Bench, sink: &str, doubled_max: u64) -> Cell {
        let letters = bench.store.dead_letters(None, 10_000).await.expect("the store answers");
        let is_of = |origin: &DeadLetterOrigin| matches!(origin, DeadLetterOrigin::Sink { sink: of, .. } if of == sink);
        let dead_letters = letters.iter().filter(|letter| is_of(&letter.origin)).count() as u64;
        let tally = self.tally(sink);
        assert_eq!(tally.unknown, 0, "{sink}: {tally:?}");
        let lost = tally.lost.saturating_sub(dead_letters);
        Cell::Tried { lost, doubled: tally.doubled, dead_letters, doubled_max }
    }

    /// Delivers until nothing is owed any more.
    async fn settle(&self, bench: &Bench) {
        for _ in 0..40 {
            bench.rounds(1).await;
            let totals = bench.store.sink_totals().await.expect("the store answers");
            if totals.iter().all(|sink| sink.owed == 0) {
                return;
            }
            bench.pass(120);
        }
        let totals = bench.store.sink_totals().await.expect("the store answers");
        panic!("something is owed for ever: {totals:?}");
    }
}

/// A disk in a file system of its own, shown in a folder. Both go with the test.
struct Mounts {
    disk: PathBuf,
    shown: PathBuf,
}

impl Mounts {
    fn new(folder: &Path) -> Option<Self> {
        let mounts = Self { disk: folder.join("disk"), shown: folder.join("shown") };
        for folder in [&mounts.disk, &mounts.shown] {
            std::fs::create_dir(folder).expect("a folder");
        }
        let path = mounts.disk.to_str().expect("UTF-8");
        let mounted = run("mount", &["-t", "tmpfs", "-o", "size=64m", "tmpfs", path]) && mounts.show();
        if !mounted {
            assert!(
                environment("MUSTER_REQUIRE_PEERS").is_none_or(|value| value != "1"),
                "nothing can be mounted here"
            );
            println!("SKIPPED: nothing can be mounted here, so lost and full disks are not tried");
        }
        mounted.then_some(mounts)
    }

    fn show(&self) -> bool {
        run("mount", &["--bind", self.disk.to_str().expect("UTF-8"), self.shown.to_str().expect("UTF-8")])
    }

    /// Whether it is in trouble now; some kinds of it cannot be made everywhere.
    fn begin(&self, trouble: &Disk) -> bool {
        let shown = self.shown.to_str().expect("UTF-8");
        match trouble {
            Disk::Lost => run("umount", &["-l", shown]),
            // No user may then, root neither.
            Disk::Forbidden => run("chattr", &["-R", "+i", shown]),
            Disk::Full => {
                let filler = self.disk.join("filler");
                drop(std::fs::write(&filler, vec![0; 65 << 20]));
                let file = std::fs::OpenOptions::new().write(true).open(&filler).expect("a filler");
                file.set_len(file.metadata().expect("known").len() - (24 << 10)).expect("a little room");
                true
            }
        }
    }

    fn end(&self, trouble: &Disk) {
        let done = match trouble {
            Disk::Lost => self.show(),
            Disk::Forbidden => run("chattr", &["-R", "-i", self.shown.to_str().expect("UTF-8")]),
            Disk::Full => std::fs::remove_file(self.disk.join("filler")).is_ok(),
        };
        assert!(done, "the trouble ends");
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        run("chattr", &["-R", "-i", self.disk.to_str().expect("UTF-8")]);
        for folder in [&self.shown, &self.disk] {
            run("umount", &["-l", folder.to_str().expect("UTF-8")]);
        }
    }
}

/// Whether a program could be run, and did what it was to do.
fn run(program: &str, arguments: &[&str]) -> bool {
    let done = Command::new(program).args(arguments).output();
    done.is_ok_and(|done| done.status.success())
}

/// Troubles of all sinks until they are over.
async fn troubled(trouble: &Trouble, rounds: u32) -> Cells {
    let world = World::new(60).await;
    let bench = Bench::new(&world.setup).await;
    world.fault(Area::Hec, trouble.hec.clone());
    let tls = match &trouble.tls {
        Ok(Tls::Of(kind)) => {
            world.fault(Area::Syslog, kind.clone());
            Ok("arcsight")
        }
        Ok(Tls::Distrusts) => {
            world.strict.goes(Wrong::Distrusts);
            Ok("strict")
        }
        Err(why) => Err(*why),
    };
    world.relp.goes(trouble.relp);
    let begin = |kind: &Disk| world.disk.as_ref().is_some_and(|disk| disk.begin(kind));
    // What is lost was there before: a folder that never held the file is as good as any.
    if matches!(trouble.disk, Ok(Disk::Lost)) {
        bench.rounds(1).await;
        world.add_alerts(0, 1);
    }
    let disk = trouble.disk.as_ref().map(begin).map_err(|why| *why);
    for _ in 0..rounds {
        bench.rounds(1).await;
        world.add_alerts(0, 1);
    }
    let told = bench.store.sink_totals().await.expect("the store answers");
    let is_felt = told.iter().any(|sink| sink.sink == "disk" && sink.last_error.is_some());
    world.setup.emulator.clear_faults();
    world.strict.goes(Wrong::Nothing);
    // What refuses some events for good goes on to do so.
    if !matches!(trouble.relp, Wrong::Refuses { one_in: 2.. }) {
        world.relp.goes(Wrong::Nothing);
    }
    if let (Ok(true), Ok(kind), Some(mounts)) = (&disk, &trouble.disk, &world.disk) {
        mounts.end(kind);
    }
    world.settle(&bench).await;
    let may_double = ["partial failure", "never acknowledging"].contains(&trouble.name);
    let some = if may_double { u64::MAX } else { 0 };
    let tls = match tls {
        Ok(sink) => world.cell(&bench, sink, some).await,
        Err(why) => Cell::CannotBe(why),
    };
    let disk = match disk {
        Ok(true) => {
            assert!(is_felt, "{}: the sink has noticed nothing", trouble.name);
            world.cell(&bench, "disk", 0).await
        }
        Ok(false) => Cell::NotTried,
        Err(why) => Cell::CannotBe(why),
    };
    let relp = world.cell(&bench, "relp", world.relp.unanswered().0).await;
    [world.cell(&bench, "splunk", some).await, tls, relp, disk]
}

async fn poisoned() -> Cells {
    let world = World::new(100).await;
    let bench = Bench::new(&world.setup).await;
    world.fault(Area::Hec, FaultKind::Firewall { status: 403, one_event_in: 25 });
    world.relp.goes(Wrong::Refuses { one_in: 25 });
    world.settle(&bench).await;
    let (splunk, relp) = (world.cell(&bench, "splunk", 0).await, world.cell(&bench, "relp", 0).await);
    for cell in [splunk, relp] {
        assert!(matches!(cell, Cell::Tried { dead_letters: 1.., .. }), "nothing was refused: {cell:?}");
    }
    [splunk, Cell::CannotBe(READS_NO_WORD), relp, Cell::CannotBe("cannot be: each is a line")]
}

async fn flapping() -> Cells {
    let world = World::new(60).await;
    let bench = Bench::new(&world.setup).await;
    let folder = world.setup.path().to_owned();
    for flap in 0..8 {
        if flap % 2 == 0 {
            world.fault(Area::Hec, FaultKind::Down);
            world.fault(Area::Syslog, FaultKind::Down);
            world.relp.goes(Wrong::Down);
        } else {
            world.setup.emulator.clear_faults();
            world.relp.goes(Wrong::Nothing);
        }
        // Somebody moves the file away, now and then.
        if flap % 3 == 1 && folder.join("archive.ndjson").exists() {
            let aside = folder.join(format!("archive-moved-{flap}.ndjson"));
            std::fs::rename(folder.join("archive.ndjson"), aside).expect("moved");
        }
        world.add_alerts(1, 3);
        bench.rounds(1).await;
    }
    world.setup.emulator.clear_faults();
    world.relp.goes(Wrong::Nothing);
    world.settle(&bench).await;
    all(&world, &bench, [0; 4]).await
}

async fn killed() -> Cells {
    let world = World::new(400).await;
    for _ in 0..6 {
        let mut muster = world.setup.run();
        let before = world.setup.tallies()[0].received;
        eventually("it has sent something, or has done all", async || {
            world.setup.tallies()[0].received > before || world.setup.lost() == 0
        })
        .await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        muster.kill().await.expect("killed");
        for tenant in 0..3 {
            world.add_alerts(tenant, 10);
        }
    }
    let bench = Bench::new(&world.setup).await;
    // The leases of the last one that was killed.
    bench.pass(700);
    world.settle(&bench).await;
    // What came twice at Splunk was in requests that were not in the store yet when it was killed, and in no others.
    assert_eq!(world.setup.emulator.receivers().hec_doubled().not_yet, 0);
    // And over RELP on connections that were cut off, one for each tenant.
    let of_relp = 6 * 3 * world.relp.unanswered().1;
    all(&world, &bench, [u64::MAX, u64::MAX, of_relp, 0]).await
}

async fn all(world: &World, bench: &Bench, doubled_max: [u64; 4]) -> Cells {
    let mut cells = [Cell::NotTried; 4];
    for ((cell, (_, sink)), most) in cells.iter_mut().zip(SINKS).zip(doubled_max) {
        *cell = world.cell(bench, sink, most).await;
    }
    cells
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sink_goes_through_every_trouble_without_loss() {
    let troubles = [
        Trouble {
            name: "down for a long time",
            hec: FaultKind::Down,
            tls: Ok(Tls::Of(FaultKind::Down)),
            relp: Wrong::Down,
            disk: Ok(Disk::Lost),
        },
        Trouble {
            name: "partial failure",
            hec: FaultKind::Unreliable { busy_one_in: 3, lost_one_in: 4 },
            tls: Ok(Tls::Of(FaultKind::Cut { after_bytes: 40_000 })),
            relp: Wrong::HangsUp { after: 40, unanswered: 5 },
            disk: Ok(Disk::Full),
        },
        Trouble {
            name: "never acknowledging",
            hec: FaultKind::NeverAcknowledge,
            tls: Ok(Tls::Of(FaultKind::NeverAcknowledge)),
            relp: Wrong::Silent,
            disk: Err(NO_ANSWER),
        },
        Trouble {
            name: "wrong credentials",
            hec: FaultKind::Status { status: 403 },
            tls: Ok(Tls::Distrusts),
            relp: Wrong::Distrusts,
            disk: Ok(Disk::Forbidden),
        },
        Trouble {
            name: "everything refused",
            hec: FaultKind::Firewall { status: 403, one_event_in: 0 },
            tls: Err(READS_NO_WORD),
            relp: Wrong::Refuses { one_in: 1 },
            disk: Err(A_DISK),
        },
    ];
    let mut rows = vec![("kill -9 under load, six times", killed().await)];
    rows.push(("flapping; the file is moved away", flapping().await));
    for trouble in &troubles {
        let rounds = match trouble.name {
            "down for a long time" => 12,
            "never acknowledging" => 2,
            _ => 4,
        };
        rows.push((trouble.name, troubled(trouble, rounds).await));
    }
    rows.push(("one poisonous event in 25", poisoned().await));
    print!("{:34}", "lost / doubled / dead letters");
    SINKS.iter().for_each(|(shown, _)| print!(" {shown:>32}"));
    println!();
    for (trouble, cells) in &rows {
        print!("{trouble:34}");
        for cell in cells {
            let said = match cell {
                Cell::CannotBe(why) => (*why).to_owned(),
                Cell::NotTried => "not tried here".to_owned(),
                Cell::Tried { lost, doubled, dead_letters, .. } => {
                    format!("{lost} / {doubled} / {dead_letters}")
                }
            };
            print!(" {said:>32}");
        }
        println!();
    }
    for (trouble, cells) in &rows {
        for ((sink, _), cell) in SINKS.iter().zip(cells) {
            let Cell::Tried { lost, doubled, dead_letters, doubled_max } = *cell else { continue };
            assert_eq!(lost, 0, "{sink}, {trouble}");
            assert!(doubled <= doubled_max, "{sink}, {trouble}: {doubled} of at most {doubled_max}");
            assert!(dead_letters == 0 || trouble.contains("poisonous"), "{sink}, {trouble}: {dead_letters}");
        }
    }
}

/// The table of all sinks in `docs/guarantees.md`: every sink has its row, and every cell names tests of that sink that are
/// there, or says that the sink cannot have the trouble.
#[test]
fn every_cell_of_the_matrix_in_the_docs_names_a_test_that_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("docs/guarantees.md")).expect("the page");
    let table = page.lines().skip_while(|line| !line.starts_with("| sink | killed |"));
    let rows: Vec<Vec<&str>> = table
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    assert_eq!(rows[0].len(), 8, "seven columns of eight troubles: down and flapping share one");
    let sources =
        sources(&[&root.join("crates/muster/tests/it"), &root.join("crates/muster-siem/src/sinks")]);
    let mut in_rows = Vec::new();
    for row in &rows[2..] {
        let sinks: Vec<&str> = quoted(row[0]).collect();
        assert_eq!(row.len(), rows[0].len(), "{row:?}");
        for (place, cell) in row.iter().enumerate().skip(1) {
            let is_named = quoted(cell).next().is_some();
            let refers = place > 1 && cell.contains("the same");
            assert!(is_named || refers || cell.contains("cannot be"), "{sinks:?}: {cell}");
            for name in quoted(cell) {
                let of_it = |path: &str| {
                    path.contains("matrix.rs") || sinks.iter().any(|sink| path.contains(&format!("/{sink}")))
                };
                let is_there =
                    |(path, text): &(String, String)| of_it(path) && text.contains(&format!("fn {name}("));
                assert!(sources.iter().any(is_there), "{sinks:?}: there is no test {name}");
            }
        }
        in_rows.extend(sinks.into_iter().map(str::to_owned));
    }
    let pages = std::fs::read_dir(root.join("docs/sinks")).expect("a folder");
    let mut pages: Vec<String> = pages
        .filter_map(|page| Some(page.expect("a page").path().file_stem()?.to_str()?.to_owned()))
        .collect();
    in_rows.sort();
    pages.sort();
    assert_eq!(in_rows, pages, "every sink has a page, and a row");
}

/// What stands in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The sources in these folders and below, by their paths.
fn sources(folders: &[&Path]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut left: Vec<PathBuf> = folders.iter().map(|folder| folder.to_path_buf()).collect();
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("text");
                found.push((path.display().to_string(), text));
            }
        }
    }
    found
}
