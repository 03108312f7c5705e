//! Streams: Defender's tables out of a folder of blobs, each row in the journal and at the sink once, whatever becomes of
//! the blobs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::{SignedDuration, Timestamp};
use muster_emulator::{Area, Config, Fault, FaultKind, StreamFolder};
use muster_model::{Clock as _, Reason, Source, TenantId};
use muster_store::{DeadLetterOrigin, HourState, LedgerFilter, LedgerHour, SourceState};
use serde_json::Value;

use crate::brokers::write_secret;
use crate::corpus::recorded;
use crate::object_store::{AZURITE_KEY, Server, installed};
use crate::support::{Bench, Setup, config, eventually};

/// Muster, and a folder of blobs.
struct World {
    setup: Setup,
    bench: Bench,
    blobs: tempfile::TempDir,
    clock: Arc<muster_emulator::ManualClock>,
}

impl World {
    /// `BLOBS` in the settings is the folder. It begins `hours` before now.
    async fn with(tenants: usize, alerts: u64, streams: &str, hours: i64) -> Self {
        let blobs = tempfile::tempdir().expect("a folder");
        let now = muster_model::SystemClock.now() - SignedDuration::from_hours(hours);
        let clock = Arc::new(muster_emulator::ManualClock::new(now));
        let config = Config { tenants, alerts: Some(alerts), clock: clock.clone(), ..config() };
        let streams = streams.replace("BLOBS", blobs.path().to_str().expect("UTF-8"));
        let setup = Setup::start(config, &streams).await;
        let bench = Bench::at(&setup, now).await;
        Self { setup, bench, blobs, clock }
    }

    /// One tenant, whose stream is the folder.
    async fn of_one() -> Self {
        Self::with(1, 0, "[streams.blobs]\nurl = \"file://BLOBS\"", 0).await
    }

    fn tenant(&self, index: usize) -> TenantId {
        self.setup.emulator.tenants()[index].id.parse().expect("a GUID")
    }

    fn path(&self, name: &str) -> PathBuf {
        let path = self.blobs.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        path
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).expect("written");
    }

    fn append(&self, name: &str, content: &str) {
        let mut file = std::fs::OpenOptions::new().append(true).open(self.path(name)).expect("a file");
        file.write_all(content.as_bytes()).expect("written");
    }

    /// Puts another file in its place.
    fn replace(&self, name: &str, content: &str) {
        self.write(".replacing", content);
        std::fs::rename(self.path(".replacing"), self.path(name)).expect("renamed");
    }

    /// A row of this number.
    fn row(&self, number: usize) -> String {
        row(self.tenant(0), number)
    }

    async fn round(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        self.bench.pass(seconds);
        self.bench.collect().await;
        self.bench.deliver().await;
    }

    /// The streamed rows at the sink, each with how often it is there.
    fn rows(&self) -> BTreeMap<String, usize> {
        let archive = std::fs::read_to_string(self.setup.path().join("archive.ndjson")).unwrap_or_default();
        let mut rows = BTreeMap::new();
        for line in archive.lines().filter(|line| line.contains("\"AdvancedHunting-")) {
            let row: Value = serde_json::from_str(line).expect("a record");
            *rows.entry(row.to_string()).or_default() += 1;
        }
        rows
    }

    fn assert_rows(&self, wanted: impl IntoIterator<Item = String>) {
        let wanted = wanted.into_iter().map(|row| {
            let row: Value = serde_json::from_str(&row).expect("a row");
            (row.to_string(), 1)
        });
        assert_eq!(self.rows(), wanted.collect());
    }

    fn assert_numbers(&self, numbers: std::ops::Range<usize>) {
        self.assert_rows(numbers.map(|number| self.row(number)));
    }

    async fn state(&self) -> SourceState {
        let states = self.bench.store.source_states().await.expect("the store answers");
        states.into_iter().find(|state| state.source.stream().is_some()).expect("a stream")
    }

    async fn missing(&self) -> String {
        self.state().await.last_error.unwrap_or_default()
    }

    /// The dead letters of streams: whose, why, and what.
    async fn letters(&self) -> Vec<(TenantId, String, String)> {
        let letters = self.bench.store.dead_letters(None, 1_000).await.expect("the store answers");
        let mut found = Vec::new();
        for letter in letters {
            let DeadLetterOrigin::Source(Source::Streaming(_)) = letter.origin else { continue };
            let body = self.bench.store.dead_letter_body(letter.number).await.expect("a body");
            found.push((letter.tenant, letter.reason, String::from_utf8_lossy(&body).into_owned()));
        }
        found
    }
}

