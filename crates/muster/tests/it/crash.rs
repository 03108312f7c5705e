//! Killed at any moment, nothing is lost. The real program, the real SIGKILL.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use muster_emulator::Config;
use muster_model::{Clock as _, SystemClock};
use muster_store::{LedgerFilter, Store};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use rustix::process::Signal;

use crate::support::{Setup, config, eventually, signal};

/// How often the program is killed.
const KILLS: u32 = 60;
/// How long after its appearance an alert is updated.
const UPDATED_AFTER: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(4));

/// Under load, with alerts appearing and being updated all the while, the program is killed at random moments. In the
/// end every alert and incident has arrived everywhere in its newest version; the file has nothing twice; what Splunk
/// or ArcSight saw twice was in flight at a kill.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_moments_nothing_is_lost() {
    let setup = Setup::start(
        Config {
            tenants: 20,
            alerts: Some(6_000),
            rate: Some(300.0),
            update_share: Some(0.2),
            update_after: UPDATED_AFTER,
            ..config()
        },
        "[collect]\npoll_interval = \"100ms\"\nrequests_per_minute = 100000\n",
    )
    .await;
    // What a killed process was told and could not write down is sent again after this, not after minutes.
    let path = setup.settings_path();
    let settings = std::fs::read_to_string(&path).expect("the settings");
    let settings = settings.replacen("[sinks.splunk]", "[sinks.splunk]\nack_timeout = \"5s\"", 1);
    std::fs::write(&path, settings).expect("written");
    let mut chance = ChaCha8Rng::seed_from_u64(0x6d75_7374);
    let store = setup.store().await;
    let (mut owed_at_kills, mut accepted_at_kills) = (0, Vec::new());
    let accepted = async || -> u64 {
        let states = store.source_states().await.expect("the store can be read, also after a kill");
        states.iter().map(|state| state.accepted).sum()
    };
    for kill in 0..KILLS {
        let mut muster = setup.run();
        if kill % 4 == 0 {
            // However slow the machine is, some kills hit a program at work.
            let before = accepted().await;
            eventually("it is at work, or has done all", async || {
                accepted().await > before || setup.emulator.production_finished() && setup.lost() == 0
            })
            .await;
        }
        // Between a start that has only begun and one under full load.
        let wait = Duration::from_millis(u64::from(chance.next_u32() % 600));
        tokio::time::sleep(wait).await;
        muster.kill().await.expect("killed");
        let totals = store.sink_totals().await.expect("the store can be read after a kill");
        owed_at_kills +=
            totals.iter().filter(|sink| sink.sink != "archive").map(|sink| sink.owed).sum::<u64>();
        accepted_at_kills.push(accepted().await);
    }
    let progress = accepted_at_kills.windows(2).filter(|pair| pair[0] < pair[1]).count();
    let mut muster = setup.run();
    eventually("all that was produced arrives", async || {
        setup.emulator.production_finished() && setup.lost() == 0
    })
    .await;
    the_ledger_is_what_arrived(&setup, &*store).await;
    muster.kill().await.expect("killed");
    let [splunk, arcsight, file] = setup.tallies();
    println!(
        "{KILLS} kills, {progress} of them between two acceptances; produced {:?}; lost {}/{}/{}; doubled: Splunk {}, ArcSight {}, file {}; owed at kills: {owed_at_kills}",
        setup.emulator.produced_counts(),
        splunk.lost,
        arcsight.lost,
        file.lost,
        splunk.doubled,
        arcsight.doubled,
        file.doubled,
    );
    assert!(progress >= 10, "the kills must hit a program at work: {accepted_at_kills:?}");
    assert_eq!((splunk.lost, arcsight.lost, file.lost), (0, 0, 0));
    assert_eq!(file.doubled, 0, "{file:?}");
    assert_eq!((file.unreadable, file.incomplete), (0, 0), "{file:?}");
    assert_eq!((splunk.unknown, arcsight.unknown, file.unknown), (0, 0, 0));
    assert!(
        splunk.doubled + arcsight.doubled <= owed_at_kills,
        "more was doubled than was ever in flight at a kill"
    );
    assert!(store.dead_letters(None, 10).await.expect("the store answers").is_empty());
}

/// By the hour of their update, the ledger counts what the archive holds: as new, and as delivered to each sink.
async fn the_ledger_is_what_arrived(setup: &Setup, store: &dyn Store) {
    let hours = |hours: i64| SystemClock.now() + jiff::SignedDuration::from_hours(hours);
    let everything = LedgerFilter { tenant: None, source: None, from: hours(-24 * 30), to: hours(24) };
    let sinks = store.sink_totals().await.expect("the store answers").len();
    let counted = async || {
        let hours = store.ledger(everything, SystemClock.now()).await.expect("the store answers");
        let mut counted: BTreeMap<Timestamp, Vec<u64>> = BTreeMap::new();
        for hour in hours.iter().filter(|hour| hour.new > 0) {
            let counts = counted.entry(hour.hour).or_insert_with(|| vec![0; 1 + sinks]);
            counts[0] += hour.new;
            for (number, sink) in hour.sinks.iter().enumerate() {
                counts[1 + number] += sink.delivered;
            }
        }
        counted
    };
    eventually("everything is acknowledged", async || {
        counted().await.values().all(|counts| counts.iter().all(|count| *count == counts[0]))
    })
    .await;
    let archive = std::fs::read_to_string(setup.path().join("archive.ndjson")).expect("an archive");
    let mut arrived: BTreeMap<Timestamp, Vec<u64>> = BTreeMap::new();
    for line in archive.lines() {
        let record: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let updated = record["lastUpdateDateTime"].as_str().expect("an update time");
        let updated: Timestamp = updated.parse().expect("a time");
        let hour = updated.as_second().div_euclid(3_600) * 3_600;
        let hour = Timestamp::from_second(hour).expect("in range");
        for count in arrived.entry(hour).or_insert_with(|| vec![0; 1 + sinks]) {
            *count += 1;
        }
    }
    assert_eq!(counted().await, arrived, "new, and delivered to each sink");
}

/// Told to stop, the program finishes what is under way: nothing is lost and nothing doubled, anywhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_and_started_nothing_is_doubled() {
    let setup = Setup::start(
        Config {
            tenants: 10,
            alerts: Some(1_500),
            rate: Some(400.0),
            update_after: UPDATED_AFTER,
            ..config()
        },
        "[collect]\npoll_interval = \"100ms\"\nrequests_per_minute = 100000\n",
    )
    .await;
    for _ in 0..4 {
        let mut muster = setup.run();
        tokio::time::sleep(Duration::from_millis(700)).await;
        signal(&muster, Signal::TERM);
        assert!(muster.wait().await.expect("it ends").success());
    }
    let mut muster = setup.run();
    eventually("all that was produced arrives", async || {
        setup.emulator.production_finished() && setup.lost() == 0
    })
    .await;
    muster.kill().await.expect("killed");
    setup.assert_all_arrived_once();
}
