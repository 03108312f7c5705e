//! What a receiver has answered is asked for after a crash, and not sent again; and waiting for its acknowledgements holds up
//! nobody. The real program, the real SIGKILL, against a Splunk that acknowledges late, is busy now and then, and loses some of
//! what it has accepted.

use std::time::Duration;

use muster_emulator::{Area, Config, Fault, FaultKind};
use muster_store::TicketNumber;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use crate::support::{Bench, Setup, config, eventually};

/// How a run is killed.
struct Killing {
    kills: u32,
    alerts: u64,
    rate: f64,
    /// The longest life of a process, in milliseconds; a third of it is the shortest.
    life_ms: u32,
}

/// What came of it.
struct Killed {
    records: u64,
    lost: u64,
    doubled: u64,
    /// Of the doubled, those that may be from requests without an answer in the store at a kill.
    kills_at_work: u64,
}

const ACK_TIMEOUT_SECONDS: u64 = 4;

async fn killed_while_waiting(killing: Killing) -> Killed {
    let Killing { kills, alerts, rate, life_ms } = killing;
    let setup = Setup::start(
        Config { tenants: 10, alerts: Some(alerts), rate: Some(rate), ..config() },
        "[collect]\npoll_interval = \"1s\"\nrequests_per_minute = 100000\n",
    )
    .await;
    let path = setup.settings_path();
    let settings = std::fs::read_to_string(&path).expect("the settings");
    let wait = format!("[sinks.splunk]\nack_timeout = \"{ACK_TIMEOUT_SECONDS}s\"");
    std::fs::write(&path, settings.replacen("[sinks.splunk]", &wait, 1)).expect("written");
    setup.emulator.receivers().set_acknowledge_delay(Duration::from_millis(700));
    setup
        .emulator
        .add_fault(Fault::new(Area::Hec, FaultKind::Unreliable { busy_one_in: 9, lost_one_in: 25 }))
        .expect("a fault");
    let store = setup.store().await;
    let mut chance = ChaCha8Rng::seed_from_u64(0x7469_636b);
    let (mut waited_for_at_kills, mut kills_at_work) = (0, 0);
    for _ in 0..kills {
        let mut muster = setup.run();
        let before = setup.tallies()[0].received;
        eventually("it has sent something, or has done all", async || {
            setup.tallies()[0].received > before || setup.emulator.production_finished() && setup.lost() == 0
        })
        .await;
        tokio::time::sleep(Duration::from_millis(u64::from(
            life_ms / 3 + chance.next_u32() % (life_ms * 2 / 3),
        )))
        .await;
        muster.kill().await.expect("killed");
        let waiting = store
            .tickets("splunk", TicketNumber::default(), 10_000)
            .await
            .expect("the store can be read after a kill")
            .len();
        waited_for_at_kills += waiting;
        kills_at_work += u64::from(waiting > 0);
    }
    let mut muster = setup.run();
    eventually("all that was produced arrives", async || {
        setup.emulator.production_finished() && setup.lost() == 0
    })
    .await;
    setup.emulator.clear_faults();
    eventually("nothing is waited for", async || {
        let totals = store.sink_totals().await.expect("the store answers");
        totals.iter().all(|sink| sink.owed == 0)
    })
    .await;
    muster.kill().await.expect("killed");
    let [splunk, arcsight, file] = setup.tallies();
    assert_eq!((arcsight.lost, file.lost, file.doubled), (0, 0, 0));
    assert!(store.dead_letters(None, 10).await.expect("the store answers").is_empty());
    assert!(waited_for_at_kills > 0, "the kills must hit a program that waits for acknowledgements");
    println!(
        "{kills} kills, {kills_at_work} of them while {waited_for_at_kills} requests in all were waited for; {} received; lost {}, \
         doubled {} ({:.2} %)",
        splunk.received,
        splunk.lost,
        splunk.doubled,
        splunk.doubled as f64 * 100.0 / splunk.received.max(1) as f64
    );
    // Each double has one of three causes, and the receiver knows which.
    let causes = setup.emulator.receivers().hec_doubled();
    println!(
        "of those doubled: {} in requests whose answer did not reach the store before the kill, {} confirmed and not written \
         down before it, {} given up",
        causes.never_asked, causes.acknowledged, causes.not_yet
    );
    assert_eq!(causes.never_asked + causes.acknowledged + causes.not_yet, splunk.doubled);
    assert_eq!(causes.not_yet, 0, "what was stored was given up for lost");
    Killed {
        records: splunk.received - splunk.doubled,
        lost: splunk.lost,
        doubled: splunk.doubled,
        kills_at_work,
    }
}

/// Whatever is doubled was under way at a kill: sent without an answer, answered without being stored, or confirmed without
/// being stored. Before tickets were kept, everything that was waited for at a kill came twice: most of what was sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_acknowledgements_are_waited_for_almost_nothing_is_doubled() {
    let killed = killed_while_waiting(Killing { kills: 8, alerts: 1_500, rate: 100.0, life_ms: 1_500 }).await;
    assert_eq!(killed.lost, 0);
    assert!(killed.kills_at_work >= 4, "{} kills while something was waited for", killed.kills_at_work);
    // How much is under way at a kill is the machine's affair; that nothing else comes twice is not.
    assert!(killed.doubled * 4 < killed.records, "{} of {} were doubled", killed.doubled, killed.records);
}

