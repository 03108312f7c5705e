//! What a Muster that runs costs beside its work: how long it takes to start, what its store takes on the disk, and what `muster
//! status` and `/metrics` take.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use muster_emulator::Handle;
use serde::Serialize;
use tokio::process::Command;
use tokio::time::Instant;

use crate::database::{Database, file_bytes};
use crate::process::{AS_MUSTER, Program};
use crate::rounded;

/// What it costs to look at a Muster that runs.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Looks {
    /// Of the store.
    pub(crate) disk_mb: f64,
    pub(crate) status_seconds: f64,
    pub(crate) status_peak_mb: f64,
    pub(crate) metrics_mb: f64,
    pub(crate) metrics_seconds: f64,
    /// The most memory that Muster held, after `/metrics` was read.
    pub(crate) peak_after_metrics_mb: f64,
}

impl Looks {
    pub(crate) async fn of(
        folder: &Path,
        muster: &Program,
        address: &str,
        database: Option<&Database>,
    ) -> anyhow::Result<Self> {
        let disk = match database {
            Some(database) => database.bytes().await?,
            None => file_bytes(folder)?,
        };
        let (status_seconds, status_peak_mb) = timed(folder, &["status"]).await?;
        // The client asks for it, though this is plain HTTP.
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build()?;
        let began = Instant::now();
        let answer = client.get(format!("http://{address}/metrics")).send().await?.error_for_status()?;
        let metrics = answer.bytes().await?.len();
        let metrics_seconds = began.elapsed().as_secs_f64();
        let usage = muster.usage().context("this system has no /proc")?;
        Ok(Self {
            disk_mb: rounded(disk as f64 / 1e6),
            status_seconds: rounded(status_seconds),
            status_peak_mb: rounded(status_peak_mb),
            metrics_mb: rounded(metrics as f64 / 1e6),
            metrics_seconds: rounded(metrics_seconds),
            peak_after_metrics_mb: rounded(usage.peak_rss_bytes as f64 / 1e6),
        })
    }

    pub(crate) fn print(&self) {
        println!("  the store on the disk   {:>8} MB", self.disk_mb);
        println!(
            "  `muster status`         {:>8} s, its peak memory {} MB",
            self.status_seconds, self.status_peak_mb
        );
        println!(
            "  /metrics                {:>8} MB in {} s, Muster's peak memory then {} MB",
            self.metrics_mb, self.metrics_seconds, self.peak_after_metrics_mb
        );
    }
}

/// How many seconds after its start a Muster sends its first request to Microsoft; `before`: how many there had been.
pub(crate) async fn first_request(
    emulator: &Handle,
    muster: &mut Program,
    before: u64,
    patience: Duration,
) -> anyhow::Result<f64> {
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(2)) => {}
            ended = muster.ended() => bail!("Muster ended by itself ({ended})"),
        }
        if requests(emulator) > before {
            return Ok(muster.uptime().as_secs_f64());
        }
        if muster.uptime() > patience {
            bail!("Muster sent no request within {patience:?}");
        }
    }
}

/// Requests to Microsoft until now.
pub(crate) fn requests(emulator: &Handle) -> u64 {
    emulator.requests().iter().map(|requests| requests.count).sum()
}

/// A port of the loopback that nobody listens at just now.
pub(crate) fn free_address() -> std::io::Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// How long a command takes, and the most memory that it holds, in megabytes.
pub(crate) async fn timed(folder: &Path, arguments: &[&str]) -> anyhow::Result<(f64, f64)> {
    let config = [OsString::from("--config"), folder.join("muster.toml").into()];
    let began = Instant::now();
    let mut child = Command::new(std::env::current_exe()?)
        .arg(AS_MUSTER)
        .args(config)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    let status = format!("/proc/{}/status", child.id().context("it has ended")?);
    let mut peak = 0.0_f64;
    loop {
        tokio::select! {
            ended = child.wait() => {
                let seconds = began.elapsed().as_secs_f64();
                if !ended?.success() {
                    bail!("`muster {}` failed", arguments.join(" "));
                }
                return Ok((seconds, peak));
            }
            () = tokio::time::sleep(Duration::from_millis(2)) => {
                let status = std::fs::read_to_string(&status).unwrap_or_default();
                let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
                let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse().unwrap_or(0.0);
                peak = peak.max(kibibytes * 1.024e-3);
            }
        }
    }
}
