//! `cargo muster-bench`: what Muster costs. Prints alerts per second, megabytes per second, processor seconds per
//! million alerts and memory for the whole path (page, journal, Splunk format, HEC with acknowledgement), and for each
//! step of it alone. With `--poll-seconds` it polls many tenants for a while instead, and prints how far they lag and how long an alert
//! takes. With `--journal` it makes a journal of so many alerts, and prints what it costs to look one up, and to start with it. With `--yardstick` or `--against` it runs
//! the path in turns with another program that does the same, and prints the ratio. With `--sinks` it measures the sinks of a file,
//! each alone and all at once.
//!
//! Three processes, so that nobody's costs are taken for another's: the emulator is in this one, the Muster of the path
//! is this program started again as `muster`, and the steps are measured in a third.

mod database;
mod journal;
mod looks;
mod pairs;
mod polls;
#[path = "../../process.rs"]
mod process;
mod sinks;
mod yardstick;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser;
use jiff::Timestamp;
use muster::config::Settings;
use muster::wiring;
use muster_emulator::receivers::RecordKind;
use muster_emulator::{Config, Handle, SettingsText, loopback};
use muster_microsoft::Microsoft;
use muster_microsoft::entra::credential::App;
use muster_microsoft::sources::Target;
use muster_model::page::{self, Item, List, NotAPage, Page};
use muster_model::{
    Batch, Clock, Cursor, Delivery, DeliveryBatch, DeliveryNumber, Lineage, Outcome, Purpose, Selection,
    Source, SystemClock, TenantId, TenantLabel,
};
use muster_siem::formats::{Events, Format, SplunkOptions};
use muster_siem::sinks::Sink;
use muster_store::{
    AcceptedPage, Deliveries, DeliveryLimits, Destination, FinishedDelivery, InstanceId, Journal, Lifetime,
    MasterKey, NewRecord, NewTenant, OpenMode, Sources, SqlStore, Store, Tenants,
};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::database::Database;
use crate::process::{Program, Usage};

/// The first argument with which it measures the steps.
const AS_STEPS: &str = "as-steps";
/// Alerts of a page.
const PAGE: u32 = 500;
/// Delivery batches to the collector at the same time, as in Muster.
const SENDERS: usize = 4;
/// What one delivery lease holds, as in Muster.
const LIMITS: DeliveryLimits = DeliveryLimits { batches: 16, body_bytes: 4 << 20 };
const LEASE: Duration = Duration::from_secs(600);
/// Without an end of the path for so long, it is given up.
const PATIENCE: Duration = Duration::from_secs(600);

/// Measures Muster: the path of an alert, and each step of it.
#[derive(Debug, Parser)]
#[command(name = "cargo muster-bench", version, max_term_width = 100)]
struct Args {
    /// Tenants of the emulated cloud.
    #[arg(long, default_value_t = 25)]
    tenants: usize,
    /// Alerts of the path.
    #[arg(long, default_value_t = 100_000)]
    alerts: u64,
    /// Pages of 500 alerts that the steps are measured with.
    #[arg(long, default_value_t = 20)]
    pages: u32,
    /// Poll each tenant every so many seconds, with new alerts appearing, instead of measuring path and steps.
    #[arg(long)]
    poll_seconds: Option<u64>,
    /// With `--poll-seconds`: alerts that appear in a second.
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// With `--poll-seconds`: for how long.
    #[arg(long, default_value_t = 180)]
    seconds: u64,
    /// Put so many made-up alerts into the journal, and measure what looking one up costs, instead of measuring path and steps.
    #[arg(long)]
    journal: Option<u64>,
    /// With `--journal`: all of it is owed to the collector, and what it takes to start with that and to deliver it is measured instead.
    #[arg(long, requires = "journal")]
    owed: bool,
    /// Keep the store in a new database of this PostgreSQL server, `postgres://USER@HOST:PORT`, instead of in a file; it is dropped in
    /// the end. For path, polling and journal.
    #[arg(long, value_name = "URL", conflicts_with_all = ["yardstick", "against", "sinks"])]
    store: Option<String>,
    /// A file with sections `[sinks.NAME]` as in `muster.toml`, paths in it absolute. Measures each of them alone, with the events of
    /// so many `--pages`, instead of the path and its steps.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["yardstick", "against", "poll_seconds", "journal"])]
    sinks: Option<PathBuf>,
    /// With `--sinks`: run Muster with all of them at once instead, until each has all `--alerts`.
    #[arg(long, requires = "sinks")]
    at_once: bool,
    /// Everything made up is made up from this.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Run the path in turns with the yardstick, the shortest program that does the same, and print the ratio.
    #[arg(long, conflicts_with = "poll_seconds")]
    yardstick: bool,
    /// The same with another program's command line. It runs in a shell, finds what is to be done in the file (JSON) that
    /// MUSTER_BENCH_WORK names, and is done when the collector has every alert.
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["yardstick", "poll_seconds"])]
    against: Option<String>,
    /// With `--yardstick` or `--against`: how often each of the two runs.
    #[arg(long, default_value_t = 5)]
    pairs: usize,
}