/// The figure for the documents.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; run it for the figure: cargo test --release -p muster --test it forty_kills -- --ignored --nocapture"]
async fn forty_kills_and_twenty_thousand_events() {
    let killed =
        killed_while_waiting(Killing { kills: 40, alerts: 20_000, rate: 150.0, life_ms: 4_000 }).await;
    assert_eq!(killed.lost, 0);
    assert!(killed.doubled * 200 < killed.records, "{} of {} were doubled", killed.doubled, killed.records);
}

/// Splunk takes everything and acknowledges nothing, then is itself again: no worker waits, other tenants go on, and what was
/// never acknowledged is sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_never_acknowledged_delays_nobody_and_is_sent_again() {
    let setup = Setup::start(Config { tenants: 6, alerts: Some(60), ..config() }, "").await;
    let bench = Bench::new(&setup).await;
    setup.emulator.add_fault(Fault::new(Area::Hec, FaultKind::NeverAcknowledge)).expect("a fault");
    bench.collect().await;
    bench.deliver().await;
    let waiting = bench.store.tickets("splunk", TicketNumber::default(), 1_000).await.expect("listed").len();
    assert!(waiting >= 6, "every tenant's requests are waited for: {waiting}");
    assert_eq!(setup.tallies()[0].received, 0);
    setup.emulator.clear_faults();

    // More tenants have alerts; they go through at once.
    for tenant in setup.emulator.tenants() {
        setup.emulator.add_alerts(&tenant.id, 1, None).expect("a new alert");
    }
    bench.pass(5);
    bench.collect().await;
    bench.deliver().await;
    let totals = bench.store.sink_totals().await.expect("the store answers");
    let splunk = totals.iter().find(|sink| sink.sink == "splunk").expect("a sink");
    assert!(splunk.delivered >= 6 && splunk.owed > 0, "{splunk:?}");
    assert_eq!(
        bench.store.tickets("splunk", TicketNumber::default(), 1_000).await.expect("listed").len(),
        waiting
    );

    bench.pass(301);
    bench.deliver().await;
    bench.pass(2);
    bench.deliver().await;
    setup.assert_all_arrived_once();
    let totals = bench.store.sink_totals().await.expect("the store answers");
    assert!(totals.iter().all(|sink| sink.owed == 0 && sink.last_error.is_none()), "{totals:?}");
}

/// Requests that were answered before a crash are asked for after it: a new process confirms them without sending anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_crash_what_was_answered_is_asked_for_and_not_sent() {
    let setup = Setup::start(Config { alerts: Some(40), ..config() }, "").await;
    setup.emulator.receivers().set_acknowledge_delay(Duration::from_secs(3_600));
    let before = Bench::new(&setup).await;
    before.collect().await;
    before.deliver().await;
    let received = setup.tallies()[0].received;
    let waiting = before.store.tickets("splunk", TicketNumber::default(), 1_000).await.expect("listed");
    assert!(received >= 40 && !waiting.is_empty());
    drop(before);
    // Those that were handed out meanwhile are acknowledged after the time that was said then; another process has lost it.
    let after = Bench::new(&setup).await;
    after.deliver().await;
    assert_eq!(setup.tallies()[0].received, received, "nothing is sent again");
    assert_eq!(
        after.store.tickets("splunk", TicketNumber::default(), 1_000).await.expect("listed").len(),
        waiting.len()
    );
}

/// A firewall that refuses some events costs those events; one that refuses everything costs nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_firewall_costs_the_events_that_it_refuses_and_no_other() {
    let setup = Setup::start(Config { alerts: Some(120), ..config() }, "").await;
    let bench = Bench::new(&setup).await;
    let firewall = |one_event_in| FaultKind::Firewall { status: 403, one_event_in };
    setup.emulator.add_fault(Fault::new(Area::Hec, firewall(0))).expect("a fault");
    bench.rounds(3).await;
    assert_eq!(setup.tallies()[0].received, 0);
    assert!(bench.dead_letters().await.is_empty(), "who refuses everything is in trouble itself");
    let totals = bench.store.sink_totals().await.expect("the store answers");
    let splunk = totals.iter().find(|sink| sink.sink == "splunk").expect("a sink");
    let error = splunk.last_error.as_deref().unwrap_or_default();
    assert!(error.contains("nothing else was taken meanwhile"), "{error}");

    setup.emulator.clear_faults();
    setup.emulator.add_fault(Fault::new(Area::Hec, firewall(25))).expect("a fault");
    bench.rounds(4).await;
    let letters = bench.dead_letters().await;
    let lost = setup.tallies()[0].lost;
    assert!(!letters.is_empty() && lost == letters.len() as u64, "{lost} lost, {letters:?}");
    assert!(letters.iter().all(|reason| reason.contains("Request Rejected")), "{letters:?}");
    assert_eq!(setup.tallies()[0].doubled, 0);
}
