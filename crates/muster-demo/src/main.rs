//! `cargo demo`: an emulator of Microsoft's cloud and of the SIEMs, a Muster beside it, and a live view of alerts on
//! their way from one to the other. Nothing in it is staged: the Muster is the real program, in a process of its own, set
//! up with the commands that an operator would type, and what arrived is counted by the receivers.

#[expect(dead_code, reason = "the benchmark needs more of it")]
mod process;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser;
use muster::config::Settings;
use muster::shown::grid::wrapped;
use muster::shown::output::{self, ColourChoice, Output, OutputFormat, number};
use muster::shown::screen::{self, Frame, History, Screen};
use muster::shown::status::{Expected, Snapshot};
use muster::wiring;
use muster_emulator::receivers::{self, ReceiverTally, RecordKind};
use muster_emulator::{Config, Handle, SettingsText, loopback};
use muster_model::{Clock as _, SystemClock};
use muster_store::{OpenMode, Store};
use serde::Serialize;
use tokio::time::Instant;

use crate::process::Program;

/// Without progress for so long, `--exit` gives up.
const PATIENCE: Duration = Duration::from_secs(120);

/// Shows the main job: alerts of many tenants reach Splunk, ArcSight and a file.
#[derive(Debug, Parser)]
#[command(name = "cargo demo", version, max_term_width = 100)]
struct Args {
    /// Tenants of the emulated cloud.
    #[arg(long, default_value_t = 25)]
    tenants: usize,
    /// Alerts in all. With `--exit` all are there at the start; without it they appear over time, endlessly when
    /// this is left out.
    #[arg(long)]
    alerts: Option<u64>,
    /// Alerts a second that appear, without `--exit`.
    #[arg(long, default_value_t = 40.0)]
    rate: f64,
    /// Everything made up is made up from this.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// End when every alert has been delivered to every sink, and print one line of JSON.
    #[arg(long)]
    exit: bool,
    /// How often Muster asks each tenant for news.
    #[arg(long, default_value = "2s")]
    poll_interval: muster_model::Span,
    /// Keep settings, store, log and archive in this folder.
    #[arg(long)]
    keep: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = process::as_muster(&arguments) {
        return code;
    }
    let args = Args::parse_from(process::without_separator(arguments));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cargo demo: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(demo(&args)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cargo demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn demo(args: &Args) -> anyhow::Result<ExitCode> {
    let temporary = tempfile::tempdir()?;
    let folder = args.keep.clone().unwrap_or_else(|| temporary.path().join("muster"));
    let mut config = Config {
        tenants: args.tenants,
        seed: args.seed,
        alerts: args.alerts.or(args.exit.then_some(5_000)),
        rate: (!args.exit).then_some(args.rate),
        hec: Some(loopback()),
        syslog_tls: Some(loopback()),
        ..Config::default()
    };
    // So that `muster hunt` can be tried, too.
    config.roles.push("ThreatHunting.Read.All".to_owned());
    eprintln!("starting an emulator with {} tenants …", args.tenants);
    let emulator = muster_emulator::start(config).await?;
    set_up(&emulator, &folder, args).await?;
    let log = folder.join("muster.log");
    eprintln!("running Muster in {} (log: {})", folder.display(), log.display());
    let muster = Program::start(&folder, &log)?;
    let settings = Settings::read(&folder.join("muster.toml"))?;
    let store = wiring::open_store(&settings, OpenMode::Shared).await.map_err(|failed| failed.error)?;
    let watch = Watch {
        emulator: &emulator,
        muster,
        store,
        expected: Expected::of(&settings),
        folder: &folder,
        args,
    };
    let code = if args.exit { watch.until_delivered().await } else { watch.live().await };
    emulator.stop().await;
    if args.keep.is_some() {
        eprintln!("kept in {}", folder.display());
    }
    code
}

/// Sets Muster up as an operator would: `init`, the settings, `tenant import`.
async fn set_up(emulator: &Handle, folder: &Path, args: &Args) -> anyhow::Result<()> {
    process::muster(&["init".into(), folder.into()]).await?;
    SettingsText::new(&emulator.client_config())
        .in_files()
        .add("collect", &format!("poll_interval = \"{}\"", args.poll_interval))
        .add("sinks.splunk", "acknowledge = \"required\"")
        .sources(&["graph_alerts"])
        .write(folder)?;
    let mut csv = String::from("tenant,name,sources\n");
    for tenant in emulator.tenants() {
        csv.push_str(&format!("{},\"{}\",graph_alerts\n", tenant.id, tenant.name.replace('"', "\"\"")));
    }
    let tenants = folder.join("tenants.csv");
    std::fs::write(&tenants, csv)?;
    let config = folder.join("muster.toml");
    process::muster(&["--config".into(), config.into(), "tenant".into(), "import".into(), tenants.into()])
        .await
}

/// A running demo.
struct Watch<'a> {
    emulator: &'a Handle,
    muster: Program,
    store: Arc<dyn Store>,
    /// What the settings let one expect.
    expected: Expected,
    folder: &'a Path,
    args: &'a Args,
}

/// The line of JSON at the end.
#[derive(Serialize)]
struct Summary {
    /// Alerts.
    produced: u64,
    /// Of them, those whose newest version arrived.
    delivered: DeliveredCounts,
    /// Alerts whose newest version is missing somewhere.
    lost: u64,
    /// Copies beyond the first of the same version.
    doubled: u64,
    seconds: f64,
    alerts_per_second: f64,
    /// Of the Muster process, user and system.
    cpu_seconds: Option<f64>,
    /// Of the Muster process, in megabytes.
    peak_rss_mb: Option<f64>,
}

#[derive(Serialize)]
struct DeliveredCounts {
    splunk: u64,
    arcsight: u64,
    file: u64,
}

/// What each sink's receiver saw of the alerts produced.
struct Delivered {
    splunk: ReceiverTally,
    arcsight: ReceiverTally,
    file: ReceiverTally,
}

impl Watch<'_> {
    /// The live view, until Ctrl-C.
    async fn live(mut self) -> anyhow::Result<ExitCode> {
        let output = Output::new(OutputFormat::Table, ColourChoice::Auto);
        let mut screen = Screen::open();
        let mut history = History::default();
        let ask = format!(
            "Ask it from another terminal: cargo run -p muster -- --config {} status",
            self.folder.join("muster.toml").display()
        );
        loop {
            let now = self.snapshot().await?;
            let produced = self.emulator.produced_counts();
            let head = format!(
                "Muster demo · {} alerts produced by {} emulated tenants · Ctrl-C ends it",
                number(produced.alerts),
                self.args.tenants,
            );
            let width = output::width().map(usize::from);
            let head = format!("{}\n{}\n\n", wrapped(&head, width, "  "), wrapped(&ask, width, "  "));
            let rows = screen.rows().saturating_sub(head.lines().count() + 1);
            let frame = Frame { width, rows, tenants: usize::MAX };
            screen.show(&format!("{head}{}", screen::status(&output, &now, history.oldest(), frame)))?;
            history.push(now);
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
                _ = tokio::signal::ctrl_c() => break,
                ended = self.muster.ended() => bail!("Muster ended by itself ({ended}); its log: {}", self.folder.join("muster.log").display()),
            }
        }
        drop(screen);
        // New alerts stop, and what is under way may arrive before it is counted.
        self.emulator.pause();
        eprintln!("stopping …");
        let until = Instant::now() + Duration::from_secs(15);
        let mut delivered = self.tally()?;
        while delivered.lost() > 0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(500)).await;
            delivered = self.tally()?;
        }
        self.end(&delivered, None).await
    }

    /// Waits until everything has arrived everywhere.
    async fn until_delivered(mut self) -> anyhow::Result<ExitCode> {
        let began = Instant::now();
        let (mut progress, mut progress_at) = (0, Instant::now());
        loop {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
                _ = tokio::signal::ctrl_c() => bail!("interrupted"),
                ended = self.muster.ended() => bail!("Muster ended by itself ({ended}); its log: {}", self.folder.join("muster.log").display()),
            }
            let produced = self.emulator.produced_counts().alerts;
            let totals = self.store.sink_totals().await?;
            let settled = |name: &str| {
                totals.iter().find(|sink| sink.sink == name).map_or(0, |sink| sink.delivered + sink.rejected)
            };
            let least = ["splunk", "arcsight", "archive"].map(settled).into_iter().min().unwrap_or(0);
            let sum: u64 = totals.iter().map(|sink| sink.delivered + sink.rejected).sum();
            if sum > progress {
                (progress, progress_at) = (sum, Instant::now());
            }
            if least >= produced {
                break;
            }
            if progress_at.elapsed() > PATIENCE {
                eprintln!("no progress for {PATIENCE:?}: giving up");
                break;
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        let delivered = self.tally()?;
        self.end(&delivered, Some(seconds)).await
    }

    /// Stops Muster and prints the line of JSON.
    async fn end(self, delivered: &Delivered, seconds: Option<f64>) -> anyhow::Result<ExitCode> {
        let usage = self.muster.usage();
        let uptime = self.muster.uptime().as_secs_f64();
        self.store.close().await;
        self.muster.stop().await?;
        let produced = self.emulator.produced_counts().alerts;
        let seconds = seconds.unwrap_or(uptime);
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let rate = produced as f64 / seconds.max(0.001);
        let (lost, doubled) = (delivered.lost(), delivered.doubled());
        let summary = Summary {
            produced,
            delivered: DeliveredCounts {
                splunk: delivered.splunk.distinct,
                arcsight: delivered.arcsight.distinct,
                file: delivered.file.distinct,
            },
            lost,
            doubled,
            seconds: rounded(seconds),
            alerts_per_second: rounded(rate),
            cpu_seconds: usage.map(|usage| rounded(usage.cpu.as_secs_f64())),
            peak_rss_mb: usage.map(|usage| rounded(usage.peak_rss_bytes as f64 / 1e6)),
        };
        println!("{}", serde_json::to_string(&summary)?);
        Ok(if lost == 0 && doubled == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn snapshot(&self) -> anyhow::Result<Snapshot> {
        Ok(Snapshot::take(self.store.as_ref(), &self.expected, SystemClock.now()).await?)
    }

    /// What arrived, compared with the alerts produced. The incidents that the cloud makes of them are not asked for.
    fn tally(&self) -> anyhow::Result<Delivered> {
        let mut produced = self.emulator.produced();
        produced.retain(|version| version.kind == RecordKind::Alert);
        let receivers = self.emulator.receivers().tally(&produced);
        let of = |name: &str| {
            let found = receivers.iter().find(|receiver| receiver.receiver == name).cloned();
            found.with_context(|| format!("the emulator has no receiver `{name}`"))
        };
        let file = receivers::tally_file(&self.folder.join("archive.ndjson"), &produced)?;
        Ok(Delivered { splunk: of("hec")?, arcsight: of("syslog_tls")?, file })
    }
}

impl Delivered {
    fn all(&self) -> [&ReceiverTally; 3] {
        [&self.splunk, &self.arcsight, &self.file]
    }

    fn lost(&self) -> u64 {
        self.all().iter().map(|receiver| receiver.lost).sum()
    }

    fn doubled(&self) -> u64 {
        self.all().iter().map(|receiver| receiver.doubled).sum()
    }
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
        for arguments in reaches_the_program("demo", &["--tenants", "3", "--alerts", "50", "--exit"]) {
            let args = Args::try_parse_from(arguments).expect("arguments of the demo");
            assert_eq!((args.tenants, args.alerts, args.exit), (3, Some(50), true));
        }
        for arguments in reaches_the_program("demo", &[]) {
            Args::try_parse_from(arguments).expect("no arguments");
        }
    }
}
