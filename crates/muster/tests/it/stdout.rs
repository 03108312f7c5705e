//! Lines to the standard output of `muster run`: nothing else stands in it, and what a kill leaves is whole lines.

use std::process::Stdio;

use muster_emulator::Config;
use tokio::io::AsyncReadExt as _;

use crate::python_receiver::{all_delivered, be_impatient};
use crate::support::{Setup, config, eventually};

const SETTINGS: &str = "[sinks.out]\ntype = \"stdout\"\nformat = \"raw\"\n[[routes]]\nsinks = [\"out\"]\n";

/// Starts `muster run` with its output appended to a file, and its log to another.
fn run(setup: &Setup) -> tokio::process::Child {
    let append = |name: &str| {
        let opened = std::fs::OpenOptions::new().create(true).append(true).open(setup.path().join(name));
        opened.expect("a file")
    };
    let mut command = setup.command(&["run"]);
    command.stdout(append("out.ndjson")).stderr(append("muster.log"));
    command.spawn().expect("muster starts")
}

async fn delivered(setup: &Setup) -> u64 {
    let store = setup.store().await;
    let totals = store.sink_totals().await.expect("the store answers");
    store.close().await;
    totals.iter().find(|sink| sink.sink == "out").map_or(0, |sink| sink.delivered)
}