/// What was measured of one thing.
#[derive(Debug, Serialize, Deserialize)]
struct Figure {
    what: String,
    alerts: u64,
    bytes: u64,
    seconds: f64,
    cpu_seconds: f64,
    /// Of the path: the most memory Muster ever held. Of a step: how much more than before it.
    peak_rss_mb: f64,
}

/// The line of JSON at the end of a run over path and steps.
#[derive(Debug, Serialize)]
struct Line<'a> {
    alerts: u64,
    lost: u64,
    doubled: u64,
    alerts_per_second: f64,
    mb_per_second: f64,
    cpu_seconds_per_million: f64,
    peak_rss_mb: f64,
    steps: &'a [Figure],
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = process::as_muster(&arguments) {
        return code;
    }
    let done = tokio::runtime::Runtime::new().map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(async {
            match arguments.get(1).and_then(|argument| argument.to_str()) {
                Some(yardstick::AS_YARDSTICK) => {
                    yardstick::run(Path::new(arguments.get(2).context("no work")?)).await
                }
                Some(AS_STEPS) => {
                    let folder = arguments.get(2).context("no folder")?;
                    let pages = arguments.get(3).and_then(|pages| pages.to_str()?.parse().ok());
                    Box::pin(steps(Path::new(folder), pages.context("no number of pages")?)).await
                }
                Some(sinks::AS_SINKS) => {
                    let folder = arguments.get(2).context("no folder")?;
                    let pages = arguments.get(3).and_then(|pages| pages.to_str()?.parse().ok());
                    Box::pin(sinks::each(Path::new(folder), pages.context("no number of pages")?)).await
                }
                _ => bench(&Args::parse_from(process::without_separator(arguments))).await,
            }
        })
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo muster-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn bench(args: &Args) -> anyhow::Result<()> {
    let other = args.against.as_deref().map(pairs::Other::Command);
    if let Some(other) = other.or(args.yardstick.then_some(pairs::Other::Yardstick)) {
        return Box::pin(pairs::run(args, other)).await;
    }
    let emulator = emulator(args).await?;
    let database = match &args.store {
        Some(server) => Some(Database::create(server).await?),
        None => None,
    };
    let done = Box::pin(measure(args, &emulator, database.as_ref())).await;
    if let Some(database) = database {
        database.remove().await?;
    }
    emulator.stop().await;
    done
}

