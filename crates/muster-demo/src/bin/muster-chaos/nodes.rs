//! The nodes: Muster in processes of its own, which are killed, paused, replaced, and given wrong clocks.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::process::AS_MUSTER;

/// How long a node may take to stop when it is told to.
const STOPS_WITHIN: Duration = Duration::from_secs(60);

/// A Muster: another program, or this one, started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Muster {
    Own,
    At(PathBuf),
}

impl Muster {
    pub(crate) fn of(path: Option<&PathBuf>) -> Self {
        path.map_or(Self::Own, |path| Self::At(path.clone()))
    }

    /// A command of it.
    pub(crate) fn command(&self) -> std::io::Result<Command> {
        Ok(match self {
            Self::Own => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg(AS_MUSTER);
                command
            }
            Self::At(path) => Command::new(path),
        })
    }
}

/// Where libfaketime is, which gives a process a clock of its own; none where it is not installed.
pub(crate) fn clock_library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten();
    let mut found = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    found.find(|library| library.is_file())
}

/// One node: a folder with its settings, and a process.
pub(crate) struct Node {
    pub(crate) number: usize,
    folder: PathBuf,
    pub(crate) muster: Muster,
    process: Option<Child>,
    clock: Option<PathBuf>,
    /// How often it ended without having been told to.
    pub(crate) ended_by_itself: u32,
}

impl Node {
    pub(crate) fn new(number: usize, folder: &Path, muster: Muster, clock: Option<PathBuf>) -> Self {
        let folder = folder.to_owned();
        Self { number, folder, muster, process: None, clock, ended_by_itself: 0 }
    }

    pub(crate) fn settings(&self) -> PathBuf {
        self.folder.join("muster.toml")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("muster.log")
    }

    /// What it says of itself: where it can be looked into.
    pub(crate) fn place(&self) -> String {
        self.log().display().to_string()
    }

    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut command = self.muster.command()?;
        if let Some(library) = &self.clock {
            // The monotonic clock stays as it is, as with a machine whose time is set.
            command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", self.clock_file());
            command.env("DONT_FAKE_MONOTONIC", "1").env("FAKETIME_NO_CACHE", "1");
        }
        command.arg("--config").arg(self.settings()).arg("run").current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0).kill_on_drop(true);
        self.process =
            Some(command.spawn().with_context(|| format!("cannot start node {}", self.number + 1))?);
        Ok(())
    }

    fn clock_file(&self) -> PathBuf {
        self.folder.join("clock")
    }

    /// Puts its clock so many seconds off.
    pub(crate) fn put_clock(&self, seconds: i64) -> std::io::Result<()> {
        let new = self.folder.join("clock.new");
        std::fs::write(&new, format!("{seconds:+}\n"))?;
        std::fs::rename(new, self.clock_file())
    }

    pub(crate) fn has_clock(&self) -> bool {
        self.clock.is_some()
    }

    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.process.as_ref().and_then(Child::id).and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let Some(pid) = pid else { return Ok(()) };
        match rustix::process::kill_process(pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill().await?;
        }
        Ok(())
    }

    /// Stops it as an operator would, and waits.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        let Some(mut process) = self.process.take() else { return Ok(()) };
        match timeout(STOPS_WITHIN, process.wait()).await {
            Ok(status) => {
                let status = status?;
                if !status.success() {
                    bail!("node {} did not stop well ({status}); its log: {}", self.number + 1, self.place());
                }
                Ok(())
            }
            Err(_) => {
                process.kill().await?;
                bail!(
                    "node {} did not stop within {STOPS_WITHIN:?}; its log: {}",
                    self.number + 1,
                    self.place()
                )
            }
        }
    }

    /// Starts it again if it ended by itself, as a service manager does; how it ended.
    pub(crate) fn look_after(&mut self) -> anyhow::Result<Option<String>> {
        let Some(process) = &mut self.process else { return Ok(None) };
        let Some(status) = process.try_wait()? else { return Ok(None) };
        self.ended_by_itself += 1;
        self.start()?;
        Ok(Some(status.to_string()))
    }
}