fn row(tenant: TenantId, number: usize) -> String {
    format!(
        r#"{{"time":"2026-11-20T08:20:00Z","tenantId":"{tenant}","operationName":"Publish","category":"AdvancedHunting-DeviceEvents","properties":{{"Timestamp":"2026-11-20T08:00:00Z","ReportId":{number},"FileName":null,"ProcessId":"12"}}}}"#
    )
}

fn packed(content: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content.as_bytes()).expect("written");
    encoder.finish().expect("finished")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_defender_streams_arrives_once_each_at_its_own_tenant() {
    let streams = r#"
        [streams.alerts]
        url = "file://BLOBS/insights-logs-advancedhunting-alertinfo/tenantId={{ tenant.id }}"
        [streams.evidence]
        url = "file://BLOBS/insights-logs-advancedhunting-alertevidence/tenantId={{ tenant.id }}"
        [[routes]]
        sources = ["streaming/alerts", "streaming"]
        sinks = ["archive"]
    "#;
    let world = World::with(2, 60, streams, 0).await;
    let mut folder = StreamFolder::new(world.blobs.path());
    let mut streamed = folder.write(world.setup.emulator.graph()).expect("written");
    assert!(streamed.len() > 100, "{}", streamed.len());
    world.round(0).await;
    world.assert_rows(streamed.iter().map(|row| row.line.clone()));
    // They are appended to as time goes by.
    for index in [0, 1] {
        let tenant = &world.setup.emulator.tenants()[index].id;
        world.setup.emulator.add_alerts(tenant, 5, None).expect("added");
    }
    let more = folder.write(world.setup.emulator.graph()).expect("written");
    assert!(more.len() >= 10);
    streamed.extend(more);
    world.round(70).await;
    world.round(70).await;
    world.assert_rows(streamed.iter().map(|row| row.line.clone()));
    assert_eq!(world.bench.errors().await, Vec::<String>::new());
    assert_eq!(world.letters().await, []);
    // An alert is known by its id.
    let alert = streamed.iter().find(|row| row.table == "AlertInfo").expect("an alert");
    let traced = world.bench.store.trace(None, &alert.alert).await.expect("read");
    assert!(traced.iter().any(|version| version.source.as_str() == "streaming/alerts"), "{traced:?}");
    let tried = world.setup.muster(&["validate", "--connect"]).await;
    let said = String::from_utf8_lossy(&tried.stdout).into_owned();
    assert!(said.contains("stream alerts: ") && said.contains("blobs lie there"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_may_be_cut_appended_to_and_packed() {
    let world = World::of_one().await;
    let rows: Vec<String> = (0..20).map(|number| world.row(number)).collect();
    let (begun, rest) = rows[2].split_at(40);
    world.write("a/PT1H.json", format!("{}\n{}\n{begun}", rows[0], rows[1]));
    world.write("a/empty.json", "");
    world.round(0).await;
    world.assert_numbers(0..2);
    assert!(world.missing().await.contains("the last row is not whole in blob `a/PT1H.json`"));
    world.append("a/PT1H.json", &format!("{rest}\n{}\n", rows[3]));
    world.append("a/empty.json", &format!("{}\n", rows[4]));
    world.round(70).await;
    world.assert_numbers(0..5);
    assert_eq!(world.missing().await, "");
    // Compressed, in one member and in two, and one that breaks off and is whole the next time.
    let both = [packed(&format!("{}\n", rows[5])), packed(&format!("{}\n", rows[6]))].concat();
    world.write("b/two.json.gz", &both);
    let whole = packed(&format!("{}\n{}\n{}", rows[7], "\n".repeat(3_000_000), rows[8]));
    world.write("b/cut.gz", &whole[..whole.len() - 6]);
    world.round(70).await;
    world.assert_numbers(0..9);
    assert!(world.missing().await.contains("`b/cut.gz`"), "{}", world.missing().await);
    world.write(
        "b/cut.gz",
        packed(&format!("{}\n{}\n{}\n{}", rows[7], "\n".repeat(3_000_000), rows[8], rows[9])),
    );
    // Envelopes, pretty-printed and not, and a list.
    let values: Vec<Value> = rows.iter().map(|row| serde_json::from_str(row).expect("a row")).collect();
    let envelope = serde_json::to_string_pretty(&serde_json::json!({ "records": values[10..13] }));
    world.write("c/pretty.json", format!("\u{feff}{}", envelope.expect("JSON")));
    world.write("c/line.json", format!("{{\"records\":[{},{}]}}\n", rows[13], rows[14]));
    world.write("c/list.json", format!("[{}]", rows[15..].join(",")));
    world.round(70).await;
    // Written anew by serde, a row is another content with the same meaning.
    let wanted =
        rows[..10].iter().chain(&rows[13..]).cloned().chain(values[10..13].iter().map(Value::to_string));
    world.assert_rows(wanted);
    assert_eq!((world.missing().await, world.letters().await), (String::new(), vec![]));
    assert_eq!(world.state().await.accepted, 20, "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_may_be_replaced_vanish_and_hold_garbage() {
    let world = World::of_one().await;
    let rows: Vec<String> = (10..30).map(|number| world.row(number)).collect();
    world.write("x.json", format!("{}\n{}\n{}\n", rows[0], rows[1], rows[2]));
    world.write("y.json", format!("{}\n", rows[3]));
    world.write("z.json", format!("{}\n{}", rows[4], &rows[5][..50]));
    world.round(0).await;
    // Shorter; of the same length, with the same end; gone, before it was whole.
    world.replace("x.json", &format!("{}\n", rows[6]));
    world.replace("y.json", &format!("{}\n", rows[7]));
    std::fs::remove_file(world.path("z.json")).expect("removed");
    world.round(70).await;
    let wanted = |numbers: &[usize]| numbers.iter().map(|number| rows[*number].clone()).collect::<Vec<_>>();
    world.assert_rows(wanted(&[0, 1, 2, 3, 4, 6, 7]));
    let letters = world.letters().await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert!(letters[0].1.contains("vanished") && letters[0].1.contains("`z.json`"), "{letters:?}");
    // Lines that are no rows are kept, and the others read.
    world.write("junk.json", format!("garbage\n{}\n{{\"a\":1}}\n{}\n\u{0}\n", rows[8], rows[9]));
    // A row that stays cut is kept after an hour, and read when it goes on.
    world.write("cut.json", format!("{}\n{}", rows[10], &rows[11][..60]));
    world.write("cut2.json", format!("{{\"time\":\n{}\n", rows[12]));
    world.round(70).await;
    let letters = world.letters().await.into_iter();
    let kept: BTreeSet<String> =
        letters.map(|(_, _, body)| body.lines().next().unwrap_or_default().to_owned()).collect();
    assert_eq!(kept, ["garbage", "{\"a\":1}", "\u{0}", "z.json"].map(str::to_owned).into());
    world.round(1_800).await;
    assert!(world.missing().await.contains("`cut.json`"));
    world.round(1_900).await;
    assert_eq!(world.missing().await, "");
    let letters = world.letters().await;
    assert!(
        letters.iter().any(|(_, why, body)| why.contains("not whole") && *body == rows[11][..60]),
        "{letters:?}"
    );
    world.append("cut.json", &format!("{}\n", &rows[11][60..]));
    world.round(70).await;
    world.assert_rows(wanted(&[0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12]));
    // Links are not followed, and what begins with a dot is left alone.
    world.write(".elsewhere.json", &rows[13]);
    std::os::unix::fs::symlink(world.path(".elsewhere.json"), world.path("link.json")).expect("a link");
    world.write(".hidden.json", &rows[14]);
    world.round(70).await;
    assert_eq!(world.rows().len(), 12);
    let tenant = world.tenant(0).to_string();
    let arguments = ["backfill", "-t", &tenant, "--source", "streaming/blobs", "--since", "7d"];
    let backfill = world.setup.muster(&arguments).await;
    let said = String::from_utf8_lossy(&backfill.stderr).into_owned();
    assert!(said.contains("is a stream, which has no backfills"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rows_of_others_are_never_a_tenants_own() {
    let world = World::with(2, 0, "[streams.shared]\nurl = \"file://BLOBS\"", 0).await;
    let (one, two) = (world.tenant(0), world.tenant(1));
    let stranger: TenantId = "99999999-8888-4777-8666-555555555555".parse().expect("a GUID");
    let rows = [row(one, 1), row(two, 2), row(stranger, 3), row(one, 4).replace(&one.to_string(), "")];
    world.write("all.json", rows.join("\n"));
    world.round(0).await;
    world.assert_rows([rows[0].clone(), rows[1].clone()]);
    for (tenant, own, foreign) in [(one, 1, two), (two, 2, one)] {
        let states = world.bench.store.source_states().await.expect("read");
        let state = states.iter().find(|state| state.tenant == tenant && state.source.stream().is_some());
        assert_eq!(state.expect("a stream").accepted, 1, "{own}");
        let letters = world.letters().await;
        let of = |whose: TenantId| {
            let named = format!("1 rows are of tenant {whose}");
            letters.iter().find(|(to, why, _)| *to == tenant && why.contains(&named))
        };
        let (_, why, body) = of(foreign).expect("a dead letter");
        assert!(why.contains("put `{{ tenant.id }}` into the url of [streams.shared]"), "{why}");
        assert!(body.contains(&foreign.to_string()));
        assert!(of(stranger).is_some() && of(tenant).is_none());
        assert!(letters.iter().any(|(to, why, _)| *to == tenant && why.contains("does not say whose it is")));
    }
    // Nor by a replay.
    let letters = world.bench.store.dead_letters(None, 100).await.expect("read");
    for letter in letters.iter().filter(|letter| letter.reason.contains("rows are of tenant")) {
        let sinks = ["archive".to_owned()];
        let now = world.bench.clock.now();
        let replayed = world.bench.store.replay_dead_letter(letter.number, &sinks, now).await.expect("tried");
        assert!(!replayed, "{letter:?}");
    }
    let tried = world.setup.muster(&["validate"]).await;
    let said = String::from_utf8_lossy(&tried.stdout).into_owned();
    assert!(said.contains("[streams.shared] url: all 2 tenants read the same blobs"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_blobs_and_large_ones_are_read_in_turns() {
    let world = World::of_one().await;
    for number in 0..2_000 {
        world.write(&format!("m={}/{number}.json", number % 10), world.row(number));
    }
    let many: String = (2_000..30_000).map(|number| format!("{}\n", world.row(number))).collect();
    assert!(many.len() > 6 << 20);
    world.write("large.json", &many);
    world.write("large.gz", packed(&many));
    world.round(0).await;
    world.round(70).await;
    let state = world.state().await;
    assert_eq!((state.accepted, state.last_error), (30_000, None));
    assert_eq!(world.rows().len(), 30_000);
    // A value of any length is passed over, and what is behind it read.
    world.write(
        "long.json",
        format!("{}\n\"{}\"\n{}\n", world.row(30_000), "x".repeat(20 << 20), world.row(30_001)),
    );
    world.round(70).await;
    world.round(70).await;
    assert_eq!(world.state().await.accepted, 30_002);
    assert!(world.letters().await.iter().any(|(_, why, _)| why.contains("longer than 16 MiB")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_kills_each_row_is_there_once() {
    let world = World::with(1, 0, "[streams.blobs]\nurl = \"file://BLOBS\"\nevery = \"1s\"", 0).await;
    let accepted = async || world.state().await.accepted;
    let mut written = 0;
    for round in 0..4 {
        for blob in 0..60 {
            let rows = (written..written + 50).map(|number| format!("{}\n", world.row(number)));
            let rows: String = rows.collect();
            match blob % 2 {
                0 => world.write(&format!("{round}-{blob}.json"), rows),
                _ => world.write(&format!("{round}-{blob}.json.gz"), packed(&rows)),
            }
            written += 50;
        }
        let before = if round == 0 { 0 } else { accepted().await };
        let mut muster = world.setup.run();
        eventually("some rows are accepted", async || {
            let states = world.bench.store.source_states().await.expect("the store answers");
            states.iter().any(|state| state.source.stream().is_some() && state.accepted > before)
        })
        .await;
        muster.kill().await.expect("killed");
    }
    let mut muster = world.setup.run();
    eventually("all rows have arrived", async || world.rows().len() == written).await;
    muster.kill().await.expect("killed");
    assert_eq!(accepted().await, written as u64);
    world.assert_numbers(0..written);
    assert_eq!(world.letters().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_told_and_read_later() {
    let world = World::with(1, 0, "[streams.blobs]\nurl = \"file://BLOBS/later\"", 0).await;
    world.round(0).await;
    let state = world.state().await;
    assert_eq!(state.failures, 1);
    let said = state.last_error.unwrap_or_default();
    assert!(said.contains("cannot list") && said.contains("mend the stream's url"), "{said}");
    let tried = world.setup.muster(&["validate", "--connect"]).await;
    let said = String::from_utf8_lossy(&tried.stdout).into_owned();
    assert!(said.contains("stream blobs: cannot list"), "{said}");
    world.write("later/a.json", world.row(0));
    world.round(600).await;
    world.assert_numbers(0..1);
    assert_eq!(world.state().await.failures, 0);
}

impl World {
    /// The hours of `graph_alerts` in which a stream names alerts.
    async fn witnessed(&self) -> Vec<LedgerHour> {
        let now = self.bench.clock.now();
        let (tenant, source) = (Some(self.tenant(0)), Some(Source::GraphAlerts));
        let filter = LedgerFilter { tenant, source, from: now - SignedDuration::from_hours(24), to: now };
        let hours = self.bench.store.ledger(filter, now).await.expect("read");
        hours.into_iter().filter(|hour| hour.witness.is_some()).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_that_the_stream_names_and_graph_does_not_bring_is_told() {
    let world = World::with(1, 0, "[streams.blobs]\nurl = \"file://BLOBS\"", 4).await;
    let mut folder = StreamFolder::new(world.blobs.path());
    let tenant = world.setup.emulator.tenants()[0].id.clone();
    world.setup.emulator.add_alerts(&tenant, 3, None).expect("added");
    let hide = FaultKind::LateVisibility { from_seconds: 9_000, to_seconds: 9_000, one_version_in: 1 };
    world.setup.emulator.add_fault(Fault::new(Area::GraphAlerts, hide)).expect("a fault");
    let hidden = world.setup.emulator.add_alerts(&tenant, 1, None).expect("added");
    world.setup.emulator.clear_faults();
    folder.write(world.setup.emulator.graph()).expect("written");
    world.round(60).await;
    let counts = |hours: &[LedgerHour]| {
        let of = |hour: &LedgerHour| hour.witness.clone().expect("a witness");
        hours.iter().map(of).fold((0, 0, false, Vec::new()), |sum, hour| {
            let first = [sum.3, hour.first_missing].concat();
            (sum.0 + hour.named, sum.1 + hour.missing, sum.2 | hour.is_overdue, first)
        })
    };
    // It may still come.
    assert_eq!(counts(&world.witnessed().await), (4, 1, false, hidden.clone()));
    world.round(4_000).await;
    let hours = world.witnessed().await;
    assert_eq!(counts(&hours), (4, 1, true, hidden.clone()));
    let hole = HourState::Hole { reason: Reason::Named };
    assert!(hours.iter().any(|hour| hour.state == hole), "{hours:?}");
    let shown = world.setup.muster(&["ledger", "--tenant", &tenant, "--source", "graph_alerts"]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let said = format!("a stream names 1 alert that graph_alerts has not brought: {}", hidden[0]);
    assert!(shown.contains("streams name 4 alerts; 1 of them have not been brought"), "{shown}");
    let flat = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains(&said) || flat.contains(&hidden[0]), "{shown}");
    // Once it arrives, all is well.
    world.round(6_000).await;
    world.round(90_000).await;
    let now = world.bench.clock.now();
    let filter = LedgerFilter {
        tenant: Some(world.tenant(0)),
        source: Some(Source::GraphAlerts),
        from: now - SignedDuration::from_hours(72),
        to: now,
    };
    let hours = world.bench.store.ledger(filter, now).await.expect("read");
    let hours: Vec<_> = hours.into_iter().filter(|hour| hour.witness.is_some()).collect();
    assert_eq!(counts(&hours), (4, 0, false, vec![]));
    assert!(hours.iter().all(|hour| hour.state != hole));
}

impl World {
    /// What the ledger says of the stream's hour that begins here, and how many of its rows came late.
    async fn hour(&self, begin: Timestamp) -> (HourState, u64) {
        let filter = LedgerFilter {
            tenant: Some(self.tenant(0)),
            source: Some(self.state().await.source),
            from: begin,
            to: begin + SignedDuration::from_hours(1),
        };
        let hours = self.bench.store.ledger(filter, self.bench.clock.now()).await.expect("read");
        let [hour] = hours.as_slice() else { panic!("{hours:?}") };
        assert_eq!(hour.hour, begin);
        (hour.state, hour.late)
    }

    /// A row of this number and this time.
    fn row_at(&self, number: usize, at: Timestamp) -> String {
        format!("{}\n", self.row(number).replace("2026-11-20T08:00:00Z", &at.to_string()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_streams_hour_is_complete_as_of_a_listing_of_which_all_was_read() {
    let world = World::with(1, 0, "[streams.blobs]\nurl = \"file://BLOBS\"", 12).await;
    let complete = |as_of| (HourState::Complete { as_of }, 0);
    // As of the last time that all of it was read: every other is by a clock that has gone on since.
    let now = || world.bench.clock.now();
    let begin = (now().as_second().div_euclid(3_600) + 1) * 3_600;
    let hour = Timestamp::from_second(begin).expect("a time");
    let within = hour + SignedDuration::from_mins(20);
    let before = hour - SignedDuration::from_hours(30);
    world.write("a.json", world.row_at(0, within));
    let ten_minutes_past = hour + SignedDuration::from_mins(10);
    world.round(ten_minutes_past.duration_since(now()).as_secs().unsigned_abs()).await;
    assert_eq!(world.hour(hour).await, (HourState::Open, 0), "it is not over");
    world.round(3_600).await;
    assert_eq!(world.hour(hour).await, (HourState::Open, 0), "more of it may be appended");
    world.round(3_600).await;
    let as_of = now();
    assert_eq!(world.hour(hour).await, complete(as_of));
    assert_eq!(world.hour(before).await, complete(as_of), "nothing lies there of that");
    let unread = hour - SignedDuration::from_hours(24 * 8);
    assert_eq!(world.hour(unread).await, (HourState::Open, 0), "blobs of that time are not read");
    // A row that comes later opens its hour, until all has been read again.
    world.append("a.json", &world.row_at(1, within));
    world.round(70).await;
    assert_eq!(world.hour(hour).await, (HourState::Late, 1));
    assert_eq!(world.hour(before).await, complete(now()));
    let shown = world.setup.muster(&["ledger", "--tenant", &world.tenant(0).to_string()]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let flat = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("came late") && flat.contains("reading to the end"), "{shown}");
    world.round(70).await;
    let as_of = now();
    assert_eq!(world.hour(hour).await, (HourState::Complete { as_of }, 1));
    // While something cannot be read to its end, nothing new is claimed; what was read as of a time still was.
    let row = world.row_at(2, within);
    world.write("cut.json", &row[..60]);
    world.write("b.json", world.row_at(3, within + SignedDuration::from_hours(3)));
    world.round(3_000).await;
    world.round(500).await;
    assert!(world.missing().await.contains("`cut.json`"), "{}", world.missing().await);
    assert_eq!(world.hour(hour).await, (HourState::Complete { as_of }, 1));
    let next = hour + SignedDuration::from_hours(1);
    assert_eq!(world.hour(next).await, (HourState::Open, 0), "it was not over then");
    world.append("cut.json", &row[60..]);
    world.round(70).await;
    assert_eq!(world.hour(hour).await, (HourState::Late, 2));
    world.round(70).await;
    assert_eq!(world.hour(hour).await, (HourState::Complete { as_of: now() }, 2));
    assert_eq!(world.hour(next).await, complete(now()));
    // A file whose name is no text is left alone, and may hold anything.
    let as_of = now();
    let odd = world.blobs.path().join(std::ffi::OsStr::from_bytes(b"\xff.json"));
    std::fs::write(&odd, world.row_at(4, within)).expect("written");
    world.round(4_000).await;
    assert_eq!(world.hour(hour).await, (HourState::Complete { as_of }, 2));
    std::fs::remove_file(odd).expect("removed");
    world.round(70).await;
    assert_eq!(world.hour(hour).await, (HourState::Complete { as_of: now() }, 2));
    // So it is with a link, behind which anything may lie.
    let as_of = now();
    std::os::unix::fs::symlink(world.path("a.json"), world.path("link.json")).expect("linked");
    world.round(70).await;
    assert_eq!(world.hour(hour).await, (HourState::Complete { as_of }, 2));
    assert!(world.missing().await.contains("link.json"), "{}", world.missing().await);
    std::fs::remove_file(world.path("link.json")).expect("removed");
    world.round(70).await;
    // A place that cannot be listed says nothing.
    let as_of = now();
    let aside = world.blobs.path().with_extension("aside");
    std::fs::rename(world.blobs.path(), &aside).expect("moved");
    world.round(4_000).await;
    assert!(world.missing().await.contains("cannot list"));
    std::fs::rename(&aside, world.blobs.path()).expect("moved back");
    assert_eq!(world.hour(hour).await, (HourState::Complete { as_of }, 2));
    // What was claimed by a clock that was ahead is not by one that is right.
    let ahead = now() + SignedDuration::from_hours(24 * 400);
    world.bench.clock.set(ahead);
    world.append("a.json", &world.row_at(5, within));
    world.bench.collect().await;
    assert_eq!(world.hour(hour).await, (HourState::Late, 3));
    world.bench.clock.set(as_of + SignedDuration::from_hours(2));
    assert_eq!(world.hour(before).await, (HourState::Open, 0));
    world.bench.collect().await;
    assert_eq!(world.hour(before).await, complete(now()));
    assert_eq!(world.hour(hour).await, (HourState::Late, 3));
    world.round(70).await;
    assert_eq!(world.hour(hour).await, (HourState::Complete { as_of: now() }, 3));
    assert_eq!(world.letters().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_whose_rows_are_lost_is_never_complete() {
    let world = World::with(1, 0, "[streams.blobs]\nurl = \"file://BLOBS\"", 12).await;
    let now = || world.bench.clock.now();
    let begin = (now().as_second().div_euclid(3_600) + 1) * 3_600;
    let hour = Timestamp::from_second(begin).expect("a time");
    let within = hour + SignedDuration::from_mins(20);
    let later = hour + SignedDuration::from_hours(2);
    world.round((within + SignedDuration::from_mins(1)).duration_since(now()).as_secs().unsigned_abs()).await;
    // Files bear the time of the machine: the bench's clock is far from it, so what counts is what the row says.
    let row = world.row_at(0, within);
    world.write("cut.json", &row[..60]);
    world.round(60).await;
    assert!(world.missing().await.contains("`cut.json`"), "{}", world.missing().await);
    std::fs::remove_file(world.path("cut.json")).expect("deleted");
    world.round(10_000).await;
    let told = world.letters().await;
    assert!(told.iter().any(|(_, reason, _)| reason.contains("that is lost here")), "{told:?}");
    for _ in 0..3 {
        world.round(4_000).await;
        assert_eq!(world.hour(hour).await, (HourState::Open, 0), "a row of it is lost");
    }
    world.write("a.json", world.row_at(1, later));
    world.round(70).await;
    assert_eq!(world.hour(hour).await, (HourState::Open, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buckets_and_containers_are_listed_and_read_in_pieces() {
    if !installed() {
        return;
    }
    let kept = tempfile::tempdir().expect("a folder");
    let secret = |name: &str, secret: &str| {
        std::fs::write(kept.path().join(name), secret).expect("written");
        format!("{{ file = \"{}\" }}", kept.path().join(name).display())
    };
    let (moto, azurite) = tokio::join!(Server::moto(), Server::azurite(kept.path(), "0"));
    let streams = format!(
        r#"
        [streams.s3]
        url = "s3://muster/of/{{{{ tenant.id }}}}"
        endpoint = "{}"
        region = "eu-west-1"
        access_key_id = {}
        secret_access_key = {}
        [streams.azure]
        url = "az://muster/of/{{{{ tenant.id }}}}"
        endpoint = "{}/devstoreaccount1"
        account = "devstoreaccount1"
        account_key = {}
        "#,
        moto.endpoint,
        secret("s3.id", "id"),
        secret("s3.key", "key"),
        azurite.endpoint,
        secret("azure.key", AZURITE_KEY),
    );
    let world = World::with(1, 0, &streams, 0).await;
    world.round(0).await;
    for (stream, code) in [("s3", "NoSuchBucket"), ("azure", "ContainerNotFound")] {
        let states = world.bench.store.source_states().await.expect("read");
        let of = states.iter().find(|state| state.source.as_str() == format!("streaming/{stream}"));
        let said = of.and_then(|state| state.last_error.clone()).unwrap_or_default();
        assert!(said.contains(code) && said.contains("check the stream's url"), "{stream}: {said}");
    }
    moto.make("muster").await;
    azurite.make("muster").await;
    // For Azure some large ones; for S3 more than are listed at once, too.
    let tenant = world.tenant(0);
    let large = |rows: std::ops::Range<usize>| -> String {
        rows.map(|row| format!("{}\n", world.row(row))).collect()
    };
    world.write(&format!("of/{tenant}/y=2026/large.json"), large(0..20_000));
    world.write(&format!("of/{tenant}/y=2026/packed.json.gz"), packed(&large(20_000..40_000)));
    world.write("of/other/x.json", world.row(99_999));
    azurite.store("muster", world.blobs.path()).await;
    for number in 0..1_050 {
        world.write(&format!("of/{tenant}/small/{number}.json"), world.row(40_000 + number));
    }
    moto.store("muster", world.blobs.path()).await;
    let accepted = async |stream: &str| {
        let states = world.bench.store.source_states().await.expect("read");
        let of = states.into_iter().find(|state| state.source.as_str() == format!("streaming/{stream}"));
        let of = of.expect("a stream");
        assert_eq!(of.last_error, None, "{stream}");
        of.accepted
    };
    world.round(700).await;
    assert_eq!((accepted("azure").await, accepted("s3").await), (40_000, 41_050));
    // What is appended is read alone; an object that is put anew is read on, too.
    world.append(&format!("of/{tenant}/y=2026/large.json"), &large(50_000..50_010));
    moto.store("muster", world.blobs.path()).await;
    std::fs::remove_dir_all(world.blobs.path().join(format!("of/{tenant}/small"))).expect("removed");
    azurite.store("muster", world.blobs.path()).await;
    world.round(70).await;
    assert_eq!((accepted("azure").await, accepted("s3").await), (40_010, 41_060));
    assert_eq!(world.letters().await, []);
    let rows = world.rows();
    assert_eq!(rows.len(), 41_060);
    assert!(rows.values().all(|times| (1..=2).contains(times)), "once of each stream");
}

/// A place that takes all the time that is given says nothing of another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_does_not_answer_keeps_no_other_from_being_tried() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = silent.local_addr().expect("an address");
    let streams = format!(
        "[streams.a]\nurl = \"s3://bucket\"\nregion = \"eu-west-1\"\nendpoint = \"http://{endpoint}\"\n\
         access_key_id = {{ file = \"id\" }}\nsecret_access_key = {{ file = \"key\" }}\n\
         [streams.b]\nurl = \"file://BLOBS\"\n"
    );
    let world = World::with(1, 0, &streams, 0).await;
    for name in ["id", "key"] {
        write_secret(&world.setup.path().join(name), "a-secret");
    }
    world.write("a.json", world.row(0));
    let tried = world.setup.muster(&["validate", "--connect", "--within", "10s"]).await;
    let said = String::from_utf8_lossy(&tried.stdout).into_owned();
    assert!(said.contains("stream a: it did not answer in the time"), "{said}");
    assert!(said.contains("stream b: 1 blobs lie there"), "{said}");
}

/// Rows that Defender streamed and others recorded: each arrives once, in whatever way blobs hold them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_rows_arrive_as_they_are() {
    let Some(folder) = recorded("elastic-integrations/m365_defender/event") else { return };
    let world = World::of_one().await;
    let mut rows = Vec::new();
    for (number, file) in std::fs::read_dir(&folder).expect("a folder").enumerate() {
        let file = file.expect("a file").path();
        if file.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("read");
        let of_file = text.lines().map(|line| {
            let mut row: Value = serde_json::from_str(line).expect("a row");
            row["tenantId"] = world.tenant(0).to_string().into();
            row.to_string()
        });
        let of_file: Vec<String> = of_file.collect();
        let name = format!("{number}.json");
        match number % 3 {
            0 => world.write(&name, of_file.join("\n")),
            1 => world.write(&name, packed(&format!("[{}]", of_file.join(",\n")))),
            _ => world.write(&name, format!("{{\"records\": [\n{}\n]}}\n", of_file.join(","))),
        }
        rows.extend(of_file);
    }
    world.round(60).await;
    println!("recorded: {} rows of streams", rows.len());
    assert!(rows.len() >= 40, "{}", rows.len());
    world.assert_rows(rows);
    assert_eq!(world.letters().await, []);
    assert_eq!(world.missing().await, "");
}