async fn measure(args: &Args, emulator: &Handle, database: Option<&Database>) -> anyhow::Result<()> {
    let temporary = tempfile::tempdir()?;
    let folder = temporary.path().join("muster");
    let address = looks::free_address()?;
    let sections = args.sinks.as_deref().map(sinks::sections).transpose()?;
    let mut sections = sections.unwrap_or_default();
    if let Some(Database { url, .. }) = database {
        sections.push_str(&format!("\n[store]\nurl = {url:?}\n"));
    }
    if args.poll_seconds.is_some() || args.journal.is_some() {
        sections.push_str(&format!("\n[server]\nlisten = {address:?}\n"));
    }
    set_up(emulator, &folder, args.poll_seconds, &sections).await?;
    match (args.journal, args.poll_seconds) {
        _ if args.at_once => Box::pin(sinks::at_once(&folder, args.alerts)).await,
        _ if args.sinks.is_some() => sinks::alone(&folder, args.pages).await,
        (Some(records), _) => {
            journal::measure(emulator, &folder, (database, &address), records, args.owed).await
        }
        (None, Some(poll_seconds)) => {
            polls::run(emulator, &folder, (database, &address), args, poll_seconds).await
        }
        (None, None) => path_and_steps(emulator, &folder, database, args).await,
    }
}

async fn emulator(args: &Args) -> anyhow::Result<Handle> {
    let polling = args.poll_seconds.is_some();
    eprintln!("starting an emulator with {} tenants …", args.tenants);
    let emulator = muster_emulator::start(Config {
        tenants: args.tenants,
        seed: args.seed,
        // Beside a journal that is made up there is nothing to be read.
        alerts: (!polling && args.journal.is_none()).then_some(args.alerts),
        rate: polling.then_some(args.rate),
        write_bodies_at_start: true,
        hec: Some(loopback()),
        ..Config::default()
    });
    Ok(emulator.await?)
}

/// Sets Muster up with the HTTP Event Collector as its one sink, and with these sections besides.
async fn set_up(
    emulator: &Handle,
    folder: &Path,
    poll_seconds: Option<u64>,
    sections: &str,
) -> anyhow::Result<()> {
    process::muster(&["init".into(), folder.into()]).await?;
    // Without polling, only the machine limits how fast pages come.
    let collect = match poll_seconds {
        // However much news a source has, so that it is known what was waited for.
        Some(seconds) => ["poll_interval", "poll_interval_busy", "poll_interval_quiet"]
            .map(|key| format!("{key} = \"{seconds}s\""))
            .join("\n"),
        None => "requests_per_minute = 100000".to_owned(),
    };
    SettingsText::new(&emulator.client_config())
        .in_files()
        .add("collect", &collect)
        .add("sinks.splunk", "acknowledge = \"required\"")
        .sources(&["graph_alerts"])
        .sinks(&["splunk"])
        .extra(sections)
        .write(folder)?;
    let config = folder.join("muster.toml");
    let mut csv = String::from("tenant,name,sources\n");
    for tenant in emulator.tenants() {
        csv.push_str(&format!("{},\"{}\",graph_alerts\n", tenant.id, tenant.name.replace('"', "\"\"")));
    }
    let tenants = folder.join("tenants.csv");
    std::fs::write(&tenants, csv)?;
    if sections.contains("[store]") {
        process::muster(&["--config".into(), config.clone().into(), "store".into(), "init".into()]).await?;
    }
    process::muster(&["--config".into(), config.into(), "tenant".into(), "import".into(), tenants.into()])
        .await
}

async fn open(folder: &Path) -> anyhow::Result<(Settings, Arc<dyn Store>)> {
    let settings = Settings::read(&folder.join("muster.toml"))?;
    let store = wiring::open_store(&settings, OpenMode::Shared).await.map_err(|failed| failed.error)?;
    Ok((settings, store))
}

async fn delivered(store: &dyn Store) -> anyhow::Result<u64> {
    Ok(store.sink_totals().await?.iter().map(|sink| sink.delivered + sink.rejected).sum())
}

/// What a program took for the path, from its start until all alerts were delivered.
struct Trip {
    seconds: f64,
    usage: Usage,
    lost: u64,
    doubled: u64,
}

/// Runs Muster until every alert is delivered and written down.
async fn muster_path(emulator: &Handle, folder: &Path, alerts: u64) -> anyhow::Result<Trip> {
    let (seconds, usage, _) = Box::pin(until_delivered(folder, None, PATIENCE, alerts)).await?;
    let (lost, doubled) = tally(emulator)?;
    Ok(Trip { seconds, usage, lost, doubled })
}

