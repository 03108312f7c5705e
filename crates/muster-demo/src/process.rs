//! The Muster of the demo: this very program, started again as `muster`, in a process of its own, so that its processor
//! time and memory can be told from the emulator's.

use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::AS_MUSTER;

/// What a process has used so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Processor time, of user and system.
    pub(crate) cpu: Duration,
    /// The most memory it ever held.
    pub(crate) peak_rss_bytes: u64,
}

/// Runs a `muster` command to its end.
pub(crate) async fn muster(arguments: &[OsString]) -> anyhow::Result<()> {
    let program = std::env::current_exe()?;
    let output = Command::new(program).arg(AS_MUSTER).args(arguments).stdin(Stdio::null()).output().await?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`muster {}` failed: {}", arguments.join(" ".as_ref()).to_string_lossy(), said.trim());
    }
    Ok(())
}

/// A running `muster run`.
pub(crate) struct MusterProcess {
    child: Child,
    pid: u32,
    began: Instant,
}

impl MusterProcess {
    pub(crate) fn start(folder: &Path, log: &Path) -> anyhow::Result<Self> {
        let log = std::fs::File::create(log)?;
        let child = Command::new(std::env::current_exe()?)
            .arg(AS_MUSTER)
            .arg("--config")
            .arg(folder.join("muster.toml"))
            .arg("run")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // Ctrl-C on the terminal is for the demo, which stops Muster itself.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().context("Muster ended at once")?;
        Ok(Self { child, pid, began: Instant::now() })
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        match self.child.wait().await {
            Ok(status) => status,
            Err(_) => std::future::pending().await,
        }
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.began.elapsed()
    }

    /// What it has used; `None` where the system does not say so in `/proc`.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        // After the name in brackets: state is field 3, utime 14, stime 15, in clock ticks.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        let per_second = rustix::param::clock_ticks_per_second();
        let cpu = Duration::from_millis(ticks * 1_000 / per_second.max(1));
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(Usage { cpu, peak_rss_bytes: kibibytes * 1_024 })
    }

    /// Stops it as an operator would, and waits.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw);
        let pid = pid.context("Muster has no process id")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        match tokio::time::timeout(Duration::from_secs(40), self.child.wait()).await {
            Ok(status) if status.as_ref().is_ok_and(ExitStatus::success) => Ok(()),
            Ok(status) => bail!("Muster did not stop well: {status:?}"),
            Err(_) => bail!("Muster did not stop in time"),
        }
    }
}