async fn dead_letters(setup: &Setup) -> usize {
    let store = setup.store().await;
    let letters = store.dead_letters(None, 10_000).await.expect("the store answers").len();
    store.close().await;
    letters
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_kills_nothing_is_lost_and_nothing_else_stands_in_it() {
    let setup = Setup::start(Config { alerts: Some(300), ..config() }, SETTINGS).await;
    // No other command prints a record, whatever it finds.
    for command in [&["validate"][..], &["sink", "test", "out"], &["sink", "list"], &["status"]] {
        let said = setup.muster(command).await;
        assert!(!String::from_utf8_lossy(&said.stdout).contains("createdDateTime"), "{command:?}: {said:?}");
    }
    be_impatient(&setup);
    let path = setup.path().join("out.ndjson");
    let came = || std::fs::metadata(&path).map_or(0, |file| file.len());
    let mut unsettled = 0;
    for _ in 0..6 {
        let mut muster = run(&setup);
        let before = came();
        eventually("it has written something, or has done all", async || {
            came() > before || setup.lost() == 0
        })
        .await;
        muster.kill().await.expect("killed");
        let tally = setup.emulator.tally_file(&path).expect("read");
        unsettled += (tally.received - tally.doubled).saturating_sub(delivered(&setup).await);
        for tenant in setup.emulator.tenants() {
            setup.emulator.add_alerts(&tenant.id, 10, None).expect("new alerts");
        }
    }
    let mut muster = run(&setup);
    all_delivered(&setup).await;
    muster.kill().await.expect("killed");
    let tally = setup.emulator.tally_file(&path).expect("read");
    let letters = dead_letters(&setup).await;
    println!(
        "matrix: stdout × kill -9 under load, six times: lost {}, doubled {}, dead letters {letters}",
        tally.lost, tally.doubled
    );
    assert_eq!((tally.lost, tally.unknown, letters), (0, 0, 0), "{tally:?}");
    // A line that a kill cut short stands alone.
    assert!(tally.unreadable <= 6 && tally.doubled <= unsettled, "{tally:?}, {unsettled} unsettled");
    assert_eq!(
        tally.received - tally.doubled,
        delivered(&setup).await,
        "what is delivered is there, and no more"
    );
    let text = std::fs::read_to_string(&path).expect("text");
    let strange = text.lines().filter(|line| !line.is_empty() && !line.starts_with('{')).count();
    assert!(strange <= 6, "{strange} lines are no records");
    let log = std::fs::read_to_string(setup.path().join("muster.log")).expect("a log");
    assert!(!log.is_empty() && !text.contains(log.lines().next().expect("a line")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_pipe_is_told_and_everything_stays_owed() {
    let setup = Setup::start(Config { alerts: Some(30), ..config() }, SETTINGS).await;
    be_impatient(&setup);
    let log = std::fs::File::create(setup.path().join("muster.log")).expect("a log");
    let mut command = setup.command(&["run"]);
    let mut muster = command.stdout(Stdio::piped()).stderr(log).spawn().expect("muster starts");
    let mut pipe = muster.stdout.take().expect("its output");
    // A reader that keeps what it has read, and goes when that is all there is.
    let (path, mut kept) = (setup.path().join("out.ndjson"), Vec::new());
    loop {
        assert!(pipe.read_buf(&mut kept).await.expect("read") > 0, "the output ends");
        std::fs::write(&path, &kept).expect("written");
        if setup.emulator.tally_file(&path).expect("read").lost == 0 {
            break;
        }
    }
    drop(pipe);
    let store = setup.store().await;
    for tenant in setup.emulator.tenants() {
        setup.emulator.add_alerts(&tenant.id, 5, None).expect("new alerts");
    }
    eventually("it is told", async || {
        let totals = store.sink_totals().await.expect("the store answers");
        let out = totals.into_iter().find(|sink| sink.sink == "out");
        out.is_some_and(|sink| {
            sink.owed >= 15 && sink.last_error.is_some_and(|why| why.contains("its pipe is closed"))
        })
    })
    .await;
    store.close().await;
    assert!(muster.try_wait().expect("asked").is_none(), "it runs on, for its other sinks");
    muster.kill().await.expect("killed");
    // With a reader again, all of it comes.
    let mut muster = run(&setup);
    all_delivered(&setup).await;
    muster.kill().await.expect("killed");
    matrix(&setup, "gone for a while").await;
}

/// What nobody keeps is not delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_output_that_leads_nowhere_gets_nothing() {
    let setup = Setup::start(Config { alerts: Some(30), ..config() }, SETTINGS).await;
    be_impatient(&setup);
    let log = std::fs::File::create(setup.path().join("muster.log")).expect("a log");
    let mut command = setup.command(&["run"]);
    let mut muster = command.stdout(Stdio::null()).stderr(log).spawn().expect("muster starts");
    let store = setup.store().await;
    eventually("it is told", async || {
        let totals = store.sink_totals().await.expect("the store answers");
        let out = totals.into_iter().find(|sink| sink.sink == "out");
        out.is_some_and(|sink| sink.last_error.is_some_and(|why| why.contains("it is /dev/null")))
    })
    .await;
    store.close().await;
    muster.kill().await.expect("killed");
    assert_eq!(delivered(&setup).await, 0);
    let mut muster = run(&setup);
    all_delivered(&setup).await;
    muster.kill().await.expect("killed");
    matrix(&setup, "an output that leads nowhere").await;
}

/// Prints a row of the matrix, of what stands in the file and the store: all of it, once.
async fn matrix(setup: &Setup, trouble: &str) {
    let tally = setup.emulator.tally_file(&setup.path().join("out.ndjson")).expect("read");
    let letters = dead_letters(setup).await;
    println!(
        "matrix: stdout × {trouble}: lost {}, doubled {}, dead letters {letters}",
        tally.lost, tally.doubled
    );
    assert_eq!((tally.lost, tally.doubled, tally.unknown, letters), (0, 0, 0, 0), "{tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_one_standard_output() {
    let second = format!("{SETTINGS}[sinks.more]\ntype = \"stdout\"\n");
    let setup = Setup::start(Config { tenants: 1, ..config() }, SETTINGS).await;
    setup.write_settings(&second);
    let told = setup.muster(&["validate"]).await;
    let told = String::from_utf8_lossy(&[told.stdout, told.stderr].concat()).into_owned();
    assert!(told.contains("writes to the standard output already, and there is only one"), "{told}");
}