/// Runs Muster until its sinks have so many events together; the seconds, what it used, and what the processes of its database used.
async fn until_delivered(
    folder: &Path,
    database: Option<&Database>,
    patience: Duration,
    events: u64,
) -> anyhow::Result<(f64, Usage, Option<Duration>)> {
    let (_, store) = open(folder).await?;
    let mut muster = Program::start(folder, &folder.join("muster.log"))?;
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
            ended = muster.ended() => bail!("Muster ended by itself ({ended})"),
        }
        if delivered(store.as_ref()).await? >= events {
            break;
        }
        if muster.uptime() > patience {
            bail!("Muster did not deliver everything within {patience:?}");
        }
    }
    let seconds = muster.uptime().as_secs_f64();
    let usage = muster.usage().context("this system has no /proc")?;
    // With what this program asks, which is little.
    let server = match database {
        Some(database) => Some(database.cpu().await?),
        None => None,
    };
    store.close().await;
    muster.stop().await?;
    Ok((seconds, usage, server))
}

async fn path_and_steps(
    emulator: &Handle,
    folder: &Path,
    database: Option<&Database>,
    args: &Args,
) -> anyhow::Result<()> {
    eprintln!("running Muster until {} alerts are delivered …", args.alerts);
    let (seconds, usage, server) = Box::pin(until_delivered(folder, database, PATIENCE, args.alerts)).await?;
    let (lost, doubled) = tally(emulator)?;
    if let Some(server) = server {
        println!(
            "the database's server took {} CPU s per million alerts",
            rounded(server.as_secs_f64() * 1e6 / args.alerts.max(1) as f64)
        );
    }
    // Only now, since the collector has what the steps send already.
    eprintln!("measuring the steps with {} pages of {PAGE} alerts …", args.pages);
    let steps = figures(AS_STEPS, folder, args.pages).await?;
    let fetched = steps.first().context("no step was measured")?;
    let bytes_per_alert = fetched.bytes / fetched.alerts.max(1);
    let path = Figure {
        what: "path".to_owned(),
        alerts: args.alerts,
        bytes: args.alerts * bytes_per_alert,
        seconds,
        cpu_seconds: usage.cpu.as_secs_f64(),
        peak_rss_mb: usage.peak_rss_bytes as f64 / 1e6,
    };

    println!("alerts of {bytes_per_alert} bytes on average, from {} tenants", args.tenants);
    Figure::print_head();
    path.print();
    steps.iter().for_each(Figure::print);
    let line = Line {
        alerts: args.alerts,
        lost,
        doubled,
        alerts_per_second: path.rate().round(),
        mb_per_second: rounded(path.rate() * bytes_per_alert as f64 / 1e6),
        cpu_seconds_per_million: rounded(path.cpu_per_million()),
        peak_rss_mb: rounded(path.peak_rss_mb),
        steps: &steps,
    };
    println!("{}", serde_json::to_string(&line)?);
    if lost > 0 {
        bail!("{lost} alerts are missing at the receiver");
    }
    Ok(())
}

/// Alerts that the collector misses, and copies beyond the first that it has.
fn tally(emulator: &Handle) -> anyhow::Result<(u64, u64)> {
    let mut produced = emulator.produced();
    produced.retain(|version| version.kind == RecordKind::Alert);
    let tallies = emulator.receivers().tally(&produced);
    let hec =
        tallies.iter().find(|tally| tally.receiver == "hec").context("the emulator has no collector")?;
    Ok((hec.lost, hec.doubled))
}

impl Figure {
    fn rate(&self) -> f64 {
        self.alerts as f64 / self.seconds.max(1e-9)
    }

    fn cpu_per_million(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.alerts.max(1) as f64
    }

    fn print_head() {
        println!(
            "{:<34} {:>9} {:>7} {:>9} {:>11} {:>9}",
            "", "alerts/s", "MB/s", "µs/alert", "CPU s/10^6", "peak MB"
        );
    }

