//! How many records a second the store takes in and gives out, and what each costs:
//! `cargo bench -p muster-store [-- PAGES]`.
//!
//! Pages of 500 synthetic alerts of 6.8 kB go through `accept_page`, then through a lease and its end for one sink,
//! the way `muster run` does it. Then every tenth page comes again with each alert resolved, so that what changed is told from
//! what the journal holds. Processor time is that of the whole process, making the alerts excluded.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;
use muster_model::{ContentHash, Cursor, RecordHead, Severity, Source, TenantState};
use muster_store::{
    AcceptedPage, Deliveries, DeliveryLimits, Destination, FinishedDelivery, InstanceId, Journal, Lifetime,
    MasterKey, NewRecord, NewTenant, Sources, SqlStore, Tenants,
};
use rustix::time::{ClockId, clock_gettime};
use uuid::Uuid;

const RECORDS_PER_PAGE: usize = 500;
const BODY_BYTES: usize = 6_800;
const LEASE: Duration = Duration::from_secs(60);

fn main() {
    let pages = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(60);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(run(pages));
}

async fn run(pages: usize) {
    let folder = tempfile::tempdir_in(".").expect("a folder on a real disk");
    let store = SqlStore::create(&folder.path().join("bench.db"), &MasterKey::generate()).await;
    let store = store.expect("created");
    let tenant = NewTenant {
        id: Uuid::from_u128(1).into(),
        slug: "bench".parse().expect("a slug"),
        name: "Bench".to_owned(),
        domain: None,
        app: "main".to_owned(),
        sources: BTreeSet::from([Source::GraphAlerts]),
        tags: BTreeSet::new(),
        since: at(0),
        state: TenantState::Active,
    };
    store.add_tenant(tenant, "bench", at(0)).await.expect("added");
    let me = InstanceId(Uuid::from_u128(2));
    let lease = store.lease_due_sources(me, 1, LEASE, at(0)).await.expect("leased").remove(0);
    let destinations = [Destination::of(&["splunk".to_owned()])];
    let (mut accepting, mut repeating, mut changing, mut delivering) =
        (Meter::new(), Meter::new(), Meter::new(), Meter::new());
    let mut alerts = Alerts::new();
    let mut kept = Vec::new();
    for number in 0..pages {
        let bodies = (0..RECORDS_PER_PAGE).map(|_| alerts.next()).collect::<Vec<_>>();
        let page = page_of(&bodies, number, &destinations);
        let again = page.clone();
        accepting.start();
        let receipt = store.accept_page(&lease, page, LEASE, at(0)).await.expect("accepted");
        accepting.stop(receipt.accepted as usize);
        repeating.start();
        let receipt = store.accept_page(&lease, again, LEASE, at(0)).await.expect("accepted");
        repeating.stop(receipt.known as usize);
        if number % 10 == 0 {
            kept.push(bodies);
        }
        delivering.start();
        let delivered = deliver(&store, me).await;
        delivering.stop(delivered);
    }
    for (number, mut bodies) in kept.into_iter().enumerate() {
        for (_, body) in &mut bodies {
            *body = body.replace(r#""status":"new""#, r#""status":"resolved""#);
        }
        let page = page_of(&bodies, pages + number, &destinations);
        changing.start();
        let receipt = store.accept_page(&lease, page, LEASE, at(0)).await.expect("accepted");
        changing.stop(receipt.accepted as usize);
    }
    let totals = store.journal_totals().await.expect("added up");
    println!("{pages} pages of {RECORDS_PER_PAGE} alerts of {} bytes", alerts.bytes / alerts.made);
    accepting.print("accept a new page");
    repeating.print("accept a known page");
    changing.print("accept changes");
    delivering.print("lease and finish");
    println!("{:<20} {:>8} bytes in the journal", "stored per record", totals.stored_bytes / totals.records);
    store.close().await;
    let file = std::fs::metadata(folder.path().join("bench.db")).expect("the file").len();
    println!("{:<20} {:>8} bytes in the file", "", file / totals.records);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines().filter(|line| line.starts_with("VmHWM")) {
        println!("peak memory          {}", line.trim_start_matches("VmHWM:").trim());
    }
}

fn page_of<'a>(
    bodies: &'a [(String, String)],
    number: usize,
    destinations: &'a [Destination],
) -> AcceptedPage<'a> {
    let records = bodies.iter().enumerate().map(|(index, (id, body))| NewRecord {
        head: RecordHead {
            id: id.clone(),
            updated_at: Some(at((number * RECORDS_PER_PAGE + index) as i64)),
            created_at: Some(at(0)),
            severity: Severity::Medium,
            hash: ContentHash::of(body.as_bytes()),
            change: None,
        },
        body,
        destination: 0,
    });
    AcceptedPage {
        records: records.collect(),
        text: None,
        dead_letters: Vec::new(),
        destinations,
        cursor: Cursor::starting(at((number * RECORDS_PER_PAGE) as i64)),
        request_id: None,
        proved_up_to: None,
    }
}

