//! Complete, whatever Microsoft's servers do: each fault that the field has met, by its name, in a world whose time the
//! test moves. While it lasts, what can be read arrives and what cannot is shown; afterwards everything has arrived once.

use std::sync::Arc;
use std::time::Duration;

use muster_emulator::{Area, Config, Fault, FaultKind, WorldChange, strict_faults};
use muster_model::Clock as _;

use crate::support::{Bench, Setup, config};

/// Muster and the emulated cloud, with one clock that both go by.
struct World {
    setup: Setup,
    bench: Bench,
    clock: Arc<muster_emulator::ManualClock>,
}

impl World {
    /// One tenant with so many alerts.
    async fn with(alerts: u64) -> Self {
        Self::settings(alerts, "").await
    }

    async fn settings(alerts: u64, extra: &str) -> Self {
        let now = muster_model::SystemClock.now();
        let clock = Arc::new(muster_emulator::ManualClock::new(now));
        let config = Config { tenants: 1, alerts: Some(alerts), clock: clock.clone(), ..config() };
        let setup = Setup::start(config, extra).await;
        let bench = Bench::at(&setup, now).await;
        Self { setup, bench, clock }
    }

    fn tenant(&self) -> String {
        self.setup.emulator.tenants()[0].id.clone()
    }

    fn fault(&self, kind: FaultKind) {
        self.fault_at(Area::Graph, kind);
    }

    fn fault_at(&self, area: Area, kind: FaultKind) {
        self.setup.emulator.add_fault(Fault::new(area, kind)).expect("a fault");
    }

    fn change(&self, change: WorldChange) -> Vec<String> {
        self.setup.emulator.change_world(&change).expect("the world changes")
    }

    fn add_alerts(&self, count: u32) {
        self.change(WorldChange::AddAlerts { tenant: self.tenant(), count, title: None, at: None });
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        self.bench.pass(seconds);
    }

    /// Polls and delivers, with time passing.
    async fn rounds(&self, rounds: u32) {
        for _ in 0..rounds {
            self.bench.collect().await;
            self.bench.deliver().await;
            self.pass(90);
        }
    }

    /// What is shown to be wrong with the tenant's sources.
    async fn shown(&self) -> Vec<String> {
        self.bench.errors().await
    }

    async fn assert_shown(&self, words: &str) {
        let shown = self.shown().await;
        assert!(shown.iter().any(|shown| shown.contains(words)), "`{words}` is not in {shown:?}");
    }

    /// The faults end; after some hours everything has arrived, once, and nothing is shown to be wrong.
    async fn assert_all_arrives_afterwards(&self) {
        self.settle().await;
        self.assert_all_arrived().await;
    }

    /// The faults end, and some hours pass.
    async fn settle(&self) {
        self.setup.emulator.clear_faults();
        self.rounds(8).await;
        for _ in 0..8 {
            self.pass(3_600);
            self.rounds(2).await;
        }
    }

    /// Everything has arrived, once, and nothing is shown to be wrong.
    async fn assert_all_arrived(&self) {
        self.setup.assert_all_arrived_once();
        assert_eq!(self.shown().await, Vec::<String>::new());
    }

    /// The same where incidents may have come once more, completed.
    async fn assert_all_arrives_afterwards_incidents_perhaps_twice(&self) {
        self.settle().await;
        self.assert_nothing_lost(|_| false);
        let mut alerts: Vec<(String, String)> = self
            .archived()
            .iter()
            .filter(|record| record.get("incidentId").is_some())
            .map(|alert| (alert["id"].to_string(), alert["lastUpdateDateTime"].to_string()))
            .collect();
        let all = alerts.len();
        alerts.sort_unstable();
        alerts.dedup();
        assert_eq!(alerts.len(), all, "no alert came twice");
        assert_eq!(self.shown().await, Vec::<String>::new());
    }

    /// Nothing is missing at any receiver but what `may_be` names by its id.
    fn assert_nothing_lost(&self, may_be: impl Fn(&str) -> bool) {
        for tally in self.setup.tallies() {
            let missing: Vec<_> = tally.lost_examples.iter().filter(|lost| !may_be(&lost.id)).collect();
            assert!(missing.is_empty(), "{} lacks {missing:?}", tally.receiver);
            assert!(tally.lost as usize <= tally.lost_examples.len(), "{tally:?}");
        }
    }

    /// The archive's records.
    fn archived(&self) -> Vec<serde_json::Value> {
        let lines = self.archive();
        lines.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
    }