    fn print(&self) {
        println!(
            "{:<34} {:>9.0} {:>7.0} {:>9.1} {:>11.1} {:>9.1}",
            self.what,
            self.rate(),
            self.bytes as f64 / self.seconds.max(1e-9) / 1e6,
            self.seconds * 1e6 / self.alerts.max(1) as f64,
            self.cpu_per_million(),
            self.peak_rss_mb,
        );
    }
}

/// Has steps or sinks measured in a process of their own.
async fn figures(what: &str, folder: &Path, pages: u32) -> anyhow::Result<Vec<Figure>> {
    let output = tokio::process::Command::new(std::env::current_exe()?)
        .arg(what)
        .arg(folder)
        .arg(pages.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?
        .wait_with_output()
        .await?;
    if !output.status.success() {
        bail!("measuring failed");
    }
    String::from_utf8(output.stdout)?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Takes a page of alerts apart, as collecting does.
fn split(body: &[u8]) -> Result<Page<'_>, NotAPage> {
    page::split(body, Source::GraphAlerts.kind(), List::Field("value"), PAGE as usize)
}

/// The emulator as the process sees it that measures steps or sinks.
struct Pages {
    microsoft: Microsoft,
    app: App,
    from: Timestamp,
    label: TenantLabel,
    bodies: Vec<Vec<u8>>,
    /// Of each: its tenant, and what it begins behind.
    places: Vec<(TenantId, u32)>,
}

impl Pages {
    /// Fetches so many full pages.
    async fn fetch(settings: &Settings, store: &dyn Store, pages: u32) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let tenants = store.tenants().await?;
        let label = tenants.first().context("there is no tenant")?.label();
        let from = clock.now().checked_sub(Duration::from_secs(7 * 86_400))?;
        let microsoft = wiring::microsoft(settings, clock, None)?;
        let app =
            settings.apps.get("main").context("there is no app")?.app("main", &settings.folder, None)?;
        let (bodies, places) = (Vec::new(), Vec::new());
        let mut fetched = Self { microsoft, app, from, label, bodies, places };
        for page in 0.. {
            for tenant in &tenants {
                if fetched.bodies.len() as u32 == pages {
                    return Ok(fetched);
                }
                let body = fetched.page(tenant.id, page * PAGE).await?;
                // The last page of a tenant may be short; short pages are not what is to be measured.
                if split(&body)?.items.len() as u32 == PAGE {
                    fetched.bodies.push(body);
                    fetched.places.push((tenant.id, page * PAGE));
                } else if page > 0 && tenant.id == tenants[0].id {
                    bail!("the tenants have too few alerts for {pages} full pages");
                }
            }
        }
        Ok(fetched)
    }

    async fn page(&self, tenant: TenantId, skip: u32) -> anyhow::Result<Vec<u8>> {
        let from = self.from;
        let path = "/v1.0/security/alerts_v2?$orderby=lastUpdateDateTime%20asc";
        let target =
            Target::Path(format!("{path}&$filter=lastUpdateDateTime%20ge%20{from}&$top={PAGE}&$skip={skip}"));
        let (source, purpose) = (Source::GraphAlerts, Purpose::Live);
        Ok(self.microsoft.fetch(&self.app, tenant, source, purpose, &target).await?.body.into_bytes())
    }

    fn alerts(&self) -> u64 {
        u64::from(PAGE) * self.bodies.len() as u64
    }

    /// Of all alerts without what is around them.
    fn bytes(&self) -> anyhow::Result<u64> {
        let mut bytes = 0;
        for body in &self.bodies {
            bytes += split(body)?.items.iter().map(|item| item.body.len() as u64).sum::<u64>();
        }
        Ok(bytes)
    }
}