async fn deliver(store: &SqlStore, me: InstanceId) -> usize {
    let limits = DeliveryLimits { batches: 8, body_bytes: 8 << 20 };
    let mut records = 0;
    while let Some(lease) =
        store.lease_due_deliveries(me, "splunk", limits, LEASE, at(0)).await.expect("leased")
    {
        let finished = lease.deliveries.iter().map(|delivery| FinishedDelivery {
            number: delivery.number,
            remaining: None,
            delivered: delivery.batch.len() as u32,
            rejected: Vec::new(),
        });
        let finished = finished.collect();
        records += lease.deliveries.iter().map(|delivery| delivery.batch.len()).sum::<usize>();
        store.finish_deliveries(&lease, finished, None, at(0)).await.expect("finished");
    }
    records
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).expect("in range")
}

/// Synthetic alerts: the keys repeat, the values partly, as in life.
struct Alerts {
    state: u64,
    made: usize,
    bytes: usize,
}

impl Alerts {
    fn new() -> Self {
        Self { state: 7, made: 0, bytes: 0 }
    }

    fn random(&mut self) -> u64 {
        // splitmix64, the same at each run.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn next(&mut self) -> (String, String) {
        let id = format!("da{:016x}_{}", self.random(), self.random() as i32);
        let incident = self.random() % 1000;
        let mut body = format!(
            r#"{{"id":"{id}","incidentId":"{incident}","status":"new","severity":"medium","serviceSource":"microsoftDefenderForEndpoint","#
        );
        body.push_str(r#""title":"Suspicious PowerShell command line","evidence":["#);
        while body.len() < BODY_BYTES {
            let (device, process) = (self.random() % 5000, self.random() % 65_000);
            write!(
                body,
                r##"{{"@odata.type":"#microsoft.graph.security.processEvidence","createdDateTime":"2026-09-21T14:{:02}:{:02}.{:07}Z","verdict":"suspicious","remediationStatus":"none","roles":[],"deviceDnsName":"ws-{device:05}.corp.example","mdeDeviceId":"{:016x}{:016x}","processId":{process},"processCommandLine":"powershell.exe -NoProfile -EncodedCommand {:016x}{:016x}","imageFile":{{"fileName":"powershell.exe","filePath":"C:\\Windows\\System32\\WindowsPowerShell\\v1.0","sha256":"{:016x}{:016x}","fileSize":491520,"filePublisher":"Microsoft Corporation"}},"userAccount":{{"accountName":"user{}","domainName":"CORP","userSid":"S-1-5-21-{}"}}}},"##,
                self.random() % 60,
                self.random() % 60,
                self.random() % 10_000_000,
                device.wrapping_mul(0x9e37_79b9_7f4a_7c15),
                device.wrapping_mul(0x94d0_49bb_1331_11eb),
                self.random(),
                self.random(),
                device % 40,
                process % 40,
                self.random() % 3000,
                self.random() % 3000,
            )
            .expect("writing to a string");
        }
        body.push_str("null]}");
        self.made += 1;
        self.bytes += body.len();
        (id, body)
    }
}

/// Adds up wall and processor time of one step.
struct Meter {
    wall: Duration,
    processor: Duration,
    records: usize,
    began: Option<(Duration, Duration)>,
}

impl Meter {
    fn new() -> Self {
        Self { wall: Duration::ZERO, processor: Duration::ZERO, records: 0, began: None }
    }

    fn start(&mut self) {
        self.began = Some((clock(ClockId::Monotonic), clock(ClockId::ProcessCPUTime)));
    }

    fn stop(&mut self, records: usize) {
        let (wall, processor) = self.began.take().expect("started");
        self.wall += clock(ClockId::Monotonic) - wall;
        self.processor += clock(ClockId::ProcessCPUTime) - processor;
        self.records += records;
    }

    fn print(&self, what: &str) {
        let records = self.records.max(1) as f64;
        println!(
            "{what:<20} {:>8.0} records/s   {:>6.1} µs of processor per record",
            records / self.wall.as_secs_f64(),
            self.processor.as_secs_f64() * 1e6 / records,
        );
    }
}

fn clock(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