    /// How many record versions were accepted.
    async fn accepted(&self) -> u64 {
        self.bench.store.journal_totals().await.expect("the store answers").records
    }

    fn archive(&self) -> String {
        std::fs::read_to_string(self.setup.path().join("archive.ndjson")).expect("the archive")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_byte_order_mark_before_a_page_hides_no_link() {
    let world = World::with(1_200).await;
    world.fault(FaultKind::ByteOrderMark);
    world.fault(FaultKind::SmallPages { most: 100, ragged: false });
    world.fault(FaultKind::SkipToken);
    world.rounds(6).await;
    world.assert_all_arrived().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_raw_control_character_in_a_title_ends_no_round() {
    let world = World::with(1_200).await;
    world.fault(FaultKind::ControlCharacter);
    world.fault(FaultKind::SmallPages { most: 100, ragged: false });
    world.fault(FaultKind::SkipToken);
    world.rounds(6).await;
    world.assert_shown("cannot be read").await;
    world.assert_all_arrives_afterwards().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversized_top_is_clamped_without_a_link() {
    let world = World::with(700).await;
    world.fault(FaultKind::TopLimit { most: 20, clamp: true });
    world.fault(FaultKind::SkipLimit { most: 500 });
    world.fault(FaultKind::MissingNextLink);
    world.rounds(30).await;
    world.assert_all_arrived().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_alerts_share_one_update_time() {
    let world = World::with(50).await;
    for fault in strict_faults() {
        world.setup.emulator.add_fault(fault).expect("a fault");
    }
    world.fault(FaultKind::MissingNextLink);
    let at = world.bench.clock.now().checked_sub(Duration::from_secs(1_800)).expect("a time").to_string();
    world.change(WorldChange::AddAlerts { tenant: world.tenant(), count: 3_000, title: None, at: Some(at) });
    world.rounds(30).await;
    world.assert_all_arrived().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_alerts_of_one_instant_than_any_question_gives_are_a_shown_hole() {
    let world = World::with(20).await;
    world.fault(FaultKind::TopLimit { most: 2, clamp: true });
    world.fault(FaultKind::SkipLimit { most: 0 });
    world.fault(FaultKind::MissingNextLink);
    let at = world.bench.clock.now().checked_sub(Duration::from_secs(1_800)).expect("a time").to_string();
    world.change(WorldChange::AddAlerts { tenant: world.tenant(), count: 1_500, title: None, at: Some(at) });
    world.rounds(60).await;
    world.assert_shown("share one update time").await;
    world.add_alerts(3);
    world.assert_all_arrives_afterwards().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_to_sort_and_has_one_ascending_page() {
    let world = World::with(1_500).await;
    world.fault(FaultKind::RefuseOrderby);
    world.fault(FaultKind::ShuffledOrder { ascending_pages: 1 });
    for fault in strict_faults() {
        world.setup.emulator.add_fault(fault).expect("a fault");
    }
    world.rounds(12).await;
    world.assert_all_arrived().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_cannot_be_read_stalls_nothing_and_is_shown_until_it_can() {
    let world = World::with(300).await;
    world.fault(FaultKind::UnreadableRecord { place: 0 });
    world.rounds(6).await;
    world.assert_shown("cannot be read").await;
    let before = world.accepted().await;
    world.add_alerts(40);
    world.rounds(6).await;
    assert!(world.accepted().await > before, "what is new arrives all the same");
    world.assert_shown("cannot be read").await;
    world.assert_all_arrives_afterwards().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_thousand_pieces_of_junk_are_one_dead_letter() {
    let world = World::with(60).await;
    let junk = Fault::new(Area::GraphAlerts, FaultKind::JunkItems { items: 300_000, different: true });
    world.setup.emulator.add_fault(Fault { count: Some(2), ..junk }).expect("a fault");
    world.rounds(3).await;
    let letters = world.bench.store.dead_letters(None, 1_000).await.expect("the store answers");
    let [letter] = letters.as_slice() else { panic!("one letter: {letters:?}") };
    assert!(letter.reason.contains("items of one page cannot be read"), "{letter:?}");
    assert!(letter.body_bytes < 1_000, "{letter:?}");
    // Some go on being there.
    world.fault_at(Area::GraphAlerts, FaultKind::JunkItems { items: 300, different: true });
    world.add_alerts(5);
    world.rounds(6).await;
    world.assert_shown("cannot be read").await;
    assert_eq!(world.bench.dead_letters().await.len(), 1, "the same junk again is no other letter");
    world.assert_nothing_lost(|_| false);
    world.assert_all_arrives_afterwards().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_is_missing_for_weeks() {
    let world = World::with(200).await;
    world.fault(FaultKind::Partial { provider: "microsoftDefenderForEndpoint".to_owned() });
    world.rounds(4).await;
    world.assert_shown("microsoftDefenderForEndpoint").await;
    for _ in 0..14 {
        world.pass(86_400);
        let before = world.accepted().await;
        world.add_alerts(30);
        world.rounds(3).await;
        assert!(world.accepted().await > before, "the others' alerts go on arriving");
        world.assert_shown("microsoftDefenderForEndpoint").await;
    }
    world.assert_all_arrives_afterwards_incidents_perhaps_twice().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warning_of_a_proxy_means_nothing() {
    let world = World::with(100).await;
    world.fault(FaultKind::Warning { code: 110, text: "Response is Stale".to_owned() });
    world.rounds(3).await;
    world.assert_all_arrived().await;
    world.setup.emulator.clear_faults();
    world.fault(FaultKind::Warning { code: 299, text: "Deprecated API".to_owned() });
    world.add_alerts(10);
    world.rounds(3).await;
    world.assert_all_arrived().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incidents_that_cannot_be_expanded_come_with_their_alerts() {
    for status in [500, 504, 400, 206] {
        let world = World::with(0).await;
        world.fault(FaultKind::RefuseExpand { status, above: 5 });
        for alerts in [2, 30, 7] {
            world.change(WorldChange::AddIncident { tenant: world.tenant(), alerts });
            world.pass(60);
        }
        world.rounds(12).await;
        let most = world
            .archive()
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter_map(|record| Some(record.get("alerts")?.as_array()?.len()))
            .max();
        assert_eq!(most, Some(30), "status {status}: the large incident has all its alerts");
        world.assert_all_arrives_afterwards().await;
    }
}

/// A page with more incidents than the budget has calls for is done in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incidents_that_come_one_by_one_go_on_where_the_budget_ended() {
    let world = World::settings(0, "[collect]\nrequests_per_minute = 12\n").await;
    world.fault(FaultKind::RefuseExpand { status: 500, above: 1 });
    for _ in 0..30 {
        world.change(WorldChange::AddIncident { tenant: world.tenant(), alerts: 3 });
    }
    world.rounds(30).await;
    let with_alerts =
        |record: &&serde_json::Value| record["alerts"].as_array().is_some_and(|all| all.len() == 3);
    assert_eq!(world.archived().iter().filter(with_alerts).count(), 30, "{:?}", world.shown().await);
    world.assert_all_arrives_afterwards().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_the_service_fails_on_is_passed_over_kept_and_asked_for_again() {
    let world = World::with(300).await;
    world.fault(FaultKind::Poisoned { id: None, one_record_in: 100 });
    world.rounds(80).await;
    world.assert_shown("may be missing").await;
    let dead = world.bench.dead_letters().await;
    assert!(dead.iter().any(|reason| reason.contains("no answer")), "{dead:?}");
    let before = world.accepted().await;
    assert!(before > 250, "{before} of what can be read arrived");
    world.assert_all_arrives_afterwards_incidents_perhaps_twice().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_are_new_to_graph_come_by_their_names() {
    let world = World::with(400).await;
    world.rounds(3).await;
    world.assert_all_arrived().await;
    assert!(!world.archive().contains("unknownFutureValue"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dates_of_the_server_that_lie_lose_nothing() {
    const YEARS: i64 = 365 * 86_400;
    let lies = [
        FaultKind::DateHeader { seconds: 10 * YEARS, text: None },
        FaultKind::DateHeader { seconds: -10 * YEARS, text: None },
        FaultKind::DateHeader { seconds: 0, text: None },
        FaultKind::DateHeader { seconds: 0, text: Some("the day after tomorrow".to_owned()) },
    ];
    let world = World::with(60).await;
    for lie in lies {
        world.setup.emulator.clear_faults();
        world.fault(lie);
        for _ in 0..3 {
            world.add_alerts(5);
            world.rounds(2).await;
        }
        world.assert_all_arrived().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_written_anew_is_the_same_version_and_other_content_is_another() {
    let world = World::with(80).await;
    world.rounds(2).await;
    let before = world.accepted().await;
    world.fault(FaultKind::Rewritten);
    world.rounds(6).await;
    assert_eq!(world.accepted().await, before, "nothing new was written");
    world.assert_all_arrived().await;
    let added = WorldChange::AddAlerts { tenant: world.tenant(), count: 1, title: None, at: None };
    let alert = world.change(added).remove(0);
    world.rounds(2).await;
    world.change(WorldChange::UpdateAlert { tenant: world.tenant(), id: alert.clone(), same_time: true });
    world.rounds(6).await;
    let versions = world.archived().iter().filter(|record| record["id"] == alert.as_str()).count();
    assert_eq!(versions, 2, "other content at the same time is a version of its own");
    assert_eq!(world.shown().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_and_times_that_nobody_expects() {
    let world = World::with(20).await;
    let case = world.change(WorldChange::AddOddIds { tenant: world.tenant() });
    // In the year 1, before anything that is asked for; in the year 9999, which CEF cannot say; tomorrow.
    let odd = world.change(WorldChange::AddOddTimes { tenant: world.tenant() });
    for _ in 0..3 {
        world.rounds(4).await;
        // Raw records without a tenant's id cannot be told apart by the tally of a file: they are looked for by their ids.
        let archive = world.archive();
        for id in case[..2].iter().chain(&odd[1..]) {
            assert!(archive.contains(id.as_str()), "{id} is missing");
        }
        world.assert_nothing_lost(|id| case.iter().chain(&odd).any(|odd| odd == id));
        world.add_alerts(5);
    }
    world.rounds(4).await;
    world.assert_nothing_lost(|id| case.iter().chain(&odd).any(|odd| odd == id));
    assert!(!world.shown().await.is_empty(), "what cannot be read is shown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_of_fifty_megabytes_is_refused_at_a_bound_and_the_rest_arrives() {
    let world = World::with(100).await;
    world.change(WorldChange::AddHugeAlert { tenant: world.tenant(), megabytes: 50 });
    world.pass(60);
    world.add_alerts(20);
    world.rounds(60).await;
    let shown = world.shown().await;
    assert!(!shown.is_empty(), "what is missing is shown");
    let dead = world.bench.dead_letters().await;
    assert!(dead.iter().any(|reason| reason.contains("bytes in one answer")), "{dead:?}");
    world.assert_nothing_lost(|id| id.starts_with("huge-"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_that_change_while_they_are_paged_over() {
    let world = World::with(900).await;
    world.fault(FaultKind::SmallPages { most: 50, ragged: true });
    world.fault(FaultKind::UpdateWhilePaged { alerts: 3 });
    world.rounds(6).await;
    world.settle().await;
    world.assert_nothing_lost(|_| false);
    assert_eq!(world.shown().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_empty_pages_with_links() {
    let world = World::with(60).await;
    world.fault(FaultKind::EmptyPages { pages: 300 });
    world.rounds(10).await;
    world.assert_all_arrives_afterwards().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incident_with_three_thousand_alerts() {
    let world = World::with(0).await;
    world.change(WorldChange::AddIncident { tenant: world.tenant(), alerts: 3_000 });
    world.rounds(12).await;
    world.assert_nothing_lost(|_| false);
    let whole = world.archived().iter().filter_map(|record| record["alerts"].as_array().map(Vec::len)).max();
    assert_eq!(whole, Some(3_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_none() {
    let world = World::with(60).await;
    let faults = [
        FaultKind::Reset,
        FaultKind::EmptyBody,
        FaultKind::HtmlStatus { status: 403 },
        FaultKind::Unauthorized { challenge: true },
        FaultKind::Bomb { megabytes: 200 },
        FaultKind::ThrottleWith { retry_after: None },
        FaultKind::ThrottleWith { retry_after: Some("-1".to_owned()) },
        FaultKind::ThrottleWith { retry_after: Some("soon".to_owned()) },
    ];
    for fault in faults {
        world.add_alerts(3);
        world.fault(fault.clone());
        world.rounds(2).await;
        assert!(!world.shown().await.is_empty(), "{fault:?} is shown");
        world.setup.emulator.clear_faults();
    }
    world.assert_all_arrives_afterwards().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_date_and_with_a_clock_ahead_nothing_is_jumped_over() {
    let world = World::with(60).await;
    world.fault(FaultKind::DateHeader { seconds: 0, text: None });
    world.rounds(2).await;
    // Muster's clock alone goes a day ahead, for a while.
    world.bench.pass(86_400);
    for _ in 0..4 {
        world.add_alerts(5);
        world.rounds(1).await;
    }
    world.bench.clock.set(muster_emulator::Clock::now(&*world.clock));
    world.add_alerts(5);
    world.assert_all_arrives_afterwards().await;
}