/// Measures each step alone; prints a line of JSON for each.
async fn steps(folder: &Path, pages: u32) -> anyhow::Result<()> {
    let (settings, store) = open(folder).await?;
    let fetched = Pages::fetch(&settings, store.as_ref(), pages).await?;
    store.close().await;
    let Pages { label, bodies, .. } = &fetched;
    // Once more, with tokens and connections there, and without keeping the pages.
    let meter = Meter::start();
    for (tenant, skip) in &fetched.places {
        black_box(fetched.page(*tenant, *skip).await?);
    }
    let fetch = meter.stop();
    let (alerts, bytes) = (fetched.alerts(), fetched.bytes()?);
    let say = |what: &str, measured: Measured| -> anyhow::Result<()> {
        let (seconds, cpu_seconds, peak_rss_mb) = measured;
        let figure = Figure { what: what.to_owned(), alerts, bytes, seconds, cpu_seconds, peak_rss_mb };
        println!("{}", serde_json::to_string(&figure)?);
        Ok(())
    };
    say("fetch pages, one after the other", fetch)?;

    let meter = Meter::start();
    for body in bodies {
        black_box(split(body)?);
    }
    say("split pages and read heads, with hash", meter.stop())?;

    let pages = bodies.iter().map(|body| split(body)).collect::<Result<Vec<_>, _>>()?;
    let bench_store = BenchStore::create(folder).await?;
    let meter = Meter::start();
    for page in &pages {
        bench_store.accept(page).await?;
    }
    say("journal: accept pages", meter.stop())?;

    let meter = Meter::start();
    let read = bench_store.lease_and_finish().await?;
    if read != alerts {
        bail!("{read} of {alerts} alerts came back out of the journal");
    }
    say("journal: lease and finish", meter.stop())?;
    bench_store.store.close().await;

    let format = Format::Splunk(SplunkOptions::default());
    let meter = Meter::start();
    let mut events = Events::new();
    for page in &pages {
        events.clear();
        for Item { head, body } in &page.items {
            let record = muster_model::Record { head, body, replay: None };
            format.write(Source::GraphAlerts.kind(), record, label, &mut events)?;
        }
        black_box(&events);
    }
    drop(events);
    say("Splunk format", meter.stop())?;

    let sink = settings.sinks.get("splunk").context("there is no sink")?;
    let sink = wiring::open_sink(&settings, "splunk", sink, Arc::new(SystemClock), None);
    let sink = sink.map_err(anyhow::Error::msg)?;
    say("Splunk format, HEC, acknowledgement", deliver(sink, label, &pages, SENDERS).await?)
}

/// Delivers all pages, so many at the same time.
async fn deliver(
    sink: Sink,
    label: &TenantLabel,
    pages: &[Page<'_>],
    senders: usize,
) -> anyhow::Result<Measured> {
    let sink = Arc::new(sink);
    let mut deliveries = Vec::new();
    for (number, page) in pages.iter().enumerate() {
        let mut batch = Batch::new();
        for Item { head, body } in &page.items {
            batch.push(head.clone(), body);
        }
        let number = DeliveryNumber(number as u64 + 1);
        let (source, selection) = (Source::GraphAlerts, Selection::All);
        let lineage = Lineage(uuid::Uuid::from_u128(1));
        deliveries.push(Delivery {
            lineage,
            number,
            source,
            batch: Arc::new(batch),
            selection,
            replay: None,
        });
    }
    let meter = Meter::start();
    let mut sending = JoinSet::new();
    let mut deliveries = deliveries.into_iter();
    loop {
        while sending.len() < senders
            && let Some(delivery) = deliveries.next()
        {
            // Each of another tenant: those of one come one after the other, as the store leases them.
            let id = Uuid::from_u128(u128::from(delivery.number.0)).into();
            let label = TenantLabel { id, ..label.clone() };
            sending.spawn(send(Arc::clone(&sink), label, delivery));
        }
        match sending.join_next().await {
            Some(sent) => sent??,
            None => return Ok(meter.stop()),
        }
    }
}

async fn send(sink: Arc<Sink>, label: TenantLabel, delivery: Delivery) -> anyhow::Result<()> {
    let deliveries = [delivery];
    let report = sink.deliver_and_wait(DeliveryBatch { tenant: &label, deliveries: &deliveries }).await;
    match report.outcomes.iter().all(|outcome| *outcome == Outcome::Delivered) {
        true => Ok(()),
        false => bail!("the receiver did not take everything: {:?}", report.trouble),
    }
}

/// A store with one tenant.
struct BenchStore {
    store: SqlStore,
    lease: muster_store::SourceLease,
    now: Timestamp,
}

const ME: InstanceId = InstanceId(Uuid::from_u128(2));

impl BenchStore {
    async fn create(folder: &Path) -> anyhow::Result<Self> {
        let store = SqlStore::create(&folder.join("steps.db"), &MasterKey::generate()).await?;
        let now = SystemClock.now();
        let tenant = NewTenant {
            id: Uuid::from_u128(1).into(),
            slug: "bench".parse()?,
            name: "Bench".to_owned(),
            domain: None,
            app: "main".to_owned(),
            sources: BTreeSet::from([Source::GraphAlerts]),
            tags: Default::default(),
            since: now,
            state: muster_model::TenantState::Active,
        };
        store.add_tenant(tenant, "bench", now).await?;
        let lease = store.lease_due_sources(ME, 1, LEASE, now).await?.pop();
        Ok(Self { store, lease: lease.context("the source is not due")?, now })
    }

    async fn accept(&self, page: &Page<'_>) -> anyhow::Result<()> {
        let destinations = [Destination::of(&["splunk".to_owned()])];
        let records = page.items.iter();
        let page = AcceptedPage {
            records: records
                .map(|item| NewRecord { head: item.head.clone(), body: item.body, destination: 0 })
                .collect(),
            text: None,
            dead_letters: Vec::new(),
            destinations: &destinations,
            cursor: Cursor::starting(self.now),
            request_id: None,
            proved_up_to: None,
        };
        self.store.accept_page(&self.lease, page, LEASE, self.now).await?;
        Ok(())
    }

    async fn lease_and_finish(&self) -> anyhow::Result<u64> {
        let mut records = 0;
        while let Some(lease) = self.store.lease_due_deliveries(ME, "splunk", LIMITS, LEASE, self.now).await?
        {
            let finished = lease.deliveries.iter().map(|delivery| FinishedDelivery {
                number: delivery.number,
                remaining: None,
                delivered: u32::try_from(delivery.batch.len()).unwrap_or(u32::MAX),
                rejected: Vec::new(),
            });
            let finished: Vec<_> = finished.collect();
            records += finished.iter().map(|finished| u64::from(finished.delivered)).sum::<u64>();
            self.store.finish_deliveries(&lease, finished, None, self.now).await?;
        }
        Ok(records)
    }
}

/// Seconds, processor seconds, megabytes more than before.
type Measured = (f64, f64, f64);

/// Measures this process from its start on.
struct Meter {
    wall: Duration,
    cpu: Duration,
    rss: f64,
}

impl Meter {
    fn start() -> Self {
        // Linux starts the peak over; where it does not, the peak is that of all steps so far.
        drop(std::fs::write("/proc/self/clear_refs", "5"));
        Self { wall: clock(ClockId::Monotonic), cpu: clock(ClockId::ProcessCPUTime), rss: memory("VmRSS:") }
    }

    fn stop(self) -> Measured {
        let wall = clock(ClockId::Monotonic) - self.wall;
        let cpu = clock(ClockId::ProcessCPUTime) - self.cpu;
        (wall.as_secs_f64(), cpu.as_secs_f64(), (memory("VmHWM:") - self.rss).max(0.0))
    }
}

fn clock(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), nanoseconds)
}

/// Megabytes that this process holds, by the name of a line in its status.
fn memory(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap_or(0.0) * 1.024e-3
}

fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::Args;
    use crate::process::tests::reaches_the_program;

    #[test]
    fn the_alias_takes_arguments_with_and_without_a_separator() {
        for arguments in reaches_the_program("muster-bench", &["--tenants", "3", "--alerts", "50"]) {
            let args = Args::try_parse_from(arguments).expect("arguments of the benchmark");
            assert_eq!((args.tenants, args.alerts), (3, 50));
        }
    }
}
